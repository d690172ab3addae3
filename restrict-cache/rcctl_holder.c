/*
 * rcctl_holder - every order that affects the person at the counter, found by one identifier.
 * Audited: that it was run and by whom, never about whom.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "rcctl_holder.h"
#include "rcctl_spool.h"
#include "rcd_clock.h"
#include "rcd_reach.h"
#include "rcd_stay.h"

#define LINE_MAX_LEN  (JD_SUBJECT_RAW_MAX + 16)

typedef struct {
    const rcctl_t  *r;
    rcd_state_t    *s;
    rcctl_holder_t *h;
    int64_t         linked_from, linked_until;     /* of the orders being read */
    int64_t         stay, own_stay;                /* of their subject; of who asks. 0 = none */
    int             failed;
} search_t;

/* ---- one order ------------------------------------------------------------------------------- */

static rcctl_holder_state_t state_of(const rcctl_holding_t *o, const jd_relief_t *relief,
                                     int64_t now)
{
    static const rcctl_holder_state_t ends[RCD_END_N] = {
        [RCD_END_EXPIRED] = RCCTL_H_EXPIRED, [RCD_END_DROPPED] = RCCTL_H_DROPPED,
        [RCD_END_REFUSED] = RCCTL_H_REFUSED, [RCD_END_LIFTED] = RCCTL_H_LIFTED};
    const rcd_row_t *row = &o->row;

    if ((row->measures & ~relief->lifted) == 0) {
        return RCCTL_H_LIFTED;
    }
    if (row->ended != RCD_END_NONE) {
        return ends[row->ended];
    }
    if (now >= row->until) {
        return RCCTL_H_EXPIRED;
    }
    if (row->flags & JD_ORDER_OBSERVE) {
        return RCCTL_H_OBSERVE;
    }
    if (o->stay > now) {
        return RCCTL_H_STAYED;
    }
    if (relief->objection || row->flags & JD_ORDER_OBJECTION) {
        return RCCTL_H_OBJECTION;
    }
    return now < row->start ? RCCTL_H_TO_COME : RCCTL_H_FORCE;
}

/* The texts, if the journal has them: verified by a key, or as they stand when it is gone. */
static void read_texts(search_t *f, rcctl_holding_t *o)
{
    const jd_keys_t *keys = &f->r->config->keys;
    jd_record_rc_t rc = JD_RECORD_BAD;
    int len;

    o->grounds = malloc(JD_GROUNDS_MAX);
    len = o->grounds == NULL ? -1 : rcd_state_grounds(f->s, o->row.grounds, o->grounds);
    f->failed |= len < 0;
    for (unsigned i = 0; len > 0 && i < keys->n && rc != JD_RECORD_OK; i++) {
        rc = jd_grounds_decode(&keys->key[i], o->row.grounds, o->grounds, (size_t) len, &o->texts);
    }
    if (rc != JD_RECORD_OK && rc != JD_RECORD_FORGED) {
        free(o->grounds);
        o->grounds = NULL;
    }
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Takes an order once, however many ways lead to it: directly before by a card. */
static int each_order(void *arg, const rcd_row_t *row, const jd_relief_t *relief)
{
    search_t *f = arg;
    rcctl_holder_t *h = f->h;
    rcctl_holding_t *o, *grown;

    for (size_t i = 0; i < h->n; i++) {
        if (strcmp(h->order[i].row.number, row->number) == 0) {
            return 0;
        }
    }
    if (h->n == h->size) {
        h->size = h->size == 0 ? 8 : h->size * 2;
        grown = realloc(h->order, h->size * sizeof(*grown));
        if (grown == NULL) {
            return f->failed = 1;
        }
        h->order = grown;
    }
    o = &h->order[h->n++];
    *o = (rcctl_holding_t) {.row = *row, .lifted = relief->lifted & row->measures,
                            .stay = later(relief->stay, later(f->stay, f->own_stay)),
                            .linked_from = f->linked_from, .linked_until = f->linked_until};
    o->state = state_of(o, relief, h->now);
    read_texts(f, o);
    return f->failed;
}

/* ---- by identifier --------------------------------------------------------------------------- */

static void orders_of(search_t *f, const uint8_t digest[JD_DIGEST_LEN], int64_t from, int64_t until)
{
    f->linked_from = from;
    f->linked_until = until;
    f->failed |= rcd_stay_of_field(f->s, digest, &f->stay) < 0;
    f->failed |= rcd_state_orders(f->s, digest, each_order, f) < 0;
}

/* Orders of the person or body whose card this is, now or from a day to come on. */
static void by_card(search_t *f, const uint8_t card[JD_DIGEST_LEN])
{
    rcd_reach_t reach;
    rcd_group_t g;

    if (rcd_reach_group(f->s, card, &g) < 0) {
        f->failed = 1;
        return;
    }
    rcd_group_reach(&g, f->h->now, &reach);
    f->h->unclear |= reach.doubt || reach.n_two > 0;
    for (unsigned i = 0; i < reach.n; i++) {
        if (reach.term[i].until > f->h->now) {
            orders_of(f, reach.term[i].holder, reach.term[i].from, reach.term[i].until);
        }
    }
}

/* Orders that name one of this holder's own cards. */
static void by_holder(search_t *f, const uint8_t holder[JD_DIGEST_LEN])
{
    uint8_t card[JD_DIGEST_LEN], after[JD_DIGEST_LEN];
    const uint8_t *from = NULL;
    rcd_reach_t reach;
    rcd_group_t g;
    int rc;

    while ((rc = rcd_reach_card_of(f->s, holder, from, card)) > 0 &&
           (rc = rcd_reach_group(f->s, card, &g)) == 0) {
        rcd_group_reach(&g, f->h->now, &reach);
        for (unsigned i = 0; i < reach.n; i++) {
            if (memcmp(reach.term[i].holder, holder, JD_DIGEST_LEN) == 0 &&
                reach.term[i].until > f->h->now) {
                orders_of(f, card, reach.term[i].from, reach.term[i].until);
            }
        }
        memcpy(after, card, JD_DIGEST_LEN);
        from = after;
    }
    f->failed |= rc < 0;
}

static void by_digest(search_t *f, const uint8_t digest[JD_DIGEST_LEN])
{
    f->failed |= rcd_stay_of_field(f->s, digest, &f->own_stay) < 0;
    orders_of(f, digest, -1, -1);
    by_card(f, digest);
    by_holder(f, digest);
}

static int by_state(const void *a, const void *b)
{
    const rcctl_holding_t *x = a, *y = b;

    return x->state != y->state ? (int) x->state - (int) y->state
                                : strcmp(x->row.number, y->row.number);
}

/* A key rotation leaves orders under either key. */
static void search(search_t *f, const uint8_t *raw, size_t len)
{
    const jd_keys_t *keys = &f->r->config->keys;
    uint8_t norm[JD_SUBJECT_MAX], digest[JD_DIGEST_LEN];
    rcd_rules_t rules = f->r->config->rules;
    size_t norm_len;

    f->h->read = jd_subject_normalise(f->h->scheme, &f->r->config->rules.norm, raw, len, norm,
                                      &norm_len);
    for (unsigned i = 0; f->h->read == JD_SUBJECT_OK && i < keys->n; i++) {
        rules.key = &keys->key[i];                 /* links are of one key */
        rcd_reach_rules(f->s, &rules);
        jd_digest(rules.key, f->h->scheme, norm, norm_len, digest);
        by_digest(f, digest);
    }
    explicit_bzero(norm, sizeof(norm));
    if (f->h->n > 1) {
        qsort(f->h->order, f->h->n, sizeof(*f->h->order), by_state);
    }
}

/* Reads "scheme:identifier" from standard input: its length without the line end, or -1. */
static ssize_t read_line(char line[LINE_MAX_LEN + 1])
{
    size_t n = 0;
    int c;

    if (isatty(STDIN_FILENO)) {
        fputs("scheme:identifier: ", stderr);
    }
    while ((c = getchar()) != EOF && c != '\n') {
        if (n == LINE_MAX_LEN) {
            rcctl_error("standard input: longer than an identifier can be");
            return -1;
        }
        line[n++] = (char) c;
    }
    n -= n > 0 && line[n - 1] == '\r';
    return (ssize_t) n;
}

/* Parts of the line: the scheme into h, the identifier into *raw. Its length, or -1. */
static ssize_t read_identifier(rcctl_holder_t *h, char line[LINE_MAX_LEN + 1], uint8_t **raw)
{
    ssize_t len = read_line(line);
    char *colon = len < 0 ? NULL : memchr(line, ':', (size_t) len);
    int scheme;

    if (len < 0) {
        return -1;
    }
    scheme = colon == NULL ? -1 : jd_scheme_parse(line, (size_t) (colon - line));
    if (scheme < 0) {
        rcctl_error("standard input: give scheme:identifier, "
                    "scheme one of cnid uscc patron card uid");
        return -1;
    }
    h->scheme = (jd_scheme_t) scheme;
    *raw = (uint8_t *) colon + 1;
    return len - (colon + 1 - line);
}

/* ---- the command ----------------------------------------------------------------------------- */

static void holder_fini(rcctl_holder_t *h)
{
    for (size_t i = 0; i < h->n; i++) {
        free(h->order[i].grounds);
    }
    free(h->order);
}

/* The daemon's links of cards and holders, if it has any. 0, or -1 after saying why. */
static int open_links(search_t *f)
{
    char path[4200], err[512];
    rcd_links_t *links;

    snprintf(path, sizeof(path), "%s/links", f->r->config->state_dir);
    links = rcd_links_open(path, 0, err, sizeof(err));
    if (links == NULL && err[0] != '\0') {
        rcctl_error("%s", err);
        return -1;
    }
    rcd_links_close(rcd_reach_take(f->s, links));
    return 0;
}

static int report(const rcctl_t *r, rcctl_holder_t *h, const uint8_t *raw, size_t len,
                  rcctl_language_t lang)
{
    search_t f = {.r = r, .h = h};
    rcd_marks_t marks;
    char err[512];

    f.s = rcd_state_open_readonly(r->config->state_dir, err, sizeof(err));
    if (f.s == NULL) {
        rcctl_error("%s", err);
        return RCCTL_UNREACHABLE;
    }
    if (open_links(&f) != 0) {
        rcd_state_close(f.s);
        return RCCTL_UNREACHABLE;
    }
    if (rcctl_spool_note(r, "holder-report") != 0) {
        rcctl_error("it cannot be noted that this report was asked for, so it is not given");
        rcd_state_close(f.s);
        return RCCTL_UNREACHABLE;
    }
    rcd_state_marks(f.s, &marks);
    h->verified_at = marks.verified_at;
    search(&f, raw, len);
    rcd_state_close(f.s);
    if (f.failed) {
        rcctl_error("the journal cannot be read");
        return RCCTL_UNREACHABLE;
    }
    if (r->json) {
        rcctl_holder_json(h);
    } else {
        rcctl_holder_print(h, lang);
    }
    return h->read == JD_SUBJECT_OK ? RCCTL_OK : RCCTL_USAGE;
}

int rcctl_holder_report(rcctl_t *r, int argc, char **argv)
{
    const char *lang = "zh";
    const rcctl_option_t options[] = {{"lang", &lang, NULL}, {0}};
    rcctl_holder_t h = {.now = rcd_clock_wall()};
    char line[LINE_MAX_LEN + 1];
    uint8_t *raw = NULL;
    ssize_t len;
    int rc;

    if (rcctl_options(r, argc, argv, options, 0) < 0 || rcctl_config(r) != 0) {
        return RCCTL_USAGE;
    }
    if (strcmp(lang, "zh") != 0 && strcmp(lang, "en") != 0) {
        rcctl_error("--lang %s is none of zh en", lang);
        return RCCTL_USAGE;
    }
    len = read_identifier(&h, line, &raw);
    if (len < 0) {
        explicit_bzero(line, sizeof(line));
        return RCCTL_USAGE;
    }
    h.list = r->config->list;
    rc = report(r, &h, raw, (size_t) len, strcmp(lang, "zh") == 0 ? RCCTL_ZH : RCCTL_EN);
    explicit_bzero(line, sizeof(line));
    holder_fini(&h);
    return rc;
}
