/*
 * ts_counter.c - a citizen-card counter: bike rentals and tour passes in turn, POSTs of forms.
 */
#include "ts_terminal.h"

static size_t write_form(char *out, const char *host, const char *path, const char *card,
                         uint64_t n)
{
    char body[256];
    int len = snprintf(body, sizeof body, "card=%s&desk=T%02u&note=test+run", card,
                       (unsigned) (n % 12));

    return (size_t) snprintf(out, TS_REQUEST_MAX,
                             "POST %s HTTP/1.1\r\nHost: %s\r\n"
                             "Content-Type: application/x-www-form-urlencoded\r\n"
                             "Content-Length: %d\r\n\r\n%s",
                             path, host, len, body);
}

int ts_counter_main(int argc, char **argv)
{
    static const ts_terminal_t counter = {
        .name = "counter",
        .what = "citizen-card counter: POST /card/bike (bike.rent) and /card/tour "
                "(tour.annual_pass) in turn, form field card",
        .example = "--url http://127.0.0.1:8080 --rate 100 --count 500 --oracle orders.ndjson",
        .scheme = JD_SCHEME_CARD,
        .n_services = 2,
        .service = { { "/card/bike", "bike.rent" }, { "/card/tour", "tour.annual_pass" } },
        .write = write_form,
    };

    return ts_terminal_main(&counter, argc, argv);
}
