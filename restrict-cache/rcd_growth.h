/*
 * rcd_growth - the rule of mass change as pure functions: what an order adds to a list, what of it
 * may be had at once, and how much a list may grow before an operator is asked. No storage, no clock.
 */
#ifndef RCD_GROWTH_H
#define RCD_GROWTH_H

#include "rcd_order.h"
#include "rcd_state.h"

#define RCD_GROWTH_PERCENT   10            /* default of [list] max_growth */
#define RCD_GROWTH_ORDERS    100

typedef enum {
    RCD_ADDS_NOTHING,          /* the same, narrower, or in no form that is enforced */
    RCD_ADDS_ORDER,            /* an order that was not in force or to come */
    RCD_ADDS_TERMS             /* a measure more, an earlier start, a later end, no objection */
} rcd_adds_t;

/*
 * What `fresh` adds to the list, compared with `old`, the stored version of its number (NULL: none);
 * `lifted`: measures of the number that are lifted. An order under objection counts as one that may
 * be enforced, since a mark ends the objection; an observe-only one does not.
 */
rcd_adds_t rcd_growth_adds(const rcd_row_t *old, const rcd_row_t *fresh, uint16_t lifted);

/* 1 when the row counts to the size of the list: live, of the office, not observe-only. */
int rcd_growth_counts(const rcd_row_t *row);

typedef enum { RCD_NARROW_SAME, RCD_NARROW_LESS, RCD_NARROW_NONE } rcd_narrow_t;

/*
 * What both versions allow, into `out`: measures of both, the later start, the earlier end, an
 * objection of either; notice and grounds of `old`, so that `fresh` may follow later. SAME: nothing
 * of `old` goes; LESS: `out` is less than `old`; NONE: nothing is left of it.
 */
rcd_narrow_t rcd_growth_narrow(const rcd_row_t *old, const rcd_row_t *fresh, rcd_row_t *out);

/* Orders that a list of `baseline` may grow by: the larger of the two limits. */
uint64_t rcd_growth_allowance(const rcd_growth_limit_t *limit, uint64_t baseline);

/* The numbers of a snapshot, or of one event of the changes lane. */
typedef struct {
    uint64_t baseline;         /* size at the last approval, or 7 days ago if that is later */
    uint64_t size;             /* now */
    uint64_t widened;          /* since the baseline was taken */
    uint64_t adds_orders;      /* what is about to be applied */
    uint64_t adds_terms;
    uint64_t drops;
} rcd_growth_t;

/* 1 when it must wait for the operator. */
int rcd_growth_exceeds(const rcd_growth_limit_t *limit, const rcd_growth_t *g);

/* 1 when a list that had `before` orders and has `size` now has shrunk by more than it may grow. */
int rcd_growth_shrank(const rcd_growth_limit_t *limit, uint64_t before, uint64_t size);

/* Reads "10% 100" (percent 0..1000, orders 0..10^9, both needed). 0 or -1. */
int rcd_growth_limit_parse(const char *text, rcd_growth_limit_t *out);

#endif
