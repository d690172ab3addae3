/*
 * rcd_apply - one version of an order into the journal, for the changes lane and for snapshots
 * alike.
 */
#ifndef RCD_APPLY_H
#define RCD_APPLY_H

#include "rcd_growth.h"
#include "rcd_order.h"
#include "rcd_store.h"

/* What becomes of that which adds to the list. */
typedef enum {
    RCD_ADDING_FREE,           /* applied: it was weighed, or approved */
    RCD_ADDING_LIMITED,        /* applied as far as the list may grow */
    RCD_ADDING_WITHHELD        /* not applied */
} rcd_adding_t;

typedef struct {
    const rcd_rules_t *rules;
    /* from an unsigned file: observe only, and touches no order of the office */
    int                imported;
    /* stored digests were made under another key: a new digest is no other subject */
    int                rekey;
    /* of what brought it: the time of ends and quarantine entries */
    int64_t            iat;
    /* of a token of the changes lane; 0 otherwise */
    uint32_t           epoch;
    uint64_t           seq;
    rcd_adding_t       adding;
    /* of the change, or of the snapshot: what a later change has said of a number stands */
    uint64_t           as_of;
    /* of the snapshot, UINT64_MAX for a change: what was lifted after it is lifted */
    uint64_t           relief_seq;
} rcd_source_t;

typedef enum { RCD_ORDER_FAILED = -1, RCD_ORDER_SAME, RCD_ORDER_WRITTEN,
RCD_ORDER_QUARANTINED,
/* it adds and must wait; what of it frees has been applied */
RCD_ORDER_WITHHELD } rcd_order_rc_t;

/* A good record. Applied inside the caller's transaction; when quarantined, `res` holds code and
 * why. */
rcd_order_rc_t rcd_apply_order(rcd_state_t *s, const rcd_source_t *from, const rcd_order_t *o,
                               rcd_result_t *res);

/* What it would add if it were applied now. 0 or -1. */
int rcd_apply_weigh(rcd_state_t *s, const rcd_source_t *from, const rcd_order_t *o,
                    rcd_adds_t *adds);

/* A record that did not parse (res->code, why, number as far as it could be read): quarantined,
 * and its stored version ended where that must be. */
rcd_order_rc_t rcd_apply_refused(rcd_state_t *s, const rcd_source_t *from, rcd_result_t *res);

/* ---- rcd_apply_lane.c: the positions of the lanes; batches are in rcd_state.h */

/* Begins an epoch: both positions at 0, then over the relief of that epoch that came before it
 * began. 0 or -1. */
int rcd_apply_epoch(rcd_state_t *s, uint32_t epoch);

/* Moves the relief position over every token that is here already, and tells again whether the
 * lane is behind. 0 or -1. */
int rcd_apply_advance(rcd_state_t *s);

#endif
