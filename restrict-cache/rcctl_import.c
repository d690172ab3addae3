/*
 * rcctl_import - files for the daemon, and the approval of an epoch.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "rcctl_csv.h"
#include "rcctl_spool.h"
#include "rcd_json.h"

#define FIRST_LINE_MAX  16384        /* of a signed file */

/* 1 when the first line is a compact JWS; leaves the file at its start. */
static int is_signed(FILE *f)
{
    static const char base64url[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    int c, dots = 0, len = 0, ok = 1;

    while (ok && len < FIRST_LINE_MAX && (c = getc(f)) != EOF && c != '\n') {
        dots += c == '.';
        ok = c == '.' || (c != '\0' && strchr(base64url, c) != NULL);
        len++;
    }
    rewind(f);
    return ok && dots == 2 && len > 2;
}

/* Puts the file into inbox, whole. 0, or -1 after saying why; then nothing of it is left there. */
static int put_file(const rcctl_t *r, FILE *in, const char *path, int csv,
                    char name[RCCTL_NAME_MAX])
{
    FILE *out = rcctl_spool_create(r, ".records", name);
    char err[256] = "";
    uint64_t rows;
    int rc;

    if (out == NULL) {
        return -1;
    }
    rc = csv ? rcctl_csv_convert(in, out, &rows, err, sizeof(err))
             : rcctl_spool_copy(in, out, err, sizeof(err));
    if (fclose(out) != 0 && rc == 0) {
        snprintf(err, sizeof(err), "%s", strerror(errno));
        rc = -1;
    }
    if (rc != 0) {
        rcctl_error("%s: %s", path, err);
        rcctl_spool_withdraw(r, name);
        return -1;
    }
    return rcctl_spool_publish(r, name);
}

static void print_counts(const cJSON *answer, int has_signature)
{
    uint64_t applied = 0, unchanged = 0, quarantined = 0;

    (void) rcd_json_uint(answer, "applied", RCD_JSON_INT_MAX, &applied);
    (void) rcd_json_uint(answer, "unchanged", RCD_JSON_INT_MAX, &unchanged);
    (void) rcd_json_uint(answer, "quarantined", RCD_JSON_INT_MAX, &quarantined);
    printf("imported as %s: %" PRIu64 " written, %" PRIu64 " unchanged, %" PRIu64
           " in quarantine\n",
           has_signature ? "a signed snapshot" : "observe-only", applied, unchanged, quarantined);
    if (quarantined > 0) {
        puts("reasons: rcctl quarantine");
    }
}

/* With the file open and the daemon running. */
static int import(const rcctl_t *r, FILE *f, const char *path, int csv)
{
    int has_signature = is_signed(f), rc;
    char name[RCCTL_NAME_MAX];
    cJSON *command, *answer;

    if (put_file(r, f, path, csv && !has_signature, name) != 0) {
        return RCCTL_USAGE;
    }
    command = cJSON_CreateObject();
    cJSON_AddStringToObject(command, "cmd", "import");
    cJSON_AddStringToObject(command, "file", name);
    cJSON_AddBoolToObject(command, "signed", has_signature);
    rc = rcctl_spool_run(r, command, &answer);
    rcctl_spool_withdraw(r, name);
    if (answer != NULL && r->json) {
        rcctl_json(answer);
        return rc;
    }
    if (rc == RCCTL_OK) {
        print_counts(answer, has_signature);
    }
    cJSON_Delete(answer);
    return rc;
}

int rcctl_import(rcctl_t *r, int argc, char **argv)
{
    const char *format = NULL;
    const rcctl_option_t options[] = {{"format", &format, NULL}, {0}};
    size_t len;
    FILE *f;
    int rc;

    rc = rcctl_options(r, argc, argv, options, 1);
    if (rc < 1) {
        if (rc == 0) {
            rcctl_error("import needs a FILE");
        }
        return RCCTL_USAGE;
    }
    len = strlen(argv[0]);
    if (format == NULL) {
        format = len > 4 && strcmp(argv[0] + len - 4, ".csv") == 0 ? "csv" : "ndjson";
    }
    if (strcmp(format, "csv") != 0 && strcmp(format, "ndjson") != 0) {
        rcctl_error("--format %s is neither ndjson nor csv", format);
        return RCCTL_USAGE;
    }
    f = fopen(argv[0], "re");
    if (f == NULL) {
        rcctl_error("%s: %s", argv[0], strerror(errno));
        return RCCTL_USAGE;
    }
    rcctl_catch_signals();
    if (rcctl_config(r) != 0) {
        rc = RCCTL_USAGE;
    } else if (rcctl_spool_alive(r) != 0) {
        rc = RCCTL_UNREACHABLE;
    } else {
        rc = import(r, f, argv[0], strcmp(format, "csv") == 0);
    }
    fclose(f);
    return rc;
}
