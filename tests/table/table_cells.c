/*
 * table_cells.c - SIGKILLs processes that count in the ledger's cells, and the one that sweeps them, at random points, thousands
 * of times: answered <= counted <= answered + killed, for orders and for hours.
 *
 *   table_cells [SECONDS]        default 15; exit code 1 when something is wrong
 *
 * Each counter writes down a denial as answered after it has counted it in both. The sweeper closes periods, journals totals by
 * max when they are frozen, and frees what is journalled. Time goes on by ten minutes with each kill; now and then a counter's is hours late.
 * jd_cells.c is compiled in with a short wait before some of its atomic operations: a kill, or the other side, then comes between
 * two of them, which it otherwise hardly ever does.
 */
#include <sched.h>
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

#undef atomic_store_explicit
#define atomic_store_explicit(p, value, order)  (wait_a_little(), real_store(p, value, order))

static inline _Bool real_exchange(_Atomic uint64_t *p, uint64_t *old, uint64_t value)
{
    return atomic_compare_exchange_strong(p, old, value);
}

#undef atomic_compare_exchange_strong
#define atomic_compare_exchange_strong(p, old, value)                                                                            \
    (wait_a_little(), real_exchange(p, old, value))

#include "core/jd_cells.c"

#define COUNTERS   4
#define ORDERS     40
#define HOURS      4096
#define CELLS      700
#define SIZE       (JD_CELLS_HEAD + CELLS * sizeof(jd_cell_t))
#define BEGIN_SEC  (INT64_C(1795000000))

typedef struct {
    _Atomic uint64_t answered[COUNTERS], refused[COUNTERS];
    _Atomic int64_t  now;
    _Atomic uint64_t journal[JD_PERIOD_CLASSES][HOURS];      /* totals of periods that are freed, by period since BEGIN */
    _Atomic uint64_t sweeps, freed;
    _Atomic int      stop;
} shared_t;

static shared_t  *shared;
static jd_cells_t cells;
static uint64_t   state;

static uint64_t random_u64(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void wait_a_little(void)
{
    if (random_u64() % 32 == 0) {
        sched_yield();
    }
}

static uint32_t slot_of(jd_period_class_t class, uint32_t period)
{
    return period - jd_period_of(class, BEGIN_SEC);
}

static void count(int me)
{
    static const char *const authorities[] = {"Bureau of Transport", "Library", "Parks"};
    char text[16];

    while (!shared->stop) {
        int64_t now = shared->now - (int64_t) (random_u64() % 64 == 0 ? random_u64() % 20000 : 0);
        jd_cell_key_t order = {JD_CELL_ORDER, 0, random_u64() % 3, text, 0};
        jd_cell_key_t hour = {JD_CELL_DENIED, 0, order.measure, authorities[random_u64() % 3], 0};

        order.len = (size_t) snprintf(text, sizeof(text), "CS-%u", (unsigned) (random_u64() % ORDERS));
        hour.len = strlen(hour.text);
        if (now < BEGIN_SEC) {
            now = BEGIN_SEC;
        }
        if (jd_cells_count_both(&cells, &order, &hour, now, (uint32_t) getpid()) == 0) {
            shared->answered[me]++;
        } else {
            shared->refused[me]++;
        }
        if (random_u64() % 16 == 0) {
            sched_yield();
        }
    }
}

/*
 * One period: closed, frozen by a walk, summed by another, journalled by max, freed. A sweeper that is killed anywhere in here is followed
 * by one that does all of it again.
 */
static void sweep_period(jd_period_class_t class, uint32_t period)
{
    uint64_t sum = 0, first, total;
    jd_cell_t cell;

    jd_cells_close(&cells, 0, class, period);
    for (uint64_t i = 0; i < cells.cells; i++) {
        if (jd_cells_look(&cells, i, &cell) == JD_CELL_USED && cell.period == period
            && jd_cell_class((jd_cell_kind_t) cell.kind) == class) {
            jd_cells_freeze(&cells, i);
        }
    }
    for (uint64_t i = 0; i < cells.cells; i++) {
        if (jd_cells_look(&cells, i, &cell) == JD_CELL_USED && cell.period == period
            && jd_cell_class((jd_cell_kind_t) cell.kind) == class) {
            total = jd_cells_total(&cells, &cell, &first);
            sum += first == i ? total : 0;
        }
    }
    /* by max: a sweeper killed while it freed finds less the next time */
    if (shared->journal[class][slot_of(class, period)] < sum) {
        shared->journal[class][slot_of(class, period)] = sum;
    }
    for (uint64_t i = 0; i < cells.cells; i++) {
        if (jd_cells_look(&cells, i, &cell) == JD_CELL_USED && cell.period == period
            && jd_cell_class((jd_cell_kind_t) cell.kind) == class) {
            jd_cells_free(&cells, i, &cell, (uint32_t) getpid());
            shared->freed++;
        }
    }
}

static int dead(uint64_t tag)
{
    pid_t pid = (pid_t) (uint32_t) tag;

    return pid == getpid() || kill(pid, 0) != 0;
}

static void sweep(void)
{
    jd_cell_t cell;

    while (!shared->stop) {
        for (uint64_t i = 0; i < cells.cells; i++) {
            jd_cell_state_t is = jd_cells_look(&cells, i, &cell);

            if (is == JD_CELL_BUSY && dead(cell.tag)) {
                jd_cells_recover(&cells, i, &cell, (uint32_t) getpid());
            } else if (is == JD_CELL_USED) {
                jd_period_class_t class = jd_cell_class((jd_cell_kind_t) cell.kind);

                if (jd_period_end(class, cell.period) + 60 <= shared->now) {
                    sweep_period(class, cell.period);
                }
            }
        }
        shared->sweeps++;
    }
}

static pid_t spawn(int me)
{
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        state = (uint64_t) getpid() * 0x9e3779b97f4a7c15u + (uint64_t) time(NULL);
        if (me < COUNTERS) {
            count(me);
        } else {
            sweep();
        }
        _exit(0);
    }
    return pid;
}

static uint64_t left(jd_period_class_t class)
{
    uint64_t sum = 0;
    jd_cell_t cell;

    for (uint64_t i = 0; i < cells.cells; i++) {
        if (jd_cells_look(&cells, i, &cell) == JD_CELL_USED && jd_cell_class((jd_cell_kind_t) cell.kind) == class
            && !(jd_cells_closed(&cells, 0, class, cell.period) && shared->journal[class][slot_of(class, cell.period)] > 0)) {
            sum += jd_cell_count(&cell);
        }
    }
    return sum;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 15;
    static uint8_t runs[JD_PERIOD_CLASSES][JD_RUN_LEN];
    struct timespec begun, t;
    uint64_t answered = 0, refused = 0, kills[2] = {0, 0}, ledger[JD_PERIOD_CLASSES] = {0, 0};
    pid_t pid[COUNTERS + 2];                 /* two that sweep, as during a reload */
    void *mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int bad = 0;

    shared = mmap(NULL, sizeof(shared_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mem == MAP_FAILED || shared == MAP_FAILED) {
        return 1;
    }
    jd_cells_format(mem, SIZE, runs, "gw1");
    jd_cells_open(&cells, mem, SIZE, "gw1");
    jd_cells_list(&cells, "credit");
    shared->now = BEGIN_SEC;
    state = (uint64_t) time(NULL) * 2654435761u + 1;
    for (int i = 0; i < COUNTERS + 2; i++) {
        pid[i] = spawn(i);
    }
    clock_gettime(CLOCK_MONOTONIC, &begun);
    do {
        int i = (int) (random_u64() % (COUNTERS + 2));
        struct timespec pause = {0, (long) (random_u64() % 4000000)};

        nanosleep(&pause, NULL);
        kill(pid[i], SIGKILL);
        waitpid(pid[i], NULL, 0);
        kills[i >= COUNTERS]++;
        pid[i] = spawn(i);
        if (shared->now < BEGIN_SEC + (int64_t) (HOURS - 100) * 3600) {
            shared->now += 600;
        }
        clock_gettime(CLOCK_MONOTONIC, &t);
    } while ((double) (t.tv_sec - begun.tv_sec) < seconds);
    shared->stop = 1;
    for (int i = 0; i < COUNTERS + 2; i++) {
        waitpid(pid[i], NULL, 0);
    }
    for (int i = 0; i < COUNTERS; i++) {
        answered += shared->answered[i];
        refused += shared->refused[i];
    }
    for (int class = 0; class < JD_PERIOD_CLASSES; class++) {
        for (int i = 0; i < HOURS; i++) {
            ledger[class] += shared->journal[class][i];
        }
        ledger[class] += left((jd_period_class_t) class);
        bad |= ledger[class] < answered || ledger[class] > answered + kills[0];
    }
    printf("table_cells: %llu counters and %llu sweepers killed; %llu answered, ledger %llu by order, %llu by hour; "
           "%llu refused, %llu sweeps, %llu cells freed\n",
           (unsigned long long) kills[0], (unsigned long long) kills[1], (unsigned long long) answered,
           (unsigned long long) ledger[0], (unsigned long long) ledger[1], (unsigned long long) refused,
           (unsigned long long) shared->sweeps, (unsigned long long) shared->freed);
    if (bad || shared->freed == 0 || answered == 0) {
        printf("table_cells: WRONG\n");
        return 1;
    }
    return 0;
}
