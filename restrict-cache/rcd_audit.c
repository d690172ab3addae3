/*
 * rcd_audit - records of the audit chain as rows of the journal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_audit.h"
#include "rcd_clock.h"
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

enum { ST_PUT, ST_N };

static const char *const sql[ST_N] = {
    [ST_PUT] = "INSERT INTO audit(at, kind, text) VALUES(?, ?, ?)",
};

struct rcd_audit_s {
    sqlite3_stmt *stmt[ST_N];
};

static const char *const reserved[] = {"n", "at", "kind", "prev", "hash"};

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
    if (text != NULL) {
        len = strlen(text);
        text[0] = ',';
        text[len - 1] = '\0';
    }
    return text;
}

int rcd_audit(rcd_state_t *s, const char *kind, cJSON *fields)
{
    sqlite3_stmt *q = s->audit->stmt[ST_PUT];
    char *text = members_print(fields);
    int rc = -1;

    cJSON_Delete(fields);
    if (text == NULL) {
        snprintf(s->fault, sizeof(s->fault), "journal: out of memory");
        return -1;
    }
    rcd_sql_int(q, 1, rcd_clock_wall());
    rcd_sql_text(q, 2, kind);
    rcd_sql_text(q, 3, text);
    rc = rcd_sql_step(s, q);
    free(text);
    return rc;
}

int rcd_audit_open(rcd_state_t *s)
{
    s->audit = calloc(1, sizeof(*s->audit));
    if (s->audit == NULL) {
        snprintf(s->fault, sizeof(s->fault), "out of memory");
        return -1;
    }
    return rcd_sql_prepare(s, s->audit->stmt, sql, ST_N);
}

void rcd_audit_close(rcd_state_t *s)
{
    if (s->audit != NULL) {
        rcd_sql_finalize(s->audit->stmt, ST_N);
    }
    free(s->audit);
    s->audit = NULL;
}
