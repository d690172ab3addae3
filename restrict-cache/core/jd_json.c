/*
 * jd_json - one scalar of a JSON document by pointer, in a single pass with a fixed stack.
 */
#include <string.h>
#include "jd_json.h"
#include "jd_utf8.h"

/*
 * A name that differs from a token only in case is at most three times as long: K may come as
 * U+212A.
 */
#define NAME_MAX_LEN  (3 * JD_JSON_TOKEN_MAX)
#define NO_INDEX      SIZE_MAX

/* What the value that comes next is to the pointer. */
typedef enum {
    VALUE_OTHER,       /* off the path: validated only */
    VALUE_ON_PATH,     /* the pointer goes on inside it */
    VALUE_WANTED       /* the pointer ends at it */
} role_t;

typedef struct {
    uint8_t object;    /* 1 object, 0 array */
    uint8_t on_path;
    uint8_t seen;      /* the path's member was there */
    size_t  index;     /* of the array's current element */
    size_t  wanted;    /* index the path asks for, or NO_INDEX */
} frame_t;

typedef struct {
    const uint8_t *p, *end;
    const jd_json_pointer_t *pointer;
    uint8_t *out;
    size_t   out_size, *out_len;
    frame_t  frame[JD_JSON_DEPTH_MAX];
    unsigned depth;
    role_t   role;              /* of the next value */
    jd_json_rc_t found;
} scan_t;

int jd_json_pointer_parse(jd_json_pointer_t *p, const char *text, size_t len)
{
    size_t i = 0;

    memset(p, 0, sizeof(*p));
    if (len == 0 || text[0] != '/') {
        return -1;
    }
    while (i < len) {
        uint8_t *token = p->text[p->n];
        size_t n = 0;

        if (p->n == JD_JSON_POINTER_MAX) {
            return -1;
        }
        for (i++; i < len && text[i] != '/'; i++) {
            char c = text[i];

            if (c == '~') {
                i++;
                if (i == len || (text[i] != '0' && text[i] != '1')) {
                    return -1;
                }
                c = text[i] == '0' ? '~' : '/';
            }
            if (n == JD_JSON_TOKEN_MAX) {
                return -1;
            }
            token[n++] = (uint8_t) c;
        }
        p->len[p->n++] = (uint8_t) n;
    }
    return 0;
}

/* ---- lexical level: each moves s->p and returns 0, or -1 when the text is not JSON ---------- */

static void skip_space(scan_t *s)
{
    while (s->p < s->end &&
           (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t')) {
        s->p++;
    }
}

static int next_is(scan_t *s, uint8_t c)
{
    if (s->p < s->end && *s->p == c) {
        s->p++;
        return 1;
    }
    return 0;
}

static int read_hex4(scan_t *s, uint32_t *code)
{
    *code = 0;
    if (s->end - s->p < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        uint8_t c = *s->p++, letter = c | 0x20;

        if (c >= '0' && c <= '9') {
            *code = *code << 4 | (uint32_t) (c - '0');
        } else if (letter >= 'a' && letter <= 'f') {
            *code = *code << 4 | (uint32_t) (letter - 'a' + 10);
        } else {
            return -1;
        }
    }
    return 0;
}

/*
 * What follows a backslash, as UTF-8 of at most 4 bytes. NUL and lone surrogates are refused.
 * Returns the bytes, or 0.
 */
static size_t read_escape(scan_t *s, uint8_t utf8[4])
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at;
    uint32_t code, low;

    if (s->p == s->end) {
        return 0;
    }
    if (*s->p != 'u') {
        at = memchr(from, *s->p++, sizeof(from) - 1);
        utf8[0] = at ? (uint8_t) to[at - from] : 0;
        return at != NULL;
    }
    s->p++;
    if (read_hex4(s, &code) != 0 || code == 0 || (code >= 0xdc00 && code <= 0xdfff)) {
        return 0;
    }
    if (code >= 0xd800 && code <= 0xdbff) {
        if (!next_is(s, '\\') || !next_is(s, 'u') || read_hex4(s, &low) != 0 || low < 0xdc00 ||
            low > 0xdfff) {
            return 0;
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        utf8[0] = (uint8_t) (0xf0 | code >> 18);
        utf8[1] = (uint8_t) (0x80 | (code >> 12 & 0x3f));
        utf8[2] = (uint8_t) (0x80 | (code >> 6 & 0x3f));
        utf8[3] = (uint8_t) (0x80 | (code & 0x3f));
        return 4;
    }
    if (code >= 0x800) {
        utf8[0] = (uint8_t) (0xe0 | code >> 12);
        utf8[1] = (uint8_t) (0x80 | (code >> 6 & 0x3f));
        utf8[2] = (uint8_t) (0x80 | (code & 0x3f));
        return 3;
    }
    if (code >= 0x80) {
        utf8[0] = (uint8_t) (0xc0 | code >> 6);
        utf8[1] = (uint8_t) (0x80 | (code & 0x3f));
        return 2;
    }
    utf8[0] = (uint8_t) code;
    return 1;
}

/*
 * Moves over a run of ASCII that stands for itself; returns its length (0 at a control character).
 */
static size_t skip_plain(scan_t *s)
{
    const uint8_t *from = s->p;

    while (s->p < s->end && *s->p >= 0x20 && *s->p < 0x80 && *s->p != '"' && *s->p != '\\') {
        s->p++;
    }
    return (size_t) (s->p - from);
}

/*
 * Reads a string up to and over its closing quote. Up to `size` of its unescaped bytes go to `out`;
 * *len counts all of them, so that *len > size tells that it did not fit.
 */
static int read_string(scan_t *s, uint8_t *out, size_t size, size_t *len)
{
    uint8_t escaped[4];

    *len = 0;
    while (s->p < s->end) {
        const uint8_t *from = s->p;
        uint32_t code;
        size_t n;

        if (*from == '"') {
            s->p++;
            return 0;
        }
        if (*from == '\\') {
            s->p++;
            n = read_escape(s, escaped);
            from = escaped;
        } else if (*from >= 0x80) {
            n = jd_utf8_read(from, (size_t) (s->end - from), &code);
            s->p += n;
        } else {
            n = skip_plain(s);
        }
        if (n == 0) {
            return -1;
        }
        if (*len + n <= size) {
            memcpy(out + *len, from, n);
        }
        *len += n;
    }
    return -1;
}

static int skip_digits(scan_t *s)
{
    const uint8_t *from = s->p;

    while (s->p < s->end && *s->p >= '0' && *s->p <= '9') {
        s->p++;
    }
    return s->p > from ? 0 : -1;
}

/* Reads a number; *integer = 1 when it has neither fraction nor exponent. */
static int read_number(scan_t *s, int *integer)
{
    *integer = 1;
    (void) next_is(s, '-');
    if (!next_is(s, '0') && skip_digits(s) != 0) {
        return -1;
    }
    if (next_is(s, '.')) {
        *integer = 0;
        if (skip_digits(s) != 0) {
            return -1;
        }
    }
    if (next_is(s, 'e') || next_is(s, 'E')) {
        *integer = 0;
        if (!next_is(s, '+')) {
            (void) next_is(s, '-');
        }
        return skip_digits(s);
    }
    return 0;
}

static int read_word(scan_t *s, const char *word)
{
    size_t len = strlen(word);

    if ((size_t) (s->end - s->p) < len || memcmp(s->p, word, len) != 0) {
        return -1;
    }
    s->p += len;
    return 0;
}

/* ---- the path ----------------------------------------------------------------------------- */

/* "0", "1", ... without leading zeros, below 10^9; else NO_INDEX. */
static size_t token_index(const jd_json_pointer_t *p, unsigned at)
{
    size_t v = 0;

    if (p->len[at] == 0 || p->len[at] > 9 || (p->len[at] > 1 && p->text[at][0] == '0')) {
        return NO_INDEX;
    }
    for (unsigned i = 0; i < p->len[at]; i++) {
        uint8_t c = p->text[at][i];

        if (c < '0' || c > '9') {
            return NO_INDEX;
        }
        v = v * 10 + (size_t) (c - '0');
    }
    return v;
}

/*
 * Lower case of the next character; two letters outside ASCII fold into it (U+212A, U+017F), as
 * case-blind readers do.
 */
static uint8_t fold_next(const uint8_t **p, const uint8_t *end)
{
    uint8_t c = *(*p)++;

    if (c == 0xe2 && end - *p >= 2 && (*p)[0] == 0x84 && (*p)[1] == 0xaa) {
        *p += 2;
        return 'k';
    }
    if (c == 0xc5 && end - *p >= 1 && (*p)[0] == 0xbf) {
        *p += 1;
        return 's';
    }
    return c >= 'A' && c <= 'Z' ? (uint8_t) (c + 'a' - 'A') : c;
}

static int same_but_case(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    const uint8_t *a_end = a + a_len, *b_end = b + b_len;

    while (a < a_end && b < b_end) {
        if (fold_next(&a, a_end) != fold_next(&b, b_end)) {
            return 0;
        }
    }
    return a == a_end && b == b_end;
}

/* Role of what stands in the current frame's place that matched its token. */
static role_t matched(const scan_t *s)
{
    return s->depth == s->pointer->n ? VALUE_WANTED : VALUE_ON_PATH;
}

/* Reads `"name" :` and sets the role of the value that follows. */
static int read_member(scan_t *s)
{
    frame_t *f = &s->frame[s->depth - 1];
    uint8_t name[NAME_MAX_LEN];
    const uint8_t *token;
    size_t len, token_len;

    if (!next_is(s, '"') ||
        read_string(s, name, f->on_path ? sizeof(name) : 0, &len) != 0) {
        return -1;
    }
    skip_space(s);
    if (!next_is(s, ':')) {
        return -1;
    }
    s->role = VALUE_OTHER;
    if (!f->on_path || len > sizeof(name)) {
        return 0;
    }
    token = s->pointer->text[s->depth - 1];
    token_len = s->pointer->len[s->depth - 1];
    if (!same_but_case(name, len, token, token_len)) {
        return 0;
    }
    if (f->seen || len != token_len || memcmp(name, token, len) != 0) {
        return -1;
    }
    f->seen = 1;
    s->role = matched(s);
    return 0;
}

static void begin_element(scan_t *s)
{
    const frame_t *f = &s->frame[s->depth - 1];

    s->role = f->on_path && f->index == f->wanted ? matched(s) : VALUE_OTHER;
}

/* ---- values ------------------------------------------------------------------------------- */

static int push(scan_t *s, int object)
{
    frame_t *f;

    if (s->role == VALUE_WANTED || s->depth == JD_JSON_DEPTH_MAX) {
        return -1;
    }
    f = &s->frame[s->depth];
    f->object = (uint8_t) object;
    f->on_path = s->role == VALUE_ON_PATH;
    f->seen = 0;
    f->index = 0;
    f->wanted = f->on_path && !object ? token_index(s->pointer, s->depth) : NO_INDEX;
    s->depth++;
    return 0;
}

static int read_wanted_string(scan_t *s)
{
    size_t len;

    if (read_string(s, s->out, s->out_size, &len) != 0 || len > s->out_size) {
        return -1;
    }
    *s->out_len = len;
    s->found = JD_JSON_FOUND;
    return 0;
}

static int read_wanted_number(scan_t *s)
{
    const uint8_t *from = s->p;
    int integer;
    size_t len;

    if (read_number(s, &integer) != 0 || !integer) {
        return -1;
    }
    len = (size_t) (s->p - from);
    if (len > s->out_size) {
        return -1;
    }
    memcpy(s->out, from, len);
    *s->out_len = len;
    s->found = JD_JSON_FOUND;
    return 0;
}

/* A string, number or word; the role says whether it is what we look for. */
static int read_scalar(scan_t *s)
{
    int wanted = s->role == VALUE_WANTED, integer;
    size_t len;

    switch (*s->p) {
    case '"':
        s->p++;
        return wanted ? read_wanted_string(s) : read_string(s, NULL, 0, &len);
    case 'n':
        return read_word(s, "null");
    case 't':
        return wanted ? -1 : read_word(s, "true");
    case 'f':
        return wanted ? -1 : read_word(s, "false");
    default:
        return wanted ? read_wanted_number(s) : read_number(s, &integer);
    }
}

/*
 * Reads the start of a value: a scalar whole, of a container the bracket and what leads to its
 * first value. *open = 1 when that first value comes next, 0 when the value is complete.
 */
static int begin_value(scan_t *s, int *open)
{
    *open = 0;
    if (s->p == s->end) {
        return -1;
    }
    if (*s->p == '{') {
        s->p++;
        if (push(s, 1) != 0) {
            return -1;
        }
        skip_space(s);
        if (next_is(s, '}')) {
            s->depth--;
            return 0;
        }
        *open = 1;
        return read_member(s);
    }
    if (*s->p == '[') {
        s->p++;
        if (push(s, 0) != 0) {
            return -1;
        }
        skip_space(s);
        if (next_is(s, ']')) {
            s->depth--;
            return 0;
        }
        *open = 1;
        begin_element(s);
        return 0;
    }
    return read_scalar(s);
}

/*
 * After a complete value: closes containers up to the next comma. *more = 1 when a value comes
 * next.
 */
static int end_value(scan_t *s, int *more)
{
    *more = 0;
    while (s->depth > 0) {
        frame_t *f = &s->frame[s->depth - 1];

        skip_space(s);
        if (next_is(s, ',')) {
            *more = 1;
            if (f->object) {
                skip_space(s);
                return read_member(s);
            }
            f->index++;
            begin_element(s);
            return 0;
        }
        if (!next_is(s, f->object ? '}' : ']')) {
            return -1;
        }
        s->depth--;
    }
    return 0;
}

jd_json_rc_t jd_json_find(const uint8_t *doc, size_t len, const jd_json_pointer_t *p,
                          uint8_t *out, size_t out_size, size_t *out_len)
{
    scan_t s;
    int more;

    s.p = doc;
    s.end = doc + len;
    s.pointer = p;
    s.out = out;
    s.out_size = out_size;
    s.out_len = out_len;
    s.depth = 0;
    s.role = VALUE_ON_PATH;
    s.found = JD_JSON_ABSENT;

    skip_space(&s);
    if (s.p == s.end) {
        return JD_JSON_ABSENT;
    }
    do {
        skip_space(&s);
        if (begin_value(&s, &more) != 0) {
            return JD_JSON_MALFORMED;
        }
        if (!more && end_value(&s, &more) != 0) {
            return JD_JSON_MALFORMED;
        }
    } while (more);
    skip_space(&s);
    return s.p == s.end ? s.found : JD_JSON_MALFORMED;
}
