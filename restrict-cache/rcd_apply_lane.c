/*
 * rcd_apply_lane - verified tokens of both lanes into the journal, one transaction a batch: the
 * event table of design section 7, with the storage around it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_apply.h"
#include "rcd_audit.h"
#include "rcd_audit_order.h"
#include "rcd_clock.h"
#include "rcd_decide.h"
#include "rcd_hold.h"
#include "rcd_lift.h"
#include "rcd_objection.h"

/* ---- relief lane ----------------------------------------------------------------------------- */

/* The consequences of relief for the stored order: fully lifted ends it; an objection withdrawn by
 * the office clears the record's own flag, unless the lane is further than this mark: then a snapshot
 * that knew it may have brought the flag. */
static int relieve_order(rcd_state_t *s, const rcd_event_t *ev, const rcd_relief_row_t *r)
{
    rcd_row_t row;
    int had = rcd_store_order(s, ev->number, &row);

    if (had <= 0 || row.ended != RCD_END_NONE) {
        return had < 0 ? -1 : 0;
    }
    if ((row.measures & ~r->r.lifted) == 0) {
        return rcd_store_order_end(s, &row, RCD_END_LIFTED, ev->iat);
    }
    if (ev->kind == RCD_EV_MARK && !r->r.objection && (row.flags & JD_ORDER_OBJECTION) &&
        jd_relief_mark(ev->epoch, ev->seq) >
            jd_relief_mark(s->marks.epoch, s->marks.relief_seq)) {
        row.flags &= ~(unsigned) JD_ORDER_OBJECTION;
        return rcd_store_order_put(s, &row) < 0 ? -1 : rcd_objection_sync(s, row.number, ev->iat);
    }
    return rcd_store_touch(s, row.digest);     /* what is observed has no term in the record */
}

int rcd_apply_advance(rcd_state_t *s)
{
    rcd_marks_t *m = &s->marks;
    int rc;

    while ((rc = rcd_store_token_at(s, RCD_LANE_RELIEF, m->epoch, m->relief_seq + 1)) > 0) {
        m->relief_seq++;
    }
    if (s->relief_top < m->relief_seq) {
        s->relief_top = m->relief_seq;
    }
    m->relief_behind = s->relief_top > m->relief_seq;
    return rc;
}

int rcd_apply_epoch(rcd_state_t *s, uint32_t epoch)
{
    s->epoch_known = 1;
    s->marks.epoch = epoch;
    s->marks.seq = 0;
    s->marks.relief_seq = 0;
    s->head_relief_seq = 0;
    if (rcd_store_token_top(s, RCD_LANE_RELIEF, epoch, &s->relief_top) < 0 ||
        rcd_hold_early_trim(s, UINT64_MAX) < 0) {
        return -1;
    }
    return rcd_apply_advance(s);
}

static int apply_relief_one(rcd_state_t *s, const rcd_event_t *ev, rcd_result_t *res)
{
    rcd_marks_t *m = &s->marks;
    rcd_relief_row_t relief;
    uint16_t before;
    rcd_seen_t seen;

    if (rcd_store_token(s, RCD_LANE_RELIEF, ev, &seen) < 0 ||
        rcd_store_relief(s, ev->number, &relief) < 0) {
        return -1;
    }
    before = relief.r.lifted;
    if (rcd_decide_relief(&relief, ev) &&
        (rcd_store_relief_put(s, ev->number, &relief, ev->iat) < 0 ||
         (relief.r.lifted != before &&
          rcd_lift_put(s, ev, relief.r.lifted & (uint16_t) ~before, rcd_clock_wall_ms()) < 0) ||
         rcd_audit_relief(s, ev) < 0 || relieve_order(s, ev, &relief) < 0)) {
        return -1;
    }

    res->outcome = RCD_ACK;
    switch (rcd_decide_position(m->epoch, m->relief_seq, seen, ev)) {
    case RCD_POS_FORK:
        m->forked |= ev->epoch == m->epoch;
        res->outcome = RCD_HOLD_FORK;
        snprintf(res->why, sizeof(res->why), "other content at relief seq %llu, which is known",
                 (unsigned long long) ev->seq);
        return 0;
    case RCD_POS_KNOWN:
        return 0;
    case RCD_POS_NEXT:
    case RCD_POS_BEYOND:
        if (s->relief_top < ev->seq) {
            s->relief_top = ev->seq;
        }
        break;
    case RCD_POS_FOREIGN:
        break;
    }
    if (s->relief_iat < ev->iat) {
        s->relief_iat = ev->iat;
    }
    return rcd_store_token_put(s, RCD_LANE_RELIEF, ev) < 0 ? -1 : rcd_apply_advance(s);
}

/* ---- changes lane ---------------------------------------------------------------------------- */

static rcd_order_rc_t apply_record(rcd_state_t *s, const rcd_rules_t *rules, const rcd_event_t *ev,
                                   rcd_adding_t adding, rcd_result_t *res)
{
    rcd_source_t from = {.rules = rules, .iat = ev->iat, .epoch = ev->epoch, .seq = ev->seq,
                         .adding = adding, .as_of = ev->seq, .relief_seq = UINT64_MAX};
    rcd_order_t o;

    res->code = rcd_order_parse(rules, ev->record_json, ev->record_len, &o, res->why,
                                sizeof(res->why));
    if (res->code == RCD_Q_NONE && strcmp(o.number, ev->number) != 0) {
        res->code = RCD_Q_SCHEMA;
        snprintf(res->why, sizeof(res->why), "order: another number than the event's");
    }
    if (res->code != RCD_Q_NONE) {
        snprintf(res->number, sizeof(res->number), "%s", ev->number);
        return rcd_apply_refused(s, &from, res);
    }
    return rcd_apply_order(s, &from, &o, res);
}

static void hold(rcd_result_t *res, rcd_outcome_t outcome, const char *why, uint64_t seq)
{
    res->outcome = outcome;
    snprintf(res->why, sizeof(res->why), "%s (seq %llu)", why, (unsigned long long) seq);
}

/*
 * Before its turn, while a snapshot waits for approval or is on its way: what does not add is applied,
 * but the lane does not move and nothing is acknowledged. What the waiting snapshot holds is on disk
 * with it.
 */
static int apply_early(rcd_state_t *s, const rcd_rules_t *rules, const rcd_event_t *ev,
                       rcd_result_t *res)
{
    const rcd_held_t *held = rcd_hold_waits(s);
    uint64_t done = 0;

    if (held != NULL && ev->epoch == held->epoch && ev->seq <= held->seq) {
        return 0;
    }
    if (ev->epoch != s->marks.epoch || !s->epoch_known || !rcd_store_under(s, rules)) {
        hold(res, RCD_HOLD_GAP, "a snapshot comes first", ev->seq);
        return 0;
    }
    if (rcd_hold_early(s, ev->number, &done) < 0 ||
        (done < ev->seq &&
         (apply_record(s, rules, ev, RCD_ADDING_WITHHELD, res) == RCD_ORDER_FAILED ||
          rcd_hold_early_put(s, ev->number, ev->seq) < 0))) {
        return -1;
    }
    res->code = RCD_Q_NONE;
    hold(res, RCD_HOLD_GAP, held != NULL ? "a snapshot before it waits for rcctl approve"
                                         : "a snapshot before it is on its way", ev->seq);
    return 0;
}

static int apply_change_one(rcd_state_t *s, const rcd_rules_t *rules, const rcd_event_t *ev,
                            rcd_result_t *res)
{
    rcd_marks_t *m = &s->marks;
    rcd_position_t pos;
    rcd_seen_t seen;

    if (rcd_store_token(s, RCD_LANE_CHANGES, ev, &seen) < 0) {
        return -1;
    }
    res->outcome = RCD_ACK;
    pos = rcd_decide_position(m->epoch, m->seq, seen, ev);
    if (pos == RCD_POS_KNOWN) {
        return 0;
    }
    if (pos == RCD_POS_FORK || m->forked) {
        m->forked |= pos == RCD_POS_FORK && ev->epoch == m->epoch;
        hold(res, RCD_HOLD_FORK, "the office's history has forked; it must begin a new epoch",
             ev->seq);
        return 0;
    }
    if (pos == RCD_POS_FOREIGN && s->epoch_known && ev->epoch != m->fork_epoch) {
        hold(res, RCD_HOLD_FORK, "of a new epoch that waits for rcctl approve --epoch", ev->seq);
        return 0;
    }
    if (s->snapshot_active) {
        hold(res, RCD_HOLD_GAP, "a snapshot is being applied", ev->seq);
        return 0;
    }
    if (rcd_hold_waits(s) != NULL || s->fetching) {
        return apply_early(s, rules, ev, res);
    }
    if (pos != RCD_POS_NEXT || !s->epoch_known || !rcd_store_under(s, rules)) {
        m->changes_gap = 1;
        hold(res, RCD_HOLD_GAP, "a change before it is missing; a snapshot closes the gap",
             ev->seq);
        return 0;
    }
    switch (apply_record(s, rules, ev, RCD_ADDING_LIMITED, res)) {
    case RCD_ORDER_FAILED:
        return -1;
    case RCD_ORDER_WITHHELD:
        m->changes_gap = 1;
        hold(res, RCD_HOLD_GAP, "the list would grow by more than max_growth; a snapshot will wait "
                                "for rcctl approve", ev->seq);
        return rcd_hold_early_put(s, ev->number, ev->seq);
    case RCD_ORDER_QUARANTINED:
        res->outcome = RCD_ACK_QUARANTINED;
        break;
    default:
        break;
    }
    m->seq = ev->seq;
    return rcd_store_token_put(s, RCD_LANE_CHANGES, ev) < 0 || rcd_hold_early_trim(s, m->seq) < 0
               ? -1 : 0;
}

/* ---- a batch of one lane --------------------------------------------------------------------- */

static int by_seq(const void *a, const void *b)
{
    const rcd_event_t *x = *(rcd_event_t *const *) a, *y = *(rcd_event_t *const *) b;

    if (x->epoch != y->epoch) {
        return x->epoch < y->epoch ? -1 : 1;
    }
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* The office contradicts itself: said once, at the token that shows it. */
static int fork_record(rcd_state_t *s, rcd_lane_t lane, const rcd_event_t *ev)
{
    cJSON *fields = cJSON_CreateObject();

    cJSON_AddStringToObject(fields, "lane", lane == RCD_LANE_RELIEF ? "relief" : "changes");
    cJSON_AddNumberToObject(fields, "epoch", ev->epoch);
    cJSON_AddNumberToObject(fields, "seq", (double) ev->seq);
    return rcd_audit(s, "fork", fields);
}

static int apply_sorted(rcd_state_t *s, rcd_lane_t lane, const rcd_rules_t *rules,
                        rcd_event_t **sorted, const rcd_event_t *events, unsigned n,
                        rcd_result_t *results)
{
    int forked = s->marks.forked;

    for (unsigned i = 0; i < n; i++) {
        rcd_result_t *res = &results[sorted[i] - events];
        int rc = lane == RCD_LANE_RELIEF ? apply_relief_one(s, sorted[i], res)
                                         : apply_change_one(s, rules, sorted[i], res);
        if (rc < 0 || (!forked && s->marks.forked &&
                       fork_record(s, lane, sorted[i]) < 0)) {
            return -1;
        }
        forked = s->marks.forked;
    }
    if (rcd_store_tokens_trim(s, lane, s->marks.epoch, lane == RCD_LANE_RELIEF
                              ? s->marks.relief_seq : s->marks.seq) < 0) {
        return -1;
    }
    return rcd_store_save_marks(s);
}

static int apply_batch(rcd_state_t *s, rcd_lane_t lane, const rcd_rules_t *rules,
                       rcd_event_t *events, unsigned n, rcd_result_t *results)
{
    rcd_event_t **sorted = malloc((n + 1) * sizeof(*sorted));
    int rc = -1;

    memset(results, 0, n * sizeof(*results));
    if (sorted == NULL) {
        snprintf(s->fault, sizeof(s->fault), "out of memory");
    } else {
        for (unsigned i = 0; i < n; i++) {
            sorted[i] = &events[i];
        }
        qsort(sorted, n, sizeof(*sorted), by_seq);
        rc = rcd_store_begin(s, 1);
        if (rc == 0 && (apply_sorted(s, lane, rules, sorted, events, n, results) < 0 ||
                        rcd_store_commit(s) < 0)) {
            rc = -1;
        }
        if (rc < 0) {
            rcd_store_rollback(s);
        }
        free(sorted);
    }
    for (unsigned i = 0; i < n; i++) {
        snprintf(results[i].number, sizeof(results[i].number), "%s", events[i].number);
        if (rc < 0) {
            results[i].outcome = RCD_HOLD_IO;
            results[i].code = RCD_Q_NONE;
            snprintf(results[i].why, sizeof(results[i].why), "%s", s->fault);
        }
    }
    return rc;
}

int rcd_apply_relief(rcd_state_t *s, rcd_event_t *events, unsigned n, rcd_result_t *results)
{
    return apply_batch(s, RCD_LANE_RELIEF, NULL, events, n, results);
}

int rcd_apply_changes(rcd_state_t *s, const rcd_rules_t *rules, rcd_event_t *events, unsigned n,
                      rcd_result_t *results)
{
    return apply_batch(s, RCD_LANE_CHANGES, rules, events, n, results);
}
