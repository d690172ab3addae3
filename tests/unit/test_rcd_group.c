/*
 * rcd_group: whose a card is, and what an import makes of its links - against a model that looks at
 * every moment by itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "rcd_group.h"

#define A 1
#define B 2
#define C 3
#define OWN RCD_LINK_OWN

static rcd_holding_t holding(int holder, int64_t from, int64_t until, unsigned flags)
{
    rcd_holding_t h = {.from = from, .until = until, .flags = flags};

    memset(h.card, 9, sizeof(h.card));
    memset(h.holder, holder, sizeof(h.holder));
    return h;
}

static void put(rcd_group_t *g, int holder, int64_t from, int64_t until, unsigned flags)
{
    memset(g->card, 9, sizeof(g->card));
    g->link[g->n++] = holding(holder, from, until, flags);
}

static void says(rcd_lines_t *l, rcd_says_t what, int holder, int64_t from, int64_t until)
{
    l->line[l->n++] = (rcd_line_t){what, holding(holder, from, until, OWN)};
}

static int reaches(const rcd_reach_t *r, int holder, int64_t at)
{
    for (unsigned i = 0; i < r->n; i++) {
        if (r->term[i].holder[0] == holder && r->term[i].from <= at && at < r->term[i].until) {
            return 1;
        }
    }
    return 0;
}

/* ---- reach ----------------------------------------------------------------------------------- */

static void own_links_reach(void **state)
{
    rcd_group_t g = {.n = 0};
    rcd_reach_t r;

    (void) state;
    rcd_group_reach(&g, 0, &r);
    assert_int_equal(r.n, 0);
    put(&g, A, 0, 100, OWN);
    put(&g, B, 0, 100, 0);                                /* another's use of it */
    rcd_group_reach(&g, 0, &r);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.n_two, 0);
    assert_true(reaches(&r, A, 0) && reaches(&r, A, 99) && !reaches(&r, A, 100));
    put(&g, A, 100, 200, OWN);                            /* touches: one term */
    put(&g, A, 300, 400, OWN);
    rcd_group_reach(&g, 0, &r);
    assert_int_equal(r.n, 2);
    assert_int_equal(r.term[0].until, 200);
    g.link[1].flags |= RCD_LINK_DOUBT;
    rcd_group_reach(&g, 0, &r);
    assert_int_equal(r.n, 0);
    assert_int_equal(r.doubt, 1);
}

static void two_holders(void **state)
{
    rcd_group_t g = {.n = 0};
    rcd_reach_t r;

    (void) state;
    put(&g, A, 0, 100, OWN);
    put(&g, B, 50, 200, OWN);
    rcd_group_reach(&g, 0, &r);
    assert_int_equal(r.n_two, 2);
    assert_int_equal(r.two_until, 100);
    for (int64_t at = 0; at < 100; at++) {
        assert_false(reaches(&r, A, at) || reaches(&r, B, at));
    }
    assert_true(reaches(&r, B, 100));
    rcd_group_reach(&g, 100, &r);                         /* over: nothing to say any more */
    assert_int_equal(r.n_two, 0);
    assert_true(reaches(&r, B, 100) && !reaches(&r, B, 99));
}

static rcd_group_t random_group(void)
{
    rcd_group_t g = {.n = 0};
    unsigned n = (unsigned) rand() % 6;

    memset(g.card, 9, sizeof(g.card));
    for (unsigned i = 0; i < n; i++) {
        int64_t from = rand() % 20;

        put(&g, 1 + rand() % 3, from, from + 1 + rand() % 10,
            rand() % 5 ? OWN : rand() % 2 ? OWN | RCD_LINK_DOUBT : 0u);
    }
    return g;
}

/* Whether a holder has the card as its own at a moment, by the links one by one. */
static int has(const rcd_group_t *g, int holder, int64_t at)
{
    for (unsigned i = 0; i < g->n; i++) {
        const rcd_holding_t *h = &g->link[i];

        if (h->flags & OWN && h->holder[0] == holder && h->from <= at && at < h->until) {
            return 1;
        }
    }
    return 0;
}

/* 1 when two have it at once at some moment from `at` on within this holder's link that holds at `at`. */
static int disputed(const rcd_group_t *g, int holder, int64_t at)
{
    for (; has(g, holder, at); at++) {
        for (int other = A; other <= C; other++) {
            if (other != holder && has(g, other, at)) {
                return 1;
            }
        }
    }
    return 0;
}

/* Moment by moment: the card is exactly its undisputed holder's, and never two holders'. */
static void reach_by_moment(void **state)
{
    (void) state;
    srand(1);
    for (int round = 0; round < 20000; round++) {
        rcd_group_t g = random_group();
        rcd_reach_t r;
        int doubt = 0;

        for (unsigned i = 0; i < g.n; i++) {
            doubt |= (g.link[i].flags & RCD_LINK_DOUBT) != 0;
        }
        rcd_group_reach(&g, 0, &r);
        for (int64_t at = 0; at < 40; at++) {
            int of = 0;

            for (int h = A; h <= C; h++) {
                int want = !doubt && has(&g, h, at) && !disputed(&g, h, at);

                assert_int_equal(reaches(&r, h, at), want);
                of += reaches(&r, h, at);
            }
            assert_true(of <= 1);
        }
    }
}

/* What is left while an import waits: what both reach, and nothing more. */
static void narrowed_by_moment(void **state)
{
    (void) state;
    srand(2);
    for (int round = 0; round < 20000; round++) {
        rcd_group_t old = random_group(), fresh = random_group(), left;
        rcd_reach_t a, b, c;

        rcd_group_narrow(&old, &fresh, 0, &left);
        rcd_group_reach(&old, 0, &a);
        rcd_group_reach(&fresh, 0, &b);
        rcd_group_reach(&left, 0, &c);
        for (int64_t at = 0; at < 40; at++) {
            for (int h = A; h <= C; h++) {
                assert_int_equal(reaches(&c, h, at), reaches(&a, h, at) && reaches(&b, h, at));
            }
        }
        assert_int_equal(rcd_reach_grows(&a, &c), 0);
        assert_int_equal(rcd_reach_grows(&b, &c), 0);
        assert_int_equal(rcd_reach_same(&a, &c), !rcd_reach_grows(&c, &a));
    }
}

/* ---- merging --------------------------------------------------------------------------------- */

static rcd_group_t merged(const rcd_group_t *old, const rcd_lines_t *lines, int whole, int lost)
{
    rcd_group_t out;

    assert_int_equal(rcd_group_merge(old, lines, whole, lost, &out), 0);
    return out;
}

static int doubtful(const rcd_group_t *g)
{
    rcd_reach_t r;

    rcd_group_reach(g, 0, &r);
    return r.doubt;
}

static void full_file(void **state)
{
    rcd_group_t old = {.n = 0}, g;
    rcd_lines_t lines = {.n = 0};

    (void) state;
    put(&old, A, 0, 100, OWN);
    g = merged(&old, &lines, 1, 0);
    assert_int_equal(g.n, 0);                             /* absent: returned */
    g = merged(&old, &lines, 1, 1);                       /* absent, but lines were lost */
    assert_int_equal(g.n, 1);
    assert_true(doubtful(&g));
    says(&lines, RCD_SAYS_LINK, B, 5, 50);
    g = merged(&old, &lines, 1, 1);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.link[0].holder[0], B);
    assert_false(doubtful(&g));
    says(&lines, RCD_SAYS_LINK, B, 5, 50);                /* the same line twice is one link */
    g = merged(&old, &lines, 1, 0);
    assert_int_equal(g.n, 1);
}

static void refused_lines(void **state)
{
    rcd_group_t old = {.n = 0}, g;
    rcd_lines_t known = {.n = 0}, unknown = {.n = 0}, other = {.n = 0};

    (void) state;
    put(&old, A, 0, 100, OWN);
    says(&known, RCD_SAYS_HOLDER, A, 0, 1);               /* a broken date, say */
    says(&unknown, RCD_SAYS_CARD, 0, 0, 1);               /* a broken holder */
    says(&other, RCD_SAYS_HOLDER, B, 0, 1);               /* of a holder it was not linked to */
    for (int whole = 0; whole <= 1; whole++) {
        g = merged(&old, &known, whole, 0);
        assert_int_equal(g.n, 1);
        assert_false(doubtful(&g));
        g = merged(&old, &unknown, whole, 0);
        assert_int_equal(g.n, 1);                         /* kept, */
        assert_true(doubtful(&g));                        /* but it may be somebody else's by now */
        g = merged(&old, &other, whole, 0);
        assert_true(g.n == 1 && doubtful(&g));
    }
    /* a good line beside a broken one: the broken one may name a second holder */
    says(&unknown, RCD_SAYS_LINK, A, 0, 100);
    g = merged(&old, &unknown, 1, 0);
    assert_true(g.n == 1 && doubtful(&g));
    /* and a good line alone ends the doubt */
    old = g;
    unknown.n = 0;
    says(&unknown, RCD_SAYS_LINK, A, 0, 100);
    g = merged(&old, &unknown, 0, 0);
    assert_true(g.n == 1 && !doubtful(&g));
}

static void delta(void **state)
{
    rcd_group_t old = {.n = 0}, g;
    rcd_lines_t lines = {.n = 0};

    (void) state;
    put(&old, A, 0, 100, OWN);
    put(&old, B, 0, 100, 0);
    g = merged(&old, &lines, 0, 0);
    assert_true(rcd_group_same(&old, &g));
    says(&lines, RCD_SAYS_NOT_HOLDER, A, 0, 1);
    g = merged(&old, &lines, 0, 0);
    assert_true(g.n == 1 && g.link[0].holder[0] == B);
    says(&lines, RCD_SAYS_LINK, C, 0, 100);
    g = merged(&old, &lines, 0, 0);
    assert_int_equal(g.n, 2);
    lines.n = 0;
    says(&lines, RCD_SAYS_LINK, A, 50, 60);               /* takes the place of A's other terms */
    says(&lines, RCD_SAYS_LINK, A, 70, 80);
    g = merged(&old, &lines, 0, 0);
    assert_int_equal(g.n, 3);
    lines.n = 0;
    says(&lines, RCD_SAYS_NOBODY, 0, 0, 1);
    g = merged(&old, &lines, 0, 0);
    assert_int_equal(g.n, 0);
    says(&lines, RCD_SAYS_LINK, C, 0, 100);               /* passes on in one file */
    g = merged(&old, &lines, 0, 0);
    assert_true(g.n == 1 && g.link[0].holder[0] == C);
}

/* Whatever is said: entries in order, none twice, and a card with too many is refused. */
static void merge_keeps_order(void **state)
{
    static const rcd_says_t all[] = {RCD_SAYS_LINK, RCD_SAYS_LINK, RCD_SAYS_NOT_HOLDER,
                                     RCD_SAYS_NOBODY, RCD_SAYS_HOLDER, RCD_SAYS_CARD};
    static rcd_group_t out;
    uint8_t a[RCD_LINKS_ENTRY], b[RCD_LINKS_ENTRY];
    rcd_group_t old;
    rcd_lines_t lines;

    (void) state;
    srand(3);
    for (int round = 0; round < 20000; round++) {
        old = random_group();
        lines.n = 0;
        lines.full = 0;
        for (int i = rand() % 5; i > 0; i--) {
            int64_t from = rand() % 20;

            says(&lines, all[rand() % 6], 1 + rand() % 3, from, from + 1 + rand() % 10);
        }
        assert_int_equal(rcd_group_merge(&old, &lines, rand() % 2, rand() % 2, &out), 0);
        for (unsigned i = 0; i < out.n; i++) {
            rcd_links_encode(&out.link[i], b);
            assert_true(i == 0 || memcmp(a, b, sizeof(a)) < 0);
            memcpy(a, b, sizeof(a));
        }
    }
    old.n = lines.n = 0;
    for (unsigned i = 0; i < RCD_GROUP_MAX; i++) {
        put(&old, A, 10 * i, 10 * i + 5, OWN);
    }
    says(&lines, RCD_SAYS_LINK, B, 0, 1);
    assert_int_equal(rcd_group_merge(&old, &lines, 0, 0, &out), -1);
    lines.full = 1;
    assert_int_equal(rcd_group_merge(&old, &lines, 1, 0, &out), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_links_reach),   cmocka_unit_test(two_holders),
        cmocka_unit_test(reach_by_moment),   cmocka_unit_test(narrowed_by_moment),
        cmocka_unit_test(full_file),         cmocka_unit_test(refused_lines),
        cmocka_unit_test(delta),             cmocka_unit_test(merge_keeps_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
