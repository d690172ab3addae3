/*
 * rcd_slice - how long background work may go on in one go: until its time is over, or until relief
 * has come and waits to be taken.
 *
 * All of the daemon is one thread: work on a snapshot, on links or on Redis is done in slices between
 * two looks at the feed. A slice looks at rcd_slice_over often, each few records, and ends when it says so.
 */
#ifndef RCD_SLICE_H
#define RCD_SLICE_H

#include <stdint.h>

/* Asked by rcd_slice_over, at most once a millisecond: 1 when relief waits. `waits` NULL: nobody knows,
 * and slices end by time alone. One watch for the process. */
void    rcd_slice_watch(int (*waits)(void *owner), void *owner);

/* CLOCK_MONOTONIC in nanoseconds */
int64_t rcd_slice_now(void);

/* 1 when a slice that may go on until `end_ns` (rcd_slice_now) is over. */
int     rcd_slice_over(int64_t end_ns);

#endif
