/*
 * rcctl_status - how daemon, office and Redis stand; what is wrong, and what to do.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "core/jd_policy.h"
#include "core/jd_time.h"
#include "rcctl_redis.h"
#include "rcd_clock.h"
#include "rcd_json.h"
#include "rcd_lift.h"

#define FAULTS_MAX        16
#define SHRUNK_TOLD_SEC   86400   /* an alarm of shrinking stands for so long */
#define CONTACT_LATE_SEC  300     /* heads come each few seconds; so old a contact wants a look */

typedef struct {
    char what[400];
    char mend[200];
} fault_t;

typedef struct {
    const rcctl_t *r;
    cJSON         *daemon;         /* NULL: no status.json */
    int64_t        daemon_age;
    int            alive;
    int            has_meta;
    jd_meta_t      meta;
    int            has_lifts;
    rcd_lift_times_t lifts;
    fault_t        faults[FAULTS_MAX];
    unsigned       faults_n;
    int            unreachable;
} status_t;

static void add_fault(status_t *s, const char *mend, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void add_fault(status_t *s, const char *mend, const char *format, ...)
{
    fault_t *f = &s->faults[s->faults_n];
    va_list args;

    if (s->faults_n == FAULTS_MAX) {
        return;
    }
    s->faults_n++;
    va_start(args, format);
    vsnprintf(f->what, sizeof(f->what), format, args);
    va_end(args);
    snprintf(f->mend, sizeof(f->mend), "%s", mend);
}

/* The member at "object.name" of status.json as text ("" when absent), number (0) or truth (0). */
static const cJSON *member(const status_t *s, const char *object, const char *name)
{
    const cJSON *o = object ? cJSON_GetObjectItemCaseSensitive(s->daemon, object) : s->daemon;

    return cJSON_GetObjectItemCaseSensitive(o, name);
}

static const char *text(const status_t *s, const char *object, const char *name)
{
    const char *value = cJSON_GetStringValue(member(s, object, name));

    return value ? value : "";
}

static int64_t number(const status_t *s, const char *object, const char *name)
{
    const cJSON *value = member(s, object, name);

    return cJSON_IsNumber(value) ? (int64_t) value->valuedouble : 0;
}

static int truth(const status_t *s, const char *object, const char *name)
{
    return cJSON_IsTrue(member(s, object, name));
}

static const cJSON *lane(const status_t *s, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(s->daemon, "lanes"),
                                            name);
}

static const char *lane_text(const status_t *s, const char *name, const char *field)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(lane(s, name), field);
    const char *value = cJSON_GetStringValue(item);

    return value ? value : "";
}

/* ---- what is wrong ------------------------------------------------------------------------ */

static void judge_lane(status_t *s, const char *name)
{
    const char *fault = lane_text(s, name, "fault"), *kid = lane_text(s, name, "kid");

    if (fault[0] == '\0') {
        return;
    }
    if (kid[0] != '\0') {
        add_fault(s, "ask the office which key that is; add it to [office] jwks_file, then SIGHUP",
                  "the %s lane stands at a token of key %s: %s", name, kid, fault);
    } else {
        add_fault(s, "see that the office answers, and [office] of the configuration",
                  "the %s lane does not move: %s", name, fault);
    }
}

static void judge_contact(status_t *s)
{
    int64_t age = number(s, "contact", "age_sec");
    const char *fault = text(s, "contact", "fault");

    if (number(s, "contact", "verified_at") == 0) {
        add_fault(s, "see the lanes above, and the daemon's log",
                  "no contact with the office yet, so nothing can be enforced%s%s",
                  fault[0] ? ": " : "", fault);
    } else if (age > CONTACT_LATE_SEC) {
        add_fault(s, "reach the office; past a gate's max_stale nothing is enforced",
                  "the last contact with the office was %s ago%s%s", rcctl_span(age),
                  fault[0] ? ": " : "", fault);
    }
}

static void judge_marks(status_t *s)
{
    if (truth(s, "marks", "forked")) {
        add_fault(s, "ask the office; when it has begun a new epoch N: rcctl approve --epoch N",
                  "the office sent other content at a place already known (a restored backup?)");
    }
    if (truth(s, "marks", "relief_behind") || truth(s, "marks", "changes_gap")) {
        const char *fault = text(s, "snapshot", "fault");

        add_fault(s, "nothing while a snapshot is on its way; else ask the office for one",
                  "something was missed and waits for a snapshot%s%s", fault[0] ? ": " : "", fault);
    }
}

/* Denials that nobody signs for, or that cannot be counted, want a look; a batch on its way does not. */
static void judge_ledger(status_t *s)
{
    if (text(s, "ledger", "fault")[0] != '\0') {
        add_fault(s, "see that the office answers POST ledger; nothing is lost meanwhile",
                  "denials wait for the office's receipt: %s", text(s, "ledger", "fault"));
    }
    if (number(s, "ledger", "refused") > 0) {
        add_fault(s, "see who else writes to Redis; gates write only what is of its form",
                  "%" PRId64 " ledger keys or fields in Redis are not of their form: %s",
                  number(s, "ledger", "refused"), text(s, "ledger", "refused_why"));
    }
    if (number(s, "ledger", "disagree") > 0) {
        add_fault(s, "nothing for some minutes; then see the gates' logs for their ledger file",
                  "%" PRId64 " periods are closed by their gate with another sum than the journal's",
                  number(s, "ledger", "disagree"));
    }
}

static void judge_holders(status_t *s)
{
    const cJSON *waiting = member(s, "holders", "waiting");

    if (text(s, "holders", "fault")[0] != '\0') {
        add_fault(s, "rcctl holders import --full FILE", "cards of holders are not reached: %s",
                  text(s, "holders", "fault"));
    }
    if (text(s, "holders", "file_fault")[0] != '\0') {
        add_fault(s, "mend the file; it is read again when it changes",
                  "[holders] file cannot be used: %s", text(s, "holders", "file_fault"));
    }
    if (cJSON_IsObject(waiting)) {
        char mend[200];

        snprintf(mend, sizeof(mend), "see whether the file is right, then rcctl approve --holders %s",
                 cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(waiting, "file")));
        add_fault(s, mend, "an import of holders waits: of %.0f cards of people and bodies under an "
                  "order it changes %.0f",
                  cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(waiting, "listed")),
                  cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(waiting, "listed_changed")));
    }
    if (number(s, "holders", "refused") > 0 || number(s, "holders", "doubt") > 0) {
        add_fault(s, "correct these lines in the export, then import it again",
                  "the last import of holders had unreadable lines: %" PRId64 "; cards in doubt, "
                  "which match nobody: %" PRId64,
                  number(s, "holders", "refused"), number(s, "holders", "doubt"));
    }
    if (number(s, "holders", "two") > 0) {
        add_fault(s, "find out whose they are: rcctl holders show, then remove or import",
                  "cards with two holders at once, which match neither: %" PRId64
                  "; of somebody under an order: %" PRId64,
                  number(s, "holders", "two"), number(s, "holders", "two_listed"));
    }
    if (number(s, "holders", "over_orders") > 0) {
        add_fault(s, "nothing breaks; tell the office of it",
                  "cards with more orders than a record holds: %" PRId64
                  "; orders left out, those that end soonest: %" PRId64,
                  number(s, "holders", "over_cards"), number(s, "holders", "over_orders"));
    }
}

static void judge_audit(status_t *s)
{
    if (text(s, "audit", "fault")[0] != '\0') {
        add_fault(s, "make room, or mend audit.log in the state folder; nothing is lost meanwhile",
                  "the audit chain cannot be written, %" PRId64 " records wait in the journal: %s",
                  number(s, "audit", "pending"), text(s, "audit", "fault"));
    }
}

static void judge_stays(status_t *s)
{
    int64_t lost = number(s, "stays", "lost");

    if (lost > 0) {
        add_fault(s, "see rcctl stays; then for each: rcctl stay --subject --renew ID --reason TEXT",
                  "%" PRId64 " stay%s of %s made under a digest key that is over: it reaches nobody",
                  lost, lost == 1 ? "" : "s", lost == 1 ? "a person was" : "persons were");
    }
}

/* What waits for the operator, and what he should have seen. */
static void judge_growth(status_t *s)
{
    const cJSON *growth = cJSON_GetObjectItemCaseSensitive(s->daemon, "growth");
    const cJSON *held = cJSON_GetObjectItemCaseSensitive(growth, "held");
    int64_t shrunk_at = number(s, "growth", "shrunk_at");
    const char *hash = rcd_json_string(held, "hash");
    uint64_t adds = 0, terms = 0;

    if (hash != NULL && !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(held, "approved"))) {
        rcd_json_uint(held, "additions", RCD_JSON_INT_MAX, &adds);
        rcd_json_uint(held, "widenings", RCD_JSON_INT_MAX, &terms);
        add_fault(s, "rcctl approve shows it; ask the office, then rcctl approve HASH",
                  "%s waits for approval: it adds %" PRIu64 " orders and widens %" PRIu64
                  "; what frees is applied (snapshot %.8s)",
                  cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(held, "first"))
                      ? "the first list of all" : "a snapshot", adds, terms, hash);
    }
    if (shrunk_at > rcd_clock_wall() - SHRUNK_TOLD_SEC) {
        add_fault(s, "ask the office whether it meant it; it is applied",
                  "the list shrank from %" PRId64 " to %" PRId64 " orders within an hour, %s ago",
                  number(s, "growth", "shrunk_from"), number(s, "growth", "shrunk_to"),
                  rcctl_span(rcd_clock_wall() - shrunk_at));
    }
}

static void judge_daemon(status_t *s)
{
    const char *redis_state = text(s, "redis", "state");

    if (!s->alive) {
        add_fault(s, "start restrict-cached, or see its log for why it hangs",
                  "the daemon does not run: its status is %s old", rcctl_span(s->daemon_age));
        s->unreachable = 1;
        return;
    }
    if (text(s, NULL, "reload_fault")[0] != '\0') {
        add_fault(s, "mend the file, then SIGHUP", "the last reload was refused: %s",
                  text(s, NULL, "reload_fault"));
    }
    if (truth(s, NULL, "standby")) {
        return;
    }
    judge_stays(s);
    judge_lane(s, "relief");
    judge_lane(s, "changes");
    judge_contact(s);
    judge_marks(s);
    judge_ledger(s);
    judge_holders(s);
    judge_audit(s);
    judge_growth(s);
    if (strcmp(redis_state, "ready") != 0) {
        add_fault(s, "see Redis and [redis] of the configuration",
                  "the daemon's link to Redis is %s: %s", redis_state, text(s, "redis", "fault"));
    } else if (text(s, "redis", "fault")[0] != '\0') {
        add_fault(s, "set it so in Redis's configuration", "%s", text(s, "redis", "fault"));
    }
}

static void judge_meta(status_t *s, int64_t now)
{
    const jd_meta_t *m = &s->meta;
    const jd_key_t *current = &s->r->config->keys.key[0];

    if (strcmp(m->key_id, current->id) != 0 || strcmp(m->key_check, current->check) != 0) {
        add_fault(s, "SIGHUP the daemon; it fills a new era under the current key",
                  "the list in Redis was made under key %s, the current one is %s", m->key_id,
                  current->id);
    }
    if (now - m->beat > RCCTL_ALIVE_SEC) {
        add_fault(s, "see that one restrict-cached runs and reaches this Redis",
                  "nobody has written to Redis for %s", rcctl_span(now - m->beat));
    }
    if (now - m->office_at > JD_CLOCK_SKEW_SEC + (now - m->beat) ||
        m->office_at - now > JD_CLOCK_SKEW_SEC) {
        add_fault(s, "see the time service of this machine, and the office's",
                  "this machine's clock and the office's differ by more than 5 min: nothing is "
                  "enforced");
    }
}

/* ---- gathering ---------------------------------------------------------------------------- */

static void read_daemon(status_t *s)
{
    char err[512];

    s->daemon = rcctl_daemon_status(s->r, &s->daemon_age, err, sizeof(err));
    if (s->daemon == NULL) {
        add_fault(s, "start restrict-cached with this configuration", "no word of the daemon: %s",
                  err);
        s->unreachable = 1;
        return;
    }
    s->alive = s->daemon_age <= RCCTL_ALIVE_SEC;
    judge_daemon(s);
}

static void read_redis(status_t *s)
{
    static const char mend[] = "see Redis and [redis] of the configuration";
    redisContext *c;
    char err[256];
    int rc;

    c = rcctl_redis_open(s->r->config, err, sizeof(err));
    if (c == NULL) {
        add_fault(s, mend, "%s", err);
        s->unreachable = 1;
        return;
    }
    rc = rcctl_redis_meta(c, s->r->config->list, &s->meta, err, sizeof(err));
    redisFree(c);
    if (rc == JD_META_OK) {
        s->has_meta = 1;
        judge_meta(s, rcd_clock_wall());
    } else {
        add_fault(s, rc < 0 ? mend : "a running daemon fills it; see its log", "%s", err);
        s->unreachable |= rc < 0;
    }
}

/* ---- answers ------------------------------------------------------------------------------ */

static void print_time(const char *label, int64_t at)
{
    int64_t age = rcd_clock_wall() - at;
    char when[26];

    if (at <= 0) {
        printf("  %-10s never\n", label);
        return;
    }
    jd_time_print(at, when);
    printf("  %-10s %s, %s ago\n", label, when, rcctl_span(age > 0 ? age : 0));
}

static void print_audit(const status_t *s)
{
    if (member(s, "audit", "records") == NULL) {
        return;
    }
    printf("  %-10s %" PRId64 " records, ", "audit", number(s, "audit", "records"));
    if (text(s, "audit", "kid")[0] == '\0') {
        puts("nothing of the audit chain is signed: no [audit] key_file");
    } else {
        printf("signed up to record %" PRId64 "\n", number(s, "audit", "checkpoint"));
    }
}

static void print_daemon(const status_t *s)
{
    printf("daemon\n  %-10s %s%s, pid %" PRId64 ", version ", "state",
           s->alive ? "running" : "not running", truth(s, NULL, "standby") ? ", standing by" : "",
           number(s, NULL, "pid"));
    rcctl_text(stdout, text(s, NULL, "version"));
    putchar('\n');
    print_time("contact", number(s, "contact", "verified_at"));
    printf("  %-10s epoch %" PRId64 ", changes %" PRId64 " of %" PRId64 ", relief %" PRId64
           " of %" PRId64 "\n",
           "reached", number(s, "marks", "epoch"), number(s, "marks", "seq"),
           number(s, "head", "seq"), number(s, "marks", "relief_seq"),
           number(s, "head", "relief_seq"));
    rcctl_line("relief", lane_text(s, "relief", "state"));
    rcctl_line("changes", lane_text(s, "changes", "state"));
    rcctl_line("snapshot", text(s, "snapshot", "state"));
    if (truth(s, "snapshot", "applying")) {
        printf("  %-10s %" PRId64 " of %" PRId64 " records\n", "applying",
               number(s, "snapshot", "done"), number(s, "snapshot", "total"));
    }
    printf("  %-10s %" PRId64 " orders, %" PRId64 " at the last approval or 7 days ago; may grow by %"
           PRId64 "\n", "list", number(s, "growth", "size"), number(s, "growth", "baseline"),
           number(s, "growth", "allowance"));
    if (number(s, "growth", "relisted") > 0) {
        printf("  %-10s %" PRId64 " orders on a basis that had ended within 30 days before\n",
               "relisted", number(s, "growth", "relisted"));
    }
    rcctl_line("to redis", text(s, "redis", "state"));
    printf("  %-10s %" PRId64 " records, %" PRId64 " reliefs\n", "unwritten",
           number(s, "redis", "dirty"), number(s, "redis", "relief_pending"));
    printf("  %-10s %" PRId64 " periods open, %" PRId64 " totals without a receipt\n", "ledger",
           number(s, "ledger", "open"), number(s, "ledger", "unsent"));
    print_audit(s);
}

static void print_meta(const jd_meta_t *m)
{
    printf("redis\n  %-10s %" PRIu64 ", %" PRIu64 " subjects in %u buckets, change %" PRIu64 "\n",
           "era", m->era, m->count, 1u << m->bits, m->last_id);
    rcctl_line("key", m->key_id);
    print_time("true at", m->verified_at);
    print_time("written", m->beat);
}

static void print_text(const status_t *s)
{
    printf("list %s\n", s->r->config->list);
    if (s->daemon != NULL) {
        print_daemon(s);
    }
    if (s->has_meta) {
        print_meta(&s->meta);
    }
    if (s->has_lifts) {
        rcctl_lifts_print(&s->lifts);
    }
    if (s->faults_n == 0) {
        puts("all is well");
    }
    for (unsigned i = 0; i < s->faults_n; i++) {
        fputs("WRONG: ", stdout);
        rcctl_text(stdout, s->faults[i].what);
        printf("\n   DO: %s\n", s->faults[i].mend);
    }
}

static void print_json(status_t *s)
{
    const jd_meta_t *m = &s->meta;
    cJSON *j = cJSON_CreateObject(), *o;

    cJSON_AddStringToObject(j, "list", s->r->config->list);
    cJSON_AddBoolToObject(j, "ok", s->faults_n == 0);
    o = cJSON_AddArrayToObject(j, "faults");
    for (unsigned i = 0; i < s->faults_n; i++) {
        cJSON *f = cJSON_CreateObject();

        cJSON_AddStringToObject(f, "what", s->faults[i].what);
        cJSON_AddStringToObject(f, "do", s->faults[i].mend);
        cJSON_AddItemToArray(o, f);
    }
    cJSON_AddBoolToObject(j, "daemon_running", s->alive);
    if (s->daemon != NULL) {
        cJSON_AddItemToObject(j, "daemon", cJSON_Duplicate(s->daemon, 1));
    }
    if (s->has_meta) {
        o = cJSON_AddObjectToObject(j, "redis");
        cJSON_AddNumberToObject(o, "schema", m->schema);
        cJSON_AddNumberToObject(o, "era", (double) m->era);
        cJSON_AddNumberToObject(o, "last_id", (double) m->last_id);
        cJSON_AddNumberToObject(o, "epoch", m->epoch);
        cJSON_AddNumberToObject(o, "seq", (double) m->seq);
        cJSON_AddNumberToObject(o, "relief_seq", (double) m->relief_seq);
        cJSON_AddNumberToObject(o, "count", (double) m->count);
        cJSON_AddStringToObject(o, "key_id", m->key_id);
        cJSON_AddNumberToObject(o, "verified_at", (double) m->verified_at);
        cJSON_AddNumberToObject(o, "office_at", (double) m->office_at);
        cJSON_AddNumberToObject(o, "beat", (double) m->beat);
    }
    if (s->has_lifts) {
        rcctl_lifts_json(j, &s->lifts);
    }
    rcctl_json(j);
}

int rcctl_status(rcctl_t *r, int argc, char **argv)
{
    status_t s = {.r = r};

    if (rcctl_options(r, argc, argv, NULL, 0) < 0 || rcctl_config(r) != 0) {
        return RCCTL_USAGE;
    }
    read_daemon(&s);
    read_redis(&s);
    s.has_lifts = rcctl_lifts_read(r, &s.lifts) == 0;
    if (r->json) {
        print_json(&s);
    } else {
        print_text(&s);
    }
    cJSON_Delete(s.daemon);
    return s.unreachable ? RCCTL_UNREACHABLE : s.faults_n > 0 ? RCCTL_FAULT : RCCTL_OK;
}
