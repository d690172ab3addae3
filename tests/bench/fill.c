/*
 * fill.c - writes a list of so many cards to standard output as the Redis commands that make it.
 *
 *   fill COUNT KEY_FILE LIST | redis-cli --pipe
 *
 * Card i is "6" and 15 digits of i; each has one order for bus.ride, in force. One HSET a bucket.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/jd_digest.h"
#include "core/jd_measure.h"
#include "core/jd_order.h"
#include "core/jd_redis.h"

#define FIELDS_A_BUCKET  64
#define RECORD_MAX       64

typedef struct {
    uint8_t  digest[JD_DIGEST_LEN];
    uint8_t  record[RECORD_MAX];
    uint32_t len;
    uint32_t bucket;
} row_t;

static void die(const char *what)
{
    fprintf(stderr, "fill: %s\n", what);
    exit(1);
}

static void put_string(const void *s, size_t len)
{
    printf("$%zu\r\n", len);
    fwrite(s, 1, len, stdout);
    fputs("\r\n", stdout);
}

static void put_text(const char *s)
{
    put_string(s, strlen(s));
}

static void put_number(uint64_t n)
{
    char text[24];

    snprintf(text, sizeof(text), "%lu", n);
    put_text(text);
}

static jd_key_t read_key(const char *path)
{
    char        text[1024];
    size_t      len;
    const char *why;
    jd_keys_t   keys;
    FILE       *f = fopen(path, "r");

    if (f == NULL) {
        die("cannot open the key file");
    }

    len = fread(text, 1, sizeof(text), f);
    fclose(f);

    if (jd_keys_parse(&keys, text, len, &why) != 0) {
        die("cannot read the key file");
    }

    return keys.key[0];
}

/* Texts of an ordinary length, stored once. */
static void put_grounds(const jd_key_t *key, const char *list, uint8_t id[JD_GROUNDS_ID_LEN])
{
#define TEXT(s)  { s, sizeof(s) - 1 }
    static const jd_grounds_t grounds = {
        .authority = TEXT("Haicheng Transport Bureau"),
        .basis = TEXT("Haicheng Measures on Fare Evasion, article 12"),
        .relevance = TEXT("fare evasion, third finding"),
        .contest_url = TEXT("https://credit.example/contest"),
        .contest_phone = TEXT("12345"),
        .repair_url = TEXT("https://credit.example/repair"),
        .repair_phone = TEXT("12345"),
    };
    uint8_t value[JD_GROUNDS_MAX];
    char    name[JD_REDIS_NAME_MAX];
    size_t  len;

    if (jd_grounds_encode(key, &grounds, value, &len, id) != JD_RECORD_OK) {
        die("cannot encode grounds");
    }

    jd_redis_grounds(name, list);
    fputs("*4\r\n$4\r\nHSET\r\n", stdout);
    put_text(name);
    put_string(id, JD_GROUNDS_ID_LEN);
    put_string(value, len);
}

static void make_row(row_t *row, const jd_key_t *key, uint64_t i, uint64_t era, unsigned bits,
                     const uint8_t grounds[JD_GROUNDS_ID_LEN])
{
    char       card[24], number[24];
    size_t     len;
    jd_order_t order = {
        .number = number,
        .measures = (uint16_t) (1u << jd_measure_bit("bus.ride", 8)),
        .from = (int64_t) era - 86400,
        .until = (int64_t) era + 365 * 86400,
    };

    order.number_len = (uint8_t) snprintf(number, sizeof(number), "CS-2026-%07lu", i);
    memcpy(order.grounds, grounds, JD_GROUNDS_ID_LEN);

    len = (size_t) snprintf(card, sizeof(card), "6%015lu", i);
    jd_digest(key, JD_SCHEME_CARD, (const uint8_t *) card, len, row->digest);

    if (jd_record_encode(key, row->digest, era, &order, 1, 0, row->record, sizeof(row->record),
                         &len)
        != JD_RECORD_OK)
    {
        die("cannot encode a record");
    }

    row->len = (uint32_t) len;
    row->bucket = jd_redis_bucket_of(row->digest, bits);
}

static int by_bucket(const void *a, const void *b)
{
    const row_t *x = a, *y = b;

    return (x->bucket > y->bucket) - (x->bucket < y->bucket);
}

static void put_buckets(row_t *row, size_t n, const char *list, uint64_t era)
{
    char name[JD_REDIS_NAME_MAX];

    qsort(row, n, sizeof(*row), by_bucket);

    for (size_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && row[end].bucket == row[i].bucket; end++) {
            /* the rows of one bucket */
        }

        jd_redis_bucket(name, list, era, row[i].bucket);
        printf("*%zu\r\n$4\r\nHSET\r\n", 2 + 2 * (end - i));
        put_text(name);

        for (size_t j = i; j < end; j++) {
            put_string(row[j].digest, JD_DIGEST_LEN);
            put_string(row[j].record, row[j].len);
        }
    }
}

static void put_meta(const jd_key_t *key, const char *list, uint64_t n, uint64_t era, unsigned bits)
{
    char name[JD_REDIS_NAME_MAX];

    jd_redis_changes(name, list);
    fputs("*5\r\n$4\r\nXADD\r\n", stdout);
    put_text(name);
    printf("$%d\r\n%lu-0\r\n$1\r\ns\r\n$1\r\n1\r\n", snprintf(NULL, 0, "%lu-0", era), era);

    jd_redis_meta(name, list);
    printf("*%d\r\n$4\r\nHSET\r\n", 2 + 2 * JD_META_FIELDS);
    put_text(name);

    for (int i = 0; i < JD_META_FIELDS; i++) {
        const char *field = jd_meta_fields[i];

        put_text(field);

        if (strcmp(field, "schema") == 0) {
            put_number(JD_SCHEMA);
        } else if (strcmp(field, "bits") == 0) {
            put_number(bits);
        } else if (strcmp(field, "count") == 0) {
            put_number(n);
        } else if (strcmp(field, "key") == 0) {
            put_text(key->id);
        } else if (strcmp(field, "key_check") == 0) {
            put_text(key->check);
        } else if (strcmp(field, "norm") == 0 || strcmp(field, "brakes") == 0) {
            put_text("");
        } else if (strcmp(field, "measures") == 0) {
            put_text(jd_measure_list());
        } else if (strcmp(field, "last_id") == 0) {
            put_number(0);
        } else if (strcmp(field, "epoch") == 0 || strstr(field, "seq") != NULL) {
            put_number(1);
        } else {                /* era, verified_at, office_at, beat */
            put_number(era);
        }
    }
}

int main(int argc, char **argv)
{
    jd_key_t key;
    uint64_t n, era = (uint64_t) time(NULL);
    uint8_t  grounds[JD_GROUNDS_ID_LEN];
    unsigned bits = 0;
    row_t   *row;

    if (argc != 4) {
        die("usage: fill COUNT KEY_FILE LIST");
    }

    n = strtoull(argv[1], NULL, 10);
    key = read_key(argv[2]);
    row = calloc(n, sizeof(*row));

    if (row == NULL) {
        die("no memory");
    }

    while ((uint64_t) FIELDS_A_BUCKET << bits < n) {
        bits++;
    }

    put_grounds(&key, argv[3], grounds);

    for (uint64_t i = 0; i < n; i++) {
        make_row(&row[i], &key, i, era, bits, grounds);
    }

    put_buckets(row, n, argv[3], era);
    put_meta(&key, argv[3], n, era, bits);
    free(row);

    return fflush(stdout) == 0 ? 0 : 1;
}
