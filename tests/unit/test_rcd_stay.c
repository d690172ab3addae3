/*
 * rcd_stay, rcd_objection: what the operator frees, as rows of the journal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "rcd_objection.h"
#include "rcd_stay.h"

static rcd_state_t *s;
static const rcd_stay_ending_t ending = {RCD_STAY_UNSTAYED, 2000, "bob", "over"};
static const uint8_t alice[16] = {0xa1, 2, 3}, carol[16] = {0xc4, 9};

static int set_up(void **state)
{
    char err[256];

    (void) state;
    s = rcd_store_open(":memory:", "credit", 0, err, sizeof(err));
    if (s != NULL) {
        snprintf(s->under, sizeof(s->under), "k1");
        assert_int_equal(rcd_store_save_marks(s), 0);
    }
    return s == NULL;
}

static int tear_down(void **state)
{
    (void) state;
    rcd_store_close(s);
    return 0;
}

static rcd_stay_field_t field_of(const uint8_t *digest, const char *under)
{
    rcd_stay_field_t f = {.under = ""};

    memcpy(f.field, digest, sizeof(f.field));
    snprintf(f.under, sizeof(f.under), "%s", under);
    return f;
}

static int put(const char *ref, const char *number, int64_t until, const rcd_stay_field_t *fields,
               unsigned n)
{
    rcd_stay_t st = {.since = 1000, .until = until, .user = "alice", .reason = "court order"};
    int rc;

    snprintf(st.ref, sizeof(st.ref), "%s", ref);
    snprintf(st.number, sizeof(st.number), "%s", number);
    assert_int_equal(rcd_store_begin(s, 1), 0);
    rc = rcd_stay_put(s, &st, fields, n);
    assert_int_equal(rcd_store_commit(s), 0);
    return rc;
}

/* The relief of an order as Redis is to hold it. */
static jd_relief_t relief_of(const char *number)
{
    char found[JD_ORDER_NUMBER_MAX + 1];
    rcd_relief_row_t r = {.held = 0};

    if (rcd_store_relief_next(s, "", 0, found, &r) > 0) {
        assert_string_equal(found, number);
    }
    r.r.objection |= r.held;
    return r.r;
}

static int64_t of_field(const uint8_t *digest)
{
    int64_t until;

    assert_int_equal(rcd_stay_of_field(s, digest, &until), 0);
    return until;
}

static uint64_t audited(void)
{
    sqlite3_stmt *q;
    uint64_t n;

    sqlite3_prepare_v2(s->db, "SELECT count(*) FROM audit WHERE kind IN ('stay', 'unstay')", -1, &q, NULL);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    n = (uint64_t) sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return n;
}

/* ---- orders ---------------------------------------------------------------------------------- */

static void test_the_longest_counts(void **state)
{
    char gone[RCD_STAY_GONE_MAX];

    (void) state;
    assert_int_equal(put("a1", "CS-1", 5000, NULL, 0), 1);
    assert_int_equal(put("a2", "CS-1", 9000, NULL, 0), 1);
    assert_int_equal(put("a3", "CS-1", 7000, NULL, 0), 1);
    assert_int_equal(relief_of("CS-1").stay, 9000);
    assert_int_equal(rcd_stay_gone(s, "CS-1", NULL, gone), 0);
    assert_string_equal(gone, "");

    assert_int_equal(rcd_stay_tick(s, 4999), 0);
    assert_int_equal(rcd_stay_tick(s, 7000), 2);
    assert_int_equal(relief_of("CS-1").stay, 9000);
    assert_int_equal(rcd_stay_gone(s, "CS-1", NULL, gone), 0);
    assert_string_equal(gone, "7000 5000");
    assert_int_equal(rcd_stay_tick(s, 9000), 1);
    assert_int_equal(relief_of("CS-1").stay, 0);
    assert_int_equal(audited(), 6);
}

static void test_a_ref_is_one_stay(void **state)
{
    rcd_stay_counts_t n;

    (void) state;
    assert_int_equal(put("a1", "CS-1", 5000, NULL, 0), 1);
    assert_int_equal(put("a1", "CS-1", 5000, NULL, 0), 0);
    assert_int_equal(rcd_stay_counts(s, &n), 0);
    assert_int_equal(n.standing, 1);
    assert_int_equal(audited(), 1);
    assert_int_equal(rcd_stay_end_order(s, "CS-1", &ending), 1);
    assert_int_equal(put("a1", "CS-1", 5000, NULL, 0), 0);     /* a note found once more */
    assert_int_equal(relief_of("CS-1").stay, 0);
}

/* More than one statement of many rows takes. */
static void test_many_are_ended(void **state)
{
    char ref[8];

    (void) state;
    for (int i = 0; i < 150; i++) {
        snprintf(ref, sizeof(ref), "%x", i);
        assert_int_equal(put(ref, "CS-1", 5000 + i, NULL, 0), 1);
    }
    assert_int_equal(rcd_stay_end_order(s, "CS-1", &ending), 150);
    assert_int_equal(rcd_stay_end_order(s, "CS-1", &ending), 0);
    assert_int_equal(relief_of("CS-1").stay, 0);
}

static void test_what_the_office_says_leaves_a_stay(void **state)
{
    rcd_relief_row_t r = {.r = {.lifted = 1, .objection = 1}, .mark_epoch = 1, .mark_seq = 1};

    (void) state;
    put("a1", "CS-1", 5000, NULL, 0);
    assert_int_equal(rcd_store_relief_put(s, "CS-1", &r, 1500), 0);
    assert_int_equal(relief_of("CS-1").stay, 5000);
    assert_int_equal(relief_of("CS-1").lifted, 1);
    assert_int_equal(rcd_store_relief_sent(s, "CS-1"), 0);
    assert_int_equal(rcd_stay_end_order(s, "CS-1", &ending), 1);
    assert_int_equal(relief_of("CS-1").lifted, 1);
    assert_int_equal(relief_of("CS-1").stay, 0);
}

/* ---- persons --------------------------------------------------------------------------------- */

static void test_a_person_under_two_keys(void **state)
{
    const rcd_stay_field_t fields[] = {field_of(alice, "k1"), field_of(carol, "k2")};
    uint8_t field[JD_HOLDER_LEN];
    uint64_t pending;

    (void) state;
    assert_int_equal(put("b1", "", JD_STAY_FOREVER, fields, 2), 1);
    assert_int_equal(of_field(alice), JD_STAY_FOREVER);
    assert_int_equal(of_field(carol), JD_STAY_FOREVER);
    assert_int_equal(rcd_stay_next(s, 1, NULL, field), 1);
    assert_memory_equal(field, alice, sizeof(field));
    assert_int_equal(rcd_stay_sent(s, field), 0);
    assert_int_equal(rcd_stay_next(s, 1, NULL, field), 1);
    assert_memory_equal(field, carol, sizeof(field));
    assert_int_equal(rcd_stay_sent(s, field), 0);
    assert_int_equal(rcd_stay_next(s, 1, NULL, field), 0);
    assert_int_equal(rcd_stay_next(s, 0, alice, field), 1);      /* all of them, on a connect */

    assert_int_equal(rcd_stay_end_person(s, &fields[1], 1, &ending), 1);
    assert_int_equal(of_field(alice), 0);
    assert_int_equal(rcd_stay_pending(s, &pending), 0);
    assert_int_equal(pending, 2);
}

static uint64_t lost(void)
{
    rcd_stay_counts_t n;

    assert_int_equal(rcd_stay_counts(s, &n), 0);
    return n.lost;
}

static void test_a_new_key(void **state)
{
    const rcd_stay_field_t f = field_of(alice, "k1");

    (void) state;
    put("b1", "", JD_STAY_FOREVER, &f, 1);
    put("b2", "CS-1", JD_STAY_FOREVER, NULL, 0);
    assert_int_equal(lost(), 0);
    snprintf(s->under, sizeof(s->under), "k2");
    assert_int_equal(lost(), 1);                                /* the order's does not care */
    assert_int_equal(rcd_stay_carry(s, alice, carol, "k2"), 0);
    assert_int_equal(lost(), 0);
    assert_int_equal(of_field(carol), JD_STAY_FOREVER);
    assert_int_equal(rcd_stay_end_person(s, &f, 1, &ending), 1);
    assert_int_equal(of_field(carol), 0);
    assert_int_equal(rcd_stay_carry(s, alice, carol, "k2"), 0);   /* what is over is not carried */
    assert_int_equal(of_field(carol), 0);
}

static void test_known(void **state)
{
    const rcd_stay_field_t f = field_of(alice, "k1");

    (void) state;
    put("b1", "", 5000, &f, 1);
    put("b2", "CS-1", 6000, NULL, 0);
    rcd_stay_end_order(s, "CS-1", &ending);
    assert_int_equal(rcd_stay_known(s, NULL, alice, 5000), 1);
    assert_int_equal(rcd_stay_known(s, NULL, alice, 5001), 0);
    assert_int_equal(rcd_stay_known(s, NULL, carol, 5000), 0);
    assert_int_equal(rcd_stay_known(s, "CS-1", NULL, 6000), 1);  /* also when it is over */
    assert_int_equal(rcd_stay_known(s, "CS-1", NULL, 5000), 0);
}

/* ---- what the office is told ----------------------------------------------------------------- */

static void test_reports(void **state)
{
    rcd_stay_t r;

    (void) state;
    put("a1", "CS-1", 5000, NULL, 0);
    put("a2", "CS-2", JD_STAY_FOREVER, NULL, 0);
    assert_int_equal(rcd_stay_unreported(s, 0, &r), 1);
    assert_string_equal(r.number, "CS-1");
    assert_int_equal(r.until, 5000);
    assert_int_equal(rcd_stay_unreported(s, r.id, &r), 1);
    assert_string_equal(r.number, "CS-2");
    assert_int_equal(rcd_stay_unreported(s, r.id, &r), 0);
    rcd_stay_reported(s, 1, 0);
    rcd_stay_reported(s, 2, 0);
    assert_int_equal(rcd_stay_unreported(s, 0, &r), 0);

    rcd_stay_end_order(s, "CS-2", &ending);
    assert_int_equal(rcd_stay_unreported(s, 0, &r), 1);
    assert_int_equal(r.id, 2);
    assert_int_equal(r.ended, RCD_STAY_UNSTAYED);
    assert_int_equal(r.ended_at, 2000);
    rcd_stay_reported(s, 2, 1);
    assert_int_equal(rcd_stay_unreported(s, 0, &r), 0);

    put("a3", "CS-3", 5000, NULL, 0);                            /* over before anybody was told */
    rcd_stay_end_order(s, "CS-3", &ending);
    assert_int_equal(rcd_stay_unreported(s, 0, &r), 1);
    rcd_stay_reported(s, r.id, 1);
    assert_int_equal(rcd_stay_unreported(s, 0, &r), 0);
}

/* ---- objections ------------------------------------------------------------------------------ */

static int object(const char *ref, int end)
{
    rcd_objection_t o = {.number = "CS-1", .user = "alice", .reason = "statement", .ref = ref, .at = 1000};
    int rc;

    assert_int_equal(rcd_store_begin(s, 1), 0);
    rc = end ? rcd_objection_end(s, &o) : rcd_objection_put(s, &o, 0);
    assert_int_equal(rcd_store_commit(s), 0);
    return rc;
}

static void mark(int objection, uint64_t seq)
{
    rcd_relief_row_t r;

    assert_true(rcd_store_relief(s, "CS-1", &r) >= 0);
    r.r.objection = (uint8_t) objection;
    r.mark_epoch = 1;
    r.mark_seq = seq;
    assert_int_equal(rcd_store_relief_put(s, "CS-1", &r, 1500), 0);
}

static void test_objections_of_both(void **state)
{
    uint64_t office, operators;

    (void) state;
    assert_int_equal(rcd_objection_known(s, "CS-1"), 0);
    assert_int_equal(object("c1", 0), 1);
    assert_int_equal(object("c1", 0), 0);
    mark(1, 1);
    assert_int_equal(rcd_objection_counts(s, &office, &operators), 0);
    assert_int_equal(office, 1);
    assert_int_equal(operators, 1);
    mark(0, 2);
    assert_int_equal(relief_of("CS-1").objection, 1);
    assert_int_equal(rcd_objection_gone(s, "CS-1"), 0);
    mark(1, 3);
    assert_int_equal(object("", 1), 1);
    assert_int_equal(object("", 1), 0);
    assert_int_equal(relief_of("CS-1").objection, 1);            /* the office's stands */
    assert_int_equal(rcd_objection_gone(s, "CS-1"), 1);
    mark(0, 4);
    assert_int_equal(relief_of("CS-1").objection, 0);
    assert_int_equal(rcd_objection_gone(s, "CS-1"), 1);
    assert_int_equal(rcd_objection_known(s, "CS-1"), 1);
    assert_int_equal(rcd_objection_counts(s, &office, &operators), 0);
    assert_int_equal(office + operators, 0);
}

static void test_how_objections_end(void **state)
{
    static const char *const names[] = {"stands", "withdrawn", "ended", "none", "expired", "dropped",
                                        "refused", "lifted"};
    rcd_row_t row = {.number = "CS-1", .measures = 1, .flags = JD_ORDER_OBJECTION, .start = 1, .until = 2};
    sqlite3_stmt *q;

    (void) state;
    for (int i = 0; i < 8; i++) {
        assert_string_equal(rcd_objection_how_name(i), names[i]);
    }
    assert_int_equal(rcd_store_order_put(s, &row), 0);
    assert_int_equal(rcd_objection_sync(s, "CS-1", 1500), 0);    /* by the record itself */
    assert_int_equal(rcd_store_order_end(s, &row, RCD_END_LIFTED, 1700), 0);
    sqlite3_prepare_v2(s->db, "SELECT how, since, until FROM objections", -1, &q, NULL);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    assert_string_equal(rcd_objection_how_name(sqlite3_column_int(q, 0)), "lifted");
    assert_int_equal(sqlite3_column_int(q, 1), 1500);
    assert_int_equal(sqlite3_column_int(q, 2), 1700);
    assert_int_equal(sqlite3_step(q), SQLITE_DONE);
    sqlite3_finalize(q);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_longest_counts), TEST(test_a_ref_is_one_stay), TEST(test_many_are_ended),
        TEST(test_what_the_office_says_leaves_a_stay), TEST(test_a_person_under_two_keys),
        TEST(test_a_new_key), TEST(test_known), TEST(test_reports), TEST(test_objections_of_both),
        TEST(test_how_objections_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
