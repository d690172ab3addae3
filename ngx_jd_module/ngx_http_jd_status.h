
/*
 * ngx_http_jd_status.h - what the files of jd_status share: a list at one
 * moment, and the table of what is told of it.
 */

#ifndef _NGX_HTTP_JD_STATUS_H_INCLUDED_
#define _NGX_HTTP_JD_STATUS_H_INCLUDED_


#include "ngx_http_jd.h"
#include "ngx_jd_zone.h"


#define NGX_HTTP_JD_NONE             ((int64_t) -1)


/* one list at one moment; NGX_HTTP_JD_NONE: not known */
typedef struct {
    ngx_jd_list_t              *list;
    char                       *state;
    char                       *follower;
    ngx_uint_t                  fault;
    char                        key_id[JD_KEY_ID_MAX + 1];

    int64_t                     ready;
    int64_t                     era;
    int64_t                     last_id;
    int64_t                     count;
    int64_t                     capacity;
    int64_t                     load_factor;            /* per mille */
    int64_t                     not_fitted;
    int64_t                     forged;
    int64_t                     age;
    int64_t                     verified_at;
    int64_t                     max_stale;
    int64_t                     loads;
    int64_t                     loaded_at;
    int64_t                     load_msec;
    int64_t                     gaps;
    int64_t                     reconnects;
    int64_t                     confirms;
    int64_t                     confirm_errors;
    int64_t                     confirm_usec;
    int64_t                     confirm_mean_usec;
    int64_t                     undecided;
    int64_t                     ledger_cells;
    int64_t                     ledger_used;
    int64_t                     ledger_unpushed;
    int64_t                     ledger_pushed_at;

    ngx_jd_counters_t           counters;
} ngx_http_jd_list_status_t;


typedef struct {
    char                       *name;        /* of the JSON member */
    char                       *metric;      /* NULL: JSON only */
    char                       *type;
    char                       *help;
    ngx_uint_t                  divisor;     /* of the metric's unit */
    size_t                      offset;
} ngx_http_jd_value_t;


#define ngx_http_jd_at(field)  offsetof(ngx_http_jd_list_status_t, field)

extern ngx_http_jd_value_t  ngx_http_jd_values[];
extern ngx_uint_t           ngx_http_jd_nvalues;
extern char                *ngx_http_jd_outcome_names[NGX_JD_OUTCOMES];


/* All lists, of ngx_http_jd_list_status_t; there must be room at p. */
u_char *ngx_http_jd_status_json(u_char *p, ngx_array_t *lists);
u_char *ngx_http_jd_status_prometheus(u_char *p, ngx_array_t *lists);


#endif /* _NGX_HTTP_JD_STATUS_H_INCLUDED_ */
