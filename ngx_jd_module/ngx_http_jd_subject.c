
/*
 * ngx_http_jd_subject.c - where the subject is in a request.
 *
 * What the backend would read is what is found here. Where two backends could
 * read two different identifiers the subject is malformed, never absent.
 */


#include "ngx_http_jd.h"


static ngx_int_t ngx_http_jd_find(ngx_http_request_t *r,
    ngx_http_jd_subject_t *subject, ngx_str_t *body, ngx_uint_t kind,
    ngx_str_t *raw);
static ngx_int_t ngx_http_jd_same_name(ngx_table_elt_t *h, ngx_str_t *name,
    ngx_uint_t *exact);
static ngx_int_t ngx_http_jd_find_field(ngx_http_request_t *r,
    ngx_str_t *text, ngx_str_t *name, ngx_str_t *raw);
static ngx_int_t ngx_http_jd_find_cookie(ngx_http_request_t *r,
    ngx_str_t *name, ngx_str_t *raw);
static ngx_int_t ngx_http_jd_find_member(ngx_http_request_t *r,
    ngx_str_t *body, jd_json_pointer_t *pointer, ngx_str_t *raw);
static ngx_int_t ngx_http_jd_copy(ngx_http_request_t *r, u_char *data,
    size_t len, ngx_str_t *raw);


ngx_int_t
ngx_http_jd_subjects(ngx_http_request_t *r, ngx_http_jd_loc_conf_t *jlcf,
    ngx_str_t *body, ngx_str_t *raw, ngx_uint_t *line)
{
    ngx_int_t               rc;
    ngx_uint_t              i, found, kind;
    ngx_http_jd_subject_t  *subject;

    if (jlcf->subjects == NULL) {
        return NGX_DECLINED;
    }

    kind = 0;

    if (jlcf->body && body->len) {
        kind = ngx_http_jd_body_kind(r, jlcf, body);

        if (kind == 0) {
            *line = NGX_HTTP_JD_SUBJECTS_MAX;
            return NGX_ERROR;
        }
    }

    found = 0;
    subject = jlcf->subjects->elts;

    for (i = 0; i < jlcf->subjects->nelts; i++) {

        rc = ngx_http_jd_find(r, &subject[i], body, kind, &raw[i]);

        if (rc == NGX_ERROR) {
            *line = i;
            return NGX_ERROR;
        }

        if (rc == NGX_DECLINED) {
            raw[i].data = NULL;
            continue;
        }

        found = 1;
    }

    return found ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_jd_find(ngx_http_request_t *r, ngx_http_jd_subject_t *subject,
    ngx_str_t *body, ngx_uint_t kind, ngx_str_t *raw)
{
    ngx_int_t  rc;

    switch (subject->place) {

    case NGX_HTTP_JD_HEADER:
        rc = ngx_http_jd_find_header(r, &subject->name, raw);

        if (rc == NGX_OK && memchr(raw->data, ',', raw->len) != NULL) {
            /* a list, or two lines that were joined on the way */
            return NGX_ERROR;
        }

        return rc;

    case NGX_HTTP_JD_ARG:
        return ngx_http_jd_find_field(r, &r->args, &subject->name, raw);

    case NGX_HTTP_JD_COOKIE:
        return ngx_http_jd_find_cookie(r, &subject->name, raw);

    case NGX_HTTP_JD_FORM:
        if (kind != NGX_HTTP_JD_BODY_FORM) {
            return NGX_DECLINED;
        }

        return ngx_http_jd_find_field(r, body, &subject->name, raw);

    case NGX_HTTP_JD_JSON:
        if (kind != NGX_HTTP_JD_BODY_JSON) {
            return NGX_DECLINED;
        }

        return ngx_http_jd_find_member(r, body, subject->pointer, raw);

    default: /* NGX_HTTP_JD_VALUE */
        if (ngx_http_complex_value(r, subject->value, raw) != NGX_OK) {
            return NGX_ERROR;
        }

        return raw->len ? NGX_OK : NGX_DECLINED;
    }
}


ngx_int_t
ngx_http_jd_find_header(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value)
{
    ngx_uint_t        i, exact, found;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    found = 0;
    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;

            if (part->nelts == 0) {
                break;
            }
        }

        if (h[i].key.len != name->len
            || ngx_http_jd_same_name(&h[i], name, &exact) != NGX_OK)
        {
            continue;
        }

        if (found || !exact) {
            return NGX_ERROR;
        }

        found = 1;
        *value = h[i].value;
    }

    return found ? NGX_OK : NGX_DECLINED;
}


/* "X_Card_No" and "X-Card-No" are one variable to CGI and its descendants */

static ngx_int_t
ngx_http_jd_same_name(ngx_table_elt_t *h, ngx_str_t *name, ngx_uint_t *exact)
{
    u_char      a, b;
    ngx_uint_t  i;

    *exact = (ngx_memcmp(h->lowcase_key, name->data, name->len) == 0);

    if (*exact) {
        return NGX_OK;
    }

    for (i = 0; i < name->len; i++) {

        a = h->lowcase_key[i];
        b = name->data[i];

        if (a != b && ((a != '-' && a != '_') || (b != '-' && b != '_'))) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


/* of a query string or a form body */

static ngx_int_t
ngx_http_jd_find_field(ngx_http_request_t *r, ngx_str_t *text,
    ngx_str_t *name, ngx_str_t *raw)
{
    size_t  len;
    u_char  buf[JD_SUBJECT_RAW_MAX];

    if (text->len == 0) {
        return NGX_DECLINED;
    }

    switch (jd_form_find(text->data, text->len, (char *) name->data, name->len,
                         1, buf, JD_SUBJECT_RAW_MAX, &len))
    {
    case JD_FORM_FOUND:
        return ngx_http_jd_copy(r, buf, len, raw);

    case JD_FORM_ABSENT:
        return NGX_DECLINED;

    default: /* JD_FORM_MALFORMED */
        return NGX_ERROR;
    }
}


static ngx_int_t
ngx_http_jd_find_cookie(ngx_http_request_t *r, ngx_str_t *name, ngx_str_t *raw)
{
    size_t            len;
    u_char            buf[JD_SUBJECT_RAW_MAX];
    ngx_int_t         rc;
    ngx_uint_t        i, found;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    found = 0;
    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;

            if (part->nelts == 0) {
                break;
            }
        }

        if (h[i].key.len != sizeof("cookie") - 1
            || ngx_strncmp(h[i].lowcase_key, "cookie", sizeof("cookie") - 1)
               != 0)
        {
            continue;
        }

        rc = jd_cookie_find(h[i].value.data, h[i].value.len,
                            (char *) name->data, name->len,
                            buf, JD_SUBJECT_RAW_MAX, &len);

        if (rc == JD_FORM_ABSENT) {
            continue;
        }

        /* some backends undo percent-encoding in cookies, others do not */

        if (rc == JD_FORM_MALFORMED || found
            || ngx_strlchr(buf, buf + len, '%'))
        {
            return NGX_ERROR;
        }

        found = 1;

        if (ngx_http_jd_copy(r, buf, len, raw) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return found ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_jd_find_member(ngx_http_request_t *r, ngx_str_t *body,
    jd_json_pointer_t *pointer, ngx_str_t *raw)
{
    size_t  len;
    u_char  buf[JD_SUBJECT_RAW_MAX];

    switch (jd_json_find(body->data, body->len, pointer, buf,
                         JD_SUBJECT_RAW_MAX, &len))
    {
    case JD_JSON_FOUND:
        return ngx_http_jd_copy(r, buf, len, raw);

    case JD_JSON_ABSENT:
        return NGX_DECLINED;

    default: /* JD_JSON_MALFORMED */
        return NGX_ERROR;
    }
}


static ngx_int_t
ngx_http_jd_copy(ngx_http_request_t *r, u_char *data, size_t len,
    ngx_str_t *raw)
{
    raw->data = ngx_pnalloc(r->pool, len + 1);
    if (raw->data == NULL) {
        return NGX_ERROR;
    }

    raw->len = len;
    ngx_memcpy(raw->data, data, len);

    return NGX_OK;
}
