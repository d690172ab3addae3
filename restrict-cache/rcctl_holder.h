/*
 * rcctl_holder - the report for the person at the counter: what was found, and its words.
 */
#ifndef RCCTL_HOLDER_H
#define RCCTL_HOLDER_H

#include "core/jd_measure.h"
#include "core/jd_subject.h"
#include "rcctl.h"

typedef enum { RCCTL_EN, RCCTL_ZH, RCCTL_LANGUAGES } rcctl_language_t;

typedef enum {                         /* of one order, now; words: rcctl_holder_states */
    RCCTL_H_FORCE,
    RCCTL_H_TO_COME,
    RCCTL_H_STAYED,
    RCCTL_H_OBJECTION,
    RCCTL_H_OBSERVE,
    RCCTL_H_LIFTED,
    RCCTL_H_EXPIRED,
    RCCTL_H_DROPPED,
    RCCTL_H_REFUSED,
    RCCTL_H_N
} rcctl_holder_state_t;

/* "in_force" "to_come" "stayed" "objection" "observe" "lifted" "expired" "dropped" "refused" */
extern const char *const rcctl_holder_states[RCCTL_H_N];

typedef struct {                       /* an order that affects the person */
    rcd_row_t            row;
    uint16_t             lifted;       /* of row.measures */
    int64_t              stay;         /* until, 0 = none */
    rcctl_holder_state_t state;
    int64_t              linked_from;  /* by a link of holder and card since; -1 = directly */
    int64_t              linked_until; /* RCD_LINK_OPEN = no end */
    uint8_t             *grounds;      /* texts; NULL = not readable */
    jd_grounds_t         texts;
} rcctl_holding_t;

typedef struct {
    const char      *list;
    jd_scheme_t      scheme;           /* of the identifier */
    jd_subject_rc_t  read;             /* OTHER, MALFORMED: nothing was looked up */
    int64_t          now, verified_at;
    int              unclear;          /* nobody knows whose card it is: no link counts */
    rcctl_holding_t *order;            /* in force first, ended last */
    size_t           n, size;
} rcctl_holder_t;

void rcctl_holder_print(const rcctl_holder_t *h, rcctl_language_t lang);
void rcctl_holder_json(const rcctl_holder_t *h);

#endif
