/*
 * rcd_decide - the event table of the feed as pure functions: what a token, a head, a version of an
 * order may do. No storage, no clock.
 */
#ifndef RCD_DECIDE_H
#define RCD_DECIDE_H

#include "rcd_order.h"
#include "rcd_store.h"

typedef enum {
    RCD_POS_NEXT,              /* last + 1 */
    /* at or below last, the same token or one no longer remembered; or of an epoch that is over */
    RCD_POS_KNOWN,
    RCD_POS_BEYOND,            /* beyond last + 1: something is missing in between */
    RCD_POS_FORK,              /* other content at a known seq */
    RCD_POS_FOREIGN            /* of an epoch that has not begun */
} rcd_position_t;

/*
 * Where a token stands in its lane: `last` is the lane's position in `epoch`, `seen` what the
 * journal remembers of the token's own seq. Decides acknowledgement and position only: relief is
 * applied whatever this says.
 */
rcd_position_t rcd_decide_position(uint32_t epoch, uint64_t last, rcd_seen_t seen,
                                   const rcd_event_t *ev);

/* Merges a lift or mark into the relief of its order. Lifted measures only grow; objection true
 * always counts, false only when its (epoch, seq) is above the last recorded mark. Returns 1
 * when *r changed. */
int rcd_decide_relief(rcd_relief_row_t *r, const rcd_event_t *ev);

/*
 * Whether `o` may become the newest version of its number. `old`: the stored version, NULL when
 * there is none that binds; `lifted`: of the number; `others`: live orders of o's subject besides
 * this number; `term_max`: rcd_order_term_max.
 */
rcd_quarantine_t rcd_decide_order(const rcd_row_t *old, uint16_t lifted, unsigned others,
                                  int64_t term_max, const rcd_order_t *o);

/* Whether the stored version must stop being enforced because a later one was quarantined with
 * `code`: yes when the later one contradicts it or cannot be read; no when it merely asks for
 * more than it may. */
int rcd_decide_stops(rcd_quarantine_t code);

typedef enum {
    RCD_HEAD_CONTACT,
    RCD_HEAD_OLD,              /* iat before a head seen */
    RCD_HEAD_FUTURE,           /* iat more than JD_CLOCK_SKEW_SEC ahead of our clock */
    RCD_HEAD_EPOCH_OLD,
    RCD_HEAD_EPOCH_NEW,        /* waits for approval, or for the snapshot after it */
    RCD_HEAD_FORKED,           /* the journal is forked */
    /* the office counts less relief than it did: a restored backup without a new epoch */
    RCD_HEAD_WENT_BACK,
    RCD_HEAD_AHEAD,            /* relief is still to come */
    RCD_HEAD_PASSED,           /* the lane has passed this head: the next one tells */
    RCD_HEAD_N
} rcd_head_verdict_t;

extern const char *const rcd_head_reasons[RCD_HEAD_N];    /* one-line reasons, "" for contact */

rcd_head_verdict_t rcd_decide_head(const rcd_state_t *s, int64_t now, int64_t iat, uint32_t epoch,
                                   uint64_t relief_seq);

#endif
