/*
 * rcd_link - one blocking connection to Redis.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include "rcd_file.h"
#include "rcd_link.h"

#define AUTH_FILE_MAX  1024

static rcd_link_rc_t fault(rcd_link_t *l, rcd_link_rc_t rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static rcd_link_rc_t fault(rcd_link_t *l, rcd_link_rc_t rc, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(l->fault, sizeof(l->fault), format, args);
    va_end(args);
    l->rc = rc;
    return rc;
}

void rcd_link_close(rcd_link_t *l)
{
    if (l->c != NULL) {
        redisFree(l->c);
        l->c = NULL;
    }
}

/* The connection is of no more use. */
static rcd_link_rc_t broken(rcd_link_t *l)
{
    int timeout = l->c->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK);

    if (timeout) {
        fault(l, RCD_LINK_DOWN, "no answer within %d ms", RCD_LINK_TIMEOUT_MS);
    } else {
        fault(l, RCD_LINK_DOWN, "%s", l->c->errstr);
    }
    rcd_link_close(l);
    return RCD_LINK_DOWN;
}

/* ---- error replies --------------------------------------------------------------------------- */

static const struct {
    const char   *prefix;
    rcd_link_rc_t rc;
    const char   *text;              /* instead of Redis's own; NULL keeps that */
} errors[] = {
    {"LOADING", RCD_LINK_LOADING, "is loading its data"},
    {"BUSY", RCD_LINK_LOADING, "is busy with a script of somebody else"},
    {"MASTERDOWN", RCD_LINK_LOADING, "is a replica without its primary"},
    {"OOM", RCD_LINK_OOM, "is at its maxmemory and refuses writes; raise maxmemory"},
    {"READONLY", RCD_LINK_READONLY, "is a read-only replica; give the primary's address"},
    {"NOAUTH", RCD_LINK_AUTH, "wants a password; set auth_file"},
    {"WRONGPASS", RCD_LINK_AUTH, "refuses user and password of auth_file"},
    {"NOPERM", RCD_LINK_AUTH, NULL},
    {"WRONGTYPE", RCD_LINK_TYPE, "holds a key of ours as another type"},
    {"FENCED", RCD_LINK_FENCED, "another restrict-cached writes this list"},
    {"CHANGED", RCD_LINK_CHANGED, "meta is not what was written"},
    {"NOSCRIPT", RCD_LINK_DOWN, "has forgotten its scripts"},
    {"ERR The ID specified in XADD", RCD_LINK_CHANGED, "the stream of changes is ahead of meta"},
};

/* Takes the reply's meaning; frees it when it is an error. */
static redisReply *take(rcd_link_t *l, redisReply *r)
{
    if (r->type != REDIS_REPLY_ERROR) {
        l->rc = RCD_LINK_OK;
        return r;
    }
    fault(l, RCD_LINK_ERROR, "%.120s", r->str);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (strstr(r->str, errors[i].prefix) != NULL) {
            fault(l, errors[i].rc, "%.120s", errors[i].text != NULL ? errors[i].text : r->str);
            break;
        }
    }
    freeReplyObject(r);
    return NULL;
}

redisReply *rcd_link_next(rcd_link_t *l)
{
    void *reply = NULL;

    if (l->c == NULL) {
        return NULL;
    }
    errno = 0;
    if (redisGetReply(l->c, &reply) != REDIS_OK || reply == NULL) {
        broken(l);
        return NULL;
    }
    return take(l, reply);
}

redisReply *rcd_link_call(rcd_link_t *l, int argc, const char **argv, const size_t *len)
{
    if (l->c == NULL) {
        return NULL;
    }
    if (redisAppendCommandArgv(l->c, argc, argv, len) != REDIS_OK) {
        broken(l);
        return NULL;
    }
    return rcd_link_next(l);
}

redisReply *rcd_link_command(rcd_link_t *l, const char *format, ...)
{
    va_list args;
    int rc;

    if (l->c == NULL) {
        return NULL;
    }
    va_start(args, format);
    rc = redisvAppendCommand(l->c, format, args);
    va_end(args);
    if (rc != REDIS_OK) {
        broken(l);
        return NULL;
    }
    return rcd_link_next(l);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static rcd_link_rc_t dial(rcd_link_t *l)
{
    struct timeval tv = {.tv_sec = RCD_LINK_TIMEOUT_MS / 1000,
                         .tv_usec = RCD_LINK_TIMEOUT_MS % 1000 * 1000};
    const char *colon = strrchr(l->address, ':');
    char host[64];

    if (strncmp(l->address, "unix:", 5) == 0) {
        l->c = redisConnectUnixWithTimeout(l->address + 5, tv);
    } else {
        snprintf(host, sizeof(host), "%.*s", colon != NULL ? (int) (colon - l->address) : 0,
                 l->address);
        l->c = redisConnectWithTimeout(host, colon != NULL ? atoi(colon + 1) : 0, tv);
    }
    if (l->c == NULL) {
        return fault(l, RCD_LINK_DOWN, "out of memory");
    }
    if (l->c->err != 0 || redisSetTimeout(l->c, tv) != REDIS_OK) {
        return broken(l);
    }
    return l->rc = RCD_LINK_OK;
}

/* AUTH with what the file says: "user password" or "password". */
static rcd_link_rc_t authenticate(rcd_link_t *l)
{
    char err[128], *text, *user = NULL, *password;
    redisReply *r;
    size_t len;

    if (l->auth_file == NULL) {
        return RCD_LINK_OK;
    }
    text = rcd_file_read(l->auth_file, AUTH_FILE_MAX, 1, &len, err, sizeof(err));
    if (text == NULL) {
        return fault(l, RCD_LINK_AUTH, "%s", err);
    }
    text[strcspn(text, "\r\n")] = '\0';
    password = strchr(text, ' ');
    if (password != NULL) {
        *password++ = '\0';
        user = text;
    } else {
        password = text;
    }
    r = user != NULL ? rcd_link_command(l, "AUTH %s %s", user, password)
                     : rcd_link_command(l, "AUTH %s", password);
    explicit_bzero(text, len);
    free(text);
    if (r == NULL) {
        return l->rc == RCD_LINK_ERROR ? fault(l, RCD_LINK_AUTH, "refuses AUTH") : l->rc;
    }
    freeReplyObject(r);
    return RCD_LINK_OK;
}

static rcd_link_rc_t load_scripts(rcd_link_t *l)
{
    for (int i = 0; i < RCD_SCRIPT_N; i++) {
        redisReply *r = rcd_link_command(l, "SCRIPT LOAD %s", rcd_scripts[i]);
        if (r == NULL) {
            return l->rc;
        }
        snprintf(l->sha[i], sizeof(l->sha[i]), "%s", r->type == REDIS_REPLY_STRING ? r->str : "");
        freeReplyObject(r);
    }
    return RCD_LINK_OK;
}

rcd_link_rc_t rcd_link_open(rcd_link_t *l)
{
    rcd_link_rc_t rc = dial(l);

    if (rc == RCD_LINK_OK) {
        rc = authenticate(l);
    }
    if (rc == RCD_LINK_OK) {
        rc = load_scripts(l);
    }
    if (rc != RCD_LINK_OK) {
        rcd_link_close(l);
    }
    return rc;
}

/* ---- scripts --------------------------------------------------------------------------------- */

#define ARGS_HEAD  3           /* EVALSHA sha numkeys */

void rcd_args_begin(rcd_args_t *a)
{
    a->argc = ARGS_HEAD;
    a->keys = 0;
}

void rcd_args_add(rcd_args_t *a, const void *bytes, size_t len)
{
    a->argv[a->argc] = bytes;
    a->len[a->argc++] = len;
}

void rcd_args_text(rcd_args_t *a, const char *text)
{
    rcd_args_add(a, text, strlen(text));
}

void rcd_args_key(rcd_args_t *a, const char *key)
{
    rcd_args_text(a, key);
    a->keys++;
}

rcd_link_rc_t rcd_link_append(rcd_link_t *l, rcd_script_t script, rcd_args_t *a)
{
    snprintf(a->n_keys, sizeof(a->n_keys), "%d", a->keys);
    a->argv[0] = "EVALSHA";
    a->argv[1] = l->sha[script];
    a->argv[2] = a->n_keys;
    for (int i = 0; i < ARGS_HEAD; i++) {
        a->len[i] = strlen(a->argv[i]);
    }
    if (l->c == NULL) {
        return l->rc;
    }
    if (redisAppendCommandArgv(l->c, a->argc, a->argv, a->len) != REDIS_OK) {
        return broken(l);
    }
    return RCD_LINK_OK;
}

redisReply *rcd_link_script(rcd_link_t *l, rcd_script_t script, rcd_args_t *a)
{
    return rcd_link_append(l, script, a) == RCD_LINK_OK ? rcd_link_next(l) : NULL;
}
