/*
 * rcd_main - restrict-cached: options, signals, and the one loop in which relief comes first.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <curl/curl.h>
#include "rcd_applier.h"
#include "rcd_audit_config.h"
#include "rcd_audit_file.h"
#include "rcd_clock.h"
#include "rcd_config.h"
#include "rcd_feed.h"
#include "rcd_ledger.h"
#include "rcd_holders.h"
#include "rcd_slice.h"
#include "rcd_spool.h"
#include "rcd_stay.h"
#include "rcd_status.h"

#define EXIT_USAGE      2                 /* options or configuration */
#define SPOOL_MS        250
#define SECOND_MS       1000
#define WAIT_MAX_MS     250
#define GIVE_WAY_MAX    100

typedef struct {
    const char    *file;                  /* of the configuration */
    rcd_config_t  *config;
    rcd_state_t   *state;
    rcd_redis_t   *redis;
    rcd_feed_t    *feed;
    rcd_ledger_t  *ledger;
    rcd_spool_t   *spool;
    rcd_holders_t *holders;
    rcd_audit_file_t *audit;
    rcd_applier_t  applier;
    rcd_clock_t    clock;
    int            signal_fd;
    int            ending;
    int64_t        started_at;
    int64_t        redis_due_ms, second_due_ms, spool_due_ms;
    int            status_failed;
    unsigned       gave_way;              /* turns cut short for relief, one after the other */
    uint64_t       lost_stays;            /* told of */
    char           reload_fault[512];
} daemon_t;

/* ---- parts that hang on the configuration ---------------------------------------------------- */

static int parts_create(daemon_t *d)
{
    rcd_redis_conf_t conf = {
        .address = d->config->redis.address,
        .auth_file = d->config->redis.auth_file,
        .list = d->config->list,
        .expected = d->config->redis.expected,
        .rules = &d->config->rules,
    };

    d->redis = rcd_redis_create(&conf, d->state);
    d->feed = d->redis == NULL ? NULL
                               : rcd_feed_create(d->config, d->state, d->redis, &d->applier,
                                                 &d->clock);
    d->ledger = d->feed == NULL ? NULL
                                : rcd_ledger_create(d->config, d->state, d->redis, d->feed);
    return d->ledger == NULL ? -1 : 0;
}

static void parts_destroy(daemon_t *d)
{
    rcd_applier_abort(&d->applier, "the daemon reloads or ends; try again");
    rcd_ledger_destroy(d->ledger);
    rcd_feed_destroy(d->feed);
    rcd_redis_destroy(d->redis);
    d->ledger = NULL;
    d->feed = NULL;
    d->redis = NULL;
}

/* ---- the audit chain ------------------------------------------------------------------------- */

static rcd_audit_signer_t signer(const rcd_config_t *c)
{
    return (rcd_audit_signer_t){
        .key = c->audit.key,
        .iss = c->office.aud,
        .list = c->list,
        .every_records = c->audit.every_records,
        .every_sec = c->audit.every_minutes * 60,
    };
}

/* Relief does not wait for a chain that cannot be written. */
static void audit_say(daemon_t *d, int rc)
{
    if (rc != 0) {
        rcd_log(RCD_LOG_ERROR, "not in the audit chain: %s", rcd_state_fault(d->state));
    }
}

static int audit_begin(daemon_t *d)
{
    rcd_audit_signer_t by = signer(d->config);
    cJSON *fields = cJSON_CreateObject();
    rcd_marks_t marks;

    rcd_state_marks(d->state, &marks);
    cJSON_AddStringToObject(fields, "version", RCD_VERSION);
    cJSON_AddStringToObject(fields, "list", d->config->list);
    cJSON_AddStringToObject(fields, "journal", marks.journal);
    d->audit = rcd_audit_file_create(d->state, &by);
    if (d->audit == NULL) {
        cJSON_Delete(fields);
        return -1;
    }
    rcd_audit_file_flush(d->audit, rcd_clock_wall());        /* the chain as it was left comes first */
    audit_say(d, rcd_audit_alone(d->state, "daemon.start", fields));
    audit_say(d, rcd_audit_config(d->state, d->config));
    return 0;
}

static void audit_end(daemon_t *d)
{
    audit_say(d, rcd_audit_alone(d->state, "daemon.end", NULL));
    rcd_audit_file_flush(d->audit, rcd_clock_wall());
}

/* ---- signals --------------------------------------------------------------------------------- */

static void reload_refused(daemon_t *d, const char *why)
{
    snprintf(d->reload_fault, sizeof(d->reload_fault), "%s", why);
    rcd_log(RCD_LOG_ERROR, "reload refused, the old configuration stays: %s", why);
}

/* SIGHUP: the new configuration whole, or the old one. */
static void reload(daemon_t *d)
{
    rcd_config_t *old = d->config, *fresh;
    rcd_audit_signer_t by;
    char err[512];

    fresh = rcd_config_load(d->file, RCD_CONFIG_DAEMON, err, sizeof(err));
    if (fresh == NULL) {
        reload_refused(d, err);
        return;
    }
    if (strcmp(fresh->list, old->list) != 0 || strcmp(fresh->state_dir, old->state_dir) != 0) {
        reload_refused(d, "[list] name and [state] dir change by a restart only");
        rcd_config_destroy(fresh);
        return;
    }
    if (rcd_log_open(fresh->log.file, fresh->log.level) != 0) {
        snprintf(err, sizeof(err), "%s: %s", fresh->log.file, strerror(errno));
        reload_refused(d, err);
        rcd_config_destroy(fresh);
        return;
    }

    if (strcmp(fresh->keys.key[0].check, old->keys.key[0].check) != 0) {
        rcd_log(RCD_LOG_NOTICE,
                "the digest key changes from %s to %s: the journal holds digests of the old one "
                "only, so a new era is filled from a fresh snapshot",
                old->keys.key[0].id, fresh->keys.key[0].id);
    }
    parts_destroy(d);
    d->config = fresh;
    if (parts_create(d) != 0) {
        rcd_log(RCD_LOG_ERROR, "out of memory; ending");
        d->ending = 1;
        return;
    }
    rcd_holders_rebind(d->holders, d->config);
    rcd_spool_rebind(d->spool, d->config, d->redis, d->feed);
    by = signer(d->config);
    rcd_audit_file_signer(d->audit, &by);
    audit_say(d, rcd_audit_config(d->state, d->config));
    rcd_config_destroy(old);
    d->redis_due_ms = 0;
    d->reload_fault[0] = '\0';
    rcd_log(RCD_LOG_NOTICE, "configuration reloaded");
}

static void signals_take(daemon_t *d)
{
    struct signalfd_siginfo si;

    while (read(d->signal_fd, &si, sizeof(si)) == (ssize_t) sizeof(si)) {
        switch (si.ssi_signo) {
        case SIGHUP:
            reload(d);
            break;
        case SIGUSR1:
            if (rcd_log_open(d->config->log.file, d->config->log.level) != 0) {
                rcd_log(RCD_LOG_ERROR, "%s: %s", d->config->log.file, strerror(errno));
            }
            break;
        default:
            rcd_log(RCD_LOG_NOTICE, "ending on signal %u", si.ssi_signo);
            d->ending = 1;
        }
    }
}

/* Signals are read from a descriptor: none interrupts a write, and libcurl's threads inherit the
 * mask. */
static int signals_open(void)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);             /* a file size limit is a full disk, not an end */
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void status_write(daemon_t *d, int64_t now, int64_t office_now)
{
    rcd_status_t st = {
        .config = d->config,
        .state = d->state,
        .redis = d->redis,
        .feed = d->feed,
        .ledger = d->ledger,
        .applier = &d->applier,
        .audit = d->audit,
        .holders = d->holders,
        .started_at = d->started_at,
        .now = now,
        .office_now = office_now,
        .reload_fault = d->reload_fault,
    };
    int failed = rcd_status_write(&st) != 0;

    if (failed && !d->status_failed) {
        rcd_log(RCD_LOG_ERROR, "status.json cannot be written: %s", strerror(errno));
    }
    d->status_failed = failed;
}

static void redis_turn(daemon_t *d, int64_t now_ms)
{
    rcd_redis_status_t status;
    int wait;

    wait = rcd_redis_step(d->redis, rcd_clock_wall(), rcd_clock_office(&d->clock));
    d->redis_due_ms = now_ms + wait;
    rcd_redis_status(d->redis, &status);
    rcd_feed_standby(d->feed, strcmp(status.state, "standby") == 0);
}

static int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Stays of persons that a new digest key has cut off from everybody: said when their number
 * changes. */
static void lost_stays_tell(daemon_t *d)
{
    rcd_stay_counts_t stays;

    if (rcd_stay_counts(d->state, &stays) != 0 || stays.lost == d->lost_stays) {
        return;
    }
    if (stays.lost > d->lost_stays) {
        rcd_log(RCD_LOG_ERROR, "%" PRIu64 " stay%s of persons %s made under a digest key that is over "
                "and reach%s nobody: see rcctl stays, then give each again (rcctl stay --subject "
                "--renew ID)", stays.lost, stays.lost == 1 ? "" : "s",
                stays.lost == 1 ? "was" : "were", stays.lost == 1 ? "es" : "");
    }
    d->lost_stays = stays.lost;
}

/* 1 when relief has come meanwhile: the rest of the turn is left out, but not time and again. */
static int give_way(daemon_t *d)
{
    if (!rcd_slice_over(INT64_MAX) || ++d->gave_way > GIVE_WAY_MAX) {
        d->gave_way = 0;
        return 0;
    }
    return 1;
}

/*
 * One turn. Answers of the relief lane reach the journal first, then Redis; a slice of a snapshot,
 * commands and status come after. Returns how long to wait, in milliseconds.
 */
static int turn(daemon_t *d)
{
    int64_t now_ms, next;
    int applied = 0, busy, audit;

    next = rcd_feed_step(d->feed, &applied);
    now_ms = rcd_clock_ms();
    if (applied || now_ms >= d->redis_due_ms) {
        redis_turn(d, now_ms);
    }
    if (give_way(d)) {
        return 0;
    }

    if (rcd_spool_news(d->spool)) {
        d->spool_due_ms = 0;
    }
    if (now_ms >= d->spool_due_ms) {
        d->spool_due_ms = rcd_spool_step(d->spool) ? 0 : now_ms + SPOOL_MS;
    }

    busy = rcd_applier_step(&d->applier);
    busy |= rcd_holders_step(d->holders);
    if (give_way(d)) {
        return 0;
    }
    audit = rcd_audit_file_step(d->audit, now_ms, rcd_clock_wall());
    if (now_ms >= d->second_due_ms) {
        int64_t now = rcd_clock_wall(), office_now = rcd_clock_office(&d->clock);

        d->second_due_ms = now_ms + SECOND_MS;
        if (rcd_state_tick(d->state, now, office_now) > 0 ||
            rcd_stay_tick(d->state, now < office_now ? now : office_now) > 0) {
            d->redis_due_ms = 0;
        }
        rcd_holders_tick(d->holders);
        lost_stays_tell(d);
        status_write(d, now, office_now);
    }

    next = min_i64(next, now_ms + audit);
    /* Last, and not in a turn that has brought relief. */
    next = min_i64(next, applied ? 0 : rcd_ledger_step(d->ledger));
    next = min_i64(next, d->redis_due_ms);
    next = min_i64(next, d->second_due_ms);
    next = min_i64(next, d->spool_due_ms);
    next = busy ? 0 : next - rcd_clock_ms();
    return next < 0 ? 0 : (int) min_i64(next, WAIT_MAX_MS);
}

/* ---- begin and end --------------------------------------------------------------------------- */

static int begin(daemon_t *d, char *err, size_t err_size)
{
    rcd_marks_t marks;

    d->state = rcd_state_open(d->config->state_dir, d->config->list, err, err_size);
    if (d->state == NULL) {
        return -1;
    }
    if (audit_begin(d) != 0) {
        snprintf(err, err_size, "out of memory");
        return -1;
    }
    rcd_state_marks(d->state, &marks);
    if (rcd_clock_init(&d->clock, d->config->state_dir, marks.head_iat) != 0 ||
        parts_create(d) != 0) {
        snprintf(err, err_size, "out of memory");
        return -1;
    }
    d->holders = rcd_holders_create(d->config, d->state);
    if (d->holders == NULL) {
        snprintf(err, err_size, "links of holders cannot be taken; the log says why");
        return -1;
    }
    d->spool = rcd_spool_create(d->config, d->state, &d->applier, d->holders, d->redis, d->feed, err,
                                err_size);
    if (d->spool == NULL) {
        return -1;
    }
    /* Stays given while we were away, before Redis is written. */
    rcd_spool_step(d->spool);
    /* Redis first: whether another instance writes decides whether the feed is read at all. */
    redis_turn(d, rcd_clock_ms());
    return 0;
}

static void end(daemon_t *d)
{
    if (d->redis != NULL) {
        parts_destroy(d);
    }
    rcd_holders_destroy(d->holders);
    rcd_spool_destroy(d->spool);
    rcd_clock_fini(&d->clock);
    rcd_audit_file_destroy(d->audit);
    if (d->state != NULL) {
        rcd_state_close(d->state);
    }
    rcd_config_destroy(d->config);
    curl_global_cleanup();
}

static int run(daemon_t *d)
{
    char err[512];

    umask(077);
    if (rcd_log_open(d->config->log.file, d->config->log.level) != 0) {
        fprintf(stderr, "restrict-cached: %s: %s\n", d->config->log.file, strerror(errno));
        rcd_config_destroy(d->config);
        return EXIT_USAGE;
    }
    d->signal_fd = signals_open();
    d->started_at = rcd_clock_wall();
    curl_global_init(CURL_GLOBAL_DEFAULT);

    if (begin(d, err, sizeof(err)) != 0) {
        rcd_log(RCD_LOG_ERROR, "%s", err);
        end(d);
        return EXIT_FAILURE;
    }
    rcd_log(RCD_LOG_NOTICE, "restrict-cached %s begins: list %s", RCD_VERSION, d->config->list);
    while (!d->ending) {
        const int wait_ms = turn(d), fds[] = {d->signal_fd, rcd_spool_fd(d->spool)};

        rcd_feed_wait(d->feed, fds, fds[1] >= 0 ? 2 : 1, wait_ms);
        signals_take(d);
    }
    audit_end(d);
    rcd_log(RCD_LOG_NOTICE, "restrict-cached ends");
    end(d);
    return EXIT_SUCCESS;
}

/* ---- options --------------------------------------------------------------------------------- */

static void usage(FILE *out)
{
    fprintf(out, "usage: restrict-cached [-t] [-c FILE]\n"
                 "  -c FILE     configuration (default " RCD_CONFIG_DEFAULT ")\n"
                 "  -t          check configuration and files, tell what is enabled\n"
                 "  --version   print the version\n"
                 "  --help      print this\n"
                 "signals: HUP reload, USR1 reopen the log, TERM and INT end\n");
}

/* What an operator answers for. */
static void report(const rcd_config_t *c, const char *file)
{
    unsigned enabled = 0;

    printf("list %s: state in %s, Redis %s, room for %u persons\n", c->list, c->state_dir,
           c->redis.address, c->redis.expected);
    printf("office %s, client known by %s\n", c->office.base,
           c->office.token != NULL ? "token" : "certificate");
    printf("orders may name %s\n", c->rules.accept_card_subjects
                                      ? "people, bodies, accounts, and cards (accept_card_subjects = on)"
                                      : "people, bodies and accounts");
    printf("holders: %s%s; an import that changes more than %u %% of listed cards waits\n",
           c->holders.file != NULL ? "file " : "by rcctl",
           c->holders.file != NULL ? c->holders.file : "", c->holders.max_change);
    printf("denials are kept %u days; hours that are not over go to the office each %u s\n",
           c->ledger.retention_days, c->ledger.report_sec);
    for (unsigned i = 0; i < JD_MEASURE_N; i++) {
        const rcd_measure_rule_t *rule = &c->rules.rule[i];

        if (!rule->enabled) {
            continue;
        }
        enabled++;
        printf("measure %s enabled: legal source \"%s\"; longest term %lld days; authorities:",
               jd_measure_names[i], rule->legal_source, (long long) (rule->max_term_sec / 86400));
        for (unsigned j = 0; j < rule->n_authorities; j++) {
            printf("%s \"%s\"", j == 0 ? "" : ",", rule->authorities[j]);
        }
        printf("\n");
    }
    if (enabled == 0) {
        printf("no measure is enabled: every record will be quarantined\n");
    }
    printf("%s: configuration is good\n", file);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"version", no_argument, NULL, 'V'}, {"help", no_argument, NULL, 'h'}, {0}};
    daemon_t d = {.file = RCD_CONFIG_DEFAULT, .signal_fd = -1};
    int check = 0, opt;
    char err[512];

    while ((opt = getopt_long(argc, argv, "c:t", options, NULL)) != -1) {
        switch (opt) {
        case 'c':
            d.file = optarg;
            break;
        case 't':
            check = 1;
            break;
        case 'V':
            printf("restrict-cached %s\n", RCD_VERSION);
            return EXIT_SUCCESS;
        case 'h':
            usage(stdout);
            return EXIT_SUCCESS;
        default:
            usage(stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        usage(stderr);
        return EXIT_USAGE;
    }

    d.config = rcd_config_load(d.file, RCD_CONFIG_DAEMON, err, sizeof(err));
    if (d.config == NULL) {
        fprintf(stderr, "restrict-cached: %s\n", err);
        return EXIT_USAGE;
    }
    if (check) {
        report(d.config, d.file);
        rcd_config_destroy(d.config);
        return EXIT_SUCCESS;
    }
    return run(&d);
}
