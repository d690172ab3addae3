/*
 * rcd_size - what the rule of mass change (rcd_growth) goes by, kept in the journal: the size of
 * the list hour by hour, the last approval, and widenings since.
 *
 *   growth    one row: size, last approval, last alarm of shrinking
 *   sizes     size at the beginning of an hour, widenings of the hour before; the last 7 days
 *
 * Functions return 0 (or what they say) and -1 when the journal failed. "In a transaction": the
 * caller's.
 */
#ifndef RCD_SIZE_H
#define RCD_SIZE_H

#include "rcd_growth.h"
#include "rcd_state.h"

extern const char rcd_size_schema[];

int  rcd_size_open(rcd_state_t *s);        /* statements of the journal just opened */
void rcd_size_close(rcd_state_t *s);
int  rcd_size_load(rcd_state_t *s);        /* all that is kept in memory, also after a rollback */
int  rcd_size_save(rcd_state_t *s);        /* in a transaction, with the marks */

/* The configured limit. */
void rcd_size_rules(rcd_state_t *s, const rcd_rules_t *rules);

/* Keeps the size of the list: a row that was (or NULL) is followed by one (or NULL). */
void rcd_size_count(rcd_state_t *s, const rcd_row_t *was, const rcd_row_t *now);

/* 1 until a list was approved for the first time. */
int  rcd_size_first(const rcd_state_t *s);
/* Baseline, size, and widenings so far; the rest is zero. */
void rcd_size_growth(const rcd_state_t *s, rcd_growth_t *out);
/* Whether so much more must wait for the operator. */
int  rcd_size_exceeds(const rcd_state_t *s, uint64_t orders, uint64_t terms, uint64_t drops);
uint64_t rcd_size_allowance(const rcd_state_t *s);
/* An order was widened. Kept with the marks. */
void rcd_size_widened(rcd_state_t *s);

/* What waited for approval is applied whole: its size is the baseline. In a transaction. */
int  rcd_size_approved(rcd_state_t *s, int64_t now);

/* Once a second, outside transactions: the size of the hour, and the alarm of a list that shrank by
 * more than it may grow since the hour began. */
int  rcd_size_tick(rcd_state_t *s, int64_t at);

/* ---- for status ------------------------------------------------------------------------------ */

typedef struct {
    uint64_t size, baseline, allowance, widened;
    int64_t  approved_at;
    int64_t  shrunk_at;                    /* last alarm, 0 = never */
    uint64_t shrunk_from, shrunk_to;
} rcd_size_status_t;

void rcd_size_status(const rcd_state_t *s, rcd_size_status_t *out);

#endif
