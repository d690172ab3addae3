/*
 * rcctl_spool - commands to the daemon, by files, and its answers.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "rcctl_spool.h"
#include "rcd_clock.h"
#include "rcd_file.h"
#include "rcd_json.h"

#define ANSWER_MAX   (512 * 1024)     /* an import of holders names up to 1000 lines */
#define COPY_BYTES   65536
#define POLL_MS      50               /* without inotify */
#define TAKEN_MS     10000        /* a running daemon takes a command within 250 ms */
#define PATH_SIZE    (PATH_MAX + 64)

static void path_of(const rcctl_t *r, const char *box, const char *prefix, const char *name,
                    char path[PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "%s/%s/%s%s", r->config->state_dir, box, prefix, name);
}

int rcctl_spool_alive(const rcctl_t *r)
{
    char err[512];
    int64_t age = 0;
    cJSON *status = rcctl_daemon_status(r, &age, err, sizeof(err));

    if (status == NULL) {
        rcctl_error("the daemon does not run with this configuration: %s", err);
        return -1;
    }
    cJSON_Delete(status);
    if (age > RCCTL_ALIVE_SEC) {
        rcctl_error("the daemon does not run: its status is %s old", rcctl_span(age));
        return -1;
    }
    return 0;
}

/* root hands its files to the owner of inbox, who is the daemon. */
static int give_to_daemon(const rcctl_t *r, int fd)
{
    char box[PATH_SIZE];
    struct stat st;

    path_of(r, "inbox", "", "", box);
    return geteuid() == 0 && stat(box, &st) == 0 ? fchown(fd, st.st_uid, st.st_gid) : 0;
}

FILE *rcctl_spool_create(const rcctl_t *r, const char *suffix, char name[RCCTL_NAME_MAX])
{
    uint8_t random[8];
    char path[PATH_SIZE];
    int fd, n = 0;

    if (getrandom(random, sizeof(random), 0) != (ssize_t) sizeof(random)) {
        rcctl_error("no random numbers: %s", strerror(errno));
        return NULL;
    }
    for (size_t i = 0; i < sizeof(random); i++) {
        n += snprintf(name + n, RCCTL_NAME_MAX - (size_t) n, "%02x", random[i]);
    }
    snprintf(name + n, RCCTL_NAME_MAX - (size_t) n, "%s", suffix);
    path_of(r, "inbox", ".", name, path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        rcctl_error("%s: %s", path, strerror(errno));
        return NULL;
    }
    if (give_to_daemon(r, fd) != 0) {
        rcctl_error("%s: cannot be given to the daemon: %s", path, strerror(errno));
        close(fd);
        rcctl_spool_withdraw(r, name);
        return NULL;
    }
    return fdopen(fd, "w");
}

int rcctl_spool_publish(const rcctl_t *r, const char *name)
{
    char hidden[PATH_SIZE], path[PATH_SIZE];

    path_of(r, "inbox", ".", name, hidden);
    path_of(r, "inbox", "", name, path);
    if (rename(hidden, path) != 0) {
        rcctl_error("%s: %s", path, strerror(errno));
        unlink(hidden);
        return -1;
    }
    return 0;
}

void rcctl_spool_withdraw(const rcctl_t *r, const char *name)
{
    char path[PATH_SIZE];

    path_of(r, "inbox", ".", name, path);
    unlink(path);
    path_of(r, "inbox", "", name, path);
    unlink(path);
}

int rcctl_spool_copy(FILE *in, FILE *out, char *err, size_t err_size)
{
    static char buf[COPY_BYTES];
    size_t n;

    while ((n = fread(buf, 1, sizeof(buf), in)) > 0) {
        if (rcctl_interrupted()) {
            snprintf(err, err_size, "interrupted, nothing was handed over");
            return -1;
        }
        if (fwrite(buf, 1, n, out) != n) {
            snprintf(err, err_size, "%s", strerror(errno));
            return -1;
        }
    }
    if (ferror(in)) {
        snprintf(err, err_size, "%s", strerror(errno));
        return -1;
    }
    return 0;
}

const char *rcctl_user(void)
{
    const struct passwd *user = getpwuid(getuid());

    return user != NULL ? user->pw_name : "unknown";
}

int rcctl_spool_watch(const rcctl_t *r)
{
    char box[PATH_SIZE];
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    path_of(r, "outbox", "", "", box);
    if (fd >= 0 && inotify_add_watch(fd, box, IN_MOVED_TO) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

void rcctl_spool_pause(int watch, int ms)
{
    struct pollfd p = {.fd = watch, .events = POLLIN};
    char events[1024];

    if (poll(&p, 1, ms) > 0 && read(watch, events, sizeof(events)) < 0) {
        usleep((useconds_t) ms * 1000);
    }
}

/* Writes the command file. 0, or -1 after saying why. */
static int send_command(const rcctl_t *r, cJSON *command, char name[RCCTL_NAME_MAX])
{
    char *text;
    FILE *f;
    int failed;

    cJSON_AddStringToObject(command, "user", rcctl_user());
    text = cJSON_PrintUnformatted(command);
    f = rcctl_spool_create(r, ".json", name);
    if (f == NULL || text == NULL) {
        free(text);
        return -1;
    }
    failed = fputs(text, f) < 0;
    failed |= fclose(f) != 0;
    free(text);
    if (failed) {
        rcctl_error("the command cannot be written: %s", strerror(errno));
        rcctl_spool_withdraw(r, name);
        return -1;
    }
    return rcctl_spool_publish(r, name);
}

/* The answer as it stands, or NULL when there is none yet. */
static cJSON *read_answer(const rcctl_t *r, const char *name)
{
    char path[PATH_SIZE], err[PATH_SIZE + 128];
    const char *why;
    cJSON *answer = NULL;
    size_t len;
    char *text;

    path_of(r, "outbox", "", name, path);
    text = rcd_file_read(path, ANSWER_MAX, 0, &len, err, sizeof(err));
    if (text != NULL) {
        answer = rcd_json_parse(text, len, &why);
    }
    free(text);
    return answer;
}

static int is_done(const cJSON *answer)
{
    const char *state = rcd_json_string(answer, "state");

    return state != NULL && strcmp(state, "done") == 0;
}

cJSON *rcctl_spool_answer(const rcctl_t *r, const char *name)
{
    cJSON *answer = read_answer(r, name);

    if (answer != NULL && !is_done(answer)) {
        cJSON_Delete(answer);
        answer = NULL;
    }
    return answer;
}

void rcctl_spool_done(const rcctl_t *r, const char *name)
{
    char path[PATH_SIZE];

    path_of(r, "outbox", "", name, path);
    unlink(path);
}

/* On a terminal the line is written over, and ended by the caller. */
static void tell_progress(const rcctl_t *r, const cJSON *answer, uint64_t *told)
{
    uint64_t done = 0, total = 0;

    if (r->json || rcd_json_uint(answer, "done", RCD_JSON_INT_MAX, &done) != 1 ||
        rcd_json_uint(answer, "total", RCD_JSON_INT_MAX, &total) != 1 || done == *told) {
        return;
    }
    *told = done;
    fprintf(stderr,
            isatty(STDERR_FILENO) ? "\r%" PRIu64 " of %" PRIu64 : "%" PRIu64 " of %" PRIu64 "\n",
            done, total);
}

/*
 * Waits for the last word. NULL: interrupted, or the daemon did not take the command or ended; what
 * was wrong is said.
 */
static cJSON *wait_answer(const rcctl_t *r, const char *name, int watch)
{
    int64_t begun = rcd_clock_ms(), looked = begun;
    uint64_t told = 0;
    cJSON *answer;

    while (!rcctl_interrupted()) {
        answer = read_answer(r, name);
        if (answer != NULL && is_done(answer)) {
            if (told > 0 && isatty(STDERR_FILENO)) {
                fputc('\n', stderr);
            }
            return answer;
        }
        if (answer == NULL && rcd_clock_ms() - begun > TAKEN_MS) {
            rcctl_error("the daemon did not take the command");
            return NULL;
        }
        if (answer != NULL) {
            tell_progress(r, answer, &told);
            cJSON_Delete(answer);
        }
        if (rcd_clock_ms() - looked > 1000) {
            looked = rcd_clock_ms();
            if (rcctl_spool_alive(r) != 0) {
                return NULL;
            }
        }
        rcctl_spool_pause(watch, POLL_MS);
    }
    rcctl_error("interrupted; what the daemon has taken it goes on with");
    return NULL;
}

int rcctl_spool_run(const rcctl_t *r, cJSON *command, cJSON **answer)
{
    int watch = rcctl_spool_watch(r), rc;
    char name[RCCTL_NAME_MAX];
    const char *error;

    *answer = NULL;
    rc = send_command(r, command, name);
    cJSON_Delete(command);
    if (rc == 0) {
        *answer = wait_answer(r, name, watch);
        rcctl_spool_withdraw(r, name);
    }
    if (watch >= 0) {
        close(watch);
    }
    if (*answer == NULL) {
        return RCCTL_UNREACHABLE;
    }
    rcctl_spool_done(r, name);
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(*answer, "ok"))) {
        return RCCTL_OK;
    }
    error = rcd_json_string(*answer, "error");
    fputs("rcctl: refused: ", stderr);
    rcctl_text(stderr, error ? error : "no reason given");
    fputc('\n', stderr);
    return RCCTL_REFUSED;
}

int rcctl_spool_note(const rcctl_t *r, const char *kind)
{
    char name[RCCTL_NAME_MAX];
    cJSON *command = cJSON_CreateObject();
    int rc;

    cJSON_AddStringToObject(command, "cmd", "note");
    cJSON_AddStringToObject(command, "kind", kind);
    cJSON_AddTrueToObject(command, "unanswered");
    rc = send_command(r, command, name);
    cJSON_Delete(command);
    return rc;
}
