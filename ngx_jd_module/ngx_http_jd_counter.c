
/*
 * ngx_http_jd_counter.c - the citizen-card counter: an ungated location whose
 * backend is told, in JD-Status, of every order of the person in front of it.
 * Nothing is denied and no decision is counted.
 *
 * The header is a list (RFC 8941): first what can be said of the question,
 * then one member per order,
 *
 *     COUNTER;reason=listed;list="credit";age=3;orders=1,
 *     "CS-2026-000123";measures="bus.ride";state=in_force;until="...";...
 *
 * Texts are byte sequences, as they may be Chinese.
 */


#include "ngx_http_jd.h"
#include "../restrict-cache/core/jd_time.h"


/* many backends take 8 KB of one header line, some of all of them */
#define NGX_HTTP_JD_COUNTER_MAX   7168

#define NGX_HTTP_JD_TIME_LEN      (sizeof("\"2026-11-26T00:00:00+08:00\"") - 1)
#define NGX_HTTP_JD_MEASURES_LEN  128


struct ngx_http_jd_counter_s {
    ngx_http_jd_loc_conf_t       *conf;
    ngx_http_jd_front_t           front;
    ngx_uint_t                    scheme;        /* next to be asked for */
    ngx_jd_person_t               person[JD_SCHEME_N];
};


/* what several answers about one person say together */
typedef struct {
    jd_reason_t                   reason;
    time_t                        age;
    uint16_t                      observed;
    ngx_uint_t                    n;
    ngx_jd_person_order_t        *order[JD_SCHEME_N * JD_ORDERS_MAX];
} ngx_http_jd_counted_t;


static ngx_http_jd_counter_t *ngx_http_jd_counter_begin(ngx_http_request_t *r,
    ngx_http_jd_ctx_t *ctx, ngx_http_jd_loc_conf_t *jlcf);
static ngx_int_t ngx_http_jd_counter_ask(ngx_http_request_t *r,
    ngx_http_jd_ctx_t *ctx, ngx_http_jd_counter_t *counter);
static void ngx_http_jd_counter_join(ngx_http_jd_counter_t *counter,
    ngx_http_jd_counted_t *all);
static ngx_int_t ngx_http_jd_counter_cmp(const void *a, const void *b);
static ngx_int_t ngx_http_jd_counter_value(ngx_http_request_t *r,
    ngx_http_jd_counter_t *counter, ngx_str_t *value);
static u_char *ngx_http_jd_counter_order(u_char *p, ngx_jd_person_order_t *o,
    ngx_uint_t whole);
static size_t ngx_http_jd_counter_len(ngx_jd_person_order_t *o,
    ngx_uint_t whole);
static u_char *ngx_http_jd_counter_measures(u_char *p, char *name,
    uint16_t mask);
static u_char *ngx_http_jd_counter_time(u_char *p, char *name, time_t sec);
static u_char *ngx_http_jd_counter_bytes(u_char *p, char *name, ngx_str_t *a,
    ngx_str_t *b);


char *
ngx_http_jd_counter(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_jd_loc_conf_t *jlcf = conf;

    ngx_str_t  *value;

    if (jlcf->counter != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    jlcf->counter = ngx_http_jd_list_arg(cf, "jd_counter", &value[1]);
    if (jlcf->counter == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_http_jd_stands(cf, jlcf);

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_jd_counter_handler(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_loc_conf_t *jlcf)
{
    ngx_int_t   rc;
    ngx_str_t   value;

    if (ctx->counter == NULL || ctx->counter->conf != jlcf) {

        rc = ngx_http_jd_identify(r, ctx, jlcf);

        if (rc != NGX_OK) {
            return rc;
        }

        ctx->counter = ngx_http_jd_counter_begin(r, ctx, jlcf);
        if (ctx->counter == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (ngx_http_jd_counter_ask(r, ctx, ctx->counter) == NGX_AGAIN) {
        return ngx_http_jd_wait(r, ctx);
    }

    rc = ngx_http_jd_counter_value(r, ctx->counter, &value);

    ctx->counter = NULL;

    if (rc != NGX_OK || ngx_http_jd_set_backend(r, ctx, &value) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_DECLINED;
}


static ngx_http_jd_counter_t *
ngx_http_jd_counter_begin(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_loc_conf_t *jlcf)
{
    ngx_uint_t              i;
    ngx_http_jd_counter_t  *counter;

    counter = ngx_pcalloc(r->pool, sizeof(ngx_http_jd_counter_t));
    if (counter == NULL) {
        return NULL;
    }

    counter->conf = jlcf;

    for (i = 0; i < JD_SCHEME_N; i++) {
        counter->person[i].reason = JD_REASON_UNCONFIRMED;
        counter->person[i].age = -1;
    }

    ngx_http_jd_front(ctx, jlcf->counter, &counter->front);

    return counter;
}


/* NGX_AGAIN: Redis is asked, to be called again; NGX_OK: all are answered. */

static ngx_int_t
ngx_http_jd_counter_ask(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_counter_t *counter)
{
    ngx_int_t   rc;
    ngx_uint_t  i;

    while (counter->front.schemes >> counter->scheme) {

        i = counter->scheme++;

        if (!(counter->front.schemes & (1 << i))) {
            continue;
        }

        ctx->waiting = 1;

        rc = ngx_jd_confirm_person(counter->conf->counter,
                                   counter->front.digest[i], r->pool,
                                   r->connection->log, &counter->person[i],
                                   ngx_http_jd_confirmed, r);

        if (rc == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        ctx->waiting = 0;
    }

    return NGX_OK;
}


/*
 * One person under several names: orders once each, and of the reasons the
 * one that says least is certain.
 */

static void
ngx_http_jd_counter_join(ngx_http_jd_counter_t *counter,
    ngx_http_jd_counted_t *all)
{
    ngx_uint_t              i, k, n;
    ngx_jd_person_t        *person;
    ngx_jd_person_order_t  *o;

    static const jd_reason_t  worst[] = {
        JD_REASON_UNCONFIRMED, JD_REASON_STALE, JD_REASON_CLOCK,
        JD_REASON_LISTED, JD_REASON_NOT_LISTED
    };

    all->reason = counter->front.reason;
    all->age = -1;
    all->observed = 0;
    all->n = 0;

    n = sizeof(worst) / sizeof(worst[0]);

    for (i = 0; i < JD_SCHEME_N; i++) {

        if (!(counter->front.schemes & (1 << i))) {
            continue;
        }

        person = &counter->person[i];

        for (k = 0; k < n && worst[k] != person->reason; k++) { /* void */ }

        n = k;
        all->reason = worst[ngx_min(k, sizeof(worst) / sizeof(worst[0]) - 1)];

        if (person->reason == JD_REASON_UNCONFIRMED) {
            continue;
        }

        all->age = ngx_max(all->age, person->age);
        all->observed |= person->observed;

        for (k = 0; k < person->n; k++) {
            o = &person->orders[k];
            all->order[all->n++] = o;
        }
    }

    ngx_sort(all->order, all->n, sizeof(ngx_jd_person_order_t *),
             ngx_http_jd_counter_cmp);

    /* an order that reaches the person in two ways: as it weighs more */

    for (i = 0, n = 0; i < all->n; i++) {

        o = all->order[i];

        for (k = 0; k < n; k++) {
            if (all->order[k]->v.order.len == o->v.order.len
                && ngx_memcmp(all->order[k]->v.order.data, o->v.order.data,
                              o->v.order.len)
                   == 0)
            {
                break;
            }
        }

        if (k == n) {
            all->order[n++] = o;
        }
    }

    all->n = n;
}


/* what bites first, then what ends last: if the header is too short for all */

static ngx_int_t
ngx_http_jd_counter_cmp(const void *a, const void *b)
{
    ngx_jd_person_order_t *const *x = a;
    ngx_jd_person_order_t *const *y = b;

    if ((*x)->state != (*y)->state) {
        return (*x)->state > (*y)->state ? -1 : 1;
    }

    return (*x)->v.until > (*y)->v.until ? -1 : (*x)->v.until < (*y)->v.until;
}


static ngx_int_t
ngx_http_jd_counter_value(ngx_http_request_t *r,
    ngx_http_jd_counter_t *counter, ngx_str_t *value)
{
    u_char                *p, *head, *orders;
    size_t                 left, rest, len;
    ngx_str_t             *list;
    ngx_uint_t             i, told;
    ngx_http_jd_counted_t  all;

    list = &counter->conf->counter->name;

    ngx_http_jd_counter_join(counter, &all);

    head = ngx_pnalloc(r->pool, NGX_HTTP_JD_COUNTER_MAX);
    if (head == NULL) {
        return NGX_ERROR;
    }

    len = sizeof("COUNTER;reason=unconfirmed;list=\"\";age=;orders=;more=;"
                 "observed=\"\"")
          + list->len + NGX_TIME_T_LEN + 2 * NGX_INT_T_LEN
          + NGX_HTTP_JD_MEASURES_LEN;

    left = NGX_HTTP_JD_COUNTER_MAX - len;
    orders = head + len;

    /* whole members as long as the short ones of all that follow would fit */

    rest = 0;

    for (i = 0; i < all.n; i++) {
        rest += ngx_http_jd_counter_len(all.order[i], 0);
    }

    p = orders;
    told = 0;

    for (i = 0; i < all.n; i++) {

        rest -= ngx_http_jd_counter_len(all.order[i], 0);
        len = ngx_http_jd_counter_len(all.order[i], 1);

        if (len + rest <= left) {
            p = ngx_http_jd_counter_order(p, all.order[i], 1);

        } else if (ngx_http_jd_counter_len(all.order[i], 0) <= left) {
            p = ngx_http_jd_counter_order(p, all.order[i], 0);

        } else {
            continue;
        }

        left = NGX_HTTP_JD_COUNTER_MAX - (p - head);
        told++;
    }

    value->data = head;
    value->len = p - orders;

    p = ngx_sprintf(head, "COUNTER;reason=%s;list=\"%V\"",
                    jd_reason_names[all.reason], list);

    if (all.age >= 0) {
        p = ngx_sprintf(p, ";age=%T;orders=%ui", all.age, all.n);
    }

    if (told < all.n) {
        p = ngx_sprintf(p, ";more=%ui", all.n - told);
    }

    if (all.observed) {
        p = ngx_http_jd_counter_measures(p, "observed", all.observed);
    }

    ngx_memmove(p, orders, value->len);
    value->len += p - head;

    return NGX_OK;
}


/* one member of the list; short: what it is and what state it is in */

static u_char *
ngx_http_jd_counter_order(u_char *p, ngx_jd_person_order_t *o,
    ngx_uint_t whole)
{
    u_char     *start;
    ngx_uint_t  i;

    *p++ = ',';
    *p++ = ' ';

    start = p;
    *p++ = '"';

    for (i = 0; i < o->v.order.len; i++) {

        if (o->v.order.data[i] >= 0x80) {
            p = ngx_http_jd_counter_bytes(start, NULL, &o->v.order, NULL);
            break;
        }

        *p++ = o->v.order.data[i];
    }

    if (i == o->v.order.len) {
        *p++ = '"';
    }

    p = ngx_http_jd_counter_measures(p, "measures", o->measures);
    p = ngx_sprintf(p, ";state=%s", jd_state_names[o->state]);
    p = ngx_http_jd_counter_time(p, "until", o->v.until);

    if (!whole) {
        return p;
    }

    p = ngx_http_jd_counter_time(p, "from", o->v.from);

    if (o->lifted) {
        p = ngx_http_jd_counter_measures(p, "lifted", o->lifted);
    }

    if (o->stay) {
        p = o->stay == JD_STAY_FOREVER
            ? ngx_cpymem(p, ";stayed", sizeof(";stayed") - 1)
            : ngx_http_jd_counter_time(p, "stayed", o->stay);
    }

    if (o->link_until) {
        p = ngx_http_jd_counter_time(p, "link_from", o->v.link_from);

        if (o->link_until != JD_LINK_OPEN) {
            p = ngx_http_jd_counter_time(p, "link_until", o->link_until);
        }
    }

    p = ngx_http_jd_counter_bytes(p, "authority", &o->v.authority, NULL);
    p = ngx_http_jd_counter_bytes(p, "basis", &o->v.basis, NULL);
    p = ngx_http_jd_counter_bytes(p, "relevance", &o->v.relevance, NULL);
    p = ngx_http_jd_counter_bytes(p, "contest", &o->v.contest_url,
                                  &o->v.contest_phone);

    if (o->v.deadline) {
        p = ngx_http_jd_counter_time(p, "contest_by", o->v.deadline);
    }

    return ngx_http_jd_counter_bytes(p, "repair", &o->v.repair_url,
                                     &o->v.repair_phone);
}


/* not less than the member takes */

static size_t
ngx_http_jd_counter_len(ngx_jd_person_order_t *o, ngx_uint_t whole)
{
    char    measures[NGX_HTTP_JD_MEASURES_LEN];
    size_t  len;

    len = sizeof(", ::;measures=\"\";state=in_force;until=")
          + ngx_base64_encoded_length(o->v.order.len)
          + jd_measure_mask_print(o->measures, measures)
          + NGX_HTTP_JD_TIME_LEN;

    if (!whole) {
        return len;
    }

    return len + sizeof(";from=;lifted=\"\";stayed=;link_from=;link_until="
                        ";authority=::;basis=::;relevance=::;contest=::"
                        ";contest_by=;repair=::")
           + jd_measure_mask_print(o->lifted, measures)
           + 5 * NGX_HTTP_JD_TIME_LEN
           + ngx_base64_encoded_length(o->v.authority.len)
           + ngx_base64_encoded_length(o->v.basis.len)
           + ngx_base64_encoded_length(o->v.relevance.len)
           + ngx_base64_encoded_length(o->v.contest_url.len + 1
                                       + o->v.contest_phone.len)
           + ngx_base64_encoded_length(o->v.repair_url.len + 1
                                       + o->v.repair_phone.len);
}


static u_char *
ngx_http_jd_counter_measures(u_char *p, char *name, uint16_t mask)
{
    p = ngx_sprintf(p, ";%s=\"", name);
    p += jd_measure_mask_print(mask, (char *) p);
    *p++ = '"';

    return p;
}


static u_char *
ngx_http_jd_counter_time(u_char *p, char *name, time_t sec)
{
    char  text[26];

    jd_time_print(sec, text);

    return ngx_sprintf(p, ";%s=\"%s\"", name, text);
}


/* a byte sequence (RFC 8941, section 3.3.5) of "a b"; nothing when empty */

static u_char *
ngx_http_jd_counter_bytes(u_char *p, char *name, ngx_str_t *a, ngx_str_t *b)
{
    u_char     buf[2 * JD_GROUNDS_TEXT_MAX + 1];
    ngx_str_t  src, dst;

    src.data = buf;
    src.len = 0;

    if (a->len) {
        src.len = ngx_cpymem(buf, a->data, a->len) - buf;
    }

    if (b && b->len) {
        if (a->len) {
            buf[src.len++] = ' ';
        }

        ngx_memcpy(buf + src.len, b->data, b->len);
        src.len += b->len;
    }

    if (src.len == 0) {
        return p;
    }

    if (name) {
        p = ngx_sprintf(p, ";%s=", name);
    }

    *p++ = ':';

    dst.data = p;
    ngx_encode_base64(&dst, &src);
    p += dst.len;

    *p++ = ':';

    return p;
}
