
/*
 * ngx_http_jd_variable.c - a decision told: variables, and the header
 * JD-Status to the backend and to the terminal.
 */


#include "ngx_http_jd.h"
#include "../restrict-cache/core/jd_time.h"
#include <sys/random.h>


static ngx_int_t ngx_http_jd_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_jd_reason_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_jd_id_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_jd_verdict_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_jd_until_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_jd_address_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_jd_list_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_jd_measure_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_jd_age_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_http_jd_decision_t *ngx_http_jd_shown(ngx_http_request_t *r,
    ngx_http_variable_value_t *v);
static ngx_int_t ngx_http_jd_set(ngx_http_variable_value_t *v, u_char *data,
    size_t len);
static time_t ngx_http_jd_age(ngx_http_jd_decision_t *d);
static ngx_int_t ngx_http_jd_header_value(ngx_http_request_t *r,
    ngx_http_jd_decision_t *d, ngx_str_t *value);
static ngx_uint_t ngx_http_jd_is_status(ngx_table_elt_t *h);


static ngx_http_variable_t  ngx_http_jd_vars[] = {

    { ngx_string("jd_status"), NULL, ngx_http_jd_status_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("jd_reason"), NULL, ngx_http_jd_reason_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("jd_decision_id"), NULL, ngx_http_jd_id_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("jd_order"), NULL, ngx_http_jd_verdict_variable,
      offsetof(ngx_jd_verdict_t, order), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("jd_authority"), NULL, ngx_http_jd_verdict_variable,
      offsetof(ngx_jd_verdict_t, authority), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("jd_basis"), NULL, ngx_http_jd_verdict_variable,
      offsetof(ngx_jd_verdict_t, basis), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("jd_until"), NULL, ngx_http_jd_until_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("jd_contest"), NULL, ngx_http_jd_address_variable,
      offsetof(ngx_jd_verdict_t, contest_url), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("jd_repair"), NULL, ngx_http_jd_address_variable,
      offsetof(ngx_jd_verdict_t, repair_url), NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("jd_list"), NULL, ngx_http_jd_list_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("jd_measure"), NULL, ngx_http_jd_measure_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("jd_list_age"), NULL, ngx_http_jd_age_variable, 0,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


/* by NGX_JD_PASSED, ... */
static ngx_str_t  ngx_http_jd_outcomes[] = {
    ngx_string("PASSED"),
    ngx_string("DENIED"),
    ngx_string("DENIED_DRY_RUN"),
    ngx_string("REJECTED")
};


ngx_int_t
ngx_http_jd_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_jd_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_jd_status_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_jd_decision_t  *d;

    d = ngx_http_jd_shown(r, v);

    if (d == NULL) {
        return NGX_OK;
    }

    return ngx_http_jd_set(v, ngx_http_jd_outcomes[d->outcome].data,
                           ngx_http_jd_outcomes[d->outcome].len);
}


static ngx_int_t
ngx_http_jd_reason_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const char              *name;
    ngx_http_jd_decision_t  *d;

    d = ngx_http_jd_shown(r, v);

    if (d == NULL) {
        return NGX_OK;
    }

    name = jd_reason_names[d->reason];

    return ngx_http_jd_set(v, (u_char *) name, ngx_strlen(name));
}


static ngx_int_t
ngx_http_jd_id_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_str_t                id;
    ngx_http_jd_decision_t  *d;

    d = ngx_http_jd_shown(r, v);

    if (d == NULL || ngx_http_jd_decision_id(r, d, &id) != NGX_OK) {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_jd_set(v, id.data, id.len);
}


static ngx_int_t
ngx_http_jd_verdict_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t               *s;
    ngx_http_jd_decision_t  *d;

    d = ngx_http_jd_shown(r, v);

    if (d == NULL || d->verdict == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    s = (ngx_str_t *) ((u_char *) d->verdict + data);

    return ngx_http_jd_set(v, s->data, s->len);
}


static ngx_int_t
ngx_http_jd_until_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                  *p;
    ngx_http_jd_decision_t  *d;

    d = ngx_http_jd_shown(r, v);

    if (d == NULL || d->verdict == NULL || d->verdict->until == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, 26);
    if (p == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_jd_set(v, p, jd_time_print(d->verdict->until, (char *) p));
}


/* an address and a phone number stand side by side in the verdict */

static ngx_int_t
ngx_http_jd_address_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                  *p;
    ngx_str_t               *url, *phone;
    ngx_http_jd_decision_t  *d;

    d = ngx_http_jd_shown(r, v);

    if (d == NULL || d->verdict == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    url = (ngx_str_t *) ((u_char *) d->verdict + data);
    phone = url + 1;

    if (url->len == 0 || phone->len == 0) {
        url = url->len ? url : phone;
        return ngx_http_jd_set(v, url->data, url->len);
    }

    p = ngx_pnalloc(r->pool, url->len + 1 + phone->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(p, "%V %V", url, phone);

    return ngx_http_jd_set(v, p, url->len + 1 + phone->len);
}


static ngx_int_t
ngx_http_jd_list_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_http_jd_decision_t  *d;

    d = ngx_http_jd_shown(r, v);

    if (d == NULL) {
        return NGX_OK;
    }

    return ngx_http_jd_set(v, d->gate->list->name.data,
                           d->gate->list->name.len);
}


static ngx_int_t
ngx_http_jd_measure_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const char              *name;
    ngx_http_jd_decision_t  *d;

    d = ngx_http_jd_shown(r, v);

    if (d == NULL) {
        return NGX_OK;
    }

    name = jd_measure_names[d->gate->measure];

    return ngx_http_jd_set(v, (u_char *) name, ngx_strlen(name));
}


static ngx_int_t
ngx_http_jd_age_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    u_char                  *p;
    time_t                   age;
    ngx_http_jd_decision_t  *d;

    d = ngx_http_jd_shown(r, v);

    if (d == NULL) {
        return NGX_OK;
    }

    age = ngx_http_jd_age(d);

    if (age < 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_TIME_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_jd_set(v, p, ngx_sprintf(p, "%T", age) - p);
}


/* the decision that the variables tell of; NULL, and v not found: none */

static ngx_http_jd_decision_t *
ngx_http_jd_shown(ngx_http_request_t *r, ngx_http_variable_value_t *v)
{
    ngx_http_jd_ctx_t  *ctx;

    ctx = ngx_http_jd_get_ctx(r);

    if (ctx == NULL || ctx->shown == NULL) {
        v->not_found = 1;
        return NULL;
    }

    return ctx->shown;
}


static ngx_int_t
ngx_http_jd_set(ngx_http_variable_value_t *v, u_char *data, size_t len)
{
    if (len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->len = len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = data;

    return NGX_OK;
}


static time_t
ngx_http_jd_age(ngx_http_jd_decision_t *d)
{
    return d->verdict ? d->verdict->age : ngx_jd_list_age(d->gate->list);
}


ngx_int_t
ngx_http_jd_decision_id(ngx_http_request_t *r, ngx_http_jd_decision_t *d,
    ngx_str_t *id)
{
    u_char             nonce[JD_SEAL_NONCE_LEN];
    char               list[JD_LIST_NAME_MAX + 1];
    jd_decision_t      decision;
    ngx_jd_verdict_t  *v;

    if (d->id.len == 0) {

        v = d->verdict;

        if ((d->outcome != NGX_JD_DENIED
             && d->outcome != NGX_JD_DENIED_DRY_RUN)
            || v == NULL || v->key == NULL
            || v->order.len > JD_ORDER_NUMBER_MAX)
        {
            return NGX_DECLINED;
        }

        ngx_memzero(&decision, sizeof(jd_decision_t));
        ngx_memcpy(decision.number, v->order.data, v->order.len);

        decision.measure_bit = d->gate->measure;
        decision.era = v->era;
        decision.last_id = v->last_id;
        decision.age_sec = v->age;
        decision.at = ngx_time();
        decision.link_from = v->linked
                             ? ngx_max(v->link_from, JD_SEAL_LINK_EVER) : 0;

        d->id.data = ngx_pnalloc(r->pool, JD_SEAL_TEXT_MAX);

        if (d->id.data == NULL
            || getrandom(nonce, sizeof(nonce), 0) != (ssize_t) sizeof(nonce))
        {
            return NGX_ERROR;
        }

        ngx_cpystrn((u_char *) list, d->gate->list->name.data,
                    d->gate->list->name.len + 1);

        d->id.len = jd_seal(v->key, list, nonce, &decision,
                            (char *) d->id.data);
        if (d->id.len == 0) {
            return NGX_ERROR;
        }
    }

    *id = d->id;

    return NGX_OK;
}


/* an RFC 8941 item: a token with parameters */

static ngx_int_t
ngx_http_jd_header_value(ngx_http_request_t *r, ngx_http_jd_decision_t *d,
    ngx_str_t *value)
{
    u_char     *p;
    size_t      len;
    time_t      age;
    ngx_str_t   id;

    if (ngx_http_jd_decision_id(r, d, &id) != NGX_OK) {
        ngx_str_null(&id);
    }

    len = ngx_http_jd_outcomes[d->outcome].len
          + sizeof(";reason=") - 1 + ngx_strlen(jd_reason_names[d->reason])
          + sizeof(";list=\"\"") - 1 + d->gate->list->name.len
          + sizeof(";measure=") - 1
          + ngx_strlen(jd_measure_names[d->gate->measure])
          + sizeof(";age=") - 1 + NGX_TIME_T_LEN
          + sizeof(";id=\"\"") - 1 + id.len;

    value->data = ngx_pnalloc(r->pool, len);
    if (value->data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_sprintf(value->data, "%V;reason=%s;list=\"%V\";measure=%s",
                    &ngx_http_jd_outcomes[d->outcome],
                    jd_reason_names[d->reason], &d->gate->list->name,
                    jd_measure_names[d->gate->measure]);

    age = ngx_http_jd_age(d);

    if (age >= 0) {
        p = ngx_sprintf(p, ";age=%T", age);
    }

    if (id.len) {
        p = ngx_sprintf(p, ";id=\"%V\"", &id);
    }

    value->len = p - value->data;

    return NGX_OK;
}


ngx_int_t
ngx_http_jd_tell_terminal(ngx_http_request_t *r, ngx_http_jd_decision_t *d)
{
    ngx_str_t         value;
    ngx_table_elt_t  *h;

    if (ngx_http_jd_header_value(r, d, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    ngx_str_set(&h->key, "JD-Status");
    h->value = value;

    return NGX_OK;
}


ngx_int_t
ngx_http_jd_tell_backend(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx)
{
    ngx_str_t  value;

    if (ctx->shown == NULL || ctx->shown->reason == JD_REASON_CLEAR) {
        return NGX_OK;
    }

    if (ngx_http_jd_header_value(r, ctx->shown, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_jd_set_backend(r, ctx, &value);
}


ngx_int_t
ngx_http_jd_set_backend(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ctx->backend;

    if (h == NULL) {
        h = ngx_list_push(&r->headers_in.headers);
        if (h == NULL) {
            return NGX_ERROR;
        }

        ngx_memzero(h, sizeof(ngx_table_elt_t));

        ngx_str_set(&h->key, "JD-Status");
        h->lowcase_key = (u_char *) "jd-status";
        h->hash = ngx_hash_key(h->lowcase_key, h->key.len);

        ctx->backend = h;
    }

    h->value = *value;

    return NGX_OK;
}


/*
 * The headers that stay are copied into a list of their own: r->headers_in
 * points to some of the elements, so none of them may move.
 */

ngx_int_t
ngx_http_jd_remove_inbound(ngx_http_request_t *r)
{
    ngx_uint_t        i, n, found;
    ngx_list_t       *list;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h, *copy;

    n = 0;
    found = 0;
    list = &r->headers_in.headers;

    for (part = &list->part; part; part = part->next) {

        h = part->elts;
        n += part->nelts;

        for (i = 0; i < part->nelts; i++) {
            found += ngx_http_jd_is_status(&h[i]);
        }
    }

    if (found == 0) {
        return NGX_OK;
    }

    copy = ngx_palloc(r->pool, n * sizeof(ngx_table_elt_t));
    if (copy == NULL) {
        return NGX_ERROR;
    }

    n = 0;

    for (part = &list->part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (!ngx_http_jd_is_status(&h[i])) {
                copy[n++] = h[i];
            }
        }
    }

    list->part.elts = copy;
    list->part.nelts = n;
    list->part.next = NULL;
    list->last = &list->part;
    list->nalloc = n + found;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_jd_is_status(ngx_table_elt_t *h)
{
    u_char  *key;

    if (h->key.len != sizeof("jd-status") - 1) {
        return 0;
    }

    key = h->lowcase_key;

    return key[0] == 'j' && key[1] == 'd' && (key[2] == '-' || key[2] == '_')
           && ngx_strncmp(key + 3, "status", sizeof("status") - 1) == 0;
}
