
/*
 * ngx_http_jd_status.c - the handler of jd_status: what an operator needs to
 * know of each list, gathered.
 */


#include "ngx_http_jd_status.h"


#define NGX_HTTP_JD_STATUS_HEAD      1024
#define NGX_HTTP_JD_STATUS_VALUE     256    /* one value with its names */
#define NGX_HTTP_JD_STATUS_DECISION  256


static ngx_int_t ngx_http_jd_collect(ngx_http_request_t *r,
    ngx_array_t *lists);
static void ngx_http_jd_collect_list(ngx_http_jd_list_status_t *s,
    ngx_jd_list_t *list);
static void ngx_http_jd_collect_ledger(ngx_http_jd_list_status_t *s,
    ngx_jd_list_t *list);
static ngx_uint_t ngx_http_jd_decisions(ngx_http_jd_list_status_t *s);


char  *ngx_http_jd_outcome_names[NGX_JD_OUTCOMES] = {
    "passed", "denied", "denied_dry_run", "rejected"
};


static char  *ngx_http_jd_follower_names[] = {
    "none", "connecting", "loading", "tailing", "waiting"
};


ngx_http_jd_value_t  ngx_http_jd_values[] = {

    { "ready", "jd_list_ready", "gauge",
      "Whether the list is loaded and fresh enough to be enforced.",
      1, ngx_http_jd_at(ready) },

    { "era", NULL, NULL, NULL, 1, ngx_http_jd_at(era) },

    { "last_id", "jd_list_last_change", "gauge",
      "Number of the newest change applied in this era.",
      1, ngx_http_jd_at(last_id) },

    { "count", "jd_list_subjects", "gauge",
      "Subjects in the zone.",
      1, ngx_http_jd_at(count) },

    { "capacity", "jd_list_capacity_subjects", "gauge",
      "Subjects that the zone is made for.",
      1, ngx_http_jd_at(capacity) },

    { "load_factor", "jd_list_load_ratio", "gauge",
      "Subjects divided by capacity.",
      1000, ngx_http_jd_at(load_factor) },

    { "not_fitted", "jd_list_not_fitted_subjects", "gauge",
      "Subjects that did not fit into the zone and are not enforced.",
      1, ngx_http_jd_at(not_fitted) },

    { "forged", "jd_list_forged_records", "gauge",
      "Records refused for their MAC since the newest load began.",
      1, ngx_http_jd_at(forged) },

    { "age", "jd_list_age_seconds", "gauge",
      "Time since the last verified contact with the issuing office.",
      1, ngx_http_jd_at(age) },

    { "verified_at", "jd_list_verified_timestamp_seconds", "gauge",
      "Time of the last verified contact with the issuing office.",
      1, ngx_http_jd_at(verified_at) },

    { "max_stale", "jd_list_max_stale_seconds", "gauge",
      "Age from which on nothing is enforced.",
      1, ngx_http_jd_at(max_stale) },

    { "loads", "jd_list_loads_total", "counter",
      "Whole loads of the list that were finished.",
      1, ngx_http_jd_at(loads) },

    { "loaded_at", "jd_list_loaded_timestamp_seconds", "gauge",
      "Time when the newest load was finished.",
      1, ngx_http_jd_at(loaded_at) },

    { "load_msec", "jd_list_load_duration_seconds", "gauge",
      "How long the newest load took.",
      1000, ngx_http_jd_at(load_msec) },

    { "gaps", "jd_list_gaps_total", "counter",
      "Gaps seen in the stream of changes.",
      1, ngx_http_jd_at(gaps) },

    { "reconnects", "jd_follower_reconnects_total", "counter",
      "Connections of the follower to Redis after the first.",
      1, ngx_http_jd_at(reconnects) },

    { "confirms", "jd_confirms_total", "counter",
      "Confirms asked of Redis.",
      1, ngx_http_jd_at(confirms) },

    { "confirm_errors", "jd_confirm_errors_total", "counter",
      "Confirms that failed or came too late; the requests passed.",
      1, ngx_http_jd_at(confirm_errors) },

    { "confirm_usec", "jd_confirm_seconds_total", "counter",
      "Time spent waiting for confirms that were answered.",
      1000000, ngx_http_jd_at(confirm_usec) },

    { "confirm_mean_usec", NULL, NULL, NULL,
      1, ngx_http_jd_at(confirm_mean_usec) },

    { "undecided", "jd_undecided_total", "counter",
      "Requests to gated locations that ended without a decision.",
      1, ngx_http_jd_at(undecided) },

    { "ledger_cells", "jd_ledger_cells", "gauge",
      "Cells of the ledger's file, of all lists.",
      1, ngx_http_jd_at(ledger_cells) },

    { "ledger_used", "jd_ledger_used_cells", "gauge",
      "Cells that this list uses; with none free nothing is denied.",
      1, ngx_http_jd_at(ledger_used) },

    { "ledger_unpushed", "jd_ledger_unpushed_cells", "gauge",
      "Cells whose count Redis did not have when last looked at.",
      1, ngx_http_jd_at(ledger_unpushed) },

    { "ledger_pushed_at", "jd_ledger_pushed_timestamp_seconds", "gauge",
      "Time when all counts were in Redis.",
      1, ngx_http_jd_at(ledger_pushed_at) }
};

ngx_uint_t  ngx_http_jd_nvalues = sizeof(ngx_http_jd_values)
                                  / sizeof(ngx_http_jd_value_t);


ngx_int_t
ngx_http_jd_status_handler(ngx_http_request_t *r)
{
    size_t                      size;
    ngx_int_t                   rc;
    ngx_buf_t                  *b;
    ngx_uint_t                  i;
    ngx_array_t                 lists;
    ngx_chain_t                 out;
    ngx_http_jd_loc_conf_t     *jlcf;
    ngx_http_jd_list_status_t  *s;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_jd_collect(r, &lists) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    s = lists.elts;

    size = NGX_HTTP_JD_STATUS_HEAD
           + (ngx_http_jd_nvalues + 4) * NGX_HTTP_JD_STATUS_VALUE;

    for (i = 0; i < lists.nelts; i++) {
        size += (ngx_http_jd_nvalues + 8) * NGX_HTTP_JD_STATUS_VALUE
                + NGX_HTTP_JD_STATUS_PARTS
                + ngx_http_jd_decisions(&s[i]) * NGX_HTTP_JD_STATUS_DECISION;
    }

    b = ngx_create_temp_buf(r->pool, size);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    jlcf = ngx_http_get_module_loc_conf(r, ngx_http_jd_module);

    if (jlcf->status == NGX_HTTP_JD_STATUS_PROMETHEUS) {
        ngx_str_set(&r->headers_out.content_type, "text/plain; version=0.0.4");
        b->last = ngx_http_jd_status_prometheus(b->last, &lists);

    } else {
        ngx_str_set(&r->headers_out.content_type, "application/json");
        b->last = ngx_http_jd_status_json(b->last, &lists);
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static ngx_int_t
ngx_http_jd_collect(ngx_http_request_t *r, ngx_array_t *lists)
{
    ngx_uint_t                   i;
    ngx_array_t                 *known;
    ngx_jd_list_t              **list;
    ngx_http_jd_list_status_t   *s;

    if (ngx_array_init(lists, r->pool, 1, sizeof(ngx_http_jd_list_status_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    known = ngx_jd_lists((ngx_cycle_t *) ngx_cycle);

    if (known == NULL) {
        return NGX_OK;
    }

    list = known->elts;

    for (i = 0; i < known->nelts; i++) {

        s = ngx_array_push(lists);
        if (s == NULL) {
            return NGX_ERROR;
        }

        ngx_http_jd_collect_list(s, list[i]);
    }

    return NGX_OK;
}


static void
ngx_http_jd_collect_list(ngx_http_jd_list_status_t *s, ngx_jd_list_t *list)
{
    ngx_uint_t      n;
    ngx_jd_zone_t  *z;

    ngx_memzero(s, sizeof(ngx_http_jd_list_status_t));

    s->list = list;
    s->state = "unready";
    s->follower = ngx_http_jd_follower_names[NGX_JD_FOLLOW_NONE];
    s->max_stale = list->max_stale;
    s->age = ngx_jd_list_age(list);

    ngx_http_jd_collect_ledger(s, list);

    z = list->zone;

    if (z == NULL) {
        return;
    }

    if (z->published) {
        s->ready = s->age >= 0 && s->age <= s->max_stale;
        s->state = s->ready ? "ready" : "stale";
        ngx_cpystrn((u_char *) s->key_id, (u_char *) z->key_id,
                    sizeof(s->key_id));
    }

    n = z->follow_state;

    if (n < sizeof(ngx_http_jd_follower_names) / sizeof(char *)) {
        s->follower = ngx_http_jd_follower_names[n];
    }

    n = z->fault;
    s->fault = (n < NGX_JD_FAULT_N) ? n : NGX_JD_FAULT_PROTOCOL;

    s->era = z->era;
    s->last_id = z->last_id;
    s->count = z->count;
    s->capacity = jd_table_capacity(z->lines);
    s->load_factor = s->capacity ? s->count * 1000 / s->capacity : 0;
    s->not_fitted = z->not_fitted;
    s->forged = z->forged;
    s->verified_at = z->verified_at > 0 ? z->verified_at : NGX_HTTP_JD_NONE;
    s->loads = z->loads;
    s->loaded_at = s->loads ? z->loaded_at : NGX_HTTP_JD_NONE;
    s->load_msec = s->loads ? (int64_t) z->load_msec : NGX_HTTP_JD_NONE;
    s->gaps = z->gaps;
    s->reconnects = z->reconnects;

    ngx_jd_counters(list, &s->counters);

    s->confirms = s->counters.confirms;
    s->confirm_errors = s->counters.confirm_errors;
    s->confirm_usec = s->counters.confirm_usec;
    s->undecided = s->counters.undecided;

    n = s->confirms - s->confirm_errors;
    s->confirm_mean_usec = n ? s->confirm_usec / (int64_t) n
                             : NGX_HTTP_JD_NONE;
}


static void
ngx_http_jd_collect_ledger(ngx_http_jd_list_status_t *s, ngx_jd_list_t *list)
{
    jd_cells_list_t  *l;

    if (list->ledger == NULL) {
        s->ledger_cells = NGX_HTTP_JD_NONE;
        s->ledger_used = NGX_HTTP_JD_NONE;
        s->ledger_unpushed = NGX_HTTP_JD_NONE;
        s->ledger_pushed_at = NGX_HTTP_JD_NONE;
        return;
    }

    l = &list->ledger->cells.head->list[list->ledger_index];

    s->ledger_cells = list->ledger->cells.cells;
    s->ledger_used = l->used;
    s->ledger_unpushed = l->unpushed;
    s->ledger_pushed_at = l->pushed_at > 0 ? l->pushed_at : NGX_HTTP_JD_NONE;
}


static ngx_uint_t
ngx_http_jd_decisions(ngx_http_jd_list_status_t *s)
{
    uint64_t    *n;
    ngx_uint_t   i, found;

    found = 0;
    n = &s->counters.decisions[0][0][0];

    for (i = 0; i < JD_MEASURE_N * JD_REASON_N * NGX_JD_OUTCOMES; i++) {
        found += (n[i] != 0);
    }

    return found;
}


u_char *
ngx_http_jd_number(u_char *p, int64_t n, ngx_uint_t divisor)
{
    switch (divisor) {

    case 1000:
        return ngx_sprintf(p, "%L.%03L", n / 1000, n % 1000);

    case 1000000:
        return ngx_sprintf(p, "%L.%06L", n / 1000000, n % 1000000);

    default: /* 1 */
        return ngx_sprintf(p, "%L", n);
    }
}
