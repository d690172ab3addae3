/*
 * rcctl_orders - orders and quarantine as the daemon's journal has them. Read-only; no identifier,
 * no digest.
 */
#include <stdlib.h>
#include <string.h>
#include "core/jd_time.h"
#include "rcctl.h"
#include "rcd_clock.h"

typedef struct {
    const rcctl_t *r;
    rcd_state_t   *state;
    const char    *authority;      /* filters; NULL = none */
    int            active;
    int64_t        now;
    uint64_t       shown;
    int            failed;
} listing_t;

/* Items of a JSON answer are printed one by one: a journal may hold millions. */
static void print_item(listing_t *l, cJSON *item)
{
    char *text = cJSON_PrintUnformatted(item);

    printf("%s%s", l->shown > 0 ? ",\n" : "", text != NULL ? text : "null");
    free(text);
    cJSON_Delete(item);
}

static rcd_state_t *open_journal(const rcctl_t *r)
{
    char err[512];
    rcd_state_t *s = rcd_state_open_readonly(r->config->state_dir, err, sizeof(err));

    if (s == NULL) {
        rcctl_error("%s", err);
    }
    return s;
}

/* The texts of an order, if the journal has them and the current key verifies them. */
static int read_grounds(listing_t *l, const rcd_row_t *row, uint8_t value[JD_GROUNDS_MAX],
                        jd_grounds_t *g)
{
    const jd_keys_t *keys = &l->r->config->keys;
    int len = rcd_state_grounds(l->state, row->grounds, value);

    l->failed |= len < 0;
    for (unsigned i = 0; len > 0 && i < keys->n; i++) {
        if (jd_grounds_decode(&keys->key[i], row->grounds, value, (size_t) len, g)
            == JD_RECORD_OK) {
            return 1;
        }
    }
    return 0;
}

/* Where in its life an order is, in one word. */
static const char *state_of(const listing_t *l, const rcd_row_t *row, const jd_relief_t *relief)
{
    if (row->ended != RCD_END_NONE) {
        return rcd_end_names[row->ended];
    }
    if ((row->measures & ~relief->lifted) == 0) {
        return rcd_end_names[RCD_END_LIFTED];
    }
    if (l->now >= row->until) {
        return rcd_end_names[RCD_END_EXPIRED];
    }
    return l->now < row->start ? "to come" : "active";
}

static rcctl_order_t order_of(const rcd_row_t *row, const jd_relief_t *relief,
                              const jd_grounds_t *grounds, const char *state)
{
    return (rcctl_order_t){
        .number = row->number,
        .measures = row->measures,
        .flags = row->flags,
        .start = row->start,
        .until = row->until,
        .deadline_day = row->deadline_day,
        .relief = relief,
        .grounds = grounds,
        .state = state,
        .state_text = state,
    };
}

int rcctl_journal_order(const rcctl_t *r, rcd_state_t *s, const char *number,
                        rcctl_journal_order_t *out)
{
    listing_t l = {.r = r, .state = s, .now = rcd_clock_wall()};
    int rc = rcd_state_order(s, number, &out->row, &out->relief), known;

    if (rc <= 0) {
        return rc;
    }
    known = read_grounds(&l, &out->row, out->value, &out->grounds);
    out->order = order_of(&out->row, &out->relief, known ? &out->grounds : NULL,
                          state_of(&l, &out->row, &out->relief));
    return l.failed ? -1 : 1;
}

static int each_order(void *arg, const rcd_row_t *row, const jd_relief_t *relief)
{
    static uint8_t value[JD_GROUNDS_MAX];
    listing_t *l = arg;
    const char *state = state_of(l, row, relief);
    rcctl_order_t o;
    jd_grounds_t g;
    int known;

    if (l->active && strcmp(state, "active") != 0) {
        return 0;
    }
    known = read_grounds(l, row, value, &g);
    if (l->authority != NULL &&
        !(known && g.authority.len == strlen(l->authority) &&
             memcmp(g.authority.text, l->authority, g.authority.len) == 0)) {
        return 0;
    }
    o = order_of(row, relief, known ? &g : NULL, state);

    if (l->r->json) {
        cJSON *item = rcctl_order_json(&o);

        cJSON_AddBoolToObject(item, "imported", row->imported);
        print_item(l, item);
    } else {
        rcctl_order_print(&o);
        rcctl_line("origin", row->imported ? "an unsigned file" : "");
    }
    l->shown++;
    return 0;
}

/* One order by number, through the filters. */
static int one_order(listing_t *l, const char *number)
{
    jd_relief_t relief = {0};
    rcd_row_t row;
    int rc = rcd_state_order(l->state, number, &row, &relief);

    return rc > 0 ? each_order(l, &row, &relief) : rc;
}

int rcctl_orders(rcctl_t *r, int argc, char **argv)
{
    listing_t l = {.r = r, .now = rcd_clock_wall()};
    const char *number = NULL;
    const rcctl_option_t options[] = {
        {"order", &number, NULL},
        {"authority", &l.authority, NULL},
        {"active", NULL, &l.active},
        {0},
    };
    int rc;

    if (rcctl_options(r, argc, argv, options, 0) < 0 || rcctl_config(r) != 0) {
        return RCCTL_USAGE;
    }
    l.state = open_journal(r);
    if (l.state == NULL) {
        return RCCTL_UNREACHABLE;
    }
    fputs(r->json ? "{\"orders\":[" : "", stdout);
    rc = number != NULL ? one_order(&l, number)
                        : rcd_state_orders(l.state, NULL, each_order, &l);
    if (r->json) {
        puts("]}");
    } else if (l.shown == 0) {
        puts("no such order");
    }
    rcd_state_close(l.state);
    if (rc < 0 || l.failed) {
        rcctl_error("the journal cannot be read");
        return RCCTL_UNREACHABLE;
    }
    return l.shown > 0 ? RCCTL_OK : RCCTL_DENY;
}

static int each_quarantined(void *arg, const rcd_result_t *q, int64_t at, int reported)
{
    listing_t *l = arg;
    char when[26];

    jd_time_print(at, when);
    if (l->r->json) {
        cJSON *item = cJSON_CreateObject();

        cJSON_AddStringToObject(item, "order", q->number);
        cJSON_AddStringToObject(item, "code", rcd_quarantine_names[q->code]);
        cJSON_AddStringToObject(item, "why", q->why);
        cJSON_AddStringToObject(item, "at", when);
        cJSON_AddBoolToObject(item, "reported", reported);
        print_item(l, item);
    } else {
        fputs("order ", stdout);
        rcctl_text(stdout, q->number[0] ? q->number : "without a number");
        printf(": %s\n", rcd_quarantine_names[q->code]);
        rcctl_line("why", q->why);
        rcctl_line("at", when);
        rcctl_line("office", reported ? "told" : "not told yet");
    }
    l->shown++;
    return 0;
}

int rcctl_quarantine(rcctl_t *r, int argc, char **argv)
{
    listing_t l = {.r = r};
    int rc;

    if (rcctl_options(r, argc, argv, NULL, 0) < 0 || rcctl_config(r) != 0) {
        return RCCTL_USAGE;
    }
    l.state = open_journal(r);
    if (l.state == NULL) {
        return RCCTL_UNREACHABLE;
    }
    fputs(r->json ? "{\"quarantine\":[" : "", stdout);
    rc = rcd_state_quarantine(l.state, each_quarantined, &l);
    if (r->json) {
        puts("]}");
    } else if (l.shown == 0) {
        puts("nothing is in quarantine");
    }
    rcd_state_close(l.state);
    if (rc < 0) {
        rcctl_error("the journal cannot be read");
        return RCCTL_UNREACHABLE;
    }
    return RCCTL_OK;
}
