/*
 * rcd_brake - releases of the gates' brake: a brake that holds (jd_brake) lets go only when an
 * operator says so. The newest release of each measure stands in the journal and goes into meta,
 * field `brakes`, where the gates read it; it releases what was braked up to that second.
 */
#ifndef RCD_BRAKE_H
#define RCD_BRAKE_H

#include "rcd_spool.h"
#include "rcd_store.h"

extern const char rcd_brake_schema[];

#define RCD_BRAKE_TEXT_MAX  (JD_MEASURE_N * (32 + 1 + 20 + 1) + 1)

/* Statements of the journal just opened, and the releases in it; 0, or -1 with s->fault. close takes
 * a part not opened. */
int  rcd_brake_open(rcd_state_t *s);
void rcd_brake_close(rcd_state_t *s);

/* Value of meta's field: "bus.ride=1795475986 ..."; "" when nothing was ever released. */
void rcd_brake_text(const rcd_state_t *s, char out[RCD_BRAKE_TEXT_MAX]);

/* Command "brake-release" {measure, reason}: journaled and audited; in Redis with the next beat, a
 * second at most while Redis answers. */
const char *rcd_brake_command(rcd_command_t *c, const cJSON *command, cJSON *answer);

#endif
