/*
 * core_driver - lets a test call the core by the thousand: one request a line on stdin, one answer
 * a line on stdout.
 *
 * A request is a word and arguments separated by one space. Bytes are hexadecimal, "-" when there
 * are none; numbers decimal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <inttypes.h>
#include "core/jd_digest.h"
#include "core/jd_form.h"
#include "core/jd_json.h"
#include "core/jd_order.h"
#include "core/jd_policy.h"
#include "core/jd_redis.h"
#include "core/jd_subject.h"
#include "core/jd_time.h"

#define ARGS_MAX  512

typedef struct {
    uint8_t *p;
    size_t   len;
} bytes_t;

static char *args[ARGS_MAX];
static int   args_n;

static void fail(const char *what)
{
    fprintf(stderr, "core_driver: %s\n", what);
    exit(2);
}

static char *arg(int i)
{
    if (i >= args_n) {
        fail("too few arguments");
    }
    return args[i];
}

static int64_t number(int i)
{
    return strtoll(arg(i), NULL, 10);
}

/*
 * Decodes in place into memory of exactly the right size, so that a sanitizer sees every byte read
 * too many.
 */
static bytes_t bytes(int i)
{
    const char *hex = arg(i);
    bytes_t b = {NULL, 0};

    if (strcmp(hex, "-") != 0) {
        b.len = strlen(hex) / 2;
    }
    b.p = malloc(b.len ? b.len : 1);
    for (size_t k = 0; k < b.len; k++) {
        unsigned v;

        if (sscanf(hex + 2 * k, "%2x", &v) != 1) {
            fail("not hexadecimal");
        }
        b.p[k] = (uint8_t) v;
    }
    return b;
}

static void put_hex(const void *data, size_t len)
{
    const uint8_t *p = data;

    if (len == 0) {
        putchar('-');
    }
    while (len-- > 0) {
        printf("%02x", *p++);
    }
}

static void answer(const char *word, const void *data, size_t len)
{
    printf("%s ", word);
    put_hex(data, len);
}

static jd_key_t key_of(int i)
{
    bytes_t raw = bytes(i);
    jd_key_t k;

    if (raw.len != JD_KEY_LEN) {
        fail("a key is 16 bytes");
    }
    jd_key_init(&k, "k", raw.p);
    free(raw.p);
    return k;
}

/* siphash KEY TEXT */
static void do_siphash(void)
{
    bytes_t key = bytes(1), text = bytes(2);
    uint8_t out[16];

    jd_siphash128(key.p, text.p, text.len, out);
    put_hex(out, sizeof(out));
    free(key.p);
    free(text.p);
}

/* keys FILE */
static void do_keys(void)
{
    bytes_t text = bytes(1);
    const char *why = "";
    jd_keys_t keys;
    int line = jd_keys_parse(&keys, (char *) text.p, text.len, &why);

    if (line) {
        printf("line %d %s", line, why);
    } else {
        printf("ok");
        for (unsigned i = 0; i < keys.n; i++) {
            printf(" %s %s ", keys.key[i].id, keys.key[i].check);
            put_hex(keys.key[i].record_key, JD_KEY_LEN);
        }
    }
    free(text.p);
}

/* subject SCHEME NORMALISERS RAW; key to digest with */
static void do_subject(void)
{
    static const char *const names[] = {"ok", "empty", "other", "malformed"};
    int scheme = jd_scheme_parse(arg(1), strlen(arg(1)));
    bytes_t norm = bytes(2), raw = bytes(3);
    jd_normalisers_t n;
    uint8_t out[JD_SUBJECT_MAX];
    size_t len = 0;
    jd_subject_rc_t rc;

    if (scheme < 0 || jd_normalisers_parse(&n, (char *) norm.p, norm.len) != 0) {
        fail("scheme or normalisers");
    }
    rc = jd_subject_normalise((jd_scheme_t) scheme, &n, raw.p, raw.len, out, &len);
    answer(names[rc], out, rc == JD_SUBJECT_OK ? len : 0);
    free(norm.p);
    free(raw.p);
}

/* digest KEY SCHEME NORMAL */
static void do_digest(void)
{
    jd_key_t k = key_of(1);
    bytes_t normal = bytes(3);
    uint8_t out[JD_DIGEST_LEN];

    jd_digest(&k, (jd_scheme_t) jd_scheme_parse(arg(2), strlen(arg(2))), normal.p, normal.len, out);
    put_hex(out, sizeof(out));
    free(normal.p);
}

/* normalisers TEXT */
static void do_normalisers(void)
{
    bytes_t text = bytes(1);
    jd_normalisers_t n;
    char out[256];

    if (jd_normalisers_parse(&n, (char *) text.p, text.len) != 0) {
        printf("bad");
    } else {
        size_t len = jd_normalisers_print(&n, out);
        answer("ok", out, len);
    }
    free(text.p);
}

/* json POINTER DOCUMENT OUT_SIZE */
static void do_json(void)
{
    static const char *const names[] = {"found", "absent", "malformed"};
    bytes_t pointer = bytes(1), doc = bytes(2);
    size_t size = (size_t) number(3), len = 0;
    uint8_t *out = malloc(size ? size : 1);
    jd_json_pointer_t p;

    if (jd_json_pointer_parse(&p, (char *) pointer.p, pointer.len) != 0) {
        printf("pointer");
    } else {
        jd_json_rc_t rc = jd_json_find(doc.p, doc.len, &p, out, size, &len);
        answer(names[rc], out, rc == JD_JSON_FOUND ? len : 0);
    }
    free(out);
    free(pointer.p);
    free(doc.p);
}

/* form|cookie NAME TEXT OUT_SIZE [PLUS_IS_SPACE] */
static void do_form(void)
{
    static const char *const names[] = {"found", "absent", "malformed"};
    bytes_t name = bytes(1), text = bytes(2);
    size_t size = (size_t) number(3), len = 0;
    uint8_t *out = malloc(size ? size : 1);
    jd_form_rc_t rc;

    if (strcmp(arg(0), "form") == 0) {
        rc = jd_form_find(text.p, text.len, (char *) name.p, name.len, (int) number(4), out, size,
                          &len);
    } else {
        rc = jd_cookie_find(text.p, text.len, (char *) name.p, name.len, out, size, &len);
    }
    answer(names[rc], out, rc == JD_FORM_FOUND ? len : 0);
    free(out);
    free(name.p);
    free(text.p);
}

/* time|date TEXT; timeprint SECONDS */
static void do_time(void)
{
    bytes_t text = bytes(1);
    int64_t sec = 0;
    int rc = strcmp(arg(0), "time") == 0 ? jd_time_parse((char *) text.p, text.len, &sec)
                                         : jd_date_parse((char *) text.p, text.len, &sec);

    if (rc == 0) {
        printf("ok %" PRId64, sec);
    } else {
        printf("bad");
    }
    free(text.p);
}

static void do_timeprint(void)
{
    char out[26];

    jd_time_print(number(1), out);
    fputs(out, stdout);
}

#define ORDER_ARGS  10

/*
 * NUMBER MEASURES FROM UNTIL FLAGS DEADLINE GROUNDS HOLDER LINK_FROM LINK_UNTIL from argument i on;
 * *number_text to be freed.
 */
static jd_order_t order_of(int i, bytes_t *number_text)
{
    jd_order_t o = {0};
    bytes_t grounds = bytes(i + 6), holder = bytes(i + 7);

    *number_text = bytes(i);
    o.number = (char *) number_text->p;
    o.number_len = (uint8_t) number_text->len;
    o.measures = (uint16_t) number(i + 1);
    o.from = number(i + 2);
    o.until = number(i + 3);
    o.flags = (uint8_t) number(i + 4);
    o.deadline_day = (uint32_t) number(i + 5);
    memcpy(o.grounds, grounds.p, grounds.len < JD_GROUNDS_ID_LEN ? grounds.len : JD_GROUNDS_ID_LEN);
    free(grounds.p);
    memcpy(o.holder, holder.p, holder.len < JD_HOLDER_LEN ? holder.len : JD_HOLDER_LEN);
    free(holder.p);
    o.link_from = number(i + 8);
    o.link_until = number(i + 9);
    return o;
}

static const char *const record_rc[] = {"ok", "bad", "forged", "too_long"};

/* encode KEY DIGEST ERA OUT_SIZE OBSERVED { order } */
static void do_encode(void)
{
    jd_key_t k = key_of(1);
    bytes_t digest = bytes(2), numbers[64];
    jd_order_t orders[64];
    size_t size = (size_t) number(4), len = 0;
    uint8_t *out = malloc(size ? size : 1);
    unsigned n = 0;
    jd_record_rc_t rc;

    for (int i = 6; i < args_n && n < 64; i += ORDER_ARGS, n++) {
        orders[n] = order_of(i, &numbers[n]);
    }
    rc = jd_record_encode(&k, digest.p, (uint64_t) number(3), orders, n,
                          (uint16_t) number(5), out, size, &len);
    answer(record_rc[rc], out, rc == JD_RECORD_OK ? len : 0);
    while (n > 0) {
        free(numbers[--n].p);
    }
    free(out);
    free(digest.p);
}

/* decode KEY DIGEST ERA RECORD */
static void do_decode(void)
{
    jd_key_t k = key_of(1);
    bytes_t digest = bytes(2), record = bytes(4);
    jd_order_t orders[JD_ORDERS_MAX];
    unsigned n = 0;
    uint16_t measures = 0, observed = 0;
    uint64_t era = (uint64_t) number(3);
    jd_record_rc_t rc;

    rc = jd_record_decode(&k, digest.p, era, record.p, record.len, &observed, orders, &n);
    printf("%s", record_rc[rc]);
    if (rc == JD_RECORD_OK) {
        if (jd_record_measures(&k, digest.p, era, record.p, record.len, &measures) != rc) {
            fail("jd_record_measures disagrees");
        }
        printf(" %u %u", observed, measures);
        for (unsigned i = 0; i < n; i++) {
            putchar(' ');
            put_hex(orders[i].number, orders[i].number_len);
            printf(" %u %" PRId64 " %" PRId64 " %u %" PRIu32 " ", orders[i].measures,
                   orders[i].from, orders[i].until, orders[i].flags, orders[i].deadline_day);
            put_hex(orders[i].grounds, JD_GROUNDS_ID_LEN);
            putchar(' ');
            put_hex(orders[i].holder, JD_HOLDER_LEN);
            printf(" %" PRId64 " %" PRId64, orders[i].link_from, orders[i].link_until);
        }
    }
    free(digest.p);
    free(record.p);
}

/* grounds KEY ID VALUE: decodes, and encodes again */
static void do_grounds(void)
{
    jd_key_t k = key_of(1);
    bytes_t id = bytes(2), value = bytes(3);
    uint8_t again[JD_GROUNDS_MAX], again_id[JD_GROUNDS_ID_LEN];
    size_t len = 0;
    jd_grounds_t g;
    jd_record_rc_t rc = jd_grounds_decode(&k, id.p, value.p, value.len, &g);

    printf("%s", record_rc[rc]);
    if (rc == JD_RECORD_OK) {
        rc = jd_grounds_encode(&k, &g, again, &len, again_id);
        printf(" %s ", record_rc[rc]);
        put_hex(again, len);
        putchar(' ');
        put_hex(again_id, sizeof(again_id));
    }
    free(id.p);
    free(value.p);
}

/* relief TEXT */
static void do_relief(void)
{
    bytes_t text = bytes(1);
    jd_relief_t r;
    char out[JD_RELIEF_TEXT_MAX];

    if (jd_relief_parse(&r, (char *) text.p, text.len) != 0) {
        printf("bad");
    } else {
        printf("ok %u %u %" PRId64 " ", r.lifted, r.objection, r.stay);
        put_hex(out, jd_relief_print(&r, out));
    }
    free(text.p);
}

/* meta { VALUE | nil } x JD_META_FIELDS; answers with the brakes last */
static void do_meta(void)
{
    static const char *const names[] = {"ok", "empty", "schema", "bad"};
    const char *val[JD_META_FIELDS], *field = "";
    size_t len[JD_META_FIELDS];
    bytes_t b[JD_META_FIELDS];
    jd_meta_t m;
    jd_meta_rc_t rc;

    for (int i = 0; i < JD_META_FIELDS; i++) {
        int nil = strcmp(arg(1 + i), "nil") == 0;

        b[i] = nil ? (bytes_t){NULL, 0} : bytes(1 + i);
        val[i] = nil ? NULL : (char *) b[i].p;
        len[i] = b[i].len;
    }
    rc = jd_meta_parse(&m, val, len, &field);
    printf("%s", names[rc]);
    if (rc == JD_META_BAD) {
        printf(" %s", field);
    }
    if (rc == JD_META_OK) {
        printf(" %" PRIu64 " %u %" PRIu64 " %s %s %" PRId64, m.era, m.bits,
               jd_relief_mark(m.epoch, m.relief_seq), m.key_id, m.key_check, m.beat);
        for (int i = 0; i < JD_MEASURE_N; i++) {
            printf("%c%" PRId64, i == 0 ? ' ' : ',', m.brakes[i]);
        }
    }
    for (int i = 0; i < JD_META_FIELDS; i++) {
        free(b[i].p);
    }
}

/* decide NOW OFFICE VERIFIED MAX_STALE BIT OBSERVED { order as in encode, LIFTED OBJECTION STAY } */
static void do_decide(void)
{
    jd_clocks_t c = {number(1), number(2), number(3), number(4)};
    bytes_t numbers[JD_ORDERS_MAX];
    jd_order_t orders[JD_ORDERS_MAX];
    jd_relief_t relief[JD_ORDERS_MAX];
    unsigned n = 0;
    int which = -2;
    jd_reason_t reason;

    for (int i = 7; i < args_n && n < JD_ORDERS_MAX; i += ORDER_ARGS + 3, n++) {
        orders[n] = order_of(i, &numbers[n]);
        relief[n].lifted = (uint16_t) number(i + ORDER_ARGS);
        relief[n].objection = (uint8_t) number(i + ORDER_ARGS + 1);
        relief[n].stay = number(i + ORDER_ARGS + 2);
    }
    reason = jd_policy_decide(&c, (unsigned) number(5), orders, relief, n, (uint16_t) number(6),
                              &which);
    printf("%s %d", jd_reason_names[reason], which);
    while (n > 0) {
        free(numbers[--n].p);
    }
}

/* bucket LIST ERA BITS DIGEST */
static void do_bucket(void)
{
    bytes_t digest = bytes(4);
    char name[JD_REDIS_NAME_MAX];

    jd_redis_bucket(name, arg(1), (uint64_t) number(2),
                    jd_redis_bucket_of(digest.p, (unsigned) number(3)));
    fputs(name, stdout);
    free(digest.p);
}

/* script: the confirm script and its SHA-1 */
static void do_script(void)
{
    answer(jd_confirm_sha1, jd_confirm_script, strlen(jd_confirm_script));
}

static const struct {
    const char *word;
    void (*run)(void);
} requests[] = {
    {"siphash", do_siphash},   {"keys", do_keys},     {"subject", do_subject},
    {"digest", do_digest},     {"json", do_json},     {"normalisers", do_normalisers},
    {"form", do_form},         {"cookie", do_form},   {"time", do_time},
    {"date", do_time},         {"encode", do_encode}, {"timeprint", do_timeprint},
    {"decode", do_decode},     {"relief", do_relief}, {"grounds", do_grounds},
    {"meta", do_meta},         {"decide", do_decide}, {"bucket", do_bucket},
    {"script", do_script},
};

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len;

    while ((len = getline(&line, &size, stdin)) > 0) {
        size_t i = 0;

        if (line[len - 1] == '\n') {
            line[len - 1] = '\0';
        }
        args_n = 0;
        for (char *p = strtok(line, " "); p && args_n < ARGS_MAX; p = strtok(NULL, " ")) {
            args[args_n++] = p;
        }
        while (i < sizeof(requests) / sizeof(requests[0]) &&
               strcmp(requests[i].word, arg(0)) != 0) {
            i++;
        }
        if (i == sizeof(requests) / sizeof(requests[0])) {
            fail("unknown request");
        }
        requests[i].run();
        putchar('\n');
    }
    free(line);
    return 0;
}
