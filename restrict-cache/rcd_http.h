/*
 * rcd_http - HTTPS to the office: several requests at once, each capped in bytes and time.
 *
 * The server is verified by the CA file, always; TLS 1.2 at least; no redirect is followed; no
 * other scheme, proxy or name from the environment.
 */
#ifndef RCD_HTTP_H
#define RCD_HTTP_H

#include <stddef.h>
#include <stdint.h>
#include "rcd_config.h"

typedef struct rcd_http_s rcd_http_t;
typedef struct rcd_http_call_s rcd_http_call_t;

typedef struct {
    int         status;           /* HTTP status, 0 when the transfer failed */
    const char *fault;            /* why it failed; NULL when there is a status */
    const char *body;             /* decoded; NUL-terminated; "" when it went to the sink */
    size_t      len;
    long        retry_after_sec;  /* of a Retry-After header in seconds, -1 = none */
} rcd_http_answer_t;

/* Called from rcd_http_step, once per call; the call and the answer are gone when it returns. */
typedef void (*rcd_http_done_pt)(void *owner, const rcd_http_answer_t *answer);

/* Takes decoded bytes of a 200 answer as they come. Returns 0, or -1 to end the transfer (the fault
 * then says that it cannot be stored). */
typedef int (*rcd_http_sink_pt)(void *owner, const char *bytes, size_t len);

typedef struct {
    const char      *path;        /* under {base}, without leading '/' */
    const char      *body;        /* JSON to POST; NULL = GET. Copied */
    uint64_t         max_bytes;   /* of the answer's body, decoded; the transfer ends beyond */
    long             timeout_sec; /* of the whole exchange */
    /* of answers ready in one turn the lowest rank is handed out first */
    unsigned         rank;
    rcd_http_sink_pt sink;        /* NULL: the body is collected in memory */
    rcd_http_done_pt done;
    void            *owner;
} rcd_http_request_t;

/* `office` must outlive it. NULL when libcurl cannot be set up. */
rcd_http_t *rcd_http_create(const rcd_config_office_t *office);
/* cancels every call; their `done` are not called */
void rcd_http_destroy(rcd_http_t *h);

/* Starts a request. NULL when memory is short. */
rcd_http_call_t *rcd_http_start(rcd_http_t *h, const rcd_http_request_t *request);
void rcd_http_cancel(rcd_http_t *h, rcd_http_call_t *call);

/* Moves all transfers, hands out what is finished. Does not block. */
void rcd_http_step(rcd_http_t *h);

/* 1 when a transfer has news, which rcd_http_step would take. */
int  rcd_http_ready(rcd_http_t *h);

/* Waits until a transfer of either, or one of the descriptors, is ready, at most `timeout_ms`. */
void rcd_http_wait(rcd_http_t *h, rcd_http_t *other, const int *fds, unsigned n_fds, int timeout_ms);

#endif
