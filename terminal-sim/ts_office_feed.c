/*
 * ts_office_feed.c - the feed's endpoints over HTTPS: who asks, what for, and when it is answered.
 *
 * Requests that must wait (a poll without events, a snapshot being built, a fault) are suspended
 * and looked at again by ts_feed_wake; nothing here blocks.
 */
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <microhttpd.h>
#include <openssl/crypto.h>

#include "ts_office_feed.h"

#define BODY_MAX        (4 * 1024 * 1024)
#define BUILD_WAIT_MS   20000
#define RETRY_AFTER     "1"

typedef enum {
    WAIT_NONE,
    WAIT_TIME,                      /* until `due_ms` */
    WAIT_EVENTS,                    /* likewise, or until the lane has something to tell */
    WAIT_BUILD,                     /* likewise, or until the snapshot is built */
    WAIT_CLEARING                   /* until faults are cleared */
} wait_t;

typedef struct call {
    struct call           *next, **at;
    struct MHD_Connection *connection;
    ts_feed_t             *feed;
    int                    endpoint;            /* ts_endpoint_t, -1: none */
    const char            *file;                /* of records: the name */
    char                  *body;
    size_t                 len;
    int                    too_long;
    wait_t                 wait;                /* not WAIT_NONE: suspended */
    int64_t                due_ms;
    unsigned               clearings;           /* of faults, when this began to hang */
    int                    slept;               /* fault slow has had its time */
    int                    behaved;             /* the faults of the whole answer are over */
    int                    polled;              /* the poll's acks are taken */
    int                    built;               /* a build was asked for */
    ts_poll_t              poll;
} call_t;

struct ts_feed {
    ts_office_t       *office;
    struct MHD_Daemon *daemon;
    unsigned           idle_ms;
    unsigned           port;
    char              *token;
    char              *pem[3];                  /* key, certificate, CA: MHD does not copy them */
    call_t            *calls;
};

typedef enum MHD_Result answer_t;

/* ---- answers --------------------------------------------------------------------------------- */

/* Queues a whole text, which becomes the response's (malloc'ed). */
static answer_t give(call_t *c, unsigned status, const char *type, char *text)
{
    struct MHD_Response *response = ts_answer(c->feed->office, c->endpoint, text, strlen(text));
    answer_t rc;

    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
        MHD_add_response_header(response, "Retry-After", RETRY_AFTER);
    if (status == MHD_HTTP_UNAUTHORIZED)
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
    rc = MHD_queue_response(c->connection, status, response);
    MHD_destroy_response(response);
    return rc;
}

/* A token, or 500 when it could not be made. */
static answer_t give_jws(call_t *c, char *jws)
{
    return jws ? give(c, MHD_HTTP_OK, "application/jwt", jws) : MHD_NO;
}

static answer_t refuse(call_t *c, unsigned status, const char *why)
{
    cJSON *error = cJSON_CreateObject();
    char *text;

    cJSON_AddStringToObject(error, "error", why);
    text = cJSON_PrintUnformatted(error);
    cJSON_Delete(error);
    return text ? give(c, status, "application/json", text) : MHD_NO;
}

static answer_t wait_for(call_t *c, wait_t what, int64_t ms)
{
    c->wait = what;
    c->due_ms = ts_now_ms() + ms;
    MHD_suspend_connection(c->connection);
    return MHD_YES;
}

/* ---- who asks -------------------------------------------------------------------------------- */

static int has_token(const call_t *c)
{
    const char *value =
        MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, "Authorization");
    size_t len = strlen(c->feed->token);

    return value && strncmp(value, "Bearer ", 7) == 0 && strlen(value + 7) == len
           && CRYPTO_memcmp(value + 7, c->feed->token, len) == 0;
}

/* A client certificate of our CA. */
static int has_certificate(const call_t *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    unsigned n = 0, status = 0;

    return info && gnutls_certificate_get_peers((gnutls_session_t) info->tls_session, &n) && n > 0
           && gnutls_certificate_verify_peers2((gnutls_session_t) info->tls_session, &status) == 0
           && status == 0;
}

/* ---- endpoints ------------------------------------------------------------------------------- */

static answer_t answer_head(call_t *c)
{
    ts_office_t *o = c->feed->office;

    if (ts_fault(o->faults, TS_F_NO_HEAD, TS_AT_HEAD)) {
        ts_fault_used(o->faults, TS_F_NO_HEAD, TS_AT_HEAD);
        return refuse(c, MHD_HTTP_NOT_FOUND, "no head");
    }
    return give_jws(c, ts_head_jws(o, NULL));
}

/* A query argument as a seq; absent = 0. Returns 0 or -1. */
static int query_seq(const call_t *c, const char *name, uint64_t *seq)
{
    const char *text = MHD_lookup_connection_value(c->connection, MHD_GET_ARGUMENT_KIND, name);
    char *end;

    *seq = text ? strtoull(text, &end, 10) : 0;
    return !text || (*text >= '0' && *text <= '9' && !*end && *seq <= TS_SEQ_MAX) ? 0 : -1;
}

static answer_t answer_snapshot(call_t *c)
{
    ts_office_t *o = c->feed->office;
    const ts_snapshot_t *newest = ts_snapshots_newest(o->snapshots);
    uint64_t min_seq, min_relief_seq, bytes;
    char href[sizeof newest->sha256 + 16];
    int fd;

    if (query_seq(c, "min_seq", &min_seq) != 0
        || query_seq(c, "min_relief_seq", &min_relief_seq) != 0)
        return refuse(c, MHD_HTTP_BAD_REQUEST, "min_seq and min_relief_seq must be seqs");
    if (!c->built && !ts_snapshots_current(o->snapshots, o->store)) {
        c->built = 1;
        if (ts_snapshots_build(o->snapshots, o->store) != 0)
            return refuse(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "no snapshot can be built");
        return wait_for(c, WAIT_BUILD, BUILD_WAIT_MS);
    }
    if (!newest || newest->epoch != ts_store_epoch(o->store) || newest->seq < min_seq
        || newest->relief_seq < min_relief_seq)
        return refuse(c, MHD_HTTP_SERVICE_UNAVAILABLE, "none as new yet");
    fd = ts_snapshots_open(o->snapshots, newest->sha256, &bytes);
    if (fd < 0)
        return refuse(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "records are gone");
    close(fd);
    snprintf(href, sizeof href, "records/%s", newest->sha256);
    return give_jws(c, ts_snapshot_jws(o, newest, href, 1));
}

static answer_t answer_records(call_t *c)
{
    ts_office_t *o = c->feed->office;
    const char *accept =
        MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, "Accept-Encoding");
    int gzip = accept && strstr(accept, "gzip") != NULL;
    struct MHD_Response *response;
    uint64_t bytes;
    answer_t rc;
    int fd = ts_snapshots_open(o->snapshots, c->file, &bytes);

    if (fd < 0)
        return refuse(c, MHD_HTTP_NOT_FOUND, "no such records, or no longer valid");
    response = ts_answer_file(o, TS_AT_RECORDS, fd, bytes, gzip);
    if (!response)
        return MHD_NO;
    MHD_add_response_header(response, "Content-Type", "application/x-ndjson");
    if (gzip)
        MHD_add_response_header(response, "Content-Encoding", "gzip");
    rc = MHD_queue_response(c->connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return rc;
}

static answer_t answer_poll(call_t *c)
{
    ts_office_t *o = c->feed->office;
    ts_lane_t lane = c->endpoint == TS_AT_RELIEF ? TS_RELIEF : TS_CHANGES;
    const char *wrong;
    char *text;

    if (!c->polled) {
        wrong = ts_poll_read(&c->poll, o, lane, c->body ? c->body : "", c->len);
        if (wrong)
            return refuse(c, MHD_HTTP_BAD_REQUEST, wrong);
        c->polled = 1;
        if (!c->poll.return_immediately && !ts_poll_ready(o, lane))
            return wait_for(c, WAIT_EVENTS, c->feed->idle_ms);
    }
    text = ts_poll_answer(o, lane, &c->poll);
    return text ? give(c, MHD_HTTP_OK, "application/json", text) : MHD_NO;
}

static answer_t answer_quarantine(call_t *c)
{
    cJSON *report = cJSON_ParseWithLength(c->body ? c->body : "", c->len), *rest;
    const cJSON *order = cJSON_GetObjectItemCaseSensitive(report, "order");
    const cJSON *code = cJSON_GetObjectItemCaseSensitive(report, "code");
    const cJSON *description = cJSON_GetObjectItemCaseSensitive(report, "description");
    int known;
    char *text;

    if (!cJSON_IsString(order) || !cJSON_IsString(code)) {
        cJSON_Delete(report);
        return refuse(c, MHD_HTTP_BAD_REQUEST, "order and code are needed");
    }
    known = strlen(order->valuestring) <= JD_ORDER_NUMBER_MAX
            && jd_order_number_ok(order->valuestring, strlen(order->valuestring));
    rest = cJSON_CreateObject();
    cJSON_AddStringToObject(rest, "code", code->valuestring);
    cJSON_AddStringToObject(rest, "description",
                            cJSON_IsString(description) ? description->valuestring : "");
    text = cJSON_PrintUnformatted(rest);
    if (text)
        ts_store_quarantine(c->feed->office->store, ts_now(), known ? order->valuestring : "-",
                            text);
    cJSON_free(text);
    cJSON_Delete(rest);
    cJSON_Delete(report);
    return give(c, MHD_HTTP_OK, "application/json", strdup("{}"));
}

/* A batch the office cannot join to what it has is a conflict; it tells how far it has the chain. */
static answer_t answer_ledger(call_t *c)
{
    ts_office_t *o = c->feed->office;
    cJSON *conflict;
    ts_batch_t b;
    char *text;

    switch (ts_ledger_take(o->ledger, &o->party, c->body ? c->body : "", c->len, &b)) {
    case TS_BATCH_WRONG:
        return refuse(c, MHD_HTTP_BAD_REQUEST, b.why);
    case TS_BATCH_CONFLICT:
        conflict = cJSON_CreateObject();
        cJSON_AddStringToObject(conflict, "error", "not the batch behind the last one");
        cJSON_AddNumberToObject(conflict, "last", (double) b.last);
        text = cJSON_PrintUnformatted(conflict);
        cJSON_Delete(conflict);
        return text ? give(c, MHD_HTTP_CONFLICT, "application/json", text) : MHD_NO;
    default:
        break;
    }
    if (ts_fault(o->faults, TS_F_NO_RECEIPT, TS_AT_LEDGER)) {
        ts_fault_used(o->faults, TS_F_NO_RECEIPT, TS_AT_LEDGER);
        return give(c, MHD_HTTP_OK, "application/json", strdup("{}"));
    }
    return give_jws(c, ts_receipt_jws(o, &b));
}

typedef struct {
    const char *method;
    const char *path;
    answer_t  (*answer)(call_t *c);
} route_t;

static const route_t routes[TS_AT_N] = {
    [TS_AT_HEAD] = { "GET", "/v1/head", answer_head },
    [TS_AT_SNAPSHOT] = { "GET", "/v1/snapshot", answer_snapshot },
    [TS_AT_RECORDS] = { "GET", "/v1/records/", answer_records },
    [TS_AT_RELIEF] = { "POST", "/v1/relief", answer_poll },
    [TS_AT_CHANGES] = { "POST", "/v1/changes", answer_poll },
    [TS_AT_QUARANTINE] = { "POST", "/v1/quarantine", answer_quarantine },
    [TS_AT_LEDGER] = { "POST", "/v1/ledger", answer_ledger },
};

/* ---- requests -------------------------------------------------------------------------------- */

/* Faults of the whole answer. Returns 1 when one has dealt with the request, `*rc` is MHD's. */
static int misbehave(call_t *c, answer_t *rc)
{
    ts_faults_t *faults = c->feed->office->faults;
    ts_endpoint_t at = (ts_endpoint_t) c->endpoint;
    const ts_fault_t *fault;

    if (ts_fault(faults, TS_F_HANG, at)) {
        ts_fault_used(faults, TS_F_HANG, at);
        c->clearings = ts_faults_clearings(faults);
        *rc = wait_for(c, WAIT_CLEARING, 0);
        return 1;
    }
    if (!c->slept && (fault = ts_fault(faults, TS_F_SLOW, at)) != NULL) {
        c->slept = 1;
        *rc = wait_for(c, WAIT_TIME, atoi(fault->arg));
        ts_fault_used(faults, TS_F_SLOW, at);
        return 1;
    }
    if ((fault = ts_fault(faults, TS_F_STATUS, at)) != NULL) {
        *rc = refuse(c, (unsigned) atoi(fault->arg), "fault on demand");
        ts_fault_used(faults, TS_F_STATUS, at);
        return 1;
    }
    return 0;
}

static answer_t answer(call_t *c)
{
    answer_t rc;

    if (c->endpoint < 0)
        return refuse(c, MHD_HTTP_NOT_FOUND, "no such endpoint");
    if (!has_token(c) && !has_certificate(c))
        return refuse(c, MHD_HTTP_UNAUTHORIZED, "bearer token or client certificate needed");
    if (c->too_long)
        return refuse(c, MHD_HTTP_CONTENT_TOO_LARGE, "body over 4 MiB");
    if (!c->behaved && misbehave(c, &rc))
        return rc;
    c->behaved = 1;
    return routes[c->endpoint].answer(c);
}

static int find_route(const char *method, const char *url, const char **file)
{
    for (int i = 0; i < TS_AT_N; i++) {
        size_t len = strlen(routes[i].path);
        int prefix = routes[i].path[len - 1] == '/';

        if (strcmp(method, routes[i].method) == 0
            && (prefix ? strncmp(url, routes[i].path, len) : strcmp(url, routes[i].path)) == 0) {
            *file = url + len;
            return i;
        }
    }
    return -1;
}

static call_t *call_create(ts_feed_t *f, struct MHD_Connection *connection, const char *method,
                           const char *url)
{
    call_t *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->feed = f;
    c->connection = connection;
    c->endpoint = find_route(method, url, &c->file);
    c->next = f->calls;
    c->at = &f->calls;
    if (c->next)
        c->next->at = &c->next;
    f->calls = c;
    return c;
}

static void take_body(call_t *c, const char *bytes, size_t len)
{
    char *body = c->len + len <= BODY_MAX ? realloc(c->body, c->len + len) : NULL;

    if (!body) {
        c->too_long = 1;
        return;
    }
    memcpy(body + c->len, bytes, len);
    c->body = body;
    c->len += len;
}

static answer_t on_request(void *data, struct MHD_Connection *connection, const char *url,
                           const char *method, const char *version, const char *upload,
                           size_t *upload_len, void **state)
{
    call_t *c = *state;

    (void) version;
    if (!c) {
        *state = call_create(data, connection, method, url);
        return *state ? MHD_YES : MHD_NO;
    }
    if (*upload_len > 0) {
        take_body(c, upload, *upload_len);
        *upload_len = 0;
        return MHD_YES;
    }
    return answer(c);
}

static void on_completed(void *data, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode code)
{
    call_t *c = *state;

    (void) data;
    (void) connection;
    (void) code;
    if (!c)
        return;
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    free(c->body);
    free(c);
    *state = NULL;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static char *read_secret(const char *dir, const char *name)
{
    size_t len;
    char *text = ts_file_read(ts_path(dir, name), &len);

    if (!text)
        ts_complain("%s/%s: cannot be read", dir, name);
    return text;
}

static int start(ts_feed_t *f, unsigned port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t) port),
                                   .sin_addr = { htonl(INADDR_LOOPBACK) } };
    const union MHD_DaemonInfo *info;

    f->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_TLS | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, (uint16_t) port,
        NULL, NULL, on_request, f, MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_HTTPS_MEM_KEY,
        f->pem[0], MHD_OPTION_HTTPS_MEM_CERT, f->pem[1], MHD_OPTION_HTTPS_MEM_TRUST, f->pem[2],
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, f, MHD_OPTION_END);
    if (!f->daemon) {
        ts_complain("port %u: cannot listen; another server there?", port);
        return -1;
    }
    info = MHD_get_daemon_info(f->daemon, MHD_DAEMON_INFO_BIND_PORT);
    f->port = info ? info->port : port;
    return 0;
}

ts_feed_t *ts_feed_create(ts_office_t *o, const ts_feed_options_t *options)
{
    static const char *const names[] = { "server.key", "server.pem", "ca.pem" };
    ts_feed_t *f = calloc(1, sizeof *f);
    int ok = f != NULL;

    if (!f)
        return NULL;
    f->office = o;
    f->idle_ms = options->idle_ms;
    f->token = read_secret(o->dir, "token");
    for (unsigned i = 0; i < 3; i++)
        ok = (f->pem[i] = read_secret(o->dir, names[i])) != NULL && ok;
    if (f->token)
        f->token[strcspn(f->token, "\r\n")] = '\0';
    if (!ok || !f->token || start(f, options->port) != 0) {
        ts_feed_destroy(f);
        return NULL;
    }
    return f;
}

void ts_feed_destroy(ts_feed_t *f)
{
    if (!f)
        return;
    for (call_t *c = f->calls; c; c = c->next) {
        if (c->wait != WAIT_NONE)
            MHD_resume_connection(c->connection);       /* MHD ends no suspended connection */
        c->wait = WAIT_NONE;
    }
    if (f->daemon)
        MHD_stop_daemon(f->daemon);
    for (unsigned i = 0; i < 3; i++)
        free(f->pem[i]);
    free(f->token);
    free(f);
}

unsigned ts_feed_port(const ts_feed_t *f)
{
    return f->port;
}

int ts_feed_fd(const ts_feed_t *f)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(f->daemon, MHD_DAEMON_INFO_EPOLL_FD);

    return info->epoll_fd;
}

void ts_feed_run(ts_feed_t *f)
{
    MHD_run(f->daemon);
}

/* 1 when a waiting request is to be looked at again. */
static int is_due(const call_t *c, int64_t now_ms)
{
    ts_office_t *o = c->feed->office;

    switch (c->wait) {
    case WAIT_TIME:
        return now_ms >= c->due_ms;
    case WAIT_EVENTS:
        return now_ms >= c->due_ms
               || ts_poll_ready(o, c->endpoint == TS_AT_RELIEF ? TS_RELIEF : TS_CHANGES);
    case WAIT_BUILD:
        return now_ms >= c->due_ms || ts_snapshots_fd(o->snapshots) < 0;
    case WAIT_CLEARING:
        return c->clearings != ts_faults_clearings(o->faults);
    default:
        return 0;
    }
}

int ts_feed_wake(ts_feed_t *f)
{
    int64_t now_ms = ts_now_ms(), next = INT64_MAX;
    MHD_UNSIGNED_LONG_LONG timeout;

    for (call_t *c = f->calls; c; c = c->next) {
        if (c->wait == WAIT_NONE)
            continue;
        if (is_due(c, now_ms)) {
            c->wait = WAIT_NONE;
            MHD_resume_connection(c->connection);
        } else if (c->wait != WAIT_CLEARING && c->due_ms < next) {
            next = c->due_ms;
        }
    }
    if (MHD_get_timeout(f->daemon, &timeout) == MHD_YES && now_ms + (int64_t) timeout < next)
        next = now_ms + (int64_t) timeout;
    return next == INT64_MAX ? -1 : (int) (next - now_ms);
}
