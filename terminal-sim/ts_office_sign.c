/*
 * ts_office_sign.c - compact JWS (RFC 7515) with Ed25519 (RFC 8037).
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "ts_office.h"

#define SIGNATURE_LEN  64

int ts_signer_load(ts_signer_t *s, const char *dir)
{
    char name[32];
    FILE *f;

    memset(s, 0, sizeof *s);
    for (unsigned i = 0; i < TS_KEYS; i++) {
        snprintf(name, sizeof name, "%s.key", ts_key_names[i]);
        f = fopen(ts_path(dir, name), "re");
        if (f) {
            s->key[i] = PEM_read_PrivateKey(f, NULL, NULL, NULL);
            fclose(f);
        }
        if (!s->key[i]) {
            ts_complain(
                "%s/%s: no private key there; is this an office's directory? (office init DIR)",
                dir, name);
            ts_signer_fini(s);
            return -1;
        }
    }
    return 0;
}

void ts_signer_fini(ts_signer_t *s)
{
    for (unsigned i = 0; i < TS_KEYS; i++) {
        EVP_PKEY_free(s->key[i]);
        s->key[i] = NULL;
    }
}

size_t ts_base64url(const void *in, size_t len, char *out)
{
    size_t n = (size_t) EVP_EncodeBlock((unsigned char *) out, in, (int) len);

    while (n > 0 && out[n - 1] == '=')
        n--;
    out[n] = '\0';
    for (size_t i = 0; i < n; i++)
        out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
    return n;
}

static int sign(EVP_PKEY *key, const char *text, size_t len, unsigned char signature[SIGNATURE_LEN])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t signature_len = SIGNATURE_LEN;
    int ok =
        ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1
        && EVP_DigestSign(ctx, signature, &signature_len, (const unsigned char *) text, len) == 1;

    EVP_MD_CTX_free(ctx);
    return ok ? 0 : -1;
}

char *ts_jws(const ts_signer_t *s, ts_key_t key, const char *typ, const cJSON *payload,
             unsigned twist)
{
    unsigned char signature[SIGNATURE_LEN];
    char header[160], *body, *jws = NULL;
    int header_len;
    size_t n;

    header_len =
        snprintf(header, sizeof header, "{\"alg\":\"EdDSA\",\"kid\":\"%s\",\"typ\":\"%s\"}",
                 twist & TS_TWIST_KID ? "nobody-1" : ts_key_names[key], typ);
    body = cJSON_PrintUnformatted(payload);
    if (body)
        jws = malloc(((size_t) header_len + strlen(body) + SIGNATURE_LEN) / 3 * 4 + 32);
    if (jws) {
        n = ts_base64url(header, (size_t) header_len, jws);
        jws[n++] = '.';
        n += ts_base64url(body, strlen(body), jws + n);
        if (sign(s->key[key], jws, n, signature) == 0) {
            signature[SIGNATURE_LEN / 2] ^= (unsigned char) (twist & TS_TWIST_SIGNATURE);
            jws[n++] = '.';
            ts_base64url(signature, SIGNATURE_LEN, jws + n);
        } else {
            free(jws);
            jws = NULL;
        }
    }
    cJSON_free(body);
    return jws;
}
