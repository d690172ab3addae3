/*
 * rcd_relisted - orders that list somebody again, in the journal.
 *
 *   relisted  orders of a subject on a basis that had ended for it within 30 days before
 *
 * Functions return 0 (or what they say) and -1 when the journal failed. "In a transaction": the
 * caller's.
 */
#ifndef RCD_RELISTED_H
#define RCD_RELISTED_H

#include "rcd_order.h"
#include "rcd_state.h"

#define RCD_RELIST_SEC     (30 * 86400)

extern const char rcd_relisted_schema[];

int  rcd_relisted_open(rcd_state_t *s);    /* statements of the journal just opened */
void rcd_relisted_close(rcd_state_t *s);
int  rcd_relisted_load(rcd_state_t *s);    /* the count, also after a rollback */

/* `o` is about to be written and was not in force: notes and audits it when an order of its subject
 * with the same authority and basis was lifted or dropped within RCD_RELIST_SEC before `at`. In a
 * transaction. */
int  rcd_relisted_note(rcd_state_t *s, const rcd_order_t *o, int64_t at);

/* How many there are, for status. */
uint64_t rcd_relisted_count(const rcd_state_t *s);

#endif
