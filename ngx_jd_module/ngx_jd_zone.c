
/*
 * ngx_jd_zone.c - the shared memory of a list: how it is made, and what any
 * process may do to it.
 */


#include "ngx_jd_zone.h"

#include <time.h>


/* a change of either is another NGX_JD_ZONE_LAYOUT */

_Static_assert(sizeof(ngx_jd_counters_t)
               == (JD_MEASURE_N * JD_REASON_N * NGX_JD_OUTCOMES + 4) * 8,
               "words only: slots are summed word by word");
_Static_assert(sizeof(ngx_jd_brake_zone_t) == 64 + NGX_JD_BRAKE_BITS / 8,
               "layout 2");
_Static_assert(sizeof(ngx_jd_zone_t)
               == 288 + NGX_JD_LIFT_N * (NGX_JD_LIFT_BUCKETS + 1) * 8
                  + JD_MEASURE_N * sizeof(ngx_jd_brake_zone_t), "layout 2");


static ngx_int_t ngx_jd_zone_init(ngx_shm_zone_t *shm_zone, void *data);
static ngx_int_t ngx_jd_zone_create(ngx_shm_zone_t *shm_zone,
    ngx_jd_list_t *list);
static ngx_int_t ngx_jd_zone_name(ngx_pool_t *pool, ngx_jd_list_t *list,
    ngx_str_t *name);
static void ngx_jd_zone_raise(_Atomic int64_t *word, int64_t value);


/* configuration and processes */


ngx_int_t
ngx_jd_zone_add(ngx_conf_t *cf, ngx_jd_list_t *list)
{
    ngx_str_t        name;
    ngx_shm_zone_t  *shm_zone;

    if (list->zone_size < NGX_JD_ZONE_MIN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"zone\" of list \"%V\" is too small, "
                           "it must be at least %uzk",
                           &list->name, (size_t) NGX_JD_ZONE_MIN / 1024);
        return NGX_ERROR;
    }

    if (ngx_jd_zone_name(cf->pool, list, &name) != NGX_OK) {
        return NGX_ERROR;
    }

    shm_zone = ngx_shared_memory_add(cf, &name, list->zone_size,
                                     &ngx_jd_module);
    if (shm_zone == NULL) {
        return NGX_ERROR;
    }

    shm_zone->init = ngx_jd_zone_init;
    shm_zone->data = list;

    list->shm_zone = shm_zone;

    return NGX_OK;
}


/*
 * Under another layout or another first key nginx finds no zone of this name
 * and makes a fresh one: "unready" until loaded, never read the wrong way.
 */

static ngx_int_t
ngx_jd_zone_name(ngx_pool_t *pool, ngx_jd_list_t *list, ngx_str_t *name)
{
    size_t           len;
    const jd_key_t  *key;

    key = &list->keys->key[0];

    len = sizeof("jd____") - 1 + list->name.len + NGX_INT_T_LEN
          + ngx_strlen(key->id) + ngx_strlen(key->check);

    name->data = ngx_pnalloc(pool, len);
    if (name->data == NULL) {
        return NGX_ERROR;
    }

    name->len = ngx_sprintf(name->data, "jd_%V_%ui_%s_%s", &list->name,
                            (ngx_uint_t) NGX_JD_ZONE_LAYOUT,
                            key->id, key->check)
                - name->data;

    return NGX_OK;
}


static ngx_int_t
ngx_jd_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_jd_list_t    *list = shm_zone->data;

    ngx_jd_zone_t    *zone;
    ngx_slab_pool_t  *shpool;

    if (data) {

        /*
         * kept over a reload, and workers use it: nothing may be written,
         * the more so as this reload may still fail
         */

        return NGX_OK;
    }

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (shm_zone->shm.exists) {
        zone = shpool->data;

        if (zone == NULL
            || zone->magic != NGX_JD_ZONE_MAGIC
            || zone->layout != NGX_JD_ZONE_LAYOUT)
        {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "shared memory of list \"%V\" holds something else",
                          &list->name);
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    return ngx_jd_zone_create(shm_zone, list);
}


/*
 * Only the header is written: "nginx -t" maps each zone too, and a fresh
 * mapping is all zero, which is an empty table.
 */

static ngx_int_t
ngx_jd_zone_create(ngx_shm_zone_t *shm_zone, ngx_jd_list_t *list)
{
    size_t            len, size;
    ngx_jd_zone_t    *zone;
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    len = sizeof(" in zone of list \"\"") + list->name.len;

    shpool->log_ctx = ngx_slab_alloc(shpool, len);
    if (shpool->log_ctx == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(shpool->log_ctx, " in zone of list \"%V\"%Z", &list->name);

    /* all the rest as one block: whole pages, so 64-byte aligned */

    size = shpool->pfree * ngx_pagesize;

    zone = ngx_slab_alloc(shpool, size);
    if (zone == NULL) {
        return NGX_ERROR;
    }

#if (NGX_DEBUG_MALLOC)
    ngx_memzero(zone, size);            /* ngx_slab_init() left junk in it */
#endif

    zone->layout = NGX_JD_ZONE_LAYOUT;
    zone->slots = NGX_JD_SLOTS;
    zone->size = size;
    zone->counters_off = ngx_align(sizeof(ngx_jd_zone_t), NGX_JD_ZONE_ALIGN);
    zone->lines_off = zone->counters_off
                      + NGX_JD_SLOTS * NGX_JD_COUNTERS_STRIDE;
    zone->lines = jd_table_lines_for(size - zone->lines_off);
    zone->magic = NGX_JD_ZONE_MAGIC;

    shpool->data = zone;

    return NGX_OK;
}


void
ngx_jd_zone_attach(ngx_jd_list_t *list)
{
    u_char         *base;
    ngx_jd_zone_t  *zone;

    zone = ngx_jd_zone_slab(list)->data;
    base = (u_char *) zone;

    list->zone = zone;
    list->table.line = (jd_table_line_t *) (base + zone->lines_off);
    list->table.lines = zone->lines;
    list->counters = (ngx_jd_counters_t *)
                         (base + zone->counters_off
                          + ngx_worker % NGX_JD_SLOTS * NGX_JD_COUNTERS_STRIDE);

    ngx_jd_brake_attach(list);
    ngx_jd_clock_attach(list);
}


/* short writes of any process */


ngx_int_t
ngx_jd_zone_trylock(ngx_jd_list_t *list)
{
    return ngx_shmtx_trylock(&ngx_jd_zone_slab(list)->mutex) ? NGX_OK
                                                             : NGX_DECLINED;
}


void
ngx_jd_zone_unlock(ngx_jd_list_t *list)
{
    ngx_shmtx_unlock(&ngx_jd_zone_slab(list)->mutex);
}


/* freshness */


ngx_int_t
ngx_jd_zone_fresh(ngx_jd_list_t *list, const jd_meta_t *m)
{
    uint64_t        mark, seen;
    ngx_jd_zone_t  *zone;

    zone = list->zone;
    mark = jd_relief_mark(m->epoch, m->relief_seq);
    seen = ngx_jd_get(&zone->relief_mark);

    do {
        if (mark < seen) {
            return NGX_DECLINED;
        }

    } while (!atomic_compare_exchange_weak(&zone->relief_mark, &seen, mark));

    ngx_jd_brake_released(list, m);

    ngx_jd_zone_raise(&zone->verified_at, m->verified_at);
    ngx_jd_zone_raise(&zone->beat, m->beat);

    if (m->office_at > 0) {
        ngx_jd_zone_raise(&zone->office_offset,
                          m->office_at - ngx_jd_zone_boot_msec() / 1000);
        ngx_jd_clock_keep(list, ngx_jd_get(&zone->office_offset));
    }

    return NGX_OK;
}


void
ngx_jd_zone_clocks(ngx_jd_list_t *list, jd_clocks_t *clocks)
{
    int64_t         offset;
    ngx_jd_zone_t  *zone;

    zone = list->zone;
    offset = ngx_jd_get(&zone->office_offset);

    clocks->now = ngx_time();
    clocks->office_now = offset ? offset + ngx_jd_zone_boot_msec() / 1000 : 0;
    clocks->verified_at = ngx_jd_get(&zone->verified_at);
    clocks->max_stale = list->max_stale;
}


/* counts suspend too, unlike ngx_current_msec; a vDSO read */

int64_t
ngx_jd_zone_boot_msec(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


static void
ngx_jd_zone_raise(_Atomic int64_t *word, int64_t value)
{
    int64_t  old;

    old = ngx_jd_get(word);

    while (old < value && !atomic_compare_exchange_weak(word, &old, value)) {
        /* old was read again */
    }
}
