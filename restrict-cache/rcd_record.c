/*
 * rcd_record - what Redis should hold of a digest: its own orders, and those of the holders whose card
 * it is.
 */
#include <stdio.h>
#include <string.h>
#include "core/jd_measure.h"
#include "rcd_clock.h"
#include "rcd_record.h"

typedef struct {
    uint16_t   enabled, observed;
    int64_t    now;
    rcd_row_t *rows;                      /* what is kept, */
    jd_order_t orders[JD_ORDERS_MAX];     /* and the same as orders */
    unsigned   kept, dropped;
} record_t;

uint16_t rcd_enabled(const rcd_rules_t *rules)
{
    uint16_t mask = 0;

    for (int bit = 0; bit < JD_MEASURE_N; bit++) {
        mask |= (uint16_t) (rules->rule[bit].enabled ? 1u << bit : 0);
    }
    return mask;
}

/* When the order ends on this card, whatever else happens. */
static int64_t lasts(const jd_order_t *o)
{
    return o->flags & JD_ORDER_LINKED && o->link_until < o->until ? o->link_until : o->until;
}

/* Where an order goes that lasts until `end`: JD_ORDERS_MAX when the record is full of longer ones. */
static unsigned place_for(record_t *r, int64_t end)
{
    unsigned least = 0;

    if (r->kept < JD_ORDERS_MAX) {
        return r->kept++;
    }
    r->dropped++;
    for (unsigned i = 1; i < JD_ORDERS_MAX; i++) {
        least = lasts(&r->orders[i]) < lasts(&r->orders[least]) ? i : least;
    }
    return lasts(&r->orders[least]) < end ? least : JD_ORDERS_MAX;
}

/* An order that may be enforced. `term`: by this link, NULL = it names the digest itself. */
static void put_order(record_t *r, const rcd_row_t *row, const rcd_reach_term_t *term)
{
    jd_order_t o = {
        .number_len = (uint8_t) strlen(row->number),
        .flags = (uint8_t) (row->flags | (term != NULL ? JD_ORDER_LINKED : 0u)),
        .measures = row->measures & r->enabled, .from = row->start, .until = row->until,
        .deadline_day = row->deadline_day,
    };
    unsigned i;

    memcpy(o.grounds, row->grounds, JD_GROUNDS_ID_LEN);
    if (term != NULL) {
        memcpy(o.holder, term->holder, JD_HOLDER_LEN);
        o.link_from = term->from;
        o.link_until = term->until;
    }
    i = place_for(r, lasts(&o));
    if (i < JD_ORDERS_MAX) {
        r->rows[i] = *row;
        r->orders[i] = o;
        r->orders[i].number = r->rows[i].number;
    }
}

/* The live orders of one subject. 0 or -1. */
static int put_orders(rcd_state_t *s, record_t *r, const uint8_t *subject,
                      const rcd_reach_term_t *term)
{
    rcd_row_t rows[JD_ORDERS_MAX];
    int n = rcd_store_live(s, subject, rows, JD_ORDERS_MAX);

    for (int i = 0; i < n; i++) {
        uint16_t measures = rows[i].measures & r->enabled;
        rcd_relief_row_t relief;

        if (rcd_store_relief(s, rows[i].number, &relief) < 0) {
            return -1;
        }
        measures &= (uint16_t) ~relief.r.lifted;
        if (measures == 0) {
            continue;
        }
        if (rows[i].flags & (JD_ORDER_OBSERVE | JD_ORDER_OBJECTION) || relief.r.objection ||
            relief.held) {
            r->observed |= term == NULL || term->until > r->now ? measures : 0;
        } else {
            put_order(r, &rows[i], term);
        }
    }
    return n < 0 ? -1 : 0;
}

int rcd_record(rcd_state_t *s, const rcd_rules_t *rules, uint64_t era,
               const uint8_t digest[JD_DIGEST_LEN], uint8_t out[JD_RECORD_MAX], size_t *len,
               rcd_row_t rows[JD_ORDERS_MAX], int *n, rcd_note_t *note)
{
    record_t r = {.enabled = rcd_enabled(rules), .now = rcd_clock_wall(), .rows = rows};
    rcd_reach_t reach;

    *len = 0;
    *n = 0;
    if (put_orders(s, &r, digest, NULL) < 0 || rcd_reach_of(s, digest, r.now, &reach, note) < 0) {
        return -1;
    }
    for (unsigned i = 0; i < reach.n; i++) {
        if (put_orders(s, &r, reach.term[i].holder, &reach.term[i]) < 0) {
            return -1;
        }
    }
    note->dropped = r.dropped;
    *n = (int) r.kept;
    if ((r.kept > 0 || r.observed) &&
        jd_record_encode(rules->key, digest, era, r.orders, r.kept, r.observed, out, JD_RECORD_MAX,
                         len) != JD_RECORD_OK) {
        snprintf(s->fault, sizeof(s->fault), "journal: an order cannot be encoded (damaged file?)");
        return -1;
    }
    return 0;
}
