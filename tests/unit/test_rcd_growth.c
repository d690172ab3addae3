/*
 * rcd_growth, rcd_size, rcd_hold, rcd_relisted: the rule of mass change, row by row; what it keeps
 * in the journal.
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
#include "core/jd_policy.h"
#include "first_list.h"
#include "rcd_growth.h"
#include "rcd_hold.h"
#include "rcd_relisted.h"
#include "rcd_size.h"
#include "rcd_stage.h"

#define HOUR 3600
#define DAY  86400
#define T0   1700000000

/* ---- the rule -------------------------------------------------------------------------------- */

static void test_allowance(void **state)
{
    const rcd_growth_limit_t none = {0}, tight = {1, 0, 5}, half = {1, 50, 0};

    (void) state;
    assert_int_equal(rcd_growth_allowance(&none, 0), 100);
    assert_int_equal(rcd_growth_allowance(&none, 1009), 100);
    assert_int_equal(rcd_growth_allowance(&none, 1010), 101);
    assert_int_equal(rcd_growth_allowance(&none, 1000000), 100000);
    assert_int_equal(rcd_growth_allowance(&tight, 1000000), 5);
    assert_int_equal(rcd_growth_allowance(&half, 7), 3);
    assert_int_equal(rcd_growth_allowance(&half, UINT64_MAX), UINT64_MAX / 2);
}

static void test_limit_parse(void **state)
{
    static const char *const bad[] = {"", "10", "10%", "10 100", "% 100", "10%100", "10% ", "10% x",
                                      "10% 100 ", "-1% 5", "10% -5", "1001% 5", "10% 1000000001",
                                      "10.5% 5", "99999% 1"};
    rcd_growth_limit_t l;

    (void) state;
    assert_int_equal(rcd_growth_limit_parse("10% 100", &l), 0);
    assert_true(l.stated && l.percent == 10 && l.orders == 100);
    assert_int_equal(rcd_growth_limit_parse("0%\t0", &l), 0);
    assert_int_equal(rcd_growth_allowance(&l, 5000), 0);
    assert_int_equal(rcd_growth_limit_parse("1000% 1000000000", &l), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(rcd_growth_limit_parse(bad[i], &l), -1);
    }
}

static rcd_row_t row_of(uint16_t measures, int64_t start, int64_t until, unsigned flags)
{
    return (rcd_row_t){.measures = measures, .start = start, .until = until, .flags = flags,
                       .first_from = start};
}

static rcd_adds_t adds(rcd_row_t old, rcd_row_t fresh, uint16_t lifted)
{
    return rcd_growth_adds(&old, &fresh, lifted);
}

static void test_adds(void **state)
{
    const rcd_row_t base = row_of(1, 100, 200, 0);
    rcd_row_t ended = base, imported = base;

    (void) state;
    ended.ended = RCD_END_DROPPED;
    imported.imported = 1;
    assert_int_equal(rcd_growth_adds(NULL, &base, 0), RCD_ADDS_ORDER);
    assert_int_equal(rcd_growth_adds(NULL, &base, 1), RCD_ADDS_NOTHING);            /* lifted whole */
    assert_int_equal(rcd_growth_adds(NULL, &imported, 0), RCD_ADDS_NOTHING);
    assert_int_equal(adds(base, base, 0), RCD_ADDS_NOTHING);
    assert_int_equal(adds(ended, base, 0), RCD_ADDS_ORDER);
    assert_int_equal(adds(imported, base, 0), RCD_ADDS_ORDER);
    assert_int_equal(adds(base, row_of(3, 100, 200, 0), 0), RCD_ADDS_TERMS);
    assert_int_equal(adds(base, row_of(3, 100, 200, 0), 2), RCD_ADDS_NOTHING);      /* lifted measure */
    assert_int_equal(adds(base, row_of(1, 99, 200, 0), 0), RCD_ADDS_TERMS);
    assert_int_equal(adds(base, row_of(1, 100, 201, 0), 0), RCD_ADDS_TERMS);
    assert_int_equal(adds(row_of(3, 100, 200, 0), row_of(1, 101, 199, 0), 0), RCD_ADDS_NOTHING);
    assert_int_equal(adds(row_of(1, 100, 200, 0), row_of(2, 100, 200, 0), 0), RCD_ADDS_TERMS);
    /* effect and objection */
    assert_int_equal(adds(base, row_of(3, 1, 999, JD_ORDER_OBSERVE), 0), RCD_ADDS_NOTHING);
    assert_int_equal(adds(row_of(1, 100, 200, JD_ORDER_OBSERVE), base, 0), RCD_ADDS_ORDER);
    assert_int_equal(adds(base, row_of(1, 100, 200, JD_ORDER_OBJECTION), 0), RCD_ADDS_NOTHING);
    assert_int_equal(adds(row_of(1, 100, 200, JD_ORDER_OBJECTION), base, 0), RCD_ADDS_TERMS);
    /* a mark ends an objection at once: what is listed under one is listed */
    assert_int_equal(rcd_growth_adds(NULL, &(rcd_row_t){.measures = 1, .flags = JD_ORDER_OBJECTION}, 0),
                     RCD_ADDS_ORDER);
}

static void test_counts(void **state)
{
    rcd_row_t r = row_of(1, 0, 1, 0);

    (void) state;
    assert_true(rcd_growth_counts(&r));
    r.flags = JD_ORDER_OBJECTION;
    assert_true(rcd_growth_counts(&r));
    r.flags = JD_ORDER_OBSERVE;
    assert_false(rcd_growth_counts(&r));
    r.flags = 0;
    r.imported = 1;
    assert_false(rcd_growth_counts(&r));
    r.imported = 0;
    r.ended = RCD_END_EXPIRED;
    assert_false(rcd_growth_counts(&r));
}

/* For all pairs of small versions: what is kept is in both, nothing of both is missing. */
static void test_narrow(void **state)
{
    rcd_row_t out;
    unsigned n[3] = {0};

    (void) state;
    for (unsigned i = 0; i < 4 * 4 * 4 * 4 * 4 * 4; i++) {
        rcd_row_t a = row_of(i & 3, i >> 2 & 3, i >> 4 & 3, 0);
        rcd_row_t b = row_of(i >> 6 & 3, i >> 8 & 3, i >> 10 & 3, i & 1 ? JD_ORDER_OBJECTION : 0);
        rcd_narrow_t rc;
        int left = 0;

        if (a.measures == 0 || b.measures == 0 || a.start >= a.until || b.start >= b.until) {
            continue;
        }
        a.served = 7;
        b.served = 9;
        rc = rcd_growth_narrow(&a, &b, &out);
        n[rc]++;
        for (int64_t t = 0; t < 4; t++) {
            for (unsigned bit = 1; bit < 4; bit <<= 1) {
                int both = (a.measures & b.measures & bit) != 0 && t >= a.start && t < a.until &&
                           t >= b.start && t < b.until;
                int kept = rc != RCD_NARROW_NONE && (out.measures & bit) != 0 && t >= out.start &&
                           t < out.until;

                assert_int_equal(both, kept);
                left |= both;
            }
        }
        assert_int_equal(rc == RCD_NARROW_NONE, !left);
        assert_int_equal(out.served, 7);
        assert_int_equal(out.flags & JD_ORDER_OBJECTION, b.flags);
        if (rc == RCD_NARROW_SAME) {
            assert_memory_equal(&out, &a, sizeof(a));
        }
    }
    assert_true(n[0] > 0 && n[1] > 0 && n[2] > 0);
}

static void test_exceeds(void **state)
{
    const rcd_growth_limit_t l = {0};
    rcd_growth_t g = {.baseline = 2000, .size = 2000};

    (void) state;
    g.adds_orders = 200;
    assert_false(rcd_growth_exceeds(&l, &g));
    g.adds_orders = 201;
    assert_true(rcd_growth_exceeds(&l, &g));
    g.adds_orders = 100;
    g.adds_terms = 101;
    assert_true(rcd_growth_exceeds(&l, &g));       /* more adds than may be, whatever the size */
    g.drops = 1000;
    assert_true(rcd_growth_exceeds(&l, &g));
    g = (rcd_growth_t){.baseline = 2000, .size = 2150, .adds_orders = 50};
    assert_false(rcd_growth_exceeds(&l, &g));
    g.adds_orders = 51;
    assert_true(rcd_growth_exceeds(&l, &g));       /* little by little */
    g.drops = 1;
    assert_false(rcd_growth_exceeds(&l, &g));
    g = (rcd_growth_t){.baseline = 2000, .size = 2150, .widened = 50, .adds_terms = 1};
    assert_true(rcd_growth_exceeds(&l, &g));
    g = (rcd_growth_t){.baseline = 100, .size = 900, .drops = 10};
    assert_false(rcd_growth_exceeds(&l, &g));      /* too large already, and adds nothing */
    g = (rcd_growth_t){.adds_orders = 1, .drops = 50};
    assert_false(rcd_growth_exceeds(&l, &g));
}

static void test_shrank(void **state)
{
    const rcd_growth_limit_t l = {0};

    (void) state;
    assert_false(rcd_growth_shrank(&l, 100, 0));
    assert_true(rcd_growth_shrank(&l, 101, 0));
    assert_false(rcd_growth_shrank(&l, 5000, 4500));
    assert_true(rcd_growth_shrank(&l, 5000, 4499));
    assert_false(rcd_growth_shrank(&l, 10, 5000));
}

/* ---- what is kept ---------------------------------------------------------------------------- */

static rcd_state_t *s;
static rcd_rules_t rules;
static jd_key_t key;
static char *authorities[] = {(char *) "Office"};

static int set_up(void **state)
{
    uint8_t raw[16] = {3};
    char err[160];

    (void) state;
    jd_key_init(&key, "k1", raw);
    rules = (rcd_rules_t){.key = &key, .accept_card_subjects = 1};
    rules.rule[0] = (rcd_measure_rule_t){.enabled = 1, .legal_source = (char *) "law",
                                         .authorities = authorities, .n_authorities = 1,
                                         .max_term_sec = JD_TERM_MAX_SEC};
    s = rcd_store_open(":memory:", "credit", 0, err, sizeof(err));
    assert_non_null(s);
    return 0;
}

static int tear_down(void **state)
{
    (void) state;
    rcd_store_close(s);
    return 0;
}

/* Orders enter or leave the list. */
static void grow(int n)
{
    static unsigned next;
    rcd_row_t row = row_of(1, 1, 4000000000, 0);

    assert_int_equal(rcd_store_begin(s, 0), 0);
    for (; n > 0; n--) {
        snprintf(row.number, sizeof(row.number), "G-%u", next++);
        assert_int_equal(rcd_store_order_put(s, &row), 0);
    }
    for (; n < 0; n++) {
        snprintf(row.number, sizeof(row.number), "G-%u", --next);
        assert_int_equal(rcd_store_order_end(s, &row, RCD_END_DROPPED, T0), 0);
    }
    assert_int_equal(rcd_store_save_marks(s), 0);
    assert_int_equal(rcd_store_commit(s), 0);
}

static uint64_t baseline(void)
{
    rcd_growth_t g;

    rcd_size_growth(s, &g);
    return g.baseline;
}

static uint64_t widened(void)
{
    rcd_growth_t g;

    rcd_size_growth(s, &g);
    return g.widened;
}

/* first_list approves at T0. */
static void test_baseline(void **state)
{
    (void) state;
    assert_true(rcd_size_first(s));
    first_list(s, &rules);
    assert_false(rcd_size_first(s));
    assert_int_equal(baseline(), 0);
    for (int h = 0; h <= 7 * 24; h++) {            /* one order an hour */
        assert_int_equal(rcd_size_tick(s, T0 + h * HOUR), 0);
        assert_int_equal(baseline(), 0);           /* of the approval, for 7 days */
        grow(1);
    }
    for (int h = 7 * 24 + 1; h < 8 * 24; h++) {
        assert_int_equal(rcd_size_tick(s, T0 + h * HOUR), 0);
        assert_int_equal(baseline(), h - 7 * 24);  /* of 7 days ago */
        grow(1);
    }
    assert_int_equal(rcd_size_tick(s, T0), 0);     /* a clock that goes back changes nothing */
    assert_int_equal(baseline(), 23);
    assert_int_equal(rcd_size_load(s), 0);         /* and so stands it on disk */
    assert_int_equal(baseline(), 23);
}

static void test_exceeds_by_the_journal(void **state)
{
    (void) state;
    assert_true(rcd_size_exceeds(s, 0, 0, 0));     /* the first, an empty one too */
    first_list(s, &rules);
    assert_false(rcd_size_exceeds(s, 100, 0, 0));
    assert_true(rcd_size_exceeds(s, 101, 0, 0));
    grow(99);
    assert_false(rcd_size_exceeds(s, 1, 0, 0));
    assert_true(rcd_size_exceeds(s, 2, 0, 0));
    rcd_size_widened(s);
    assert_true(rcd_size_exceeds(s, 1, 0, 0));
    rules.growth = (rcd_growth_limit_t){1, 10, 500};
    assert_int_equal(rcd_state_rules(s, &rules), 0);
    assert_false(rcd_size_exceeds(s, 300, 0, 0));
}

static void test_widenings_are_of_the_window(void **state)
{
    (void) state;
    first_list(s, &rules);
    assert_int_equal(rcd_size_tick(s, T0), 0);
    for (int h = 1; h <= 3; h++) {
        rcd_size_widened(s);
        assert_int_equal(rcd_size_tick(s, T0 + h * DAY), 0);
    }
    assert_int_equal(widened(), 3);
    assert_int_equal(rcd_size_tick(s, T0 + 9 * DAY), 0);
    assert_int_equal(widened(), 1);                /* the first two are older than 7 days */
    assert_int_equal(rcd_size_tick(s, T0 + 30 * DAY), 0);
    assert_int_equal(widened(), 0);
}

static uint64_t audited(const char *kind)
{
    sqlite3_stmt *q;
    uint64_t n;

    assert_int_equal(sqlite3_prepare_v2(s->db, "SELECT count(*) FROM audit WHERE kind = ?", -1, &q,
                                        NULL), SQLITE_OK);
    sqlite3_bind_text(q, 1, kind, -1, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    n = (uint64_t) sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return n;
}

static void test_shrinking_alarms_once(void **state)
{
    rcd_size_status_t g;

    (void) state;
    first_list(s, &rules);
    grow(300);
    assert_int_equal(rcd_size_tick(s, T0), 0);
    grow(-100);
    assert_int_equal(rcd_size_tick(s, T0 + 1), 0);
    assert_int_equal(audited("growth.shrink"), 0);
    grow(-1);
    assert_int_equal(rcd_size_tick(s, T0 + 2), 0);
    assert_int_equal(rcd_size_tick(s, T0 + 3), 0);
    assert_int_equal(audited("growth.shrink"), 1);
    rcd_size_status(s, &g);
    assert_true(g.shrunk_at == T0 + 2 && g.shrunk_from == 300 && g.shrunk_to == 199);
    assert_int_equal(rcd_size_tick(s, T0 + HOUR), 0);
    grow(-100);                                    /* no more than that within the next hour */
    assert_int_equal(rcd_size_tick(s, T0 + HOUR + 1), 0);
    assert_int_equal(audited("growth.shrink"), 1);
}

static void test_early(void **state)
{
    uint64_t seq = 0;

    (void) state;
    assert_int_equal(rcd_hold_early(s, "A", &seq), 0);
    assert_int_equal(rcd_hold_early_put(s, "A", 5), 0);
    assert_int_equal(rcd_hold_early_put(s, "B", 9), 0);
    assert_int_equal(rcd_hold_early_put(s, "A", 3), 0);
    assert_int_equal(rcd_hold_early(s, "A", &seq), 1);
    assert_int_equal(seq, 5);
    assert_int_equal(rcd_hold_early_trim(s, 5), 0);
    assert_int_equal(rcd_hold_early(s, "A", &seq), 0);
    assert_int_equal(rcd_hold_early(s, "B", &seq), 1);
    assert_int_equal(rcd_hold_early_trim(s, UINT64_MAX), 0);
    assert_int_equal(rcd_hold_early(s, "B", &seq), 0);
}

/* An order on a basis that was lifted for its subject: seen again under the same number it is still
 * one. */
static void test_listed_again_counts_once(void **state)
{
    rcd_order_t o = {.number = "B", .grounds = {1, 0, 'a', 1, 0, 'b'}, .grounds_len = 6};
    rcd_row_t before = row_of(1, 1, 4000000000, 0);

    (void) state;
    snprintf(before.number, sizeof(before.number), "A");
    assert_int_equal(rcd_store_begin(s, 0), 0);
    assert_int_equal(rcd_store_grounds_put(s, &o), 1);
    assert_int_equal(rcd_store_order_put(s, &before), 0);
    assert_int_equal(rcd_store_order_end(s, &before, RCD_END_LIFTED, T0), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rcd_relisted_note(s, &o, T0 + 30 * DAY), 0);
    }
    assert_int_equal(rcd_relisted_note(s, &o, T0 + 30 * DAY + 1), 0);    /* long ago */
    assert_int_equal(rcd_store_commit(s), 0);
    assert_int_equal(rcd_relisted_count(s), 1);
    assert_int_equal(audited("relisted"), 2);
}

/* ---- the snapshot that waits, on disk -------------------------------------------------------- */

static char dir[64];

/* A snapshot of n orders from number `first` on; its hash is made of `mark`. */
static int snapshot(int first, int n, uint64_t seq, uint8_t mark, rcd_snapshot_counts_t *c)
{
    rcd_statement_t st = {.epoch = 1, .seq = seq, .iat = T0, .sha256 = {0xab, 0xcd, mark}};
    char path[80], err[256];
    rcd_snapshot_t *sn;
    FILE *f;

    snprintf(path, sizeof(path), "%s/in", dir);
    f = fopen(path, "w");
    assert_non_null(f);
    for (int i = first; i < first + n; i++) {
        fprintf(f, "{\"order\":\"N-%d\",\"subject\":{\"scheme\":\"card\",\"id\":\"SECRET%d\"},"
                   "\"measures\":[\"bus.ride\"],\"authority\":\"Office\",\"basis\":\"b\","
                   "\"served\":\"2026-10-10\",\"from\":\"2026-10-15T00:00:00+08:00\","
                   "\"until\":\"2027-10-15T00:00:00+08:00\",\"effect\":\"enforce\","
                   "\"objection\":false,\"contest\":{\"phone\":\"1\"}}\n", i, i);
    }
    fclose(f);
    sn = rcd_snapshot_begin(s, &rules, path, &st, T0, err, sizeof(err));
    unlink(path);
    assert_non_null(sn);
    return snapshot_whole(sn, c);
}

static int set_up_dir(void **state)
{
    char err[256];

    set_up(state);
    rcd_store_close(s);
    snprintf(dir, sizeof(dir), "/tmp/jd-growth-XXXXXX");
    assert_non_null(mkdtemp(dir));
    s = rcd_state_open(dir, "credit", err, sizeof(err));
    assert_non_null(s);
    assert_int_equal(rcd_state_rules(s, &rules), 0);
    return 0;
}

static int tear_down_dir(void **state)
{
    char command[100];

    (void) state;
    rcd_state_close(s);
    snprintf(command, sizeof(command), "rm -r %s", dir);
    return system(command);
}

static void reopen(void)
{
    char err[256];

    rcd_state_close(s);
    s = rcd_state_open(dir, "credit", err, sizeof(err));
    assert_non_null(s);
}

static void held_path(uint8_t mark, char path[RCD_HELD_PATH_MAX])
{
    uint8_t hash[32] = {0xab, 0xcd, mark};

    rcd_hold_path(s, hash, path);
}

static void test_held_is_kept(void **state)
{
    char path[RCD_HELD_PATH_MAX], err[256];
    rcd_snapshot_counts_t c;
    rcd_counts_t counts;

    (void) state;
    assert_int_equal(snapshot(0, 5, 5, 1, &c), 0);
    assert_true(c.held && c.adds_orders == 5 && c.withheld == 5 && c.applied == 0);
    held_path(1, path);
    for (int i = 0; i < 2; i++, reopen()) {
        assert_int_equal(access(path, F_OK), 0);
        assert_non_null(rcd_hold_waits(s));
        assert_true(rcd_hold_waits(s)->first && !rcd_hold_waits(s)->approved);
        assert_int_equal(rcd_hold_waits(s)->seq, 5);
        assert_int_equal(s->marks.seq, 0);
    }
    assert_int_equal(rcd_hold_approve(s, "abcd01", 1, "u", err, sizeof(err)), -1);   /* too short */
    assert_int_equal(rcd_hold_approve(s, "abcd0200", 1, "u", err, sizeof(err)), -1);
    assert_non_null(strstr(err, rcd_hold_waits(s)->hash));
    assert_int_equal(rcd_hold_approve(s, "abcd0100", 0, "u", err, sizeof(err)), -1); /* --first */
    assert_int_equal(rcd_hold_approve(s, "abcd0100", 1, "u", err, sizeof(err)), 0);
    assert_int_equal(rcd_hold_approve(s, "abcd0100", 1, "u", err, sizeof(err)), -1); /* once */
    reopen();
    assert_true(rcd_hold_waits(s)->approved);
    assert_string_equal(rcd_hold_waits(s)->user, "u");
    assert_int_equal(snapshot_whole(rcd_snapshot_approved(s, &rules, T0, err, sizeof(err)), &c), 0);
    assert_int_equal(c.applied, 5);
    assert_null(rcd_hold_waits(s));
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(s->marks.seq, 5);
    assert_int_equal(rcd_state_counts(s, &counts), 0);
    assert_int_equal(counts.live, 5);
    assert_int_equal(baseline(), 5);
}

static void test_held_is_replaced(void **state)
{
    char one[RCD_HELD_PATH_MAX], two[RCD_HELD_PATH_MAX], err[256];
    rcd_snapshot_counts_t c;

    (void) state;
    held_path(1, one);
    held_path(2, two);
    assert_int_equal(snapshot(0, 5, 5, 1, &c), 0);
    assert_int_equal(snapshot(0, 6, 6, 2, &c), 0);
    assert_int_equal(access(one, F_OK), -1);
    assert_int_equal(access(two, F_OK), 0);
    assert_int_equal(rcd_hold_approve(s, "abcd0100", 1, "u", err, sizeof(err)), -1);
    assert_int_equal(rcd_hold_reject(s, "abcd0200", "u", err, sizeof(err)), 0);
    assert_null(rcd_hold_waits(s));
    assert_int_equal(access(two, F_OK), -1);
    assert_int_equal(s->marks.changes_gap, 1);     /* a fresh one is wanted */
    assert_int_equal(audited("growth.held"), 2);
    assert_int_equal(audited("reject"), 1);
}

/* Its file gone, or other rules: nothing is applied of it, and a fresh one is wanted. */
static void test_held_that_cannot_be_used(void **state)
{
    char path[RCD_HELD_PATH_MAX], stray[100];
    rcd_snapshot_counts_t c;

    (void) state;
    held_path(1, path);
    snprintf(stray, sizeof(stray), "%s/held-0000000000000000.db", dir);
    fclose(fopen(stray, "w"));
    assert_int_equal(snapshot(0, 5, 5, 1, &c), 0);
    assert_int_equal(s->marks.changes_gap, 0);
    unlink(path);
    reopen();
    assert_null(rcd_hold_waits(s));
    assert_int_equal(s->marks.changes_gap, 1);
    assert_int_equal(access(stray, F_OK), -1);     /* and what does not wait is not kept */

    assert_int_equal(snapshot(0, 5, 5, 1, &c), 0);
    assert_int_equal(rcd_state_rules(s, &rules), 0);
    assert_non_null(rcd_hold_waits(s));
    rules.rule[0].max_term_sec = 86400;
    assert_int_equal(rcd_state_rules(s, &rules), 0);
    assert_null(rcd_hold_waits(s));
    assert_int_equal(s->marks.changes_gap, 1);
    assert_int_equal(access(path, F_OK), -1);
}

static int each_sum(void *arg, const rcd_stage_sum_t *sum)
{
    uint64_t *total = arg;

    assert_string_equal(sum->authority, "Office");
    assert_string_equal(sum->basis, "b");
    assert_int_equal(sum->measure[0], sum->orders);
    *total += sum->orders;
    return 0;
}

static void test_sums_and_samples(void **state)
{
    char path[RCD_HELD_PATH_MAX], err[256], a[20][JD_ORDER_NUMBER_MAX + 1],
        b[20][JD_ORDER_NUMBER_MAX + 1], bytes[64];
    uint8_t other[16] = {9}, hash[32] = {0xab, 0xcd, 1};
    rcd_snapshot_counts_t c;
    uint64_t total = 0;
    rcd_stage_t *g;
    size_t n;
    FILE *f;

    (void) state;
    assert_int_equal(snapshot(0, 500, 5, 1, &c), 0);
    held_path(1, path);
    g = rcd_stage_open(path, err, sizeof(err));
    assert_non_null(g);
    assert_int_equal(rcd_stage_sums(g, each_sum, &total), 0);
    assert_int_equal(total, 500);
    assert_int_equal(rcd_stage_samples(g, hash, a, 20), 20);
    assert_int_equal(rcd_stage_samples(g, hash, b, 20), 20);
    assert_memory_equal(a, b, sizeof(a));          /* by the hash */
    for (int i = 1; i < 20; i++) {
        assert_true(strcmp(a[i - 1], a[i]) < 0);   /* none twice */
    }
    assert_int_equal(rcd_stage_samples(g, other, b, 20), 20);
    assert_memory_not_equal(a, b, sizeof(a));
    rcd_stage_destroy(g);

    f = fopen(path, "r");                          /* and no identifier in it */
    assert_non_null(f);
    while ((n = fread(bytes, 1, sizeof(bytes), f)) == sizeof(bytes)) {
        assert_null(memmem(bytes, n, "SECRET", 6));
        fseek(f, -8, SEEK_CUR);
    }
    fclose(f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
#define DIR_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_dir, tear_down_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allowance),
        cmocka_unit_test(test_limit_parse),
        cmocka_unit_test(test_adds),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_exceeds),
        cmocka_unit_test(test_shrank),
        TEST(test_baseline),
        TEST(test_exceeds_by_the_journal),
        TEST(test_widenings_are_of_the_window),
        TEST(test_shrinking_alarms_once),
        TEST(test_early),
        TEST(test_listed_again_counts_once),
        DIR_TEST(test_held_is_kept),
        DIR_TEST(test_held_is_replaced),
        DIR_TEST(test_held_that_cannot_be_used),
        DIR_TEST(test_sums_and_samples),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
