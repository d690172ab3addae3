/*
 * jd_redis, jd_measure: names, meta, and the confirm script's SHA-1.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <stdio.h>
#include <openssl/sha.h>
#include "core/jd_measure.h"
#include "core/jd_redis.h"

static void script_has_its_sha1(void **state)
{
    unsigned char sum[SHA_DIGEST_LENGTH];
    char hex[41];

    (void) state;
    SHA1((const unsigned char *) jd_confirm_script, strlen(jd_confirm_script), sum);
    for (int i = 0; i < SHA_DIGEST_LENGTH; i++) {
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    }
    assert_string_equal(jd_confirm_sha1, hex);
}

static void script_reads_the_fields_in_order(void **state)
{
    const char *at = strstr(jd_confirm_script, "HMGET");

    (void) state;
    for (int i = 0; i < JD_META_FIELDS; i++) {
        char quoted[32];

        snprintf(quoted, sizeof(quoted), "'%s'", jd_meta_fields[i]);
        at = strstr(at, quoted);
        assert_non_null(at);
    }
}

static void names(void **state)
{
    static const uint8_t digest[16] = {0x80, 0x01, 0x02, 0x03};
    char out[JD_REDIS_NAME_MAX];

    (void) state;
    assert_int_equal(jd_redis_meta(out, "credit"), 16);
    assert_string_equal(out, "jd:{credit}:meta");
    jd_redis_relief(out, "credit");
    assert_string_equal(out, "jd:{credit}:relief");
    jd_redis_grounds(out, "credit");
    assert_string_equal(out, "jd:{credit}:grounds");
    jd_redis_changes(out, "credit");
    assert_string_equal(out, "jd:{credit}:changes");
    jd_redis_stays(out, "credit");
    assert_string_equal(out, "jd:{credit}:stays");
    jd_redis_lifts(out, "credit");
    assert_string_equal(out, "jd:{credit}:lifts");
    jd_redis_gates(out, "credit");
    assert_string_equal(out, "jd:{credit}:gates");
    jd_redis_ledger_set(out, "credit");
    assert_string_equal(out, "jd:{credit}:ledger");
    jd_redis_ledger_done(out, "credit");
    assert_string_equal(out, "jd:{credit}:ledger:done");
    jd_redis_prefix(out, "credit");
    assert_string_equal(out, "jd:{credit}:");
    jd_redis_bucket(out, "l_1", UINT64_MAX, 1048575);
    assert_string_equal(out, "jd:{l_1}:18446744073709551615:1048575");
    jd_redis_bucket(out, "l_1", 0, 0);
    assert_string_equal(out, "jd:{l_1}:0:0");

    assert_int_equal(jd_redis_bucket_of(digest, 0), 0);
    assert_int_equal(jd_redis_bucket_of(digest, 1), 1);
    assert_int_equal(jd_redis_bucket_of(digest, 16), 0x8001);
    assert_int_equal(jd_redis_bucket_of(digest, 20), 0x80010);

    assert_true(jd_list_name_ok("credit_2", 8));
    assert_true(jd_list_name_ok("abcdefghijklmnopqrstuvwxyz012345", 32));
    assert_false(jd_list_name_ok("abcdefghijklmnopqrstuvwxyz0123456", 33));
    assert_false(jd_list_name_ok("", 0));
    assert_false(jd_list_name_ok("Credit", 6));
    assert_false(jd_list_name_ok("a}b", 3));
}

static const char *const whole[JD_META_FIELDS] = {
    "1", "1795000000", "10", "7", "65535", "9", "281474976710655", "100", "k-1", "0123456789abcdef",
    "card=upper", "1795000000", "1795000001", "1795000002",
    "bus.ride metro.ride ferry.ride bike.rent library.checkout library.hold tour.annual_pass",
    "bus.ride=1795000003 tour.annual_pass=5 sea.swim=7",
};

/* meta with one value replaced (NULL: taken out). */
static jd_meta_rc_t parse(jd_meta_t *m, int field, const char *value, const char **at_fault)
{
    const char *val[JD_META_FIELDS];
    size_t len[JD_META_FIELDS];

    for (int i = 0; i < JD_META_FIELDS; i++) {
        val[i] = i == field ? value : whole[i];
        len[i] = val[i] ? strlen(val[i]) : 0;
    }
    return jd_meta_parse(m, val, len, at_fault);
}

static void meta_whole(void **state)
{
    const char *field = NULL;
    jd_meta_t m;

    (void) state;
    assert_int_equal(parse(&m, -1, NULL, &field), JD_META_OK);
    assert_int_equal(m.schema, 1);
    assert_int_equal(m.era, 1795000000);
    assert_int_equal(m.bits, 10);
    assert_int_equal(m.last_id, 7);
    assert_int_equal(m.epoch, 65535);
    assert_int_equal(m.seq, 9);
    assert_int_equal(m.count, 100);
    assert_string_equal(m.key_id, "k-1");
    assert_string_equal(m.key_check, "0123456789abcdef");
    assert_int_equal(m.norm.flags[JD_SCHEME_CARD], JD_NORM_UPPER);
    assert_int_equal(m.verified_at, 1795000000);
    assert_int_equal(m.office_at, 1795000001);
    assert_int_equal(m.beat, 1795000002);
    assert_int_equal(m.measures_agree, 1);
    assert_int_equal(m.brakes[0], 1795000003);
    assert_int_equal(m.brakes[1], 0);
    assert_int_equal(m.brakes[JD_MEASURE_N - 1], 5);
    assert_int_equal(parse(&m, JD_META_FIELDS - 1, NULL, &field), JD_META_OK);
    assert_int_equal(m.brakes[0], 0);
    assert_int_equal(parse(&m, JD_META_FIELDS - 1, "", &field), JD_META_OK);
    assert_true(jd_relief_mark(m.epoch, m.relief_seq) == UINT64_MAX);
}

static void meta_refused(void **state)
{
    static const struct {
        int field;
        const char *value;
        jd_meta_rc_t rc;
    } cases[] = {
        {0, NULL, JD_META_EMPTY}, {0, "2", JD_META_SCHEMA}, {0, "0", JD_META_SCHEMA},
        {0, "one", JD_META_BAD},  {1, "0", JD_META_BAD},    {1, "", JD_META_BAD},
        {1, "007", JD_META_BAD},  {2, "21", JD_META_BAD},   {3, "-1", JD_META_BAD},
        {4, "65536", JD_META_BAD}, {5, "281474976710656", JD_META_BAD},
        {6, "18446744073709551616", JD_META_BAD}, {7, "1e3", JD_META_BAD},
        {8, "", JD_META_BAD},     {8, "k 1", JD_META_BAD},  {9, "0123456789abcdeF", JD_META_BAD},
        {9, "0123", JD_META_BAD}, {10, "cnid=upper", JD_META_BAD}, {11, "x", JD_META_BAD},
        {12, NULL, JD_META_BAD},  {13, " 1", JD_META_BAD},  {14, "metro.ride", JD_META_BAD},
        {15, "bus.ride", JD_META_BAD}, {15, "bus.ride=", JD_META_BAD}, {15, "=1", JD_META_BAD},
        {15, "bus.ride=x", JD_META_BAD}, {15, "bus.ride=1 ", JD_META_BAD}, {15, " bus.ride=1", JD_META_BAD},
        {15, "bus.ride=1  metro.ride=2", JD_META_BAD}, {15, "bus.ride=-1", JD_META_BAD},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *field = NULL;
        jd_meta_t m;

        assert_int_equal(parse(&m, cases[i].field, cases[i].value, &field), cases[i].rc);
        assert_string_equal(field, jd_meta_fields[cases[i].field]);
    }
}

static void measures(void **state)
{
    const char *list = jd_measure_list();
    char out[128];
    size_t len;

    (void) state;
    assert_int_equal(jd_measure_mask_print(JD_MEASURE_ALL, out), strlen(list));
    assert_string_equal(out, list);
    assert_int_equal(jd_measure_mask_print(0xff80, out), 0);
    jd_measure_mask_print(0x11, out);
    assert_string_equal(out, "bus.ride library.checkout");
    for (int bit = 0; bit < JD_MEASURE_N; bit++) {
        assert_int_equal(jd_measure_bit(jd_measure_names[bit], strlen(jd_measure_names[bit])), bit);
    }
    assert_int_equal(jd_measure_bit("bus.rid", 7), -1);
    assert_int_equal(jd_measure_bit("", 0), -1);

    len = strlen(list);
    assert_true(jd_measure_list_agrees(list, len));
    assert_true(jd_measure_list_agrees("bus.ride", 8));
    assert_false(jd_measure_list_agrees("bus.rid", 7));
    assert_false(jd_measure_list_agrees("", 0));
    assert_false(jd_measure_list_agrees("metro.ride", 10));
    snprintf(out, sizeof(out), "%s sea.swim", list);
    assert_true(jd_measure_list_agrees(out, strlen(out)));
    out[len] = 'x';
    assert_false(jd_measure_list_agrees(out, strlen(out)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(script_has_its_sha1), cmocka_unit_test(script_reads_the_fields_in_order),
        cmocka_unit_test(names), cmocka_unit_test(meta_whole), cmocka_unit_test(meta_refused),
        cmocka_unit_test(measures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
