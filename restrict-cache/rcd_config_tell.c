/*
 * rcd_config_tell - the settings as text without secrets, collected while they are read.
 */
#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>
#include "rcd_audit_line.h"
#include "rcd_config_tell.h"

/* Copies `text` and `end` to `to`; returns behind them. */
static char *put(char *to, const char *text, char end)
{
    size_t len = strlen(text);

    memcpy(to, text, len);
    to[len] = end;
    return to + len + 1;
}

int rcd_config_tell(rcd_config_t *c, const char *section, const char *name, const char *value)
{
    size_t len = strlen(section) + strlen(name) + strlen(value) + 3;
    char *text = realloc(c->effective, c->effective_len + len + 1), *at;

    if (text == NULL) {
        return -1;
    }
    at = put(text + c->effective_len, section, '\t');
    at = put(at, name, '\t');
    *put(at, value, '\n') = '\0';
    c->effective = text;
    c->effective_len += len;
    return 0;
}

int rcd_config_tell_file(rcd_config_t *c, const char *section, const char *name, const char *bytes,
                         size_t len)
{
    uint8_t hash[RCD_AUDIT_HASH_LEN];
    char hex[65];

    if (EVP_Digest(bytes, len, hash, NULL, EVP_sha256(), NULL) != 1) {
        return -1;
    }
    rcd_audit_hex_print(hash, hex);
    return rcd_config_tell(c, section, name, hex);
}
