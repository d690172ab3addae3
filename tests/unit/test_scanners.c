/*
 * jd_json, jd_form: what is found, what is absent, and what two readers could read in two ways.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "core/jd_form.h"
#include "core/jd_json.h"

#define MALFORMED  "!"        /* in place of a value */
#define ABSENT     NULL

typedef struct {
    const char *where, *text, *want;
} scan_case_t;

static void json_cases(void **state)
{
    static const scan_case_t cases[] = {
        {"/card", "{\"card\":\"12\\u0033\"}", "123"},
        {"/card", " {\"a\":[1,{}],\"card\" : 123 } ", "123"},
        {"/card", "{\"card\":-0}", "-0"},
        {"/card", "{\"card\":\"\\ud83d\\ude00\\u00e9\\u5361\\/\\n\"}", "😀é卡/\n"},
        {"/a/1/b", "{\"a\":[0,{\"b\":\"x\"}]}", "x"},
        {"/a~1b/m~0n", "{\"a/b\":{\"m~n\":\"x\"}}", "x"},
        {"/", "{\"\":\"x\"}", "x"},
        {"/0", "[\"x\"]", "x"},
        {"/card", "", ABSENT},
        {"/card", "{}", ABSENT},
        {"/card", "7", ABSENT},
        {"/card", "{\"card\":null}", ABSENT},
        {"/card", "{\"x\":{\"card\":\"1\"}}", ABSENT},
        {"/00", "[\"x\"]", ABSENT},
        {"/card/a", "{\"card\":\"1\"}", ABSENT},
        {"/card", "{\"card\":\"1\",\"card\":\"1\"}", MALFORMED},
        {"/card", "{\"card\":\"1\",\"Card\":\"1\"}", MALFORMED},
        {"/card", "{\"CARD\":\"1\"}", MALFORMED},
        {"/as", "{\"a\xc5\xbf\":\"1\"}", MALFORMED},
        {"/k", "{\"\xe2\x84\xaa\":\"1\"}", MALFORMED},
        {"/a/b", "{\"a\":{\"b\":1},\"a\":{}}", MALFORMED},
        {"/card", "{\"card\":1.5}", MALFORMED},
        {"/card", "{\"card\":1e5}", MALFORMED},
        {"/card", "{\"card\":01}", MALFORMED},
        {"/card", "{\"card\":true}", MALFORMED},
        {"/card", "{\"card\":false}", MALFORMED},
        {"/card", "{\"card\":[1]}", MALFORMED},
        {"/card", "{\"card\":{}}", MALFORMED},
        {"/card", "{\"card\":\"\\u0000\"}", MALFORMED},
        {"/card", "{\"card\":\"\\ud800x\"}", MALFORMED},
        {"/card", "{\"card\":\"\\udc00\"}", MALFORMED},
        {"/card", "{\"card\":\"\\x41\"}", MALFORMED},
        {"/card", "{\"card\":\"\xff\"}", MALFORMED},
        {"/card", "{\"card\":\"a\tb\"}", MALFORMED},
        {"/card", "{\"card\":\"1\"}}", MALFORMED},
        {"/card", "\xef\xbb\xbf{\"card\":\"1\"}", MALFORMED},
        {"/card", "{\"card\":\"1\"", MALFORMED},
        {"/card", "{\"card\":\"01234567890123456\"}", MALFORMED},
        {"/card", "{\"card\":12345678901234567}", MALFORMED},
        {"/card", "{\"a\":1e,\"card\":1}", MALFORMED},
        {"/card", "{\"a\":1.,\"card\":1}", MALFORMED},
        {"/card", "{\"a\":-,\"card\":1}", MALFORMED},
        {"/card", "{\"a\":nul,\"card\":1}", MALFORMED},
        {"/card", "{\"a\" 1}", MALFORMED},
        {"/card", "{a:1}", MALFORMED},
        {"/card", "[1,]", MALFORMED},
        {"/card", "[1}", MALFORMED},
        {"/card", "[", MALFORMED},
        {"/card", "{\"a\":\"\\u12", MALFORMED},
        {"/card", "{\"a\":\"\\", MALFORMED},
        {"/card", "{\"a\":\"\\u12g4\"}", MALFORMED},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const scan_case_t *c = &cases[i];
        jd_json_pointer_t p;
        uint8_t out[16];
        size_t len = 0;
        jd_json_rc_t rc;

        assert_int_equal(jd_json_pointer_parse(&p, c->where, strlen(c->where)), 0);
        rc = jd_json_find((const uint8_t *) c->text, strlen(c->text), &p, out, sizeof(out), &len);
        if (c->want == NULL || strcmp(c->want, MALFORMED) == 0) {
            assert_int_equal(rc, c->want ? JD_JSON_MALFORMED : JD_JSON_ABSENT);
        } else {
            assert_int_equal(rc, JD_JSON_FOUND);
            assert_int_equal(len, strlen(c->want));
            assert_memory_equal(out, c->want, len);
        }
    }
}

static void json_depth(void **state)
{
    jd_json_pointer_t p;
    char text[2 * JD_JSON_DEPTH_MAX + 2];
    uint8_t out[1];
    size_t len;

    (void) state;
    assert_int_equal(jd_json_pointer_parse(&p, "/x", 2), 0);
    memset(text, '[', JD_JSON_DEPTH_MAX + 1);
    memset(text + JD_JSON_DEPTH_MAX + 1, ']', JD_JSON_DEPTH_MAX + 1);
    assert_int_equal(jd_json_find((uint8_t *) text + 1, 2 * JD_JSON_DEPTH_MAX, &p, out, 1, &len),
                     JD_JSON_ABSENT);
    assert_int_equal(jd_json_find((uint8_t *) text, sizeof(text), &p, out, 1, &len),
                     JD_JSON_MALFORMED);
}

static void json_pointers_refused(void **state)
{
    static const char *const bad[] = {"", "card", "/a~", "/a~2", "/a/b/c/d/e/f/g/h/i"};
    char text[JD_JSON_TOKEN_MAX + 2];
    jd_json_pointer_t p;

    (void) state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(jd_json_pointer_parse(&p, bad[i], strlen(bad[i])), -1);
    }
    memset(text, 'a', sizeof(text));
    text[0] = '/';
    assert_int_equal(jd_json_pointer_parse(&p, text, sizeof(text) - 1), 0);
    assert_int_equal(jd_json_pointer_parse(&p, text, sizeof(text)), -1);
}

/* The length comes by reference: it is written by the call that makes `rc`. */
static void check_form(jd_form_rc_t rc, const char *want, const uint8_t *out, const size_t *len)
{
    if (want == NULL || strcmp(want, MALFORMED) == 0) {
        assert_int_equal(rc, want ? JD_FORM_MALFORMED : JD_FORM_ABSENT);
    } else {
        assert_int_equal(rc, JD_FORM_FOUND);
        assert_int_equal(*len, strlen(want));
        assert_memory_equal(out, want, *len);
    }
}

static void form_cases(void **state)
{
    static const scan_case_t cases[] = {
        {"card", "card=123", "123"},
        {"card", "a=1&c%61rd=%31+2&b=3", "1 2"},
        {"card", "card", ""},
        {"card", "", ABSENT},
        {"card", "a=card&cards=1", ABSENT},
        {"card", "card=1&card=1", MALFORMED},
        {"card", "CARD=1", MALFORMED},
        {"card", "card[]=1", MALFORMED},
        {"card", "card%5b0%5d=1", MALFORMED},
        {"card", "+card=1", MALFORMED},
        {"card", "card%00=1", MALFORMED},
        {"card_no", "card.no=1", MALFORMED},
        {"card_no", "card no=1", MALFORMED},
        {"card_no", "card[no=1", MALFORMED},
        {"card", "a=1;card=2", MALFORMED},
        {"card", "card=2;a=1", MALFORMED},
        {"card", "card=%g1", MALFORMED},
        {"card", "card=%1", MALFORMED},
        {"card", "card=%00", MALFORMED},
        {"card", "card=01234567890123456", MALFORMED},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const scan_case_t *c = &cases[i];
        uint8_t out[16];
        size_t len = 0;

        check_form(jd_form_find((const uint8_t *) c->text, strlen(c->text), c->where,
                                strlen(c->where), 1, out, sizeof(out), &len), c->want, out, &len);
    }
}

static void plus_is_itself_elsewhere(void **state)
{
    uint8_t out[16];
    size_t len = 0;

    (void) state;
    check_form(jd_form_find((const uint8_t *) "card=1+2", 8, "card", 4, 0, out, 16, &len), "1+2",
               out, &len);
}

static void cookie_cases(void **state)
{
    static const scan_case_t cases[] = {
        {"card", "card=123", "123"},
        {"card", "a=1; card=\"123\" ;b=2", "123"},
        {"card", "card=%31", "%31"},
        {"card", "card=", ""},
        {"card", "Card=1; acard=2", ABSENT},
        {"card", "card=1; card=1", MALFORMED},
        {"card", "card=\"1", MALFORMED},
        {"card", "card=\"\\061\"", MALFORMED},
        {"card", "card=01234567890123456", MALFORMED},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const scan_case_t *c = &cases[i];
        uint8_t out[16];
        size_t len = 0;

        check_form(jd_cookie_find((const uint8_t *) c->text, strlen(c->text), c->where,
                                  strlen(c->where), out, sizeof(out), &len), c->want, out, &len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_cases), cmocka_unit_test(json_depth),
        cmocka_unit_test(json_pointers_refused), cmocka_unit_test(form_cases),
        cmocka_unit_test(plus_is_itself_elsewhere), cmocka_unit_test(cookie_cases),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
