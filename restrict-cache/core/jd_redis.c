/*
 * jd_redis - the Redis schema 1: names, meta, and the confirm script.
 */
#include <string.h>
#include "jd_measure.h"
#include "jd_redis.h"

#define SEQ_LIMIT  ((uint64_t) 1 << 48)

int jd_list_name_ok(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') || s[i] == '_')) {
            return 0;
        }
    }
    return len > 0 && len <= JD_LIST_NAME_MAX;
}

/* ---- names -------------------------------------------------------------------------------- */

static char *append(char *p, const char *text)
{
    size_t len = strlen(text);

    memcpy(p, text, len);
    return p + len;
}

static char *append_number(char *p, uint64_t v)
{
    char digits[20];
    int n = 0;

    do {
        digits[n++] = (char) ('0' + v % 10);
        v /= 10;
    } while (v > 0);
    while (n > 0) {
        *p++ = digits[--n];
    }
    return p;
}

static size_t name(char *out, const char *list, const char *last)
{
    char *p = append(out, "jd:{");

    p = append(p, list);
    p = append(p, "}:");
    p = append(p, last);
    *p = '\0';
    return (size_t) (p - out);
}

size_t jd_redis_meta(char *out, const char *list)
{
    return name(out, list, "meta");
}

size_t jd_redis_relief(char *out, const char *list)
{
    return name(out, list, "relief");
}

size_t jd_redis_grounds(char *out, const char *list)
{
    return name(out, list, "grounds");
}

size_t jd_redis_changes(char *out, const char *list)
{
    return name(out, list, "changes");
}

size_t jd_redis_stays(char *out, const char *list)
{
    return name(out, list, "stays");
}

size_t jd_redis_lifts(char *out, const char *list)
{
    return name(out, list, "lifts");
}

size_t jd_redis_gates(char *out, const char *list)
{
    return name(out, list, "gates");
}

size_t jd_redis_ledger_set(char *out, const char *list)
{
    return name(out, list, "ledger");
}

size_t jd_redis_ledger_done(char *out, const char *list)
{
    return name(out, list, "ledger:done");
}

size_t jd_redis_prefix(char *out, const char *list)
{
    return name(out, list, "");
}

size_t jd_redis_bucket(char *out, const char *list, uint64_t era, uint32_t bucket)
{
    char *p = out + name(out, list, "");

    p = append_number(p, era);
    *p++ = ':';
    p = append_number(p, bucket);
    *p = '\0';
    return (size_t) (p - out);
}

uint32_t jd_redis_bucket_of(const uint8_t digest[JD_DIGEST_LEN], unsigned bits)
{
    uint32_t top = (uint32_t) digest[0] << 24 | (uint32_t) digest[1] << 16
                   | (uint32_t) digest[2] << 8 | digest[3];

    return bits == 0 ? 0 : top >> (32 - bits);
}

/* ---- meta --------------------------------------------------------------------------------- */

enum {
    F_SCHEMA, F_ERA, F_BITS, F_LAST_ID, F_EPOCH, F_SEQ, F_RELIEF_SEQ, F_COUNT, F_KEY, F_KEY_CHECK,
    F_NORM, F_VERIFIED_AT, F_OFFICE_AT, F_BEAT, F_MEASURES, F_BRAKES
};

const char *const jd_meta_fields[JD_META_FIELDS] = {
    "schema", "era", "bits",      "last_id", "epoch",       "seq",       "relief_seq", "count",
    "key",    "key_check", "norm", "verified_at", "office_at", "beat", "measures", "brakes",
};

/* Decimal digits without a leading zero, at most `max`. Returns 0 or -1. */
static int parse_number(const char *s, size_t len, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;

    if (len == 0 || len > 20 || (len > 1 && s[0] == '0')) {
        return -1;
    }
    for (size_t i = 0; i < len; i++) {
        uint64_t digit = (uint64_t) (s[i] - '0');

        if (s[i] < '0' || s[i] > '9' || v > (max - digit) / 10) {
            return -1;
        }
        v = v * 10 + digit;
    }
    if (v > max) {
        return -1;
    }
    *out = v;
    return 0;
}

/* Copies text of allowed characters and `min`..`max` bytes, NUL terminated. Returns 0 or -1. */
static int parse_text(const char *s, size_t len, size_t min, size_t max, const char *allowed,
                      char *out)
{
    if (len < min || len > max) {
        return -1;
    }
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '\0' || strchr(allowed, s[i]) == NULL) {
            return -1;
        }
    }
    memcpy(out, s, len);
    out[len] = '\0';
    return 0;
}

/* "name=second ..." with single spaces; a measure that we do not know is skipped. Returns 0 or -1. */
static int parse_brakes(const char *s, size_t len, int64_t brakes[JD_MEASURE_N])
{
    const char *end = s + len;

    while (s < end) {
        const char *stop = memchr(s, ' ', (size_t) (end - s));
        const char *last = stop != NULL ? stop : end;
        const char *equals = memchr(s, '=', (size_t) (last - s));
        uint64_t sec;
        int bit;

        if (equals == NULL || equals == s || last + 1 == end ||
            parse_number(equals + 1, (size_t) (last - equals - 1), INT64_MAX, &sec) != 0) {
            return -1;
        }
        bit = jd_measure_bit(s, (size_t) (equals - s));
        if (bit >= 0) {
            brakes[bit] = (int64_t) sec;
        }
        s = stop != NULL ? stop + 1 : end;
    }
    return 0;
}

static int parse_field(jd_meta_t *m, int field, const char *s, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    static const char id[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    uint64_t v = 0;
    int rc;

    switch (field) {
    case F_SCHEMA:
        rc = parse_number(s, len, UINT32_MAX, &v);
        m->schema = (uint32_t) v;
        return rc;
    case F_ERA:
        rc = parse_number(s, len, INT64_MAX, &m->era);
        return rc == 0 && m->era > 0 ? 0 : -1;
    case F_BITS:
        rc = parse_number(s, len, JD_BITS_MAX, &v);
        m->bits = (uint32_t) v;
        return rc;
    case F_LAST_ID:
        return parse_number(s, len, INT64_MAX, &m->last_id);
    case F_EPOCH:
        rc = parse_number(s, len, UINT16_MAX, &v);
        m->epoch = (uint32_t) v;
        return rc;
    case F_SEQ:
        return parse_number(s, len, SEQ_LIMIT - 1, &m->seq);
    case F_RELIEF_SEQ:
        return parse_number(s, len, SEQ_LIMIT - 1, &m->relief_seq);
    case F_COUNT:
        return parse_number(s, len, INT64_MAX, &m->count);
    case F_KEY:
        return parse_text(s, len, 1, JD_KEY_ID_MAX, id, m->key_id);
    case F_KEY_CHECK:
        return parse_text(s, len, 16, 16, hex, m->key_check);
    case F_NORM:
        return jd_normalisers_parse(&m->norm, s, len);
    case F_VERIFIED_AT:
        rc = parse_number(s, len, INT64_MAX, &v);
        m->verified_at = (int64_t) v;
        return rc;
    case F_OFFICE_AT:
        rc = parse_number(s, len, INT64_MAX, &v);
        m->office_at = (int64_t) v;
        return rc;
    case F_BEAT:
        rc = parse_number(s, len, INT64_MAX, &v);
        m->beat = (int64_t) v;
        return rc;
    case F_MEASURES:
        m->measures_agree = jd_measure_list_agrees(s, len);
        return m->measures_agree ? 0 : -1;
    default:
        return parse_brakes(s, len, m->brakes);
    }
}

jd_meta_rc_t jd_meta_parse(jd_meta_t *m, const char *const val[JD_META_FIELDS],
                           const size_t len[JD_META_FIELDS], const char **field)
{
    memset(m, 0, sizeof(*m));
    *field = jd_meta_fields[F_SCHEMA];
    if (val[F_SCHEMA] == NULL) {
        return JD_META_EMPTY;
    }
    for (int i = 0; i < JD_META_FIELDS; i++) {
        *field = jd_meta_fields[i];
        if (val[i] == NULL && i == F_BRAKES) {
            continue;
        }
        if (val[i] == NULL || parse_field(m, i, val[i], len[i]) != 0) {
            return JD_META_BAD;
        }
        if (i == F_SCHEMA && (m->schema < JD_SCHEMA_MIN || m->schema > JD_SCHEMA)) {
            return JD_META_SCHEMA;
        }
    }
    return JD_META_OK;
}

uint64_t jd_relief_mark(uint32_t epoch, uint64_t relief_seq)
{
    return (uint64_t) epoch << 48 | relief_seq;
}

/* ---- the confirm -------------------------------------------------------------------------- */

/*
 * Walks the record of jd_order.h (Lua counts from 1: the head ends at 12, the first order begins at
 * 13). It trusts no length: byte() of a place beyond the end is nil. What it cannot walk it hands
 * over as it is, for the caller's decoder to name. false stands for nil, so that no reply is cut
 * short. An order without a holder asks for the stay of the field '', which nobody has.
 */
const char jd_confirm_script[] =
    "local m=redis.call('HMGET',KEYS[1],'schema','era','bits','last_id','epoch','seq',"
    "'relief_seq','count','key','key_check','norm','verified_at','office_at','beat','measures',"
    "'brakes')\n"
    "local era,bits,d=m[2],m[3],ARGV[2]\n"
    "local a,b,c,e=d:byte(1,4)\n"
    "if not era or not bits or not bits:find('^%d%d?$') or not e then return {m} end\n"
    "bits=tonumber(bits)\n"
    "if bits>20 then return {m} end\n"
    "local bucket=math.floor((((a*256+b)*256+c)*256+e)/2^(32-bits))\n"
    "local r=redis.call('HGET',ARGV[1]..era..':'..bucket,d)\n"
    "if not r then return {m,false,{},{},{}} end\n"
    "local n,p,numbers,ids,people=r:byte(2) or 0,13,{},{},{d:sub(1,8)}\n"
    "if n<1 or n>32 then return {m,r,{},{},{}} end\n"
    "for i=1,n do\n"
    "local len=r:byte(p)\n"
    "local f=p+(len or 0)+13\n"
    "local flags=r:byte(f)\n"
    "if not flags then return {m,r,{},{},{}} end\n"
    "numbers[i]=r:sub(p+1,p+len)\n"
    "ids[i]=r:sub(f+1,f+8)\n"
    "p=f+9\n"
    "if flags%8>=4 then p=p+3 end\n"
    "people[i+1]=''\n"
    "if flags%16>=8 then\n"
    "people[i+1]=r:sub(p,p+7)\n"
    "p=p+18\n"
    "end\n"
    "end\n"
    "if p~=#r+1 then return {m,r,{},{},{}} end\n"
    "return {m,r,redis.call('HMGET',KEYS[2],unpack(numbers)),"
    "redis.call('HMGET',KEYS[3],unpack(ids)),redis.call('HMGET',KEYS[4],unpack(people))}\n";

const char jd_confirm_sha1[41] = "2f8f6350e997ed583f4f88bb15304497b96d1639";
