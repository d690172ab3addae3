/*
 * rcctl_check - what the gate would decide now: same normaliser, same digest, same script, same
 * policy.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/jd_measure.h"
#include "core/jd_policy.h"
#include "core/jd_subject.h"
#include "rcctl_redis.h"
#include "rcctl_spool.h"
#include "rcd_clock.h"

#define MAX_STALE_DEFAULT  "3600"     /* of the gate's max_stale */

/* What a reason means to the operator. */
static const char *const meaning[JD_REASON_N] = {
    [JD_REASON_NO_SUBJECT] = "the identifier is empty",
    [JD_REASON_MALFORMED] = "the identifier cannot be read in one way only",
    [JD_REASON_CLEAR] = "not an identifier of this scheme, so no order can name it",
    [JD_REASON_UNREADY] = "the list in Redis is not fit for this gate",
    [JD_REASON_STALE] = "no contact with the office within max_stale: nothing is enforced",
    [JD_REASON_UNCONFIRMED] = "Redis holds a record that cannot be trusted: nothing is enforced",
    [JD_REASON_NOT_LISTED] = "no active order",
    [JD_REASON_OTHER_MEASURE] = "active orders, none of them for this measure",
    [JD_REASON_CLOCK] = "this machine's clock and the office's disagree: nothing is enforced",
    [JD_REASON_LIFTED] = "the order is lifted for this measure",
    [JD_REASON_STAYED] = "the order, or every order of this person, is stayed by the operator",
    [JD_REASON_OBSERVE] = "the order is observe-only or under objection",
    [JD_REASON_LISTED] = "an order in force names this measure",
};

/* What one order alone makes of the request. */
static const struct {
    const char *word, *text;
} weight[JD_REASON_N] = {
    [JD_REASON_NOT_LISTED] = {"not_in_force", "not in force now"},
    [JD_REASON_OTHER_MEASURE] = {"other_measure", "in force, for other measures"},
    [JD_REASON_LIFTED] = {"lifted", "lifted"},
    [JD_REASON_STAYED] = {"stayed", "stayed by the operator"},
    [JD_REASON_OBSERVE] = {"observe", "observed, not enforced"},
    [JD_REASON_LISTED] = {"listed", "in force"},
};

typedef struct {
    int          measure;
    jd_scheme_t  scheme;
    const char  *list;
    jd_clocks_t  clocks;
    jd_reason_t  reason;
    char         why[200];           /* detail of UNREADY and UNCONFIRMED */
    jd_order_t   orders[JD_ORDERS_MAX];
    jd_relief_t  relief[JD_ORDERS_MAX];
    jd_grounds_t grounds[JD_ORDERS_MAX];
    int          has_grounds[JD_ORDERS_MAX];
    unsigned     n;
    uint16_t     observed;           /* measures of orders that are only observed */
    int          which;
} check_t;

/* The first line of `file` (NULL: standard input), without its end. Returns its length, or -1. */
static ssize_t read_identifier(const char *file, uint8_t raw[JD_SUBJECT_RAW_MAX + 1])
{
    FILE *f = file ? fopen(file, "re") : stdin;
    size_t n = 0;
    int c;

    if (f == NULL) {
        rcctl_error("%s: %s", file, strerror(errno));
        return -1;
    }
    if (file == NULL && isatty(STDIN_FILENO)) {
        fputs("identifier: ", stderr);
    }
    while ((c = getc(f)) != EOF && c != '\n' && n <= JD_SUBJECT_RAW_MAX) {
        raw[n++] = (uint8_t) c;
    }
    if (file != NULL) {
        fclose(f);
    }
    return (ssize_t) n;
}

/*
 * The digest under the key and normalisers that the list in Redis was made with. 0, or -1 with
 * check->reason.
 */
static int make_digest(check_t *check, const rcctl_t *r, const jd_meta_t *m, const uint8_t *raw,
                       size_t raw_len, uint8_t digest[JD_DIGEST_LEN], const jd_key_t **key)
{
    static const jd_reason_t reason_of[] = {
        [JD_SUBJECT_EMPTY] = JD_REASON_NO_SUBJECT,
        [JD_SUBJECT_OTHER] = JD_REASON_CLEAR,
        [JD_SUBJECT_MALFORMED] = JD_REASON_MALFORMED,
    };
    uint8_t norm[JD_SUBJECT_MAX];
    jd_subject_rc_t rc;
    size_t len;

    *key = jd_keys_find(&r->config->keys, m->key_id, strlen(m->key_id), m->key_check,
                        strlen(m->key_check));
    if (*key == NULL) {
        check->reason = JD_REASON_UNREADY;
        snprintf(check->why, sizeof(check->why),
                 "it was made under key %s, which %s does not hold with this content", m->key_id,
                 r->config->key_file);
        return -1;
    }
    rc = jd_subject_normalise(check->scheme, &m->norm, raw, raw_len, norm, &len);
    if (rc != JD_SUBJECT_OK) {
        check->reason = reason_of[rc];
        return -1;
    }
    jd_digest(*key, check->scheme, norm, len, digest);
    explicit_bzero(norm, sizeof(norm));
    return 0;
}

static void take_relief(check_t *check, unsigned i, const redisReply *v)
{
    if (v->type == REDIS_REPLY_STRING &&
        jd_relief_parse(&check->relief[i], v->str, v->len) != 0) {
        check->reason = JD_REASON_UNCONFIRMED;
        snprintf(check->why, sizeof(check->why), "the relief of an order is not of its form");
    }
}

/* The stay of the person, then of each order's holder: they count as if each order were stayed. */
static void take_stays(check_t *check, const redisReply *v)
{
    int64_t person = 0;

    for (unsigned i = 0; i < v->elements; i++) {
        const redisReply *text = v->element[i];
        int64_t stay = 0;

        if (text->type == REDIS_REPLY_STRING && jd_stay_parse(&stay, text->str, text->len) != 0) {
            check->reason = JD_REASON_UNCONFIRMED;
            snprintf(check->why, sizeof(check->why), "a stay is not of its form");
        }
        if (i == 0) {
            person = stay;
            continue;
        }
        stay = stay > person ? stay : person;
        if (check->relief[i - 1].stay < stay) {
            check->relief[i - 1].stay = stay;
        }
    }
}

static void take_grounds(check_t *check, unsigned i, const jd_key_t *key, const redisReply *v)
{
    check->has_grounds[i] =
        v->type == REDIS_REPLY_STRING &&
        jd_grounds_decode(key, check->orders[i].grounds, (const uint8_t *) v->str, v->len,
                             &check->grounds[i]) == JD_RECORD_OK;
}

/* Reads [meta, record, relief, grounds, stays]; what it decodes points into the reply. */
static void take_reply(check_t *check, const redisReply *reply, const jd_key_t *key,
                       const uint8_t digest[JD_DIGEST_LEN], const jd_meta_t *m)
{
    static const char *const faults[] = {
        [JD_RECORD_BAD] = "the record is not of its form",
        [JD_RECORD_FORGED] = "the record's MAC is wrong: another digest, era or key, or changed",
        [JD_RECORD_TOO_LONG] = "the record is too long",
    };
    const redisReply *record, *relief, *grounds, *stays;
    jd_record_rc_t rc;

    check->reason = JD_REASON_UNCONFIRMED;
    if (reply->elements != 5) {
        snprintf(check->why, sizeof(check->why), "the confirm script gave an unexpected reply");
        return;
    }
    record = reply->element[1];
    relief = reply->element[2];
    grounds = reply->element[3];
    stays = reply->element[4];
    check->reason = JD_REASON_NOT_LISTED;
    if (record->type != REDIS_REPLY_STRING) {
        return;
    }
    rc = jd_record_decode(key, digest, m->era, (const uint8_t *) record->str, record->len,
                          &check->observed, check->orders, &check->n);
    if (rc != JD_RECORD_OK || relief->elements != check->n || grounds->elements != check->n ||
        stays->elements != (check->n > 0 ? check->n + 1 : 0)) {
        check->reason = JD_REASON_UNCONFIRMED;
        check->n = 0;
        check->observed = 0;
        snprintf(check->why, sizeof(check->why), "%s",
                 rc != JD_RECORD_OK ? faults[rc] : "the confirm script gave an unexpected reply");
        return;
    }
    for (unsigned i = 0; i < check->n; i++) {
        take_relief(check, i, relief->element[i]);
        take_grounds(check, i, key, grounds->element[i]);
    }
    take_stays(check, stays);
}

/*
 * Runs the confirm script. NULL with one line; freeReplyObject() ends it, after what points into
 * it.
 */
static redisReply *confirm(redisContext *c, const char *list, const uint8_t digest[JD_DIGEST_LEN],
                           jd_meta_t *m, char *err, size_t err_size)
{
    char meta[JD_REDIS_NAME_MAX], relief[JD_REDIS_NAME_MAX], grounds[JD_REDIS_NAME_MAX];
    char stays[JD_REDIS_NAME_MAX], prefix[JD_REDIS_NAME_MAX];
    redisReply *reply;

    jd_redis_meta(meta, list);
    jd_redis_relief(relief, list);
    jd_redis_grounds(grounds, list);
    jd_redis_stays(stays, list);
    jd_redis_prefix(prefix, list);
    reply = rcctl_redis_reply(c, redisCommand(c, "EVAL_RO %s 4 %s %s %s %s %s %b",
                                              jd_confirm_script, meta, relief, grounds, stays,
                                              prefix, digest, (size_t) JD_DIGEST_LEN),
                              err, err_size);
    if (reply == NULL) {
        return NULL;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 1) {
        snprintf(err, err_size, "the confirm script gave an unexpected reply");
    } else if (rcctl_redis_meta_reply(reply->element[0], m, err, err_size) == JD_META_OK) {
        return reply;
    }
    freeReplyObject(reply);
    return NULL;
}

static void fill(check_t *check, unsigned i, rcctl_order_t *o, char number[JD_ORDER_NUMBER_MAX + 1])
{
    const jd_order_t *from = &check->orders[i];
    jd_reason_t alone;
    int which;

    alone = jd_policy_decide(&check->clocks, (unsigned) check->measure, from, &check->relief[i], 1,
                             0, &which);
    memcpy(number, from->number, from->number_len);
    number[from->number_len] = '\0';
    *o = (rcctl_order_t){
        .number = number,
        .measures = from->measures,
        .flags = from->flags,
        .start = from->from,
        .until = from->until,
        .link_from = from->link_from,
        .link_until = from->link_until,
        .deadline_day = from->deadline_day,
        .relief = &check->relief[i],
        .grounds = check->has_grounds[i] ? &check->grounds[i] : NULL,
        .state = weight[alone].word ? weight[alone].word : jd_reason_names[alone],
        .state_text = (int) i == check->which ? "decides"
                      : weight[alone].text    ? weight[alone].text
                                              : "not weighed",
    };
}

static void print_json(check_t *check)
{
    cJSON *j = cJSON_CreateObject(), *list;
    char number[JD_ORDER_NUMBER_MAX + 1];
    rcctl_order_t o;

    cJSON_AddStringToObject(j, "list", check->list);
    cJSON_AddStringToObject(j, "measure", jd_measure_names[check->measure]);
    cJSON_AddStringToObject(j, "scheme", jd_scheme_names[check->scheme]);
    cJSON_AddStringToObject(j, "decision", check->reason == JD_REASON_LISTED ? "deny" : "pass");
    cJSON_AddStringToObject(j, "reason", jd_reason_names[check->reason]);
    cJSON_AddStringToObject(j, "why", check->why[0] ? check->why : meaning[check->reason]);
    cJSON_AddNumberToObject(j, "list_age_sec", (double) jd_policy_age(&check->clocks));
    list = cJSON_AddArrayToObject(j, "observed");
    for (int bit = 0; bit < JD_MEASURE_N; bit++) {
        if (check->observed & 1u << bit) {
            cJSON_AddItemToArray(list, cJSON_CreateString(jd_measure_names[bit]));
        }
    }
    list = cJSON_AddArrayToObject(j, "orders");
    for (unsigned i = 0; i < check->n; i++) {
        cJSON *item;

        fill(check, i, &o, number);
        item = rcctl_order_json(&o);
        cJSON_AddBoolToObject(item, "decides", (int) i == check->which);
        cJSON_AddItemToArray(list, item);
    }
    rcctl_json(j);
}

static void print_text(check_t *check)
{
    char number[JD_ORDER_NUMBER_MAX + 1], names[128];
    rcctl_order_t o;

    printf("%s: would %s (%s)\n  %s", jd_measure_names[check->measure],
           check->reason == JD_REASON_LISTED ? "be denied" : "pass", jd_reason_names[check->reason],
           meaning[check->reason]);
    if (check->why[0]) {
        printf(": %s", check->why);
    }
    putchar('\n');
    if (check->clocks.verified_at > 0) {
        printf("  the list was true %s ago\n", rcctl_span(jd_policy_age(&check->clocks)));
    }
    for (unsigned i = 0; i < check->n; i++) {
        fill(check, i, &o, number);
        rcctl_order_print(&o);
    }
    if (check->observed) {
        jd_measure_mask_print(check->observed, names);
        printf("  observed, not enforced: %s\n", names);
    }
}

/*
 * From raw identifier to check->reason. Returns the reply that orders point into (NULL: none
 * needed); *failed when Redis did not answer.
 */
static redisReply *look_up(check_t *check, const rcctl_t *r, redisContext *c, const uint8_t *raw,
                           size_t raw_len, int *failed)
{
    uint8_t digest[JD_DIGEST_LEN];
    const jd_key_t *key;
    redisReply *reply;
    jd_meta_t m, again;
    char era_key[17];
    int rc;

    rc = rcctl_redis_meta(c, check->list, &m, check->why, sizeof(check->why));
    *failed = rc < 0;
    if (rc != JD_META_OK) {
        check->reason = JD_REASON_UNREADY;
        return NULL;
    }
    check->clocks.verified_at = m.verified_at;
    check->clocks.office_now = m.office_at
                               + (check->clocks.now > m.beat ? check->clocks.now - m.beat : 0);
    memcpy(era_key, m.key_check, sizeof(era_key));
    if (make_digest(check, r, &m, raw, raw_len, digest, &key) != 0) {
        return NULL;
    }
    reply = confirm(c, check->list, digest, &again, check->why, sizeof(check->why));
    if (reply == NULL) {
        *failed = 1;
        return NULL;
    }
    if (strcmp(era_key, again.key_check) != 0) {
        check->reason = JD_REASON_UNCONFIRMED;
        snprintf(check->why, sizeof(check->why), "the list changed its key just now; try again");
        return reply;
    }
    take_reply(check, reply, key, digest, &again);
    if (check->reason == JD_REASON_NOT_LISTED) {
        check->reason = jd_policy_decide(&check->clocks, (unsigned) check->measure, check->orders,
                                         check->relief, check->n, check->observed,
                                         &check->which);
    }
    return reply;
}

/*
 * Options into `check`; the path of the identifier into *file. 0, or -1 after saying what is wrong.
 */
static int read_options(check_t *check, rcctl_t *r, int argc, char **argv, const char **file)
{
    const char *measure = NULL, *scheme = "card", *max_stale = MAX_STALE_DEFAULT;
    const rcctl_option_t options[] = {
        {"measure", &measure, NULL}, {"scheme", &scheme, NULL}, {"file", file, NULL},
        {"max-stale", &max_stale, NULL}, {0}};
    char *end;
    int s;

    if (rcctl_options(r, argc, argv, options, 0) < 0) {
        return -1;
    }
    check->measure = measure ? jd_measure_bit(measure, strlen(measure)) : -1;
    if (check->measure < 0) {
        rcctl_error("check needs --measure, one of: %s", jd_measure_list());
        return -1;
    }
    s = jd_scheme_parse(scheme, strlen(scheme));
    if (s < 0) {
        rcctl_error("--scheme %s is none of cnid uscc patron card uid", scheme);
        return -1;
    }
    check->scheme = (jd_scheme_t) s;
    check->clocks.max_stale = strtoll(max_stale, &end, 10);
    if (*end != '\0' || end == max_stale || check->clocks.max_stale < 1) {
        rcctl_error("--max-stale is a number of seconds, at most %d", JD_MAX_STALE_SEC);
        return -1;
    }
    return 0;
}

int rcctl_check(rcctl_t *r, int argc, char **argv)
{
    uint8_t raw[JD_SUBJECT_RAW_MAX + 1];
    check_t check = {.which = -1};
    const char *file = NULL;
    redisContext *c;
    redisReply *reply;
    ssize_t raw_len;
    int failed = 0;

    if (read_options(&check, r, argc, argv, &file) != 0 || rcctl_config(r) != 0) {
        return RCCTL_USAGE;
    }
    raw_len = read_identifier(file, raw);
    if (raw_len < 0) {
        return RCCTL_USAGE;
    }
    if (rcctl_spool_note(r, "check") != 0) {
        rcctl_error("it is not noted in the audit chain that check was used");
    }
    c = rcctl_redis_open(r->config, check.why, sizeof(check.why));
    if (c == NULL) {
        rcctl_error("%s", check.why);
        return RCCTL_UNREACHABLE;
    }
    check.list = r->config->list;
    check.clocks.now = rcd_clock_wall();
    reply = look_up(&check, r, c, raw, (size_t) raw_len, &failed);
    explicit_bzero(raw, sizeof(raw));
    if (failed) {
        rcctl_error("%s", check.why);
    } else if (r->json) {
        print_json(&check);
    } else {
        print_text(&check);
    }
    freeReplyObject(reply);
    redisFree(c);
    return failed ? RCCTL_UNREACHABLE : check.reason == JD_REASON_LISTED ? RCCTL_DENY : RCCTL_OK;
}
