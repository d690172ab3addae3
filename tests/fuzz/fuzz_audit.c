/*
 * fuzz_audit: lines of the audit chain from anywhere. What parses prints to the same bytes, and is
 * genuine exactly when its own hash is printed.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "rcd_audit_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char again[RCD_AUDIT_LINE_MAX + 1];
    uint8_t hash[RCD_AUDIT_HASH_LEN];
    rcd_audit_line_t line;
    char *text = malloc(size + 1);       /* exact size: an overread is seen */
    long len;

    memcpy(text, data, size);
    if (rcd_audit_line_parse(text, size, &line) == NULL) {
        if (line.n > RCD_AUDIT_N_MAX || !rcd_audit_kind_ok(line.kind, strlen(line.kind))) {
            abort();
        }
        len = rcd_audit_line_print(again, line.n, line.at, line.kind, line.text, line.text_len,
                                   line.prev, hash);
        if (len != (long) size + 1 || again[size] != '\n' ||
            memcmp(again, text, size - 66) != 0 ||
            line.genuine != (memcmp(hash, line.hash, sizeof(hash)) == 0)) {
            abort();
        }
    }
    free(text);
    return 0;
}
