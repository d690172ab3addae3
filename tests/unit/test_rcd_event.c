/*
 * rcd_event and rcd_claims: what of a verified payload is taken, reported, or treated as if it did not verify.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "rcd_event.h"

#define HEAD "\"iss\":\"o\",\"aud\":\"us\",\"iat\":1000,\"jti\":\"j1\",\"epoch\":1,"
#define LIFT "{" HEAD "\"events\":{\"" RCD_EVENT_LIFT "\":{\"seq\":7,\"order\":\"CS-1\"%s}}}"

static const rcd_party_t party = {"o", "us", "credit"};
static const uint8_t hash[32] = {1, 2, 3};

static rcd_token_rc_t parse(const char *payload, int relief, rcd_token_t *t, const char **why)
{
    return rcd_token_parse(payload, strlen(payload), hash, &party, relief, "j1", t, why);
}

static void lifts(void **state)
{
    static const struct {
        const char *measures;
        rcd_token_rc_t rc;
        unsigned mask;
    } rows[] = {
        {"", RCD_TOKEN_OK, 0xffff},
        {",\"measures\":[\"bus.ride\"]", RCD_TOKEN_OK, 1},
        {",\"measures\":[\"bus.ride\",\"metro.ride\"]", RCD_TOKEN_OK, 3},
        {",\"measures\":[\"of.a.later.version\",\"metro.ride\"]", RCD_TOKEN_OK, 2},
        {",\"measures\":[]", RCD_TOKEN_BAD, 0},
        {",\"measures\":\"bus.ride\"", RCD_TOKEN_BAD, 0},
        {",\"measures\":[1]", RCD_TOKEN_BAD, 0},
        {",\"measures\":[\"bus.ride\"],\"measures\":[\"metro.ride\"]", RCD_TOKEN_BAD, 0},
    };
    char payload[600];
    const char *why;
    rcd_token_t t;

    (void) state;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(payload, sizeof(payload), LIFT, rows[i].measures);
        if (parse(payload, 1, &t, &why) != rows[i].rc) {
            fail_msg("%s: %s", rows[i].measures, why);
        }
        if (rows[i].rc == RCD_TOKEN_OK) {
            assert_int_equal(t.ev.kind, RCD_EV_LIFT);
            assert_int_equal(t.ev.lifted, rows[i].mask);
            assert_int_equal(t.ev.seq, 7);
            assert_int_equal(t.ev.epoch, 1);
            assert_int_equal(t.ev.iat, 1000);
            assert_int_equal(t.ev.toe, 0);
            assert_string_equal(t.ev.number, "CS-1");
            assert_string_equal(t.ev.jti, "j1");
            assert_memory_equal(t.ev.payload_hash, hash, 32);
        }
        rcd_token_fini(&t);
    }
}

static void marks_and_orders(void **state)
{
    const char *why;
    rcd_token_t t;

    (void) state;
    assert_int_equal(parse("{" HEAD "\"toe\":999,\"events\":{\"" RCD_EVENT_MARK
                           "\":{\"seq\":281474976710655,\"order\":\"CS-1\",\"objection\":true}}}",
                           1, &t, &why), RCD_TOKEN_OK);
    assert_int_equal(t.ev.kind, RCD_EV_MARK);
    assert_int_equal(t.ev.objection, 1);
    assert_int_equal(t.ev.toe, 999);
    assert_true(t.ev.seq == UINT64_C(281474976710655));

    assert_int_equal(parse("{" HEAD "\"events\":{\"" RCD_EVENT_ORDER
                           "\":{\"seq\":1,\"order\":{\"order\":\"CS-9\",\"x\":\"\\u4e2d\"}}}}",
                           0, &t, &why), RCD_TOKEN_OK);
    assert_int_equal(t.ev.kind, RCD_EV_ORDER);
    assert_string_equal(t.ev.number, "CS-9");
    assert_int_equal(t.ev.record_len, strlen("{\"order\":\"CS-9\",\"x\":\"中\"}"));
    assert_memory_equal(t.ev.record_json, "{\"order\":\"CS-9\",\"x\":\"中\"}", t.ev.record_len);
    rcd_token_fini(&t);
}

static void reported(void **state)
{
    static const struct {
        int relief;
        const char *payload;
    } rows[] = {
        {1, "not json"},
        {1, "{" HEAD "\"events\":{}}"},
        {1, "{" HEAD "\"events\":[]}"},
        {1, "{" HEAD "\"events\":{\"" RCD_EVENT_LIFT "\":{\"seq\":1,\"order\":\"A\"},\"" RCD_EVENT_MARK "\":{}}}"},
        {1, "{" HEAD "\"events\":{\"" RCD_EVENT_LIFT "\":[]}}"},
        {1, "{" HEAD "\"events\":{\"https://elsewhere.example/event/lift\":{\"seq\":1,\"order\":\"A\"}}}"},
        {1, "{" HEAD "\"events\":{\"" RCD_EVENT_ORDER "\":{\"seq\":1,\"order\":{}}}}"},
        {0, "{" HEAD "\"events\":{\"" RCD_EVENT_LIFT "\":{\"seq\":1,\"order\":\"A\"}}}"},
        {0, "{" HEAD "\"events\":{\"" RCD_EVENT_ORDER "\":{\"seq\":1,\"order\":\"A\"}}}"},
        {1, "{" HEAD "\"events\":{\"" RCD_EVENT_MARK "\":{\"seq\":1,\"order\":\"A\",\"objection\":1}}}"},
        {1, "{" HEAD "\"events\":{\"" RCD_EVENT_LIFT "\":{\"seq\":0,\"order\":\"A\"}}}"},
        {1, "{" HEAD "\"events\":{\"" RCD_EVENT_LIFT "\":{\"seq\":281474976710656,\"order\":\"A\"}}}"},
        {1, "{" HEAD "\"events\":{\"" RCD_EVENT_LIFT "\":{\"seq\":1.5,\"order\":\"A\"}}}"},
        {1, "{" HEAD "\"events\":{\"" RCD_EVENT_LIFT "\":{\"seq\":\"1\",\"order\":\"A\"}}}"},
        {1, "{" HEAD "\"events\":{\"" RCD_EVENT_LIFT "\":{\"seq\":1}}}"},
        {1, "{" HEAD "\"events\":{\"" RCD_EVENT_LIFT "\":{\"seq\":1,\"order\":\"A B\"}}}"},
        {1, "{\"iss\":\"o\",\"aud\":\"us\",\"jti\":\"j1\",\"epoch\":1,\"events\":{}}"},
        {1, "{\"iss\":\"o\",\"aud\":\"us\",\"iat\":1,\"jti\":\"j1\",\"epoch\":65536,\"events\":{}}"},
        {1, "{" HEAD "\"toe\":-1,\"events\":{}}"},
    };
    const char *why;
    rcd_token_t t;

    (void) state;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        why = NULL;
        if (parse(rows[i].payload, rows[i].relief, &t, &why) != RCD_TOKEN_BAD || why == NULL) {
            fail_msg("row %u: %s", i, rows[i].payload);
        }
    }
}

static void foreign(void **state)
{
    static const char *const rows[] = {
        "{\"iss\":\"other\",\"aud\":\"us\",\"iat\":1,\"jti\":\"j1\",\"epoch\":1,\"events\":{}}",
        "{\"iss\":\"o\",\"aud\":\"them\",\"iat\":1,\"jti\":\"j1\",\"epoch\":1,\"events\":{}}",
        "{\"iss\":\"o\",\"aud\":[\"them\"],\"iat\":1,\"jti\":\"j1\",\"epoch\":1,\"events\":{}}",
        "{\"iss\":\"o\",\"iat\":1,\"jti\":\"j1\",\"epoch\":1,\"events\":{}}",
        "{\"aud\":\"us\",\"iat\":1,\"jti\":\"j1\",\"epoch\":1,\"events\":{}}",
        "{\"iss\":\"o\",\"aud\":\"us\",\"iat\":1,\"jti\":\"j2\",\"epoch\":1,\"events\":{}}",
        "{\"iss\":\"o\",\"aud\":\"us\",\"iat\":1,\"epoch\":1,\"events\":{}}",
    };
    const char *why;
    rcd_token_t t;

    (void) state;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (parse(rows[i], 1, &t, &why) != RCD_TOKEN_FOREIGN) {
            fail_msg("row %u: %s", i, rows[i]);
        }
    }
    assert_int_equal(parse("{\"iss\":\"o\",\"aud\":[\"them\",\"us\"],\"iat\":1,\"jti\":\"j1\",\"epoch\":1,"
                           "\"events\":{\"" RCD_EVENT_LIFT "\":{\"seq\":1,\"order\":\"A\"}}}", 1, &t, &why),
                     RCD_TOKEN_OK);
}

static void heads(void **state)
{
    static const char good[] = "{\"iss\":\"o\",\"aud\":\"us\",\"iat\":1000,\"exp\":1060,\"list\":\"credit\","
                               "\"epoch\":3,\"seq\":9,\"relief_seq\":4}";
    static const struct {
        const char *from, *to, *why;
    } rows[] = {
        {"\"credit\"", "\"debit\"", "list"},
        {"\"o\"", "\"p\"", "iss"},
        {"\"us\"", "\"them\"", "aud"},
        {"\"exp\":1060", "\"exp\":1000", "expired"},
        {"\"exp\":1060", "\"exp\":null", "exp"},
        {"\"iat\":1000", "\"iat\":1301", "ahead"},
        {"\"iat\":1000", "\"iat\":0", "iat"},
        {"\"epoch\":3", "\"epoch\":-3", "epoch"},
        {"\"seq\":9,", "", "seq"},
        {"\"relief_seq\":4", "\"relief_seq\":1e99", "relief_seq"},
        {"\"relief_seq\":4", "\"relief_seq\":4,\"seq\":9", "repeated"},
    };
    rcd_head_t head;

    (void) state;
    assert_null(rcd_head_parse(good, strlen(good), &party, 1000, &head));
    assert_int_equal(head.epoch, 3);
    assert_int_equal(head.seq, 9);
    assert_int_equal(head.relief_seq, 4);
    assert_int_equal(head.iat, 1000);
    assert_null(rcd_head_parse(good, strlen(good), &party, 700, &head));
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *at = strstr(good, rows[i].from), *why;
        char text[400];

        snprintf(text, sizeof(text), "%.*s%s%s", (int) (at - good), good, rows[i].to,
                 at + strlen(rows[i].from));
        why = rcd_head_parse(text, strlen(text), &party, 1000, &head);
        if (why == NULL || strstr(why, rows[i].why) == NULL) {
            fail_msg("%s: %s", rows[i].to, why == NULL ? "taken" : why);
        }
    }
}

#define SHA "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void snapshots(void **state)
{
    static const struct {
        const char *records, *why;       /* why NULL = good */
    } rows[] = {
        {"{\"href\":\"s/" SHA ".ndjson\",\"sha256\":\"" SHA "\",\"count\":2,\"bytes\":10}", NULL},
        {"{\"href\":\"\",\"sha256\":\"" SHA "\",\"count\":0,\"bytes\":0}", NULL},
        {"{\"href\":\"../x\",\"sha256\":\"" SHA "\",\"count\":2,\"bytes\":10}", "href"},
        {"{\"href\":\"a/../../x\",\"sha256\":\"" SHA "\",\"count\":2,\"bytes\":10}", "href"},
        {"{\"href\":\"a/./x\",\"sha256\":\"" SHA "\",\"count\":2,\"bytes\":10}", "href"},
        {"{\"href\":\"/x\",\"sha256\":\"" SHA "\",\"count\":2,\"bytes\":10}", "href"},
        {"{\"href\":\"//host/x\",\"sha256\":\"" SHA "\",\"count\":2,\"bytes\":10}", "href"},
        {"{\"href\":\"http://host/x\",\"sha256\":\"" SHA "\",\"count\":2,\"bytes\":10}", "href"},
        {"{\"href\":\"x?y\",\"sha256\":\"" SHA "\",\"count\":2,\"bytes\":10}", "href"},
        {"{\"href\":\"x%2f\",\"sha256\":\"" SHA "\",\"count\":2,\"bytes\":10}", "href"},
        {"{\"href\":\"x\",\"sha256\":\"ABC\",\"count\":2,\"bytes\":10}", "sha256"},
        {"{\"href\":\"x\",\"sha256\":\"" SHA "\",\"count\":2,\"bytes\":4294967297}", "bytes"},
        {"{\"href\":\"x\",\"sha256\":\"" SHA "\",\"bytes\":10}", "count"},
        {"{\"sha256\":\"" SHA "\",\"count\":2,\"bytes\":10}", "href"},
        {"[]", "href"},
    };
    rcd_snapshot_claims_t c;
    char text[800];
    const char *why;

    (void) state;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(text, sizeof(text), "{\"iss\":\"o\",\"aud\":\"us\",\"iat\":1000,\"exp\":1060,\"list\":\"credit\","
                 "\"epoch\":3,\"seq\":9,\"relief_seq\":4,\"records\":%s}", rows[i].records);
        why = rcd_snapshot_parse(text, strlen(text), &party, 1000, &c);
        if (rows[i].why == NULL ? why != NULL : why == NULL || strstr(why, rows[i].why) == NULL) {
            fail_msg("%s: %s", rows[i].records, why == NULL ? "taken" : why);
        }
    }
    assert_int_equal(c.head.epoch, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lifts),   cmocka_unit_test(marks_and_orders), cmocka_unit_test(reported),
        cmocka_unit_test(foreign), cmocka_unit_test(heads),            cmocka_unit_test(snapshots),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
