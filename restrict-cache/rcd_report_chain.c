/*
 * rcd_report_chain - what a report takes from the audit chain: records put into quarantine. The
 * journal forgets them when a good version comes; the chain does not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cjson/cJSON.h>
#include "rcd_audit_file.h"
#include "rcd_audit_line.h"
#include "rcd_audit_read.h"
#include "rcd_report.h"

#define KIND_AT  96                    /* the kind stands within so many bytes of a line */

typedef struct {
    char   number[JD_ORDER_NUMBER_MAX + 1];
    int    code;
} seen_t;

typedef struct {
    seen_t *seen;
    size_t  n, size;
} list_t;

/* Number and code of a record's members. 0 or -1. */
static int read_members(const rcd_audit_line_t *line, seen_t *out)
{
    char *text = NULL;
    const char *number, *code;
    cJSON *root;

    if (line->text_len == 0 ||
        asprintf(&text, "{%.*s}", (int) line->text_len - 1, line->text + 1) < 0) {
        return -1;
    }
    root = cJSON_Parse(text);
    free(text);
    number = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "order"));
    code = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "code"));
    snprintf(out->number, sizeof(out->number), "%s", number != NULL ? number : "");
    out->code = RCD_Q_NONE;
    for (int i = RCD_Q_NONE + 1; code != NULL && i < RCD_Q_N; i++) {
        out->code = strcmp(code, rcd_quarantine_names[i]) == 0 ? i : out->code;
    }
    cJSON_Delete(root);
    return out->code != RCD_Q_NONE ? 0 : -1;
}

static int keep(list_t *l, const seen_t *s)
{
    seen_t *grown;

    if (l->n == l->size) {
        l->size = l->size == 0 ? 64 : l->size * 2;
        grown = realloc(l->seen, l->size * sizeof(*grown));
        if (grown == NULL) {
            return -1;
        }
        l->seen = grown;
    }
    l->seen[l->n++] = *s;
    return 0;
}

/* A line of the file, if it is what we look for. 0, or -1 without memory. */
static int take_line(const rcd_report_t *r, list_t *l, const char *text, size_t len)
{
    static const char kind[] = "\"kind\":\"quarantine\"";
    rcd_audit_line_t line;
    seen_t s;

    if (memmem(text, len < KIND_AT ? len : KIND_AT, kind, sizeof(kind) - 1) == NULL ||
        rcd_audit_line_parse(text, len, &line) != NULL || strcmp(line.kind, "quarantine") != 0 ||
        line.at < r->from || line.at >= r->until || read_members(&line, &s) != 0) {
        return 0;
    }
    return keep(l, &s);
}

static int compare(const void *a, const void *b)
{
    const seen_t *x = a, *y = b;

    return x->code != y->code ? x->code - y->code : strcmp(x->number, y->number);
}

/* A number that could not be read is a record of its own. */
static void count(rcd_report_t *r, list_t *l)
{
    if (l->n > 0) {
        qsort(l->seen, l->n, sizeof(*l->seen), compare);
    }
    for (size_t i = 0; i < l->n; i++) {
        const seen_t *s = &l->seen[i];

        if (i > 0 && s->number[0] != '\0' && compare(s - 1, s) == 0) {
            continue;
        }
        r->quarantined[s->code]++;
        r->quarantined_total++;
    }
}

int rcd_report_chain(rcd_report_t *r, const char *dir, char *err, size_t err_size)
{
    rcd_audit_reader_t reader;
    rcd_audit_read_t rc = RCD_AUDIT_READ_LINE;
    list_t l = {0};
    const char *text;
    char *path;
    size_t len;
    int fd;

    if (asprintf(&path, "%s/%s", dir, RCD_AUDIT_FILE) < 0) {
        snprintf(err, err_size, "out of memory");
        return -1;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || rcd_audit_reader_init(&reader, fd, 0) != 0) {
        snprintf(err, err_size, "%s: %s", path, fd < 0 ? strerror(errno) : "out of memory");
        if (fd >= 0) {
            close(fd);
        }
        free(path);
        return -1;
    }
    while (rc == RCD_AUDIT_READ_LINE || rc == RCD_AUDIT_READ_LONG) {
        rc = rcd_audit_reader_next(&reader, &text, &len);
        if (rc == RCD_AUDIT_READ_LINE && take_line(r, &l, text, len) != 0) {
            errno = ENOMEM;
            rc = RCD_AUDIT_READ_FAILED;
        }
    }
    if (rc == RCD_AUDIT_READ_FAILED) {
        snprintf(err, err_size, "%s: %s", path, strerror(errno));
    } else {
        count(r, &l);
    }
    rcd_audit_reader_fini(&reader);
    close(fd);
    free(path);
    free(l.seen);
    return rc == RCD_AUDIT_READ_FAILED ? -1 : 0;
}
