/*
 * jd_form - one field of a form, a query string or a Cookie header, read so that no backend can
 * read another.
 */
#include <string.h>
#include "jd_form.h"

/* One decoded byte, and what came of it. */
typedef enum { BYTE_OK, BYTE_BAD_ESCAPE, BYTE_END } byte_rc_t;

typedef struct {
    const uint8_t *p, *end;
    int plus_is_space;
} decoder_t;

typedef enum { NAME_OTHER, NAME_SAME, NAME_ALIKE } name_rc_t;

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A '%' that begins no escape stands for itself. */
static byte_rc_t next_byte(decoder_t *d, uint8_t *c)
{
    if (d->p == d->end) {
        return BYTE_END;
    }
    *c = *d->p++;
    if (*c == '+' && d->plus_is_space) {
        *c = ' ';
    } else if (*c == '%') {
        int high = d->end - d->p >= 2 ? hex_value(d->p[0]) : -1;
        int low = high >= 0 ? hex_value(d->p[1]) : -1;

        if (low < 0) {
            return BYTE_BAD_ESCAPE;
        }
        *c = (uint8_t) (high << 4 | low);
        d->p += 2;
    }
    return BYTE_OK;
}

/*
 * Names that some backend takes for one: ASCII case is folded, and PHP reads '.', ' ' and '[' as
 * '_'.
 */
static uint8_t fold(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return (uint8_t) (c + 'a' - 'A');
    }
    return c == '.' || c == ' ' || c == '[' ? '_' : c;
}

/*
 * Compares a name as sent with the wanted one. ALIKE: another spelling that some backend would take
 * for it. Besides what fold() tells, PHP skips leading spaces, cuts a name at NUL and takes
 * "name[...]" for an array.
 */
static name_rc_t compare_name(decoder_t d, const char *name, size_t name_len)
{
    int same = 1;
    size_t at = 0;
    uint8_t c;

    while (next_byte(&d, &c) != BYTE_END) {
        if (at == 0 && c == ' ' && name[0] != ' ') {
            same = 0;
            continue;
        }
        if (at == name_len) {
            return c == '[' || c == '\0' ? NAME_ALIKE : NAME_OTHER;
        }
        if (fold(c) != fold((uint8_t) name[at])) {
            return NAME_OTHER;
        }
        same &= c == (uint8_t) name[at];
        at++;
    }
    if (at < name_len) {
        return NAME_OTHER;
    }
    return same ? NAME_SAME : NAME_ALIKE;
}

static const uint8_t *find_byte(const uint8_t *p, const uint8_t *end, int c)
{
    const uint8_t *at = p < end ? memchr(p, c, (size_t) (end - p)) : NULL;

    return at ? at : end;
}

static jd_form_rc_t decode_value(decoder_t d, uint8_t *out, size_t out_size, size_t *out_len)
{
    byte_rc_t rc;
    size_t n = 0;
    uint8_t c;

    while ((rc = next_byte(&d, &c)) == BYTE_OK) {
        if (c == '\0' || n == out_size) {
            return JD_FORM_MALFORMED;
        }
        out[n++] = c;
    }
    *out_len = n;
    return rc == BYTE_END ? JD_FORM_FOUND : JD_FORM_MALFORMED;
}

/*
 * One '&' part. Its ';' parts are looked at too: a backend that splits there would see other
 * fields, so the wanted name may stand only in front of a part without ';'.
 */
static jd_form_rc_t read_part(decoder_t part, const char *name, size_t name_len, uint8_t *out,
                              size_t out_size, size_t *out_len)
{
    const uint8_t *p = part.p, *end = part.end;

    for (;;) {
        const uint8_t *semicolon = find_byte(p, end, ';');
        const uint8_t *equals = find_byte(p, semicolon, '=');
        decoder_t field = {p, equals, part.plus_is_space};

        switch (compare_name(field, name, name_len)) {
        case NAME_OTHER:
            break;
        case NAME_SAME:
            if (p == part.p && semicolon == end) {
                decoder_t value = {equals < end ? equals + 1 : end, end, part.plus_is_space};
                return decode_value(value, out, out_size, out_len);
            }
            return JD_FORM_MALFORMED;
        case NAME_ALIKE:
            return JD_FORM_MALFORMED;
        }
        if (semicolon == end) {
            return JD_FORM_ABSENT;
        }
        p = semicolon + 1;
    }
}

jd_form_rc_t jd_form_find(const uint8_t *text, size_t len, const char *name, size_t name_len,
                          int plus_is_space, uint8_t *out, size_t out_size, size_t *out_len)
{
    const uint8_t *p = text, *end = text + len;
    jd_form_rc_t found = JD_FORM_ABSENT;

    while (p < end) {
        const uint8_t *ampersand = find_byte(p, end, '&');
        decoder_t part = {p, ampersand, plus_is_space};
        jd_form_rc_t rc = read_part(part, name, name_len, out, out_size, out_len);

        if (rc == JD_FORM_MALFORMED || (rc == JD_FORM_FOUND && found == JD_FORM_FOUND)) {
            return JD_FORM_MALFORMED;
        }
        if (rc == JD_FORM_FOUND) {
            found = rc;
        }
        p = ampersand < end ? ampersand + 1 : end;
    }
    return found;
}

static void trim(const uint8_t **p, const uint8_t **end)
{
    while (*p < *end && (**p == ' ' || **p == '\t')) {
        ++*p;
    }
    while (*p < *end && ((*end)[-1] == ' ' || (*end)[-1] == '\t')) {
        --*end;
    }
}

/*
 * A cookie's value: quotes around it are dropped; a quote or backslash elsewhere is read in two
 * ways by backends.
 */
static jd_form_rc_t copy_cookie(const uint8_t *p, const uint8_t *end, uint8_t *out,
                                size_t out_size, size_t *out_len)
{
    trim(&p, &end);
    if (end - p >= 2 && p[0] == '"' && end[-1] == '"') {
        p++;
        end--;
        trim(&p, &end);
    }
    if ((size_t) (end - p) > out_size || find_byte(p, end, '"') != end ||
        find_byte(p, end, '\\') != end || find_byte(p, end, '\0') != end) {
        return JD_FORM_MALFORMED;
    }
    *out_len = (size_t) (end - p);
    if (*out_len > 0) {
        memcpy(out, p, *out_len);
    }
    return JD_FORM_FOUND;
}

jd_form_rc_t jd_cookie_find(const uint8_t *text, size_t len, const char *name, size_t name_len,
                            uint8_t *out, size_t out_size, size_t *out_len)
{
    const uint8_t *p = text, *end = text + len;
    jd_form_rc_t found = JD_FORM_ABSENT;

    while (p < end) {
        const uint8_t *semicolon = find_byte(p, end, ';');
        const uint8_t *equals = find_byte(p, semicolon, '=');
        const uint8_t *first = p, *last = equals;

        trim(&first, &last);
        if ((size_t) (last - first) == name_len && memcmp(first, name, name_len) == 0) {
            if (found == JD_FORM_FOUND) {
                return JD_FORM_MALFORMED;
            }
            found = copy_cookie(equals < semicolon ? equals + 1 : semicolon, semicolon, out,
                                out_size, out_len);
            if (found == JD_FORM_MALFORMED) {
                return found;
            }
        }
        p = semicolon < end ? semicolon + 1 : end;
    }
    return found;
}
