/*
 * rcd_apply - verified tokens into the journal: the event table of design section 7, with the
 * storage around it.
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
#include "rcd_relisted.h"
#include "rcd_size.h"
#include "rcd_stay.h"

/* ---- one version of an order ----------------------------------------------------------------- */

static const char *const decided_why[RCD_Q_N] = {
    [RCD_Q_TERM_TOO_LONG] = "until: the term, counted from the first `from` of this number, is "
                            "longer than its measures allow; a new order needs a new number",
    [RCD_Q_SUBJECT_CHANGED] = "subject: another one than before under this number; the version "
                              "before is no longer enforced; give the other subject a new number",
    [RCD_Q_AGGRAVATED] = "measures, until: more or longer than before without a later `served`",
    [RCD_Q_LIFTED] = "order: lifted; a restored measure needs a new number",
    [RCD_Q_DUPLICATE] = "subject: has as many orders as one record holds",
};

static rcd_order_rc_t quarantine(rcd_state_t *s, const rcd_source_t *from, const rcd_row_t *old,
                                 rcd_result_t *res)
{
    int news = rcd_store_quarantine(s, res->number, res->code, res->why, from->iat);

    if (news < 0 || (news && rcd_audit_quarantine(s, res, from->iat) < 0)) {
        return RCD_ORDER_FAILED;
    }
    if (old != NULL && old->ended == RCD_END_NONE && rcd_decide_stops(res->code) &&
        (rcd_store_order_end(s, old, RCD_END_REFUSED, from->iat) < 0 ||
         rcd_audit_order_end(s, old->number, RCD_END_REFUSED, res->code, from->iat) < 0)) {
        return RCD_ORDER_FAILED;
    }
    return RCD_ORDER_QUARANTINED;
}

/* Live orders of the subject besides this number; -1 when the journal failed. */
static int others_of(rcd_state_t *s, const rcd_order_t *o)
{
    rcd_row_t rows[JD_ORDERS_MAX + 1];
    int n = rcd_store_live(s, o->digest, rows, JD_ORDERS_MAX + 1), others = 0;

    for (int i = 0; i < n; i++) {
        others += strcmp(rows[i].number, o->number) != 0;
    }
    return n < 0 ? -1 : others;
}

static void fill_row(rcd_row_t *row, const rcd_source_t *from, const rcd_row_t *old,
                     const rcd_order_t *o)
{
    memset(row, 0, sizeof(*row));
    memcpy(row->number, o->number, sizeof(row->number));
    memcpy(row->digest, o->digest, sizeof(row->digest));
    memcpy(row->grounds, o->grounds_id, sizeof(row->grounds));
    row->measures = o->measures;
    row->flags = (o->observe || from->imported ? JD_ORDER_OBSERVE : 0u) |
                 (o->objection ? JD_ORDER_OBJECTION : 0u) |
                 (o->deadline_day != 0 ? JD_ORDER_DEADLINE : 0u);
    row->served = o->served;
    row->start = rcd_order_start(o);
    row->until = o->until;
    row->first_from = old != NULL && old->first_from < o->from ? old->first_from : o->from;
    row->deadline_day = o->deadline_day;
    row->imported = from->imported;
}

/* The order is the same, whatever the key its digest was made under. */
static int same_order(const rcd_row_t *a, const rcd_row_t *b)
{
    return a->measures == b->measures &&
           a->flags == b->flags && a->served == b->served && a->start == b->start &&
           a->until == b->until && a->first_from == b->first_from &&
           a->deadline_day == b->deadline_day && a->imported == b->imported &&
           a->ended == b->ended;
}

/* Under another key the same texts have another id. */
static int same_texts(rcd_state_t *s, const rcd_row_t *stored, const rcd_order_t *o)
{
    uint8_t value[JD_GROUNDS_MAX];
    int len = rcd_state_grounds(s, stored->grounds, value);

    return len >= 0 && (size_t) len == o->grounds_len && memcmp(value, o->grounds, (size_t) len) == 0;
}

static int same_row(const rcd_row_t *a, const rcd_row_t *b)
{
    return memcmp(a->digest, b->digest, JD_DIGEST_LEN) == 0 &&
           memcmp(a->grounds, b->grounds, JD_GROUNDS_ID_LEN) == 0 && same_order(a, b);
}

/* An objection came or went with this version, or with an order that is back. */
static int objections(rcd_state_t *s, const rcd_row_t *stored, const rcd_row_t *row, int64_t at)
{
    unsigned flags = row->flags | (stored != NULL ? stored->flags : 0);
    int back = stored != NULL && stored->ended != RCD_END_NONE;

    return flags & JD_ORDER_OBJECTION || back ? rcd_objection_sync(s, row->number, at) : 0;
}

/* Under a new digest key this order's subject has another digest: stays of that person go along. */
static int carry_stays(rcd_state_t *s, const rcd_source_t *from, const rcd_row_t *stored,
                       const rcd_order_t *o)
{
    char under[RCD_UNDER_MAX];

    if (memcmp(stored->digest, o->digest, JD_DIGEST_LEN) == 0) {
        return 0;
    }
    rcd_store_under_print(from->rules, under);
    return rcd_stay_carry(s, stored->digest, o->digest, under);
}

/* A record beside what the journal knows of its number. */
typedef struct {
    int              had;                  /* the number is stored: */
    rcd_row_t        stored;
    rcd_row_t        binding;              /* the same under the key of now, if it binds */
    const rcd_row_t *old;                  /* that, or NULL */
    rcd_row_t        row;                  /* what would be stored */
    uint16_t         lifted;
    rcd_quarantine_t code;
    rcd_adds_t       adds;
    int              passed;               /* it says nothing: leave what is stored */
    int              overtaken;            /* lifted after the snapshot was made: no fault of the office */
} judged_t;

/* Relief that came after the snapshot was made counts on top of it: what was lifted stays lifted, an
 * objection that the office has ended is over. Of marks those that the lane has reached without a gap. */
static void overtake(const rcd_state_t *s, const rcd_source_t *from, const rcd_relief_row_t *r,
                     judged_t *j)
{
    if (from->relief_seq >= s->marks.relief_seq) {
        return;
    }
    j->overtaken = j->code == RCD_Q_LIFTED;
    if (r->mark_epoch == s->marks.epoch && r->mark_seq > from->relief_seq &&
        r->mark_seq <= s->marks.relief_seq && !r->r.objection) {
        j->row.flags &= ~(unsigned) JD_ORDER_OBJECTION;
    }
}

/* 0 or -1 */
static int judge(rcd_state_t *s, const rcd_source_t *from, const rcd_order_t *o, judged_t *j)
{
    rcd_relief_row_t relief;
    uint64_t later = 0;
    int others = others_of(s, o);

    memset(j, 0, sizeof(*j));
    j->had = rcd_store_order(s, o->number, &j->stored);
    if (others < 0 || j->had < 0 || rcd_store_relief(s, o->number, &relief) < 0 ||
        rcd_hold_early(s, o->number, &later) < 0) {
        return -1;
    }
    j->passed = !from->imported ? later > from->as_of : j->had && !j->stored.imported;
    if (j->had && j->stored.imported == from->imported) {
        j->binding = j->stored;
        j->old = &j->binding;
        if (from->rekey) {
            memcpy(j->binding.digest, o->digest, JD_DIGEST_LEN);
        }
    }
    j->lifted = relief.r.lifted;
    j->code = rcd_decide_order(j->old, j->lifted, (unsigned) others,
                               rcd_order_term_max(from->rules, o->measures), o);
    fill_row(&j->row, from, j->old, o);
    overtake(s, from, &relief, j);
    j->adds = j->code == RCD_Q_NONE && !j->passed ? rcd_growth_adds(j->old, &j->row, j->lifted)
                                                  : RCD_ADDS_NOTHING;
    return 0;
}

int rcd_apply_weigh(rcd_state_t *s, const rcd_source_t *from, const rcd_order_t *o,
                    rcd_adds_t *adds)
{
    judged_t j;

    if (judge(s, from, o, &j) < 0) {
        return -1;
    }
    *adds = j.adds;
    return 0;
}

static int must_wait(const rcd_state_t *s, const rcd_source_t *from, rcd_adds_t adds)
{
    return adds != RCD_ADDS_NOTHING &&
           (from->adding == RCD_ADDING_WITHHELD ||
            (from->adding == RCD_ADDING_LIMITED &&
             rcd_size_exceeds(s, adds == RCD_ADDS_ORDER, adds == RCD_ADDS_TERMS, 0)));
}

/* The texts of a row that stays, into `texts`; under the key of now they have another id. 0 or -1. */
static int keep_texts(rcd_state_t *s, const rcd_source_t *from, rcd_row_t *row, rcd_order_t *texts)
{
    int len = rcd_state_grounds(s, row->grounds, texts->grounds);
    uint8_t hash[16];

    if (len < 0) {
        return -1;
    }
    texts->grounds_len = (size_t) len;
    jd_siphash128(from->rules->key->record_key, texts->grounds, texts->grounds_len, hash);
    memcpy(texts->grounds_id, hash, JD_GROUNDS_ID_LEN);
    memcpy(row->grounds, texts->grounds_id, JD_GROUNDS_ID_LEN);
    return !from->rekey ? 0 : rcd_store_grounds_put(s, texts) < 0 ? -1 : 0;
}

/* What is stored stays as it is, under the key of now. */
static rcd_order_rc_t keep(rcd_state_t *s, const rcd_source_t *from, const judged_t *j)
{
    rcd_row_t row;
    rcd_order_t texts;

    if (!from->rekey || j->old == NULL || j->old->ended != RCD_END_NONE) {
        return RCD_ORDER_SAME;
    }
    row = *j->old;
    return keep_texts(s, from, &row, &texts) < 0 || rcd_store_order_put(s, &row) < 0
               ? RCD_ORDER_FAILED : RCD_ORDER_WRITTEN;
}

/*
 * A version that is refused for asking more than it may, or withheld because it adds, tells what the
 * office does not claim any more: of the version before stays what both claim. So no measure that was
 * lifted meanwhile outlives a snapshot of which this record is refused, and what waits for approval
 * frees at once what it frees. 0 or -1.
 */
static int narrow(rcd_state_t *s, const rcd_source_t *from, const judged_t *j)
{
    rcd_order_t texts;
    rcd_row_t less;

    if (j->old == NULL || j->old->ended != RCD_END_NONE) {
        return 0;
    }
    switch (rcd_growth_narrow(j->old, &j->row, &less)) {
    case RCD_NARROW_NONE:
        return rcd_store_order_end(s, &j->stored, RCD_END_REFUSED, from->iat) < 0
                   ? -1
                   : rcd_audit_order_end(s, j->stored.number, RCD_END_REFUSED, j->code, from->iat);
    case RCD_NARROW_SAME:
        return keep(s, from, j) == RCD_ORDER_FAILED ? -1 : 0;
    case RCD_NARROW_LESS:
        break;
    }
    return keep_texts(s, from, &less, &texts) < 0 || rcd_store_order_put(s, &less) < 0 ||
                   objections(s, &j->stored, &less, from->iat) < 0
               ? -1 : rcd_audit_order_narrowed(s, from, &less);
}

rcd_order_rc_t rcd_apply_order(rcd_state_t *s, const rcd_source_t *from, const rcd_order_t *o,
                               rcd_result_t *res)
{
    judged_t j;
    int fresh;

    if (judge(s, from, o, &j) < 0) {
        return RCD_ORDER_FAILED;
    }
    memcpy(res->number, o->number, sizeof(res->number));
    if (j.had && from->rekey && !(from->imported && !j.stored.imported) &&
        carry_stays(s, from, &j.stored, o) < 0) {
        return RCD_ORDER_FAILED;
    }
    if (j.passed) {
        return keep(s, from, &j);
    }
    if (j.overtaken) {
        return j.old == NULL || rcd_store_order_end(s, &j.stored, RCD_END_LIFTED, from->iat) == 0
                   ? RCD_ORDER_SAME : RCD_ORDER_FAILED;
    }
    res->code = j.code;
    if (j.code != RCD_Q_NONE) {
        snprintf(res->why, sizeof(res->why), "%s", decided_why[j.code]);
        if (!rcd_decide_stops(j.code) && narrow(s, from, &j) < 0) {
            return RCD_ORDER_FAILED;
        }
        return quarantine(s, from, j.old, res);
    }
    if (must_wait(s, from, j.adds)) {
        return narrow(s, from, &j) < 0 ? RCD_ORDER_FAILED : RCD_ORDER_WITHHELD;
    }
    if (rcd_store_quarantine_clear(s, o->number) < 0) {
        return RCD_ORDER_FAILED;
    }
    if (j.had && same_row(&j.stored, &j.row)) {
        return RCD_ORDER_SAME;
    }
    if (j.adds == RCD_ADDS_TERMS) {
        rcd_size_widened(s);
    }
    if (!from->imported && (!j.had || j.stored.ended != RCD_END_NONE || j.stored.imported) &&
        rcd_relisted_note(s, o, from->iat) < 0) {
        return RCD_ORDER_FAILED;
    }
    fresh = rcd_store_grounds_put(s, o);
    if (fresh < 0 || rcd_store_order_put(s, &j.row) < 0 ||
        objections(s, j.had ? &j.stored : NULL, &j.row, from->iat) < 0) {
        return RCD_ORDER_FAILED;
    }
    if (!(j.had && from->rekey && same_order(&j.stored, &j.row) && same_texts(s, &j.stored, o)) &&
        rcd_audit_order(s, from, &j.row, j.had ? &j.stored : NULL, o, fresh) < 0) {
        return RCD_ORDER_FAILED;
    }
    return RCD_ORDER_WRITTEN;
}

rcd_order_rc_t rcd_apply_refused(rcd_state_t *s, const rcd_source_t *from, rcd_result_t *res)
{
    rcd_row_t stored, *old = NULL;
    int had = res->number[0] != '\0' ? rcd_store_order(s, res->number, &stored) : 0;
    uint64_t later = 0;

    if (had < 0 || rcd_hold_early(s, res->number, &later) < 0) {
        return RCD_ORDER_FAILED;
    }
    if (later > from->as_of) {
        return RCD_ORDER_SAME;
    }
    if (had && stored.imported == from->imported) {
        old = &stored;
    }
    return quarantine(s, from, old, res);
}

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
