/*
 * fuzz_subject - a normal form is its own normal form, fits, and holds nothing that cannot be seen.
 */
#include <stdlib.h>
#include <string.h>
#include "core/jd_subject.h"
#include "core/jd_utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that does not hold ends the run. */
static void require(int holds)
{
    if (!holds) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t out[JD_SUBJECT_MAX], again[JD_SUBJECT_MAX], text[256];
    jd_normalisers_t n = {{0}}, parsed;
    jd_scheme_t scheme;
    size_t len = 0, again_len = 0, at = 0;
    uint32_t code;

    if (size < 1) {
        return 0;
    }
    scheme = (jd_scheme_t) ((data[0] & 0x0f) % JD_SCHEME_N);
    if (scheme != JD_SCHEME_CNID && scheme != JD_SCHEME_USCC) {
        n.flags[scheme] = data[0] >> 4 & (JD_NORM_UPPER | JD_NORM_STRIP_ZEROS);
    }
    if (jd_subject_normalise(scheme, &n, data + 1, size - 1, out, &len) == JD_SUBJECT_OK) {
        require(len > 0 && len <= JD_SUBJECT_MAX);
        while (at < len) {
            size_t step = jd_utf8_read(out + at, len - at, &code);

            require(step > 0 && !jd_utf8_unseen(code) && (code < 0xff01 || code > 0xff5e));
            at += step;
        }
        require(jd_subject_normalise(scheme, &n, out, len, again, &again_len) == JD_SUBJECT_OK);
        require(again_len == len && memcmp(out, again, len) == 0);
    }
    if (jd_normalisers_parse(&n, (const char *) data + 1, size - 1) == 0) {
        at = jd_normalisers_print(&n, (char *) text);
        require(at < sizeof(text) && jd_normalisers_parse(&parsed, (char *) text, at) == 0);
        require(memcmp(&n, &parsed, sizeof(n)) == 0);
    }
    return 0;
}
