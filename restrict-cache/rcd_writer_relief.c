/*
 * rcd_writer_relief - relief from the journal to Redis, and relief that the journal could not take.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_clock.h"
#include "rcd_lift.h"
#include "rcd_log.h"
#include "rcd_objection.h"
#include "rcd_stay.h"
#include "rcd_writer.h"

#define LIFT_TEXT_MAX  72              /* three numbers */

/* Numbers on their way to Redis. */
typedef struct {
    char   number[RCD_WRITER_RELIEF_BATCH][JD_ORDER_NUMBER_MAX + 1];
    char   text[RCD_WRITER_RELIEF_BATCH][RCD_RELIEF_TEXT_MAX];
    char   gone[RCD_WRITER_RELIEF_BATCH][RCD_STAY_GONE_MAX + 2];
    char   lift[RCD_WRITER_RELIEF_BATCH][LIFT_TEXT_MAX];
    int    n;
} batch_t;

size_t rcd_writer_relief_print(const rcd_relief_row_t *r, char out[RCD_RELIEF_TEXT_MAX])
{
    jd_relief_t both = r->r;
    size_t len;

    both.objection |= r->held;
    len = jd_relief_print(&both, out);
    if (r->held) {
        memcpy(out + len, " h", 2);
        len += 2;
    }
    return len;
}

static void begin_relief(rcd_redis_t *r, rcd_args_t *a)
{
    rcd_args_begin(a);
    rcd_args_key(a, r->fill.meta);
    rcd_args_key(a, r->relief);
    rcd_args_key(a, r->lifts);
    rcd_args_text(a, r->fill.writer);
}

/* What of this order's relief is over, for the script. 0 or -1. */
static int read_gone(rcd_redis_t *r, const char *number, char out[RCD_STAY_GONE_MAX + 2])
{
    int objection = rcd_objection_gone(r->s, number);
    size_t len = objection > 0 ? 2 : 0;

    memcpy(out, "h ", len);
    return objection < 0 || rcd_stay_gone(r->s, number, NULL, out + len) < 0 ? -1 : 0;
}

/* The times of a lift that Redis has not heard of, "" = none. 0 or -1. */
static int read_lift(rcd_redis_t *r, const char *number, char out[LIFT_TEXT_MAX])
{
    int64_t toe, iat, applied_ms;
    int rc = rcd_lift_unsent(r->s, number, &toe, &iat, &applied_ms);

    out[0] = '\0';
    if (rc > 0) {
        snprintf(out, LIFT_TEXT_MAX, "%lld %lld %lld", (long long) (toe > 0 ? toe : 0),
                 (long long) (iat > 0 ? iat : 0), (long long) applied_ms);
    }
    return rc < 0 ? -1 : 0;
}

/* Reads numbers after `after` into the batch and its script. 0 or -1. */
static int gather(rcd_redis_t *r, const char *after, int pending_only, batch_t *b, rcd_args_t *a)
{
    rcd_relief_row_t relief;
    int rc = 0;

    for (b->n = 0; b->n < RCD_WRITER_RELIEF_BATCH; b->n++) {
        int i = b->n;

        rc = rcd_store_relief_next(r->s, after, pending_only, b->number[i], &relief);
        if (rc <= 0) {
            break;
        }
        if (read_gone(r, b->number[i], b->gone[i]) < 0 ||
            read_lift(r, b->number[i], b->lift[i]) < 0) {
            return -1;
        }
        rcd_args_text(a, b->number[i]);
        rcd_args_add(a, b->text[i], rcd_writer_relief_print(&relief, b->text[i]));
        rcd_args_text(a, b->gone[i]);
        rcd_args_text(a, b->lift[i]);
        after = b->number[i];
    }
    return rc < 0 ? -1 : 0;
}

/* Redis has confirmed the batch; its entries of stream lifts are in `ids`. 0 or -1. */
static int confirm(rcd_redis_t *r, const batch_t *b, const redisReply *ids)
{
    int64_t now_ms = rcd_clock_wall_ms();
    int rc = rcd_store_begin(r->s, 0);
    uint64_t stream;

    for (int i = 0; i < b->n && rc == 0; i++) {
        const redisReply *id = ids->type == REDIS_REPLY_ARRAY && (size_t) i < ids->elements
                                   ? ids->element[i] : NULL;

        rc = rcd_store_relief_sent(r->s, b->number[i]);
        if (rc == 0 && b->lift[i][0] != '\0' && id != NULL && id->type == REDIS_REPLY_STRING &&
            rcd_lift_stream(id->str, id->len, &stream) == 0) {
            rc = rcd_lift_sent(r->s, b->number[i], stream, now_ms);
        }
    }
    if (rc < 0 || rcd_store_commit(r->s) < 0) {
        rcd_store_rollback(r->s);
        return -1;
    }
    return 0;
}

int rcd_writer_relief_batch(rcd_redis_t *r, char *cursor, int pending_only)
{
    redisReply *reply;
    rcd_args_t a;
    batch_t b;
    int rc;

    begin_relief(r, &a);
    if (gather(r, cursor, pending_only, &b, &a) < 0) {
        rcd_writer_journal_failed(r);
        return -1;
    }
    if (b.n == 0) {
        return 0;
    }
    reply = rcd_link_script(&r->link, RCD_SCRIPT_RELIEF, &a);
    if (reply == NULL) {
        rcd_writer_failed(r);
        return -1;
    }
    rc = confirm(r, &b, reply);
    freeReplyObject(reply);
    if (rc < 0) {
        rcd_writer_journal_failed(r);
        return -1;
    }
    memcpy(cursor, b.number[b.n - 1], sizeof(b.number[0]));
    return b.n;
}

/* Relief that the journal could not take. */
static int urgent_relief(rcd_redis_t *r)
{
    for (unsigned i = 0; i < r->n_urgent; i++) {
        urgent_t *u = &r->urgent[i];
        char text[JD_RELIEF_TEXT_MAX];
        redisReply *reply;
        rcd_args_t a;

        if (u->sent) {
            continue;
        }
        begin_relief(r, &a);
        rcd_args_text(&a, u->number);
        rcd_args_add(&a, text, jd_relief_print(&u->relief, text));
        rcd_args_text(&a, "");
        rcd_args_text(&a, "");
        reply = rcd_link_script(&r->link, RCD_SCRIPT_RELIEF, &a);
        if (reply == NULL) {
            rcd_writer_failed(r);
            return -1;
        }
        freeReplyObject(reply);
        u->sent = 1;
    }
    return 0;
}

int rcd_writer_new_relief(rcd_redis_t *r)
{
    char from[JD_ORDER_NUMBER_MAX + 1] = "";
    rcd_stay_cursor_t stays = {.any = 0};
    int n;

    if (urgent_relief(r) < 0) {
        return -1;
    }
    do {
        n = rcd_writer_stay_batch(r, &stays, 1);
    } while (n > 0);
    if (n < 0) {
        return -1;
    }
    do {
        n = rcd_writer_relief_batch(r, from, 1);
    } while (n == RCD_WRITER_RELIEF_BATCH);
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
    u->relief.stay = relief->stay;
    u->sent = 0;
}
