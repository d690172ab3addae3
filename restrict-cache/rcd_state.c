/*
 * rcd_state - the journal as the rest of the daemon sees it: open, marks, heads, epochs, expiry.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "rcd_apply.h"
#include "rcd_audit.h"
#include "rcd_audit_order.h"
#include "rcd_decide.h"
#include "rcd_hold.h"
#include "rcd_reach.h"
#include "rcd_size.h"
#include "rcd_store.h"

#define PATH_SIZE        (RCD_DIR_MAX + 32)
/* a head ahead of its lane for so long: what is missing will not come by itself */
#define LANE_WAIT_SEC    5
#define TICK_ROWS        256       /* orders ended in one tick */

const char *const rcd_end_names[RCD_END_N] = {"none", "expired", "dropped", "refused", "lifted"};

/* ---- open and close -------------------------------------------------------------------------- */

/* The lock is held as long as the handle lives: one daemon per journal. Returns its descriptor
 * or -1. */
static int lock_dir(const char *dir, char *err, size_t err_size)
{
    char path[PATH_SIZE];
    int fd;

    snprintf(path, sizeof(path), "%s/lock", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        snprintf(err, err_size, "%s: %s", path, strerror(errno));
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        snprintf(err, err_size, "%s: %s", path, errno == EWOULDBLOCK
                 ? "another restrict-cached runs on this directory" : strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

rcd_state_t *rcd_state_open(const char *dir, const char *list, char *err, size_t err_size)
{
    char path[PATH_SIZE];
    rcd_state_t *s;
    mode_t mask;
    int fd;

    if (strlen(dir) >= RCD_DIR_MAX) {
        snprintf(err, err_size, "state directory: name is too long");
        return NULL;
    }
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        snprintf(err, err_size, "%s: %s", dir, strerror(errno));
        return NULL;
    }
    fd = lock_dir(dir, err, err_size);
    if (fd < 0) {
        return NULL;
    }
    snprintf(path, sizeof(path), "%s/journal.db", dir);
    mask = umask(0077);
    s = rcd_store_open(path, list, 0, err, err_size);
    umask(mask);
    if (s == NULL) {
        close(fd);
        return NULL;
    }
    s->lock_fd = fd;
    snprintf(s->dir, sizeof(s->dir), "%s", dir);
    if (rcd_hold_files(s) < 0) {
        snprintf(err, err_size, "%s: %s", path, s->fault);
        rcd_state_close(s);
        return NULL;
    }
    return s;
}

rcd_state_t *rcd_state_open_readonly(const char *dir, char *err, size_t err_size)
{
    char path[PATH_SIZE];
    rcd_state_t *s;

    if (strlen(dir) >= RCD_DIR_MAX) {
        snprintf(err, err_size, "state directory: name is too long");
        return NULL;
    }
    snprintf(path, sizeof(path), "%s/journal.db", dir);
    s = rcd_store_open(path, NULL, 1, err, err_size);
    if (s != NULL) {
        snprintf(s->dir, sizeof(s->dir), "%s", dir);
    }
    return s;
}

void rcd_state_close(rcd_state_t *s)
{
    int fd = s->lock_fd;

    rcd_store_close(s);
    if (fd >= 0) {
        close(fd);
    }
}

void rcd_state_marks(rcd_state_t *s, rcd_marks_t *out)
{
    *out = s->marks;
}

const char *rcd_state_fault(const rcd_state_t *s)
{
    return s->fault;
}

void rcd_state_fetching(rcd_state_t *s, int on)
{
    s->fetching = on;
}

/* Ends the transaction: 0, or -1 when `rc` or the commit failed; then everything is as before
 * it. */
static int finish(rcd_state_t *s, int rc)
{
    if (rc < 0 || rcd_store_save_marks(s) < 0 || rcd_store_commit(s) < 0) {
        rcd_store_rollback(s);
        return -1;
    }
    return 0;
}

int rcd_state_rules(rcd_state_t *s, const rcd_rules_t *rules)
{
    char before[RCD_UNDER_MAX];
    int agrees, rc = 0;

    if (rcd_store_begin(s, 1) < 0) {
        return -1;
    }
    rcd_reach_rules(s, rules);
    memcpy(before, s->under, sizeof(before));
    agrees = rcd_store_under(s, rules);
    s->marks.changes_gap |= !agrees;
    if (before[0] != '\0' && strcmp(before, s->under) != 0) {
        s->written.refill = 1;            /* no order to digest anew, and an era under the old key */
        rc = rcd_store_save_written(s);
    }
    if (rc == 0) {
        rcd_size_rules(s, rules);
        rc = rcd_hold_rules(s, rules);
    }
    return finish(s, rc) < 0 ? -1 : !agrees;
}

/* ---- heads and epochs ------------------------------------------------------------------------ */

/*
 * 1 when heads have been ahead of a lane for LANE_WAIT_SEC while the lane did not move: the office
 * has been told to forget what is missing (a restored journal) and only a snapshot brings it.
 */
static int waited_long(rcd_state_t *s, int lane, uint64_t position, uint64_t head_seq, int64_t iat)
{
    if (head_seq <= position || s->waited_seq[lane] != position || s->waited_since[lane] == 0) {
        s->waited_seq[lane] = position;
        s->waited_since[lane] = head_seq > position ? iat : 0;
        return 0;
    }
    return iat - s->waited_since[lane] >= LANE_WAIT_SEC;
}

int rcd_state_head(rcd_state_t *s, int64_t now, int64_t iat, uint32_t epoch, uint64_t seq,
                   uint64_t relief_seq, char *why, size_t why_size)
{
    rcd_marks_t *m = &s->marks;
    rcd_head_verdict_t v = rcd_decide_head(s, now, iat, epoch, relief_seq);
    int rc = 0;

    snprintf(why, why_size, "%s", rcd_head_reasons[v]);
    if (v == RCD_HEAD_OLD || v == RCD_HEAD_FUTURE || v == RCD_HEAD_EPOCH_OLD) {
        return 0;
    }
    if (rcd_store_begin(s, 1) < 0) {
        return -1;
    }
    m->head_iat = iat;
    if (v != RCD_HEAD_EPOCH_NEW) {
        if (!s->epoch_known) {
            rc = rcd_apply_epoch(s, epoch);
        }
        s->head_relief_seq = s->head_relief_seq > relief_seq ? s->head_relief_seq : relief_seq;
        m->forked |= v == RCD_HEAD_WENT_BACK;
        if (waited_long(s, 0, m->relief_seq, relief_seq, iat) && s->relief_top < relief_seq) {
            s->relief_top = relief_seq;
            m->relief_behind = 1;
        }
        /* what waits for approval keeps the lane where it is */
        m->changes_gap |= waited_long(s, 1, m->seq, seq, iat) && rcd_hold_waits(s) == NULL;
    }
    if (v == RCD_HEAD_CONTACT) {
        m->verified_at = iat;
    }
    if (finish(s, rc) < 0) {
        return -1;
    }
    if (v == RCD_HEAD_CONTACT) {
        s->contact = iat;
    }
    return v == RCD_HEAD_CONTACT;
}

int rcd_state_approve_epoch(rcd_state_t *s, uint32_t epoch, char *err, size_t err_size)
{
    cJSON *fields;

    if (epoch > 65535 || (s->epoch_known && epoch <= s->marks.epoch)) {
        snprintf(err, err_size, "epoch %u cannot follow epoch %u", epoch, s->marks.epoch);
        return -1;
    }
    if (rcd_store_begin(s, 1) < 0) {
        snprintf(err, err_size, "%s", s->fault);
        return -1;
    }
    s->marks.fork_epoch = epoch;
    s->marks.changes_gap = 1;
    fields = cJSON_CreateObject();
    cJSON_AddNumberToObject(fields, "epoch", epoch);
    if (finish(s, rcd_audit(s, "epoch", fields)) < 0) {
        snprintf(err, err_size, "%s", s->fault);
        return -1;
    }
    return 0;
}

/* ---- expiry ---------------------------------------------------------------------------------- */

int rcd_state_tick(rcd_state_t *s, int64_t now, int64_t office_now)
{
    int64_t at = now < office_now ? now : office_now;
    rcd_row_t rows[TICK_ROWS];
    int woken = rcd_note_tick(s, now);
    int n = woken < 0 ? -1 : rcd_store_past(s, at, rows, TICK_ROWS), rc = 0;

    if (rcd_size_tick(s, at) < 0) {
        return -1;
    }
    if (n <= 0) {
        return n < 0 ? n : woken;
    }
    if (rcd_store_begin(s, 1) < 0) {
        return -1;
    }
    for (int i = 0; i < n && rc == 0; i++) {
        rc = rcd_store_order_end(s, &rows[i], RCD_END_EXPIRED, rows[i].until);
        rc = rc < 0 ? rc : rcd_audit_order_end(s, rows[i].number, RCD_END_EXPIRED, RCD_Q_NONE,
                                               rows[i].until);
    }
    return finish(s, rc) < 0 ? -1 : n + woken;
}
