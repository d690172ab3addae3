
/*
 * ngx_jd_fetch.c - what the follower asks of Redis: meta, pages of the buckets,
 * changes; checks what comes, and queues it for the follower's next slice.
 */


#include "ngx_jd_follow.h"

#include <hiredis/async.h>
#include <time.h>


#define NGX_JD_PAGE_COUNT        "512"

#define NGX_JD_CHANGES_COUNT     "512"
#define NGX_JD_CHANGES_MAX       512

#define NGX_JD_BLOCK_MS          "1000"  /* meta is read as often: freshness */
#define NGX_JD_BLOCK_WAIT_MS     3000
#define NGX_JD_WAIT_MS           2000

#define NGX_JD_TIME_MAX          ((ngx_int_t) 1 << 48)  /* of a lift */


static void ngx_jd_fetch_on_meta(redisAsyncContext *ac, void *reply,
    void *data);
static void ngx_jd_fetch_on_page(redisAsyncContext *ac, void *reply,
    void *data);
static void ngx_jd_fetch_on_changes(redisAsyncContext *ac, void *reply,
    void *data);
static void ngx_jd_fetch_lifts_end(ngx_jd_follow_t *f);
static void ngx_jd_fetch_on_lifts_end(redisAsyncContext *ac, void *reply,
    void *data);
static ngx_int_t ngx_jd_fetch_stream(ngx_jd_follow_t *f, redisReply *stream);
static ngx_int_t ngx_jd_fetch_change(ngx_jd_follow_t *f, redisReply *entry);
static void ngx_jd_fetch_lift(ngx_jd_follow_t *f, redisReply *entry,
    ngx_uint_t skip);
static ngx_int_t ngx_jd_fetch_id(redisReply *id, uint64_t *first,
    uint64_t *second);
static ngx_uint_t ngx_jd_fetch_is_text(redisReply *reply, const char *text);
static void ngx_jd_fetch_item(ngx_jd_follow_t *f, redisReply *digest,
    redisReply *record);


ngx_int_t
ngx_jd_fetch_meta(ngx_jd_follow_t *f)
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

    return ngx_jd_link_send(f->link, ngx_jd_fetch_on_meta, f, NGX_JD_WAIT_MS,
                            2 + JD_META_FIELDS, argv, len);
}


ngx_int_t
ngx_jd_fetch_page(ngx_jd_follow_t *f, ngx_jd_page_t *page)
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

    return ngx_jd_link_send(f->link, ngx_jd_fetch_on_page, page,
                            NGX_JD_WAIT_MS, 5, argv, len);
}


/*
 * Redis answers the HMGET when the XREAD has ended, so that meta is of the
 * moment after the changes.  A load that is not published yet does not wait.
 */

void
ngx_jd_fetch_changes(ngx_jd_follow_t *f)
{
    char         id[2 * NGX_INT64_LEN + 2], lift[2 * NGX_INT64_LEN + 2];
    size_t       len[10];
    ngx_uint_t   i, n;
    const char  *argv[10];

    f->asked = 1;

    if (f->published && !f->lifts_known) {
        ngx_jd_fetch_lifts_end(f);
        return;
    }

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

    if (f->published) {
        argv[n++] = f->lifts_key;
    }

    argv[n++] = id;

    if (f->published) {
        *ngx_sprintf((u_char *) lift, "%uL-%uL", f->lift_ms, f->lift_seq)
            = '\0';
        argv[n++] = lift;
    }

    for (i = 0; i < n; i++) {
        len[i] = ngx_strlen(argv[i]);
    }

    if (ngx_jd_link_send(f->link, ngx_jd_fetch_on_changes, f,
                         NGX_JD_BLOCK_WAIT_MS, n, argv, len)
        == NGX_OK)
    {
        (void) ngx_jd_fetch_meta(f);
    }
}


/* Where the stream of lifts ends: those before are not measured. */

static void
ngx_jd_fetch_lifts_end(ngx_jd_follow_t *f)
{
    size_t       len[6];
    ngx_uint_t   i;
    const char  *argv[6];

    argv[0] = "XREVRANGE";
    argv[1] = f->lifts_key;
    argv[2] = "+";
    argv[3] = "-";
    argv[4] = "COUNT";
    argv[5] = "1";

    for (i = 0; i < 6; i++) {
        len[i] = ngx_strlen(argv[i]);
    }

    (void) ngx_jd_link_send(f->link, ngx_jd_fetch_on_lifts_end, f,
                            NGX_JD_WAIT_MS, 6, argv, len);
}


static void
ngx_jd_fetch_on_meta(redisAsyncContext *ac, void *reply, void *data)
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
ngx_jd_fetch_on_page(redisAsyncContext *ac, void *reply, void *data)
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
        ngx_jd_fetch_item(f, fields->element[i], fields->element[i + 1]);
    }

    f->seen += fields->elements / 2;

    ngx_memcpy(page->cursor, cursor->str, cursor->len);
    page->cursor[cursor->len] = '\0';
    page->asked = 0;
    page->used = ngx_strcmp(page->cursor, "0") != 0;

    ngx_jd_follow_post(f, f->phase);
}


static void
ngx_jd_fetch_on_lifts_end(redisAsyncContext *ac, void *reply, void *data)
{
    redisReply       *r;
    ngx_jd_follow_t  *f;

    if (ngx_jd_link_heard(ac, reply) == NULL) {
        return;
    }

    f = data;
    r = reply;

    if (r->type != REDIS_REPLY_ARRAY || r->elements > 1) {
        ngx_jd_link_close(f->link, ngx_jd_reply_fault(r));
        return;
    }

    f->lift_ms = 0;
    f->lift_seq = 0;
    f->lifts_known = 1;

    if (r->elements) {
        ngx_jd_fetch_lift(f, r->element[0], 1);
    }

    ngx_jd_fetch_changes(f);
}


static void
ngx_jd_fetch_on_changes(redisAsyncContext *ac, void *reply, void *data)
{
    size_t            i;
    redisReply       *r;
    ngx_jd_follow_t  *f;

    if (ngx_jd_link_heard(ac, reply) == NULL) {
        return;
    }

    f = data;
    r = reply;

    f->nothing = 1;

    if (r->type == REDIS_REPLY_NIL) {
        return;
    }

    /* one or two streams: [[name, entries], ...] */

    if (r->type != REDIS_REPLY_ARRAY || r->elements < 1 || r->elements > 2) {
        ngx_jd_link_close(f->link, ngx_jd_reply_fault(r));
        return;
    }

    for (i = 0; i < r->elements; i++) {
        if (ngx_jd_fetch_stream(f, r->element[i]) != NGX_OK) {
            ngx_jd_link_close(f->link, NGX_JD_FAULT_PROTOCOL);
            return;
        }
    }
}


static ngx_int_t
ngx_jd_fetch_stream(ngx_jd_follow_t *f, redisReply *stream)
{
    size_t       i;
    redisReply  *entries;

    if (stream->type != REDIS_REPLY_ARRAY || stream->elements != 2
        || stream->element[1]->type != REDIS_REPLY_ARRAY
        || stream->element[1]->elements > NGX_JD_CHANGES_MAX)
    {
        return NGX_ERROR;
    }

    entries = stream->element[1];

    if (ngx_jd_fetch_is_text(stream->element[0], f->lifts_key)) {

        for (i = 0; i < entries->elements; i++) {
            ngx_jd_fetch_lift(f, entries->element[i], 0);
        }

        return NGX_OK;
    }

    if (!ngx_jd_fetch_is_text(stream->element[0], f->changes_key)) {
        return NGX_ERROR;
    }

    f->nothing = 0;

    for (i = 0; i < entries->elements; i++) {
        if (ngx_jd_fetch_change(f, entries->element[i]) != NGX_OK) {
            /* the rest is of no use; the meta behind it begins a load */
            f->anew = 1;
            break;
        }
    }

    return NGX_OK;
}


/* [id, [name, value, ...]]; NGX_DECLINED when it is not the next of our era. */

static ngx_int_t
ngx_jd_fetch_change(ngx_jd_follow_t *f, redisReply *entry)
{
    size_t       i;
    uint64_t     era, n;
    redisReply  *fields, *digest, *record;

    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2
        || entry->element[1]->type != REDIS_REPLY_ARRAY
        || ngx_jd_fetch_id(entry->element[0], &era, &n) != NGX_OK
        || era != f->era || n != f->last + 1)
    {
        return NGX_DECLINED;
    }

    fields = entry->element[1];
    digest = NULL;
    record = NULL;

    for (i = 0; i + 1 < fields->elements; i += 2) {

        if (ngx_jd_fetch_is_text(fields->element[i], "d")) {
            digest = fields->element[i + 1];

        } else if (ngx_jd_fetch_is_text(fields->element[i], "r")) {
            record = fields->element[i + 1];
        }
    }

    if (digest == NULL || record == NULL) {
        return NGX_DECLINED;
    }

    ngx_jd_fetch_item(f, digest, record);

    f->last = n;
    f->changes++;

    return NGX_OK;
}


/*
 * Queues one; times that are not of their form are not known.  Room is certain:
 * a slice takes all of them before more is asked for.
 */

static void
ngx_jd_fetch_lift(ngx_jd_follow_t *f, redisReply *entry, ngx_uint_t skip)
{
    size_t            i;
    ngx_int_t         value;
    ngx_uint_t        n;
    redisReply       *fields, *v;
    ngx_jd_lift_t    *lift;
    struct timespec   now;

    /* in the order of ngx_jd_lift_e, with what makes milliseconds of them */

    static const struct {
        const char   *name;
        ngx_int_t     factor;
    } times[NGX_JD_LIFT_N] = { { "t", 1000 }, { "i", 1000 }, { "a", 1 } };

    if (f->nlifts == NGX_JD_LIFTS
        || entry->type != REDIS_REPLY_ARRAY || entry->elements != 2
        || entry->element[1]->type != REDIS_REPLY_ARRAY)
    {
        return;
    }

    lift = &f->lifts[f->nlifts];
    ngx_memzero(lift, sizeof(ngx_jd_lift_t));

    if (ngx_jd_fetch_id(entry->element[0], &lift->ms, &lift->seq) != NGX_OK) {
        return;
    }

    fields = entry->element[1];

    for (i = 0; !skip && i + 1 < fields->elements; i += 2) {

        v = fields->element[i + 1];

        for (n = 0; n < NGX_JD_LIFT_N; n++) {

            if (!ngx_jd_fetch_is_text(fields->element[i], times[n].name)
                || v->type != REDIS_REPLY_STRING)
            {
                continue;
            }

            value = ngx_atoi((u_char *) v->str, v->len);

            if (value != NGX_ERROR && value < NGX_JD_TIME_MAX) {
                lift->since[n] = value * times[n].factor;
            }
        }
    }

    clock_gettime(CLOCK_REALTIME, &now);

    lift->seen = (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
    lift->skip = skip;

    f->lift_ms = lift->ms;
    f->lift_seq = lift->seq;
    f->nlifts++;
}


/* "<first>-<second>" */

static ngx_int_t
ngx_jd_fetch_id(redisReply *id, uint64_t *first, uint64_t *second)
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

    *first = (uint64_t) value;

    value = ngx_atoi(dash + 1, last - dash - 1);
    if (value == NGX_ERROR) {
        return NGX_ERROR;
    }

    *second = (uint64_t) value;

    return NGX_OK;
}


static ngx_uint_t
ngx_jd_fetch_is_text(redisReply *reply, const char *text)
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
ngx_jd_fetch_item(ngx_jd_follow_t *f, redisReply *digest, redisReply *record)
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
