/*
 * jd_utf8 - strict reading of one UTF-8 character, and the classes of characters that identifiers and texts refuse.
 */
#ifndef JD_UTF8_H
#define JD_UTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * Reads one character of at least one byte (RFC 3629: no overlong form, no surrogate, at most U+10FFFF).
 * Returns its length in bytes and the code point, or 0.
 */
size_t jd_utf8_read(const uint8_t *s, size_t len, uint32_t *code);

/* 1 for C0, DEL and C1. */
int jd_utf8_control(uint32_t code);

/* 1 for what cannot be seen in print: controls, every space of Unicode, zero-width and direction marks, soft hyphen. */
int jd_utf8_unseen(uint32_t code);

#endif
