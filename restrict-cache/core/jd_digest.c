/*
 * jd_digest - SipHash-2-4-128, the digest of a subject, and the key file.
 */
#include <endian.h>
#include <string.h>
#include "jd_digest.h"

#define SCHEME_NAME_MAX  8

static inline uint64_t read_u64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

/* A word at once: written byte by byte it costs a quarter of a whole short digest. */
static inline void write_u64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof(v));
}

static inline uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

/* Four words by name, not an array: they stay in registers. */
typedef struct {
    uint64_t a, b, c, d;
} sip_t;

static inline sip_t sip_round(sip_t v)
{
    v.a += v.b;
    v.c += v.d;
    v.b = rotate(v.b, 13) ^ v.a;
    v.d = rotate(v.d, 16) ^ v.c;
    v.a = rotate(v.a, 32);
    v.c += v.b;
    v.a += v.d;
    v.b = rotate(v.b, 17) ^ v.c;
    v.d = rotate(v.d, 21) ^ v.a;
    v.c = rotate(v.c, 32);

    return v;
}

static inline sip_t sip_word(sip_t v, uint64_t m)
{
    v.d ^= m;
    v = sip_round(sip_round(v));
    v.a ^= m;

    return v;
}

static inline sip_t sip_end(sip_t v)
{
    return sip_round(sip_round(sip_round(sip_round(v))));
}

void jd_siphash128(const uint8_t key[JD_KEY_LEN], const void *in, size_t len, uint8_t out[16])
{
    const uint8_t *p = in;
    uint64_t k0 = read_u64(key), k1 = read_u64(key + 8);
    sip_t v = {
        k0 ^ 0x736f6d6570736575u,
        k1 ^ 0x646f72616e646f6du ^ 0xee,
        k0 ^ 0x6c7967656e657261u,
        k1 ^ 0x7465646279746573u,
    };
    uint64_t last = 0;
    size_t left = len;

    for (; left >= 8; left -= 8, p += 8) {
        v = sip_word(v, read_u64(p));
    }
    while (left > 0) {
        last = last << 8 | p[--left];
    }
    v = sip_word(v, last | (uint64_t) len << 56);

    v.c ^= 0xee;
    v = sip_end(v);
    write_u64(out, v.a ^ v.b ^ v.c ^ v.d);
    v.b ^= 0xdd;
    v = sip_end(v);
    write_u64(out + 8, v.a ^ v.b ^ v.c ^ v.d);
}

void jd_key_init(jd_key_t *k, const char *id, const uint8_t raw[JD_KEY_LEN])
{
    static const char record_use[] = "jd record mac 1", check_use[] = "jd key check 1";
    static const char hex[] = "0123456789abcdef";
    uint8_t check[16];
    size_t id_len = strlen(id);

    memset(k, 0, sizeof(*k));
    memcpy(k->digest_key, raw, JD_KEY_LEN);
    memcpy(k->id, id, id_len < JD_KEY_ID_MAX ? id_len : JD_KEY_ID_MAX);
    jd_siphash128(raw, record_use, sizeof(record_use) - 1, k->record_key);
    jd_siphash128(raw, check_use, sizeof(check_use) - 1, check);
    for (int i = 0; i < 8; i++) {
        k->check[2 * i] = hex[check[i] >> 4];
        k->check[2 * i + 1] = hex[check[i] & 15];
    }
}

static int id_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int blank(char c)
{
    return c == ' ' || c == '\t';
}

/* One line without its end, not blank and not a comment. Returns NULL or what is wrong with it. */
static const char *parse_key_line(jd_keys_t *keys, const char *p, const char *end)
{
    char id[JD_KEY_ID_MAX + 1];
    uint8_t raw[JD_KEY_LEN], any = 0;
    size_t id_len = 0;

    while (p < end && id_char(*p)) {
        if (id_len == JD_KEY_ID_MAX) {
            return "key id longer than 32 characters";
        }
        id[id_len++] = *p++;
    }
    id[id_len] = '\0';
    if (id_len == 0 || p == end || !blank(*p)) {
        return "not \"<id> <32 hex digits>\" with an id of A-Z a-z 0-9 . _ -";
    }
    while (p < end && blank(*p)) {
        p++;
    }
    if (end - p != 2 * JD_KEY_LEN) {
        return "key is not 32 hex digits";
    }
    for (int i = 0; i < JD_KEY_LEN; i++) {
        int high = hex_value(p[2 * i]), low = hex_value(p[2 * i + 1]);
        if (high < 0 || low < 0) {
            return "key is not 32 hex digits";
        }
        raw[i] = (uint8_t) (high << 4 | low);
        any |= raw[i];
    }
    if (any == 0) {
        return "key is all zero";
    }
    if (keys->n == JD_KEYS_MAX) {
        return "more than two keys";
    }
    if (keys->n == 1 && strcmp(keys->key[0].id, id) == 0) {
        return "two keys with one id";
    }
    jd_key_init(&keys->key[keys->n++], id, raw);
    return NULL;
}

int jd_keys_parse(jd_keys_t *keys, const char *text, size_t len, const char **why)
{
    const char *p = text, *end = text + len;
    int line = 0;

    memset(keys, 0, sizeof(*keys));
    while (p < end) {
        const char *eol = memchr(p, '\n', (size_t) (end - p));
        const char *next = eol ? eol + 1 : end, *last = eol ? eol : end;

        line++;
        while (p < last && blank(*p)) {
            p++;
        }
        while (last > p && (blank(last[-1]) || last[-1] == '\r')) {
            last--;
        }
        if (p < last && *p != '#') {
            *why = parse_key_line(keys, p, last);
            if (*why) {
                return line;
            }
        }
        p = next;
    }
    if (keys->n == 0) {
        *why = "no key in the file";
        return line > 0 ? line : 1;
    }
    return 0;
}

const jd_key_t *jd_keys_find(const jd_keys_t *keys, const char *id, size_t id_len,
                             const char *check, size_t check_len)
{
    for (unsigned i = 0; i < keys->n; i++) {
        const jd_key_t *k = &keys->key[i];
        if (strlen(k->id) == id_len && memcmp(k->id, id, id_len) == 0 &&
            strlen(k->check) == check_len && memcmp(k->check, check, check_len) == 0) {
            return k;
        }
    }
    return NULL;
}

void jd_digest(const jd_key_t *k, jd_scheme_t scheme, const uint8_t *norm, size_t norm_len,
               uint8_t out[JD_DIGEST_LEN])
{
    uint8_t text[SCHEME_NAME_MAX + 1 + JD_SUBJECT_MAX];
    const char *name = jd_scheme_names[scheme];
    size_t n = strlen(name);

    memcpy(text, name, n);
    text[n++] = ':';
    memcpy(text + n, norm, norm_len);
    jd_siphash128(k->digest_key, text, n + norm_len, out);
}
