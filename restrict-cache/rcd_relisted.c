/*
 * rcd_relisted - orders that list somebody again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_audit.h"
#include "rcd_relisted.h"
#include "rcd_sql.h"

#define LEFT_MAX     64                    /* ended orders of one subject looked at */

const char rcd_relisted_schema[] =
    "CREATE TABLE relisted(number TEXT PRIMARY KEY, at INTEGER NOT NULL, before TEXT NOT NULL,"
    " ended INTEGER NOT NULL, ended_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX orders_left ON orders(digest) WHERE ended IN (2, 4);";

_Static_assert(RCD_END_DROPPED == 2 && RCD_END_LIFTED == 4, "the index orders_left names them");

enum { ST_LEFT, ST_PUT, ST_HAS, ST_COUNT, ST_N };

static const char *const sql[ST_N] = {
    [ST_LEFT] = "SELECT number, ended, ended_at, grounds.value FROM orders JOIN grounds"
                " ON grounds.id = orders.grounds WHERE digest = ?1 AND ended IN (2, 4)"
                " AND imported = 0 AND ended_at >= ?2 ORDER BY ended_at DESC",
    [ST_PUT] = "INSERT OR REPLACE INTO relisted VALUES(?, ?, ?, ?, ?)",
    [ST_HAS] = "SELECT 1 FROM relisted WHERE number = ?",
    [ST_COUNT] = "SELECT count(*) FROM relisted",
};

typedef struct {
    char      number[JD_ORDER_NUMBER_MAX + 1];
    int64_t   at;
    char      before[JD_ORDER_NUMBER_MAX + 1]; /* that had ended; may be the same number */
    rcd_end_t ended;                           /* RCD_END_LIFTED or RCD_END_DROPPED */
    int64_t   ended_at;
} relisted_t;

struct rcd_relisted_s {
    sqlite3_stmt *stmt[ST_N];
    uint64_t      count;
};

int rcd_relisted_open(rcd_state_t *s)
{
    s->relisted = calloc(1, sizeof(*s->relisted));
    if (s->relisted == NULL) {
        snprintf(s->fault, sizeof(s->fault), "out of memory");
        return -1;
    }
    return rcd_sql_prepare(s, s->relisted->stmt, sql, ST_N);
}

void rcd_relisted_close(rcd_state_t *s)
{
    if (s->relisted != NULL) {
        rcd_sql_finalize(s->relisted->stmt, ST_N);
    }
    free(s->relisted);
    s->relisted = NULL;
}

int rcd_relisted_load(rcd_state_t *s)
{
    return rcd_sql_number(s, s->relisted->stmt[ST_COUNT], &s->relisted->count);
}

uint64_t rcd_relisted_count(const rcd_state_t *s)
{
    return s->relisted->count;
}

/* Bytes that authority and basis, the first two texts, take at the beginning of grounds; 0 when
 * they are not whole. */
static size_t basis_len(const uint8_t *value, size_t len)
{
    size_t at = 0;

    for (int i = 0; i < 2; i++) {
        if (len - at < 2 || len - at - 2 < (size_t) (value[at] | value[at + 1] << 8)) {
            return 0;
        }
        at += 2 + (size_t) (value[at] | value[at + 1] << 8);
    }
    return at;
}

static int put(rcd_state_t *s, const relisted_t *r)
{
    sqlite3_stmt *q = s->relisted->stmt[ST_PUT];
    int had = rcd_sql_any(s, s->relisted->stmt[ST_HAS], r->number);
    cJSON *fields;

    if (had < 0) {
        return -1;
    }
    fields = cJSON_CreateObject();
    rcd_sql_text(q, 1, r->number);
    rcd_sql_int(q, 2, r->at);
    rcd_sql_text(q, 3, r->before);
    rcd_sql_int(q, 4, r->ended);
    rcd_sql_int(q, 5, r->ended_at);
    s->relisted->count += !had;
    cJSON_AddStringToObject(fields, "order", r->number);
    cJSON_AddStringToObject(fields, "before", r->before);
    cJSON_AddStringToObject(fields, "ended", rcd_end_names[r->ended]);
    cJSON_AddNumberToObject(fields, "ended_at", (double) r->ended_at);
    if (rcd_sql_step(s, q) < 0) {
        cJSON_Delete(fields);
        return -1;
    }
    return rcd_audit(s, "relisted", fields);
}

int rcd_relisted_note(rcd_state_t *s, const rcd_order_t *o, int64_t at)
{
    sqlite3_stmt *q = s->relisted->stmt[ST_LEFT];
    size_t len = basis_len(o->grounds, o->grounds_len);
    relisted_t r = {.at = at};
    int found = 0, rc;

    rcd_sql_blob(q, 1, o->digest, JD_DIGEST_LEN);
    rcd_sql_int(q, 2, at - RCD_RELIST_SEC);
    for (int i = 0; (rc = rcd_sql_step(s, q)) > 0 && !found && i < LEFT_MAX; i++) {
        const uint8_t *value = sqlite3_column_blob(q, 3);
        size_t size = (size_t) sqlite3_column_bytes(q, 3);

        found = len > 0 && value != NULL && basis_len(value, size) == len &&
                memcmp(value, o->grounds, len) == 0;
        if (found) {
            rcd_sql_col_text(q, 0, r.before, sizeof(r.before));
            r.ended = (rcd_end_t) rcd_sql_col(q, 1);
            r.ended_at = rcd_sql_col(q, 2);
        }
    }
    if (rc > 0) {
        rcd_sql_done(q);
    }
    if (rc < 0 || !found) {
        return rc < 0 ? -1 : 0;
    }
    memcpy(r.number, o->number, sizeof(r.number));
    return put(s, &r);
}
