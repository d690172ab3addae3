/*
 * rcd_holders - holders' links on their way in: an import read, sorted, merged with the links in
 * force, weighed, put in force or kept for approval; and the configured file watched.
 *
 * Everything goes in steps of about 10 ms, so that relief goes on in between. Killed at any point, the
 * links are those before or those after: a file comes into force by one rename, and when its effect was
 * not in the outbox yet, Redis is filled anew.
 */
#ifndef RCD_HOLDERS_H
#define RCD_HOLDERS_H

#include <cjson/cJSON.h>
#include "rcd_config.h"
#include "rcd_links.h"
#include "rcd_state.h"

#define RCD_HOLDERS_NAMED   1000          /* refused lines that are named; more refuse the import */

typedef struct rcd_holders_s rcd_holders_t;

/* How an import ended: members for the command's answer (owned by the callee), or NULL and why not. */
typedef void (*rcd_holders_done_pt)(void *owner, cJSON *answer, const char *why);

/*
 * Takes the links of `config`'s state directory in force. Damaged ones are not used, and said in the
 * status; when they are not the ones whose effect Redis has, it is filled anew. NULL without memory.
 */
rcd_holders_t *rcd_holders_create(const rcd_config_t *config, rcd_state_t *s);
void rcd_holders_destroy(rcd_holders_t *h);
/* After a reload; an import at work is given up. */
void rcd_holders_rebind(rcd_holders_t *h, const rcd_config_t *config);

/*
 * Begins an import from `fd`, which is taken over. `how`: FULL, DELTA, ADD or REMOVE (a delta of one
 * line, refused with it). `done` is called once, from a step. 0, or -1 with err.
 */
int rcd_holders_begin(rcd_holders_t *h, rcd_links_how_t how, int fd, const char *user,
                      rcd_holders_done_pt done, void *owner, char *err, size_t err_size);
/* Puts the import that waits into force: `hash` = its hash, or the first 16 digits or more. */
int rcd_holders_approve(rcd_holders_t *h, const char *hash, const char *user,
                        rcd_holders_done_pt done, void *owner, char *err, size_t err_size);

/* 1 while an import is at work. */
int rcd_holders_busy(const rcd_holders_t *h);
void rcd_holders_progress(const rcd_holders_t *h, uint64_t *done, uint64_t *total);
/* Works about 10 ms. 1 = more to do. */
int rcd_holders_step(rcd_holders_t *h);
/* Once a second: looks at the configured file. */
void rcd_holders_tick(rcd_holders_t *h);

/* Adds object "holders" to the status. */
void rcd_holders_status(const rcd_holders_t *h, cJSON *root);

#endif
