/*
 * first_list - a journal whose first list, an empty one, was held and approved: what a test begins with
 * that is not about approval.
 */
#ifndef FIRST_LIST_H
#define FIRST_LIST_H

#include <string.h>
#include "rcd_hold.h"
#include "rcd_state.h"
#include "rcd_store.h"

/* Steps a snapshot to its end and frees it: 0, or -1. */
static inline int snapshot_whole(rcd_snapshot_t *sn, rcd_snapshot_counts_t *counts)
{
    uint64_t done, total;
    char err[256];
    int rc;

    while ((rc = rcd_snapshot_step(sn, &done, &total, err, sizeof(err))) > 0) {
        assert_true(done <= total);
    }
    rcd_snapshot_counts(sn, counts);
    rcd_snapshot_end(sn);
    return rc;
}

/* Approves what waits, and applies it. */
static inline void approve_waiting(rcd_state_t *s, const rcd_rules_t *rules,
                                   rcd_snapshot_counts_t *counts)
{
    char err[256], hash[65];
    rcd_snapshot_t *sn;

    assert_non_null(rcd_hold_waits(s));
    memcpy(hash, rcd_hold_waits(s)->hash, sizeof(hash));
    assert_int_equal(rcd_hold_approve(s, hash, 1, "tester", err, sizeof(err)), 0);
    sn = rcd_snapshot_approved(s, rules, 1700000000, err, sizeof(err));
    assert_non_null(sn);
    assert_int_equal(snapshot_whole(sn, counts), 0);
    assert_null(rcd_hold_waits(s));
}

/* An empty first list at the marks the journal stands at. */
static inline void first_list(rcd_state_t *s, const rcd_rules_t *rules)
{
    rcd_statement_t st = {.epoch = s->epoch_known ? s->marks.epoch : 1, .seq = s->marks.seq,
                          .relief_seq = s->marks.relief_seq, .iat = 1700000000};
    rcd_snapshot_counts_t counts;
    rcd_snapshot_t *sn;
    char err[256];

    sn = rcd_snapshot_begin(s, rules, "/dev/null", &st, 1700000000, err, sizeof(err));
    assert_non_null(sn);
    assert_int_equal(snapshot_whole(sn, &counts), 0);
    assert_true(counts.held);
    approve_waiting(s, rules, &counts);
}

#endif
