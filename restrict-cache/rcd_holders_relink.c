/*
 * rcd_holders_relink - a change of few links: in force at once, beside the file.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_audit.h"
#include "rcd_holders_job.h"
#include "rcd_relink.h"

#define FEW_LINES   1000                  /* of an import that may act beside the file */
#define KEPT_CARDS  20000                 /* beside the file; then the next change rewrites it */
#define SAYS_OFF    43                    /* as rcd_holders_read has put it */

static int failed(rcd_job_t *job, const char *why)
{
    snprintf(job->err, sizeof(job->err), "%s", why);
    return -1;
}

void rcd_holders_head(const rcd_holders_t *h, rcd_links_head_t *head)
{
    const rcd_links_t *l = rcd_reach_links(h->s);

    memset(head, 0, sizeof(*head));
    if (l != NULL) {
        *head = l->head;
        (void) rcd_relink_head(h->s, l->head.serial, head);
    }
}

int rcd_holders_few(const rcd_holders_t *h)
{
    const rcd_links_t *l = rcd_reach_usable(h->s);

    return h->job.head.how != RCD_LINKS_FULL && l != NULL &&
           l->head.serial == rcd_reach_serial(h->s) &&
           rcd_sort_count(h->job.input) <= FEW_LINES && rcd_relink_count(h->s) < KEPT_CARDS;
}

/* All statements into memory. 0 or -1. */
static int few_take(rcd_job_t *job)
{
    int rc;

    job->few = malloc(FEW_LINES * RCD_LINKS_ENTRY);
    if (job->few == NULL) {
        return failed(job, "out of memory");
    }
    while (job->n_few < FEW_LINES &&
           (rc = rcd_sort_next(job->input, job->few + job->n_few * RCD_LINKS_ENTRY)) != 0) {
        if (rc < 0) {
            return failed(job, strerror(errno));
        }
        job->n_few++;
    }
    return 0;
}

/* They go another way: back into a sorter. 0 or -1. */
static int few_return(rcd_holders_t *h)
{
    rcd_job_t *job = &h->job;

    rcd_sort_destroy(job->input);
    job->input = rcd_sort_create(h->config->state_dir, RCD_LINKS_ENTRY);
    for (unsigned i = 0; job->input != NULL && i < job->n_few; i++) {
        if (rcd_sort_put(job->input, job->few + i * RCD_LINKS_ENTRY) != 0) {
            return failed(job, strerror(errno));
        }
    }
    job->many = 1;
    return job->input != NULL ? 0 : failed(job, "out of memory");
}

/* The next card of the statements, with its links before and after: 1, 0 at the end, -1. */
static int few_card(rcd_holders_t *h, unsigned *at, rcd_group_t *was, rcd_group_t *will)
{
    const uint8_t *first = h->job.few + *at * RCD_LINKS_ENTRY;
    rcd_lines_t lines = {.n = 0};

    if (*at == h->job.n_few) {
        return 0;
    }
    for (; *at < h->job.n_few; (*at)++) {
        const uint8_t *entry = h->job.few + *at * RCD_LINKS_ENTRY;

        if (memcmp(entry, first, JD_DIGEST_LEN) != 0) {
            break;
        }
        if (lines.n == RCD_GROUP_MAX) {
            lines.full = 1;
            continue;
        }
        lines.line[lines.n].says = (rcd_says_t) entry[SAYS_OFF];
        rcd_links_decode(entry, &lines.line[lines.n++].link);
    }
    if (rcd_reach_group(h->s, first, was) < 0) {
        return failed(&h->job, h->s->fault);
    }
    return rcd_group_merge(was, &lines, 0, 0, will) == 0
               ? 1 : failed(&h->job, "one card has more than 128 links");
}

/* Leaves of a reach the holders under an order. 0 or -1. */
static int listed_only(rcd_state_t *s, rcd_reach_t *r)
{
    unsigned kept = 0;
    rcd_row_t row;
    int rc = 0;

    for (unsigned i = 0; i < r->n && rc >= 0; i++) {
        rc = rcd_store_live(s, r->term[i].holder, &row, 1);
        if (rc > 0) {
            r->term[kept++] = r->term[i];
        }
    }
    r->n = kept;
    return rc < 0 ? -1 : 0;
}

/* Counts what changes for somebody under an order. 0 or -1. */
static int weigh(rcd_holders_t *h)
{
    rcd_links_counts_t *c = &h->job.head.counts;
    rcd_group_t was, will;
    rcd_reach_t a, b;
    unsigned at = 0;
    int rc;

    while ((rc = few_card(h, &at, &was, &will)) > 0) {
        rcd_group_reach(&was, h->job.head.at, &a);
        rcd_group_reach(&will, h->job.head.at, &b);
        if (listed_only(h->s, &a) < 0 || listed_only(h->s, &b) < 0) {
            return failed(&h->job, h->s->fault);
        }
        c->listed_shrunk += rcd_reach_grows(&b, &a);
        c->listed_grown += rcd_reach_grows(&a, &b);
    }
    return rc;
}

/* One card more or less of each kind. */
static void count(rcd_links_head_t *head, const rcd_group_t *g, int sign)
{
    rcd_links_counts_t *c = &head->counts;
    rcd_reach_t reach;

    rcd_group_reach(g, head->at, &reach);
    head->n += (uint64_t) (sign * (int64_t) g->n);
    c->cards += (uint64_t) (sign * (g->n > 0));
    c->doubt += (uint64_t) (sign * (reach.doubt != 0));
    c->two += (uint64_t) (sign * (reach.n_two > 0));
}

static int put_card(rcd_holders_t *h, const rcd_group_t *was, const rcd_group_t *will)
{
    rcd_links_counts_t *c = &h->job.head.counts;
    int listed = rcd_holders_any_listed(h->s, was);

    listed = listed == 0 ? rcd_holders_any_listed(h->s, will) : listed;
    if (listed < 0 || rcd_relink_put(h->s, will) < 0 ||
        (listed > 0 && rcd_store_dirty(h->s, will->card) < 0)) {
        return -1;
    }
    count(&h->job.head, was, -1);
    count(&h->job.head, will, 1);
    c->added += was->n == 0;
    c->returned += will->n == 0;
    c->changed += was->n > 0 && will->n > 0;
    return 0;
}

static int put_all(rcd_holders_t *h)
{
    rcd_group_t was, will;
    unsigned at = 0;
    int rc;

    while ((rc = few_card(h, &at, &was, &will)) > 0) {
        if (!rcd_group_same(&was, &will) && put_card(h, &was, &will) < 0) {
            return failed(&h->job, h->s->fault);
        }
    }
    if (rc == 0 && (rcd_relink_head_save(h->s, &h->job.head) < 0 ||
                    rcd_audit(h->s, "holders", rcd_holders_record(h)) < 0)) {
        return failed(&h->job, h->s->fault);
    }
    return rc;
}

/* What the links are now, as the beginning of what they will be. */
static void head_begin(rcd_holders_t *h)
{
    rcd_links_head_t *head = &h->job.head, now;

    rcd_holders_head(h, &now);
    head->serial = now.serial;
    head->n = now.n;
    head->counts.cards = now.counts.cards;
    head->counts.doubt = now.counts.doubt;
    head->counts.two = now.counts.two;
}

int rcd_holders_relink(rcd_holders_t *h)
{
    rcd_job_t *job = &h->job;
    rcd_links_head_t before = job->head;
    uint64_t changed;

    if (few_take(job) != 0 || weigh(h) != 0) {
        return -1;
    }
    changed = rcd_holders_changed(&job->head.counts);
    if (job->head.counts.listed_grown > 0 && changed > RCD_HOLDERS_FEW) {
        job->head = before;
        return few_return(h);
    }
    job->head.counts.refused = job->refused;
    head_begin(h);
    if (rcd_store_begin(h->s, 1) < 0) {
        return failed(job, h->s->fault);
    }
    if (put_all(h) != 0 || (rcd_store_commit(h->s) < 0 && failed(job, h->s->fault) != 0)) {
        rcd_store_rollback(h->s);
        return -1;
    }
    return rcd_relink_recount(h->s) < 0 ? failed(job, h->s->fault) : 0;
}
