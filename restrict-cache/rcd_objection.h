/*
 * rcd_objection - objections to orders in the journal: the office's, by mark or by the record
 * itself, and the operator's. An operator's objection stands until the operator ends it, the
 * office's until the office does; what Redis holds is "either".
 *
 * The table is the history for reports: number, by whom, since, until, how it ended. What is in
 * force is in the tables relief (objection: marked; held: the operator's) and orders (flags).
 *
 * Every function returns 0 (or what it says) and -1 when the journal failed, and is called inside
 * the caller's transaction.
 */
#ifndef RCD_OBJECTION_H
#define RCD_OBJECTION_H

#include "rcd_store.h"

extern const char rcd_objection_schema[];

typedef enum {
    RCD_OBJECTION_STANDS,
    RCD_OBJECTION_WITHDRAWN,               /* by mark, by a later version or snapshot */
    RCD_OBJECTION_ENDED,                   /* by the operator, who had set it */
    /* the order ended first: RCD_OBJECTION_OVER + rcd_end_t */
    RCD_OBJECTION_OVER
} rcd_objection_how_t;

/* "stands" "withdrawn" "ended" "expired" "dropped" "refused" "lifted" */
const char *rcd_objection_how_name(int how);

typedef struct {
    char        number[JD_ORDER_NUMBER_MAX + 1];
    const char *user;                      /* NULL: the office */
    const char *reason;
    const char *ref;                       /* who names the same twice means the same */
    int64_t     at;
} rcd_objection_t;

int  rcd_objection_open(rcd_state_t *s);
void rcd_objection_close(rcd_state_t *s);

/* The operator objects for the person: 1, or 0 when this ref is known. */
int rcd_objection_put(rcd_state_t *s, const rcd_objection_t *o, int found);
/* The operator ends it: 1, or 0 when none of the operator's stands. */
int rcd_objection_end(rcd_state_t *s, const rcd_objection_t *o);

/* The office's mark, or the record, may have changed: history is brought up to date. */
int rcd_objection_sync(rcd_state_t *s, const char *number, int64_t at);
/* The order has ended: so have the objections to it. */
int rcd_objection_over(rcd_state_t *s, const char *number, rcd_end_t why, int64_t at);

/* 1 when an objection of the operator to this number was in the journal and no longer stands: Redis
 * may forget it. 0 when not. */
int rcd_objection_gone(rcd_state_t *s, const char *number);
/* 1 when the journal has had an objection of the operator to it. */
int rcd_objection_known(rcd_state_t *s, const char *number);

/* Standing ones: of the office, of the operator. */
int rcd_objection_counts(rcd_state_t *s, uint64_t *office, uint64_t *operators);

#endif
