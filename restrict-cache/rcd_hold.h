/*
 * rcd_hold - what the rule of mass change (rcd_growth) keeps in the journal: the size of the list hour
 * by hour, the snapshot that waits for the operator, changes applied before their turn, and orders that
 * list somebody again.
 *
 *   growth    one row: size, last approval, last alarm of shrinking
 *   sizes     size at the beginning of an hour, widenings of the hour before; the last 7 days
 *   held      the snapshot that waits, or that is approved and not yet applied whole; its orders lie in
 *             {state dir}/held-<16 digits of its hash>.db (a stage, rcd_stage: digests, no identifier)
 *   early     numbers of which a change beyond the held snapshot is applied: what is older does not undo it
 *   relisted  orders of a subject on a basis that had ended for it within 30 days before
 *
 * Functions return 0 (or what they say) and -1 when the journal failed. "In a transaction": the caller's.
 */
#ifndef RCD_HOLD_H
#define RCD_HOLD_H

#include "rcd_growth.h"
#include "rcd_state.h"

#define RCD_RELIST_SEC     (30 * 86400)
#define RCD_HELD_USER_MAX  64
#define RCD_HELD_PATH_MAX  4064
#define RCD_HELD_PREFIX    8               /* digits of a hash that are enough to name it */

typedef struct {
    uint8_t  sha256[32];                   /* of its records, as the office signed it */
    char     hash[65];                     /* the same in hex */
    uint32_t epoch;
    uint64_t seq;
    uint64_t relief_seq;
    int64_t  iat;
    int64_t  since;                        /* when it was held */
    int      first;                        /* the first list of all */
    int      approved;                     /* 1: is being applied, or will be at the next start */
    char     user[RCD_HELD_USER_MAX + 1];  /* who approved it */
    uint64_t records;                      /* good ones */
    uint64_t refused;
    uint64_t adds_orders;
    uint64_t adds_terms;
    uint64_t drops;                        /* applied already */
} rcd_held_t;

extern const char rcd_hold_schema[];

int  rcd_hold_open(rcd_state_t *s);        /* statements of the journal just opened */
void rcd_hold_close(rcd_state_t *s);
int  rcd_hold_load(rcd_state_t *s);        /* all that is kept in memory, also after a rollback */
int  rcd_hold_save(rcd_state_t *s);        /* in a transaction, with the marks */

/* Files of snapshots that no longer wait are removed; one that waits and has lost its file no longer
 * waits, and a fresh snapshot is wanted. Once the state directory is known. */
int  rcd_hold_files(rcd_state_t *s);

/* The configured limit; a snapshot that was staged under other rules no longer waits, and a fresh one is
 * wanted. In a transaction. */
int  rcd_hold_rules(rcd_state_t *s, const rcd_rules_t *rules);

/* Keeps the size of the list: a row that was (or NULL) is followed by one (or NULL). */
void rcd_hold_count(rcd_state_t *s, const rcd_row_t *was, const rcd_row_t *now);

/* 1 until a list was approved for the first time. */
int  rcd_hold_first(const rcd_state_t *s);
/* Baseline, size, and widenings so far; the rest is zero. */
void rcd_hold_growth(const rcd_state_t *s, rcd_growth_t *out);
/* Whether so much more must wait for the operator. */
int  rcd_hold_exceeds(const rcd_state_t *s, uint64_t orders, uint64_t terms, uint64_t drops);
uint64_t rcd_hold_allowance(const rcd_state_t *s);
/* An order was widened. Kept with the marks. */
void rcd_hold_widened(rcd_state_t *s);

/* Once a second, outside transactions: the size of the hour, and the alarm of a list that shrank by more
 * than it may grow since the hour began. */
int  rcd_hold_tick(rcd_state_t *s, int64_t at);

/* ---- the snapshot that waits ----------------------------------------------------------------- */

/* NULL: nothing waits. */
const rcd_held_t *rcd_hold_waits(const rcd_state_t *s);
/* Where the orders of a held snapshot lie; "" with a journal in memory. */
void rcd_hold_path(const rcd_state_t *s, const uint8_t sha256[32], char path[RCD_HELD_PATH_MAX]);
/* It waits from now on, in place of the one that did. In a transaction, after its file is on disk. */
int  rcd_hold_put(rcd_state_t *s, const rcd_rules_t *rules, const rcd_held_t *h);
/* It no longer waits: another one was applied, or it was. In a transaction. */
int  rcd_hold_drop(rcd_state_t *s);
/* It is applied whole: its size is the baseline. In a transaction. */
int  rcd_hold_applied(rcd_state_t *s, int64_t now);
/* With a journal in memory the stage itself is kept: give takes it over, take hands it out. */
struct rcd_stage_s;
void rcd_hold_stage_give(rcd_state_t *s, struct rcd_stage_s *stage);
struct rcd_stage_s *rcd_hold_stage_take(rcd_state_t *s);

/*
 * The operator approves what waits; it is named by the first digits of its hash. Audited. 0, or -1 with
 * why not in `err`, which names what waits. The caller sees to it that it is applied.
 */
int  rcd_hold_approve(rcd_state_t *s, const char *hash, int first, const char *user, char *err,
                      size_t err_size);
/* The operator gives up what waits: a fresh snapshot is wanted. 0 or -1 as above. */
int  rcd_hold_reject(rcd_state_t *s, const char *hash, const char *user, char *err,
                     size_t err_size);

/* ---- changes applied before their turn ------------------------------------------------------- */

/* The change that the stored version of a number already shows: 1 and its seq, 0 none. */
int  rcd_hold_early(rcd_state_t *s, const char *number, uint64_t *seq);
int  rcd_hold_early_put(rcd_state_t *s, const char *number, uint64_t seq);
/* The lane has come to `seq`; a new epoch begins with UINT64_MAX. */
int  rcd_hold_early_trim(rcd_state_t *s, uint64_t seq);

/* ---- listed again ---------------------------------------------------------------------------- */

/* `o` is about to be written and was not in force: notes and audits it when an order of its subject with
 * the same authority and basis was lifted or dropped within RCD_RELIST_SEC before `at`. In a transaction. */
int  rcd_hold_relisted(rcd_state_t *s, const rcd_order_t *o, int64_t at);

typedef struct {
    char      number[JD_ORDER_NUMBER_MAX + 1];
    int64_t   at;
    char      before[JD_ORDER_NUMBER_MAX + 1]; /* the order that had ended; may be the same number */
    rcd_end_t ended;                           /* RCD_END_LIFTED or RCD_END_DROPPED */
    int64_t   ended_at;
} rcd_relisted_t;

/* Orders listed again in [from, until), for the monthly report; `each` returns 0 to go on. */
int  rcd_hold_relistings(rcd_state_t *s, int64_t from, int64_t until,
                         int (*each)(void *arg, const rcd_relisted_t *r), void *arg);

/* ---- for status ------------------------------------------------------------------------------ */

typedef struct {
    uint64_t size, baseline, allowance, widened;
    int64_t  approved_at;
    int64_t  shrunk_at;                    /* last alarm, 0 = never */
    uint64_t shrunk_from, shrunk_to;
    uint64_t relisted;
} rcd_hold_status_t;

void rcd_hold_status(const rcd_state_t *s, rcd_hold_status_t *out);

#endif
