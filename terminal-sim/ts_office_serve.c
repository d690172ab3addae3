/*
 * ts_office_serve.c - the office's loop: the feed, control socket, snapshot child, signals.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "ts_office.h"

#define CLIENT_SEC  10                          /* a control client that neither sends nor reads */

typedef struct {
    ts_office_t office;
    ts_feed_t  *feed;
    int         listener;                       /* DIR/office.sock */
    int         signals;
} server_t;

static int listen_socket(const char *dir)
{
    struct sockaddr_un address;
    int fd;

    if (ts_socket_address(dir, &address) != 0)
        return -1;
    unlink(address.sun_path);                   /* of a process that is gone: we hold the lock */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *) &address, sizeof address) != 0
        || chmod(address.sun_path, 0600) != 0 || listen(fd, 64) != 0) {
        ts_complain("%s: %s", address.sun_path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

/* ---- one control connection ------------------------------------------------------------------ */

/* The request is the first line; what follows belongs to the command. */
static void answer_request(ts_office_t *o, FILE *in, FILE *out)
{
    char *line = NULL, *text = NULL;
    size_t size = 0, len = 0;
    FILE *answer = open_memstream(&text, &len);
    cJSON *request;

    if (answer && getline(&line, &size, in) > 0) {
        request = cJSON_Parse(line);
        ts_command(o, request, in, answer);
        cJSON_Delete(request);
        while (getline(&line, &size, in) > 0) {
        } /* what a failed command left unread; closing on it would cut the answer */
    }
    if (answer)
        fclose(answer);
    fwrite(text, 1, len, out);
    free(text);
    free(line);
}

static void serve_control(server_t *s)
{
    const struct timeval limit = { .tv_sec = CLIENT_SEC };
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC), copy = fd < 0 ? -1 : dup(fd);
    FILE *in, *out;

    if (copy < 0) {
        if (fd >= 0)
            close(fd);
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    in = fdopen(fd, "r");
    out = fdopen(copy, "w");
    if (in && out)
        answer_request(&s->office, in, out);
    if (in)
        fclose(in);
    if (out)
        fclose(out);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void run(server_t *s)
{
    enum { FEED, CONTROL, SIGNALS, BUILD, FDS };

    for (;;) {
        struct pollfd fds[FDS] = { [FEED] = { .fd = ts_feed_fd(s->feed), .events = POLLIN },
                                   [CONTROL] = { .fd = s->listener, .events = POLLIN },
                                   [SIGNALS] = { .fd = s->signals, .events = POLLIN },
                                   [BUILD] = { .fd = ts_snapshots_fd(s->office.snapshots),
                                               .events = POLLIN } };

        if (poll(fds, FDS, ts_feed_wake(s->feed)) < 0 && errno != EINTR)
            return;
        if (fds[SIGNALS].revents)
            return;
        if (fds[BUILD].revents)
            ts_snapshots_take(s->office.snapshots);
        if (fds[CONTROL].revents)
            serve_control(s);
        ts_feed_wake(s->feed);
        ts_feed_run(s->feed);
    }
}

static int begin(server_t *s, const char *dir, const ts_feed_options_t *options,
                 const char *port_file)
{
    char text[16];
    sigset_t signals;
    int n;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    s->signals = signalfd(-1, &signals, SFD_CLOEXEC);
    s->feed = ts_feed_create(&s->office, options);
    if (!s->feed)
        return -1;
    s->listener = listen_socket(dir);
    if (s->listener < 0)
        return -1;
    n = snprintf(text, sizeof text, "%u\n", ts_feed_port(s->feed));
    if (port_file && ts_file_write(port_file, text, (size_t) n, 0644) != 0) {
        ts_complain("%s: %s", port_file, strerror(errno));
        return -1;
    }
    return 0;
}

int ts_serve(const char *dir, const ts_feed_options_t *options, const char *port_file)
{
    server_t s = { .listener = -1, .signals = -1 };
    int rc = ts_office_open(&s.office, dir);

    if (rc > 0)
        ts_complain("%s: served already, or held by a command (DIR/lock)", dir);
    if (rc != 0)
        return TS_EXIT_USAGE;
    rc = begin(&s, dir, options, port_file);
    if (rc == 0) {
        printf("office of list %s: https://127.0.0.1:%u/v1\n", s.office.party.list,
               ts_feed_port(s.feed));
        fflush(stdout);
        run(&s);
    }
    ts_feed_destroy(s.feed);
    if (s.listener >= 0) {
        unlink(ts_path(dir, "office.sock"));
        close(s.listener);
    }
    if (s.signals >= 0)
        close(s.signals);
    ts_office_close(&s.office);
    return rc == 0 ? TS_EXIT_OK : TS_EXIT_USAGE;
}
