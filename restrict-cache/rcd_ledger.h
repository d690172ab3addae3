/*
 * rcd_ledger - the ledger as a whole: from Redis into the journal, from the journal to the office,
 * and what the office has signed for told to the gates. Nothing of it is done while relief waits.
 */
#ifndef RCD_LEDGER_H
#define RCD_LEDGER_H

#include "rcd_config.h"
#include "rcd_feed.h"
#include "rcd_ledger_collect.h"
#include "rcd_ledger_rows.h"

typedef struct rcd_ledger_s rcd_ledger_t;

typedef struct {
    rcd_ledger_collect_status_t collect;
    rcd_ledger_counts_t         counts;
    char                        batch[RCD_RUN_LEN + 24];   /* under way, "" = none */
    int64_t                     receipt_at;                /* newest receipt of this run */
    const char                 *fault;                     /* why the office has none for us, "" */
} rcd_ledger_status_t;

/* What is given must outlive it. NULL without memory. */
rcd_ledger_t *rcd_ledger_create(const rcd_config_t *config, rcd_state_t *s, rcd_redis_t *redis,
                                rcd_feed_t *feed);
/* Before the feed is destroyed. NULL is allowed. */
void rcd_ledger_destroy(rcd_ledger_t *l);

/* One bounded step. Returns the time (rcd_clock_ms) at which it wants another. */
int64_t rcd_ledger_step(rcd_ledger_t *l);

void rcd_ledger_status(rcd_ledger_t *l, rcd_ledger_status_t *out);

#endif
