/*
 * rcctl_person - a person named on standard input, as the digests that lists may know them by.
 */
#ifndef RCCTL_PERSON_H
#define RCCTL_PERSON_H

#include "rcctl.h"
#include "rcd_stay.h"

typedef struct {
    rcd_stay_field_t fields[RCD_STAY_FIELDS_MAX];
    unsigned         n;
} rcctl_person_t;

/*
 * Reads "scheme:identifier" from the first line of standard input and makes its digests: under each
 * key of the key file, with the normalisers of the configuration and with those of the journal. What
 * was read is wiped. `refuse`, when not NULL, is a text that must not contain the identifier. 0, or -1
 * after saying what is wrong, never quoting what was read.
 */
int rcctl_person_read(const rcctl_t *r, const char *refuse, rcctl_person_t *p);

#endif
