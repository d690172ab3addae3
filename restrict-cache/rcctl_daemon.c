/*
 * rcctl_daemon - what the daemon says of itself: {state dir}/status.json.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "rcctl.h"
#include "rcd_clock.h"
#include "rcd_file.h"
#include "rcd_json.h"

#define STATUS_MAX  (256 * 1024)

cJSON *rcctl_daemon_status(const rcctl_t *r, int64_t *age_sec, char *err, size_t err_size)
{
    char path[PATH_MAX];
    const char *why;
    uint64_t written;
    cJSON *status;
    size_t len;
    char *text;

    snprintf(path, sizeof(path), "%s/status.json", r->config->state_dir);
    text = rcd_file_read(path, STATUS_MAX, 0, &len, err, err_size);
    if (text == NULL) {
        return NULL;
    }
    status = rcd_json_parse(text, len, &why);
    free(text);
    if (status == NULL) {
        snprintf(err, err_size, "%s: %s", path, why);
        return NULL;
    }
    if (rcd_json_uint(status, "now", RCD_JSON_INT_MAX, &written) != 1) {
        snprintf(err, err_size, "%s: has no time of writing", path);
        cJSON_Delete(status);
        return NULL;
    }
    *age_sec = rcd_clock_wall() - (int64_t) written;
    return status;
}
