/*
 * rcd_order: every quarantine code, and what a good record becomes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "core/jd_policy.h"
#include "rcd_order.h"

#define GOOD_HEAD                                                                                  \
    "\"order\":\"CS-1\",\"subject\":{\"scheme\":\"card\",\"id\":\"A1\"},\"measures\":[\"bus."      \
    "ride\",\"bike.rent\"],"
#define GOOD_BASIS "\"authority\":\"Office\",\"basis\":\"Act 1\","
#define GOOD_TERM                                                                                  \
    "\"served\":\"2026-10-20\",\"from\":\"2026-10-15T00:00:00+08:00\",\"until\":\"2027-10-15T00:"  \
    "00:00+08:00\","
#define GOOD_FLAGS "\"effect\":\"enforce\",\"objection\":false,"
#define GOOD_CONTEST                                                                               \
    "\"contest\":{\"url\":\"https://o.example/"                                                    \
    "c\",\"phone\":\"12345\",\"deadline\":\"2026-12-15\"}"

static char *authorities[] = {(char *)"Office"};
static rcd_rules_t rules;
static jd_key_t key;

static int set_up(void **state)
{
    uint8_t raw[16] = {7};

    (void)state;
    jd_key_init(&key, "k1", raw);
    rules.key = &key;
    rules.accept_card_subjects = 1;
    for (int bit = 0; bit < 4; bit++) {
        rules.rule[bit] = (rcd_measure_rule_t){.enabled = 1,
                                               .legal_source = (char *)"law",
                                               .authorities = authorities,
                                               .n_authorities = 1,
                                               .max_term_sec = 400 * 86400};
    }
    return 0;
}

static rcd_quarantine_t parse(const char *json, rcd_order_t *o)
{
    char why[256] = "unset";
    rcd_quarantine_t code = rcd_order_parse(&rules, json, strlen(json), o, why, sizeof(why));

    assert_int_equal(code == RCD_Q_NONE, why[0] == '\0');
    assert_null(strchr(why, '\n'));
    assert_null(strstr(why, "A1"));
    return code;
}

static void test_good(void **state)
{
    rcd_order_t o;
    jd_grounds_t g;

    (void)state;
    assert_int_equal(parse("{" GOOD_HEAD GOOD_BASIS GOOD_TERM GOOD_FLAGS GOOD_CONTEST "}", &o),
                     RCD_Q_NONE);
    assert_string_equal(o.number, "CS-1");
    assert_int_equal(o.measures, 1 | 8);
    assert_true(rcd_order_start(&o) == o.served && o.served > o.from);
    assert_int_equal(o.deadline_day, 20802);
    assert_int_equal(jd_grounds_decode(&key, o.grounds_id, o.grounds, o.grounds_len, &g),
                     JD_RECORD_OK);
    assert_memory_equal(g.basis.text, "Act 1", 5);
    assert_int_equal(rcd_order_term_max(&rules, 1), 400 * 86400);
    assert_int_equal(rcd_order_term_max(&rules, 0), JD_TERM_MAX_SEC);
}

static const struct {
    const char *json;
    rcd_quarantine_t code;
    const char *number;
} bad[] = {
    {"", RCD_Q_SCHEMA, ""},
    {"[]", RCD_Q_SCHEMA, ""},
    {"{" GOOD_HEAD GOOD_BASIS GOOD_TERM GOOD_FLAGS GOOD_CONTEST "}}", RCD_Q_SCHEMA, ""},
    {"{" GOOD_HEAD GOOD_HEAD GOOD_BASIS GOOD_TERM GOOD_FLAGS GOOD_CONTEST "}", RCD_Q_SCHEMA, ""},
    {"{\"order\":\"CS 1\"}", RCD_Q_SCHEMA, ""},
    {"{\"order\":7}", RCD_Q_SCHEMA, ""},
    {"{" GOOD_HEAD GOOD_BASIS GOOD_TERM GOOD_FLAGS GOOD_CONTEST ",\"score\":1}", RCD_Q_SCHEMA,
     "CS-1"},
    {"{" GOOD_HEAD GOOD_BASIS GOOD_TERM GOOD_CONTEST ",\"effect\":\"warn\",\"objection\":false}",
     RCD_Q_SCHEMA, "CS-1"},
    {"{" GOOD_HEAD GOOD_BASIS GOOD_TERM GOOD_CONTEST ",\"effect\":\"enforce\"}", RCD_Q_SCHEMA,
     "CS-1"},
    {"{" GOOD_HEAD GOOD_TERM GOOD_FLAGS GOOD_CONTEST ",\"authority\":\"Office\"}", RCD_Q_NO_BASIS,
     "CS-1"},
    {"{" GOOD_HEAD GOOD_TERM GOOD_FLAGS GOOD_CONTEST ",\"authority\":\"\",\"basis\":\"b\"}",
     RCD_Q_NO_BASIS, "CS-1"},
    {"{" GOOD_HEAD GOOD_TERM GOOD_FLAGS GOOD_CONTEST ",\"authority\":\"O\\nX\",\"basis\":\"b\"}",
     RCD_Q_SCHEMA, "CS-1"},
    {"{" GOOD_HEAD GOOD_TERM GOOD_FLAGS GOOD_CONTEST
     ",\"authority\":\"O\\u0000X\",\"basis\":\"b\"}",
     RCD_Q_SCHEMA, ""},
    {"{" GOOD_HEAD GOOD_BASIS GOOD_FLAGS GOOD_CONTEST ",\"from\":\"2026-10-15T00:00:00+08:00\","
     "\"until\":\"2027-10-15T00:00:00+08:00\"}",
     RCD_Q_NOT_SERVED, "CS-1"},
    {"{" GOOD_HEAD GOOD_BASIS GOOD_FLAGS GOOD_CONTEST
     ",\"served\":\"2028-01-01\",\"from\":\"2026-10-15T00:00:00+08:00\","
     "\"until\":\"2027-10-15T00:00:00+08:00\"}",
     RCD_Q_NOT_SERVED, "CS-1"},
    {"{" GOOD_HEAD GOOD_BASIS GOOD_FLAGS GOOD_CONTEST
     ",\"served\":\"2026-10-01\",\"from\":\"2026-10-15T00:00:00+08:00\"}",
     RCD_Q_NO_TERM, "CS-1"},
    {"{" GOOD_HEAD GOOD_BASIS GOOD_FLAGS GOOD_CONTEST
     ",\"served\":\"2026-10-01\",\"from\":\"2026-10-15T00:00:00+08:00\","
     "\"until\":\"2026-10-15T00:00:00+08:00\"}",
     RCD_Q_NO_TERM, "CS-1"},
    {"{" GOOD_HEAD GOOD_BASIS GOOD_FLAGS GOOD_CONTEST
     ",\"served\":\"2026-10-01\",\"from\":\"2026-10-15T00:00:00\","
     "\"until\":\"2027-10-15T00:00:00+08:00\"}",
     RCD_Q_SCHEMA, "CS-1"},
    {"{" GOOD_HEAD GOOD_BASIS GOOD_TERM GOOD_FLAGS "\"contest\":{}}", RCD_Q_NO_CONTEST, "CS-1"},
    {"{" GOOD_HEAD GOOD_BASIS GOOD_TERM GOOD_FLAGS "\"repair\":{}}", RCD_Q_NO_CONTEST, "CS-1"},
    {"{" GOOD_HEAD GOOD_BASIS GOOD_TERM GOOD_FLAGS "\"contest\":{\"url\":\"javascript:x\"}}",
     RCD_Q_SCHEMA, "CS-1"},
    {"{" GOOD_HEAD GOOD_BASIS GOOD_TERM GOOD_FLAGS "\"contest\":{\"phone\":\"1\",\"fax\":\"2\"}}",
     RCD_Q_SCHEMA, "CS-1"},
    {"{" GOOD_HEAD GOOD_BASIS GOOD_TERM GOOD_FLAGS
     "\"contest\":{\"phone\":\"1\",\"deadline\":\"x\"}}",
     RCD_Q_SCHEMA, "CS-1"},
    {"{" GOOD_HEAD GOOD_BASIS GOOD_TERM GOOD_FLAGS "\"contest\":\"12345\"}", RCD_Q_SCHEMA, "CS-1"},
};

static void test_bad(void **state)
{
    rcd_order_t o;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (parse(bad[i].json, &o) != bad[i].code || strcmp(o.number, bad[i].number) != 0) {
            fail_msg("%s: code %s, number \"%s\"", bad[i].json,
                     rcd_quarantine_names[parse(bad[i].json, &o)], o.number);
        }
    }
}

/* The good record with its measures and subject replaced. */
static rcd_quarantine_t with(const char *measures, const char *subject, const char *authority)
{
    char json[2048];
    rcd_order_t o;

    snprintf(json, sizeof(json),
             "{\"order\":\"CS-1\",\"subject\":%s,\"measures\":%s,\"authority\":\"%s\",\"basis\":"
             "\"b\"," GOOD_TERM GOOD_FLAGS GOOD_CONTEST "}",
             subject, measures, authority);
    return parse(json, &o);
}

static void test_measures_and_subjects(void **state)
{
    static const char card[] = "{\"scheme\":\"card\",\"id\":\"A1\"}", bus[] = "[\"bus.ride\"]";

    (void)state;
    assert_int_equal(with(bus, card, "Office"), RCD_Q_NONE);
    assert_int_equal(with("[]", card, "Office"), RCD_Q_SCHEMA);
    assert_int_equal(with("[1]", card, "Office"), RCD_Q_SCHEMA);
    assert_int_equal(with("[\"bus.ride\",\"bus.ride\"]", card, "Office"), RCD_Q_SCHEMA);
    assert_int_equal(with("[\"school.entry\"]", card, "Office"), RCD_Q_MEASURE_NOT_ENABLED);
    assert_int_equal(with("[\"bus.ride\",\"library.hold\"]", card, "Office"),
                     RCD_Q_MEASURE_NOT_ENABLED);
    assert_int_equal(with(bus, card, "Office of Tea"), RCD_Q_AUTHORITY);
    assert_int_equal(with(bus, "\"A1\"", "Office"), RCD_Q_SCHEMA);
    assert_int_equal(with(bus, "{\"scheme\":\"card\",\"id\":1}", "Office"), RCD_Q_SCHEMA);
    assert_int_equal(with(bus, "{\"scheme\":\"passport\",\"id\":\"A1\"}", "Office"), RCD_Q_SUBJECT);
    assert_int_equal(with(bus, "{\"scheme\":\"card\",\"id\":\" \"}", "Office"), RCD_Q_SUBJECT);
    assert_int_equal(with(bus, "{\"scheme\":\"cnid\",\"id\":\"11010519491231002X\"}", "Office"),
                     RCD_Q_NONE);
    assert_int_equal(with(bus, "{\"scheme\":\"cnid\",\"id\":\"110105194912310021\"}", "Office"),
                     RCD_Q_SUBJECT);
    assert_int_equal(with(bus, "{\"scheme\":\"card\",\"id\":\"A1\",\"name\":\"x\"}", "Office"),
                     RCD_Q_SCHEMA);
}

/* Plastic is no person: cards and chip uids only where the list says so, accounts always. */
static void test_card_subjects(void **state)
{
    static const char *const cards[] = {"card", "uid"};
    char subject[64], why[256];
    rcd_order_t o;

    (void)state;
    for (int i = 0; i < 2; i++) {
        snprintf(subject, sizeof(subject), "{\"scheme\":\"%s\",\"id\":\"A1\"}", cards[i]);
        assert_int_equal(with("[\"bus.ride\"]", subject, "Office"), RCD_Q_NONE);
        rules.accept_card_subjects = 0;
        assert_int_equal(with("[\"bus.ride\"]", subject, "Office"), RCD_Q_SUBJECT);
        rules.accept_card_subjects = 1;
    }
    rules.accept_card_subjects = 0;
    assert_int_equal(with("[\"bus.ride\"]", "{\"scheme\":\"patron\",\"id\":\"A1\"}", "Office"),
                     RCD_Q_NONE);
    assert_int_equal(with("[\"bus.ride\"]",
                          "{\"scheme\":\"cnid\",\"id\":\"11010519491231002X\"}", "Office"),
                     RCD_Q_NONE);
    assert_int_equal(
        rcd_order_parse(&rules, "{" GOOD_HEAD GOOD_BASIS GOOD_TERM GOOD_FLAGS GOOD_CONTEST "}",
                        strlen("{" GOOD_HEAD GOOD_BASIS GOOD_TERM GOOD_FLAGS GOOD_CONTEST "}"), &o,
                        why, sizeof(why)),
        RCD_Q_SUBJECT);
    assert_non_null(strstr(why, "accept_card_subjects = on"));
    rules.accept_card_subjects = 1;
}

/* Full-width and plain spellings of one card are one digest. */
static void test_one_digest(void **state)
{
    rcd_order_t a, b;

    (void)state;
    assert_int_equal(parse("{" GOOD_HEAD GOOD_BASIS GOOD_TERM GOOD_FLAGS GOOD_CONTEST "}", &a),
                     RCD_Q_NONE);
    assert_int_equal(
        parse("{\"order\":\"CS-2\",\"subject\":{\"scheme\":\"card\",\"id\":\" "
              "\xef\xbc\xa1\xef\xbc\x91 \"},"
              "\"measures\":[\"bus.ride\"]," GOOD_BASIS GOOD_TERM GOOD_FLAGS GOOD_CONTEST "}",
              &b),
        RCD_Q_NONE);
    assert_memory_equal(a.digest, b.digest, JD_DIGEST_LEN);
}

static void test_too_long(void **state)
{
    static char json[RCD_ORDER_JSON_MAX + 2];
    rcd_order_t o;

    (void)state;
    memset(json, ' ', RCD_ORDER_JSON_MAX + 1);
    assert_int_equal(parse(json, &o), RCD_Q_SCHEMA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_measures_and_subjects),
        cmocka_unit_test(test_card_subjects),
        cmocka_unit_test(test_one_digest),
        cmocka_unit_test(test_too_long),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
