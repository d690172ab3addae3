/*
 * rcd_ledger_name - names and fields of the ledger in Redis.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/jd_measure.h"
#include "core/jd_redis.h"
#include "core/jd_time.h"
#include "core/jd_utf8.h"
#include "rcd_ledger_name.h"

#define HOUR_SEC   3600

static int is_gateway(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
              (s[i] >= '0' && s[i] <= '9') || s[i] == '.' || s[i] == '_' || s[i] == '-')) {
            return 0;
        }
    }
    return len > 0 && len <= RCD_GATEWAY_MAX;
}

static int is_run(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f'))) {
            return 0;
        }
    }
    return len == RCD_RUN_LEN;
}

int rcd_month_parse(const char *text, size_t len, int64_t *from, int64_t *until)
{
    char day[16];
    unsigned year, month;

    if (len != 7) {
        return -1;
    }
    memcpy(day, text, 7);
    memcpy(day + 7, "-01", 4);
    if (jd_date_parse(day, 10, from) != 0) {
        return -1;
    }
    year = (unsigned) strtoul(day, NULL, 10);
    month = (unsigned) strtoul(day + 5, NULL, 10);
    if (year == 9999) {
        return -1;
    }
    snprintf(day, sizeof(day), "%04u-%02u-01", (year + month / 12) % 10000, month % 12 + 1);
    return jd_date_parse(day, 10, until);
}

void rcd_month_of(int64_t at, char out[8])
{
    char text[26];

    jd_time_print(at, text);
    memcpy(out, text, 7);
    out[7] = '\0';
}

static int hour_parse(const char *text, size_t len, int64_t *from, int64_t *until)
{
    char instant[32];

    if (len != 13) {
        return -1;
    }
    memcpy(instant, text, 13);
    memcpy(instant + 13, ":00:00Z", 8);
    if (jd_time_parse(instant, 20, from) != 0) {
        return -1;
    }
    *until = *from + HOUR_SEC;
    return 0;
}

/* The part up to the next ':' or the end; *at moves behind it. */
static const char *part(const char **at, const char *end, size_t *len)
{
    const char *begin = *at, *colon = memchr(begin, ':', (size_t) (end - begin));

    *len = (size_t) ((colon != NULL ? colon : end) - begin);
    *at = colon != NULL ? colon + 1 : end;
    return begin;
}

int rcd_ledger_key_parse(rcd_ledger_key_t *key, const char *list, const char *text, size_t len)
{
    char prefix[JD_REDIS_NAME_MAX];
    size_t prefix_len = jd_redis_prefix(prefix, list), gateway_len, run_len, period_len;
    const char *at = text + prefix_len + 7, *end = text + len, *gateway, *run, *period;

    if (len <= prefix_len + 7 || memcmp(text, prefix, prefix_len) != 0 ||
        memcmp(text + prefix_len, "ledger:", 7) != 0) {
        return -1;
    }
    gateway = part(&at, end, &gateway_len);
    run = part(&at, end, &run_len);
    period = at;
    period_len = (size_t) (end - period);
    if (!is_gateway(gateway, gateway_len) || !is_run(run, run_len)) {
        return -1;
    }
    memset(key, 0, sizeof(*key));
    key->kind = gateway_len == 1 && gateway[0] == '-' ? RCD_LEDGER_ORDERS : RCD_LEDGER_HOURS;
    if ((key->kind == RCD_LEDGER_ORDERS
             ? rcd_month_parse(period, period_len, &key->from, &key->until)
             : hour_parse(period, period_len, &key->from, &key->until)) != 0) {
        return -1;
    }
    if (key->kind == RCD_LEDGER_HOURS) {
        memcpy(key->gateway, gateway, gateway_len);
    }
    memcpy(key->run, run, run_len);
    memcpy(key->period, period, period_len);
    return 0;
}

/* Text that may be shown: UTF-8 without control characters. */
static int is_text(const char *text, size_t len)
{
    const uint8_t *p = (const uint8_t *) text;
    uint32_t code;

    if (len == 0 || len > JD_GROUNDS_TEXT_MAX) {
        return 0;
    }
    while (len > 0) {
        size_t n = jd_utf8_read(p, len, &code);

        if (n == 0 || jd_utf8_control(code)) {
            return 0;
        }
        p += n;
        len -= n;
    }
    return 1;
}

static int order_field(rcd_ledger_field_t *field, const char *text, size_t len)
{
    const char *space = memchr(text, ' ', len);
    int bit;

    if (space == NULL) {
        return -1;
    }
    field->text = text;
    field->len = (size_t) (space - text);
    bit = jd_measure_bit(space + 1, len - field->len - 1);
    if (bit < 0 || field->len > JD_ORDER_NUMBER_MAX || !jd_order_number_ok(text, field->len)) {
        return -1;
    }
    field->measure = (unsigned) bit;
    return 0;
}

static int hour_field(rcd_ledger_field_t *field, const char *text, size_t len)
{
    const char *space = memchr(text, ' ', len);
    size_t name_len = space == NULL ? len : (size_t) (space - text);
    int bit = jd_measure_bit(text, name_len);

    if (bit < 0 || len < name_len + 4 || (space[1] != 'd' && space[1] != 'y') || space[2] != ' ') {
        return -1;
    }
    field->measure = (unsigned) bit;
    field->dry = space[1] == 'y';
    field->text = space + 3;
    field->len = len - name_len - 3;
    return is_text(field->text, field->len) ? 0 : -1;
}

int rcd_ledger_field_parse(rcd_ledger_field_t *field, rcd_ledger_kind_t kind, const char *text,
                           size_t len)
{
    memset(field, 0, sizeof(*field));
    return kind == RCD_LEDGER_ORDERS ? order_field(field, text, len)
                                     : hour_field(field, text, len);
}

static int number_parse(const char *text, size_t len, int64_t *value)
{
    int64_t v = 0;

    if (len == 0 || len > 15 || (len > 1 && text[0] == '0')) {
        return -1;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        v = v * 10 + (text[i] - '0');
    }
    *value = v;
    return v <= RCD_LEDGER_TOTAL_MAX ? 0 : -1;
}

int rcd_ledger_total_parse(const char *text, size_t len, int64_t *total)
{
    return number_parse(text, len, total) == 0 && *total > 0 ? 0 : -1;
}

int rcd_ledger_closed_parse(const char *text, size_t len, int64_t *cells, int64_t *sum)
{
    const char *space = memchr(text, ' ', len);
    size_t first = space == NULL ? 0 : (size_t) (space - text);

    return space != NULL && number_parse(text, first, cells) == 0 &&
           number_parse(space + 1, len - first - 1, sum) == 0 ? 0 : -1;
}
