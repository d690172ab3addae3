
/*
 * ngx_jd_link.h - the way to Redis: hiredis on nginx's events, one connection, what replies mean.
 */

#ifndef _NGX_JD_LINK_H_INCLUDED_
#define _NGX_JD_LINK_H_INCLUDED_


#include "ngx_jd.h"


/* redis: a hiredis context on nginx's events; knows fds, nothing of commands */

struct redisAsyncContext;
struct redisReply;

/*
 * Takes a fresh context with `data` set, before its callbacks are set: hiredis asks for events then. NGX_OK, or NGX_ERROR when
 * nginx has no connection left; the context stays the caller's to free either way. From then on the fd's events call hiredis,
 * which may free the context; the fd is hiredis's to close. A reply that nobody asked for, one with more than
 * NGX_JD_REDIS_ELEMENTS elements or NGX_JD_REDIS_BYTES bytes ends the context as a protocol error.
 */
ngx_int_t ngx_jd_redis_attach(struct redisAsyncContext *ac, ngx_log_t *log);

/* How many times output was handed to the socket: a command sent since it last grew has not left this process. */
ngx_uint_t ngx_jd_redis_writes(struct redisAsyncContext *ac);

#define NGX_JD_REDIS_ELEMENTS  16384
#define NGX_JD_REDIS_BYTES     (64 * 1024 * 1024)


/* link: one connection to the servers of a list, made again by itself */

typedef enum {
    NGX_JD_LINK_DOWN = 0,          /* waits for its next try */
    NGX_JD_LINK_CONNECTING,        /* connect, AUTH and PING are on their way */
    NGX_JD_LINK_UP,
    NGX_JD_LINK_EXITING            /* for good */
} ngx_jd_link_state_e;

/* up: the server has answered. down: the link is closed, link->fault says why, no question in flight will be answered; may be NULL */
typedef struct {
    const char  *name;
    void       (*up)(ngx_jd_link_t *link);
    void       (*down)(ngx_jd_link_t *link);
} ngx_jd_link_user_t;

struct ngx_jd_link_s {
    /* the head of a connection, as debug logs of timers read it */
    void                      *data;       /* the user's */
    struct redisAsyncContext  *ac;
    struct redisAsyncContext  *closed;     /* to be freed outside of hiredis's callbacks */
    ngx_int_t                  ident;

    ngx_jd_list_t             *list;
    ngx_array_t               *servers;    /* of ngx_addr_t; those of the list, unless set anew before it is opened */
    const ngx_jd_link_user_t  *user;
    ngx_event_t                timer;      /* DOWN: next try; CONNECTING: deadline; UP: silence */
    jd_backoff_t               backoff;
    ngx_uint_t                 server;     /* of `servers`, the one in use or to be tried next */
    ngx_jd_link_state_e        state;
    ngx_jd_fault_e             fault;      /* why it closed last; NONE once proven */
    ngx_msec_t                 retry;      /* delay of the next try */
    uint32_t                   told;       /* faults logged since it was proven, a bit each */
    unsigned                   asked:1;    /* silence has a deadline, else a PING is due */
    unsigned                   proven:1;   /* since it was connected */
};

/* Makes a link that is down, in the cycle's pool. NULL on allocation failure. */
ngx_jd_link_t *ngx_jd_link_create(ngx_cycle_t *cycle, ngx_jd_list_t *list, const ngx_jd_link_user_t *user, void *data);

/* Tries the first server, later the others; never blocks. */
void ngx_jd_link_open(ngx_jd_link_t *link);

/* Closes, from anywhere: calls user->down, and tries again later unless exiting. Closing what is closed does nothing. */
void ngx_jd_link_close(ngx_jd_link_t *link, ngx_jd_fault_e why);

/* In exit_process, or when the link is not needed any more. No callback follows. */
void ngx_jd_link_exit(ngx_jd_link_t *link);

/* 1 when a command may be given: up, or connecting with nothing known against the servers. */
ngx_uint_t ngx_jd_link_usable(ngx_jd_link_t *link);

/*
 * Gives a command; `handler` is a redisCallbackFn and starts with ngx_jd_link_heard(). When nothing is heard for `wait` ms the link
 * closes. NGX_OK, or NGX_ERROR when it could not be given: the link is closed then.
 */
ngx_int_t ngx_jd_link_send(ngx_jd_link_t *link, void (*handler)(struct redisAsyncContext *, void *, void *), void *data,
    ngx_msec_t wait, ngx_uint_t argc, const char **argv, const size_t *argvlen);

/* The link of a reply, which proves the server alive; NULL when there is no reply or the link has gone on without it: return then. */
ngx_jd_link_t *ngx_jd_link_heard(struct redisAsyncContext *ac, void *reply);

/* The link has done what it is for: the next fault starts with a short back-off at the first server. */
void ngx_jd_link_proven(ngx_jd_link_t *link);


/* reply: what Redis's replies mean. `reply` is foreign: any type, any length */

/* What to tell of a fault in a log, with the mend where there is one. */
extern const char *const  ngx_jd_fault_texts[NGX_JD_FAULT_N];

/* The fault of an error reply; PROTOCOL when it is none, or one that nobody expects. */
ngx_jd_fault_e ngx_jd_reply_fault(struct redisReply *reply);

/* Reads meta, an array in the order of jd_meta_fields. NONE with `m` and its key, or what is wrong. */
ngx_jd_fault_e ngx_jd_reply_meta(ngx_jd_list_t *list, struct redisReply *reply, jd_meta_t *m, const jd_key_t **key);

/*
 * Judges the confirm script's reply for one measure of one digest: the reason, and the rest of `v` with its strings in `pool`.
 * UNCONFIRMED unless all of it is certain.
 */
jd_reason_t ngx_jd_reply_verdict(ngx_jd_list_t *list, const u_char digest[JD_DIGEST_LEN], ngx_uint_t measure_bit,
    struct redisReply *reply, ngx_pool_t *pool, ngx_jd_verdict_t *v);

/* The orders of the person of one digest: the reason, and the rest of `person`, zeroed before, with its strings in `pool`. */
jd_reason_t ngx_jd_reply_person(ngx_jd_list_t *list, const u_char digest[JD_DIGEST_LEN], struct redisReply *reply,
    ngx_pool_t *pool, ngx_jd_person_t *person);


#endif /* _NGX_JD_LINK_H_INCLUDED_ */
