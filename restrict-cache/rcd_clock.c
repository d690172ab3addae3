/*
 * rcd_clock - wall, monotonic, and the office clock, which runs on CLOCK_BOOTTIME between heads.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "rcd_clock.h"
#include "rcd_file.h"

static int64_t boot_seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return ts.tv_sec;
}

int64_t rcd_clock_wall(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec;
}

int64_t rcd_clock_wall_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t rcd_clock_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void boot_id_read(char out[40])
{
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

    if (f == NULL || fscanf(f, "%39s", out) != 1) {
        strcpy(out, "-");
    }
    if (f != NULL) {
        fclose(f);
    }
}

int rcd_clock_init(rcd_clock_t *c, const char *dir, int64_t head_iat)
{
    int64_t iat, boot_sec, high;
    char boot_id[40];
    FILE *f;

    memset(c, 0, sizeof(*c));
    boot_id_read(c->boot_id);
    c->iat = head_iat;
    c->boot_sec = boot_seconds();
    c->high = head_iat;
    if (asprintf(&c->file, "%s/office-clock", dir) < 0) {
        c->file = NULL;
        return -1;
    }

    f = fopen(c->file, "re");
    if (f != NULL) {
        if (fscanf(f, "%39s %" SCNd64 " %" SCNd64 " %" SCNd64, boot_id, &iat, &boot_sec, &high) ==
                4 &&
            strcmp(boot_id, c->boot_id) == 0 && boot_sec <= c->boot_sec && iat >= head_iat) {
            c->iat = iat;
            c->boot_sec = boot_sec;
            c->high = high;
        }
        fclose(f);
    }
    return 0;
}

void rcd_clock_fini(rcd_clock_t *c)
{
    free(c->file);
    c->file = NULL;
}

void rcd_clock_head(rcd_clock_t *c, int64_t iat)
{
    char text[128];
    int len;

    c->iat = iat;
    c->boot_sec = boot_seconds();
    len = snprintf(text, sizeof(text), "%s %" PRId64 " %" PRId64 " %" PRId64 "\n", c->boot_id,
                   c->iat, c->boot_sec, rcd_clock_office(c));
    rcd_file_replace(c->file, text, (size_t) len);
}

int64_t rcd_clock_office(rcd_clock_t *c)
{
    int64_t t = c->iat == 0 ? 0 : c->iat + (boot_seconds() - c->boot_sec);

    if (t > c->high) {
        c->high = t;
    }
    return c->high;
}
