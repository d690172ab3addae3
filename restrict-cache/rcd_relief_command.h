/*
 * rcd_relief_command - what the operator frees by rcctl, and takes back: stay, unstay, objection.
 *
 * Commands (beside cmd and user; [..] may be missing):
 *
 *   stay           ref at reason [until] and order, or fields: [{field under}..] [renew: id]
 *   unstay         reason and order, or fields
 *   objection      ref at reason order
 *   objection-end  reason order
 *
 * ref: hex digits, chosen by who gives the command: the same ref twice is one stay. field: first
 * JD_HOLDER_LEN bytes of a digest in hex; under: the key and normalisers it was made with. An answer
 * has redis (true: Redis has confirmed it), and of a stay id and covers (false: the digest was made
 * under another key than the list's).
 */
#ifndef RCD_RELIEF_COMMAND_H
#define RCD_RELIEF_COMMAND_H

#include "rcd_spool.h"

/* 1 for a text that an operator may give: 1..max bytes of UTF-8, no control character. */
int rcd_operator_text_ok(const char *text, size_t max);

const char *rcd_command_stay(rcd_command_t *c, const cJSON *command, cJSON *answer);
const char *rcd_command_unstay(rcd_command_t *c, const cJSON *command, cJSON *answer);
const char *rcd_command_objection(rcd_command_t *c, const cJSON *command, cJSON *answer);
const char *rcd_command_objection_end(rcd_command_t *c, const cJSON *command, cJSON *answer);

#endif
