/*
 * ts_lines.c - reads a text file line by line while another process appends to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ts.h"

#define CHUNK     65536
#define LINE_BYTES_MAX (1024 * 1024)

struct ts_lines {
    char    *path;
    int      fd;
    char    *text;                  /* bytes of lines not yet whole */
    size_t   len;
    size_t   size;
    unsigned number;                /* of the last line given */
};

int ts_complain(const char *format, ...)
{
    va_list args;

    fputs("terminal-sim: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return TS_EXIT_USAGE;
}

ts_lines_t *ts_lines_open(const char *path)
{
    ts_lines_t *lines;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        ts_complain("%s: %s", path, strerror(errno));
        return NULL;
    }
    lines = calloc(1, sizeof *lines);
    if (lines)
        lines->path = strdup(path);
    if (!lines || !lines->path) {
        ts_complain("out of memory");
        free(lines);
        close(fd);
        return NULL;
    }
    lines->fd = fd;
    return lines;
}

void ts_lines_close(ts_lines_t *lines)
{
    if (!lines)
        return;
    close(lines->fd);
    free(lines->path);
    free(lines->text);
    free(lines);
}

/* Gives the whole lines of the buffer and keeps the rest at its front. */
static int give(ts_lines_t *lines, int final, ts_line_fn fn, void *data)
{
    size_t at = 0, len;
    char *end;
    int rc = 0;

    while (rc == 0 && at < lines->len) {
        end = memchr(lines->text + at, '\n', lines->len - at);
        if (!end && !final)
            break;
        len = end ? (size_t) (end - lines->text) - at : lines->len - at;
        lines->number++;
        if (len > 0 && lines->text[at] != '#')
            rc = fn(data, lines->text + at, len, lines->number);
        at += len + (end != NULL);
    }
    memmove(lines->text, lines->text + at, lines->len - at);
    lines->len -= at;
    return rc;
}

static int grow(ts_lines_t *lines)
{
    char *text;

    if (lines->size - lines->len >= CHUNK)
        return 0;
    if (lines->len > LINE_BYTES_MAX) {
        ts_complain("%s:%u: line longer than 1 MiB", lines->path, lines->number + 1);
        return -1;
    }
    text = realloc(lines->text, lines->len + CHUNK);
    if (!text) {
        ts_complain("out of memory");
        return -1;
    }
    lines->text = text;
    lines->size = lines->len + CHUNK;
    return 0;
}

int ts_lines_read(ts_lines_t *lines, int final, ts_line_fn fn, void *data)
{
    ssize_t n;
    int rc;

    for (;;) {
        if (grow(lines) != 0)
            return -1;
        n = read(lines->fd, lines->text + lines->len, lines->size - lines->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            ts_complain("%s: %s", lines->path, strerror(errno));
            return -1;
        }
        lines->len += (size_t) n;
        rc = give(lines, final && n == 0, fn, data);
        if (rc != 0 || n == 0)
            return rc;
    }
}
