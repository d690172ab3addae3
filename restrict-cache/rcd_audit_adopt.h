/*
 * rcd_audit_adopt - brings chain file and journal to agree: after a kill, a restored backup, a lost
 * or changed file.
 */
#ifndef RCD_AUDIT_ADOPT_H
#define RCD_AUDIT_ADOPT_H

#include "rcd_audit.h"

/*
 * `fd` is the chain file, open for reading and writing. Rows that are in the file already leave the
 * journal; a torn last line is cut; nothing else of the file is taken away. Where they disagree a row
 * `chain` is left that says so:
 *
 *   longer    the file goes on behind what the journal knows, in whole records: a journal from a
 *             backup, or a new one. The chain goes on behind them
 *   missing   the file is empty, the journal knows records
 *   short     the file ends before the newest record that the journal knows
 *   changed   the newest record that the journal knows is not in the file
 *   foreign   behind it stand lines that are no records of this chain
 *
 * with {why, journal, known_n, known_hash, found_n}. After missing and short the numbers go on behind
 * the journal's, so that what is missing is seen for ever.
 *
 * Returns 0 and where the file stands (head->size is its length), fsynced in the journal; or -1 with
 * `why`. Reads what is behind the journal's head, in constant memory.
 */
int rcd_audit_adopt(rcd_state_t *s, int fd, rcd_audit_head_t *head, char *why, size_t why_size);

#endif
