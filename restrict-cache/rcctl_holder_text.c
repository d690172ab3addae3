/*
 * rcctl_holder_text - the report in plain words, Chinese and English.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "core/jd_time.h"
#include "rcctl_holder.h"

#define DAY_SEC  86400

static const char *const measures[RCCTL_LANGUAGES][JD_MEASURE_N] = {
    [RCCTL_EN] = {"riding buses", "riding the metro", "riding ferries", "renting public bicycles",
                  "borrowing from the library", "reserving at the library", "the annual tour pass"},
    [RCCTL_ZH] = {"乘坐公共汽车", "乘坐地铁", "乘坐轮渡", "租用公共自行车", "图书馆借书", "图书馆预约", "旅游年票"},
};

const char *const rcctl_holder_states[RCCTL_H_N] = {
    "in_force", "to_come", "stayed", "objection", "observe", "lifted", "expired", "dropped",
    "refused",
};

static const char *const states[RCCTL_LANGUAGES][RCCTL_H_N] = {
    [RCCTL_EN] = {
        "in force now",
        "not in force yet",
        "stayed: not enforced",
        "under objection: not enforced",
        "observed only: nothing is refused",
        "lifted: no longer in force",
        "expired: no longer in force",
        "no longer named by the authority: not in force",
        "no longer enforced, because the authority's records contradict each other",
    },
    [RCCTL_ZH] = {
        "正在执行",
        "尚未生效",
        "已暂缓：不执行",
        "异议处理中：不执行",
        "仅观察：不限制任何服务",
        "已解除：不再执行",
        "已到期：不再执行",
        "决定机关已不再列出：不再执行",
        "因决定机关的记录前后矛盾，不再执行",
    },
};

typedef enum {
    W_MEASURES, W_LIFTED, W_AUTHORITY, W_BASIS, W_RELEVANCE, W_TERM, W_STAY, W_LINK, W_CONTEST,
    W_REPAIR, W_NO_RELEVANCE, W_NO_REPAIR, W_NO_TEXTS, W_DESK, WORDS
} word_t;

static const char *const words[RCCTL_LANGUAGES][WORDS] = {
    [RCCTL_EN] = {
        "concerns", "already lifted", "decided by", "legal basis", "why it concerns this", "term",
        "stayed until", "by a card", "to contest", "to repair", "not stated", "ask the authority",
        "The texts of this order cannot be read here. Ask the authority.",
        "If this is not you, say so at this desk: the order can be stayed at once.",
    },
    [RCCTL_ZH] = {
        "涉及的服务", "其中已解除", "决定机关", "法律依据", "与本服务的关联", "起止时间", "暂缓至", "通过卡片",
        "如何提出异议", "如何修复信用", "未说明", "请向决定机关咨询",
        "此处无法读取该限制令的文本，请向决定机关咨询。", "如果这不是您本人，请在本柜台说明：可立即暂缓执行。",
    },
};

/* ---- pieces ---------------------------------------------------------------------------------- */

/* "2026-10-15 00:00" at +08:00 */
static void minute_text(int64_t at, char out[26])
{
    jd_time_print(at, out);
    out[10] = ' ';
    out[16] = '\0';
}

static void day_text(uint32_t day, char out[26])
{
    jd_time_print((int64_t) day * DAY_SEC, out);
    out[10] = '\0';
}

static void line(rcctl_language_t lang, word_t label, const char *text)
{
    printf("  %s%s", words[lang][label], lang == RCCTL_ZH ? "：" : ": ");
    rcctl_text(stdout, text);
    putchar('\n');
}

/* The names of a mask, one after the other; "" = none. */
static void names(rcctl_language_t lang, uint16_t mask, char *out, size_t size)
{
    size_t len = 0;

    out[0] = '\0';
    for (int bit = 0; bit < JD_MEASURE_N; bit++) {
        if (mask & 1u << bit) {
            len += (size_t) snprintf(out + len, size - len, "%s%s",
                                     len == 0 ? "" : lang == RCCTL_ZH ? "、" : ", ",
                                     measures[lang][bit]);
        }
    }
}

/* "a, b" of the two texts that are there; "" = none. To be freed; NULL without memory. */
static char *both(rcctl_language_t lang, const char *a, uint16_t a_len, const char *b,
                  uint16_t b_len)
{
    char *out = NULL;

    return asprintf(&out, "%.*s%s%.*s", a_len, a,
                    a_len == 0 || b_len == 0 ? "" : lang == RCCTL_ZH ? "，电话 " : ", telephone ",
                    b_len, b) < 0 ? NULL : out;
}

static void text_line(rcctl_language_t lang, word_t label, const char *text, uint16_t len)
{
    char *copy = strndup(text, len);

    if (copy != NULL) {
        line(lang, label, copy);
    }
    free(copy);
}

/* ---- one order ------------------------------------------------------------------------------- */

static void print_contest(const rcctl_holding_t *o, rcctl_language_t lang)
{
    const jd_grounds_t *t = &o->texts;
    char *where = both(lang, t->contest_url.text, t->contest_url.len, t->contest_phone.text,
                       t->contest_phone.len);
    char day[26], *text = NULL;

    day_text(o->row.deadline_day, day);
    if (where != NULL && o->row.deadline_day != 0 &&
        asprintf(&text, lang == RCCTL_ZH ? "%s；最迟 %s" : "%s; at the latest on %s", where,
                 day) < 0) {
        text = NULL;
    }
    if (where != NULL) {
        line(lang, W_CONTEST, text != NULL ? text : where);
    }
    free(text);
    free(where);
}

static void print_texts(const rcctl_holding_t *o, rcctl_language_t lang)
{
    const jd_grounds_t *t = &o->texts;
    char *repair;

    text_line(lang, W_AUTHORITY, t->authority.text, t->authority.len);
    text_line(lang, W_BASIS, t->basis.text, t->basis.len);
    if (t->relevance.len > 0) {
        text_line(lang, W_RELEVANCE, t->relevance.text, t->relevance.len);
    } else {
        line(lang, W_RELEVANCE, words[lang][W_NO_RELEVANCE]);
    }
    print_contest(o, lang);
    repair = both(lang, t->repair_url.text, t->repair_url.len, t->repair_phone.text,
                  t->repair_phone.len);
    if (repair != NULL) {
        line(lang, W_REPAIR, repair[0] != '\0' ? repair : words[lang][W_NO_REPAIR]);
    }
    free(repair);
}

static void print_span(rcctl_language_t lang, word_t label, int64_t from, int64_t until)
{
    char a[26], b[26], text[80];

    minute_text(from, a);
    minute_text(until, b);
    if (from <= 0 && until >= JD_STAY_FOREVER) {
        snprintf(text, sizeof(text), "%s", lang == RCCTL_ZH ? "长期" : "at any time");
    } else if (from <= 0) {
        snprintf(text, sizeof(text), lang == RCCTL_ZH ? "至 %s" : "until %s", b);
    } else if (until >= JD_STAY_FOREVER) {
        snprintf(text, sizeof(text), lang == RCCTL_ZH ? "自 %s 起" : "from %s", a);
    } else {
        snprintf(text, sizeof(text), lang == RCCTL_ZH ? "%s 至 %s" : "from %s to %s", a, b);
    }
    line(lang, label, text);
}

static void print_order(const rcctl_holding_t *o, size_t i, rcctl_language_t lang)
{
    char text[256], until[26];

    printf("%zu. ", i + 1);
    rcctl_text(stdout, o->row.number);
    printf("%s%s\n", lang == RCCTL_ZH ? "：" : ": ", states[lang][o->state]);
    names(lang, o->row.measures, text, sizeof(text));
    line(lang, W_MEASURES, text);
    if (o->lifted != 0 && o->state != RCCTL_H_LIFTED) {
        names(lang, o->lifted, text, sizeof(text));
        line(lang, W_LIFTED, text);
    }
    print_span(lang, W_TERM, o->row.start, o->row.until);
    if (o->stay != 0 && o->stay < JD_STAY_FOREVER) {
        minute_text(o->stay, until);
        line(lang, W_STAY, until);
    }
    if (o->linked_from >= 0) {
        print_span(lang, W_LINK, o->linked_from, o->linked_until);
    }
    if (o->grounds != NULL) {
        print_texts(o, lang);
    } else {
        printf("  %s\n", words[lang][W_NO_TEXTS]);
    }
    putchar('\n');
}

/* ---- the whole ------------------------------------------------------------------------------- */

static size_t in_force(const rcctl_holder_t *h)
{
    size_t n = 0;

    for (size_t i = 0; i < h->n; i++) {
        n += h->order[i].state == RCCTL_H_FORCE;
    }
    return n;
}

static void print_head(const rcctl_holder_t *h, rcctl_language_t lang)
{
    char now[26], verified[26];

    minute_text(h->now, now);
    minute_text(h->verified_at, verified);
    if (lang == RCCTL_ZH) {
        printf("限制令查询结果（名单 %s，%s）\n", h->list, now);
        printf("名单最近一次与决定机关核对：%s\n\n", h->verified_at > 0 ? verified : "从未");
    } else {
        printf("Restriction orders (list %s, %s)\n", h->list, now);
        printf("The list was last checked with the authority: %s\n\n",
               h->verified_at > 0 ? verified : "never");
    }
}

void rcctl_holder_print(const rcctl_holder_t *h, rcctl_language_t lang)
{
    size_t force = in_force(h);

    print_head(h, lang);
    if (h->read != JD_SUBJECT_OK) {
        puts(lang == RCCTL_ZH ? "该号码不符合所选证件类型的格式，请核对后重试。"
                              : "This number is not of the form of the document that was chosen. "
                                "Check it and try again.");
        return;
    }
    if (h->unclear) {
        puts(lang == RCCTL_ZH
                 ? "这张卡的持卡人记录不一致，因此不会因他人的限制令而被限制。请在本柜台更正。\n"
                 : "The records say different things about whose card this is, so nothing is "
                   "refused because of a holder. Have it put right at this desk.\n");
    }
    if (h->n == 0) {
        puts(lang == RCCTL_ZH ? "没有任何限制令与该证件有关。" : "No restriction order concerns this document.");
        return;
    }
    if (lang == RCCTL_ZH) {
        printf("共有 %zu 份限制令与您有关，其中 %zu 份正在执行。\n\n", h->n, force);
    } else {
        printf("%zu order%s concern%s you; %zu of them %s in force now.\n\n", h->n,
               h->n == 1 ? "" : "s", h->n == 1 ? "s" : "", force, force == 1 ? "is" : "are");
    }
    for (size_t i = 0; i < h->n; i++) {
        print_order(&h->order[i], i, lang);
    }
    puts(words[lang][W_DESK]);
}

static void add_time(cJSON *o, const char *name, int64_t at)
{
    char text[26];

    jd_time_print(at, text);
    cJSON_AddStringToObject(o, name, text);
}

void rcctl_holder_json(const rcctl_holder_t *h)
{
    static const char *const reads[] = {
        [JD_SUBJECT_OK] = "ok", [JD_SUBJECT_EMPTY] = "empty", [JD_SUBJECT_OTHER] = "other",
        [JD_SUBJECT_MALFORMED] = "malformed"};
    cJSON *root = cJSON_CreateObject(), *list;

    cJSON_AddStringToObject(root, "list", h->list);
    cJSON_AddStringToObject(root, "scheme", jd_scheme_names[h->scheme]);
    cJSON_AddStringToObject(root, "identifier", reads[h->read]);
    cJSON_AddNumberToObject(root, "verified_at", (double) h->verified_at);
    cJSON_AddBoolToObject(root, "unclear", h->unclear);
    cJSON_AddNumberToObject(root, "in_force", (double) in_force(h));
    list = cJSON_AddArrayToObject(root, "orders");
    for (size_t i = 0; i < h->n; i++) {
        const rcctl_holding_t *o = &h->order[i];
        jd_relief_t relief = {.lifted = o->lifted, .stay = o->stay,
                              .objection = o->state == RCCTL_H_OBJECTION};
        rcctl_order_t order = {
            .number = o->row.number, .measures = o->row.measures, .flags = o->row.flags,
            .start = o->row.start, .until = o->row.until, .deadline_day = o->row.deadline_day,
            .relief = &relief, .grounds = o->grounds != NULL ? &o->texts : NULL,
            .state = rcctl_holder_states[o->state],
        };
        cJSON *item = rcctl_order_json(&order);

        if (o->stay != 0 && o->stay < JD_STAY_FOREVER) {
            add_time(item, "stayed_until", o->stay);
        }
        if (o->linked_from >= 0) {
            add_time(item, "linked_from", o->linked_from);
        }
        cJSON_AddItemToArray(list, item);
    }
    rcctl_json(root);
}
