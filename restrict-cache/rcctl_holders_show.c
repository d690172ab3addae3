/*
 * rcctl_holders_show - the links of one card, person or body, from the daemon's file.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "core/jd_time.h"
#include "rcctl_holders.h"
#include "rcd_clock.h"
#include "rcd_reach.h"

#define SHOWN_MAX  10000                  /* links of a body */

typedef struct {
    int64_t now;
    cJSON  *links;                        /* with --json */
    int     n;
} show_t;

/* Whether a link counts now. */
static const char *state_of(const rcd_group_t *g, const rcd_holding_t *h, int64_t now)
{
    rcd_reach_t reach;

    if (!(h->flags & RCD_LINK_OWN)) {
        return "other_use";
    }
    if (h->until <= now) {
        return "over";
    }
    rcd_group_reach(g, now, &reach);
    if (reach.doubt) {
        return "in_doubt";
    }
    for (unsigned i = 0; i < reach.n_two; i++) {
        if (memcmp(reach.two[i], h->holder, JD_DIGEST_LEN) == 0) {
            return "two_holders";
        }
    }
    return h->from > now ? "to_come" : "counts";
}

static void time_text(int64_t at, int64_t open, char out[26])
{
    if (at == open) {
        snprintf(out, 26, "open");
    } else {
        jd_time_print(at, out);
    }
}

static void show_link(show_t *s, const rcd_group_t *g, const rcd_holding_t *h)
{
    const char *use = h->flags & RCD_LINK_OWN ? "own" : "other";
    const char *holder = h->flags & RCD_LINK_BODY ? "uscc" : "cnid";
    const char *card = RCD_LINK_SCHEME_OF(h->flags) < JD_SCHEME_N
                           ? jd_scheme_names[RCD_LINK_SCHEME_OF(h->flags)] : "card";
    const char *state = state_of(g, h, s->now);
    char from[26], until[26];
    cJSON *o;

    s->n++;
    time_text(h->from, 0, from);
    time_text(h->until, RCD_LINK_OPEN, until);
    if (s->links == NULL) {
        printf("%-6s %-6s of %s  from %-25s until %-25s  %s\n", card, use, holder, from, until,
               state);
        return;
    }
    o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "card", card);
    cJSON_AddStringToObject(o, "holder", holder);
    cJSON_AddStringToObject(o, "use", use);
    cJSON_AddStringToObject(o, "from", from);
    cJSON_AddStringToObject(o, "until", until);
    cJSON_AddStringToObject(o, "state", state);
    cJSON_AddItemToArray(s->links, o);
}

/* 0, or -1 when the journal failed. */
static int show_card(show_t *s, rcd_state_t *state, const uint8_t *card)
{
    rcd_group_t g;

    if (rcd_reach_group(state, card, &g) < 0) {
        return -1;
    }
    for (unsigned i = 0; i < g.n; i++) {
        show_link(s, &g, &g.link[i]);
    }
    return 0;
}

static int show_holder(show_t *s, rcd_state_t *state, const uint8_t *holder)
{
    uint8_t card[JD_DIGEST_LEN], after[JD_DIGEST_LEN];
    const uint8_t *from = NULL;
    rcd_group_t g;
    int rc = 0;

    while (s->n < SHOWN_MAX && (rc = rcd_reach_card_of(state, holder, from, card)) > 0) {
        if (rcd_reach_group(state, card, &g) < 0) {
            return -1;
        }
        for (unsigned i = 0; i < g.n; i++) {
            if (memcmp(g.link[i].holder, holder, JD_DIGEST_LEN) == 0) {
                show_link(s, &g, &g.link[i]);
            }
        }
        memcpy(after, card, JD_DIGEST_LEN);
        from = after;
    }
    return rc < 0 ? -1 : 0;
}

/* An identifier to its digest; -1 after saying why, else its scheme. */
static int read_digest(const rcctl_t *r, uint8_t digest[JD_DIGEST_LEN])
{
    char line[RCCTL_HOLDERS_LINE], *colon;
    uint8_t norm[JD_SUBJECT_MAX];
    int scheme = -1;
    size_t len;

    if (rcctl_holders_line("card or holder: ", line) < 0) {
        return -1;
    }
    colon = strchr(line, ':');
    scheme = colon == NULL ? JD_SCHEME_CARD : jd_scheme_parse(line, (size_t) (colon - line));
    if (scheme < 0) {
        rcctl_error("standard input: the scheme is none of cnid, uscc, patron, card, uid");
    } else if (jd_subject_normalise((jd_scheme_t) scheme, &r->config->rules.norm,
                                    (const uint8_t *) (colon == NULL ? line : colon + 1),
                                    strlen(colon == NULL ? line : colon + 1), norm,
                                    &len) != JD_SUBJECT_OK) {
        rcctl_error("standard input: not an identifier of scheme %s", jd_scheme_names[scheme]);
        scheme = -1;
    } else {
        jd_digest(r->config->rules.key, (jd_scheme_t) scheme, norm, len, digest);
        explicit_bzero(norm, sizeof(norm));
    }
    explicit_bzero(line, sizeof(line));
    return scheme;
}

/* The journal with the links in force. NULL after saying why. */
static rcd_state_t *links_open(const rcctl_t *r)
{
    char path[PATH_MAX], err[512];
    rcd_state_t *state = rcd_state_open_readonly(r->config->state_dir, err, sizeof(err));
    rcd_links_t *l;

    if (state == NULL) {
        rcctl_error("%s", err);
        return NULL;
    }
    snprintf(path, sizeof(path), "%s/links", r->config->state_dir);
    l = rcd_links_open(path, 0, err, sizeof(err));
    rcd_reach_rules(state, &r->config->rules);
    rcd_links_close(rcd_reach_take(state, l));
    if (rcd_reach_usable(state) == NULL) {
        rcctl_error("%s", l != NULL ? "the links were made under another key; import the holders again"
                          : err[0] != '\0' ? err : "no holders have been imported");
        rcd_state_close(state);
        return NULL;
    }
    return state;
}

int rcctl_holders_show(rcctl_t *r, int argc, char **argv)
{
    show_t s = {.now = rcd_clock_wall()};
    uint8_t digest[JD_DIGEST_LEN];
    rcd_state_t *state;
    int scheme, rc = 0;

    if (rcctl_options(r, argc, argv, NULL, 0) < 0 || rcctl_config(r) != 0) {
        return RCCTL_USAGE;
    }
    state = links_open(r);
    if (state == NULL) {
        return RCCTL_UNREACHABLE;
    }
    scheme = read_digest(r, digest);
    if (scheme >= 0) {
        s.links = r->json ? cJSON_CreateArray() : NULL;
        rc = scheme == JD_SCHEME_CNID || scheme == JD_SCHEME_USCC ? show_holder(&s, state, digest)
                                                                  : show_card(&s, state, digest);
    }
    rcd_state_close(state);
    if (scheme < 0 || rc < 0) {
        cJSON_Delete(s.links);
        return scheme < 0 ? RCCTL_USAGE : RCCTL_UNREACHABLE;
    }
    if (r->json) {
        cJSON *o = cJSON_CreateObject();

        cJSON_AddItemToObject(o, "links", s.links);
        rcctl_json(o);
    } else if (s.n == 0) {
        puts("no link");
    }
    return s.n > 0 ? RCCTL_OK : RCCTL_DENY;
}
