/*
 * rcd_audit_order - records of what happens to an order.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "rcd_audit.h"
#include "rcd_audit_order.h"

#define MEMBERS_MAX  1024            /* number 64, seven names of measures, times */

static void measures_add(cJSON *o, uint16_t mask)
{
    cJSON *names;

    if (mask == 0xffff) {
        cJSON_AddStringToObject(o, "measures", "all");
        return;
    }
    names = cJSON_AddArrayToObject(o, "measures");
    for (unsigned bit = 0; bit < JD_MEASURE_N; bit++) {
        if (mask & 1u << bit) {
            cJSON_AddItemToArray(names, cJSON_CreateStringReference(jd_measure_names[bit]));
        }
    }
}

static void number_add(cJSON *o, const char *name, int64_t value)
{
    cJSON_AddNumberToObject(o, name, (double) value);
}

static cJSON *of_order(const char *number)
{
    cJSON *o = cJSON_CreateObject();

    cJSON_AddStringToObject(o, "order", number);
    return o;
}

static const char *source_name(const rcd_source_t *from)
{
    return from->imported ? "import" : from->seq > 0 ? "feed" : "snapshot";
}

/* ---- the authority's words ------------------------------------------------------------------- */

/* text {id, authority, basis, ...}: members in the order of jd_grounds_t, empty ones left out. */
static int text_record(rcd_state_t *s, const rcd_source_t *from, const rcd_order_t *o,
                       const char *id)
{
    cJSON *fields = cJSON_CreateObject();
    char value[JD_GROUNDS_MAX + 1];
    jd_grounds_t g;

    cJSON_AddStringToObject(fields, "id", id);
    if (jd_grounds_decode(from->rules->key, o->grounds_id, o->grounds, o->grounds_len, &g) ==
        JD_RECORD_OK) {
        const struct { const char *name, *text; size_t len; } member[] = {
            {"authority", g.authority.text, g.authority.len},
            {"basis", g.basis.text, g.basis.len},
            {"relevance", g.relevance.text, g.relevance.len},
            {"contest_url", g.contest_url.text, g.contest_url.len},
            {"contest_phone", g.contest_phone.text, g.contest_phone.len},
            {"repair_url", g.repair_url.text, g.repair_url.len},
            {"repair_phone", g.repair_phone.text, g.repair_phone.len},
        };

        for (size_t i = 0; i < sizeof(member) / sizeof(member[0]); i++) {
            if (member[i].len > 0) {
                memcpy(value, member[i].text, member[i].len);
                value[member[i].len] = '\0';
                cJSON_AddStringToObject(fields, member[i].name, value);
            }
        }
    }
    return rcd_audit(s, "text", fields);
}

/* ---- an order -------------------------------------------------------------------------------- */

/* Appends to `text`, whose room is enough by the sizes of what goes in. */
__attribute__((format(printf, 3, 4)))
static void add(char text[MEMBERS_MAX], size_t *len, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(text + *len, MEMBERS_MAX - *len, format, args);
    va_end(args);
    *len += n > 0 && (size_t) n < MEMBERS_MAX - *len ? (size_t) n : 0;
}

/* Printed by hand: a snapshot brings them by the million. A number needs no escapes
 * (jd_order_number_ok), and all else is names and numbers of ours. */
int rcd_audit_order(rcd_state_t *s, const rcd_source_t *from, const rcd_row_t *row,
                    const rcd_row_t *old, const rcd_order_t *o, int fresh)
{
    int amended = old != NULL && old->ended == RCD_END_NONE;
    const char *id = rcd_audit_text_id(s, o), *comma = "";
    char text[MEMBERS_MAX];
    size_t len = 0;

    if (fresh && text_record(s, from, o, id) < 0) {
        return -1;
    }
    add(text, &len, ",\"order\":\"%s\",\"by\":\"%s\"", row->number, source_name(from));
    if (from->seq > 0) {
        add(text, &len, ",\"epoch\":%u,\"seq\":%" PRIu64, from->epoch, from->seq);
    }
    add(text, &len, ",\"iat\":%" PRId64 ",\"measures\":[", from->iat);
    for (unsigned bit = 0; bit < JD_MEASURE_N; bit++) {
        if (row->measures & 1u << bit) {
            add(text, &len, "%s\"%s\"", comma, jd_measure_names[bit]);
            comma = ",";
        }
    }
    add(text, &len, "],\"effect\":\"%s\"%s,\"served\":%" PRId64 ",\"from\":%" PRId64
        ",\"until\":%" PRId64 ",\"text\":\"%s\"",
        row->flags & JD_ORDER_OBSERVE ? "observe" : "enforce",
        row->flags & JD_ORDER_OBJECTION ? ",\"objection\":true" : "", row->served, row->start,
        row->until, id);
    if (old != NULL && !amended) {
        add(text, &len, ",\"after\":\"%s\"", rcd_end_names[old->ended]);
    }
    return rcd_audit_put(s, amended ? "order.amended" : "order.applied", text);
}

int rcd_audit_order_narrowed(rcd_state_t *s, const rcd_source_t *from, const rcd_row_t *row)
{
    cJSON *fields = of_order(row->number);

    cJSON_AddStringToObject(fields, "by", source_name(from));
    number_add(fields, "iat", from->iat);
    measures_add(fields, row->measures);
    cJSON_AddItemToObject(fields, "effect", cJSON_CreateStringReference(
        row->flags & JD_ORDER_OBSERVE ? "observe" : "enforce"));
    if (row->flags & JD_ORDER_OBJECTION) {
        cJSON_AddTrueToObject(fields, "objection");
    }
    number_add(fields, "from", row->start);
    number_add(fields, "until", row->until);
    return rcd_audit(s, "order.narrowed", fields);
}

int rcd_audit_order_end(rcd_state_t *s, const char *number, rcd_end_t why, rcd_quarantine_t code,
                        int64_t iat)
{
    static const char *const kinds[RCD_END_N] = {
        [RCD_END_EXPIRED] = "order.expired",
        [RCD_END_DROPPED] = "order.dropped",
        [RCD_END_REFUSED] = "order.refused",
    };
    cJSON *fields;

    if (kinds[why] == NULL) {
        return 0;
    }
    fields = of_order(number);
    if (code != RCD_Q_NONE) {
        cJSON_AddStringToObject(fields, "code", rcd_quarantine_names[code]);
    }
    number_add(fields, why == RCD_END_EXPIRED ? "until" : "iat", iat);
    return rcd_audit(s, kinds[why], fields);
}

/* ---- relief ---------------------------------------------------------------------------------- */

int rcd_audit_relief(rcd_state_t *s, const rcd_event_t *ev)
{
    cJSON *fields = of_order(ev->number);

    if (ev->kind == RCD_EV_LIFT) {
        measures_add(fields, ev->lifted);
    } else {
        cJSON_AddBoolToObject(fields, "objection", ev->objection);
    }
    number_add(fields, "epoch", ev->epoch);
    number_add(fields, "seq", (int64_t) ev->seq);
    if (ev->toe != 0) {
        number_add(fields, "toe", ev->toe);
    }
    number_add(fields, "iat", ev->iat);
    return rcd_audit(s, ev->kind == RCD_EV_LIFT ? "lift" : "mark", fields);
}

int rcd_audit_objection_over(rcd_state_t *s, const char *number, const rcd_source_t *from)
{
    cJSON *fields = of_order(number);

    cJSON_AddFalseToObject(fields, "objection");
    cJSON_AddStringToObject(fields, "by", source_name(from));
    number_add(fields, "iat", from->iat);
    return rcd_audit(s, "mark", fields);
}

int rcd_audit_quarantine(rcd_state_t *s, const rcd_result_t *res, int64_t iat)
{
    cJSON *fields = cJSON_CreateObject();

    if (res->number[0] != '\0') {
        cJSON_AddStringToObject(fields, "order", res->number);
    }
    cJSON_AddStringToObject(fields, "code", rcd_quarantine_names[res->code]);
    cJSON_AddStringToObject(fields, "why", res->why);
    number_add(fields, "iat", iat);
    return rcd_audit(s, "quarantine", fields);
}
