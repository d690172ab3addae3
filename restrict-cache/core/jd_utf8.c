/*
 * jd_utf8 - strict reading of UTF-8.
 */
#include "jd_utf8.h"

size_t jd_utf8_read(const uint8_t *s, size_t len, uint32_t *code)
{
    static const uint32_t lowest[5] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t c = s[0];
    size_t n;

    if (c < 0x80) {
        *code = c;
        return 1;
    }
    if (c >= 0xc2 && c < 0xe0) {
        n = 2;
        c &= 0x1f;
    } else if (c >= 0xe0 && c < 0xf0) {
        n = 3;
        c &= 0x0f;
    } else if (c >= 0xf0 && c < 0xf5) {
        n = 4;
        c &= 0x07;
    } else {
        return 0;
    }
    if (n > len) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
        c = c << 6 | (s[i] & 0x3f);
    }
    if (c < lowest[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return 0;
    }
    *code = c;
    return n;
}

int jd_utf8_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0x9f);
}

int jd_utf8_unseen(uint32_t code)
{
    static const struct {
        uint32_t first, last;
    } unseen[] = {
        {0x00, 0x20},     {0x7f, 0xa0},     {0xad, 0xad},     {0x61c, 0x61c},
        {0x1680, 0x1680}, {0x180e, 0x180e}, {0x2000, 0x200f}, {0x2028, 0x202f},
        {0x205f, 0x206f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb},
    };

    for (size_t i = 0; i < sizeof(unseen) / sizeof(unseen[0]); i++) {
        if (code <= unseen[i].last) {
            return code >= unseen[i].first;
        }
    }
    return 0;
}
