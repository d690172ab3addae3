/*
 * rcd_holders_pass - walks over old and new links side by side, card by card: merging, weighing,
 * narrowing, and marking what changed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_holders_job.h"
#include "rcd_slice.h"

#define CHECK        64                   /* cards between two looks at the clock */
#define SAYS_OFF     43                   /* as rcd_holders_read has put it */
#define FILTER_BITS  16                   /* of the filter for each live order */

static int failed(rcd_job_t *job, const char *why)
{
    snprintf(job->err, sizeof(job->err), "%s", why);
    return -1;
}

/* ---- merging --------------------------------------------------------------------------------- */

/* Makes job->next the next statement. 0 or -1. */
static int input_peek(rcd_job_t *job)
{
    int rc = job->has_input ? 1 : rcd_sort_next(job->input, job->next);

    job->has_input = rc > 0;
    return rc < 0 ? failed(job, strerror(errno)) : 0;
}

/* All statements about `card`. 0 or -1. */
static int lines_of(rcd_job_t *job, const uint8_t *card, rcd_lines_t *lines)
{
    lines->n = 0;
    lines->full = 0;
    while (input_peek(job) == 0 && job->has_input &&
           memcmp(job->next, card, JD_DIGEST_LEN) == 0) {
        job->has_input = 0;
        job->given++;
        if (lines->n == RCD_GROUP_MAX) {
            lines->full = 1;
            continue;
        }
        lines->line[lines->n].says = (rcd_says_t) job->next[SAYS_OFF];
        rcd_links_decode(job->next, &lines->line[lines->n++].link);
    }
    return job->err[0] == '\0' ? 0 : -1;
}

static void count_card(rcd_links_counts_t *c, const rcd_group_t *old, const rcd_group_t *fresh,
                       int64_t now)
{
    rcd_reach_t reach;

    if (fresh->n > 0) {
        rcd_group_reach(fresh, now, &reach);
        c->cards++;
        c->doubt += reach.doubt != 0;
        c->two += reach.n_two > 0;
    }
    if (!rcd_group_same(old, fresh)) {
        c->added += old->n == 0;
        c->returned += fresh->n == 0;
        c->changed += old->n > 0 && fresh->n > 0;
    }
}

static int write_group(rcd_job_t *job, const rcd_group_t *g)
{
    for (unsigned i = 0; i < g->n; i++) {
        if (rcd_links_writer_put(job->writer, &g->link[i]) != 0) {
            return failed(job, strerror(errno));
        }
    }
    return 0;
}

/*
 * The lower card of the next of the old links and `other` (NULL: none), with its old links, which are
 * none when it has none: 1, 0 at the end, -1. While marking, the old links are those of job->before,
 * and not those in force.
 */
static int old_group(rcd_holders_t *h, const uint8_t *other, rcd_group_t *g)
{
    rcd_job_t *job = &h->job;
    uint64_t next = job->at_old;
    int rc;

    if (job->phase != RCD_JOB_MARK) {
        rc = rcd_reach_walk(h->s, &job->walk, other, g);
        return rc < 0 ? failed(job, h->s->fault) : rc;
    }
    if (rcd_group_read(job->mark_from, &next, g) &&
        (other == NULL || memcmp(other, g->card, JD_DIGEST_LEN) >= 0)) {
        job->at_old = next;
        return 1;
    }
    if (other == NULL) {
        return 0;
    }
    memcpy(g->card, other, JD_DIGEST_LEN);
    g->n = 0;
    g->full = 0;
    return 1;
}

int rcd_holders_merge(rcd_holders_t *h, int64_t end_ns)
{
    rcd_job_t *job = &h->job;
    int whole = job->head.how == RCD_LINKS_FULL, rc;
    rcd_group_t was, will;
    rcd_lines_t lines;

    for (unsigned n = 1;; n++) {
        if (input_peek(job) != 0) {
            return -1;
        }
        rc = old_group(h, job->has_input ? job->next : NULL, &was);
        if (rc <= 0) {
            return rc;
        }
        if (lines_of(job, was.card, &lines) != 0) {
            return -1;
        }
        if (rcd_group_merge(&was, &lines, whole, job->lost > 0, &will) != 0) {
            return failed(job, "one card has more than 128 links");
        }
        if (write_group(job, &will) != 0) {
            return -1;
        }
        count_card(&job->head.counts, &was, &will, job->head.at);
        if (n % CHECK == 0 && rcd_slice_over(end_ns)) {
            return 1;
        }
    }
}

/* ---- weighing -------------------------------------------------------------------------------- */

static uint64_t filter_bit(const rcd_job_t *job, const uint8_t *digest)
{
    uint64_t v;

    memcpy(&v, digest, sizeof(v));
    return v & job->filter_mask;
}

/* Digests of live orders as bits: most holders are under none, and that is told without a query. */
int rcd_holders_filter(rcd_holders_t *h, int64_t end_ns)
{
    rcd_job_t *job = &h->job;
    uint8_t digest[JD_DIGEST_LEN];
    uint64_t bits = 1024;
    int rc;

    if (job->filter == NULL) {
        while (bits < h->s->live * FILTER_BITS) {
            bits *= 2;
        }
        job->filter = calloc(1, bits / 8);
        job->filter_mask = bits - 1;
        if (job->filter == NULL) {
            return failed(job, "out of memory");
        }
    }
    for (unsigned n = 1; (rc = rcd_store_next_live(h->s, job->filter_any ? job->filter_at : NULL,
                                                   digest)) > 0; n++) {
        uint64_t bit = filter_bit(job, digest);

        job->filter[bit / 8] |= (uint8_t) (1u << bit % 8);
        memcpy(job->filter_at, digest, JD_DIGEST_LEN);
        job->filter_any = 1;
        if (n % CHECK == 0 && rcd_slice_over(end_ns)) {
            return 1;
        }
    }
    return rc < 0 ? failed(job, h->s->fault) : 0;
}

/* Leaves of a reach the holders under an order. 0 or -1. */
static int listed_only(rcd_holders_t *h, rcd_reach_t *r)
{
    unsigned kept = 0;
    rcd_row_t row;
    int rc;

    for (unsigned i = 0; i < r->n; i++) {
        uint64_t bit = filter_bit(&h->job, r->term[i].holder);

        if (!(h->job.filter[bit / 8] & 1u << bit % 8)) {
            continue;
        }
        rc = rcd_store_live(h->s, r->term[i].holder, &row, 1);
        if (rc < 0) {
            return failed(&h->job, h->s->fault);
        }
        if (rc > 0) {
            r->term[kept++] = r->term[i];
        }
    }
    r->n = kept;
    return 0;
}

/* The next card of the old links or of `fresh`, with its links in both: 1, 0 at the end, -1. */
static int both_groups(rcd_holders_t *h, const rcd_links_t *fresh, rcd_group_t *was,
                       rcd_group_t *will)
{
    uint64_t *at_new = &h->job.at_new, next = *at_new;
    int any = rcd_group_read(fresh, &next, will), rc;

    rc = old_group(h, any ? will->card : NULL, was);
    if (rc <= 0) {
        return rc;
    }
    if (any && memcmp(will->card, was->card, JD_DIGEST_LEN) == 0) {
        *at_new = next;
    } else {
        memcpy(will->card, was->card, JD_DIGEST_LEN);
        will->n = 0;
        will->full = 0;
    }
    return 1;
}

int rcd_holders_weigh(rcd_holders_t *h, int64_t end_ns)
{
    rcd_job_t *job = &h->job;
    rcd_links_counts_t *c = &job->head.counts;
    rcd_group_t was, will;
    rcd_reach_t a, b;
    int rc;

    for (unsigned n = 1; (rc = both_groups(h, job->fresh, &was, &will)) > 0; n++) {
        rcd_group_reach(&was, job->head.at, &a);
        if (listed_only(h, &a) != 0) {
            return -1;
        }
        c->listed += a.n > 0;
        if (!rcd_group_same(&was, &will)) {
            rcd_group_reach(&will, job->head.at, &b);
            if (listed_only(h, &b) != 0) {
                return -1;
            }
            c->listed_shrunk += rcd_reach_grows(&b, &a);
            c->listed_grown += rcd_reach_grows(&a, &b);
        }
        if (n % CHECK == 0 && rcd_slice_over(end_ns)) {
            return 1;
        }
    }
    return rc;
}

int rcd_holders_narrow(rcd_holders_t *h, int64_t end_ns)
{
    rcd_job_t *job = &h->job;
    rcd_group_t was, will, narrowed;
    rcd_reach_t a, b;
    int rc;

    for (unsigned n = 1; (rc = both_groups(h, h->held, &was, &will)) > 0; n++) {
        const rcd_group_t *left = &was;

        if (!rcd_group_same(&was, &will)) {
            left = &narrowed;
            rcd_group_narrow(&was, &will, job->head.at, &narrowed);
            rcd_group_reach(&was, job->head.at, &a);
            rcd_group_reach(&narrowed, job->head.at, &b);
            job->narrowed += !rcd_reach_same(&a, &b);
        }
        if (write_group(job, left) != 0) {
            return -1;
        }
        job->head.counts.cards += left->n > 0;
        if (n % CHECK == 0 && rcd_slice_over(end_ns)) {
            return 1;
        }
    }
    return rc;
}

/* ---- marking --------------------------------------------------------------------------------- */

int rcd_holders_any_listed(rcd_state_t *s, const rcd_group_t *g)
{
    rcd_row_t row;
    int rc = 0;

    for (unsigned i = 0; i < g->n && rc == 0; i++) {
        if (g->link[i].flags & RCD_LINK_OWN) {
            rc = rcd_store_live(s, g->link[i].holder, &row, 1);
        }
    }
    return rc;
}

/* Marks a card that changed for somebody under an order. Two holders at once are told of though the
 * card reaches neither, so its links count and not its reach alone. 0 or -1. */
static int mark_card(rcd_state_t *s, const rcd_group_t *was, const rcd_group_t *will)
{
    int rc = rcd_holders_any_listed(s, was);

    rc = rc == 0 ? rcd_holders_any_listed(s, will) : rc;
    return rc <= 0 ? rc : rcd_store_dirty(s, will->card);
}

static int mark_some(rcd_holders_t *h, int64_t end_ns)
{
    rcd_job_t *job = &h->job;
    const rcd_links_t *fresh = rcd_reach_usable(h->s);
    rcd_group_t was, will;
    int rc;

    /* links under another key have left nothing in Redis that these could meet */
    job->mark_from = job->before;
    if (job->before != NULL &&
        (fresh == NULL || strcmp(job->before->head.under, fresh->head.under) != 0)) {
        job->mark_from = NULL;
    }
    if (h->s->live == 0) {
        return 0;
    }
    for (unsigned n = 1; (rc = both_groups(h, fresh, &was, &will)) > 0; n++) {
        if (!rcd_group_same(&was, &will) && mark_card(h->s, &was, &will) < 0) {
            return -1;
        }
        if (n % CHECK == 0 && rcd_slice_over(end_ns)) {
            return 1;
        }
    }
    return rc;
}

int rcd_holders_mark(rcd_holders_t *h, int64_t end_ns)
{
    int rc;

    if (rcd_store_begin(h->s, 0) < 0) {
        return failed(&h->job, h->s->fault);
    }
    rc = mark_some(h, end_ns);
    if (rc < 0 || rcd_store_commit(h->s) < 0) {
        rcd_store_rollback(h->s);
        return failed(&h->job, h->s->fault);
    }
    return rc;
}
