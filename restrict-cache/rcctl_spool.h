/*
 * rcctl_spool - commands to the daemon, by files: {state dir}/inbox to it, {state dir}/outbox back.
 */
#ifndef RCCTL_SPOOL_H
#define RCCTL_SPOOL_H

#include "rcctl.h"

#define RCCTL_NAME_MAX  48

/*
 * Creates a file with a random name and `suffix` in inbox, readable by the daemon alone. It is
 * hidden (".name") until rcctl_spool_publish. Returns a stream to fclose(), or NULL after saying
 * why.
 */
FILE *rcctl_spool_create(const rcctl_t *r, const char *suffix, char name[RCCTL_NAME_MAX]);
/* 0, or -1 after saying why; then the file is gone. */
int   rcctl_spool_publish(const rcctl_t *r, const char *name);
/* Byte for byte. 0, or -1 with a reason. */
int   rcctl_spool_copy(FILE *in, FILE *out, char *err, size_t err_size);
/* Removes the file, published or not. */
void  rcctl_spool_withdraw(const rcctl_t *r, const char *name);

/*
 * Hands `command` (taken over; "user" is added) to the running daemon and waits for its answer,
 * telling progress on stderr. Returns an exit code; *answer is the daemon's last word, to be given
 * to cJSON_Delete, or NULL. Whatever goes wrong is said on stderr.
 */
int rcctl_spool_run(const rcctl_t *r, cJSON *command, cJSON **answer);

/* Notes in the audit chain that `kind` (a command of rcctl that looks at somebody's orders) was run, and
 * by whom. Does not wait: a daemon that does not run takes the note when it does. 0, or -1 after
 * saying why. */
int rcctl_spool_note(const rcctl_t *r, const char *kind);
/* OS user who runs this, in static storage. */
const char *rcctl_user(void);

/* The daemon's last word on the command of this name, or NULL as long as there is none. */
cJSON *rcctl_spool_answer(const rcctl_t *r, const char *name);
/* The last word was read. */
void rcctl_spool_done(const rcctl_t *r, const char *name);

/* A descriptor on which answers are waited for, or -1 when the system cannot; open it before the
 * command is given. pause waits for news, at most `ms`. */
int  rcctl_spool_watch(const rcctl_t *r);
void rcctl_spool_pause(int watch, int ms);

/* The daemon runs: 0, or -1 after saying that it does not. */
int rcctl_spool_alive(const rcctl_t *r);

#endif
