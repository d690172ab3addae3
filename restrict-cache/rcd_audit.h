/*
 * rcd_audit - what the daemon did and for whose sake, record by record: rows of the journal, written
 * in the transaction of what they tell, and drained to the chain file after it (rcd_audit_file).
 *
 * A record never holds an identifier, a digest of one, or a key: order numbers, names of OS users,
 * counts, and texts that the authority or the operator gave.
 */
#ifndef RCD_AUDIT_H
#define RCD_AUDIT_H

#include <cjson/cJSON.h>
#include "rcd_audit_line.h"
#include "rcd_state.h"

extern const char rcd_audit_schema[];

/*
 * One record, written inside the caller's transaction: it is in the chain exactly if that commits,
 * so the transaction is a durable one. `kind` names the event; `fields` (an object, or NULL for none)
 * is taken over; its members follow `kind` in the record, and must not be called n, at, kind, prev or
 * hash (such members are left out). Returns 0, or -1 when the journal failed (s->fault says why):
 * then the caller rolls back.
 */
int rcd_audit(rcd_state_t *s, const char *kind, cJSON *fields);

/* The same in a durable transaction of its own, for what changes nothing else. */
int rcd_audit_alone(rcd_state_t *s, const char *kind, cJSON *fields);

/* From now on records tell `user` (an OS user, copied) unless their fields name one; NULL: no longer.
 * Set while a command of rcctl runs. */
void rcd_audit_actor(rcd_state_t *s, const char *user);

/*
 * The newest checkpoint, a compact JWS (typ jd-checkpoint+jwt; claims iss, list, journal, n, hash,
 * iat) over record *n, whose hash in hex is `hash`; that record is in the chain file and fsynced. It
 * goes with each batch of the ledger. "" when there is none (no key, or nothing signed yet); then *n
 * is 0 and `hash` "". Valid until the next call.
 *
 * What binds the chain is the receipt's claim `checkpoint`: {"n","hash"} of the checkpoint that came
 * with the batch and that the office has verified. The record of the batch holds the same two as
 * checkpoint_n and checkpoint_hash; the record of the receipt chains the receipt back.
 */
const char *rcd_audit_checkpoint(rcd_state_t *s, uint64_t *n, char hash[65]);

/* ---- for records that come by the million ---------------------------------------------------- */

/* rcd_audit with the members printed already: `text` is "" or whole members, each after a comma. */
int rcd_audit_put(rcd_state_t *s, const char *kind, const char *text);

#define RCD_AUDIT_TEXT_ID_LEN 16

/* The name of an order's texts: the first 8 bytes of the SHA-256 of the encoded grounds, as hex.
 * Valid until the next call. */
const char *rcd_audit_text_id(rcd_state_t *s, const rcd_order_t *o);

/* ---- for the journal and the chain file ------------------------------------------------------ */

/* Statements of the journal just opened; 0, or -1 with s->fault. close takes a journal that was never
 * opened, too. */
int  rcd_audit_open(rcd_state_t *s);
void rcd_audit_close(rcd_state_t *s);

typedef struct {                   /* the chain file as far as the journal knows it */
    uint64_t n;                    /* records; 0 = none yet */
    uint8_t  hash[RCD_AUDIT_HASH_LEN];
    uint64_t size;                 /* bytes up to and with record n */
    uint64_t checkpoint_n;         /* the newest checkpoint is over this record; 0 = none */
    int64_t  checkpoint_at;
} rcd_audit_head_t;

typedef struct {                   /* a record on its way; text is valid until the next statement */
    int64_t     id;
    int64_t     at;
    const char *kind;
    const char *text;
    size_t      text_len;
} rcd_audit_row_t;

/* The highest id given out by this process or left in the journal; rows rolled back count. */
int64_t rcd_audit_last(const rcd_state_t *s);
/* Rows that wait, counted: 0 or -1. */
int  rcd_audit_pending(rcd_state_t *s, uint64_t *n);
/* The first row above id `after`: 1 and the row, then rcd_audit_row_done; 0, -1. */
int  rcd_audit_row(rcd_state_t *s, int64_t after, rcd_audit_row_t *row);
void rcd_audit_row_done(rcd_state_t *s);
/* Takes rows up to `id` out. Inside a transaction. */
int  rcd_audit_rows_remove(rcd_state_t *s, int64_t id);
/* The head as it was saved last; save takes the checkpoint's text too (NULL: it stays). Inside a
 * transaction. */
int  rcd_audit_head(rcd_state_t *s, rcd_audit_head_t *head);
int  rcd_audit_head_save(rcd_state_t *s, const rcd_audit_head_t *head, const char *checkpoint);
/* What the newest record `config` was made from: malloc'ed, NULL when the journal failed. */
char *rcd_audit_config_text(rcd_state_t *s);
int  rcd_audit_config_save(rcd_state_t *s, const char *text);

#endif
