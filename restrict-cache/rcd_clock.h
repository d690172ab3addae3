/*
 * rcd_clock - wall, monotonic, and the office clock, which runs on CLOCK_BOOTTIME between heads.
 */
#ifndef RCD_CLOCK_H
#define RCD_CLOCK_H

#include <stdint.h>

typedef struct {
    /* {state dir}/office-clock, so that a restart within one boot loses nothing */
    char   *file;
    char    boot_id[40];
    int64_t iat;               /* last verified head's, 0 = none yet */
    int64_t boot_sec;          /* CLOCK_BOOTTIME when it came */
    int64_t high;              /* highest value given out: the office clock never goes back */
} rcd_clock_t;

int64_t rcd_clock_wall(void);          /* Unix seconds */
int64_t rcd_clock_wall_ms(void);       /* Unix milliseconds */
int64_t rcd_clock_ms(void);            /* monotonic milliseconds, for timers */

/* Takes up the clock of `dir`; `head_iat` (0 = none) is the newest head of the journal. After a
 * reboot the time the machine was off is unknown: the clock then lags until the next head, which
 * only lets pass. 0, or -1 without memory. */
int  rcd_clock_init(rcd_clock_t *c, const char *dir, int64_t head_iat);
void rcd_clock_fini(rcd_clock_t *c);

/* A verified head came that is not older than any before. */
void rcd_clock_head(rcd_clock_t *c, int64_t iat);

/* The office clock; 0 = no head yet. */
int64_t rcd_clock_office(rcd_clock_t *c);

#endif
