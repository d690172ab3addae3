/*
 * jd_digest against OpenSSL's SIPHASH, and the key file.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include "core/jd_digest.h"

static void openssl_siphash(const uint8_t key[16], const uint8_t *in, size_t len, uint8_t out[16])
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    size_t size = 16, out_len;
    OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_END};

    assert_true(EVP_MAC_init(ctx, key, 16, params));
    assert_true(EVP_MAC_update(ctx, in, len));
    assert_true(EVP_MAC_final(ctx, out, &out_len, 16));
    assert_int_equal(out_len, 16);
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
}

static void siphash_is_openssls(void **state)
{
    uint8_t key[16], text[300], ours[16], theirs[16];
    uint32_t x = 1;

    (void) state;
    for (size_t len = 0; len < sizeof(text); len++) {
        for (size_t i = 0; i < sizeof(key) + len; i++) {
            x = x * 1664525 + 1013904223;
            *(i < sizeof(key) ? &key[i] : &text[i - sizeof(key)]) = (uint8_t) (x >> 24);
        }
        jd_siphash128(key, text, len, ours);
        openssl_siphash(key, text, len, theirs);
        assert_memory_equal(ours, theirs, 16);
    }
}

/* The reference implementation's first vector of the 128-bit variant. */
static void siphash_vector(void **state)
{
    static const uint8_t want[16] = {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6,
                                     0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93};
    uint8_t key[16], out[16];

    (void) state;
    for (int i = 0; i < 16; i++) {
        key[i] = (uint8_t) i;
    }
    jd_siphash128(key, "", 0, out);
    assert_memory_equal(out, want, 16);
}

static void digest_names_its_scheme(void **state)
{
    static const uint8_t raw[16] = {1, 2, 3};
    uint8_t a[16], b[16], want[16];
    jd_key_t k;

    (void) state;
    jd_key_init(&k, "k1", raw);
    jd_digest(&k, JD_SCHEME_CARD, (const uint8_t *) "8100000001", 10, a);
    jd_digest(&k, JD_SCHEME_PATRON, (const uint8_t *) "8100000001", 10, b);
    jd_siphash128(raw, "card:8100000001", 15, want);
    assert_memory_equal(a, want, 16);
    assert_memory_not_equal(a, b, 16);
}

static void keys_are_found_by_id_and_check(void **state)
{
    static const char text[] = "# current\nk2 000102030405060708090a0b0c0d0e0f\n\n"
                               "k1 ff0102030405060708090A0B0C0D0E0F\r\n";
    const char *why = NULL;
    jd_keys_t keys;
    const jd_key_t *k;

    (void) state;
    assert_int_equal(jd_keys_parse(&keys, text, sizeof(text) - 1, &why), 0);
    assert_int_equal(keys.n, 2);
    assert_string_equal(keys.key[0].id, "k2");
    assert_int_equal(keys.key[1].digest_key[0], 0xff);
    assert_int_equal(strlen(keys.key[0].check), 16);
    assert_string_not_equal(keys.key[0].check, keys.key[1].check);

    k = jd_keys_find(&keys, "k1", 2, keys.key[1].check, 16);
    assert_ptr_equal(k, &keys.key[1]);
    assert_null(jd_keys_find(&keys, "k1", 2, keys.key[0].check, 16));
    assert_null(jd_keys_find(&keys, "k", 1, keys.key[1].check, 16));
    assert_null(jd_keys_find(&keys, "k1", 2, keys.key[1].check, 15));
}

static void key_files_refused(void **state)
{
    static const struct {
        const char *text;
        int line;
    } cases[] = {
        {"", 1},
        {"\n# nothing\n", 2},
        {"k1 00000000000000000000000000000000\n", 1},
        {"k1 000102030405060708090a0b0c0d0e0f\nk1 010102030405060708090a0b0c0d0e0f\n", 2},
        {"k1 000102030405060708090a0b0c0d0e\n", 1},
        {"k1 000102030405060708090a0b0c0d0e0f00\n", 1},
        {"k1 000102030405060708090a0b0c0d0e0x\n", 1},
        {"000102030405060708090a0b0c0d0e0f\n", 1},
        {"k! 000102030405060708090a0b0c0d0e0f\n", 1},
        {"a 000102030405060708090a0b0c0d0e0f\nb 000102030405060708090a0b0c0d0e0e\n"
         "c 000102030405060708090a0b0c0d0e0d\n", 3},
        {"k23456789012345678901234567890123 000102030405060708090a0b0c0d0e0f", 1},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *why = NULL;
        jd_keys_t keys;

        assert_int_equal(jd_keys_parse(&keys, cases[i].text, strlen(cases[i].text), &why),
                         cases[i].line);
        assert_non_null(why);
        assert_null(strstr(why, "0001"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_is_openssls),   cmocka_unit_test(siphash_vector),
        cmocka_unit_test(digest_names_its_scheme), cmocka_unit_test(keys_are_found_by_id_and_check),
        cmocka_unit_test(key_files_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
