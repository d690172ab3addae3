/*
 * rcd_fill - records of digests from the journal into batches of scripts, pipelined: the changes of
 * an era, or the filling of one to come.
 */
#ifndef RCD_FILL_H
#define RCD_FILL_H

#include "core/jd_redis.h"
#include "rcd_link.h"
#include "rcd_reach.h"
#include "rcd_store.h"

#define RCD_FILL_BATCH   64         /* digests in one script */
#define RCD_FILL_DEPTH   16         /* scripts in the pipeline */
#define RCD_FILL_NS      4000000    /* building stops after */

typedef struct {
    rcd_state_t       *s;
    rcd_link_t        *link;
    const rcd_rules_t *rules;
    const char        *list;
    char               meta[JD_REDIS_NAME_MAX], changes[JD_REDIS_NAME_MAX],
    grounds[JD_REDIS_NAME_MAX];
    char               writer[33];
} rcd_fill_t;

typedef enum { RCD_FILL_DIRTY, RCD_FILL_DIRTY_TO_COME, RCD_FILL_LIVE,
RCD_FILL_LINKED } rcd_fill_source_t;

typedef struct {
    uint64_t era;
    unsigned bits;
    uint64_t last_id, count;        /* of meta; of an era to come: count alone */
    int      started;               /* LIVE: `after` is set */
    uint8_t  after[JD_DIGEST_LEN];
    rcd_reach_cursor_t linked;      /* LINKED: where it stands */
} rcd_era_t;

/*
 * One pipeline: takes digests from the outbox (DIRTY: into the current era with stream and meta;
 * DIRTY_TO_COME: into the era to come) or live ones after e->after (LIVE), or
 * cards of those (LINKED), writes their grounds and
 * records, and when Redis has confirmed all of it clears the outbox and moves `e`, in one
 * transaction; else nothing has moved. Returns the number of digests written (0: none left), or -1:
 * s->fault when `*journal`, else link->rc and fault.
 */
int rcd_fill_some(rcd_fill_t *f, rcd_fill_source_t source, rcd_era_t *e, int *journal);

#endif
