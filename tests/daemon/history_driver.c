/*
 * history_driver - whole histories of a list through the daemon's own logic and a real Redis, in one
 * process and fast: commands as lines on stdin; what they answer is written when "end" comes.
 * history_run.py speaks to it.
 *
 *   history_driver DIR REDIS_SOCKET [MUTATION]
 *
 * Time is the driver's own: "at" sets CLOCK_BOOTTIME and, with their errors, the wall clocks of daemon
 * and gate. CLOCK_MONOTONIC runs ahead while the writer is stepped, so that nobody waits for a beat.
 *
 *   new                      no daemon, no journal, an empty Redis, a gate that has seen nothing
 *   at T   wall D G          Unix second; by how much each wall clock is wrong
 *   start  stop              the daemon: journal, office clock, writer
 *   order EPOCH SEQ IAT JTI NUMBER JSON     lift EPOCH SEQ IAT JTI NUMBER MASK
 *   mark EPOCH SEQ IAT JTI NUMBER 0|1       head IAT EPOCH SEQ RELIEF_SEQ       approve EPOCH
 *   snapshot EPOCH SEQ RELIEF_SEQ IAT N M   N lines of records, then M commands that come while it
 *                            is staged and not yet applied
 *   write  step N            the writer until nothing is left to do; N steps of it
 *   jbackup  jrestore        the state directory, whole; jrestore ends the daemon
 *   rbackup  rrestore        Redis; rrestore breaks the daemon's connection, as a restart would
 *   holders full|delta N     N lines of an import of holders
 *   stay REF TARGET UNTIL|-   unstay TARGET          by the operator; TARGET: an order, or "scheme:identifier"
 *   object REF NUMBER   unobject NUMBER
 *   direct TARGET UNTIL|-|o  a stay or an objection as rcctl writes it when the daemon does not answer
 *   flush  gate              Redis emptied; nginx restarted
 *   ask SUBJECT...           "scheme:identifier"; the gate's reasons by measure, from bit 0
 *
 * MUTATION breaks one rule on purpose (history_mutate.c): nothing of it is in the product.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "core/jd_redis.h"
#include "history.h"

int64_t history_now, history_wall_daemon, history_wall_gate, history_mono_ms = 1000;

void history_fail(const char *what)
{
    fflush(stdout);
    fprintf(stderr, "history_driver: %s\n", what);
    exit(2);
}

char *history_line(void)
{
    static char *line;
    static size_t size;
    ssize_t n = getline(&line, &size, stdin);

    if (n <= 0) {
        return NULL;
    }
    line[strcspn(line, "\n")] = '\0';
    return line;
}

/* ---- time: what the daemon's code asks the system for -------------------------------------------- */

int clock_gettime(clockid_t id, struct timespec *ts)
{
    ts->tv_nsec = 0;
    switch (id) {
    case CLOCK_REALTIME:
        ts->tv_sec = history_now + history_wall_daemon;
        return 0;
    case CLOCK_BOOTTIME:
        ts->tv_sec = history_now - HISTORY_BOOTED_AT;
        return 0;
    case CLOCK_MONOTONIC:
        ts->tv_sec = history_mono_ms / 1000;
        ts->tv_nsec = history_mono_ms % 1000 * 1000000;
        return 0;
    default:
        return (int) syscall(SYS_clock_gettime, id, ts);
    }
}

time_t time(time_t *out)
{
    time_t now = (time_t) (history_now + history_wall_daemon);

    if (out != NULL) {
        *out = now;
    }
    return now;
}

/* ---- commands -------------------------------------------------------------------------------------- */

static void fresh(void)
{
    history_wall_daemon = history_wall_gate = 0;
    history_redis_do("FLUSHALL");
    history_redis_do("SCRIPT LOAD %s", jd_confirm_script);
    history_daemon_new();
    history_gate_new();
}

static int world_command(const char *name, char *args)
{
    if (strcmp(name, "ask") == 0) {
        history_ask(args);
    } else if (strcmp(name, "at") == 0) {
        history_now = strtoll(args, NULL, 10);
        history_daemon_tick();
    } else if (strcmp(name, "wall") == 0) {
        history_wall_daemon = strtoll(args, &args, 10);
        history_wall_gate = strtoll(args, NULL, 10);
        history_daemon_tick();
    } else if (strcmp(name, "new") == 0) {
        fresh();
    } else if (strcmp(name, "rbackup") == 0) {
        history_redis_copy(0, 1);
    } else if (strcmp(name, "rrestore") == 0) {
        history_redis_copy(1, 0);
        history_redis_do("CLIENT KILL TYPE normal SKIPME yes");
    } else if (strcmp(name, "flush") == 0) {
        history_redis_do("FLUSHDB");
    } else if (strcmp(name, "gate") == 0) {
        history_gate_new();
    } else if (strcmp(name, "direct") == 0) {
        history_direct(args);
    } else {
        return 0;
    }
    return 1;
}

void history_command(char *line)
{
    char *args = strchr(line, ' ');

    if (args != NULL) {
        *args++ = '\0';
    } else {
        args = line + strlen(line);
    }
    if (!world_command(line, args) && !history_daemon_command(line, args)) {
        history_fail(line);
    }
}

int main(int argc, char **argv)
{
    char *line;

    if (argc < 3 || mutate_choose(argc > 3 ? argv[3] : "none") != 0) {
        fprintf(stderr, "usage: history_driver DIR REDIS_SOCKET [MUTATION]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    history_redis = redisConnectUnix(argv[2]);
    if (history_redis == NULL || history_redis->err != 0) {
        history_fail("cannot connect to Redis");
    }
    history_daemon_init(argv[1], argv[2]);
    while ((line = history_line()) != NULL) {
        if (strcmp(line, "end") == 0) {
            printf("end\n");
            fflush(stdout);
        } else {
            history_command(line);
        }
    }
    history_daemon_fini();
    redisFree(history_redis);
    return 0;
}
