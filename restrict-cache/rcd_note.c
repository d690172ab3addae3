/*
 * rcd_note - what there is to say about a card: two holders at once, too many orders, a record that
 * changes by itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_audit_order.h"
#include "rcd_note.h"
#include "rcd_sql.h"

#define WAKE_ROWS  256                    /* cards of one tick */

/* two_holders: the orders that a card's two holders keep from it. */
const char rcd_note_schema[] =
    "CREATE TABLE card_notes(card BLOB PRIMARY KEY, dropped INTEGER NOT NULL, wake INTEGER NOT NULL,"
    " two INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX card_notes_wake ON card_notes(wake) WHERE wake > 0;"
    "CREATE TABLE two_holders(card BLOB, number TEXT, PRIMARY KEY(card, number))"
    " STRICT, WITHOUT ROWID;"
    "CREATE INDEX two_holders_number ON two_holders(number);";

enum {
    ST_NOTE, ST_NOTE_PUT, ST_NOTE_DROP, ST_WAKE, ST_WAKE_CLEAR, ST_TWO_OF, ST_TWO_PUT, ST_TWO_DROP,
    ST_TWO_LEFT, ST_TWO_RELEASE, ST_TWO_HELD, ST_COUNTS, ST_N
};

static const char *const sql[ST_N] = {
    [ST_NOTE] = "SELECT dropped, wake, two FROM card_notes WHERE card = ?",
    [ST_NOTE_PUT] = "INSERT OR REPLACE INTO card_notes VALUES(?, ?, ?, ?)",
    [ST_NOTE_DROP] = "DELETE FROM card_notes WHERE card = ?",
    [ST_WAKE] = "SELECT card FROM card_notes WHERE wake > 0 AND wake <= ? LIMIT ?",
    [ST_WAKE_CLEAR] = "UPDATE card_notes SET wake = 0 WHERE card = ?",
    [ST_TWO_OF] = "SELECT number FROM two_holders WHERE card = ? LIMIT 1",
    [ST_TWO_PUT] = "INSERT OR IGNORE INTO two_holders VALUES(?, ?)",
    [ST_TWO_DROP] = "DELETE FROM two_holders WHERE card = ? AND number = ?",
    [ST_TWO_LEFT] = "SELECT 1 FROM two_holders WHERE number = ? LIMIT 1",
    [ST_TWO_RELEASE] = "DELETE FROM quarantine WHERE number = ? AND code = ?",
    [ST_TWO_HELD] = "SELECT 1 FROM quarantine WHERE number = ? AND code = ?",
    [ST_COUNTS] =
        "SELECT (SELECT count(*) FROM card_notes WHERE two > 0),"
        " (SELECT count(*) FROM card_notes WHERE dropped > 0),"
        " (SELECT coalesce(sum(dropped), 0) FROM card_notes)",
};

struct rcd_notes_s {
    sqlite3_stmt *stmt[ST_N];
};

int rcd_note_open(rcd_state_t *s)
{
    s->note = calloc(1, sizeof(*s->note));
    if (s->note == NULL) {
        snprintf(s->fault, sizeof(s->fault), "out of memory");
        return -1;
    }
    return rcd_sql_prepare(s, s->note->stmt, sql, ST_N);
}

void rcd_note_close(rcd_state_t *s)
{
    if (s->note == NULL) {
        return;
    }
    rcd_sql_finalize(s->note->stmt, ST_N);
    free(s->note);
    s->note = NULL;
}

static int with_card(rcd_state_t *s, int st, const uint8_t *card)
{
    sqlite3_stmt *q = s->note->stmt[st];

    rcd_sql_blob(q, 1, card, JD_DIGEST_LEN);
    return rcd_sql_step(s, q);
}

static int with_number(rcd_state_t *s, int st, const char *number)
{
    sqlite3_stmt *q = s->note->stmt[st];
    int rc;

    rcd_sql_text(q, 1, number);
    if (st == ST_TWO_RELEASE || st == ST_TWO_HELD) {
        rcd_sql_int(q, 2, RCD_Q_TWO_HOLDERS);
    }
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        rcd_sql_done(q);
    }
    return rc;
}

/* Takes the card's orders out, and those that no card keeps any more out of quarantine. */
static int two_drop(rcd_state_t *s, const uint8_t *card, const rcd_note_t *note)
{
    char number[JD_ORDER_NUMBER_MAX + 1];
    int rc;

    while ((rc = with_card(s, ST_TWO_OF, card)) > 0) {
        sqlite3_stmt *q = s->note->stmt[ST_TWO_OF];
        int again = 0;

        rcd_sql_col_text(q, 0, number, sizeof(number));
        rcd_sql_done(q);
        q = s->note->stmt[ST_TWO_DROP];
        rcd_sql_blob(q, 1, card, JD_DIGEST_LEN);
        rcd_sql_text(q, 2, number);
        if (rcd_sql_step(s, q) < 0) {
            return -1;
        }
        for (unsigned i = 0; i < note->two; i++) {
            again |= strcmp(note->number[i], number) == 0;
        }
        rc = again ? 1 : with_number(s, ST_TWO_LEFT, number);
        if (rc < 0 || (rc == 0 && with_number(s, ST_TWO_RELEASE, number) < 0)) {
            return -1;
        }
    }
    return rc;
}

static int quarantine(rcd_state_t *s, const char *number, int64_t now)
{
    rcd_result_t res = {
        .outcome = RCD_ACK_QUARANTINED, .code = RCD_Q_TWO_HOLDERS,
        .why = "holder: a card of this subject has another holder at the same time, so it matches "
               "neither; correct the links",
    };
    int news;

    snprintf(res.number, sizeof(res.number), "%s", number);
    news = rcd_store_quarantine(s, number, res.code, res.why, now);
    return news < 0 || (news && rcd_audit_quarantine(s, &res, now) < 0) ? -1 : 0;
}

static int two_put(rcd_state_t *s, const uint8_t *card, const char *number, int64_t now)
{
    sqlite3_stmt *q = s->note->stmt[ST_TWO_PUT];
    int held = with_number(s, ST_TWO_HELD, number);

    rcd_sql_blob(q, 1, card, JD_DIGEST_LEN);
    rcd_sql_text(q, 2, number);
    if (held < 0 || rcd_sql_step(s, q) < 0) {
        return -1;
    }
    return held ? 0 : quarantine(s, number, now);
}

int rcd_note_keep(rcd_state_t *s, const uint8_t card[JD_DIGEST_LEN], const rcd_note_t *note,
                   int64_t now)
{
    sqlite3_stmt *q = s->note->stmt[ST_NOTE];
    int had = with_card(s, ST_NOTE, card), had_two = 0;

    if (had > 0) {
        had_two = rcd_sql_col(q, 2) > 0;
        rcd_sql_done(q);
    }
    if (had < 0 || (had_two && two_drop(s, card, note) < 0)) {
        return -1;
    }
    if (note->dropped == 0 && note->wake == 0 && note->two == 0) {
        return had ? with_card(s, ST_NOTE_DROP, card) : 0;
    }
    for (unsigned i = 0; i < note->two; i++) {
        if (two_put(s, card, note->number[i], now) < 0) {
            return -1;
        }
    }
    q = s->note->stmt[ST_NOTE_PUT];
    rcd_sql_blob(q, 1, card, JD_DIGEST_LEN);
    rcd_sql_int(q, 2, note->dropped);
    rcd_sql_int(q, 3, note->wake);
    rcd_sql_int(q, 4, note->two);
    return rcd_sql_step(s, q);
}

static int wake(rcd_state_t *s, int64_t now, uint8_t card[WAKE_ROWS][JD_DIGEST_LEN])
{
    sqlite3_stmt *q = s->note->stmt[ST_WAKE];
    int n = 0, rc;

    rcd_sql_int(q, 1, now);
    rcd_sql_int(q, 2, WAKE_ROWS);
    while ((rc = rcd_sql_step(s, q)) > 0) {
        rcd_sql_col_blob(q, 0, card[n++], JD_DIGEST_LEN);
    }
    return rc < 0 ? -1 : n;
}

int rcd_note_tick(rcd_state_t *s, int64_t now)
{
    uint8_t card[WAKE_ROWS][JD_DIGEST_LEN];
    int n = wake(s, now, card), rc = 0;

    if (n <= 0) {
        return n;
    }
    if (rcd_store_begin(s, 0) < 0) {
        return -1;
    }
    for (int i = 0; i < n && rc == 0; i++) {
        rc = rcd_store_dirty(s, card[i]) < 0 ? -1 : with_card(s, ST_WAKE_CLEAR, card[i]);
    }
    if (rc < 0 || rcd_store_commit(s) < 0) {
        rcd_store_rollback(s);
        return -1;
    }
    return n;
}

int rcd_note_counts(rcd_state_t *s, rcd_note_counts_t *out)
{
    sqlite3_stmt *q = s->note->stmt[ST_COUNTS];
    int rc = rcd_sql_step(s, q);

    if (rc > 0) {
        *out = (rcd_note_counts_t){(uint64_t) rcd_sql_col(q, 0), (uint64_t) rcd_sql_col(q, 1),
                                    (uint64_t) rcd_sql_col(q, 2)};
        rcd_sql_done(q);
    }
    return rc > 0 ? 0 : -1;
}
