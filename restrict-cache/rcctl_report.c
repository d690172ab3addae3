/*
 * rcctl_report - one month of the list for the public: what was in force, what was refused, what
 * freed, by authority, legal basis and measure. Small counts are masked (rcd_report_mask).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "rcctl.h"
#include "rcctl_table.h"
#include "rcd_clock.h"
#include "rcd_report.h"

#define VALUE_MAX  32

typedef enum { EN, ZH, LANGUAGES } language_t;

static const char *const quantity_labels[LANGUAGES][RCD_R_N] = {
    [EN] = {
        "orders in force", "people and bodies", "orders observed only",
        "orders without a stated relevance", "denials", "lifts", "stays", "objections raised",
        "objections ended: order lifted", "objections ended: withdrawn or rejected",
        "objections ended: order over", "objections open at the end", "orders dropped",
        "orders re-listed within 30 days",
    },
    [ZH] = {
        "生效的限制令", "涉及的人与单位", "仅观察的限制令", "未说明关联性的限制令", "拒绝次数",
        "解除次数", "暂缓执行", "提出异议", "异议结束：限制令解除", "异议结束：撤回或不成立",
        "异议结束：限制令终止", "期末未结异议", "从名单中消失的限制令", "30 日内再次列入",
    },
};

typedef enum {
    L_AUTHORITY, L_BASIS, L_UNKNOWN, L_MEDIAN, L_TOTAL, L_DRY, L_QUARANTINE, L_PERSONS,
    L_MASKED, L_OPEN, L_NOTHING, L_MEASURE, L_COUNT, L_REASON, LABELS
} label_t;

static const char *const labels[LANGUAGES][LABELS] = {
    [EN] = {
        "authority", "basis", "(not known)",
        "median time from act to effect", "the whole list, each order, person and event once",
        "dry runs: requests that would have been denied", "records put in quarantine, by reason",
        "stays of persons (mistaken identity)",
        "<5: 1 to 4. *: not shown, since a masked count could be computed from it.",
        "The month is not complete: it is not over, or a gateway has not reported all of it.",
        "Nothing was in force, and nothing happened.", "measure", "count", "reason",
    },
    [ZH] = {
        "决定机关", "法律依据", "（未知）", "从解除决定到生效的中位时间",
        "全名单合计（每份限制令、每人、每事只计一次）", "试运行：若已启用则会被拒绝的请求",
        "未予执行而隔离的记录，按原因", "对个人的暂缓（误认身份）",
        "<5：1 至 4。*：不公布，因其可推算出被隐去的数字。",
        "本月数据尚不完整：本月未结束，或有网关尚未报齐。", "无生效的限制令，也无事件。", "措施", "数量",
        "原因",
    },
};

/* ---- values ---------------------------------------------------------------------------------- */

static const char *value_text(int64_t n, char out[VALUE_MAX])
{
    if (n == RCD_REPORT_MASKED) {
        return "<5";
    }
    if (n == RCD_REPORT_HIDDEN) {
        return "*";
    }
    snprintf(out, VALUE_MAX, "%" PRId64, n);
    return out;
}

static void value_add(cJSON *o, const char *name, int64_t n)
{
    char out[VALUE_MAX];

    if (n < 0) {
        cJSON_AddStringToObject(o, name, value_text(n, out));
    } else {
        cJSON_AddNumberToObject(o, name, (double) n);
    }
}

/* ---- for programs ---------------------------------------------------------------------------- */

static cJSON *row_json(const rcd_report_row_t *row)
{
    cJSON *o = cJSON_CreateObject();

    cJSON_AddStringToObject(o, "authority", row->authority);
    cJSON_AddStringToObject(o, "basis", row->basis);
    cJSON_AddStringToObject(o, "measure", jd_measure_names[row->measure]);
    for (int q = 0; q < RCD_R_N; q++) {
        value_add(o, rcd_report_names[q], row->n[q]);
    }
    if (row->median_lift_sec >= 0) {
        cJSON_AddNumberToObject(o, "median_lift_sec", (double) row->median_lift_sec);
    } else {
        cJSON_AddNullToObject(o, "median_lift_sec");
    }
    return o;
}

static void print_json(const rcd_report_t *r, const char *list)
{
    cJSON *root = cJSON_CreateObject(), *part;

    cJSON_AddStringToObject(root, "list", list);
    cJSON_AddStringToObject(root, "month", r->month);
    cJSON_AddBoolToObject(root, "complete", r->complete);
    part = cJSON_AddArrayToObject(root, "rows");
    for (size_t i = 0; i < r->rows; i++) {
        cJSON_AddItemToArray(part, row_json(&r->row[i]));
    }
    part = cJSON_AddObjectToObject(root, "total");
    for (int q = 0; q < RCD_R_N; q++) {
        value_add(part, rcd_report_names[q], r->total[q]);
    }
    value_add(part, "dry_run", r->dry_total);
    value_add(part, "quarantined", r->quarantined_total);
    value_add(part, "stays_of_persons", r->stays_of_persons);
    part = cJSON_AddArrayToObject(root, "dry_run");
    for (size_t i = 0; i < r->dries; i++) {
        cJSON *o = cJSON_CreateObject();

        cJSON_AddStringToObject(o, "authority", r->dry[i].authority);
        cJSON_AddStringToObject(o, "measure", jd_measure_names[r->dry[i].measure]);
        value_add(o, "dry_run", r->dry[i].dry_run);
        cJSON_AddItemToArray(part, o);
    }
    part = cJSON_AddObjectToObject(root, "quarantined");
    for (int code = RCD_Q_NONE + 1; code < RCD_Q_N; code++) {
        if (r->quarantined[code] != 0) {
            value_add(part, rcd_quarantine_names[code], r->quarantined[code]);
        }
    }
    rcctl_json(root);
}

/* One value a row: a reader turns it as it likes, and a new quantity breaks no reader. */
static void csv_row(rcctl_table_t *t, const char *month, const char *authority, const char *basis,
                    const char *measure, const char *quantity, int64_t n)
{
    char out[VALUE_MAX];
    const char *cells[] = {month, authority, basis, measure, quantity, value_text(n, out)};

    rcctl_table_row(t, cells);
}

static void print_csv(const rcd_report_t *r)
{
    static const char *const head[] = {"month", "authority", "basis",
                                       "measure", "quantity", "value"};
    char name[64];
    rcctl_table_t t;

    rcctl_table_init(&t, 6, 0);
    rcctl_table_row(&t, head);
    for (size_t i = 0; i < r->rows; i++) {
        const rcd_report_row_t *row = &r->row[i];

        for (int q = 0; q < RCD_R_N; q++) {
            csv_row(&t, r->month, row->authority, row->basis, jd_measure_names[row->measure],
                    rcd_report_names[q], row->n[q]);
        }
        if (row->median_lift_sec >= 0) {
            csv_row(&t, r->month, row->authority, row->basis, jd_measure_names[row->measure],
                    "median_lift_sec", row->median_lift_sec);
        }
    }
    for (size_t i = 0; i < r->dries; i++) {
        csv_row(&t, r->month, r->dry[i].authority, "", jd_measure_names[r->dry[i].measure],
                "dry_run", r->dry[i].dry_run);
    }
    for (int code = RCD_Q_NONE + 1; code < RCD_Q_N; code++) {
        if (r->quarantined[code] != 0) {
            snprintf(name, sizeof(name), "quarantined %s", rcd_quarantine_names[code]);
            csv_row(&t, r->month, "", "", "", name, r->quarantined[code]);
        }
    }
    csv_row(&t, r->month, "", "", "", "stays_of_persons", r->stays_of_persons);
    for (int q = 0; q < RCD_R_N; q++) {
        csv_row(&t, r->month, "", "", "", rcd_report_names[q], r->total[q]);
    }
    csv_row(&t, r->month, "", "", "", "complete", r->complete);
    rcctl_table_csv(&t);
    rcctl_table_fini(&t);
}

/* ---- for people ------------------------------------------------------------------------------ */

static void heading(const char *label, const char *text, const char *unknown)
{
    printf("%s: ", label);
    rcctl_text(stdout, text[0] != '\0' ? text : unknown);
    putchar('\n');
}

/* Rows of one authority and basis: measures side by side. */
static void print_group(const rcd_report_row_t *row, unsigned n, language_t lang)
{
    const char *cells[1 + JD_MEASURE_N] = {""};
    char values[JD_MEASURE_N][VALUE_MAX];
    rcctl_table_t t;
    int medians = 0;

    rcctl_table_init(&t, n + 1, ~1u);
    for (unsigned i = 0; i < n; i++) {
        cells[i + 1] = jd_measure_names[row[i].measure];
        medians |= row[i].median_lift_sec >= 0;
    }
    rcctl_table_row(&t, cells);
    for (int q = 0; q < RCD_R_N; q++) {
        cells[0] = quantity_labels[lang][q];
        for (unsigned i = 0; i < n; i++) {
            cells[i + 1] = value_text(row[i].n[q], values[i]);
        }
        rcctl_table_row(&t, cells);
    }
    cells[0] = labels[lang][L_MEDIAN];
    for (unsigned i = 0; i < n; i++) {
        snprintf(values[i], VALUE_MAX, "%" PRId64 " s", row[i].median_lift_sec);
        cells[i + 1] = row[i].median_lift_sec >= 0 ? values[i] : "-";
    }
    if (medians) {
        rcctl_table_row(&t, cells);
    }
    rcctl_table_print(&t);
    rcctl_table_fini(&t);
    putchar('\n');
}

static void print_total(const rcd_report_t *r, language_t lang)
{
    char out[VALUE_MAX];
    const char *cells[2];
    rcctl_table_t t;

    puts(labels[lang][L_TOTAL]);
    rcctl_table_init(&t, 2, 2);
    for (int q = 0; q < RCD_R_N; q++) {
        cells[0] = quantity_labels[lang][q];
        cells[1] = value_text(r->total[q], out);
        rcctl_table_row(&t, cells);
    }
    cells[0] = labels[lang][L_PERSONS];
    cells[1] = value_text(r->stays_of_persons, out);
    rcctl_table_row(&t, cells);
    rcctl_table_print(&t);
    rcctl_table_fini(&t);
    putchar('\n');
}

static void print_dry(const rcd_report_t *r, language_t lang)
{
    const char *cells[3] = {labels[lang][L_AUTHORITY], labels[lang][L_MEASURE],
                            labels[lang][L_COUNT]};
    char out[VALUE_MAX];
    rcctl_table_t t;

    if (r->dries == 0) {
        return;
    }
    puts(labels[lang][L_DRY]);
    rcctl_table_init(&t, 3, 4);
    rcctl_table_row(&t, cells);
    for (size_t i = 0; i < r->dries; i++) {
        cells[0] = r->dry[i].authority;
        cells[1] = jd_measure_names[r->dry[i].measure];
        cells[2] = value_text(r->dry[i].dry_run, out);
        rcctl_table_row(&t, cells);
    }
    rcctl_table_print(&t);
    rcctl_table_fini(&t);
    putchar('\n');
}

static void print_quarantine(const rcd_report_t *r, language_t lang)
{
    const char *cells[2] = {labels[lang][L_REASON], labels[lang][L_COUNT]};
    char out[VALUE_MAX];
    rcctl_table_t t;

    rcctl_table_init(&t, 2, 2);
    rcctl_table_row(&t, cells);
    for (int code = RCD_Q_NONE + 1; code < RCD_Q_N; code++) {
        if (r->quarantined[code] != 0) {
            cells[0] = rcd_quarantine_names[code];
            cells[1] = value_text(r->quarantined[code], out);
            rcctl_table_row(&t, cells);
        }
    }
    if (t.rows > 1) {
        puts(labels[lang][L_QUARANTINE]);
        rcctl_table_print(&t);
        putchar('\n');
    }
    rcctl_table_fini(&t);
}

static void print_text(const rcd_report_t *r, const char *list, language_t lang)
{
    unsigned n;

    if (lang == ZH) {
        printf("%s 限制令执行情况，名单 %s\n", r->month, list);
    } else {
        printf("Restrictions in %s, list %s\n", r->month, list);
    }
    if (!r->complete) {
        puts(labels[lang][L_OPEN]);
    }
    putchar('\n');
    for (size_t i = 0; i < r->rows; i += n) {
        const rcd_report_row_t *row = &r->row[i];

        for (n = 1; i + n < r->rows && strcmp(row[n].authority, row->authority) == 0 &&
                    strcmp(row[n].basis, row->basis) == 0; n++) {
        }
        heading(labels[lang][L_AUTHORITY], row->authority, labels[lang][L_UNKNOWN]);
        heading(labels[lang][L_BASIS], row->basis, labels[lang][L_UNKNOWN]);
        print_group(row, n, lang);
    }
    if (r->rows == 0) {
        printf("%s\n\n", labels[lang][L_NOTHING]);
    } else {
        print_total(r, lang);
    }
    print_dry(r, lang);
    print_quarantine(r, lang);
    puts(labels[lang][L_MASKED]);
}

/* ---- the command ----------------------------------------------------------------------------- */

int rcctl_report(rcctl_t *r, int argc, char **argv)
{
    const char *month = NULL, *lang = "en";
    int csv = 0, rc;
    const rcctl_option_t options[] = {
        {"month", &month, NULL}, {"csv", NULL, &csv}, {"lang", &lang, NULL}, {0}};
    rcd_report_t report;
    rcd_state_t *s;
    char err[512];

    if (rcctl_options(r, argc, argv, options, 0) < 0) {
        return RCCTL_USAGE;
    }
    if (month == NULL) {
        rcctl_error("report needs --month, as 2026-11");
        return RCCTL_USAGE;
    }
    if (strcmp(lang, "en") != 0 && strcmp(lang, "zh") != 0) {
        rcctl_error("--lang %s is none of en zh", lang);
        return RCCTL_USAGE;
    }
    if (csv && r->json) {
        rcctl_error("--csv and --json exclude each other");
        return RCCTL_USAGE;
    }
    if (rcctl_config(r) != 0) {
        return RCCTL_USAGE;
    }
    s = rcd_state_open_readonly(r->config->state_dir, err, sizeof(err));
    if (s == NULL) {
        rcctl_error("%s", err);
        return RCCTL_UNREACHABLE;
    }
    rc = rcd_report_gather(&report, s, r->config->state_dir, &r->config->keys, month,
                           rcd_clock_wall(), err, sizeof(err));
    rcd_state_close(s);
    if (rc != 0) {
        rcctl_error("%s", err);
        rc = report.from == 0 ? RCCTL_USAGE : RCCTL_UNREACHABLE;
    } else {
        rcd_report_mask(&report);
        if (r->json) {
            print_json(&report, r->config->list);
        } else if (csv) {
            print_csv(&report);
        } else {
            print_text(&report, r->config->list, strcmp(lang, "zh") == 0 ? ZH : EN);
        }
    }
    rcd_report_fini(&report);
    return rc;
}
