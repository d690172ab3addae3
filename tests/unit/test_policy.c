/*
 * jd_policy, jd_backoff, jd_time: the pure arithmetic.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "core/jd_backoff.h"
#include "core/jd_policy.h"
#include "core/jd_time.h"

#define NOW  1795000000

static const jd_clocks_t fresh = {NOW, NOW, NOW - 10, 3600};

static jd_order_t order(const char *number, uint16_t measures, int64_t until, uint8_t flags)
{
    jd_order_t o = {.number = number, .number_len = (uint8_t) strlen(number), .flags = flags,
                    .measures = measures, .from = NOW - 100, .until = until};

    return o;
}

static void check_mask(const jd_clocks_t *c, unsigned bit, const jd_order_t *o,
                       const jd_relief_t *r, unsigned n, uint16_t observed, jd_reason_t reason,
                       int which)
{
    int at = -2;

    assert_string_equal(jd_reason_names[jd_policy_decide(c, bit, o, r, n, observed, &at)],
                        jd_reason_names[reason]);
    assert_int_equal(at, which);
}

static void check(const jd_clocks_t *c, unsigned bit, const jd_order_t *o, const jd_relief_t *r,
                  unsigned n, jd_reason_t reason, int which)
{
    check_mask(c, bit, o, r, n, 0, reason, which);
}

static void one_order(void **state)
{
    jd_order_t o = order("A", 1, NOW + 100, 0);
    jd_relief_t none = {0}, whole = {0xffff, 0, 0}, bus = {1, 0, 0}, objection = {0, 1, 0};
    jd_clocks_t c = fresh;

    (void) state;
    check(&fresh, 0, &o, &none, 0, JD_REASON_NOT_LISTED, -1);
    check(&fresh, 0, &o, &none, 1, JD_REASON_LISTED, 0);
    check(&fresh, 1, &o, &none, 1, JD_REASON_OTHER_MEASURE, -1);
    check(&fresh, 1, &o, &whole, 1, JD_REASON_NOT_LISTED, -1);
    check(&fresh, 0, &o, &whole, 1, JD_REASON_LIFTED, 0);
    check(&fresh, 0, &o, &bus, 1, JD_REASON_LIFTED, 0);
    check(&fresh, 0, &o, &objection, 1, JD_REASON_OBSERVE, 0);
    o.flags = JD_ORDER_OBSERVE;
    check(&fresh, 0, &o, &none, 1, JD_REASON_OBSERVE, 0);
    o.flags = JD_ORDER_OBJECTION;
    check(&fresh, 0, &o, &none, 1, JD_REASON_OBSERVE, 0);
    o.flags = 0;

    c.now = c.office_now = NOW + 99;
    check(&c, 0, &o, &none, 1, JD_REASON_LISTED, 0);
    c.now = NOW + 100;
    check(&c, 0, &o, &none, 1, JD_REASON_NOT_LISTED, -1);
    c.now = NOW + 99;
    c.office_now = NOW + 100;
    check(&c, 0, &o, &none, 1, JD_REASON_NOT_LISTED, -1);
    c.now = c.office_now = NOW - 101;
    check(&c, 0, &o, &none, 1, JD_REASON_NOT_LISTED, -1);
    c.now = c.office_now = NOW - 100;
    check(&c, 0, &o, &none, 1, JD_REASON_LISTED, 0);
}

static void several_orders(void **state)
{
    jd_order_t o[4] = {order("B", 1, NOW + 500, 0), order("A", 1, NOW + 500, 0),
                       order("C", 1, NOW + 900, JD_ORDER_OBSERVE), order("D", 2, NOW + 999, 0)};
    jd_relief_t r[4] = {0};

    (void) state;
    check(&fresh, 0, o, r, 4, JD_REASON_LISTED, 1);
    o[0].until = NOW + 501;
    check(&fresh, 0, o, r, 4, JD_REASON_LISTED, 0);
    r[0].lifted = 0xffff;
    check(&fresh, 0, o, r, 4, JD_REASON_LISTED, 1);
    r[1].lifted = 1;
    check(&fresh, 0, o, r, 4, JD_REASON_OBSERVE, 2);
    r[2].lifted = 1;
    check(&fresh, 0, o, r, 4, JD_REASON_LIFTED, 2);
    check(&fresh, 2, o, r, 4, JD_REASON_OTHER_MEASURE, -1);
}

/* A stay counts while either clock is before its end. */
static void stays(void **state)
{
    jd_order_t o = order("A", 1, NOW + 1000, 0);
    jd_relief_t r = {0, 0, NOW + 10};
    jd_clocks_t c = fresh;

    (void) state;
    check(&c, 0, &o, &r, 1, JD_REASON_STAYED, 0);
    c.now = NOW + 10;
    check(&c, 0, &o, &r, 1, JD_REASON_STAYED, 0);
    c.office_now = NOW + 10;
    check(&c, 0, &o, &r, 1, JD_REASON_LISTED, 0);
    c.now = NOW + 9;
    check(&c, 0, &o, &r, 1, JD_REASON_STAYED, 0);
    r.stay = JD_STAY_FOREVER;
    check(&c, 0, &o, &r, 1, JD_REASON_STAYED, 0);
    check(&c, 1, &o, &r, 1, JD_REASON_OTHER_MEASURE, -1);
    r.objection = 1;
    check(&c, 0, &o, &r, 1, JD_REASON_STAYED, 0);
    r.lifted = 1;
    check(&c, 0, &o, &r, 1, JD_REASON_LIFTED, 0);
}

/* The link's term bounds the order's, by both clocks. */
static void links(void **state)
{
    jd_order_t o = order("A", 1, NOW + 1000, JD_ORDER_LINKED);
    jd_relief_t none = {0};
    jd_clocks_t c = fresh;

    (void) state;
    o.link_from = NOW - 50;
    o.link_until = NOW + 50;
    check(&c, 0, &o, &none, 1, JD_REASON_LISTED, 0);
    for (int office = 0; office < 2; office++) {
        int64_t *clock = office ? &c.office_now : &c.now;

        *clock = NOW - 50;
        check(&c, 0, &o, &none, 1, JD_REASON_LISTED, 0);
        *clock = NOW - 51;
        check(&c, 0, &o, &none, 1, JD_REASON_NOT_LISTED, -1);
        *clock = NOW + 49;
        check(&c, 0, &o, &none, 1, JD_REASON_LISTED, 0);
        *clock = NOW + 50;
        check(&c, 0, &o, &none, 1, JD_REASON_NOT_LISTED, -1);
        *clock = NOW;
    }
    o.link_until = JD_LINK_OPEN;
    check(&c, 0, &o, &none, 1, JD_REASON_LISTED, 0);
    o.until = NOW;
    check(&c, 0, &o, &none, 1, JD_REASON_NOT_LISTED, -1);
}

/* The mask never denies, and never hides an order that does. */
static void observed(void **state)
{
    jd_order_t o = order("A", 1, NOW + 1000, 0);
    jd_relief_t none = {0}, lifted = {1, 0, 0}, stayed = {0, 0, NOW + 1}, objection = {0, 1, 0};
    jd_clocks_t c = fresh;

    (void) state;
    check_mask(&c, 0, NULL, NULL, 0, 0xffff, JD_REASON_OBSERVE, -1);
    check_mask(&c, 1, NULL, NULL, 0, 1, JD_REASON_OTHER_MEASURE, -1);
    check_mask(&c, 0, &o, &none, 1, 1, JD_REASON_LISTED, 0);
    check_mask(&c, 0, &o, &objection, 1, 1, JD_REASON_OBSERVE, 0);
    check_mask(&c, 0, &o, &stayed, 1, 1, JD_REASON_OBSERVE, -1);
    check_mask(&c, 0, &o, &stayed, 1, 2, JD_REASON_STAYED, 0);
    check_mask(&c, 0, &o, &lifted, 1, 1, JD_REASON_OBSERVE, -1);
    c.office_now = NOW + JD_CLOCK_SKEW_SEC + 1;
    check_mask(&c, 0, NULL, NULL, 0, 1, JD_REASON_CLOCK, -1);
    c.verified_at = 0;
    check_mask(&c, 0, NULL, NULL, 0, 1, JD_REASON_STALE, -1);
}

/* The state of an order, whatever the measure, agrees with what a request would meet. */
static void states(void **state)
{
    jd_order_t o = order("A", 3, NOW + 1000, JD_ORDER_LINKED);
    jd_relief_t none = {0}, bus = {1, 0, 0}, both = {3, 0, 0}, stayed = {0, 1, NOW + 1};
    jd_relief_t objection = {1, 1, 0};
    jd_clocks_t c = fresh;

    (void) state;
    o.link_from = NOW - 10;
    o.link_until = NOW + 10;
    assert_int_equal(jd_policy_state(&c, &o, &none), JD_STATE_IN_FORCE);
    assert_int_equal(jd_policy_state(&c, &o, &bus), JD_STATE_IN_FORCE);
    assert_int_equal(jd_policy_state(&c, &o, &both), JD_STATE_LIFTED);
    assert_int_equal(jd_policy_state(&c, &o, &stayed), JD_STATE_STAYED);
    assert_int_equal(jd_policy_state(&c, &o, &objection), JD_STATE_OBSERVE);
    c.office_now = NOW - 11;
    assert_int_equal(jd_policy_state(&c, &o, &none), JD_STATE_TO_COME);
    assert_int_equal(jd_policy_state(&c, &o, &both), JD_STATE_LIFTED);
    c.office_now = NOW + 10;
    assert_int_equal(jd_policy_state(&c, &o, &none), JD_STATE_OVER);
    o.flags = 0;
    assert_int_equal(jd_policy_state(&c, &o, &none), JD_STATE_IN_FORCE);
    o.from = NOW + 5;
    assert_int_equal(jd_policy_state(&c, &o, &none), JD_STATE_TO_COME);
    c.now = NOW + 1000;
    assert_int_equal(jd_policy_state(&c, &o, &both), JD_STATE_OVER);
    assert_string_equal(jd_state_names[JD_STATE_OVER], "over");
    assert_string_equal(jd_state_names[JD_STATE_IN_FORCE], "in_force");
}

static void clocks_and_age(void **state)
{
    jd_order_t o = order("A", 1, NOW + 100000, 0);
    jd_relief_t none = {0};
    jd_clocks_t c = fresh;

    (void) state;
    c.office_now = NOW + JD_CLOCK_SKEW_SEC;
    check(&c, 0, &o, &none, 1, JD_REASON_LISTED, 0);
    c.office_now++;
    check(&c, 0, &o, &none, 1, JD_REASON_CLOCK, -1);
    c.office_now = NOW - JD_CLOCK_SKEW_SEC - 1;
    check(&c, 0, &o, &none, 1, JD_REASON_CLOCK, -1);

    c = fresh;
    c.verified_at = NOW - 3600;
    assert_int_equal(jd_policy_age(&c), 3600);
    assert_false(jd_policy_stale(&c));
    c.office_now = NOW + 1;
    assert_true(jd_policy_stale(&c));
    check(&c, 0, &o, &none, 1, JD_REASON_STALE, -1);
    c.verified_at = 0;
    assert_true(jd_policy_stale(&c));
    c.verified_at = NOW + 50;
    assert_int_equal(jd_policy_age(&c), 0);

    c = fresh;
    c.max_stale = INT64_MAX;
    c.verified_at = NOW - JD_MAX_STALE_SEC;
    assert_false(jd_policy_stale(&c));
    c.verified_at--;
    assert_true(jd_policy_stale(&c));
}

static void backoff(void **state)
{
    jd_backoff_t b = {100, 5000, 0};
    uint32_t high = 100;

    (void) state;
    for (int i = 0; i < 50; i++) {
        jd_backoff_t low = b, top = b;

        assert_int_equal(jd_backoff_next(&low, 0), 50);
        assert_int_equal(jd_backoff_next(&top, high - 50), high);
        b = top;
        high = high * 2 > 5000 ? 5000 : high * 2;
    }
    jd_backoff_reset(&b);
    assert_int_equal(jd_backoff_next(&b, 50), 100);
    jd_backoff_cap(&b);
    assert_int_equal(jd_backoff_next(&b, 4950), 5000);
    b = (jd_backoff_t){100, 20, 0};
    assert_int_equal(jd_backoff_next(&b, 77), 20);
}

static void times(void **state)
{
    static const struct {
        const char *text;
        int rc;
        int64_t sec;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0, 0},
        {"1970-01-01T00:00:00+08:00", 0, -28800},
        {"2026-10-15T00:00:00+08:00", 0, 1791993600},
        {"2026-10-15T00:00:00.999Z", 0, 1792022400},
        {"2024-02-29T23:59:59-00:30", 0, 1709252999},
        {"2026-10-15T00:00:00", -1, 0},
        {"2026-10-15t00:00:00Z", -1, 0},
        {"2026-10-15T00:00:00z", -1, 0},
        {"2026-10-15 00:00:00Z", -1, 0},
        {"2026-10-15T00:00:00.Z", -1, 0},
        {"2026-10-15T00:00:60Z", -1, 0},
        {"2026-10-15T24:00:00Z", -1, 0},
        {"2023-02-29T00:00:00Z", -1, 0},
        {"1969-12-31T23:59:59Z", -1, 0},
        {"2026-10-15T00:00:00+24:00", -1, 0},
        {"2026-10-15T00:00:00+08:60", -1, 0},
        {"2026-10-15T00:00:00+0800", -1, 0},
        {"2026-10-15T00:00:00Zx", -1, 0},
        {"", -1, 0},
    };
    char out[26];
    int64_t sec;

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sec = 0;
        assert_int_equal(jd_time_parse(cases[i].text, strlen(cases[i].text), &sec), cases[i].rc);
        assert_true(sec == cases[i].sec);
    }
    assert_int_equal(jd_date_parse("2026-10-15", 10, &sec), 0);
    assert_true(sec == 1791993600);
    assert_int_equal(jd_date_parse("2026-10-15T", 11, &sec), -1);
    assert_int_equal(jd_date_parse("2026-02-30", 10, &sec), -1);
    assert_int_equal(jd_time_print(1791993600, out), 25);
    assert_string_equal(out, "2026-10-15T00:00:00+08:00");
    jd_time_print(-28801, out);
    assert_string_equal(out, "1969-12-31T23:59:59+08:00");
    jd_time_print(INT64_MAX, out);
    assert_string_equal(out, "9999-12-31T23:59:59+08:00");
    jd_time_print(INT64_MIN, out);
    assert_string_equal(out, "0001-01-01T00:00:00+08:00");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_order), cmocka_unit_test(several_orders), cmocka_unit_test(stays),
        cmocka_unit_test(links), cmocka_unit_test(observed), cmocka_unit_test(states),
        cmocka_unit_test(clocks_and_age), cmocka_unit_test(backoff), cmocka_unit_test(times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
