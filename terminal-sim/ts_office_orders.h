/*
 * ts_office_orders.h - orders by number: where the record stands in the log, and what was lifted or
 * marked.
 */
#ifndef TS_OFFICE_ORDERS_H
#define TS_OFFICE_ORDERS_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    TS_MARK_NONE,                   /* the record's own member "objection" holds */
    TS_MARK_FALSE,
    TS_MARK_TRUE
} ts_mark_t;

typedef struct {
    char    *number;
    uint64_t offset;                /* of the last record in the log */
    uint32_t len;                   /* 0: only relief is known of this number */
    uint16_t lifted;                /* mask; 0xffff = the whole order */
    uint8_t  mark;
} ts_order_ref_t;

typedef struct {
    ts_order_ref_t *order;          /* in the order they were first named */
    uint32_t       *slot;           /* index + 1 into order[], 0 = free; open addressing */
    size_t          n, size;        /* of order[] */
    size_t          n_slots;        /* power of two, or 0 */
} ts_orders_t;

/* The order of a number: found, or NULL. */
ts_order_ref_t *ts_orders_find(const ts_orders_t *o, const char *number);
/* Found or made; NULL when memory fails. Valid until the next call. */
ts_order_ref_t *ts_orders_get(ts_orders_t *o, const char *number);
void ts_orders_fini(ts_orders_t *o);

/*
 * The record as it is in force: lifted measures taken out, mark put in. Returns malloc'ed text
 * without newline, or NULL when nothing of it is in force. A record without anything to change
 * comes back byte for byte.
 */
char *ts_order_in_force(const ts_order_ref_t *o, const char *record, size_t len, size_t *out_len);

#endif
