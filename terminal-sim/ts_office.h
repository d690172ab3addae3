/*
 * ts_office.h - what the parts of the simulated credit office share.
 *
 * One process, one thread: `serve` runs everything from one loop. A control command asks that
 * process over a socket in the directory, or, when none runs, takes the directory's lock and does
 * the same itself.
 */
#ifndef TS_OFFICE_H
#define TS_OFFICE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cjson/cJSON.h>
#include <openssl/types.h>

#include "ts.h"

#define TS_SEQ_MAX     ((1ull << 48) - 1)
#define TS_EPOCH_MAX   65535u
#define TS_LINE_MAX    (1024 * 1024)             /* bytes of one record, of one line of the log */
#define TS_JTI_SIZE    48

typedef enum {
    TS_CHANGES,
    TS_RELIEF,
    TS_LANES
} ts_lane_t;

extern const char *const ts_lane_names[TS_LANES];

/* ---- directory, keys (ts_office_keys.c) ------------------------------------------------------ */

typedef struct {
    char list[64];
    char iss[256];
    char aud[256];
} ts_party_t;

/* Makes the office's directory: party.json, CA, server and client certificates, signing keys,
 * jwks.json, token. Refuses one that holds an office. Returns 0, or -1: told on stderr. */
int ts_keys_init(const char *dir, const ts_party_t *party);

/* DIR/NAME in static storage (one at a time). */
const char *ts_path(const char *dir, const char *name);

/* Whole file with a NUL behind it; caller frees. NULL: errno says why. */
char *ts_file_read(const char *path, size_t *len);

/* Writes a file whole and renames it into place, fsynced. Returns 0 or -1 (errno). */
int ts_file_write(const char *path, const void *bytes, size_t len, unsigned mode);

/* ---- signatures (ts_office_sign.c) ----------------------------------------------------------- */

typedef enum {
    TS_KEY_OFFICE,                  /* kid office-1 */
    TS_KEY_RELIEF,                  /* kid relief-1: jd_use relief */
    TS_KEYS
} ts_key_t;

extern const char *const ts_key_names[TS_KEYS];     /* kid, and the name of the file without .key */

typedef struct {
    EVP_PKEY *key[TS_KEYS];
} ts_signer_t;

int  ts_signer_load(ts_signer_t *s, const char *dir);         /* 0, or -1: told on stderr */
void ts_signer_fini(ts_signer_t *s);

#define TS_TWIST_SIGNATURE  0x1     /* one byte of the signature is wrong */
#define TS_TWIST_KID        0x2     /* signed by a kid that no JWKS holds */

/* Compact JWS (RFC 7515) with header {"alg":"EdDSA","kid","typ"}; malloc'ed text, NULL when memory
 * fails. */
char *ts_jws(const ts_signer_t *s, ts_key_t key, const char *typ, const cJSON *payload,
             unsigned twist);

/* base64url without padding and a NUL; `out` takes len / 3 * 4 + 5 bytes. Returns the length. */
size_t ts_base64url(const void *in, size_t len, char *out);

/* ---- events (ts_office_store.c) -------------------------------------------------------------- */

/*
 * The log DIR/events is what the office is. It is only appended to; a line is
 * "<kind> <epoch> <seq> <time> <jti> <order> <rest>":
 *
 *   order     rest = the record: a new or amended order; a token waits in the changes lane
 *   baseline  the same, but no token: known by snapshots alone
 *   lift      rest = array of measures, null = the whole order; a token waits in the relief lane
 *   mark      rest = true or false (objection); likewise
 *   epoch     the epoch from here on; change tokens not acknowledged are given up to the snapshot
 *   ack       jti of a token; seq and order are those of its event
 *   err       likewise; rest = {"err","description"}
 *   quarantine  order = as reported ("-" if not a number), rest = {"code","description"}
 */
typedef enum {
    TS_EV_ORDER,
    TS_EV_BASELINE,
    TS_EV_LIFT,
    TS_EV_MARK,
    TS_EV_EPOCH,
    TS_EV_ACK,
    TS_EV_ERR,
    TS_EV_QUARANTINE,
    TS_EV_N
} ts_event_kind_t;

extern const char *const ts_event_names[TS_EV_N];

typedef struct {                    /* one line; text points into the buffer it was read to */
    ts_event_kind_t kind;
    unsigned        epoch;
    uint64_t        seq;
    int64_t         at;
    const char     *jti;
    const char     *number;
    const char     *rest;
} ts_event_t;

typedef enum {
    TS_PENDING,                     /* offered by polls until answered for */
    TS_ACKED,
    TS_FAILED,                      /* setErrs */
    TS_SETTLED                      /* no token: baseline, or of an epoch that is over */
} ts_event_state_t;

extern const char *const ts_state_names[];

typedef struct ts_store ts_store_t;

/* Opens (creates) DIR/events and reads it whole; a torn last line is cut off. The caller holds the
 * directory's lock. NULL: told on stderr. */
ts_store_t *ts_store_open(const char *dir);
void        ts_store_close(ts_store_t *s);

unsigned ts_store_epoch(const ts_store_t *s);
uint64_t ts_store_seq(const ts_store_t *s, ts_lane_t lane);
uint64_t ts_store_orders(const ts_store_t *s);

/* Lowest seq from `from` on whose token waits, 0 = none. */
uint64_t ts_store_pending(const ts_store_t *s, ts_lane_t lane, uint64_t from);
uint64_t ts_store_n_pending(const ts_store_t *s, ts_lane_t lane);
/* Highest seq with this state, 0 = none. */
uint64_t ts_store_last(const ts_store_t *s, ts_lane_t lane, ts_event_state_t state);
ts_event_state_t ts_store_state(const ts_store_t *s, ts_lane_t lane, uint64_t seq);

/* Reads one event. `*line` takes the text that `ev` points into; caller frees. Returns 0 or -1
 * (told). */
int ts_store_event(const ts_store_t *s, ts_lane_t lane, uint64_t seq, ts_event_t *ev, char **line);

/* 1 when an order of this number was published. */
int ts_store_knows(const ts_store_t *s, const char *number);

/*
 * Appends an event: kind order, baseline, lift, mark (seq and jti are given to it), or epoch.
 * Durable after ts_store_sync. Returns its seq, 0 when the log cannot be written (told).
 */
uint64_t ts_store_append(ts_store_t *s, ts_event_kind_t kind, int64_t at, const char *number,
                         const char *rest, size_t len);
int      ts_store_epoch_set(ts_store_t *s, int64_t at, unsigned epoch);
int      ts_store_sync(ts_store_t *s);

/* The receiver's answers. Unknown or already answered jti: nothing. */
void ts_store_ack(ts_store_t *s, ts_lane_t lane, int64_t at, const char *jti);
void ts_store_err(ts_store_t *s, ts_lane_t lane, int64_t at, const char *jti, const char *rest);
void ts_store_quarantine(ts_store_t *s, int64_t at, const char *number, const char *rest);

/* What is in force by the office: calls `each` with the record of each order that is not lifted,
 * lifted measures taken out and the last mark put in, in the order of first publication. Non-zero
 * from `each` stops. Returns that, or -1 (told). */
typedef int (*ts_record_fn)(void *data, const char *record, size_t len);
int ts_store_records(const ts_store_t *s, ts_record_fn each, void *data);

/* Calls `each` for every line of the log, in order. */
typedef int (*ts_event_fn)(void *data, const ts_event_t *ev);
int ts_store_log(const ts_store_t *s, ts_event_fn each, void *data);

/* ---- ledger (ts_office_ledger.c) ------------------------------------------------------------- */

typedef struct ts_ledger ts_ledger_t;

typedef enum {
    TS_BATCH_NEW,
    TS_BATCH_AGAIN,                 /* the same bytes as before */
    TS_BATCH_CONFLICT,              /* other bytes under this name, or not behind the last one */
    TS_BATCH_WRONG                  /* not of its form, `why` says what */
} ts_batch_rc_t;

typedef struct {
    char        name[64];
    char        hash[65];
    uint64_t    last;               /* newest batch of the chain before this one */
    uint64_t    checkpoint_n;       /* of the audit chain, as the batch tells it; 0 = none */
    char        checkpoint_hash[65];
    const char *why;
} ts_batch_t;

/* A checkpoint's record and hash, unverified (ts_office_checkpoint.c). 0, or -1: it is none. */
int ts_checkpoint_read(const char *jws, uint64_t *n, char hash[65]);

/* Opens (creates) DIR/ledger and reads it whole; a torn last line is cut off. NULL: told. */
ts_ledger_t  *ts_ledger_open(const char *dir);
void          ts_ledger_close(ts_ledger_t *l);
/* Takes a batch; a new one is durable when this returns. */
ts_batch_rc_t ts_ledger_take(ts_ledger_t *l, const ts_party_t *party, const char *body, size_t len,
                             ts_batch_t *b);
/* Calls `each` with a line (to be deleted by it) for every total, summed over runs, sorted. 0, or -1
 * without memory. */
int ts_ledger_totals(const ts_ledger_t *l, void (*each)(void *data, cJSON *line), void *data);

/* ---- the office (ts_office_open.c) ----------------------------------------------------------- */

typedef struct ts_faults ts_faults_t;
typedef struct ts_snapshots ts_snapshots_t;

typedef struct {
    const char     *dir;
    ts_party_t      party;
    ts_signer_t     signer;
    ts_store_t     *store;
    ts_ledger_t    *ledger;
    ts_faults_t    *faults;
    ts_snapshots_t *snapshots;
    int             lock;           /* fd of DIR/lock, held */
} ts_office_t;

/* Locks and loads a directory. Returns 0, -1 (told), or 1: another process has it (not told). */
int  ts_office_open(ts_office_t *o, const char *dir);
void ts_office_close(ts_office_t *o);

int64_t ts_now(void);               /* Unix seconds */
int64_t ts_now_ms(void);            /* CLOCK_MONOTONIC */

/* ---- faults (ts_office_fault.c) -------------------------------------------------------------- */

typedef enum {
    TS_F_BAD_SIGNATURE,
    TS_F_UNKNOWN_KID,
    TS_F_RELIEF_KEY,
    TS_F_OLD_SEQ,
    TS_F_GAP,
    TS_F_SHUFFLE,
    TS_F_FORK,
    TS_F_MALFORMED,
    TS_F_EMPTY,
    TS_F_NO_HEAD,
    TS_F_STALE_HEAD,
    TS_F_EXPIRED,
    TS_F_FUTURE_IAT,
    TS_F_WRONG_HASH,
    TS_F_WRONG_COUNT,
    TS_F_NO_RECEIPT,
    TS_F_WRONG_BATCH,
    TS_F_TRUNCATE,
    TS_F_ENDLESS,
    TS_F_SLOW,
    TS_F_STATUS,
    TS_F_HANG,
    TS_F_N
} ts_fault_kind_t;

typedef enum {
    TS_AT_HEAD,                     /* GET head, and jd_head of polls as far as the token goes */
    TS_AT_SNAPSHOT,
    TS_AT_RECORDS,
    TS_AT_RELIEF,
    TS_AT_CHANGES,
    TS_AT_QUARANTINE,
    TS_AT_LEDGER,
    TS_AT_N
} ts_endpoint_t;

extern const char *const ts_endpoint_names[TS_AT_N];

typedef struct {
    const char *arg;                /* text of NAME=ARG, "" = none */
    int64_t     since;              /* when it was set, Unix seconds */
    unsigned    epoch;              /* where the office stood then */
    uint64_t    seq[TS_LANES];
} ts_fault_t;

ts_faults_t *ts_faults_open(const char *dir);                 /* NULL: told */
void         ts_faults_close(ts_faults_t *f);

/* The fault if it is set at this endpoint, else NULL. */
const ts_fault_t *ts_fault(const ts_faults_t *f, ts_fault_kind_t kind, ts_endpoint_t at);
/* A fault has shaped one answer: counts it down. */
void ts_fault_used(ts_faults_t *f, ts_fault_kind_t kind, ts_endpoint_t at);

/* Sets "NAME[=ARG]" at an endpoint (NULL: wherever it makes sense) for `times` answers (0: until
 * cleared). Returns NULL, or what is wrong (static storage). */
const char *ts_faults_set(ts_faults_t *f, const char *text, const char *endpoint, unsigned times,
                          const ts_store_t *store);
int         ts_faults_clear(ts_faults_t *f);
unsigned    ts_faults_clearings(const ts_faults_t *f);        /* how often they were cleared */
void        ts_faults_list(const ts_faults_t *f, cJSON *array);
void        ts_faults_help(FILE *out);

/* ---- claims (ts_office_claims.c) ------------------------------------------------------------- */

/* A head as the office stands, or stood when the fault `as_of` was set (NULL: now); faults of head
 * applied. All three return malloc'ed text, NULL when they cannot be made. */
char *ts_head_jws(ts_office_t *o, const ts_fault_t *as_of);

/* Statement of a snapshot; faults applied when `faulty`. */
typedef struct {
    unsigned epoch;
    uint64_t seq;
    uint64_t relief_seq;
    uint64_t count;
    uint64_t bytes;
    char     sha256[65];
} ts_snapshot_t;

char *ts_snapshot_jws(ts_office_t *o, const ts_snapshot_t *snapshot, const char *href, int faulty);

/* Receipt for a batch. */
char *ts_receipt_jws(ts_office_t *o, const ts_batch_t *batch);

typedef enum {
    TS_TOKEN_TRUE,
    TS_TOKEN_FORKED                 /* other content at the same seq */
} ts_token_kind_t;

/* Token of one event of a lane, faults of the lane applied. `jti` takes the token's. */
char *ts_token_jws(ts_office_t *o, ts_lane_t lane, uint64_t seq, ts_token_kind_t kind,
                   char jti[TS_JTI_SIZE]);

/* ---- snapshots (ts_office_snapshot.c) -------------------------------------------------------- */

/* Records of a snapshot are a file DIR/snapshots/<sha256>, kept for TS_SNAPSHOT_VALID_SEC
 * after the last statement that named it. */
ts_snapshots_t *ts_snapshots_create(const char *dir);         /* NULL: told */
void            ts_snapshots_destroy(ts_snapshots_t *s);      /* ends a child that still builds */

/* Begins to build one of the store as it is now, in a child process, unless one is being built. 0,
 * or -1 (told). */
int  ts_snapshots_build(ts_snapshots_t *s, const ts_store_t *store);
/* Readable when the child has ended; -1 when none runs. */
int  ts_snapshots_fd(const ts_snapshots_t *s);
/* Takes the child's result; blocks until it has ended. */
void ts_snapshots_take(ts_snapshots_t *s);
/* The newest, or NULL. */
const ts_snapshot_t *ts_snapshots_newest(const ts_snapshots_t *s);
/* 1 when it is of the store as it is now. */
int  ts_snapshots_current(const ts_snapshots_t *s, const ts_store_t *store);
/* Opens the records of a hash (64 hex digits) and keeps them on. Returns fd and size, or -1. */
int  ts_snapshots_open(const ts_snapshots_t *s, const char *sha256, uint64_t *bytes);
#define TS_SNAPSHOT_VALID_SEC 3600

/* ---- the feed over HTTPS (ts_office_feed.c, ts_office_poll.c) -------------------------------- */

typedef struct ts_feed ts_feed_t;

typedef struct {
    unsigned port;                  /* 0: any free one */
    unsigned idle_ms;               /* how long a poll without events is held */
} ts_feed_options_t;

ts_feed_t *ts_feed_create(ts_office_t *o, const ts_feed_options_t *options);      /* NULL: told */
void       ts_feed_destroy(ts_feed_t *f);
unsigned   ts_feed_port(const ts_feed_t *f);
int        ts_feed_fd(const ts_feed_t *f);                    /* readable: call ts_feed_run */
void       ts_feed_run(ts_feed_t *f);                         /* never blocks */
/* Wakes the requests whose time or event has come. Returns ms until the next call, -1 = no time. */
int        ts_feed_wake(ts_feed_t *f);

typedef struct {                    /* what a poll asks for, RFC 8936 */
    unsigned max_events;
    int      return_immediately;
} ts_poll_t;

/* Reads a poll and takes its ack and setErrs into the store. Returns NULL, or what is wrong (static
 * storage). */
const char *ts_poll_read(ts_poll_t *p, ts_office_t *o, ts_lane_t lane, const char *body,
                         size_t len);
/* 1 when a poll of this lane has something to be told now. */
int   ts_poll_ready(ts_office_t *o, ts_lane_t lane);
/* The answer: {"sets","moreAvailable","jd_head"} as text; malloc'ed. */
char *ts_poll_answer(ts_office_t *o, ts_lane_t lane, const ts_poll_t *p);

/* ---- commands (ts_office_command.c, _backup.c, _client.c, _serve.c) -------------------------- */

/*
 * Does one command on an open office. `request`: {"cmd":NAME,...}; `in`: the lines that follow it,
 * NULL = none. Writes the answer to `out`, one JSON object a line; the last is {"ok":true} or
 * {"ok":false,"error":"..."}. What it wrote to the log is durable when it returns.
 */
void ts_command(ts_office_t *o, const cJSON *request, FILE *in, FILE *out);

/* Copies an office's files to a new directory; the office may be served meanwhile. Returns 0 or -1
 * (told). */
int ts_backup(const char *dir, const char *to);
/* Takes the log of a backup of the same office. Returns NULL, or what is wrong (static storage). */
const char *ts_restore(ts_office_t *o, const char *from);

/*
 * Sends a request to the process that serves DIR, or does it here. Prints the answer: for people,
 * or line by line as it is (`json`). Calls `each`, if given, for every line before the last instead
 * of printing it. `in` may be NULL. Returns the exit code.
 */
typedef void (*ts_answer_fn)(void *data, const cJSON *line);
int ts_ask(const char *dir, const cJSON *request, FILE *in, int json, ts_answer_fn each,
           void *data);

/* DIR/office.sock as a socket address. Returns 0, or -1 when the path is too long (told). */
struct sockaddr_un;
int ts_socket_address(const char *dir, struct sockaddr_un *address);

/* Serves DIR until SIGTERM or SIGINT. Returns the exit code. */
int ts_serve(const char *dir, const ts_feed_options_t *options, const char *port_file);

/* `generate`: prints test orders as NDJSON (ts_office_generate.c). Takes its arguments, returns the
 * exit code. */
int ts_generate(int argc, char **argv);

#endif
