/*
 * jd_order - a subject's set of orders, the grounds they refer to, and relief, as bytes in Redis.
 */
#include <string.h>
#include "jd_order.h"
#include "jd_utf8.h"

#define DEADLINE_LIMIT  (1u << 24)
#define FLAGS_KNOWN     (JD_ORDER_DEADLINE | JD_ORDER_LINKED)
#define ORDER_FIXED     (2 + 5 + 5 + 1 + JD_GROUNDS_ID_LEN)   /* between number and deadline */
#define DEADLINE_LEN    3
#define LINK_LEN        (JD_HOLDER_LEN + 5 + 5)
#define MAC_OFF         2
#define OBSERVED_OFF    10                                    /* the MAC covers all from here on */
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

static int term_ok(int64_t from, int64_t until)
{
    return from >= 0 && from < until && until <= JD_TIME_MAX;
}

/* Without LINKED nothing may claim to be a link. */
static int link_ok(const jd_order_t *o)
{
    static const uint8_t nobody[JD_HOLDER_LEN];

    if (o->flags & JD_ORDER_LINKED) {
        return term_ok(o->link_from, o->link_until);
    }
    return o->link_from == 0 && o->link_until == 0 &&
           memcmp(o->holder, nobody, JD_HOLDER_LEN) == 0;
}

static int order_ok(const jd_order_t *o)
{
    int has_deadline = (o->flags & JD_ORDER_DEADLINE) != 0;

    return jd_order_number_ok(o->number, o->number_len) && o->measures != 0 &&
           term_ok(o->from, o->until) && (o->flags & ~FLAGS_KNOWN) == 0 && link_ok(o) &&
           has_deadline == (o->deadline_day != 0) && o->deadline_day < DEADLINE_LIMIT;
}

static uint8_t kind_of(unsigned n)
{
    return n > 0 ? JD_RECORD_ENFORCE : JD_RECORD_OBSERVE;
}

/* Bytes of an order in the record. */
static size_t order_size(const jd_order_t *o)
{
    return 1u + o->number_len + ORDER_FIXED + (o->flags & JD_ORDER_DEADLINE ? DEADLINE_LEN : 0) +
           (o->flags & JD_ORDER_LINKED ? LINK_LEN : 0);
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
    memcpy(p, record + OBSERVED_OFF, len - OBSERVED_OFF);
    p += len - OBSERVED_OFF;
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

/* Writes an order and returns the place behind it. */
static uint8_t *put_order(uint8_t *p, const jd_order_t *o)
{
    *p++ = o->number_len;
    memcpy(p, o->number, o->number_len);
    p = put_le(p + o->number_len, o->measures, 2);
    p = put_le(p, (uint64_t) o->from, 5);
    p = put_le(p, (uint64_t) o->until, 5);
    *p++ = o->flags;
    memcpy(p, o->grounds, JD_GROUNDS_ID_LEN);
    p += JD_GROUNDS_ID_LEN;
    if (o->flags & JD_ORDER_DEADLINE) {
        p = put_le(p, o->deadline_day, DEADLINE_LEN);
    }
    if (o->flags & JD_ORDER_LINKED) {
        memcpy(p, o->holder, JD_HOLDER_LEN);
        p = put_le(p + JD_HOLDER_LEN, (uint64_t) o->link_from, 5);
        p = put_le(p, (uint64_t) o->link_until, 5);
    }
    return p;
}

jd_record_rc_t jd_record_encode(const jd_key_t *k, const uint8_t digest[JD_DIGEST_LEN],
                                uint64_t era, jd_order_t *orders, unsigned n, uint16_t observed,
                                uint8_t *out, size_t out_size, size_t *out_len)
{
    uint8_t *p = out + JD_RECORD_HEAD, mac[16];
    size_t size = JD_RECORD_HEAD;

    if (n > JD_ORDERS_MAX) {
        return JD_RECORD_TOO_LONG;
    }
    if (n == 0 && observed == 0) {
        return JD_RECORD_BAD;
    }
    sort_orders(orders, n);
    for (unsigned i = 0; i < n; i++) {
        const jd_order_t *o = &orders[i];

        if (!order_ok(o) || (i > 0 && compare_numbers(o - 1, o) == 0)) {
            return JD_RECORD_BAD;
        }
        size += order_size(o);
    }
    if (size > out_size) {
        return JD_RECORD_TOO_LONG;
    }
    for (unsigned i = 0; i < n; i++) {
        p = put_order(p, &orders[i]);
    }
    out[0] = kind_of(n);
    out[1] = (uint8_t) n;
    put_le(out + OBSERVED_OFF, observed, 2);
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
    if (len < order_size(o)) {
        return 0;
    }
    if (o->flags & JD_ORDER_DEADLINE) {
        o->deadline_day = (uint32_t) get_le(p, DEADLINE_LEN);
        p += DEADLINE_LEN;
    }
    if (o->flags & JD_ORDER_LINKED) {
        memcpy(o->holder, p, JD_HOLDER_LEN);
        o->link_from = (int64_t) get_le(p + JD_HOLDER_LEN, 5);
        o->link_until = (int64_t) get_le(p + JD_HOLDER_LEN + 5, 5);
        p += LINK_LEN;
    }
    return order_ok(o) ? (size_t) (p - start) : 0;
}

jd_record_rc_t jd_record_decode(const jd_key_t *k, const uint8_t digest[JD_DIGEST_LEN],
                                uint64_t era, const uint8_t *in, size_t len, uint16_t *observed,
                                jd_order_t orders[JD_ORDERS_MAX], unsigned *n)
{
    size_t off = JD_RECORD_HEAD;
    uint8_t mac[16];
    uint16_t mask;
    unsigned count;

    if (len < JD_RECORD_HEAD || len > JD_RECORD_MAX || in[1] > JD_ORDERS_MAX) {
        return JD_RECORD_BAD;
    }
    count = in[1];
    mask = (uint16_t) get_le(in + OBSERVED_OFF, 2);
    for (unsigned i = 0; i < count; i++) {
        size_t size = read_order(in + off, len - off, &orders[i]);

        if (size == 0 || (i > 0 && compare_numbers(&orders[i - 1], &orders[i]) >= 0)) {
            return JD_RECORD_BAD;
        }
        off += size;
    }
    if (off != len || in[0] != kind_of(count) || (count == 0 && mask == 0)) {
        return JD_RECORD_BAD;
    }
    record_mac(k, digest, era, in, len, mac);
    if (differs(mac, in + MAC_OFF)) {
        return JD_RECORD_FORGED;
    }
    *observed = mask;
    *n = count;
    return JD_RECORD_OK;
}

jd_record_rc_t jd_record_measures(const jd_key_t *k, const uint8_t digest[JD_DIGEST_LEN],
                                  uint64_t era, const uint8_t *in, size_t len, uint16_t *measures)
{
    jd_order_t orders[JD_ORDERS_MAX];
    jd_record_rc_t rc;
    unsigned n;

    rc = jd_record_decode(k, digest, era, in, len, measures, orders, &n);
    if (rc != JD_RECORD_OK) {
        return rc;
    }
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

size_t jd_stay_print(int64_t stay, char out[JD_STAY_TEXT_MAX])
{
    char digits[JD_STAY_TEXT_MAX];
    size_t n = 0, len = 0;

    for (; stay > 0 && n < sizeof(digits) - 1; stay /= 10) {
        digits[n++] = (char) ('0' + stay % 10);
    }
    out[len++] = 's';
    while (n > 0) {
        out[len++] = digits[--n];
    }
    return len;
}

int jd_stay_parse(int64_t *stay, const char *text, size_t len)
{
    int64_t sec = 0;

    if (len < 2 || len > JD_STAY_TEXT_MAX || text[0] != 's' || text[1] == '0') {
        return -1;
    }
    for (size_t i = 1; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        sec = sec * 10 + (text[i] - '0');
    }
    if (sec > JD_STAY_FOREVER) {
        return -1;
    }
    *stay = sec;
    return 0;
}

size_t jd_relief_print(const jd_relief_t *r, char out[JD_RELIEF_TEXT_MAX])
{
    static const char hex[] = "0123456789abcdef";

    out[0] = 'l';
    for (int i = 0; i < 4; i++) {
        out[1 + i] = hex[r->lifted >> (12 - 4 * i) & 15];
    }
    out[5] = ' ';
    out[6] = 'o';
    out[7] = r->objection ? '1' : '0';
    if (r->stay <= 0) {
        return JD_RELIEF_LEN;
    }
    out[JD_RELIEF_LEN] = ' ';
    return JD_RELIEF_LEN + 1 +
           jd_stay_print(r->stay < JD_STAY_FOREVER ? r->stay : JD_STAY_FOREVER,
                         out + JD_RELIEF_LEN + 1);
}

/* The words behind the part that is always there; each begins with its space. */
static int parse_words(jd_relief_t *r, const char *text, size_t len)
{
    size_t at = 0, end;

    while (at < len) {
        for (end = ++at; end < len && text[end] != ' '; end++) {
        }
        if (end > at && text[at] == 's' &&
            (r->stay != 0 || jd_stay_parse(&r->stay, text + at, end - at) != 0)) {
            return -1;
        }
        at = end;
    }
    return 0;
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
    r->stay = 0;
    return parse_words(r, text + JD_RELIEF_LEN, len - JD_RELIEF_LEN);
}
