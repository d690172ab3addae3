
/*
 * ngx_jd_module.c - the core module: the jd {} block with its lists, and what
 * starts and ends in a worker.
 */


#include "ngx_jd_module.h"
#include "ngx_jd_zone.h"


/* of cf->cmd_type, in blocks of this module only */
#define NGX_JD_CONF        0x02000000
#define NGX_JD_LIST_CONF   0x04000000


static void *ngx_jd_create_conf(ngx_cycle_t *cycle);
static char *ngx_jd_init_conf(ngx_cycle_t *cycle, void *conf);
static ngx_int_t ngx_jd_init_process(ngx_cycle_t *cycle);
static void ngx_jd_exit_process(ngx_cycle_t *cycle);

static char *ngx_jd_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_jd_key_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_jd_ledger_slot(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_jd_list_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);


static ngx_command_t  ngx_jd_commands[] = {

    { ngx_string("jd"),
      NGX_MAIN_CONF|NGX_DIRECT_CONF|NGX_CONF_BLOCK|NGX_CONF_NOARGS,
      ngx_jd_block,
      0,
      0,
      NULL },

    { ngx_string("key_file"),
      NGX_JD_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_jd_key_file,
      0,
      0,
      NULL },

    { ngx_string("ledger"),
      NGX_JD_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE3,
      ngx_jd_ledger_slot,
      0,
      0,
      NULL },

    { ngx_string("list"),
      NGX_JD_CONF|NGX_DIRECT_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_jd_list_block,
      0,
      0,
      NULL },

    { ngx_string("redis"),
      NGX_JD_LIST_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_jd_redis,
      0,
      0,
      NULL },

    { ngx_string("redis_ledger"),
      NGX_JD_LIST_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_jd_redis_ledger,
      0,
      0,
      NULL },

    { ngx_string("redis_auth"),
      NGX_JD_LIST_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_jd_redis_auth,
      0,
      0,
      NULL },

    { ngx_string("zone"),
      NGX_JD_LIST_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_jd_zone,
      0,
      0,
      NULL },

    { ngx_string("timeout"),
      NGX_JD_LIST_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_jd_timeout,
      0,
      0,
      NULL },

    { ngx_string("max_stale"),
      NGX_JD_LIST_CONF|NGX_DIRECT_CONF|NGX_CONF_TAKE1,
      ngx_jd_max_stale,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_core_module_t  ngx_jd_module_ctx = {
    ngx_string("jd"),
    ngx_jd_create_conf,
    ngx_jd_init_conf
};


ngx_module_t  ngx_jd_module = {
    NGX_MODULE_V1,
    &ngx_jd_module_ctx,                    /* module context */
    ngx_jd_commands,                       /* module directives */
    NGX_CORE_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_jd_init_process,                   /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_jd_exit_process,                   /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_jd_list_t *
ngx_jd_list_ref(ngx_conf_t *cf, ngx_str_t *name)
{
    ngx_uint_t       i;
    ngx_jd_conf_t   *jcf;
    ngx_jd_list_t   *list, **lists;

    jcf = (ngx_jd_conf_t *) ngx_get_conf(cf->cycle->conf_ctx, ngx_jd_module);

    lists = jcf->lists.elts;

    for (i = 0; i < jcf->lists.nelts; i++) {
        if (lists[i]->name.len == name->len
            && ngx_strncmp(lists[i]->name.data, name->data, name->len) == 0)
        {
            return lists[i];
        }
    }

    list = ngx_pcalloc(cf->pool, sizeof(ngx_jd_list_t));
    if (list == NULL) {
        return NULL;
    }

    lists = ngx_array_push(&jcf->lists);
    if (lists == NULL) {
        return NULL;
    }

    *lists = list;

    list->name = *name;
    list->keys = &jcf->keys;
    list->conf_file = cf->conf_file->file.name.data;
    list->conf_line = cf->conf_file->line;
    list->log = cf->cycle->log;

    return list;
}


ngx_array_t *
ngx_jd_lists(ngx_cycle_t *cycle)
{
    ngx_jd_conf_t  *jcf;

    jcf = (ngx_jd_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_jd_module);

    return jcf->block ? &jcf->lists : NULL;
}


ngx_jd_ledger_conf_t *
ngx_jd_ledger_conf(ngx_cycle_t *cycle)
{
    ngx_jd_conf_t  *jcf;

    jcf = (ngx_jd_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_jd_module);

    return jcf && jcf->block ? &jcf->ledger : NULL;
}


static void *
ngx_jd_create_conf(ngx_cycle_t *cycle)
{
    ngx_jd_conf_t  *jcf;

    jcf = ngx_pcalloc(cycle->pool, sizeof(ngx_jd_conf_t));
    if (jcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&jcf->lists, cycle->pool, 4, sizeof(ngx_jd_list_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return jcf;
}


static char *
ngx_jd_init_conf(ngx_cycle_t *cycle, void *conf)
{
    ngx_jd_conf_t *jcf = conf;

    int              index;
    ngx_uint_t       i;
    ngx_jd_list_t  **lists;

    lists = jcf->lists.elts;

    for (i = 0; i < jcf->lists.nelts; i++) {
        if (!lists[i]->defined) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                          "unknown list \"%V\" in %s:%ui, "
                          "define it by \"list %V { ... }\" in \"jd { }\"",
                          &lists[i]->name, lists[i]->conf_file,
                          lists[i]->conf_line, &lists[i]->name);
            return NGX_CONF_ERROR;
        }

        if (lists[i]->enforced.len && jcf->ledger.name.data == NULL) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                          "\"jd_dry_run off\" in %V needs a \"ledger\" in "
                          "\"jd { }\", as a denial that nobody can account for "
                          "is not made, in %s:%ui",
                          &lists[i]->enforced, lists[i]->enforced_file,
                          lists[i]->enforced_line);
            return NGX_CONF_ERROR;
        }
    }

    if (ngx_jd_ledger_open(cycle, &jcf->ledger) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (jcf->ledger.ledger == NULL) {
        return NGX_CONF_OK;
    }

    for (i = 0; i < jcf->lists.nelts; i++) {

        index = jd_cells_list(&jcf->ledger.ledger->cells,
                              (char *) lists[i]->name.data);

        if (index == -1) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                          "\"ledger\" \"%V\" has no place for list \"%V\", "
                          "it holds at most %d",
                          &jcf->ledger.name, &lists[i]->name, JD_CELLS_LISTS);
            return NGX_CONF_ERROR;
        }

        lists[i]->ledger = jcf->ledger.ledger;
        lists[i]->ledger_index = index;
    }

    return NGX_CONF_OK;
}


/* An error here would end the worker for good (it is not respawned). */

static ngx_int_t
ngx_jd_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t       i;
    ngx_array_t     *lists;
    ngx_jd_list_t  **list;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    lists = ngx_jd_lists(cycle);
    if (lists == NULL) {
        return NGX_OK;
    }

    list = lists->elts;

    for (i = 0; i < lists->nelts; i++) {
        list[i]->log = cycle->log;

        ngx_jd_zone_attach(list[i]);
        ngx_jd_confirm_init(cycle, list[i]);

        if (ngx_worker == 0) {
            ngx_jd_follow_init(cycle, list[i]);

            if (list[i]->ledger) {
                ngx_jd_push_init(cycle, list[i]);
            }
        }
    }

    return NGX_OK;
}


static void
ngx_jd_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t       i;
    ngx_array_t     *lists;
    ngx_jd_list_t  **list;

    lists = ngx_jd_lists(cycle);
    if (lists == NULL) {
        return;
    }

    list = lists->elts;

    for (i = 0; i < lists->nelts; i++) {
        ngx_jd_follow_exit(list[i]);
        ngx_jd_confirm_exit(list[i]);
        ngx_jd_push_exit(list[i]);
    }
}


static char *
ngx_jd_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_jd_conf_t *jcf = conf;

    char            *rv;
    ngx_conf_t       save;
    ngx_uint_t       i;
    ngx_jd_list_t  **lists;

    if (jcf->block) {
        return "is duplicate";
    }

    jcf->block = 1;

    save = *cf;

    cf->module_type = NGX_CORE_MODULE;
    cf->cmd_type = NGX_JD_CONF;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    lists = jcf->lists.elts;

    for (i = 0; i < jcf->lists.nelts; i++) {

        if (!lists[i]->defined) {
            /* named in a http block above, init_conf tells where */
            continue;
        }

        if (jcf->keys.n == 0) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "no \"key_file\" in \"jd { }\", the lists need "
                               "the digest key");
            return NGX_CONF_ERROR;
        }

        if (ngx_jd_zone_add(cf, lists[i]) != NGX_OK) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_jd_key_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_jd_conf_t *jcf = conf;

    int          line;
    size_t       len;
    u_char       buf[NGX_JD_FILE_MAX];
    ngx_str_t   *value;
    const char  *why;

    if (jcf->keys.n) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_jd_read_file(cf, &value[1], buf, &len) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    line = jd_keys_parse(&jcf->keys, (char *) buf, len, &why);

    ngx_explicit_memzero(buf, sizeof(buf));

    if (line != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"key_file\" \"%V\", line %d: %s",
                           &value[1], line, why);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_jd_ledger_slot(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_jd_conf_t *jcf = conf;

    return ngx_jd_ledger(cf, &jcf->ledger);
}


static char *
ngx_jd_list_block(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_jd_conf_t *jcf = conf;

    char           *rv;
    ngx_str_t      *value;
    ngx_conf_t      save;
    ngx_jd_list_t  *list;

    value = cf->args->elts;

    if (!jd_list_name_ok((char *) value[1].data, value[1].len)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid list name \"%V\", use a-z, 0-9 and \"_\", "
                           "at most %d characters",
                           &value[1], JD_LIST_NAME_MAX);
        return NGX_CONF_ERROR;
    }

    list = ngx_jd_list_ref(cf, &value[1]);
    if (list == NULL) {
        return NGX_CONF_ERROR;
    }

    if (list->defined) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "duplicate list \"%V\"",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    list->defined = 1;
    list->zone_size = NGX_CONF_UNSET_SIZE;
    list->timeout = NGX_CONF_UNSET_MSEC;
    list->max_stale = NGX_CONF_UNSET;

    if (ngx_array_init(&list->servers, cf->pool, 2, sizeof(ngx_addr_t))
        != NGX_OK
        || ngx_array_init(&list->ledger_servers, cf->pool, 1,
                          sizeof(ngx_addr_t))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    save = *cf;

    cf->cmd_type = NGX_JD_LIST_CONF;
    jcf->list = list;

    rv = ngx_conf_parse(cf, NULL);

    *cf = save;

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    return ngx_jd_list_finish(cf, list);
}
