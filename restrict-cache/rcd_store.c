/*
 * rcd_store - the journal on disk: schema, statements, opening, transactions, marks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_audit.h"
#include "rcd_brake.h"
#include "rcd_hold.h"
#include "rcd_ledger_rows.h"
#include "rcd_note.h"
#include "rcd_reach.h"
#include "rcd_relink.h"
#include "rcd_lift.h"
#include "rcd_objection.h"
#include "rcd_relisted.h"
#include "rcd_size.h"
#include "rcd_sql.h"
#include "rcd_stay.h"

#define APPLICATION_ID  0x6a646a31       /* "jdj1" */

static const char schema[] =
    "CREATE TABLE state(one INTEGER PRIMARY KEY CHECK(one = 1), list TEXT NOT NULL,"
    " journal TEXT NOT NULL, epoch_known INTEGER, epoch INTEGER, seq INTEGER, relief_seq INTEGER,"
    " relief_top INTEGER, relief_behind INTEGER, relief_iat INTEGER, changes_gap INTEGER,"
    " forked INTEGER, fork_epoch INTEGER, verified_at INTEGER, head_iat INTEGER,"
    " head_relief_seq INTEGER, live INTEGER, under TEXT) STRICT;"
    "CREATE TABLE written(one INTEGER PRIMARY KEY CHECK(one = 1), era INTEGER, last_id INTEGER,"
    " count INTEGER, seq INTEGER, enabled INTEGER, refill INTEGER, fills INTEGER) STRICT;"
    "CREATE TABLE orders(number TEXT PRIMARY KEY, digest BLOB NOT NULL, measures INTEGER NOT NULL,"
    " flags INTEGER NOT NULL, served INTEGER NOT NULL, start INTEGER NOT NULL,"
    " until INTEGER NOT NULL, first_from INTEGER NOT NULL, deadline INTEGER NOT NULL,"
    " grounds BLOB NOT NULL, imported INTEGER NOT NULL, ended INTEGER NOT NULL,"
    " ended_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX orders_live ON orders(digest) WHERE ended = 0;"
    "CREATE INDEX orders_until ON orders(until) WHERE ended = 0;"
    "CREATE TABLE grounds(id BLOB PRIMARY KEY, sent INTEGER NOT NULL, value BLOB NOT NULL) STRICT;"
    "CREATE TABLE relief(number TEXT PRIMARY KEY, lifted INTEGER NOT NULL,"
    " objection INTEGER NOT NULL, mark_epoch INTEGER NOT NULL, mark_seq INTEGER NOT NULL,"
    " at INTEGER NOT NULL, pending INTEGER NOT NULL, held INTEGER NOT NULL DEFAULT 0,"
    " stay INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;"
    "CREATE INDEX relief_pending ON relief(number) WHERE pending = 1;"
    "CREATE TABLE dirty(digest BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;"
    "CREATE TABLE tokens(lane INTEGER, epoch INTEGER, seq INTEGER, jti TEXT NOT NULL,"
    " hash BLOB NOT NULL, PRIMARY KEY(lane, epoch, seq)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE quarantine(id INTEGER PRIMARY KEY AUTOINCREMENT, number TEXT NOT NULL,"
    " code INTEGER NOT NULL, why TEXT NOT NULL, at INTEGER NOT NULL,"
    " reported INTEGER NOT NULL DEFAULT 0, UNIQUE(number, code)) STRICT;"
    "CREATE INDEX quarantine_unreported ON quarantine(id) WHERE reported = 0;";

/* Tables of every part, made in a new journal. A part keeps its statements itself. */
static const char *const schemas[] = {
    schema,
    rcd_audit_schema,
    rcd_brake_schema,
    rcd_ledger_schema,
    rcd_reach_schema,
    rcd_relink_schema,
    rcd_note_schema,
    rcd_stay_schema,
    rcd_objection_schema,
    rcd_lift_schema,
    rcd_size_schema,
    rcd_hold_schema,
    rcd_relisted_schema,
};

#define ROW "number, digest, measures, flags, served, start, until, first_from, deadline, grounds,"\
            " imported, ended, ended_at"

static const char *const sql[RCD_ST_N] = {
    [RCD_ST_BEGIN] = "BEGIN IMMEDIATE",
    [RCD_ST_COMMIT] = "COMMIT",
    [RCD_ST_ROLLBACK] = "ROLLBACK",
    [RCD_ST_FULL] = "PRAGMA synchronous = FULL",
    [RCD_ST_NORMAL] = "PRAGMA synchronous = NORMAL",
    [RCD_ST_STATE] =
        "SELECT journal, epoch_known, epoch, seq, relief_seq, relief_top, relief_behind,"
        " relief_iat, changes_gap, forked, fork_epoch, verified_at, head_iat,"
        " head_relief_seq, live, under FROM state",
    [RCD_ST_STATE_SAVE] =
        "UPDATE state SET epoch_known = ?, epoch = ?, seq = ?, relief_seq = ?,"
        " relief_top = ?, relief_behind = ?, relief_iat = ?, changes_gap = ?,"
        " forked = ?, fork_epoch = ?, verified_at = ?, head_iat = ?,"
        " head_relief_seq = ?, live = ?, under = ?",
    [RCD_ST_WRITTEN] = "SELECT era, last_id, count, seq, enabled, refill, fills FROM written",
    [RCD_ST_WRITTEN_SAVE] =
        "UPDATE written SET era = ?, last_id = ?, count = ?, seq = ?, enabled = ?,"
        " refill = ?, fills = ?",
    [RCD_ST_ORDER] = "SELECT " ROW " FROM orders WHERE number = ?",
    [RCD_ST_ORDER_PUT] =
        "INSERT OR REPLACE INTO orders(" ROW ")"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [RCD_ST_ORDER_END] = "UPDATE orders SET ended = ?2, ended_at = ?3 WHERE number = ?1",
    [RCD_ST_LIVE] = "SELECT " ROW " FROM orders WHERE digest = ? AND ended = 0 LIMIT ?",
    [RCD_ST_NEXT_LIVE] =
        "SELECT digest FROM orders WHERE digest > ? AND ended = 0"
        " ORDER BY digest LIMIT 1",
    [RCD_ST_PAST] =
        "SELECT " ROW " FROM orders WHERE until <= ? AND ended = 0 ORDER BY until LIMIT ?",
    [RCD_ST_ALL] = "SELECT " ROW " FROM orders ORDER BY number",
    [RCD_ST_OF_DIGEST] = "SELECT " ROW " FROM orders WHERE digest = ? ORDER BY number",
    [RCD_ST_RELIEF] =
        "SELECT lifted, objection, mark_epoch, mark_seq, held, stay FROM relief WHERE number = ?",
    [RCD_ST_RELIEF_PUT] =
        "INSERT INTO relief(number, lifted, objection, mark_epoch, mark_seq, at, pending)"
        " VALUES(?, ?, ?, ?, ?, ?, 1) ON CONFLICT(number) DO UPDATE"
        " SET lifted = excluded.lifted, objection = excluded.objection,"
        " mark_epoch = excluded.mark_epoch, mark_seq = excluded.mark_seq, pending = 1",
    [RCD_ST_RELIEF_NEXT] =
        "SELECT number, lifted, objection, mark_epoch, mark_seq, held, stay FROM relief"
        " WHERE number > ?"
        " ORDER BY number LIMIT 1",
    [RCD_ST_RELIEF_PENDING] =
        "SELECT number, lifted, objection, mark_epoch, mark_seq, held, stay FROM relief"
        " WHERE number > ?"
        " AND pending = 1 ORDER BY number LIMIT 1",
    [RCD_ST_RELIEF_SENT] = "UPDATE relief SET pending = 0 WHERE number = ? AND pending = 1",
    [RCD_ST_RELIEF_STAY] =
        "INSERT INTO relief VALUES(?1, 0, 0, 0, 0, ?2, 1, 0, ?3) ON CONFLICT(number) DO UPDATE"
        " SET stay = ?3, pending = 1",
    [RCD_ST_RELIEF_HOLD] =
        "INSERT INTO relief VALUES(?1, 0, 0, 0, 0, ?2, 1, ?3, 0) ON CONFLICT(number) DO UPDATE"
        " SET held = ?3, pending = 1",
    [RCD_ST_DIRTY] = "INSERT OR IGNORE INTO dirty VALUES(?)",
    [RCD_ST_DIRTY_NEXT] = "SELECT digest FROM dirty WHERE digest > ? ORDER BY digest LIMIT 1",
    [RCD_ST_DIRTY_CLEAN] = "DELETE FROM dirty WHERE digest = ?",
    [RCD_ST_DIRTY_CLEAR] = "DELETE FROM dirty",
    [RCD_ST_PENDING] =
        "SELECT (SELECT count(*) FROM dirty),"
        " (SELECT count(*) FROM relief WHERE pending = 1)",
    [RCD_ST_GROUNDS] = "SELECT value FROM grounds WHERE id = ?",
    [RCD_ST_GROUNDS_PUT] = "INSERT OR IGNORE INTO grounds VALUES(?, 0, ?)",
    [RCD_ST_GROUNDS_UNSENT] = "SELECT value FROM grounds WHERE id = ? AND sent <> ?",
    [RCD_ST_GROUNDS_SENT] = "UPDATE grounds SET sent = ?2 WHERE id = ?1",
    [RCD_ST_TOKEN] = "SELECT jti, hash FROM tokens WHERE lane = ? AND epoch = ? AND seq = ?",
    [RCD_ST_TOKEN_PUT] = "INSERT OR IGNORE INTO tokens VALUES(?, ?, ?, ?, ?)",
    [RCD_ST_TOKENS_TRIM] =
        "DELETE FROM tokens WHERE lane = ?1 AND (epoch < ?2 OR"
        " (epoch = ?2 AND seq < ?3))",
    [RCD_ST_TOKEN_TOP] = "SELECT max(seq) FROM tokens WHERE lane = ? AND epoch = ?",
    [RCD_ST_QUARANTINE] =
        "INSERT INTO quarantine(number, code, why, at) VALUES(?, ?, ?, ?)"
        " ON CONFLICT(number, code) DO UPDATE SET why = excluded.why WHERE why <> excluded.why",
    [RCD_ST_QUARANTINE_CLEAR] = "DELETE FROM quarantine WHERE number = ? AND code <> ?",
    [RCD_ST_QUARANTINE_NEXT] =
        "SELECT id, number, code, why FROM quarantine WHERE reported = 0"
        " ORDER BY id LIMIT 1",
    [RCD_ST_QUARANTINE_REPORTED] = "UPDATE quarantine SET reported = 1 WHERE id = ?",
    [RCD_ST_QUARANTINE_ALL] = "SELECT number, code, why, at, reported FROM quarantine ORDER BY id",
    [RCD_ST_COUNTS] =
        "SELECT (SELECT count(*) FROM relief), (SELECT count(*) FROM quarantine),"
        " (SELECT count(*) FROM quarantine WHERE reported = 0)",
};

int rcd_sql_failed(rcd_state_t *s)
{
    snprintf(s->fault, sizeof(s->fault), "journal: %s", sqlite3_errmsg(s->db));
    return -1;
}

int rcd_sql_prepare(rcd_state_t *s, sqlite3_stmt **stmt, const char *const *text, int n)
{
    for (int i = 0; i < n; i++) {
        if (sqlite3_prepare_v3(s->db, text[i], -1, SQLITE_PREPARE_PERSISTENT, &stmt[i], NULL) !=
            SQLITE_OK) {
            return rcd_sql_failed(s);
        }
    }
    return 0;
}

void rcd_sql_finalize(sqlite3_stmt **stmt, int n)
{
    for (int i = 0; i < n; i++) {
        sqlite3_finalize(stmt[i]);
    }
}

/* ---- binding and stepping: one call per statement -------------------------------------------- */

int rcd_sql_step(rcd_state_t *s, sqlite3_stmt *q)
{
    int rc = sqlite3_step(q);

    if (rc == SQLITE_ROW) {
        return 1;
    }
    if (rc != SQLITE_DONE) {
        rcd_sql_failed(s);
    }
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return rc == SQLITE_DONE ? 0 : -1;
}

void rcd_sql_done(sqlite3_stmt *q)
{
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
}

void rcd_sql_int(sqlite3_stmt *q, int i, int64_t v)
{
    sqlite3_bind_int64(q, i, v);
}

void rcd_sql_text(sqlite3_stmt *q, int i, const char *text)
{
    sqlite3_bind_text(q, i, text, -1, SQLITE_STATIC);
}

void rcd_sql_blob(sqlite3_stmt *q, int i, const void *bytes, size_t len)
{
    sqlite3_bind_blob(q, i, bytes, (int) len, SQLITE_STATIC);
}

int64_t rcd_sql_col(sqlite3_stmt *q, int i)
{
    return sqlite3_column_int64(q, i);
}

void rcd_sql_col_text(sqlite3_stmt *q, int i, char *out, size_t size)
{
    const unsigned char *t = sqlite3_column_text(q, i);

    snprintf(out, size, "%s", t != NULL ? (const char *) t : "");
}

void rcd_sql_col_blob(sqlite3_stmt *q, int i, uint8_t *out, size_t len)
{
    const void *b = sqlite3_column_blob(q, i);

    memset(out, 0, len);
    if (b != NULL && (size_t) sqlite3_column_bytes(q, i) == len) {
        memcpy(out, b, len);
    }
}

int rcd_sql_number(rcd_state_t *s, sqlite3_stmt *q, uint64_t *out)
{
    int rc = rcd_sql_step(s, q);

    if (rc > 0) {
        *out = (uint64_t) rcd_sql_col(q, 0);
        rcd_sql_done(q);
    }
    return rc > 0 ? 0 : -1;
}

int rcd_sql_any(rcd_state_t *s, sqlite3_stmt *q, const char *text)
{
    int rc;

    rcd_sql_text(q, 1, text);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        rcd_sql_done(q);
    }
    return rc;
}

/* ---- open, close, transactions --------------------------------------------------------------- */

static int load_marks(rcd_state_t *s)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_STATE];
    rcd_marks_t *m = &s->marks;
    int rc = rcd_sql_step(s, q);

    if (rc <= 0) {
        return -1;
    }
    rcd_sql_col_text(q, 0, m->journal, sizeof(m->journal));
    s->epoch_known = (int) rcd_sql_col(q, 1);
    m->epoch = (uint32_t) rcd_sql_col(q, 2);
    m->seq = (uint64_t) rcd_sql_col(q, 3);
    m->relief_seq = (uint64_t) rcd_sql_col(q, 4);
    s->relief_top = (uint64_t) rcd_sql_col(q, 5);
    m->relief_behind = (int) rcd_sql_col(q, 6);
    s->relief_iat = rcd_sql_col(q, 7);
    m->changes_gap = (int) rcd_sql_col(q, 8);
    m->forked = (int) rcd_sql_col(q, 9);
    m->fork_epoch = (uint32_t) rcd_sql_col(q, 10);
    m->verified_at = rcd_sql_col(q, 11);
    m->head_iat = rcd_sql_col(q, 12);
    s->head_relief_seq = (uint64_t) rcd_sql_col(q, 13);
    s->live = (uint64_t) rcd_sql_col(q, 14);
    rcd_sql_col_text(q, 15, s->under, sizeof(s->under));
    rcd_sql_done(q);

    q = s->stmt[RCD_ST_WRITTEN];
    rc = rcd_sql_step(s, q);
    if (rc <= 0) {
        return -1;
    }
    s->written = (rcd_written_t){
        .era = (uint64_t) rcd_sql_col(q, 0), .last_id = (uint64_t) rcd_sql_col(q, 1),
        .count = (uint64_t) rcd_sql_col(q, 2), .seq = (uint64_t) rcd_sql_col(q, 3),
        .enabled = (uint16_t) rcd_sql_col(q, 4), .refill = (int) rcd_sql_col(q, 5),
        .fills = (uint64_t) rcd_sql_col(q, 6),
    };
    rcd_sql_done(q);
    return rcd_size_load(s) < 0 || rcd_hold_load(s) < 0 ? -1 : rcd_relisted_load(s);
}

/* Creates the tables in an empty file. */
static int create(rcd_state_t *s, const char *list)
{
    char text[512];
    uint8_t id[16];
    char hex[33];

    sqlite3_randomness(sizeof(id), id);
    for (int i = 0; i < 16; i++) {
        snprintf(hex + 2 * i, 3, "%02x", id[i]);
    }
    snprintf(text, sizeof(text),
             "INSERT INTO state VALUES(1, '%s', '%s', 0,0,0,0,0,0,0,1,0,0,0,0,0,0,'');"
             "INSERT INTO written VALUES(1, 0,0,0,0,0,1,0);"
             "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
             list, hex, APPLICATION_ID, RCD_STORE_LAYOUT);
    if (sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK) {
        return rcd_sql_failed(s);
    }
    for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
        if (sqlite3_exec(s->db, schemas[i], NULL, NULL, NULL) != SQLITE_OK) {
            return rcd_sql_failed(s);
        }
    }
    return sqlite3_exec(s->db, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : rcd_sql_failed(s);
}

static int pragma(rcd_state_t *s, const char *text, int64_t *value)
{
    sqlite3_stmt *q;

    if (sqlite3_prepare_v2(s->db, text, -1, &q, NULL) != SQLITE_OK) {
        return rcd_sql_failed(s);
    }
    *value = sqlite3_step(q) == SQLITE_ROW ? rcd_sql_col(q, 0) : 0;
    sqlite3_finalize(q);
    return 0;
}

/* 0 when the file is ours (or was empty and is now), of this layout, for this list. `list` NULL:
 * any. */
static int check(rcd_state_t *s, const char *list, int readonly)
{
    int64_t id, layout, tables;
    char text[RCD_UNDER_MAX], *of = NULL;
    sqlite3_stmt *q;
    int same;

    if (pragma(s, "PRAGMA application_id", &id) != 0 ||
        pragma(s, "PRAGMA user_version", &layout) != 0 ||
        pragma(s, "SELECT count(*) FROM sqlite_schema", &tables) != 0) {
        return -1;
    }
    if (tables == 0 && !readonly) {
        return create(s, list);
    }
    if (id != APPLICATION_ID) {
        snprintf(s->fault, sizeof(s->fault), "not a journal of restrict-cached");
        return -1;
    }
    if (layout != RCD_STORE_LAYOUT) {
        snprintf(s->fault, sizeof(s->fault), "layout %lld, this program reads %d; move it away "
                 "and a new one is filled by the office", (long long) layout, RCD_STORE_LAYOUT);
        return -1;
    }
    if (sqlite3_prepare_v2(s->db, "SELECT list FROM state", -1, &q, NULL) != SQLITE_OK) {
        return rcd_sql_failed(s);
    }
    if (sqlite3_step(q) == SQLITE_ROW) {
        rcd_sql_col_text(q, 0, text, sizeof(text));
        of = text;
    }
    sqlite3_finalize(q);
    same = of != NULL && (list == NULL || strcmp(of, list) == 0);
    if (!same) {
        snprintf(s->fault, sizeof(s->fault), "holds list \"%.32s\", not \"%s\"; each list needs a "
                 "directory of its own", of != NULL ? of : "", list != NULL ? list : "");
    }
    return same ? 0 : -1;
}

static int set_up(rcd_state_t *s, const char *list, int readonly)
{
    /* A WAL of 16 MB: a snapshot rewrites pages at random, and a checkpoint must not hold up relief. */
    static const char settings[] =
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384;"
        "PRAGMA wal_autocheckpoint = 4096";

    sqlite3_busy_timeout(s->db, 5000);
    if (!readonly && sqlite3_exec(s->db, settings, NULL, NULL, NULL) != SQLITE_OK) {
        return rcd_sql_failed(s);
    }
    s->full = 1;
    if (check(s, list, readonly) != 0) {
        return -1;
    }
    if (rcd_sql_prepare(s, s->stmt, sql, RCD_ST_N) != 0 || rcd_audit_open(s) != 0 ||
        rcd_brake_open(s) != 0 || rcd_ledger_rows_open(s) != 0 ||
        rcd_note_open(s) != 0 || rcd_reach_open(s) != 0 ||
        rcd_stay_open(s) != 0 || rcd_objection_open(s) != 0 || rcd_lift_open(s) != 0 ||
        rcd_size_open(s) != 0 || rcd_hold_open(s) != 0 || rcd_relisted_open(s) != 0) {
        return -1;
    }
    return load_marks(s);
}

rcd_state_t *rcd_store_open(const char *path, const char *list, int readonly, char *err,
                            size_t err_size)
{
    int flags = readonly ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    rcd_state_t *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        snprintf(err, err_size, "%s: out of memory", path);
        return NULL;
    }
    s->lock_fd = -1;
    if (!readonly && !jd_list_name_ok(list, strlen(list))) {
        snprintf(err, err_size, "list name must be 1 to %d of [a-z0-9_]", JD_LIST_NAME_MAX);
    } else if (sqlite3_open_v2(path, &s->db, flags, NULL) != SQLITE_OK) {
        snprintf(err, err_size, "%s: %s", path, sqlite3_errmsg(s->db));
    } else if (set_up(s, list, readonly) != 0) {
        snprintf(err, err_size, "%s: %s", path, s->fault);
    } else {
        return s;
    }
    rcd_store_close(s);
    return NULL;
}

void rcd_store_close(rcd_state_t *s)
{
    rcd_reach_close(s);
    rcd_note_close(s);
    rcd_audit_close(s);
    rcd_brake_close(s);
    rcd_ledger_rows_close(s);
    rcd_stay_close(s);
    rcd_objection_close(s);
    rcd_lift_close(s);
    rcd_size_close(s);
    rcd_hold_close(s);
    rcd_relisted_close(s);
    rcd_sql_finalize(s->stmt, RCD_ST_N);
    sqlite3_close(s->db);
    free(s);
}

int rcd_store_begin(rcd_state_t *s, int durable)
{
    if (s->full != durable) {
        if (rcd_sql_step(s, s->stmt[durable ? RCD_ST_FULL : RCD_ST_NORMAL]) < 0) {
            return -1;
        }
        s->full = durable;
    }
    return rcd_sql_step(s, s->stmt[RCD_ST_BEGIN]);
}

int rcd_store_commit(rcd_state_t *s)
{
    return rcd_sql_step(s, s->stmt[RCD_ST_COMMIT]);
}

void rcd_store_rollback(rcd_state_t *s)
{
    char fault[sizeof(s->fault)];

    memcpy(fault, s->fault, sizeof(fault));      /* the reason for it, not what follows from it */
    if (!sqlite3_get_autocommit(s->db)) {
        rcd_sql_step(s, s->stmt[RCD_ST_ROLLBACK]);
    }
    load_marks(s);
    memcpy(s->fault, fault, sizeof(fault));
}

void rcd_store_under_print(const rcd_rules_t *rules, char out[RCD_UNDER_MAX])
{
    char norm[256];

    jd_normalisers_print(&rules->norm, norm);
    snprintf(out, RCD_UNDER_MAX, "%s %s %s", rules->key->id, rules->key->check, norm);
}

void rcd_store_under_set(rcd_state_t *s, const rcd_rules_t *rules)
{
    rcd_store_under_print(rules, s->under);
}

int rcd_store_under(rcd_state_t *s, const rcd_rules_t *rules)
{
    char under[RCD_UNDER_MAX];

    if (s->live == 0) {
        rcd_store_under_set(s, rules);
        return 1;
    }
    rcd_store_under_print(rules, under);
    return strcmp(s->under, under) == 0;
}

int rcd_store_save_marks(rcd_state_t *s)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_STATE_SAVE];
    const rcd_marks_t *m = &s->marks;
    const int64_t v[] = {
        s->epoch_known, m->epoch, (int64_t) m->seq, (int64_t) m->relief_seq,
        (int64_t) s->relief_top, m->relief_behind, s->relief_iat, m->changes_gap, m->forked,
        m->fork_epoch, m->verified_at, m->head_iat, (int64_t) s->head_relief_seq,
        (int64_t) s->live,
    };
    int n = (int) (sizeof(v) / sizeof(v[0]));

    for (int i = 0; i < n; i++) {
        rcd_sql_int(q, i + 1, v[i]);
    }
    rcd_sql_text(q, n + 1, s->under);
    return rcd_sql_step(s, q) < 0 ? -1 : rcd_size_save(s);
}

int rcd_store_save_written(rcd_state_t *s)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_WRITTEN_SAVE];
    const rcd_written_t *w = &s->written;
    const int64_t v[] = {
        (int64_t) w->era, (int64_t) w->last_id, (int64_t) w->count, (int64_t) w->seq,
        w->enabled, w->refill, (int64_t) w->fills,
    };

    for (int i = 0; i < (int) (sizeof(v) / sizeof(v[0])); i++) {
        rcd_sql_int(q, i + 1, v[i]);
    }
    return rcd_sql_step(s, q);
}
