/*
 * rcctl_watch - follows the daemon's status and the stream of changes: one line for each change of
 * state.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/jd_policy.h"
#include "core/jd_time.h"
#include "rcctl_redis.h"
#include "rcd_clock.h"
#include "rcd_json.h"

#define LOOK_US       500000
#define VALUE_MAX     320
#define BATCH         "1000"
#define BATCHES_MAX   20          /* of one look */

/* What is followed; each has one text that tells its state. */
typedef enum {
    W_DAEMON, W_CONTACT, W_RELIEF, W_CHANGES, W_SNAPSHOT, W_FORK, W_LINK, W_LIST, W_N
} topic_t;

static const char *const topics[W_N] = {"daemon",   "contact", "relief", "changes",
                                        "snapshot", "fork",    "link",   "list"};

typedef struct {
    const rcctl_t *r;
    char           value[W_N][VALUE_MAX];
    redisContext  *redis;
    char           last_id[48];    /* of the stream; "" = not known */
    uint64_t       put, removed;
} watch_t;

static void begin_line(const char *what)
{
    char when[26];

    jd_time_print(rcd_clock_wall(), when);
    printf("%.8s %-9s ", when + 11, what);
}

/* Tells the topic's new state when it is another than before. */
static void tell(watch_t *w, topic_t topic, const char *value)
{
    if (strncmp(w->value[topic], value, VALUE_MAX - 1) == 0) {
        return;
    }
    snprintf(w->value[topic], VALUE_MAX, "%s", value);
    if (w->r->json) {
        cJSON *j = cJSON_CreateObject();

        cJSON_AddNumberToObject(j, "at", (double) rcd_clock_wall());
        cJSON_AddStringToObject(j, "what", topics[topic]);
        cJSON_AddStringToObject(j, "state", w->value[topic]);
        rcctl_json(j);
        return;
    }
    begin_line(topics[topic]);
    rcctl_text(stdout, w->value[topic]);
    putchar('\n');
}

/* "state" or "state: fault" of an object of status.json. */
static void tell_part(watch_t *w, topic_t topic, const cJSON *part)
{
    const char *state = rcd_json_string(part, "state"), *fault = rcd_json_string(part, "fault");
    char value[VALUE_MAX];

    snprintf(value, sizeof(value), "%s%s%s", state ? state : "unknown",
             fault && fault[0] ? ": " : "", fault ? fault : "");
    tell(w, topic, value);
}

static void tell_contact(watch_t *w, const cJSON *contact)
{
    const cJSON *age = cJSON_GetObjectItemCaseSensitive(contact, "age_sec");
    const char *fault = rcd_json_string(contact, "fault"), *state = "none yet";
    char value[VALUE_MAX];

    if (cJSON_IsNumber(age)) {
        state = age->valuedouble <= 60                  ? "fresh"
                : age->valuedouble <= 3600              ? "older than a minute"
                : age->valuedouble <= JD_MAX_STALE_SEC  ? "older than an hour"
                                                        : "stale everywhere";
    }
    snprintf(value, sizeof(value), "%s%s%s", state, fault && fault[0] ? ": " : "",
             fault ? fault : "");
    tell(w, W_CONTACT, value);
}

static void look_at_daemon(watch_t *w)
{
    char err[512];
    int64_t age = 0;
    cJSON *status = rcctl_daemon_status(w->r, &age, err, sizeof(err));
    const cJSON *lanes, *marks;

    if (status == NULL || age > RCCTL_ALIVE_SEC) {
        tell(w, W_DAEMON, "not running");
        cJSON_Delete(status);
        return;
    }
    lanes = cJSON_GetObjectItemCaseSensitive(status, "lanes");
    marks = cJSON_GetObjectItemCaseSensitive(status, "marks");
    tell(w, W_DAEMON, cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(status, "standby"))
                          ? "standing by" : "running");
    tell_contact(w, cJSON_GetObjectItemCaseSensitive(status, "contact"));
    tell_part(w, W_RELIEF, cJSON_GetObjectItemCaseSensitive(lanes, "relief"));
    tell_part(w, W_CHANGES, cJSON_GetObjectItemCaseSensitive(lanes, "changes"));
    tell_part(w, W_SNAPSHOT, cJSON_GetObjectItemCaseSensitive(status, "snapshot"));
    tell(w, W_FORK, cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(marks, "forked"))
                        ? "yes: waits for rcctl approve --epoch" : "no");
    tell_part(w, W_LINK, cJSON_GetObjectItemCaseSensitive(status, "redis"));
    cJSON_Delete(status);
}

/* Where the stream ends now: what comes later is counted. */
static int find_end(watch_t *w, const char *stream, char *err, size_t err_size)
{
    redisReply *reply = rcctl_redis_reply(
        w->redis, redisCommand(w->redis, "XREVRANGE %s + - COUNT 1", stream), err, err_size);

    if (reply == NULL) {
        return -1;
    }
    snprintf(w->last_id, sizeof(w->last_id), "0-0");
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 1 &&
        reply->element[0]->elements == 2) {
        snprintf(w->last_id, sizeof(w->last_id), "%s", reply->element[0]->element[0]->str);
    }
    freeReplyObject(reply);
    return 0;
}

/* [id, [name, value, ...]] */
static void count_entry(watch_t *w, const redisReply *entry)
{
    const redisReply *fields = entry->element[1];

    snprintf(w->last_id, sizeof(w->last_id), "%s", entry->element[0]->str);
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        if (strcmp(fields->element[i]->str, "r") == 0) {
            w->put += fields->element[i + 1]->len > 0;
            w->removed += fields->element[i + 1]->len == 0;
        }
    }
}

/* One batch of the stream. The number of entries, or -1. */
static int read_batch(watch_t *w, const char *stream, char *err, size_t err_size)
{
    redisReply *reply = rcctl_redis_reply(w->redis,
                                          redisCommand(w->redis, "XREAD COUNT " BATCH
                                                       " STREAMS %s %s", stream, w->last_id),
                                          err, err_size);
    const redisReply *entries;
    int n = 0;

    if (reply == NULL) {
        return -1;
    }
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 1 &&
        reply->element[0]->elements == 2) {
        entries = reply->element[0]->element[1];
        for (size_t i = 0; i < entries->elements; i++) {
            count_entry(w, entries->element[i]);
        }
        n = (int) entries->elements;
    }
    freeReplyObject(reply);
    return n;
}

static void tell_counts(watch_t *w)
{
    if (w->put + w->removed == 0) {
        return;
    }
    if (w->r->json) {
        cJSON *j = cJSON_CreateObject();

        cJSON_AddNumberToObject(j, "at", (double) rcd_clock_wall());
        cJSON_AddStringToObject(j, "what", "stream");
        cJSON_AddNumberToObject(j, "put", (double) w->put);
        cJSON_AddNumberToObject(j, "removed", (double) w->removed);
        cJSON_AddStringToObject(j, "last_id", w->last_id);
        rcctl_json(j);
    } else {
        begin_line("stream");
        printf("%" PRIu64 " put, %" PRIu64 " removed, up to %s\n", w->put, w->removed, w->last_id);
    }
    w->put = w->removed = 0;
}

/* 0, or -1 with one line when Redis does not answer. */
static int look_at_list(watch_t *w, char *err, size_t err_size)
{
    char stream[JD_REDIS_NAME_MAX], value[VALUE_MAX];
    jd_meta_t m;
    int rc;

    if (w->redis == NULL) {
        w->redis = rcctl_redis_open(w->r->config, err, err_size);
        if (w->redis == NULL) {
            return -1;
        }
    }
    rc = rcctl_redis_meta(w->redis, w->r->config->list, &m, err, err_size);
    if (rc < 0) {
        return -1;
    }
    snprintf(value, sizeof(value), "%s", err);
    if (rc == JD_META_OK) {
        snprintf(value, sizeof(value), "era %" PRIu64 " under key %s, epoch %u", m.era, m.key_id,
                 m.epoch);
    }
    tell(w, W_LIST, value);

    jd_redis_changes(stream, w->r->config->list);
    if (w->last_id[0] == '\0') {
        return find_end(w, stream, err, err_size);
    }
    rc = 1;
    for (int i = 0; i < BATCHES_MAX && rc > 0; i++) {
        rc = read_batch(w, stream, err, err_size);
    }
    tell_counts(w);
    return rc < 0 ? -1 : 0;
}

int rcctl_watch(rcctl_t *r, int argc, char **argv)
{
    watch_t w = {.r = r};
    char err[VALUE_MAX] = "";

    if (rcctl_options(r, argc, argv, NULL, 0) < 0 || rcctl_config(r) != 0) {
        return RCCTL_USAGE;
    }
    rcctl_catch_signals();
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (!rcctl_interrupted()) {
        look_at_daemon(&w);
        if (look_at_list(&w, err, sizeof(err)) != 0) {
            tell(&w, W_LIST, err);
            redisFree(w.redis);
            w.redis = NULL;
            w.last_id[0] = '\0';
        }
        if (ferror(stdout)) {
            break;
        }
        usleep(LOOK_US);
    }
    redisFree(w.redis);
    return RCCTL_OK;
}
