/*
 * rcd_stay - stays in the journal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_audit.h"
#include "rcd_sql.h"
#include "rcd_stay.h"

#define TICK_STAYS   64                    /* ended in one tick */
#define CARRY_STAYS  16                    /* standing stays of one person */

/* stays: one row per act of the operator. stay_fields: digests of a stayed person. stay_outbox:
 * fields that Redis may not have as they are here. */
const char rcd_stay_schema[] =
    "CREATE TABLE stays(id INTEGER PRIMARY KEY AUTOINCREMENT, ref TEXT NOT NULL UNIQUE,"
    " number TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL, user TEXT NOT NULL,"
    " reason TEXT NOT NULL, found INTEGER NOT NULL, ended INTEGER NOT NULL DEFAULT 0,"
    " ended_at INTEGER NOT NULL DEFAULT 0, ended_by TEXT NOT NULL DEFAULT '',"
    " ended_reason TEXT NOT NULL DEFAULT '', reported INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE INDEX stays_number ON stays(number, until);"
    "CREATE INDEX stays_standing ON stays(until) WHERE ended = 0;"
    "CREATE INDEX stays_unreported ON stays(id) WHERE reported < 2;"
    "CREATE TABLE stay_fields(field BLOB NOT NULL, stay INTEGER NOT NULL, under TEXT NOT NULL,"
    " PRIMARY KEY(field, stay)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX stay_fields_stay ON stay_fields(stay);"
    "CREATE TABLE stay_outbox(field BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;";

enum {
    ST_PUT, ST_FIELD_PUT, ST_OUTBOX, ST_OUTBOX_NEXT, ST_OUTBOX_CLEAN, ST_FIELD_NEXT,
    ST_FIELD_UNTIL, ST_FIELD_GONE, ST_FIELD_KNOWN, ST_FIELD_STAYS, ST_ORDER_UNTIL, ST_ORDER_GONE,
    ST_ORDER_KNOWN, ST_ORDER_STAYS, ST_FIELD_FOUND, ST_ORDER_FOUND, ST_END, ST_FIELDS_OF,
    ST_NUMBER_OF, ST_PAST, ST_COUNTS, ST_PENDING, ST_EACH, ST_UNREPORTED, ST_REPORTED, ST_N
};

#define OF_FIELD  "FROM stay_fields JOIN stays ON stays.id = stay WHERE field = ?"
#define COLUMNS   "id, ref, number, since, until, user, reason, found, ended, ended_at, ended_by,"\
                  " ended_reason, number = '' AND NOT EXISTS(SELECT 1 FROM stay_fields"\
                  " WHERE stay = id AND under = (SELECT under FROM state))"

static const char *const sql[ST_N] = {
    [ST_PUT] = "INSERT OR IGNORE INTO stays(ref, number, since, until, user, reason, found)"
               " VALUES(?, ?, ?, ?, ?, ?, ?)",
    [ST_FIELD_PUT] = "INSERT OR IGNORE INTO stay_fields VALUES(?, ?, ?)",
    [ST_OUTBOX] = "INSERT OR IGNORE INTO stay_outbox VALUES(?)",
    [ST_OUTBOX_NEXT] = "SELECT field FROM stay_outbox WHERE field > ? ORDER BY field LIMIT 1",
    [ST_OUTBOX_CLEAN] = "DELETE FROM stay_outbox WHERE field = ?",
    [ST_FIELD_NEXT] = "SELECT field FROM stay_fields WHERE field > ? ORDER BY field LIMIT 1",
    [ST_FIELD_UNTIL] = "SELECT max(until) " OF_FIELD " AND ended = 0",
    [ST_FIELD_GONE] = "SELECT until " OF_FIELD " AND ended <> 0 GROUP BY until"
                      " ORDER BY max(stays.id) DESC LIMIT 16",
    [ST_FIELD_KNOWN] = "SELECT 1 " OF_FIELD " AND until = ? LIMIT 1",
    [ST_FIELD_STAYS] = "SELECT stays.id " OF_FIELD " AND ended = 0 ORDER BY stays.id LIMIT ?",
    [ST_ORDER_UNTIL] = "SELECT max(until) FROM stays WHERE number = ? AND ended = 0",
    [ST_ORDER_GONE] = "SELECT until FROM stays WHERE number = ? AND ended <> 0 GROUP BY until"
                      " ORDER BY max(id) DESC LIMIT 16",
    [ST_ORDER_KNOWN] = "SELECT 1 FROM stays WHERE number = ? AND until = ? LIMIT 1",
    [ST_ORDER_STAYS] = "SELECT id FROM stays WHERE number = ? AND ended = 0 ORDER BY id LIMIT ?",
    [ST_FIELD_FOUND] = "SELECT stays.id " OF_FIELD " AND ended = 0 AND found AND until = ?3"
                       " LIMIT ?2",
    [ST_ORDER_FOUND] = "SELECT id FROM stays WHERE number = ?1 AND ended = 0 AND found AND until = ?3"
                       " LIMIT ?2",
    [ST_END] = "UPDATE stays SET ended = ?2, ended_at = ?3, ended_by = ?4, ended_reason = ?5"
               " WHERE id = ?1 AND ended = 0",
    [ST_FIELDS_OF] = "SELECT field FROM stay_fields WHERE stay = ?",
    [ST_NUMBER_OF] = "SELECT number, until FROM stays WHERE id = ? AND ended = 0",
    [ST_PAST] = "SELECT id FROM stays WHERE ended = 0 AND until <= ? ORDER BY until LIMIT ?",
    [ST_COUNTS] = "SELECT count(*), total(number = ''), total(number = '' AND NOT EXISTS("
                  "SELECT 1 FROM stay_fields WHERE stay = id AND under = ?))"
                  " FROM stays WHERE ended = 0",
    [ST_PENDING] = "SELECT count(*) FROM stay_outbox",
    [ST_EACH] = "SELECT " COLUMNS " FROM stays WHERE ended = 0 OR ? ORDER BY id",
    [ST_UNREPORTED] = "SELECT " COLUMNS " FROM stays WHERE reported < 2 AND id > ?"
                      " AND reported < 1 + (ended <> 0) ORDER BY id LIMIT 1",
    [ST_REPORTED] = "UPDATE stays SET reported = max(reported, 1 + ?2) WHERE id = ?1",
};

const char *const rcd_stay_end_names[RCD_STAY_END_N] = {"stands", "unstayed", "lapsed", "renewed"};

struct rcd_stay_s {
    sqlite3_stmt *stmt[ST_N];
};

int rcd_stay_open(rcd_state_t *s)
{
    s->stay = calloc(1, sizeof(*s->stay));
    if (s->stay == NULL) {
        snprintf(s->fault, sizeof(s->fault), "out of memory");
        return -1;
    }
    return rcd_sql_prepare(s, s->stay->stmt, sql, ST_N);
}

void rcd_stay_close(rcd_state_t *s)
{
    if (s->stay != NULL) {
        rcd_sql_finalize(s->stay->stmt, ST_N);
    }
    free(s->stay);
    s->stay = NULL;
}

static sqlite3_stmt *statement(rcd_state_t *s, int st)
{
    return s->stay->stmt[st];
}

/* A statement bound to what is stayed: an order by number, or a person by field. */
static sqlite3_stmt *bound(rcd_state_t *s, int of_order, int of_field, const char *number,
                           const uint8_t *field)
{
    sqlite3_stmt *q = statement(s, field != NULL ? of_field : of_order);

    if (field != NULL) {
        rcd_sql_blob(q, 1, field, JD_HOLDER_LEN);
    } else {
        rcd_sql_text(q, 1, number);
    }
    return q;
}

static int with_field(rcd_state_t *s, int st, const uint8_t *field)
{
    sqlite3_stmt *q = statement(s, st);

    rcd_sql_blob(q, 1, field, JD_HOLDER_LEN);
    return rcd_sql_step(s, q);
}

/* Reads the one number of a bound query, 0 when there is none: 1 found, 0 not, -1. */
static int read_one(rcd_state_t *s, sqlite3_stmt *q, int64_t *value)
{
    int rc = rcd_sql_step(s, q);

    *value = 0;
    if (rc > 0) {
        *value = rcd_sql_col(q, 0);
        rcd_sql_done(q);
    }
    return rc;
}

/* Reads at most `max` ids of a bound query; their number, or -1. */
static int read_ids(rcd_state_t *s, sqlite3_stmt *q, int64_t *ids, int max)
{
    int n = 0, rc;

    rcd_sql_int(q, 2, max);
    while ((rc = rcd_sql_step(s, q)) > 0) {
        if (n < max) {
            ids[n++] = rcd_sql_col(q, 0);
        }
    }
    return rc < 0 ? -1 : n;
}

/* ---- what Redis is to hold ------------------------------------------------------------------- */

/* The stay of an order changed: its relief goes out anew. */
static int renew_order(rcd_state_t *s, const char *number, int64_t at)
{
    int64_t until;

    return read_one(s, bound(s, ST_ORDER_UNTIL, 0, number, NULL), &until) < 0
               ? -1 : rcd_store_relief_stay(s, number, until, at);
}

/* All fields of a stay go out anew. */
static int renew_person(rcd_state_t *s, int64_t id)
{
    sqlite3_stmt *q = statement(s, ST_FIELDS_OF);
    uint8_t field[JD_HOLDER_LEN];
    int rc;

    rcd_sql_int(q, 1, id);
    while ((rc = rcd_sql_step(s, q)) > 0) {
        rcd_sql_col_blob(q, 0, field, sizeof(field));
        if (with_field(s, ST_OUTBOX, field) < 0) {
            rcd_sql_done(q);
            return -1;
        }
    }
    return rc;
}

static int put_field(rcd_state_t *s, const uint8_t *field, int64_t id, const char *under)
{
    sqlite3_stmt *q = statement(s, ST_FIELD_PUT);

    rcd_sql_blob(q, 1, field, JD_HOLDER_LEN);
    rcd_sql_int(q, 2, id);
    rcd_sql_text(q, 3, under);
    return rcd_sql_step(s, q) < 0 ? -1 : with_field(s, ST_OUTBOX, field);
}

/* ---- audit ----------------------------------------------------------------------------------- */

static cJSON *audit_fields(const char *number, int64_t until)
{
    cJSON *f = cJSON_CreateObject();

    if (number[0] != '\0') {
        cJSON_AddStringToObject(f, "order", number);
    } else {
        cJSON_AddTrueToObject(f, "person");
    }
    if (until < JD_STAY_FOREVER) {
        cJSON_AddNumberToObject(f, "until", (double) until);
    }
    return f;
}

static int audit_put(rcd_state_t *s, const rcd_stay_t *stay)
{
    cJSON *f = audit_fields(stay->number, stay->until);

    cJSON_AddNumberToObject(f, "stay", (double) stay->id);
    cJSON_AddNumberToObject(f, "since", (double) stay->since);
    cJSON_AddStringToObject(f, "user", stay->user);
    cJSON_AddStringToObject(f, "reason", stay->reason);
    if (stay->found) {
        cJSON_AddTrueToObject(f, "found");
    }
    return rcd_audit(s, "stay", f);
}

static int audit_end(rcd_state_t *s, int64_t id, const char *number, int64_t until,
                     const rcd_stay_ending_t *e)
{
    cJSON *f = audit_fields(number, until);

    cJSON_AddNumberToObject(f, "stay", (double) id);
    cJSON_AddStringToObject(f, "how", rcd_stay_end_names[e->how]);
    if (e->user[0] != '\0') {
        cJSON_AddStringToObject(f, "user", e->user);
        cJSON_AddStringToObject(f, "reason", e->reason);
    }
    return rcd_audit(s, "unstay", f);
}

/* ---- beginning and end ----------------------------------------------------------------------- */

/* A stay that was found in Redis before the note of who gave it is this one: it goes on under its
 * author's name. */
static int take_found_of(rcd_state_t *s, const rcd_stay_t *stay, const uint8_t *field)
{
    const rcd_stay_ending_t e = {.how = RCD_STAY_RENEWED, .at = stay->since, .user = stay->user,
                                 .reason = stay->reason};
    sqlite3_stmt *q = bound(s, ST_ORDER_FOUND, ST_FIELD_FOUND, stay->number, field);
    int64_t id;
    int n;

    rcd_sql_int(q, 3, stay->until);
    n = read_ids(s, q, &id, 1);
    return n <= 0 ? n : rcd_stay_end_id(s, id, &e) < 0 ? -1 : 0;
}

static int take_found(rcd_state_t *s, const rcd_stay_t *stay, const rcd_stay_field_t *fields,
                      unsigned n)
{
    int rc = stay->number[0] != '\0' ? take_found_of(s, stay, NULL) : 0;

    for (unsigned i = 0; i < n && rc == 0; i++) {
        rc = take_found_of(s, stay, fields[i].field);
    }
    return rc;
}

int rcd_stay_put(rcd_state_t *s, rcd_stay_t *stay, const rcd_stay_field_t *fields, unsigned n)
{
    sqlite3_stmt *q = statement(s, ST_PUT);

    rcd_sql_text(q, 1, stay->ref);
    rcd_sql_text(q, 2, stay->number);
    rcd_sql_int(q, 3, stay->since);
    rcd_sql_int(q, 4, stay->until);
    rcd_sql_text(q, 5, stay->user);
    rcd_sql_text(q, 6, stay->reason);
    rcd_sql_int(q, 7, stay->found);
    if (rcd_sql_step(s, q) < 0) {
        return -1;
    }
    if (sqlite3_changes(s->db) == 0) {
        return 0;
    }
    stay->id = sqlite3_last_insert_rowid(s->db);
    if (!stay->found && take_found(s, stay, fields, n) < 0) {
        return -1;
    }
    for (unsigned i = 0; i < n; i++) {
        if (put_field(s, fields[i].field, stay->id, fields[i].under) < 0) {
            return -1;
        }
    }
    if ((stay->number[0] != '\0' && renew_order(s, stay->number, stay->since) < 0) ||
        audit_put(s, stay) < 0) {
        return -1;
    }
    return 1;
}

int rcd_stay_end_id(rcd_state_t *s, int64_t id, const rcd_stay_ending_t *e)
{
    sqlite3_stmt *q = statement(s, ST_NUMBER_OF);
    char number[JD_ORDER_NUMBER_MAX + 1];
    int64_t until;
    int rc;

    rcd_sql_int(q, 1, id);
    rc = rcd_sql_step(s, q);
    if (rc <= 0) {
        return rc;
    }
    rcd_sql_col_text(q, 0, number, sizeof(number));
    until = rcd_sql_col(q, 1);
    rcd_sql_done(q);

    q = statement(s, ST_END);
    rcd_sql_int(q, 1, id);
    rcd_sql_int(q, 2, e->how);
    rcd_sql_int(q, 3, e->at);
    rcd_sql_text(q, 4, e->user);
    rcd_sql_text(q, 5, e->reason);
    if (rcd_sql_step(s, q) < 0 || audit_end(s, id, number, until, e) < 0) {
        return -1;
    }
    rc = number[0] != '\0' ? renew_order(s, number, e->at) : renew_person(s, id);
    return rc < 0 ? -1 : 1;
}

/* Ends all of a bound query's; their number. */
static int end_all(rcd_state_t *s, int of_order, int of_field, const char *number,
                   const uint8_t *field, const rcd_stay_ending_t *e)
{
    int64_t ids[TICK_STAYS];
    int ended = 0, n;

    do {
        n = read_ids(s, bound(s, of_order, of_field, number, field), ids, TICK_STAYS);
        for (int i = 0; i < n; i++) {
            if (rcd_stay_end_id(s, ids[i], e) < 0) {
                return -1;
            }
        }
        ended += n;
    } while (n == TICK_STAYS);
    return n < 0 ? -1 : ended;
}

int rcd_stay_end_order(rcd_state_t *s, const char *number, const rcd_stay_ending_t *e)
{
    return end_all(s, ST_ORDER_STAYS, 0, number, NULL, e);
}

int rcd_stay_end_person(rcd_state_t *s, const rcd_stay_field_t *fields, unsigned n,
                        const rcd_stay_ending_t *e)
{
    int ended = 0;

    for (unsigned i = 0; i < n; i++) {
        int rc = end_all(s, 0, ST_FIELD_STAYS, NULL, fields[i].field, e);

        if (rc < 0) {
            return -1;
        }
        ended += rc;
    }
    return ended;
}

int rcd_stay_tick(rcd_state_t *s, int64_t at)
{
    const rcd_stay_ending_t e = {.how = RCD_STAY_LAPSED, .at = at, .user = "", .reason = ""};
    sqlite3_stmt *q = statement(s, ST_PAST);
    int64_t ids[TICK_STAYS];
    int n, rc = 0;

    rcd_sql_int(q, 1, at);
    n = read_ids(s, q, ids, TICK_STAYS);
    if (n <= 0) {
        return n;
    }
    if (rcd_store_begin(s, 0) < 0) {
        return -1;
    }
    for (int i = 0; i < n && rc >= 0; i++) {
        rc = rcd_stay_end_id(s, ids[i], &e);
    }
    if (rc < 0 || rcd_store_commit(s) < 0) {
        rcd_store_rollback(s);
        return -1;
    }
    return n;
}

int rcd_stay_carry(rcd_state_t *s, const uint8_t from[JD_DIGEST_LEN],
                   const uint8_t to[JD_DIGEST_LEN], const char *under)
{
    int64_t ids[CARRY_STAYS];
    int n = read_ids(s, bound(s, 0, ST_FIELD_STAYS, NULL, from), ids, CARRY_STAYS);

    for (int i = 0; i < n; i++) {
        if (put_field(s, to, ids[i], under) < 0) {
            return -1;
        }
    }
    return n < 0 ? -1 : 0;
}

/* ---- for Redis ------------------------------------------------------------------------------- */

int rcd_stay_next(rcd_state_t *s, int pending_only, const uint8_t *after,
                  uint8_t field[JD_HOLDER_LEN])
{
    sqlite3_stmt *q = statement(s, pending_only ? ST_OUTBOX_NEXT : ST_FIELD_NEXT);
    int rc;

    rcd_sql_blob(q, 1, after != NULL ? (const void *) after : "",
                 after != NULL ? JD_HOLDER_LEN : 0);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        rcd_sql_col_blob(q, 0, field, JD_HOLDER_LEN);
        rcd_sql_done(q);
    }
    return rc;
}

int rcd_stay_sent(rcd_state_t *s, const uint8_t field[JD_HOLDER_LEN])
{
    return with_field(s, ST_OUTBOX_CLEAN, field);
}

int rcd_stay_of_field(rcd_state_t *s, const uint8_t field[JD_HOLDER_LEN], int64_t *until)
{
    return read_one(s, bound(s, 0, ST_FIELD_UNTIL, NULL, field), until) < 0 ? -1 : 0;
}

int rcd_stay_gone(rcd_state_t *s, const char *number, const uint8_t *field,
                  char out[RCD_STAY_GONE_MAX])
{
    sqlite3_stmt *q = bound(s, ST_ORDER_GONE, ST_FIELD_GONE, number, field);
    size_t len = 0;
    int rc;

    out[0] = '\0';
    while ((rc = rcd_sql_step(s, q)) > 0) {
        len += (size_t) snprintf(out + len, RCD_STAY_GONE_MAX - len, "%s%lld", len > 0 ? " " : "",
                                 (long long) rcd_sql_col(q, 0));
    }
    return rc;
}

int rcd_stay_known(rcd_state_t *s, const char *number, const uint8_t *field, int64_t until)
{
    sqlite3_stmt *q = bound(s, ST_ORDER_KNOWN, ST_FIELD_KNOWN, number, field);
    int64_t one;

    rcd_sql_int(q, 2, until);
    return read_one(s, q, &one);
}

/* ---- for status, reports and rcctl ----------------------------------------------------------- */

int rcd_stay_counts(rcd_state_t *s, rcd_stay_counts_t *out)
{
    sqlite3_stmt *q = statement(s, ST_COUNTS);
    int rc;

    rcd_sql_text(q, 1, s->under);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        *out = (rcd_stay_counts_t){.standing = (uint64_t) rcd_sql_col(q, 0),
                                   .persons = (uint64_t) rcd_sql_col(q, 1),
                                   .lost = (uint64_t) rcd_sql_col(q, 2)};
        rcd_sql_done(q);
    }
    return rc > 0 ? 0 : -1;
}

int rcd_stay_pending(rcd_state_t *s, uint64_t *n)
{
    int64_t v;
    int rc = read_one(s, statement(s, ST_PENDING), &v);

    *n = (uint64_t) v;
    return rc < 0 ? -1 : 0;
}

static void read_stay(sqlite3_stmt *q, rcd_stay_t *st)
{
    st->id = rcd_sql_col(q, 0);
    rcd_sql_col_text(q, 1, st->ref, sizeof(st->ref));
    rcd_sql_col_text(q, 2, st->number, sizeof(st->number));
    st->since = rcd_sql_col(q, 3);
    st->until = rcd_sql_col(q, 4);
    rcd_sql_col_text(q, 5, st->user, sizeof(st->user));
    rcd_sql_col_text(q, 6, st->reason, sizeof(st->reason));
    st->found = (int) rcd_sql_col(q, 7);
    st->ended = (rcd_stay_end_t) rcd_sql_col(q, 8);
    st->ended_at = rcd_sql_col(q, 9);
    rcd_sql_col_text(q, 10, st->ended_by, sizeof(st->ended_by));
    rcd_sql_col_text(q, 11, st->ended_reason, sizeof(st->ended_reason));
    st->lost = st->ended == RCD_STAY_STANDS && rcd_sql_col(q, 12);
}

int rcd_stay_each(rcd_state_t *s, int all, int (*each)(void *arg, const rcd_stay_t *stay),
                  void *arg)
{
    sqlite3_stmt *q = statement(s, ST_EACH);
    rcd_stay_t stay;
    int rc;

    rcd_sql_int(q, 1, all);
    while ((rc = rcd_sql_step(s, q)) > 0) {
        read_stay(q, &stay);
        if (each(arg, &stay) != 0) {
            rcd_sql_done(q);
            return 0;
        }
    }
    return rc;
}

int rcd_stay_unreported(rcd_state_t *s, int64_t after, rcd_stay_t *out)
{
    sqlite3_stmt *q = statement(s, ST_UNREPORTED);
    int rc;

    rcd_sql_int(q, 1, after);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        read_stay(q, out);
        rcd_sql_done(q);
    }
    return rc;
}

int rcd_stay_reported(rcd_state_t *s, int64_t id, int ended)
{
    sqlite3_stmt *q = statement(s, ST_REPORTED);

    rcd_sql_int(q, 1, id);
    rcd_sql_int(q, 2, ended != 0);
    return rcd_sql_step(s, q);
}
