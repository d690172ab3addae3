/*
 * history_daemon - the daemon of history_driver: its state directory, and its own code called as rcd_main and
 * rcd_feed call it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "history.h"
#include "rcd_clock.h"
#include "rcd_hold.h"
#include "rcd_holders.h"
#include "rcd_relief_command.h"
#include "rcd_stay.h"
#include "rcd_state.h"
#include "rcd_store.h"

#define LIST         "credit"
#define STEPS_MAX    64                /* of one write; more is a daemon that never rests */
#define STANDBY      8                 /* steps in which another writer's beat stands still */
#define PATH_SIZE    512

static struct {
    rcd_config_t   config;
    rcd_state_t   *state;              /* NULL: the daemon is down */
    rcd_redis_t   *writer;
    rcd_holders_t *holders;
    rcd_clock_t    clock;
    char           dir[PATH_SIZE], backup[PATH_SIZE], address[PATH_SIZE + 8];
    void          *journal;            /* a new one, as a file */
    size_t         journal_len;
} d;

jd_key_t history_key;

static char *authority[] = {(char *) "Office"};

/* ---- files ----------------------------------------------------------------------------------------- */

static void remove_files(const char *dir)
{
    char path[2 * PATH_SIZE];
    struct dirent *e;
    DIR *in = opendir(dir);

    while (in != NULL && (e = readdir(in)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        unlink(path);
    }
    if (in != NULL) {
        closedir(in);
    }
}

static void *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "re");
    struct stat st;
    char *bytes;

    if (f == NULL || fstat(fileno(f), &st) != 0) {
        history_fail(path);
    }
    bytes = malloc((size_t) st.st_size + 1);
    if (bytes == NULL || fread(bytes, 1, (size_t) st.st_size, f) != (size_t) st.st_size) {
        history_fail(path);
    }
    fclose(f);
    *len = (size_t) st.st_size;
    return bytes;
}

static void write_file(const char *path, const void *bytes, size_t len)
{
    FILE *f = fopen(path, "we");

    if (f == NULL || fwrite(bytes, 1, len, f) != len || fclose(f) != 0) {
        history_fail(path);
    }
}

static void copy_files(const char *from, const char *to)
{
    char path[2 * PATH_SIZE];
    struct dirent *e;
    DIR *in = opendir(from);

    remove_files(to);
    while (in != NULL && (e = readdir(in)) != NULL) {
        struct stat st;
        size_t len;
        void *bytes;

        snprintf(path, sizeof(path), "%s/%s", from, e->d_name);
        if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode) || strstr(e->d_name, "-wal") != NULL ||
            strstr(e->d_name, "-shm") != NULL) {
            continue;
        }
        bytes = read_file(path, &len);
        snprintf(path, sizeof(path), "%s/%s", to, e->d_name);
        write_file(path, bytes, len);
        free(bytes);
    }
    if (in != NULL) {
        closedir(in);
    }
}

/* ---- the daemon ------------------------------------------------------------------------------------ */

static void set_rules(void)
{
    uint8_t raw[16];

    for (int i = 0; i < 16; i++) {
        raw[i] = (uint8_t) i;
    }
    jd_key_init(&history_key, "k1", raw);
    d.config.rules.key = &history_key;
    for (int i = 0; i < JD_MEASURE_N; i++) {
        d.config.rules.rule[i] = (rcd_measure_rule_t){
            .enabled = 1, .legal_source = (char *) "test", .authorities = authority,
            .n_authorities = 1, .max_term_sec = JD_TERM_MAX_SEC};
    }
}

static void stop(void)
{
    if (d.state == NULL) {
        return;
    }
    rcd_redis_destroy(d.writer);
    rcd_holders_destroy(d.holders);
    rcd_clock_fini(&d.clock);
    rcd_state_close(d.state);
    d.state = NULL;
    d.writer = NULL;
}

static void start(void)
{
    rcd_redis_conf_t conf = {.address = d.address, .list = LIST, .expected = 1,
                             .rules = &d.config.rules};
    rcd_marks_t marks;
    char err[256];

    d.state = rcd_state_open(d.dir, LIST, err, sizeof(err));
    if (d.state == NULL) {
        history_fail(err);
    }
    /* nobody else reads it: without the locks that rcctl needs it is twice as fast */
    sqlite3_exec(d.state->db, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL);
    mutate_start(d.state);
    rcd_state_marks(d.state, &marks);
    rcd_clock_init(&d.clock, d.dir, marks.head_iat);
    d.writer = rcd_redis_create(&conf, d.state);
    d.holders = rcd_holders_create(&d.config, d.state);
    if (d.writer == NULL || d.holders == NULL) {
        history_fail("the daemon does not start");
    }
}

void history_daemon_tick(void)
{
    if (d.state != NULL) {
        while (rcd_state_tick(d.state, history_now + history_wall_daemon,
                              rcd_clock_office(&d.clock)) > 0) {
        }
        mutate_tick(d.state, history_now, history_redis);
    }
}

static int writer_step(void)
{
    history_mono_ms += 1100;
    return rcd_redis_step(d.writer, history_now + history_wall_daemon, rcd_clock_office(&d.clock));
}

/* Until it rests twice; a writer that stands by is given the time to take over. */
static void write_all(void)
{
    int rested = 0, standby = 0, n = 0;
    rcd_redis_status_t st = {.state = "restless"};

    while (n++ < STEPS_MAX && rested < 2) {
        rested = writer_step() > 0 ? rested + 1 : 0;
        if (rested == 0) {
            continue;
        }
        rcd_redis_status(d.writer, &st);
        if ((strcmp(st.state, "standby") == 0 && standby++ < STANDBY) ||
            (strcmp(st.state, "ready") == 0 && st.dirty + st.relief_pending > 0)) {
            rested = 0;                /* what was found in Redis goes back there */
        }
    }
    printf("%s %llu %llu\n", rested < 2 ? "restless" : st.state, (unsigned long long) st.dirty,
           (unsigned long long) st.relief_pending);
}

static void journal_backup(void)
{
    if (d.state != NULL) {
        sqlite3_wal_checkpoint_v2(d.state->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    }
    copy_files(d.dir, d.backup);
}

/* ---- the feed -------------------------------------------------------------------------------------- */

/* "EPOCH SEQ IAT JTI NUMBER rest": returns the rest. */
static char *read_event(char *args, rcd_event_t *ev)
{
    unsigned long long seq;
    long long iat;
    int n = 0;

    memset(ev, 0, sizeof(*ev));
    if (sscanf(args, "%u %llu %lld %128s %64s %n", &ev->epoch, &seq, &iat, ev->jti, ev->number,
               &n) != 5) {
        history_fail(args);
    }
    ev->seq = seq;
    ev->iat = ev->toe = iat;
    jd_siphash128(history_key.digest_key, args, strlen(args), ev->payload_hash);
    return args + n;
}

static void print_result(const rcd_result_t *r)
{
    static const char *const names[] = {"ack", "quarantined", "gap", "fork", "io"};

    printf("%s %s\n", names[r->outcome], rcd_quarantine_names[r->code]);
}

static void feed_order(char *args)
{
    rcd_event_t ev;
    rcd_result_t res;

    ev.record_json = NULL;
    args = read_event(args, &ev);
    ev.kind = RCD_EV_ORDER;
    ev.record_json = args;
    ev.record_len = strlen(args);
    rcd_apply_changes(d.state, &d.config.rules, &ev, 1, &res);
    print_result(&res);
}

static void feed_relief(char *args, rcd_event_kind_t kind)
{
    rcd_event_t ev;
    rcd_result_t res;
    unsigned value = (unsigned) strtoul(read_event(args, &ev), NULL, 16);

    ev.kind = kind;
    ev.lifted = (uint16_t) (kind == RCD_EV_LIFT ? value : 0);
    ev.objection = kind == RCD_EV_MARK && value != 0;
    if (mutate_relief(d.state, &ev)) {
        printf("ack none\n");
        return;
    }
    rcd_apply_relief(d.state, &ev, 1, &res);
    print_result(&res);
}

/* As rcd_feed takes a head that verifies. */
static void feed_head(const char *args)
{
    unsigned long long seq, relief_seq;
    rcd_marks_t before;
    char why[160];
    long long iat;
    unsigned epoch;
    int rc;

    if (sscanf(args, "%lld %u %llu %llu", &iat, &epoch, &seq, &relief_seq) != 4) {
        history_fail(args);
    }
    rcd_state_marks(d.state, &before);
    rc = rcd_state_head(d.state, history_now + history_wall_daemon, iat, epoch, seq, relief_seq, why,
                        sizeof(why));
    if (iat >= before.head_iat) {
        rcd_clock_head(&d.clock, iat);
    }
    printf("%s\n", rc > 0 ? "contact" : "no");
}

static void feed_snapshot(const char *args)
{
    unsigned long long seq, relief_seq;
    char path[PATH_SIZE + 16], err[256] = "";
    rcd_snapshot_t *sn = NULL;
    uint64_t done, total;
    unsigned epoch, n, m;
    long long iat;
    int rc = 1;
    FILE *f;

    if (sscanf(args, "%u %llu %llu %lld %u %u", &epoch, &seq, &relief_seq, &iat, &n, &m) != 6) {
        history_fail(args);
    }
    snprintf(path, sizeof(path), "%s/../records", d.dir);
    f = fopen(path, "we");
    for (; n > 0; n--) {
        fprintf(f, "%s\n", history_line());
    }
    fclose(f);
    if (d.state != NULL) {
        rcd_marks_t marks;

        rcd_state_marks(d.state, &marks);
        rcd_statement_t st = {.epoch = epoch, .seq = seq, .relief_seq = relief_seq, .iat = iat,
                              .asked_relief_seq = marks.relief_seq};

        sn = rcd_snapshot_begin(d.state, &d.config.rules, path, &st, iat, err, sizeof(err));
        rc = sn != NULL ? rcd_snapshot_step(sn, &done, &total, err, sizeof(err)) : -1;
    }
    for (; m > 0; m--) {
        history_command(history_line());
    }
    while (sn != NULL && rc > 0) {
        rc = rcd_snapshot_step(sn, &done, &total, err, sizeof(err));
    }
    if (sn != NULL) {
        rcd_snapshot_end(sn);
    }
    printf("%s\n", rc == 0 ? "applied" : "unfit");
}

/* ---- holders --------------------------------------------------------------------------------------- */

static void on_imported(void *owner, cJSON *answer, const char *why)
{
    (void) owner;
    printf("%s\n", why != NULL ? why : cJSON_IsTrue(cJSON_GetObjectItem(answer, "waiting"))
                                           ? "waiting" : "imported");
}

static void import_holders(const char *args)
{
    int full = strncmp(args, "full ", 5) == 0, fd;
    char path[PATH_SIZE + 16], err[256];
    FILE *f;

    snprintf(path, sizeof(path), "%s/../records", d.dir);
    f = fopen(path, "we");
    for (int n = atoi(strchr(args, ' ')); n > 0; n--) {
        fprintf(f, "%s\n", history_line());
    }
    fclose(f);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (d.state == NULL) {
        close(fd);
        printf("down\n");
        return;
    }
    if (rcd_holders_begin(d.holders, full ? RCD_LINKS_FULL : RCD_LINKS_DELTA, fd, "op",
                          on_imported, NULL, err, sizeof(err)) != 0) {
        printf("%s\n", err);
        return;
    }
    mutate_importing(1);
    while (rcd_holders_step(d.holders)) {
    }
    mutate_importing(0);
}

/* ---- the operator ---------------------------------------------------------------------------------- */

/* Adds what a stay is of: an order, or a person's digest with what it was made under. */
static void target_add(cJSON *command, const char *target)
{
    uint8_t digest[JD_DIGEST_LEN];
    char hex[2 * JD_HOLDER_LEN + 1], under[RCD_UNDER_MAX];
    cJSON *field;

    if (strchr(target, ':') == NULL) {
        cJSON_AddStringToObject(command, "order", target);
        return;
    }
    history_digest(target, digest);
    for (int i = 0; i < JD_HOLDER_LEN; i++) {
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    rcd_store_under_print(&d.config.rules, under);
    field = cJSON_CreateObject();
    cJSON_AddStringToObject(field, "field", hex);
    cJSON_AddStringToObject(field, "under", under);
    cJSON_AddItemToArray(cJSON_AddArrayToObject(command, "fields"), field);
}

static void run_command(rcd_command_pt run, const char *target, const char *ref, const char *until)
{
    rcd_command_t c = {.config = &d.config, .state = d.state, .redis = d.writer,
                       .holders = d.holders, .user = "op"};
    cJSON *command = cJSON_CreateObject(), *answer = cJSON_CreateObject();

    cJSON_AddStringToObject(command, "reason", "r");
    target_add(command, target);
    if (ref != NULL) {
        cJSON_AddStringToObject(command, "ref", ref);
    }
    if (until != NULL && strcmp(until, "-") != 0) {
        cJSON_AddNumberToObject(command, "until", (double) strtoll(until, NULL, 10));
    }
    printf("%s\n", run(&c, command, answer) == NULL ? "done" : "refused");
    cJSON_Delete(command);
    cJSON_Delete(answer);
}

static int operator_command(const char *name, char *args)
{
    char ref[64] = "", target[128] = "", until[32] = "-";

    if (strcmp(name, "stay") == 0) {
        sscanf(args, "%63s %127s %31s", ref, target, until);
        run_command(rcd_command_stay, target, ref, until);
    } else if (strcmp(name, "object") == 0) {
        sscanf(args, "%63s %127s", ref, target);
        run_command(rcd_command_objection, target, ref, NULL);
    } else if (strcmp(name, "unstay") == 0) {
        run_command(rcd_command_unstay, args, NULL, NULL);
    } else if (strcmp(name, "unobject") == 0) {
        run_command(rcd_command_objection_end, args, NULL, NULL);
    } else {
        return 0;
    }
    return 1;
}

/* ---- commands -------------------------------------------------------------------------------------- */

/* What is done to the process and its files, running or not. */
static int process_command(const char *name)
{
    if (strcmp(name, "start") == 0) {
        start();
        history_daemon_tick();
    } else if (strcmp(name, "stop") == 0) {
        stop();
    } else if (strcmp(name, "jbackup") == 0) {
        journal_backup();
    } else if (strcmp(name, "jrestore") == 0) {
        stop();
        copy_files(d.backup, d.dir);
    } else {
        return 0;
    }
    return 1;
}

int history_daemon_command(const char *name, char *args)
{
    char err[160];

    if (process_command(name)) {
        return 1;
    }
    if (strcmp(name, "snapshot") == 0) {
        feed_snapshot(args);
    } else if (strcmp(name, "holders") == 0) {
        import_holders(args);
    } else if (d.state == NULL) {
        printf("down\n");
    } else if (operator_command(name, args)) {
        return 1;
    } else if (strcmp(name, "order") == 0) {
        feed_order(args);
    } else if (strcmp(name, "lift") == 0) {
        feed_relief(args, RCD_EV_LIFT);
    } else if (strcmp(name, "mark") == 0) {
        feed_relief(args, RCD_EV_MARK);
    } else if (strcmp(name, "head") == 0) {
        feed_head(args);
    } else if (strcmp(name, "approve") == 0) {
        int rc = rcd_state_approve_epoch(d.state, (uint32_t) atoi(args), err, sizeof(err));
        printf("%s\n", rc == 0 ? "approved" : "no");
    } else if (strcmp(name, "write") == 0) {
        write_all();
    } else if (strcmp(name, "step") == 0) {
        for (int n = atoi(args); n > 0; n--) {
            writer_step();
        }
        printf("stepped\n");
    } else {
        return 0;
    }
    return 1;
}

/* ---- begin and end --------------------------------------------------------------------------------- */

static void apply_whole(rcd_snapshot_t *sn)
{
    uint64_t done, total;
    char err[256];
    int rc = sn != NULL ? 1 : -1;

    while (rc > 0) {
        rc = rcd_snapshot_step(sn, &done, &total, err, sizeof(err));
    }
    if (rc < 0) {
        history_fail("the first list");
    }
    rcd_snapshot_end(sn);
}

/* An empty first list is held and approved, so that no history waits for an operator; then the journal
 * forgets where the office stood, and knows nothing but that. */
static void approve_first_list(void)
{
    static const char nothing_known[] =
        "UPDATE state SET epoch_known = 0, epoch = 0, seq = 0, relief_seq = 0, relief_top = 0,"
        " relief_iat = 0, changes_gap = 1";
    rcd_statement_t st = {.epoch = 1, .iat = 1};
    char err[256];

    apply_whole(rcd_snapshot_begin(d.state, &d.config.rules, "/dev/null", &st, 1, err, sizeof(err)));
    if (rcd_hold_approve(d.state, rcd_hold_waits(d.state)->hash, 1, "tester", err, sizeof(err)) != 0) {
        history_fail(err);
    }
    apply_whole(rcd_snapshot_approved(d.state, &d.config.rules, 1, err, sizeof(err)));
    if (sqlite3_exec(d.state->db, nothing_known, NULL, NULL, NULL) != SQLITE_OK) {
        history_fail("the journal");
    }
}

void history_daemon_new(void)
{
    char path[2 * PATH_SIZE];

    stop();
    remove_files(d.dir);
    remove_files(d.backup);
    snprintf(path, sizeof(path), "%s/journal.db", d.dir);
    write_file(path, d.journal, d.journal_len);
}

void history_daemon_init(const char *dir, const char *socket)
{
    char path[2 * PATH_SIZE];

    sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    set_rules();
    snprintf(d.dir, sizeof(d.dir), "%s/state", dir);
    snprintf(d.backup, sizeof(d.backup), "%s/backup", dir);
    snprintf(d.address, sizeof(d.address), "unix:%s", socket);
    mkdir(d.backup, 0700);
    d.config.state_dir = d.dir;
    d.config.holders.max_change = 10;
    remove_files(d.dir);
    start();
    approve_first_list();
    stop();
    snprintf(path, sizeof(path), "%s/journal.db", d.dir);
    d.journal = read_file(path, &d.journal_len);
}

void history_daemon_fini(void)
{
    stop();
    free(d.journal);
}
