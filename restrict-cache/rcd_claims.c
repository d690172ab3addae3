/*
 * rcd_claims - payloads of verified tokens that say where the office stands: heads and snapshots.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "core/jd_policy.h"
#include "rcd_claims.h"

int rcd_party_match(const cJSON *payload, const rcd_party_t *party)
{
    const char *iss = rcd_json_string(payload, "iss");
    const cJSON *aud = cJSON_GetObjectItemCaseSensitive(payload, "aud");
    const cJSON *item;

    if (iss == NULL || strcmp(iss, party->iss) != 0) {
        return 0;
    }
    if (cJSON_IsString(aud)) {
        return strcmp(aud->valuestring, party->aud) == 0;
    }
    if (cJSON_IsArray(aud)) {
        cJSON_ArrayForEach(item, aud)
        {
            if (cJSON_IsString(item) && strcmp(item->valuestring, party->aud) == 0) {
                return 1;
            }
        }
    }
    return 0;
}

static const char *head_claims(const cJSON *payload, const rcd_party_t *party, int64_t now,
                               rcd_head_t *out)
{
    const char *list = rcd_json_string(payload, "list");
    uint64_t iat, exp, epoch;

    if (!rcd_party_match(payload, party)) {
        return "iss or aud is not ours";
    }
    if (list == NULL || strcmp(list, party->list) != 0) {
        return "list is not ours";
    }
    if (rcd_json_uint(payload, "iat", RCD_JSON_INT_MAX, &iat) != 1 || iat == 0) {
        return "iat is not a time";
    }
    if (rcd_json_uint(payload, "exp", RCD_JSON_INT_MAX, &exp) != 1) {
        return "exp is not a time";
    }
    if (rcd_json_uint(payload, "epoch", RCD_EPOCH_MAX, &epoch) != 1) {
        return "epoch is not 0..65535";
    }
    if (rcd_json_uint(payload, "seq", RCD_JSON_INT_MAX, &out->seq) != 1) {
        return "seq is not below 2^48";
    }
    if (rcd_json_uint(payload, "relief_seq", RCD_JSON_INT_MAX, &out->relief_seq) != 1) {
        return "relief_seq is not below 2^48";
    }
    if ((int64_t) exp <= now) {
        return "expired";
    }
    if ((int64_t) iat > now + JD_CLOCK_SKEW_SEC) {
        return "iat is more than 5 minutes ahead of our clock";
    }
    out->iat = (int64_t) iat;
    out->exp = (int64_t) exp;
    out->epoch = (uint32_t) epoch;
    return NULL;
}

const char *rcd_head_parse(const char *payload, size_t len, const rcd_party_t *party, int64_t now,
                           rcd_head_t *out)
{
    const char *why;
    cJSON *root = rcd_json_parse(payload, len, &why);

    if (root != NULL) {
        why = head_claims(root, party, now, out);
        cJSON_Delete(root);
    }
    return why;
}

/* A relative path whose segments cannot leave {base}: no scheme, host, query, escape, "." or "..".
 * */
static int href_ok(const char *href)
{
    size_t len = strlen(href), segment = 0;

    if (len == 0 || len > RCD_HREF_MAX) {
        return 0;
    }
    for (size_t i = 0; i <= len; i++) {
        char c = href[i];

        if (c == '/' || c == '\0') {
            if (segment == 0 || (segment == 1 && href[i - 1] == '.') ||
                (segment == 2 && href[i - 1] == '.' && href[i - 2] == '.')) {
                return 0;
            }
            segment = 0;
        } else if (isalnum((unsigned char) c) || strchr("._~-", c) != NULL) {
            segment++;
        } else {
            return 0;
        }
    }
    return 1;
}

static int sha256_read(const char *hex, uint8_t out[32])
{
    static const char digits[] = "0123456789abcdef";

    if (hex == NULL || strlen(hex) != 64) {
        return -1;
    }
    for (unsigned i = 0; i < 32; i++) {
        const char *hi = strchr(digits, hex[2 * i]), *lo = strchr(digits, hex[2 * i + 1]);

        if (hi == NULL || lo == NULL) {
            return -1;
        }
        out[i] = (uint8_t) ((hi - digits) << 4 | (lo - digits));
    }
    return 0;
}

static const char *snapshot_claims(const cJSON *payload, const rcd_party_t *party, int64_t now,
                                   rcd_snapshot_claims_t *out)
{
    const cJSON *records = cJSON_GetObjectItemCaseSensitive(payload, "records");
    const char *why = head_claims(payload, party, now, &out->head);
    const char *href = rcd_json_string(records, "href");

    if (why != NULL) {
        return why;
    }
    if (!cJSON_IsObject(records) || href == NULL) {
        return "records.href is missing";
    }
    if (href[0] != '\0' && !href_ok(href)) {
        return "records.href is not a plain relative path";
    }
    if (sha256_read(rcd_json_string(records, "sha256"), out->sha256) != 0) {
        return "records.sha256 is not 64 lower-case hex digits";
    }
    if (rcd_json_uint(records, "bytes", RCD_SNAPSHOT_BYTES_MAX, &out->bytes) != 1) {
        return "records.bytes is not an integer up to 4 GiB";
    }
    if (rcd_json_uint(records, "count", RCD_JSON_INT_MAX, &out->count) != 1) {
        return "records.count is not an integer";
    }
    snprintf(out->href, sizeof(out->href), "%s", href);
    return NULL;
}

const char *rcd_snapshot_parse(const char *payload, size_t len, const rcd_party_t *party,
                               int64_t now, rcd_snapshot_claims_t *out)
{
    const char *why;
    cJSON *root = rcd_json_parse(payload, len, &why);

    if (root != NULL) {
        why = snapshot_claims(root, party, now, out);
        cJSON_Delete(root);
    }
    return why;
}
