/*
 * rcctl_redis - the list in Redis, read with a timeout on everything.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include "rcd_file.h"
#include "rcctl_redis.h"

#define AUTH_FILE_MAX  1024

static const struct timeval timeout = {RCCTL_REDIS_MS / 1000, RCCTL_REDIS_MS % 1000 * 1000};

static redisContext *open_socket(const char *address)
{
    char host[256];
    const char *colon = strrchr(address, ':');

    if (strncmp(address, "unix:", 5) == 0) {
        return redisConnectUnixWithTimeout(address + 5, timeout);
    }
    snprintf(host, sizeof(host), "%.*s", (int) (colon - address), address);
    return redisConnectWithTimeout(host, atoi(colon + 1), timeout);
}

redisReply *rcctl_redis_reply(redisContext *c, redisReply *reply, char *err, size_t err_size)
{
    if (reply == NULL) {
        snprintf(err, err_size, "Redis: %s", c->errstr);
        return NULL;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        snprintf(err, err_size, "Redis: %s", reply->str);
        freeReplyObject(reply);
        return NULL;
    }
    return reply;
}

/* AUTH with the file's "user password" or "password". */
static int authenticate(redisContext *c, const char *file, char *err, size_t err_size)
{
    size_t len;
    char *text = rcd_file_read(file, AUTH_FILE_MAX, 1, &len, err, err_size);
    char *first = text ? strtok(text, " \t\r\n") : NULL;
    char *second = first ? strtok(NULL, " \t\r\n") : NULL;
    redisReply *reply = NULL;

    if (text == NULL) {
        return -1;
    }
    if (first == NULL) {
        snprintf(err, err_size, "%s: holds no \"user password\"", file);
    } else {
        reply = rcctl_redis_reply(c, second ? redisCommand(c, "AUTH %s %s", first, second)
                                            : redisCommand(c, "AUTH %s", first),
                                  err, err_size);
    }
    explicit_bzero(text, len);
    free(text);
    if (reply == NULL) {
        return -1;
    }
    freeReplyObject(reply);
    return 0;
}

redisContext *rcctl_redis_open(const rcd_config_t *config, char *err, size_t err_size)
{
    redisContext *c = open_socket(config->redis.address);

    if (c == NULL || c->err) {
        snprintf(err, err_size, "Redis at %s: %s", config->redis.address,
                 c ? c->errstr : "out of memory");
        redisFree(c);
        return NULL;
    }
    redisSetTimeout(c, timeout);
    if (config->redis.auth_file != NULL &&
        authenticate(c, config->redis.auth_file, err, err_size) != 0) {
        redisFree(c);
        return NULL;
    }
    return c;
}

int rcctl_redis_meta_reply(const redisReply *values, jd_meta_t *m, char *err, size_t err_size)
{
    const char *val[JD_META_FIELDS], *field = NULL;
    size_t len[JD_META_FIELDS];
    jd_meta_rc_t rc;

    if (values->type != REDIS_REPLY_ARRAY || values->elements != JD_META_FIELDS) {
        snprintf(err, err_size, "Redis gave an unexpected reply for meta");
        return JD_META_BAD;
    }
    for (int i = 0; i < JD_META_FIELDS; i++) {
        const redisReply *v = values->element[i];

        val[i] = v->type == REDIS_REPLY_STRING ? v->str : NULL;
        len[i] = val[i] ? v->len : 0;
    }
    rc = jd_meta_parse(m, val, len, &field);
    switch (rc) {
    case JD_META_OK:
        break;
    case JD_META_EMPTY:
        snprintf(err, err_size, "Redis holds no list of this name yet, or was flushed");
        break;
    case JD_META_SCHEMA:
        snprintf(err, err_size, "the list in Redis has schema %u; this rcctl reads %d to %d",
                 m->schema, JD_SCHEMA_MIN, JD_SCHEMA);
        break;
    case JD_META_BAD:
        snprintf(err, err_size, "field %s of meta in Redis is missing or not of its form", field);
        break;
    }
    return rc;
}

int rcctl_redis_meta(redisContext *c, const char *list, jd_meta_t *m, char *err, size_t err_size)
{
    const char *argv[2 + JD_META_FIELDS] = {"HMGET"};
    char name[JD_REDIS_NAME_MAX];
    redisReply *reply;
    int rc;

    jd_redis_meta(name, list);
    argv[1] = name;
    memcpy(argv + 2, jd_meta_fields, sizeof(jd_meta_fields));
    reply = rcctl_redis_reply(c, redisCommandArgv(c, 2 + JD_META_FIELDS, argv, NULL), err,
                              err_size);
    if (reply == NULL) {
        return -1;
    }
    rc = rcctl_redis_meta_reply(reply, m, err, err_size);
    freeReplyObject(reply);
    return rc;
}
