/*
 * rcd_link - one blocking connection to Redis: connect, authenticate, load scripts, pipeline, and
 * say in words what is wrong.
 *
 * No call waits longer than RCD_LINK_TIMEOUT_MS for one answer. SIGPIPE must be ignored by the
 * process.
 */
#ifndef RCD_LINK_H
#define RCD_LINK_H

#include <stddef.h>
#include <hiredis/hiredis.h>
#include "rcd_script.h"

#define RCD_LINK_TIMEOUT_MS  1000
#define RCD_LINK_ARGS_MAX    1024

typedef enum {
    RCD_LINK_OK,
    RCD_LINK_DOWN,             /* refused, closed, timed out, not Redis: reconnect */
    RCD_LINK_LOADING,          /* -LOADING, -BUSY, -MASTERDOWN: will pass */
    RCD_LINK_OOM,
    RCD_LINK_READONLY,
    RCD_LINK_AUTH,             /* NOAUTH, WRONGPASS, NOPERM */
    RCD_LINK_TYPE,             /* WRONGTYPE: somebody else's key */
    RCD_LINK_FENCED,
    RCD_LINK_CHANGED,          /* not what we wrote: look again */
    RCD_LINK_ERROR             /* any other error reply */
} rcd_link_rc_t;

typedef struct {
    const char    *address;    /* borrowed */
    const char    *auth_file;  /* borrowed, or NULL */
    redisContext  *c;          /* NULL: not connected */
    char           sha[RCD_SCRIPT_N][41];
    rcd_link_rc_t  rc;         /* of the last call */
    char           fault[160]; /* when rc is not OK */
} rcd_link_t;

/* Connects and makes ready. On failure the link is closed. */
rcd_link_rc_t rcd_link_open(rcd_link_t *l);
void rcd_link_close(rcd_link_t *l);

/* One command and its reply (freeReplyObject), or NULL with rc and fault. An error reply is
 * NULL. */
redisReply *rcd_link_call(rcd_link_t *l, int argc, const char **argv, const size_t *len);
redisReply *rcd_link_command(rcd_link_t *l, const char *format, ...);

/*
 * A script's arguments, gathered: begin, keys, then arguments. Bytes are borrowed until call or
 * append. Returns nothing; a call with too many arguments fails an assertion of the caller:
 * RCD_LINK_ARGS_MAX bounds what callers put.
 */
typedef struct {
    int         argc, keys;
    const char *argv[RCD_LINK_ARGS_MAX];
    size_t      len[RCD_LINK_ARGS_MAX];
    char        n_keys[8];
} rcd_args_t;

void rcd_args_begin(rcd_args_t *a);
/* all keys before the first argument */
void rcd_args_key(rcd_args_t *a, const char *key);
void rcd_args_add(rcd_args_t *a, const void *bytes, size_t len);
void rcd_args_text(rcd_args_t *a, const char *text);

/* Runs the script and waits; or puts it into the pipeline, whose answers rcd_link_next gives in
 * order. */
redisReply *rcd_link_script(rcd_link_t *l, rcd_script_t script, rcd_args_t *a);
rcd_link_rc_t rcd_link_append(rcd_link_t *l, rcd_script_t script, rcd_args_t *a);
redisReply *rcd_link_next(rcd_link_t *l);

#endif
