/*
 * rcd_lift: lifts on their way to the gateways, and how long they take.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "rcd_lift.h"

#define T0  INT64_C(1795475986000)

static rcd_state_t *s;

static int set_up(void **state)
{
    char err[256];

    (void) state;
    s = rcd_store_open(":memory:", "credit", 0, err, sizeof(err));
    return s == NULL;
}

static int tear_down(void **state)
{
    (void) state;
    rcd_store_close(s);
    return 0;
}

static uint64_t stream(int64_t ms, unsigned n)
{
    char text[48];
    uint64_t id;

    assert_int_equal(rcd_lift_stream(text, (size_t) snprintf(text, sizeof(text), "%lld-%u", (long long) ms, n),
                                     &id), 0);
    return id;
}

static void lift(const char *number, int64_t applied_ms)
{
    rcd_event_t ev = {.kind = RCD_EV_LIFT, .toe = applied_ms / 1000 - 60, .iat = applied_ms / 1000 - 2};

    snprintf(ev.number, sizeof(ev.number), "%s", number);
    assert_int_equal(rcd_lift_put(s, &ev, 1, applied_ms), 0);
}

static void test_stream_ids(void **state)
{
    static const char *const bad[] = {"", "1", "1-", "-1", "1-2-3", "1-2 ", " 1-2", "x-1", "1-x",
                                      "123456789012345-0", "1-123456789012345", "99999999999999-1"};
    uint64_t id;

    (void) state;
    assert_true(stream(T0, 0) < stream(T0, 1));
    assert_true(stream(T0, 2000000) < stream(T0 + 1, 0));       /* more than fit, still in order */
    assert_int_equal(stream(0, 0), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(rcd_lift_stream(bad[i], strlen(bad[i]), &id), -1);
    }
}

static void test_sent_once(void **state)
{
    int64_t toe, iat, applied;

    (void) state;
    assert_int_equal(rcd_lift_unsent(s, "CS-1", &toe, &iat, &applied), 0);
    lift("CS-1", T0);
    lift("CS-1", T0 + 500);                                      /* another measure of it */
    assert_int_equal(rcd_lift_unsent(s, "CS-1", &toe, &iat, &applied), 1);
    assert_int_equal(applied, T0);
    assert_int_equal(toe, T0 / 1000 - 60);
    assert_int_equal(iat, T0 / 1000 - 2);
    assert_int_equal(rcd_lift_sent(s, "CS-1", stream(T0 + 700, 0), T0 + 700), 0);
    assert_int_equal(rcd_lift_unsent(s, "CS-1", &toe, &iat, &applied), 0);
}

static unsigned gates_of(const char *number)
{
    rcd_lift_effect_t e = {.id = 0};
    unsigned gates = 0;

    while (rcd_lift_effects_unreported(s, e.id, &e) > 0) {
        gates = strcmp(e.number, number) == 0 ? e.gates : gates;
    }
    return gates;
}

static void test_gateways(void **state)
{
    rcd_lift_times_t t;
    rcd_lift_effect_t e;

    (void) state;
    assert_int_equal(rcd_lift_seen(s, "gw1", stream(T0 - 9000, 0), T0 - 8000), 0);
    assert_int_equal(rcd_lift_seen(s, "gw2", stream(T0 - 9000, 0), T0 - 8000), 0);
    lift("CS-1", T0);
    assert_int_equal(rcd_lift_seen(s, "gw1", stream(T0 + 5, 0), T0 + 10), 0);    /* before it was sent */
    rcd_lift_sent(s, "CS-1", stream(T0 + 4, 0), T0 + 20);                      /* answer came late */
    assert_int_equal(gates_of("CS-1"), 1);
    lift("CS-2", T0 + 1000);
    rcd_lift_sent(s, "CS-2", stream(T0 + 1004, 0), T0 + 1005);
    assert_int_equal(gates_of("CS-2"), 0);
    rcd_lift_seen(s, "gw1", stream(T0 + 1003, 9), T0 + 1100);
    assert_int_equal(gates_of("CS-2"), 0);
    rcd_lift_seen(s, "gw1", stream(T0 + 1004, 0), T0 + 1200);
    rcd_lift_seen(s, "gw1", stream(T0 + 1004, 0), T0 + 1900);                  /* told again */
    rcd_lift_seen(s, "gw2", stream(T0 + 1004, 0), T0 + 3000);
    rcd_lift_seen(s, "gw1", stream(T0 + 1, 0), T0 + 4000);                      /* goes back: restarted */
    rcd_lift_seen(s, "gw1", stream(T0 + 1004, 0), T0 + 5000);
    assert_int_equal(gates_of("CS-1"), 2);
    assert_int_equal(gates_of("CS-2"), 2);

    assert_int_equal(rcd_lift_times(s, T0 - 1, &t), 0);
    assert_int_equal(t.lifts, 2);
    assert_int_equal(t.effective, 2);
    assert_int_equal(t.gateways, 2);
    assert_int_equal(t.redis.p50, 5);
    assert_int_equal(t.redis.p99, 20);
    assert_int_equal(t.apply.p99, 200);
    assert_int_equal(t.last.p99, 3000);
    assert_int_equal(t.toe.p99, 60200);
    assert_int_equal(t.iat.p99, 2200);
    assert_int_equal(rcd_lift_times(s, T0 + 1, &t), 0);
    assert_int_equal(t.lifts, 1);

    assert_int_equal(rcd_lift_effects_unreported(s, 0, &e), 1);
    assert_string_equal(e.number, "CS-1");
    assert_int_equal(e.applied, T0 / 1000);
    assert_int_equal(rcd_lift_effects_reported(s, e.id, 2), 0);
    assert_int_equal(rcd_lift_effects_unreported(s, 0, &e), 1);
    assert_string_equal(e.number, "CS-2");
    assert_int_equal(rcd_lift_effects_reported(s, e.id, 1), 0);                 /* of one it was told */
    assert_int_equal(rcd_lift_effects_unreported(s, 0, &e), 1);
    assert_int_equal(rcd_lift_effects_reported(s, e.id, 2), 0);
    assert_int_equal(rcd_lift_effects_unreported(s, 0, &e), 0);
}

/* A gateway put up later began with the lift: it counts, and says nothing of how long it took. */
static void test_a_new_gateway(void **state)
{
    rcd_lift_times_t t;

    (void) state;
    lift("CS-1", T0);
    rcd_lift_sent(s, "CS-1", stream(T0 + 4, 0), T0 + 5);
    rcd_lift_seen(s, "gw1", stream(T0 + 4, 0), T0 + 90);
    rcd_lift_seen(s, "gw2", stream(T0 + 9000, 0), T0 + 9000000);
    assert_int_equal(gates_of("CS-1"), 2);
    assert_int_equal(rcd_lift_times(s, T0, &t), 0);
    assert_int_equal(t.last.p99, 90);
    assert_int_equal(t.apply.p99, 90);
}

static void test_percentiles(void **state)
{
    rcd_lift_times_t t;
    char number[16];

    (void) state;
    assert_int_equal(rcd_lift_times(s, 0, &t), 0);
    assert_int_equal(t.redis.n, 0);
    for (int i = 1; i <= 1000; i++) {
        snprintf(number, sizeof(number), "CS-%d", i);
        lift(number, T0);
        rcd_lift_sent(s, number, stream(T0, (unsigned) i), T0 + 1001 - i);
    }
    assert_int_equal(rcd_lift_times(s, 0, &t), 0);
    assert_int_equal(t.redis.n, 1000);
    assert_int_equal(t.redis.p50, 500);
    assert_int_equal(t.redis.p99, 990);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_stream_ids), TEST(test_sent_once), TEST(test_gateways), TEST(test_a_new_gateway),
        TEST(test_percentiles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
