/*
 * rcd_audit_key - the operator's Ed25519 key: made, read from its file, and used to sign compact JWS.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include "rcd_audit_key.h"
#include "rcd_file.h"
#include "rcd_json.h"

#define FILE_MAX   4096
#define RAW_LEN    32
#define SIG_LEN    64
#define B64_LEN(n) (((n) * 4 + 2) / 3)

/* Writes base64url without padding and a NUL. Returns its length. */
static size_t base64url_print(const uint8_t *bytes, size_t len, char *out)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | bytes[i];
        for (n_bits += 8; n_bits >= 6; n_bits -= 6) {
            out[n++] = digit[bits >> (n_bits - 6) & 63];
        }
    }
    if (n_bits > 0) {
        out[n++] = digit[bits << (6 - n_bits) & 63];
    }
    out[n] = '\0';
    return n;
}

static int public_x(const EVP_PKEY *key, char x[B64_LEN(RAW_LEN) + 1])
{
    uint8_t raw[RAW_LEN];
    size_t len = sizeof(raw);

    if (EVP_PKEY_get_raw_public_key(key, raw, &len) != 1 || len != RAW_LEN) {
        return -1;
    }
    base64url_print(raw, len, x);
    return 0;
}

/* RFC 7638: SHA-256 of the required members in order of name. */
static int thumbprint(const EVP_PKEY *key, char kid[RCD_KID_MAX + 1])
{
    char x[B64_LEN(RAW_LEN) + 1], text[128];
    uint8_t hash[32];
    int len;

    if (public_x(key, x) != 0) {
        return -1;
    }
    len = snprintf(text, sizeof(text), "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}", x);
    if (EVP_Digest(text, (size_t) len, hash, NULL, EVP_sha256(), NULL) != 1) {
        return -1;
    }
    base64url_print(hash, sizeof(hash), kid);
    return 0;
}

/* Takes `key` over, NULL too. */
static rcd_audit_key_t *key_new(EVP_PKEY *key)
{
    rcd_audit_key_t *k = key == NULL ? NULL : calloc(1, sizeof(*k));

    if (k == NULL || thumbprint(key, k->kid) != 0) {
        EVP_PKEY_free(key);
        free(k);
        return NULL;
    }
    k->key = key;
    return k;
}

void rcd_audit_key_destroy(rcd_audit_key_t *k)
{
    if (k != NULL) {
        EVP_PKEY_free(k->key);
    }
    free(k);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* OpenSSL must never ask the terminal for a passphrase. */
static int no_passphrase(char *buf, int size, int writing, void *user)
{
    (void) buf;
    (void) size;
    (void) writing;
    (void) user;
    return 0;
}

static rcd_audit_key_t *pem_read(const char *text, size_t len, const char **why)
{
    BIO *bio = BIO_new_mem_buf(text, (int) len);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);

    BIO_free(bio);
    *why = "holds no private key as PEM (without a passphrase) or JWK";
    if (key != NULL && EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) {
        EVP_PKEY_free(key);
        key = NULL;
        *why = "is not an Ed25519 key; make one by rcctl audit keygen";
    }
    return key_new(key);
}

static rcd_audit_key_t *jwk_read(const char *text, size_t len, const char **why)
{
    cJSON *jwk = rcd_json_parse(text, len, why);
    const char *kty = rcd_json_string(jwk, "kty"), *crv = rcd_json_string(jwk, "crv");
    const char *d = rcd_json_string(jwk, "d"), *x = rcd_json_string(jwk, "x");
    const char *kid = rcd_json_string(jwk, "kid");
    char own[B64_LEN(RAW_LEN) + 1];
    uint8_t raw[RAW_LEN + 4];
    rcd_audit_key_t *k = NULL;

    if (jwk == NULL) {
        return NULL;
    }
    *why = "is no private JWK: kty OKP, crv Ed25519, d";
    if (kty != NULL && strcmp(kty, "OKP") == 0 && crv != NULL && strcmp(crv, "Ed25519") == 0 &&
        d != NULL && strlen(d) == 43 && rcd_base64url_decode(d, 43, raw) == RAW_LEN) {
        k = key_new(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, raw, RAW_LEN));
    }
    OPENSSL_cleanse(raw, sizeof(raw));
    if (k != NULL && x != NULL && (public_x(k->key, own) != 0 || strcmp(own, x) != 0)) {
        *why = "is a JWK whose x does not belong to its d";
        rcd_audit_key_destroy(k);
        k = NULL;
    }
    if (k != NULL && kid != NULL) {
        if (!rcd_kid_ok(kid)) {
            *why = "is a JWK whose kid is not 1 to 64 visible ASCII characters";
            rcd_audit_key_destroy(k);
            k = NULL;
        } else {
            snprintf(k->kid, sizeof(k->kid), "%s", kid);
        }
    }
    if (d != NULL) {
        OPENSSL_cleanse(cJSON_GetObjectItemCaseSensitive(jwk, "d")->valuestring, strlen(d));
    }
    cJSON_Delete(jwk);
    return k;
}

rcd_audit_key_t *rcd_audit_key_load(const char *file, char *err, size_t err_size)
{
    const char *why = "out of memory";
    rcd_audit_key_t *k;
    size_t len;
    char *text = rcd_file_read(file, FILE_MAX, RCD_FILE_OWNER, &len, err, err_size);

    if (text == NULL) {
        return NULL;
    }
    k = text[strspn(text, " \t\r\n")] == '{' ? jwk_read(text, len, &why)
                                             : pem_read(text, len, &why);
    OPENSSL_cleanse(text, len);
    free(text);
    if (k == NULL) {
        snprintf(err, err_size, "%s: %s", file, why);
    }
    return k;
}

/* ---- making ---------------------------------------------------------------------------------- */

rcd_audit_key_t *rcd_audit_key_create(const char *file, char *err, size_t err_size)
{
    rcd_audit_key_t *k = key_new(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
    BIO *bio = BIO_new(BIO_s_secmem());
    char *text;
    long len;
    int fd = -1, ok;

    ok = k != NULL && bio != NULL &&
         PEM_write_bio_PKCS8PrivateKey(bio, k->key, NULL, NULL, 0, NULL, NULL) == 1;
    snprintf(err, err_size, "%s: the key could not be made", file);
    if (ok) {
        fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        ok = fd >= 0;
        snprintf(err, err_size, "%s: %s", file, strerror(errno));
    }
    if (ok) {
        len = BIO_get_mem_data(bio, &text);
        ok = fchmod(fd, 0600) == 0 && write(fd, text, (size_t) len) == len && fsync(fd) == 0;
        if (!ok) {
            snprintf(err, err_size, "%s: %s", file, strerror(errno));
            unlink(file);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    BIO_free(bio);
    if (!ok) {
        rcd_audit_key_destroy(k);
        return NULL;
    }
    return k;
}

cJSON *rcd_audit_key_public(const rcd_audit_key_t *k, int64_t nbf, int64_t exp)
{
    cJSON *jwk = cJSON_CreateObject();
    char x[B64_LEN(RAW_LEN) + 1];

    if (jwk == NULL || public_x(k->key, x) != 0) {
        cJSON_Delete(jwk);
        return NULL;
    }
    cJSON_AddStringToObject(jwk, "kty", "OKP");
    cJSON_AddStringToObject(jwk, "crv", "Ed25519");
    cJSON_AddStringToObject(jwk, "kid", k->kid);
    cJSON_AddStringToObject(jwk, "x", x);
    if (exp > 0) {
        cJSON_AddNumberToObject(jwk, "nbf", (double) nbf);
        cJSON_AddNumberToObject(jwk, "exp", (double) exp);
    }
    return jwk;
}

rcd_jwks_t *rcd_audit_key_jwks(const rcd_audit_key_t *k)
{
    rcd_jwks_t *set = calloc(1, sizeof(*set));

    if (set == NULL || EVP_PKEY_up_ref(k->key) != 1) {
        free(set);
        return NULL;
    }
    set->n = 1;
    set->key[0].key = k->key;
    set->key[0].exp = INT64_MAX;
    memcpy(set->key[0].kid, k->kid, sizeof(k->kid));
    return set;
}

/* ---- signing --------------------------------------------------------------------------------- */

/* The header and claims as "<base64url>.<base64url>", with room for the signature. */
static char *signing_input(const rcd_audit_key_t *k, const char *typ, const cJSON *claims,
                           size_t *len)
{
    char *body = cJSON_PrintUnformatted(claims), *text = NULL;
    char header[256];
    int header_len = snprintf(header, sizeof(header),
                              "{\"alg\":\"EdDSA\",\"kid\":\"%s\",\"typ\":\"%s\"}", k->kid, typ);

    if (body != NULL) {
        text = malloc(B64_LEN((size_t) header_len) + B64_LEN(strlen(body)) + B64_LEN(SIG_LEN) + 3);
    }
    if (text != NULL) {
        *len = base64url_print((const uint8_t *) header, (size_t) header_len, text);
        text[(*len)++] = '.';
        *len += base64url_print((const uint8_t *) body, strlen(body), text + *len);
    }
    free(body);
    return text;
}

char *rcd_audit_sign(const rcd_audit_key_t *k, const char *typ, const cJSON *claims)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t sig[SIG_LEN];
    size_t len, sig_len = sizeof(sig);
    char *text = signing_input(k, typ, claims, &len);

    if (text != NULL && ctx != NULL &&
        EVP_DigestSignInit(ctx, NULL, NULL, NULL, k->key) == 1 &&
        EVP_DigestSign(ctx, sig, &sig_len, (const uint8_t *) text, len) == 1) {
        text[len++] = '.';
        base64url_print(sig, sig_len, text + len);
    } else {
        free(text);
        text = NULL;
    }
    EVP_MD_CTX_free(ctx);
    return text;
}
