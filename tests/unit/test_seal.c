/*
 * jd_seal: a decision sealed and opened; months, keys, lists, changed tokens.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <stdio.h>
#include <time.h>
#include "core/jd_seal.h"

#define NOW   1795662000            /* 2026-11-26 at +08:00 */
#define DAY   86400

static const uint8_t raw[JD_KEY_LEN] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const uint8_t nonce[JD_SEAL_NONCE_LEN] = {9, 9, 9};
static jd_keys_t keys;

static int set_key(void **state)
{
    (void) state;
    jd_key_init(&keys.key[0], "k1", raw);
    keys.n = 1;
    return 0;
}

static jd_decision_t decision(void)
{
    return (jd_decision_t){.number = "沪交〔2026〕12号", .measure_bit = 6, .era = 1795000000,
                           .last_id = 12345, .age_sec = 17, .at = NOW, .link_from = 1790000000};
}

static size_t seal(const jd_decision_t *d, char out[JD_SEAL_TEXT_MAX])
{
    return jd_seal(&keys.key[0], "credit", nonce, d, out);
}

static void there_and_back(void **state)
{
    jd_decision_t d = decision(), back;
    char out[JD_SEAL_TEXT_MAX] = "";             /* a token has no NUL of its own */
    size_t len = seal(&d, out);

    (void) state;
    assert_in_range(len, 60, 130);
    assert_int_equal(strspn(out, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
                     len);
    assert_int_equal(jd_seal_open(&keys, "credit", NOW + 9, out, len, &back), JD_SEAL_OK);
    assert_string_equal(back.number, d.number);
    assert_int_equal(back.measure_bit, 6);
    assert_true(back.era == d.era && back.last_id == d.last_id && back.age_sec == 17);
    assert_true(back.at == d.at / 60 * 60 && back.link_from == d.link_from);
}

static void bounds(void **state)
{
    jd_decision_t most = decision(), least = {.number = "A"}, d, back;
    uint8_t content[JD_SEAL_CONTENT_MAX];
    char out[JD_SEAL_TEXT_MAX];

    (void) state;
    memset(most.number, 'A', JD_ORDER_NUMBER_MAX);
    most.number[JD_ORDER_NUMBER_MAX] = '\0';
    most.era = most.last_id = UINT64_MAX;
    most.age_sec = INT64_MAX;
    most.at = most.link_from = JD_TIME_MAX;
    assert_in_range(jd_seal_pack(&most, content), 1, sizeof(content));
    assert_int_equal(jd_seal_unpack(&back, content, jd_seal_pack(&most, content)), 0);
    assert_true(back.era == UINT64_MAX && back.age_sec == INT64_MAX);
    assert_int_equal(seal(&most, out), 0);           /* its month does not fit */
    most.at = NOW;
    assert_in_range(seal(&most, out), 1, JD_SEAL_TEXT_MAX);
    assert_int_equal(jd_seal_open(&keys, "credit", NOW, out, seal(&most, out), &back), JD_SEAL_OK);
    assert_int_equal(jd_seal_pack(&least, content), 11);
    for (int fault = 0; fault < 7; fault++) {
        d = decision();
        switch (fault) {
        case 0: d.number[0] = '\0'; break;
        case 1: strcpy(d.number, "A B"); break;
        case 2: d.measure_bit = 7; break;
        case 3: d.age_sec = -1; break;
        case 4: d.at = -1; break;
        case 5: d.link_from = -1; break;
        default: d.link_from = JD_TIME_MAX + 1; break;
        }
        assert_int_equal(jd_seal_pack(&d, content), 0);
        assert_int_equal(seal(&d, out), 0);
    }
    assert_int_equal(jd_seal_unpack(&back, content, 0), -1);
}

/* "2026-10" of each second's day against the C library, at +08:00. */
static void months(void **state)
{
    (void) state;
    for (int64_t sec = 0; sec < (int64_t) 500 * 366 * DAY; sec += DAY / 2) {
        time_t t = (time_t) sec + 8 * 3600;
        struct tm tm;

        gmtime_r(&t, &tm);
        assert_int_equal(jd_seal_month(sec), (tm.tm_year - 70) * 12 + tm.tm_mon);
    }
    assert_int_equal(jd_seal_month(1793462399), 681);  /* 2026-10-31T23:59:59+08:00 */
    assert_int_equal(jd_seal_month(1793462400), 682);
    assert_int_equal(jd_seal_month(-5), 0);
    assert_true(jd_seal_month(INT64_MAX) > UINT16_MAX);
}

static void only_two_months(void **state)
{
    jd_decision_t d = decision(), back;
    char out[JD_SEAL_TEXT_MAX];
    size_t len = seal(&d, out);

    (void) state;
    assert_int_equal(jd_seal_open(&keys, "credit", NOW + 35 * DAY, out, len, &back), JD_SEAL_OK);
    assert_int_equal(jd_seal_open(&keys, "credit", NOW + 36 * DAY, out, len, &back),
                     JD_SEAL_MONTH);   /* 2027-01-01 */
    assert_int_equal(jd_seal_open(&keys, "credit", NOW - 26 * DAY, out, len, &back),
                     JD_SEAL_MONTH);   /* sealed in a month to come */
}

static void foreign(void **state)
{
    jd_keys_t other = {.n = 1}, both = {.n = 2};
    jd_decision_t d = decision(), back;
    char out[JD_SEAL_TEXT_MAX];
    size_t len = seal(&d, out);

    (void) state;
    jd_key_init(&other.key[0], "k1", (const uint8_t *) "another key 1234");
    assert_int_equal(jd_seal_open(&other, "credit", NOW, out, len, &back), JD_SEAL_FOREIGN);
    assert_int_equal(jd_seal_open(&keys, "tax", NOW, out, len, &back), JD_SEAL_FOREIGN);
    both.key[0] = other.key[0];
    both.key[1] = keys.key[0];
    assert_int_equal(jd_seal_open(&both, "credit", NOW, out, len, &back), JD_SEAL_OK);
}

/* No bit of a token may be changed, none may be cut off or put behind it. */
static void changed(void **state)
{
    jd_decision_t d = decision(), back;
    char out[JD_SEAL_TEXT_MAX + 1], text[JD_SEAL_TEXT_MAX + 1];
    size_t len = seal(&d, out);

    (void) state;
    for (size_t i = 0; i < len; i++) {
        memcpy(text, out, len);
        for (const char *c = "AQgw_-z0. \n"; *c != '\0'; c++) {
            text[i] = *c;
            if (*c != out[i]) {
                assert_int_not_equal(jd_seal_open(&keys, "credit", NOW, text, len, &back),
                                     JD_SEAL_OK);
            }
        }
        assert_int_not_equal(jd_seal_open(&keys, "credit", NOW, out, i, &back), JD_SEAL_OK);
    }
    out[len] = 'A';
    assert_int_not_equal(jd_seal_open(&keys, "credit", NOW, out, len + 1, &back), JD_SEAL_OK);
    assert_int_equal(jd_seal_open(&keys, "credit", NOW, "", 0, &back), JD_SEAL_FORM);
    assert_int_equal(jd_seal_open(&keys, "credit", NOW, "7574a95d74b9bf9ba885296882b3fe2e", 32,
                                  &back), JD_SEAL_FORM);
    memcpy(text, out, len);
    text[len / 2] = text[len / 2] == 'A' ? 'B' : 'A';
    assert_int_equal(jd_seal_open(&keys, "credit", NOW, text, len, &back), JD_SEAL_DAMAGED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back), cmocka_unit_test(bounds), cmocka_unit_test(months),
        cmocka_unit_test(only_two_months), cmocka_unit_test(foreign), cmocka_unit_test(changed),
    };

    return cmocka_run_group_tests(tests, set_key, NULL);
}
