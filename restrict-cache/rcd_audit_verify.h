/*
 * rcd_audit_verify - the chain file read from its first record to its last: what of it is whole, what
 * signatures vouch for, and the first thing that is wrong. Constant memory.
 */
#ifndef RCD_AUDIT_VERIFY_H
#define RCD_AUDIT_VERIFY_H

#include "rcd_audit_line.h"
#include "rcd_jws.h"

#define RCD_AUDIT_HELD_MAX   4096      /* receipts and checkpoints in the hands of the office */
#define RCD_AUDIT_NOTES_MAX  16
#define RCD_AUDIT_SIGNED_MAX 128       /* bytes of iss, aud and list */

typedef enum {
    RCD_AUDIT_WHOLE,
    RCD_AUDIT_CHANGED,                 /* a record's bytes are not those that were hashed */
    RCD_AUDIT_REMOVED,
    RCD_AUDIT_INSERTED,
    RCD_AUDIT_REORDERED,
    RCD_AUDIT_CUT,                     /* the file ends before a record that somebody knows */
    RCD_AUDIT_REBUILT,                 /* whole in itself, but not the chain that somebody knows */
    RCD_AUDIT_CHECKPOINT,              /* a checkpoint that the operator did not sign for this place */
    RCD_AUDIT_RECEIPT,                 /* a receipt that the office did not sign for this batch */
    RCD_AUDIT_DAMAGE_N
} rcd_audit_damage_t;

/* "whole" "changed" "removed" ... */
extern const char *const rcd_audit_damage_names[RCD_AUDIT_DAMAGE_N];

typedef struct {                       /* a record that a signature names */
    uint64_t n;                        /* 0 = none */
    int64_t  at;                       /* iat */
    char     kid[RCD_KID_MAX + 1];
} rcd_audit_signed_t;

typedef struct {
    /* in: NULL where it is not known, then it is not verified; of iss, office and list the first token
     * tells what is "" */
    const rcd_jwks_t *operator_keys;   /* checkpoints */
    int               signed_expected; /* a chain without any checkpoint is not the operator's */
    const rcd_jwks_t *office_keys;     /* receipts; NULL: receipts are not looked at */
    char              iss[RCD_AUDIT_SIGNED_MAX];       /* of checkpoints, aud of receipts */
    char              office[RCD_AUDIT_SIGNED_MAX];    /* iss of receipts */
    char              list[RCD_AUDIT_SIGNED_MAX];
    /* what the journal knows; known_n 0: nothing */
    uint64_t          known_n;
    uint8_t           known_hash[RCD_AUDIT_HASH_LEN];
    uint64_t          known_checkpoint;

    /* out */
    rcd_audit_damage_t damage;         /* the first; reading ends there */
    uint64_t           damage_n;       /* number of the record */
    uint64_t           damage_line;    /* where it stands, 0 = nowhere */
    char               why[400];
    uint64_t           records;        /* whole ones from the first on */
    uint64_t           last_n;
    int                torn;           /* bytes behind the last line end */
    uint64_t           checkpoints;
    uint64_t           receipts;
    uint64_t           receipts_bare;  /* of these, such as name no checkpoint */
    rcd_audit_signed_t checkpoint;     /* the newest */
    rcd_audit_signed_t receipt;        /* that names the newest record */
    char               receipt_batch[65];
    unsigned           notes_n;        /* the first of them; counted on */
    char               notes[RCD_AUDIT_NOTES_MAX][200];
} rcd_audit_verify_t;

/* What others hold: a list of (n, hash) that the chain must have. */
typedef struct {
    struct {
        uint64_t n;
        uint8_t  hash[RCD_AUDIT_HASH_LEN];
        int      by_office;            /* a receipt, not a checkpoint */
        int64_t  at;
        char     kid[RCD_KID_MAX + 1];
    } entry[RCD_AUDIT_HELD_MAX];
    unsigned n;
} rcd_audit_held_t;

/*
 * Reads receipts and checkpoints, compact JWS one a line, and verifies them by the keys of `v`. 0 and
 * *held sorted by n, or -1 with `err` naming the line.
 */
int rcd_audit_held_read(const rcd_audit_verify_t *v, const char *text, rcd_audit_held_t *held,
                        char *err, size_t err_size);

/* Verifies the open file. `held` may be NULL. 0 when it could be read (v->damage says the rest), or -1
 * with errno. */
int rcd_audit_verify(rcd_audit_verify_t *v, const rcd_audit_held_t *held, int fd);

#endif
