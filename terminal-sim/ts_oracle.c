/*
 * ts_oracle.c - knows what every answer must be: scenario files read into what is known (ts_known.c),
 * answers compared with it.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ts_known.h"
#include "ts_terminal.h"

#define BRAKED  "PASSED braked"                     /* of JD-Status, as ts_answer_t has it */

struct ts_oracle {
    const ts_options_t *options;
    const char         *path;                       /* of the file being read */
    ts_lines_t         *followed;
    ts_known_t          known;
    int64_t             now_ns;                     /* 0 while reading what held before the start */
};

static int apply(void *data, const char *text, size_t len, unsigned number)
{
    ts_oracle_t *o = data;
    int64_t window_ns = (int64_t) o->options->window_ms * 1000000;
    ts_line_t line;
    const char *wrong = ts_line_parse(text, len, &line);

    if (!wrong)
        wrong = ts_known_apply(&o->known, &line, o->now_ns ? o->now_ns + window_ns : 0);
    if (wrong) {
        ts_complain("%s:%u: %s", o->path, number, wrong);
        return -1;
    }
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
    ts_known_init(&o->known, options->scheme);
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
    ts_known_fini(&o->known);
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
    return o->known.n_cards;
}

const char *ts_oracle_card(const ts_oracle_t *o, size_t i)
{
    return strchr(o->known.cards[i]->key, ':') + 1;
}

/* Compares with what held at one instant. NULL when it agrees, else why not. */
static const char *compare(const ts_subject_t *s, unsigned measure_bit, ts_brake_t brake,
                           const ts_answer_t *a, int64_t at, const char **order)
{
    *order = s ? ts_known_denying(s, measure_bit, at) : NULL;
    if (a->outcome == TS_PASSED) {
        if (brake == TS_BRAKE_ON || (brake == TS_BRAKE_ARMED && strcmp(a->said, BRAKED) == 0))
            return NULL;
        return *order ? "passed, must be denied" : NULL;
    }
    if (!*order)
        return "denied, must pass";
    if (brake == TS_BRAKE_ON)
        return "denied, though the brake is on";
    if (a->order[0] && strcmp(a->order, *order) != 0)
        return "denied by another order";
    return NULL;
}

static ts_judgement_t judge(ts_oracle_t *o, const char *card, unsigned measure_bit,
                            const ts_answer_t *a, int64_t sent_ns, int64_t now_ns, const char **why,
                            const char **order)
{
    const ts_subject_t *s = ts_known_card(&o->known, card);
    ts_brake_t brake = o->known.brake[measure_bit];
    int64_t now = (int64_t) time(NULL), sent = now - (now_ns - sent_ns) / 1000000000 - 1;
    int64_t at[] = { now, sent, now + 1, sent - (o->options->window_ms + 999) / 1000 };
    const char *other;

    *why = compare(s, measure_bit, brake, a, now, order);
    if (s && (sent_ns < ts_known_settled(s) || sent_ns < o->known.brake_settled_ns[measure_bit]))
        return TS_SETTLING;
    for (unsigned i = 1; *why && i < sizeof at / sizeof at[0]; i++) {
        if (compare(s, measure_bit, brake, a, at[i], &other) == NULL)
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
