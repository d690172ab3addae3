/*
 * table_kill.c - SIGKILLs the writer of a shared table at random points, thousands of times, under
 * two readers: none of them hangs, crashes, or misses an entry that is there.
 *
 *   table_kill [SECONDS]        default 20; exit code 1 when something is wrong
 *
 * The writer does what the follower does: changes, and now and then a load, which puts all that is
 * there under a new mark and then sweeps. A new writer goes on where the killed one was. Beside the
 * table each entry has a version, odd from after its put to before its remove: a lookup within one
 * odd version must not miss.
 *
 * jd_table.c is compiled in with a short wait before some of its atomic operations: a kill, or the
 * other side, then comes between two of them, which it otherwise hardly ever does.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void wait_a_little(void);

static inline void real_store(_Atomic uint64_t *p, uint64_t value, memory_order order)
{
    atomic_store_explicit(p, value, order);
}

static inline uint64_t real_load(const _Atomic uint64_t *p, memory_order order)
{
    return atomic_load_explicit(p, order);
}

#undef atomic_store_explicit
#undef atomic_load_explicit
#define atomic_store_explicit(p, value, order)  (wait_a_little(), real_store(p, value, order))
#define atomic_load_explicit(p, order)          (wait_a_little(), real_load(p, order))

#include "core/jd_table.c"

#define LINES        128
#define ENTRIES      (LINES * 11)       /* about half of them are there: a third of the lines overflow */
#define READERS      2
#define HANG_SEC     10
#define STRANGER     (1u << 30)         /* numbers from here on are never put */

typedef struct {
    _Atomic uint64_t lookups, within, missed, asked, false_hits;
} reader_t;

typedef struct {
    jd_table_line_t  line[LINES];
    reader_t         reader[READERS];
    _Atomic uint64_t version[ENTRIES];
    _Atomic uint64_t changes, loads, lost;
    _Atomic unsigned mark;              /* of every entry that is there, unless `loading` */
    _Atomic unsigned loading;
    _Atomic int      stop;
} shared_t;

static shared_t  *shared;
static jd_table_t table;
static uint64_t   state;

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;

    return x ^ x >> 31;
}

static uint64_t random_u64(void)
{
    return mix(state++);
}

/* Every 32nd time or so; up to a few hundred cycles, as long as a dozen operations take. */
static void wait_a_little(void)
{
    static uint64_t dice = 1;

    dice = dice * 6364136223846793005u + 1442695040888963407u;

    if (dice >> 59 == 0) {
        for (volatile unsigned n = dice >> 40 & 0x7f; n > 0; n--) {
            /* waits */
        }
    }
}

static void digest_of(uint64_t number, uint8_t digest[JD_DIGEST_LEN])
{
    uint64_t word[2] = { mix(number * 2), mix(number * 2 + 1) };

    memcpy(digest, word, sizeof(word));
}

static double now_sec(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static pid_t start(void (*run)(int), int arg)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid == -1) {
        perror("fork");
        exit(2);
    }

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);

        if (getppid() == parent) {
            state = mix((uint64_t) getpid() << 32 ^ (uint64_t) time(NULL));
            run(arg);
        }

        _exit(0);
    }

    return pid;
}

/* ---- the writer ---- */

static void put(uint64_t number, unsigned mark)
{
    uint8_t        digest[JD_DIGEST_LEN];
    jd_table_put_t rc;

    digest_of(number, digest);
    rc = jd_table_put(&table, digest, (uint16_t) (random_u64() | 1), mark);

    if (shared->version[number] % 2 == 1) {
        shared->lost += rc != JD_TABLE_PUT_SAME;
    } else if (rc != JD_TABLE_FULL) {
        shared->version[number]++;
    }
}

static void drop(uint64_t number)
{
    uint8_t digest[JD_DIGEST_LEN];

    digest_of(number, digest);

    if (shared->version[number] % 2 == 1) {
        shared->version[number]++;
    }

    jd_table_remove(&table, digest);
}

static void change(unsigned mark)
{
    uint64_t r = random_u64();

    if (r & 1) {
        put((r >> 32) % ENTRIES, mark);
    } else {
        drop((r >> 32) % ENTRIES);
    }

    shared->changes++;
}

static void sweep(unsigned mark)
{
    uint64_t pos = 0;

    while (pos < LINES) {
        jd_table_sweep(&table, &pos, 32, mark);
        change(mark);
    }
}

/* A load that was left half way is begun anew, before any sweep: its marks are mixed. */
static void reload(void)
{
    unsigned mark = shared->mark % JD_TABLE_MARKS + 1;

    shared->loading = 1;

    for (uint64_t i = 0; i < ENTRIES; i++) {
        if (shared->version[i] % 2 == 1) {
            put(i, mark);
        }
    }

    shared->mark = mark;
    shared->loading = 0;
    sweep(mark);
    shared->loads++;
}

static void write_on(int with_sweep)
{
    if (shared->loading) {
        reload();
    } else if (with_sweep) {
        sweep(shared->mark);
    }

    for ( ;; ) {
        if (random_u64() % 2000 == 0) {
            reload();
        } else {
            change(shared->mark);
        }
    }
}

/* ---- the readers ---- */

static void read_one(reader_t *me)
{
    uint8_t         digest[JD_DIGEST_LEN];
    uint64_t        number = random_u64() % ENTRIES;
    uint64_t        version = shared->version[number];
    jd_table_find_t rc;

    if (version % 2 == 1) {
        digest_of(number, digest);
        rc = jd_table_find(&table, digest, 1);

        if (shared->version[number] == version) {
            me->missed += rc == JD_TABLE_MISS;
            me->within++;
        }
    } else {
        digest_of(STRANGER + number, digest);
        rc = jd_table_find(&table, digest, 0xffff);
        me->false_hits += rc == JD_TABLE_HIT;
    }

    me->asked += rc == JD_TABLE_ASK;
    me->lookups++;
}

static void read_on(int n)
{
    while (!shared->stop) {
        read_one(&shared->reader[n]);
    }
}

/* ---- the parent ---- */

static int wrong(const char *what)
{
    fprintf(stderr, "table_kill: %s\n", what);
    return 1;
}

static int check_counts(void)
{
    for (int i = 0; i < READERS; i++) {
        if (shared->reader[i].missed) {
            return wrong("a reader missed an entry that is there");
        }
    }

    return shared->lost ? wrong("the writer did not find an entry that is there") : 0;
}

/* Waits for a reader that was told to stop. */
static int end_reader(pid_t pid)
{
    double          deadline = now_sec() + HANG_SEC;
    struct timespec tick = { 0, 1000000 };
    int             status;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (now_sec() > deadline) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return wrong("a reader hangs");
        }

        nanosleep(&tick, NULL);
    }

    return status != 0 ? wrong("a reader crashed") : 0;
}

/* Kills writers until the time is over; 0 when all went well. */
static int kill_writers(double seconds, unsigned long *kills)
{
    double end = now_sec() + seconds;

    while (now_sec() < end) {
        struct timespec life = { 0, (long) (random_u64() % 3000000) };
        pid_t           pid = start(write_on, random_u64() % 4 == 0);
        int             status;

        nanosleep(&life, NULL);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);

        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
            return wrong("a writer ended by itself");
        }

        ++*kills;

        if (check_counts()) {
            return 1;
        }
    }

    return 0;
}

/* After a last sweep by a writer that lives, every overflow is exact again. */
static int check_table(void)
{
    uint64_t pos = 0;

    if (shared->loading) {
        reload();
    }

    jd_table_sweep(&table, &pos, LINES, shared->mark);

    for (uint64_t line = 0; line < LINES; line++) {
        uint64_t n = 0;

        for (uint64_t d = 1; d < JD_TABLE_PATH; d++) {
            for (unsigned i = 0; i < JD_TABLE_SLOTS; i++) {
                n += (shared->line[(line + d) % LINES].slot[i] >> 16 & 0xf) >= d;
            }
        }

        if ((shared->line[line].head & 0xffff) != n) {
            return wrong("an overflow is not exact after a sweep");
        }
    }

    for (uint64_t i = 0; i < ENTRIES; i++) {
        if (shared->version[i] % 2 == 1) {
            put(i, shared->mark);
        }
    }

    return shared->lost ? wrong("an entry that was never removed is gone") : 0;
}

int main(int argc, char **argv)
{
    double        seconds = argc > 1 ? atof(argv[1]) : 20;
    pid_t         reader[READERS];
    unsigned long kills = 0;
    uint64_t      lookups = 0, within = 0, asked = 0, false_hits = 0;
    int           bad;

    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED) {
        perror("mmap");
        return 2;
    }

    table = (jd_table_t) { shared->line, LINES };
    state = (uint64_t) time(NULL);
    shared->mark = 1;

    for (int i = 0; i < READERS; i++) {
        reader[i] = start(read_on, i);
    }

    bad = kill_writers(seconds, &kills);
    shared->stop = 1;

    for (int i = 0; i < READERS; i++) {
        bad |= end_reader(reader[i]);
        lookups += shared->reader[i].lookups;
        within += shared->reader[i].within;
        asked += shared->reader[i].asked;
        false_hits += shared->reader[i].false_hits;
    }

    bad = bad || check_counts() || check_table();

    if (!bad && asked > lookups / 100) {
        bad = wrong("more than one lookup in a hundred says \"ask\"");
    }

    printf("table_kill: %lu kills of the writer, %lu changes, %lu loads, %lu lookups, "
           "%lu of an entry that was there (%lu \"ask\", %lu hits of a stranger): %s\n",
           kills, shared->changes, shared->loads, lookups, within, asked, false_hits,
           bad ? "FAILED" : "none missed");

    return bad;
}
