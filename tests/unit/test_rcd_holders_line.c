/*
 * rcd_holders_line: every form of a line, what is refused and why, and that no identifier is in the why.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "rcd_holders_line.h"

#define PERSON "cnid:11010519491231002X"
#define BODY   "uscc:91350100M000100Y43"

static rcd_rules_t rules;
static jd_key_t key;

static int set_up(void **state)
{
    uint8_t raw[16] = {7};

    (void) state;
    jd_key_init(&key, "k1", raw);
    rules.key = &key;
    assert_int_equal(jd_normalisers_parse(&rules.norm, "card=upper", 10), 0);
    return 0;
}

/* One line by a reader; the text is copied to its exact size, so that an overread is seen. */
static rcd_holders_rc_t read_line(rcd_holders_reader_t *r, const char *text, size_t len,
                                  rcd_holders_line_t *out)
{
    char *copy = malloc(len + 1);
    rcd_holders_rc_t rc;

    memcpy(copy, text, len);
    copy[len] = '\0';
    rc = rcd_holders_line(r, copy, len, out);
    assert_int_equal(out->why[0] != '\0', rc == RCD_HOLDERS_REFUSED || rc == RCD_HOLDERS_WRONG);
    assert_null(strstr(out->why, "1101"));
    assert_null(strstr(out->why, "3501"));
    assert_null(strstr(out->why, "AB12"));
    free(copy);
    return rc;
}

static rcd_holders_rc_t json(int full, const char *text, rcd_holders_line_t *out)
{
    rcd_holders_reader_t r;

    rcd_holders_reader_init(&r, &rules, full);
    return read_line(&r, text, strlen(text), out);
}

static void digest_of(jd_scheme_t scheme, const char *normal, uint8_t out[JD_DIGEST_LEN])
{
    jd_digest(&key, scheme, (const uint8_t *) normal, strlen(normal), out);
}

static void good_lines(void **state)
{
    uint8_t card[JD_DIGEST_LEN], holder[JD_DIGEST_LEN];
    rcd_holders_line_t l;

    (void) state;
    assert_int_equal(json(1, "{\"card\":\" ab12 \",\"holder\":\"" PERSON "\",\"use\":\"own\"}", &l),
                     RCD_HOLDERS_SET);
    digest_of(JD_SCHEME_CARD, "AB12", card);
    digest_of(JD_SCHEME_CNID, "11010519491231002X", holder);
    assert_memory_equal(l.link.card, card, sizeof(card));
    assert_memory_equal(l.link.holder, holder, sizeof(holder));
    assert_int_equal(l.link.flags, RCD_LINK_OWN | RCD_LINK_SCHEME(JD_SCHEME_CARD));
    assert_int_equal(l.link.from, 0);
    assert_int_equal(l.link.until, RCD_LINK_OPEN);

    assert_int_equal(json(1, "{\"card\":\"uid:AB12\",\"holder\":\"" BODY "\",\"use\":\"other\","
                             "\"from\":\"2026-10-01\",\"until\":\"2026-10-02T00:00:01+08:00\"}",
                          &l), RCD_HOLDERS_SET);
    digest_of(JD_SCHEME_UID, "AB12", card);
    assert_memory_equal(l.link.card, card, sizeof(card));
    assert_int_equal(l.link.flags, RCD_LINK_BODY | RCD_LINK_SCHEME(JD_SCHEME_UID));
    assert_int_equal(l.link.until - l.link.from, 86401);
    assert_int_equal(l.link.from, 1790784000);

    assert_int_equal(json(0, "{\"op\":\"remove\",\"card\":\"card:AB12\"}", &l), RCD_HOLDERS_REMOVE);
    assert_false(l.has_holder);
    assert_int_equal(json(0, "{\"op\":\"remove\",\"card\":\"AB12\",\"holder\":\"" PERSON "\","
                             "\"until\":null}", &l), RCD_HOLDERS_REMOVE);
    assert_true(l.has_holder);
    assert_int_equal(json(0, "{\"op\":\"set\",\"card\":\"patron:P-1\",\"holder\":\"" PERSON "\","
                             "\"use\":\"own\"}", &l), RCD_HOLDERS_SET);
    assert_int_equal(json(0, "\xef\xbb\xbf{\"card\":\"1\",\"holder\":\"" PERSON "\",\"use\":\"own\"}\r",
                          &l), RCD_HOLDERS_SET);
}

static void refused_json(void **state)
{
    static const struct { const char *text, *why; int card, holder; } rows[] = {
        {"{\"holder\":\"" PERSON "\",\"use\":\"own\"}", "card: missing", 0, 1},
        {"{\"card\":\"AB12\",\"use\":\"own\"}", "holder: missing", 1, 0},
        {"{\"card\":\"\",\"holder\":\"" PERSON "\",\"use\":\"own\"}", "card: is empty", 0, 1},
        {"{\"card\":\"AB 12\",\"holder\":\"" PERSON "\",\"use\":\"own\"}", "card: cannot be read", 0, 1},
        {"{\"card\":\"passport:AB12\",\"holder\":\"" PERSON "\",\"use\":\"own\"}", "card: must be card:", 0, 1},
        {"{\"card\":\"cnid:11010519491231002X\",\"holder\":\"" PERSON "\",\"use\":\"own\"}", "card: must be card:", 0, 1},
        {"{\"card\":\"AB12\",\"holder\":\"11010519491231002X\",\"use\":\"own\"}", "holder: must be cnid:", 1, 0},
        {"{\"card\":\"AB12\",\"holder\":\"card:AB12\",\"use\":\"own\"}", "holder: must be cnid:", 1, 0},
        {"{\"card\":\"AB12\",\"holder\":\"cnid:110105194912310021\",\"use\":\"own\"}", "holder: is not of its scheme", 1, 0},
        {"{\"card\":\"AB12\",\"holder\":\"uscc:91350100M000100Y44\",\"use\":\"own\"}", "holder: is not of its scheme", 1, 0},
        {"{\"card\":\"AB12\",\"holder\":\"" PERSON "\"}", "use: must be own or other", 1, 1},
        {"{\"card\":\"AB12\",\"holder\":\"" PERSON "\",\"use\":\"OWN\"}", "use: must be own or other", 1, 1},
        {"{\"card\":\"AB12\",\"holder\":\"" PERSON "\",\"use\":\"own\",\"from\":\"yesterday\"}", "from: must be a date", 1, 1},
        {"{\"card\":\"AB12\",\"holder\":\"" PERSON "\",\"use\":\"own\",\"until\":\"\"}", "until: must be a date", 1, 1},
        {"{\"card\":\"AB12\",\"holder\":\"" PERSON "\",\"use\":\"own\",\"from\":\"2026-01-02\",\"until\":\"2026-01-02\"}", "until: must be after from", 1, 1},
        {"{\"card\":\"AB12\",\"holder\":\"" PERSON "\",\"use\":\"own\",\"name\":\"x\"}", "a member that is none of", 1, 1},
        {"{\"card\":12,\"holder\":\"" PERSON "\",\"use\":\"own\"}", "a member is not a string", 0, 1},
        {"{\"card\":\"AB12\",\"card\":\"2\",\"holder\":\"" PERSON "\",\"use\":\"own\"}", "", 0, 0},
        {"{\"card\":\"AB12\",\"holder\":\"" PERSON "\",\"use\":\"own\"", "", 0, 0},
        {"{\"card\":\"AB12\\u0000\",\"holder\":\"" PERSON "\",\"use\":\"own\"}", "", 0, 0},
        {"{\"card\":\"AB12\",\"holder\":\"" PERSON "\",\"use\":\"own\"} {}", "", 0, 0},
    };
    rcd_holders_line_t l;

    (void) state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (json(1, rows[i].text, &l) != RCD_HOLDERS_REFUSED || strstr(l.why, rows[i].why) != l.why ||
            l.has_card != rows[i].card || l.has_holder != rows[i].holder) {
            fail_msg("%s gave \"%s\", %d, %d", rows[i].text, l.why, l.has_card, l.has_holder);
        }
    }
    assert_int_equal(json(1, "{\"op\":\"set\",\"card\":\"1\",\"holder\":\"" PERSON "\",\"use\":\"own\"}", &l),
                     RCD_HOLDERS_REFUSED);
    assert_int_equal(json(0, "{\"op\":\"drop\",\"card\":\"1\"}", &l), RCD_HOLDERS_REFUSED);
}

/* Lines of one file, in turn: the last one's answer. */
static rcd_holders_rc_t csv(int full, const char *names, const char *row, rcd_holders_line_t *out)
{
    rcd_holders_reader_t r;
    rcd_holders_rc_t rc;

    rcd_holders_reader_init(&r, &rules, full);
    assert_int_equal(read_line(&r, "", 0, out), RCD_HOLDERS_NOTHING);
    rc = read_line(&r, names, strlen(names), out);
    return rc == RCD_HOLDERS_NOTHING && row != NULL ? read_line(&r, row, strlen(row), out) : rc;
}

static void csv_lines(void **state)
{
    static const char names[] = "holder,card,use,until";
    uint8_t card[JD_DIGEST_LEN];
    rcd_holders_line_t l;

    (void) state;
    assert_int_equal(csv(1, names, PERSON ",AB12,own,", &l), RCD_HOLDERS_SET);
    assert_int_equal(l.link.until, RCD_LINK_OPEN);
    assert_int_equal(csv(1, "\xef\xbb\xbf\"card\",\"holder\",\"use\"\r", "\"AB12\",\"" PERSON "\",\"own\"\r",
                         &l), RCD_HOLDERS_SET);
    digest_of(JD_SCHEME_CARD, "AB12", card);
    assert_memory_equal(l.link.card, card, sizeof(card));
    assert_int_equal(csv(1, names, PERSON ",\"A,B\"\"\",own,2027-01-01", &l), RCD_HOLDERS_SET);
    digest_of(JD_SCHEME_CARD, "A,B\"", card);
    assert_memory_equal(l.link.card, card, sizeof(card));
    assert_int_equal(csv(0, "op,card,holder,use", "remove,AB12,,", &l), RCD_HOLDERS_REMOVE);
    assert_int_equal(csv(1, names, "  ", &l), RCD_HOLDERS_NOTHING);
}

static void csv_refused(void **state)
{
    static const char names[] = "card,holder,use";
    static const char *const rows[] = {
        "AB12," PERSON, "AB12," PERSON ",own,", "AB12," PERSON ",\"own", "AB12," PERSON ",ow\"n",
        "\"AB12\"x," PERSON ",own", "AB12",
    };
    static const char *const wrong[] = {
        "card,holder", "card,use", "holder,use", "card,holder,use,name", "card,holder,use,card",
        "card;holder;use", "AB12," PERSON ",own", "card,holder,use,\"op", "[{\"card\":\"AB12\"}]", "card\tholder\tuse",
    };
    rcd_holders_reader_t r;
    rcd_holders_line_t l;

    (void) state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(csv(1, names, rows[i], &l), RCD_HOLDERS_REFUSED);
        assert_false(l.has_card || l.has_holder);         /* what shifted is not believed */
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (csv(1, wrong[i], NULL, &l) != RCD_HOLDERS_WRONG) {
            fail_msg("%s is taken for names of columns", wrong[i]);
        }
    }
    assert_int_equal(csv(1, "card,holder,use,op", NULL, &l), RCD_HOLDERS_WRONG);   /* of a delta alone */
    rcd_holders_reader_init(&r, &rules, 1);
    assert_int_equal(read_line(&r, "card\0,holder,use", 16, &l), RCD_HOLDERS_WRONG);
    assert_int_equal(read_line(&r, "card,holder,use", 15, &l), RCD_HOLDERS_NOTHING);
    assert_int_equal(read_line(&r, "AB12\0," PERSON ",own", 11 + sizeof(PERSON) - 1, &l), RCD_HOLDERS_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_lines),
        cmocka_unit_test(refused_json),
        cmocka_unit_test(csv_lines),
        cmocka_unit_test(csv_refused),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
