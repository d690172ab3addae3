/*
 * rcd_audit_key - the operator's Ed25519 key: made, read from its file, and used to sign compact JWS.
 */
#ifndef RCD_AUDIT_KEY_H
#define RCD_AUDIT_KEY_H

#include <stddef.h>
#include <cjson/cJSON.h>
#include "rcd_jws.h"

#define RCD_TYP_CHECKPOINT "jd-checkpoint+jwt"
#define RCD_TYP_RECEIPT    "jd-receipt+jwt"

typedef struct rcd_audit_key_s {
    EVP_PKEY *key;
    char      kid[RCD_KID_MAX + 1];        /* of the JWK, or its RFC 7638 thumbprint */
} rcd_audit_key_t;

/* Reads a private key, PEM (PKCS 8, no passphrase) or JWK (RFC 8037, "d"), from a file that only its
 * owner may read (mode & 0077 is refused). NULL with one line that names the file. */
rcd_audit_key_t *rcd_audit_key_load(const char *file, char *err, size_t err_size);
void rcd_audit_key_destroy(rcd_audit_key_t *k);     /* NULL is allowed */

/* Makes a key and writes it to `file` as PEM, mode 0600; never over an existing file. NULL with one
 * line. */
rcd_audit_key_t *rcd_audit_key_create(const char *file, char *err, size_t err_size);

/* The public half: {"kty","crv","kid","x"}, and nbf and exp when exp > 0. NULL without memory. */
cJSON *rcd_audit_key_public(const rcd_audit_key_t *k, int64_t nbf, int64_t exp);

/* The public half as a set of one that is valid at any time. */
rcd_jwks_t *rcd_audit_key_jwks(const rcd_audit_key_t *k);

/* A compact JWS of `claims`; malloc'ed, NULL without memory. */
char *rcd_audit_sign(const rcd_audit_key_t *k, const char *typ, const cJSON *claims);

#endif
