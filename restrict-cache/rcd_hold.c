/*
 * rcd_hold - what the rule of mass change keeps in the journal.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/evp.h>
#include "rcd_audit.h"
#include "rcd_clock.h"
#include "rcd_hold.h"
#include "rcd_log.h"
#include "rcd_sql.h"
#include "rcd_stage.h"

#define HOUR_SEC     3600
#define WINDOW_SEC   (7 * 86400)
#define LEFT_MAX     64                    /* ended orders of one subject looked at */

const char rcd_hold_schema[] =
    "CREATE TABLE growth(one INTEGER PRIMARY KEY CHECK(one = 1), size INTEGER NOT NULL,"
    " approved_at INTEGER NOT NULL, approved_size INTEGER NOT NULL, widened INTEGER NOT NULL,"
    " shrunk_at INTEGER NOT NULL, shrunk_from INTEGER NOT NULL, shrunk_to INTEGER NOT NULL) STRICT;"
    "INSERT INTO growth VALUES(1, 0, 0, 0, 0, 0, 0, 0);"
    "CREATE TABLE sizes(hour INTEGER PRIMARY KEY, size INTEGER NOT NULL,"
    " widened INTEGER NOT NULL) STRICT;"
    "CREATE TABLE held(one INTEGER PRIMARY KEY CHECK(one = 1), hash BLOB NOT NULL,"
    " epoch INTEGER NOT NULL, seq INTEGER NOT NULL, relief_seq INTEGER NOT NULL,"
    " iat INTEGER NOT NULL, since INTEGER NOT NULL, first INTEGER NOT NULL,"
    " approved INTEGER NOT NULL, user TEXT NOT NULL, records INTEGER NOT NULL,"
    " refused INTEGER NOT NULL, adds_orders INTEGER NOT NULL, adds_terms INTEGER NOT NULL,"
    " drops INTEGER NOT NULL, rules BLOB NOT NULL) STRICT;"
    "CREATE TABLE early(number TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE relisted(number TEXT PRIMARY KEY, at INTEGER NOT NULL, before TEXT NOT NULL,"
    " ended INTEGER NOT NULL, ended_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE INDEX orders_left ON orders(digest) WHERE ended IN (2, 4);";

_Static_assert(RCD_DIR_MAX + 32 <= RCD_HELD_PATH_MAX, "the name of a file fits");
_Static_assert(RCD_END_DROPPED == 2 && RCD_END_LIFTED == 4, "the index orders_left names them");

enum {
    ST_GROWTH, ST_GROWTH_SAVE, ST_HOUR, ST_HOUR_PUT, ST_HOUR_AT, ST_WIDENED, ST_HOURS_TRIM,
    ST_HOURS_CLEAR, ST_HELD, ST_HELD_PUT, ST_HELD_DROP, ST_HELD_APPROVE, ST_EARLY, ST_EARLY_PUT,
    ST_EARLY_TRIM, ST_EARLY_N, ST_LEFT, ST_RELISTED_PUT, ST_RELISTED_HAS, ST_RELISTED, ST_RELISTED_N,
    ST_N
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
    [ST_HELD] = "SELECT hash, epoch, seq, relief_seq, iat, since, first, approved, user, records,"
                " refused, adds_orders, adds_terms, drops, rules FROM held",
    [ST_HELD_PUT] = "INSERT OR REPLACE INTO held VALUES(1, ?, ?, ?, ?, ?, ?, ?, 0, '', ?, ?, ?, ?,"
                    " ?, ?)",
    [ST_HELD_DROP] = "DELETE FROM held",
    [ST_HELD_APPROVE] = "UPDATE held SET approved = 1, user = ?",
    [ST_EARLY] = "SELECT seq FROM early WHERE number = ?",
    [ST_EARLY_PUT] = "INSERT INTO early VALUES(?, ?) ON CONFLICT(number) DO UPDATE"
                     " SET seq = max(seq, excluded.seq)",
    [ST_EARLY_TRIM] = "DELETE FROM early WHERE seq <= ?",
    [ST_EARLY_N] = "SELECT count(*) FROM early",
    [ST_LEFT] = "SELECT number, ended, ended_at, grounds.value FROM orders JOIN grounds"
                " ON grounds.id = orders.grounds WHERE digest = ?1 AND ended IN (2, 4)"
                " AND imported = 0 AND ended_at >= ?2 ORDER BY ended_at DESC",
    [ST_RELISTED_PUT] = "INSERT OR REPLACE INTO relisted VALUES(?, ?, ?, ?, ?)",
    [ST_RELISTED_HAS] = "SELECT 1 FROM relisted WHERE number = ?",
    [ST_RELISTED] = "SELECT number, at, before, ended, ended_at FROM relisted"
                    " WHERE at >= ? AND at < ? ORDER BY number",
    [ST_RELISTED_N] = "SELECT count(*) FROM relisted",
};

struct rcd_hold_s {
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
    uint64_t           relisted;
    uint64_t           early;
    int                waits;
    rcd_held_t         held;
    uint8_t            rules[32];          /* under which it was staged */
    rcd_stage_t       *stage;              /* of a journal in memory */
};

/* ---- open, load, save ------------------------------------------------------------------------ */

int rcd_hold_open(rcd_state_t *s)
{
    s->hold = calloc(1, sizeof(*s->hold));
    if (s->hold == NULL) {
        snprintf(s->fault, sizeof(s->fault), "out of memory");
        return -1;
    }
    return rcd_sql_prepare(s, s->hold->stmt, sql, ST_N);
}

void rcd_hold_close(rcd_state_t *s)
{
    if (s->hold != NULL) {
        rcd_sql_finalize(s->hold->stmt, ST_N);
        if (s->hold->stage != NULL) {
            rcd_stage_destroy(s->hold->stage);
        }
    }
    free(s->hold);
    s->hold = NULL;
}

static void hex_print(const uint8_t *bytes, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++) {
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
}

static int load_held(rcd_state_t *s)
{
    struct rcd_hold_s *g = s->hold;
    sqlite3_stmt *q = g->stmt[ST_HELD];
    int rc = rcd_sql_step(s, q);

    memset(&g->held, 0, sizeof(g->held));
    g->waits = rc > 0;
    if (rc <= 0) {
        return rc;
    }
    rcd_sql_col_blob(q, 0, g->held.sha256, sizeof(g->held.sha256));
    hex_print(g->held.sha256, sizeof(g->held.sha256), g->held.hash);
    g->held.epoch = (uint32_t) rcd_sql_col(q, 1);
    g->held.seq = (uint64_t) rcd_sql_col(q, 2);
    g->held.relief_seq = (uint64_t) rcd_sql_col(q, 3);
    g->held.iat = rcd_sql_col(q, 4);
    g->held.since = rcd_sql_col(q, 5);
    g->held.first = (int) rcd_sql_col(q, 6);
    g->held.approved = (int) rcd_sql_col(q, 7);
    rcd_sql_col_text(q, 8, g->held.user, sizeof(g->held.user));
    g->held.records = (uint64_t) rcd_sql_col(q, 9);
    g->held.refused = (uint64_t) rcd_sql_col(q, 10);
    g->held.adds_orders = (uint64_t) rcd_sql_col(q, 11);
    g->held.adds_terms = (uint64_t) rcd_sql_col(q, 12);
    g->held.drops = (uint64_t) rcd_sql_col(q, 13);
    rcd_sql_col_blob(q, 14, g->rules, sizeof(g->rules));
    rcd_sql_done(q);
    return 0;
}

/* The one number of a query; -1 failed. */
static int count_of(rcd_state_t *s, int st, uint64_t *out)
{
    sqlite3_stmt *q = s->hold->stmt[st];
    int rc = rcd_sql_step(s, q);

    if (rc > 0) {
        *out = (uint64_t) rcd_sql_col(q, 0);
        rcd_sql_done(q);
    }
    return rc > 0 ? 0 : -1;
}

/* Baseline and widenings as of the hour. */
static int load_baseline(rcd_state_t *s)
{
    struct rcd_hold_s *g = s->hold;
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
    return count_of(s, ST_WIDENED, &g->widened_before);
}

int rcd_hold_load(rcd_state_t *s)
{
    struct rcd_hold_s *g = s->hold;
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
    return rc < 0 || load_baseline(s) < 0 || load_held(s) < 0 ||
                   count_of(s, ST_EARLY_N, &g->early) < 0 ||
                   count_of(s, ST_RELISTED_N, &g->relisted) < 0
               ? -1 : 0;
}

int rcd_hold_save(rcd_state_t *s)
{
    struct rcd_hold_s *g = s->hold;
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

void rcd_hold_count(rcd_state_t *s, const rcd_row_t *was, const rcd_row_t *now)
{
    struct rcd_hold_s *g = s->hold;

    if (was != NULL && rcd_growth_counts(was) && g->size > 0) {
        g->size--;
    }
    if (now != NULL && rcd_growth_counts(now)) {
        g->size++;
    }
}

int rcd_hold_first(const rcd_state_t *s)
{
    return s->hold->approved_at == 0;
}

void rcd_hold_growth(const rcd_state_t *s, rcd_growth_t *out)
{
    const struct rcd_hold_s *g = s->hold;

    *out = (rcd_growth_t){.baseline = g->baseline, .size = g->size,
                          .widened = g->widened_before + g->widened};
}

int rcd_hold_exceeds(const rcd_state_t *s, uint64_t orders, uint64_t terms, uint64_t drops)
{
    rcd_growth_t g;

    rcd_hold_growth(s, &g);
    g.adds_orders = orders;
    g.adds_terms = terms;
    g.drops = drops;
    return rcd_hold_first(s) || rcd_growth_exceeds(&s->hold->limit, &g);
}

uint64_t rcd_hold_allowance(const rcd_state_t *s)
{
    return rcd_growth_allowance(&s->hold->limit, s->hold->baseline);
}

void rcd_hold_widened(rcd_state_t *s)
{
    s->hold->widened++;
}

static int put_hour(rcd_state_t *s, int64_t hour, uint64_t widened)
{
    sqlite3_stmt *q = s->hold->stmt[ST_HOUR_PUT];

    rcd_sql_int(q, 1, hour);
    rcd_sql_int(q, 2, (int64_t) s->hold->size);
    rcd_sql_int(q, 3, (int64_t) widened);
    return rcd_sql_step(s, q);
}

/* Rows older than the one that tells the size 7 days ago are of no use. */
static int trim_hours(rcd_state_t *s, int64_t hour)
{
    sqlite3_stmt *q = s->hold->stmt[ST_HOUR_AT];
    int64_t oldest;
    int rc;

    rcd_sql_int(q, 1, hour - WINDOW_SEC / HOUR_SEC);
    rc = rcd_sql_step(s, q);
    if (rc <= 0) {
        return rc;
    }
    oldest = rcd_sql_col(q, 0);
    rcd_sql_done(q);
    rcd_sql_int(s->hold->stmt[ST_HOURS_TRIM], 1, oldest);
    return rcd_sql_step(s, s->hold->stmt[ST_HOURS_TRIM]);
}

static int shrink_alarm(rcd_state_t *s, int64_t at)
{
    struct rcd_hold_s *g = s->hold;
    cJSON *fields = cJSON_CreateObject();

    cJSON_AddNumberToObject(fields, "from", (double) g->hour_size);
    cJSON_AddNumberToObject(fields, "to", (double) g->size);
    rcd_log(RCD_LOG_ERROR, "the list shrank from %" PRIu64 " to %" PRIu64 " orders within the hour; "
            "it is applied, ask the office whether it meant it", g->hour_size, g->size);
    g->shrunk_at = at;
    g->shrunk_from = g->hour_size;
    g->shrunk_to = g->size;
    return rcd_audit(s, "growth.shrink", fields);
}

static int tick(rcd_state_t *s, int64_t at, int shrank)
{
    struct rcd_hold_s *g = s->hold;
    int64_t hour = at / HOUR_SEC > g->hour ? at / HOUR_SEC : g->hour;
    uint64_t widened = g->widened;

    if (shrank && shrink_alarm(s, at) < 0) {
        return -1;
    }
    g->widened = 0;
    return put_hour(s, hour, widened) < 0 || trim_hours(s, hour) < 0 || rcd_hold_save(s) < 0 ? -1
                                                                                             : 0;
}

int rcd_hold_tick(rcd_state_t *s, int64_t at)
{
    struct rcd_hold_s *g = s->hold;
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
    return rcd_hold_load(s);
}

/* ---- the snapshot that waits ----------------------------------------------------------------- */

const rcd_held_t *rcd_hold_waits(const rcd_state_t *s)
{
    return s->hold->waits ? &s->hold->held : NULL;
}

void rcd_hold_path(const rcd_state_t *s, const uint8_t sha256[32], char path[RCD_HELD_PATH_MAX])
{
    char hash[17];

    hex_print(sha256, 8, hash);
    path[0] = '\0';
    if (s->dir[0] != '\0') {
        snprintf(path, RCD_HELD_PATH_MAX, "%s/held-%s.db", s->dir, hash);
    }
}

/* Everything that decides how a record is read: key, normalisers, measures. */
static void rules_digest(const rcd_rules_t *rules, uint8_t out[32])
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    char text[256];

    memset(out, 0, 32);
    if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(md);
        return;
    }
    EVP_DigestUpdate(md, rules->key->id, strlen(rules->key->id) + 1);
    EVP_DigestUpdate(md, rules->key->check, strlen(rules->key->check) + 1);
    jd_normalisers_print(&rules->norm, text);
    EVP_DigestUpdate(md, text, strlen(text) + 1);
    EVP_DigestUpdate(md, &rules->accept_card_subjects, sizeof(rules->accept_card_subjects));
    for (unsigned bit = 0; bit < JD_MEASURE_N; bit++) {
        const rcd_measure_rule_t *rule = &rules->rule[bit];

        snprintf(text, sizeof(text), "%u %d %lld", bit, rule->enabled,
                 (long long) rule->max_term_sec);
        EVP_DigestUpdate(md, text, strlen(text) + 1);
        for (unsigned i = 0; i < rule->n_authorities; i++) {
            EVP_DigestUpdate(md, rule->authorities[i], strlen(rule->authorities[i]) + 1);
        }
    }
    EVP_DigestFinal_ex(md, out, NULL);
    EVP_MD_CTX_free(md);
}

static cJSON *audit_fields(const rcd_held_t *h, const char *user)
{
    cJSON *fields = cJSON_CreateObject();

    cJSON_AddStringToObject(fields, "snapshot", h->hash);
    if (user != NULL) {
        cJSON_AddStringToObject(fields, "user", user);
    }
    cJSON_AddBoolToObject(fields, "first", h->first);
    cJSON_AddNumberToObject(fields, "epoch", h->epoch);
    cJSON_AddNumberToObject(fields, "seq", (double) h->seq);
    cJSON_AddNumberToObject(fields, "orders", (double) h->records);
    cJSON_AddNumberToObject(fields, "additions", (double) h->adds_orders);
    cJSON_AddNumberToObject(fields, "widenings", (double) h->adds_terms);
    return fields;
}

int rcd_hold_put(rcd_state_t *s, const rcd_rules_t *rules, const rcd_held_t *h)
{
    struct rcd_hold_s *g = s->hold;
    sqlite3_stmt *q = g->stmt[ST_HELD_PUT];
    char old[RCD_HELD_PATH_MAX] = "", path[RCD_HELD_PATH_MAX];
    uint8_t digest[32];

    if (g->waits) {
        rcd_hold_path(s, g->held.sha256, old);
    }
    rules_digest(rules, digest);
    rcd_sql_blob(q, 1, h->sha256, sizeof(h->sha256));
    rcd_sql_int(q, 2, h->epoch);
    rcd_sql_int(q, 3, (int64_t) h->seq);
    rcd_sql_int(q, 4, (int64_t) h->relief_seq);
    rcd_sql_int(q, 5, h->iat);
    rcd_sql_int(q, 6, h->since);
    rcd_sql_int(q, 7, h->first);
    rcd_sql_int(q, 8, (int64_t) h->records);
    rcd_sql_int(q, 9, (int64_t) h->refused);
    rcd_sql_int(q, 10, (int64_t) h->adds_orders);
    rcd_sql_int(q, 11, (int64_t) h->adds_terms);
    rcd_sql_int(q, 12, (int64_t) h->drops);
    rcd_sql_blob(q, 13, digest, sizeof(digest));
    if (rcd_sql_step(s, q) < 0 || load_held(s) < 0 ||
        rcd_audit(s, "growth.held", audit_fields(&g->held, NULL)) < 0) {
        return -1;
    }
    rcd_hold_path(s, h->sha256, path);
    if (old[0] != '\0' && strcmp(old, path) != 0) {
        unlink(old);              /* were this transaction lost, a fresh snapshot would be wanted */
    }
    return 0;
}

int rcd_hold_drop(rcd_state_t *s)
{
    char path[RCD_HELD_PATH_MAX];

    if (!s->hold->waits) {
        return 0;
    }
    rcd_hold_path(s, s->hold->held.sha256, path);
    if (rcd_sql_step(s, s->hold->stmt[ST_HELD_DROP]) < 0 || load_held(s) < 0) {
        return -1;
    }
    if (path[0] != '\0') {
        unlink(path);
    }
    return 0;
}

int rcd_hold_applied(rcd_state_t *s, int64_t now)
{
    struct rcd_hold_s *g = s->hold;

    g->approved_at = now;
    g->approved_size = g->baseline = g->hour_size = g->size;
    g->widened = g->widened_before = 0;
    g->hour = 0;
    return rcd_sql_step(s, g->stmt[ST_HOURS_CLEAR]) < 0 || rcd_hold_drop(s) < 0 ? -1 : 0;
}

void rcd_hold_stage_give(rcd_state_t *s, rcd_stage_t *stage)
{
    if (s->hold->stage != NULL) {
        rcd_stage_destroy(s->hold->stage);
    }
    s->hold->stage = stage;
}

rcd_stage_t *rcd_hold_stage_take(rcd_state_t *s)
{
    rcd_stage_t *stage = s->hold->stage;

    s->hold->stage = NULL;
    return stage;
}

/* It no longer waits, and what it would have brought is wanted anew. */
static int forget(rcd_state_t *s)
{
    s->marks.changes_gap = 1;
    return rcd_hold_drop(s);
}

int rcd_hold_rules(rcd_state_t *s, const rcd_rules_t *rules)
{
    uint8_t digest[32];

    if (rules->growth.stated) {
        s->hold->limit = rules->growth;
    }
    if (!s->hold->waits) {
        return 0;
    }
    rules_digest(rules, digest);
    if (memcmp(digest, s->hold->rules, sizeof(digest)) == 0) {
        return 0;
    }
    rcd_log(RCD_LOG_NOTICE, "the snapshot that waited for approval was read under other rules (digest "
                            "key, normalisers or measures); a fresh one is fetched");
    return forget(s);
}

/* Removes files of snapshots that do not wait. */
static void sweep(rcd_state_t *s, const char *keep)
{
    DIR *dir = opendir(s->dir);
    char path[RCD_DIR_MAX + 300];
    struct dirent *e;

    while (dir != NULL && (e = readdir(dir)) != NULL) {
        if (strncmp(e->d_name, "held-", 5) != 0) {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s", s->dir, e->d_name);
        if (strcmp(path, keep) != 0) {
            unlink(path);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

int rcd_hold_files(rcd_state_t *s)
{
    char path[RCD_HELD_PATH_MAX] = "";

    if (s->hold->waits) {
        rcd_hold_path(s, s->hold->held.sha256, path);
    }
    sweep(s, path);
    if (path[0] == '\0' || access(path, R_OK) == 0) {
        return 0;
    }
    rcd_log(RCD_LOG_WARN, "%s is gone: the snapshot that waited for approval is fetched anew", path);
    if (rcd_store_begin(s, 1) < 0) {
        return -1;
    }
    if (forget(s) < 0 || rcd_store_save_marks(s) < 0 || rcd_store_commit(s) < 0) {
        rcd_store_rollback(s);
        return -1;
    }
    return 0;
}

/* ---- the operator ---------------------------------------------------------------------------- */

/* NULL when `hash` names what waits. */
static const char *named(const rcd_state_t *s, const char *hash, char *err, size_t err_size)
{
    const rcd_held_t *h = rcd_hold_waits(s);
    size_t len = strlen(hash);

    if (h == NULL) {
        return "nothing waits for approval";
    }
    if (len < RCD_HELD_PREFIX || len > 64 || strncmp(hash, h->hash, len) != 0) {
        snprintf(err, err_size, "another snapshot waits: %s", h->hash);
        return err;
    }
    return h->approved ? "it is approved already, and being applied" : NULL;
}

static int commit_or_say(rcd_state_t *s, int rc, char *err, size_t err_size)
{
    if (rc < 0 || rcd_store_save_marks(s) < 0 || rcd_store_commit(s) < 0) {
        rcd_store_rollback(s);
        snprintf(err, err_size, "%s", s->fault);
        return -1;
    }
    return rcd_hold_load(s);
}

int rcd_hold_approve(rcd_state_t *s, const char *hash, int first, const char *user, char *err,
                     size_t err_size)
{
    const char *why = named(s, hash, err, err_size);
    const rcd_held_t *h = rcd_hold_waits(s);
    sqlite3_stmt *q = s->hold->stmt[ST_HELD_APPROVE];
    int rc;

    if (why == NULL && h->first && !first) {
        why = "it is the first list of all; look at it, then approve it with --first";
    }
    if (why != NULL) {
        if (why != err) {
            snprintf(err, err_size, "%s", why);
        }
        return -1;
    }
    if (rcd_store_begin(s, 1) < 0) {
        snprintf(err, err_size, "%s", s->fault);
        return -1;
    }
    rcd_sql_text(q, 1, user);
    rc = rcd_sql_step(s, q);
    if (rc == 0) {
        rc = rcd_audit(s, "approve", audit_fields(h, user));
    }
    return commit_or_say(s, rc, err, err_size);
}

int rcd_hold_reject(rcd_state_t *s, const char *hash, const char *user, char *err,
                    size_t err_size)
{
    const char *why = named(s, hash, err, err_size);
    int rc;

    if (why != NULL) {
        if (why != err) {
            snprintf(err, err_size, "%s", why);
        }
        return -1;
    }
    if (rcd_store_begin(s, 1) < 0) {
        snprintf(err, err_size, "%s", s->fault);
        return -1;
    }
    rc = rcd_audit(s, "reject", audit_fields(rcd_hold_waits(s), user));
    if (rc == 0) {
        rc = forget(s);
    }
    return commit_or_say(s, rc, err, err_size);
}

/* ---- changes applied before their turn ------------------------------------------------------- */

int rcd_hold_early(rcd_state_t *s, const char *number, uint64_t *seq)
{
    sqlite3_stmt *q = s->hold->stmt[ST_EARLY];
    int rc;

    if (s->hold->early == 0) {
        return 0;
    }
    rcd_sql_text(q, 1, number);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        *seq = (uint64_t) rcd_sql_col(q, 0);
        rcd_sql_done(q);
    }
    return rc;
}

int rcd_hold_early_put(rcd_state_t *s, const char *number, uint64_t seq)
{
    sqlite3_stmt *q = s->hold->stmt[ST_EARLY_PUT];
    uint64_t known = 0;
    int rc = rcd_hold_early(s, number, &known);

    if (rc < 0 || known >= seq) {
        return rc < 0 ? -1 : 0;
    }
    s->hold->early++;                      /* at least so many; counted anew by trim */
    rcd_sql_text(q, 1, number);
    rcd_sql_int(q, 2, (int64_t) seq);
    return rcd_sql_step(s, q);
}

int rcd_hold_early_trim(rcd_state_t *s, uint64_t seq)
{
    if (s->hold->early == 0) {
        return 0;
    }
    rcd_sql_int(s->hold->stmt[ST_EARLY_TRIM], 1, seq > INT64_MAX ? INT64_MAX : (int64_t) seq);
    return rcd_sql_step(s, s->hold->stmt[ST_EARLY_TRIM]) < 0 ||
                   count_of(s, ST_EARLY_N, &s->hold->early) < 0
               ? -1 : 0;
}

/* ---- listed again ---------------------------------------------------------------------------- */

/* Bytes that authority and basis, the first two texts, take at the beginning of grounds; 0 when they are
 * not whole. */
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

/* 1 when the number stands in the table, 0, or -1. */
static int has_relisted(rcd_state_t *s, const char *number)
{
    sqlite3_stmt *q = s->hold->stmt[ST_RELISTED_HAS];
    int rc;

    rcd_sql_text(q, 1, number);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        rcd_sql_done(q);
    }
    return rc;
}

static int note_relisted(rcd_state_t *s, const rcd_relisted_t *r)
{
    sqlite3_stmt *q = s->hold->stmt[ST_RELISTED_PUT];
    int had = has_relisted(s, r->number);
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
    s->hold->relisted += !had;
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

int rcd_hold_relisted(rcd_state_t *s, const rcd_order_t *o, int64_t at)
{
    sqlite3_stmt *q = s->hold->stmt[ST_LEFT];
    size_t len = basis_len(o->grounds, o->grounds_len);
    rcd_relisted_t r = {.at = at};
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
    return note_relisted(s, &r);
}

int rcd_hold_relistings(rcd_state_t *s, int64_t from, int64_t until,
                        int (*each)(void *arg, const rcd_relisted_t *r), void *arg)
{
    sqlite3_stmt *q = s->hold->stmt[ST_RELISTED];
    rcd_relisted_t r;
    int rc;

    rcd_sql_int(q, 1, from);
    rcd_sql_int(q, 2, until);
    while ((rc = rcd_sql_step(s, q)) > 0) {
        rcd_sql_col_text(q, 0, r.number, sizeof(r.number));
        r.at = rcd_sql_col(q, 1);
        rcd_sql_col_text(q, 2, r.before, sizeof(r.before));
        r.ended = (rcd_end_t) rcd_sql_col(q, 3);
        r.ended_at = rcd_sql_col(q, 4);
        if (each(arg, &r) != 0) {
            rcd_sql_done(q);
            return 0;
        }
    }
    return rc;
}

void rcd_hold_status(const rcd_state_t *s, rcd_hold_status_t *out)
{
    const struct rcd_hold_s *g = s->hold;

    *out = (rcd_hold_status_t){
        .size = g->size, .baseline = g->baseline, .allowance = rcd_hold_allowance(s),
        .widened = g->widened_before + g->widened, .approved_at = g->approved_at,
        .shrunk_at = g->shrunk_at, .shrunk_from = g->shrunk_from, .shrunk_to = g->shrunk_to,
        .relisted = g->relisted,
    };
}
