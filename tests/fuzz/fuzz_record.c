/*
 * fuzz_record - a record or grounds that decode are encoded to the very same bytes. The MAC is put
 * right first, so that the walk behind it is reached.
 */
#include <stdlib.h>
#include <string.h>
#include "core/jd_order.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that does not hold ends the run. */
static void require(int holds)
{
    if (!holds) {
        abort();
    }
}

static const uint8_t raw[JD_KEY_LEN] = "fuzzing key 1234";
static const uint8_t digest[JD_DIGEST_LEN] = {1};

/* The MAC as the head of jd_order.h describes it. */
static void sign_record(const jd_key_t *k, uint8_t *record, size_t len)
{
    uint8_t text[JD_DIGEST_LEN + 8 + JD_RECORD_MAX] = {0}, mac[16];

    memcpy(text, digest, JD_DIGEST_LEN);
    text[JD_DIGEST_LEN] = 7;
    memcpy(text + JD_DIGEST_LEN + 8, record, 2);
    memcpy(text + JD_DIGEST_LEN + 10, record + 10, len - 10);
    jd_siphash128(k->record_key, text, JD_DIGEST_LEN + len, mac);
    memcpy(record + 2, mac, 8);
}

static void check_record(const jd_key_t *k, const uint8_t *data, size_t size)
{
    jd_order_t orders[JD_ORDERS_MAX];
    uint8_t *record = malloc(size + 1), again[JD_RECORD_MAX];
    uint16_t measures, observed;
    size_t len;
    unsigned n;

    memcpy(record, data, size);
    if (size >= JD_RECORD_HEAD && size <= JD_RECORD_MAX) {
        sign_record(k, record, size);
    }
    if (jd_record_decode(k, digest, 7, record, size, &observed, orders, &n) == JD_RECORD_OK) {
        require(n <= JD_ORDERS_MAX && (n >= 1 || observed != 0));
        for (unsigned i = 0; i < n; i++) {
            require((orders[i].flags & (JD_ORDER_OBSERVE | JD_ORDER_OBJECTION)) == 0);
        }
        require(jd_record_encode(k, digest, 7, orders, n, observed, again, sizeof(again), &len) ==
                JD_RECORD_OK);
        require(len == size && memcmp(again, record, len) == 0);
        require(jd_record_measures(k, digest, 7, record, size, &measures) == JD_RECORD_OK);
        require(jd_record_decode(k, digest, 8, record, size, &observed, orders, &n) ==
                JD_RECORD_FORGED);
    }
    free(record);
}

static void check_grounds(const jd_key_t *k, const uint8_t *data, size_t size)
{
    uint8_t id[16], again[JD_GROUNDS_MAX], again_id[JD_GROUNDS_ID_LEN];
    jd_grounds_t g;
    size_t len;

    jd_siphash128(k->record_key, data, size, id);
    if (jd_grounds_decode(k, id, data, size, &g) == JD_RECORD_OK) {
        require(jd_grounds_encode(k, &g, again, &len, again_id) == JD_RECORD_OK);
        require(len == size && memcmp(again, data, len) == 0);
        require(memcmp(again_id, id, sizeof(again_id)) == 0);
    }
}

static void check_relief(const uint8_t *data, size_t size)
{
    jd_relief_t r, again;
    char text[JD_RELIEF_TEXT_MAX];

    if (jd_relief_parse(&r, (const char *) data, size) == 0) {
        size_t len = jd_relief_print(&r, text);

        require(memcmp(text, data, JD_RELIEF_LEN) == 0);
        require(len <= sizeof(text) && jd_relief_parse(&again, text, len) == 0);
        require(again.stay == r.stay && r.stay >= 0 && r.stay <= JD_STAY_FOREVER);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    jd_key_t k;

    jd_key_init(&k, "k", raw);
    check_record(&k, data, size);
    check_grounds(&k, data, size);
    check_relief(data, size);
    return 0;
}
