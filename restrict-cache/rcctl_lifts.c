/*
 * rcctl_lifts - time-to-lift of the last day, for rcctl status.
 */
#include <inttypes.h>
#include <string.h>
#include "rcctl.h"
#include "rcd_clock.h"
#include "rcd_lift.h"

#define DAY_MS  (INT64_C(86400) * 1000)

int rcctl_lifts_read(const rcctl_t *r, rcd_lift_times_t *out)
{
    char err[512];
    rcd_state_t *s = rcd_state_open_readonly(r->config->state_dir, err, sizeof(err));
    int rc = -1;

    if (s != NULL) {
        rc = rcd_lift_times(s, rcd_clock_wall_ms() - DAY_MS, out);
        rcd_state_close(s);
    }
    return rc;
}

static void add_span(cJSON *o, const char *name, const rcd_lift_span_t *span)
{
    cJSON *j = cJSON_AddObjectToObject(o, name);

    cJSON_AddNumberToObject(j, "n", (double) span->n);
    if (span->n > 0) {
        cJSON_AddNumberToObject(j, "p50_ms", (double) span->p50);
        cJSON_AddNumberToObject(j, "p99_ms", (double) span->p99);
    }
}

void rcctl_lifts_json(cJSON *root, const rcd_lift_times_t *t)
{
    cJSON *o = cJSON_AddObjectToObject(root, "lifts");

    cJSON_AddNumberToObject(o, "applied", (double) t->lifts);
    cJSON_AddNumberToObject(o, "unwritten", (double) t->unwritten);
    cJSON_AddNumberToObject(o, "effective", (double) t->effective);
    cJSON_AddNumberToObject(o, "gateways", (double) t->gateways);
    add_span(o, "apply_to_redis", &t->redis);
    add_span(o, "toe_to_effect", &t->toe);
    add_span(o, "iat_to_effect", &t->iat);
    add_span(o, "apply_to_effect", &t->apply);
    add_span(o, "apply_to_last_gateway", &t->last);
}

/* "3 ms", "1.25 s", "12 min" in static storage, two at a time. */
static const char *ms_text(int64_t ms)
{
    static char text[2][24];
    static int at;

    at = !at;
    if (ms < 1000) {
        snprintf(text[at], sizeof(text[at]), "%" PRId64 " ms", ms);
    } else if (ms < 120000) {
        snprintf(text[at], sizeof(text[at]), "%.2f s", (double) ms / 1e3);
    } else {
        snprintf(text[at], sizeof(text[at]), "%s", rcctl_span(ms / 1000));
    }
    return text[at];
}

static void print_span(const char *label, const rcd_lift_span_t *span)
{
    if (span->n > 0) {
        printf("  %-26s p50 %s", label, ms_text(span->p50));
        printf(", p99 %s (%" PRIu64 ")\n", ms_text(span->p99), span->n);
    }
}

void rcctl_lifts_print(const rcd_lift_times_t *t)
{
    printf("lifts of the last day\n  %-10s %" PRIu64 ", not yet in Redis %" PRIu64
           ", in force at a gateway %" PRIu64 "; gateways %" PRIu64 "\n",
           "applied", t->lifts, t->unwritten, t->effective, t->gateways);
    print_span("apply to Redis", &t->redis);
    print_span("act (toe) to effect", &t->toe);
    print_span("signature (iat) to effect", &t->iat);
    print_span("apply to effect", &t->apply);
    print_span("apply to last gateway", &t->last);
}
