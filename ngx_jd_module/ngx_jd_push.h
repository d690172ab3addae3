
/*
 * ngx_jd_push.h - what the two halves of the ledger's push share: the walk over
 * the cells (ngx_jd_push.c) and the talk to Redis (ngx_jd_push_send.c).
 */

#ifndef _NGX_JD_PUSH_H_INCLUDED_
#define _NGX_JD_PUSH_H_INCLUDED_


#include "ngx_jd_link.h"
#include "ngx_jd_zone.h"


#define NGX_JD_PUSH_WHOLE_MS     60000    /* all of a period is pushed again */
#define NGX_JD_PUSH_FIELDS       200      /* of one command */
#define NGX_JD_PUSH_HEAD         8        /* arguments before the fields */
#define NGX_JD_PUSH_NONE         ((uint32_t) -1)


typedef enum {
    NGX_JD_PUSH_IDLE = 0,
    NGX_JD_PUSH_WALK,
    NGX_JD_PUSH_SEND,
    NGX_JD_PUSH_GATES
} ngx_jd_push_state_e;


typedef struct {
    uint32_t              period;
    uint32_t              first;          /* cell to be pushed */
    uint64_t              seen;           /* cells met by this walk */
    uint64_t              fields;         /* of a frozen one: with a total */
    uint64_t              sum;
    ngx_msec_t            whole_at;
    ngx_msec_t            asked_at;
    u_char                class;          /* jd_period_class_t */
    unsigned              whole:1;        /* all of it is due */
    unsigned              again:1;        /* ... when this round is over */
    unsigned              freezing:1;     /* closed before this walk began */
    unsigned              frozen:1;
    unsigned              closing:1;      /* ".closed" goes with the rest */
    unsigned              begun:1;        /* a command of this round is in */
    unsigned              seen_total:1;   /* Redis has to have the key */
    unsigned              done:1;         /* the office has it */
} ngx_jd_push_period_t;


struct ngx_jd_push_s {
    ngx_jd_list_t        *list;
    ngx_jd_link_t        *link;
    jd_cells_t           *cells;
    ngx_jd_push_state_e   state;
    ngx_event_t           timer;
    ngx_event_t           work;

    uint64_t             *pushed;         /* word of each cell in Redis */
    uint32_t             *next;           /* cell, of the period's list */
    uint64_t              walk;           /* the next cell */
    uint64_t              used;
    uint64_t              unpushed;

    ngx_jd_push_period_t *periods;
    ngx_uint_t            nperiods;
    ngx_uint_t            period;         /* being sent */

    uint64_t              lift_ms;        /* told to hash gates */
    uint64_t              lift_seq;
    ngx_msec_t            lift_at;

    /* the command under way */
    ngx_uint_t            n;
    uint32_t              cell[NGX_JD_PUSH_FIELDS];
    uint64_t              word[NGX_JD_PUSH_FIELDS];
    char                  field[NGX_JD_PUSH_FIELDS][JD_LEDGER_FIELD_MAX];
    char                  total[NGX_JD_PUSH_FIELDS][NGX_INT64_LEN + 1];
    const char           *argv[NGX_JD_PUSH_HEAD + 2 * NGX_JD_PUSH_FIELDS];
    size_t                argvlen[NGX_JD_PUSH_HEAD + 2 * NGX_JD_PUSH_FIELDS];
    char                  key[JD_LEDGER_NAME_MAX];
    char                  done_field[JD_LEDGER_PERIOD_MAX];
    char                  closed[2 * NGX_INT64_LEN + 2];
    unsigned              whole_script:1;
    unsigned              last_chunk:1;

    char                  name[JD_LIST_NAME_MAX + 1];
    char                  set_key[JD_REDIS_NAME_MAX];
    char                  done_key[JD_REDIS_NAME_MAX];
    char                  gates_key[JD_REDIS_NAME_MAX];
};


/* The next command, or, when all is in, on to the gates, and then IDLE. */
void ngx_jd_push_send(ngx_jd_push_t *p);


#endif /* _NGX_JD_PUSH_H_INCLUDED_ */
