/*
 * rcctl_audit_show - "rcctl audit show": an order's whole life by the chain, or the newest records.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/jd_measure.h"
#include "core/jd_time.h"
#include "rcctl_audit.h"
#include "rcd_audit_file.h"
#include "rcd_audit_read.h"
#include "rcd_json.h"
#include "rcd_ledger_rows.h"
#include "rcd_lift.h"

#define LAST_MAX     100000
#define NOT_FOUND    1
#define LONG_TEXT    300

typedef struct {
    const char *number;
    cJSON      *records;           /* array: every record that names the order */
    cJSON      *texts;             /* the record `text` of its newest version, or NULL */
    cJSON      *months;            /* array of {month, measure, denied} */
    int         months_known;
    /* of `records`, borrowed; NULL: none */
    const cJSON *applied, *version, *term, *lift, *ended;      /* term: also of a narrowed version */
    unsigned    amended;
    /* of the first lift, as the journal knows it; applied 0: not known */
    rcd_lift_course_t course;
} life_t;

/* ---- a record, for people -------------------------------------------------------------------- */

static void when(int64_t at, char out[26])
{
    jd_time_print(at, out);
}

static int64_t number(const cJSON *o, const char *name)
{
    uint64_t value = 0;

    return rcd_json_uint(o, name, RCD_JSON_INT_MAX, &value) == 1 ? (int64_t) value : 0;
}

static int is_time(const char *name)
{
    static const char *const times[] = {"iat", "toe", "served", "from", "until", "since"};

    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        if (strcmp(name, times[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

static void print_value(const cJSON *m)
{
    char at[26], *text;

    if (cJSON_IsNumber(m) && is_time(m->string)) {
        when((int64_t) m->valuedouble, at);
        fputs(at, stdout);
    } else if (cJSON_IsString(m)) {
        /* signatures are long, and nobody reads them */
        rcctl_text(stdout, strlen(m->valuestring) > LONG_TEXT ? "(signed)" : m->valuestring);
    } else {
        text = cJSON_PrintUnformatted(m);
        rcctl_text(stdout, text != NULL ? text : "?");
        free(text);
    }
}

/* `skip`: a member that stands above already, or NULL. */
static void print_record(const cJSON *record, const char *skip)
{
    char at[26];
    int first = 1;

    when(number(record, "at"), at);
    printf("  %8" PRId64 "  %s  %-13s", number(record, "n"), at,
           rcd_json_string(record, "kind") != NULL ? rcd_json_string(record, "kind") : "?");
    for (const cJSON *m = record->child; m != NULL; m = m->next) {
        if (strcmp(m->string, "n") == 0 || strcmp(m->string, "at") == 0 ||
            strcmp(m->string, "kind") == 0 || strcmp(m->string, "prev") == 0 ||
            strcmp(m->string, "hash") == 0 || (skip != NULL && strcmp(m->string, skip) == 0)) {
            continue;
        }
        printf("%s%s ", first ? " " : ", ", m->string);
        print_value(m);
        first = 0;
    }
    putchar('\n');
}

/* ---- reading --------------------------------------------------------------------------------- */

static int chain_open(rcctl_t *r, const char *file, char path[PATH_MAX + 32])
{
    int fd;

    if (file != NULL) {
        snprintf(path, PATH_MAX + 32, "%s", file);
    } else {
        snprintf(path, PATH_MAX + 32, "%s/" RCD_AUDIT_FILE, r->config->state_dir);
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        rcctl_error("%s: %s", path, strerror(errno));
    }
    return fd;
}

/* Calls `take` with every record from `offset` on that holds `needle` (NULL: all); it takes the record
 * over, and returns 0 to go on. 0, or -1 with errno. Lines that are no records are passed: verify is
 * there to name them. */
static int each_record(int fd, uint64_t offset, const char *needle, int (*take)(void *arg, cJSON *o),
                       void *arg)
{
    rcd_audit_reader_t r;
    rcd_audit_read_t got;
    const char *text, *why;
    size_t len;
    cJSON *o;
    int over = 0;

    if (rcd_audit_reader_init(&r, fd, offset) != 0) {
        errno = ENOMEM;
        return -1;
    }
    while (!over && ((got = rcd_audit_reader_next(&r, &text, &len)) == RCD_AUDIT_READ_LINE ||
                     got == RCD_AUDIT_READ_LONG)) {
        if (got == RCD_AUDIT_READ_LONG ||
            (needle != NULL && memmem(text, len, needle, strlen(needle)) == NULL)) {
            continue;
        }
        o = rcd_json_parse(text, len, &why);
        over = o != NULL && take(arg, o) != 0;
    }
    rcd_audit_reader_fini(&r);
    return !over && got == RCD_AUDIT_READ_FAILED ? -1 : 0;
}

/* ---- --last ---------------------------------------------------------------------------------- */

static int print_one(void *arg, cJSON *o)
{
    const rcctl_t *r = arg;

    if (r->json) {
        rcctl_json(o);
    } else {
        print_record(o, NULL);
        cJSON_Delete(o);
    }
    return 0;
}

static int show_last(rcctl_t *r, int fd, unsigned long last)
{
    off_t end = lseek(fd, 0, SEEK_END);
    uint64_t at = end > 0 ? (uint64_t) end : 0, begin;
    char c;

    /* a line being written has no end yet */
    while (at > 0 && pread(fd, &c, 1, (off_t) (at - 1)) == 1 && c != '\n') {
        at--;
    }
    for (; last > 0 && at > 0 && rcd_audit_line_begin(fd, at, &begin) == 0; last--) {
        at = begin;
    }
    return each_record(fd, at, NULL, print_one, r) == 0 ? RCCTL_OK : RCCTL_USAGE;
}

/* ---- an order's life ------------------------------------------------------------------------- */

static int kind_is(const cJSON *o, const char *kind)
{
    const char *text = rcd_json_string(o, "kind");

    return text != NULL && strcmp(text, kind) == 0;
}

static int take_record(void *arg, cJSON *o)
{
    life_t *life = arg;
    const char *order = rcd_json_string(o, "order");

    if (order == NULL || strcmp(order, life->number) != 0) {
        cJSON_Delete(o);
        return 0;
    }
    cJSON_AddItemToArray(life->records, o);
    if (kind_is(o, "order.applied") || kind_is(o, "order.amended")) {
        life->applied = life->applied != NULL ? life->applied : o;
        life->amended += kind_is(o, "order.amended");
        life->version = life->term = o;
        life->ended = NULL;
    } else if (kind_is(o, "order.narrowed")) {
        life->term = o;
    } else if (kind_is(o, "lift")) {
        life->lift = life->lift != NULL ? life->lift : o;
    } else if (kind_is(o, "order.expired") || kind_is(o, "order.dropped") ||
               kind_is(o, "order.refused")) {
        life->ended = o;
    }
    return 0;
}

static int take_text(void *arg, cJSON *o)
{
    life_t *life = arg;
    const char *id = rcd_json_string(o, "id"), *want = rcd_json_string(life->version, "text");

    if (!kind_is(o, "text") || id == NULL || want == NULL || strcmp(id, want) != 0) {
        cJSON_Delete(o);
        return 0;
    }
    life->texts = o;
    return 1;
}

static int take_month(void *arg, const rcd_ledger_count_t *c, int64_t sent)
{
    life_t *life = arg;
    cJSON *o;

    (void) sent;
    if (strcmp(c->number, life->number) == 0) {
        o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "month", c->month);
        cJSON_AddStringToObject(o, "measure", jd_measure_names[c->measure]);
        cJSON_AddNumberToObject(o, "denied", (double) c->total);
        cJSON_AddItemToArray(life->months, o);
    }
    return 0;
}

/* What the journal alone knows: the months in which the order denied (the ledger keeps nothing nearer),
 * and when its lift took effect. */
static void journal_read(const rcctl_t *r, life_t *life)
{
    char err[300];
    rcd_state_t *s = rcd_state_open_readonly(r->config->state_dir, err, sizeof(err));

    if (s != NULL) {
        life->months_known = rcd_ledger_each_count(s, "", take_month, life) >= 0;
        rcd_lift_course(s, life->number, &life->course);
        rcd_state_close(s);
    }
}

/* Reads the whole chain once, and once more for the authority's words. 0, or -1 with errno. */
static int life_read(const rcctl_t *r, life_t *life, int fd, int journal)
{
    char needle[JD_ORDER_NUMBER_MAX + 16];
    const char *id;

    snprintf(needle, sizeof(needle), "\"order\":\"%s\"", life->number);
    if (each_record(fd, 0, needle, take_record, life) != 0) {
        return -1;
    }
    id = rcd_json_string(life->version, "text");
    if (id != NULL && strlen(id) < 32) {
        snprintf(needle, sizeof(needle), "\"id\":\"%s\"", id);
        if (each_record(fd, 0, needle, take_text, life) != 0) {
            return -1;
        }
    }
    if (journal) {
        journal_read(r, life);
    }
    return 0;
}

static void life_fini(life_t *life)
{
    cJSON_Delete(life->records);
    cJSON_Delete(life->texts);
    cJSON_Delete(life->months);
}

/* Seconds from the claim `from` of the first lift to its record; -1 when it is not known. */
static int64_t lift_took(const life_t *life, const char *from)
{
    int64_t begun = number(life->lift, from), at = number(life->lift, "at");

    return begun > 0 && at >= begun ? at - begun : -1;
}

/* Milliseconds from the daemon's apply to `at`; -1 when it is not known, or not yet. */
static int64_t since_applied(const life_t *life, int64_t at)
{
    return life->course.applied > 0 && at >= life->course.applied ? at - life->course.applied : -1;
}

/* ---- an order's life: for programs ----------------------------------------------------------- */

static void add_time(cJSON *o, const char *name, int64_t at)
{
    if (at > 0) {
        cJSON_AddNumberToObject(o, name, (double) at);
    }
}

static void add_took(cJSON *o, const char *name, int64_t sec)
{
    if (sec >= 0) {
        cJSON_AddNumberToObject(o, name, (double) sec);
    }
}

static void months_json(cJSON *root, life_t *life)
{
    const cJSON *first = life->months->child, *last = first;

    while (last != NULL && last->next != NULL) {
        last = last->next;
    }
    if (first != NULL) {
        cJSON_AddStringToObject(root, "first_month_enforced", rcd_json_string(first, "month"));
        cJSON_AddStringToObject(root, "last_month_enforced", rcd_json_string(last, "month"));
    }
    if (life->months_known) {
        cJSON_AddItemToObject(root, "months", life->months);
        life->months = NULL;
    } else {
        cJSON_AddNullToObject(root, "months");
    }
}

static void life_json(life_t *life)
{
    static const char *const words[] = {"authority", "basis", "relevance"};
    cJSON *root = cJSON_CreateObject(), *o;

    cJSON_AddStringToObject(root, "order", life->number);
    add_time(root, "received", number(life->applied, "iat"));
    add_time(root, "applied", number(life->applied, "at"));
    cJSON_AddNumberToObject(root, "amended", life->amended);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (rcd_json_string(life->texts, words[i]) != NULL) {
            cJSON_AddStringToObject(root, words[i], rcd_json_string(life->texts, words[i]));
        }
    }
    add_time(root, "served", number(life->version, "served"));
    add_time(root, "from", number(life->term, "from"));
    add_time(root, "until", number(life->term, "until"));
    months_json(root, life);
    if (life->lift != NULL) {
        o = cJSON_AddObjectToObject(root, "lifted");
        add_time(o, "act", number(life->lift, "toe"));
        add_time(o, "signed", number(life->lift, "iat"));
        add_time(o, "applied", number(life->lift, "at"));
        add_took(o, "sec_from_act", lift_took(life, "toe"));
        add_took(o, "sec_from_signature", lift_took(life, "iat"));
        add_took(o, "ms_to_redis", since_applied(life, life->course.redis));
        add_took(o, "ms_to_first_gateway", since_applied(life, life->course.first));
        add_took(o, "ms_to_newest_gateway", since_applied(life, life->course.last));
        if (life->course.applied > 0) {
            cJSON_AddNumberToObject(o, "gateways", life->course.gates);
        }
    }
    if (life->ended != NULL) {
        o = cJSON_AddObjectToObject(root, "ended");
        cJSON_AddStringToObject(o, "how", rcd_json_string(life->ended, "kind") + strlen("order."));
        add_time(o, "at", number(life->ended, "at"));
    }
    cJSON_AddItemToObject(root, "records", life->records);
    life->records = NULL;
    rcctl_json(root);
}

/* ---- an order's life: for people ------------------------------------------------------------- */

static void print_times(const char *label, const cJSON *o, const char *a_label, const char *a,
                        const char *b_label, const char *b)
{
    char text[160], one[26], two[26];

    if (o == NULL) {
        return;
    }
    when(number(o, a), one);
    when(number(o, b), two);
    if (number(o, a) > 0) {
        snprintf(text, sizeof(text), "%s %s, %s %s", a_label, one, b_label, two);
    } else {
        snprintf(text, sizeof(text), "%s %s", b_label, two);
    }
    rcctl_line(label, text);
}

static void print_months(const life_t *life)
{
    const cJSON *m;
    int first = 1;

    if (!life->months_known) {
        rcctl_line("enforced", "not known: without the journal there is no ledger");
        return;
    }
    if (life->months->child == NULL) {
        rcctl_line("enforced", "no denial in the ledger");
        return;
    }
    printf("  %-10s by month, the ledger keeps no days:", "enforced");
    cJSON_ArrayForEach(m, life->months) {
        printf("%s %s %s %" PRId64, first ? "" : ",", rcd_json_string(m, "month"),
               rcd_json_string(m, "measure"), number(m, "denied"));
        first = 0;
    }
    putchar('\n');
}

static void print_lift(const life_t *life)
{
    int64_t act = lift_took(life, "toe"), signature = lift_took(life, "iat");
    char text[128] = "";

    if (life->lift == NULL) {
        return;
    }
    print_times("lifted", life->lift, "act", "toe", "signed", "iat");
    print_times("", life->lift, "", "", "in the journal", "at");
    if (act >= 0) {
        snprintf(text, sizeof(text), "%s from the act to the journal", rcctl_span(act));
        rcctl_line("took", text);
    }
    if (signature >= 0) {
        snprintf(text, sizeof(text), "%s from the office's signature to the journal",
                 rcctl_span(signature));
        rcctl_line("took", text);
    }
    if (since_applied(life, life->course.redis) >= 0) {
        snprintf(text, sizeof(text), "%" PRId64 " ms from there to Redis",
                 since_applied(life, life->course.redis));
        rcctl_line("took", text);
    }
    if (since_applied(life, life->course.first) >= 0) {
        snprintf(text, sizeof(text), "%" PRId64 " ms to the first gateway, %" PRId64
                 " ms to the newest of %u", since_applied(life, life->course.first),
                 since_applied(life, life->course.last), life->course.gates);
        rcctl_line("took", text);
    }
}

static int truth(const cJSON *o, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, name));
}

/* One line for a stay, its end, an objection: what freed the person for a while. */
static void print_relief(const cJSON *o)
{
    const char *user = rcd_json_string(o, "user"), *reason = rcd_json_string(o, "reason");
    char text[600], at[26], until[40] = "until ended";

    when(number(o, "at"), at);
    if (kind_is(o, "mark")) {
        print_times(truth(o, "objection") ? "objection" : "withdrawn", o, "signed", "iat",
                    "in the journal", "at");
        return;
    }
    if (kind_is(o, "stay") && number(o, "until") > 0) {
        strcpy(until, "until ");
        when(number(o, "until"), until + strlen(until));
    }
    snprintf(text, sizeof(text), "%s%s%s%s%s%s%s", at, kind_is(o, "stay") ? ", " : "",
             kind_is(o, "stay") ? until : "", user != NULL ? ", by " : "", user != NULL ? user : "",
             reason != NULL ? ": " : "", reason != NULL ? reason : "");
    if (kind_is(o, "stay") || kind_is(o, "unstay")) {
        rcctl_line(kind_is(o, "stay") ? "stayed" : "stay ended", text);
    } else if (kind_is(o, "objection")) {
        rcctl_line(truth(o, "stands") ? "objection" : "withdrawn", text);
    }
}

static void life_print(const life_t *life)
{
    char text[64];
    const cJSON *o;

    fputs("order ", stdout);
    rcctl_text(stdout, life->number);
    putchar('\n');
    print_times("received", life->applied, "signed", "iat", "applied", "at");
    rcctl_line("authority", rcd_json_string(life->texts, "authority"));
    rcctl_line("basis", rcd_json_string(life->texts, "basis"));
    rcctl_line("relevance", rcd_json_string(life->texts, "relevance"));
    print_times("term", life->term, "from", "from", "until", "until");
    if (life->amended > 0) {
        snprintf(text, sizeof(text), "%u time%s", life->amended, life->amended == 1 ? "" : "s");
        rcctl_line("amended", text);
    }
    print_months(life);
    cJSON_ArrayForEach(o, life->records) {
        print_relief(o);
    }
    print_lift(life);
    if (life->ended != NULL) {
        print_times(rcd_json_string(life->ended, "kind") + strlen("order."), life->ended, "signed",
                    "iat", "in the journal", "at");
    }
    puts("records");
    cJSON_ArrayForEach(o, life->records) {
        print_record(o, "order");
    }
}

static int show_order(rcctl_t *r, int fd, const char *order, int journal)
{
    life_t life = {.number = order, .records = cJSON_CreateArray(), .months = cJSON_CreateArray()};
    int rc = RCCTL_OK;

    if (life_read(r, &life, fd, journal) != 0) {
        rcctl_error("the chain cannot be read: %s", strerror(errno));
        rc = RCCTL_USAGE;
    } else if (life.records->child == NULL) {
        rcctl_error("no record names order %s", order);
        rc = NOT_FOUND;
    } else if (r->json) {
        life_json(&life);
    } else {
        life_print(&life);
    }
    life_fini(&life);
    return rc;
}

int rcctl_audit_show(rcctl_t *r, int argc, char **argv)
{
    const char *order = NULL, *last = NULL, *file = NULL;
    const rcctl_option_t options[] = {
        {"order", &order, NULL}, {"last", &last, NULL}, {"file", &file, NULL}, {0}};
    char path[PATH_MAX + 32], *end = NULL;
    unsigned long n = 0;
    int fd, rc;

    if (rcctl_options(r, argc, argv, options, 0) != 0) {
        return RCCTL_USAGE;
    }
    n = last != NULL ? strtoul(last, &end, 10) : 0;
    if ((order == NULL) == (last == NULL) ||
        (last != NULL && (n == 0 || n > LAST_MAX || *end != '\0')) ||
        (order != NULL && !jd_order_number_ok(order, strlen(order)))) {
        rcctl_error("show needs --order N, or --last 1..%d", LAST_MAX);
        return RCCTL_USAGE;
    }
    if (file == NULL && rcctl_config(r) != 0) {
        return RCCTL_USAGE;
    }
    fd = chain_open(r, file, path);
    if (fd < 0) {
        return RCCTL_USAGE;
    }
    rc = order != NULL ? show_order(r, fd, order, file == NULL) : show_last(r, fd, n);
    close(fd);
    return rc;
}
