/*
 * jd_digest - SipHash-2-4 with 128-bit output, the keyed digest of a subject, and keys derived from it.
 *
 * Why SipHash is enough: it is a PRF; without the 128-bit key nobody can enumerate low-entropy identifiers,
 * and with the key no hash would stop them. Source: Aumasson, Bernstein, "SipHash", 2012, 128-bit variant of
 * the reference implementation (as EVP_MAC "SIPHASH" with size 16).
 */
#ifndef JD_DIGEST_H
#define JD_DIGEST_H

#include <stddef.h>
#include <stdint.h>
#include "jd_subject.h"

#define JD_DIGEST_LEN   16
#define JD_KEY_LEN      16
#define JD_KEY_ID_MAX   32      /* [A-Za-z0-9._-]+ */
#define JD_KEYS_MAX     2

typedef struct {
    uint8_t digest_key[JD_KEY_LEN];     /* as in the key file */
    uint8_t record_key[JD_KEY_LEN];     /* siphash128(digest_key, "jd record mac 1") */
    char    id[JD_KEY_ID_MAX + 1];
    char    check[17];                  /* 16 hex digits: first 8 bytes of siphash128(digest_key, "jd key check 1") */
} jd_key_t;

typedef struct {
    jd_key_t key[JD_KEYS_MAX];          /* key[0] is the first of the file: the current one */
    unsigned n;
} jd_keys_t;

/* SipHash-2-4-128: `out` takes 16 bytes. */
void jd_siphash128(const uint8_t key[JD_KEY_LEN], const void *in, size_t len, uint8_t out[16]);

/* Fills a key from its id and 16 raw bytes, deriving record_key and check. */
void jd_key_init(jd_key_t *k, const char *id, const uint8_t raw[JD_KEY_LEN]);

/*
 * Parses a key file: one key a line, "<id> <32 hex digits>", '#' comments and blank lines allowed, one or two
 * keys with different ids. Returns 0, or the 1-based number of the line at fault with `*why` set to a
 * static phrase; `*why` never quotes the file. An all-zero key is refused.
 */
int jd_keys_parse(jd_keys_t *keys, const char *text, size_t len, const char **why);

/* The key with this id and check value, or NULL. */
const jd_key_t *jd_keys_find(const jd_keys_t *keys, const char *id, size_t id_len, const char *check, size_t check_len);

/* Digest of the text "<scheme name>:<normalised identifier>" under k->digest_key. `norm` comes from jd_subject_normalise (JD_SUBJECT_MAX). */
void jd_digest(const jd_key_t *k, jd_scheme_t scheme, const uint8_t *norm, size_t norm_len, uint8_t out[JD_DIGEST_LEN]);

#endif
