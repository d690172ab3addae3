/*
 * rcd_audit_file - {state dir}/audit.log: the rows of rcd_audit as a chain of lines that only grows.
 *
 * Rows go to the file in batches: appended, fsynced, then taken out of the journal together with the
 * new head. A daemon killed in between finds its rows in the file again and does not write them
 * twice; a torn last line is cut; nothing else of the file is ever taken away. Where file and journal
 * disagree (one of them restored, replaced, changed), the chain goes on with a record `chain` that
 * says so.
 */
#ifndef RCD_AUDIT_FILE_H
#define RCD_AUDIT_FILE_H

#include "rcd_audit.h"
#include "rcd_audit_key.h"

#define RCD_AUDIT_FILE "audit.log"

typedef struct rcd_audit_file_s rcd_audit_file_t;

typedef struct {                       /* who signs checkpoints, and how often; all borrowed */
    const rcd_audit_key_t *key;        /* NULL: none are made */
    const char            *iss;
    const char            *list;
    uint32_t               every_records;
    uint32_t               every_sec;
} rcd_audit_signer_t;

typedef struct {
    uint64_t records;                  /* in the file */
    uint64_t bytes;
    uint64_t pending;                  /* rows that wait in the journal */
    uint64_t checkpoint_n;             /* the newest checkpoint is over this record; 0 = none */
    int64_t  checkpoint_at;
    char     fault[200];               /* why rows wait; "" = all is well */
} rcd_audit_file_status_t;

/* Of a journal in a directory. Touches the file at the first step. NULL without memory. */
rcd_audit_file_t *rcd_audit_file_create(rcd_state_t *s, const rcd_audit_signer_t *signer);
void rcd_audit_file_destroy(rcd_audit_file_t *f);       /* NULL is allowed */
/* After a reload. */
void rcd_audit_file_signer(rcd_audit_file_t *f, const rcd_audit_signer_t *signer);

/*
 * Drains at most one batch (about 1 MB), outside any transaction; blocks for one fdatasync. Returns
 * milliseconds until it wants to be called again. A file that cannot be written is said once in the
 * log, stands in the status, and is tried again each second.
 */
int  rcd_audit_file_step(rcd_audit_file_t *f, int64_t now_ms, int64_t now);
/* Drains all that waits, as far as it goes: before the daemon ends. */
void rcd_audit_file_flush(rcd_audit_file_t *f, int64_t now);
void rcd_audit_file_status(rcd_audit_file_t *f, rcd_audit_file_status_t *out);

#endif
