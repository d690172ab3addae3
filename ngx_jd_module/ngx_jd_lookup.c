
/*
 * ngx_jd_lookup.c - the request's way through a list: digest, lookup, counters.
 * No I/O, no lock, no allocation; a system call only when the table hits.
 */


#include <ngx_config.h>
#include <ngx_core.h>

#include "ngx_jd_zone.h"


static const jd_key_t *ngx_jd_zone_key(ngx_jd_list_t *list);


ngx_int_t
ngx_jd_subject(ngx_jd_list_t *list, jd_scheme_t scheme, ngx_str_t *raw,
    u_char digest[JD_DIGEST_LEN])
{
    size_t           len;
    uint8_t          norm[JD_SUBJECT_MAX];
    const jd_key_t  *key;

    key = ngx_jd_zone_key(list);
    if (key == NULL) {
        return NGX_AGAIN;
    }

    switch (jd_subject_normalise(scheme, &list->norm, raw->data, raw->len,
                                 norm, &len))
    {
    case JD_SUBJECT_OK:
        break;

    case JD_SUBJECT_EMPTY:
    case JD_SUBJECT_OTHER:
        return NGX_DECLINED;

    default: /* JD_SUBJECT_MALFORMED */
        return NGX_ERROR;
    }

    jd_digest(key, scheme, norm, len, digest);

    return NGX_OK;
}


/*
 * The key of the published list, NULL when there is none or it is not ours.
 * A load may have brought another key, so it is read once per publication;
 * its text changes only while "published" is 0, and numbers never come back.
 */

static const jd_key_t *
ngx_jd_zone_key(ngx_jd_list_t *list)
{
    char            id[JD_KEY_ID_MAX + 1], check[sizeof(list->zone->key_check)];
    uint64_t        published, norm;
    ngx_uint_t      i;
    ngx_jd_zone_t  *zone;

    zone = list->zone;

    if (zone == NULL) {
        return NULL;
    }

    published = atomic_load_explicit(&zone->published, memory_order_acquire);

    if (published == 0) {
        return NULL;
    }

    if (published == list->key_published) {
        return list->key;
    }

    ngx_memcpy(id, zone->key_id, sizeof(id));
    ngx_memcpy(check, zone->key_check, sizeof(check));
    norm = atomic_load_explicit(&zone->norm, memory_order_relaxed);

    atomic_thread_fence(memory_order_acquire);

    if (atomic_load_explicit(&zone->published, memory_order_relaxed)
        != published)
    {
        return NULL;
    }

    list->key = jd_keys_find(list->keys, id, ngx_strlen(id),
                             check, ngx_strlen(check));

    for (i = 0; i < JD_SCHEME_N; i++) {
        list->norm.flags[i] = (uint8_t) (norm >> 8 * i);
    }

    list->key_published = published;

    return list->key;
}


jd_reason_t
ngx_jd_lookup(ngx_jd_list_t *list, const u_char digest[JD_DIGEST_LEN],
    ngx_uint_t measure_bit)
{
    jd_clocks_t     clocks;
    ngx_jd_zone_t  *zone;

    zone = list->zone;

    if (zone == NULL
        || atomic_load_explicit(&zone->published, memory_order_acquire) == 0)
    {
        return JD_REASON_UNREADY;
    }

    /* by nginx's cached time alone: a miss makes no system call */

    clocks.now = ngx_time();
    clocks.office_now = clocks.now;
    clocks.verified_at = atomic_load_explicit(&zone->verified_at,
                                              memory_order_relaxed);
    clocks.max_stale = list->max_stale;

    if (jd_policy_stale(&clocks)) {
        return JD_REASON_STALE;
    }

    if (jd_table_find(&list->table, digest, (uint16_t) (1u << measure_bit))
        == JD_TABLE_MISS)
    {
        return JD_REASON_CLEAR;
    }

    ngx_jd_zone_clocks(list, &clocks);

    return jd_policy_stale(&clocks) ? JD_REASON_STALE : JD_REASON_LISTED;
}


time_t
ngx_jd_list_age(ngx_jd_list_t *list)
{
    jd_clocks_t  clocks;

    if (list->zone == NULL) {
        return -1;
    }

    ngx_jd_zone_clocks(list, &clocks);

    if (clocks.verified_at <= 0) {
        return -1;
    }

    return jd_policy_age(&clocks);
}


void
ngx_jd_count(ngx_jd_list_t *list, ngx_uint_t measure_bit, jd_reason_t reason,
    ngx_uint_t outcome)
{
    if (list->counters) {
        ngx_jd_counter_add(
            &list->counters->decisions[measure_bit][reason][outcome], 1);
    }
}


void
ngx_jd_count_undecided(ngx_jd_list_t *list)
{
    if (list->counters) {
        ngx_jd_counter_add(&list->counters->undecided, 1);
    }
}


void
ngx_jd_counters(ngx_jd_list_t *list, ngx_jd_counters_t *out)
{
    u_char          *slot;
    uint64_t        *sum;
    ngx_uint_t       i, n;
    ngx_atomic_t    *word;

    ngx_memzero(out, sizeof(ngx_jd_counters_t));

    if (list->zone == NULL) {
        return;
    }

    sum = (uint64_t *) out;
    slot = (u_char *) list->zone + list->zone->counters_off;

    for (n = 0; n < NGX_JD_SLOTS; n++) {
        word = (ngx_atomic_t *) slot;

        for (i = 0; i < sizeof(ngx_jd_counters_t) / sizeof(uint64_t); i++) {
            sum[i] += word[i];
        }

        slot += NGX_JD_COUNTERS_STRIDE;
    }
}


uint64_t
ngx_jd_decided(ngx_jd_list_t *list, ngx_uint_t measure_bit)
{
    uint64_t            sum;
    ngx_uint_t          n, reason, outcome;
    ngx_jd_counters_t  *c;

    sum = 0;

    for (n = 0; n < NGX_JD_SLOTS; n++) {

        c = (ngx_jd_counters_t *) ((u_char *) list->zone
                                   + list->zone->counters_off
                                   + n * NGX_JD_COUNTERS_STRIDE);

        for (reason = JD_REASON_CLEAR; reason < JD_REASON_N; reason++) {
            for (outcome = 0; outcome < NGX_JD_OUTCOMES; outcome++) {
                sum += *(ngx_atomic_t *)
                           &c->decisions[measure_bit][reason][outcome];
            }
        }
    }

    return sum;
}
