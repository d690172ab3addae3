
/*
 * ngx_http_jd_status_json.c - jd_status as JSON.
 */


#include "ngx_http_jd_status.h"


static u_char *ngx_http_jd_status_json_list(u_char *p,
    ngx_http_jd_list_status_t *s);


/* what to do about a fault, by ngx_jd_fault_e */
static char  *ngx_http_jd_mends[] = {
    "",
    "start Redis, or correct \"redis\" in the list block",
    "look why Redis does not answer in time: load, network, a slow script",
    "look in Redis's log why it closes connections: maxclients, client limits",
    "correct the file of \"redis_auth\", or the user's rights "
        "(conf/redis.acl)",
    "give the primary's address as \"redis_ledger\"",
    "none needed: Redis is loading its data, or its primary is away",
    "start restrict-cached for this list; it fills an empty Redis by itself",
    "use a module and a daemon of versions that share a schema",
    "remove what else writes under jd:{list}: in this Redis, then let "
        "restrict-cached fill it anew",
    "put the digest key that restrict-cached uses into \"key_file\"",
    "find who writes to this Redis besides restrict-cached; forged records "
        "are not enforced",
    "none needed: the list is being loaded anew",
    "connect to a Redis that is up to date: this one lags or was restored "
        "from an older backup",
    "enlarge \"zone\" of the list: what did not fit is not enforced",
    "look in Redis's log and version: its reply was not understood"
};


u_char *
ngx_http_jd_status_json(u_char *p, ngx_array_t *lists)
{
    ngx_uint_t                  i;
    ngx_http_jd_list_status_t  *s;

    p = ngx_sprintf(p, "{\"version\":\"" NGX_JD_VERSION "\",\"nginx\":\""
                    NGINX_VERSION "\",\"time\":%T,\"worker\":%ui,\"lists\":[",
                    ngx_time(), ngx_worker);

    s = lists->elts;

    for (i = 0; i < lists->nelts; i++) {
        if (i) {
            *p++ = ',';
        }

        p = ngx_http_jd_status_json_list(p, &s[i]);
    }

    return ngx_cpymem(p, "]}\n", sizeof("]}\n") - 1);
}


static u_char *
ngx_http_jd_status_json_list(u_char *p, ngx_http_jd_list_status_t *s)
{
    int64_t               n;
    uint64_t              count;
    ngx_uint_t            i, m, reason, outcome, first;
    ngx_http_jd_value_t  *v;

    p = ngx_sprintf(p, "{\"list\":\"%V\",\"state\":\"%s\",\"follower\":\"%s\","
                    "\"fault\":\"%s\",\"mend\":\"",
                    &s->list->name, s->state, s->follower,
                    ngx_jd_fault_names[s->fault]);

    p = (u_char *) ngx_escape_json(p, (u_char *) ngx_http_jd_mends[s->fault],
                                   ngx_strlen(ngx_http_jd_mends[s->fault]));

    p = ngx_sprintf(p, "\",\"key\":\"%s\",\"gateway\":\"%s\"", s->key_id,
                    s->list->ledger ? s->list->ledger->cells.head->gateway
                                    : "");

    for (i = 0; i < ngx_http_jd_nvalues; i++) {

        v = &ngx_http_jd_values[i];
        n = *(int64_t *) ((u_char *) s + v->offset);

        p = ngx_sprintf(p, ",\"%s\":", v->name);

        if (v->offset == ngx_http_jd_at(ready)) {
            p = ngx_sprintf(p, "%s", n ? "true" : "false");

        } else if (n == NGX_HTTP_JD_NONE) {
            p = ngx_sprintf(p, "null");

        } else if (v->offset == ngx_http_jd_at(load_factor)) {
            p = ngx_http_jd_number(p, n, v->divisor);

        } else {
            p = ngx_http_jd_number(p, n, 1);
        }
    }

    p = ngx_sprintf(p, ",\"decisions\":[");

    first = 1;

    for (m = 0; m < JD_MEASURE_N; m++) {
        for (reason = 0; reason < JD_REASON_N; reason++) {
            for (outcome = 0; outcome < NGX_JD_OUTCOMES; outcome++) {

                count = s->counters.decisions[m][reason][outcome];

                if (count == 0) {
                    continue;
                }

                p = ngx_sprintf(p, "%s{\"measure\":\"%s\",\"reason\":\"%s\","
                                "\"outcome\":\"%s\",\"count\":%uL}",
                                first ? "" : ",", jd_measure_names[m],
                                jd_reason_names[reason],
                                ngx_http_jd_outcome_names[outcome], count);
                first = 0;
            }
        }
    }

    p = ngx_cpymem(p, "],", sizeof("],") - 1);
    p = ngx_http_jd_status_json_brakes(p, s->list);
    *p++ = ',';
    p = ngx_http_jd_status_json_lifts(p, s->list);
    *p++ = '}';

    return p;
}
