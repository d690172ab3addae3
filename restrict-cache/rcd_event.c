/*
 * rcd_event - payload of one verified security event token (RFC 8417) to one event of the state.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/jd_measure.h"
#include "rcd_event.h"

#define LIFT_WHOLE 0xffff

int rcd_jti_ok(const char *jti)
{
    size_t len = strlen(jti);

    if (len == 0 || len >= sizeof(((rcd_event_t *) 0)->jti)) {
        return 0;
    }
    for (size_t i = 0; i < len; i++) {
        if (jti[i] <= ' ' || jti[i] >= 0x7f || jti[i] == '"' || jti[i] == '\\') {
            return 0;
        }
    }
    return 1;
}

static const char *number_read(const cJSON *body, rcd_event_t *ev)
{
    const char *number = rcd_json_string(body, "order");
    size_t len = number == NULL ? 0 : strlen(number);

    if (number == NULL || len > JD_ORDER_NUMBER_MAX || !jd_order_number_ok(number, len)) {
        return "order is not an order number";
    }
    memcpy(ev->number, number, len + 1);
    return NULL;
}

static const char *lift_read(const cJSON *body, rcd_event_t *ev)
{
    const cJSON *measures = cJSON_GetObjectItemCaseSensitive(body, "measures"), *m;

    ev->kind = RCD_EV_LIFT;
    ev->lifted = LIFT_WHOLE;
    if (measures != NULL) {
        if (!cJSON_IsArray(measures) || cJSON_GetArraySize(measures) == 0) {
            return "measures is not a list of measures; leave it out to lift the whole order";
        }
        ev->lifted = 0;
        cJSON_ArrayForEach(m, measures)
        {
            int bit;

            if (!cJSON_IsString(m)) {
                return "measures holds something else than names";
            }
            bit = jd_measure_bit(m->valuestring, strlen(m->valuestring));
            if (bit >= 0) {
                ev->lifted |= (uint16_t) (1u << bit);
            }
        }
    }
    return number_read(body, ev);
}

static const char *mark_read(const cJSON *body, rcd_event_t *ev)
{
    const cJSON *objection = cJSON_GetObjectItemCaseSensitive(body, "objection");

    ev->kind = RCD_EV_MARK;
    if (!cJSON_IsBool(objection)) {
        return "objection is not true or false";
    }
    ev->objection = cJSON_IsTrue(objection);
    return number_read(body, ev);
}

/* The record is checked by the state (rcd_order_parse); here it must only be an object, written out
 * for it. */
static const char *order_read(const cJSON *body, rcd_token_t *t)
{
    const cJSON *order = cJSON_GetObjectItemCaseSensitive(body, "order");
    const char *number = rcd_json_string(order, "order");

    t->ev.kind = RCD_EV_ORDER;
    if (!cJSON_IsObject(order)) {
        return "order is not a record";
    }
    if (number != NULL && strlen(number) <= JD_ORDER_NUMBER_MAX &&
        jd_order_number_ok(number, strlen(number))) {
        memcpy(t->ev.number, number, strlen(number) + 1);
    }
    t->record = cJSON_PrintUnformatted(order);
    if (t->record == NULL) {
        return "out of memory";
    }
    t->ev.record_json = t->record;
    t->ev.record_len = strlen(t->record);
    return NULL;
}

static const char *event_read(const cJSON *payload, int relief, rcd_token_t *t)
{
    const cJSON *events = cJSON_GetObjectItemCaseSensitive(payload, "events"), *body;

    if (!cJSON_IsObject(events) || cJSON_GetArraySize(events) != 1) {
        return "events does not hold exactly one event";
    }
    body = events->child;
    if (!cJSON_IsObject(body)) {
        return "the event is not an object";
    }
    if (rcd_json_uint(body, "seq", RCD_JSON_INT_MAX, &t->ev.seq) != 1 || t->ev.seq == 0) {
        return "seq is not 1..2^48-1";
    }
    if (relief && strcmp(body->string, RCD_EVENT_LIFT) == 0) {
        return lift_read(body, &t->ev);
    }
    if (relief && strcmp(body->string, RCD_EVENT_MARK) == 0) {
        return mark_read(body, &t->ev);
    }
    if (!relief && strcmp(body->string, RCD_EVENT_ORDER) == 0) {
        return order_read(body, t);
    }
    return "the event is not one of this lane";
}

static const char *claims_read(const cJSON *payload, rcd_event_t *ev)
{
    uint64_t iat, epoch, toe = 0;

    if (rcd_json_uint(payload, "iat", RCD_JSON_INT_MAX, &iat) != 1) {
        return "iat is not a time";
    }
    if (rcd_json_uint(payload, "toe", RCD_JSON_INT_MAX, &toe) < 0) {
        return "toe is not a time";
    }
    if (rcd_json_uint(payload, "epoch", RCD_EPOCH_MAX, &epoch) != 1) {
        return "epoch is not 0..65535";
    }
    ev->iat = (int64_t) iat;
    ev->toe = (int64_t) toe;
    ev->epoch = (uint32_t) epoch;
    return NULL;
}

rcd_token_rc_t rcd_token_parse(const char *payload, size_t len, const uint8_t hash[32],
                               const rcd_party_t *party, int relief, const char *jti,
                               rcd_token_t *out, const char **why)
{
    cJSON *root = rcd_json_parse(payload, len, why);
    rcd_token_rc_t rc = RCD_TOKEN_FOREIGN;
    const char *claimed;

    memset(out, 0, sizeof(*out));
    if (root == NULL) {
        return RCD_TOKEN_BAD;
    }

    claimed = rcd_json_string(root, "jti");
    if (!rcd_party_match(root, party)) {
        *why = "iss or aud is not ours";
    } else if (claimed == NULL || strcmp(claimed, jti) != 0 || !rcd_jti_ok(jti)) {
        *why = "jti is not the one it came under";
    } else {
        *why = claims_read(root, &out->ev);
        if (*why == NULL) {
            *why = event_read(root, relief, out);
        }
        rc = *why == NULL ? RCD_TOKEN_OK : RCD_TOKEN_BAD;
        snprintf(out->ev.jti, sizeof(out->ev.jti), "%s", jti);
        memcpy(out->ev.payload_hash, hash, 32);
    }
    cJSON_Delete(root);
    if (rc != RCD_TOKEN_OK) {
        rcd_token_fini(out);
    }
    return rc;
}

void rcd_token_fini(rcd_token_t *t)
{
    free(t->record);
    t->record = NULL;
}
