/*
 * rcd_holders_read - a file of holders, line by line, to sorted statements about cards.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "rcd_holders_job.h"
#include "rcd_slice.h"

#define SAYS_OFF      43                  /* a byte of the entry that is 0 in a file of links */
#define REFUSED_SHARE 100                 /* more than one line in so many refuses the import */
#define REFUSED_FEW   20                  /* but not so few */

static int refuse_all(rcd_job_t *job, const char *why)
{
    snprintf(job->err, sizeof(job->err), "%s", why);
    return -1;
}

static int put_statement(rcd_job_t *job, rcd_says_t what, const rcd_holding_t *link)
{
    uint8_t entry[RCD_LINKS_ENTRY];

    rcd_links_encode(link, entry);
    entry[SAYS_OFF] = (uint8_t) what;
    return rcd_sort_put(job->input, entry) == 0 ? 0 : refuse_all(job, strerror(errno));
}

/* Names a refused line. 0, or -1 when there are too many. */
static int line_refused(rcd_job_t *job, const rcd_holders_line_t *l)
{
    cJSON *pair;

    if (++job->refused > RCD_HOLDERS_NAMED) {
        snprintf(job->err, sizeof(job->err), "more than %d lines cannot be read; the last at line "
                 "%llu: %s", RCD_HOLDERS_NAMED, (unsigned long long) job->lines, l->why);
        return -1;
    }
    pair = cJSON_CreateArray();
    cJSON_AddItemToArray(pair, cJSON_CreateNumber((double) job->lines));
    cJSON_AddItemToArray(pair, cJSON_CreateString(l->why));
    cJSON_AddItemToArray(job->named, pair);
    if (!l->has_card) {
        job->lost++;
        return 0;
    }
    return put_statement(job, l->has_holder ? RCD_SAYS_HOLDER : RCD_SAYS_CARD, &l->link);
}

/* The line at work is whole. 0 or -1. */
static int line_take(rcd_job_t *job)
{
    static const rcd_holders_line_t too_long = {.why = "longer than 4096 bytes"};
    rcd_holders_line_t l;
    rcd_holders_rc_t rc;

    job->lines++;
    job->line[job->line_len] = '\0';
    if (job->long_line) {
        return job->reader.format == RCD_HOLDERS_UNKNOWN
                   ? refuse_all(job, "neither NDJSON nor CSV") : line_refused(job, &too_long);
    }
    rc = rcd_holders_line(&job->reader, job->line, job->line_len, &l);
    switch (rc) {
    case RCD_HOLDERS_NOTHING:
        return 0;
    case RCD_HOLDERS_WRONG:
        return refuse_all(job, l.why);
    case RCD_HOLDERS_REFUSED:
        return line_refused(job, &l);
    case RCD_HOLDERS_REMOVE:
        job->good++;
        return put_statement(job, l.has_holder ? RCD_SAYS_NOT_HOLDER : RCD_SAYS_NOBODY, &l.link);
    default:
        job->good++;
        return put_statement(job, RCD_SAYS_LINK, &l.link);
    }
}

/* Bytes of the file to lines. 0 or -1. */
static int bytes_take(rcd_job_t *job, const char *bytes, size_t len)
{
    while (len > 0) {
        const char *end = memchr(bytes, '\n', len);
        size_t n = end == NULL ? len : (size_t) (end - bytes);

        if (job->line_len + n > RCD_HOLDERS_LINE_MAX) {
            job->long_line = 1;
        } else {
            memcpy(job->line + job->line_len, bytes, n);
            job->line_len += n;
        }
        if (end == NULL) {
            return 0;
        }
        if (line_take(job) != 0) {
            return -1;
        }
        job->line_len = 0;
        job->long_line = 0;
        bytes = end + 1;
        len -= n + 1;
    }
    return 0;
}

/* Every line is read: may the whole be used? 0 or -1. */
static int judge(rcd_job_t *job, rcd_links_how_t how)
{
    if (job->line_len > 0 || job->long_line) {
        return refuse_all(job, "its last line does not end with a newline: the file may be cut short");
    }
    if (job->refused > 0 && how != RCD_LINKS_FULL && how != RCD_LINKS_DELTA) {
        const cJSON *first = cJSON_GetArrayItem(job->named, 0);

        return refuse_all(job, cJSON_GetArrayItem(first, 1)->valuestring);
    }
    if (job->good == 0) {
        return refuse_all(job, "no line of it names a link; an empty file returns no card");
    }
    if (job->refused > REFUSED_FEW && job->refused * REFUSED_SHARE > job->lines) {
        snprintf(job->err, sizeof(job->err), "%llu of %llu lines cannot be read, more than one in "
                 "%d; correct the export", (unsigned long long) job->refused,
                 (unsigned long long) job->lines, REFUSED_SHARE);
        return -1;
    }
    if (job->lost > 0 && how == RCD_LINKS_DELTA) {
        return refuse_all(job, "the card of a line cannot be read, so nobody knows which link it "
                          "changes");
    }
    return 0;
}

/* The configured file is read in place: it must be the same from its first byte to its last. */
static int unchanged(const rcd_job_t *job)
{
    struct stat st;

    return fstat(job->fd, &st) == 0 && (uint64_t) st.st_size == job->head.source_size &&
           st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec == job->head.source_mtime;
}

int rcd_holders_read(rcd_holders_t *h, int64_t end_ns)
{
    rcd_job_t *job = &h->job;
    ssize_t n;
    int rc;

    do {
        n = read(job->fd, job->buf, sizeof(job->buf));
        if (n < 0) {
            return errno == EINTR ? 1 : refuse_all(job, strerror(errno));
        }
        job->read += (uint64_t) n;
        EVP_DigestUpdate(job->md, job->buf, (size_t) n);
        rc = bytes_take(job, job->buf, (size_t) n);
        explicit_bzero(job->buf, (size_t) n);
        if (rc != 0) {
            explicit_bzero(job->line, sizeof(job->line));
            return -1;
        }
    } while (n > 0 && !rcd_slice_over(end_ns));
    if (n > 0) {
        return 1;
    }
    rc = judge(job, job->head.how);
    explicit_bzero(job->line, sizeof(job->line));
    if (rc == 0 && job->configured && !unchanged(job)) {
        return refuse_all(job, "it changed while it was read; put a new one in place by a rename");
    }
    EVP_DigestFinal_ex(job->md, job->head.hash, NULL);
    return rc;
}
