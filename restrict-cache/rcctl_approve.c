/*
 * rcctl_approve - what waits for the operator's word, and that word: a list that grew by more than it
 * may, the first list of all, a new epoch of the office.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "core/jd_time.h"
#include "rcctl_holders.h"
#include "rcctl_spool.h"
#include "rcd_clock.h"
#include "rcd_hold.h"
#include "rcd_size.h"
#include "rcd_stage.h"

#define SAMPLES   20
#define SUMS_MAX  50              /* authorities and bases told one by one */

typedef struct {
    const rcd_held_t *held;
    cJSON            *by;         /* --json, else NULL */
    unsigned          told, more;
} showing_t;

/* ---- what waits ------------------------------------------------------------------------------ */

static int each_sum(void *arg, const rcd_stage_sum_t *sum)
{
    showing_t *w = arg;
    cJSON *o, *measures;

    if (w->by == NULL && w->told == SUMS_MAX) {
        w->more++;
        return 0;
    }
    w->told++;
    if (w->by == NULL) {
        fputs("  ", stdout);
        rcctl_text(stdout, sum->authority);
        fputs("\n    ", stdout);
        rcctl_text(stdout, sum->basis);
        printf("\n    %" PRIu64 " orders", sum->orders);
        if (sum->terms > 0) {
            printf(", of these %" PRIu64 " on the list already and wider", sum->terms);
        }
        fputs(":", stdout);
        for (int bit = 0; bit < JD_MEASURE_N; bit++) {
            if (sum->measure[bit] > 0) {
                printf(" %s %" PRIu64, jd_measure_names[bit], sum->measure[bit]);
            }
        }
        putchar('\n');
        return 0;
    }
    o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "authority", sum->authority);
    cJSON_AddStringToObject(o, "basis", sum->basis);
    cJSON_AddNumberToObject(o, "orders", (double) sum->orders);
    cJSON_AddNumberToObject(o, "widenings", (double) sum->terms);
    measures = cJSON_AddObjectToObject(o, "measures");
    for (int bit = 0; bit < JD_MEASURE_N; bit++) {
        if (sum->measure[bit] > 0) {
            cJSON_AddNumberToObject(measures, jd_measure_names[bit], (double) sum->measure[bit]);
        }
    }
    cJSON_AddItemToArray(w->by, o);
    return 0;
}

static cJSON *head_json(const rcd_held_t *h, const rcd_size_status_t *g)
{
    cJSON *j = cJSON_CreateObject();
    char since[26];

    jd_time_print(h->since, since);
    cJSON_AddStringToObject(j, "hash", h->hash);
    cJSON_AddBoolToObject(j, "first", h->first);
    cJSON_AddBoolToObject(j, "approved", h->approved);
    cJSON_AddStringToObject(j, "since", since);
    cJSON_AddNumberToObject(j, "epoch", h->epoch);
    cJSON_AddNumberToObject(j, "seq", (double) h->seq);
    cJSON_AddNumberToObject(j, "relief_seq", (double) h->relief_seq);
    cJSON_AddNumberToObject(j, "orders", (double) h->records);
    cJSON_AddNumberToObject(j, "refused", (double) h->refused);
    cJSON_AddNumberToObject(j, "additions", (double) h->adds_orders);
    cJSON_AddNumberToObject(j, "widenings", (double) h->adds_terms);
    cJSON_AddNumberToObject(j, "list_size", (double) g->size);
    cJSON_AddNumberToObject(j, "baseline", (double) g->baseline);
    cJSON_AddNumberToObject(j, "allowance", (double) g->allowance);
    return j;
}

static void head_print(const rcd_held_t *h, const rcd_size_status_t *g)
{
    int64_t age = rcd_clock_wall() - h->since;
    char since[26];

    jd_time_print(h->since, since);
    printf("snapshot %s %s\n", h->hash, h->approved ? "is approved and being applied"
                                                    : "waits for approval");
    if (h->first) {
        rcctl_line("first", "yes: no list was approved before");
    }
    printf("  %-10s %s, %s ago\n", "since", since, rcctl_span(age > 0 ? age : 0));
    printf("  %-10s epoch %" PRIu32 ", changes %" PRIu64 ", relief %" PRIu64 "\n", "up to", h->epoch,
           h->seq, h->relief_seq);
    printf("  %-10s %" PRIu64 " orders, %" PRIu64 " records refused\n", "holds", h->records,
           h->refused);
    printf("  %-10s %" PRIu64 " orders\n", "additions", h->adds_orders);
    printf("  %-10s %" PRIu64 " orders\n", "widenings", h->adds_terms);
    printf("  %-10s %" PRIu64 " orders now; %" PRIu64 " when it was approved last, or 7 days ago; may "
           "grow by %" PRIu64 "\n", "the list", g->size, g->baseline, g->allowance);
}

/* 0, or -1 when the file cannot be read whole. */
static int stage_show(rcd_stage_t *stage, const rcd_held_t *h, cJSON *j)
{
    char numbers[SAMPLES][JD_ORDER_NUMBER_MAX + 1];
    showing_t w = {.held = h, .by = j != NULL ? cJSON_AddArrayToObject(j, "by") : NULL};
    cJSON *samples;
    int n;

    if (j == NULL && h->adds_orders + h->adds_terms > 0) {
        puts("what it adds, by authority and basis");
    }
    if (rcd_stage_sums(stage, each_sum, &w) < 0) {
        return -1;
    }
    if (w.more > 0) {
        printf("  and %u more; --json tells all\n", w.more);
    }
    n = rcd_stage_samples(stage, h->sha256, numbers, SAMPLES);
    samples = j != NULL ? cJSON_AddArrayToObject(j, "samples") : NULL;
    if (j == NULL && n > 0) {
        puts("samples, to be compared with the office");
    }
    for (int i = 0; i < n; i++) {
        if (j != NULL) {
            cJSON_AddItemToArray(samples, cJSON_CreateString(numbers[i]));
        } else {
            fputs("  ", stdout);
            rcctl_text(stdout, numbers[i]);
            putchar('\n');
        }
    }
    return n < 0 ? -1 : 0;
}

static int nothing(const rcctl_t *r)
{
    cJSON *j;

    if (r->json) {
        j = cJSON_CreateObject();
        cJSON_AddNullToObject(j, "waits");
        rcctl_json(j);
    } else {
        puts("nothing waits for approval");
    }
    return RCCTL_DENY;
}

static int show_held(const rcctl_t *r, rcd_state_t *state)
{
    const rcd_held_t *h = rcd_hold_waits(state);
    char path[RCD_HELD_PATH_MAX], err[RCD_HELD_PATH_MAX + 128];
    rcd_size_status_t g;
    rcd_stage_t *stage;
    cJSON *root = NULL, *j = NULL;
    int rc;

    if (h == NULL) {
        return nothing(r);
    }
    rcd_hold_path(state, h->sha256, path);
    stage = rcd_stage_open(path, err, sizeof(err));
    if (stage == NULL) {
        rcctl_error("%s", err);
        return RCCTL_UNREACHABLE;
    }
    rcd_size_status(state, &g);
    if (r->json) {
        root = cJSON_CreateObject();
        j = head_json(h, &g);
        cJSON_AddItemToObject(root, "waits", j);
    } else {
        head_print(h, &g);
    }
    rc = stage_show(stage, h, j);
    rcd_stage_destroy(stage);
    if (rc != 0) {
        rcctl_error("%s cannot be read", path);
        cJSON_Delete(root);
        return RCCTL_UNREACHABLE;
    }
    if (r->json) {
        rcctl_json(root);
    } else if (!h->approved) {
        printf("to apply it: rcctl approve %.*s%s\n", RCD_HELD_PREFIX, h->hash,
               h->first ? " --first" : "");
    }
    return RCCTL_OK;
}

static int show(rcctl_t *r)
{
    char err[512];
    rcd_state_t *state;
    int rc;

    if (rcctl_config(r) != 0) {
        return RCCTL_USAGE;
    }
    state = rcd_state_open_readonly(r->config->state_dir, err, sizeof(err));
    if (state == NULL) {
        rcctl_error("%s", err);
        return RCCTL_UNREACHABLE;
    }
    rc = show_held(r, state);
    rcd_state_close(state);
    return rc;
}

/* ---- the operator's word --------------------------------------------------------------------- */

/* Takes `command` over; `said` is printed when it is done. */
static int give(rcctl_t *r, cJSON *command, const char *said)
{
    cJSON *answer = NULL;
    int rc;

    if (rcctl_config(r) != 0) {
        cJSON_Delete(command);
        return RCCTL_USAGE;
    }
    if (rcctl_spool_alive(r) != 0) {
        cJSON_Delete(command);
        return RCCTL_UNREACHABLE;
    }
    rcctl_catch_signals();
    rc = rcctl_spool_run(r, command, &answer);
    if (answer != NULL && r->json) {
        rcctl_json(answer);
        return rc;
    }
    if (rc == RCCTL_OK) {
        puts(said);
    }
    cJSON_Delete(answer);
    return rc;
}

static cJSON *command_of(const char *cmd)
{
    cJSON *command = cJSON_CreateObject();

    cJSON_AddStringToObject(command, "cmd", cmd);
    return command;
}

static int approve_epoch(rcctl_t *r, const char *epoch)
{
    cJSON *command;
    char *end, said[64];
    long n = strtol(epoch, &end, 10);

    if (n < 0 || n > UINT16_MAX || *end != '\0' || end == epoch) {
        rcctl_error("--epoch needs a number 0 to 65535");
        return RCCTL_USAGE;
    }
    command = command_of("approve-epoch");
    cJSON_AddNumberToObject(command, "epoch", (double) n);
    snprintf(said, sizeof(said), "epoch %ld is approved", n);
    return give(r, command, said);
}

static int hash_ok(const char *hash)
{
    size_t len = strlen(hash);

    if (len >= RCD_HELD_PREFIX && len <= 64 && strspn(hash, "0123456789abcdef") == len) {
        return 1;
    }
    rcctl_error("\"%s\" is not a hash, nor its first %d digits or more; rcctl approve shows what waits",
                hash, RCD_HELD_PREFIX);
    return 0;
}

static int approve_hash(rcctl_t *r, const char *hash, int first)
{
    cJSON *command;

    if (!hash_ok(hash)) {
        return RCCTL_USAGE;
    }
    command = command_of("approve");
    cJSON_AddStringToObject(command, "hash", hash);
    cJSON_AddBoolToObject(command, "first", first);
    return give(r, command, "approved; it is being applied, see rcctl status");
}

static int reject_hash(rcctl_t *r, const char *hash)
{
    cJSON *command;

    if (!hash_ok(hash)) {
        return RCCTL_USAGE;
    }
    command = command_of("reject");
    cJSON_AddStringToObject(command, "hash", hash);
    return give(r, command, "given up; a fresh snapshot is fetched");
}

int rcctl_approve(rcctl_t *r, int argc, char **argv)
{
    const char *epoch = NULL, *reject = NULL, *holders = NULL;
    int first = 0, n;
    const rcctl_option_t options[] = {
        {"epoch", &epoch, NULL}, {"reject", &reject, NULL}, {"holders", &holders, NULL},
        {"first", NULL, &first}, {0}};

    n = rcctl_options(r, argc, argv, options, 1);
    if (n < 0) {
        return RCCTL_USAGE;
    }
    if (n + (epoch != NULL) + (reject != NULL) + (holders != NULL) > 1 || (first && n == 0)) {
        rcctl_error("approve takes a hash (with --first for the first list), or --reject, --epoch or "
                    "--holders");
        return RCCTL_USAGE;
    }
    return epoch != NULL     ? approve_epoch(r, epoch)
           : holders != NULL ? rcctl_holders_approve(r, holders)
           : reject != NULL  ? reject_hash(r, reject)
           : n > 0           ? approve_hash(r, argv[0], first) : show(r);
}
