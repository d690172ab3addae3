/*
 * rcctl_csv - a table of orders (RFC 4180) as the feed's NDJSON.
 */
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include "rcctl_csv.h"

#define CELL_MAX     2048
#define COLUMNS_MAX  15

/* Where a column's cells go in the record: member of an inner object, or of the record itself. */
static const struct {
    const char *name, *object, *member;
} columns[COLUMNS_MAX] = {
    {"order", NULL, "order"},
    {"scheme", "subject", "scheme"},
    {"id", "subject", "id"},
    {"measures", NULL, "measures"},
    {"authority", NULL, "authority"},
    {"basis", NULL, "basis"},
    {"relevance", NULL, "relevance"},
    {"served", NULL, "served"},
    {"from", NULL, "from"},
    {"until", NULL, "until"},
    {"contest_url", "contest", "url"},
    {"contest_phone", "contest", "phone"},
    {"contest_deadline", "contest", "deadline"},
    {"repair_url", "repair", "url"},
    {"repair_phone", "repair", "phone"},
};

typedef enum { CELL_NEXT, CELL_LAST, CELL_END, CELL_BAD } cell_rc_t;

typedef struct {
    FILE    *in;
    uint64_t line;                    /* of the character read last */
    char     cell[CELL_MAX + 1];
    size_t   len;
    const char *why;                  /* of CELL_BAD */
    int      column_of[COLUMNS_MAX];  /* index into columns, by position in the file */
    int      columns_n;
} csv_t;

static int next_char(csv_t *csv)
{
    int c = getc(csv->in);

    csv->line += c == '\n';
    return c;
}

static cell_rc_t bad(csv_t *csv, const char *why)
{
    csv->why = why;
    return CELL_BAD;
}

/*
 * The rest of a quoted cell up to and over its closing quote; returns the character behind it, or
 * EOF - 1 when it is bad.
 */
static int read_quoted(csv_t *csv)
{
    for (;;) {
        int c = next_char(csv);

        if (c == '"') {
            c = next_char(csv);
            if (c != '"') {
                return c;
            }
        } else if (c == EOF) {
            csv->why = "a quote is not closed";
            return EOF - 1;
        }
        if (c == '\0' || csv->len == CELL_MAX) {
            csv->why = c == '\0' ? "a NUL byte" : "a cell is longer than 2048 bytes";
            return EOF - 1;
        }
        csv->cell[csv->len++] = (char) c;
    }
}

/* Reads one cell. CELL_END: the file ended where a row would begin. */
static cell_rc_t read_cell(csv_t *csv, int first)
{
    int c = next_char(csv);

    csv->len = 0;
    if (c == EOF && first) {
        return CELL_END;
    }
    if (c == '"') {
        c = read_quoted(csv);
        if (c == EOF - 1) {
            return CELL_BAD;
        }
        if (c != ',' && c != '\r' && c != '\n' && c != EOF) {
            return bad(csv, "text behind a closing quote");
        }
    }
    while (c != ',' && c != '\n' && c != EOF) {
        if (c == '\r') {
            c = next_char(csv);
            if (c == '\n' || c == EOF) {
                break;
            }
            return bad(csv, "a carriage return inside a row");
        }
        if (c == '"' || c == '\0' || csv->len == CELL_MAX) {
            return bad(csv, c == '"' ? "a quote inside a cell that does not begin with one"
                            : c == '\0' ? "a NUL byte"
                                        : "a cell is longer than 2048 bytes");
        }
        csv->cell[csv->len++] = (char) c;
        c = next_char(csv);
    }
    csv->cell[csv->len] = '\0';
    return c == ',' ? CELL_NEXT : CELL_LAST;
}

static int column_named(const char *name)
{
    for (int i = 0; i < COLUMNS_MAX; i++) {
        if (strcmp(columns[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

/* The first row. 0, or -1 with csv->why. */
static int read_header(csv_t *csv)
{
    static char unknown[64];
    cell_rc_t rc = CELL_NEXT;
    unsigned seen = 0;

    while (rc == CELL_NEXT) {
        const char *name = csv->cell;
        int column;

        rc = read_cell(csv, csv->columns_n == 0);
        if (rc == CELL_END) {
            csv->why = "the file is empty";
        }
        if (rc == CELL_END || rc == CELL_BAD) {
            return -1;
        }
        if (csv->columns_n == 0 && strncmp(name, "\xef\xbb\xbf", 3) == 0) {
            name += 3;
        }
        column = column_named(name);
        if (column < 0 || seen & 1u << column) {
            snprintf(unknown, sizeof(unknown), "column %d is %s", csv->columns_n + 1,
                     column < 0 ? "not one of rcctl.md's" : "there twice");
            csv->why = unknown;
            return -1;
        }
        seen |= 1u << column;
        csv->column_of[csv->columns_n++] = column;
    }
    return 0;
}

static void put_measures(cJSON *record, char *names)
{
    cJSON *list = cJSON_AddArrayToObject(record, "measures");

    for (char *save, *m = strtok_r(names, " ", &save); m; m = strtok_r(NULL, " ", &save)) {
        cJSON_AddItemToArray(list, cJSON_CreateString(m));
    }
}

static void put_cell(cJSON *record, int column, char *cell)
{
    const char *object = columns[column].object;
    cJSON *to = record;

    if (cell[0] == '\0') {
        return;
    }
    if (strcmp(columns[column].name, "measures") == 0) {
        put_measures(record, cell);
        return;
    }
    if (object != NULL) {
        to = cJSON_GetObjectItemCaseSensitive(record, object);
        to = to != NULL ? to : cJSON_AddObjectToObject(record, object);
    }
    cJSON_AddStringToObject(to, columns[column].member, cell);
}

static int write_record(FILE *out, const cJSON *record)
{
    char *text = cJSON_PrintUnformatted(record);
    int rc = text != NULL && fputs(text, out) >= 0 && fputc('\n', out) != EOF ? 0 : -1;

    free(text);
    return rc;
}

/* One row: 1; 2 when its line is empty; 0 at the end of the file; -1 with csv->why. */
static int convert_row(csv_t *csv, FILE *out)
{
    cJSON *record = cJSON_CreateObject();
    cell_rc_t rc = CELL_NEXT;
    int n = 0, result = -1;

    while (rc == CELL_NEXT) {
        rc = read_cell(csv, n == 0);
        if (rc == CELL_END || rc == CELL_BAD) {
            break;
        }
        if (n < csv->columns_n) {
            put_cell(record, csv->column_of[n], csv->cell);
        }
        n++;
    }
    if (rc == CELL_END) {
        result = 0;
    } else if (rc == CELL_LAST && n == 1 && csv->len == 0) {
        result = 2;
    } else if (rc == CELL_LAST && n != csv->columns_n) {
        csv->why = "as many cells as the first row names are needed";
    } else if (rc == CELL_LAST) {
        cJSON_AddStringToObject(record, "effect", "observe");
        cJSON_AddBoolToObject(record, "objection", 0);
        result = write_record(out, record) == 0 ? 1 : -1;
        csv->why = "the record cannot be written";
    }
    cJSON_Delete(record);
    return result;
}

int rcctl_csv_convert(FILE *in, FILE *out, uint64_t *rows, char *err, size_t err_size)
{
    csv_t csv = {.in = in};
    uint64_t row_line = 1;
    int rc;

    *rows = 0;
    rc = read_header(&csv);
    while (rc == 0) {
        row_line = csv.line + 1;
        rc = convert_row(&csv, out);
        if (rc == 0) {
            return 0;
        }
        *rows += rc == 1;
        rc = rc > 0 ? 0 : -1;
    }
    snprintf(err, err_size, "line %llu: %s", (unsigned long long) row_line, csv.why);
    return -1;
}
