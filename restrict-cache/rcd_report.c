/*
 * rcd_report - one month of the list in numbers: gathered from the journal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_ledger_rows.h"
#include "rcd_report.h"
#include "rcd_sql.h"

const char *const rcd_report_names[RCD_R_N] = {
    "orders", "people", "observed", "no_relevance", "denied", "lifts", "stays", "objections",
    "objections_lifted", "objections_ended", "objections_over", "objections_open", "dropped",
    "relisted",
};

#define WHOLE_LIST  UINT32_MAX             /* instead of a row */

typedef struct {                           /* an authority and a basis */
    char    *authority, *basis;
    uint32_t row[JD_MEASURE_N];            /* 1 + index of the report's row, 0 = none yet */
} pair_t;

typedef struct {
    uint8_t id[JD_GROUNDS_ID_LEN];
    size_t  pair;
    int     has_relevance;
} grounds_t;

typedef struct {
    uint32_t row;
    uint8_t  digest[JD_DIGEST_LEN];
} person_t;

typedef struct {
    rcd_report_t    *r;
    rcd_state_t     *s;
    const jd_keys_t *keys;
    pair_t          *pair;
    size_t           pairs, size_pairs;
    grounds_t       *grounds;              /* sorted by id */
    size_t           n_grounds, size_grounds;
    person_t        *person;
    size_t           persons, size_persons;
    int              failed;               /* s->fault says why */
} gather_t;

/* Room for one more element. 0, or -1 with g->failed. */
static int room(gather_t *g, void **array, size_t n, size_t *size, size_t element)
{
    void *grown;

    if (n < *size) {
        return 0;
    }
    grown = realloc(*array, (*size == 0 ? 64 : *size * 2) * element);
    if (grown == NULL) {
        snprintf(g->s->fault, sizeof(g->s->fault), "out of memory");
        g->failed = 1;
        return -1;
    }
    *array = grown;
    *size = *size == 0 ? 64 : *size * 2;
    return 0;
}

/* ---- texts ----------------------------------------------------------------------------------- */

/* The pair of two texts, found or made: its index. */
static size_t pair_of(gather_t *g, const char *authority, size_t authority_len, const char *basis,
                      size_t basis_len)
{
    pair_t *p;

    for (size_t i = 0; i < g->pairs; i++) {
        p = &g->pair[i];
        if (strlen(p->authority) == authority_len && strlen(p->basis) == basis_len &&
            memcmp(p->authority, authority, authority_len) == 0 &&
            memcmp(p->basis, basis, basis_len) == 0) {
            return i;
        }
    }
    if (room(g, (void **) &g->pair, g->pairs, &g->size_pairs, sizeof(*g->pair)) != 0) {
        return 0;
    }
    p = &g->pair[g->pairs];
    memset(p, 0, sizeof(*p));
    p->authority = strndup(authority, authority_len);
    p->basis = strndup(basis, basis_len);
    g->failed |= p->authority == NULL || p->basis == NULL;
    return g->pairs++;
}

/* Reads texts as the journal has them: verified by one of the keys, or, when that key is gone, as
 * they stand. 1 or 0. */
static int read_texts(gather_t *g, const uint8_t *id, uint8_t *value, jd_grounds_t *texts)
{
    int len = rcd_state_grounds(g->s, id, value);
    jd_record_rc_t rc = JD_RECORD_BAD;

    g->failed |= len < 0;
    for (unsigned i = 0; len > 0 && i < g->keys->n && rc != JD_RECORD_OK; i++) {
        rc = jd_grounds_decode(&g->keys->key[i], id, value, (size_t) len, texts);
    }
    return rc == JD_RECORD_OK || rc == JD_RECORD_FORGED;
}

/* Grounds by id; NULL without memory. Valid until the next call. */
static const grounds_t *grounds_of(gather_t *g, const uint8_t id[JD_GROUNDS_ID_LEN])
{
    static uint8_t value[JD_GROUNDS_MAX];
    size_t low = 0, high = g->n_grounds, middle;
    jd_grounds_t t;
    grounds_t *at;

    while (low < high) {
        middle = (low + high) / 2;
        if (memcmp(g->grounds[middle].id, id, JD_GROUNDS_ID_LEN) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low < g->n_grounds && memcmp(g->grounds[low].id, id, JD_GROUNDS_ID_LEN) == 0) {
        return &g->grounds[low];
    }
    if (room(g, (void **) &g->grounds, g->n_grounds, &g->size_grounds, sizeof(*at)) != 0) {
        return NULL;
    }
    at = &g->grounds[low];
    memmove(at + 1, at, (g->n_grounds++ - low) * sizeof(*at));
    memset(at, 0, sizeof(*at));
    memcpy(at->id, id, JD_GROUNDS_ID_LEN);
    if (read_texts(g, id, value, &t)) {
        at->pair = pair_of(g, t.authority.text, t.authority.len, t.basis.text, t.basis.len);
        at->has_relevance = t.relevance.len > 0;
    } else {
        at->pair = pair_of(g, "", 0, "", 0);
    }
    return at;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* The row of a pair and a measure, found or made; NULL without memory. */
static rcd_report_row_t *row_of(gather_t *g, size_t pair, unsigned measure)
{
    rcd_report_t *r = g->r;
    pair_t *p = &g->pair[pair];
    rcd_report_row_t *row;

    if (p->row[measure] != 0) {
        return &r->row[p->row[measure] - 1];
    }
    if (room(g, (void **) &r->row, r->rows, &r->size_rows, sizeof(*r->row)) != 0) {
        return NULL;
    }
    row = &r->row[r->rows];
    *row = (rcd_report_row_t) {.measure = measure, .median_lift_sec = -1,
                               .authority = strdup(p->authority), .basis = strdup(p->basis)};
    g->failed |= row->authority == NULL || row->basis == NULL;
    p->row[measure] = (uint32_t) ++r->rows;
    return row;
}

/* Adds to a quantity in the row of each measure, and once to the total. */
static void add(gather_t *g, size_t pair, uint16_t measures, rcd_report_quantity_t q, int64_t n)
{
    rcd_report_row_t *row;

    for (unsigned bit = 0; bit < JD_MEASURE_N && !g->failed; bit++) {
        row = measures & 1u << bit ? row_of(g, pair, bit) : NULL;
        if (row != NULL) {
            row->n[q] += n;
        }
    }
    g->r->total[q] += n;
}

static int compare_rows(const void *a, const void *b)
{
    const rcd_report_row_t *x = a, *y = b;
    int c = strcmp(x->authority, y->authority);

    c = c != 0 ? c : strcmp(x->basis, y->basis);
    return c != 0 ? c : (int) x->measure - (int) y->measure;
}

/* ---- orders and people ----------------------------------------------------------------------- */

/* Measures of an order that had been lifted before the month began. */
static uint16_t lifted_before(gather_t *g, const char *number)
{
    static const char text[] = "SELECT measures FROM lifts WHERE number = ? AND applied_ms < ?";
    uint16_t lifted = 0;
    sqlite3_stmt *q;
    int rc;

    if (sqlite3_prepare_v2(g->s->db, text, -1, &q, NULL) != SQLITE_OK) {
        g->failed |= rcd_sql_failed(g->s) < 0;
        return 0;
    }
    rcd_sql_text(q, 1, number);
    rcd_sql_int(q, 2, g->r->from * 1000);
    while ((rc = rcd_sql_step(g->s, q)) > 0) {
        lifted |= (uint16_t) rcd_sql_col(q, 0);
    }
    sqlite3_finalize(q);
    g->failed |= rc < 0;
    return lifted;
}

static void person_add(gather_t *g, uint32_t row, const uint8_t digest[JD_DIGEST_LEN])
{
    if (room(g, (void **) &g->person, g->persons, &g->size_persons, sizeof(*g->person)) == 0) {
        g->person[g->persons].row = row;
        memcpy(g->person[g->persons++].digest, digest, JD_DIGEST_LEN);
    }
}

static int each_order(void *arg, const rcd_row_t *row, const jd_relief_t *relief)
{
    gather_t *g = arg;
    const rcd_report_t *r = g->r;
    uint16_t measures = row->measures;
    const grounds_t *t;
    size_t pair;

    if (row->start >= r->until || row->until <= r->from ||
        (row->ended != RCD_END_NONE && row->ended_at <= r->from)) {
        return 0;
    }
    if (relief->lifted & measures) {
        measures &= (uint16_t) ~lifted_before(g, row->number);
    }
    t = measures == 0 ? NULL : grounds_of(g, row->grounds);
    if (t == NULL) {
        return g->failed;
    }
    pair = t->pair;
    if (row->flags & JD_ORDER_OBSERVE) {
        add(g, pair, measures, RCD_R_OBSERVED, 1);
        return g->failed;
    }
    add(g, pair, measures, RCD_R_NO_RELEVANCE, !t->has_relevance);
    add(g, pair, measures, RCD_R_ORDERS, 1);
    person_add(g, WHOLE_LIST, row->digest);
    for (unsigned bit = 0; bit < JD_MEASURE_N && !g->failed; bit++) {
        if (measures & 1u << bit) {
            person_add(g, g->pair[pair].row[bit] - 1, row->digest);
        }
    }
    return g->failed;
}

static int compare_persons(const void *a, const void *b)
{
    const person_t *x = a, *y = b;

    return x->row != y->row ? (x->row < y->row ? -1 : 1)
                            : memcmp(x->digest, y->digest, JD_DIGEST_LEN);
}

/* A person of several orders counts once. */
static void people_count(gather_t *g)
{
    if (g->persons == 0) {
        return;
    }
    qsort(g->person, g->persons, sizeof(*g->person), compare_persons);
    for (size_t i = 0; i < g->persons; i++) {
        const person_t *p = &g->person[i];

        if (i > 0 && compare_persons(p - 1, p) == 0) {
            continue;
        }
        if (p->row == WHOLE_LIST) {
            g->r->total[RCD_R_PEOPLE]++;
        } else {
            g->r->row[p->row].n[RCD_R_PEOPLE]++;
        }
    }
}

/* ---- what happened in the month -------------------------------------------------------------- */

typedef struct {
    const char *number;
    int64_t     a, b;                      /* further columns */
} happened_t;

/* Runs a query for (number, a, b) with ?1 = `from` and ?2 = `until` of the month times `scale`. */
static void each_happened(gather_t *g, const char *text, int64_t scale,
                          void (*each)(gather_t *g, const happened_t *h))
{
    sqlite3_stmt *q;
    int rc;

    if (sqlite3_prepare_v2(g->s->db, text, -1, &q, NULL) != SQLITE_OK) {
        g->failed |= rcd_sql_failed(g->s) < 0;
        return;
    }
    rcd_sql_int(q, 1, g->r->from * scale);
    rcd_sql_int(q, 2, g->r->until * scale);
    while ((rc = rcd_sql_step(g->s, q)) > 0 && !g->failed) {
        happened_t h = {(const char *) sqlite3_column_text(q, 0), rcd_sql_col(q, 1),
                        rcd_sql_col(q, 2)};

        each(g, &h);
    }
    sqlite3_finalize(q);
    g->failed |= rc < 0;
}

/* Texts and measures of an order by number: 1, or 0 when the journal does not know it; then it is
 * counted without authority and basis. */
static int order_of(gather_t *g, const char *number, size_t *pair, uint16_t *measures)
{
    const grounds_t *t = NULL;
    jd_relief_t relief;
    rcd_row_t row;
    int rc = rcd_state_order(g->s, number, &row, &relief);

    g->failed |= rc < 0;
    if (rc > 0) {
        t = grounds_of(g, row.grounds);
    }
    *pair = t != NULL ? t->pair : pair_of(g, "", 0, "", 0);
    *measures = rc > 0 ? row.measures : 0;
    return rc > 0;
}

static int each_denied(void *arg, const rcd_ledger_count_t *c, int64_t sent)
{
    gather_t *g = arg;
    uint16_t measures;
    size_t pair;

    (void) sent;
    order_of(g, c->number, &pair, &measures);
    add(g, pair, (uint16_t) (1u << c->measure), RCD_R_DENIED, c->total);
    return g->failed;
}

/* h: measures, milliseconds from act to effect (-1: not measured) */
static void lift_add(gather_t *g, const happened_t *h)
{
    rcd_report_row_t *row;
    uint16_t measures;
    size_t pair;

    if (order_of(g, h->number, &pair, &measures)) {
        measures &= (uint16_t) h->a;
    } else {
        measures = (uint16_t) h->a & JD_MEASURE_ALL;
    }
    add(g, pair, measures, RCD_R_LIFTS, 1);
    for (unsigned bit = 0; bit < JD_MEASURE_N && h->b >= 0 && !g->failed; bit++) {
        row = measures & 1u << bit ? row_of(g, pair, bit) : NULL;
        if (row != NULL && room(g, (void **) &row->lift_sec, row->n_lift, &row->size_lift,
                                sizeof(*row->lift_sec)) == 0) {
            row->lift_sec[row->n_lift++] = h->b / 1000;
        }
    }
}

/* One more of a quantity for the order: h->a. */
static void event_add(gather_t *g, const happened_t *h)
{
    uint16_t measures;
    size_t pair;

    order_of(g, h->number, &pair, &measures);
    add(g, pair, measures, (rcd_report_quantity_t) h->a, 1);
}

static void stay_of_person(gather_t *g, const happened_t *h)
{
    (void) h;
    g->r->stays_of_persons++;
}

static void events_gather(gather_t *g)
{
    char text[512];

    /* from the act, or what the office signed, to the first gateway; else to Redis */
    each_happened(g, "SELECT number, measures, CASE WHEN first_ms + redis_ms = 0 THEN -1 ELSE"
                     " max(0, CASE first_ms WHEN 0 THEN redis_ms ELSE first_ms END -"
                     " 1000 * CASE toe WHEN 0 THEN iat ELSE toe END) END FROM lifts"
                     " WHERE applied_ms >= ?1 AND applied_ms < ?2", 1000, lift_add);
    snprintf(text, sizeof(text), "SELECT number, %d, 0 FROM stays WHERE number <> ''"
             " AND since >= ?1 AND since < ?2", RCD_R_STAYS);
    each_happened(g, text, 1, event_add);
    each_happened(g, "SELECT '', 0, 0 FROM stays WHERE number = '' AND since >= ?1 AND since < ?2",
                  1, stay_of_person);
    snprintf(text, sizeof(text), "SELECT number, %d, 0 FROM objections WHERE since >= ?1"
             " AND since < ?2", RCD_R_OBJECTIONS);
    each_happened(g, text, 1, event_add);
    /* how: 1 withdrawn, 2 ended; then 3 + rcd_end_t */
    snprintf(text, sizeof(text), "SELECT number, CASE how WHEN 1 THEN %d WHEN 2 THEN %d"
             " WHEN %d THEN %d ELSE %d END, 0 FROM objections WHERE until >= ?1 AND until < ?2",
             RCD_R_OBJECTIONS_ENDED, RCD_R_OBJECTIONS_ENDED, 3 + RCD_END_LIFTED,
             RCD_R_OBJECTIONS_LIFTED, RCD_R_OBJECTIONS_OVER);
    each_happened(g, text, 1, event_add);
    snprintf(text, sizeof(text), "SELECT number, %d, ?1 FROM objections WHERE since < ?2"
             " AND (until = 0 OR until >= ?2)", RCD_R_OBJECTIONS_OPEN);
    each_happened(g, text, 1, event_add);
    snprintf(text, sizeof(text), "SELECT number, %d, 0 FROM orders WHERE ended = %d"
             " AND ended_at >= ?1 AND ended_at < ?2", RCD_R_DROPPED, RCD_END_DROPPED);
    each_happened(g, text, 1, event_add);
    snprintf(text, sizeof(text), "SELECT number, %d, 0 FROM relisted WHERE at >= ?1 AND at < ?2",
             RCD_R_RELISTED);
    each_happened(g, text, 1, event_add);
}

/* ---- dry runs -------------------------------------------------------------------------------- */

static int each_hour(void *arg, const char *gateway, const rcd_ledger_hour_t *h, int closed)
{
    gather_t *g = arg;
    rcd_report_t *r = g->r;
    rcd_report_dry_t *d = NULL;

    (void) gateway;
    r->complete &= closed;
    for (size_t i = 0; i < r->dries && d == NULL; i++) {
        d = r->dry[i].measure == h->measure && strcmp(r->dry[i].authority, h->authority) == 0
                ? &r->dry[i] : NULL;
    }
    if (d == NULL && h->dry_run > 0 &&
        room(g, (void **) &r->dry, r->dries, &r->size_dries, sizeof(*r->dry)) == 0) {
        d = &r->dry[r->dries++];
        *d = (rcd_report_dry_t) {.authority = strdup(h->authority), .measure = h->measure};
        g->failed |= d->authority == NULL;
    }
    if (d != NULL) {
        d->dry_run += h->dry_run;
    }
    r->dry_total += h->dry_run;
    return g->failed;
}

static int compare_dries(const void *a, const void *b)
{
    const rcd_report_dry_t *x = a, *y = b;
    int c = strcmp(x->authority, y->authority);

    return c != 0 ? c : (int) x->measure - (int) y->measure;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void gather_fini(gather_t *g)
{
    for (size_t i = 0; i < g->pairs; i++) {
        free(g->pair[i].authority);
        free(g->pair[i].basis);
    }
    free(g->pair);
    free(g->grounds);
    free(g->person);
}

int rcd_report_gather(rcd_report_t *r, rcd_state_t *s, const char *dir, const jd_keys_t *keys,
                      const char *month, int64_t now, char *err, size_t err_size)
{
    gather_t g = {.r = r, .s = s, .keys = keys};

    memset(r, 0, sizeof(*r));
    if (rcd_month_parse(month, strlen(month), &r->from, &r->until) != 0) {
        snprintf(err, err_size, "%s is no month; write it as 2026-11", month);
        return -1;
    }
    snprintf(r->month, sizeof(r->month), "%s", month);
    r->complete = now >= r->until && rcd_ledger_is_open(s, month) == 0;
    g.failed |= rcd_state_orders(s, NULL, each_order, &g) < 0;
    people_count(&g);
    g.failed |= rcd_ledger_each_count(s, month, each_denied, &g) < 0;
    g.failed |= rcd_ledger_each_hour(s, r->from, r->until, each_hour, &g) < 0;
    events_gather(&g);
    if (r->rows > 0) {
        qsort(r->row, r->rows, sizeof(*r->row), compare_rows);
    }
    if (r->dries > 0) {
        qsort(r->dry, r->dries, sizeof(*r->dry), compare_dries);
    }
    gather_fini(&g);
    if (g.failed) {
        snprintf(err, err_size, "%s", s->fault);
        return -1;
    }
    return rcd_report_chain(r, dir, err, err_size);
}

void rcd_report_fini(rcd_report_t *r)
{
    for (size_t i = 0; i < r->rows; i++) {
        free(r->row[i].authority);
        free(r->row[i].basis);
        free(r->row[i].lift_sec);
    }
    for (size_t i = 0; i < r->dries; i++) {
        free(r->dry[i].authority);
    }
    free(r->row);
    free(r->dry);
}
