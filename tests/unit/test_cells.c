/*
 * jd_cells, jd_ledger: counting, closing, freeing; periods; names, and the push script's SHA-1.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <openssl/sha.h>
#include "core/jd_ledger.h"

#define SIZE   (JD_CELLS_HEAD + 64 * sizeof(jd_cell_t))
#define NOW    1795475986                    /* 2026-11-23T23:19:46Z */
#define PID    77

static uint8_t runs[JD_PERIOD_CLASSES][JD_RUN_LEN] = {{1, 2, 3}, {0xff, 0xfe}};

static void fresh(jd_cells_t *c)
{
    void *mem = aligned_alloc(64, SIZE);

    memset(mem, 0, SIZE);
    assert_int_equal(jd_cells_open(c, mem, SIZE, "gw1"), JD_CELLS_EMPTY);
    jd_cells_format(mem, SIZE, runs, "gw1");
    assert_int_equal(jd_cells_open(c, mem, SIZE, "gw1"), JD_CELLS_OK);
    assert_int_equal(c->cells, 64);
    assert_int_equal(jd_cells_list(c, "credit"), 0);
}

static jd_cell_key_t key(jd_cell_kind_t kind, unsigned measure, const char *text)
{
    return (jd_cell_key_t) {kind, 0, measure, text, strlen(text)};
}

/* Total and number of cells of a field, over all cells. */
static uint64_t total(jd_cells_t *c, const char *field, unsigned *cells)
{
    char text[JD_LEDGER_FIELD_MAX];
    uint64_t sum = 0, first;
    jd_cell_t copy;

    *cells = 0;
    for (uint64_t i = 0; i < c->cells; i++) {
        if (jd_cells_look(c, i, &copy) != JD_CELL_USED) {
            continue;
        }
        jd_ledger_field(text, &copy);
        if (strcmp(text, field) == 0) {
            (*cells)++;
            if (jd_cells_total(c, &copy, &first), first == i) {
                sum += jd_cells_total(c, &copy, &first);
            }
        }
    }
    return sum;
}

static void counts(void **state)
{
    jd_cells_t c;
    jd_cell_key_t order = key(JD_CELL_ORDER, 0, "CS-1"), hour = key(JD_CELL_DENIED, 0, "Bureau of 公交");
    unsigned n;

    (void) state;
    fresh(&c);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(jd_cells_count_both(&c, &order, &hour, NOW, PID), 0);
    }
    order.measure = 1;
    assert_int_equal(jd_cells_count(&c, &order, NOW, PID), 0);
    assert_int_equal(total(&c, "CS-1 bus.ride", &n), 3);
    assert_int_equal(n, 1);
    assert_int_equal(total(&c, "CS-1 metro.ride", &n), 1);
    assert_int_equal(total(&c, "bus.ride d Bureau of 公交", &n), 3);
    free(c.head);
}

static void full_counts_nothing(void **state)
{
    jd_cells_t c;
    char text[16] = "";
    unsigned n;
    jd_cell_key_t order = key(JD_CELL_ORDER, 0, text), hour = key(JD_CELL_DENIED, 0, "A");

    (void) state;
    fresh(&c);
    for (int i = 0; i < 63; i++) {
        snprintf(text, sizeof(text), "CS-%d", i);
        order.len = strlen(text);
        assert_int_equal(jd_cells_count(&c, &order, NOW, PID), 0);
    }
    snprintf(text, sizeof(text), "CS-63");
    assert_int_equal(jd_cells_count_both(&c, &order, &hour, NOW, PID), -1);
    total(&c, "CS-63 bus.ride", &n);
    assert_int_equal(total(&c, "CS-63 bus.ride", &n), 0);
    assert_int_equal(total(&c, "bus.ride d A", &n), 0);
    /* what is there goes on */
    snprintf(text, sizeof(text), "CS-5");
    order.len = 4;
    assert_int_equal(jd_cells_count(&c, &order, NOW, PID), 0);
    assert_int_equal(total(&c, "CS-5 bus.ride", &n), 2);
    free(c.head);
}

static void closed_is_closed(void **state)
{
    jd_cells_t c;
    jd_cell_t copy, later;
    uint64_t first;
    unsigned n;
    jd_cell_key_t hour = key(JD_CELL_DRY, 2, "A");
    uint32_t period = jd_period_of(JD_PERIOD_HOUR, NOW);

    (void) state;
    fresh(&c);
    assert_int_equal(jd_cells_count(&c, &hour, NOW, PID), 0);
    assert_false(jd_cells_closed(&c, 0, JD_PERIOD_HOUR, period));
    jd_cells_close(&c, 0, JD_PERIOD_HOUR, period);
    jd_cells_close(&c, 0, JD_PERIOD_HOUR, period - 1);
    assert_true(jd_cells_closed(&c, 0, JD_PERIOD_HOUR, period));
    /* a count of that hour goes into the next */
    assert_int_equal(jd_cells_count(&c, &hour, NOW, PID), 0);
    assert_int_equal(jd_cells_count(&c, &hour, NOW - 7200, PID), 0);
    assert_int_equal(total(&c, "ferry.ride y A", &n), 3);
    assert_int_equal(n, 2);
    for (uint64_t i = 0; i < c.cells; i++) {
        if (jd_cells_look(&c, i, &copy) == JD_CELL_USED && copy.period == period) {
            assert_int_equal(jd_cells_total(&c, &copy, &first), 1);
            jd_cells_freeze(&c, i);
            assert_int_equal(jd_cells_look(&c, i, &later), JD_CELL_USED);
            assert_int_equal(jd_cell_count(&later), 1);
            assert_true(later.word != copy.word);
            jd_cells_free(&c, i, &copy, PID);
            assert_int_equal(jd_cells_look(&c, i, &copy), JD_CELL_FREE);
        }
    }
    assert_int_equal(total(&c, "ferry.ride y A", &n), 2);
    assert_int_equal(n, 1);
    free(c.head);
}

/* A claim that was cut short, and two cells of one key. */
static void claims(void **state)
{
    jd_cells_t c;
    jd_cell_t copy;
    uint64_t at = 0, first;
    unsigned n;
    jd_cell_key_t order = key(JD_CELL_ORDER, 0, "CS-1");

    (void) state;
    fresh(&c);
    assert_int_equal(jd_cells_count(&c, &order, NOW, PID), 0);
    while (jd_cells_look(&c, at, &copy) != JD_CELL_USED) {
        at++;
    }
    /* the cell moves one on in its path, a claim that died stands before it */
    uint64_t next = (at + 1) % c.cells;
    memcpy((void *) &c.cell[next], (const void *) &c.cell[at], sizeof(jd_cell_t));
    c.cell[at].tag = 99;
    assert_int_equal(jd_cells_count(&c, &order, NOW, PID), 0);
    assert_int_equal(total(&c, "CS-1 bus.ride", &n), 2);
    assert_int_equal(n, 1);
    assert_int_equal(jd_cells_look(&c, at, &copy), JD_CELL_BUSY);
    assert_int_equal(copy.tag, 99);
    jd_cells_recover(&c, at, &copy, PID);
    assert_int_equal(jd_cells_look(&c, at, &copy), JD_CELL_FREE);
    /* two of one key: counted on in the first, summed */
    memcpy((void *) &c.cell[at], (const void *) &c.cell[next], sizeof(jd_cell_t));
    assert_int_equal(jd_cells_count(&c, &order, NOW, PID), 0);
    assert_int_equal(jd_cells_look(&c, next, &copy), JD_CELL_USED);
    assert_int_equal(jd_cells_total(&c, &copy, &first), 5);
    assert_int_equal(first, at);
    free(c.head);
}

static void long_texts(void **state)
{
    jd_cells_t c;
    jd_cell_t copy;
    char a[601], b[601];
    unsigned used = 0;
    jd_cell_key_t k = {JD_CELL_DENIED, 0, 0, a, 600};

    (void) state;
    for (int i = 0; i < 600; i += 3) {
        memcpy(a + i, "\xe5\xb1\x80", 3);
    }
    memcpy(b, a, 600);
    memcpy(b + 597, "\xe5\xb1\x81", 3);
    fresh(&c);
    assert_int_equal(jd_cells_count(&c, &k, NOW, PID), 0);
    assert_int_equal(jd_cells_count(&c, &k, NOW, PID), 0);
    k.text = b;
    assert_int_equal(jd_cells_count(&c, &k, NOW, PID), 0);
    for (uint64_t i = 0; i < c.cells; i++) {
        if (jd_cells_look(&c, i, &copy) == JD_CELL_USED) {
            used++;
            assert_true(copy.len <= JD_CELL_TEXT_MAX && copy.text[copy.len - 17] == '~');
            assert_int_equal((copy.len - 17) % 3, 0);
        }
    }
    assert_int_equal(used, 2);
    free(c.head);
}

static void heads(void **state)
{
    jd_cells_t c;
    void *mem;

    (void) state;
    fresh(&c);
    mem = c.head;
    assert_int_equal(jd_cells_list(&c, "library"), 1);
    assert_int_equal(jd_cells_list(&c, "credit"), 0);
    assert_int_equal(jd_cells_open(&c, mem, SIZE, "gw2"), JD_CELLS_GATEWAY);
    assert_int_equal(jd_cells_open(&c, mem, SIZE + 256, "gw1"), JD_CELLS_SIZE);
    c.head->layout = 9;
    assert_int_equal(jd_cells_open(&c, mem, SIZE, "gw1"), JD_CELLS_VERSION);
    c.head->magic = 9;
    assert_int_equal(jd_cells_open(&c, mem, SIZE, "gw1"), JD_CELLS_FOREIGN);
    for (int i = 2; i < JD_CELLS_LISTS; i++) {
        char name[16];

        snprintf(name, sizeof(name), "l%d", i);
        assert_int_equal(jd_cells_list(&c, name), i);
    }
    assert_int_equal(jd_cells_list(&c, "more"), -1);
    assert_int_equal(jd_cells_for(JD_CELLS_HEAD + 63 * sizeof(jd_cell_t)), 0);
    assert_int_equal(jd_cells_for(100), 0);
    free(mem);
    assert_true(jd_gateway_ok("gw1.north_a-b", 13));
    assert_false(jd_gateway_ok("-", 1));
    assert_false(jd_gateway_ok("", 0));
    assert_false(jd_gateway_ok("a:b", 3));
    assert_false(jd_gateway_ok("a b", 3));
}

/* Each hour of 140 years against the C library. */
static void periods(void **state)
{
    char out[JD_PERIOD_MAX], want[32];

    (void) state;
    for (int64_t t = 0; t < INT64_C(140) * 366 * 86400; t += 3599) {
        time_t utc = (time_t) t, china = utc + 8 * 3600;
        struct tm tm;

        gmtime_r(&utc, &tm);
        strftime(want, sizeof(want), "%Y-%m-%dT%H", &tm);
        uint32_t hour = jd_period_of(JD_PERIOD_HOUR, t);
        assert_int_equal(jd_period_print(JD_PERIOD_HOUR, hour, out), 13);
        assert_string_equal(out, want);
        assert_true(jd_period_end(JD_PERIOD_HOUR, hour) > t && jd_period_end(JD_PERIOD_HOUR, hour) - 3600 <= t);
        gmtime_r(&china, &tm);
        strftime(want, sizeof(want), "%Y-%m", &tm);
        uint32_t month = jd_period_of(JD_PERIOD_MONTH, t);
        assert_int_equal(jd_period_print(JD_PERIOD_MONTH, month, out), 7);
        assert_string_equal(out, want);
        assert_true(jd_period_end(JD_PERIOD_MONTH, month) > t);
        assert_true(month == 0 || jd_period_end(JD_PERIOD_MONTH, month - 1) <= t);
    }
}

static void names(void **state)
{
    char out[JD_LEDGER_NAME_MAX];
    uint32_t month = jd_period_of(JD_PERIOD_MONTH, NOW), hour = jd_period_of(JD_PERIOD_HOUR, NOW);

    (void) state;
    jd_ledger_key(out, "credit", "gw1", JD_PERIOD_MONTH, runs[0], month);
    assert_string_equal(out, "jd:{credit}:ledger:-:01020300000000000000000000000000:2026-11");
    jd_ledger_key(out, "credit", "gw1", JD_PERIOD_HOUR, runs[1], hour);
    assert_string_equal(out, "jd:{credit}:ledger:gw1:fffe0000000000000000000000000000:2026-11-23T23");
    jd_ledger_period(out, JD_PERIOD_HOUR, runs[1], hour);
    assert_string_equal(out, "fffe0000000000000000000000000000:2026-11-23T23");
}

static void script_has_its_sha1(void **state)
{
    unsigned char sum[SHA_DIGEST_LENGTH];
    char hex[41];

    (void) state;
    SHA1((const unsigned char *) jd_push_script, strlen(jd_push_script), sum);
    for (int i = 0; i < SHA_DIGEST_LENGTH; i++) {
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    }
    assert_string_equal(jd_push_sha1, hex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts),
        cmocka_unit_test(full_counts_nothing),
        cmocka_unit_test(closed_is_closed),
        cmocka_unit_test(claims),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(heads),
        cmocka_unit_test(periods),
        cmocka_unit_test(names),
        cmocka_unit_test(script_has_its_sha1),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
