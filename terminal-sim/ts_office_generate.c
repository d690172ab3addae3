/*
 * ts_office_generate.c - test orders: seeded, for the cards of ts_population, by no authority.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "core/jd_time.h"
#include "ts_office.h"

#define DAY_SEC    86400
#define AUTHORITY  "Test Authority One (fictional)"

typedef struct {
    uint64_t    seed, first, n;
    jd_scheme_t scheme;
    uint16_t    measures;                       /* 0: chosen by chance */
    unsigned    days;
    const char *authority;
    const char *effect;
    int64_t     now;
} plan_t;

/* What the backends of the simulator serve. */
static const char *const served_measures[] = { "bus.ride", "bike.rent", "library.checkout",
                                               "tour.annual_pass" };

static const char *const bases[] = {
    "FICTIONAL: Test Rule 7, article 3: unreturned items of the example library",
    "FICTIONAL: Test Rule 11, article 2: example fares left unpaid after three notices",
    "FICTIONAL: Test Rule 12, article 5: damage to example bicycles",
};

static uint16_t choose_measures(const plan_t *p, uint64_t *chance)
{
    uint64_t bits = ts_random(chance) % 15 + 1;
    uint16_t mask = 0;

    if (p->measures)
        return p->measures;
    for (unsigned i = 0; i < 4; i++) {
        if (bits >> i & 1)
            mask |=
                (uint16_t) (1u << jd_measure_bit(served_measures[i], strlen(served_measures[i])));
    }
    return mask;
}

static cJSON *pair(const char *url, const char *phone)
{
    cJSON *o = cJSON_CreateObject();

    cJSON_AddStringToObject(o, "url", url);
    cJSON_AddStringToObject(o, "phone", phone);
    return o;
}

static void add_time(cJSON *record, const char *name, int64_t at, size_t len)
{
    char text[26];

    jd_time_print(at, text);
    text[len] = '\0';
    cJSON_AddStringToObject(record, name, text);
}

static cJSON *record(const plan_t *p, uint64_t index)
{
    uint64_t chance = p->seed * 0x9e3779b97f4a7c15ull + index;
    uint16_t mask = choose_measures(p, &chance);
    cJSON *r = cJSON_CreateObject(), *subject, *measures, *contest;
    char number[JD_ORDER_NUMBER_MAX], id[TS_ID_SIZE];

    if (ts_identifier(p->scheme, p->seed, TS_LISTED, index, id) == 0) {
        cJSON_Delete(r);
        return NULL;
    }
    snprintf(number, sizeof number, "TEST-%llu-%08llu", (unsigned long long) p->seed,
             (unsigned long long) index);
    cJSON_AddStringToObject(r, "order", number);
    subject = cJSON_AddObjectToObject(r, "subject");
    cJSON_AddStringToObject(subject, "scheme", jd_scheme_names[p->scheme]);
    cJSON_AddStringToObject(subject, "id", id);
    measures = cJSON_AddArrayToObject(r, "measures");
    for (unsigned bit = 0; bit < JD_MEASURE_N; bit++) {
        if (mask >> bit & 1)
            cJSON_AddItemToArray(measures, cJSON_CreateString(jd_measure_names[bit]));
    }
    cJSON_AddStringToObject(r, "authority", p->authority);
    cJSON_AddStringToObject(r, "basis", bases[ts_random(&chance) % 3]);
    cJSON_AddStringToObject(r, "relevance",
                            "FICTIONAL: the measure concerns the service that was misused");
    add_time(r, "served", p->now - 14 * DAY_SEC, 10);
    add_time(r, "from", p->now - DAY_SEC, 25);
    add_time(r, "until", p->now + (int64_t) p->days * DAY_SEC, 25);
    cJSON_AddStringToObject(r, "effect", p->effect);
    cJSON_AddBoolToObject(r, "objection", 0);
    contest = pair("https://authority.example/contest", "12345");
    add_time(contest, "deadline", p->now + 30 * DAY_SEC, 10);
    cJSON_AddItemToObject(r, "contest", contest);
    cJSON_AddItemToObject(r, "repair", pair("https://authority.example/repair", "12346"));
    return r;
}

static void help(void)
{
    printf("terminal-sim office generate N - N test orders as NDJSON, for `publish`\n\n"
           "  --seed N          of cards, measures and order numbers (1), as terminals take it\n"
           "  --first N         index of the first card (0), to go on where another file ended\n"
           "  --scheme NAME     card, patron, uid or cnid (card)\n"
           "  --measures A,B    of every order; else some of bus.ride bike.rent library.checkout\n"
           "                    tour.annual_pass\n"
           "  --authority TEXT  (%s)\n"
           "  --effect TEXT     enforce or observe (enforce)\n"
           "  --days N          from now to the end (180)\n\n"
           "Authorities and bases are fictional and say so; subjects are test numbers that no\n"
           "issuer gives out.\n",
           AUTHORITY);
}

static int read_number(const char *text, uint64_t max, uint64_t *out)
{
    char *end;

    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && *out <= max ? 0 : -1;
}

static int read_measures(char *text, uint16_t *mask)
{
    char *name;

    while ((name = strsep(&text, ",")) != NULL) {
        int bit = jd_measure_bit(name, strlen(name));

        if (bit < 0)
            return -1;
        *mask |= (uint16_t) (1u << bit);
    }
    return 0;
}

static int take(plan_t *p, int option)
{
    uint64_t days;
    int scheme;

    switch (option) {
    case 's':
        return read_number(optarg, UINT32_MAX, &p->seed);
    case 'f':
        return read_number(optarg, TS_ID_INDEX_MAX - 1, &p->first);
    case 'c':
        scheme = jd_scheme_parse(optarg, strlen(optarg));
        p->scheme = (jd_scheme_t) scheme;
        return scheme >= 0 && scheme != JD_SCHEME_USCC ? 0 : -1;
    case 'm':
        return read_measures(optarg, &p->measures);
    case 'a':
        p->authority = optarg;
        return 0;
    case 'e':
        p->effect = optarg;
        return 0;
    case 'd':
        if (read_number(optarg, 100000, &days) != 0)
            return -1;
        p->days = (unsigned) days;
        return 0;
    default:
        return -1;
    }
}

int ts_generate(int argc, char **argv)
{
    static const struct option options[] = { { "seed", required_argument, NULL, 's' },
                                             { "first", required_argument, NULL, 'f' },
                                             { "scheme", required_argument, NULL, 'c' },
                                             { "measures", required_argument, NULL, 'm' },
                                             { "authority", required_argument, NULL, 'a' },
                                             { "effect", required_argument, NULL, 'e' },
                                             { "days", required_argument, NULL, 'd' },
                                             { "help", no_argument, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    plan_t p = { .seed = 1,
                 .scheme = JD_SCHEME_CARD,
                 .days = 180,
                 .authority = AUTHORITY,
                 .effect = "enforce",
                 .now = ts_now() };
    int option, at;

    optind = 1;
    while ((option = getopt_long(argc, argv, "", options, &at)) != -1) {
        if (option == 'h') {
            help();
            return TS_EXIT_OK;
        }
        if (option == '?' || take(&p, option) != 0)
            return option == '?' ? TS_EXIT_USAGE
                                 : ts_complain("--%s %s: not usable; see office generate --help",
                                               options[at].name, optarg);
    }
    if (optind != argc - 1 || read_number(argv[optind], TS_ID_INDEX_MAX, &p.n) != 0)
        return ts_complain("say how many: terminal-sim office generate N");
    for (uint64_t i = p.first; i < p.first + p.n; i++) {
        cJSON *r = record(&p, i);
        char *text = r ? cJSON_PrintUnformatted(r) : NULL;

        cJSON_Delete(r);
        if (!text)
            return ts_complain("order %llu: no test number of this scheme is left",
                               (unsigned long long) i);
        puts(text);
        cJSON_free(text);
    }
    return ferror(stdout) ? TS_EXIT_WRONG : TS_EXIT_OK;
}
