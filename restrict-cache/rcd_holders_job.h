/*
 * rcd_holders_job - an import of holders at work: what rcd_holders*.c share.
 */
#ifndef RCD_HOLDERS_JOB_H
#define RCD_HOLDERS_JOB_H

#include <limits.h>
#include <openssl/evp.h>
#include "rcd_group.h"
#include "rcd_holders.h"
#include "rcd_holders_line.h"
#include "rcd_reach.h"
#include "rcd_sort.h"

#define RCD_HOLDERS_BUFFER  8192     /* read at once: some 100 lines */
#define RCD_HOLDERS_PATH    (PATH_MAX + 16)
#define RCD_HOLDERS_LINKS   "links"       /* in force */
#define RCD_HOLDERS_NEW     "links.new"   /* while it is written */
#define RCD_HOLDERS_HELD    "links.held"  /* waits for approval */
#define RCD_HOLDERS_FEW     20            /* so few cards changed are never a mass change */

typedef enum {
    RCD_JOB_IDLE,
    RCD_JOB_READ,                         /* lines to sorted statements */
    RCD_JOB_RELINK,                       /* few: beside the file, at once */
    RCD_JOB_MERGE,                        /* statements and links in force to new links */
    RCD_JOB_INDEX,
    RCD_JOB_FILTER,                       /* which holders are listed */
    RCD_JOB_WEIGH,                        /* how many listed cards change */
    RCD_JOB_NARROW,                       /* it waits: what it frees is freed */
    RCD_JOB_NARROW_INDEX,
    RCD_JOB_MARK                          /* in force: changed cards to the outbox */
} rcd_job_phase_t;

typedef struct {
    rcd_job_phase_t      phase;
    rcd_holders_done_pt  done;
    void                *owner;
    rcd_links_head_t     head;            /* of the file to be */
    char                 approved_by[RCD_LINKS_USER_MAX + 1];
    int64_t              retry_ns;        /* MARK: not before */
    char                 err[256];

    /* READ */
    int                  fd;              /* -1 = none */
    int                  configured;      /* the file is the configured one: it must not change meanwhile */
    uint64_t             size, read;      /* bytes of the file */
    EVP_MD_CTX          *md;
    rcd_holders_reader_t reader;
    char                 buf[RCD_HOLDERS_BUFFER];
    char                 line[RCD_HOLDERS_LINE_MAX + 1];
    size_t               line_len;
    int                  long_line;       /* the line at work is longer than `line` */
    uint64_t             lines;           /* number of the line at work, from 0 */
    uint64_t             good, refused, lost;
    cJSON               *named;           /* refused lines: [[number, why], ...] */

    /* RELINK */
    uint8_t             *few;             /* statements, as they were sorted */
    unsigned             n_few;
    int                  many;            /* they change too many cards: through the file */

    /* MERGE, WEIGH, NARROW, MARK */
    rcd_sort_t          *input;
    int                  has_input;       /* `next` is set */
    uint8_t              next[RCD_LINKS_ENTRY];
    uint64_t             given;
    rcd_links_writer_t  *writer;
    rcd_links_t         *fresh;           /* the new file */
    rcd_links_t         *before;          /* MARK: links in force until now */
    rcd_reach_walk_t     walk;            /* MERGE, WEIGH, NARROW: over the links in force */
    const rcd_links_t   *mark_from;       /* MARK: `before`, when it is of the same key */
    uint64_t             at_old, at_new;  /* entries of `before` and of the new file */
    uint64_t             narrowed;        /* cards that what waits frees */
    /* FILTER: one bit for each live order's subject, by its first bytes */
    uint8_t             *filter;
    uint64_t             filter_mask;
    int                  filter_any;
    uint8_t              filter_at[JD_DIGEST_LEN];
} rcd_job_t;

struct rcd_holders_s {
    const rcd_config_t *config;
    rcd_state_t        *s;
    rcd_job_t           job;
    rcd_links_t        *held;             /* the import that waits for approval; NULL = none */
    char                fault[256];       /* why the links are not used, "" = all is well */
    char                file_fault[256];  /* of the configured file */
    /* the configured file as last tried, and as last seen */
    int64_t             tried_mtime, seen_mtime;
    uint64_t            tried_size, seen_size, tried_inode, seen_inode;
    cJSON              *lines;            /* refused lines of the last import */
};

/* ---- rcd_holders.c */
void rcd_holders_path(const rcd_holders_t *h, const char *name, char path[RCD_HOLDERS_PATH]);
void rcd_holders_hash(const uint8_t hash[32], char out[65]);
uint64_t rcd_holders_changed(const rcd_links_counts_t *c);
void rcd_holders_counts(cJSON *o, const rcd_links_head_t *head);
/* The import as a record of the audit chain. */
cJSON *rcd_holders_record(const rcd_holders_t *h);
void rcd_holders_rewind(rcd_job_t *job);
void rcd_holders_release(rcd_job_t *job);
void rcd_holders_held_drop(rcd_holders_t *h);
/* File `name` comes into force by a rename, and marking begins. 0, or -1 with job->err: then nothing
 * has changed. */
int rcd_holders_switch(rcd_holders_t *h, const char *name);
/* Gives up the job at work, and tells its owner. */
void rcd_holders_abort(rcd_holders_t *h, const char *why);

/* ---- rcd_holders_read.c: 1 more to do, 0 done, -1 with job->err */
int rcd_holders_read(rcd_holders_t *h, int64_t end_ns);

/* ---- rcd_holders_relink.c */
/* 1 when what was read is so little that it may act beside the file. */
int rcd_holders_few(const rcd_holders_t *h);
/* Puts it in force in one transaction, or tells that it is too much (job->many). 0, or -1 with
 * job->err. */
int rcd_holders_relink(rcd_holders_t *h);
/* The links in force as a whole, the file with what changed since. */
void rcd_holders_head(const rcd_holders_t *h, rcd_links_head_t *head);

/* ---- rcd_holders_pass.c: 1 more to do, 0 done, -1 with job->err */
/* 1 when a holder of one of the card's own links is under an order, 0, or -1. */
int rcd_holders_any_listed(rcd_state_t *s, const rcd_group_t *g);
int rcd_holders_merge(rcd_holders_t *h, int64_t end_ns);
int rcd_holders_filter(rcd_holders_t *h, int64_t end_ns);
int rcd_holders_weigh(rcd_holders_t *h, int64_t end_ns);
int rcd_holders_narrow(rcd_holders_t *h, int64_t end_ns);
int rcd_holders_mark(rcd_holders_t *h, int64_t end_ns);

#endif
