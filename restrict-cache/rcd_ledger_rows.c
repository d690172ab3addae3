/*
 * rcd_ledger_rows - the ledger in the journal: schema, totals, what waits, batches.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_ledger_rows.h"
#include "rcd_sql.h"

/* instant: first second of the period, to compare with. */
const char rcd_ledger_schema[] =
    "CREATE TABLE ledger_period(run TEXT, period TEXT, gateway TEXT NOT NULL,"
    " instant INTEGER NOT NULL, rows INTEGER NOT NULL, sum INTEGER NOT NULL,"
    " closed INTEGER NOT NULL, PRIMARY KEY(run, period)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX ledger_period_open ON ledger_period(period) WHERE closed = 0;"
    "CREATE TABLE ledger_order(run TEXT, month TEXT, number TEXT, measure INTEGER,"
    " total INTEGER NOT NULL, PRIMARY KEY(run, month, number, measure)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE ledger_count(month TEXT, number TEXT, measure INTEGER, total INTEGER NOT NULL,"
    " sent INTEGER NOT NULL, PRIMARY KEY(month, number, measure)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX ledger_count_unsent ON ledger_count(month, number, measure) WHERE sent < total;"
    "CREATE TABLE ledger_hour(run TEXT, hour TEXT, authority TEXT, measure INTEGER, dry INTEGER,"
    " instant INTEGER NOT NULL, gateway TEXT NOT NULL, total INTEGER NOT NULL,"
    " sent INTEGER NOT NULL, PRIMARY KEY(run, hour, authority, measure, dry))"
    " STRICT, WITHOUT ROWID;"
    "CREATE INDEX ledger_hour_unsent ON ledger_hour(run, hour) WHERE sent < total;"
    "CREATE TABLE ledger_batch(chain TEXT, n INTEGER, hash TEXT NOT NULL, body TEXT NOT NULL,"
    " at INTEGER NOT NULL, waiting INTEGER NOT NULL, receipt TEXT NOT NULL,"
    " PRIMARY KEY(chain, n)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX ledger_batch_waiting ON ledger_batch(chain, n) WHERE waiting = 1;"
    "CREATE INDEX ledger_order_month ON ledger_order(month);"
    "CREATE INDEX ledger_hour_instant ON ledger_hour(instant);"
    "CREATE INDEX ledger_period_instant ON ledger_period(instant);"
    "CREATE INDEX ledger_batch_at ON ledger_batch(at);"
    "CREATE TABLE ledger_state(one INTEGER PRIMARY KEY CHECK(one = 1), chain TEXT NOT NULL,"
    " n INTEGER NOT NULL, tail TEXT NOT NULL, orders_due INTEGER NOT NULL,"
    " draining INTEGER NOT NULL, month TEXT NOT NULL, number TEXT NOT NULL,"
    " measure INTEGER NOT NULL) STRICT;"
    "INSERT INTO ledger_state VALUES(1, '', 0, '', 0, 0, '', '', 0);";

enum {
    ST_PERIOD, ST_PERIOD_PUT, ST_PERIOD_GROW, ST_PERIOD_CLOSE, ST_IS_OPEN, ST_ORDER, ST_ORDER_PUT,
    ST_COUNT_ADD, ST_HOUR, ST_HOUR_PUT, ST_MONTH_UNSENT, ST_HOURS_UNSENT_IN, ST_COUNTS_UNSENT,
    ST_MONTH_READY, ST_RUN_UNSENT, ST_HOURS_UNSENT, ST_COUNT_SENT, ST_HOUR_SENT, ST_STATE,
    ST_STATE_SAVE, ST_BATCH_PUT, ST_BATCH_NEXT, ST_BATCH_RECEIPT, ST_BATCH_REWIND, ST_CHAIN_DROP,
    ST_COUNTS, ST_N
};

static const char *const sql[ST_N] = {
    [ST_PERIOD] =
        "SELECT gateway, rows, sum, closed FROM ledger_period WHERE run = ? AND period = ?",
    [ST_PERIOD_PUT] = "INSERT OR IGNORE INTO ledger_period VALUES(?, ?, ?, ?, 0, 0, 0)",
    [ST_PERIOD_GROW] =
        "UPDATE ledger_period SET rows = rows + ?3, sum = sum + ?4, closed = 0"
        " WHERE run = ?1 AND period = ?2",
    [ST_PERIOD_CLOSE] = "UPDATE ledger_period SET closed = 1 WHERE run = ? AND period = ?",
    [ST_IS_OPEN] = "SELECT 1 FROM ledger_period WHERE period = ? AND closed = 0 LIMIT 1",
    [ST_ORDER] =
        "SELECT total FROM ledger_order WHERE run = ? AND month = ? AND number = ? AND measure = ?",
    [ST_ORDER_PUT] = "INSERT OR REPLACE INTO ledger_order VALUES(?, ?, ?, ?, ?)",
    [ST_COUNT_ADD] =
        "INSERT INTO ledger_count VALUES(?1, ?2, ?3, ?4, 0)"
        " ON CONFLICT(month, number, measure) DO UPDATE SET total = total + excluded.total",
    [ST_HOUR] =
        "SELECT total FROM ledger_hour WHERE run = ? AND hour = ? AND authority = ?"
        " AND measure = ? AND dry = ?",
    [ST_HOUR_PUT] =
        "INSERT INTO ledger_hour VALUES(?, ?, ?, ?, ?, ?, ?, ?, 0)"
        " ON CONFLICT(run, hour, authority, measure, dry) DO UPDATE SET total = excluded.total",
    [ST_MONTH_UNSENT] = "SELECT 1 FROM ledger_count WHERE month = ? AND sent < total LIMIT 1",
    [ST_HOURS_UNSENT_IN] =
        "SELECT 1 FROM ledger_hour WHERE run = ? AND hour = ? AND sent < total LIMIT 1",
    [ST_COUNTS_UNSENT] =
        "SELECT month, number, measure, total FROM ledger_count WHERE sent < total"
        " AND (month, number, measure) > (?1, ?2, ?3) AND (?4 = '' OR month = ?4)"
        " ORDER BY month, number, measure LIMIT ?5",
    [ST_MONTH_READY] =
        "SELECT DISTINCT c.month FROM ledger_count c WHERE c.sent < c.total AND NOT EXISTS("
        "SELECT 1 FROM ledger_period p WHERE p.period = c.month AND p.closed = 0) LIMIT 1",
    [ST_RUN_UNSENT] =
        "SELECT h.run, h.gateway FROM ledger_hour h WHERE h.sent < h.total AND h.run > ?1 AND"
        " (?2 = 0 OR (SELECT closed FROM ledger_period p WHERE p.run = h.run"
        " AND p.period = h.hour) = 1) ORDER BY h.run LIMIT 1",
    [ST_HOURS_UNSENT] =
        "SELECT hour, authority, measure, sum(CASE dry WHEN 0 THEN total ELSE 0 END),"
        " sum(CASE dry WHEN 0 THEN 0 ELSE total END) FROM ledger_hour h WHERE run = ?1"
        " AND EXISTS(SELECT 1 FROM ledger_hour u WHERE u.run = ?1 AND u.hour = h.hour"
        " AND u.authority = h.authority AND u.measure = h.measure AND u.sent < u.total)"
        " GROUP BY hour, authority, measure ORDER BY hour, authority, measure",
    [ST_COUNT_SENT] =
        "UPDATE ledger_count SET sent = max(sent, min(total, ?4))"
        " WHERE month = ?1 AND number = ?2 AND measure = ?3",
    [ST_HOUR_SENT] =
        "UPDATE ledger_hour SET sent = max(sent, min(total, CASE dry WHEN 0 THEN ?5 ELSE ?6 END))"
        " WHERE run = ?1 AND hour = ?2 AND authority = ?3 AND measure = ?4",
    [ST_STATE] =
        "SELECT chain, n, tail, orders_due, draining, month, number, measure FROM ledger_state",
    [ST_STATE_SAVE] =
        "UPDATE ledger_state SET chain = ?, n = ?, tail = ?, orders_due = ?, draining = ?,"
        " month = ?, number = ?, measure = ?",
    [ST_BATCH_PUT] = "INSERT INTO ledger_batch VALUES(?, ?, ?, ?, ?, 1, '')",
    [ST_BATCH_NEXT] =
        "SELECT n, hash, body, at FROM ledger_batch WHERE chain = ? AND waiting = 1"
        " ORDER BY n LIMIT 1",
    [ST_BATCH_RECEIPT] =
        "UPDATE ledger_batch SET waiting = 0, receipt = ?3 WHERE chain = ?1 AND n = ?2",
    [ST_BATCH_REWIND] = "UPDATE ledger_batch SET waiting = 1 WHERE chain = ? AND n > ?",
    [ST_CHAIN_DROP] = "UPDATE ledger_batch SET waiting = 0 WHERE chain = ? AND waiting = 1",
    [ST_COUNTS] =
        "SELECT (SELECT count(*) FROM ledger_period WHERE closed = 0),"
        " (SELECT count(*) FROM ledger_count WHERE sent < total) +"
        " (SELECT count(*) FROM ledger_hour WHERE sent < total),"
        " (SELECT count(*) FROM ledger_batch WHERE waiting = 1)",
};

struct rcd_ledger_rows_s {
    sqlite3_stmt *stmt[ST_N];
};

int rcd_ledger_rows_open(rcd_state_t *s)
{
    s->ledger = calloc(1, sizeof(*s->ledger));
    if (s->ledger == NULL) {
        snprintf(s->fault, sizeof(s->fault), "out of memory");
        return -1;
    }
    return rcd_sql_prepare(s, s->ledger->stmt, sql, ST_N);
}

void rcd_ledger_rows_close(rcd_state_t *s)
{
    if (s->ledger != NULL) {
        rcd_sql_finalize(s->ledger->stmt, ST_N);
    }
    free(s->ledger);
    s->ledger = NULL;
}

static sqlite3_stmt *statement(rcd_state_t *s, int st)
{
    return s->ledger->stmt[st];
}

static void bind_len(sqlite3_stmt *q, int i, const char *text, size_t len)
{
    sqlite3_bind_text(q, i, text, (int) len, SQLITE_STATIC);
}

/* A bound query for one number: 1 and the value, 0 no row, -1. */
static int one_number(rcd_state_t *s, sqlite3_stmt *q, int64_t *value)
{
    int rc = rcd_sql_step(s, q);

    if (rc > 0) {
        *value = rcd_sql_col(q, 0);
        rcd_sql_done(q);
    }
    return rc;
}

/* ---- totals ---------------------------------------------------------------------------------- */

static int period_grow(rcd_state_t *s, const rcd_ledger_key_t *key, int is_new, int64_t delta)
{
    sqlite3_stmt *q = statement(s, ST_PERIOD_GROW);

    rcd_sql_text(q, 1, key->run);
    rcd_sql_text(q, 2, key->period);
    rcd_sql_int(q, 3, is_new);
    rcd_sql_int(q, 4, delta);
    return rcd_sql_step(s, q);
}

static int order_max(rcd_state_t *s, const rcd_ledger_key_t *key, const rcd_ledger_field_t *f,
                     int64_t total, int64_t *old)
{
    sqlite3_stmt *q = statement(s, ST_ORDER);
    int had;

    rcd_sql_text(q, 1, key->run);
    rcd_sql_text(q, 2, key->period);
    bind_len(q, 3, f->text, f->len);
    rcd_sql_int(q, 4, f->measure);
    had = one_number(s, q, old);
    if (had < 0 || total <= *old) {
        return had;
    }
    q = statement(s, ST_ORDER_PUT);
    rcd_sql_text(q, 1, key->run);
    rcd_sql_text(q, 2, key->period);
    bind_len(q, 3, f->text, f->len);
    rcd_sql_int(q, 4, f->measure);
    rcd_sql_int(q, 5, total);
    if (rcd_sql_step(s, q) < 0) {
        return -1;
    }
    q = statement(s, ST_COUNT_ADD);
    rcd_sql_text(q, 1, key->period);
    bind_len(q, 2, f->text, f->len);
    rcd_sql_int(q, 3, f->measure);
    rcd_sql_int(q, 4, total - *old);
    return rcd_sql_step(s, q) < 0 ? -1 : had;
}

static int hour_max(rcd_state_t *s, const rcd_ledger_key_t *key, const rcd_ledger_field_t *f,
                    int64_t total, int64_t *old)
{
    sqlite3_stmt *q = statement(s, ST_HOUR);
    int had;

    rcd_sql_text(q, 1, key->run);
    rcd_sql_text(q, 2, key->period);
    bind_len(q, 3, f->text, f->len);
    rcd_sql_int(q, 4, f->measure);
    rcd_sql_int(q, 5, f->dry);
    had = one_number(s, q, old);
    if (had < 0 || total <= *old) {
        return had;
    }
    q = statement(s, ST_HOUR_PUT);
    rcd_sql_text(q, 1, key->run);
    rcd_sql_text(q, 2, key->period);
    bind_len(q, 3, f->text, f->len);
    rcd_sql_int(q, 4, f->measure);
    rcd_sql_int(q, 5, f->dry);
    rcd_sql_int(q, 6, key->from);
    rcd_sql_text(q, 7, key->gateway);
    rcd_sql_int(q, 8, total);
    return rcd_sql_step(s, q) < 0 ? -1 : had;
}

int rcd_ledger_max(rcd_state_t *s, const rcd_ledger_key_t *key, const rcd_ledger_field_t *field,
                   int64_t total)
{
    int64_t old = 0;
    int had = key->kind == RCD_LEDGER_ORDERS ? order_max(s, key, field, total, &old)
                                             : hour_max(s, key, field, total, &old);

    if (had < 0 || total <= old) {
        return had < 0 ? -1 : 0;
    }
    return period_grow(s, key, !had, total - old) < 0 ? -1 : 1;
}

int rcd_ledger_period(rcd_state_t *s, const rcd_ledger_key_t *key, rcd_ledger_period_t *out)
{
    sqlite3_stmt *q = statement(s, ST_PERIOD);
    char gateway[RCD_GATEWAY_MAX + 1];
    int rc;

    memset(out, 0, sizeof(*out));
    rcd_sql_text(q, 1, key->run);
    rcd_sql_text(q, 2, key->period);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        rcd_sql_col_text(q, 0, gateway, sizeof(gateway));
        out->rows = rcd_sql_col(q, 1);
        out->sum = rcd_sql_col(q, 2);
        out->closed = (int) rcd_sql_col(q, 3);
        rcd_sql_done(q);
        rc = strcmp(gateway, key->gateway) == 0 ? 1 : -2;
    }
    return rc;
}

int rcd_ledger_period_put(rcd_state_t *s, const rcd_ledger_key_t *key)
{
    sqlite3_stmt *q = statement(s, ST_PERIOD_PUT);

    rcd_sql_text(q, 1, key->run);
    rcd_sql_text(q, 2, key->period);
    rcd_sql_text(q, 3, key->gateway);
    rcd_sql_int(q, 4, key->from);
    return rcd_sql_step(s, q);
}

int rcd_ledger_period_close(rcd_state_t *s, const rcd_ledger_key_t *key)
{
    sqlite3_stmt *q = statement(s, ST_PERIOD_CLOSE);

    rcd_sql_text(q, 1, key->run);
    rcd_sql_text(q, 2, key->period);
    return rcd_sql_step(s, q);
}

int rcd_ledger_period_sent(rcd_state_t *s, const rcd_ledger_key_t *key)
{
    sqlite3_stmt *q = statement(s, key->kind == RCD_LEDGER_ORDERS ? ST_MONTH_UNSENT
                                                                  : ST_HOURS_UNSENT_IN);
    int64_t one;
    int rc;

    if (key->kind == RCD_LEDGER_ORDERS) {
        rcd_sql_text(q, 1, key->period);
    } else {
        rcd_sql_text(q, 1, key->run);
        rcd_sql_text(q, 2, key->period);
    }
    rc = one_number(s, q, &one);
    return rc < 0 ? -1 : !rc;
}

int rcd_ledger_is_open(rcd_state_t *s, const char *period)
{
    sqlite3_stmt *q = statement(s, ST_IS_OPEN);
    int64_t one;

    rcd_sql_text(q, 1, period);
    return one_number(s, q, &one);
}

/* ---- what waits to be sent ------------------------------------------------------------------- */

static void read_count(sqlite3_stmt *q, rcd_ledger_count_t *c)
{
    rcd_sql_col_text(q, 0, c->month, sizeof(c->month));
    rcd_sql_col_text(q, 1, c->number, sizeof(c->number));
    c->measure = (unsigned) rcd_sql_col(q, 2);
    c->total = rcd_sql_col(q, 3);
}

int rcd_ledger_counts_unsent(rcd_state_t *s, const rcd_ledger_count_t *at, const char *month,
                             rcd_ledger_count_t *out, int max)
{
    sqlite3_stmt *q = statement(s, ST_COUNTS_UNSENT);
    int n = 0, rc;

    rcd_sql_text(q, 1, at->month);
    rcd_sql_text(q, 2, at->number);
    rcd_sql_int(q, 3, at->measure);
    rcd_sql_text(q, 4, month != NULL ? month : "");
    rcd_sql_int(q, 5, max);
    while ((rc = rcd_sql_step(s, q)) > 0) {
        if (n < max) {
            read_count(q, &out[n++]);
        }
    }
    return rc < 0 ? -1 : n;
}

int rcd_ledger_month_ready(rcd_state_t *s, char month[8])
{
    sqlite3_stmt *q = statement(s, ST_MONTH_READY);
    int rc = rcd_sql_step(s, q);

    if (rc > 0) {
        rcd_sql_col_text(q, 0, month, 8);
        rcd_sql_done(q);
    }
    return rc;
}

int rcd_ledger_run_unsent(rcd_state_t *s, const char *after, int closed_only,
                          char run[RCD_RUN_LEN + 1], char gateway[RCD_GATEWAY_MAX + 1])
{
    sqlite3_stmt *q = statement(s, ST_RUN_UNSENT);
    int rc;

    rcd_sql_text(q, 1, after);
    rcd_sql_int(q, 2, closed_only);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        rcd_sql_col_text(q, 0, run, RCD_RUN_LEN + 1);
        rcd_sql_col_text(q, 1, gateway, RCD_GATEWAY_MAX + 1);
        rcd_sql_done(q);
    }
    return rc;
}

static void read_hour(sqlite3_stmt *q, rcd_ledger_hour_t *h)
{
    rcd_sql_col_text(q, 0, h->hour, sizeof(h->hour));
    rcd_sql_col_text(q, 1, h->authority, sizeof(h->authority));
    h->measure = (unsigned) rcd_sql_col(q, 2);
    h->denied = rcd_sql_col(q, 3);
    h->dry_run = rcd_sql_col(q, 4);
}

int rcd_ledger_hours_unsent(rcd_state_t *s, const char *run,
                            int (*each)(void *arg, const rcd_ledger_hour_t *h), void *arg)
{
    sqlite3_stmt *q = statement(s, ST_HOURS_UNSENT);
    rcd_ledger_hour_t h;
    int rc;

    rcd_sql_text(q, 1, run);
    while ((rc = rcd_sql_step(s, q)) > 0) {
        read_hour(q, &h);
        if (each(arg, &h) != 0) {
            rcd_sql_done(q);
            return 0;
        }
    }
    return rc;
}

int rcd_ledger_count_sent(rcd_state_t *s, const rcd_ledger_count_t *c)
{
    sqlite3_stmt *q = statement(s, ST_COUNT_SENT);

    rcd_sql_text(q, 1, c->month);
    rcd_sql_text(q, 2, c->number);
    rcd_sql_int(q, 3, c->measure);
    rcd_sql_int(q, 4, c->total);
    return rcd_sql_step(s, q);
}

int rcd_ledger_hour_sent(rcd_state_t *s, const char *run, const rcd_ledger_hour_t *h)
{
    sqlite3_stmt *q = statement(s, ST_HOUR_SENT);

    rcd_sql_text(q, 1, run);
    rcd_sql_text(q, 2, h->hour);
    rcd_sql_text(q, 3, h->authority);
    rcd_sql_int(q, 4, h->measure);
    rcd_sql_int(q, 5, h->denied);
    rcd_sql_int(q, 6, h->dry_run);
    return rcd_sql_step(s, q);
}

/* ---- batches --------------------------------------------------------------------------------- */

int rcd_ledger_state(rcd_state_t *s, rcd_ledger_state_t *out)
{
    sqlite3_stmt *q = statement(s, ST_STATE);
    int rc = rcd_sql_step(s, q);

    memset(out, 0, sizeof(*out));
    if (rc > 0) {
        rcd_sql_col_text(q, 0, out->chain, sizeof(out->chain));
        out->n = rcd_sql_col(q, 1);
        rcd_sql_col_text(q, 2, out->tail, sizeof(out->tail));
        out->orders_due = rcd_sql_col(q, 3);
        out->draining = (int) rcd_sql_col(q, 4);
        rcd_sql_col_text(q, 5, out->cursor.month, sizeof(out->cursor.month));
        rcd_sql_col_text(q, 6, out->cursor.number, sizeof(out->cursor.number));
        out->cursor.measure = (unsigned) rcd_sql_col(q, 7);
        rcd_sql_done(q);
    }
    return rc > 0 ? 0 : -1;
}

int rcd_ledger_state_save(rcd_state_t *s, const rcd_ledger_state_t *state)
{
    sqlite3_stmt *q = statement(s, ST_STATE_SAVE);

    rcd_sql_text(q, 1, state->chain);
    rcd_sql_int(q, 2, state->n);
    rcd_sql_text(q, 3, state->tail);
    rcd_sql_int(q, 4, state->orders_due);
    rcd_sql_int(q, 5, state->draining);
    rcd_sql_text(q, 6, state->cursor.month);
    rcd_sql_text(q, 7, state->cursor.number);
    rcd_sql_int(q, 8, state->cursor.measure);
    return rcd_sql_step(s, q);
}

int rcd_ledger_batch_put(rcd_state_t *s, const char *chain, const rcd_ledger_batch_t *b)
{
    sqlite3_stmt *q = statement(s, ST_BATCH_PUT);

    rcd_sql_text(q, 1, chain);
    rcd_sql_int(q, 2, b->n);
    rcd_sql_text(q, 3, b->hash);
    rcd_sql_text(q, 4, b->body);
    rcd_sql_int(q, 5, b->at);
    return rcd_sql_step(s, q);
}

int rcd_ledger_batch_next(rcd_state_t *s, const char *chain, rcd_ledger_batch_t *out)
{
    sqlite3_stmt *q = statement(s, ST_BATCH_NEXT);
    const char *body;
    int rc;

    memset(out, 0, sizeof(*out));
    rcd_sql_text(q, 1, chain);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        out->n = rcd_sql_col(q, 0);
        rcd_sql_col_text(q, 1, out->hash, sizeof(out->hash));
        body = (const char *) sqlite3_column_text(q, 2);
        out->body = body != NULL ? strdup(body) : NULL;
        out->at = rcd_sql_col(q, 3);
        rcd_sql_done(q);
        if (out->body == NULL) {
            snprintf(s->fault, sizeof(s->fault), "journal: out of memory");
            return -1;
        }
    }
    return rc;
}

int rcd_ledger_batch_receipt(rcd_state_t *s, const char *chain, int64_t n, const char *receipt)
{
    sqlite3_stmt *q = statement(s, ST_BATCH_RECEIPT);

    rcd_sql_text(q, 1, chain);
    rcd_sql_int(q, 2, n);
    rcd_sql_text(q, 3, receipt);
    return rcd_sql_step(s, q);
}

int rcd_ledger_batches_rewind(rcd_state_t *s, const char *chain, int64_t n)
{
    sqlite3_stmt *q = statement(s, ST_BATCH_REWIND);

    rcd_sql_text(q, 1, chain);
    rcd_sql_int(q, 2, n);
    return rcd_sql_step(s, q) < 0 ? -1 : sqlite3_changes(s->db);
}

int rcd_ledger_chain_drop(rcd_state_t *s, const char *chain)
{
    sqlite3_stmt *q = statement(s, ST_CHAIN_DROP);

    rcd_sql_text(q, 1, chain);
    return rcd_sql_step(s, q);
}

/* ---- the whole ------------------------------------------------------------------------------- */

int rcd_ledger_counts(rcd_state_t *s, rcd_ledger_counts_t *out)
{
    sqlite3_stmt *q = statement(s, ST_COUNTS);
    int rc = rcd_sql_step(s, q);

    memset(out, 0, sizeof(*out));
    if (rc > 0) {
        out->open = rcd_sql_col(q, 0);
        out->unsent = rcd_sql_col(q, 1);
        out->waiting = rcd_sql_col(q, 2);
        rcd_sql_done(q);
    }
    return rc > 0 ? 0 : -1;
}
