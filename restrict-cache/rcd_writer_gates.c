/*
 * rcd_writer_gates - how far the gateways have seen the stream of lifts: from Redis to the journal.
 */
#include <stdlib.h>
#include <string.h>
#include "rcd_lift.h"
#include "rcd_writer.h"

#define GATES_MS  500                      /* between two looks */

/* "<lifts id> <unix ms>" */
static int parse_gate(const redisReply *value, uint64_t *stream, int64_t *ms)
{
    const char *space = value->type == REDIS_REPLY_STRING ? memchr(value->str, ' ', value->len)
                                                          : NULL;
    char *end;

    if (space == NULL ||
        rcd_lift_stream(value->str, (size_t) (space - value->str), stream) != 0) {
        return -1;
    }
    *ms = strtoll(space + 1, &end, 10);
    return *ms > 0 && end > space + 1 && *end == '\0' ? 0 : -1;
}

/* A gateway's name as its configuration has it; others' fields are not ours. */
static int name_ok(const redisReply *name)
{
    for (size_t i = 0; i < name->len; i++) {
        if (name->str[i] <= ' ' || name->str[i] > '~') {
            return 0;
        }
    }
    return name->len > 0 && name->len <= RCD_GATEWAY_MAX;
}

static int take_all(rcd_redis_t *r, const redisReply *pairs)
{
    uint64_t stream;
    int64_t ms;

    for (size_t i = 0; i + 1 < pairs->elements; i += 2) {
        const redisReply *name = pairs->element[i];

        if (name_ok(name) && parse_gate(pairs->element[i + 1], &stream, &ms) == 0 &&
            rcd_lift_seen(r->s, name->str, stream, ms) < 0) {
            return -1;
        }
    }
    return 0;
}

int rcd_writer_gates(rcd_redis_t *r)
{
    redisReply *reply;
    int rc;

    if (rcd_writer_now_ms() < r->gates_due_ms) {
        return 0;
    }
    r->gates_due_ms = rcd_writer_now_ms() + GATES_MS;
    reply = rcd_link_command(&r->link, "HGETALL %s", r->gates);
    if (reply == NULL) {
        rcd_writer_failed(r);
        return -1;
    }
    rc = rcd_store_begin(r->s, 0);
    if (rc == 0 && ((reply->type == REDIS_REPLY_ARRAY && take_all(r, reply) < 0) ||
                    rcd_store_commit(r->s) < 0)) {
        rcd_store_rollback(r->s);
        rc = -1;
    }
    freeReplyObject(reply);
    if (rc < 0) {
        rcd_writer_journal_failed(r);
    }
    return rc;
}
