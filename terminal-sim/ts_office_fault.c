/*
 * ts_office_fault.c - faults on demand: what is set where, for how many answers; kept on disk.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ts_office.h"

#define ARG_MAX_LEN  127

#define HEAD        (1u << TS_AT_HEAD)
#define SNAPSHOT    (1u << TS_AT_SNAPSHOT)
#define POLLS       (1u << TS_AT_RELIEF | 1u << TS_AT_CHANGES)
#define LEDGER      (1u << TS_AT_LEDGER)
#define EVERYWHERE  ((1u << TS_AT_N) - 1)

typedef enum {
    ARG_NONE,
    ARG_NUMBER,                     /* may be left out */
    ARG_NUMBER_NEEDED,
    ARG_ORDER                       /* may be left out */
} arg_t;

typedef struct {
    const char *name;
    unsigned    where;              /* bits of ts_endpoint_t */
    unsigned    once;               /* of these: set for one answer when --times is not given */
    arg_t       arg;
    const char *what;
} fault_kind_t;

static const fault_kind_t kinds[TS_F_N] = {
    [TS_F_BAD_SIGNATURE] = { "bad-signature", HEAD | SNAPSHOT | POLLS | LEDGER, 0, ARG_NONE,
                             "one byte of each signature is wrong" },
    [TS_F_UNKNOWN_KID] = { "unknown-kid", HEAD | SNAPSHOT | POLLS | LEDGER, 0, ARG_NONE,
                           "signed under a kid that no key set holds" },
    [TS_F_RELIEF_KEY] = { "relief-key", HEAD | SNAPSHOT | LEDGER | 1u << TS_AT_CHANGES, 0,
                          ARG_NONE,
                          "signed by the key that is fit for relief only" },
    [TS_F_OLD_SEQ] = { "old-seq", HEAD | SNAPSHOT | POLLS, POLLS, ARG_NUMBER,
                       "=N: head and snapshot N (1) behind; polls bring the last N acknowledged "
                       "tokens again" },
    [TS_F_GAP] = { "gap", POLLS, 0, ARG_NONE,
                   "the first waiting token is withheld, those behind it are not" },
    [TS_F_SHUFFLE] = { "shuffle", POLLS, 0, ARG_NONE, "sets in falling order of seq" },
    [TS_F_FORK] = { "fork", POLLS, POLLS, ARG_ORDER,
                    "=ORDER: another token at the last acknowledged seq; of relief: it lifts "
                    "ORDER" },
    [TS_F_MALFORMED] = { "malformed", POLLS, 0, ARG_NONE,
                         "tokens verify, but their event has no number as seq" },
    [TS_F_EMPTY] = { "empty", POLLS, 0, ARG_NONE,
                     "polls bring no tokens, and the head of the time when this was set" },
    [TS_F_NO_HEAD] = { "no-head", HEAD, 0, ARG_NONE,
                       "GET head answers 404, polls bring no jd_head" },
    [TS_F_STALE_HEAD] = { "stale-head", HEAD, 0, ARG_NONE,
                          "heads stay those of the time when this was set, iat too" },
    [TS_F_EXPIRED] = { "expired", HEAD | SNAPSHOT, 0, ARG_NONE,
                       "issued two hours ago, expired one hour ago" },
    [TS_F_FUTURE_IAT] = { "future-iat", HEAD | SNAPSHOT, 0, ARG_NONE, "issued in an hour" },
    [TS_F_WRONG_HASH] = { "wrong-hash", SNAPSHOT | LEDGER, 0, ARG_NONE,
                          "the statement's sha256 is of other records, the receipt's of another "
                          "batch" },
    [TS_F_WRONG_COUNT] = { "wrong-count", SNAPSHOT, 0, ARG_NONE,
                           "the statement counts one record too many" },
    [TS_F_NO_RECEIPT] = { "no-receipt", LEDGER, 0, ARG_NONE,
                          "takes the batch, and answers {} instead of a receipt" },
    [TS_F_WRONG_BATCH] = { "wrong-batch", LEDGER, 0, ARG_NONE,
                           "the receipt names another batch" },
    [TS_F_TRUNCATE] = { "truncate", EVERYWHERE, 0, ARG_NONE,
                        "the connection ends in the middle of the body" },
    [TS_F_ENDLESS] = { "endless", EVERYWHERE, 0, ARG_NONE, "the body does not end" },
    [TS_F_SLOW] = { "slow", EVERYWHERE, 0, ARG_NUMBER_NEEDED,
                    "=MS: the answer comes so much later" },
    [TS_F_STATUS] = { "status", EVERYWHERE, 0, ARG_NUMBER_NEEDED, "=CODE: answers this instead" },
    [TS_F_HANG] = { "hang", EVERYWHERE, 0, ARG_NONE, "accepts the request and never answers" },
};

const char *const ts_endpoint_names[TS_AT_N] = { "head",   "snapshot", "records",
                                                 "relief", "changes",  "quarantine",
                                                 "ledger" };

typedef struct {
    int        set;
    unsigned   times;               /* answers left, 0 = until cleared */
    char       arg[ARG_MAX_LEN + 1];
    ts_fault_t fault;
} entry_t;

struct ts_faults {
    char     path[PATH_MAX];
    unsigned clearings;
    entry_t  entry[TS_F_N][TS_AT_N];
};

static int find(const char *const *names, size_t stride, unsigned n, const char *name)
{
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(*(const char *const *) ((const char *) names + i * stride), name) == 0)
            return (int) i;
    }
    return -1;
}

static int find_kind(const char *name)
{
    return find(&kinds[0].name, sizeof kinds[0], TS_F_N, name);
}

static int find_endpoint(const char *name)
{
    return find(ts_endpoint_names, sizeof ts_endpoint_names[0], TS_AT_N, name);
}

/* ---- DIR/faults: "name endpoint times since epoch seq relief_seq [arg]" a line --------------- */

static int save(const ts_faults_t *f)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    int rc;

    for (unsigned k = 0; out && k < TS_F_N; k++) {
        for (unsigned e = 0; e < TS_AT_N; e++) {
            const entry_t *entry = &f->entry[k][e];

            if (entry->set)
                fprintf(out, "%s %s %u %" PRId64 " %u %" PRIu64 " %" PRIu64 " %s\n", kinds[k].name,
                        ts_endpoint_names[e], entry->times, entry->fault.since, entry->fault.epoch,
                        entry->fault.seq[TS_CHANGES], entry->fault.seq[TS_RELIEF], entry->arg);
        }
    }
    rc = out && fclose(out) == 0 ? ts_file_write(f->path, text, len, 0600) : -1;
    free(text);
    if (rc != 0)
        ts_complain("%s: %s", f->path, strerror(errno));
    return rc;
}

static int load_line(ts_faults_t *f, const char *line)
{
    char name[32], endpoint[32], arg[ARG_MAX_LEN + 1] = "";
    unsigned times, epoch;
    uint64_t seq, relief_seq;
    int64_t since;
    int n, k, e;
    entry_t *entry;

    n = sscanf(line, "%31s %31s %u %" SCNd64 " %u %" SCNu64 " %" SCNu64 " %127s", name, endpoint,
               &times, &since, &epoch, &seq, &relief_seq, arg);
    if (n < 7 || (k = find_kind(name)) < 0 || (e = find_endpoint(endpoint)) < 0)
        return -1;
    entry = &f->entry[k][e];
    entry->set = 1;
    entry->times = times;
    strcpy(entry->arg, arg);
    entry->fault = (ts_fault_t) { .arg = entry->arg, .since = since, .epoch = epoch,
                                  .seq = { [TS_CHANGES] = seq, [TS_RELIEF] = relief_seq } };
    return 0;
}

ts_faults_t *ts_faults_open(const char *dir)
{
    ts_faults_t *f = calloc(1, sizeof *f);
    char *text, *rest, *line;
    size_t len;
    int rc = 0;

    if (!f) {
        ts_complain("out of memory");
        return NULL;
    }
    snprintf(f->path, sizeof f->path, "%s", ts_path(dir, "faults"));
    text = rest = ts_file_read(f->path, &len);
    while (rest && rc == 0 && (line = strsep(&rest, "\n")) != NULL && *line)
        rc = load_line(f, line);
    free(text);
    if (rc != 0) {
        ts_complain("%s: not what an office wrote; remove it", f->path);
        free(f);
        return NULL;
    }
    return f;
}

void ts_faults_close(ts_faults_t *f)
{
    free(f);
}

/* ---- use ------------------------------------------------------------------------------------- */

const ts_fault_t *ts_fault(const ts_faults_t *f, ts_fault_kind_t kind, ts_endpoint_t at)
{
    const entry_t *entry = &f->entry[kind][at];

    return entry->set ? &entry->fault : NULL;
}

void ts_fault_used(ts_faults_t *f, ts_fault_kind_t kind, ts_endpoint_t at)
{
    entry_t *entry = &f->entry[kind][at];

    if (!entry->set || entry->times == 0)
        return;
    entry->times--;
    entry->set = entry->times > 0;
    save(f);
}

/* Reads NAME[=ARG]. Returns NULL or what is wrong. */
static const char *read_fault(const char *text, int *kind, char arg[ARG_MAX_LEN + 1])
{
    size_t name_len = strcspn(text, "="), arg_len;
    const char *value = text[name_len] ? text + name_len + 1 : "";
    char name[32];

    arg_len = strlen(value);
    if (name_len >= sizeof name || arg_len > ARG_MAX_LEN)
        return "no such fault; see terminal-sim office --help";
    memcpy(name, text, name_len);
    name[name_len] = '\0';
    *kind = find_kind(name);
    if (*kind < 0)
        return "no such fault; see terminal-sim office --help";
    memcpy(arg, value, arg_len + 1);
    switch (kinds[*kind].arg) {
    case ARG_NONE:
        return arg_len == 0 ? NULL : "this fault takes no argument";
    case ARG_ORDER:
        return arg_len == 0 || jd_order_number_ok(value, arg_len)
                   ? NULL
                   : "the argument must be an order number";
    case ARG_NUMBER_NEEDED:
        if (arg_len == 0)
            return "this fault needs a number: NAME=N";
        /* fall through */
    case ARG_NUMBER:
        return arg_len < 8 && strspn(value, "0123456789") == arg_len
                   ? NULL
                   : "the argument must be a number";
    }
    return NULL;
}

const char *ts_faults_set(ts_faults_t *f, const char *text, const char *endpoint, unsigned times,
                          const ts_store_t *store)
{
    char arg[ARG_MAX_LEN + 1];
    unsigned where;
    const char *wrong;
    int kind, at = -1;

    if ((wrong = read_fault(text, &kind, arg)) != NULL)
        return wrong;
    if (endpoint && (at = find_endpoint(endpoint)) < 0)
        return "no such endpoint; there are head, snapshot, records, relief, changes, quarantine, "
               "ledger";
    where = endpoint ? kinds[kind].where & 1u << at : kinds[kind].where;
    if (!where)
        return "this fault has no sense at this endpoint; see terminal-sim office --help";
    for (unsigned e = 0; e < TS_AT_N; e++) {
        entry_t *entry = &f->entry[kind][e];

        if (!(where >> e & 1))
            continue;
        entry->set = 1;
        entry->times = times == 0 && kinds[kind].once >> e & 1 ? 1 : times;
        strcpy(entry->arg, arg);
        entry->fault = (ts_fault_t){ .arg = entry->arg,
                                     .since = ts_now(),
                                     .epoch = ts_store_epoch(store),
                                     .seq = { ts_store_seq(store, TS_CHANGES),
                                              ts_store_seq(store, TS_RELIEF) } };
    }
    return save(f) == 0 ? NULL : "DIR/faults cannot be written";
}

int ts_faults_clear(ts_faults_t *f)
{
    memset(f->entry, 0, sizeof f->entry);
    f->clearings++;
    return save(f);
}

unsigned ts_faults_clearings(const ts_faults_t *f)
{
    return f->clearings;
}

void ts_faults_list(const ts_faults_t *f, cJSON *array)
{
    for (unsigned k = 0; k < TS_F_N; k++) {
        for (unsigned e = 0; e < TS_AT_N; e++) {
            const entry_t *entry = &f->entry[k][e];
            cJSON *item;

            if (!entry->set)
                continue;
            item = cJSON_CreateObject();
            cJSON_AddStringToObject(item, "fault", kinds[k].name);
            cJSON_AddStringToObject(item, "at", ts_endpoint_names[e]);
            if (entry->arg[0])
                cJSON_AddStringToObject(item, "arg", entry->arg);
            if (entry->times)
                cJSON_AddNumberToObject(item, "times", entry->times);
            cJSON_AddItemToArray(array, item);
        }
    }
}

void ts_faults_help(FILE *out)
{
    for (unsigned k = 0; k < TS_F_N; k++) {
        fprintf(out, "  %-15s%s\n%17sat:", kinds[k].name, kinds[k].what, "");
        for (unsigned e = 0; e < TS_AT_N; e++) {
            if (kinds[k].where >> e & 1)
                fprintf(out, " %s%s", ts_endpoint_names[e],
                        kinds[k].once >> e & 1 ? " (once)" : "");
        }
        putc('\n', out);
    }
}
