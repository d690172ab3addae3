/*
 * rcd_lane - one lane of the feed: RFC 8936 polls, tokens verified, applied, acknowledged.
 *
 * An acknowledgement is the office's permission to forget. It is given for what the journal has on
 * disk, and for nothing else; what does not verify is neither acknowledged nor reported, since it
 * may be a lift.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_clock.h"
#include "rcd_event.h"
#include "rcd_hold.h"
#include "rcd_lane.h"
#include "rcd_slice.h"

#define POLL_TIMEOUT_SEC   45             /* the office answers an idle poll within 30 s */
#define POLL_BYTES_MAX     (4 * 1024 * 1024)
#define FAILED_BASE_MS     500
#define FAILED_CAP_MS      30000
#define FAILED_RELIEF_CAP_MS 2000
#define IDLE_BASE_MS       20
#define IDLE_CAP_MS        1000
#define HELD_MS            1000           /* an empty answer after less was not held */
#define RETRY_AFTER_MAX_SEC 30
#define VERIFY_NS          10000000       /* of changes, in one slice */
/* while a snapshot waits for approval changes stay with the office: more of them are looked at, */
#define HELD_EVENTS_MAX    1000
#define HELD_POLL_MS       1000           /* not too often */

#define TYP_EVENT "secevent+jwt"

/* An answer, and the tokens of it that verified so far. */
typedef struct rcd_lane_batch_s {
    cJSON        *root;
    const cJSON  *set;                    /* next to be verified */
    unsigned      n_sets;
    int64_t       now;                    /* once for the whole answer */
    rcd_token_t  *tokens;
    /* copies in the order rcd_apply_* likes; records stay with tokens */
    rcd_event_t  *events;
    rcd_result_t *results;
    unsigned      n;
} batch_t;

static const char *lane_name(const rcd_lane_t *l)
{
    return l->relief ? "relief" : "changes";
}

/* A fault is logged when it changes, not each time it is met. */
static void fault_set(rcd_lane_t *l, const char *fault)
{
    if (strcmp(l->fault, fault) != 0) {
        if (fault[0] != '\0') {
            rcd_log(RCD_LOG_WARN, "%s lane: %s", lane_name(l), fault);
        } else {
            rcd_log(RCD_LOG_NOTICE, "%s lane: well again", lane_name(l));
        }
        snprintf(l->fault, sizeof(l->fault), "%s", fault);
    }
}

static void stand(rcd_lane_t *l, const char *kid, const char *reason)
{
    char fault[200];

    if (l->standing) {
        return;                           /* the first of an answer is told */
    }
    snprintf(fault, sizeof(fault), "stands at a token%s%s: %s", kid[0] != '\0' ? " of key " : "",
             kid, reason);
    l->standing = 1;
    snprintf(l->kid, sizeof(l->kid), "%s", kid);
    fault_set(l, fault);
}

int rcd_lane_init(rcd_lane_t *l, rcd_lane_env_t *env, rcd_http_t *http, int relief)
{
    memset(l, 0, sizeof(*l));
    l->env = env;
    l->http = http;
    l->relief = relief;
    l->failed.base_ms = FAILED_BASE_MS;
    l->failed.cap_ms = relief ? FAILED_RELIEF_CAP_MS : FAILED_CAP_MS;
    l->idle.base_ms = IDLE_BASE_MS;
    l->idle.cap_ms = IDLE_CAP_MS;
    l->ack = cJSON_CreateArray();
    l->errors = cJSON_CreateObject();
    if (l->ack == NULL || l->errors == NULL) {
        rcd_lane_fini(l);
        return -1;
    }
    return 0;
}

void rcd_lane_fini(rcd_lane_t *l)
{
    rcd_lane_pause(l);
    cJSON_Delete(l->ack);
    cJSON_Delete(l->errors);
    l->ack = l->errors = NULL;
}

static void batch_free(batch_t *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        rcd_token_fini(&b->tokens[i]);
    }
    free(b->tokens);
    free(b->events);
    free(b->results);
    cJSON_Delete(b->root);
    free(b);
}

void rcd_lane_pause(rcd_lane_t *l)
{
    if (l->call != NULL) {
        rcd_http_cancel(l->http, l->call);
        l->call = NULL;
    }
    if (l->batch != NULL) {
        batch_free(l->batch);
        l->batch = NULL;
    }
}

const char *rcd_lane_state(const rcd_lane_t *l)
{
    return l->standing ? "standing" : l->fault[0] != '\0' ? "waiting" : "polling";
}

/* ---- the tokens of an answer ----------------------------------------------------------------- */

static void error_add(rcd_lane_t *l, const char *jti, const char *why)
{
    cJSON *e = cJSON_CreateObject();

    cJSON_AddStringToObject(e, "err", "jd_schema");
    cJSON_AddStringToObject(e, "description", why);
    cJSON_AddItemToObject(l->errors, jti, e);
    rcd_log(RCD_LOG_WARN, "%s lane: a verified token does not parse: %s; reported to the office",
            lane_name(l), why);
}

/* Verifies and reads one token into the batch. What does not verify makes the lane stand. */
static void token_take(rcd_lane_t *l, const cJSON *set, batch_t *b)
{
    const rcd_config_t *config = l->env->config;
    rcd_token_t *t = &b->tokens[b->n];
    const char *why = "not a string";
    rcd_token_rc_t parsed;
    rcd_jws_rc_t rc;
    rcd_jws_t jws;

    if (!cJSON_IsString(set) || !rcd_jti_ok(set->string)) {
        stand(l, "", "not a token under a jti");
        return;
    }
    rc = rcd_jws_verify(config->jwks, set->valuestring, strlen(set->valuestring), TYP_EVENT,
                        b->now, &jws);
    if (rc != RCD_JWS_OK) {
        stand(l, jws.kid, rcd_jws_reasons[rc]);
        rcd_jws_fini(&jws);
        return;
    }
    if (jws.key->relief_only && !l->relief) {
        stand(l, jws.kid, "the key is fit for relief only");
        rcd_jws_fini(&jws);
        return;
    }

    parsed = rcd_token_parse(jws.payload, jws.payload_len, jws.payload_hash, &l->env->party,
                             l->relief, set->string, t, &why);
    if (parsed == RCD_TOKEN_OK) {
        b->events[b->n++] = t->ev;
        l->seq_seen = t->ev.seq > l->seq_seen ? t->ev.seq : l->seq_seen;
    } else if (parsed == RCD_TOKEN_FOREIGN) {
        stand(l, jws.kid, why);
    } else {
        error_add(l, set->string, why);
    }
    rcd_jws_fini(&jws);
}

/* The journal cannot be written: what frees goes to Redis all the same, on top of what the journal,
 * which may still be read, knows of the order. */
static void relief_rescue(rcd_lane_t *l, const rcd_event_t *ev)
{
    jd_relief_t relief = {0};
    rcd_row_t row;

    rcd_state_order(l->env->state, ev->number, &row, &relief);
    if (ev->kind == RCD_EV_LIFT) {
        relief.lifted |= ev->lifted;
    } else if (ev->objection) {
        relief.objection = 1;
    } else {
        return;
    }
    rcd_redis_relief_now(l->env->redis, ev->number, &relief);
}

static void result_take(rcd_lane_t *l, const rcd_event_t *ev, const rcd_result_t *result)
{
    switch (result->outcome) {
    case RCD_ACK_QUARANTINED:
        rcd_log(RCD_LOG_WARN, "%s lane: a record is quarantined: %s: %s", lane_name(l),
                rcd_quarantine_names[result->code], result->why);
        /* fall through */
    case RCD_ACK:
        cJSON_AddItemToArray(l->ack, cJSON_CreateString(ev->jti));
        l->n_applied++;
        return;
    case RCD_HOLD_GAP:
        /* The snapshot that the state now asks for covers it; then it is known and acknowledged. */
        return;
    case RCD_HOLD_FORK:
        stand(l, "", "fork: other content at a known seq; approve a new epoch with rcctl approve");
        return;
    case RCD_HOLD_IO:
        stand(l, "", "the journal cannot be written; look at the disk of the state directory");
        if (l->relief) {
            relief_rescue(l, ev);
        }
        return;
    }
}

static void batch_apply(rcd_lane_t *l, batch_t *b)
{
    rcd_lane_env_t *env = l->env;

    if (b->n == 0) {
        return;
    }
    env->applied = 1;
    if (l->relief) {
        rcd_apply_relief(env->state, b->events, b->n, b->results);
    } else {
        rcd_apply_changes(env->state, &env->config->rules, b->events, b->n, b->results);
    }
    for (unsigned i = 0; i < b->n; i++) {
        result_take(l, &b->events[i], &b->results[i]);
    }
}

/* `root` is the batch's from now on. NULL when memory is short. */
static batch_t *batch_new(cJSON *root, const cJSON *sets)
{
    batch_t *b = calloc(1, sizeof(*b));

    if (b == NULL) {
        cJSON_Delete(root);
        return NULL;
    }
    b->root = root;
    b->set = sets->child;
    b->n_sets = (unsigned) cJSON_GetArraySize(sets);
    b->now = rcd_clock_wall();
    b->tokens = calloc(b->n_sets + 1, sizeof(*b->tokens));
    b->events = calloc(b->n_sets + 1, sizeof(*b->events));
    b->results = calloc(b->n_sets + 1, sizeof(*b->results));
    if (b->tokens == NULL || b->events == NULL || b->results == NULL) {
        batch_free(b);
        return NULL;
    }
    return b;
}

/* ---- polls ----------------------------------------------------------------------------------- */

static void poll_failed(rcd_lane_t *l, const rcd_http_answer_t *a, const char *why)
{
    int64_t wait = jd_backoff_next(&l->failed, arc4random());
    char fault[200];

    if (why != NULL) {
        snprintf(fault, sizeof(fault), "%s", why);
    } else if (a->fault != NULL) {
        snprintf(fault, sizeof(fault), "no answer: %s", a->fault);
    } else {
        snprintf(fault, sizeof(fault), "the office answered %d", a->status);
    }
    if (a->retry_after_sec >= 0 && a->retry_after_sec <= RETRY_AFTER_MAX_SEC &&
        a->retry_after_sec * 1000 > wait) {
        wait = a->retry_after_sec * 1000;
    }
    l->due_ms = rcd_clock_ms() + wait;
    fault_set(l, fault);
}

/* When to poll again: at once after news; with a pause when the office does not hold polls or
 * offers what we cannot take. */
static void poll_schedule(rcd_lane_t *l, unsigned n_sets)
{
    int64_t now_ms = rcd_clock_ms();

    l->due_ms = now_ms;
    if (n_sets == 0) {
        if (now_ms - l->asked_ms < HELD_MS) {
            l->due_ms += jd_backoff_next(&l->idle, arc4random());
        } else {
            jd_backoff_reset(&l->idle);
        }
        jd_backoff_reset(&l->failed);
        return;
    }
    jd_backoff_reset(&l->idle);
    if (!l->relief && rcd_hold_waits(l->env->state) != NULL) {
        l->due_ms += HELD_POLL_MS;        /* what is offered again may hold something that frees */
        return;
    }
    if (cJSON_GetArraySize(l->ack) == 0 && cJSON_GetArraySize(l->errors) == 0) {
        l->due_ms += jd_backoff_next(&l->failed, arc4random());
    } else {
        jd_backoff_reset(&l->failed);
    }
}

/* Goes on with the answer: verifies, and applies all of it when all is verified. Relief is taken in one
 * go; changes make way for it. */
static void batch_go_on(rcd_lane_t *l)
{
    int64_t end = rcd_slice_now() + VERIFY_NS;
    batch_t *b = l->batch;
    const char *head;

    while (b->set != NULL) {
        const cJSON *set = b->set;

        b->set = set->next;
        token_take(l, set, b);
        if (!l->relief && rcd_slice_over(end)) {
            return;
        }
    }
    batch_apply(l, b);
    if (!l->standing) {
        fault_set(l, "");
    }
    poll_schedule(l, b->n_sets);
    l->batch = NULL;
    head = rcd_json_string(b->root, "jd_head");
    if (head != NULL) {
        l->env->on_head(l->env->owner, head);
    }
    batch_free(b);
}

static void on_answer(void *owner, const rcd_http_answer_t *a)
{
    rcd_lane_t *l = owner;
    const cJSON *sets, *more;
    const char *why;
    cJSON *root;

    l->call = NULL;
    l->narrow = l->wide && a->status != 200;       /* so many may be too long an answer */
    if (a->status != 200) {
        poll_failed(l, a, NULL);
        return;
    }
    root = rcd_json_parse(a->body, a->len, &why);
    sets = cJSON_GetObjectItemCaseSensitive(root, "sets");
    more = cJSON_GetObjectItemCaseSensitive(root, "moreAvailable");
    if (!cJSON_IsObject(sets) || (more != NULL && !cJSON_IsBool(more))) {
        poll_failed(l, a, "the answer is not that of a poll (RFC 8936)");
        cJSON_Delete(root);
        return;
    }

    /* The office has what this poll carried. */
    cJSON_Delete(l->ack);
    cJSON_Delete(l->errors);
    l->ack = cJSON_CreateArray();
    l->errors = cJSON_CreateObject();
    l->answered_at = rcd_clock_wall();
    l->standing = 0;
    l->kid[0] = '\0';

    l->batch = batch_new(root, sets);
    if (l->batch == NULL) {
        stand(l, "", "out of memory");
        l->due_ms = rcd_clock_ms() + jd_backoff_next(&l->failed, arc4random());
        return;
    }
    batch_go_on(l);
}

static char *poll_body(const rcd_lane_t *l)
{
    cJSON *root = cJSON_CreateObject();
    char *text;

    cJSON_AddNumberToObject(root, "maxEvents", l->wide ? HELD_EVENTS_MAX : RCD_LANE_EVENTS_MAX);
    cJSON_AddFalseToObject(root, "returnImmediately");
    if (cJSON_GetArraySize(l->ack) > 0) {
        cJSON_AddItemReferenceToObject(root, "ack", l->ack);
    }
    if (cJSON_GetArraySize(l->errors) > 0) {
        cJSON_AddItemReferenceToObject(root, "setErrs", l->errors);
    }
    text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    return text;
}

int64_t rcd_lane_step(rcd_lane_t *l, int64_t now_ms)
{
    rcd_http_request_t request = {.path = lane_name(l),
                                  .max_bytes = POLL_BYTES_MAX,
                                  .timeout_sec = POLL_TIMEOUT_SEC,
                                  .rank = l->relief ? 0 : 1,
                                  .done = on_answer,
                                  .owner = l};
    char *body;

    if (l->call != NULL) {
        return INT64_MAX;
    }
    if (l->batch != NULL) {
        batch_go_on(l);
        return now_ms;
    }
    if (now_ms < l->due_ms) {
        return l->due_ms;
    }
    l->wide = !l->relief && !l->narrow && rcd_hold_waits(l->env->state) != NULL;
    body = poll_body(l);
    request.body = body;
    l->asked_ms = now_ms;
    l->call = body == NULL ? NULL : rcd_http_start(l->http, &request);
    free(body);
    if (l->call == NULL) {
        l->due_ms = now_ms + jd_backoff_next(&l->failed, arc4random());
        fault_set(l, "out of memory");
        return l->due_ms;
    }
    return INT64_MAX;
}
