/*
 * rcctl_person - a person named on standard input, as the digests that lists may know them by.
 */
#include <string.h>
#include <unistd.h>
#include "core/jd_subject.h"
#include "rcctl_person.h"

#define LINE_MAX_LEN  (JD_SUBJECT_RAW_MAX + 16)      /* "patron:" and the identifier */

/* The first line without its end; its length, or -1 when it is too long. */
static int read_line(char line[LINE_MAX_LEN + 1])
{
    int n = 0, c;

    if (isatty(STDIN_FILENO)) {
        fputs("scheme:identifier: ", stderr);
    }
    while ((c = getc(stdin)) != EOF && c != '\n') {
        if (n == LINE_MAX_LEN) {
            return -1;
        }
        line[n++] = (char) c;
    }
    if (n > 0 && line[n - 1] == '\r') {
        n--;
    }
    line[n] = '\0';
    return n;
}

/* Digests under each key with these normalisers. 0, or -1 after saying what is wrong. */
static int add_digests(const rcctl_t *r, const jd_normalisers_t *norm, jd_scheme_t scheme,
                       const char *id, size_t len, rcctl_person_t *p)
{
    uint8_t text[JD_SUBJECT_MAX], digest[JD_DIGEST_LEN];
    jd_subject_rc_t rc;
    size_t text_len;

    rc = jd_subject_normalise(scheme, norm, (const uint8_t *) id, len, text, &text_len);
    if (rc != JD_SUBJECT_OK) {
        rcctl_error(rc == JD_SUBJECT_OTHER
                        ? "not an identifier of scheme %s: see its digits and its check digit"
                        : "the identifier of scheme %s is empty or cannot be read in one way only",
                    jd_scheme_names[scheme]);
        return -1;
    }
    for (unsigned i = 0; i < r->config->keys.n && p->n < RCD_STAY_FIELDS_MAX; i++) {
        const jd_key_t *key = &r->config->keys.key[i];
        rcd_rules_t rules = {.norm = *norm, .key = key};
        rcd_stay_field_t *f = &p->fields[p->n++];

        jd_digest(key, scheme, text, text_len, digest);
        memcpy(f->field, digest, sizeof(f->field));
        rcd_store_under_print(&rules, f->under);
    }
    explicit_bzero(text, sizeof(text));
    return 0;
}

/* The normalisers of the journal, when they can be read and differ from the configuration's: while a
 * change of them waits for its snapshot, Redis still has the old ones. */
static int journal_norm(const rcctl_t *r, jd_normalisers_t *norm)
{
    char err[512], under[RCD_UNDER_MAX];
    rcd_state_t *s = rcd_state_open_readonly(r->config->state_dir, err, sizeof(err));
    const char *text;
    int differs = 0;

    if (s == NULL) {
        return 0;
    }
    memcpy(under, s->under, sizeof(under));
    rcd_state_close(s);
    text = strchr(under, ' ');
    text = text != NULL ? strchr(text + 1, ' ') : NULL;
    if (text != NULL && jd_normalisers_parse(norm, text + 1, strlen(text + 1)) == 0) {
        differs = memcmp(norm->flags, r->config->rules.norm.flags, sizeof(norm->flags)) != 0;
    }
    return differs;
}

int rcctl_person_read(const rcctl_t *r, const char *refuse, rcctl_person_t *p)
{
    char line[LINE_MAX_LEN + 1];
    int len = read_line(line), scheme = -1, rc = -1;
    const char *colon = len > 0 ? strchr(line, ':') : NULL;
    jd_normalisers_t norm;
    size_t id_len;

    memset(p, 0, sizeof(*p));
    if (colon != NULL) {
        scheme = jd_scheme_parse(line, (size_t) (colon - line));
    }
    if (scheme < 0) {
        rcctl_error("standard input must say scheme:identifier, with a scheme of cnid uscc patron "
                    "card uid");
    } else if (refuse != NULL && colon[1] != '\0' && strstr(refuse, colon + 1) != NULL) {
        rcctl_error("the reason must not hold the identifier: it is kept, and reported");
    } else {
        id_len = (size_t) (line + len - colon - 1);
        rc = add_digests(r, &r->config->rules.norm, (jd_scheme_t) scheme, colon + 1, id_len, p);
        if (rc == 0 && journal_norm(r, &norm)) {
            rc = add_digests(r, &norm, (jd_scheme_t) scheme, colon + 1, id_len, p);
        }
    }
    explicit_bzero(line, sizeof(line));
    return rc;
}
