/*
 * rcd_audit_signed - checkpoints and receipts: verified, and read into claims.
 */
#ifndef RCD_AUDIT_SIGNED_H
#define RCD_AUDIT_SIGNED_H

#include <cjson/cJSON.h>
#include "rcd_audit_verify.h"

typedef struct {
    uint64_t n;                        /* record it is over; 0: a receipt that names no checkpoint */
    uint8_t  hash[RCD_AUDIT_HASH_LEN];
    int64_t  iat;
    char     kid[RCD_KID_MAX + 1];
    char     iss[RCD_AUDIT_SIGNED_MAX];
    char     list[RCD_AUDIT_SIGNED_MAX];
    char     batch[65];                /* of receipts */
    char     batch_hash[129];
} rcd_audit_claims_t;

/* NULL and the claims of a token that the keys of `v` signed for its parties, or a static phrase. A key
 * counts as of the token's own iat. `jws` may be NULL. */
const char *rcd_audit_checkpoint_read(const rcd_audit_verify_t *v, const char *jws,
                                      rcd_audit_claims_t *out);
const char *rcd_audit_receipt_read(const rcd_audit_verify_t *v, const char *jws,
                                   rcd_audit_claims_t *out);

typedef struct {                       /* a record `batch`: {batch, hash..., checkpoint_n, ...} */
    char     batch[65];
    char     hash[129];
    uint64_t n;                        /* of the checkpoint that went with it; 0 = none */
    uint8_t  chain_hash[RCD_AUDIT_HASH_LEN];
} rcd_audit_batch_t;

/* 0, or -1 when it names no batch. */
int rcd_audit_batch_read(const cJSON *fields, rcd_audit_batch_t *out);

#endif
