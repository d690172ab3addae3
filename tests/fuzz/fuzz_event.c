/*
 * fuzz_event: payloads of tokens whose signature is good. What is taken keeps every bound the state relies on.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void event_check(const rcd_token_t *t)
{
    if (t->ev.seq == 0 || t->ev.seq > RCD_JSON_INT_MAX || t->ev.epoch > RCD_EPOCH_MAX ||
        strcmp(t->ev.jti, "j1") != 0) {
        abort();
    }
    if (t->ev.kind != RCD_EV_ORDER && !jd_order_number_ok(t->ev.number, strlen(t->ev.number))) {
        abort();
    }
    if (t->ev.kind == RCD_EV_ORDER && strlen(t->ev.record_json) != t->ev.record_len) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t hash[32];
    static const rcd_party_t party = {"o", "us", "credit"};
    rcd_snapshot_claims_t claims;
    const char *why = NULL;
    rcd_head_t head;
    rcd_token_t t;
    char *text = malloc(size + 1);       /* exact size: an overread is seen */

    memcpy(text, data, size);
    for (int relief = 0; relief <= 1; relief++) {
        rcd_token_rc_t rc = rcd_token_parse(text, size, hash, &party, relief, "j1", &t, &why);

        if (rc == RCD_TOKEN_OK) {
            event_check(&t);
        } else if (why == NULL) {
            abort();
        }
        rcd_token_fini(&t);
    }
    if (rcd_head_parse(text, size, &party, 1000, &head) == NULL && head.iat > 1300) {
        abort();
    }
    if (rcd_snapshot_parse(text, size, &party, 1000, &claims) == NULL &&
        (strlen(claims.href) > RCD_HREF_MAX || claims.href[0] == '/' ||
         strncmp(claims.href, "../", 3) == 0 || strstr(claims.href, "/../") != NULL)) {
        abort();
    }
    free(text);
    return 0;
}
