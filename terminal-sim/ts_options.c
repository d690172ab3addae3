/*
 * ts_options.c - options of the terminals.
 */
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "ts_terminal.h"

enum {
    URL = 256,
    HOST,
    PORT,
    RATE,
    CONNECTIONS,
    DURATION,
    COUNT,
    POPULATION,
    CLEAN,
    LISTED,
    ORACLE,
    SEED,
    SHARE_LISTED,
    SCHEME,
    TIMEOUT,
    WINDOW,
    DENY_STATUS,
    DRY_RUN,
    OPEN,
    JSON,
    HELP
};

static const struct option table[] = {
    { "url", required_argument, NULL, URL },
    { "host", required_argument, NULL, HOST },
    { "port", required_argument, NULL, PORT },
    { "rate", required_argument, NULL, RATE },
    { "connections", required_argument, NULL, CONNECTIONS },
    { "duration", required_argument, NULL, DURATION },
    { "count", required_argument, NULL, COUNT },
    { "population", required_argument, NULL, POPULATION },
    { "clean", required_argument, NULL, CLEAN },
    { "listed", required_argument, NULL, LISTED },
    { "oracle", required_argument, NULL, ORACLE },
    { "seed", required_argument, NULL, SEED },
    { "share-listed", required_argument, NULL, SHARE_LISTED },
    { "scheme", required_argument, NULL, SCHEME },
    { "timeout", required_argument, NULL, TIMEOUT },
    { "window", required_argument, NULL, WINDOW },
    { "deny-status", required_argument, NULL, DENY_STATUS },
    { "dry-run-expected", optional_argument, NULL, DRY_RUN },
    { "expect-open", no_argument, NULL, OPEN },
    { "json", no_argument, NULL, JSON },
    { "help", no_argument, NULL, HELP },
    { NULL, 0, NULL, 0 }
};

static void help(const ts_terminal_t *t)
{
    printf(
        "terminal-sim %s - %s\n\n"
        "Where\n"
        "  --url URL             http://host:port of the gate; or --host HOST --port PORT\n"
        "How much\n"
        "  --rate R              requests a second, on time whether or not answers come (100)\n"
        "  --connections N       keep-alive connections (8)\n"
        "  --duration S | --count N\n"
        "                        how long (10 s), or how many requests\n"
        "  --timeout MS          of one request (10000)\n"
        "Which cards\n"
        "  --clean N             generated test cards that no generated order names (100000)\n"
        "  --population FILE     these instead, one a line\n"
        "  --seed N              of generated cards and of chance (1), as `office generate`'s\n"
        "  --share-listed PCT    share of requests with a card that an order names (10)\n"
        "  --scheme NAME         scheme under which the gate reads the card (%s)\n"
        "What is right\n"
        "  --listed FILE         orders, lifts and marks, as `office publish` takes them\n"
        "  --oracle FILE         the same, followed while running: append a line, then publish it.\n"
        "                        Both may hold links, stays, objections and brakes (README.md)\n"
        "  --window MS           after an appended line both answers are right (2000)\n"
        "  --dry-run-expected[=MEASURE]\n"
        "                        the gate observes (this measure): a denial is wrong\n"
        "  --expect-open         an outage: everybody passes\n"
        "  --deny-status CODE    status of a denial (403)\n"
        "Output\n"
        "  --json                the report as one JSON object\n\n"
        "Exit code: 0 no wrong answer and no transport error, 1 some, 2 options or files cannot\n"
        "be used.\n\n"
        "Examples\n"
        "  terminal-sim %s %s\n"
        "  terminal-sim %s --port 8080 --oracle orders.ndjson --share-listed 20 --json\n"
        "  terminal-sim %s --port 8080 --duration 5 --listed orders.ndjson --expect-open\n",
        t->name, t->what, jd_scheme_names[t->scheme], t->name, t->example, t->name, t->name);
}

/* A decimal number within bounds, or -1 after telling. */
static int number(const char *option, const char *text, double low, double high, int integer,
                  double *out)
{
    char *end;

    errno = 0;
    *out = strtod(text, &end);
    if (end == text || *end || errno || !isfinite(*out) || *out < low || *out > high
        || (integer && *out != (double) (uint64_t) *out))  {
        ts_complain("--%s %s: give a%s number from %.10g to %.10g", option, text,
                    integer ? " whole" : "", low, high);
        return -1;
    }
    return 0;
}

static int whole(const char *option, const char *text, double low, double high, unsigned *out)
{
    double value;

    if (number(option, text, low, high, 1, &value) != 0)
        return -1;
    *out = (unsigned) value;
    return 0;
}

static int whole64(const char *option, const char *text, double low, double high, uint64_t *out)
{
    double value;

    if (number(option, text, low, high, 1, &value) != 0)
        return -1;
    *out = (uint64_t) value;
    return 0;
}

static int copy_host(const char *text, size_t len, char *host, size_t size)
{
    if (len == 0 || len >= size) {
        ts_complain("host name empty or too long");
        return -1;
    }
    memcpy(host, text, len);
    host[len] = '\0';
    return 0;
}

static int read_url(const char *url, char *host, size_t size, unsigned *port)
{
    const char *start = url + 7, *end, *colon;

    if (strncmp(url, "http://", 7) != 0) {
        ts_complain("--url: must begin with http:// (the terminals speak plain HTTP)");
        return -1;
    }
    end = start + strcspn(start, "/");
    if (*end && end[1]) {
        ts_complain("--url: only scheme, host and port; the path is the terminal's own");
        return -1;
    }
    colon = memchr(start, ':', (size_t) (end - start));
    if (colon) {
        char digits[8];

        if (copy_host(colon + 1, (size_t) (end - colon - 1), digits, sizeof digits) != 0
            || whole("url (port)", digits, 1, 65535, port) != 0)
            return -1;
    } else {
        *port = 80;
    }
    return copy_host(start, (size_t) ((colon ? colon : end) - start), host, size);
}

static int read_scheme(const char *text, jd_scheme_t *scheme)
{
    int parsed = jd_scheme_parse(text, strlen(text));

    if (parsed < 0 || parsed == JD_SCHEME_USCC) {
        ts_complain("--scheme: give cnid, patron, card or uid");
        return -1;
    }
    *scheme = (jd_scheme_t) parsed;
    return 0;
}

static int read_dry_run(const char *measure, uint16_t *mask)
{
    int bit = measure ? jd_measure_bit(measure, strlen(measure)) : 0;

    if (bit < 0) {
        ts_complain("--dry-run-expected=%s: no such measure; give one of %s", measure,
                    jd_measure_list());
        return -1;
    }
    *mask |= measure ? (uint16_t) (1u << bit) : JD_MEASURE_ALL;
    return 0;
}

/* One option. Returns 0 or -1. */
static int take(ts_options_t *o, int option, const char *name, char *host, size_t host_size,
                unsigned *port)
{
    double seconds;

    switch (option) {
    case URL:
        return read_url(optarg, host, host_size, port);
    case HOST:
        return copy_host(optarg, strlen(optarg), host, host_size);
    case PORT:
        return whole(name, optarg, 1, 65535, port);
    case RATE:
        return number(name, optarg, 0.1, 1000000, 0, &o->rate);
    case CONNECTIONS:
        return whole(name, optarg, 1, 10000, &o->connections);
    case DURATION:
        if (number(name, optarg, 0.01, 86400 * 7, 0, &seconds) != 0)
            return -1;
        o->duration_sec = seconds;
        return 0;
    case COUNT:
        return whole64(name, optarg, 1, 1e12, &o->count);
    case POPULATION:
        o->population = optarg;
        return 0;
    case CLEAN:
        return whole64(name, optarg, 1, (double) TS_CNID_INDEX_MAX, &o->clean);
    case LISTED:
        o->listed = optarg;
        return 0;
    case ORACLE:
        o->oracle = optarg;
        return 0;
    case SEED:
        return whole64(name, optarg, 0, 9007199254740992.0, &o->seed);
    case SHARE_LISTED:
        return number(name, optarg, 0, 100, 0, &o->share_listed);
    case SCHEME:
        return read_scheme(optarg, &o->scheme);
    case TIMEOUT:
        return whole(name, optarg, 1, 600000, &o->timeout_ms);
    case WINDOW:
        return whole(name, optarg, 0, 600000, &o->window_ms);
    case DENY_STATUS:
        return whole(name, optarg, 200, 599, &o->deny_status);
    case DRY_RUN:
        return read_dry_run(optarg, &o->dry_run);
    case OPEN:
        o->open = 1;
        return 0;
    case JSON:
        o->json = 1;
        return 0;
    default:
        ts_complain("see terminal-sim %s", "<bus|kiosk|counter> --help");
        return -1;
    }
}

static int resolve(ts_options_t *o, const char *host, unsigned port)
{
    struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *found;
    char service[16];
    int rc;

    snprintf(service, sizeof service, "%u", port);
    rc = getaddrinfo(host, service, &hints, &found);
    if (rc != 0) {
        ts_complain("%s: %s", host, gai_strerror(rc));
        return -1;
    }
    memcpy(&o->address, found->ai_addr, sizeof o->address);
    freeaddrinfo(found);
    snprintf(o->host, sizeof o->host, "%s:%u", host, port);
    return 0;
}

int ts_options_parse(ts_options_t *o, const ts_terminal_t *t, int argc, char **argv)
{
    char host[sizeof o->host - 16] = "127.0.0.1";
    unsigned port = 0;
    int option, at;

    *o = (ts_options_t) {
        .rate = 100,
        .connections = 8,
        .duration_sec = 10,
        .clean = 100000,
        .seed = 1,
        .share_listed = 10,
        .scheme = t->scheme,
        .timeout_ms = 10000,
        .window_ms = 2000,
        .deny_status = 403,
    };
    optind = 1;
    while ((option = getopt_long(argc, argv, "", table, &at)) != -1) {
        if (option == HELP) {
            help(t);
            return 1;
        }
        if (take(o, option, option >= URL ? table[at].name : "", host, sizeof host, &port) != 0)
            return -1;
    }
    if (optind < argc) {
        ts_complain("%s: not an option; see terminal-sim %s --help", argv[optind], t->name);
        return -1;
    }
    if (port == 0) {
        ts_complain("say where: --url http://host:port, or --port");
        return -1;
    }
    return resolve(o, host, port);
}
