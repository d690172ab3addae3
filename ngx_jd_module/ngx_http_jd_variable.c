
/*
 * ngx_http_jd_variable.c - a decision told in variables.
 */


#include "ngx_http_jd.h"
#include "../restrict-cache/core/jd_time.h"


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
