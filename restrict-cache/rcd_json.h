/*
 * rcd_json - JSON of the feed: guarded before cJSON parses it, and read strictly after.
 *
 * cJSON alone cuts strings at NUL, takes the first of two equal members, accepts text after the
 * document and numbers no grammar knows. The core's scanner has seen the whole text before cJSON
 * does; repeated members are refused after.
 */
#ifndef RCD_JSON_H
#define RCD_JSON_H

#include <stddef.h>
#include <stdint.h>
#include <cjson/cJSON.h>

#define RCD_JSON_MEMBERS_MAX 1024                         /* of one object */
#define RCD_JSON_INT_MAX     ((UINT64_C(1) << 48) - 1)    /* exact in a double */

/*
 * Parses `len` bytes as one JSON object. Returns it, to be given to cJSON_Delete, or NULL with
 * `*why` a static phrase: not JSON by RFC 8259, not UTF-8, NUL, too deep, text after the document,
 * a member repeated in any object (also in another ASCII case), too many members, not an object.
 */
cJSON *rcd_json_parse(const char *text, size_t len, const char **why);

/* The string member `name` (exact case), or NULL when it is absent or not a string. Borrowed. */
const char *rcd_json_string(const cJSON *object, const char *name);

/* An integer member 0..max (max <= RCD_JSON_INT_MAX): 1 and the value, 0 absent, -1 not such an
 * integer. */
int rcd_json_uint(const cJSON *object, const char *name, uint64_t max, uint64_t *value);

#endif
