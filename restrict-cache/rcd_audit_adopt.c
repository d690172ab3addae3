/*
 * rcd_audit_adopt - brings chain file and journal to agree.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "rcd_audit_adopt.h"
#include "rcd_audit_read.h"
#include "rcd_json.h"
#include "rcd_log.h"
#include "rcd_store.h"

typedef struct {
    rcd_state_t     *s;
    int              fd;
    rcd_audit_head_t known;            /* the journal's head */
    rcd_audit_head_t at;               /* the record read last */
    int64_t          row_id;           /* rows up to here are in the file */
    int              rows_differ;      /* the next row is not the next record */
    uint64_t         beyond;           /* records that no row made */
    char            *checkpoint;       /* text of the newest one read */
    const char      *note;             /* NULL: file and journal agree */
} adopt_t;

/* Reads the line that ends at `end`: 1 when it is a record and genuine. `*out` borrows nothing. */
static int record_before(int fd, uint64_t end, rcd_audit_line_t *out)
{
    uint64_t begin;
    char *line;
    size_t len;
    int ok = 0;

    if (end == 0 || rcd_audit_line_begin(fd, end, &begin) != 0) {
        return 0;
    }
    len = (size_t) (end - begin) - 1;
    line = malloc(len + 1);
    if (line != NULL && pread(fd, line, len, (off_t) begin) == (ssize_t) len) {
        ok = rcd_audit_line_parse(line, len, out) == NULL && out->genuine;
    }
    free(line);
    out->text = NULL;
    return ok;
}

static int is_known(const adopt_t *a)
{
    rcd_audit_line_t line;

    return a->known.n == 0 ||
           (record_before(a->fd, a->known.size, &line) && line.n == a->known.n &&
            memcmp(line.hash, a->known.hash, sizeof(line.hash)) == 0);
}

/* ---- behind the journal's head --------------------------------------------------------------- */

static void take_checkpoint(adopt_t *a, const rcd_audit_line_t *line)
{
    static const char name[] = ",\"checkpoint\":\"";
    size_t len = sizeof(name) - 1;

    if (line->text_len <= len + 1 || memcmp(line->text, name, len) != 0) {
        return;
    }
    free(a->checkpoint);
    a->checkpoint = strndup(line->text + len, line->text_len - len - 1);
    a->at.checkpoint_n = line->n - 1;
    a->at.checkpoint_at = line->at;
}

/* A record behind the head: the daemon's own checkpoint, the next row, or another journal's. 0 or
 * -1. */
static int take_record(adopt_t *a, const rcd_audit_line_t *line)
{
    rcd_audit_row_t row;
    int rc;

    if (strcmp(line->kind, "checkpoint") == 0) {
        take_checkpoint(a, line);
    } else {
        rc = a->rows_differ ? 0 : rcd_audit_row(a->s, a->row_id, &row);
        if (rc < 0) {
            return -1;
        }
        if (rc > 0 && row.at == line->at && strcmp(row.kind, line->kind) == 0 &&
            row.text_len == line->text_len && memcmp(row.text, line->text, row.text_len) == 0) {
            a->row_id = row.id;
        } else {
            a->rows_differ = 1;
            a->beyond++;
        }
        if (rc > 0) {
            rcd_audit_row_done(a->s);
        }
    }
    a->at.n = line->n;
    memcpy(a->at.hash, line->hash, sizeof(line->hash));
    return 0;
}

/* Takes what follows a->at as far as it is this chain. 0 or -1. */
static int take_tail(adopt_t *a)
{
    rcd_audit_reader_t r;
    rcd_audit_read_t got;
    rcd_audit_line_t line;
    const char *text;
    size_t len;
    int rc = 0;

    if (rcd_audit_reader_init(&r, a->fd, a->at.size) != 0) {
        return -1;
    }
    while (rc == 0 && (got = rcd_audit_reader_next(&r, &text, &len)) == RCD_AUDIT_READ_LINE &&
           rcd_audit_line_parse(text, len, &line) == NULL && line.genuine &&
           line.n == a->at.n + 1 &&
           memcmp(line.prev, a->at.hash, sizeof(line.prev)) == 0) {
        rc = take_record(a, &line);
        a->at.size = r.offset;
    }
    if (rc == 0 && (got == RCD_AUDIT_READ_LINE || got == RCD_AUDIT_READ_LONG)) {
        a->note = "foreign";
    } else if (rc == 0 && a->beyond > 0) {
        a->note = "longer";
    }
    rcd_audit_reader_fini(&r);
    return got == RCD_AUDIT_READ_FAILED ? -1 : rc;
}

/* ---- a file that does not hold the journal's head -------------------------------------------- */

static void take_other(adopt_t *a, uint64_t size)
{
    rcd_audit_line_t last;

    if (size < a->known.size) {
        a->note = size == 0 ? "missing" : "short";
        return;
    }
    a->note = "changed";
    if (record_before(a->fd, size, &last)) {
        a->at.n = last.n;
        memcpy(a->at.hash, last.hash, sizeof(last.hash));
    }
}

/* ---- the end of the file --------------------------------------------------------------------- */

/*
 * Cuts what stands behind the last line end: a daemon was killed while it wrote. What the journal
 * knows as whole (before `known`), and what is longer than any record, gets a line end instead. 0 and
 * the length, or -1.
 */
static int end_of_file(int fd, uint64_t known, uint64_t *size)
{
    char part[4096];
    struct stat st;
    uint64_t at;

    if (fstat(fd, &st) != 0) {
        return -1;
    }
    *size = at = (uint64_t) st.st_size;
    while (at > 0 && *size - at <= RCD_AUDIT_LINE_MAX) {
        size_t len = at < sizeof(part) ? (size_t) at : sizeof(part), i = len;

        if (pread(fd, part, len, (off_t) (at - len)) != (ssize_t) len) {
            return -1;
        }
        while (i > 0 && part[i - 1] != '\n') {
            i--;
        }
        at -= len - i;
        if (i > 0) {
            break;
        }
    }
    if (at == *size) {
        return 0;
    }
    if (at >= known && *size - at <= RCD_AUDIT_LINE_MAX) {
        *size = at;
        return ftruncate(fd, (off_t) at);
    }
    (*size)++;
    return write(fd, "\n", 1) == 1 ? 0 : -1;
}

/* ---- the journal ----------------------------------------------------------------------------- */

static cJSON *note_fields(const adopt_t *a, uint64_t found)
{
    cJSON *o = cJSON_CreateObject();
    char hex[65];

    rcd_audit_hex_print(a->known.hash, hex);
    cJSON_AddStringToObject(o, "why", a->note);
    cJSON_AddStringToObject(o, "journal", a->s->marks.journal);
    cJSON_AddNumberToObject(o, "known_n", (double) a->known.n);
    cJSON_AddStringToObject(o, "known_hash", hex);
    cJSON_AddNumberToObject(o, "found_n", (double) found);
    return o;
}

static int settle(adopt_t *a, uint64_t found)
{
    rcd_state_t *s = a->s;
    int rc;

    if (a->at.checkpoint_n > a->at.n) {
        a->at.checkpoint_n = 0;
        a->at.checkpoint_at = 0;
    }
    if (rcd_store_begin(s, 1) < 0) {
        return -1;
    }
    rc = rcd_audit_rows_remove(s, a->row_id);
    rc = rc < 0 ? rc : rcd_audit_head_save(s, &a->at, a->checkpoint);
    rc = rc < 0 || a->note == NULL ? rc : rcd_audit(s, "chain", note_fields(a, found));
    if (rc < 0 || rcd_store_commit(s) < 0) {
        rcd_store_rollback(s);
        return -1;
    }
    return 0;
}

/* The number of the last record in the file, 0 when there is none: for the note alone. */
static uint64_t last_number(int fd, uint64_t size)
{
    rcd_audit_line_t last;

    return record_before(fd, size, &last) ? last.n : 0;
}

int rcd_audit_adopt(rcd_state_t *s, int fd, rcd_audit_head_t *head, char *why, size_t why_size)
{
    adopt_t a = {.s = s, .fd = fd};
    uint64_t size = 0, found;
    int rc;

    errno = 0;
    s->fault[0] = '\0';
    rc = rcd_audit_head(s, &a.known);
    a.at = a.known;
    rc = rc != 0 ? rc : end_of_file(fd, a.known.size, &size);
    if (rc == 0 && is_known(&a)) {
        rc = take_tail(&a);
    } else if (rc == 0) {
        take_other(&a, size);
    }
    if (rc == 0) {
        found = a.note != NULL ? last_number(fd, size) : 0;
        a.at.size = size;
        rc = settle(&a, found);
    }
    free(a.checkpoint);
    if (rc != 0) {
        snprintf(why, why_size, "%s", s->fault[0] != '\0' ? s->fault : strerror(errno));
        return -1;
    }
    if (a.note != NULL) {
        rcd_log(RCD_LOG_WARN, "the audit chain and the journal do not agree (%s): the journal knows "
                "%llu records, the file has %llu; the chain goes on and says so", a.note,
                (unsigned long long) a.known.n, (unsigned long long) found);
    }
    *head = a.at;
    return 0;
}
