/*
 * jd_table - the zone's fingerprint table: one writer, lock-free readers, 8-byte slots, no pointers.
 *
 * Portable C11 atomics over caller's memory (shared between processes). A hit means "ask", never "deny"; a miss is certain for every
 * entry that was put and not removed. All-zero memory is an empty table.
 *
 *   line (64 B): head u64 = moves:48 | overflow:16       slot[7] u64 = fp:40 | mark:4 | dist:4 | measures:16     0 = empty
 *   home line = high half of (digest.a * lines); fp = 40 bits of digest.b, never 0; dist = lines from home, 0..15
 *   (digest.a, digest.b: the digest's first and last 8 bytes, little-endian). Capacity: 4 entries a line.
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
    uint64_t         lines;               /* below 2^32 */
} jd_table_t;

typedef enum { JD_TABLE_MISS, JD_TABLE_HIT, JD_TABLE_ASK } jd_table_find_t;   /* ASK: moved under us three times */
typedef enum { JD_TABLE_PUT_NEW, JD_TABLE_PUT_SAME, JD_TABLE_FULL } jd_table_put_t;

uint64_t jd_table_capacity(uint64_t lines);       /* entries it should hold: 4 a line */
uint64_t jd_table_lines_for(size_t bytes);        /* lines that fit in so many bytes */

/* Any process, any time, lock-free. HIT when an entry of this digest has a measure in `measures`. */
jd_table_find_t jd_table_find(const jd_table_t *t, const uint8_t digest[JD_DIGEST_LEN], uint16_t measures);

/* The writer only. put replaces the measures and mark of the digest's entry, or adds one. FULL: nothing changed. measures must not be 0. */
jd_table_put_t jd_table_put(jd_table_t *t, const uint8_t digest[JD_DIGEST_LEN], uint16_t measures, unsigned mark);
/* Number of entries removed (0, 1; 2 when a killed writer left one twice). */
unsigned jd_table_remove(jd_table_t *t, const uint8_t digest[JD_DIGEST_LEN]);

/* Sweeps lines [*pos, *pos + n): removes every entry whose mark is not `keep` and recomputes overflow words. Returns entries removed; advances *pos;
 * done when *pos >= t->lines. Restartable: a writer killed in a sweep is followed by another whole sweep. */
uint64_t jd_table_sweep(jd_table_t *t, uint64_t *pos, uint64_t n, unsigned keep);

/* Entries and overflow over the whole table (walks it: for tests, status of the simulator, bench). */
typedef struct { uint64_t entries, displaced, max_dist, overflow_total; uint64_t by_mark[16]; } jd_table_stat_t;
void jd_table_stat(const jd_table_t *t, jd_table_stat_t *out);

#endif
