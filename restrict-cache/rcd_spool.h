/*
 * rcd_spool - commands of rcctl, by files: {state dir}/inbox to us, {state dir}/outbox back.
 */
#ifndef RCD_SPOOL_H
#define RCD_SPOOL_H

#include <cjson/cJSON.h>
#include "rcd_applier.h"
#include "rcd_config.h"
#include "rcd_feed.h"
#include "rcd_holders.h"
#include "rcd_state.h"

typedef struct rcd_spool_s rcd_spool_t;

/* What a command works on. A reload exchanges config, redis and feed. */
typedef struct {
    const rcd_config_t *config;
    rcd_state_t        *state;
    rcd_redis_t        *redis;
    rcd_feed_t         *feed;
    rcd_applier_t      *applier;
    rcd_holders_t      *holders;
    const char         *user;          /* OS user of who gave the command */
    char                err[256];
} rcd_command_t;

/*
 * A command that is done when its function returns: NULL, and members may have been added to
 * `answer`; or why it was not done (static text, or c->err).
 */
typedef const char *(*rcd_command_pt)(rcd_command_t *c, const cJSON *command, cJSON *answer);

/* What a durable command returns when the journal cannot be written: its file stays where it is, and
 * it is run again later. */
extern const char rcd_command_later[];

/*
 * Makes the two directories (0700) and answers commands that a former run of the daemon left
 * unfinished. NULL with one line. What it is given must outlive it, or be exchanged by
 * rcd_spool_rebind.
 */
rcd_spool_t *rcd_spool_create(const rcd_config_t *config, rcd_state_t *state,
                              rcd_applier_t *applier, rcd_holders_t *holders,
                              rcd_redis_t *redis, rcd_feed_t *feed, char *err, size_t err_size);
void rcd_spool_destroy(rcd_spool_t *s);

/* After a reload. The applier was aborted before. */
void rcd_spool_rebind(rcd_spool_t *s, const rcd_config_t *config, rcd_redis_t *redis,
                      rcd_feed_t *feed);

/* Looks for commands, moves the import at work. To be called when rcd_spool_news says so, and about
 * each 250 ms all the same; returns 1 when it wants to be called again at once. */
int rcd_spool_step(rcd_spool_t *s);

/* Readable when a command has come; -1 when the system cannot tell, and only looking helps. */
int rcd_spool_fd(const rcd_spool_t *s);
/* 1 when commands may have come since it was asked before. Does not block. */
int rcd_spool_news(rcd_spool_t *s);

#endif
