/*
 * rcd_status - {state dir}/status.json: what the daemon knows of itself.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cjson/cJSON.h>
#include "core/jd_policy.h"
#include "rcd_file.h"
#include "rcd_hold.h"
#include "rcd_objection.h"
#include "rcd_relisted.h"
#include "rcd_size.h"
#include "rcd_status.h"
#include "rcd_stay.h"

static void number(cJSON *o, const char *name, uint64_t value)
{
    cJSON_AddNumberToObject(o, name, (double) value);
}

static void contact_add(cJSON *root, const rcd_status_t *st, const rcd_marks_t *marks,
                        const rcd_feed_status_t *feed)
{
    jd_clocks_t clocks = {st->now, st->office_now, marks->verified_at, JD_MAX_STALE_SEC};
    cJSON *o = cJSON_AddObjectToObject(root, "contact");

    number(o, "verified_at", (uint64_t) marks->verified_at);
    if (marks->verified_at > 0) {
        number(o, "age_sec", (uint64_t) jd_policy_age(&clocks));
    } else {
        cJSON_AddNullToObject(o, "age_sec");
    }
    cJSON_AddStringToObject(o, "fault", feed->head_fault);
    number(o, "office_clock", (uint64_t) st->office_now);
}

static void marks_add(cJSON *root, const rcd_marks_t *m)
{
    cJSON *o = cJSON_AddObjectToObject(root, "marks");

    cJSON_AddStringToObject(o, "journal", m->journal);
    number(o, "epoch", m->epoch);
    number(o, "seq", m->seq);
    number(o, "relief_seq", m->relief_seq);
    cJSON_AddBoolToObject(o, "relief_behind", m->relief_behind);
    cJSON_AddBoolToObject(o, "changes_gap", m->changes_gap);
    cJSON_AddBoolToObject(o, "forked", m->forked);
    number(o, "approved_epoch", m->fork_epoch);
}

static void head_add(cJSON *root, const rcd_feed_status_t *feed)
{
    cJSON *o = cJSON_AddObjectToObject(root, "head");

    number(o, "epoch", feed->head_epoch);
    number(o, "seq", feed->head_seq);
    number(o, "relief_seq", feed->head_relief_seq);
}

static void lane_add(cJSON *lanes, const char *name, const char *state, const char *fault,
                     const char *kid, int64_t answered_at, uint64_t acknowledged)
{
    cJSON *o = cJSON_AddObjectToObject(lanes, name);

    cJSON_AddStringToObject(o, "state", state);
    cJSON_AddStringToObject(o, "fault", fault);
    cJSON_AddStringToObject(o, "kid", kid);
    number(o, "answered_at", (uint64_t) answered_at);
    number(o, "acknowledged", acknowledged);
}

static void snapshot_add(cJSON *root, const rcd_status_t *st, const rcd_feed_status_t *feed)
{
    cJSON *o = cJSON_AddObjectToObject(root, "snapshot");

    cJSON_AddStringToObject(o, "state", feed->snapshot);
    cJSON_AddStringToObject(o, "fault", feed->snapshot_fault);
    cJSON_AddBoolToObject(o, "applying", st->applier->sn != NULL);
    number(o, "done", st->applier->n_done);
    number(o, "total", st->applier->n_total);
}

static void held_add(cJSON *growth, const rcd_held_t *h)
{
    cJSON *o = cJSON_AddObjectToObject(growth, "held");

    cJSON_AddStringToObject(o, "hash", h->hash);
    number(o, "since", (uint64_t) h->since);
    cJSON_AddBoolToObject(o, "first", h->first);
    cJSON_AddBoolToObject(o, "approved", h->approved);
    number(o, "epoch", h->epoch);
    number(o, "seq", h->seq);
    number(o, "orders", h->records);
    number(o, "additions", h->adds_orders);
    number(o, "widenings", h->adds_terms);
}

static void growth_add(cJSON *root, const rcd_status_t *st)
{
    const rcd_held_t *h = rcd_hold_waits(st->state);
    cJSON *o = cJSON_AddObjectToObject(root, "growth");
    rcd_size_status_t g;

    rcd_size_status(st->state, &g);
    number(o, "size", g.size);
    number(o, "baseline", g.baseline);
    number(o, "allowance", g.allowance);
    number(o, "widened", g.widened);
    number(o, "approved_at", (uint64_t) g.approved_at);
    number(o, "shrunk_at", (uint64_t) g.shrunk_at);
    number(o, "shrunk_from", g.shrunk_from);
    number(o, "shrunk_to", g.shrunk_to);
    number(o, "relisted", rcd_relisted_count(st->state));
    if (h != NULL) {
        held_add(o, h);
    } else {
        cJSON_AddNullToObject(o, "held");
    }
}

static void redis_add(cJSON *root, const rcd_status_t *st)
{
    cJSON *o = cJSON_AddObjectToObject(root, "redis");
    rcd_redis_status_t r;

    rcd_redis_status(st->redis, &r);
    cJSON_AddStringToObject(o, "state", r.state);
    cJSON_AddStringToObject(o, "fault", r.fault);
    number(o, "era", r.era);
    number(o, "last_id", r.last_id);
    number(o, "count", r.count);
    number(o, "dirty", r.dirty);
    number(o, "relief_pending", r.relief_pending);
    number(o, "refills", r.refills);
    number(o, "last_ok", (uint64_t) r.last_ok);
}

static void audit_add(cJSON *root, const rcd_status_t *st)
{
    const rcd_audit_key_t *key = st->config->audit.key;
    cJSON *o = cJSON_AddObjectToObject(root, "audit");
    rcd_audit_file_status_t a;

    rcd_audit_file_status(st->audit, &a);
    number(o, "records", a.records);
    number(o, "bytes", a.bytes);
    number(o, "pending", a.pending);
    cJSON_AddStringToObject(o, "fault", a.fault);
    cJSON_AddStringToObject(o, "kid", key != NULL ? key->kid : "");
    number(o, "checkpoint", a.checkpoint_n);
    number(o, "checkpoint_at", (uint64_t) a.checkpoint_at);
}

static void ledger_add(cJSON *root, const rcd_status_t *st)
{
    cJSON *o = cJSON_AddObjectToObject(root, "ledger");
    rcd_ledger_status_t l;

    rcd_ledger_status(st->ledger, &l);
    cJSON_AddStringToObject(o, "fault", l.fault);
    number(o, "rounds", l.collect.rounds);
    number(o, "keys", l.collect.keys);
    number(o, "refused", l.collect.refused);
    cJSON_AddStringToObject(o, "refused_why", l.collect.refused_why);
    number(o, "disagree", l.collect.disagree);
    number(o, "done", l.collect.done);
    number(o, "open", (uint64_t) l.counts.open);
    number(o, "unsent", (uint64_t) l.counts.unsent);
    number(o, "waiting", (uint64_t) l.counts.waiting);
    cJSON_AddStringToObject(o, "batch", l.batch);
    number(o, "receipt_at", (uint64_t) l.receipt_at);
}

static void stays_add(cJSON *root, const rcd_status_t *st)
{
    cJSON *o = cJSON_AddObjectToObject(root, "stays");
    rcd_stay_counts_t stays = {0};
    uint64_t office = 0, operators = 0;

    rcd_stay_counts(st->state, &stays);
    rcd_objection_counts(st->state, &office, &operators);
    number(o, "standing", stays.standing);
    number(o, "persons", stays.persons);
    number(o, "lost", stays.lost);
    o = cJSON_AddObjectToObject(root, "objections");
    number(o, "office", office);
    number(o, "operator", operators);
}

int rcd_status_write(const rcd_status_t *st)
{
    char path[PATH_MAX];
    rcd_feed_status_t feed;
    rcd_marks_t marks;
    cJSON *root, *lanes;
    char *text;
    int rc = -1;

    rcd_state_marks(st->state, &marks);
    rcd_feed_status(st->feed, &feed);

    root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "version", RCD_VERSION);
    cJSON_AddStringToObject(root, "list", st->config->list);
    number(root, "pid", (uint64_t) getpid());
    number(root, "started_at", (uint64_t) st->started_at);
    number(root, "now", (uint64_t) st->now);
    cJSON_AddBoolToObject(root, "standby", feed.standby);
    cJSON_AddStringToObject(root, "reload_fault", st->reload_fault);
    cJSON_AddStringToObject(root, "key_id", st->config->keys.key[0].id);
    contact_add(root, st, &marks, &feed);
    marks_add(root, &marks);
    head_add(root, &feed);
    lanes = cJSON_AddObjectToObject(root, "lanes");
    lane_add(lanes, "relief", feed.relief, feed.relief_fault, feed.relief_kid,
             feed.relief_answered_at, feed.relief_applied);
    lane_add(lanes, "changes", feed.changes, feed.changes_fault, feed.changes_kid,
             feed.changes_answered_at, feed.changes_applied);
    snapshot_add(root, st, &feed);
    growth_add(root, st);
    redis_add(root, st);
    audit_add(root, st);
    ledger_add(root, st);
    rcd_holders_status(st->holders, root);
    stays_add(root, st);

    text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    errno = ENOMEM;
    if (text != NULL) {
        snprintf(path, sizeof(path), "%s/status.json", st->config->state_dir);
        rc = rcd_file_replace(path, text, strlen(text));
    }
    free(text);
    return rc;
}
