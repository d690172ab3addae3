/*
 * rcd_decide - the event table of the feed as pure functions.
 */
#include <string.h>
#include "core/jd_policy.h"
#include "rcd_decide.h"

const char *const rcd_head_reasons[RCD_HEAD_N] = {
    [RCD_HEAD_CONTACT] = "",
    [RCD_HEAD_OLD] = "head is older than one seen before",
    [RCD_HEAD_FUTURE] = "head is from the future; compare the clocks of office and daemon",
    [RCD_HEAD_EPOCH_OLD] = "head is of an epoch that is over",
    [RCD_HEAD_EPOCH_NEW] = "head is of a new epoch; it waits for rcctl approve --epoch, then for a "
                           "snapshot",
    [RCD_HEAD_FORKED] = "the office has sent two contents under one seq; it must begin a new epoch",
    [RCD_HEAD_WENT_BACK] = "the office counts less relief than before (a restored backup?); it "
                           "must begin a new epoch",
    [RCD_HEAD_AHEAD] = "relief is missing",
    [RCD_HEAD_PASSED] = "head was made before relief that is here already",
};

rcd_position_t rcd_decide_position(uint32_t epoch, uint64_t last, rcd_seen_t seen,
                                   const rcd_event_t *ev)
{
    if (seen == RCD_SEEN_OTHER) {
        return RCD_POS_FORK;
    }
    if (ev->epoch > epoch) {
        return RCD_POS_FOREIGN;
    }
    if (ev->epoch < epoch || ev->seq <= last) {
        return RCD_POS_KNOWN;
    }
    return ev->seq == last + 1 ? RCD_POS_NEXT : RCD_POS_BEYOND;
}

int rcd_decide_relief(rcd_relief_row_t *r, const rcd_event_t *ev)
{
    rcd_relief_row_t old = *r;
    int newer = ev->epoch > r->mark_epoch || (ev->epoch == r->mark_epoch && ev->seq > r->mark_seq);

    if (ev->kind == RCD_EV_LIFT) {
        r->r.lifted |= ev->lifted;
    } else if (ev->objection || newer) {
        r->r.objection = (uint8_t) (ev->objection != 0);
        if (newer) {
            r->mark_epoch = ev->epoch;
            r->mark_seq = ev->seq;
        }
    }
    return r->r.lifted != old.r.lifted || r->r.objection != old.r.objection ||
           r->mark_epoch != old.mark_epoch || r->mark_seq != old.mark_seq;
}

/* An ended order has nothing in force: whatever brings it back needs a later notice. A refused
 * one may be put right by the office. */
static int over(const rcd_row_t *old)
{
    return old->ended == RCD_END_EXPIRED || old->ended == RCD_END_DROPPED;
}

rcd_quarantine_t rcd_decide_order(const rcd_row_t *old, uint16_t lifted, unsigned others,
                                  int64_t term_max, const rcd_order_t *o)
{
    int64_t first_from = old != NULL && old->first_from < o->from ? old->first_from : o->from;
    uint16_t added;

    if ((o->measures & ~lifted) == 0) {
        return RCD_Q_LIFTED;
    }
    if (old != NULL && memcmp(old->digest, o->digest, JD_DIGEST_LEN) != 0) {
        return RCD_Q_SUBJECT_CHANGED;
    }
    if (o->until - first_from > term_max) {
        return RCD_Q_TERM_TOO_LONG;
    }
    if (old != NULL && o->served <= old->served) {
        added = (uint16_t) (o->measures & ~(over(old) ? 0 : old->measures) & ~lifted);
        if (added != 0 || o->until > old->until) {
            return RCD_Q_AGGRAVATED;
        }
    }
    return others >= JD_ORDERS_MAX ? RCD_Q_DUPLICATE : RCD_Q_NONE;
}

int rcd_decide_stops(rcd_quarantine_t code)
{
    return code != RCD_Q_NONE && code != RCD_Q_AGGRAVATED && code != RCD_Q_TERM_TOO_LONG;
}

rcd_head_verdict_t rcd_decide_head(const rcd_state_t *s, int64_t now, int64_t iat, uint32_t epoch,
                                   uint64_t relief_seq)
{
    if (iat > now + JD_CLOCK_SKEW_SEC) {
        return RCD_HEAD_FUTURE;
    }
    if (iat < s->marks.head_iat) {
        return RCD_HEAD_OLD;
    }
    if (s->epoch_known && epoch != s->marks.epoch) {
        return epoch < s->marks.epoch ? RCD_HEAD_EPOCH_OLD : RCD_HEAD_EPOCH_NEW;
    }
    if (s->marks.forked) {
        return RCD_HEAD_FORKED;
    }
    /* Heads of one second may come in any order: only a later one that counts less went back. */
    if ((relief_seq < s->head_relief_seq && iat > s->marks.head_iat) ||
        (relief_seq < s->marks.relief_seq && iat > s->relief_iat)) {
        return RCD_HEAD_WENT_BACK;
    }
    if (s->marks.relief_behind || s->head_relief_seq > s->marks.relief_seq ||
        relief_seq > s->marks.relief_seq) {
        return RCD_HEAD_AHEAD;
    }
    return relief_seq < s->marks.relief_seq ? RCD_HEAD_PASSED : RCD_HEAD_CONTACT;
}
