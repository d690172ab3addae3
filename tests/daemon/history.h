/*
 * history.h - the parts of history_driver.
 */
#ifndef HISTORY_H
#define HISTORY_H

#include <hiredis/hiredis.h>
#include "core/jd_policy.h"
#include "rcd_state.h"

#define HISTORY_BOOTED_AT 1700000000   /* CLOCK_BOOTTIME 0 */

/* ---- history_driver.c */

extern int64_t history_now, history_wall_daemon, history_wall_gate, history_mono_ms;

void history_fail(const char *what) __attribute__((noreturn));
/* The next line of the program, valid until the one after; NULL at its end. */
char *history_line(void);
void history_command(char *line);

/* ---- history_daemon.c */

extern jd_key_t history_key;

/* `dir` for its files, Redis at a unix socket. */
void history_daemon_init(const char *dir, const char *socket);
void history_daemon_fini(void);
/* Ended, its files removed, as if it had just been installed. */
void history_daemon_new(void);
/* What the daemon does each second. */
void history_daemon_tick(void);
/* 1 when there is such a command, and it was done. */
int  history_daemon_command(const char *name, char *args);

/* ---- history_gate.c */

extern redisContext *history_redis;

void history_redis_do(const char *format, ...);
/* All keys of one database into the other, which is emptied before. */
void history_redis_copy(int from, int to);
/* nginx was restarted. */
void history_gate_new(void);
void history_ask(char *subjects);
/* Of "scheme:identifier". */
void history_digest(const char *subject, uint8_t digest[JD_DIGEST_LEN]);
/* "TARGET UNTIL|-|o": what rcctl writes itself. */
void history_direct(char *args);

/* ---- history_mutate.c: one rule of the daemon or the gate broken on purpose, so that the property
 * test can be seen to fail */

/* 0, or -1 when there is no mutation of this name. */
int mutate_choose(const char *name);

/* After the journal was opened. */
void mutate_start(rcd_state_t *s);
/* 1 when this event of the relief lane is to be acknowledged and lost. */
int mutate_relief(rcd_state_t *s, const rcd_event_t *ev);
/* 1 when the stay of a card's holder is not to be looked at. */
int mutate_holders_stay(void);
/* Around an import of holders. */
void mutate_importing(int on);
/* Each time the clock was set. */
void mutate_tick(rcd_state_t *s, int64_t now, redisContext *redis);
/* What the gate remembers, before it looks whether the reply is older. */
void mutate_seen(uint64_t *mark);
/* What the gate has read, before it decides. */
void mutate_judge(jd_clocks_t *c, jd_relief_t *relief, unsigned n);

#endif
