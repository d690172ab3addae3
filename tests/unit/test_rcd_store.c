/*
 * rcd_store and rcd_state: files, modes, refusals, transactions, a disk that is full.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "rcd_store.h"

static char dir[64], err[256];

static int set_up(void **state)
{
    char template[] = "/tmp/jd-store-XXXXXX";

    (void)state;
    assert_non_null(mkdtemp(template));
    snprintf(dir, sizeof(dir), "%s/state", template);
    return 0;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"journal.db", "journal.db-wal", "journal.db-shm", "lock"};
    char path[128];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
    *strrchr(dir, '/') = '\0';
    rmdir(dir);
    return 0;
}

static unsigned mode_of(const char *name)
{
    char path[128];
    struct stat st;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static void test_open(void **state)
{
    rcd_state_t *s = rcd_state_open(dir, "credit", err, sizeof(err)), *r;
    rcd_marks_t m;
    char journal[33];

    (void)state;
    assert_non_null(s);
    assert_int_equal(mode_of("."), 0700);
    assert_int_equal(mode_of("journal.db"), 0600);
    rcd_state_marks(s, &m);
    assert_int_equal(strlen(m.journal), 32);
    assert_int_equal(m.changes_gap, 1);
    memcpy(journal, m.journal, sizeof(journal));

    assert_null(rcd_state_open(dir, "credit", err, sizeof(err)));
    assert_non_null(strstr(err, "another restrict-cached runs"));
    r = rcd_state_open_readonly(dir, err, sizeof(err));
    assert_non_null(r);
    rcd_state_marks(r, &m);
    assert_string_equal(m.journal, journal);
    rcd_state_close(r);
    rcd_state_close(s);

    assert_null(rcd_state_open(dir, "other", err, sizeof(err)));
    assert_non_null(strstr(err, "holds list \"credit\", not \"other\""));
    assert_null(rcd_state_open(dir, "Credit!", err, sizeof(err)));
    s = rcd_state_open(dir, "credit", err, sizeof(err));
    assert_non_null(s);
    rcd_state_marks(s, &m);
    assert_string_equal(m.journal, journal);
    rcd_state_close(s);
}

static void run_sql(const char *text)
{
    char path[128];
    sqlite3 *db;

    snprintf(path, sizeof(path), "%s/journal.db", dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_refusals(void **state)
{
    rcd_state_t *s = rcd_state_open(dir, "credit", err, sizeof(err));

    (void)state;
    assert_non_null(s);
    rcd_state_close(s);
    run_sql("PRAGMA user_version = 99");
    assert_null(rcd_state_open(dir, "credit", err, sizeof(err)));
    assert_non_null(strstr(err, "layout 99"));
    run_sql("PRAGMA application_id = 1");
    assert_null(rcd_state_open(dir, "credit", err, sizeof(err)));
    assert_non_null(strstr(err, "not a journal"));
    assert_null(rcd_state_open_readonly("/nowhere", err, sizeof(err)));
    assert_null(rcd_state_open("/nowhere/at/all", "credit", err, sizeof(err)));
}

static void test_rollback_restores_marks(void **state)
{
    rcd_state_t *s = rcd_store_open(":memory:", "credit", 0, err, sizeof(err));
    rcd_relief_row_t r = {.r = {.lifted = 1}};

    (void)state;
    assert_int_equal(rcd_store_begin(s, 1), 0);
    s->marks.seq = 7;
    s->written.era = 9;
    assert_int_equal(rcd_store_relief_put(s, "A", &r, 0), 0);
    rcd_store_rollback(s);
    assert_int_equal(s->marks.seq, 0);
    assert_int_equal(s->written.era, 0);
    assert_int_equal(rcd_store_relief(s, "A", &r), 0);
    assert_int_equal(r.r.lifted, 0);
    rcd_store_close(s);
}

/* A full disk: nothing is acknowledged, nothing half-written, and it goes on when there is room. */
static void test_disk_full(void **state)
{
    rcd_state_t *s = rcd_state_open(dir, "credit", err, sizeof(err));
    rcd_event_t ev[64] = {{0}};
    rcd_result_t res[64];
    int rc = 0;

    (void)state;
    assert_non_null(s);
    sqlite3_exec(s->db, "PRAGMA max_page_count = 40", NULL, NULL, NULL);
    for (unsigned round = 0; rc == 0 && round < 100; round++) {
        for (unsigned i = 0; i < 64; i++) {
            ev[i] = (rcd_event_t){.kind = RCD_EV_LIFT, .seq = round * 64 + i + 1, .lifted = 0xffff};
            snprintf(ev[i].jti, sizeof(ev[i].jti), "a token with a long name %u-%u", round, i);
            snprintf(ev[i].number, sizeof(ev[i].number), "CS-2026-%06u", round * 64 + i);
        }
        rc = rcd_apply_relief(s, ev, 64, res);
    }
    assert_int_equal(rc, -1);
    assert_int_equal(res[0].outcome, RCD_HOLD_IO);
    assert_non_null(strstr(res[63].why, "full"));
    assert_int_equal(s->marks.relief_seq % 64, 0);
    sqlite3_exec(s->db, "PRAGMA max_page_count = 4000", NULL, NULL, NULL);
    assert_int_equal(rcd_apply_relief(s, ev, 64, res), 0);
    assert_int_equal(res[0].outcome, RCD_ACK);
    rcd_state_close(s);
}

static int count_orders(void *arg, const rcd_row_t *row, const jd_relief_t *relief)
{
    assert_int_equal(relief->lifted, strcmp(row->number, "B") == 0 ? 2 : 0);
    return ++*(int *)arg == 2;
}

static void test_reading(void **state)
{
    rcd_state_t *s = rcd_store_open(":memory:", "credit", 0, err, sizeof(err));
    rcd_relief_row_t r = {.r = {.lifted = 2}};
    rcd_row_t row = {.measures = 1, .digest = {1}};
    uint8_t grounds[JD_GROUNDS_MAX];
    uint64_t dirty, relief;
    jd_relief_t of;
    int n = 0;

    (void)state;
    assert_int_equal(rcd_store_begin(s, 0), 0);
    for (char c = 'A'; c <= 'C'; c++) {
        row.number[0] = c;
        assert_int_equal(rcd_store_order_put(s, &row), 0);
    }
    assert_int_equal(rcd_store_relief_put(s, "B", &r, 0), 0);
    assert_int_equal(rcd_store_commit(s), 0);
    assert_int_equal(rcd_state_orders(s, NULL, count_orders, &n), 0);
    assert_int_equal(n, 2);
    n = 0;
    assert_int_equal(rcd_state_orders(s, row.digest, count_orders, &n), 0);
    assert_int_equal(n, 2);
    assert_int_equal(rcd_state_order(s, "Q", &row, &of), 0);
    assert_int_equal(rcd_state_grounds(s, row.grounds, grounds), 0);
    assert_int_equal(rcd_store_pending(s, &dirty, &relief), 0);
    assert_int_equal(dirty, 1);
    assert_int_equal(relief, 1);
    rcd_store_close(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_open),      TEST(test_refusals), TEST(test_rollback_restores_marks),
        TEST(test_disk_full), TEST(test_reading),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
