/*
 * rcctl_table - rows of text as a table for a terminal, or as CSV.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/jd_utf8.h"
#include "rcctl.h"
#include "rcctl_table.h"

#define GAP  "  "

void rcctl_table_init(rcctl_table_t *t, unsigned columns, unsigned right)
{
    *t = (rcctl_table_t) {.columns = columns, .right = right};
}

void rcctl_table_fini(rcctl_table_t *t)
{
    for (size_t i = 0; i < t->rows * t->columns; i++) {
        free(t->cell[i]);
    }
    free(t->cell);
    t->cell = NULL;
    t->rows = t->size = 0;
}

void rcctl_table_row(rcctl_table_t *t, const char *const *cells)
{
    char **grown;

    if (t->failed) {
        return;
    }
    if (t->rows == t->size) {
        t->size = t->size == 0 ? 32 : t->size * 2;
        grown = realloc(t->cell, t->size * t->columns * sizeof(*grown));
        if (grown == NULL) {
            t->failed = 1;
            return;
        }
        t->cell = grown;
    }
    for (unsigned i = 0; i < t->columns; i++) {
        char *copy = strdup(cells[i] != NULL ? cells[i] : "");

        t->failed |= copy == NULL;
        t->cell[t->rows * t->columns + i] = copy;
    }
    t->rows++;
}

/* Blocks of Unicode's East Asian Width "W" and "F" that texts of authorities come from. */
static int is_wide(uint32_t code)
{
    return (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0x303e) ||
           (code >= 0x3041 && code <= 0x33ff) || (code >= 0x3400 && code <= 0x4dbf) ||
           (code >= 0x4e00 && code <= 0x9fff) || (code >= 0xac00 && code <= 0xd7a3) ||
           (code >= 0xf900 && code <= 0xfaff) || (code >= 0xfe30 && code <= 0xfe4f) ||
           (code >= 0xff00 && code <= 0xff60) || (code >= 0xffe0 && code <= 0xffe6) ||
           (code >= 0x20000 && code <= 0x3fffd);
}

size_t rcctl_text_width(const char *text)
{
    size_t len = strlen(text), width = 0, n;
    uint32_t code;

    for (size_t at = 0; at < len; at += n) {
        n = jd_utf8_read((const uint8_t *) text + at, len - at, &code);
        if (n == 0) {
            n = 1;
            code = '?';
        }
        width += is_wide(code) ? 2 : 1;
    }
    return width;
}

static void pad(size_t n)
{
    printf("%*s", (int) n, "");
}

void rcctl_table_print(const rcctl_table_t *t)
{
    size_t width[RCCTL_COLUMNS_MAX] = {0}, w;

    if (t->failed) {
        rcctl_error("out of memory");
        return;
    }
    for (size_t i = 0; i < t->rows * t->columns; i++) {
        w = rcctl_text_width(t->cell[i]);
        width[i % t->columns] = w > width[i % t->columns] ? w : width[i % t->columns];
    }
    for (size_t i = 0; i < t->rows * t->columns; i++) {
        unsigned column = (unsigned) (i % t->columns);
        int right = t->right >> column & 1, last = column + 1 == t->columns;

        w = width[column] - rcctl_text_width(t->cell[i]);
        pad(right ? w : 0);
        rcctl_text(stdout, t->cell[i]);
        pad(right || last ? 0 : w);
        fputs(last ? "\n" : GAP, stdout);
    }
}

static void csv_cell(const char *text)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"') {
            putchar('"');
        }
        putchar(*text);
    }
    putchar('"');
}

void rcctl_table_csv(const rcctl_table_t *t)
{
    if (t->failed) {
        rcctl_error("out of memory");
        return;
    }
    for (size_t i = 0; i < t->rows * t->columns; i++) {
        csv_cell(t->cell[i]);
        fputs((i + 1) % t->columns == 0 ? "\r\n" : ",", stdout);
    }
}
