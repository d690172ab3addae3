/*
 * rcd_audit_signed - checkpoints and receipts: verified, and read into claims.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_audit_key.h"
#include "rcd_audit_signed.h"
#include "rcd_json.h"

/* The claim iat of a token nobody has verified yet: the moment for which its key must be good. */
static int64_t iat_of(const char *jws)
{
    const char *dot = strchr(jws, '.'), *end = dot != NULL ? strchr(dot + 1, '.') : NULL, *why;
    char *json = end != NULL ? malloc((size_t) (end - dot) / 4 * 3 + 3) : NULL;
    uint64_t iat = 0;
    cJSON *root;
    long len;

    if (json != NULL) {
        len = rcd_base64url_decode(dot + 1, (size_t) (end - dot - 1), (uint8_t *) json);
        root = len > 0 ? rcd_json_parse(json, (size_t) len, &why) : NULL;
        rcd_json_uint(root, "iat", RCD_JSON_INT_MAX, &iat);
        cJSON_Delete(root);
    }
    free(json);
    return (int64_t) iat;
}

/* Verifies: NULL and the claims as JSON (to be deleted), or what is wrong. */
static const char *token_read(const rcd_jwks_t *keys, const char *jws, const char *typ,
                              cJSON **claims, rcd_audit_claims_t *out)
{
    const char *why = "it is missing";
    rcd_jws_rc_t rc;
    rcd_jws_t t;

    memset(out, 0, sizeof(*out));
    *claims = NULL;
    if (jws == NULL) {
        return why;
    }
    out->iat = iat_of(jws);
    rc = rcd_jws_verify(keys, jws, strlen(jws), typ, out->iat, &t);
    if (rc != RCD_JWS_OK) {
        why = rcd_jws_reasons[rc];
    } else if (t.key->relief_only) {
        why = "the key is fit for relief only";
    } else {
        memcpy(out->kid, t.kid, sizeof(out->kid));
        *claims = rcd_json_parse(t.payload, t.payload_len, &why);
    }
    rcd_jws_fini(&t);
    return *claims != NULL ? NULL : why;
}

static void take(const cJSON *o, const char *name, char *out, size_t size)
{
    const char *text = rcd_json_string(o, name);

    snprintf(out, size, "%s", text != NULL ? text : "");
}

/* Member `name` is `want`; an empty `want` is anything. */
static int is(const cJSON *o, const char *name, const char *want)
{
    const char *text = rcd_json_string(o, name);

    return want[0] == '\0' || (text != NULL && strcmp(text, want) == 0);
}

/* {n, hash}: 0, or -1. */
static int place_read(const cJSON *o, const char *n, const char *hash, uint64_t *out_n,
                      uint8_t out_hash[RCD_AUDIT_HASH_LEN])
{
    const char *hex = rcd_json_string(o, hash);

    return rcd_json_uint(o, n, RCD_JSON_INT_MAX, out_n) == 1 && *out_n > 0 && hex != NULL &&
           strlen(hex) == 64 && rcd_audit_hex_parse(hex, out_hash) == 0 ? 0 : -1;
}

const char *rcd_audit_checkpoint_read(const rcd_audit_verify_t *v, const char *jws,
                                      rcd_audit_claims_t *out)
{
    cJSON *o;
    const char *why = token_read(v->operator_keys, jws, RCD_TYP_CHECKPOINT, &o, out);

    if (why == NULL && (!is(o, "iss", v->iss) || !is(o, "list", v->list))) {
        why = "iss or list is another";
    } else if (why == NULL && place_read(o, "n", "hash", &out->n, out->hash) != 0) {
        why = "it names no record";
    }
    take(o, "iss", out->iss, sizeof(out->iss));
    take(o, "list", out->list, sizeof(out->list));
    cJSON_Delete(o);
    return why;
}

const char *rcd_audit_receipt_read(const rcd_audit_verify_t *v, const char *jws,
                                   rcd_audit_claims_t *out)
{
    const cJSON *place;
    cJSON *o;
    const char *why = token_read(v->office_keys, jws, RCD_TYP_RECEIPT, &o, out);

    if (why != NULL) {
        return why;
    }
    place = cJSON_GetObjectItemCaseSensitive(o, "checkpoint");
    take(o, "iss", out->iss, sizeof(out->iss));
    take(o, "batch", out->batch, sizeof(out->batch));
    take(o, "hash", out->batch_hash, sizeof(out->batch_hash));
    if (!is(o, "iss", v->office) || !is(o, "aud", v->iss)) {
        why = "iss or aud is another";
    } else if (out->batch[0] == '\0' || out->batch_hash[0] == '\0') {
        why = "it names no batch";
    } else if (place != NULL && place_read(place, "n", "hash", &out->n, out->hash) != 0) {
        why = "its checkpoint names no record";
    }
    cJSON_Delete(o);
    return why;
}

int rcd_audit_batch_read(const cJSON *fields, rcd_audit_batch_t *out)
{
    const char *batch = rcd_json_string(fields, "batch");
    const char *hash = rcd_json_string(fields, "batch_hash");

    memset(out, 0, sizeof(*out));
    if (batch == NULL || batch[0] == '\0') {
        return -1;
    }
    snprintf(out->batch, sizeof(out->batch), "%s", batch);
    snprintf(out->hash, sizeof(out->hash), "%s", hash != NULL ? hash : "");
    if (place_read(fields, "checkpoint_n", "checkpoint_hash", &out->n, out->chain_hash) != 0) {
        out->n = 0;
    }
    return 0;
}
