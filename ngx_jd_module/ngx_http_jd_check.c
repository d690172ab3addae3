
/*
 * ngx_http_jd_check.c - what nginx -t refuses, warns of, and lists: runs when
 * the whole http block is merged, as it looks at other modules' settings.
 */


#include "ngx_http_jd.h"


#define NGX_HTTP_JD_RETURN    1
#define NGX_HTTP_JD_REDIRECT  2


static ngx_int_t ngx_http_jd_check_location(ngx_conf_t *cf,
    ngx_http_jd_main_conf_t *jmcf, ngx_http_jd_location_t *location);
static void ngx_http_jd_note_enforced(ngx_http_jd_loc_conf_t *conf,
    ngx_str_t *where);
static ngx_uint_t ngx_http_jd_lenient(ngx_http_jd_loc_conf_t *conf);
static char *ngx_http_jd_directive(ngx_http_jd_loc_conf_t *conf);
static ngx_int_t ngx_http_jd_check_return(ngx_conf_t *cf,
    ngx_http_jd_location_t *location, ngx_str_t *where);
static ngx_uint_t ngx_http_jd_find_answer(ngx_array_t *codes);
static ngx_int_t ngx_http_jd_check_buffering(ngx_conf_t *cf,
    ngx_http_jd_location_t *location, ngx_str_t *where);
static char *ngx_http_jd_unbuffered(ngx_conf_t *cf, void **loc_conf);
static void ngx_http_jd_list_gates(ngx_conf_t *cf,
    ngx_http_jd_location_t *location, ngx_str_t *where);
static ngx_int_t ngx_http_jd_where(ngx_conf_t *cf,
    ngx_http_jd_location_t *location, ngx_str_t *where);
static void *ngx_http_jd_conf_of(ngx_conf_t *cf, void **loc_conf,
    const char *name);


ngx_int_t
ngx_http_jd_check(ngx_conf_t *cf, ngx_http_jd_main_conf_t *jmcf)
{
    ngx_uint_t               i;
    ngx_http_jd_location_t  *location;

    location = jmcf->locations.elts;

    for (i = 0; i < jmcf->locations.nelts; i++) {
        if (ngx_http_jd_check_location(cf, jmcf, &location[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_jd_check_location(ngx_conf_t *cf, ngx_http_jd_main_conf_t *jmcf,
    ngx_http_jd_location_t *location)
{
    ngx_str_t                  where;
    ngx_http_jd_loc_conf_t    *conf;
    ngx_http_core_loc_conf_t  *clcf;

    conf = location->conf;

    if (ngx_http_jd_where(cf, location, &where) != NGX_OK) {
        return NGX_ERROR;
    }

    clcf = location->loc_conf[ngx_http_core_module.ctx_index];

    if (conf->subjects == NULL) {

        if (clcf->name.len == 0) {
            /* a server level that only hands the gate down */
            return NGX_OK;
        }

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"%s\" in %V has no \"jd_subject\" in %s:%ui",
                      ngx_http_jd_directive(conf), &where, conf->file,
                      conf->line);
        return NGX_ERROR;
    }

    if (conf->gates && !conf->dry_run
        && conf->desk_url.len == 0 && conf->desk_phone.len == 0)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"jd_dry_run off\" in %V needs \"jd_contest\", the "
                      "desk for people who were taken for others, in %s:%ui",
                      &where, conf->file, conf->line);
        return NGX_ERROR;
    }

    if (conf->gates && !conf->dry_run) {
        ngx_http_jd_note_enforced(conf, &where);
    }

    if ((conf->gates
         && ngx_http_jd_check_brake(cf, jmcf, conf, &where) != NGX_OK)
        || ngx_http_jd_check_return(cf, location, &where) != NGX_OK
        || ngx_http_jd_check_buffering(cf, location, &where) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (clcf->noname || clcf->lmt_excpt) {
        /* "if" and "limit_except" blocks: named with their location */
        return NGX_OK;
    }

    if (conf->in_args) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"jd_subject\" of %V takes an identifier from an "
                      "argument: access and error logs hold the request line, "
                      "in %s:%ui", &where, conf->file, conf->line);
    }

    if (ngx_test_config) {
        ngx_http_jd_list_gates(cf, location, &where);
    }

    return NGX_OK;
}


/* whether there is a ledger is known when the jd block is read, too */

static void
ngx_http_jd_note_enforced(ngx_http_jd_loc_conf_t *conf, ngx_str_t *where)
{
    ngx_uint_t           i;
    ngx_http_jd_gate_t  *gate;

    gate = conf->gates->elts;

    for (i = 0; i < conf->gates->nelts; i++) {

        if (gate[i].list->enforced.len == 0) {
            gate[i].list->enforced = *where;
            gate[i].list->enforced_file = conf->file;
            gate[i].list->enforced_line = conf->line;
        }
    }
}


/* what a location may do wrongly as long as nobody relies on it */

static ngx_uint_t
ngx_http_jd_lenient(ngx_http_jd_loc_conf_t *conf)
{
    return conf->dry_run && conf->counter == NULL;
}


static char *
ngx_http_jd_directive(ngx_http_jd_loc_conf_t *conf)
{
    return conf->counter ? "jd_counter" : "jd_gate";
}


/* a "return" answers in the rewrite phase, before any gate */

static ngx_int_t
ngx_http_jd_check_return(ngx_conf_t *cf, ngx_http_jd_location_t *location,
    ngx_str_t *where)
{
    ngx_uint_t                level;
    ngx_array_t             **codes;
    ngx_http_jd_loc_conf_t   *conf;

    /* the first member of the rewrite module's location configuration */

    codes = ngx_http_jd_conf_of(cf, location->loc_conf,
                                "ngx_http_rewrite_module");

    if (codes == NULL || *codes == NULL) {
        return NGX_OK;
    }

    conf = location->conf;

    switch (ngx_http_jd_find_answer(*codes)) {

    case NGX_HTTP_JD_RETURN:
        level = ngx_http_jd_lenient(conf) ? NGX_LOG_WARN : NGX_LOG_EMERG;

        ngx_log_error(level, cf->log, 0,
                      "\"%s\" in %V is never reached: \"return\" answers "
                      "before it, answer in another location that "
                      "\"try_files\" leads to, in %s:%ui",
                      ngx_http_jd_directive(conf), where, conf->file,
                      conf->line);

        return ngx_http_jd_lenient(conf) ? NGX_OK : NGX_ERROR;

    case NGX_HTTP_JD_REDIRECT:
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"%s\" in %V is not reached by requests that a "
                      "\"rewrite\" of this location redirects, in %s:%ui",
                      ngx_http_jd_directive(conf), where, conf->file,
                      conf->line);

        return NGX_OK;

    default: /* 0 */
        return NGX_OK;
    }
}


/*
 * The codes are structs of different sizes, each begun by the address of its
 * function and made of whole words; what stands in an "if" is skipped.
 */

static ngx_uint_t
ngx_http_jd_find_answer(ngx_array_t *codes)
{
    u_char                         *p, *last;
    ngx_uint_t                      found;
    ngx_http_script_code_pt         code;
    ngx_http_script_if_code_t      *if_code;
#if (NGX_PCRE)
    ngx_http_script_regex_code_t   *regex;
#endif

    found = 0;

    p = codes->elts;
    last = p + codes->nelts;

    while (p + sizeof(uintptr_t) <= last) {

        code = *(ngx_http_script_code_pt *) p;

        if (code == ngx_http_script_return_code) {
            return NGX_HTTP_JD_RETURN;
        }

        if (code == ngx_http_script_if_code) {
            if_code = (ngx_http_script_if_code_t *) p;
            p += if_code->next;
            continue;
        }

#if (NGX_PCRE)
        if (code == ngx_http_script_regex_start_code) {
            regex = (ngx_http_script_regex_code_t *) p;

            if (regex->redirect) {
                found = NGX_HTTP_JD_REDIRECT;
            }

            p += sizeof(ngx_http_script_regex_code_t);
            continue;
        }
#endif

        p += sizeof(uintptr_t);
    }

    return found;
}


/* reading a body in the gate ends its streaming to the backend */

static ngx_int_t
ngx_http_jd_check_buffering(ngx_conf_t *cf, ngx_http_jd_location_t *location,
    ngx_str_t *where)
{
    char                    *directive;
    ngx_http_jd_loc_conf_t  *conf;

    conf = location->conf;

    if (conf->body == 0) {
        return NGX_OK;
    }

    directive = ngx_http_jd_unbuffered(cf, location->loc_conf);

    if (directive == NULL) {
        return NGX_OK;
    }

    if (ngx_http_jd_lenient(conf)) {
        conf->unbuffered = 1;

        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"%s\" in %V: the dry run leaves bodies alone, a "
                      "subject in a body is not seen, in %s:%ui",
                      directive, where, conf->file, conf->line);
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"%s\" in %V cannot stand beside a \"jd_subject\" in the "
                  "body, which has to be read first, in %s:%ui",
                  directive, where, conf->file, conf->line);

    return NGX_ERROR;
}


/* the directive that makes a location pass bodies on as they come, or NULL */

static char *
ngx_http_jd_unbuffered(ngx_conf_t *cf, void **loc_conf)
{
    ngx_uint_t                 i;
    ngx_http_upstream_conf_t  *upstream;
    ngx_http_core_loc_conf_t  *clcf;

    /* the first member of each is ngx_http_upstream_conf_t */

    static struct {
        char                  *module;
        char                  *directive;
    } passes[] = {
        { "ngx_http_proxy_module", "proxy_request_buffering off" },
        { "ngx_http_fastcgi_module", "fastcgi_request_buffering off" },
        { "ngx_http_uwsgi_module", "uwsgi_request_buffering off" },
        { "ngx_http_scgi_module", "scgi_request_buffering off" }
    };

    clcf = loc_conf[ngx_http_core_module.ctx_index];

    if (clcf->handler == NULL) {
        return NULL;
    }

    upstream = ngx_http_jd_conf_of(cf, loc_conf, "ngx_http_grpc_module");

    if (upstream && upstream->upstream) {
        return "grpc_pass";
    }

    for (i = 0; i < sizeof(passes) / sizeof(passes[0]); i++) {

        upstream = ngx_http_jd_conf_of(cf, loc_conf, passes[i].module);

        if (upstream && upstream->request_buffering == 0) {
            return passes[i].directive;
        }
    }

    return NULL;
}


static void
ngx_http_jd_list_gates(ngx_conf_t *cf, ngx_http_jd_location_t *location,
    ngx_str_t *where)
{
    ngx_uint_t           i;
    ngx_http_jd_gate_t  *gate;

    if (location->conf->counter) {
        ngx_log_error(NGX_LOG_NOTICE, cf->log, 0,
                      "jd: %V, list \"%V\": counter, tells the backend of a "
                      "person's orders", where,
                      &location->conf->counter->name);
        return;
    }

    gate = location->conf->gates->elts;

    for (i = 0; i < location->conf->gates->nelts; i++) {
        ngx_log_error(NGX_LOG_NOTICE, cf->log, 0,
                      "jd: %V, list \"%V\", measure \"%s\": %s",
                      where, &gate[i].list->name,
                      jd_measure_names[gate[i].measure],
                      location->conf->dry_run ? "dry run" : "enforcing");
    }
}


/* location "/bus/tap" of server "bus.example" */

static ngx_int_t
ngx_http_jd_where(ngx_conf_t *cf, ngx_http_jd_location_t *location,
    ngx_str_t *where)
{
    u_char                    *p;
    ngx_str_t                 *name, *server;
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_core_srv_conf_t  *cscf;

    clcf = location->loc_conf[ngx_http_core_module.ctx_index];
    cscf = location->srv_conf[ngx_http_core_module.ctx_index];

    name = &clcf->name;
    server = &cscf->server_name;

    p = ngx_pnalloc(cf->pool, sizeof("location \"\" of server \"\"")
                              + name->len + server->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    where->data = p;

    if (name->len) {
        p = ngx_sprintf(p, "location \"%V\" of ", name);
    }

    p = ngx_sprintf(p, "server \"%V\"", server);

    where->len = p - where->data;

    return NGX_OK;
}


/*
 * Configuration of a module that may have been left out of nginx: a reference
 * to it would keep ours from loading.
 */

static void *
ngx_http_jd_conf_of(ngx_conf_t *cf, void **loc_conf, const char *name)
{
    ngx_uint_t  i;

    for (i = 0; cf->cycle->modules[i]; i++) {
        if (ngx_strcmp(cf->cycle->modules[i]->name, name) == 0) {
            return loc_conf[cf->cycle->modules[i]->ctx_index];
        }
    }

    return NULL;
}
