/*
 * rcd_config_value - the values of the configuration file, each of its kind.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/jd_policy.h"
#include "rcd_config_value.h"
#include "rcd_growth.h"

#define RETENTION_DAYS_MIN  62
#define RETENTION_DAYS_MAX  3660
#define REPORT_SEC_MAX      86400
#define EXPECTED_MAX        (64u << JD_BITS_MAX)
#define COUNT_MAX           1000000

const char *rcd_config_set_text(rcd_config_t *c, void *field, const char *value)
{
    (void) c;
    *(char **) field = strdup(value);
    return *(char **) field == NULL ? "out of memory" : NULL;
}

const char *rcd_config_set_path(rcd_config_t *c, void *field, const char *value)
{
    return value[0] == '/' ? rcd_config_set_text(c, field, value) : "must be an absolute path";
}

const char *rcd_config_set_list(rcd_config_t *c, void *field, const char *value)
{
    if (!jd_list_name_ok(value, strlen(value))) {
        return "must be 1 to 32 of a-z, 0-9 and _";
    }
    (void) field;
    snprintf(c->list, sizeof(c->list), "%s", value);
    return NULL;
}

const char *rcd_config_set_growth(rcd_config_t *c, void *field, const char *value)
{
    (void) c;
    return rcd_growth_limit_parse(value, field) == 0
               ? NULL : "must be a part of the list and a number of orders, of which the larger counts, "
                        "as 10% 100";
}

const char *rcd_config_set_base(rcd_config_t *c, void *field, const char *value)
{
    const char *why;
    char *base;
    size_t len;

    if (strncmp(value, "https://", 8) != 0 || value[8] == '\0' || value[8] == '/') {
        return "must be https://host[:port]/path; the feed is read over TLS only";
    }
    if (strpbrk(value, "?#@ \t") != NULL) {
        return "must not hold a query, fragment, user or space";
    }
    why = rcd_config_set_text(c, field, value);
    base = *(char **) field;
    for (len = why == NULL ? strlen(base) : 0; len > 8 && base[len - 1] == '/'; len--) {
        base[len - 1] = '\0';
    }
    return why;
}

const char *rcd_config_set_address(rcd_config_t *c, void *field, const char *value)
{
    const char *colon = strrchr(value, ':');
    char host[INET_ADDRSTRLEN], *end;
    struct in_addr addr;
    long port;

    if (strncmp(value, "unix:/", 6) == 0) {
        return rcd_config_set_text(c, field, value);
    }
    port = colon == NULL ? 0 : strtol(colon + 1, &end, 10);
    if (port < 1 || port > 65535 || *end != '\0' || (size_t) (colon - value) >= sizeof(host)) {
        return "must be 127.0.0.1:6379 (a numeric address) or unix:/path";
    }
    memcpy(host, value, (size_t) (colon - value));
    host[colon - value] = '\0';
    if (inet_pton(AF_INET, host, &addr) != 1) {
        return "must be 127.0.0.1:6379 (a numeric address) or unix:/path";
    }
    return rcd_config_set_text(c, field, value);
}

unsigned long rcd_config_number(const char *value, const char *unit, unsigned long max)
{
    unsigned long n = 0;

    for (; *value >= '0' && *value <= '9' && n <= max; value++) {
        n = n * 10 + (unsigned long) (*value - '0');
    }
    return n <= max && strcmp(value, unit) == 0 ? n : 0;
}

const char *rcd_config_set_expected(rcd_config_t *c, void *field, const char *value)
{
    (void) field;
    c->redis.expected = (uint32_t) rcd_config_number(value, "", EXPECTED_MAX);
    return c->redis.expected == 0 ? "must be the number of persons to make room for, 1..67108864"
                                  : NULL;
}

const char *rcd_config_set_level(rcd_config_t *c, void *field, const char *value)
{
    (void) field;
    for (int i = 0; i < RCD_LOG_N; i++) {
        if (strcmp(value, rcd_log_level_names[i]) == 0) {
            c->log.level = (rcd_log_level_t) i;
            return NULL;
        }
    }
    return "must be error, warn, notice, info or debug";
}

const char *rcd_config_set_retention(rcd_config_t *c, void *field, const char *value)
{
    (void) field;
    c->ledger.retention_days = (unsigned) rcd_config_number(value, "", RETENTION_DAYS_MAX);
    return c->ledger.retention_days >= RETENTION_DAYS_MIN
               ? NULL : "must be a number of days, 62 to 3660: a month is closed before it goes";
}

const char *rcd_config_set_report(rcd_config_t *c, void *field, const char *value)
{
    (void) field;
    c->ledger.report_sec = (unsigned) rcd_config_number(value, "", REPORT_SEC_MAX);
    return c->ledger.report_sec != 0 ? NULL : "must be a number of seconds, 1 to 86400";
}

const char *rcd_config_set_switch(rcd_config_t *c, void *field, const char *value)
{
    (void) c;
    *(int *) field = strcmp(value, "on") == 0;
    return *(int *) field || strcmp(value, "off") == 0 ? NULL : "must be on or off";
}

const char *rcd_config_set_count(rcd_config_t *c, void *field, const char *value)
{
    (void) c;
    *(uint32_t *) field = (uint32_t) rcd_config_number(value, "", COUNT_MAX);
    return *(uint32_t *) field == 0 ? "must be a whole number, 1 to 1000000" : NULL;
}

const char *rcd_config_set_percent(rcd_config_t *c, void *field, const char *value)
{
    (void) c;
    *(uint32_t *) field = (uint32_t) rcd_config_number(value, "%", 100);
    return *(uint32_t *) field == 0 ? "must be a percentage, 1% to 100%" : NULL;
}
