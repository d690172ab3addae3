/*
 * ts_cards.c - which card is tapped next.
 */
#include <stdlib.h>
#include <string.h>

#include "ts_terminal.h"

struct ts_cards {
    const ts_options_t *options;
    const ts_oracle_t  *oracle;
    uint64_t            random;
    char              **population;
    size_t              n, size;
};

int ts_card_plain(const char *id, size_t len)
{
    if (len == 0 || len > TS_CARD_MAX)
        return 0;
    for (size_t i = 0; i < len; i++) {
        if (!((id[i] >= '0' && id[i] <= '9') || (id[i] >= 'A' && id[i] <= 'Z')
              || (id[i] >= 'a' && id[i] <= 'z') || id[i] == '.' || id[i] == '_' || id[i] == '-'))
            return 0;
    }
    return 1;
}

static int add(void *data, const char *text, size_t len, unsigned number)
{
    ts_cards_t *c = data;
    char **more;

    if (!ts_card_plain(text, len)) {
        ts_complain("%s:%u: not an identifier of 1 to %d of 0-9 A-Z a-z . _ -",
                    c->options->population, number, TS_CARD_MAX);
        return -1;
    }
    if (c->n == c->size) {
        more = realloc(c->population, (c->size + 1024) * 2 * sizeof *more);
        if (!more) {
            ts_complain("out of memory");
            return -1;
        }
        c->population = more;
        c->size = (c->size + 1024) * 2;
    }
    c->population[c->n] = strndup(text, len);
    if (!c->population[c->n]) {
        ts_complain("out of memory");
        return -1;
    }
    c->n++;
    return 0;
}

static int read_population(ts_cards_t *c)
{
    ts_lines_t *lines = ts_lines_open(c->options->population);
    int rc;

    if (!lines)
        return -1;
    rc = ts_lines_read(lines, 1, add, c);
    ts_lines_close(lines);
    if (rc == 0 && c->n == 0) {
        ts_complain("%s: no identifier in it", c->options->population);
        rc = -1;
    }
    return rc;
}

ts_cards_t *ts_cards_create(const ts_options_t *o, const ts_oracle_t *oracle)
{
    ts_cards_t *c = calloc(1, sizeof *c);

    if (!c) {
        ts_complain("out of memory");
        return NULL;
    }
    c->options = o;
    c->oracle = oracle;
    c->random = o->seed;
    if (o->population && read_population(c) != 0) {
        ts_cards_destroy(c);
        return NULL;
    }
    return c;
}

void ts_cards_destroy(ts_cards_t *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++)
        free(c->population[i]);
    free(c->population);
    free(c);
}

void ts_cards_next(ts_cards_t *c, char card[TS_CARD_MAX + 1])
{
    size_t listed = ts_oracle_cards(c->oracle);
    double lot = (double) (ts_random(&c->random) >> 11) * 0x1p-53 * 100;

    if (listed > 0 && lot < c->options->share_listed)
        strcpy(card, ts_oracle_card(c->oracle, ts_random(&c->random) % listed));
    else if (c->n > 0)
        strcpy(card, c->population[ts_random(&c->random) % c->n]);
    else
        ts_identifier(c->options->scheme, c->options->seed, TS_CLEAN,
                      ts_random(&c->random) % c->options->clean, card);
}
