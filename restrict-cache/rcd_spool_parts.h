/*
 * rcd_spool_parts - what the parts of the spool share: rcd_spool*.c alone.
 */
#ifndef RCD_SPOOL_PARTS_H
#define RCD_SPOOL_PARTS_H

#include <limits.h>
#include "rcd_box.h"
#include "rcd_records.h"
#include "rcd_spool.h"

#define RCD_SPOOL_PATH      (PATH_MAX + NAME_MAX + 2)

typedef struct {
    /* file name of command and answer; "" = no import at work */
    char           answer[RCD_BOX_NAME_MAX + 1];
    int            fd;                    /* the file, nameless by now; -1 = none */
    int            copying;
    int            applying;
    int            holders;               /* links of holders, which rcd_holders reads */
    char           user[64];              /* who gave the command */
    rcd_snapshot_claims_t claims;         /* of a signed file */
    rcd_records_t *records;               /* its records; NULL for an unsigned file */
} rcd_import_t;

struct rcd_spool_s {
    rcd_command_t       env;
    char                inbox[PATH_MAX];
    char                outbox[PATH_MAX];
    int                 notify_fd;        /* -1: the inbox is only looked at */
    int64_t             trim_due_ms;
    rcd_import_t        import;
};

/* ---- rcd_spool.c */

/* Writes the answer to command `name`, which is taken over. */
void rcd_spool_answer(rcd_spool_t *s, const char *name, cJSON *answer);
void rcd_spool_running(rcd_spool_t *s, const char *name, uint64_t done, uint64_t total);
void rcd_spool_failed(rcd_spool_t *s, const char *name, const char *error);
/* "done, well": members may be added. */
cJSON *rcd_spool_answer_new(void);

/* ---- rcd_spool_import.c */

/* Opens the file to import, which loses its name. 0, or -1 and the command is answered. */
int rcd_spool_import_open(rcd_spool_t *s, const char *name, const char *file);
/* The import at work is over: with a reason, or answered already. */
void rcd_spool_import_failed(rcd_spool_t *s, const char *why);
void rcd_spool_import_release(rcd_import_t *im);
/* The command "import". */
void rcd_spool_import(rcd_spool_t *s, const char *name, const cJSON *command);
/* Copies a slice of a signed file's records, hashing it. */
void rcd_spool_import_copy(rcd_spool_t *s);
/* The file is whole and, if signed, verified. Waits while a snapshot of the feed is applied. */
void rcd_spool_import_apply(rcd_spool_t *s);

/* ---- rcd_spool_holders.c: the commands "holders" and "approve-holders" */
void rcd_spool_holders(rcd_spool_t *s, const char *name, const cJSON *command);
void rcd_spool_holders_approve(rcd_spool_t *s, const char *name, const cJSON *command);

#endif
