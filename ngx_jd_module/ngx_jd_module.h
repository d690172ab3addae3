
/*
 * ngx_jd_module.h - configuration, and what each process begins and ends.
 */

#ifndef _NGX_JD_MODULE_H_INCLUDED_
#define _NGX_JD_MODULE_H_INCLUDED_


#include "ngx_jd.h"


/* the directive ledger */

typedef struct {
    ngx_str_t          name;               /* of the file; no data: no directive */
    ngx_str_t          gateway;
    ssize_t            size;
    ngx_jd_ledger_t   *ledger;             /* NULL in nginx -t */
} ngx_jd_ledger_conf_t;


/* module and list: configuration */

typedef struct {
    ngx_array_t            lists;    /* of ngx_jd_list_t * */
    ngx_jd_list_t         *list;     /* whose block is read now */
    jd_keys_t              keys;     /* n = 0: no key_file yet */
    ngx_jd_ledger_conf_t   ledger;
    ngx_uint_t             block;    /* a jd block was seen */
} ngx_jd_conf_t;

#define NGX_JD_FILE_MAX  4096

/* Reads a file with a secret, whole; the caller wipes `buf`. Refuses, logged, one that everybody may read. */
ngx_int_t ngx_jd_read_file(ngx_conf_t *cf, ngx_str_t *name, u_char buf[NGX_JD_FILE_MAX], size_t *len);

/* Directives of the list block that conf->list is; list_finish at its end checks and fills in. */
char *ngx_jd_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_jd_redis_ledger(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_jd_redis_auth(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_jd_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_jd_timeout(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_jd_max_stale(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_jd_list_finish(ngx_conf_t *cf, ngx_jd_list_t *list);


/* ledger: the file */

/* The directive: FILE SIZE gateway=NAME. */
char *ngx_jd_ledger(ngx_conf_t *cf, ngx_jd_ledger_conf_t *lcf);

/* Of a cycle; NULL when it has no jd block. */
ngx_jd_ledger_conf_t *ngx_jd_ledger_conf(ngx_cycle_t *cycle);

/*
 * In the master, when the configuration is read: makes or opens, locks and maps the file, or goes on with that of the old cycle; nginx -t only
 * reads its head. A cleanup of the cycle's pool gives it back. NGX_ERROR: logged.
 */
ngx_int_t ngx_jd_ledger_open(ngx_cycle_t *cycle, ngx_jd_ledger_conf_t *lcf);


/* processes: in each worker, or in slot 0 only */

/* confirm: each worker's own link, which lives until the worker exits */

void ngx_jd_confirm_init(ngx_cycle_t *cycle, ngx_jd_list_t *list);
void ngx_jd_confirm_exit(ngx_jd_list_t *list);

void ngx_jd_follow_init(ngx_cycle_t *cycle, ngx_jd_list_t *list);
void ngx_jd_follow_exit(ngx_jd_list_t *list);


/* push: process slot 0 only; the ledger's totals of one list to its redis_ledger */

void ngx_jd_push_init(ngx_cycle_t *cycle, ngx_jd_list_t *list);
void ngx_jd_push_exit(ngx_jd_list_t *list);


#endif /* _NGX_JD_MODULE_H_INCLUDED_ */
