/*
 * jd_seal - the decision id: what a denial rested on, sealed for the operator's staff. Nothing is stored anywhere: who holds the digest
 * key opens it, to everybody else it is noise.
 *
 * Token, base64url without padding of:
 *
 *   off size
 *   0   1   version, 1
 *   1   2   month, little-endian: months since January 1970 at +08:00
 *   3   4   hint: which key and list, so that a foreign token is told from a damaged one
 *   7   12  nonce, random
 *   19  -   AES-256-GCM of the content, with bytes 0..6 and the list's name as additional data
 *   end 16  tag
 *
 * Content: u8 measure bit, u40 link_from, era, last_id, age and minute as LEB128 of the least length, the order's number to the end.
 *
 * The key is of one list and one month: siphash128(digest_key, "jd decision 2026-11 <list> 1") and the same with 2; the first four
 * bytes of the same with 3 are the hint. It rotates with the month and needs no secret of its own. A month's tokens under one key are
 * far fewer than the 2^32 up to which random nonces of 96 bits are safe (NIST SP 800-38D, 8.3).
 */
#ifndef JD_SEAL_H
#define JD_SEAL_H

#include <stddef.h>
#include <stdint.h>
#include "jd_digest.h"
#include "jd_order.h"

#define JD_SEAL_LINK_EVER    1
#define JD_SEAL_NONCE_LEN    12
#define JD_SEAL_CONTENT_MAX  (1 + 5 + 10 + 10 + 10 + 10 + JD_ORDER_NUMBER_MAX)
#define JD_SEAL_BYTES_MAX    (19 + JD_SEAL_CONTENT_MAX + 16)
#define JD_SEAL_TEXT_MAX     ((JD_SEAL_BYTES_MAX * 4 + 2) / 3)

typedef struct {
    char     number[JD_ORDER_NUMBER_MAX + 1];
    unsigned measure_bit;
    uint64_t era;                  /* the list's version: era and n of the newest change */
    uint64_t last_id;
    int64_t  age_sec;              /* of the list at that moment */
    int64_t  at;                   /* Unix seconds; sealed as the minute */
    /* when the link began by which the order reached this card; JD_SEAL_LINK_EVER = since ever; 0 = it names the subject itself */
    int64_t  link_from;
} jd_decision_t;

/* Months since January 1970 at +08:00. */
uint32_t jd_seal_month(int64_t unix_sec);

/* The content as bytes; 0 when a member is out of its bounds. Unpack: 0 or -1; takes only what pack writes. */
size_t jd_seal_pack(const jd_decision_t *d, uint8_t out[JD_SEAL_CONTENT_MAX]);
int    jd_seal_unpack(jd_decision_t *d, const uint8_t *in, size_t len);

/* Seals under the key of d->at's month; the nonce must be random. Returns the length of the token (no NUL), or 0. */
size_t jd_seal(const jd_key_t *k, const char *list, const uint8_t nonce[JD_SEAL_NONCE_LEN], const jd_decision_t *d,
               char out[JD_SEAL_TEXT_MAX]);

typedef enum {
    JD_SEAL_OK,
    JD_SEAL_FORM,             /* not a token: its characters, length or version */
    JD_SEAL_MONTH,            /* not of this month or the one before: its key is given up */
    JD_SEAL_FOREIGN,          /* of another list or key */
    JD_SEAL_DAMAGED           /* of ours, but changed or cut */
} jd_seal_rc_t;

/* Opens a token of the month of `now` or the one before, under any of the keys. */
jd_seal_rc_t jd_seal_open(const jd_keys_t *keys, const char *list, int64_t now, const char *text, size_t len, jd_decision_t *d);

#endif
