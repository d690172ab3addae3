
/*
 * ngx_http_jd_brake.c - the directive jd_brake, and the agreement of all
 * locations of a list and measure about it: they share one brake.
 */


#include "ngx_http_jd.h"


static ngx_int_t ngx_http_jd_brake_rate(ngx_str_t *value, uint64_t *rate);
static ngx_uint_t ngx_http_jd_brake_differs(ngx_jd_brake_t *a,
    ngx_jd_brake_t *b);


char *
ngx_http_jd_brake(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_jd_loc_conf_t *jlcf = conf;

    ngx_int_t        n;
    ngx_str_t       *value, s;
    ngx_uint_t       i;
    ngx_jd_brake_t  *brake;

    if (jlcf->brake != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    brake = ngx_pcalloc(cf->pool, sizeof(ngx_jd_brake_t));
    if (brake == NULL) {
        return NGX_CONF_ERROR;
    }

    jlcf->brake = brake;
    jlcf->brake_file = cf->conf_file->file.name.data;
    jlcf->brake_line = cf->conf_file->line;

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "rate=", 5) == 0 && brake->rate == 0) {

            s.data = value[i].data + 5;
            s.len = value[i].len - 5;

            if (ngx_http_jd_brake_rate(&s, &brake->rate) == NGX_OK) {
                continue;
            }

        } else if (ngx_strncmp(value[i].data, "window=", 7) == 0
                   && brake->window == 0)
        {
            s.data = value[i].data + 7;
            s.len = value[i].len - 7;

            n = ngx_parse_time(&s, 1);

            if (n != NGX_ERROR && n > 0) {
                brake->window = n;
                continue;
            }

        } else if (ngx_strncmp(value[i].data, "min=", 4) == 0
                   && brake->min == 0)
        {
            n = ngx_atoi(value[i].data + 4, value[i].len - 4);

            if (n != NGX_ERROR && n > 0) {
                brake->min = n;
                continue;
            }
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"jd_brake\", it is "
                           "\"off\", or rate=PERCENT% window=TIME min=REQUESTS",
                           &value[i]);
        return NGX_CONF_ERROR;
    }

    if (brake->rate == 0 || brake->window == 0 || brake->min == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"jd_brake\" needs rate=PERCENT%, window=TIME and "
                           "min=REQUESTS");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* "5%", "0.5%": hundredths of a percent, below 100% */

static ngx_int_t
ngx_http_jd_brake_rate(ngx_str_t *value, uint64_t *rate)
{
    ngx_int_t  n;

    if (value->len < 2 || value->data[value->len - 1] != '%') {
        return NGX_ERROR;
    }

    n = ngx_atofp(value->data, value->len - 1, 2);

    if (n == NGX_ERROR || n == 0 || n >= NGX_JD_BRAKE_WHOLE) {
        return NGX_ERROR;
    }

    *rate = n;

    return NGX_OK;
}


ngx_int_t
ngx_http_jd_check_brake(ngx_conf_t *cf, ngx_http_jd_main_conf_t *jmcf,
    ngx_http_jd_loc_conf_t *conf, ngx_str_t *where)
{
    ngx_uint_t                i, k;
    ngx_http_jd_gate_t       *gate;
    ngx_http_jd_loc_conf_t   *first;
    ngx_http_jd_brake_use_t  *use;

    gate = conf->gates->elts;

    for (i = 0; i < conf->gates->nelts; i++) {

        use = jmcf->brakes.elts;

        for (k = 0; k < jmcf->brakes.nelts; k++) {
            if (use[k].list == gate[i].list
                && use[k].measure == gate[i].measure)
            {
                break;
            }
        }

        if (k == jmcf->brakes.nelts) {

            use = ngx_array_push(&jmcf->brakes);
            if (use == NULL) {
                return NGX_ERROR;
            }

            use->list = gate[i].list;
            use->measure = gate[i].measure;
            use->conf = conf;

            gate[i].list->brake[gate[i].measure] = *conf->brake;

            continue;
        }

        first = use[k].conf;

        if (!ngx_http_jd_brake_differs(first->brake, conf->brake)) {
            continue;
        }

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"jd_brake\" of %V in %s:%ui differs from that in "
                      "%s:%ui for list \"%V\", measure \"%s\", which has "
                      "one brake",
                      where,
                      conf->brake_file ? conf->brake_file : conf->file,
                      conf->brake_file ? conf->brake_line : conf->line,
                      first->brake_file ? first->brake_file : first->file,
                      first->brake_file ? first->brake_line : first->line,
                      &gate[i].list->name, jd_measure_names[gate[i].measure]);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_jd_brake_differs(ngx_jd_brake_t *a, ngx_jd_brake_t *b)
{
    return a->window != b->window || a->rate != b->rate || a->min != b->min;
}
