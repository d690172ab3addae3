/*
 * rcd_store - the journal on disk: schema, prepared statements, rows in and out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_store.h"

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
    " at INTEGER NOT NULL, pending INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX relief_pending ON relief(number) WHERE pending = 1;"
    "CREATE TABLE dirty(digest BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;"
    "CREATE TABLE tokens(lane INTEGER, epoch INTEGER, seq INTEGER, jti TEXT NOT NULL,"
    " hash BLOB NOT NULL, PRIMARY KEY(lane, epoch, seq)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE quarantine(id INTEGER PRIMARY KEY AUTOINCREMENT, number TEXT NOT NULL,"
    " code INTEGER NOT NULL, why TEXT NOT NULL, at INTEGER NOT NULL,"
    " reported INTEGER NOT NULL DEFAULT 0, UNIQUE(number, code)) STRICT;"
    "CREATE INDEX quarantine_unreported ON quarantine(id) WHERE reported = 0;";

#define ROW "number, digest, measures, flags, served, start, until, first_from, deadline, grounds,"\
            " imported, ended, ended_at"

enum {
    ST_BEGIN, ST_COMMIT, ST_ROLLBACK, ST_FULL, ST_NORMAL, ST_STATE, ST_STATE_SAVE, ST_WRITTEN,
    ST_WRITTEN_SAVE, ST_ORDER, ST_ORDER_PUT, ST_ORDER_END, ST_LIVE, ST_NEXT_LIVE, ST_PAST, ST_ALL,
    ST_OF_DIGEST, ST_RELIEF, ST_RELIEF_PUT, ST_RELIEF_NEXT, ST_RELIEF_PENDING, ST_RELIEF_SENT,
    ST_DIRTY, ST_DIRTY_NEXT, ST_DIRTY_CLEAN, ST_DIRTY_CLEAR, ST_PENDING, ST_GROUNDS,
    ST_GROUNDS_PUT, ST_GROUNDS_UNSENT, ST_GROUNDS_SENT, ST_TOKEN, ST_TOKEN_PUT, ST_TOKENS_TRIM,
    ST_TOKEN_TOP,
    ST_QUARANTINE, ST_QUARANTINE_CLEAR, ST_QUARANTINE_NEXT, ST_QUARANTINE_REPORTED,
    ST_QUARANTINE_ALL, ST_COUNTS, ST_N
};

_Static_assert(ST_N <= RCD_STMT_MAX, "statements fit the handle");

static const char *const sql[ST_N] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_FULL] = "PRAGMA synchronous = FULL",
    [ST_NORMAL] = "PRAGMA synchronous = NORMAL",
    [ST_STATE] = "SELECT journal, epoch_known, epoch, seq, relief_seq, relief_top, relief_behind,"
                 " relief_iat, changes_gap, forked, fork_epoch, verified_at, head_iat,"
                 " head_relief_seq, live, under FROM state",
    [ST_STATE_SAVE] = "UPDATE state SET epoch_known = ?, epoch = ?, seq = ?, relief_seq = ?,"
                      " relief_top = ?, relief_behind = ?, relief_iat = ?, changes_gap = ?,"
                      " forked = ?, fork_epoch = ?, verified_at = ?, head_iat = ?,"
                      " head_relief_seq = ?, live = ?, under = ?",
    [ST_WRITTEN] = "SELECT era, last_id, count, seq, enabled, refill, fills FROM written",
    [ST_WRITTEN_SAVE] = "UPDATE written SET era = ?, last_id = ?, count = ?, seq = ?, enabled = ?,"
                        " refill = ?, fills = ?",
    [ST_ORDER] = "SELECT " ROW " FROM orders WHERE number = ?",
    [ST_ORDER_PUT] = "INSERT OR REPLACE INTO orders(" ROW ")"
                     " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [ST_ORDER_END] = "UPDATE orders SET ended = ?2, ended_at = ?3 WHERE number = ?1",
    [ST_LIVE] = "SELECT " ROW " FROM orders WHERE digest = ? AND ended = 0 LIMIT ?",
    [ST_NEXT_LIVE] = "SELECT digest FROM orders WHERE digest > ? AND ended = 0"
                     " ORDER BY digest LIMIT 1",
    [ST_PAST] = "SELECT " ROW " FROM orders WHERE until <= ? AND ended = 0 ORDER BY until LIMIT ?",
    [ST_ALL] = "SELECT " ROW " FROM orders ORDER BY number",
    [ST_OF_DIGEST] = "SELECT " ROW " FROM orders WHERE digest = ? ORDER BY number",
    [ST_RELIEF] = "SELECT lifted, objection, mark_epoch, mark_seq FROM relief WHERE number = ?",
    [ST_RELIEF_PUT] = "INSERT INTO relief VALUES(?, ?, ?, ?, ?, ?, 1) ON CONFLICT(number) DO UPDATE"
                      " SET lifted = excluded.lifted, objection = excluded.objection,"
                      " mark_epoch = excluded.mark_epoch, mark_seq = excluded.mark_seq, pending = 1",
    [ST_RELIEF_NEXT] = "SELECT number, lifted, objection FROM relief WHERE number > ?"
                       " ORDER BY number LIMIT 1",
    [ST_RELIEF_PENDING] = "SELECT number, lifted, objection FROM relief WHERE number > ?"
                          " AND pending = 1 ORDER BY number LIMIT 1",
    [ST_RELIEF_SENT] = "UPDATE relief SET pending = 0 WHERE number = ? AND pending = 1",
    [ST_DIRTY] = "INSERT OR IGNORE INTO dirty VALUES(?)",
    [ST_DIRTY_NEXT] = "SELECT digest FROM dirty WHERE digest > ? ORDER BY digest LIMIT 1",
    [ST_DIRTY_CLEAN] = "DELETE FROM dirty WHERE digest = ?",
    [ST_DIRTY_CLEAR] = "DELETE FROM dirty",
    [ST_PENDING] = "SELECT (SELECT count(*) FROM dirty),"
                   " (SELECT count(*) FROM relief WHERE pending = 1)",
    [ST_GROUNDS] = "SELECT value FROM grounds WHERE id = ?",
    [ST_GROUNDS_PUT] = "INSERT OR IGNORE INTO grounds VALUES(?, 0, ?)",
    [ST_GROUNDS_UNSENT] = "SELECT value FROM grounds WHERE id = ? AND sent <> ?",
    [ST_GROUNDS_SENT] = "UPDATE grounds SET sent = ?2 WHERE id = ?1",
    [ST_TOKEN] = "SELECT jti, hash FROM tokens WHERE lane = ? AND epoch = ? AND seq = ?",
    [ST_TOKEN_PUT] = "INSERT OR IGNORE INTO tokens VALUES(?, ?, ?, ?, ?)",
    [ST_TOKENS_TRIM] = "DELETE FROM tokens WHERE lane = ?1 AND (epoch < ?2 OR"
                       " (epoch = ?2 AND seq < ?3))",
    [ST_TOKEN_TOP] = "SELECT max(seq) FROM tokens WHERE lane = ? AND epoch = ?",
    [ST_QUARANTINE] = "INSERT INTO quarantine(number, code, why, at) VALUES(?, ?, ?, ?)"
                      " ON CONFLICT(number, code) DO UPDATE SET why = excluded.why",
    [ST_QUARANTINE_CLEAR] = "DELETE FROM quarantine WHERE number = ?",
    [ST_QUARANTINE_NEXT] = "SELECT id, number, code, why FROM quarantine WHERE reported = 0"
                           " ORDER BY id LIMIT 1",
    [ST_QUARANTINE_REPORTED] = "UPDATE quarantine SET reported = 1 WHERE id = ?",
    [ST_QUARANTINE_ALL] = "SELECT number, code, why, at, reported FROM quarantine ORDER BY id",
    [ST_COUNTS] = "SELECT (SELECT count(*) FROM relief), (SELECT count(*) FROM quarantine),"
                  " (SELECT count(*) FROM quarantine WHERE reported = 0)",
};

static int failed(rcd_state_t *s)
{
    snprintf(s->fault, sizeof(s->fault), "journal: %s", sqlite3_errmsg(s->db));
    return -1;
}

/* ---- binding and stepping: one call per statement ----------------------------------------------- */

/* Takes a statement ready to bind. */
static sqlite3_stmt *use(rcd_state_t *s, int st)
{
    return s->stmt[st];
}

/* Steps once: 1 row, 0 done, -1 failed. After 1 the caller reads columns, then calls done(). */
static int step(rcd_state_t *s, sqlite3_stmt *q)
{
    int rc = sqlite3_step(q);

    if (rc == SQLITE_ROW) {
        return 1;
    }
    if (rc != SQLITE_DONE) {
        failed(s);
    }
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return rc == SQLITE_DONE ? 0 : -1;
}

static void done(sqlite3_stmt *q)
{
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
}

static void bind_int(sqlite3_stmt *q, int i, int64_t v)
{
    sqlite3_bind_int64(q, i, v);
}

static void bind_text(sqlite3_stmt *q, int i, const char *text)
{
    sqlite3_bind_text(q, i, text, -1, SQLITE_STATIC);
}

static void bind_blob(sqlite3_stmt *q, int i, const void *bytes, size_t len)
{
    sqlite3_bind_blob(q, i, bytes, (int) len, SQLITE_STATIC);
}

static int64_t col(sqlite3_stmt *q, int i)
{
    return sqlite3_column_int64(q, i);
}

static void col_text(sqlite3_stmt *q, int i, char *out, size_t size)
{
    const unsigned char *t = sqlite3_column_text(q, i);

    snprintf(out, size, "%s", t != NULL ? (const char *) t : "");
}

/* Copies a blob of exactly `len` bytes; all zero when it has another length. */
static void col_blob(sqlite3_stmt *q, int i, uint8_t *out, size_t len)
{
    const void *b = sqlite3_column_blob(q, i);

    memset(out, 0, len);
    if (b != NULL && (size_t) sqlite3_column_bytes(q, i) == len) {
        memcpy(out, b, len);
    }
}

/* ---- open, close, transactions ------------------------------------------------------------------ */

static int load_marks(rcd_state_t *s)
{
    sqlite3_stmt *q = use(s, ST_STATE);
    rcd_marks_t *m = &s->marks;
    int rc = step(s, q);

    if (rc <= 0) {
        return -1;
    }
    col_text(q, 0, m->journal, sizeof(m->journal));
    s->epoch_known = (int) col(q, 1);
    m->epoch = (uint32_t) col(q, 2);
    m->seq = (uint64_t) col(q, 3);
    m->relief_seq = (uint64_t) col(q, 4);
    s->relief_top = (uint64_t) col(q, 5);
    m->relief_behind = (int) col(q, 6);
    s->relief_iat = col(q, 7);
    m->changes_gap = (int) col(q, 8);
    m->forked = (int) col(q, 9);
    m->fork_epoch = (uint32_t) col(q, 10);
    m->verified_at = col(q, 11);
    m->head_iat = col(q, 12);
    s->head_relief_seq = (uint64_t) col(q, 13);
    s->live = (uint64_t) col(q, 14);
    col_text(q, 15, s->under, sizeof(s->under));
    done(q);

    q = use(s, ST_WRITTEN);
    rc = step(s, q);
    if (rc <= 0) {
        return -1;
    }
    s->written = (rcd_written_t){
        .era = (uint64_t) col(q, 0), .last_id = (uint64_t) col(q, 1),
        .count = (uint64_t) col(q, 2), .seq = (uint64_t) col(q, 3),
        .enabled = (uint16_t) col(q, 4), .refill = (int) col(q, 5),
        .fills = (uint64_t) col(q, 6),
    };
    done(q);
    return 0;
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
    if (sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(s->db, schema, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(s->db, text, NULL, NULL, NULL) != SQLITE_OK) {
        return failed(s);
    }
    return 0;
}

static int pragma(rcd_state_t *s, const char *text, int64_t *value)
{
    sqlite3_stmt *q;

    if (sqlite3_prepare_v2(s->db, text, -1, &q, NULL) != SQLITE_OK) {
        return failed(s);
    }
    *value = sqlite3_step(q) == SQLITE_ROW ? col(q, 0) : 0;
    sqlite3_finalize(q);
    return 0;
}

/* 0 when the file is ours (or was empty and is now), of this layout, for this list. `list` NULL: any. */
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
        return failed(s);
    }
    if (sqlite3_step(q) == SQLITE_ROW) {
        col_text(q, 0, text, sizeof(text));
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
    static const char settings[] =
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384;"
        "PRAGMA foreign_keys = OFF; PRAGMA secure_delete = ON;";

    sqlite3_busy_timeout(s->db, 5000);
    if (!readonly && sqlite3_exec(s->db, settings, NULL, NULL, NULL) != SQLITE_OK) {
        return failed(s);
    }
    s->full = 1;
    if (check(s, list, readonly) != 0) {
        return -1;
    }
    for (int st = 0; st < ST_N; st++) {
        if (sqlite3_prepare_v3(s->db, sql[st], -1, SQLITE_PREPARE_PERSISTENT, &s->stmt[st],
                               NULL) != SQLITE_OK) {
            return failed(s);
        }
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
    for (int st = 0; st < ST_N; st++) {
        sqlite3_finalize(s->stmt[st]);
    }
    sqlite3_close(s->db);
    free(s);
}

int rcd_store_begin(rcd_state_t *s, int durable)
{
    if (s->full != durable) {
        if (step(s, use(s, durable ? ST_FULL : ST_NORMAL)) < 0) {
            return -1;
        }
        s->full = durable;
    }
    return step(s, use(s, ST_BEGIN));
}

int rcd_store_commit(rcd_state_t *s)
{
    return step(s, use(s, ST_COMMIT));
}

void rcd_store_rollback(rcd_state_t *s)
{
    char fault[sizeof(s->fault)];

    memcpy(fault, s->fault, sizeof(fault));      /* the reason for it, not what follows from it */
    if (!sqlite3_get_autocommit(s->db)) {
        step(s, use(s, ST_ROLLBACK));
    }
    load_marks(s);
    memcpy(s->fault, fault, sizeof(fault));
}

static void print_under(const rcd_rules_t *rules, char out[RCD_UNDER_MAX])
{
    char norm[256];

    jd_normalisers_print(&rules->norm, norm);
    snprintf(out, RCD_UNDER_MAX, "%s %s %s", rules->key->id, rules->key->check, norm);
}

void rcd_store_under_set(rcd_state_t *s, const rcd_rules_t *rules)
{
    print_under(rules, s->under);
}

int rcd_store_under(rcd_state_t *s, const rcd_rules_t *rules)
{
    char under[RCD_UNDER_MAX];

    if (s->live == 0) {
        rcd_store_under_set(s, rules);
        return 1;
    }
    print_under(rules, under);
    return strcmp(s->under, under) == 0;
}

int rcd_store_save_marks(rcd_state_t *s)
{
    sqlite3_stmt *q = use(s, ST_STATE_SAVE);
    const rcd_marks_t *m = &s->marks;
    const int64_t v[] = {
        s->epoch_known, m->epoch, (int64_t) m->seq, (int64_t) m->relief_seq,
        (int64_t) s->relief_top, m->relief_behind, s->relief_iat, m->changes_gap, m->forked,
        m->fork_epoch, m->verified_at, m->head_iat, (int64_t) s->head_relief_seq,
        (int64_t) s->live,
    };
    int n = (int) (sizeof(v) / sizeof(v[0]));

    for (int i = 0; i < n; i++) {
        bind_int(q, i + 1, v[i]);
    }
    bind_text(q, n + 1, s->under);
    return step(s, q);
}

int rcd_store_save_written(rcd_state_t *s)
{
    sqlite3_stmt *q = use(s, ST_WRITTEN_SAVE);
    const rcd_written_t *w = &s->written;
    const int64_t v[] = {
        (int64_t) w->era, (int64_t) w->last_id, (int64_t) w->count, (int64_t) w->seq,
        w->enabled, w->refill, (int64_t) w->fills,
    };

    for (int i = 0; i < (int) (sizeof(v) / sizeof(v[0])); i++) {
        bind_int(q, i + 1, v[i]);
    }
    return step(s, q);
}

/* ---- orders ------------------------------------------------------------------------------------- */

static void read_row(sqlite3_stmt *q, rcd_row_t *row)
{
    col_text(q, 0, row->number, sizeof(row->number));
    col_blob(q, 1, row->digest, sizeof(row->digest));
    row->measures = (uint16_t) col(q, 2);
    row->flags = (unsigned) col(q, 3);
    row->served = col(q, 4);
    row->start = col(q, 5);
    row->until = col(q, 6);
    row->first_from = col(q, 7);
    row->deadline_day = (uint32_t) col(q, 8);
    col_blob(q, 9, row->grounds, sizeof(row->grounds));
    row->imported = (int) col(q, 10);
    row->ended = (rcd_end_t) col(q, 11);
    row->ended_at = col(q, 12);
}

/* Reads at most `max` rows of a bound query. */
static int read_rows(rcd_state_t *s, sqlite3_stmt *q, rcd_row_t *rows, unsigned max)
{
    unsigned n = 0;
    int rc;

    while ((rc = step(s, q)) > 0) {
        if (n < max) {
            read_row(q, &rows[n++]);
        }
    }
    return rc < 0 ? -1 : (int) n;
}

int rcd_store_order(rcd_state_t *s, const char *number, rcd_row_t *row)
{
    sqlite3_stmt *q = use(s, ST_ORDER);
    int rc;

    bind_text(q, 1, number);
    rc = step(s, q);
    if (rc > 0) {
        read_row(q, row);
        done(q);
    }
    return rc;
}

int rcd_store_order_put(rcd_state_t *s, const rcd_row_t *row)
{
    sqlite3_stmt *q = use(s, ST_ORDER_PUT);
    rcd_row_t old;
    int had = rcd_store_order(s, row->number, &old);

    if (had < 0) {
        return -1;
    }
    bind_text(q, 1, row->number);
    bind_blob(q, 2, row->digest, sizeof(row->digest));
    bind_int(q, 3, row->measures);
    bind_int(q, 4, row->flags);
    bind_int(q, 5, row->served);
    bind_int(q, 6, row->start);
    bind_int(q, 7, row->until);
    bind_int(q, 8, row->first_from);
    bind_int(q, 9, row->deadline_day);
    bind_blob(q, 10, row->grounds, sizeof(row->grounds));
    bind_int(q, 11, row->imported);
    bind_int(q, 12, row->ended);
    bind_int(q, 13, row->ended_at);
    if (step(s, q) < 0) {
        return -1;
    }
    if (had && old.ended == RCD_END_NONE) {
        s->live--;
        if (rcd_store_dirty(s, old.digest) < 0) {
            return -1;
        }
    }
    if (row->ended == RCD_END_NONE) {
        s->live++;
    }
    return rcd_store_dirty(s, row->digest);
}

int rcd_store_order_end(rcd_state_t *s, const rcd_row_t *row, rcd_end_t why, int64_t at)
{
    sqlite3_stmt *q = use(s, ST_ORDER_END);

    if (row->ended != RCD_END_NONE) {
        return 0;
    }
    bind_text(q, 1, row->number);
    bind_int(q, 2, why);
    bind_int(q, 3, at);
    if (step(s, q) < 0) {
        return -1;
    }
    s->live--;
    return rcd_store_dirty(s, row->digest);
}

int rcd_store_live(rcd_state_t *s, const uint8_t digest[JD_DIGEST_LEN], rcd_row_t *rows,
                   unsigned max)
{
    sqlite3_stmt *q = use(s, ST_LIVE);

    bind_blob(q, 1, digest, JD_DIGEST_LEN);
    bind_int(q, 2, max);
    return read_rows(s, q, rows, max);
}

/* The digest of the row after `after`, of a query bound by one digest. */
static int next_digest(rcd_state_t *s, int st, const uint8_t *after, uint8_t *digest)
{
    sqlite3_stmt *q = use(s, st);
    int rc;

    bind_blob(q, 1, after != NULL ? (const void *) after : "", after != NULL ? JD_DIGEST_LEN : 0);
    rc = step(s, q);
    if (rc > 0) {
        col_blob(q, 0, digest, JD_DIGEST_LEN);
        done(q);
    }
    return rc;
}

int rcd_store_next_live(rcd_state_t *s, const uint8_t *after, uint8_t digest[JD_DIGEST_LEN])
{
    return next_digest(s, ST_NEXT_LIVE, after, digest);
}

int rcd_store_past(rcd_state_t *s, int64_t at, rcd_row_t *rows, unsigned max)
{
    sqlite3_stmt *q = use(s, ST_PAST);

    bind_int(q, 1, at);
    bind_int(q, 2, max);
    return read_rows(s, q, rows, max);
}

/* ---- relief ------------------------------------------------------------------------------------- */

int rcd_store_relief(rcd_state_t *s, const char *number, rcd_relief_row_t *r)
{
    sqlite3_stmt *q = use(s, ST_RELIEF);
    int rc;

    memset(r, 0, sizeof(*r));
    bind_text(q, 1, number);
    rc = step(s, q);
    if (rc > 0) {
        r->r.lifted = (uint16_t) col(q, 0);
        r->r.objection = (uint8_t) col(q, 1);
        r->mark_epoch = (uint32_t) col(q, 2);
        r->mark_seq = (uint64_t) col(q, 3);
        done(q);
    }
    return rc;
}

int rcd_store_relief_put(rcd_state_t *s, const char *number, const rcd_relief_row_t *r, int64_t at)
{
    sqlite3_stmt *q = use(s, ST_RELIEF_PUT);

    bind_text(q, 1, number);
    bind_int(q, 2, r->r.lifted);
    bind_int(q, 3, r->r.objection);
    bind_int(q, 4, r->mark_epoch);
    bind_int(q, 5, (int64_t) r->mark_seq);
    bind_int(q, 6, at);
    return step(s, q);
}

int rcd_store_relief_next(rcd_state_t *s, const char *after, int pending_only,
                          char number[JD_ORDER_NUMBER_MAX + 1], jd_relief_t *r)
{
    sqlite3_stmt *q = use(s, pending_only ? ST_RELIEF_PENDING : ST_RELIEF_NEXT);
    int rc;

    bind_text(q, 1, after);
    rc = step(s, q);
    if (rc > 0) {
        col_text(q, 0, number, JD_ORDER_NUMBER_MAX + 1);
        r->lifted = (uint16_t) col(q, 1);
        r->objection = (uint8_t) col(q, 2);
        done(q);
    }
    return rc;
}

int rcd_store_relief_sent(rcd_state_t *s, const char *number)
{
    sqlite3_stmt *q = use(s, ST_RELIEF_SENT);

    bind_text(q, 1, number);
    return step(s, q);
}

/* ---- outbox and grounds ------------------------------------------------------------------------- */

/* Runs a statement whose only argument is a digest. */
static int with_digest(rcd_state_t *s, int st, const uint8_t digest[JD_DIGEST_LEN])
{
    sqlite3_stmt *q = use(s, st);

    bind_blob(q, 1, digest, JD_DIGEST_LEN);
    return step(s, q);
}

int rcd_store_dirty(rcd_state_t *s, const uint8_t digest[JD_DIGEST_LEN])
{
    return with_digest(s, ST_DIRTY, digest);
}

int rcd_store_dirty_next(rcd_state_t *s, const uint8_t *after, uint8_t digest[JD_DIGEST_LEN])
{
    return next_digest(s, ST_DIRTY_NEXT, after, digest);
}

int rcd_store_dirty_clean(rcd_state_t *s, const uint8_t digest[JD_DIGEST_LEN])
{
    return with_digest(s, ST_DIRTY_CLEAN, digest);
}

int rcd_store_dirty_clear(rcd_state_t *s)
{
    return step(s, use(s, ST_DIRTY_CLEAR));
}

int rcd_store_pending(rcd_state_t *s, uint64_t *dirty, uint64_t *relief)
{
    sqlite3_stmt *q = use(s, ST_PENDING);
    int rc = step(s, q);

    if (rc > 0) {
        *dirty = (uint64_t) col(q, 0);
        *relief = (uint64_t) col(q, 1);
        done(q);
    }
    return rc > 0 ? 0 : -1;
}

int rcd_store_grounds_put(rcd_state_t *s, const rcd_order_t *o)
{
    sqlite3_stmt *q = use(s, ST_GROUNDS_PUT);

    bind_blob(q, 1, o->grounds_id, sizeof(o->grounds_id));
    bind_blob(q, 2, o->grounds, o->grounds_len);
    return step(s, q);
}

/* Reads the one value of a bound query; 0 when there is none. */
static int read_grounds(rcd_state_t *s, sqlite3_stmt *q, uint8_t *value, size_t *len)
{
    int rc = step(s, q);

    if (rc > 0) {
        *len = (size_t) sqlite3_column_bytes(q, 0);
        *len = *len <= JD_GROUNDS_MAX ? *len : 0;
        if (*len > 0) {
            memcpy(value, sqlite3_column_blob(q, 0), *len);
        }
        done(q);
    }
    return rc;
}

int rcd_store_grounds_unsent(rcd_state_t *s, const uint8_t id[JD_GROUNDS_ID_LEN], uint64_t fill,
                             uint8_t *value, size_t *len)
{
    sqlite3_stmt *q = use(s, ST_GROUNDS_UNSENT);

    bind_blob(q, 1, id, JD_GROUNDS_ID_LEN);
    bind_int(q, 2, (int64_t) fill);
    return read_grounds(s, q, value, len);
}

int rcd_store_grounds_sent(rcd_state_t *s, const uint8_t id[JD_GROUNDS_ID_LEN], uint64_t fill)
{
    sqlite3_stmt *q = use(s, ST_GROUNDS_SENT);

    bind_blob(q, 1, id, JD_GROUNDS_ID_LEN);
    bind_int(q, 2, (int64_t) fill);
    return step(s, q);
}

int rcd_state_grounds(rcd_state_t *s, const uint8_t id[JD_GROUNDS_ID_LEN], uint8_t *out)
{
    sqlite3_stmt *q = use(s, ST_GROUNDS);
    size_t len = 0;

    bind_blob(q, 1, id, JD_GROUNDS_ID_LEN);
    return read_grounds(s, q, out, &len) < 0 ? -1 : (int) len;
}

/* ---- tokens and quarantine ---------------------------------------------------------------------- */

int rcd_store_token(rcd_state_t *s, rcd_lane_t lane, const rcd_event_t *ev, rcd_seen_t *seen)
{
    sqlite3_stmt *q = use(s, ST_TOKEN);
    char jti[sizeof(ev->jti)];
    uint8_t hash[sizeof(ev->payload_hash)];
    int rc;

    bind_int(q, 1, lane);
    bind_int(q, 2, ev->epoch);
    bind_int(q, 3, (int64_t) ev->seq);
    rc = step(s, q);
    *seen = RCD_SEEN_NOT;
    if (rc > 0) {
        col_text(q, 0, jti, sizeof(jti));
        col_blob(q, 1, hash, sizeof(hash));
        done(q);
        *seen = strcmp(jti, ev->jti) == 0 && memcmp(hash, ev->payload_hash, sizeof(hash)) == 0
                    ? RCD_SEEN_SAME : RCD_SEEN_OTHER;
    }
    return rc < 0 ? -1 : 0;
}

int rcd_store_token_put(rcd_state_t *s, rcd_lane_t lane, const rcd_event_t *ev)
{
    sqlite3_stmt *q = use(s, ST_TOKEN_PUT);

    bind_int(q, 1, lane);
    bind_int(q, 2, ev->epoch);
    bind_int(q, 3, (int64_t) ev->seq);
    bind_text(q, 4, ev->jti);
    bind_blob(q, 5, ev->payload_hash, sizeof(ev->payload_hash));
    return step(s, q);
}

int rcd_store_token_at(rcd_state_t *s, rcd_lane_t lane, uint32_t epoch, uint64_t seq)
{
    sqlite3_stmt *q = use(s, ST_TOKEN);
    int rc;

    bind_int(q, 1, lane);
    bind_int(q, 2, epoch);
    bind_int(q, 3, (int64_t) seq);
    rc = step(s, q);
    if (rc > 0) {
        done(q);
    }
    return rc;
}

int rcd_store_token_top(rcd_state_t *s, rcd_lane_t lane, uint32_t epoch, uint64_t *seq)
{
    sqlite3_stmt *q = use(s, ST_TOKEN_TOP);
    int rc;

    bind_int(q, 1, lane);
    bind_int(q, 2, epoch);
    rc = step(s, q);
    if (rc > 0) {
        *seq = (uint64_t) col(q, 0);
        done(q);
    }
    return rc > 0 ? 0 : -1;
}

int rcd_store_tokens_trim(rcd_state_t *s, rcd_lane_t lane, uint32_t epoch, uint64_t position)
{
    sqlite3_stmt *q = use(s, ST_TOKENS_TRIM);

    bind_int(q, 1, lane);
    bind_int(q, 2, epoch);
    bind_int(q, 3, position > RCD_TOKENS_KEPT ? (int64_t) (position - RCD_TOKENS_KEPT) : 0);
    return step(s, q);
}

int rcd_store_quarantine(rcd_state_t *s, const char *number, rcd_quarantine_t code,
                         const char *why, int64_t at)
{
    sqlite3_stmt *q = use(s, ST_QUARANTINE);

    bind_text(q, 1, number);
    bind_int(q, 2, code);
    bind_text(q, 3, why);
    bind_int(q, 4, at);
    return step(s, q);
}

int rcd_store_quarantine_clear(rcd_state_t *s, const char *number)
{
    sqlite3_stmt *q = use(s, ST_QUARANTINE_CLEAR);

    bind_text(q, 1, number);
    return step(s, q);
}

int rcd_quarantine_next(rcd_state_t *s, int64_t *id, rcd_result_t *out)
{
    sqlite3_stmt *q = use(s, ST_QUARANTINE_NEXT);
    int rc = step(s, q);

    if (rc > 0) {
        *id = col(q, 0);
        out->outcome = RCD_ACK_QUARANTINED;
        col_text(q, 1, out->number, sizeof(out->number));
        out->code = (rcd_quarantine_t) col(q, 2);
        col_text(q, 3, out->why, sizeof(out->why));
        done(q);
    }
    return rc;
}

int rcd_quarantine_reported(rcd_state_t *s, int64_t id)
{
    sqlite3_stmt *q = use(s, ST_QUARANTINE_REPORTED);

    bind_int(q, 1, id);
    return step(s, q);
}

/* ---- reading for rcctl and status --------------------------------------------------------------- */

int rcd_state_quarantine(rcd_state_t *s,
                         int (*each)(void *arg, const rcd_result_t *q, int64_t at, int reported),
                         void *arg)
{
    sqlite3_stmt *q = use(s, ST_QUARANTINE_ALL);
    rcd_result_t r = {.outcome = RCD_ACK_QUARANTINED};
    int rc;

    while ((rc = step(s, q)) > 0) {
        col_text(q, 0, r.number, sizeof(r.number));
        r.code = (rcd_quarantine_t) col(q, 1);
        col_text(q, 2, r.why, sizeof(r.why));
        if (each(arg, &r, col(q, 3), (int) col(q, 4)) != 0) {
            done(q);
            return 0;
        }
    }
    return rc;
}

int rcd_state_counts(rcd_state_t *s, rcd_counts_t *out)
{
    sqlite3_stmt *q = use(s, ST_COUNTS);
    int rc = step(s, q);

    if (rc > 0) {
        *out = (rcd_counts_t){.live = s->live, .relief = (uint64_t) col(q, 0),
                              .quarantined = (uint64_t) col(q, 1),
                              .unreported = (uint64_t) col(q, 2)};
        done(q);
    }
    return rc > 0 ? 0 : -1;
}

int rcd_state_orders(rcd_state_t *s, const uint8_t *digest,
                     int (*each)(void *arg, const rcd_row_t *row, const jd_relief_t *relief),
                     void *arg)
{
    sqlite3_stmt *q = use(s, digest != NULL ? ST_OF_DIGEST : ST_ALL);
    rcd_relief_row_t relief;
    rcd_row_t row;
    int rc;

    if (digest != NULL) {
        bind_blob(q, 1, digest, JD_DIGEST_LEN);
    }
    while ((rc = step(s, q)) > 0) {
        read_row(q, &row);
        if (rcd_store_relief(s, row.number, &relief) < 0) {
            done(q);
            return -1;
        }
        if (each(arg, &row, &relief.r) != 0) {
            done(q);
            return 0;
        }
    }
    return rc;
}

int rcd_state_order(rcd_state_t *s, const char *number, rcd_row_t *row, jd_relief_t *relief)
{
    rcd_relief_row_t r;

    if (rcd_store_relief(s, number, &r) < 0) {
        return -1;
    }
    *relief = r.r;
    return rcd_store_order(s, number, row);
}
