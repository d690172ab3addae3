/*
 * rcd_order - one order of the feed: parsed, validated, or quarantined with a code.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "core/jd_measure.h"
#include "core/jd_policy.h"
#include "core/jd_time.h"
#include "core/jd_utf8.h"
#include "rcd_json.h"
#include "rcd_order.h"

#define DAY_SEC       86400
#define CHINA_OFFSET  (8 * 3600)

const char *const rcd_quarantine_names[RCD_Q_N] = {
    "none",
    "jd_schema",
    "jd_no_basis",
    "jd_not_served",
    "jd_no_term",
    "jd_term_too_long",
    "jd_no_contest",
    "jd_measure_not_enabled",
    "jd_authority",
    "jd_subject",
    "jd_subject_changed",
    "jd_aggravated",
    "jd_lifted",
    "jd_duplicate",
    "jd_two_holders",
};

/* One record on its way through the checks. */
typedef struct {
    const rcd_rules_t *rules;
    const cJSON       *root;
    rcd_order_t       *out;
    jd_grounds_t       grounds;
    char              *why;
    size_t             why_size;
} parse_t;

static rcd_quarantine_t refuse(parse_t *p, rcd_quarantine_t code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static rcd_quarantine_t refuse(parse_t *p, rcd_quarantine_t code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(p->why, p->why_size, format, args);
    va_end(args);
    return code;
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* 1 when `text` has no control character and fits; the JSON guard has seen to UTF-8 and NUL. */
static int text_ok(const char *text)
{
    size_t len = strlen(text), n;
    const uint8_t *s = (const uint8_t *) text;
    uint32_t code;

    if (len > JD_GROUNDS_TEXT_MAX) {
        return 0;
    }
    for (; len > 0; s += n, len -= n) {
        n = jd_utf8_read(s, len, &code);
        if (n == 0 || jd_utf8_control(code)) {
            return 0;
        }
    }
    return 1;
}

/* 1 for an absolute http or https URL in visible ASCII. */
static int url_ok(const char *url)
{
    size_t prefix = strncmp(url, "https://", 8) == 0 ? 8 : strncmp(url, "http://", 7) == 0 ? 7 : 0;

    if (prefix == 0 || url[prefix] == '\0') {
        return 0;
    }
    for (const char *c = url; *c != '\0'; c++) {
        if (*c <= ' ' || *c > '~' || strchr("\"<>\\^`{|}", *c) != NULL) {
            return 0;
        }
    }
    return 1;
}

/*
 * Reads member `name` of `object` as a text of the grounds; absent is an empty text. `label` names
 * it in `why`. RCD_Q_SCHEMA when it is no text that may be shown.
 */
static rcd_quarantine_t read_text(parse_t *p, const cJSON *object, const char *name,
                                  const char *label, int url, const char **text, uint16_t *len)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(object, name);

    *text = "";
    *len = 0;
    if (m == NULL) {
        return RCD_Q_NONE;
    }
    if (!cJSON_IsString(m) || !text_ok(m->valuestring)) {
        return refuse(p, RCD_Q_SCHEMA, "%s: must be a string of at most %d bytes without control "
                      "characters", label, JD_GROUNDS_TEXT_MAX);
    }
    if (url && m->valuestring[0] != '\0' && !url_ok(m->valuestring)) {
        return refuse(p, RCD_Q_SCHEMA, "%s: must be an absolute http or https URL in ASCII", label);
    }
    *text = m->valuestring;
    *len = (uint16_t) strlen(m->valuestring);
    return RCD_Q_NONE;
}

/* Refuses a member of `object` that is not among `names` (space-separated). */
static rcd_quarantine_t only_members(parse_t *p, const cJSON *object, const char *label,
                                     const char *const *names)
{
    for (const cJSON *m = object->child; m != NULL; m = m->next) {
        const char *const *n = names;

        while (*n != NULL && strcmp(*n, m->string) != 0) {
            n++;
        }
        if (*n == NULL) {
            return refuse(p, RCD_Q_SCHEMA, "%s: has a member that the schema does not know; leave "
                          "it out", label);
        }
    }
    return RCD_Q_NONE;
}

/* ---- members --------------------------------------------------------------------------------- */

static rcd_quarantine_t parse_number(parse_t *p)
{
    const char *number = rcd_json_string(p->root, "order");

    if (number == NULL || !jd_order_number_ok(number, strlen(number))) {
        return refuse(p, RCD_Q_SCHEMA, "order: must be a number of 1 to %d bytes without space, "
                      "quote, backslash or control character", JD_ORDER_NUMBER_MAX);
    }
    snprintf(p->out->number, sizeof(p->out->number), "%s", number);
    return RCD_Q_NONE;
}

static rcd_quarantine_t parse_flags(parse_t *p)
{
    static const char *const names[] = {
        "order", "subject", "measures", "authority", "basis", "relevance", "served", "from",
        "until", "effect", "objection", "contest", "repair", NULL,
    };
    const char *effect = rcd_json_string(p->root, "effect");
    const cJSON *objection = cJSON_GetObjectItemCaseSensitive(p->root, "objection");
    rcd_quarantine_t code = only_members(p, p->root, "record", names);

    if (code != RCD_Q_NONE) {
        return code;
    }
    if (effect == NULL || (strcmp(effect, "enforce") != 0 && strcmp(effect, "observe") != 0)) {
        return refuse(p, RCD_Q_SCHEMA, "effect: must be \"enforce\" or \"observe\"");
    }
    if (!cJSON_IsBool(objection)) {
        return refuse(p, RCD_Q_SCHEMA, "objection: must be true or false");
    }
    p->out->observe = strcmp(effect, "observe") == 0;
    p->out->objection = cJSON_IsTrue(objection);
    return RCD_Q_NONE;
}

static rcd_quarantine_t parse_basis(parse_t *p)
{
    jd_grounds_t *g = &p->grounds;
    rcd_quarantine_t code;

    code = read_text(p, p->root, "authority", "authority", 0, &g->authority.text,
                     &g->authority.len);
    if (code == RCD_Q_NONE) {
        code = read_text(p, p->root, "basis", "basis", 0, &g->basis.text, &g->basis.len);
    }
    if (code == RCD_Q_NONE) {
        code = read_text(p, p->root, "relevance", "relevance", 0, &g->relevance.text,
                         &g->relevance.len);
    }
    if (code != RCD_Q_NONE) {
        return code;
    }
    if (g->authority.len == 0 || g->basis.len == 0) {
        return refuse(p, RCD_Q_NO_BASIS, "%s: missing or empty; name the %s",
                      g->authority.len == 0 ? "authority" : "basis",
                      g->authority.len == 0 ? "authority that ordered it" : "legal basis");
    }
    return RCD_Q_NONE;
}

/* Reads a time by `parse`: 1 read, 0 absent, -1 (code in *code) not a time. */
static int read_time(parse_t *p, const char *name, const char *form,
                     int (*parse)(const char *, size_t, int64_t *), int64_t *value,
                     rcd_quarantine_t *code)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(p->root, name);

    if (m == NULL) {
        return 0;
    }
    if (!cJSON_IsString(m) || parse(m->valuestring, strlen(m->valuestring), value) != 0) {
        *code = refuse(p, RCD_Q_SCHEMA, "%s: must be %s", name, form);
        return -1;
    }
    return 1;
}

static rcd_quarantine_t parse_term(parse_t *p)
{
    static const char instant[] = "an instant with offset, like 2026-10-15T00:00:00+08:00";
    rcd_order_t *o = p->out;
    rcd_quarantine_t code = RCD_Q_NONE;
    int from = read_time(p, "from", instant, jd_time_parse, &o->from, &code);
    int until = from < 0 ? -1 : read_time(p, "until", instant, jd_time_parse, &o->until, &code);
    int served = until < 0 ? -1
                           : read_time(p, "served", "a date like 2026-10-01", jd_date_parse,
                                       &o->served, &code);

    if (served < 0) {
        return code;
    }
    if (!from || !until || o->until <= o->from) {
        return refuse(p, RCD_Q_NO_TERM, "%s", !from ? "from: missing" : !until ? "until: missing"
                      : "until: must be after from");
    }
    if (!served || o->served >= o->until) {
        return refuse(p, RCD_Q_NOT_SERVED, "%s",
                      !served ? "served: missing; give the date on which "
                      "the notice was served" : "served: must be before until");
    }
    if (o->from < 0 || o->until >= INT64_C(1) << 40) {
        return refuse(p, RCD_Q_SCHEMA, "from, until: must be after 1970 and before 36812");
    }
    return RCD_Q_NONE;
}

static rcd_quarantine_t parse_contest(parse_t *p)
{
    static const char *const contest_names[] = {"url", "phone", "deadline", NULL};
    static const char *const repair_names[] = {"url", "phone", NULL};
    const cJSON *contest = cJSON_GetObjectItemCaseSensitive(p->root, "contest");
    const cJSON *repair = cJSON_GetObjectItemCaseSensitive(p->root, "repair");
    const cJSON *deadline = cJSON_GetObjectItemCaseSensitive(contest, "deadline");
    jd_grounds_t *g = &p->grounds;
    rcd_quarantine_t code = RCD_Q_NONE;
    int64_t day;

    if ((contest != NULL && !cJSON_IsObject(contest)) ||
        (repair != NULL && !cJSON_IsObject(repair))) {
        return refuse(p, RCD_Q_SCHEMA, "contest, repair: must be objects");
    }
    if (contest != NULL) {
        code = only_members(p, contest, "contest", contest_names);
    }
    if (code == RCD_Q_NONE && repair != NULL) {
        code = only_members(p, repair, "repair", repair_names);
    }
    if (code != RCD_Q_NONE ||
        (code = read_text(p, contest, "url", "contest.url", 1, &g->contest_url.text,
                          &g->contest_url.len)) != RCD_Q_NONE ||
        (code = read_text(p, contest, "phone", "contest.phone", 0, &g->contest_phone.text,
                          &g->contest_phone.len)) != RCD_Q_NONE ||
        (code = read_text(p, repair, "url", "repair.url", 1, &g->repair_url.text,
                          &g->repair_url.len)) != RCD_Q_NONE ||
        (code = read_text(p, repair, "phone", "repair.phone", 0, &g->repair_phone.text,
                          &g->repair_phone.len)) != RCD_Q_NONE) {
        return code;
    }
    if (g->contest_url.len == 0 && g->contest_phone.len == 0) {
        return refuse(p, RCD_Q_NO_CONTEST, "contest: needs a url or a phone");
    }
    if (deadline != NULL) {
        if (!cJSON_IsString(deadline) ||
            jd_date_parse(deadline->valuestring, strlen(deadline->valuestring), &day) != 0 ||
            (day + CHINA_OFFSET) / DAY_SEC <= 0) {
            return refuse(p, RCD_Q_SCHEMA, "contest.deadline: must be a date like 2026-12-15");
        }
        p->out->deadline_day = (uint32_t) ((day + CHINA_OFFSET) / DAY_SEC);
    }
    return RCD_Q_NONE;
}

/* 1 when `rule` names this authority. */
static int rule_allows(const rcd_measure_rule_t *rule, const char *authority)
{
    for (unsigned i = 0; i < rule->n_authorities; i++) {
        if (strcmp(rule->authorities[i], authority) == 0) {
            return 1;
        }
    }
    return 0;
}

static rcd_quarantine_t parse_measures(parse_t *p)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(p->root, "measures"), *m;
    rcd_order_t *o = p->out;

    if (!cJSON_IsArray(list) || list->child == NULL) {
        return refuse(p, RCD_Q_SCHEMA, "measures: must be an array of at least one name");
    }
    cJSON_ArrayForEach(m, list)
    {
        const char *name = cJSON_GetStringValue(m);
        int bit = name != NULL ? jd_measure_bit(name, strlen(name)) : -1;

        if (name == NULL) {
            return refuse(p, RCD_Q_SCHEMA, "measures: must hold names only");
        }
        if (bit < 0) {
            return refuse(p, RCD_Q_MEASURE_NOT_ENABLED, "measures: one is not in the closed list");
        }
        if (o->measures & 1u << bit) {
            return refuse(p, RCD_Q_SCHEMA, "measures: %s is named twice", jd_measure_names[bit]);
        }
        o->measures |= (uint16_t) (1u << bit);
        if (!p->rules->rule[bit].enabled) {
            return refuse(p, RCD_Q_MEASURE_NOT_ENABLED, "measures: %s is not enabled here "
                          "(section [measure %s])", jd_measure_names[bit], jd_measure_names[bit]);
        }
        if (!rule_allows(&p->rules->rule[bit], p->grounds.authority.text)) {
            return refuse(p, RCD_Q_AUTHORITY, "authority: not one of those enabled for %s",
                          jd_measure_names[bit]);
        }
    }
    return RCD_Q_NONE;
}

static rcd_quarantine_t parse_subject(parse_t *p)
{
    static const char *const names[] = {"scheme", "id", NULL};
    const cJSON *subject = cJSON_GetObjectItemCaseSensitive(p->root, "subject");
    uint8_t norm[JD_SUBJECT_MAX];
    const char *scheme, *id;
    rcd_quarantine_t code;
    size_t len;
    int s;

    if (!cJSON_IsObject(subject)) {
        return refuse(p, RCD_Q_SCHEMA, "subject: must be an object with scheme and id");
    }
    code = only_members(p, subject, "subject", names);
    if (code != RCD_Q_NONE) {
        return code;
    }
    scheme = rcd_json_string(subject, "scheme");
    id = rcd_json_string(subject, "id");
    if (scheme == NULL || id == NULL) {
        return refuse(p, RCD_Q_SCHEMA, "subject: scheme and id must be strings");
    }
    s = jd_scheme_parse(scheme, strlen(scheme));
    if (s < 0) {
        return refuse(p, RCD_Q_SUBJECT, "subject.scheme: unknown");
    }
    if ((s == JD_SCHEME_CARD || s == JD_SCHEME_UID) && !p->rules->accept_card_subjects) {
        return refuse(p, RCD_Q_SUBJECT, "subject.scheme: a %s is not a person; name the person or "
                      "body (cnid, uscc), whose cards follow by rcctl holders, or set [list] "
                      "accept_card_subjects = on", jd_scheme_names[s]);
    }
    if (jd_subject_normalise((jd_scheme_t) s, &p->rules->norm, (const uint8_t *) id, strlen(id),
                             norm, &len) != JD_SUBJECT_OK) {
        return refuse(p, RCD_Q_SUBJECT, "subject.id: not an identifier of its scheme");
    }
    p->out->scheme = (jd_scheme_t) s;
    jd_digest(p->rules->key, p->out->scheme, norm, len, p->out->digest);
    explicit_bzero(norm, sizeof(norm));
    return RCD_Q_NONE;
}

/* ---- the whole record ------------------------------------------------------------------------ */

static rcd_quarantine_t parse_record(parse_t *p)
{
    static rcd_quarantine_t (*const parts[])(parse_t *) = {
        parse_number, parse_flags,    parse_basis,   parse_term,
        parse_contest, parse_measures, parse_subject,
    };

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        rcd_quarantine_t code = parts[i](p);
        if (code != RCD_Q_NONE) {
            return code;
        }
    }
    if (jd_grounds_encode(p->rules->key, &p->grounds, p->out->grounds, &p->out->grounds_len,
                          p->out->grounds_id) != JD_RECORD_OK) {
        return refuse(p, RCD_Q_SCHEMA, "authority, basis, contest, repair: cannot be stored");
    }
    return RCD_Q_NONE;
}

rcd_quarantine_t rcd_order_parse(const rcd_rules_t *rules, const char *json, size_t len,
                                 rcd_order_t *out, char *why, size_t why_size)
{
    parse_t p = {.rules = rules, .out = out, .why = why, .why_size = why_size};
    rcd_quarantine_t code;
    const char *phrase;
    cJSON *root;

    memset(out, 0, sizeof(*out));
    if (why_size > 0) {
        why[0] = '\0';
    }
    if (len > RCD_ORDER_JSON_MAX) {
        return refuse(&p, RCD_Q_SCHEMA, "record: longer than %d bytes", RCD_ORDER_JSON_MAX);
    }
    root = rcd_json_parse(json, len, &phrase);
    if (root == NULL) {
        return refuse(&p, RCD_Q_SCHEMA, "record: %s", phrase);
    }
    p.root = root;
    code = parse_record(&p);
    cJSON_Delete(root);
    return code;
}

int64_t rcd_order_start(const rcd_order_t *o)
{
    return o->from > o->served ? o->from : o->served;
}

int64_t rcd_order_term_max(const rcd_rules_t *rules, uint16_t measures)
{
    int64_t max = JD_TERM_MAX_SEC;

    for (int bit = 0; bit < JD_MEASURE_N; bit++) {
        if (measures & 1u << bit && rules->rule[bit].max_term_sec < max) {
            max = rules->rule[bit].max_term_sec;
        }
    }
    return max;
}
