/*
 * rcd_spool_import - files of orders from the inbox: opened, copied if they are signed, applied.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "rcd_audit.h"
#include "rcd_clock.h"
#include "rcd_json.h"
#include "rcd_jws.h"
#include "rcd_spool_parts.h"

#define COPY_BYTES    (256 * 1024)        /* of a signed file copied and hashed in one step */
#define TYP_SNAPSHOT  "jd-snapshot+jwt"

static void answer_imported(rcd_spool_t *s, const char *name, const rcd_snapshot_counts_t *counts)
{
    cJSON *a = rcd_spool_answer_new();

    cJSON_AddNumberToObject(a, "applied", (double) counts->applied);
    cJSON_AddNumberToObject(a, "quarantined", (double) counts->quarantined);
    cJSON_AddNumberToObject(a, "unchanged", (double) counts->unchanged);
    if (counts->held) {
        cJSON_AddStringToObject(a, "held", counts->hash);
        cJSON_AddNumberToObject(a, "withheld", (double) counts->withheld);
    }
    rcd_spool_answer(s, name, a);
}

void rcd_spool_import_release(rcd_import_t *im)
{
    if (im->fd >= 0) {
        close(im->fd);
    }
    rcd_records_destroy(im->records);
    memset(im, 0, sizeof(*im));
    im->fd = -1;
}

void rcd_spool_import_failed(rcd_spool_t *s, const char *why)
{
    rcd_log(RCD_LOG_WARN, "import: %s", why);
    rcd_spool_failed(s, s->import.answer, why);
    rcd_spool_import_release(&s->import);
}

static int import_record(rcd_spool_t *s, const rcd_snapshot_counts_t *counts)
{
    const rcd_import_t *im = &s->import;
    rcd_state_t *state = s->env.state;
    cJSON *fields = cJSON_CreateObject();

    cJSON_AddStringToObject(fields, "user", im->user);
    cJSON_AddBoolToObject(fields, "signed", im->records != NULL);
    cJSON_AddNumberToObject(fields, "applied", (double) counts->applied);
    cJSON_AddNumberToObject(fields, "unchanged", (double) counts->unchanged);
    cJSON_AddNumberToObject(fields, "quarantined", (double) counts->quarantined);
    return rcd_audit_alone(state, "import", fields);
}

static void on_imported(void *owner, const rcd_snapshot_counts_t *counts, const char *err)
{
    rcd_spool_t *s = owner;

    if (counts == NULL) {
        rcd_spool_import_failed(s, err);
        return;
    }
    rcd_log(RCD_LOG_NOTICE, "import: %" PRIu64 " written, %" PRIu64 " unchanged, %" PRIu64
                            " quarantined",
            counts->applied, counts->unchanged, counts->quarantined);
    if (import_record(s, counts) != 0) {
        rcd_log(RCD_LOG_ERROR, "import: not in the audit chain");
    }
    answer_imported(s, s->import.answer, counts);
    rcd_spool_import_release(&s->import);
}

/* The file is whole and, if signed, verified. Waits while a snapshot of the feed is applied. */
void rcd_spool_import_apply(rcd_spool_t *s)
{
    rcd_import_t *im = &s->import;
    char path[32], err[256];
    rcd_marks_t marks;
    const char *why;

    if (s->env.applier->sn != NULL || im->holders) {
        return;
    }
    if (im->records != NULL) {
        why = rcd_records_verify(im->records, &im->claims);
        if (why != NULL) {
            rcd_spool_import_failed(s, why);
            return;
        }
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", im->fd);
    im->applying = 1;
    rcd_state_marks(s->env.state, &marks);
    if (rcd_applier_begin(s->env.applier, s->env.state, &s->env.config->rules,
                          im->records != NULL ? rcd_records_path(im->records) : path,
                          im->records != NULL ? &im->claims : NULL, marks.relief_seq,
                          rcd_clock_wall(), on_imported, s, err, sizeof(err)) != 0) {
        rcd_spool_import_failed(s, err);
    }
}

/* The first line of a signed file is a snapshot's statement. Reads it and nothing more. */
static const char *statement_read(rcd_spool_t *s)
{
    const rcd_config_t *config = s->env.config;
    rcd_party_t party = {config->office.iss, config->office.aud, config->list};
    rcd_import_t *im = &s->import;
    int64_t now = rcd_clock_wall();
    const char *why = "its first line is not a compact JWS";
    char *text = malloc(RCD_JWS_MAX + 1), *end;
    rcd_jws_rc_t rc;
    rcd_jws_t jws;
    ssize_t n;

    n = text == NULL ? -1 : pread(im->fd, text, RCD_JWS_MAX + 1, 0);
    end = n <= 0 ? NULL : memchr(text, '\n', (size_t) n);
    if (end != NULL && lseek(im->fd, end + 1 - text, SEEK_SET) >= 0) {
        rc = rcd_jws_verify(config->jwks, text, (size_t) (end - text), TYP_SNAPSHOT, now, &jws);
        if (rc != RCD_JWS_OK) {
            why = rcd_jws_reasons[rc];
        } else if (jws.key->relief_only) {
            why = "the key is fit for relief only";
        } else {
            why = rcd_snapshot_parse(jws.payload, jws.payload_len, &party, now, &im->claims);
        }
        rcd_jws_fini(&jws);
    }
    free(text);
    return why;
}

/* Copies a slice of a signed file's records, hashing it. */
void rcd_spool_import_copy(rcd_spool_t *s)
{
    static char buf[COPY_BYTES];
    rcd_import_t *im = &s->import;
    ssize_t n = read(im->fd, buf, sizeof(buf));

    if (n < 0 || rcd_records_write(im->records, buf, (size_t) n) != 0) {
        rcd_spool_import_failed(s, strerror(errno));
        return;
    }
    im->copying = n > 0;
}

/* Opens the file to import, which loses its name. 0, or -1 and the command is answered. */
int rcd_spool_import_open(rcd_spool_t *s, const char *name, const char *file)
{
    char path[RCD_SPOOL_PATH];
    rcd_import_t *im = &s->import;
    struct stat st;

    snprintf(im->answer, sizeof(im->answer), "%s", name);
    snprintf(path, sizeof(path), "%s/%s", s->inbox, file);
    im->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (im->fd < 0 || fstat(im->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        rcd_spool_import_failed(s, "the file to import is not a regular file in inbox");
        return -1;
    }
    unlink(path);
    return 0;
}

static void import_begin(rcd_spool_t *s, const char *name, const char *file, int is_signed)
{
    rcd_import_t *im = &s->import;
    const char *why;

    if (rcd_spool_import_open(s, name, file) != 0) {
        return;
    }
    if (!is_signed) {
        return;
    }

    why = statement_read(s);
    if (why != NULL) {
        rcd_spool_import_failed(s, why);
        return;
    }
    im->records = rcd_records_create(s->env.config->state_dir);
    if (im->records == NULL) {
        rcd_spool_import_failed(s, strerror(errno));
        return;
    }
    im->copying = 1;
}

void rcd_spool_import(rcd_spool_t *s, const char *name, const cJSON *command)
{
    const char *file = rcd_json_string(command, "file");
    const cJSON *is_signed = cJSON_GetObjectItemCaseSensitive(command, "signed");

    if (!rcd_box_name_ok(file) || !cJSON_IsBool(is_signed)) {
        rcd_spool_failed(s, name, "import needs file and signed");
        return;
    }
    rcd_log(RCD_LOG_NOTICE, "import of a%s file by %s",
            cJSON_IsTrue(is_signed) ? " signed" : "n unsigned", s->env.user);
    snprintf(s->import.user, sizeof(s->import.user), "%s", s->env.user);
    import_begin(s, name, file, cJSON_IsTrue(is_signed));
}
