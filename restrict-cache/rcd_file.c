/*
 * rcd_file - small files read whole and replaced whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/crypto.h>
#include "rcd_file.h"

static int file_check(int fd, const char *path, int secret, char *err, size_t err_size)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        snprintf(err, err_size, "%s: not a regular file", path);
        return -1;
    }
    if (secret && (st.st_mode & (secret == RCD_FILE_OWNER ? 0077 : 0007)) != 0) {
        snprintf(err, err_size, "%s: others may read this secret; chmod %s it", path,
                 secret == RCD_FILE_OWNER ? "0600" : "o=");
        return -1;
    }
    return 0;
}

char *rcd_file_read(const char *path, size_t max, int secret, size_t *len, char *err,
                    size_t err_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    char *text = NULL;
    ssize_t n = 1;

    if (fd < 0) {
        snprintf(err, err_size, "%s: %s", path, strerror(errno));
        return NULL;
    }
    if (file_check(fd, path, secret, err, err_size) == 0) {
        text = malloc(max + 1);
        snprintf(err, err_size, "%s: out of memory", path);
    }
    if (text != NULL) {
        for (*len = 0; *len <= max && n > 0; *len += n > 0 ? (size_t) n : 0) {
            n = read(fd, text + *len, max + 1 - *len);
        }
        if (n < 0 || *len > max) {
            snprintf(err, err_size, "%s: %s", path, n < 0 ? strerror(errno) : "too long");
            OPENSSL_cleanse(text, max + 1);
            free(text);
            text = NULL;
        } else {
            text[*len] = '\0';
            err[0] = '\0';
        }
    }
    close(fd);
    return text;
}

int rcd_file_replace(const char *path, const char *bytes, size_t len)
{
    char temp[PATH_MAX];
    int fd, saved;

    if (snprintf(temp, sizeof(temp), "%s.tmp", path) >= (int) sizeof(temp)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -1;
    }
    if (write(fd, bytes, len) != (ssize_t) len) {
        saved = errno;
        close(fd);
        unlink(temp);
        errno = saved;
        return -1;
    }
    close(fd);
    return rename(temp, path);
}
