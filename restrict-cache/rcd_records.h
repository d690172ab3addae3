/*
 * rcd_records - records on their way in: an unnamed file, counted and hashed while written.
 *
 * Records hold raw identifiers. The file has no name from its first byte on and is gone with the
 * process, whatever ends it.
 */
#ifndef RCD_RECORDS_H
#define RCD_RECORDS_H

#include <stddef.h>
#include <stdint.h>
#include "rcd_claims.h"

typedef struct rcd_records_s rcd_records_t;

/* An empty file in `dir`; NULL with errno. */
rcd_records_t *rcd_records_create(const char *dir);
void rcd_records_destroy(rcd_records_t *r);           /* NULL is allowed */

/* Appends; 0, or -1 with errno (disk full). */
int rcd_records_write(rcd_records_t *r, const char *bytes, size_t len);

/* NULL when size, number of lines and hash are those of the claims; else a static phrase. */
const char *rcd_records_verify(rcd_records_t *r, const rcd_snapshot_claims_t *claims);

/* A path under which this process may open the file while it lives. */
const char *rcd_records_path(const rcd_records_t *r);

#endif
