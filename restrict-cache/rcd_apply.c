/*
 * rcd_apply - one version of an order into the journal, beside what is stored of its number.
 */
#include <stdio.h>
#include <string.h>
#include "rcd_apply.h"
#include "rcd_audit_order.h"
#include "rcd_decide.h"
#include "rcd_hold.h"
#include "rcd_objection.h"
#include "rcd_relisted.h"
#include "rcd_size.h"
#include "rcd_stay.h"

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
