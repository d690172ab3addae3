/*
 * history_mutate - the rules that history_driver can break, each by its name: in the driver's own doing, or
 * in calls from one file of the daemon to another, which the linker leads through here (--wrap, Makefile).
 */
#include <stdio.h>
#include <string.h>
#include "history.h"
#include "rcd_apply.h"
#include "rcd_decide.h"
#include "rcd_objection.h"
#include "rcd_reach.h"
#include "rcd_stage.h"
#include "rcd_stay.h"
#include "rcd_store.h"

typedef enum {
    NONE,
    CONFIRM_BLIND,       /* the four rules of design.md section 7: the confirm does not read relief, */
    RELIEF_IN_MEMORY,    /* relief is not on the daemon's disk, */
    RELIEF_EXPIRES,      /* relief ends after an hour, */
    LIFT_IN_ORDER,       /* a lift out of turn is acknowledged and not applied */
    LIFT_FREES_ALL,      /* a lift of one order frees the person's other ones */
    ORDERS_MERGED,       /* a person's orders are one, under the first number */
    MARK_BY_ARRIVAL,     /* the last mark to arrive counts, not the last that was made */
    AGGRAVATED_TAKEN,    /* a measure more or a later end without a new notice */
    ENDED_COMES_BACK,    /* an order that was dropped or expired returns without a new notice */
    SUBJECT_KEPT,        /* a version that cannot be used leaves the one before in force */
    ABSENCE_IGNORED,     /* what a snapshot does not name stays */
    OLD_SNAPSHOT,        /* a snapshot from before what the journal knows is used */
    SERVED_IGNORED,      /* enforced before the notice was served */
    CONTACT_EARLY,       /* contact while relief is missing */
    CONTACT_FROM_DISK,   /* a new run of the daemon vouches by an old contact */
    NEVER_STALE,         /* the gate does not ask how old the list is */
    WALL_CLOCK_ALONE,    /* the gate does not ask the office clock */
    GATE_FORGETS,        /* the gate does not remember how much relief it has seen */
    LINK_KEPT,           /* an import of holders does not write the cards that changed */
    LINK_WITHOUT_TERM,   /* the gate is not told from when until when a card is whose */
    TWO_HOLDERS_BOTH,    /* a card that two hold at once is both's */
    OTHER_IS_OWN,        /* a card that is merely used is taken for one's own */
    STAY_LOST,           /* a refill leaves stays of persons out */
    STAY_MISSES_CARDS,   /* the gate does not ask for a stay of the card's holder */
    STAY_NOT_TAKEN_UP,   /* what rcctl wrote past the daemon is not taken into the journal */
    OBJECTION_ENDED,     /* a mark of the office ends the operator's objection, too */
    MUTATIONS
} mutation_t;

static const char *const names[MUTATIONS] = {
    "none",            "confirm-blind",   "relief-in-memory", "relief-expires",    "lift-in-order",
    "lift-frees-all",  "orders-merged",   "mark-by-arrival",  "aggravated-taken",  "ended-comes-back",
    "subject-kept",    "absence-ignored", "old-snapshot",     "served-ignored",    "contact-early",
    "contact-from-disk", "never-stale",   "wall-clock-alone", "gate-forgets",
    "link-kept",       "link-without-term", "two-holders-both", "other-is-own",
    "stay-lost",       "stay-misses-cards", "stay-not-taken-up", "objection-ended",
};

static mutation_t chosen;

int mutate_choose(const char *name)
{
    for (int i = 0; i < MUTATIONS; i++) {
        if (strcmp(name, names[i]) == 0) {
            chosen = (mutation_t) i;
            return 0;
        }
    }
    if (strcmp(name, "list") == 0) {
        for (int i = 1; i < MUTATIONS; i++) {
            printf("%s\n", names[i]);
        }
    }
    return -1;
}

/* ---- in the driver --------------------------------------------------------------------------------- */

void mutate_start(rcd_state_t *s)
{
    if (chosen == RELIEF_IN_MEMORY) {
        sqlite3_exec(s->db, "DELETE FROM relief", NULL, NULL, NULL);
    } else if (chosen == CONTACT_FROM_DISK) {
        s->contact = s->marks.verified_at;
    }
}

static int importing;

void mutate_importing(int on)
{
    importing = on;
}

int mutate_holders_stay(void)
{
    return chosen == STAY_MISSES_CARDS;
}

int mutate_relief(rcd_state_t *s, const rcd_event_t *ev)
{
    rcd_objection_t o = {.user = "op", .reason = "r", .ref = "0", .at = ev->iat};

    if (chosen == OBJECTION_ENDED && ev->kind == RCD_EV_MARK && !ev->objection) {
        strcpy(o.number, ev->number);
        rcd_store_begin(s, 1);
        rcd_objection_end(s, &o);
        rcd_store_commit(s);
    }
    return chosen == LIFT_IN_ORDER &&
           (ev->epoch != s->marks.epoch || ev->seq != s->marks.relief_seq + 1);
}

void mutate_tick(rcd_state_t *s, int64_t now, redisContext *redis)
{
    sqlite3_stmt *q = NULL;

    if (chosen != RELIEF_EXPIRES ||
        sqlite3_prepare_v2(s->db, "DELETE FROM relief WHERE at < ? RETURNING number", -1, &q,
                           NULL) != SQLITE_OK) {
        return;
    }
    sqlite3_bind_int64(q, 1, now - 3600);
    while (sqlite3_step(q) == SQLITE_ROW) {
        freeReplyObject(redisCommand(redis, "HDEL jd:{credit}:relief %s",
                                     sqlite3_column_text(q, 0)));
    }
    sqlite3_finalize(q);
}

void mutate_seen(uint64_t *mark)
{
    *mark = chosen == GATE_FORGETS ? 0 : *mark;
}

void mutate_judge(jd_clocks_t *c, jd_relief_t *relief, unsigned n)
{
    if (chosen == CONFIRM_BLIND) {
        memset(relief, 0, n * sizeof(*relief));
    } else if (chosen == NEVER_STALE && c->verified_at > 0) {
        c->verified_at = c->now > c->office_now ? c->now : c->office_now;
    } else if (chosen == WALL_CLOCK_ALONE) {
        c->office_now = c->now;
    }
}

/* ---- in the daemon --------------------------------------------------------------------------------- */

int __real_rcd_store_relief(rcd_state_t *s, const char *number, rcd_relief_row_t *r);
int __wrap_rcd_store_relief(rcd_state_t *s, const char *number, rcd_relief_row_t *r);
int __real_rcd_decide_relief(rcd_relief_row_t *r, const rcd_event_t *ev);
int __wrap_rcd_decide_relief(rcd_relief_row_t *r, const rcd_event_t *ev);
rcd_quarantine_t __real_rcd_decide_order(const rcd_row_t *old, uint16_t lifted, unsigned others,
                                         int64_t term_max, const rcd_order_t *o);
rcd_quarantine_t __wrap_rcd_decide_order(const rcd_row_t *old, uint16_t lifted, unsigned others,
                                         int64_t term_max, const rcd_order_t *o);
int __real_rcd_decide_stops(rcd_quarantine_t code);
int __wrap_rcd_decide_stops(rcd_quarantine_t code);
rcd_head_verdict_t __real_rcd_decide_head(const rcd_state_t *s, int64_t now, int64_t iat,
                                          uint32_t epoch, uint64_t relief_seq);
rcd_head_verdict_t __wrap_rcd_decide_head(const rcd_state_t *s, int64_t now, int64_t iat,
                                          uint32_t epoch, uint64_t relief_seq);
int __real_rcd_stage_has(rcd_stage_t *g, const char *number);
int __wrap_rcd_stage_has(rcd_stage_t *g, const char *number);
int64_t __real_rcd_order_start(const rcd_order_t *o);
int64_t __wrap_rcd_order_start(const rcd_order_t *o);
rcd_snapshot_t *__real_rcd_snapshot_begin(rcd_state_t *s, const rcd_rules_t *rules,
                                          const char *path, const rcd_statement_t *st,
                                          int64_t now, char *err, size_t err_size);
rcd_snapshot_t *__wrap_rcd_snapshot_begin(rcd_state_t *s, const rcd_rules_t *rules,
                                          const char *path, const rcd_statement_t *st,
                                          int64_t now, char *err, size_t err_size);
jd_record_rc_t __real_jd_record_encode(const jd_key_t *k, const uint8_t digest[JD_DIGEST_LEN],
                                       uint64_t era, jd_order_t *orders, unsigned n,
                                       uint16_t observed, uint8_t *out, size_t out_size,
                                       size_t *out_len);
jd_record_rc_t __wrap_jd_record_encode(const jd_key_t *k, const uint8_t digest[JD_DIGEST_LEN],
                                       uint64_t era, jd_order_t *orders, unsigned n,
                                       uint16_t observed, uint8_t *out, size_t out_size,
                                       size_t *out_len);

int __real_rcd_store_dirty(rcd_state_t *s, const uint8_t digest[JD_DIGEST_LEN]);
int __wrap_rcd_store_dirty(rcd_state_t *s, const uint8_t digest[JD_DIGEST_LEN]);
void __real_rcd_group_reach(const rcd_group_t *g, int64_t now, rcd_reach_t *out);
void __wrap_rcd_group_reach(const rcd_group_t *g, int64_t now, rcd_reach_t *out);

int __real_rcd_stay_next(rcd_state_t *s, int pending_only, const uint8_t *after,
                         uint8_t field[JD_HOLDER_LEN]);
int __wrap_rcd_stay_next(rcd_state_t *s, int pending_only, const uint8_t *after,
                         uint8_t field[JD_HOLDER_LEN]);
int __real_rcd_stay_known(rcd_state_t *s, const char *number, const uint8_t *field, int64_t until);
int __wrap_rcd_stay_known(rcd_state_t *s, const char *number, const uint8_t *field, int64_t until);

int __wrap_rcd_stay_next(rcd_state_t *s, int pending_only, const uint8_t *after,
                         uint8_t field[JD_HOLDER_LEN])
{
    return chosen == STAY_LOST && !pending_only
               ? 0 : __real_rcd_stay_next(s, pending_only, after, field);
}

int __wrap_rcd_stay_known(rcd_state_t *s, const char *number, const uint8_t *field, int64_t until)
{
    return chosen == STAY_NOT_TAKEN_UP ? 1 : __real_rcd_stay_known(s, number, field, until);
}

int __wrap_rcd_store_dirty(rcd_state_t *s, const uint8_t digest[JD_DIGEST_LEN])
{
    return chosen == LINK_KEPT && importing ? 0 : __real_rcd_store_dirty(s, digest);
}

void __wrap_rcd_group_reach(const rcd_group_t *g, int64_t now, rcd_reach_t *out)
{
    rcd_group_t one = *g;
    rcd_reach_t reach;

    for (unsigned i = 0; chosen == OTHER_IS_OWN && i < one.n; i++) {
        one.link[i].flags |= RCD_LINK_OWN;
    }
    __real_rcd_group_reach(&one, now, out);
    for (unsigned i = 0; chosen == TWO_HOLDERS_BOTH && i < g->n && out->n < RCD_REACH_MAX; i++) {
        one.n = 1;
        one.link[0] = g->link[i];
        __real_rcd_group_reach(&one, now, &reach);
        if (reach.n > 0 && out->n_two > 0) {
            out->term[out->n++] = reach.term[0];
        }
    }
}

int __wrap_rcd_store_relief(rcd_state_t *s, const char *number, rcd_relief_row_t *r)
{
    static const char text[] =
        "SELECT lifted FROM relief WHERE number IN (SELECT number FROM orders WHERE digest ="
        " (SELECT digest FROM orders WHERE number = ?))";
    int rc = __real_rcd_store_relief(s, number, r);
    sqlite3_stmt *q = NULL;

    if (chosen == LIFT_FREES_ALL && rc >= 0 &&
        sqlite3_prepare_v2(s->db, text, -1, &q, NULL) == SQLITE_OK) {
        sqlite3_bind_text(q, 1, number, -1, SQLITE_STATIC);
        while (sqlite3_step(q) == SQLITE_ROW) {
            r->r.lifted |= (uint16_t) sqlite3_column_int(q, 0);
        }
        sqlite3_finalize(q);
    }
    return rc;
}

int __wrap_rcd_decide_relief(rcd_relief_row_t *r, const rcd_event_t *ev)
{
    if (chosen == MARK_BY_ARRIVAL) {
        r->mark_epoch = 0;
        r->mark_seq = 0;
    }
    return __real_rcd_decide_relief(r, ev);
}

rcd_quarantine_t __wrap_rcd_decide_order(const rcd_row_t *old, uint16_t lifted, unsigned others,
                                         int64_t term_max, const rcd_order_t *o)
{
    rcd_quarantine_t code;
    rcd_row_t row;

    if (chosen == ENDED_COMES_BACK && old != NULL) {
        row = *old;
        row.ended = RCD_END_NONE;
        old = &row;
    }
    code = __real_rcd_decide_order(old, lifted, others, term_max, o);
    return chosen == AGGRAVATED_TAKEN && code == RCD_Q_AGGRAVATED ? RCD_Q_NONE : code;
}

int __wrap_rcd_decide_stops(rcd_quarantine_t code)
{
    return chosen == SUBJECT_KEPT ? 0 : __real_rcd_decide_stops(code);
}

rcd_head_verdict_t __wrap_rcd_decide_head(const rcd_state_t *s, int64_t now, int64_t iat,
                                          uint32_t epoch, uint64_t relief_seq)
{
    rcd_head_verdict_t v = __real_rcd_decide_head(s, now, iat, epoch, relief_seq);

    return chosen == CONTACT_EARLY && v == RCD_HEAD_AHEAD ? RCD_HEAD_CONTACT : v;
}

int __wrap_rcd_stage_has(rcd_stage_t *g, const char *number)
{
    return chosen == ABSENCE_IGNORED ? 1 : __real_rcd_stage_has(g, number);
}

int64_t __wrap_rcd_order_start(const rcd_order_t *o)
{
    return chosen == SERVED_IGNORED ? o->from : __real_rcd_order_start(o);
}

rcd_snapshot_t *__wrap_rcd_snapshot_begin(rcd_state_t *s, const rcd_rules_t *rules,
                                          const char *path, const rcd_statement_t *st,
                                          int64_t now, char *err, size_t err_size)
{
    rcd_marks_t marks = s->marks;
    rcd_statement_t any = *st;
    rcd_snapshot_t *sn;

    if (chosen == OLD_SNAPSHOT) {
        s->marks.seq = s->marks.relief_seq = any.asked_relief_seq = 0;
    }
    sn = __real_rcd_snapshot_begin(s, rules, path, &any, now, err, err_size);
    s->marks = marks;
    return sn;
}

jd_record_rc_t __wrap_jd_record_encode(const jd_key_t *k, const uint8_t digest[JD_DIGEST_LEN],
                                       uint64_t era, jd_order_t *orders, unsigned n,
                                       uint16_t observed, uint8_t *out, size_t out_size,
                                       size_t *out_len)
{
    for (unsigned i = 1; chosen == ORDERS_MERGED && i < n; i++) {
        orders[0].measures |= orders[i].measures;
    }
    for (unsigned i = 0; chosen == LINK_WITHOUT_TERM && i < n; i++) {
        if (orders[i].flags & JD_ORDER_LINKED) {
            orders[i].link_from = 0;
            orders[i].link_until = JD_LINK_OPEN;
        }
    }
    return __real_jd_record_encode(k, digest, era, orders,
                                   chosen == ORDERS_MERGED && n > 1 ? 1 : n, observed, out,
                                   out_size, out_len);
}
