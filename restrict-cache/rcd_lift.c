/*
 * rcd_lift - lifts in the journal, and time-to-lift.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_lift.h"
#include "rcd_sql.h"

#define STREAM_N_BITS  20                  /* entries of one millisecond told apart */

/* stream: packed id in jd:{L}:lifts (rcd_lift_stream); redis_ms, first_ms, last_ms 0 = not yet. */
const char rcd_lift_schema[] =
    "CREATE TABLE lifts(id INTEGER PRIMARY KEY AUTOINCREMENT, number TEXT NOT NULL,"
    " measures INTEGER NOT NULL, toe INTEGER NOT NULL, iat INTEGER NOT NULL,"
    " applied_ms INTEGER NOT NULL, redis_ms INTEGER NOT NULL DEFAULT 0,"
    " stream INTEGER NOT NULL DEFAULT 0, gates INTEGER NOT NULL DEFAULT 0,"
    " first_ms INTEGER NOT NULL DEFAULT 0, last_ms INTEGER NOT NULL DEFAULT 0,"
    " reported INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE INDEX lifts_number ON lifts(number);"
    "CREATE INDEX lifts_unsent ON lifts(number) WHERE redis_ms = 0;"
    "CREATE INDEX lifts_stream ON lifts(stream) WHERE redis_ms <> 0;"
    "CREATE INDEX lifts_applied ON lifts(applied_ms);"
    "CREATE INDEX lifts_unreported ON lifts(id) WHERE gates > reported;"
    "CREATE TABLE gates(gateway TEXT PRIMARY KEY, stream INTEGER NOT NULL, ms INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID;";

enum { ST_PUT, ST_UNSENT, ST_SENT, ST_GATE, ST_GATE_PUT, ST_SEEN, ST_SEEN_NEW, ST_UNREPORTED,
       ST_REPORTED, ST_SINCE, ST_GATES, ST_COURSE, ST_N };

static const char *const sql[ST_N] = {
    [ST_PUT] = "INSERT INTO lifts(number, measures, toe, iat, applied_ms) VALUES(?, ?, ?, ?, ?)",
    [ST_UNSENT] = "SELECT toe, iat, applied_ms FROM lifts WHERE number = ? AND redis_ms = 0"
                  " ORDER BY id LIMIT 1",
    /* a gateway may have been there before Redis's answer was */
    [ST_SENT] = "UPDATE lifts SET redis_ms = ?3, stream = ?2,"
                " gates = (SELECT count(*) FROM gates WHERE gates.stream >= ?2),"
                " first_ms = ?3 * EXISTS(SELECT 1 FROM gates WHERE gates.stream >= ?2),"
                " last_ms = ?3 * EXISTS(SELECT 1 FROM gates WHERE gates.stream >= ?2)"
                " WHERE number = ?1 AND redis_ms = 0",
    [ST_GATE] = "SELECT stream FROM gates WHERE gateway = ?",
    [ST_GATE_PUT] = "INSERT OR REPLACE INTO gates VALUES(?, ?, ?)",
    [ST_SEEN] = "UPDATE lifts SET gates = gates + 1, last_ms = max(last_ms, ?3),"
                " first_ms = CASE WHEN first_ms = 0 THEN ?3 ELSE min(first_ms, ?3) END"
                " WHERE redis_ms <> 0 AND stream > ?1 AND stream <= ?2",
    /* a gateway met for the first time began with what was lifted before: it tells nothing of how
     * long that took */
    [ST_SEEN_NEW] = "UPDATE lifts SET gates = gates + 1,"
                    " first_ms = CASE WHEN first_ms = 0 THEN ?3 ELSE first_ms END,"
                    " last_ms = CASE WHEN last_ms = 0 THEN ?3 ELSE last_ms END"
                    " WHERE redis_ms <> 0 AND stream > ?1 AND stream <= ?2",
    [ST_UNREPORTED] = "SELECT id, number, applied_ms / 1000, gates FROM lifts"
                      " WHERE gates > reported AND id > ? ORDER BY id LIMIT 1",
    [ST_REPORTED] = "UPDATE lifts SET reported = max(reported, ?2) WHERE id = ?1",
    [ST_SINCE] = "SELECT toe, iat, applied_ms, redis_ms, first_ms, last_ms FROM lifts"
                 " WHERE applied_ms >= ?",
    [ST_GATES] = "SELECT count(*) FROM gates",
    [ST_COURSE] = "SELECT applied_ms, redis_ms, first_ms, last_ms, gates FROM lifts WHERE number = ?"
                  " ORDER BY id LIMIT 1",
};

struct rcd_lift_s {
    sqlite3_stmt *stmt[ST_N];
};

int rcd_lift_open(rcd_state_t *s)
{
    s->lift = calloc(1, sizeof(*s->lift));
    if (s->lift == NULL) {
        snprintf(s->fault, sizeof(s->fault), "out of memory");
        return -1;
    }
    return rcd_sql_prepare(s, s->lift->stmt, sql, ST_N);
}

void rcd_lift_close(rcd_state_t *s)
{
    if (s->lift != NULL) {
        rcd_sql_finalize(s->lift->stmt, ST_N);
    }
    free(s->lift);
    s->lift = NULL;
}

/* ---- a lift on its way ----------------------------------------------------------------------- */

int rcd_lift_put(rcd_state_t *s, const rcd_event_t *ev, uint16_t measures, int64_t applied_ms)
{
    sqlite3_stmt *q = s->lift->stmt[ST_PUT];

    rcd_sql_text(q, 1, ev->number);
    rcd_sql_int(q, 2, measures);
    rcd_sql_int(q, 3, ev->toe);
    rcd_sql_int(q, 4, ev->iat);
    rcd_sql_int(q, 5, applied_ms);
    return rcd_sql_step(s, q);
}

int rcd_lift_unsent(rcd_state_t *s, const char *number, int64_t *toe, int64_t *iat,
                    int64_t *applied_ms)
{
    sqlite3_stmt *q = s->lift->stmt[ST_UNSENT];
    int rc;

    rcd_sql_text(q, 1, number);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        *toe = rcd_sql_col(q, 0);
        *iat = rcd_sql_col(q, 1);
        *applied_ms = rcd_sql_col(q, 2);
        rcd_sql_done(q);
    }
    return rc;
}

int rcd_lift_course(rcd_state_t *s, const char *number, rcd_lift_course_t *out)
{
    sqlite3_stmt *q = s->lift->stmt[ST_COURSE];
    int rc;

    rcd_sql_text(q, 1, number);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        *out = (rcd_lift_course_t){rcd_sql_col(q, 0), rcd_sql_col(q, 1), rcd_sql_col(q, 2),
                                   rcd_sql_col(q, 3), (unsigned) rcd_sql_col(q, 4)};
        rcd_sql_done(q);
    }
    return rc;
}

int rcd_lift_sent(rcd_state_t *s, const char *number, uint64_t stream, int64_t redis_ms)
{
    sqlite3_stmt *q = s->lift->stmt[ST_SENT];

    rcd_sql_text(q, 1, number);
    rcd_sql_int(q, 2, (int64_t) stream);
    rcd_sql_int(q, 3, redis_ms);
    return rcd_sql_step(s, q);
}

/* Decimal digits of text[*at] onwards, at most 14; moves *at. */
static int read_digits(const char *text, size_t len, size_t *at, uint64_t *v)
{
    size_t begin = *at;

    *v = 0;
    while (*at < len && *at < begin + 14 && text[*at] >= '0' && text[*at] <= '9') {
        *v = *v * 10 + (uint64_t) (text[(*at)++] - '0');
    }
    return *at > begin ? 0 : -1;
}

int rcd_lift_stream(const char *text, size_t len, uint64_t *packed)
{
    const uint64_t n_max = (UINT64_C(1) << STREAM_N_BITS) - 1;
    uint64_t ms, n;
    size_t at = 0;

    if (read_digits(text, len, &at, &ms) != 0 || at == len || text[at++] != '-' ||
        read_digits(text, len, &at, &n) != 0 || at != len || ms >> (63 - STREAM_N_BITS) != 0) {
        return -1;
    }
    *packed = ms << STREAM_N_BITS | (n < n_max ? n : n_max);
    return 0;
}

int rcd_lift_seen(rcd_state_t *s, const char *name, uint64_t stream, int64_t ms)
{
    sqlite3_stmt *q = s->lift->stmt[ST_GATE];
    int64_t before = -1;
    int rc;

    rcd_sql_text(q, 1, name);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        before = rcd_sql_col(q, 0);
        rcd_sql_done(q);
    }
    if (rc < 0 || (rc > 0 && before >= (int64_t) stream)) {
        return rc < 0 ? -1 : 0;
    }

    q = s->lift->stmt[rc > 0 ? ST_SEEN : ST_SEEN_NEW];
    rcd_sql_int(q, 1, before);
    rcd_sql_int(q, 2, (int64_t) stream);
    rcd_sql_int(q, 3, ms);
    if (rcd_sql_step(s, q) < 0) {
        return -1;
    }
    q = s->lift->stmt[ST_GATE_PUT];
    rcd_sql_text(q, 1, name);
    rcd_sql_int(q, 2, (int64_t) stream);
    rcd_sql_int(q, 3, ms);
    return rcd_sql_step(s, q);
}

/* ---- for reports, status and rcctl ----------------------------------------------------------- */

int rcd_lift_effects_unreported(rcd_state_t *s, int64_t after, rcd_lift_effect_t *out)
{
    sqlite3_stmt *q = s->lift->stmt[ST_UNREPORTED];
    int rc;

    rcd_sql_int(q, 1, after);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        out->id = rcd_sql_col(q, 0);
        rcd_sql_col_text(q, 1, out->number, sizeof(out->number));
        out->applied = rcd_sql_col(q, 2);
        out->gates = (unsigned) rcd_sql_col(q, 3);
        rcd_sql_done(q);
    }
    return rc;
}

int rcd_lift_effects_reported(rcd_state_t *s, int64_t id, unsigned gates)
{
    sqlite3_stmt *q = s->lift->stmt[ST_REPORTED];

    rcd_sql_int(q, 1, id);
    rcd_sql_int(q, 2, gates);
    return rcd_sql_step(s, q);
}

/* The spans of one kind, gathered to be sorted. */
typedef struct {
    int64_t *ms;
    size_t   n, size;
} spans_t;

/* Clocks of office and gateways may differ: a span is never below 0. */
static int add(spans_t *sp, int64_t from_ms, int64_t to_ms)
{
    if (from_ms <= 0 || to_ms <= 0) {
        return 0;
    }
    if (sp->n == sp->size) {
        size_t size = sp->size ? 2 * sp->size : 256;
        int64_t *grown = realloc(sp->ms, size * sizeof(*grown));

        if (grown == NULL) {
            return -1;
        }
        sp->ms = grown;
        sp->size = size;
    }
    sp->ms[sp->n++] = to_ms > from_ms ? to_ms - from_ms : 0;
    return 0;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

    return x < y ? -1 : x > y;
}

/* Nearest rank. */
static rcd_lift_span_t span_of(spans_t *sp)
{
    rcd_lift_span_t out = {.n = sp->n};

    if (sp->n > 0) {
        qsort(sp->ms, sp->n, sizeof(*sp->ms), compare);
        out.p50 = sp->ms[(sp->n * 50 + 99) / 100 - 1];
        out.p99 = sp->ms[(sp->n * 99 + 99) / 100 - 1];
    }
    free(sp->ms);
    return out;
}

enum { SPAN_REDIS, SPAN_TOE, SPAN_IAT, SPAN_APPLY, SPAN_LAST, SPAN_N };

/* Reads one row: 0 or -1 without memory. */
static int take_row(sqlite3_stmt *q, rcd_lift_times_t *out, spans_t sp[SPAN_N])
{
    int64_t toe = rcd_sql_col(q, 0) * 1000, iat = rcd_sql_col(q, 1) * 1000;
    int64_t applied = rcd_sql_col(q, 2), redis = rcd_sql_col(q, 3), first = rcd_sql_col(q, 4);

    out->lifts++;
    out->unwritten += redis == 0;
    out->effective += first != 0;
    return add(&sp[SPAN_REDIS], applied, redis) < 0 || add(&sp[SPAN_TOE], toe, first) < 0 ||
                   add(&sp[SPAN_IAT], iat, first) < 0 || add(&sp[SPAN_APPLY], applied, first) < 0 ||
                   add(&sp[SPAN_LAST], applied, rcd_sql_col(q, 5)) < 0 ? -1 : 0;
}

int rcd_lift_times(rcd_state_t *s, int64_t since_ms, rcd_lift_times_t *out)
{
    sqlite3_stmt *q = s->lift->stmt[ST_SINCE];
    spans_t sp[SPAN_N] = {0};
    int rc, failed = 0;

    memset(out, 0, sizeof(*out));
    rcd_sql_int(q, 1, since_ms);
    while (!failed && (rc = rcd_sql_step(s, q)) > 0) {
        failed = take_row(q, out, sp) < 0;
    }
    if (failed) {
        snprintf(s->fault, sizeof(s->fault), "out of memory");
        rcd_sql_done(q);
    }
    out->redis = span_of(&sp[SPAN_REDIS]);
    out->toe = span_of(&sp[SPAN_TOE]);
    out->iat = span_of(&sp[SPAN_IAT]);
    out->apply = span_of(&sp[SPAN_APPLY]);
    out->last = span_of(&sp[SPAN_LAST]);
    if (failed || rc < 0) {
        return -1;
    }
    q = s->lift->stmt[ST_GATES];
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        out->gateways = (uint64_t) rcd_sql_col(q, 0);
        rcd_sql_done(q);
    }
    return rc > 0 ? 0 : -1;
}
