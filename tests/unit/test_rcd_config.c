/*
 * rcd_config: a good file is read as it stands; every fault is told with file, line and mend.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "rcd_config.h"

#define HEAD   "[list]\nname = credit\n[state]\ndir = /tmp/none\n"                         /* lines 1-4 */
#define OFFICE "[office]\nbase = https://office.test/v1/\niss = o\naud = us\njwks_file = /x\n" \
               "ca_file = /x\ntoken_file = /x\n"
#define REDIS  "[redis]\naddress = 127.0.0.1:6379\nexpected = 1000\n"

static char dir[] = "/tmp/test_rcd_config.XXXXXX";
static char conf[64], key[64];

static void put(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    chmod(path, mode);
}

static int setup(void **state)
{
    (void) state;
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(conf, sizeof(conf), "%s/c", dir);
    snprintf(key, sizeof(key), "%s/k", dir);
    put(key, "d1 000102030405060708090a0b0c0d0e0f\n", 0600);
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    unlink(conf);
    unlink(key);
    return rmdir(dir);
}

/* Loads HEAD, the digest section (lines 5, 6) and `rest` (from line 7). */
static rcd_config_t *load(const char *rest, char *err, size_t err_size)
{
    char text[8192];

    snprintf(text, sizeof(text), HEAD "[digest]\nkey_file = %s\n%s", key, rest);
    put(conf, text, 0644);
    return rcd_config_load(conf, RCD_CONFIG_COMMAND, err, err_size);
}

static void whole_file(void **state)
{
    char err[512];
    rcd_config_t *c;

    (void) state;
    c = load("; comment\n# comment\n" OFFICE REDIS
             "auth_file = /etc/jd/redis.auth\n"
             "[normalise]\ncard = upper strip_zeros\nuid = upper\n"
             "[ledger]\nretention_days = 62\nreport_sec = 86400\n"
             "[log]\nfile = /var/log/jd.log\nlevel = debug\n"
             "[measure bus.ride]\nlegal_source = Measures of Haicheng,\n  article 12\n"
             "authority = A Bureau\nauthority = 交通局\nmax_term = 365d\n", err, sizeof(err));
    if (c == NULL) {
        fail_msg("%s", err);
        return;
    }
    assert_string_equal(c->list, "credit");
    assert_string_equal(c->state_dir, "/tmp/none");
    assert_string_equal(c->office.base, "https://office.test/v1");
    assert_string_equal(c->redis.address, "127.0.0.1:6379");
    assert_int_equal(c->redis.expected, 1000);
    assert_int_equal(c->rules.accept_card_subjects, 0);
    assert_int_equal(c->log.level, RCD_LOG_DEBUG);
    assert_int_equal(c->ledger.retention_days, 62);
    assert_int_equal(c->ledger.report_sec, 86400);
    assert_int_equal(c->rules.norm.flags[JD_SCHEME_CARD], JD_NORM_UPPER | JD_NORM_STRIP_ZEROS);
    assert_int_equal(c->rules.norm.flags[JD_SCHEME_UID], JD_NORM_UPPER);
    assert_ptr_equal(c->rules.key, &c->keys.key[0]);
    assert_string_equal(c->keys.key[0].id, "d1");
    assert_int_equal(c->rules.rule[0].enabled, 1);
    assert_string_equal(c->rules.rule[0].legal_source, "Measures of Haicheng, article 12");
    assert_int_equal(c->rules.rule[0].n_authorities, 2);
    assert_string_equal(c->rules.rule[0].authorities[1], "交通局");
    assert_int_equal(c->rules.rule[0].max_term_sec, 365 * 86400);
    for (unsigned i = 1; i < JD_MEASURE_N; i++) {
        assert_int_equal(c->rules.rule[i].enabled, 0);
    }
    rcd_config_destroy(c);
}

#define MEASURE OFFICE REDIS "[measure bus.ride]\n"          /* its first key stands in line 18 */
#define LONG    "0123456789012345678901234567890123456789012345678901234567890123456789"

static void faults(void **state)
{
    static const struct {
        const char *rest, *err;
    } rows[] = {
        {OFFICE, ": [redis] address is missing"},
        {OFFICE REDIS "[bogus]\n", ":17: unknown section [bogus]"},
        {OFFICE REDIS "[bogus]\nx = 1\n", ":17: unknown section [bogus]"},
        {OFFICE REDIS "adress = 1\n", ":17: unknown key \"adress\" in [redis]"},
        {OFFICE REDIS "expected = 1000\n", ":17: expected is repeated"},
        {OFFICE REDIS "auth_file\n", ":17: neither [section] nor key = value"},
        {OFFICE REDIS "auth_file =\n", ":17: auth_file has no value"},
        {OFFICE REDIS "auth_file = relative\n", ":17: auth_file must be an absolute path"},
        {OFFICE REDIS "[log\n", ":17: the section's \"]\" is missing"},
        {OFFICE REDIS "[log] level = debug\n", ":17: text after \"]\""},
        {OFFICE REDIS "[log]\nlevel = loud\n", ":18: level must be error, warn"},
        {OFFICE REDIS " auth_file = /x\n", ":17: an indented line"},
        {OFFICE REDIS "auth_file = /" LONG LONG LONG "\n", ":17: line longer than"},
        {OFFICE REDIS "auth_file = /x\001\n", ":17: a control character"},
        {OFFICE "[redis]\naddress = localhost:6379\nexpected = 1\n", ":15: address must be"},
        {OFFICE "[redis]\naddress = 127.0.0.1:0\nexpected = 1\n", ":15: address must be"},
        {OFFICE "[redis]\naddress = 127.0.0.1\nexpected = 1\n", ":15: address must be"},
        {OFFICE "[redis]\naddress = unix:/x\nexpected = 0\n", ":16: expected must be"},
        {OFFICE "[redis]\naddress = unix:/x\nexpected = 67108865\n", ":16: expected must be"},
        {OFFICE "[redis]\naddress = unix:/x\nexpected = 10k\n", ":16: expected must be"},
        {OFFICE REDIS "[ledger]\nretention_days = 61\n", ":18: retention_days must be"},
        {OFFICE REDIS "[ledger]\nretention_days = 3661\n", ":18: retention_days must be"},
        {OFFICE REDIS "[ledger]\nretention_days = 400d\n", ":18: retention_days must be"},
        {OFFICE REDIS "[ledger]\nreport_sec = 0\n", ":18: report_sec must be"},
        {OFFICE REDIS "[ledger]\nreport_sec = 86401\n", ":18: report_sec must be"},
        {"[office]\nbase = http://office.test\n", ":8: base must be https://"},
        {"[office]\nbase = https://user@office.test\n", ":8: base must not"},
        {"[office]\nbase = https:///v1\n", ":8: base must be https://"},
        {OFFICE "client_cert = /x\n" REDIS, ": [office] client_cert and client_key belong together"},
        {OFFICE "client_cert = /x\nclient_key = /x\n" REDIS, ": [office] needs token_file, or"},
        {"[office]\nbase = https://o\niss = o\naud = u\njwks_file = /x\nca_file = /x\n" REDIS,
         ": [office] needs token_file, or"},
        {OFFICE REDIS "[measure bus.fly]\n", ":17: unknown measure \"bus.fly\"; the list is closed: bus.ride"},
        {MEASURE, ":17: [measure bus.ride] lacks legal_source"},
        {MEASURE "legal_source = x\n", ":17: [measure bus.ride] lacks authority"},
        {MEASURE "legal_source = x\nauthority = A\n", ":17: [measure bus.ride] lacks max_term"},
        {MEASURE "legal_source = x\nlegal_source = y\n", ":19: legal_source is repeated"},
        {MEASURE "authority = A\n  B\n", ":19: an indented line"},
        {MEASURE "max_term = 365\n", ":18: max_term must be a number of days, 1d to 1098d"},
        {MEASURE "max_term = 1099d\n", ":18: max_term must be"},
        {MEASURE "max_term = 1d\nmax_term = 2d\n", ":19: max_term is repeated"},
        {MEASURE "term = 1d\n", ":18: unknown key \"term\""},
        {MEASURE "max_term = 1d\n[measure bus.ride]\n", ":19: [measure bus.ride] is repeated"},
        {"[normalise]\nplastic = upper\n", ":8: unknown scheme \"plastic\""},
        {"[normalise]\ncard = lower\n", ":8: card takes the words"},
        {"[normalise]\ncnid = upper\n", ":8: cnid takes the words"},
        {"[normalise]\ncard = upper\ncard = upper\n", ":9: card is repeated"},
        {"[list]\nname = a\n", ":8: name is repeated"},
        {"[list]\naccept_card_subjects = yes\n", ":8: accept_card_subjects must be on or off"},
    };
    char err[512], expected[600];

    (void) state;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        rcd_config_t *c = load(rows[i].rest, err, sizeof(err));

        snprintf(expected, sizeof(expected), "%s%s", conf, rows[i].err);
        if (c != NULL || strncmp(err, expected, strlen(expected)) != 0) {
            fail_msg("\n%s\ngave \"%s\"\nnot \"%s\"", rows[i].rest, c == NULL ? err : "no error", expected);
        }
    }
}

static void names(void **state)
{
    char err[512];

    (void) state;
    put(conf, "name = x\n", 0644);
    assert_null(rcd_config_load(conf, RCD_CONFIG_COMMAND, err, sizeof(err)));
    assert_non_null(strstr(err, ":1: \"name\" stands before the first [section]"));
    put(conf, "[list]\nname = Credit List\n", 0644);
    assert_null(rcd_config_load(conf, RCD_CONFIG_COMMAND, err, sizeof(err)));
    assert_non_null(strstr(err, ":2: name must be"));
    assert_null(rcd_config_load("/nonexistent/file", RCD_CONFIG_COMMAND, err, sizeof(err)));
    assert_non_null(strstr(err, "/nonexistent/file: No such file"));
    assert_null(rcd_config_load(dir, RCD_CONFIG_COMMAND, err, sizeof(err)));
    assert_non_null(strstr(err, "not a regular file"));
}

static void key_files(void **state)
{
    char err[512];

    (void) state;
    chmod(key, 0604);
    assert_null(load(OFFICE REDIS, err, sizeof(err)));
    assert_non_null(strstr(err, "others may read this secret; chmod o= it"));
    chmod(key, 0640);
    put(key, "d1 00\n", 0600);
    assert_null(load(OFFICE REDIS, err, sizeof(err)));
    assert_non_null(strstr(err, "/k:1: "));
    put(key, "d1 000102030405060708090a0b0c0d0e0f\n", 0600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_file),
        cmocka_unit_test(faults),
        cmocka_unit_test(names),
        cmocka_unit_test(key_files),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
