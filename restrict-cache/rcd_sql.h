/*
 * rcd_sql - the statements of the journal, and one call for each thing done to one: shared by
 * the files that keep tables in it.
 */
#ifndef RCD_SQL_H
#define RCD_SQL_H

#include "rcd_store.h"

enum {
    RCD_ST_BEGIN, RCD_ST_COMMIT, RCD_ST_ROLLBACK, RCD_ST_FULL, RCD_ST_NORMAL, RCD_ST_STATE,
    RCD_ST_STATE_SAVE, RCD_ST_WRITTEN, RCD_ST_WRITTEN_SAVE, RCD_ST_ORDER, RCD_ST_ORDER_PUT,
    RCD_ST_ORDER_END, RCD_ST_LIVE, RCD_ST_NEXT_LIVE, RCD_ST_PAST, RCD_ST_ALL, RCD_ST_OF_DIGEST,
    RCD_ST_RELIEF, RCD_ST_RELIEF_PUT, RCD_ST_RELIEF_NEXT, RCD_ST_RELIEF_PENDING, RCD_ST_RELIEF_SENT,
    RCD_ST_RELIEF_STAY, RCD_ST_RELIEF_HOLD,
    RCD_ST_DIRTY, RCD_ST_DIRTY_NEXT, RCD_ST_DIRTY_CLEAN, RCD_ST_DIRTY_CLEAR, RCD_ST_PENDING,
    RCD_ST_GROUNDS, RCD_ST_GROUNDS_PUT, RCD_ST_GROUNDS_UNSENT, RCD_ST_GROUNDS_SENT, RCD_ST_TOKEN,
    RCD_ST_TOKEN_PUT, RCD_ST_TOKENS_TRIM, RCD_ST_TOKEN_TOP, RCD_ST_QUARANTINE,
    RCD_ST_QUARANTINE_CLEAR, RCD_ST_QUARANTINE_NEXT, RCD_ST_QUARANTINE_REPORTED,
    RCD_ST_QUARANTINE_ALL, RCD_ST_COUNTS, RCD_ST_N
};

_Static_assert((int) RCD_ST_N <= RCD_STMT_MAX, "statements fit the handle");

/* Prepares `n` statements, kept for the life of the handle: 0, or -1 with s->fault. finalize takes
 * those that were never prepared (NULL), too; every part does it before the journal is closed. */
int  rcd_sql_prepare(rcd_state_t *s, sqlite3_stmt **stmt, const char *const *text, int n);
void rcd_sql_finalize(sqlite3_stmt **stmt, int n);

/* Takes SQLite's reason into s->fault; returns -1. */
int rcd_sql_failed(rcd_state_t *s);

/* Steps once: 1 row (the caller reads columns, then calls rcd_sql_done), 0 done, -1 failed. */
int rcd_sql_step(rcd_state_t *s, sqlite3_stmt *q);
void rcd_sql_done(sqlite3_stmt *q);

/* Binding by position from 1. Texts and bytes are borrowed until the statement is done. */
void rcd_sql_int(sqlite3_stmt *q, int i, int64_t v);
void rcd_sql_text(sqlite3_stmt *q, int i, const char *text);
void rcd_sql_blob(sqlite3_stmt *q, int i, const void *bytes, size_t len);

/* Columns from 0. A text is cut to `size`; a blob of another length than `len` gives zeros. */
int64_t rcd_sql_col(sqlite3_stmt *q, int i);
void rcd_sql_col_text(sqlite3_stmt *q, int i, char *out, size_t size);
void rcd_sql_col_blob(sqlite3_stmt *q, int i, uint8_t *out, size_t len);

/* The one number of a bound query that has one row: 0, or -1. */
int  rcd_sql_number(rcd_state_t *s, sqlite3_stmt *q, uint64_t *out);
/* 1 when a query of one text has a row, 0, or -1. */
int  rcd_sql_any(rcd_state_t *s, sqlite3_stmt *q, const char *text);

#endif
