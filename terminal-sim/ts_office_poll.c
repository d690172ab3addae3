/*
 * ts_office_poll.c - one poll of a lane (RFC 8936): what it acknowledges, what it is answered.
 */
#include <stdlib.h>
#include <string.h>

#include "ts_office.h"

#define EVENTS_MAX  1000                        /* of one answer, whatever the receiver asks for */

static ts_endpoint_t endpoint(ts_lane_t lane)
{
    return lane == TS_RELIEF ? TS_AT_RELIEF : TS_AT_CHANGES;
}

/* ---- what a poll says ------------------------------------------------------------------------ */

static void take_errors(ts_office_t *o, ts_lane_t lane, const cJSON *errors)
{
    const cJSON *error;
    char *text;

    cJSON_ArrayForEach(error, errors) {
        text = cJSON_PrintUnformatted(error);
        if (text)
            ts_store_err(o->store, lane, ts_now(), error->string, text);
        cJSON_free(text);
    }
}

const char *ts_poll_read(ts_poll_t *p, ts_office_t *o, ts_lane_t lane, const char *body, size_t len)
{
    cJSON *json = cJSON_ParseWithLength(body, len);
    const cJSON *ack = cJSON_GetObjectItemCaseSensitive(json, "ack"), *jti;
    const cJSON *errors = cJSON_GetObjectItemCaseSensitive(json, "setErrs");
    const cJSON *max = cJSON_GetObjectItemCaseSensitive(json, "maxEvents");
    const char *wrong = NULL;

    if (!cJSON_IsObject(json))
        wrong = "the body is not a JSON object";
    else if ((ack && !cJSON_IsArray(ack)) || (errors && !cJSON_IsObject(errors))
             || (max && !cJSON_IsNumber(max)))
        wrong = "ack must be an array, setErrs an object, maxEvents a number";
    if (!wrong) {
        cJSON_ArrayForEach(jti, ack) {
            if (cJSON_IsString(jti))
                ts_store_ack(o->store, lane, ts_now(), jti->valuestring);
        }
        take_errors(o, lane, errors);
        p->max_events = max && max->valuedouble >= 0 && max->valuedouble < EVENTS_MAX
                            ? (unsigned) max->valuedouble
                            : EVENTS_MAX;
        p->return_immediately =
            cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "returnImmediately"));
    }
    cJSON_Delete(json);
    return wrong;
}

/* ---- what it is answered --------------------------------------------------------------------- */

/* First waiting seq that is to be offered, 0 = none. */
static uint64_t first_offered(ts_office_t *o, ts_lane_t lane)
{
    uint64_t first = ts_store_pending(o->store, lane, 1);

    if (first && ts_fault(o->faults, TS_F_GAP, endpoint(lane)))
        first = ts_store_pending(o->store, lane, first + 1);
    return first;
}

static int replays(ts_office_t *o, ts_lane_t lane)
{
    return (ts_fault(o->faults, TS_F_OLD_SEQ, endpoint(lane))
            || ts_fault(o->faults, TS_F_FORK, endpoint(lane)))
           && ts_store_last(o->store, lane, TS_ACKED) > 0;
}

int ts_poll_ready(ts_office_t *o, ts_lane_t lane)
{
    if (ts_fault(o->faults, TS_F_EMPTY, endpoint(lane)))
        return 0;
    return first_offered(o, lane) > 0 || replays(o, lane);
}

static int add_token(ts_office_t *o, ts_lane_t lane, uint64_t seq, ts_token_kind_t kind,
                     cJSON *sets)
{
    char jti[TS_JTI_SIZE], *jws = ts_token_jws(o, lane, seq, kind, jti);

    if (!jws)
        return -1;
    if (ts_fault(o->faults, TS_F_SHUFFLE, endpoint(lane))) {
        cJSON *item = cJSON_CreateString(jws);

        item->string = strdup(jti);
        cJSON_InsertItemInArray(sets, 0, item);
    } else {
        cJSON_AddStringToObject(sets, jti, jws);
    }
    free(jws);
    return 0;
}

/* Tokens of the past, by old-seq or fork. */
static void add_replays(ts_office_t *o, ts_lane_t lane, cJSON *sets)
{
    const ts_fault_t *old = ts_fault(o->faults, TS_F_OLD_SEQ, endpoint(lane));
    uint64_t seq = ts_store_last(o->store, lane, TS_ACKED), n;

    if (seq == 0)
        return;
    if (ts_fault(o->faults, TS_F_FORK, endpoint(lane))) {
        add_token(o, lane, seq, TS_TOKEN_FORKED, sets);
        ts_fault_used(o->faults, TS_F_FORK, endpoint(lane));
    }
    if (!old)
        return;
    n = old->arg[0] ? strtoull(old->arg, NULL, 10) : 1;
    for (; seq > 0 && n > 0; seq--) {
        if (ts_store_state(o->store, lane, seq) == TS_ACKED) {
            add_token(o, lane, seq, TS_TOKEN_TRUE, sets);
            n--;
        }
    }
    ts_fault_used(o->faults, TS_F_OLD_SEQ, endpoint(lane));
}

/* Faults of tokens count an answer when it brought one. */
static void count_faults(ts_office_t *o, ts_lane_t lane, const cJSON *sets)
{
    static const ts_fault_kind_t of_tokens[] = { TS_F_BAD_SIGNATURE, TS_F_UNKNOWN_KID,
                                                 TS_F_RELIEF_KEY,    TS_F_GAP,
                                                 TS_F_SHUFFLE,       TS_F_MALFORMED };

    if (!sets->child)
        return;
    for (unsigned i = 0; i < sizeof of_tokens / sizeof of_tokens[0]; i++)
        ts_fault_used(o->faults, of_tokens[i], endpoint(lane));
}

/* Fills `sets` with at most `max` tokens. Returns whether more wait. */
static int fill(ts_office_t *o, ts_lane_t lane, unsigned max, cJSON *sets)
{
    uint64_t seq = first_offered(o, lane);
    unsigned n = 0;

    if (ts_fault(o->faults, TS_F_EMPTY, endpoint(lane))) {
        ts_fault_used(o->faults, TS_F_EMPTY, endpoint(lane));
        return 0;
    }
    if (max > 0)
        add_replays(o, lane, sets);
    for (; seq > 0 && n < max; n++) {
        if (add_token(o, lane, seq, TS_TOKEN_TRUE, sets) != 0)
            break;
        seq = ts_store_pending(o->store, lane, seq + 1);
    }
    count_faults(o, lane, sets);
    return seq > 0;
}

char *ts_poll_answer(ts_office_t *o, ts_lane_t lane, const ts_poll_t *p)
{
    const ts_fault_t *empty = ts_fault(o->faults, TS_F_EMPTY, endpoint(lane));
    cJSON *answer = cJSON_CreateObject(), *sets = cJSON_AddObjectToObject(answer, "sets");
    char *head = NULL, *text;

    if (ts_fault(o->faults, TS_F_NO_HEAD, TS_AT_HEAD))
        ts_fault_used(o->faults, TS_F_NO_HEAD, TS_AT_HEAD);
    else
        head = ts_head_jws(o, empty);
    cJSON_AddBoolToObject(answer, "moreAvailable", fill(o, lane, p->max_events, sets));
    if (head)
        cJSON_AddStringToObject(answer, "jd_head", head);
    text = cJSON_PrintUnformatted(answer);
    cJSON_Delete(answer);
    free(head);
    return text;
}
