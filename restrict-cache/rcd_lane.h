/*
 * rcd_lane - one lane of the feed: RFC 8936 polls, tokens verified, applied, acknowledged.
 */
#ifndef RCD_LANE_H
#define RCD_LANE_H

#include <stdint.h>
#include <cjson/cJSON.h>
#include "core/jd_backoff.h"
#include "rcd_claims.h"
#include "rcd_config.h"
#include "rcd_http.h"
#include "rcd_jws.h"
#include "rcd_state.h"

#define RCD_LANE_EVENTS_MAX 100           /* maxEvents of a poll */

/* What both lanes work on; it outlives them. */
typedef struct {
    const rcd_config_t *config;
    rcd_party_t         party;
    rcd_http_t         *http;          /* of everything but the relief lane */
    rcd_state_t        *state;
    rcd_redis_t        *redis;
    /* rode in an answer whose tokens are applied */
    void              (*on_head)(void *owner, const char *jws);
    void               *owner;
    int                 applied;          /* set when tokens were applied */
} rcd_lane_env_t;

typedef struct {
    rcd_lane_env_t  *env;
    rcd_http_t      *http;
    /* 1: lifts and marks, path "relief"; 0: orders, path "changes" */
    int              relief;
    rcd_http_call_t *call;                /* the open poll, or NULL */
    struct rcd_lane_batch_s *batch;       /* the answer being taken, or NULL; then no poll is open */
    int64_t          asked_ms;            /* when it was sent */
    int64_t          due_ms;              /* when the next may be sent */
    jd_backoff_t     failed;              /* the office does not answer, or the lane stands */
    /* the office answers empty at once instead of holding the poll */
    jd_backoff_t     idle;
    cJSON           *ack;                 /* array of jti for the next poll */
    cJSON           *errors;              /* object jti -> {err, description} for the next poll */
    uint64_t         seq_seen;            /* highest seq of a verified token */
    /* a token of the last answer did not verify or could not be journaled */
    int              standing;
    char             kid[RCD_KID_MAX + 1];/* of the token the lane stands at */
    char             fault[200];          /* "" = none */
    int64_t          answered_at;         /* wall clock of the last good answer */
    int              wide, narrow;        /* the poll asked for more than usual; that failed */
    uint64_t         n_applied;           /* tokens acknowledged since start */
} rcd_lane_t;

int  rcd_lane_init(rcd_lane_t *l, rcd_lane_env_t *env, rcd_http_t *http, int relief);
/* cancels the poll; unsent acknowledgements are lost: the office sends the tokens again */
void rcd_lane_fini(rcd_lane_t *l);

/* Sends a poll when none is open and it is time. Of an answer of the changes lane each call takes a slice
 * (rcd_slice). Returns the time in ms at which it wants to be
 * called again, INT64_MAX = after an answer. */
int64_t rcd_lane_step(rcd_lane_t *l, int64_t now_ms);

/* Gives the open poll up (standby). */
void rcd_lane_pause(rcd_lane_t *l);

/* "polling", "waiting" (back-off after a failure) or "standing". */
const char *rcd_lane_state(const rcd_lane_t *l);

#endif
