/*
 * rcd_sort - an external merge sort: runs sorted in memory, kept in a file without a name, merged by
 * a heap of their first records.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "rcd_sort.h"

#define AHEAD  64                         /* records of a run read at once */

typedef struct {                          /* a run while it is merged */
    uint64_t next, end;                   /* records of the file not read yet */
    unsigned at, n;                       /* of `ahead` */
    uint8_t *ahead;
} run_t;

struct rcd_sort_s {
    size_t    size;
    uint64_t  count;
    uint8_t  *chunk;                      /* RCD_SORT_RUN records */
    unsigned  n;                          /* of them */
    int       fd;                         /* -1: all are in the chunk */
    char      dir[PATH_MAX];
    unsigned  n_runs;                     /* full ones of the file; the rest is in the chunk */
    int       merging;
    unsigned  given;                      /* of the chunk */
    run_t    *run;
    unsigned *heap;                       /* runs that have a record, the lowest first */
    unsigned  n_heap;
};

rcd_sort_t *rcd_sort_create(const char *dir, size_t size)
{
    rcd_sort_t *s = calloc(1, sizeof(*s));

    if (s == NULL) {
        return NULL;
    }
    s->size = size;
    s->fd = -1;
    snprintf(s->dir, sizeof(s->dir), "%s", dir);
    s->chunk = malloc(RCD_SORT_RUN * size);
    if (s->chunk == NULL) {
        rcd_sort_destroy(s);
        return NULL;
    }
    return s;
}

void rcd_sort_destroy(rcd_sort_t *s)
{
    if (s == NULL) {
        return;
    }
    for (unsigned i = 0; s->run != NULL && i < s->n_runs; i++) {
        free(s->run[i].ahead);
    }
    if (s->fd >= 0) {
        close(s->fd);
    }
    free(s->run);
    free(s->heap);
    free(s->chunk);
    free(s);
}

uint64_t rcd_sort_count(const rcd_sort_t *s)
{
    return s->count;
}

static int compare(const void *a, const void *b, void *size)
{
    return memcmp(a, b, *(size_t *) size);
}

static int write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno != EINTR) {
            return -1;
        }
        bytes += n > 0 ? n : 0;
        len -= n > 0 ? (size_t) n : 0;
    }
    return 0;
}

static int file_open(rcd_sort_t *s)
{
    char name[PATH_MAX + 16];

    snprintf(name, sizeof(name), "%s/sort.XXXXXX", s->dir);
    s->fd = mkostemp(name, O_CLOEXEC);
    if (s->fd < 0) {
        return -1;
    }
    unlink(name);
    return 0;
}

int rcd_sort_put(rcd_sort_t *s, const void *record)
{
    if (s->n == RCD_SORT_RUN) {
        qsort_r(s->chunk, s->n, s->size, compare, &s->size);
        if ((s->fd < 0 && file_open(s) != 0) ||
            write_all(s->fd, s->chunk, RCD_SORT_RUN * s->size) != 0) {
            return -1;
        }
        s->n_runs++;
        s->n = 0;
    }
    memcpy(s->chunk + s->n * s->size, record, s->size);
    s->n++;
    s->count++;
    return 0;
}

/* ---- merging --------------------------------------------------------------------------------- */

/* Reads ahead. 1 when the run has a record, 0 when it is over, -1. */
static int run_fill(rcd_sort_t *s, run_t *r)
{
    size_t want, have = 0;

    if (r->at < r->n) {
        return 1;
    }
    want = r->end - r->next < AHEAD ? (size_t) (r->end - r->next) : AHEAD;
    while (have < want * s->size) {
        ssize_t n = pread(s->fd, r->ahead + have, want * s->size - have,
                          (off_t) (r->next * s->size + have));
        if (n == 0) {
            errno = EIO;
        }
        if (n <= 0 && errno != EINTR) {
            return -1;
        }
        have += n > 0 ? (size_t) n : 0;
    }
    r->next += want;
    r->at = 0;
    r->n = (unsigned) want;
    return want > 0;
}

static const uint8_t *head_of(const rcd_sort_t *s, unsigned i)
{
    const run_t *r = &s->run[s->heap[i]];

    return r->ahead + r->at * s->size;
}

static void sift_down(rcd_sort_t *s, unsigned i)
{
    for (;;) {
        unsigned least = i, child = 2 * i + 1, swap;

        for (unsigned c = child; c < child + 2 && c < s->n_heap; c++) {
            if (memcmp(head_of(s, c), head_of(s, least), s->size) < 0) {
                least = c;
            }
        }
        if (least == i) {
            return;
        }
        swap = s->heap[i];
        s->heap[i] = s->heap[least];
        s->heap[least] = swap;
        i = least;
    }
}

static int merge_begin(rcd_sort_t *s)
{
    qsort_r(s->chunk, s->n, s->size, compare, &s->size);
    s->run = calloc(s->n_runs + 1, sizeof(*s->run));
    s->heap = calloc(s->n_runs + 1, sizeof(*s->heap));
    if (s->run == NULL || s->heap == NULL) {
        return -1;
    }
    for (unsigned i = 0; i < s->n_runs; i++) {
        run_t *r = &s->run[i];

        r->next = (uint64_t) i * RCD_SORT_RUN;
        r->end = r->next + RCD_SORT_RUN;
        r->ahead = malloc(AHEAD * s->size);
        if (r->ahead == NULL || run_fill(s, r) < 0) {
            return -1;
        }
        s->heap[s->n_heap++] = i;
    }
    for (unsigned i = s->n_heap / 2; i-- > 0;) {
        sift_down(s, i);
    }
    s->merging = 1;
    return 0;
}

int rcd_sort_next(rcd_sort_t *s, void *record)
{
    const uint8_t *mine;
    run_t *r;
    int rc;

    if (!s->merging && merge_begin(s) != 0) {
        return -1;
    }
    mine = s->given < s->n ? s->chunk + s->given * s->size : NULL;
    if (mine != NULL && (s->n_heap == 0 || memcmp(mine, head_of(s, 0), s->size) <= 0)) {
        memcpy(record, mine, s->size);
        s->given++;
        return 1;
    }
    if (s->n_heap == 0) {
        return 0;
    }
    memcpy(record, head_of(s, 0), s->size);
    r = &s->run[s->heap[0]];
    r->at++;
    rc = run_fill(s, r);
    if (rc < 0) {
        return -1;
    }
    if (rc == 0) {
        s->heap[0] = s->heap[--s->n_heap];
    }
    sift_down(s, 0);
    return 1;
}
