/*
 * jd_subject - schemes, and the one normal form of an identifier in each of them.
 */
#include <string.h>
#include "jd_subject.h"
#include "jd_utf8.h"

#define CNID_LEN  18
#define USCC_LEN  18

const char *const jd_scheme_names[JD_SCHEME_N] = {"cnid", "uscc", "patron", "card", "uid"};

static const struct {
    const char *name;
    uint8_t flag;
} words[] = {
    {"upper", JD_NORM_UPPER},
    {"strip_zeros", JD_NORM_STRIP_ZEROS},
};

#define WORDS_N  (sizeof(words) / sizeof(words[0]))

int jd_scheme_parse(const char *name, size_t len)
{
    for (int s = 0; s < JD_SCHEME_N; s++) {
        if (strlen(jd_scheme_names[s]) == len && memcmp(jd_scheme_names[s], name, len) == 0) {
            return s;
        }
    }
    return -1;
}

static uint8_t word_flag(const char *word, size_t len)
{
    for (size_t i = 0; i < WORDS_N; i++) {
        if (strlen(words[i].name) == len && memcmp(words[i].name, word, len) == 0) {
            return words[i].flag;
        }
    }
    return 0;
}

/* "card=upper,strip_zeros" without surrounding space; each scheme and word once. */
static int parse_scheme_words(jd_normalisers_t *n, const char *p, const char *end)
{
    const char *equals = memchr(p, '=', (size_t) (end - p));
    int scheme = equals ? jd_scheme_parse(p, (size_t) (equals - p)) : -1;

    if (scheme < 0 || scheme == JD_SCHEME_CNID || scheme == JD_SCHEME_USCC || n->flags[scheme]) {
        return -1;
    }
    p = equals + 1;
    for (;;) {
        const char *comma = memchr(p, ',', (size_t) (end - p));
        uint8_t flag = word_flag(p, (size_t) ((comma ? comma : end) - p));

        if (flag == 0 || n->flags[scheme] & flag) {
            return -1;
        }
        n->flags[scheme] |= flag;
        if (comma == NULL) {
            return 0;
        }
        p = comma + 1;
    }
}

int jd_normalisers_parse(jd_normalisers_t *n, const char *text, size_t len)
{
    const char *p = text, *end = text + len;

    memset(n, 0, sizeof(*n));
    while (p < end) {
        const char *space = memchr(p, ' ', (size_t) (end - p));
        const char *last = space ? space : end;

        if (last > p && parse_scheme_words(n, p, last) != 0) {
            return -1;
        }
        p = space ? space + 1 : end;
    }
    return 0;
}

/* Like stpcpy, which is not C11. */
static char *append(char *p, const char *text)
{
    size_t len = strlen(text);

    memcpy(p, text, len);
    return p + len;
}

size_t jd_normalisers_print(const jd_normalisers_t *n, char *out)
{
    char *p = out;

    for (int s = 0; s < JD_SCHEME_N; s++) {
        char mark = '=';

        if (n->flags[s] == 0) {
            continue;
        }
        if (p > out) {
            *p++ = ' ';
        }
        p = append(p, jd_scheme_names[s]);
        for (size_t i = 0; i < WORDS_N; i++) {
            if (n->flags[s] & words[i].flag) {
                *p++ = mark;
                p = append(p, words[i].name);
                mark = ',';
            }
        }
    }
    *p = '\0';
    return (size_t) (p - out);
}

/* Bytes of white space (ASCII, U+00A0, U+3000, U+FEFF) at the start of s, or 0. */
static size_t white_prefix(const uint8_t *s, size_t len)
{
    if (len >= 1 && (s[0] == ' ' || (s[0] >= '\t' && s[0] <= '\r'))) {
        return 1;
    }
    if (len >= 2 && memcmp(s, "\xc2\xa0", 2) == 0) {
        return 2;
    }
    if (len >= 3 && (memcmp(s, "\xe3\x80\x80", 3) == 0 || memcmp(s, "\xef\xbb\xbf", 3) == 0)) {
        return 3;
    }
    return 0;
}

/* Bytes of such white space that end exactly at s + len. */
static size_t white_suffix(const uint8_t *s, size_t len)
{
    for (size_t n = 1; n <= 3 && n <= len; n++) {
        if (white_prefix(s + len - n, n) == n) {
            return n;
        }
    }
    return 0;
}

/*
 * 1 when all is ASCII without space and control characters, as nearly every identifier is. Eight
 * bytes at a time: a byte below 0x21 borrows into its highest bit, 0x7f carries into it, and those
 * above have it set; without such a byte nothing is borrowed or carried between bytes.
 */
static int plain(const uint8_t *s, size_t len)
{
    const uint64_t each = 0x0101010101010101u;
    uint64_t word;

    for (; len >= sizeof(word); len -= sizeof(word), s += sizeof(word)) {
        memcpy(&word, s, sizeof(word));
        if ((word | (word - each * 0x21) | (word + each)) & each * 0x80) {
            return 0;
        }
    }
    for (; len > 0; len--, s++) {
        if (*s < 0x21 || *s > 0x7e) {
            return 0;
        }
    }
    return 1;
}

/* Copies text without the white space around it and with full-width forms folded to ASCII. */
static jd_subject_rc_t trim_and_fold(const uint8_t *s, size_t len, uint8_t out[JD_SUBJECT_MAX],
                                     size_t *out_len)
{
    size_t white, n = 0;

    while ((white = white_prefix(s, len)) > 0) {
        s += white;
        len -= white;
    }
    while ((white = white_suffix(s, len)) > 0) {
        len -= white;
    }
    if (len == 0) {
        return JD_SUBJECT_EMPTY;
    }

    while (len > 0) {
        uint32_t code;
        size_t size = jd_utf8_read(s, len, &code);

        if (size == 0 || jd_utf8_unseen(code)) {
            return JD_SUBJECT_MALFORMED;
        }
        if (code >= 0xff01 && code <= 0xff5e) {
            if (n + 1 > JD_SUBJECT_MAX) {
                return JD_SUBJECT_MALFORMED;
            }
            out[n++] = (uint8_t) (code - 0xff01 + '!');
        } else {
            if (n + size > JD_SUBJECT_MAX) {
                return JD_SUBJECT_MALFORMED;
            }
            memcpy(out + n, s, size);
            n += size;
        }
        s += size;
        len -= size;
    }
    *out_len = n;
    return JD_SUBJECT_OK;
}

static void upper(uint8_t *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (s[i] >= 'a' && s[i] <= 'z') {
            s[i] = (uint8_t) (s[i] - 'a' + 'A');
        }
    }
}

static unsigned decimal(const uint8_t *s, size_t len)
{
    unsigned v = 0;

    for (size_t i = 0; i < len; i++) {
        v = v * 10 + (unsigned) (s[i] - '0');
    }
    return v;
}

/* yyyymmdd of digits. Years as in the header: a birth date, proleptic Gregorian. */
static int date_ok(const uint8_t *s)
{
    static const uint8_t days[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned year = decimal(s, 4), month = decimal(s + 4, 2), day = decimal(s + 6, 2);
    unsigned leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return year >= 1800 && year <= 2199 && month >= 1 && month <= 12 && day >= 1 &&
           day <= days[month] + (month == 2 ? leap : 0);
}

/* GB 11643-1999: ISO 7064 MOD 11-2. */
static int cnid_ok(const uint8_t *s, size_t len)
{
    static const uint8_t weight[CNID_LEN - 1] = {7, 9, 10, 5, 8, 4, 2, 1, 6,
                                                 3, 7, 9,  10, 5, 8, 4, 2};
    unsigned sum = 0;

    if (len != CNID_LEN) {
        return 0;
    }
    for (size_t i = 0; i < CNID_LEN - 1; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return 0;
        }
        sum += weight[i] * (unsigned) (s[i] - '0');
    }
    return date_ok(s + 6) && s[CNID_LEN - 1] == "10X98765432"[sum % 11];
}

/* GB 32100-2015: ISO 7064 MOD 31-3 over an alphabet without I O S V Z. */
static int uscc_ok(const uint8_t *s, size_t len)
{
    static const char alphabet[] = "0123456789ABCDEFGHJKLMNPQRTUWXY";
    unsigned sum = 0, weight = 1;

    if (len != USCC_LEN) {
        return 0;
    }
    for (size_t i = 0; i < USCC_LEN - 1; i++) {
        const char *at = memchr(alphabet, s[i], sizeof(alphabet) - 1);

        if (at == NULL) {
            return 0;
        }
        sum += weight * (unsigned) (at - alphabet);
        weight = weight * 3 % 31;
    }
    return s[USCC_LEN - 1] == alphabet[(31 - sum % 31) % 31];
}

jd_subject_rc_t jd_subject_normalise(jd_scheme_t scheme, const jd_normalisers_t *n,
                                     const uint8_t *raw, size_t raw_len,
                                     uint8_t out[JD_SUBJECT_MAX], size_t *out_len)
{
    uint8_t flags = n ? n->flags[scheme] : 0;
    size_t zeros = 0;

    if (raw_len > JD_SUBJECT_RAW_MAX) {
        return JD_SUBJECT_MALFORMED;
    }
    if (raw_len > 0 && raw_len <= JD_SUBJECT_MAX && plain(raw, raw_len)) {
        memcpy(out, raw, raw_len);
        *out_len = raw_len;
    } else {
        jd_subject_rc_t rc = trim_and_fold(raw, raw_len, out, out_len);

        if (rc != JD_SUBJECT_OK) {
            return rc;
        }
    }

    switch (scheme) {
    case JD_SCHEME_CNID:
        upper(out + *out_len - 1, 1);
        return cnid_ok(out, *out_len) ? JD_SUBJECT_OK : JD_SUBJECT_OTHER;
    case JD_SCHEME_USCC:
        upper(out, *out_len);
        return uscc_ok(out, *out_len) ? JD_SUBJECT_OK : JD_SUBJECT_OTHER;
    default:
        break;
    }
    if (flags & JD_NORM_UPPER) {
        upper(out, *out_len);
    }
    if (flags & JD_NORM_STRIP_ZEROS) {
        while (zeros + 1 < *out_len && out[zeros] == '0') {
            zeros++;
        }
        *out_len -= zeros;
        memmove(out, out + zeros, *out_len);
    }
    return JD_SUBJECT_OK;
}
