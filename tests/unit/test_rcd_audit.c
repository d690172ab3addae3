/*
 * rcd_audit: rows of the journal, bound to the transaction that makes the change.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "rcd_audit.h"
#include "rcd_store.h"

static rcd_state_t *s;

static int set_up(void **state)
{
    char err[256];

    (void) state;
    s = rcd_store_open(":memory:", "credit", 0, err, sizeof(err));
    return s == NULL;
}

static int tear_down(void **state)
{
    (void) state;
    rcd_store_close(s);
    return 0;
}

static int64_t rows(const char *kind, const char *text)
{
    sqlite3_stmt *q;
    int64_t n;

    assert_int_equal(sqlite3_prepare_v2(s->db, "SELECT count(*) FROM audit WHERE kind = ? AND text = ?",
                                        -1, &q, NULL), SQLITE_OK);
    sqlite3_bind_text(q, 1, kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 2, text, -1, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return n;
}

static void test_transaction(void **state)
{
    cJSON *fields = cJSON_CreateObject();

    (void) state;
    cJSON_AddStringToObject(fields, "order", "CS-\"1\"");
    cJSON_AddNumberToObject(fields, "iat", 1795475986);
    assert_int_equal(rcd_store_begin(s, 1), 0);
    assert_int_equal(rcd_audit(s, "lift", fields), 0);
    assert_int_equal(rcd_audit(s, "epoch", NULL), 0);
    assert_int_equal(rcd_store_commit(s), 0);
    assert_int_equal(rows("lift", ",\"order\":\"CS-\\\"1\\\"\",\"iat\":1795475986"), 1);
    assert_int_equal(rows("epoch", ""), 1);

    assert_int_equal(rcd_store_begin(s, 1), 0);
    assert_int_equal(rcd_audit(s, "epoch", cJSON_CreateObject()), 0);
    rcd_store_rollback(s);
    assert_int_equal(rows("epoch", ""), 1);
}

/* A caller cannot write over what the chain itself says. */
static void test_reserved(void **state)
{
    cJSON *fields = cJSON_Parse("{\"n\":1,\"at\":2,\"kind\":\"x\",\"a\":3,\"prev\":\"\",\"hash\":\"\"}");

    (void) state;
    assert_int_equal(rcd_store_begin(s, 1), 0);
    assert_int_equal(rcd_audit(s, "stay", fields), 0);
    assert_int_equal(rcd_store_commit(s), 0);
    assert_int_equal(rows("stay", ",\"a\":3"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_transaction, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reserved, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
