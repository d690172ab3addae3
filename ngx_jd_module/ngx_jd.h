
/*
 * ngx_jd.h - what the module does for a gate: lists, the lookup, the confirm, the brake, the count.
 *
 *   ngx_jd_module.h   configuration and processes: ngx_jd_module.c, ngx_jd_list.c, ngx_jd_ledger.c
 *   ngx_jd_zone.h     the shared memory: ngx_jd_zone.c, ngx_jd_zone_write.c, ngx_jd_lookup.c, ngx_jd_brake.c, ngx_jd_clock.c
 *   ngx_jd_link.h     the way to Redis: ngx_jd_redis.c, ngx_jd_link.c, ngx_jd_reply.c; ngx_jd_confirm.c uses it
 *   ngx_jd_follow.h   the follower: ngx_jd_follow.c, ngx_jd_follow_slice.c, ngx_jd_fetch.c
 *   ngx_jd_push.h     the ledger's push: ngx_jd_push.c, ngx_jd_push_send.c
 *
 * The HTTP gate uses this file, and for jd_status what stands in the zone.
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
typedef struct ngx_jd_zone_s     ngx_jd_zone_t;


/* counters of one worker slot; atomic adds, as old and new workers share a slot during a reload */
typedef struct {
    uint64_t    decisions[JD_MEASURE_N][JD_REASON_N][NGX_JD_OUTCOMES];
    uint64_t    undecided;                             /* gated main requests that ended without a decision */
    uint64_t    confirms;                              /* asked of Redis, joined ones not counted */
    uint64_t    confirm_errors;
    uint64_t    confirm_usec;                          /* sum over confirms answered */
} ngx_jd_counters_t;


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


/* jd_brake, of one list and measure; window 0: off */
typedef struct {
    time_t            window;              /* seconds */
    uint64_t          rate;                /* 1/100 of a percent */
    uint64_t          min;                 /* decisions */
} ngx_jd_brake_t;

#define NGX_JD_BRAKE_WHOLE      10000                  /* 100% as a rate */


/* the ledger: one file, mapped by the master; shared by the cycles that name it alike */
typedef struct {
    jd_cells_t         cells;
    size_t             size;
    u_char            *addr;
    ngx_fd_t           fd;                 /* holds the lock */
    ngx_uint_t         refs;
} ngx_jd_ledger_t;


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


extern ngx_module_t  ngx_jd_module;


#endif /* _NGX_JD_H_INCLUDED_ */
