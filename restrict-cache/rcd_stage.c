/*
 * rcd_stage - a snapshot whole in a database of its own before anything of it is applied.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "rcd_stage.h"
#include "rcd_store.h"

#define WRITE_BACK_ROWS  4096

static const char schema[] =
    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8192;"
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY;"
    "CREATE TABLE good(digest BLOB, number TEXT, scheme INTEGER, measures INTEGER,"
    " served INTEGER, start INTEGER, until INTEGER, deadline INTEGER, observe INTEGER,"
    " objection INTEGER, grounds INTEGER, PRIMARY KEY(digest, number)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE numbers(number TEXT PRIMARY KEY, digest BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE refused(pos INTEGER PRIMARY KEY, number TEXT, code INTEGER, why TEXT) STRICT;"
    "CREATE INDEX refused_number ON refused(number);"
    "CREATE TABLE texts(id BLOB UNIQUE, value BLOB, authority TEXT, basis TEXT) STRICT;"
    "CREATE TABLE adds(digest BLOB, number TEXT, terms INTEGER, PRIMARY KEY(digest, number))"
    " STRICT, WITHOUT ROWID;"
    "BEGIN";

enum {
    ST_PUT, ST_NUMBER, ST_NUMBER_OF, ST_DROP, ST_REFUSE, ST_NEXT, ST_ORDER, ST_REFUSED,
    ST_HAS, ST_TEXT, ST_TEXT_PUT, ST_ADDS, ST_N
};

static const char *const sql[ST_N] = {
    [ST_PUT] = "INSERT INTO good VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [ST_NUMBER] = "INSERT OR IGNORE INTO numbers VALUES(?, ?)",
    [ST_NUMBER_OF] = "SELECT digest FROM numbers WHERE number = ?",
    [ST_DROP] = "DELETE FROM good WHERE digest = ? AND number = ?",
    [ST_REFUSE] = "INSERT INTO refused(number, code, why) VALUES(?, ?, ?)",
    [ST_NEXT] = "SELECT digest FROM good WHERE digest > ? ORDER BY digest LIMIT 1",
    [ST_ORDER] = "SELECT number, scheme, measures, served, start, until, deadline, observe,"
                 " objection, texts.id, texts.value FROM good JOIN texts ON texts.rowid = grounds"
                 " WHERE digest = ? AND number > ? ORDER BY number LIMIT 1",
    [ST_REFUSED] = "SELECT pos, number, code, why FROM refused WHERE pos > ? ORDER BY pos LIMIT 1",
    [ST_HAS] = "SELECT 1 FROM numbers WHERE number = ?1 UNION ALL"
               " SELECT 1 FROM refused WHERE number = ?1 LIMIT 1",
    [ST_TEXT] = "SELECT rowid FROM texts WHERE id = ?",
    [ST_TEXT_PUT] = "INSERT INTO texts VALUES(?, ?, ?, ?)",
    [ST_ADDS] = "INSERT OR REPLACE INTO adds VALUES(?, ?, ?)",
};

struct rcd_stage_s {
    sqlite3      *db;
    sqlite3_stmt *stmt[ST_N];
    char          path[RCD_DIR_MAX + 32];
    int           kept;
    uint64_t      good, refused;          /* put in since it was created */
    int           fd;                     /* of a file that is written, to have it on the disk; -1 */
    unsigned      unwritten;              /* rows since the last one */
};

const char *rcd_stage_fault(const rcd_stage_t *g)
{
    return sqlite3_errmsg(g->db);
}

/* 1 row (columns stay until reset), 0 done, -1 failed. */
static int step(sqlite3_stmt *q)
{
    int rc = sqlite3_step(q);

    if (rc == SQLITE_ROW) {
        return 1;
    }
    sqlite3_reset(q);
    return rc == SQLITE_DONE ? 0 : -1;
}

static void bind_digest(sqlite3_stmt *q, int i, const uint8_t *digest)
{
    sqlite3_bind_blob(q, i, digest != NULL ? (const void *) digest : "",
                      digest != NULL ? JD_DIGEST_LEN : 0, SQLITE_STATIC);
}

/* Has the disk begin with what SQLite has given to the kernel, so that rcd_stage_keep, behind the last of
 * a million rows, does not wait for all of it at once: nothing else is done meanwhile, relief neither. */
static void write_back(rcd_stage_t *g)
{
    if (g->fd >= 0 && ++g->unwritten == WRITE_BACK_ROWS) {
        g->unwritten = 0;
        sync_file_range(g->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    }
}

/* 0 or -1 */
static int prepare(rcd_stage_t *g)
{
    for (int st = 0; st < ST_N; st++) {
        if (sqlite3_prepare_v3(g->db, sql[st], -1, SQLITE_PREPARE_PERSISTENT, &g->stmt[st],
                               NULL) != SQLITE_OK) {
            return -1;
        }
    }
    return 0;
}

rcd_stage_t *rcd_stage_create(const char *dir, char *err, size_t err_size)
{
    rcd_stage_t *g = calloc(1, sizeof(*g));
    mode_t mask;
    int ok;

    if (g == NULL) {
        snprintf(err, err_size, "snapshot: out of memory");
        return NULL;
    }
    g->fd = -1;
    if (dir[0] == '\0') {
        snprintf(g->path, sizeof(g->path), ":memory:");
    } else {
        snprintf(g->path, sizeof(g->path), "%s/stage.db", dir);
        unlink(g->path);
    }
    mask = umask(0077);
    ok = sqlite3_open(g->path, &g->db) == SQLITE_OK &&
         sqlite3_exec(g->db, schema, NULL, NULL, NULL) == SQLITE_OK;
    umask(mask);
    if (!ok || prepare(g) != 0) {
        snprintf(err, err_size, "%s: %s", g->path, sqlite3_errmsg(g->db));
        rcd_stage_destroy(g);
        return NULL;
    }
    if (dir[0] != '\0' && (g->fd = open(g->path, O_RDWR | O_CLOEXEC)) < 0) {
        snprintf(err, err_size, "%s: %s", g->path, strerror(errno));
        rcd_stage_destroy(g);
        return NULL;
    }
    return g;
}

void rcd_stage_destroy(rcd_stage_t *g)
{
    for (int st = 0; st < ST_N; st++) {
        sqlite3_finalize(g->stmt[st]);
    }
    sqlite3_close(g->db);
    if (g->fd >= 0) {
        close(g->fd);
    }
    if (!g->kept && strcmp(g->path, ":memory:") != 0) {
        unlink(g->path);
    }
    free(g);
}

/* ---- kept ------------------------------------------------------------------------------------ */

static int sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

    if (fd < 0) {
        return -1;
    }
    rc = fsync(fd);
    close(fd);
    return rc;
}

int rcd_stage_keep(rcd_stage_t *g, const char *path, char *err, size_t err_size)
{
    char dir[sizeof(g->path)], *slash;

    if (sqlite3_exec(g->db, "COMMIT; BEGIN", NULL, NULL, NULL) != SQLITE_OK) {
        snprintf(err, err_size, "%s: %s", g->path, sqlite3_errmsg(g->db));
        return -1;
    }
    if (strcmp(g->path, ":memory:") == 0) {
        return 0;
    }
    snprintf(dir, sizeof(dir), "%s", path);
    slash = strrchr(dir, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    if (fsync(g->fd) != 0 || rename(g->path, path) != 0 ||
        sync_dir(slash != NULL ? dir : ".") != 0) {
        snprintf(err, err_size, "%s: %s", path, strerror(errno));
        return -1;
    }
    snprintf(g->path, sizeof(g->path), "%s", path);
    g->kept = 1;
    return 0;
}

rcd_stage_t *rcd_stage_open(const char *path, char *err, size_t err_size)
{
    rcd_stage_t *g = calloc(1, sizeof(*g));

    if (g == NULL) {
        snprintf(err, err_size, "out of memory");
        return NULL;
    }
    g->kept = 1;
    g->fd = -1;
    snprintf(g->path, sizeof(g->path), "%s", path);
    if (sqlite3_open_v2(path, &g->db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
        prepare(g) != 0) {
        snprintf(err, err_size, "%s: %s", path, sqlite3_errmsg(g->db));
        rcd_stage_destroy(g);
        return NULL;
    }
    return g;
}

/* ---- in -------------------------------------------------------------------------------------- */

int rcd_stage_refuse(rcd_stage_t *g, const rcd_result_t *res)
{
    sqlite3_stmt *q = g->stmt[ST_REFUSE];

    sqlite3_bind_text(q, 1, res->number, -1, SQLITE_STATIC);
    sqlite3_bind_int(q, 2, res->code);
    sqlite3_bind_text(q, 3, res->why, -1, SQLITE_STATIC);
    g->refused++;
    write_back(g);
    return step(q);
}

/* Binds text number `n` of the grounds of `o`, which we encoded: u16 length, bytes. */
static void bind_text_at(sqlite3_stmt *q, int i, const rcd_order_t *o, int n)
{
    const uint8_t *at = o->grounds;

    for (; n > 0; n--) {
        at += 2 + (at[0] | at[1] << 8);
    }
    sqlite3_bind_text(q, i, (const char *) at + 2, at[0] | at[1] << 8, SQLITE_STATIC);
}

/* Row of the grounds of `o`, written when new; -1 failed. */
static int64_t text_row(rcd_stage_t *g, const rcd_order_t *o)
{
    sqlite3_stmt *q = g->stmt[ST_TEXT];
    int64_t row = -1;
    int rc;

    sqlite3_bind_blob(q, 1, o->grounds_id, JD_GROUNDS_ID_LEN, SQLITE_STATIC);
    rc = step(q);
    if (rc > 0) {
        row = sqlite3_column_int64(q, 0);
        sqlite3_reset(q);
    } else if (rc == 0) {
        q = g->stmt[ST_TEXT_PUT];
        sqlite3_bind_blob(q, 1, o->grounds_id, JD_GROUNDS_ID_LEN, SQLITE_STATIC);
        sqlite3_bind_blob(q, 2, o->grounds, (int) o->grounds_len, SQLITE_STATIC);
        bind_text_at(q, 3, o, 0);
        bind_text_at(q, 4, o, 1);
        row = step(q) == 0 ? sqlite3_last_insert_rowid(g->db) : -1;
    }
    return row;
}

/* Takes the first of two records with one number out of the good ones; it stays among the
 * numbers. */
static int drop_first(rcd_stage_t *g, const char *number)
{
    sqlite3_stmt *of = g->stmt[ST_NUMBER_OF], *drop = g->stmt[ST_DROP];
    int rc;

    sqlite3_bind_text(of, 1, number, -1, SQLITE_STATIC);
    rc = step(of);
    if (rc <= 0) {
        return -1;
    }
    sqlite3_bind_blob(drop, 1, sqlite3_column_blob(of, 0), JD_DIGEST_LEN, SQLITE_TRANSIENT);
    sqlite3_bind_text(drop, 2, number, -1, SQLITE_STATIC);
    sqlite3_reset(of);
    if (step(drop) < 0) {
        return -1;
    }
    g->good -= (uint64_t) sqlite3_changes(g->db);
    return 0;
}

int rcd_stage_put(rcd_stage_t *g, const rcd_order_t *o)
{
    sqlite3_stmt *q = g->stmt[ST_NUMBER];
    int64_t row = text_row(g, o);

    sqlite3_bind_text(q, 1, o->number, -1, SQLITE_STATIC);
    bind_digest(q, 2, o->digest);
    if (row < 0 || step(q) < 0) {
        return -1;
    }
    if (sqlite3_changes(g->db) == 0) {
        return drop_first(g, o->number) < 0 ? -1 : 1;
    }
    q = g->stmt[ST_PUT];
    bind_digest(q, 1, o->digest);
    sqlite3_bind_text(q, 2, o->number, -1, SQLITE_STATIC);
    sqlite3_bind_int(q, 3, o->scheme);
    sqlite3_bind_int(q, 4, o->measures);
    sqlite3_bind_int64(q, 5, o->served);
    sqlite3_bind_int64(q, 6, o->from);
    sqlite3_bind_int64(q, 7, o->until);
    sqlite3_bind_int64(q, 8, o->deadline_day);
    sqlite3_bind_int(q, 9, o->observe);
    sqlite3_bind_int(q, 10, o->objection);
    sqlite3_bind_int64(q, 11, row);
    g->good++;
    write_back(g);
    return step(q);
}

int rcd_stage_adds(rcd_stage_t *g, const rcd_order_t *o, rcd_adds_t adds)
{
    sqlite3_stmt *q = g->stmt[ST_ADDS];

    bind_digest(q, 1, o->digest);
    sqlite3_bind_text(q, 2, o->number, -1, SQLITE_STATIC);
    sqlite3_bind_int(q, 3, adds == RCD_ADDS_TERMS);
    write_back(g);
    return step(q);
}

/* ---- out ------------------------------------------------------------------------------------- */

int rcd_stage_next(rcd_stage_t *g, const uint8_t *after, uint8_t digest[JD_DIGEST_LEN])
{
    sqlite3_stmt *q = g->stmt[ST_NEXT];
    int rc;

    bind_digest(q, 1, after);
    rc = step(q);
    if (rc > 0) {
        memcpy(digest, sqlite3_column_blob(q, 0), JD_DIGEST_LEN);
        sqlite3_reset(q);
    }
    return rc;
}

int rcd_stage_order(rcd_stage_t *g, const uint8_t digest[JD_DIGEST_LEN], const char *after,
                    rcd_order_t *o)
{
    sqlite3_stmt *q = g->stmt[ST_ORDER];
    char number[sizeof(o->number)];
    int rc;

    snprintf(number, sizeof(number), "%s", after);        /* `after` may be o->number */
    bind_digest(q, 1, digest);
    sqlite3_bind_text(q, 2, number, -1, SQLITE_STATIC);
    rc = step(q);
    if (rc <= 0) {
        return rc;
    }
    memset(o, 0, sizeof(*o));
    memcpy(o->digest, digest, JD_DIGEST_LEN);
    snprintf(o->number, sizeof(o->number), "%s", (const char *) sqlite3_column_text(q, 0));
    o->scheme = (jd_scheme_t) sqlite3_column_int(q, 1);
    o->measures = (uint16_t) sqlite3_column_int(q, 2);
    o->served = sqlite3_column_int64(q, 3);
    o->from = sqlite3_column_int64(q, 4);
    o->until = sqlite3_column_int64(q, 5);
    o->deadline_day = (uint32_t) sqlite3_column_int64(q, 6);
    o->observe = sqlite3_column_int(q, 7);
    o->objection = sqlite3_column_int(q, 8);
    memcpy(o->grounds_id, sqlite3_column_blob(q, 9), JD_GROUNDS_ID_LEN);
    o->grounds_len = (size_t) sqlite3_column_bytes(q, 10);
    memcpy(o->grounds, sqlite3_column_blob(q, 10), o->grounds_len);
    sqlite3_reset(q);
    return 1;
}

int rcd_stage_refused(rcd_stage_t *g, int64_t *pos, rcd_result_t *res)
{
    sqlite3_stmt *q = g->stmt[ST_REFUSED];
    int rc;

    sqlite3_bind_int64(q, 1, *pos);
    rc = step(q);
    if (rc > 0) {
        *pos = sqlite3_column_int64(q, 0);
        memset(res, 0, sizeof(*res));
        snprintf(res->number, sizeof(res->number), "%s", (const char *) sqlite3_column_text(q, 1));
        res->code = (rcd_quarantine_t) sqlite3_column_int(q, 2);
        snprintf(res->why, sizeof(res->why), "%s", (const char *) sqlite3_column_text(q, 3));
        sqlite3_reset(q);
    }
    return rc;
}

int rcd_stage_has(rcd_stage_t *g, const char *number)
{
    sqlite3_stmt *q = g->stmt[ST_HAS];
    int rc;

    sqlite3_bind_text(q, 1, number, -1, SQLITE_STATIC);
    rc = step(q);
    if (rc > 0) {
        sqlite3_reset(q);
    }
    return rc;
}

void rcd_stage_counts(const rcd_stage_t *g, uint64_t *good, uint64_t *refused)
{
    *good = g->good;
    *refused = g->refused;
}

int rcd_stage_sums(rcd_stage_t *g, int (*each)(void *arg, const rcd_stage_sum_t *sum), void *arg)
{
    char text[1024] = "SELECT authority, basis, count(*), sum(terms)";
    rcd_stage_sum_t sum;
    sqlite3_stmt *q;
    int rc, go_on = 1;

    for (int bit = 0; bit < JD_MEASURE_N; bit++) {
        size_t len = strlen(text);

        snprintf(text + len, sizeof(text) - len, ", sum(measures >> %d & 1)", bit);
    }
    strncat(text, " FROM adds JOIN good USING(digest, number) JOIN texts ON texts.rowid = grounds"
                  " GROUP BY authority, basis ORDER BY 3 DESC, 1, 2",
            sizeof(text) - strlen(text) - 1);
    if (sqlite3_prepare_v2(g->db, text, -1, &q, NULL) != SQLITE_OK) {
        return -1;
    }
    while (go_on && (rc = sqlite3_step(q)) == SQLITE_ROW) {
        sum.authority = (const char *) sqlite3_column_text(q, 0);
        sum.basis = (const char *) sqlite3_column_text(q, 1);
        sum.orders = (uint64_t) sqlite3_column_int64(q, 2);
        sum.terms = (uint64_t) sqlite3_column_int64(q, 3);
        for (int bit = 0; bit < JD_MEASURE_N; bit++) {
            sum.measure[bit] = (uint64_t) sqlite3_column_int64(q, 4 + bit);
        }
        go_on = each(arg, &sum) == 0;
    }
    sqlite3_finalize(q);
    return !go_on || rc == SQLITE_DONE ? 0 : -1;
}

typedef struct {
    uint64_t rank;
    char     number[JD_ORDER_NUMBER_MAX + 1];
} sample_t;

static int by_number(const void *a, const void *b)
{
    return strcmp(a, b);
}

int rcd_stage_samples(rcd_stage_t *g, const uint8_t key[16],
                      char (*numbers)[JD_ORDER_NUMBER_MAX + 1], unsigned max)
{
    sample_t *best = calloc(max + 1, sizeof(*best));
    unsigned n = 0, at;
    sqlite3_stmt *q;
    uint8_t h[16];
    int rc = SQLITE_NOMEM;

    if (best == NULL || sqlite3_prepare_v2(g->db, "SELECT number FROM adds", -1, &q, NULL) !=
                            SQLITE_OK) {
        free(best);
        return -1;
    }
    /* the lowest ranks so far, ascending; each number goes in where it belongs, or falls out */
    while ((rc = sqlite3_step(q)) == SQLITE_ROW) {
        const char *number = (const char *) sqlite3_column_text(q, 0);
        uint64_t rank;

        jd_siphash128(key, number, strlen(number), h);
        memcpy(&rank, h, sizeof(rank));
        for (at = n; at > 0 && best[at - 1].rank > rank; at--) {
            if (at < max) {
                best[at] = best[at - 1];
            }
        }
        if (at < max) {
            best[at].rank = rank;
            snprintf(best[at].number, sizeof(best[at].number), "%s", number);
            n += n < max;
        }
    }
    sqlite3_finalize(q);
    for (unsigned i = 0; i < n; i++) {
        memcpy(numbers[i], best[i].number, sizeof(best[i].number));
    }
    qsort(numbers, n, sizeof(numbers[0]), by_number);
    free(best);
    return rc == SQLITE_DONE ? (int) n : -1;
}
