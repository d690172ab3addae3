/*
 * lookup.c - a miss in the table against one dependent cache miss over the same memory.
 *
 *   lookup [ENTRIES]        default 10 million, 200 MB: beyond every cache
 *
 * Alternating rounds. In both loops the next address depends on a word of the line just read, so
 * that nothing overlaps. Prints the median of find / miss, both in ns, and bytes per entry.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "core/jd_table.h"

#define ROUNDS  11
#define STEPS   1000000

static jd_table_t table;

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;

    return x ^ x >> 27;
}

static double now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec * 1e9 + (double) ts.tv_nsec;
}

/* The top bit of a line's head, which is 0: what makes the next step wait for this line. */
static uint64_t word_of_line(uint64_t x)
{
    uint64_t at = (uint64_t) ((unsigned __int128) x * table.lines >> 64);

    return atomic_load_explicit(&table.line[at].head, memory_order_relaxed) >> 63;
}

static double one_miss(uint64_t x)
{
    double begin = now_ns();

    for (int i = 0; i < STEPS; i++) {
        x = mix(x + word_of_line(x));
    }

    return (now_ns() - begin) / STEPS + (x == 0);
}

static double one_find(uint64_t x)
{
    double begin = now_ns();

    for (int i = 0; i < STEPS; i++) {
        uint64_t digest[2] = { x, ~x };

        x = mix(x + (jd_table_find(&table, (const uint8_t *) digest, 1) == JD_TABLE_ASK)
                + word_of_line(x));
    }

    return (now_ns() - begin) / STEPS + (x == 0);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    uint64_t entries = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
    size_t   size;
    double   find[ROUNDS], miss[ROUNDS], ratio[ROUNDS];

    table.lines = entries * 10 / 32;            /* 80 % of 4 a line */
    size = table.lines * sizeof(jd_table_line_t);
    table.line = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (table.line == MAP_FAILED) {
        perror("lookup: mmap");
        return 1;
    }

    for (uint64_t i = 0; i < entries; i++) {
        uint64_t digest[2] = { mix(2 * i), mix(2 * i + 1) };

        if (jd_table_put(&table, (const uint8_t *) digest, 1, 1) == JD_TABLE_FULL) {
            fprintf(stderr, "lookup: the table is full\n");
            return 1;
        }
    }

    for (int i = 0; i < ROUNDS; i++) {
        miss[i] = one_miss(mix((uint64_t) i << 40));
        find[i] = one_find(mix((uint64_t) i << 50));
        ratio[i] = find[i] / miss[i];
    }

    qsort(find, ROUNDS, sizeof(double), by_value);
    qsort(miss, ROUNDS, sizeof(double), by_value);
    qsort(ratio, ROUNDS, sizeof(double), by_value);

    printf("%.3f %.0f %.0f %.2f\n", ratio[ROUNDS / 2], find[ROUNDS / 2], miss[ROUNDS / 2],
           (double) size / (double) entries);

    return 0;
}
