/*
 * rcd_spool - commands of rcctl, by files: {state dir}/inbox to us, {state dir}/outbox back.
 *
 * A command is answered "running" before its file is removed and before anything is done, so that
 * it is never done twice; what a killed daemon leaves "running" is answered as failed by the next.
 * A durable command (a stay, an objection) goes the other way round: its file is removed when it is
 * in the journal, and run again by the next daemon when this one is killed before; it has a ref, so
 * that twice is once.
 * Files to import hold raw identifiers: they lose their name when they are opened, or when no
 * command comes for them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "rcd_audit.h"
#include "rcd_box.h"
#include "rcd_brake.h"
#include "rcd_clock.h"
#include "rcd_file.h"
#include "rcd_hold.h"
#include "rcd_json.h"
#include "rcd_relief_command.h"
#include "rcd_spool_parts.h"

#define COMMAND_MAX   16384
#define TRIM_MS       60000               /* between two looks for answers that nobody fetched */

const char rcd_command_later[] = "";

/* ---- answers --------------------------------------------------------------------------------- */

/* Takes `answer` over. */
void rcd_spool_answer(rcd_spool_t *s, const char *name, cJSON *answer)
{
    char path[RCD_SPOOL_PATH];
    char *text = cJSON_PrintUnformatted(answer);

    snprintf(path, sizeof(path), "%s/%s", s->outbox, name);
    if (text == NULL || rcd_file_replace(path, text, strlen(text)) != 0) {
        rcd_log(RCD_LOG_ERROR, "outbox: an answer cannot be written: %s", strerror(errno));
    }
    free(text);
    cJSON_Delete(answer);
}

void rcd_spool_running(rcd_spool_t *s, const char *name, uint64_t done, uint64_t total)
{
    cJSON *a = cJSON_CreateObject();

    cJSON_AddStringToObject(a, "state", "running");
    cJSON_AddNumberToObject(a, "done", (double) done);
    cJSON_AddNumberToObject(a, "total", (double) total);
    rcd_spool_answer(s, name, a);
}

void rcd_spool_failed(rcd_spool_t *s, const char *name, const char *error)
{
    cJSON *a = cJSON_CreateObject();

    cJSON_AddStringToObject(a, "state", "done");
    cJSON_AddFalseToObject(a, "ok");
    cJSON_AddStringToObject(a, "error", error);
    rcd_spool_answer(s, name, a);
}

/* "done, well": members may be added. */
cJSON *rcd_spool_answer_new(void)
{
    cJSON *a = cJSON_CreateObject();

    cJSON_AddStringToObject(a, "state", "done");
    cJSON_AddTrueToObject(a, "ok");
    return a;
}

/* ---- commands -------------------------------------------------------------------------------- */

static const char *approve_epoch(rcd_command_t *c, const cJSON *command, cJSON *answer)
{
    uint64_t epoch;

    (void) answer;
    if (rcd_json_uint(command, "epoch", RCD_EPOCH_MAX, &epoch) != 1) {
        return "epoch is not 0..65535";
    }
    if (rcd_state_approve_epoch(c->state, (uint32_t) epoch, c->err, sizeof(c->err)) != 0) {
        return c->err;
    }
    rcd_log(RCD_LOG_NOTICE, "epoch %" PRIu64 " approved by %s", epoch, c->user);
    rcd_feed_hurry(c->feed);
    return NULL;
}

/* Who looked at somebody's orders, and by which command; never at whose. */
static const char *note(rcd_command_t *c, const cJSON *command, cJSON *answer)
{
    static const char *const kinds[] = {"check", "explain", "holder-report"};
    const char *kind = rcd_json_string(command, "kind");

    (void) answer;
    for (size_t i = 0; kind != NULL && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kind, kinds[i]) == 0) {
            return rcd_audit_alone(c->state, kind, NULL) < 0 ? "the journal cannot be written"
                                                             : NULL;
        }
    }
    return "kind is none that is noted";
}

/* What waits is approved; it is applied step by step afterwards. */
static const char *approve(rcd_command_t *c, const cJSON *command, cJSON *answer)
{
    const char *hash = rcd_json_string(command, "hash");
    int first = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(command, "first"));

    if (hash == NULL) {
        return "approve needs the hash of what waits";
    }
    if (rcd_hold_approve(c->state, hash, first, c->user, c->err, sizeof(c->err)) != 0) {
        return c->err;
    }
    cJSON_AddStringToObject(answer, "hash", rcd_hold_waits(c->state)->hash);
    rcd_log(RCD_LOG_NOTICE, "snapshot %s approved by %s", rcd_hold_waits(c->state)->hash, c->user);
    rcd_feed_hurry(c->feed);
    return NULL;
}

static const char *reject(rcd_command_t *c, const cJSON *command, cJSON *answer)
{
    const char *hash = rcd_json_string(command, "hash");

    (void) answer;
    if (hash == NULL) {
        return "reject needs the hash of what waits";
    }
    if (rcd_hold_reject(c->state, hash, c->user, c->err, sizeof(c->err)) != 0) {
        return c->err;
    }
    rcd_log(RCD_LOG_NOTICE, "the snapshot that waited was rejected by %s; a fresh one is fetched",
            c->user);
    rcd_feed_hurry(c->feed);
    return NULL;
}

typedef struct {
    const char     *name;
    rcd_command_pt  run;
    int             durable;
} command_t;

/* Done at once. */
static const command_t commands[] = {
    {"approve-epoch", approve_epoch, 0},
    {"brake-release", rcd_brake_command, 0},
    {"note", note, 0},
    {"approve", approve, 0},
    {"reject", reject, 0},
    {"stay", rcd_command_stay, 1},
    {"unstay", rcd_command_unstay, 0},
    {"objection", rcd_command_objection, 1},
    {"objection-end", rcd_command_objection_end, 0},
};

/* NULL when there is none of this name, or no command at all. */
static const command_t *command_find(const cJSON *command)
{
    const char *cmd = rcd_json_string(command, "cmd");

    for (size_t i = 0; cmd != NULL && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(cmd, commands[i].name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

typedef void (*long_command_pt)(rcd_spool_t *s, const char *name, const cJSON *command);

/* Commands that go on step by step, in the place of an import: one at a time, in which others wait. */
static const struct {
    const char      *name;
    long_command_pt  run;
} long_commands[] = {
    {"import", rcd_spool_import},
    {"holders", rcd_spool_holders},
    {"approve-holders", rcd_spool_holders_approve},
};

/* NULL when it is none of them. */
static long_command_pt long_command_find(const cJSON *command)
{
    const char *cmd = rcd_json_string(command, "cmd");

    for (size_t i = 0; cmd != NULL && i < sizeof(long_commands) / sizeof(long_commands[0]); i++) {
        if (strcmp(cmd, long_commands[i].name) == 0) {
            return long_commands[i].run;
        }
    }
    return NULL;
}

/* Returns 0 when the command is to be run again. */
static int command_run(rcd_spool_t *s, const char *name, const cJSON *command)
{
    long_command_pt is_long = long_command_find(command);
    const command_t *known = command_find(command);
    cJSON *answer;
    const char *why;

    s->env.user = rcd_json_string(command, "user");
    if (rcd_json_string(command, "cmd") == NULL || s->env.user == NULL) {
        rcd_spool_failed(s, name, "not a command: cmd and user are needed");
    } else if (is_long != NULL) {
        is_long(s, name, command);
    } else if (known == NULL) {
        rcd_spool_failed(s, name, "unknown command");
    } else {
        answer = rcd_spool_answer_new();
        rcd_audit_actor(s->env.state, s->env.user);
        why = known->run(&s->env, command, answer);
        rcd_audit_actor(s->env.state, NULL);
        if (why == NULL) {
            rcd_spool_answer(s, name, answer);
            return 1;
        }
        cJSON_Delete(answer);
        if (why == rcd_command_later) {
            return 0;
        }
        rcd_spool_failed(s, name, why);
    }
    return 1;
}

static void command_take(rcd_spool_t *s, const char *name)
{
    char path[RCD_SPOOL_PATH], err[RCD_SPOOL_PATH + 200];
    const command_t *known;
    const char *why;
    cJSON *command;
    size_t len;
    char *text;

    snprintf(path, sizeof(path), "%s/%s", s->inbox, name);
    text = rcd_file_read(path, COMMAND_MAX, 0, &len, err, sizeof(err));
    command = text == NULL ? NULL : rcd_json_parse(text, len, &why);
    known = command_find(command);
    if (command == NULL) {
        unlink(path);
        rcd_spool_failed(s, name, text == NULL ? err : why);
    } else if (known != NULL && known->durable) {
        if (command_run(s, name, command)) {
            unlink(path);
        }
    } else if (long_command_find(command) == NULL || s->import.answer[0] == '\0') {
        rcd_spool_running(s, name, 0, 0);
        unlink(path);
        command_run(s, name, command);
    }
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(command, "unanswered"))) {
        snprintf(path, sizeof(path), "%s/%s", s->outbox, name);
        unlink(path);                         /* nobody waits for it */
    }
    cJSON_Delete(command);
    free(text);
}

static void inbox_scan(rcd_spool_t *s)
{
    DIR *dir = opendir(s->inbox);
    int n_commands = 0, n_others = 0;
    struct dirent *e;

    while (dir != NULL && (e = readdir(dir)) != NULL) {
        if (rcd_box_is_command(e->d_name)) {
            n_commands++;
            command_take(s, e->d_name);
        } else {
            n_others += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    if (n_commands == 0 && n_others > 0 && s->import.answer[0] == '\0') {
        /* a killed rcctl's records: they hold identifiers, so they do not stay */
        rcd_box_trim(s->inbox, "", "inbox: a file without its command");
    }
}

int rcd_spool_step(rcd_spool_t *s)
{
    rcd_import_t *im = &s->import;

    inbox_scan(s);
    if (rcd_clock_ms() >= s->trim_due_ms) {
        /* answers of a killed rcctl, or of a command left for us while we were away */
        rcd_box_trim(s->outbox, im->answer, NULL);
        s->trim_due_ms = rcd_clock_ms() + TRIM_MS;
    }
    if (im->answer[0] == '\0') {
        return 0;
    }
    if (im->copying) {
        rcd_spool_import_copy(s);
    } else if (!im->applying) {
        rcd_spool_import_apply(s);
    } else if (im->holders) {
        uint64_t done, total;

        rcd_holders_progress(s->env.holders, &done, &total);
        rcd_spool_running(s, im->answer, done, total);
    } else {
        rcd_spool_running(s, im->answer, s->env.applier->n_done, s->env.applier->n_total);
    }
    return im->copying;
}

int rcd_spool_fd(const rcd_spool_t *s)
{
    return s->notify_fd;
}

int rcd_spool_news(rcd_spool_t *s)
{
    return rcd_box_news(s->notify_fd);
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* What a killed daemon had under way. */
static void outbox_settle(rcd_spool_t *s)
{
    char path[RCD_SPOOL_PATH], err[RCD_SPOOL_PATH + 200];
    DIR *dir = opendir(s->outbox);
    struct dirent *e;
    size_t len;
    char *text;

    while (dir != NULL && (e = readdir(dir)) != NULL) {
        if (!rcd_box_is_command(e->d_name)) {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s", s->outbox, e->d_name);
        text = rcd_file_read(path, COMMAND_MAX, 0, &len, err, sizeof(err));
        if (text != NULL && strstr(text, "\"running\"") != NULL) {
            rcd_spool_failed(s, e->d_name, "the daemon ended before this was done; try again");
        }
        free(text);
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

rcd_spool_t *rcd_spool_create(const rcd_config_t *config, rcd_state_t *state,
                              rcd_applier_t *applier, rcd_holders_t *holders,
                              rcd_redis_t *redis, rcd_feed_t *feed, char *err, size_t err_size)
{
    rcd_spool_t *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        snprintf(err, err_size, "out of memory");
        return NULL;
    }
    s->env.state = state;
    s->env.applier = applier;
    s->env.holders = holders;
    s->import.fd = -1;
    rcd_spool_rebind(s, config, redis, feed);
    if (rcd_box_make(s->inbox, config->state_dir, "inbox", err, err_size) != 0 ||
        rcd_box_make(s->outbox, config->state_dir, "outbox", err, err_size) != 0) {
        free(s);
        return NULL;
    }
    outbox_settle(s);
    s->trim_due_ms = rcd_clock_ms() + TRIM_MS;
    s->notify_fd = rcd_box_watch(s->inbox);
    return s;
}

void rcd_spool_destroy(rcd_spool_t *s)
{
    if (s == NULL) {
        return;
    }
    if (s->import.answer[0] != '\0' && !s->import.holders) {
        rcd_spool_import_failed(s, "the daemon ends; try again");
    }
    if (s->notify_fd >= 0) {
        close(s->notify_fd);
    }
    free(s);
}

void rcd_spool_rebind(rcd_spool_t *s, const rcd_config_t *config, rcd_redis_t *redis,
                      rcd_feed_t *feed)
{
    s->env.config = config;
    s->env.redis = redis;
    s->env.feed = feed;
}
