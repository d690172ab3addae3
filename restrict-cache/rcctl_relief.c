/*
 * rcctl_relief - a note on disk, then the daemon, or Redis directly.
 *
 * Whatever is killed, and whenever: once the note is on disk the relief comes, from us, from the
 * daemon that runs, or from the next one; the daemon removes the note when its journal has it. Notes
 * name themselves (ref), so it does not matter who was first.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include "rcctl_redis.h"
#include "rcctl_relief.h"
#include "rcctl_spool.h"
#include "rcd_clock.h"
#include "rcd_json.h"
#include "rcd_script.h"

#define DAEMON_MS   1500               /* for the daemon's answer, before we write ourselves */
#define LOOK_MS     20                 /* between two looks, should the system not tell */

static double now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec * 1e3 + (double) ts.tv_nsec / 1e6;
}

int rcctl_relief_stamp(cJSON *command)
{
    uint8_t random[8];
    char ref[2 * sizeof(random) + 1];

    if (getrandom(random, sizeof(random), 0) != (ssize_t) sizeof(random)) {
        rcctl_error("no random numbers: %s", strerror(errno));
        return -1;
    }
    for (size_t i = 0; i < sizeof(random); i++) {
        snprintf(ref + 2 * i, 3, "%02x", random[i]);
    }
    cJSON_AddStringToObject(command, "ref", ref);
    cJSON_AddNumberToObject(command, "at", (double) rcd_clock_wall());
    return 0;
}

/* ---- the note -------------------------------------------------------------------------------- */

/* The name of a file that was just made or renamed is on disk, too. */
static int sync_inbox(const rcctl_t *r)
{
    char path[PATH_MAX];
    int fd, rc;

    snprintf(path, sizeof(path), "%s/inbox", r->config->state_dir);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rc = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

/* Leaves the command in the daemon's inbox, fsynced. 0, or -1 after saying why. */
static int leave_note(const rcctl_t *r, cJSON *command, char name[RCCTL_NAME_MAX])
{
    char *text;
    FILE *f;
    int failed;

    cJSON_AddStringToObject(command, "user", rcctl_user());
    text = cJSON_PrintUnformatted(command);
    f = text == NULL ? NULL : rcctl_spool_create(r, ".json", name);
    if (f == NULL) {
        free(text);
        return -1;
    }
    failed = fputs(text, f) < 0 || fflush(f) != 0 || fsync(fileno(f)) != 0;
    failed |= fclose(f) != 0;
    free(text);
    if (failed) {
        rcctl_error("nothing can be kept in %s: %s", r->config->state_dir, strerror(errno));
        rcctl_spool_withdraw(r, name);
        return -1;
    }
    if (rcctl_spool_publish(r, name) != 0) {
        return -1;
    }
    if (sync_inbox(r) != 0) {
        rcctl_error("%s/inbox: %s", r->config->state_dir, strerror(errno));
        rcctl_spool_withdraw(r, name);
        return -1;
    }
    return 0;
}

/* ---- the daemon ------------------------------------------------------------------------------ */

/* A status of the last seconds, and its process is there. Wrong either way does no harm. */
static int daemon_lives(const rcctl_t *r)
{
    char err[512];
    int64_t age = 0;
    cJSON *status = rcctl_daemon_status(r, &age, err, sizeof(err));
    uint64_t pid = 0;
    int lives;

    lives = status != NULL && age <= RCCTL_ALIVE_SEC &&
            rcd_json_uint(status, "pid", INT_MAX, &pid) == 1 &&
            (kill((pid_t) pid, 0) == 0 || errno == EPERM);
    cJSON_Delete(status);
    return lives;
}

/* Its answer, or NULL when none comes in time. */
static cJSON *ask_daemon(const rcctl_t *r, const char *name, int watch)
{
    double end = now_ms() + DAEMON_MS;
    cJSON *answer;

    while ((answer = rcctl_spool_answer(r, name)) == NULL && now_ms() < end && daemon_lives(r)) {
        rcctl_spool_pause(watch, LOOK_MS);
    }
    return answer;
}

static int is_true(const cJSON *answer, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, name));
}

/* ---- Redis ----------------------------------------------------------------------------------- */

static int write_one(redisContext *c, const char *hash, const rcctl_write_t *w, char *err,
                     size_t err_size)
{
    redisReply *reply = rcctl_redis_reply(
        c, redisCommand(c, "EVAL %s 1 %s %b %b", rcd_scripts[RCD_SCRIPT_DIRECT], hash, w->field,
                        w->field_len, w->value, w->value_len), err, err_size);

    if (reply == NULL) {
        return -1;
    }
    freeReplyObject(reply);
    return 0;
}

/* 0 when Redis has all of it, or -1 with one line. */
static int write_redis(const rcctl_t *r, const rcctl_write_t *writes, unsigned n, char *err,
                       size_t err_size)
{
    char relief[JD_REDIS_NAME_MAX], stays[JD_REDIS_NAME_MAX];
    redisContext *c = rcctl_redis_open(r->config, err, err_size);
    int rc = 0;

    if (c == NULL) {
        return -1;
    }
    jd_redis_relief(relief, r->config->list);
    jd_redis_stays(stays, r->config->list);
    for (unsigned i = 0; i < n && rc == 0; i++) {
        rc = write_one(c, writes[i].of_order ? relief : stays, &writes[i], err, err_size);
    }
    redisFree(c);
    return rc;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* The daemon did not do it, or not all of it: what we can do ourselves. */
static void do_directly(const rcctl_t *r, const rcctl_write_t *writes, unsigned n, int noted,
                        rcctl_relieved_t *out)
{
    char err[256];

    if (write_redis(r, writes, n, err, sizeof(err)) == 0) {
        out->way = noted ? RCCTL_WAY_DIRECT : RCCTL_WAY_VOLATILE;
        return;
    }
    rcctl_error("%s", err);
    out->way = noted ? RCCTL_WAY_LATER : RCCTL_WAY_NONE;
}

static void refused(rcctl_relieved_t *out)
{
    const char *error = rcd_json_string(out->answer, "error");

    fputs("rcctl: refused: ", stderr);
    rcctl_text(stderr, error ? error : "no reason given");
    fputc('\n', stderr);
    out->way = RCCTL_WAY_REFUSED;
}

/* With the note on disk. */
static void relieve_noted(const rcctl_t *r, const char *name, int watch,
                          const rcctl_write_t *writes, unsigned n, rcctl_relieved_t *out)
{
    out->answer = ask_daemon(r, name, watch);
    if (out->answer == NULL) {
        do_directly(r, writes, n, 1, out);
        out->answer = rcctl_spool_answer(r, name);      /* it may have been slow, not dead */
    } else if (is_true(out->answer, "ok") && !is_true(out->answer, "redis")) {
        do_directly(r, writes, n, 1, out);
    }
    if (out->answer == NULL) {
        return;
    }
    rcctl_spool_done(r, name);
    out->taken = is_true(out->answer, "ok");
    if (!out->taken) {
        refused(out);
    } else if (is_true(out->answer, "redis")) {
        out->way = RCCTL_WAY_DAEMON;
    }
}

int rcctl_relieve(const rcctl_t *r, cJSON *command, const rcctl_write_t *writes,
                  const rcctl_write_t *fallback, unsigned n, rcctl_relieved_t *out)
{
    static const int codes[] = {
        [RCCTL_WAY_DAEMON] = RCCTL_OK,        [RCCTL_WAY_DIRECT] = RCCTL_DIRECT,
        [RCCTL_WAY_LATER] = RCCTL_LATER,      [RCCTL_WAY_VOLATILE] = RCCTL_VOLATILE,
        [RCCTL_WAY_REFUSED] = RCCTL_REFUSED,  [RCCTL_WAY_NONE] = RCCTL_UNREACHABLE,
    };
    double begun = now_ms();
    char name[RCCTL_NAME_MAX];
    int watch = rcctl_spool_watch(r);

    *out = (rcctl_relieved_t) {.way = RCCTL_WAY_NONE};
    if (leave_note(r, command, name) == 0) {
        relieve_noted(r, name, watch, writes, n, out);
    } else if (fallback != NULL) {
        do_directly(r, fallback, n, 0, out);
    }
    out->ms = now_ms() - begun;
    if (watch >= 0) {
        close(watch);
    }
    cJSON_Delete(command);
    return codes[out->way];
}

const char *rcctl_way_name(rcctl_way_t way)
{
    static const char *const names[] = {"daemon", "direct", "later", "volatile", "refused", "none"};

    return names[way];
}

void rcctl_way_print(const rcctl_relieved_t *done)
{
    switch (done->way) {
    case RCCTL_WAY_DAEMON:
        printf("in Redis after %.1f ms, by the daemon\n", done->ms);
        break;
    case RCCTL_WAY_DIRECT:
        printf("in Redis after %.1f ms, written directly; %s\n", done->ms,
               done->taken ? "the daemon has it in its journal, and did not reach Redis"
                           : "the daemon takes it up when it runs");
        break;
    case RCCTL_WAY_LATER:
        printf("NOT IN REDIS YET: it cannot be reached; kept on disk, and written as soon as it can\n");
        break;
    case RCCTL_WAY_VOLATILE:
        printf("in Redis after %.1f ms, written directly; NOT KEPT ON DISK: if Redis loses it, it is "
               "lost; give it again when the disk is mended\n", done->ms);
        break;
    case RCCTL_WAY_REFUSED:
    case RCCTL_WAY_NONE:
        break;
    }
}
