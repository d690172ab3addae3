/*
 * ts_histogram.c - log-linear histogram in fixed memory: exact below 64, then 64 equal steps in
 * each power of two.
 */
#include "ts_terminal.h"

#define SUB  (1u << TS_HISTOGRAM_SUB_BITS)

static unsigned index_of(uint64_t value)
{
    unsigned shift;

    if (value < SUB)
        return (unsigned) value;
    shift = 63u - (unsigned) __builtin_clzll(value) - TS_HISTOGRAM_SUB_BITS;
    return ((shift + 1) << TS_HISTOGRAM_SUB_BITS) + (unsigned) ((value >> shift) & (SUB - 1));
}

/* Highest value that falls into a bucket. */
static uint64_t highest_of(unsigned i)
{
    unsigned shift = i >> TS_HISTOGRAM_SUB_BITS;

    if (shift == 0)
        return i;
    shift--;
    return (((uint64_t) SUB + (i & (SUB - 1)) + 1) << shift) - 1;
}

void ts_histogram_add(ts_histogram_t *h, uint64_t value)
{
    h->bucket[index_of(value)]++;
    h->n++;
    if (value > h->max)
        h->max = value;
}

uint64_t ts_histogram_at(const ts_histogram_t *h, double share)
{
    uint64_t wanted = (uint64_t) (share * (double) h->n + 0.999999), seen = 0, value;

    for (unsigned i = 0; i < TS_HISTOGRAM_BUCKETS && h->n > 0; i++) {
        seen += h->bucket[i];
        if (seen >= wanted && h->bucket[i]) {
            value = highest_of(i);
            return value < h->max ? value : h->max;
        }
    }
    return h->max;
}
