/*
 * ts_scenario.c - reads one line of a scenario file: an order, a lift or a mark of the office, or what
 * the operator does (the forms are drawn in ts.h).
 */
#include <string.h>

#include <cjson/cJSON.h>

#include "core/jd_time.h"
#include "ts.h"

static const char *member(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static int measures(const cJSON *array, uint16_t *mask)
{
    const cJSON *item;
    int bit;

    *mask = 0;
    if (!cJSON_IsArray(array) || cJSON_GetArraySize(array) == 0)
        return -1;
    cJSON_ArrayForEach(item, array) {
        bit = cJSON_IsString(item) ? jd_measure_bit(item->valuestring, strlen(item->valuestring))
                                   : -1;
        if (bit < 0)
            return -1;
        *mask |= (uint16_t) (1u << bit);
    }
    return 0;
}

static const char *read_number(const char *text, ts_line_t *out)
{
    size_t len = text ? strlen(text) : 0;

    if (len == 0 || len > JD_ORDER_NUMBER_MAX || !jd_order_number_ok(text, len))
        return "order number missing or not of its form";
    memcpy(out->number, text, len + 1);
    return NULL;
}

static const char *read_subject(const cJSON *subject, ts_line_t *out)
{
    const char *scheme = member(subject, "scheme"), *id = member(subject, "id");
    int parsed;

    if (!scheme || !id)
        return "subject needs members scheme and id";
    parsed = jd_scheme_parse(scheme, strlen(scheme));
    if (parsed < 0)
        return "subject: unknown scheme";
    if (strlen(id) > JD_SUBJECT_RAW_MAX)
        return "subject: id too long";
    out->scheme = (jd_scheme_t) parsed;
    strcpy(out->id, id);
    return NULL;
}

static const char *read_term(const cJSON *order, ts_line_t *out)
{
    const char *served = member(order, "served"), *from = member(order, "from"),
               *until = member(order, "until");

    if (!served || jd_date_parse(served, strlen(served), &out->served) != 0)
        return "served missing or not a date";
    if (!from || jd_time_parse(from, strlen(from), &out->from) != 0)
        return "from missing or not an instant with offset";
    if (!until || jd_time_parse(until, strlen(until), &out->until) != 0)
        return "until missing or not an instant with offset";
    if (out->from < out->served)
        out->from = out->served;
    return NULL;
}

static const char *read_order(const cJSON *order, ts_line_t *out)
{
    const char *wrong, *effect = member(order, "effect");

    out->kind = TS_LINE_ORDER;
    out->objection = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(order, "objection"));
    out->observe = effect && strcmp(effect, "observe") == 0;
    if ((wrong = read_number(member(order, "order"), out)) != NULL)
        return wrong;
    if ((wrong = read_subject(cJSON_GetObjectItemCaseSensitive(order, "subject"), out)) != NULL)
        return wrong;
    if (measures(cJSON_GetObjectItemCaseSensitive(order, "measures"), &out->measures) != 0)
        return "measures missing, empty or with an unknown name";
    return read_term(order, out);
}

static const char *read_lift(const cJSON *lift, ts_line_t *out)
{
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(lift, "measures");

    out->kind = TS_LINE_LIFT;
    out->measures = 0xffff;
    if (array && measures(array, &out->measures) != 0)
        return "lift: measures empty or with an unknown name";
    return read_number(member(lift, "lift"), out);
}

static const char *read_mark(const cJSON *mark, ts_line_t *out)
{
    const cJSON *objection = cJSON_GetObjectItemCaseSensitive(mark, "objection");

    out->kind = TS_LINE_MARK;
    if (!cJSON_IsBool(objection))
        return "mark needs member objection, true or false";
    out->objection = cJSON_IsTrue(objection);
    return read_number(member(mark, "mark"), out);
}

/* ---- of the operator --------------------------------------------------------------------------- */

/* "scheme:identifier"; without a scheme it is a card when that is allowed. */
static const char *read_name(const char *text, int card, jd_scheme_t *scheme,
                             char id[JD_SUBJECT_RAW_MAX + 1])
{
    const char *colon = text ? strchr(text, ':') : NULL;
    int parsed = colon ? jd_scheme_parse(text, (size_t) (colon - text))
                       : text && card ? (int) JD_SCHEME_CARD : -1;

    if (parsed < 0)
        return "subject must be scheme:identifier";
    text = colon ? colon + 1 : text;
    if (strlen(text) > JD_SUBJECT_RAW_MAX)
        return "subject: id too long";
    *scheme = (jd_scheme_t) parsed;
    strcpy(id, text);
    return NULL;
}

/* An instant, or `otherwise` when it is absent. */
static const char *read_instant(const cJSON *object, const char *name, int64_t otherwise,
                                int64_t *out)
{
    const char *text = member(object, name);

    *out = otherwise;
    if (cJSON_HasObjectItem(object, name)
        && (!text || jd_time_parse(text, strlen(text), out) != 0))
        return "from, until: not an instant with offset";
    return NULL;
}

static const char *read_stay(const cJSON *line, const char *name, ts_line_t *out)
{
    const cJSON *of = cJSON_GetObjectItemCaseSensitive(line, name);
    const char *wrong = NULL;

    out->kind = TS_LINE_STAY;
    if (strcmp(name, "stay") == 0)
        wrong = read_instant(line, "until", JD_STAY_FOREVER, &out->stay);
    if (wrong)
        return wrong;
    if (cJSON_HasObjectItem(of, "order"))
        return read_number(member(of, "order"), out);
    return read_name(member(of, "subject"), 0, &out->scheme, out->id);
}

static const char *read_objection(const cJSON *line, ts_line_t *out)
{
    const cJSON *stands = cJSON_GetObjectItemCaseSensitive(line, "stands");

    out->kind = TS_LINE_OBJECTION;
    if (!cJSON_IsBool(stands))
        return "objection needs member stands, true or false";
    out->objection = cJSON_IsTrue(stands);
    return read_number(member(line, "objection"), out);
}

static const char *read_link(const cJSON *line, const char *name, ts_line_t *out)
{
    const cJSON *link = cJSON_GetObjectItemCaseSensitive(line, name);
    const char *use = member(link, "use"), *wrong;

    out->kind = strcmp(name, "link") == 0 ? TS_LINE_LINK : TS_LINE_UNLINK;
    if ((wrong = read_name(member(link, "card"), 1, &out->scheme, out->id)) != NULL)
        return wrong;
    if ((out->kind == TS_LINE_LINK || cJSON_HasObjectItem(link, "holder"))
        && (wrong = read_name(member(link, "holder"), 0, &out->holder_scheme, out->holder)) != NULL)
        return wrong;
    if (out->kind == TS_LINE_UNLINK)
        return NULL;
    if (!use || (strcmp(use, "own") != 0 && strcmp(use, "other") != 0))
        return "link: use must be own or other";
    out->own = strcmp(use, "own") == 0;
    if ((wrong = read_instant(link, "from", 0, &out->from)) != NULL)
        return wrong;
    return read_instant(link, "until", JD_LINK_OPEN, &out->until);
}

static const char *read_brake(const cJSON *line, ts_line_t *out)
{
    static const char *const states[] = { "off", "armed", "on" };
    const char *name = member(line, "brake"), *state = member(line, "state");
    int bit = name ? jd_measure_bit(name, strlen(name)) : -1;

    out->kind = TS_LINE_BRAKE;
    if (bit < 0)
        return "brake: unknown measure";
    out->measures = (uint16_t) (1u << bit);
    for (unsigned i = 0; state && i < sizeof states / sizeof states[0]; i++) {
        if (strcmp(state, states[i]) == 0) {
            out->brake = (ts_brake_t) i;
            return NULL;
        }
    }
    return "brake: state must be off, armed or on";
}

/* NULL with *read 0 when it is no line of the operator. */
static const char *read_operator(const cJSON *line, ts_line_t *out, int *read)
{
    *read = 1;
    if (cJSON_HasObjectItem(line, "stay"))
        return read_stay(line, "stay", out);
    if (cJSON_HasObjectItem(line, "unstay"))
        return read_stay(line, "unstay", out);
    if (cJSON_HasObjectItem(line, "stands"))
        return read_objection(line, out);
    if (cJSON_HasObjectItem(line, "link"))
        return read_link(line, "link", out);
    if (cJSON_HasObjectItem(line, "unlink"))
        return read_link(line, "unlink", out);
    if (cJSON_HasObjectItem(line, "brake"))
        return read_brake(line, out);
    *read = 0;
    return NULL;
}

const char *ts_line_parse(const char *text, size_t len, ts_line_t *out)
{
    cJSON *line = cJSON_ParseWithLength(text, len);
    const char *wrong;
    int of_operator = 0;

    memset(out, 0, sizeof *out);
    if (!cJSON_IsObject(line))
        wrong = "not a JSON object";
    else if ((wrong = read_operator(line, out, &of_operator)) != NULL || of_operator)
        ;
    else if (cJSON_HasObjectItem(line, "lift"))
        wrong = read_lift(line, out);
    else if (cJSON_HasObjectItem(line, "mark"))
        wrong = read_mark(line, out);
    else
        wrong = read_order(line, out);
    cJSON_Delete(line);
    return wrong;
}
