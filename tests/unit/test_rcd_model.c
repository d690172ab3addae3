/*
 * The model of one order under every interleaving, against the real apply code: breadth first with
 * states remembered.
 *
 * World: an office that publishes, amends, lifts and marks one order, may be restored from a backup
 * with or without a new epoch; signed tokens that may arrive at any time, in any order, any number
 * of times; the journal (a real SQLite store, its rows put back for every state), which may be
 * restored from a backup; Redis, reduced to what the writer puts there by the real record code,
 * which may be flushed; a clock that passes max_stale and `until`. After every step
 * jd_policy_decide judges what a gate would read.
 *
 * Invariant: once the lift is in the daemon's journal and written, nothing denies. Each of the four
 * rules the design rests on is then broken in the harness, and the invariant must fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/jd_policy.h"
#include "core/jd_time.h"
#include "first_list.h"
#include "rcd_decide.h"
#include "rcd_fill.h"
#include "rcd_log.h"
#include "rcd_record.h"
#include "rcd_store.h"

#define NUMBER "CS-1"
#define HOUR 3600
#define STATES_MAX (1u << 20)

enum { T_ORDER, T_AMEND, T_LIFT, T_MARK, T_UNMARK, T_N }; /* tokens of one branch of history */
enum { BRANCHES = 2, CLOCKS = 3 };

/* ---- the world: plain bytes, compared and hashed whole ------------------------------------------
 */

typedef struct {
    uint8_t published, epoch, seq, clock;
} token_t;

typedef struct {
    uint8_t epoch, branch, version, lifted, objection, seq, rseq;
} office_t;

typedef struct {
    int64_t state[14]; /* the row `state`, without texts */
    uint8_t refill, has_order, has_relief, dirty, measures, flags, ended, served_later, lifted,
        objection, pending;
    uint8_t mark_epoch, mark_seq;
    uint8_t tokens[BRANCHES]; /* remembered, by bit */
    uint8_t held, held_epoch, held_seq, held_rseq; /* which snapshot waits, from 1; 0 = none */
    uint8_t early_seq;        /* of the change that was applied before its turn */
} journal_t;

typedef struct {
    uint8_t filled, has_record, measures, observed, until_later, lifted, objection;
    uint8_t epoch, seq, rseq; /* of meta */
    int64_t verified_at;
} cache_t;

typedef struct {
    token_t token[BRANCHES][T_N];
    office_t office, office_backup;
    journal_t journal, journal_backup;
    cache_t redis;
    int64_t contact, waited_since[2];
    uint64_t waited_seq[2];
    office_t fetched; /* the snapshot that was asked for, as the office made it */
    uint8_t fetching, asked_rseq;
    uint8_t clock, approved, reached, office_backups, office_restores, journal_backups,
        journal_restores, restarts, list_approved;
} world_t;

enum {
    MUTATE_NONE,
    MUTATE_CONFIRM_BLIND,
    MUTATE_RELIEF_IN_MEMORY,
    MUTATE_RELIEF_EXPIRES,
    MUTATE_LIFT_IN_ORDER,
    MUTATE_EARLY_FORGOTTEN,
    MUTATE_ADDS_AT_ONCE
};

typedef struct {
    const char *name;
    int amend, marks, office_restore, journal_restore, clocks;
    int download; /* snapshots come some time after they were asked for */
    int held;     /* nothing may be added to the list without the operator's word, */
    int narrow;   /* and the amendment takes the second measure away again: that is what is gated */
} scenario_t;

static rcd_state_t *store;
static jd_key_t key;
static rcd_rules_t rules;
static char *authorities[] = {(char *)"Office"};
static rcd_row_t version_row[2]; /* the two versions as the journal holds them */
static char version_json[2][512];
static char snapshot_path[5][64]; /* none, v1, v1 objection, v2, v2 objection */
static char model_dir[32];        /* of snapshots that wait */
static int64_t base;              /* clock 0 */
static int mutation;
static const scenario_t *scenario;

static int64_t now_of(const world_t *w)
{
    static const int64_t at[CLOCKS] = {0, 2 * HOUR, 100 * 86400};
    return base + at[w->clock];
}

/* ---- journal rows in and out --------------------------------------------------------------------
 */

enum { Q_STATE, Q_ORDER, Q_RELIEF, Q_DIRTY, Q_TOKENS, Q_HELD, Q_EARLY, Q_SAVE_N };
enum {
    P_CLEAR_ORDERS = Q_SAVE_N,
    P_CLEAR_RELIEF,
    P_CLEAR_DIRTY,
    P_CLEAR_TOKENS,
    P_CLEAR_QUARANTINE,
    P_CLEAR_HELD,
    P_CLEAR_EARLY,
    P_CLEAR_AUDIT,
    P_CLEAR_OBJECTIONS,
    P_CLEAR_LIFTS,
    P_STATE,
    P_WRITTEN,
    P_TOKEN,
    P_PENDING,
    P_SIZE,
    P_HELD,
    P_EARLY,
    P_N
};

static sqlite3_stmt *prepared[P_N];

static const char *const texts[P_N] = {
    [Q_STATE] = "SELECT epoch_known, epoch, seq, relief_seq, relief_top, relief_behind, "
                "relief_iat, changes_gap, forked,"
                " fork_epoch, verified_at, head_iat, head_relief_seq, live, (SELECT refill FROM "
                "written) FROM state",
    [Q_ORDER] = "SELECT measures, flags, ended, served FROM orders",
    [Q_RELIEF] = "SELECT lifted, objection, mark_epoch, mark_seq, pending FROM relief",
    [Q_DIRTY] = "SELECT 1 FROM dirty",
    [Q_TOKENS] = "SELECT jti FROM tokens",
    [Q_HELD] = "SELECT hash, epoch, seq, relief_seq FROM held",
    [Q_EARLY] = "SELECT seq FROM early",
    [P_CLEAR_ORDERS] = "DELETE FROM orders",
    [P_CLEAR_RELIEF] = "DELETE FROM relief",
    [P_CLEAR_DIRTY] = "DELETE FROM dirty",
    [P_CLEAR_TOKENS] = "DELETE FROM tokens",
    [P_CLEAR_QUARANTINE] = "DELETE FROM quarantine",
    [P_CLEAR_HELD] = "DELETE FROM held",
    [P_CLEAR_EARLY] = "DELETE FROM early",
    [P_CLEAR_AUDIT] = "DELETE FROM audit",
    [P_CLEAR_OBJECTIONS] = "DELETE FROM objections",
    [P_CLEAR_LIFTS] = "DELETE FROM lifts",
    [P_STATE] = "UPDATE state SET epoch_known = ?, epoch = ?, seq = ?, relief_seq = ?, relief_top "
                "= ?, relief_behind = ?,"
                " relief_iat = ?, changes_gap = ?, forked = ?, fork_epoch = ?, verified_at = ?, "
                "head_iat = ?,"
                " head_relief_seq = ?, live = ?",
    [P_WRITTEN] = "UPDATE written SET refill = ?",
    [P_TOKEN] = "INSERT INTO tokens VALUES(?, ?, ?, ?, ?)",
    [P_PENDING] = "UPDATE relief SET pending = ?",
    [P_SIZE] = "UPDATE growth SET widened = 0, size = (SELECT count(*) FROM orders WHERE "
               "ended = 0)",
    [P_HELD] = "INSERT INTO held VALUES(1, ?, ?, ?, ?, 0, 0, 0, 0, '', 1, 0, 1, 0, 0, zeroblob(32))",
    [P_EARLY] = "INSERT INTO early VALUES('" NUMBER "', ?)",
};

static int row_of(int q)
{
    int rc = sqlite3_step(prepared[q]);
    assert_true(rc == SQLITE_ROW || rc == SQLITE_DONE);
    return rc == SQLITE_ROW;
}

static int64_t value(int q, int i)
{
    return sqlite3_column_int64(prepared[q], i);
}

static void run(int q)
{
    assert_int_equal(sqlite3_step(prepared[q]), SQLITE_DONE);
    sqlite3_reset(prepared[q]);
}

static void name_token(char jti[8], int branch, int kind)
{
    snprintf(jti, 8, "t%d%d", branch, kind);
}

static void save(world_t *w)
{
    journal_t *j = &w->journal;

    memset(j, 0, sizeof(*j));
    assert_true(row_of(Q_STATE));
    for (int i = 0; i < 14; i++) {
        j->state[i] = value(Q_STATE, i);
    }
    j->refill = (uint8_t)value(Q_STATE, 14);
    j->has_order = (uint8_t)row_of(Q_ORDER);
    if (j->has_order) {
        j->measures = (uint8_t)value(Q_ORDER, 0);
        j->flags = (uint8_t)value(Q_ORDER, 1);
        j->ended = (uint8_t)value(Q_ORDER, 2);
        j->served_later = value(Q_ORDER, 3) == version_row[1].served;
    }
    j->has_relief = (uint8_t)row_of(Q_RELIEF);
    if (j->has_relief) {
        j->lifted = value(Q_RELIEF, 0) != 0;
        j->objection = (uint8_t)value(Q_RELIEF, 1);
        j->mark_epoch = (uint8_t)value(Q_RELIEF, 2);
        j->mark_seq = (uint8_t)value(Q_RELIEF, 3);
        j->pending = (uint8_t)value(Q_RELIEF, 4);
    }
    j->dirty = (uint8_t)row_of(Q_DIRTY);
    while (row_of(Q_TOKENS)) {
        const unsigned char *jti = sqlite3_column_text(prepared[Q_TOKENS], 0);
        j->tokens[jti[1] - '0'] |= (uint8_t)(1u << (jti[2] - '0'));
    }
    if (row_of(Q_HELD)) {
        j->held = *(const uint8_t *)sqlite3_column_blob(prepared[Q_HELD], 0);
        j->held_epoch = (uint8_t)value(Q_HELD, 1);
        j->held_seq = (uint8_t)value(Q_HELD, 2);
        j->held_rseq = (uint8_t)value(Q_HELD, 3);
    }
    if (row_of(Q_EARLY)) {
        j->early_seq = (uint8_t)value(Q_EARLY, 0);
    }
    for (int q = 0; q < Q_SAVE_N; q++) {
        sqlite3_reset(prepared[q]);
    }
    w->contact = store->contact;
    memcpy(w->waited_since, store->waited_since, sizeof(w->waited_since));
    memcpy(w->waited_seq, store->waited_seq, sizeof(w->waited_seq));
}

/* The version, 0 or 1, that a token tells of. */
static int version_of(int kind)
{
    return (kind == T_AMEND) != scenario->narrow;
}

static void fill_event(const world_t *w, int branch, int kind, rcd_event_t *ev)
{
    const token_t *t = &w->token[branch][kind];

    memset(ev, 0, sizeof(*ev));
    ev->kind = kind == T_LIFT                       ? RCD_EV_LIFT
               : kind == T_MARK || kind == T_UNMARK ? RCD_EV_MARK
                                                    : RCD_EV_ORDER;
    name_token(ev->jti, branch, kind);
    ev->payload_hash[0] = (uint8_t)(branch * T_N + kind);
    ev->epoch = t->epoch;
    ev->seq = t->seq;
    ev->iat = base + t->clock;
    ev->lifted = kind == T_LIFT ? 0xffff : 0;
    ev->objection = kind == T_MARK;
    strcpy(ev->number, NUMBER);
    if (ev->kind == RCD_EV_ORDER) {
        ev->record_json = version_json[version_of(kind)];
        ev->record_len = strlen(ev->record_json);
    }
}

static void load(const world_t *w)
{
    const journal_t *j = &w->journal;

    assert_int_equal(rcd_store_begin(store, 0), 0);
    for (int q = P_CLEAR_ORDERS; q <= P_CLEAR_LIFTS; q++) {
        run(q);
    }
    if (j->has_order) {
        rcd_row_t row = version_row[j->served_later];
        row.measures = j->measures;
        row.flags = j->flags;
        row.ended = (rcd_end_t)j->ended;
        row.first_from = version_row[0].first_from;
        assert_int_equal(rcd_store_order_put(store, &row), 0);
        run(P_CLEAR_DIRTY);
    }
    if (j->dirty) {
        assert_int_equal(rcd_store_dirty(store, version_row[0].digest), 0);
    }
    if (j->has_relief) {
        rcd_relief_row_t r = {.r = {.lifted = j->lifted ? 0xffff : 0, .objection = j->objection},
                              .mark_epoch = j->mark_epoch,
                              .mark_seq = j->mark_seq};
        assert_int_equal(rcd_store_relief_put(store, NUMBER, &r, base), 0);
        sqlite3_bind_int(prepared[P_PENDING], 1, j->pending);
        run(P_PENDING);
    }
    for (int b = 0; b < BRANCHES; b++) {
        for (int k = 0; k < T_N; k++) {
            if (j->tokens[b] & 1u << k) {
                rcd_event_t ev;
                fill_event(w, b, k, &ev);
                assert_int_equal(rcd_store_token_put(
                                     store, k <= T_AMEND ? RCD_LANE_CHANGES : RCD_LANE_RELIEF, &ev),
                                 0);
            }
        }
    }
    for (int i = 0; i < 14; i++) {
        sqlite3_bind_int64(prepared[P_STATE], i + 1, j->state[i]);
    }
    run(P_STATE);
    sqlite3_bind_int(prepared[P_WRITTEN], 1, j->refill);
    run(P_WRITTEN);
    run(P_SIZE);
    if (j->held) {
        uint8_t hash[32] = {j->held};

        sqlite3_bind_blob(prepared[P_HELD], 1, hash, sizeof(hash), SQLITE_TRANSIENT);
        sqlite3_bind_int(prepared[P_HELD], 2, j->held_epoch);
        sqlite3_bind_int(prepared[P_HELD], 3, j->held_seq);
        sqlite3_bind_int(prepared[P_HELD], 4, j->held_rseq);
        run(P_HELD);
    }
    if (j->early_seq) {
        sqlite3_bind_int(prepared[P_EARLY], 1, j->early_seq);
        run(P_EARLY);
    }
    assert_int_equal(rcd_store_commit(store), 0);
    rcd_store_rollback(store); /* reads marks and written back from their rows */
    rcd_state_fetching(store, w->fetching);
    store->contact = w->contact;
    memcpy(store->waited_since, w->waited_since, sizeof(w->waited_since));
    memcpy(store->waited_seq, w->waited_seq, sizeof(w->waited_seq));
}

/* ---- what the writer and a gate do --------------------------------------------------------------
 */

/* The real record of the subject into the model's Redis. */
static void write_record(world_t *w)
{
    uint8_t out[JD_RECORD_MAX];
    uint16_t observed;
    rcd_row_t rows[JD_ORDERS_MAX];
    rcd_note_t note;
    jd_order_t orders[JD_ORDERS_MAX];
    size_t len;
    unsigned count = 0;
    int n;

    assert_int_equal(rcd_record(store, &rules, 1, version_row[0].digest, out, &len, rows, &n,
                                &note), 0);
    w->redis.has_record = 0;
    w->redis.measures = w->redis.observed = w->redis.until_later = 0;
    if (len > 0) {
        assert_int_equal(
            jd_record_decode(&key, version_row[0].digest, 1, out, len, &observed, orders, &count),
            JD_RECORD_OK);
        assert_int_equal(count, observed == 0); /* the one order is enforceable, or not in it */
        w->redis.observed = (uint8_t)observed;
    }
    if (count > 0) {
        w->redis.has_record = 1;
        w->redis.measures = (uint8_t)orders[0].measures;
        w->redis.until_later = orders[0].until == version_row[1].until;
    }
}

static void write_relief(world_t *w)
{
    rcd_relief_row_t r;

    assert_true(rcd_store_relief(store, NUMBER, &r) >= 0);
    w->redis.lifted |= r.r.lifted != 0;
    w->redis.objection = r.r.objection;
    w->reached |= r.r.lifted != 0;
    rcd_store_begin(store, 0);
    rcd_store_relief_sent(store, NUMBER);
    rcd_store_commit(store);
}

static int ahead(const world_t *w)
{
    const rcd_marks_t *m = &store->marks;

    return jd_relief_mark(w->redis.epoch, w->redis.rseq) >
               jd_relief_mark(m->epoch, m->relief_seq) ||
           (w->redis.epoch == m->epoch && w->redis.seq > m->seq);
}

static void write_marks(world_t *w)
{
    w->redis.epoch = (uint8_t)store->marks.epoch;
    w->redis.rseq = (uint8_t)store->marks.relief_seq;
    w->redis.seq = (uint8_t)store->marks.seq;
}

static void refill(world_t *w)
{
    write_relief(w);
    if (!ahead(w)) {
        write_record(w);
        w->redis.filled = 1;
        w->redis.verified_at = store->contact;
        write_marks(w);
        rcd_store_begin(store, 0);
        store->written.refill = 0;
        rcd_store_save_written(store);
        rcd_store_dirty_clear(store);
        rcd_store_commit(store);
    } else {
        store->written.refill = 1;
        rcd_store_begin(store, 0);
        rcd_store_save_written(store);
        rcd_store_commit(store);
    }
}

static jd_reason_t gate(const world_t *w)
{
    jd_clocks_t c = {.now = now_of(w),
                     .office_now = now_of(w),
                     .verified_at = w->redis.verified_at,
                     .max_stale = HOUR};
    jd_relief_t relief = {.lifted = w->redis.lifted ? 0xffff : 0, .objection = w->redis.objection};
    jd_order_t o = {.number = NUMBER,
                    .number_len = 4,
                    .measures = w->redis.measures,
                    .from = version_row[0].start,
                    .until = version_row[w->redis.until_later].until};
    int which;

    if (mutation == MUTATE_CONFIRM_BLIND || (mutation == MUTATE_RELIEF_EXPIRES && w->clock > 0)) {
        memset(&relief, 0, sizeof(relief));
    }
    return jd_policy_decide(&c, scenario->narrow ? 1 : 0, &o, &relief, w->redis.filled && w->redis.has_record,
                            w->redis.observed, &which);
}

/* ---- actions: 1 when enabled and done -----------------------------------------------------------
 */

static void publish(world_t *w, int kind)
{
    office_t *o = &w->office;
    token_t *t = &w->token[o->branch][kind];

    t->published = 1;
    t->epoch = o->epoch;
    t->clock = w->clock;
    t->seq = kind <= T_AMEND ? ++o->seq : ++o->rseq;
}

static int act_office(world_t *w, int kind)
{
    office_t *o = &w->office;

    if (w->token[o->branch][kind].published || (kind == T_AMEND && !scenario->amend) ||
        ((kind == T_MARK || kind == T_UNMARK) && !scenario->marks)) {
        return 0;
    }
    switch (kind) {
    case T_ORDER:
        if (o->version != 0) {
            return 0;
        }
        o->version = 1;
        break;
    case T_AMEND:
        if (o->version != 1 || o->lifted) {
            return 0;
        }
        o->version = 2;
        break;
    case T_LIFT:
        if (o->version == 0 || o->lifted) {
            return 0;
        }
        o->lifted = 1;
        break;
    default:
        if (o->version == 0 || o->lifted || o->objection == (kind == T_MARK)) {
            return 0;
        }
        o->objection = kind == T_MARK;
        break;
    }
    publish(w, kind);
    return 1;
}

/* The amendment that takes the second measure away has come: acknowledged, or applied before its
 * turn. Nothing may bring that measure back. */
static void narrowed(world_t *w, const rcd_result_t *res)
{
    uint64_t early = 0;

    assert_true(rcd_hold_early(store, NUMBER, &early) >= 0);
    w->reached |= early > 0 || (res->outcome == RCD_ACK && store->marks.seq >= w->office.seq);
    if (mutation == MUTATE_EARLY_FORGOTTEN) {
        run(P_CLEAR_EARLY);
        assert_int_equal(rcd_hold_load(store), 0);
    }
}

static int act_deliver(world_t *w, int branch, int kind)
{
    rcd_event_t ev;
    rcd_result_t res;

    if (!w->token[branch][kind].published) {
        return 0;
    }
    fill_event(w, branch, kind, &ev);
    if (kind <= T_AMEND) {
        assert_int_equal(rcd_apply_changes(store, &rules, &ev, 1, &res), 0);
        if (scenario->narrow && kind == T_AMEND) {
            narrowed(w, &res);
            if (w->redis.filled && !store->written.refill && !ahead(w)) {
                write_record(w);      /* in the same turn of the daemon */
            }
        }
        return 1;
    }
    if (mutation == MUTATE_LIFT_IN_ORDER &&
        (ev.epoch != store->marks.epoch || ev.seq != store->marks.relief_seq + 1)) {
        w->reached |= kind == T_LIFT; /* it reached the daemon, which did not apply it */
        return 1;
    }
    assert_int_equal(rcd_apply_relief(store, &ev, 1, &res), 0);
    write_relief(w);
    return 1;
}

/* The file of a snapshot that waits, and a second name for it: the journal removes the first when it
 * no longer waits, and another world may need it. */
static void name_held(int which, char path[RCD_HELD_PATH_MAX], char kept[RCD_HELD_PATH_MAX])
{
    uint8_t hash[32] = {(uint8_t)which};

    rcd_hold_path(store, hash, path);
    snprintf(kept, RCD_HELD_PATH_MAX, "%s/kept-%d", model_dir, which);
}

static int apply_snapshot(rcd_snapshot_t *sn)
{
    rcd_snapshot_counts_t counts;
    char path[RCD_HELD_PATH_MAX], kept[RCD_HELD_PATH_MAX];

    assert_int_equal(snapshot_whole(sn, &counts), 0);
    if (counts.held) {
        name_held(rcd_hold_waits(store)->sha256[0], path, kept);
        assert_true(link(path, kept) == 0 || errno == EEXIST);
    }
    return 1;
}

static int act_snapshot(world_t *w, const office_t *o, uint8_t asked_rseq)
{
    int index = (o->version == 2) != scenario->narrow;
    int which = o->version == 0 || o->lifted ? 0 : 1 + 2 * index + o->objection;
    rcd_statement_t st = {.epoch = o->epoch, .seq = o->seq, .relief_seq = o->rseq,
                          .iat = now_of(w), .sha256 = {(uint8_t)(which + 1)},
                          .asked_relief_seq = asked_rseq};
    rcd_snapshot_t *sn;
    char err[256];

    sn = rcd_snapshot_begin(store, &rules, snapshot_path[which], &st, now_of(w), err, sizeof(err));
    return sn != NULL && apply_snapshot(sn);
}

/* Asked for: the office answers with what it has now, which comes later. It has none while it is
 * behind what it is asked for. */
static int act_fetch(world_t *w)
{
    const rcd_marks_t *m = &store->marks;

    if (!scenario->download || w->fetching ||
        (w->office.epoch == m->epoch && w->office.rseq < m->relief_seq)) {
        return 0;
    }
    w->fetching = 1;
    w->fetched = w->office;
    w->asked_rseq = (uint8_t)m->relief_seq;
    return 1;
}

static int act_arrive(world_t *w)
{
    if (!w->fetching) {
        return 0;
    }
    rcd_state_fetching(store, 0);
    act_snapshot(w, &w->fetched, w->asked_rseq);
    w->fetching = w->asked_rseq = 0;
    memset(&w->fetched, 0, sizeof(w->fetched));
    return 1;
}

/* The operator approves what waits, and it is applied. */
static int act_approve_list(world_t *w)
{
    char path[RCD_HELD_PATH_MAX], kept[RCD_HELD_PATH_MAX], err[256], hash[65];
    rcd_snapshot_t *sn;

    if (rcd_hold_waits(store) == NULL) {
        return 0;
    }
    name_held(rcd_hold_waits(store)->sha256[0], path, kept);
    assert_true(link(kept, path) == 0 || errno == EEXIST);
    memcpy(hash, rcd_hold_waits(store)->hash, sizeof(hash));
    assert_int_equal(rcd_hold_approve(store, hash, 0, "tester", err, sizeof(err)), 0);
    sn = rcd_snapshot_approved(store, &rules, now_of(w), err, sizeof(err));
    w->list_approved = 1;
    return sn != NULL && apply_snapshot(sn);
}

static int act_restore_office(world_t *w, int new_epoch)
{
    office_t was = w->office;

    if (!scenario->office_restore || w->office_backups == 0 || w->office_restores > 0) {
        return 0;
    }
    w->office = w->office_backup;
    w->office.branch = 1;
    w->office.epoch = (uint8_t)(was.epoch + new_epoch);
    if (new_epoch) {
        w->office.seq = w->office.rseq = 0;
    }
    w->office_restores = 1;
    return 1;
}

static int act_restore_journal(world_t *w)
{
    if (!scenario->journal_restore || w->journal_backups == 0 || w->journal_restores > 0) {
        return 0;
    }
    w->journal = w->journal_backup;
    w->journal_restores = 1;
    w->fetching = w->asked_rseq = 0;
    memset(&w->fetched, 0, sizeof(w->fetched));
    w->contact = 0;
    memset(w->waited_since, 0, sizeof(w->waited_since));
    memset(w->waited_seq, 0, sizeof(w->waited_seq));
    load(w);
    if (ahead(w)) {
        refill(w);
    }
    return 1;
}

static int act_restart(world_t *w)
{
    if (mutation == MUTATE_RELIEF_IN_MEMORY) {
        w->journal.has_relief = 0;
        load(w);
    }
    w->fetching = w->asked_rseq = 0;
    memset(&w->fetched, 0, sizeof(w->fetched));
    store->contact = 0;
    memset(store->waited_since, 0, sizeof(store->waited_since));
    memset(store->waited_seq, 0, sizeof(store->waited_seq));
    return 1;
}

static int act_clock(world_t *w)
{
    if (w->clock + 1 >= scenario->clocks) {
        return 0;
    }
    w->clock++;
    rcd_state_tick(store, now_of(w), now_of(w));
    return 1;
}

/* A head, then the writer's step after relief: records, then freshness. */
static int act_head(world_t *w)
{
    char why[160];

    rcd_state_head(store, now_of(w), now_of(w), w->office.epoch, w->office.seq, w->office.rseq, why,
                   sizeof(why));
    if (ahead(w)) {
        return 1;
    }
    if (store->written.refill || !w->redis.filled) {
        refill(w);
        return 1;
    }
    write_record(w);
    rcd_store_begin(store, 0);
    rcd_store_dirty_clear(store);
    rcd_store_commit(store);
    write_marks(w);
    w->redis.verified_at = store->contact > 0 ? store->contact : w->redis.verified_at;
    return 1;
}

enum {
    A_OFFICE = 0,
    A_DELIVER = A_OFFICE + T_N,
    A_HEAD = A_DELIVER + BRANCHES * T_N,
    A_SNAPSHOT,
    A_OLD_SNAPSHOT,
    A_FETCH,
    A_ARRIVE,
    A_APPROVE_LIST,
    A_FLUSH,
    A_RESTART,
    A_CLOCK,
    A_OFFICE_BACKUP,
    A_OFFICE_RESTORE,
    A_OFFICE_NEW_EPOCH,
    A_APPROVE,
    A_JOURNAL_BACKUP,
    A_JOURNAL_RESTORE,
    A_N
};

static const char *const action_names[] = {"head, records and freshness to Redis",
                                           "snapshot",
                                           "old snapshot",
                                           "snapshot asked for",
                                           "that snapshot comes",
                                           "what waits is approved",
                                           "flush",
                                           "restart",
                                           "clock",
                                           "office backup",
                                           "office restored",
                                           "office restored, new epoch",
                                           "approve",
                                           "journal backup",
                                           "journal restored"};

static int act(world_t *w, int a)
{
    char err[160];

    if (a < A_DELIVER) {
        return act_office(w, a - A_OFFICE);
    }
    if (a < A_HEAD) {
        return act_deliver(w, (a - A_DELIVER) / T_N, (a - A_DELIVER) % T_N);
    }
    switch (a) {
    case A_HEAD:
        return act_head(w);
    case A_SNAPSHOT:
        return act_snapshot(w, &w->office, (uint8_t)store->marks.relief_seq);
    case A_OLD_SNAPSHOT:
        return w->office_backups &&
               act_snapshot(w, &w->office_backup, (uint8_t)store->marks.relief_seq);
    case A_FETCH:
        return act_fetch(w);
    case A_ARRIVE:
        return act_arrive(w);
    case A_APPROVE_LIST:
        return act_approve_list(w);
    case A_FLUSH:
        memset(&w->redis, 0, sizeof(w->redis));
        refill(w);
        return 1;
    case A_RESTART:
        return act_restart(w);
    case A_CLOCK:
        return act_clock(w);
    case A_OFFICE_BACKUP:
        if (w->office_backups > 0 || !scenario->office_restore) {
            return 0;
        }
        w->office_backups = 1;
        w->office_backup = w->office;
        return 1;
    case A_OFFICE_RESTORE:
    case A_OFFICE_NEW_EPOCH:
        return act_restore_office(w, a == A_OFFICE_NEW_EPOCH);
    case A_APPROVE:
        return w->office.epoch == 2 && !w->approved && (w->approved = 1) &&
               rcd_state_approve_epoch(store, 2, err, sizeof(err)) == 0;
    case A_JOURNAL_BACKUP:
        if (w->journal_backups > 0 || !scenario->journal_restore) {
            return 0;
        }
        w->journal_backups = 1;
        w->journal_backup = w->journal;
        return 1;
    case A_JOURNAL_RESTORE:
        return act_restore_journal(w);
    }
    return 0;
}

/* Whether an action needs the journal: 0 no, 1 yes, -1 it is not enabled at all. */
static int touches_journal(const world_t *w, int a)
{
    const int64_t *j = w->journal.state;

    if (a < A_DELIVER || a == A_OFFICE_BACKUP || a == A_OFFICE_RESTORE || a == A_OFFICE_NEW_EPOCH ||
        a == A_JOURNAL_BACKUP) {
        return 0;
    }
    if (a < A_HEAD) {
        return w->token[(a - A_DELIVER) / T_N][(a - A_DELIVER) % T_N].published ? 1 : -1;
    }
    switch (a) {
    case A_FETCH:
        return scenario->download && !w->fetching ? 1 : -1;
    case A_ARRIVE:
        return w->fetching ? 1 : -1;
    case A_APPROVE_LIST:
        return w->journal.held ? 1 : -1;
    case A_SNAPSHOT: /* fetched when something is missing, or a new epoch was approved */
        return j[5] || j[7] || j[9] || j[2] != w->office.seq || j[3] != w->office.rseq ? 1 : -1;
    case A_OLD_SNAPSHOT:
        return w->office_backups ? 1 : -1;
    case A_CLOCK:
        return w->clock + 1 < scenario->clocks ? 1 : -1;
    case A_APPROVE:
        return w->office.epoch == 2 && !w->approved ? 1 : -1;
    case A_JOURNAL_RESTORE:
        return w->journal_backups > 0 && w->journal_restores == 0 ? 1 : -1;
    default:
        return 1;
    }
}

/* ---- breadth first ------------------------------------------------------------------------------
 */

typedef struct {
    world_t w;
    uint32_t parent;
    int16_t action;
} node_t;

static node_t *nodes;
static uint32_t *table, n_nodes;

static int known(const world_t *w)
{
    uint8_t h[16];
    uint32_t at;

    jd_siphash128(key.digest_key, w, sizeof(*w), h);
    memcpy(&at, h, sizeof(at));
    for (at &= 2 * STATES_MAX - 1; table[at] != 0; at = (at + 1) & (2 * STATES_MAX - 1)) {
        if (memcmp(&nodes[table[at] - 1].w, w, sizeof(*w)) == 0) {
            return 1;
        }
    }
    table[at] = n_nodes + 1;
    return 0;
}

static void add(const world_t *w, uint32_t parent, int action)
{
    assert_true(n_nodes < STATES_MAX);
    nodes[n_nodes].w = *w;
    nodes[n_nodes].parent = parent;
    nodes[n_nodes++].action = (int16_t)action;
}

static void tell(uint32_t i)
{
    static const char *const kinds[] = {"order", "amendment", "lift", "mark", "unmark"};
    int a = nodes[i].action;

    if (i == 0) {
        return;
    }
    tell(nodes[i].parent);
    if (a < A_DELIVER) {
        print_message("  publish %s\n", kinds[a]);
    } else if (a < A_HEAD) {
        print_message("  deliver %s of branch %d\n", kinds[(a - A_DELIVER) % T_N],
                      (a - A_DELIVER) / T_N);
    } else {
        print_message("  %s\n", action_names[a - A_HEAD]);
    }
}

/* Explores; returns 1 when the invariant failed. *listed = states in which a gate denies. */
static int explore(const scenario_t *sc, int mutated, uint32_t *listed, int loud)
{
    world_t start;

    scenario = sc;
    mutation = mutated;
    rules.growth = (rcd_growth_limit_t){.stated = 1, .orders = sc->held ? 0 : 100};
    if (mutated == MUTATE_ADDS_AT_ONCE) {
        rules.growth.orders = 100;
    }
    assert_true(rcd_state_rules(store, &rules) >= 0);
    snprintf(store->dir, sizeof(store->dir), "%s", sc->held ? model_dir : "");
    memset(table, 0, 2 * STATES_MAX * sizeof(*table));
    n_nodes = 0;
    *listed = 0;
    memset(&start, 0, sizeof(start));
    start.office.epoch = 1;
    start.journal.state[7] = 1; /* changes_gap: nothing is known yet */
    start.journal.refill = 1;
    known(&start);
    add(&start, 0, -1);
    for (uint32_t i = 0; i < n_nodes; i++) {
        for (int a = 0; a < A_N; a++) {
            world_t w = nodes[i].w;
            int touches = touches_journal(&w, a);

            if (touches < 0) {
                continue;
            }
            if (touches) {
                load(&w);
            }
            if (!act(&w, a)) {
                continue;
            }
            if (touches) {
                save(&w);
            }
            if (known(&w)) {
                continue;
            }
            add(&w, i, a);
            if (gate(&w) == JD_REASON_LISTED) {
                (*listed)++;
                if (w.reached || (sc->held && !w.list_approved)) {
                    if (loud) {
                        print_message("%s is followed by a denial:\n",
                                      w.reached ? "what freed and reached the daemon"
                                                : "a list that nobody approved");
                        tell(n_nodes - 1);
                    }
                    return 1;
                }
            }
        }
    }
    return 0;
}

/* ---- set up -------------------------------------------------------------------------------------
 */

static void make_version(int v, const char *measures, const char *served, int64_t until)
{
    rcd_order_t o;
    char text[2][26], why[160];

    jd_time_print(base - HOUR, text[0]);
    jd_time_print(until, text[1]);
    for (int objection = 1; objection >= 0; objection--) {
        snprintf(version_json[v], sizeof(version_json[v]),
                 "{\"order\":\"" NUMBER
                 "\",\"subject\":{\"scheme\":\"card\",\"id\":\"A1\"},\"measures\":[%s],"
                 "\"authority\":\"Office\",\"basis\":\"b\",\"served\":\"%s\",\"from\":\"%s\","
                 "\"until\":\"%s\","
                 "\"effect\":\"enforce\",\"objection\":%s,\"contest\":{\"phone\":\"1\"}}",
                 measures, served, text[0], text[1], objection ? "true" : "false");
        FILE *f = fopen(snapshot_path[1 + 2 * v + objection], "w");
        assert_non_null(f);
        fprintf(f, "%s\n", version_json[v]);
        fclose(f);
    }
    assert_int_equal(
        rcd_order_parse(&rules, version_json[v], strlen(version_json[v]), &o, why, sizeof(why)),
        RCD_Q_NONE);
    assert_true(rcd_store_grounds_put(store, &o) >= 0);
    version_row[v] = (rcd_row_t){.measures = o.measures,
                                 .served = o.served,
                                 .start = rcd_order_start(&o),
                                 .until = o.until,
                                 .first_from = o.from};
    strcpy(version_row[v].number, NUMBER);
    memcpy(version_row[v].digest, o.digest, JD_DIGEST_LEN);
    memcpy(version_row[v].grounds, o.grounds_id, JD_GROUNDS_ID_LEN);
}

static int set_up(void **state)
{
    uint8_t raw[16] = {1};
    char err[160];

    (void)state;
    assert_int_equal(jd_time_parse("2026-11-23T12:00:00+08:00", 25, &base), 0);
    jd_key_init(&key, "k1", raw);
    rules.key = &key;
    rules.accept_card_subjects = 1;
    for (int i = 0; i < 2; i++) {
        rules.rule[i] = (rcd_measure_rule_t){.enabled = 1,
                                             .legal_source = (char *)"l",
                                             .authorities = authorities,
                                             .n_authorities = 1,
                                             .max_term_sec = JD_TERM_MAX_SEC};
    }
    store = rcd_store_open(":memory:", "model", 0, err, sizeof(err));
    assert_non_null(store);
    snprintf(model_dir, sizeof(model_dir), "%s/jd-model-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(model_dir));
    assert_int_equal(rcd_log_open("/dev/null", RCD_LOG_ERROR), 0);
    first_list(store, &rules); /* the list was approved once; its size lets everything in */
    for (int q = 0; q < P_N; q++) {
        assert_int_equal(sqlite3_prepare_v2(store->db, texts[q], -1, &prepared[q], NULL),
                         SQLITE_OK);
    }
    for (int i = 0; i < 5; i++) {
        snprintf(snapshot_path[i], sizeof(snapshot_path[i]), "/tmp/jd-model-%d-%d.ndjson",
                 (int)getpid(), i);
        fclose(fopen(snapshot_path[i], "w"));
    }
    make_version(0, "\"bus.ride\"", "2026-11-01", base + 50 * 86400);
    make_version(1, "\"bus.ride\",\"metro.ride\"", "2026-11-02", base + 200 * 86400);
    nodes = malloc(STATES_MAX * sizeof(*nodes));
    table = malloc(2 * STATES_MAX * sizeof(*table));
    return nodes == NULL || table == NULL;
}

static int tear_down(void **state)
{
    char command[64];

    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", model_dir);
    assert_int_equal(system(command), 0);
    for (int i = 0; i < 5; i++) {
        unlink(snapshot_path[i]);
    }
    for (int q = 0; q < P_N; q++) {
        sqlite3_finalize(prepared[q]);
    }
    rcd_store_close(store);
    free(nodes);
    free(table);
    return 0;
}

static const scenario_t scenarios[] = {
    {.name = "order, lift, clock", .clocks = 3},
    {.name = "order, lift, amendment", .amend = 1, .clocks = 1},
    {.name = "order, lift, objection", .marks = 1, .clocks = 1},
    {.name = "order, lift, office backup", .office_restore = 1, .clocks = 1},
    {.name = "order, lift, journal backup", .journal_restore = 1, .clocks = 1},
    {.name = "order, lift, amendment, download overtaken", .amend = 1, .clocks = 1, .download = 1},
    {.name = "order, lift, narrower amendment, held list", .amend = 1, .clocks = 1, .download = 1,
     .held = 1, .narrow = 1},
};

#define HELD 6 /* the scenario in which a list is held */

static void test_invariant(void **state)
{
    uint32_t listed, total = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        assert_int_equal(explore(&scenarios[i], MUTATE_NONE, &listed, 1), 0);
        print_message("%s: %u states, %u of them deny\n", scenarios[i].name, n_nodes, listed);
        assert_true(listed > 0);
        total += n_nodes;
    }
    print_message("%u states in all: no lift that reached the daemon is followed by a denial\n",
                  total);
}

static void breaks_in(int mutated, const char *rule, size_t first)
{
    uint32_t listed;
    int broken = 0;

    for (size_t i = first; i < sizeof(scenarios) / sizeof(scenarios[0]) && !broken; i++) {
        broken = explore(&scenarios[i], mutated, &listed, 0);
    }
    print_message("without \"%s\": broken after %u states\n", rule, n_nodes);
    assert_true(broken);
}

static void breaks(int mutated, const char *rule)
{
    breaks_in(mutated, rule, 0);
}

static void test_confirm_reads_relief(void **state)
{
    (void)state;
    breaks(MUTATE_CONFIRM_BLIND, "the confirm reads relief");
}

static void test_relief_on_disk(void **state)
{
    (void)state;
    breaks(MUTATE_RELIEF_IN_MEMORY, "relief is on the daemon's disk");
}

static void test_relief_never_expires(void **state)
{
    (void)state;
    breaks(MUTATE_RELIEF_EXPIRES, "relief never expires");
}

static void test_lift_at_any_seq(void **state)
{
    (void)state;
    breaks(MUTATE_LIFT_IN_ORDER, "a verified lift is applied at any seq");
}

static void test_early_is_remembered(void **state)
{
    (void)state;
    breaks_in(MUTATE_EARLY_FORGOTTEN, "a change applied before its turn is remembered", HELD);
}

static void test_what_adds_waits(void **state)
{
    (void)state;
    breaks_in(MUTATE_ADDS_AT_ONCE, "what adds waits for the operator", HELD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_invariant),       cmocka_unit_test(test_confirm_reads_relief),
        cmocka_unit_test(test_relief_on_disk),  cmocka_unit_test(test_relief_never_expires),
        cmocka_unit_test(test_lift_at_any_seq), cmocka_unit_test(test_early_is_remembered),
        cmocka_unit_test(test_what_adds_waits),
    };

    /* one thread, and room for the statements of the many stages: a fifth of the time */
    sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 512, 1000);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
