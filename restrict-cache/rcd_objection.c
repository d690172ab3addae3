/*
 * rcd_objection - objections in the journal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_audit.h"
#include "rcd_objection.h"
#include "rcd_sql.h"

/* by = '' for the office, else the OS user; until 0 = stands; how: rcd_objection_how_t. */
const char rcd_objection_schema[] =
    "CREATE TABLE objections(id INTEGER PRIMARY KEY AUTOINCREMENT, ref TEXT NOT NULL,"
    " number TEXT NOT NULL, by TEXT NOT NULL, reason TEXT NOT NULL, since INTEGER NOT NULL,"
    " until INTEGER NOT NULL DEFAULT 0, how INTEGER NOT NULL DEFAULT 0,"
    " ended_by TEXT NOT NULL DEFAULT '', ended_reason TEXT NOT NULL DEFAULT '') STRICT;"
    "CREATE INDEX objections_number ON objections(number);"
    "CREATE UNIQUE INDEX objections_ref ON objections(ref) WHERE ref <> '';";

enum { ST_PUT, ST_CLOSE_OFFICE, ST_CLOSE_OPERATOR, ST_CLOSE_ALL, ST_STANDS, ST_KNOWN,
       ST_COUNTS, ST_N };

static const char *const sql[ST_N] = {
    [ST_PUT] = "INSERT OR IGNORE INTO objections(ref, number, by, reason, since)"
               " VALUES(?, ?, ?, ?, ?)",
    [ST_CLOSE_OFFICE] = "UPDATE objections SET until = ?2, how = ?3"
                        " WHERE number = ?1 AND until = 0 AND by = ''",
    [ST_CLOSE_OPERATOR] = "UPDATE objections SET until = ?2, how = ?3, ended_by = ?4,"
                          " ended_reason = ?5 WHERE number = ?1 AND until = 0 AND by <> ''",
    [ST_CLOSE_ALL] = "UPDATE objections SET until = ?2, how = ?3 WHERE number = ?1 AND until = 0",
    [ST_STANDS] = "SELECT 1 FROM objections WHERE number = ? AND until = 0 AND by = '' LIMIT 1",
    [ST_KNOWN] = "SELECT 1 FROM objections WHERE number = ? AND by <> '' LIMIT 1",
    [ST_COUNTS] = "SELECT total(by = ''), total(by <> '') FROM objections WHERE until = 0",
};

struct rcd_objection_s {
    sqlite3_stmt *stmt[ST_N];
};

const char *rcd_objection_how_name(int how)
{
    static const char *const names[] = {"stands", "withdrawn", "ended"};

    return how < RCD_OBJECTION_OVER ? names[how]
           : how < RCD_OBJECTION_OVER + RCD_END_N ? rcd_end_names[how - RCD_OBJECTION_OVER] : "?";
}

int rcd_objection_open(rcd_state_t *s)
{
    s->objection = calloc(1, sizeof(*s->objection));
    if (s->objection == NULL) {
        snprintf(s->fault, sizeof(s->fault), "out of memory");
        return -1;
    }
    return rcd_sql_prepare(s, s->objection->stmt, sql, ST_N);
}

void rcd_objection_close(rcd_state_t *s)
{
    if (s->objection != NULL) {
        rcd_sql_finalize(s->objection->stmt, ST_N);
    }
    free(s->objection);
    s->objection = NULL;
}

/* ---- statements ------------------------------------------------------------------------------ */

/* 1 when a row was written, 0 when its ref is known. */
static int put(rcd_state_t *s, const rcd_objection_t *o)
{
    sqlite3_stmt *q = s->objection->stmt[ST_PUT];

    rcd_sql_text(q, 1, o->ref);
    rcd_sql_text(q, 2, o->number);
    rcd_sql_text(q, 3, o->user != NULL ? o->user : "");
    rcd_sql_text(q, 4, o->reason);
    rcd_sql_int(q, 5, o->at);
    return rcd_sql_step(s, q) < 0 ? -1 : sqlite3_changes(s->db) > 0;
}

static int audit(rcd_state_t *s, const rcd_objection_t *o, int stands, int found)
{
    cJSON *f = cJSON_CreateObject();

    cJSON_AddStringToObject(f, "order", o->number);
    cJSON_AddBoolToObject(f, "stands", stands);
    cJSON_AddStringToObject(f, "user", o->user);
    cJSON_AddStringToObject(f, "reason", o->reason);
    if (found) {
        cJSON_AddTrueToObject(f, "found");
    }
    return rcd_audit(s, "objection", f);
}

/* The record of the order's subject is another now. */
static int touch(rcd_state_t *s, const char *number)
{
    rcd_row_t row;
    int had = rcd_store_order(s, number, &row);

    return had > 0 && row.ended == RCD_END_NONE ? rcd_store_touch(s, row.digest) : had < 0 ? -1 : 0;
}

/* ---- the operator's -------------------------------------------------------------------------- */

int rcd_objection_put(rcd_state_t *s, const rcd_objection_t *o, int found)
{
    int rc = put(s, o);

    if (rc <= 0) {
        return rc;
    }
    return rcd_store_relief_hold(s, o->number, 1, o->at) < 0 || touch(s, o->number) < 0 ||
                   audit(s, o, 1, found) < 0 ? -1 : 1;
}

int rcd_objection_end(rcd_state_t *s, const rcd_objection_t *o)
{
    sqlite3_stmt *q = s->objection->stmt[ST_CLOSE_OPERATOR];
    rcd_relief_row_t r;

    if (rcd_store_relief(s, o->number, &r) < 0) {
        return -1;
    }
    if (!r.held) {
        return 0;
    }
    rcd_sql_text(q, 1, o->number);
    rcd_sql_int(q, 2, o->at);
    rcd_sql_int(q, 3, RCD_OBJECTION_ENDED);
    rcd_sql_text(q, 4, o->user);
    rcd_sql_text(q, 5, o->reason);
    if (rcd_sql_step(s, q) < 0 || rcd_store_relief_hold(s, o->number, 0, o->at) < 0 ||
        touch(s, o->number) < 0 || audit(s, o, 0, 0) < 0) {
        return -1;
    }
    return 1;
}

/* ---- the office's ---------------------------------------------------------------------------- */

/* 1 when the office objects, by mark or record, to an order that is not over. */
static int office_objects(rcd_state_t *s, const char *number)
{
    rcd_relief_row_t r;
    rcd_row_t row;
    int had = rcd_store_order(s, number, &row);

    if (had < 0 || rcd_store_relief(s, number, &r) < 0) {
        return -1;
    }
    if (had && row.ended != RCD_END_NONE) {
        return 0;
    }
    return r.r.objection || (had && (row.flags & JD_ORDER_OBJECTION));
}

static int close_all(rcd_state_t *s, int st, const char *number, int how, int64_t at)
{
    sqlite3_stmt *q = s->objection->stmt[st];

    rcd_sql_text(q, 1, number);
    rcd_sql_int(q, 2, at);
    rcd_sql_int(q, 3, how);
    return rcd_sql_step(s, q);
}

int rcd_objection_sync(rcd_state_t *s, const char *number, int64_t at)
{
    rcd_objection_t o = {.user = NULL, .reason = "", .ref = "", .at = at};
    int stands = rcd_sql_any(s, s->objection->stmt[ST_STANDS], number);
    int objects = office_objects(s, number);

    if (stands < 0 || objects < 0 || stands == objects) {
        return stands < 0 || objects < 0 ? -1 : 0;
    }
    if (!objects) {
        return close_all(s, ST_CLOSE_OFFICE, number, RCD_OBJECTION_WITHDRAWN, at);
    }
    snprintf(o.number, sizeof(o.number), "%s", number);
    return put(s, &o) < 0 ? -1 : 0;
}

int rcd_objection_over(rcd_state_t *s, const char *number, rcd_end_t why, int64_t at)
{
    return close_all(s, ST_CLOSE_ALL, number, RCD_OBJECTION_OVER + (int) why, at);
}

/* ---- for Redis and status -------------------------------------------------------------------- */

int rcd_objection_gone(rcd_state_t *s, const char *number)
{
    rcd_relief_row_t r;

    if (rcd_store_relief(s, number, &r) < 0) {
        return -1;
    }
    return r.held ? 0 : rcd_sql_any(s, s->objection->stmt[ST_KNOWN], number);
}

int rcd_objection_known(rcd_state_t *s, const char *number)
{
    return rcd_sql_any(s, s->objection->stmt[ST_KNOWN], number);
}

int rcd_objection_counts(rcd_state_t *s, uint64_t *office, uint64_t *operators)
{
    sqlite3_stmt *q = s->objection->stmt[ST_COUNTS];
    int rc = rcd_sql_step(s, q);

    if (rc > 0) {
        *office = (uint64_t) rcd_sql_col(q, 0);
        *operators = (uint64_t) rcd_sql_col(q, 1);
        rcd_sql_done(q);
    }
    return rc > 0 ? 0 : -1;
}
