/*
 * jd_measure - the closed list of measures.
 */
#include <string.h>
#include "jd_measure.h"

const char *const jd_measure_names[JD_MEASURE_N] = {
    "bus.ride",         "metro.ride",   "ferry.ride",       "bike.rent",
    "library.checkout", "library.hold", "tour.annual_pass",
};

static const char measure_list[] = "bus.ride metro.ride ferry.ride bike.rent library.checkout "
                                   "library.hold tour.annual_pass";

int jd_measure_bit(const char *name, size_t len)
{
    for (int bit = 0; bit < JD_MEASURE_N; bit++) {
        if (strlen(jd_measure_names[bit]) == len && memcmp(jd_measure_names[bit], name, len) == 0) {
            return bit;
        }
    }
    return -1;
}

const char *jd_measure_list(void)
{
    return measure_list;
}

int jd_measure_list_agrees(const char *list, size_t len)
{
    size_t ours = sizeof(measure_list) - 1;
    size_t common = len < ours ? len : ours;

    if (len == 0 || memcmp(list, measure_list, common) != 0) {
        return 0;
    }
    return len == ours || (len > ours ? list[ours] : measure_list[len]) == ' ';
}

size_t jd_measure_mask_print(uint16_t mask, char *out)
{
    size_t n = 0;

    for (int bit = 0; bit < JD_MEASURE_N; bit++) {
        if (mask & 1u << bit) {
            size_t len = strlen(jd_measure_names[bit]);
            if (n > 0) {
                out[n++] = ' ';
            }
            memcpy(out + n, jd_measure_names[bit], len);
            n += len;
        }
    }
    out[n] = '\0';
    return n;
}
