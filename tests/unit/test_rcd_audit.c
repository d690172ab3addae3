/*
 * rcd_audit: rows of the journal, bound to the transaction that makes the change; their lines in the
 * chain file, whatever is between two steps of writing them; keys and signatures.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "rcd_audit_file.h"
#include "rcd_audit_read.h"
#include "rcd_json.h"
#include "rcd_store.h"

#define FILE_MAX (512 * 1024)

static rcd_state_t *s;
static char dir[64], path[128];
static char before[FILE_MAX], after[FILE_MAX];
static const rcd_audit_signer_t nobody = {.every_records = 1000, .every_sec = 600};

static int set_up(void **state)
{
    char template[] = "/tmp/jd-audit-XXXXXX", err[256];

    (void) state;
    assert_non_null(mkdtemp(template));
    snprintf(dir, sizeof(dir), "%s", template);
    snprintf(path, sizeof(path), "%s/" RCD_AUDIT_FILE, dir);
    s = rcd_state_open(dir, "credit", err, sizeof(err));
    return s == NULL;
}

static int tear_down(void **state)
{
    static const char *const names[] = {"journal.db", "journal.db-wal", "journal.db-shm", "lock",
                                        RCD_AUDIT_FILE, "key", "jwk"};
    char name[128];

    (void) state;
    rcd_state_close(s);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(name, sizeof(name), "%s/%s", dir, names[i]);
        unlink(name);
    }
    assert_int_equal(rmdir(dir), 0);
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------ */

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

static uint64_t pending(void)
{
    uint64_t n;

    assert_int_equal(rcd_audit_pending(s, &n), 0);
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

/* A caller cannot write over what the chain itself says, nor make a record that no reader takes. */
static void test_what_a_caller_may_not(void **state)
{
    cJSON *fields = cJSON_Parse("{\"n\":1,\"at\":2,\"kind\":\"x\",\"a\":3,\"prev\":\"\",\"hash\":\"\"}");
    cJSON *large = cJSON_CreateObject();
    char *long_text = malloc(RCD_AUDIT_TEXT_MAX + 2);

    (void) state;
    memset(long_text, 'x', RCD_AUDIT_TEXT_MAX + 1);
    long_text[RCD_AUDIT_TEXT_MAX + 1] = '\0';
    cJSON_AddStringToObject(large, "a", long_text);
    free(long_text);
    assert_int_equal(rcd_store_begin(s, 1), 0);
    assert_int_equal(rcd_audit(s, "stay", fields), 0);
    assert_int_equal(rcd_audit(s, "Not A Kind\"", NULL), 0);
    assert_int_equal(rcd_audit(s, "large", large), 0);
    assert_int_equal(rcd_store_commit(s), 0);
    assert_int_equal(rows("stay", ",\"a\":3"), 1);
    assert_int_equal(rows("unknown", ""), 1);
    assert_int_equal(rows("large", ",\"too_long\":163849"), 1);
}

static void test_actor(void **state)
{
    cJSON *own = cJSON_CreateObject();

    (void) state;
    cJSON_AddStringToObject(own, "user", "bob");
    rcd_audit_actor(s, "alice");
    assert_int_equal(rcd_audit_alone(s, "epoch", NULL), 0);
    assert_int_equal(rcd_audit_alone(s, "import", own), 0);
    rcd_audit_actor(s, NULL);
    assert_int_equal(rcd_audit_alone(s, "epoch", NULL), 0);
    assert_int_equal(rows("epoch", ",\"user\":\"alice\""), 1);
    assert_int_equal(rows("import", ",\"user\":\"bob\""), 1);
    assert_int_equal(rows("epoch", ""), 1);
}

/* ---- the file -------------------------------------------------------------------------------- */

static void put(const char *kind, int n)
{
    for (int i = 0; i < n; i++) {
        cJSON *fields = cJSON_CreateObject();

        cJSON_AddNumberToObject(fields, "i", i);
        assert_int_equal(rcd_audit_alone(s, kind, fields), 0);
    }
}

static size_t read_file(char *to)
{
    FILE *f = fopen(path, "r");
    size_t n = f == NULL ? 0 : fread(to, 1, FILE_MAX - 1, f);

    if (f != NULL) {
        fclose(f);
    }
    to[n] = '\0';
    return n;
}

static void write_file(const char *bytes, size_t len)
{
    FILE *f = fopen(path, "w");

    assert_int_equal(fwrite(bytes, 1, len, f), len);
    fclose(f);
}

/* Every line follows the one before; their number. */
static unsigned chain_length(void)
{
    int fd = open(path, O_RDONLY);
    uint8_t prev[RCD_AUDIT_HASH_LEN] = {0};
    rcd_audit_reader_t r;
    rcd_audit_line_t line;
    const char *text;
    unsigned n = 0;
    size_t len;

    assert_int_equal(rcd_audit_reader_init(&r, fd, 0), 0);
    while (rcd_audit_reader_next(&r, &text, &len) == RCD_AUDIT_READ_LINE) {
        assert_null(rcd_audit_line_parse(text, len, &line));
        assert_true(line.genuine);
        assert_int_equal(line.n, ++n);
        assert_memory_equal(line.prev, prev, sizeof(prev));
        memcpy(prev, line.hash, sizeof(prev));
    }
    rcd_audit_reader_fini(&r);
    close(fd);
    return n;
}

/* A daemon begins, drains and ends. */
static void drain(void)
{
    rcd_audit_file_t *f = rcd_audit_file_create(s, &nobody);

    assert_non_null(f);
    rcd_audit_file_flush(f, 1000);
    rcd_audit_file_destroy(f);
}

static void test_drained(void **state)
{
    rcd_audit_file_t *f = rcd_audit_file_create(s, &nobody);
    rcd_audit_file_status_t st;
    struct stat file;

    (void) state;
    put("lift", 5);
    assert_int_equal(rcd_audit_file_step(f, 1000, 1000), 250);
    assert_int_equal(pending(), 0);
    assert_int_equal(chain_length(), 5);
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    put("mark", 1);
    assert_int_equal(rcd_audit_file_step(f, 1100, 1000), 150);      /* batches have their pause */
    assert_int_equal(pending(), 1);
    rcd_audit_file_step(f, 1250, 1000);
    rcd_audit_file_status(f, &st);
    assert_int_equal(st.records, 6);
    assert_int_equal(st.bytes, read_file(after));
    assert_int_equal(st.pending, 0);
    assert_string_equal(st.fault, "");
    assert_int_equal(rcd_audit_file_step(f, 2000, 1000), 1000);     /* nothing to do */
    rcd_audit_file_destroy(f);
}

/* Killed between the file's sync and the journal's commit, at any row: the bytes that stand in the file
 * are every prefix of a batch, also torn. */
static void test_killed_at_any_byte(void **state)
{
    size_t head, whole;

    (void) state;
    put("lift", 2);
    drain();
    head = read_file(before);
    put("mark", 4);
    assert_int_equal(sqlite3_exec(s->db, "CREATE TABLE saved AS SELECT * FROM audit;"
                                  "CREATE TABLE saved_head AS SELECT * FROM audit_head", NULL, NULL,
                                  NULL), SQLITE_OK);
    drain();
    whole = read_file(before);
    assert_true(whole > head);

    for (size_t at = head; at <= whole; at++) {
        assert_int_equal(sqlite3_exec(s->db, "DELETE FROM audit; INSERT INTO audit SELECT * FROM saved;"
                                      "DELETE FROM audit_head;"
                                      "INSERT INTO audit_head SELECT * FROM saved_head", NULL, NULL,
                                      NULL), SQLITE_OK);
        write_file(before, at);
        drain();
        assert_int_equal(read_file(after), whole);
        assert_memory_equal(after, before, whole);
        assert_int_equal(pending(), 0);
    }
}

/* The journal's commit fails after the file's sync: nothing is written twice, also in the same run. */
static void test_a_journal_that_cannot_be_written(void **state)
{
    rcd_audit_file_t *f = rcd_audit_file_create(s, &nobody);
    rcd_audit_file_status_t st;

    (void) state;
    put("lift", 3);
    assert_int_equal(sqlite3_exec(s->db, "CREATE TRIGGER full BEFORE UPDATE ON audit_head BEGIN"
                                  " SELECT RAISE(FAIL, 'disk full'); END", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(rcd_audit_file_step(f, 1000, 1000), 1000);
    rcd_audit_file_status(f, &st);
    assert_non_null(strstr(st.fault, "disk full"));
    assert_int_equal(sqlite3_exec(s->db, "DROP TRIGGER full", NULL, NULL, NULL), SQLITE_OK);
    put("mark", 1);
    rcd_audit_file_step(f, 2000, 1000);
    rcd_audit_file_step(f, 3000, 1000);
    assert_int_equal(pending(), 0);
    assert_int_equal(chain_length(), 4);
    rcd_audit_file_status(f, &st);
    assert_string_equal(st.fault, "");
    rcd_audit_file_destroy(f);
}

/* Rows rolled back, and row numbers that begin again when the table is empty. */
static void test_row_numbers(void **state)
{
    rcd_audit_file_t *f = rcd_audit_file_create(s, &nobody);

    (void) state;
    for (int i = 0; i < 5; i++) {
        put("lift", 1);
        assert_int_equal(rcd_store_begin(s, 1), 0);
        assert_int_equal(rcd_audit(s, "never", NULL), 0);
        rcd_store_rollback(s);
        rcd_audit_file_flush(f, 1000);
        assert_int_equal(chain_length(), i + 1);
    }
    rcd_audit_file_destroy(f);
    read_file(after);
    assert_null(strstr(after, "never"));
}

static void test_many_rows_are_several_batches(void **state)
{
    rcd_audit_file_t *f = rcd_audit_file_create(s, &nobody);
    int turns = 1;

    (void) state;
    assert_int_equal(rcd_store_begin(s, 1), 0);
    for (int i = 0; i < 9000; i++) {
        assert_int_equal(rcd_audit_put(s, "lift", ",\"order\":\"CS-1\""), 0);
    }
    assert_int_equal(rcd_store_commit(s), 0);
    while (rcd_audit_file_step(f, 1000, 1000) == 0) {
        turns++;
    }
    assert_in_range(turns, 2, 10);
    assert_int_equal(pending(), 0);
    assert_int_equal(chain_length(), 9000);
    rcd_audit_file_destroy(f);
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

static unsigned count_in_file(const char *what)
{
    unsigned n = 0;

    read_file(after);
    for (const char *p = after; (p = strstr(p, what)) != NULL; p++) {
        n++;
    }
    return n;
}

static void test_checkpoints(void **state)
{
    char key_path[128], err[256], hash[65];
    rcd_audit_signer_t by = {.iss = "us", .list = "credit", .every_records = 3, .every_sec = 600};
    rcd_audit_file_t *f;
    rcd_audit_key_t *key;
    const char *jws;
    rcd_jwks_t *set;
    rcd_jws_t token;
    uint64_t n;

    (void) state;
    assert_string_equal(rcd_audit_checkpoint(s, &n, hash), "");
    assert_int_equal(n, 0);
    snprintf(key_path, sizeof(key_path), "%s/key", dir);
    key = rcd_audit_key_create(key_path, err, sizeof(err));
    assert_non_null(key);
    by.key = key;
    f = rcd_audit_file_create(s, &by);
    put("lift", 1);
    rcd_audit_file_step(f, 1000, 10000);                       /* the first record is signed at once */
    assert_int_equal(count_in_file("\"kind\":\"checkpoint\""), 1);
    put("lift", 2);
    rcd_audit_file_step(f, 2000, 10599);
    assert_int_equal(count_in_file("\"kind\":\"checkpoint\""), 1);
    rcd_audit_file_step(f, 4000, 10599);                       /* nothing fresh enough yet */
    assert_int_equal(count_in_file("\"kind\":\"checkpoint\""), 1);
    rcd_audit_file_step(f, 6000, 10600);                       /* its time has come */
    assert_int_equal(count_in_file("\"kind\":\"checkpoint\""), 2);
    rcd_audit_file_step(f, 8000, 20000);                       /* but nothing is new */
    assert_int_equal(count_in_file("\"kind\":\"checkpoint\""), 2);
    put("lift", 7);
    rcd_audit_file_step(f, 10000, 20000);                      /* after three, after six */
    assert_int_equal(count_in_file("\"kind\":\"checkpoint\""), 4);
    put("lift", 1);
    rcd_audit_file_step(f, 12000, 15000);                      /* a clock set back far signs, too */
    assert_int_equal(count_in_file("\"kind\":\"checkpoint\""), 5);
    assert_int_equal(chain_length(), 16);

    jws = rcd_audit_checkpoint(s, &n, hash);
    assert_int_equal(n, 15);
    read_file(after);
    assert_non_null(strstr(after, hash));
    set = rcd_audit_key_jwks(key);
    assert_int_equal(rcd_jws_verify(set, jws, strlen(jws), RCD_TYP_CHECKPOINT, 15000, &token), RCD_JWS_OK);
    assert_non_null(strstr(token.payload, "\"iss\":\"us\",\"list\":\"credit\",\"journal\":\""));
    rcd_jws_fini(&token);
    rcd_jwks_destroy(set);
    rcd_audit_file_destroy(f);
    rcd_audit_key_destroy(key);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void save(const char *name, const char *text, mode_t mode)
{
    FILE *f = fopen(name, "w");

    fputs(text, f);
    fclose(f);
    chmod(name, mode);
}

static void test_keys(void **state)
{
    /* RFC 8037 appendix A: the key, its public half and its thumbprint */
    static const char rfc[] = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
                              "\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\","
                              "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"%s}";
    char name[128], pem[128], text[512], err[256];
    rcd_audit_key_t *a, *b;
    cJSON *jwk;

    (void) state;
    snprintf(name, sizeof(name), "%s/jwk", dir);
    snprintf(pem, sizeof(pem), "%s/key", dir);
    snprintf(text, sizeof(text), rfc, "");
    save(name, text, 0600);
    a = rcd_audit_key_load(name, err, sizeof(err));
    assert_non_null(a);
    assert_string_equal(a->kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    jwk = rcd_audit_key_public(a, 1, 0);
    assert_string_equal(rcd_json_string(jwk, "x"), "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    assert_null(cJSON_GetObjectItem(jwk, "d"));
    assert_null(cJSON_GetObjectItem(jwk, "exp"));
    cJSON_Delete(jwk);
    rcd_audit_key_destroy(a);

    snprintf(text, sizeof(text), rfc, ",\"kid\":\"mine\"");
    save(name, text, 0600);
    a = rcd_audit_key_load(name, err, sizeof(err));
    assert_string_equal(a->kid, "mine");
    rcd_audit_key_destroy(a);

    a = rcd_audit_key_create(pem, err, sizeof(err));
    b = rcd_audit_key_load(pem, err, sizeof(err));
    assert_string_equal(a->kid, b->kid);
    rcd_audit_key_destroy(a);
    rcd_audit_key_destroy(b);
    assert_null(rcd_audit_key_create(pem, err, sizeof(err)));
    assert_non_null(strstr(err, "exists"));
}

static void test_keys_refused(void **state)
{
    static const struct { const char *text; mode_t mode; const char *why; } bad[] = {
        {"", 0600, "no private key"},
        {"{}", 0600, "no private JWK"},
        {"{", 0600, "not JSON"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}", 0600,
         "no private JWK"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\","
         "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURA\"}", 0600, "does not belong"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\","
         "\"kid\":\"a b\"}", 0600, "kid"},
        {"-----BEGIN PRIVATE KEY-----\n"
         "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\n"
         "OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n"
         "1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G\n"
         "-----END PRIVATE KEY-----\n", 0600, "not an Ed25519 key"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\"}", 0640,
         "chmod 0600"},
        {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\"}", 0604,
         "chmod 0600"},
    };
    char name[128], err[256];

    (void) state;
    snprintf(name, sizeof(name), "%s/jwk", dir);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        save(name, bad[i].text, bad[i].mode);
        assert_null(rcd_audit_key_load(name, err, sizeof(err)));
        if (strstr(err, bad[i].why) == NULL || strncmp(err, name, strlen(name)) != 0) {
            fail_msg("%zu: %s", i, err);
        }
    }
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void test_lines_across_the_readers_buffer(void **state)
{
    static const size_t lengths[] = {1, 4095, 4096, 4097, 65535, 65536, RCD_AUDIT_LINE_MAX - 1,
                                     RCD_AUDIT_LINE_MAX, RCD_AUDIT_LINE_MAX + 1,
                                     RCD_AUDIT_LINE_MAX + 70000, 3 * RCD_AUDIT_LINE_MAX};
    size_t n = sizeof(lengths) / sizeof(lengths[0]), len;
    char *x = malloc(3 * RCD_AUDIT_LINE_MAX);
    FILE *f = fopen(path, "w");
    rcd_audit_reader_t r;
    const char *text;
    uint64_t offset = 0, begin;
    int fd;

    (void) state;
    memset(x, 'x', 3 * RCD_AUDIT_LINE_MAX);
    for (size_t i = 0; i < n; i++) {
        fwrite(x, 1, lengths[i], f);
        fputc('\n', f);
    }
    fputs("torn", f);
    fclose(f);
    fd = open(path, O_RDONLY);
    assert_int_equal(rcd_audit_reader_init(&r, fd, 0), 0);
    for (size_t i = 0; i < n; i++) {
        int is_long = lengths[i] > RCD_AUDIT_LINE_MAX;

        assert_int_equal(rcd_audit_reader_next(&r, &text, &len), is_long ? RCD_AUDIT_READ_LONG
                                                                         : RCD_AUDIT_READ_LINE);
        if (!is_long) {
            assert_int_equal(len, lengths[i]);
            assert_memory_equal(text, x, len);
        }
        offset += lengths[i] + 1;
        assert_int_equal(r.offset, offset);
        assert_int_equal(rcd_audit_line_begin(fd, offset, &begin), is_long ? -1 : 0);
        assert_true(is_long || begin == offset - lengths[i] - 1);
    }
    for (int twice = 0; twice < 2; twice++) {
        assert_int_equal(rcd_audit_reader_next(&r, &text, &len), RCD_AUDIT_READ_TORN);
        assert_int_equal(len, 4);
        assert_int_equal(r.offset, offset);
    }
    assert_int_equal(rcd_audit_line_begin(fd, offset + 2, &begin), -1);
    assert_int_equal(rcd_audit_line_begin(fd, 0, &begin), -1);
    rcd_audit_reader_fini(&r);
    close(fd);
    free(x);
}

/* The example of the README. */
static void test_line(void **state)
{
    static const char example[] =
        "{\"n\":1,\"at\":1795475986,\"kind\":\"daemon.start\",\"list\":\"credit\",\"prev\":\"0000000000000000"
        "000000000000000000000000000000000000000000000000\",\"hash\":\"%s\"}\n";
    static const uint8_t zeros[RCD_AUDIT_HASH_LEN];
    char line[1024], want[1024], hex[65];
    uint8_t hash[RCD_AUDIT_HASH_LEN];
    rcd_audit_line_t out;
    long len;

    (void) state;
    len = rcd_audit_line_print(line, 1, 1795475986, "daemon.start", ",\"list\":\"credit\"", 16, zeros, hash);
    rcd_audit_hex_print(hash, hex);
    snprintf(want, sizeof(want), example, hex);
    assert_int_equal(len, strlen(want));
    assert_memory_equal(line, want, len);
    assert_null(rcd_audit_line_parse(line, (size_t) len - 1, &out));
    assert_true(out.genuine);
    assert_int_equal(out.n, 1);
    assert_string_equal(out.kind, "daemon.start");
    assert_memory_equal(out.text, ",\"list\":\"credit\"", out.text_len);
    for (long i = 0; i < len - 1; i++) {
        line[i] ^= 1;
        assert_true(rcd_audit_line_parse(line, (size_t) len - 1, &out) != NULL || !out.genuine);
        line[i] ^= 1;
    }
    for (long i = 0; i < len - 1; i++) {
        assert_non_null(rcd_audit_line_parse(line, (size_t) i, &out));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_transaction, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_a_caller_may_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_actor, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_drained, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_killed_at_any_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_journal_that_cannot_be_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_row_numbers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_rows_are_several_batches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_checkpoints, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lines_across_the_readers_buffer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_line, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
