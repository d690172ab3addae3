
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
static ngx_int_t ngx_http_jd_look_up(ngx_http_request_t *r,
    ngx_http_jd_ctx_t *ctx, ngx_http_jd_decision_t *d);
static void ngx_http_jd_take(ngx_http_jd_decision_t *d, jd_reason_t reason,
    ngx_jd_verdict_t *verdict);


ngx_int_t
ngx_http_jd_handler(ngx_http_request_t *r)
{
    ngx_int_t                rc;
    ngx_http_jd_ctx_t       *ctx;
    ngx_http_jd_loc_conf_t  *jlcf;

    jlcf = ngx_http_get_module_loc_conf(r, ngx_http_jd_module);

    if ((jlcf->gates == NULL && jlcf->counter == NULL) || r != r->main) {
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

    if (jlcf->gates == NULL) {
        return ngx_http_jd_counter_handler(r, ctx, jlcf);
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
    ctx->counter = NULL;
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

    } else {
        rc = ngx_http_jd_identify(r, ctx, jlcf);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    gate = jlcf->gates->elts;

    ctx->current = ngx_http_jd_new_decision(r, ctx, &gate[0]);

    /* no memory: pass; the log-phase handler counts it */

    return ctx->current ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_http_jd_identify(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_loc_conf_t *jlcf)
{
    ngx_int_t  rc;

    ctx->conf = jlcf;

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

    return NGX_OK;
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


/*
 * Looks up each digest until one is denied. NGX_AGAIN: Redis is asked, to be
 * called again; NGX_OK: d->reason and d->verdict are final.
 */

static ngx_int_t
ngx_http_jd_look_up(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_decision_t *d)
{
    ngx_int_t    rc;
    ngx_uint_t   left;
    jd_reason_t  reason;

    if (d->answer) {
        ngx_http_jd_take(d, d->answer->reason, d->answer);
        d->answer = NULL;
    }

    for (left = d->front.schemes >> d->scheme;
         left && d->reason != JD_REASON_LISTED;
         left >>= 1, d->scheme++)
    {
        if (!(left & 1)) {
            continue;
        }

        reason = ngx_jd_lookup(d->gate->list, d->front.digest[d->scheme],
                               d->gate->measure);

        if (reason != JD_REASON_LISTED) {
            ngx_http_jd_take(d, reason, NULL);
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

        if (rc == NGX_AGAIN) {
            d->scheme++;
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


ngx_int_t
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


void
ngx_http_jd_confirmed(void *data)
{
    ngx_http_request_t *r = data;

    ngx_http_jd_ctx_t  *ctx;

    ctx = ngx_http_jd_get_ctx(r);

    ctx->waiting = 0;

    r->read_event_handler = ngx_http_block_reading;

    ngx_post_event(r->connection->write, &ngx_posted_events);
}
