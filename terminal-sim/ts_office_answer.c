/*
 * ts_office_answer.c - bodies of answers: text or file, gzip, cut short, without end.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <microhttpd.h>
#include <zlib.h>

#include "ts_office_feed.h"

#define BLOCK  65536

typedef struct {
    char    *text;                  /* the source: this, */
    int      fd;                    /* or this */
    uint64_t len;
    uint64_t off;                   /* read so far */
    int      truncate;              /* half of it, then the connection ends */
    int      endless;               /* then spaces */
    int      gzip;
    int      finished;              /* the gzip stream has its end */
    z_stream z;
    unsigned char in[BLOCK];
} body_t;

static ssize_t read_source(body_t *b, char *out, size_t max)
{
    uint64_t end = b->truncate ? b->len / 2 : b->len;
    size_t n = end - b->off < max ? (size_t) (end - b->off) : max;
    ssize_t got = (ssize_t) n;

    if (n == 0) {
        if (b->truncate)
            return MHD_CONTENT_READER_END_WITH_ERROR;
        if (!b->endless)
            return MHD_CONTENT_READER_END_OF_STREAM;
        memset(out, ' ', max);
        return (ssize_t) max;
    }
    if (b->text)
        memcpy(out, b->text + b->off, n);
    else
        got = pread(b->fd, out, n, (off_t) b->off);
    if (got <= 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    b->off += (uint64_t) got;
    return got;
}

static ssize_t read_gzip(body_t *b, char *out, size_t max)
{
    ssize_t n;

    b->z.next_out = (unsigned char *) out;
    b->z.avail_out = (unsigned) max;
    while (b->z.avail_out == max && !b->finished) {
        int flush = Z_NO_FLUSH;

        if (b->z.avail_in == 0) {
            n = read_source(b, (char *) b->in, sizeof b->in);
            if (n == MHD_CONTENT_READER_END_WITH_ERROR)
                return n;
            if (n == MHD_CONTENT_READER_END_OF_STREAM)
                flush = Z_FINISH;
            b->z.next_in = b->in;
            b->z.avail_in = n > 0 ? (unsigned) n : 0;
        }
        if (deflate(&b->z, flush) == Z_STREAM_END)
            b->finished = 1;
    }
    n = (ssize_t) (max - b->z.avail_out);
    return n > 0 ? n : MHD_CONTENT_READER_END_OF_STREAM;
}

static ssize_t read_body(void *data, uint64_t pos, char *out, size_t max)
{
    body_t *b = data;

    (void) pos;
    return b->gzip ? read_gzip(b, out, max) : read_source(b, out, max);
}

static void free_body(void *data)
{
    body_t *b = data;

    if (b->gzip)
        deflateEnd(&b->z);
    if (b->fd >= 0)
        close(b->fd);
    free(b->text);
    free(b);
}

/* Window bits of zlib for the gzip format: 15 and 16. */
static int begin_gzip(body_t *b)
{
    b->gzip = deflateInit2(&b->z, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK;
    return b->gzip ? 0 : -1;
}

static struct MHD_Response *respond(ts_office_t *o, int at, char *text, int fd, uint64_t len,
                                    int gzip)
{
    body_t *b = calloc(1, sizeof *b);
    struct MHD_Response *response;

    if (!b) {
        free(text);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    b->text = text;
    b->fd = fd;
    b->len = len;
    if (at >= 0) {
        b->truncate = ts_fault(o->faults, TS_F_TRUNCATE, (ts_endpoint_t) at) != NULL;
        b->endless = ts_fault(o->faults, TS_F_ENDLESS, (ts_endpoint_t) at) != NULL;
        ts_fault_used(o->faults, TS_F_TRUNCATE, (ts_endpoint_t) at);
        ts_fault_used(o->faults, TS_F_ENDLESS, (ts_endpoint_t) at);
    }
    if (gzip && begin_gzip(b) != 0) {
        free_body(b);
        return NULL;
    }
    response = MHD_create_response_from_callback(b->gzip || b->endless ? MHD_SIZE_UNKNOWN : len,
                                                 BLOCK, read_body, b, free_body);
    if (!response)
        free_body(b);
    return response;
}

struct MHD_Response *ts_answer(ts_office_t *o, int at, char *text, size_t len)
{
    return respond(o, at, text, -1, len, 0);
}

struct MHD_Response *ts_answer_file(ts_office_t *o, int at, int fd, uint64_t bytes, int gzip)
{
    return respond(o, at, NULL, fd, bytes, gzip);
}
