/*
 * rcd_holders_watch - the links at the daemon's start, the configured file, approval, and what the
 * status tells of holders.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "rcd_holders_job.h"
#include "rcd_log.h"
#include "rcd_relink.h"

#define HASH_MIN     16                   /* digits of the hash that name an import well enough */
#define LINES_SHOWN  20                   /* refused lines in the status */

/* ---- start ----------------------------------------------------------------------------------- */

/* The links of the state directory, checked whole, in force. */
static void links_load(rcd_holders_t *h)
{
    char path[RCD_HOLDERS_PATH];
    rcd_links_t *links;

    rcd_holders_path(h, RCD_HOLDERS_LINKS, path);
    links = rcd_links_open(path, 1, h->fault, sizeof(h->fault));
    if (links == NULL && h->fault[0] == '\0' && rcd_reach_serial(h->s) != 0) {
        snprintf(h->fault, sizeof(h->fault), "the file of links is gone; import the holders again");
    }
    if (h->fault[0] != '\0') {
        rcd_log(RCD_LOG_ERROR, "holders: %s", h->fault);
    }
    rcd_links_close(rcd_reach_take(h->s, links));
}

/* What waits; damaged, it is dropped. */
static void held_load(rcd_holders_t *h)
{
    char path[RCD_HOLDERS_PATH], err[256];

    rcd_holders_path(h, RCD_HOLDERS_NEW, path);
    unlink(path);
    rcd_holders_path(h, RCD_HOLDERS_HELD, path);
    h->held = rcd_links_open(path, 1, err, sizeof(err));
    if (h->held == NULL && err[0] != '\0') {
        rcd_log(RCD_LOG_ERROR, "holders: what waited for approval is dropped: %s", err);
        unlink(path);
    }
}

/* Links whose effect is not known to have reached the outbox: Redis is filled anew. 0 or -1. */
static int refill(rcd_state_t *s, uint64_t serial)
{
    if (rcd_store_begin(s, 1) < 0) {
        return -1;
    }
    s->written.refill = 1;
    if (rcd_store_save_written(s) < 0 || rcd_relink_clear(s) < 0 ||
        rcd_reach_serial_save(s, serial) < 0 || rcd_store_commit(s) < 0) {
        rcd_store_rollback(s);
        return -1;
    }
    return rcd_reach_serial_load(s);
}

/* The configured file was imported last as this; zeros when it must be read again. */
static void tried_set(rcd_holders_t *h)
{
    const rcd_links_t *l = h->held != NULL ? h->held : rcd_reach_links(h->s);
    char under[RCD_UNDER_MAX];

    h->tried_mtime = 0;
    h->tried_size = h->tried_inode = 0;
    rcd_store_under_print(&h->config->rules, under);
    if (l != NULL && strcmp(l->head.under, under) == 0) {
        h->tried_mtime = l->head.source_mtime;
        h->tried_size = l->head.source_size;
        h->tried_inode = l->head.source_inode;
    }
}

rcd_holders_t *rcd_holders_create(const rcd_config_t *config, rcd_state_t *s)
{
    rcd_holders_t *h = calloc(1, sizeof(*h));
    const rcd_links_t *links;
    uint64_t serial;

    if (h == NULL) {
        return NULL;
    }
    h->config = config;
    h->s = s;
    h->job.fd = -1;
    links_load(h);
    held_load(h);
    links = rcd_reach_links(s);
    serial = links != NULL ? links->head.serial : 0;
    if (serial != rcd_reach_serial(s) && refill(s, serial) != 0) {
        rcd_log(RCD_LOG_ERROR, "holders: %s", s->fault);
        rcd_holders_destroy(h);
        return NULL;
    }
    tried_set(h);
    return h;
}

void rcd_holders_destroy(rcd_holders_t *h)
{
    if (h == NULL) {
        return;
    }
    rcd_holders_abort(h, "the daemon ends; try again");
    rcd_links_close(h->held);
    cJSON_Delete(h->lines);
    free(h);
}

void rcd_holders_rebind(rcd_holders_t *h, const rcd_config_t *config)
{
    const rcd_config_t *old = h->config;
    char was[RCD_UNDER_MAX], is[RCD_UNDER_MAX];

    /* its key goes with the old configuration; what is in force already is marked to the end */
    if (h->job.phase != RCD_JOB_MARK) {
        rcd_holders_abort(h, "the daemon reloads; try again");
    }
    rcd_store_under_print(&old->rules, was);
    rcd_store_under_print(&config->rules, is);
    h->config = config;
    if (strcmp(was, is) != 0) {
        tried_set(h);
    }
}

/* ---- approval -------------------------------------------------------------------------------- */

static const char *unfit(const rcd_holders_t *h, const char *hash)
{
    const rcd_links_t *links = rcd_reach_links(h->s);
    uint64_t serial = links != NULL ? links->head.serial : 0;
    char have[65], under[RCD_UNDER_MAX];

    if (rcd_holders_busy(h)) {
        return "an import of holders is at work; try again";
    }
    if (h->held == NULL) {
        return "no import of holders waits for approval";
    }
    rcd_holders_hash(h->held->head.hash, have);
    if (strlen(hash) < HASH_MIN || strncmp(have, hash, strlen(hash)) != 0) {
        return "another import waits; rcctl status tells its hash";
    }
    rcd_store_under_print(&h->config->rules, under);
    if (strcmp(h->held->head.under, under) != 0) {
        return "what waits was made under another key; import the holders again";
    }
    /* the narrowed links stand between what waits and those it was made upon */
    if (h->held->head.serial != serial + 1 && h->held->head.serial != serial + 2) {
        return "what waits was made upon other links; import the holders again";
    }
    return NULL;
}

int rcd_holders_approve(rcd_holders_t *h, const char *hash, const char *user,
                        rcd_holders_done_pt done, void *owner, char *err, size_t err_size)
{
    const char *why = unfit(h, hash);
    rcd_job_t *job = &h->job;

    if (why != NULL) {
        snprintf(err, err_size, "%s", why);
        return -1;
    }
    *job = (rcd_job_t){.fd = -1, .head = h->held->head, .done = done, .owner = owner};
    snprintf(job->approved_by, sizeof(job->approved_by), "%s", user);
    if (rcd_holders_switch(h, RCD_HOLDERS_HELD) != 0) {
        snprintf(err, err_size, "%s", job->err);
        rcd_holders_release(job);
        return -1;
    }
    rcd_links_close(h->held);
    h->held = NULL;
    rcd_log(RCD_LOG_NOTICE, "holders: the import that waited is approved by %s", user);
    return 0;
}

/* ---- the configured file --------------------------------------------------------------------- */

void rcd_holders_tick(rcd_holders_t *h)
{
    const char *file = h->config->holders.file;
    char err[sizeof(h->file_fault)];
    int64_t mtime;
    struct stat st;
    int fd;

    if (file == NULL || rcd_holders_busy(h)) {
        return;
    }
    fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        snprintf(h->file_fault, sizeof(h->file_fault), "%s",
                 fd < 0 ? strerror(errno) : "not a regular file");
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    mtime = st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec;
    if (mtime == h->tried_mtime && (uint64_t) st.st_size == h->tried_size &&
        st.st_ino == h->tried_inode) {
        close(fd);
        return;
    }
    /* not while it is being written: the same twice, a second apart */
    if (mtime != h->seen_mtime || (uint64_t) st.st_size != h->seen_size ||
        st.st_ino != h->seen_inode) {
        h->seen_mtime = mtime;
        h->seen_size = (uint64_t) st.st_size;
        h->seen_inode = st.st_ino;
        close(fd);
        return;
    }
    h->tried_mtime = mtime;
    h->tried_size = (uint64_t) st.st_size;
    h->tried_inode = st.st_ino;
    rcd_log(RCD_LOG_NOTICE, "holders: %s is read", file);
    if (rcd_holders_begin(h, RCD_LINKS_FULL, fd, "restrict-cached", NULL, NULL, err,
                          sizeof(err)) != 0) {
        snprintf(h->file_fault, sizeof(h->file_fault), "%s", err);
        return;
    }
    h->job.configured = 1;
    h->job.head.source_mtime = mtime;
    h->job.head.source_size = (uint64_t) st.st_size;
    h->job.head.source_inode = st.st_ino;
}

/* ---- status ---------------------------------------------------------------------------------- */

void rcd_holders_progress(const rcd_holders_t *h, uint64_t *done, uint64_t *total)
{
    const rcd_job_t *job = &h->job;
    const rcd_links_t *links = rcd_reach_links(h->s);
    uint64_t n = links != NULL ? links->head.n : 0, read = job->size > 0 ? job->size : 1;
    uint64_t given = job->input != NULL ? rcd_sort_count(job->input) : 0;

    /* reading is some half of the work; the rest in eighths */
    *total = 8 * read;
    switch (job->phase) {
    case RCD_JOB_IDLE:
        *done = *total;
        return;
    case RCD_JOB_READ:
        *done = 4 * (job->read < read ? job->read : read);
        return;
    case RCD_JOB_RELINK:
    case RCD_JOB_MERGE:
        *done = 4 * read + (given > 0 ? read * job->given / given : 0);
        return;
    case RCD_JOB_INDEX:
    case RCD_JOB_FILTER:
        *done = 5 * read;
        return;
    case RCD_JOB_WEIGH:
    case RCD_JOB_NARROW:
    case RCD_JOB_NARROW_INDEX:
        *done = 6 * read + (n > 0 ? read * job->walk.at / n : 0);
        return;
    case RCD_JOB_MARK:
        *done = 7 * read + (n > 0 ? read * job->at_new / n : 0);
        return;
    }
}

static void number(cJSON *o, const char *name, uint64_t value)
{
    cJSON_AddNumberToObject(o, name, (double) value);
}

/* What waits for approval, or null. */
static void waiting_add(const rcd_holders_t *h, cJSON *o)
{
    cJSON *w;

    if (h->held == NULL) {
        cJSON_AddNullToObject(o, "waiting");
        return;
    }
    w = cJSON_AddObjectToObject(o, "waiting");
    rcd_holders_counts(w, &h->held->head);
    cJSON_AddStringToObject(w, "user", h->held->head.user);
    number(w, "at", (uint64_t) h->held->head.at);
}

static void import_add(const rcd_holders_t *h, cJSON *o)
{
    uint64_t done, total;
    cJSON *lines;

    rcd_holders_progress(h, &done, &total);
    cJSON_AddBoolToObject(o, "importing", rcd_holders_busy(h));
    number(o, "done", rcd_holders_busy(h) ? done : 0);
    number(o, "total", rcd_holders_busy(h) ? total : 0);
    lines = cJSON_AddArrayToObject(o, "lines");
    for (int i = 0; i < LINES_SHOWN && i < cJSON_GetArraySize(h->lines); i++) {
        cJSON_AddItemToArray(lines, cJSON_Duplicate(cJSON_GetArrayItem(h->lines, i), 1));
    }
}

void rcd_holders_status(const rcd_holders_t *h, cJSON *root)
{
    const rcd_links_t *l = rcd_reach_links(h->s);
    cJSON *o = cJSON_AddObjectToObject(root, "holders");
    rcd_links_head_t head;
    rcd_note_counts_t counts = {0};
    const char *fault = h->fault;

    if (fault[0] == '\0' && l != NULL && rcd_reach_usable(h->s) == NULL) {
        fault = "the links were made under another key or other normalisers and are not used; "
                "import the holders again";
    }
    (void) rcd_note_counts(h->s, &counts);
    rcd_holders_head(h, &head);
    cJSON_AddStringToObject(o, "fault", fault);
    cJSON_AddStringToObject(o, "file_fault", h->file_fault);
    number(o, "links", head.n);
    number(o, "cards", head.counts.cards);
    number(o, "at", (uint64_t) head.at);
    cJSON_AddStringToObject(o, "how", l != NULL ? rcd_links_how_names[head.how] : "");
    cJSON_AddStringToObject(o, "user", head.user);
    number(o, "refused", head.counts.refused);
    number(o, "doubt", head.counts.doubt);
    number(o, "two", head.counts.two);
    number(o, "two_listed", counts.two_cards);
    number(o, "over_cards", counts.over_cards);
    number(o, "over_orders", counts.over_orders);
    import_add(h, o);
    waiting_add(h, o);
}
