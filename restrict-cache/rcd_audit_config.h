/*
 * rcd_audit_config - a record `config` when the configuration is another than the one recorded last.
 */
#ifndef RCD_AUDIT_CONFIG_H
#define RCD_AUDIT_CONFIG_H

#include "rcd_audit.h"
#include "rcd_config.h"

/*
 * {sha256, sections}: sections that differ from the last record, by name. A section's hash is the
 * SHA-256 of its lines "name<TAB>value\n" in the order of the file; `sha256` is that of the lines
 * "section<SPACE>hash\n", sorted by section. No secret goes into it: of secret files only the names
 * do, of digest keys their id and check value. 0, or -1 when the journal failed.
 */
int rcd_audit_config(rcd_state_t *s, const rcd_config_t *c);

#endif
