/*
 * rcd_config_files - reads and checks the files that the configuration names.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include "rcd_audit_key.h"
#include "rcd_config_files.h"
#include "rcd_config_tell.h"
#include "rcd_file.h"
#include "rcd_jws.h"

#define KEY_FILE_MAX   4096
#define TOKEN_FILE_MAX 4096
#define PEM_FILE_MAX   (1024 * 1024)

static int digest_keys_read(rcd_config_t *c, char *err, size_t err_size)
{
    const char *why;
    size_t len;
    int line;
    char *text = rcd_file_read(c->key_file, KEY_FILE_MAX, 1, &len, err, err_size);

    if (text == NULL) {
        return -1;
    }
    line = jd_keys_parse(&c->keys, text, len, &why);
    OPENSSL_cleanse(text, len);
    free(text);
    if (line != 0) {
        snprintf(err, err_size, "%s:%d: %s", c->key_file, line, why);
        return -1;
    }
    c->rules.key = &c->keys.key[0];
    for (unsigned i = 0; i < c->keys.n; i++) {
        char told[sizeof(c->keys.key[i].id) + sizeof(c->keys.key[i].check) + 2];

        snprintf(told, sizeof(told), "%s %s", c->keys.key[i].id, c->keys.key[i].check);
        if (rcd_config_tell(c, "digest", "key", told) != 0) {
            snprintf(err, err_size, "out of memory");
            return -1;
        }
    }
    return 0;
}

/* The token becomes a header: one line of visible ASCII, or somebody could write headers of their
 * own. */
static int token_read(rcd_config_t *c, char *err, size_t err_size)
{
    const char *path = c->office.token_file;
    size_t len;
    char *text = rcd_file_read(path, TOKEN_FILE_MAX, 1, &len, err, err_size);

    if (text == NULL) {
        return -1;
    }
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r' || text[len - 1] == ' ')) {
        text[--len] = '\0';
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] >= 0x7f) {
            len = 0;
        }
    }
    if (len == 0) {
        snprintf(err, err_size, "%s: must hold one bearer token on one line", path);
        OPENSSL_cleanse(text, TOKEN_FILE_MAX);
        free(text);
        return -1;
    }
    c->office.token = text;
    return 0;
}

static int jwks_read(rcd_config_t *c, char *err, size_t err_size)
{
    const char *path = c->office.jwks_file;
    char why[160];
    size_t len;
    char *text = rcd_file_read(path, RCD_JWKS_FILE_MAX, 0, &len, err, err_size);

    if (text == NULL) {
        return -1;
    }
    c->jwks = rcd_jwks_parse(text, len, why, sizeof(why));
    if (c->jwks != NULL && rcd_config_tell_file(c, "office", "jwks", text, len) != 0) {
        rcd_jwks_destroy(c->jwks);
        c->jwks = NULL;
        snprintf(why, sizeof(why), "out of memory");
    }
    free(text);
    if (c->jwks == NULL) {
        snprintf(err, err_size, "%s: %s", path, why);
        return -1;
    }
    return 0;
}

static BIO *pem_open(const char *path, int secret, char **text, char *err, size_t err_size)
{
    size_t len;

    *text = rcd_file_read(path, PEM_FILE_MAX, secret, &len, err, err_size);
    return *text == NULL ? NULL : BIO_new_mem_buf(*text, (int) len);
}

static X509 *certificate_read(const char *path, char *err, size_t err_size)
{
    char *text;
    BIO *bio = pem_open(path, 0, &text, err, err_size);
    X509 *cert;

    if (bio == NULL) {
        return NULL;
    }
    cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    free(text);
    if (cert == NULL) {
        snprintf(err, err_size, "%s: holds no PEM certificate", path);
    }
    return cert;
}

/* OpenSSL must never ask the terminal for a passphrase. */
static int no_passphrase(char *buf, int size, int writing, void *user)
{
    (void) buf;
    (void) size;
    (void) writing;
    (void) user;
    return 0;
}

static int client_pair_check(const rcd_config_office_t *o, char *err, size_t err_size)
{
    X509 *cert = certificate_read(o->client_cert, err, err_size);
    char *text = NULL;
    BIO *bio = cert == NULL ? NULL : pem_open(o->client_key, 1, &text, err, err_size);
    EVP_PKEY *key = NULL;
    int rc = -1;

    if (bio != NULL) {
        key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
        BIO_free(bio);
        OPENSSL_cleanse(text, strlen(text));
        free(text);
        if (key == NULL) {
            snprintf(err, err_size, "%s: holds no PEM private key without a passphrase",
                     o->client_key);
        } else if (X509_check_private_key(cert, key) != 1) {
            snprintf(err, err_size, "%s: not the key of %s", o->client_key, o->client_cert);
        } else {
            rc = 0;
        }
    }
    EVP_PKEY_free(key);
    X509_free(cert);
    return rc;
}

static int secret_file_check(const char *path, char *err, size_t err_size)
{
    size_t len;
    char *text = rcd_file_read(path, KEY_FILE_MAX, 1, &len, err, err_size);

    if (text == NULL) {
        return -1;
    }
    OPENSSL_cleanse(text, len);
    free(text);
    return 0;
}

int rcd_config_files_read(rcd_config_t *c, rcd_config_use_t use, char *err, size_t err_size)
{
    X509 *ca;

    if (digest_keys_read(c, err, err_size) != 0) {
        return -1;
    }
    if (use == RCD_CONFIG_COMMAND) {
        return 0;
    }

    if (jwks_read(c, err, err_size) != 0) {
        return -1;
    }
    ca = certificate_read(c->office.ca_file, err, err_size);
    if (ca == NULL) {
        return -1;
    }
    X509_free(ca);
    if (c->office.token_file != NULL && token_read(c, err, err_size) != 0) {
        return -1;
    }
    if (c->office.client_cert != NULL && client_pair_check(&c->office, err, err_size) != 0) {
        return -1;
    }
    if (c->audit.key_file != NULL) {
        c->audit.key = rcd_audit_key_load(c->audit.key_file, err, err_size);
        if (c->audit.key == NULL) {
            return -1;
        }
        if (rcd_config_tell(c, "audit", "kid", c->audit.key->kid) != 0) {
            snprintf(err, err_size, "out of memory");
            return -1;
        }
    }
    return c->redis.auth_file == NULL ? 0 : secret_file_check(c->redis.auth_file, err, err_size);
}
