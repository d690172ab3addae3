/*
 * jd_time - instants and dates of the feed (RFC 3339), and their printed form. No time zone data, no locale, no clock.
 */
#ifndef JD_TIME_H
#define JD_TIME_H

#include <stddef.h>
#include <stdint.h>

/* "2026-10-15T00:00:00+08:00" or "...Z" (offset required, fraction of a second allowed and dropped, 'T' and 'Z' upper case,
 * leap second 60 refused, year 1970..9999) to Unix seconds. Returns 0 or -1. */
int jd_time_parse(const char *text, size_t len, int64_t *unix_sec);

/* "2026-10-01" to Unix seconds of 00:00 at +08:00 (China has one offset). Returns 0 or -1. */
int jd_date_parse(const char *text, size_t len, int64_t *unix_sec);

/* Prints "2026-10-15T00:00:00+08:00" (26 bytes with NUL). Returns the length. Years beyond 9999 print as 9999-12-31T23:59:59+08:00. */
size_t jd_time_print(int64_t unix_sec, char out[26]);

#endif
