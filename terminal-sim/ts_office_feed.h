/*
 * ts_office_feed.h - bodies of the feed's answers (ts_office_answer.c).
 */
#ifndef TS_OFFICE_FEED_H
#define TS_OFFICE_FEED_H

#include "ts_office.h"

struct MHD_Response;

/* A response of `text` (malloc'ed, becomes the response's). The faults truncate and endless of
 * endpoint `at` apply; -1: none do. NULL: memory. */
struct MHD_Response *ts_answer(ts_office_t *o, int at, char *text, size_t len);

/* A response that streams a file (the fd becomes the response's), gzip-encoded if `gzip`. Holds
 * some 300 kB however long the file is. */
struct MHD_Response *ts_answer_file(ts_office_t *o, int at, int fd, uint64_t bytes, int gzip);

#endif
