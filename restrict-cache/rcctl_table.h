/*
 * rcctl_table - rows of text as a table for a terminal, or as CSV (RFC 4180).
 */
#ifndef RCCTL_TABLE_H
#define RCCTL_TABLE_H

#include <stddef.h>

#define RCCTL_COLUMNS_MAX  24

typedef struct {
    unsigned  columns;
    unsigned  right;               /* bit per column: numbers, set to the right */
    char    **cell;                /* ours; columns by rows, the first row is the head */
    size_t    rows, size;
    int       failed;              /* out of memory: nothing is printed, but said */
} rcctl_table_t;

void rcctl_table_init(rcctl_table_t *t, unsigned columns, unsigned right);
void rcctl_table_fini(rcctl_table_t *t);

/* A row of `columns` texts, copied; NULL = empty. */
void rcctl_table_row(rcctl_table_t *t, const char *const *cells);

/* For a terminal: columns as wide as their longest text, wide characters counted as two. Control
 * characters are shown as '?'. */
void rcctl_table_print(const rcctl_table_t *t);

/* RFC 4180: CRLF, quotes where needed. */
void rcctl_table_csv(const rcctl_table_t *t);

/* Columns that a text takes on a terminal. */
size_t rcctl_text_width(const char *text);

#endif
