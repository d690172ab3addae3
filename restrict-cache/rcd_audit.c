/*
 * rcd_audit - records of the audit chain as rows of the journal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>
#include "rcd_audit.h"
#include "rcd_clock.h"
#include "rcd_jws.h"
#include "rcd_sql.h"

/* audit: records not yet in the chain file, in the order of id; text = the members after `kind`,
 * ",\"order\":\"...\"". audit_head: the chain file as far as the journal knows it. */
const char rcd_audit_schema[] =
    "CREATE TABLE audit(id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL,"
    " text TEXT NOT NULL) STRICT;"
    "CREATE TABLE audit_head(one INTEGER PRIMARY KEY CHECK(one = 1), n INTEGER NOT NULL,"
    " hash BLOB NOT NULL, size INTEGER NOT NULL, checkpoint_n INTEGER NOT NULL,"
    " checkpoint_at INTEGER NOT NULL, checkpoint TEXT NOT NULL, config TEXT NOT NULL) STRICT;"
    "INSERT INTO audit_head VALUES(1, 0, zeroblob(32), 0, 0, 0, '', '');";

enum {
    ST_PUT, ST_ROW, ST_REMOVE, ST_BOUNDS, ST_HEAD, ST_HEAD_SAVE, ST_CHECKPOINT, ST_CHECKPOINT_SAVE,
    ST_CONFIG, ST_CONFIG_SAVE, ST_N
};

static const char *const sql[ST_N] = {
    [ST_PUT] = "INSERT INTO audit(id, at, kind, text) VALUES(?, ?, ?, ?)",
    [ST_ROW] = "SELECT id, at, kind, text FROM audit WHERE id > ? ORDER BY id LIMIT 1",
    [ST_REMOVE] = "DELETE FROM audit WHERE id <= ?",
    [ST_BOUNDS] = "SELECT count(*), max(id) FROM audit",
    [ST_HEAD] = "SELECT n, hash, size, checkpoint_n, checkpoint_at FROM audit_head",
    [ST_HEAD_SAVE] =
        "UPDATE audit_head SET n = ?, hash = ?, size = ?, checkpoint_n = ?, checkpoint_at = ?",
    [ST_CHECKPOINT] = "SELECT checkpoint FROM audit_head",
    [ST_CHECKPOINT_SAVE] = "UPDATE audit_head SET checkpoint = ?",
    [ST_CONFIG] = "SELECT config FROM audit_head",
    [ST_CONFIG_SAVE] = "UPDATE audit_head SET config = ?",
};

struct rcd_audit_s {
    sqlite3_stmt *stmt[ST_N];
    int64_t       last_id;             /* highest id given out */
    char          actor[64];           /* "" = none */
    /* the texts named last, and their name */
    uint8_t       grounds_id[JD_GROUNDS_ID_LEN];
    char          text_id[RCD_AUDIT_TEXT_ID_LEN + 1];
    char         *checkpoint;          /* as given out */
};

static const char *const reserved[] = {"n", "at", "kind", "prev", "hash"};

/* ---- records --------------------------------------------------------------------------------- */

/* The members of `fields` as they stand in a record, ",\"a\":1,\"b\":2"; "" for none. To be freed;
 * NULL without memory. */
static char *members_print(cJSON *fields)
{
    char *text;
    size_t len;

    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        cJSON_DeleteItemFromObjectCaseSensitive(fields, reserved[i]);
    }
    if (fields == NULL || fields->child == NULL) {
        return strdup("");
    }
    text = cJSON_PrintUnformatted(fields);
    if (text == NULL) {
        return NULL;
    }
    len = strlen(text);
    if (len > RCD_AUDIT_TEXT_MAX) {              /* no caller's: a record is never lost for it */
        snprintf(text, len, ",\"too_long\":%zu", len);
        return text;
    }
    text[0] = ',';
    text[len - 1] = '\0';
    return text;
}

int rcd_audit_put(rcd_state_t *s, const char *kind, const char *text)
{
    struct rcd_audit_s *a = s->audit;
    sqlite3_stmt *q = a->stmt[ST_PUT];
    int64_t now = rcd_clock_wall();
    int rc;

    rcd_sql_int(q, 1, a->last_id + 1);
    rcd_sql_int(q, 2, now > 0 ? now : 0);
    rcd_sql_text(q, 3, rcd_audit_kind_ok(kind, strlen(kind)) ? kind : "unknown");
    rcd_sql_text(q, 4, text);
    rc = rcd_sql_step(s, q);
    a->last_id += rc == 0;
    return rc;
}

int rcd_audit(rcd_state_t *s, const char *kind, cJSON *fields)
{
    struct rcd_audit_s *a = s->audit;
    char *text;
    int rc;

    if (a->actor[0] != '\0' && !cJSON_HasObjectItem(fields, "user")) {
        fields = fields != NULL ? fields : cJSON_CreateObject();
        cJSON_AddStringToObject(fields, "user", a->actor);
    }
    text = members_print(fields);
    cJSON_Delete(fields);
    if (text == NULL) {
        snprintf(s->fault, sizeof(s->fault), "journal: out of memory");
        return -1;
    }
    rc = rcd_audit_put(s, kind, text);
    free(text);
    return rc;
}

int rcd_audit_alone(rcd_state_t *s, const char *kind, cJSON *fields)
{
    if (rcd_store_begin(s, 1) < 0) {
        cJSON_Delete(fields);
        return -1;
    }
    if (rcd_audit(s, kind, fields) < 0 || rcd_store_commit(s) < 0) {
        rcd_store_rollback(s);
        return -1;
    }
    return 0;
}

void rcd_audit_actor(rcd_state_t *s, const char *user)
{
    snprintf(s->audit->actor, sizeof(s->audit->actor), "%s", user != NULL ? user : "");
}

/* Orders of one authority come with the same texts: most are named already. */
const char *rcd_audit_text_id(rcd_state_t *s, const rcd_order_t *o)
{
    struct rcd_audit_s *a = s->audit;
    uint8_t hash[RCD_AUDIT_HASH_LEN];
    char hex[65];

    if (a->text_id[0] != '\0' && memcmp(a->grounds_id, o->grounds_id, sizeof(a->grounds_id)) == 0) {
        return a->text_id;
    }
    a->text_id[0] = '\0';
    if (EVP_Digest(o->grounds, o->grounds_len, hash, NULL, EVP_sha256(), NULL) == 1) {
        rcd_audit_hex_print(hash, hex);
        memcpy(a->text_id, hex, RCD_AUDIT_TEXT_ID_LEN);
        memcpy(a->grounds_id, o->grounds_id, sizeof(a->grounds_id));
    }
    return a->text_id;
}

/* ---- rows on their way to the chain file ----------------------------------------------------- */

int64_t rcd_audit_last(const rcd_state_t *s)
{
    return s->audit->last_id;
}

int rcd_audit_pending(rcd_state_t *s, uint64_t *n)
{
    sqlite3_stmt *q = s->audit->stmt[ST_BOUNDS];

    if (rcd_sql_step(s, q) <= 0) {
        return -1;
    }
    *n = (uint64_t) rcd_sql_col(q, 0);
    rcd_sql_done(q);
    return 0;
}

int rcd_audit_row(rcd_state_t *s, int64_t after, rcd_audit_row_t *row)
{
    sqlite3_stmt *q = s->audit->stmt[ST_ROW];
    int rc;

    rcd_sql_int(q, 1, after);
    rc = rcd_sql_step(s, q);
    if (rc > 0) {
        row->id = rcd_sql_col(q, 0);
        row->at = rcd_sql_col(q, 1);
        row->kind = (const char *) sqlite3_column_text(q, 2);
        row->text = (const char *) sqlite3_column_text(q, 3);
        row->text_len = (size_t) sqlite3_column_bytes(q, 3);
        if (row->kind == NULL || row->text == NULL) {
            rcd_sql_done(q);
            snprintf(s->fault, sizeof(s->fault), "journal: out of memory");
            return -1;
        }
    }
    return rc;
}

void rcd_audit_row_done(rcd_state_t *s)
{
    rcd_sql_done(s->audit->stmt[ST_ROW]);
}

int rcd_audit_rows_remove(rcd_state_t *s, int64_t id)
{
    sqlite3_stmt *q = s->audit->stmt[ST_REMOVE];

    rcd_sql_int(q, 1, id);
    return rcd_sql_step(s, q);
}

/* ---- the head -------------------------------------------------------------------------------- */

int rcd_audit_head(rcd_state_t *s, rcd_audit_head_t *head)
{
    sqlite3_stmt *q = s->audit->stmt[ST_HEAD];

    if (rcd_sql_step(s, q) <= 0) {
        return -1;
    }
    head->n = (uint64_t) rcd_sql_col(q, 0);
    rcd_sql_col_blob(q, 1, head->hash, sizeof(head->hash));
    head->size = (uint64_t) rcd_sql_col(q, 2);
    head->checkpoint_n = (uint64_t) rcd_sql_col(q, 3);
    head->checkpoint_at = rcd_sql_col(q, 4);
    rcd_sql_done(q);
    return 0;
}

int rcd_audit_head_save(rcd_state_t *s, const rcd_audit_head_t *head, const char *checkpoint)
{
    sqlite3_stmt *q = s->audit->stmt[ST_HEAD_SAVE];

    rcd_sql_int(q, 1, (int64_t) head->n);
    rcd_sql_blob(q, 2, head->hash, sizeof(head->hash));
    rcd_sql_int(q, 3, (int64_t) head->size);
    rcd_sql_int(q, 4, (int64_t) head->checkpoint_n);
    rcd_sql_int(q, 5, head->checkpoint_at);
    if (rcd_sql_step(s, q) < 0) {
        return -1;
    }
    if (checkpoint == NULL) {
        return 0;
    }
    q = s->audit->stmt[ST_CHECKPOINT_SAVE];
    rcd_sql_text(q, 1, checkpoint);
    return rcd_sql_step(s, q);
}

/* The one text of a statement without arguments: malloc'ed, or NULL. */
static char *text_of(rcd_state_t *s, int st)
{
    sqlite3_stmt *q = s->audit->stmt[st];
    const char *text;
    char *copy = NULL;

    if (rcd_sql_step(s, q) > 0) {
        text = (const char *) sqlite3_column_text(q, 0);
        copy = text != NULL ? strdup(text) : NULL;
        rcd_sql_done(q);
    }
    return copy;
}

/* The claim `hash` of our own checkpoint. 0 or -1. */
static int hash_claim(const char *jws, char hash[65])
{
    const char *dot = strchr(jws, '.'), *end = dot != NULL ? strchr(dot + 1, '.') : NULL, *text;
    uint8_t *json = end != NULL ? malloc((size_t) (end - dot) / 4 * 3 + 3) : NULL;
    long len = json != NULL ? rcd_base64url_decode(dot + 1, (size_t) (end - dot - 1), json) : -1;
    cJSON *claims = len > 0 ? cJSON_ParseWithLength((char *) json, (size_t) len) : NULL;

    text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(claims, "hash"));
    snprintf(hash, 65, "%s", text != NULL ? text : "");
    cJSON_Delete(claims);
    free(json);
    return strlen(hash) == 64 ? 0 : -1;
}

const char *rcd_audit_checkpoint(rcd_state_t *s, uint64_t *n, char hash[65])
{
    rcd_audit_head_t head;

    *n = 0;
    hash[0] = '\0';
    if (rcd_audit_head(s, &head) != 0 || head.checkpoint_n == 0) {
        return "";
    }
    free(s->audit->checkpoint);
    s->audit->checkpoint = text_of(s, ST_CHECKPOINT);
    if (s->audit->checkpoint == NULL || hash_claim(s->audit->checkpoint, hash) != 0) {
        hash[0] = '\0';
        return "";
    }
    *n = head.checkpoint_n;
    return s->audit->checkpoint;
}

char *rcd_audit_config_text(rcd_state_t *s)
{
    return text_of(s, ST_CONFIG);
}

int rcd_audit_config_save(rcd_state_t *s, const char *text)
{
    sqlite3_stmt *q = s->audit->stmt[ST_CONFIG_SAVE];

    rcd_sql_text(q, 1, text);
    return rcd_sql_step(s, q);
}

/* ---- with the journal ------------------------------------------------------------------------ */

int rcd_audit_open(rcd_state_t *s)
{
    sqlite3_stmt *q;

    s->audit = calloc(1, sizeof(*s->audit));
    if (s->audit == NULL) {
        snprintf(s->fault, sizeof(s->fault), "out of memory");
        return -1;
    }
    if (rcd_sql_prepare(s, s->audit->stmt, sql, ST_N) != 0) {
        return -1;
    }
    q = s->audit->stmt[ST_BOUNDS];
    if (rcd_sql_step(s, q) <= 0) {
        return -1;
    }
    s->audit->last_id = rcd_sql_col(q, 1);
    rcd_sql_done(q);
    return 0;
}

void rcd_audit_close(rcd_state_t *s)
{
    if (s->audit != NULL) {
        rcd_sql_finalize(s->audit->stmt, ST_N);
        free(s->audit->checkpoint);
    }
    free(s->audit);
    s->audit = NULL;
}
