/*
 * ts_bus.c - a bus validator: a tap is a POST without a body, the card number in a header.
 */
#include "ts_terminal.h"

static size_t write_tap(char *out, const char *host, const char *path, const char *card, uint64_t n)
{
    return (size_t) snprintf(out, TS_REQUEST_MAX,
                             "POST %s HTTP/1.1\r\nHost: %s\r\nX-Card-No: %s\r\n"
                             "X-Vehicle: T%03u\r\nContent-Length: 0\r\n\r\n",
                             path, host, card, (unsigned) (n % 400));
}

int ts_bus_main(int argc, char **argv)
{
    static const ts_terminal_t bus = {
        .name = "bus",
        .what = "bus validators: POST /bus/tap, header X-Card-No, measure bus.ride",
        .example = "--url http://127.0.0.1:8080 --rate 2000 --duration 10 --oracle orders.ndjson",
        .scheme = JD_SCHEME_CARD,
        .n_services = 1,
        .service = { { "/bus/tap", "bus.ride" } },
        .write = write_tap,
    };

    return ts_terminal_main(&bus, argc, argv);
}
