/*
 * jd_table - the zone's fingerprint table: one writer, lock-free readers, no pointers.
 *
 * Portable C11 atomics over caller's memory (shared between processes). A hit means "ask", never
 * "deny"; a miss is certain for every entry that was put and not removed. All-zero memory is an
 * empty table.
 *
 *   line, 64 bytes, one cache line:
 *
 *   63            16 15        0   63          24 23  20 19  16 15        0
 *   +---------------+-----------+  +-------------+------+------+-----------+
 *   |   moves:48    | overflow  |  |    fp:40    | mark | dist | measures  |  x 7      0 = empty
 *   +---------------+-----------+  +-------------+------+------+-----------+
 *   head                           slot
 *
 *   home      high half of (a * lines); a, b: first and last 8 bytes of the digest, little-endian
 *   fp        upper 40 bits of b, never 0
 *   dist      lines from home, 0..15; the path of a digest is its home line and the 15 after it,
 *             round the end
 *   overflow  at least the number of entries stored in a later line whose path passes this one
 *   moves     how often an entry whose home is this line was copied to a line nearer home
 *   capacity  4 entries a line: above that, lines overflow more than one miss in ten
 *
 * A store of an entry whose home is line 5 while lines 5 and 6 are full (F = full slot):
 *
 *            line 5          line 6          line 7
 *            o=0 FFFFFFF     o=0 FFFFFFF     o=0 FF.....
 *   1        o=1 FFFFFFF     o=0 FFFFFFF     o=0 FF.....      count the lines passed ...
 *   2        o=1 FFFFFFF     o=1 FFFFFFF     o=0 FF.....
 *   3        o=1 FFFFFFF     o=1 FFFFFFF     o=0 FFx....      ... then store one word, dist = 2
 *
 * and its way back when a slot of line 5 becomes free:
 *
 *   4        o=1 FFFxFFF     o=1 FFFFFFF     o=0 FFx....      copy, dist = 0 (passes no line)
 *   5        moves + 1 in its home line, 5: a reader that met neither copy reads again
 *   6        o=1 FFFxFFF     o=1 FFFFFFF     o=0 FF.....      clear the old place ...
 *   7        o=0 FFFxFFF     o=0 FFFFFFF     o=0 FF.....      ... then count down
 *
 * So at every instant, and after a kill at any of them, each stored entry is counted in each line
 * that it passes, and each entry is stored at least once. What a kill leaves is an overflow too
 * high (one more line read), which the next sweep mends, or an entry stored twice, which does no
 * harm: remove takes both, sweep those of an old mark.
 */
#ifndef JD_TABLE_H
#define JD_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>
#include "jd_digest.h"

#define JD_TABLE_SLOTS        7
#define JD_TABLE_PATH         16
#define JD_TABLE_MARKS        15          /* marks 1..15; 0 is never stored */

typedef struct {
    _Atomic uint64_t head;
    _Atomic uint64_t slot[JD_TABLE_SLOTS];
} jd_table_line_t;

_Static_assert(sizeof(jd_table_line_t) == 64, "one cache line");

typedef struct {
    jd_table_line_t *line;                /* 64-byte aligned */
    uint64_t         lines;               /* JD_TABLE_PATH .. 2^32 - 1 */
} jd_table_t;

/* ASK: entries of this home line moved under us three times; take it as a hit. */
typedef enum { JD_TABLE_MISS, JD_TABLE_HIT, JD_TABLE_ASK } jd_table_find_t;
typedef enum { JD_TABLE_PUT_NEW, JD_TABLE_PUT_SAME, JD_TABLE_FULL } jd_table_put_t;

uint64_t jd_table_capacity(uint64_t lines);    /* entries it should hold: 4 a line */
uint64_t jd_table_lines_for(size_t bytes);     /* lines that fit; 0 = too few for a table */

/*
 * Any process, any time, lock-free. HIT when an entry of this digest has a measure in `measures`;
 * a digest that was put before the call and not removed is never MISS.
 */
jd_table_find_t jd_table_find(const jd_table_t *t, const uint8_t digest[JD_DIGEST_LEN],
                              uint16_t measures);

/*
 * The writer only. put replaces the measures and mark of the digest's entry, or adds one. FULL: no
 * hole on its path, nothing changed. measures must not be 0, mark is 1..JD_TABLE_MARKS.
 */
jd_table_put_t jd_table_put(jd_table_t *t, const uint8_t digest[JD_DIGEST_LEN], uint16_t measures,
                            unsigned mark);

/* Number of entries removed (0, 1; 2 when a killed writer left one twice). */
unsigned jd_table_remove(jd_table_t *t, const uint8_t digest[JD_DIGEST_LEN]);

/*
 * Sweeps lines [*pos, *pos + n): removes every entry whose mark is not `keep` and recomputes
 * overflow words. Returns entries removed; advances *pos; done when *pos >= t->lines. Between calls
 * the writer may put and remove. Restartable: a writer killed in a sweep is followed by another
 * whole sweep.
 */
uint64_t jd_table_sweep(jd_table_t *t, uint64_t *pos, uint64_t n, unsigned keep);

/* Entries and overflow over the whole table (walks it: for tests and bench). */
typedef struct {
    uint64_t entries, displaced, max_dist, overflow_total;
    uint64_t by_mark[JD_TABLE_MARKS + 1];
} jd_table_stat_t;

void jd_table_stat(const jd_table_t *t, jd_table_stat_t *out);

#endif
