/*
 * ts_report.c - what a run tells: a line each second, wrong answers as they come, the verdict.
 */
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "ts_terminal.h"

#define ROWS         32
#define WRONG_SHOWN  20
#define ERRORS       16

typedef struct {
    ts_outcome_t outcome;
    int          status;
    char         said[48];
    uint64_t     n;
} row_t;

typedef struct {
    char     why[80];
    uint64_t n;
} failure_t;

struct ts_report {
    const ts_terminal_t *terminal;
    const ts_options_t  *options;
    int64_t              start_ns;
    uint64_t             answers, wrong, settling, reopened, errors;
    uint64_t             wrong_by[3];               /* by ts_outcome_t */
    unsigned             n_rows, n_errors;
    row_t                row[ROWS];                 /* the last one takes what found no place */
    failure_t            error[ERRORS];
    ts_histogram_t       all, passed, denied, second;
};

static const char *const outcome_names[] = { "passed", "denied", "other" };

ts_report_t *ts_report_create(const ts_terminal_t *terminal, const ts_options_t *o, int64_t now_ns)
{
    ts_report_t *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->terminal = terminal;
    r->options = o;
    r->start_ns = now_ns;
    return r;
}

void ts_report_destroy(ts_report_t *r)
{
    free(r);
}

static void count_row(ts_report_t *r, const ts_answer_t *a)
{
    unsigned i;

    for (i = 0; i < r->n_rows; i++) {
        if (r->row[i].outcome == a->outcome && r->row[i].status == a->status
            && strcmp(r->row[i].said, a->said) == 0)
            break;
    }
    if (i == ROWS) {
        i = ROWS - 1;
    } else if (i == r->n_rows) {
        r->n_rows++;
        r->row[i].outcome = a->outcome;
        r->row[i].status = i == ROWS - 1 ? 0 : a->status;
        strcpy(r->row[i].said, i == ROWS - 1 ? "(further)" : a->said);
    }
    r->row[i].n++;
}

void ts_report_answer(ts_report_t *r, const ts_answer_t *a, uint64_t latency_us)
{
    r->answers++;
    count_row(r, a);
    ts_histogram_add(&r->all, latency_us);
    ts_histogram_add(&r->second, latency_us);
    if (a->outcome == TS_PASSED)
        ts_histogram_add(&r->passed, latency_us);
    if (a->outcome == TS_DENIED)
        ts_histogram_add(&r->denied, latency_us);
}

void ts_report_wrong(ts_report_t *r, const ts_answer_t *a, unsigned service, const char *card,
                     const char *order, const char *why)
{
    char masked[JD_SUBJECT_MAX + 1];

    r->wrong++;
    r->wrong_by[a->outcome]++;
    if (r->wrong > WRONG_SHOWN)
        return;
    ts_mask(card, strlen(card), masked);
    fprintf(stderr, "WRONG %s card %s: status %d, JD-Status %s: %s (order %s)%s\n",
            r->terminal->service[service].measure, masked, a->status, a->said, why, order,
            r->wrong == WRONG_SHOWN ? "; further ones are only counted" : "");
}

void ts_report_settling(ts_report_t *r)
{
    r->settling++;
}

void ts_report_reopened(ts_report_t *r)
{
    r->reopened++;
}

void ts_report_error(ts_report_t *r, uint64_t n, const char *why)
{
    unsigned i;

    r->errors += n;
    for (i = 0; i < r->n_errors; i++) {
        if (strcmp(r->error[i].why, why) == 0)
            break;
    }
    if (i == ERRORS) {
        i = ERRORS - 1;
    } else if (i == r->n_errors) {
        snprintf(r->error[i].why, sizeof r->error[i].why, "%s",
                 i == ERRORS - 1 ? "(further)" : why);
        r->n_errors++;
    }
    r->error[i].n += n;
}

void ts_report_progress(ts_report_t *r, int64_t now_ns)
{
    fprintf(stderr,
            "%5.0f s  %llu/s  answers %llu  passed %llu  denied %llu  wrong %llu  errors %llu  "
            "p99 %.2f ms  max %.2f ms\n",
            (double) (now_ns - r->start_ns) / 1e9, (unsigned long long) r->second.n,
            (unsigned long long) r->answers, (unsigned long long) r->passed.n,
            (unsigned long long) r->denied.n, (unsigned long long) r->wrong,
            (unsigned long long) r->errors, (double) ts_histogram_at(&r->second, 0.99) / 1000,
            (double) r->second.max / 1000);
    memset(&r->second, 0, sizeof r->second);
}

static void print_latency(const char *name, const ts_histogram_t *h)
{
    if (h->n == 0)
        return;
    printf("  %-8s %10llu %9.2f %9.2f %9.2f %9.2f %9.2f\n", name, (unsigned long long) h->n,
           (double) ts_histogram_at(h, 0.5) / 1000, (double) ts_histogram_at(h, 0.9) / 1000,
           (double) ts_histogram_at(h, 0.99) / 1000, (double) ts_histogram_at(h, 0.999) / 1000,
           (double) h->max / 1000);
}

static void print_table(const ts_report_t *r, double seconds)
{
    printf("%s: %llu answers in %.2f s, %.0f/s\n\n", r->terminal->name,
           (unsigned long long) r->answers, seconds, (double) r->answers / seconds);
    printf("  verdict  status  JD-Status                  answers\n");
    for (unsigned i = 0; i < r->n_rows; i++)
        printf("  %-8s %6d  %-22s %11llu\n", outcome_names[r->row[i].outcome], r->row[i].status,
               r->row[i].said, (unsigned long long) r->row[i].n);
    printf("\n  latency ms from the intended start\n"
           "             answers       p50       p90       p99     p99.9       max\n");
    print_latency("all", &r->all);
    print_latency("passed", &r->passed);
    print_latency("denied", &r->denied);
    for (unsigned i = 0; i < r->n_errors; i++)
        printf("%s  transport error: %s: %llu\n", i ? "" : "\n", r->error[i].why,
               (unsigned long long) r->error[i].n);
    printf("\n  wrong answers %llu (passed %llu, denied %llu, other %llu), transport errors %llu\n"
           "  within the window after an event %llu, connections reopened %llu\n",
           (unsigned long long) r->wrong, (unsigned long long) r->wrong_by[TS_PASSED],
           (unsigned long long) r->wrong_by[TS_DENIED], (unsigned long long) r->wrong_by[TS_OTHER],
           (unsigned long long) r->errors, (unsigned long long) r->settling,
           (unsigned long long) r->reopened);
}

static void json_latency(cJSON *parent, const char *name, const ts_histogram_t *h)
{
    cJSON *o = cJSON_AddObjectToObject(parent, name);

    cJSON_AddNumberToObject(o, "answers", (double) h->n);
    cJSON_AddNumberToObject(o, "p50", (double) ts_histogram_at(h, 0.5) / 1000);
    cJSON_AddNumberToObject(o, "p90", (double) ts_histogram_at(h, 0.9) / 1000);
    cJSON_AddNumberToObject(o, "p99", (double) ts_histogram_at(h, 0.99) / 1000);
    cJSON_AddNumberToObject(o, "p99.9", (double) ts_histogram_at(h, 0.999) / 1000);
    cJSON_AddNumberToObject(o, "max", (double) h->max / 1000);
}

static void print_json(const ts_report_t *r, double seconds)
{
    cJSON *root = cJSON_CreateObject(), *list, *item;
    char *text;

    cJSON_AddStringToObject(root, "terminal", r->terminal->name);
    cJSON_AddNumberToObject(root, "seconds", seconds);
    cJSON_AddNumberToObject(root, "answers", (double) r->answers);
    cJSON_AddNumberToObject(root, "answers_per_second", (double) r->answers / seconds);
    cJSON_AddNumberToObject(root, "passed", (double) r->passed.n);
    cJSON_AddNumberToObject(root, "denied", (double) r->denied.n);
    cJSON_AddNumberToObject(root, "wrong", (double) r->wrong);
    cJSON_AddNumberToObject(root, "wrong_passed", (double) r->wrong_by[TS_PASSED]);
    cJSON_AddNumberToObject(root, "wrong_denied", (double) r->wrong_by[TS_DENIED]);
    cJSON_AddNumberToObject(root, "wrong_other", (double) r->wrong_by[TS_OTHER]);
    cJSON_AddNumberToObject(root, "transport_errors", (double) r->errors);
    cJSON_AddNumberToObject(root, "settling", (double) r->settling);
    cJSON_AddNumberToObject(root, "reopened", (double) r->reopened);
    list = cJSON_AddArrayToObject(root, "verdicts");
    for (unsigned i = 0; i < r->n_rows; i++) {
        cJSON_AddItemToArray(list, item = cJSON_CreateObject());
        cJSON_AddStringToObject(item, "verdict", outcome_names[r->row[i].outcome]);
        cJSON_AddNumberToObject(item, "status", r->row[i].status);
        cJSON_AddStringToObject(item, "jd_status", r->row[i].said);
        cJSON_AddNumberToObject(item, "answers", (double) r->row[i].n);
    }
    list = cJSON_AddArrayToObject(root, "errors");
    for (unsigned i = 0; i < r->n_errors; i++) {
        cJSON_AddItemToArray(list, item = cJSON_CreateObject());
        cJSON_AddStringToObject(item, "error", r->error[i].why);
        cJSON_AddNumberToObject(item, "requests", (double) r->error[i].n);
    }
    item = cJSON_AddObjectToObject(root, "latency_ms");
    json_latency(item, "all", &r->all);
    json_latency(item, "passed", &r->passed);
    json_latency(item, "denied", &r->denied);
    text = cJSON_PrintUnformatted(root);
    puts(text ? text : "{}");
    free(text);
    cJSON_Delete(root);
}

int ts_report_end(ts_report_t *r, int64_t now_ns)
{
    double seconds = (double) (now_ns - r->start_ns) / 1e9;

    if (r->options->json)
        print_json(r, seconds);
    else
        print_table(r, seconds);
    return r->wrong || r->errors ? TS_EXIT_WRONG : TS_EXIT_OK;
}
