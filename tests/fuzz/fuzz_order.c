/*
 * fuzz_order - one record of the feed from hostile bytes: a whole order within its bounds, or a
 * code and a reason.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "core/jd_measure.h"
#include "core/jd_policy.h"
#include "rcd_order.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *authorities[] = {(char *)"Office"};
    static const uint8_t raw[16] = {1};
    char why[256];
    rcd_rules_t rules = {.key = NULL};
    rcd_order_t o;
    jd_grounds_t g;
    jd_key_t key;

    jd_key_init(&key, "k1", raw);
    rules.key = &key;
    for (int bit = 0; bit < JD_MEASURE_N; bit++) {
        rules.rule[bit] = (rcd_measure_rule_t){.enabled = 1,
                                               .authorities = authorities,
                                               .n_authorities = 1,
                                               .max_term_sec = JD_TERM_MAX_SEC};
    }
    if (rcd_order_parse(&rules, (const char *)data, size, &o, why, sizeof(why)) != RCD_Q_NONE) {
        assert(why[0] != '\0' && strlen(why) < sizeof(why));
        return 0;
    }
    assert(jd_order_number_ok(o.number, strlen(o.number)));
    assert(o.measures != 0 && (o.measures & ~JD_MEASURE_ALL) == 0);
    assert(o.from < o.until && o.served < o.until && o.until - o.from <= JD_TERM_MAX_SEC);
    assert(jd_grounds_decode(&key, o.grounds_id, o.grounds, o.grounds_len, &g) == JD_RECORD_OK);
    return 0;
}
