/*
 * rcd_lift - lifts in the journal: when each was decided, signed, applied, written to Redis, and at
 * how many gateways it has taken effect. Time-to-lift is computed from here.
 *
 * A gateway tells Redis the newest entry of the stream of lifts that it has seen (hash gates). No row
 * joins an order with a gateway: a lift counts gateways, and a gateway has one place in the stream.
 *
 * Every function returns 0 (or what it says) and -1 when the journal failed. put, sent and seen are
 * called inside the caller's transaction.
 */
#ifndef RCD_LIFT_H
#define RCD_LIFT_H

#include "rcd_store.h"

#define RCD_GATEWAY_MAX   64

extern const char rcd_lift_schema[];

int  rcd_lift_open(rcd_state_t *s);
void rcd_lift_close(rcd_state_t *s);

/* A verified lift that frees `measures` not free before; applied_ms = now, Unix milliseconds. */
int rcd_lift_put(rcd_state_t *s, const rcd_event_t *ev, uint16_t measures, int64_t applied_ms);

/* The oldest lift of this order that Redis has not confirmed: 1 and its times, or 0. */
int rcd_lift_unsent(rcd_state_t *s, const char *number, int64_t *toe, int64_t *iat,
                    int64_t *applied_ms);
/* Redis has all lifts of this order; `stream` is the packed id of its entry. */
int rcd_lift_sent(rcd_state_t *s, const char *number, uint64_t stream, int64_t redis_ms);

/* "<ms>-<n>" of a stream as one number that orders alike; 0 or -1. */
int rcd_lift_stream(const char *text, size_t len, uint64_t *packed);

/* Gateway `name` has seen the stream up to here, as it said at `ms`. */
int rcd_lift_seen(rcd_state_t *s, const char *name, uint64_t stream, int64_t ms);

/* ---- for reports, status and rcctl ---- */

typedef struct {
    int64_t  id;
    char     number[JD_ORDER_NUMBER_MAX + 1];
    int64_t  applied;                      /* Unix seconds */
    unsigned gates;
} rcd_lift_effect_t;

/* The oldest lift above id `after` that has taken effect at more gateways than the office was told
 * of: 1, or 0. */
int rcd_lift_effects_unreported(rcd_state_t *s, int64_t after, rcd_lift_effect_t *out);
/* The office was told of so many. A statement of its own: inside a transaction or not. */
int rcd_lift_effects_reported(rcd_state_t *s, int64_t id, unsigned gates);

typedef struct {                           /* milliseconds; n = 0: none */
    uint64_t n;
    int64_t  p50, p99;
} rcd_lift_span_t;

typedef struct rcd_lift_times_s {
    uint64_t lifts;                        /* applied since */
    uint64_t unwritten;                    /* of these not yet in Redis */
    uint64_t effective;                    /* at one gateway at least */
    uint64_t gateways;                     /* that have ever told */
    rcd_lift_span_t redis;                 /* from apply to Redis */
    rcd_lift_span_t toe, iat, apply;       /* to the first gateway */
    rcd_lift_span_t last;                  /* from apply to the last gateway known */
} rcd_lift_times_t;

typedef struct {                           /* Unix milliseconds, 0 = not yet */
    int64_t  applied, redis, first, last;  /* first, last: at the first gateway, at the newest */
    unsigned gates;
} rcd_lift_course_t;

/* The course of an order's first lift: 1, or 0 when none is known. */
int rcd_lift_course(rcd_state_t *s, const char *number, rcd_lift_course_t *out);

/* Of lifts applied since. Reads all of them: for rcctl, not for the daemon's loop. */
int rcd_lift_times(rcd_state_t *s, int64_t since_ms, rcd_lift_times_t *out);

#endif
