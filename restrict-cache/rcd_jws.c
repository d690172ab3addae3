/*
 * rcd_jws - verifies compact JWS (RFC 7515), Ed25519 (RFC 8037), by keys of a local JWKS file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>
#include "rcd_jws.h"
#include "rcd_json.h"

#define ED25519_KEY_LEN 32
#define ED25519_SIG_LEN 64

const char *const rcd_jws_reasons[RCD_JWS_N] = {
    "ok",
    "not a compact JWS",
    "header not as agreed (alg, typ, kid, crit)",
    "unknown kid",
    "key not valid yet",
    "key expired",
    "bad signature",
};

static int base64url_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

long rcd_base64url_decode(const char *text, size_t len, uint8_t *out)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    long n = 0;

    if (len % 4 == 1) {
        return -1;
    }
    for (size_t i = 0; i < len; i++) {
        int v = base64url_value(text[i]);

        if (v < 0) {
            return -1;
        }
        bits = bits << 6 | (uint32_t) v;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[n++] = (uint8_t) (bits >> n_bits);
            bits &= (1u << n_bits) - 1;
        }
    }
    return bits == 0 ? n : -1;
}

/* ---- the key set ----------------------------------------------------------------------------- */

int rcd_kid_ok(const char *kid)
{
    size_t len = kid == NULL ? 0 : strlen(kid);

    if (len == 0 || len > RCD_KID_MAX) {
        return 0;
    }
    for (size_t i = 0; i < len; i++) {
        if (kid[i] <= ' ' || kid[i] >= 0x7f || kid[i] == '"' || kid[i] == '\\') {
            return 0;
        }
    }
    return 1;
}

static EVP_PKEY *public_key(const char *x)
{
    uint8_t raw[ED25519_KEY_LEN + 4];

    if (x == NULL || strlen(x) != 43 || rcd_base64url_decode(x, 43, raw) != ED25519_KEY_LEN) {
        return NULL;
    }
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw, ED25519_KEY_LEN);
}

/* Reads one JWK; NULL when it is good, else the member at fault and the mend. */
static const char *jwk_read(rcd_jwks_t *jwks, const cJSON *item)
{
    const char *kty = rcd_json_string(item, "kty"), *crv = rcd_json_string(item, "crv");
    const char *kid = rcd_json_string(item, "kid"), *use = rcd_json_string(item, "jd_use");
    rcd_jwk_t *k = &jwks->key[jwks->n];
    uint64_t nbf, exp;

    if (!cJSON_IsObject(item)) {
        return "not an object";
    }
    if (cJSON_HasObjectItem(item, "d")) {
        return "\"d\": a private key; take it out of this file";
    }
    if (kty == NULL || strcmp(kty, "OKP") != 0 || crv == NULL || strcmp(crv, "Ed25519") != 0) {
        return "\"kty\" must be \"OKP\" and \"crv\" \"Ed25519\"";
    }
    if (!rcd_kid_ok(kid)) {
        return "\"kid\" must be 1 to 64 visible ASCII characters";
    }
    for (unsigned i = 0; i < jwks->n; i++) {
        if (strcmp(jwks->key[i].kid, kid) == 0) {
            return "\"kid\" repeated; give each key its own";
        }
    }
    if (rcd_json_uint(item, "nbf", RCD_JSON_INT_MAX, &nbf) != 1 ||
        rcd_json_uint(item, "exp", RCD_JSON_INT_MAX, &exp) != 1 || exp <= nbf) {
        return "\"nbf\" and \"exp\" must be Unix seconds, exp after nbf";
    }
    if (cJSON_HasObjectItem(item, "jd_use") && (use == NULL || strcmp(use, "relief") != 0)) {
        return "\"jd_use\" must be \"relief\" or absent";
    }
    k->key = public_key(rcd_json_string(item, "x"));
    if (k->key == NULL) {
        return "\"x\" must be 32 bytes in base64url without padding";
    }
    snprintf(k->kid, sizeof(k->kid), "%s", kid);
    k->nbf = (int64_t) nbf;
    k->exp = (int64_t) exp;
    k->relief_only = use != NULL;
    jwks->n++;
    return NULL;
}

rcd_jwks_t *rcd_jwks_parse(const char *text, size_t len, char *err, size_t err_size)
{
    const cJSON *keys, *item;
    const char *why;
    rcd_jwks_t *jwks;
    cJSON *root;

    root = rcd_json_parse(text, len, &why);
    if (root == NULL) {
        snprintf(err, err_size, "%s", why);
        return NULL;
    }
    keys = cJSON_GetObjectItemCaseSensitive(root, "keys");
    jwks = calloc(1, sizeof(*jwks));
    why = NULL;
    if (jwks == NULL || !cJSON_IsArray(keys) || cJSON_GetArraySize(keys) < 1 ||
        cJSON_GetArraySize(keys) > RCD_JWKS_MAX) {
        snprintf(err, err_size, "\"keys\" must be an array of 1 to %d keys", RCD_JWKS_MAX);
        goto failed;
    }
    cJSON_ArrayForEach(item, keys)
    {
        why = jwk_read(jwks, item);
        if (why != NULL) {
            snprintf(err, err_size, "key %u: %s", jwks->n + 1, why);
            goto failed;
        }
    }
    cJSON_Delete(root);
    return jwks;

failed:
    cJSON_Delete(root);
    rcd_jwks_destroy(jwks);
    return NULL;
}

void rcd_jwks_destroy(rcd_jwks_t *jwks)
{
    if (jwks == NULL) {
        return;
    }
    for (unsigned i = 0; i < jwks->n; i++) {
        EVP_PKEY_free(jwks->key[i].key);
    }
    free(jwks);
}

/* ---- a token --------------------------------------------------------------------------------- */

/* Decodes one part into malloc'ed, NUL-terminated memory. */
static char *part_decode(const char *text, size_t len, size_t *out_len)
{
    char *out = malloc(len / 4 * 3 + 3);
    long n = out == NULL ? -1 : rcd_base64url_decode(text, len, (uint8_t *) out);

    if (n < 0) {
        free(out);
        return NULL;
    }
    out[n] = '\0';
    *out_len = (size_t) n;
    return out;
}

static const rcd_jwk_t *jwks_find(const rcd_jwks_t *jwks, const char *kid)
{
    for (unsigned i = 0; i < jwks->n; i++) {
        if (strcmp(jwks->key[i].kid, kid) == 0) {
            return &jwks->key[i];
        }
    }
    return NULL;
}

/* Reads the protected header: fills out->kid, and checks everything but the key. */
static rcd_jws_rc_t header_read(const char *text, size_t len, const char *typ, rcd_jws_t *out)
{
    const char *alg, *kid, *got, *why;
    rcd_jws_rc_t rc = RCD_JWS_HEADER;
    size_t json_len;
    cJSON *header;
    char *json;

    json = part_decode(text, len, &json_len);
    if (json == NULL) {
        return RCD_JWS_FORM;
    }
    header = rcd_json_parse(json, json_len, &why);
    free(json);
    if (header == NULL) {
        return RCD_JWS_HEADER;
    }

    alg = rcd_json_string(header, "alg");
    got = rcd_json_string(header, "typ");
    kid = rcd_json_string(header, "kid");
    if (rcd_kid_ok(kid)) {
        snprintf(out->kid, sizeof(out->kid), "%s", kid);
        if (alg != NULL && strcmp(alg, "EdDSA") == 0 && got != NULL && strcmp(got, typ) == 0 &&
            !cJSON_HasObjectItem(header, "crit") && !cJSON_HasObjectItem(header, "b64")) {
            rc = RCD_JWS_OK;
        }
    }
    cJSON_Delete(header);
    return rc;
}

static int signature_ok(EVP_PKEY *key, const char *text, size_t len, const uint8_t *sig)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
             EVP_DigestVerify(ctx, sig, ED25519_SIG_LEN, (const uint8_t *) text, len) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

rcd_jws_rc_t rcd_jws_verify(const rcd_jwks_t *jwks, const char *text, size_t len, const char *typ,
                            int64_t now, rcd_jws_t *out)
{
    uint8_t sig[ED25519_SIG_LEN + 4];
    const char *dot1, *dot2;
    rcd_jws_rc_t rc;
    size_t sig_len;

    memset(out, 0, sizeof(*out));
    if (len > RCD_JWS_MAX) {
        return RCD_JWS_FORM;
    }
    dot1 = memchr(text, '.', len);
    dot2 = dot1 == NULL ? NULL : memchr(dot1 + 1, '.', len - (size_t) (dot1 + 1 - text));
    if (dot2 == NULL) {
        return RCD_JWS_FORM;
    }

    rc = header_read(text, (size_t) (dot1 - text), typ, out);
    if (rc != RCD_JWS_OK) {
        return rc;
    }
    out->key = jwks_find(jwks, out->kid);
    if (out->key == NULL) {
        return RCD_JWS_KID;
    }
    if (now < out->key->nbf) {
        return RCD_JWS_KEY_EARLY;
    }
    if (now >= out->key->exp) {
        return RCD_JWS_KEY_EXPIRED;
    }

    sig_len = len - (size_t) (dot2 + 1 - text);
    if (sig_len != 86 || rcd_base64url_decode(dot2 + 1, sig_len, sig) != ED25519_SIG_LEN ||
        !signature_ok(out->key->key, text, (size_t) (dot2 - text), sig)) {
        return RCD_JWS_SIGNATURE;
    }

    out->payload = part_decode(dot1 + 1, (size_t) (dot2 - dot1 - 1), &out->payload_len);
    if (out->payload == NULL ||
        EVP_Digest(out->payload, out->payload_len, out->payload_hash, NULL, EVP_sha256(), NULL) !=
            1) {
        return RCD_JWS_FORM;
    }
    return RCD_JWS_OK;
}

void rcd_jws_fini(rcd_jws_t *jws)
{
    free(jws->payload);
    jws->payload = NULL;
}
