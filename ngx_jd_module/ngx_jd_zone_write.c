
/*
 * ngx_jd_zone_write.c - how the one writer changes the shared memory of a list.
 */


#include "ngx_jd_zone.h"


/* marks 1..15; the sweep keeps that of the published load */
#define ngx_jd_zone_mark(load)  ((unsigned) ((load) % JD_TABLE_MARKS + 1))


static void ngx_jd_zone_set_key(ngx_jd_zone_t *zone, const jd_meta_t *m);
static uint64_t ngx_jd_zone_pack_norm(const jd_normalisers_t *norm);


const uint64_t  ngx_jd_lift_bounds[NGX_JD_LIFT_BUCKETS - 1] = {
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000, 60000,
    300000, 3600000, 86400000, 604800000
};


const char *const  ngx_jd_lift_names[NGX_JD_LIFT_N] = {
    "act", "signed", "applied"
};


void
ngx_jd_zone_writer_claim(ngx_jd_list_t *list)
{
    /* the stamp tells a new process apart from a dead one of the same pid */

    list->writer = (uint64_t) ngx_pid << 32
                   | (uint32_t) ngx_jd_zone_boot_msec();
    list->sweep_pos = 0;

    ngx_jd_set(&list->zone->writer, list->writer);
}


ngx_uint_t
ngx_jd_zone_writer_is_mine(ngx_jd_list_t *list)
{
    return list->writer != 0
           && ngx_jd_get(&list->zone->writer) == list->writer;
}


void
ngx_jd_zone_writer_give_up(ngx_jd_list_t *list)
{
    uint64_t  mine;

    mine = list->writer;
    list->writer = 0;

    if (mine != 0) {
        atomic_compare_exchange_strong(&list->zone->writer, &mine, 0);
    }
}


/*
 * The mutex is the slab's, the only one that the master releases for a worker
 * that died with it.  It orders the slices of two writers that overlap: whoever
 * holds it after a claim either is the new writer or sees the claim.
 */

ngx_int_t
ngx_jd_zone_slice_begin(ngx_jd_list_t *list)
{
    ngx_slab_pool_t  *shpool;

    shpool = ngx_jd_zone_slab(list);

    if (!ngx_shmtx_trylock(&shpool->mutex)) {
        return NGX_AGAIN;
    }

    if (!ngx_jd_zone_writer_is_mine(list)) {
        ngx_shmtx_unlock(&shpool->mutex);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


void
ngx_jd_zone_slice_end(ngx_jd_list_t *list)
{
    ngx_shmtx_unlock(&ngx_jd_zone_slab(list)->mutex);
}


ngx_uint_t
ngx_jd_zone_resumable(ngx_jd_list_t *list)
{
    uint64_t        published;
    ngx_jd_zone_t  *zone;

    zone = list->zone;
    published = ngx_jd_get(&zone->published);

    return published != 0 && published == ngx_jd_get(&zone->load);
}


void
ngx_jd_zone_load_begin(ngx_jd_list_t *list)
{
    uint64_t        load, published;
    ngx_jd_zone_t  *zone;

    zone = list->zone;
    published = ngx_jd_get(&zone->published);
    load = ngx_jd_get(&zone->load);

    /* loads that failed must not bring the mark round to that in use */

    do {
        load++;
    } while (published != 0
             && ngx_jd_zone_mark(load) == ngx_jd_zone_mark(published));

    ngx_jd_set(&zone->load, load);
    ngx_jd_set(&zone->not_fitted, 0);
    ngx_jd_set(&zone->forged, 0);

    list->load_start = ngx_current_msec;
}


ngx_int_t
ngx_jd_zone_put(ngx_jd_list_t *list, const u_char digest[JD_DIGEST_LEN],
    uint16_t measures)
{
    uint64_t        n;
    ngx_jd_zone_t  *zone;

    zone = list->zone;

    switch (jd_table_put(&list->table, digest, measures,
                         ngx_jd_zone_mark(ngx_jd_get(&zone->load))))
    {
    case JD_TABLE_PUT_NEW:
        ngx_jd_set(&zone->count, ngx_jd_get(&zone->count) + 1);
        return NGX_OK;

    case JD_TABLE_PUT_SAME:
        return NGX_OK;

    default: /* JD_TABLE_FULL */
        break;
    }

    n = ngx_jd_get(&zone->not_fitted);
    ngx_jd_set(&zone->not_fitted, n + 1);

    if (n == 0) {
        ngx_log_error(NGX_LOG_ERR, list->log, 0,
                      "\"zone\" of list \"%V\" is full, what does not fit is "
                      "not enforced; it was made for %uL entries",
                      &list->name, jd_table_capacity(zone->lines));
    }

    return NGX_DECLINED;
}


void
ngx_jd_zone_remove(ngx_jd_list_t *list, const u_char digest[JD_DIGEST_LEN])
{
    uint64_t        count;
    ngx_jd_zone_t  *zone;

    zone = list->zone;

    if (jd_table_remove(&list->table, digest) == 0) {
        return;
    }

    count = ngx_jd_get(&zone->count);

    if (count > 0) {
        ngx_jd_set(&zone->count, count - 1);
    }
}


void
ngx_jd_zone_applied(ngx_jd_list_t *list, uint64_t n)
{
    ngx_jd_set(&list->zone->last_id, n);
}


void
ngx_jd_zone_publish(ngx_jd_list_t *list, const jd_meta_t *m)
{
    ngx_jd_zone_t  *zone;

    zone = list->zone;

    ngx_jd_zone_set_key(zone, m);

    ngx_jd_set(&zone->era, m->era);
    ngx_jd_set(&zone->last_id, m->last_id);
    ngx_jd_set(&zone->count, m->count);
    ngx_jd_set(&zone->loads, ngx_jd_get(&zone->loads) + 1);
    ngx_jd_set(&zone->loaded_at, (int64_t) ngx_time());
    ngx_jd_set(&zone->load_msec,
               (uint64_t) (ngx_current_msec - list->load_start));

    /* release: who sees the number sees key and table */

    atomic_store_explicit(&zone->published, ngx_jd_get(&zone->load),
                          memory_order_release);

    list->sweep_pos = 0;
}


/*
 * Readers copy the key's text without a lock, so while it changes nothing is
 * published; a writer killed in between leaves a list that is "unready".
 */

static void
ngx_jd_zone_set_key(ngx_jd_zone_t *zone, const jd_meta_t *m)
{
    uint64_t  norm;

    norm = ngx_jd_zone_pack_norm(&m->norm);

    if (ngx_strcmp(zone->key_id, m->key_id) == 0
        && ngx_strcmp(zone->key_check, m->key_check) == 0
        && ngx_jd_get(&zone->norm) == norm)
    {
        return;
    }

    ngx_jd_set(&zone->published, 0);
    atomic_thread_fence(memory_order_release);

    ngx_memcpy(zone->key_id, m->key_id, sizeof(zone->key_id));
    ngx_memcpy(zone->key_check, m->key_check, sizeof(zone->key_check));
    ngx_jd_set(&zone->norm, norm);
}


static uint64_t
ngx_jd_zone_pack_norm(const jd_normalisers_t *norm)
{
    uint64_t    packed;
    ngx_uint_t  i;

    packed = 0;

    for (i = 0; i < JD_SCHEME_N; i++) {
        packed |= (uint64_t) norm->flags[i] << 8 * i;
    }

    return packed;
}


ngx_int_t
ngx_jd_zone_sweep(ngx_jd_list_t *list, ngx_uint_t lines)
{
    uint64_t  keep;

    if (list->sweep_pos < list->table.lines) {
        keep = ngx_jd_get(&list->zone->load);

        jd_table_sweep(&list->table, &list->sweep_pos, lines,
                       ngx_jd_zone_mark(keep));
    }

    return list->sweep_pos < list->table.lines ? NGX_AGAIN : NGX_OK;
}


void
ngx_jd_zone_lift(ngx_jd_list_t *list, const ngx_jd_lift_t *lift)
{
    int64_t              took;
    ngx_uint_t           i, n;
    ngx_jd_zone_t       *zone;
    ngx_jd_lift_zone_t  *h;

    zone = list->zone;

    if (!lift->skip
        && (lift->ms < ngx_jd_get(&zone->lift_ms)
            || (lift->ms == ngx_jd_get(&zone->lift_ms)
                && lift->seq <= ngx_jd_get(&zone->lift_seq))))
    {
        return;
    }

    for (i = 0; i < NGX_JD_LIFT_N; i++) {

        if (lift->since[i] <= 0) {
            continue;
        }

        h = &zone->lift[i];
        took = ngx_max(lift->seen - lift->since[i], 0);

        for (n = 0; n < NGX_JD_LIFT_BUCKETS - 1; n++) {
            if ((uint64_t) took <= ngx_jd_lift_bounds[n]) {
                break;
            }
        }

        ngx_jd_set(&h->bucket[n], ngx_jd_get(&h->bucket[n]) + 1);
        ngx_jd_set(&h->sum, ngx_jd_get(&h->sum) + took);
    }

    ngx_jd_set(&zone->lift_seen_ms, lift->seen);
    ngx_jd_set(&zone->lift_seq, lift->seq);
    ngx_jd_set(&zone->lift_ms, lift->ms);
}
