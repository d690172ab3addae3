/*
 * rcd_download - fetches a snapshot: its statement, then its records, verified on the way.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_clock.h"
#include "rcd_download.h"
#include "rcd_hold.h"
#include "rcd_jws.h"

#define TYP_SNAPSHOT        "jd-snapshot+jwt"
#define ASK_TIMEOUT_SEC     30
#define FETCH_TIMEOUT_SEC   (30 * 60)
#define RETRY_AFTER_MAX_SEC 300
#define FAILED_BASE_MS      1000
#define FAILED_CAP_MS       60000
#define RANK                3

const char *const rcd_download_states[RCD_DOWNLOAD_N] = {"idle", "waiting", "asking", "fetching",
                                                         "applying"};

void rcd_download_init(rcd_download_t *d)
{
    d->failed.base_ms = FAILED_BASE_MS;
    d->failed.cap_ms = FAILED_CAP_MS;
}

static void reset(rcd_download_t *d)
{
    if (d->call != NULL) {
        rcd_http_cancel(d->http, d->call);
        d->call = NULL;
    }
    rcd_records_destroy(d->records);
    d->records = NULL;
    rcd_state_fetching(d->state, 0);
}

void rcd_download_fini(rcd_download_t *d)
{
    if (d->at == RCD_DOWNLOAD_APPLYING) {
        rcd_applier_abort(d->applier, "given up");
    }
    reset(d);
    d->at = RCD_DOWNLOAD_IDLE;
}

void rcd_download_hurry(rcd_download_t *d)
{
    d->due_ms = 0;
    jd_backoff_reset(&d->failed);
}

static void wait_for(rcd_download_t *d, int64_t wait_ms)
{
    reset(d);
    d->at = RCD_DOWNLOAD_WAITING;
    d->due_ms = rcd_clock_ms() + wait_ms;
}

static void failed(rcd_download_t *d, const char *why)
{
    if (strcmp(d->fault, why) != 0) {
        rcd_log(RCD_LOG_WARN, "snapshot: %s", why);
        snprintf(d->fault, sizeof(d->fault), "%s", why);
    }
    wait_for(d, jd_backoff_next(&d->failed, arc4random()));
}

/* Says why an answer is no use and plans the next try. Returns 1 when it was a good one. */
static int answer_ok(rcd_download_t *d, const rcd_http_answer_t *a)
{
    char why[200];

    if (a->status == 200) {
        return 1;
    }
    if (a->status == 503 && a->retry_after_sec >= 0) {
        snprintf(d->fault, sizeof(d->fault), "the office has none as new yet");
        rcd_log(RCD_LOG_INFO, "snapshot: %s; asking again in %ld s", d->fault, a->retry_after_sec);
        wait_for(d, 1000 * (a->retry_after_sec > RETRY_AFTER_MAX_SEC ? RETRY_AFTER_MAX_SEC
                            : a->retry_after_sec < 1                 ? 1
                                                                     : a->retry_after_sec));
        return 0;
    }
    if (a->fault != NULL) {
        snprintf(why, sizeof(why), "no answer: %s", a->fault);
    } else {
        snprintf(why, sizeof(why), "the office answered %d", a->status);
    }
    failed(d, why);
    return 0;
}

/* ---- records --------------------------------------------------------------------------------- */

static void on_applied(void *owner, const rcd_snapshot_counts_t *counts, const char *err)
{
    rcd_download_t *d = owner;

    if (err != NULL) {
        failed(d, err);
        return;
    }
    reset(d);
    d->at = RCD_DOWNLOAD_IDLE;
    /* one that closes nothing is not fetched in a loop */
    d->due_ms = rcd_clock_ms() + FAILED_BASE_MS;
    d->fault[0] = '\0';
    d->n_applied++;
    jd_backoff_reset(&d->failed);
    if (!counts->held) {             /* the journal has told of one that waits */
        rcd_log(RCD_LOG_NOTICE,
                "snapshot applied: epoch %" PRIu32 " seq %" PRIu64 " relief_seq %" PRIu64 ": %" PRIu64
                " written, %" PRIu64 " unchanged, %" PRIu64 " dropped, %" PRIu64 " quarantined",
                d->claims.head.epoch, d->claims.head.seq, d->claims.head.relief_seq,
                counts->applied, counts->unchanged, counts->dropped, counts->quarantined);
    }
    d->on_applied(d->owner);
}

/* Hands the verified file over; also tried again while the applier is at an import. */
static void apply(rcd_download_t *d)
{
    char err[256];

    if (d->applier->sn != NULL) {
        d->at = RCD_DOWNLOAD_FETCHING;
        d->due_ms = rcd_clock_ms() + FAILED_BASE_MS;
        return;
    }
    if (d->claims.head.exp <= rcd_clock_wall()) {
        failed(d, "expired while it was fetched");
        return;
    }
    d->at = RCD_DOWNLOAD_APPLYING;
    if (rcd_applier_begin(d->applier, d->state, &d->config->rules, rcd_records_path(d->records),
                          &d->claims, d->asked_relief_seq, rcd_clock_wall(), on_applied, d, err,
                          sizeof(err)) != 0) {
        failed(d, err);
    }
}

/* What waited and is approved: begun now, or the next time. */
static void apply_approved(rcd_download_t *d, const rcd_held_t *held)
{
    char err[256];

    if (d->applier->sn != NULL) {
        d->due_ms = rcd_clock_ms() + FAILED_BASE_MS;
        return;
    }
    d->claims.head = (rcd_head_t){.epoch = held->epoch, .seq = held->seq,
                                  .relief_seq = held->relief_seq, .iat = held->iat};
    d->at = RCD_DOWNLOAD_APPLYING;
    if (rcd_applier_approved(d->applier, d->state, &d->config->rules, rcd_clock_wall(), on_applied,
                             d, err, sizeof(err)) != 0) {
        rcd_hold_files(d->state);             /* were its file gone, a fresh one is wanted */
        failed(d, err);
    }
}

static int on_bytes(void *owner, const char *bytes, size_t len)
{
    rcd_download_t *d = owner;

    return rcd_records_write(d->records, bytes, len);
}

static void on_records(void *owner, const rcd_http_answer_t *a)
{
    rcd_download_t *d = owner;
    const char *why;

    d->call = NULL;
    if (!answer_ok(d, a)) {
        return;
    }
    why = rcd_records_verify(d->records, &d->claims);
    if (why != NULL) {
        failed(d, why);
        return;
    }
    apply(d);
}

static void fetch(rcd_download_t *d)
{
    rcd_http_request_t request = {.path = d->claims.href,
                                  .max_bytes = d->claims.bytes,
                                  .timeout_sec = FETCH_TIMEOUT_SEC,
                                  .rank = RANK,
                                  .sink = on_bytes,
                                  .done = on_records,
                                  .owner = d};

    d->records = rcd_records_create(d->config->state_dir);
    if (d->records == NULL) {
        failed(d, strerror(errno));
        return;
    }
    d->at = RCD_DOWNLOAD_FETCHING;
    d->due_ms = INT64_MAX;
    d->call = rcd_http_start(d->http, &request);
    if (d->call == NULL) {
        failed(d, "out of memory");
    }
}

/* ---- the statement --------------------------------------------------------------------------- */

static void on_statement(void *owner, const rcd_http_answer_t *a)
{
    rcd_download_t *d = owner;
    int64_t now = rcd_clock_wall();       /* once for the whole fetch */
    char why[200];
    const char *fault;
    rcd_jws_rc_t rc;
    rcd_jws_t jws;

    d->call = NULL;
    if (!answer_ok(d, a)) {
        return;
    }
    rc = rcd_jws_verify(d->config->jwks, a->body, a->len, TYP_SNAPSHOT, now, &jws);
    if (rc != RCD_JWS_OK) {
        fault = rcd_jws_reasons[rc];
    } else if (jws.key->relief_only) {
        fault = "the key is fit for relief only";
    } else {
        fault = rcd_snapshot_parse(jws.payload, jws.payload_len, d->party, now, &d->claims);
    }
    if (fault == NULL && d->claims.href[0] == '\0') {
        fault = "records.href is missing";
    }
    if (fault != NULL) {
        snprintf(why, sizeof(why), "not usable%s%s: %s", jws.kid[0] != '\0' ? ", key " : "",
                 jws.kid, fault);
        failed(d, why);
    } else {
        fetch(d);
    }
    rcd_jws_fini(&jws);
}

static void ask(rcd_download_t *d, uint64_t min_seq, uint64_t min_relief_seq)
{
    char path[128];
    rcd_http_request_t request = {.path = path,
                                  .max_bytes = RCD_JWS_MAX,
                                  .timeout_sec = ASK_TIMEOUT_SEC,
                                  .rank = RANK,
                                  .done = on_statement,
                                  .owner = d};

    snprintf(path, sizeof(path), "snapshot?min_seq=%" PRIu64 "&min_relief_seq=%" PRIu64, min_seq,
             min_relief_seq);
    d->at = RCD_DOWNLOAD_ASKING;
    d->asked_relief_seq = min_relief_seq;
    rcd_state_fetching(d->state, 1);
    d->call = rcd_http_start(d->http, &request);
    if (d->call == NULL) {
        failed(d, "out of memory");
    }
}

int64_t rcd_download_step(rcd_download_t *d, int64_t now_ms, int wanted, uint64_t min_seq,
                          uint64_t min_relief_seq)
{
    const rcd_held_t *held = rcd_hold_waits(d->state);
    int approved = held != NULL && held->approved;

    switch (d->at) {
    case RCD_DOWNLOAD_IDLE:
    case RCD_DOWNLOAD_WAITING:
        if (approved && now_ms >= d->due_ms) {
            apply_approved(d, held);
            break;
        }
        if (!wanted && !approved) {
            d->at = RCD_DOWNLOAD_IDLE;
            return INT64_MAX;
        }
        if (now_ms < d->due_ms || approved) {
            return d->due_ms;
        }
        ask(d, min_seq, min_relief_seq);
        break;
    case RCD_DOWNLOAD_FETCHING:
        /* The call is over and the applier was busy. */
        if (d->call == NULL && now_ms >= d->due_ms) {
            apply(d);
        }
        break;
    default:
        break;
    }
    return d->at == RCD_DOWNLOAD_WAITING || (d->at == RCD_DOWNLOAD_FETCHING && d->call == NULL)
               ? d->due_ms
               : INT64_MAX;
}
