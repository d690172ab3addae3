/*
 * jd_order - a subject's set of orders, the grounds they refer to, and relief, as bytes in Redis.
 */
#include <string.h>
#include "jd_order.h"
#include "jd_utf8.h"

#define TIME_LIMIT      ((int64_t) 1 << 40)
#define DEADLINE_LIMIT  (1u << 24)
#define FLAGS_KNOWN     (JD_ORDER_OBSERVE | JD_ORDER_OBJECTION | JD_ORDER_DEADLINE)
#define ORDER_FIXED     (2 + 5 + 5 + 1 + JD_GROUNDS_ID_LEN)   /* between number and deadline */
#define MAC_OFF         2
#define MAC_LEN         8

static uint8_t *put_le(uint8_t *p, uint64_t v, unsigned bytes)
{
    while (bytes-- > 0) {
        *p++ = (uint8_t) v;
        v >>= 8;
    }
    return p;
}

static uint64_t get_le(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;

    while (bytes-- > 0) {
        v = v << 8 | p[bytes];
    }
    return v;
}

/* Compares eight bytes in a time that does not tell where they differ. */
static int differs(const uint8_t a[MAC_LEN], const uint8_t b[MAC_LEN])
{
    volatile uint8_t any = 0;

    for (int i = 0; i < MAC_LEN; i++) {
        any |= a[i] ^ b[i];
    }
    return any != 0;
}

int jd_order_number_ok(const char *s, size_t len)
{
    const uint8_t *p = (const uint8_t *) s;
    uint32_t code;

    if (len == 0 || len > JD_ORDER_NUMBER_MAX) {
        return 0;
    }
    while (len > 0) {
        size_t n = jd_utf8_read(p, len, &code);

        if (n == 0 || jd_utf8_unseen(code) || code == '"' || code == '\\') {
            return 0;
        }
        p += n;
        len -= n;
    }
    return 1;
}

/* ---- records ------------------------------------------------------------------------------ */

static int compare_numbers(const jd_order_t *a, const jd_order_t *b)
{
    size_t common = a->number_len < b->number_len ? a->number_len : b->number_len;
    int c = memcmp(a->number, b->number, common);

    return c != 0 ? c : a->number_len - b->number_len;
}

static int order_ok(const jd_order_t *o)
{
    int has_deadline = (o->flags & JD_ORDER_DEADLINE) != 0;

    return jd_order_number_ok(o->number, o->number_len) && o->measures != 0 && o->from >= 0 &&
           o->from < o->until && o->until < TIME_LIMIT && (o->flags & ~FLAGS_KNOWN) == 0 &&
           has_deadline == (o->deadline_day != 0) && o->deadline_day < DEADLINE_LIMIT;
}

static uint8_t kind_of(const jd_order_t *orders, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if ((orders[i].flags & (JD_ORDER_OBSERVE | JD_ORDER_OBJECTION)) == 0) {
            return JD_RECORD_ENFORCE;
        }
    }
    return JD_RECORD_OBSERVE;
}

/* The MAC of a whole record of at least JD_RECORD_HEAD and at most JD_RECORD_MAX bytes. */
static void record_mac(const jd_key_t *k, const uint8_t digest[JD_DIGEST_LEN], uint64_t era,
                       const uint8_t *record, size_t len, uint8_t mac[16])
{
    uint8_t text[JD_DIGEST_LEN + 8 + JD_RECORD_MAX];
    uint8_t *p = text;

    memcpy(p, digest, JD_DIGEST_LEN);
    p = put_le(p + JD_DIGEST_LEN, era, 8);
    *p++ = record[0];
    *p++ = record[1];
    memcpy(p, record + JD_RECORD_HEAD, len - JD_RECORD_HEAD);
    p += len - JD_RECORD_HEAD;
    jd_siphash128(k->record_key, text, (size_t) (p - text), mac);
}

/* Insertion sort: n is at most 32 and mostly 1. */
static void sort_orders(jd_order_t *orders, unsigned n)
{
    for (unsigned i = 1; i < n; i++) {
        jd_order_t o = orders[i];
        unsigned at = i;

        for (; at > 0 && compare_numbers(&orders[at - 1], &o) > 0; at--) {
            orders[at] = orders[at - 1];
        }
        orders[at] = o;
    }
}

jd_record_rc_t jd_record_encode(const jd_key_t *k, const uint8_t digest[JD_DIGEST_LEN],
                                uint64_t era, jd_order_t *orders, unsigned n, uint8_t *out,
                                size_t out_size, size_t *out_len)
{
    uint8_t *p = out + JD_RECORD_HEAD, mac[16];
    size_t size = JD_RECORD_HEAD;

    if (n == 0 || n > JD_ORDERS_MAX) {
        return JD_RECORD_TOO_LONG;
    }
    sort_orders(orders, n);
    for (unsigned i = 0; i < n; i++) {
        const jd_order_t *o = &orders[i];

        if (!order_ok(o) || (i > 0 && compare_numbers(o - 1, o) == 0)) {
            return JD_RECORD_BAD;
        }
        size += 1u + o->number_len + ORDER_FIXED + (o->flags & JD_ORDER_DEADLINE ? 3 : 0);
    }
    if (size > out_size) {
        return JD_RECORD_TOO_LONG;
    }
    for (unsigned i = 0; i < n; i++) {
        const jd_order_t *o = &orders[i];

        *p++ = o->number_len;
        memcpy(p, o->number, o->number_len);
        p = put_le(p + o->number_len, o->measures, 2);
        p = put_le(p, (uint64_t) o->from, 5);
        p = put_le(p, (uint64_t) o->until, 5);
        *p++ = o->flags;
        memcpy(p, o->grounds, JD_GROUNDS_ID_LEN);
        p += JD_GROUNDS_ID_LEN;
        if (o->flags & JD_ORDER_DEADLINE) {
            p = put_le(p, o->deadline_day, 3);
        }
    }
    out[0] = kind_of(orders, n);
    out[1] = (uint8_t) n;
    record_mac(k, digest, era, out, size, mac);
    memcpy(out + MAC_OFF, mac, MAC_LEN);
    *out_len = size;
    return JD_RECORD_OK;
}

/* Reads one order at p. Returns the bytes it took, or 0. */
static size_t read_order(const uint8_t *p, size_t len, jd_order_t *o)
{
    const uint8_t *start = p;

    if (len < 1 || len < 1u + p[0] + ORDER_FIXED) {
        return 0;
    }
    memset(o, 0, sizeof(*o));
    o->number_len = *p++;
    o->number = (const char *) p;
    p += o->number_len;
    o->measures = (uint16_t) get_le(p, 2);
    o->from = (int64_t) get_le(p + 2, 5);
    o->until = (int64_t) get_le(p + 7, 5);
    o->flags = p[12];
    memcpy(o->grounds, p + 13, JD_GROUNDS_ID_LEN);
    p += ORDER_FIXED;
    if (o->flags & JD_ORDER_DEADLINE) {
        if (len < (size_t) (p - start) + 3) {
            return 0;
        }
        o->deadline_day = (uint32_t) get_le(p, 3);
        p += 3;
    }
    return order_ok(o) ? (size_t) (p - start) : 0;
}

jd_record_rc_t jd_record_decode(const jd_key_t *k, const uint8_t digest[JD_DIGEST_LEN],
                                uint64_t era, const uint8_t *in, size_t len, uint8_t *kind,
                                jd_order_t orders[JD_ORDERS_MAX], unsigned *n)
{
    size_t off = JD_RECORD_HEAD;
    uint8_t mac[16];
    unsigned count;

    if (len < JD_RECORD_HEAD || len > JD_RECORD_MAX || in[1] == 0 || in[1] > JD_ORDERS_MAX) {
        return JD_RECORD_BAD;
    }
    count = in[1];
    for (unsigned i = 0; i < count; i++) {
        size_t size = read_order(in + off, len - off, &orders[i]);

        if (size == 0 || (i > 0 && compare_numbers(&orders[i - 1], &orders[i]) >= 0)) {
            return JD_RECORD_BAD;
        }
        off += size;
    }
    if (off != len || in[0] != kind_of(orders, count)) {
        return JD_RECORD_BAD;
    }
    record_mac(k, digest, era, in, len, mac);
    if (differs(mac, in + MAC_OFF)) {
        return JD_RECORD_FORGED;
    }
    *kind = in[0];
    *n = count;
    return JD_RECORD_OK;
}

jd_record_rc_t jd_record_measures(const jd_key_t *k, const uint8_t digest[JD_DIGEST_LEN],
                                  uint64_t era, const uint8_t *in, size_t len, uint16_t *measures)
{
    jd_order_t orders[JD_ORDERS_MAX];
    jd_record_rc_t rc;
    unsigned n;
    uint8_t kind;

    rc = jd_record_decode(k, digest, era, in, len, &kind, orders, &n);
    if (rc != JD_RECORD_OK) {
        return rc;
    }
    *measures = 0;
    for (unsigned i = 0; i < n; i++) {
        *measures |= orders[i].measures;
    }
    return JD_RECORD_OK;
}

/* ---- grounds ------------------------------------------------------------------------------ */

static int text_ok(const char *text, size_t len)
{
    const uint8_t *p = (const uint8_t *) text;
    uint32_t code;

    if (len > JD_GROUNDS_TEXT_MAX) {
        return 0;
    }
    while (len > 0) {
        size_t n = jd_utf8_read(p, len, &code);

        if (n == 0 || jd_utf8_control(code)) {
            return 0;
        }
        p += n;
        len -= n;
    }
    return 1;
}

static int grounds_whole(const jd_grounds_t *g)
{
    return g->authority.len > 0 && g->basis.len > 0 &&
           (g->contest_url.len > 0 || g->contest_phone.len > 0);
}

static int put_text(uint8_t **p, const char *text, uint16_t len)
{
    if (!text_ok(text, len)) {
        return 0;
    }
    *p = put_le(*p, len, 2);
    if (len > 0) {
        memcpy(*p, text, len);
        *p += len;
    }
    return 1;
}

jd_record_rc_t jd_grounds_encode(const jd_key_t *k, const jd_grounds_t *g, uint8_t *out,
                                 size_t *out_len, uint8_t id[JD_GROUNDS_ID_LEN])
{
    uint8_t *p = out, mac[16];

    if (!grounds_whole(g) || !put_text(&p, g->authority.text, g->authority.len) ||
        !put_text(&p, g->basis.text, g->basis.len) ||
        !put_text(&p, g->relevance.text, g->relevance.len) ||
        !put_text(&p, g->contest_url.text, g->contest_url.len) ||
        !put_text(&p, g->contest_phone.text, g->contest_phone.len) ||
        !put_text(&p, g->repair_url.text, g->repair_url.len) ||
        !put_text(&p, g->repair_phone.text, g->repair_phone.len)) {
        return JD_RECORD_BAD;
    }
    *out_len = (size_t) (p - out);
    jd_siphash128(k->record_key, out, *out_len, mac);
    memcpy(id, mac, JD_GROUNDS_ID_LEN);
    return JD_RECORD_OK;
}

/* Reads one text and moves *p behind it; 0 when it does not fit or may not be shown. */
static int get_text(const uint8_t **p, const uint8_t *end, const char **text, uint16_t *len)
{
    if (end - *p < 2) {
        return 0;
    }
    *len = (uint16_t) get_le(*p, 2);
    *text = (const char *) *p + 2;
    if (end - *p - 2 < *len || !text_ok(*text, *len)) {
        return 0;
    }
    *p += 2 + *len;
    return 1;
}

jd_record_rc_t jd_grounds_decode(const jd_key_t *k, const uint8_t id[JD_GROUNDS_ID_LEN],
                                 const uint8_t *in, size_t len, jd_grounds_t *g)
{
    const uint8_t *p = in, *end = in + len;
    uint8_t mac[16];

    if (!get_text(&p, end, &g->authority.text, &g->authority.len) ||
        !get_text(&p, end, &g->basis.text, &g->basis.len) ||
        !get_text(&p, end, &g->relevance.text, &g->relevance.len) ||
        !get_text(&p, end, &g->contest_url.text, &g->contest_url.len) ||
        !get_text(&p, end, &g->contest_phone.text, &g->contest_phone.len) ||
        !get_text(&p, end, &g->repair_url.text, &g->repair_url.len) ||
        !get_text(&p, end, &g->repair_phone.text, &g->repair_phone.len) || p != end ||
        !grounds_whole(g)) {
        return JD_RECORD_BAD;
    }
    jd_siphash128(k->record_key, in, len, mac);
    return differs(mac, id) ? JD_RECORD_FORGED : JD_RECORD_OK;
}

/* ---- relief ------------------------------------------------------------------------------- */

void jd_relief_print(const jd_relief_t *r, char out[JD_RELIEF_LEN])
{
    static const char hex[] = "0123456789abcdef";

    out[0] = 'l';
    for (int i = 0; i < 4; i++) {
        out[1 + i] = hex[r->lifted >> (12 - 4 * i) & 15];
    }
    out[5] = ' ';
    out[6] = 'o';
    out[7] = r->objection ? '1' : '0';
}

int jd_relief_parse(jd_relief_t *r, const char *text, size_t len)
{
    unsigned lifted = 0;

    if (len < JD_RELIEF_LEN || (len > JD_RELIEF_LEN && text[JD_RELIEF_LEN] != ' ') ||
        text[0] != 'l' || text[5] != ' ' || text[6] != 'o' || text[7] < '0' || text[7] > '1') {
        return -1;
    }
    for (int i = 1; i <= 4; i++) {
        if (text[i] >= '0' && text[i] <= '9') {
            lifted = lifted << 4 | (unsigned) (text[i] - '0');
        } else if (text[i] >= 'a' && text[i] <= 'f') {
            lifted = lifted << 4 | (unsigned) (text[i] - 'a' + 10);
        } else {
            return -1;
        }
    }
    r->lifted = (uint16_t) lifted;
    r->objection = (uint8_t) (text[7] - '0');
    return 0;
}
