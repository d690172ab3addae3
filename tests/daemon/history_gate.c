/*
 * history_gate - Redis as an operator handles it, and the gate: ngx_jd_reply.c without nginx.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "core/jd_policy.h"
#include "core/jd_redis.h"
#include "history.h"
#include "rcd_script.h"

#define LIST         "credit"
#define MEASURES     3
#define MAX_STALE    3600
#define SUBJECTS_MAX 16

redisContext *history_redis;

static struct {                        /* what a zone remembers */
    uint64_t mark;
    int64_t  office_offset;
} gate;

/* ---- Redis ----------------------------------------------------------------------------------------- */

void history_redis_do(const char *format, ...)
{
    redisReply *r;
    va_list args;

    va_start(args, format);
    r = redisvCommand(history_redis, format, args);
    va_end(args);
    if (r == NULL || r->type == REDIS_REPLY_ERROR) {
        history_fail(r != NULL ? r->str : history_redis->errstr);
    }
    freeReplyObject(r);
}

/* All keys of one database into the other, which is emptied before. */
void history_redis_copy(int from, int to)
{
    static const char script[] =
        "redis.call('SELECT', ARGV[2]) redis.call('FLUSHDB') redis.call('SELECT', ARGV[1])\n"
        "for _, k in ipairs(redis.call('KEYS', '*')) do\n"
        "  redis.call('COPY', k, k, 'DB', ARGV[2])\n"
        "end\n"
        "redis.call('SELECT', '0')\n";

    history_redis_do("EVAL %s 0 %d %d", script, from, to);
}

/* ---- the gate: ngx_jd_reply.c without nginx -------------------------------------------------------- */

static jd_meta_rc_t read_meta(const redisReply *r, jd_meta_t *m)
{
    const char *val[JD_META_FIELDS], *field;
    size_t len[JD_META_FIELDS];

    if (r->type != REDIS_REPLY_ARRAY || r->elements != JD_META_FIELDS) {
        return JD_META_BAD;
    }
    for (int i = 0; i < JD_META_FIELDS; i++) {
        val[i] = r->element[i]->type == REDIS_REPLY_STRING ? r->element[i]->str : NULL;
        len[i] = val[i] != NULL ? (size_t) r->element[i]->len : 0;
    }
    return jd_meta_parse(m, val, len, &field);
}

static void lift_to(int64_t *word, int64_t value)
{
    *word = value > *word ? value : *word;
}

/* 0, or -1 when the meta is of before what this gate has seen. */
static int read_fresh(const jd_meta_t *m, jd_clocks_t *c)
{
    uint64_t mark = jd_relief_mark(m->epoch, m->relief_seq);

    mutate_seen(&gate.mark);
    if (mark < gate.mark) {
        return -1;
    }
    gate.mark = mark;
    if (m->office_at > 0) {
        lift_to(&gate.office_offset, m->office_at - (history_now - HISTORY_BOOTED_AT));
    }
    c->now = history_now + history_wall_gate;
    c->office_now = gate.office_offset ? gate.office_offset + history_now - HISTORY_BOOTED_AT : 0;
    c->verified_at = m->verified_at;
    c->max_stale = MAX_STALE;
    lift_to(&c->office_now, m->office_at);
    return 0;
}

static int read_relief(const redisReply *r, unsigned n, jd_relief_t *relief)
{
    if (r->type != REDIS_REPLY_ARRAY || r->elements != n) {
        return -1;
    }
    for (unsigned i = 0; i < n; i++) {
        memset(&relief[i], 0, sizeof(relief[i]));
        if (r->element[i]->type == REDIS_REPLY_STRING &&
            jd_relief_parse(&relief[i], r->element[i]->str, (size_t) r->element[i]->len) != 0) {
            return -1;
        }
    }
    return 0;
}

static int read_stays(const redisReply *r, unsigned n, jd_relief_t *relief)
{
    int64_t stay[JD_ORDERS_MAX + 1] = {0};

    if (r->type != REDIS_REPLY_ARRAY || r->elements != (n > 0 ? n + 1 : 0)) {
        return -1;
    }
    for (unsigned i = 0; i < r->elements; i++) {
        if (r->element[i]->type == REDIS_REPLY_STRING &&
            jd_stay_parse(&stay[i], r->element[i]->str, (size_t) r->element[i]->len) != 0) {
            return -1;
        }
        if (i > 0) {
            lift_to(&relief[i - 1].stay, stay[0]);
            lift_to(&relief[i - 1].stay, mutate_holders_stay() ? 0 : stay[i]);
        }
    }
    return 0;
}

static int grounds_good(const redisReply *r, const jd_order_t *o)
{
    jd_grounds_t g;

    return r->type == REDIS_REPLY_STRING &&
           jd_grounds_decode(&history_key, o->grounds, (const uint8_t *) r->str, (size_t) r->len, &g) ==
               JD_RECORD_OK;
}

static void print_all(const char *reason)
{
    for (int i = 0; i < MEASURES; i++) {
        printf("%s%s", i > 0 ? " " : "", reason);
    }
    printf("\n");
}

static void judge(const redisReply *r, const uint8_t digest[JD_DIGEST_LEN])
{
    jd_order_t orders[JD_ORDERS_MAX];
    jd_relief_t relief[JD_ORDERS_MAX];
    uint16_t observed = 0;
    const redisReply *rec;
    jd_clocks_t clocks;
    unsigned n = 0;
    jd_meta_t m;
    int which;

    if (r->type != REDIS_REPLY_ARRAY || r->elements != 5 ||
        read_meta(r->element[0], &m) != JD_META_OK || read_fresh(&m, &clocks) != 0) {
        print_all("unconfirmed");
        return;
    }
    rec = r->element[1];
    if (rec->type == REDIS_REPLY_STRING &&
        jd_record_decode(&history_key, digest, m.era, (const uint8_t *) rec->str, (size_t) rec->len,
                         &observed, orders, &n) != JD_RECORD_OK) {
        print_all("forged");
        return;
    }
    if (read_relief(r->element[2], n, relief) != 0 || read_stays(r->element[4], n, relief) != 0) {
        print_all("garbled");
        return;
    }
    mutate_judge(&clocks, relief, n);
    for (unsigned bit = 0; bit < MEASURES; bit++) {
        jd_reason_t reason = jd_policy_decide(&clocks, bit, orders, relief, n, observed, &which);

        printf("%s%s", bit > 0 ? " " : "", jd_reason_names[reason]);
        if (reason == JD_REASON_LISTED) {
            printf(":%.*s%s", orders[which].number_len, orders[which].number,
                   grounds_good(r->element[3]->element[which], &orders[which]) ? "" : "?");
        }
    }
    printf("\n");
}

void history_digest(const char *subject, uint8_t digest[JD_DIGEST_LEN])
{
    const char *id = strchr(subject, ':');
    int scheme = id != NULL ? jd_scheme_parse(subject, (size_t) (id - subject)) : -1;
    uint8_t norm[JD_SUBJECT_MAX];
    size_t len;

    if (scheme < 0 || jd_subject_normalise((jd_scheme_t) scheme, NULL, (const uint8_t *) id + 1,
                                           strlen(id + 1), norm, &len) != JD_SUBJECT_OK) {
        history_fail(subject);
    }
    jd_digest(&history_key, (jd_scheme_t) scheme, norm, len, digest);
}

void history_ask(char *args)
{
    static char prefix[JD_REDIS_NAME_MAX], meta[JD_REDIS_NAME_MAX], rel[JD_REDIS_NAME_MAX],
        grounds[JD_REDIS_NAME_MAX], stays[JD_REDIS_NAME_MAX];
    uint8_t digest[SUBJECTS_MAX][JD_DIGEST_LEN];
    unsigned n = 0;

    jd_redis_prefix(prefix, LIST);
    jd_redis_meta(meta, LIST);
    jd_redis_relief(rel, LIST);
    jd_redis_grounds(grounds, LIST);
    jd_redis_stays(stays, LIST);
    for (char *s = strtok(args, " "); s != NULL && n < SUBJECTS_MAX; s = strtok(NULL, " "), n++) {
        history_digest(s, digest[n]);
        redisAppendCommand(history_redis, "EVALSHA_RO %s 4 %s %s %s %s %s %b", jd_confirm_sha1, meta, rel,
                           grounds, stays, prefix, digest[n], (size_t) JD_DIGEST_LEN);
    }
    for (unsigned i = 0; i < n; i++) {
        void *reply;

        if (redisGetReply(history_redis, &reply) != REDIS_OK) {
            history_fail(history_redis->errstr);
        }
        judge(reply, digest[i]);
        freeReplyObject(reply);
    }
}

/* nginx was restarted: a new zone. */
void history_gate_new(void)
{
    memset(&gate, 0, sizeof(gate));
}

void history_direct(char *args)
{
    char key[JD_REDIS_NAME_MAX], value[JD_RELIEF_TEXT_MAX + 2];
    char *end = strchr(args, ' ');
    uint8_t digest[JD_DIGEST_LEN];
    jd_relief_t relief = {0};
    size_t len;

    *end++ = '\0';
    relief.objection = end[0] == 'o';
    relief.stay = end[0] == '-' ? JD_STAY_FOREVER : strtoll(end, NULL, 10);
    if (strchr(args, ':') != NULL) {
        history_digest(args, digest);
        jd_redis_stays(key, LIST);
        len = jd_stay_print(relief.stay, value);
        history_redis_do("EVAL %s 1 %s %b %b", rcd_scripts[RCD_SCRIPT_DIRECT], key, digest,
                         (size_t) JD_HOLDER_LEN, value, len);
        return;
    }
    jd_redis_relief(key, LIST);
    len = jd_relief_print(&relief, value);
    if (relief.objection) {
        memcpy(value + len, " h", 2);
        len += 2;
    }
    history_redis_do("EVAL %s 1 %s %s %b", rcd_scripts[RCD_SCRIPT_DIRECT], key, args, value, len);
}
