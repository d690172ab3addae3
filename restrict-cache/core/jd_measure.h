/*
 * jd_measure - the closed list of measures an order may carry.
 *
 * A measure is a bit; a set of measures is a mask. The bit numbers are part of the Redis schema and of
 * the zone: they are never reused, a new measure is appended, and adding one is a commit with its source.
 */
#ifndef JD_MEASURE_H
#define JD_MEASURE_H

#include <stddef.h>
#include <stdint.h>

#define JD_MEASURE_N     7
#define JD_MEASURE_ALL   ((uint16_t) ((1u << JD_MEASURE_N) - 1))

/* "bus.ride metro.ride ferry.ride bike.rent library.checkout library.hold tour.annual_pass", by bit. */
extern const char *const jd_measure_names[JD_MEASURE_N];

/* Bit number of a name, or -1 when the name is not in the list. */
int jd_measure_bit(const char *name, size_t len);

/* The names in bit order separated by one space, as meta field "measures" carries them. Static storage. */
const char *jd_measure_list(void);

/* 1 when `list` (a peer's meta field) begins with our list or ours begins with it at a name boundary, so
 * that every bit known to both means the same; else 0. */
int jd_measure_list_agrees(const char *list, size_t len);

/* Writes the names of `mask` separated by one space and a NUL; returns the length. `out` takes 128 bytes. */
size_t jd_measure_mask_print(uint16_t mask, char *out);

#endif
