/*
 * rcd_links - file `links` of the state directory: which card is whose, as digests of both.
 *
 *   off         size
 *   0           8     "jdlinks1"
 *   8           u32   layout, 1
 *   12          u32   bytes of an entry, 48
 *   16          u64   n, entries
 *   24          u64   serial: every file that came into force has the next one
 *   32          u64   base: serial of the file it was made upon
 *   40          u64   at: Unix second of the import
 *   48          3 u64 mtime in ns, size and inode of a configured file, else 0
 *   72          10 u64 counts (rcd_links_counts_t)
 *   152         32    SHA-256 of the imported file
 *   184         u8    how (rcd_links_how_t), 7 bytes 0
 *   192         32    OS user, NUL-padded
 *   224         384   key and normalisers of the digests, "<key id> <check> <normalisers>", NUL-padded
 *   608         32    SHA-256 of everything behind the header
 *   640         352   0
 *   992         32    SHA-256 of bytes 0..991
 *   1024        48 n  entries, ascending bytewise, no two the same:
 *                     card[16] holder[16] from u40 until u40 flags u8, 5 bytes 0
 *   1024 + 48 n  4 n  index: entry numbers u32, ascending by holder, then by number
 *
 * from and until are big-endian, so that entries of one card and holder are ordered by time; everything
 * else is little-endian. [from, until) are Unix seconds, RCD_LINK_OPEN = no end. A file is written
 * under another name, flushed, and renamed; it never changes after.
 */
#ifndef RCD_LINKS_H
#define RCD_LINKS_H

#include <stddef.h>
#include <stdint.h>
#include "core/jd_digest.h"

#define RCD_LINKS_ENTRY      48
#define RCD_LINKS_HEADER     1024
#define RCD_LINKS_MAX        400000000u          /* entries: the index counts in 32 bits */
#define RCD_LINKS_UNDER_MAX  384
#define RCD_LINKS_USER_MAX   32
#define RCD_LINK_OPEN        ((INT64_C(1) << 40) - 1)

#define RCD_LINK_OWN         0x01                /* use: the holder's own; else of other use */
/* a line about this card could not be read: it may be somebody else's by now, so it counts for nobody */
#define RCD_LINK_DOUBT       0x02
#define RCD_LINK_BODY        0x04                /* the holder is a body (uscc), else a person (cnid) */
#define RCD_LINK_SCHEME(s)   ((unsigned) (s) << 4)             /* scheme of the card */
#define RCD_LINK_SCHEME_OF(flags)  ((jd_scheme_t) ((flags) >> 4 & 7))

typedef struct {
    uint8_t  card[JD_DIGEST_LEN];
    uint8_t  holder[JD_DIGEST_LEN];
    int64_t  from, until;
    unsigned flags;
} rcd_holding_t;

typedef enum {
    RCD_LINKS_FULL, RCD_LINKS_DELTA, RCD_LINKS_ADD, RCD_LINKS_REMOVE,
    RCD_LINKS_NARROWED,                          /* what is left while a full import waits */
    RCD_LINKS_HOW_N
} rcd_links_how_t;

extern const char *const rcd_links_how_names[RCD_LINKS_HOW_N];

typedef struct {
    uint64_t cards;                              /* in the file */
    uint64_t added, changed, returned;           /* cards against the base */
    uint64_t refused;                            /* lines */
    uint64_t doubt;                              /* cards in doubt */
    uint64_t two;                                /* cards with two holders at once, from `at` on */
    uint64_t listed;                             /* cards of the base that reach somebody under an order */
    uint64_t listed_shrunk;                      /* cards that stop reaching somebody so, if only for a while */
    uint64_t listed_grown;                       /* cards that begin to */
} rcd_links_counts_t;

typedef struct {
    uint64_t           n, serial, base;
    int64_t            at;
    int64_t            source_mtime;
    uint64_t           source_size, source_inode;
    rcd_links_counts_t counts;
    uint8_t            hash[32];
    rcd_links_how_t    how;
    char               user[RCD_LINKS_USER_MAX + 1];
    char               under[RCD_LINKS_UNDER_MAX];
} rcd_links_head_t;

typedef struct {
    rcd_links_head_t head;
    const uint8_t   *map;
    size_t           size;
} rcd_links_t;

/*
 * Opens and maps a file. `whole`: its content is checked too (hash, order, index), else the header
 * and the size; lookups stay within the file in either case. NULL with a reason, or with "" when there
 * is no such file. Blocks on reading it.
 */
rcd_links_t *rcd_links_open(const char *path, int whole, char *err, size_t err_size);
void rcd_links_close(rcd_links_t *l);            /* NULL is allowed */

/* Entry `i` below head.n. */
void rcd_links_get(const rcd_links_t *l, uint64_t i, rcd_holding_t *out);
/* The first entry whose card is not below `card`; head.n = none. */
uint64_t rcd_links_card(const rcd_links_t *l, const uint8_t card[JD_DIGEST_LEN]);
/* Place in the index of the first entry whose holder is not below `holder`. */
uint64_t rcd_links_holder(const rcd_links_t *l, const uint8_t holder[JD_DIGEST_LEN]);
/* Place in the index of the first entry behind those of this holder and card. */
uint64_t rcd_links_holder_after(const rcd_links_t *l, const uint8_t holder[JD_DIGEST_LEN],
                                const uint8_t card[JD_DIGEST_LEN]);
/* The entry at a place of the index: 1, or 0 past its end or in a damaged file. */
int rcd_links_indexed(const rcd_links_t *l, uint64_t place, rcd_holding_t *out);

/* An entry as it lies in the file, and back. */
void rcd_links_encode(const rcd_holding_t *h, uint8_t out[RCD_LINKS_ENTRY]);
void rcd_links_decode(const uint8_t in[RCD_LINKS_ENTRY], rcd_holding_t *out);

/* ---- rcd_links_write.c ------------------------------------------------------------------------ */

typedef struct rcd_links_writer_s rcd_links_writer_t;

/* Begins file `dir`/`name`, replacing what is there. NULL with errno. */
rcd_links_writer_t *rcd_links_writer_create(const char *dir, const char *name);
/* The next entry, not below the one before; the same again is left out. 0, or -1 with errno. */
int rcd_links_writer_put(rcd_links_writer_t *w, const rcd_holding_t *h);
/* Writes the index until CLOCK_MONOTONIC is at `end_ns`: 1 more to do, 0 done, -1 with errno. */
int rcd_links_writer_index(rcd_links_writer_t *w, int64_t end_ns);
/* The header, and everything to the disk: head->n is set. Again: another header. 0, or -1 with errno. */
int rcd_links_writer_seal(rcd_links_writer_t *w, rcd_links_head_t *head);
/* Entries put so far. */
uint64_t rcd_links_writer_count(const rcd_links_writer_t *w);
/* Ends it; a file that was not sealed is removed. NULL is allowed. */
void rcd_links_writer_destroy(rcd_links_writer_t *w);

/* Header as bytes, with its hash; `body` = SHA-256 of what follows. */
void rcd_links_head_encode(const rcd_links_head_t *head, const uint8_t body[32],
                           uint8_t out[RCD_LINKS_HEADER]);

#endif
