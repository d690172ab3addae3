/*
 * rcd_jws - verifies compact JWS (RFC 7515), Ed25519 (RFC 8037), by keys of a local JWKS file.
 *
 * The algorithm is pinned by the key: a token chooses neither it nor the key set. Every check of
 * the header happens before the signature, every use of the payload after.
 */
#ifndef RCD_JWS_H
#define RCD_JWS_H

#include <stddef.h>
#include <stdint.h>
#include <openssl/types.h>

#define RCD_KID_MAX      64
#define RCD_JWKS_MAX     16
#define RCD_JWS_MAX      (128 * 1024)     /* bytes of one compact token */
#define RCD_JWKS_FILE_MAX (64 * 1024)

typedef struct {
    char      kid[RCD_KID_MAX + 1];
    EVP_PKEY *key;
    int64_t   nbf;                        /* valid in [nbf, exp), Unix seconds */
    int64_t   exp;
    int       relief_only;                /* "jd_use": "relief": fit for lifts and marks alone */
} rcd_jwk_t;

typedef struct rcd_jwks_s {
    rcd_jwk_t key[RCD_JWKS_MAX];
    unsigned  n;
} rcd_jwks_t;

/*
 * Parses {"keys":[{"kty":"OKP","crv":"Ed25519","kid","x","nbf","exp","jd_use"?}]}. Returns a set
 * for rcd_jwks_destroy, or NULL with one line naming the key by position and the member at fault. A
 * private key ("d") is refused: it has no business here.
 */
rcd_jwks_t *rcd_jwks_parse(const char *text, size_t len, char *err, size_t err_size);
void rcd_jwks_destroy(rcd_jwks_t *jwks);

typedef enum {
    RCD_JWS_OK,
    RCD_JWS_FORM,                         /* not three base64url parts, or too long */
    /* header not JSON, alg not EdDSA, typ another, crit or b64, no kid */
    RCD_JWS_HEADER,
    RCD_JWS_KID,                          /* no such key in the JWKS */
    RCD_JWS_KEY_EARLY,                    /* key not valid yet */
    RCD_JWS_KEY_EXPIRED,
    RCD_JWS_SIGNATURE,
    RCD_JWS_N
} rcd_jws_rc_t;

extern const char *const rcd_jws_reasons[RCD_JWS_N];

typedef struct {
    /* as claimed; "" until the header was read. Safe to print */
    char             kid[RCD_KID_MAX + 1];
    const rcd_jwk_t *key;
    char            *payload;                 /* ours: rcd_jws_fini; NUL-terminated */
    size_t           payload_len;
    uint8_t          payload_hash[32];        /* SHA-256 of the payload bytes */
} rcd_jws_t;

/* Verifies `text` as a token of type `typ` at time `now`. `*out` is filled in every case and
 * belongs to rcd_jws_fini. */
rcd_jws_rc_t rcd_jws_verify(const rcd_jwks_t *jwks, const char *text, size_t len, const char *typ,
                            int64_t now, rcd_jws_t *out);
void rcd_jws_fini(rcd_jws_t *jws);

/*
 * Strict base64url without padding (RFC 4648 section 5): only the alphabet, no length of 1 mod 4,
 * unused bits zero. `out` takes len / 4 * 3 + 2 bytes. Returns the number of bytes, or -1.
 */
long rcd_base64url_decode(const char *text, size_t len, uint8_t *out);

/* A kid is printed in logs and status: 1 when it is 1 to RCD_KID_MAX bytes of visible ASCII without
 * quotes or backslash. NULL is not. */
int rcd_kid_ok(const char *kid);

#endif
