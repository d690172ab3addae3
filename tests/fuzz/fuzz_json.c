/*
 * fuzz_json - whatever the body: what is found is valid UTF-8 without NUL that fits, and nothing
 * may follow the document.
 */
#include <stdlib.h>
#include <string.h>
#include "core/jd_json.h"
#include "core/jd_utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that does not hold ends the run. */
static void require(int holds)
{
    if (!holds) {
        abort();
    }
}

static const char *const pointers[] = {"/card", "/a/0/card", "/k", "/", "/0/1",
                                       "/a~1b/m~0n", "/s/s/s/s/s/s/s/s"};

static int text_ok(const uint8_t *p, size_t len)
{
    uint32_t code;

    while (len > 0) {
        size_t n = jd_utf8_read(p, len, &code);

        if (n == 0 || code == 0) {
            return 0;
        }
        p += n;
        len -= n;
    }
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *where;
    jd_json_pointer_t p;
    jd_json_rc_t rc;
    uint8_t *out, *longer;
    size_t out_size, len = 0;

    if (size < 2) {
        return 0;
    }
    where = pointers[data[0] % (sizeof(pointers) / sizeof(pointers[0]))];
    out_size = data[1];
    data += 2;
    size -= 2;
    out = malloc(out_size + 1);
    longer = malloc(size + 1);
    require(jd_json_pointer_parse(&p, where, strlen(where)) == 0);

    rc = jd_json_find(data, size, &p, out, out_size, &len);
    if (rc == JD_JSON_FOUND) {
        require(len <= out_size && text_ok(out, len));
        memcpy(longer, data, size);
        longer[size] = 'x';
        require(jd_json_find(longer, size + 1, &p, out, out_size, &len) == JD_JSON_MALFORMED);
        require(jd_json_find(data, size - 1, &p, out, out_size, &len) == JD_JSON_MALFORMED ||
                strchr(" \t\r\n", data[size - 1]) != NULL);
    }
    free(out);
    free(longer);
    return 0;
}
