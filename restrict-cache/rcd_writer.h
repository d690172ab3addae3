/*
 * rcd_writer - what the parts of the writer to Redis share: rcd_redis.c and rcd_writer_*.c alone.
 */
#ifndef RCD_WRITER_H
#define RCD_WRITER_H

#include "core/jd_backoff.h"
#include "rcd_fill.h"
#include "rcd_link.h"
#include "rcd_store.h"

/* between two looks at another writer's beat, or at an outbox that was empty */
#define RCD_WRITER_LOOK_MS       250
#define RCD_WRITER_RELIEF_BATCH  200   /* numbers in one script */

typedef enum { W_DOWN, W_CHECK, W_STANDBY, W_RELIEF, W_BEHIND, W_FILL, W_READY } phase_t;

/* relief that the journal could not take; kept until the process ends */
typedef struct {
    char        number[JD_ORDER_NUMBER_MAX + 1];
    jd_relief_t relief;
    int         sent;
} urgent_t;

typedef struct {                       /* a place among the fields of stays */
    uint8_t field[JD_HOLDER_LEN];
    int     any;                       /* 0: before the first */
} rcd_stay_cursor_t;

/* Looking through hashes stays and relief for what the journal does not know. */
typedef struct {
    char     cursor[24];               /* HSCAN's */
    int      of_order;                 /* in relief, else in stays */
    unsigned rounds;                   /* through both since the phase began */
    int64_t  due_ms;
} adopt_t;

typedef struct {                       /* meta as last read */
    jd_meta_rc_t rc;
    jd_meta_t    m;
    char         writer[33];
    char         journal[33];
    char         beat[24];
} seen_t;

struct rcd_redis_s {
    rcd_state_t       *s;
    const rcd_rules_t *rules;
    char               list[JD_LIST_NAME_MAX + 1];
    uint32_t           expected;
    rcd_link_t         link;
    rcd_fill_t         fill;
    char               relief[JD_REDIS_NAME_MAX];
    char               stays[JD_REDIS_NAME_MAX];
    char               lifts[JD_REDIS_NAME_MAX];
    char               gates[JD_REDIS_NAME_MAX];
    phase_t            phase;
    jd_backoff_t       backoff;
    int64_t            retry_at_ms;
    int64_t            beat_at_ms;     /* last beat written */
    seen_t             seen;
    char               watched[33];    /* another writer */
    char               watched_beat[24];
    int64_t            watched_ms;     /* when its beat last moved; 0 = not watching */
    int                claimed_once;
    char               cursor[JD_ORDER_NUMBER_MAX + 1];    /* W_RELIEF: last number written, */
    rcd_stay_cursor_t  stay_cursor;    /* and before them the last stay; */
    int                stays_done;     /* 1: all stays are */
    adopt_t            adopt;
    int64_t            gates_due_ms;
    rcd_era_t          era;            /* current, or to come while W_FILL */
    int                filling;        /* W_FILL has begun */
    char               sweep[24];      /* SCAN cursor; "" = nothing to sweep */
    urgent_t          *urgent;
    unsigned           n_urgent, size_urgent;
    char               warning[80];
    char               fault[160];
    int64_t            published;      /* contact that meta tells of, */
    uint64_t           published_relief;   /* and relief mark */
    uint64_t           refills;
    int64_t            last_ok;
};

/* ---- rcd_redis.c */

int64_t rcd_writer_now_ms(void);       /* CLOCK_MONOTONIC */
/* The fault that stands, "" = none; logged when it changes. */
void rcd_writer_say(rcd_redis_t *r, const char *text);
void rcd_writer_go(rcd_redis_t *r, phase_t phase);
/* What a failed call means: reconnect later, or look again. */
void rcd_writer_failed(rcd_redis_t *r);
/* The journal cannot be read or written: Redis keeps what it has. */
void rcd_writer_journal_failed(rcd_redis_t *r);
/* A slice of the cards of holders with many: 1 more to do, 0, -1 the journal failed. */
int rcd_writer_expand(rcd_redis_t *r);
void rcd_writer_number(char out[24], uint64_t v);
/* The connection, for what has time: NULL unless all that Redis is owed was written. A call on it
 * that fails is found by the writer's next step. */
rcd_link_t *rcd_writer_link(rcd_redis_t *r);

/* ---- rcd_writer_look.c */

/* 0 when the key is of type `want` or absent; -1 with the link's rc and fault, which names the
 * key. */
int rcd_writer_type(rcd_redis_t *r, const char *key, const char *want);
/* Reads the settings that matter into r->warning. */
void rcd_writer_settings(rcd_redis_t *r);
/* Looks at what is there and becomes the writer, or stands by. */
void rcd_writer_check(rcd_redis_t *r);

/* ---- rcd_writer_relief.c */

/* Writes up to RCD_WRITER_RELIEF_BATCH numbers after `cursor`, which is moved, and marks them as
 * sent. Their number, or -1 with the fault handled. */
int rcd_writer_relief_batch(rcd_redis_t *r, char *cursor, int pending_only);
/* Writes all that came since the last step. 0, or -1 with the fault handled. */
int rcd_writer_new_relief(rcd_redis_t *r);

/* Relief as Redis holds it, with word h behind the operator's objection; its length. */
#define RCD_RELIEF_TEXT_MAX  (JD_RELIEF_TEXT_MAX + 2)
size_t rcd_writer_relief_print(const rcd_relief_row_t *r, char out[RCD_RELIEF_TEXT_MAX]);

/* ---- rcd_writer_stay.c */

/* Writes stays of persons after the cursor, which is moved, and marks them as sent: their number, or
 * -1 with the fault handled. */
int rcd_writer_stay_batch(rcd_redis_t *r, rcd_stay_cursor_t *cursor, int pending_only);
/* Takes a slice of what Redis holds into the journal, where that does not know it. 0 or -1. */
int rcd_writer_adopt(rcd_redis_t *r);

/* ---- rcd_writer_gates.c */

/* Reads how far the gateways have seen the lifts. 0 or -1. */
int rcd_writer_gates(rcd_redis_t *r);

/* ---- rcd_writer_era.c */

/* A step of filling a new era, the switch to it included. Milliseconds until the next one. */
int rcd_writer_fill(rcd_redis_t *r, int64_t now, int64_t office_now);
/* Removes keys of other eras, one SCAN at a time: 0 done, 1 more to do, -1 with the fault
 * handled. */
int rcd_writer_sweep(rcd_redis_t *r);

#endif
