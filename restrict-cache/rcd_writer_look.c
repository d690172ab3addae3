/*
 * rcd_writer_look - what is in Redis before we write: types, settings, meta, and who writes it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_writer.h"

/* a writer whose beat stands still for so long may be superseded */
#define WRITER_DEAD_MS   5000

/* ---- looking at what is there ---------------------------------------------------------------- */

int rcd_writer_type(rcd_redis_t *r, const char *key, const char *want)
{
    redisReply *reply = rcd_link_command(&r->link, "TYPE %s", key);
    int ok;

    if (reply == NULL) {
        return -1;
    }
    ok = reply->type == REDIS_REPLY_STATUS &&
         (strcmp(reply->str, want) == 0 || strcmp(reply->str, "none") == 0);
    if (!ok) {
        snprintf(r->link.fault, sizeof(r->link.fault), "key %s is a %.10s of somebody else, not "
                 "our %s; name the list otherwise, or DEL that key", key,
                 reply->type == REDIS_REPLY_STATUS ? reply->str : "?", want);
        r->link.rc = RCD_LINK_TYPE;
    }
    freeReplyObject(reply);
    return ok ? 0 : -1;
}

static int check_types(rcd_redis_t *r)
{
    const char *const keys[][2] = {
        {r->fill.meta, "hash"},      {r->relief, "hash"}, {r->stays, "hash"},
        {r->fill.grounds, "hash"},   {r->gates, "hash"},  {r->fill.changes, "stream"},
        {r->lifts, "stream"},
    };

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (rcd_writer_type(r, keys[i][0], keys[i][1]) < 0) {
            return -1;
        }
    }
    return 0;
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

void rcd_writer_settings(rcd_redis_t *r)
{
    char value[32], aof[32];

    read_setting(r, "hash-max-listpack-value", value, sizeof(value));
    read_setting(r, "appendonly", aof, sizeof(aof));
    r->warning[0] = '\0';
    if (value[0] == '\0' || aof[0] == '\0') {
        snprintf(r->warning, sizeof(r->warning), "settings unknown (CONFIG GET not permitted)");
    } else if (atol(value) < 1024) {
        snprintf(r->warning, sizeof(r->warning), "hash-max-listpack-value is %.10s; set 1024",
                 value);
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

/* ---- becoming the writer --------------------------------------------------------------------- */

/* 1 when the writer named in meta may be superseded now: there is none, it is us, it was this
 * journal's last process, or its beat stands still. */
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
        r->watched_ms = rcd_writer_now_ms();
    }
    return rcd_writer_now_ms() - r->watched_ms >= WRITER_DEAD_MS;
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
        rcd_writer_failed(r);
        return;
    }
    if (reply->integer == 1) {
        r->claimed_once = 1;
        r->watched_ms = 0;
        rcd_writer_go(r, W_RELIEF);
    } else {
        rcd_writer_go(r, W_STANDBY);
    }
    freeReplyObject(reply);
}

void rcd_writer_check(rcd_redis_t *r)
{
    char text[160];

    if (r->phase == W_CHECK && check_types(r) < 0) {
        rcd_writer_failed(r);
        return;
    }
    if (look(r) < 0) {
        rcd_writer_failed(r);
        return;
    }
    if (r->seen.rc == JD_META_SCHEMA && r->seen.m.schema > JD_SCHEMA) {
        snprintf(r->link.fault, sizeof(r->link.fault), "key %.60s has schema %u of a newer "
                 "restrict-cached; run that one, or DEL the key", r->fill.meta, r->seen.m.schema);
        r->link.rc = RCD_LINK_TYPE;
        rcd_writer_failed(r);
        return;
    }
    if (may_claim(r)) {
        claim(r);
        return;
    }
    rcd_writer_go(r, W_STANDBY);
    snprintf(text, sizeof(text), "standing by: instance %.8s writes this list", r->seen.writer);
    rcd_writer_say(r, text);
    r->retry_at_ms = rcd_writer_now_ms() + RCD_WRITER_LOOK_MS;
}
