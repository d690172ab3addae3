/*
 * rcd_config_tell - the settings as text without secrets, collected while they are read.
 */
#ifndef RCD_CONFIG_TELL_H
#define RCD_CONFIG_TELL_H

#include "rcd_config.h"

/* Adds one setting to c->effective. 0, or -1 without memory. */
int rcd_config_tell(rcd_config_t *c, const char *section, const char *name, const char *value);

/* Adds a public file's content, by its SHA-256. */
int rcd_config_tell_file(rcd_config_t *c, const char *section, const char *name, const char *bytes,
                         size_t len);

#endif
