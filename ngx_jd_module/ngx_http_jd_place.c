
/*
 * ngx_http_jd_place.c - the directive jd_subject: a scheme, and the place in
 * a request where the subject is.
 */


#include "ngx_http_jd.h"


static char *ngx_http_jd_subject_place(ngx_conf_t *cf,
    ngx_http_jd_subject_t *subject);
static char *ngx_http_jd_subject_header(ngx_conf_t *cf,
    ngx_http_jd_subject_t *subject);
static char *ngx_http_jd_subject_pointer(ngx_conf_t *cf,
    ngx_http_jd_subject_t *subject);
static char *ngx_http_jd_subject_value(ngx_conf_t *cf,
    ngx_http_jd_subject_t *subject);


/* of a place, in the order of ngx_http_jd_place_e */
static ngx_str_t  ngx_http_jd_places[] = {
    ngx_string("header:"),
    ngx_string("arg:"),
    ngx_string("cookie:"),
    ngx_string("form:"),
    ngx_string("json:"),
    ngx_string("value:")
};


char *
ngx_http_jd_subject(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_jd_loc_conf_t *jlcf = conf;

    int                     scheme;
    ngx_str_t              *value;
    ngx_uint_t              i;
    ngx_http_jd_subject_t  *subject;

    value = cf->args->elts;

    scheme = jd_scheme_parse((char *) value[1].data, value[1].len);

    if (scheme == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown scheme \"%V\" in \"jd_subject\", known "
                           "are: cnid, uscc, patron, card, uid", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (jlcf->subjects == NGX_CONF_UNSET_PTR) {
        jlcf->subjects = ngx_array_create(cf->pool, 2,
                                          sizeof(ngx_http_jd_subject_t));
        if (jlcf->subjects == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    if (jlcf->subjects->nelts == NGX_HTTP_JD_SUBJECTS_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "too many \"jd_subject\" lines, at most %d",
                           NGX_HTTP_JD_SUBJECTS_MAX);
        return NGX_CONF_ERROR;
    }

    subject = jlcf->subjects->elts;

    for (i = 0; i < jlcf->subjects->nelts; i++) {
        if (subject[i].scheme == (jd_scheme_t) scheme
            && subject[i].text.len == value[2].len
            && ngx_strcmp(subject[i].text.data, value[2].data) == 0)
        {
            return "is duplicate";
        }
    }

    subject = ngx_array_push(jlcf->subjects);
    if (subject == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(subject, sizeof(ngx_http_jd_subject_t));

    subject->scheme = scheme;
    subject->text = value[2];

    return ngx_http_jd_subject_place(cf, subject);
}


static char *
ngx_http_jd_subject_place(ngx_conf_t *cf, ngx_http_jd_subject_t *subject)
{
    ngx_str_t   *prefix;
    ngx_uint_t   i;

    for (i = 0; i < sizeof(ngx_http_jd_places) / sizeof(ngx_str_t); i++) {

        prefix = &ngx_http_jd_places[i];

        if (subject->text.len <= prefix->len
            || ngx_strncmp(subject->text.data, prefix->data, prefix->len) != 0)
        {
            continue;
        }

        subject->place = i;
        subject->name.data = subject->text.data + prefix->len;
        subject->name.len = subject->text.len - prefix->len;

        switch (subject->place) {

        case NGX_HTTP_JD_HEADER:
            return ngx_http_jd_subject_header(cf, subject);

        case NGX_HTTP_JD_JSON:
            return ngx_http_jd_subject_pointer(cf, subject);

        case NGX_HTTP_JD_VALUE:
            return ngx_http_jd_subject_value(cf, subject);

        default: /* NGX_HTTP_JD_ARG, NGX_HTTP_JD_COOKIE, NGX_HTTP_JD_FORM */
            return NGX_CONF_OK;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid place \"%V\" in \"jd_subject\", it is "
                       "header:NAME, arg:NAME, cookie:NAME, form:NAME, "
                       "json:/POINTER or value:$VARIABLE", &subject->text);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_jd_subject_header(ngx_conf_t *cf, ngx_http_jd_subject_t *subject)
{
    u_char      *p, ch;
    ngx_uint_t   i;

    p = ngx_pnalloc(cf->pool, subject->name.len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 0; i < subject->name.len; i++) {
        ch = ngx_tolower(subject->name.data[i]);

        if (!(ch >= 'a' && ch <= 'z') && !(ch >= '0' && ch <= '9')
            && ch != '-' && ch != '_')
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid header name in \"jd_subject\" \"%V\", "
                               "it is of letters, digits, \"-\" and \"_\"",
                               &subject->text);
            return NGX_CONF_ERROR;
        }

        p[i] = ch;
    }

    subject->name.data = p;

    return NGX_CONF_OK;
}


static char *
ngx_http_jd_subject_pointer(ngx_conf_t *cf, ngx_http_jd_subject_t *subject)
{
    subject->pointer = ngx_palloc(cf->pool, sizeof(jd_json_pointer_t));
    if (subject->pointer == NULL) {
        return NGX_CONF_ERROR;
    }

    if (jd_json_pointer_parse(subject->pointer, (char *) subject->name.data,
                              subject->name.len)
        != 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid JSON pointer in \"jd_subject\" \"%V\", it "
                           "begins with \"/\" and has at most %d tokens of at "
                           "most %d bytes",
                           &subject->text, JD_JSON_POINTER_MAX,
                           JD_JSON_TOKEN_MAX);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_jd_subject_value(ngx_conf_t *cf, ngx_http_jd_subject_t *subject)
{
    ngx_http_compile_complex_value_t  ccv;

    subject->value = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (subject->value == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = &subject->name;
    ccv.complex_value = subject->value;

    if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (subject->value->lengths == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"jd_subject\" \"%V\" has no variable: every "
                           "request would be of one person", &subject->text);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
