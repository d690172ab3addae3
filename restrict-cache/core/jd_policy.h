/*
 * jd_policy - the one place that chooses between pass and deny. Pure: the gate, rcctl check and the simulator's oracle call it.
 */
#ifndef JD_POLICY_H
#define JD_POLICY_H

#include <stddef.h>
#include <stdint.h>
#include "jd_order.h"

typedef enum {
    JD_REASON_OFF,            /* no gate here */
    JD_REASON_EXEMPT,
    JD_REASON_NO_SUBJECT,
    JD_REASON_MALFORMED,
    JD_REASON_UNREADY,        /* no list in the zone yet */
    JD_REASON_STALE,          /* no verified contact within max_stale */
    JD_REASON_CLEAR,          /* not in the zone */
    JD_REASON_UNCONFIRMED,    /* Redis: timeout, error, bad MAC, behind what we have seen */
    JD_REASON_NOT_LISTED,     /* Redis knows no active order */
    JD_REASON_OTHER_MEASURE,  /* active orders, none with this measure */
    JD_REASON_CLOCK,          /* wall clock and office clock disagree */
    JD_REASON_LIFTED,
    JD_REASON_STAYED,         /* suspended by the operator: the order, or all orders of the person */
    JD_REASON_OBSERVE,        /* observe-only, or under objection */
    JD_REASON_BRAKED,         /* the gate's: too many denials of this measure, until an operator releases the brake */
    JD_REASON_UNACCOUNTED,    /* the gate's: no ledger cell is free, and a denial nobody can account for is not made */
    JD_REASON_LISTED,         /* an order in force for this measure: denied, or denied in dry run */
    JD_REASON_N
} jd_reason_t;

/* "off exempt no_subject malformed unready stale clear unconfirmed not_listed other_measure clock lifted stayed observe braked unaccounted listed" */
extern const char *const jd_reason_names[JD_REASON_N];

#define JD_CLOCK_SKEW_SEC     300                 /* wall against office clock */
#define JD_MAX_STALE_SEC      (72 * 3600)         /* compiled ceiling of max_stale */
#define JD_TERM_MAX_SEC       (3 * 366 * 86400)   /* compiled ceiling of an order's term from the first `from` of its number */

typedef struct {
    int64_t  now;             /* wall clock, Unix seconds */
    int64_t  office_now;      /* office clock: last verified iat + CLOCK_BOOTTIME since */
    int64_t  verified_at;     /* last contact */
    int64_t  max_stale;       /* seconds, capped at JD_MAX_STALE_SEC by the policy itself */
} jd_clocks_t;

/* Age of the list in seconds by the clock that makes it older; never negative. */
int64_t jd_policy_age(const jd_clocks_t *c);
/* 1 when nothing may be enforced for age. verified_at <= 0 (never) is stale. */
int jd_policy_stale(const jd_clocks_t *c);

/* 1 when both clocks lie in the order's term and, of a linked order, in the link's. */
int jd_policy_in_force(const jd_clocks_t *c, const jd_order_t *o);
/* 1 when a stay until this second counts: while either clock is before it, for the person's good. */
int jd_policy_stayed(const jd_clocks_t *c, int64_t stay);

/* Where an order stands for a person, whatever the measure; the first that applies. Names: jd_state_names. */
typedef enum {
    JD_STATE_OVER,            /* one of the clocks is past its end, or the link's */
    JD_STATE_LIFTED,          /* wholly */
    JD_STATE_TO_COME,         /* not begun by both clocks, or the link not */
    JD_STATE_STAYED,
    JD_STATE_OBSERVE,         /* under objection */
    JD_STATE_IN_FORCE,
    JD_STATE_N
} jd_state_t;

/* "over lifted to_come stayed observe in_force" */
extern const char *const jd_state_names[JD_STATE_N];

jd_state_t jd_policy_state(const jd_clocks_t *c, const jd_order_t *o, const jd_relief_t *r);

/*
 * Decides over a confirmed set: `orders` and `relief` side by side (all zero where there is none), and the mask of what is only observed.
 * relief[i].stay is the latest of the order's own stay, the subject's, and its holder's: the caller joins them.
 * Among orders in force for `measure` the decision is the worst for the subject that is lawful: LISTED when one is not lifted for this
 * measure, not stayed, not under objection; else the first that applies of OBSERVE (the mask has the measure, too), STAYED, LIFTED,
 * OTHER_MEASURE, NOT_LISTED. STALE and CLOCK (clocks differ by more than JD_CLOCK_SKEW_SEC) go before all: with stale data or
 * disagreeing clocks nothing is LISTED. *which = index of the order that decided (LISTED, OBSERVE, STAYED, LIFTED), else -1, also for
 * OBSERVE by the mask; of several alike the one with the latest until, then the lowest number.
 */
jd_reason_t jd_policy_decide(const jd_clocks_t *c, unsigned measure_bit, const jd_order_t *orders,
                             const jd_relief_t *relief, unsigned n, uint16_t observed, int *which);

#endif
