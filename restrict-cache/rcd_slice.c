/*
 * rcd_slice - how long background work may go on in one go.
 */
#include <stddef.h>
#include <time.h>
#include "rcd_slice.h"

#define LOOK_NS  1000000              /* a look costs a system call */

static int   (*relief_waits)(void *owner);
static void   *relief_owner;
static int64_t looked_ns;

void rcd_slice_watch(int (*waits)(void *owner), void *owner)
{
    relief_waits = waits;
    relief_owner = owner;
}

int64_t rcd_slice_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int rcd_slice_over(int64_t end_ns)
{
    int64_t now = rcd_slice_now();

    if (now >= end_ns) {
        return 1;
    }
    if (relief_waits == NULL || now - looked_ns < LOOK_NS) {
        return 0;
    }
    looked_ns = now;
    return relief_waits(relief_owner);
}
