/*
 * rcd_state - what the daemon knows, on disk: the fsynced journal of relief, orders and marks, and
 * the rules by which events change it.
 *
 * Storage is one SQLite database (WAL, synchronous=FULL: a committed transaction is fsynced) in the
 * state directory. Feed code calls the functions below; rcd_redis drains what they leave to be
 * written, relief first. rcctl opens the same file read-only.
 */
#ifndef RCD_STATE_H
#define RCD_STATE_H

#include <stddef.h>
#include <stdint.h>
#include "rcd_order.h"

typedef struct rcd_state_s rcd_state_t;

typedef struct {
    uint32_t epoch;
    uint64_t seq;                  /* last change applied */
    uint64_t relief_seq;           /* last relief reached without a gap */
    /* 1: a relief seq beyond last + 1 was applied; no contact until a snapshot closes it */
    int      relief_behind;
    int      changes_gap;          /* 1: a snapshot is needed */
    /* 1: other content at a known seq; waits for a new epoch (approve) */
    int      forked;
    uint32_t fork_epoch;           /* epoch approved by the operator, 0 = none */
    int64_t  verified_at;          /* last contact (its head's iat) */
    int64_t  head_iat;             /* newest head seen, contact or not */
    char     journal[33];          /* random id of this journal, hex */
} rcd_marks_t;

typedef enum { RCD_EV_ORDER, RCD_EV_LIFT, RCD_EV_MARK } rcd_event_kind_t;

typedef struct {                   /* one verified security event token */
    rcd_event_kind_t kind;
    char      jti[129];
    uint8_t   payload_hash[32];    /* SHA-256 of the JWS payload */
    uint32_t  epoch;
    uint64_t  seq;
    int64_t   toe;                 /* the act; 0 = not stated */
    int64_t   iat;
    char      number[JD_ORDER_NUMBER_MAX + 1];
    uint16_t  lifted;              /* LIFT: mask, 0xffff = the whole order */
    int       objection;           /* MARK */
    const char *record_json;       /* ORDER: the record as JSON text, borrowed */
    size_t    record_len;
} rcd_event_t;

typedef enum {
    RCD_ACK,                       /* in the journal (or known already): acknowledge */
    RCD_ACK_QUARANTINED,           /* acknowledge, and report `code`/`why` to the office */
    RCD_HOLD_GAP,                  /* not applied: fetch a snapshot; no ack */
    RCD_HOLD_FORK,                 /* not acknowledged; relief was applied all the same */
    /* journal cannot be written (disk full): no ack; relief is handed to Redis all the same */
    RCD_HOLD_IO
} rcd_outcome_t;

typedef struct {
    rcd_outcome_t    outcome;
    rcd_quarantine_t code;
    char             number[JD_ORDER_NUMBER_MAX + 1];
    char             why[256];
} rcd_result_t;

/* Opens or creates `dir`/journal.db (0700/0600). NULL on failure with a one-line reason. A
 * journal of another list or layout is refused. */
rcd_state_t *rcd_state_open(const char *dir, const char *list, char *err, size_t err_size);
rcd_state_t *rcd_state_open_readonly(const char *dir, char *err, size_t err_size);
void rcd_state_close(rcd_state_t *s);

void rcd_state_marks(rcd_state_t *s, rcd_marks_t *out);
/* Why the journal failed last; "" = it never has. */
const char *rcd_state_fault(const rcd_state_t *s);

/* Applies a batch of verified tokens of one lane in ascending seq inside one transaction (the
 * caller passes them in any order; this sorts), fsynced on return; results[i] belongs to
 * events[i]. The event table of design section 7, row by row. Returns 0, or -1 when the journal
 * failed (results say HOLD_IO). */
int rcd_apply_relief(rcd_state_t *s, rcd_event_t *events, unsigned n, rcd_result_t *results);
int rcd_apply_changes(rcd_state_t *s, const rcd_rules_t *rules, rcd_event_t *events, unsigned n,
                      rcd_result_t *results);

/* A verified head: contact or not. Updates head_iat and, when it is contact, verified_at.
 * Returns 1 contact, 0 not, -1 journal failure. `why` names the reason when 0. */
int rcd_state_head(rcd_state_t *s, int64_t now, int64_t iat, uint32_t epoch, uint64_t seq,
                   uint64_t relief_seq, char *why, size_t why_size);

/* The operator approves a new epoch. */
int rcd_state_approve_epoch(rcd_state_t *s, uint32_t epoch, char *err, size_t err_size);

/* What the office states of a snapshot, and what it was asked for. */
typedef struct {
    uint32_t epoch;
    uint64_t seq;
    uint64_t relief_seq;
    int64_t  iat;
    uint8_t  sha256[32];           /* of its records */
    /* the least relief_seq it must have: the journal's when it was asked for. Relief that came later
     * counts on top of it */
    uint64_t asked_relief_seq;
} rcd_statement_t;

/*
 * A snapshot whose signature, hash, size and count were verified by the caller, read as NDJSON from
 * `path`. Staged whole first (validated, quarantined), weighed, then applied as a difference in bounded
 * steps, so that relief and heads go on in between. When it adds more than the list may grow by (or is
 * the first list of all), only what frees is applied, and the rest waits for the operator (rcd_hold).
 *   begin   0, or -1 with err (older than what was asked for; epoch not approved; ...)
 *   step    1 = more to do, 0 = finished (marks moved, gap and behind closed), -1 failed (journal
 *   unchanged but for what is complete). Each call works at most ~10 ms.
 * `st` NULL: an unsigned import: every order becomes effect observe, marks do not move, absence ends
 * nothing, nothing waits. Killed in the middle: begin again. Progress in *done / *total for status.
 */
typedef struct rcd_snapshot_s rcd_snapshot_t;
rcd_snapshot_t *rcd_snapshot_begin(rcd_state_t *s, const rcd_rules_t *rules, const char *path,
                                   const rcd_statement_t *st, int64_t now, char *err,
                                   size_t err_size);
/* The same for the snapshot that waited and is approved. */
rcd_snapshot_t *rcd_snapshot_approved(rcd_state_t *s, const rcd_rules_t *rules, int64_t now,
                                      char *err, size_t err_size);
int  rcd_snapshot_step(rcd_snapshot_t *sn, uint64_t *done, uint64_t *total, char *err,
                       size_t err_size);
/* Records of a snapshot so far: written new or changed, put in quarantine, found as they were,
 * ended because absent, withheld because they add; of the whole, what adds, and whether it waits. */
typedef struct {
    uint64_t applied, quarantined, unchanged, dropped, withheld;
    uint64_t adds_orders, adds_terms;
    int      held;
    char     hash[65];             /* by which it waits */
} rcd_snapshot_counts_t;
void rcd_snapshot_counts(const rcd_snapshot_t *sn, rcd_snapshot_counts_t *out);
void rcd_snapshot_end(rcd_snapshot_t *sn);

/* A snapshot was asked for (1), until it is applied or given up (0): the changes lane must not pass it. */
void rcd_state_fetching(rcd_state_t *s, int on);

/* Quarantine to be reported to the office: the oldest unreported entry, 1 if there is one; then
 * _reported marks it. */
int rcd_quarantine_next(rcd_state_t *s, int64_t *id, rcd_result_t *out);
int rcd_quarantine_reported(rcd_state_t *s, int64_t id);

/*
 * The key and normalisers under which digests are made from now on. 1 when the journal's orders
 * were digested under others: then changes_gap is set and Redis keeps what it has (relief goes on)
 * until a snapshot has digested all anew. 0 when they agree, -1 when the journal failed.
 * rcd_redis_create calls it.
 */
int rcd_state_rules(rcd_state_t *s, const rcd_rules_t *rules);

/* ---- reading, also by rcctl from a journal opened read-only ---------------------------------- */

typedef enum {                     /* names: rcd_end_names */
    RCD_END_NONE = 0,              /* in force, or its start is still to come */
    RCD_END_EXPIRED,               /* `until` passed */
    RCD_END_DROPPED,               /* absent from a verified snapshot */
    /* a later version contradicts it (other subject) or cannot be read */
    RCD_END_REFUSED,
    RCD_END_LIFTED,                /* nothing of it is left unlifted */
    RCD_END_N
} rcd_end_t;

/* "none" "expired" "dropped" "refused" "lifted" */
extern const char *const rcd_end_names[RCD_END_N];

typedef struct {
    char      number[JD_ORDER_NUMBER_MAX + 1];
    uint8_t   digest[JD_DIGEST_LEN];
    uint16_t  measures;
    unsigned  flags;               /* JD_ORDER_OBSERVE, JD_ORDER_OBJECTION */
    int64_t   served;
    int64_t   start;               /* effective: not before served */
    int64_t   until;
    int64_t   first_from;          /* first `from` ever seen of the number */
    uint32_t  deadline_day;
    uint8_t   grounds[JD_GROUNDS_ID_LEN];
    int       imported;            /* from an unsigned file */
    rcd_end_t ended;
    int64_t   ended_at;
} rcd_row_t;

typedef struct {
    uint64_t live;                 /* orders in force or to come */
    uint64_t relief;               /* order numbers with relief */
    uint64_t quarantined;
    uint64_t unreported;           /* of these */
} rcd_counts_t;

/* 0 or -1 */
int rcd_state_counts(rcd_state_t *s, rcd_counts_t *out);
/* The orders of one digest, or all (NULL), ended ones too, with their relief. `each` returns 0
 * to go on. 0, or -1 when the journal failed. */
int rcd_state_orders(rcd_state_t *s, const uint8_t *digest, int (*each)(void *arg,
                                                                        const rcd_row_t *row,
                                                                        const jd_relief_t *relief),
                                                                        void *arg);
/* One order by number: 1 found, 0 not, -1 failed. A number known only by its relief is not
 * found; *relief is filled all the same. */
int rcd_state_order(rcd_state_t *s, const char *number, rcd_row_t *row, jd_relief_t *relief);
/* What is quarantined, oldest first. `at` = the iat of what brought it. */
int rcd_state_quarantine(rcd_state_t *s, int (*each)(void *arg, const rcd_result_t *q, int64_t at,
                                                     int reported), void *arg);
/* Grounds of an order as jd_grounds_encode wrote them: length, 0 when unknown, -1 failed. `out`
 * takes JD_GROUNDS_MAX. */
int rcd_state_grounds(rcd_state_t *s, const uint8_t id[JD_GROUNDS_ID_LEN], uint8_t *out);

/* Once a second: ends orders whose `until` has passed by both clocks; returns the number of
 * digests touched. */
int rcd_state_tick(rcd_state_t *s, int64_t now, int64_t office_now);

/* ---- rcd_redis: the writer to Redis, draining what state left to be written ------------------ */

typedef struct rcd_redis_s rcd_redis_t;

typedef struct {
    const char *address;           /* "127.0.0.1:6379" or "unix:/path" */
    const char *auth_file;         /* NULL, or a file "user password" or "password" */
    const char *list;
    uint32_t    expected;          /* digests to size buckets for */
    const rcd_rules_t *rules;
} rcd_redis_conf_t;

typedef struct {
    char     state[24];            /* "down" "loading" "refilling" "standby" "ready" */
    /* reason while not ready, or a warning that stands (listpack value, appendonly) */
    char     fault[160];
    uint64_t era, last_id, count, dirty, relief_pending;
    uint64_t refills;
    int64_t  last_ok;
} rcd_redis_status_t;

rcd_redis_t *rcd_redis_create(const rcd_redis_conf_t *conf, rcd_state_t *s);
void rcd_redis_destroy(rcd_redis_t *r);

/*
 * One bounded step (at most ~20 ms of work, or one timeout of 1 s when Redis hangs; reconnects with
 * back-off): relief first, then changed digests, then meta: marks, verified_at, office clock and
 * beat (at least each second). Returns milliseconds until it wants to be called again (0 = at
 * once).
 */
int  rcd_redis_step(rcd_redis_t *r, int64_t now, int64_t office_now);
/* Relief and stays that the journal has are wanted in Redis now, whatever the pause: 1 when Redis has
 * confirmed all of them, 0 when it cannot be reached or another instance writes. Blocks for a few
 * timeouts at most. */
int  rcd_redis_urge(rcd_redis_t *r);
/* Relief that must go out although the journal failed. */
void rcd_redis_relief_now(rcd_redis_t *r, const char *number, const jd_relief_t *relief);
void rcd_redis_status(const rcd_redis_t *r, rcd_redis_status_t *out);

#endif
