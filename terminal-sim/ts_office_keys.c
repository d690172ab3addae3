/*
 * ts_office_keys.c - makes an office's directory: certificates, signing keys, token.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "ts_office.h"

#define DAY_SEC        86400L
#define VALID_DAYS     3650
#define TOKEN_BYTES    32
#define ED25519_LEN    32

const char *const ts_key_names[TS_KEYS] = { "office-1", "relief-1" };

/* ---- files ----------------------------------------------------------------------------------- */

static int save(const char *dir, const char *name, const void *bytes, size_t len, unsigned mode)
{
    if (ts_file_write(ts_path(dir, name), bytes, len, mode) == 0)
        return 0;
    ts_complain("%s/%s: %s", dir, name, strerror(errno));
    return -1;
}

/* Saves what was written to a memory BIO, and frees it. */
static int save_bio(const char *dir, const char *name, BIO *bio, unsigned mode)
{
    char *bytes;
    long len = BIO_get_mem_data(bio, &bytes);
    int rc = save(dir, name, bytes, (size_t) len, mode);

    BIO_free(bio);
    return rc;
}

static int save_key(const char *dir, const char *name, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());

    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    return save_bio(dir, name, bio, 0600);
}

static int save_certificate(const char *dir, const char *name, X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());

    PEM_write_bio_X509(bio, certificate);
    return save_bio(dir, name, bio, 0644);
}

static int save_json(const char *dir, const char *name, cJSON *json)
{
    char *text = cJSON_Print(json);
    int rc = text ? save(dir, name, text, strlen(text), 0644) : -1;

    cJSON_free(text);
    cJSON_Delete(json);
    return rc;
}

/* ---- certificates ---------------------------------------------------------------------------- */

typedef struct {
    EVP_PKEY *key;
    X509     *certificate;
} pair_t;

static void pair_fini(pair_t *p)
{
    EVP_PKEY_free(p->key);
    X509_free(p->certificate);
}

static int extend(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;
    int rc;

    X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    rc = extension ? X509_add_ext(certificate, extension, -1) : 0;
    X509_EXTENSION_free(extension);
    return rc == 1 ? 0 : -1;
}

/* What a certificate is for: the extensions beyond key identifiers. */
typedef struct {
    const char *name;
    const char *basic;
    const char *usage;
    const char *extended;           /* NULL: none */
    const char *names;              /* subjectAltName, NULL: none */
} purpose_t;

static int certify(pair_t *p, const pair_t *ca, const purpose_t *purpose)
{
    X509 *c = X509_new(), *issuer = ca ? ca->certificate : c;
    unsigned char serial[16];
    BIGNUM *number;
    X509_NAME *name;

    p->certificate = c;
    p->key = EVP_EC_gen("P-256");
    if (!c || !p->key || RAND_bytes(serial, sizeof serial) != 1)
        return -1;
    serial[0] = (serial[0] & 0x7f) | 0x40;
    number = BN_bin2bn(serial, sizeof serial, NULL);
    BN_to_ASN1_INTEGER(number, X509_get_serialNumber(c));
    BN_free(number);
    X509_set_version(c, X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(c), -DAY_SEC);
    X509_gmtime_adj(X509_getm_notAfter(c), VALID_DAYS * DAY_SEC);
    X509_set_pubkey(c, p->key);
    name = X509_get_subject_name(c);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *) purpose->name, -1,
                               -1, 0);
    X509_set_issuer_name(c, X509_get_subject_name(issuer));
    if (extend(c, issuer, NID_basic_constraints, purpose->basic) != 0
        || extend(c, issuer, NID_key_usage, purpose->usage) != 0
        || extend(c, issuer, NID_subject_key_identifier, "hash") != 0
        || extend(c, issuer, NID_authority_key_identifier, "keyid") != 0
        || (purpose->extended && extend(c, issuer, NID_ext_key_usage, purpose->extended) != 0)
        || (purpose->names && extend(c, issuer, NID_subject_alt_name, purpose->names) != 0))
        return -1;
    return X509_sign(c, ca ? ca->key : p->key, EVP_sha256()) > 0 ? 0 : -1;
}

static int make_certificates(const char *dir)
{
    static const purpose_t authority = { "Simulated credit office CA", "critical,CA:TRUE,pathlen:0",
                                         "critical,keyCertSign,cRLSign", NULL, NULL };
    static const purpose_t server = { "localhost", "critical,CA:FALSE", "critical,digitalSignature",
                                      "serverAuth", "DNS:localhost,IP:127.0.0.1,IP:::1" };
    static const purpose_t client = { "gateway", "critical,CA:FALSE", "critical,digitalSignature",
                                      "clientAuth", NULL };
    pair_t ca = { 0 }, s = { 0 }, c = { 0 };
    int rc = -1;

    if (certify(&ca, NULL, &authority) != 0 || certify(&s, &ca, &server) != 0
        || certify(&c, &ca, &client) != 0)
        ts_complain("certificates cannot be made (OpenSSL)");
    else if (save_certificate(dir, "ca.pem", ca.certificate) == 0
             && save_key(dir, "ca.key", ca.key) == 0
             && save_certificate(dir, "server.pem", s.certificate) == 0
             && save_key(dir, "server.key", s.key) == 0
             && save_certificate(dir, "client.pem", c.certificate) == 0
             && save_key(dir, "client.key", c.key) == 0)
        rc = 0;
    pair_fini(&ca);
    pair_fini(&s);
    pair_fini(&c);
    return rc;
}

/* ---- signing keys, token --------------------------------------------------------------------- */

static int make_signing_key(const char *dir, ts_key_t which, cJSON *keys)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    unsigned char raw[ED25519_LEN];
    size_t len = sizeof raw;
    char x[ED25519_LEN * 2], name[32];
    cJSON *jwk;
    int rc;

    if (!key || EVP_PKEY_get_raw_public_key(key, raw, &len) != 1) {
        ts_complain("no Ed25519 key can be made (OpenSSL)");
        EVP_PKEY_free(key);
        return -1;
    }
    ts_base64url(raw, len, x);
    jwk = cJSON_CreateObject();
    cJSON_AddStringToObject(jwk, "kty", "OKP");
    cJSON_AddStringToObject(jwk, "crv", "Ed25519");
    cJSON_AddStringToObject(jwk, "kid", ts_key_names[which]);
    cJSON_AddStringToObject(jwk, "x", x);
    cJSON_AddNumberToObject(jwk, "nbf", (double) (ts_now() - DAY_SEC));
    cJSON_AddNumberToObject(jwk, "exp", (double) (ts_now() + VALID_DAYS * DAY_SEC));
    if (which == TS_KEY_RELIEF)
        cJSON_AddStringToObject(jwk, "jd_use", "relief");
    cJSON_AddItemToArray(keys, jwk);
    snprintf(name, sizeof name, "%s.key", ts_key_names[which]);
    rc = save_key(dir, name, key);
    EVP_PKEY_free(key);
    return rc;
}

static int make_signing_keys(const char *dir)
{
    cJSON *jwks = cJSON_CreateObject(), *keys = cJSON_AddArrayToObject(jwks, "keys");

    for (unsigned i = 0; i < TS_KEYS; i++) {
        if (make_signing_key(dir, (ts_key_t) i, keys) != 0) {
            cJSON_Delete(jwks);
            return -1;
        }
    }
    return save_json(dir, "jwks.json", jwks);
}

static int make_token(const char *dir)
{
    unsigned char raw[TOKEN_BYTES];
    char text[TOKEN_BYTES * 2];
    size_t len;

    if (RAND_bytes(raw, sizeof raw) != 1) {
        ts_complain("no random bytes (OpenSSL)");
        return -1;
    }
    len = ts_base64url(raw, sizeof raw, text);
    text[len++] = '\n';
    return save(dir, "token", text, len, 0600);
}

static int make_party(const char *dir, const ts_party_t *party)
{
    cJSON *json = cJSON_CreateObject();

    cJSON_AddStringToObject(json, "list", party->list);
    cJSON_AddStringToObject(json, "iss", party->iss);
    cJSON_AddStringToObject(json, "aud", party->aud);
    return save_json(dir, "party.json", json);
}

int ts_keys_init(const char *dir, const ts_party_t *party)
{
    struct stat st;

    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        ts_complain("%s: %s", dir, strerror(errno));
        return -1;
    }
    if (stat(ts_path(dir, "party.json"), &st) == 0) {
        ts_complain("%s holds an office already; give another directory", dir);
        return -1;
    }
    if (make_certificates(dir) != 0 || make_signing_keys(dir) != 0 || make_token(dir) != 0
        || save(dir, "events", "", 0, 0600) != 0)
        return -1;
    return make_party(dir, party); /* last: its presence says that the directory is whole */
}
