/*
 * rcd_redis - the writer to Redis: a state machine that claims the list, writes relief, then
 * records, then freshness.
 *
 *   DOWN ──open──▶ CHECK ──claimed──▶ RELIEF ──all written──▶ (judge) ──▶ FILL ──switch──▶ READY
 *                    │  ▲                                        │  └──▶ READY
 *                    ▼  │ beat stands still 5 s                  └──▶ BEHIND ──journal caught up──▶
 *                    (judge)
 *                  STANDBY
 *
 * Stays and relief go out in RELIEF, all of them. In READY what Redis holds of either and the journal
 * does not know is taken into it, slice by slice.
 *
 * Any fault of the link goes to DOWN, "not what we wrote" and "fenced" to CHECK. New relief is
 * written first in every state that follows the claim.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "rcd_brake.h"
#include "rcd_log.h"
#include "rcd_record.h"
#include "rcd_slice.h"
#include "rcd_stay.h"
#include "rcd_writer.h"

#define BACKOFF_MS       100
#define BACKOFF_CAP_MS   5000
#define BEAT_MS          1000

int64_t rcd_writer_now_ms(void)
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

/* ---- transitions ----------------------------------------------------------------------------- */

void rcd_writer_say(rcd_redis_t *r, const char *text)
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

void rcd_writer_go(rcd_redis_t *r, phase_t phase)
{
    r->phase = phase;
    r->filling = 0;
    r->adopt = (adopt_t){.cursor = "0"};
    if (phase == W_RELIEF) {
        r->cursor[0] = '\0';
        r->stay_cursor.any = r->stays_done = 0;
        for (unsigned i = 0; i < r->n_urgent; i++) {
            r->urgent[i].sent = 0;
        }
    }
}

void rcd_writer_failed(rcd_redis_t *r)
{
    rcd_link_rc_t rc = r->link.rc;

    rcd_writer_say(r, r->link.fault);
    switch (rc) {
    case RCD_LINK_FENCED:
    case RCD_LINK_CHANGED:
        r->s->written.refill |= rc == RCD_LINK_CHANGED;
        rcd_writer_go(r, W_CHECK);
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
    r->retry_at_ms = rcd_writer_now_ms() + jd_backoff_next(&r->backoff, random_word());
    rcd_writer_go(r, W_DOWN);
}

void rcd_writer_journal_failed(rcd_redis_t *r)
{
    rcd_writer_say(r, r->s->fault);
    r->retry_at_ms = rcd_writer_now_ms() + RCD_WRITER_LOOK_MS;
}

void rcd_writer_number(char out[24], uint64_t v)
{
    snprintf(out, 24, "%llu", (unsigned long long) v);
}

rcd_link_t *rcd_writer_link(rcd_redis_t *r)
{
    return r->phase == W_READY && r->link.c != NULL ? &r->link : NULL;
}

static void do_connect(rcd_redis_t *r)
{
    if (rcd_link_open(&r->link) != RCD_LINK_OK) {
        rcd_writer_failed(r);
        return;
    }
    rcd_writer_settings(r);
    rcd_writer_go(r, W_CHECK);
}

/* ---- is it ours ------------------------------------------------------------------------------ */

/* Redis has been told more than this journal knows: it is another's, or was restored from a
 * backup. */
static int redis_is_ahead(const rcd_redis_t *r)
{
    const rcd_marks_t *m = &r->s->marks;
    const jd_meta_t *seen = &r->seen.m;

    return r->seen.rc == JD_META_OK &&
           (jd_relief_mark(seen->epoch, seen->relief_seq) > jd_relief_mark(m->epoch,
                                                                           m->relief_seq) ||
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
        rcd_writer_say(r, "Redis knows more than this journal (restored from a backup?): waiting for "
                       "the office; if that counts anew, it must begin a new epoch");
        rcd_writer_go(r, W_BEHIND);
        if (want_refill(r) < 0) {
            rcd_writer_journal_failed(r);
            rcd_writer_go(r, W_CHECK);
        }
        return;
    }
    if (why != NULL) {
        rcd_log(RCD_LOG_NOTICE, "Redis %s: filling a new era: %s", r->link.address, why);
        rcd_writer_go(r, W_FILL);
        return;
    }
    r->era = (rcd_era_t){.era = r->seen.m.era, .bits = r->seen.m.bits,
                         .last_id = r->seen.m.last_id, .count = r->seen.m.count};
    snprintf(r->sweep, sizeof(r->sweep), "0");
    rcd_writer_go(r, W_READY);
}

/* ---- ready ----------------------------------------------------------------------------------- */

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
        if (rcd_writer_type(r, bucket, "hash") < 0) {
            return;
        }
    }
}

int rcd_writer_expand(rcd_redis_t *r)
{
    return rcd_reach_expand(r->s, rcd_slice_now() + RCD_FILL_NS / 2);
}

/* One pipeline of the outbox. Milliseconds until there may be more. */
static int do_ready(rcd_redis_t *r)
{
    int journal = 0, n, more, behind;

    if (!rcd_store_under(r->s, r->rules)) {
        rcd_writer_say(r, "the digest key or the normalisers have changed: waiting for a snapshot");
        return RCD_WRITER_LOOK_MS;
    }
    if (r->s->written.refill) {
        rcd_writer_go(r, W_CHECK);
        return 0;
    }
    behind = rcd_writer_expand(r);
    n = behind < 0 ? -1 : rcd_fill_some(&r->fill, RCD_FILL_DIRTY, &r->era, &journal);
    if (behind < 0 || (n < 0 && journal)) {
        rcd_writer_journal_failed(r);
        return RCD_WRITER_LOOK_MS;
    }
    if (n < 0) {
        if (r->link.rc == RCD_LINK_TYPE) {
            name_bucket(r);
        }
        rcd_writer_failed(r);
        return 0;
    }
    jd_backoff_reset(&r->backoff);
    rcd_writer_say(r, "");
    more = n == 0 && r->sweep[0] != '\0' ? rcd_writer_sweep(r) : 0;
    return n > 0 || more > 0 || behind > 0 ? 0 : RCD_WRITER_LOOK_MS;
}

/* Beat and office clock each second; in READY, and only here, also what vouches for relief:
 * everything up to the marks is in Redis now. */
static void beat(rcd_redis_t *r, int64_t now, int64_t office_now)
{
    const rcd_marks_t *m = &r->s->marks;
    char num[6][24], brakes[RCD_BRAKE_TEXT_MAX];
    uint8_t dirty[JD_DIGEST_LEN];
    redisReply *reply;
    rcd_args_t a;

    if (rcd_writer_now_ms() - r->beat_at_ms < BEAT_MS &&
        (r->phase != W_READY || (r->published == r->s->contact && r->published_relief ==
                               jd_relief_mark(m->epoch, m->relief_seq)))) {
        return;
    }
    rcd_args_begin(&a);
    rcd_args_key(&a, r->fill.meta);
    rcd_args_text(&a, r->fill.writer);
    rcd_writer_number(num[0], (uint64_t) now);
    rcd_writer_number(num[1], (uint64_t) office_now);
    rcd_args_text(&a, "beat");
    rcd_args_text(&a, num[0]);
    rcd_args_text(&a, "office_at");
    rcd_args_text(&a, num[1]);
    rcd_brake_text(r->s, brakes);
    if (brakes[0] != '\0') {
        rcd_args_text(&a, "brakes");
        rcd_args_text(&a, brakes);
    }
    if (r->phase == W_READY) {
        rcd_writer_number(num[2], m->epoch);
        rcd_writer_number(num[3], m->relief_seq);
        rcd_args_text(&a, "epoch");
        rcd_args_text(&a, num[2]);
        rcd_args_text(&a, "relief_seq");
        rcd_args_text(&a, num[3]);
        if (r->s->contact > 0) {
            rcd_writer_number(num[4], (uint64_t) r->s->contact);
            rcd_args_text(&a, "verified_at");
            rcd_args_text(&a, num[4]);
        }
        if (rcd_store_dirty_next(r->s, NULL, dirty) == 0 && !rcd_reach_behind(r->s)) {
            rcd_writer_number(num[5], m->seq);
            rcd_args_text(&a, "seq");
            rcd_args_text(&a, num[5]);
        }
    }
    reply = rcd_link_script(&r->link, RCD_SCRIPT_META, &a);
    if (reply == NULL) {
        rcd_writer_failed(r);
        return;
    }
    freeReplyObject(reply);
    r->beat_at_ms = rcd_writer_now_ms();
    r->last_ok = now;
    if (r->phase == W_READY) {
        r->published = r->s->contact;
        r->published_relief = jd_relief_mark(m->epoch, m->relief_seq);
    }
}

/* One batch of all stays, then of all relief; behind the last the era is judged. */
static void write_all_relief(rcd_redis_t *r)
{
    int n;

    if (!r->stays_done) {
        n = rcd_writer_stay_batch(r, &r->stay_cursor, 0);
        r->stays_done = n == 0;
        return;
    }
    n = rcd_writer_relief_batch(r, r->cursor, 0);
    if (n == 0) {
        judge(r);
    }
}

/* Until new relief can be written, or it is clear that it cannot: connects without regard to the
 * pause, and claims. */
static int come_up(rcd_redis_t *r)
{
    if (r->phase == W_DOWN) {
        do_connect(r);
    }
    if (r->phase == W_CHECK) {
        rcd_writer_check(r);
    }
    return r->phase >= W_RELIEF;
}

int rcd_redis_urge(rcd_redis_t *r)
{
    /* twice: a connection that was lost is only found so when it is used */
    return (come_up(r) && rcd_writer_new_relief(r) == 0) ||
           (r->phase == W_DOWN && come_up(r) && rcd_writer_new_relief(r) == 0);
}

/* ---- the step -------------------------------------------------------------------------------- */

int rcd_redis_step(rcd_redis_t *r, int64_t now, int64_t office_now)
{
    int64_t wait = r->retry_at_ms - rcd_writer_now_ms();
    int next = 0;

    if (wait > 0 && (r->phase == W_DOWN || r->phase == W_STANDBY)) {
        return (int) wait;
    }
    if (r->phase == W_DOWN) {
        do_connect(r);
        return 0;
    }
    if (r->phase == W_CHECK || r->phase == W_STANDBY) {
        rcd_writer_check(r);
        return r->phase == W_STANDBY ? RCD_WRITER_LOOK_MS : 0;
    }
    if (rcd_writer_new_relief(r) < 0) {
        return RCD_WRITER_LOOK_MS;
    }
    switch (r->phase) {
    case W_RELIEF:
        write_all_relief(r);
        next = 0;
        break;
    case W_BEHIND:
        if (!redis_is_ahead(r)) {
            judge(r);
        }
        next = RCD_WRITER_LOOK_MS;
        break;
    case W_FILL:
        next = rcd_writer_fill(r, now, office_now);
        break;
    case W_READY:
        next = do_ready(r);
        if (r->phase == W_READY && rcd_writer_adopt(r) == 0) {
            rcd_writer_gates(r);
        }
        break;
    default:
        break;
    }
    if (r->phase >= W_RELIEF) {
        beat(r, now, office_now);
    }
    return next;
}

/* ---- create, destroy, status ----------------------------------------------------------------- */

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
    jd_redis_stays(r->stays, r->list);
    jd_redis_lifts(r->lifts, r->list);
    jd_redis_gates(r->gates, r->list);
    sqlite3_randomness(sizeof(id), id);
    for (int i = 0; i < 16; i++) {
        snprintf(r->fill.writer + 2 * i, 3, "%02x", id[i]);
    }
    if (rcd_state_rules(s, conf->rules) < 0) {
        rcd_writer_say(r, s->fault);
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
        [W_DOWN] = "down", [W_CHECK] = "down", [W_STANDBY] = "standby", [W_RELIEF] = "refilling",
        [W_BEHIND] = "refilling", [W_FILL] = "refilling", [W_READY] = "ready",
    };
    int loading = r->phase == W_DOWN && r->link.rc == RCD_LINK_LOADING;
    uint64_t stays;

    memset(out, 0, sizeof(*out));
    snprintf(out->state, sizeof(out->state), "%s", loading ? "loading" : names[r->phase]);
    snprintf(out->fault, sizeof(out->fault), "%s", r->fault[0] != '\0' ? r->fault : r->warning);
    out->era = r->s->written.era;
    out->last_id = r->s->written.last_id;
    out->count = r->s->written.count;
    out->refills = r->refills;
    out->last_ok = r->last_ok;
    rcd_store_pending(r->s, &out->dirty, &out->relief_pending);
    if (rcd_stay_pending(r->s, &stays) == 0) {
        out->relief_pending += stays;
    }
    for (unsigned i = 0; i < r->n_urgent; i++) {
        out->relief_pending += !r->urgent[i].sent;
    }
}
