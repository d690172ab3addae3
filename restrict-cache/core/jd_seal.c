/*
 * jd_seal - the decision id as a sealed token.
 *
 * The one file of core that uses libcrypto: authenticated encryption is not to be written anew, and
 * both who seals (nginx) and who opens (rcctl) have OpenSSL. Nothing else of it is used here; keys
 * come from jd_siphash128.
 */
#include <stdio.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include "jd_measure.h"
#include "jd_redis.h"
#include "jd_seal.h"

#define VERSION         1
#define CLEAR_LEN       (1 + 2 + HINT_LEN)    /* version, month, hint */
#define HINT_OFF        3
#define HEAD_LEN        (CLEAR_LEN + JD_SEAL_NONCE_LEN)
#define TAG_LEN         16
#define KEY_LEN         32
#define HINT_LEN        4
#define LEB_MAX         10
#define CHINA_SEC       (8 * 3600)
#define DAY_SEC         86400
#define MINUTE_SEC      60

/* Days to months: the calendar of 400-year cycles (Hinnant, "chrono-compatible date algorithms"). */
uint32_t jd_seal_month(int64_t unix_sec)
{
    int64_t sec = unix_sec < 0 ? 0 : unix_sec < JD_TIME_MAX ? unix_sec : JD_TIME_MAX;
    uint64_t days = (uint64_t) (sec + CHINA_SEC) / DAY_SEC + 719468;     /* since 0000-03-01 */
    uint64_t of_cycle = days % 146097;
    uint64_t year = (of_cycle - of_cycle / 1460 + of_cycle / 36524 - of_cycle / 146096) / 365;
    uint64_t of_year = of_cycle - (365 * year + year / 4 - year / 100);
    uint64_t march = (5 * of_year + 2) / 153;                            /* 0 = March */

    return (uint32_t) ((days / 146097 * 400 + year) * 12 + march + 2 - 1970 * 12);
}

/* ---- content --------------------------------------------------------------------------------- */

static uint8_t *put_leb(uint8_t *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) {
        *p++ = (uint8_t) (v | 0x80);
    }
    *p++ = (uint8_t) v;
    return p;
}

/* Moves *p behind the number. 0, or -1: cut, too large, or longer than need be. */
static int get_leb(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
    *v = 0;
    for (unsigned i = 0; i < LEB_MAX && *p < end; i++) {
        uint8_t byte = *(*p)++;

        if (i == LEB_MAX - 1 && byte > 1) {
            return -1;
        }
        *v |= (uint64_t) (byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            return byte == 0 && i > 0 ? -1 : 0;
        }
    }
    return -1;
}

size_t jd_seal_pack(const jd_decision_t *d, uint8_t out[JD_SEAL_CONTENT_MAX])
{
    size_t len = strnlen(d->number, sizeof(d->number));
    uint8_t *p = out;

    if (!jd_order_number_ok(d->number, len) || d->measure_bit >= JD_MEASURE_N || d->age_sec < 0 ||
        d->at < 0 || d->at > JD_TIME_MAX || d->link_from < 0 || d->link_from > JD_TIME_MAX) {
        return 0;
    }
    *p++ = (uint8_t) d->measure_bit;
    for (int i = 0; i < 5; i++) {
        *p++ = (uint8_t) (d->link_from >> (8 * i));
    }
    p = put_leb(p, d->era);
    p = put_leb(p, d->last_id);
    p = put_leb(p, (uint64_t) d->age_sec);
    p = put_leb(p, (uint64_t) d->at / MINUTE_SEC);
    memcpy(p, d->number, len);
    return (size_t) (p - out) + len;
}

int jd_seal_unpack(jd_decision_t *d, const uint8_t *in, size_t len)
{
    const uint8_t *p = in, *end = in + len;
    uint64_t age, minute;

    memset(d, 0, sizeof(*d));
    if (len < 6) {
        return -1;
    }
    d->measure_bit = *p++;
    for (int i = 0; i < 5; i++) {
        d->link_from |= (int64_t) *p++ << (8 * i);
    }
    if (d->measure_bit >= JD_MEASURE_N || get_leb(&p, end, &d->era) != 0 ||
        get_leb(&p, end, &d->last_id) != 0 || get_leb(&p, end, &age) != 0 || age > INT64_MAX ||
        get_leb(&p, end, &minute) != 0 || minute > JD_TIME_MAX / MINUTE_SEC ||
        !jd_order_number_ok((const char *) p, (size_t) (end - p))) {
        return -1;
    }
    d->age_sec = (int64_t) age;
    d->at = (int64_t) minute * MINUTE_SEC;
    memcpy(d->number, p, (size_t) (end - p));
    return 0;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void derive(const jd_key_t *k, const char *list, uint32_t month, char suffix,
                   uint8_t out[16])
{
    char text[sizeof("jd decision 0000-00  0") + JD_LIST_NAME_MAX];
    int len = snprintf(text, sizeof(text), "jd decision %04u-%02u %.*s %c",
                       (1970 + month / 12) % 10000, month % 12 + 1, JD_LIST_NAME_MAX, list, suffix);

    jd_siphash128(k->digest_key, text, (size_t) len, out);
}

static void derive_key(const jd_key_t *k, const char *list, uint32_t month, uint8_t key[KEY_LEN])
{
    derive(k, list, month, '1', key);
    derive(k, list, month, '2', key + KEY_LEN / 2);
}

static void derive_hint(const jd_key_t *k, const char *list, uint32_t month, uint8_t hint[HINT_LEN])
{
    uint8_t out[16];

    derive(k, list, month, '3', out);
    memcpy(hint, out, HINT_LEN);
}

/* ---- AES-256-GCM ----------------------------------------------------------------------------- */

/* Encrypts (or decrypts) in place; `tag` is written (or read). 1 or 0. */
static int gcm(int encrypt, const uint8_t key[KEY_LEN], const uint8_t *nonce, const char *list,
               const uint8_t clear[CLEAR_LEN], uint8_t *text, size_t len, uint8_t tag[TAG_LEN])
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    uint8_t rest[16];
    int n, ok;

    if (c == NULL) {
        return 0;
    }
    ok = EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce, encrypt) &&
         EVP_CipherUpdate(c, NULL, &n, clear, CLEAR_LEN) &&
         EVP_CipherUpdate(c, NULL, &n, (const uint8_t *) list, (int) strlen(list)) &&
         EVP_CipherUpdate(c, text, &n, text, (int) len) &&
         (encrypt || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag)) &&
         EVP_CipherFinal_ex(c, rest, &n) > 0 &&
         (!encrypt || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, tag));
    EVP_CIPHER_CTX_free(c);
    return ok;
}

/* ---- base64url (RFC 4648, section 5), no padding --------------------------------------------- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t print64(const uint8_t *in, size_t len, char *out)
{
    unsigned bits = 0, n = 0;
    char *p = out;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | in[i];
        for (n += 8; n >= 6; n -= 6) {
            *p++ = alphabet[bits >> (n - 6) & 63];
        }
    }
    if (n > 0) {
        *p++ = alphabet[bits << (6 - n) & 63];
    }
    return (size_t) (p - out);
}

/* The bytes' number, or 0: a character that is none, or bits left over that are not zero. */
static size_t parse64(const char *text, size_t len, uint8_t out[JD_SEAL_BYTES_MAX])
{
    unsigned bits = 0, n = 0;
    size_t size = 0;

    if (len > JD_SEAL_TEXT_MAX) {
        return 0;
    }
    for (size_t i = 0; i < len; i++) {
        const char *at = text[i] != '\0' ? strchr(alphabet, text[i]) : NULL;

        if (at == NULL) {
            return 0;
        }
        bits = bits << 6 | (unsigned) (at - alphabet);
        n += 6;
        if (n >= 8) {
            n -= 8;
            out[size++] = (uint8_t) (bits >> n);
        }
    }
    return n < 6 && (bits & ((1u << n) - 1)) == 0 ? size : 0;
}

/* ---- tokens ---------------------------------------------------------------------------------- */

size_t jd_seal(const jd_key_t *k, const char *list, const uint8_t nonce[JD_SEAL_NONCE_LEN],
               const jd_decision_t *d, char out[JD_SEAL_TEXT_MAX])
{
    uint8_t bytes[JD_SEAL_BYTES_MAX], key[KEY_LEN];
    uint32_t month = jd_seal_month(d->at);
    size_t len = jd_seal_pack(d, bytes + HEAD_LEN);
    int ok;

    if (len == 0 || month > UINT16_MAX) {
        return 0;
    }
    bytes[0] = VERSION;
    bytes[1] = (uint8_t) month;
    bytes[2] = (uint8_t) (month >> 8);
    derive_hint(k, list, month, bytes + HINT_OFF);
    memcpy(bytes + CLEAR_LEN, nonce, JD_SEAL_NONCE_LEN);
    derive_key(k, list, month, key);
    ok = gcm(1, key, nonce, list, bytes, bytes + HEAD_LEN, len, bytes + HEAD_LEN + len);
    OPENSSL_cleanse(key, sizeof(key));
    return ok ? print64(bytes, HEAD_LEN + len + TAG_LEN, out) : 0;
}

jd_seal_rc_t jd_seal_open(const jd_keys_t *keys, const char *list, int64_t now, const char *text,
                          size_t len, jd_decision_t *d)
{
    uint8_t bytes[JD_SEAL_BYTES_MAX + 1], hint[HINT_LEN], key[KEY_LEN];
    size_t size = parse64(text, len, bytes);
    uint32_t month, current = jd_seal_month(now);
    const jd_key_t *k = NULL;
    int ok;

    if (size < HEAD_LEN + TAG_LEN + 1 || bytes[0] != VERSION) {
        return JD_SEAL_FORM;
    }
    month = bytes[1] | (uint32_t) bytes[2] << 8;
    if (month > current || month + 1 < current) {
        return JD_SEAL_MONTH;
    }
    for (unsigned i = 0; i < keys->n && k == NULL; i++) {
        derive_hint(&keys->key[i], list, month, hint);
        k = memcmp(hint, bytes + HINT_OFF, HINT_LEN) == 0 ? &keys->key[i] : NULL;
    }
    if (k == NULL) {
        return JD_SEAL_FOREIGN;
    }
    derive_key(k, list, month, key);
    size -= HEAD_LEN + TAG_LEN;
    ok = gcm(0, key, bytes + CLEAR_LEN, list, bytes, bytes + HEAD_LEN, size,
             bytes + HEAD_LEN + size);
    OPENSSL_cleanse(key, sizeof(key));
    return ok && jd_seal_unpack(d, bytes + HEAD_LEN, size) == 0 ? JD_SEAL_OK : JD_SEAL_DAMAGED;
}
