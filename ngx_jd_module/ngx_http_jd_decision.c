
/*
 * ngx_http_jd_decision.c - one decision: who it is about, whether it was made
 * before, what becomes of it, and its id. Whether a list names the person is
 * found out in ngx_http_jd_gate.c.
 */


#include "ngx_http_jd.h"
#include <sys/random.h>


static void ngx_http_jd_listed(ngx_http_jd_decision_t *d);
static ngx_uint_t ngx_http_jd_rank(ngx_http_jd_decision_t *d);
static void ngx_http_jd_log(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_decision_t *d);


ngx_http_jd_decision_t *
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
    ngx_str_null(&d->id);

    ngx_http_jd_front(ctx, gate->list, &d->front);

    d->reason = d->front.reason;

    return d;
}


/* the digests of all lines; those of one scheme must be of one person */

void
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


ngx_http_jd_decision_t *
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


void
ngx_http_jd_finish(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_decision_t *d)
{
    if (d->reason == JD_REASON_LISTED) {
        ngx_http_jd_listed(d);

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


/*
 * An order is in force: a denial, unless the brake is on or the ledger cannot
 * take it.  What is denied is in the ledger before any of it is sent.
 */

static void
ngx_http_jd_listed(ngx_http_jd_decision_t *d)
{
    ngx_jd_list_t  *list;

    list = d->gate->list;

    if (ngx_jd_brake(list, d->gate->measure, &d->verdict->order)) {
        d->reason = JD_REASON_BRAKED;
        d->outcome = NGX_JD_PASSED;
        return;
    }

    if (d->conf->dry_run) {
        d->outcome = NGX_JD_DENIED_DRY_RUN;

        /* without a ledger, or with a full one, status alone tells of it */

        (void) ngx_jd_ledger_count(list, d->gate->measure, d->verdict,
                                   d->outcome);
        return;
    }

    if (ngx_jd_ledger_count(list, d->gate->measure, d->verdict, NGX_JD_DENIED)
        != NGX_OK)
    {
        d->reason = JD_REASON_UNACCOUNTED;
        d->outcome = NGX_JD_PASSED;
        return;
    }

    d->outcome = NGX_JD_DENIED;
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

    } else if (ngx_http_jd_decision_id(r, d, &id) == NGX_OK) {

        ngx_log_error(d->conf->log_level, log, 0,
                      "jd: denied%s by list \"%V\", measure \"%s\", "
                      "decision %V",
                      d->outcome == NGX_JD_DENIED_DRY_RUN ? ", dry run," : "",
                      &d->gate->list->name,
                      jd_measure_names[d->gate->measure], &id);
    }

    log->handler = handler;
}


ngx_int_t
ngx_http_jd_decision_id(ngx_http_request_t *r, ngx_http_jd_decision_t *d,
    ngx_str_t *id)
{
    u_char             nonce[JD_SEAL_NONCE_LEN];
    char               list[JD_LIST_NAME_MAX + 1];
    jd_decision_t      decision;
    ngx_jd_verdict_t  *v;

    if (d->id.len == 0) {

        v = d->verdict;

        if ((d->outcome != NGX_JD_DENIED
             && d->outcome != NGX_JD_DENIED_DRY_RUN)
            || v == NULL || v->key == NULL
            || v->order.len > JD_ORDER_NUMBER_MAX)
        {
            return NGX_DECLINED;
        }

        ngx_memzero(&decision, sizeof(jd_decision_t));
        ngx_memcpy(decision.number, v->order.data, v->order.len);

        decision.measure_bit = d->gate->measure;
        decision.era = v->era;
        decision.last_id = v->last_id;
        decision.age_sec = v->age;
        decision.at = ngx_time();
        decision.link_from = v->linked
                             ? ngx_max(v->link_from, JD_SEAL_LINK_EVER) : 0;

        d->id.data = ngx_pnalloc(r->pool, JD_SEAL_TEXT_MAX);

        if (d->id.data == NULL
            || getrandom(nonce, sizeof(nonce), 0) != (ssize_t) sizeof(nonce))
        {
            return NGX_ERROR;
        }

        ngx_cpystrn((u_char *) list, d->gate->list->name.data,
                    d->gate->list->name.len + 1);

        d->id.len = jd_seal(v->key, list, nonce, &decision,
                            (char *) d->id.data);
        if (d->id.len == 0) {
            return NGX_ERROR;
        }
    }

    *id = d->id;

    return NGX_OK;
}
