/*
 * rcd_log - the log: one line per transition. Never an identifier, key, token or full digest.
 */
#ifndef RCD_LOG_H
#define RCD_LOG_H

typedef enum {
    RCD_LOG_ERROR,
    RCD_LOG_WARN,
    RCD_LOG_NOTICE,
    RCD_LOG_INFO,
    RCD_LOG_DEBUG,
    RCD_LOG_N
} rcd_log_level_t;

/* "error" "warn" "notice" "info" "debug" */
extern const char *const rcd_log_level_names[RCD_LOG_N];

/*
 * Sends the log to `file` (opened for append, mode 0640; NULL = stderr) from `level` upwards.
 * Returns 0; or -1 with errno set, and the log goes on where it went. Called again it reopens the
 * file, so that a rotated file is let go.
 */
int rcd_log_open(const char *file, rcd_log_level_t level);

/* One line "2026-11-23T22:10:12+08:00 notice: ..."; control characters in it are printed as '?'. */
void rcd_log(rcd_log_level_t level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
