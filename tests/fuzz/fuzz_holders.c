/*
 * fuzz_holders: a file of holders, line by line, as CSV or NDJSON. What is taken is a whole link in its bounds;
 * what is refused says why in one line; what was digested was there.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_holders_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const rcd_holders_line_t *l, rcd_holders_rc_t rc, int full)
{
    static const uint8_t zero[JD_DIGEST_LEN];
    const rcd_holding_t *h = &l->link;

    if ((rc == RCD_HOLDERS_REFUSED || rc == RCD_HOLDERS_WRONG) != (l->why[0] != '\0') ||
        strchr(l->why, '\n') != NULL) {
        abort();
    }
    if ((rc == RCD_HOLDERS_SET || rc == RCD_HOLDERS_REMOVE) &&
        (!l->has_card || memcmp(h->card, zero, sizeof(zero)) == 0)) {
        abort();
    }
    if (rc == RCD_HOLDERS_SET && (!l->has_holder || h->from < 0 || h->until <= h->from ||
                                  h->until > RCD_LINK_OPEN || (h->flags & RCD_LINK_DOUBT))) {
        abort();
    }
    if (rc == RCD_HOLDERS_REMOVE && full) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t raw[16] = {7};
    rcd_rules_t rules = {.accept_card_subjects = 0};
    rcd_holders_reader_t r;
    jd_key_t key;

    jd_key_init(&key, "k1", raw);
    rules.key = &key;
    for (int full = 0; full <= 1; full++) {
        const uint8_t *at = data, *end = data + size;

        rcd_holders_reader_init(&r, &rules, full);
        while (at < end) {
            const uint8_t *newline = memchr(at, '\n', (size_t) (end - at));
            size_t len = (size_t) ((newline != NULL ? newline : end) - at);
            char *line;
            rcd_holders_line_t l;
            rcd_holders_rc_t rc;

            len = len > RCD_HOLDERS_LINE_MAX ? RCD_HOLDERS_LINE_MAX : len;
            line = malloc(len + 1);                  /* exact size: an overread is seen */
            memcpy(line, at, len);
            line[len] = '\0';
            rc = rcd_holders_line(&r, line, len, &l);
            free(line);
            check(&l, rc, full);
            if (rc == RCD_HOLDERS_WRONG || newline == NULL) {
                break;
            }
            at = newline + 1;
        }
    }
    return 0;
}
