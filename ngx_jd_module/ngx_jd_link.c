
/*
 * ngx_jd_link.c - one connection to the servers of a list: connect, AUTH,
 * PING, silence, back-off, and the one way to close.
 *
 *   DOWN --timer--> CONNECTING --PONG--> UP
 *    ^                   |                |
 *    +---- ngx_jd_link_close(link, why) --+--> EXITING
 *
 * hiredis 0.14 cannot free a context in its callbacks, so close() only puts it
 * aside and a timer of 1 ms frees it; its late callbacks are known by the
 * context no longer being link->ac.
 */


#include "ngx_jd_link.h"

#include <hiredis/async.h>


#define NGX_JD_LINK_HANDSHAKE_MS     1000
#define NGX_JD_LINK_PING_MS          1000     /* of silence, and to answer */
#define NGX_JD_LINK_BACKOFF_MS       50
#define NGX_JD_LINK_BACKOFF_CAP_MS   1000


static ngx_msec_t ngx_jd_link_next(ngx_jd_link_t *link);
static ngx_str_t *ngx_jd_link_server(ngx_jd_link_t *link);
static void ngx_jd_link_timer_handler(ngx_event_t *ev);
static void ngx_jd_link_connect(ngx_jd_link_t *link);
static redisAsyncContext *ngx_jd_link_context(ngx_addr_t *addr);
static ngx_int_t ngx_jd_link_handshake(ngx_jd_link_t *link);
static ngx_int_t ngx_jd_link_ping(ngx_jd_link_t *link);
static void ngx_jd_link_on_connect(const redisAsyncContext *ac, int status);
static void ngx_jd_link_on_disconnect(const redisAsyncContext *ac, int status);
static void ngx_jd_link_gone(const redisAsyncContext *ac, ngx_jd_fault_e why);
static void ngx_jd_link_on_auth(redisAsyncContext *ac, void *reply, void *data);
static void ngx_jd_link_on_ping(redisAsyncContext *ac, void *reply, void *data);


ngx_jd_link_t *
ngx_jd_link_create(ngx_cycle_t *cycle, ngx_jd_list_t *list,
    const ngx_jd_link_user_t *user, void *data)
{
    ngx_jd_link_t  *link;

    link = ngx_pcalloc(cycle->pool, sizeof(ngx_jd_link_t));
    if (link == NULL) {
        return NULL;
    }

    link->data = data;
    link->ident = -1;
    link->list = list;
    link->servers = &list->servers;
    link->user = user;

    link->backoff.base_ms = NGX_JD_LINK_BACKOFF_MS;
    link->backoff.cap_ms = NGX_JD_LINK_BACKOFF_CAP_MS;

    link->timer.handler = ngx_jd_link_timer_handler;
    link->timer.data = link;
    link->timer.log = cycle->log;
    link->timer.cancelable = 1;

    return link;
}


void
ngx_jd_link_open(ngx_jd_link_t *link)
{
    if (link->state == NGX_JD_LINK_DOWN) {
        ngx_add_timer(&link->timer, 1);
    }
}


void
ngx_jd_link_close(ngx_jd_link_t *link, ngx_jd_fault_e why)
{
    if (link->state == NGX_JD_LINK_DOWN || link->state == NGX_JD_LINK_EXITING) {
        return;
    }

    /* one line per kind of fault and outage, not per try */

    if (!(link->told & (1u << why))) {
        link->told |= 1u << why;
        ngx_log_error(NGX_LOG_ERR, link->list->log, 0,
                      "jd list \"%V\": %s link to %V is down: %s",
                      &link->list->name, link->user->name,
                      ngx_jd_link_server(link), ngx_jd_fault_texts[why]);
    }

    link->state = NGX_JD_LINK_DOWN;
    link->fault = why;
    link->asked = 0;

    link->closed = link->ac;
    link->ac = NULL;

    link->retry = ngx_jd_link_next(link);

    ngx_add_timer(&link->timer, 1);

    link->user->down(link);
}


/* The next server at once; when all were tried, the first after a back-off. */

static ngx_msec_t
ngx_jd_link_next(ngx_jd_link_t *link)
{
    if (!link->proven && ++link->server < link->servers->nelts) {
        return 1;
    }

    link->proven = 0;
    link->server = 0;

    /* what time alone does not heal */

    if (link->fault == NGX_JD_FAULT_AUTH || link->fault == NGX_JD_FAULT_SCHEMA
        || link->fault == NGX_JD_FAULT_TYPE || link->fault == NGX_JD_FAULT_KEY
        || link->fault == NGX_JD_FAULT_EMPTY
        || link->fault == NGX_JD_FAULT_READONLY
        || link->fault == NGX_JD_FAULT_FULL)
    {
        jd_backoff_cap(&link->backoff);
    }

    return jd_backoff_next(&link->backoff, ngx_random());
}


static ngx_str_t *
ngx_jd_link_server(ngx_jd_link_t *link)
{
    ngx_addr_t  *addr;

    addr = link->servers->elts;

    return &addr[link->server].name;
}


void
ngx_jd_link_exit(ngx_jd_link_t *link)
{
    redisAsyncContext  *ac;

    link->state = NGX_JD_LINK_EXITING;

    if (link->timer.timer_set) {
        ngx_del_timer(&link->timer);
    }

    ac = link->ac ? link->ac : link->closed;

    link->ac = NULL;
    link->closed = NULL;

    if (ac) {
        redisAsyncFree(ac);
    }
}


ngx_uint_t
ngx_jd_link_usable(ngx_jd_link_t *link)
{
    return link->state == NGX_JD_LINK_UP
           || (link->state == NGX_JD_LINK_CONNECTING
               && link->fault == NGX_JD_FAULT_NONE);
}


ngx_int_t
ngx_jd_link_send(ngx_jd_link_t *link, redisCallbackFn *handler, void *data,
    ngx_msec_t wait, ngx_uint_t argc, const char **argv, const size_t *argvlen)
{
    if (link->ac == NULL
        || redisAsyncCommandArgv(link->ac, handler, data, argc, argv, argvlen)
           != REDIS_OK)
    {
        ngx_jd_link_close(link, NGX_JD_FAULT_CLOSED);
        return NGX_ERROR;
    }

    /* while it connects the deadline of the handshake stands */

    if (link->state == NGX_JD_LINK_UP && !link->asked) {
        link->asked = 1;
        ngx_add_timer(&link->timer, wait);
    }

    return NGX_OK;
}


ngx_jd_link_t *
ngx_jd_link_heard(redisAsyncContext *ac, void *reply)
{
    ngx_jd_link_t  *link;

    link = ac->data;

    if (link->ac != ac || reply == NULL) {
        return NULL;
    }

    if (link->state == NGX_JD_LINK_UP) {
        link->asked = 0;
        ngx_add_timer(&link->timer, NGX_JD_LINK_PING_MS);
    }

    return link;
}


void
ngx_jd_link_proven(ngx_jd_link_t *link)
{
    link->proven = 1;
    jd_backoff_reset(&link->backoff);

    if (link->fault == NGX_JD_FAULT_NONE) {
        return;
    }

    link->fault = NGX_JD_FAULT_NONE;
    link->told = 0;

    ngx_log_error(NGX_LOG_NOTICE, link->list->log, 0,
                  "jd list \"%V\": %s link to %V is up again",
                  &link->list->name, link->user->name,
                  ngx_jd_link_server(link));
}


static void
ngx_jd_link_timer_handler(ngx_event_t *ev)
{
    ngx_jd_link_t      *link;
    redisAsyncContext  *ac;

    link = ev->data;

    switch (link->state) {

    case NGX_JD_LINK_DOWN:

        if (link->closed) {
            ac = link->closed;
            link->closed = NULL;
            redisAsyncFree(ac);
            ngx_add_timer(&link->timer, link->retry);
            return;
        }

        ngx_jd_link_connect(link);
        return;

    case NGX_JD_LINK_CONNECTING:
        ngx_jd_link_close(link, NGX_JD_FAULT_TIMEOUT);
        return;

    case NGX_JD_LINK_UP:

        if (link->asked) {
            ngx_jd_link_close(link, NGX_JD_FAULT_TIMEOUT);
            return;
        }

        (void) ngx_jd_link_ping(link);
        return;

    case NGX_JD_LINK_EXITING:
        return;
    }
}


static void
ngx_jd_link_connect(ngx_jd_link_t *link)
{
    ngx_addr_t         *addr;
    redisAsyncContext  *ac;

    link->state = NGX_JD_LINK_CONNECTING;

    addr = link->servers->elts;

    ac = ngx_jd_link_context(&addr[link->server]);
    if (ac == NULL) {
        ngx_jd_link_close(link, NGX_JD_FAULT_REFUSED);
        return;
    }

    if (ac->err || ngx_jd_redis_attach(ac, link->list->log) != NGX_OK) {
        redisAsyncFree(ac);
        ngx_jd_link_close(link, NGX_JD_FAULT_REFUSED);
        return;
    }

    ac->data = link;
    link->ac = ac;

    redisAsyncSetConnectCallback(ac, ngx_jd_link_on_connect);
    redisAsyncSetDisconnectCallback(ac, ngx_jd_link_on_disconnect);

    ngx_add_timer(&link->timer, NGX_JD_LINK_HANDSHAKE_MS);

    /* hiredis keeps the commands until it is connected */

    if (ngx_jd_link_handshake(link) == NGX_OK) {
        (void) ngx_jd_link_ping(link);
    }
}


/* The address is numeric, so that hiredis's getaddrinfo() asks nobody. */

static redisAsyncContext *
ngx_jd_link_context(ngx_addr_t *addr)
{
    size_t  len;
    u_char  text[NGX_SOCKADDR_STRLEN + 1];

#if (NGX_HAVE_UNIX_DOMAIN)

    if (addr->sockaddr->sa_family == AF_UNIX) {
        return redisAsyncConnectUnix(
                        ((struct sockaddr_un *) addr->sockaddr)->sun_path);
    }

#endif

    len = ngx_sock_ntop(addr->sockaddr, addr->socklen, text,
                        NGX_SOCKADDR_STRLEN, 0);
    text[len] = '\0';

    return redisAsyncConnect((char *) text, ngx_inet_get_port(addr->sockaddr));
}


static ngx_int_t
ngx_jd_link_handshake(ngx_jd_link_t *link)
{
    size_t          len[3];
    ngx_uint_t      n;
    const char     *argv[3];
    ngx_jd_list_t  *list;

    list = link->list;

    if (list->auth_password.len == 0) {
        return NGX_OK;
    }

    n = 0;
    argv[n] = "AUTH";
    len[n++] = 4;

    if (list->auth_user.len) {
        argv[n] = (char *) list->auth_user.data;
        len[n++] = list->auth_user.len;
    }

    argv[n] = (char *) list->auth_password.data;
    len[n++] = list->auth_password.len;

    return ngx_jd_link_send(link, ngx_jd_link_on_auth, NULL,
                            NGX_JD_LINK_HANDSHAKE_MS, n, argv, len);
}


static ngx_int_t
ngx_jd_link_ping(ngx_jd_link_t *link)
{
    size_t       len[1] = { 4 };
    const char  *argv[1] = { "PING" };

    return ngx_jd_link_send(link, ngx_jd_link_on_ping, NULL,
                            NGX_JD_LINK_PING_MS, 1, argv, len);
}


/* After a failed connect hiredis frees the context with no other callback. */

static void
ngx_jd_link_on_connect(const redisAsyncContext *ac, int status)
{
    if (status != REDIS_OK) {
        ngx_jd_link_gone(ac, NGX_JD_FAULT_REFUSED);
    }
}


static void
ngx_jd_link_on_disconnect(const redisAsyncContext *ac, int status)
{
    ngx_jd_link_gone(ac, ac->err == 0 || ac->err == REDIS_ERR_IO
                         || ac->err == REDIS_ERR_EOF ? NGX_JD_FAULT_CLOSED
                                                     : NGX_JD_FAULT_PROTOCOL);
}


/* hiredis frees the context after this. */

static void
ngx_jd_link_gone(const redisAsyncContext *ac, ngx_jd_fault_e why)
{
    ngx_jd_link_t  *link;

    link = ac->data;

    if (link->closed == ac) {
        link->closed = NULL;
        return;
    }

    if (link->ac == ac) {
        link->ac = NULL;
        ngx_jd_link_close(link, why);
    }
}


static void
ngx_jd_link_on_auth(redisAsyncContext *ac, void *reply, void *data)
{
    redisReply     *r;
    ngx_jd_link_t  *link;

    link = ngx_jd_link_heard(ac, reply);
    if (link == NULL) {
        return;
    }

    r = reply;

    if (r->type != REDIS_REPLY_STATUS) {
        ngx_jd_link_close(link, ngx_jd_reply_fault(r));
    }
}


static void
ngx_jd_link_on_ping(redisAsyncContext *ac, void *reply, void *data)
{
    redisReply     *r;
    ngx_jd_link_t  *link;

    link = ngx_jd_link_heard(ac, reply);
    if (link == NULL) {
        return;
    }

    r = reply;

    if (r->type != REDIS_REPLY_STATUS || ngx_strcmp(r->str, "PONG") != 0) {
        ngx_jd_link_close(link, ngx_jd_reply_fault(r));
        return;
    }

    if (link->state == NGX_JD_LINK_UP) {
        /* it has lived for a whole interval */
        ngx_jd_link_proven(link);
        return;
    }

    link->state = NGX_JD_LINK_UP;
    ngx_add_timer(&link->timer, NGX_JD_LINK_PING_MS);

    link->user->up(link);
}
