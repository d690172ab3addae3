/*
 * history.h - mutations of history_driver: one rule of the daemon or the gate broken on purpose, so that
 * the property test can be seen to fail.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include <hiredis/hiredis.h>
#include "core/jd_policy.h"
#include "rcd_state.h"

/* 0, or -1 when there is no mutation of this name. */
int mutate_choose(const char *name);

/* After the journal was opened. */
void mutate_start(rcd_state_t *s);
/* 1 when this event of the relief lane is to be acknowledged and lost. */
int mutate_relief(rcd_state_t *s, const rcd_event_t *ev);
/* Each time the clock was set. */
void mutate_tick(rcd_state_t *s, int64_t now, redisContext *redis);
/* What the gate remembers, before it looks whether the reply is older. */
void mutate_seen(uint64_t *mark);
/* What the gate has read, before it decides. */
void mutate_judge(jd_clocks_t *c, jd_relief_t *relief, unsigned n);

#endif
