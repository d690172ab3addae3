/*
 * ts_office_orders.c - orders by number, and their records as they are in force.
 */
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "core/jd_measure.h"
#include "ts_office_orders.h"

#define LIFTED_WHOLE  0xffff

/* FNV-1a, 64 bit. */
static uint64_t hash(const char *text)
{
    uint64_t h = 0xcbf29ce484222325ull;

    for (; *text; text++)
        h = (h ^ (unsigned char) *text) * 0x100000001b3ull;
    return h ^ h >> 32;
}

/* Slot of a number: its own, or the free one where it belongs. */
static uint32_t *probe(const ts_orders_t *o, const char *number)
{
    size_t at = hash(number) & (o->n_slots - 1);

    while (o->slot[at] && strcmp(o->order[o->slot[at] - 1].number, number) != 0)
        at = (at + 1) & (o->n_slots - 1);
    return &o->slot[at];
}

static int grow_slots(ts_orders_t *o)
{
    size_t n_slots = o->n_slots ? o->n_slots * 2 : 1024;
    uint32_t *slot = calloc(n_slots, sizeof *slot);

    if (!slot)
        return -1;
    free(o->slot);
    o->slot = slot;
    o->n_slots = n_slots;
    for (size_t i = 0; i < o->n; i++)
        *probe(o, o->order[i].number) = (uint32_t) i + 1;
    return 0;
}

static int grow_orders(ts_orders_t *o)
{
    size_t size = o->size ? o->size * 2 : 512;
    ts_order_ref_t *order = realloc(o->order, size * sizeof *order);

    if (!order)
        return -1;
    o->order = order;
    o->size = size;
    return 0;
}

ts_order_ref_t *ts_orders_find(const ts_orders_t *o, const char *number)
{
    uint32_t index = o->n_slots ? *probe(o, number) : 0;

    return index ? &o->order[index - 1] : NULL;
}

ts_order_ref_t *ts_orders_get(ts_orders_t *o, const char *number)
{
    ts_order_ref_t *found = ts_orders_find(o, number);
    char *copy;

    if (found)
        return found;
    if ((o->n == o->size && grow_orders(o) != 0)
        || ((o->n + 1) * 2 > o->n_slots && grow_slots(o) != 0))
        return NULL;
    copy = strdup(number);
    if (!copy)
        return NULL;
    o->order[o->n] = (ts_order_ref_t) { .number = copy };
    *probe(o, number) = (uint32_t) ++o->n;
    return &o->order[o->n - 1];
}

void ts_orders_fini(ts_orders_t *o)
{
    for (size_t i = 0; i < o->n; i++)
        free(o->order[i].number);
    free(o->order);
    free(o->slot);
    memset(o, 0, sizeof *o);
}

/* Takes the lifted measures out. Returns how many are left. */
static int keep_measures(cJSON *record, uint16_t mask)
{
    cJSON *measures = cJSON_GetObjectItemCaseSensitive(record, "measures");
    int bit;

    for (int i = cJSON_GetArraySize(measures) - 1; i >= 0; i--) {
        const cJSON *name = cJSON_GetArrayItem(measures, i);

        bit = cJSON_IsString(name) ? jd_measure_bit(name->valuestring, strlen(name->valuestring))
                                   : -1;
        if (bit >= 0 && mask >> bit & 1)
            cJSON_DeleteItemFromArray(measures, i);
    }
    return cJSON_GetArraySize(measures);
}

char *ts_order_in_force(const ts_order_ref_t *o, const char *record, size_t len, size_t *out_len)
{
    cJSON *json;
    char *text = NULL;

    if (o->lifted == LIFTED_WHOLE || o->len == 0)
        return NULL;
    if (o->lifted == 0 && o->mark == TS_MARK_NONE) {
        *out_len = len;
        return strndup(record, len);
    }
    json = cJSON_ParseWithLength(record, len);
    if (o->lifted == 0 || keep_measures(json, o->lifted) > 0) {
        if (o->mark != TS_MARK_NONE) {
            cJSON_DeleteItemFromObjectCaseSensitive(json, "objection");
            cJSON_AddBoolToObject(json, "objection", o->mark == TS_MARK_TRUE);
        }
        text = cJSON_PrintUnformatted(json);
    }
    cJSON_Delete(json);
    *out_len = text ? strlen(text) : 0;
    return text;
}
