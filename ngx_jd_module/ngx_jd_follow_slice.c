
/*
 * ngx_jd_follow_slice.c - what the follower writes to the zone in one turn of
 * the event loop: at most NGX_JD_SLICE entries and for about
 * NGX_JD_SLICE_USEC.
 */


#include "ngx_jd_follow.h"

#include <time.h>


#define NGX_JD_SLICE             1024
#define NGX_JD_SLICE_USEC        700
#define NGX_JD_SLICE_CHECK       64      /* entries from look to look */
#define NGX_JD_SWEEP_LINES       2048


static ngx_uint_t ngx_jd_follow_apply(ngx_jd_follow_t *f);
static void ngx_jd_follow_lifts(ngx_jd_follow_t *f);
static void ngx_jd_follow_begin(ngx_jd_follow_t *f);
static ngx_uint_t ngx_jd_follow_resumable(ngx_jd_follow_t *f);
static void ngx_jd_follow_publish(ngx_jd_follow_t *f);
static uint64_t ngx_jd_follow_usec(void);


ngx_int_t
ngx_jd_follow_slice(ngx_jd_follow_t *f)
{
    ngx_int_t   rc;
    ngx_uint_t  more;

    rc = ngx_jd_zone_slice_begin(f->list);
    if (rc != NGX_OK) {
        return rc;
    }

    more = ngx_jd_follow_apply(f);

    ngx_jd_follow_lifts(f);

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


/* As many as one reply has, a few words each. */

static void
ngx_jd_follow_lifts(ngx_jd_follow_t *f)
{
    ngx_uint_t  i;

    for (i = 0; i < f->nlifts; i++) {
        ngx_jd_zone_lift(f->list, &f->lifts[i]);
    }

    f->nlifts = 0;
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

        f->lift_ms = zone->lift_ms;
        f->lift_seq = zone->lift_seq;
        f->lifts_known = (f->lift_ms != 0);

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
    f->lifts_known = 0;

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


static uint64_t
ngx_jd_follow_usec(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
