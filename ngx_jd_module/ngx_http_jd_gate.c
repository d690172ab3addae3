
/*
 * ngx_http_jd_gate.c - the decisions of a request: preaccess and log phase.
 *
 * A request is decided once per list, measure and person. What was decided
 * lies in a record that outlives internal redirects; a gate met again with
 * the same person is neither asked nor counted again.
 */


#include "ngx_http_jd.h"


static ngx_http_jd_ctx_t *ngx_http_jd_create_ctx(ngx_http_request_t *r);
static void ngx_http_jd_cleanup(void *data);
static ngx_int_t ngx_http_jd_begin(ngx_http_request_t *r,
    ngx_http_jd_ctx_t *ctx, ngx_http_jd_loc_conf_t *jlcf);
static ngx_int_t ngx_http_jd_gates(ngx_http_request_t *r,
    ngx_http_jd_ctx_t *ctx);
static ngx_http_jd_decision_t *ngx_http_jd_new_decision(ngx_http_request_t *r,
    ngx_http_jd_ctx_t *ctx, ngx_http_jd_gate_t *gate);
static void ngx_http_jd_front(ngx_http_jd_ctx_t *ctx, ngx_jd_list_t *list,
    ngx_http_jd_front_t *front);
static ngx_http_jd_decision_t *ngx_http_jd_find_decision(
    ngx_http_jd_ctx_t *ctx, ngx_http_jd_decision_t *d);
static ngx_int_t ngx_http_jd_look_up(ngx_http_request_t *r,
    ngx_http_jd_ctx_t *ctx, ngx_http_jd_decision_t *d);
static void ngx_http_jd_take(ngx_http_jd_decision_t *d, jd_reason_t reason,
    ngx_jd_verdict_t *verdict);
static ngx_int_t ngx_http_jd_wait(ngx_http_request_t *r,
    ngx_http_jd_ctx_t *ctx);
static void ngx_http_jd_confirmed(void *data);
static void ngx_http_jd_finish(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_decision_t *d);
static ngx_uint_t ngx_http_jd_rank(ngx_http_jd_decision_t *d);
static void ngx_http_jd_log(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_decision_t *d);


ngx_int_t
ngx_http_jd_handler(ngx_http_request_t *r)
{
    ngx_int_t                rc;
    ngx_http_jd_ctx_t       *ctx;
    ngx_http_jd_loc_conf_t  *jlcf;

    jlcf = ngx_http_get_module_loc_conf(r, ngx_http_jd_module);

    if (jlcf->gates == NULL || r != r->main) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_jd_get_ctx(r);

    if (ctx == NULL) {
        ctx = ngx_http_jd_create_ctx(r);
        if (ctx == NULL) {
            /* no memory: pass; the log-phase handler counts it */
            return NGX_DECLINED;
        }

        if (ngx_http_jd_remove_inbound(r) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (ctx->denied) {
        return NGX_DECLINED;
    }

    if (ctx->waiting || ctx->body_reading) {
        return NGX_AGAIN;
    }

    if (ctx->current == NULL) {
        rc = ngx_http_jd_begin(r, ctx, jlcf);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_http_jd_gates(r, ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ngx_http_jd_tell_backend(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_jd_log_handler(ngx_http_request_t *r)
{
    ngx_uint_t               i;
    ngx_http_jd_ctx_t       *ctx;
    ngx_http_jd_gate_t      *gate;
    ngx_http_jd_loc_conf_t  *jlcf;

    jlcf = ngx_http_get_module_loc_conf(r, ngx_http_jd_module);

    if (jlcf->gates == NULL || r != r->main) {
        return NGX_OK;
    }

    ctx = ngx_http_jd_get_ctx(r);

    if (ctx && ctx->decisions) {
        return NGX_OK;
    }

    gate = jlcf->gates->elts;

    for (i = 0; i < jlcf->gates->nelts; i++) {
        ngx_jd_count_undecided(gate[i].list);
    }

    return NGX_OK;
}


ngx_http_jd_ctx_t *
ngx_http_jd_get_ctx(ngx_http_request_t *r)
{
    ngx_http_jd_ctx_t   *ctx;
    ngx_pool_cleanup_t  *cln;

    r = r->main;

    ctx = ngx_http_get_module_ctx(r, ngx_http_jd_module);

    if (ctx == NULL && (r->internal || r->filter_finalize)) {

        /* a redirect has cleared the contexts: the cleanup still knows it */

        for (cln = r->pool->cleanup; cln; cln = cln->next) {
            if (cln->handler == ngx_http_jd_cleanup) {
                ctx = cln->data;
                ngx_http_set_ctx(r, ctx, ngx_http_jd_module);
                break;
            }
        }
    }

    return ctx;
}


static ngx_http_jd_ctx_t *
ngx_http_jd_create_ctx(ngx_http_request_t *r)
{
    ngx_http_jd_ctx_t   *ctx;
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_jd_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_jd_cleanup;

    ctx = cln->data;

    ctx->decisions = NULL;
    ctx->shown = NULL;
    ctx->current = NULL;
    ctx->backend = NULL;

    ctx->body_in_call = 0;
    ctx->body_reading = 0;
    ctx->body_read = 0;
    ctx->used_first = 0;
    ctx->waiting = 0;
    ctx->denied = 0;

    ngx_http_set_ctx(r, ctx, ngx_http_jd_module);

    return ctx;
}


static void
ngx_http_jd_cleanup(void *data)
{
    /* nothing to free: the cleanup is how the record is found again */
}


static ngx_int_t
ngx_http_jd_begin(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_loc_conf_t *jlcf)
{
    ngx_int_t            rc;
    ngx_http_jd_gate_t  *gate;

    ctx->conf = jlcf;
    ctx->gate = 0;

    if (jlcf->exempt
        && ngx_http_test_predicates(r, jlcf->exempt) == NGX_DECLINED)
    {
        ctx->reason = JD_REASON_EXEMPT;
        goto known;
    }

    rc = NGX_OK;

    if (jlcf->body) {
        rc = ngx_http_jd_body(r, ctx, jlcf);

        if (rc != NGX_OK && rc != NGX_DECLINED) {
            return rc;
        }
    }

    if (rc == NGX_OK) {
        rc = ngx_http_jd_subjects(r, jlcf, &ctx->body, ctx->raw,
                                  &ctx->raw_malformed);

    } else {
        ctx->raw_malformed = NGX_HTTP_JD_SUBJECTS_MAX;
        rc = NGX_ERROR;
    }

    switch (rc) {

    case NGX_OK:
        ctx->reason = JD_REASON_CLEAR;
        break;

    case NGX_DECLINED:
        ctx->reason = JD_REASON_NO_SUBJECT;
        break;

    default: /* NGX_ERROR */
        ctx->reason = JD_REASON_MALFORMED;
        break;
    }

known:

    gate = jlcf->gates->elts;

    ctx->current = ngx_http_jd_new_decision(r, ctx, &gate[0]);

    /* no memory: pass; the log-phase handler counts it */

    return ctx->current ? NGX_OK : NGX_DECLINED;
}


static ngx_int_t
ngx_http_jd_gates(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx)
{
    ngx_http_jd_gate_t      *gate;
    ngx_http_jd_decision_t  *d, *known;

    gate = ctx->conf->gates->elts;

    for ( ;; ) {

        d = ctx->current;

        if (d->scheme == 0) {
            known = ngx_http_jd_find_decision(ctx, d);

        } else {
            known = NULL;
        }

        if (known == NULL) {

            if (ngx_http_jd_look_up(r, ctx, d) == NGX_AGAIN) {
                return ngx_http_jd_wait(r, ctx);
            }

            ngx_http_jd_finish(r, ctx, d);

            if (d->outcome == NGX_JD_DENIED || d->outcome == NGX_JD_REJECTED) {
                ctx->current = NULL;
                ctx->denied = 1;
                return ngx_http_jd_answer(r, ctx->conf, d);
            }
        }

        if (++ctx->gate == ctx->conf->gates->nelts) {
            ctx->current = NULL;
            return NGX_DECLINED;
        }

        ctx->current = ngx_http_jd_new_decision(r, ctx, &gate[ctx->gate]);

        if (ctx->current == NULL) {
            return NGX_DECLINED;
        }
    }
}


static ngx_http_jd_decision_t *
ngx_http_jd_new_decision(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_gate_t *gate)
{
    ngx_http_jd_decision_t  *d;

    if (!ctx->used_first) {
        ctx->used_first = 1;
        d = &ctx->first;

    } else {
        d = ngx_palloc(r->pool, sizeof(ngx_http_jd_decision_t));
        if (d == NULL) {
            return NULL;
        }
    }

    d->gate = gate;
    d->conf = ctx->conf;
    d->scheme = 0;
    d->verdict = NULL;
    d->answer = NULL;
    d->has_id = 0;

    ngx_http_jd_front(ctx, gate->list, &d->front);

    d->reason = d->front.reason;

    return d;
}


/* the digests of all lines; those of one scheme must be of one person */

static void
ngx_http_jd_front(ngx_http_jd_ctx_t *ctx, ngx_jd_list_t *list,
    ngx_http_jd_front_t *front)
{
    u_char                 *known;
    u_char                  digest[JD_DIGEST_LEN];
    ngx_int_t               rc;
    ngx_uint_t              i, bit;
    ngx_http_jd_subject_t  *subject;

    front->reason = ctx->reason;
    front->schemes = 0;

    if (front->reason != JD_REASON_CLEAR) {
        return;
    }

    subject = ctx->conf->subjects->elts;

    for (i = 0; i < ctx->conf->subjects->nelts; i++) {

        if (ctx->raw[i].data == NULL) {
            continue;
        }

        rc = ngx_jd_subject(list, subject[i].scheme, &ctx->raw[i], digest);

        if (rc == NGX_DECLINED) {
            continue;
        }

        if (rc == NGX_AGAIN) {
            front->reason = JD_REASON_UNREADY;
            front->schemes = 0;
            return;
        }

        bit = 1 << subject[i].scheme;
        known = front->digest[subject[i].scheme];

        if (rc == NGX_ERROR
            || ((front->schemes & bit)
                && ngx_memcmp(known, digest, JD_DIGEST_LEN) != 0))
        {
            ctx->raw_malformed = i;
            front->reason = JD_REASON_MALFORMED;
            front->schemes = 0;
            return;
        }

        front->schemes |= bit;
        ngx_memcpy(known, digest, JD_DIGEST_LEN);
    }

    if (front->schemes == 0) {
        front->reason = JD_REASON_NO_SUBJECT;
    }
}


static ngx_http_jd_decision_t *
ngx_http_jd_find_decision(ngx_http_jd_ctx_t *ctx, ngx_http_jd_decision_t *d)
{
    ngx_uint_t               i;
    ngx_http_jd_decision_t  *k;

    for (k = ctx->decisions; k; k = k->next) {

        if (k->gate->list != d->gate->list
            || k->gate->measure != d->gate->measure
            || k->conf->dry_run != d->conf->dry_run
            || k->conf->malformed != d->conf->malformed
            || k->front.reason != d->front.reason
            || k->front.schemes != d->front.schemes)
        {
            continue;
        }

        for (i = 0; i < JD_SCHEME_N; i++) {
            if ((d->front.schemes & (1 << i))
                && ngx_memcmp(k->front.digest[i], d->front.digest[i],
                              JD_DIGEST_LEN)
                   != 0)
            {
                break;
            }
        }

        if (i == JD_SCHEME_N) {
            return k;
        }
    }

    return NULL;
}


/*
 * Looks up each digest until one is denied. NGX_AGAIN: Redis is asked, to be
 * called again; NGX_OK: d->reason and d->verdict are final.
 */

static ngx_int_t
ngx_http_jd_look_up(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_decision_t *d)
{
    ngx_int_t    rc;
    jd_reason_t  reason;

    if (d->answer) {
        ngx_http_jd_take(d, d->answer->reason, d->answer);
        d->answer = NULL;
    }

    while ((d->front.schemes >> d->scheme) && d->reason != JD_REASON_LISTED) {

        if (!(d->front.schemes & (1 << d->scheme))) {
            d->scheme++;
            continue;
        }

        reason = ngx_jd_lookup(d->gate->list, d->front.digest[d->scheme],
                               d->gate->measure);

        if (reason != JD_REASON_LISTED) {
            ngx_http_jd_take(d, reason, NULL);
            d->scheme++;
            continue;
        }

        rc = NGX_ERROR;

        d->answer = ngx_pcalloc(r->pool, sizeof(ngx_jd_verdict_t));

        if (d->answer) {
            ctx->waiting = 1;

            rc = ngx_jd_confirm(d->gate->list, d->front.digest[d->scheme],
                                d->gate->measure, r->pool,
                                r->connection->log, d->answer,
                                ngx_http_jd_confirmed, r);

            if (rc != NGX_AGAIN) {
                ctx->waiting = 0;
            }
        }

        d->scheme++;

        if (rc == NGX_AGAIN) {
            return NGX_AGAIN;
        }

        if (rc == NGX_DONE) {
            ngx_http_jd_take(d, d->answer->reason, d->answer);

        } else {
            ngx_http_jd_take(d, JD_REASON_UNCONFIRMED, NULL);
        }

        d->answer = NULL;
    }

    return NGX_OK;
}


/* of several digests: a listed one decides, else the first not clear */

static void
ngx_http_jd_take(ngx_http_jd_decision_t *d, jd_reason_t reason,
    ngx_jd_verdict_t *verdict)
{
    if (d->reason == JD_REASON_CLEAR || reason == JD_REASON_LISTED) {
        d->reason = reason;
        d->verdict = verdict;
    }
}


static ngx_int_t
ngx_http_jd_wait(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "jd waits for a confirm");

    if (r->connection->read->ready) {
        ngx_post_event(r->connection->read, &ngx_posted_events);

    } else if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    return NGX_AGAIN;
}


static void
ngx_http_jd_confirmed(void *data)
{
    ngx_http_request_t *r = data;

    ngx_http_jd_ctx_t  *ctx;

    ctx = ngx_http_jd_get_ctx(r);

    ctx->waiting = 0;

    r->read_event_handler = ngx_http_block_reading;

    ngx_post_event(r->connection->write, &ngx_posted_events);
}


static void
ngx_http_jd_finish(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_decision_t *d)
{
    if (d->reason == JD_REASON_LISTED) {
        d->outcome = d->conf->dry_run ? NGX_JD_DENIED_DRY_RUN : NGX_JD_DENIED;

    } else if (d->reason == JD_REASON_MALFORMED
               && d->conf->malformed == NGX_HTTP_JD_MALFORMED_REJECT
               && !d->conf->dry_run)
    {
        d->outcome = NGX_JD_REJECTED;

    } else {
        d->outcome = NGX_JD_PASSED;
    }

    ngx_jd_count(d->gate->list, d->gate->measure, d->reason, d->outcome);

    d->next = ctx->decisions;
    ctx->decisions = d;

    if (ctx->shown == NULL
        || ngx_http_jd_rank(d) > ngx_http_jd_rank(ctx->shown))
    {
        ctx->shown = d;
    }

    if (d->outcome != NGX_JD_PASSED || d->reason == JD_REASON_MALFORMED) {
        ngx_http_jd_log(r, ctx, d);
    }
}


/* which of a request's decisions its variables and JD-Status tell of */

static ngx_uint_t
ngx_http_jd_rank(ngx_http_jd_decision_t *d)
{
    switch (d->outcome) {

    case NGX_JD_DENIED:
    case NGX_JD_REJECTED:
        return 3;

    case NGX_JD_DENIED_DRY_RUN:
        return 2;

    default: /* NGX_JD_PASSED */
        return d->reason != JD_REASON_CLEAR;
    }
}


static void
ngx_http_jd_log(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_decision_t *d)
{
    ngx_str_t               id, place;
    ngx_log_t              *log;
    ngx_log_handler_pt      handler;
    ngx_http_jd_subject_t  *subject;

    log = r->connection->log;

    if (log->log_level < d->conf->log_level) {
        return;
    }

    /* the handler adds the request line, which then holds the identifier */

    handler = log->handler;

    if (d->conf->in_args) {
        log->handler = NULL;
    }

    if (d->reason == JD_REASON_MALFORMED) {

        ngx_str_set(&place, "the request body");

        if (ctx->raw_malformed < NGX_HTTP_JD_SUBJECTS_MAX) {
            subject = d->conf->subjects->elts;
            place = subject[ctx->raw_malformed].text;
        }

        ngx_log_error(d->conf->log_level, log, 0,
                      "jd: malformed subject in \"%V\"%s, list \"%V\", "
                      "measure \"%s\"",
                      &place,
                      d->outcome == NGX_JD_REJECTED ? ", rejected" : "",
                      &d->gate->list->name,
                      jd_measure_names[d->gate->measure]);

    } else if (ngx_http_jd_decision_id(d, &id) == NGX_OK) {

        ngx_log_error(d->conf->log_level, log, 0,
                      "jd: denied%s by list \"%V\", measure \"%s\", "
                      "decision %V",
                      d->outcome == NGX_JD_DENIED_DRY_RUN ? ", dry run," : "",
                      &d->gate->list->name,
                      jd_measure_names[d->gate->measure], &id);
    }

    log->handler = handler;
}
