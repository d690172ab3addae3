/*
 * rcd_relief_command - stay, unstay, objection: from rcctl into the journal, then at once to Redis.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "core/jd_utf8.h"
#include "rcd_clock.h"
#include "rcd_json.h"
#include "rcd_objection.h"
#include "rcd_relief_command.h"
#include "rcd_stay.h"

typedef struct {
    char             ref[RCD_STAY_REF_MAX + 1];
    const char      *reason;
    const char      *number;               /* NULL: a person */
    rcd_stay_field_t fields[RCD_STAY_FIELDS_MAX];
    unsigned         n_fields;
    int64_t          at;                   /* when it was given: not after now */
} request_t;

/* ---- reading a command ----------------------------------------------------------------------- */

int rcd_operator_text_ok(const char *text, size_t max)
{
    size_t len = text == NULL ? 0 : strlen(text), size;
    uint32_t code;

    for (size_t at = 0; at < len; at += size) {
        size = jd_utf8_read((const uint8_t *) text + at, len - at, &code);
        if (size == 0 || jd_utf8_control(code)) {
            return 0;
        }
    }
    return len > 0 && len <= max;
}

static const char *read_ref(const cJSON *command, request_t *q)
{
    const char *ref = rcd_json_string(command, "ref");
    size_t len = ref == NULL ? 0 : strlen(ref);

    if (len == 0 || len > RCD_STAY_REF_MAX || strspn(ref, "0123456789abcdef") != len) {
        return "ref is not 1 to 32 hex digits";
    }
    memcpy(q->ref, ref, len + 1);
    return NULL;
}

static int read_hex(const char *hex, uint8_t out[JD_HOLDER_LEN])
{
    if (hex == NULL || strlen(hex) != 2 * JD_HOLDER_LEN ||
        strspn(hex, "0123456789abcdef") != 2 * JD_HOLDER_LEN) {
        return -1;
    }
    for (int i = 0; i < JD_HOLDER_LEN; i++) {
        unsigned byte;

        sscanf(hex + 2 * i, "%2x", &byte);
        out[i] = (uint8_t) byte;
    }
    return 0;
}

static const char *read_fields(const cJSON *fields, request_t *q)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, fields)
    {
        rcd_stay_field_t *f = &q->fields[q->n_fields];
        const char *under = rcd_json_string(item, "under");

        if (q->n_fields == RCD_STAY_FIELDS_MAX || under == NULL ||
            strlen(under) >= sizeof(f->under) ||
            read_hex(rcd_json_string(item, "field"), f->field) != 0) {
            return "fields are not digests of one identifier";
        }
        snprintf(f->under, sizeof(f->under), "%s", under);
        q->n_fields++;
    }
    return q->n_fields > 0 ? NULL : "order or fields are needed";
}

/* What all commands have; `number` only for those that may name a person instead. */
static const char *read_request(const rcd_command_t *c, const cJSON *command, int person,
                                request_t *q)
{
    int64_t now = rcd_clock_wall();
    uint64_t at;

    memset(q, 0, sizeof(*q));
    q->number = rcd_json_string(command, "order");
    q->reason = rcd_json_string(command, "reason");
    q->at = rcd_json_uint(command, "at", RCD_JSON_INT_MAX, &at) == 1 && (int64_t) at <= now
                ? (int64_t) at : now;
    if (!rcd_operator_text_ok(c->user, RCD_USER_MAX)) {
        return "user is not a name of 1 to 64 bytes";
    }
    if (!rcd_operator_text_ok(q->reason, RCD_REASON_MAX)) {
        return "reason is not a text of 1 to 500 bytes";
    }
    if (q->number != NULL) {
        return jd_order_number_ok(q->number, strlen(q->number)) ? NULL : "not an order number";
    }
    return person ? read_fields(cJSON_GetObjectItemCaseSensitive(command, "fields"), q)
                  : "order is needed";
}

/* ---- the journal, then Redis ----------------------------------------------------------------- */

/* Ends the transaction: NULL, or why it was not done. */
static const char *finish(rcd_command_t *c, int rc, const char *when_failed)
{
    if (rc >= 0 && rcd_store_commit(c->state) == 0) {
        c->err[0] = '\0';
        return NULL;
    }
    rcd_store_rollback(c->state);
    if (strcmp(c->err, c->state->fault) != 0) {       /* not again each time it is tried */
        rcd_log(RCD_LOG_ERROR, "%s", c->state->fault);
    }
    snprintf(c->err, sizeof(c->err), "%s", c->state->fault);
    return when_failed != NULL ? when_failed : c->err;
}

static void to_redis(rcd_command_t *c, cJSON *answer)
{
    cJSON_AddBoolToObject(answer, "redis", rcd_redis_urge(c->redis));
}

/* 1 when one of the fields is a digest such as the list's, or as the next era will have. */
static int covers(const rcd_command_t *c, const request_t *q)
{
    char next[RCD_UNDER_MAX];

    rcd_store_under_print(&c->config->rules, next);
    for (unsigned i = 0; i < q->n_fields; i++) {
        if (strcmp(q->fields[i].under, c->state->under) == 0 ||
            strcmp(q->fields[i].under, next) == 0) {
            return 1;
        }
    }
    return q->number != NULL;
}

static int renew(rcd_command_t *c, const cJSON *command, const rcd_stay_t *stay)
{
    const rcd_stay_ending_t e = {.how = RCD_STAY_RENEWED, .at = stay->since, .user = stay->user,
                                 .reason = stay->reason};
    uint64_t id;

    return rcd_json_uint(command, "renew", RCD_JSON_INT_MAX, &id) == 1
               ? rcd_stay_end_id(c->state, (int64_t) id, &e) : 0;
}

const char *rcd_command_stay(rcd_command_t *c, const cJSON *command, cJSON *answer)
{
    rcd_stay_t stay = {.until = JD_STAY_FOREVER};
    const char *why;
    uint64_t until;
    request_t q;
    int rc;

    why = read_request(c, command, 1, &q);
    why = why != NULL ? why : read_ref(command, &q);
    if (why != NULL) {
        return why;
    }
    rc = rcd_json_uint(command, "until", JD_STAY_FOREVER, &until);
    if (rc < 0 || (rc > 0 && until == 0)) {
        return "until is not a Unix second";
    }
    stay.until = rc > 0 ? (int64_t) until : JD_STAY_FOREVER;
    stay.since = q.at;
    memcpy(stay.ref, q.ref, sizeof(stay.ref));
    snprintf(stay.number, sizeof(stay.number), "%s", q.number != NULL ? q.number : "");
    snprintf(stay.user, sizeof(stay.user), "%s", c->user);
    snprintf(stay.reason, sizeof(stay.reason), "%s", q.reason);

    rc = rcd_store_begin(c->state, 1);
    rc = rc == 0 ? rcd_stay_put(c->state, &stay, q.fields, q.n_fields) : rc;
    if (rc > 0 && renew(c, command, &stay) < 0) {
        rc = -1;
    }
    why = finish(c, rc, rcd_command_later);
    if (why != NULL) {
        return why;
    }
    if (rc > 0) {
        rcd_log(RCD_LOG_NOTICE, "stay %" PRId64 " of %s%s by %s", stay.id,
                q.number != NULL ? "order " : "a person", stay.number, c->user);
    }
    cJSON_AddBoolToObject(answer, "covers", covers(c, &q));
    to_redis(c, answer);
    return NULL;
}

const char *rcd_command_unstay(rcd_command_t *c, const cJSON *command, cJSON *answer)
{
    rcd_stay_ending_t e = {.how = RCD_STAY_UNSTAYED, .user = c->user};
    const char *why;
    request_t q;
    int rc;

    why = read_request(c, command, 1, &q);
    if (why != NULL) {
        return why;
    }
    e.at = q.at;
    e.reason = q.reason;
    rc = rcd_store_begin(c->state, 1);
    if (rc == 0) {
        rc = q.number != NULL ? rcd_stay_end_order(c->state, q.number, &e)
                              : rcd_stay_end_person(c->state, q.fields, q.n_fields, &e);
    }
    why = finish(c, rc, NULL);
    if (why != NULL) {
        return why;
    }
    if (rc == 0) {
        return q.number != NULL ? "no stay of this order stands" : "no stay of this person stands";
    }
    rcd_log(RCD_LOG_NOTICE, "%d stay%s of %s%s ended by %s", rc, rc == 1 ? "" : "s",
            q.number != NULL ? "order " : "a person", q.number != NULL ? q.number : "", c->user);
    cJSON_AddNumberToObject(answer, "ended", rc);
    to_redis(c, answer);
    return NULL;
}

static const char *objection(rcd_command_t *c, const cJSON *command, cJSON *answer, int end)
{
    rcd_objection_t o = {.user = c->user};
    const char *why;
    request_t q;
    int rc;

    why = read_request(c, command, 0, &q);
    why = why != NULL || end ? why : read_ref(command, &q);
    if (why != NULL) {
        return why;
    }
    snprintf(o.number, sizeof(o.number), "%s", q.number);
    o.reason = q.reason;
    o.ref = q.ref;
    o.at = q.at;
    rc = rcd_store_begin(c->state, 1);
    if (rc == 0) {
        rc = end ? rcd_objection_end(c->state, &o) : rcd_objection_put(c->state, &o, 0);
    }
    why = finish(c, rc, end ? NULL : rcd_command_later);
    if (why != NULL) {
        return why;
    }
    if (end && rc == 0) {
        return "no objection of the operator stands; the office ends its own";
    }
    rcd_log(RCD_LOG_NOTICE, "objection to order %s %s by %s", q.number, end ? "ended" : "set",
            c->user);
    to_redis(c, answer);
    return NULL;
}

const char *rcd_command_objection(rcd_command_t *c, const cJSON *command, cJSON *answer)
{
    return objection(c, command, answer, 0);
}

const char *rcd_command_objection_end(rcd_command_t *c, const cJSON *command, cJSON *answer)
{
    return objection(c, command, answer, 1);
}
