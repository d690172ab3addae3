/*
 * ts_office_backup.c - copies an office's directory, and takes a copy's log back.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ts_office.h"

#define BLOCK  65536

static const struct {
    const char *name;
    unsigned    mode;
} files[] = {
    { "party.json", 0644 },   { "jwks.json", 0644 },  { "ca.pem", 0644 },
    { "ca.key", 0600 },       { "server.pem", 0644 }, { "server.key", 0600 },
    { "client.pem", 0644 },   { "client.key", 0600 }, { "office-1.key", 0600 },
    { "relief-1.key", 0600 }, { "token", 0600 },      { "events", 0600 },
};

static int copy_bytes(int from, int to)
{
    char block[BLOCK];
    ssize_t n;

    while ((n = read(from, block, sizeof block)) > 0) {
        if (write(to, block, (size_t) n) != n)
            return -1;
    }
    return n == 0 ? fsync(to) : -1;
}

/* Copies a file whole: beside its place, then renamed. */
static int copy(const char *from_dir, const char *to_dir, const char *name, unsigned mode)
{
    char temporary[PATH_MAX];
    int from, to, rc = -1;

    snprintf(temporary, sizeof temporary, "%s", ts_path(to_dir, "copy.tmp"));
    unlink(temporary);
    from = open(ts_path(from_dir, name), O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return -1;
    to = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (to >= 0) {
        rc = copy_bytes(from, to);
        close(to);
    }
    close(from);
    return rc == 0 ? rename(temporary, ts_path(to_dir, name)) : -1;
}

/* The ledger, if the office has one: a backup of before its first batch has none. */
static int copy_ledger(const char *from_dir, const char *to_dir)
{
    if (access(ts_path(from_dir, "ledger"), F_OK) == 0)
        return copy(from_dir, to_dir, "ledger", 0600);
    return unlink(ts_path(to_dir, "ledger")) == 0 || errno == ENOENT ? 0 : -1;
}

int ts_backup(const char *dir, const char *to)
{
    if (mkdir(to, 0700) != 0) {
        ts_complain("%s: %s", to, strerror(errno));
        return -1;
    }
    for (unsigned i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (copy(dir, to, files[i].name, files[i].mode) != 0) {
            ts_complain("%s/%s: cannot be copied to %s: %s", dir, files[i].name, to,
                        strerror(errno));
            return -1;
        }
    }
    if (copy_ledger(dir, to) != 0) {
        ts_complain("%s/ledger: cannot be copied to %s: %s", dir, to, strerror(errno));
        return -1;
    }
    return 0;
}

/* 1 when both directories hold the same public keys. */
static int same_keys(const char *a, const char *b)
{
    size_t a_len = 0, b_len = 0;
    char *a_text = ts_file_read(ts_path(a, "jwks.json"), &a_len),
         *b_text = ts_file_read(ts_path(b, "jwks.json"), &b_len);
    int same = a_text && b_text && a_len == b_len && memcmp(a_text, b_text, a_len) == 0;

    free(a_text);
    free(b_text);
    return same;
}

const char *ts_restore(ts_office_t *o, const char *from)
{
    ts_ledger_t *ledger;
    ts_store_t *store;

    if (!same_keys(o->dir, from))
        return "not a backup of this office: its jwks.json is another";
    if (copy(from, o->dir, "events", 0600) != 0)
        return "the backup's events cannot be copied";
    store = ts_store_open(o->dir);
    if (!store)
        return "the backup's events cannot be read";
    ledger = copy_ledger(from, o->dir) == 0 ? ts_ledger_open(o->dir) : NULL;
    if (!ledger) {
        ts_store_close(store);
        return "the backup's ledger cannot be taken";
    }
    ts_ledger_close(o->ledger);
    o->ledger = ledger;
    ts_store_close(o->store);
    o->store = store;
    ts_snapshots_destroy(o->snapshots);         /* its newest is of the events that were */
    o->snapshots = ts_snapshots_create(o->dir);
    return o->snapshots ? NULL : "no snapshots can be made";
}
