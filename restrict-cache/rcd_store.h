/*
 * rcd_store - the journal on disk: one SQLite database in the state directory. Rows in, rows out;
 * no rule of the feed is here.
 *
 * Layout 2 (PRAGMA user_version). Nothing in it identifies a person: digests, order numbers, texts
 * of the authority.
 *
 *   state       one row: list, journal id, marks
 *   written     one row: what Redis has confirmed (era, last_id, count), and whether a refill is
 *   under way
 *   orders      every order number ever accepted, its newest version, and how it ended
 *   grounds     texts that orders refer to; sent = refill in which Redis got them
 *   relief      what frees, by order number; pending = Redis has not confirmed it. Rows are never
 *   removed
 *   dirty       digests whose record in Redis may differ from the orders
 *   tokens      jti and payload hash of the newest tokens of both lanes, to tell a replay from a
 *   fork
 *   quarantine  what cannot be enforced, to be reported to the office
 *   ledger_*    denials counted by the gates, batches to the office (rcd_ledger_rows)
 *   audit       records on their way to the chain file (rcd_audit)
 *   stays, stay_fields, stay_outbox    rcd_stay
 *   objections                         rcd_objection
 *   lifts, gates                       rcd_lift
 *   growth, sizes                      rcd_size
 *   held, early                        rcd_hold
 *   relisted                           rcd_relisted
 *
 * Every function but open and close returns 0 (or what it says) and -1 when SQLite failed; s->fault
 * then says why.
 */
#ifndef RCD_STORE_H
#define RCD_STORE_H

#include <sqlite3.h>
#include "core/jd_redis.h"
#include "rcd_state.h"

#define RCD_STORE_LAYOUT    2
#define RCD_TOKENS_KEPT     65536          /* tokens of a lane below its position */
#define RCD_UNDER_MAX       384            /* "<key id> <check> <normalisers>" */

typedef enum { RCD_LANE_RELIEF = 1, RCD_LANE_CHANGES = 2 } rcd_lane_t;
/* RCD_SEEN_OTHER: other content at this seq */
typedef enum { RCD_SEEN_NOT, RCD_SEEN_SAME, RCD_SEEN_OTHER } rcd_seen_t;

typedef struct {
    jd_relief_t r;                         /* objection: the office's mark alone */
    uint8_t     held;                      /* 1: the operator objects, too */
    uint32_t    mark_epoch;                /* of the objection */
    uint64_t    mark_seq;
} rcd_relief_row_t;

typedef struct {                           /* what Redis has confirmed */
    uint64_t era;
    uint64_t last_id;
    uint64_t count;
    uint64_t seq;
    uint16_t enabled;                      /* measures enabled when the era was filled */
    int      refill;                       /* the era must be filled anew */
    uint64_t fills;                        /* refills so far; grounds.sent refers to it */
} rcd_written_t;

#define RCD_DIR_MAX         4000
#define RCD_STMT_MAX        48

struct rcd_state_s {
    sqlite3      *db;
    sqlite3_stmt *stmt[RCD_STMT_MAX];
    int           lock_fd;
    char          dir[RCD_DIR_MAX];        /* "" for ":memory:" */
    int           full;                    /* PRAGMA synchronous as it stands: 1 = FULL */
    rcd_marks_t   marks;                   /* kept equal to the row `state` */
    int           epoch_known;             /* 0 until the first head, token or snapshot */
    uint64_t      relief_top;              /* highest relief seq seen in this epoch */
    int64_t       relief_iat;              /* newest relief token's iat */
    uint64_t      head_relief_seq;         /* of the newest head */
    uint64_t      live;                    /* orders not ended */
    /* key and normalisers of the digests; "" = none made yet */
    char          under[RCD_UNDER_MAX];
    rcd_written_t written;
    int           snapshot_active;         /* a snapshot is being staged or applied */
    int64_t       contact;                 /* newest contact of this run, 0 = none yet */
    uint64_t      waited_seq[2];           /* lane positions that heads have been ahead of, */
    int64_t       waited_since[2];         /* and the iat of the first such head */
    struct rcd_audit_s *audit;
    struct rcd_brake_s *brake;             /* releases of the gates' brake */
    struct rcd_ledger_rows_s *ledger;      /* statements of rcd_ledger_rows */
    struct rcd_reach_s *reach;             /* links in force */
    struct rcd_notes_s *note;              /* statements of rcd_note */
    struct rcd_relink_s *relink;           /* statements of rcd_relink */
    struct rcd_stay_s  *stay;
    struct rcd_objection_s *objection;
    struct rcd_lift_s  *lift;
    struct rcd_size_s *size;
    struct rcd_hold_s *hold;
    struct rcd_relisted_s *relisted;
    int           fetching;                /* a snapshot was asked for: the lane must not pass it */
    char          fault[160];
};

/* `path` ":memory:" makes a journal that lives as long as the handle. NULL with a reason. */
rcd_state_t *rcd_store_open(const char *path, const char *list, int readonly, char *err,
                            size_t err_size);
void rcd_store_close(rcd_state_t *s);

/* One transaction at a time. durable: commit returns after fsync; else it may be lost by a power
 * cut, in order. rollback restores marks and written. */
int  rcd_store_begin(rcd_state_t *s, int durable);
int  rcd_store_commit(rcd_state_t *s);
void rcd_store_rollback(rcd_state_t *s);

/* 1 when the digests of the journal were made under these rules, or there are none yet: then
 * s->under is set, to be saved with the marks. */
int  rcd_store_under(rcd_state_t *s, const rcd_rules_t *rules);
/* "<key id> <check> <normalisers>" */
void rcd_store_under_print(const rcd_rules_t *rules, char out[RCD_UNDER_MAX]);
void rcd_store_under_set(rcd_state_t *s, const rcd_rules_t *rules);
int  rcd_store_save_marks(rcd_state_t *s);
int  rcd_store_save_written(rcd_state_t *s);

/* 1 found, 0 not */
int  rcd_store_order(rcd_state_t *s, const char *number, rcd_row_t *row);
/* keeps s->live; marks the digest dirty */
int  rcd_store_order_put(rcd_state_t *s, const rcd_row_t *row);
int  rcd_store_order_end(rcd_state_t *s, const rcd_row_t *row, rcd_end_t why, int64_t at);
/* Live orders of a digest, at most `max`; returns their number. */
int  rcd_store_live(rcd_state_t *s, const uint8_t digest[JD_DIGEST_LEN], rcd_row_t *rows,
                    unsigned max);
/* The lowest digest above `after` (NULL: the lowest) that has a live order: 1 and the digest, or
 * 0. */
int  rcd_store_next_live(rcd_state_t *s, const uint8_t *after, uint8_t digest[JD_DIGEST_LEN]);
/* Live orders with until <= at, at most `max`; returns their number. */
int  rcd_store_past(rcd_state_t *s, int64_t at, rcd_row_t *rows, unsigned max);

/* 1 found, 0 not (then *r is all zero) */
int  rcd_store_relief(rcd_state_t *s, const char *number, rcd_relief_row_t *r);
/* What the office says: lifted, objection and its mark; makes it pending. held and stay are kept. */
int  rcd_store_relief_put(rcd_state_t *s, const char *number, const rcd_relief_row_t *r,
                          int64_t at);
/* What the operator says (rcd_stay, rcd_objection); makes it pending. */
int  rcd_store_relief_stay(rcd_state_t *s, const char *number, int64_t stay, int64_t at);
int  rcd_store_relief_hold(rcd_state_t *s, const char *number, int held, int64_t at);
/* Relief after number `after` ("" = from the start), pending only or all: 1 and the row, or 0. */
int  rcd_store_relief_next(rcd_state_t *s, const char *after, int pending_only,
                           char number[JD_ORDER_NUMBER_MAX + 1], rcd_relief_row_t *r);
int  rcd_store_relief_sent(rcd_state_t *s, const char *number);

int  rcd_store_dirty(rcd_state_t *s, const uint8_t digest[JD_DIGEST_LEN]);
/* An order of this subject changed: the subject and its own cards are dirty. */
int  rcd_store_touch(rcd_state_t *s, const uint8_t subject[JD_DIGEST_LEN]);
/* 1 or 0 */
int  rcd_store_dirty_next(rcd_state_t *s, const uint8_t *after, uint8_t digest[JD_DIGEST_LEN]);
int  rcd_store_dirty_clean(rcd_state_t *s, const uint8_t digest[JD_DIGEST_LEN]);
int  rcd_store_dirty_clear(rcd_state_t *s);
/* Rows of the outbox, for status. */
int  rcd_store_pending(rcd_state_t *s, uint64_t *dirty, uint64_t *relief);

/* 1 when they were not there yet */
int  rcd_store_grounds_put(rcd_state_t *s, const rcd_order_t *o);
/* 1 and the value when refill `fill` has not sent it yet; 0 when it has. */
int  rcd_store_grounds_unsent(rcd_state_t *s, const uint8_t id[JD_GROUNDS_ID_LEN], uint64_t fill,
                              uint8_t *value, size_t *len);
int  rcd_store_grounds_sent(rcd_state_t *s, const uint8_t id[JD_GROUNDS_ID_LEN], uint64_t fill);

int  rcd_store_token(rcd_state_t *s, rcd_lane_t lane, const rcd_event_t *ev, rcd_seen_t *seen);
int  rcd_store_token_put(rcd_state_t *s, rcd_lane_t lane, const rcd_event_t *ev);
/* 1 or 0 */
int  rcd_store_token_at(rcd_state_t *s, rcd_lane_t lane, uint32_t epoch, uint64_t seq);
/* highest seq remembered, 0 = none */
int  rcd_store_token_top(rcd_state_t *s, rcd_lane_t lane, uint32_t epoch, uint64_t *seq);
int  rcd_store_tokens_trim(rcd_state_t *s, rcd_lane_t lane, uint32_t epoch, uint64_t position);

/* 1 when it is new, or why is; 0 when it was told before */
int  rcd_store_quarantine(rcd_state_t *s, const char *number, rcd_quarantine_t code,
                          const char *why, int64_t at);
/* all but what links say of it (RCD_Q_TWO_HOLDERS) */
int  rcd_store_quarantine_clear(rcd_state_t *s, const char *number);

#endif
