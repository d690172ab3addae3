/*
 * ts_office_client.c - a control command's way to the office, served or not.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "ts_office.h"

#define BUSY_MS   10000 /* how long to try while another process holds the directory */
#define RETRY_MS  5

/* ---- printing -------------------------------------------------------------------------------- */

/* "name value  name value" */
static void print_line(const cJSON *line)
{
    const cJSON *item;
    const char *gap = "";

    cJSON_ArrayForEach(item, line) {
        char *value =
            cJSON_IsString(item) ? strdup(item->valuestring) : cJSON_PrintUnformatted(item);
        printf("%s%s %s", gap, item->string, value ? value : "");
        free(value);
        gap = "  ";
    }
    if (*gap)
        putchar('\n');
}

/* Reads the answer to its end. Returns the exit code. */
static int print_answer(const char *dir, FILE *answer, int json, ts_answer_fn each, void *data)
{
    char *text = NULL;
    size_t size = 0;
    int rc = -1;

    while (rc < 0 && getline(&text, &size, answer) > 0) {
        cJSON *line = cJSON_Parse(text);
        const cJSON *ok = cJSON_GetObjectItemCaseSensitive(line, "ok");
        const cJSON *error = cJSON_GetObjectItemCaseSensitive(line, "error");

        if (cJSON_IsBool(ok))
            rc = cJSON_IsTrue(ok) ? TS_EXIT_OK : TS_EXIT_WRONG;
        if (rc == TS_EXIT_WRONG)
            ts_complain("%s: %s", dir, cJSON_IsString(error) ? error->valuestring : "refused");
        else if (rc < 0 && each)
            each(data, line);
        else if (rc < 0 && json)
            fputs(text, stdout);
        else if (rc < 0)
            print_line(line);
        cJSON_Delete(line);
    }
    free(text);
    if (rc < 0) {
        ts_complain("%s: the office ended before it answered", dir);
        return TS_EXIT_WRONG;
    }
    return rc;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* Connected socket, or -1: nobody serves. */
static int connect_office(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, (const struct sockaddr *) address, sizeof *address) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Copies `in` to its end. */
static void pour(FILE *in, FILE *out)
{
    char block[65536];
    size_t n;

    while (in && (n = fread(block, 1, sizeof block, in)) > 0 && fwrite(block, 1, n, out) == n) {
    }
}

static int ask_server(const char *dir, int fd, const char *request, FILE *in, int json,
                      ts_answer_fn each, void *data)
{
    int copy = dup(fd), rc;
    FILE *out = fdopen(fd, "w"), *answer = copy < 0 ? NULL : fdopen(copy, "r");

    if (!out || !answer) {
        close(fd);
        return ts_complain("%s: %s", dir, strerror(errno));
    }
    fprintf(out, "%s\n", request);
    pour(in, out);
    fflush(out);                                /* an error shows in the answer */
    shutdown(fd, SHUT_WR);
    rc = print_answer(dir, answer, json, each, data);
    fclose(out);
    fclose(answer);
    return rc;
}

static int ask_here(ts_office_t *o, const cJSON *request, FILE *in, int json, ts_answer_fn each,
                    void *data)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len), *answer;
    int rc = TS_EXIT_WRONG;

    if (out) {
        ts_command(o, request, in, out);
        fclose(out);
        answer = fmemopen(text, len, "r");
        if (answer) {
            rc = print_answer(o->dir, answer, json, each, data);
            fclose(answer);
        }
    }
    free(text);
    return rc;
}

int ts_ask(const char *dir, const cJSON *request, FILE *in, int json, ts_answer_fn each, void *data)
{
    int64_t end_ms = ts_now_ms() + BUSY_MS;
    struct sockaddr_un address;
    ts_office_t office;
    char *text;
    int fd, rc;

    if (ts_socket_address(dir, &address) != 0)
        return TS_EXIT_USAGE;
    do {
        fd = connect_office(&address);
        if (fd >= 0) {
            text = cJSON_PrintUnformatted(request);
            rc = ask_server(dir, fd, text ? text : "", in, json, each, data);
            free(text);
            return rc;
        }
        rc = ts_office_open(&office, dir);
        if (rc == 0) {
            rc = ask_here(&office, request, in, json, each, data);
            ts_office_close(&office);
            return rc;
        }
        if (rc < 0)
            return TS_EXIT_USAGE;
        nanosleep(&(struct timespec) { .tv_nsec = RETRY_MS * 1000000L }, NULL);
    } while (ts_now_ms() < end_ms); /* a server that starts or ends, or another command */
    return ts_complain("%s: another process holds the directory (DIR/lock)", dir);
}
