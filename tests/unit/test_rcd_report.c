/*
 * rcd_report: what is gathered from a journal, and what of it may be published.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "rcd_ledger_rows.h"
#include "rcd_report.h"
#include "rcd_store.h"

#define FROM   INT64_C(1793462400)    /* date -d 2026-11-01T00:00+08:00 +%s */
#define UNTIL  INT64_C(1796054400)    /* date -d 2026-12-01T00:00+08:00 +%s */
#define DAY    86400
#define AUTH   "Haicheng Transport Bureau"
#define BASIS  "Measures, article 12"
#define BUS    1u
#define METRO  2u
#define RUN    "00112233445566778899aabbccddeeff"

static char dir[64], err[512];
static rcd_state_t *s;
static jd_keys_t keys;

static int set_up(void **state)
{
    static const uint8_t raw[JD_KEY_LEN] = {1, 2, 3};
    char template[] = "/tmp/jd-report-XXXXXX", path[128];
    FILE *f;

    (void) state;
    assert_non_null(mkdtemp(template));
    snprintf(dir, sizeof(dir), "%s", template);
    snprintf(path, sizeof(path), "%s/audit.log", dir);
    f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    jd_key_init(&keys.key[0], "k1", raw);
    keys.n = 1;
    s = rcd_store_open(":memory:", "credit", 0, err, sizeof(err));
    return s == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    char path[128];

    (void) state;
    rcd_store_close(s);
    snprintf(path, sizeof(path), "%s/audit.log", dir);
    unlink(path);
    return rmdir(dir);
}

static void sql(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void sql(const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    assert_int_equal(sqlite3_exec(s->db, text, NULL, NULL, NULL), SQLITE_OK);
}

/* An order of person `i`, in force all through 2026 unless changed by a statement. */
static void order(const char *number, int i, uint16_t measures, const char *basis, const char *relevance)
{
    rcd_row_t row = {.measures = measures, .start = FROM - 300 * DAY, .until = UNTIL + 30 * DAY};
    rcd_order_t o;
    jd_grounds_t g = {
        .authority = {AUTH, sizeof(AUTH) - 1},
        .basis = {basis, (uint16_t) strlen(basis)},
        .relevance = {relevance, (uint16_t) strlen(relevance)},
        .contest_phone = {"12345", 5},
    };

    assert_int_equal(jd_grounds_encode(&keys.key[0], &g, o.grounds, &o.grounds_len, o.grounds_id),
                     JD_RECORD_OK);
    assert_true(rcd_store_grounds_put(s, &o) >= 0);
    snprintf(row.number, sizeof(row.number), "%s", number);
    memset(row.digest, i, sizeof(row.digest));
    memcpy(row.grounds, o.grounds_id, sizeof(row.grounds));
    assert_int_equal(rcd_store_order_put(s, &row), 0);
}

static void denied(const char *number, unsigned measure, int64_t total)
{
    sql("INSERT INTO ledger_count VALUES('2026-11', '%s', %u, %lld, 0)", number, measure,
        (long long) total);
}

static void gather(rcd_report_t *r)
{
    assert_int_equal(rcd_report_gather(r, s, dir, &keys, "2026-11", UNTIL + 1, err, sizeof(err)), 0);
}

static void test_orders_and_people(void **state)
{
    rcd_report_t r;

    (void) state;
    order("CS-1", 1, BUS | METRO, BASIS, "why");
    order("CS-2", 1, BUS, BASIS, "");
    order("CS-3", 2, BUS, "Other law", "why");
    order("CS-4", 3, BUS, BASIS, "why");       /* ended before */
    order("CS-5", 4, BUS, BASIS, "why");       /* begins after */
    order("CS-6", 5, BUS, BASIS, "why");       /* over before */
    order("CS-7", 6, BUS, BASIS, "why");       /* ended within */
    order("CS-8", 7, BUS, BASIS, "why");       /* observed */
    order("CS-9", 8, BUS | METRO, BASIS, "why");    /* the bus lifted before, the metro within */
    sql("UPDATE orders SET ended = 2, ended_at = %lld WHERE number = 'CS-4'", (long long) FROM);
    sql("UPDATE orders SET start = %lld WHERE number = 'CS-5'", (long long) UNTIL);
    sql("UPDATE orders SET until = %lld WHERE number = 'CS-6'", (long long) FROM);
    sql("UPDATE orders SET ended = 2, ended_at = %lld WHERE number = 'CS-7'", (long long) FROM + 1);
    sql("UPDATE orders SET flags = 1 WHERE number = 'CS-8'");
    sql("INSERT INTO relief(number, lifted, objection, mark_epoch, mark_seq, at, pending)"
        " VALUES('CS-9', 3, 0, 0, 0, 0, 0)");
    sql("INSERT INTO lifts(number, measures, toe, iat, applied_ms) VALUES('CS-9', 1, 0, 0, %lld)",
        (long long) (FROM - 1) * 1000);
    sql("INSERT INTO lifts(number, measures, toe, iat, applied_ms) VALUES('CS-9', 2, 0, 0, %lld)",
        (long long) (FROM + 1) * 1000);
    gather(&r);
    assert_int_equal(r.rows, 3);
    assert_string_equal(r.row[0].basis, BASIS);
    assert_int_equal(r.row[0].measure, 0);
    assert_int_equal(r.row[0].n[RCD_R_ORDERS], 3);          /* CS-1 CS-2 CS-7 */
    assert_int_equal(r.row[0].n[RCD_R_PEOPLE], 2);
    assert_int_equal(r.row[0].n[RCD_R_OBSERVED], 1);
    assert_int_equal(r.row[0].n[RCD_R_NO_RELEVANCE], 1);
    assert_int_equal(r.row[0].n[RCD_R_DROPPED], 2);         /* CS-4 at its first second */
    assert_int_equal(r.row[1].measure, 1);
    assert_int_equal(r.row[1].n[RCD_R_ORDERS], 2);          /* CS-1 CS-9 */
    assert_int_equal(r.row[1].n[RCD_R_LIFTS], 1);
    assert_string_equal(r.row[2].basis, "Other law");
    assert_int_equal(r.total[RCD_R_ORDERS], 5);
    assert_int_equal(r.total[RCD_R_PEOPLE], 4);
    assert_true(r.complete);
    rcd_report_fini(&r);
}

static void test_events(void **state)
{
    rcd_report_t r;

    (void) state;
    order("CS-1", 1, BUS, BASIS, "why");
    denied("CS-1", 0, 40);
    denied("CS-X", 1, 7);                      /* an order that the journal does not know */
    for (int i = 0; i < 5; i++) {              /* 10, 20, 30, 40, 50 s from the act to a gateway */
        sql("INSERT INTO lifts(number, measures, toe, iat, applied_ms, redis_ms, first_ms)"
            " VALUES('CS-1', 1, %lld, 0, %lld, %lld, %lld)", (long long) FROM, (long long) FROM * 1000,
            (long long) FROM * 1000, (long long) FROM * 1000 + (i + 1) * 10000);
    }
    sql("INSERT INTO objections(ref, number, by, reason, since, until, how) VALUES"
        "('a', 'CS-1', '', '', %lld, %lld, 1), ('b', 'CS-1', '', '', %lld, %lld, %d),"
        "('c', 'CS-1', '', '', %lld, %lld, %d), ('d', 'CS-1', '', '', %lld, 0, 0),"
        "('e', 'CS-1', '', '', %lld, %lld, 1)",
        (long long) FROM, (long long) FROM + 1, (long long) FROM - 9, (long long) FROM + 1,
        3 + RCD_END_LIFTED, (long long) FROM - 9, (long long) UNTIL - 1, 3 + RCD_END_EXPIRED,
        (long long) FROM - 9, (long long) UNTIL - 1, (long long) UNTIL);
    sql("INSERT INTO stays(ref, number, since, until, user, reason, found) VALUES"
        "('a', 'CS-1', %lld, 0, '', '', 0), ('b', '', %lld, 0, '', '', 0), ('c', '', %lld, 0, '', '', 0)",
        (long long) FROM, (long long) FROM, (long long) UNTIL);
    sql("INSERT INTO relisted VALUES('CS-1', %lld, 'CS-0', 4, 0)", (long long) FROM + 5);
    sql("INSERT INTO ledger_period VALUES('" RUN "', '2026-11-02T10', 'gw1', %lld, 2, 9, 0)",
        (long long) FROM + DAY);
    sql("INSERT INTO ledger_hour VALUES('" RUN "', '2026-11-02T10', '" AUTH "', 0, 1, %lld, 'gw1', 9, 0)",
        (long long) FROM + DAY);
    gather(&r);
    assert_int_equal(r.rows, 2);
    assert_string_equal(r.row[0].authority, "");            /* not known */
    assert_int_equal(r.row[0].n[RCD_R_DENIED], 7);
    assert_int_equal(r.row[1].n[RCD_R_DENIED], 40);
    assert_int_equal(r.row[1].n[RCD_R_LIFTS], 5);
    assert_int_equal(r.row[1].n[RCD_R_OBJECTIONS], 2);      /* a, e */
    assert_int_equal(r.row[1].n[RCD_R_OBJECTIONS_ENDED], 1);
    assert_int_equal(r.row[1].n[RCD_R_OBJECTIONS_LIFTED], 1);
    assert_int_equal(r.row[1].n[RCD_R_OBJECTIONS_OVER], 1);
    assert_int_equal(r.row[1].n[RCD_R_OBJECTIONS_OPEN], 2); /* d, e: it ended after the month */
    assert_int_equal(r.row[1].n[RCD_R_STAYS], 1);
    assert_int_equal(r.row[1].n[RCD_R_RELISTED], 1);
    assert_int_equal(r.stays_of_persons, 1);
    assert_int_equal(r.dries, 1);
    assert_int_equal(r.dry[0].dry_run, 9);
    assert_false(r.complete);                               /* gw1 has not closed that hour */
    rcd_report_mask(&r);
    assert_int_equal(r.row[1].median_lift_sec, 30);
    assert_int_equal(r.row[1].n[RCD_R_STAYS], RCD_REPORT_MASKED);
    assert_int_equal(r.total[RCD_R_DENIED], 47);
    assert_int_equal(r.total[RCD_R_STAYS], RCD_REPORT_HIDDEN);
    rcd_report_fini(&r);
}

/* ---- masking --------------------------------------------------------------------------------- */

/* A report of made-up rows: `n` quantities q, one a row. */
static void made(rcd_report_t *r, const int64_t *n, size_t rows, rcd_report_quantity_t q, int64_t total)
{
    memset(r, 0, sizeof(*r));
    r->row = calloc(rows, sizeof(*r->row));
    r->rows = rows;
    for (size_t i = 0; i < rows; i++) {
        r->row[i].n[q] = n[i];
    }
    r->total[q] = total;
}

static void test_small_counts_are_masked(void **state)
{
    static const int64_t n[] = {0, 1, 4, 5, 1000};
    rcd_report_t r;

    (void) state;
    made(&r, n, 5, RCD_R_ORDERS, 1010);
    rcd_report_mask(&r);
    assert_int_equal(r.row[0].n[RCD_R_ORDERS], 0);
    assert_int_equal(r.row[1].n[RCD_R_ORDERS], RCD_REPORT_MASKED);
    assert_int_equal(r.row[2].n[RCD_R_ORDERS], RCD_REPORT_MASKED);
    assert_int_equal(r.row[3].n[RCD_R_ORDERS], 5);
    assert_int_equal(r.row[4].n[RCD_R_ORDERS], 1000);
    assert_int_equal(r.total[RCD_R_ORDERS], RCD_REPORT_HIDDEN);
    assert_int_equal(r.total[RCD_R_DENIED], 0);
    rcd_report_fini(&r);
}

/* Whatever the counts, nobody who adds and subtracts what is published learns a masked one. */
static void test_no_masked_count_follows_from_a_total(void **state)
{
    rcd_report_t r;
    unsigned masked;

    (void) state;
    for (int64_t code = 0; code < 7 * 7 * 7 * 7; code++) {
        int64_t n[4], total = 0, rest = code;

        for (int i = 0; i < 4; i++, rest /= 7) {
            n[i] = rest % 7;
            total += n[i];
        }
        made(&r, n, 4, RCD_R_DENIED, total);
        rcd_report_mask(&r);
        masked = 0;
        for (int i = 0; i < 4; i++) {
            masked += r.row[i].n[RCD_R_DENIED] < 0;
            assert_true(n[i] == 0 || n[i] >= RCD_REPORT_MIN || r.row[i].n[RCD_R_DENIED] < 0);
        }
        assert_true(masked == 0 || r.total[RCD_R_DENIED] < 0);
        assert_true(masked > 0 || r.total[RCD_R_DENIED] == total);
        rcd_report_fini(&r);
    }
}

/* open before + raised = lifted + ended + over + open after; the first was published a month ago. */
static void test_no_masked_objection_follows_from_the_others(void **state)
{
    static const int64_t none[] = {0};
    rcd_report_t r;
    unsigned masked;
    int64_t *n;

    (void) state;
    for (int64_t code = 0; code < 3 * 3 * 3 * 3 * 3; code++) {
        static const int64_t values[] = {0, 2, 9};
        int64_t rest = code;

        made(&r, none, 1, RCD_R_ORDERS, 0);
        n = r.row[0].n;
        for (int q = RCD_R_OBJECTIONS; q <= RCD_R_OBJECTIONS_OPEN; q++, rest /= 3) {
            n[q] = values[rest % 3];
        }
        rcd_report_mask(&r);
        masked = 0;
        for (int q = RCD_R_OBJECTIONS; q <= RCD_R_OBJECTIONS_OPEN; q++) {
            masked += n[q] < 0;
            assert_true(n[q] == 0 || n[q] == 9 || n[q] < 0);
        }
        /* one alone is masked only where everything else is 0 */
        for (int q = RCD_R_OBJECTIONS; masked == 1 && q <= RCD_R_OBJECTIONS_OPEN; q++) {
            assert_true(n[q] <= 0);
        }
        rcd_report_fini(&r);
    }
}

static void test_dry_runs_and_quarantine_are_masked_alike(void **state)
{
    rcd_report_t r;

    (void) state;
    memset(&r, 0, sizeof(r));
    r.dry = calloc(2, sizeof(*r.dry));
    r.dries = 2;
    r.dry[0].dry_run = 3;
    r.dry[1].dry_run = 30;
    r.dry_total = 33;
    r.quarantined[RCD_Q_NO_BASIS] = 4;
    r.quarantined[RCD_Q_SCHEMA] = 6;
    r.quarantined_total = 10;
    r.stays_of_persons = 2;
    rcd_report_mask(&r);
    assert_int_equal(r.dry[0].dry_run, RCD_REPORT_MASKED);
    assert_int_equal(r.dry[1].dry_run, 30);
    assert_int_equal(r.dry_total, RCD_REPORT_HIDDEN);
    assert_int_equal(r.quarantined[RCD_Q_NO_BASIS], RCD_REPORT_MASKED);
    assert_int_equal(r.quarantined[RCD_Q_SCHEMA], 6);
    assert_int_equal(r.quarantined_total, RCD_REPORT_HIDDEN);
    assert_int_equal(r.stays_of_persons, RCD_REPORT_MASKED);
    rcd_report_fini(&r);
}

static void test_median_needs_five_lifts(void **state)
{
    static const int64_t n[] = {4, 5};
    rcd_report_t r;

    (void) state;
    made(&r, n, 2, RCD_R_LIFTS, 9);
    for (size_t i = 0; i < 2; i++) {
        r.row[i].lift_sec = calloc(5, sizeof(int64_t));
        for (int k = 0; k < n[i]; k++) {
            r.row[i].lift_sec[r.row[i].n_lift++] = 100 - k;
        }
    }
    rcd_report_mask(&r);
    assert_int_equal(r.row[0].median_lift_sec, -1);
    assert_int_equal(r.row[1].median_lift_sec, 98);
    rcd_report_fini(&r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_orders_and_people),
        TEST(test_events),
        TEST(test_small_counts_are_masked),
        TEST(test_no_masked_count_follows_from_a_total),
        TEST(test_no_masked_objection_follows_from_the_others),
        TEST(test_dry_runs_and_quarantine_are_masked_alike),
        TEST(test_median_needs_five_lifts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
