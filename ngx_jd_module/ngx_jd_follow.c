
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
 * ngx_jd_follow_work(), a posted event, in slices (ngx_jd_follow_slice.c).
 *
 * What is asked first is applied last: meta names the last change before the
 * load began, and every change after it is applied over what was loaded.
 */


#include "ngx_jd_follow.h"
#include "ngx_jd_module.h"


static void ngx_jd_follow_stop(ngx_jd_follow_t *f);
static void ngx_jd_follow_work(ngx_event_t *ev);
static void ngx_jd_follow_step(ngx_jd_follow_t *f);
static void ngx_jd_follow_load(ngx_jd_follow_t *f);
static void ngx_jd_follow_tail(ngx_jd_follow_t *f);
static ngx_uint_t ngx_jd_follow_complete(ngx_jd_follow_t *f);
static ngx_uint_t ngx_jd_follow_fits_now(ngx_jd_follow_t *f);
static void ngx_jd_follow_gap(ngx_jd_follow_t *f);
static void ngx_jd_follow_link_up(ngx_jd_link_t *link);
static void ngx_jd_follow_link_down(ngx_jd_link_t *link);


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
    jd_redis_lifts(f->lifts_key, f->name);

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


/* Caught up: only what is wrong with the data itself still stands. */

void
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
            ngx_jd_fetch_changes(f);
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

        if (!page->asked && ngx_jd_fetch_page(f, page) != NGX_OK) {
            return;
        }

        busy = 1;
    }

    if (!busy) {
        f->phase = NGX_JD_PHASE_TAIL;
        f->meta_new = 0;
        ngx_jd_fetch_changes(f);
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
        ngx_jd_fetch_changes(f);
        return;
    }

    f->missed = 0;

    if (f->published) {

        if (ngx_jd_follow_fits_now(f)) {
            f->anew = 1;
            ngx_jd_link_close(f->link, NGX_JD_FAULT_FULL);
            return;
        }

        ngx_jd_follow_settled(f);
        ngx_jd_fetch_changes(f);
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


/*
 * What did not fit beside the entries of the era before, or before others were
 * removed, is found by another load.
 */

static ngx_uint_t
ngx_jd_follow_fits_now(ngx_jd_follow_t *f)
{
    return !f->sweeping
           && f->list->zone->not_fitted
           && f->meta.count <= jd_table_capacity(f->list->table.lines);
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

void
ngx_jd_follow_post(ngx_jd_follow_t *f, ngx_jd_phase_e phase)
{
    f->phase = phase;

    if (!f->work.posted) {
        ngx_post_event(&f->work, &ngx_posted_next_events);
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

    (void) ngx_jd_fetch_meta(f);
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
    f->nlifts = 0;
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
