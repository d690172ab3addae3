/*
 * test_table.c - the table against a plain set: members found, others missed, counts exact.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/jd_table.h"

#define LINES     64
#define KEYS      512
#define ROUNDS    100000

/* What the table should hold; digest i has a fingerprint of its own, so that a miss is exact. */
typedef struct {
    uint8_t  digest[JD_DIGEST_LEN];
    uint16_t measures;                  /* 0 = not in the set */
    unsigned mark;
} member_t;

static _Alignas(64) jd_table_line_t lines[LINES];
static jd_table_t table = { lines, LINES };
static member_t   member[KEYS];
static uint64_t   state;

static uint64_t random_u64(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;

    return state;
}

/* A digest whose home is near `line` in a table of so many lines and whose fingerprint is `fp`. */
static void make_digest(uint8_t digest[JD_DIGEST_LEN], uint64_t line, uint64_t of, uint64_t fp)
{
    uint64_t a = (uint64_t) (((unsigned __int128) line << 64) / of) + 1;
    uint64_t b = fp << 24 | (random_u64() & 0xffffff);

    for (int i = 0; i < 8; i++) {
        digest[i] = (uint8_t) (a >> 8 * i);
        digest[8 + i] = (uint8_t) (b >> 8 * i);
    }
}

/* Homes crowd into some lines, the last ones among them: paths overlap and go round the end. */
static int set_up(void **unused)
{
    (void) unused;
    state = 88172645463325252u;
    memset(lines, 0, sizeof(lines));

    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t r = random_u64();
        uint64_t line = (r >> 8) % LINES;

        if (r & 1) {
            line = LINES - 1 - line % 6;
        } else if (r & 2) {
            line = 20 + line % 4;
        }

        member[i] = (member_t) { .measures = 0 };
        make_digest(member[i].digest, line, LINES, i + 1);
    }

    return 0;
}

/* The overflow of a line as the layout defines it, from the raw words. */
static uint64_t overflow_of(uint64_t line)
{
    uint64_t n = 0;

    for (uint64_t d = 1; d < JD_TABLE_PATH; d++) {
        for (unsigned i = 0; i < JD_TABLE_SLOTS; i++) {
            n += (lines[(line + d) % LINES].slot[i] >> 16 & 0xf) >= d;
        }
    }

    return n;
}

static void check_all(void)
{
    uint64_t        members = 0;
    jd_table_stat_t stat;

    for (int i = 0; i < KEYS; i++) {
        uint16_t measures = member[i].measures;

        members += measures != 0;
        assert_int_equal(jd_table_find(&table, member[i].digest, 0xffff),
                         measures ? JD_TABLE_HIT : JD_TABLE_MISS);
        assert_int_equal(jd_table_find(&table, member[i].digest, (uint16_t) ~measures),
                         JD_TABLE_MISS);
    }

    for (uint64_t line = 0; line < LINES; line++) {
        assert_int_equal(lines[line].head & 0xffff, overflow_of(line));
    }

    jd_table_stat(&table, &stat);
    assert_int_equal(stat.entries, members);
}

static void put(int i, unsigned mark)
{
    uint16_t       measures = (uint16_t) (random_u64() | 1);
    jd_table_put_t rc = jd_table_put(&table, member[i].digest, measures, mark);

    if (rc == JD_TABLE_FULL) {
        assert_int_equal(member[i].measures, 0);
        return;
    }

    assert_int_equal(rc, member[i].measures ? JD_TABLE_PUT_SAME : JD_TABLE_PUT_NEW);
    member[i].measures = measures;
    member[i].mark = mark;
}

static void drop(int i)
{
    assert_int_equal(jd_table_remove(&table, member[i].digest), member[i].measures != 0);
    member[i].measures = 0;
}

static void test_against_a_set(void **unused)
{
    unsigned mark = 1;

    (void) unused;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t r = random_u64();
        int      i = (int) ((r >> 32) % KEYS);

        /* fills and empties by turns, so that long paths are built and taken down */
        if (r % 100 < (round / 2000 % 2 ? 80 : 35)) {
            put(i, mark);
        } else {
            drop(i);
        }

        if (r % 64 == 0) {
            check_all();
        }

        if (round % 20000 == 0) {
            mark = mark % JD_TABLE_MARKS + 1;
        }
    }

    check_all();
}

/* While a sweep runs, an entry of an old mark may be gone already: put may say either. */
static void put_swept(int i, unsigned mark)
{
    if (member[i].mark != mark) {
        member[i].measures = 0;
        jd_table_remove(&table, member[i].digest);
    }

    put(i, mark);
}

/* A load over a published one: new marks, some gone, sweep in small slices, changes in between. */
static void test_sweep_keeps_one_mark(void **unused)
{
    (void) unused;

    for (unsigned mark = 1; mark <= 200; mark++) {
        unsigned keep = mark % JD_TABLE_MARKS + 1;
        uint64_t pos = 0;

        for (int i = 0; i < KEYS; i++) {
            if (random_u64() % 100 < 45) {
                put(i, keep);
            }
        }

        while (pos < LINES) {
            uint64_t before = pos;

            jd_table_sweep(&table, &pos, 1 + random_u64() % 5, keep);
            assert_true(pos > before);

            for (int n = 0; n < 4; n++) {
                int i = (int) (random_u64() % KEYS);

                jd_table_remove(&table, member[i].digest);
                member[i].measures = 0;
            }

            put_swept((int) (random_u64() % KEYS), keep);
        }

        for (int i = 0; i < KEYS; i++) {
            if (member[i].mark != keep) {
                member[i].measures = 0;
            }
        }

        check_all();
    }
}

static void test_sweep_recomputes_overflow(void **unused)
{
    uint64_t pos = 0;

    (void) unused;

    for (int i = 0; i < KEYS / 2; i++) {
        put(i, 3);
    }

    for (uint64_t line = 0; line < LINES; line++) {
        lines[line].head |= line % 3;           /* what kills leave: too high */
    }

    assert_int_equal(jd_table_sweep(&table, &pos, UINT64_MAX, 3), 0);
    assert_int_equal(pos, LINES);
    check_all();
}

/* An overflow that kills have driven to its end must not wrap into "nothing beyond". */
static void test_overflow_saturates(void **unused)
{
    uint8_t digest[JD_DIGEST_LEN];
    uint64_t pos = 0;

    (void) unused;
    memset(member, 0, sizeof(member));

    for (uint64_t fp = 1; fp <= 10; fp++) {
        make_digest(digest, 5, LINES, fp);
        assert_int_equal(jd_table_put(&table, digest, 1, 1), JD_TABLE_PUT_NEW);

        if (fp == JD_TABLE_SLOTS) {
            lines[5].head |= 0xffff;
        }
    }

    for (uint64_t fp = 1; fp <= 10; fp++) {
        make_digest(digest, 5, LINES, fp);
        assert_int_equal(jd_table_find(&table, digest, 1), JD_TABLE_HIT);
        assert_int_equal(jd_table_remove(&table, digest), 1);
        assert_int_equal(lines[5].head & 0xffff, 0xffff);
    }

    jd_table_sweep(&table, &pos, LINES, 1);
    assert_int_equal(lines[5].head & 0xffff, 0);
}

/* The path of one home line holds 112 entries; the next one changes nothing. */
static void test_full(void **unused)
{
    uint8_t         digest[JD_DIGEST_LEN];
    jd_table_line_t before[LINES];
    unsigned        room = JD_TABLE_PATH * JD_TABLE_SLOTS;

    (void) unused;

    for (uint64_t fp = 1; fp <= room; fp++) {
        make_digest(digest, LINES - 4, LINES, fp);
        assert_int_equal(jd_table_put(&table, digest, 2, 1), JD_TABLE_PUT_NEW);
    }

    memcpy(before, lines, sizeof(lines));
    make_digest(digest, LINES - 4, LINES, room + 1);
    assert_int_equal(jd_table_put(&table, digest, 2, 1), JD_TABLE_FULL);
    assert_memory_equal(before, lines, sizeof(lines));
    assert_int_equal(jd_table_find(&table, digest, 2), JD_TABLE_MISS);

    for (uint64_t fp = 1; fp <= room; fp++) {
        make_digest(digest, LINES - 4, LINES, fp);
        assert_int_equal(jd_table_find(&table, digest, 2), JD_TABLE_HIT);
        assert_int_equal(jd_table_put(&table, digest, 4, 1), JD_TABLE_PUT_SAME);
        assert_int_equal(jd_table_find(&table, digest, 2), JD_TABLE_MISS);
    }

    make_digest(digest, LINES - 4, LINES, 1);
    assert_int_equal(jd_table_remove(&table, digest), 1);
    make_digest(digest, LINES - 4, LINES, room + 1);
    assert_int_equal(jd_table_put(&table, digest, 2, 1), JD_TABLE_PUT_NEW);
}

static void test_empty_memory_is_an_empty_table(void **unused)
{
    jd_table_stat_t stat;
    uint64_t        pos = 0;

    (void) unused;
    check_all();
    jd_table_stat(&table, &stat);
    assert_int_equal(stat.entries + stat.displaced + stat.max_dist + stat.overflow_total, 0);
    assert_int_equal(jd_table_sweep(&table, &pos, LINES, 1), 0);
}

/* A digest of zeros has fingerprint 0, which would be an empty slot. */
static void test_zero_digest(void **unused)
{
    uint8_t digest[JD_DIGEST_LEN] = { 0 };

    (void) unused;
    assert_int_equal(jd_table_find(&table, digest, 0xffff), JD_TABLE_MISS);
    assert_int_equal(jd_table_put(&table, digest, 1, 1), JD_TABLE_PUT_NEW);
    assert_int_equal(jd_table_find(&table, digest, 1), JD_TABLE_HIT);
    assert_int_equal(jd_table_remove(&table, digest), 1);
    assert_int_equal(jd_table_find(&table, digest, 1), JD_TABLE_MISS);
}

static void test_layout(void **unused)
{
    uint8_t digest[JD_DIGEST_LEN];

    (void) unused;
    make_digest(digest, 7, LINES, 0x123456789a);
    jd_table_put(&table, digest, 0x0041, 11);
    assert_int_equal(lines[7].slot[0], 0x123456789ab00041);

    assert_int_equal(jd_table_lines_for(64 * JD_TABLE_PATH - 1), 0);
    assert_int_equal(jd_table_lines_for(64 * JD_TABLE_PATH + 63), JD_TABLE_PATH);
    assert_int_equal(jd_table_lines_for(SIZE_MAX), UINT32_MAX);
    assert_int_equal(jd_table_capacity(LINES), 4 * LINES);
}

/* Homes spread evenly over a table that is no power of two, the last line included. */
static void test_homes_cover_the_table(void **unused)
{
    static _Alignas(64) jd_table_line_t odd[100];
    jd_table_t                          t = { odd, 100 };
    uint8_t                             digest[JD_DIGEST_LEN];

    (void) unused;
    memset(odd, 0, sizeof(odd));

    for (uint64_t i = 0; i < 300; i++) {
        make_digest(digest, i % 100, 100, i + 1);
        assert_int_equal(jd_table_put(&t, digest, 1, 1), JD_TABLE_PUT_NEW);
    }

    for (int line = 0; line < 100; line++) {
        assert_true(odd[line].slot[2] != 0 && odd[line].slot[3] == 0 && odd[line].head == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_empty_memory_is_an_empty_table, set_up),
        cmocka_unit_test_setup(test_layout, set_up),
        cmocka_unit_test_setup(test_zero_digest, set_up),
        cmocka_unit_test_setup(test_homes_cover_the_table, set_up),
        cmocka_unit_test_setup(test_full, set_up),
        cmocka_unit_test_setup(test_overflow_saturates, set_up),
        cmocka_unit_test_setup(test_sweep_recomputes_overflow, set_up),
        cmocka_unit_test_setup(test_sweep_keeps_one_mark, set_up),
        cmocka_unit_test_setup(test_against_a_set, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
