
/*
 * ngx_http_jd_header.c - a decision told in the header JD-Status, to the
 * backend and to the terminal.
 */


#include "ngx_http_jd.h"


static ngx_int_t ngx_http_jd_header_value(ngx_http_request_t *r,
    ngx_http_jd_decision_t *d, ngx_str_t *value);
static ngx_uint_t ngx_http_jd_is_status(ngx_table_elt_t *h);


/* by NGX_JD_PASSED, ... */
ngx_str_t  ngx_http_jd_outcomes[NGX_JD_OUTCOMES] = {
    ngx_string("PASSED"),
    ngx_string("DENIED"),
    ngx_string("DENIED_DRY_RUN"),
    ngx_string("REJECTED")
};


time_t
ngx_http_jd_age(ngx_http_jd_decision_t *d)
{
    return d->verdict ? d->verdict->age : ngx_jd_list_age(d->gate->list);
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
