/*
 * jd_backoff - reconnect delays: exponential with full jitter, one pure step.
 */
#ifndef JD_BACKOFF_H
#define JD_BACKOFF_H

#include <stdint.h>

typedef struct {
    uint32_t base_ms;
    uint32_t cap_ms;
    uint32_t step;           /* failures since reset */
} jd_backoff_t;

/* Delay before the next try: uniform in [base/2, min(cap, base << step)], by the caller's random number; then step grows.
 * jd_backoff_cap goes to the cap at once (faults that time does not heal: auth, wrong layout). Reset only after data was published. */
uint32_t jd_backoff_next(jd_backoff_t *b, uint32_t random);
void     jd_backoff_cap(jd_backoff_t *b);
void     jd_backoff_reset(jd_backoff_t *b);

#endif
