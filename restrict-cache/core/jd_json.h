/*
 * jd_json - finds one scalar in a JSON document by RFC 6901 pointer, without allocation.
 *
 * This is the reader of hostile request bodies. It validates the whole document (RFC 8259, UTF-8, depth,
 * nothing after the document) and refuses whatever two parsers could read differently.
 */
#ifndef JD_JSON_H
#define JD_JSON_H

#include <stddef.h>
#include <stdint.h>

#define JD_JSON_DEPTH_MAX     32
#define JD_JSON_POINTER_MAX   8       /* reference tokens */
#define JD_JSON_TOKEN_MAX     64      /* bytes of one decoded token */

typedef struct {
    uint8_t  text[JD_JSON_POINTER_MAX][JD_JSON_TOKEN_MAX];   /* ~0 and ~1 decoded */
    uint8_t  len[JD_JSON_POINTER_MAX];
    unsigned n;
} jd_json_pointer_t;

/* Parses "/a/b~1c/0". Returns 0, or -1: empty pointer, no leading '/', bad '~' escape, too many or too long tokens. */
int jd_json_pointer_parse(jd_json_pointer_t *p, const char *text, size_t len);

typedef enum {
    JD_JSON_FOUND,
    JD_JSON_ABSENT,          /* valid document without the member, or its value is null, or the document is empty (white space) */
    JD_JSON_MALFORMED        /* not JSON, too deep, bad UTF-8, lone surrogate, NUL (raw or \u0000), trailing bytes; a
                                member of the pointer's path repeated, or present in another ASCII case (some
                                backends read names case-blind); value an object, array, true/false, or a number that is
                                not a plain integer (-?[0-9]+); value longer than `out_size` */
} jd_json_rc_t;

/*
 * On JD_JSON_FOUND writes the value's bytes (string: unescaped UTF-8; integer: its text) to `out` (not NUL
 * terminated) and their number to `*out_len`. Scans the whole document in every case. A byte order mark is malformed.
 * An array on the path takes tokens "0", "1", ... (no leading zeros).
 */
jd_json_rc_t jd_json_find(const uint8_t *doc, size_t len, const jd_json_pointer_t *p,
                          uint8_t *out, size_t out_size, size_t *out_len);

#endif
