/*
 * rcd_stage - a snapshot whole in a database of its own before anything of it is applied, in the
 * order of digests.
 *
 * The file lies in the state directory, holds no identifier, is never fsynced and is removed when
 * it is closed or found.
 */
#ifndef RCD_STAGE_H
#define RCD_STAGE_H

#include <sqlite3.h>
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

const char *rcd_stage_fault(const rcd_stage_t *g);

#endif
