/*
 * ts_office_claims.c - what the office says and signs: heads, snapshot statements, event tokens.
 */
#include <stdlib.h>
#include <string.h>

#include "ts_office.h"

#define HEAD_VALID_SEC   600
#define HOUR_SEC         3600
#define EVENT            "https://ngx-jd.example/event/"

/* Signing faults of one endpoint. */
static unsigned twists(ts_office_t *o, ts_endpoint_t at)
{
    return (ts_fault(o->faults, TS_F_BAD_SIGNATURE, at) ? TS_TWIST_SIGNATURE : 0)
           | (ts_fault(o->faults, TS_F_UNKNOWN_KID, at) ? TS_TWIST_KID : 0);
}

static ts_key_t key_for(ts_office_t *o, ts_endpoint_t at)
{
    return at == TS_AT_RELIEF || ts_fault(o->faults, TS_F_RELIEF_KEY, at) ? TS_KEY_RELIEF
                                                                          : TS_KEY_OFFICE;
}

static char *sign(ts_office_t *o, ts_endpoint_t at, const char *typ, cJSON *payload)
{
    char *jws = ts_jws(&o->signer, key_for(o, at), typ, payload, twists(o, at));

    cJSON_Delete(payload);
    return jws;
}

/* Counts the faults that shaped a head or a snapshot's statement; those of tokens are counted by
 * the poll. */
static void count_faults(ts_office_t *o, ts_endpoint_t at)
{
    static const ts_fault_kind_t of_statements[] = {
        TS_F_BAD_SIGNATURE, TS_F_UNKNOWN_KID, TS_F_RELIEF_KEY, TS_F_OLD_SEQ,    TS_F_STALE_HEAD,
        TS_F_EXPIRED,       TS_F_FUTURE_IAT,  TS_F_WRONG_HASH, TS_F_WRONG_COUNT,
        TS_F_WRONG_BATCH
    };

    for (unsigned i = 0; i < sizeof of_statements / sizeof of_statements[0]; i++)
        ts_fault_used(o->faults, of_statements[i], at);
}

/* ---- heads and snapshots --------------------------------------------------------------------- */

typedef struct {
    int64_t  iat;
    int64_t  exp;
    unsigned epoch;
    uint64_t seq[TS_LANES];
} stand_t;

static uint64_t less(uint64_t seq, const ts_fault_t *old)
{
    uint64_t n = old->arg[0] ? strtoull(old->arg, NULL, 10) : 1;

    return seq > n ? seq - n : 0;
}

/* Faults of time and seq, for head and snapshot alike. */
static void falsify(ts_office_t *o, ts_endpoint_t at, stand_t *s)
{
    const ts_fault_t *fault;
    int64_t valid = s->exp - s->iat;

    if ((fault = ts_fault(o->faults, TS_F_OLD_SEQ, at)) != NULL) {
        s->seq[TS_CHANGES] = less(s->seq[TS_CHANGES], fault);
        s->seq[TS_RELIEF] = less(s->seq[TS_RELIEF], fault);
    }
    if (ts_fault(o->faults, TS_F_EXPIRED, at)) {
        s->iat -= 2 * HOUR_SEC;
        s->exp = s->iat + HOUR_SEC;
    }
    if (ts_fault(o->faults, TS_F_FUTURE_IAT, at)) {
        s->iat += HOUR_SEC;
        s->exp = s->iat + valid;
    }
}

static cJSON *claims(const ts_office_t *o, const stand_t *s)
{
    cJSON *payload = cJSON_CreateObject();

    cJSON_AddStringToObject(payload, "iss", o->party.iss);
    cJSON_AddStringToObject(payload, "aud", o->party.aud);
    cJSON_AddNumberToObject(payload, "iat", (double) s->iat);
    cJSON_AddNumberToObject(payload, "exp", (double) s->exp);
    cJSON_AddStringToObject(payload, "list", o->party.list);
    cJSON_AddNumberToObject(payload, "epoch", s->epoch);
    cJSON_AddNumberToObject(payload, "seq", (double) s->seq[TS_CHANGES]);
    cJSON_AddNumberToObject(payload, "relief_seq", (double) s->seq[TS_RELIEF]);
    return payload;
}

char *ts_head_jws(ts_office_t *o, const ts_fault_t *as_of)
{
    int64_t now = ts_now();
    stand_t s = { .iat = now,
                  .epoch = ts_store_epoch(o->store),
                  .seq = { ts_store_seq(o->store, TS_CHANGES),
                           ts_store_seq(o->store, TS_RELIEF) } };
    char *jws;

    if (!as_of)
        as_of = ts_fault(o->faults, TS_F_STALE_HEAD, TS_AT_HEAD);
    if (as_of) {
        s.iat = as_of->since;
        s.epoch = as_of->epoch;
        memcpy(s.seq, as_of->seq, sizeof s.seq);
    }
    s.exp = now + HEAD_VALID_SEC;
    falsify(o, TS_AT_HEAD, &s);
    jws = sign(o, TS_AT_HEAD, "jd-head+jwt", claims(o, &s));
    count_faults(o, TS_AT_HEAD);
    return jws;
}

char *ts_snapshot_jws(ts_office_t *o, const ts_snapshot_t *snapshot, const char *href, int faulty)
{
    int64_t now = ts_now();
    stand_t s = { .iat = now, .exp = now + TS_SNAPSHOT_VALID_SEC, .epoch = snapshot->epoch,
                  .seq = { snapshot->seq, snapshot->relief_seq } };
    cJSON *payload, *records;
    char sha256[sizeof snapshot->sha256], *jws;
    uint64_t count = snapshot->count;

    strcpy(sha256, snapshot->sha256);
    if (faulty) {
        falsify(o, TS_AT_SNAPSHOT, &s);
        if (ts_fault(o->faults, TS_F_WRONG_HASH, TS_AT_SNAPSHOT))
            sha256[0] = sha256[0] == '0' ? '1' : '0';
        count += ts_fault(o->faults, TS_F_WRONG_COUNT, TS_AT_SNAPSHOT) != NULL;
    }
    payload = claims(o, &s);
    records = cJSON_AddObjectToObject(payload, "records");
    cJSON_AddStringToObject(records, "href", href);
    cJSON_AddStringToObject(records, "sha256", sha256);
    cJSON_AddNumberToObject(records, "count", (double) count);
    cJSON_AddNumberToObject(records, "bytes", (double) snapshot->bytes);
    if (faulty) {
        jws = sign(o, TS_AT_SNAPSHOT, "jd-snapshot+jwt", payload);
        count_faults(o, TS_AT_SNAPSHOT);
        return jws;
    }
    jws = ts_jws(&o->signer, TS_KEY_OFFICE, "jd-snapshot+jwt", payload, 0);
    cJSON_Delete(payload);
    return jws;
}

/* ---- receipts -------------------------------------------------------------------------------- */

char *ts_receipt_jws(ts_office_t *o, const ts_batch_t *batch)
{
    cJSON *payload = cJSON_CreateObject(), *checkpoint;
    char hash[sizeof batch->hash], name[sizeof batch->name + 1], *jws;

    strcpy(hash, batch->hash);
    strcpy(name, batch->name);
    if (ts_fault(o->faults, TS_F_WRONG_HASH, TS_AT_LEDGER))
        hash[0] = hash[0] == '0' ? '1' : '0';
    if (ts_fault(o->faults, TS_F_WRONG_BATCH, TS_AT_LEDGER))
        strcat(name, "0");
    cJSON_AddStringToObject(payload, "iss", o->party.iss);
    cJSON_AddStringToObject(payload, "aud", o->party.aud);
    cJSON_AddNumberToObject(payload, "iat", (double) ts_now());
    cJSON_AddStringToObject(payload, "batch", name);
    cJSON_AddStringToObject(payload, "hash", hash);
    if (batch->checkpoint_n > 0) {
        checkpoint = cJSON_AddObjectToObject(payload, "checkpoint");
        cJSON_AddNumberToObject(checkpoint, "n", (double) batch->checkpoint_n);
        cJSON_AddStringToObject(checkpoint, "hash", batch->checkpoint_hash);
    }
    jws = sign(o, TS_AT_LEDGER, "jd-receipt+jwt", payload);
    count_faults(o, TS_AT_LEDGER);
    return jws;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

/* Body of the event: {"seq","order",...}. */
static cJSON *event_body(const ts_event_t *ev, const char *number, int malformed)
{
    cJSON *body = cJSON_CreateObject();

    if (malformed)
        cJSON_AddStringToObject(body, "seq", "next");
    else
        cJSON_AddNumberToObject(body, "seq", (double) ev->seq);
    if (ev->kind == TS_EV_LIFT || ev->kind == TS_EV_MARK)
        cJSON_AddStringToObject(body, "order", number);
    else
        cJSON_AddRawToObject(body, "order", ev->rest);
    if (ev->kind == TS_EV_MARK)
        cJSON_AddRawToObject(body, "objection", ev->rest);
    if (ev->kind == TS_EV_LIFT && strcmp(ev->rest, "null") != 0)
        cJSON_AddRawToObject(body, "measures", ev->rest);
    return body;
}

static cJSON *token(const ts_office_t *o, const ts_event_t *ev, cJSON *body)
{
    const char *name = ev->kind == TS_EV_LIFT   ? EVENT "lift"
                       : ev->kind == TS_EV_MARK ? EVENT "mark"
                                                : EVENT "order";
    cJSON *payload = cJSON_CreateObject(), *events;

    cJSON_AddStringToObject(payload, "iss", o->party.iss);
    cJSON_AddStringToObject(payload, "aud", o->party.aud);
    cJSON_AddNumberToObject(payload, "iat", (double) ev->at);
    cJSON_AddNumberToObject(payload, "toe", (double) ev->at);
    cJSON_AddStringToObject(payload, "jti", ev->jti);
    cJSON_AddNumberToObject(payload, "epoch", ev->epoch);
    events = cJSON_AddObjectToObject(payload, "events");
    cJSON_AddItemToObject(events, name, body);
    return payload;
}

char *ts_token_jws(ts_office_t *o, ts_lane_t lane, uint64_t seq, ts_token_kind_t kind,
                   char jti[TS_JTI_SIZE])
{
    ts_endpoint_t at = lane == TS_RELIEF ? TS_AT_RELIEF : TS_AT_CHANGES;
    const ts_fault_t *fork = kind == TS_TOKEN_FORKED ? ts_fault(o->faults, TS_F_FORK, at) : NULL;
    int malformed = ts_fault(o->faults, TS_F_MALFORMED, at) != NULL;
    const char *number;
    ts_event_t ev;
    char *line, *jws;

    if (ts_store_event(o->store, lane, seq, &ev, &line) != 0)
        return NULL;
    number = ev.number;
    snprintf(jti, TS_JTI_SIZE, "%s%s", ev.jti, fork ? "-fork" : "");
    ev.jti = jti;
    if (fork && fork->arg[0] && lane == TS_RELIEF) {
        number = fork->arg;
        ev.kind = TS_EV_LIFT;
        ev.rest = "null";
    }
    jws = sign(o, at, "secevent+jwt", token(o, &ev, event_body(&ev, number, malformed)));
    free(line);
    return jws;
}
