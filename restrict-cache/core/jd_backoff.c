/*
 * jd_backoff - reconnect delays.
 */
#include "jd_backoff.h"

#define STEP_MAX  31

uint32_t jd_backoff_next(jd_backoff_t *b, uint32_t random)
{
    uint64_t high = (uint64_t) b->base_ms << b->step;
    uint32_t low = b->base_ms / 2;

    if (high > b->cap_ms) {
        high = b->cap_ms;
    }
    if (b->step < STEP_MAX) {
        b->step++;
    }
    return high > low ? low + random % ((uint32_t) high - low + 1) : (uint32_t) high;
}

void jd_backoff_cap(jd_backoff_t *b)
{
    b->step = STEP_MAX;
}

void jd_backoff_reset(jd_backoff_t *b)
{
    b->step = 0;
}
