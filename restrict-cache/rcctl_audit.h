/*
 * rcctl_audit - the parts of "rcctl audit"; each returns an exit code.
 */
#ifndef RCCTL_AUDIT_H
#define RCCTL_AUDIT_H

#include "rcctl.h"

int rcctl_audit_verify(rcctl_t *r, int argc, char **argv);     /* 1: broken */
int rcctl_audit_show(rcctl_t *r, int argc, char **argv);       /* 1: no record of that order */

#endif
