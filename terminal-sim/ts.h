/*
 * ts.h - what the parts of terminal-sim share: subcommands, test identifiers, scenario lines.
 *
 * The terminals' own engine is declared in ts_terminal.h.
 */
#ifndef TS_H
#define TS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/jd_measure.h"
#include "core/jd_order.h"
#include "core/jd_subject.h"

/* ---- subcommands: argv[0] is the subcommand's name; each returns the exit code --------------- */

#define TS_EXIT_OK       0
#define TS_EXIT_WRONG    1      /* wrong answers or transport errors */
#define TS_EXIT_USAGE    2      /* options or files that cannot be used */

int ts_office_main(int argc, char **argv);
int ts_bus_main(int argc, char **argv);
int ts_kiosk_main(int argc, char **argv);
int ts_counter_main(int argc, char **argv);
int ts_backends_main(int argc, char **argv);

/* "terminal-sim: <text>" on stderr. Returns TS_EXIT_USAGE. Never given an identifier. */
int ts_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- test identifiers (ts_population.c) ------------------------------------------------------ */

#define TS_ID_SIZE         24                   /* identifier and NUL */
#define TS_ID_INDEX_MAX    100000000000ull      /* indexes of one kind: 0 .. 10^11 - 1 */
#define TS_CNID_INDEX_MAX  100000000ull         /* of scheme cnid: 0 .. 10^8 - 1 */

typedef enum {
    TS_LISTED,                  /* cards that a generated order may name */
    TS_CLEAN                    /* cards that no generated order names */
} ts_kind_t;

/*
 * Writes test identifier number `index` of a seed, a kind and a scheme: the same arguments always
 * give the same text, two different (kind, index) never do under one seed. card, patron, uid:
 * "9900" and 12 digits; uscc is not generated. cnid: valid by GB 11643, region 99xxxx, which is
 * given to no place. Returns the length, 0 when the index is too large or the scheme is uscc.
 */
size_t ts_identifier(jd_scheme_t scheme, uint64_t seed, ts_kind_t kind, uint64_t index,
                     char out[TS_ID_SIZE]);

/* Masks an identifier for people to read: all but its last two characters become '*'. `out` takes
 * JD_SUBJECT_MAX + 1 bytes. */
void ts_mask(const char *id, size_t len, char *out);

/* One step of splitmix64: the simulator's only source of chance, so that a seed repeats a run. */
uint64_t ts_random(uint64_t *state);

/* ---- scenario lines (ts_scenario.c) ---------------------------------------------------------- */

/*
 * One line of a scenario file is one JSON object, what `office publish` takes and what the oracle
 * reads:
 *
 *   {"order":"CS-...","subject":{"scheme":"card","id":"..."},"measures":[...], ...}
 *                                                the feed's record: an order, new or amended
 *   {"lift":"CS-...","measures":["bus.ride"]}   a lift; no measures = the whole order
 *   {"mark":"CS-...","objection":true}           an objection begins or ends
 *
 * and, of the operator, for the oracle alone ("scheme:identifier" as for rcctl; a card may lack "card:"):
 *
 *   {"stay":{"order":"CS-1"},"until":"..."}     a stay, of an order or {"subject":"cnid:..."}; no until = no end
 *   {"unstay":{"order":"CS-1"}}                  it ends
 *   {"objection":"CS-1","stands":true}           the operator's own
 *   {"link":{"card":"...","holder":"cnid:...","use":"own"}}    whose card it is, "from" and "until" if not open;
 *                                                takes the place of the links of this card and holder
 *   {"unlink":{"card":"...","holder":"cnid:..."}}  without a holder: whoever it is
 *   {"brake":"bus.ride","state":"armed"}         the brake may take hold; "on": it has; "off": released
 *
 * Empty lines and lines beginning with '#' are skipped by whoever reads the file.
 */
typedef enum {
    TS_LINE_ORDER,
    TS_LINE_LIFT,
    TS_LINE_MARK,
    TS_LINE_OBJECTION,
    TS_LINE_STAY,
    TS_LINE_LINK,
    TS_LINE_UNLINK,
    TS_LINE_BRAKE
} ts_line_kind_t;

typedef enum {
    TS_BRAKE_OFF,
    TS_BRAKE_ARMED,             /* denials, and passes that say "braked", are right */
    TS_BRAKE_ON                 /* no denial is */
} ts_brake_t;

typedef struct {
    ts_line_kind_t kind;
    char           number[JD_ORDER_NUMBER_MAX + 1];
    uint16_t       measures;                  /* an order's, a brake's; of a lift: 0xffff = whole order */
    int            objection;
    jd_scheme_t    scheme;                    /* of an order, of a link's card, of a stay without number */
    char           id[JD_SUBJECT_RAW_MAX + 1];
    int            observe;
    int64_t        served;                    /* 00:00 +08:00 of the day */
    int64_t        from;                      /* of an order: not before the day it was served */
    int64_t        until;
    int64_t        stay;                      /* Unix second; 0 = it ends */
    jd_scheme_t    holder_scheme;
    char           holder[JD_SUBJECT_RAW_MAX + 1];    /* "" = whoever it is */
    int            own;
    ts_brake_t     brake;
} ts_line_t;

/* Parses one line, its newline cut off. Returns NULL, or a static phrase: what is wrong. */
const char *ts_line_parse(const char *text, size_t len, ts_line_t *out);

/* ---- text files that another process appends to (ts_lines.c) --------------------------------- */

typedef struct ts_lines ts_lines_t;

/* Called per whole line, newline cut off; returns 0, or non-zero to stop. */
typedef int (*ts_line_fn)(void *data, const char *text, size_t len, unsigned number);

/* Opens a file of lines. NULL: told on stderr. */
ts_lines_t *ts_lines_open(const char *path);
/* Reads the whole lines added since the last call (a last line without newline waits, or is given
 * when `final`). Skips empty and '#' lines. Never blocks longer than the disk. Returns 0, the
 * callback's non-zero, or -1: told on stderr. */
int ts_lines_read(ts_lines_t *lines, int final, ts_line_fn fn, void *data);
void ts_lines_close(ts_lines_t *lines);

#endif
