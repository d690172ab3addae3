
/*
 * ngx_jd_follow.h - what the parts of the follower share.
 */

#ifndef _NGX_JD_FOLLOW_H_INCLUDED_
#define _NGX_JD_FOLLOW_H_INCLUDED_


#include "ngx_jd_link.h"
#include "ngx_jd_zone.h"


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


#endif /* _NGX_JD_FOLLOW_H_INCLUDED_ */
