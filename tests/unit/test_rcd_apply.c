/*
 * rcd_apply, rcd_decide, rcd_state: the event table of the feed, row by row, on a journal in
 * memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/jd_policy.h"
#include "first_list.h"
#include "rcd_decide.h"
#include "rcd_fill.h"
#include "rcd_record.h"
#include "rcd_store.h"

#define NOW 1800000000

static char *authorities[] = {(char *)"Office"};
static rcd_rules_t rules;
static jd_key_t key;
static rcd_state_t *s;
static char json[1024];

typedef struct {
    const char *number, *card, *measures, *served, *until, *objection;
} version_t;

static int set_up(void **state)
{
    uint8_t raw[16] = {7};
    char err[160], why[160];

    (void)state;
    jd_key_init(&key, "k1", raw);
    rules.key = &key;
    rules.accept_card_subjects = 1;
    for (int bit = 0; bit < JD_MEASURE_N; bit++) {
        rules.rule[bit] = (rcd_measure_rule_t){.enabled = 1,
                                               .legal_source = (char *)"law",
                                               .authorities = authorities,
                                               .n_authorities = 1,
                                               .max_term_sec = JD_TERM_MAX_SEC};
    }
    s = rcd_store_open(":memory:", "credit", 0, err, sizeof(err));
    assert_non_null(s);
    assert_int_equal(rcd_state_head(s, NOW, NOW - 100, 1, 0, 0, why, sizeof(why)), 1);
    first_list(s, &rules);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rcd_store_close(s);
    return 0;
}

/* A version of an order as JSON; members left NULL have a usual value. */
static const char *text_of(version_t v)
{
    const char *measures = v.measures ? v.measures : "\"bus.ride\"";

    snprintf(json, sizeof(json),
             "{\"order\":\"%s\",\"subject\":{\"scheme\":\"card\",\"id\":\"%s\"},\"measures\":[%s],"
             "\"authority\":\"Office\",\"basis\":\"b\",\"served\":\"%s\","
             "\"from\":\"2026-10-15T00:00:00+08:00\",\"until\":\"%sT00:00:00+08:00\","
             "\"effect\":\"enforce\",\"objection\":%s,\"contest\":{\"phone\":\"1\"}}",
             v.number ? v.number : "A", v.card ? v.card : "C1", measures,
             v.served ? v.served : "2026-10-10", v.until ? v.until : "2027-10-15",
             v.objection ? v.objection : "false");
    return json;
}

static rcd_event_t event(rcd_event_kind_t kind, const char *number, uint64_t seq)
{
    rcd_event_t ev = {.kind = kind, .epoch = 1, .seq = seq, .iat = NOW - 50, .lifted = 0xffff};

    snprintf(ev.jti, sizeof(ev.jti), "%d-%d", kind == RCD_EV_ORDER, (int)seq);
    snprintf(ev.number, sizeof(ev.number), "%s", number);
    ev.payload_hash[0] = (uint8_t)seq;
    return ev;
}

static rcd_result_t change(uint64_t seq, version_t v)
{
    rcd_event_t ev = event(RCD_EV_ORDER, v.number ? v.number : "A", seq);
    rcd_result_t r;

    ev.record_json = text_of(v);
    ev.record_len = strlen(ev.record_json);
    assert_int_equal(rcd_apply_changes(s, &rules, &ev, 1, &r), 0);
    return r;
}

static rcd_result_t lift(uint64_t seq, const char *number, uint16_t mask)
{
    rcd_event_t ev = event(RCD_EV_LIFT, number, seq);
    rcd_result_t r;

    ev.lifted = mask;
    assert_int_equal(rcd_apply_relief(s, &ev, 1, &r), 0);
    return r;
}

static rcd_result_t mark(uint32_t epoch, uint64_t seq, int objection)
{
    rcd_event_t ev = event(RCD_EV_MARK, "A", seq);
    rcd_result_t r;

    ev.epoch = epoch;
    ev.objection = objection;
    snprintf(ev.jti, sizeof(ev.jti), "m%u-%d-%d", epoch, (int)seq, objection);
    assert_int_equal(rcd_apply_relief(s, &ev, 1, &r), 0);
    return r;
}

static rcd_end_t ended(const char *number)
{
    rcd_row_t row;
    jd_relief_t relief;

    assert_int_equal(rcd_state_order(s, number, &row, &relief), 1);
    return row.ended;
}

static jd_relief_t relief_of(const char *number)
{
    rcd_row_t row;
    jd_relief_t relief;

    assert_true(rcd_state_order(s, number, &row, &relief) >= 0);
    return relief;
}

static int head(int64_t iat, uint32_t epoch, uint64_t relief_seq)
{
    char why[160] = "";
    int rc = rcd_state_head(s, NOW, iat, epoch, s->marks.seq, relief_seq, why, sizeof(why));

    assert_int_equal(rc == 1, why[0] == '\0');
    return rc;
}

/* ---- relief lane --------------------------------------------------------------------------------
 */

static void test_lift_in_order(void **state)
{
    (void)state;
    assert_int_equal(change(1, (version_t){0}).outcome, RCD_ACK);
    assert_int_equal(lift(1, "A", 0xffff).outcome, RCD_ACK);
    assert_int_equal(ended("A"), RCD_END_LIFTED);
    assert_int_equal(s->marks.relief_seq, 1);
    assert_int_equal(s->live, 0);
}

static void test_lift_of_an_order_never_seen(void **state)
{
    rcd_result_t r;

    (void)state;
    assert_int_equal(lift(1, "A", 0xffff).outcome, RCD_ACK);
    r = change(1, (version_t){0});
    assert_int_equal(r.outcome, RCD_ACK_QUARANTINED);
    assert_int_equal(r.code, RCD_Q_LIFTED);
    assert_int_equal(s->live, 0);
}

static void test_lift_beyond_is_applied_and_lags(void **state)
{
    (void)state;
    change(1, (version_t){0});
    assert_int_equal(lift(3, "A", 0xffff).outcome, RCD_ACK);
    assert_int_equal(ended("A"), RCD_END_LIFTED);
    assert_int_equal(s->marks.relief_seq, 0);
    assert_int_equal(s->marks.relief_behind, 1);
    assert_int_equal(head(NOW, 1, 3), 0);
    lift(2, "B", 0xffff); /* what was missing comes after all, out of order */
    lift(1, "C", 0xffff);
    assert_int_equal(s->marks.relief_seq, 3);
    assert_int_equal(s->marks.relief_behind, 0);
    assert_int_equal(head(NOW, 1, 3), 1);
}

static void test_lift_replayed_and_forked(void **state)
{
    rcd_event_t ev = event(RCD_EV_LIFT, "D", 1);
    rcd_result_t r;

    (void)state;
    assert_int_equal(lift(1, "A", 1).outcome, RCD_ACK);
    assert_int_equal(lift(1, "A", 1).outcome, RCD_ACK);
    ev.payload_hash[5] = 9;
    assert_int_equal(rcd_apply_relief(s, &ev, 1, &r), 0);
    assert_int_equal(r.outcome, RCD_HOLD_FORK);
    assert_int_equal(relief_of("D").lifted, 0xffff); /* applied all the same */
    assert_int_equal(s->marks.forked, 1);
    assert_int_equal(head(NOW, 1, 1), 0);
    assert_int_equal(change(1, (version_t){0}).outcome, RCD_HOLD_FORK);
    assert_int_equal(lift(2, "E", 0xffff).outcome, RCD_ACK); /* relief is never held */
}

static void test_lift_of_any_epoch(void **state)
{
    rcd_event_t ev = event(RCD_EV_LIFT, "A", 9);
    rcd_result_t r;

    (void)state;
    change(1, (version_t){0});
    ev.epoch = 4;
    assert_int_equal(rcd_apply_relief(s, &ev, 1, &r), 0);
    assert_int_equal(r.outcome, RCD_ACK);
    assert_int_equal(ended("A"), RCD_END_LIFTED);
    assert_int_equal(s->marks.relief_seq, 0);
}

static void test_lift_of_some_measures(void **state)
{
    (void)state;
    change(1, (version_t){.measures = "\"bus.ride\",\"metro.ride\""});
    lift(1, "A", 1);
    assert_int_equal(ended("A"), RCD_END_NONE);
    lift(2, "A", 2);
    assert_int_equal(ended("A"), RCD_END_LIFTED);
    assert_int_equal(relief_of("A").lifted, 3);
}

static void test_marks(void **state)
{
    (void)state;
    change(1, (version_t){.objection = "true"});
    mark(1, 5, 1);
    assert_int_equal(relief_of("A").objection, 1);
    mark(1, 4, 0); /* older: does not end it */
    assert_int_equal(relief_of("A").objection, 1);
    mark(1, 6, 0);
    assert_int_equal(relief_of("A").objection, 0);
    mark(1, 2, 1); /* older, but it frees */
    assert_int_equal(relief_of("A").objection, 1);
    mark(1, 6, 0);
    assert_int_equal(relief_of("A").objection, 1);
    mark(2, 1, 0); /* a later epoch is later */
    assert_int_equal(relief_of("A").objection, 0);
}

/* The end of an objection ends the record's own flag too. */
static void test_mark_clears_the_records_flag(void **state)
{
    rcd_row_t row;
    jd_relief_t relief;

    (void)state;
    change(1, (version_t){.objection = "true"});
    mark(1, 1, 0);
    assert_int_equal(rcd_state_order(s, "A", &row, &relief), 1);
    assert_int_equal(row.flags & JD_ORDER_OBJECTION, 0);
}

static void test_batch_is_sorted(void **state)
{
    rcd_event_t ev[3] = {event(RCD_EV_LIFT, "C", 3), event(RCD_EV_LIFT, "A", 1),
                         event(RCD_EV_LIFT, "B", 2)};
    rcd_result_t r[3];

    (void)state;
    assert_int_equal(rcd_apply_relief(s, ev, 3, r), 0);
    assert_int_equal(s->marks.relief_seq, 3);
    assert_string_equal(r[0].number, "C");
    assert_int_equal(rcd_apply_relief(s, ev, 0, r), 0);
}

/* ---- changes lane -------------------------------------------------------------------------------
 */

static void test_changes_position(void **state)
{
    rcd_event_t ev = event(RCD_EV_ORDER, "A", 1);
    rcd_result_t r;

    (void)state;
    assert_int_equal(change(1, (version_t){0}).outcome, RCD_ACK);
    assert_int_equal(change(1, (version_t){0}).outcome, RCD_ACK); /* the same again */
    assert_int_equal(change(3, (version_t){.number = "B"}).outcome, RCD_HOLD_GAP);
    assert_int_equal(s->marks.changes_gap, 1);
    assert_int_equal(s->marks.seq, 1);
    assert_int_equal(s->live, 1);
    ev.payload_hash[3] = 1;
    ev.record_json = text_of((version_t){.measures = "\"bike.rent\""});
    ev.record_len = strlen(ev.record_json);
    assert_int_equal(rcd_apply_changes(s, &rules, &ev, 1, &r), 0);
    assert_int_equal(r.outcome, RCD_HOLD_FORK);
    assert_int_equal(s->marks.forked, 1);
    ev = event(RCD_EV_ORDER, "A", 1);
    ev.epoch = 2;
    assert_int_equal(rcd_apply_changes(s, &rules, &ev, 1, &r), 0);
    assert_int_equal(r.outcome, RCD_HOLD_FORK);
}

static void test_amendments(void **state)
{
    (void)state;
    assert_int_equal(change(1, (version_t){.until = "2027-01-01"}).code, RCD_Q_NONE);
    assert_int_equal(change(2, (version_t){.until = "2026-12-01"}).code, RCD_Q_NONE);
    assert_int_equal(change(3, (version_t){.until = "2027-01-01"}).code, RCD_Q_AGGRAVATED);
    assert_int_equal(
        change(4, (version_t){.measures = "\"bus.ride\",\"bike.rent\"", .until = "2026-12-01"})
            .code,
        RCD_Q_AGGRAVATED);
    assert_int_equal(ended("A"), RCD_END_NONE); /* the lawful version stays */
    assert_int_equal(change(5, (version_t){.until = "2027-01-01", .served = "2026-10-11"}).code,
                     RCD_Q_NONE);
    assert_int_equal(change(6, (version_t){.until = "2029-10-20", .served = "2026-10-12"}).code,
                     RCD_Q_TERM_TOO_LONG);
    assert_int_equal(s->marks.seq, 6);
}

/* Refused for asking more: of the version before stays what the refused one claims, too. */
static void test_refused_narrows(void **state)
{
    const char *both = "\"bus.ride\",\"bike.rent\"";
    jd_relief_t relief;
    rcd_row_t row;

    (void)state;
    change(1, (version_t){.measures = both});
    assert_int_equal(change(2, (version_t){.until = "2028-01-01"}).code, RCD_Q_AGGRAVATED);
    assert_int_equal(rcd_state_order(s, "A", &row, &relief), 1);
    assert_int_equal(row.measures, 1);
    assert_int_equal(change(3, (version_t){.measures = both, .until = "2027-01-01",
                                           .objection = "true"}).code, RCD_Q_AGGRAVATED);
    rcd_state_order(s, "A", &row, &relief);
    assert_int_equal(row.measures, 1);
    assert_true(row.flags & JD_ORDER_OBJECTION);
    assert_int_equal(change(4, (version_t){.card = "C2", .until = "2033-01-01"}).code,
                     RCD_Q_SUBJECT_CHANGED); /* whatever else is wrong with it */
    assert_int_equal(ended("A"), RCD_END_REFUSED);
    change(5, (version_t){.number = "B"});
    assert_int_equal(change(6, (version_t){.number = "B", .measures = "\"bike.rent\""}).code,
                     RCD_Q_AGGRAVATED);
    assert_int_equal(ended("B"), RCD_END_REFUSED);
}

static void test_subject_changed(void **state)
{
    (void)state;
    change(1, (version_t){0});
    assert_int_equal(change(2, (version_t){.card = "C2"}).code, RCD_Q_SUBJECT_CHANGED);
    assert_int_equal(ended("A"), RCD_END_REFUSED);
    assert_int_equal(change(3, (version_t){0}).code, RCD_Q_NONE); /* the office puts it right */
    assert_int_equal(ended("A"), RCD_END_NONE);
}

/* A version that cannot be read stops the one before: what the office meant is unknown. */
static void test_unreadable_version(void **state)
{
    (void)state;
    change(1, (version_t){0});
    assert_int_equal(change(2, (version_t){.objection = "7"}).code, RCD_Q_SCHEMA);
    assert_int_equal(ended("A"), RCD_END_REFUSED);
    assert_int_equal(change(3, (version_t){.number = "B"}).code, RCD_Q_NONE);
}

static void test_too_many_orders_of_one_subject(void **state)
{
    char number[8];

    (void)state;
    for (unsigned i = 1; i <= JD_ORDERS_MAX; i++) {
        snprintf(number, sizeof(number), "N%u", i);
        assert_int_equal(change(i, (version_t){.number = number}).code, RCD_Q_NONE);
    }
    assert_int_equal(change(JD_ORDERS_MAX + 1, (version_t){.number = "X"}).code, RCD_Q_DUPLICATE);
    assert_int_equal(
        change(JD_ORDERS_MAX + 2, (version_t){.number = "N1", .until = "2027-01-01"}).code,
        RCD_Q_NONE);
}

/* ---- quarantine queue ---------------------------------------------------------------------------
 */

static void test_quarantine_queue(void **state)
{
    rcd_result_t r;
    int64_t id;

    (void)state;
    assert_int_equal(rcd_quarantine_next(s, &id, &r), 0);
    change(1, (version_t){.measures = "\"nothing\""});
    assert_int_equal(rcd_quarantine_next(s, &id, &r), 1);
    assert_string_equal(r.number, "A");
    assert_int_equal(r.code, RCD_Q_MEASURE_NOT_ENABLED);
    assert_int_equal(rcd_quarantine_reported(s, id), 0);
    assert_int_equal(rcd_quarantine_next(s, &id, &r), 0);
    change(2, (version_t){.measures = "\"nothing\""}); /* the same fault is reported once */
    assert_int_equal(rcd_quarantine_next(s, &id, &r), 0);
    change(3, (version_t){0});
    rcd_counts_t c;
    assert_int_equal(rcd_state_counts(s, &c), 0);
    assert_int_equal(c.quarantined, 0); /* put right: forgotten */
    assert_int_equal(c.live, 1);
}

/* ---- heads and epochs ---------------------------------------------------------------------------
 */

static void test_heads(void **state)
{
    (void)state;
    assert_int_equal(head(NOW - 10, 1, 0), 1);
    assert_int_equal(s->marks.verified_at, NOW - 10);
    assert_int_equal(head(NOW - 11, 1, 0), 0);                    /* older than one seen */
    assert_int_equal(head(NOW + JD_CLOCK_SKEW_SEC + 1, 1, 0), 0); /* from the future */
    assert_int_equal(head(NOW - 9, 2, 0), 0);                     /* a new epoch */
    assert_int_equal(head(NOW - 8, 1, 1), 0);                     /* relief missing */
    assert_int_equal(s->marks.verified_at, NOW - 10);
    lift(1, "A", 0xffff);
    assert_int_equal(head(NOW - 8, 1, 1), 1);
    assert_int_equal(head(NOW - 8, 1, 0), 0); /* counts less than before */
    assert_int_equal(s->marks.forked, 1);
}

/* What heads count and the lane does not bring will not come: it was acknowledged and forgotten. */
static void test_lane_that_stands_still(void **state)
{
    char why[160];

    (void)state;
    assert_int_equal(head(NOW - 10, 1, 2), 0);
    assert_int_equal(s->marks.relief_behind, 0);
    assert_int_equal(head(NOW - 5, 1, 2), 0);
    assert_int_equal(s->marks.relief_behind, 1);
    assert_int_equal(rcd_state_head(s, NOW, NOW - 4, 1, 3, 2, why, sizeof(why)), 0);
    assert_int_equal(rcd_state_head(s, NOW, NOW + 1, 1, 3, 2, why, sizeof(why)), 0);
    assert_int_equal(s->marks.changes_gap, 1);
}

static void test_approve(void **state)
{
    char err[160];

    (void)state;
    assert_int_equal(rcd_state_approve_epoch(s, 1, err, sizeof(err)), -1);
    assert_int_equal(rcd_state_approve_epoch(s, 70000, err, sizeof(err)), -1);
    assert_int_equal(rcd_state_approve_epoch(s, 2, err, sizeof(err)), 0);
    assert_int_equal(s->marks.fork_epoch, 2);
    assert_int_equal(s->marks.changes_gap, 1);
}

/* ---- snapshots ----------------------------------------------------------------------------------
 */

static char snapshot_path[64];

/* Applies the lines as a snapshot of (epoch, seq, relief_seq); 0 done, -1 refused at the begin. */
static int snapshot(const char *lines, uint32_t epoch, uint64_t seq, uint64_t relief_seq,
                    int observe, rcd_snapshot_counts_t *c)
{
    rcd_statement_t st = {.epoch = epoch, .seq = seq, .relief_seq = relief_seq, .iat = NOW,
                          .asked_relief_seq = s->marks.relief_seq};
    rcd_snapshot_t *sn;
    char err[256];
    FILE *f;

    snprintf(snapshot_path, sizeof(snapshot_path), "/tmp/jd-apply-%d.ndjson", (int)getpid());
    f = fopen(snapshot_path, "w");
    assert_non_null(f);
    fputs(lines, f);
    fclose(f);
    sn = rcd_snapshot_begin(s, &rules, snapshot_path, observe ? NULL : &st, NOW, err, sizeof(err));
    unlink(snapshot_path);
    if (sn == NULL) {
        assert_true(strlen(err) > 10);
        return -1;
    }
    assert_null(rcd_snapshot_begin(s, &rules, "/dev/null", &st, NOW, err, sizeof(err)));
    return snapshot_whole(sn, c);
}

static void test_snapshot_is_a_difference(void **state)
{
    rcd_snapshot_counts_t c;
    char lines[4096] = "";

    (void)state;
    change(1, (version_t){.number = "A"});
    change(2, (version_t){.number = "B"});
    change(3, (version_t){.number = "C", .until = "2027-01-01"});
    strcat(strcat(lines, text_of((version_t){.number = "A"})), "\n\n");
    strcat(strcat(lines, text_of((version_t){.number = "C", .until = "2026-12-30"})), "\n");
    strcat(strcat(lines, text_of((version_t){.number = "D"})), "\n");
    strcat(strcat(lines, text_of((version_t){.number = "E"})), "\n");
    strcat(strcat(lines, text_of((version_t){.number = "E", .card = "C9"})), "\nrubbish\n");
    assert_int_equal(snapshot(lines, 1, 9, 0, 0, &c), 0);
    assert_int_equal(c.applied, 2);
    assert_int_equal(c.unchanged, 1);
    assert_int_equal(c.dropped, 1);
    assert_int_equal(c.quarantined, 2);            /* E twice, rubbish */
    assert_int_equal(ended("B"), RCD_END_REFUSED); /* a line could not be read: B may be in it */
    assert_int_equal(s->marks.seq, 9);
    assert_int_equal(snapshot(text_of((version_t){.number = "A"}), 1, 10, 0, 0, &c), 0);
    assert_int_equal(ended("D"), RCD_END_DROPPED);
    assert_int_equal(change(11, (version_t){.number = "D"}).code, RCD_Q_AGGRAVATED);
    assert_int_equal(change(12, (version_t){.number = "D", .served = "2026-11-01"}).code,
                     RCD_Q_NONE);
}

static void test_snapshot_marks(void **state)
{
    rcd_snapshot_counts_t c;
    char err[160];

    (void)state;
    lift(1, "Z", 0xffff);
    lift(5, "Y", 0xffff);
    assert_int_equal(snapshot("", 1, 0, 0, 0, &c), -1); /* older in relief_seq */
    assert_int_equal(snapshot("", 2, 5, 5, 0, &c), -1); /* a new epoch, not approved */
    assert_int_equal(snapshot("", 1, 4, 4, 0, &c), 0);
    assert_int_equal(s->marks.relief_seq, 5); /* 5 was here already */
    assert_int_equal(s->marks.relief_behind, 0);
    assert_int_equal(snapshot("", 1, 3, 5, 0, &c), -1); /* older in seq */
    assert_int_equal(rcd_state_approve_epoch(s, 2, err, sizeof(err)), 0);
    assert_int_equal(snapshot("", 2, 1, 1, 0, &c), 0);
    assert_int_equal(s->marks.epoch, 2);
    assert_int_equal(s->marks.seq, 1);
    assert_int_equal(s->marks.changes_gap, 0);
    assert_int_equal(snapshot("", 1, 9, 9, 0, &c), -1); /* of an epoch that is over */
}

/* A snapshot of the same epoch and a later moment tells that an objection is over; one of another
 * epoch does not. */
static void test_snapshot_and_objection(void **state)
{
    rcd_snapshot_counts_t c;
    char err[160];

    (void)state;
    change(1, (version_t){0});
    mark(1, 1, 1);
    assert_int_equal(snapshot(text_of((version_t){0}), 1, 1, 1, 0, &c), 0);
    assert_int_equal(relief_of("A").objection, 1);
    assert_int_equal(rcd_state_approve_epoch(s, 2, err, sizeof(err)), 0);
    assert_int_equal(snapshot(text_of((version_t){0}), 2, 7, 7, 0, &c), 0);
    assert_int_equal(relief_of("A").objection, 1);
    mark(2, 8, 1);
    assert_int_equal(snapshot(text_of((version_t){0}), 2, 9, 9, 0, &c), 0);
    assert_int_equal(relief_of("A").objection, 0);
}

static void test_unsigned_import(void **state)
{
    rcd_snapshot_counts_t c;
    rcd_row_t row;
    jd_relief_t relief;
    char lines[2048] = "";

    (void)state;
    change(1, (version_t){.number = "A"});
    strcat(strcat(lines, text_of((version_t){.number = "A", .card = "C2"})), "\n");
    strcat(strcat(lines, text_of((version_t){.number = "I"})), "\n");
    assert_int_equal(snapshot(lines, 0, 0, 0, 1, &c), 0);
    assert_int_equal(c.applied, 1);
    assert_int_equal(c.unchanged, 1); /* the office's order is not touched */
    assert_int_equal(rcd_state_order(s, "I", &row, &relief), 1);
    assert_true(row.flags & JD_ORDER_OBSERVE);
    assert_int_equal(ended("A"), RCD_END_NONE);
    assert_int_equal(s->marks.seq, 1);
    assert_int_equal(snapshot(text_of((version_t){.number = "A"}), 1, 2, 0, 0, &c), 0);
    assert_int_equal(ended("I"), RCD_END_NONE); /* a snapshot does not speak of imports */
    assert_int_equal(change(3, (version_t){.number = "I"}).code, RCD_Q_NONE);
    assert_int_equal(rcd_state_order(s, "I", &row, &relief), 1);
    assert_int_equal(row.flags & JD_ORDER_OBSERVE, 0); /* the office takes it over */
}

static void test_record_leaves_out(void **state)
{
    uint8_t out[JD_RECORD_MAX];
    rcd_row_t rows[JD_ORDERS_MAX], row;
    rcd_note_t note;
    jd_relief_t relief;
    size_t len;
    int n;

    (void)state;
    change(1, (version_t){.number = "A"});
    change(2, (version_t){.number = "B", .measures = "\"bus.ride\",\"metro.ride\""});
    assert_int_equal(rcd_state_order(s, "A", &row, &relief), 1);
    lift(1, "A", 0xffff);
    assert_int_equal(rcd_record(s, &rules, 5, row.digest, out, &len, rows, &n, &note), 0);
    assert_int_equal(n, 1);
    assert_string_equal(rows[0].number, "B");
    lift(2, "B", 3);
    assert_int_equal(rcd_record(s, &rules, 5, row.digest, out, &len, rows, &n, &note), 0);
    assert_int_equal(len, 0);
}

/* The record of the digest of A as a gate reads it; the number of orders in it. */
static int record_of_a(uint16_t *observed)
{
    jd_order_t orders[JD_ORDERS_MAX];
    uint8_t out[JD_RECORD_MAX];
    rcd_row_t rows[JD_ORDERS_MAX], row;
    rcd_note_t note;
    jd_relief_t relief;
    size_t len;
    unsigned n = 0;
    int kept;

    *observed = 0;
    assert_int_equal(rcd_state_order(s, "A", &row, &relief), 1);
    assert_int_equal(rcd_record(s, &rules, 5, row.digest, out, &len, rows, &kept, &note), 0);
    if (len > 0) {
        assert_int_equal(jd_record_decode(rules.key, row.digest, 5, out, len, observed, orders, &n),
                         JD_RECORD_OK);
    }
    assert_int_equal(kept, n);
    return (int)n;
}

static int outbox(void)
{
    uint64_t dirty, relief;

    assert_int_equal(rcd_store_pending(s, &dirty, &relief), 0);
    assert_int_equal(rcd_store_dirty_clear(s), 0);
    return (int)dirty;
}

/* An objection, by the office's record or by a mark, takes the order out of the record's orders,
 * and its end brings it back; each is a change that the writer hears of. */
static void test_record_of_objections(void **state)
{
    uint16_t observed;

    (void)state;
    change(1, (version_t){.number = "A", .measures = "\"bus.ride\",\"metro.ride\""});
    assert_int_equal(record_of_a(&observed), 1);
    assert_int_equal(observed, 0);
    outbox();
    mark(1, 1, 1);
    assert_int_equal(outbox(), 1);
    assert_int_equal(record_of_a(&observed), 0);
    assert_int_equal(observed, 3);
    lift(2, "A", 1);
    assert_int_equal(outbox(), 1);
    assert_int_equal(record_of_a(&observed), 0);
    assert_int_equal(observed, 2);
    mark(1, 3, 0);
    assert_int_equal(outbox(), 1);
    assert_int_equal(record_of_a(&observed), 1);
    assert_int_equal(observed, 0);
    change(2, (version_t){.number = "A", .measures = "\"bus.ride\",\"metro.ride\"",
                          .objection = "true"});
    assert_int_equal(record_of_a(&observed), 0);
    assert_int_equal(observed, 2);
}

static void test_tick(void **state)
{
    (void)state;
    change(1, (version_t){.until = "2026-12-01"});
    assert_int_equal(rcd_state_tick(s, 1796054399, 1900000000), 0);
    assert_int_equal(rcd_state_tick(s, 1796054400, 1796054400), 1);
    assert_int_equal(ended("A"), RCD_END_EXPIRED);
    assert_int_equal(s->live, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lift_in_order),
        TEST(test_lift_of_an_order_never_seen),
        TEST(test_lift_beyond_is_applied_and_lags),
        TEST(test_lift_replayed_and_forked),
        TEST(test_lift_of_any_epoch),
        TEST(test_lift_of_some_measures),
        TEST(test_marks),
        TEST(test_mark_clears_the_records_flag),
        TEST(test_record_of_objections),
        TEST(test_batch_is_sorted),
        TEST(test_changes_position),
        TEST(test_amendments),
        TEST(test_refused_narrows),
        TEST(test_subject_changed),
        TEST(test_unreadable_version),
        TEST(test_too_many_orders_of_one_subject),
        TEST(test_quarantine_queue),
        TEST(test_heads),
        TEST(test_lane_that_stands_still),
        TEST(test_approve),
        TEST(test_snapshot_is_a_difference),
        TEST(test_snapshot_marks),
        TEST(test_snapshot_and_objection),
        TEST(test_unsigned_import),
        TEST(test_record_leaves_out),
        TEST(test_tick),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
