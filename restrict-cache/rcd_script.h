/*
 * rcd_script - the daemon's write scripts. Each but DIRECT runs only for the instance named in meta
 * field `writer`; each may run again unharmed.
 */
#ifndef RCD_SCRIPT_H
#define RCD_SCRIPT_H

typedef enum {
    /* KEYS meta; ARGV writer, observed ("" = none): makes `writer` the writer if nobody else
     * became it since it was observed. 1 or 0. */
    RCD_SCRIPT_CLAIM,
    /* KEYS meta relief lifts; ARGV writer, then number, relief (jd_order.h), gone, lift in turn.
     * Merged with what is there: lifted masks are OR-ed, the office's objection is the new one, of
     * stays the longest counts, and an objection of the operator and words of a later schema stay; but
     * what `gone` names goes: ends of stays, and "h" for the operator's objection; a space between.
     * `lift` ("toe iat applied_ms", "" = none): when it frees anything, an
     * entry of stream lifts. Returns for each its id there (the newest one's when nothing was freed
     * anew), "" without a lift. Runs out of memory too. */
    RCD_SCRIPT_RELIEF,
    /* KEYS meta stays; ARGV writer, then field, stay ("" = none), gone in turn; likewise. */
    RCD_SCRIPT_STAY,
    /* KEYS relief or stays; ARGV field value: frees on top of what is there, without a writer. For
     * rcctl when the daemon does not answer. Returns the value. Runs out of memory too. */
    RCD_SCRIPT_DIRECT,
    /* KEYS meta grounds; ARGV writer, then id and value in turn. */
    RCD_SCRIPT_GROUNDS,
    /* KEYS meta changes bucket...; ARGV writer era cap least, then index of KEYS, digest, record
     * ("" = none left) in turn. For each record that differs: XADD, HSET or HDEL, then last_id
     * and count of meta. -CHANGED when era is another or last_id below `least`. Returns
     * {last_id, count}. */
    RCD_SCRIPT_CHANGE,
    /* KEYS meta bucket...; ARGV writer, then index of KEYS, digest, record in turn: the same
     * without stream and meta, for an era to come. Returns fields added less removed. */
    RCD_SCRIPT_FILL,
    /* KEYS meta changes; ARGV writer era, then meta fields and values in turn: announces the era
     * as <era>-0 and makes it current. */
    RCD_SCRIPT_SWITCH,
    /* KEYS meta; ARGV writer, then meta fields and values in turn. Runs out of memory too. */
    RCD_SCRIPT_META,
    /* KEYS meta key...; ARGV writer: removes the keys, of eras that are over. */
    RCD_SCRIPT_UNLINK,
    /* KEYS changes: the stream's last generated id, "0-0" without one. Writes nothing. */
    RCD_SCRIPT_TOP,
    /* KEYS meta, a ledger key, the set of them, done; ARGV writer, "<run>:<period>" ("" = its gate
     * is gone: say nothing), time, ".closed" as it was read ("" = none): ends the key if that is so
     * still. 1 or 0. Runs out of memory too. */
    RCD_SCRIPT_LEDGER_DONE,
    RCD_SCRIPT_N
} rcd_script_t;

extern const char *const rcd_scripts[RCD_SCRIPT_N];

#endif
