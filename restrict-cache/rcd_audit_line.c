/*
 * rcd_audit_line - one record of the audit chain as a line of text: printed, and read strictly.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <openssl/evp.h>
#include "core/jd_json.h"
#include "rcd_audit_line.h"

#define HEX_LEN       (2 * RCD_AUDIT_HASH_LEN)
#define PREV          ",\"prev\":\""
#define HASH          "\",\"hash\":\""
#define PREV_LEN      (sizeof(PREV) - 1)
#define HASH_LEN      (sizeof(HASH) - 1)
/* ,"prev":"<64>","hash":"<64>"} */
#define TAIL_LEN      (PREV_LEN + HEX_LEN + HASH_LEN + HEX_LEN + 2)
#define DIGITS_MAX    16

void rcd_audit_hex_print(const uint8_t hash[RCD_AUDIT_HASH_LEN], char out[65])
{
    static const char digits[] = "0123456789abcdef";

    for (int i = 0; i < RCD_AUDIT_HASH_LEN; i++) {
        out[2 * i] = digits[hash[i] >> 4];
        out[2 * i + 1] = digits[hash[i] & 15];
    }
    out[HEX_LEN] = '\0';
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int rcd_audit_hex_parse(const char *text, uint8_t hash[RCD_AUDIT_HASH_LEN])
{
    for (int i = 0; i < RCD_AUDIT_HASH_LEN; i++) {
        int high = hex_value(text[2 * i]), low = high < 0 ? -1 : hex_value(text[2 * i + 1]);

        if (low < 0) {
            return -1;
        }
        hash[i] = (uint8_t) (high << 4 | low);
    }
    return 0;
}

int rcd_audit_kind_ok(const char *kind, size_t len)
{
    if (len == 0 || len > RCD_AUDIT_KIND_MAX) {
        return 0;
    }
    for (size_t i = 0; i < len; i++) {
        if (!((kind[i] >= 'a' && kind[i] <= 'z') || (kind[i] >= '0' && kind[i] <= '9') ||
              kind[i] == '-' || kind[i] == '.')) {
            return 0;
        }
    }
    return 1;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Passes `word`; NULL when it does not stand at `p`. */
static const char *pass(const char *p, const char *end, const char *word)
{
    size_t len = strlen(word);

    return p != NULL && (size_t) (end - p) >= len && memcmp(p, word, len) == 0 ? p + len : NULL;
}

/* Passes a decimal number without sign or leading zero. */
static const char *pass_number(const char *p, const char *end, uint64_t *value)
{
    const char *begin = p;

    *value = 0;
    while (p != NULL && p < end && *p >= '0' && *p <= '9' && p - begin < DIGITS_MAX) {
        *value = *value * 10 + (uint64_t) (*p++ - '0');
    }
    return p == begin || p == NULL || (*begin == '0' && p - begin > 1) || *value > RCD_AUDIT_N_MAX
               ? NULL : p;
}

/* SHA-256 of the line without its member `hash`. 1 when it is `hash`. */
static int is_genuine(const char *line, size_t len, const uint8_t hash[RCD_AUDIT_HASH_LEN])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t made[RCD_AUDIT_HASH_LEN];
    size_t covered = len - (HASH_LEN - 1) - HEX_LEN - 2;
    int ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
             EVP_DigestUpdate(ctx, line, covered) == 1 && EVP_DigestUpdate(ctx, "}", 1) == 1 &&
             EVP_DigestFinal_ex(ctx, made, NULL) == 1 && memcmp(made, hash, sizeof(made)) == 0;

    EVP_MD_CTX_free(ctx);
    return ok;
}

/* 1 when the whole line is one JSON document without NUL, in UTF-8, not too deep. */
static int is_json(const char *line, size_t len)
{
    jd_json_pointer_t none;
    uint8_t value[1];
    size_t value_len;

    /* The scanner validates all of it, whatever it is asked for; "/ " is a member nobody has. */
    return jd_json_pointer_parse(&none, "/ ", 2) == 0 &&
           jd_json_find((const uint8_t *) line, len, &none, value, sizeof(value), &value_len) ==
               JD_JSON_ABSENT;
}

/* The two hashes, whose place is fixed. 0 or -1. */
static int tail_parse(const char *tail, const char *end, rcd_audit_line_t *out)
{
    return pass(tail, end, PREV) != NULL && pass(tail + PREV_LEN + HEX_LEN, end, HASH) != NULL &&
           pass(end - 2, end, "\"}") != NULL &&
           rcd_audit_hex_parse(tail + PREV_LEN, out->prev) == 0 &&
           rcd_audit_hex_parse(end - 2 - HEX_LEN, out->hash) == 0 ? 0 : -1;
}

const char *rcd_audit_line_parse(const char *line, size_t len, rcd_audit_line_t *out)
{
    const char *end = line + len, *p, *kind, *tail;
    uint64_t at;

    memset(out, 0, sizeof(*out));
    if (len > RCD_AUDIT_LINE_MAX || len < TAIL_LEN) {
        return len < TAIL_LEN ? "too short for a record" : "too long for a record";
    }
    tail = end - TAIL_LEN;
    if (tail_parse(tail, end, out) != 0) {
        return "does not end with prev and hash as records do";
    }

    p = pass_number(pass(line, tail, "{\"n\":"), tail, &out->n);
    p = pass_number(pass(p, tail, ",\"at\":"), tail, &at);
    p = kind = pass(p, tail, ",\"kind\":\"");
    while (p != NULL && p < tail && *p != '"') {
        p++;
    }
    if (p == NULL || p == tail || !rcd_audit_kind_ok(kind, (size_t) (p - kind))) {
        return "does not begin with n, at and kind as records do";
    }
    out->at = (int64_t) at;
    memcpy(out->kind, kind, (size_t) (p - kind));
    out->text = p + 1;
    out->text_len = (size_t) (tail - out->text);
    if ((out->text_len > 0 && out->text[0] != ',') || !is_json(line, len)) {
        return "is not one JSON object";
    }
    out->genuine = is_genuine(line, len, out->hash);
    return NULL;
}

/* ---- printing -------------------------------------------------------------------------------- */

long rcd_audit_line_print(char *out, uint64_t n, int64_t at, const char *kind, const char *text,
                          size_t text_len, const uint8_t prev[RCD_AUDIT_HASH_LEN],
                          uint8_t hash[RCD_AUDIT_HASH_LEN])
{
    size_t len = (size_t) sprintf(out, "{\"n\":%" PRIu64 ",\"at\":%" PRId64 ",\"kind\":\"%s\"", n,
                                  at, kind);

    memcpy(out + len, text, text_len);
    len += text_len;
    memcpy(out + len, PREV, PREV_LEN);
    len += PREV_LEN;
    rcd_audit_hex_print(prev, out + len);
    len += HEX_LEN;
    memcpy(out + len, "\"}", 2);
    if (EVP_Digest(out, len + 2, hash, NULL, EVP_sha256(), NULL) != 1) {
        return -1;
    }
    memcpy(out + len, HASH, HASH_LEN);
    len += HASH_LEN;
    rcd_audit_hex_print(hash, out + len);
    len += HEX_LEN;
    memcpy(out + len, "\"}\n", 3);
    return (long) len + 3;
}
