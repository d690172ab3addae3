/*
 * jd_subject: schemes, normalisers, and spellings of identifiers.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "core/jd_subject.h"
#include "core/jd_utf8.h"

static jd_normalisers_t words(const char *text)
{
    jd_normalisers_t n;

    assert_int_equal(jd_normalisers_parse(&n, text, strlen(text)), 0);
    return n;
}

static void spellings(void **state)
{
    static const struct {
        jd_scheme_t scheme;
        const char *norm, *raw;
        jd_subject_rc_t rc;
        const char *out;
    } cases[] = {
        {JD_SCHEME_CNID, "", "11010519491231002X", JD_SUBJECT_OK, "11010519491231002X"},
        {JD_SCHEME_CNID, "", "34052419800101001x", JD_SUBJECT_OK, "34052419800101001X"},
        {JD_SCHEME_CNID, "", " \t34052419800101001X\r\n", JD_SUBJECT_OK, "34052419800101001X"},
        {JD_SCHEME_CNID, "", "３４０５２４１９８００１０１００１Ｘ", JD_SUBJECT_OK, "34052419800101001X"},
        {JD_SCHEME_CNID, "", "34052419800101001Y", JD_SUBJECT_OTHER, ""},
        {JD_SCHEME_CNID, "", "340524198001010010", JD_SUBJECT_OTHER, ""},
        {JD_SCHEME_CNID, "", "340524800101001", JD_SUBJECT_OTHER, ""},
        {JD_SCHEME_CNID, "", "A4052419800101001X", JD_SUBJECT_OTHER, ""},
        {JD_SCHEME_CNID, "", "340524 19800101001X", JD_SUBJECT_MALFORMED, ""},
        {JD_SCHEME_CNID, "", "卡", JD_SUBJECT_OTHER, ""},
        {JD_SCHEME_USCC, "", "91350100M000100Y43", JD_SUBJECT_OK, "91350100M000100Y43"},
        {JD_SCHEME_USCC, "", "11320000mb151840xj", JD_SUBJECT_OK, "11320000MB151840XJ"},
        {JD_SCHEME_USCC, "", "11320000MB151840XK", JD_SUBJECT_OTHER, ""},
        {JD_SCHEME_USCC, "", "11320000MB151840IJ", JD_SUBJECT_OTHER, ""},
        {JD_SCHEME_USCC, "", "1132", JD_SUBJECT_OTHER, ""},
        {JD_SCHEME_CARD, "", "", JD_SUBJECT_EMPTY, ""},
        {JD_SCHEME_CARD, "", " \xe3\x80\x80\xc2\xa0\xef\xbb\xbf", JD_SUBJECT_EMPTY, ""},
        {JD_SCHEME_CARD, "", "\xef\xbb\xbf" "007a", JD_SUBJECT_OK, "007a"},
        {JD_SCHEME_CARD, "card=upper", "007a", JD_SUBJECT_OK, "007A"},
        {JD_SCHEME_CARD, "card=strip_zeros", "0070", JD_SUBJECT_OK, "70"},
        {JD_SCHEME_CARD, "card=strip_zeros", "000", JD_SUBJECT_OK, "0"},
        {JD_SCHEME_CARD, "card=upper,strip_zeros", "００ａ", JD_SUBJECT_OK, "A"},
        {JD_SCHEME_PATRON, "card=upper", "ab", JD_SUBJECT_OK, "ab"},
        {JD_SCHEME_UID, "", "04:A2:\xe2\x80\x8b" "11", JD_SUBJECT_MALFORMED, ""},
        {JD_SCHEME_UID, "", "a\x01", JD_SUBJECT_MALFORMED, ""},
        {JD_SCHEME_UID, "", "a\xff", JD_SUBJECT_MALFORMED, ""},
        {JD_SCHEME_UID, "", "a\xe5\x8d", JD_SUBJECT_MALFORMED, ""},
        {JD_SCHEME_UID, "", "\xe5\x8d\xa1-1", JD_SUBJECT_OK, "\xe5\x8d\xa1-1"},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        jd_normalisers_t n = words(cases[i].norm);
        uint8_t out[JD_SUBJECT_MAX];
        size_t len = 0;

        assert_int_equal(jd_subject_normalise(cases[i].scheme, &n, (const uint8_t *) cases[i].raw,
                                              strlen(cases[i].raw), out, &len), cases[i].rc);
        if (cases[i].rc == JD_SUBJECT_OK) {
            assert_int_equal(len, strlen(cases[i].out));
            assert_memory_equal(out, cases[i].out, len);
        }
    }
}

static void lengths(void **state)
{
    uint8_t raw[JD_SUBJECT_RAW_MAX + 1], out[JD_SUBJECT_MAX];
    size_t len;

    (void) state;
    memset(raw, '7', sizeof(raw));
    assert_int_equal(jd_subject_normalise(JD_SCHEME_CARD, NULL, raw, 64, out, &len), JD_SUBJECT_OK);
    assert_int_equal(len, 64);
    assert_int_equal(jd_subject_normalise(JD_SCHEME_CARD, NULL, raw, 65, out, &len),
                     JD_SUBJECT_MALFORMED);
    for (int i = 0; i < 65; i++) {
        memcpy(raw + 3 * i, "\xef\xbc\x91", 3);
    }
    assert_int_equal(jd_subject_normalise(JD_SCHEME_CARD, NULL, raw, 64 * 3, out, &len),
                     JD_SUBJECT_OK);
    assert_int_equal(jd_subject_normalise(JD_SCHEME_CARD, NULL, raw, 65 * 3, out, &len),
                     JD_SUBJECT_MALFORMED);
    memset(raw, ' ', sizeof(raw));
    assert_int_equal(jd_subject_normalise(JD_SCHEME_CARD, NULL, raw, JD_SUBJECT_RAW_MAX, out, &len),
                     JD_SUBJECT_EMPTY);
    assert_int_equal(jd_subject_normalise(JD_SCHEME_CARD, NULL, raw, sizeof(raw), out, &len),
                     JD_SUBJECT_MALFORMED);
}

static void schemes(void **state)
{
    (void) state;
    for (int s = 0; s < JD_SCHEME_N; s++) {
        assert_int_equal(jd_scheme_parse(jd_scheme_names[s], strlen(jd_scheme_names[s])), s);
    }
    assert_int_equal(jd_scheme_parse("car", 3), -1);
    assert_int_equal(jd_scheme_parse("cards", 5), -1);
}

static void normalisers_print_in_order(void **state)
{
    jd_normalisers_t n = words(" uid=strip_zeros,upper patron=upper card=strip_zeros");
    static const char *const bad[] = {"card", "card=", "card=x", "cnid=upper",
                                      "card=upper,", "x=upper",
                                      "card=upper card=upper", "card=upper,upper"};
    char out[256];

    (void) state;
    assert_int_equal(jd_normalisers_print(&n, out), 51);
    assert_string_equal(out, "patron=upper card=strip_zeros uid=upper,strip_zeros");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(jd_normalisers_parse(&n, bad[i], strlen(bad[i])), -1);
    }
}

static void utf8(void **state)
{
    static const char *const bad[] = {"\x80", "\xc1\xbf", "\xe0\x9f\xbf",
                                      "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
                                      "\xc2", "\xe2\x82", "\xe2\x28\xa1"};
    uint32_t code;

    (void) state;
    assert_int_equal(jd_utf8_read((const uint8_t *) "\xf0\x9f\x98\x80", 4, &code), 4);
    assert_int_equal(code, 0x1f600);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(jd_utf8_read((const uint8_t *) bad[i], strlen(bad[i]), &code), 0);
    }
    assert_true(jd_utf8_unseen(0x200b) && jd_utf8_unseen(' ') && jd_utf8_control(0x85));
    assert_false(jd_utf8_unseen(0x2010) || jd_utf8_unseen('a') || jd_utf8_unseen(0x1f600) ||
                 jd_utf8_control(' '));
}

/* Each byte at each place of a text longer than two words. */
static void bytes_in_every_place(void **state)
{
    uint8_t raw[21], out[JD_SUBJECT_MAX];
    size_t len;

    (void) state;
    for (size_t at = 0; at < sizeof(raw); at++) {
        int at_end = at == 0 || at == sizeof(raw) - 1;

        for (unsigned byte = 0; byte < 256; byte++) {
            int white = byte == ' ' || (byte >= '\t' && byte <= '\r');
            jd_subject_rc_t rc = JD_SUBJECT_MALFORMED;

            if ((byte > 0x20 && byte < 0x7f) || (white && at_end)) {
                rc = JD_SUBJECT_OK;
            }
            memset(raw, '7', sizeof(raw));
            raw[at] = (uint8_t) byte;
            assert_int_equal(
                jd_subject_normalise(JD_SCHEME_CARD, NULL, raw, sizeof(raw), out, &len), rc);
            if (rc == JD_SUBJECT_OK) {
                assert_int_equal(len, sizeof(raw) - (size_t) white);
                assert_memory_equal(out, raw + (white && at == 0), len);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spellings), cmocka_unit_test(lengths), cmocka_unit_test(schemes),
        cmocka_unit_test(bytes_in_every_place),
        cmocka_unit_test(normalisers_print_in_order), cmocka_unit_test(utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
