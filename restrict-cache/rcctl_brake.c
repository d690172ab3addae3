/*
 * rcctl_brake - releases the gates' brake of a measure.
 */
#include <string.h>
#include "core/jd_measure.h"
#include "rcctl.h"
#include "rcctl_spool.h"

int rcctl_brake(rcctl_t *r, int argc, char **argv)
{
    const char *measure = NULL, *reason = NULL;
    const rcctl_option_t options[] = {
        {"release", &measure, NULL}, {"reason", &reason, NULL}, {0}};
    cJSON *command, *answer;
    int rc;

    if (rcctl_options(r, argc, argv, options, 0) < 0) {
        return RCCTL_USAGE;
    }
    if (measure == NULL || reason == NULL || reason[0] == '\0') {
        rcctl_error("brake needs --release MEASURE and --reason TEXT");
        return RCCTL_USAGE;
    }
    if (jd_measure_bit(measure, strlen(measure)) < 0) {
        rcctl_error("--release %s: no such measure; one of %s", measure, jd_measure_list());
        return RCCTL_USAGE;
    }
    if (rcctl_config(r) != 0) {
        return RCCTL_USAGE;
    }
    if (rcctl_spool_alive(r) != 0) {
        return RCCTL_UNREACHABLE;
    }
    command = cJSON_CreateObject();
    cJSON_AddStringToObject(command, "cmd", "brake-release");
    cJSON_AddStringToObject(command, "measure", measure);
    cJSON_AddStringToObject(command, "reason", reason);
    rc = rcctl_spool_run(r, command, &answer);
    if (r->json && answer != NULL) {
        rcctl_json(answer);
        return rc;
    }
    if (rc == RCCTL_OK) {
        printf("%s: released; gates that reach Redis enforce it again within 6 s\n", measure);
    }
    cJSON_Delete(answer);
    return rc;
}
