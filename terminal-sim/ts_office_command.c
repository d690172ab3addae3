/*
 * ts_office_command.c - what an office's own staff can ask of it.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "ts_office.h"

#define BLOCK  65536

typedef struct {
    ts_office_t *office;
    const cJSON *request;
    FILE        *in;
    FILE        *out;
    int64_t      now;
    unsigned     line;              /* of `in` */
    char         error[256];
} command_t;

/* ---- answers --------------------------------------------------------------------------------- */

static void say(FILE *out, cJSON *answer)
{
    char *text = cJSON_PrintUnformatted(answer);

    if (text)
        fprintf(out, "%s\n", text);
    cJSON_free(text);
    cJSON_Delete(answer);
}

/* What is wrong, with the line of the input when one was read. Returns -1. */
static int wrong(command_t *c, const char *why)
{
    if (c->line)
        snprintf(c->error, sizeof c->error, "line %u: %s%s", c->line, why,
                 c->line > 1 ? "; the lines before it are published" : "");
    else
        snprintf(c->error, sizeof c->error, "%s", why);
    return -1;
}

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

    return cJSON_IsString(item) ? item->valuestring : NULL;
}

/* ---- events ---------------------------------------------------------------------------------- */

static int append(command_t *c, ts_event_kind_t kind, const char *number, const char *rest,
                  size_t len)
{
    ts_lane_t lane = kind == TS_EV_LIFT || kind == TS_EV_MARK ? TS_RELIEF : TS_CHANGES;
    uint64_t seq = ts_store_append(c->office->store, kind, c->now, number, rest, len);

    if (seq == 0)
        return wrong(c, "the log cannot be written");
    fprintf(c->out, "{\"order\":\"%s\",\"lane\":\"%s\",\"seq\":%llu,\"toe\":%lld}\n", number,
            ts_lane_names[lane], (unsigned long long) seq, (long long) c->now);
    return 0;
}

static int number_ok(const char *number)
{
    return number && strlen(number) <= JD_ORDER_NUMBER_MAX
           && jd_order_number_ok(number, strlen(number));
}

/* `object` may hold "measures": then these, otherwise the whole order. */
static int lift(command_t *c, const char *number, const cJSON *object)
{
    const cJSON *measures = cJSON_GetObjectItemCaseSensitive(object, "measures"), *name;
    char *text;
    int rc;

    if (!number_ok(number))
        return wrong(c, "lift: order number missing or not of its form");
    if (measures && (!cJSON_IsArray(measures) || cJSON_GetArraySize(measures) == 0))
        return wrong(c,
                     "lift: measures must name at least one; leave it out to lift the whole order");
    cJSON_ArrayForEach(name, measures) {
        if (!cJSON_IsString(name)
            || jd_measure_bit(name->valuestring, strlen(name->valuestring)) < 0)
            return wrong(c, "lift: no such measure");
    }
    text = measures ? cJSON_PrintUnformatted(measures) : strdup("null");
    rc = text ? append(c, TS_EV_LIFT, number, text, strlen(text)) : wrong(c, "out of memory");
    free(text);
    return rc;
}

static int mark(command_t *c, const char *number, const cJSON *object)
{
    const cJSON *objection = cJSON_GetObjectItemCaseSensitive(object, "objection");
    const char *rest = cJSON_IsTrue(objection) ? "true" : "false";

    if (!number_ok(number))
        return wrong(c, "mark: order number missing or not of its form");
    if (!cJSON_IsBool(objection))
        return wrong(c, "mark: objection must be true or false");
    return append(c, TS_EV_MARK, number, rest, strlen(rest));
}

/* A record is published as it is written: an office can be wrong, and the receiver must stand it.
 * Only its number is read. */
static int publish_record(command_t *c, const cJSON *record, const char *text, size_t len)
{
    const char *number = text_of(record, "order");
    int amend = strcmp(text_of(c->request, "cmd"), "amend") == 0;
    int baseline = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(c->request, "baseline"));

    if (!number_ok(number))
        return wrong(c, "order number missing or not of its form");
    if (ts_store_knows(c->office->store, number) != amend)
        return wrong(c, amend ? "no such order was published; use publish"
                              : "this number is published already; use amend");
    return append(c, baseline ? TS_EV_BASELINE : TS_EV_ORDER, number, text, len);
}

static int publish_line(command_t *c, const char *text, size_t len)
{
    cJSON *line;
    int rc;

    if (len > TS_LINE_MAX || memchr(text, '\0', len))
        return wrong(c, "longer than 1 MiB, or holds a NUL");
    line = cJSON_ParseWithLength(text, len);
    if (!cJSON_IsObject(line))
        rc = wrong(c, "not a JSON object");
    else if (cJSON_HasObjectItem(line, "lift"))
        rc = lift(c, text_of(line, "lift"), line);
    else if (cJSON_HasObjectItem(line, "mark"))
        rc = mark(c, text_of(line, "mark"), line);
    else
        rc = publish_record(c, line, text, len);
    cJSON_Delete(line);
    return rc;
}

static int do_publish(command_t *c)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    int rc = 0;

    while (rc == 0 && c->in && (len = getline(&line, &size, c->in)) > 0) {
        c->line++;
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            len--;
        if (len > 0 && line[0] != '#')
            rc = publish_line(c, line, (size_t) len);
    }
    free(line);
    return rc;
}

static int do_lift(command_t *c)
{
    return lift(c, text_of(c->request, "order"), c->request);
}

static int do_mark(command_t *c)
{
    return mark(c, text_of(c->request, "order"), c->request);
}

static int do_epoch(command_t *c)
{
    const cJSON *epoch = cJSON_GetObjectItemCaseSensitive(c->request, "epoch");

    if (!cJSON_IsNumber(epoch) || epoch->valuedouble < 0 || epoch->valuedouble > TS_EPOCH_MAX)
        return wrong(c, "epoch must be 0..65535");
    if (ts_store_epoch_set(c->office->store, c->now, (unsigned) epoch->valuedouble) != 0)
        return wrong(c, "the log cannot be written");
    return 0;
}

/* ---- where it stands ------------------------------------------------------------------------- */

static int do_head(command_t *c)
{
    ts_office_t *o = c->office;
    cJSON *answer = cJSON_CreateObject();

    cJSON_AddNumberToObject(answer, "epoch", ts_store_epoch(o->store));
    cJSON_AddNumberToObject(answer, "seq", (double) ts_store_seq(o->store, TS_CHANGES));
    cJSON_AddNumberToObject(answer, "relief_seq", (double) ts_store_seq(o->store, TS_RELIEF));
    cJSON_AddNumberToObject(answer, "orders", (double) ts_store_orders(o->store));
    cJSON_AddNumberToObject(answer, "changes_waiting",
                            (double) ts_store_n_pending(o->store, TS_CHANGES));
    cJSON_AddNumberToObject(answer, "relief_waiting",
                            (double) ts_store_n_pending(o->store, TS_RELIEF));
    say(c->out, answer);
    return 0;
}

static int do_snapshot(command_t *c)
{
    ts_office_t *o = c->office;
    const ts_snapshot_t *s;
    char path[96];
    cJSON *answer;

    ts_snapshots_take(o->snapshots); /* one that is being built is older than this command */
    if (!ts_snapshots_current(o->snapshots, o->store)) {
        if (ts_snapshots_build(o->snapshots, o->store) != 0)
            return wrong(c, "no snapshot can be built");
        ts_snapshots_take(o->snapshots);
    }
    s = ts_snapshots_newest(o->snapshots);
    if (!s || !ts_snapshots_current(o->snapshots, o->store))
        return wrong(c, "no snapshot could be built");
    snprintf(path, sizeof path, "snapshots/%s", s->sha256);
    answer = cJSON_CreateObject();
    cJSON_AddNumberToObject(answer, "epoch", s->epoch);
    cJSON_AddNumberToObject(answer, "seq", (double) s->seq);
    cJSON_AddNumberToObject(answer, "relief_seq", (double) s->relief_seq);
    cJSON_AddNumberToObject(answer, "count", (double) s->count);
    cJSON_AddNumberToObject(answer, "bytes", (double) s->bytes);
    cJSON_AddStringToObject(answer, "sha256", s->sha256);
    cJSON_AddStringToObject(answer, "file", path);
    say(c->out, answer);
    return 0;
}

/* Signs the bytes of `in` as the records of a snapshot that stands where the office stands. */
static int do_sign(command_t *c)
{
    ts_office_t *o = c->office;
    ts_snapshot_t s = { .epoch = ts_store_epoch(o->store),
                        .seq = ts_store_seq(o->store, TS_CHANGES),
                        .relief_seq = ts_store_seq(o->store, TS_RELIEF) };
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    unsigned char digest[32];
    char block[BLOCK], last = '\n', *jws;
    cJSON *answer;
    size_t n;

    EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
    while (c->in && (n = fread(block, 1, sizeof block, c->in)) > 0) {
        EVP_DigestUpdate(hash, block, n);
        s.bytes += n;
        for (size_t i = 0; i < n; i++)
            s.count += block[i] == '\n';
        last = block[n - 1];
    }
    EVP_DigestFinal_ex(hash, digest, NULL);
    EVP_MD_CTX_free(hash);
    if (last != '\n')
        return wrong(c, "the file's last line has no newline");
    for (unsigned i = 0; i < sizeof digest; i++)
        snprintf(s.sha256 + 2 * i, 3, "%02x", digest[i]);
    jws = ts_snapshot_jws(o, &s, "", 0);
    if (!jws)
        return wrong(c, "cannot be signed");
    answer = cJSON_CreateObject();
    cJSON_AddStringToObject(answer, "jws", jws);
    free(jws);
    say(c->out, answer);
    return 0;
}

/* ---- log ------------------------------------------------------------------------------------- */

static int log_event(void *data, const ts_event_t *ev)
{
    command_t *c = data;
    ts_lane_t lane = ev->kind == TS_EV_LIFT || ev->kind == TS_EV_MARK || ev->jti[0] == 'r'
                         ? TS_RELIEF
                         : TS_CHANGES;
    cJSON *line = cJSON_CreateObject();

    cJSON_AddStringToObject(line, "event", ts_event_names[ev->kind]);
    if (ev->seq) {
        cJSON_AddStringToObject(line, "lane", ts_lane_names[lane]);
        cJSON_AddNumberToObject(line, "seq", (double) ev->seq);
    }
    cJSON_AddNumberToObject(line, "epoch", ev->epoch);
    cJSON_AddNumberToObject(line, "at", (double) ev->at);
    if (ev->number[0] != '-' || ev->number[1])
        cJSON_AddStringToObject(line, "order", ev->number);
    if (ev->kind <= TS_EV_MARK)
        cJSON_AddStringToObject(line, "state",
                                ts_state_names[ts_store_state(c->office->store, lane, ev->seq)]);
    if (ev->kind == TS_EV_LIFT && strcmp(ev->rest, "null") != 0)
        cJSON_AddRawToObject(line, "measures", ev->rest);
    if (ev->kind == TS_EV_MARK)
        cJSON_AddRawToObject(line, "objection", ev->rest);
    if (ev->kind == TS_EV_ERR || ev->kind == TS_EV_QUARANTINE)
        cJSON_AddRawToObject(line, "report", ev->rest);
    if (ev->jti[1])
        cJSON_AddStringToObject(line, "jti", ev->jti);
    say(c->out, line);
    return 0;
}

static int do_log(command_t *c)
{
    return ts_store_log(c->office->store, log_event, c) == 0 ? 0
                                                             : wrong(c, "the log cannot be read");
}

/* ---- ledger ---------------------------------------------------------------------------------- */

static void say_total(void *data, cJSON *line)
{
    say(data, line);
}

static int do_ledger(command_t *c)
{
    return ts_ledger_totals(c->office->ledger, say_total, c->out) == 0 ? 0
                                                                      : wrong(c, "out of memory");
}

/* ---- faults, restore ------------------------------------------------------------------------- */

/* Sets or clears; without either, only lists. */
static int do_fault(command_t *c)
{
    ts_office_t *o = c->office;
    const cJSON *times = cJSON_GetObjectItemCaseSensitive(c->request, "times");
    const char *fault = text_of(c->request, "fault"), *why = NULL;
    cJSON *list, *item;

    if (fault)
        why = ts_faults_set(o->faults, fault, text_of(c->request, "endpoint"),
                            cJSON_IsNumber(times) ? (unsigned) times->valuedouble : 0, o->store);
    else if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(c->request, "clear"))
             && ts_faults_clear(o->faults) != 0)
        why = "DIR/faults cannot be written";
    if (why)
        return wrong(c, why);
    list = cJSON_CreateArray();
    ts_faults_list(o->faults, list);
    while ((item = cJSON_DetachItemFromArray(list, 0)) != NULL)
        say(c->out, item);
    cJSON_Delete(list);
    return 0;
}

static int do_restore(command_t *c)
{
    const char *from = text_of(c->request, "from"),
               *why = from ? ts_restore(c->office, from) : "from where?";

    return why ? wrong(c, why) : 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int       (*run)(command_t *c);
} commands[] = {
    { "publish", do_publish },   { "amend", do_publish },   { "lift", do_lift },
    { "mark", do_mark },         { "epoch", do_epoch },     { "head", do_head },
    { "snapshot", do_snapshot }, { "sign", do_sign },       { "log", do_log },
    { "fault", do_fault },       { "restore", do_restore }, { "ledger", do_ledger },
};

void ts_command(ts_office_t *o, const cJSON *request, FILE *in, FILE *out)
{
    command_t c = { .office = o,
                    .request = request,
                    .in = in,
                    .out = out,
                    .now = ts_now(),
                    .error = "no such command" };
    const char *name = text_of(request, "cmd");
    cJSON *last = cJSON_CreateObject();
    int rc = -1;

    for (unsigned i = 0; name && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, name) == 0)
            rc = commands[i].run(&c);
    }
    if (ts_store_sync(o->store) != 0)
        rc = wrong(&c, "the log cannot be written");
    cJSON_AddBoolToObject(last, "ok", rc == 0);
    if (rc != 0)
        cJSON_AddStringToObject(last, "error", c.error);
    say(out, last);
}
