
/*
 * ngx_jd_confirm.c - the deny path: asks Redis about one digest while the
 * request waits.
 *
 * A question is on the heap, belongs to its list's asker, and has waiters: the
 * requests.  A waiter lies in its request's pool and has its own deadline.
 * Whatever is not certain is UNCONFIRMED, which passes.
 */


#include "ngx_jd_link.h"
#include "ngx_jd_module.h"
#include "ngx_jd_zone.h"

#include <hiredis/async.h>
#include <time.h>


/* of the server's silence; each request has its own deadline before it */
#define NGX_JD_CONFIRM_SILENCE_MS  1000


typedef struct {
    ngx_jd_list_t        *list;
    ngx_jd_link_t        *link;
    ngx_queue_t           questions;           /* in flight, oldest first */
    uint32_t              told;                /* faults logged, a bit each */

    char                  prefix[JD_REDIS_NAME_MAX];
    char                  meta[JD_REDIS_NAME_MAX];
    char                  relief[JD_REDIS_NAME_MAX];
    char                  grounds[JD_REDIS_NAME_MAX];
    char                  stays[JD_REDIS_NAME_MAX];
} ngx_jd_asker_t;


struct ngx_jd_confirm_s {
    ngx_queue_t           queue;
    ngx_queue_t           waiters;
    ngx_jd_asker_t       *asker;
    ngx_uint_t            writes;              /* of the link when given */
    uint64_t              start_usec;
    u_char                digest[JD_DIGEST_LEN];
    unsigned              whole:1;             /* the script itself was sent */
};


typedef struct {
    /* the head of a connection, as debug logs of timers read it */
    void                 *data;                /* the handler's */
    ngx_jd_confirm_t     *confirm;             /* NULL when detached */
    ngx_jd_confirm_pt     handler;
    ngx_int_t             ident;

    ngx_queue_t           queue;
    ngx_event_t           timer;
    ngx_uint_t            measure_bit;
    ngx_pool_t           *pool;
    ngx_jd_verdict_t     *verdict;             /* of one measure, or */
    ngx_jd_person_t      *person;              /* of the whole record */
} ngx_jd_waiter_t;


static ngx_int_t ngx_jd_confirm_wait(ngx_jd_list_t *list,
    const u_char digest[JD_DIGEST_LEN], ngx_pool_t *pool, ngx_log_t *log,
    ngx_jd_waiter_t *ask);
static ngx_jd_confirm_t *ngx_jd_confirm_find(ngx_jd_asker_t *asker,
    const u_char digest[JD_DIGEST_LEN]);
static ngx_jd_confirm_t *ngx_jd_confirm_ask(ngx_jd_asker_t *asker,
    const u_char digest[JD_DIGEST_LEN]);
static ngx_int_t ngx_jd_confirm_send(ngx_jd_confirm_t *confirm);
static void ngx_jd_confirm_on_reply(redisAsyncContext *ac, void *reply,
    void *data);
static void ngx_jd_confirm_on_error(ngx_jd_confirm_t *confirm,
    redisReply *reply);
static void ngx_jd_confirm_answer(ngx_jd_confirm_t *confirm,
    redisReply *reply);
static void ngx_jd_confirm_wake(ngx_jd_waiter_t *waiter);
static jd_reason_t *ngx_jd_confirm_reason(ngx_jd_waiter_t *waiter);
static void ngx_jd_confirm_detach(ngx_jd_waiter_t *waiter);
static void ngx_jd_confirm_timer_handler(ngx_event_t *ev);
static void ngx_jd_confirm_cleanup(void *data);
static void ngx_jd_confirm_link_up(ngx_jd_link_t *link);
static void ngx_jd_confirm_link_down(ngx_jd_link_t *link);
static uint64_t ngx_jd_confirm_usec(void);


static const ngx_jd_link_user_t  ngx_jd_confirm_user = {
    "confirm",
    ngx_jd_confirm_link_up,
    ngx_jd_confirm_link_down
};


ngx_int_t
ngx_jd_confirm(ngx_jd_list_t *list, const u_char digest[JD_DIGEST_LEN],
    ngx_uint_t measure_bit, ngx_pool_t *pool, ngx_log_t *log,
    ngx_jd_verdict_t *verdict, ngx_jd_confirm_pt handler, void *data)
{
    ngx_jd_waiter_t  ask;

    ngx_memzero(verdict, sizeof(ngx_jd_verdict_t));
    verdict->reason = JD_REASON_UNCONFIRMED;

    ngx_memzero(&ask, sizeof(ngx_jd_waiter_t));
    ask.data = data;
    ask.handler = handler;
    ask.measure_bit = measure_bit;
    ask.verdict = verdict;

    return ngx_jd_confirm_wait(list, digest, pool, log, &ask);
}


ngx_int_t
ngx_jd_confirm_person(ngx_jd_list_t *list, const u_char digest[JD_DIGEST_LEN],
    ngx_pool_t *pool, ngx_log_t *log, ngx_jd_person_t *person,
    ngx_jd_confirm_pt handler, void *data)
{
    ngx_jd_waiter_t  ask;

    ngx_memzero(person, sizeof(ngx_jd_person_t));
    person->reason = JD_REASON_UNCONFIRMED;
    person->age = -1;

    ngx_memzero(&ask, sizeof(ngx_jd_waiter_t));
    ask.data = data;
    ask.handler = handler;
    ask.person = person;

    return ngx_jd_confirm_wait(list, digest, pool, log, &ask);
}


/* A waiter like `ask`, for a question of its own or one that it joins. */

static ngx_int_t
ngx_jd_confirm_wait(ngx_jd_list_t *list, const u_char digest[JD_DIGEST_LEN],
    ngx_pool_t *pool, ngx_log_t *log, ngx_jd_waiter_t *ask)
{
    ngx_jd_asker_t      *asker;
    ngx_jd_waiter_t     *waiter;
    ngx_jd_confirm_t    *confirm;
    ngx_pool_cleanup_t  *cln;

    if (list->confirm_link == NULL) {
        return NGX_DONE;
    }

    asker = list->confirm_link->data;

    if (!ngx_jd_link_usable(asker->link)) {
        ngx_jd_counter_add(&list->counters->confirm_errors, 1);
        return NGX_DONE;
    }

    cln = ngx_pool_cleanup_add(pool, sizeof(ngx_jd_waiter_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    waiter = cln->data;
    *waiter = *ask;

    confirm = ngx_jd_confirm_find(asker, digest);

    if (confirm == NULL) {
        confirm = ngx_jd_confirm_ask(asker, digest);
        if (confirm == NULL) {
            ngx_jd_counter_add(&list->counters->confirm_errors, 1);
            return NGX_DONE;
        }
    }

    cln->handler = ngx_jd_confirm_cleanup;

    waiter->confirm = confirm;
    waiter->ident = -1;
    waiter->pool = pool;

    ngx_queue_insert_tail(&confirm->waiters, &waiter->queue);

    /* not cancelable: a worker that quits waits for it */

    waiter->timer.handler = ngx_jd_confirm_timer_handler;
    waiter->timer.data = waiter;
    waiter->timer.log = log;

    ngx_add_timer(&waiter->timer, list->timeout);

    return NGX_AGAIN;
}


void
ngx_jd_confirm_init(ngx_cycle_t *cycle, ngx_jd_list_t *list)
{
    char             name[JD_LIST_NAME_MAX + 1];
    ngx_jd_asker_t  *asker;

    asker = ngx_pcalloc(cycle->pool, sizeof(ngx_jd_asker_t));
    if (asker == NULL) {
        return;
    }

    asker->link = ngx_jd_link_create(cycle, list, &ngx_jd_confirm_user, asker);
    if (asker->link == NULL) {
        return;
    }

    asker->list = list;
    ngx_queue_init(&asker->questions);

    ngx_cpystrn((u_char *) name, list->name.data, list->name.len + 1);

    jd_redis_prefix(asker->prefix, name);
    jd_redis_meta(asker->meta, name);
    jd_redis_relief(asker->relief, name);
    jd_redis_grounds(asker->grounds, name);
    jd_redis_stays(asker->stays, name);

    list->confirm_link = asker->link;

    ngx_jd_link_open(asker->link);
}


void
ngx_jd_confirm_exit(ngx_jd_list_t *list)
{
    ngx_queue_t       *q;
    ngx_jd_asker_t    *asker;
    ngx_jd_confirm_t  *confirm;

    if (list->confirm_link == NULL) {
        return;
    }

    asker = list->confirm_link->data;
    list->confirm_link = NULL;

    ngx_jd_link_exit(asker->link);

    while (!ngx_queue_empty(&asker->questions)) {
        q = ngx_queue_head(&asker->questions);
        confirm = ngx_queue_data(q, ngx_jd_confirm_t, queue);

        while (!ngx_queue_empty(&confirm->waiters)) {
            q = ngx_queue_head(&confirm->waiters);
            ngx_jd_confirm_detach(ngx_queue_data(q, ngx_jd_waiter_t, queue));
        }

        ngx_queue_remove(&confirm->queue);
        ngx_free(confirm);
    }
}


/*
 * A question is joined only while it has not left this process: one that was
 * sent may be answered from before a lift that this request must see.
 */

static ngx_jd_confirm_t *
ngx_jd_confirm_find(ngx_jd_asker_t *asker, const u_char digest[JD_DIGEST_LEN])
{
    ngx_uint_t         writes;
    ngx_queue_t       *q;
    ngx_jd_confirm_t  *confirm;

    writes = ngx_jd_redis_writes(asker->link->ac);

    for (q = ngx_queue_last(&asker->questions);
         q != ngx_queue_sentinel(&asker->questions);
         q = ngx_queue_prev(q))
    {
        confirm = ngx_queue_data(q, ngx_jd_confirm_t, queue);

        if (confirm->writes != writes) {
            return NULL;
        }

        if (ngx_memcmp(confirm->digest, digest, JD_DIGEST_LEN) == 0) {
            return confirm;
        }
    }

    return NULL;
}


static ngx_jd_confirm_t *
ngx_jd_confirm_ask(ngx_jd_asker_t *asker, const u_char digest[JD_DIGEST_LEN])
{
    ngx_jd_confirm_t  *confirm;

    confirm = ngx_alloc(sizeof(ngx_jd_confirm_t), asker->list->log);
    if (confirm == NULL) {
        return NULL;
    }

    ngx_queue_init(&confirm->waiters);
    confirm->asker = asker;
    confirm->start_usec = ngx_jd_confirm_usec();
    ngx_memcpy(confirm->digest, digest, JD_DIGEST_LEN);
    confirm->whole = 0;

    /* queued first: when it cannot be sent the link closes and frees it */

    ngx_queue_insert_tail(&asker->questions, &confirm->queue);

    if (ngx_jd_confirm_send(confirm) != NGX_OK) {
        return NULL;
    }

    ngx_jd_counter_add(&asker->list->counters->confirms, 1);

    return confirm;
}


/* On NGX_ERROR the link is closed and the question is no more. */

static ngx_int_t
ngx_jd_confirm_send(ngx_jd_confirm_t *confirm)
{
    size_t           len[9];
    ngx_uint_t       i;
    const char      *argv[9];
    ngx_jd_asker_t  *asker;

    asker = confirm->asker;

    argv[0] = confirm->whole ? "EVAL_RO" : "EVALSHA_RO";
    argv[1] = confirm->whole ? jd_confirm_script : jd_confirm_sha1;
    argv[2] = "4";
    argv[3] = asker->meta;
    argv[4] = asker->relief;
    argv[5] = asker->grounds;
    argv[6] = asker->stays;
    argv[7] = asker->prefix;
    argv[8] = (char *) confirm->digest;

    for (i = 0; i < 8; i++) {
        len[i] = ngx_strlen(argv[i]);
    }

    len[8] = JD_DIGEST_LEN;

    confirm->writes = ngx_jd_redis_writes(asker->link->ac);

    return ngx_jd_link_send(asker->link, ngx_jd_confirm_on_reply, confirm,
                            NGX_JD_CONFIRM_SILENCE_MS, 9, argv, len);
}


static void
ngx_jd_confirm_on_reply(redisAsyncContext *ac, void *reply, void *data)
{
    redisReply        *r;
    ngx_jd_list_t     *list;
    ngx_jd_confirm_t  *confirm;

    if (ngx_jd_link_heard(ac, reply) == NULL) {
        /* the question was freed when the link closed */
        return;
    }

    confirm = data;
    r = reply;

    if (r->type == REDIS_REPLY_ERROR) {
        ngx_jd_confirm_on_error(confirm, r);
        return;
    }

    list = confirm->asker->list;

    ngx_jd_counter_add(&list->counters->confirm_usec,
                       ngx_jd_confirm_usec() - confirm->start_usec);

    ngx_jd_confirm_answer(confirm, r);
}


static void
ngx_jd_confirm_on_error(ngx_jd_confirm_t *confirm, redisReply *reply)
{
    ngx_jd_asker_t  *asker;
    ngx_jd_fault_e   fault;

    asker = confirm->asker;

    if (!confirm->whole && ngx_strncmp(reply->str, "NOSCRIPT", 8) == 0) {

        /* given last, it is answered last */

        ngx_queue_remove(&confirm->queue);
        ngx_queue_insert_tail(&asker->questions, &confirm->queue);

        confirm->whole = 1;
        (void) ngx_jd_confirm_send(confirm);
        return;
    }

    fault = ngx_jd_reply_fault(reply);

    if (fault == NGX_JD_FAULT_AUTH || fault == NGX_JD_FAULT_LOADING) {
        /* so it would be with any question */
        ngx_jd_link_close(asker->link, fault);
        return;
    }

    if (!(asker->told & (1u << fault))) {
        asker->told |= 1u << fault;
        ngx_log_error(NGX_LOG_ERR, asker->list->log, 0,
                      "jd list \"%V\": a confirm failed: %s",
                      &asker->list->name, ngx_jd_fault_texts[fault]);
    }

    ngx_jd_confirm_answer(confirm, NULL);
}


/* Ends the question; without a reply everybody stays unconfirmed. */

static void
ngx_jd_confirm_answer(ngx_jd_confirm_t *confirm, redisReply *reply)
{
    ngx_queue_t      *q;
    jd_reason_t      *reason;
    ngx_jd_asker_t   *asker;
    ngx_jd_waiter_t  *waiter;

    asker = confirm->asker;

    while (!ngx_queue_empty(&confirm->waiters)) {
        q = ngx_queue_head(&confirm->waiters);
        waiter = ngx_queue_data(q, ngx_jd_waiter_t, queue);

        if (reply) {
            reason = ngx_jd_confirm_reason(waiter);

            *reason = waiter->person
                      ? ngx_jd_reply_person(asker->list, confirm->digest,
                                            reply, waiter->pool,
                                            waiter->person)
                      : ngx_jd_reply_verdict(asker->list, confirm->digest,
                                             waiter->measure_bit, reply,
                                             waiter->pool, waiter->verdict);

            if (*reason != JD_REASON_UNCONFIRMED) {
                ngx_jd_link_proven(asker->link);
            }
        }

        ngx_jd_confirm_wake(waiter);
    }

    ngx_queue_remove(&confirm->queue);
    ngx_free(confirm);
}


static void
ngx_jd_confirm_wake(ngx_jd_waiter_t *waiter)
{
    ngx_jd_list_t  *list;

    list = waiter->confirm->asker->list;

    if (*ngx_jd_confirm_reason(waiter) == JD_REASON_UNCONFIRMED) {
        ngx_jd_counter_add(&list->counters->confirm_errors, 1);
    }

    ngx_jd_confirm_detach(waiter);

    waiter->handler(waiter->data);
}


static jd_reason_t *
ngx_jd_confirm_reason(ngx_jd_waiter_t *waiter)
{
    return waiter->person ? &waiter->person->reason
                          : &waiter->verdict->reason;
}


static void
ngx_jd_confirm_detach(ngx_jd_waiter_t *waiter)
{
    if (waiter->timer.timer_set) {
        ngx_del_timer(&waiter->timer);
    }

    ngx_queue_remove(&waiter->queue);
    waiter->confirm = NULL;
}


/*
 * Replies come in order, so after this one in time nothing is to be expected of
 * the link: the next requests pass at once instead of waiting as long, until it
 * has been made again.
 */

static void
ngx_jd_confirm_timer_handler(ngx_event_t *ev)
{
    ngx_jd_link_t    *link;
    ngx_jd_waiter_t  *waiter;

    waiter = ev->data;
    link = waiter->confirm->asker->link;

    ngx_jd_confirm_wake(waiter);

    ngx_jd_link_close(link, NGX_JD_FAULT_TIMEOUT);
}


static void
ngx_jd_confirm_cleanup(void *data)
{
    ngx_jd_waiter_t *waiter = data;

    if (waiter->confirm) {
        ngx_jd_confirm_detach(waiter);
    }
}


static void
ngx_jd_confirm_link_up(ngx_jd_link_t *link)
{
    ngx_jd_asker_t  *asker;

    asker = link->data;
    asker->told = 0;
}


static void
ngx_jd_confirm_link_down(ngx_jd_link_t *link)
{
    ngx_queue_t     *q;
    ngx_jd_asker_t  *asker;

    asker = link->data;

    while (!ngx_queue_empty(&asker->questions)) {
        q = ngx_queue_head(&asker->questions);
        ngx_jd_confirm_answer(ngx_queue_data(q, ngx_jd_confirm_t, queue),
                              NULL);
    }
}


static uint64_t
ngx_jd_confirm_usec(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
