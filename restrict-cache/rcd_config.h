/*
 * rcd_config - the configuration file of restrict-cached and rcctl: INI, one list per file.
 */
#ifndef RCD_CONFIG_H
#define RCD_CONFIG_H

#include <stddef.h>
#include <stdint.h>
#include "core/jd_digest.h"
#include "core/jd_redis.h"
#include "rcd_log.h"
#include "rcd_order.h"

#define RCD_CONFIG_DEFAULT   "/etc/jd/restrict-cached.conf"
#define RCD_CONFIG_FILE_MAX  (256 * 1024)

typedef struct {
    char *base;                    /* "https://host[:port]/path", no '/' at the end */
    char *iss;
    char *aud;
    char *jwks_file;
    char *ca_file;
    char *token_file;              /* this, */
    char *client_cert;             /* or these two */
    char *client_key;
    /* content of token_file, trimmed; NULL without, and for RCD_CONFIG_COMMAND */
    char *token;
} rcd_config_office_t;

typedef struct {
    char                list[JD_LIST_NAME_MAX + 1];
    char               *state_dir;
    char               *key_file;
    jd_keys_t           keys;      /* keys.key[0] is the current one */
    rcd_rules_t         rules;     /* measures, normalisers; rules.key = &keys.key[0] */
    rcd_config_office_t office;
    /* content of office.jwks_file (rcd_jws.h); NULL for RCD_CONFIG_COMMAND */
    struct rcd_jwks_s  *jwks;
    struct {
        char    *address;          /* "127.0.0.1:6379" or "unix:/path" */
        char    *auth_file;        /* NULL: none */
        uint32_t expected;
    } redis;
    struct {
        unsigned retention_days;   /* totals and batches are kept for so long */
        unsigned report_sec;       /* hours of open periods go to the office so often */
    } ledger;
    struct {
        char           *file;      /* NULL: stderr */
        rcd_log_level_t level;
    } log;
    struct {
        char    *file;             /* full file of holders, read when it changes; NULL: none */
        uint32_t max_change;       /* percent of listed cards that an import may change unasked */
    } holders;
    struct {
        char     *key_file;        /* NULL: no checkpoints are signed */
        char     *former_keys;     /* JWKS of earlier keys, for rcctl audit verify; NULL: none */
        uint32_t  every_records;
        uint32_t  every_minutes;
        struct rcd_audit_key_s *key;   /* content of key_file; NULL for RCD_CONFIG_COMMAND */
    } audit;
    /* every setting as it stands, "section\tname\tvalue\n" in the order of the file, and what files it
     * names held that are no secret: what the audit chain tells a change by */
    char  *effective;
    size_t effective_len;
} rcd_config_t;

typedef enum {
    RCD_CONFIG_DAEMON,             /* the whole file, and every file it names is read and checked */
    /* rcctl: the whole file, but of the files it names only the digest key is read */
    RCD_CONFIG_COMMAND
} rcd_config_use_t;

/*
 * Reads and checks `file`. Returns a configuration to be given to rcd_config_destroy, or NULL with
 * `err` = "FILE:LINE: what is wrong; the mend" (one line, the first fault of the file; FILE alone
 * when no line is at fault). Secret files (digest key, token, client key) are refused when others
 * may read them (mode & 0007). Blocks on file reads only.
 */
rcd_config_t *rcd_config_load(const char *file, rcd_config_use_t use, char *err, size_t err_size);
void rcd_config_destroy(rcd_config_t *c);           /* wipes the secrets; NULL is allowed */

#endif
