/*
 * rcd_applier - applies a verified snapshot or an import: one at a time, step by step.
 */
#ifndef RCD_APPLIER_H
#define RCD_APPLIER_H

#include "rcd_claims.h"
#include "rcd_state.h"

/* Called once when the work has ended. `counts` is NULL and `err` says why when it failed. */
typedef void (*rcd_applied_pt)(void *owner, const rcd_snapshot_counts_t *counts, const char *err);

typedef struct {
    rcd_snapshot_t *sn;                /* NULL: idle */
    rcd_applied_pt  done;
    void           *owner;
    uint64_t        n_done, n_total;   /* progress of the work at hand */
} rcd_applier_t;

/*
 * Begins to apply the NDJSON at `path`, which must stay until `done`. `claims` NULL: unsigned, observe
 * only; `asked_relief_seq`: rcd_statement_t. Returns 0 and calls `done` later from rcd_applier_step; or
 * -1 with err, at once ("busy" while another is at work).
 */
int rcd_applier_begin(rcd_applier_t *a, rcd_state_t *s, const rcd_rules_t *rules, const char *path,
                      const rcd_snapshot_claims_t *claims, uint64_t asked_relief_seq, int64_t now,
                      rcd_applied_pt done, void *owner, char *err, size_t err_size);
/* The same for the snapshot that waited and is approved. */
int rcd_applier_approved(rcd_applier_t *a, rcd_state_t *s, const rcd_rules_t *rules, int64_t now,
                         rcd_applied_pt done, void *owner, char *err, size_t err_size);

/* One step of at most about 10 ms. Returns 1 while there is more to do. */
int rcd_applier_step(rcd_applier_t *a);

/* Ends the work unfinished; `done` hears `why`. */
void rcd_applier_abort(rcd_applier_t *a, const char *why);

#endif
