/*
 * rcd_ledger_batch - batches to the office: what goes into one, its bytes, its hash, its receipt.
 *
 * A batch is an object on one line,
 *   {"aud","list","gateway","run","batch","prev","checkpoint"?,"counts":[],"hours":[],"lifted":[],
 *    "stays":[],"hash"}
 * whose last member is the SHA-256, in hex, of the text without that member. batch = "<chain>-<n>",
 * n from 1; prev = hash of the batch before, 64 zeros for the first of a chain.
 *
 * Order counts (gateway and run "") and hours (one gateway's) never share a batch.
 */
#ifndef RCD_LEDGER_BATCH_H
#define RCD_LEDGER_BATCH_H

#include "rcd_config.h"
#include "rcd_ledger_rows.h"

#define RCD_LEDGER_ENTRIES_MAX  2000     /* of one batch: relief waits while one is settled */
#define RCD_LEDGER_TAIL_LEN     (9 + RCD_HASH_HEX + 2)    /* ,"hash":"..."} */

typedef struct {
    const rcd_config_t *config;
    rcd_state_t        *s;
    int64_t             relief_due;                  /* when lifts and stays may go out */
    int64_t             hours_due;                   /* when hours of open periods may go out */
    char                hours_cursor[RCD_RUN_LEN + 1];  /* runs up to here went out this time */
    int                 hours_draining;
} rcd_ledger_freezer_t;

/*
 * Freezes the next batch that is due, if any: journaled and fsynced when this returns. 1 there is
 * one, 0 nothing is due, -1 the journal failed. To be called when no batch waits.
 */
int rcd_ledger_freeze(rcd_ledger_freezer_t *f, int64_t now);

/* Hash of a batch's text: 0 and the hash that the text claims and has, or -1. */
int rcd_ledger_hash_check(const char *body, size_t len, char hash[RCD_HASH_HEX + 1]);

/*
 * Takes a receipt, verified by the caller, for batch n of the chain: journals it and marks what the
 * batch holds as sent, in one fsynced transaction. 0 or -1.
 */
int rcd_ledger_receipt_take(rcd_state_t *s, const char *chain, const rcd_ledger_batch_t *b,
                            const char *receipt);

#endif
