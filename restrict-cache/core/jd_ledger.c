/*
 * jd_ledger - the ledger in Redis, as gates write it: keys, fields, and the script that pushes totals.
 */
#include <string.h>
#include "jd_ledger.h"

static char *append(char *p, const char *text, size_t len)
{
    memcpy(p, text, len);
    return p + len;
}

static char *append_text(char *p, const char *text)
{
    return append(p, text, strlen(text));
}

size_t jd_ledger_period(char out[JD_LEDGER_PERIOD_MAX], jd_period_class_t class,
                        const uint8_t run[JD_RUN_LEN], uint32_t period)
{
    static const char hex[] = "0123456789abcdef";
    char *p = out;

    for (int i = 0; i < JD_RUN_LEN; i++) {
        *p++ = hex[run[i] >> 4];
        *p++ = hex[run[i] & 15];
    }
    *p++ = ':';
    p += jd_period_print(class, period, p);
    return (size_t) (p - out);
}

size_t jd_ledger_key(char out[JD_LEDGER_NAME_MAX], const char *list, const char *gateway,
                     jd_period_class_t class, const uint8_t run[JD_RUN_LEN], uint32_t period)
{
    char *p = out + jd_redis_prefix(out, list);

    p = append_text(p, "ledger:");
    p = append_text(p, class == JD_PERIOD_MONTH ? "-" : gateway);
    *p++ = ':';
    p += jd_ledger_period(p, class, run, period);
    return (size_t) (p - out);
}

size_t jd_ledger_field(char out[JD_LEDGER_FIELD_MAX], const jd_cell_t *cell)
{
    const char *measure = jd_measure_names[cell->measure];
    char *p = out;

    if (cell->kind == JD_CELL_ORDER) {
        p = append(p, cell->text, cell->len);
        *p++ = ' ';
        p = append_text(p, measure);
    } else {
        p = append_text(p, measure);
        p = append_text(p, cell->kind == JD_CELL_DENIED ? " d " : " y ");
        p = append(p, cell->text, cell->len);
    }
    *p = '\0';
    return (size_t) (p - out);
}

const char jd_push_script[] =
    "if redis.call('HEXISTS',ARGV[1],ARGV[2])==1 then return 1 end\n"
    "local new=redis.call('EXISTS',KEYS[1])==0 and 2 or 0\n"
    "if #ARGV<4 and ARGV[3]=='' then return new end\n"
    "for i=4,#ARGV,2 do\n"
    "local old=redis.call('HGET',KEYS[1],ARGV[i])\n"
    "if (tonumber(old or '') or 0)<tonumber(ARGV[i+1]) then "
    "redis.call('HSET',KEYS[1],ARGV[i],ARGV[i+1]) end\n"
    "end\n"
    "if ARGV[3]~='' then redis.call('HSET',KEYS[1],'.closed',ARGV[3]) end\n"
    "redis.call('SADD',KEYS[2],KEYS[1])\n"
    "return new\n";

const char jd_push_sha1[41] = "052ee65c76856ba229404aaf5551765d8c1d5329";
