/*
 * state_driver - the daemon's state and writer behind a line of text: one command a line on stdin,
 * one JSON object a line on stdout.
 *
 *   state_driver DIR LIST KEY ADDRESS|- EXPECTED [disable=MEASURE]
 *
 * Between commands it steps the writer to Redis as the daemon's loop does ("-": no writer). KEY is
 * "<id>:<32 hex>".
 *
 *   change EPOCH SEQ IAT JTI JSON          lift EPOCH SEQ IAT JTI NUMBER MASK        mark EPOCH SEQ
 *   IAT JTI NUMBER 0|1
 *   head NOW IAT EPOCH SEQ RELIEF_SEQ      approve EPOCH                             tick NOW
 *   OFFICE_NOW
 *   snapshot PATH EPOCH SEQ RELIEF_SEQ IAT 0|1      approve-list     status      urgent NUMBER MASK   pause      go
 *   quit
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "core/jd_measure.h"
#include "core/jd_policy.h"
#include "rcd_audit_file.h"
#include "rcd_clock.h"
#include "rcd_hold.h"
#include "rcd_state.h"

static rcd_rules_t     rules;
static jd_key_t        key;
static char           *authority[] = {(char *) "Credit Office", (char *) "City Transit"};
static rcd_state_t    *state;
static rcd_redis_t    *writer;
static rcd_snapshot_t *snapshot;
static int             paused;

static void set_rules(const char *key_text, const char *disabled)
{
    jd_keys_t keys;
    const char *why;
    char line[128];

    snprintf(line, sizeof(line), "%s", key_text);
    *strchr(line, ':') = ' ';
    if (jd_keys_parse(&keys, line, strlen(line), &why) != 0) {
        fprintf(stderr, "key: %s\n", why);
        exit(2);
    }
    key = keys.key[0];
    rules.key = &key;
    rules.accept_card_subjects = 1;
    for (int i = 0; i < JD_MEASURE_N; i++) {
        rules.rule[i] = (rcd_measure_rule_t){
            .enabled = disabled == NULL || strcmp(disabled, jd_measure_names[i]) != 0,
            .legal_source = (char *) "test", .authorities = authority, .n_authorities = 2,
            .max_term_sec = JD_TERM_MAX_SEC};
    }
}

static void print_result(const rcd_result_t *r)
{
    static const char *const names[] = {"ack", "ack_quarantined", "gap", "fork", "io"};

    printf("{\"outcome\":\"%s\",\"code\":\"%s\",\"why\":\"%s\"}\n", names[r->outcome],
           rcd_quarantine_names[r->code], r->why);
}

/* "EPOCH SEQ IAT JTI rest": returns the rest. */
static char *read_event(char *args, rcd_event_t *ev)
{
    int n = 0;

    memset(ev, 0, sizeof(*ev));
    if (sscanf(args, "%u %lu %ld %128s %n", &ev->epoch, &ev->seq, &ev->iat, ev->jti, &n) != 4) {
        fprintf(stderr, "bad event: %s\n", args);
        exit(2);
    }
    jd_siphash128(key.digest_key, args, strlen(args), ev->payload_hash);
    return args + n;
}

static void change(char *args)
{
    rcd_event_t ev;
    rcd_result_t res;
    char *json = read_event(args, &ev), *at = strstr(json, "\"order\":");

    ev.kind = RCD_EV_ORDER;
    ev.record_json = json;
    ev.record_len = strlen(json);
    if (at != NULL) {
        sscanf(at, "\"order\":%*[ ]\"%64[^\"]", ev.number);
        sscanf(at, "\"order\":\"%64[^\"]", ev.number);
    }
    rcd_apply_changes(state, &rules, &ev, 1, &res);
    print_result(&res);
}

static void relief(char *args, rcd_event_kind_t kind)
{
    rcd_event_t ev;
    rcd_result_t res;
    char *rest = read_event(args, &ev);
    unsigned value = 0;

    sscanf(rest, "%64s %x", ev.number, &value);
    ev.kind = kind;
    ev.lifted = (uint16_t) (kind == RCD_EV_LIFT ? value : 0);
    ev.objection = kind == RCD_EV_MARK && value != 0;
    rcd_apply_relief(state, &ev, 1, &res);
    print_result(&res);
}

static void head(const char *args)
{
    long now, iat;
    unsigned epoch;
    unsigned long seq, relief_seq;
    char why[160];
    int rc;

    sscanf(args, "%ld %ld %u %lu %lu", &now, &iat, &epoch, &seq, &relief_seq);
    rc = rcd_state_head(state, now, iat, epoch, seq, relief_seq, why, sizeof(why));
    printf("{\"contact\":%d,\"why\":\"%s\"}\n", rc, why);
}

static void begin_snapshot(const char *args)
{
    char path[512], err[256];
    unsigned epoch;
    unsigned long seq, relief_seq;
    rcd_statement_t st;
    rcd_marks_t marks;
    long iat;
    int observe;

    sscanf(args, "%511s %u %lu %lu %ld %d", path, &epoch, &seq, &relief_seq, &iat, &observe);
    rcd_state_marks(state, &marks);
    st = (rcd_statement_t){.epoch = epoch, .seq = seq, .relief_seq = relief_seq, .iat = iat,
                           .asked_relief_seq = marks.relief_seq};
    jd_siphash128(key.digest_key, path, strlen(path), st.sha256);
    snapshot = rcd_snapshot_begin(state, &rules, path, observe ? NULL : &st, iat, err, sizeof(err));
    if (snapshot == NULL) {
        printf("{\"error\":\"%s\"}\n", err);
    }
}

/* Approves what waits and begins to apply it; its end prints. */
static void approve_list(void)
{
    const rcd_held_t *h = rcd_hold_waits(state);
    char err[256] = "nothing waits", hash[65];

    if (h != NULL) {
        memcpy(hash, h->hash, sizeof(hash));
        if (h->approved || rcd_hold_approve(state, hash, 1, "tester", err, sizeof(err)) == 0) {
            snapshot = rcd_snapshot_approved(state, &rules, time(NULL), err, sizeof(err));
        }
    }
    if (snapshot == NULL) {
        printf("{\"error\":\"%s\"}\n", err);
    }
}

static void step_snapshot(void)
{
    rcd_snapshot_counts_t c;
    uint64_t done, total;
    char err[256];
    int rc = rcd_snapshot_step(snapshot, &done, &total, err, sizeof(err));

    if (rc > 0) {
        return;
    }
    rcd_snapshot_counts(snapshot, &c);
    rcd_snapshot_end(snapshot);
    snapshot = NULL;
    if (rc < 0) {
        printf("{\"error\":\"%s\"}\n", err);
    } else if (c.held) {
        printf("{\"held\":\"%s\",\"additions\":%lu,\"widenings\":%lu}\n", c.hash, c.adds_orders,
               c.adds_terms);
    } else {
        printf("{\"applied\":%lu,\"unchanged\":%lu,\"quarantined\":%lu,\"dropped\":%lu}\n",
               c.applied, c.unchanged, c.quarantined, c.dropped);
    }
}

static long rss_kb(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    long kb = 0;

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        sscanf(line, "VmHWM: %ld", &kb);
    }
    if (f != NULL) {
        fclose(f);
    }
    return kb;
}

static void status(void)
{
    rcd_redis_status_t r = {.state = "none"};
    rcd_counts_t c = {0};
    rcd_marks_t m;

    if (writer != NULL) {
        rcd_redis_status(writer, &r);
    }
    rcd_state_marks(state, &m);
    rcd_state_counts(state, &c);
    printf("{\"state\":\"%s\",\"fault\":\"%s\",\"era\":%lu,\"last_id\":%lu,\"count\":%lu,"
           "\"dirty\":%lu,\"relief_pending\":%lu,\"refills\":%lu,\"epoch\":%u,\"seq\":%lu,"
           "\"relief_seq\":%lu,\"behind\":%d,\"gap\":%d,\"forked\":%d,\"verified_at\":%ld,"
           "\"journal\":\"%s\",\"live\":%lu,\"relief\":%lu,\"quarantined\":%lu,\"peak_kb\":%ld}\n",
           r.state, r.fault, r.era, r.last_id, r.count, r.dirty, r.relief_pending, r.refills,
           m.epoch, m.seq, m.relief_seq, m.relief_behind, m.changes_gap, m.forked, m.verified_at,
           m.journal, c.live, c.relief, c.quarantined, rss_kb());
}

static void command(char *line)
{
    char *args = strchr(line, ' ');
    char number[JD_ORDER_NUMBER_MAX + 1] = "", err[160] = "";
    long now = 0, office_now = 0;
    unsigned value = 0;

    if (args != NULL) {
        *args++ = '\0';
    }
    if (strcmp(line, "change") == 0) {
        change(args);
    } else if (strcmp(line, "lift") == 0) {
        relief(args, RCD_EV_LIFT);
    } else if (strcmp(line, "mark") == 0) {
        relief(args, RCD_EV_MARK);
    } else if (strcmp(line, "head") == 0) {
        head(args);
    } else if (strcmp(line, "approve") == 0) {
        int rc = rcd_state_approve_epoch(state, (uint32_t) atoi(args), err, sizeof(err));
        printf("{\"rc\":%d,\"error\":\"%s\"}\n", rc, err);
    } else if (strcmp(line, "tick") == 0) {
        sscanf(args, "%ld %ld", &now, &office_now);
        printf("{\"ended\":%d}\n", rcd_state_tick(state, now, office_now));
    } else if (strcmp(line, "snapshot") == 0) {
        begin_snapshot(args);
    } else if (strcmp(line, "approve-list") == 0) {
        approve_list();
    } else if (strcmp(line, "status") == 0) {
        status();
    } else if (strcmp(line, "urgent") == 0) {
        sscanf(args, "%64s %x", number, &value);
        jd_relief_t r = {.lifted = (uint16_t) value};
        rcd_redis_relief_now(writer, number, &r);
        printf("{}\n");
    } else if (strcmp(line, "pause") == 0 || strcmp(line, "go") == 0) {
        paused = line[0] == 'p';
        printf("{}\n");
    } else {
        printf("{\"error\":\"unknown command\"}\n");
    }
}

/* One line if there is one; 0 at the end of input or "quit". */
static int read_line(int wait_ms)
{
    static char buffer[1 << 17];
    static size_t len;
    struct pollfd p = {.fd = 0, .events = POLLIN};
    char *end = memchr(buffer, '\n', len);

    if (end == NULL) {
        if (poll(&p, 1, wait_ms) <= 0) {
            return 1;
        }
        ssize_t n = read(0, buffer + len, sizeof(buffer) - 1 - len);
        if (n <= 0) {
            return 0;
        }
        len += (size_t) n;
        return 1;
    }
    *end = '\0';
    if (strcmp(buffer, "quit") == 0) {
        return 0;
    }
    command(buffer);
    len -= (size_t) (end + 1 - buffer);
    memmove(buffer, end + 1, len);
    return 1;
}

int main(int argc, char **argv)
{
    const rcd_audit_signer_t unsigned_chain = {.every_records = 1000, .every_sec = 600};
    rcd_audit_file_t *audit;
    char err[256];
    int wait = 0, next;

    if (argc < 6) {
        fprintf(stderr, "usage: state_driver DIR LIST KEY ADDRESS|- EXPECTED [disable=MEASURE]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    set_rules(argv[3], argc > 6 ? argv[6] + strlen("disable=") : NULL);
    state = rcd_state_open(argv[1], argv[2], err, sizeof(err));
    if (state == NULL) {
        fprintf(stderr, "%s\n", err);
        return 1;
    }
    if (strcmp(argv[4], "-") != 0) {
        rcd_redis_conf_t conf = {.address = argv[4], .auth_file = getenv("JD_AUTH_FILE"),
                                 .list = argv[2], .expected = (uint32_t) atoi(argv[5]),
                                 .rules = &rules};
        writer = rcd_redis_create(&conf, state);
    }
    audit = rcd_audit_file_create(state, &unsigned_chain);
    while (read_line(snapshot != NULL ? 0 : wait)) {
        int64_t now = time(NULL);

        wait = writer != NULL && !paused ? rcd_redis_step(writer, now, now) : 1000;
        if (snapshot != NULL) {
            step_snapshot();
        }
        next = rcd_audit_file_step(audit, rcd_clock_ms(), now);
        wait = wait < next ? wait : next;
    }
    rcd_audit_file_flush(audit, time(NULL));
    rcd_audit_file_destroy(audit);
    if (snapshot != NULL) {
        rcd_snapshot_end(snapshot);
    }
    if (writer != NULL) {
        rcd_redis_destroy(writer);
    }
    rcd_state_close(state);
    return 0;
}
