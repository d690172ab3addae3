/*
 * rcd_records - records on their way in: an unnamed file, counted and hashed while written.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <openssl/evp.h>
#include "rcd_records.h"

struct rcd_records_s {
    int         fd;
    EVP_MD_CTX *md;
    uint64_t    bytes;
    uint64_t    lines;
    /* last byte written: a line may lack its newline at the end */
    char        last;
    char        path[32];
};

rcd_records_t *rcd_records_create(const char *dir)
{
    rcd_records_t *r = calloc(1, sizeof(*r));
    char name[PATH_MAX];

    if (r == NULL) {
        return NULL;
    }
    r->last = '\n';
    snprintf(name, sizeof(name), "%s/records.XXXXXX", dir);
    r->fd = mkostemp(name, O_CLOEXEC);
    if (r->fd < 0) {
        free(r);
        return NULL;
    }
    unlink(name);
    snprintf(r->path, sizeof(r->path), "/proc/self/fd/%d", r->fd);

    r->md = EVP_MD_CTX_new();
    if (r->md == NULL || EVP_DigestInit_ex(r->md, EVP_sha256(), NULL) != 1) {
        rcd_records_destroy(r);
        errno = ENOMEM;
        return NULL;
    }
    return r;
}

void rcd_records_destroy(rcd_records_t *r)
{
    if (r == NULL) {
        return;
    }
    EVP_MD_CTX_free(r->md);
    close(r->fd);
    free(r);
}

int rcd_records_write(rcd_records_t *r, const char *bytes, size_t len)
{
    size_t left = len;
    ssize_t n;

    if (len == 0) {
        return 0;
    }
    for (const char *p = bytes; left > 0; p += n, left -= (size_t) n) {
        n = write(r->fd, p, left);
        if (n < 0 && errno == EINTR) {
            n = 0;
        }
        if (n < 0) {
            return -1;
        }
    }
    EVP_DigestUpdate(r->md, bytes, len);
    for (const char *p = bytes; (p = memchr(p, '\n', (size_t) (bytes + len - p))) != NULL; p++) {
        r->lines++;
    }
    r->bytes += len;
    r->last = bytes[len - 1];
    return 0;
}

const char *rcd_records_verify(rcd_records_t *r, const rcd_snapshot_claims_t *claims)
{
    uint8_t hash[EVP_MAX_MD_SIZE];

    if (r->bytes != claims->bytes) {
        return "records are not of the size the snapshot states";
    }
    if (r->lines + (r->last != '\n') != claims->count) {
        return "records are not of the number the snapshot states";
    }
    if (EVP_DigestFinal_ex(r->md, hash, NULL) != 1 || memcmp(hash, claims->sha256, 32) != 0) {
        return "records do not have the hash the snapshot states";
    }
    return NULL;
}

const char *rcd_records_path(const rcd_records_t *r)
{
    return r->path;
}
