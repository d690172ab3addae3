/*
 * rcd_audit_read - lines of the chain file, forward, in constant memory.
 */
#ifndef RCD_AUDIT_READ_H
#define RCD_AUDIT_READ_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    int      fd;               /* borrowed; read by pread */
    char    *buf;
    size_t   begin, end;       /* of what is read and not taken */
    uint64_t offset;           /* in the file, of `begin` */
} rcd_audit_reader_t;

typedef enum {
    RCD_AUDIT_READ_FAILED = -1,          /* errno says why */
    RCD_AUDIT_READ_END,                  /* the file ends with a line end */
    RCD_AUDIT_READ_LINE,
    RCD_AUDIT_READ_TORN,                 /* what follows the last line end; offset stays before it */
    RCD_AUDIT_READ_LONG                  /* a line longer than RCD_AUDIT_LINE_MAX; it is passed */
} rcd_audit_read_t;

/* From `offset` on. 0, or -1 without memory. */
int  rcd_audit_reader_init(rcd_audit_reader_t *r, int fd, uint64_t offset);
void rcd_audit_reader_fini(rcd_audit_reader_t *r);

/* The next line without its end, valid until the next call; r->offset is then where the one after
 * begins. After END or TORN it may be asked again: the file may have grown. */
rcd_audit_read_t rcd_audit_reader_next(rcd_audit_reader_t *r, const char **line, size_t *len);

/* Where the line that ends before `end` (its line end included) begins: 0 and *begin, or -1 (`end` is
 * not behind a line end, the line is longer than RCD_AUDIT_LINE_MAX, or errno). */
int  rcd_audit_line_begin(int fd, uint64_t end, uint64_t *begin);

#endif
