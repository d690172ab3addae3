/*
 * rcd_http - HTTPS to the office: several requests at once, each capped in bytes and time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <curl/curl.h>
#include "rcd_http.h"

#define CONNECT_TIMEOUT_SEC  10
/* of a download to a sink: slower for STALL_SEC ends it */
#define STALL_BYTES_PER_SEC  64
#define STALL_SEC            60
#define HEADER_SLACK_BYTES   (64 * 1024)  /* bytes on the wire over the cap: gzip framing */
#define WAIT_FDS_MAX         8

struct rcd_http_call_s {
    rcd_http_call_t   *next;
    rcd_http_request_t req;
    CURL              *easy;
    struct curl_slist *headers;
    char              *body;              /* answer, collected */
    size_t             len, size;
    uint64_t           got;               /* decoded bytes, collected or given to the sink */
    long               retry_after_sec;
    const char        *refused;           /* why we ended it ourselves */
    int                finished;
    CURLcode           rc;
    char               curl_error[CURL_ERROR_SIZE];
};

struct rcd_http_s {
    const rcd_config_office_t *office;
    CURLM                     *multi;
    rcd_http_call_t           *calls;
};

static size_t on_body(char *bytes, size_t size, size_t n, void *user)
{
    rcd_http_call_t *call = user;
    size_t len = size * n;
    long status = 0;
    char *grown;

    if (len > call->req.max_bytes - call->got) {
        call->refused = "answer longer than allowed";
        return 0;
    }
    call->got += len;

    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (call->req.sink != NULL) {
        if (status == 200 && call->req.sink(call->req.owner, bytes, len) != 0) {
            call->refused = "the answer cannot be stored; look at the disk of the state directory";
            return 0;
        }
        return len;
    }

    if (call->len + len + 1 > call->size) {
        size_t want = (call->len + len + 1) * 2;

        grown = realloc(call->body, want);
        if (grown == NULL) {
            call->refused = "out of memory";
            return 0;
        }
        call->body = grown;
        call->size = want;
    }
    memcpy(call->body + call->len, bytes, len);
    call->len += len;
    call->body[call->len] = '\0';
    return len;
}

static size_t on_header(char *bytes, size_t size, size_t n, void *user)
{
    rcd_http_call_t *call = user;
    size_t len = size * n, i = 12;

    if (len > 12 && strncasecmp(bytes, "Retry-After:", 12) == 0) {
        long sec = 0;

        while (i < len && bytes[i] == ' ') {
            i++;
        }
        for (; i < len && bytes[i] >= '0' && bytes[i] <= '9' && sec < 86400; i++) {
            sec = sec * 10 + (bytes[i] - '0');
        }
        call->retry_after_sec = sec;
    }
    return len;
}

/* Ends a transfer whose bytes on the wire pass the cap without decoding to anything. */
static int on_progress(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up_now)
{
    rcd_http_call_t *call = user;

    (void) total;
    (void) up_total;
    (void) up_now;
    if (now > 0 && (uint64_t) now > call->req.max_bytes + HEADER_SLACK_BYTES) {
        call->refused = "answer longer than allowed";
        return 1;
    }
    return 0;
}

/* Trust and limits: the same for every call. */
static int easy_secure(CURL *easy, const rcd_config_office_t *o)
{
    int rc = 0;

    rc |= curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
    rc |= curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    rc |= curl_easy_setopt(easy, CURLOPT_PROXY, "");
    rc |= curl_easy_setopt(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
    rc |= curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
    rc |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    rc |= curl_easy_setopt(easy, CURLOPT_CAINFO, o->ca_file);
    rc |= curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    if (o->client_cert != NULL) {
        rc |= curl_easy_setopt(easy, CURLOPT_SSLCERT, o->client_cert);
        rc |= curl_easy_setopt(easy, CURLOPT_SSLKEY, o->client_key);
    }
    return rc;
}

static int easy_request(rcd_http_call_t *call, const rcd_config_office_t *o, const char *url)
{
    CURL *easy = call->easy;
    int rc = 0;

    rc |= curl_easy_setopt(easy, CURLOPT_URL, url);
    rc |= curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    rc |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long) CONNECT_TIMEOUT_SEC);
    rc |= curl_easy_setopt(easy, CURLOPT_TIMEOUT, call->req.timeout_sec);
    if (call->req.sink != NULL) {
        rc |= curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long) STALL_BYTES_PER_SEC);
        rc |= curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long) STALL_SEC);
    }
    rc |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    rc |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    rc |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    rc |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    rc |= curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    rc |= curl_easy_setopt(easy, CURLOPT_XFERINFODATA, call);
    rc |= curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    rc |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_error);
    rc |= curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    if (call->req.body != NULL) {
        rc |= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long) strlen(call->req.body));
        rc |= curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, call->req.body);
        call->headers = curl_slist_append(call->headers, "Content-Type: application/json");
    }
    if (o->token != NULL) {
        rc |= curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long) CURLAUTH_BEARER);
        rc |= curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, o->token);
    }
    rc |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
    return rc;
}

static void call_free(rcd_http_t *h, rcd_http_call_t *call)
{
    if (call->easy != NULL) {
        curl_multi_remove_handle(h->multi, call->easy);
        curl_easy_cleanup(call->easy);
    }
    curl_slist_free_all(call->headers);
    free(call->body);
    free(call);
}

rcd_http_t *rcd_http_create(const rcd_config_office_t *office)
{
    rcd_http_t *h = calloc(1, sizeof(*h));

    if (h == NULL) {
        return NULL;
    }
    h->office = office;
    h->multi = curl_multi_init();
    if (h->multi == NULL) {
        free(h);
        return NULL;
    }
    return h;
}

void rcd_http_destroy(rcd_http_t *h)
{
    if (h == NULL) {
        return;
    }
    while (h->calls != NULL) {
        rcd_http_cancel(h, h->calls);
    }
    curl_multi_cleanup(h->multi);
    free(h);
}

rcd_http_call_t *rcd_http_start(rcd_http_t *h, const rcd_http_request_t *request)
{
    rcd_http_call_t *call = calloc(1, sizeof(*call));
    char *url = NULL;
    int rc;

    if (call == NULL) {
        return NULL;
    }
    call->req = *request;
    call->retry_after_sec = -1;
    call->easy = curl_easy_init();
    rc = call->easy == NULL || asprintf(&url, "%s/%s", h->office->base, request->path) < 0;
    if (rc == 0) {
        rc = easy_secure(call->easy, h->office) | easy_request(call, h->office, url);
        free(url);
    }
    call->req.path = call->req.body = NULL;              /* were borrowed for this call only */
    if (rc != 0 || curl_multi_add_handle(h->multi, call->easy) != CURLM_OK) {
        call_free(h, call);
        return NULL;
    }
    call->next = h->calls;
    h->calls = call;
    return call;
}

void rcd_http_cancel(rcd_http_t *h, rcd_http_call_t *call)
{
    for (rcd_http_call_t **p = &h->calls; *p != NULL; p = &(*p)->next) {
        if (*p == call) {
            *p = call->next;
            call_free(h, call);
            return;
        }
    }
}

/* Unlinks the finished call that goes first. */
static rcd_http_call_t *finished_take(rcd_http_t *h)
{
    rcd_http_call_t **best = NULL, *call;

    for (rcd_http_call_t **p = &h->calls; *p != NULL; p = &(*p)->next) {
        if ((*p)->finished && (best == NULL || (*p)->req.rank < (*best)->req.rank)) {
            best = p;
        }
    }
    if (best == NULL) {
        return NULL;
    }
    call = *best;
    *best = call->next;
    return call;
}

static void call_finish(rcd_http_t *h, rcd_http_call_t *call)
{
    rcd_http_answer_t answer = {.body = call->body == NULL ? "" : call->body,
                                .len = call->len,
                                .retry_after_sec = call->retry_after_sec};
    long status = 0;

    if (call->refused != NULL) {
        answer.fault = call->refused;
    } else if (call->rc != CURLE_OK) {
        answer.fault =
            call->curl_error[0] != '\0' ? call->curl_error : curl_easy_strerror(call->rc);
    } else {
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
        answer.status = (int) status;
    }
    call->req.done(call->req.owner, &answer);
    call_free(h, call);
}

void rcd_http_step(rcd_http_t *h)
{
    rcd_http_call_t *call;
    CURLMsg *msg;
    int running, left;

    curl_multi_perform(h->multi, &running);
    while ((msg = curl_multi_info_read(h->multi, &left)) != NULL) {
        if (msg->msg == CURLMSG_DONE) {
            curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **) &call);
            call->rc = msg->data.result;
            call->finished = 1;
        }
    }
    while ((call = finished_take(h)) != NULL) {
        call_finish(h, call);
    }
}

int rcd_http_ready(rcd_http_t *h)
{
    int n = 0;

    return curl_multi_poll(h->multi, NULL, 0, 0, &n) == CURLM_OK && n > 0;
}

/* The descriptors of `h` as further ones of another's wait; returns how many there are in all. */
static unsigned lend(rcd_http_t *h, struct curl_waitfd *wait, unsigned n, int *timeout_ms)
{
    fd_set in, out, except;
    long ms = -1;
    int max = -1;

    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_ZERO(&except);
    curl_multi_fdset(h->multi, &in, &out, &except, &max);
    for (int fd = 0; fd <= max && n < WAIT_FDS_MAX; fd++) {
        short events = (short) ((FD_ISSET(fd, &in) ? CURL_WAIT_POLLIN : 0) |
                                (FD_ISSET(fd, &out) ? CURL_WAIT_POLLOUT : 0));

        if (events != 0) {
            wait[n++] = (struct curl_waitfd) {.fd = fd, .events = events};
        }
    }
    curl_multi_timeout(h->multi, &ms);
    if (ms >= 0 && ms < *timeout_ms) {
        *timeout_ms = (int) ms;
    }
    return n;
}

void rcd_http_wait(rcd_http_t *h, rcd_http_t *other, const int *fds, unsigned n_fds, int timeout_ms)
{
    struct curl_waitfd wait[WAIT_FDS_MAX];
    unsigned n = 0;

    for (; n < n_fds && n < WAIT_FDS_MAX; n++) {
        wait[n] = (struct curl_waitfd) {.fd = fds[n], .events = CURL_WAIT_POLLIN};
    }
    n = lend(other, wait, n, &timeout_ms);
    curl_multi_poll(h->multi, wait, n, timeout_ms, NULL);
}
