/*
 * ts_backends.c - the three backends behind the gate; they answer whoever comes.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <microhttpd.h>

#include "core/jd_form.h"
#include "ts.h"

#define BODY_MAX        65536
#define ROUTES          3
#define MARK_BACK_MAX   1024                    /* nginx takes 4 KB of headers from a backend */

typedef struct {
    size_t  len;
    int     too_long;
    uint8_t bytes[BODY_MAX];
} body_t;

/* Answers one request of a path; fills `answer` and returns the status. `body` is never NULL. */
typedef unsigned (*serve_fn)(cJSON *answer, struct MHD_Connection *c, const body_t *body,
                             uint64_t n);

typedef struct {
    const char *path;
    serve_fn    serve;
} route_t;

typedef struct {
    const char        *name;                    /* as option and in the ports file */
    route_t            route[ROUTES];
    unsigned           port;                    /* 0: any free one */
    struct MHD_Daemon *daemon;
    atomic_ullong      requests, refused, marked;   /* all; not 2xx; with a JD-Status */
} backend_t;

static unsigned wrong(cJSON *answer, unsigned status, const char *error)
{
    cJSON_AddStringToObject(answer, "error", error);
    return status;
}

static void add_number(cJSON *answer, const char *name, const char *prefix, uint64_t n)
{
    char text[32];

    snprintf(text, sizeof text, "%s%08llu", prefix, (unsigned long long) n);
    cJSON_AddStringToObject(answer, name, text);
}

static unsigned serve_tap(cJSON *answer, struct MHD_Connection *c, const body_t *body, uint64_t n)
{
    const char *card = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "X-Card-No");

    (void) body;
    if (!card || !*card)
        return wrong(answer, MHD_HTTP_BAD_REQUEST, "header X-Card-No is missing");
    cJSON_AddStringToObject(answer, "result", "ride");
    cJSON_AddNumberToObject(answer, "fare_fen", 200);
    add_number(answer, "trip", "T", n);
    return MHD_HTTP_OK;
}

static unsigned serve_checkout(cJSON *answer, struct MHD_Connection *c, const body_t *body,
                               uint64_t n)
{
    cJSON *request = cJSON_ParseWithLength((const char *) body->bytes, body->len);
    const cJSON *patron = cJSON_GetObjectItemCaseSensitive(request, "patron_barcode");
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(request, "item_barcode");
    unsigned status;

    (void) c;
    if (!cJSON_IsString(patron) || !cJSON_IsString(item)) {
        status = wrong(answer, MHD_HTTP_BAD_REQUEST,
                       "patron_barcode and item_barcode are needed, as JSON strings");
    } else {
        cJSON_AddStringToObject(answer, "item_barcode", item->valuestring);
        cJSON_AddNumberToObject(answer, "loan_days", 30);
        add_number(answer, "checkout", "L", n);
        status = MHD_HTTP_OK;
    }
    cJSON_Delete(request);
    return status;
}

static int has_card(const body_t *body)
{
    uint8_t card[JD_SUBJECT_RAW_MAX];
    size_t len;

    return jd_form_find(body->bytes, body->len, "card", 4, 1, card, sizeof card, &len)
               == JD_FORM_FOUND
           && len > 0;
}

static unsigned serve_bike(cJSON *answer, struct MHD_Connection *c, const body_t *body, uint64_t n)
{
    (void) c;
    if (!has_card(body))
        return wrong(answer, MHD_HTTP_BAD_REQUEST, "form field card is missing");
    add_number(answer, "bike", "B", n % 20000);
    add_number(answer, "rental", "R", n);
    cJSON_AddNumberToObject(answer, "free_minutes", 60);
    return MHD_HTTP_OK;
}

static unsigned serve_tour(cJSON *answer, struct MHD_Connection *c, const body_t *body, uint64_t n)
{
    (void) c;
    if (!has_card(body))
        return wrong(answer, MHD_HTTP_BAD_REQUEST, "form field card is missing");
    add_number(answer, "pass", "P", n);
    cJSON_AddNumberToObject(answer, "price_fen", 12000);
    return MHD_HTTP_OK;
}

/* The counter: staff see what JD-Status tells of this person, see reply(). */
static unsigned serve_orders(cJSON *answer, struct MHD_Connection *c, const body_t *body,
                             uint64_t n)
{
    const char *card = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "X-Card-No");

    (void) body;
    (void) n;
    if (!card || !*card)
        return wrong(answer, MHD_HTTP_BAD_REQUEST, "header X-Card-No is missing");
    return MHD_HTTP_OK;
}

static backend_t backends[] = {
    { .name = "citizen-card",
      .route = { { "/card/bike", serve_bike }, { "/card/tour", serve_tour },
                 { "/card/orders", serve_orders } } },
    { .name = "bus-validator", .route = { { "/bus/tap", serve_tap } } },
    { .name = "library-checkout", .route = { { "/library/checkout", serve_checkout } } },
};

#define BACKENDS  (sizeof backends / sizeof backends[0])

static unsigned serve(backend_t *b, cJSON *answer, struct MHD_Connection *c, const char *url,
                      const body_t *body, uint64_t n)
{
    if (body->too_long)
        return wrong(answer, MHD_HTTP_CONTENT_TOO_LARGE, "body over 64 KiB");
    if (strcmp(url, "/stats") == 0) {
        cJSON_AddNumberToObject(answer, "requests", (double) b->requests);
        cJSON_AddNumberToObject(answer, "refused", (double) b->refused);
        cJSON_AddNumberToObject(answer, "with_jd_status", (double) b->marked);
        return MHD_HTTP_OK;
    }
    for (unsigned i = 0; i < ROUTES && b->route[i].path; i++) {
        if (strcmp(url, b->route[i].path) == 0)
            return b->route[i].serve(answer, c, body, n);
    }
    return wrong(answer, MHD_HTTP_NOT_FOUND, "no such path");
}

static enum MHD_Result reply(backend_t *b, struct MHD_Connection *c, const char *url,
                             const body_t *body)
{
    const char *mark = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "JD-Status");
    cJSON *answer = cJSON_CreateObject();
    int counted = strcmp(url, "/stats") != 0;
    uint64_t n = counted ? atomic_fetch_add(&b->requests, 1) + 1 : 0;
    unsigned status;
    struct MHD_Response *response;
    enum MHD_Result rc;
    char *text;

    cJSON_AddStringToObject(answer, "backend", b->name);
    status = serve(b, answer, c, url, body, n);
    if (status >= 300)
        b->refused++;
    if (mark) {
        b->marked++;
        cJSON_AddStringToObject(answer, "jd_status", mark);
    }
    text = cJSON_PrintUnformatted(answer);
    cJSON_Delete(answer);
    if (!text)
        return MHD_NO;
    response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    MHD_add_response_header(response, "Content-Type", "application/json");
    if (mark && strlen(mark) <= MARK_BACK_MAX)
        MHD_add_response_header(response, "X-Backend-JD-Status", mark);
    rc = MHD_queue_response(c, status, response);
    MHD_destroy_response(response);
    return rc;
}

/* libmicrohttpd calls this once for the head, once or more for the body, and once at its end. */
static enum MHD_Result handle(void *data, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *part,
                              size_t *part_len, void **request)
{
    body_t *body = *request;
    size_t room;

    (void) method;
    (void) version;
    if (!body) {
        *request = body = malloc(sizeof *body);
        if (!body)
            return MHD_NO;
        body->len = 0;
        body->too_long = 0;
        return MHD_YES;
    }
    if (*part_len > 0) {
        room = BODY_MAX - body->len;
        body->too_long |= *part_len > room;
        if (*part_len < room)
            room = *part_len;
        memcpy(body->bytes + body->len, part, room);
        body->len += room;
        *part_len = 0;
        return MHD_YES;
    }
    return reply(data, c, url, body);
}

static void completed(void *data, struct MHD_Connection *c, void **request,
                      enum MHD_RequestTerminationCode code)
{
    (void) data;
    (void) c;
    (void) code;
    free(*request);
    *request = NULL;
}

static int start(backend_t *b)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t) b->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    b->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, (uint16_t) b->port, NULL, NULL,
                                 handle, b, MHD_OPTION_SOCK_ADDR, &address,
                                 MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
                                 MHD_OPTION_CONNECTION_TIMEOUT, 300u,
                                 MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
    if (!b->daemon) {
        ts_complain("%s: cannot listen on 127.0.0.1:%u: %s", b->name, b->port, strerror(errno));
        return -1;
    }
    b->port = MHD_get_daemon_info(b->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    return 0;
}

/* Whole or not at all: whoever waits for the file never reads half of it. */
static int write_ports(const char *path)
{
    char temporary[4096];
    FILE *f;

    if ((size_t) snprintf(temporary, sizeof temporary, "%s.tmp", path) >= sizeof temporary
        || (f = fopen(temporary, "w")) == NULL) {
        ts_complain("%s: %s", path, strerror(errno));
        return -1;
    }
    for (unsigned i = 0; i < BACKENDS; i++)
        fprintf(f, "%s %u\n", backends[i].name, backends[i].port);
    if (fclose(f) != 0 || rename(temporary, path) != 0) {
        ts_complain("%s: %s", path, strerror(errno));
        return -1;
    }
    return 0;
}

static int help(void)
{
    puts(
        "terminal-sim backends - what stands behind the gate, on 127.0.0.1 until SIGTERM\n\n"
        "  --citizen-card PORT      POST /card/bike, /card/tour (form field card)\n"
        "  --bus-validator PORT     POST or GET /bus/tap (header X-Card-No)\n"
        "  --library-checkout PORT  POST /library/checkout (JSON patron_barcode, item_barcode)\n"
        "                           0, the default, takes a free port\n"
        "  --ports-file FILE        writes lines \"name port\" once all three listen\n\n"
        "Each answers JSON, tells the JD-Status it was given in member jd_status and in header\n"
        "X-Backend-JD-Status, and its counts at GET /stats.\n\n"
        "Example\n"
        "  terminal-sim backends --citizen-card 9001 --bus-validator 9002 --library-checkout 9003");
    return 1;
}

/* Returns 0, 1 after --help, -1. */
static int options(int argc, char **argv, const char **ports_file)
{
    static const struct option table[] = {
        { "citizen-card", required_argument, NULL, 0 },         /* 0..2: as in backends[] */
        { "bus-validator", required_argument, NULL, 1 },
        { "library-checkout", required_argument, NULL, 2 },
        { "ports-file", required_argument, NULL, 3 },
        { "help", no_argument, NULL, 4 },
        { NULL, 0, NULL, 0 },
    };
    unsigned long port;
    int option;
    char *end;

    optind = 1;
    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (option == 4)
            return help();
        if (option == '?')
            return -1;
        if (option == 3) {
            *ports_file = optarg;
            continue;
        }
        port = strtoul(optarg, &end, 10);
        if (end == optarg || *end || port > 65535) {
            ts_complain("--%s %s: not a port", backends[option].name, optarg);
            return -1;
        }
        backends[option].port = (unsigned) port;
    }
    if (optind < argc) {
        ts_complain("%s: not an option; see terminal-sim backends --help", argv[optind]);
        return -1;
    }
    return 0;
}

int ts_backends_main(int argc, char **argv)
{
    const char *ports_file = NULL;
    int rc = options(argc, argv, &ports_file), received;
    sigset_t signals;

    if (rc != 0)
        return rc > 0 ? TS_EXIT_OK : TS_EXIT_USAGE;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);     /* before the threads: only sigwait sees them */
    for (unsigned i = 0; i < BACKENDS && rc == 0; i++)
        rc = start(&backends[i]);
    if (rc == 0 && ports_file)
        rc = write_ports(ports_file);
    if (rc == 0) {
        for (unsigned i = 0; i < BACKENDS; i++)
            printf("%s http://127.0.0.1:%u\n", backends[i].name, backends[i].port);
        fflush(stdout);
        sigwait(&signals, &received);
    }
    for (unsigned i = 0; i < BACKENDS; i++) {
        if (backends[i].daemon)
            MHD_stop_daemon(backends[i].daemon);
    }
    for (unsigned i = 0; i < BACKENDS && rc == 0; i++)
        printf("%s: %llu requests, %llu refused, %llu with JD-Status\n", backends[i].name,
               (unsigned long long) backends[i].requests, (unsigned long long) backends[i].refused,
               (unsigned long long) backends[i].marked);
    return rc == 0 ? TS_EXIT_OK : TS_EXIT_USAGE;
}
