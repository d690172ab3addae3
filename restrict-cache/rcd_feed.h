/*
 * rcd_feed - the feed as a whole: both lanes, heads and contact, snapshots, quarantine reports.
 */
#ifndef RCD_FEED_H
#define RCD_FEED_H

#include <stdint.h>
#include "rcd_applier.h"
#include "rcd_clock.h"
#include "rcd_config.h"
#include "rcd_state.h"

typedef struct rcd_feed_s rcd_feed_t;

typedef struct {
    const char *relief, *changes;            /* rcd_lane_state */
    const char *relief_fault, *changes_fault;
    const char *relief_kid, *changes_kid;    /* key of the token a lane stands at */
    int64_t     relief_answered_at, changes_answered_at;
    uint64_t    relief_applied, changes_applied;
    const char *snapshot, *snapshot_fault;   /* rcd_download_states */
    const char *head_fault;                  /* why the newest head is no contact, "" = it is */
    uint32_t    head_epoch;                  /* of the newest head that verified since start */
    uint64_t    head_seq, head_relief_seq;
    int         standby;
} rcd_feed_status_t;

/* Everything given must outlive it. NULL without memory. */
rcd_feed_t *rcd_feed_create(const rcd_config_t *config, rcd_state_t *state, rcd_redis_t *redis,
                            rcd_applier_t *applier, rcd_clock_t *clock);
void rcd_feed_destroy(rcd_feed_t *f);

/*
 * One turn: hands out answers that have come (relief first), then sends what is due. Does not
 * block. Returns the time (rcd_clock_ms) at which it wants another turn though nothing came.
 * `*applied` is set to 1 when tokens were applied, and left otherwise.
 */
int64_t rcd_feed_step(rcd_feed_t *f, int *applied);

/* Waits for an answer or one of the descriptors. */
void rcd_feed_wait(rcd_feed_t *f, const int *fds, unsigned n_fds, int timeout_ms);

/* The way to the office, as long as the feed lives. */
struct rcd_http_s *rcd_feed_http(rcd_feed_t *f);

/* Another instance writes to Redis: take no token, since acknowledging one here would keep it from
 * the instance that can act on it. */
void rcd_feed_standby(rcd_feed_t *f, int on);
int  rcd_feed_is_standby(const rcd_feed_t *f);

/* Looks for a snapshot at once: an epoch, or what waited, was approved. */
void rcd_feed_hurry(rcd_feed_t *f);

void rcd_feed_status(const rcd_feed_t *f, rcd_feed_status_t *out);

#endif
