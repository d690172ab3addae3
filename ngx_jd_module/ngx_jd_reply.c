
/*
 * ngx_jd_reply.c - what Redis's replies mean: a fault, the list's meta, the
 * verdict over one digest, the orders of one person.
 */


#include "ngx_jd_link.h"
#include "ngx_jd_zone.h"

#include <hiredis/hiredis.h>
#include <time.h>


#define NGX_JD_CHINA_OFFSET_SEC  (8 * 3600)


/* what the confirm script's reply says, decoded; points into the reply */
typedef struct {
    jd_meta_t         meta;
    const jd_key_t   *key;
    jd_clocks_t       clocks;
    unsigned          n;
    uint16_t          observed;
    jd_order_t        orders[JD_ORDERS_MAX];
    jd_relief_t       relief[JD_ORDERS_MAX];
    redisReply      **grounds;
} ngx_jd_confirmed_t;


static ngx_int_t ngx_jd_reply_read(ngx_jd_list_t *list,
    const u_char digest[JD_DIGEST_LEN], redisReply *reply,
    ngx_jd_confirmed_t *c);
static ngx_int_t ngx_jd_reply_relief(redisReply *reply, ngx_uint_t n,
    jd_relief_t *relief);
static ngx_int_t ngx_jd_reply_stays(redisReply *reply, ngx_uint_t n,
    jd_relief_t *relief);
static ngx_int_t ngx_jd_verdict_order(ngx_jd_verdict_t *v, ngx_pool_t *pool,
    const jd_order_t *order);
static ngx_int_t ngx_jd_verdict_grounds(ngx_jd_verdict_t *v, ngx_pool_t *pool,
    const jd_key_t *key, const jd_order_t *order, redisReply *reply);
static ngx_int_t ngx_jd_verdict_copy(ngx_pool_t *pool, ngx_str_t *to,
    const char *text, size_t len);


const char *const  ngx_jd_fault_names[NGX_JD_FAULT_N] = {
    "none", "refused", "timeout", "closed", "auth", "readonly", "loading", "empty",
    "schema", "type", "key", "forged", "gap", "behind", "full", "protocol"
};


const char *const  ngx_jd_fault_texts[NGX_JD_FAULT_N] = {
    "none",
    "connection refused",
    "no answer in time",
    "connection closed",
    "access refused, check \"redis_auth\" and the user's rights",
    "a read-only replica, \"redis_ledger\" needs the primary",
    "the server is loading or busy",
    "no list here, restrict-cached has not filled it yet",
    "a schema that this gate does not read, upgrade gate or restrict-cached",
    "a key of another type or form than the schema's",
    "the list is filled under a digest key that \"key_file\" does not hold",
    "records that do not verify",
    "the change stream has a gap",
    "older data than this gateway has seen",
    "\"zone\" is too small",
    "a reply that nobody expects"
};


ngx_jd_fault_e
ngx_jd_reply_fault(redisReply *reply)
{
    ngx_uint_t  i;

    static const struct {
        const char      *text;
        ngx_jd_fault_e   fault;
    } faults[] = {
        { "NOAUTH", NGX_JD_FAULT_AUTH },
        { "WRONGPASS", NGX_JD_FAULT_AUTH },
        { "NOPERM", NGX_JD_FAULT_AUTH },
        { "ERR AUTH", NGX_JD_FAULT_AUTH },
        { "READONLY", NGX_JD_FAULT_READONLY },
        { "LOADING", NGX_JD_FAULT_LOADING },
        { "MASTERDOWN", NGX_JD_FAULT_LOADING },
        { "BUSY", NGX_JD_FAULT_LOADING },
        { "WRONGTYPE", NGX_JD_FAULT_TYPE },
    };

    if (reply->type != REDIS_REPLY_ERROR) {
        return NGX_JD_FAULT_PROTOCOL;
    }

    for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        if (ngx_strncmp(reply->str, faults[i].text,
                        ngx_strlen(faults[i].text))
            == 0)
        {
            return faults[i].fault;
        }
    }

    return NGX_JD_FAULT_PROTOCOL;
}


ngx_jd_fault_e
ngx_jd_reply_meta(ngx_jd_list_t *list, redisReply *reply, jd_meta_t *m,
    const jd_key_t **key)
{
    size_t       len[JD_META_FIELDS];
    ngx_uint_t   i;
    redisReply  *r;
    const char  *val[JD_META_FIELDS], *field;

    if (reply->type != REDIS_REPLY_ARRAY
        || reply->elements != JD_META_FIELDS)
    {
        return ngx_jd_reply_fault(reply);
    }

    for (i = 0; i < JD_META_FIELDS; i++) {
        r = reply->element[i];
        val[i] = r->type == REDIS_REPLY_STRING ? r->str : NULL;
        len[i] = r->type == REDIS_REPLY_STRING ? r->len : 0;
    }

    switch (jd_meta_parse(m, val, len, &field)) {

    case JD_META_OK:
        break;

    case JD_META_EMPTY:
        return NGX_JD_FAULT_EMPTY;

    case JD_META_SCHEMA:
        return NGX_JD_FAULT_SCHEMA;

    default: /* JD_META_BAD */
        return NGX_JD_FAULT_TYPE;
    }

    *key = jd_keys_find(list->keys, m->key_id, ngx_strlen(m->key_id),
                        m->key_check, ngx_strlen(m->key_check));

    return *key ? NGX_JD_FAULT_NONE : NGX_JD_FAULT_KEY;
}


jd_reason_t
ngx_jd_reply_verdict(ngx_jd_list_t *list, const u_char digest[JD_DIGEST_LEN],
    ngx_uint_t measure_bit, redisReply *reply, ngx_pool_t *pool,
    ngx_jd_verdict_t *v)
{
    int                 which;
    jd_reason_t         reason;
    ngx_jd_confirmed_t  c;

    if (ngx_jd_reply_read(list, digest, reply, &c) != NGX_OK) {
        return JD_REASON_UNCONFIRMED;
    }

    v->age = jd_policy_age(&c.clocks);
    v->era = c.meta.era;
    v->last_id = c.meta.last_id;
    v->key = c.key;

    reason = jd_policy_decide(&c.clocks, measure_bit, c.orders, c.relief, c.n,
                              c.observed, &which);

    if (which < 0) {
        return reason;
    }

    if (ngx_jd_verdict_order(v, pool, &c.orders[which]) != NGX_OK) {
        return JD_REASON_UNCONFIRMED;
    }

    /* no denial without a basis that can be named */

    if (ngx_jd_verdict_grounds(v, pool, c.key, &c.orders[which],
                               c.grounds[which])
        != NGX_OK
        && reason == JD_REASON_LISTED)
    {
        return JD_REASON_UNCONFIRMED;
    }

    return reason;
}


jd_reason_t
ngx_jd_reply_person(ngx_jd_list_t *list, const u_char digest[JD_DIGEST_LEN],
    redisReply *reply, ngx_pool_t *pool, ngx_jd_person_t *person)
{
    int                     which;
    ngx_uint_t              i;
    jd_state_t              state;
    jd_reason_t             reason;
    ngx_jd_confirmed_t      c;
    ngx_jd_person_order_t  *o;

    if (ngx_jd_reply_read(list, digest, reply, &c) != NGX_OK) {
        return JD_REASON_UNCONFIRMED;
    }

    person->age = jd_policy_age(&c.clocks);

    if (c.n) {
        person->orders = ngx_pcalloc(pool,
                                     c.n * sizeof(ngx_jd_person_order_t));
        if (person->orders == NULL) {
            return JD_REASON_UNCONFIRMED;
        }
    }

    for (i = 0; i < c.n; i++) {

        state = jd_policy_state(&c.clocks, &c.orders[i], &c.relief[i]);

        if (state == JD_STATE_OVER) {
            continue;
        }

        o = &person->orders[person->n];

        o->state = state;
        o->measures = c.orders[i].measures;
        o->lifted = c.relief[i].lifted & c.orders[i].measures;
        o->stay = (time_t) c.relief[i].stay;
        o->link_until = (time_t) c.orders[i].link_until;

        /* texts that are missing or do not verify are left out */

        if (ngx_jd_verdict_order(&o->v, pool, &c.orders[i]) != NGX_OK
            || ngx_jd_verdict_grounds(&o->v, pool, c.key, &c.orders[i],
                                      c.grounds[i])
               == NGX_ERROR)
        {
            return JD_REASON_UNCONFIRMED;
        }

        person->n++;
    }

    person->observed = c.observed;

    /* of no orders: STALE, CLOCK, or NOT_LISTED when the list counts */

    reason = jd_policy_decide(&c.clocks, 0, NULL, NULL, 0, 0, &which);

    return reason == JD_REASON_NOT_LISTED && person->n ? JD_REASON_LISTED
                                                       : reason;
}


/* Everything of a reply that is certain; NGX_ERROR: it is not. */

static ngx_int_t
ngx_jd_reply_read(ngx_jd_list_t *list, const u_char digest[JD_DIGEST_LEN],
    redisReply *reply, ngx_jd_confirmed_t *c)
{
    redisReply  *record, *grounds;

    /* without a list to read in the script returns meta alone */

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 5
        || ngx_jd_reply_meta(list, reply->element[0], &c->meta, &c->key)
           != NGX_JD_FAULT_NONE
        || ngx_jd_zone_fresh(list, &c->meta) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* nginx's cached time may be as old as this turn of the event loop */

    ngx_jd_zone_clocks(list, &c->clocks);
    c->clocks.now = time(NULL);
    c->clocks.office_now = ngx_max(c->clocks.office_now, c->meta.office_at);

    /* what is older than this gateway's last contact vouches for itself */

    c->clocks.verified_at = ngx_min(c->clocks.verified_at,
                                    c->meta.verified_at);

    record = reply->element[1];
    grounds = reply->element[3];
    c->n = 0;
    c->observed = 0;

    if (record->type == REDIS_REPLY_STRING) {

        if (jd_record_decode(c->key, digest, c->meta.era,
                             (uint8_t *) record->str, record->len,
                             &c->observed, c->orders, &c->n)
            != JD_RECORD_OK)
        {
            return NGX_ERROR;
        }

    } else if (record->type != REDIS_REPLY_NIL) {
        return NGX_ERROR;
    }

    if (ngx_jd_reply_relief(reply->element[2], c->n, c->relief) != NGX_OK
        || ngx_jd_reply_stays(reply->element[4], c->n, c->relief) != NGX_OK
        || grounds->type != REDIS_REPLY_ARRAY || grounds->elements != c->n)
    {
        return NGX_ERROR;
    }

    c->grounds = grounds->element;

    return NGX_OK;
}


static ngx_int_t
ngx_jd_reply_relief(redisReply *reply, ngx_uint_t n, jd_relief_t *relief)
{
    ngx_uint_t   i;
    redisReply  *r;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != n) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        r = reply->element[i];

        if (r->type == REDIS_REPLY_NIL) {
            ngx_memzero(&relief[i], sizeof(jd_relief_t));
            continue;
        }

        if (r->type != REDIS_REPLY_STRING
            || jd_relief_parse(&relief[i], r->str, r->len) != 0)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * The stay of the person, then of each order's holder: they count as if each
 * order were stayed.
 */

static ngx_int_t
ngx_jd_reply_stays(redisReply *reply, ngx_uint_t n, jd_relief_t *relief)
{
    int64_t      stay, person;
    ngx_uint_t   i;
    redisReply  *r;

    if (reply->type != REDIS_REPLY_ARRAY
        || reply->elements != (n > 0 ? n + 1 : 0))
    {
        return NGX_ERROR;
    }

    person = 0;

    for (i = 0; i < reply->elements; i++) {
        r = reply->element[i];
        stay = 0;

        if (r->type != REDIS_REPLY_NIL
            && (r->type != REDIS_REPLY_STRING
                || jd_stay_parse(&stay, r->str, r->len) != 0))
        {
            return NGX_ERROR;
        }

        if (i == 0) {
            person = stay;
            continue;
        }

        stay = ngx_max(stay, person);
        relief[i - 1].stay = ngx_max(relief[i - 1].stay, stay);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_jd_verdict_order(ngx_jd_verdict_t *v, ngx_pool_t *pool,
    const jd_order_t *order)
{
    v->from = (time_t) order->from;
    v->until = (time_t) order->until;
    v->linked = (order->flags & JD_ORDER_LINKED) != 0;
    v->link_from = (time_t) order->link_from;

    if (order->flags & JD_ORDER_DEADLINE) {
        v->deadline = (time_t) order->deadline_day * 86400
                      - NGX_JD_CHINA_OFFSET_SEC;
    }

    return ngx_jd_verdict_copy(pool, &v->order, order->number,
                               order->number_len);
}


static ngx_int_t
ngx_jd_verdict_grounds(ngx_jd_verdict_t *v, ngx_pool_t *pool,
    const jd_key_t *key, const jd_order_t *order, redisReply *reply)
{
    jd_grounds_t  g;

    if (reply->type != REDIS_REPLY_STRING
        || jd_grounds_decode(key, order->grounds, (uint8_t *) reply->str,
                             reply->len, &g)
           != JD_RECORD_OK)
    {
        return NGX_DECLINED;
    }

    if (ngx_jd_verdict_copy(pool, &v->authority, g.authority.text,
                            g.authority.len) != NGX_OK
        || ngx_jd_verdict_copy(pool, &v->basis, g.basis.text,
                               g.basis.len) != NGX_OK
        || ngx_jd_verdict_copy(pool, &v->relevance, g.relevance.text,
                               g.relevance.len) != NGX_OK
        || ngx_jd_verdict_copy(pool, &v->contest_url, g.contest_url.text,
                               g.contest_url.len) != NGX_OK
        || ngx_jd_verdict_copy(pool, &v->contest_phone, g.contest_phone.text,
                               g.contest_phone.len) != NGX_OK
        || ngx_jd_verdict_copy(pool, &v->repair_url, g.repair_url.text,
                               g.repair_url.len) != NGX_OK
        || ngx_jd_verdict_copy(pool, &v->repair_phone, g.repair_phone.text,
                               g.repair_phone.len) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_jd_verdict_copy(ngx_pool_t *pool, ngx_str_t *to, const char *text,
    size_t len)
{
    if (len == 0) {
        return NGX_OK;
    }

    to->data = ngx_pnalloc(pool, len);
    if (to->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(to->data, text, len);
    to->len = len;

    return NGX_OK;
}
