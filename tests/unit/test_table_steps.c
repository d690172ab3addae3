/*
 * test_table_steps.c - the table at every single step: a writer killed after each of its stores, a
 * reader overtaken by the writer at each of its loads.
 *
 * jd_table.c is compiled in with its atomic operations counted; what tests/table/table_kill does by
 * chance over seconds is here done at each point once.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static long    stores_left = -1;        /* the writer dies after so many stores; -1 = it lives */
static long    loads_left = -1;         /* the reader is overtaken after so many; -1 = never */
static jmp_buf killed;

static void overtake(void);

#undef atomic_store_explicit
#undef atomic_load_explicit

#define atomic_store_explicit(p, v, order)                      \
    do {                                                        \
        if (stores_left == 0) {                                 \
            longjmp(killed, 1);                                 \
        }                                                       \
        stores_left -= stores_left > 0;                         \
        *(p) = (v);                                             \
    } while (0)

#define atomic_load_explicit(p, order)                          \
    (loads_left >= 0 && loads_left-- == 0 ? overtake() : (void) 0, *(p))

#include "core/jd_table.c"

#define LINES   20
#define KEYS    80
#define READERS 4

static _Alignas(64) jd_table_line_t lines[LINES], saved[LINES];
static jd_table_t table = { lines, LINES };
static uint8_t    digest[KEYS][JD_DIGEST_LEN];
static uint64_t   state;

/* One act of the writer. */
typedef struct {
    enum { PUT, REMOVE, SWEEP } kind;
    int                         key;
    unsigned                    mark;
} act_t;

static act_t now;
static long  now_stores;

static uint64_t random_u64(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;

    return state;
}

static void run(act_t act)
{
    uint64_t pos = 0;

    switch (act.kind) {
    case PUT:
        jd_table_put(&table, digest[act.key], 1, act.mark);
        break;
    case REMOVE:
        jd_table_remove(&table, digest[act.key]);
        break;
    case SWEEP:
        jd_table_sweep(&table, &pos, LINES, act.mark);
        break;
    }
}

/* Runs the act up to its n-th store; 1 when it ended before. */
static int run_killed(act_t act, long n)
{
    stores_left = n;

    if (setjmp(killed) == 0) {
        run(act);
        stores_left = -1;
        return 1;
    }

    stores_left = -1;
    return 0;
}

/* The writer gets a turn between two loads of the reader. */
static void overtake(void)
{
    run_killed(now, now_stores);
}

/* Homes in three lines side by side, one of them the last: 80 digests are 3.8 times their slots. */
static void fill(unsigned share)
{
    memset(lines, 0, sizeof(lines));

    for (int i = 0; i < KEYS; i++) {
        uint64_t line = (uint64_t) (LINES - 1 + i % 3) % LINES;
        uint64_t a = (uint64_t) (((unsigned __int128) line << 64) / LINES) + 1;
        uint64_t b = (uint64_t) (i + 1) << 24;

        memcpy(digest[i], &a, 8);
        memcpy(digest[i] + 8, &b, 8);

        if (random_u64() % 100 < share) {
            jd_table_put(&table, digest[i], 1, 1 + (unsigned) (random_u64() % 2));
        }
    }
}

static int is_in(int key)
{
    return jd_table_find(&table, digest[key], 1) == JD_TABLE_HIT;
}

/* Which entries must be there whatever becomes of the act: all but its own. */
static void keepers(act_t act, int keep[KEYS])
{
    for (int i = 0; i < KEYS; i++) {
        place_t  at;
        unsigned dist;
        int      in = find_place(&table, path_of(&table, digest[i]), &at, &dist);

        keep[i] = in && !(act.kind == REMOVE && act.key == i)
                  && !(act.kind == SWEEP && mark_of(read_slot(&table, at)) != act.mark);
    }
}

static void check(const int keep[KEYS])
{
    for (int i = 0; i < KEYS; i++) {
        assert_true(!keep[i] || is_in(i));
    }

    for (uint64_t line = 0; line < LINES; line++) {
        assert_true((read_head(&table, line) & OVERFLOW_MASK) >= true_overflow(&table, line));
    }
}

static act_t random_act(void)
{
    uint64_t r = random_u64();

    return (act_t) {
        .kind = r % 8 == 0 ? SWEEP : r % 8 < 3 ? PUT : REMOVE,
        .key = (int) ((r >> 8) % KEYS),
        .mark = 1 + (unsigned) (r >> 32) % 2,
    };
}

/* After a kill at each store: nothing lost; the next writer works on; a sweep mends all. */
static void test_writer_killed_at_each_store(void **unused)
{
    unsigned long kills = 0;

    (void) unused;
    state = 88172645463325252u;

    for (int round = 0; round < 200; round++) {
        act_t act;
        int   keep[KEYS];
        long  n = 0;
        int   ended;

        fill(60 + (unsigned) (round % 40));
        act = random_act();
        memcpy(saved, lines, sizeof(lines));

        do {
            memcpy(lines, saved, sizeof(lines));
            keepers(act, keep);
            ended = run_killed(act, n++);
            kills += !ended;
            check(keep);

            for (int i = 0; i < 20; i++) {          /* the next writer, without a sweep */
                act_t next = random_act();

                next.kind = next.kind == SWEEP ? REMOVE : next.kind;
                keep[next.key] = 0;
                run(next);
                check(keep);
                assert_true(next.kind == PUT || !is_in(next.key));
                keep[next.key] = next.kind == PUT && is_in(next.key);
            }

            keepers((act_t) { SWEEP, 0, 1 }, keep);
            run((act_t) { SWEEP, 0, 1 });
            check(keep);

            for (uint64_t line = 0; line < LINES; line++) {
                assert_int_equal(read_head(&table, line) & OVERFLOW_MASK,
                                 true_overflow(&table, line));
            }
        } while (!ended);
    }

    printf("%lu kills\n", kills);
}

/* Overtaken at each load by an act up to each of its stores: no entry that stays is missed. */
static void test_reader_overtaken_at_each_load(void **unused)
{
    unsigned long finds = 0, asked = 0;

    (void) unused;
    state = 2463534242u;

    for (int round = 0; round < 25; round++) {
        int keep[KEYS];
        int ended;

        fill(90);
        now = random_act();
        now.kind = now.kind == PUT ? REMOVE : now.kind;
        memcpy(saved, lines, sizeof(lines));
        keepers(now, keep);
        now_stores = 0;

        do {
            for (int n = 0; n < READERS; n++) {
                int i = (int) (random_u64() % KEYS);

                for (long load = 0, met = keep[i]; met; load++) {
                    jd_table_find_t rc;

                    memcpy(lines, saved, sizeof(lines));
                    loads_left = load;
                    rc = jd_table_find(&table, digest[i], 1);
                    met = loads_left < 0;
                    loads_left = -1;

                    assert_int_not_equal(rc, JD_TABLE_MISS);
                    asked += rc == JD_TABLE_ASK;
                    finds++;
                }
            }

            memcpy(lines, saved, sizeof(lines));
            ended = run_killed(now, now_stores++);
        } while (!ended);
    }

    printf("%lu finds, %lu of them \"ask\"\n", finds, asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writer_killed_at_each_store),
        cmocka_unit_test(test_reader_overtaken_at_each_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
