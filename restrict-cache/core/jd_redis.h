/*
 * jd_redis - the Redis schema 1: key names, meta, and the server-side scripts. The only place that knows them.
 *
 *   jd:{L}:meta             hash    see jd_meta_t
 *   jd:{L}:<era>:<bucket>   hash    digest -> record (jd_order.h); bucket = top `bits` bits of the digest's first four bytes, big-endian
 *   jd:{L}:relief           hash    order number -> relief (jd_order.h)
 *   jd:{L}:stays            hash    first 8 bytes of a subject's digest -> stay of that person (jd_order.h)
 *   jd:{L}:grounds          hash    8-byte id -> grounds (jd_order.h)
 *   jd:{L}:changes          stream  id <era>-<n>, n contiguous, fields d = digest, r = record ("" = none left); <era>-0 is the switch, fields: s = 1
 *   jd:{L}:lifts            stream  one entry per order number whose relief is written for the first time, fields t i a
 *   jd:{L}:gates            hash    gateway -> newest entry of lifts that has taken effect there, and when
 *   jd:{L}:ledger           set     names of the ledger's keys; jd:{L}:ledger:done, a hash: what the office has receipted
 */
#ifndef JD_REDIS_H
#define JD_REDIS_H

#include <stddef.h>
#include <stdint.h>
#include "jd_digest.h"
#include "jd_measure.h"
#include "jd_subject.h"

#define JD_SCHEMA            1
#define JD_SCHEMA_MIN        1
#define JD_LIST_NAME_MAX     32            /* [a-z0-9_]+ */
#define JD_REDIS_NAME_MAX    96
#define JD_BITS_MAX          20
#define JD_CHANGES_CAP       100000        /* XADD MAXLEN ~ */

int jd_list_name_ok(const char *s, size_t len);

/* Each writes a NUL-terminated name to `out` (JD_REDIS_NAME_MAX) and returns its length. */
size_t jd_redis_meta(char *out, const char *list);
size_t jd_redis_relief(char *out, const char *list);
size_t jd_redis_grounds(char *out, const char *list);
size_t jd_redis_changes(char *out, const char *list);
size_t jd_redis_stays(char *out, const char *list);
size_t jd_redis_lifts(char *out, const char *list);
size_t jd_redis_gates(char *out, const char *list);
size_t jd_redis_ledger_set(char *out, const char *list);
size_t jd_redis_ledger_done(char *out, const char *list);
size_t jd_redis_prefix(char *out, const char *list);                   /* "jd:{L}:" */
size_t jd_redis_bucket(char *out, const char *list, uint64_t era, uint32_t bucket);
uint32_t jd_redis_bucket_of(const uint8_t digest[JD_DIGEST_LEN], unsigned bits);

/* meta, parsed. All values are decimal text in Redis but where noted. */
typedef struct {
    uint32_t schema;
    uint64_t era;             /* one filling under one digest key; only grows */
    uint32_t bits;            /* buckets of this era = 1 << bits */
    uint64_t last_id;         /* n of the newest change */
    uint32_t epoch;           /* the office's, 0..65535 */
    uint64_t seq;
    uint64_t relief_seq;      /* below 2^48 */
    uint64_t count;           /* digests (fields over all buckets) */
    char     key_id[JD_KEY_ID_MAX + 1];
    char     key_check[17];
    jd_normalisers_t norm;
    int64_t  verified_at;     /* time of the last contact: its head's iat */
    int64_t  office_at;       /* office clock when `beat` was written */
    int64_t  beat;            /* the daemon's wall clock, each second */
    int      measures_agree;  /* field measures agrees with ours */
    int64_t  brakes[JD_MEASURE_N];   /* newest release of the brake by measure bit, Unix second; 0 = none */
} jd_meta_t;

/* Field names in the order in which jd_meta_parse reads values: schema era bits last_id epoch seq relief_seq count key key_check norm
 * verified_at office_at beat measures brakes. The last may be missing: "bus.ride=1795475986 metro.ride=...", names of later measures are
 * skipped. Field "writer" (the daemon instance that may write) is the daemon's own. */
#define JD_META_FIELDS  16
extern const char *const jd_meta_fields[JD_META_FIELDS];

typedef enum {
    JD_META_OK,
    JD_META_EMPTY,           /* no schema field: nothing here, or flushed */
    JD_META_SCHEMA,          /* a schema we do not read (from the future, or below JD_SCHEMA_MIN) */
    JD_META_BAD              /* a field is missing or not of its form */
} jd_meta_rc_t;

/* val[i] NULL = missing. Every value is checked; on JD_META_BAD `*field` names the one at fault. measures that disagree are JD_META_BAD too. */
jd_meta_rc_t jd_meta_parse(jd_meta_t *m, const char *const val[JD_META_FIELDS], const size_t len[JD_META_FIELDS], const char **field);

/* One word that orders (epoch, relief_seq): epoch << 48 | relief_seq. */
uint64_t jd_relief_mark(uint32_t epoch, uint64_t relief_seq);

/*
 * The confirm, read-only: KEYS meta relief grounds stays; ARGV prefix digest.
 * Reply: [ [meta values in jd_meta_fields order, nil = missing], record or nil, [relief or nil, one per order of the record],
 *          [grounds or nil, one per order], [stay of the digest or nil, then per order the stay of its holder or nil] ]. With no order to
 *          enforce, or a record that cannot be walked, the last three are empty; without a usable era and bits the reply is
 *          [ [meta values] ] alone.
 * Run by EVALSHA_RO with a fall-back to EVAL_RO on NOSCRIPT, so that it works on replicas and under a read-only ACL.
 */
extern const char  jd_confirm_script[];
extern const char  jd_confirm_sha1[41];        /* lower-case hex, of exactly the bytes of jd_confirm_script; a unit test recomputes it */

#endif
