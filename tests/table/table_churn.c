/*
 * table_churn.c - ten million removes and adds at 80 % load: a miss costs what it cost before.
 *
 *   table_churn [MILLIONS]      default 10
 *
 * The cost is the number of lines that a miss reads, from the state of the table: from the home
 * line on until one that no entry passes. Times are printed for information; they decide nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/jd_table.h"

#define LINES     131072
#define ENTRIES   ((uint64_t) LINES * 4 * 8 / 10)
#define PROBES    1000000

typedef struct {
    double lines;               /* read per miss */
    double one_line;            /* share of the misses that read one */
    double ns;                  /* per miss */
} cost_t;

static jd_table_line_t *line;
static jd_table_t       table;
static uint64_t         entry[ENTRIES];

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;

    return x ^ x >> 31;
}

static void digest_of(uint64_t number, uint8_t digest[JD_DIGEST_LEN])
{
    uint64_t word[2] = { mix(number * 2), mix(number * 2 + 1) };

    memcpy(digest, word, sizeof(word));
}

static void fail(const char *what)
{
    fprintf(stderr, "table_churn: FAILED: %s\n", what);
    exit(1);
}

static void add(uint64_t number)
{
    uint8_t digest[JD_DIGEST_LEN];

    digest_of(number, digest);

    if (jd_table_put(&table, digest, 1, 1) != JD_TABLE_PUT_NEW) {
        fail("an add found no room");
    }
}

static void drop(uint64_t number)
{
    uint8_t digest[JD_DIGEST_LEN];

    digest_of(number, digest);

    if (jd_table_remove(&table, digest) != 1) {
        fail("a remove did not find its entry");
    }
}

static unsigned lines_read(const uint8_t digest[JD_DIGEST_LEN])
{
    uint64_t a;
    unsigned n = 0;

    memcpy(&a, digest, sizeof(a));
    a = (uint64_t) ((unsigned __int128) a * LINES >> 64);

    while ((line[(a + n) % LINES].head & 0xffff) != 0 && n < JD_TABLE_PATH - 1) {
        n++;
    }

    return n + 1;
}

static cost_t cost_of_a_miss(uint64_t first)
{
    struct timespec begin, end;
    uint64_t        lines = 0, one = 0, hits = 0;
    uint8_t         digest[JD_DIGEST_LEN];

    for (uint64_t i = 0; i < PROBES; i++) {
        digest_of(first + i, digest);
        lines += lines_read(digest);
        one += lines_read(digest) == 1;
    }

    clock_gettime(CLOCK_MONOTONIC, &begin);

    for (uint64_t i = 0; i < PROBES; i++) {
        digest_of(first + i, digest);
        hits += jd_table_find(&table, digest, 1) != JD_TABLE_MISS;
    }

    clock_gettime(CLOCK_MONOTONIC, &end);

    if (hits > 2) {
        fail("strangers are found");
    }

    return (cost_t) {
        .lines = (double) lines / PROBES,
        .one_line = (double) one / PROBES,
        .ns = ((double) (end.tv_sec - begin.tv_sec) * 1e9 +
               (double) (end.tv_nsec - begin.tv_nsec)) / PROBES,
    };
}

static void print(const char *when, cost_t c)
{
    printf("table_churn: %s a miss reads %.4f lines, %.2f %% of them one; %.0f ns (information)\n",
           when, c.lines, c.one_line * 100, c.ns);
}

int main(int argc, char **argv)
{
    uint64_t        churn = (uint64_t) ((argc > 1 ? atof(argv[1]) : 10) * 1e6);
    uint64_t        next = 0, pos = 0;
    jd_table_stat_t churned, swept;
    cost_t          before, after;

    line = aligned_alloc(sizeof(*line), LINES * sizeof(*line));

    if (line == NULL) {
        fail("no memory");
    }

    memset(line, 0, LINES * sizeof(*line));
    table = (jd_table_t) { line, LINES };

    for ( ; next < ENTRIES; next++) {
        entry[next] = next;
        add(next);
    }

    before = cost_of_a_miss((uint64_t) 1 << 40);
    print("after the fill", before);

    for (uint64_t i = 0; i < churn; i++) {
        uint64_t *victim = &entry[mix(i ^ (uint64_t) 1 << 50) % ENTRIES];

        drop(*victim);
        *victim = next++;
        add(*victim);
    }

    after = cost_of_a_miss((uint64_t) 1 << 41);
    printf("table_churn: %lu removes and adds of %lu entries at 80 %% load\n", churn, ENTRIES);
    print("after the churn", after);

    for (uint64_t i = 0; i < ENTRIES; i++) {
        uint8_t digest[JD_DIGEST_LEN];

        digest_of(entry[i], digest);

        if (jd_table_find(&table, digest, 1) != JD_TABLE_HIT) {
            fail("an entry is not found");
        }
    }

    jd_table_stat(&table, &churned);
    jd_table_sweep(&table, &pos, LINES, 1);
    jd_table_stat(&table, &swept);

    if (churned.entries != ENTRIES || swept.entries != ENTRIES) {
        fail("the table does not hold what it should");
    }

    if (churned.overflow_total != swept.overflow_total) {
        fail("the churn left overflow that no entry accounts for");
    }

    if (after.lines > before.lines * 1.01) {
        fail("a miss reads more lines than before");
    }

    free(line);

    return 0;
}
