/*
 * jd_time - RFC 3339 instants and dates.
 */
#include <string.h>
#include "jd_time.h"

#define DAY_SEC        86400
#define CHINA_SEC      (8 * 3600)
#define LAST_PRINTED   253402271999   /* 9999-12-31T23:59:59+08:00 */
#define FIRST_PRINTED  (-62135625600) /* 0001-01-01T00:00:00+08:00 */

/*
 * Days since 1970-01-01 of a proleptic Gregorian date (Hinnant, "chrono-compatible low-level date
 * algorithms").
 */
static int64_t days_from_date(int64_t y, unsigned m, unsigned d)
{
    int64_t era, day_of_era;
    unsigned year_of_era, day_of_year;

    y -= m <= 2;
    era = (y >= 0 ? y : y - 399) / 400;
    year_of_era = (unsigned) (y - era * 400);
    day_of_year = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void date_from_days(int64_t days, unsigned *y, unsigned *m, unsigned *d)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned) (z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;

    *d = doy - (153 * mp + 2) / 5 + 1;
    *m = mp < 10 ? mp + 3 : mp - 9;
    *y = (unsigned) (yoe + era * 400 + (*m <= 2));
}

/* Exactly `digits` decimal digits; -1 when one of them is none. */
static int number(const char *s, int digits)
{
    int v = 0;

    for (int i = 0; i < digits; i++) {
        if (s[i] < '0' || s[i] > '9') {
            return -1;
        }
        v = v * 10 + (s[i] - '0');
    }
    return v;
}

/* "yyyy-mm-dd" at s to days since 1970-01-01. */
static int read_date(const char *s, int64_t *days)
{
    static const uint8_t length[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int y = number(s, 4), m = number(s + 5, 2), d = number(s + 8, 2);
    int leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

    if (s[4] != '-' || s[7] != '-' || y < 1970 || m < 1 || m > 12 || d < 1 ||
        d > length[m] + (m == 2 ? leap : 0)) {
        return -1;
    }
    *days = days_from_date(y, (unsigned) m, (unsigned) d);
    return 0;
}

/* "Z" or "+hh:mm" that ends the text, to seconds east of UTC. */
static int read_offset(const char *s, size_t len, int *offset_sec)
{
    int h, m;

    if (len == 1 && s[0] == 'Z') {
        *offset_sec = 0;
        return 0;
    }
    if (len != 6 || (s[0] != '+' && s[0] != '-') || s[3] != ':') {
        return -1;
    }
    h = number(s + 1, 2);
    m = number(s + 4, 2);
    if (h < 0 || h > 23 || m < 0 || m > 59) {
        return -1;
    }
    *offset_sec = (s[0] == '-' ? -1 : 1) * (h * 3600 + m * 60);
    return 0;
}

int jd_time_parse(const char *text, size_t len, int64_t *unix_sec)
{
    size_t at = 19;
    int64_t days;
    int h, m, s, offset_sec;

    if (len < 20 || text[10] != 'T' || text[13] != ':' || text[16] != ':' ||
        read_date(text, &days) != 0) {
        return -1;
    }
    h = number(text + 11, 2);
    m = number(text + 14, 2);
    s = number(text + 17, 2);
    if (h < 0 || h > 23 || m < 0 || m > 59 || s < 0 || s > 59) {
        return -1;
    }
    if (text[at] == '.') {
        size_t first = ++at;

        while (at < len && text[at] >= '0' && text[at] <= '9') {
            at++;
        }
        if (at == first) {
            return -1;
        }
    }
    if (read_offset(text + at, len - at, &offset_sec) != 0) {
        return -1;
    }
    *unix_sec = days * DAY_SEC + h * 3600 + m * 60 + s - offset_sec;
    return 0;
}

int jd_date_parse(const char *text, size_t len, int64_t *unix_sec)
{
    int64_t days;

    if (len != 10 || read_date(text, &days) != 0) {
        return -1;
    }
    *unix_sec = days * DAY_SEC - CHINA_SEC;
    return 0;
}

static char *print(char *p, unsigned v, int digits)
{
    for (int i = digits - 1; i >= 0; i--) {
        p[i] = (char) ('0' + v % 10);
        v /= 10;
    }
    return p + digits;
}

size_t jd_time_print(int64_t unix_sec, char out[26])
{
    int64_t local, days;
    unsigned y, m, d, sec;
    char *p = out;

    if (unix_sec > LAST_PRINTED) {
        unix_sec = LAST_PRINTED;
    }
    if (unix_sec < FIRST_PRINTED) {
        unix_sec = FIRST_PRINTED;
    }
    local = unix_sec + CHINA_SEC;
    days = (local >= 0 ? local : local - (DAY_SEC - 1)) / DAY_SEC;
    sec = (unsigned) (local - days * DAY_SEC);
    date_from_days(days, &y, &m, &d);

    p = print(p, y, 4);
    *p++ = '-';
    p = print(p, m, 2);
    *p++ = '-';
    p = print(p, d, 2);
    *p++ = 'T';
    p = print(p, sec / 3600, 2);
    *p++ = ':';
    p = print(p, sec / 60 % 60, 2);
    *p++ = ':';
    p = print(p, sec % 60, 2);
    memcpy(p, "+08:00", 7);
    return 25;
}
