/*
 * rcd_ledger_rows - the ledger in the journal: totals by maximum, periods, batches. Rows in, rows
 * out.
 *
 *   ledger_period  one gate's period: a run and a month (order counts) or an hour; rows and sum as
 *                  we have them; closed = the gate has said the same
 *   ledger_order   denials by order and measure, of one run and month
 *   ledger_count   the same summed over all runs; sent = what the office has given a receipt for
 *   ledger_hour    denials and dry-run denials by measure and authority, of one run and hour; sent
 *   ledger_batch   batches as frozen, byte by byte, and their receipts
 *   ledger_state   where the chain of batches stands, and when order counts go out next
 *
 * No row joins an order with a gateway or an hour: order counts come under a run of their own, no
 * time is kept with them, and tables without rowids keep no order of arrival.
 *
 * Functions return 0 (or what they say) and -1 when the journal failed; s->fault says why.
 */
#ifndef RCD_LEDGER_ROWS_H
#define RCD_LEDGER_ROWS_H

#include "rcd_ledger_name.h"
#include "rcd_state.h"

#define RCD_HASH_HEX   64

extern const char rcd_ledger_schema[];

int  rcd_ledger_rows_open(rcd_state_t *s);
void rcd_ledger_rows_close(rcd_state_t *s);

/* ---- totals: inside a transaction of the caller ---------------------------------------------- */

/* Takes a total of one field by maximum: 1 it grew, 0 it did not. A period whose total grows is
 * open again until the gate's sum agrees. */
int rcd_ledger_max(rcd_state_t *s, const rcd_ledger_key_t *key, const rcd_ledger_field_t *field,
                   int64_t total);

typedef struct {
    int64_t rows, sum;
    int     closed;
} rcd_ledger_period_t;

/* 1 known, 0 not; -2 when this run is known under another gateway. */
int rcd_ledger_period(rcd_state_t *s, const rcd_ledger_key_t *key, rcd_ledger_period_t *out);
int rcd_ledger_period_put(rcd_state_t *s, const rcd_ledger_key_t *key);
int rcd_ledger_period_close(rcd_state_t *s, const rcd_ledger_key_t *key);
/* 1 when the office has given receipts for all that is in the period. */
int rcd_ledger_period_sent(rcd_state_t *s, const rcd_ledger_key_t *key);

/* 1 when a gate has not closed its period of this name (a month or an hour), 0 when all have. */
int rcd_ledger_is_open(rcd_state_t *s, const char *period);

/* ---- what waits to be sent ------------------------------------------------------------------- */

typedef struct {
    char     month[8];
    char     number[JD_ORDER_NUMBER_MAX + 1];
    unsigned measure;
    int64_t  total;
} rcd_ledger_count_t;

/* Unsent order counts behind `*at` (all zero = from the start) in order; NULL month: of any, else
 * of this one. At most `max`; their number. */
int rcd_ledger_counts_unsent(rcd_state_t *s, const rcd_ledger_count_t *at, const char *month,
                             rcd_ledger_count_t *out, int max);
/* The first month with unsent counts whose periods are all closed: 1 and the month, or 0. */
int rcd_ledger_month_ready(rcd_state_t *s, char month[8]);

typedef struct {
    char     hour[RCD_PERIOD_MAX + 1];
    unsigned measure;
    char     authority[JD_GROUNDS_TEXT_MAX + 1];
    int64_t  denied, dry_run;
} rcd_ledger_hour_t;

/* The first run above `after` ("" = from the start) with unsent hours (closed_only: in a closed
 * period): 1 with run and gateway, or 0. */
int rcd_ledger_run_unsent(rcd_state_t *s, const char *after, int closed_only,
                          char run[RCD_RUN_LEN + 1], char gateway[RCD_GATEWAY_MAX + 1]);
/* Calls `each` with hours of a run of which a count is unsent, both counts as they are now, until
 * it returns non-zero. */
int rcd_ledger_hours_unsent(rcd_state_t *s, const char *run,
                            int (*each)(void *arg, const rcd_ledger_hour_t *h), void *arg);

/* The office has these totals. */
int rcd_ledger_count_sent(rcd_state_t *s, const rcd_ledger_count_t *c);
int rcd_ledger_hour_sent(rcd_state_t *s, const char *run, const rcd_ledger_hour_t *h);

/* ---- batches --------------------------------------------------------------------------------- */

typedef struct {
    char               chain[RCD_RUN_LEN + 1];     /* of batches; "" until the first */
    int64_t            n;                          /* newest batch, 0 = none */
    char               tail[RCD_HASH_HEX + 1];     /* its hash */
    int64_t            orders_due;                 /* when order counts of open months may go out */
    int                draining;                   /* they are going out; */
    rcd_ledger_count_t cursor;                     /* up to here they went */
} rcd_ledger_state_t;

int rcd_ledger_state(rcd_state_t *s, rcd_ledger_state_t *out);
int rcd_ledger_state_save(rcd_state_t *s, const rcd_ledger_state_t *state);

typedef struct {
    int64_t n;
    char    hash[RCD_HASH_HEX + 1];
    char   *body;                                  /* to be freed */
    int64_t at;
} rcd_ledger_batch_t;

int rcd_ledger_batch_put(rcd_state_t *s, const char *chain, const rcd_ledger_batch_t *b);
/* The oldest batch of the chain that waits for its receipt: 1 and the batch, or 0. */
int rcd_ledger_batch_next(rcd_state_t *s, const char *chain, rcd_ledger_batch_t *out);
int rcd_ledger_batch_receipt(rcd_state_t *s, const char *chain, int64_t n, const char *receipt);
/* Batches of the chain above `n` wait for a receipt again; their number. */
int rcd_ledger_batches_rewind(rcd_state_t *s, const char *chain, int64_t n);
/* Nothing of the chain waits any more: what it held is unsent still, and goes out anew. */
int rcd_ledger_chain_drop(rcd_state_t *s, const char *chain);

/* ---- the whole (retain and each_*: rcd_ledger_scan.c) ---------------------------------------- */

/* Removes some of what is older than `before` (Unix seconds) and has its receipts: rows removed; to
 * be called again until it is 0. */
int rcd_ledger_retain(rcd_state_t *s, int64_t before);

typedef struct {
    int64_t open;                                  /* gates' periods not closed yet */
    int64_t unsent;                                /* totals that the office does not have yet */
    int64_t waiting;                               /* batches without a receipt */
} rcd_ledger_counts_t;

int rcd_ledger_counts(rcd_state_t *s, rcd_ledger_counts_t *out);

/* Readers, for rcctl: every order count, and every hour, in order; `each` returns 0 to go on. Of a
 * month (its first and last instant) or all (until = 0). */
int rcd_ledger_each_count(rcd_state_t *s, const char *month,
                          int (*each)(void *arg, const rcd_ledger_count_t *c, int64_t sent),
                          void *arg);
int rcd_ledger_each_hour(rcd_state_t *s, int64_t from, int64_t until,
                         int (*each)(void *arg, const char *gateway, const rcd_ledger_hour_t *h,
                                     int closed), void *arg);

#endif
