/*
 * rcd_ledger_collect - brings the totals that gates push to Redis into the journal, and tells the
 * gates which periods are done.
 *
 * A round reads the set of keys, then each key, a slice a step. Everything in Redis is an absolute
 * total, so that a late, doubled, reordered or vanished key does no harm; what is not of its form
 * is left alone and counted.
 */
#ifndef RCD_LEDGER_COLLECT_H
#define RCD_LEDGER_COLLECT_H

#include "rcd_ledger_name.h"
#include "rcd_link.h"
#include "rcd_state.h"

typedef struct {
    uint64_t    rounds;                /* finished since the start */
    uint64_t    keys;                  /* in the last round */
    uint64_t    refused;               /* keys and fields not of their form, in the last round */
    const char *refused_why;           /* of the newest, static; "" = none */
    uint64_t    disagree;              /* closed by their gate, but not what we have; last round */
    uint64_t    done;                  /* periods told as done since the start */
} rcd_ledger_collect_status_t;

typedef struct rcd_ledger_collect_s rcd_ledger_collect_t;

/* `list` must outlive it. NULL without memory. */
rcd_ledger_collect_t *rcd_ledger_collect_create(const char *list, rcd_state_t *s);
void rcd_ledger_collect_destroy(rcd_ledger_collect_t *c);

/*
 * One step: one question to Redis (blocks as rcd_link does), one small transaction. `writer` is the
 * name under which this daemon writes. 1 = more of this round to do, 0 = the round is over, -1 =
 * Redis or the journal failed, and the round begins anew.
 */
int rcd_ledger_collect_step(rcd_ledger_collect_t *c, rcd_link_t *link, const char *writer,
                            int64_t now, int64_t retain_from);

void rcd_ledger_collect_status(const rcd_ledger_collect_t *c, rcd_ledger_collect_status_t *out);

#endif
