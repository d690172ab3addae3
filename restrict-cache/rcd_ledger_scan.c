/*
 * rcd_ledger_scan - the ledger's tables read whole for rcctl, and rid of what is old. Seldom done:
 * no statement is kept for it.
 */
#include <string.h>
#include "rcd_ledger_rows.h"
#include "rcd_sql.h"

#define SLICE  "500"                     /* rows removed in one step */

/* What is older than ?1, a month or an instant, and has its receipts. */
static const struct {
    int         by_month;
    const char *text;
} removals[] = {
    {1, "DELETE FROM ledger_order WHERE (run, month, number, measure) IN (SELECT run, month,"
        " number, measure FROM ledger_order o WHERE month < ?1 AND NOT EXISTS(SELECT 1 FROM"
        " ledger_count c WHERE c.month = o.month AND c.sent < c.total) LIMIT " SLICE ")"},
    {1, "DELETE FROM ledger_count WHERE (month, number, measure) IN (SELECT month, number, measure"
        " FROM ledger_count o WHERE month < ?1 AND NOT EXISTS(SELECT 1 FROM ledger_count c"
        " WHERE c.month = o.month AND c.sent < c.total) LIMIT " SLICE ")"},
    {0, "DELETE FROM ledger_hour WHERE (run, hour, authority, measure, dry) IN (SELECT run, hour,"
        " authority, measure, dry FROM ledger_hour o WHERE instant < ?1 AND NOT EXISTS(SELECT 1"
        " FROM ledger_hour u WHERE u.run = o.run AND u.hour = o.hour AND u.sent < u.total)"
        " LIMIT " SLICE ")"},
    {0, "DELETE FROM ledger_period WHERE (run, period) IN (SELECT run, period FROM ledger_period o"
        " WHERE instant < ?1 AND NOT EXISTS(SELECT 1 FROM ledger_order r WHERE r.run = o.run"
        " AND r.month = o.period) AND NOT EXISTS(SELECT 1 FROM ledger_hour h WHERE h.run = o.run"
        " AND h.hour = o.period) LIMIT " SLICE ")"},
    {0, "DELETE FROM ledger_batch WHERE (chain, n) IN (SELECT chain, n FROM ledger_batch"
        " WHERE at < ?1 AND waiting = 0 LIMIT " SLICE ")"},
};

static const char counts_text[] =
    "SELECT month, number, measure, total, sent FROM ledger_count WHERE ?1 = '' OR month = ?1"
    " ORDER BY month, number, measure";

static const char hours_text[] =
    "SELECT h.hour, h.authority, h.measure, sum(CASE h.dry WHEN 0 THEN h.total ELSE 0 END),"
    " sum(CASE h.dry WHEN 0 THEN 0 ELSE h.total END), h.gateway, min(p.closed)"
    " FROM ledger_hour h JOIN ledger_period p ON p.run = h.run AND p.period = h.hour"
    " WHERE h.instant >= ?1 AND (?2 = 0 OR h.instant < ?2)"
    " GROUP BY h.hour, h.gateway, h.authority, h.measure"
    " ORDER BY h.hour, h.gateway, h.authority, h.measure";

/* A statement for this once; NULL with s->fault. */
static sqlite3_stmt *prepare(rcd_state_t *s, const char *text)
{
    sqlite3_stmt *q = NULL;

    if (sqlite3_prepare_v2(s->db, text, -1, &q, NULL) != SQLITE_OK) {
        rcd_sql_failed(s);
        return NULL;
    }
    return q;
}

int rcd_ledger_retain(rcd_state_t *s, int64_t before)
{
    int removed = 0, rc;
    sqlite3_stmt *q;
    char month[8];

    rcd_month_of(before, month);
    for (size_t i = 0; i < sizeof(removals) / sizeof(removals[0]); i++) {
        q = prepare(s, removals[i].text);
        if (q == NULL) {
            return -1;
        }
        if (removals[i].by_month) {
            rcd_sql_text(q, 1, month);
        } else {
            rcd_sql_int(q, 1, before);
        }
        rc = rcd_sql_step(s, q);
        sqlite3_finalize(q);
        if (rc < 0) {
            return -1;
        }
        removed += sqlite3_changes(s->db);
    }
    return removed;
}

int rcd_ledger_each_count(rcd_state_t *s, const char *month,
                          int (*each)(void *arg, const rcd_ledger_count_t *c, int64_t sent),
                          void *arg)
{
    sqlite3_stmt *q = prepare(s, counts_text);
    rcd_ledger_count_t c;
    int rc = q == NULL ? -1 : 0;

    if (q != NULL) {
        rcd_sql_text(q, 1, month);
    }
    while (q != NULL && (rc = rcd_sql_step(s, q)) > 0) {
        rcd_sql_col_text(q, 0, c.month, sizeof(c.month));
        rcd_sql_col_text(q, 1, c.number, sizeof(c.number));
        c.measure = (unsigned) rcd_sql_col(q, 2);
        c.total = rcd_sql_col(q, 3);
        if (each(arg, &c, rcd_sql_col(q, 4)) != 0) {
            break;
        }
    }
    sqlite3_finalize(q);
    return rc < 0 ? -1 : 0;
}

int rcd_ledger_each_hour(rcd_state_t *s, int64_t from, int64_t until,
                         int (*each)(void *arg, const char *gateway, const rcd_ledger_hour_t *h,
                                     int closed), void *arg)
{
    sqlite3_stmt *q = prepare(s, hours_text);
    char gateway[RCD_GATEWAY_MAX + 1];
    rcd_ledger_hour_t h;
    int rc = q == NULL ? -1 : 0;

    if (q != NULL) {
        rcd_sql_int(q, 1, from);
        rcd_sql_int(q, 2, until);
    }
    while (q != NULL && (rc = rcd_sql_step(s, q)) > 0) {
        rcd_sql_col_text(q, 0, h.hour, sizeof(h.hour));
        rcd_sql_col_text(q, 1, h.authority, sizeof(h.authority));
        h.measure = (unsigned) rcd_sql_col(q, 2);
        h.denied = rcd_sql_col(q, 3);
        h.dry_run = rcd_sql_col(q, 4);
        rcd_sql_col_text(q, 5, gateway, sizeof(gateway));
        if (each(arg, gateway, &h, (int) rcd_sql_col(q, 6)) != 0) {
            break;
        }
    }
    sqlite3_finalize(q);
    return rc < 0 ? -1 : 0;
}
