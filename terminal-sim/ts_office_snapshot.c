/*
 * ts_office_snapshot.c - builds the records of a snapshot in a child, so that the feed goes on.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "ts_office.h"

#define BUFFER    (1024 * 1024)
#define BUILDING  "building"

struct ts_snapshots {
    char          dir[PATH_MAX];                /* DIR/snapshots */
    pid_t         child;                        /* 0: none */
    int           result;                       /* end of the child's pipe, -1 without child */
    ts_snapshot_t building;                     /* where the store stood when the child was made */
    ts_snapshot_t newest;
    int           have;                         /* newest holds one */
};

ts_snapshots_t *ts_snapshots_create(const char *dir)
{
    ts_snapshots_t *s = calloc(1, sizeof *s);

    if (!s) {
        ts_complain("out of memory");
        return NULL;
    }
    s->result = -1;
    snprintf(s->dir, sizeof s->dir, "%s", ts_path(dir, "snapshots"));
    if (mkdir(s->dir, 0700) != 0 && errno != EEXIST) {
        ts_complain("%s: %s", s->dir, strerror(errno));
        free(s);
        return NULL;
    }
    return s;
}

void ts_snapshots_destroy(ts_snapshots_t *s)
{
    if (s && s->child) {
        kill(s->child, SIGKILL);
        waitpid(s->child, NULL, 0);
        close(s->result);
    }
    free(s);
}

/* ---- the child ------------------------------------------------------------------------------- */

typedef struct {
    FILE          *out;
    EVP_MD_CTX    *hash;
    ts_snapshot_t *snapshot;
} writer_t;

static int write_record(void *data, const char *record, size_t len)
{
    writer_t *w = data;

    if (fwrite(record, 1, len, w->out) != len || putc('\n', w->out) == EOF
        || EVP_DigestUpdate(w->hash, record, len) != 1 || EVP_DigestUpdate(w->hash, "\n", 1) != 1)
        return 1;
    w->snapshot->count++;
    w->snapshot->bytes += len + 1;
    return 0;
}

/* Writes the records and fills count, bytes and sha256. Returns 0 or -1 (told). */
static int build(const char *dir, const ts_store_t *store, ts_snapshot_t *snapshot)
{
    char from[PATH_MAX];
    unsigned char digest[32];
    writer_t w = { .hash = EVP_MD_CTX_new(), .snapshot = snapshot };
    int rc;

    snprintf(from, sizeof from, "%s", ts_path(dir, BUILDING));
    w.out = fopen(from, "we");
    if (!w.out || !w.hash || EVP_DigestInit_ex(w.hash, EVP_sha256(), NULL) != 1) {
        ts_complain("%s: %s", from, strerror(errno));
        return -1;
    }
    setvbuf(w.out, NULL, _IOFBF, BUFFER);
    rc = ts_store_records(store, write_record, &w);
    EVP_DigestFinal_ex(w.hash, digest, NULL);
    EVP_MD_CTX_free(w.hash);
    for (unsigned i = 0; i < sizeof digest; i++)
        snprintf(snapshot->sha256 + 2 * i, 3, "%02x", digest[i]);
    if (fclose(w.out) != 0 || rc != 0) {
        ts_complain("%s: cannot be written", from);
        return -1;
    }
    return rename(from, ts_path(dir, snapshot->sha256));
}

int ts_snapshots_build(ts_snapshots_t *s, const ts_store_t *store)
{
    int fd[2];

    if (s->child)
        return 0;
    if (pipe2(fd, O_CLOEXEC) != 0) {
        ts_complain("pipe: %s", strerror(errno));
        return -1;
    }
    s->building = (ts_snapshot_t){ .epoch = ts_store_epoch(store),
                                   .seq = ts_store_seq(store, TS_CHANGES),
                                   .relief_seq = ts_store_seq(store, TS_RELIEF) };
    s->child = fork();
    if (s->child == 0) {
        int ok = build(s->dir, store, &s->building) == 0
                 && write(fd[1], &s->building, sizeof s->building) == (ssize_t) sizeof s->building;

        _exit(ok ? 0 : 1);
    }
    close(fd[1]);
    if (s->child < 0) {
        ts_complain("fork: %s", strerror(errno));
        s->child = 0;
        close(fd[0]);
        return -1;
    }
    s->result = fd[0];
    return 0;
}

/* ---- its result ------------------------------------------------------------------------------ */

/* Removes records that no valid statement names. */
static void prune(const ts_snapshots_t *s)
{
    DIR *dir = opendir(s->dir);
    const struct dirent *entry;
    struct stat st;

    while (dir && (entry = readdir(dir)) != NULL) {
        const char *path = ts_path(s->dir, entry->d_name);

        if (stat(path, &st) == 0 && S_ISREG(st.st_mode)
            && st.st_mtime + TS_SNAPSHOT_VALID_SEC < ts_now())
            unlink(path);
    }
    if (dir)
        closedir(dir);
}

int ts_snapshots_fd(const ts_snapshots_t *s)
{
    return s->result;
}

void ts_snapshots_take(ts_snapshots_t *s)
{
    ts_snapshot_t done;
    ssize_t n;

    if (!s->child)
        return;
    do {
        n = read(s->result, &done, sizeof done);
    } while (n < 0 && errno == EINTR);
    waitpid(s->child, NULL, 0);
    close(s->result);
    s->child = 0;
    s->result = -1;
    if (n == (ssize_t) sizeof done) {
        s->newest = done;
        s->have = 1;
    }
    prune(s);
}

const ts_snapshot_t *ts_snapshots_newest(const ts_snapshots_t *s)
{
    return s->have ? &s->newest : NULL;
}

int ts_snapshots_current(const ts_snapshots_t *s, const ts_store_t *store)
{
    return s->have && s->newest.epoch == ts_store_epoch(store)
           && s->newest.seq == ts_store_seq(store, TS_CHANGES)
           && s->newest.relief_seq == ts_store_seq(store, TS_RELIEF);
}

int ts_snapshots_open(const ts_snapshots_t *s, const char *sha256, uint64_t *bytes)
{
    struct stat st;
    int fd;

    if (strlen(sha256) != 64 || strspn(sha256, "0123456789abcdef") != 64)
        return -1;
    fd = open(ts_path(s->dir, sha256), O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && (fstat(fd, &st) != 0 || futimens(fd, NULL) != 0)) {
        close(fd);
        return -1;
    }
    *bytes = fd >= 0 ? (uint64_t) st.st_size : 0;
    return fd;
}
