/*
 * rcd_spool - commands of rcctl, by files: {state dir}/inbox to us, {state dir}/outbox back.
 *
 * A command is answered "running" before its file is removed and before anything is done, so that
 * it is never done twice; what a killed daemon leaves "running" is answered as failed by the next.
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
#include <time.h>
#include <unistd.h>
#include "rcd_audit.h"
#include "rcd_brake.h"
#include "rcd_clock.h"
#include "rcd_file.h"
#include "rcd_json.h"
#include "rcd_spool_parts.h"

#define COMMAND_MAX   4096
#define LEFTOVER_SEC  60                  /* untouched for so long, and no command: nobody writes it any more */

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

/* Names that cannot leave the directory. */
int rcd_spool_name_ok(const char *name)
{
    size_t len = name == NULL ? 0 : strlen(name);

    return len > 0 && len <= RCD_SPOOL_NAME_MAX && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

static int is_command(const char *name)
{
    size_t len = strlen(name);

    return rcd_spool_name_ok(name) && len > 5 && strcmp(name + len - 5, ".json") == 0;
}

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

/* Done at once. */
static const struct {
    const char     *name;
    rcd_command_pt  run;
} commands[] = {
    {"approve-epoch", approve_epoch},
    {"brake-release", rcd_brake_command},
    {"note", note},
};

/* Commands that go on step by step, in the place of an import. */
static const struct {
    const char *name;
    void      (*run)(rcd_spool_t *s, const char *name, const cJSON *command);
} long_commands[] = {
    {"import", rcd_spool_import},
    {"holders", rcd_spool_holders},
    {"approve-holders", rcd_spool_holders_approve},
};

static void command_run(rcd_spool_t *s, const char *name, const cJSON *command)
{
    const char *cmd = rcd_json_string(command, "cmd"), *why;
    cJSON *answer;

    s->env.user = rcd_json_string(command, "user");
    if (cmd == NULL || s->env.user == NULL) {
        rcd_spool_failed(s, name, "not a command: cmd and user are needed");
        return;
    }
    for (size_t i = 0; i < sizeof(long_commands) / sizeof(long_commands[0]); i++) {
        if (strcmp(cmd, long_commands[i].name) == 0) {
            long_commands[i].run(s, name, command);
            return;
        }
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(cmd, commands[i].name) != 0) {
            continue;
        }
        answer = rcd_spool_answer_new();
        rcd_audit_actor(s->env.state, s->env.user);
        why = commands[i].run(&s->env, command, answer);
        rcd_audit_actor(s->env.state, NULL);
        if (why == NULL) {
            rcd_spool_answer(s, name, answer);
        } else {
            cJSON_Delete(answer);
            rcd_spool_failed(s, name, why);
        }
        return;
    }
    rcd_spool_failed(s, name, "unknown command");
}

static void command_take(rcd_spool_t *s, const char *name)
{
    char path[RCD_SPOOL_PATH], err[RCD_SPOOL_PATH + 200];
    const char *why;
    cJSON *command;
    size_t len;
    char *text;

    snprintf(path, sizeof(path), "%s/%s", s->inbox, name);
    text = rcd_file_read(path, COMMAND_MAX, 0, &len, err, sizeof(err));
    rcd_spool_running(s, name, 0, 0);
    unlink(path);
    command = text == NULL ? NULL : rcd_json_parse(text, len, &why);
    if (command == NULL) {
        rcd_spool_failed(s, name, text == NULL ? err : why);
    } else {
        command_run(s, name, command);
    }
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(command, "unanswered"))) {
        snprintf(path, sizeof(path), "%s/%s", s->outbox, name);
        unlink(path);                         /* nobody waits for it */
    }
    cJSON_Delete(command);
    free(text);
}

/* What a killed rcctl left: records that no command names. They hold identifiers, so they do not stay. */
static void leftovers_remove(rcd_spool_t *s)
{
    DIR *dir = opendir(s->inbox);
    char path[RCD_SPOOL_PATH];
    struct dirent *e;
    struct stat st;

    while (dir != NULL && (e = readdir(dir)) != NULL) {
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(st.st_mode) || st.st_mtime > time(NULL) - LEFTOVER_SEC) {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s", s->inbox, e->d_name);
        if (unlink(path) == 0) {
            rcd_log(RCD_LOG_NOTICE, "inbox: a file without its command removed");
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

static void inbox_scan(rcd_spool_t *s)
{
    DIR *dir = opendir(s->inbox);
    int n_commands = 0, n_others = 0;
    struct dirent *e;

    while (dir != NULL && s->import.answer[0] == '\0' && (e = readdir(dir)) != NULL) {
        if (is_command(e->d_name)) {
            n_commands++;
            command_take(s, e->d_name);
        } else {
            n_others += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    if (n_commands == 0 && n_others > 0) {
        leftovers_remove(s);
    }
}

int rcd_spool_step(rcd_spool_t *s)
{
    rcd_import_t *im = &s->import;

    if (im->answer[0] == '\0') {
        inbox_scan(s);
    } else if (im->copying) {
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
        if (!is_command(e->d_name)) {
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

static int directory_make(char path[PATH_MAX], const char *dir, const char *name, char *err,
                          size_t err_size)
{
    if (snprintf(path, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX ||
        (mkdir(path, 0700) != 0 && errno != EEXIST)) {
        snprintf(err, err_size, "%s/%s: %s", dir, name, strerror(errno));
        return -1;
    }
    return 0;
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
    if (directory_make(s->inbox, config->state_dir, "inbox", err, err_size) != 0 ||
        directory_make(s->outbox, config->state_dir, "outbox", err, err_size) != 0) {
        free(s);
        return NULL;
    }
    outbox_settle(s);
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
    free(s);
}

void rcd_spool_rebind(rcd_spool_t *s, const rcd_config_t *config, rcd_redis_t *redis,
                      rcd_feed_t *feed)
{
    s->env.config = config;
    s->env.redis = redis;
    s->env.feed = feed;
}
