/*
 * jd_policy - pass or deny, with the reason.
 */
#include <string.h>
#include "jd_policy.h"

const char *const jd_reason_names[JD_REASON_N] = {
    "off",   "exempt",      "no_subject", "malformed",     "unready", "stale",  "clear",
    "unconfirmed", "not_listed", "other_measure", "clock",   "lifted", "stayed", "observe",
    "braked", "unaccounted", "listed",
};

const char *const jd_state_names[JD_STATE_N] = {
    "over", "lifted", "to_come", "stayed", "observe", "in_force",
};

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t jd_policy_age(const jd_clocks_t *c)
{
    int64_t latest = later(c->now, c->office_now), contact = later(c->verified_at, 0);

    return latest > contact ? latest - contact : 0;
}

int jd_policy_stale(const jd_clocks_t *c)
{
    int64_t limit = c->max_stale < JD_MAX_STALE_SEC ? c->max_stale : JD_MAX_STALE_SEC;

    return c->verified_at <= 0 || jd_policy_age(c) > limit;
}

/* Unsigned, so that no pair of clocks overflows. */
static int clocks_disagree(const jd_clocks_t *c)
{
    uint64_t now = (uint64_t) c->now, office = (uint64_t) c->office_now;
    uint64_t apart = c->now > c->office_now ? now - office : office - now;

    return apart > JD_CLOCK_SKEW_SEC;
}

static int within(const jd_clocks_t *c, int64_t from, int64_t until)
{
    return c->now >= from && c->now < until && c->office_now >= from && c->office_now < until;
}

int jd_policy_in_force(const jd_clocks_t *c, const jd_order_t *o)
{
    return within(c, o->from, o->until) &&
           ((o->flags & JD_ORDER_LINKED) == 0 || within(c, o->link_from, o->link_until));
}

int jd_policy_stayed(const jd_clocks_t *c, int64_t stay)
{
    return c->now < stay || c->office_now < stay;
}

/* 1 when one of the clocks is at or past `until`. */
static int past(const jd_clocks_t *c, int64_t until)
{
    return c->now >= until || c->office_now >= until;
}

jd_state_t jd_policy_state(const jd_clocks_t *c, const jd_order_t *o, const jd_relief_t *r)
{
    if (past(c, o->until) || (o->flags & JD_ORDER_LINKED && past(c, o->link_until))) {
        return JD_STATE_OVER;
    }
    if ((o->measures & ~r->lifted) == 0) {
        return JD_STATE_LIFTED;
    }
    if (!jd_policy_in_force(c, o)) {
        return JD_STATE_TO_COME;
    }
    if (jd_policy_stayed(c, r->stay)) {
        return JD_STATE_STAYED;
    }
    return o->flags & (JD_ORDER_OBSERVE | JD_ORDER_OBJECTION) || r->objection ? JD_STATE_OBSERVE
                                                                              : JD_STATE_IN_FORCE;
}

/* What one order alone would make of the request. */
static jd_reason_t weigh(const jd_clocks_t *c, uint16_t measure, const jd_order_t *o,
                         const jd_relief_t *r)
{
    if (!jd_policy_in_force(c, o)) {
        return JD_REASON_NOT_LISTED;
    }
    if ((o->measures & measure) == 0) {
        return o->measures & ~r->lifted ? JD_REASON_OTHER_MEASURE : JD_REASON_NOT_LISTED;
    }
    if (r->lifted & measure) {
        return JD_REASON_LIFTED;
    }
    if (jd_policy_stayed(c, r->stay)) {
        return JD_REASON_STAYED;
    }
    if (o->flags & (JD_ORDER_OBSERVE | JD_ORDER_OBJECTION) || r->objection) {
        return JD_REASON_OBSERVE;
    }
    return JD_REASON_LISTED;
}

/* Which of several reasons is told: a higher rank. */
static int rank(jd_reason_t reason)
{
    switch (reason) {
    case JD_REASON_LISTED:
        return 5;
    case JD_REASON_OBSERVE:
        return 4;
    case JD_REASON_STAYED:
        return 3;
    case JD_REASON_LIFTED:
        return 2;
    case JD_REASON_OTHER_MEASURE:
        return 1;
    default:
        return 0;
    }
}

/* 1 when `a` is to be named rather than `b`: it lasts longer, or as long with the lower number. */
static int named_before(const jd_order_t *a, const jd_order_t *b)
{
    size_t common = a->number_len < b->number_len ? a->number_len : b->number_len;
    int c;

    if (a->until != b->until) {
        return a->until > b->until;
    }
    c = memcmp(a->number, b->number, common);
    return c < 0 || (c == 0 && a->number_len < b->number_len);
}

jd_reason_t jd_policy_decide(const jd_clocks_t *c, unsigned measure_bit, const jd_order_t *orders,
                             const jd_relief_t *relief, unsigned n, uint16_t observed, int *which)
{
    uint16_t measure = (uint16_t) (1u << measure_bit);
    jd_reason_t best = observed ? JD_REASON_OTHER_MEASURE : JD_REASON_NOT_LISTED;
    int best_at = -1;

    *which = -1;
    if (jd_policy_stale(c)) {
        return JD_REASON_STALE;
    }
    if (clocks_disagree(c)) {
        return JD_REASON_CLOCK;
    }
    for (unsigned i = 0; i < n; i++) {
        jd_reason_t reason = weigh(c, measure, &orders[i], &relief[i]);

        if (rank(reason) > rank(best) ||
            (reason == best && best_at >= 0 && named_before(&orders[i], &orders[best_at]))) {
            best = reason;
            best_at = (int) i;
        }
    }
    if (observed & measure && rank(best) < rank(JD_REASON_OBSERVE)) {
        return JD_REASON_OBSERVE;
    }
    if (rank(best) >= rank(JD_REASON_LIFTED)) {
        *which = best_at;
    }
    return best;
}
