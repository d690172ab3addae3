
/*
 * ngx_jd.h - what the parts of the module share: lists, the zone, the confirm.
 *
 * ngx_jd_module.c, ngx_jd_list.c own lists and processes; ngx_jd_zone.c, ngx_jd_zone_write.c, ngx_jd_lookup.c, ngx_jd_brake.c the shared memory;
 * ngx_jd_ledger.c the file of the ledger, ngx_jd_clock.c what it keeps of the office clock; ngx_jd_redis.c, ngx_jd_link.c, ngx_jd_follow*.c, ngx_jd_fetch.c, ngx_jd_confirm.c,
 * ngx_jd_push*.c the way to Redis. The HTTP gate uses only the functions in the last part.
 */

#ifndef _NGX_JD_H_INCLUDED_
#define _NGX_JD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>

#include "../restrict-cache/core/jd_measure.h"
#include "../restrict-cache/core/jd_subject.h"
#include "../restrict-cache/core/jd_digest.h"
#include "../restrict-cache/core/jd_order.h"
#include "../restrict-cache/core/jd_redis.h"
#include "../restrict-cache/core/jd_table.h"
#include "../restrict-cache/core/jd_policy.h"
#include "../restrict-cache/core/jd_backoff.h"
#include "../restrict-cache/core/jd_cells.h"
#include "../restrict-cache/core/jd_ledger.h"


#define NGX_JD_VERSION      "0.1.0"

#define NGX_JD_ZONE_MAGIC   0x4a445a4f4e453031ull      /* "JDZONE01" */
#define NGX_JD_ZONE_LAYOUT  2

#define NGX_JD_ZONE_MIN     (1024 * 1024)              /* room for about 50,000 digests */

#define NGX_JD_SLOTS        64                         /* ngx_worker modulo this */

/* what became of a decision, beside its reason */
#define NGX_JD_PASSED          0
#define NGX_JD_DENIED          1
#define NGX_JD_DENIED_DRY_RUN  2
#define NGX_JD_REJECTED        3                       /* malformed, jd_malformed reject: 400 */
#define NGX_JD_OUTCOMES        4


typedef struct ngx_jd_list_s     ngx_jd_list_t;
typedef struct ngx_jd_link_s     ngx_jd_link_t;
typedef struct ngx_jd_follow_s   ngx_jd_follow_t;
typedef struct ngx_jd_confirm_s  ngx_jd_confirm_t;
typedef struct ngx_jd_push_s     ngx_jd_push_t;


/* counters of one worker slot; atomic adds, as old and new workers share a slot during a reload */
typedef struct {
    uint64_t    decisions[JD_MEASURE_N][JD_REASON_N][NGX_JD_OUTCOMES];
    uint64_t    undecided;                             /* gated main requests that ended without a decision */
    uint64_t    confirms;                              /* asked of Redis, joined ones not counted */
    uint64_t    confirm_errors;
    uint64_t    confirm_usec;                          /* sum over confirms answered */
} ngx_jd_counters_t;

#define NGX_JD_ZONE_ALIGN       64                     /* a cache line */

/* from one slot's counters to the next */
#define NGX_JD_COUNTERS_STRIDE                                                                                       \
    ngx_align(sizeof(ngx_jd_counters_t), NGX_JD_ZONE_ALIGN)


/* follower state, as status shows it */
typedef enum {
    NGX_JD_FOLLOW_NONE = 0,        /* no worker follows yet */
    NGX_JD_FOLLOW_CONNECTING,
    NGX_JD_FOLLOW_LOADING,
    NGX_JD_FOLLOW_TAILING,
    NGX_JD_FOLLOW_WAITING          /* back-off after `fault` */
} ngx_jd_follow_state_e;

/* why a link or the follower is not where it should be; names in ngx_jd_fault_names */
typedef enum {
    NGX_JD_FAULT_NONE = 0,
    NGX_JD_FAULT_REFUSED,          /* connect failed */
    NGX_JD_FAULT_TIMEOUT,          /* connect, command or blocked read */
    NGX_JD_FAULT_CLOSED,
    NGX_JD_FAULT_AUTH,             /* NOAUTH, WRONGPASS, NOPERM */
    NGX_JD_FAULT_READONLY,         /* a replica, where one must write */
    NGX_JD_FAULT_LOADING,          /* -LOADING, -MASTERDOWN, -BUSY */
    NGX_JD_FAULT_EMPTY,            /* no meta: nothing written yet, or flushed */
    NGX_JD_FAULT_SCHEMA,           /* schema from the future or the past */
    NGX_JD_FAULT_TYPE,             /* WRONGTYPE, meta not of its form */
    NGX_JD_FAULT_KEY,              /* list filled under a digest key that we do not have */
    NGX_JD_FAULT_FORGED,           /* records whose MAC does not verify: not loaded */
    NGX_JD_FAULT_GAP,              /* change stream has a gap: loading anew */
    NGX_JD_FAULT_BEHIND,           /* older than what this gateway has seen */
    NGX_JD_FAULT_FULL,             /* zone too small: what did not fit is not enforced */
    NGX_JD_FAULT_PROTOCOL,         /* any other reply */
    NGX_JD_FAULT_N
} ngx_jd_fault_e;

extern const char *const  ngx_jd_fault_names[NGX_JD_FAULT_N];


/* words of the zone, where no order between them is needed */
#define ngx_jd_get(word)         atomic_load_explicit(word, memory_order_relaxed)
#define ngx_jd_set(word, value)  atomic_store_explicit(word, value, memory_order_relaxed)


/* jd_brake, of one list and measure; window 0: off */
typedef struct {
    time_t            window;              /* seconds */
    uint64_t          rate;                /* 1/100 of a percent */
    uint64_t          min;                 /* decisions */
} ngx_jd_brake_t;

#define NGX_JD_BRAKE_WHOLE      10000                  /* 100% as a rate */
#define NGX_JD_BRAKE_BITS       16384
#define NGX_JD_BRAKE_NO_WINDOW  (-((int64_t) 1 << 40))

/* its state; a window's words are cleared under the slab mutex, else they only grow */
typedef struct {
    _Atomic int64_t   since;               /* Unix second since when it is on; 0 = off */
    _Atomic int64_t   window;              /* begin, seconds of CLOCK_BOOTTIME */
    _Atomic uint64_t  base;                /* decisions before it */
    _Atomic uint64_t  ones;                /* bits that are set */
    _Atomic uint64_t  distinct;            /* orders that denied in it, in 1/1000, estimated */
    _Atomic uint64_t  engaged;             /* times since the zone was made */
    uint64_t          reserved[2];
    _Atomic uint64_t  bitmap[NGX_JD_BRAKE_BITS / 64];
} ngx_jd_brake_zone_t;


/* how long lifts take to get here: milliseconds, buckets as le in Prometheus, each holds only its own */
typedef enum {
    NGX_JD_LIFT_ACT = 0,                   /* since the authority's act, toe */
    NGX_JD_LIFT_SIGNED,                    /* since the office's signature, iat */
    NGX_JD_LIFT_APPLIED,                   /* since the daemon wrote it */
    NGX_JD_LIFT_N
} ngx_jd_lift_e;

#define NGX_JD_LIFT_BUCKETS     20         /* bounds in ngx_jd_lift_bounds; the last has none */

extern const uint64_t     ngx_jd_lift_bounds[NGX_JD_LIFT_BUCKETS - 1];
extern const char *const  ngx_jd_lift_names[NGX_JD_LIFT_N];

typedef struct {
    _Atomic uint64_t  bucket[NGX_JD_LIFT_BUCKETS];
    _Atomic uint64_t  sum;
} ngx_jd_lift_zone_t;


/*
 * The zone. Offsets only, all-zero = empty; kept over a reload. Words are written by the writer only, but for counters.
 *
 *   +-------------+-----------------+--------------------------+
 *   | header      | counters[64]    | table lines, 64-aligned  |
 *   +-------------+-----------------+--------------------------+
 *
 * It is allocated from the slab pool of the nginx zone as one block; shpool->data points to it.
 */
typedef struct {
    uint64_t          magic;
    uint32_t          layout;
    uint32_t          slots;
    uint64_t          size;                /* of the whole block */
    uint64_t          counters_off;
    uint64_t          lines_off;
    uint64_t          lines;

    _Atomic uint64_t  writer;              /* pid << 32 | boot-time milliseconds, low 32; 0 = nobody */
    _Atomic uint64_t  published;           /* the load number that readers may use; 0 = not ready */
    _Atomic uint64_t  load;                /* number of the newest load begun; mark = load % 15 + 1 */
    _Atomic uint64_t  era;
    _Atomic uint64_t  last_id;             /* events up to this n are in the table */
    _Atomic uint64_t  count;               /* digests in the table */
    _Atomic uint64_t  not_fitted;          /* digests that did not fit */
    _Atomic uint64_t  forged;              /* records refused for their MAC since the load began */

    _Atomic uint64_t  relief_mark;         /* highest jd_relief_mark seen by follower or confirm (atomic max) */
    _Atomic int64_t   verified_at;
    _Atomic int64_t   office_offset;       /* office clock - CLOCK_BOOTTIME, seconds; one word, so that no reader
                                              meets half of an update; only grows; 0 = no contact yet */
    _Atomic int64_t   beat;

    char              key_id[JD_KEY_ID_MAX + 1];       /* of the published list; change only while published is 0 */
    char              key_check[17];
    _Atomic uint64_t  norm;                /* jd_normalisers_t packed, a byte a scheme */

    _Atomic uint32_t  follow_state;        /* ngx_jd_follow_state_e */
    _Atomic uint32_t  fault;               /* ngx_jd_fault_e: the newest that still stands */
    _Atomic uint64_t  loads;               /* finished since the zone was made */
    _Atomic uint64_t  gaps;
    _Atomic uint64_t  reconnects;
    _Atomic int64_t   loaded_at;           /* wall clock of the last finished load */
    _Atomic uint64_t  load_msec;           /* how long it took */

    _Atomic uint64_t  lift_ms;             /* id of the newest entry of lifts met; 0-0: none yet */
    _Atomic uint64_t  lift_seq;
    _Atomic int64_t   lift_seen_ms;        /* Unix milliseconds when it was */
    uint64_t          reserved;
    ngx_jd_lift_zone_t   lift[NGX_JD_LIFT_N];

    ngx_jd_brake_zone_t  brake[JD_MEASURE_N];
} ngx_jd_zone_t;


/* the ledger: one file, mapped by the master; shared by the cycles that name it alike */
typedef struct {
    jd_cells_t         cells;
    size_t             size;
    u_char            *addr;
    ngx_fd_t           fd;                 /* holds the lock */
    ngx_uint_t         refs;
} ngx_jd_ledger_t;

typedef struct {
    ngx_str_t          name;               /* of the file; no data: no directive */
    ngx_str_t          gateway;
    ssize_t            size;
    ngx_jd_ledger_t   *ledger;             /* NULL in nginx -t */
} ngx_jd_ledger_conf_t;


struct ngx_jd_list_s {
    ngx_str_t          name;
    ngx_array_t        servers;            /* of ngx_addr_t */
    ngx_array_t        ledger_servers;     /* likewise, one */
    ngx_str_t          auth_user;          /* from redis_auth; empty: none */
    ngx_str_t          auth_password;
    ssize_t            zone_size;
    ngx_msec_t         timeout;
    time_t             max_stale;
    ngx_shm_zone_t    *shm_zone;           /* ->data is this list */
    jd_keys_t         *keys;

    u_char            *conf_file;          /* where first named, for forward references */
    ngx_uint_t         conf_line;
    ngx_str_t          enforced;           /* the first location that denies, its file and line: it needs a ledger */
    u_char            *enforced_file;
    ngx_uint_t         enforced_line;
    ngx_jd_brake_t     brake[JD_MEASURE_N];

    unsigned           defined:1;          /* a list block was seen */
    unsigned           used:1;             /* a gate names it */

    /* of this worker */
    ngx_jd_zone_t     *zone;               /* NULL before ngx_jd_zone_attach() */
    jd_table_t         table;
    ngx_jd_counters_t *counters;           /* this worker's slot */
    uint64_t           key_published;      /* what key and norm were read for; another load is another key, perhaps */
    const jd_key_t    *key;                /* NULL: the list is filled under a key that we do not have */
    jd_normalisers_t   norm;
    uint64_t           writer;             /* our claim; 0 = none */
    uint64_t           sweep_pos;
    ngx_msec_t         load_start;
    ngx_jd_link_t     *confirm_link;
    ngx_jd_follow_t   *follow;             /* slot 0 only */
    ngx_jd_ledger_t   *ledger;             /* NULL: none, or nginx -t */
    ngx_uint_t         ledger_index;       /* of this list in its file */
    uint64_t           boot;               /* of the machine; 0: unknown */
    ngx_jd_push_t     *push;               /* slot 0 only */
    ngx_log_t         *log;
};


/* ---- for the gates ------------------------------------------------------------------------------------------- */

/*
 * The list of this name, made as a forward reference when jd {} has not defined it yet (the core module's init_conf
 * refuses what stays undefined, with the file and line of the reference). NULL on allocation failure.
 */
ngx_jd_list_t *ngx_jd_list_ref(ngx_conf_t *cf, ngx_str_t *name);

/* Lists of a cycle, for status: array of ngx_jd_list_t *; NULL when there is no jd block. */
ngx_array_t *ngx_jd_lists(ngx_cycle_t *cycle);

/*
 * Normalises and digests one raw identifier under the list's published key and normalisers. Returns NGX_OK with `digest`
 * and the normal form (JD_SUBJECT_MAX bytes), NGX_DECLINED (empty or not of this scheme), NGX_ERROR (malformed),
 * NGX_AGAIN (list not ready: no key known). Pure CPU; no I/O, no lock, no allocation, no system call.
 */
ngx_int_t ngx_jd_subject(ngx_jd_list_t *list, jd_scheme_t scheme, ngx_str_t *raw, u_char digest[JD_DIGEST_LEN]);

/*
 * JD_REASON_UNREADY, JD_REASON_STALE, JD_REASON_CLEAR, or JD_REASON_LISTED which here only means "ask Redis".
 * No I/O, no lock, no allocation, no system call (the boot-time clock is a vDSO read, done only when the table hits).
 */
jd_reason_t ngx_jd_lookup(ngx_jd_list_t *list, const u_char digest[JD_DIGEST_LEN], ngx_uint_t measure_bit);

/* Age of the list in seconds by both clocks, or -1 before the first contact. */
time_t ngx_jd_list_age(ngx_jd_list_t *list);


/* What a confirm found. Strings live in the pool given to ngx_jd_confirm(). */
typedef struct {
    jd_reason_t   reason;
    ngx_str_t     order;
    ngx_str_t     authority;
    ngx_str_t     basis;
    ngx_str_t     relevance;
    ngx_str_t     contest_url;
    ngx_str_t     contest_phone;
    ngx_str_t     repair_url;
    ngx_str_t     repair_phone;
    time_t        from;
    time_t        until;
    time_t        deadline;                /* last day to contest, its 00:00 at +08:00; 0 = none stated */
    time_t        age;                     /* of the list at that moment */
    uint64_t      era;
    uint64_t      last_id;
    ngx_uint_t    linked;                  /* the order names the card's holder; 0: the card itself */
    time_t        link_from;               /* of that link; 0: since ever */
    const jd_key_t  *key;                  /* that the record verified under; the configuration's */
} ngx_jd_verdict_t;


/* One order of a person, as a counter is told of it; of `v` the order, its texts and its terms. */
typedef struct {
    ngx_jd_verdict_t  v;
    jd_state_t    state;
    uint16_t      measures;
    uint16_t      lifted;                  /* of these */
    time_t        stay;                    /* 0: none; JD_STAY_FOREVER: no end */
    time_t        link_until;              /* JD_LINK_OPEN: no end */
} ngx_jd_person_order_t;

/* What a person is told at the counter. Orders that are over are not among them. */
typedef struct {
    jd_reason_t   reason;                  /* LISTED: there are orders; NOT_LISTED; STALE, CLOCK: orders may be there, nothing is
                                              enforced; UNCONFIRMED: nothing is known */
    ngx_uint_t    n;
    ngx_jd_person_order_t  *orders;
    uint16_t      observed;                /* measures of orders that are only observed */
    time_t        age;                     /* of the list; -1: not known */
} ngx_jd_person_t;


typedef void (*ngx_jd_confirm_pt)(void *data);

/*
 * Asks Redis. Returns NGX_DONE when the verdict is there already (no link: UNCONFIRMED) and the handler will not be called;
 * NGX_AGAIN when the handler will be called once, within list->timeout of this call, from a timer or a Redis
 * callback: it must only post an event; NGX_ERROR on allocation failure (treat as UNCONFIRMED).
 * A pool cleanup on `pool` detaches the waiter if the pool dies first; then the handler is not called.
 * The timer of the wait is not cancelable. Equal confirms (same digest) are joined until the question leaves this process: one
 * already sent may be answered from before a lift that this request must see.
 */
ngx_int_t ngx_jd_confirm(ngx_jd_list_t *list, const u_char digest[JD_DIGEST_LEN], ngx_uint_t measure_bit,
    ngx_pool_t *pool, ngx_log_t *log, ngx_jd_verdict_t *verdict, ngx_jd_confirm_pt handler, void *data);

/* The same question, answered with all orders of the person in the record. */
ngx_int_t ngx_jd_confirm_person(ngx_jd_list_t *list, const u_char digest[JD_DIGEST_LEN], ngx_pool_t *pool, ngx_log_t *log,
    ngx_jd_person_t *person, ngx_jd_confirm_pt handler, void *data);


/*
 * To be asked for each denial, before it is made: notes the order that would deny, and returns 1 when the measure is braked, by this
 * denial or before. No I/O but the log line of a brake that engages; never waits.
 */
ngx_uint_t ngx_jd_brake(ngx_jd_list_t *list, ngx_uint_t measure_bit, ngx_str_t *order);

/*
 * Counts a denial (NGX_JD_DENIED or NGX_JD_DENIED_DRY_RUN) in the ledger, by what the verdict tells. NGX_OK, from then on it outlives every
 * process here; NGX_DECLINED: no cell is free, or there is no ledger, and nothing was counted: do not deny.
 */
ngx_int_t ngx_jd_ledger_count(ngx_jd_list_t *list, ngx_uint_t measure_bit, ngx_jd_verdict_t *v, ngx_uint_t outcome);

/* Counts one decision in this worker's slot. */
void ngx_jd_count(ngx_jd_list_t *list, ngx_uint_t measure_bit, jd_reason_t reason, ngx_uint_t outcome);
void ngx_jd_count_undecided(ngx_jd_list_t *list);

/* Sums the slots into `out`. */
void ngx_jd_counters(ngx_jd_list_t *list, ngx_jd_counters_t *out);

/* Decisions of a measure about somebody who was looked up: clear and all that come after it in jd_reason_t. Reads 64 slots. */
uint64_t ngx_jd_decided(ngx_jd_list_t *list, ngx_uint_t measure_bit);


/* ---- inside the module --------------------------------------------------------------------------------------- */

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


/* follow: process slot 0 only. The follower stops by itself when another process claims the zone, or at quit. */

#define NGX_JD_PAGES     4                             /* HSCANs in flight */
#define NGX_JD_PAGE_MAX  4096                          /* fields of one reply */
#define NGX_JD_ITEMS     (NGX_JD_PAGES * NGX_JD_PAGE_MAX)
#define NGX_JD_LIFTS     512                           /* of one reply */

typedef enum {
    NGX_JD_PHASE_IDLE = 0,
    NGX_JD_PHASE_META,
    NGX_JD_PHASE_BEGIN,
    NGX_JD_PHASE_LOAD,
    NGX_JD_PHASE_TAIL,
    NGX_JD_PHASE_PUBLISH
} ngx_jd_phase_e;


typedef enum {
    NGX_JD_ITEM_PUT = 0,
    NGX_JD_ITEM_REMOVE,
    NGX_JD_ITEM_SKIP                     /* forged: what was known stays */
} ngx_jd_item_e;


/* one digest on its way into the table */
typedef struct {
    u_char               digest[JD_DIGEST_LEN];
    uint16_t             measures;
    uint16_t             what;           /* ngx_jd_item_e */
} ngx_jd_item_t;


/* one entry of stream lifts */
typedef struct {
    uint64_t             ms;             /* its id */
    uint64_t             seq;
    int64_t              since[NGX_JD_LIFT_N];   /* Unix ms; 0 = not known */
    int64_t              seen;           /* Unix ms */
    ngx_uint_t           skip;           /* the end of the stream: what is up to here is not measured */
} ngx_jd_lift_t;


typedef struct {
    ngx_jd_follow_t     *follow;
    uint32_t             bucket;
    char                 cursor[NGX_INT64_LEN + 1];
    unsigned             used:1;
    unsigned             asked:1;
} ngx_jd_page_t;


struct ngx_jd_follow_s {
    ngx_jd_list_t       *list;
    ngx_jd_link_t       *link;
    ngx_event_t          work;
    ngx_jd_phase_e       phase;

    char                 name[JD_LIST_NAME_MAX + 1];
    char                 meta_key[JD_REDIS_NAME_MAX];
    char                 changes_key[JD_REDIS_NAME_MAX];
    char                 lifts_key[JD_REDIS_NAME_MAX];

    jd_meta_t            meta;           /* the newest read */
    const jd_key_t      *key;            /* of the era followed */
    uint64_t             era;
    uint64_t             last;           /* the last change queued */
    uint64_t             seen;           /* fields met by the load */
    uint64_t             changes;        /* met since the load began */
    uint32_t             bucket;         /* the next to ask for */
    uint32_t             buckets;
    ngx_jd_page_t        page[NGX_JD_PAGES];

    ngx_uint_t           nitems;
    ngx_uint_t           item;           /* the next to be applied */
    ngx_jd_item_t        items[NGX_JD_ITEMS];

    uint64_t             lift_ms;        /* id of the last lift queued */
    uint64_t             lift_seq;
    ngx_uint_t           nlifts;
    ngx_jd_lift_t        lifts[NGX_JD_LIFTS];

    unsigned             anew:1;         /* no resuming: load */
    unsigned             lifts_known:1;  /* where to go on in lifts */
    unsigned             asked:1;        /* an XREAD with its HMGET */
    unsigned             meta_new:1;     /* they are in */
    unsigned             nothing:1;      /* the last XREAD brought nothing */
    unsigned             missed:1;       /* ... though meta told of more */
    unsigned             published:1;    /* this era, by us or before us */
    unsigned             sweeping:1;
    unsigned             connected:1;    /* once at least */
    unsigned             forged:1;       /* told */
};

void ngx_jd_follow_init(ngx_cycle_t *cycle, ngx_jd_list_t *list);
void ngx_jd_follow_exit(ngx_jd_list_t *list);

/* Goes to the phase, whose work is done in a slice of a later turn of the event loop. */
void ngx_jd_follow_post(ngx_jd_follow_t *f, ngx_jd_phase_e phase);

/* Writes what is queued, for one turn. NGX_OK: nothing more to write; NGX_AGAIN; NGX_DECLINED: not the writer. */
ngx_int_t ngx_jd_follow_slice(ngx_jd_follow_t *f);

/* Caught up: only what is wrong with the data itself still stands. */
void ngx_jd_follow_settled(ngx_jd_follow_t *f);


/* fetch: asks for the follower; what comes is checked, queued in f->items and posted. On an error the link is closed. */

ngx_int_t ngx_jd_fetch_meta(ngx_jd_follow_t *f);
ngx_int_t ngx_jd_fetch_page(ngx_jd_follow_t *f, ngx_jd_page_t *page);

/*
 * The changes after f->last, and meta behind them. When the list is published it waits for changes, and reads lifts beside them, from the
 * place that the zone knows or from their end.
 */
void ngx_jd_fetch_changes(ngx_jd_follow_t *f);


/* confirm: each worker's own link, which lives until the worker exits */

void ngx_jd_confirm_init(ngx_cycle_t *cycle, ngx_jd_list_t *list);
void ngx_jd_confirm_exit(ngx_jd_list_t *list);


/* module and list: configuration */

typedef struct {
    ngx_array_t            lists;    /* of ngx_jd_list_t * */
    ngx_jd_list_t         *list;     /* whose block is read now */
    jd_keys_t              keys;     /* n = 0: no key_file yet */
    ngx_jd_ledger_conf_t   ledger;
    ngx_uint_t             block;    /* a jd block was seen */
} ngx_jd_conf_t;

#define NGX_JD_FILE_MAX  4096

/* Reads a file with a secret, whole; the caller wipes `buf`. Refuses, logged, one that everybody may read. */
ngx_int_t ngx_jd_read_file(ngx_conf_t *cf, ngx_str_t *name, u_char buf[NGX_JD_FILE_MAX], size_t *len);

/* Directives of the list block that conf->list is; list_finish at its end checks and fills in. */
char *ngx_jd_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_jd_redis_ledger(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_jd_redis_auth(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_jd_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_jd_timeout(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_jd_max_stale(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_jd_list_finish(ngx_conf_t *cf, ngx_jd_list_t *list);


/* ledger: the file */

/* The directive: FILE SIZE gateway=NAME. */
char *ngx_jd_ledger(ngx_conf_t *cf, ngx_jd_ledger_conf_t *lcf);

/* Of a cycle; NULL when it has no jd block. */
ngx_jd_ledger_conf_t *ngx_jd_ledger_conf(ngx_cycle_t *cycle);

/*
 * In the master, when the configuration is read: makes or opens, locks and maps the file, or goes on with that of the old cycle; nginx -t only
 * reads its head. A cleanup of the cycle's pool gives it back. NGX_ERROR: logged.
 */
ngx_int_t ngx_jd_ledger_open(ngx_cycle_t *cycle, ngx_jd_ledger_conf_t *lcf);


/* push: process slot 0 only; the ledger's totals of one list to its redis_ledger */

void ngx_jd_push_init(ngx_cycle_t *cycle, ngx_jd_list_t *list);
void ngx_jd_push_exit(ngx_jd_list_t *list);


/* brake */

/* In each worker, when the zone is attached. */
void ngx_jd_brake_attach(ngx_jd_list_t *list);

/* Lets go what the releases in a meta just read are for. */
void ngx_jd_brake_released(ngx_jd_list_t *list, const jd_meta_t *m);


/* zone: configuration and processes */

/*
 * Adds the shared memory zone of a list that is read whole (name, keys, zone_size): checks the size (an error that names the list and
 * the minimum), builds the zone's name from list name, layout and the first key's id and check value, and sets list->shm_zone and
 * its init. NGX_OK or NGX_ERROR, logged.
 */
ngx_int_t ngx_jd_zone_add(ngx_conf_t *cf, ngx_jd_list_t *list);

/* In init_process of a worker: fills zone, table and counters of the list. */
void ngx_jd_zone_attach(ngx_jd_list_t *list);

/* Adds to one counter of list->counters. */
#define ngx_jd_counter_add(counter, n)                                                                               \
    (void) ngx_atomic_fetch_add((ngx_atomic_t *) (counter), n)


/* The slab pool of the nginx zone. */
#define ngx_jd_zone_slab(list)  ((ngx_slab_pool_t *) (list)->shm_zone->shm.addr)

/* Milliseconds of CLOCK_BOOTTIME. */
int64_t ngx_jd_zone_boot_msec(void);


/* zone: the one writer. A claim is made at once and always succeeds; whoever had it finds out at its next slice. */

void ngx_jd_zone_writer_claim(ngx_jd_list_t *list);
ngx_uint_t ngx_jd_zone_writer_is_mine(ngx_jd_list_t *list);
void ngx_jd_zone_writer_give_up(ngx_jd_list_t *list);

/*
 * All functions down to ngx_jd_zone_sweep() write: call them only between a slice_begin that returned NGX_OK and its slice_end, with no
 * return to the event loop in between. slice_begin: NGX_OK; NGX_AGAIN, another process is in a slice: try
 * again at the next turn; NGX_DECLINED, another process has claimed the zone: stop following. Never waits.
 */
ngx_int_t ngx_jd_zone_slice_begin(ngx_jd_list_t *list);
void ngx_jd_zone_slice_end(ngx_jd_list_t *list);

/*
 * 1 when a new writer may go on from (zone->era, zone->last_id): something is published and no load was left half way. It must
 * then sweep too (a writer may have died in its sweep); claiming starts that sweep at the first line.
 */
ngx_uint_t ngx_jd_zone_resumable(ngx_jd_list_t *list);

/* Begins a load: what is put from now on carries a new mark; what is published stays in use. */
void ngx_jd_zone_load_begin(ngx_jd_list_t *list);

/* measures must not be 0. NGX_OK, or NGX_DECLINED: does not fit (counted; logged once a load), not enforced. */
ngx_int_t ngx_jd_zone_put(ngx_jd_list_t *list, const u_char digest[JD_DIGEST_LEN], uint16_t measures);
void ngx_jd_zone_remove(ngx_jd_list_t *list, const u_char digest[JD_DIGEST_LEN]);

/* Tail: the changes up to n are in the table. */
void ngx_jd_zone_applied(ngx_jd_list_t *list, uint64_t n);

/* Tail: a lift was met, or the end of their stream. One that was met before is not measured again. */
void ngx_jd_zone_lift(ngx_jd_list_t *list, const ngx_jd_lift_t *lift);

/*
 * Ends the load: readers go over to key, normalisers and data of `m`, in which last_id and count are those of the table as it
 * stands now (the tail read, the number of digests compared). Then sweep.
 */
void ngx_jd_zone_publish(ngx_jd_list_t *list, const jd_meta_t *m);

/* Removes what older loads left, at most `lines` lines of the table. NGX_OK: done; NGX_AGAIN: more to do. */
ngx_int_t ngx_jd_zone_sweep(ngx_jd_list_t *list, ngx_uint_t lines);


/* zone: short writes of any process. NGX_OK with the lock, or NGX_DECLINED; never waits. */
ngx_int_t ngx_jd_zone_trylock(ngx_jd_list_t *list);
void ngx_jd_zone_unlock(ngx_jd_list_t *list);


/* zone: freshness, from any process, lock-free */

/*
 * Takes verified_at, office clock, beat and relief mark of a meta just read; each only grows. NGX_OK, or NGX_DECLINED when the meta is
 * behind what this gateway has seen, an older replica or a restored backup: nothing is taken, nothing in it may deny.
 */
ngx_int_t ngx_jd_zone_fresh(ngx_jd_list_t *list, const jd_meta_t *m);

/* The office clock over a restart: a new zone takes what the ledger's file keeps of it; what the zone has is kept. Any process, lock-free. */
void ngx_jd_clock_attach(ngx_jd_list_t *list);
void ngx_jd_clock_keep(ngx_jd_list_t *list, int64_t offset);

/* The clocks for jd_policy_*, read now: wall clock, office clock (0 before the first contact), last contact. */
void ngx_jd_zone_clocks(ngx_jd_list_t *list, jd_clocks_t *clocks);


extern ngx_module_t  ngx_jd_module;


#endif /* _NGX_JD_H_INCLUDED_ */
