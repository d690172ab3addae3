/*
 * rcd_hold - what the rule of mass change (rcd_growth) holds back, in the journal: the snapshot that
 * waits for the operator, and changes applied before their turn.
 *
 *   held      the snapshot that waits, or that is approved and not yet applied whole; its orders lie in
 *             {state dir}/held-<16 digits of its hash>.db (a stage, rcd_stage: digests, no identifier)
 *   early     numbers of which a change beyond the held snapshot is applied: what is older does not undo it
 *
 * Functions return 0 (or what they say) and -1 when the journal failed. "In a transaction": the caller's.
 */
#ifndef RCD_HOLD_H
#define RCD_HOLD_H

#include "rcd_order.h"
#include "rcd_state.h"

#define RCD_HELD_USER_MAX  64
#define RCD_HELD_PATH_MAX  4064
#define RCD_HELD_PREFIX    8               /* digits of a hash that are enough to name it */

typedef struct {
    uint8_t  sha256[32];                   /* of its records, as the office signed it */
    char     hash[65];                     /* the same in hex */
    uint32_t epoch;
    uint64_t seq;
    uint64_t relief_seq;
    int64_t  iat;
    int64_t  since;                        /* when it was held */
    int      first;                        /* the first list of all */
    int      approved;                     /* 1: is being applied, or will be at the next start */
    char     user[RCD_HELD_USER_MAX + 1];  /* who approved it */
    uint64_t records;                      /* good ones */
    uint64_t refused;
    uint64_t adds_orders;
    uint64_t adds_terms;
    uint64_t drops;                        /* applied already */
} rcd_held_t;

extern const char rcd_hold_schema[];

int  rcd_hold_open(rcd_state_t *s);        /* statements of the journal just opened */
void rcd_hold_close(rcd_state_t *s);
int  rcd_hold_load(rcd_state_t *s);        /* all that is kept in memory, also after a rollback */

/* Files of snapshots that no longer wait are removed; one that waits and has lost its file no longer
 * waits, and a fresh snapshot is wanted. Once the state directory is known. */
int  rcd_hold_files(rcd_state_t *s);

/* A snapshot that was staged under other rules no longer waits, and a fresh one is wanted. In a
 * transaction. */
int  rcd_hold_rules(rcd_state_t *s, const rcd_rules_t *rules);

/* ---- the snapshot that waits ----------------------------------------------------------------- */

/* NULL: nothing waits. */
const rcd_held_t *rcd_hold_waits(const rcd_state_t *s);
/* Where the orders of a held snapshot lie; "" with a journal in memory. */
void rcd_hold_path(const rcd_state_t *s, const uint8_t sha256[32], char path[RCD_HELD_PATH_MAX]);
/* It waits from now on, in place of the one that did. In a transaction, after its file is on disk. */
int  rcd_hold_put(rcd_state_t *s, const rcd_rules_t *rules, const rcd_held_t *h);
/* It no longer waits: another one was applied, or it was. In a transaction. */
int  rcd_hold_drop(rcd_state_t *s);
/* With a journal in memory the stage itself is kept: give takes it over, take hands it out. */
struct rcd_stage_s;
void rcd_hold_stage_give(rcd_state_t *s, struct rcd_stage_s *stage);
struct rcd_stage_s *rcd_hold_stage_take(rcd_state_t *s);

/*
 * The operator approves what waits; it is named by the first digits of its hash. Audited. 0, or -1 with
 * why not in `err`, which names what waits. The caller sees to it that it is applied.
 */
int  rcd_hold_approve(rcd_state_t *s, const char *hash, int first, const char *user, char *err,
                      size_t err_size);
/* The operator gives up what waits: a fresh snapshot is wanted. 0 or -1 as above. */
int  rcd_hold_reject(rcd_state_t *s, const char *hash, const char *user, char *err,
                     size_t err_size);

/* ---- changes applied before their turn ------------------------------------------------------- */

/* The change that the stored version of a number already shows: 1 and its seq, 0 none. */
int  rcd_hold_early(rcd_state_t *s, const char *number, uint64_t *seq);
int  rcd_hold_early_put(rcd_state_t *s, const char *number, uint64_t seq);
/* The lane has come to `seq`; a new epoch begins with UINT64_MAX. */
int  rcd_hold_early_trim(rcd_state_t *s, uint64_t seq);

#endif
