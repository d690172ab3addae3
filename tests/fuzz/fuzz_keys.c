/*
 * fuzz_keys - key files, meta and times: what is accepted can be found, printed and read again.
 */
#include <stdlib.h>
#include <string.h>
#include "core/jd_digest.h"
#include "core/jd_redis.h"
#include "core/jd_time.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that does not hold ends the run. */
static void require(int holds)
{
    if (!holds) {
        abort();
    }
}

static void check_keys(const char *text, size_t size)
{
    const char *why = NULL;
    jd_keys_t keys;
    int line = jd_keys_parse(&keys, text, size, &why);

    if (line != 0) {
        require(line > 0 && why != NULL);
        return;
    }
    require(keys.n >= 1 && keys.n <= JD_KEYS_MAX);
    for (unsigned i = 0; i < keys.n; i++) {
        const jd_key_t *k = &keys.key[i];

        require(jd_keys_find(&keys, k->id, strlen(k->id), k->check, strlen(k->check)) == k);
    }
}

/* Fields of the meta hash are the input's lines. */
static void check_meta(const char *text, size_t size)
{
    const char *val[JD_META_FIELDS] = {NULL}, *field = NULL, *end = text + size;
    size_t len[JD_META_FIELDS] = {0};
    jd_meta_t m;

    for (int i = 0; i < JD_META_FIELDS && text < end; i++) {
        const char *eol = memchr(text, '\n', (size_t) (end - text));

        val[i] = text;
        len[i] = (size_t) ((eol ? eol : end) - text);
        text = eol ? eol + 1 : end;
    }
    if (jd_meta_parse(&m, val, len, &field) == JD_META_OK) {
        require(m.schema == JD_SCHEMA && m.era > 0 && m.bits <= JD_BITS_MAX && m.measures_agree);
        require(m.epoch < 65536 && m.relief_seq < (uint64_t) 1 << 48 && strlen(m.key_check) == 16);
    }
}

static void check_time(const char *text, size_t size)
{
    int64_t sec, again;
    char out[26];

    if (jd_time_parse(text, size, &sec) == 0 && sec >= 0) {
        require(jd_time_print(sec, out) == 25);
        require(jd_time_parse(out, 25, &again) == 0);
        require(again == sec || sec > again);
    }
    if (jd_date_parse(text, size, &sec) == 0) {
        require(jd_time_print(sec, out) == 25 && memcmp(out, text, 10) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *) data;

    check_keys(text, size);
    check_meta(text, size);
    check_time(text, size);
    return 0;
}
