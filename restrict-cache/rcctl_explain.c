/*
 * rcctl_explain - opens the decision id of a denial: what it rested on then, and the order as the
 * journal has it now.
 */
#include <ctype.h>
#include <string.h>
#include <unistd.h>
#include "core/jd_seal.h"
#include "core/jd_time.h"
#include "rcctl.h"
#include "rcctl_spool.h"
#include "rcd_clock.h"

#define TOKEN_MAX  512

/* The token without space around it: of the argument, or the first line of standard input. */
static size_t read_token(const char *argument, char token[TOKEN_MAX])
{
    char line[TOKEN_MAX];
    const char *text = argument;
    size_t len;

    if (text == NULL) {
        if (isatty(STDIN_FILENO)) {
            fputs("decision id: ", stderr);
        }
        text = fgets(line, sizeof(line), stdin) != NULL ? line : "";
    }
    while (isspace((unsigned char) *text)) {
        text++;
    }
    len = strnlen(text, TOKEN_MAX - 1);
    while (len > 0 && isspace((unsigned char) text[len - 1])) {
        len--;
    }
    memcpy(token, text, len);
    return len;
}

static const char *fault_of(jd_seal_rc_t rc)
{
    static const char *const faults[] = {
        [JD_SEAL_FORM] = "this is not a decision id: copy it whole, with its upper and lower case",
        [JD_SEAL_MONTH] = "this decision id is not of this month or the one before: no key opens it",
        [JD_SEAL_FOREIGN] = "this decision id is of another list, or of another digest key",
        [JD_SEAL_DAMAGED] = "this decision id is damaged: a character is wrong or missing",
    };

    return faults[rc];
}

static void print_json(const rcctl_t *r, const jd_decision_t *d, const rcctl_order_t *o)
{
    cJSON *j = cJSON_CreateObject(), *list;
    char text[64];

    cJSON_AddStringToObject(j, "order", d->number);
    cJSON_AddStringToObject(j, "measure", jd_measure_names[d->measure_bit]);
    jd_time_print(d->at, text);
    cJSON_AddStringToObject(j, "at", text);
    list = cJSON_AddObjectToObject(j, "list");
    cJSON_AddStringToObject(list, "name", r->config->list);
    snprintf(text, sizeof(text), "%llu-%llu", (unsigned long long) d->era,
             (unsigned long long) d->last_id);
    cJSON_AddStringToObject(list, "version", text);
    cJSON_AddNumberToObject(list, "age_sec", (double) d->age_sec);
    if (d->link_from > 0) {
        jd_time_print(d->link_from, text);
        cJSON_AddStringToObject(j, "link_from", d->link_from == JD_SEAL_LINK_EVER ? "open" : text);
    } else {
        cJSON_AddNullToObject(j, "link_from");
    }
    if (o != NULL) {
        cJSON_AddItemToObject(j, "now", rcctl_order_json(o));
    } else {
        cJSON_AddNullToObject(j, "now");
    }
    rcctl_json(j);
}

static void print_text(const rcctl_t *r, const jd_decision_t *d, const rcctl_order_t *o)
{
    char text[96];

    jd_time_print(d->at, text);
    text[sizeof("2026-11-26T10:31") - 1] = '\0';          /* no more is in the token */
    printf("%s was denied at %s (+08:00)\n", jd_measure_names[d->measure_bit], text);
    rcctl_line("order", d->number);
    snprintf(text, sizeof(text), "%s, version %llu-%llu, true %s before", r->config->list,
             (unsigned long long) d->era, (unsigned long long) d->last_id,
             rcctl_span(d->age_sec));
    rcctl_line("list", text);
    if (d->link_from == JD_SEAL_LINK_EVER) {
        rcctl_line("by link to", "the person the order names, whose card this has been since ever");
    } else if (d->link_from > 0) {
        char since[26];

        jd_time_print(d->link_from, since);
        snprintf(text, sizeof(text), "the person the order names, who holds this card since %s",
                 since);
        rcctl_line("by link to", text);
    } else {
        rcctl_line("by link to", "nobody: the order names what was presented");
    }
    if (o == NULL) {
        puts("the journal does not know this order");
        return;
    }
    fputs("as the journal has it now, ", stdout);
    rcctl_order_print(o);
}

int rcctl_explain(rcctl_t *r, int argc, char **argv)
{
    static rcctl_journal_order_t order;
    char token[TOKEN_MAX], err[512];
    jd_decision_t d;
    rcd_state_t *s;
    jd_seal_rc_t rc;
    size_t len;
    int n = rcctl_options(r, argc, argv, NULL, 1), found;

    if (n < 0 || rcctl_config(r) != 0) {
        return RCCTL_USAGE;
    }
    len = read_token(n > 0 ? argv[0] : NULL, token);
    if (rcctl_spool_note(r, "explain") != 0) {
        rcctl_error("this use is not in the audit chain");     /* staff at the counter get their answer */
    }
    rc = jd_seal_open(&r->config->keys, r->config->list, rcd_clock_wall(), token, len, &d);
    if (rc != JD_SEAL_OK) {
        rcctl_error("%s", fault_of(rc));
        return RCCTL_USAGE;
    }
    s = rcd_state_open_readonly(r->config->state_dir, err, sizeof(err));
    found = s != NULL ? rcctl_journal_order(r, s, d.number, &order) : -1;
    if (r->json) {
        print_json(r, &d, found > 0 ? &order.order : NULL);
    } else {
        print_text(r, &d, found > 0 ? &order.order : NULL);
    }
    if (s == NULL) {
        rcctl_error("%s", err);
    } else if (found < 0) {
        rcctl_error("the journal cannot be read");
    }
    rcd_state_close(s);
    return found < 0 ? RCCTL_UNREACHABLE : found > 0 ? RCCTL_OK : RCCTL_DENY;
}
