/*
 * rcd_links_write - a new file of links: entries in order, then the index, then the header.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/evp.h>
#include "rcd_links.h"
#include "rcd_slice.h"
#include "rcd_sort.h"

#define BUFFER       65536
/* flushed in portions: one fsync of a whole file would hold up relief */
#define FLUSH_BYTES  (1024 * 1024)
#define PLACE        (JD_DIGEST_LEN + 4)  /* record of the index while it is sorted: holder, number */

struct rcd_links_writer_s {
    int         fd;
    int         sealed;
    char        path[PATH_MAX];
    EVP_MD_CTX *md;
    rcd_sort_t *index;
    uint64_t    n;
    uint8_t     last[RCD_LINKS_ENTRY];
    uint8_t     buf[BUFFER];
    size_t      used;
    size_t      unflushed;
    uint8_t     body[32];                 /* once sealed */
};

rcd_links_writer_t *rcd_links_writer_create(const char *dir, const char *name)
{
    rcd_links_writer_t *w = calloc(1, sizeof(*w));
    int saved;

    if (w == NULL) {
        return NULL;
    }
    snprintf(w->path, sizeof(w->path), "%s/%s", dir, name);
    w->fd = open(w->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    w->md = EVP_MD_CTX_new();
    w->index = rcd_sort_create(dir, PLACE);
    if (w->fd < 0 || w->md == NULL || w->index == NULL ||
        EVP_DigestInit_ex(w->md, EVP_sha256(), NULL) != 1 ||
        lseek(w->fd, RCD_LINKS_HEADER, SEEK_SET) < 0) {
        saved = w->fd < 0 ? errno : ENOMEM;
        rcd_links_writer_destroy(w);
        errno = saved;
        return NULL;
    }
    return w;
}

void rcd_links_writer_destroy(rcd_links_writer_t *w)
{
    if (w == NULL) {
        return;
    }
    if (w->fd >= 0) {
        close(w->fd);
        if (!w->sealed) {
            unlink(w->path);
        }
    }
    EVP_MD_CTX_free(w->md);
    rcd_sort_destroy(w->index);
    free(w);
}

uint64_t rcd_links_writer_count(const rcd_links_writer_t *w)
{
    return w->n;
}

static int buffer_write(rcd_links_writer_t *w)
{
    size_t done = 0;

    while (done < w->used) {
        ssize_t n = write(w->fd, w->buf + done, w->used - done);

        if (n < 0 && errno != EINTR) {
            return -1;
        }
        done += n > 0 ? (size_t) n : 0;
    }
    EVP_DigestUpdate(w->md, w->buf, w->used);
    w->unflushed += w->used;
    w->used = 0;
    if (w->unflushed >= FLUSH_BYTES) {
        w->unflushed = 0;
        return fdatasync(w->fd);
    }
    return 0;
}

static int bytes_put(rcd_links_writer_t *w, const uint8_t *bytes, size_t len)
{
    if (w->used + len > BUFFER && buffer_write(w) != 0) {
        return -1;
    }
    memcpy(w->buf + w->used, bytes, len);
    w->used += len;
    return 0;
}

int rcd_links_writer_put(rcd_links_writer_t *w, const rcd_holding_t *h)
{
    uint8_t entry[RCD_LINKS_ENTRY], place[PLACE];
    int order;

    rcd_links_encode(h, entry);
    order = w->n == 0 ? -1 : memcmp(w->last, entry, RCD_LINKS_ENTRY);
    if (order == 0) {
        return 0;
    }
    if (order > 0 || w->n == RCD_LINKS_MAX || h->from < 0 || h->until <= h->from ||
        h->until > RCD_LINK_OPEN) {
        errno = w->n == RCD_LINKS_MAX ? EFBIG : EINVAL;
        return -1;
    }
    memcpy(place, h->holder, JD_DIGEST_LEN);
    for (unsigned i = 0; i < 4; i++) {
        place[JD_DIGEST_LEN + i] = (uint8_t) (w->n >> 8 * (3 - i));
    }
    memcpy(w->last, entry, RCD_LINKS_ENTRY);
    w->n++;
    return rcd_sort_put(w->index, place) != 0 ? -1 : bytes_put(w, entry, RCD_LINKS_ENTRY);
}

int rcd_links_writer_index(rcd_links_writer_t *w, int64_t end_ns)
{
    uint8_t place[PLACE], number[4];
    int rc;

    for (unsigned n = 1; (rc = rcd_sort_next(w->index, place)) > 0; n++) {
        for (unsigned i = 0; i < 4; i++) {
            number[i] = place[PLACE - 1 - i];
        }
        if (bytes_put(w, number, 4) != 0) {
            return -1;
        }
        if (n % 256 == 0 && rcd_slice_over(end_ns)) {
            return 1;
        }
    }
    return rc;
}

int rcd_links_writer_seal(rcd_links_writer_t *w, rcd_links_head_t *head)
{
    uint8_t bytes[RCD_LINKS_HEADER];

    if (!w->sealed && (buffer_write(w) != 0 || EVP_DigestFinal_ex(w->md, w->body, NULL) != 1)) {
        return -1;
    }
    head->n = w->n;
    rcd_links_head_encode(head, w->body, bytes);
    if (pwrite(w->fd, bytes, sizeof(bytes), 0) != (ssize_t) sizeof(bytes) || fsync(w->fd) != 0) {
        return -1;
    }
    w->sealed = 1;
    return 0;
}
