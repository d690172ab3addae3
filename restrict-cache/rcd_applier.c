/*
 * rcd_applier - applies a verified snapshot or an import: one at a time, step by step.
 */
#include <stdio.h>
#include <string.h>
#include "rcd_applier.h"

/* `a` is idle before `done` is called: it may begin the next. */
static void finish(rcd_applier_t *a, const rcd_snapshot_counts_t *counts, const char *err)
{
    rcd_snapshot_end(a->sn);
    a->sn = NULL;
    a->done(a->owner, counts, err);
}

/* 0, or -1 when there is nothing to do or something at work. */
static int take(rcd_applier_t *a, rcd_snapshot_t *sn, rcd_applied_pt done, void *owner)
{
    if (sn == NULL) {
        return -1;
    }
    a->sn = sn;
    a->done = done;
    a->owner = owner;
    a->n_done = a->n_total = 0;
    return 0;
}

int rcd_applier_begin(rcd_applier_t *a, rcd_state_t *s, const rcd_rules_t *rules, const char *path,
                      const rcd_snapshot_claims_t *claims, uint64_t asked_relief_seq, int64_t now,
                      rcd_applied_pt done, void *owner, char *err, size_t err_size)
{
    rcd_statement_t st = {0};

    if (a->sn != NULL) {
        snprintf(err, err_size, "busy");
        return -1;
    }
    if (claims != NULL) {
        st = (rcd_statement_t){.epoch = claims->head.epoch, .seq = claims->head.seq,
                               .relief_seq = claims->head.relief_seq, .iat = claims->head.iat,
                               .asked_relief_seq = asked_relief_seq};
        memcpy(st.sha256, claims->sha256, sizeof(st.sha256));
    }
    return take(a, rcd_snapshot_begin(s, rules, path, claims != NULL ? &st : NULL, now, err,
                                      err_size), done, owner);
}

int rcd_applier_approved(rcd_applier_t *a, rcd_state_t *s, const rcd_rules_t *rules, int64_t now,
                         rcd_applied_pt done, void *owner, char *err, size_t err_size)
{
    if (a->sn != NULL) {
        snprintf(err, err_size, "busy");
        return -1;
    }
    return take(a, rcd_snapshot_approved(s, rules, now, err, err_size), done, owner);
}

int rcd_applier_step(rcd_applier_t *a)
{
    rcd_snapshot_counts_t counts;
    char err[256];
    int rc;

    if (a->sn == NULL) {
        return 0;
    }
    rc = rcd_snapshot_step(a->sn, &a->n_done, &a->n_total, err, sizeof(err));
    if (rc > 0) {
        return 1;
    }
    if (rc == 0) {
        rcd_snapshot_counts(a->sn, &counts);
        finish(a, &counts, NULL);
    } else {
        finish(a, NULL, err);
    }
    return a->sn != NULL;
}

void rcd_applier_abort(rcd_applier_t *a, const char *why)
{
    if (a->sn != NULL) {
        finish(a, NULL, why);
    }
}
