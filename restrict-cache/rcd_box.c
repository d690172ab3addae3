/*
 * rcd_box - the directories through which rcctl and the daemon hand each other files.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "rcd_box.h"
#include "rcd_log.h"

#define LEFTOVER_SEC  60                  /* untouched for so long: nobody writes or reads it any more */

int rcd_box_make(char path[PATH_MAX], const char *dir, const char *name, char *err, size_t err_size)
{
    if (snprintf(path, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX ||
        (mkdir(path, 0700) != 0 && errno != EEXIST)) {
        snprintf(err, err_size, "%s/%s: %s", dir, name, strerror(errno));
        return -1;
    }
    return 0;
}

int rcd_box_name_ok(const char *name)
{
    size_t len = name == NULL ? 0 : strlen(name);

    return len > 0 && len <= RCD_BOX_NAME_MAX && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

int rcd_box_is_command(const char *name)
{
    return rcd_box_name_ok(name) && strlen(name) > 5 &&
           strcmp(name + strlen(name) - 5, ".json") == 0;
}

void rcd_box_trim(const char *box, const char *keep, const char *what)
{
    DIR *dir = opendir(box);
    struct dirent *e;
    struct stat st;

    while (dir != NULL && (e = readdir(dir)) != NULL) {
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(st.st_mode) || st.st_mtime > time(NULL) - LEFTOVER_SEC ||
            strcmp(e->d_name, keep) == 0) {
            continue;
        }
        if (unlinkat(dirfd(dir), e->d_name, 0) == 0 && what != NULL) {
            rcd_log(RCD_LOG_NOTICE, "%s removed", what);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

int rcd_box_watch(const char *box)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

    if (fd >= 0 && inotify_add_watch(fd, box, IN_MOVED_TO) >= 0) {
        return fd;
    }
    rcd_log(RCD_LOG_WARN, "%s is only looked at from time to time: inotify: %s", box,
            strerror(errno));
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

int rcd_box_news(int fd)
{
    char events[1024];
    int news = 0;

    while (fd >= 0 && read(fd, events, sizeof(events)) > 0) {
        news = 1;
    }
    return news;
}
