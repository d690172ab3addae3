
/*
 * ngx_jd_follow.c - worker slot 0 brings a list from Redis into the zone: a
 * load of all buckets, then the tail of the change stream.
 *
 *   META --> BEGIN --> LOAD --> TAIL --> PUBLISH --> TAIL
 *            ^   |               ^  |
 *            |   +--- resumed ---+  |
 *            +---- gap, new era ----+
 *
 * Callbacks of Redis only check and keep what came; all else is done by
 * ngx_jd_follow_work(), a posted event, in slices: at most NGX_JD_SLICE entries
 * and about NGX_JD_SLICE_USEC in one turn of the event loop.
 *
 * What is asked first is applied last: meta names the last change before the
 * load began, and every change after it is applied over what was loaded.
 */


#include "ngx_jd.h"

#include <hiredis/async.h>
#include <time.h>


#define NGX_JD_SLICE             1024
#define NGX_JD_SLICE_USEC        700
#define NGX_JD_SLICE_CHECK       64      /* entries between looks at the clock */
#define NGX_JD_SWEEP_LINES       2048

#define NGX_JD_PAGES             4       /* HSCANs in flight */
#define NGX_JD_PAGE_COUNT        "512"
#define NGX_JD_PAGE_MAX          4096    /* fields of one reply */
#define NGX_JD_ITEMS             (NGX_JD_PAGES * NGX_JD_PAGE_MAX)

#define NGX_JD_CHANGES_COUNT     "512"
#define NGX_JD_CHANGES_MAX       512

#define NGX_JD_BLOCK_MS          "1000"  /* meta is read as often: freshness */
#define NGX_JD_BLOCK_WAIT_MS     3000
#define NGX_JD_WAIT_MS           2000


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

    unsigned             anew:1;         /* no resuming: load */
    unsigned             asked:1;        /* an XREAD with its HMGET */
    unsigned             meta_new:1;     /* they are in */
    unsigned             nothing:1;      /* the last XREAD brought nothing */
    unsigned             missed:1;       /* ... though meta told of more */
    unsigned             published:1;    /* this era, by us or before us */
    unsigned             sweeping:1;
    unsigned             connected:1;    /* once at least */
    unsigned             forged:1;       /* told */
};


static void ngx_jd_follow_stop(ngx_jd_follow_t *f);
static void ngx_jd_follow_work(ngx_event_t *ev);
static ngx_int_t ngx_jd_follow_slice(ngx_jd_follow_t *f);
static ngx_uint_t ngx_jd_follow_apply(ngx_jd_follow_t *f);
static void ngx_jd_follow_begin(ngx_jd_follow_t *f);
static ngx_uint_t ngx_jd_follow_resumable(ngx_jd_follow_t *f);
static void ngx_jd_follow_publish(ngx_jd_follow_t *f);
static void ngx_jd_follow_settled(ngx_jd_follow_t *f);
static void ngx_jd_follow_step(ngx_jd_follow_t *f);
static void ngx_jd_follow_load(ngx_jd_follow_t *f);
static void ngx_jd_follow_tail(ngx_jd_follow_t *f);
static ngx_uint_t ngx_jd_follow_complete(ngx_jd_follow_t *f);
static void ngx_jd_follow_gap(ngx_jd_follow_t *f);
static void ngx_jd_follow_post(ngx_jd_follow_t *f, ngx_jd_phase_e phase);

static ngx_int_t ngx_jd_follow_ask_meta(ngx_jd_follow_t *f);
static ngx_int_t ngx_jd_follow_ask_page(ngx_jd_follow_t *f,
    ngx_jd_page_t *page);
static void ngx_jd_follow_ask_changes(ngx_jd_follow_t *f);
static void ngx_jd_follow_on_meta(redisAsyncContext *ac, void *reply,
    void *data);
static void ngx_jd_follow_on_page(redisAsyncContext *ac, void *reply,
    void *data);
static void ngx_jd_follow_on_changes(redisAsyncContext *ac, void *reply,
    void *data);
static ngx_int_t ngx_jd_follow_change(ngx_jd_follow_t *f, redisReply *entry);
static ngx_int_t ngx_jd_follow_change_id(redisReply *id, uint64_t *era,
    uint64_t *n);
static ngx_uint_t ngx_jd_follow_is_text(redisReply *reply, const char *text);
static void ngx_jd_follow_put(ngx_jd_follow_t *f, redisReply *digest,
    redisReply *record);
static void ngx_jd_follow_link_up(ngx_jd_link_t *link);
static void ngx_jd_follow_link_down(ngx_jd_link_t *link);
static uint64_t ngx_jd_follow_usec(void);


static const ngx_jd_link_user_t  ngx_jd_follow_user = {
    "follower",
    ngx_jd_follow_link_up,
    ngx_jd_follow_link_down
};


void
ngx_jd_follow_init(ngx_cycle_t *cycle, ngx_jd_list_t *list)
{
    ngx_jd_follow_t  *f;

    f = ngx_pcalloc(cycle->pool, sizeof(ngx_jd_follow_t));
    if (f == NULL) {
        return;
    }

    f->link = ngx_jd_link_create(cycle, list, &ngx_jd_follow_user, f);
    if (f->link == NULL) {
        return;
    }

    f->list = list;

    f->work.handler = ngx_jd_follow_work;
    f->work.data = f;
    f->work.log = cycle->log;

    ngx_cpystrn((u_char *) f->name, list->name.data, list->name.len + 1);
    jd_redis_meta(f->meta_key, f->name);
    jd_redis_changes(f->changes_key, f->name);

    list->follow = f;

    /* at once, so that an old worker 0 stops at its next slice */

    ngx_jd_zone_writer_claim(list);
    list->zone->follow_state = NGX_JD_FOLLOW_CONNECTING;

    ngx_jd_link_open(f->link);
}


void
ngx_jd_follow_exit(ngx_jd_list_t *list)
{
    if (list->follow) {
        ngx_jd_follow_stop(list->follow);
        list->follow = NULL;
    }
}


static void
ngx_jd_follow_stop(ngx_jd_follow_t *f)
{
    if (ngx_jd_zone_writer_is_mine(f->list)) {
        f->list->zone->follow_state = NGX_JD_FOLLOW_NONE;
    }

    ngx_jd_zone_writer_give_up(f->list);
    ngx_jd_link_exit(f->link);

    f->phase = NGX_JD_PHASE_IDLE;

    if (f->work.posted) {
        ngx_delete_posted_event(&f->work);
    }
}


/* Not in a callback of hiredis, so that the link may be closed for good. */

static void
ngx_jd_follow_work(ngx_event_t *ev)
{
    ngx_int_t         rc;
    ngx_jd_follow_t  *f;

    f = ev->data;

    if (ngx_exiting) {
        ngx_jd_follow_stop(f);
        return;
    }

    rc = ngx_jd_follow_slice(f);

    if (rc == NGX_DECLINED) {
        ngx_jd_follow_stop(f);
        return;
    }

    if (rc == NGX_AGAIN) {
        ngx_post_event(&f->work, &ngx_posted_next_events);
    }

    if (f->item == f->nitems) {
        ngx_jd_follow_step(f);
    }
}


/* NGX_OK: nothing more to write; NGX_AGAIN; NGX_DECLINED: not the writer. */

static ngx_int_t
ngx_jd_follow_slice(ngx_jd_follow_t *f)
{
    ngx_int_t   rc;
    ngx_uint_t  more;

    rc = ngx_jd_zone_slice_begin(f->list);
    if (rc != NGX_OK) {
        return rc;
    }

    more = ngx_jd_follow_apply(f);

    if (!more && f->phase == NGX_JD_PHASE_BEGIN) {
        ngx_jd_follow_begin(f);
    }

    if (!more && f->phase == NGX_JD_PHASE_PUBLISH) {
        ngx_jd_follow_publish(f);
    }

    if (!more && f->sweeping) {
        more = ngx_jd_zone_sweep(f->list, NGX_JD_SWEEP_LINES) == NGX_AGAIN;
        f->sweeping = more;
    }

    ngx_jd_zone_slice_end(f->list);

    return more ? NGX_AGAIN : NGX_OK;
}


/* Returns 1 when there is more than one slice takes. */

static ngx_uint_t
ngx_jd_follow_apply(ngx_jd_follow_t *f)
{
    uint64_t        start;
    ngx_uint_t      n;
    ngx_jd_item_t  *item;

    start = ngx_jd_follow_usec();

    for (n = 1; f->item < f->nitems && n <= NGX_JD_SLICE; n++) {

        item = &f->items[f->item++];

        if (item->what == NGX_JD_ITEM_PUT) {
            (void) ngx_jd_zone_put(f->list, item->digest, item->measures);

        } else if (item->what == NGX_JD_ITEM_REMOVE) {
            ngx_jd_zone_remove(f->list, item->digest);
        }

        if (n % NGX_JD_SLICE_CHECK == 0
            && ngx_jd_follow_usec() - start > NGX_JD_SLICE_USEC)
        {
            break;
        }
    }

    if (f->published) {
        ngx_jd_zone_applied(f->list, f->last - (f->nitems - f->item));
    }

    return f->item < f->nitems;
}


/* Goes on from what the zone holds, or loads all of it; `meta` is fresh. */

static void
ngx_jd_follow_begin(ngx_jd_follow_t *f)
{
    ngx_jd_zone_t  *zone;

    zone = f->list->zone;

    f->era = f->meta.era;
    f->missed = 0;
    f->meta_new = 0;

    if (!f->anew && ngx_jd_follow_resumable(f)) {
        f->phase = NGX_JD_PHASE_TAIL;
        f->last = zone->last_id;
        f->published = 1;
        f->sweeping = 1;

        ngx_jd_follow_settled(f);

        ngx_log_error(NGX_LOG_INFO, f->list->log, 0,
                      "jd list \"%V\": follows from change %uL-%uL",
                      &f->list->name, f->era, f->last);
        return;
    }

    ngx_jd_zone_load_begin(f->list);
    zone->follow_state = NGX_JD_FOLLOW_LOADING;

    f->phase = NGX_JD_PHASE_LOAD;
    f->last = f->meta.last_id;
    f->seen = 0;
    f->changes = 0;
    f->bucket = 0;
    f->buckets = 1u << f->meta.bits;
    f->anew = 0;
    f->published = 0;
    f->sweeping = 0;
    f->forged = 0;

    ngx_memzero(f->page, sizeof(f->page));
}


static ngx_uint_t
ngx_jd_follow_resumable(ngx_jd_follow_t *f)
{
    ngx_jd_zone_t  *zone;

    zone = f->list->zone;

    return ngx_jd_zone_resumable(f->list)
           && zone->era == f->meta.era
           && zone->last_id <= f->meta.last_id
           && ngx_strcmp(zone->key_id, f->meta.key_id) == 0
           && ngx_strcmp(zone->key_check, f->meta.key_check) == 0;
}


static void
ngx_jd_follow_publish(ngx_jd_follow_t *f)
{
    ngx_jd_zone_publish(f->list, &f->meta);

    f->phase = NGX_JD_PHASE_TAIL;
    f->published = 1;
    f->sweeping = 1;

    f->meta_new = 0;

    ngx_jd_follow_settled(f);

    ngx_log_error(NGX_LOG_NOTICE, f->list->log, 0,
                  "jd list \"%V\": %uL digests loaded in %uL ms, "
                  "era %uL, change %uL",
                  &f->list->name, f->meta.count,
                  (uint64_t) f->list->zone->load_msec, f->era, f->last);
}


/* Caught up: only what is wrong with the data itself still stands. */

static void
ngx_jd_follow_settled(ngx_jd_follow_t *f)
{
    ngx_jd_zone_t   *zone;
    ngx_jd_fault_e   fault;

    zone = f->list->zone;

    if (zone->not_fitted) {
        fault = NGX_JD_FAULT_FULL;

    } else if (zone->forged) {
        fault = NGX_JD_FAULT_FORGED;

    } else {
        fault = NGX_JD_FAULT_NONE;
    }

    zone->fault = fault;
    zone->follow_state = NGX_JD_FOLLOW_TAILING;

    ngx_jd_link_proven(f->link);
}


static void
ngx_jd_follow_step(ngx_jd_follow_t *f)
{
    switch (f->phase) {

    case NGX_JD_PHASE_LOAD:
        ngx_jd_follow_load(f);
        return;

    case NGX_JD_PHASE_TAIL:

        if (f->meta_new) {
            ngx_jd_follow_tail(f);

        } else if (!f->asked) {
            ngx_jd_follow_ask_changes(f);
        }

        return;

    default:
        return;
    }
}


/* Keeps the pages in flight; the buckets that change meanwhile are mended. */

static void
ngx_jd_follow_load(ngx_jd_follow_t *f)
{
    ngx_uint_t      i, busy;
    ngx_jd_page_t  *page;

    busy = 0;

    for (i = 0; i < NGX_JD_PAGES; i++) {
        page = &f->page[i];

        if (!page->used) {
            if (f->bucket == f->buckets) {
                continue;
            }

            page->follow = f;
            page->bucket = f->bucket++;
            page->cursor[0] = '0';
            page->cursor[1] = '\0';
            page->used = 1;
        }

        if (!page->asked && ngx_jd_follow_ask_page(f, page) != NGX_OK) {
            return;
        }

        busy = 1;
    }

    if (!busy) {
        f->phase = NGX_JD_PHASE_TAIL;
        f->meta_new = 0;
        ngx_jd_follow_ask_changes(f);
    }
}


/* An XREAD and the HMGET behind it are in: where does that leave us? */

static void
ngx_jd_follow_tail(ngx_jd_follow_t *f)
{
    f->meta_new = 0;

    if (f->meta.era != f->era) {
        ngx_log_error(NGX_LOG_NOTICE, f->list->log, 0,
                      "jd list \"%V\": era %uL follows %uL",
                      &f->list->name, f->meta.era, f->era);

        ngx_jd_follow_post(f, NGX_JD_PHASE_BEGIN);
        return;
    }

    if (f->anew || f->meta.last_id < f->last) {
        ngx_jd_follow_gap(f);
        return;
    }

    if (f->meta.last_id > f->last) {

        /* once it may have come between the two; twice it is not there */

        if (f->nothing && f->missed) {
            ngx_jd_follow_gap(f);
            return;
        }

        f->missed = f->nothing;
        ngx_jd_follow_ask_changes(f);
        return;
    }

    f->missed = 0;

    if (f->published) {
        ngx_jd_follow_settled(f);
        ngx_jd_follow_ask_changes(f);
        return;
    }

    if (ngx_jd_follow_complete(f)) {
        ngx_jd_follow_post(f, NGX_JD_PHASE_PUBLISH);
        return;
    }

    if (!(f->link->told & (1u << NGX_JD_FAULT_GAP))) {
        ngx_log_error(NGX_LOG_ERR, f->list->log, 0,
                      "jd list \"%V\": meta counts %uL digests, %uL were read",
                      &f->list->name, f->meta.count, f->seen);
    }

    ngx_jd_link_close(f->link, NGX_JD_FAULT_GAP);
}


/*
 * The digests read, against the count of meta at the last change.  A change
 * while the load ran makes a difference of at most one.
 */

static ngx_uint_t
ngx_jd_follow_complete(ngx_jd_follow_t *f)
{
    uint64_t  differ;

    differ = f->seen > f->meta.count ? f->seen - f->meta.count
                                     : f->meta.count - f->seen;

    return differ <= f->changes;
}


/* Loads anew at once; in a load already, after a back-off. */

static void
ngx_jd_follow_gap(ngx_jd_follow_t *f)
{
    ngx_jd_zone_t  *zone;

    zone = f->list->zone;
    zone->gaps++;

    f->anew = 1;

    if (!f->published) {
        ngx_jd_link_close(f->link, NGX_JD_FAULT_GAP);
        return;
    }

    zone->fault = NGX_JD_FAULT_GAP;

    ngx_log_error(NGX_LOG_WARN, f->list->log, 0,
                  "jd list \"%V\": %s after %uL-%uL, loading anew",
                  &f->list->name, ngx_jd_fault_texts[NGX_JD_FAULT_GAP],
                  f->era, f->last);

    ngx_jd_follow_post(f, NGX_JD_PHASE_BEGIN);
}


/* The phase's work is done in a slice of a later turn. */

static void
ngx_jd_follow_post(ngx_jd_follow_t *f, ngx_jd_phase_e phase)
{
    f->phase = phase;

    if (!f->work.posted) {
        ngx_post_event(&f->work, &ngx_posted_next_events);
    }
}


static ngx_int_t
ngx_jd_follow_ask_meta(ngx_jd_follow_t *f)
{
    size_t       len[2 + JD_META_FIELDS];
    ngx_uint_t   i;
    const char  *argv[2 + JD_META_FIELDS];

    argv[0] = "HMGET";
    argv[1] = f->meta_key;

    for (i = 0; i < JD_META_FIELDS; i++) {
        argv[2 + i] = jd_meta_fields[i];
    }

    for (i = 0; i < 2 + JD_META_FIELDS; i++) {
        len[i] = ngx_strlen(argv[i]);
    }

    return ngx_jd_link_send(f->link, ngx_jd_follow_on_meta, f, NGX_JD_WAIT_MS,
                            2 + JD_META_FIELDS, argv, len);
}


static ngx_int_t
ngx_jd_follow_ask_page(ngx_jd_follow_t *f, ngx_jd_page_t *page)
{
    char         key[JD_REDIS_NAME_MAX];
    size_t       len[5];
    const char  *argv[5];

    argv[0] = "HSCAN";
    len[0] = sizeof("HSCAN") - 1;
    argv[1] = key;
    len[1] = jd_redis_bucket(key, f->name, f->era, page->bucket);
    argv[2] = page->cursor;
    len[2] = ngx_strlen(page->cursor);
    argv[3] = "COUNT";
    len[3] = sizeof("COUNT") - 1;
    argv[4] = NGX_JD_PAGE_COUNT;
    len[4] = sizeof(NGX_JD_PAGE_COUNT) - 1;

    page->asked = 1;

    return ngx_jd_link_send(f->link, ngx_jd_follow_on_page, page,
                            NGX_JD_WAIT_MS, 5, argv, len);
}


/*
 * Redis answers the HMGET when the XREAD has ended, so that meta is of the
 * moment after the changes.  A load that is not published yet does not wait.
 */

static void
ngx_jd_follow_ask_changes(ngx_jd_follow_t *f)
{
    char         id[2 * NGX_INT64_LEN + 2];
    size_t       len[8];
    ngx_uint_t   i, n;
    const char  *argv[8];

    f->asked = 1;

    *ngx_sprintf((u_char *) id, "%uL-%uL", f->era, f->last) = '\0';

    n = 0;
    argv[n++] = "XREAD";
    argv[n++] = "COUNT";
    argv[n++] = NGX_JD_CHANGES_COUNT;

    if (f->published) {
        argv[n++] = "BLOCK";
        argv[n++] = NGX_JD_BLOCK_MS;
    }

    argv[n++] = "STREAMS";
    argv[n++] = f->changes_key;
    argv[n++] = id;

    for (i = 0; i < n; i++) {
        len[i] = ngx_strlen(argv[i]);
    }

    if (ngx_jd_link_send(f->link, ngx_jd_follow_on_changes, f,
                         NGX_JD_BLOCK_WAIT_MS, n, argv, len)
        == NGX_OK)
    {
        (void) ngx_jd_follow_ask_meta(f);
    }
}


static void
ngx_jd_follow_on_meta(redisAsyncContext *ac, void *reply, void *data)
{
    ngx_jd_fault_e    fault;
    ngx_jd_follow_t  *f;

    if (ngx_jd_link_heard(ac, reply) == NULL) {
        return;
    }

    f = data;

    fault = ngx_jd_reply_meta(f->list, reply, &f->meta, &f->key);

    if (fault == NGX_JD_FAULT_NONE
        && ngx_jd_zone_fresh(f->list, &f->meta) != NGX_OK)
    {
        fault = NGX_JD_FAULT_BEHIND;
    }

    if (fault != NGX_JD_FAULT_NONE) {
        ngx_jd_link_close(f->link, fault);
        return;
    }

    if (f->phase == NGX_JD_PHASE_META) {
        ngx_jd_follow_post(f, NGX_JD_PHASE_BEGIN);
        return;
    }

    f->asked = 0;
    f->meta_new = 1;
    ngx_jd_follow_post(f, f->phase);
}


static void
ngx_jd_follow_on_page(redisAsyncContext *ac, void *reply, void *data)
{
    size_t            i;
    redisReply       *r, *cursor, *fields;
    ngx_jd_page_t    *page;
    ngx_jd_follow_t  *f;

    if (ngx_jd_link_heard(ac, reply) == NULL) {
        return;
    }

    page = data;
    f = page->follow;
    r = reply;

    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2) {
        ngx_jd_link_close(f->link, ngx_jd_reply_fault(r));
        return;
    }

    cursor = r->element[0];
    fields = r->element[1];

    if (cursor->type != REDIS_REPLY_STRING || cursor->len == 0
        || cursor->len >= sizeof(page->cursor)
        || fields->type != REDIS_REPLY_ARRAY || fields->elements % 2
        || fields->elements > 2 * NGX_JD_PAGE_MAX)
    {
        ngx_jd_link_close(f->link, NGX_JD_FAULT_PROTOCOL);
        return;
    }

    for (i = 0; i < fields->elements; i += 2) {
        ngx_jd_follow_put(f, fields->element[i], fields->element[i + 1]);
    }

    f->seen += fields->elements / 2;

    ngx_memcpy(page->cursor, cursor->str, cursor->len);
    page->cursor[cursor->len] = '\0';
    page->asked = 0;
    page->used = ngx_strcmp(page->cursor, "0") != 0;

    ngx_jd_follow_post(f, f->phase);
}


static void
ngx_jd_follow_on_changes(redisAsyncContext *ac, void *reply, void *data)
{
    size_t            i;
    redisReply       *r, *entries;
    ngx_jd_follow_t  *f;

    if (ngx_jd_link_heard(ac, reply) == NULL) {
        return;
    }

    f = data;
    r = reply;

    f->nothing = r->type == REDIS_REPLY_NIL;

    if (f->nothing) {
        return;
    }

    /* one stream: [[name, entries]] */

    if (r->type != REDIS_REPLY_ARRAY || r->elements != 1) {
        ngx_jd_link_close(f->link, ngx_jd_reply_fault(r));
        return;
    }

    r = r->element[0];

    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2
        || r->element[1]->type != REDIS_REPLY_ARRAY
        || r->element[1]->elements > NGX_JD_CHANGES_MAX)
    {
        ngx_jd_link_close(f->link, NGX_JD_FAULT_PROTOCOL);
        return;
    }

    entries = r->element[1];

    for (i = 0; i < entries->elements; i++) {
        if (ngx_jd_follow_change(f, entries->element[i]) != NGX_OK) {
            /* the rest is of no use; the meta behind it begins a load */
            f->anew = 1;
            return;
        }
    }
}


/* [id, [name, value, ...]]; NGX_DECLINED when it is not the next of our era. */

static ngx_int_t
ngx_jd_follow_change(ngx_jd_follow_t *f, redisReply *entry)
{
    size_t       i;
    uint64_t     era, n;
    redisReply  *fields, *digest, *record;

    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2
        || entry->element[1]->type != REDIS_REPLY_ARRAY
        || ngx_jd_follow_change_id(entry->element[0], &era, &n) != NGX_OK
        || era != f->era || n != f->last + 1)
    {
        return NGX_DECLINED;
    }

    fields = entry->element[1];
    digest = NULL;
    record = NULL;

    for (i = 0; i + 1 < fields->elements; i += 2) {

        if (ngx_jd_follow_is_text(fields->element[i], "d")) {
            digest = fields->element[i + 1];

        } else if (ngx_jd_follow_is_text(fields->element[i], "r")) {
            record = fields->element[i + 1];
        }
    }

    if (digest == NULL || record == NULL) {
        return NGX_DECLINED;
    }

    ngx_jd_follow_put(f, digest, record);

    f->last = n;
    f->changes++;

    return NGX_OK;
}


/* "<era>-<n>" */

static ngx_int_t
ngx_jd_follow_change_id(redisReply *id, uint64_t *era, uint64_t *n)
{
    u_char    *p, *dash, *last;
    ngx_int_t  value;

    if (id->type != REDIS_REPLY_STRING) {
        return NGX_ERROR;
    }

    p = (u_char *) id->str;
    last = p + id->len;

    dash = ngx_strlchr(p, last, '-');
    if (dash == NULL) {
        return NGX_ERROR;
    }

    value = ngx_atoi(p, dash - p);
    if (value == NGX_ERROR) {
        return NGX_ERROR;
    }

    *era = (uint64_t) value;

    value = ngx_atoi(dash + 1, last - dash - 1);
    if (value == NGX_ERROR) {
        return NGX_ERROR;
    }

    *n = (uint64_t) value;

    return NGX_OK;
}


static ngx_uint_t
ngx_jd_follow_is_text(redisReply *reply, const char *text)
{
    return reply->type == REDIS_REPLY_STRING
           && reply->len == ngx_strlen(text)
           && ngx_memcmp(reply->str, text, reply->len) == 0;
}


/*
 * Verifies one record and queues it; an empty one takes the digest out.  Room
 * is certain: nothing is asked for before the queue is empty.
 */

static void
ngx_jd_follow_put(ngx_jd_follow_t *f, redisReply *digest, redisReply *record)
{
    ngx_jd_item_t  *item;

    if (f->item == f->nitems) {
        f->item = 0;
        f->nitems = 0;
    }

    item = &f->items[f->nitems++];
    item->what = NGX_JD_ITEM_SKIP;

    if (digest->type == REDIS_REPLY_STRING && digest->len == JD_DIGEST_LEN
        && record->type == REDIS_REPLY_STRING)
    {
        ngx_memcpy(item->digest, digest->str, JD_DIGEST_LEN);

        if (record->len == 0) {
            item->what = NGX_JD_ITEM_REMOVE;
            return;
        }

        if (jd_record_measures(f->key, item->digest, f->era,
                               (uint8_t *) record->str, record->len,
                               &item->measures)
            == JD_RECORD_OK)
        {
            item->what = item->measures ? NGX_JD_ITEM_PUT
                                        : NGX_JD_ITEM_REMOVE;
            return;
        }
    }

    f->list->zone->forged++;

    if (!f->forged) {
        f->forged = 1;
        ngx_log_error(NGX_LOG_ERR, f->list->log, 0,
                      "jd list \"%V\": %s, they are not loaded",
                      &f->list->name,
                      ngx_jd_fault_texts[NGX_JD_FAULT_FORGED]);
    }
}


static void
ngx_jd_follow_link_up(ngx_jd_link_t *link)
{
    ngx_jd_follow_t  *f;

    f = link->data;

    if (f->connected) {
        f->list->zone->reconnects++;
    }

    f->connected = 1;
    f->phase = NGX_JD_PHASE_META;

    (void) ngx_jd_follow_ask_meta(f);
}


/* What was queued is dropped; the zone knows how far it has got. */

static void
ngx_jd_follow_link_down(ngx_jd_link_t *link)
{
    ngx_jd_zone_t    *zone;
    ngx_jd_follow_t  *f;

    f = link->data;
    zone = f->list->zone;

    f->phase = NGX_JD_PHASE_IDLE;
    f->asked = 0;
    f->item = 0;
    f->nitems = 0;
    f->published = 0;
    f->sweeping = 0;

    if (f->work.posted) {
        ngx_delete_posted_event(&f->work);
    }

    if (ngx_jd_zone_writer_is_mine(f->list)) {
        zone->fault = link->fault;
        zone->follow_state = NGX_JD_FOLLOW_WAITING;
    }
}


static uint64_t
ngx_jd_follow_usec(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
