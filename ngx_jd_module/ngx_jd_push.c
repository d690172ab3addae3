
/*
 * ngx_jd_push.c - worker slot 0 brings the ledger's totals of a list to Redis,
 * each second what has changed; closes periods, and frees what the office has
 * receipted.
 *
 *   IDLE --tick--> WALK --> SEND --> GATES --> IDLE
 *                    |       ^ |
 *                    |       +-+ one command at a time
 *                    +--> IDLE, while there is no link
 *
 * A walk over all cells, in slices, sorts what has changed by period, into
 * lists that run through `next`.  Totals are absolute and Redis keeps the
 * larger: an old and a new worker 0 that push side by side, a push that is
 * repeated or late, a worker that was killed do no harm.
 *
 * A period that is over for NGX_JD_PUSH_OVER_SEC is closed before a walk begins
 * and its cells are frozen by that walk; the next walk counts fields and sum,
 * pushes all of it again, and "<fields> <sum>" as field ".closed" behind it.
 */


#include "ngx_jd_module.h"
#include "ngx_jd_push.h"


#define NGX_JD_PUSH_MS           1000
#define NGX_JD_PUSH_OVER_SEC     60
#define NGX_JD_PUSH_SLICE        2048     /* cells in one turn */
#define NGX_JD_PUSH_PERIODS      1024     /* further ones have to wait */


static void ngx_jd_push_timer_handler(ngx_event_t *ev);
static void ngx_jd_push_begin(ngx_jd_push_t *p);
static void ngx_jd_push_close_over(ngx_jd_push_t *p);
static void ngx_jd_push_walk(ngx_event_t *ev);
static void ngx_jd_push_cell(ngx_jd_push_t *p, uint32_t i);
static ngx_uint_t ngx_jd_push_alive(uint64_t tag);
static ngx_jd_push_period_t *ngx_jd_push_period(ngx_jd_push_t *p,
    jd_period_class_t class, uint32_t period);
static void ngx_jd_push_walked(ngx_jd_push_t *p);
static void ngx_jd_push_link_up(ngx_jd_link_t *link);
static void ngx_jd_push_link_down(ngx_jd_link_t *link);


static const ngx_jd_link_user_t  ngx_jd_push_user = {
    "ledger",
    ngx_jd_push_link_up,
    ngx_jd_push_link_down
};


void
ngx_jd_push_init(ngx_cycle_t *cycle, ngx_jd_list_t *list)
{
    uint64_t        n;
    ngx_jd_push_t  *p;

    n = list->ledger->cells.cells;

    p = ngx_pcalloc(cycle->pool, sizeof(ngx_jd_push_t));
    if (p == NULL) {
        return;
    }

    p->pushed = ngx_pcalloc(cycle->pool, n * sizeof(uint64_t));
    p->next = ngx_palloc(cycle->pool, n * sizeof(uint32_t));
    p->periods = ngx_palloc(cycle->pool, NGX_JD_PUSH_PERIODS
                                         * sizeof(ngx_jd_push_period_t));

    if (p->pushed == NULL || p->next == NULL || p->periods == NULL) {
        return;
    }

    p->link = ngx_jd_link_create(cycle, list, &ngx_jd_push_user, p);
    if (p->link == NULL) {
        return;
    }

    p->link->servers = &list->ledger_servers;

    p->list = list;
    p->cells = &list->ledger->cells;

    p->timer.handler = ngx_jd_push_timer_handler;
    p->timer.data = p->link;              /* as debug logs of timers read it */
    p->timer.log = cycle->log;
    p->timer.cancelable = 1;

    p->work.handler = ngx_jd_push_walk;
    p->work.data = p;
    p->work.log = cycle->log;

    ngx_cpystrn((u_char *) p->name, list->name.data, list->name.len + 1);
    jd_redis_ledger_set(p->set_key, p->name);
    jd_redis_ledger_done(p->done_key, p->name);
    jd_redis_gates(p->gates_key, p->name);

    list->push = p;

    ngx_jd_link_open(p->link);
    ngx_add_timer(&p->timer, NGX_JD_PUSH_MS);
}


void
ngx_jd_push_exit(ngx_jd_list_t *list)
{
    ngx_jd_push_t  *p;

    p = list->push;

    if (p == NULL) {
        return;
    }

    list->push = NULL;

    ngx_jd_link_exit(p->link);

    if (p->timer.timer_set) {
        ngx_del_timer(&p->timer);
    }

    if (p->work.posted) {
        ngx_delete_posted_event(&p->work);
    }
}


static void
ngx_jd_push_timer_handler(ngx_event_t *ev)
{
    ngx_jd_push_t  *p;

    p = ((ngx_jd_link_t *) ev->data)->data;

    ngx_add_timer(&p->timer, NGX_JD_PUSH_MS);

    if (p->state == NGX_JD_PUSH_IDLE) {
        ngx_jd_push_begin(p);
    }
}


static void
ngx_jd_push_begin(ngx_jd_push_t *p)
{
    ngx_uint_t             i;
    ngx_jd_push_period_t  *pe;

    for (i = 0; i < p->nperiods; i++) {
        pe = &p->periods[i];

        pe->first = NGX_JD_PUSH_NONE;
        pe->seen = 0;
        pe->fields = 0;
        pe->sum = 0;
        pe->begun = 0;

        if (pe->again
            || ngx_current_msec - pe->whole_at >= NGX_JD_PUSH_WHOLE_MS)
        {
            pe->whole = 1;
            pe->again = 0;
        }
    }

    ngx_jd_push_close_over(p);

    p->state = NGX_JD_PUSH_WALK;
    p->walk = 0;
    p->used = 0;
    p->unpushed = 0;

    ngx_post_event(&p->work, &ngx_posted_next_events);
}


/*
 * By the earlier of wall clock and office clock, as a clock that has jumped
 * ahead must not end a month.  Before the first contact nothing is closed.
 */

static void
ngx_jd_push_close_over(ngx_jd_push_t *p)
{
    int64_t                now;
    ngx_uint_t             i;
    jd_clocks_t            clocks;
    ngx_jd_push_period_t  *pe;

    ngx_jd_zone_clocks(p->list, &clocks);

    now = ngx_min(clocks.now, clocks.office_now);

    for (i = 0; i < p->nperiods; i++) {
        pe = &p->periods[i];

        if (pe->frozen || pe->freezing) {
            continue;
        }

        if (!jd_cells_closed(p->cells, p->list->ledger_index, pe->class,
                             pe->period))
        {
            if (jd_period_end(pe->class, pe->period) + NGX_JD_PUSH_OVER_SEC
                > now)
            {
                continue;
            }

            jd_cells_close(p->cells, p->list->ledger_index, pe->class,
                           pe->period);
        }

        /* by us, or by a worker 0 before us, which may have been killed */

        pe->freezing = 1;
    }
}


static void
ngx_jd_push_walk(ngx_event_t *ev)
{
    uint64_t        last;
    ngx_jd_push_t  *p;

    p = ev->data;

    last = ngx_min(p->walk + NGX_JD_PUSH_SLICE, p->cells->cells);

    while (p->walk < last) {
        ngx_jd_push_cell(p, (uint32_t) p->walk++);
    }

    if (p->walk < p->cells->cells) {
        ngx_post_event(&p->work, &ngx_posted_next_events);
        return;
    }

    ngx_jd_push_walked(p);
}


static void
ngx_jd_push_cell(ngx_jd_push_t *p, uint32_t i)
{
    uint64_t               total, first;
    jd_cell_t              cell;
    jd_cell_state_t        state;
    ngx_jd_push_period_t  *pe;

    state = jd_cells_look(p->cells, i, &cell);

    if (state == JD_CELL_BUSY && !ngx_jd_push_alive(cell.tag)) {
        jd_cells_recover(p->cells, i, &cell, ngx_pid);
        return;
    }

    if (state != JD_CELL_USED || cell.list != p->list->ledger_index) {
        return;
    }

    p->used++;

    pe = ngx_jd_push_period(p, jd_cell_class(cell.kind), cell.period);
    if (pe == NULL) {
        p->unpushed++;
        return;
    }

    pe->seen++;

    if (pe->done) {
        jd_cells_free(p->cells, i, &cell, ngx_pid);
        return;
    }

    if (pe->freezing) {
        jd_cells_freeze(p->cells, i);
    }

    if (pe->frozen) {
        total = jd_cells_total(p->cells, &cell, &first);

        if (first == i && total > 0) {
            pe->fields++;
            pe->sum += total;
        }
    }

    if (cell.word == p->pushed[i] && !pe->whole) {
        return;
    }

    if (cell.word != p->pushed[i]) {
        p->unpushed++;
    }

    p->next[i] = pe->first;
    pe->first = i;
}


/* The pid of who was at a busy cell; ours is not at any now. */

static ngx_uint_t
ngx_jd_push_alive(uint64_t tag)
{
    ngx_pid_t  pid;

    pid = (ngx_pid_t) (uint32_t) tag;

    return pid != ngx_pid && (kill(pid, 0) == 0 || ngx_errno != NGX_ESRCH);
}


static ngx_jd_push_period_t *
ngx_jd_push_period(ngx_jd_push_t *p, jd_period_class_t class, uint32_t period)
{
    ngx_uint_t             i;
    ngx_jd_push_period_t  *pe;

    for (i = 0; i < p->nperiods; i++) {
        pe = &p->periods[i];

        if (pe->period == period && pe->class == class) {
            return pe;
        }
    }

    if (p->nperiods == NGX_JD_PUSH_PERIODS) {
        return NULL;
    }

    pe = &p->periods[p->nperiods++];

    ngx_memzero(pe, sizeof(ngx_jd_push_period_t));

    pe->class = class;
    pe->period = period;
    pe->first = NGX_JD_PUSH_NONE;
    pe->whole = 1;

    return pe;
}


static void
ngx_jd_push_walked(ngx_jd_push_t *p)
{
    ngx_uint_t             i;
    jd_cells_list_t       *status;
    ngx_jd_push_period_t  *pe;

    for (i = 0; i < p->nperiods; /* void */ ) {
        pe = &p->periods[i];

        if (pe->seen == 0) {
            *pe = p->periods[--p->nperiods];
            continue;
        }

        if (pe->freezing) {
            pe->freezing = 0;
            pe->frozen = 1;
            pe->whole = 1;
            pe->first = NGX_JD_PUSH_NONE;     /* its sum is not known yet */

        } else if (pe->frozen && pe->fields == 0) {
            /* claimed, and never counted in: nobody has to know of it */
            pe->done = 1;
            pe->first = NGX_JD_PUSH_NONE;

        } else if (pe->whole) {
            pe->closing = pe->frozen;
        }

        i++;
    }

    status = &p->cells->head->list[p->list->ledger_index];

    status->used = p->used;
    status->unpushed = p->unpushed;

    if (p->link->state != NGX_JD_LINK_UP) {
        p->state = NGX_JD_PUSH_IDLE;
        return;
    }

    p->state = NGX_JD_PUSH_SEND;
    p->period = 0;

    ngx_jd_push_send(p);
}


/* Another Redis, or one that was restored: all of it again. */

static void
ngx_jd_push_link_up(ngx_jd_link_t *link)
{
    ngx_uint_t      i;
    ngx_jd_push_t  *p;

    p = link->data;

    for (i = 0; i < p->nperiods; i++) {
        p->periods[i].whole = 1;
    }

    ngx_memzero(p->pushed, p->cells->cells * sizeof(uint64_t));
    p->lift_ms = 0;

    if (p->state == NGX_JD_PUSH_IDLE) {
        ngx_jd_push_begin(p);
    }
}


static void
ngx_jd_push_link_down(ngx_jd_link_t *link)
{
    ngx_jd_push_t  *p;

    p = link->data;

    if (p->state != NGX_JD_PUSH_WALK) {
        p->state = NGX_JD_PUSH_IDLE;
    }
}
