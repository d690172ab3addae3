/*
 * rcd_config_value - the values of the configuration file, each of its kind: rcd_config alone.
 */
#ifndef RCD_CONFIG_VALUE_H
#define RCD_CONFIG_VALUE_H

#include "rcd_config.h"

/* A setter reads `value` into the member `field` of `c`, or into the one it knows. It returns NULL,
 * or what is wrong and the mend. */
typedef const char *(*rcd_config_setter_pt)(rcd_config_t *c, void *field, const char *value);

/* char *, to be freed: */
const char *rcd_config_set_text(rcd_config_t *c, void *field, const char *value);
/* an absolute path */
const char *rcd_config_set_path(rcd_config_t *c, void *field, const char *value);
/* https://host[:port]/path */
const char *rcd_config_set_base(rcd_config_t *c, void *field, const char *value);
/* "unix:/path", or a numeric address and port: names are not looked up */
const char *rcd_config_set_address(rcd_config_t *c, void *field, const char *value);

/* rcd_growth_limit_t */
const char *rcd_config_set_growth(rcd_config_t *c, void *field, const char *value);
/* int, of on or off */
const char *rcd_config_set_switch(rcd_config_t *c, void *field, const char *value);
/* uint32_t, 1 to a million of whatever the key counts */
const char *rcd_config_set_count(rcd_config_t *c, void *field, const char *value);
/* uint32_t, "10%" */
const char *rcd_config_set_percent(rcd_config_t *c, void *field, const char *value);

/* members of their own */
const char *rcd_config_set_list(rcd_config_t *c, void *field, const char *value);
const char *rcd_config_set_expected(rcd_config_t *c, void *field, const char *value);
const char *rcd_config_set_level(rcd_config_t *c, void *field, const char *value);
const char *rcd_config_set_retention(rcd_config_t *c, void *field, const char *value);
const char *rcd_config_set_report(rcd_config_t *c, void *field, const char *value);

/* A decimal number 1..max, then `unit`; 0 when it is not. */
unsigned long rcd_config_number(const char *value, const char *unit, unsigned long max);

#endif
