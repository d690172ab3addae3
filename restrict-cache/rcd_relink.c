/*
 * rcd_relink - cards linked otherwise than in the file of links.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_relink.h"
#include "rcd_sql.h"

/* relinked: links = entries as in the file, 48 bytes each. relinked_holder: the same by holder. */
const char rcd_relink_schema[] =
    "CREATE TABLE relinked(card BLOB PRIMARY KEY, links BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE relinked_holder(holder BLOB, card BLOB, PRIMARY KEY(holder, card))"
    " STRICT, WITHOUT ROWID;"
    "CREATE INDEX relinked_holder_card ON relinked_holder(card);"
    "CREATE TABLE relinked_head(one INTEGER PRIMARY KEY CHECK(one = 1), serial INTEGER NOT NULL,"
    " links INTEGER NOT NULL, cards INTEGER NOT NULL, doubt INTEGER NOT NULL, two INTEGER NOT NULL,"
    " refused INTEGER NOT NULL, at INTEGER NOT NULL, how INTEGER NOT NULL, user TEXT NOT NULL)"
    " STRICT;";

enum {
    ST_GET, ST_NEXT, ST_PUT, ST_COUNT, ST_CLEAR, ST_DIRTY_ALL, ST_OF_HOLDER, ST_HOLDER_PUT,
    ST_HOLDER_DROP, ST_HOLDER_CLEAR, ST_HEAD, ST_HEAD_SAVE, ST_N
};

static const char *const sql[ST_N] = {
    [ST_GET] = "SELECT card, links FROM relinked WHERE card = ?",
    [ST_NEXT] = "SELECT card, links FROM relinked WHERE card > ? ORDER BY card LIMIT 1",
    [ST_PUT] = "INSERT OR REPLACE INTO relinked VALUES(?, ?)",
    [ST_COUNT] = "SELECT count(*) FROM relinked",
    [ST_CLEAR] = "DELETE FROM relinked",
    [ST_DIRTY_ALL] = "INSERT OR IGNORE INTO dirty SELECT card FROM relinked",
    [ST_OF_HOLDER] =
        "SELECT card FROM relinked_holder WHERE holder = ? AND card > ? ORDER BY card LIMIT 1",
    [ST_HOLDER_PUT] = "INSERT OR IGNORE INTO relinked_holder VALUES(?, ?)",
    [ST_HOLDER_DROP] = "DELETE FROM relinked_holder WHERE card = ?",
    [ST_HOLDER_CLEAR] = "DELETE FROM relinked_holder",
    [ST_HEAD] =
        "SELECT links, cards, doubt, two, refused, at, how, user FROM relinked_head"
        " WHERE serial = ?",
    [ST_HEAD_SAVE] = "INSERT OR REPLACE INTO relinked_head VALUES(1, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
};

struct rcd_relink_s {
    sqlite3_stmt *stmt[ST_N];
    uint64_t      count;
};

int rcd_relink_open(rcd_state_t *s)
{
    s->relink = calloc(1, sizeof(*s->relink));
    if (s->relink == NULL) {
        snprintf(s->fault, sizeof(s->fault), "out of memory");
        return -1;
    }
    return rcd_sql_prepare(s, s->relink->stmt, sql, ST_N);
}

void rcd_relink_close(rcd_state_t *s)
{
    if (s->relink == NULL) {
        return;
    }
    rcd_sql_finalize(s->relink->stmt, ST_N);
    free(s->relink);
    s->relink = NULL;
}

uint64_t rcd_relink_count(const rcd_state_t *s)
{
    return s->relink->count;
}

int rcd_relink_recount(rcd_state_t *s)
{
    sqlite3_stmt *q = s->relink->stmt[ST_COUNT];
    int rc = rcd_sql_step(s, q);

    if (rc > 0) {
        s->relink->count = (uint64_t) rcd_sql_col(q, 0);
        rcd_sql_done(q);
    }
    return rc > 0 ? 0 : -1;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* The row of a bound query as a group. */
static int read_group(rcd_state_t *s, sqlite3_stmt *q, rcd_group_t *g)
{
    int rc = rcd_sql_step(s, q);
    const uint8_t *bytes;
    size_t len;

    if (rc <= 0) {
        return rc;
    }
    rcd_sql_col_blob(q, 0, g->card, JD_DIGEST_LEN);
    bytes = sqlite3_column_blob(q, 1);
    len = (size_t) sqlite3_column_bytes(q, 1);
    g->n = 0;
    g->full = len % RCD_LINKS_ENTRY != 0 || len / RCD_LINKS_ENTRY > RCD_GROUP_MAX;
    for (size_t at = 0; !g->full && at < len; at += RCD_LINKS_ENTRY) {
        rcd_links_decode(bytes + at, &g->link[g->n++]);
    }
    rcd_sql_done(q);
    return 1;
}

int rcd_relink_get(rcd_state_t *s, const uint8_t card[JD_DIGEST_LEN], rcd_group_t *g)
{
    sqlite3_stmt *q = s->relink->stmt[ST_GET];

    if (s->relink->count == 0) {
        return 0;
    }
    rcd_sql_blob(q, 1, card, JD_DIGEST_LEN);
    return read_group(s, q, g);
}

static void bind_after(sqlite3_stmt *q, int i, const uint8_t *after)
{
    rcd_sql_blob(q, i, after != NULL ? (const void *) after : "",
                 after != NULL ? JD_DIGEST_LEN : 0);
}

int rcd_relink_next(rcd_state_t *s, const uint8_t *after, rcd_group_t *g)
{
    sqlite3_stmt *q = s->relink->stmt[ST_NEXT];

    if (s->relink->count == 0) {
        return 0;
    }
    bind_after(q, 1, after);
    return read_group(s, q, g);
}

int rcd_relink_of_holder(rcd_state_t *s, const uint8_t holder[JD_DIGEST_LEN], const uint8_t *after,
                         uint8_t card[JD_DIGEST_LEN])
{
    sqlite3_stmt *q = s->relink->stmt[ST_OF_HOLDER];
    int rc;

    if (s->relink->count == 0) {
        return 0;
    }
    rcd_sql_blob(q, 1, holder, JD_DIGEST_LEN);
    bind_after(q, 2, after);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        rcd_sql_col_blob(q, 0, card, JD_DIGEST_LEN);
        rcd_sql_done(q);
    }
    return rc;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int with_card(rcd_state_t *s, int st, const uint8_t *card)
{
    sqlite3_stmt *q = s->relink->stmt[st];

    rcd_sql_blob(q, 1, card, JD_DIGEST_LEN);
    return rcd_sql_step(s, q);
}

int rcd_relink_put(rcd_state_t *s, const rcd_group_t *g)
{
    uint8_t bytes[RCD_GROUP_MAX * RCD_LINKS_ENTRY];
    sqlite3_stmt *q = s->relink->stmt[ST_PUT];

    for (unsigned i = 0; i < g->n; i++) {
        rcd_links_encode(&g->link[i], bytes + i * RCD_LINKS_ENTRY);
    }
    rcd_sql_blob(q, 1, g->card, JD_DIGEST_LEN);
    rcd_sql_blob(q, 2, bytes, g->n * RCD_LINKS_ENTRY);
    if (rcd_sql_step(s, q) < 0 || with_card(s, ST_HOLDER_DROP, g->card) < 0) {
        return -1;
    }
    for (unsigned i = 0; i < g->n; i++) {
        q = s->relink->stmt[ST_HOLDER_PUT];
        rcd_sql_blob(q, 1, g->link[i].holder, JD_DIGEST_LEN);
        rcd_sql_blob(q, 2, g->card, JD_DIGEST_LEN);
        if (rcd_sql_step(s, q) < 0) {
            return -1;
        }
    }
    return 0;
}

int rcd_relink_clear(rcd_state_t *s)
{
    static const int steps[] = {ST_DIRTY_ALL, ST_CLEAR, ST_HOLDER_CLEAR};

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (rcd_sql_step(s, s->relink->stmt[steps[i]]) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- what the links are now ------------------------------------------------------------------ */

int rcd_relink_head_save(rcd_state_t *s, const rcd_links_head_t *head)
{
    sqlite3_stmt *q = s->relink->stmt[ST_HEAD_SAVE];
    const rcd_links_counts_t *c = &head->counts;
    const uint64_t v[] = {head->serial, head->n, c->cards, c->doubt, c->two, c->refused,
                          (uint64_t) head->at, head->how};
    int n = (int) (sizeof(v) / sizeof(v[0]));

    for (int i = 0; i < n; i++) {
        rcd_sql_int(q, i + 1, (int64_t) v[i]);
    }
    rcd_sql_text(q, n + 1, head->user);
    return rcd_sql_step(s, q);
}

int rcd_relink_head(rcd_state_t *s, uint64_t serial, rcd_links_head_t *head)
{
    sqlite3_stmt *q = s->relink->stmt[ST_HEAD];
    int rc;

    if (s->relink->count == 0) {
        return 0;
    }
    rcd_sql_int(q, 1, (int64_t) serial);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        head->n = (uint64_t) rcd_sql_col(q, 0);
        head->counts.cards = (uint64_t) rcd_sql_col(q, 1);
        head->counts.doubt = (uint64_t) rcd_sql_col(q, 2);
        head->counts.two = (uint64_t) rcd_sql_col(q, 3);
        head->counts.refused = (uint64_t) rcd_sql_col(q, 4);
        head->at = rcd_sql_col(q, 5);
        head->how = (rcd_links_how_t) rcd_sql_col(q, 6);
        rcd_sql_col_text(q, 7, head->user, sizeof(head->user));
        rcd_sql_done(q);
    }
    return rc;
}
