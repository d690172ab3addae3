/*
 * rcd_writer_era - a new era: chosen, filled, made current; keys of other eras removed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/jd_measure.h"
#include "rcd_log.h"
#include "rcd_record.h"
#include "rcd_writer.h"

#define BUCKET_MEAN      64
#define SWEEP_COUNT      500           /* keys of one SCAN */

/* 1 when the journal holds what a new era should: digests under our key, and not the beginning
 * of a first list. */
static int may_fill(rcd_redis_t *r)
{
    const rcd_state_t *s = r->s;

    if (!rcd_store_under(r->s, r->rules)) {
        rcd_writer_say(r, "the digest key or the normalisers have changed: waiting for a snapshot");
        return 0;
    }
    if (s->snapshot_active || (s->live == 0 && !s->epoch_known)) {
        rcd_writer_say(r, "waiting for the first snapshot");
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
    const rcd_links_t *links = rcd_reach_usable(r->s);
    uint64_t era = now > 0 ? (uint64_t) now : 1, top, size;

    if (stream_era(r, &top) < 0) {
        rcd_writer_failed(r);
        return -1;
    }
    era = era > top ? era : top + 1;
    era = era > w->era ? era : w->era + 1;
    if (r->seen.rc == JD_META_OK && era <= r->seen.m.era) {
        era = r->seen.m.era + 1;
    }
    if (rcd_store_begin(r->s, 1) < 0) {
        rcd_writer_journal_failed(r);
        return -1;
    }
    *w = (rcd_written_t){.era = era, .refill = 1, .fills = w->fills + 1};
    if (rcd_store_dirty_clear(r->s) < 0 || rcd_store_save_written(r->s) < 0 ||
        rcd_store_commit(r->s) < 0) {
        rcd_store_rollback(r->s);
        rcd_writer_journal_failed(r);
        return -1;
    }
    size = r->s->live + (links == NULL ? 0 : links->head.n < 2 * r->s->live ? links->head.n
                                                                            : 2 * r->s->live);
    size = size > r->expected ? size : r->expected;
    r->era = (rcd_era_t){.era = era};
    while (r->era.bits < JD_BITS_MAX && (uint64_t) BUCKET_MEAN << r->era.bits < size) {
        r->era.bits++;
    }
    r->filling = 1;
    return 0;
}

/* Makes the filled era current. verified_at is that of a contact of this run, else 0: a journal
 * from a backup must not vouch for anything. */
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
        rcd_writer_number(num[i], value[i]);
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
        rcd_writer_failed(r);
        return;
    }
    freeReplyObject(reply);

    if (rcd_store_begin(r->s, 1) < 0) {
        rcd_writer_journal_failed(r);
        return;
    }
    r->s->written = (rcd_written_t){
        .era = r->era.era, .count = r->era.count, .seq = m->seq,
        .enabled = rcd_enabled(r->rules), .fills = r->s->written.fills,
    };
    if (rcd_store_save_written(r->s) < 0 || rcd_store_commit(r->s) < 0) {
        rcd_store_rollback(r->s);
        rcd_writer_journal_failed(r);
        return;
    }
    r->refills++;
    snprintf(r->sweep, sizeof(r->sweep), "0");
    rcd_log(RCD_LOG_NOTICE, "Redis %s: era %llu filled, %llu digests", r->link.address,
            (unsigned long long) r->era.era, (unsigned long long) r->era.count);
    rcd_writer_go(r, W_READY);
}

/* One pipeline: of live digests, then of cards of their holders, then of what changed meanwhile; the
 * switch follows the last in the same step. */
int rcd_writer_fill(rcd_redis_t *r, int64_t now, int64_t office_now)
{
    rcd_era_t rest;
    int journal = 0, n, behind;

    if (!r->filling && (!may_fill(r) || begin_fill(r, now) < 0)) {
        return r->phase == W_FILL ? RCD_WRITER_LOOK_MS : 0;
    }
    behind = rcd_writer_expand(r);
    n = behind < 0 ? 0 : rcd_fill_some(&r->fill, RCD_FILL_LIVE, &r->era, &journal);
    if (n == 0 && behind >= 0) {
        n = rcd_fill_some(&r->fill, RCD_FILL_LINKED, &r->era, &journal);
    }
    if (n == 0 && behind >= 0) {
        rest = r->era;
        n = rcd_fill_some(&r->fill, RCD_FILL_DIRTY_TO_COME, &rest, &journal);
        r->era.count = rest.count;
    }
    if (n < 0 && !journal) {
        rcd_writer_failed(r);
    } else if (n < 0 || behind < 0) {
        rcd_writer_journal_failed(r);
    } else if (n == 0 && behind == 0) {
        switch_era(r, now, office_now);
    }
    return 0;
}

int rcd_writer_sweep(rcd_redis_t *r)
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
        rcd_writer_failed(r);
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
            rcd_writer_failed(r);
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
