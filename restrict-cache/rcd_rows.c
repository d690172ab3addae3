/*
 * rcd_rows - rows of the journal in and out: orders, relief, outbox, grounds, tokens, quarantine.
 */
#include <stdio.h>
#include <string.h>
#include "rcd_reach.h"
#include "rcd_objection.h"
#include "rcd_size.h"
#include "rcd_sql.h"

/* ---- orders ---------------------------------------------------------------------------------- */

static void read_row(sqlite3_stmt *q, rcd_row_t *row)
{
    rcd_sql_col_text(q, 0, row->number, sizeof(row->number));
    rcd_sql_col_blob(q, 1, row->digest, sizeof(row->digest));
    row->measures = (uint16_t) rcd_sql_col(q, 2);
    row->flags = (unsigned) rcd_sql_col(q, 3);
    row->served = rcd_sql_col(q, 4);
    row->start = rcd_sql_col(q, 5);
    row->until = rcd_sql_col(q, 6);
    row->first_from = rcd_sql_col(q, 7);
    row->deadline_day = (uint32_t) rcd_sql_col(q, 8);
    rcd_sql_col_blob(q, 9, row->grounds, sizeof(row->grounds));
    row->imported = (int) rcd_sql_col(q, 10);
    row->ended = (rcd_end_t) rcd_sql_col(q, 11);
    row->ended_at = rcd_sql_col(q, 12);
}

/* Reads at most `max` rows of a bound query. */
static int read_rows(rcd_state_t *s, sqlite3_stmt *q, rcd_row_t *rows, unsigned max)
{
    unsigned n = 0;
    int rc;

    while ((rc = rcd_sql_step(s, q)) > 0) {
        if (n < max) {
            read_row(q, &rows[n++]);
        }
    }
    return rc < 0 ? -1 : (int) n;
}

int rcd_store_order(rcd_state_t *s, const char *number, rcd_row_t *row)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_ORDER];
    int rc;

    rcd_sql_text(q, 1, number);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        read_row(q, row);
        rcd_sql_done(q);
    }
    return rc;
}

int rcd_store_order_put(rcd_state_t *s, const rcd_row_t *row)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_ORDER_PUT];
    rcd_row_t old;
    int had = rcd_store_order(s, row->number, &old);

    if (had < 0) {
        return -1;
    }
    rcd_sql_text(q, 1, row->number);
    rcd_sql_blob(q, 2, row->digest, sizeof(row->digest));
    rcd_sql_int(q, 3, row->measures);
    rcd_sql_int(q, 4, row->flags);
    rcd_sql_int(q, 5, row->served);
    rcd_sql_int(q, 6, row->start);
    rcd_sql_int(q, 7, row->until);
    rcd_sql_int(q, 8, row->first_from);
    rcd_sql_int(q, 9, row->deadline_day);
    rcd_sql_blob(q, 10, row->grounds, sizeof(row->grounds));
    rcd_sql_int(q, 11, row->imported);
    rcd_sql_int(q, 12, row->ended);
    rcd_sql_int(q, 13, row->ended_at);
    if (rcd_sql_step(s, q) < 0) {
        return -1;
    }
    rcd_size_count(s, had ? &old : NULL, row);
    if (had && old.ended == RCD_END_NONE) {
        s->live--;
        if (rcd_store_touch(s, old.digest) < 0) {
            return -1;
        }
    }
    if (row->ended == RCD_END_NONE) {
        s->live++;
    }
    return rcd_store_touch(s, row->digest);
}

int rcd_store_order_end(rcd_state_t *s, const rcd_row_t *row, rcd_end_t why, int64_t at)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_ORDER_END];

    if (row->ended != RCD_END_NONE) {
        return 0;
    }
    rcd_sql_text(q, 1, row->number);
    rcd_sql_int(q, 2, why);
    rcd_sql_int(q, 3, at);
    if (rcd_sql_step(s, q) < 0) {
        return -1;
    }
    s->live--;
    rcd_size_count(s, row, NULL);
    return rcd_objection_over(s, row->number, why, at) < 0 ? -1 : rcd_store_touch(s, row->digest);
}

int rcd_store_live(rcd_state_t *s, const uint8_t digest[JD_DIGEST_LEN], rcd_row_t *rows,
                   unsigned max)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_LIVE];

    rcd_sql_blob(q, 1, digest, JD_DIGEST_LEN);
    rcd_sql_int(q, 2, max);
    return read_rows(s, q, rows, max);
}

/* The digest of the row after `after`, of a query bound by one digest. */
static int next_digest(rcd_state_t *s, int st, const uint8_t *after, uint8_t *digest)
{
    sqlite3_stmt *q = s->stmt[st];
    int rc;

    rcd_sql_blob(q, 1, after != NULL ? (const void *) after : "",
                 after != NULL ? JD_DIGEST_LEN : 0);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        rcd_sql_col_blob(q, 0, digest, JD_DIGEST_LEN);
        rcd_sql_done(q);
    }
    return rc;
}

int rcd_store_next_live(rcd_state_t *s, const uint8_t *after, uint8_t digest[JD_DIGEST_LEN])
{
    return next_digest(s, RCD_ST_NEXT_LIVE, after, digest);
}

int rcd_store_past(rcd_state_t *s, int64_t at, rcd_row_t *rows, unsigned max)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_PAST];

    rcd_sql_int(q, 1, at);
    rcd_sql_int(q, 2, max);
    return read_rows(s, q, rows, max);
}

/* ---- relief ---------------------------------------------------------------------------------- */

/* Columns from `at`: lifted, objection, mark_epoch, mark_seq, held, stay. */
static void read_relief(sqlite3_stmt *q, int at, rcd_relief_row_t *r)
{
    r->r.lifted = (uint16_t) rcd_sql_col(q, at);
    r->r.objection = (uint8_t) rcd_sql_col(q, at + 1);
    r->mark_epoch = (uint32_t) rcd_sql_col(q, at + 2);
    r->mark_seq = (uint64_t) rcd_sql_col(q, at + 3);
    r->held = (uint8_t) rcd_sql_col(q, at + 4);
    r->r.stay = rcd_sql_col(q, at + 5);
}

int rcd_store_relief(rcd_state_t *s, const char *number, rcd_relief_row_t *r)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_RELIEF];
    int rc;

    memset(r, 0, sizeof(*r));
    rcd_sql_text(q, 1, number);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        read_relief(q, 0, r);
        rcd_sql_done(q);
    }
    return rc;
}

int rcd_store_relief_put(rcd_state_t *s, const char *number, const rcd_relief_row_t *r, int64_t at)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_RELIEF_PUT];

    rcd_sql_text(q, 1, number);
    rcd_sql_int(q, 2, r->r.lifted);
    rcd_sql_int(q, 3, r->r.objection);
    rcd_sql_int(q, 4, r->mark_epoch);
    rcd_sql_int(q, 5, (int64_t) r->mark_seq);
    rcd_sql_int(q, 6, at);
    return rcd_sql_step(s, q) < 0 ? -1 : rcd_objection_sync(s, number, at);
}

static int put_own(rcd_state_t *s, int st, const char *number, int64_t at, int64_t value)
{
    sqlite3_stmt *q = s->stmt[st];

    rcd_sql_text(q, 1, number);
    rcd_sql_int(q, 2, at);
    rcd_sql_int(q, 3, value);
    return rcd_sql_step(s, q);
}

int rcd_store_relief_stay(rcd_state_t *s, const char *number, int64_t stay, int64_t at)
{
    return put_own(s, RCD_ST_RELIEF_STAY, number, at, stay);
}

int rcd_store_relief_hold(rcd_state_t *s, const char *number, int held, int64_t at)
{
    return put_own(s, RCD_ST_RELIEF_HOLD, number, at, held);
}

int rcd_store_relief_next(rcd_state_t *s, const char *after, int pending_only,
                          char number[JD_ORDER_NUMBER_MAX + 1], rcd_relief_row_t *r)
{
    sqlite3_stmt *q = s->stmt[pending_only ? RCD_ST_RELIEF_PENDING : RCD_ST_RELIEF_NEXT];
    int rc;

    rcd_sql_text(q, 1, after);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        rcd_sql_col_text(q, 0, number, JD_ORDER_NUMBER_MAX + 1);
        read_relief(q, 1, r);
        rcd_sql_done(q);
    }
    return rc;
}

int rcd_store_relief_sent(rcd_state_t *s, const char *number)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_RELIEF_SENT];

    rcd_sql_text(q, 1, number);
    return rcd_sql_step(s, q);
}

/* ---- outbox and grounds ---------------------------------------------------------------------- */

/* Runs a statement whose only argument is a digest. */
static int with_digest(rcd_state_t *s, int st, const uint8_t digest[JD_DIGEST_LEN])
{
    sqlite3_stmt *q = s->stmt[st];

    rcd_sql_blob(q, 1, digest, JD_DIGEST_LEN);
    return rcd_sql_step(s, q);
}

int rcd_store_dirty(rcd_state_t *s, const uint8_t digest[JD_DIGEST_LEN])
{
    return with_digest(s, RCD_ST_DIRTY, digest);
}

int rcd_store_touch(rcd_state_t *s, const uint8_t subject[JD_DIGEST_LEN])
{
    return rcd_store_dirty(s, subject) < 0 ? -1 : rcd_reach_touch(s, subject);
}

int rcd_store_dirty_next(rcd_state_t *s, const uint8_t *after, uint8_t digest[JD_DIGEST_LEN])
{
    return next_digest(s, RCD_ST_DIRTY_NEXT, after, digest);
}

int rcd_store_dirty_clean(rcd_state_t *s, const uint8_t digest[JD_DIGEST_LEN])
{
    return with_digest(s, RCD_ST_DIRTY_CLEAN, digest);
}

int rcd_store_dirty_clear(rcd_state_t *s)
{
    return rcd_sql_step(s, s->stmt[RCD_ST_DIRTY_CLEAR]);
}

int rcd_store_pending(rcd_state_t *s, uint64_t *dirty, uint64_t *relief)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_PENDING];
    int rc = rcd_sql_step(s, q);

    if (rc > 0) {
        *dirty = (uint64_t) rcd_sql_col(q, 0);
        *relief = (uint64_t) rcd_sql_col(q, 1);
        rcd_sql_done(q);
    }
    return rc > 0 ? 0 : -1;
}

int rcd_store_grounds_put(rcd_state_t *s, const rcd_order_t *o)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_GROUNDS_PUT];

    rcd_sql_blob(q, 1, o->grounds_id, sizeof(o->grounds_id));
    rcd_sql_blob(q, 2, o->grounds, o->grounds_len);
    return rcd_sql_step(s, q) < 0 ? -1 : sqlite3_changes(s->db) > 0;
}

/* Reads the one value of a bound query; 0 when there is none. */
static int read_grounds(rcd_state_t *s, sqlite3_stmt *q, uint8_t *value, size_t *len)
{
    int rc = rcd_sql_step(s, q);

    if (rc > 0) {
        *len = (size_t) sqlite3_column_bytes(q, 0);
        *len = *len <= JD_GROUNDS_MAX ? *len : 0;
        if (*len > 0) {
            memcpy(value, sqlite3_column_blob(q, 0), *len);
        }
        rcd_sql_done(q);
    }
    return rc;
}

int rcd_store_grounds_unsent(rcd_state_t *s, const uint8_t id[JD_GROUNDS_ID_LEN], uint64_t fill,
                             uint8_t *value, size_t *len)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_GROUNDS_UNSENT];

    rcd_sql_blob(q, 1, id, JD_GROUNDS_ID_LEN);
    rcd_sql_int(q, 2, (int64_t) fill);
    return read_grounds(s, q, value, len);
}

int rcd_store_grounds_sent(rcd_state_t *s, const uint8_t id[JD_GROUNDS_ID_LEN], uint64_t fill)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_GROUNDS_SENT];

    rcd_sql_blob(q, 1, id, JD_GROUNDS_ID_LEN);
    rcd_sql_int(q, 2, (int64_t) fill);
    return rcd_sql_step(s, q);
}

int rcd_state_grounds(rcd_state_t *s, const uint8_t id[JD_GROUNDS_ID_LEN], uint8_t *out)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_GROUNDS];
    size_t len = 0;

    rcd_sql_blob(q, 1, id, JD_GROUNDS_ID_LEN);
    return read_grounds(s, q, out, &len) < 0 ? -1 : (int) len;
}

/* ---- tokens and quarantine ------------------------------------------------------------------- */

int rcd_store_token(rcd_state_t *s, rcd_lane_t lane, const rcd_event_t *ev, rcd_seen_t *seen)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_TOKEN];
    char jti[sizeof(ev->jti)];
    uint8_t hash[sizeof(ev->payload_hash)];
    int rc;

    rcd_sql_int(q, 1, lane);
    rcd_sql_int(q, 2, ev->epoch);
    rcd_sql_int(q, 3, (int64_t) ev->seq);
    rc = rcd_sql_step(s, q);
    *seen = RCD_SEEN_NOT;
    if (rc > 0) {
        rcd_sql_col_text(q, 0, jti, sizeof(jti));
        rcd_sql_col_blob(q, 1, hash, sizeof(hash));
        rcd_sql_done(q);
        *seen = strcmp(jti, ev->jti) == 0 && memcmp(hash, ev->payload_hash, sizeof(hash)) == 0
                    ? RCD_SEEN_SAME : RCD_SEEN_OTHER;
    }
    return rc < 0 ? -1 : 0;
}

int rcd_store_token_put(rcd_state_t *s, rcd_lane_t lane, const rcd_event_t *ev)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_TOKEN_PUT];

    rcd_sql_int(q, 1, lane);
    rcd_sql_int(q, 2, ev->epoch);
    rcd_sql_int(q, 3, (int64_t) ev->seq);
    rcd_sql_text(q, 4, ev->jti);
    rcd_sql_blob(q, 5, ev->payload_hash, sizeof(ev->payload_hash));
    return rcd_sql_step(s, q);
}

int rcd_store_token_at(rcd_state_t *s, rcd_lane_t lane, uint32_t epoch, uint64_t seq)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_TOKEN];
    int rc;

    rcd_sql_int(q, 1, lane);
    rcd_sql_int(q, 2, epoch);
    rcd_sql_int(q, 3, (int64_t) seq);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        rcd_sql_done(q);
    }
    return rc;
}

int rcd_store_token_top(rcd_state_t *s, rcd_lane_t lane, uint32_t epoch, uint64_t *seq)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_TOKEN_TOP];
    int rc;

    rcd_sql_int(q, 1, lane);
    rcd_sql_int(q, 2, epoch);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        *seq = (uint64_t) rcd_sql_col(q, 0);
        rcd_sql_done(q);
    }
    return rc > 0 ? 0 : -1;
}

int rcd_store_tokens_trim(rcd_state_t *s, rcd_lane_t lane, uint32_t epoch, uint64_t position)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_TOKENS_TRIM];

    rcd_sql_int(q, 1, lane);
    rcd_sql_int(q, 2, epoch);
    rcd_sql_int(q, 3, position > RCD_TOKENS_KEPT ? (int64_t) (position - RCD_TOKENS_KEPT) : 0);
    return rcd_sql_step(s, q);
}

int rcd_store_quarantine(rcd_state_t *s, const char *number, rcd_quarantine_t code,
                         const char *why, int64_t at)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_QUARANTINE];

    rcd_sql_text(q, 1, number);
    rcd_sql_int(q, 2, code);
    rcd_sql_text(q, 3, why);
    rcd_sql_int(q, 4, at);
    return rcd_sql_step(s, q) < 0 ? -1 : sqlite3_changes(s->db) > 0;
}

int rcd_store_quarantine_clear(rcd_state_t *s, const char *number)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_QUARANTINE_CLEAR];

    rcd_sql_text(q, 1, number);
    rcd_sql_int(q, 2, RCD_Q_TWO_HOLDERS);
    return rcd_sql_step(s, q);
}

int rcd_quarantine_next(rcd_state_t *s, int64_t *id, rcd_result_t *out)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_QUARANTINE_NEXT];
    int rc = rcd_sql_step(s, q);

    if (rc > 0) {
        *id = rcd_sql_col(q, 0);
        out->outcome = RCD_ACK_QUARANTINED;
        rcd_sql_col_text(q, 1, out->number, sizeof(out->number));
        out->code = (rcd_quarantine_t) rcd_sql_col(q, 2);
        rcd_sql_col_text(q, 3, out->why, sizeof(out->why));
        rcd_sql_done(q);
    }
    return rc;
}

int rcd_quarantine_reported(rcd_state_t *s, int64_t id)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_QUARANTINE_REPORTED];

    rcd_sql_int(q, 1, id);
    return rcd_sql_step(s, q);
}

/* ---- reading for rcctl and status ------------------------------------------------------------ */

int rcd_state_quarantine(rcd_state_t *s,
                         int (*each)(void *arg, const rcd_result_t *q, int64_t at, int reported),
                         void *arg)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_QUARANTINE_ALL];
    rcd_result_t r = {.outcome = RCD_ACK_QUARANTINED};
    int rc;

    while ((rc = rcd_sql_step(s, q)) > 0) {
        rcd_sql_col_text(q, 0, r.number, sizeof(r.number));
        r.code = (rcd_quarantine_t) rcd_sql_col(q, 1);
        rcd_sql_col_text(q, 2, r.why, sizeof(r.why));
        if (each(arg, &r, rcd_sql_col(q, 3), (int) rcd_sql_col(q, 4)) != 0) {
            rcd_sql_done(q);
            return 0;
        }
    }
    return rc;
}

int rcd_state_counts(rcd_state_t *s, rcd_counts_t *out)
{
    sqlite3_stmt *q = s->stmt[RCD_ST_COUNTS];
    int rc = rcd_sql_step(s, q);

    if (rc > 0) {
        *out = (rcd_counts_t){.live = s->live, .relief = (uint64_t) rcd_sql_col(q, 0),
                              .quarantined = (uint64_t) rcd_sql_col(q, 1),
                              .unreported = (uint64_t) rcd_sql_col(q, 2)};
        rcd_sql_done(q);
    }
    return rc > 0 ? 0 : -1;
}

int rcd_state_orders(rcd_state_t *s, const uint8_t *digest,
                     int (*each)(void *arg, const rcd_row_t *row, const jd_relief_t *relief),
                     void *arg)
{
    sqlite3_stmt *q = s->stmt[digest != NULL ? RCD_ST_OF_DIGEST : RCD_ST_ALL];
    rcd_relief_row_t relief;
    rcd_row_t row;
    int rc;

    if (digest != NULL) {
        rcd_sql_blob(q, 1, digest, JD_DIGEST_LEN);
    }
    while ((rc = rcd_sql_step(s, q)) > 0) {
        read_row(q, &row);
        if (rcd_store_relief(s, row.number, &relief) < 0) {
            rcd_sql_done(q);
            return -1;
        }
        relief.r.objection |= relief.held;
        if (each(arg, &row, &relief.r) != 0) {
            rcd_sql_done(q);
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
    relief->objection |= r.held;
    return rcd_store_order(s, number, row);
}
