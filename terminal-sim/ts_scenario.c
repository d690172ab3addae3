/*
 * ts_scenario.c - reads one line of a scenario file: an order, a lift or a mark (the forms are
 * drawn in ts.h).
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

const char *ts_line_parse(const char *text, size_t len, ts_line_t *out)
{
    cJSON *line = cJSON_ParseWithLength(text, len);
    const char *wrong;

    memset(out, 0, sizeof *out);
    if (!cJSON_IsObject(line))
        wrong = "not a JSON object";
    else if (cJSON_HasObjectItem(line, "lift"))
        wrong = read_lift(line, out);
    else if (cJSON_HasObjectItem(line, "mark"))
        wrong = read_mark(line, out);
    else
        wrong = read_order(line, out);
    cJSON_Delete(line);
    return wrong;
}
