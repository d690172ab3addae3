/*
 * fuzz_seal - what the opener takes was sealed by us; contents that unpack pack to the same bytes. The input
 * is tried as a token, as content, and as content that is sealed, changed in one place and opened.
 */
#include <stdlib.h>
#include <string.h>
#include "core/jd_seal.h"

#define NOW  1795662000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that does not hold ends the run. */
static void require(int holds)
{
    if (!holds) {
        abort();
    }
}

static void check_content(const uint8_t *data, size_t size)
{
    uint8_t again[JD_SEAL_CONTENT_MAX];
    jd_decision_t d;

    if (jd_seal_unpack(&d, data, size) == 0) {
        require(jd_seal_pack(&d, again) == size && memcmp(again, data, size) == 0);
    }
}

/* The first two bytes choose where and how the token is changed. */
static void check_changed(const jd_keys_t *keys, const uint8_t *data, size_t size)
{
    static const uint8_t nonce[JD_SEAL_NONCE_LEN] = {1};
    char token[JD_SEAL_TEXT_MAX];
    jd_decision_t d, back;
    size_t len;

    if (size < 2 || jd_seal_unpack(&d, data + 2, size - 2) != 0) {
        return;
    }
    d.at = NOW;
    len = jd_seal(&keys->key[0], "credit", nonce, &d, token);
    require(len > 0);
    require(jd_seal_open(keys, "credit", NOW, token, len, &back) == JD_SEAL_OK);
    require(strcmp(back.number, d.number) == 0 && back.era == d.era && back.last_id == d.last_id);
    if ((uint8_t) token[data[0] % len] != data[1]) {
        token[data[0] % len] = (char) data[1];
        require(jd_seal_open(keys, "credit", NOW, token, len, &back) != JD_SEAL_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    jd_keys_t keys = {.n = 1};
    jd_decision_t d;

    jd_key_init(&keys.key[0], "k", (const uint8_t *) "fuzzing key 1234");
    require(jd_seal_open(&keys, "credit", NOW, (const char *) data, size, &d) != JD_SEAL_OK);
    check_content(data, size);
    check_changed(&keys, data, size);
    return 0;
}
