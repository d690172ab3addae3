/*
 * rcd_writer_relief - relief from the journal to Redis, and relief that the journal could not take.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_log.h"
#include "rcd_writer.h"

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

int rcd_writer_relief_batch(rcd_redis_t *r, char *cursor, int pending_only)
{
    static const size_t number_size = JD_ORDER_NUMBER_MAX + 1;
    char numbers[RCD_WRITER_RELIEF_BATCH][JD_ORDER_NUMBER_MAX + 1],
    text[RCD_WRITER_RELIEF_BATCH][JD_RELIEF_TEXT_MAX];
    jd_relief_t relief;
    rcd_args_t a;
    int n = 0, rc = 0;

    begin_relief(r, &a);
    for (; n < RCD_WRITER_RELIEF_BATCH; n++) {
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
        rcd_writer_journal_failed(r);
        return -1;
    }
    if (n == 0) {
        return 0;
    }
    if (send_relief(r, &a) < 0) {
        rcd_writer_failed(r);
        return -1;
    }
    rc = rcd_store_begin(r->s, 0);
    for (int i = 0; i < n && rc == 0; i++) {
        rc = rcd_store_relief_sent(r->s, numbers[i]);
    }
    if (rc < 0 || rcd_store_commit(r->s) < 0) {
        rcd_store_rollback(r->s);
        rcd_writer_journal_failed(r);
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
        char text[JD_RELIEF_TEXT_MAX];
        rcd_args_t a;

        if (u->sent) {
            continue;
        }
        begin_relief(r, &a);
        jd_relief_print(&u->relief, text);
        rcd_args_text(&a, u->number);
        rcd_args_add(&a, text, JD_RELIEF_LEN);
        if (send_relief(r, &a) < 0) {
            rcd_writer_failed(r);
            return -1;
        }
        u->sent = 1;
    }
    return 0;
}

int rcd_writer_new_relief(rcd_redis_t *r)
{
    char from[JD_ORDER_NUMBER_MAX + 1] = "";
    int n;

    if (urgent_relief(r) < 0) {
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
    u->sent = 0;
}
