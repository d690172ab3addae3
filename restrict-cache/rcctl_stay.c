/*
 * rcctl_stay - stay, unstay, objection: what the operator frees at once, and takes back.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include "core/jd_time.h"
#include "rcctl_person.h"
#include "rcctl_relief.h"
#include "rcctl_spool.h"
#include "rcd_clock.h"
#include "rcd_relief_command.h"

#define CNID_LEN  18

typedef struct {                       /* the options of all three */
    const char    *number, *reason, *until, *renew;
    int            subject, end;
    rcctl_person_t person;
    int64_t        until_sec;          /* JD_STAY_FOREVER: none given */
} given_t;

/* ---- what was given -------------------------------------------------------------------------- */

/* A reason goes into journal, audit chain and reports: no citizen's number in it. */
static int holds_cnid(const char *text)
{
    uint8_t norm[JD_SUBJECT_MAX];
    size_t len = strlen(text), norm_len;

    for (size_t at = 0; at + CNID_LEN <= len; at++) {
        if (jd_subject_normalise(JD_SCHEME_CNID, NULL, (const uint8_t *) text + at, CNID_LEN, norm,
                                 &norm_len) == JD_SUBJECT_OK) {
            return 1;
        }
    }
    return 0;
}

/* "2026-12-01" (00:00 at +08:00), "2026-12-01T12:00:00+08:00", or a span from now, "30d", "12h",
 * "90m". 0, or -1 after saying what is wrong. */
static int parse_until(const char *text, int64_t *until)
{
    int64_t now = rcd_clock_wall(), unit;
    size_t len = strlen(text);
    char *end;
    long n = strtol(text, &end, 10);

    unit = *end == 'd' ? 86400 : *end == 'h' ? 3600 : *end == 'm' ? 60 : 0;
    if (end > text && n > 0 && n < 100000 && unit > 0 && end[1] == '\0') {
        *until = now + n * unit;
    } else if (jd_date_parse(text, len, until) != 0 && jd_time_parse(text, len, until) != 0) {
        rcctl_error("--until %s is neither a date (2026-12-01), an instant with offset nor a span "
                    "(30d, 12h, 90m)", text);
        return -1;
    }
    if (*until <= now || *until >= JD_STAY_FOREVER) {
        rcctl_error("--until %s is not to come", text);
        return -1;
    }
    return 0;
}

/* Reads options and, for a person, standard input. 0, or -1 after saying what is wrong. */
static int read_given(rcctl_t *r, int argc, char **argv, const rcctl_option_t *options,
                      int may_be_person, given_t *g)
{
    if (rcctl_options(r, argc, argv, options, 0) < 0 || rcctl_config(r) != 0) {
        return -1;
    }
    if ((g->number != NULL) + g->subject != 1) {
        rcctl_error(may_be_person ? "either --order N or --subject (identifier on standard input) is "
                                    "needed" : "--order N is needed");
        return -1;
    }
    if (g->number != NULL && !jd_order_number_ok(g->number, strlen(g->number))) {
        rcctl_error("--order %s is not an order number", g->number);
        return -1;
    }
    if (!rcd_operator_text_ok(g->reason, RCD_REASON_MAX)) {
        rcctl_error("--reason TEXT is needed, at most %d bytes of UTF-8: it answers for this later",
                    RCD_REASON_MAX);
        return -1;
    }
    if (holds_cnid(g->reason)) {
        rcctl_error("the reason must not hold a citizen's number: it is kept, and reported");
        return -1;
    }
    g->until_sec = JD_STAY_FOREVER;
    if (g->until != NULL && parse_until(g->until, &g->until_sec) != 0) {
        return -1;
    }
    return g->subject ? rcctl_person_read(r, g->reason, &g->person) : 0;
}

/* A command with what all of them have. */
static cJSON *command_new(const char *cmd, const given_t *g)
{
    cJSON *c = cJSON_CreateObject(), *list, *item;
    char hex[2 * JD_HOLDER_LEN + 1];

    cJSON_AddStringToObject(c, "cmd", cmd);
    cJSON_AddStringToObject(c, "reason", g->reason);
    if (g->number != NULL) {
        cJSON_AddStringToObject(c, "order", g->number);
        return c;
    }
    list = cJSON_AddArrayToObject(c, "fields");
    for (unsigned i = 0; i < g->person.n; i++) {
        for (int b = 0; b < JD_HOLDER_LEN; b++) {
            snprintf(hex + 2 * b, 3, "%02x", g->person.fields[i].field[b]);
        }
        item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "field", hex);
        cJSON_AddStringToObject(item, "under", g->person.fields[i].under);
        cJSON_AddItemToArray(list, item);
    }
    return c;
}

/* ---- what it means in Redis ------------------------------------------------------------------ */

static void write_order(rcctl_write_t *w, const char *number, const jd_relief_t *relief)
{
    *w = (rcctl_write_t) {.of_order = 1, .field_len = strlen(number)};
    memcpy(w->field, number, w->field_len);
    w->value_len = jd_relief_print(relief, w->value);
}

static void write_person(rcctl_write_t *w, const uint8_t field[JD_HOLDER_LEN], int64_t until)
{
    *w = (rcctl_write_t) {.field_len = JD_HOLDER_LEN};
    memcpy(w->field, field, JD_HOLDER_LEN);
    w->value_len = jd_stay_print(until, w->value);
}

static unsigned writes_of(const given_t *g, int64_t until,
                          rcctl_write_t writes[RCD_STAY_FIELDS_MAX])
{
    const jd_relief_t relief = {.stay = until};

    if (g->number != NULL) {
        write_order(writes, g->number, &relief);
        return 1;
    }
    for (unsigned i = 0; i < g->person.n; i++) {
        write_person(&writes[i], g->person.fields[i].field, until);
    }
    return g->person.n;
}

/*
 * The end of a stay that only Redis holds. No earlier stay may have had the same: the daemon takes the
 * end of one that is over for that one, and lets it go; any other it keeps.
 */
static int64_t unheard_until(int64_t until)
{
    uint32_t some = 0;

    if (getrandom(&some, sizeof(some), GRND_NONBLOCK) < 0) {
        some = (uint32_t) rcd_clock_ms();
    }
    return until == JD_STAY_FOREVER ? until - 1 - some % (1u << 20) : until + 1 + some % 60;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* A digest under a key that the list is not made with frees nobody. */
static int covers_nobody(const rcctl_relieved_t *done)
{
    return done->taken &&
           cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(done->answer, "covers"));
}

static void print_done(const rcctl_t *r, const rcctl_relieved_t *done)
{
    cJSON *j;

    if (!r->json) {
        rcctl_way_print(done);
        return;
    }
    j = cJSON_CreateObject();
    cJSON_AddBoolToObject(j, "ok", done->way != RCCTL_WAY_REFUSED && done->way != RCCTL_WAY_NONE);
    cJSON_AddStringToObject(j, "way", rcctl_way_name(done->way));
    cJSON_AddBoolToObject(j, "redis", done->way == RCCTL_WAY_DAEMON ||
                                          done->way == RCCTL_WAY_DIRECT ||
                                          done->way == RCCTL_WAY_VOLATILE);
    cJSON_AddBoolToObject(j, "covers", !covers_nobody(done));
    cJSON_AddNumberToObject(j, "ms", done->ms);
    rcctl_json(j);
}

static void say_what(const rcctl_t *r, const given_t *g, const char *what)
{
    if (r->json) {
        return;
    }
    if (g->number != NULL) {
        fputs("order ", stdout);
        rcctl_text(stdout, g->number);
    } else {
        fputs("this person", stdout);
    }
    printf(" %s: ", what);
}

/* ---- the subcommands ------------------------------------------------------------------------- */

int rcctl_stay(rcctl_t *r, int argc, char **argv)
{
    given_t g = {0};
    const rcctl_option_t options[] = {
        {"order", &g.number, NULL}, {"subject", NULL, &g.subject}, {"reason", &g.reason, NULL},
        {"until", &g.until, NULL}, {"renew", &g.renew, NULL}, {0}};
    rcctl_write_t writes[RCD_STAY_FIELDS_MAX], fallback[RCD_STAY_FIELDS_MAX];
    rcctl_relieved_t done;
    cJSON *command;
    unsigned n;
    char *end;
    int code;

    if (read_given(r, argc, argv, options, 1, &g) != 0) {
        return RCCTL_USAGE;
    }
    command = command_new("stay", &g);
    if (g.until_sec < JD_STAY_FOREVER) {
        cJSON_AddNumberToObject(command, "until", (double) g.until_sec);
    }
    if (g.renew != NULL) {
        cJSON_AddNumberToObject(command, "renew", (double) strtol(g.renew, &end, 10));
        if (*end != '\0' || !g.subject) {
            rcctl_error("--renew takes the number of a stay of a person, as rcctl stays tells it");
            cJSON_Delete(command);
            return RCCTL_USAGE;
        }
    }
    if (rcctl_relief_stamp(command) != 0) {
        cJSON_Delete(command);
        return RCCTL_UNREACHABLE;
    }
    n = writes_of(&g, g.until_sec, writes);
    writes_of(&g, unheard_until(g.until_sec), fallback);
    code = rcctl_relieve(r, command, writes, fallback, n, &done);
    if (code != RCCTL_REFUSED && code != RCCTL_UNREACHABLE) {
        say_what(r, &g, "is stayed");
    }
    print_done(r, &done);
    if (covers_nobody(&done)) {
        rcctl_error("the stay is kept and reaches nobody: the list is made under another digest key "
                    "than this configuration's; SIGHUP the daemon, then give it again");
        code = RCCTL_REFUSED;
    }
    cJSON_Delete(done.answer);
    explicit_bzero(&g.person, sizeof(g.person));
    return code;
}

static double now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec * 1e3 + (double) ts.tv_nsec / 1e6;
}

/* What restricts again needs the daemon: its journal must have it. */
static int take_back(rcctl_t *r, const given_t *g, const char *cmd, const char *what)
{
    rcctl_relieved_t done = {.taken = 1};
    double begun = now_ms();
    int code;

    if (rcctl_spool_alive(r) != 0) {
        return RCCTL_UNREACHABLE;
    }
    code = rcctl_spool_run(r, command_new(cmd, g), &done.answer);
    done.ms = now_ms() - begun;
    if (code == RCCTL_OK) {
        done.way = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(done.answer, "redis"))
                       ? RCCTL_WAY_DAEMON : RCCTL_WAY_LATER;
        code = done.way == RCCTL_WAY_DAEMON ? RCCTL_OK : RCCTL_LATER;
        say_what(r, g, what);
        print_done(r, &done);
    }
    cJSON_Delete(done.answer);
    return code;
}

int rcctl_unstay(rcctl_t *r, int argc, char **argv)
{
    given_t g = {0};
    const rcctl_option_t options[] = {{"order", &g.number, NULL}, {"subject", NULL, &g.subject},
                                      {"reason", &g.reason, NULL}, {0}};
    int code;

    if (read_given(r, argc, argv, options, 1, &g) != 0) {
        return RCCTL_USAGE;
    }
    code = take_back(r, &g, "unstay", "is no longer stayed");
    explicit_bzero(&g.person, sizeof(g.person));
    return code;
}

int rcctl_objection(rcctl_t *r, int argc, char **argv)
{
    given_t g = {0};
    const rcctl_option_t options[] = {{"order", &g.number, NULL}, {"reason", &g.reason, NULL},
                                      {"end", NULL, &g.end}, {0}};
    const jd_relief_t relief = {.objection = 1};
    rcctl_relieved_t done;
    rcctl_write_t write;
    cJSON *command;
    int code;

    if (read_given(r, argc, argv, options, 0, &g) != 0) {
        return RCCTL_USAGE;
    }
    if (g.end) {
        return take_back(r, &g, "objection-end", "is no longer under the operator's objection");
    }
    command = command_new("objection", &g);
    if (rcctl_relief_stamp(command) != 0) {
        cJSON_Delete(command);
        return RCCTL_UNREACHABLE;
    }
    write_order(&write, g.number, &relief);
    memcpy(write.value + write.value_len, " h", 2);          /* the operator's */
    write.value_len += 2;
    code = rcctl_relieve(r, command, &write, NULL, 1, &done);
    if (code == RCCTL_UNREACHABLE) {
        rcctl_error("an objection must be kept on disk; what acts without one: rcctl stay");
    } else if (code != RCCTL_REFUSED) {
        say_what(r, &g, "is under objection");
    }
    print_done(r, &done);
    cJSON_Delete(done.answer);
    return code;
}
