/*
 * rcd_redis - the writer to Redis: a state machine that claims the list, writes relief, then records, then freshness.
 *
 *   DOWN ──open──▶ CHECK ──claimed──▶ RELIEF ──all written──▶ (judge) ──▶ FILL ──switch──▶ READY
 *                    │  ▲                                        │  └──▶ READY
 *                    ▼  │ beat stands still 5 s                  └──▶ BEHIND ──journal caught up──▶ (judge)
 *                  STANDBY
 *
 * Any fault of the link goes to DOWN, "not what we wrote" and "fenced" to CHECK. New relief is written first in every state that follows the claim.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "core/jd_backoff.h"
#include "core/jd_measure.h"
#include "rcd_fill.h"
#include "rcd_link.h"
#include "rcd_log.h"
#include "rcd_store.h"

#define BACKOFF_MS       100
#define BACKOFF_CAP_MS   5000
#define BEAT_MS          1000
#define WRITER_DEAD_MS   5000          /* a writer whose beat stands still for so long may be superseded */
#define LOOK_MS          250           /* between two looks at another writer's beat, and at the outbox when it was empty */
#define RELIEF_BATCH     200           /* numbers in one script */
#define BUCKET_MEAN      64
#define SWEEP_COUNT      500           /* keys of one SCAN */

typedef enum { DOWN, CHECK, STANDBY, RELIEF, BEHIND, FILL, READY } phase_t;

typedef struct {                       /* relief that the journal could not take; kept until the process ends */
    char        number[JD_ORDER_NUMBER_MAX + 1];
    jd_relief_t relief;
    int         sent;
} urgent_t;

typedef struct {                       /* meta as last read */
    jd_meta_rc_t rc;
    jd_meta_t    m;
    char         writer[33];
    char         journal[33];
    char         beat[24];
} seen_t;

struct rcd_redis_s {
    rcd_state_t       *s;
    const rcd_rules_t *rules;
    char               list[JD_LIST_NAME_MAX + 1];
    uint32_t           expected;
    rcd_link_t         link;
    rcd_fill_t         fill;
    char               relief[JD_REDIS_NAME_MAX];
    phase_t            phase;
    jd_backoff_t       backoff;
    int64_t            retry_at_ms;
    int64_t            beat_at_ms;     /* last beat written */
    seen_t             seen;
    char               watched[33];    /* another writer */
    char               watched_beat[24];
    int64_t            watched_ms;     /* when its beat last moved; 0 = not watching */
    int                claimed_once;
    char               cursor[JD_ORDER_NUMBER_MAX + 1];    /* RELIEF: last number written */
    rcd_era_t          era;            /* current, or to come while FILL */
    int                filling;        /* FILL has begun */
    char               sweep[24];      /* SCAN cursor; "" = nothing to sweep */
    urgent_t          *urgent;
    unsigned           n_urgent, size_urgent;
    char               warning[80];
    char               fault[160];
    int64_t            published;      /* contact that meta tells of, */
    uint64_t           published_relief;   /* and relief mark */
    uint64_t           refills;
    int64_t            last_ok;
};

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static uint32_t random_word(void)
{
    uint32_t r;

    sqlite3_randomness(sizeof(r), &r);
    return r;
}

/* ---- transitions -------------------------------------------------------------------------------- */

static void say(rcd_redis_t *r, const char *text)
{
    if (strcmp(r->fault, text) != 0) {
        if (text[0] != '\0') {
            rcd_log(RCD_LOG_WARN, "Redis %s: %s", r->link.address, text);
        } else {
            rcd_log(RCD_LOG_NOTICE, "Redis %s: in order", r->link.address);
        }
        snprintf(r->fault, sizeof(r->fault), "%s", text);
    }
}

static void go(rcd_redis_t *r, phase_t phase)
{
    r->phase = phase;
    r->filling = 0;
    if (phase == RELIEF) {
        r->cursor[0] = '\0';
        for (unsigned i = 0; i < r->n_urgent; i++) {
            r->urgent[i].sent = 0;
        }
    }
}

/* What a failed call means: reconnect, look again, or try again later with the connection as it is. */
static void failed(rcd_redis_t *r)
{
    rcd_link_rc_t rc = r->link.rc;

    say(r, r->link.fault);
    switch (rc) {
    case RCD_LINK_FENCED:
    case RCD_LINK_CHANGED:
        r->s->written.refill |= rc == RCD_LINK_CHANGED;
        go(r, CHECK);
        return;
    case RCD_LINK_AUTH:
    case RCD_LINK_TYPE:
    case RCD_LINK_READONLY:
        jd_backoff_cap(&r->backoff);
        break;
    default:
        break;
    }
    rcd_link_close(&r->link);
    r->retry_at_ms = now_ms() + jd_backoff_next(&r->backoff, random_word());
    go(r, DOWN);
}

/* The journal cannot be read or written: Redis keeps what it has. */
static void journal_failed(rcd_redis_t *r)
{
    say(r, r->s->fault);
    r->retry_at_ms = now_ms() + LOOK_MS;
}

/* ---- looking at what is there ------------------------------------------------------------------- */

static int check_type(rcd_redis_t *r, const char *key, const char *want)
{
    redisReply *reply = rcd_link_command(&r->link, "TYPE %s", key);
    int ok;

    if (reply == NULL) {
        return -1;
    }
    ok = reply->type == REDIS_REPLY_STATUS &&
         (strcmp(reply->str, want) == 0 || strcmp(reply->str, "none") == 0);
    if (!ok) {
        snprintf(r->link.fault, sizeof(r->link.fault), "key %s is a %.10s of somebody else, not our "
                 "%s; name the list otherwise, or DEL that key", key,
                 reply->type == REDIS_REPLY_STATUS ? reply->str : "?", want);
        r->link.rc = RCD_LINK_TYPE;
    }
    freeReplyObject(reply);
    return ok ? 0 : -1;
}

static int check_types(rcd_redis_t *r)
{
    return check_type(r, r->fill.meta, "hash") < 0 || check_type(r, r->relief, "hash") < 0 ||
                   check_type(r, r->fill.grounds, "hash") < 0 ||
                   check_type(r, r->fill.changes, "stream") < 0 ? -1 : 0;
}

/* Value of a setting, "" when it may not be read. */
static void read_setting(rcd_redis_t *r, const char *name, char *out, size_t size)
{
    redisReply *reply = rcd_link_command(&r->link, "CONFIG GET %s", name);

    out[0] = '\0';
    if (reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2) {
        snprintf(out, size, "%s", reply->element[1]->str);
    }
    if (reply != NULL) {
        freeReplyObject(reply);
    }
}

static void check_settings(rcd_redis_t *r)
{
    char value[32], aof[32];

    read_setting(r, "hash-max-listpack-value", value, sizeof(value));
    read_setting(r, "appendonly", aof, sizeof(aof));
    r->warning[0] = '\0';
    if (value[0] == '\0' || aof[0] == '\0') {
        snprintf(r->warning, sizeof(r->warning), "settings unknown (CONFIG GET not permitted)");
    } else if (atol(value) < 1024) {
        snprintf(r->warning, sizeof(r->warning), "hash-max-listpack-value is %.10s; set 1024", value);
    } else if (strcmp(aof, "yes") != 0) {
        snprintf(r->warning, sizeof(r->warning), "appendonly is %.10s; set yes", aof);
    }
}

/* Reads meta into r->seen. 0 or -1. */
static int look(rcd_redis_t *r)
{
    static const char *const ours[] = {"writer", "journal", "beat"};
    char *const text[] = {r->seen.writer, r->seen.journal, r->seen.beat};
    const size_t size[] = {sizeof(r->seen.writer), sizeof(r->seen.journal), sizeof(r->seen.beat)};
    const char *argv[5 + JD_META_FIELDS] = {"HMGET", r->fill.meta};
    size_t len[5 + JD_META_FIELDS] = {5, strlen(r->fill.meta)};
    const char *val[3 + JD_META_FIELDS], *field;
    size_t val_len[3 + JD_META_FIELDS];
    redisReply *reply;

    for (int i = 0; i < JD_META_FIELDS + 3; i++) {
        argv[2 + i] = i < JD_META_FIELDS ? jd_meta_fields[i] : ours[i - JD_META_FIELDS];
        len[2 + i] = strlen(argv[2 + i]);
    }
    reply = rcd_link_call(&r->link, 5 + JD_META_FIELDS, argv, len);
    if (reply == NULL) {
        return -1;
    }
    memset(&r->seen, 0, sizeof(r->seen));
    r->seen.rc = JD_META_BAD;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == JD_META_FIELDS + 3) {
        for (int i = 0; i < JD_META_FIELDS + 3; i++) {
            const redisReply *v = reply->element[i];
            val[i] = v->type == REDIS_REPLY_STRING ? v->str : NULL;
            val_len[i] = val[i] != NULL ? (size_t) v->len : 0;
        }
        r->seen.rc = jd_meta_parse(&r->seen.m, val, val_len, &field);
        for (int i = 0; i < 3; i++) {
            const char *v = val[JD_META_FIELDS + i];
            snprintf(text[i], size[i], "%s", v != NULL ? v : "");
        }
    }
    freeReplyObject(reply);
    return 0;
}

/* ---- becoming the writer ------------------------------------------------------------------------ */

/* 1 when the writer named in meta may be superseded now: there is none, it is us, it was this journal's last process, or its beat stands still. */
static int may_claim(rcd_redis_t *r)
{
    const seen_t *seen = &r->seen;

    if (seen->writer[0] == '\0' || strcmp(seen->writer, r->fill.writer) == 0 ||
        (!r->claimed_once && strcmp(seen->journal, r->s->marks.journal) == 0)) {
        return 1;
    }
    if (r->watched_ms == 0 || strcmp(r->watched, seen->writer) != 0 ||
        strcmp(r->watched_beat, seen->beat) != 0) {
        memcpy(r->watched, seen->writer, sizeof(r->watched));
        memcpy(r->watched_beat, seen->beat, sizeof(r->watched_beat));
        r->watched_ms = now_ms();
    }
    return now_ms() - r->watched_ms >= WRITER_DEAD_MS;
}

static void claim(rcd_redis_t *r)
{
    redisReply *reply;
    rcd_args_t a;

    rcd_args_begin(&a);
    rcd_args_key(&a, r->fill.meta);
    rcd_args_text(&a, r->fill.writer);
    rcd_args_text(&a, r->seen.writer);
    reply = rcd_link_script(&r->link, RCD_SCRIPT_CLAIM, &a);
    if (reply == NULL) {
        failed(r);
        return;
    }
    if (reply->integer == 1) {
        r->claimed_once = 1;
        r->watched_ms = 0;
        go(r, RELIEF);
    } else {
        go(r, STANDBY);
    }
    freeReplyObject(reply);
}

static void do_check(rcd_redis_t *r)
{
    char text[160];

    if (r->phase == CHECK && check_types(r) < 0) {
        failed(r);
        return;
    }
    if (look(r) < 0) {
        failed(r);
        return;
    }
    if (r->seen.rc == JD_META_SCHEMA && r->seen.m.schema > JD_SCHEMA) {
        snprintf(r->link.fault, sizeof(r->link.fault), "key %.60s has schema %u of a newer "
                 "restrict-cached; run that one, or DEL the key", r->fill.meta, r->seen.m.schema);
        r->link.rc = RCD_LINK_TYPE;
        failed(r);
        return;
    }
    if (may_claim(r)) {
        claim(r);
        return;
    }
    go(r, STANDBY);
    snprintf(text, sizeof(text), "standing by: instance %.8s writes this list", r->seen.writer);
    say(r, text);
    r->retry_at_ms = now_ms() + LOOK_MS;
}

static void do_connect(rcd_redis_t *r)
{
    if (rcd_link_open(&r->link) != RCD_LINK_OK) {
        failed(r);
        return;
    }
    check_settings(r);
    go(r, CHECK);
}

/* ---- relief ------------------------------------------------------------------------------------- */

/* Sends what has been put into `a`. 0 or -1. */
static int send_relief(rcd_redis_t *r, rcd_args_t *a)
{
    redisReply *reply = rcd_link_script(&r->link, RCD_SCRIPT_RELIEF, a);

    if (reply == NULL) {
        return -1;
    }
    freeReplyObject(reply);
    return 0;
}

static void begin_relief(rcd_redis_t *r, rcd_args_t *a)
{
    rcd_args_begin(a);
    rcd_args_key(a, r->fill.meta);
    rcd_args_key(a, r->relief);
    rcd_args_text(a, r->fill.writer);
}

/* Writes up to RELIEF_BATCH numbers after `cursor`, which is moved, and marks them as sent. Returns their number, or -1 with the fault handled. */
static int relief_batch(rcd_redis_t *r, char *cursor, int pending_only)
{
    static const size_t number_size = JD_ORDER_NUMBER_MAX + 1;
    char numbers[RELIEF_BATCH][JD_ORDER_NUMBER_MAX + 1], text[RELIEF_BATCH][JD_RELIEF_LEN];
    jd_relief_t relief;
    rcd_args_t a;
    int n = 0, rc = 0;

    begin_relief(r, &a);
    for (; n < RELIEF_BATCH; n++) {
        rc = rcd_store_relief_next(r->s, n > 0 ? numbers[n - 1] : cursor, pending_only, numbers[n],
                                   &relief);
        if (rc <= 0) {
            break;
        }
        jd_relief_print(&relief, text[n]);
        rcd_args_text(&a, numbers[n]);
        rcd_args_add(&a, text[n], JD_RELIEF_LEN);
    }
    if (rc < 0) {
        journal_failed(r);
        return -1;
    }
    if (n == 0) {
        return 0;
    }
    if (send_relief(r, &a) < 0) {
        failed(r);
        return -1;
    }
    rc = rcd_store_begin(r->s, 0);
    for (int i = 0; i < n && rc == 0; i++) {
        rc = rcd_store_relief_sent(r->s, numbers[i]);
    }
    if (rc < 0 || rcd_store_commit(r->s) < 0) {
        rcd_store_rollback(r->s);
        journal_failed(r);
        return -1;
    }
    memcpy(cursor, numbers[n - 1], number_size);
    return n;
}

/* Relief that the journal could not take. */
static int urgent_relief(rcd_redis_t *r)
{
    for (unsigned i = 0; i < r->n_urgent; i++) {
        urgent_t *u = &r->urgent[i];
        char text[JD_RELIEF_LEN];
        rcd_args_t a;

        if (u->sent) {
            continue;
        }
        begin_relief(r, &a);
        jd_relief_print(&u->relief, text);
        rcd_args_text(&a, u->number);
        rcd_args_add(&a, text, sizeof(text));
        if (send_relief(r, &a) < 0) {
            failed(r);
            return -1;
        }
        u->sent = 1;
    }
    return 0;
}

/* Everything that came since the last step. 0, or -1 with the fault handled. */
static int new_relief(rcd_redis_t *r)
{
    char from[JD_ORDER_NUMBER_MAX + 1] = "";
    int n;

    if (urgent_relief(r) < 0) {
        return -1;
    }
    do {
        n = relief_batch(r, from, 1);
    } while (n == RELIEF_BATCH);
    return n < 0 ? -1 : 0;
}

void rcd_redis_relief_now(rcd_redis_t *r, const char *number, const jd_relief_t *relief)
{
    urgent_t *u = NULL;

    for (unsigned i = 0; i < r->n_urgent && u == NULL; i++) {
        u = strcmp(r->urgent[i].number, number) == 0 ? &r->urgent[i] : NULL;
    }
    if (u == NULL) {
        if (r->n_urgent == r->size_urgent) {
            unsigned size = r->size_urgent ? 2 * r->size_urgent : 64;
            urgent_t *grown = realloc(r->urgent, size * sizeof(*grown));

            if (grown == NULL) {
                rcd_log(RCD_LOG_ERROR, "relief of an order could not be kept: out of memory");
                return;
            }
            r->urgent = grown;
            r->size_urgent = size;
        }
        u = &r->urgent[r->n_urgent++];
        memset(u, 0, sizeof(*u));
        snprintf(u->number, sizeof(u->number), "%s", number);
    }
    u->relief.lifted |= relief->lifted;
    u->relief.objection = relief->objection;
    u->sent = 0;
}

/* ---- is it ours --------------------------------------------------------------------------------- */

/* Redis has been told more than this journal knows: it is another's, or was restored from a backup. */
static int redis_is_ahead(const rcd_redis_t *r)
{
    const rcd_marks_t *m = &r->s->marks;
    const jd_meta_t *seen = &r->seen.m;

    return r->seen.rc == JD_META_OK &&
           (jd_relief_mark(seen->epoch, seen->relief_seq) > jd_relief_mark(m->epoch, m->relief_seq) ||
            (seen->epoch == m->epoch && seen->seq > m->seq));
}

/* Why the era in Redis must be filled anew; NULL when it is what this journal wrote. */
static const char *why_fill(const rcd_redis_t *r)
{
    const rcd_written_t *w = &r->s->written;
    const jd_meta_t *m = &r->seen.m;

    if (r->seen.rc != JD_META_OK) {
        return r->seen.rc == JD_META_EMPTY ? "Redis is empty" : "meta cannot be read";
    }
    if (w->refill) {
        return "a refill was begun";
    }
    if (strcmp(r->seen.journal, r->s->marks.journal) != 0 || m->era != w->era) {
        return "another journal filled it";
    }
    if (m->last_id < w->last_id || (m->last_id == w->last_id && m->count != w->count)) {
        return "Redis has lost changes";
    }
    if (w->enabled != rcd_enabled(r->rules)) {
        return "other measures are enabled";
    }
    return NULL;
}

/* Remembers on disk that the era must be filled anew. 0 or -1. */
static int want_refill(rcd_redis_t *r)
{
    if (rcd_store_begin(r->s, 1) < 0) {
        return -1;
    }
    r->s->written.refill = 1;
    if (rcd_store_save_written(r->s) < 0 || rcd_store_commit(r->s) < 0) {
        rcd_store_rollback(r->s);
        return -1;
    }
    return 0;
}

static void judge(rcd_redis_t *r)
{
    const char *why = why_fill(r);

    if (redis_is_ahead(r)) {
        say(r, "Redis knows more than this journal (restored from a backup?): waiting for the office; "
            "if that counts anew, it must begin a new epoch");
        go(r, BEHIND);
        if (want_refill(r) < 0) {
            journal_failed(r);
            go(r, CHECK);
        }
        return;
    }
    if (why != NULL) {
        rcd_log(RCD_LOG_NOTICE, "Redis %s: filling a new era: %s", r->link.address, why);
        go(r, FILL);
        return;
    }
    r->era = (rcd_era_t){.era = r->seen.m.era, .bits = r->seen.m.bits,
                         .last_id = r->seen.m.last_id, .count = r->seen.m.count};
    snprintf(r->sweep, sizeof(r->sweep), "0");
    go(r, READY);
}

/* ---- filling an era ----------------------------------------------------------------------------- */

/* 1 when the journal holds what a new era should: digests under our key, and not the beginning of a first list. */
static int may_fill(rcd_redis_t *r)
{
    const rcd_state_t *s = r->s;

    if (!rcd_store_under(r->s, r->rules)) {
        say(r, "the digest key or the normalisers have changed: waiting for a snapshot");
        return 0;
    }
    if (s->snapshot_active || (s->live == 0 && !s->epoch_known)) {
        say(r, "waiting for the first snapshot");
        return 0;
    }
    return 1;
}

/* Last era of the stream, so that the switch's id is above it. 0 or -1. */
static int stream_era(rcd_redis_t *r, uint64_t *era)
{
    redisReply *reply;
    rcd_args_t a;

    rcd_args_begin(&a);
    rcd_args_key(&a, r->fill.changes);
    reply = rcd_link_script(&r->link, RCD_SCRIPT_TOP, &a);
    if (reply == NULL) {
        return -1;
    }
    *era = reply->type == REDIS_REPLY_STRING ? strtoull(reply->str, NULL, 10) : 0;
    freeReplyObject(reply);
    return 0;
}

/* Chooses the era and begins it in the journal: whatever was to be written goes with it. */
static int begin_fill(rcd_redis_t *r, int64_t now)
{
    rcd_written_t *w = &r->s->written;
    uint64_t era = now > 0 ? (uint64_t) now : 1, top, size;

    if (stream_era(r, &top) < 0) {
        failed(r);
        return -1;
    }
    era = era > top ? era : top + 1;
    era = era > w->era ? era : w->era + 1;
    if (r->seen.rc == JD_META_OK && era <= r->seen.m.era) {
        era = r->seen.m.era + 1;
    }
    if (rcd_store_begin(r->s, 1) < 0) {
        journal_failed(r);
        return -1;
    }
    *w = (rcd_written_t){.era = era, .refill = 1, .fills = w->fills + 1};
    if (rcd_store_dirty_clear(r->s) < 0 || rcd_store_save_written(r->s) < 0 ||
        rcd_store_commit(r->s) < 0) {
        rcd_store_rollback(r->s);
        journal_failed(r);
        return -1;
    }
    size = r->s->live > r->expected ? r->s->live : r->expected;
    r->era = (rcd_era_t){.era = era};
    while (r->era.bits < JD_BITS_MAX && (uint64_t) BUCKET_MEAN << r->era.bits < size) {
        r->era.bits++;
    }
    r->filling = 1;
    return 0;
}

static void number_text(char out[24], uint64_t v)
{
    snprintf(out, 24, "%llu", (unsigned long long) v);
}

/* Makes the filled era current. verified_at is that of a contact of this run, else 0: a journal from a backup must not vouch for anything. */
static void switch_era(rcd_redis_t *r, int64_t now, int64_t office_now)
{
    const rcd_marks_t *m = &r->s->marks;
    const jd_key_t *k = r->rules->key;
    char num[11][24], norm[256];
    const char *pairs[][2] = {
        {"schema", num[0]},     {"era", num[1]},         {"bits", num[2]},
        {"last_id", "0"},       {"epoch", num[3]},       {"seq", num[4]},
        {"relief_seq", num[5]}, {"count", num[6]},       {"key", k->id},
        {"key_check", k->check}, {"norm", norm},         {"verified_at", num[7]},
        {"office_at", num[8]},  {"beat", num[9]},        {"measures", jd_measure_list()},
        {"journal", m->journal},
    };
    const uint64_t value[] = {
        JD_SCHEMA, r->era.era, r->era.bits, m->epoch, m->seq, m->relief_seq, r->era.count,
        (uint64_t) r->s->contact, (uint64_t) office_now, (uint64_t) now,
    };
    redisReply *reply;
    rcd_args_t a;

    for (size_t i = 0; i < sizeof(value) / sizeof(value[0]); i++) {
        number_text(num[i], value[i]);
    }
    jd_normalisers_print(&r->rules->norm, norm);
    rcd_args_begin(&a);
    rcd_args_key(&a, r->fill.meta);
    rcd_args_key(&a, r->fill.changes);
    rcd_args_text(&a, r->fill.writer);
    rcd_args_text(&a, num[1]);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        rcd_args_text(&a, pairs[i][0]);
        rcd_args_text(&a, pairs[i][1]);
    }
    reply = rcd_link_script(&r->link, RCD_SCRIPT_SWITCH, &a);
    if (reply == NULL) {
        failed(r);
        return;
    }
    freeReplyObject(reply);

    if (rcd_store_begin(r->s, 1) < 0) {
        journal_failed(r);
        return;
    }
    r->s->written = (rcd_written_t){
        .era = r->era.era, .count = r->era.count, .seq = m->seq,
        .enabled = rcd_enabled(r->rules), .fills = r->s->written.fills,
    };
    if (rcd_store_save_written(r->s) < 0 || rcd_store_commit(r->s) < 0) {
        rcd_store_rollback(r->s);
        journal_failed(r);
        return;
    }
    r->refills++;
    snprintf(r->sweep, sizeof(r->sweep), "0");
    rcd_log(RCD_LOG_NOTICE, "Redis %s: era %llu filled, %llu digests", r->link.address,
            (unsigned long long) r->era.era, (unsigned long long) r->era.count);
    go(r, READY);
}

/* One pipeline of live digests, then of what changed meanwhile; the switch follows the last in the same step. */
static int do_fill(rcd_redis_t *r, int64_t now, int64_t office_now)
{
    rcd_era_t rest;
    int journal = 0, n;

    if (!r->filling && (!may_fill(r) || begin_fill(r, now) < 0)) {
        return r->phase == FILL ? LOOK_MS : 0;
    }
    n = rcd_fill_some(&r->fill, RCD_FILL_LIVE, &r->era, &journal);
    if (n == 0) {
        rest = r->era;
        do {
            n = rcd_fill_some(&r->fill, RCD_FILL_DIRTY_TO_COME, &rest, &journal);
        } while (n > 0);
        r->era.count = rest.count;
    }
    if (n < 0) {
        if (journal) {
            journal_failed(r);
        } else {
            failed(r);
        }
        return 0;
    }
    if (n == 0) {
        switch_era(r, now, office_now);
    }
    return 0;
}

/* ---- ready -------------------------------------------------------------------------------------- */

/* Removes keys of other eras, one SCAN at a time. 0, 1 more to do, -1 with the fault handled. */
static int sweep(rcd_redis_t *r)
{
    char pattern[JD_REDIS_NAME_MAX + 8], keep[JD_REDIS_NAME_MAX];
    redisReply *reply, *done;
    size_t keep_len;
    rcd_args_t a;

    snprintf(keep, sizeof(keep), "jd:{%s}:%llu:", r->list, (unsigned long long) r->era.era);
    snprintf(pattern, sizeof(pattern), "jd:{%s}:[0-9]*:[0-9]*", r->list);
    keep_len = strlen(keep);
    reply = rcd_link_command(&r->link, "SCAN %s MATCH %s COUNT %d", r->sweep, pattern, SWEEP_COUNT);
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
        if (reply != NULL) {
            freeReplyObject(reply);
        }
        failed(r);
        return -1;
    }
    snprintf(r->sweep, sizeof(r->sweep), "%s", reply->element[0]->str);
    for (size_t i = 0; i < reply->element[1]->elements;) {
        const redisReply *keys = reply->element[1];

        rcd_args_begin(&a);
        rcd_args_key(&a, r->fill.meta);
        for (; i < keys->elements && a.argc < RCD_LINK_ARGS_MAX - 8; i++) {
            if (strncmp(keys->element[i]->str, keep, keep_len) != 0) {
                rcd_args_key(&a, keys->element[i]->str);
            }
        }
        if (a.keys == 1) {
            continue;
        }
        rcd_args_text(&a, r->fill.writer);
        done = rcd_link_script(&r->link, RCD_SCRIPT_UNLINK, &a);
        if (done == NULL) {
            freeReplyObject(reply);
            failed(r);
            return -1;
        }
        freeReplyObject(done);
    }
    freeReplyObject(reply);
    if (strcmp(r->sweep, "0") == 0) {
        r->sweep[0] = '\0';
        return 0;
    }
    return 1;
}

/* The bucket of another type that stopped a change, named. */
static void name_bucket(rcd_redis_t *r)
{
    char bucket[JD_REDIS_NAME_MAX];
    uint8_t digest[JD_DIGEST_LEN];
    const uint8_t *after = NULL;

    for (int i = 0; i < RCD_FILL_BATCH * RCD_FILL_DEPTH; i++, after = digest) {
        if (rcd_store_dirty_next(r->s, after, digest) <= 0) {
            return;
        }
        jd_redis_bucket(bucket, r->list, r->era.era, jd_redis_bucket_of(digest, r->era.bits));
        if (check_type(r, bucket, "hash") < 0) {
            return;
        }
    }
}

/* One pipeline of the outbox. Milliseconds until there may be more. */
static int do_ready(rcd_redis_t *r)
{
    int journal = 0, n, more;

    if (!rcd_store_under(r->s, r->rules)) {
        say(r, "the digest key or the normalisers have changed: waiting for a snapshot");
        return LOOK_MS;
    }
    if (r->s->written.refill) {
        go(r, CHECK);
        return 0;
    }
    n = rcd_fill_some(&r->fill, RCD_FILL_DIRTY, &r->era, &journal);
    if (n < 0 && journal) {
        journal_failed(r);
        return LOOK_MS;
    }
    if (n < 0) {
        if (r->link.rc == RCD_LINK_TYPE) {
            name_bucket(r);
        }
        failed(r);
        return 0;
    }
    jd_backoff_reset(&r->backoff);
    say(r, "");
    more = n == 0 && r->sweep[0] != '\0' ? sweep(r) : 0;
    return n > 0 || more > 0 ? 0 : LOOK_MS;
}

/* Beat and office clock each second; in READY, and only here, also what vouches for relief: everything up to the marks is in Redis now. */
static void beat(rcd_redis_t *r, int64_t now, int64_t office_now)
{
    const rcd_marks_t *m = &r->s->marks;
    char num[6][24];
    uint8_t dirty[JD_DIGEST_LEN];
    redisReply *reply;
    rcd_args_t a;

    if (now_ms() - r->beat_at_ms < BEAT_MS &&
        (r->phase != READY || (r->published == r->s->contact && r->published_relief ==
                               jd_relief_mark(m->epoch, m->relief_seq)))) {
        return;
    }
    rcd_args_begin(&a);
    rcd_args_key(&a, r->fill.meta);
    rcd_args_text(&a, r->fill.writer);
    number_text(num[0], (uint64_t) now);
    number_text(num[1], (uint64_t) office_now);
    rcd_args_text(&a, "beat");
    rcd_args_text(&a, num[0]);
    rcd_args_text(&a, "office_at");
    rcd_args_text(&a, num[1]);
    if (r->phase == READY) {
        number_text(num[2], m->epoch);
        number_text(num[3], m->relief_seq);
        rcd_args_text(&a, "epoch");
        rcd_args_text(&a, num[2]);
        rcd_args_text(&a, "relief_seq");
        rcd_args_text(&a, num[3]);
        if (r->s->contact > 0) {
            number_text(num[4], (uint64_t) r->s->contact);
            rcd_args_text(&a, "verified_at");
            rcd_args_text(&a, num[4]);
        }
        if (rcd_store_dirty_next(r->s, NULL, dirty) == 0) {
            number_text(num[5], m->seq);
            rcd_args_text(&a, "seq");
            rcd_args_text(&a, num[5]);
        }
    }
    reply = rcd_link_script(&r->link, RCD_SCRIPT_META, &a);
    if (reply == NULL) {
        failed(r);
        return;
    }
    freeReplyObject(reply);
    r->beat_at_ms = now_ms();
    r->last_ok = now;
    if (r->phase == READY) {
        r->published = r->s->contact;
        r->published_relief = jd_relief_mark(m->epoch, m->relief_seq);
    }
}

/* ---- the step ----------------------------------------------------------------------------------- */

int rcd_redis_step(rcd_redis_t *r, int64_t now, int64_t office_now)
{
    int64_t wait = r->retry_at_ms - now_ms();
    int next = 0;

    if (wait > 0 && (r->phase == DOWN || r->phase == STANDBY)) {
        return (int) wait;
    }
    if (r->phase == DOWN) {
        do_connect(r);
        return 0;
    }
    if (r->phase == CHECK || r->phase == STANDBY) {
        do_check(r);
        return r->phase == STANDBY ? LOOK_MS : 0;
    }
    if (new_relief(r) < 0) {
        return LOOK_MS;
    }
    switch (r->phase) {
    case RELIEF:
        next = relief_batch(r, r->cursor, 0);
        if (next == 0) {
            judge(r);
        }
        next = 0;
        break;
    case BEHIND:
        if (!redis_is_ahead(r)) {
            judge(r);
        }
        next = LOOK_MS;
        break;
    case FILL:
        next = do_fill(r, now, office_now);
        break;
    case READY:
        next = do_ready(r);
        break;
    default:
        break;
    }
    if (r->phase >= RELIEF) {
        beat(r, now, office_now);
    }
    return next;
}

/* ---- create, destroy, status -------------------------------------------------------------------- */

rcd_redis_t *rcd_redis_create(const rcd_redis_conf_t *conf, rcd_state_t *s)
{
    rcd_redis_t *r = calloc(1, sizeof(*r));
    uint8_t id[16];

    if (r == NULL) {
        return NULL;
    }
    r->s = s;
    r->rules = conf->rules;
    r->expected = conf->expected;
    r->link = (rcd_link_t){.address = conf->address, .auth_file = conf->auth_file};
    r->backoff = (jd_backoff_t){.base_ms = BACKOFF_MS, .cap_ms = BACKOFF_CAP_MS};
    snprintf(r->list, sizeof(r->list), "%s", conf->list);
    r->fill = (rcd_fill_t){.s = s, .link = &r->link, .rules = conf->rules, .list = r->list};
    jd_redis_meta(r->fill.meta, r->list);
    jd_redis_changes(r->fill.changes, r->list);
    jd_redis_grounds(r->fill.grounds, r->list);
    jd_redis_relief(r->relief, r->list);
    sqlite3_randomness(sizeof(id), id);
    for (int i = 0; i < 16; i++) {
        snprintf(r->fill.writer + 2 * i, 3, "%02x", id[i]);
    }
    if (rcd_state_rules(s, conf->rules) < 0) {
        say(r, s->fault);
    }
    return r;
}

void rcd_redis_destroy(rcd_redis_t *r)
{
    rcd_link_close(&r->link);
    free(r->urgent);
    free(r);
}

void rcd_redis_status(const rcd_redis_t *r, rcd_redis_status_t *out)
{
    static const char *const names[] = {
        [DOWN] = "down", [CHECK] = "down", [STANDBY] = "standby", [RELIEF] = "refilling",
        [BEHIND] = "refilling", [FILL] = "refilling", [READY] = "ready",
    };
    int loading = r->phase == DOWN && r->link.rc == RCD_LINK_LOADING;

    memset(out, 0, sizeof(*out));
    snprintf(out->state, sizeof(out->state), "%s", loading ? "loading" : names[r->phase]);
    snprintf(out->fault, sizeof(out->fault), "%s", r->fault[0] != '\0' ? r->fault : r->warning);
    out->era = r->s->written.era;
    out->last_id = r->s->written.last_id;
    out->count = r->s->written.count;
    out->refills = r->refills;
    out->last_ok = r->last_ok;
    rcd_store_pending(r->s, &out->dirty, &out->relief_pending);
    for (unsigned i = 0; i < r->n_urgent; i++) {
        out->relief_pending += !r->urgent[i].sent;
    }
}
