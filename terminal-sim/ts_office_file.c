/*
 * ts_office_file.c - files of the office's directory, and its clocks.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "ts_office.h"

int64_t ts_now(void)
{
    return (int64_t) time(NULL);
}

int64_t ts_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

const char *ts_path(const char *dir, const char *name)
{
    static char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

char *ts_file_read(const char *path, size_t *len)
{
    FILE *f = fopen(path, "re");
    char *text = NULL;
    struct stat st;

    if (!f)
        return NULL;
    if (fstat(fileno(f), &st) == 0)
        text = malloc((size_t) st.st_size + 1);
    if (text) {
        *len = fread(text, 1, (size_t) st.st_size, f);
        text[*len] = '\0';
    }
    fclose(f);
    return text;
}

static int write_all(int fd, const char *bytes, size_t len)
{
    ssize_t n;

    while (len > 0) {
        n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        bytes += n;
        len -= (size_t) n;
    }
    return 0;
}

int ts_file_write(const char *path, const void *bytes, size_t len, unsigned mode)
{
    char temporary[PATH_MAX + 8];
    int fd, rc;

    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    unlink(temporary); /* of a run that was killed; its mode may be another */
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return -1;
    rc = write_all(fd, bytes, len);
    if (rc == 0)
        rc = fsync(fd);
    close(fd);
    if (rc == 0)
        rc = rename(temporary, path);
    if (rc != 0)
        unlink(temporary);
    return rc;
}

int ts_socket_address(const char *dir, struct sockaddr_un *address)
{
    const char *path = ts_path(dir, "office.sock");

    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path) {
        ts_complain("%s: too long for a socket's path (%zu bytes); use a shorter directory", path,
                    sizeof address->sun_path - 1);
        return -1;
    }
    strcpy(address->sun_path, path);
    return 0;
}
