/*
 * jd_form - finds one field in application/x-www-form-urlencoded bytes: a form body or a query string.
 */
#ifndef JD_FORM_H
#define JD_FORM_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    JD_FORM_FOUND,
    JD_FORM_ABSENT,
    JD_FORM_MALFORMED        /* the name twice (after decoding), or in another ASCII case, or followed by '[' (PHP arrays),
                                or with '.', ' ' or '[' where PHP reads '_'; or set off by ';' (some backends split there);
                                in its value a bad %-escape, %00 or a raw NUL; value longer than `out_size` */
} jd_form_rc_t;

/* `plus_is_space`: 1 for form bodies and query strings (WHATWG URL), 0 for cookies and paths.
 * Names are compared after percent-decoding. On JD_FORM_FOUND writes the decoded value to `out` and its length. */
jd_form_rc_t jd_form_find(const uint8_t *text, size_t len, const char *name, size_t name_len, int plus_is_space,
                          uint8_t *out, size_t out_size, size_t *out_len);

/* One cookie by name (case-sensitive, as RFC 6265) in the text of a Cookie header: pairs split at ';', optional white space and
 * double quotes trimmed; no percent-decoding. Repeated name: JD_FORM_MALFORMED. Several headers: call on each and count. */
jd_form_rc_t jd_cookie_find(const uint8_t *text, size_t len, const char *name, size_t name_len,
                            uint8_t *out, size_t out_size, size_t *out_len);

#endif
