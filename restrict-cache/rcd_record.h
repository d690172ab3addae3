/*
 * rcd_record - what Redis should hold of a digest: its own orders, and those of the holders whose card
 * it is.
 */
#ifndef RCD_RECORD_H
#define RCD_RECORD_H

#include "rcd_reach.h"

/* Measures that the operator has enabled, as a mask. */
uint16_t rcd_enabled(const rcd_rules_t *rules);

/*
 * The record of `digest` in `era` as the journal and the links have it now: what is enabled, live and
 * not wholly lifted; at most JD_ORDERS_MAX orders, the most lasting ones. *len 0 = none. 0, or -1 when
 * the journal failed or a row cannot be encoded (s->fault). `rows`, `n` give what went in, for its
 * grounds; `note` what there is to say (rcd_note_keep).
 */
int rcd_record(rcd_state_t *s, const rcd_rules_t *rules, uint64_t era,
               const uint8_t digest[JD_DIGEST_LEN], uint8_t out[JD_RECORD_MAX], size_t *len,
               rcd_row_t rows[JD_ORDERS_MAX], int *n, rcd_note_t *note);

#endif
