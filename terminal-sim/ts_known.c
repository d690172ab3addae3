/*
 * ts_known.c - orders, relief, stays and links as scenario lines tell of them, judged by jd_policy.
 */
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/jd_policy.h"
#include "ts_known.h"
#include "ts_terminal.h"

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

void ts_known_init(ts_known_t *k, jd_scheme_t scheme)
{
    memset(k, 0, sizeof *k);
    k->scheme = scheme;
}

static void free_subject(void *element)
{
    ts_subject_t *s = element;
    ts_known_link_t *next;

    for (ts_known_link_t *l = s->links; l; l = next) {
        next = l->next;
        free(l);
    }
    free(s);
}

void ts_known_fini(ts_known_t *k)
{
    tdestroy(k->numbers, free);
    tdestroy(k->subjects, free_subject);
    free(k->cards);
}

/* ---- subjects ---------------------------------------------------------------------------------- */

static int draw(ts_known_t *k, ts_subject_t *s)
{
    ts_subject_t **more;

    if (s->drawn)
        return 0;
    if (k->n_cards == k->size_cards) {
        more = realloc(k->cards, (k->size_cards + 1024) * 2 * sizeof *more);
        if (!more)
            return -1;
        k->cards = more;
        k->size_cards = (k->size_cards + 1024) * 2;
    }
    k->cards[k->n_cards++] = s;
    s->drawn = 1;
    return 0;
}

/* NULL with *wrong set. `named`: by an order or a link, so a card of the terminals may be drawn. */
static ts_subject_t *subject_of(ts_known_t *k, jd_scheme_t scheme, const char *id, int named,
                                const char **wrong)
{
    char key[TS_KEY_MAX + 1], norm[JD_SUBJECT_MAX + 1];
    ts_subject_t *s;
    size_t len;

    *wrong = NULL;
    if (jd_subject_normalise(scheme, NULL, (const uint8_t *) id, strlen(id), (uint8_t *) norm, &len)
        != JD_SUBJECT_OK) {
        *wrong = "subject: the identifier is not of its scheme";
        return NULL;
    }
    norm[len] = '\0';
    if (scheme == k->scheme && !ts_card_plain(norm, len)) {
        *wrong = "subject: the terminals present only 0-9 A-Z a-z . _ - that are of the scheme";
        return NULL;
    }
    snprintf(key, sizeof key, "%s:%s", jd_scheme_names[scheme], norm);
    s = find(&k->subjects, key, sizeof *s);
    if (!s || (named && scheme == k->scheme && draw(k, s) != 0)) {
        *wrong = "out of memory";
        return NULL;
    }
    return s;
}

const ts_subject_t *ts_known_card(const ts_known_t *k, const char *card)
{
    char key[TS_KEY_MAX + 1];
    void *tree = k->subjects;

    snprintf(key, sizeof key, "%s:%s", jd_scheme_names[k->scheme], card);
    return find(&tree, key, 0);
}

/* ---- lines ------------------------------------------------------------------------------------- */

/* What the daemon may refuse is not the oracle's to foretell: such a scenario is refused. */
static const char *amend(ts_known_order_t *e, const ts_line_t *line, const ts_subject_t *s)
{
    if (s != e->subject)
        return "amendment names another subject";
    if (line->served <= e->served && ((line->measures & ~e->measures) || line->until > e->until))
        return "amendment adds a measure or a later end without a later served";
    return NULL;
}

static const char *apply_order(ts_known_t *k, ts_known_order_t *e, const ts_line_t *line)
{
    const char *wrong;
    ts_subject_t *s = subject_of(k, line->scheme, line->id, 1, &wrong);

    if (wrong)
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

/* Takes the links of this card and holder (NULL: of anybody) away. */
static void unlink_card(ts_subject_t *card, const ts_subject_t *holder)
{
    ts_known_link_t **at = &card->links, *l;

    while ((l = *at) != NULL) {
        if (holder && l->holder != holder) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        free(l);
    }
}

static const char *apply_link(ts_known_t *k, const ts_line_t *line, int64_t settled_ns)
{
    ts_subject_t *card, *holder = NULL;
    ts_known_link_t *l;
    const char *wrong;

    card = subject_of(k, line->scheme, line->id, 1, &wrong);
    if (!wrong && line->holder[0])
        holder = subject_of(k, line->holder_scheme, line->holder, 0, &wrong);
    if (wrong)
        return wrong;
    unlink_card(card, holder);
    card->settled_ns = settled_ns;
    if (line->kind == TS_LINE_UNLINK)
        return NULL;
    l = calloc(1, sizeof *l);
    if (!l)
        return "out of memory";
    *l = (ts_known_link_t) { .holder = holder, .own = line->own, .from = line->from,
                             .until = line->until, .next = card->links };
    card->links = l;
    return NULL;
}

/* An order's, by its number. */
static const char *apply_number(ts_known_t *k, const ts_line_t *line, int64_t settled_ns)
{
    ts_known_order_t *e = find(&k->numbers, line->number, sizeof *e);
    const char *wrong = e ? NULL : "out of memory";

    if (wrong)
        return wrong;
    switch (line->kind) {
    case TS_LINE_ORDER:
        wrong = apply_order(k, e, line);
        break;
    case TS_LINE_LIFT:
        e->relief.lifted |= line->measures;
        break;
    case TS_LINE_MARK:
        e->relief.objection = line->objection != 0;
        break;
    case TS_LINE_OBJECTION:
        e->objected = line->objection;
        break;
    default:
        e->relief.stay = line->stay;
        break;
    }
    if (!wrong && e->subject)
        e->subject->settled_ns = settled_ns;
    return wrong;
}

const char *ts_known_apply(ts_known_t *k, const ts_line_t *line, int64_t settled_ns)
{
    const char *wrong = NULL;
    ts_subject_t *s;

    if (line->kind == TS_LINE_LINK || line->kind == TS_LINE_UNLINK)
        return apply_link(k, line, settled_ns);
    if (line->kind == TS_LINE_BRAKE) {
        for (unsigned bit = 0; bit < JD_MEASURE_N; bit++) {
            if (line->measures & 1u << bit) {
                k->brake[bit] = line->brake;
                k->brake_settled_ns[bit] = settled_ns;
            }
        }
        return NULL;
    }
    if (line->number[0])
        return apply_number(k, line, settled_ns);
    s = subject_of(k, line->scheme, line->id, 0, &wrong);
    if (s) {
        s->stay = line->stay;
        s->settled_ns = settled_ns;
    }
    return wrong;
}

/* ---- judgement --------------------------------------------------------------------------------- */

/*
 * Whether the holder's orders reach the card now: by an own link, joined with those of the same holder
 * that touch it, and with no other holder's own link over it, now or in what is to come of it.
 */
static int reaches(const ts_subject_t *card, const ts_subject_t *holder, int64_t now)
{
    int64_t from = now, until = now + 1;
    int found = 0, grown = 1;

    while (grown) {
        grown = 0;
        for (const ts_known_link_t *l = card->links; l; l = l->next) {
            int in = found ? l->from <= until && l->until >= from : l->from <= now && l->until > now;

            if (!l->own || l->holder != holder || !in)
                continue;
            grown |= !found || l->from < from || l->until > until;
            from = l->from < from ? l->from : from;
            until = l->until > until ? l->until : until;
            found = 1;
        }
    }
    for (const ts_known_link_t *l = card->links; found && l; l = l->next) {
        int64_t end = l->until < until ? l->until : until;

        if (l->own && l->holder != holder && (l->from > from ? l->from : from) < end && end > now)
            return 0;
    }
    return found;
}

typedef struct {
    jd_order_t  orders[JD_ORDERS_MAX];
    jd_relief_t relief[JD_ORDERS_MAX];
    uint16_t    observed;
    unsigned    n;
} set_t;

static void add_orders(set_t *set, const ts_subject_t *s, int64_t stay)
{
    for (const ts_known_order_t *e = s->orders; e && set->n < JD_ORDERS_MAX; e = e->next) {
        jd_order_t *o = &set->orders[set->n];
        jd_relief_t *r = &set->relief[set->n];

        if (e->flags & (JD_ORDER_OBSERVE | JD_ORDER_OBJECTION)) {
            set->observed |= e->measures;
            continue;
        }
        o->number = e->number;
        o->number_len = (uint8_t) strlen(e->number);
        o->measures = e->measures;
        o->from = e->from;
        o->until = e->until;
        *r = e->relief;
        r->objection |= e->objected != 0;
        r->stay = r->stay > stay ? r->stay : stay;
        set->n++;
    }
}

/* 1 when this link is the first of its holder. */
static int first_of(const ts_subject_t *card, const ts_known_link_t *link)
{
    for (const ts_known_link_t *l = card->links; l != link; l = l->next) {
        if (l->holder == link->holder)
            return 0;
    }
    return 1;
}

const char *ts_known_denying(const ts_subject_t *card, unsigned measure_bit, int64_t now)
{
    jd_clocks_t clocks = {
        .now = now, .office_now = now, .verified_at = now, .max_stale = JD_MAX_STALE_SEC
    };
    set_t set;
    int which;

    memset(&set, 0, sizeof set);
    add_orders(&set, card, card->stay);
    for (const ts_known_link_t *l = card->links; l; l = l->next) {
        if (first_of(card, l) && reaches(card, l->holder, now))
            add_orders(&set, l->holder,
                       l->holder->stay > card->stay ? l->holder->stay : card->stay);
    }
    if (jd_policy_decide(&clocks, measure_bit, set.orders, set.relief, set.n, set.observed, &which)
        != JD_REASON_LISTED)
        return NULL;
    return set.orders[which].number;
}

int64_t ts_known_settled(const ts_subject_t *card)
{
    int64_t at = card->settled_ns;

    for (const ts_known_link_t *l = card->links; l; l = l->next)
        at = l->holder->settled_ns > at ? l->holder->settled_ns : at;
    return at;
}
