/*
 * rcd_reach - the links in force, and what orders make of them: which cards an order touches, which
 * holders' orders a card's record holds, and what there is to say about a card.
 *
 * Links are those of one key and normalisers; under another key they are not used (rcd_state_rules).
 */
#ifndef RCD_REACH_H
#define RCD_REACH_H

#include "rcd_group.h"
#include "rcd_note.h"
#include "rcd_store.h"

extern const char rcd_reach_schema[];

/* Statements of the journal just opened; 0, or -1 with s->fault. close takes a part not opened. */
int  rcd_reach_open(rcd_state_t *s);
void rcd_reach_close(rcd_state_t *s);

/* From now on these links (NULL: none) are in force: taken over; those before are returned. */
rcd_links_t *rcd_reach_take(rcd_state_t *s, rcd_links_t *links);
/* The links in force, whatever their key; NULL = none. */
const rcd_links_t *rcd_reach_links(const rcd_state_t *s);
/* The same when they were made under the key in use, else NULL. */
const rcd_links_t *rcd_reach_usable(const rcd_state_t *s);
/* All links of a card as they are in force, the file's or those changed since: 0 or -1. */
int rcd_reach_group(rcd_state_t *s, const uint8_t card[JD_DIGEST_LEN], rcd_group_t *g);
/* The next card that is linked to the holder, for whatever use, above `after` (NULL: the first): 1,
 * 0, -1. It may be one that was linked otherwise in the file. */
int rcd_reach_card_of(rcd_state_t *s, const uint8_t holder[JD_DIGEST_LEN], const uint8_t *after,
                      uint8_t card[JD_DIGEST_LEN]);

/*
 * Walks over all cards in force by ascending digest. One call gives the lower of the next card and
 * `other` (NULL: none), the latter with no link when it has none: 1, 0 the end, -1. Begin with zeros;
 * links must not change meanwhile.
 */
typedef struct {
    uint64_t    at;                       /* entry of the file */
    int         peeked;                   /* `over` is the next card linked otherwise: 1, or -1 none */
    rcd_group_t over;
} rcd_reach_walk_t;

int rcd_reach_walk(rcd_state_t *s, rcd_reach_walk_t *walk, const uint8_t *other, rcd_group_t *g);

/* The key and normalisers in use. */
void rcd_reach_rules(rcd_state_t *s, const rcd_rules_t *rules);

/* ---- orders touch cards ------------------------------------------------------------------------ */

/* Inside the caller's transaction: the cards of this holder go to the outbox; of a body with many
 * cards the rest follows by rcd_reach_expand. 0 or -1. */
int rcd_reach_touch(rcd_state_t *s, const uint8_t holder[JD_DIGEST_LEN]);
/* Brings what was left to the outbox, until CLOCK_MONOTONIC is at `end_ns`, in a transaction of its
 * own: 1 more to do, 0 nothing left, -1. */
int rcd_reach_expand(rcd_state_t *s, int64_t end_ns);
/* 1 while something is left. */
int rcd_reach_behind(const rcd_state_t *s);

/*
 * Walks over the cards of holders that have live orders, for a refill. One call looks at one holder's
 * next card: 1 and the card, 2 this holder has no more, 0 the end, -1. Begin with a cursor of zeros.
 */
typedef struct {
    int      holder_set, card_set;        /* set so far */
    int      inside;                      /* the holder may have more cards */
    uint8_t  holder[JD_DIGEST_LEN];
    uint8_t  card[JD_DIGEST_LEN];
} rcd_reach_cursor_t;

int rcd_reach_next(rcd_state_t *s, rcd_reach_cursor_t *cursor, uint8_t card[JD_DIGEST_LEN]);

/* ---- a card's record --------------------------------------------------------------------------- */

/* Whom the card belongs to, with at most one term per holder: the one at `now`, else the next. A later
 * term sets note->wake. Two holders at once are noted with their orders. 0 or -1. */
int rcd_reach_of(rcd_state_t *s, const uint8_t card[JD_DIGEST_LEN], int64_t now, rcd_reach_t *out,
                 rcd_note_t *note);

/* ---- links touch cards ------------------------------------------------------------------------- */

/* Serial of the links whose effect the journal has; saved inside the caller's transaction, and loaded
 * after its commit, with what rcd_relink holds. */
uint64_t rcd_reach_serial(const rcd_state_t *s);
int rcd_reach_serial_save(rcd_state_t *s, uint64_t serial);
int rcd_reach_serial_load(rcd_state_t *s);
/* 1 when a holder that the card reaches has a live order, 0 not, -1. */
int rcd_reach_listed(rcd_state_t *s, const rcd_reach_t *reach);

#endif
