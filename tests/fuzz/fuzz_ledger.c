/*
 * fuzz_ledger: names, fields and totals as anybody may have put them into Redis. What is taken must be
 * what a gate writes: within its bounds, and the same when it is written again.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/jd_measure.h"
#include "rcd_ledger_batch.h"
#include "rcd_ledger_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
    if (!holds) {
        abort();
    }
}

static void key(const char *text, size_t len)
{
    rcd_ledger_key_t k;
    char again[256];
    int n;

    if (rcd_ledger_key_parse(&k, "credit", text, len) != 0) {
        return;
    }
    n = snprintf(again, sizeof(again), "jd:{credit}:ledger:%s:%s:%s",
                 k.kind == RCD_LEDGER_ORDERS ? "-" : k.gateway, k.run, k.period);
    must(n == (int) len && memcmp(again, text, len) == 0);
    must(k.from < k.until && k.until - k.from <= 31 * 86400);
}

static void field(rcd_ledger_kind_t kind, const char *text, size_t len)
{
    rcd_ledger_field_t f;

    if (rcd_ledger_field_parse(&f, kind, text, len) != 0) {
        return;
    }
    must(f.measure < JD_MEASURE_N && f.text >= text && f.text + f.len <= text + len && f.len > 0);
    must(f.len <= (kind == RCD_LEDGER_ORDERS ? JD_ORDER_NUMBER_MAX : JD_GROUNDS_TEXT_MAX));
    must(memchr(f.text, '\0', f.len) == NULL && memchr(f.text, '\n', f.len) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size), hash[RCD_HASH_HEX + 1];      /* exact size: an overread is seen */
    int64_t a, b;

    memcpy(text, data, size);
    key(text, size);
    field(RCD_LEDGER_ORDERS, text, size);
    field(RCD_LEDGER_HOURS, text, size);
    if (rcd_ledger_total_parse(text, size, &a) == 0) {
        must(a > 0 && a <= RCD_LEDGER_TOTAL_MAX);
    }
    if (rcd_ledger_closed_parse(text, size, &a, &b) == 0) {
        must(a >= 0 && b >= 0 && b <= RCD_LEDGER_TOTAL_MAX);
    }
    if (rcd_month_parse(text, size, &a, &b) == 0) {
        must(b > a);
    }
    rcd_ledger_hash_check(text, size, hash);
    free(text);
    return 0;
}
