
/*
 * ngx_http_jd.h - what the files of the HTTP gate share: configuration, the
 * record of a request's decisions, and the functions between the files.
 *
 *   ngx_http_jd_module.c     directives and their merging
 *   ngx_http_jd_place.c      the directive jd_subject
 *   ngx_http_jd_brake.c      the directive jd_brake
 *   ngx_http_jd_check.c      what nginx -t refuses, warns of and lists
 *   ngx_http_jd_gate.c       preaccess and log-phase handlers
 *   ngx_http_jd_decision.c   one decision, from the person to the count
 *   ngx_http_jd_counter.c    locations that tell their backend of a person
 *   ngx_http_jd_body.c       the request body, when a subject lies in it
 *   ngx_http_jd_subject.c    where the subject is in a request
 *   ngx_http_jd_variable.c   variables
 *   ngx_http_jd_header.c     the header JD-Status
 *   ngx_http_jd_answer.c     what a refused terminal is told
 *   ngx_http_jd_status.c     the handler of jd_status
 *   ngx_http_jd_status_json.c, ngx_http_jd_status_prometheus.c
 *                            its formats
 *   ngx_http_jd_parts.c      its parts that are more than one value
 */

#ifndef _NGX_HTTP_JD_H_INCLUDED_
#define _NGX_HTTP_JD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include "ngx_jd.h"
#include "../restrict-cache/core/jd_form.h"
#include "../restrict-cache/core/jd_json.h"
#include "../restrict-cache/core/jd_seal.h"


#define NGX_HTTP_JD_SUBJECTS_MAX   8      /* jd_subject lines of a location */

#define NGX_HTTP_JD_MALFORMED_PASS    0
#define NGX_HTTP_JD_MALFORMED_REJECT  1

#define NGX_HTTP_JD_ANSWER_PROBLEM    0
#define NGX_HTTP_JD_ANSWER_TEXT       1
#define NGX_HTTP_JD_ANSWER_OFF        2

#define NGX_HTTP_JD_STATUS_JSON       1
#define NGX_HTTP_JD_STATUS_PROMETHEUS 2

/* jd_loc_conf_t.body: what is looked for in the request body */
#define NGX_HTTP_JD_BODY_FORM      0x01
#define NGX_HTTP_JD_BODY_JSON      0x02


typedef struct {
    ngx_jd_list_t                *list;
    ngx_uint_t                    measure;       /* bit number */
} ngx_http_jd_gate_t;


typedef enum {
    NGX_HTTP_JD_HEADER = 0,
    NGX_HTTP_JD_ARG,
    NGX_HTTP_JD_COOKIE,
    NGX_HTTP_JD_FORM,
    NGX_HTTP_JD_JSON,
    NGX_HTTP_JD_VALUE
} ngx_http_jd_place_e;


typedef struct {
    jd_scheme_t                   scheme;
    ngx_http_jd_place_e           place;
    ngx_str_t                     text;          /* "header:X-Card-No" */
    ngx_str_t                     name;          /* header: in lower case */
    jd_json_pointer_t            *pointer;
    ngx_http_complex_value_t     *value;
} ngx_http_jd_subject_t;


typedef struct {
    ngx_array_t                  *gates;         /* NULL: off */
    ngx_jd_list_t                *counter;       /* NULL: none */
    ngx_array_t                  *subjects;
    ngx_array_t                  *exempt;        /* predicates */

    ngx_flag_t                    dry_run;
    ngx_uint_t                    malformed;
    ngx_uint_t                    deny_status;
    ngx_uint_t                    answer;
    ngx_uint_t                    log_level;
    size_t                        body_max;      /* 0: the body buffer */
    ngx_str_t                     desk_url;      /* jd_contest */
    ngx_str_t                     desk_phone;
    ngx_jd_brake_t               *brake;

    ngx_uint_t                    body;          /* NGX_HTTP_JD_BODY_* */
    ngx_uint_t                    status;        /* NGX_HTTP_JD_STATUS_* */

    u_char                       *file;          /* of jd_gate, jd_counter */
    ngx_uint_t                    line;
    u_char                       *brake_file;    /* of jd_brake, if any */
    ngx_uint_t                    brake_line;

    unsigned                      own:1;         /* jd_gate stands here */
    unsigned                      in_args:1;     /* a subject in arguments */
    unsigned                      unbuffered:1;  /* bodies are passed on as
                                                    they come */
} ngx_http_jd_loc_conf_t;


typedef struct {
    ngx_array_t                   locations;
                     /* of ngx_http_jd_location_t, all gated and counters */
    ngx_array_t                   brakes;
                                     /* of ngx_http_jd_brake_use_t */
} ngx_http_jd_main_conf_t;


/* the first location of a list and measure, with which the others agree */
typedef struct {
    ngx_jd_list_t                *list;
    ngx_uint_t                    measure;
    ngx_http_jd_loc_conf_t       *conf;
} ngx_http_jd_brake_use_t;


typedef struct {
    ngx_http_jd_loc_conf_t       *conf;
    void                        **loc_conf;
    void                        **srv_conf;
} ngx_http_jd_location_t;


/* what is known of a request's subjects before any list is asked */
typedef struct {
    jd_reason_t                   reason;        /* EXEMPT, NO_SUBJECT,
                                                    MALFORMED, UNREADY; CLEAR:
                                                    digests are known */
    ngx_uint_t                    schemes;       /* mask of known digests */
    u_char                        digest[JD_SCHEME_N][JD_DIGEST_LEN];
} ngx_http_jd_front_t;


typedef struct ngx_http_jd_counter_s   ngx_http_jd_counter_t;
typedef struct ngx_http_jd_decision_s  ngx_http_jd_decision_t;

struct ngx_http_jd_decision_s {
    ngx_http_jd_decision_t       *next;
    ngx_http_jd_gate_t           *gate;
    ngx_http_jd_loc_conf_t       *conf;
    ngx_http_jd_front_t           front;
    ngx_uint_t                    scheme;        /* next to be looked up */
    jd_reason_t                   reason;
    ngx_uint_t                    outcome;       /* NGX_JD_PASSED, ... */
    ngx_jd_verdict_t             *verdict;       /* NULL: Redis not asked */
    ngx_jd_verdict_t             *answer;        /* of the confirm under way */
    ngx_str_t                     id;            /* made at first use */
};


/*
 * The record of one request; its cleanup handler keeps it reachable when an
 * internal redirect has cleared the module contexts.
 */
typedef struct {
    ngx_http_jd_decision_t       *decisions;     /* finished ones */
    ngx_http_jd_decision_t       *shown;         /* of the variables */
    ngx_http_jd_decision_t        first;

    /* the way through one location's gates; conf is NULL when there is none */
    ngx_http_jd_loc_conf_t       *conf;
    ngx_http_jd_decision_t       *current;
    ngx_uint_t                    gate;
    jd_reason_t                   reason;
    ngx_str_t                     raw[NGX_HTTP_JD_SUBJECTS_MAX];
    ngx_uint_t                    raw_malformed; /* index of the line */

    ngx_http_jd_counter_t        *counter;       /* an inquiry under way */
    ngx_table_elt_t              *backend;       /* our JD-Status */

    ngx_str_t                     body;
    unsigned                      body_in_call:1;
    unsigned                      body_reading:1;
    unsigned                      body_read:1;

    unsigned                      used_first:1;
    unsigned                      waiting:1;
    unsigned                      denied:1;
} ngx_http_jd_ctx_t;


/* The record of the main request, or NULL when no gate was met. */
ngx_http_jd_ctx_t *ngx_http_jd_get_ctx(ngx_http_request_t *r);

ngx_int_t ngx_http_jd_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_jd_log_handler(ngx_http_request_t *r);

/*
 * Who the request is about: ctx->conf, ctx->raw and ctx->reason. NGX_OK, or
 * what the handler is to return: the body is being read.
 */
ngx_int_t ngx_http_jd_identify(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_loc_conf_t *jlcf);

/* The digests of that person, as this list makes them. */
void ngx_http_jd_front(ngx_http_jd_ctx_t *ctx, ngx_jd_list_t *list,
    ngx_http_jd_front_t *front);

/* Puts the request to sleep until ngx_http_jd_confirmed(r) is called. */
ngx_int_t ngx_http_jd_wait(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx);
void ngx_http_jd_confirmed(void *data);

/* The whole of a counter location, once its record is there. */
ngx_int_t ngx_http_jd_counter_handler(ngx_http_request_t *r,
    ngx_http_jd_ctx_t *ctx, ngx_http_jd_loc_conf_t *jlcf);

/* A decision of this gate about this request, its front filled; or NULL. */
ngx_http_jd_decision_t *ngx_http_jd_new_decision(ngx_http_request_t *r,
    ngx_http_jd_ctx_t *ctx, ngx_http_jd_gate_t *gate);

/* A finished decision about the same list, measure and person, or NULL. */
ngx_http_jd_decision_t *ngx_http_jd_find_decision(ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_decision_t *d);

/* From the reason to the outcome: counted, recorded, logged. */
void ngx_http_jd_finish(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_decision_t *d);

/*
 * Makes the body available in ctx->body. NGX_OK: it is there, perhaps empty;
 * NGX_DECLINED: it cannot be read one way, the subject is malformed;
 * NGX_AGAIN: being read, the phases run again when it is there; NGX_ERROR or
 * an HTTP status: to be returned.
 */
ngx_int_t ngx_http_jd_body(ngx_http_request_t *r, ngx_http_jd_ctx_t *ctx,
    ngx_http_jd_loc_conf_t *jlcf);

/*
 * What the body is, by its Content-Type or else by the configured places:
 * one of NGX_HTTP_JD_BODY_*, or 0 when backends may differ in reading it.
 */
ngx_uint_t ngx_http_jd_body_kind(ngx_http_request_t *r,
    ngx_http_jd_loc_conf_t *jlcf, ngx_str_t *body);

/*
 * The raw identifiers of a request, one per jd_subject line; those of absent
 * ones have no data. NGX_OK: at least one; NGX_DECLINED: none; NGX_ERROR:
 * malformed, *line is the index of the line at fault.
 */
ngx_int_t ngx_http_jd_subjects(ngx_http_request_t *r,
    ngx_http_jd_loc_conf_t *jlcf, ngx_str_t *body, ngx_str_t *raw,
    ngx_uint_t *line);

/*
 * The only header line of this name. NGX_DECLINED: none. NGX_ERROR: several,
 * or one that differs in "-" and "_" alone, which CGI-like backends merge.
 */
ngx_int_t ngx_http_jd_find_header(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value);

ngx_int_t ngx_http_jd_add_variables(ngx_conf_t *cf);

/* Takes every JD-Status that the client sent out of the request. */
ngx_int_t ngx_http_jd_remove_inbound(ngx_http_request_t *r);

/* JD-Status to the backend, and to the terminal. */
ngx_int_t ngx_http_jd_tell_backend(ngx_http_request_t *r,
    ngx_http_jd_ctx_t *ctx);
ngx_int_t ngx_http_jd_set_backend(ngx_http_request_t *r,
    ngx_http_jd_ctx_t *ctx, ngx_str_t *value);
ngx_int_t ngx_http_jd_tell_terminal(ngx_http_request_t *r,
    ngx_http_jd_decision_t *d);

/* What is told, by NGX_JD_PASSED, ...; the age of the list, -1: not known. */
extern ngx_str_t  ngx_http_jd_outcomes[NGX_JD_OUTCOMES];
time_t ngx_http_jd_age(ngx_http_jd_decision_t *d);

/*
 * The decision's id, a token that only the operator's staff can open, made at
 * first use. NGX_DECLINED: it names no order, so it has none; NGX_ERROR: no
 * memory or no random numbers.
 */
ngx_int_t ngx_http_jd_decision_id(ngx_http_request_t *r,
    ngx_http_jd_decision_t *d, ngx_str_t *id);

/*
 * Answers a refused request: NGX_DONE when the answer is sent and the request
 * finalized, or the HTTP status to be returned (jd_answer off).
 */
ngx_int_t ngx_http_jd_answer(ngx_http_request_t *r,
    ngx_http_jd_loc_conf_t *jlcf, ngx_http_jd_decision_t *d);

ngx_int_t ngx_http_jd_status_handler(ngx_http_request_t *r);

/* n / divisor, 1, 1000 or 1000000. */
u_char *ngx_http_jd_number(u_char *p, int64_t n, ngx_uint_t divisor);

/* At most this long, all of them, for one list. */
#define NGX_HTTP_JD_STATUS_PARTS                                              \
    (JD_MEASURE_N * 512 + NGX_JD_LIFT_N * (NGX_JD_LIFT_BUCKETS + 4) * 160)

/* Members of the list's object: "brakes":[...], "lifts":{...}. */
u_char *ngx_http_jd_status_json_brakes(u_char *p, ngx_jd_list_t *list);
u_char *ngx_http_jd_status_json_lifts(u_char *p, ngx_jd_list_t *list);

/* Samples of jd_braked, or jd_brakes_total; those of jd_lift_seconds. */
u_char *ngx_http_jd_status_braked(u_char *p, ngx_jd_list_t *list,
    ngx_uint_t total);
u_char *ngx_http_jd_status_lifts(u_char *p, ngx_jd_list_t *list);

char *ngx_http_jd_subject(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_jd_brake(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* jd_brake of a location against that of all others; sets it in the lists. */
ngx_int_t ngx_http_jd_check_brake(ngx_conf_t *cf,
    ngx_http_jd_main_conf_t *jmcf, ngx_http_jd_loc_conf_t *conf,
    ngx_str_t *where);
char *ngx_http_jd_counter(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* The list of this name, told of before or later; NULL after saying why. */
ngx_jd_list_t *ngx_http_jd_list_arg(ngx_conf_t *cf, char *directive,
    ngx_str_t *name);

/* Keeps file and line of the directive being read, for what is said later. */
void ngx_http_jd_stands(ngx_conf_t *cf, ngx_http_jd_loc_conf_t *jlcf);

ngx_int_t ngx_http_jd_check(ngx_conf_t *cf, ngx_http_jd_main_conf_t *jmcf);


extern ngx_module_t  ngx_http_jd_module;


#endif /* _NGX_HTTP_JD_H_INCLUDED_ */
