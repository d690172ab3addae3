/*
 * rcd_sort - records of one size in bytewise order, however many: an external merge sort in bounded
 * memory and bounded steps.
 */
#ifndef RCD_SORT_H
#define RCD_SORT_H

#include <stddef.h>
#include <stdint.h>

#define RCD_SORT_RECORD_MAX  128          /* bytes of a record */
#define RCD_SORT_RUN         8192         /* records sorted in memory at once: some 3 ms */

typedef struct rcd_sort_s rcd_sort_t;

/*
 * Records of `size` bytes (1..RCD_SORT_RECORD_MAX). Up to RCD_SORT_RUN of them stay in memory; more
 * go to a file without a name in `dir`, that is gone with the process. NULL without memory.
 */
rcd_sort_t *rcd_sort_create(const char *dir, size_t size);
void rcd_sort_destroy(rcd_sort_t *s);     /* NULL is allowed */

/* Copies a record in. 0, or -1 with errno (disk full). Not after rcd_sort_next. */
int rcd_sort_put(rcd_sort_t *s, const void *record);
/* The next record in order, equal ones as often as they were put: 1, 0 at the end, -1 with errno. */
int rcd_sort_next(rcd_sort_t *s, void *record);

/* Records put so far. */
uint64_t rcd_sort_count(const rcd_sort_t *s);

#endif
