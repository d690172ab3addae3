/*
 * rcd_audit_order - records of what happens to an order.
 */
#ifndef RCD_AUDIT_ORDER_H
#define RCD_AUDIT_ORDER_H

#include "rcd_apply.h"

/* All inside the transaction of what they tell; 0, or -1 when the journal failed. */

/*
 * A version that is in the journal now: order.applied, or order.amended when `old` (NULL: none) was
 * not ended. {order, by, epoch?, seq?, iat, measures, effect, objection?, served, from, until, text,
 * after?}; `from` is the effective start, `text` names the record `text` with the authority's words
 * (written when they are `fresh`), `after` how the version before had ended.
 */
int rcd_audit_order(rcd_state_t *s, const rcd_source_t *from, const rcd_row_t *row,
                    const rcd_row_t *old, const rcd_order_t *o, int fresh);

/* order.narrowed {order, by, ..., until}: a version was refused, and this is what stays of the one
 * before. */
int rcd_audit_order_narrowed(rcd_state_t *s, const rcd_source_t *from, const rcd_row_t *row);

/* order.dropped, order.expired, order.refused {order, ..., iat}; `code` only of the last. Nothing for
 * an order that ended by a lift, which has a record of its own. */
int rcd_audit_order_end(rcd_state_t *s, const char *number, rcd_end_t why, rcd_quarantine_t code,
                        int64_t iat);

/* lift {order, measures, epoch, seq, toe?, iat}, mark {order, objection, epoch, seq, toe?, iat} */
int rcd_audit_relief(rcd_state_t *s, const rcd_event_t *ev);
/* The end of an objection as a snapshot tells it. */
int rcd_audit_objection_over(rcd_state_t *s, const char *number, const rcd_source_t *from);

/* quarantine {order?, code, why, iat} */
int rcd_audit_quarantine(rcd_state_t *s, const rcd_result_t *res, int64_t iat);

#endif
