/*
 * rcd_holders - an import of holders from its first byte to its effect; what waits for approval.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "rcd_audit.h"
#include "rcd_clock.h"
#include "rcd_holders_job.h"
#include "rcd_log.h"
#include "rcd_relink.h"
#include "rcd_slice.h"

#define STEP_NS       10000000
#define RETRY_NS      1000000000          /* the journal cannot be written: again after */
#define SHRINK_SHARE  10                  /* one card in so many returned at once is worth a warning */

static const char NEW[] = RCD_HOLDERS_NEW, HELD[] = RCD_HOLDERS_HELD, LINKS[] = RCD_HOLDERS_LINKS;

void rcd_holders_path(const rcd_holders_t *h, const char *name, char path[RCD_HOLDERS_PATH])
{
    snprintf(path, RCD_HOLDERS_PATH, "%s/%s", h->config->state_dir, name);
}

void rcd_holders_hash(const uint8_t hash[32], char out[65])
{
    for (int i = 0; i < 32; i++) {
        snprintf(out + 2 * i, 3, "%02x", hash[i]);
    }
}

/* ---- begin and end of a job ------------------------------------------------------------------ */

void rcd_holders_release(rcd_job_t *job)
{
    if (job->fd >= 0) {
        close(job->fd);
    }
    EVP_MD_CTX_free(job->md);
    cJSON_Delete(job->named);
    rcd_sort_destroy(job->input);
    free(job->few);
    rcd_links_writer_destroy(job->writer);
    rcd_links_close(job->fresh);
    rcd_links_close(job->before);
    free(job->filter);
    explicit_bzero(job, sizeof(*job));
    job->fd = -1;
}

/* A replaced card shrinks and another one grows: one change. */
uint64_t rcd_holders_changed(const rcd_links_counts_t *c)
{
    return c->listed_shrunk > c->listed_grown ? c->listed_shrunk : c->listed_grown;
}

void rcd_holders_counts(cJSON *o, const rcd_links_head_t *head)
{
    const rcd_links_counts_t *c = &head->counts;
    const struct { const char *name; uint64_t value; } v[] = {
        {"links", head->n}, {"cards", c->cards}, {"added", c->added}, {"changed", c->changed},
        {"returned", c->returned}, {"refused", c->refused}, {"doubt", c->doubt}, {"two", c->two},
        {"listed", c->listed}, {"listed_shrunk", c->listed_shrunk},
        {"listed_grown", c->listed_grown}, {"listed_changed", rcd_holders_changed(c)},
    };
    char hash[65];

    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        cJSON_AddNumberToObject(o, v[i].name, (double) v[i].value);
    }
    rcd_holders_hash(head->hash, hash);
    cJSON_AddStringToObject(o, "file", hash);
}

/* Tells how it ended; `why` NULL = well. The job is over before `done` is called. */
static void job_end(rcd_holders_t *h, const char *why)
{
    rcd_job_t *job = &h->job;
    rcd_holders_done_pt done = job->done;
    void *owner = job->owner;
    cJSON *answer = cJSON_CreateObject();
    char err[sizeof(job->err)], path[RCD_HOLDERS_PATH];
    int configured = job->configured;

    snprintf(err, sizeof(err), "%s", why != NULL ? why : "");
    cJSON_Delete(h->lines);
    h->lines = job->named != NULL ? job->named : cJSON_CreateArray();
    job->named = NULL;
    cJSON_AddItemToObject(answer, "lines", cJSON_Duplicate(h->lines, 1));
    if (why == NULL) {
        rcd_holders_counts(answer, &job->head);
        cJSON_AddBoolToObject(answer, "waiting", h->held != NULL);
        cJSON_AddNumberToObject(answer, "freed", (double) job->narrowed);
    } else {
        rcd_log(RCD_LOG_WARN, "holders: import refused: %s", err);
    }
    if (configured) {
        snprintf(h->file_fault, sizeof(h->file_fault), "%s", err);
    }
    rcd_holders_release(job);
    rcd_holders_path(h, NEW, path);
    unlink(path);
    if (done != NULL) {
        done(owner, answer, why != NULL ? err : NULL);
    }
    cJSON_Delete(answer);
}

static uint64_t next_serial(const rcd_holders_t *h)
{
    const rcd_links_t *links = rcd_reach_links(h->s);
    uint64_t top = rcd_reach_serial(h->s);

    if (links != NULL && links->head.serial > top) {
        top = links->head.serial;
    }
    return top + 1;
}

/* Links that an import may build on, or why it may not. */
static const char *unfit(const rcd_holders_t *h, rcd_links_how_t how)
{
    if (rcd_holders_busy(h)) {
        return "an import of holders is at work; try again";
    }
    if (how == RCD_LINKS_FULL) {
        return NULL;
    }
    if (h->fault[0] != '\0' ||
        (rcd_reach_links(h->s) != NULL && rcd_reach_usable(h->s) == NULL)) {
        return "the links in force are not usable; import a full file of holders";
    }
    if (h->held != NULL && how != RCD_LINKS_REMOVE) {
        return "an import waits for approval (rcctl status tells its hash); approve it, or import "
               "a full file";
    }
    return NULL;
}

int rcd_holders_begin(rcd_holders_t *h, rcd_links_how_t how, int fd, const char *user,
                      rcd_holders_done_pt done, void *owner, char *err, size_t err_size)
{
    const rcd_links_t *links = rcd_reach_links(h->s);
    const char *why = unfit(h, how);
    rcd_job_t *job = &h->job;
    struct stat st;

    if (why == NULL && fstat(fd, &st) != 0) {
        why = strerror(errno);
    }
    if (why != NULL) {
        snprintf(err, err_size, "%s", why);
        close(fd);
        return -1;
    }
    *job = (rcd_job_t){.fd = fd, .done = done, .owner = owner, .size = (uint64_t) st.st_size};
    job->md = EVP_MD_CTX_new();
    job->named = cJSON_CreateArray();
    job->input = rcd_sort_create(h->config->state_dir, RCD_LINKS_ENTRY);
    if (job->md == NULL || job->named == NULL || job->input == NULL ||
        EVP_DigestInit_ex(job->md, EVP_sha256(), NULL) != 1) {
        rcd_holders_release(job);
        snprintf(err, err_size, "out of memory");
        return -1;
    }
    job->head = (rcd_links_head_t){.how = how, .at = rcd_clock_wall(), .serial = next_serial(h)};
    job->head.base = job->head.serial - 1;
    snprintf(job->head.user, sizeof(job->head.user), "%s", user);
    rcd_store_under_print(&h->config->rules, job->head.under);
    if (links != NULL) {
        job->head.source_mtime = links->head.source_mtime;
        job->head.source_size = links->head.source_size;
        job->head.source_inode = links->head.source_inode;
    }
    rcd_holders_reader_init(&job->reader, &h->config->rules, how == RCD_LINKS_FULL);
    job->phase = RCD_JOB_READ;
    return 0;
}

/* The next walk begins at the first card. */
void rcd_holders_rewind(rcd_job_t *job)
{
    job->at_old = job->at_new = 0;
    memset(&job->walk, 0, sizeof(job->walk));
}

/* ---- in force -------------------------------------------------------------------------------- */

/* The directory's entries to the disk. */
static int dir_sync(const rcd_holders_t *h)
{
    int fd = open(h->config->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

    rc = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

void rcd_holders_held_drop(rcd_holders_t *h)
{
    char path[RCD_HOLDERS_PATH];

    rcd_holders_path(h, HELD, path);
    unlink(path);
    rcd_links_close(h->held);
    h->held = NULL;
}

/* File `name` comes into force by a rename. 0, or -1 with job->err: nothing has changed then. */
int rcd_holders_switch(rcd_holders_t *h, const char *name)
{
    char from[RCD_HOLDERS_PATH], to[RCD_HOLDERS_PATH];
    rcd_job_t *job = &h->job;
    rcd_links_t *links;

    rcd_holders_path(h, name, from);
    rcd_holders_path(h, LINKS, to);
    links = rcd_links_open(from, 0, job->err, sizeof(job->err));
    if (links == NULL) {
        return -1;
    }
    if (rename(from, to) != 0) {
        snprintf(job->err, sizeof(job->err), "%s: %s", LINKS, strerror(errno));
        rcd_links_close(links);
        return -1;
    }
    (void) dir_sync(h);                   /* not on the disk yet: after a power cut the old are in force */
    h->fault[0] = '\0';
    rcd_links_close(job->before);
    job->before = rcd_reach_take(h->s, links);
    rcd_holders_rewind(job);
    job->phase = RCD_JOB_MARK;
    return 0;
}

/* The import as a record of the audit chain. */
cJSON *rcd_holders_record(const rcd_holders_t *h)
{
    const rcd_job_t *job = &h->job;
    cJSON *fields = cJSON_CreateObject();

    cJSON_AddStringToObject(fields, "how", rcd_links_how_names[job->head.how]);
    cJSON_AddStringToObject(fields, "user", job->head.user);
    rcd_holders_counts(fields, &job->head);
    cJSON_AddNumberToObject(fields, "serial", (double) job->head.serial);
    if (job->approved_by[0] != '\0') {
        cJSON_AddStringToObject(fields, "approved_by", job->approved_by);
    }
    return fields;
}

/* The outbox has every card that changed: told to the journal and the audit in one transaction. */
static int settle(rcd_holders_t *h)
{
    cJSON *fields = rcd_holders_record(h);

    if (rcd_store_begin(h->s, 1) < 0) {
        cJSON_Delete(fields);
        return -1;
    }
    if (rcd_audit(h->s, "holders", fields) < 0 ||
        rcd_relink_clear(h->s) < 0 ||
        rcd_reach_serial_save(h->s, rcd_reach_links(h->s)->head.serial) < 0 ||
        rcd_store_commit(h->s) < 0) {
        rcd_store_rollback(h->s);
        return -1;
    }
    return rcd_reach_serial_load(h->s);
}

/* ---- the steps ------------------------------------------------------------------------------- */

/* Everything is read: the new file is begun. */
static int merge_begin(rcd_holders_t *h)
{
    rcd_job_t *job = &h->job;

    job->head.counts.refused = job->refused;
    job->writer = rcd_links_writer_create(h->config->state_dir, NEW);
    if (job->writer == NULL) {
        snprintf(job->err, sizeof(job->err), "%s: %s", NEW, strerror(errno));
        return -1;
    }
    job->phase = RCD_JOB_MERGE;
    return 0;
}

static int seal(rcd_holders_t *h)
{
    rcd_job_t *job = &h->job;

    if (rcd_links_writer_seal(job->writer, &job->head) != 0) {
        snprintf(job->err, sizeof(job->err), "%s: %s", NEW, strerror(errno));
        return -1;
    }
    return 0;
}

/* The new file is whole. A few cards are no mass change; nor is anything while nobody is listed. */
static int index_done(rcd_holders_t *h)
{
    rcd_job_t *job = &h->job;
    char path[RCD_HOLDERS_PATH];

    if (seal(h) != 0) {
        return -1;
    }
    if (h->s->live == 0 ||
        (job->head.how != RCD_LINKS_FULL && rcd_sort_count(job->input) <= RCD_HOLDERS_FEW)) {
        return rcd_holders_switch(h, NEW);
    }
    rcd_holders_path(h, NEW, path);
    job->fresh = rcd_links_open(path, 0, job->err, sizeof(job->err));
    rcd_holders_rewind(job);
    job->phase = RCD_JOB_FILTER;
    return job->fresh != NULL ? 0 : -1;
}

static int is_mass_change(const rcd_holders_t *h)
{
    const rcd_links_counts_t *c = &h->job.head.counts;

    uint64_t changed = rcd_holders_changed(c);

    return c->listed_grown > 0 && changed > RCD_HOLDERS_FEW &&
           changed * 100 > c->listed * h->config->holders.max_change;
}

/* The new file waits; what it frees is freed by another one. */
static int hold(rcd_holders_t *h)
{
    char from[RCD_HOLDERS_PATH], to[RCD_HOLDERS_PATH];
    rcd_job_t *job = &h->job;

    /* the narrowed links come first, and have the serial before */
    job->head.serial++;
    if (seal(h) != 0) {
        return -1;
    }
    rcd_holders_path(h, NEW, from);
    rcd_holders_path(h, HELD, to);
    if (rename(from, to) != 0 || dir_sync(h) != 0) {
        snprintf(job->err, sizeof(job->err), "%s: %s", HELD, strerror(errno));
        return -1;
    }
    rcd_links_close(h->held);
    h->held = rcd_links_open(to, 0, job->err, sizeof(job->err));
    rcd_links_writer_destroy(job->writer);
    job->writer = NULL;
    if (h->held == NULL) {
        return -1;
    }
    job->head.serial--;
    job->head.how = RCD_LINKS_NARROWED;
    job->head.counts.cards = 0;
    rcd_holders_rewind(job);
    if (merge_begin(h) != 0) {
        return -1;
    }
    job->phase = RCD_JOB_NARROW;
    return 0;
}

static int weigh_done(rcd_holders_t *h)
{
    if (is_mass_change(h)) {
        return hold(h);
    }
    return seal(h) != 0 ? -1 : rcd_holders_switch(h, NEW);
}

static void say_what_came(const rcd_holders_t *h)
{
    const rcd_links_head_t *head = &h->job.head;
    const rcd_links_counts_t *c = &head->counts;
    uint64_t before = c->cards - c->added + c->returned;

    rcd_log(RCD_LOG_NOTICE, "holders: %s by %s: %llu cards, %llu added, %llu changed, %llu returned",
            rcd_links_how_names[head->how], head->user, (unsigned long long) c->cards,
            (unsigned long long) c->added, (unsigned long long) c->changed,
            (unsigned long long) c->returned);
    if (c->refused > 0 || c->doubt > 0 || c->two > 0) {
        rcd_log(RCD_LOG_WARN, "holders: %llu lines refused, %llu cards in doubt, %llu with two "
                "holders at once: these match nobody", (unsigned long long) c->refused,
                (unsigned long long) c->doubt, (unsigned long long) c->two);
    }
    if (c->returned > RCD_HOLDERS_FEW && c->returned * SHRINK_SHARE > before) {
        rcd_log(RCD_LOG_WARN, "holders: %llu of %llu cards were returned at once: is the export "
                "whole?", (unsigned long long) c->returned, (unsigned long long) before);
    }
}

/* Another import came into force than the one that waits. */
static void held_forget(rcd_holders_t *h)
{
    if (h->held != NULL) {
        rcd_log(RCD_LOG_WARN, "holders: the import that waited for approval is dropped: another "
                              "one came into force");
        rcd_holders_held_drop(h);
    }
}

static int relink_done(rcd_holders_t *h)
{
    held_forget(h);
    say_what_came(h);
    job_end(h, NULL);
    return 0;
}

/* Nothing is left to do: the end is told. */
static int mark_done(rcd_holders_t *h)
{
    rcd_job_t *job = &h->job;

    if (settle(h) != 0) {
        return -1;
    }
    if (job->head.how != RCD_LINKS_NARROWED) {
        held_forget(h);
    }
    if (h->held != NULL) {
        char hash[65];

        rcd_holders_hash(h->held->head.hash, hash);
        job->head.counts = h->held->head.counts;
        job->head.n = h->held->head.n;
        rcd_log(RCD_LOG_WARN, "holders: an import by %s changes %llu of %llu cards of listed "
                "holders and waits for rcctl approve --holders %s", h->held->head.user,
                (unsigned long long) rcd_holders_changed(&h->held->head.counts),
                (unsigned long long) h->held->head.counts.listed, hash);
    } else {
        say_what_came(h);
    }
    job_end(h, NULL);
    return 0;
}

/* What follows a phase that is done. 0 or -1. */
static int next_phase(rcd_holders_t *h)
{
    rcd_job_t *job = &h->job;

    switch (job->phase) {
    case RCD_JOB_READ:
        if (rcd_holders_few(h)) {
            job->phase = RCD_JOB_RELINK;
            return 0;
        }
        return merge_begin(h);
    case RCD_JOB_RELINK:
        return job->many ? merge_begin(h) : relink_done(h);
    case RCD_JOB_MERGE:
        job->phase = RCD_JOB_INDEX;
        return 0;
    case RCD_JOB_INDEX:
        return index_done(h);
    case RCD_JOB_FILTER:
        job->phase = RCD_JOB_WEIGH;
        return 0;
    case RCD_JOB_WEIGH:
        return weigh_done(h);
    case RCD_JOB_NARROW:
        job->phase = RCD_JOB_NARROW_INDEX;
        return 0;
    case RCD_JOB_NARROW_INDEX:
        return seal(h) != 0 ? -1 : rcd_holders_switch(h, NEW);
    case RCD_JOB_MARK:
        return mark_done(h);
    case RCD_JOB_IDLE:
        break;
    }
    return 0;
}

static int index_some(rcd_job_t *job, int64_t end_ns)
{
    int rc = rcd_links_writer_index(job->writer, end_ns);

    if (rc < 0) {
        snprintf(job->err, sizeof(job->err), "%s", strerror(errno));
    }
    return rc;
}

static int work(rcd_holders_t *h, int64_t end_ns)
{
    switch (h->job.phase) {
    case RCD_JOB_READ:
        return rcd_holders_read(h, end_ns);
    case RCD_JOB_RELINK:
        return rcd_holders_relink(h);
    case RCD_JOB_MERGE:
        return rcd_holders_merge(h, end_ns);
    case RCD_JOB_INDEX:
    case RCD_JOB_NARROW_INDEX:
        return index_some(&h->job, end_ns);
    case RCD_JOB_FILTER:
        return rcd_holders_filter(h, end_ns);
    case RCD_JOB_WEIGH:
        return rcd_holders_weigh(h, end_ns);
    case RCD_JOB_NARROW:
        return rcd_holders_narrow(h, end_ns);
    case RCD_JOB_MARK:
        return rcd_holders_mark(h, end_ns);
    case RCD_JOB_IDLE:
        break;
    }
    return 0;
}

/*
 * The links are in force and the journal cannot be written: begin again with what they change, after a
 * while. Nothing is lost meanwhile: while the journal does not know this serial, a new start refills.
 */
static void mark_again(rcd_holders_t *h, int64_t now_ns)
{
    if (h->job.retry_ns == 0) {
        rcd_log(RCD_LOG_ERROR, "holders: %s; trying again", h->s->fault);
    }
    rcd_holders_rewind(&h->job);
    h->job.retry_ns = now_ns + RETRY_NS;
}

int rcd_holders_step(rcd_holders_t *h)
{
    int64_t now_ns = rcd_slice_now();
    rcd_job_t *job = &h->job;
    char err[sizeof(job->err)];
    int rc;

    if (job->phase == RCD_JOB_IDLE || now_ns < job->retry_ns) {
        return 0;
    }
    rc = work(h, now_ns + STEP_NS);
    if (rc == 0) {
        rc = next_phase(h);
    }
    if (rc < 0 && job->phase == RCD_JOB_MARK) {
        mark_again(h, now_ns);
        return 0;
    }
    if (rc < 0) {
        snprintf(err, sizeof(err), "%s", job->err[0] != '\0' ? job->err : "failed");
        job_end(h, err);
    }
    return job->phase != RCD_JOB_IDLE;
}

int rcd_holders_busy(const rcd_holders_t *h)
{
    return h->job.phase != RCD_JOB_IDLE;
}

void rcd_holders_abort(rcd_holders_t *h, const char *why)
{
    if (rcd_holders_busy(h)) {
        job_end(h, why);
    }
}
