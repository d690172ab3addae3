/*
 * rcctl_relief - what frees, given so that it holds whatever dies: a note that the daemon takes up, on
 * disk before anything else; then the daemon, or Redis directly when it does not answer.
 */
#ifndef RCCTL_RELIEF_H
#define RCCTL_RELIEF_H

#include "core/jd_redis.h"
#include "rcctl.h"

/* One field of a hash in Redis. */
typedef struct {
    int         of_order;              /* hash relief, else stays */
    char        field[JD_ORDER_NUMBER_MAX];
    size_t      field_len;
    char        value[JD_RELIEF_TEXT_MAX + 2];
    size_t      value_len;
} rcctl_write_t;

typedef enum {
    RCCTL_WAY_DAEMON,                  /* in the journal and in Redis */
    RCCTL_WAY_DIRECT,                  /* in Redis, by us; on disk, for the daemon to take up */
    RCCTL_WAY_LATER,                   /* on disk; Redis cannot be reached yet */
    RCCTL_WAY_VOLATILE,                /* in Redis, by us; nothing could be kept on disk */
    RCCTL_WAY_REFUSED,                 /* by the daemon; it was said */
    RCCTL_WAY_NONE                     /* neither disk nor Redis; it was said */
} rcctl_way_t;

typedef struct {
    rcctl_way_t way;
    int         taken;                 /* the daemon has it in its journal */
    double      ms;                    /* from the call until Redis had it */
    cJSON      *answer;                /* the daemon's, or NULL; cJSON_Delete */
} rcctl_relieved_t;

/* Adds "ref" and "at" to a command that is to be given by rcctl_relieve. 0, or -1 after saying why. */
int rcctl_relief_stamp(cJSON *command);

/*
 * Gives the command (taken over). `writes` is what it means in Redis; `fallback` (as many, or NULL) is
 * what Redis gets when nothing can be kept on disk. Faults are said on stderr. Returns an exit code.
 */
int rcctl_relieve(const rcctl_t *r, cJSON *command, const rcctl_write_t *writes,
                  const rcctl_write_t *fallback, unsigned n, rcctl_relieved_t *out);

/* The word for --json, and what is said to people: "in Redis after 2.9 ms, by the daemon". */
const char *rcctl_way_name(rcctl_way_t way);
void rcctl_way_print(const rcctl_relieved_t *done);

#endif
