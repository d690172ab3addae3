/*
 * ts_oracle.c - knows what every answer must be: scenario files read into sets of orders, judged by
 * jd_policy.
 */
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/jd_policy.h"
#include "ts_terminal.h"

typedef struct subject subject_t;

/* One order number. Until the order itself comes only relief is known of it. */
typedef struct known_order {
    char          number[JD_ORDER_NUMBER_MAX + 1];  /* first: the key */
    uint8_t       flags;                            /* JD_ORDER_* */
    uint16_t      measures;
    jd_relief_t   relief;
    int64_t       served;
    int64_t       from;
    int64_t       until;
    subject_t    *subject;                          /* NULL: the order has not come */
    struct known_order *next;                       /* of the same subject */
} known_t;

struct subject {
    char     card[TS_CARD_MAX + 1];                 /* first: the key; normalised */
    uint8_t  n;
    known_t *orders;
    int64_t  settled_ns;                            /* until then both answers are right */
};

struct ts_oracle {
    const ts_options_t *options;
    const char         *path;                       /* of the file being read */
    ts_lines_t         *followed;
    void               *numbers;                    /* tsearch tree of known_t */
    void               *cards;                      /* tsearch tree of subject_t */
    subject_t         **drawn;                      /* the same subjects, to draw from */
    size_t              n_drawn, size_drawn;
    int64_t             now_ns;                     /* 0 while reading what held before the start */
};

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The element with this key, made when `make_size` is not 0; NULL: not there, or out of memory. */
static void *find(void **tree, const char *key, size_t make_size)
{
    void **node = tfind(key, tree, by_text);
    char *element;

    if (node)
        return *node;
    if (make_size == 0)
        return NULL;
    element = calloc(1, make_size);
    if (!element)
        return NULL;
    strcpy(element, key);
    if (!tsearch(element, tree, by_text)) {
        free(element);
        return NULL;
    }
    return element;
}

static int add_drawn(ts_oracle_t *o, subject_t *s)
{
    subject_t **more;

    if (o->n_drawn == o->size_drawn) {
        more = realloc(o->drawn, (o->size_drawn + 1024) * 2 * sizeof *more);
        if (!more)
            return -1;
        o->drawn = more;
        o->size_drawn = (o->size_drawn + 1024) * 2;
    }
    o->drawn[o->n_drawn++] = s;
    return 0;
}

/* The subject of an order, or NULL with *wrong set, or NULL with *wrong NULL: not a subject of this
 * terminal. */
static subject_t *subject_of(ts_oracle_t *o, const ts_line_t *line, const char **wrong)
{
    char card[TS_CARD_MAX + 1];
    subject_t *s;
    size_t len;

    *wrong = NULL;
    if (line->scheme != o->options->scheme)
        return NULL;
    if (jd_subject_normalise(line->scheme, NULL, (const uint8_t *) line->id, strlen(line->id),
                             (uint8_t *) card, &len)
            != JD_SUBJECT_OK
        || !ts_card_plain(card, len)) {
        *wrong = "subject: the terminals present only 0-9 A-Z a-z . _ - that are of the scheme";
        return NULL;
    }
    card[len] = '\0';
    s = find(&o->cards, card, 0);
    if (s)
        return s;
    s = find(&o->cards, card, sizeof *s);
    if (!s || add_drawn(o, s) != 0)
        *wrong = "out of memory";
    return *wrong ? NULL : s;
}

/* What the daemon may refuse is not the oracle's to foretell: such a scenario is refused. */
static const char *amend(known_t *e, const ts_line_t *line, const subject_t *s)
{
    if (s != e->subject)
        return "amendment names another subject";
    if (line->served <= e->served && ((line->measures & ~e->measures) || line->until > e->until))
        return "amendment adds a measure or a later end without a later served";
    return NULL;
}

static const char *apply_order(ts_oracle_t *o, known_t *e, const ts_line_t *line)
{
    const char *wrong;
    subject_t *s = subject_of(o, line, &wrong);

    if (wrong || !s)
        return wrong;
    if (e->subject) {
        if ((wrong = amend(e, line, s)) != NULL)
            return wrong;
    } else {
        if (s->n == JD_ORDERS_MAX)
            return "subject has too many orders";
        s->n++;
        e->subject = s;
        e->next = s->orders;
        s->orders = e;
    }
    e->flags = (uint8_t) ((line->observe ? JD_ORDER_OBSERVE : 0)
                          | (line->objection ? JD_ORDER_OBJECTION : 0));
    e->measures = line->measures;
    e->served = line->served;
    e->from = line->from;
    e->until = line->until;
    return NULL;
}

static int apply(void *data, const char *text, size_t len, unsigned number)
{
    ts_oracle_t *o = data;
    ts_line_t line;
    const char *wrong = ts_line_parse(text, len, &line);
    known_t *e = wrong ? NULL : find(&o->numbers, line.number, sizeof *e);

    if (!wrong && !e)
        wrong = "out of memory";
    if (!wrong && line.kind == TS_LINE_ORDER)
        wrong = apply_order(o, e, &line);
    if (wrong) {
        ts_complain("%s:%u: %s", o->path, number, wrong);
        return -1;
    }
    if (line.kind == TS_LINE_LIFT)
        e->relief.lifted |= line.measures;
    if (line.kind == TS_LINE_MARK)
        e->relief.objection = line.objection != 0;
    if (e->subject && o->now_ns)
        e->subject->settled_ns = o->now_ns + (int64_t) o->options->window_ms * 1000000;
    return 0;
}

static int read_once(ts_oracle_t *o, const char *path)
{
    ts_lines_t *lines = ts_lines_open(path);
    int rc;

    if (!lines)
        return -1;
    o->path = path;
    rc = ts_lines_read(lines, 1, apply, o);
    ts_lines_close(lines);
    return rc;
}

ts_oracle_t *ts_oracle_create(const ts_options_t *options)
{
    ts_oracle_t *o = calloc(1, sizeof *o);

    if (!o) {
        ts_complain("out of memory");
        return NULL;
    }
    o->options = options;
    if (options->listed && read_once(o, options->listed) != 0)
        goto failed;
    if (options->oracle) {
        o->followed = ts_lines_open(options->oracle);
        if (!o->followed || ts_oracle_follow(o, 0) != 0)
            goto failed;
    }
    return o;

failed:
    ts_oracle_destroy(o);
    return NULL;
}

void ts_oracle_destroy(ts_oracle_t *o)
{
    if (!o)
        return;
    ts_lines_close(o->followed);
    tdestroy(o->numbers, free);
    tdestroy(o->cards, free);
    free(o->drawn);
    free(o);
}

int ts_oracle_follow(ts_oracle_t *o, int64_t now_ns)
{
    if (!o->followed)
        return 0;
    o->path = o->options->oracle;
    o->now_ns = now_ns;
    return ts_lines_read(o->followed, 0, apply, o);
}

size_t ts_oracle_cards(const ts_oracle_t *o)
{
    return o->n_drawn;
}

const char *ts_oracle_card(const ts_oracle_t *o, size_t i)
{
    return o->drawn[i]->card;
}

/* The number of the order that denies at this instant, or NULL: the card must pass. */
static const char *denying(const subject_t *s, unsigned measure_bit, int64_t now)
{
    jd_clocks_t clocks = {
        .now = now, .office_now = now, .verified_at = now, .max_stale = JD_MAX_STALE_SEC
    };
    jd_order_t orders[JD_ORDERS_MAX];
    jd_relief_t relief[JD_ORDERS_MAX];
    uint16_t observed = 0;
    unsigned n = 0;
    int which;

    memset(orders, 0, sizeof orders);
    for (const known_t *e = s->orders; e; e = e->next) {
        if (e->flags & (JD_ORDER_OBSERVE | JD_ORDER_OBJECTION)) {
            observed |= e->measures;
            continue;
        }
        orders[n].number = e->number;
        orders[n].number_len = (uint8_t) strlen(e->number);
        orders[n].measures = e->measures;
        orders[n].from = e->from;
        orders[n].until = e->until;
        relief[n++] = e->relief;
    }
    if (jd_policy_decide(&clocks, measure_bit, orders, relief, n, observed, &which)
        != JD_REASON_LISTED)
        return NULL;
    return orders[which].number;
}

/* Compares with what held at one instant. NULL when it agrees, else why not. */
static const char *compare(const subject_t *s, unsigned measure_bit, const ts_answer_t *a,
                           int64_t at, const char **order)
{
    *order = s ? denying(s, measure_bit, at) : NULL;
    if (a->outcome == TS_PASSED)
        return *order ? "passed, must be denied" : NULL;
    if (!*order)
        return "denied, must pass";
    if (a->order[0] && strcmp(a->order, *order) != 0)
        return "denied by another order";
    return NULL;
}

static ts_judgement_t judge(ts_oracle_t *o, const char *card, unsigned measure_bit,
                            const ts_answer_t *a, int64_t sent_ns, int64_t now_ns, const char **why,
                            const char **order)
{
    const subject_t *s = find(&o->cards, card, 0);
    int64_t now = (int64_t) time(NULL), sent = now - (now_ns - sent_ns) / 1000000000 - 1;
    int64_t at[] = { now, sent, now + 1, sent - (o->options->window_ms + 999) / 1000 };
    const char *other;

    *why = compare(s, measure_bit, a, now, order);
    if (s && sent_ns < s->settled_ns)
        return TS_SETTLING;
    for (unsigned i = 1; *why && i < sizeof at / sizeof at[0]; i++) {
        if (compare(s, measure_bit, a, at[i], &other) == NULL)
            return TS_SETTLING;                     /* an order begins or ends just now */
    }
    return *why ? TS_WRONG : TS_RIGHT;
}

ts_judgement_t ts_oracle_judge(ts_oracle_t *o, const char *card, unsigned measure_bit,
                               const ts_answer_t *a, int64_t sent_ns, int64_t now_ns,
                               const char **why, char order[JD_ORDER_NUMBER_MAX + 1])
{
    int observed = o->options->dry_run >> measure_bit & 1;
    ts_judgement_t judgement;
    const char *decides = NULL;

    if (a->outcome == TS_OTHER) {
        *why = "neither a pass nor a denial";
        judgement = TS_WRONG;
    } else if (observed || o->options->open) {
        *why = observed ? "denied in a dry run" : "denied in an outage";
        judgement = a->outcome == TS_DENIED ? TS_WRONG : TS_RIGHT;
    } else {
        judgement = judge(o, card, measure_bit, a, sent_ns, now_ns, why, &decides);
        if (judgement == TS_WRONG && o->followed && ts_oracle_follow(o, now_ns) == 0)
            judgement = judge(o, card, measure_bit, a, sent_ns, now_ns, why, &decides);
    }
    strcpy(order, decides ? decides : a->order[0] ? a->order : "-");
    return judgement;
}
