/*
 * rcd_audit_config - a record `config` when the configuration is another than the one recorded last.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/evp.h>
#include "rcd_audit_config.h"
#include "rcd_store.h"

typedef struct {                       /* "section\tname\tvalue\n" within c->effective */
    const char *text;
    size_t      section_len, len;
} line_t;

static int by_section(const void *a, const void *b)
{
    const line_t *x = a, *y = b;
    size_t shorter = x->section_len < y->section_len ? x->section_len : y->section_len;
    int rc = memcmp(x->text, y->text, shorter);

    if (rc == 0 && x->section_len != y->section_len) {
        rc = x->section_len < y->section_len ? -1 : 1;
    }
    return rc != 0 ? rc : x->text < y->text ? -1 : 1;      /* else as in the file */
}

static int same_section(const line_t *a, const line_t *b)
{
    return a->section_len == b->section_len && memcmp(a->text, b->text, a->section_len) == 0;
}

/* The lines of `effective`, sorted: malloc'ed, *n of them. */
static line_t *sorted_lines(const char *effective, size_t *n)
{
    line_t *lines;
    const char *p;

    *n = 0;
    for (p = effective; (p = strchr(p, '\n')) != NULL; p++) {
        (*n)++;
    }
    lines = calloc(*n + 1, sizeof(*lines));
    p = effective;
    for (size_t i = 0; lines != NULL && i < *n; i++) {
        lines[i] = (line_t){p, strcspn(p, "\t"), strcspn(p, "\n") + 1};
        p += lines[i].len;
    }
    if (lines != NULL) {
        qsort(lines, *n, sizeof(*lines), by_section);
    }
    return lines;
}

/* The hash so far as hex, and `ctx` anew. 0 or -1. */
static int finish(EVP_MD_CTX *ctx, char hex[65])
{
    uint8_t hash[RCD_AUDIT_HASH_LEN];

    if (EVP_DigestFinal_ex(ctx, hash, NULL) != 1 ||
        EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1) {
        return -1;
    }
    rcd_audit_hex_print(hash, hex);
    return 0;
}

/* {section: hash} by name, and the hash of the whole. NULL without memory. */
static cJSON *sections_of(const char *effective, char total[65])
{
    cJSON *o = cJSON_CreateObject();
    EVP_MD_CTX *one = EVP_MD_CTX_new(), *all = EVP_MD_CTX_new();
    char name[128], hex[65];
    size_t n;
    line_t *l = sorted_lines(effective, &n);
    int ok = o != NULL && l != NULL && one != NULL && all != NULL &&
             EVP_DigestInit_ex(one, EVP_sha256(), NULL) == 1 &&
             EVP_DigestInit_ex(all, EVP_sha256(), NULL) == 1;

    for (size_t i = 0; ok && i < n; i++) {
        size_t skip = l[i].section_len + 1;

        ok = EVP_DigestUpdate(one, l[i].text + skip, l[i].len - skip) == 1;
        if (ok && (i + 1 == n || !same_section(&l[i], &l[i + 1]))) {
            snprintf(name, sizeof(name), "%.*s", (int) l[i].section_len, l[i].text);
            ok = finish(one, hex) == 0 && cJSON_AddStringToObject(o, name, hex) != NULL &&
                 EVP_DigestUpdate(all, name, strlen(name)) == 1 &&
                 EVP_DigestUpdate(all, " ", 1) == 1 && EVP_DigestUpdate(all, hex, 64) == 1 &&
                 EVP_DigestUpdate(all, "\n", 1) == 1;
        }
    }
    ok = ok && finish(all, total) == 0;
    EVP_MD_CTX_free(one);
    EVP_MD_CTX_free(all);
    free(l);
    if (!ok) {
        cJSON_Delete(o);
        return NULL;
    }
    return o;
}

/* Names of sections of `a` that `b` has not, or has otherwise (`also` 1) or not at all (0). */
static void names_add(cJSON *to, const cJSON *a, const cJSON *b, int also)
{
    for (const cJSON *item = a != NULL ? a->child : NULL; item != NULL; item = item->next) {
        const cJSON *other = cJSON_GetObjectItemCaseSensitive(b, item->string);

        if (other == NULL || (also && !cJSON_Compare(item, other, 1))) {
            cJSON_AddItemToArray(to, cJSON_CreateString(item->string));
        }
    }
}

static int record(rcd_state_t *s, const char *text, const char *total, const cJSON *now,
                  const cJSON *before)
{
    cJSON *fields = cJSON_CreateObject();
    cJSON *names;

    cJSON_AddStringToObject(fields, "sha256", total);
    names = cJSON_AddArrayToObject(fields, "sections");
    names_add(names, now, before, 1);
    names_add(names, before, now, 0);
    if (rcd_store_begin(s, 1) < 0) {
        cJSON_Delete(fields);
        return -1;
    }
    if (rcd_audit(s, "config", fields) < 0 || rcd_audit_config_save(s, text) < 0 ||
        rcd_store_commit(s) < 0) {
        rcd_store_rollback(s);
        return -1;
    }
    return 0;
}

int rcd_audit_config(rcd_state_t *s, const rcd_config_t *c)
{
    char total[65], *before = rcd_audit_config_text(s), *text;
    cJSON *now = sections_of(c->effective != NULL ? c->effective : "", total), *then;
    int rc = 0;

    text = now != NULL ? cJSON_PrintUnformatted(now) : NULL;
    if (before == NULL || text == NULL) {
        rc = -1;
    } else if (strcmp(before, text) != 0) {
        then = cJSON_Parse(before);
        rc = record(s, text, total, now, then);
        cJSON_Delete(then);
    }
    cJSON_Delete(now);
    free(before);
    free(text);
    return rc;
}
