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
#include "rcd_jws.h"
#include "rcd_records.h"
#include "rcd_spool.h"

#define COMMAND_MAX   4096
#define NAME_MAX_LEN  100
#define COPY_BYTES    (256 * 1024)        /* of a signed file copied and hashed in one step */
#define FILE_PATH_MAX (PATH_MAX + NAME_MAX + 2)
#define LEFTOVER_SEC  60                  /* untouched for so long, and no command: nobody writes it any more */
#define TYP_SNAPSHOT  "jd-snapshot+jwt"

typedef struct {
    /* file name of command and answer; "" = no import at work */
    char           answer[NAME_MAX_LEN + 1];
    int            fd;                    /* the file, nameless by now; -1 = none */
    int            copying;
    int            applying;
    int            holders;               /* links of holders, which rcd_holders reads */
    char           user[64];              /* who gave the command */
    rcd_snapshot_claims_t claims;         /* of a signed file */
    rcd_records_t *records;               /* its records; NULL for an unsigned file */
} import_t;

struct rcd_spool_s {
    rcd_command_t       env;
    char                inbox[PATH_MAX];
    char                outbox[PATH_MAX];
    import_t            import;
};

/* ---- answers --------------------------------------------------------------------------------- */

/* Takes `answer` over. */
static void answer_write(rcd_spool_t *s, const char *name, cJSON *answer)
{
    char path[FILE_PATH_MAX];
    char *text = cJSON_PrintUnformatted(answer);

    snprintf(path, sizeof(path), "%s/%s", s->outbox, name);
    if (text == NULL || rcd_file_replace(path, text, strlen(text)) != 0) {
        rcd_log(RCD_LOG_ERROR, "outbox: an answer cannot be written: %s", strerror(errno));
    }
    free(text);
    cJSON_Delete(answer);
}

static void answer_running(rcd_spool_t *s, const char *name, uint64_t done, uint64_t total)
{
    cJSON *a = cJSON_CreateObject();

    cJSON_AddStringToObject(a, "state", "running");
    cJSON_AddNumberToObject(a, "done", (double) done);
    cJSON_AddNumberToObject(a, "total", (double) total);
    answer_write(s, name, a);
}

static void answer_failed(rcd_spool_t *s, const char *name, const char *error)
{
    cJSON *a = cJSON_CreateObject();

    cJSON_AddStringToObject(a, "state", "done");
    cJSON_AddFalseToObject(a, "ok");
    cJSON_AddStringToObject(a, "error", error);
    answer_write(s, name, a);
}

/* "done, well": members may be added. */
static cJSON *answer_new(void)
{
    cJSON *a = cJSON_CreateObject();

    cJSON_AddStringToObject(a, "state", "done");
    cJSON_AddTrueToObject(a, "ok");
    return a;
}

static void answer_imported(rcd_spool_t *s, const char *name, const rcd_snapshot_counts_t *counts)
{
    cJSON *a = answer_new();

    cJSON_AddNumberToObject(a, "applied", (double) counts->applied);
    cJSON_AddNumberToObject(a, "quarantined", (double) counts->quarantined);
    cJSON_AddNumberToObject(a, "unchanged", (double) counts->unchanged);
    answer_write(s, name, a);
}

/* ---- imports --------------------------------------------------------------------------------- */

static void import_release(import_t *im)
{
    if (im->fd >= 0) {
        close(im->fd);
    }
    rcd_records_destroy(im->records);
    memset(im, 0, sizeof(*im));
    im->fd = -1;
}

static void import_failed(rcd_spool_t *s, const char *why)
{
    rcd_log(RCD_LOG_WARN, "import: %s", why);
    answer_failed(s, s->import.answer, why);
    import_release(&s->import);
}

static int import_record(rcd_spool_t *s, const rcd_snapshot_counts_t *counts)
{
    const import_t *im = &s->import;
    rcd_state_t *state = s->env.state;
    cJSON *fields = cJSON_CreateObject();

    cJSON_AddStringToObject(fields, "user", im->user);
    cJSON_AddBoolToObject(fields, "signed", im->records != NULL);
    cJSON_AddNumberToObject(fields, "applied", (double) counts->applied);
    cJSON_AddNumberToObject(fields, "unchanged", (double) counts->unchanged);
    cJSON_AddNumberToObject(fields, "quarantined", (double) counts->quarantined);
    return rcd_audit_alone(state, "import", fields);
}

static void on_imported(void *owner, const rcd_snapshot_counts_t *counts, const char *err)
{
    rcd_spool_t *s = owner;

    if (counts == NULL) {
        import_failed(s, err);
        return;
    }
    rcd_log(RCD_LOG_NOTICE, "import: %" PRIu64 " written, %" PRIu64 " unchanged, %" PRIu64
                            " quarantined",
            counts->applied, counts->unchanged, counts->quarantined);
    if (import_record(s, counts) != 0) {
        rcd_log(RCD_LOG_ERROR, "import: not in the audit chain");
    }
    answer_imported(s, s->import.answer, counts);
    import_release(&s->import);
}

/* The file is whole and, if signed, verified. Waits while a snapshot of the feed is applied. */
static void import_apply(rcd_spool_t *s)
{
    import_t *im = &s->import;
    char path[32], err[256];
    const char *why;

    if (s->env.applier->sn != NULL || im->holders) {
        return;
    }
    if (im->records != NULL) {
        why = rcd_records_verify(im->records, &im->claims);
        if (why != NULL) {
            import_failed(s, why);
            return;
        }
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", im->fd);
    im->applying = 1;
    if (rcd_applier_begin(s->env.applier, s->env.state, &s->env.config->rules,
                          im->records != NULL ? rcd_records_path(im->records) : path,
                          im->records != NULL ? &im->claims.head : NULL, rcd_clock_wall(),
                          on_imported, s, err, sizeof(err)) != 0) {
        import_failed(s, err);
    }
}

/* The first line of a signed file is a snapshot's statement. Reads it and nothing more. */
static const char *statement_read(rcd_spool_t *s)
{
    const rcd_config_t *config = s->env.config;
    rcd_party_t party = {config->office.iss, config->office.aud, config->list};
    import_t *im = &s->import;
    int64_t now = rcd_clock_wall();
    const char *why = "its first line is not a compact JWS";
    char *text = malloc(RCD_JWS_MAX + 1), *end;
    rcd_jws_rc_t rc;
    rcd_jws_t jws;
    ssize_t n;

    n = text == NULL ? -1 : pread(im->fd, text, RCD_JWS_MAX + 1, 0);
    end = n <= 0 ? NULL : memchr(text, '\n', (size_t) n);
    if (end != NULL && lseek(im->fd, end + 1 - text, SEEK_SET) >= 0) {
        rc = rcd_jws_verify(config->jwks, text, (size_t) (end - text), TYP_SNAPSHOT, now, &jws);
        if (rc != RCD_JWS_OK) {
            why = rcd_jws_reasons[rc];
        } else if (jws.key->relief_only) {
            why = "the key is fit for relief only";
        } else {
            why = rcd_snapshot_parse(jws.payload, jws.payload_len, &party, now, &im->claims);
        }
        rcd_jws_fini(&jws);
    }
    free(text);
    return why;
}

/* Copies a slice of a signed file's records, hashing it. */
static void import_copy(rcd_spool_t *s)
{
    static char buf[COPY_BYTES];
    import_t *im = &s->import;
    ssize_t n = read(im->fd, buf, sizeof(buf));

    if (n < 0 || rcd_records_write(im->records, buf, (size_t) n) != 0) {
        import_failed(s, strerror(errno));
        return;
    }
    im->copying = n > 0;
}

/* Opens the file to import, which loses its name. 0, or -1 and the command is answered. */
static int import_open(rcd_spool_t *s, const char *name, const char *file)
{
    char path[FILE_PATH_MAX];
    import_t *im = &s->import;
    struct stat st;

    snprintf(im->answer, sizeof(im->answer), "%s", name);
    snprintf(path, sizeof(path), "%s/%s", s->inbox, file);
    im->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (im->fd < 0 || fstat(im->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        import_failed(s, "the file to import is not a regular file in inbox");
        return -1;
    }
    unlink(path);
    return 0;
}

static void import_begin(rcd_spool_t *s, const char *name, const char *file, int is_signed)
{
    import_t *im = &s->import;
    const char *why;

    if (import_open(s, name, file) != 0) {
        return;
    }
    if (!is_signed) {
        return;
    }

    why = statement_read(s);
    if (why != NULL) {
        import_failed(s, why);
        return;
    }
    im->records = rcd_records_create(s->env.config->state_dir);
    if (im->records == NULL) {
        import_failed(s, strerror(errno));
        return;
    }
    im->copying = 1;
}

/* ---- commands -------------------------------------------------------------------------------- */

/* Names that cannot leave the directory. */
static int name_ok(const char *name)
{
    size_t len = name == NULL ? 0 : strlen(name);

    return len > 0 && len <= NAME_MAX_LEN && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

static int is_command(const char *name)
{
    size_t len = strlen(name);

    return name_ok(name) && len > 5 && strcmp(name + len - 5, ".json") == 0;
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

static void import_command(rcd_spool_t *s, const char *name, const cJSON *command)
{
    const char *file = rcd_json_string(command, "file");
    const cJSON *is_signed = cJSON_GetObjectItemCaseSensitive(command, "signed");

    if (!name_ok(file) || !cJSON_IsBool(is_signed)) {
        answer_failed(s, name, "import needs file and signed");
        return;
    }
    rcd_log(RCD_LOG_NOTICE, "import of a%s file by %s",
            cJSON_IsTrue(is_signed) ? " signed" : "n unsigned", s->env.user);
    snprintf(s->import.user, sizeof(s->import.user), "%s", s->env.user);
    import_begin(s, name, file, cJSON_IsTrue(is_signed));
}

/* ---- holders --------------------------------------------------------------------------------- */

/* Takes nothing over: members are copied. Refused lines are told with a refusal, too. */
static void on_holders(void *owner, cJSON *told, const char *why)
{
    rcd_spool_t *s = owner;
    cJSON *a = why == NULL ? answer_new() : cJSON_CreateObject(), *m;

    if (why != NULL) {
        cJSON_AddStringToObject(a, "state", "done");
        cJSON_AddFalseToObject(a, "ok");
        cJSON_AddStringToObject(a, "error", why);
    }
    cJSON_ArrayForEach(m, told) {
        cJSON_AddItemToObject(a, m->string, cJSON_Duplicate(m, 1));
    }
    answer_write(s, s->import.answer, a);
    import_release(&s->import);
}

static int holders_how(const char *name)
{
    for (int i = 0; name != NULL && i < RCD_LINKS_NARROWED; i++) {
        if (strcmp(name, rcd_links_how_names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static void holders_command(rcd_spool_t *s, const char *name, const cJSON *command)
{
    const char *file = rcd_json_string(command, "file");
    int how = holders_how(rcd_json_string(command, "how")), fd;
    import_t *im = &s->import;
    char err[256];

    if (!name_ok(file) || how < 0) {
        answer_failed(s, name, "holders needs file and how");
        return;
    }
    if (import_open(s, name, file) != 0) {
        return;
    }
    rcd_log(RCD_LOG_NOTICE, "holders: %s by %s", rcd_links_how_names[how], s->env.user);
    fd = im->fd;
    im->fd = -1;
    im->holders = im->applying = 1;
    if (rcd_holders_begin(s->env.holders, (rcd_links_how_t) how, fd, s->env.user, on_holders, s,
                          err, sizeof(err)) != 0) {
        import_failed(s, err);
    }
}

static void holders_approve(rcd_spool_t *s, const char *name, const cJSON *command)
{
    const char *hash = rcd_json_string(command, "hash");
    char err[256];

    snprintf(s->import.answer, sizeof(s->import.answer), "%s", name);
    s->import.holders = s->import.applying = 1;
    if (rcd_holders_approve(s->env.holders, hash != NULL ? hash : "", s->env.user, on_holders, s,
                            err, sizeof(err)) != 0) {
        import_failed(s, err);
    }
}

/* Commands that go on step by step, in the place of an import. */
static const struct {
    const char *name;
    void      (*run)(rcd_spool_t *s, const char *name, const cJSON *command);
} long_commands[] = {
    {"import", import_command},
    {"holders", holders_command},
    {"approve-holders", holders_approve},
};

static void command_run(rcd_spool_t *s, const char *name, const cJSON *command)
{
    const char *cmd = rcd_json_string(command, "cmd"), *why;
    cJSON *answer;

    s->env.user = rcd_json_string(command, "user");
    if (cmd == NULL || s->env.user == NULL) {
        answer_failed(s, name, "not a command: cmd and user are needed");
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
        answer = answer_new();
        rcd_audit_actor(s->env.state, s->env.user);
        why = commands[i].run(&s->env, command, answer);
        rcd_audit_actor(s->env.state, NULL);
        if (why == NULL) {
            answer_write(s, name, answer);
        } else {
            cJSON_Delete(answer);
            answer_failed(s, name, why);
        }
        return;
    }
    answer_failed(s, name, "unknown command");
}

static void command_take(rcd_spool_t *s, const char *name)
{
    char path[FILE_PATH_MAX], err[FILE_PATH_MAX + 200];
    const char *why;
    cJSON *command;
    size_t len;
    char *text;

    snprintf(path, sizeof(path), "%s/%s", s->inbox, name);
    text = rcd_file_read(path, COMMAND_MAX, 0, &len, err, sizeof(err));
    answer_running(s, name, 0, 0);
    unlink(path);
    command = text == NULL ? NULL : rcd_json_parse(text, len, &why);
    if (command == NULL) {
        answer_failed(s, name, text == NULL ? err : why);
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
    char path[FILE_PATH_MAX];
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
    import_t *im = &s->import;

    if (im->answer[0] == '\0') {
        inbox_scan(s);
    } else if (im->copying) {
        import_copy(s);
    } else if (!im->applying) {
        import_apply(s);
    } else if (im->holders) {
        uint64_t done, total;

        rcd_holders_progress(s->env.holders, &done, &total);
        answer_running(s, im->answer, done, total);
    } else {
        answer_running(s, im->answer, s->env.applier->n_done, s->env.applier->n_total);
    }
    return im->copying;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* What a killed daemon had under way. */
static void outbox_settle(rcd_spool_t *s)
{
    char path[FILE_PATH_MAX], err[FILE_PATH_MAX + 200];
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
            answer_failed(s, e->d_name, "the daemon ended before this was done; try again");
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
        import_failed(s, "the daemon ends; try again");
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
