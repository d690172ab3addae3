/*
 * rcd_config - the configuration file, read by libinih; each fault is told with its line.
 *
 * libinih truncates long lines, drops what follows a "]" and never tells the handler where it is.
 * So a reader of our own hands it the lines: it counts them, and refuses what libinih would lose.
 */
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include "core/jd_measure.h"
#include "core/jd_policy.h"
#include "rcd_audit_key.h"
#include "rcd_config.h"
#include "rcd_config_files.h"
#include "rcd_config_tell.h"
#include "rcd_config_value.h"
#include "rcd_file.h"
#include "rcd_jws.h"

#define DAY_SEC         86400
#define RETENTION_DAYS  400
#define REPORT_SEC      300

typedef struct {
    rcd_config_t *c;
    const char   *file;
    const char   *next;                      /* what libinih has not read yet */
    unsigned      line;
    int           continued;                 /* the line begins with white space */
    uint64_t      seen;                      /* bit per entry of keys[] */
    unsigned      measure_line[JD_MEASURE_N];
    unsigned      scheme_seen;               /* bit per scheme */
    char         *err;                       /* first fault; "" = none yet */
    size_t        err_size;
} parser_t;

static const struct {
    const char *section, *name;
    rcd_config_setter_pt set;
    size_t offset;
    int    required;
} keys[] = {
    {"list", "name", rcd_config_set_list, offsetof(rcd_config_t, list), 1},
    {"list", "accept_card_subjects", rcd_config_set_switch,
     offsetof(rcd_config_t, rules.accept_card_subjects), 0},
    {"list", "max_growth", rcd_config_set_growth, offsetof(rcd_config_t, rules.growth), 0},
    {"state", "dir", rcd_config_set_path, offsetof(rcd_config_t, state_dir), 1},
    {"digest", "key_file", rcd_config_set_path, offsetof(rcd_config_t, key_file), 1},
    {"office", "base", rcd_config_set_base, offsetof(rcd_config_t, office.base), 1},
    {"office", "iss", rcd_config_set_text, offsetof(rcd_config_t, office.iss), 1},
    {"office", "aud", rcd_config_set_text, offsetof(rcd_config_t, office.aud), 1},
    {"office", "jwks_file", rcd_config_set_path, offsetof(rcd_config_t, office.jwks_file), 1},
    {"office", "ca_file", rcd_config_set_path, offsetof(rcd_config_t, office.ca_file), 1},
    {"office", "token_file", rcd_config_set_path, offsetof(rcd_config_t, office.token_file), 0},
    {"office", "client_cert", rcd_config_set_path, offsetof(rcd_config_t, office.client_cert), 0},
    {"office", "client_key", rcd_config_set_path, offsetof(rcd_config_t, office.client_key), 0},
    {"redis", "address", rcd_config_set_address, offsetof(rcd_config_t, redis.address), 1},
    {"redis", "auth_file", rcd_config_set_path, offsetof(rcd_config_t, redis.auth_file), 0},
    {"redis", "expected", rcd_config_set_expected, offsetof(rcd_config_t, redis.expected), 1},
    {"ledger", "retention_days", rcd_config_set_retention, 0, 0},
    {"ledger", "report_sec", rcd_config_set_report, 0, 0},
    {"log", "file", rcd_config_set_path, offsetof(rcd_config_t, log.file), 0},
    {"log", "level", rcd_config_set_level, offsetof(rcd_config_t, log.level), 0},
    {"audit", "key_file", rcd_config_set_path, offsetof(rcd_config_t, audit.key_file), 0},
    {"audit", "former_keys", rcd_config_set_path, offsetof(rcd_config_t, audit.former_keys), 0},
    {"audit", "every_records", rcd_config_set_count,
     offsetof(rcd_config_t, audit.every_records), 0},
    {"audit", "every_minutes", rcd_config_set_count,
     offsetof(rcd_config_t, audit.every_minutes), 0},
    {"holders", "file", rcd_config_set_path, offsetof(rcd_config_t, holders.file), 0},
    {"holders", "max_change", rcd_config_set_percent,
     offsetof(rcd_config_t, holders.max_change), 0},
};

#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

_Static_assert(N_KEYS <= 64, "each key has its bit in `seen`");

/* Keeps the first fault only. Line 0: the file as a whole. Returns 0, what a handler of libinih
 * returns for an error. */
__attribute__((format(printf, 3, 4)))
static int fault(parser_t *p, unsigned line, const char *format, ...)
{
    va_list args;
    int n;

    if (p->err[0] != '\0') {
        return 0;
    }
    n = line == 0 ? snprintf(p->err, p->err_size, "%s: ", p->file)
                  : snprintf(p->err, p->err_size, "%s:%u: ", p->file, line);
    if (n > 0 && (size_t) n < p->err_size) {
        va_start(args, format);
        vsnprintf(p->err + n, p->err_size - (size_t) n, format, args);
        va_end(args);
    }
    return 0;
}

/* ---- sections -------------------------------------------------------------------------------- */

/* The measure of a section "measure NAME", -1 of another section, -2 unknown measure. */
static int section_measure(const char *section)
{
    int bit;

    if (strncmp(section, "measure ", 8) != 0) {
        return -1;
    }
    bit = jd_measure_bit(section + 8, strlen(section + 8));
    return bit >= 0 ? bit : -2;
}

static int measure_key(parser_t *p, unsigned bit, const char *name, const char *value)
{
    rcd_measure_rule_t *rule = &p->c->rules.rule[bit];
    unsigned long max_days = JD_TERM_MAX_SEC / DAY_SEC;
    char **grown, *joined;

    if (strcmp(name, "legal_source") == 0 && p->continued && rule->legal_source != NULL) {
        if (asprintf(&joined, "%s %s", rule->legal_source, value) < 0) {
            return fault(p, p->line, "out of memory");
        }
        free(rule->legal_source);
        rule->legal_source = joined;
        return 1;
    }
    if (p->continued) {
        return fault(p, p->line, "an indented line continues legal_source only; do not indent");
    }
    if (strcmp(name, "legal_source") == 0) {
        if (rule->legal_source != NULL) {
            return fault(p, p->line, "legal_source is repeated; continue it on an indented line");
        }
        rule->legal_source = strdup(value);
        return 1;
    }
    if (strcmp(name, "authority") == 0) {
        grown = realloc(rule->authorities, (rule->n_authorities + 1) * sizeof(*grown));
        if (grown == NULL) {
            return fault(p, p->line, "out of memory");
        }
        rule->authorities = grown;
        grown[rule->n_authorities] = strdup(value);
        if (grown[rule->n_authorities] == NULL) {
            return fault(p, p->line, "out of memory");
        }
        rule->n_authorities++;
        return 1;
    }
    if (strcmp(name, "max_term") == 0) {
        if (rule->max_term_sec != 0) {
            return fault(p, p->line, "max_term is repeated; keep one");
        }
        rule->max_term_sec = (int64_t) rcd_config_number(value, "d", max_days) * DAY_SEC;
        return rule->max_term_sec != 0
                   ? 1
                   : fault(p, p->line, "max_term must be a number of days, 1d to %lud", max_days);
    }
    return fault(p, p->line, "unknown key \"%s\"; a measure has legal_source, authority, max_term",
                 name);
}

static int normalise_key(parser_t *p, const char *name, const char *value)
{
    int scheme = jd_scheme_parse(name, strlen(name));
    jd_normalisers_t one;
    char text[256];
    int len;

    if (scheme < 0) {
        return fault(p, p->line, "unknown scheme \"%s\"; use patron, card or uid", name);
    }
    if (p->scheme_seen & 1u << scheme) {
        return fault(p, p->line, "%s is repeated; put its words on one line", name);
    }
    p->scheme_seen |= 1u << scheme;

    len = snprintf(text, sizeof(text), "%s=%s", name, value);
    for (char *s = text; *s != '\0'; s++) {
        *s = *s == ' ' ? ',' : *s;
    }
    if (len >= (int) sizeof(text) || jd_normalisers_parse(&one, text, (size_t) len) != 0) {
        return fault(p, p->line, "%s takes the words upper and strip_zeros, one space between; "
                                 "cnid and uscc take none", name);
    }
    p->c->rules.norm.flags[scheme] = one.flags[scheme];
    return 1;
}

static int key_take(parser_t *p, const char *section, const char *name, const char *value)
{
    int measure = section_measure(section), known = 0;
    const char *why;

    if (value[0] == '\0') {
        return fault(p, p->line, "%s has no value", name);
    }
    if (measure >= 0) {
        return measure_key(p, (unsigned) measure, name, value);
    }
    if (p->continued) {
        return fault(p, p->line, "an indented line continues legal_source only; do not indent");
    }
    if (strcmp(section, "normalise") == 0) {
        return normalise_key(p, name, value);
    }
    if (section[0] == '\0') {
        return fault(p, p->line, "\"%s\" stands before the first [section]", name);
    }

    for (unsigned i = 0; i < N_KEYS; i++) {
        if (strcmp(section, keys[i].section) != 0) {
            continue;
        }
        known = 1;
        if (strcmp(name, keys[i].name) != 0) {
            continue;
        }
        if (p->seen & UINT64_C(1) << i) {
            return fault(p, p->line, "%s is repeated; keep one", name);
        }
        p->seen |= UINT64_C(1) << i;
        why = keys[i].set(p->c, (char *) p->c + keys[i].offset, value);
        return why == NULL ? 1 : fault(p, p->line, "%s %s", name, why);
    }
    return known ? fault(p, p->line, "unknown key \"%s\" in [%s]", name, section) : 0;
}

/* libinih's handler: one key. Returns 1, or 0 after a fault. */
static int on_key(void *user, const char *section, const char *name, const char *value)
{
    parser_t *p = user;

    return key_take(p, section, name, value) != 0 &&
           (rcd_config_tell(p->c, section, name, value) == 0 || fault(p, p->line, "out of memory"));
}

/* ---- lines ----------------------------------------------------------------------------------- */

/* Checks a line "[section]": libinih would take an unknown or empty one, and lose what follows the
 * bracket. */
static void section_check(parser_t *p, const char *line, size_t len)
{
    const char *close = memchr(line, ']', len);
    char name[64];
    size_t n;
    int measure, known = 0;

    if (close == NULL) {
        fault(p, p->line, "the section's \"]\" is missing");
        return;
    }
    for (const char *s = close + 1; s < line + len; s++) {
        if (*s == ';') {
            break;
        }
        if (*s != ' ' && *s != '\t' && *s != '\r') {
            fault(p, p->line, "text after \"]\"; put the key on a line of its own");
            return;
        }
    }

    n = (size_t) (close - line - 1);
    if (n >= sizeof(name)) {
        n = sizeof(name) - 1;
    }
    memcpy(name, line + 1, n);
    name[n] = '\0';

    measure = section_measure(name);
    if (measure == -2) {
        fault(p, p->line, "unknown measure \"%s\"; the list is closed: %s", name + 8,
              jd_measure_list());
        return;
    }
    if (measure >= 0) {
        if (p->measure_line[measure] != 0) {
            fault(p, p->line, "[%s] is repeated; it stands at line %u already", name,
                  p->measure_line[measure]);
        }
        p->measure_line[measure] = p->line;
        return;
    }
    for (unsigned i = 0; i < N_KEYS; i++) {
        known |= strcmp(name, keys[i].section) == 0;
    }
    if (!known && strcmp(name, "normalise") != 0) {
        fault(p, p->line, "unknown section [%s]", name);
    }
}

/* libinih's reader, in the manner of fgets. */
static char *next_line(char *buf, int size, void *user)
{
    parser_t *p = user;
    size_t len, copied;
    const char *end;

    if (*p->next == '\0') {
        return NULL;
    }
    end = strchrnul(p->next, '\n');
    len = (size_t) (end - p->next);
    p->line++;
    p->continued = p->next[0] == ' ' || p->next[0] == '\t';

    /* libinih keeps three bytes of its buffer for CR, LF and NUL. */
    copied = len;
    if (len > (size_t) size - 3) {
        fault(p, p->line, "line longer than %d bytes; continue legal_source on an indented line",
              size - 3);
        copied = (size_t) size - 3;
    }
    memcpy(buf, p->next, copied);
    buf[copied] = '\0';
    for (size_t i = 0; i < copied; i++) {
        if ((unsigned char) buf[i] < 0x20 && buf[i] != '\t' && buf[i] != '\r') {
            fault(p, p->line, "a control character");
        }
    }
    if (buf[strspn(buf, " \t")] == '[') {
        section_check(p, buf + strspn(buf, " \t"), copied - strspn(buf, " \t"));
    }
    p->next = *end == '\0' ? end : end + 1;
    return buf;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void completeness_check(parser_t *p)
{
    const rcd_config_office_t *o = &p->c->office;

    for (unsigned i = 0; i < N_KEYS; i++) {
        if (keys[i].required && !(p->seen & UINT64_C(1) << i)) {
            fault(p, 0, "[%s] %s is missing", keys[i].section, keys[i].name);
        }
    }
    if ((o->client_cert == NULL) != (o->client_key == NULL)) {
        fault(p, 0, "[office] client_cert and client_key belong together; give both");
    }
    if ((o->token_file == NULL) == (o->client_cert == NULL)) {
        fault(p, 0, "[office] needs token_file, or client_cert with client_key; give one of them");
    }
    for (unsigned i = 0; i < JD_MEASURE_N; i++) {
        rcd_measure_rule_t *rule = &p->c->rules.rule[i];

        if (p->measure_line[i] == 0) {
            continue;
        }
        rule->enabled = 1;
        if (rule->legal_source == NULL || rule->n_authorities == 0 || rule->max_term_sec == 0) {
            fault(p, p->measure_line[i],
                  "[measure %s] lacks %s; a measure is enabled with legal_source, authority and "
                  "max_term",
                  jd_measure_names[i],
                  rule->legal_source == NULL ? "legal_source"
                                             : rule->n_authorities == 0 ? "authority" : "max_term");
        }
    }
}

rcd_config_t *rcd_config_load(const char *file, rcd_config_use_t use, char *err, size_t err_size)
{
    parser_t p = {.file = file, .err = err, .err_size = err_size};
    char reason[256];
    size_t len;
    char *text;
    int line;

    err[0] = '\0';
    text = rcd_file_read(file, RCD_CONFIG_FILE_MAX, 0, &len, err, err_size);
    if (text == NULL) {
        return NULL;
    }
    p.c = calloc(1, sizeof(*p.c));
    if (p.c == NULL) {
        fault(&p, 0, "out of memory");
        free(text);
        return NULL;
    }
    p.c->log.level = RCD_LOG_NOTICE;
    p.c->audit.every_records = 1000;
    p.c->audit.every_minutes = 10;
    p.c->ledger.retention_days = RETENTION_DAYS;
    p.c->ledger.report_sec = REPORT_SEC;
    p.c->holders.max_change = 10;
    p.next = text;
    if (strlen(text) != len) {
        fault(&p, 0, "holds a NUL byte; it is not a text file");
    }

    line = ini_parse_stream(next_line, &p, on_key, &p);
    if (line != 0) {
        fault(&p, line > 0 ? (unsigned) line : 0, "neither [section] nor key = value");
    }
    completeness_check(&p);
    if (err[0] == '\0' && rcd_config_files_read(p.c, use, reason, sizeof(reason)) != 0) {
        fault(&p, 0, "%s", reason);
    }
    free(text);
    if (err[0] != '\0') {
        rcd_config_destroy(p.c);
        return NULL;
    }
    return p.c;
}

void rcd_config_destroy(rcd_config_t *c)
{
    if (c == NULL) {
        return;
    }
    for (unsigned i = 0; i < N_KEYS; i++) {
        if (keys[i].set == rcd_config_set_text || keys[i].set == rcd_config_set_path ||
            keys[i].set == rcd_config_set_base || keys[i].set == rcd_config_set_address) {
            free(*(char **) ((char *) c + keys[i].offset));
        }
    }
    for (unsigned i = 0; i < JD_MEASURE_N; i++) {
        for (unsigned j = 0; j < c->rules.rule[i].n_authorities; j++) {
            free(c->rules.rule[i].authorities[j]);
        }
        free(c->rules.rule[i].authorities);
        free(c->rules.rule[i].legal_source);
    }
    if (c->office.token != NULL) {
        OPENSSL_cleanse(c->office.token, strlen(c->office.token));
        free(c->office.token);
    }
    rcd_jwks_destroy(c->jwks);
    rcd_audit_key_destroy(c->audit.key);
    free(c->effective);
    OPENSSL_cleanse(&c->keys, sizeof(c->keys));
    free(c);
}
