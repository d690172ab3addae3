/*
 * rcd_holders_line - one line of a file of holders, NDJSON or CSV, to a link of two digests.
 */
#include <stdio.h>
#include <string.h>
#include "core/jd_time.h"
#include "rcd_holders_line.h"
#include "rcd_json.h"

enum { CARD, HOLDER, USE, FROM, UNTIL, OP };

static const char *const names[RCD_HOLDERS_COLUMNS] = {"card", "holder", "use", "from", "until",
                                                       "op"};

/* Texts of a line by column; NULL = absent. */
typedef struct {
    const char *text[RCD_HOLDERS_COLUMNS];
} cells_t;

void rcd_holders_reader_init(rcd_holders_reader_t *r, const rcd_rules_t *rules, int full)
{
    memset(r, 0, sizeof(*r));
    r->rules = rules;
    r->full = full;
}

static rcd_holders_rc_t refuse(rcd_holders_line_t *out, const char *why)
{
    snprintf(out->why, sizeof(out->why), "%s", why);
    return RCD_HOLDERS_REFUSED;
}

static int column_named(const char *name)
{
    for (int i = 0; i < RCD_HOLDERS_COLUMNS; i++) {
        if (strcmp(names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

/* ---- identifiers ----------------------------------------------------------------------------- */

static const char *digest_of(const rcd_rules_t *rules, jd_scheme_t scheme, const char *id,
                             uint8_t digest[JD_DIGEST_LEN])
{
    uint8_t norm[JD_SUBJECT_MAX];
    size_t len;

    switch (jd_subject_normalise(scheme, &rules->norm, (const uint8_t *) id, strlen(id), norm,
                                 &len)) {
    case JD_SUBJECT_OK:
        jd_digest(rules->key, scheme, norm, len, digest);
        explicit_bzero(norm, sizeof(norm));
        return NULL;
    case JD_SUBJECT_EMPTY:
        return "is empty";
    case JD_SUBJECT_OTHER:
        return "is not of its scheme (length, date or check digit)";
    default:
        return "cannot be read in one way only (control character, space, length)";
    }
}

/* "scheme:id"; without a scheme it is a card. NULL, or what is wrong. */
static const char *card_read(const rcd_rules_t *rules, const char *text, rcd_holding_t *link)
{
    const char *colon = strchr(text, ':');
    int scheme = colon == NULL ? JD_SCHEME_CARD : jd_scheme_parse(text, (size_t) (colon - text));

    if (scheme != JD_SCHEME_CARD && scheme != JD_SCHEME_UID && scheme != JD_SCHEME_PATRON) {
        return "must be card:, uid: or patron: and a number";
    }
    link->flags |= RCD_LINK_SCHEME(scheme);
    return digest_of(rules, (jd_scheme_t) scheme, colon == NULL ? text : colon + 1, link->card);
}

static const char *holder_read(const rcd_rules_t *rules, const char *text, rcd_holding_t *link)
{
    const char *colon = strchr(text, ':');
    int scheme = colon == NULL ? -1 : jd_scheme_parse(text, (size_t) (colon - text));

    if (scheme != JD_SCHEME_CNID && scheme != JD_SCHEME_USCC) {
        return "must be cnid: and a person's number, or uscc: and a body's";
    }
    link->flags |= scheme == JD_SCHEME_USCC ? RCD_LINK_BODY : 0u;
    return digest_of(rules, (jd_scheme_t) scheme, colon + 1, link->holder);
}

/* ---- a line's meaning ------------------------------------------------------------------------ */

/* An instant, or a day's first second. */
static int time_read(const char *text, int64_t *at)
{
    size_t len = strlen(text);

    if (jd_time_parse(text, len, at) != 0 && jd_date_parse(text, len, at) != 0) {
        return -1;
    }
    return *at >= 0 && *at < RCD_LINK_OPEN ? 0 : -1;
}

static rcd_holders_rc_t term_read(const cells_t *c, rcd_holders_line_t *out)
{
    static const char *const why[2] = {
        "from: must be a date like 2026-10-01 or an instant like 2026-10-01T08:00:00+08:00",
        "until: must be a date like 2026-10-01 or an instant like 2026-10-01T08:00:00+08:00"};

    out->link.from = 0;
    out->link.until = RCD_LINK_OPEN;
    if (c->text[FROM] != NULL && time_read(c->text[FROM], &out->link.from) != 0) {
        return refuse(out, why[0]);
    }
    if (c->text[UNTIL] != NULL && time_read(c->text[UNTIL], &out->link.until) != 0) {
        return refuse(out, why[1]);
    }
    return out->link.until > out->link.from ? RCD_HOLDERS_SET
                                            : refuse(out, "until: must be after from");
}

static rcd_holders_rc_t set_read(const cells_t *c, rcd_holders_line_t *out)
{
    const char *use = c->text[USE];

    if (!out->has_holder) {
        return refuse(out, "holder: missing");
    }
    if (use == NULL || (strcmp(use, "own") != 0 && strcmp(use, "other") != 0)) {
        return refuse(out, "use: must be own or other");
    }
    out->link.flags |= strcmp(use, "own") == 0 ? RCD_LINK_OWN : 0u;
    return term_read(c, out);
}

static rcd_holders_rc_t cells_read(const rcd_holders_reader_t *r, const cells_t *c,
                                   rcd_holders_line_t *out)
{
    const char *op = c->text[OP], *card, *holder = NULL;

    card = c->text[CARD] == NULL ? "missing" : card_read(r->rules, c->text[CARD], &out->link);
    out->has_card = card == NULL;
    if (c->text[HOLDER] != NULL) {
        holder = holder_read(r->rules, c->text[HOLDER], &out->link);
        out->has_holder = holder == NULL;
    }
    if (card != NULL || holder != NULL) {
        snprintf(out->why, sizeof(out->why), "%s: %s", card != NULL ? "card" : "holder",
                 card != NULL ? card : holder);
        return RCD_HOLDERS_REFUSED;
    }
    if (op != NULL && r->full) {
        return refuse(out, "op: has no place in a full file");
    }
    if (op == NULL || strcmp(op, "set") == 0) {
        return set_read(c, out);
    }
    return strcmp(op, "remove") == 0 ? RCD_HOLDERS_REMOVE
                                     : refuse(out, "op: must be set or remove");
}

/* ---- NDJSON ---------------------------------------------------------------------------------- */

static rcd_holders_rc_t members_read(const rcd_holders_reader_t *r, const cJSON *object,
                                     rcd_holders_line_t *out)
{
    const char *why = NULL;
    cells_t c = {{NULL}};
    rcd_holders_rc_t rc;

    for (const cJSON *m = object->child; m != NULL; m = m->next) {
        int column = column_named(m->string);

        if (column < 0) {
            why = "a member that is none of card, holder, use, from, until, op";
        } else if (cJSON_IsString(m)) {
            c.text[column] = m->valuestring;
        } else if (!cJSON_IsNull(m)) {
            why = "a member is not a string";
        }
    }
    rc = cells_read(r, &c, out);
    return why == NULL ? rc : refuse(out, why);
}

static rcd_holders_rc_t json_line(const rcd_holders_reader_t *r, const char *line, size_t len,
                                  rcd_holders_line_t *out)
{
    const char *why;
    cJSON *object = rcd_json_parse(line, len, &why);
    rcd_holders_rc_t rc;

    if (object == NULL) {
        return refuse(out, why);
    }
    rc = members_read(r, object, out);
    for (cJSON *m = object->child; m != NULL; m = m->next) {
        if (cJSON_IsString(m)) {
            explicit_bzero(m->valuestring, strlen(m->valuestring));
        }
    }
    cJSON_Delete(object);
    return rc;
}

/* ---- CSV (RFC 4180, a row is a line) --------------------------------------------------------- */

/*
 * Takes the cell at *at, unquoted in place, and moves *at behind its comma, or to NULL after the
 * last. NULL with *why when it is not a cell.
 */
static char *cell_take(char **at, const char **why)
{
    char *cell = *at, *in = *at, *to = *at;

    if (*in != '"') {
        in += strcspn(in, ",\"");
        to = in;
        if (*in == '"') {
            *why = "a quote inside a cell that does not begin with one";
            return NULL;
        }
    } else {
        for (in++; *in != '\0' && (*in != '"' || in[1] == '"'); in++) {
            in += *in == '"';
            *to++ = *in;
        }
        if (*in == '\0') {
            *why = "a quote is not closed";
            return NULL;
        }
        in++;
        if (*in != ',' && *in != '\0') {
            *why = "text behind a closing quote";
            return NULL;
        }
    }
    *at = *in == ',' ? in + 1 : NULL;
    *to = '\0';
    return cell;
}

/* The row of names. */
static rcd_holders_rc_t names_read(rcd_holders_reader_t *r, char *line, rcd_holders_line_t *out)
{
    const char *why = NULL;
    unsigned seen = 0;

    for (char *at = line; at != NULL && why == NULL;) {
        const char *name = cell_take(&at, &why);
        int column = name == NULL ? -1 : column_named(name);

        if (column < 0 || seen & 1u << column || (column == OP && r->full)) {
            snprintf(out->why, sizeof(out->why), "neither NDJSON nor CSV: column %d of its first "
                     "line is %s", r->columns + 1,
                     column < 0 ? "none of card, holder, use, from, until, op"
                     : column == OP && r->full ? "op, which has no place in a full file"
                                               : "there twice");
            return RCD_HOLDERS_WRONG;
        }
        seen |= 1u << column;
        r->column_of[r->columns++] = column;
    }
    if ((seen & (1u << CARD | 1u << HOLDER | 1u << USE)) !=
        (1u << CARD | 1u << HOLDER | 1u << USE)) {
        snprintf(out->why, sizeof(out->why), "the first line must name the columns card, holder "
                 "and use");
        return RCD_HOLDERS_WRONG;
    }
    r->format = RCD_HOLDERS_CSV;
    return RCD_HOLDERS_NOTHING;
}

static rcd_holders_rc_t csv_line(const rcd_holders_reader_t *r, char *line,
                                 rcd_holders_line_t *out)
{
    const char *why = NULL;
    cells_t c = {{NULL}};
    int n = 0;

    for (char *at = line; at != NULL && why == NULL; n++) {
        const char *cell = cell_take(&at, &why);

        if (cell != NULL && n < r->columns && cell[0] != '\0') {
            c.text[r->column_of[n]] = cell;
        }
    }
    /* cells that shifted are not what their columns say: nothing of this line is believed */
    if (why != NULL || n != r->columns) {
        return refuse(out, why != NULL ? why : "not as many cells as the first line names");
    }
    return cells_read(r, &c, out);
}

/* ---- any line -------------------------------------------------------------------------------- */

rcd_holders_rc_t rcd_holders_line(rcd_holders_reader_t *r, char *line, size_t len,
                                  rcd_holders_line_t *out)
{
    memset(out, 0, sizeof(*out));
    if (r->format == RCD_HOLDERS_UNKNOWN && len >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
        line += 3;
        len -= 3;
    }
    if (len > 0 && line[len - 1] == '\r') {
        line[--len] = '\0';
    }
    if (strspn(line, " \t") == len) {
        return RCD_HOLDERS_NOTHING;
    }
    if (r->format == RCD_HOLDERS_UNKNOWN) {
        if (line[strspn(line, " \t")] != '{') {
            if (strlen(line) == len) {
                return names_read(r, line, out);
            }
            snprintf(out->why, sizeof(out->why), "neither NDJSON nor CSV: a NUL byte");
            return RCD_HOLDERS_WRONG;
        }
        r->format = RCD_HOLDERS_NDJSON;
    }
    if (r->format == RCD_HOLDERS_NDJSON) {
        return json_line(r, line, len, out);
    }
    return strlen(line) == len ? csv_line(r, line, out) : refuse(out, "a NUL byte");
}
