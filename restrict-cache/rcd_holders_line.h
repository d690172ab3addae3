/*
 * rcd_holders_line - one line of a file of holders, NDJSON or CSV, to a link of two digests.
 *
 * Bytes of a file come in here and nowhere else; raw identifiers do not leave. The caller wipes its
 * buffer.
 */
#ifndef RCD_HOLDERS_LINE_H
#define RCD_HOLDERS_LINE_H

#include "rcd_links.h"
#include "rcd_order.h"

#define RCD_HOLDERS_LINE_MAX   4096      /* bytes, without the line's end */
#define RCD_HOLDERS_COLUMNS    6         /* card holder use from until op */

typedef enum { RCD_HOLDERS_UNKNOWN, RCD_HOLDERS_NDJSON, RCD_HOLDERS_CSV } rcd_holders_format_t;

typedef struct {
    const rcd_rules_t   *rules;          /* key and normalisers */
    int                  full;           /* a full file: `op` has no place in it */
    rcd_holders_format_t format;         /* told by the first line that is not empty */
    int                  column_of[RCD_HOLDERS_COLUMNS];   /* CSV: what stands where */
    int                  columns;
} rcd_holders_reader_t;

typedef enum {
    RCD_HOLDERS_NOTHING,                 /* an empty line, or the row of names */
    RCD_HOLDERS_SET,                     /* `link` is whole */
    RCD_HOLDERS_REMOVE,                  /* link.card; and link.holder if has_holder */
    RCD_HOLDERS_REFUSED,                 /* `why`; the digests that could be read, though */
    RCD_HOLDERS_WRONG                    /* `why`: not a file of holders at all */
} rcd_holders_rc_t;

typedef struct {
    rcd_holding_t link;
    int           has_card, has_holder;  /* the digest could be read */
    char          why[160];              /* what is wrong and the mend, never what stands there */
} rcd_holders_line_t;

void rcd_holders_reader_init(rcd_holders_reader_t *r, const rcd_rules_t *rules, int full);

/* `line` (len bytes and a NUL, without its newline) is written over while it is read. */
rcd_holders_rc_t rcd_holders_line(rcd_holders_reader_t *r, char *line, size_t len,
                                  rcd_holders_line_t *out);

#endif
