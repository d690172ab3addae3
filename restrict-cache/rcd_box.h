/*
 * rcd_box - the directories through which rcctl and the daemon hand each other files.
 */
#ifndef RCD_BOX_H
#define RCD_BOX_H

#include <limits.h>
#include <stddef.h>

#define RCD_BOX_NAME_MAX  100

/* Makes `dir`/`name` (0700) unless it is there, and writes its path. 0, or -1 with one line. */
int  rcd_box_make(char path[PATH_MAX], const char *dir, const char *name, char *err,
                  size_t err_size);

/* 1 for a file name that cannot leave its directory; and for that of a command. NULL is none. */
int  rcd_box_name_ok(const char *name);
int  rcd_box_is_command(const char *name);

/* Removes files that nobody has touched for a minute; logs it when `what` names them. `keep`, which
 * may be "", stays. */
void rcd_box_trim(const char *box, const char *keep, const char *what);

/* A descriptor that becomes readable when a file is moved into the box; -1, after a warning, when the
 * system cannot tell. news reads it empty: 1 when there was anything. */
int  rcd_box_watch(const char *box);
int  rcd_box_news(int fd);

#endif
