/*
 * rcd_json - JSON of the feed: guarded before cJSON parses it, and read strictly after.
 */
#include <string.h>
#include <strings.h>
#include "core/jd_json.h"
#include "rcd_json.h"

/* 1 when an object in the tree has a member twice. Depth is bounded by the scanner before. */
static int has_duplicates(const cJSON *node)
{
    unsigned members = 0;

    for (const cJSON *m = node->child; m != NULL; m = m->next) {
        if (cJSON_IsObject(node)) {
            if (++members > RCD_JSON_MEMBERS_MAX) {
                return 1;
            }
            for (const cJSON *other = node->child; other != m; other = other->next) {
                if (strcasecmp(other->string, m->string) == 0) {
                    return 1;
                }
            }
        }
        if (m->child != NULL && has_duplicates(m)) {
            return 1;
        }
    }
    return 0;
}

cJSON *rcd_json_parse(const char *text, size_t len, const char **why)
{
    jd_json_pointer_t none;
    uint8_t value[1];
    size_t value_len;
    cJSON *root;

    /* The scanner validates the whole document whatever it is asked for; "/ " is a member nobody
     * has. */
    if (jd_json_pointer_parse(&none, "/ ", 2) != 0 ||
        jd_json_find((const uint8_t *) text, len, &none, value, sizeof(value), &value_len) ==
            JD_JSON_MALFORMED) {
        *why = "not JSON (RFC 8259, UTF-8, no NUL)";
        return NULL;
    }

    root = cJSON_ParseWithLength(text, len);
    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        *why = "not a JSON object";
        return NULL;
    }
    if (has_duplicates(root)) {
        cJSON_Delete(root);
        *why = "a member is repeated, or an object has too many";
        return NULL;
    }
    return root;
}

const char *rcd_json_string(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

int rcd_json_uint(const cJSON *object, const char *name, uint64_t max, uint64_t *value)
{
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(object, name);

    if (m == NULL) {
        return 0;
    }
    if (!cJSON_IsNumber(m) || !(m->valuedouble >= 0) || m->valuedouble > (double) max) {
        return -1;
    }
    *value = (uint64_t) m->valuedouble;
    return (double) *value == m->valuedouble ? 1 : -1;
}
