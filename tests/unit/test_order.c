/*
 * jd_order: records, grounds and relief, there and back.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "core/jd_order.h"

#define ERA  1795000000u

static const uint8_t raw[JD_KEY_LEN] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const uint8_t digest[JD_DIGEST_LEN] = {0xaa, 1, 2};
static jd_key_t key;

static int set_key(void **state)
{
    (void) state;
    jd_key_init(&key, "k1", raw);
    return 0;
}

static jd_order_t order(const char *number, uint16_t measures, uint8_t flags)
{
    jd_order_t o = {
        .number = number,
        .number_len = (uint8_t) strlen(number),
        .flags = flags,
        .measures = measures,
        .from = 1790000000,
        .until = 1800000000,
        .deadline_day = flags & JD_ORDER_DEADLINE ? 20500 : 0,
        .grounds = {9, 8, 7, 6, 5, 4, 3, 2},
        .link_from = flags & JD_ORDER_LINKED ? 1791000000 : 0,
        .link_until = flags & JD_ORDER_LINKED ? JD_LINK_OPEN : 0,
    };

    if (flags & JD_ORDER_LINKED) {
        memcpy(o.holder, "holder-1", JD_HOLDER_LEN);
    }
    return o;
}

static void records_there_and_back(void **state)
{
    jd_order_t in[3] = {order("B-2", 2, JD_ORDER_LINKED),
                        order("B", 4, JD_ORDER_DEADLINE | JD_ORDER_LINKED), order("A-1", 1, 0)};
    jd_order_t out[JD_ORDERS_MAX];
    uint8_t record[JD_RECORD_MAX];
    size_t len;
    unsigned n = 0;
    uint16_t measures = 0, observed = 0;

    (void) state;
    in[0].link_until = 1792000000;
    assert_int_equal(jd_record_encode(&key, digest, ERA, in, 3, 0x8008, record, sizeof(record),
                                      &len), JD_RECORD_OK);
    assert_int_equal(record[0], JD_RECORD_ENFORCE);
    assert_int_equal(jd_record_decode(&key, digest, ERA, record, len, &observed, out, &n),
                     JD_RECORD_OK);
    assert_int_equal(observed, 0x8008);
    assert_int_equal(n, 3);
    assert_memory_equal(out[0].number, "A-1", 3);
    assert_int_equal(out[1].number_len, 1);
    assert_int_equal(out[1].deadline_day, 20500);
    assert_int_equal(out[2].measures, 2);
    assert_int_equal(out[2].from, 1790000000);
    assert_int_equal(out[2].until, 1800000000);
    assert_memory_equal(out[2].grounds, in[2].grounds, JD_GROUNDS_ID_LEN);
    assert_int_equal(out[0].link_until, 0);
    assert_memory_equal(out[1].holder, "holder-1", JD_HOLDER_LEN);
    assert_true(out[1].link_from == 1791000000 && out[1].link_until == JD_LINK_OPEN);
    assert_true(out[2].link_until == 1792000000);
    assert_int_equal(jd_record_measures(&key, digest, ERA, record, len, &measures), JD_RECORD_OK);
    assert_int_equal(measures, 0x800f);
}

/* What is only observed has no order in the record, and an order of that kind cannot be put into one. */
static void what_is_observed_is_a_mask(void **state)
{
    jd_order_t out[JD_ORDERS_MAX], observe = order("A", 1, JD_ORDER_OBSERVE),
               objection = order("B", 1, JD_ORDER_OBJECTION);
    uint8_t record[JD_RECORD_MAX];
    uint16_t measures, observed;
    unsigned n = 9;
    size_t len;

    (void) state;
    assert_int_equal(jd_record_encode(&key, digest, ERA, &observe, 1, 0, record, sizeof(record),
                                      &len), JD_RECORD_BAD);
    assert_int_equal(jd_record_encode(&key, digest, ERA, &objection, 1, 1, record, sizeof(record),
                                      &len), JD_RECORD_BAD);
    assert_int_equal(jd_record_encode(&key, digest, ERA, NULL, 0, 0, record, sizeof(record), &len),
                     JD_RECORD_BAD);
    assert_int_equal(jd_record_encode(&key, digest, ERA, NULL, 0, 5, record, sizeof(record), &len),
                     JD_RECORD_OK);
    assert_int_equal(record[0], JD_RECORD_OBSERVE);
    assert_int_equal(len, JD_RECORD_HEAD);
    assert_int_equal(jd_record_decode(&key, digest, ERA, record, len, &observed, out, &n),
                     JD_RECORD_OK);
    assert_int_equal(n, 0);
    assert_int_equal(observed, 5);
    assert_int_equal(jd_record_measures(&key, digest, ERA, record, len, &measures), JD_RECORD_OK);
    assert_int_equal(measures, 5);
}

static void records_changed(void **state)
{
    jd_order_t in[1] = {order("A-1", 1, JD_ORDER_DEADLINE | JD_ORDER_LINKED)};
    jd_order_t out[JD_ORDERS_MAX];
    uint8_t record[JD_RECORD_MAX], other[JD_DIGEST_LEN] = {0};
    uint16_t measures, observed;
    size_t len;
    unsigned n;

    (void) state;
    assert_int_equal(jd_record_encode(&key, digest, ERA, in, 1, 2, record, sizeof(record), &len),
                     JD_RECORD_OK);
    for (size_t i = 0; i < len; i++) {
        record[i] ^= 0x40;
        assert_int_not_equal(jd_record_decode(&key, digest, ERA, record, len, &observed, out, &n),
                             JD_RECORD_OK);
        record[i] ^= 0x40;
    }
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(jd_record_decode(&key, digest, ERA, record, cut, &observed, out, &n),
                         JD_RECORD_BAD);
    }
    assert_int_equal(jd_record_decode(&key, other, ERA, record, len, &observed, out, &n),
                     JD_RECORD_FORGED);
    assert_int_equal(jd_record_measures(&key, digest, ERA + 1, record, len, &measures),
                     JD_RECORD_FORGED);
}

static void encode_refuses(void **state)
{
    jd_order_t good = order("A", 1, JD_ORDER_LINKED), o[JD_ORDERS_MAX + 1];
    uint8_t record[JD_RECORD_MAX];
    size_t len;

    (void) state;
    for (int fault = 0; fault < 14; fault++) {
        o[0] = good;
        switch (fault) {
        case 0: o[0].number = "A B"; o[0].number_len = 3; break;
        case 1: o[0].measures = 0; break;
        case 2: o[0].until = o[0].from; break;
        case 3: o[0].until = (int64_t) 1 << 40; break;
        case 4: o[0].from = -1; break;
        case 5: o[0].flags |= 0x10; break;
        case 6: o[0].deadline_day = 1; break;
        case 7: o[0].flags = 0; break;
        case 8: o[0] = order("A", 1, 0); o[0].holder[7] = 1; break;
        case 9: o[0] = order("A", 1, 0); o[0].link_until = JD_LINK_OPEN; break;
        case 10: o[0].link_until = o[0].link_from; break;
        case 11: o[0].link_until = JD_LINK_OPEN + 1; break;
        case 12: o[0].link_from = -1; break;
        default: o[0].flags = JD_ORDER_DEADLINE; break;
        }
        assert_int_equal(jd_record_encode(&key, digest, ERA, o, 1, 0, record, sizeof(record), &len),
                         JD_RECORD_BAD);
    }
    o[0] = o[1] = good;
    assert_int_equal(jd_record_encode(&key, digest, ERA, o, 2, 0, record, sizeof(record), &len),
                     JD_RECORD_BAD);
    assert_int_equal(jd_record_encode(&key, digest, ERA, o, JD_ORDERS_MAX + 1, 0, record,
                                      sizeof(record), &len), JD_RECORD_TOO_LONG);
    assert_int_equal(jd_record_encode(&key, digest, ERA, o, 1, 0, record, 32, &len),
                     JD_RECORD_TOO_LONG);
}

static void numbers(void **state)
{
    static const char *const good[] = {"A", "CS-2026-000123", "沪交〔2026〕12号", "a.b/c:d"};
    static const char *const bad[] = {"", "A B", "A\t", "A\"", "A\\",
                                      "A\x7f", "A\xc2\xa0", "A\xff", "A\xe2\x80\x8b"};
    char longest[JD_ORDER_NUMBER_MAX + 1];

    (void) state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(jd_order_number_ok(good[i], strlen(good[i])));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(jd_order_number_ok(bad[i], strlen(bad[i])));
    }
    memset(longest, 'A', sizeof(longest));
    assert_true(jd_order_number_ok(longest, JD_ORDER_NUMBER_MAX));
    assert_false(jd_order_number_ok(longest, sizeof(longest)));
    assert_false(jd_order_number_ok("A\0B", 3));
}

#define TEXT(s)  {s, sizeof(s) - 1}

static void grounds_there_and_back(void **state)
{
    jd_grounds_t g = {TEXT("市交通局"), TEXT("Measures, article 12"), TEXT(""),
                      TEXT("https://x.example"),
                      TEXT(""), TEXT(""), TEXT("12345")};
    jd_grounds_t back;
    uint8_t value[JD_GROUNDS_MAX], id[JD_GROUNDS_ID_LEN];
    size_t len;

    (void) state;
    assert_int_equal(jd_grounds_encode(&key, &g, value, &len, id), JD_RECORD_OK);
    assert_int_equal(jd_grounds_decode(&key, id, value, len, &back), JD_RECORD_OK);
    assert_int_equal(back.authority.len, g.authority.len);
    assert_memory_equal(back.repair_phone.text, "12345", 5);
    assert_int_equal(back.relevance.len, 0);

    value[4] ^= 1;
    assert_int_not_equal(jd_grounds_decode(&key, id, value, len, &back), JD_RECORD_OK);
    value[4] ^= 1;
    id[0] ^= 1;
    assert_int_equal(jd_grounds_decode(&key, id, value, len, &back), JD_RECORD_FORGED);
    assert_int_equal(jd_grounds_decode(&key, id, value, len - 1, &back), JD_RECORD_BAD);
    assert_int_equal(jd_grounds_decode(&key, id, value, 1, &back), JD_RECORD_BAD);
}

static void grounds_refused(void **state)
{
    static const char wide[JD_GROUNDS_TEXT_MAX + 1] = {0};
    jd_grounds_t whole = {TEXT("a"), TEXT("b"), TEXT(""), TEXT(""), TEXT("1"), TEXT(""), TEXT("")};
    jd_grounds_t g;
    uint8_t value[JD_GROUNDS_MAX], id[JD_GROUNDS_ID_LEN];
    size_t len;

    (void) state;
    assert_int_equal(jd_grounds_encode(&key, &whole, value, &len, id), JD_RECORD_OK);
    for (int fault = 0; fault < 6; fault++) {
        g = whole;
        switch (fault) {
        case 0: g.authority.len = 0; break;
        case 1: g.basis.len = 0; break;
        case 2: g.contest_phone.len = 0; break;
        case 3: g.relevance.text = "\n"; g.relevance.len = 1; break;
        case 4: g.relevance.text = "\xff"; g.relevance.len = 1; break;
        default: g.relevance.text = wide; g.relevance.len = sizeof(wide); break;
        }
        assert_int_equal(jd_grounds_encode(&key, &g, value, &len, id), JD_RECORD_BAD);
    }
}

static void relief(void **state)
{
    static const char *const bad[] = {"", "l0000 o", "l0000 o2", "l00G0 o0",
                                      "l00A0 o0", "m0000 o0", "l0000-o0", "l0000 o0x",
                                      "l0000 o0 s", "l0000 o0 s0", "l0000 o0 s01", "l0000 o0 s1x",
                                      "l0000 o0 s-1", "l0000 o0 s1 s2", "l0000 o0 s1099511627776",
                                      "l0000 o0 s99999999999999999999", "l0000 o0 x sy"};
    static const struct {
        const char *text;
        int64_t stay;
    } stays[] = {{"lffff o0 s1", 1}, {"lffff o0 s1099511627775", JD_STAY_FOREVER},
                 {"lffff o0 x9 s12 later=1", 12}, {"lffff o0 x", 0}, {"lffff o0 ", 0},
                 {"lffff o0  s7", 7}};
    jd_relief_t r = {0x12af, 1, 0}, back;
    char out[JD_RELIEF_TEXT_MAX];

    (void) state;
    assert_int_equal(jd_relief_print(&r, out), JD_RELIEF_LEN);
    assert_memory_equal(out, "l12af o1", JD_RELIEF_LEN);
    assert_int_equal(jd_relief_parse(&back, out, JD_RELIEF_LEN), 0);
    assert_int_equal(back.lifted, 0x12af);
    assert_int_equal(back.objection, 1);
    assert_int_equal(back.stay, 0);
    r.stay = JD_STAY_FOREVER;
    assert_int_equal(jd_relief_print(&r, out), JD_RELIEF_TEXT_MAX);
    assert_memory_equal(out, "l12af o1 s1099511627775", JD_RELIEF_TEXT_MAX);
    r.stay = INT64_MAX;
    assert_int_equal(jd_relief_print(&r, out), JD_RELIEF_TEXT_MAX);
    for (size_t i = 0; i < sizeof(stays) / sizeof(stays[0]); i++) {
        assert_int_equal(jd_relief_parse(&back, stays[i].text, strlen(stays[i].text)), 0);
        assert_int_equal(back.lifted, 0xffff);
        assert_true(back.stay == stays[i].stay);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(jd_relief_parse(&back, bad[i], strlen(bad[i])), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_there_and_back),
        cmocka_unit_test(what_is_observed_is_a_mask),
        cmocka_unit_test(records_changed), cmocka_unit_test(encode_refuses),
        cmocka_unit_test(numbers), cmocka_unit_test(grounds_there_and_back),
        cmocka_unit_test(grounds_refused), cmocka_unit_test(relief),
    };

    return cmocka_run_group_tests(tests, set_key, NULL);
}
