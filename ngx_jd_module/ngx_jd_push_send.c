
/*
 * ngx_jd_push_send.c - the ledger's totals as commands to Redis: what a walk has
 * found, one command at a time, and at the end which lifts have come through.
 */


#include "ngx_jd_push.h"

#include <hiredis/async.h>


#define NGX_JD_PUSH_ASK_MS       5000     /* is it still there, is it done? */
#define NGX_JD_PUSH_WAIT_MS      3000


static void ngx_jd_push_fill(ngx_jd_push_t *p, ngx_jd_push_period_t *pe);
static void ngx_jd_push_arg(ngx_jd_push_t *p, ngx_uint_t i, const char *text);
static ngx_int_t ngx_jd_push_command(ngx_jd_push_t *p);
static void ngx_jd_push_on_reply(redisAsyncContext *ac, void *reply,
    void *data);
static void ngx_jd_push_kept(ngx_jd_push_t *p, ngx_jd_push_period_t *pe,
    ngx_uint_t new);
static void ngx_jd_push_gates(ngx_jd_push_t *p);
static void ngx_jd_push_on_gates(redisAsyncContext *ac, void *reply,
    void *data);


void
ngx_jd_push_send(ngx_jd_push_t *p)
{
    ngx_jd_push_period_t  *pe;

    for ( /* void */ ; p->period < p->nperiods; p->period++) {

        pe = &p->periods[p->period];

        if (pe->first == NGX_JD_PUSH_NONE && !pe->closing
            && (pe->whole || pe->done
                || ngx_current_msec - pe->asked_at < NGX_JD_PUSH_ASK_MS))
        {
            continue;
        }

        ngx_jd_push_fill(p, pe);

        pe->asked_at = ngx_current_msec;
        p->whole_script = 0;
        (void) ngx_jd_push_command(p);
        return;
    }

    p->cells->head->list[p->list->ledger_index].pushed_at = ngx_time();

    ngx_jd_push_gates(p);
}


/* Takes cells off the period's list, as many as a command holds. */

static void
ngx_jd_push_fill(ngx_jd_push_t *p, ngx_jd_push_period_t *pe)
{
    uint32_t          i;
    uint64_t          total, first;
    jd_cell_t         cell;
    jd_cells_head_t  *head;

    head = p->cells->head;

    p->n = 0;

    while (pe->first != NGX_JD_PUSH_NONE && p->n < NGX_JD_PUSH_FIELDS) {

        i = pe->first;
        pe->first = p->next[i];

        if (jd_cells_look(p->cells, i, &cell) != JD_CELL_USED
            || cell.period != pe->period
            || jd_cell_class(cell.kind) != pe->class)
        {
            continue;
        }

        total = jd_cells_total(p->cells, &cell, &first);

        if (total == 0) {
            p->pushed[i] = cell.word;
            continue;
        }

        pe->seen_total = 1;

        p->cell[p->n] = i;
        p->word[p->n] = cell.word;

        jd_ledger_field(p->field[p->n], &cell);
        *ngx_sprintf((u_char *) p->total[p->n], "%uL", total) = '\0';

        ngx_jd_push_arg(p, NGX_JD_PUSH_HEAD + 2 * p->n, p->field[p->n]);
        ngx_jd_push_arg(p, NGX_JD_PUSH_HEAD + 2 * p->n + 1, p->total[p->n]);

        p->n++;
    }

    jd_ledger_key(p->key, p->name, head->gateway, pe->class,
                  head->run[pe->class], pe->period);
    jd_ledger_period(p->done_field, pe->class, head->run[pe->class],
                     pe->period);

    p->last_chunk = (pe->first == NGX_JD_PUSH_NONE);
    p->closed[0] = '\0';

    if (pe->closing && p->last_chunk) {
        *ngx_sprintf((u_char *) p->closed, "%uL %uL", pe->fields, pe->sum)
            = '\0';
    }
}


static void
ngx_jd_push_arg(ngx_jd_push_t *p, ngx_uint_t i, const char *text)
{
    p->argv[i] = text;
    p->argvlen[i] = ngx_strlen(text);
}


/* On NGX_ERROR the link is closed, and what was to be pushed is found again. */

static ngx_int_t
ngx_jd_push_command(ngx_jd_push_t *p)
{
    ngx_jd_push_arg(p, 0, p->whole_script ? "EVAL" : "EVALSHA");
    ngx_jd_push_arg(p, 1, p->whole_script ? jd_push_script : jd_push_sha1);
    ngx_jd_push_arg(p, 2, "2");
    ngx_jd_push_arg(p, 3, p->key);
    ngx_jd_push_arg(p, 4, p->set_key);
    ngx_jd_push_arg(p, 5, p->done_key);
    ngx_jd_push_arg(p, 6, p->done_field);
    ngx_jd_push_arg(p, 7, p->closed);

    return ngx_jd_link_send(p->link, ngx_jd_push_on_reply, p,
                            NGX_JD_PUSH_WAIT_MS,
                            NGX_JD_PUSH_HEAD + 2 * p->n, p->argv, p->argvlen);
}


static void
ngx_jd_push_on_reply(redisAsyncContext *ac, void *reply, void *data)
{
    redisReply            *r;
    ngx_jd_push_t         *p;
    ngx_jd_push_period_t  *pe;

    if (ngx_jd_link_heard(ac, reply) == NULL) {
        return;
    }

    p = data;
    r = reply;

    if (r->type == REDIS_REPLY_ERROR && !p->whole_script
        && ngx_strncmp(r->str, "NOSCRIPT", 8) == 0)
    {
        p->whole_script = 1;
        (void) ngx_jd_push_command(p);
        return;
    }

    if (r->type != REDIS_REPLY_INTEGER || r->integer < JD_PUSH_KEPT
        || r->integer > JD_PUSH_NEW)
    {
        ngx_jd_link_close(p->link, ngx_jd_reply_fault(r));
        return;
    }

    ngx_jd_link_proven(p->link);

    pe = &p->periods[p->period];

    if (r->integer == JD_PUSH_DONE && pe->frozen) {
        pe->done = 1;
        pe->closing = 0;
        pe->first = NGX_JD_PUSH_NONE;

    } else {
        ngx_jd_push_kept(p, pe, r->integer == JD_PUSH_NEW);
    }

    ngx_jd_push_send(p);
}


static void
ngx_jd_push_kept(ngx_jd_push_t *p, ngx_jd_push_period_t *pe, ngx_uint_t new)
{
    ngx_uint_t  i;

    for (i = 0; i < p->n; i++) {
        p->pushed[p->cell[i]] = p->word[i];
    }

    if (new && (!pe->whole || pe->begun) && pe->seen_total) {
        /* what was pushed before is not there any more */
        pe->again = 1;
    }

    pe->begun = 1;

    if (p->last_chunk) {
        pe->closing = 0;

        if (pe->whole) {
            pe->whole = 0;
            pe->whole_at = ngx_current_msec;
        }
    }
}


/* Which lifts have come through here, for the office to know. */

static void
ngx_jd_push_gates(ngx_jd_push_t *p)
{
    char            text[3 * NGX_INT64_LEN + 3];
    ngx_jd_zone_t  *zone;

    zone = p->list->zone;

    if (zone->lift_ms == 0
        || (zone->lift_ms == p->lift_ms && zone->lift_seq == p->lift_seq
            && ngx_current_msec - p->lift_at < NGX_JD_PUSH_WHOLE_MS))
    {
        p->state = NGX_JD_PUSH_IDLE;
        return;
    }

    p->lift_ms = zone->lift_ms;
    p->lift_seq = zone->lift_seq;
    p->lift_at = ngx_current_msec;

    *ngx_sprintf((u_char *) text, "%uL-%uL %L", p->lift_ms, p->lift_seq,
                 (int64_t) zone->lift_seen_ms)
        = '\0';

    ngx_jd_push_arg(p, 0, "HSET");
    ngx_jd_push_arg(p, 1, p->gates_key);
    ngx_jd_push_arg(p, 2, p->cells->head->gateway);
    ngx_jd_push_arg(p, 3, text);

    p->state = NGX_JD_PUSH_GATES;

    (void) ngx_jd_link_send(p->link, ngx_jd_push_on_gates, p,
                            NGX_JD_PUSH_WAIT_MS, 4, p->argv, p->argvlen);
}


static void
ngx_jd_push_on_gates(redisAsyncContext *ac, void *reply, void *data)
{
    redisReply     *r;
    ngx_jd_push_t  *p;

    if (ngx_jd_link_heard(ac, reply) == NULL) {
        return;
    }

    p = data;
    r = reply;

    if (r->type != REDIS_REPLY_INTEGER) {
        ngx_jd_link_close(p->link, ngx_jd_reply_fault(r));
        return;
    }

    p->state = NGX_JD_PUSH_IDLE;
}
