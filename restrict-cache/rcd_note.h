/*
 * rcd_note - what there is to say about a card: two holders at once, too many orders, a record that
 * changes by itself. Told by whoever writes its record.
 */
#ifndef RCD_NOTE_H
#define RCD_NOTE_H

#include "rcd_store.h"

extern const char rcd_note_schema[];

typedef struct {                          /* all zero = nothing */
    unsigned dropped;                     /* orders beyond those a record holds */
    int64_t  wake;                        /* its record changes by itself then; 0 = never */
    unsigned two;                         /* orders that two holders at once keep from it */
    char     number[JD_ORDERS_MAX][JD_ORDER_NUMBER_MAX + 1];
} rcd_note_t;

/* Statements of the journal just opened; 0, or -1 with s->fault. close takes a part not opened. */
int  rcd_note_open(rcd_state_t *s);
void rcd_note_close(rcd_state_t *s);

/* Keeps the note, inside the caller's transaction: orders that two holders keep from a card go to
 * quarantine as jd_two_holders, and leave it when no card is left of that kind. 0 or -1. */
int rcd_note_keep(rcd_state_t *s, const uint8_t card[JD_DIGEST_LEN], const rcd_note_t *note,
                  int64_t now);

/* Once a second: cards whose record changes by itself go to the outbox. Their number, or -1. */
int rcd_note_tick(rcd_state_t *s, int64_t now);

typedef struct {
    uint64_t two_cards;                   /* listed cards that two holders have at once */
    uint64_t over_cards, over_orders;     /* records that are full, and the orders beyond */
} rcd_note_counts_t;

int rcd_note_counts(rcd_state_t *s, rcd_note_counts_t *out);

#endif
