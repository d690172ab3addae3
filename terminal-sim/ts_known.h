/*
 * ts_known.h - what the oracle knows: subjects with their orders and stays, and whose card is whose.
 */
#ifndef TS_KNOWN_H
#define TS_KNOWN_H

#include "ts.h"

#define TS_KEY_MAX  (8 + JD_SUBJECT_MAX)            /* "scheme:identifier", normalised */

typedef struct ts_subject ts_subject_t;

/* One order number. Until the order itself comes only relief is known of it. */
typedef struct ts_known_order {
    char          number[JD_ORDER_NUMBER_MAX + 1];  /* first: the key */
    uint8_t       flags;                            /* JD_ORDER_* */
    uint16_t      measures;
    jd_relief_t   relief;                           /* of the office, and stays */
    int           objected;                         /* by the operator */
    int64_t       served;
    int64_t       from;
    int64_t       until;
    ts_subject_t *subject;                          /* NULL: the order has not come */
    struct ts_known_order *next;                    /* of the same subject */
} ts_known_order_t;

typedef struct ts_known_link {                      /* of a card to its holder */
    ts_subject_t *holder;
    int           own;
    int64_t       from, until;
    struct ts_known_link *next;
} ts_known_link_t;

struct ts_subject {
    char              key[TS_KEY_MAX + 1];          /* first: the key */
    uint8_t           n;
    ts_known_order_t *orders;
    ts_known_link_t  *links;                        /* of a card, over ones too */
    int64_t           stay;                         /* Unix second; 0 = none */
    int64_t           settled_ns;                   /* until then both answers are right */
    int               drawn;                        /* among the cards to draw from */
};

typedef struct {
    jd_scheme_t    scheme;                          /* of the terminal's cards */
    void          *numbers;                         /* tsearch tree of ts_known_order_t */
    void          *subjects;                        /* tsearch tree of ts_subject_t */
    ts_subject_t **cards;                           /* of the scheme, named by an order or a link */
    size_t         n_cards, size_cards;
    ts_brake_t     brake[JD_MEASURE_N];
    int64_t        brake_settled_ns[JD_MEASURE_N];
} ts_known_t;

void ts_known_init(ts_known_t *k, jd_scheme_t scheme);
void ts_known_fini(ts_known_t *k);

/* Takes one line in; whom it concerns is not settled until `settled_ns` (0: it held before the start).
 * NULL, or what is wrong: a static phrase. */
const char *ts_known_apply(ts_known_t *k, const ts_line_t *line, int64_t settled_ns);

/* The subject "scheme:identifier" of a normalised card of the scheme; NULL when nothing is known of it. */
const ts_subject_t *ts_known_card(const ts_known_t *k, const char *card);
/* The number of the order that denies this card at this instant; NULL: it must pass. */
const char *ts_known_denying(const ts_subject_t *card, unsigned measure_bit, int64_t now);
/* CLOCK_MONOTONIC until when both answers are right, by what is known of card and holders. */
int64_t ts_known_settled(const ts_subject_t *card);

#endif
