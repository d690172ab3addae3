/*
 * rcctl_redis - the list in Redis, read with a timeout on everything.
 */
#ifndef RCCTL_REDIS_H
#define RCCTL_REDIS_H

#include <hiredis/hiredis.h>
#include "core/jd_redis.h"
#include "rcctl.h"

#define RCCTL_REDIS_MS  1000     /* connect, and each command */

/* Connects and authenticates as the configuration says. NULL with one line; redisFree() ends it. */
redisContext *rcctl_redis_open(const rcd_config_t *config, char *err, size_t err_size);

/*
 * meta as the gate reads it. JD_META_OK, or another code with a line in `err`; -1 when Redis did
 * not answer.
 */
int rcctl_redis_meta(redisContext *c, const char *list, jd_meta_t *m, char *err, size_t err_size);

/* Parses the 15 values of meta in a reply, likewise. */
int rcctl_redis_meta_reply(const redisReply *values, jd_meta_t *m, char *err, size_t err_size);

/* A reply that is not an error, or NULL with one line. freeReplyObject() ends it. */
redisReply *rcctl_redis_reply(redisContext *c, redisReply *reply, char *err, size_t err_size);

#endif
