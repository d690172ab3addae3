/*
 * rcd_links - file `links`: opened, checked, and searched.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/sha.h>
#include "rcd_links.h"

#define MAGIC        "jdlinks1"
#define LAYOUT       1
#define COUNTS_OFF   72
#define COUNTS_N     10
#define HASH_OFF     152
#define HOW_OFF      184
#define USER_OFF     192
#define UNDER_OFF    224
#define BODY_OFF     608
#define OWN_HASH_OFF 992

_Static_assert(sizeof(rcd_links_counts_t) == COUNTS_N * 8, "counts are written as they lie");

const char *const rcd_links_how_names[RCD_LINKS_HOW_N] = {"full", "delta", "add", "remove",
                                                          "narrowed"};

/* ---- integers -------------------------------------------------------------------------------- */

static void put_le(uint8_t *p, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        p[i] = (uint8_t) (v >> 8 * i);
    }
}

static uint64_t get_le(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < n; i++) {
        v |= (uint64_t) p[i] << 8 * i;
    }
    return v;
}

static void put_u40_be(uint8_t *p, int64_t v)
{
    for (unsigned i = 0; i < 5; i++) {
        p[i] = (uint8_t) ((uint64_t) v >> 8 * (4 - i));
    }
}

static int64_t get_u40_be(const uint8_t *p)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 5; i++) {
        v = v << 8 | p[i];
    }
    return (int64_t) v;
}

/* ---- header and entries as bytes ------------------------------------------------------------- */

void rcd_links_head_encode(const rcd_links_head_t *h, const uint8_t body[32],
                           uint8_t out[RCD_LINKS_HEADER])
{
    const uint64_t v[] = {h->n, h->serial, h->base, (uint64_t) h->at, (uint64_t) h->source_mtime,
                          h->source_size, h->source_inode};
    uint64_t counts[COUNTS_N];

    memset(out, 0, RCD_LINKS_HEADER);
    memcpy(out, MAGIC, 8);
    put_le(out + 8, LAYOUT, 4);
    put_le(out + 12, RCD_LINKS_ENTRY, 4);
    for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        put_le(out + 16 + 8 * i, v[i], 8);
    }
    memcpy(counts, &h->counts, sizeof(counts));
    for (unsigned i = 0; i < COUNTS_N; i++) {
        put_le(out + COUNTS_OFF + 8 * i, counts[i], 8);
    }
    memcpy(out + HASH_OFF, h->hash, 32);
    out[HOW_OFF] = (uint8_t) h->how;
    memcpy(out + USER_OFF, h->user, strnlen(h->user, RCD_LINKS_USER_MAX));
    memcpy(out + UNDER_OFF, h->under, strnlen(h->under, RCD_LINKS_UNDER_MAX - 1));
    memcpy(out + BODY_OFF, body, 32);
    SHA256(out, OWN_HASH_OFF, out + OWN_HASH_OFF);
}

/* NULL, or what is wrong. */
static const char *head_decode(const uint8_t in[RCD_LINKS_HEADER], rcd_links_head_t *h)
{
    uint64_t *v[] = {&h->n, &h->serial, &h->base, (uint64_t *) &h->at,
                     (uint64_t *) &h->source_mtime, &h->source_size, &h->source_inode};
    uint64_t counts[COUNTS_N];
    uint8_t hash[32];

    if (memcmp(in, MAGIC, 8) != 0) {
        return "not a file of links";
    }
    if (get_le(in + 8, 4) != LAYOUT || get_le(in + 12, 4) != RCD_LINKS_ENTRY) {
        return "of another layout; import the holders again";
    }
    SHA256(in, OWN_HASH_OFF, hash);
    if (memcmp(hash, in + OWN_HASH_OFF, 32) != 0) {
        return "its header is damaged; import the holders again";
    }
    for (unsigned i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        *v[i] = get_le(in + 16 + 8 * i, 8);
    }
    for (unsigned i = 0; i < COUNTS_N; i++) {
        counts[i] = get_le(in + COUNTS_OFF + 8 * i, 8);
    }
    memcpy(&h->counts, counts, sizeof(counts));
    memcpy(h->hash, in + HASH_OFF, 32);
    h->how = in[HOW_OFF] < RCD_LINKS_HOW_N ? (rcd_links_how_t) in[HOW_OFF] : RCD_LINKS_FULL;
    memcpy(h->user, in + USER_OFF, RCD_LINKS_USER_MAX);
    h->user[RCD_LINKS_USER_MAX] = '\0';
    memcpy(h->under, in + UNDER_OFF, RCD_LINKS_UNDER_MAX);
    h->under[RCD_LINKS_UNDER_MAX - 1] = '\0';
    return h->n > RCD_LINKS_MAX ? "its header is damaged; import the holders again" : NULL;
}

void rcd_links_encode(const rcd_holding_t *h, uint8_t out[RCD_LINKS_ENTRY])
{
    memset(out, 0, RCD_LINKS_ENTRY);
    memcpy(out, h->card, JD_DIGEST_LEN);
    memcpy(out + 16, h->holder, JD_DIGEST_LEN);
    put_u40_be(out + 32, h->from);
    put_u40_be(out + 37, h->until);
    out[42] = (uint8_t) h->flags;
}

void rcd_links_decode(const uint8_t in[RCD_LINKS_ENTRY], rcd_holding_t *h)
{
    memcpy(h->card, in, JD_DIGEST_LEN);
    memcpy(h->holder, in + 16, JD_DIGEST_LEN);
    h->from = get_u40_be(in + 32);
    h->until = get_u40_be(in + 37);
    h->flags = in[42];
}

/* ---- opening --------------------------------------------------------------------------------- */

static const uint8_t *entry_at(const rcd_links_t *l, uint64_t i)
{
    return l->map + RCD_LINKS_HEADER + i * RCD_LINKS_ENTRY;
}

static uint64_t index_at(const rcd_links_t *l, uint64_t place)
{
    return get_le(entry_at(l, l->head.n) + 4 * place, 4);
}

static int entry_ok(const uint8_t *e)
{
    static const uint8_t zero[RCD_LINKS_ENTRY - 43];

    return memcmp(e + 43, zero, sizeof(zero)) == 0 && get_u40_be(e + 37) > get_u40_be(e + 32);
}

/* Everything behind the header. NULL, or what is wrong. */
static const char *content_check(const rcd_links_t *l)
{
    static const char damaged[] = "damaged; import the holders again";
    uint64_t n = l->head.n, before = 0;
    uint8_t hash[32];

    SHA256(l->map + RCD_LINKS_HEADER, l->size - RCD_LINKS_HEADER, hash);
    if (memcmp(hash, l->map + BODY_OFF, 32) != 0) {
        return damaged;
    }
    for (uint64_t i = 0; i < n; i++) {
        if (!entry_ok(entry_at(l, i)) ||
            (i > 0 && memcmp(entry_at(l, i - 1), entry_at(l, i), RCD_LINKS_ENTRY) >= 0)) {
            return damaged;
        }
    }
    for (uint64_t p = 0; p < n; p++) {
        uint64_t i = index_at(l, p);
        int order = i >= n ? 1 : p == 0 ? -1 : memcmp(entry_at(l, before) + 16,
                                                      entry_at(l, i) + 16, JD_DIGEST_LEN);

        /* n places, strictly ascending: every entry once */
        if (order > 0 || (order == 0 && before >= i)) {
            return damaged;
        }
        before = i;
    }
    return NULL;
}

/* Maps what is open. NULL, or what is wrong. */
static const char *map(rcd_links_t *l, int fd, int whole)
{
    const char *why;
    struct stat st;
    void *at;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < RCD_LINKS_HEADER) {
        return "not a file of links";
    }
    at = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        return strerror(errno);
    }
    l->map = at;
    l->size = (size_t) st.st_size;
    why = head_decode(l->map, &l->head);
    if (why == NULL &&
        l->size != RCD_LINKS_HEADER + l->head.n * (RCD_LINKS_ENTRY + sizeof(uint32_t))) {
        why = "cut short; import the holders again";
    }
    return why == NULL && whole ? content_check(l) : why;
}

rcd_links_t *rcd_links_open(const char *path, int whole, char *err, size_t err_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    rcd_links_t *l;
    const char *why;

    if (fd < 0) {
        snprintf(err, err_size, "%s%s%s", errno == ENOENT ? "" : path, errno == ENOENT ? "" : ": ",
                 errno == ENOENT ? "" : strerror(errno));
        return NULL;
    }
    l = calloc(1, sizeof(*l));
    why = l == NULL ? "out of memory" : map(l, fd, whole);
    close(fd);
    if (why != NULL) {
        snprintf(err, err_size, "%s: %s", path, why);
        rcd_links_close(l);
        return NULL;
    }
    return l;
}

void rcd_links_close(rcd_links_t *l)
{
    if (l == NULL) {
        return;
    }
    if (l->map != NULL) {
        munmap((void *) (uintptr_t) l->map, l->size);
    }
    free(l);
}

/* ---- searching ------------------------------------------------------------------------------- */

void rcd_links_get(const rcd_links_t *l, uint64_t i, rcd_holding_t *out)
{
    rcd_links_decode(entry_at(l, i), out);
}

uint64_t rcd_links_card(const rcd_links_t *l, const uint8_t card[JD_DIGEST_LEN])
{
    uint64_t low = 0, high = l->head.n;

    while (low < high) {
        uint64_t mid = low + (high - low) / 2;

        if (memcmp(entry_at(l, mid), card, JD_DIGEST_LEN) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* The entry at a place of the index as holder and card; a damaged place is behind everything. */
static int index_compare(const rcd_links_t *l, uint64_t place, const uint8_t *holder,
                         const uint8_t *card)
{
    uint64_t i = index_at(l, place);
    int order;

    if (i >= l->head.n) {
        return 1;
    }
    order = memcmp(entry_at(l, i) + 16, holder, JD_DIGEST_LEN);
    return order != 0 || card == NULL ? order : memcmp(entry_at(l, i), card, JD_DIGEST_LEN);
}

/* The first place that is not below holder (and card), or with `behind` the first above them. */
static uint64_t index_search(const rcd_links_t *l, const uint8_t *holder, const uint8_t *card,
                             int behind)
{
    uint64_t low = 0, high = l->head.n;

    while (low < high) {
        uint64_t mid = low + (high - low) / 2;

        if (index_compare(l, mid, holder, card) < behind) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

uint64_t rcd_links_holder(const rcd_links_t *l, const uint8_t holder[JD_DIGEST_LEN])
{
    return index_search(l, holder, NULL, 0);
}

uint64_t rcd_links_holder_after(const rcd_links_t *l, const uint8_t holder[JD_DIGEST_LEN],
                                const uint8_t card[JD_DIGEST_LEN])
{
    return index_search(l, holder, card, 1);
}

int rcd_links_indexed(const rcd_links_t *l, uint64_t place, rcd_holding_t *out)
{
    uint64_t i = place < l->head.n ? index_at(l, place) : l->head.n;

    if (i >= l->head.n) {
        return 0;
    }
    rcd_links_get(l, i, out);
    return 1;
}
