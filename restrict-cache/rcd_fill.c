/*
 * rcd_fill - records of digests from the journal into batches of scripts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_clock.h"
#include "rcd_fill.h"
#include "rcd_record.h"
#include "rcd_slice.h"

/* One script on its way to the pipeline. */
typedef struct {
    rcd_args_t args;
    unsigned   n;
    uint8_t    digest[RCD_FILL_BATCH][JD_DIGEST_LEN];
    uint8_t    record[RCD_FILL_BATCH][JD_RECORD_MAX];
    size_t     len[RCD_FILL_BATCH];
    unsigned   key[RCD_FILL_BATCH];                    /* index into bucket */
    unsigned   n_keys;
    char       bucket[RCD_FILL_BATCH][JD_REDIS_NAME_MAX];
    uint32_t   last_bucket;
} batch_t;

/* What the pipeline's answers will mean: 1 a batch, 0 grounds. */
typedef struct {
    unsigned n;
    uint8_t *batch;
    unsigned size;
} expected_t;

/* ---- pipeline -------------------------------------------------------------------------------- */

static int expect(expected_t *x, int batch)
{
    if (x->n == x->size) {
        unsigned size = x->size ? 2 * x->size : 64;
        uint8_t *grown = realloc(x->batch, size);

        if (grown == NULL) {
            return -1;
        }
        x->batch = grown;
        x->size = size;
    }
    x->batch[x->n++] = (uint8_t) batch;
    return 0;
}

/* Puts grounds that Redis does not have yet before the record that refers to them. 0, -1 link,
 * -2 journal. */
static int put_grounds(rcd_fill_t *f, const rcd_row_t *rows, int n, expected_t *x)
{
    uint64_t fill = f->s->written.fills;
    uint8_t value[JD_GROUNDS_MAX];
    rcd_args_t a;
    size_t len;

    for (int i = 0; i < n; i++) {
        int rc = rcd_store_grounds_unsent(f->s, rows[i].grounds, fill, value, &len);
        if (rc < 0) {
            return -2;
        }
        if (rc == 0) {
            continue;
        }
        rcd_args_begin(&a);
        rcd_args_key(&a, f->meta);
        rcd_args_key(&a, f->grounds);
        rcd_args_text(&a, f->writer);
        rcd_args_add(&a, rows[i].grounds, JD_GROUNDS_ID_LEN);
        rcd_args_add(&a, value, len);
        if (rcd_link_append(f->link, RCD_SCRIPT_GROUNDS, &a) != RCD_LINK_OK) {
            return -1;
        }
        if (expect(x, 0) < 0 || rcd_store_grounds_sent(f->s, rows[i].grounds, fill) < 0) {
            return -2;
        }
    }
    return 0;
}

/* Adds a digest with its record. 0, -1, -2 as above. */
static int batch_add(rcd_fill_t *f, batch_t *b, const rcd_era_t *e, const uint8_t *digest,
                     expected_t *x)
{
    uint32_t bucket = jd_redis_bucket_of(digest, e->bits);
    rcd_row_t rows[JD_ORDERS_MAX];
    rcd_note_t note;
    unsigned i = b->n;
    int n, rc;

    if (rcd_record(f->s, f->rules, e->era, digest, b->record[i], &b->len[i], rows, &n, &note) < 0 ||
        rcd_note_keep(f->s, digest, &note, rcd_clock_wall()) < 0) {
        return -2;
    }
    rc = put_grounds(f, rows, n, x);
    if (rc < 0) {
        return rc;
    }
    if (b->n_keys == 0 || b->last_bucket != bucket) {
        jd_redis_bucket(b->bucket[b->n_keys++], f->list, e->era, bucket);
        b->last_bucket = bucket;
    }
    memcpy(b->digest[i], digest, JD_DIGEST_LEN);
    b->key[i] = b->n_keys - 1;
    b->n++;
    return 0;
}

/* Sends what is in the batch. */
static int batch_send(rcd_fill_t *f, batch_t *b, int change, const rcd_era_t *e, expected_t *x)
{
    unsigned first = change ? 3 : 2;                   /* of the buckets among KEYS, from 1 */
    char index[RCD_FILL_BATCH][8], era[24], cap[24], least[24];
    rcd_args_t *a = &b->args;

    rcd_args_begin(a);
    rcd_args_key(a, f->meta);
    if (change) {
        rcd_args_key(a, f->changes);
    }
    for (unsigned i = 0; i < b->n_keys; i++) {
        rcd_args_key(a, b->bucket[i]);
    }
    rcd_args_text(a, f->writer);
    if (change) {
        snprintf(era, sizeof(era), "%llu", (unsigned long long) e->era);
        snprintf(cap, sizeof(cap), "%d", JD_CHANGES_CAP);
        snprintf(least, sizeof(least), "%llu", (unsigned long long) e->last_id);
        rcd_args_text(a, era);
        rcd_args_text(a, cap);
        rcd_args_text(a, least);
    }
    for (unsigned i = 0; i < b->n; i++) {
        snprintf(index[i], sizeof(index[i]), "%u", b->key[i] + first);
        rcd_args_text(a, index[i]);
        rcd_args_add(a, b->digest[i], JD_DIGEST_LEN);
        rcd_args_add(a, b->record[i], b->len[i]);
    }
    b->n = b->n_keys = 0;
    if (rcd_link_append(f->link, change ? RCD_SCRIPT_CHANGE : RCD_SCRIPT_FILL, a) != RCD_LINK_OK) {
        return -1;
    }
    return expect(x, 1) < 0 ? -2 : 0;
}

/* Reads every answer; the era as the last one tells. After an error reply the others are read
 * too, and the link says the first error. */
static int read_answers(rcd_fill_t *f, int change, rcd_era_t *e, const expected_t *x)
{
    rcd_link_t first;
    int rc = 0;

    for (unsigned i = 0; i < x->n; i++) {
        redisReply *r = rcd_link_next(f->link);

        if (r == NULL) {
            if (f->link->c == NULL) {
                return -1;
            }
            if (rc == 0) {
                first = *f->link;
            }
            rc = -1;
            continue;
        }
        if (x->batch[i] && change && r->type == REDIS_REPLY_ARRAY && r->elements == 2) {
            e->last_id = (uint64_t) r->element[0]->integer;
            e->count = (uint64_t) r->element[1]->integer;
        } else if (x->batch[i] && r->type == REDIS_REPLY_INTEGER) {
            e->count += (uint64_t) r->integer;
        }
        freeReplyObject(r);
    }
    if (rc < 0) {
        *f->link = first;
    }
    return rc;
}

/* The next digest of the source: 1, 2 when there is none in this look, 0 at the end, -1. */
static int source_next(rcd_fill_t *f, rcd_fill_source_t source, rcd_era_t *e, int total,
                       uint8_t digest[JD_DIGEST_LEN])
{
    switch (source) {
    case RCD_FILL_LIVE:
        return rcd_store_next_live(f->s, e->started ? e->after : NULL, digest);
    case RCD_FILL_LINKED:
        return rcd_reach_next(f->s, &e->linked, digest);
    default:
        return rcd_store_dirty_next(f->s, total > 0 ? e->after : NULL, digest);
    }
}

/* Fills the pipeline from the source; returns digests put (of LINKED: looks), or -1, -2. */
static int build(rcd_fill_t *f, rcd_fill_source_t source, rcd_era_t *e, batch_t *b, expected_t *x)
{
    int64_t end = rcd_slice_now() + RCD_FILL_NS;
    uint8_t digest[JD_DIGEST_LEN];
    int total = 0, rc;

    while ((rc = source_next(f, source, e, total, digest)) > 0) {
        total++;
        if (rc == 1) {
            rc = batch_add(f, b, e, digest, x);
            if (rc < 0) {
                return rc;
            }
            if ((source == RCD_FILL_DIRTY || source == RCD_FILL_DIRTY_TO_COME) &&
                rcd_store_dirty_clean(f->s, digest) < 0) {
                return -2;
            }
            memcpy(e->after, digest, JD_DIGEST_LEN);
            e->started = 1;
        }
        if (b->n == RCD_FILL_BATCH) {
            rc = batch_send(f, b, source == RCD_FILL_DIRTY, e, x);
            if (rc < 0) {
                return rc;
            }
        }
        if (total % RCD_FILL_BATCH == 0 &&
            (total >= RCD_FILL_BATCH * RCD_FILL_DEPTH || rcd_slice_over(end))) {
            break;
        }
    }
    if (rc < 0) {
        return -2;
    }
    rc = b->n > 0 ? batch_send(f, b, source == RCD_FILL_DIRTY, e, x) : 0;
    return rc < 0 ? rc : total;
}

int rcd_fill_some(rcd_fill_t *f, rcd_fill_source_t source, rcd_era_t *e, int *journal)
{
    rcd_era_t next = *e;
    expected_t x = {0};
    batch_t *b = malloc(sizeof(*b));
    int n = -2;

    *journal = 0;
    if (b == NULL) {
        snprintf(f->s->fault, sizeof(f->s->fault), "out of memory");
    } else if (rcd_store_begin(f->s, 0) == 0) {
        b->n = b->n_keys = 0;
        n = build(f, source, &next, b, &x);
        if (read_answers(f, source == RCD_FILL_DIRTY, &next, &x) < 0 && n >= 0) {
            n = -1;
        }
        if (n >= 0 && source == RCD_FILL_DIRTY) {
            f->s->written.last_id = next.last_id;
            f->s->written.count = next.count;
            n = rcd_store_save_written(f->s) < 0 ? -2 : n;
        }
        if (n >= 0 && rcd_store_commit(f->s) < 0) {
            n = -2;
        }
        if (n < 0) {
            rcd_store_rollback(f->s);
        } else {
            *e = next;
        }
    }
    free(x.batch);
    free(b);
    *journal = n == -2;
    return n < 0 ? -1 : n;
}
