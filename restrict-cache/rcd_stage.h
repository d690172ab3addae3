/*
 * rcd_stage - a snapshot whole in a database of its own before anything of it is applied, in the
 * order of digests.
 *
 * The file lies in the state directory and holds no identifier. It is never fsynced, and removed when
 * it is closed or found; unless it is kept, because what it adds waits for the operator (rcd_hold).
 */
#ifndef RCD_STAGE_H
#define RCD_STAGE_H

#include <sqlite3.h>
#include "rcd_growth.h"
#include "rcd_order.h"
#include "rcd_state.h"

typedef struct rcd_stage_s rcd_stage_t;

/* `dir` "" keeps it in memory. NULL with a reason. */
rcd_stage_t *rcd_stage_create(const char *dir, char *err, size_t err_size);
void rcd_stage_destroy(rcd_stage_t *g);

/* A good record. Returns 0, 1 when its number is there already (then both are refused as
 * jd_duplicate), -1 failed. */
int rcd_stage_put(rcd_stage_t *g, const rcd_order_t *o);
/* A record that did not parse, with its number if that could be read. 0 or -1. */
int rcd_stage_refuse(rcd_stage_t *g, const rcd_result_t *res);

/* The lowest digest above `after` (NULL: the lowest): 1 and the digest, 0, -1. */
int rcd_stage_next(rcd_stage_t *g, const uint8_t *after, uint8_t digest[JD_DIGEST_LEN]);
/* The order with the lowest number above `after` of one digest: 1, 0, -1. */
int rcd_stage_order(rcd_stage_t *g, const uint8_t digest[JD_DIGEST_LEN], const char *after,
                    rcd_order_t *o);
/* The first refused record after position *pos, which is moved: 1, 0, -1. */
int rcd_stage_refused(rcd_stage_t *g, int64_t *pos, rcd_result_t *res);
/* 1 when the number is in the snapshot, good or refused; 0; -1. */
int rcd_stage_has(rcd_stage_t *g, const char *number);

/* Notes that an order of the stage adds to the list. 0 or -1. */
int rcd_stage_adds(rcd_stage_t *g, const rcd_order_t *o, rcd_adds_t adds);
/* Good and refused records put in since rcd_stage_create. */
void rcd_stage_counts(const rcd_stage_t *g, uint64_t *good, uint64_t *refused);

/* Puts the whole stage on disk under `path`, fsynced; it stays there when the stage is closed. 0, or -1
 * with a reason. In memory: nothing is done. */
int rcd_stage_keep(rcd_stage_t *g, const char *path, char *err, size_t err_size);
/* A kept one, read-only. NULL with a reason. */
rcd_stage_t *rcd_stage_open(const char *path, char *err, size_t err_size);

/* What it adds, by authority and basis, the most first: orders, of these wider terms, and measures by
 * bit. `each` returns 0 to go on. 0 or -1. Reads the whole stage. */
typedef struct {
    const char *authority, *basis;
    uint64_t    orders, terms, measure[JD_MEASURE_N];
} rcd_stage_sum_t;
int rcd_stage_sums(rcd_stage_t *g, int (*each)(void *arg, const rcd_stage_sum_t *sum), void *arg);
/* At most `max` order numbers of what it adds, chosen by the key (the same key, the same numbers), in
 * ascending order. Their number, or -1. Reads the whole stage. */
int rcd_stage_samples(rcd_stage_t *g, const uint8_t key[16],
                      char (*numbers)[JD_ORDER_NUMBER_MAX + 1], unsigned max);

const char *rcd_stage_fault(const rcd_stage_t *g);

#endif
