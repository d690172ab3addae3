/*
 * rcd_group - all links of one card: what an import makes of them, and whom they reach. Pure: no
 * file, no clock, no journal.
 */
#ifndef RCD_GROUP_H
#define RCD_GROUP_H

#include "rcd_links.h"

#define RCD_GROUP_MAX   128               /* links of one card */
#define RCD_REACH_MAX   16                /* terms in which holders reach one card */

typedef struct {
    uint8_t       card[JD_DIGEST_LEN];
    unsigned      n;
    int           full;                   /* there were more than RCD_GROUP_MAX */
    rcd_holding_t link[RCD_GROUP_MAX];
} rcd_group_t;

/* The card at entry *at and all its links; *at moves behind them. 1, or 0 at the end. */
int rcd_group_read(const rcd_links_t *l, uint64_t *at, rcd_group_t *g);
/* The links of one card; g->n = 0 when it has none. */
void rcd_group_of(const rcd_links_t *l, const uint8_t card[JD_DIGEST_LEN], rcd_group_t *g);
/* 1 when both hold the same links. */
int rcd_group_same(const rcd_group_t *a, const rcd_group_t *b);

/* ---- whom a card is whose ---------------------------------------------------------------------- */

typedef struct {
    uint8_t  holder[JD_DIGEST_LEN];
    int64_t  from, until;
    unsigned flags;
} rcd_reach_term_t;

typedef struct {
    unsigned         n;
    rcd_reach_term_t term[RCD_REACH_MAX]; /* by holder, then by time; terms of one holder lie apart */
    int              doubt;               /* the card is in doubt: n = 0 */
    /* holders that have it at once with another one after `now`, and when the first such span ends */
    unsigned         n_two;
    uint8_t          two[RCD_REACH_MAX][JD_DIGEST_LEN];
    int64_t          two_until;
} rcd_reach_t;

/*
 * The terms in which a holder's orders reach the card: links of use `own`. While two holders have it at
 * once, and before that if it is still to come, it is neither's: which of them is wrong nobody here knows.
 */
void rcd_group_reach(const rcd_group_t *g, int64_t now, rcd_reach_t *out);
int rcd_reach_same(const rcd_reach_t *a, const rcd_reach_t *b);
/* 1 when `b` reaches in some second a holder that `a` does not. */
int rcd_reach_grows(const rcd_reach_t *a, const rcd_reach_t *b);

/* ---- what an import makes of it ---------------------------------------------------------------- */

typedef enum {                            /* what a line says of a card */
    RCD_SAYS_LINK,                        /* link: it is linked so */
    RCD_SAYS_NOT_HOLDER,                  /* removed: card and holder */
    RCD_SAYS_NOBODY,                      /* removed: card, whoever holds it */
    RCD_SAYS_HOLDER,                      /* refused line; card and holder could be read */
    RCD_SAYS_CARD                         /* refused line; the card alone could be read */
} rcd_says_t;

typedef struct {
    rcd_says_t    says;
    rcd_holding_t link;
} rcd_line_t;

typedef struct {
    unsigned   n;
    int        full;                      /* there were more than RCD_GROUP_MAX */
    rcd_line_t line[RCD_GROUP_MAX];
} rcd_lines_t;

/*
 * The card's links after an import. `whole`: a full file, in which an absent card is a returned one -
 * unless `lost`: lines whose card could not be read, so that nobody knows which cards are absent; then
 * the card keeps its links, in doubt. A refused line about a card leaves the link to the holder it names
 * as it was; when that link is not known, or the holder could not be read, the card is in doubt: it may
 * be somebody else's by now. 0, or -1 when the card has too many links.
 */
int rcd_group_merge(const rcd_group_t *old, const rcd_lines_t *lines, int whole, int lost,
                    rcd_group_t *out);

/* What of `old` is left while `fresh` waits for approval: the terms in which both reach a holder. */
void rcd_group_narrow(const rcd_group_t *old, const rcd_group_t *fresh, int64_t now,
                      rcd_group_t *out);

#endif
