/*
 * rcd_log - the daemon's log: one line per transition, to stderr or a file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "core/jd_time.h"
#include "rcd_log.h"

#define LINE_MAX_LEN 1024

const char *const rcd_log_level_names[RCD_LOG_N] = {"error", "warn", "notice", "info", "debug"};

static struct {
    int fd;
    rcd_log_level_t level;
} out = {STDERR_FILENO, RCD_LOG_NOTICE};

int rcd_log_open(const char *file, rcd_log_level_t level)
{
    int fd = STDERR_FILENO;

    if (file != NULL) {
        fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
        if (fd < 0) {
            return -1;
        }
    }
    if (out.fd != STDERR_FILENO) {
        close(out.fd);
    }
    out.fd = fd;
    out.level = level;
    return 0;
}

void rcd_log(rcd_log_level_t level, const char *format, ...)
{
    char line[LINE_MAX_LEN], when[26];
    va_list args;
    size_t len;
    int n;

    if (level > out.level) {
        return;
    }

    jd_time_print((int64_t) time(NULL), when);
    len = (size_t) snprintf(line, sizeof(line), "%s %s: ", when, rcd_log_level_names[level]);

    va_start(args, format);
    n = vsnprintf(line + len, sizeof(line) - len - 1, format, args);
    va_end(args);
    if (n < 0) {
        return;
    }
    len = strnlen(line, sizeof(line) - 2);

    for (size_t i = 0; i < len; i++) {
        if ((unsigned char) line[i] < 0x20 || line[i] == 0x7f) {
            line[i] = '?';
        }
    }
    line[len++] = '\n';

    /* A log that cannot be written has nobody to tell; the work goes on. */
    while (write(out.fd, line, len) < 0 && errno == EINTR) {
    }
}
