/*
 * rcctl_ledger - denials as the journal has counted them: by order and month, or by gateway and
 * hour. Never both together.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "core/jd_measure.h"
#include "rcctl.h"
#include "rcctl_table.h"
#include "rcd_ledger_rows.h"

typedef struct {
    const rcctl_t *r;
    rcctl_table_t  table;
    uint64_t       shown;
    int64_t        denied, dry_run, unsent;
} listing_t;

static void number(char out[24], int64_t v)
{
    snprintf(out, 24, "%" PRId64, v);
}

static void print_item(listing_t *l, cJSON *item)
{
    char *text = cJSON_PrintUnformatted(item);

    printf("%s%s", l->shown > 0 ? ",\n" : "", text != NULL ? text : "null");
    free(text);
    cJSON_Delete(item);
}

static int each_count(void *arg, const rcd_ledger_count_t *c, int64_t sent)
{
    listing_t *l = arg;
    char total[24], told[24];

    number(total, c->total);
    number(told, sent);
    if (l->r->json) {
        cJSON *item = cJSON_CreateObject();

        cJSON_AddStringToObject(item, "month", c->month);
        cJSON_AddStringToObject(item, "order", c->number);
        cJSON_AddStringToObject(item, "measure", jd_measure_names[c->measure]);
        cJSON_AddNumberToObject(item, "denied", (double) c->total);
        cJSON_AddNumberToObject(item, "receipted", (double) sent);
        print_item(l, item);
    } else {
        const char *cells[] = {c->month, c->number, jd_measure_names[c->measure], total, told};

        rcctl_table_row(&l->table, cells);
    }
    l->shown++;
    l->denied += c->total;
    l->unsent += c->total - sent;
    return 0;
}

static int each_hour(void *arg, const char *gateway, const rcd_ledger_hour_t *h, int closed)
{
    listing_t *l = arg;
    char denied[24], dry_run[24];

    number(denied, h->denied);
    number(dry_run, h->dry_run);
    if (l->r->json) {
        cJSON *item = cJSON_CreateObject();

        cJSON_AddStringToObject(item, "hour", h->hour);
        cJSON_AddStringToObject(item, "gateway", gateway);
        cJSON_AddStringToObject(item, "authority", h->authority);
        cJSON_AddStringToObject(item, "measure", jd_measure_names[h->measure]);
        cJSON_AddNumberToObject(item, "denied", (double) h->denied);
        cJSON_AddNumberToObject(item, "dry_run", (double) h->dry_run);
        cJSON_AddBoolToObject(item, "closed", closed);
        print_item(l, item);
    } else {
        const char *cells[] = {h->hour, gateway, h->authority, jd_measure_names[h->measure], denied,
                               dry_run, closed ? "closed" : "open"};

        rcctl_table_row(&l->table, cells);
    }
    l->shown++;
    l->denied += h->denied;
    l->dry_run += h->dry_run;
    return 0;
}

static void print_text(listing_t *l, int hours)
{
    if (l->shown == 0) {
        puts("no denial was counted");
        return;
    }
    rcctl_table_print(&l->table);
    if (hours) {
        printf("in all %" PRId64 " denied, %" PRId64 " in dry runs\n", l->denied, l->dry_run);
    } else {
        printf("in all %" PRId64 " denied, of which the office has not signed for %" PRId64 "\n",
               l->denied, l->unsent);
    }
}

static int list(listing_t *l, const char *month, int hours)
{
    static const char *const order_head[] = {"month", "order", "measure", "denied", "receipted"};
    static const char *const hour_head[] = {"hour (UTC)", "gateway", "authority", "measure",
                                            "denied", "dry run", "period"};
    int64_t from = 0, until = 0;
    char err[512];
    rcd_state_t *s;
    int rc;

    if (month != NULL && rcd_month_parse(month, strlen(month), &from, &until) != 0) {
        rcctl_error("--month %s is no month; write it as 2026-11", month);
        return RCCTL_USAGE;
    }
    s = rcd_state_open_readonly(l->r->config->state_dir, err, sizeof(err));
    if (s == NULL) {
        rcctl_error("%s", err);
        return RCCTL_UNREACHABLE;
    }
    rcctl_table_init(&l->table, hours ? 7 : 5, hours ? 0x30 : 0x18);
    rcctl_table_row(&l->table, hours ? hour_head : order_head);
    fputs(!l->r->json ? "" : hours ? "{\"hours\":[" : "{\"orders\":[", stdout);
    rc = hours ? rcd_ledger_each_hour(s, from, until, each_hour, l)
               : rcd_ledger_each_count(s, month != NULL ? month : "", each_count, l);
    if (l->r->json) {
        puts("]}");
    } else {
        print_text(l, hours);
    }
    rcctl_table_fini(&l->table);
    rcd_state_close(s);
    if (rc < 0) {
        rcctl_error("the journal cannot be read");
    }
    return rc < 0 ? RCCTL_UNREACHABLE : RCCTL_OK;
}

int rcctl_ledger(rcctl_t *r, int argc, char **argv)
{
    listing_t l = {.r = r};
    const char *month = NULL;
    int hours = 0;
    const rcctl_option_t options[] = {{"month", &month, NULL}, {"hours", NULL, &hours}, {0}};

    if (rcctl_options(r, argc, argv, options, 0) < 0 || rcctl_config(r) != 0) {
        return RCCTL_USAGE;
    }
    return list(&l, month, hours);
}
