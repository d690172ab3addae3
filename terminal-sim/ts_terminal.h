/*
 * ts_terminal.h - the terminals: options, oracle, cards, latency histogram, report.
 */
#ifndef TS_TERMINAL_H
#define TS_TERMINAL_H

#include <netinet/in.h>

#include "ts.h"
#include "ts_http.h"

#define TS_REQUEST_MAX   1024
#define TS_SERVICES_MAX  2
#define TS_CARD_MAX      JD_SUBJECT_MAX

/* ---- one kind of terminal (ts_bus.c, ts_kiosk.c, ts_counter.c) ------------------------------- */

typedef struct {
    const char *name;
    const char *what;                               /* one line for --help */
    const char *example;                            /* options, for --help */
    jd_scheme_t scheme;                             /* default of --scheme */
    unsigned    n_services;
    struct {
        const char *path;
        const char *measure;
    } service[TS_SERVICES_MAX];
    /* Writes the n-th request for a card to `out` (TS_REQUEST_MAX bytes); returns its length. */
    size_t    (*write)(char *out, const char *host, const char *path, const char *card, uint64_t n);
} ts_terminal_t;

/* Runs a kind of terminal with its options; returns the exit code (ts_terminal.c). */
int ts_terminal_main(const ts_terminal_t *terminal, int argc, char **argv);

/* ---- options (ts_options.c) ------------------------------------------------------------------ */

typedef struct {
    char               host[128];                   /* as in the Host header */
    struct sockaddr_in address;
    double             rate;                        /* requests a second */
    unsigned           connections;
    double             duration_sec;
    uint64_t           count;                       /* 0: rate times duration */
    const char        *population;                  /* file of identifiers, one a line */
    uint64_t           clean;                       /* generated clean cards */
    const char        *listed;                      /* scenario file, read once */
    const char        *oracle;                      /* scenario file, followed while running */
    uint64_t           seed;
    double             share_listed;                /* percent of requests that tap a listed card */
    jd_scheme_t        scheme;
    unsigned           timeout_ms;                  /* of one request */
    unsigned           window_ms;                   /* after an event both answers are right */
    unsigned           deny_status;
    uint16_t           dry_run;                     /* measures that the gate only observes */
    int                open;
    int                json;
} ts_options_t;

/* Returns 0, 1 after --help, or -1: told on stderr. */
int ts_options_parse(ts_options_t *o, const ts_terminal_t *terminal, int argc, char **argv);

/* ---- oracle (ts_oracle.c) -------------------------------------------------------------------- */

typedef enum {
    TS_PASSED,
    TS_DENIED,
    TS_OTHER                                        /* neither: 5xx, 4xx of the backend */
} ts_outcome_t;

typedef struct {
    ts_outcome_t outcome;
    int          status;
    char         said[48];                          /* JD-Status, token and reason; "-": none */
    char         order[JD_ORDER_NUMBER_MAX + 1];    /* that a denial names; "" when it names none */
} ts_answer_t;

typedef enum {
    TS_RIGHT,
    TS_SETTLING,                /* within the window after an event: both answers are right */
    TS_WRONG
} ts_judgement_t;

typedef struct ts_oracle ts_oracle_t;

/* Reads options' scenario files. NULL: told on stderr. */
ts_oracle_t *ts_oracle_create(const ts_options_t *o);
void ts_oracle_destroy(ts_oracle_t *oracle);

/* Reads what was appended to the followed file. `now_ns` is CLOCK_MONOTONIC. 0, or -1: told on
 * stderr. */
int ts_oracle_follow(ts_oracle_t *oracle, int64_t now_ns);

/* Cards that orders name, of the terminal's scheme. */
size_t ts_oracle_cards(const ts_oracle_t *oracle);
const char *ts_oracle_card(const ts_oracle_t *oracle, size_t i);

/*
 * Judges the answer to a request sent at sent_ns and answered at now_ns (CLOCK_MONOTONIC). When it
 * is not TS_RIGHT, `order` gets the number of the order that decides, or that the answer named ("-"
 * for none), and *why a static phrase. An answer is called wrong only after the followed file has
 * been read once more, so that a caller who appends first and acts then is never misjudged.
 */
ts_judgement_t ts_oracle_judge(ts_oracle_t *oracle, const char *card, unsigned measure_bit,
                               const ts_answer_t *answer, int64_t sent_ns, int64_t now_ns,
                               const char **why, char order[JD_ORDER_NUMBER_MAX + 1]);

/* ---- cards (ts_cards.c) ---------------------------------------------------------------------- */

typedef struct ts_cards ts_cards_t;

/* Cards of the options; those that orders name come from the oracle as it stands. NULL: told on
 * stderr. */
ts_cards_t *ts_cards_create(const ts_options_t *o, const ts_oracle_t *oracle);
void ts_cards_destroy(ts_cards_t *cards);
/* Chooses the next card by chance. */
void ts_cards_next(ts_cards_t *cards, char card[TS_CARD_MAX + 1]);
/* 1 when `id` may be put into header, form and JSON as it is: 1..TS_CARD_MAX of [0-9A-Za-z._-]. */
int ts_card_plain(const char *id, size_t len);

/* ---- latency (ts_histogram.c) ---------------------------------------------------------------- */

#define TS_HISTOGRAM_SUB_BITS  6          /* 64 steps each power of two: error below 1.6 % */
#define TS_HISTOGRAM_BUCKETS   ((64 - TS_HISTOGRAM_SUB_BITS + 1) << TS_HISTOGRAM_SUB_BITS)

typedef struct {
    uint64_t n;
    uint64_t max;
    uint64_t bucket[TS_HISTOGRAM_BUCKETS];
} ts_histogram_t;

void ts_histogram_add(ts_histogram_t *h, uint64_t value);
/* The value that `share` (0..1) of all do not exceed: the highest of its bucket, never above max;
 * 0 when empty. */
uint64_t ts_histogram_at(const ts_histogram_t *h, double share);

/* ---- report (ts_report.c) -------------------------------------------------------------------- */

typedef struct ts_report ts_report_t;

ts_report_t *ts_report_create(const ts_terminal_t *terminal, const ts_options_t *o, int64_t now_ns);
void ts_report_destroy(ts_report_t *r);
void ts_report_answer(ts_report_t *r, const ts_answer_t *answer, uint64_t latency_us);
/* A wrong answer: the first ones are printed at once on stderr, the card masked. */
void ts_report_wrong(ts_report_t *r, const ts_answer_t *answer, unsigned service, const char *card,
                     const char *order, const char *why);
void ts_report_settling(ts_report_t *r);
/* `n` requests without an answer; `why` is static or of strerror. */
void ts_report_error(ts_report_t *r, uint64_t n, const char *why);
/* A connection that the peer closed while idle was opened again, the request sent once more. */
void ts_report_reopened(ts_report_t *r);
/* One line on stderr. */
void ts_report_progress(ts_report_t *r, int64_t now_ns);
/* The end: table or JSON on stdout. Returns the exit code. */
int ts_report_end(ts_report_t *r, int64_t now_ns);

#endif
