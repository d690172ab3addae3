/*
 * rcd_size - the size of the list hour by hour, and what it may grow by: the rule of mass change
 * as the journal has it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "rcd_audit.h"
#include "rcd_log.h"
#include "rcd_size.h"
#include "rcd_sql.h"

#define HOUR_SEC     3600
#define WINDOW_SEC   (7 * 86400)

const char rcd_size_schema[] =
    "CREATE TABLE growth(one INTEGER PRIMARY KEY CHECK(one = 1), size INTEGER NOT NULL,"
    " approved_at INTEGER NOT NULL, approved_size INTEGER NOT NULL, widened INTEGER NOT NULL,"
    " shrunk_at INTEGER NOT NULL, shrunk_from INTEGER NOT NULL, shrunk_to INTEGER NOT NULL) STRICT;"
    "INSERT INTO growth VALUES(1, 0, 0, 0, 0, 0, 0, 0);"
    "CREATE TABLE sizes(hour INTEGER PRIMARY KEY, size INTEGER NOT NULL,"
    " widened INTEGER NOT NULL) STRICT;";

enum {
    ST_GROWTH, ST_GROWTH_SAVE, ST_HOUR, ST_HOUR_PUT, ST_HOUR_AT, ST_WIDENED, ST_HOURS_TRIM,
    ST_HOURS_CLEAR, ST_N
};

static const char *const sql[ST_N] = {
    [ST_GROWTH] = "SELECT size, approved_at, approved_size, widened, shrunk_at, shrunk_from,"
                  " shrunk_to FROM growth",
    [ST_GROWTH_SAVE] = "UPDATE growth SET size = ?, approved_at = ?, approved_size = ?,"
                       " widened = ?, shrunk_at = ?, shrunk_from = ?, shrunk_to = ?",
    [ST_HOUR] = "SELECT hour, size FROM sizes ORDER BY hour DESC LIMIT 1",
    [ST_HOUR_PUT] = "INSERT OR REPLACE INTO sizes VALUES(?1, ?2, ?3 +"
                    " coalesce((SELECT widened FROM sizes WHERE hour = ?1), 0))",
    [ST_HOUR_AT] = "SELECT hour, size FROM sizes WHERE hour <= ? ORDER BY hour DESC LIMIT 1",
    [ST_WIDENED] = "SELECT coalesce(sum(widened), 0) FROM sizes WHERE hour > ?",
    [ST_HOURS_TRIM] = "DELETE FROM sizes WHERE hour < ?",
    [ST_HOURS_CLEAR] = "DELETE FROM sizes",
};

struct rcd_size_s {
    sqlite3_stmt      *stmt[ST_N];
    rcd_growth_limit_t limit;
    uint64_t           size;
    int64_t            approved_at;        /* 0 = no list was ever approved */
    uint64_t           approved_size;
    uint64_t           widened;            /* since the hour began */
    uint64_t           widened_before;     /* from the baseline to then */
    uint64_t           baseline;
    int64_t            hour;               /* newest row of sizes, 0 = none */
    uint64_t           hour_size;          /* largest since the hour began */
    int64_t            shrunk_at;
    uint64_t           shrunk_from, shrunk_to;
};

/* ---- open, load, save ------------------------------------------------------------------------ */

int rcd_size_open(rcd_state_t *s)
{
    s->size = calloc(1, sizeof(*s->size));
    if (s->size == NULL) {
        snprintf(s->fault, sizeof(s->fault), "out of memory");
        return -1;
    }
    return rcd_sql_prepare(s, s->size->stmt, sql, ST_N);
}

void rcd_size_close(rcd_state_t *s)
{
    if (s->size != NULL) {
        rcd_sql_finalize(s->size->stmt, ST_N);
    }
    free(s->size);
    s->size = NULL;
}

/* Baseline and widenings as of the hour. */
static int load_baseline(rcd_state_t *s)
{
    struct rcd_size_s *g = s->size;
    int64_t back = g->hour - WINDOW_SEC / HOUR_SEC;
    int64_t since = g->approved_at / HOUR_SEC;
    sqlite3_stmt *q = g->stmt[ST_HOUR_AT];
    int rc;

    g->baseline = g->approved_size;
    if (back > since) {
        rcd_sql_int(q, 1, back);
        rc = rcd_sql_step(s, q);
        if (rc < 0) {
            return -1;
        }
        if (rc > 0) {
            since = rcd_sql_col(q, 0);
            g->baseline = (uint64_t) rcd_sql_col(q, 1);
            rcd_sql_done(q);
        }
    }
    rcd_sql_int(g->stmt[ST_WIDENED], 1, since);
    return rcd_sql_number(s, g->stmt[ST_WIDENED], &g->widened_before);
}

int rcd_size_load(rcd_state_t *s)
{
    struct rcd_size_s *g = s->size;
    sqlite3_stmt *q = g->stmt[ST_GROWTH];
    int rc = rcd_sql_step(s, q);

    if (rc <= 0) {
        return -1;
    }
    g->size = (uint64_t) rcd_sql_col(q, 0);
    g->approved_at = rcd_sql_col(q, 1);
    g->approved_size = (uint64_t) rcd_sql_col(q, 2);
    g->widened = (uint64_t) rcd_sql_col(q, 3);
    g->shrunk_at = rcd_sql_col(q, 4);
    g->shrunk_from = (uint64_t) rcd_sql_col(q, 5);
    g->shrunk_to = (uint64_t) rcd_sql_col(q, 6);
    rcd_sql_done(q);

    q = g->stmt[ST_HOUR];
    rc = rcd_sql_step(s, q);
    g->hour = 0;
    g->hour_size = g->size;
    if (rc > 0) {
        g->hour = rcd_sql_col(q, 0);
        g->hour_size = (uint64_t) rcd_sql_col(q, 1);
        rcd_sql_done(q);
    }
    return rc < 0 ? -1 : load_baseline(s);
}

int rcd_size_save(rcd_state_t *s)
{
    struct rcd_size_s *g = s->size;
    sqlite3_stmt *q = g->stmt[ST_GROWTH_SAVE];
    const int64_t v[] = {
        (int64_t) g->size, g->approved_at, (int64_t) g->approved_size, (int64_t) g->widened,
        g->shrunk_at, (int64_t) g->shrunk_from, (int64_t) g->shrunk_to,
    };

    for (int i = 0; i < (int) (sizeof(v) / sizeof(v[0])); i++) {
        rcd_sql_int(q, i + 1, v[i]);
    }
    return rcd_sql_step(s, q);
}

/* ---- size and growth ------------------------------------------------------------------------- */

void rcd_size_rules(rcd_state_t *s, const rcd_rules_t *rules)
{
    if (rules->growth.stated) {
        s->size->limit = rules->growth;
    }
}

void rcd_size_count(rcd_state_t *s, const rcd_row_t *was, const rcd_row_t *now)
{
    struct rcd_size_s *g = s->size;

    if (was != NULL && rcd_growth_counts(was) && g->size > 0) {
        g->size--;
    }
    if (now != NULL && rcd_growth_counts(now)) {
        g->size++;
    }
}

int rcd_size_first(const rcd_state_t *s)
{
    return s->size->approved_at == 0;
}

void rcd_size_growth(const rcd_state_t *s, rcd_growth_t *out)
{
    const struct rcd_size_s *g = s->size;

    *out = (rcd_growth_t){.baseline = g->baseline, .size = g->size,
                          .widened = g->widened_before + g->widened};
}

int rcd_size_exceeds(const rcd_state_t *s, uint64_t orders, uint64_t terms, uint64_t drops)
{
    rcd_growth_t g;

    rcd_size_growth(s, &g);
    g.adds_orders = orders;
    g.adds_terms = terms;
    g.drops = drops;
    return rcd_size_first(s) || rcd_growth_exceeds(&s->size->limit, &g);
}

uint64_t rcd_size_allowance(const rcd_state_t *s)
{
    return rcd_growth_allowance(&s->size->limit, s->size->baseline);
}

void rcd_size_widened(rcd_state_t *s)
{
    s->size->widened++;
}

int rcd_size_approved(rcd_state_t *s, int64_t now)
{
    struct rcd_size_s *g = s->size;

    g->approved_at = now;
    g->approved_size = g->baseline = g->hour_size = g->size;
    g->widened = g->widened_before = 0;
    g->hour = 0;
    return rcd_sql_step(s, g->stmt[ST_HOURS_CLEAR]);
}

static int put_hour(rcd_state_t *s, int64_t hour, uint64_t widened)
{
    sqlite3_stmt *q = s->size->stmt[ST_HOUR_PUT];

    rcd_sql_int(q, 1, hour);
    rcd_sql_int(q, 2, (int64_t) s->size->size);
    rcd_sql_int(q, 3, (int64_t) widened);
    return rcd_sql_step(s, q);
}

/* Rows older than the one that tells the size 7 days ago are of no use. */
static int trim_hours(rcd_state_t *s, int64_t hour)
{
    sqlite3_stmt *q = s->size->stmt[ST_HOUR_AT];
    int64_t oldest;
    int rc;

    rcd_sql_int(q, 1, hour - WINDOW_SEC / HOUR_SEC);
    rc = rcd_sql_step(s, q);
    if (rc <= 0) {
        return rc;
    }
    oldest = rcd_sql_col(q, 0);
    rcd_sql_done(q);
    rcd_sql_int(s->size->stmt[ST_HOURS_TRIM], 1, oldest);
    return rcd_sql_step(s, s->size->stmt[ST_HOURS_TRIM]);
}

static int shrink_alarm(rcd_state_t *s, int64_t at)
{
    struct rcd_size_s *g = s->size;
    cJSON *fields = cJSON_CreateObject();

    cJSON_AddNumberToObject(fields, "from", (double) g->hour_size);
    cJSON_AddNumberToObject(fields, "to", (double) g->size);
    rcd_log(RCD_LOG_ERROR, "the list shrank from %" PRIu64 " to %" PRIu64 " orders within the "
            "hour; it is applied, ask the office whether it meant it", g->hour_size, g->size);
    g->shrunk_at = at;
    g->shrunk_from = g->hour_size;
    g->shrunk_to = g->size;
    return rcd_audit(s, "growth.shrink", fields);
}

static int tick(rcd_state_t *s, int64_t at, int shrank)
{
    struct rcd_size_s *g = s->size;
    int64_t hour = at / HOUR_SEC > g->hour ? at / HOUR_SEC : g->hour;
    uint64_t widened = g->widened;

    if (shrank && shrink_alarm(s, at) < 0) {
        return -1;
    }
    g->widened = 0;
    return put_hour(s, hour, widened) < 0 || trim_hours(s, hour) < 0 || rcd_size_save(s) < 0 ? -1
                                                                                             : 0;
}

int rcd_size_tick(rcd_state_t *s, int64_t at)
{
    struct rcd_size_s *g = s->size;
    int shrank;

    if (g->hour_size < g->size) {
        g->hour_size = g->size;
    }
    shrank = rcd_growth_shrank(&g->limit, g->hour_size, g->size);
    if (!shrank && at / HOUR_SEC <= g->hour) {
        return 0;
    }
    if (rcd_store_begin(s, 0) < 0) {
        return -1;
    }
    if (tick(s, at, shrank) < 0 || rcd_store_commit(s) < 0) {
        rcd_store_rollback(s);
        return -1;
    }
    return rcd_size_load(s);
}

void rcd_size_status(const rcd_state_t *s, rcd_size_status_t *out)
{
    const struct rcd_size_s *g = s->size;

    *out = (rcd_size_status_t){
        .size = g->size, .baseline = g->baseline, .allowance = rcd_size_allowance(s),
        .widened = g->widened_before + g->widened, .approved_at = g->approved_at,
        .shrunk_at = g->shrunk_at, .shrunk_from = g->shrunk_from, .shrunk_to = g->shrunk_to,
    };
}
