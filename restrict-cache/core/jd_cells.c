/*
 * jd_cells - the ledger's counters, in memory that outlives the processes that count.
 */
#include <string.h>
#include "jd_cells.h"

#define USED          ((uint64_t) 1 << 63)
#define GENERATION    ((uint64_t) 1 << 48)
#define DAY_SEC       86400
#define HOUR_SEC      3600
#define CHINA_SEC     (8 * HOUR_SEC)
#define HASH_LEN      16               /* hex digits at the end of a cut text, after "~" */

#define load(p)            atomic_load_explicit(p, memory_order_acquire)
#define store(p, value)    atomic_store_explicit(p, value, memory_order_release)

/* ---- head --------------------------------------------------------------------------------- */

uint64_t jd_cells_for(uint64_t size)
{
    uint64_t cells = size > JD_CELLS_HEAD ? (size - JD_CELLS_HEAD) / sizeof(jd_cell_t) : 0;

    return cells < JD_CELLS_MIN ? 0 : cells;
}

int jd_gateway_ok(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int letter = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z')
                     || (s[i] >= '0' && s[i] <= '9');

        if (!letter && (i == 0 || (s[i] != '.' && s[i] != '_' && s[i] != '-'))) {
            return 0;
        }
    }
    return len > 0 && len <= JD_GATEWAY_MAX;
}

void jd_cells_format(void *mem, uint64_t size, uint8_t run[JD_PERIOD_CLASSES][JD_RUN_LEN],
                     const char *gateway)
{
    jd_cells_head_t *h = mem;

    memset(h, 0, sizeof(*h));
    h->layout = JD_CELLS_LAYOUT;
    h->cell_size = sizeof(jd_cell_t);
    h->size = size;
    h->cells = jd_cells_for(size);
    memcpy(h->run, run, sizeof(h->run));
    strncpy(h->gateway, gateway, sizeof(h->gateway) - 1);
    h->lock_fd = -1;
    store(&h->magic, JD_CELLS_MAGIC);
}

jd_cells_rc_t jd_cells_open(jd_cells_t *c, void *mem, uint64_t size, const char *gateway)
{
    jd_cells_head_t *h = mem;

    c->head = h;
    c->cell = (jd_cell_t *) (void *) ((char *) mem + JD_CELLS_HEAD);
    c->cells = h->cells;
    if (h->magic == 0) {
        return JD_CELLS_EMPTY;
    }
    if (h->magic != JD_CELLS_MAGIC) {
        return JD_CELLS_FOREIGN;
    }
    if (h->layout != JD_CELLS_LAYOUT || h->cell_size != sizeof(jd_cell_t)) {
        return JD_CELLS_VERSION;
    }
    if (h->size != size || h->cells != jd_cells_for(size)) {
        return JD_CELLS_SIZE;
    }
    h->gateway[sizeof(h->gateway) - 1] = '\0';
    return strcmp(h->gateway, gateway) == 0 ? JD_CELLS_OK : JD_CELLS_GATEWAY;
}

/* ---- hash --------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

/* Spreads keys over cells; equal hashes are told apart by the key itself. */
static uint64_t hash_text(uint64_t h, const char *text, size_t len)
{
    uint64_t v;

    while (len >= sizeof(v)) {
        memcpy(&v, text, sizeof(v));
        h = mix(h, v);
        text += sizeof(v);
        len -= sizeof(v);
    }
    v = 0;
    memcpy(&v, text, len);
    return mix(mix(h, v), len);
}

int jd_cells_list(jd_cells_t *c, const char *name)
{
    uint64_t id = hash_text(0, name, strlen(name)) | 1;

    for (int i = 0; i < JD_CELLS_LISTS; i++) {
        jd_cells_list_t *l = &c->head->list[i];
        uint64_t old = 0;

        if (atomic_compare_exchange_strong(&l->id, &old, id) || old == id) {
            /* written again: whoever claimed the place may have been killed before */
            strncpy(l->name, name, sizeof(l->name) - 1);
            return i;
        }
    }
    return -1;
}

/* ---- periods ------------------------------------------------------------------------------ */

jd_period_class_t jd_cell_class(jd_cell_kind_t kind)
{
    return kind == JD_CELL_ORDER ? JD_PERIOD_MONTH : JD_PERIOD_HOUR;
}

/* Days since 1970-01-01 of the first of a month, and back (Howard Hinnant, chrono-compatible date algorithms). */
static int64_t days_of_month(uint32_t months)
{
    int64_t year = 1970 + months / 12, month = months % 12 + 1;
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static uint32_t month_of_days(int64_t days)
{
    uint32_t low = 0, high = 12 * 8030;     /* the year 10000 */

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (days_of_month(middle) <= days) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t jd_period_of(jd_period_class_t class, int64_t unix_sec)
{
    if (unix_sec < 0) {
        return 0;
    }
    return class == JD_PERIOD_MONTH ? month_of_days((unix_sec + CHINA_SEC) / DAY_SEC)
                                    : (uint32_t) (unix_sec / HOUR_SEC);
}

int64_t jd_period_end(jd_period_class_t class, uint32_t period)
{
    return class == JD_PERIOD_MONTH ? days_of_month(period + 1) * DAY_SEC - CHINA_SEC
                                    : ((int64_t) period + 1) * HOUR_SEC;
}

static char *digits(char *p, unsigned value, int n)
{
    for (int i = n - 1; i >= 0; i--) {
        p[i] = (char) ('0' + value % 10);
        value /= 10;
    }
    return p + n;
}

size_t jd_period_print(jd_period_class_t class, uint32_t period, char out[JD_PERIOD_MAX])
{
    int64_t day = class == JD_PERIOD_MONTH ? days_of_month(period) : period / 24;
    uint32_t month = month_of_days(day);
    char *p = digits(out, 1970 + month / 12, 4);

    *p++ = '-';
    p = digits(p, month % 12 + 1, 2);
    if (class == JD_PERIOD_HOUR) {
        *p++ = '-';
        p = digits(p, (unsigned) (day - days_of_month(month)) + 1, 2);
        *p++ = 'T';
        p = digits(p, period % 24, 2);
    }
    *p = '\0';
    return (size_t) (p - out);
}

/* ---- counting ----------------------------------------------------------------------------- */

/* The key as a cell holds it, its hash as the tag. */
static void make_key(const jd_cell_key_t *key, uint32_t period, jd_cell_t *out)
{
    static const char hex[] = "0123456789abcdef";
    size_t len = key->len;
    uint64_t h;

    memset(out, 0, sizeof(*out));
    if (len > JD_CELL_TEXT_MAX) {
        len = JD_CELL_TEXT_MAX - 1 - HASH_LEN;
        while (len > 0 && ((unsigned char) key->text[len] & 0xc0) == 0x80) {
            len--;                          /* not within a character of UTF-8 */
        }
        memcpy(out->text, key->text, len);
        out->text[len++] = '~';
        h = hash_text(0, key->text, key->len);
        for (int i = 0; i < HASH_LEN; i++) {
            out->text[len++] = hex[h >> (60 - 4 * i) & 15];
        }
    } else {
        memcpy(out->text, key->text, len);
    }
    out->period = period;
    out->kind = (uint8_t) key->kind;
    out->list = (uint8_t) key->list;
    out->measure = (uint8_t) key->measure;
    out->len = (uint8_t) len;
    h = (uint64_t) period << 32 | (uint64_t) key->kind << 16 | (uint64_t) key->list << 8
        | (uint64_t) key->measure;
    out->tag = hash_text(mix(0, h), out->text, len) | USED;
}

static int same_key(const jd_cell_t *a, const jd_cell_t *b)
{
    return a->period == b->period && a->kind == b->kind && a->list == b->list
           && a->measure == b->measure && a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static uint64_t path_len(const jd_cells_t *c)
{
    return c->cells < JD_CELLS_PATH ? c->cells : JD_CELLS_PATH;
}

static jd_cell_t *path_cell(const jd_cells_t *c, uint64_t tag, uint64_t i)
{
    return &c->cell[((tag & ~USED) % c->cells + i) % c->cells];
}

/* 1 when the cell is in use for the key; *word is its word, and a CAS from it fails if it is not any more. */
static int holds(const jd_cell_t *cell, const jd_cell_t *key, uint64_t *word)
{
    if (load(&cell->tag) != key->tag) {
        return 0;
    }
    *word = load(&cell->word);
    if (!same_key(cell, key)) {
        return 0;
    }
    /* what was compared was the key while the tag stood: else the word's generation has gone on */
    atomic_thread_fence(memory_order_acquire);
    return load(&cell->tag) == key->tag;
}

/* Nothing of any path that passes it lies behind it: a generation once begun never is 0 again. */
static int never_used(const jd_cell_t *cell)
{
    return load(&cell->tag) == 0 && load(&cell->word) == 0;
}

/* A cell for the key, found or claimed; NULL: none is free. */
static jd_cell_t *find(jd_cells_t *c, const jd_cell_t *key, uint64_t *word, uint32_t pid)
{
    uint64_t n = path_len(c);

    for (uint64_t i = 0; i < n; i++) {
        jd_cell_t *cell = path_cell(c, key->tag, i);

        if (holds(cell, key, word)) {
            return cell;
        }
        if (never_used(cell)) {
            break;
        }
    }
    for (uint64_t i = 0; i < n; i++) {
        jd_cell_t *cell = path_cell(c, key->tag, i);
        uint64_t tag = 0;

        if (!atomic_compare_exchange_strong(&cell->tag, &tag, (uint64_t) pid)) {
            continue;
        }
        *word = load(&cell->word);
        cell->period = key->period;
        cell->kind = key->kind;
        cell->list = key->list;
        cell->measure = key->measure;
        cell->len = key->len;
        memcpy(cell->text, key->text, sizeof(cell->text));
        store(&cell->tag, key->tag);
        return cell;
    }
    return NULL;
}

typedef struct {
    jd_cell_t *cell;
    uint64_t   word;
    uint32_t   period;
} place_t;

/* Where the count goes. -1: no cell is free. */
static int prepare(jd_cells_t *c, const jd_cell_key_t *k, int64_t now, uint32_t pid, place_t *place)
{
    jd_period_class_t class = jd_cell_class(k->kind);
    uint32_t closed = load(&c->head->list[k->list].closed[class]);
    jd_cell_t key;

    place->period = jd_period_of(class, now);
    if (place->period <= closed) {
        place->period = closed + 1;
    }
    make_key(k, place->period, &key);
    place->cell = find(c, &key, &place->word, pid);
    return place->cell == NULL ? -1 : 0;
}

/*
 * 1: counted; 0: another count came between, the period was closed, or the cell freed: prepare again.
 * The cell is in use before `closed` is read here; who closes writes `closed` before he walks the
 * cells: one of the two sees the other.
 */
static int add(jd_cells_t *c, const jd_cell_key_t *k, place_t *place)
{
    uint64_t word = place->word;

    atomic_thread_fence(memory_order_seq_cst);
    if (place->period <= atomic_load(&c->head->list[k->list].closed[jd_cell_class(k->kind)])) {
        return 0;
    }
    if (!atomic_compare_exchange_strong(&place->cell->word, &word, word + 1)) {
        return 0;
    }
    place->word++;
    return 1;
}

int jd_cells_count(jd_cells_t *c, const jd_cell_key_t *key, int64_t now, uint32_t pid)
{
    place_t place;

    do {
        if (prepare(c, key, now, pid, &place) != 0) {
            return -1;
        }
    } while (!add(c, key, &place));
    return 0;
}

/* Takes back what add() did. A period that was closed in between keeps it: one too many, never one too few. */
static void take_back(place_t *place)
{
    uint64_t generation = place->word & ~JD_CELL_COUNT_MAX, word = load(&place->cell->word);

    while ((word & ~JD_CELL_COUNT_MAX) == generation
           && !atomic_compare_exchange_weak(&place->cell->word, &word, word - 1)) {
        /* word was read again */
    }
}

int jd_cells_count_both(jd_cells_t *c, const jd_cell_key_t *a, const jd_cell_key_t *b, int64_t now,
                        uint32_t pid)
{
    place_t first, second;

    do {
        if (prepare(c, a, now, pid, &first) != 0 || prepare(c, b, now, pid, &second) != 0) {
            return -1;
        }
    } while (!add(c, a, &first));
    while (!add(c, b, &second)) {
        if (prepare(c, b, now, pid, &second) != 0) {
            take_back(&first);
            return -1;
        }
    }
    return 0;
}

/* ---- sweeping ----------------------------------------------------------------------------- */

/* The generation after that of `word`, never 0, with this count. */
static uint64_t next_generation(uint64_t word, uint64_t count)
{
    uint64_t generation = (word & ~JD_CELL_COUNT_MAX) + GENERATION;

    return (generation == 0 ? GENERATION : generation) | count;
}

jd_cell_state_t jd_cells_look(const jd_cells_t *c, uint64_t i, jd_cell_t *copy)
{
    const jd_cell_t *cell = &c->cell[i];

    copy->tag = load(&cell->tag);
    if (copy->tag == 0) {
        return JD_CELL_FREE;
    }
    if ((copy->tag & USED) == 0) {
        return JD_CELL_BUSY;
    }
    copy->word = load(&cell->word);
    copy->period = cell->period;
    copy->kind = cell->kind;
    copy->list = cell->list;
    copy->measure = cell->measure;
    copy->len = cell->len;
    memcpy(copy->text, cell->text, sizeof(copy->text));
    atomic_thread_fence(memory_order_acquire);
    if (load(&cell->tag) != copy->tag || (load(&cell->word) ^ copy->word) >= GENERATION) {
        return JD_CELL_FREE;                /* freed, or closed, by another process meanwhile */
    }
    return copy->kind < JD_CELL_KINDS && copy->list < JD_CELLS_LISTS && copy->measure < JD_MEASURE_N
                   && copy->len <= JD_CELL_TEXT_MAX
               ? JD_CELL_USED
               : JD_CELL_FREE;
}

uint64_t jd_cells_total(const jd_cells_t *c, const jd_cell_t *copy, uint64_t *first)
{
    uint64_t n = path_len(c), sum = 0, word;
    int found = 0;

    *first = c->cells;
    for (uint64_t i = 0; i < n; i++) {
        const jd_cell_t *cell = path_cell(c, copy->tag, i);

        if (!holds(cell, copy, &word)) {
            if (never_used(cell)) {
                break;
            }
            continue;
        }
        sum += word & JD_CELL_COUNT_MAX;
        if (!found) {
            found = 1;
            *first = (uint64_t) (cell - c->cell);
        }
    }
    return sum;
}

void jd_cells_close(jd_cells_t *c, unsigned list, jd_period_class_t class, uint32_t period)
{
    _Atomic uint32_t *closed = &c->head->list[list].closed[class];
    uint32_t old = atomic_load(closed);

    while (old < period && !atomic_compare_exchange_weak(closed, &old, period)) {
        /* old was read again */
    }
    atomic_thread_fence(memory_order_seq_cst);
}

int jd_cells_closed(const jd_cells_t *c, unsigned list, jd_period_class_t class, uint32_t period)
{
    return period <= load(&c->head->list[list].closed[class]);
}

void jd_cells_freeze(jd_cells_t *c, uint64_t i)
{
    uint64_t word = load(&c->cell[i].word);

    while (!atomic_compare_exchange_weak(&c->cell[i].word, &word,
                                         next_generation(word, word & JD_CELL_COUNT_MAX))) {
        /* word was read again */
    }
}

void jd_cells_free(jd_cells_t *c, uint64_t i, const jd_cell_t *copy, uint32_t pid)
{
    jd_cell_t *cell = &c->cell[i];
    uint64_t tag = copy->tag;

    if (atomic_compare_exchange_strong(&cell->tag, &tag, (uint64_t) pid)) {
        store(&cell->word, next_generation(load(&cell->word), 0));
        store(&cell->tag, 0);
    }
}

void jd_cells_recover(jd_cells_t *c, uint64_t i, const jd_cell_t *copy, uint32_t pid)
{
    jd_cell_t *cell = &c->cell[i];
    uint64_t tag = copy->tag;

    /* its own pid: a process of before had the same; marked, so that of two only one goes on */
    if (atomic_compare_exchange_strong(&cell->tag, &tag, (uint64_t) pid | USED >> 1)) {
        store(&cell->word, next_generation(load(&cell->word), 0));
        store(&cell->tag, 0);
    }
}
