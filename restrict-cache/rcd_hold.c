/*
 * rcd_hold - the snapshot that waits for the operator, and changes applied before their turn.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/evp.h>
#include "rcd_audit.h"
#include "rcd_hold.h"
#include "rcd_log.h"
#include "rcd_sql.h"
#include "rcd_stage.h"

const char rcd_hold_schema[] =
    "CREATE TABLE held(one INTEGER PRIMARY KEY CHECK(one = 1), hash BLOB NOT NULL,"
    " epoch INTEGER NOT NULL, seq INTEGER NOT NULL, relief_seq INTEGER NOT NULL,"
    " iat INTEGER NOT NULL, since INTEGER NOT NULL, first INTEGER NOT NULL,"
    " approved INTEGER NOT NULL, user TEXT NOT NULL, records INTEGER NOT NULL,"
    " refused INTEGER NOT NULL, adds_orders INTEGER NOT NULL, adds_terms INTEGER NOT NULL,"
    " drops INTEGER NOT NULL, rules BLOB NOT NULL) STRICT;"
    "CREATE TABLE early(number TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;";

_Static_assert(RCD_DIR_MAX + 32 <= RCD_HELD_PATH_MAX, "the name of a file fits");

enum {
    ST_HELD, ST_HELD_PUT, ST_HELD_DROP, ST_HELD_APPROVE, ST_EARLY, ST_EARLY_PUT, ST_EARLY_TRIM,
    ST_EARLY_N, ST_N
};

static const char *const sql[ST_N] = {
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
};

struct rcd_hold_s {
    sqlite3_stmt *stmt[ST_N];
    uint64_t      early;
    int           waits;
    rcd_held_t    held;
    uint8_t       rules[32];               /* under which it was staged */
    rcd_stage_t  *stage;                   /* of a journal in memory */
};

/* ---- open, load ------------------------------------------------------------------------------ */

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

int rcd_hold_load(rcd_state_t *s)
{
    struct rcd_hold_s *g = s->hold;

    return load_held(s) < 0 ? -1 : rcd_sql_number(s, g->stmt[ST_EARLY_N], &g->early);
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
                   rcd_sql_number(s, s->hold->stmt[ST_EARLY_N], &s->hold->early) < 0
               ? -1 : 0;
}
