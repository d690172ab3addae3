/*
 * jd_table.c - find, put, remove and sweep of the zone's fingerprint table (layout: jd_table.h).
 *
 * Memory order. There is one writer, so it reads its own words relaxed and needs no
 * read-modify-write; every store of it is a release: nothing that it stored before may become
 * visible after it, or not be made at all by a process killed in between. A reader needs two
 * things:
 *
 *   - the home head by acquire, first: who sees the m-th move there sees the copy that it made;
 *   - an acquire fence between the path and the second look at the home head: who saw a place
 *     cleared, or a line counted down, by a move also sees that move in the head.
 *
 * Everything on the path itself is read relaxed: coherence alone keeps an overflow that a put has
 * raised from reading 0 while the entry lies beyond, and a hit carries nothing that would have to
 * be seen after it.
 */
#include "jd_table.h"

#define OVERFLOW_MASK    0xffffu
#define MOVE_ONE         (OVERFLOW_MASK + 1)

#define MEASURES_MASK    0xffffu
#define DIST_SHIFT       16
#define DIST_MASK        0xfu
#define MARK_SHIFT       20
#define MARK_MASK        0xfu
#define FP_SHIFT         24
#define IDENTITY_MASK    (~(uint64_t) 0 << FP_SHIFT | (uint64_t) DIST_MASK << DIST_SHIFT)

#define TRIES            3

/* Where a digest lives, and what its slot says of it at distance 0. */
typedef struct {
    uint64_t home;
    uint64_t fp;
} path_t;

/* A slot: line number and index. */
typedef struct {
    uint64_t line;
    unsigned slot;
} place_t;

static inline uint64_t load_le64(const uint8_t *p)
{
    return (uint64_t) p[0] | (uint64_t) p[1] << 8 | (uint64_t) p[2] << 16 | (uint64_t) p[3] << 24 |
           (uint64_t) p[4] << 32 | (uint64_t) p[5] << 40 | (uint64_t) p[6] << 48 |
           (uint64_t) p[7] << 56;
}

static inline path_t path_of(const jd_table_t *t, const uint8_t digest[JD_DIGEST_LEN])
{
    uint64_t fp = load_le64(digest + 8) >> FP_SHIFT;

    return (path_t) {
        .home = (uint64_t) ((unsigned __int128) load_le64(digest) * t->lines >> 64),
        .fp = (fp == 0 ? 1 : fp) << FP_SHIFT,
    };
}

/* The line so many lines after `line`, round the end. */
static inline uint64_t ahead(const jd_table_t *t, uint64_t line, unsigned distance)
{
    line += distance;
    return line < t->lines ? line : line - t->lines;
}

/* The line so many lines before. */
static inline uint64_t behind(const jd_table_t *t, uint64_t line, unsigned distance)
{
    return line >= distance ? line - distance : line + t->lines - distance;
}

static inline uint64_t identity(path_t path, unsigned dist)
{
    return path.fp | (uint64_t) dist << DIST_SHIFT;
}

static inline int is_entry_of(uint64_t slot, path_t path, unsigned dist)
{
    return ((slot ^ identity(path, dist)) & IDENTITY_MASK) == 0;
}

static inline unsigned dist_of(uint64_t slot)
{
    return (unsigned) (slot >> DIST_SHIFT) & DIST_MASK;
}

static inline unsigned mark_of(uint64_t slot)
{
    return (unsigned) (slot >> MARK_SHIFT) & MARK_MASK;
}

static inline uint64_t read_slot(const jd_table_t *t, place_t at)
{
    return atomic_load_explicit(&t->line[at.line].slot[at.slot], memory_order_relaxed);
}

static inline uint64_t read_head(const jd_table_t *t, uint64_t line)
{
    return atomic_load_explicit(&t->line[line].head, memory_order_relaxed);
}

uint64_t jd_table_capacity(uint64_t lines)
{
    return lines * 4;
}

uint64_t jd_table_lines_for(size_t bytes)
{
    uint64_t lines = bytes / sizeof(jd_table_line_t);

    if (lines > UINT32_MAX) {
        return UINT32_MAX;
    }

    return lines < JD_TABLE_PATH ? 0 : lines;
}

/* One walk along the path. `head` is that of the home line, read before. */
static inline int walk_finds(const jd_table_t *t, path_t path, uint64_t head, uint16_t measures)
{
    const jd_table_line_t *line = &t->line[path.home];

    for (unsigned dist = 0; ; ) {
        for (unsigned i = 0; i < JD_TABLE_SLOTS; i++) {
            uint64_t slot = atomic_load_explicit(&line->slot[i], memory_order_relaxed);

            if (is_entry_of(slot, path, dist) && (slot & measures)) {
                return 1;
            }
        }

        if ((head & OVERFLOW_MASK) == 0 || ++dist == JD_TABLE_PATH) {
            return 0;
        }

        line = &t->line[ahead(t, path.home, dist)];
        head = atomic_load_explicit(&line->head, memory_order_relaxed);
    }
}

jd_table_find_t jd_table_find(const jd_table_t *t, const uint8_t digest[JD_DIGEST_LEN],
                              uint16_t measures)
{
    path_t                  path = path_of(t, digest);
    const _Atomic uint64_t *home = &t->line[path.home].head;
    uint64_t                before = atomic_load_explicit(home, memory_order_acquire);

    for (unsigned try = 0; try < TRIES; try++) {
        uint64_t after;

        if (walk_finds(t, path, before, measures)) {
            return JD_TABLE_HIT;
        }

        atomic_thread_fence(memory_order_acquire);

        /* acquire again: it is the first look of the next try */
        after = atomic_load_explicit(home, memory_order_acquire);

        if (before / MOVE_ONE == after / MOVE_ONE) {
            return JD_TABLE_MISS;
        }

        before = after;
    }

    return JD_TABLE_ASK;
}

static void write_slot(jd_table_t *t, place_t at, uint64_t slot)
{
    atomic_store_explicit(&t->line[at.line].slot[at.slot], slot, memory_order_release);
}

static void write_head(jd_table_t *t, uint64_t line, uint64_t head)
{
    atomic_store_explicit(&t->line[line].head, head, memory_order_release);
}

/*
 * Counts an entry in the lines that it passes, before it is stored. A full count stays full until a
 * sweep: too high is harmless, one that wrapped would not be.
 */
static void count_up(jd_table_t *t, uint64_t home, unsigned dist)
{
    for (unsigned d = 0; d < dist; d++) {
        uint64_t line = ahead(t, home, d);
        uint64_t head = read_head(t, line);

        if ((head & OVERFLOW_MASK) != OVERFLOW_MASK) {
            write_head(t, line, head + 1);
        }
    }
}

/* The reverse, after its slot was cleared. */
static void count_down(jd_table_t *t, uint64_t home, unsigned dist)
{
    for (unsigned d = 0; d < dist; d++) {
        uint64_t line = ahead(t, home, d);
        uint64_t head = read_head(t, line);

        if ((head & OVERFLOW_MASK) != 0 && (head & OVERFLOW_MASK) != OVERFLOW_MASK) {
            write_head(t, line, head - 1);
        }
    }
}

/* Writer's walk: the first entry of the digest, whatever its measures. */
static int find_place(const jd_table_t *t, path_t path, place_t *at, unsigned *dist)
{
    for (unsigned d = 0; d < JD_TABLE_PATH; d++) {
        uint64_t line = ahead(t, path.home, d);

        for (unsigned i = 0; i < JD_TABLE_SLOTS; i++) {
            *at = (place_t) { line, i };

            if (is_entry_of(read_slot(t, *at), path, d)) {
                *dist = d;
                return 1;
            }
        }

        if ((read_head(t, line) & OVERFLOW_MASK) == 0) {
            return 0;
        }
    }

    return 0;
}

static int find_hole(const jd_table_t *t, path_t path, place_t *at, unsigned *dist)
{
    for (unsigned d = 0; d < JD_TABLE_PATH; d++) {
        for (unsigned i = 0; i < JD_TABLE_SLOTS; i++) {
            *at = (place_t) { ahead(t, path.home, d), i };

            if (read_slot(t, *at) == 0) {
                *dist = d;
                return 1;
            }
        }
    }

    return 0;
}

jd_table_put_t jd_table_put(jd_table_t *t, const uint8_t digest[JD_DIGEST_LEN], uint16_t measures,
                            unsigned mark)
{
    path_t         path = path_of(t, digest);
    uint64_t       word = (uint64_t) (mark & MARK_MASK) << MARK_SHIFT | measures;
    place_t        at;
    unsigned       dist;
    jd_table_put_t rc = JD_TABLE_PUT_SAME;

    if (!find_place(t, path, &at, &dist)) {
        if (!find_hole(t, path, &at, &dist)) {
            return JD_TABLE_FULL;
        }

        count_up(t, path.home, dist);
        rc = JD_TABLE_PUT_NEW;
    }

    write_slot(t, at, identity(path, dist) | word);

    return rc;
}

/* The nearest entry after `line` whose path passes it: how many lines after; 0 = there is none. */
static unsigned find_displaced(const jd_table_t *t, uint64_t line, place_t *from)
{
    for (unsigned d = 1; d < JD_TABLE_PATH; d++) {
        if ((read_head(t, ahead(t, line, d - 1)) & OVERFLOW_MASK) == 0) {
            return 0;
        }

        for (unsigned i = 0; i < JD_TABLE_SLOTS; i++) {
            *from = (place_t) { ahead(t, line, d), i };

            if (dist_of(read_slot(t, *from)) >= d) {
                return d;
            }
        }
    }

    return 0;
}

/*
 * Copies a displaced entry into the hole, which leaves a hole farther on, until no entry passes the
 * last one. Steps 4 to 7 of the drawing; their order is what readers and a kill depend on.
 */
static void pull_back(jd_table_t *t, place_t hole)
{
    place_t  from;
    unsigned nearer;

    while ((nearer = find_displaced(t, hole.line, &from)) != 0) {
        uint64_t slot = read_slot(t, from);
        unsigned dist = dist_of(slot);
        uint64_t home = behind(t, from.line, dist);

        count_up(t, home, dist - nearer);
        write_slot(t, hole, slot - ((uint64_t) nearer << DIST_SHIFT));
        write_head(t, home, read_head(t, home) + MOVE_ONE);
        write_slot(t, from, 0);
        count_down(t, home, dist);

        hole = from;
    }
}

/* Takes the entry at `at` out and fills the hole. */
static void take_out(jd_table_t *t, place_t at)
{
    unsigned dist = dist_of(read_slot(t, at));

    write_slot(t, at, 0);
    count_down(t, behind(t, at.line, dist), dist);
    pull_back(t, at);
}

unsigned jd_table_remove(jd_table_t *t, const uint8_t digest[JD_DIGEST_LEN])
{
    path_t   path = path_of(t, digest);
    place_t  at;
    unsigned dist, n = 0;

    while (find_place(t, path, &at, &dist)) {
        take_out(t, at);
        n++;
    }

    return n;
}

/* Entries in the lines after `line` whose path passes it. */
static uint64_t true_overflow(const jd_table_t *t, uint64_t line)
{
    uint64_t n = 0;

    for (unsigned d = 1; d < JD_TABLE_PATH; d++) {
        for (unsigned i = 0; i < JD_TABLE_SLOTS; i++) {
            n += dist_of(read_slot(t, (place_t) { ahead(t, line, d), i })) >= d;
        }
    }

    return n;
}

/* Until the slot is empty or kept: what take_out() pulls back into the hole may be old too. */
static uint64_t sweep_slot(jd_table_t *t, place_t at, unsigned keep)
{
    uint64_t removed = 0;
    uint64_t slot;

    while ((slot = read_slot(t, at)) != 0 && mark_of(slot) != keep) {
        take_out(t, at);
        removed++;
    }

    return removed;
}

uint64_t jd_table_sweep(jd_table_t *t, uint64_t *pos, uint64_t n, unsigned keep)
{
    uint64_t removed = 0;
    uint64_t line = *pos < JD_TABLE_PATH ? 0 : *pos - (JD_TABLE_PATH - 1);
    uint64_t end = n < t->lines - *pos ? *pos + n : t->lines;

    /* From a little before: a remove since the last call may have pulled an old entry across. */
    for ( ; line < end; line++) {
        uint64_t head;

        for (unsigned i = 0; i < JD_TABLE_SLOTS; i++) {
            removed += sweep_slot(t, (place_t) { line, i }, keep);
        }

        head = read_head(t, line);

        if ((head & OVERFLOW_MASK) != 0) {
            write_head(t, line, (head & ~(uint64_t) OVERFLOW_MASK) | true_overflow(t, line));
        }
    }

    *pos = end;

    return removed;
}

void jd_table_stat(const jd_table_t *t, jd_table_stat_t *out)
{
    *out = (jd_table_stat_t) { 0 };

    for (uint64_t line = 0; line < t->lines; line++) {
        out->overflow_total += read_head(t, line) & OVERFLOW_MASK;

        for (unsigned i = 0; i < JD_TABLE_SLOTS; i++) {
            uint64_t slot = read_slot(t, (place_t) { line, i });

            if (slot == 0) {
                continue;
            }

            out->entries++;
            out->by_mark[mark_of(slot)]++;
            out->displaced += dist_of(slot) != 0;
            out->max_dist = dist_of(slot) > out->max_dist ? dist_of(slot) : out->max_dist;
        }
    }
}
