/*
 * fuzz_jws: key sets and compact tokens from anywhere. What verifies must be a token somebody signed: none is here.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_jws.h"

static const char jwks_text[] =
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k1\","
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"nbf\":0,\"exp\":2000}]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static rcd_jwks_t *jwks;
    char err[200], *text;
    rcd_jwks_t *other;
    rcd_jws_t jws;

    if (jwks == NULL) {
        jwks = rcd_jwks_parse(jwks_text, sizeof(jwks_text) - 1, err, sizeof(err));
    }
    text = malloc(size + 1);             /* exact size: an overread is seen */
    memcpy(text, data, size);
    if (rcd_jws_verify(jwks, text, size, "secevent+jwt", 1000, &jws) == RCD_JWS_OK) {
        abort();
    }
    rcd_jws_fini(&jws);

    other = rcd_jwks_parse(text, size, err, sizeof(err));
    if (other != NULL && (other->n == 0 || other->n > RCD_JWKS_MAX)) {
        abort();
    }
    rcd_jwks_destroy(other);
    free(text);
    return 0;
}
