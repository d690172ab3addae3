/*
 * rcd_claims - payloads of verified tokens that say where the office stands: heads and snapshots.
 */
#ifndef RCD_CLAIMS_H
#define RCD_CLAIMS_H

#include <stddef.h>
#include <stdint.h>
#include "rcd_json.h"

#define RCD_EPOCH_MAX        65535
#define RCD_HREF_MAX         512
#define RCD_SNAPSHOT_BYTES_MAX (UINT64_C(4) << 30)    /* decoded; refused above */

/* What every token must name, from the configuration. */
typedef struct {
    const char *iss;
    const char *aud;
    const char *list;
} rcd_party_t;

typedef struct {
    int64_t  iat;
    int64_t  exp;
    uint32_t epoch;
    uint64_t seq;
    uint64_t relief_seq;
} rcd_head_t;

typedef struct {
    rcd_head_t head;
    char       href[RCD_HREF_MAX + 1];
    uint8_t    sha256[32];
    uint64_t   bytes;             /* of the decoded NDJSON */
    uint64_t   count;
} rcd_snapshot_claims_t;

/* 1 when iss is ours and aud is, or contains, ours. */
int rcd_party_match(const cJSON *payload, const rcd_party_t *party);

/*
 * Reads the claims {iss,aud,iat,exp,list,epoch,seq,relief_seq} of a verified head, at time `now`.
 * Returns NULL, or a static phrase naming the claim at fault. An expired token is a fault (a
 * freeze).
 */
const char *rcd_head_parse(const char *payload, size_t len, const rcd_party_t *party, int64_t now,
                           rcd_head_t *out);

/* The same and "records":{"href","sha256","count","bytes"}. `href` "" is accepted (a signed file
 * carries its records itself); otherwise it must be a relative path of plain segments. */
const char *rcd_snapshot_parse(const char *payload, size_t len, const rcd_party_t *party,
                               int64_t now, rcd_snapshot_claims_t *out);

#endif
