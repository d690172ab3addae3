/*
 * rcd_ledger - the ledger's steps in turn: collect, freeze, send, retain.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/jd_backoff.h"
#include "core/jd_policy.h"
#include "rcd_claims.h"
#include "rcd_clock.h"
#include "rcd_http.h"
#include "rcd_jws.h"
#include "rcd_ledger.h"
#include "rcd_ledger_batch.h"
#include "rcd_store.h"
#include "rcd_writer.h"

#define TYP_RECEIPT        "jd-receipt+jwt"
#define RECEIPT_BYTES_MAX  (64 * 1024)
#define POST_TIMEOUT_SEC   30
#define RANK_LEDGER        5             /* behind everything else that the office answers */
#define ROUND_MS           3000
#define STEP_MS            5             /* between two steps of a round */
#define LOOK_MS            1000          /* for something to send */
#define RETAIN_MS          3600000
#define RETAIN_MORE_MS     100
#define COUNTS_MS          5000          /* so old may the counts of a status be */
#define FAILED_BASE_MS     1000
#define FAILED_CAP_MS      60000
#define DAY_SEC            86400

struct rcd_ledger_s {
    const rcd_config_t   *config;
    rcd_state_t          *s;
    rcd_redis_t          *redis;
    rcd_feed_t           *feed;
    rcd_ledger_collect_t *collect;
    rcd_ledger_freezer_t  freezer;
    int64_t               collect_due_ms, send_due_ms, retain_due_ms;
    rcd_http_call_t      *call;
    rcd_ledger_batch_t    batch;         /* under way; body NULL = none */
    rcd_ledger_state_t    at;            /* its chain */
    jd_backoff_t          failed;
    int64_t               receipt_at;
    rcd_ledger_counts_t   counts;
    int64_t               counts_due_ms;
    char                  fault[200];
};

rcd_ledger_t *rcd_ledger_create(const rcd_config_t *config, rcd_state_t *s, rcd_redis_t *redis,
                                rcd_feed_t *feed)
{
    rcd_ledger_t *l = calloc(1, sizeof(*l));

    if (l == NULL) {
        return NULL;
    }
    l->config = config;
    l->s = s;
    l->redis = redis;
    l->feed = feed;
    l->freezer = (rcd_ledger_freezer_t) {.config = config, .s = s};
    l->failed = (jd_backoff_t) {.base_ms = FAILED_BASE_MS, .cap_ms = FAILED_CAP_MS};
    l->collect = rcd_ledger_collect_create(config->list, s);
    if (l->collect == NULL) {
        rcd_ledger_destroy(l);
        return NULL;
    }
    return l;
}

void rcd_ledger_destroy(rcd_ledger_t *l)
{
    if (l == NULL) {
        return;
    }
    if (l->call != NULL) {
        rcd_http_cancel(rcd_feed_http(l->feed), l->call);
    }
    free(l->batch.body);
    rcd_ledger_collect_destroy(l->collect);
    free(l);
}

/* ---- sending --------------------------------------------------------------------------------- */

static void say(rcd_ledger_t *l, const char *why)
{
    if (strcmp(l->fault, why) != 0) {
        if (why[0] != '\0') {
            rcd_log(RCD_LOG_WARN, "ledger: %s", why);
        } else {
            rcd_log(RCD_LOG_NOTICE, "ledger: the office takes it");
        }
        snprintf(l->fault, sizeof(l->fault), "%s", why);
    }
}

static void batch_release(rcd_ledger_t *l)
{
    free(l->batch.body);
    memset(&l->batch, 0, sizeof(l->batch));
}

static void failed(rcd_ledger_t *l, const char *why)
{
    say(l, why);
    l->send_due_ms = rcd_clock_ms() + jd_backoff_next(&l->failed, arc4random());
}

/* A verified receipt's claims against the batch under way. NULL or what is wrong. */
static const char *receipt_claims(const rcd_ledger_t *l, const rcd_jws_t *jws, int64_t now)
{
    rcd_party_t party = {l->config->office.iss, l->config->office.aud, l->config->list};
    const char *why, *batch, *hash;
    char name[RCD_RUN_LEN + 24];
    uint64_t iat;
    cJSON *root = rcd_json_parse(jws->payload, jws->payload_len, &why);

    if (root == NULL) {
        return why;
    }
    batch = rcd_json_string(root, "batch");
    hash = rcd_json_string(root, "hash");
    snprintf(name, sizeof(name), "%s-%" PRId64, l->at.chain, l->batch.n);
    if (!rcd_party_match(root, &party)) {
        why = "iss or aud is not ours";
    } else if (batch == NULL || strcmp(batch, name) != 0) {
        why = "it is for another batch";
    } else if (hash == NULL || strcmp(hash, l->batch.hash) != 0) {
        why = "its hash is not the batch's";
    } else if (rcd_json_uint(root, "iat", RCD_JSON_INT_MAX, &iat) != 1 || iat == 0 ||
               (int64_t) iat > now + JD_CLOCK_SKEW_SEC) {
        why = "iat is not a time, or ahead of our clock";
    } else {
        why = NULL;
    }
    cJSON_Delete(root);
    return why;
}

/* NULL, or why the answer is no receipt for the batch. */
static const char *receipt_check(const rcd_ledger_t *l, const rcd_http_answer_t *a)
{
    int64_t now = rcd_clock_wall();
    const char *why;
    rcd_jws_rc_t rc;
    rcd_jws_t jws;

    rc = rcd_jws_verify(l->config->jwks, a->body, a->len, TYP_RECEIPT, now, &jws);
    if (rc != RCD_JWS_OK) {
        why = rcd_jws_reasons[rc];
    } else if (jws.key->relief_only) {
        why = "the key is fit for relief only";
    } else {
        why = receipt_claims(l, &jws, now);
    }
    rcd_jws_fini(&jws);
    return why;
}

static void receipt(rcd_ledger_t *l, const rcd_http_answer_t *a)
{
    const char *why = receipt_check(l, a);
    char said[200];

    if (why != NULL) {
        snprintf(said, sizeof(said), "the office's receipt is not taken: %s", why);
        failed(l, said);
        return;
    }
    if (rcd_ledger_receipt_take(l->s, l->at.chain, &l->batch, a->body) < 0) {
        failed(l, "the journal cannot be written");
        return;
    }
    l->receipt_at = rcd_clock_wall();
    l->send_due_ms = 0;
    l->collect_due_ms = 0;                     /* gates may learn what is done */
    jd_backoff_reset(&l->failed);
    say(l, "");
}

/*
 * The office does not know the batch before this one, or knows another under this name: one of us
 * was restored from a backup. What it forgot is sent again; if that cannot be, a chain is begun
 * anew, in which everything unsent goes out as totals, which count once.
 */
static void chain_conflict(rcd_ledger_t *l, const rcd_http_answer_t *a)
{
    const char *why;
    cJSON *root = rcd_json_parse(a->body, a->len, &why);
    rcd_ledger_state_t st;
    uint64_t last = 0;
    int rc = -1, rewind;

    rewind = root != NULL && rcd_json_uint(root, "last", RCD_JSON_INT_MAX, &last) == 1 &&
             (int64_t) last < l->batch.n - 1;
    cJSON_Delete(root);
    if (rcd_store_begin(l->s, 1) == 0) {
        rc = rewind ? rcd_ledger_batches_rewind(l->s, l->at.chain, (int64_t) last) : 0;
        if (rc == 0) {
            rc = rcd_ledger_state(l->s, &st);
            st.chain[0] = '\0';
            rc = rc < 0 ? rc : rcd_ledger_chain_drop(l->s, l->at.chain);
            rc = rc < 0 ? rc : rcd_ledger_state_save(l->s, &st);
        }
        if (rc < 0 || rcd_store_commit(l->s) < 0) {
            rcd_store_rollback(l->s);
            rc = -1;
        }
    }
    failed(l, rc < 0 ? "the journal cannot be written"
                     : rewind ? "the office has forgotten batches; they are sent again"
                              : "the office has another batch of this name; a new chain begins");
}

static void on_answer(void *owner, const rcd_http_answer_t *a)
{
    rcd_ledger_t *l = owner;
    char why[200];

    l->call = NULL;
    if (a->status == 200) {
        receipt(l, a);
    } else if (a->status == 409) {
        chain_conflict(l, a);
    } else if (a->status != 0) {
        snprintf(why, sizeof(why), "the office answered %d", a->status);
        failed(l, why);
    } else {
        snprintf(why, sizeof(why), "no answer of the office: %s", a->fault);
        failed(l, why);
    }
    batch_release(l);
}

/* Starts the oldest batch that waits, freezing one when none does. */
static void send_step(rcd_ledger_t *l, int64_t now_ms)
{
    rcd_http_request_t request = {.path = "ledger",
                                  .max_bytes = RECEIPT_BYTES_MAX,
                                  .timeout_sec = POST_TIMEOUT_SEC,
                                  .rank = RANK_LEDGER,
                                  .done = on_answer,
                                  .owner = l};
    int rc;

    l->send_due_ms = now_ms + LOOK_MS;
    rc = rcd_ledger_state(l->s, &l->at);
    rc = rc < 0 ? rc : rcd_ledger_batch_next(l->s, l->at.chain, &l->batch);
    if (rc == 0) {
        rc = rcd_ledger_freeze(&l->freezer, rcd_clock_wall());
        if (rc > 0) {
            rc = rcd_ledger_state(l->s, &l->at);
            rc = rc < 0 ? rc : rcd_ledger_batch_next(l->s, l->at.chain, &l->batch);
        }
    }
    if (rc < 0) {
        failed(l, l->s->fault);
    }
    if (rc > 0) {
        request.body = l->batch.body;
        l->call = rcd_http_start(rcd_feed_http(l->feed), &request);
        if (l->call == NULL) {
            batch_release(l);
        }
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void collect_step(rcd_ledger_t *l, int64_t now_ms, int64_t retain_from)
{
    rcd_link_t *link = rcd_writer_link(l->redis);
    int rc = link == NULL ? 0 : rcd_ledger_collect_step(l->collect, link, l->redis->fill.writer,
                                                        rcd_clock_wall(), retain_from);

    l->collect_due_ms = now_ms + (rc > 0 ? STEP_MS : ROUND_MS);
}

static void retain(rcd_ledger_t *l, int64_t now_ms, int64_t retain_from)
{
    int removed;

    l->retain_due_ms = now_ms + RETAIN_MS;
    if (rcd_store_begin(l->s, 0) < 0) {
        return;
    }
    removed = rcd_ledger_retain(l->s, retain_from);
    if (removed < 0 || rcd_store_commit(l->s) < 0) {
        rcd_store_rollback(l->s);
    } else if (removed > 0) {
        l->retain_due_ms = now_ms + RETAIN_MORE_MS;
    }
}

static int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t rcd_ledger_step(rcd_ledger_t *l)
{
    int64_t now_ms = rcd_clock_ms(), next;
    int64_t retain_from = rcd_clock_wall() - (int64_t) l->config->ledger.retention_days * DAY_SEC;

    if (now_ms >= l->collect_due_ms) {
        collect_step(l, now_ms, retain_from);
    }
    if (l->call == NULL && now_ms >= l->send_due_ms && !rcd_feed_is_standby(l->feed)) {
        send_step(l, now_ms);
    }
    if (now_ms >= l->retain_due_ms) {
        retain(l, now_ms, retain_from);
    }
    next = min_i64(l->collect_due_ms, l->retain_due_ms);
    return l->call != NULL ? next : min_i64(next, l->send_due_ms);
}

void rcd_ledger_status(rcd_ledger_t *l, rcd_ledger_status_t *out)
{
    memset(out, 0, sizeof(*out));
    rcd_ledger_collect_status(l->collect, &out->collect);
    if (rcd_clock_ms() >= l->counts_due_ms) {
        l->counts_due_ms = rcd_clock_ms() + COUNTS_MS;
        rcd_ledger_counts(l->s, &l->counts);
    }
    out->counts = l->counts;
    if (l->batch.body != NULL) {
        snprintf(out->batch, sizeof(out->batch), "%s-%" PRId64, l->at.chain, l->batch.n);
    }
    out->receipt_at = l->receipt_at;
    out->fault = l->fault;
}
