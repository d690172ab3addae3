/*
 * rcd_writer_stay - stays of persons from the journal to Redis; and stays and objections that Redis
 * holds and the journal does not know, from Redis to the journal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_clock.h"
#include "rcd_log.h"
#include "rcd_objection.h"
#include "rcd_stay.h"
#include "rcd_writer.h"

#define STAYS_BATCH      100               /* fields in one script */
#define ADOPT_COUNT      200               /* fields of one HSCAN */
#define ADOPT_MS         1000              /* between two of them, once all was looked at */

static const char found_user[] = "unknown";
static const char found_reason[] = "found in Redis: written there directly, or by a journal before "
                                   "this one";

/* ---- to Redis -------------------------------------------------------------------------------- */

typedef struct {
    uint8_t field[STAYS_BATCH][JD_HOLDER_LEN];
    char    value[STAYS_BATCH][JD_STAY_TEXT_MAX];
    char    gone[STAYS_BATCH][RCD_STAY_GONE_MAX];
    int     n;
} stays_t;

/* Reads fields after *after (NULL: from the start) into the batch and its script. 0 or -1. */
static int gather(rcd_redis_t *r, const uint8_t *after, int pending_only, stays_t *b, rcd_args_t *a)
{
    int64_t until;
    int rc = 0;

    for (b->n = 0; b->n < STAYS_BATCH; b->n++) {
        uint8_t *field = b->field[b->n];

        rc = rcd_stay_next(r->s, pending_only, after, field);
        if (rc <= 0) {
            break;
        }
        if (rcd_stay_of_field(r->s, field, &until) < 0 ||
            rcd_stay_gone(r->s, NULL, field, b->gone[b->n]) < 0) {
            return -1;
        }
        rcd_args_add(a, field, JD_HOLDER_LEN);
        rcd_args_add(a, b->value[b->n], until > 0 ? jd_stay_print(until, b->value[b->n]) : 0);
        rcd_args_text(a, b->gone[b->n]);
        after = field;
    }
    return rc < 0 ? -1 : 0;
}

/* Redis has them. */
static int confirm(rcd_redis_t *r, const stays_t *b)
{
    int rc = rcd_store_begin(r->s, 0);

    for (int i = 0; i < b->n && rc == 0; i++) {
        rc = rcd_stay_sent(r->s, b->field[i]);
    }
    if (rc < 0 || rcd_store_commit(r->s) < 0) {
        rcd_store_rollback(r->s);
        return -1;
    }
    return 0;
}

int rcd_writer_stay_batch(rcd_redis_t *r, rcd_stay_cursor_t *cursor, int pending_only)
{
    redisReply *reply;
    rcd_args_t a;
    stays_t b;

    rcd_args_begin(&a);
    rcd_args_key(&a, r->fill.meta);
    rcd_args_key(&a, r->stays);
    rcd_args_text(&a, r->fill.writer);
    if (gather(r, cursor->any ? cursor->field : NULL, pending_only, &b, &a) < 0) {
        rcd_writer_journal_failed(r);
        return -1;
    }
    if (b.n == 0) {
        return 0;
    }
    reply = rcd_link_script(&r->link, RCD_SCRIPT_STAY, &a);
    if (reply == NULL) {
        rcd_writer_failed(r);
        return -1;
    }
    freeReplyObject(reply);
    if (confirm(r, &b) < 0) {
        rcd_writer_journal_failed(r);
        return -1;
    }
    memcpy(cursor->field, b.field[b.n - 1], JD_HOLDER_LEN);
    cursor->any = 1;
    return b.n;
}

/* ---- from Redis ------------------------------------------------------------------------------ */

static void random_ref(char ref[RCD_STAY_REF_MAX + 1])
{
    uint8_t bytes[8];

    sqlite3_randomness(sizeof(bytes), bytes);
    for (int i = 0; i < 8; i++) {
        snprintf(ref + 2 * i, 3, "%02x", bytes[i]);
    }
}

/* A stay of an order (`number`) or of a person (`field`) that Redis holds. 0, or -1 when the
 * journal failed. */
static int adopt_stay(rcd_redis_t *r, const char *number, const uint8_t *field, int64_t until)
{
    rcd_stay_t stay = {.since = rcd_clock_wall(), .until = until, .found = 1};
    rcd_stay_field_t person;
    int known = rcd_stay_known(r->s, number, field, until);

    if (known != 0) {
        return known < 0 ? -1 : 0;
    }
    random_ref(stay.ref);
    snprintf(stay.user, sizeof(stay.user), "%s", found_user);
    snprintf(stay.reason, sizeof(stay.reason), "%s", found_reason);
    if (field != NULL) {
        memcpy(person.field, field, sizeof(person.field));
        memcpy(person.under, r->s->under, sizeof(person.under));
    } else {
        snprintf(stay.number, sizeof(stay.number), "%s", number);
    }
    if (rcd_store_begin(r->s, 1) < 0) {
        return -1;
    }
    if (rcd_stay_put(r->s, &stay, &person, field != NULL) < 0 || rcd_store_commit(r->s) < 0) {
        rcd_store_rollback(r->s);
        return -1;
    }
    rcd_log(RCD_LOG_WARN, "a stay of %s%s stands in Redis and the journal did not know it: kept",
            field != NULL ? "a person" : "order ", field != NULL ? "" : number);
    return 0;
}

static int adopt_objection(rcd_redis_t *r, const char *number)
{
    char ref[RCD_STAY_REF_MAX + 1];
    rcd_objection_t o = {.user = found_user, .reason = found_reason, .ref = ref,
                         .at = rcd_clock_wall()};
    int known = rcd_objection_known(r->s, number);

    if (known != 0) {
        return known < 0 ? -1 : 0;
    }
    random_ref(ref);
    snprintf(o.number, sizeof(o.number), "%s", number);
    if (rcd_store_begin(r->s, 1) < 0) {
        return -1;
    }
    if (rcd_objection_put(r->s, &o, 1) < 0 || rcd_store_commit(r->s) < 0) {
        rcd_store_rollback(r->s);
        return -1;
    }
    rcd_log(RCD_LOG_WARN, "an objection to order %s stands in Redis and the journal did not know "
                          "it: kept", number);
    return 0;
}

/* 1 when the relief has this one-letter word behind what is always there. */
static int has_word(const redisReply *value, char word)
{
    for (size_t i = JD_RELIEF_LEN; i + 1 < value->len; i++) {
        if (value->str[i] == ' ' && value->str[i + 1] == word &&
            (i + 2 == value->len || value->str[i + 2] == ' ')) {
            return 1;
        }
    }
    return 0;
}

/* One field of hash stays or relief. What is not of its form is somebody else's mistake, and frees:
 * the gate passes on it. */
static int adopt_one(rcd_redis_t *r, int of_order, const redisReply *name, const redisReply *value)
{
    char number[JD_ORDER_NUMBER_MAX + 1];
    jd_relief_t relief;
    int64_t until;

    if (!of_order) {
        return name->len == JD_HOLDER_LEN && jd_stay_parse(&until, value->str, value->len) == 0
                   ? adopt_stay(r, NULL, (const uint8_t *) name->str, until) : 0;
    }
    if (!jd_order_number_ok(name->str, name->len) ||
        jd_relief_parse(&relief, value->str, value->len) != 0) {
        return 0;
    }
    memcpy(number, name->str, name->len);
    number[name->len] = '\0';
    if (relief.stay > 0 && adopt_stay(r, number, NULL, relief.stay) < 0) {
        return -1;
    }
    return has_word(value, 'h') ? adopt_objection(r, number) : 0;
}

/* Moves on behind a slice: the other hash when this one is through; then a pause. */
static void adopt_next(rcd_redis_t *r, const char *cursor)
{
    snprintf(r->adopt.cursor, sizeof(r->adopt.cursor), "%s", cursor);
    if (strcmp(cursor, "0") == 0) {
        r->adopt.rounds += r->adopt.of_order;
        r->adopt.of_order = !r->adopt.of_order;
    }
    r->adopt.due_ms = r->adopt.rounds > 0 ? rcd_writer_now_ms() + ADOPT_MS : 0;
}

int rcd_writer_adopt(rcd_redis_t *r)
{
    redisReply *reply;
    int rc = 0;

    if (rcd_writer_now_ms() < r->adopt.due_ms) {
        return 0;
    }
    reply = rcd_link_command(&r->link, "HSCAN %s %s COUNT %d",
                             r->adopt.of_order ? r->relief : r->stays, r->adopt.cursor, ADOPT_COUNT);
    if (reply == NULL) {
        rcd_writer_failed(r);
        return -1;
    }
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2) {
        const redisReply *pairs = reply->element[1];

        for (size_t i = 0; i + 1 < pairs->elements && rc == 0; i += 2) {
            rc = adopt_one(r, r->adopt.of_order, pairs->element[i], pairs->element[i + 1]);
        }
        if (rc == 0) {
            adopt_next(r, reply->element[0]->str);
        }
    }
    freeReplyObject(reply);
    if (rc < 0) {
        rcd_writer_journal_failed(r);
    }
    return rc;
}
