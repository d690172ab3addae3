/*
 * rcd_stay - stays in the journal: what the operator suspends at once, an order (court order) or a
 * person (mistaken identity). A stay is the operator's alone: no feed sets, ends or changes one.
 *
 * Effective is the longest stay that stands; it goes to Redis with the relief of its order, or by
 * the first JD_HOLDER_LEN bytes of the person's digest ("field").
 *
 * Every function returns 0 (or what it says) and -1 when the journal failed. Those that change
 * something are called inside the caller's transaction, but rcd_stay_tick.
 */
#ifndef RCD_STAY_H
#define RCD_STAY_H

#include "rcd_store.h"

#define RCD_STAY_REF_MAX     32            /* [0-9a-f]+: who names the same twice means the same */
#define RCD_USER_MAX         64
#define RCD_REASON_MAX       500           /* bytes of UTF-8 */
#define RCD_STAY_FIELDS_MAX  8             /* digests of one identifier: keys and normalisers */
#define RCD_STAY_GONE_MAX    (16 * JD_STAY_TEXT_MAX)

extern const char rcd_stay_schema[];

/* One digest of the stayed person, and the key and normalisers it was made under (as
 * rcd_store_under prints them). */
typedef struct {
    uint8_t field[JD_HOLDER_LEN];
    char    under[RCD_UNDER_MAX];
} rcd_stay_field_t;

typedef enum {
    RCD_STAY_STANDS,
    RCD_STAY_UNSTAYED,
    RCD_STAY_LAPSED,                       /* its `until` passed by both clocks */
    RCD_STAY_RENEWED,                      /* given again under another digest key, or its author known */
    RCD_STAY_END_N
} rcd_stay_end_t;

extern const char *const rcd_stay_end_names[RCD_STAY_END_N];

typedef struct {
    int64_t        id;
    char           ref[RCD_STAY_REF_MAX + 1];
    char           number[JD_ORDER_NUMBER_MAX + 1];   /* "" = of a person */
    int64_t        since, until;           /* until: JD_STAY_FOREVER = until it is ended */
    char           user[RCD_USER_MAX + 1];
    char           reason[RCD_REASON_MAX + 1];
    int            found;                  /* in Redis; the journal did not know it */
    int            lost;                   /* of a person, and under a key that is over */
    rcd_stay_end_t ended;
    int64_t        ended_at;
    char           ended_by[RCD_USER_MAX + 1];
    char           ended_reason[RCD_REASON_MAX + 1];
} rcd_stay_t;

/* Who ends a stay, when, and why. */
typedef struct {
    rcd_stay_end_t how;
    int64_t        at;
    const char    *user, *reason;
} rcd_stay_ending_t;

/* Statements of the journal just opened; 0, or -1 with s->fault. close takes NULL, too. */
int  rcd_stay_open(rcd_state_t *s);
void rcd_stay_close(rcd_state_t *s);

/* A new stay, of stay->number or of the person with these fields: 1, or 0 when its ref is known. The same
 * one, if it was found in Redis before and has no author, ends as renewed.
 * Read are ref, number, since, until, user, reason and found; id is set. */
int rcd_stay_put(rcd_state_t *s, rcd_stay_t *stay, const rcd_stay_field_t *fields, unsigned n);

/* Ends every stay that stands of the order, or of any of the fields; returns their number. */
int rcd_stay_end_order(rcd_state_t *s, const char *number, const rcd_stay_ending_t *e);
int rcd_stay_end_person(rcd_state_t *s, const rcd_stay_field_t *fields, unsigned n,
                        const rcd_stay_ending_t *e);
/* Ends one: 1, or 0 when it does not stand. */
int rcd_stay_end_id(rcd_state_t *s, int64_t id, const rcd_stay_ending_t *e);

/* Ends stays whose until has passed at `at` (the earlier of both clocks): their number. */
int rcd_stay_tick(rcd_state_t *s, int64_t at);

/* The same person has another digest under a new key: their stays reach that one, too. */
int rcd_stay_carry(rcd_state_t *s, const uint8_t from[JD_DIGEST_LEN],
                   const uint8_t to[JD_DIGEST_LEN], const char *under);

/* ---- for Redis ---- */

/* Fields whose stay Redis may not have yet, or all ever used, ascending after `after` (NULL: from
 * the start): 1 and the field, or 0. */
int rcd_stay_next(rcd_state_t *s, int pending_only, const uint8_t *after,
                  uint8_t field[JD_HOLDER_LEN]);
int rcd_stay_sent(rcd_state_t *s, const uint8_t field[JD_HOLDER_LEN]);
/* The stay that stands of a field, 0 = none. */
int rcd_stay_of_field(rcd_state_t *s, const uint8_t field[JD_HOLDER_LEN], int64_t *until);
/* Ends of stays that are over, decimal, a space between: what Redis may forget. Newest first. */
int rcd_stay_gone(rcd_state_t *s, const char *number, const uint8_t *field,
                  char out[RCD_STAY_GONE_MAX]);
/* 1 when a stay with exactly this end is or was in the journal, 0 when not. */
int rcd_stay_known(rcd_state_t *s, const char *number, const uint8_t *field, int64_t until);

/* ---- for status, reports and rcctl ---- */

typedef struct {
    uint64_t standing;                     /* of orders and of persons */
    uint64_t persons;
    uint64_t lost;                         /* of persons, and no digest under the journal's key */
} rcd_stay_counts_t;

int rcd_stay_counts(rcd_state_t *s, rcd_stay_counts_t *out);
/* Fields that Redis may not have yet. */
int rcd_stay_pending(rcd_state_t *s, uint64_t *n);

/* Standing ones, or all, oldest first. `each` returns 0 to go on. */
int rcd_stay_each(rcd_state_t *s, int all, int (*each)(void *arg, const rcd_stay_t *stay),
                  void *arg);

/* What the office has not been told: 1 and the oldest stay above id `after` of which it does not
 * know the beginning, or the end; or 0. */
int rcd_stay_unreported(rcd_state_t *s, int64_t after, rcd_stay_t *out);
/* It was told of the beginning, and of the end if `ended`. A statement of its own: inside a
 * transaction or not. */
int rcd_stay_reported(rcd_state_t *s, int64_t id, int ended);

#endif
