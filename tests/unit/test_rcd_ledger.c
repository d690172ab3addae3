/*
 * rcd_ledger_*: names and fields, totals by maximum, periods, what goes into a batch and when, receipts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include "rcd_ledger_batch.h"
#include "rcd_store.h"

#define RUN_A   "00112233445566778899aabbccddeeff"
#define RUN_B   "ffeeddccbbaa99887766554433221100"
#define AUTH    "Haicheng Transport Bureau"
#define DAY     86400
#define NOW     INT64_C(1795600800)           /* 2026-11-25T18:00:00+08:00 */

static char err[256];
static rcd_state_t *s;
static rcd_config_office_t office = {.aud = (char *) "jd:gateway:test"};
static rcd_config_t config;

static int set_up(void **state)
{
    (void) state;
    s = rcd_store_open(":memory:", "credit", 0, err, sizeof(err));
    config = (rcd_config_t) {.list = "credit", .office = office, .ledger = {400, 300}};
    return s == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void) state;
    rcd_store_close(s);
    return 0;
}

/* ---- names ----------------------------------------------------------------------------------- */

static int key_ok(const char *text)
{
    rcd_ledger_key_t key;

    return rcd_ledger_key_parse(&key, "credit", text, strlen(text)) == 0;
}

static void test_keys(void **state)
{
    rcd_ledger_key_t key;
    const char *text = "jd:{credit}:ledger:-:" RUN_A ":2026-12";

    (void) state;
    assert_int_equal(rcd_ledger_key_parse(&key, "credit", text, strlen(text)), 0);
    assert_int_equal(key.kind, RCD_LEDGER_ORDERS);
    assert_string_equal(key.gateway, "");
    assert_string_equal(key.run, RUN_A);
    assert_string_equal(key.period, "2026-12");
    assert_int_equal(key.from, 1796054400);   /* date -d 2026-12-01T00:00+08:00 +%s */
    assert_int_equal(key.until, 1798732800);  /* date -d 2027-01-01T00:00+08:00 +%s */

    text = "jd:{credit}:ledger:gw-1.a_B:" RUN_A ":2026-11-25T23";
    assert_int_equal(rcd_ledger_key_parse(&key, "credit", text, strlen(text)), 0);
    assert_int_equal(key.kind, RCD_LEDGER_HOURS);
    assert_string_equal(key.gateway, "gw-1.a_B");
    assert_int_equal(key.from, 1795647600);   /* date -d 2026-11-25T23:00Z +%s */
    assert_int_equal(key.until, key.from + 3600);

    for (size_t len = 0; len < strlen(text); len++) {
        char *cut = strndup(text, len);       /* exact memory: a sanitiser sees one byte too many */

        assert_int_equal(rcd_ledger_key_parse(&key, "credit", cut, len), -1);
        free(cut);
    }
    assert_false(key_ok("jd:{credit}:ledger:-:" RUN_A ":2026-00"));
    assert_false(key_ok("jd:{credit}:ledger:-:" RUN_A ":2026-13"));
    assert_false(key_ok("jd:{credit}:ledger:-:" RUN_A ":9999-12"));
    assert_true(key_ok("jd:{credit}:ledger:-:" RUN_A ":9998-12"));
    assert_false(key_ok("jd:{credit}:ledger:-:" RUN_A ":2026-11-25T10"));
    assert_false(key_ok("jd:{credit}:ledger:gw1:" RUN_A ":2026-11"));
    assert_false(key_ok("jd:{credit}:ledger:gw1:" RUN_A ":2026-02-29T10"));
    assert_false(key_ok("jd:{credit}:ledger:gw1:" RUN_A "0:2026-11-25T10"));
    assert_false(key_ok("jd:{credit}:ledger:gw1:" RUN_A ":2026-11-25T10:"));
    assert_false(key_ok("jd:{credit}:ledger::" RUN_A ":2026-11-25T10"));
    assert_false(key_ok("jd:{credit}:ledger:done"));
}

static void test_numbers(void **state)
{
    static const char *const bad[] = {"", "0", "01", "-1", "+1", " 1", "1 ", "1.0", "281474976710656",
                                      "9999999999999999", "1e3", "x"};
    int64_t a, b;
    char month[8];

    (void) state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(rcd_ledger_total_parse(bad[i], strlen(bad[i]), &a), -1);
    }
    assert_int_equal(rcd_ledger_total_parse("281474976710655", 15, &a), 0);
    assert_int_equal(a, RCD_LEDGER_TOTAL_MAX);
    assert_int_equal(rcd_ledger_closed_parse("0 0", 3, &a, &b), 0);
    assert_int_equal(rcd_ledger_closed_parse("12 345", 6, &a, &b), 0);
    assert_int_equal(a, 12);
    assert_int_equal(b, 345);
    assert_int_equal(rcd_ledger_closed_parse("12", 2, &a, &b), -1);
    assert_int_equal(rcd_ledger_closed_parse("12 ", 3, &a, &b), -1);
    assert_int_equal(rcd_ledger_closed_parse("1 2 3", 5, &a, &b), -1);
    rcd_month_of(1796054399, month);
    assert_string_equal(month, "2026-11");
    rcd_month_of(1796054400, month);
    assert_string_equal(month, "2026-12");
}

/* ---- totals ---------------------------------------------------------------------------------- */

static rcd_ledger_key_t key_of(const char *gateway, const char *run, const char *period)
{
    rcd_ledger_key_t key;
    char text[200];

    snprintf(text, sizeof(text), "jd:{credit}:ledger:%s:%s:%s", gateway, run, period);
    assert_int_equal(rcd_ledger_key_parse(&key, "credit", text, strlen(text)), 0);
    return key;
}

/* Takes one field as the collector does. */
static int put(const rcd_ledger_key_t *key, const char *field, int64_t total)
{
    rcd_ledger_field_t f;
    int rc;

    assert_int_equal(rcd_ledger_field_parse(&f, key->kind, field, strlen(field)), 0);
    assert_int_equal(rcd_store_begin(s, 0), 0);
    assert_int_equal(rcd_ledger_period_put(s, key), 0);
    rc = rcd_ledger_max(s, key, &f, total);
    assert_int_equal(rcd_store_commit(s), 0);
    return rc;
}

static void test_totals_are_maxima(void **state)
{
    rcd_ledger_key_t a = key_of("-", RUN_A, "2026-11"), b = key_of("-", RUN_B, "2026-11");
    rcd_ledger_count_t rows[4];
    static const rcd_ledger_count_t start;
    rcd_ledger_period_t p;

    (void) state;
    assert_int_equal(put(&a, "CS-1 bus.ride", 5), 1);
    assert_int_equal(put(&a, "CS-1 bus.ride", 5), 0);
    assert_int_equal(put(&a, "CS-1 bus.ride", 3), 0);
    assert_int_equal(put(&a, "CS-1 bus.ride", 8), 1);
    assert_int_equal(put(&a, "CS-1 bike.rent", 1), 1);
    assert_int_equal(put(&b, "CS-1 bus.ride", 10), 1);
    assert_int_equal(rcd_ledger_period(s, &a, &p), 1);
    assert_int_equal(p.rows, 2);
    assert_int_equal(p.sum, 9);
    assert_int_equal(p.closed, 0);
    assert_int_equal(rcd_ledger_counts_unsent(s, &start, NULL, rows, 4), 2);
    assert_int_equal(rows[0].total, 18);
    assert_int_equal(rows[1].total, 1);

    assert_int_equal(rcd_ledger_period_close(s, &a), 0);
    assert_int_equal(put(&a, "CS-1 bus.ride", 8), 0);
    assert_int_equal(rcd_ledger_period(s, &a, &p), 1);
    assert_int_equal(p.closed, 1);
    assert_int_equal(put(&a, "CS-1 bus.ride", 9), 1);       /* grew: not closed after all */
    assert_int_equal(rcd_ledger_period(s, &a, &p), 1);
    assert_int_equal(p.closed, 0);
}

static void test_a_run_has_one_gateway(void **state)
{
    rcd_ledger_key_t a = key_of("gw1", RUN_A, "2026-11-25T08"), b = key_of("gw2", RUN_A, "2026-11-25T08");
    rcd_ledger_period_t p;

    (void) state;
    put(&a, "bus.ride d " AUTH, 1);
    assert_int_equal(rcd_ledger_period(s, &a, &p), 1);
    assert_int_equal(rcd_ledger_period(s, &b, &p), -2);
}

/* ---- batches --------------------------------------------------------------------------------- */

/* The batch that waits, parsed, its chain and hash checked against *tail. NULL when none waits. */
static cJSON *waiting(rcd_ledger_batch_t *b, rcd_ledger_state_t *st, char tail[RCD_HASH_HEX + 1])
{
    char hash[RCD_HASH_HEX + 1];
    cJSON *root;

    assert_int_equal(rcd_ledger_state(s, st), 0);
    if (rcd_ledger_batch_next(s, st->chain, b) == 0) {
        return NULL;
    }
    assert_int_equal(rcd_ledger_hash_check(b->body, strlen(b->body), hash), 0);
    assert_string_equal(hash, b->hash);
    root = cJSON_Parse(b->body);
    assert_string_equal(cJSON_GetObjectItem(root, "prev")->valuestring, tail);
    memcpy(tail, hash, sizeof(hash));
    return root;
}

static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";

static int counts_in(const cJSON *root)
{
    return cJSON_GetArraySize(cJSON_GetObjectItem(root, "counts"));
}

static int hours_in(const cJSON *root)
{
    return cJSON_GetArraySize(cJSON_GetObjectItem(root, "hours"));
}

/* Freezes what is due and takes its receipt: entries of it (counts + 1000 * hours), 0 = nothing. */
static int report(rcd_ledger_freezer_t *f, int64_t now, char tail[RCD_HASH_HEX + 1])
{
    rcd_ledger_batch_t b;
    rcd_ledger_state_t st;
    cJSON *root;
    int n, rc = rcd_ledger_freeze(f, now);

    assert_true(rc >= 0);
    root = waiting(&b, &st, tail);
    assert_int_equal(root != NULL, rc);
    if (root == NULL) {
        return 0;
    }
    n = counts_in(root) + 1000 * hours_in(root);
    assert_int_equal(rcd_ledger_receipt_take(s, st.chain, &b, "a.b.c"), 0);
    free(b.body);
    cJSON_Delete(root);
    return n;
}

static void test_order_counts_go_out_once_a_day(void **state)
{
    rcd_ledger_key_t a = key_of("-", RUN_A, "2026-11");
    rcd_ledger_freezer_t f = {.config = &config, .s = s};
    char tail[RCD_HASH_HEX + 1];
    int64_t midnight = INT64_C(1795622400);   /* date -d 2026-11-26T00:00+08:00 +%s */

    (void) state;
    memcpy(tail, zeros, sizeof(zeros));
    put(&a, "CS-1 bus.ride", 1);
    /* 18:00 is nearer to midnight than 20 hours: the first day is the next one */
    for (int64_t at = NOW; at < midnight + DAY; at += 600) {
        assert_int_equal(report(&f, at, tail), 0);
    }
    put(&a, "CS-2 bus.ride", 1);
    assert_int_equal(report(&f, midnight + DAY, tail), 2);
    put(&a, "CS-1 bus.ride", 2);
    for (int64_t at = midnight + DAY; at < midnight + 2 * DAY; at += 600) {
        assert_int_equal(report(&f, at, tail), 0);
    }
    assert_int_equal(report(&f, midnight + 2 * DAY, tail), 1);
    assert_int_equal(report(&f, midnight + 2 * DAY + 1, tail), 0);
    /* late, because the office was silent: not again before a day has passed */
    put(&a, "CS-1 bus.ride", 3);
    assert_int_equal(report(&f, midnight + 3 * DAY + 80000, tail), 1);
    put(&a, "CS-1 bus.ride", 4);
    assert_int_equal(report(&f, midnight + 3 * DAY + 80001, tail), 0);
    assert_int_equal(report(&f, midnight + 4 * DAY + 60, tail), 0);
    assert_int_equal(report(&f, midnight + 5 * DAY, tail), 1);
}

static void test_a_row_goes_out_once_in_a_drain(void **state)
{
    rcd_ledger_key_t a = key_of("-", RUN_A, "2026-11");
    rcd_ledger_freezer_t f = {.config = &config, .s = s};
    char tail[RCD_HASH_HEX + 1], field[64];
    int64_t due = INT64_C(1795622400) + DAY;
    const int n = RCD_LEDGER_ENTRIES_MAX + 7;

    (void) state;
    memcpy(tail, zeros, sizeof(zeros));
    for (int i = 0; i < n; i++) {
        snprintf(field, sizeof(field), "CS-%06d bus.ride", i);
        put(&a, field, 1);
    }
    assert_int_equal(report(&f, NOW, tail), 0);
    assert_int_equal(report(&f, due, tail), RCD_LEDGER_ENTRIES_MAX);
    put(&a, "CS-000003 bus.ride", 2);         /* went out a moment ago */
    assert_int_equal(report(&f, due + 1, tail), 7);
    assert_int_equal(report(&f, due + 2, tail), 0);
    assert_int_equal(report(&f, due + DAY, tail), 1);
}

static void test_a_closed_month_goes_out_at_once(void **state)
{
    rcd_ledger_key_t a = key_of("-", RUN_A, "2026-10"), b = key_of("-", RUN_B, "2026-10");
    rcd_ledger_key_t open = key_of("-", RUN_A, "2026-11");
    rcd_ledger_freezer_t f = {.config = &config, .s = s};
    char tail[RCD_HASH_HEX + 1];

    (void) state;
    memcpy(tail, zeros, sizeof(zeros));
    put(&a, "CS-1 bus.ride", 1);
    put(&b, "CS-1 bus.ride", 2);
    put(&open, "CS-1 bus.ride", 4);
    rcd_ledger_period_close(s, &a);
    assert_int_equal(report(&f, NOW, tail), 0);
    assert_int_equal(rcd_ledger_period_sent(s, &a), 0);
    rcd_ledger_period_close(s, &b);
    assert_int_equal(report(&f, NOW, tail), 1);
    assert_int_equal(rcd_ledger_period_sent(s, &a), 1);
    assert_int_equal(rcd_ledger_period_sent(s, &b), 1);
    assert_int_equal(rcd_ledger_period_sent(s, &open), 0);
}

static void test_hours(void **state)
{
    rcd_ledger_key_t a = key_of("gw1", RUN_A, "2026-11-25T08"), b = key_of("gw2", RUN_B, "2026-11-25T08");
    rcd_ledger_freezer_t f = {.config = &config, .s = s, .hours_due = NOW + 1};
    char tail[RCD_HASH_HEX + 1];
    rcd_ledger_batch_t batch;
    rcd_ledger_state_t st;
    const cJSON *h;
    cJSON *root;

    (void) state;
    memcpy(tail, zeros, sizeof(zeros));
    put(&a, "bus.ride d " AUTH, 3);
    put(&a, "bus.ride y " AUTH, 4);
    put(&b, "bus.ride d " AUTH, 5);
    assert_int_equal(report(&f, NOW, tail), 0);             /* open, not due */
    rcd_ledger_period_close(s, &b);
    assert_int_equal(report(&f, NOW, tail), 1000);
    assert_int_equal(report(&f, NOW, tail), 0);
    assert_int_equal(rcd_ledger_freeze(&f, NOW + 1), 1);
    root = waiting(&batch, &st, tail);
    assert_string_equal(cJSON_GetObjectItem(root, "gateway")->valuestring, "gw1");
    assert_string_equal(cJSON_GetObjectItem(root, "run")->valuestring, RUN_A);
    h = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "hours"), 0);
    assert_string_equal(cJSON_GetObjectItem(h, "authority")->valuestring, AUTH);
    assert_int_equal(cJSON_GetObjectItem(h, "denied")->valuedouble, 3);
    assert_int_equal(cJSON_GetObjectItem(h, "dry_run")->valuedouble, 4);
    put(&a, "bus.ride d " AUTH, 6);                         /* while the batch is under way */
    assert_int_equal(rcd_ledger_receipt_take(s, st.chain, &batch, "a.b.c"), 0);
    assert_int_equal(rcd_ledger_period_sent(s, &a), 0);
    assert_int_equal(report(&f, NOW + 2, tail), 0);
    assert_int_equal(report(&f, NOW + 2 + 300, tail), 1000);
    assert_int_equal(rcd_ledger_period_sent(s, &a), 1);
    free(batch.body);
    cJSON_Delete(root);
}

static void test_hash_check_refuses_what_was_changed(void **state)
{
    rcd_ledger_key_t a = key_of("-", RUN_A, "2026-10");
    rcd_ledger_freezer_t f = {.config = &config, .s = s};
    char hash[RCD_HASH_HEX + 1];
    rcd_ledger_batch_t b;
    rcd_ledger_state_t st;
    size_t len;

    (void) state;
    put(&a, "CS-1 bus.ride", 1);
    rcd_ledger_period_close(s, &a);
    assert_int_equal(rcd_ledger_freeze(&f, NOW), 1);
    rcd_ledger_state(s, &st);
    assert_int_equal(rcd_ledger_batch_next(s, st.chain, &b), 1);
    len = strlen(b.body);
    for (size_t i = 0; i < len; i++) {
        b.body[i] ^= 1;
        assert_int_equal(rcd_ledger_hash_check(b.body, len, hash), -1);
        b.body[i] ^= 1;
        assert_int_equal(rcd_ledger_hash_check(b.body, i, hash), -1);
    }
    assert_int_equal(rcd_ledger_hash_check(b.body, len, hash), 0);
    free(b.body);
}

static void test_a_dropped_chain_loses_nothing(void **state)
{
    rcd_ledger_key_t a = key_of("-", RUN_A, "2026-10");
    rcd_ledger_freezer_t f = {.config = &config, .s = s};
    char first[RCD_RUN_LEN + 1], tail[RCD_HASH_HEX + 1];
    rcd_ledger_batch_t b;
    rcd_ledger_state_t st;

    (void) state;
    put(&a, "CS-1 bus.ride", 1);
    rcd_ledger_period_close(s, &a);
    assert_int_equal(rcd_ledger_freeze(&f, NOW), 1);
    rcd_ledger_state(s, &st);
    memcpy(first, st.chain, sizeof(first));
    assert_int_equal(rcd_ledger_chain_drop(s, st.chain), 0);
    st.chain[0] = '\0';
    assert_int_equal(rcd_ledger_state_save(s, &st), 0);
    assert_int_equal(rcd_ledger_batch_next(s, first, &b), 0);
    memcpy(tail, zeros, sizeof(zeros));
    assert_int_equal(report(&f, NOW, tail), 1);
    rcd_ledger_state(s, &st);
    assert_string_not_equal(st.chain, first);
    assert_int_equal(st.n, 1);
    assert_int_equal(rcd_ledger_batches_rewind(s, st.chain, 0), 1);
    assert_int_equal(rcd_ledger_batch_next(s, st.chain, &b), 1);
    free(b.body);
}

static void test_retention_keeps_what_is_not_reported(void **state)
{
    rcd_ledger_key_t a = key_of("gw1", RUN_A, "2026-01-01T08"), b = key_of("gw1", RUN_B, "2026-01-01T08");
    rcd_ledger_freezer_t f = {.config = &config, .s = s, .hours_due = NOW + 1};
    rcd_ledger_period_t p;
    char tail[RCD_HASH_HEX + 1];

    (void) state;
    memcpy(tail, zeros, sizeof(zeros));
    put(&a, "bus.ride d " AUTH, 3);
    put(&b, "bus.ride d " AUTH, 3);
    rcd_ledger_period_close(s, &a);
    assert_int_equal(report(&f, NOW, tail), 1000);
    assert_int_equal(rcd_ledger_retain(s, a.from), 0);
    assert_int_equal(rcd_ledger_retain(s, NOW - DAY), 2);
    assert_int_equal(rcd_ledger_period(s, &a, &p), 0);
    assert_int_equal(rcd_ledger_period(s, &b, &p), 1);
    assert_int_equal(rcd_ledger_retain(s, NOW - DAY), 0);
    assert_int_equal(rcd_ledger_retain(s, NOW + 1), 1);     /* the batch itself */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_keys),
        TEST(test_numbers),
        TEST(test_totals_are_maxima),
        TEST(test_a_run_has_one_gateway),
        TEST(test_order_counts_go_out_once_a_day),
        TEST(test_a_row_goes_out_once_in_a_drain),
        TEST(test_a_closed_month_goes_out_at_once),
        TEST(test_hours),
        TEST(test_hash_check_refuses_what_was_changed),
        TEST(test_a_dropped_chain_loses_nothing),
        TEST(test_retention_keeps_what_is_not_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
