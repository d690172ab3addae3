/*
 * rcd_group - all links of one card: what an import makes of them, and whom they reach.
 */
#include <stdlib.h>
#include <string.h>
#include "rcd_group.h"

/* ---- reading --------------------------------------------------------------------------------- */

int rcd_group_read(const rcd_links_t *l, uint64_t *at, rcd_group_t *g)
{
    rcd_holding_t h;

    g->n = 0;
    g->full = 0;
    if (l == NULL || *at >= l->head.n) {
        return 0;
    }
    for (; *at < l->head.n; (*at)++) {
        rcd_links_get(l, *at, &h);
        if (g->n == 0 && !g->full) {
            memcpy(g->card, h.card, JD_DIGEST_LEN);
        } else if (memcmp(g->card, h.card, JD_DIGEST_LEN) != 0) {
            break;
        }
        if (g->n == RCD_GROUP_MAX) {
            g->full = 1;
        } else {
            g->link[g->n++] = h;
        }
    }
    return 1;
}

void rcd_group_of(const rcd_links_t *l, const uint8_t card[JD_DIGEST_LEN], rcd_group_t *g)
{
    uint64_t at = l != NULL ? rcd_links_card(l, card) : 0;

    if (!rcd_group_read(l, &at, g) || memcmp(g->card, card, JD_DIGEST_LEN) != 0) {
        memcpy(g->card, card, JD_DIGEST_LEN);
        g->n = 0;
        g->full = 0;
    }
}

static int same_link(const rcd_holding_t *a, const rcd_holding_t *b)
{
    return a->from == b->from && a->until == b->until && a->flags == b->flags &&
           memcmp(a->holder, b->holder, JD_DIGEST_LEN) == 0;
}

int rcd_group_same(const rcd_group_t *a, const rcd_group_t *b)
{
    if (a->n != b->n || a->full != b->full) {
        return 0;
    }
    for (unsigned i = 0; i < a->n; i++) {
        if (!same_link(&a->link[i], &b->link[i])) {
            return 0;
        }
    }
    return 1;
}

/* ---- reach ----------------------------------------------------------------------------------- */

static int by_holder_and_time(const void *a, const void *b)
{
    const rcd_reach_term_t *x = a, *y = b;
    int order = memcmp(x->holder, y->holder, JD_DIGEST_LEN);

    return order != 0 ? order : (x->from > y->from) - (x->from < y->from);
}

/* Own links as terms, those of one holder that touch made one. Their number. */
static unsigned own_terms(const rcd_group_t *g, rcd_reach_term_t *term)
{
    unsigned n = 0, kept = 0;

    for (unsigned i = 0; i < g->n; i++) {
        const rcd_holding_t *h = &g->link[i];

        if (h->flags & RCD_LINK_OWN) {
            memcpy(term[n].holder, h->holder, JD_DIGEST_LEN);
            term[n].from = h->from;
            term[n].until = h->until;
            term[n++].flags = h->flags;
        }
    }
    qsort(term, n, sizeof(*term), by_holder_and_time);
    for (unsigned i = 0; i < n; i++) {
        rcd_reach_term_t *last = kept > 0 ? &term[kept - 1] : NULL;

        if (last != NULL && memcmp(last->holder, term[i].holder, JD_DIGEST_LEN) == 0 &&
            term[i].from <= last->until) {
            last->until = term[i].until > last->until ? term[i].until : last->until;
        } else {
            term[kept++] = term[i];
        }
    }
    return kept;
}

/* End of the last overlap of term `i` with another holder's; 0 = there is none. */
static int64_t overlap_end(const rcd_reach_term_t *term, unsigned n, unsigned i)
{
    int64_t end = 0;

    for (unsigned j = 0; j < n; j++) {
        int64_t until = term[i].until < term[j].until ? term[i].until : term[j].until;
        int64_t from = term[i].from > term[j].from ? term[i].from : term[j].from;

        if (from < until && memcmp(term[i].holder, term[j].holder, JD_DIGEST_LEN) != 0 &&
            until > end) {
            end = until;
        }
    }
    return end;
}

static void note_two(rcd_reach_t *out, const rcd_reach_term_t *t, int64_t end)
{
    if (out->two_until == 0 || end < out->two_until) {
        out->two_until = end;
    }
    if (out->n_two < RCD_REACH_MAX &&
        (out->n_two == 0 ||
         memcmp(out->two[out->n_two - 1], t->holder, JD_DIGEST_LEN) != 0)) {
        memcpy(out->two[out->n_two++], t->holder, JD_DIGEST_LEN);
    }
}

void rcd_group_reach(const rcd_group_t *g, int64_t now, rcd_reach_t *out)
{
    rcd_reach_term_t term[RCD_GROUP_MAX];
    unsigned n;

    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < g->n; i++) {
        out->doubt |= (g->link[i].flags & RCD_LINK_DOUBT) != 0;
    }
    out->doubt |= g->full;
    n = out->doubt ? 0 : own_terms(g, term);
    for (unsigned i = 0; i < n; i++) {
        int64_t end = overlap_end(term, n, i);

        if (end > now) {
            note_two(out, &term[i], end);
        }
        if (end >= term[i].until) {
            continue;
        }
        if (out->n == RCD_REACH_MAX) {               /* no card has so many: do not guess */
            out->n = 0;
            out->doubt = 1;
            return;
        }
        out->term[out->n] = term[i];
        if (end > term[i].from) {
            out->term[out->n].from = end;
        }
        out->n++;
    }
}

int rcd_reach_same(const rcd_reach_t *a, const rcd_reach_t *b)
{
    if (a->n != b->n) {
        return 0;
    }
    for (unsigned i = 0; i < a->n; i++) {
        if (memcmp(a->term[i].holder, b->term[i].holder, JD_DIGEST_LEN) != 0 ||
            a->term[i].from != b->term[i].from || a->term[i].until != b->term[i].until) {
            return 0;
        }
    }
    return 1;
}

/* Terms of one holder lie apart, so a term is covered by one or not at all. */
static int covered(const rcd_reach_t *by, const rcd_reach_term_t *t)
{
    for (unsigned i = 0; i < by->n; i++) {
        if (memcmp(by->term[i].holder, t->holder, JD_DIGEST_LEN) == 0 &&
            by->term[i].from <= t->from && by->term[i].until >= t->until) {
            return 1;
        }
    }
    return 0;
}

int rcd_reach_grows(const rcd_reach_t *a, const rcd_reach_t *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        if (!covered(a, &b->term[i])) {
            return 1;
        }
    }
    return 0;
}

/* ---- merging --------------------------------------------------------------------------------- */

static int by_bytes(const void *a, const void *b)
{
    uint8_t x[RCD_LINKS_ENTRY], y[RCD_LINKS_ENTRY];

    rcd_links_encode(a, x);
    rcd_links_encode(b, y);
    return memcmp(x, y, RCD_LINKS_ENTRY);
}

/* 0, or -1 when the card has too many links. */
static int add(rcd_group_t *g, const rcd_holding_t *h)
{
    if (g->n == RCD_GROUP_MAX) {
        return -1;
    }
    g->link[g->n++] = *h;
    return 0;
}

static int says(const rcd_lines_t *lines, rcd_says_t what, const uint8_t *holder)
{
    for (unsigned i = 0; i < lines->n; i++) {
        if (lines->line[i].says == what &&
            (holder == NULL ||
             memcmp(lines->line[i].link.holder, holder, JD_DIGEST_LEN) == 0)) {
            return 1;
        }
    }
    return 0;
}

static int has_holder(const rcd_group_t *g, const uint8_t *holder)
{
    for (unsigned i = 0; i < g->n; i++) {
        if (memcmp(g->link[i].holder, holder, JD_DIGEST_LEN) == 0) {
            return 1;
        }
    }
    return 0;
}

/* 1 when a link of the card that stood before still stands. */
static int stays(const rcd_lines_t *lines, const rcd_holding_t *h, int whole, int unsure)
{
    if (says(lines, RCD_SAYS_LINK, h->holder)) {
        return 0;                                    /* replaced */
    }
    if (whole) {
        return unsure || says(lines, RCD_SAYS_HOLDER, h->holder);
    }
    return !says(lines, RCD_SAYS_NOBODY, NULL) && !says(lines, RCD_SAYS_NOT_HOLDER, h->holder);
}

/* 1 when a refused line may mean that the card is somebody else's by now. */
static int in_doubt(const rcd_group_t *old, const rcd_lines_t *lines)
{
    for (unsigned i = 0; i < lines->n; i++) {
        const rcd_line_t *l = &lines->line[i];

        if (l->says == RCD_SAYS_CARD ||
            (l->says == RCD_SAYS_HOLDER && !has_holder(old, l->link.holder) &&
             !says(lines, RCD_SAYS_LINK, l->link.holder))) {
            return 1;
        }
    }
    return 0;
}

int rcd_group_merge(const rcd_group_t *old, const rcd_lines_t *lines, int whole, int lost,
                    rcd_group_t *out)
{
    int cleared = says(lines, RCD_SAYS_LINK, NULL);
    int doubt = in_doubt(old, lines) || (whole && lost && lines->n == 0);
    unsigned kept = 0;

    memcpy(out->card, old->card, JD_DIGEST_LEN);
    out->n = 0;
    out->full = 0;
    if (old->full || lines->full) {
        return -1;
    }
    for (unsigned i = 0; i < old->n; i++) {
        rcd_holding_t h = old->link[i];

        if (!stays(lines, &h, whole, doubt && !cleared)) {
            continue;
        }
        h.flags &= cleared ? ~(unsigned) RCD_LINK_DOUBT : ~0u;
        if (add(out, &h) != 0) {
            return -1;
        }
    }
    for (unsigned i = 0; i < lines->n; i++) {
        const rcd_line_t *l = &lines->line[i];

        if (l->says == RCD_SAYS_LINK && add(out, &l->link) != 0) {
            return -1;
        }
    }
    for (unsigned i = 0; i < out->n; i++) {
        out->link[i].flags |= doubt ? RCD_LINK_DOUBT : 0u;
    }
    qsort(out->link, out->n, sizeof(out->link[0]), by_bytes);
    for (unsigned i = 0; i < out->n; i++) {
        if (kept == 0 || !same_link(&out->link[kept - 1], &out->link[i])) {
            out->link[kept++] = out->link[i];
        }
    }
    out->n = kept;
    return 0;
}

void rcd_group_narrow(const rcd_group_t *old, const rcd_group_t *fresh, int64_t now,
                      rcd_group_t *out)
{
    rcd_reach_t was, will;

    memcpy(out->card, old->card, JD_DIGEST_LEN);
    out->n = 0;
    out->full = 0;
    rcd_group_reach(old, now, &was);
    rcd_group_reach(fresh, now, &will);
    for (unsigned i = 0; i < was.n; i++) {
        for (unsigned j = 0; j < will.n; j++) {
            const rcd_reach_term_t *a = &was.term[i], *b = &will.term[j];
            rcd_holding_t h = {.from = a->from > b->from ? a->from : b->from,
                               .until = a->until < b->until ? a->until : b->until,
                               .flags = a->flags};

            if (memcmp(a->holder, b->holder, JD_DIGEST_LEN) == 0 && h.from < h.until) {
                memcpy(h.card, old->card, JD_DIGEST_LEN);
                memcpy(h.holder, a->holder, JD_DIGEST_LEN);
                (void) add(out, &h);
            }
        }
    }
    qsort(out->link, out->n, sizeof(out->link[0]), by_bytes);
}
