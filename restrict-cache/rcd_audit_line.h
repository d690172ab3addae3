/*
 * rcd_audit_line - one record of the audit chain as a line of text: printed, and read strictly.
 *
 *   {"n":7,"at":1795475986,"kind":"lift","order":"CS-1",...,"prev":"<64 hex>","hash":"<64 hex>"}
 *
 *   n      1, 2, 3, ...: the record's number in the file
 *   at     when it was made, Unix seconds by the daemon's wall clock
 *   kind   what happened: a-z, 0-9, '-' and '.'
 *   prev   hash of the record before; 64 zeros in record 1
 *   hash   SHA-256 over the record's bytes without the member `hash`: the line up to and without
 *          `,"hash":"`, then `}`. No line end
 *
 * Every byte counts: there is one way to print a record, no space between tokens, hex in lower case.
 */
#ifndef RCD_AUDIT_LINE_H
#define RCD_AUDIT_LINE_H

#include <stddef.h>
#include <stdint.h>

#define RCD_AUDIT_KIND_MAX    32                /* bytes of a kind */
#define RCD_AUDIT_TEXT_MAX    (160 * 1024)      /* bytes of the members between kind and prev */
#define RCD_AUDIT_LINE_MAX    (RCD_AUDIT_TEXT_MAX + 512)
#define RCD_AUDIT_HASH_LEN    32
#define RCD_AUDIT_N_MAX       ((UINT64_C(1) << 53) - 1)

typedef struct {
    uint64_t    n;
    int64_t     at;
    char        kind[RCD_AUDIT_KIND_MAX + 1];
    const char *text;                           /* ",\"order\":...": members between kind and prev, */
    size_t      text_len;                       /* borrowed from the line; may be 0 */
    uint8_t     prev[RCD_AUDIT_HASH_LEN];
    uint8_t     hash[RCD_AUDIT_HASH_LEN];       /* as the line says */
    int         genuine;                        /* 1: it is the SHA-256 of the line's bytes */
} rcd_audit_line_t;

/*
 * Reads `len` bytes without their line end. NULL when it is a record (genuine or not), or a static
 * phrase: what is wrong with its form. Nothing of the line is trusted before.
 */
const char *rcd_audit_line_parse(const char *line, size_t len, rcd_audit_line_t *out);

/*
 * Prints a record with its line end into `out` (RCD_AUDIT_LINE_MAX + 1 bytes) and its hash into
 * `hash`. `text` is at most RCD_AUDIT_TEXT_MAX bytes of whole members, each after a comma; `prev`
 * and `hash` may be the same. Returns the number of bytes, or -1 when the hash could not be made (no memory).
 */
long rcd_audit_line_print(char *out, uint64_t n, int64_t at, const char *kind, const char *text,
                          size_t text_len, const uint8_t prev[RCD_AUDIT_HASH_LEN],
                          uint8_t hash[RCD_AUDIT_HASH_LEN]);

/* 1 when `kind` has the form of one. */
int  rcd_audit_kind_ok(const char *kind, size_t len);

/* 64 lower-case hex digits of a hash and a NUL; the reader takes exactly those: 0, or -1. */
void rcd_audit_hex_print(const uint8_t hash[RCD_AUDIT_HASH_LEN], char out[65]);
int  rcd_audit_hex_parse(const char *text, uint8_t hash[RCD_AUDIT_HASH_LEN]);

#endif
