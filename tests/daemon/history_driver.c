/*
 * history_driver - whole histories of a list through the daemon's own logic and a real Redis, in one
 * process and fast: commands as lines on stdin; what they answer is written when "end" comes.
 * histories.py speaks to it.
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
 *   flush  gate              Redis emptied; nginx restarted
 *   ask SUBJECT...           "scheme:identifier"; the gate's reasons by measure, from bit 0
 *
 * MUTATION breaks one rule on purpose (history_mutate.c): nothing of it is in the product.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <hiredis/hiredis.h>
#include "core/jd_measure.h"
#include "core/jd_policy.h"
#include "core/jd_redis.h"
#include "history.h"
#include "rcd_clock.h"
#include "rcd_state.h"
#include "rcd_store.h"

#define LIST         "credit"
#define MEASURES     3
#define MAX_STALE    3600
#define BOOTED_AT    1700000000        /* CLOCK_BOOTTIME 0 */
#define STEPS_MAX    64                /* of one write; more is a daemon that never rests */
#define STANDBY      8                 /* steps in which another writer's beat stands still */
#define SUBJECTS_MAX 16
#define PATH_SIZE    512

static struct {
    rcd_rules_t  rules;
    rcd_state_t *state;                /* NULL: the daemon is down */
    rcd_redis_t *writer;
    rcd_clock_t  clock;
    char         dir[PATH_SIZE], backup[PATH_SIZE], address[PATH_SIZE + 8];
    void        *journal;              /* a new one, as a file */
    size_t       journal_len;
} daemon_;

static struct {                        /* what a zone remembers */
    uint64_t mark;
    int64_t  verified_at, office_offset;
} gate;

static jd_key_t      key;
static redisContext *redis;
static int64_t       now_, wall_daemon, wall_gate, mono_ms = 1000;
static char         *authority[] = {(char *) "Office"};

static void fail(const char *what)
{
    fflush(stdout);
    fprintf(stderr, "history_driver: %s\n", what);
    exit(2);
}

/* ---- time: what the daemon's code asks the system for -------------------------------------------- */

int clock_gettime(clockid_t id, struct timespec *ts)
{
    ts->tv_nsec = 0;
    switch (id) {
    case CLOCK_REALTIME:
        ts->tv_sec = now_ + wall_daemon;
        return 0;
    case CLOCK_BOOTTIME:
        ts->tv_sec = now_ - BOOTED_AT;
        return 0;
    case CLOCK_MONOTONIC:
        ts->tv_sec = mono_ms / 1000;
        ts->tv_nsec = mono_ms % 1000 * 1000000;
        return 0;
    default:
        return (int) syscall(SYS_clock_gettime, id, ts);
    }
}

time_t time(time_t *out)
{
    time_t now = (time_t) (now_ + wall_daemon);

    if (out != NULL) {
        *out = now;
    }
    return now;
}

/* ---- files ----------------------------------------------------------------------------------------- */

static void remove_files(const char *dir)
{
    char path[2 * PATH_SIZE];
    struct dirent *e;
    DIR *d = opendir(dir);

    while (d != NULL && (e = readdir(d)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        unlink(path);
    }
    if (d != NULL) {
        closedir(d);
    }
}

static void *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "re");
    struct stat st;
    char *bytes;

    if (f == NULL || fstat(fileno(f), &st) != 0) {
        fail(path);
    }
    bytes = malloc((size_t) st.st_size + 1);
    if (bytes == NULL || fread(bytes, 1, (size_t) st.st_size, f) != (size_t) st.st_size) {
        fail(path);
    }
    fclose(f);
    *len = (size_t) st.st_size;
    return bytes;
}

static void write_file(const char *path, const void *bytes, size_t len)
{
    FILE *f = fopen(path, "we");

    if (f == NULL || fwrite(bytes, 1, len, f) != len || fclose(f) != 0) {
        fail(path);
    }
}

static void copy_files(const char *from, const char *to)
{
    char path[2 * PATH_SIZE];
    struct dirent *e;
    DIR *d = opendir(from);

    remove_files(to);
    while (d != NULL && (e = readdir(d)) != NULL) {
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
    if (d != NULL) {
        closedir(d);
    }
}

/* ---- the daemon ------------------------------------------------------------------------------------ */

static void set_rules(void)
{
    uint8_t raw[16];

    for (int i = 0; i < 16; i++) {
        raw[i] = (uint8_t) i;
    }
    jd_key_init(&key, "k1", raw);
    daemon_.rules.key = &key;
    for (int i = 0; i < JD_MEASURE_N; i++) {
        daemon_.rules.rule[i] = (rcd_measure_rule_t){
            .enabled = 1, .legal_source = (char *) "test", .authorities = authority,
            .n_authorities = 1, .max_term_sec = JD_TERM_MAX_SEC};
    }
}

static void stop(void)
{
    if (daemon_.state == NULL) {
        return;
    }
    rcd_redis_destroy(daemon_.writer);
    rcd_clock_fini(&daemon_.clock);
    rcd_state_close(daemon_.state);
    daemon_.state = NULL;
    daemon_.writer = NULL;
}

static void start(void)
{
    rcd_redis_conf_t conf = {.address = daemon_.address, .list = LIST, .expected = 1,
                             .rules = &daemon_.rules};
    rcd_marks_t marks;
    char err[256];

    daemon_.state = rcd_state_open(daemon_.dir, LIST, err, sizeof(err));
    if (daemon_.state == NULL) {
        fail(err);
    }
    mutate_start(daemon_.state);
    rcd_state_marks(daemon_.state, &marks);
    rcd_clock_init(&daemon_.clock, daemon_.dir, marks.head_iat);
    daemon_.writer = rcd_redis_create(&conf, daemon_.state);
}

static void tick(void)
{
    if (daemon_.state != NULL) {
        while (rcd_state_tick(daemon_.state, now_ + wall_daemon,
                              rcd_clock_office(&daemon_.clock)) > 0) {
        }
        mutate_tick(daemon_.state, now_, redis);
    }
}

static int writer_step(void)
{
    mono_ms += 1100;
    return rcd_redis_step(daemon_.writer, now_ + wall_daemon, rcd_clock_office(&daemon_.clock));
}

/* Until it rests twice; a writer that stands by is given the time to take over. */
static void write_all(void)
{
    int rested = 0, standby = 0, n = 0;
    rcd_redis_status_t st;

    while (n++ < STEPS_MAX && rested < 2) {
        rested = writer_step() > 0 ? rested + 1 : 0;
        rcd_redis_status(daemon_.writer, &st);
        if (strcmp(st.state, "standby") == 0 && standby++ < STANDBY) {
            rested = 0;
        }
    }
    printf("%s %llu %llu\n", n > STEPS_MAX ? "restless" : st.state,
           (unsigned long long) st.dirty, (unsigned long long) st.relief_pending);
}

static void journal_backup(void)
{
    if (daemon_.state != NULL) {
        sqlite3_wal_checkpoint_v2(daemon_.state->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    }
    copy_files(daemon_.dir, daemon_.backup);
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
        fail(args);
    }
    ev->seq = seq;
    ev->iat = ev->toe = iat;
    jd_siphash128(key.digest_key, args, strlen(args), ev->payload_hash);
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
    rcd_apply_changes(daemon_.state, &daemon_.rules, &ev, 1, &res);
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
    if (mutate_relief(daemon_.state, &ev)) {
        printf("ack none\n");
        return;
    }
    rcd_apply_relief(daemon_.state, &ev, 1, &res);
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
        fail(args);
    }
    rcd_state_marks(daemon_.state, &before);
    rc = rcd_state_head(daemon_.state, now_ + wall_daemon, iat, epoch, seq, relief_seq, why,
                        sizeof(why));
    if (iat >= before.head_iat) {
        rcd_clock_head(&daemon_.clock, iat);
    }
    printf("%s\n", rc > 0 ? "contact" : "no");
}

static void command(char *line);

static char *next_line(void)
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
        fail(args);
    }
    snprintf(path, sizeof(path), "%s/../records", daemon_.dir);
    f = fopen(path, "we");
    for (; n > 0; n--) {
        fprintf(f, "%s\n", next_line());
    }
    fclose(f);
    if (daemon_.state != NULL) {
        sn = rcd_snapshot_begin(daemon_.state, &daemon_.rules, path, epoch, seq, relief_seq, iat, 0,
                                err, sizeof(err));
        rc = sn != NULL ? rcd_snapshot_step(sn, &done, &total, err, sizeof(err)) : -1;
    }
    for (; m > 0; m--) {
        command(next_line());
    }
    while (sn != NULL && rc > 0) {
        rc = rcd_snapshot_step(sn, &done, &total, err, sizeof(err));
    }
    if (sn != NULL) {
        rcd_snapshot_end(sn);
    }
    printf("%s\n", rc == 0 ? "applied" : "unfit");
}

/* ---- Redis ----------------------------------------------------------------------------------------- */

static void redis_do(const char *format, ...)
{
    redisReply *r;
    va_list args;

    va_start(args, format);
    r = redisvCommand(redis, format, args);
    va_end(args);
    if (r == NULL || r->type == REDIS_REPLY_ERROR) {
        fail(r != NULL ? r->str : redis->errstr);
    }
    freeReplyObject(r);
}

/* All keys of one database into the other, which is emptied before. */
static void redis_copy(int from, int to)
{
    static const char script[] =
        "redis.call('SELECT', ARGV[2]) redis.call('FLUSHDB') redis.call('SELECT', ARGV[1])\n"
        "for _, k in ipairs(redis.call('KEYS', '*')) do\n"
        "  redis.call('COPY', k, k, 'DB', ARGV[2])\n"
        "end\n"
        "redis.call('SELECT', '0')\n";

    redis_do("EVAL %s 0 %d %d", script, from, to);
}

/* ---- the gate: ngx_jd_reply.c without nginx -------------------------------------------------------- */

static jd_meta_rc_t read_meta(const redisReply *r, jd_meta_t *m)
{
    const char *val[JD_META_FIELDS], *field;
    size_t len[JD_META_FIELDS];

    if (r->type != REDIS_REPLY_ARRAY || r->elements != JD_META_FIELDS) {
        return JD_META_BAD;
    }
    for (int i = 0; i < JD_META_FIELDS; i++) {
        val[i] = r->element[i]->type == REDIS_REPLY_STRING ? r->element[i]->str : NULL;
        len[i] = val[i] != NULL ? (size_t) r->element[i]->len : 0;
    }
    return jd_meta_parse(m, val, len, &field);
}

static void lift_to(int64_t *word, int64_t value)
{
    *word = value > *word ? value : *word;
}

/* 0, or -1 when the meta is of before what this gate has seen. */
static int read_fresh(const jd_meta_t *m, jd_clocks_t *c)
{
    uint64_t mark = jd_relief_mark(m->epoch, m->relief_seq);

    mutate_seen(&gate.mark);
    if (mark < gate.mark) {
        return -1;
    }
    gate.mark = mark;
    lift_to(&gate.verified_at, m->verified_at);
    if (m->office_at > 0) {
        lift_to(&gate.office_offset, m->office_at - (now_ - BOOTED_AT));
    }
    c->now = now_ + wall_gate;
    c->office_now = gate.office_offset ? gate.office_offset + now_ - BOOTED_AT : 0;
    c->verified_at = gate.verified_at;
    c->max_stale = MAX_STALE;
    lift_to(&c->office_now, m->office_at);
    return 0;
}

static int read_relief(const redisReply *r, unsigned n, jd_relief_t *relief)
{
    if (r->type != REDIS_REPLY_ARRAY || r->elements != n) {
        return -1;
    }
    for (unsigned i = 0; i < n; i++) {
        memset(&relief[i], 0, sizeof(relief[i]));
        if (r->element[i]->type == REDIS_REPLY_STRING &&
            jd_relief_parse(&relief[i], r->element[i]->str, (size_t) r->element[i]->len) != 0) {
            return -1;
        }
    }
    return 0;
}

static int read_stays(const redisReply *r, unsigned n, jd_relief_t *relief)
{
    int64_t stay[JD_ORDERS_MAX + 1] = {0};

    if (r->type != REDIS_REPLY_ARRAY || r->elements != (n > 0 ? n + 1 : 0)) {
        return -1;
    }
    for (unsigned i = 0; i < r->elements; i++) {
        if (r->element[i]->type == REDIS_REPLY_STRING &&
            jd_stay_parse(&stay[i], r->element[i]->str, (size_t) r->element[i]->len) != 0) {
            return -1;
        }
        if (i > 0) {
            lift_to(&relief[i - 1].stay, stay[0]);
            lift_to(&relief[i - 1].stay, stay[i]);
        }
    }
    return 0;
}

static int grounds_good(const redisReply *r, const jd_order_t *o)
{
    jd_grounds_t g;

    return r->type == REDIS_REPLY_STRING &&
           jd_grounds_decode(&key, o->grounds, (const uint8_t *) r->str, (size_t) r->len, &g) ==
               JD_RECORD_OK;
}

static void print_all(const char *reason)
{
    for (int i = 0; i < MEASURES; i++) {
        printf("%s%s", i > 0 ? " " : "", reason);
    }
    printf("\n");
}

static void judge(const redisReply *r, const uint8_t digest[JD_DIGEST_LEN])
{
    jd_order_t orders[JD_ORDERS_MAX];
    jd_relief_t relief[JD_ORDERS_MAX];
    uint16_t observed = 0;
    const redisReply *rec;
    jd_clocks_t clocks;
    unsigned n = 0;
    jd_meta_t m;
    int which;

    if (r->type != REDIS_REPLY_ARRAY || r->elements != 5 ||
        read_meta(r->element[0], &m) != JD_META_OK || read_fresh(&m, &clocks) != 0) {
        print_all("unconfirmed");
        return;
    }
    rec = r->element[1];
    if (rec->type == REDIS_REPLY_STRING &&
        jd_record_decode(&key, digest, m.era, (const uint8_t *) rec->str, (size_t) rec->len,
                         &observed, orders, &n) != JD_RECORD_OK) {
        print_all("forged");
        return;
    }
    if (read_relief(r->element[2], n, relief) != 0 || read_stays(r->element[4], n, relief) != 0) {
        print_all("garbled");
        return;
    }
    mutate_judge(&clocks, relief, n);
    for (unsigned bit = 0; bit < MEASURES; bit++) {
        jd_reason_t reason = jd_policy_decide(&clocks, bit, orders, relief, n, observed, &which);

        printf("%s%s", bit > 0 ? " " : "", jd_reason_names[reason]);
        if (reason == JD_REASON_LISTED) {
            printf(":%.*s%s", orders[which].number_len, orders[which].number,
                   grounds_good(r->element[3]->element[which], &orders[which]) ? "" : "?");
        }
    }
    printf("\n");
}

static void digest_of(const char *subject, uint8_t digest[JD_DIGEST_LEN])
{
    const char *id = strchr(subject, ':');
    int scheme = id != NULL ? jd_scheme_parse(subject, (size_t) (id - subject)) : -1;
    uint8_t norm[JD_SUBJECT_MAX];
    size_t len;

    if (scheme < 0 || jd_subject_normalise((jd_scheme_t) scheme, NULL, (const uint8_t *) id + 1,
                                           strlen(id + 1), norm, &len) != JD_SUBJECT_OK) {
        fail(subject);
    }
    jd_digest(&key, (jd_scheme_t) scheme, norm, len, digest);
}

static void ask(char *args)
{
    static char prefix[JD_REDIS_NAME_MAX], meta[JD_REDIS_NAME_MAX], rel[JD_REDIS_NAME_MAX],
        grounds[JD_REDIS_NAME_MAX], stays[JD_REDIS_NAME_MAX];
    uint8_t digest[SUBJECTS_MAX][JD_DIGEST_LEN];
    unsigned n = 0;

    jd_redis_prefix(prefix, LIST);
    jd_redis_meta(meta, LIST);
    jd_redis_relief(rel, LIST);
    jd_redis_grounds(grounds, LIST);
    jd_redis_stays(stays, LIST);
    for (char *s = strtok(args, " "); s != NULL && n < SUBJECTS_MAX; s = strtok(NULL, " "), n++) {
        digest_of(s, digest[n]);
        redisAppendCommand(redis, "EVALSHA_RO %s 4 %s %s %s %s %s %b", jd_confirm_sha1, meta, rel,
                           grounds, stays, prefix, digest[n], (size_t) JD_DIGEST_LEN);
    }
    for (unsigned i = 0; i < n; i++) {
        void *reply;

        if (redisGetReply(redis, &reply) != REDIS_OK) {
            fail(redis->errstr);
        }
        judge(reply, digest[i]);
        freeReplyObject(reply);
    }
}

/* ---- commands -------------------------------------------------------------------------------------- */

static void fresh(void)
{
    char path[2 * PATH_SIZE];

    stop();
    redis_do("FLUSHALL");
    redis_do("SCRIPT LOAD %s", jd_confirm_script);
    remove_files(daemon_.dir);
    remove_files(daemon_.backup);
    snprintf(path, sizeof(path), "%s/journal.db", daemon_.dir);
    write_file(path, daemon_.journal, daemon_.journal_len);
    memset(&gate, 0, sizeof(gate));
    wall_daemon = wall_gate = 0;
}

static int world_command(const char *name, char *args)
{
    if (strcmp(name, "ask") == 0) {
        ask(args);
    } else if (strcmp(name, "at") == 0) {
        now_ = strtoll(args, NULL, 10);
        tick();
    } else if (strcmp(name, "wall") == 0) {
        wall_daemon = strtoll(args, &args, 10);
        wall_gate = strtoll(args, NULL, 10);
        tick();
    } else if (strcmp(name, "new") == 0) {
        fresh();
    } else if (strcmp(name, "start") == 0) {
        start();
        tick();
    } else if (strcmp(name, "stop") == 0) {
        stop();
    } else if (strcmp(name, "jbackup") == 0) {
        journal_backup();
    } else if (strcmp(name, "jrestore") == 0) {
        stop();
        copy_files(daemon_.backup, daemon_.dir);
    } else if (strcmp(name, "rbackup") == 0) {
        redis_copy(0, 1);
    } else if (strcmp(name, "rrestore") == 0) {
        redis_copy(1, 0);
        redis_do("CLIENT KILL TYPE normal SKIPME yes");
    } else if (strcmp(name, "flush") == 0) {
        redis_do("FLUSHDB");
    } else if (strcmp(name, "gate") == 0) {
        memset(&gate, 0, sizeof(gate));
    } else {
        return 0;
    }
    return 1;
}

static int daemon_command(const char *name, char *args)
{
    char err[160];

    if (strcmp(name, "snapshot") == 0) {
        feed_snapshot(args);
        return 1;
    }
    if (daemon_.state == NULL) {
        printf("down\n");
    } else if (strcmp(name, "order") == 0) {
        feed_order(args);
    } else if (strcmp(name, "lift") == 0) {
        feed_relief(args, RCD_EV_LIFT);
    } else if (strcmp(name, "mark") == 0) {
        feed_relief(args, RCD_EV_MARK);
    } else if (strcmp(name, "head") == 0) {
        feed_head(args);
    } else if (strcmp(name, "approve") == 0) {
        int rc = rcd_state_approve_epoch(daemon_.state, (uint32_t) atoi(args), err, sizeof(err));
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

static void command(char *line)
{
    char *args = strchr(line, ' ');

    if (args != NULL) {
        *args++ = '\0';
    } else {
        args = line + strlen(line);
    }
    if (!world_command(line, args) && !daemon_command(line, args)) {
        fail(line);
    }
}

/* The journal of a daemon that has just been installed, kept as bytes. */
static void make_journal(void)
{
    char path[2 * PATH_SIZE];

    start();
    stop();
    snprintf(path, sizeof(path), "%s/journal.db", daemon_.dir);
    daemon_.journal = read_file(path, &daemon_.journal_len);
}

int main(int argc, char **argv)
{
    char *line;

    if (argc < 3 || mutate_choose(argc > 3 ? argv[3] : "none") != 0) {
        fprintf(stderr, "usage: history_driver DIR REDIS_SOCKET [MUTATION]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    set_rules();
    snprintf(daemon_.dir, sizeof(daemon_.dir), "%s/state", argv[1]);
    snprintf(daemon_.backup, sizeof(daemon_.backup), "%s/backup", argv[1]);
    snprintf(daemon_.address, sizeof(daemon_.address), "unix:%s", argv[2]);
    mkdir(daemon_.backup, 0700);
    redis = redisConnectUnix(argv[2]);
    if (redis == NULL || redis->err != 0) {
        fail("cannot connect to Redis");
    }
    remove_files(daemon_.dir);
    make_journal();
    while ((line = next_line()) != NULL) {
        if (strcmp(line, "end") == 0) {
            printf("end\n");
            fflush(stdout);
        } else {
            command(line);
        }
    }
    stop();
    redisFree(redis);
    free(daemon_.journal);
    return 0;
}
