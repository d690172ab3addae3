/*
 * rcd_file - small files read whole and replaced whole.
 */
#ifndef RCD_FILE_H
#define RCD_FILE_H

#include <stddef.h>

#define RCD_FILE_SECRET  1         /* others may not read it (mode & 0007) */
#define RCD_FILE_OWNER   2         /* its owner alone may (mode & 0077) */

/*
 * Reads a whole regular file of at most `max` bytes into malloc'ed, NUL-terminated memory; *len
 * excludes the NUL. `secret` (0, RCD_FILE_SECRET, RCD_FILE_OWNER) refuses a file that others may read.
 * NULL with a one-line reason that names the file.
 */
char *rcd_file_read(const char *path, size_t max, int secret, size_t *len, char *err,
                    size_t err_size);

/* Replaces `path` (mode 0600 by the process's umask) so that a reader sees the old or the new
 * whole. 0, or -1 with errno; not fsynced. */
int rcd_file_replace(const char *path, const char *bytes, size_t len);

#endif
