/*
 * rcd_brake - releases of the gates' brake.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/jd_measure.h"
#include "rcd_audit.h"
#include "rcd_brake.h"
#include "rcd_clock.h"
#include "rcd_json.h"
#include "rcd_log.h"
#include "rcd_sql.h"

/* brakes: the newest release of each measure, by name. */
const char rcd_brake_schema[] =
    "CREATE TABLE brakes(measure TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;";

enum { ST_ALL, ST_PUT, ST_N };

static const char *const sql[ST_N] = {
    [ST_ALL] = "SELECT measure, at FROM brakes",
    [ST_PUT] = "INSERT OR REPLACE INTO brakes VALUES(?, ?)",
};

struct rcd_brake_s {
    sqlite3_stmt *stmt[ST_N];
    int64_t       at[JD_MEASURE_N];        /* 0 = never */
};

static int load(rcd_state_t *s)
{
    sqlite3_stmt *q = s->brake->stmt[ST_ALL];
    char name[64];
    int rc, bit;

    while ((rc = rcd_sql_step(s, q)) > 0) {
        rcd_sql_col_text(q, 0, name, sizeof(name));
        bit = jd_measure_bit(name, strlen(name));
        if (bit >= 0) {
            s->brake->at[bit] = rcd_sql_col(q, 1);
        }
    }
    return rc;
}

int rcd_brake_open(rcd_state_t *s)
{
    s->brake = calloc(1, sizeof(*s->brake));
    if (s->brake == NULL) {
        snprintf(s->fault, sizeof(s->fault), "out of memory");
        return -1;
    }
    return rcd_sql_prepare(s, s->brake->stmt, sql, ST_N) != 0 ? -1 : load(s);
}

void rcd_brake_close(rcd_state_t *s)
{
    if (s->brake != NULL) {
        rcd_sql_finalize(s->brake->stmt, ST_N);
        free(s->brake);
    }
}

void rcd_brake_text(const rcd_state_t *s, char out[RCD_BRAKE_TEXT_MAX])
{
    size_t len = 0;

    out[0] = '\0';
    for (int bit = 0; bit < JD_MEASURE_N; bit++) {
        if (s->brake->at[bit] > 0) {
            len += (size_t) snprintf(out + len, RCD_BRAKE_TEXT_MAX - len, "%s%s=%lld",
                                     len > 0 ? " " : "", jd_measure_names[bit],
                                     (long long) s->brake->at[bit]);
        }
    }
}

static int release(rcd_state_t *s, int bit, int64_t now, const char *reason)
{
    sqlite3_stmt *q = s->brake->stmt[ST_PUT];
    cJSON *fields = cJSON_CreateObject();

    cJSON_AddStringToObject(fields, "measure", jd_measure_names[bit]);
    cJSON_AddStringToObject(fields, "reason", reason);
    if (rcd_store_begin(s, 1) < 0) {
        cJSON_Delete(fields);
        return -1;
    }
    rcd_sql_text(q, 1, jd_measure_names[bit]);
    rcd_sql_int(q, 2, now);
    if (rcd_audit(s, "brake.release", fields) < 0 || rcd_sql_step(s, q) < 0 ||
        rcd_store_commit(s) < 0) {
        rcd_store_rollback(s);
        return -1;
    }
    s->brake->at[bit] = now;
    return 0;
}

const char *rcd_brake_command(rcd_command_t *c, const cJSON *command, cJSON *answer)
{
    const char *measure = rcd_json_string(command, "measure");
    const char *reason = rcd_json_string(command, "reason");
    int bit = measure != NULL ? jd_measure_bit(measure, strlen(measure)) : -1;
    int64_t now = rcd_clock_wall();

    if (bit < 0) {
        return "measure is none of the closed list";
    }
    if (reason == NULL || reason[0] == '\0') {
        return "a release needs a reason";
    }
    if (release(c->state, bit, now, reason) < 0) {
        return "the journal cannot be written";
    }
    rcd_log(RCD_LOG_NOTICE, "brake of %s released by %s", measure, c->user);
    cJSON_AddNumberToObject(answer, "at", (double) now);
    return NULL;
}
