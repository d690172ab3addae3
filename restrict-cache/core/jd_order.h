/*
 * jd_order - a subject's set of orders as one Redis value, and the grounds that orders refer to. Schema 1.
 *
 * Record (value of one field of a bucket; the field is the 16-byte digest). Integers little-endian:
 *
 *   off size
 *   0   1   kind: 1 = n >= 1; 2 = n = 0 and observed != 0
 *   1   1   n, number of orders that may be enforced, 0..JD_ORDERS_MAX
 *   2   8   MAC: first 8 bytes of siphash128(record_key, digest[16] | era u64 | byte 0 | byte 1 | bytes 10..end)
 *   10  2   observed, mask: measures of orders that are observe-only or under objection. They have no number, term or grounds
 *           here, so whatever reads the record cannot enforce them
 *   12  -   n orders, ascending by number (bytewise), no number twice:
 *           u8 number_len, number, u16 measures, u40 from, u40 until, u8 flags, u8 grounds[8], (u24 deadline if JD_ORDER_DEADLINE),
 *           (u8 holder[8], u40 link_from, u40 link_until if JD_ORDER_LINKED)
 *
 * from, until: Unix seconds, [from, until). `from` is the effective start: never before the day the order was served.
 * deadline: last day to contest, days since 1970-01-01 at +08:00.
 * holder: the order names this holder (first 8 bytes of the digest), and this subject is a card linked to the holder in
 * [link_from, link_until), JD_LINK_OPEN = no end: the order reaches the card only in that term.
 *
 * Grounds (value of one field of hash grounds; the field is its 8-byte id): seven strings, each u16 length and
 * bytes, in the order of jd_grounds_t. id = first 8 bytes of siphash128(record_key, value): named by content, so
 * immutable, never reused, and a forged text does not verify.
 */
#ifndef JD_ORDER_H
#define JD_ORDER_H

#include <stddef.h>
#include <stdint.h>
#include "jd_digest.h"

#define JD_ORDERS_MAX         32
#define JD_ORDER_NUMBER_MAX   64       /* UTF-8, no control characters, no space, no double quote or backslash */
#define JD_HOLDER_LEN         8        /* bytes of the holder's digest */
#define JD_ORDER_SIZE_MAX     (1 + JD_ORDER_NUMBER_MAX + 2 + 5 + 5 + 1 + 8 + 3 + JD_HOLDER_LEN + 5 + 5)
#define JD_RECORD_HEAD        12
#define JD_RECORD_MAX         (JD_RECORD_HEAD + JD_ORDERS_MAX * JD_ORDER_SIZE_MAX)
#define JD_GROUNDS_ID_LEN     8
#define JD_GROUNDS_TEXT_MAX   1024     /* bytes of each of the seven strings */
#define JD_GROUNDS_MAX        (7 * (2 + JD_GROUNDS_TEXT_MAX))

#define JD_RECORD_ENFORCE     1
#define JD_RECORD_OBSERVE     2

#define JD_ORDER_OBSERVE      0x01     /* effect: observe. The journal's; never in a record */
#define JD_ORDER_OBJECTION    0x02     /* under objection, by the office's record. The journal's; never in a record */
#define JD_ORDER_DEADLINE     0x04     /* a contest deadline follows */
#define JD_ORDER_LINKED       0x08     /* reaches this subject by a link: holder and the link's term follow */

#define JD_TIME_MAX           (((int64_t) 1 << 40) - 1)
#define JD_LINK_OPEN          JD_TIME_MAX   /* link_until: no end */
#define JD_STAY_FOREVER       JD_TIME_MAX   /* stay: no end */

typedef struct {
    const char *number;                /* not NUL terminated; points into the record when decoded */
    uint8_t     number_len;
    uint8_t     flags;
    uint16_t    measures;
    int64_t     from;
    int64_t     until;
    uint32_t    deadline_day;          /* 0 when absent */
    uint8_t     grounds[JD_GROUNDS_ID_LEN];
    uint8_t     holder[JD_HOLDER_LEN]; /* this and the link's term: all zero unless LINKED */
    int64_t     link_from;
    int64_t     link_until;
} jd_order_t;

typedef struct {
    struct { const char *text; uint16_t len; } authority, basis, relevance, contest_url, contest_phone,
                                               repair_url, repair_phone;
} jd_grounds_t;

typedef enum {
    JD_RECORD_OK,
    JD_RECORD_BAD,           /* not a record of this layout */
    JD_RECORD_FORGED,        /* layout right, MAC wrong: another digest, era or key, or changed bytes */
    JD_RECORD_TOO_LONG
} jd_record_rc_t;

/* 1 when the bytes may be an order number. */
int jd_order_number_ok(const char *s, size_t len);

/* Sorts `orders` by number in place, writes record and MAC. JD_RECORD_TOO_LONG: n is over JD_ORDERS_MAX or `out_size` is too small.
 * JD_RECORD_BAD: no order and nothing observed, an order breaks a bound, is OBSERVE or under OBJECTION, or a number comes twice. */
jd_record_rc_t jd_record_encode(const jd_key_t *k, const uint8_t digest[JD_DIGEST_LEN], uint64_t era,
                                jd_order_t *orders, unsigned n, uint16_t observed, uint8_t *out, size_t out_size, size_t *out_len);

/* Validates whole, MAC in constant time, then fills at most JD_ORDERS_MAX orders that point into `in`. */
jd_record_rc_t jd_record_decode(const jd_key_t *k, const uint8_t digest[JD_DIGEST_LEN], uint64_t era,
                                const uint8_t *in, size_t len, uint16_t *observed, jd_order_t orders[JD_ORDERS_MAX], unsigned *n);

/* OR of the measures of the orders and of what is observed, for the zone: JD_RECORD_OK and the mask, or JD_RECORD_BAD / JD_RECORD_FORGED. */
jd_record_rc_t jd_record_measures(const jd_key_t *k, const uint8_t digest[JD_DIGEST_LEN], uint64_t era,
                                  const uint8_t *in, size_t len, uint16_t *measures);

/* Encodes grounds and their id. `out` takes JD_GROUNDS_MAX. Empty authority, basis or contest (both url and phone): JD_RECORD_BAD. */
jd_record_rc_t jd_grounds_encode(const jd_key_t *k, const jd_grounds_t *g, uint8_t *out, size_t *out_len, uint8_t id[JD_GROUNDS_ID_LEN]);
/* Checks `in` against `id`; strings point into `in`. Refuses control characters and bad UTF-8. */
jd_record_rc_t jd_grounds_decode(const jd_key_t *k, const uint8_t id[JD_GROUNDS_ID_LEN], const uint8_t *in, size_t len, jd_grounds_t *g);

/*
 * Relief of one order number (value in hash relief): ASCII "l<4 hex> o<0|1>": lifted measures as a mask (ffff = the whole
 * order, measures of later commits included), under objection; if the order is stayed, " s<decimal>"; if the objection is the operator's (too), " h", which readers need not know. Further words after a space belong to a
 * later schema: readers skip them, writers keep them. Lifted only grows; the office may end an objection, the operator a stay.
 * A stay of a person (value in hash stays; the field is the first JD_HOLDER_LEN bytes of the digest) is the word "s<decimal>" alone.
 * stay: Unix second until which nothing is enforced, 0 = no stay, JD_STAY_FOREVER = until it is taken back.
 */
typedef struct {
    uint16_t lifted;
    uint8_t  objection;
    int64_t  stay;
} jd_relief_t;

#define JD_RELIEF_LEN       8          /* of the part that is always there */
#define JD_STAY_TEXT_MAX    14         /* "s1099511627775" */
#define JD_RELIEF_TEXT_MAX  (JD_RELIEF_LEN + 1 + JD_STAY_TEXT_MAX)

/* Prints without a NUL; returns the length. A stay of 0 or less is not printed. */
size_t jd_relief_print(const jd_relief_t *r, char out[JD_RELIEF_TEXT_MAX]);
/* 0, or -1 when the text is not of this form (two stays included); *r is then undefined. */
int jd_relief_parse(jd_relief_t *r, const char *text, size_t len);

/* The same of a stay alone: 1..JD_STAY_FOREVER, no leading zero. */
size_t jd_stay_print(int64_t stay, char out[JD_STAY_TEXT_MAX]);
int jd_stay_parse(int64_t *stay, const char *text, size_t len);

#endif
