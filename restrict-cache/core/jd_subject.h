/*
 * jd_subject - schemes, and the one normal form of an identifier in each of them.
 *
 * Gate, daemon, rcctl and simulator normalise through this file alone, with the normalisers of the list
 * (meta field "norm"), so that two spellings of one identifier give one digest and two identifiers never do.
 */
#ifndef JD_SUBJECT_H
#define JD_SUBJECT_H

#include <stddef.h>
#include <stdint.h>

#define JD_SUBJECT_MAX       64      /* bytes of a normalised identifier */
#define JD_SUBJECT_RAW_MAX   256     /* bytes of a raw one; longer is malformed */

typedef enum {
    JD_SCHEME_CNID,      /* GB 11643: 18 characters, date and check digit */
    JD_SCHEME_USCC,      /* GB 32100: 18 characters */
    JD_SCHEME_PATRON,    /* library patron barcode */
    JD_SCHEME_CARD,      /* citizen card, bus card: opaque */
    JD_SCHEME_UID,       /* chip UID or other opaque id */
    JD_SCHEME_N
} jd_scheme_t;

extern const char *const jd_scheme_names[JD_SCHEME_N];

/* Scheme of a name, or -1. */
int jd_scheme_parse(const char *name, size_t len);

typedef enum {
    JD_SUBJECT_OK,
    JD_SUBJECT_EMPTY,        /* nothing left after trimming: no subject */
    JD_SUBJECT_OTHER,        /* not of this scheme (a cnid that fails date or check digit): pass, not an error */
    JD_SUBJECT_MALFORMED     /* cannot be read one way: NUL, control, bad UTF-8, too long, inner space */
} jd_subject_rc_t;

/* What a list asks of opaque schemes beyond trimming and folding full-width forms; all off by default. */
#define JD_NORM_UPPER        0x01    /* a-z to A-Z */
#define JD_NORM_STRIP_ZEROS  0x02    /* leading zeros, keeping the last character */

typedef struct {
    uint8_t flags[JD_SCHEME_N];      /* JD_NORM_*; for cnid and uscc always 0: their form is the standard's */
} jd_normalisers_t;

/* Text form "card=upper,strip_zeros patron=upper" ("" = none); schemes in enum order when printed.
 * parse: 0, or -1 on an unknown scheme or word (or a flag on cnid/uscc). print: `out` takes 256 bytes, returns length. */
int jd_normalisers_parse(jd_normalisers_t *n, const char *text, size_t len);
size_t jd_normalisers_print(const jd_normalisers_t *n, char *out);

/*
 * Normalises raw bytes (UTF-8) of an identifier.
 *
 * Every scheme: surrounding white space (ASCII and U+3000, U+00A0, U+FEFF) is trimmed, full-width forms
 * U+FF01..U+FF5E become ASCII; then no control character, space or bad UTF-8 may be left.
 * cnid: 18 characters after folding, x becomes X, GB 11643 date (proleptic Gregorian, year 1800..2199) and
 * check digit verified; 15-digit old numbers and everything else of another shape are JD_SUBJECT_OTHER.
 * uscc: letters upper-cased, GB 32100 alphabet and check character verified, else JD_SUBJECT_OTHER.
 * patron, card, uid: the flags of `n` (may be NULL: none).
 *
 * On JD_SUBJECT_OK writes at most JD_SUBJECT_MAX bytes to `out` and the count to `*out_len`. No allocation.
 */
jd_subject_rc_t jd_subject_normalise(jd_scheme_t scheme, const jd_normalisers_t *n,
                                     const uint8_t *raw, size_t raw_len,
                                     uint8_t out[JD_SUBJECT_MAX], size_t *out_len);

#endif
