/*
 * jd_cells - the ledger's counters, in memory that outlives the processes that count: a file mapped shared.
 *
 * Portable C11 atomics over caller's memory; no pointers in it, no lock. Any process counts, at any time. One at a time sweeps: closes
 * periods, reads totals, frees; two that sweep at once (old and new nginx during a reload) do no harm.
 *
 *   +---------------+------------------------------------------+
 *   | head, 4096 B  | cells of 256 B                           |
 *   +---------------+------------------------------------------+
 *
 *   cell    tag u64 | word u64 = generation:16 count:48 | period u32, kind u8, list u8, measure u8, len u8 | text[232]
 *   tag     0 = free;  2^63 set = in use, the rest a hash of period .. text;  else busy: pid of who claims or frees it
 *   path    the cell at hash mod cells and the 255 after it, round the end
 *
 *   claim   tag 0 -> pid (CAS); key; tag = hash (release)
 *   count   word w; key and tag still the same; period not closed; word w -> w + 1 (CAS)
 *   close   closed = period (seq_cst), then generation + 1 in each cell of it
 *   free    tag hash -> pid (CAS); generation + 1, count 0; tag 0
 *
 * A cell freed and claimed anew in between has another generation: the CAS of a count that was meant for the old one fails. So does that of
 * a count that read its cell before the period was closed: what is closed changes no more. A count whose period is closed goes into
 * the next one: the clock went back, or its process was stopped for a minute in the middle.
 * Killed in a claim, before its first count: the cell stays busy until somebody finds that the pid is gone. Two cells for one key
 * (two claims at once, or a hole nearer than the cell): the total of a key is the sum over its path.
 */
#ifndef JD_CELLS_H
#define JD_CELLS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "jd_measure.h"
#include "jd_redis.h"

#define JD_CELLS_MAGIC     0x4a444c4544474552ull       /* "JDLEDGER" */
#define JD_CELLS_LAYOUT    1
#define JD_CELLS_HEAD      4096
#define JD_CELLS_MIN       64                          /* a file with fewer cells is refused */
#define JD_CELLS_LISTS     16
#define JD_CELLS_PATH      256
#define JD_CELL_TEXT_MAX   232
#define JD_CELL_COUNT_MAX  (((uint64_t) 1 << 48) - 1)
#define JD_RUN_LEN         16
#define JD_GATEWAY_MAX     64                          /* A-Z a-z 0-9 . _ -, a letter or digit first */
#define JD_PERIOD_MAX      14                          /* "2026-11-25T22" */

typedef enum {
    JD_CELL_ORDER,          /* denials by order and measure; of a month at +08:00, without gateway or hour */
    JD_CELL_DENIED,         /* denials by authority and measure; of an hour, UTC */
    JD_CELL_DRY,            /* denials of a dry run, likewise */
    JD_CELL_KINDS
} jd_cell_kind_t;

typedef enum { JD_PERIOD_MONTH, JD_PERIOD_HOUR, JD_PERIOD_CLASSES } jd_period_class_t;

typedef struct {
    _Atomic uint64_t tag;
    _Atomic uint64_t word;
    uint32_t         period;        /* months since 1970-01 at +08:00, or hours since 1970 */
    uint8_t          kind;
    uint8_t          list;          /* index into the head's lists */
    uint8_t          measure;       /* bit */
    uint8_t          len;
    char             text[JD_CELL_TEXT_MAX];    /* order number or authority */
} jd_cell_t;

/* what is known of one list */
typedef struct {
    _Atomic uint64_t id;            /* of the name; 0 = free */
    char             name[40];
    _Atomic uint32_t closed[JD_PERIOD_CLASSES];  /* newest closed period; only grows */
    _Atomic int64_t  pushed_at;     /* Unix second when all counts were in Redis; 0 = never */
    _Atomic uint64_t used;          /* cells in use when last looked */
    _Atomic uint64_t unpushed;      /* cells whose count Redis did not have then */
    _Atomic int64_t  braked[8];     /* by measure: Unix second since when its brake is on; 0 = off */
    _Atomic uint64_t boot;          /* of the machine, for which office_offset holds */
    _Atomic int64_t  office_offset; /* office clock - CLOCK_BOOTTIME, seconds; 0 = not known */
} jd_cells_list_t;

typedef struct {
    _Atomic uint64_t magic;
    uint32_t         layout;
    uint32_t         cell_size;
    uint64_t         size;          /* of the file */
    uint64_t         cells;
    uint8_t          run[JD_PERIOD_CLASSES][JD_RUN_LEN];   /* random; one each, so that nothing joins orders with hours */
    char             gateway[JD_GATEWAY_MAX + 8];
    _Atomic int32_t  lock_fd;       /* number of the descriptor that holds the lock, for a binary upgrade */
    uint8_t          reserved[116];
    jd_cells_list_t  list[JD_CELLS_LISTS];
} jd_cells_head_t;

_Static_assert(sizeof(jd_cell_t) == 256, "layout 1");
_Static_assert(sizeof(jd_cells_list_t) == 160, "layout 1");
_Static_assert(offsetof(jd_cells_head_t, list) == 256 && sizeof(jd_cells_head_t) <= JD_CELLS_HEAD, "layout 1");
_Static_assert(JD_MEASURE_N <= 8, "layout 1");

typedef struct {
    jd_cells_head_t *head;
    jd_cell_t       *cell;
    uint64_t         cells;
} jd_cells_t;

typedef enum {
    JD_CELLS_OK,
    JD_CELLS_EMPTY,         /* no file of ours yet, or one whose making was cut short: format it */
    JD_CELLS_FOREIGN,       /* something else */
    JD_CELLS_VERSION,       /* of another layout */
    JD_CELLS_SIZE,          /* made with another size, which head->size tells */
    JD_CELLS_GATEWAY        /* of another gateway, which head->gateway tells */
} jd_cells_rc_t;

/* Cells that fit into a file of this size; 0 = fewer than JD_CELLS_MIN. */
uint64_t jd_cells_for(uint64_t size);

int jd_gateway_ok(const char *s, size_t len);

/* Makes an empty ledger of zeroed memory; nobody else may use it yet. The magic is written last. */
void jd_cells_format(void *mem, uint64_t size, uint8_t run[JD_PERIOD_CLASSES][JD_RUN_LEN], const char *gateway);

/* Checks the head and sets `c`. On SIZE and GATEWAY c->head may be read. */
jd_cells_rc_t jd_cells_open(jd_cells_t *c, void *mem, uint64_t size, const char *gateway);

/* Index of a list, entered if it is new; -1: no place for another. */
int jd_cells_list(jd_cells_t *c, const char *name);

/* ---- periods ------------------------------------------------------------------------------ */

jd_period_class_t jd_cell_class(jd_cell_kind_t kind);
uint32_t jd_period_of(jd_period_class_t class, int64_t unix_sec);
int64_t jd_period_end(jd_period_class_t class, uint32_t period);       /* first second after it */
size_t jd_period_print(jd_period_class_t class, uint32_t period, char out[JD_PERIOD_MAX]);

/* ---- counting ----------------------------------------------------------------------------- */

typedef struct {
    jd_cell_kind_t kind;
    unsigned       list, measure;
    const char    *text;            /* longer than JD_CELL_TEXT_MAX: cut, and marked by a hash of the whole */
    size_t         len;
} jd_cell_key_t;

/* One more at this second, by process `pid`. 0; -1: no cell is free, nothing was counted. */
int jd_cells_count(jd_cells_t *c, const jd_cell_key_t *key, int64_t now, uint32_t pid);

/* One more of both, or, with no cell free for either, of none. */
int jd_cells_count_both(jd_cells_t *c, const jd_cell_key_t *a, const jd_cell_key_t *b, int64_t now, uint32_t pid);

/* ---- sweeping ----------------------------------------------------------------------------- */

typedef enum { JD_CELL_FREE, JD_CELL_BUSY, JD_CELL_USED } jd_cell_state_t;

/* Cell i as it stands: of one in use a whole copy; of a busy one only the tag, the pid of who is at it. */
jd_cell_state_t jd_cells_look(const jd_cells_t *c, uint64_t i, jd_cell_t *copy);

#define jd_cell_count(cell)  ((cell)->word & JD_CELL_COUNT_MAX)

/* Total of the key of a cell as jd_cells_look gave it; *first = the first cell in use for it, so that a walk over all cells meets each
 * key once. */
uint64_t jd_cells_total(const jd_cells_t *c, const jd_cell_t *copy, uint64_t *first);

/* No count goes into this period and those before it, once jd_cells_freeze() has been called for each cell of them that a walk begun
 * after this call meets. */
void jd_cells_close(jd_cells_t *c, unsigned list, jd_period_class_t class, uint32_t period);
int jd_cells_closed(const jd_cells_t *c, unsigned list, jd_period_class_t class, uint32_t period);
void jd_cells_freeze(jd_cells_t *c, uint64_t i);

/* Frees a cell of a period that is closed and frozen, if it still is what `copy` says. */
void jd_cells_free(jd_cells_t *c, uint64_t i, const jd_cell_t *copy, uint32_t pid);

/* Frees a busy cell, `copy` as looked at, whose pid is no more. */
void jd_cells_recover(jd_cells_t *c, uint64_t i, const jd_cell_t *copy, uint32_t pid);

#endif
