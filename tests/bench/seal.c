/*
 * seal.c - what the id of a denial costs: key of the month, AES-256-GCM, base64url; and one SipHash of
 * the same bytes beside it. Prints the median of both in ns, of rounds that take turns.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/jd_seal.h"

#define ROUNDS  11
#define STEPS   20000

static double now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec * 1e9 + (double) ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return (x > y) - (x < y);
}

int main(void)
{
    jd_decision_t d = { .number = "CS-2026-0000123", .era = 1795000000, .last_id = 123456,
                        .age_sec = 3, .at = 1795662000 };
    uint8_t       nonce[JD_SEAL_NONCE_LEN] = { 0 }, hash[16];
    char          out[JD_SEAL_TEXT_MAX];
    double        seal[ROUNDS], sip[ROUNDS], begin;
    size_t        len = 0;
    jd_key_t      key;

    jd_key_init(&key, "bench", (const uint8_t *) "benchmark key 12");

    for (int i = 0; i < ROUNDS; i++) {
        begin = now_ns();

        for (int n = 0; n < STEPS; n++) {
            nonce[0]++;
            len = jd_seal(&key, "credit", nonce, &d, out);
        }

        seal[i] = (now_ns() - begin) / STEPS;
        begin = now_ns();

        for (int n = 0; n < STEPS; n++) {
            out[0]++;
            jd_siphash128(key.digest_key, out, len, hash);
        }

        sip[i] = (now_ns() - begin) / STEPS;
        out[0] = (char) hash[0];
    }

    qsort(seal, ROUNDS, sizeof(double), by_value);
    qsort(sip, ROUNDS, sizeof(double), by_value);
    printf("%.0f %.0f %zu\n", seal[ROUNDS / 2], sip[ROUNDS / 2], len);

    return len == 0;
}
