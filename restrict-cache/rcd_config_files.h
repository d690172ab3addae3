/*
 * rcd_config_files - reads and checks the files that the configuration names.
 */
#ifndef RCD_CONFIG_FILES_H
#define RCD_CONFIG_FILES_H

#include "rcd_config.h"

/* Fills c->keys, c->rules.key and, for RCD_CONFIG_DAEMON, c->jwks and c->office.token; checks
 * certificates and keys. 0, or -1 and one line that names key and file. */
int rcd_config_files_read(rcd_config_t *c, rcd_config_use_t use, char *err, size_t err_size);

#endif
