
/*
 * ngx_http_jd_parts.c - what jd_status tells of brakes, and of how long lifts
 * took, in both of its formats.
 */


#include "ngx_http_jd.h"
#include "ngx_jd_zone.h"


static ngx_uint_t ngx_http_jd_has_brake(ngx_jd_list_t *list,
    ngx_uint_t measure);


u_char *
ngx_http_jd_status_json_brakes(u_char *p, ngx_jd_list_t *list)
{
    int64_t          since;
    ngx_uint_t       m, first;
    ngx_jd_brake_t  *brake;

    p = ngx_sprintf(p, "\"brakes\":[");
    first = 1;

    for (m = 0; m < JD_MEASURE_N; m++) {

        if (!ngx_http_jd_has_brake(list, m)) {
            continue;
        }

        brake = &list->brake[m];
        since = list->zone->brake[m].since;

        p = ngx_sprintf(p, "%s{\"measure\":\"%s\",\"braked\":%s,\"since\":",
                        first ? "" : ",", jd_measure_names[m],
                        since ? "true" : "false");

        if (since) {
            p = ngx_sprintf(p, "%L", since);

        } else {
            p = ngx_sprintf(p, "null");
        }

        p = ngx_sprintf(p, ",\"times\":%uL,\"rate\":%uL.%02uL,\"window\":%T,"
                        "\"min\":%uL}",
                        (uint64_t) list->zone->brake[m].engaged,
                        brake->rate / 100, brake->rate % 100, brake->window,
                        brake->min);
        first = 0;
    }

    *p++ = ']';

    return p;
}


/* those that are configured, or still on from a configuration before */

static ngx_uint_t
ngx_http_jd_has_brake(ngx_jd_list_t *list, ngx_uint_t measure)
{
    return list->zone
           && (list->brake[measure].window || list->zone->brake[measure].since);
}


/* buckets as Prometheus has them: [at most so many ms, lifts], the last all */

u_char *
ngx_http_jd_status_json_lifts(u_char *p, ngx_jd_list_t *list)
{
    uint64_t             sum;
    ngx_uint_t           i, n;
    ngx_jd_lift_zone_t  *h;

    p = ngx_sprintf(p, "\"lifts\":{");

    for (i = 0; list->zone && i < NGX_JD_LIFT_N; i++) {

        h = &list->zone->lift[i];
        sum = 0;

        p = ngx_sprintf(p, "%s\"%s\":{\"buckets\":[", i ? "," : "",
                        ngx_jd_lift_names[i]);

        for (n = 0; n < NGX_JD_LIFT_BUCKETS; n++) {
            sum += h->bucket[n];

            if (n < NGX_JD_LIFT_BUCKETS - 1) {
                p = ngx_sprintf(p, "[%uL,%uL],", ngx_jd_lift_bounds[n], sum);
            }
        }

        p = ngx_sprintf(p, "[null,%uL]],\"sum\":%uL,\"count\":%uL}", sum,
                        (uint64_t) h->sum, sum);
    }

    *p++ = '}';

    return p;
}


u_char *
ngx_http_jd_status_braked(u_char *p, ngx_jd_list_t *list, ngx_uint_t total)
{
    uint64_t    n;
    ngx_uint_t  m;

    for (m = 0; m < JD_MEASURE_N; m++) {

        if (!ngx_http_jd_has_brake(list, m)) {
            continue;
        }

        n = total ? list->zone->brake[m].engaged
                  : (uint64_t) (list->zone->brake[m].since != 0);

        p = ngx_sprintf(p, "%s{list=\"%V\",measure=\"%s\"} %uL\n",
                        total ? "jd_brakes_total" : "jd_braked", &list->name,
                        jd_measure_names[m], n);
    }

    return p;
}


u_char *
ngx_http_jd_status_lifts(u_char *p, ngx_jd_list_t *list)
{
    uint64_t             sum;
    ngx_uint_t           i, n;
    ngx_jd_lift_zone_t  *h;

    for (i = 0; list->zone && i < NGX_JD_LIFT_N; i++) {

        h = &list->zone->lift[i];
        sum = 0;

        for (n = 0; n < NGX_JD_LIFT_BUCKETS; n++) {

            sum += h->bucket[n];

            p = ngx_sprintf(p, "jd_lift_seconds_bucket{list=\"%V\",since=\"%s\""
                            ",le=\"", &list->name, ngx_jd_lift_names[i]);

            if (n < NGX_JD_LIFT_BUCKETS - 1) {
                p = ngx_http_jd_number(p, ngx_jd_lift_bounds[n], 1000);

            } else {
                p = ngx_sprintf(p, "+Inf");
            }

            p = ngx_sprintf(p, "\"} %uL\n", sum);
        }

        p = ngx_sprintf(p, "jd_lift_seconds_sum{list=\"%V\",since=\"%s\"} ",
                        &list->name, ngx_jd_lift_names[i]);
        p = ngx_http_jd_number(p, h->sum, 1000);

        p = ngx_sprintf(p, "\njd_lift_seconds_count{list=\"%V\",since=\"%s\"}"
                        " %uL\n", &list->name, ngx_jd_lift_names[i], sum);
    }

    return p;
}
