/*
 * rcctl_print - answers for people and for programs.
 */
#include <stdlib.h>
#include <string.h>
#include "core/jd_measure.h"
#include "core/jd_time.h"
#include "rcctl.h"

#define DAY_SEC  86400

void rcctl_text(FILE *to, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char) *text;

        fputc(c < 0x20 || c == 0x7f ? '?' : c, to);
    }
}

void rcctl_line(const char *label, const char *text)
{
    if (text != NULL && text[0] != '\0') {
        printf("  %-10s ", label);
        rcctl_text(stdout, text);
        putchar('\n');
    }
}

void rcctl_json(cJSON *object)
{
    char *text = cJSON_PrintUnformatted(object);

    puts(text != NULL ? text : "null");
    free(text);
    cJSON_Delete(object);
}

const char *rcctl_span(int64_t sec)
{
    static char out[32];

    if (sec < 120) {
        snprintf(out, sizeof(out), "%lld s", (long long) sec);
    } else if (sec < 2 * 3600) {
        snprintf(out, sizeof(out), "%lld min", (long long) sec / 60);
    } else if (sec < 2 * DAY_SEC) {
        snprintf(out, sizeof(out), "%lld h", (long long) sec / 3600);
    } else {
        snprintf(out, sizeof(out), "%lld days", (long long) sec / DAY_SEC);
    }
    return out;
}

/* Days since 1970-01-01 as a date. */
static void print_day(uint32_t day, char out[26])
{
    jd_time_print((int64_t) day * DAY_SEC, out);
    out[10] = '\0';
}

static void add_measures(cJSON *o, const char *name, uint16_t mask)
{
    cJSON *list = cJSON_AddArrayToObject(o, name);

    for (int bit = 0; bit < JD_MEASURE_N; bit++) {
        if (mask & 1u << bit) {
            cJSON_AddItemToArray(list, cJSON_CreateString(jd_measure_names[bit]));
        }
    }
}

/*
 * Text of grounds, which is not NUL terminated. The copy is freed by the caller; NULL when it is
 * empty.
 */
static char *copy(const char *text, uint16_t len)
{
    return len > 0 ? strndup(text, len) : NULL;
}

static void add_text(cJSON *o, const char *name, const char *text, uint16_t len)
{
    char *s = copy(text, len);

    if (s != NULL) {
        cJSON_AddStringToObject(o, name, s);
    }
    free(s);
}

static void add_time(cJSON *o, const char *name, int64_t sec)
{
    char out[26];

    jd_time_print(sec, out);
    cJSON_AddStringToObject(o, name, out);
}

cJSON *rcctl_order_json(const rcctl_order_t *o)
{
    const jd_grounds_t *g = o->grounds;
    cJSON *j = cJSON_CreateObject(), *part;
    char day[26];

    cJSON_AddStringToObject(j, "order", o->number);
    cJSON_AddStringToObject(j, "state", o->state);
    add_measures(j, "measures", o->measures);
    add_time(j, "from", o->start);
    add_time(j, "until", o->until);
    cJSON_AddStringToObject(j, "effect", o->flags & JD_ORDER_OBSERVE ? "observe" : "enforce");
    cJSON_AddBoolToObject(j, "objection",
                          (o->flags & JD_ORDER_OBJECTION) || (o->relief && o->relief->objection));
    add_measures(j, "lifted", o->relief ? o->relief->lifted : 0);
    if (o->relief != NULL && o->relief->stay > 0) {
        if (o->relief->stay == JD_STAY_FOREVER) {
            cJSON_AddStringToObject(j, "stay", "open");
        } else {
            add_time(j, "stay", o->relief->stay);
        }
    }
    if (o->flags & JD_ORDER_LINKED) {
        part = cJSON_AddObjectToObject(j, "link");
        add_time(part, "from", o->link_from);
        if (o->link_until != JD_LINK_OPEN) {
            add_time(part, "until", o->link_until);
        }
    }
    if (g != NULL) {
        add_text(j, "authority", g->authority.text, g->authority.len);
        add_text(j, "basis", g->basis.text, g->basis.len);
        add_text(j, "relevance", g->relevance.text, g->relevance.len);
    }
    part = cJSON_AddObjectToObject(j, "contest");
    if (g != NULL) {
        add_text(part, "url", g->contest_url.text, g->contest_url.len);
        add_text(part, "phone", g->contest_phone.text, g->contest_phone.len);
    }
    if (o->flags & JD_ORDER_DEADLINE) {
        print_day(o->deadline_day, day);
        cJSON_AddStringToObject(part, "deadline", day);
    }
    part = cJSON_AddObjectToObject(j, "repair");
    if (g != NULL) {
        add_text(part, "url", g->repair_url.text, g->repair_url.len);
        add_text(part, "phone", g->repair_phone.text, g->repair_phone.len);
    }
    return j;
}

static void line_text(const char *label, const char *text, uint16_t len)
{
    char *s = copy(text, len);

    rcctl_line(label, s);
    free(s);
}

void rcctl_order_print(const rcctl_order_t *o)
{
    const jd_grounds_t *g = o->grounds;
    char names[128], from[26], until[26], day[26], stay[26];

    fputs("order ", stdout);
    rcctl_text(stdout, o->number);
    printf(": %s\n", o->state_text);
    jd_measure_mask_print(o->measures, names);
    rcctl_line("measures", names);
    if (o->relief != NULL && o->relief->lifted) {
        jd_measure_mask_print(o->relief->lifted & o->measures, names);
        rcctl_line("lifted", o->relief->lifted == 0xffff ? "the whole order" : names);
    }
    jd_time_print(o->start, from);
    jd_time_print(o->until, until);
    printf("  %-10s from %s until %s\n", "in force", from, until);
    if (o->flags & JD_ORDER_LINKED) {
        jd_time_print(o->link_from, from);
        jd_time_print(o->link_until, until);
        printf("  %-10s of this card from %s %s %s\n", "holder", from,
               o->link_until == JD_LINK_OPEN ? "with no" : "until",
               o->link_until == JD_LINK_OPEN ? "end" : until);
    }
    if (o->relief != NULL && o->relief->stay > 0) {
        jd_time_print(o->relief->stay, stay);
        printf("  %-10s %s %s\n", "stayed", o->relief->stay == JD_STAY_FOREVER ? "with no" : "until",
               o->relief->stay == JD_STAY_FOREVER ? "end" : stay);
    }
    rcctl_line("effect", o->flags & JD_ORDER_OBSERVE ? "observe" : "enforce");
    if ((o->flags & JD_ORDER_OBJECTION) || (o->relief != NULL && o->relief->objection)) {
        rcctl_line("objection", "yes: observed, not enforced");
    }
    if (g == NULL) {
        rcctl_line("grounds", "unknown");
        return;
    }
    line_text("authority", g->authority.text, g->authority.len);
    line_text("basis", g->basis.text, g->basis.len);
    line_text("relevance", g->relevance.text, g->relevance.len);
    line_text("contest", g->contest_url.text, g->contest_url.len);
    line_text("contest", g->contest_phone.text, g->contest_phone.len);
    if (o->flags & JD_ORDER_DEADLINE) {
        print_day(o->deadline_day, day);
        rcctl_line("contest by", day);
    }
    line_text("repair", g->repair_url.text, g->repair_url.len);
    line_text("repair", g->repair_phone.text, g->repair_phone.len);
}
