/*
 * rcctl_csv - a table of orders (RFC 4180) as the feed's NDJSON.
 */
#ifndef RCCTL_CSV_H
#define RCCTL_CSV_H

#include <stdint.h>
#include <stdio.h>

/*
 * Copies `in` to `out`, one record a row, effect observe. The first row names the columns: order
 * scheme id measures (names separated by space) authority basis relevance served from until
 * contest_url contest_phone contest_deadline repair_url repair_phone, in any order; an empty cell
 * leaves its member out. Returns 0 and the number of rows, or -1 with "line N: what is wrong".
 */
int rcctl_csv_convert(FILE *in, FILE *out, uint64_t *rows, char *err, size_t err_size);

#endif
