
/*
 * ngx_jd_brake.c - the brake of a list and measure: when too large a share of
 * its decisions are denials, by distinct orders, nothing is denied any more
 * until an operator releases it.
 *
 * Only a denial looks here.  The decisions are those that the counters know;
 * the orders are counted by a bitmap: a bit that is set for the first time
 * while z of n are 0 stands for n / z orders, as n / z draws hit one of them
 * (Ting, "Streamed approximate counting of distinct elements", KDD 2014, for
 * linear counting).  A window begins with the first denial after the one
 * before has ended.
 */


#include "ngx_jd_zone.h"


/* the estimate is in 1/1000 orders */
#define NGX_JD_BRAKE_ORDER  1000


static void ngx_jd_brake_note(ngx_jd_list_t *list, ngx_uint_t measure_bit,
    ngx_str_t *order);
static ngx_int_t ngx_jd_brake_window(ngx_jd_list_t *list,
    ngx_uint_t measure_bit);
static void ngx_jd_brake_engage(ngx_jd_list_t *list, ngx_uint_t measure_bit,
    uint64_t distinct, uint64_t decided);
static void ngx_jd_brake_keep(ngx_jd_list_t *list, ngx_uint_t measure_bit,
    int64_t since);


ngx_uint_t
ngx_jd_brake(ngx_jd_list_t *list, ngx_uint_t measure_bit, ngx_str_t *order)
{
    ngx_jd_brake_zone_t  *bz;

    bz = &list->zone->brake[measure_bit];

    if (ngx_jd_get(&bz->since) == 0 && list->brake[measure_bit].window) {
        ngx_jd_brake_note(list, measure_bit, order);
    }

    return ngx_jd_get(&bz->since) != 0;
}


static void
ngx_jd_brake_note(ngx_jd_list_t *list, ngx_uint_t measure_bit,
    ngx_str_t *order)
{
    uint64_t              mask, ones, distinct, decided;
    ngx_uint_t            bit;
    ngx_jd_brake_t       *brake;
    ngx_jd_brake_zone_t  *bz;

    bz = &list->zone->brake[measure_bit];
    brake = &list->brake[measure_bit];

    if (ngx_jd_brake_window(list, measure_bit) != NGX_OK) {
        return;
    }

    bit = ngx_murmur_hash2(order->data, order->len) % NGX_JD_BRAKE_BITS;
    mask = (uint64_t) 1 << (bit % 64);

    if (atomic_fetch_or(&bz->bitmap[bit / 64], mask) & mask) {
        return;
    }

    ones = atomic_fetch_add(&bz->ones, 1);

    if (ones >= NGX_JD_BRAKE_BITS) {
        /* another process begins a window at this moment */
        return;
    }

    distinct = NGX_JD_BRAKE_ORDER * NGX_JD_BRAKE_BITS
               / (NGX_JD_BRAKE_BITS - ones);
    distinct += atomic_fetch_add(&bz->distinct, distinct);
    distinct /= NGX_JD_BRAKE_ORDER;

    /* the sum of the counters is needed only when it can decide */

    if (distinct * NGX_JD_BRAKE_WHOLE <= brake->rate * brake->min) {
        return;
    }

    /* this denial is not counted yet */

    decided = ngx_jd_decided(list, measure_bit) - ngx_jd_get(&bz->base) + 1;

    if (decided >= brake->min
        && distinct * NGX_JD_BRAKE_WHOLE > brake->rate * decided)
    {
        ngx_jd_brake_engage(list, measure_bit, distinct, decided);
    }
}


/*
 * NGX_OK: a window is open.  NGX_DECLINED: another process is just writing in
 * the zone; this denial is not counted.  `window` is written last: a process
 * killed in here leaves the old window, which the next denial ends again.
 */

static ngx_int_t
ngx_jd_brake_window(ngx_jd_list_t *list, ngx_uint_t measure_bit)
{
    int64_t               now;
    ngx_uint_t            i;
    ngx_jd_brake_t       *brake;
    ngx_jd_brake_zone_t  *bz;

    bz = &list->zone->brake[measure_bit];
    brake = &list->brake[measure_bit];

    /* seconds that go on whatever is done to the clock */
    now = ngx_jd_zone_boot_msec() / 1000;

    if (now - ngx_jd_get(&bz->window) < brake->window) {
        return NGX_OK;
    }

    if (ngx_jd_zone_trylock(list) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (now - ngx_jd_get(&bz->window) >= brake->window) {

        for (i = 0; i < NGX_JD_BRAKE_BITS / 64; i++) {
            ngx_jd_set(&bz->bitmap[i], 0);
        }

        ngx_jd_set(&bz->ones, 0);
        ngx_jd_set(&bz->distinct, 0);
        ngx_jd_set(&bz->base, ngx_jd_decided(list, measure_bit));

        atomic_store_explicit(&bz->window, now, memory_order_release);
    }

    ngx_jd_zone_unlock(list);

    return NGX_OK;
}


static void
ngx_jd_brake_engage(ngx_jd_list_t *list, ngx_uint_t measure_bit,
    uint64_t distinct, uint64_t decided)
{
    int64_t               none;
    ngx_jd_brake_zone_t  *bz;

    bz = &list->zone->brake[measure_bit];
    none = 0;

    if (!atomic_compare_exchange_strong(&bz->since, &none,
                                        (int64_t) ngx_time()))
    {
        return;
    }

    atomic_fetch_add(&bz->engaged, 1);
    ngx_jd_brake_keep(list, measure_bit, ngx_time());

    ngx_log_error(NGX_LOG_CRIT, list->log, 0,
                  "jd list \"%V\": BRAKED, nothing is denied for measure "
                  "\"%s\" any more: about %uL orders denied in %uL decisions; "
                  "look what is wrong with list or locations, then run "
                  "\"rcctl brake --release %s --reason TEXT\"",
                  &list->name, jd_measure_names[measure_bit], distinct, decided,
                  jd_measure_names[measure_bit]);
}


void
ngx_jd_brake_released(ngx_jd_list_t *list, const jd_meta_t *m)
{
    int64_t               since;
    ngx_uint_t            i;
    ngx_jd_brake_zone_t  *bz;

    for (i = 0; i < JD_MEASURE_N; i++) {

        bz = &list->zone->brake[i];
        since = ngx_jd_get(&bz->since);

        if (since == 0 || m->brakes[i] < since) {
            continue;
        }

        /* what was counted is no reason any more */

        ngx_jd_set(&bz->window, NGX_JD_BRAKE_NO_WINDOW);

        if (!atomic_compare_exchange_strong(&bz->since, &since, 0)) {
            continue;
        }

        ngx_jd_brake_keep(list, i, 0);

        ngx_log_error(NGX_LOG_NOTICE, list->log, 0,
                      "jd list \"%V\": the brake of measure \"%s\" is released",
                      &list->name, jd_measure_names[i]);
    }
}


/* A zone that is new takes what the ledger's file knows: a restart is none. */

void
ngx_jd_brake_attach(ngx_jd_list_t *list)
{
    int64_t           none;
    ngx_uint_t        i;
    jd_cells_list_t  *kept;

    if (list->ledger == NULL) {
        return;
    }

    kept = &list->ledger->cells.head->list[list->ledger_index];

    for (i = 0; i < JD_MEASURE_N; i++) {
        none = 0;
        (void) atomic_compare_exchange_strong(&list->zone->brake[i].since,
                                              &none, kept->braked[i]);
    }
}


/* The ledger's file outlives the zone. */

static void
ngx_jd_brake_keep(ngx_jd_list_t *list, ngx_uint_t measure_bit, int64_t since)
{
    if (list->ledger) {
        list->ledger->cells.head->list[list->ledger_index]
            .braked[measure_bit] = since;
    }
}
