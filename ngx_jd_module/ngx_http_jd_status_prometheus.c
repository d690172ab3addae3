
/*
 * ngx_http_jd_status_prometheus.c - jd_status in Prometheus's text format
 * 0.0.4.
 */


#include "ngx_http_jd_status.h"


static u_char *ngx_http_jd_help(u_char *p, char *metric, char *type,
    char *help);


u_char *
ngx_http_jd_status_prometheus(u_char *p, ngx_array_t *lists)
{
    int64_t                     n;
    uint64_t                   *counts;
    ngx_uint_t                  i, k, m, reason, outcome;
    ngx_http_jd_value_t        *v;
    ngx_http_jd_list_status_t  *s;

    s = lists->elts;

    p = ngx_http_jd_help(p, "jd_build_info", "gauge",
                         "Version of the module.");
    p = ngx_sprintf(p, "jd_build_info{version=\"" NGX_JD_VERSION "\","
                    "nginx=\"" NGINX_VERSION "\"} 1\n");

    p = ngx_http_jd_help(p, "jd_list_state", "gauge",
                         "1, with the list's state, its follower's, and the "
                         "newest fault that stands.");

    for (i = 0; i < lists->nelts; i++) {
        p = ngx_sprintf(p, "jd_list_state{list=\"%V\",state=\"%s\","
                        "follower=\"%s\",fault=\"%s\"} 1\n",
                        &s[i].list->name, s[i].state, s[i].follower,
                        ngx_jd_fault_names[s[i].fault]);
    }

    for (k = 0; k < ngx_http_jd_nvalues; k++) {

        v = &ngx_http_jd_values[k];

        if (v->metric == NULL) {
            continue;
        }

        p = ngx_http_jd_help(p, v->metric, v->type, v->help);

        for (i = 0; i < lists->nelts; i++) {

            n = *(int64_t *) ((u_char *) &s[i] + v->offset);

            if (n == NGX_HTTP_JD_NONE) {
                continue;
            }

            p = ngx_sprintf(p, "%s{list=\"%V\"} ", v->metric,
                            &s[i].list->name);
            p = ngx_http_jd_number(p, n, v->divisor);
            *p++ = LF;
        }
    }

    p = ngx_http_jd_help(p, "jd_decisions_total", "counter",
                         "Decisions by measure, reason and outcome.");

    for (i = 0; i < lists->nelts; i++) {

        counts = &s[i].counters.decisions[0][0][0];

        for (k = 0; k < JD_MEASURE_N * JD_REASON_N * NGX_JD_OUTCOMES; k++) {

            if (counts[k] == 0) {
                continue;
            }

            outcome = k % NGX_JD_OUTCOMES;
            reason = k / NGX_JD_OUTCOMES % JD_REASON_N;
            m = k / NGX_JD_OUTCOMES / JD_REASON_N;

            p = ngx_sprintf(p, "jd_decisions_total{list=\"%V\",measure=\"%s\","
                            "reason=\"%s\",outcome=\"%s\"} %uL\n",
                            &s[i].list->name, jd_measure_names[m],
                            jd_reason_names[reason],
                            ngx_http_jd_outcome_names[outcome], counts[k]);
        }
    }

    p = ngx_http_jd_help(p, "jd_braked", "gauge",
                         "Whether the brake of the measure is on.");

    for (i = 0; i < lists->nelts; i++) {
        p = ngx_http_jd_status_braked(p, s[i].list, 0);
    }

    p = ngx_http_jd_help(p, "jd_brakes_total", "counter",
                         "Times that the brake of the measure went on.");

    for (i = 0; i < lists->nelts; i++) {
        p = ngx_http_jd_status_braked(p, s[i].list, 1);
    }

    p = ngx_http_jd_help(p, "jd_lift_seconds", "histogram",
                         "How long lifts took to get here, since the "
                         "authority's act, the office's signature, and the "
                         "daemon's applying them.");

    for (i = 0; i < lists->nelts; i++) {
        p = ngx_http_jd_status_lifts(p, s[i].list);
    }

    return p;
}


static u_char *
ngx_http_jd_help(u_char *p, char *metric, char *type, char *help)
{
    return ngx_sprintf(p, "# HELP %s %s\n# TYPE %s %s\n",
                       metric, help, metric, type);
}
