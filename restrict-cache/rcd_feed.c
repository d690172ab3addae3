/*
 * rcd_feed - the feed as a whole: both lanes, heads and contact, snapshots, quarantine reports.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_download.h"
#include "rcd_feed.h"
#include "rcd_hold.h"
#include "rcd_jws.h"
#include "rcd_lane.h"
#include "rcd_slice.h"

#define TYP_HEAD           "jd-head+jwt"
#define HEAD_BYTES_MAX     (16 * 1024)
#define HEAD_TIMEOUT_SEC   20
#define HEAD_QUIET_MS      45000      /* without a head in poll answers for so long, ask for one */
#define QUARANTINE_BYTES_MAX (64 * 1024)
#define QUARANTINE_LOOK_MS 1000
#define FAILED_BASE_MS     1000
#define FAILED_CAP_MS      60000
/* a head may run ahead of its lane for a moment: nothing to log */
#define CONTACT_GRACE_MS   10000
#define OVERTAKEN_SEC      60         /* two lanes and GET: a head may arrive behind a newer one */
#define RANK_HEAD          2
#define RANK_QUARANTINE    4

struct rcd_feed_s {
    rcd_lane_env_t    env;
    rcd_http_t       *relief_http;     /* of the relief lane alone: it is looked at by itself */
    rcd_clock_t      *clock;
    rcd_lane_t        relief, changes;
    rcd_download_t    download;
    int               standby;

    rcd_http_call_t  *head_call;
    int64_t           head_due_ms;
    jd_backoff_t      head_failed;
    rcd_head_t        head;            /* newest that verified since start; iat 0 = none */
    int64_t           contact_ms;      /* when a head was last contact; at first the start */
    int               contact_told;    /* the log has told of contact, and of nothing since */
    char              head_fault[200]; /* why the newest head was no contact, "" = it was */
    char              fault_told[200];

    rcd_http_call_t  *quarantine_call;
    int64_t           quarantine_id;
    int64_t           quarantine_due_ms;
    jd_backoff_t      quarantine_failed;
};

/* ---- heads and contact ----------------------------------------------------------------------- */

static void contact_lost(rcd_feed_t *f, const char *why)
{
    snprintf(f->head_fault, sizeof(f->head_fault), "%s", why);
}

static void contact_made(rcd_feed_t *f)
{
    f->contact_ms = rcd_clock_ms();
    f->head_fault[0] = f->fault_told[0] = '\0';
    if (!f->contact_told) {
        rcd_log(RCD_LOG_NOTICE, "contact with the office: epoch %" PRIu32 " seq %" PRIu64
                                " relief_seq %" PRIu64,
                f->head.epoch, f->head.seq, f->head.relief_seq);
        f->contact_told = 1;
    }
}

/* Logs a fault once it has stood for a while, and each other one after it. */
static void contact_tell(rcd_feed_t *f, int64_t now_ms)
{
    if (f->head_fault[0] != '\0' && now_ms - f->contact_ms >= CONTACT_GRACE_MS &&
        strcmp(f->head_fault, f->fault_told) != 0) {
        rcd_log(RCD_LOG_WARN, "no contact: %s", f->head_fault);
        memcpy(f->fault_told, f->head_fault, sizeof(f->fault_told));
        f->contact_told = 0;
    }
}

/* 1 when a newer head was on another connection: an old one on its way says nothing, neither of
 * contact nor of a fork. */
static int overtaken(const rcd_feed_t *f, const rcd_head_t *head)
{
    return head->epoch == f->head.epoch && head->iat + OVERTAKEN_SEC > f->head.iat &&
           (head->iat < f->head.iat ||
            (head->iat == f->head.iat && (head->relief_seq < f->head.relief_seq ||
                                          head->seq < f->head.seq)));
}

/* Verifies a head. Returns 1 and the claims when it may be looked at further. */
static int head_verify(rcd_feed_t *f, const char *text, size_t len, int64_t now, rcd_head_t *head)
{
    char why[200];
    const char *fault;
    rcd_jws_rc_t rc;
    rcd_jws_t jws;

    rc = rcd_jws_verify(f->env.config->jwks, text, len, TYP_HEAD, now, &jws);
    if (rc != RCD_JWS_OK) {
        fault = rcd_jws_reasons[rc];
    } else if (jws.key->relief_only) {
        fault = "the key is fit for relief only";
    } else {
        fault = rcd_head_parse(jws.payload, jws.payload_len, &f->env.party, now, head);
    }
    if (fault != NULL) {
        snprintf(why, sizeof(why), "head%s%s: %s", jws.kid[0] != '\0' ? " of key " : "", jws.kid,
                 fault);
        contact_lost(f, why);
    }
    rcd_jws_fini(&jws);
    return fault == NULL;
}

/* A head came, by a poll answer or by GET. Contact is decided by the state, and never while the
 * relief lane stands at a token that may free. */
static int head_take(rcd_feed_t *f, const char *text, size_t len)
{
    int64_t now = rcd_clock_wall();
    rcd_marks_t before;
    char why[160];
    rcd_head_t head;
    int rc;

    if (!head_verify(f, text, len, now, &head)) {
        return 0;
    }
    f->head_due_ms = rcd_clock_ms() + HEAD_QUIET_MS;
    jd_backoff_reset(&f->head_failed);
    if (overtaken(f, &head)) {
        return 1;
    }
    if (f->relief.standing) {
        contact_lost(f, "the relief lane stands");
        return 0;
    }

    rcd_state_marks(f->env.state, &before);
    rc = rcd_state_head(f->env.state, now, head.iat, head.epoch, head.seq, head.relief_seq, why,
                        sizeof(why));
    if (head.iat >= before.head_iat) {
        f->head = head;
        rcd_clock_head(f->clock, head.iat);
    }
    if (rc > 0) {
        contact_made(f);
    } else {
        contact_lost(f, rc < 0 ? "the journal cannot be written" : why);
    }
    return 1;
}

static void on_lane_head(void *owner, const char *jws)
{
    head_take(owner, jws, strlen(jws));
}

static void on_head(void *owner, const rcd_http_answer_t *a)
{
    rcd_feed_t *f = owner;
    char why[200];

    f->head_call = NULL;
    if (a->status == 200 && head_take(f, a->body, a->len)) {
        return;
    }
    f->head_due_ms = rcd_clock_ms() + jd_backoff_next(&f->head_failed, arc4random());
    if (a->status != 200) {
        if (a->fault != NULL) {
            snprintf(why, sizeof(why), "no answer: %s", a->fault);
        } else {
            snprintf(why, sizeof(why), "the office answered %d to head", a->status);
        }
        contact_lost(f, why);
    }
}

static int64_t head_step(rcd_feed_t *f, int64_t now_ms)
{
    rcd_http_request_t request = {.path = "head",
                                  .max_bytes = HEAD_BYTES_MAX,
                                  .timeout_sec = HEAD_TIMEOUT_SEC,
                                  .rank = RANK_HEAD,
                                  .done = on_head,
                                  .owner = f};

    if (f->head_call != NULL) {
        return INT64_MAX;
    }
    if (now_ms >= f->head_due_ms) {
        f->head_call = rcd_http_start(f->env.http, &request);
        f->head_due_ms = now_ms + jd_backoff_next(&f->head_failed, arc4random());
    }
    return f->head_call != NULL ? INT64_MAX : f->head_due_ms;
}

/* ---- snapshots ------------------------------------------------------------------------------- */

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Whether a snapshot is needed, and the marks it must have reached. A new epoch counts from its own
 * head. */
static int snapshot_wanted(const rcd_feed_t *f, uint64_t *min_seq, uint64_t *min_relief_seq)
{
    int new_epoch;
    rcd_marks_t m;

    rcd_state_marks(f->env.state, &m);
    new_epoch = m.fork_epoch != 0 && m.fork_epoch != m.epoch;
    *min_seq = *min_relief_seq = 0;
    if (!new_epoch) {
        *min_seq = max_u64(m.seq, f->changes.seq_seen);
        *min_relief_seq = max_u64(m.relief_seq, f->relief.seq_seen);
    }
    if (f->head.iat != 0 && f->head.epoch == (new_epoch ? m.fork_epoch : m.epoch)) {
        *min_seq = max_u64(*min_seq, f->head.seq);
        *min_relief_seq = max_u64(*min_relief_seq, f->head.relief_seq);
    }

    if (new_epoch) {
        return 1;
    }
    if (m.forked) {
        return 0;                     /* nothing of this epoch can be told right from wrong */
    }
    if (rcd_hold_waits(f->env.state) != NULL) {
        return m.relief_behind;       /* what waits is exchanged for no other reason */
    }
    return m.changes_gap || m.relief_behind ||
           (m.seq == 0 && m.relief_seq == 0 && f->download.n_applied == 0);
}

/* Tokens held for the snapshot are known now: take them again, and acknowledge them. */
static void on_applied(void *owner)
{
    rcd_feed_t *f = owner;

    f->relief.due_ms = f->changes.due_ms = 0;
    f->head_due_ms = 0;
    f->changes.seq_seen = f->relief.seq_seen = 0;
}

/* ---- quarantine reports ---------------------------------------------------------------------- */

static void on_reported(void *owner, const rcd_http_answer_t *a)
{
    rcd_feed_t *f = owner;

    f->quarantine_call = NULL;
    if (a->status >= 200 && a->status < 300) {
        rcd_quarantine_reported(f->env.state, f->quarantine_id);
        jd_backoff_reset(&f->quarantine_failed);
        f->quarantine_due_ms = 0;
        return;
    }
    f->quarantine_due_ms = rcd_clock_ms() + jd_backoff_next(&f->quarantine_failed, arc4random());
}

static char *quarantine_body(const rcd_result_t *q)
{
    cJSON *root = cJSON_CreateObject();
    char *text;

    cJSON_AddStringToObject(root, "order", q->number);
    cJSON_AddStringToObject(root, "code", rcd_quarantine_names[q->code]);
    cJSON_AddStringToObject(root, "description", q->why);
    text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    return text;
}

static int64_t quarantine_step(rcd_feed_t *f, int64_t now_ms)
{
    rcd_http_request_t request = {.path = "quarantine",
                                  .max_bytes = QUARANTINE_BYTES_MAX,
                                  .timeout_sec = HEAD_TIMEOUT_SEC,
                                  .rank = RANK_QUARANTINE,
                                  .done = on_reported,
                                  .owner = f};
    rcd_result_t q;
    char *body;

    if (f->quarantine_call != NULL) {
        return INT64_MAX;
    }
    if (now_ms < f->quarantine_due_ms) {
        return f->quarantine_due_ms;
    }
    f->quarantine_due_ms = now_ms + QUARANTINE_LOOK_MS;
    if (rcd_quarantine_next(f->env.state, &f->quarantine_id, &q) == 1) {
        body = quarantine_body(&q);
        request.body = body;
        f->quarantine_call = body == NULL ? NULL : rcd_http_start(f->env.http, &request);
        free(body);
    }
    return f->quarantine_due_ms;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* What background work asks: an answer of the relief lane has come. */
static int relief_waits(void *owner)
{
    rcd_feed_t *f = owner;

    return !f->standby && rcd_http_ready(f->relief_http);
}

rcd_feed_t *rcd_feed_create(const rcd_config_t *config, rcd_state_t *state, rcd_redis_t *redis,
                            rcd_applier_t *applier, rcd_clock_t *clock)
{
    rcd_feed_t *f = calloc(1, sizeof(*f));

    if (f == NULL) {
        return NULL;
    }
    f->relief_http = rcd_http_create(&config->office);
    f->env = (rcd_lane_env_t) {
        .config = config,
        .party = {config->office.iss, config->office.aud, config->list},
        .http = rcd_http_create(&config->office),
        .state = state,
        .redis = redis,
        .on_head = on_lane_head,
        .owner = f,
    };
    f->download = (rcd_download_t) {
        .config = config,
        .party = &f->env.party,
        .http = f->env.http,
        .state = state,
        .applier = applier,
        .on_applied = on_applied,
        .owner = f,
    };
    f->clock = clock;
    f->contact_ms = rcd_clock_ms();
    f->head_failed = f->quarantine_failed =
        (jd_backoff_t) {.base_ms = FAILED_BASE_MS, .cap_ms = FAILED_CAP_MS};
    rcd_download_init(&f->download);
    if (f->env.http == NULL || f->relief_http == NULL ||
        rcd_lane_init(&f->relief, &f->env, f->relief_http, 1) != 0 ||
        rcd_lane_init(&f->changes, &f->env, f->env.http, 0) != 0) {
        rcd_feed_destroy(f);
        return NULL;
    }
    rcd_slice_watch(relief_waits, f);
    return f;
}

void rcd_feed_destroy(rcd_feed_t *f)
{
    if (f == NULL) {
        return;
    }
    rcd_slice_watch(NULL, NULL);
    rcd_lane_fini(&f->relief);
    rcd_lane_fini(&f->changes);
    rcd_download_fini(&f->download);
    rcd_http_destroy(f->env.http);
    rcd_http_destroy(f->relief_http);
    free(f);
}

static int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t rcd_feed_step(rcd_feed_t *f, int *applied)
{
    uint64_t min_seq, min_relief_seq;
    int64_t now_ms, next;
    int wanted;

    f->env.applied = 0;
    rcd_http_step(f->relief_http);
    if (f->env.applied) {
        *applied = 1;                 /* to Redis, before anything else is looked at */
        return rcd_lane_step(&f->relief, rcd_clock_ms());
    }
    rcd_http_step(f->env.http);
    if (f->standby) {
        return INT64_MAX;
    }
    now_ms = rcd_clock_ms();
    contact_tell(f, now_ms);
    next = rcd_lane_step(&f->relief, now_ms);
    next = min_i64(next, rcd_lane_step(&f->changes, now_ms));
    *applied |= f->env.applied;
    next = min_i64(next, head_step(f, now_ms));
    wanted = snapshot_wanted(f, &min_seq, &min_relief_seq);
    next = min_i64(next, rcd_download_step(&f->download, now_ms, wanted, min_seq, min_relief_seq));
    return min_i64(next, quarantine_step(f, now_ms));
}

void rcd_feed_wait(rcd_feed_t *f, const int *fds, unsigned n_fds, int timeout_ms)
{
    rcd_http_wait(f->env.http, f->relief_http, fds, n_fds, timeout_ms);
}

void rcd_feed_standby(rcd_feed_t *f, int on)
{
    if (on && !f->standby) {
        rcd_lane_pause(&f->relief);
        rcd_lane_pause(&f->changes);
    }
    f->standby = on;
}

int rcd_feed_is_standby(const rcd_feed_t *f)
{
    return f->standby;
}

rcd_http_t *rcd_feed_http(rcd_feed_t *f)
{
    return f->env.http;
}

void rcd_feed_hurry(rcd_feed_t *f)
{
    rcd_download_hurry(&f->download);
}

void rcd_feed_status(const rcd_feed_t *f, rcd_feed_status_t *out)
{
    *out = (rcd_feed_status_t) {
        .relief = rcd_lane_state(&f->relief),
        .changes = rcd_lane_state(&f->changes),
        .relief_fault = f->relief.fault,
        .changes_fault = f->changes.fault,
        .relief_kid = f->relief.kid,
        .changes_kid = f->changes.kid,
        .relief_answered_at = f->relief.answered_at,
        .changes_answered_at = f->changes.answered_at,
        .relief_applied = f->relief.n_applied,
        .changes_applied = f->changes.n_applied,
        .snapshot = rcd_download_states[f->download.at],
        .snapshot_fault = f->download.fault,
        .head_fault = f->head_fault,
        .head_epoch = f->head.epoch,
        .head_seq = f->head.seq,
        .head_relief_seq = f->head.relief_seq,
        .standby = f->standby,
    };
}
