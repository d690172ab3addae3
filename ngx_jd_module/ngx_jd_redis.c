
/*
 * ngx_jd_redis.c - hiredis contexts on nginx's events: fds and events, nothing
 * of commands.
 *
 * hiredis owns close(fd): the connection object here lends it nginx's events
 * and is given back in cleanup(), which runs before hiredis closes.  After a
 * call into hiredis neither the context nor the connection may be touched.
 */


#include "ngx_jd_link.h"

#include <hiredis/async.h>


/* of an array, as the reader tells it */
#if (HIREDIS_MAJOR >= 1)
typedef size_t  ngx_jd_redis_size_t;
#else
typedef int     ngx_jd_redis_size_t;
#endif


static void ngx_jd_redis_read_handler(ngx_event_t *rev);
static void ngx_jd_redis_write_handler(ngx_event_t *wev);
static void ngx_jd_redis_add_read(void *data);
static void ngx_jd_redis_del_read(void *data);
static void ngx_jd_redis_add_write(void *data);
static void ngx_jd_redis_del_write(void *data);
static void ngx_jd_redis_cleanup(void *data);
static void ngx_jd_redis_guard(redisReader *reader, redisAsyncContext *ac);
static ngx_uint_t ngx_jd_redis_unasked(const redisReadTask *task);
static void *ngx_jd_redis_create_string(const redisReadTask *task, char *str,
    size_t len);
static void *ngx_jd_redis_create_array(const redisReadTask *task,
    ngx_jd_redis_size_t elements);
static void *ngx_jd_redis_create_integer(const redisReadTask *task,
    long long value);
static void *ngx_jd_redis_create_nil(const redisReadTask *task);
#if (HIREDIS_MAJOR >= 1)
static void *ngx_jd_redis_create_double(const redisReadTask *task,
    double value, char *str, size_t len);
static void *ngx_jd_redis_create_bool(const redisReadTask *task, int value);
#endif


/* hiredis's own functions, and ours that refuse before they call them */
static redisReplyObjectFunctions   ngx_jd_redis_default;
static redisReplyObjectFunctions   ngx_jd_redis_guarded;


ngx_int_t
ngx_jd_redis_attach(redisAsyncContext *ac, ngx_log_t *log)
{
    ngx_connection_t  *c;

    c = ngx_get_connection(ac->c.fd, log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->data = ac;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);
    c->log_error = NGX_ERROR_INFO;

    c->read->log = log;
    c->read->handler = ngx_jd_redis_read_handler;
    c->write->log = log;
    c->write->handler = ngx_jd_redis_write_handler;

    ac->ev.data = c;
    ac->ev.addRead = ngx_jd_redis_add_read;
    ac->ev.delRead = ngx_jd_redis_del_read;
    ac->ev.addWrite = ngx_jd_redis_add_write;
    ac->ev.delWrite = ngx_jd_redis_del_write;
    ac->ev.cleanup = ngx_jd_redis_cleanup;

    ngx_jd_redis_guard(ac->c.reader, ac);

    return NGX_OK;
}


ngx_uint_t
ngx_jd_redis_writes(redisAsyncContext *ac)
{
    ngx_connection_t  *c;

    c = ac->ev.data;

    return c ? c->requests : 0;
}


static void
ngx_jd_redis_read_handler(ngx_event_t *rev)
{
    ngx_connection_t   *c;
    redisAsyncContext  *ac;

    c = rev->data;

    if (c->fd == (ngx_socket_t) -1) {
        return;
    }

    ac = c->data;

    if (ac->c.reader->len > NGX_JD_REDIS_BYTES) {
        ngx_log_error(NGX_LOG_ERR, rev->log, 0,
                      "jd: a Redis reply exceeds %d bytes",
                      NGX_JD_REDIS_BYTES);
        redisAsyncFree(ac);
        return;
    }

    redisAsyncHandleRead(ac);
}


static void
ngx_jd_redis_write_handler(ngx_event_t *wev)
{
    ngx_connection_t  *c;

    c = wev->data;

    if (c->fd == (ngx_socket_t) -1) {
        return;
    }

    c->requests++;

    redisAsyncHandleWrite(c->data);
}


/* The hooks are called again and again, and with NULL after cleanup(). */

static void
ngx_jd_redis_add_read(void *data)
{
    ngx_connection_t  *c = data;

    if (c && !c->read->active) {
        (void) ngx_add_event(c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT);
    }
}


static void
ngx_jd_redis_del_read(void *data)
{
    ngx_connection_t  *c = data;

    if (c && c->read->active) {
        (void) ngx_del_event(c->read, NGX_READ_EVENT, 0);
    }
}


static void
ngx_jd_redis_add_write(void *data)
{
    ngx_connection_t  *c = data;

    if (c && !c->write->active) {
        (void) ngx_add_event(c->write, NGX_WRITE_EVENT, NGX_LEVEL_EVENT);
    }
}


static void
ngx_jd_redis_del_write(void *data)
{
    ngx_connection_t  *c = data;

    if (c && c->write->active) {
        (void) ngx_del_event(c->write, NGX_WRITE_EVENT, 0);
    }
}


static void
ngx_jd_redis_cleanup(void *data)
{
    ngx_connection_t   *c = data;
    redisAsyncContext  *ac;

    if (c == NULL) {
        return;
    }

    ac = c->data;
    ac->ev.data = NULL;

    ngx_jd_redis_del_read(c);
    ngx_jd_redis_del_write(c);

    if (c->read->posted) {
        ngx_delete_posted_event(c->read);
    }

    if (c->write->posted) {
        ngx_delete_posted_event(c->write);
    }

    ngx_free_connection(c);

    /* hiredis closes it: neither stale events nor nginx's search for leaks */
    c->fd = (ngx_socket_t) -1;
}


/*
 * The reader's guard: hiredis asserts that a reply has a command, so that a
 * server that sends one more would end the worker, and it takes any length of
 * an array for true.  A NULL from these functions makes it close the context.
 */

static ngx_uint_t
ngx_jd_redis_unasked(const redisReadTask *task)
{
    redisAsyncContext  *ac;

    if (task->parent != NULL) {
        return 0;
    }

    ac = task->privdata;

    return ac->replies.head == NULL && task->type != REDIS_REPLY_ERROR;
}


static void *
ngx_jd_redis_create_string(const redisReadTask *task, char *str,
    size_t len)
{
    if (ngx_jd_redis_unasked(task)) {
        return NULL;
    }

    return ngx_jd_redis_default.createString(task, str, len);
}


static void *
ngx_jd_redis_create_array(const redisReadTask *task,
    ngx_jd_redis_size_t elements)
{
    if (ngx_jd_redis_unasked(task) || elements > NGX_JD_REDIS_ELEMENTS) {
        return NULL;
    }

    return ngx_jd_redis_default.createArray(task, elements);
}


static void *
ngx_jd_redis_create_integer(const redisReadTask *task, long long value)
{
    if (ngx_jd_redis_unasked(task)) {
        return NULL;
    }

    return ngx_jd_redis_default.createInteger(task, value);
}


static void *
ngx_jd_redis_create_nil(const redisReadTask *task)
{
    if (ngx_jd_redis_unasked(task)) {
        return NULL;
    }

    return ngx_jd_redis_default.createNil(task);
}


#if (HIREDIS_MAJOR >= 1)

/* of RESP3, which nobody asks for */

static void *
ngx_jd_redis_create_double(const redisReadTask *task, double value, char *str,
    size_t len)
{
    return NULL;
}


static void *
ngx_jd_redis_create_bool(const redisReadTask *task, int value)
{
    return NULL;
}

#endif


static void
ngx_jd_redis_guard(redisReader *reader, redisAsyncContext *ac)
{
    if (ngx_jd_redis_default.createString == NULL) {
        ngx_jd_redis_default = *reader->fn;
        ngx_jd_redis_guarded = *reader->fn;

        ngx_jd_redis_guarded.createString = ngx_jd_redis_create_string;
        ngx_jd_redis_guarded.createArray = ngx_jd_redis_create_array;
        ngx_jd_redis_guarded.createInteger = ngx_jd_redis_create_integer;
        ngx_jd_redis_guarded.createNil = ngx_jd_redis_create_nil;
#if (HIREDIS_MAJOR >= 1)
        ngx_jd_redis_guarded.createDouble = ngx_jd_redis_create_double;
        ngx_jd_redis_guarded.createBool = ngx_jd_redis_create_bool;
#endif
    }

    reader->fn = &ngx_jd_redis_guarded;
    reader->privdata = ac;
}
