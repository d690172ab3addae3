/*
 * ts_office_checkpoint - what a checkpoint of the operator's audit chain says: record and hash, for the receipt.
 * A real office verifies it by the operator's public key first; this one has not been given any.
 */
#include <stdlib.h>
#include <string.h>
#include "ts_office.h"

static int value_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at ? (int) (at - digits) : -1;
}

/* Decodes base64url up to `end`. Returns the number of bytes, or -1. */
static long decode(const char *in, const char *end, char *out)
{
    unsigned bits = 0, n_bits = 0;
    long n = 0;

    for (; in < end; in++) {
        int v = value_of(*in);

        if (v < 0)
            return -1;
        bits = bits << 6 | (unsigned) v;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[n++] = (char) (bits >> n_bits);
        }
    }
    return n;
}

int ts_checkpoint_read(const char *jws, uint64_t *n, char hash[65])
{
    const char *begin = jws ? strchr(jws, '.') : NULL, *end = begin ? strchr(begin + 1, '.') : NULL;
    char *json = end ? malloc((size_t) (end - begin)) : NULL;
    long len = json ? decode(begin + 1, end, json) : -1;
    cJSON *claims = len > 0 ? cJSON_ParseWithLength(json, (size_t) len) : NULL;
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(claims, "n");
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(claims, "hash"));
    int ok = cJSON_IsNumber(number) && number->valuedouble >= 1 && text && strlen(text) == 64;

    if (ok) {
        *n = (uint64_t) number->valuedouble;
        memcpy(hash, text, 65);
    }
    cJSON_Delete(claims);
    free(json);
    return ok ? 0 : -1;
}
