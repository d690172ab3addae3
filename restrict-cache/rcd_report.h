/*
 * rcd_report - one month of the list in numbers, per authority, legal basis and measure: gathered
 * from the journal, and masked for publication.
 *
 * No order number, no person, no gateway, no hour is in it. A count of 1 to 4 is masked; so is what
 * it could be computed from.
 */
#ifndef RCD_REPORT_H
#define RCD_REPORT_H

#include "core/jd_digest.h"
#include "core/jd_measure.h"
#include "rcd_ledger_name.h"
#include "rcd_state.h"

#define RCD_REPORT_MIN  5              /* smaller counts, but 0, are masked */

typedef enum {
    RCD_R_ORDERS,                      /* in force on at least one instant of the month */
    RCD_R_PEOPLE,                      /* persons and bodies that these name */
    RCD_R_OBSERVED,                    /* orders with effect observe, likewise */
    RCD_R_NO_RELEVANCE,                /* of RCD_R_ORDERS: without a stated relevance */
    RCD_R_DENIED,
    RCD_R_LIFTS,                       /* lifts applied in the month */
    RCD_R_STAYS,                       /* stays of orders begun in the month */
    RCD_R_OBJECTIONS,                  /* raised in the month */
    RCD_R_OBJECTIONS_LIFTED,           /* ended in it, because the order was lifted */
    RCD_R_OBJECTIONS_ENDED,            /* ended in it by whoever had entered them */
    RCD_R_OBJECTIONS_OVER,             /* ended in it, because the order ended otherwise */
    RCD_R_OBJECTIONS_OPEN,             /* standing at its end */
    RCD_R_DROPPED,                     /* orders absent from a snapshot of the month */
    RCD_R_RELISTED,                    /* same subject, same basis, within 30 days of a lift */
    RCD_R_N
} rcd_report_quantity_t;

/* "orders" "people" ...: words for programs, which do not change. */
extern const char *const rcd_report_names[RCD_R_N];

#define RCD_REPORT_MASKED  (-1)        /* 1 to 4 */
#define RCD_REPORT_HIDDEN  (-2)        /* would give a masked one away */

typedef struct {
    char    *authority, *basis;        /* "" = not known */
    unsigned measure;
    int64_t  n[RCD_R_N];
    int64_t  median_lift_sec;          /* from act to effect; -1 = no lift, or masked */
    int64_t *lift_sec;                 /* until it is masked: every one */
    size_t   n_lift, size_lift;
} rcd_report_row_t;

typedef struct {
    char    *authority;
    unsigned measure;
    int64_t  dry_run;
} rcd_report_dry_t;

typedef struct {
    char    month[8];
    int64_t from, until;
    int     complete;                  /* the month is over, and every gate has closed it */
    rcd_report_row_t *row;             /* by authority, basis, measure */
    size_t            rows, size_rows;
    int64_t           total[RCD_R_N];  /* over all rows, an order or person counted once */
    rcd_report_dry_t *dry;             /* by authority, measure */
    size_t            dries, size_dries;
    int64_t           dry_total;
    int64_t           quarantined[RCD_Q_N];    /* records put there in the month, by code */
    int64_t           quarantined_total;
    int64_t           stays_of_persons;
} rcd_report_t;

/*
 * Gathers a month ("2026-11") at time `now` from a journal and the audit chain beside it in `dir`.
 * `keys` verify texts; what none of them verifies is read all the same. 0, or -1 with err. `r`
 * belongs to rcd_report_fini in both cases.
 */
int  rcd_report_gather(rcd_report_t *r, rcd_state_t *s, const char *dir, const jd_keys_t *keys,
                       const char *month, int64_t now, char *err, size_t err_size);
/* Of these: what the audit chain tells, quarantined records, each number and code once. */
int  rcd_report_chain(rcd_report_t *r, const char *dir, char *err, size_t err_size);
void rcd_report_fini(rcd_report_t *r);

/* Masks it, for good. */
void rcd_report_mask(rcd_report_t *r);

#endif
