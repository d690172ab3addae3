/*
 * ts_http.c - a strict HTTP/1.1 response parser (RFC 9112), fed byte by byte as they come.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "ts_http.h"

void ts_http_init(ts_http_t *h)
{
    memset(h, 0, offsetof(ts_http_t, line));
    memset(&h->status, 0, offsetof(ts_http_t, body) - offsetof(ts_http_t, status));
    h->gate_status[0] = '\0';
    h->backend_status[0] = '\0';
}

static ts_http_rc_t bad(ts_http_t *h, const char *error)
{
    h->error = error;
    return TS_HTTP_BAD;
}

static ts_http_rc_t done(ts_http_t *h)
{
    h->state = TS_HTTP_COMPLETE;
    return TS_HTTP_DONE;
}

/* Digits of a base, at least one and no other character; -1 on overflow or bad input. */
static int read_number(const char *text, size_t len, unsigned base, uint64_t *out)
{
    uint64_t n = 0;
    unsigned digit;

    if (len == 0 || len > 15)
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (text[i] >= '0' && text[i] <= '9')
            digit = (unsigned) (text[i] - '0');
        else if (isxdigit((unsigned char) text[i]))
            digit = (unsigned) (tolower((unsigned char) text[i]) - 'a' + 10);
        else
            return -1;
        if (digit >= base)
            return -1;
        n = n * base + digit;
    }
    *out = n;
    return 0;
}

static ts_http_rc_t status_line(ts_http_t *h)
{
    const char *s = h->line;
    uint64_t status;

    if (h->line_len < 12 || memcmp(s, "HTTP/1.", 7) != 0 || (s[7] != '0' && s[7] != '1')
        || s[8] != ' ' || read_number(s + 9, 3, 10, &status) != 0
        || (h->line_len > 12 && s[12] != ' ') || status < 100)
        return bad(h, "status line is not HTTP/1.x");
    h->status = (int) status;
    h->keep_alive = s[7] == '1';
    h->state = TS_HTTP_IN_HEADERS;
    return TS_HTTP_MORE;
}

static ts_http_rc_t keep(ts_http_t *h, char out[TS_HTTP_STATUS_MAX], const char *value, size_t len)
{
    if (out[0] != '\0')
        return bad(h, "JD-Status repeated");
    if (len == 0 || len >= TS_HTTP_STATUS_MAX)
        return bad(h, "JD-Status empty or too long");
    for (size_t i = 0; i < len; i++) {
        if (value[i] < 0x20 || value[i] > 0x7e)
            return bad(h, "JD-Status with other than printable ASCII");
    }
    memcpy(out, value, len);
    out[len] = '\0';
    return TS_HTTP_MORE;
}

static ts_http_rc_t content_length(ts_http_t *h, const char *value, size_t len)
{
    if (h->has_length)
        return bad(h, "Content-Length repeated");
    if (read_number(value, len, 10, &h->length) != 0)
        return bad(h, "Content-Length is not a number");
    h->has_length = 1;
    return TS_HTTP_MORE;
}

static ts_http_rc_t transfer_encoding(ts_http_t *h, const char *value, size_t len)
{
    if (h->chunked || len != 7 || strncasecmp(value, "chunked", 7) != 0)
        return bad(h, "Transfer-Encoding is not just chunked");
    h->chunked = 1;
    return TS_HTTP_MORE;
}

static ts_http_rc_t header(ts_http_t *h)
{
    char *colon = memchr(h->line, ':', h->line_len), *value, *end = h->line + h->line_len;
    size_t name_len, len;

    if (!colon || colon == h->line || memchr(h->line, ' ', (size_t) (colon - h->line))
        || memchr(h->line, '\t', (size_t) (colon - h->line)) || memchr(h->line, '\0', h->line_len))
        return bad(h, "header line without a name, folded, or with a space before its colon");
    name_len = (size_t) (colon - h->line);
    for (value = colon + 1; value < end && (*value == ' ' || *value == '\t'); value++)
        continue;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    len = (size_t) (end - value);

#define IS(name) (name_len == sizeof (name) - 1 && strncasecmp(h->line, name, name_len) == 0)
    if (IS("Content-Length"))
        return content_length(h, value, len);
    if (IS("Transfer-Encoding"))
        return transfer_encoding(h, value, len);
    if (IS("JD-Status"))
        return keep(h, h->gate_status, value, len);
    if (IS("X-Backend-JD-Status"))
        return keep(h, h->backend_status, value, len);
    if (IS("Connection") && len == 5 && strncasecmp(value, "close", 5) == 0)
        h->keep_alive = 0;
#undef IS
    return TS_HTTP_MORE;
}

/* The empty line: chooses how the body ends (RFC 9112, section 6.3). */
static ts_http_rc_t headers_end(ts_http_t *h)
{
    if (h->chunked && h->has_length)
        return bad(h, "both Content-Length and Transfer-Encoding");
    if (h->status < 200) {
        if (h->status == 101)
            return bad(h, "101 was not asked for");
        ts_http_init(h);
        h->started = 1;
        return TS_HTTP_MORE;
    }
    if (h->status == 204 || h->status == 304)
        return done(h);
    if (h->chunked) {
        h->state = TS_HTTP_IN_CHUNK_SIZE;
    } else if (h->has_length) {
        if (h->length == 0)
            return done(h);
        h->left = h->length;
        h->state = TS_HTTP_IN_BODY;
    } else {
        h->keep_alive = 0;
        h->state = TS_HTTP_IN_BODY_TO_CLOSE;
    }
    return TS_HTTP_MORE;
}

static ts_http_rc_t chunk_size(ts_http_t *h)
{
    char *extension = memchr(h->line, ';', h->line_len);
    size_t len = extension ? (size_t) (extension - h->line) : h->line_len;

    if (read_number(h->line, len, 16, &h->left) != 0)
        return bad(h, "chunk size is not a hexadecimal number");
    h->state = h->left ? TS_HTTP_IN_CHUNK_DATA : TS_HTTP_IN_TRAILERS;
    return TS_HTTP_MORE;
}

/* One whole line, without its CRLF. */
static ts_http_rc_t line(ts_http_t *h)
{
    switch (h->state) {
    case TS_HTTP_IN_STATUS:
        return status_line(h);
    case TS_HTTP_IN_HEADERS:
        return h->line_len ? header(h) : headers_end(h);
    case TS_HTTP_IN_CHUNK_SIZE:
        return chunk_size(h);
    case TS_HTTP_IN_CHUNK_END:
        if (h->line_len)
            return bad(h, "chunk longer than its size");
        h->state = TS_HTTP_IN_CHUNK_SIZE;
        return TS_HTTP_MORE;
    default:                                    /* trailers: read and ignored */
        return h->line_len ? TS_HTTP_MORE : done(h);
    }
}

/* Adds bytes up to the end of a line. Returns how many were taken; *rc tells of a whole line. */
static size_t feed_line(ts_http_t *h, const uint8_t *in, size_t len, ts_http_rc_t *rc)
{
    const uint8_t *newline = memchr(in, '\n', len);
    size_t n = newline ? (size_t) (newline - in) + 1 : len;

    if (h->line_len + n > TS_HTTP_LINE_MAX || h->head_len + n > TS_HTTP_HEAD_MAX) {
        *rc = bad(h, "header lines too long");
        return n;
    }
    memcpy(h->line + h->line_len, in, n);
    h->line_len += n;
    if (h->state != TS_HTTP_IN_CHUNK_SIZE && h->state != TS_HTTP_IN_CHUNK_END)
        h->head_len += n;
    if (!newline)
        return n;
    if (h->line_len < 2 || h->line[h->line_len - 2] != '\r') {
        *rc = bad(h, "line does not end with CRLF");
        return n;
    }
    h->line_len -= 2;
    *rc = line(h);
    h->line_len = 0;
    return n;
}

static size_t feed_body(ts_http_t *h, const uint8_t *in, size_t len)
{
    size_t n = len, kept;

    if (h->state != TS_HTTP_IN_BODY_TO_CLOSE) {
        n = h->left < len ? (size_t) h->left : len;
        h->left -= n;
    }
    kept = n < TS_HTTP_BODY_KEPT - h->kept_len ? n : TS_HTTP_BODY_KEPT - h->kept_len;
    memcpy(h->body + h->kept_len, in, kept);
    h->kept_len += kept;
    h->body_len += n;
    return n;
}

ts_http_rc_t ts_http_feed(ts_http_t *h, const uint8_t *in, size_t len)
{
    ts_http_rc_t rc = TS_HTTP_MORE;
    size_t at = 0;

    h->started |= len > 0;
    while (at < len && rc == TS_HTTP_MORE) {
        switch (h->state) {
        case TS_HTTP_COMPLETE:
            return bad(h, "bytes that nobody asked for");
        case TS_HTTP_IN_BODY_TO_CLOSE:
            at += feed_body(h, in + at, len - at);
            break;
        case TS_HTTP_IN_BODY:
            at += feed_body(h, in + at, len - at);
            if (h->left == 0)
                rc = done(h);
            break;
        case TS_HTTP_IN_CHUNK_DATA:
            at += feed_body(h, in + at, len - at);
            if (h->left == 0)
                h->state = TS_HTTP_IN_CHUNK_END;
            break;
        default:
            at += feed_line(h, in + at, len - at, &rc);
        }
    }
    if (rc == TS_HTTP_DONE && at < len)
        return bad(h, "bytes after the end of the response");
    return rc;
}

ts_http_rc_t ts_http_close(ts_http_t *h)
{
    if (h->state == TS_HTTP_IN_BODY_TO_CLOSE)
        return done(h);
    return bad(h, h->started ? "closed in the middle of a response" : "closed without a response");
}

size_t ts_http_param(const char *status, const char *name, char *out, size_t out_size)
{
    size_t name_len = strlen(name), n = 0;
    const char *p = status;
    int quoted = 0;

    for (; *p; p++) {               /* to the ';' before the name, quoted strings skipped */
        if (*p == '"')
            quoted = !quoted;
        else if (quoted && *p == '\\' && p[1])
            p++;
        else if (!quoted && *p == ';') {
            p += 1 + strspn(p + 1, " ");
            if (strncmp(p, name, name_len) == 0 && p[name_len] == '=')
                break;
            p--;
        }
    }
    if (!*p)
        return 0;
    p += name_len + 1;
    quoted = *p == '"';
    for (p += quoted; *p && (quoted ? *p != '"' : *p != ';' && *p != ' '); p++) {
        if (quoted && *p == '\\' && p[1])
            p++;
        if (n + 1 >= out_size)
            return 0;
        out[n++] = *p;
    }
    out[n] = '\0';
    return n;
}
