/*
 * ts_population.c - test identifiers: seeded, unique, clean and listed ones never overlapping.
 *
 * An index is put through a Feistel permutation of a decimal range keyed by the seed: a bijection,
 * so that uniqueness is by construction and any identifier can be made alone, without a table.
 */
#include <string.h>

#include "core/jd_time.h"
#include "ts.h"

#define ROUNDS        4
#define CARD_HALF     1000000u              /* square of it = permuted range: 10^12 */
#define CNID_HALF     100000u               /* 10^10 = 1000 regions, 10^4 days, 1000 persons */
#define CNID_DAY_0    (-3653)               /* 1960-01-01, in days since 1970-01-01 */

uint64_t ts_random(uint64_t *state)
{
    uint64_t z;

    *state += 0x9e3779b97f4a7c15ull;
    z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* Permutes 0 .. half^2 - 1. A round adds to one half a number made of the other, which can be
 * undone: a bijection. */
static uint64_t permute(uint64_t seed, uint64_t half, uint64_t x)
{
    uint64_t left = x / half, right = x % half, state, sum;

    for (unsigned round = 0; round < ROUNDS; round++) {
        state = seed * 0xd1342543de82ef95ull + (right << 8) + round;
        sum = (left + ts_random(&state) % half) % half;
        left = right;
        right = sum;
    }
    return left * half + right;
}

/* Check character of GB 11643 (ISO 7064 MOD 11-2) for 17 digits. */
static char cnid_check(const char *digits)
{
    static const uint8_t weight[17] = { 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2 };
    unsigned sum = 0;

    for (unsigned i = 0; i < 17; i++)
        sum += weight[i] * (unsigned) (digits[i] - '0');
    return "10X98765432"[sum % 11];
}

static size_t cnid(uint64_t x, char out[TS_ID_SIZE])
{
    unsigned person = (unsigned) (x % 1000), day = (unsigned) (x / 1000 % 10000);
    unsigned region = (unsigned) (x / 10000000);
    char date[26];

    jd_time_print(((int64_t) CNID_DAY_0 + day) * 86400, date);      /* 08:00 of that day */
    snprintf(out, TS_ID_SIZE, "990%03u%.4s%.2s%.2s%03u", region, date, date + 5, date + 8, person);
    out[17] = cnid_check(out);
    out[18] = '\0';
    return 18;
}

size_t ts_identifier(jd_scheme_t scheme, uint64_t seed, ts_kind_t kind, uint64_t index,
                     char out[TS_ID_SIZE])
{
    uint64_t half = scheme == JD_SCHEME_CNID ? CNID_HALF : CARD_HALF;
    uint64_t max = scheme == JD_SCHEME_CNID ? TS_CNID_INDEX_MAX : TS_ID_INDEX_MAX;
    uint64_t x;

    if (scheme == JD_SCHEME_USCC || index >= max)
        return 0;
    x = permute(seed, half, index + (kind == TS_CLEAN ? half * half / 2 : 0));
    if (scheme == JD_SCHEME_CNID)
        return cnid(x, out);
    return (size_t) snprintf(out, TS_ID_SIZE, "9900%012llu", (unsigned long long) x);
}

void ts_mask(const char *id, size_t len, char *out)
{
    size_t shown = len > 4 ? 2 : 0;

    if (len > JD_SUBJECT_MAX)
        len = JD_SUBJECT_MAX;
    memset(out, '*', len - shown);
    memcpy(out + len - shown, id + len - shown, shown);
    out[len] = '\0';
}
