/*
 * rcd_ledger_name - names and fields of the ledger in Redis, as gates write them: read strictly,
 * and refused when they are not of their form. Pure.
 */
#ifndef RCD_LEDGER_NAME_H
#define RCD_LEDGER_NAME_H

#include <stddef.h>
#include <stdint.h>
#include "core/jd_order.h"

#define RCD_GATEWAY_MAX       64        /* A-Z a-z 0-9 . _ -, not "-" alone */
#define RCD_RUN_LEN           32        /* lower-case hex */
#define RCD_PERIOD_MAX        13        /* "2026-11", or "2026-11-25T10" */
#define RCD_LEDGER_TOTAL_MAX  ((INT64_C(1) << 48) - 1)
#define RCD_LEDGER_CLOSED     ".closed"

typedef enum {
    RCD_LEDGER_ORDERS = 1,              /* denials by order and measure; a month at +08:00 */
    RCD_LEDGER_HOURS = 2                /* by measure and authority, of one gateway; an hour, UTC */
} rcd_ledger_kind_t;

typedef struct {                        /* jd:{L}:ledger:<gateway or ->:<run>:<period> */
    rcd_ledger_kind_t kind;
    char              gateway[RCD_GATEWAY_MAX + 1];   /* "" of RCD_LEDGER_ORDERS */
    char              run[RCD_RUN_LEN + 1];
    char              period[RCD_PERIOD_MAX + 1];
    int64_t           from, until;      /* the period, Unix seconds */
} rcd_ledger_key_t;

/* 0, or -1 when `text` is no such key of `list`. */
int rcd_ledger_key_parse(rcd_ledger_key_t *key, const char *list, const char *text, size_t len);

/* "2026-11" to its first second and the one behind its last, at +08:00. 0 or -1. */
int rcd_month_parse(const char *text, size_t len, int64_t *from, int64_t *until);
/* The month of an instant, at +08:00. */
void rcd_month_of(int64_t at, char out[8]);

typedef struct {
    unsigned    measure;                /* bit */
    int         dry;                    /* of RCD_LEDGER_HOURS: counted in a dry run */
    const char *text;                   /* order number, or authority; not NUL-terminated */
    size_t      len;
} rcd_ledger_field_t;

/* "<order> <measure>" or "<measure> d|y <authority>". 0 or -1; `field` points into `text`. */
int rcd_ledger_field_parse(rcd_ledger_field_t *field, rcd_ledger_kind_t kind, const char *text,
                           size_t len);

/* A total, 1..RCD_LEDGER_TOTAL_MAX in decimal digits without a leading zero. 0 or -1. */
int rcd_ledger_total_parse(const char *text, size_t len, int64_t *total);

/* ".closed": "<cells> <sum>". 0 or -1. */
int rcd_ledger_closed_parse(const char *text, size_t len, int64_t *cells, int64_t *sum);

#endif
