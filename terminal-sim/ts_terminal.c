/*
 * ts_terminal.c - the terminals' engine: paced, open loop, over keep-alive connections, on epoll.
 *
 * Request i is due at start + i / rate whether or not earlier ones are answered, and its latency
 * counts from that instant: a server that stalls for a second shows a second in all requests that
 * fell due meanwhile, not in one per connection.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "core/jd_json.h"
#include "ts_terminal.h"

#define SEC_NS       1000000000ll
#define TICK_NS      (50 * 1000000ll)           /* time-outs, followed file, signals */
#define EVENTS       256
#define READ_SIZE    16384

typedef enum {
    CLOSED,
    CONNECTING,
    IDLE,
    SENDING,
    RECEIVING
} state_t;

typedef struct {
    state_t   state;
    int       fd;
    uint64_t  answers;                          /* on this connection */
    int64_t   due_ns;                           /* of the request in flight */
    int64_t   sent_ns;
    unsigned  service;
    char      card[TS_CARD_MAX + 1];
    size_t    len, sent;
    char      request[TS_REQUEST_MAX];
    ts_http_t http;
} connection_t;

typedef struct {
    const ts_terminal_t *terminal;
    ts_options_t         options;
    ts_oracle_t         *oracle;
    ts_cards_t          *cards;
    ts_report_t         *report;
    unsigned             measure_bit[TS_SERVICES_MAX];
    jd_json_pointer_t    order_pointer;
    connection_t        *connection;
    connection_t       **free;                  /* stack of those without a request */
    unsigned             n_free;
    int                  epoll, timer;
    int64_t              start_ns, deadline_ns;
    uint64_t             next, total;           /* requests begun, and to begin */
    int                  failed;                /* the followed file cannot be read: told */
} engine_t;

static volatile sig_atomic_t stopped;

static void on_signal(int signal_number)
{
    (void) signal_number;
    stopped = 1;
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SEC_NS + t.tv_nsec;
}

static int64_t due(const engine_t *e, uint64_t i)
{
    return e->start_ns + (int64_t) ((double) i / e->options.rate * 1e9);
}

static void shut(connection_t *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->answers = 0;
    c->state = CLOSED;
}

/* The request has ended, one way or another. */
static void release(engine_t *e, connection_t *c)
{
    if (c->state != CLOSED)
        c->state = IDLE;
    e->free[e->n_free++] = c;
}

static void fail(engine_t *e, connection_t *c, const char *why)
{
    int waiting = c->state != IDLE;

    shut(c);
    ts_report_error(e->report, 1, why);
    if (waiting)
        release(e, c);
}

static void watch(engine_t *e, connection_t *c, int op, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = c };

    if (epoll_ctl(e->epoll, op, c->fd, &event) != 0)
        fail(e, c, strerror(errno));
}

static void flush(engine_t *e, connection_t *c)
{
    ssize_t n = send(c->fd, c->request + c->sent, c->len - c->sent, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        if (errno != EPIPE && errno != ECONNRESET)
            fail(e, c, strerror(errno));
        return;                                 /* closed by the peer: the read side tells how */
    }
    c->sent += n > 0 ? (size_t) n : 0;
    if (c->sent == c->len) {
        c->state = RECEIVING;
    } else {
        c->state = SENDING;
        watch(e, c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    }
}

static void open_connection(engine_t *e, connection_t *c)
{
    int one = 1;

    c->state = CONNECTING;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        fail(e, c, strerror(errno));
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *) &e->options.address, sizeof e->options.address) != 0
        && errno != EINPROGRESS) {
        fail(e, c, strerror(errno));
        return;
    }
    watch(e, c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

/* Sends the request that lies in the connection. */
static void transmit(engine_t *e, connection_t *c)
{
    c->sent = 0;
    ts_http_init(&c->http);
    if (c->fd < 0) {
        open_connection(e, c);
    } else {
        c->state = RECEIVING;
        flush(e, c);
    }
}

static void begin(engine_t *e, uint64_t i, int64_t now)
{
    connection_t *c = e->free[--e->n_free];

    ts_cards_next(e->cards, c->card);
    c->service = (unsigned) (i % e->terminal->n_services);
    c->len = e->terminal->write(c->request, e->options.host, e->terminal->service[c->service].path,
                                c->card, i);
    c->due_ns = due(e, i);
    c->sent_ns = now;
    transmit(e, c);
}

/* What the gate and the backend said, in the words of the report. */
static void read_answer(engine_t *e, const ts_http_t *h, ts_answer_t *a)
{
    const char *status = h->gate_status[0] ? h->gate_status : h->backend_status;
    char reason[24] = "";
    size_t len = 0;

    memset(a, 0, sizeof *a);
    a->status = h->status;
    ts_http_param(status, "reason", reason, sizeof reason);
    snprintf(a->said, sizeof a->said, "%.*s%s%s", status[0] ? (int) strcspn(status, ";") : 1,
             status[0] ? status : "-", reason[0] ? " " : "", reason);
    if ((unsigned) h->status == e->options.deny_status
        || strncmp(h->gate_status, "DENIED;", 7) == 0)
        a->outcome = TS_DENIED;
    else
        a->outcome = h->status >= 200 && h->status < 300 ? TS_PASSED : TS_OTHER;
    if (a->outcome == TS_DENIED && h->body_len == h->kept_len
        && jd_json_find(h->body, h->kept_len, &e->order_pointer, (uint8_t *) a->order,
                        JD_ORDER_NUMBER_MAX, &len)
               == JD_JSON_FOUND
        && !jd_order_number_ok(a->order, len))
        strcpy(a->order, "?");                  /* no order has this number */
}

static void answered(engine_t *e, connection_t *c)
{
    int64_t now = now_ns();
    char order[JD_ORDER_NUMBER_MAX + 1];
    ts_answer_t answer;
    const char *why;

    read_answer(e, &c->http, &answer);
    ts_report_answer(e->report, &answer, (uint64_t) (now - c->due_ns) / 1000);
    switch (ts_oracle_judge(e->oracle, c->card, e->measure_bit[c->service], &answer, c->sent_ns,
                            now, &why, order)) {
    case TS_WRONG:
        ts_report_wrong(e->report, &answer, c->service, c->card, order, why);
        break;
    case TS_SETTLING:
        ts_report_settling(e->report);
        break;
    case TS_RIGHT:
        break;
    }
    c->answers++;
    if (!c->http.keep_alive)
        shut(c);
    release(e, c);
}

/* The peer closed, or the connection broke. */
static void closed(engine_t *e, connection_t *c, const char *why)
{
    if (c->state == IDLE) {
        shut(c);
        return;
    }
    if (c->answers > 0 && !c->http.started) {   /* it was closed idle while we sent: once more */
        ts_report_reopened(e->report);
        shut(c);
        transmit(e, c);
        return;
    }
    if (!why && ts_http_close(&c->http) == TS_HTTP_DONE)
        answered(e, c);
    else
        fail(e, c, why ? why : c->http.error);
}

static void readable(engine_t *e, connection_t *c)
{
    uint8_t bytes[READ_SIZE];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);

    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            closed(e, c, strerror(errno));
        return;
    }
    if (n == 0) {
        closed(e, c, NULL);
        return;
    }
    if (c->state == IDLE) {
        fail(e, c, "bytes that nobody asked for");
        return;
    }
    switch (ts_http_feed(&c->http, bytes, (size_t) n)) {
    case TS_HTTP_MORE:
        break;
    case TS_HTTP_BAD:
        fail(e, c, c->http.error);
        break;
    case TS_HTTP_DONE:
        if (c->sent < c->len)
            c->http.keep_alive = 0;             /* answered before it had read all */
        answered(e, c);
    }
}

static void writable(engine_t *e, connection_t *c)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (c->state == CONNECTING) {
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error) {
            fail(e, c, strerror(error));
            return;
        }
    }
    watch(e, c, EPOLL_CTL_MOD, EPOLLIN);
    if (c->state == CONNECTING || c->state == SENDING)
        flush(e, c);
}

/* Ends requests that were sent before an instant. */
static void expire(engine_t *e, int64_t before)
{
    for (unsigned i = 0; i < e->options.connections; i++) {
        connection_t *c = &e->connection[i];

        if ((c->state == CONNECTING || c->state == SENDING || c->state == RECEIVING)
            && c->sent_ns < before)
            fail(e, c, "no answer in time");
    }
}

/* Wakes epoll at an absolute instant. */
static void wake_at(engine_t *e, int64_t at)
{
    struct itimerspec t = { .it_value = { .tv_sec = at / SEC_NS, .tv_nsec = at % SEC_NS } };

    timerfd_settime(e->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

/* 1 while there is something to begin or to wait for. */
static int running(engine_t *e, int64_t now)
{
    if (stopped && e->total > e->next)
        e->total = e->next;
    if (e->next == e->total && e->n_free == e->options.connections)
        return 0;
    if (now > e->deadline_ns) {
        expire(e, now);
        if (e->total > e->next)
            ts_report_error(e->report, e->total - e->next,
                            "never sent: all connections were waiting");
        return 0;
    }
    return !e->failed;
}

static void run(engine_t *e)
{
    struct epoll_event event[EVENTS];
    int64_t now = e->start_ns, tick = now + TICK_NS, second = now + SEC_NS, wake;
    int n;

    while (running(e, now)) {
        while (e->next < e->total && e->n_free > 0 && due(e, e->next) <= now)
            begin(e, e->next++, now);
        wake = e->next < e->total && e->n_free > 0 ? due(e, e->next) : tick;
        wake_at(e, wake < tick ? wake : tick);
        n = epoll_wait(e->epoll, event, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            connection_t *c = event[i].data.ptr;

            if (c && c->fd >= 0 && (event[i].events & EPOLLOUT) && c->state != IDLE)
                writable(e, c);
            if (c && c->fd >= 0 && (event[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                readable(e, c);
        }
        now = now_ns();
        if (now >= tick) {
            e->failed |= ts_oracle_follow(e->oracle, now) != 0;
            expire(e, now - (int64_t) e->options.timeout_ms * 1000000);
            tick = now + TICK_NS;
        }
        if (now >= second) {
            ts_report_progress(e->report, now);
            second += SEC_NS;
        }
    }
}

static int engine_init(engine_t *e, const ts_terminal_t *terminal)
{
    const ts_options_t *o = &e->options;
    struct epoll_event event = { .events = EPOLLIN | EPOLLET };   /* arming clears it: never read */
    struct sigaction action = { .sa_handler = on_signal };

    e->terminal = terminal;
    e->start_ns = now_ns();
    e->total = o->count ? o->count : (uint64_t) (o->rate * o->duration_sec);
    e->deadline_ns = due(e, e->total) + (int64_t) o->timeout_ms * 1000000;
    jd_json_pointer_parse(&e->order_pointer, "/order", 6);
    for (unsigned i = 0; i < terminal->n_services; i++)
        e->measure_bit[i] = (unsigned) jd_measure_bit(terminal->service[i].measure,
                                                      strlen(terminal->service[i].measure));
    e->report = ts_report_create(terminal, o, e->start_ns);
    e->connection = calloc(o->connections, sizeof *e->connection);
    e->free = calloc(o->connections, sizeof *e->free);
    e->epoll = epoll_create1(EPOLL_CLOEXEC);
    e->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (!e->report || !e->connection || !e->free || e->epoll < 0 || e->timer < 0
        || epoll_ctl(e->epoll, EPOLL_CTL_ADD, e->timer, &event) != 0)
        return ts_complain("engine: %s", strerror(errno));
    for (unsigned i = 0; i < o->connections; i++) {
        e->connection[i].fd = -1;
        e->free[e->n_free++] = &e->connection[i];
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return 0;
}

static void engine_fini(engine_t *e)
{
    for (unsigned i = 0; e->connection && i < e->options.connections; i++)
        shut(&e->connection[i]);
    if (e->epoll >= 0)
        close(e->epoll);
    if (e->timer >= 0)
        close(e->timer);
    free(e->connection);
    free(e->free);
    ts_report_destroy(e->report);
    ts_cards_destroy(e->cards);
    ts_oracle_destroy(e->oracle);
}

int ts_terminal_main(const ts_terminal_t *terminal, int argc, char **argv)
{
    engine_t e = { .epoll = -1, .timer = -1 };
    int rc = ts_options_parse(&e.options, terminal, argc, argv);

    if (rc != 0)
        return rc > 0 ? TS_EXIT_OK : TS_EXIT_USAGE;
    rc = TS_EXIT_USAGE;
    if ((e.oracle = ts_oracle_create(&e.options)) != NULL
        && (e.cards = ts_cards_create(&e.options, e.oracle)) != NULL
        && engine_init(&e, terminal) == 0) {
        run(&e);
        rc = ts_report_end(e.report, now_ns());
        if (e.failed)
            rc = TS_EXIT_USAGE;
    }
    engine_fini(&e);
    return rc;
}
