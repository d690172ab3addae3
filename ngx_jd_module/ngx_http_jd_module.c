
/*
 * ngx_http_jd_module.c - directives of the HTTP gate and their merging.
 */


#include "ngx_http_jd.h"


static void *ngx_http_jd_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_jd_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_jd_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static void ngx_http_jd_derive(ngx_http_jd_loc_conf_t *conf);
static char *ngx_http_jd_gate(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_jd_contest(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_jd_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_jd_deny_status(ngx_conf_t *cf, void *post, void *data);
static ngx_int_t ngx_http_jd_init(ngx_conf_t *cf);


static ngx_conf_enum_t  ngx_http_jd_malformed[] = {
    { ngx_string("pass"), NGX_HTTP_JD_MALFORMED_PASS },
    { ngx_string("reject"), NGX_HTTP_JD_MALFORMED_REJECT },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_jd_answers[] = {
    { ngx_string("problem"), NGX_HTTP_JD_ANSWER_PROBLEM },
    { ngx_string("text"), NGX_HTTP_JD_ANSWER_TEXT },
    { ngx_string("off"), NGX_HTTP_JD_ANSWER_OFF },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_jd_log_levels[] = {
    { ngx_string("info"), NGX_LOG_INFO },
    { ngx_string("notice"), NGX_LOG_NOTICE },
    { ngx_string("warn"), NGX_LOG_WARN },
    { ngx_string("error"), NGX_LOG_ERR },
    { ngx_null_string, 0 }
};


static ngx_jd_brake_t  ngx_http_jd_no_brake;


static ngx_conf_post_t  ngx_http_jd_deny_status_post = {
    ngx_http_jd_deny_status
};


static ngx_command_t  ngx_http_jd_commands[] = {

    { ngx_string("jd_gate"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_jd_gate,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("jd_counter"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_jd_counter,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("jd_subject"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE2,
      ngx_http_jd_subject,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("jd_exempt"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_set_predicate_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_jd_loc_conf_t, exempt),
      NULL },

    { ngx_string("jd_dry_run"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_jd_loc_conf_t, dry_run),
      NULL },

    { ngx_string("jd_contest"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE12,
      ngx_http_jd_contest,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("jd_malformed"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_jd_loc_conf_t, malformed),
      &ngx_http_jd_malformed },

    { ngx_string("jd_deny_status"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_jd_loc_conf_t, deny_status),
      &ngx_http_jd_deny_status_post },

    { ngx_string("jd_answer"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_jd_loc_conf_t, answer),
      &ngx_http_jd_answers },

    { ngx_string("jd_brake"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1
                        |NGX_CONF_TAKE3,
      ngx_http_jd_brake,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("jd_log_level"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_jd_loc_conf_t, log_level),
      &ngx_http_jd_log_levels },

    { ngx_string("jd_body_max"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_jd_loc_conf_t, body_max),
      NULL },

    { ngx_string("jd_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS|NGX_CONF_TAKE1,
      ngx_http_jd_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_jd_module_ctx = {
    ngx_http_jd_add_variables,             /* preconfiguration */
    ngx_http_jd_init,                      /* postconfiguration */

    ngx_http_jd_create_main_conf,          /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_jd_create_loc_conf,           /* create location configuration */
    ngx_http_jd_merge_loc_conf             /* merge location configuration */
};


ngx_module_t  ngx_http_jd_module = {
    NGX_MODULE_V1,
    &ngx_http_jd_module_ctx,               /* module context */
    ngx_http_jd_commands,                  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_jd_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_jd_main_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_jd_main_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&conf->locations, cf->pool, 8,
                       sizeof(ngx_http_jd_location_t))
        != NGX_OK
        || ngx_array_init(&conf->brakes, cf->pool, 8,
                          sizeof(ngx_http_jd_brake_use_t))
           != NGX_OK)
    {
        return NULL;
    }

    return conf;
}


static void *
ngx_http_jd_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_jd_loc_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_jd_loc_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     conf->desk_url = { 0, NULL };
     *     conf->desk_phone = { 0, NULL };
     *     conf->body = 0;
     *     conf->status = 0;
     *     conf->file = NULL;
     *     conf->line = 0;
     *     conf->brake_file = NULL;
     *     conf->brake_line = 0;
     *     conf->own = 0;
     *     conf->in_args = 0;
     *     conf->unbuffered = 0;
     */

    conf->gates = NGX_CONF_UNSET_PTR;
    conf->counter = NGX_CONF_UNSET_PTR;
    conf->subjects = NGX_CONF_UNSET_PTR;
    conf->exempt = NGX_CONF_UNSET_PTR;
    conf->dry_run = NGX_CONF_UNSET;
    conf->malformed = NGX_CONF_UNSET_UINT;
    conf->deny_status = NGX_CONF_UNSET_UINT;
    conf->answer = NGX_CONF_UNSET_UINT;
    conf->log_level = NGX_CONF_UNSET_UINT;
    conf->body_max = NGX_CONF_UNSET_SIZE;
    conf->brake = NGX_CONF_UNSET_PTR;

    return conf;
}


static char *
ngx_http_jd_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_jd_loc_conf_t *prev = parent;
    ngx_http_jd_loc_conf_t *conf = child;

    ngx_http_conf_ctx_t      *ctx;
    ngx_http_jd_location_t   *location;
    ngx_http_jd_main_conf_t  *jmcf;

    if (conf->file == NULL) {
        conf->file = prev->file;
        conf->line = prev->line;
    }

    if (conf->brake == NGX_CONF_UNSET_PTR) {
        conf->brake_file = prev->brake_file;
        conf->brake_line = prev->brake_line;
    }

    if (conf->desk_url.len == 0 && conf->desk_phone.len == 0) {
        conf->desk_url = prev->desk_url;
        conf->desk_phone = prev->desk_phone;
    }

    if (conf->counter == NGX_CONF_UNSET_PTR && conf->own) {
        /* a gate inside a counter's location replaces it */
        conf->counter = NULL;
    }

    ngx_conf_merge_ptr_value(conf->gates, prev->gates, NULL);
    ngx_conf_merge_ptr_value(conf->counter, prev->counter, NULL);
    ngx_conf_merge_ptr_value(conf->subjects, prev->subjects, NULL);
    ngx_conf_merge_ptr_value(conf->exempt, prev->exempt, NULL);
    ngx_conf_merge_value(conf->dry_run, prev->dry_run, 1);
    ngx_conf_merge_uint_value(conf->malformed, prev->malformed,
                              NGX_HTTP_JD_MALFORMED_PASS);
    ngx_conf_merge_uint_value(conf->deny_status, prev->deny_status,
                              NGX_HTTP_FORBIDDEN);
    ngx_conf_merge_uint_value(conf->answer, prev->answer,
                              NGX_HTTP_JD_ANSWER_PROBLEM);
    ngx_conf_merge_uint_value(conf->log_level, prev->log_level, NGX_LOG_INFO);
    ngx_conf_merge_size_value(conf->body_max, prev->body_max, 0);

    ngx_conf_merge_ptr_value(conf->brake, prev->brake, &ngx_http_jd_no_brake);

    if (conf->gates == NULL && conf->counter == NULL) {
        return NGX_CONF_OK;
    }

    if (conf->gates && conf->counter) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"jd_counter\" beside \"jd_gate\", in %s:%ui: a "
                           "counter is ungated, write \"jd_gate off\" where "
                           "a gate is inherited", conf->file, conf->line);
        return NGX_CONF_ERROR;
    }

    ngx_http_jd_derive(conf);

    jmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_jd_module);

    location = ngx_array_push(&jmcf->locations);
    if (location == NULL) {
        return NGX_CONF_ERROR;
    }

    ctx = cf->ctx;

    location->conf = conf;
    location->loc_conf = ctx->loc_conf;
    location->srv_conf = ctx->srv_conf;

    return NGX_CONF_OK;
}


static void
ngx_http_jd_derive(ngx_http_jd_loc_conf_t *conf)
{
    ngx_uint_t              i;
    ngx_http_jd_subject_t  *subject;

    if (conf->subjects == NULL) {
        return;
    }

    subject = conf->subjects->elts;

    for (i = 0; i < conf->subjects->nelts; i++) {

        switch (subject[i].place) {

        case NGX_HTTP_JD_ARG:
            conf->in_args = 1;
            break;

        case NGX_HTTP_JD_FORM:
            conf->body |= NGX_HTTP_JD_BODY_FORM;
            break;

        case NGX_HTTP_JD_JSON:
            conf->body |= NGX_HTTP_JD_BODY_JSON;
            break;

        default:
            break;
        }
    }
}


static char *
ngx_http_jd_gate(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_jd_loc_conf_t *jlcf = conf;

    int                  bit;
    ngx_str_t           *value;
    ngx_uint_t           i;
    ngx_jd_list_t       *list;
    ngx_http_jd_gate_t  *gate;

    value = cf->args->elts;

    if (cf->args->nelts == 2) {

        if (ngx_strcmp(value[1].data, "off") != 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"jd_gate\" needs a list and a measure, "
                               "or \"off\"");
            return NGX_CONF_ERROR;
        }

        if (jlcf->gates != NGX_CONF_UNSET_PTR) {
            return "is duplicate: \"off\" stands alone";
        }

        jlcf->gates = NULL;

        return NGX_CONF_OK;
    }

    if (jlcf->gates == NULL) {
        return "is duplicate: \"off\" stands alone";
    }

    bit = jd_measure_bit((char *) value[2].data, value[2].len);

    if (bit == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown measure \"%V\" in \"jd_gate\", "
                           "known are: %s", &value[2], jd_measure_list());
        return NGX_CONF_ERROR;
    }

    list = ngx_http_jd_list_arg(cf, "jd_gate", &value[1]);
    if (list == NULL) {
        return NGX_CONF_ERROR;
    }

    if (jlcf->gates == NGX_CONF_UNSET_PTR) {
        jlcf->gates = ngx_array_create(cf->pool, 2,
                                       sizeof(ngx_http_jd_gate_t));
        if (jlcf->gates == NULL) {
            return NGX_CONF_ERROR;
        }

        jlcf->own = 1;
        ngx_http_jd_stands(cf, jlcf);
    }

    gate = jlcf->gates->elts;

    for (i = 0; i < jlcf->gates->nelts; i++) {
        if (gate[i].list == list && gate[i].measure == (ngx_uint_t) bit) {
            return "is duplicate: this list and measure stand here already";
        }
    }

    gate = ngx_array_push(jlcf->gates);
    if (gate == NULL) {
        return NGX_CONF_ERROR;
    }

    gate->list = list;
    gate->measure = bit;

    return NGX_CONF_OK;
}


ngx_jd_list_t *
ngx_http_jd_list_arg(ngx_conf_t *cf, char *directive, ngx_str_t *name)
{
    if (!jd_list_name_ok((char *) name->data, name->len)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid list name \"%V\" in \"%s\", "
                           "it is of a-z, 0-9 and \"_\", at most %d",
                           name, directive, JD_LIST_NAME_MAX);
        return NULL;
    }

    return ngx_jd_list_ref(cf, name);
}


void
ngx_http_jd_stands(ngx_conf_t *cf, ngx_http_jd_loc_conf_t *jlcf)
{
    jlcf->file = cf->conf_file->file.name.data;
    jlcf->line = cf->conf_file->line;
}


static char *
ngx_http_jd_contest(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_jd_loc_conf_t *jlcf = conf;

    ngx_str_t   *value;
    ngx_uint_t   i;

    if (jlcf->desk_url.len || jlcf->desk_phone.len) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "phone=", 6) == 0
            && value[i].len > 6 && jlcf->desk_phone.len == 0)
        {
            jlcf->desk_phone.data = value[i].data + 6;
            jlcf->desk_phone.len = value[i].len - 6;
            continue;
        }

        if ((ngx_strncmp(value[i].data, "https://", 8) == 0
             || ngx_strncmp(value[i].data, "http://", 7) == 0)
            && jlcf->desk_url.len == 0)
        {
            jlcf->desk_url = value[i];
            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"jd_contest\", it is "
                           "the https:// address of the operator's desk, "
                           "phone=NUMBER, or both", &value[i]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_jd_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_jd_loc_conf_t *jlcf = conf;

    ngx_str_t                 *value;
    ngx_http_core_loc_conf_t  *clcf;

    if (jlcf->status) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 1 || ngx_strcmp(value[1].data, "json") == 0) {
        jlcf->status = NGX_HTTP_JD_STATUS_JSON;

    } else if (ngx_strcmp(value[1].data, "prometheus") == 0) {
        jlcf->status = NGX_HTTP_JD_STATUS_PROMETHEUS;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid format \"%V\" in \"jd_status\", "
                           "it is \"json\" or \"prometheus\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_jd_status_handler;

    return NGX_CONF_OK;
}


static char *
ngx_http_jd_deny_status(ngx_conf_t *cf, void *post, void *data)
{
    ngx_uint_t *status = data;

    /* 401, 407 need a challenge; 408, 444 and above 493 mean more to nginx */

    if (*status < 400 || *status > 493
        || *status == NGX_HTTP_UNAUTHORIZED || *status == 407
        || *status == NGX_HTTP_REQUEST_TIME_OUT || *status == NGX_HTTP_CLOSE)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"jd_deny_status\" must be between 400 and 493, "
                           "and not 401, 407, 408 or 444");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_jd_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt        *h;
    ngx_http_jd_main_conf_t    *jmcf;
    ngx_http_core_main_conf_t  *cmcf;

    jmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_jd_module);

    if (jmcf->locations.nelts == 0) {
        return NGX_OK;
    }

    if (ngx_http_jd_check(cf, jmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_jd_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_jd_log_handler;

    return NGX_OK;
}
