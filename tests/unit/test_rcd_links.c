/*
 * rcd_links, rcd_sort: what is written is read back and found; every damaged byte is seen; records come
 * back in order, however many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "rcd_links.h"
#include "rcd_sort.h"

static char dir[] = "/tmp/test_rcd_links.XXXXXX";
static char path[64];

static int setup(void **state)
{
    (void) state;
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s/links", dir);
    return 0;
}

static int teardown(void **state)
{
    (void) state;
    unlink(path);
    return rmdir(dir);
}

static uint64_t seed = 1;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

/* A link of one of `cards` cards and `holders` holders. */
static rcd_holding_t some_link(unsigned cards, unsigned holders)
{
    rcd_holding_t h = {.from = (int64_t) (next_random() % 1000), .flags = next_random() % 8};

    memset(h.card, (int) (1 + next_random() % cards), sizeof(h.card));
    memset(h.holder, (int) (1 + next_random() % holders), sizeof(h.holder));
    h.until = h.from + 1 + (int64_t) (next_random() % 1000);
    return h;
}

static int by_bytes(const void *a, const void *b)
{
    uint8_t x[RCD_LINKS_ENTRY], y[RCD_LINKS_ENTRY];

    rcd_links_encode(a, x);
    rcd_links_encode(b, y);
    return memcmp(x, y, sizeof(x));
}

/* Writes `n` links (sorted here) and opens the file. Their number without repetitions in *n. */
static rcd_links_t *write_and_open(rcd_holding_t *h, unsigned *n)
{
    rcd_links_head_t head = {.serial = 7, .base = 6, .at = 1234, .how = RCD_LINKS_DELTA,
                             .counts = {.cards = 3, .listed_grown = 8}, .source_inode = 55};
    rcd_links_writer_t *w = rcd_links_writer_create(dir, "links");
    char err[256];
    int rc;

    assert_non_null(w);
    qsort(h, *n, sizeof(*h), by_bytes);
    for (unsigned i = 0; i < *n; i++) {
        assert_int_equal(rcd_links_writer_put(w, &h[i]), 0);
    }
    while ((rc = rcd_links_writer_index(w, 0)) > 0) {
    }
    assert_int_equal(rc, 0);
    snprintf(head.user, sizeof(head.user), "a user");
    snprintf(head.under, sizeof(head.under), "k1 0011 card=upper");
    memset(head.hash, 0xab, sizeof(head.hash));
    assert_int_equal(rcd_links_writer_seal(w, &head), 0);
    head.counts.listed_grown = 9;
    assert_int_equal(rcd_links_writer_seal(w, &head), 0);     /* weighed: another header */
    *n = (unsigned) rcd_links_writer_count(w);
    rcd_links_writer_destroy(w);
    rcd_links_t *l = rcd_links_open(path, 1, err, sizeof(err));
    if (l == NULL) {
        fail_msg("%s", err);
    }
    return l;
}

static void round_trip(void **state)
{
    static const unsigned sizes[] = {0, 1, 2, 300, 20000};
    static rcd_holding_t h[20000];

    (void) state;
    for (unsigned s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        unsigned n = sizes[s], cards = 1 + n / 100, found = 0;
        rcd_links_t *l;

        for (unsigned i = 0; i < n; i++) {
            h[i] = some_link(cards % 256 ? cards % 256 : 1, 40);
        }
        l = write_and_open(h, &n);
        assert_int_equal(l->head.n, n);
        assert_int_equal(l->head.serial, 7);
        assert_int_equal(l->head.base, 6);
        assert_int_equal(l->head.at, 1234);
        assert_int_equal(l->head.how, RCD_LINKS_DELTA);
        assert_int_equal(l->head.counts.cards, 3);
        assert_int_equal(l->head.counts.listed_grown, 9);
        assert_int_equal(l->head.source_inode, 55);
        assert_string_equal(l->head.user, "a user");
        assert_string_equal(l->head.under, "k1 0011 card=upper");
        assert_int_equal(l->head.hash[31], 0xab);
        assert_true(l->size <= RCD_LINKS_HEADER + 80 * (uint64_t) n);

        /* every card and every holder is found where a scan finds it, and each entry once by holder */
        for (unsigned b = 0; b < 256; b++) {
            uint8_t key[JD_DIGEST_LEN];
            rcd_holding_t e;
            uint64_t at;

            memset(key, (int) b, sizeof(key));
            at = rcd_links_card(l, key);
            if (at > 0) {
                rcd_links_get(l, at - 1, &e);
                assert_true(memcmp(e.card, key, sizeof(key)) < 0);
            }
            if (at < n) {
                rcd_links_get(l, at, &e);
                assert_true(memcmp(e.card, key, sizeof(key)) >= 0);
            }
            for (at = rcd_links_holder(l, key);
                 rcd_links_indexed(l, at, &e) && memcmp(e.holder, key, sizeof(key)) == 0; at++) {
                found++;
                assert_true(rcd_links_holder_after(l, key, e.card) > at);
            }
        }
        assert_int_equal(found, n);
        rcd_links_close(l);
    }
}

/* Whatever byte changes, the file is refused, or its header alone is taken and lookups stay inside. */
static void every_damage_is_seen(void **state)
{
    static rcd_holding_t h[40];
    unsigned n = 40;
    rcd_links_t *l;
    struct stat st;
    char err[256];
    uint8_t byte;
    int fd;

    (void) state;
    for (unsigned i = 0; i < n; i++) {
        h[i] = some_link(20, 20);
    }
    rcd_links_close(write_and_open(h, &n));
    fd = open(path, O_RDWR);
    assert_int_equal(fstat(fd, &st), 0);
    for (off_t at = 0; at < st.st_size; at++) {
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 1u << at % 8;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        l = rcd_links_open(path, 1, err, sizeof(err));
        if (l != NULL) {
            fail_msg("byte %ld changed and not seen", (long) at);
        }
        assert_true(err[0] != '\0');
        l = rcd_links_open(path, 0, err, sizeof(err));
        if (l != NULL) {
            uint8_t key[JD_DIGEST_LEN] = {10};
            rcd_holding_t e;

            (void) rcd_links_card(l, key);
            for (uint64_t p = rcd_links_holder(l, key); p < n && rcd_links_indexed(l, p, &e); p++) {
            }
            rcd_links_close(l);
        }
        byte ^= 1u << at % 8;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    for (off_t len = 0; len < st.st_size; len += 17) {
        assert_int_equal(ftruncate(fd, len), 0);
        assert_null(rcd_links_open(path, len % 2, err, sizeof(err)));
        assert_true(err[0] != '\0');
        rcd_links_close(write_and_open(h, &n));
        close(fd);
        fd = open(path, O_RDWR);
    }
    close(fd);
}

static void what_is_no_file_of_links(void **state)
{
    char err[256] = "unset";
    FILE *f;

    (void) state;
    unlink(path);
    assert_null(rcd_links_open(path, 1, err, sizeof(err)));
    assert_string_equal(err, "");                         /* there is none: no fault */
    f = fopen(path, "w");
    fputs("card,holder,use\n", f);
    fclose(f);
    assert_null(rcd_links_open(path, 0, err, sizeof(err)));
    assert_non_null(strstr(err, "not a file of links"));
    unlink(path);
    assert_int_equal(symlink("/etc/hostname", path), 0);
    assert_null(rcd_links_open(path, 0, err, sizeof(err)));
    assert_true(err[0] != '\0');
}

/* A file that is not sealed leaves nothing behind; entries out of order and empty terms are refused. */
static void writer_refuses(void **state)
{
    rcd_holding_t a = some_link(200, 5), b = a, c = a;
    rcd_links_writer_t *w;

    (void) state;
    unlink(path);
    w = rcd_links_writer_create(dir, "links");
    assert_int_equal(rcd_links_writer_put(w, &a), 0);
    assert_int_equal(rcd_links_writer_put(w, &a), 0);     /* the same again is one */
    assert_int_equal(rcd_links_writer_count(w), 1);
    memset(b.card, 0, sizeof(b.card));
    assert_int_equal(rcd_links_writer_put(w, &b), -1);
    memset(c.card, 255, sizeof(c.card));
    c.until = c.from;
    assert_int_equal(rcd_links_writer_put(w, &c), -1);
    c.until = RCD_LINK_OPEN + 1;
    assert_int_equal(rcd_links_writer_put(w, &c), -1);
    rcd_links_writer_destroy(w);
    assert_int_equal(access(path, F_OK), -1);
    assert_null(rcd_links_writer_create("/nowhere", "links"));
}

/* In memory, at the edge of a run, and in several runs of a file. */
static void sorting(void **state)
{
    static const unsigned sizes[] = {0, 1, RCD_SORT_RUN, RCD_SORT_RUN + 1, 5 * RCD_SORT_RUN + 77};

    (void) state;
    for (unsigned s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        rcd_sort_t *sort = rcd_sort_create(dir, 12);
        uint8_t record[12], last[12] = {0};
        uint64_t sum = 0, n = 0;
        int rc;

        for (unsigned i = 0; i < sizes[s]; i++) {
            uint64_t v = next_random() % 100000;       /* some are equal */

            memset(record, 0, sizeof(record));
            memcpy(record, &v, 3);
            sum += v;
            assert_int_equal(rcd_sort_put(sort, record), 0);
        }
        assert_int_equal(rcd_sort_count(sort), sizes[s]);
        while ((rc = rcd_sort_next(sort, record)) > 0) {
            uint64_t v = 0;

            assert_true(memcmp(last, record, sizeof(record)) <= 0);
            memcpy(last, record, sizeof(record));
            memcpy(&v, record, 3);
            sum -= v;
            n++;
        }
        assert_int_equal(rc, 0);
        assert_int_equal(n, sizes[s]);
        assert_int_equal(sum, 0);
        assert_int_equal(rcd_sort_next(sort, record), 0);
        rcd_sort_destroy(sort);
    }
    rcd_sort_destroy(NULL);
}

/* A disk that takes no more is told, and nothing stays in the directory. */
static void sorting_without_a_disk(void **state)
{
    rcd_sort_t *sort = rcd_sort_create("/nowhere", 12);
    uint8_t record[12] = {0};
    int rc = 0;

    (void) state;
    for (unsigned i = 0; i <= RCD_SORT_RUN && rc == 0; i++) {
        rc = rcd_sort_put(sort, record);
    }
    assert_int_equal(rc, -1);
    assert_int_equal(errno, ENOENT);
    rcd_sort_destroy(sort);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(every_damage_is_seen),
        cmocka_unit_test(what_is_no_file_of_links),
        cmocka_unit_test(writer_refuses),
        cmocka_unit_test(sorting),
        cmocka_unit_test(sorting_without_a_disk),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
