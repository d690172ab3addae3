/*
 * rcd_status - {state dir}/status.json: what the daemon knows of itself.
 */
#ifndef RCD_STATUS_H
#define RCD_STATUS_H

#include <stdint.h>
#include "rcd_applier.h"
#include "rcd_audit_file.h"
#include "rcd_config.h"
#include "rcd_feed.h"
#include "rcd_ledger.h"
#include "rcd_holders.h"
#include "rcd_state.h"

#define RCD_VERSION "0.1.0"

typedef struct {
    const rcd_config_t  *config;
    rcd_state_t         *state;
    const rcd_redis_t   *redis;
    const rcd_feed_t    *feed;
    rcd_ledger_t        *ledger;
    const rcd_applier_t *applier;
    rcd_audit_file_t    *audit;
    const rcd_holders_t *holders;
    int64_t              started_at;
    int64_t              now;
    int64_t              office_now;
    const char          *reload_fault;       /* why the last SIGHUP was refused; "" = it was not */
} rcd_status_t;

/* Replaces the file whole; fields in restrict-cached.md. 0, or -1 with errno. */
int rcd_status_write(const rcd_status_t *st);

#endif
