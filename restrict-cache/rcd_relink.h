/*
 * rcd_relink - cards linked otherwise than in the file of links: a link changed at a counter acts at
 * once, however large the file. Rows of the journal, a card whole each; the next file takes them in.
 *
 * They count beside the file whose serial the journal knows (rcd_reach_serial), and no other.
 */
#ifndef RCD_RELINK_H
#define RCD_RELINK_H

#include "rcd_group.h"
#include "rcd_store.h"

extern const char rcd_relink_schema[];

/* Statements of the journal just opened; 0, or -1 with s->fault. close takes a part not opened. */
int  rcd_relink_open(rcd_state_t *s);
void rcd_relink_close(rcd_state_t *s);

/* Cards linked otherwise, of those committed. */
uint64_t rcd_relink_count(const rcd_state_t *s);
/* After a commit that put or cleared. 0 or -1. */
int rcd_relink_recount(rcd_state_t *s);

/* The card's links: 1, 0 they are those of the file, -1. */
int rcd_relink_get(rcd_state_t *s, const uint8_t card[JD_DIGEST_LEN], rcd_group_t *g);
/* The next card above `after` (NULL: the first) and its links: 1, 0, -1. */
int rcd_relink_next(rcd_state_t *s, const uint8_t *after, rcd_group_t *g);
/* The holder's next such card above `after` (NULL: the first): 1, 0, -1. */
int rcd_relink_of_holder(rcd_state_t *s, const uint8_t holder[JD_DIGEST_LEN], const uint8_t *after,
                         uint8_t card[JD_DIGEST_LEN]);

/* Inside the caller's transaction: from now on these are the card's links (none: it is nobody's). */
int rcd_relink_put(rcd_state_t *s, const rcd_group_t *g);
/* Inside the caller's transaction: a new file has them all; each card goes to the outbox. */
int rcd_relink_clear(rcd_state_t *s);

/* What the links are now, file and changes together; `n`, counts, at, how and user of `head`. Saved
 * inside the caller's transaction; read when it belongs to links of this serial: 1, 0, -1. */
int rcd_relink_head_save(rcd_state_t *s, const rcd_links_head_t *head);
int rcd_relink_head(rcd_state_t *s, uint64_t serial, rcd_links_head_t *head);

#endif
