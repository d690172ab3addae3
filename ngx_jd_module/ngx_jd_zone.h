
/*
 * ngx_jd_zone.h - the shared memory of a list, and who may do what to it.
 */

#ifndef _NGX_JD_ZONE_H_INCLUDED_
#define _NGX_JD_ZONE_H_INCLUDED_


#include "ngx_jd.h"


#define NGX_JD_ZONE_MAGIC   0x4a445a4f4e453031ull      /* "JDZONE01" */
#define NGX_JD_ZONE_LAYOUT  2

#define NGX_JD_ZONE_MIN     (1024 * 1024)              /* room for about 50,000 digests */

#define NGX_JD_SLOTS        64                         /* ngx_worker modulo this */

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


/* words of the zone, where no order between them is needed */
#define ngx_jd_get(word)         atomic_load_explicit(word, memory_order_relaxed)
#define ngx_jd_set(word, value)  atomic_store_explicit(word, value, memory_order_relaxed)


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


/* one entry of stream lifts */
typedef struct {
    uint64_t             ms;             /* its id */
    uint64_t             seq;
    int64_t              since[NGX_JD_LIFT_N];   /* Unix ms; 0 = not known */
    int64_t              seen;           /* Unix ms */
    ngx_uint_t           skip;           /* the end of the stream: what is up to here is not measured */
} ngx_jd_lift_t;


/*
 * The zone. Offsets only, all-zero = empty; kept over a reload. Words are written by the writer only, but for counters.
 *
 *   +-------------+-----------------+--------------------------+
 *   | header      | counters[64]    | table lines, 64-aligned  |
 *   +-------------+-----------------+--------------------------+
 *
 * It is allocated from the slab pool of the nginx zone as one block; shpool->data points to it.
 */
struct ngx_jd_zone_s {
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
};


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


#endif /* _NGX_JD_ZONE_H_INCLUDED_ */
