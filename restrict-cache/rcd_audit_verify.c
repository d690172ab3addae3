/*
 * rcd_audit_verify - the chain file read from its first record to its last.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_audit_read.h"
#include "rcd_audit_signed.h"
#include "rcd_audit_verify.h"
#include "rcd_json.h"

#define BATCHES_MAX  256               /* reported, and their receipt still to come */
#define PLACES_MAX   4096              /* checkpoints that a batch may still name */

const char *const rcd_audit_damage_names[RCD_AUDIT_DAMAGE_N] = {
    "whole", "changed", "removed", "inserted", "reordered", "cut", "rebuilt", "checkpoint", "receipt",
};

typedef struct {
    rcd_audit_verify_t     *v;
    const rcd_audit_held_t *held;
    unsigned                held_at;   /* the next of `held` to be met */
    rcd_audit_reader_t      r;
    uint64_t                line_n;
    uint8_t                 hash[RCD_AUDIT_HASH_LEN];       /* of the record before */
    rcd_audit_batch_t       batch[BATCHES_MAX];             /* a ring */
    unsigned                batches;
    struct {
        uint64_t n;
        uint8_t  hash[RCD_AUDIT_HASH_LEN];
    }                       place[PLACES_MAX];              /* of checkpoints, a ring */
    uint64_t                places;
} verify_t;

__attribute__((format(printf, 4, 5)))
static void damaged(verify_t *c, rcd_audit_damage_t what, uint64_t n, const char *format, ...)
{
    va_list args;

    if (c->v->damage != RCD_AUDIT_WHOLE) {
        return;
    }
    c->v->damage = what;
    c->v->damage_n = n;
    c->v->damage_line = what == RCD_AUDIT_CUT || what == RCD_AUDIT_REMOVED ? 0 : c->line_n;
    va_start(args, format);
    vsnprintf(c->v->why, sizeof(c->v->why), format, args);
    va_end(args);
}

__attribute__((format(printf, 2, 3)))
static void note(verify_t *c, const char *format, ...)
{
    va_list args;

    if (c->v->notes_n++ < RCD_AUDIT_NOTES_MAX) {
        va_start(args, format);
        vsnprintf(c->v->notes[c->v->notes_n - 1], sizeof(c->v->notes[0]), format, args);
        va_end(args);
    }
}

/* ---- a record that is not the next one ------------------------------------------------------- */

/* Looks for record `n` in what follows: the number of its line, or 0. Reads to the end. */
static uint64_t line_of(verify_t *c, uint64_t n)
{
    uint64_t line_n = c->line_n;
    rcd_audit_line_t line;
    rcd_audit_read_t got;
    const char *text;
    size_t len;

    while ((got = rcd_audit_reader_next(&c->r, &text, &len)) == RCD_AUDIT_READ_LINE ||
           got == RCD_AUDIT_READ_LONG) {
        line_n++;
        if (got == RCD_AUDIT_READ_LINE && rcd_audit_line_parse(text, len, &line) == NULL &&
            line.n == n) {
            return line_n;
        }
    }
    return 0;
}

/* A genuine record stands where another should: says which of the ways it came about. */
static void misplaced(verify_t *c, const rcd_audit_line_t *line)
{
    uint64_t next = c->v->last_n + 1, at;

    if (line->n < next) {
        damaged(c, RCD_AUDIT_INSERTED, line->n, "record %" PRIu64 " stands behind record %" PRIu64
                ": one that was there already, or another under its number, was inserted", line->n,
                next - 1);
        return;
    }
    if (line->n == next) {
        damaged(c, RCD_AUDIT_CHANGED, next - 1, "record %" PRIu64 " names another hash of record %"
                PRIu64 " than it has: record %" PRIu64 " was changed and its hash made anew, or another"
                " put in its place", next, next - 1, next - 1);
        return;
    }
    at = line_of(c, next);
    if (at != 0) {
        damaged(c, RCD_AUDIT_REORDERED, next, "record %" PRIu64 " stands before record %" PRIu64
                ", which is at line %" PRIu64, line->n, next, at);
    } else if (line->n == next + 1) {
        damaged(c, RCD_AUDIT_REMOVED, next, "record %" PRIu64 " is missing", next);
    } else {
        damaged(c, RCD_AUDIT_REMOVED, next, "records %" PRIu64 " to %" PRIu64 " are missing", next,
                line->n - 1);
    }
}

/* ---- what records say of the chain itself ---------------------------------------------------- */

static cJSON *members(const rcd_audit_line_t *line)
{
    char *text = malloc(line->text_len + 2);
    const char *why;
    cJSON *o;

    if (text == NULL || line->text_len == 0) {
        free(text);
        return NULL;
    }
    memcpy(text, line->text, line->text_len);
    text[0] = '{';
    text[line->text_len] = '}';
    o = rcd_json_parse(text, line->text_len + 1, &why);
    free(text);
    return o;
}

/* A chain is one operator's, of one list, and for one office: the first token says which, where the
 * caller does not know. */
static void party_keep(char party[RCD_AUDIT_SIGNED_MAX], const char *told)
{
    if (party[0] == '\0') {
        snprintf(party, RCD_AUDIT_SIGNED_MAX, "%s", told);
    }
}

static void checkpoint_check(verify_t *c, const rcd_audit_line_t *line, const cJSON *o)
{
    rcd_audit_verify_t *v = c->v;
    rcd_audit_claims_t claims;
    const char *why;

    c->place[c->places % PLACES_MAX].n = line->n - 1;
    memcpy(c->place[c->places % PLACES_MAX].hash, line->prev, sizeof(line->prev));
    c->places++;
    if (v->operator_keys == NULL) {
        v->checkpoints++;
        return;
    }
    why = rcd_audit_checkpoint_read(v, rcd_json_string(o, "checkpoint"), &claims);
    if (why == NULL && (claims.n != line->n - 1 ||
                        memcmp(claims.hash, line->prev, sizeof(claims.hash)) != 0)) {
        why = "it is over another record than the one before it: taken from elsewhere";
    }
    if (why != NULL) {
        damaged(c, RCD_AUDIT_CHECKPOINT, line->n, "the checkpoint in record %" PRIu64
                " does not vouch for this chain: %s", line->n, why);
        return;
    }
    party_keep(v->iss, claims.iss);
    party_keep(v->list, claims.list);
    v->checkpoints++;
    v->checkpoint.n = claims.n;
    v->checkpoint.at = claims.iat;
    memcpy(v->checkpoint.kid, claims.kid, sizeof(claims.kid));
}

/* 1 when the chain has a checkpoint at this place; too long ago to be known counts as one. */
static int has_checkpoint(const verify_t *c, uint64_t n, const uint8_t hash[RCD_AUDIT_HASH_LEN])
{
    uint64_t known = c->places < PLACES_MAX ? c->places : PLACES_MAX;

    for (uint64_t i = 0; i < known; i++) {
        if (c->place[i].n == n && memcmp(c->place[i].hash, hash, RCD_AUDIT_HASH_LEN) == 0) {
            return 1;
        }
    }
    return c->places > PLACES_MAX && n < c->place[c->places % PLACES_MAX].n;
}

static void batch_check(verify_t *c, const rcd_audit_line_t *line, const cJSON *o)
{
    rcd_audit_batch_t *b = &c->batch[c->batches % BATCHES_MAX];

    if (rcd_audit_batch_read(o, b) != 0) {
        return;
    }
    c->batches++;
    if (b->n > 0 && !has_checkpoint(c, b->n, b->chain_hash)) {
        damaged(c, RCD_AUDIT_REBUILT, line->n, "record %" PRIu64 ": with this batch went a checkpoint "
                "over record %" PRIu64 " that the chain does not have: what is before it was rewritten",
                line->n, b->n);
    }
}

static const rcd_audit_batch_t *batch_find(const verify_t *c, const char *batch)
{
    unsigned n = c->batches < BATCHES_MAX ? c->batches : BATCHES_MAX;

    for (unsigned i = 0; i < n; i++) {
        const rcd_audit_batch_t *b = &c->batch[(c->batches - 1 - i) % BATCHES_MAX];

        if (strcmp(b->batch, batch) == 0) {
            return b;
        }
    }
    return NULL;
}

/* The office's receipt: for the batch it stands at, and over the checkpoint that went with it. */
static void receipt_check(verify_t *c, const rcd_audit_line_t *line, const cJSON *o)
{
    rcd_audit_verify_t *v = c->v;
    const rcd_audit_batch_t *b;
    rcd_audit_claims_t claims;
    rcd_audit_batch_t own;
    const char *why;

    if (v->office_keys == NULL) {
        v->receipts++;
        return;
    }
    why = rcd_audit_receipt_read(v, rcd_json_string(o, "receipt"), &claims);
    b = why == NULL ? batch_find(c, claims.batch) : NULL;
    if (why == NULL && rcd_audit_batch_read(o, &own) == 0 && strcmp(own.batch, claims.batch) != 0) {
        why = "it is for another batch than the record says";
    } else if (why == NULL && b == NULL) {
        why = "no batch of this number was reported before it";
    } else if (why == NULL && strcmp(b->hash, claims.batch_hash) != 0) {
        why = "it is for other content than the batch that was reported";
    } else if (why == NULL && claims.n > 0 && (claims.n != b->n ||
               memcmp(claims.hash, b->chain_hash, sizeof(claims.hash)) != 0)) {
        why = "it names another checkpoint than went with the batch";
    }
    if (why != NULL) {
        damaged(c, RCD_AUDIT_RECEIPT, line->n, "the receipt in record %" PRIu64 " is not good: %s",
                line->n, why);
        return;
    }
    party_keep(v->office, claims.iss);
    v->receipts++;
    v->receipts_bare += claims.n == 0;
    if (claims.n > 0 && claims.n >= v->receipt.n) {
        v->receipt.n = claims.n;
        v->receipt.at = claims.iat;
        memcpy(v->receipt.kid, claims.kid, sizeof(claims.kid));
        snprintf(v->receipt_batch, sizeof(v->receipt_batch), "%s", claims.batch);
    }
}

/* The daemon found file and journal at odds. */
static void chain_check(verify_t *c, const rcd_audit_line_t *line, const cJSON *o)
{
    const char *why = rcd_json_string(o, "why");
    uint64_t known = 0, found = 0;

    rcd_json_uint(o, "known_n", RCD_JSON_INT_MAX, &known);
    rcd_json_uint(o, "found_n", RCD_JSON_INT_MAX, &found);
    if (why != NULL && strcmp(why, "longer") == 0) {
        note(c, "record %" PRIu64 ": the journal knew %" PRIu64 " of %" PRIu64
             " records: it was restored from a backup, or is new", line->n, known, found);
        return;
    }
    damaged(c, why != NULL && strcmp(why, "foreign") == 0 ? RCD_AUDIT_INSERTED : RCD_AUDIT_REBUILT,
            line->n, "record %" PRIu64 ": the daemon found the file at odds with its journal, which "
            "knew record %" PRIu64 " (%.20s)", line->n, known, why != NULL ? why : "?");
}

static void look_into(verify_t *c, const rcd_audit_line_t *line)
{
    static const struct {
        const char *kind;
        void      (*check)(verify_t *c, const rcd_audit_line_t *line, const cJSON *o);
    } kinds[] = {
        {"batch", batch_check},
        {"checkpoint", checkpoint_check},
        {"receipt", receipt_check},
        {"chain", chain_check},
    };
    cJSON *o;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(line->kind, kinds[i].kind) == 0) {
            o = members(line);
            kinds[i].check(c, line, o);
            cJSON_Delete(o);
        }
    }
}

/* What the journal and the office know of this record. */
static void compare(verify_t *c, const rcd_audit_line_t *line)
{
    rcd_audit_verify_t *v = c->v;

    if (line->n == v->known_n && memcmp(line->hash, v->known_hash, sizeof(line->hash)) != 0) {
        damaged(c, RCD_AUDIT_REBUILT, line->n, "record %" PRIu64 " is another one than the journal "
                "knows: the file was rebuilt, or belongs to another journal", line->n);
    }
    for (; c->held != NULL && c->held_at < c->held->n &&
           c->held->entry[c->held_at].n <= line->n; c->held_at++) {
        const char *kind = c->held->entry[c->held_at].by_office ? "receipt" : "checkpoint";

        if (c->held->entry[c->held_at].n < line->n ||
            memcmp(c->held->entry[c->held_at].hash, line->hash, sizeof(line->hash)) != 0) {
            damaged(c, RCD_AUDIT_REBUILT, line->n, "record %" PRIu64 " is another one than a %s in "
                    "the office's hands says: the past was rewritten", line->n, kind);
        } else if (c->held->entry[c->held_at].by_office && line->n > v->receipt.n) {
            v->receipt.n = line->n;
            v->receipt.at = c->held->entry[c->held_at].at;
            memcpy(v->receipt.kid, c->held->entry[c->held_at].kid, sizeof(v->receipt.kid));
            v->receipt_batch[0] = '\0';
        }
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void take_line(verify_t *c, const char *text, size_t len)
{
    rcd_audit_verify_t *v = c->v;
    rcd_audit_line_t line;
    const char *why = rcd_audit_line_parse(text, len, &line);

    if (why != NULL) {
        damaged(c, RCD_AUDIT_CHANGED, v->last_n + 1, "line %" PRIu64 ", where record %" PRIu64
                " should stand, %s", c->line_n, v->last_n + 1, why);
    } else if (!line.genuine) {
        damaged(c, RCD_AUDIT_CHANGED, v->last_n + 1, "line %" PRIu64 ", where record %" PRIu64
                " should stand: its bytes do not have the hash that it names", c->line_n,
                v->last_n + 1);
    } else if (line.n != v->last_n + 1 || memcmp(line.prev, c->hash, sizeof(c->hash)) != 0) {
        misplaced(c, &line);
    } else {
        look_into(c, &line);
        compare(c, &line);
    }
    if (v->damage == RCD_AUDIT_WHOLE) {
        v->records++;
        v->last_n = line.n;
        memcpy(c->hash, line.hash, sizeof(c->hash));
    }
}

/* Whether the file ends before what somebody knows. */
static void end_check(verify_t *c)
{
    rcd_audit_verify_t *v = c->v;

    if (v->known_n > v->last_n) {
        damaged(c, RCD_AUDIT_CUT, v->last_n + 1, "the file ends with record %" PRIu64 ", the journal "
                "knows %" PRIu64 ": records %" PRIu64 " to %" PRIu64 " were cut off", v->last_n,
                v->known_n, v->last_n + 1, v->known_n);
    }
    if (c->held != NULL && c->held_at < c->held->n) {
        uint64_t top = c->held->entry[c->held->n - 1].n;

        damaged(c, RCD_AUDIT_CUT, v->last_n + 1, "the file ends with record %" PRIu64 ", a receipt or "
                "checkpoint in the office's hands is over record %" PRIu64 ": what is behind %" PRIu64
                " was cut off", v->last_n, top, v->last_n);
    }
    if (v->operator_keys != NULL && v->signed_expected && v->records > 0 && v->checkpoints == 0) {
        damaged(c, RCD_AUDIT_REBUILT, 1, "no record is vouched for by the operator's key: the file was "
                "rebuilt without it, or never signed");
    }
    if (v->operator_keys != NULL && v->known_checkpoint > v->checkpoint.n) {
        damaged(c, RCD_AUDIT_REBUILT, v->known_checkpoint, "the journal knows a checkpoint over record %"
                PRIu64 ", the file has none: it was rebuilt without the key", v->known_checkpoint);
    }
}

int rcd_audit_verify(rcd_audit_verify_t *v, const rcd_audit_held_t *held, int fd)
{
    verify_t *c = calloc(1, sizeof(*c));
    rcd_audit_read_t got = RCD_AUDIT_READ_FAILED;
    const char *text;
    size_t len;

    if (c == NULL || rcd_audit_reader_init(&c->r, fd, 0) != 0) {
        free(c);
        errno = ENOMEM;
        return -1;
    }
    c->v = v;
    c->held = held;
    while (v->damage == RCD_AUDIT_WHOLE) {
        got = rcd_audit_reader_next(&c->r, &text, &len);
        c->line_n++;
        if (got == RCD_AUDIT_READ_LONG) {
            damaged(c, RCD_AUDIT_CHANGED, v->last_n + 1, "line %" PRIu64 " is too long for a record",
                    c->line_n);
        } else if (got == RCD_AUDIT_READ_LINE) {
            take_line(c, text, len);
        } else {
            break;
        }
    }
    v->torn = got == RCD_AUDIT_READ_TORN;
    if (got != RCD_AUDIT_READ_FAILED) {
        end_check(c);
    }
    rcd_audit_reader_fini(&c->r);
    free(c);
    return got == RCD_AUDIT_READ_FAILED ? -1 : 0;
}

/* ---- what the office holds ------------------------------------------------------------------- */

static int by_n(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;                /* n is the first member */

    return *x < *y ? -1 : *x > *y;
}

/* One token of either kind, kept when it names a record. NULL, or what is wrong. */
static const char *held_add(const rcd_audit_verify_t *v, const char *jws, rcd_audit_held_t *held)
{
    const char *why = v->office_keys != NULL ? NULL : "no keys of the office are known";
    rcd_audit_claims_t claims;
    int by_office = 1;

    if (why == NULL) {
        why = rcd_audit_receipt_read(v, jws, &claims);
    }
    if (why != NULL && v->operator_keys != NULL &&
        rcd_audit_checkpoint_read(v, jws, &claims) == NULL) {
        by_office = 0;
        why = NULL;
    }
    if (why != NULL || claims.n == 0) {
        return why;
    }
    if (held->n == RCD_AUDIT_HELD_MAX) {
        return "more tokens than can be compared at once; give the newest";
    }
    held->entry[held->n].n = claims.n;
    held->entry[held->n].by_office = by_office;
    held->entry[held->n].at = claims.iat;
    memcpy(held->entry[held->n].hash, claims.hash, sizeof(claims.hash));
    memcpy(held->entry[held->n].kid, claims.kid, sizeof(claims.kid));
    held->n++;
    return NULL;
}

int rcd_audit_held_read(const rcd_audit_verify_t *v, const char *text, rcd_audit_held_t *held,
                        char *err, size_t err_size)
{
    unsigned line_n = 0;

    held->n = 0;
    for (const char *p = text, *end; *p != '\0'; p = *end == '\0' ? end : end + 1) {
        char *jws;
        const char *why;

        end = strchrnul(p, '\n');
        line_n++;
        if (p[strspn(p, " \t\r")] == '\n' || end == p) {
            continue;
        }
        jws = strndup(p, (size_t) (end - p) - (end[-1] == '\r'));
        why = jws != NULL ? held_add(v, jws, held) : "out of memory";
        free(jws);
        if (why != NULL) {
            snprintf(err, err_size, "line %u: %s", line_n, why);
            return -1;
        }
    }
    qsort(held->entry, held->n, sizeof(held->entry[0]), by_n);
    return 0;
}
