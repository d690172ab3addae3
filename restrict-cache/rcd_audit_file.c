/*
 * rcd_audit_file - {state dir}/audit.log: draining rows to it, and signing checkpoints.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "rcd_audit_adopt.h"
#include "rcd_audit_file.h"
#include "rcd_log.h"
#include "rcd_store.h"

#define BATCH_BYTES   (1024 * 1024)
#define BATCH_ROWS    8192
#define PAUSE_MS      250              /* between two batches, unless one was full */
#define RETRY_MS      1000
#define IDLE_MS       1000
#define FLUSH_TURNS   10000

struct rcd_audit_file_s {
    rcd_state_t       *s;
    rcd_audit_signer_t signer;
    int                fd;             /* -1: to be opened and adopted */
    dev_t              dev;
    ino_t              ino;
    rcd_audit_head_t   head;           /* of the file: what is in it and fsynced */
    int64_t            written_id;     /* rows up to here are in the file, */
    int                unsaved;        /* and the journal does not know it yet */
    char              *checkpoint;     /* newest one not saved yet */
    char              *buf;            /* BATCH_BYTES + two lines */
    int64_t            due_ms;
    char               fault[200];
};

static void path_of(const rcd_audit_file_t *f, char *path, size_t size)
{
    snprintf(path, size, "%s/" RCD_AUDIT_FILE, f->s->dir);
}

/* Says it once, until it is over. */
static void failed(rcd_audit_file_t *f, const char *why)
{
    if (f->fault[0] == '\0') {
        rcd_log(RCD_LOG_ERROR, "the audit chain cannot be written, its records wait in the journal: %s",
                why);
    }
    snprintf(f->fault, sizeof(f->fault), "%s", why);
}

static void succeeded(rcd_audit_file_t *f)
{
    if (f->fault[0] != '\0') {
        rcd_log(RCD_LOG_NOTICE, "the audit chain is written again");
    }
    f->fault[0] = '\0';
}

static void let_go(rcd_audit_file_t *f)
{
    if (f->fd >= 0) {
        close(f->fd);
    }
    f->fd = -1;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* 0 when the file is open, and the one that stands there, and as long as we left it. */
static int still_ours(rcd_audit_file_t *f)
{
    char path[RCD_DIR_MAX + 32];
    struct stat st;

    if (f->fd < 0) {
        return -1;
    }
    path_of(f, path, sizeof(path));
    if (lstat(path, &st) == 0 && st.st_dev == f->dev && st.st_ino == f->ino &&
        (uint64_t) st.st_size == f->head.size) {
        return 0;
    }
    let_go(f);
    return -1;
}

/* Opens the file and brings it and the journal to agree. 0, or -1 after saying why. */
static int take_up(rcd_audit_file_t *f)
{
    char path[RCD_DIR_MAX + 32], why[200];
    struct stat st;

    path_of(f, path, sizeof(path));
    f->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (f->fd < 0 || fstat(f->fd, &st) != 0 || !S_ISREG(st.st_mode) ||
        fchmod(f->fd, 0600) != 0) {
        snprintf(why, sizeof(why), RCD_AUDIT_FILE ": %s", f->fd < 0 ? strerror(errno)
                                                                    : "not a file of ours");
        failed(f, why);
        let_go(f);
        return -1;
    }
    f->dev = st.st_dev;
    f->ino = st.st_ino;
    if (rcd_audit_adopt(f->s, f->fd, &f->head, why, sizeof(why)) != 0) {
        failed(f, why);
        let_go(f);
        return -1;
    }
    f->written_id = 0;
    f->unsaved = 0;
    return 0;
}

/* ---- a batch --------------------------------------------------------------------------------- */

static int due(const rcd_audit_file_t *f, const rcd_audit_head_t *h, int64_t now, int by_time)
{
    int64_t since = now > h->checkpoint_at ? now - h->checkpoint_at : h->checkpoint_at - now;
    /* the checkpoint's own record is nothing new */
    uint64_t fresh = h->n - h->checkpoint_n - (h->checkpoint_n > 0);

    return f->signer.key != NULL && h->n > h->checkpoint_n && fresh > 0 &&
           (fresh >= f->signer.every_records || (by_time && since >= f->signer.every_sec));
}

/* Prints a checkpoint over record h->n behind it: its length, or -1. */
static long checkpoint_print(rcd_audit_file_t *f, char *out, rcd_audit_head_t *h, int64_t now)
{
    cJSON *claims = cJSON_CreateObject(), *fields = cJSON_CreateObject();
    char hex[65], *jws, *text;
    long len = -1;

    rcd_audit_hex_print(h->hash, hex);
    cJSON_AddStringToObject(claims, "iss", f->signer.iss);
    cJSON_AddStringToObject(claims, "list", f->signer.list);
    cJSON_AddStringToObject(claims, "journal", f->s->marks.journal);
    cJSON_AddNumberToObject(claims, "n", (double) h->n);
    cJSON_AddStringToObject(claims, "hash", hex);
    cJSON_AddNumberToObject(claims, "iat", (double) now);
    jws = rcd_audit_sign(f->signer.key, RCD_TYP_CHECKPOINT, claims);
    cJSON_AddStringToObject(fields, "checkpoint", jws != NULL ? jws : "");
    text = cJSON_PrintUnformatted(fields);
    if (jws != NULL && text != NULL) {
        text[0] = ',';
        text[strlen(text) - 1] = '\0';
        h->checkpoint_n = h->n;
        h->checkpoint_at = now;
        len = rcd_audit_line_print(out, h->n + 1, now, "checkpoint", text, strlen(text), h->hash,
                                   h->hash);
        h->n += len > 0;
        free(f->checkpoint);
        f->checkpoint = jws;
        jws = NULL;
    }
    free(jws);
    free(text);
    cJSON_Delete(claims);
    cJSON_Delete(fields);
    return len;
}

/*
 * Prints rows, and checkpoints between them, into f->buf. h and *id move over what was printed; *full
 * tells that more waits. Returns the bytes, or -1.
 */
static long batch_print(rcd_audit_file_t *f, rcd_audit_head_t *h, int64_t *id, int *full, int64_t now)
{
    rcd_audit_row_t row;
    size_t len = 0;
    unsigned rows = 0;
    long n;
    int rc;

    for (;;) {
        if (due(f, h, now, 0)) {
            n = checkpoint_print(f, f->buf + len, h, now);
            if (n < 0) {
                return -1;
            }
            len += (size_t) n;
        }
        *full = len >= BATCH_BYTES || rows == BATCH_ROWS;
        rc = *full ? 0 : rcd_audit_row(f->s, *id, &row);
        if (rc <= 0) {
            break;
        }
        n = rcd_audit_line_print(f->buf + len, h->n + 1, row.at, row.kind, row.text, row.text_len,
                                 h->hash, h->hash);
        *id = row.id;
        rcd_audit_row_done(f->s);
        if (n < 0) {
            return -1;
        }
        h->n++;
        len += (size_t) n;
        rows++;
    }
    if (rc == 0 && !*full && due(f, h, now, 1)) {
        n = checkpoint_print(f, f->buf + len, h, now);
        if (n < 0) {
            return -1;
        }
        len += (size_t) n;
    }
    return rc < 0 ? -1 : (long) len;
}

/* Appends and syncs. 0; or -1 with errno, and the file is as long as before or let go of. */
static int append(rcd_audit_file_t *f, size_t len)
{
    size_t done = 0;
    int saved;

    while (done < len) {
        ssize_t n = write(f->fd, f->buf + done, len - done);

        if (n < 0 && errno != EINTR) {
            saved = errno;
            if (ftruncate(f->fd, (off_t) f->head.size) != 0) {
                let_go(f);                    /* a torn line is cut when it is taken up again */
            }
            errno = saved;
            return -1;
        }
        done += n > 0 ? (size_t) n : 0;
    }
    if (fdatasync(f->fd) != 0) {
        saved = errno;
        let_go(f);                            /* nobody knows what of it is on the disk */
        errno = saved;
        return -1;
    }
    return 0;
}

/* Tells the journal what is in the file. */
static int save(rcd_audit_file_t *f)
{
    rcd_state_t *s = f->s;

    if (rcd_store_begin(s, 0) < 0 || rcd_audit_rows_remove(s, f->written_id) < 0 ||
        rcd_audit_head_save(s, &f->head, f->checkpoint) < 0 || rcd_store_commit(s) < 0) {
        rcd_store_rollback(s);
        failed(f, s->fault);
        return -1;
    }
    free(f->checkpoint);
    f->checkpoint = NULL;
    f->unsaved = 0;
    return 0;
}

/* One batch: 1 more waits, 0 all is written, -1 after saying why. */
static int drain(rcd_audit_file_t *f, int64_t now)
{
    rcd_audit_head_t h;
    int64_t id = f->written_id;
    char why[200];
    int full = 0;
    long len;

    if (still_ours(f) != 0 && take_up(f) != 0) {
        return -1;
    }
    if (f->unsaved && save(f) != 0) {
        return -1;
    }
    h = f->head;
    id = f->written_id;
    len = batch_print(f, &h, &id, &full, now);
    if (len < 0) {
        failed(f, f->s->fault[0] != '\0' ? f->s->fault : "out of memory");
        return -1;
    }
    if (len > 0) {
        if (append(f, (size_t) len) != 0) {
            free(f->checkpoint);
            f->checkpoint = NULL;
            snprintf(why, sizeof(why), RCD_AUDIT_FILE ": %s", strerror(errno));
            failed(f, why);
            return -1;
        }
        h.size += (uint64_t) len;
        f->head = h;
        f->written_id = id;
        f->unsaved = 1;
        if (save(f) != 0) {
            return -1;
        }
    }
    f->written_id = full ? id : rcd_audit_last(f->s);     /* those above were rolled back */
    succeeded(f);
    return full;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int wanted(const rcd_audit_file_t *f, int64_t now)
{
    return f->fd < 0 || f->unsaved || rcd_audit_last(f->s) > f->written_id ||
           due(f, &f->head, now, 1);
}

int rcd_audit_file_step(rcd_audit_file_t *f, int64_t now_ms, int64_t now)
{
    int rc;

    if (now_ms < f->due_ms) {
        return (int) (f->due_ms - now_ms);
    }
    if (!wanted(f, now)) {
        return IDLE_MS;
    }
    rc = drain(f, now);
    f->due_ms = rc > 0 ? now_ms : now_ms + (rc < 0 ? RETRY_MS : PAUSE_MS);
    return (int) (f->due_ms - now_ms);
}

void rcd_audit_file_flush(rcd_audit_file_t *f, int64_t now)
{
    for (int i = 0; i < FLUSH_TURNS && drain(f, now) > 0; i++) {
    }
}

void rcd_audit_file_status(rcd_audit_file_t *f, rcd_audit_file_status_t *out)
{
    *out = (rcd_audit_file_status_t){.records = f->head.n, .bytes = f->head.size,
                                     .checkpoint_n = f->head.checkpoint_n,
                                     .checkpoint_at = f->head.checkpoint_at};
    snprintf(out->fault, sizeof(out->fault), "%s", f->fault);
    if (rcd_audit_last(f->s) > f->written_id || f->fault[0] != '\0') {
        rcd_audit_pending(f->s, &out->pending);
    }
}

void rcd_audit_file_signer(rcd_audit_file_t *f, const rcd_audit_signer_t *signer)
{
    f->signer = *signer;
}

rcd_audit_file_t *rcd_audit_file_create(rcd_state_t *s, const rcd_audit_signer_t *signer)
{
    rcd_audit_file_t *f = calloc(1, sizeof(*f));

    if (f == NULL) {
        return NULL;
    }
    f->s = s;
    f->signer = *signer;
    f->fd = -1;
    rcd_audit_head(s, &f->head);
    f->buf = malloc(BATCH_BYTES + 3 * (RCD_AUDIT_LINE_MAX + 1));
    if (f->buf == NULL) {
        free(f);
        return NULL;
    }
    return f;
}

void rcd_audit_file_destroy(rcd_audit_file_t *f)
{
    if (f != NULL) {
        let_go(f);
        free(f->checkpoint);
        free(f->buf);
    }
    free(f);
}
