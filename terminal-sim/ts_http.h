/*
 * ts_http.h - a strict HTTP/1.1 response parser: bytes in, one whole response out.
 */
#ifndef TS_HTTP_H
#define TS_HTTP_H

#include <stddef.h>
#include <stdint.h>

#define TS_HTTP_LINE_MAX    8192        /* one header, status or chunk line */
#define TS_HTTP_HEAD_MAX    32768       /* all lines of one response together */
#define TS_HTTP_BODY_KEPT   4096        /* bytes of a body that are kept; the rest is counted */
#define TS_HTTP_STATUS_MAX  512         /* bytes of a kept JD-Status */

typedef enum {
    TS_HTTP_MORE,               /* feed more bytes */
    TS_HTTP_DONE,               /* one whole response */
    TS_HTTP_BAD                 /* not HTTP/1.1: `error` says what */
} ts_http_rc_t;

typedef enum {
    TS_HTTP_IN_STATUS,
    TS_HTTP_IN_HEADERS,
    TS_HTTP_IN_BODY,            /* `left` bytes to go */
    TS_HTTP_IN_BODY_TO_CLOSE,
    TS_HTTP_IN_CHUNK_SIZE,
    TS_HTTP_IN_CHUNK_DATA,      /* `left` bytes to go */
    TS_HTTP_IN_CHUNK_END,
    TS_HTTP_IN_TRAILERS,
    TS_HTTP_COMPLETE
} ts_http_state_t;

typedef struct {
    ts_http_state_t state;
    const char     *error;              /* static phrase */
    uint64_t        left;
    size_t          head_len;           /* bytes of all lines so far */
    size_t          line_len;
    char            line[TS_HTTP_LINE_MAX];

    int             status;
    int             started;            /* at least one byte was fed */
    int             keep_alive;
    int             has_length;
    int             chunked;
    uint64_t        length;
    uint64_t        body_len;           /* whole body */
    size_t          kept_len;           /* of `body` */
    uint8_t         body[TS_HTTP_BODY_KEPT];
    char            gate_status[TS_HTTP_STATUS_MAX];      /* JD-Status of the gate, "" = none */
    char            backend_status[TS_HTTP_STATUS_MAX];   /* what our backends were given */
} ts_http_t;

/* Makes ready for the next response. */
void ts_http_init(ts_http_t *h);

/*
 * Feeds `len` bytes. Refused, as a client that trusts them could be lied to: obs-fold, white space
 * before a colon, a Content-Length that is repeated or not digits only, Content-Length with
 * Transfer-Encoding, a coding other than chunked, bytes after the response (nobody asked for a
 * second one), a repeated JD-Status. Interim 1xx responses are skipped.
 */
ts_http_rc_t ts_http_feed(ts_http_t *h, const uint8_t *in, size_t len);

/* The peer closed: TS_HTTP_DONE when that is how this body ends, else TS_HTTP_BAD. */
ts_http_rc_t ts_http_close(ts_http_t *h);

/* Finds parameter `name` of a JD-Status (RFC 8941 item with parameters; string or token) and copies
 * its value. Returns its length, 0 when it is not there or does not fit. */
size_t ts_http_param(const char *status, const char *name, char *out, size_t out_size);

#endif
