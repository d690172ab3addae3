/*
 * rcd_ledger_batch - batches to the office: frozen into the journal, and what a receipt settles.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include "core/jd_measure.h"
#include "rcd_audit.h"
#include "rcd_ledger_batch.h"
#include "rcd_lift.h"
#include "rcd_stay.h"
#include "rcd_store.h"

#define DAY_SEC        86400
#define TEXT_BYTES_MAX (1024 * 1024)
#define RELIEF_SEC     10
#define CHINA_SEC      (8 * 3600)
/* Order counts of an open month go out once a day, at midnight, and never sooner than this after
 * the last time: two reports close to each other would tell the hour of a denial. */
#define ORDERS_MIN_SEC (20 * 3600)

static const char zeros[RCD_HASH_HEX + 1] =
    "0000000000000000000000000000000000000000000000000000000000000000";

/* ---- bytes and hash -------------------------------------------------------------------------- */

static void hex(const uint8_t *bytes, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++) {
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    }
}

/* SHA-256 of `len` bytes and a closing brace. */
static int hash_of(const char *text, size_t len, char out[RCD_HASH_HEX + 1])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t digest[32];
    int ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
             EVP_DigestUpdate(ctx, text, len) == 1 && EVP_DigestUpdate(ctx, "}", 1) == 1 &&
             EVP_DigestFinal_ex(ctx, digest, NULL) == 1;

    EVP_MD_CTX_free(ctx);
    if (ok) {
        hex(digest, sizeof(digest), out);
    }
    return ok ? 0 : -1;
}

int rcd_ledger_hash_check(const char *body, size_t len, char hash[RCD_HASH_HEX + 1])
{
    const char *tail = len > RCD_LEDGER_TAIL_LEN ? body + len - RCD_LEDGER_TAIL_LEN : NULL;

    return tail != NULL && memcmp(tail, ",\"hash\":\"", 9) == 0 &&
           memcmp(tail + 9 + RCD_HASH_HEX, "\"}", 2) == 0 &&
           hash_of(body, len - RCD_LEDGER_TAIL_LEN, hash) == 0 &&
           memcmp(hash, tail + 9, RCD_HASH_HEX) == 0 ? 0 : -1;
}

/* The object as text with its hash as the last member. To be freed; NULL without memory. */
static char *seal(const cJSON *root, char hash[RCD_HASH_HEX + 1])
{
    char *text = cJSON_PrintUnformatted(root), *sealed = NULL;
    size_t len = text == NULL ? 0 : strlen(text);

    if (text != NULL && hash_of(text, len - 1, hash) == 0 &&
        asprintf(&sealed, "%.*s,\"hash\":\"%s\"}", (int) (len - 1), text, hash) < 0) {
        sealed = NULL;
    }
    free(text);
    return sealed;
}

/* ---- freezing -------------------------------------------------------------------------------- */

typedef struct {
    cJSON *counts, *hours, *lifted, *stays;
    int    n;                                      /* entries */
    size_t bytes;                                  /* of their texts */
} parts_t;

static void parts_init(parts_t *p)
{
    *p = (parts_t) {.counts = cJSON_CreateArray(), .hours = cJSON_CreateArray(),
                    .lifted = cJSON_CreateArray(), .stays = cJSON_CreateArray()};
}

static void parts_fini(parts_t *p)
{
    cJSON_Delete(p->counts);
    cJSON_Delete(p->hours);
    cJSON_Delete(p->lifted);
    cJSON_Delete(p->stays);
}

static int chain_begin(rcd_ledger_state_t *st)
{
    uint8_t id[RCD_RUN_LEN / 2];

    if (RAND_bytes(id, sizeof(id)) != 1) {
        return -1;
    }
    hex(id, sizeof(id), st->chain);
    st->n = 0;
    memcpy(st->tail, zeros, sizeof(zeros));
    return 0;
}

/* The newest checkpoint of the audit chain goes with the batch; the record says which. */
static int audit_batch(rcd_state_t *s, const char *name, const rcd_ledger_batch_t *b,
                       const parts_t *p, uint64_t checkpoint_n, const char *checkpoint_hash)
{
    cJSON *o = cJSON_CreateObject();

    cJSON_AddStringToObject(o, "batch", name);
    cJSON_AddStringToObject(o, "batch_hash", b->hash);
    cJSON_AddNumberToObject(o, "entries", p->n);
    if (checkpoint_n > 0) {
        cJSON_AddNumberToObject(o, "checkpoint_n", (double) checkpoint_n);
        cJSON_AddStringToObject(o, "checkpoint_hash", checkpoint_hash);
    }
    return rcd_audit(s, "batch", o);
}

/* Makes the batch and moves the chain on, inside the caller's transaction. Takes the parts over. */
static int freeze(rcd_ledger_freezer_t *f, rcd_ledger_state_t *st, const char *gateway,
                  const char *run, parts_t *p, int64_t now)
{
    char name[RCD_RUN_LEN + 24];
    rcd_ledger_batch_t b = {.at = now};
    char checkpoint_hash[RCD_HASH_HEX + 1];
    uint64_t checkpoint_n;
    const char *checkpoint = rcd_audit_checkpoint(f->s, &checkpoint_n, checkpoint_hash);
    cJSON *root = cJSON_CreateObject();
    int rc;

    if (st->chain[0] == '\0' && chain_begin(st) != 0) {
        snprintf(f->s->fault, sizeof(f->s->fault), "no random numbers");
        cJSON_Delete(root);
        parts_fini(p);
        return -1;
    }
    b.n = ++st->n;
    snprintf(name, sizeof(name), "%s-%lld", st->chain, (long long) b.n);
    cJSON_AddStringToObject(root, "aud", f->config->office.aud);
    cJSON_AddStringToObject(root, "list", f->config->list);
    cJSON_AddStringToObject(root, "gateway", gateway);
    cJSON_AddStringToObject(root, "run", run);
    cJSON_AddStringToObject(root, "batch", name);
    cJSON_AddStringToObject(root, "prev", st->tail);
    if (checkpoint_n > 0) {
        cJSON_AddStringToObject(root, "checkpoint", checkpoint);
    }
    cJSON_AddItemToObject(root, "counts", p->counts);
    cJSON_AddItemToObject(root, "hours", p->hours);
    cJSON_AddItemToObject(root, "lifted", p->lifted);
    cJSON_AddItemToObject(root, "stays", p->stays);
    b.body = seal(root, b.hash);
    cJSON_Delete(root);
    if (b.body == NULL) {
        snprintf(f->s->fault, sizeof(f->s->fault), "out of memory");
        return -1;
    }
    rc = rcd_ledger_batch_put(f->s, st->chain, &b);
    memcpy(st->tail, b.hash, sizeof(b.hash));
    if (rc == 0) {
        rc = audit_batch(f->s, name, &b, p, checkpoint_n, checkpoint_hash);
    }
    free(b.body);
    return rc < 0 ? -1 : rcd_ledger_state_save(f->s, st);
}

/* ---- order counts ---------------------------------------------------------------------------- */

/* Midnight at +08:00 that begins the day after `at`. */
static int64_t next_midnight(int64_t at)
{
    int64_t local = at + CHINA_SEC;

    return local - local % DAY_SEC + DAY_SEC - CHINA_SEC;
}

static int64_t orders_next(int64_t now)
{
    int64_t at = next_midnight(now);

    return at - now < ORDERS_MIN_SEC ? at + DAY_SEC : at;
}

static void count_add(parts_t *p, const rcd_ledger_count_t *c)
{
    cJSON *o = cJSON_CreateObject();

    cJSON_AddStringToObject(o, "order", c->number);
    cJSON_AddStringToObject(o, "measure", jd_measure_names[c->measure]);
    cJSON_AddStringToObject(o, "month", c->month);
    cJSON_AddNumberToObject(o, "denied", (double) c->total);
    cJSON_AddItemToArray(p->counts, o);
    p->n++;
}

/*
 * A batch of order counts: of a month whose periods are all closed, at once; of all others when
 * they are due, each row once a time. 1, 0 or -1.
 */
static int freeze_orders(rcd_ledger_freezer_t *f, rcd_ledger_state_t *st, int64_t now)
{
    static const rcd_ledger_count_t start;
    rcd_ledger_count_t *rows;
    char month[8];
    parts_t p;
    int ready = rcd_ledger_month_ready(f->s, month), n, rc;

    if (ready < 0) {
        return -1;
    }
    if (!ready && !st->draining) {
        if (now < st->orders_due) {
            return 0;
        }
        /* of a new journal the first day is waited out, too */
        st->draining = st->orders_due != 0;
        st->cursor = start;
        st->orders_due = orders_next(now);
        if (!st->draining) {
            return rcd_ledger_state_save(f->s, st);
        }
    }
    rows = calloc(RCD_LEDGER_ENTRIES_MAX, sizeof(*rows));
    if (rows == NULL) {
        snprintf(f->s->fault, sizeof(f->s->fault), "out of memory");
        return -1;
    }
    n = rcd_ledger_counts_unsent(f->s, ready ? &start : &st->cursor, ready ? month : NULL, rows,
                                 RCD_LEDGER_ENTRIES_MAX);
    if (n == 0 && !ready) {
        st->draining = 0;
        st->orders_due = orders_next(now);
        rc = rcd_ledger_state_save(f->s, st);
    } else if (n > 0) {
        parts_init(&p);
        for (int i = 0; i < n; i++) {
            count_add(&p, &rows[i]);
        }
        if (!ready) {
            st->cursor = rows[n - 1];
        }
        rc = freeze(f, st, "", "", &p, now) < 0 ? -1 : 1;
    } else {
        rc = n;
    }
    free(rows);
    return rc;
}

/* ---- hours ----------------------------------------------------------------------------------- */

static int hour_add(void *arg, const rcd_ledger_hour_t *h)
{
    parts_t *p = arg;
    cJSON *o = cJSON_CreateObject();

    cJSON_AddStringToObject(o, "authority", h->authority);
    cJSON_AddStringToObject(o, "measure", jd_measure_names[h->measure]);
    cJSON_AddStringToObject(o, "hour", h->hour);
    cJSON_AddNumberToObject(o, "denied", (double) h->denied);
    cJSON_AddNumberToObject(o, "dry_run", (double) h->dry_run);
    cJSON_AddItemToArray(p->hours, o);
    p->bytes += strlen(h->authority);
    return ++p->n == RCD_LEDGER_ENTRIES_MAX || p->bytes > TEXT_BYTES_MAX;
}

/* A batch of one gateway's hours: closed ones at once, open ones when they are due. 1, 0 or -1. */
static int freeze_hours(rcd_ledger_freezer_t *f, rcd_ledger_state_t *st, int64_t now)
{
    char run[RCD_RUN_LEN + 1], gateway[RCD_GATEWAY_MAX + 1];
    int found, closed_only = 0;
    parts_t p;

    if (!f->hours_draining && now >= f->hours_due) {
        f->hours_draining = 1;
        f->hours_cursor[0] = '\0';
    }
    found = f->hours_draining ? rcd_ledger_run_unsent(f->s, f->hours_cursor, 0, run, gateway) : 0;
    if (found == 0) {
        if (f->hours_draining) {
            f->hours_draining = 0;
            f->hours_due = now + f->config->ledger.report_sec;
        }
        closed_only = 1;
        found = rcd_ledger_run_unsent(f->s, "", 1, run, gateway);
    }
    if (found <= 0) {
        return found;
    }
    parts_init(&p);
    if (rcd_ledger_hours_unsent(f->s, run, hour_add, &p) < 0) {
        parts_fini(&p);
        return -1;
    }
    if (!closed_only && p.n < RCD_LEDGER_ENTRIES_MAX && p.bytes <= TEXT_BYTES_MAX) {
        memcpy(f->hours_cursor, run, sizeof(run));
    }
    return freeze(f, st, gateway, run, &p, now) < 0 ? -1 : 1;
}

/* ---- lifts that have taken effect, and stays ------------------------------------------------- */

/* Numbers of the journal go along: by them the office, and we, know which lift or stay it is. */
static int lifts_add(rcd_state_t *s, parts_t *p)
{
    rcd_lift_effect_t e = {.id = 0};
    int rc = 0;

    while (p->n < RCD_LEDGER_ENTRIES_MAX &&
           (rc = rcd_lift_effects_unreported(s, e.id, &e)) > 0) {
        cJSON *o = cJSON_CreateObject();

        cJSON_AddStringToObject(o, "order", e.number);
        cJSON_AddNumberToObject(o, "applied", (double) e.applied);
        cJSON_AddNumberToObject(o, "gates", e.gates);
        cJSON_AddNumberToObject(o, "lift", (double) e.id);
        cJSON_AddItemToArray(p->lifted, o);
        p->n++;
    }
    return rc < 0 ? -1 : 0;
}

static int stays_add(rcd_state_t *s, parts_t *p)
{
    rcd_stay_t stay = {.id = 0};
    int rc = 0;

    while (p->n < RCD_LEDGER_ENTRIES_MAX && (rc = rcd_stay_unreported(s, stay.id, &stay)) > 0) {
        cJSON *o = cJSON_CreateObject();

        if (stay.number[0] != '\0') {
            cJSON_AddStringToObject(o, "order", stay.number);
        }
        cJSON_AddNumberToObject(o, "at", (double) stay.since);
        cJSON_AddNumberToObject(o, "until", (double) stay.until);
        if (stay.ended != RCD_STAY_STANDS) {
            cJSON_AddNumberToObject(o, "ended", (double) stay.ended_at);
        }
        cJSON_AddNumberToObject(o, "stay", (double) stay.id);
        cJSON_AddItemToArray(p->stays, o);
        p->n++;
    }
    return rc < 0 ? -1 : 0;
}

/* A batch of what frees, at most each RELIEF_SEC. 1, 0 or -1. */
static int freeze_relief(rcd_ledger_freezer_t *f, rcd_ledger_state_t *st, int64_t now)
{
    parts_t p;
    int rc;

    if (now < f->relief_due) {
        return 0;
    }
    parts_init(&p);
    rc = lifts_add(f->s, &p);
    rc = rc < 0 ? rc : stays_add(f->s, &p);
    if (rc < 0 || p.n == 0) {
        parts_fini(&p);
        return rc;
    }
    f->relief_due = now + RELIEF_SEC;
    return freeze(f, st, "", "", &p, now) < 0 ? -1 : 1;
}

int rcd_ledger_freeze(rcd_ledger_freezer_t *f, int64_t now)
{
    rcd_ledger_state_t st;
    int rc;

    if (rcd_store_begin(f->s, 1) < 0) {
        return -1;
    }
    rc = rcd_ledger_state(f->s, &st);
    if (rc == 0) {
        rc = freeze_relief(f, &st, now);
    }
    if (rc == 0) {
        rc = freeze_hours(f, &st, now);
    }
    if (rc == 0) {
        rc = freeze_orders(f, &st, now);
    }
    if (rc < 0 || rcd_store_commit(f->s) < 0) {
        rcd_store_rollback(f->s);
        return -1;
    }
    return rc;
}

/* ---- receipts -------------------------------------------------------------------------------- */

static int64_t number_of(const cJSON *o, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, name);

    return cJSON_IsNumber(item) ? (int64_t) item->valuedouble : 0;
}

static void text_of(const cJSON *o, const char *name, char *out, size_t size)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, name));

    snprintf(out, size, "%s", text != NULL ? text : "");
}

static unsigned measure_of(const cJSON *o)
{
    char name[64];
    int bit;

    text_of(o, "measure", name, sizeof(name));
    bit = jd_measure_bit(name, strlen(name));
    return bit < 0 ? 0 : (unsigned) bit;
}

/* Marks what the batch, our own bytes, told the office. */
static int mark_sent(rcd_state_t *s, const cJSON *root)
{
    char run[RCD_RUN_LEN + 1];
    const cJSON *o;
    int rc = 0;

    text_of(root, "run", run, sizeof(run));
    cJSON_ArrayForEach(o, cJSON_GetObjectItemCaseSensitive(root, "counts")) {
        rcd_ledger_count_t c = {.measure = measure_of(o), .total = number_of(o, "denied")};

        text_of(o, "month", c.month, sizeof(c.month));
        text_of(o, "order", c.number, sizeof(c.number));
        rc = rc < 0 ? rc : rcd_ledger_count_sent(s, &c);
    }
    cJSON_ArrayForEach(o, cJSON_GetObjectItemCaseSensitive(root, "hours")) {
        rcd_ledger_hour_t h = {.measure = measure_of(o), .denied = number_of(o, "denied"),
                               .dry_run = number_of(o, "dry_run")};

        text_of(o, "hour", h.hour, sizeof(h.hour));
        text_of(o, "authority", h.authority, sizeof(h.authority));
        rc = rc < 0 ? rc : rcd_ledger_hour_sent(s, run, &h);
    }
    cJSON_ArrayForEach(o, cJSON_GetObjectItemCaseSensitive(root, "lifted")) {
        rc = rc < 0 ? rc : rcd_lift_effects_reported(s, number_of(o, "lift"),
                                                     (unsigned) number_of(o, "gates"));
    }
    cJSON_ArrayForEach(o, cJSON_GetObjectItemCaseSensitive(root, "stays")) {
        rc = rc < 0 ? rc : rcd_stay_reported(s, number_of(o, "stay"),
                                             cJSON_HasObjectItem(o, "ended"));
    }
    return rc;
}

static int audit_receipt(rcd_state_t *s, const char *name, const rcd_ledger_batch_t *b,
                         const char *receipt)
{
    cJSON *o = cJSON_CreateObject();

    cJSON_AddStringToObject(o, "batch", name);
    cJSON_AddStringToObject(o, "batch_hash", b->hash);
    cJSON_AddStringToObject(o, "receipt", receipt);
    return rcd_audit(s, "receipt", o);
}

int rcd_ledger_receipt_take(rcd_state_t *s, const char *chain, const rcd_ledger_batch_t *b,
                            const char *receipt)
{
    char name[RCD_RUN_LEN + 24];
    cJSON *root = cJSON_Parse(b->body);
    int rc;

    snprintf(name, sizeof(name), "%s-%lld", chain, (long long) b->n);
    if (rcd_store_begin(s, 1) < 0) {
        cJSON_Delete(root);
        return -1;
    }
    rc = rcd_ledger_batch_receipt(s, chain, b->n, receipt);
    rc = rc < 0 ? rc : mark_sent(s, root);
    rc = rc < 0 ? rc : audit_receipt(s, name, b, receipt);
    cJSON_Delete(root);
    if (rc < 0 || rcd_store_commit(s) < 0) {
        rcd_store_rollback(s);
        return -1;
    }
    return 0;
}
