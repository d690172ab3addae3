/*
 * rcctl - the operator's command: what its subcommands share.
 */
#ifndef RCCTL_H
#define RCCTL_H

#include <stdint.h>
#include <stdio.h>
#include <cjson/cJSON.h>
#include "rcd_config.h"
#include "rcd_state.h"

/* Exit codes; rcctl.md and --help tell the same. */
#define RCCTL_OK           0       /* done; check: would pass; status: all is well */
#define RCCTL_DENY         1       /* check: would be denied; orders, approve: none found */
#define RCCTL_USAGE        2       /* options, configuration, or a file that cannot be read */
#define RCCTL_UNREACHABLE  3       /* Redis, the daemon or its journal cannot be reached */
#define RCCTL_REFUSED      4       /* the daemon refused the command */
#define RCCTL_FAULT        5       /* status, holders import: something needs a hand */
#define RCCTL_DIRECT       6       /* stay, objection: in Redis without the daemon, which takes it up */
#define RCCTL_LATER        7       /* stay, objection: on disk, and Redis cannot be reached yet */
#define RCCTL_VOLATILE     8       /* stay: in Redis, and nothing could be kept on disk */

#define RCCTL_ALIVE_SEC    5       /* status.json older than this: the daemon does not run */

typedef struct {
    const char   *conf_file;
    int           json;
    int           help;
    rcd_config_t *config;          /* after rcctl_config() */
} rcctl_t;

typedef struct {
    const char  *name;             /* without "--"; NULL ends a table */
    const char **value;            /* the option takes a value, put here; */
    int         *flag;             /* or it takes none, and sets this to 1 */
} rcctl_option_t;

/*
 * Reads options (those of `options`, and -c FILE, --json, --help everywhere) and at most `max`
 * other arguments, which move to the front of argv. Returns their number, or -1 after saying on
 * stderr what is wrong.
 */
int rcctl_options(rcctl_t *r, int argc, char **argv, const rcctl_option_t *options, int max);

/* Loads the configuration once. 0, or -1 after saying why. */
int rcctl_config(rcctl_t *r);

/* "rcctl: ..." on stderr. */
void rcctl_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints text that came from elsewhere with its control characters as '?'. */
void rcctl_text(FILE *to, const char *text);
/* One line "label      text" of a plain answer; nothing when text is NULL or empty. */
void rcctl_line(const char *label, const char *text);
/* Prints JSON and its line end, and frees it. */
void rcctl_json(cJSON *object);
/* A span of time for people, "3 min" or "2 days", in static storage. */
const char *rcctl_span(int64_t sec);

/*
 * An order for --json or as lines of text: what journal and Redis have in common. Relief and
 * grounds may be NULL.
 */
typedef struct {
    const char         *number;
    uint16_t            measures;
    unsigned            flags;
    int64_t             start, until;
    int64_t             link_from, link_until;   /* with JD_ORDER_LINKED among flags */
    uint32_t            deadline_day;
    const jd_relief_t  *relief;
    const jd_grounds_t *grounds;
    const char         *state;     /* one word, and what it means in `state_text` */
    const char         *state_text;
} rcctl_order_t;

cJSON *rcctl_order_json(const rcctl_order_t *o);
void rcctl_order_print(const rcctl_order_t *o);

/* An order of the journal with its relief, its texts if a key verifies them, and where it stands now. */
typedef struct {
    rcctl_order_t order;           /* points into the rest */
    rcd_row_t     row;
    jd_relief_t   relief;
    jd_grounds_t  grounds;
    uint8_t       value[JD_GROUNDS_MAX];
} rcctl_journal_order_t;

/* 1 found, 0 not, -1 the journal failed. */
int rcctl_journal_order(const rcctl_t *r, rcd_state_t *s, const char *number,
                        rcctl_journal_order_t *out);

/*
 * The daemon's status.json: an object to be given to cJSON_Delete and its age in seconds, or NULL
 * with a reason.
 */
cJSON *rcctl_daemon_status(const rcctl_t *r, int64_t *age_sec, char *err, size_t err_size);

/* Time-to-lift of the last day from the journal: 0, or -1 when that cannot be read; as member "lifts",
 * and as lines. */
struct rcd_lift_times_s;
int  rcctl_lifts_read(const rcctl_t *r, struct rcd_lift_times_s *out);
void rcctl_lifts_json(cJSON *root, const struct rcd_lift_times_s *t);
void rcctl_lifts_print(const struct rcd_lift_times_s *t);

/*
 * From now on SIGINT, SIGTERM and SIGHUP only set what rcctl_interrupted() returns, and end a
 * sleep.
 */
void rcctl_catch_signals(void);
int  rcctl_interrupted(void);

/* The subcommands: each returns an exit code. */
int rcctl_status(rcctl_t *r, int argc, char **argv);
int rcctl_check(rcctl_t *r, int argc, char **argv);
int rcctl_orders(rcctl_t *r, int argc, char **argv);
int rcctl_explain(rcctl_t *r, int argc, char **argv);
int rcctl_quarantine(rcctl_t *r, int argc, char **argv);
int rcctl_import(rcctl_t *r, int argc, char **argv);
int rcctl_approve(rcctl_t *r, int argc, char **argv);
int rcctl_audit(rcctl_t *r, int argc, char **argv);
int rcctl_brake(rcctl_t *r, int argc, char **argv);
int rcctl_holders(rcctl_t *r, int argc, char **argv);
int rcctl_watch(rcctl_t *r, int argc, char **argv);
int rcctl_ledger(rcctl_t *r, int argc, char **argv);
int rcctl_report(rcctl_t *r, int argc, char **argv);
int rcctl_holder_report(rcctl_t *r, int argc, char **argv);
int rcctl_stay(rcctl_t *r, int argc, char **argv);
int rcctl_unstay(rcctl_t *r, int argc, char **argv);
int rcctl_stays(rcctl_t *r, int argc, char **argv);
int rcctl_objection(rcctl_t *r, int argc, char **argv);

#endif
