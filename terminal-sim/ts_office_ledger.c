/*
 * ts_office_ledger.c - what receivers report of denials: batches as they came, and the totals that
 * follow from them.
 *
 * DIR/ledger is the batches, one a line, byte by byte. A total counts once however often it is
 * reported: of equal keys of equal gateway and run the maximum is kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "ts_office.h"

#define HASH_LEN     64
#define TAIL_LEN     (9 + HASH_LEN + 2)          /* ,"hash":"..."} */
#define CHAIN_LEN    32
#define KEY_MAX      2048
#define COUNT_MAX    ((double) TS_SEQ_MAX)

/* key: kind, gateway, three fields, run, separated by 0x1f */
typedef struct {
    char   *key;
    int64_t a;                                  /* denied; of a lift gates, of a stay until */
    int64_t b;                                  /* dry-run denials; applied; ended */
} total_t;

static const char kinds[] = "ohls";             /* order counts, hours, lifts, stays */

typedef struct {
    char      id[CHAIN_LEN + 1];
    char    (*hash)[HASH_LEN + 1];              /* of batch n at n - 1 */
    uint64_t  n;
} chain_t;

struct ts_ledger {
    char      path[4096];
    int       fd;
    total_t  *total;
    size_t    n, size;
    uint32_t *slot;                             /* index + 1 into total[], 0 = free */
    size_t    n_slots;                          /* power of two, or 0 */
    chain_t  *chain;
    size_t    n_chains;
    uint64_t  batches;
};

/* ---- totals ---------------------------------------------------------------------------------- */

static uint64_t hash_key(const char *key)
{
    uint64_t h = 14695981039346656037u;         /* FNV-1a */

    while (*key)
        h = (h ^ (unsigned char) *key++) * 1099511628211u;
    return h;
}

static int grow(ts_ledger_t *l)
{
    size_t n_slots = l->n_slots ? l->n_slots * 2 : 1024;
    uint32_t *slot = calloc(n_slots, sizeof *slot);
    total_t *total = realloc(l->total, n_slots / 2 * sizeof *total);

    if (total)
        l->total = total;
    if (!slot || !total) {
        free(slot);
        return -1;
    }
    for (size_t i = 0; i < l->n; i++) {
        size_t at = hash_key(l->total[i].key) & (n_slots - 1);

        while (slot[at])
            at = (at + 1) & (n_slots - 1);
        slot[at] = (uint32_t) i + 1;
    }
    free(l->slot);
    l->slot = slot;
    l->n_slots = n_slots;
    l->size = n_slots / 2;
    return 0;
}

/* The total of a key: found or made. NULL when memory fails. */
static total_t *total_of(ts_ledger_t *l, const char *key)
{
    size_t at;

    if (l->n == l->size && grow(l) != 0)
        return NULL;
    at = hash_key(key) & (l->n_slots - 1);
    while (l->slot[at] && strcmp(l->total[l->slot[at] - 1].key, key) != 0)
        at = (at + 1) & (l->n_slots - 1);
    if (!l->slot[at]) {
        l->total[l->n] = (total_t) { .key = strdup(key) };
        if (!l->total[l->n].key)
            return NULL;
        l->slot[at] = (uint32_t) ++l->n;
    }
    return &l->total[l->slot[at] - 1];
}

static int64_t greater(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* ---- one batch ------------------------------------------------------------------------------- */

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

    return cJSON_IsString(item) ? item->valuestring : NULL;
}

/* A count 0..2^48-1, or -1. */
static int64_t count_of(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    double value = cJSON_IsNumber(item) ? item->valuedouble : -1;

    return value >= 0 && value <= COUNT_MAX && value == (double) (int64_t) value ? (int64_t) value
                                                                                 : -1;
}

static int is_measure(const char *name)
{
    return name && jd_measure_bit(name, strlen(name)) >= 0;
}

/* Digits where `form` has 9, else the same characters. */
static int has_form(const char *text, const char *form)
{
    if (!text || strlen(text) != strlen(form))
        return 0;
    for (; *form; form++, text++) {
        if (*form == '9' ? *text < '0' || *text > '9' : *text != *form)
            return 0;
    }
    return 1;
}

static int count_ok(const cJSON *o)
{
    const char *order = text_of(o, "order");

    return order && jd_order_number_ok(order, strlen(order)) && is_measure(text_of(o, "measure"))
           && has_form(text_of(o, "month"), "9999-99") && count_of(o, "denied") >= 0;
}

static int hour_ok(const cJSON *o)
{
    const char *authority = text_of(o, "authority");

    return authority && *authority && strlen(authority) <= JD_GROUNDS_TEXT_MAX
           && !strchr(authority, '\x1f') && is_measure(text_of(o, "measure"))
           && has_form(text_of(o, "hour"), "9999-99-99T99") && count_of(o, "denied") >= 0
           && count_of(o, "dry_run") >= 0;
}

static int lift_ok(const cJSON *o)
{
    const char *order = text_of(o, "order");

    return order && jd_order_number_ok(order, strlen(order)) && count_of(o, "applied") >= 0
           && count_of(o, "gates") >= 0;
}

static int stay_ok(const cJSON *o)
{
    const char *order = text_of(o, "order");

    return (!order || jd_order_number_ok(order, strlen(order))) && count_of(o, "at") > 0
           && count_of(o, "until") > 0;
}

/* 1 when every entry of an array member (absent: none) is of its form. */
static int each_ok(const cJSON *root, const char *name, int (*ok)(const cJSON *o))
{
    const cJSON *o;

    cJSON_ArrayForEach(o, cJSON_GetObjectItemCaseSensitive(root, name)) {
        if (!ok(o))
            return 0;
    }
    return 1;
}

/* The rule that no report joins an order with a gateway or an hour is the office's, too. */
static const char *check_parts(const cJSON *root)
{
    const cJSON *counts = cJSON_GetObjectItemCaseSensitive(root, "counts");
    const cJSON *hours = cJSON_GetObjectItemCaseSensitive(root, "hours");
    const char *gateway = text_of(root, "gateway"), *run = text_of(root, "run");

    if (!gateway || !run || !cJSON_IsArray(counts) || !cJSON_IsArray(hours))
        return "gateway, run, counts and hours are needed";
    if (*gateway ? cJSON_GetArraySize(counts) > 0
                       || cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(root, "lifted")) > 0
                       || cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(root, "stays")) > 0
                 : cJSON_GetArraySize(hours) > 0)
        return "a batch joins orders with a gateway or hours";
    if (!each_ok(root, "counts", count_ok))
        return "counts: an entry is not of its form";
    if (!each_ok(root, "hours", hour_ok))
        return "hours: an entry is not of its form";
    if (!each_ok(root, "lifted", lift_ok))
        return "lifted: an entry is not of its form";
    return each_ok(root, "stays", stay_ok) ? NULL : "stays: an entry is not of its form";
}

/* Keeps the maxima, or what is newest. */
static int put(ts_ledger_t *l, const char *key, int64_t a, int64_t b, int newest)
{
    total_t *t = total_of(l, key);

    if (!t)
        return -1;
    t->a = newest ? a : greater(t->a, a);
    t->b = newest ? b : greater(t->b, b);
    return 0;
}

static int take_totals(ts_ledger_t *l, const cJSON *root)
{
    const char *gateway = text_of(root, "gateway"), *run = text_of(root, "run");
    const cJSON *o;
    char key[KEY_MAX];
    int rc = 0;

    cJSON_ArrayForEach(o, cJSON_GetObjectItemCaseSensitive(root, "counts")) {
        snprintf(key, sizeof key, "o\x1f%s\x1f%s\x1f%s\x1f%s\x1f%s", gateway, text_of(o, "month"),
                 text_of(o, "order"), text_of(o, "measure"), run);
        rc |= put(l, key, count_of(o, "denied"), 0, 0);
    }
    cJSON_ArrayForEach(o, cJSON_GetObjectItemCaseSensitive(root, "hours")) {
        snprintf(key, sizeof key, "h\x1f%s\x1f%s\x1f%s\x1f%s\x1f%s", gateway, text_of(o, "hour"),
                 text_of(o, "authority"), text_of(o, "measure"), run);
        rc |= put(l, key, count_of(o, "denied"), count_of(o, "dry_run"), 0);
    }
    cJSON_ArrayForEach(o, cJSON_GetObjectItemCaseSensitive(root, "lifted")) {
        snprintf(key, sizeof key, "l\x1f\x1f%s\x1f\x1f\x1f", text_of(o, "order"));
        rc |= put(l, key, count_of(o, "gates"), count_of(o, "applied"), 0);
    }
    cJSON_ArrayForEach(o, cJSON_GetObjectItemCaseSensitive(root, "stays")) {
        const char *order = text_of(o, "order");

        snprintf(key, sizeof key, "s\x1f\x1f%s\x1f%" PRId64 "\x1f\x1f", order ? order : "",
                 count_of(o, "at"));
        rc |= put(l, key, count_of(o, "until"), greater(0, count_of(o, "ended")), 1);
    }
    return rc;
}

/* SHA-256 of the text without its last member "hash" must be what that says. */
static int hash_ok(const char *body, size_t len, char hash[HASH_LEN + 1])
{
    const char *tail = len > TAIL_LEN ? body + len - TAIL_LEN : NULL;
    unsigned char digest[32];
    EVP_MD_CTX *ctx;

    if (!tail || memcmp(tail, ",\"hash\":\"", 9) != 0 || memcmp(body + len - 2, "\"}", 2) != 0)
        return 0;
    ctx = EVP_MD_CTX_new();
    EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
    EVP_DigestUpdate(ctx, body, len - TAIL_LEN);
    EVP_DigestUpdate(ctx, "}", 1);
    EVP_DigestFinal_ex(ctx, digest, NULL);
    EVP_MD_CTX_free(ctx);
    for (unsigned i = 0; i < sizeof digest; i++)
        snprintf(hash + 2 * i, 3, "%02x", digest[i]);
    return memcmp(hash, tail + 9, HASH_LEN) == 0;
}

/* ---- chains ---------------------------------------------------------------------------------- */

/* "<32 hex>-<n>" */
static int name_parse(const char *name, char id[CHAIN_LEN + 1], uint64_t *n)
{
    char *end;

    if (!name || strspn(name, "0123456789abcdef") != CHAIN_LEN || name[CHAIN_LEN] != '-'
        || name[CHAIN_LEN + 1] < '1' || name[CHAIN_LEN + 1] > '9')
        return -1;
    memcpy(id, name, CHAIN_LEN);
    id[CHAIN_LEN] = '\0';
    *n = strtoull(name + CHAIN_LEN + 1, &end, 10);
    return *end ? -1 : 0;
}

static chain_t *chain_find(ts_ledger_t *l, const char *id)
{
    for (size_t i = 0; i < l->n_chains; i++) {
        if (strcmp(l->chain[i].id, id) == 0)
            return &l->chain[i];
    }
    return NULL;
}

static chain_t *chain_begin(ts_ledger_t *l, const char *id)
{
    chain_t *grown = realloc(l->chain, (l->n_chains + 1) * sizeof *grown);

    if (!grown)
        return NULL;
    l->chain = grown;
    grown[l->n_chains] = (chain_t) { .n = 0 };
    strcpy(grown[l->n_chains].id, id);
    return &grown[l->n_chains++];
}

static int chain_add(chain_t *c, const char *hash)
{
    void *grown = realloc(c->hash, (c->n + 1) * sizeof *c->hash);

    if (!grown)
        return -1;
    c->hash = grown;
    strcpy(c->hash[c->n++], hash);
    return 0;
}

/* `c` NULL: a chain that is not known yet. */
static int follows(const chain_t *c, uint64_t n, const char *prev)
{
    if (n != (c ? c->n : 0) + 1 || !prev || strlen(prev) != HASH_LEN)
        return 0;
    return n == 1 ? strspn(prev, "0") == HASH_LEN : strcmp(prev, c->hash[n - 2]) == 0;
}

/* ---- taking a batch -------------------------------------------------------------------------- */

static int write_line(ts_ledger_t *l, const char *body, size_t len)
{
    char *line = malloc(len + 1);
    ssize_t n = -1;

    if (line) {
        memcpy(line, body, len);
        line[len] = '\n';
        n = write(l->fd, line, len + 1);
    }
    free(line);
    return n == (ssize_t) len + 1 && fdatasync(l->fd) == 0 ? 0 : -1;
}

/* NULL when the text is a batch, with its name's parts; or what is wrong. */
static const char *check(const cJSON *root, const char *body, size_t len, ts_batch_t *b,
                         char id[CHAIN_LEN + 1], uint64_t *n)
{
    const char *name = text_of(root, "batch"), *why = root ? check_parts(root)
                                                           : "not a JSON object on one line";

    if (why)
        return why;
    if (!hash_ok(body, len, b->hash))
        return "hash is not the SHA-256 of the batch without it, or not the last member";
    if (name_parse(name, id, n) != 0)
        return "batch is not \"<32 hex>-<n>\"";
    if (cJSON_HasObjectItem(root, "checkpoint")
        && ts_checkpoint_read(text_of(root, "checkpoint"), &b->checkpoint_n, b->checkpoint_hash)
               != 0)
        return "checkpoint names no record";
    snprintf(b->name, sizeof b->name, "%s", name);
    return NULL;
}

static ts_batch_rc_t take(ts_ledger_t *l, const char *body, size_t len, int loading,
                          ts_batch_t *b)
{
    cJSON *root = memchr(body, '\n', len) ? NULL : cJSON_ParseWithLength(body, len);
    char id[CHAIN_LEN + 1];
    ts_batch_rc_t rc = TS_BATCH_WRONG;
    chain_t *c;
    uint64_t n;

    b->why = check(root, body, len, b, id, &n);
    if (!b->why) {
        c = chain_find(l, id);
        b->last = c ? c->n : 0;
        if (n <= b->last && strcmp(c->hash[n - 1], b->hash) == 0) {
            rc = TS_BATCH_AGAIN;
        } else if (!follows(c, n, text_of(root, "prev"))) {
            rc = TS_BATCH_CONFLICT;
        } else if ((!loading && write_line(l, body, len) != 0)
                   || (!c && !(c = chain_begin(l, id))) || chain_add(c, b->hash) != 0
                   || take_totals(l, root) != 0) {
            b->why = "the ledger cannot be written";
        } else {
            l->batches++;
            rc = TS_BATCH_NEW;
        }
    }
    cJSON_Delete(root);
    return rc;
}

ts_batch_rc_t ts_ledger_take(ts_ledger_t *l, const ts_party_t *party, const char *body, size_t len,
                             ts_batch_t *b)
{
    cJSON *root = cJSON_ParseWithLength(body, len);
    const char *aud = text_of(root, "aud"), *list = text_of(root, "list");
    int ours = aud && list && strcmp(aud, party->aud) == 0 && strcmp(list, party->list) == 0;

    cJSON_Delete(root);
    memset(b, 0, sizeof *b);
    if (!ours) {
        b->why = "aud or list is not ours";
        return TS_BATCH_WRONG;
    }
    return take(l, body, len, 0, b);
}

/* ---- open, close ----------------------------------------------------------------------------- */

ts_ledger_t *ts_ledger_open(const char *dir)
{
    ts_ledger_t *l = calloc(1, sizeof *l);
    size_t len = 0, good = 0;
    char *text, *end;
    ts_batch_t b;

    if (!l) {
        ts_complain("out of memory");
        return NULL;
    }
    snprintf(l->path, sizeof l->path, "%s", ts_path(dir, "ledger"));
    l->fd = open(l->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    text = l->fd < 0 ? NULL : ts_file_read(l->path, &len);
    while (text && (end = memchr(text + good, '\n', len - good)) != NULL) {
        memset(&b, 0, sizeof b);
        if (take(l, text + good, (size_t) (end - text) - good, 1, &b) != TS_BATCH_NEW) {
            ts_complain("%s: not what an office wrote", l->path);
            free(text);
            ts_ledger_close(l);
            return NULL;
        }
        good = (size_t) (end - text) + 1;
    }
    free(text);
    if (l->fd < 0 || ftruncate(l->fd, (off_t) good) != 0) { /* a torn line has no receipt */
        ts_complain("%s: %s", l->path, strerror(errno));
        ts_ledger_close(l);
        return NULL;
    }
    return l;
}

void ts_ledger_close(ts_ledger_t *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->n; i++)
        free(l->total[i].key);
    for (size_t i = 0; i < l->n_chains; i++)
        free(l->chain[i].hash);
    free(l->total);
    free(l->slot);
    free(l->chain);
    if (l->fd >= 0)
        close(l->fd);
    free(l);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const total_t *const *) a)->key, (*(const total_t *const *) b)->key);
}

/* Length of a key without its run, which is last. */
static size_t stem(const char *key)
{
    return (size_t) (strrchr(key, '\x1f') - key);
}

static cJSON *line_of(const total_t *t)
{
    static const char *const names[][4] = {
        { "", "month", "order", "measure" },
        { "gateway", "hour", "authority", "measure" },
        { "", "lifted", "", "" },
        { "", "stayed", "at", "" },
    };
    char *copy = strdup(t->key), *rest = copy, *field = strsep(&rest, "\x1f");
    unsigned kind = (unsigned) (strchr(kinds, field[0]) - kinds);
    cJSON *line = cJSON_CreateObject();

    for (unsigned i = 0; i < 4; i++) {
        field = strsep(&rest, "\x1f");
        if (names[kind][i][0])
            cJSON_AddStringToObject(line, names[kind][i], field);
    }
    free(copy);
    return line;
}

static void add_values(cJSON *line, char kind, int64_t a, int64_t b)
{
    static const char *const names[][2] = {
        { "denied", NULL }, { "denied", "dry_run" }, { "gates", "applied" }, { "until", "ended" }
    };
    unsigned k = (unsigned) (strchr(kinds, kind) - kinds);

    cJSON_AddNumberToObject(line, names[k][0], (double) a);
    if (names[k][1])
        cJSON_AddNumberToObject(line, names[k][1], (double) b);
}

int ts_ledger_totals(const ts_ledger_t *l, void (*each)(void *data, cJSON *line), void *data)
{
    const total_t **sorted = malloc((l->n + 1) * sizeof *sorted);
    cJSON *line;

    if (!sorted)
        return -1;
    for (size_t i = 0; i < l->n; i++)
        sorted[i] = &l->total[i];
    qsort(sorted, l->n, sizeof *sorted, by_key);
    for (size_t i = 0; i < l->n;) {
        size_t len = stem(sorted[i]->key), first = i;
        int64_t a = 0, b = 0;

        for (; i < l->n && stem(sorted[i]->key) == len
               && memcmp(sorted[i]->key, sorted[first]->key, len) == 0; i++) {
            a += sorted[i]->a;
            b += sorted[i]->b;
        }
        line = line_of(sorted[first]);
        add_values(line, sorted[first]->key[0], a, b);
        each(data, line);
    }
    free(sorted);
    line = cJSON_CreateObject();
    cJSON_AddNumberToObject(line, "batches", (double) l->batches);
    cJSON_AddNumberToObject(line, "chains", (double) l->n_chains);
    each(data, line);
    return 0;
}
