/*
 * rcd_download - fetches a snapshot: its statement, then its records, verified on the way.
 */
#ifndef RCD_DOWNLOAD_H
#define RCD_DOWNLOAD_H

#include <stdint.h>
#include "core/jd_backoff.h"
#include "rcd_applier.h"
#include "rcd_claims.h"
#include "rcd_config.h"
#include "rcd_http.h"
#include "rcd_records.h"
#include "rcd_state.h"

typedef enum {
    RCD_DOWNLOAD_IDLE,
    RCD_DOWNLOAD_WAITING,              /* for the back-off, or the office's Retry-After */
    RCD_DOWNLOAD_ASKING,
    RCD_DOWNLOAD_FETCHING,
    RCD_DOWNLOAD_APPLYING,
    RCD_DOWNLOAD_N
} rcd_download_state_t;

extern const char *const rcd_download_states[RCD_DOWNLOAD_N];

typedef struct {
    const rcd_config_t   *config;
    const rcd_party_t    *party;
    rcd_http_t           *http;
    rcd_state_t          *state;
    rcd_applier_t        *applier;
    void                (*on_applied)(void *owner);      /* the marks have moved */
    void                 *owner;

    rcd_download_state_t  at;
    rcd_http_call_t      *call;
    int64_t               due_ms;
    jd_backoff_t          failed;
    rcd_snapshot_claims_t claims;
    uint64_t              asked_relief_seq;              /* of this one, when it was asked for */
    rcd_records_t        *records;
    uint64_t              n_applied;                     /* snapshots applied since start */
    char                  fault[256];                    /* of the last try, "" = none */
} rcd_download_t;

/* The first seven members are the caller's; the rest is zero. */
void rcd_download_init(rcd_download_t *d);
void rcd_download_fini(rcd_download_t *d);               /* ends everything it has under way */

/* Moves on when it is time; `wanted`: a snapshot with at least these marks is needed. One that waited
 * and is approved is applied before any other is asked for. Returns when it wants to be called again
 * (ms), INT64_MAX = never by time. */
int64_t rcd_download_step(rcd_download_t *d, int64_t now_ms, int wanted, uint64_t min_seq,
                          uint64_t min_relief_seq);

/* Tries again at once (an epoch, or what waited, was approved). */
void rcd_download_hurry(rcd_download_t *d);

#endif
