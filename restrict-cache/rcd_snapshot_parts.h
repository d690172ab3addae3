/*
 * rcd_snapshot_parts - what the parts of a snapshot share: rcd_snapshot*.c alone.
 */
#ifndef RCD_SNAPSHOT_PARTS_H
#define RCD_SNAPSHOT_PARTS_H

#include <stdio.h>
#include "rcd_apply.h"
#include "rcd_stage.h"

#define RCD_SNAPSHOT_CHECK  16        /* records between two looks at the clock */

typedef enum {
    RCD_PHASE_STAGE, RCD_PHASE_WEIGH, RCD_PHASE_MERGE, RCD_PHASE_REFUSE, RCD_PHASE_DONE
} rcd_phase_t;

struct rcd_snapshot_s {
    rcd_state_t  *s;
    rcd_stage_t  *stage;
    FILE         *in;
    char         *line;               /* getline's buffer */
    size_t        line_size;
    rcd_source_t  from;
    rcd_statement_t st;
    int64_t       now;                /* when it was begun */
    int           approved;           /* by the operator */
    rcd_phase_t   phase;
    uint64_t      bytes;              /* of the file */
    uint64_t      read;               /* of these */
    uint64_t      staged;
    uint64_t      merged;             /* records of these */
    uint64_t      unread;             /* records whose number could not be read */
    uint64_t      drops;              /* orders of the list that are absent */
    int           any;                /* a digest has been weighed, or merged: */
    uint8_t       digest[JD_DIGEST_LEN];
    int64_t       refused_pos;
    rcd_snapshot_counts_t counts;
};

/* ---- rcd_snapshot_weigh.c */

/* The next digest of either side, staged or live: 1, 0 none is left, -1. */
int rcd_snapshot_next(rcd_snapshot_t *sn, uint8_t *digest);

/* A snapshot of the epoch in which an objection was marked, and of a later moment, tells whether
 * it still stands: 1 when it is over, then *r says so; 0; -1. */
int rcd_snapshot_objection_over(rcd_snapshot_t *sn, const rcd_order_t *o, rcd_relief_row_t *r);

/* Weighs until the time is over: 1 more to weigh, 0 all is weighed, -1. */
int rcd_snapshot_weigh(rcd_snapshot_t *sn, int64_t end);

/* All is weighed. When it adds too much, what it adds will wait, and is on disk before anything
 * else is done. 0 or -1. */
int rcd_snapshot_hold(rcd_snapshot_t *sn, char *err, size_t err_size);

#endif
