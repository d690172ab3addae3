/*
 * rcd_reach - the links in force, and what orders make of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_reach.h"
#include "rcd_relink.h"
#include "rcd_slice.h"
#include "rcd_sql.h"

#define TOUCH_AT_ONCE  64                 /* cards of a holder in the order's own transaction */
#define EXPAND_CHECK   64                 /* cards between two looks at the clock */
#define OVER_SEC       86400              /* a link over for so long leaves the record */

/* touched: holders whose cards after `after` have yet to go to the outbox. links_state: serial of
 * the links whose effect is in the outbox. */
const char rcd_reach_schema[] =
    "CREATE TABLE touched(holder BLOB PRIMARY KEY, after BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE links_state(one INTEGER PRIMARY KEY CHECK(one = 1), serial INTEGER NOT NULL)"
    " STRICT;"
    "INSERT INTO links_state VALUES(1, 0);";

enum {
    ST_TOUCH, ST_TOUCHED, ST_TOUCHED_DONE, ST_SERIAL, ST_SERIAL_SAVE, ST_N
};

static const char *const sql[ST_N] = {
    [ST_TOUCH] = "INSERT OR REPLACE INTO touched VALUES(?, ?)",
    [ST_TOUCHED] = "SELECT holder, after FROM touched LIMIT 1",
    [ST_TOUCHED_DONE] = "DELETE FROM touched WHERE holder = ?",
    [ST_SERIAL] = "SELECT serial FROM links_state",
    [ST_SERIAL_SAVE] = "UPDATE links_state SET serial = ?",
};

struct rcd_reach_s {
    sqlite3_stmt *stmt[ST_N];
    rcd_links_t  *links;
    char          under[RCD_UNDER_MAX];   /* key and normalisers in use; "" = not told yet */
    uint64_t      serial;
};

int rcd_reach_open(rcd_state_t *s)
{
    s->reach = calloc(1, sizeof(*s->reach));
    if (s->reach == NULL) {
        snprintf(s->fault, sizeof(s->fault), "out of memory");
        return -1;
    }
    if (rcd_sql_prepare(s, s->reach->stmt, sql, ST_N) != 0 || rcd_relink_open(s) != 0) {
        return -1;
    }
    return rcd_reach_serial_load(s);
}

void rcd_reach_close(rcd_state_t *s)
{
    if (s->reach == NULL) {
        return;
    }
    rcd_relink_close(s);
    rcd_sql_finalize(s->reach->stmt, ST_N);
    rcd_links_close(s->reach->links);
    free(s->reach);
    s->reach = NULL;
}

rcd_links_t *rcd_reach_take(rcd_state_t *s, rcd_links_t *links)
{
    rcd_links_t *before = s->reach->links;

    s->reach->links = links;
    return before;
}

const rcd_links_t *rcd_reach_links(const rcd_state_t *s)
{
    return s->reach->links;
}

const rcd_links_t *rcd_reach_usable(const rcd_state_t *s)
{
    const rcd_links_t *l = s->reach->links;

    return l != NULL && strcmp(l->head.under, s->reach->under) == 0 ? l : NULL;
}

/* Cards linked otherwise count beside the file that the journal knows. */
static int overlaid(const rcd_state_t *s)
{
    const rcd_links_t *l = rcd_reach_usable(s);

    return l != NULL && l->head.serial == s->reach->serial && rcd_relink_count(s) > 0;
}

int rcd_reach_group(rcd_state_t *s, const uint8_t card[JD_DIGEST_LEN], rcd_group_t *g)
{
    int rc = overlaid(s) ? rcd_relink_get(s, card, g) : 0;

    if (rc == 0) {
        rcd_group_of(rcd_reach_usable(s), card, g);
    }
    return rc < 0 ? -1 : 0;
}

/* The holder's next card of the file that is not linked otherwise: 1, 0, -1. */
static int card_of_file(rcd_state_t *s, const uint8_t *holder, const uint8_t *after, uint8_t *card)
{
    const rcd_links_t *l = rcd_reach_usable(s);
    uint64_t place;
    rcd_holding_t h;
    rcd_group_t g;
    int rc;

    if (l == NULL) {
        return 0;
    }
    place = after != NULL ? rcd_links_holder_after(l, holder, after) : rcd_links_holder(l, holder);
    for (; rcd_links_indexed(l, place, &h) && memcmp(h.holder, holder, JD_DIGEST_LEN) == 0;
         place++) {
        rc = overlaid(s) ? rcd_relink_get(s, h.card, &g) : 0;
        if (rc < 0) {
            return -1;
        }
        if (rc == 0) {
            memcpy(card, h.card, JD_DIGEST_LEN);
            return 1;
        }
    }
    return 0;
}

int rcd_reach_card_of(rcd_state_t *s, const uint8_t holder[JD_DIGEST_LEN], const uint8_t *after,
                      uint8_t card[JD_DIGEST_LEN])
{
    uint8_t other[JD_DIGEST_LEN];
    int a = card_of_file(s, holder, after, card);
    int b = overlaid(s) ? rcd_relink_of_holder(s, holder, after, other) : 0;

    if (a < 0 || b < 0) {
        return -1;
    }
    if (b > 0 && (a == 0 || memcmp(other, card, JD_DIGEST_LEN) < 0)) {
        memcpy(card, other, JD_DIGEST_LEN);
    }
    return a > 0 || b > 0;
}

/* Makes walk->over the next card linked otherwise. 0 or -1. */
static int walk_peek(rcd_state_t *s, rcd_reach_walk_t *walk, const uint8_t *after)
{
    int rc = overlaid(s) ? rcd_relink_next(s, after, &walk->over) : 0;

    walk->peeked = rc > 0 ? 1 : -1;
    return rc < 0 ? -1 : 0;
}

int rcd_reach_walk(rcd_state_t *s, rcd_reach_walk_t *walk, const uint8_t *other, rcd_group_t *g)
{
    const rcd_links_t *l = rcd_reach_usable(s);
    uint8_t card[JD_DIGEST_LEN];
    uint64_t next = walk->at;
    int file, over;

    if (walk->peeked == 0 && walk_peek(s, walk, NULL) != 0) {
        return -1;
    }
    over = walk->peeked > 0;
    file = rcd_group_read(l, &next, g);
    if (file && over && memcmp(g->card, walk->over.card, JD_DIGEST_LEN) == 0) {
        walk->at = next;                           /* the file's links of this card are over */
        file = 0;
    } else if (file && over) {
        over = memcmp(walk->over.card, g->card, JD_DIGEST_LEN) < 0;
        file = !over;
    }
    if (other != NULL && ((!file && !over) ||
                          memcmp(other, over ? walk->over.card : g->card, JD_DIGEST_LEN) < 0)) {
        memcpy(g->card, other, JD_DIGEST_LEN);
        g->n = 0;
        g->full = 0;
        return 1;
    }
    if (over) {
        *g = walk->over;
        memcpy(card, g->card, JD_DIGEST_LEN);
        return walk_peek(s, walk, card) != 0 ? -1 : 1;
    }
    walk->at = file ? next : walk->at;
    return file;
}

void rcd_reach_rules(rcd_state_t *s, const rcd_rules_t *rules)
{
    rcd_store_under_print(rules, s->reach->under);
}

uint64_t rcd_reach_serial(const rcd_state_t *s)
{
    return s->reach->serial;
}

int rcd_reach_serial_save(rcd_state_t *s, uint64_t serial)
{
    sqlite3_stmt *q = s->reach->stmt[ST_SERIAL_SAVE];

    rcd_sql_int(q, 1, (int64_t) serial);
    return rcd_sql_step(s, q);
}

int rcd_reach_serial_load(rcd_state_t *s)
{
    sqlite3_stmt *q = s->reach->stmt[ST_SERIAL];
    int rc = rcd_sql_step(s, q);

    if (rc > 0) {
        s->reach->serial = (uint64_t) rcd_sql_col(q, 0);
        rcd_sql_done(q);
    }
    return rc < 0 ? -1 : rcd_relink_recount(s);
}

/* ---- orders touch cards ---------------------------------------------------------------------- */

/*
 * Marks cards of `holder` above `after` (NULL: all), at most `max`. Returns 1 with the last card when
 * there may be more, 0 when there are not, -1.
 */
static int mark_cards(rcd_state_t *s, const uint8_t *holder, const uint8_t *after, unsigned max,
                      uint8_t last[JD_DIGEST_LEN])
{
    uint8_t card[JD_DIGEST_LEN];
    int rc;

    for (unsigned n = 0; n < max; n++) {
        rc = rcd_reach_card_of(s, holder, after, card);
        if (rc <= 0) {
            return rc;
        }
        if (rcd_store_dirty(s, card) < 0) {
            return -1;
        }
        memcpy(last, card, JD_DIGEST_LEN);
        after = last;
    }
    return 1;
}

static int keep_touched(rcd_state_t *s, const uint8_t *holder, const uint8_t *after)
{
    sqlite3_stmt *q = s->reach->stmt[ST_TOUCH];

    rcd_sql_blob(q, 1, holder, JD_DIGEST_LEN);
    rcd_sql_blob(q, 2, after, JD_DIGEST_LEN);
    return rcd_sql_step(s, q);
}

int rcd_reach_touch(rcd_state_t *s, const uint8_t holder[JD_DIGEST_LEN])
{
    uint8_t last[JD_DIGEST_LEN];
    int rc = mark_cards(s, holder, NULL, TOUCH_AT_ONCE, last);

    return rc > 0 ? keep_touched(s, holder, last) : rc;
}

/* The holder that is behind, and its cursor: 1, 0 none, -1. */
static int touched_next(rcd_state_t *s, uint8_t *holder, uint8_t *after)
{
    sqlite3_stmt *q = s->reach->stmt[ST_TOUCHED];
    int rc = rcd_sql_step(s, q);

    if (rc > 0) {
        rcd_sql_col_blob(q, 0, holder, JD_DIGEST_LEN);
        rcd_sql_col_blob(q, 1, after, JD_DIGEST_LEN);
        rcd_sql_done(q);
    }
    return rc;
}

int rcd_reach_behind(const rcd_state_t *s)
{
    uint8_t holder[JD_DIGEST_LEN], after[JD_DIGEST_LEN];

    return touched_next((rcd_state_t *) (uintptr_t) s, holder, after) != 0;
}

static int expand_some(rcd_state_t *s, int64_t end_ns)
{
    uint8_t holder[JD_DIGEST_LEN], after[JD_DIGEST_LEN];
    int rc;

    while ((rc = touched_next(s, holder, after)) > 0) {
        rc = mark_cards(s, holder, after, EXPAND_CHECK, after);
        if (rc > 0) {
            rc = keep_touched(s, holder, after);
        } else if (rc == 0) {
            rcd_sql_blob(s->reach->stmt[ST_TOUCHED_DONE], 1, holder, JD_DIGEST_LEN);
            rc = rcd_sql_step(s, s->reach->stmt[ST_TOUCHED_DONE]);
        }
        if (rc < 0 || rcd_slice_over(end_ns)) {
            return rc < 0 ? -1 : 1;
        }
    }
    return rc;
}

int rcd_reach_expand(rcd_state_t *s, int64_t end_ns)
{
    int rc = rcd_reach_behind(s);

    if (rc <= 0) {
        return 0;
    }
    if (rcd_store_begin(s, 0) < 0) {
        return -1;
    }
    rc = expand_some(s, end_ns);
    if (rc < 0 || rcd_store_commit(s) < 0) {
        rcd_store_rollback(s);
        return -1;
    }
    return rc;
}

int rcd_reach_next(rcd_state_t *s, rcd_reach_cursor_t *c, uint8_t card[JD_DIGEST_LEN])
{
    int rc;

    if (rcd_reach_usable(s) == NULL) {
        return 0;
    }
    if (!c->inside) {
        rc = rcd_store_next_live(s, c->holder_set ? c->holder : NULL, c->holder);
        if (rc <= 0) {
            return rc;
        }
        c->holder_set = c->inside = 1;
        c->card_set = 0;
    }
    rc = rcd_reach_card_of(s, c->holder, c->card_set ? c->card : NULL, card);
    if (rc <= 0) {
        c->inside = 0;
        return rc < 0 ? -1 : 2;
    }
    c->card_set = 1;
    memcpy(c->card, card, JD_DIGEST_LEN);
    return 1;
}

/* ---- a card's record ------------------------------------------------------------------------- */

int rcd_reach_listed(rcd_state_t *s, const rcd_reach_t *reach)
{
    rcd_row_t row;
    int rc = 0;

    for (unsigned i = 0; i < reach->n && rc == 0 && s->live > 0; i++) {
        rc = rcd_store_live(s, reach->term[i].holder, &row, 1);
    }
    return rc;
}

/* One term a holder: records name an order once. */
static void choose_terms(rcd_reach_t *r, int64_t now, rcd_note_t *note)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < r->n; i++) {
        rcd_reach_term_t *last = kept > 0 ? &r->term[kept - 1] : NULL;
        int same = last != NULL &&
                   memcmp(last->holder, r->term[i].holder, JD_DIGEST_LEN) == 0;

        if (same && last->until > now) {
            note->wake = note->wake == 0 || last->until < note->wake ? last->until : note->wake;
        } else if (same) {
            *last = r->term[i];
        } else {
            r->term[kept++] = r->term[i];
        }
    }
    r->n = kept;
}

/* The orders that two holders at once keep from the card. */
static int note_two(rcd_state_t *s, const rcd_reach_t *r, rcd_note_t *note)
{
    rcd_row_t rows[JD_ORDERS_MAX];

    for (unsigned i = 0; i < r->n_two; i++) {
        int n = rcd_store_live(s, r->two[i], rows, JD_ORDERS_MAX);

        if (n < 0) {
            return -1;
        }
        for (int j = 0; j < n && note->two < JD_ORDERS_MAX; j++) {
            memcpy(note->number[note->two++], rows[j].number, sizeof(rows[j].number));
        }
    }
    if (note->two > 0 && (note->wake == 0 || r->two_until < note->wake)) {
        note->wake = r->two_until;
    }
    return 0;
}

int rcd_reach_of(rcd_state_t *s, const uint8_t card[JD_DIGEST_LEN], int64_t now, rcd_reach_t *out,
                 rcd_note_t *note)
{
    unsigned kept = 0;
    rcd_group_t g;

    out->n = 0;
    note->dropped = note->two = 0;
    note->wake = 0;
    if (rcd_reach_usable(s) == NULL || s->live == 0) {
        return 0;
    }
    if (rcd_reach_group(s, card, &g) < 0) {
        return -1;
    }
    rcd_group_reach(&g, now, out);
    choose_terms(out, now, note);
    for (unsigned i = 0; i < out->n; i++) {
        if (out->term[i].until > now - OVER_SEC) {
            out->term[kept++] = out->term[i];
        }
    }
    out->n = kept;
    return note_two(s, out, note);
}
