/*
 * rcd_audit_read - lines of the chain file, forward, in constant memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "rcd_audit_line.h"
#include "rcd_audit_read.h"

#define BUF_SIZE   (RCD_AUDIT_LINE_MAX + 64 * 1024)
#define BACK_SIZE  4096

int rcd_audit_reader_init(rcd_audit_reader_t *r, int fd, uint64_t offset)
{
    *r = (rcd_audit_reader_t){.fd = fd, .offset = offset, .buf = malloc(BUF_SIZE)};
    return r->buf == NULL ? -1 : 0;
}

void rcd_audit_reader_fini(rcd_audit_reader_t *r)
{
    free(r->buf);
    r->buf = NULL;
}

/* Reads more behind what is there: the number of bytes, 0 at the end of the file, -1. */
static ssize_t read_more(rcd_audit_reader_t *r)
{
    ssize_t n;

    if (r->begin > 0) {
        memmove(r->buf, r->buf + r->begin, r->end - r->begin);
        r->end -= r->begin;
        r->begin = 0;
    }
    do {
        n = pread(r->fd, r->buf + r->end, BUF_SIZE - r->end, (off_t) (r->offset + r->end));
    } while (n < 0 && errno == EINTR);
    r->end += n > 0 ? (size_t) n : 0;
    return n;
}

static void take(rcd_audit_reader_t *r, size_t len)
{
    r->begin += len;
    r->offset += len;
}

/* Passes the rest of a line that does not fit the buffer. */
static rcd_audit_read_t pass_long(rcd_audit_reader_t *r)
{
    for (;;) {
        char *newline = memchr(r->buf + r->begin, '\n', r->end - r->begin);
        ssize_t n;

        if (newline != NULL) {
            take(r, (size_t) (newline + 1 - (r->buf + r->begin)));
            return RCD_AUDIT_READ_LONG;
        }
        take(r, r->end - r->begin);
        n = read_more(r);
        if (n <= 0) {
            return n < 0 ? RCD_AUDIT_READ_FAILED : RCD_AUDIT_READ_LONG;
        }
    }
}

rcd_audit_read_t rcd_audit_reader_next(rcd_audit_reader_t *r, const char **line, size_t *len)
{
    size_t looked = 0;

    for (;;) {
        char *from = r->buf + r->begin, *newline;
        ssize_t n;

        newline = memchr(from + looked, '\n', r->end - r->begin - looked);
        if (newline != NULL && newline - from > RCD_AUDIT_LINE_MAX) {
            return pass_long(r);
        }
        if (newline != NULL) {
            *line = from;
            *len = (size_t) (newline - from);
            take(r, *len + 1);
            return RCD_AUDIT_READ_LINE;
        }
        looked = r->end - r->begin;
        if (looked > RCD_AUDIT_LINE_MAX) {
            return pass_long(r);
        }
        n = read_more(r);
        if (n <= 0) {
            *line = r->buf + r->begin;
            *len = r->end - r->begin;
            return n < 0 ? RCD_AUDIT_READ_FAILED
                         : *len > 0 ? RCD_AUDIT_READ_TORN : RCD_AUDIT_READ_END;
        }
    }
}

int rcd_audit_line_begin(int fd, uint64_t end, uint64_t *begin)
{
    /* a line, its end, and the end of the line before it */
    uint64_t at = end, floor = end > RCD_AUDIT_LINE_MAX + 2 ? end - (RCD_AUDIT_LINE_MAX + 2) : 0;
    char part[BACK_SIZE];

    errno = 0;
    while (at > floor) {
        size_t len = at - floor < sizeof(part) ? (size_t) (at - floor) : sizeof(part);
        size_t i = len;

        if (pread(fd, part, len, (off_t) (at - len)) != (ssize_t) len) {
            return -1;
        }
        if (at == end && part[--i] != '\n') {
            return -1;
        }
        while (i > 0 && part[i - 1] != '\n') {
            i--;
        }
        if (i > 0) {
            *begin = at - len + i;
            return 0;
        }
        at -= len;
    }
    *begin = 0;
    return at == 0 && end > 0 ? 0 : -1;
}
