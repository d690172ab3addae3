
/*
 * ngx_jd_list.c - the directives of a list block, and files with secrets.
 */


#include "ngx_jd_module.h"
#include "ngx_jd_zone.h"


static ngx_int_t ngx_jd_address(ngx_conf_t *cf, ngx_array_t *servers);


char *
ngx_jd_list_finish(ngx_conf_t *cf, ngx_jd_list_t *list)
{
    ngx_addr_t  *addr;

    if (list->servers.nelts == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no \"redis\" in list \"%V\"", &list->name);
        return NGX_CONF_ERROR;
    }

    if (list->zone_size == (ssize_t) NGX_CONF_UNSET_SIZE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no \"zone\" in list \"%V\"", &list->name);
        return NGX_CONF_ERROR;
    }

    if (list->ledger_servers.nelts == 0) {
        addr = ngx_array_push(&list->ledger_servers);
        if (addr == NULL) {
            return NGX_CONF_ERROR;
        }

        *addr = *(ngx_addr_t *) list->servers.elts;
    }

    ngx_conf_init_msec_value(list->timeout, 50);
    ngx_conf_init_value(list->max_stale, 3600);

    return NGX_CONF_OK;
}


char *
ngx_jd_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_jd_conf_t *jcf = conf;

    if (ngx_jd_address(cf, &jcf->list->servers) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_jd_redis_ledger(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_jd_conf_t *jcf = conf;

    if (jcf->list->ledger_servers.nelts) {
        return "is duplicate";
    }

    if (ngx_jd_address(cf, &jcf->list->ledger_servers) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* the directive's parameter */

static ngx_int_t
ngx_jd_address(ngx_conf_t *cf, ngx_array_t *servers)
{
    ngx_url_t    u;
    ngx_str_t   *value;
    ngx_addr_t  *addr;

    value = cf->args->elts;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = value[1];
    u.default_port = 6379;
    u.no_resolve = 1;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s in \"%V\" \"%V\"",
                           u.err ? u.err : "error", &value[0], &value[1]);
        return NGX_ERROR;
    }

    if (u.naddrs != 1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" \"%V\" needs a numeric address or "
                           "\"unix:/path\", as a host name would be resolved "
                           "while requests wait", &value[0], &value[1]);
        return NGX_ERROR;
    }

    addr = ngx_array_push(servers);
    if (addr == NULL) {
        return NGX_ERROR;
    }

    *addr = u.addrs[0];

    return NGX_OK;
}


char *
ngx_jd_redis_auth(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_jd_conf_t *jcf = conf;

    size_t          len;
    u_char          buf[NGX_JD_FILE_MAX], *p, *last;
    ngx_str_t      *value, line;
    ngx_jd_list_t  *list;

    list = jcf->list;

    if (list->auth_password.len) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_jd_read_file(cf, &value[1], buf, &len) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    last = buf + len;

    for (p = buf; p < last && *p != CR && *p != LF; p++) { /* void */ }

    line.len = p - buf;
    line.data = ngx_pnalloc(cf->pool, line.len);
    if (line.data == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memcpy(line.data, buf, line.len);
    ngx_explicit_memzero(buf, sizeof(buf));

    last = line.data + line.len;
    p = ngx_strlchr(line.data, last, ' ');

    if (p) {
        list->auth_user.data = line.data;
        list->auth_user.len = p++ - line.data;

    } else {
        p = line.data;
    }

    list->auth_password.data = p;
    list->auth_password.len = last - p;

    if (list->auth_password.len == 0 || (p != line.data
                                         && list->auth_user.len == 0))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"redis_auth\" \"%V\" needs a first line "
                           "\"password\" or \"user password\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_jd_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_jd_conf_t *jcf = conf;

    ngx_str_t  *value;

    if (jcf->list->zone_size != (ssize_t) NGX_CONF_UNSET_SIZE) {
        return "is duplicate";
    }

    value = cf->args->elts;

    jcf->list->zone_size = ngx_parse_size(&value[1]);

    if (jcf->list->zone_size == NGX_ERROR) {
        return "has an invalid size";
    }

    return NGX_CONF_OK;
}


char *
ngx_jd_timeout(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_jd_conf_t *jcf = conf;

    ngx_int_t   msec;
    ngx_str_t  *value;

    if (jcf->list->timeout != NGX_CONF_UNSET_MSEC) {
        return "is duplicate";
    }

    value = cf->args->elts;

    msec = ngx_parse_time(&value[1], 0);

    if (msec == NGX_ERROR || msec == 0) {
        return "has an invalid time, it must be above 0";
    }

    jcf->list->timeout = (ngx_msec_t) msec;

    return NGX_CONF_OK;
}


char *
ngx_jd_max_stale(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_jd_conf_t *jcf = conf;

    ngx_int_t   sec;
    ngx_str_t  *value;

    if (jcf->list->max_stale != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    sec = ngx_parse_time(&value[1], 1);

    if (sec == NGX_ERROR || sec == 0) {
        return "has an invalid time, it must be above 0";
    }

    if (sec > JD_MAX_STALE_SEC) {
        return "is above 72h, the longest that a list may be enforced "
               "without contact to its issuer";
    }

    jcf->list->max_stale = sec;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_jd_read_file(ngx_conf_t *cf, ngx_str_t *name,
    u_char buf[NGX_JD_FILE_MAX], size_t *len)
{
    ssize_t          n;
    ngx_fd_t         fd;
    ngx_file_info_t  fi;

    if (ngx_conf_full_name(cf->cycle, name, 1) != NGX_OK) {
        return NGX_ERROR;
    }

    fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", name);
        return NGX_ERROR;
    }

    n = -1;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", name);

    } else if (ngx_file_access(&fi) & 0007) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" holds a secret and others may use it, "
                           "run: chmod o= \"%V\"", name, name);

    } else if (ngx_file_size(&fi) > NGX_JD_FILE_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is longer than %d bytes",
                           name, NGX_JD_FILE_MAX);

    } else {
        n = ngx_read_fd(fd, buf, NGX_JD_FILE_MAX);

        if (n == -1) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                               ngx_read_fd_n " \"%V\" failed", name);
        }
    }

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", name);
    }

    if (n == -1) {
        return NGX_ERROR;
    }

    *len = n;

    return NGX_OK;
}
