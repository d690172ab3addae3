/*
 * rcd_snapshot - a verified snapshot, or an unsigned import, applied to the journal as a difference
 * in bounded steps.
 *
 *   STAGE    every line is parsed and staged, or refused
 *   WEIGH    staged and live digests side by side: what would be added, what would go. When it adds more
 *            than the list may grow by, the stage is kept on disk and waits for the operator
 *   MERGE    staged and live digests side by side, ascending: a digest's orders change in one
 *            transaction; of a snapshot that waits, only what frees
 *   REFUSE   refused records go to quarantine
 *   DONE     marks moved, gap and lag closed
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "rcd_audit.h"
#include "rcd_audit_order.h"
#include "rcd_hold.h"
#include "rcd_log.h"
#include "rcd_size.h"
#include "rcd_slice.h"
#include "rcd_snapshot_parts.h"

#define STEP_NS      10000000         /* of work in one call */

/* ---- begin and end --------------------------------------------------------------------------- */

/* NULL when a snapshot with these marks may be used now. */
static const char *unfit(const rcd_state_t *s, const rcd_statement_t *st)
{
    const rcd_held_t *held = rcd_hold_waits(s);
    const rcd_marks_t *m = &s->marks;

    if (held != NULL && held->epoch == st->epoch && st->seq < held->seq) {
        return "older than the one that waits for approval";
    }
    if (!s->epoch_known || st->epoch == m->fork_epoch) {
        return NULL;
    }
    if (st->epoch != m->epoch) {
        return st->epoch < m->epoch ? "of an epoch that is over"
                                    : "of a new epoch, which waits for rcctl approve --epoch";
    }
    if (m->forked) {
        return "the office's history has forked; it must begin a new epoch";
    }
    if (st->relief_seq < st->asked_relief_seq) {
        return "older than what was asked for in relief_seq";
    }
    return st->seq < m->seq ? "older than the journal in seq" : NULL;
}

static rcd_snapshot_t *create(rcd_state_t *s, const rcd_rules_t *rules, const rcd_statement_t *st,
                              int64_t now)
{
    rcd_snapshot_t *sn = calloc(1, sizeof(*sn));

    if (sn == NULL) {
        return NULL;
    }
    sn->now = now;
    sn->from = (rcd_source_t){.rules = rules, .imported = st == NULL,
                              .rekey = !rcd_store_under(s, rules), .iat = now,
                              .as_of = UINT64_MAX, .relief_seq = UINT64_MAX};
    if (st != NULL) {
        sn->st = *st;
        sn->from.iat = st->iat;
        if (s->epoch_known && st->epoch == s->marks.epoch) {
            sn->from.as_of = st->seq;
            sn->from.relief_seq = st->relief_seq;
        }
    }
    return sn;
}

rcd_snapshot_t *rcd_snapshot_begin(rcd_state_t *s, const rcd_rules_t *rules, const char *path,
                                   const rcd_statement_t *st, int64_t now, char *err,
                                   size_t err_size)
{
    const char *why = st == NULL ? NULL : unfit(s, st);
    rcd_snapshot_t *sn;
    struct stat file;

    if (s->snapshot_active) {
        why = "another one is being applied";
    } else if (why == NULL && st == NULL && !rcd_store_under(s, rules)) {
        why = "the digest key or the normalisers have changed; the office's snapshot must come "
              "first (without an office: remove journal.db and import anew)";
    }
    if (why != NULL) {
        snprintf(err, err_size, "snapshot: %s", why);
        return NULL;
    }
    sn = create(s, rules, st, now);
    if (sn == NULL) {
        snprintf(err, err_size, "snapshot: out of memory");
        return NULL;
    }
    sn->in = fopen(path, "re");
    if (sn->in == NULL || fstat(fileno(sn->in), &file) != 0) {
        snprintf(err, err_size, "snapshot: %s: %s", path, strerror(errno));
        rcd_snapshot_end(sn);
        return NULL;
    }
    sn->stage = rcd_stage_create(s->dir, err, err_size);
    if (sn->stage == NULL) {
        rcd_snapshot_end(sn);
        return NULL;
    }
    sn->s = s;
    sn->bytes = (uint64_t) file.st_size;
    s->snapshot_active = 1;
    return sn;
}

rcd_snapshot_t *rcd_snapshot_approved(rcd_state_t *s, const rcd_rules_t *rules, int64_t now,
                                      char *err, size_t err_size)
{
    const rcd_held_t *h = rcd_hold_waits(s);
    const char *why = h == NULL || !h->approved ? "none is approved"
                      : s->snapshot_active      ? "another one is being applied" : NULL;
    char path[RCD_HELD_PATH_MAX];
    rcd_statement_t st = {0};
    rcd_snapshot_t *sn;

    if (why == NULL) {
        st = (rcd_statement_t){.epoch = h->epoch, .seq = h->seq, .relief_seq = h->relief_seq,
                               .iat = h->iat};
        memcpy(st.sha256, h->sha256, sizeof(st.sha256));
        why = unfit(s, &st);
    }
    if (why != NULL) {
        snprintf(err, err_size, "snapshot: %s", why);
        return NULL;
    }
    sn = create(s, rules, &st, now);
    if (sn == NULL) {
        snprintf(err, err_size, "snapshot: out of memory");
        return NULL;
    }
    rcd_hold_path(s, h->sha256, path);
    sn->stage = path[0] != '\0' ? rcd_stage_open(path, err, err_size) : rcd_hold_stage_take(s);
    if (sn->stage == NULL) {
        rcd_snapshot_end(sn);
        return NULL;
    }
    sn->s = s;
    sn->approved = 1;
    sn->staged = h->records;
    sn->bytes = h->records;           /* progress counts records here */
    sn->phase = RCD_PHASE_MERGE;
    s->snapshot_active = 1;
    return sn;
}

void rcd_snapshot_end(rcd_snapshot_t *sn)
{
    if (sn->s != NULL) {
        sn->s->snapshot_active = 0;
    }
    if (sn->stage != NULL) {
        rcd_stage_destroy(sn->stage);
    }
    if (sn->in != NULL) {
        fclose(sn->in);
    }
    free(sn->line);
    free(sn);
}

void rcd_snapshot_counts(const rcd_snapshot_t *sn, rcd_snapshot_counts_t *out)
{
    *out = sn->counts;
}

/* ---- staging --------------------------------------------------------------------------------- */

/* Stages one line. 0 or -1. */
static int stage_line(rcd_snapshot_t *sn, const char *line, size_t len)
{
    rcd_result_t res = {.code = RCD_Q_NONE};
    rcd_order_t o;
    int rc;

    res.code = rcd_order_parse(sn->from.rules, line, len, &o, res.why, sizeof(res.why));
    memcpy(res.number, o.number, sizeof(res.number));
    if (res.code == RCD_Q_NONE) {
        rc = rcd_stage_put(sn->stage, &o);
        sn->staged += rc == 0;
        if (rc <= 0) {
            return rc;
        }
        res.code = RCD_Q_DUPLICATE;
        snprintf(res.why, sizeof(res.why), "order: number twice in one snapshot");
    }
    sn->unread += res.number[0] == '\0';
    return rcd_stage_refuse(sn->stage, &res);
}

/* Reads lines until the time is over: 1 more to read, 0 all read, -1. */
static int stage_some(rcd_snapshot_t *sn, int64_t end)
{
    for (unsigned n = 1;; n++) {
        ssize_t len = getline(&sn->line, &sn->line_size, sn->in);

        if (len < 0) {
            return ferror(sn->in) ? -1 : 0;
        }
        sn->read += (uint64_t) len;
        if (len > 0 && sn->line[len - 1] == '\n') {
            len--;
        }
        if (len > 0 && stage_line(sn, sn->line, (size_t) len) < 0) {
            return -1;
        }
        if (n % RCD_SNAPSHOT_CHECK == 0 && rcd_slice_over(end)) {
            return 1;
        }
    }
}

/* ---- merging --------------------------------------------------------------------------------- */

static int count(rcd_snapshot_t *sn, rcd_order_rc_t rc)
{
    sn->counts.applied += rc == RCD_ORDER_WRITTEN;
    sn->counts.unchanged += rc == RCD_ORDER_SAME;
    sn->counts.quarantined += rc == RCD_ORDER_QUARANTINED;
    sn->counts.withheld += rc == RCD_ORDER_WITHHELD;
    return rc == RCD_ORDER_FAILED ? -1 : 0;
}

/* Ends the objection that is over. What waits ends none. */
static int end_objection(rcd_snapshot_t *sn, const rcd_order_t *o)
{
    rcd_relief_row_t r;
    int rc = sn->from.imported || sn->counts.held ? 0 : rcd_snapshot_objection_over(sn, o, &r);

    if (rc <= 0) {
        return rc;
    }
    return rcd_store_relief_put(sn->s, o->number, &r, sn->from.iat) < 0 ||
           rcd_store_touch(sn->s, o->digest) < 0 /* what is observed has no term in the record */
               ? -1 : rcd_audit_objection_over(sn->s, o->number, &sn->from);
}

/* Ends what is live of this digest and not in the snapshot. When numbers could not be read
 * nobody knows what is absent: then such an end may be put right later. */
static int merge_absent(rcd_snapshot_t *sn, const uint8_t *digest)
{
    rcd_end_t end = sn->unread > 0 ? RCD_END_REFUSED : RCD_END_DROPPED;
    rcd_row_t rows[JD_ORDERS_MAX];
    int n = rcd_store_live(sn->s, digest, rows, JD_ORDERS_MAX);

    for (int i = 0; i < n; i++) {
        int has = rows[i].imported ? 1 : rcd_stage_has(sn->stage, rows[i].number);

        if (has < 0 ||
            (has == 0 && (rcd_store_order_end(sn->s, &rows[i], end, sn->from.iat) < 0 ||
                          rcd_audit_order_end(sn->s, rows[i].number, end, RCD_Q_NONE,
                                              sn->from.iat) < 0))) {
            return -1;
        }
        sn->counts.dropped += has == 0;
    }
    return n < 0 ? -1 : 0;
}

static int merge_digest(rcd_snapshot_t *sn, const uint8_t *digest)
{
    rcd_result_t res;
    rcd_order_t o = {.number = ""};
    int rc;

    if (!sn->from.imported && merge_absent(sn, digest) < 0) {
        return -1;
    }
    while ((rc = rcd_stage_order(sn->stage, digest, o.number, &o)) > 0) {
        memset(&res, 0, sizeof(res));
        sn->merged++;
        if (end_objection(sn, &o) < 0 ||
            count(sn, rcd_apply_order(sn->s, &sn->from, &o, &res)) < 0) {
            return -1;
        }
    }
    return rc;
}

static int merge_some(rcd_snapshot_t *sn, int64_t end)
{
    uint8_t digest[JD_DIGEST_LEN];
    int rc;

    for (unsigned n = 1; (rc = rcd_snapshot_next(sn, digest)) > 0; n++) {
        if (merge_digest(sn, digest) < 0) {
            return -1;
        }
        memcpy(sn->digest, digest, JD_DIGEST_LEN);
        sn->any = 1;
        if (n % RCD_SNAPSHOT_CHECK == 0 && rcd_slice_over(end)) {
            return 1;
        }
    }
    return rc;
}

static int refuse_some(rcd_snapshot_t *sn, int64_t end)
{
    rcd_result_t res;
    int rc;

    for (unsigned n = 1; (rc = rcd_stage_refused(sn->stage, &sn->refused_pos, &res)) > 0; n++) {
        if (count(sn, rcd_apply_refused(sn->s, &sn->from, &res)) < 0) {
            return -1;
        }
        if (n % RCD_SNAPSHOT_CHECK == 0 && rcd_slice_over(end)) {
            return 1;
        }
    }
    return rc;
}

/* ---- the end --------------------------------------------------------------------------------- */

static int snapshot_record(rcd_snapshot_t *sn)
{
    const rcd_snapshot_counts_t *c = &sn->counts;
    const struct { const char *name; uint64_t value; } member[] = {
        {"epoch", sn->st.epoch}, {"seq", sn->st.seq}, {"relief_seq", sn->st.relief_seq},
        {"iat", (uint64_t) sn->from.iat}, {"applied", c->applied}, {"unchanged", c->unchanged},
        {"quarantined", c->quarantined}, {"dropped", c->dropped},
    };
    cJSON *fields = cJSON_CreateObject();

    for (size_t i = 0; i < sizeof(member) / sizeof(member[0]); i++) {
        cJSON_AddNumberToObject(fields, member[i].name, (double) member[i].value);
    }
    return rcd_audit(sn->s, "snapshot", fields);
}

/* It waits from now on; the lane of changes stays where it is. */
static int put_held(rcd_snapshot_t *sn)
{
    rcd_held_t h = {
        .epoch = sn->st.epoch, .seq = sn->st.seq, .relief_seq = sn->st.relief_seq,
        .iat = sn->st.iat, .since = sn->now, .first = rcd_size_first(sn->s),
        .adds_orders = sn->counts.adds_orders, .adds_terms = sn->counts.adds_terms,
        .drops = sn->drops,
    };

    memcpy(h.sha256, sn->st.sha256, sizeof(h.sha256));
    rcd_stage_counts(sn->stage, &h.records, &h.refused);
    if (rcd_hold_put(sn->s, sn->from.rules, &h) < 0) {
        return -1;
    }
    snprintf(sn->counts.hash, sizeof(sn->counts.hash), "%s", rcd_hold_waits(sn->s)->hash);
    return 0;
}

/* What waited no longer does: this one is newer, or is what waited. */
static int end_held(rcd_snapshot_t *sn)
{
    return sn->approved && rcd_size_approved(sn->s, sn->now) < 0 ? -1 : rcd_hold_drop(sn->s);
}

/* Marks of the snapshot become the journal's; relief that came meanwhile counts on top of them. */
static int move_marks(rcd_snapshot_t *sn)
{
    rcd_state_t *s = sn->s;
    rcd_marks_t *m = &s->marks;

    if (sn->from.imported) {
        return 0;
    }
    if ((!s->epoch_known || m->epoch != sn->st.epoch) && rcd_apply_epoch(s, sn->st.epoch) < 0) {
        return -1;
    }
    if (m->fork_epoch == sn->st.epoch) {
        m->fork_epoch = 0;
    }
    if (sn->from.rekey) {
        s->written.refill = 1;
        rcd_store_under_set(s, sn->from.rules);
        if (rcd_store_save_written(s) < 0) {
            return -1;
        }
    }
    m->forked = 0;
    m->changes_gap = 0;
    if (m->relief_seq < sn->st.relief_seq) {
        m->relief_seq = sn->st.relief_seq;
    }
    if (s->relief_iat < sn->from.iat) {
        s->relief_iat = sn->from.iat;
    }
    if (sn->counts.held) {
        return put_held(sn) < 0 ? -1 : rcd_apply_advance(s);
    }
    m->seq = sn->st.seq;
    return end_held(sn) < 0 || rcd_hold_early_trim(s, m->seq) < 0 || rcd_apply_advance(s) < 0
               ? -1 : snapshot_record(sn);
}

/* One step of a phase that writes to the journal: `work` inside one transaction, fsynced,
 * because Redis may hear of it before the next. */
static int in_transaction(rcd_snapshot_t *sn, int (*work)(rcd_snapshot_t *, int64_t), int64_t end)
{
    rcd_state_t *s = sn->s;
    int rc;

    if (rcd_store_begin(s, 1) < 0) {
        return -1;
    }
    rc = work != NULL ? work(sn, end) : move_marks(sn);
    if (rc < 0 || rcd_store_save_marks(s) < 0 || rcd_store_commit(s) < 0) {
        rcd_store_rollback(s);
        return -1;
    }
    return rc;
}

/* The last transaction is through: what waits is told; its stage, if in memory, goes to the journal's
 * handle. */
static void settle(rcd_snapshot_t *sn)
{
    if (sn->counts.held) {
        rcd_log(RCD_LOG_WARN, "snapshot held: it adds %" PRIu64 " orders and widens %" PRIu64 "; what "
                "frees is applied, the rest waits for rcctl approve %.8s%s", sn->counts.adds_orders,
                sn->counts.adds_terms, sn->counts.hash,
                rcd_size_first(sn->s) ? " --first" : "");
    }
    if (sn->counts.held && sn->s->dir[0] == '\0') {
        rcd_hold_stage_give(sn->s, sn->stage);
        sn->stage = NULL;
    }
}

static int refuse_and_end(rcd_snapshot_t *sn, int64_t end)
{
    int rc = in_transaction(sn, refuse_some, end);

    if (rc != 0) {
        return rc;
    }
    rc = in_transaction(sn, NULL, end);
    if (rc == 0) {
        settle(sn);
        sn->phase = RCD_PHASE_DONE;
    }
    return rc;
}

static uint64_t progress(const rcd_snapshot_t *sn)
{
    switch (sn->phase) {
    case RCD_PHASE_STAGE:
        return sn->read;
    case RCD_PHASE_WEIGH:
        return sn->bytes;
    case RCD_PHASE_MERGE:
        return sn->bytes + (sn->staged > 0 ? sn->bytes * sn->merged / sn->staged : 0);
    default:
        return 2 * sn->bytes;
    }
}

int rcd_snapshot_step(rcd_snapshot_t *sn, uint64_t *done, uint64_t *total, char *err,
                      size_t err_size)
{
    int64_t end = rcd_slice_now() + STEP_NS;
    int rc = -1;

    err[0] = '\0';
    switch (sn->phase) {
    case RCD_PHASE_STAGE:
        rc = stage_some(sn, end);
        if (rc == 0) {
            sn->phase = sn->from.imported ? RCD_PHASE_MERGE : RCD_PHASE_WEIGH;
        }
        break;
    case RCD_PHASE_WEIGH:
        rc = rcd_snapshot_weigh(sn, end);
        if (rc == 0) {
            rc = rcd_snapshot_hold(sn, err, err_size);
            sn->phase = rc == 0 ? RCD_PHASE_MERGE : RCD_PHASE_WEIGH;
        }
        break;
    case RCD_PHASE_MERGE:
        rc = in_transaction(sn, merge_some, end);
        sn->phase = rc == 0 ? RCD_PHASE_REFUSE : RCD_PHASE_MERGE;
        break;
    case RCD_PHASE_REFUSE:
        rc = refuse_and_end(sn, end);
        break;
    case RCD_PHASE_DONE:
        break;
    }
    *total = 2 * sn->bytes;
    *done = progress(sn);
    if (rc < 0 && err[0] == '\0') {
        snprintf(err, err_size, "snapshot: %s",
                 sn->phase == RCD_PHASE_STAGE ? rcd_stage_fault(sn->stage) : sn->s->fault);
    }
    return sn->phase == RCD_PHASE_DONE ? 0 : rc < 0 ? -1 : 1;
}
