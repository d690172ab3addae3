/*
 * rcd_ledger_collect - from Redis into the journal.
 *
 *   IDLE ──▶ MEMBERS ──▶ KEY ──▶ ... ──▶ KEY ──▶ TRIM ──▶ IDLE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/jd_redis.h"
#include "rcd_ledger_collect.h"
#include "rcd_ledger_rows.h"
#include "rcd_store.h"

#define SLICE         "512"        /* HSCAN and SSCAN: about so many fields a step */
#define KEYS_MAX      65536        /* of one round */
#define ROWS_MAX      (1 << 20)    /* of one period; a gate has fewer cells */
#define AHEAD_SEC     (2 * 3600)   /* a gate's clock may run ahead */
#define DAY_SEC       86400
#define LOST_SEC      (45 * DAY_SEC)    /* over for so long and never closed: its gate is gone */
#define DONE_SEC      (45 * DAY_SEC)    /* so long may a gate be away and still learn of it */
#define TRIM_SEC      DAY_SEC

typedef enum { C_IDLE, C_MEMBERS, C_KEY, C_TRIM } phase_t;

struct rcd_ledger_collect_s {
    const char       *list;
    rcd_state_t      *s;
    phase_t           phase;
    char              set[JD_REDIS_NAME_MAX], done[JD_REDIS_NAME_MAX], meta[JD_REDIS_NAME_MAX];
    char              cursor[24];
    char            **keys;            /* of this round */
    size_t            n_keys, size_keys, at;
    rcd_ledger_key_t  key;             /* keys[at], */
    int               has_closed;      /* and its ".closed" */
    int64_t           cells, sum;
    uint64_t          refused, disagree;
    int64_t           trimmed_at;
    rcd_ledger_collect_status_t status;
};

rcd_ledger_collect_t *rcd_ledger_collect_create(const char *list, rcd_state_t *s)
{
    rcd_ledger_collect_t *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        return NULL;
    }
    c->list = list;
    c->s = s;
    c->status.refused_why = "";
    jd_redis_meta(c->meta, list);
    jd_redis_ledger_set(c->set, list);
    jd_redis_ledger_done(c->done, list);
    return c;
}

static void keys_clear(rcd_ledger_collect_t *c)
{
    for (size_t i = 0; i < c->n_keys; i++) {
        free(c->keys[i]);
    }
    c->n_keys = 0;
}

void rcd_ledger_collect_destroy(rcd_ledger_collect_t *c)
{
    if (c == NULL) {
        return;
    }
    keys_clear(c);
    free(c->keys);
    free(c);
}

static void refuse(rcd_ledger_collect_t *c, const char *why)
{
    c->refused++;
    c->status.refused_why = why;
}

static void go(rcd_ledger_collect_t *c, phase_t phase)
{
    c->phase = phase;
    snprintf(c->cursor, sizeof(c->cursor), "0");
}

/* One slice of a SCAN reply [cursor, [item...]]: the items, or NULL when it is none. */
static const redisReply *slice(rcd_ledger_collect_t *c, const redisReply *r)
{
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 ||
        r->element[0]->type != REDIS_REPLY_STRING || r->element[0]->len >= sizeof(c->cursor) ||
        r->element[1]->type != REDIS_REPLY_ARRAY) {
        return NULL;
    }
    memcpy(c->cursor, r->element[0]->str, r->element[0]->len + 1);
    return r->element[1];
}

static redisReply *scan(rcd_ledger_collect_t *c, rcd_link_t *link, const char *command,
                        const char *key)
{
    const char *argv[] = {command, key, c->cursor, "COUNT", SLICE};
    const size_t len[] = {strlen(command), strlen(key), strlen(c->cursor), 5, strlen(SLICE)};

    return rcd_link_call(link, 5, argv, len);
}

/* ---- the keys of a round --------------------------------------------------------------------- */

static int key_add(rcd_ledger_collect_t *c, const char *text)
{
    size_t size = c->size_keys == 0 ? 64 : c->size_keys * 2;
    char **grown = c->keys, *copy = strdup(text);

    if (c->n_keys == c->size_keys && copy != NULL) {
        grown = realloc(c->keys, size * sizeof(*grown));
        if (grown != NULL) {
            c->keys = grown;
            c->size_keys = size;
        }
    }
    if (copy == NULL || grown == NULL) {
        free(copy);
        return -1;
    }
    c->keys[c->n_keys++] = copy;
    return 0;
}

static int do_members(rcd_ledger_collect_t *c, rcd_link_t *link)
{
    redisReply *r = scan(c, link, "SSCAN", c->set);
    const redisReply *items;
    rcd_ledger_key_t key;
    int rc = 0;

    if (r == NULL && link->rc == RCD_LINK_TYPE) {
        refuse(c, "the set of ledger keys is of another type");
        go(c, C_TRIM);
        return 1;
    }
    items = r == NULL ? NULL : slice(c, r);
    for (size_t i = 0; items != NULL && i < items->elements && rc == 0; i++) {
        const redisReply *item = items->element[i];

        if (item->type != REDIS_REPLY_STRING ||
            rcd_ledger_key_parse(&key, c->list, item->str, item->len) != 0) {
            refuse(c, "a member of the ledger's set is no ledger key");
        } else if (c->n_keys == KEYS_MAX) {
            refuse(c, "too many ledger keys");
        } else {
            rc = key_add(c, item->str);
        }
    }
    freeReplyObject(r);
    if (items == NULL || rc != 0) {
        return -1;
    }
    if (strcmp(c->cursor, "0") == 0) {
        c->at = 0;
        go(c, C_KEY);
    }
    return 1;
}

/* ---- one key --------------------------------------------------------------------------------- */

static void take_closed(rcd_ledger_collect_t *c, const redisReply *value)
{
    if (rcd_ledger_closed_parse(value->str, value->len, &c->cells, &c->sum) != 0) {
        refuse(c, "a period's \".closed\" is not two numbers");
    } else {
        c->has_closed = 1;
    }
}

/* Takes one field and its value. 1 the journal has changed, 0 not, -1 it failed. */
static int take_field(rcd_ledger_collect_t *c, const redisReply *name, const redisReply *value,
                      int64_t *rows)
{
    rcd_ledger_field_t field;
    int64_t total;
    int rc;

    if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING) {
        refuse(c, "a field is not text");
        return 0;
    }
    if (strcmp(name->str, RCD_LEDGER_CLOSED) == 0) {
        take_closed(c, value);
        return 0;
    }
    if (rcd_ledger_field_parse(&field, c->key.kind, name->str, name->len) != 0) {
        refuse(c, "a field is not of its form");
        return 0;
    }
    if (rcd_ledger_total_parse(value->str, value->len, &total) != 0) {
        refuse(c, "a total is not a number below 2^48");
        return 0;
    }
    if (*rows >= ROWS_MAX) {
        refuse(c, "a period has too many fields");
        return 0;
    }
    rc = rcd_ledger_max(c->s, &c->key, &field, total);
    *rows += rc > 0;
    return rc;
}

/* A slice of the key into the journal, in one transaction. Not fsynced: until the period is closed
 * the gate says all of it again. */
static int take_slice(rcd_ledger_collect_t *c, const redisReply *items)
{
    rcd_ledger_period_t period;
    int rc;

    if (rcd_store_begin(c->s, 0) < 0) {
        return -1;
    }
    rc = rcd_ledger_period(c->s, &c->key, &period);
    if (rc == 0) {
        rc = rcd_ledger_period_put(c->s, &c->key);
    } else if (rc == -2) {
        refuse(c, "a run is named by two gateways");
        items = NULL;
        c->has_closed = 0;
        rc = 0;
    }
    for (size_t i = 0; items != NULL && i + 1 < items->elements && rc >= 0; i += 2) {
        rc = take_field(c, items->element[i], items->element[i + 1], &period.rows);
    }
    if (rc < 0 || rcd_store_commit(c->s) < 0) {
        rcd_store_rollback(c->s);
        return -1;
    }
    return 0;
}

/* Tells the gate that the period is done, so that it frees its cells: in one script with the end of
 * the key. */
static int tell_done(rcd_ledger_collect_t *c, rcd_link_t *link, const char *writer, int64_t now,
                     int lost)
{
    char field[RCD_RUN_LEN + RCD_PERIOD_MAX + 2], at[24], closed[48] = "";
    redisReply *r;
    rcd_args_t a;

    snprintf(field, sizeof(field), "%s:%s", c->key.run, c->key.period);
    snprintf(at, sizeof(at), "%lld", (long long) now);
    if (!lost) {
        snprintf(closed, sizeof(closed), "%lld %lld", (long long) c->cells, (long long) c->sum);
    }
    rcd_args_begin(&a);
    rcd_args_key(&a, c->meta);
    rcd_args_key(&a, c->keys[c->at]);
    rcd_args_key(&a, c->set);
    rcd_args_key(&a, c->done);
    rcd_args_text(&a, writer);
    rcd_args_text(&a, lost ? "" : field);
    rcd_args_text(&a, at);
    rcd_args_text(&a, closed);
    r = rcd_link_script(link, RCD_SCRIPT_LEDGER_DONE, &a);
    if (r == NULL) {
        return -1;
    }
    c->status.done += !lost && r->type == REDIS_REPLY_INTEGER && r->integer == 1;
    freeReplyObject(r);
    return 0;
}

/* The whole key has been read: is it closed, has the office all of it? */
static int key_judge(rcd_ledger_collect_t *c, rcd_link_t *link, const char *writer, int64_t now)
{
    rcd_ledger_period_t period;
    int rc, sent;

    rc = rcd_ledger_period(c->s, &c->key, &period);
    if (rc != 1) {
        return rc == 0 || rc == -2 ? 0 : -1;
    }
    if (!period.closed && c->has_closed) {
        if (period.rows != c->cells || period.sum != c->sum) {
            c->disagree++;
        } else if (rcd_store_begin(c->s, 1) < 0 || rcd_ledger_period_close(c->s, &c->key) < 0 ||
                   rcd_store_commit(c->s) < 0) {
            rcd_store_rollback(c->s);
            return -1;
        } else {
            period.closed = 1;
        }
    }
    sent = rcd_ledger_period_sent(c->s, &c->key);
    if (sent < 0) {
        return -1;
    }
    if (sent && period.closed && c->has_closed) {
        return tell_done(c, link, writer, now, 0);
    }
    /* Its gate is gone for good: all that it said is with the office. "Done" is not said, so that,
     * should it come back after all, it says everything again. */
    return sent && now - c->key.until > LOST_SEC ? tell_done(c, link, writer, now, 1) : 0;
}

static int do_key(rcd_ledger_collect_t *c, rcd_link_t *link, const char *writer, int64_t now,
                  int64_t retain_from)
{
    const redisReply *items;
    redisReply *r;
    int rc;

    if (c->at == c->n_keys) {
        go(c, C_TRIM);
        return 1;
    }
    if (strcmp(c->cursor, "0") == 0) {
        c->has_closed = 0;
        rcd_ledger_key_parse(&c->key, c->list, c->keys[c->at], strlen(c->keys[c->at]));
        if (c->key.from > now + AHEAD_SEC || c->key.until < retain_from) {
            refuse(c, c->key.from > now ? "a period is still to come"
                                        : "a period is older than what is kept");
            c->at++;
            return 1;
        }
    }
    r = scan(c, link, "HSCAN", c->keys[c->at]);
    if (r == NULL && link->rc == RCD_LINK_TYPE) {
        refuse(c, "a ledger key is of another type");
        c->at++;
        snprintf(c->cursor, sizeof(c->cursor), "0");
        return 1;
    }
    items = r == NULL ? NULL : slice(c, r);
    rc = items == NULL ? -1 : items->elements == 0 ? 0 : take_slice(c, items);
    freeReplyObject(r);
    if (rc == 0 && strcmp(c->cursor, "0") == 0) {
        rc = key_judge(c, link, writer, now);
        c->at++;
    }
    return rc < 0 ? -1 : 1;
}

/* ---- what was told as done long ago ---------------------------------------------------------- */

static int done_old(const redisReply *value, int64_t now)
{
    int64_t at;

    return value->type == REDIS_REPLY_STRING &&
           (rcd_ledger_total_parse(value->str, value->len, &at) != 0 || at < now - DONE_SEC);
}

static int do_trim(rcd_ledger_collect_t *c, rcd_link_t *link, int64_t now)
{
    const redisReply *items;
    redisReply *r, *gone;
    int rc = 0;

    if (now - c->trimmed_at < TRIM_SEC) {
        return 0;
    }
    r = scan(c, link, "HSCAN", c->done);
    if (r == NULL && link->rc == RCD_LINK_TYPE) {
        refuse(c, "what is done is kept under a key of another type");
        return 0;
    }
    items = r == NULL ? NULL : slice(c, r);
    for (size_t i = 0; items != NULL && i + 1 < items->elements && rc == 0; i += 2) {
        const redisReply *name = items->element[i];

        if (name->type == REDIS_REPLY_STRING && done_old(items->element[i + 1], now)) {
            const char *argv[] = {"HDEL", c->done, name->str};
            const size_t len[] = {4, strlen(c->done), name->len};

            gone = rcd_link_call(link, 3, argv, len);
            rc = gone == NULL ? -1 : 0;
            freeReplyObject(gone);
        }
    }
    rc = items == NULL ? -1 : rc;
    freeReplyObject(r);
    if (rc == 0 && strcmp(c->cursor, "0") == 0) {
        c->trimmed_at = now;
        return 0;
    }
    return rc < 0 ? -1 : 1;
}

/* ---- a step ---------------------------------------------------------------------------------- */

int rcd_ledger_collect_step(rcd_ledger_collect_t *c, rcd_link_t *link, const char *writer,
                            int64_t now, int64_t retain_from)
{
    int rc = 1;

    switch (c->phase) {
    case C_IDLE:
        keys_clear(c);
        c->refused = c->disagree = 0;
        go(c, C_MEMBERS);
        break;
    case C_MEMBERS:
        rc = do_members(c, link);
        break;
    case C_KEY:
        rc = do_key(c, link, writer, now, retain_from);
        break;
    case C_TRIM:
        rc = do_trim(c, link, now);
        break;
    }
    if (rc == 0) {
        c->status.rounds++;
        c->status.keys = c->n_keys;
        c->status.refused = c->refused;
        c->status.disagree = c->disagree;
        if (c->refused == 0) {
            c->status.refused_why = "";
        }
    }
    if (rc <= 0) {
        c->phase = C_IDLE;
    }
    return rc;
}

void rcd_ledger_collect_status(const rcd_ledger_collect_t *c, rcd_ledger_collect_status_t *out)
{
    *out = c->status;
}
