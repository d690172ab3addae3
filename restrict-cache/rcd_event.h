/*
 * rcd_event - payload of one verified security event token (RFC 8417) to one event of the state.
 */
#ifndef RCD_EVENT_H
#define RCD_EVENT_H

#include <stddef.h>
#include <stdint.h>
#include "rcd_claims.h"
#include "rcd_state.h"

#define RCD_EVENT_LIFT  "https://ngx-jd.example/event/lift"
#define RCD_EVENT_MARK  "https://ngx-jd.example/event/mark"
#define RCD_EVENT_ORDER "https://ngx-jd.example/event/order"

typedef struct {
    rcd_event_t ev;
    char       *record;           /* what ev.record_json points to; ours */
} rcd_token_t;

typedef enum {
    RCD_TOKEN_OK,
    RCD_TOKEN_BAD,                /* verified, but it does not parse: report it by setErrs */
    /* not for us (iss, aud) or not under its own jti: as if it did not verify */
    RCD_TOKEN_FOREIGN
} rcd_token_rc_t;

/*
 * Reads claims iss, aud, iat, toe (optional), jti, epoch and `events`, which holds exactly one
 * event, of the lane: lift and mark when `relief`, else order. `jti` is the name under which the
 * answer carried the token. A measure in a lift that we do not know frees nothing we could enforce
 * and is passed over. On RCD_TOKEN_OK `*out` belongs to rcd_token_fini; else `*why` is a static
 * phrase naming the claim.
 */
rcd_token_rc_t rcd_token_parse(const char *payload, size_t len, const uint8_t hash[32],
                               const rcd_party_t *party, int relief, const char *jti,
                               rcd_token_t *out, const char **why);
void rcd_token_fini(rcd_token_t *t);

/* 1 when `jti` may be one: 1 to 128 visible ASCII characters without quotes or backslash. */
int rcd_jti_ok(const char *jti);

#endif
