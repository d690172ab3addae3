/*
 * fuzz_form - a field that is found is the only one of its name: written again it reads the same,
 * twice it is malformed.
 */
#include <stdlib.h>
#include <string.h>
#include "core/jd_form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that does not hold ends the run. */
static void require(int holds)
{
    if (!holds) {
        abort();
    }
}

static const char *const names[] = {"card", "card_no", "x", "card.no"};

static size_t escape(uint8_t *to, const char *name, const uint8_t *value, size_t len)
{
    static const char hex[] = "0123456789ABCDEF";
    uint8_t *p = to;

    memcpy(p, name, strlen(name));
    p += strlen(name);
    *p++ = '=';
    for (size_t i = 0; i < len; i++) {
        *p++ = '%';
        *p++ = (uint8_t) hex[value[i] >> 4];
        *p++ = (uint8_t) hex[value[i] & 15];
    }
    return (size_t) (p - to);
}

static void check_form(const char *name, int plus, const uint8_t *text, size_t size,
                       size_t out_size)
{
    uint8_t *out = malloc(out_size + 1), *again = malloc(out_size + 1);
    uint8_t *written = malloc(3 * out_size + size + 32);
    size_t len = 0, again_len = 0, n;

    if (jd_form_find(text, size, name, strlen(name), plus, out, out_size, &len) == JD_FORM_FOUND) {
        require(len <= out_size && memchr(out, 0, len) == NULL);
        n = escape(written, name, out, len);
        require(jd_form_find(written, n, name, strlen(name), plus, again, out_size, &again_len)
                == JD_FORM_FOUND);
        require(again_len == len && memcmp(out, again, len) == 0);
        written[n++] = '&';
        memcpy(written + n, text, size);
        require(jd_form_find(written, n + size, name, strlen(name), plus, again, out_size,
                             &again_len) == JD_FORM_MALFORMED);
    }
    free(out);
    free(again);
    free(written);
}

static void check_cookie(const char *name, const uint8_t *text, size_t size, size_t out_size)
{
    uint8_t *out = malloc(out_size + 1);
    size_t len = 0;

    if (jd_cookie_find(text, size, name, strlen(name), out, out_size, &len) == JD_FORM_FOUND) {
        require(len <= out_size && memchr(out, 0, len) == NULL && memchr(out, ';', len) == NULL);
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    check_form(names[data[0] & 3], data[0] >> 2 & 1, data + 2, size - 2, data[1]);
    check_cookie(names[data[0] & 3], data + 2, size - 2, data[1]);
    return 0;
}
