/*
 * rcctl_audit - "rcctl audit": verifying the chain, making its key.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "core/jd_time.h"
#include "rcctl_audit.h"
#include "rcd_audit.h"
#include "rcd_audit_file.h"
#include "rcd_audit_key.h"
#include "rcd_audit_verify.h"
#include "rcd_file.h"
#include "rcd_json.h"

#define BROKEN         1
#define HELD_FILE_MAX  (64 * 1024 * 1024)
#define KEY_YEARS_SEC  ((int64_t) 10 * 366 * 86400)

typedef struct {
    const char *file;              /* NULL: the daemon's, with its journal */
    const char *keys, *office_keys;
    const char *office;            /* what the office holds */
    int         receipts;
    char        path[PATH_MAX + 32];
    rcd_jwks_t *operator_set, *office_set;
    char        journal_fault[300];
    int         journal_read;
} verify_options_t;

/* ---- keys ------------------------------------------------------------------------------------ */

/* A set of public keys, or one key as keygen prints it. NULL after saying why. */
static rcd_jwks_t *set_read(const char *file)
{
    char err[512], why[200];
    rcd_jwks_t *set = NULL;
    const char *form;
    size_t len;
    char *text = rcd_file_read(file, RCD_JWKS_FILE_MAX, 0, &len, err, sizeof(err)), *wrapped;
    cJSON *one;

    if (text == NULL) {
        rcctl_error("%s", err);
        return NULL;
    }
    one = rcd_json_parse(text, len, &form);
    if (one != NULL && cJSON_HasObjectItem(one, "kty") &&
        asprintf(&wrapped, "{\"keys\":[%s]}", text) > 0) {
        free(text);
        text = wrapped;
    }
    cJSON_Delete(one);
    set = rcd_jwks_parse(text, strlen(text), why, sizeof(why));
    if (set == NULL) {
        rcctl_error("%s: %s", file, why);
    }
    free(text);
    return set;
}

/* The operator's keys: of --keys, or the public half of the daemon's and those before it. 0, and NULL
 * when there is none; -1 after saying why. */
static int operator_keys(rcctl_t *r, verify_options_t *o)
{
    const char *former = r->config != NULL ? r->config->audit.former_keys : NULL;
    rcd_audit_key_t *key;
    rcd_jwks_t *own;
    char err[512];

    if (o->keys != NULL || former != NULL) {
        o->operator_set = set_read(o->keys != NULL ? o->keys : former);
        if (o->operator_set == NULL) {
            return -1;
        }
    }
    if (o->keys != NULL || r->config == NULL || r->config->audit.key_file == NULL) {
        return 0;
    }
    key = rcd_audit_key_load(r->config->audit.key_file, err, sizeof(err));
    own = key != NULL ? rcd_audit_key_jwks(key) : NULL;
    rcd_audit_key_destroy(key);
    if (own == NULL) {
        rcctl_error("%s", err);
        return -1;
    }
    if (o->operator_set == NULL) {
        o->operator_set = own;
    } else if (o->operator_set->n < RCD_JWKS_MAX) {
        o->operator_set->key[o->operator_set->n++] = own->key[0];
        own->n = 0;
        rcd_jwks_destroy(own);
    } else {
        rcd_jwks_destroy(own);
    }
    return 0;
}

static int office_keys(rcctl_t *r, verify_options_t *o)
{
    const char *file = o->office_keys;

    if (!o->receipts && o->office == NULL) {
        return 0;
    }
    if (file == NULL && r->config != NULL) {
        file = r->config->office.jwks_file;
    }
    if (file == NULL) {
        rcctl_error("receipts of another file are verified by --office-keys JWKS");
        return -1;
    }
    o->office_set = set_read(file);
    return o->office_set == NULL ? -1 : 0;
}

/* ---- verify ---------------------------------------------------------------------------------- */

/* What the journal knows: read before the file, which only grows. */
static void journal_read(const rcctl_t *r, verify_options_t *o, rcd_audit_verify_t *v)
{
    rcd_audit_head_t head;
    rcd_state_t *s = rcd_state_open_readonly(r->config->state_dir, o->journal_fault,
                                             sizeof(o->journal_fault));

    if (s == NULL) {
        return;
    }
    if (rcd_audit_head(s, &head) == 0) {
        o->journal_read = 1;
        v->known_n = head.n;
        v->known_checkpoint = head.checkpoint_n;
        memcpy(v->known_hash, head.hash, sizeof(head.hash));
    }
    rcd_state_close(s);
}

/* Reads the tokens of --office. 0, or -1 after saying why. */
static int held_read(const verify_options_t *o, const rcd_audit_verify_t *v, rcd_audit_held_t *held)
{
    char err[512];
    size_t len;
    char *text = rcd_file_read(o->office, HELD_FILE_MAX, 0, &len, err, sizeof(err));
    int rc;

    if (text == NULL) {
        rcctl_error("%s", err);
        return -1;
    }
    rc = rcd_audit_held_read(v, text, held, err, sizeof(err));
    if (rc != 0) {
        rcctl_error("%s: %s", o->office, err);
    }
    free(text);
    return rc;
}

static void signed_add(cJSON *root, const char *name, uint64_t count, const rcd_audit_signed_t *s,
                       const char *batch)
{
    cJSON *o = cJSON_AddObjectToObject(root, name);

    cJSON_AddNumberToObject(o, "count", (double) count);
    cJSON_AddNumberToObject(o, "n", (double) s->n);
    cJSON_AddNumberToObject(o, "at", (double) s->at);
    cJSON_AddStringToObject(o, "kid", s->kid);
    if (batch != NULL) {
        cJSON_AddStringToObject(o, "batch", batch);
    }
}

static void print_json(const verify_options_t *o, const rcd_audit_verify_t *v)
{
    cJSON *root = cJSON_CreateObject(), *damage, *notes;
    uint64_t certain = v->receipt.n <= v->last_n ? v->receipt.n : 0;

    cJSON_AddStringToObject(root, "file", o->path);
    cJSON_AddBoolToObject(root, "whole", v->damage == RCD_AUDIT_WHOLE);
    cJSON_AddNumberToObject(root, "records", (double) v->records);
    if (v->damage != RCD_AUDIT_WHOLE) {
        damage = cJSON_AddObjectToObject(root, "damage");
        cJSON_AddStringToObject(damage, "what", rcd_audit_damage_names[v->damage]);
        cJSON_AddNumberToObject(damage, "n", (double) v->damage_n);
        cJSON_AddNumberToObject(damage, "line", (double) v->damage_line);
        cJSON_AddStringToObject(damage, "why", v->why);
    }
    signed_add(root, "checkpoints", v->checkpoints, &v->checkpoint, NULL);
    cJSON_AddBoolToObject(cJSON_GetObjectItemCaseSensitive(root, "checkpoints"), "verified",
                          v->operator_keys != NULL);
    if (v->office_keys != NULL) {
        signed_add(root, "receipts", v->receipts, &v->receipt, v->receipt_batch);
        cJSON_AddNumberToObject(root, "certain", (double) certain);
        cJSON_AddNumberToObject(root, "behind", (double) (v->last_n - certain));
    }
    cJSON_AddBoolToObject(root, "journal", o->journal_read);
    cJSON_AddBoolToObject(root, "torn", v->torn);
    notes = cJSON_AddArrayToObject(root, "notes");
    for (unsigned i = 0; i < v->notes_n && i < RCD_AUDIT_NOTES_MAX; i++) {
        cJSON_AddItemToArray(notes, cJSON_CreateString(v->notes[i]));
    }
    rcctl_json(root);
}

static void print_signed(const char *label, uint64_t count, const rcd_audit_signed_t *s)
{
    char when[26];

    jd_time_print(s->at, when);
    printf("  %-11s %" PRIu64 ", the newest over record %" PRIu64 " (%s, key %s)\n", label, count,
           s->n, when, s->kid);
}

static void print_checkpoints(const rcd_audit_verify_t *v)
{
    if (v->operator_keys == NULL) {
        printf("  checkpoints %" PRIu64 ", not verified: the operator's key is not known "
               "([audit] key_file, or --keys)\n", v->checkpoints);
    } else if (v->checkpoints == 0) {
        printf("  checkpoints none: nothing is signed\n");
    } else {
        print_signed("checkpoints", v->checkpoints, &v->checkpoint);
    }
}

static void print_receipts(const rcd_audit_verify_t *v)
{
    if (v->office_keys == NULL) {
        return;
    }
    if (v->receipt.n == 0) {
        printf("  receipts    %" PRIu64 ", none over a record of the chain\n"
               "  certain     nothing yet: the operator alone vouches for all %" PRIu64 " records\n",
               v->receipts, v->records);
        return;
    }
    print_signed("receipts", v->receipts, &v->receipt);
    if (v->receipts_bare > 0) {
        printf("              %" PRIu64 " of them name no checkpoint\n", v->receipts_bare);
    }
    printf("  certain     up to record %" PRIu64 "%s%s: the office has signed for it; %" PRIu64
           " records lie behind it\n", v->receipt.n, v->receipt_batch[0] != '\0' ? ", batch " : "",
           v->receipt_batch, v->last_n - v->receipt.n);
}

static void print_text(const verify_options_t *o, const rcd_audit_verify_t *v)
{
    printf("%s\n", o->path);
    if (v->damage != RCD_AUDIT_WHOLE) {
        printf("BROKEN: %s at record %" PRIu64, rcd_audit_damage_names[v->damage], v->damage_n);
        if (v->damage_line != 0) {
            printf(", line %" PRIu64, v->damage_line);
        }
        printf("\n  %s\n", v->why);
    }
    printf("  records     %" PRIu64 "%s\n", v->records, v->damage == RCD_AUDIT_WHOLE
           ? ", each follows the one before" : " before it are whole");
    print_checkpoints(v);
    if (v->damage == RCD_AUDIT_WHOLE) {
        print_receipts(v);
    }
    if (o->journal_read) {
        printf("  journal     knows %" PRIu64 " records%s\n", v->known_n,
               v->damage == RCD_AUDIT_WHOLE ? ", the file has them" : "");
    } else {
        printf("  journal     not looked at%s%s: a tail cut off is seen by receipts alone\n",
               o->journal_fault[0] != '\0' ? ": " : "", o->journal_fault);
    }
    if (v->torn) {
        printf("  note        the last line is not whole: it is being written, or a daemon was killed\n");
    }
    for (unsigned i = 0; i < v->notes_n && i < RCD_AUDIT_NOTES_MAX; i++) {
        printf("  note        %s\n", v->notes[i]);
    }
    if (v->notes_n > RCD_AUDIT_NOTES_MAX) {
        printf("  note        and %u more\n", v->notes_n - RCD_AUDIT_NOTES_MAX);
    }
}

/* Opens the file; one that is not there is empty when the journal tells what is missing. */
static int chain_open(const verify_options_t *o)
{
    int fd = open(o->path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT && o->journal_read) {
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0) {
        rcctl_error("%s: %s", o->path, strerror(errno));
    }
    return fd;
}

static int verify_file(verify_options_t *o, rcd_audit_verify_t *v, int json)
{
    static rcd_audit_held_t held;
    int fd, rc;

    if (o->office != NULL && held_read(o, v, &held) != 0) {
        return RCCTL_USAGE;
    }
    fd = chain_open(o);
    if (fd < 0) {
        return RCCTL_USAGE;
    }
    rc = rcd_audit_verify(v, o->office != NULL ? &held : NULL, fd);
    if (rc != 0) {
        rcctl_error("%s: %s", o->path, strerror(errno));
    }
    close(fd);
    if (rc != 0) {
        return RCCTL_USAGE;
    }
    (json ? print_json : print_text)(o, v);
    return v->damage == RCD_AUDIT_WHOLE ? RCCTL_OK : BROKEN;
}

int rcctl_audit_verify(rcctl_t *r, int argc, char **argv)
{
    verify_options_t o = {.file = NULL};
    const rcctl_option_t options[] = {
        {"receipts", NULL, &o.receipts}, {"file", &o.file, NULL}, {"keys", &o.keys, NULL},
        {"office-keys", &o.office_keys, NULL}, {"office", &o.office, NULL}, {0}};
    rcd_audit_verify_t v = {.damage = RCD_AUDIT_WHOLE};
    int rc = RCCTL_USAGE;

    if (rcctl_options(r, argc, argv, options, 0) != 0 ||
        (o.file == NULL && rcctl_config(r) != 0)) {
        return RCCTL_USAGE;
    }
    if (o.file != NULL) {
        snprintf(o.path, sizeof(o.path), "%s", o.file);
    } else {
        snprintf(o.path, sizeof(o.path), "%s/" RCD_AUDIT_FILE, r->config->state_dir);
        snprintf(v.iss, sizeof(v.iss), "%s", r->config->office.aud);
        snprintf(v.office, sizeof(v.office), "%s", r->config->office.iss);
        snprintf(v.list, sizeof(v.list), "%s", r->config->list);
        journal_read(r, &o, &v);
    }
    if (operator_keys(r, &o) == 0 && office_keys(r, &o) == 0) {
        v.operator_keys = o.operator_set;
        v.signed_expected = o.keys != NULL;
        v.office_keys = o.office_set;
        rc = verify_file(&o, &v, r->json);
    }
    rcd_jwks_destroy(o.operator_set);
    rcd_jwks_destroy(o.office_set);
    return rc;
}

/* ---- keygen ---------------------------------------------------------------------------------- */

static int keygen(rcctl_t *r, int argc, char **argv)
{
    int64_t now = (int64_t) time(NULL);
    rcd_audit_key_t *key;
    char err[512];
    cJSON *jwk;

    if (rcctl_options(r, argc, argv, NULL, 1) != 1) {
        rcctl_error("keygen needs the FILE for the private key");
        return RCCTL_USAGE;
    }
    key = rcd_audit_key_create(argv[0], err, sizeof(err));
    if (key == NULL) {
        rcctl_error("%s", err);
        return RCCTL_USAGE;
    }
    jwk = rcd_audit_key_public(key, now, now + KEY_YEARS_SEC);
    rcd_audit_key_destroy(key);
    rcctl_json(jwk);
    return RCCTL_OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

int rcctl_audit(rcctl_t *r, int argc, char **argv)
{
    static const struct {
        const char *name;
        int       (*run)(rcctl_t *r, int argc, char **argv);
    } parts[] = {{"verify", rcctl_audit_verify}, {"show", rcctl_audit_show}, {"keygen", keygen}};

    for (size_t i = 0; argc > 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strcmp(argv[0], parts[i].name) == 0) {
            return parts[i].run(r, argc - 1, argv + 1);
        }
    }
    rcctl_error("audit needs one of verify, show, keygen; see rcctl audit --help");
    return RCCTL_USAGE;
}
