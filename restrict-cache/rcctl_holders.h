/*
 * rcctl_holders - which card is whose: what the files of this subcommand share.
 */
#ifndef RCCTL_HOLDERS_H
#define RCCTL_HOLDERS_H

#include "rcctl.h"

#define RCCTL_HOLDERS_LINE  300           /* bytes of an identifier with its scheme, and a NUL */

/* One line of standard input, without its end; on a terminal it is asked for. Its length, or -1 after
 * saying why. */
int rcctl_holders_line(const char *prompt, char line[RCCTL_HOLDERS_LINE]);

/* rcctl approve --holders HASH */
int rcctl_holders_approve(rcctl_t *r, const char *hash);

/* rcctl holders show */
int rcctl_holders_show(rcctl_t *r, int argc, char **argv);

#endif
