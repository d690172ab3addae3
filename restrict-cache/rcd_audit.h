/*
 * rcd_audit - what the daemon did and for whose sake, record by record: rows of the journal, written
 * in the transaction of what they tell, and drained to the chain file after it (rcd_audit_file).
 *
 * A record never holds an identifier, a digest or a key: order numbers, names of OS users, counts and
 * texts that the authority or the operator gave.
 */
#ifndef RCD_AUDIT_H
#define RCD_AUDIT_H

#include <cjson/cJSON.h>
#include "rcd_state.h"

#define RCD_AUDIT_KIND_MAX  32             /* bytes of a kind: a-z, 0-9, '-' and '.' */

extern const char rcd_audit_schema[];

/*
 * One record, written inside the caller's transaction: it is in the chain exactly if that commits.
 * `kind` names the event; `fields` (an object, or NULL for none) is taken over; its members follow
 * `kind` in the record, and must not be called n, at, kind, prev or hash (such members are left out).
 * Returns 0, or -1 when the journal failed (s->fault says why): then the caller rolls back.
 */
int rcd_audit(rcd_state_t *s, const char *kind, cJSON *fields);

/* Statements of the journal just opened; 0, or -1 with s->fault. close takes NULL statements, too. */
int  rcd_audit_open(rcd_state_t *s);
void rcd_audit_close(rcd_state_t *s);

#endif
