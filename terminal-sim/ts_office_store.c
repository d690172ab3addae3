/*
 * ts_office_store.c - the office's log of events and what follows from it.
 *
 * Memory holds where things stand in the log, not the things: 16 bytes an event, about 100 an
 * order.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "ts_office.h"
#include "ts_office_orders.h"

#define LOG_BUFFER  (1024 * 1024)
#define HEAD_MAX    256                         /* a line without its rest */

typedef struct {
    uint64_t offset;                            /* of the event's line in the log */
    uint32_t len;                               /* without newline */
    uint8_t  state;                             /* ts_event_state_t */
} ref_t;

typedef struct {
    ref_t   *ref;                               /* ref[seq - 1] */
    size_t   n, size;
    size_t   first;                             /* nothing before this index is pending */
    uint64_t n_pending;
} lane_t;

struct ts_store {
    char        dir[PATH_MAX];
    int         fd;                             /* to read */
    FILE       *log;                            /* to append */
    uint64_t    size;                           /* of the log, bytes not yet flushed included */
    unsigned    epoch;
    lane_t      lane[TS_LANES];
    ts_orders_t orders;
    uint64_t    n_orders;                       /* with a record */
};

const char *const ts_lane_names[TS_LANES] = { "changes", "relief" };
const char *const ts_event_names[TS_EV_N] = { "order", "baseline", "lift", "mark",
                                              "epoch", "ack",      "err",  "quarantine" };
const char *const ts_state_names[] = { "pending", "acked", "failed", "settled" };

static ts_lane_t lane_of(ts_event_kind_t kind)
{
    return kind == TS_EV_LIFT || kind == TS_EV_MARK ? TS_RELIEF : TS_CHANGES;
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* Cuts a line (NUL-terminated, without newline) in place. Returns 0 or -1. */
static int parse(char *line, ts_event_t *ev)
{
    char *field[7], *rest = line;
    unsigned kind = 0;

    for (unsigned i = 0; i < 6; i++) {
        field[i] = strsep(&rest, " ");
        if (!rest)
            return -1;
    }
    while (kind < TS_EV_N && strcmp(ts_event_names[kind], field[0]) != 0)
        kind++;
    *ev = (ts_event_t){ .kind = (ts_event_kind_t) kind,
                        .epoch = (unsigned) strtoul(field[1], NULL, 10),
                        .seq = strtoull(field[2], NULL, 10),
                        .at = strtoll(field[3], NULL, 10),
                        .jti = field[4],
                        .number = field[5],
                        .rest = rest };
    return kind < TS_EV_N ? 0 : -1;
}

static char *read_line(const ts_store_t *s, uint64_t offset, uint32_t len)
{
    char *line = malloc((size_t) len + 1);

    if (line && pread(s->fd, line, len, (off_t) offset) == (ssize_t) len) {
        line[len] = '\0';
        return line;
    }
    free(line);
    ts_complain("%s/events: cannot be read", s->dir);
    return NULL;
}

int ts_store_event(const ts_store_t *s, ts_lane_t lane, uint64_t seq, ts_event_t *ev, char **line)
{
    const ref_t *ref = &s->lane[lane].ref[seq - 1];

    *line = read_line(s, ref->offset, ref->len);
    if (*line && parse(*line, ev) == 0)
        return 0;
    free(*line);
    *line = NULL;
    return -1;
}

/* ---- what follows from an event -------------------------------------------------------------- */

static int lane_add(lane_t *l, uint64_t offset, uint32_t len, ts_event_state_t state)
{
    if (l->n == l->size) {
        size_t size = l->size ? l->size * 2 : 1024;
        ref_t *ref = realloc(l->ref, size * sizeof *ref);

        if (!ref)
            return -1;
        l->ref = ref;
        l->size = size;
    }
    l->ref[l->n++] = (ref_t) { .offset = offset, .len = len, .state = (uint8_t) state };
    l->n_pending += state == TS_PENDING;
    return 0;
}

static void set_state(lane_t *l, uint64_t seq, ts_event_state_t state)
{
    ref_t *ref = &l->ref[seq - 1];

    l->n_pending -= ref->state == TS_PENDING;
    ref->state = (uint8_t) state;
    while (l->first < l->n && l->ref[l->first].state != TS_PENDING)
        l->first++;
}

/* Mask of a lift's rest: an array of names, or null. */
static uint16_t lifted(const char *rest)
{
    cJSON *array = cJSON_Parse(rest);
    const cJSON *name;
    uint16_t mask = 0xffff;
    int bit;

    if (cJSON_IsArray(array)) {
        mask = 0;
        cJSON_ArrayForEach(name, array) {
            bit = cJSON_IsString(name)
                      ? jd_measure_bit(name->valuestring, strlen(name->valuestring))
                      : -1;
            mask |= (uint16_t) (bit < 0 ? 0 : 1u << bit);
        }
    }
    cJSON_Delete(array);
    return mask;
}

static void settle_changes(lane_t *l)
{
    for (uint64_t seq = l->first + 1; seq <= l->n; seq++) {
        if (l->ref[seq - 1].state == TS_PENDING)
            l->ref[seq - 1].state = TS_SETTLED;
    }
    l->n_pending = 0;
    l->first = l->n;
}

/* Takes one event whose record or other rest stands `rest_offset` into the log. Returns 0 or -1:
 * memory, or not an office's log. */
static int take_published(ts_store_t *s, const ts_event_t *ev, uint64_t offset, uint32_t len,
                          uint32_t head_len)
{
    lane_t *l = &s->lane[lane_of(ev->kind)];
    ts_order_ref_t *o = ts_orders_get(&s->orders, ev->number);

    if (!o || ev->seq != l->n + 1
        || lane_add(l, offset, len, ev->kind == TS_EV_BASELINE ? TS_SETTLED : TS_PENDING) != 0)
        return -1;
    if (ev->kind == TS_EV_LIFT) {
        o->lifted |= lifted(ev->rest);
    } else if (ev->kind == TS_EV_MARK) {
        o->mark = strcmp(ev->rest, "true") == 0 ? TS_MARK_TRUE : TS_MARK_FALSE;
    } else {
        s->n_orders += o->len == 0;
        o->offset = offset + head_len;
        o->len = len - head_len;
    }
    return 0;
}

static int take(ts_store_t *s, const ts_event_t *ev, uint64_t offset, uint32_t len,
                uint32_t head_len)
{
    lane_t *l = &s->lane[ev->jti[0] == 'r' ? TS_RELIEF : TS_CHANGES];

    switch (ev->kind) {
    case TS_EV_ORDER:
    case TS_EV_BASELINE:
    case TS_EV_LIFT:
    case TS_EV_MARK:
        return take_published(s, ev, offset, len, head_len);
    case TS_EV_EPOCH:
        s->epoch = ev->epoch;
        settle_changes(&s->lane[TS_CHANGES]);
        return 0;
    case TS_EV_ACK:
    case TS_EV_ERR:
        if (ev->seq == 0 || ev->seq > l->n)
            return -1;
        set_state(l, ev->seq, ev->kind == TS_EV_ACK ? TS_ACKED : TS_FAILED);
        return 0;
    default:
        return 0;
    }
}

/* ---- reading the log ------------------------------------------------------------------------- */

/* Calls `each` for the whole lines of the log. Returns the offset behind the last of them, or -1:
 * stopped, or not a log (told). */
typedef int (*line_fn)(void *data, const ts_event_t *ev, uint64_t offset, uint32_t len,
                       uint32_t head_len);

static int64_t each_line(const ts_store_t *s, line_fn each, void *data)
{
    FILE *f = fopen(ts_path(s->dir, "events"), "re");
    int64_t offset = 0;
    unsigned number = 0;
    char *line = NULL;
    size_t size = 0;
    ts_event_t ev;
    ssize_t n;

    if (!f) {
        ts_complain("%s/events: %s", s->dir, strerror(errno));
        return -1;
    }
    setvbuf(f, NULL, _IOFBF, LOG_BUFFER);
    while (offset >= 0 && (n = getline(&line, &size, f)) > 0 && line[n - 1] == '\n') {
        line[n - 1] = '\0';
        number++;
        if (parse(line, &ev) != 0
            || each(data, &ev, (uint64_t) offset, (uint32_t) n - 1, (uint32_t) (ev.rest - line))
                   != 0) {
            ts_complain("%s/events:%u: not what an office wrote", s->dir, number);
            offset = -1;
        } else {
            offset += n;
        }
    }
    free(line);
    fclose(f);
    return offset;
}

static int load_line(void *data, const ts_event_t *ev, uint64_t offset, uint32_t len,
                     uint32_t head_len)
{
    return take(data, ev, offset, len, head_len);
}

ts_store_t *ts_store_open(const char *dir)
{
    ts_store_t *s = calloc(1, sizeof *s);
    const char *path;
    int64_t end;

    if (!s) {
        ts_complain("out of memory");
        return NULL;
    }
    snprintf(s->dir, sizeof s->dir, "%s", dir);
    path = ts_path(dir, "events");
    s->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    s->log = s->fd < 0 ? NULL : fopen(path, "ae");
    if (!s->log) {
        ts_complain("%s: %s", path, strerror(errno));
        ts_store_close(s);
        return NULL;
    }
    setvbuf(s->log, NULL, _IOFBF, LOG_BUFFER);
    end = each_line(s, load_line, s);
    if (end < 0
        || ftruncate(s->fd, end) != 0) { /* a last line without newline was never told to anybody */
        ts_store_close(s);
        return NULL;
    }
    s->size = (uint64_t) end;
    return s;
}

void ts_store_close(ts_store_t *s)
{
    if (!s)
        return;
    if (s->log)
        fclose(s->log);
    if (s->fd >= 0)
        close(s->fd);
    for (unsigned i = 0; i < TS_LANES; i++)
        free(s->lane[i].ref);
    ts_orders_fini(&s->orders);
    free(s);
}

/* ---- where the office stands ----------------------------------------------------------------- */

unsigned ts_store_epoch(const ts_store_t *s)
{
    return s->epoch;
}

uint64_t ts_store_seq(const ts_store_t *s, ts_lane_t lane)
{
    return s->lane[lane].n;
}

uint64_t ts_store_orders(const ts_store_t *s)
{
    return s->n_orders;
}

int ts_store_knows(const ts_store_t *s, const char *number)
{
    const ts_order_ref_t *o = ts_orders_find(&s->orders, number);

    return o && o->len > 0;
}

uint64_t ts_store_pending(const ts_store_t *s, ts_lane_t lane, uint64_t from)
{
    const lane_t *l = &s->lane[lane];
    size_t i = l->first > from - 1 ? l->first : from - 1;

    while (i < l->n && l->ref[i].state != TS_PENDING)
        i++;
    return i < l->n ? i + 1 : 0;
}

uint64_t ts_store_n_pending(const ts_store_t *s, ts_lane_t lane)
{
    return s->lane[lane].n_pending;
}

uint64_t ts_store_last(const ts_store_t *s, ts_lane_t lane, ts_event_state_t state)
{
    const lane_t *l = &s->lane[lane];
    size_t i = l->n;

    while (i > 0 && l->ref[i - 1].state != state)
        i--;
    return i;
}

ts_event_state_t ts_store_state(const ts_store_t *s, ts_lane_t lane, uint64_t seq)
{
    return (ts_event_state_t) s->lane[lane].ref[seq - 1].state;
}

int ts_store_records(const ts_store_t *s, ts_record_fn each, void *data)
{
    int rc = 0;

    for (size_t i = 0; i < s->orders.n && rc == 0; i++) {
        const ts_order_ref_t *o = &s->orders.order[i];
        char *record, *text;
        size_t len;

        if (o->len == 0)
            continue;
        record = read_line(s, o->offset, o->len);
        if (!record)
            return -1;
        text = ts_order_in_force(o, record, o->len, &len);
        if (text)
            rc = each(data, text, len);
        free(text);
        free(record);
    }
    return rc;
}

typedef struct {
    ts_event_fn each;
    void       *data;
} log_t;

static int log_line(void *data, const ts_event_t *ev, uint64_t offset, uint32_t len,
                    uint32_t head_len)
{
    log_t *log = data;

    (void) offset;
    (void) len;
    (void) head_len;
    return log->each(log->data, ev);
}

int ts_store_log(const ts_store_t *s, ts_event_fn each, void *data)
{
    log_t log = { each, data };

    return each_line(s, log_line, &log) < 0 ? -1 : 0;
}

/* ---- appending ------------------------------------------------------------------------------- */

/* Writes a line and takes it. Returns 0 or -1 (told). */
static int append(ts_store_t *s, const ts_event_t *ev, size_t rest_len)
{
    char head[HEAD_MAX];
    int n = snprintf(head, sizeof head, "%s %u %" PRIu64 " %" PRId64 " %s %s ",
                     ts_event_names[ev->kind], ev->epoch, ev->seq, ev->at, ev->jti, ev->number);

    if (fwrite(head, 1, (size_t) n, s->log) != (size_t) n
        || fwrite(ev->rest, 1, rest_len, s->log) != rest_len || putc('\n', s->log) == EOF) {
        ts_complain("%s/events: %s", s->dir, strerror(errno));
        return -1;
    }
    if (take(s, ev, s->size, (uint32_t) ((size_t) n + rest_len), (uint32_t) n) != 0) {
        ts_complain("out of memory");
        return -1;
    }
    s->size += (size_t) n + rest_len + 1;
    return 0;
}

uint64_t ts_store_append(ts_store_t *s, ts_event_kind_t kind, int64_t at, const char *number,
                         const char *rest, size_t len)
{
    ts_lane_t lane = lane_of(kind);
    ts_event_t ev = { .kind = kind,
                      .epoch = s->epoch,
                      .seq = s->lane[lane].n + 1,
                      .at = at,
                      .number = number,
                      .rest = rest };
    char jti[TS_JTI_SIZE];
    uint64_t chance;

    if (RAND_bytes((unsigned char *) &chance, sizeof chance) != 1)
        return 0;
    snprintf(jti, sizeof jti, "%c-%" PRIu64 "-%016" PRIx64, ts_lane_names[lane][0], ev.seq, chance);
    ev.jti = jti;
    return append(s, &ev, len) == 0 ? ev.seq : 0;
}

int ts_store_epoch_set(ts_store_t *s, int64_t at, unsigned epoch)
{
    ts_event_t ev = {
        .kind = TS_EV_EPOCH, .epoch = epoch, .at = at, .jti = "-", .number = "-", .rest = "-"
    };

    return append(s, &ev, 1);
}

int ts_store_sync(ts_store_t *s)
{
    if (fflush(s->log) == 0 && fdatasync(fileno(s->log)) == 0)
        return 0;
    ts_complain("%s/events: %s", s->dir, strerror(errno));
    return -1;
}

/* An answer of the receiver to one token. Not synced: an acknowledgement that is lost brings the
 * token again. */
static void answered(ts_store_t *s, ts_event_kind_t kind, ts_lane_t lane, int64_t at,
                     const char *jti, const char *rest)
{
    unsigned long long seq;
    ts_event_t ev;
    char *line;

    if (jti[0] != ts_lane_names[lane][0] || sscanf(jti + 1, "-%llu-", &seq) != 1 || seq == 0
        || seq > s->lane[lane].n || ts_store_state(s, lane, seq) != TS_PENDING
        || ts_store_event(s, lane, seq, &ev, &line) != 0)
        return;
    if (strcmp(ev.jti, jti) == 0) {
        ts_event_t answer = { .kind = kind,
                              .epoch = s->epoch,
                              .seq = seq,
                              .at = at,
                              .jti = jti,
                              .number = ev.number,
                              .rest = rest };

        append(s, &answer, strlen(rest));
        fflush(s->log);
    }
    free(line);
}

void ts_store_ack(ts_store_t *s, ts_lane_t lane, int64_t at, const char *jti)
{
    answered(s, TS_EV_ACK, lane, at, jti, "-");
}

void ts_store_err(ts_store_t *s, ts_lane_t lane, int64_t at, const char *jti, const char *rest)
{
    answered(s, TS_EV_ERR, lane, at, jti, rest);
}

void ts_store_quarantine(ts_store_t *s, int64_t at, const char *number, const char *rest)
{
    ts_event_t ev = { .kind = TS_EV_QUARANTINE,
                      .epoch = s->epoch,
                      .at = at,
                      .jti = "-",
                      .number = number,
                      .rest = rest };

    append(s, &ev, strlen(rest));
    fflush(s->log);
}
