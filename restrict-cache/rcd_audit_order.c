/*
 * rcd_audit_order - records of what happens to an order.
 */
#include <stdio.h>
#include <string.h>
#include <openssl/evp.h>
#include "rcd_audit.h"
#include "rcd_audit_order.h"

#define TEXT_ID_BYTES 8

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

static void source_add(cJSON *o, const rcd_source_t *from)
{
    cJSON_AddItemToObject(o, "by", cJSON_CreateStringReference(
        from->imported ? "import" : from->seq > 0 ? "feed" : "snapshot"));
    if (from->seq > 0) {
        number_add(o, "epoch", from->epoch);
        number_add(o, "seq", (int64_t) from->seq);
    }
    number_add(o, "iat", from->iat);
}

/* ---- the authority's words ------------------------------------------------------------------- */

/* The first bytes of the SHA-256 of the encoded grounds, as hex; "" without memory. */
static void text_id(const rcd_order_t *o, char hex[2 * TEXT_ID_BYTES + 1])
{
    uint8_t hash[RCD_AUDIT_HASH_LEN];

    hex[0] = '\0';
    if (EVP_Digest(o->grounds, o->grounds_len, hash, NULL, EVP_sha256(), NULL) == 1) {
        for (int i = 0; i < TEXT_ID_BYTES; i++) {
            snprintf(hex + 2 * i, 3, "%02x", hash[i]);
        }
    }
}

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

int rcd_audit_order(rcd_state_t *s, const rcd_source_t *from, const rcd_row_t *row,
                    const rcd_row_t *old, const rcd_order_t *o, int fresh)
{
    int amended = old != NULL && old->ended == RCD_END_NONE;
    char id[2 * TEXT_ID_BYTES + 1];
    cJSON *fields;

    text_id(o, id);
    if (fresh && text_record(s, from, o, id) < 0) {
        return -1;
    }
    fields = of_order(row->number);
    source_add(fields, from);
    measures_add(fields, row->measures);
    cJSON_AddItemToObject(fields, "effect", cJSON_CreateStringReference(
        row->flags & JD_ORDER_OBSERVE ? "observe" : "enforce"));
    if (row->flags & JD_ORDER_OBJECTION) {
        cJSON_AddTrueToObject(fields, "objection");
    }
    number_add(fields, "served", row->served);
    number_add(fields, "from", row->start);
    number_add(fields, "until", row->until);
    cJSON_AddStringToObject(fields, "text", id);
    if (old != NULL && !amended) {
        cJSON_AddStringToObject(fields, "after", rcd_end_names[old->ended]);
    }
    return rcd_audit(s, amended ? "order.amended" : "order.applied", fields);
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
    source_add(fields, from);
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
