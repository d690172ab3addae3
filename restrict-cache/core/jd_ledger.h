/*
 * jd_ledger - the ledger in Redis, as gates write it: keys, fields, and the script that pushes totals.
 *
 *   jd:{L}:ledger:-:<run>:<YYYY-MM>                     hash   "<order> <measure>" -> denied; the month at +08:00
 *   jd:{L}:ledger:<gateway>:<run>:<YYYY-MM-DDTHH>       hash   "<measure> d|y <authority>" -> denied (d) or denied in a dry run (y); the hour UTC
 *   field ".closed" of either: "<number of the other fields> <their sum>", when nothing will be added any more
 *   jd:{L}:ledger                                       set    names of these keys
 *   jd:{L}:ledger:done                                  hash   "<run>:<period>": the office has receipted it (the daemon's)
 *   jd:{L}:gates                                        hash   gateway -> "<last id of lifts> <Unix ms when it was seen there>"
 *
 * Totals are absolute and only grow: a push that comes late, twice or out of order does no harm. The two kinds have runs of their own (random, of
 * the gateway's ledger file), so that no record joins an order with a gateway or an hour.
 */
#ifndef JD_LEDGER_H
#define JD_LEDGER_H

#include <stddef.h>
#include <stdint.h>
#include "jd_cells.h"

#define JD_LEDGER_NAME_MAX    192
#define JD_LEDGER_FIELD_MAX   (JD_CELL_TEXT_MAX + 32)
#define JD_LEDGER_PERIOD_MAX  (2 * JD_RUN_LEN + 1 + JD_PERIOD_MAX)

/* Each writes a NUL-terminated text and returns its length. `gateway` is not used for months. */
size_t jd_ledger_key(char out[JD_LEDGER_NAME_MAX], const char *list, const char *gateway,
                     jd_period_class_t class, const uint8_t run[JD_RUN_LEN], uint32_t period);
size_t jd_ledger_period(char out[JD_LEDGER_PERIOD_MAX], jd_period_class_t class,
                        const uint8_t run[JD_RUN_LEN], uint32_t period);                    /* field of ledger:done */
size_t jd_ledger_field(char out[JD_LEDGER_FIELD_MAX], const jd_cell_t *cell);

/*
 * The push: KEYS key-of-the-period set; ARGV done-key "<run>:<period>" closed-or-"" and then field, total, field, total ...
 * Each field becomes the larger of old and new. Reply: JD_PUSH_KEPT; JD_PUSH_DONE, nothing was written, the cells may be freed;
 * JD_PUSH_NEW, kept, and the key had not been there: push the whole period. Without fields and "closed" it writes nothing and only asks.
 * The done key is read only, and therefore not among KEYS: those need the right to write.
 */
enum { JD_PUSH_KEPT = 0, JD_PUSH_DONE = 1, JD_PUSH_NEW = 2 };

extern const char jd_push_script[];
extern const char jd_push_sha1[41];            /* lower-case hex, of exactly the bytes of jd_push_script; a unit test recomputes it */

#endif
