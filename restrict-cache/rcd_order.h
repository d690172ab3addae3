/*
 * rcd_order - one order of the feed, an unsigned file or a snapshot line: parsed, validated, or
 * quarantined with a code.
 */
#ifndef RCD_ORDER_H
#define RCD_ORDER_H

#include <stddef.h>
#include <stdint.h>
#include "core/jd_digest.h"
#include "core/jd_measure.h"
#include "core/jd_order.h"

#define RCD_ORDER_JSON_MAX   (64 * 1024)    /* bytes of one record as JSON */

/* names: rcd_quarantine_names; the office's codes, design section 7 */
typedef enum {
    RCD_Q_NONE = 0,
    /* jd_schema: not JSON, unknown or repeated member, wrong type, bad number or text */
    RCD_Q_SCHEMA,
    RCD_Q_NO_BASIS,                /* jd_no_basis: authority or basis missing or empty */
    RCD_Q_NOT_SERVED,              /* jd_not_served: served missing, or after `until` */
    RCD_Q_NO_TERM,                 /* jd_no_term: from or until missing, or until not after from */
    /* jd_term_too_long: beyond the measure's longest term or JD_TERM_MAX_SEC from the number's
     * first `from` */
    RCD_Q_TERM_TOO_LONG,
    RCD_Q_NO_CONTEST,              /* jd_no_contest: neither url nor phone */
    /* jd_measure_not_enabled: not in the closed list, or not enabled by the operator */
    RCD_Q_MEASURE_NOT_ENABLED,
    /* jd_authority: not one of the authorities enabled for the measure */
    RCD_Q_AUTHORITY,
    /* jd_subject: scheme unknown, identifier not of its scheme, or a card where cards are refused */
    RCD_Q_SUBJECT,
    /* jd_subject_changed: amendment names another subject; the old version ends */
    RCD_Q_SUBJECT_CHANGED,
    /* jd_aggravated: amendment adds a measure or a later end without a later `served` */
    RCD_Q_AGGRAVATED,
    RCD_Q_LIFTED,                  /* jd_lifted: amendment of a lifted order */
    /* jd_duplicate: number twice in one snapshot; subject holds JD_ORDERS_MAX orders already */
    RCD_Q_DUPLICATE,
    /* jd_two_holders: a card of the subject has another holder at the same time; the order stands,
     * and reaches that card for neither */
    RCD_Q_TWO_HOLDERS,
    RCD_Q_N
} rcd_quarantine_t;

extern const char *const rcd_quarantine_names[RCD_Q_N];     /* [0] = "none" */

/* What the operator has enabled for one measure; ships with none. */
typedef struct {
    int       enabled;
    char     *legal_source;        /* required: the published legal source of the measure */
    char    **authorities;         /* exact names */
    unsigned  n_authorities;
    int64_t   max_term_sec;        /* required; at most JD_TERM_MAX_SEC */
} rcd_measure_rule_t;

/* How much a list may grow without an operator's word (rcd_growth). `stated` 0: the default. */
typedef struct {
    int      stated;
    unsigned percent;              /* of the baseline, */
    uint64_t orders;               /* or this many, whichever is more */
} rcd_growth_limit_t;

typedef struct {
    rcd_measure_rule_t rule[JD_MEASURE_N];
    jd_normalisers_t   norm;
    const jd_key_t    *key;
    /* orders may name a card or uid; else such a subject is refused */
    int                accept_card_subjects;
    rcd_growth_limit_t growth;
} rcd_rules_t;

typedef struct {
    char        number[JD_ORDER_NUMBER_MAX + 1];
    jd_scheme_t scheme;
    uint8_t     digest[JD_DIGEST_LEN];
    uint16_t    measures;
    int64_t     served;            /* 00:00 +08:00 of the day */
    int64_t     from;
    int64_t     until;
    uint32_t    deadline_day;      /* 0 = none */
    int         observe;           /* effect: observe */
    int         objection;
    uint8_t     grounds_id[JD_GROUNDS_ID_LEN];
    uint8_t     grounds[JD_GROUNDS_MAX];
    size_t      grounds_len;
} rcd_order_t;

/*
 * Parses one JSON object (the feed's record) and checks it against the rules. Returns RCD_Q_NONE
 * and a whole order, or the code; then `why` says the field and the mend in one line, never the
 * identifier. `number` is filled whenever it could be read ("" otherwise). A record that names
 * several measures of which one is not enabled is quarantined whole. Members are matched exactly;
 * cJSON parses, but lengths, duplicates, NUL and integers are checked here.
 */
rcd_quarantine_t rcd_order_parse(const rcd_rules_t *rules, const char *json, size_t len,
                                 rcd_order_t *out, char *why, size_t why_size);

/* The effective start: not before served. */
int64_t rcd_order_start(const rcd_order_t *o);

/* The longest term, in seconds, that all of `measures` allow; at most JD_TERM_MAX_SEC. */
int64_t rcd_order_term_max(const rcd_rules_t *rules, uint16_t measures);

#endif
