/*
 * rcd_jws: base64url, key sets and tokens. Keys and the reference signature are those of RFC 8037, appendix A.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include "rcd_jws.h"

#define X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define D "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
#define TYP "secevent+jwt"
#define NOW 1000

static const char jwks_text[] =
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k1\",\"x\":\"" X "\",\"nbf\":500,\"exp\":2000},"
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"late\",\"x\":\"" X "\",\"nbf\":1001,\"exp\":2000},"
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"old\",\"x\":\"" X "\",\"nbf\":1,\"exp\":1000},"
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"r\",\"x\":\"" X "\",\"nbf\":1,\"exp\":2000,\"jd_use\":\"relief\"}]}";

static rcd_jwks_t *jwks;

static int setup(void **state)
{
    char err[200];

    (void) state;
    jwks = rcd_jwks_parse(jwks_text, strlen(jwks_text), err, sizeof(err));
    return jwks == NULL;
}

static int teardown(void **state)
{
    (void) state;
    rcd_jwks_destroy(jwks);
    return 0;
}

static void b64(const void *in, size_t len, char *out)
{
    static const char a[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *p = in;
    uint32_t bits = 0;
    unsigned n = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | p[i];
        for (n += 8; n >= 6; n -= 6) {
            *out++ = a[bits >> (n - 6) & 63];
        }
    }
    if (n > 0) {
        *out++ = a[bits << (6 - n) & 63];
    }
    *out = '\0';
}

/* Appends the signature of the RFC's private key to a signing input. */
static void sign(char *token)
{
    uint8_t d[36], sig[64];
    size_t sig_len = sizeof(sig), len = strlen(token);
    EVP_PKEY *key;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    assert_int_equal(rcd_base64url_decode(D, strlen(D), d), 32);
    key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, d, 32);
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, sig, &sig_len, (uint8_t *) token, len), 1);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    token[len] = '.';
    b64(sig, sizeof(sig), token + len + 1);
}

static char *token_of(const char *header, const char *payload)
{
    static char token[8192];

    b64(header, strlen(header), token);
    strcat(token, ".");
    b64(payload, strlen(payload), token + strlen(token));
    sign(token);
    return token;
}

static rcd_jws_rc_t verify(const char *token)
{
    rcd_jws_t jws;
    rcd_jws_rc_t rc = rcd_jws_verify(jwks, token, strlen(token), TYP, NOW, &jws);

    assert_true(rc == RCD_JWS_OK || jws.payload == NULL);
    rcd_jws_fini(&jws);
    return rc;
}

static void rfc8037_vector(void **state)
{
    char token[400] = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";

    (void) state;
    sign(token);
    assert_string_equal(token,
                        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLW"
                        "G1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
    assert_int_equal(verify(token), RCD_JWS_HEADER);      /* no kid, no typ: not a token of the feed */
}

static void good_token(void **state)
{
    const char *token = token_of("{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"typ\":\"" TYP "\"}", "{\"a\":1}");
    rcd_jws_t jws;
    uint8_t hash[32];

    (void) state;
    assert_int_equal(rcd_jws_verify(jwks, token, strlen(token), TYP, NOW, &jws), RCD_JWS_OK);
    assert_string_equal(jws.payload, "{\"a\":1}");
    assert_int_equal(jws.payload_len, 7);
    assert_string_equal(jws.kid, "k1");
    assert_int_equal(jws.key->relief_only, 0);
    EVP_Digest("{\"a\":1}", 7, hash, NULL, EVP_sha256(), NULL);
    assert_memory_equal(hash, jws.payload_hash, 32);
    rcd_jws_fini(&jws);

    token = token_of("{\"alg\":\"EdDSA\",\"kid\":\"r\",\"typ\":\"" TYP "\"}", "{}");
    assert_int_equal(rcd_jws_verify(jwks, token, strlen(token), TYP, NOW, &jws), RCD_JWS_OK);
    assert_int_equal(jws.key->relief_only, 1);
    rcd_jws_fini(&jws);
}

static void headers_refused(void **state)
{
    static const struct {
        const char *header;
        rcd_jws_rc_t rc;
    } rows[] = {
        {"{\"alg\":\"none\",\"kid\":\"k1\",\"typ\":\"" TYP "\"}", RCD_JWS_HEADER},
        {"{\"alg\":\"HS256\",\"kid\":\"k1\",\"typ\":\"" TYP "\"}", RCD_JWS_HEADER},
        {"{\"alg\":\"eddsa\",\"kid\":\"k1\",\"typ\":\"" TYP "\"}", RCD_JWS_HEADER},
        {"{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"typ\":\"jd-head+jwt\"}", RCD_JWS_HEADER},
        {"{\"alg\":\"EdDSA\",\"kid\":\"k1\"}", RCD_JWS_HEADER},
        {"{\"alg\":\"EdDSA\",\"typ\":\"" TYP "\"}", RCD_JWS_HEADER},
        {"{\"alg\":\"EdDSA\",\"kid\":\"k 1\",\"typ\":\"" TYP "\"}", RCD_JWS_HEADER},
        {"{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"typ\":\"" TYP "\",\"crit\":[\"exp\"]}", RCD_JWS_HEADER},
        {"{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"typ\":\"" TYP "\",\"b64\":false}", RCD_JWS_HEADER},
        {"{\"alg\":\"EdDSA\",\"alg\":\"EdDSA\",\"kid\":\"k1\",\"typ\":\"" TYP "\"}", RCD_JWS_HEADER},
        {"{\"alg\":\"EdDSA\",\"kid\":\"k1\\u0000\",\"typ\":\"" TYP "\"}", RCD_JWS_HEADER},
        {"[]", RCD_JWS_HEADER},
        {"", RCD_JWS_HEADER},
        {"{\"alg\":\"EdDSA\",\"kid\":\"k9\",\"typ\":\"" TYP "\"}", RCD_JWS_KID},
        {"{\"alg\":\"EdDSA\",\"kid\":\"late\",\"typ\":\"" TYP "\"}", RCD_JWS_KEY_EARLY},
        {"{\"alg\":\"EdDSA\",\"kid\":\"old\",\"typ\":\"" TYP "\"}", RCD_JWS_KEY_EXPIRED},
    };

    (void) state;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        rcd_jws_rc_t rc = verify(token_of(rows[i].header, "{}"));

        if (rc != rows[i].rc) {
            fail_msg("%s: %s", rows[i].header, rcd_jws_reasons[rc]);
        }
    }
}

/* Every single changed character breaks the token, one way or another. */
static void every_byte_counts(void **state)
{
    char *token = token_of("{\"alg\":\"EdDSA\",\"kid\":\"k1\",\"typ\":\"" TYP "\"}", "{\"seq\":1}");

    (void) state;
    assert_int_equal(verify(token), RCD_JWS_OK);
    for (size_t i = 0; token[i] != '\0'; i++) {
        char was = token[i];

        token[i] = was == 'A' ? 'B' : 'A';
        assert_int_not_equal(verify(token), RCD_JWS_OK);
        token[i] = '=';
        assert_int_not_equal(verify(token), RCD_JWS_OK);
        token[i] = was;
    }
    for (size_t len = 0; len < strlen(token); len++) {
        rcd_jws_t jws;

        assert_int_not_equal(rcd_jws_verify(jwks, token, len, TYP, NOW, &jws), RCD_JWS_OK);
        rcd_jws_fini(&jws);
    }
    strcat(token, ".");
    assert_int_not_equal(verify(token), RCD_JWS_OK);
}

static void too_long(void **state)
{
    char *text = calloc(1, RCD_JWS_MAX + 2);
    rcd_jws_t jws;

    (void) state;
    memset(text, 'A', RCD_JWS_MAX + 1);
    text[4] = text[8] = '.';
    assert_int_equal(rcd_jws_verify(jwks, text, RCD_JWS_MAX + 1, TYP, NOW, &jws), RCD_JWS_FORM);
    free(text);
}

static void base64url_strict(void **state)
{
    uint8_t out[16];

    (void) state;
    assert_int_equal(rcd_base64url_decode("", 0, out), 0);
    assert_int_equal(rcd_base64url_decode("Zg", 2, out), 1);
    assert_int_equal(rcd_base64url_decode("Zm9vYg", 6, out), 4);
    assert_memory_equal(out, "foob", 4);
    assert_int_equal(rcd_base64url_decode("-_-_", 4, out), 3);
    assert_int_equal(rcd_base64url_decode("Zh", 2, out), -1);     /* unused bits set */
    assert_int_equal(rcd_base64url_decode("Zg==", 4, out), -1);
    assert_int_equal(rcd_base64url_decode("Z", 1, out), -1);
    assert_int_equal(rcd_base64url_decode("Zm9+", 4, out), -1);
    assert_int_equal(rcd_base64url_decode("Zm 9", 4, out), -1);
}

static void jwks_refused(void **state)
{
    static const char *const rows[][2] = {
        {"", "not a JSON object"},
        {"{\"keys\":1", "not JSON"},
        {"[]", "not a JSON object"},
        {"{\"keys\":[]}", "\"keys\""},
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\"}]}", "\"kty\""},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"\",\"x\":\"" X "\",\"nbf\":1,\"exp\":2}]}", "\"kid\""},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"" X "\",\"nbf\":1,\"exp\":1}]}", "\"nbf\""},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"" X "\",\"nbf\":1.5,\"exp\":2}]}", "\"nbf\""},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"" X "\",\"exp\":2}]}", "\"nbf\""},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"abc\",\"nbf\":1,\"exp\":2}]}", "\"x\""},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"" X "\",\"d\":\"" D "\",\"nbf\":1,\"exp\":2}]}", "private"},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"" X "\",\"nbf\":1,\"exp\":2,\"jd_use\":\"all\"}]}", "\"jd_use\""},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"" X "\",\"nbf\":1,\"exp\":2},"
         "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":\"" X "\",\"nbf\":1,\"exp\":2}]}", "key 2: \"kid\" repeated"},
    };

    (void) state;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char err[200] = "";

        assert_null(rcd_jwks_parse(rows[i][0], strlen(rows[i][0]), err, sizeof(err)));
        if (strstr(err, rows[i][1]) == NULL) {
            fail_msg("row %u: %s", i, err);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc8037_vector),  cmocka_unit_test(good_token),
        cmocka_unit_test(headers_refused), cmocka_unit_test(every_byte_counts),
        cmocka_unit_test(too_long),        cmocka_unit_test(base64url_strict),
        cmocka_unit_test(jwks_refused),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
