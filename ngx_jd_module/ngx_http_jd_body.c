
/*
 * ngx_http_jd_body.c - the request body, read only when a subject lies in it.
 */


#include "ngx_http_jd.h"


static ngx_int_t ngx_http_jd_body_readable(ngx_http_request_t *r,
    ngx_http_jd_loc_conf_t *jlcf, size_t max);
static void ngx_http_jd_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_jd_body_gather(ngx_http_request_t *r,
    ngx_str_t *body, size_t max);
static ngx_int_t ngx_http_jd_charset_ok(ngx_str_t *type);
static ngx_uint_t ngx_http_jd_type_kind(ngx_str_t *type);


static ngx_str_t  ngx_http_jd_content_type = ngx_string("content-type");
static ngx_str_t  ngx_http_jd_content_encoding =
    ngx_string("content-encoding");


ngx_int_t
ngx_http_jd_body(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_loc_conf_t *jlcf)
{
    size_t                     max;
    ngx_int_t                  rc;
    ngx_http_core_loc_conf_t  *clcf;

    max = jlcf->body_max;

    if (max == 0) {
        clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);
        max = clcf->client_body_buffer_size;
    }

    if (!ctx->body_read && r->request_body == NULL) {

        ngx_str_null(&ctx->body);

        rc = ngx_http_jd_body_readable(r, jlcf, max);

        if (rc != NGX_AGAIN) {
            return rc;
        }

        ctx->body_in_call = 1;
        ctx->body_reading = 1;

        rc = ngx_http_read_client_request_body(r, ngx_http_jd_body_handler);

        ctx->body_in_call = 0;

        if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
            ctx->body_reading = 0;
            return rc;
        }

        /* the reference that the reading took */

        ngx_http_finalize_request(r, NGX_DONE);

        if (!ctx->body_read) {
            return NGX_DONE;
        }
    }

    return ngx_http_jd_body_gather(r, &ctx->body, max);
}


/* NGX_OK: there is none; NGX_DECLINED: not to be read; NGX_AGAIN: read it */

static ngx_int_t
ngx_http_jd_body_readable(ngx_http_request_t *r, ngx_http_jd_loc_conf_t *jlcf,
    size_t max)
{
    if (r->discard_body) {
        return NGX_OK;
    }

    if (r->headers_in.content_length_n <= 0 && !r->headers_in.chunked) {
        return NGX_OK;
    }

    if (r->headers_in.content_length_n > (off_t) max) {
        return NGX_DECLINED;
    }

    /*
     * a dry run changes no response: nginx answers 413 to a body of unknown
     * length as soon as somebody reads it, and reading ends the streaming
     */

    if (jlcf->dry_run && (r->headers_in.chunked || jlcf->unbuffered)) {
        return NGX_DECLINED;
    }

    return NGX_AGAIN;
}


/* may run inside ngx_http_read_client_request_body() */

static void
ngx_http_jd_body_handler(ngx_http_request_t *r)
{
    ngx_http_jd_ctx_t  *ctx;

    ctx = ngx_http_jd_get_ctx(r);

    ctx->body_reading = 0;
    ctx->body_read = 1;

    r->preserve_body = 1;
    r->write_event_handler = ngx_http_core_run_phases;

    if (!ctx->body_in_call) {
        ngx_http_core_run_phases(r);
    }
}


/* the whole body as one string, read from its file if it lies there */

static ngx_int_t
ngx_http_jd_body_gather(ngx_http_request_t *r, ngx_str_t *body, size_t max)
{
    u_char       *p;
    size_t        size;
    ssize_t       n;
    ngx_buf_t    *b;
    ngx_chain_t  *cl, *bufs;

    ngx_str_null(body);

    bufs = r->request_body ? r->request_body->bufs : NULL;

    size = 0;

    for (cl = bufs; cl; cl = cl->next) {

        if ((off_t) (max - size) < ngx_buf_size(cl->buf)) {
            return NGX_DECLINED;
        }

        size += (size_t) ngx_buf_size(cl->buf);
    }

    if (size == 0) {
        return NGX_OK;
    }

    body->len = size;

    if (bufs->next == NULL && ngx_buf_in_memory(bufs->buf)) {
        body->data = bufs->buf->pos;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, size);
    if (p == NULL) {
        return NGX_DECLINED;
    }

    body->data = p;

    for (cl = bufs; cl; cl = cl->next) {

        b = cl->buf;

        if (ngx_buf_in_memory(b)) {
            p = ngx_cpymem(p, b->pos, b->last - b->pos);
            continue;
        }

        size = (size_t) ngx_buf_size(b);

        if (size == 0) {
            /* the end of a chunked body, in neither memory nor file */
            continue;
        }

        n = ngx_read_file(b->file, p, size, b->file_pos);

        if (n == NGX_ERROR || (size_t) n != size) {
            return NGX_DECLINED;
        }

        p += size;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_http_jd_body_kind(ngx_http_request_t *r, ngx_http_jd_loc_conf_t *jlcf,
    ngx_str_t *body)
{
    u_char      *p, *last;
    ngx_int_t    rc;
    ngx_str_t    type, encoding;
    ngx_uint_t   kind;

    rc = ngx_http_jd_find_header(r, &ngx_http_jd_content_encoding, &encoding);

    if (rc == NGX_ERROR
        || (rc == NGX_OK
            && (encoding.len != sizeof("identity") - 1
                || ngx_strncasecmp(encoding.data, (u_char *) "identity",
                                   sizeof("identity") - 1)
                   != 0)))
    {
        return 0;
    }

    rc = ngx_http_jd_find_header(r, &ngx_http_jd_content_type, &type);

    if (rc == NGX_ERROR) {
        return 0;
    }

    if (rc == NGX_OK && type.len) {

        if (ngx_http_jd_charset_ok(&type) != NGX_OK) {
            return 0;
        }

        kind = ngx_http_jd_type_kind(&type);

        if (kind == NGX_HTTP_JD_BODY_FORM
            && jlcf->body == NGX_HTTP_JD_BODY_JSON)
        {
            /* clients send it by default; the backend reads JSON */
            return NGX_HTTP_JD_BODY_JSON;
        }

        return kind & jlcf->body;
    }

    if (jlcf->body != (NGX_HTTP_JD_BODY_FORM|NGX_HTTP_JD_BODY_JSON)) {
        return jlcf->body;
    }

    last = body->data + body->len;

    for (p = body->data; p < last; p++) {
        if (*p != ' ' && *p != '\t' && *p != CR && *p != LF) {
            break;
        }
    }

    return (p < last && (*p == '{' || *p == '[')) ? NGX_HTTP_JD_BODY_JSON
                                                  : NGX_HTTP_JD_BODY_FORM;
}


/* no charset parameter, or one that agrees with UTF-8 */

static ngx_int_t
ngx_http_jd_charset_ok(ngx_str_t *type)
{
    u_char     *p, *last;
    ngx_str_t   name;

    last = type->data + type->len;

    p = ngx_strlcasestrn(type->data, last, (u_char *) "charset",
                         sizeof("charset") - 2);
    if (p == NULL) {
        return NGX_OK;
    }

    p += sizeof("charset") - 1;

    while (p < last && (*p == ' ' || *p == '=' || *p == '"' || *p == '\'')) {
        p++;
    }

    name.data = p;

    while (p < last && *p != '"' && *p != '\'' && *p != ';' && *p != ' ') {
        p++;
    }

    name.len = p - name.data;

    if (ngx_strlcasestrn(p, last, (u_char *) "charset", sizeof("charset") - 2)
        != NULL)
    {
        return NGX_ERROR;
    }

    if ((name.len == 5
         && ngx_strncasecmp(name.data, (u_char *) "utf-8", 5) == 0)
        || (name.len == 4
            && ngx_strncasecmp(name.data, (u_char *) "utf8", 4) == 0)
        || (name.len == 8
            && ngx_strncasecmp(name.data, (u_char *) "us-ascii", 8) == 0))
    {
        return NGX_OK;
    }

    return NGX_ERROR;
}


static ngx_uint_t
ngx_http_jd_type_kind(ngx_str_t *type)
{
    size_t   len;
    u_char  *p;

    for (len = 0; len < type->len; len++) {
        p = &type->data[len];

        if (*p == ';' || *p == ',' || *p == ' ' || *p == '\t') {
            break;
        }
    }

    for (p = type->data + len; p < type->data + type->len; p++) {
        if (*p == ',') {
            /* several types in one line */
            return 0;
        }
    }

    if (len == sizeof("application/x-www-form-urlencoded") - 1
        && ngx_strncasecmp(type->data,
                           (u_char *) "application/x-www-form-urlencoded", len)
           == 0)
    {
        return NGX_HTTP_JD_BODY_FORM;
    }

    if ((len == sizeof("application/json") - 1
         && ngx_strncasecmp(type->data, (u_char *) "application/json", len)
            == 0)
        || (len == sizeof("text/json") - 1
            && ngx_strncasecmp(type->data, (u_char *) "text/json", len) == 0)
        || (len > 5
            && ngx_strncasecmp(type->data + len - 5, (u_char *) "+json", 5)
               == 0))
    {
        return NGX_HTTP_JD_BODY_JSON;
    }

    return 0;
}
