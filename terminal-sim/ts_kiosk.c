/*
 * ts_kiosk.c - a library kiosk: a checkout is a POST of JSON with patron and item barcodes.
 */
#include "ts_terminal.h"

static size_t write_checkout(char *out, const char *host, const char *path, const char *card,
                             uint64_t n)
{
    char body[256];
    int len =
        snprintf(body, sizeof body, "{\"patron_barcode\":\"%s\",\"item_barcode\":\"TEST%08llu\"}",
                 card, (unsigned long long) (n % 100000000));

    return (size_t) snprintf(out, TS_REQUEST_MAX,
                             "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                             "Content-Length: %d\r\n\r\n%s",
                             path, host, len, body);
}

int ts_kiosk_main(int argc, char **argv)
{
    static const ts_terminal_t kiosk = {
        .name = "kiosk",
        .what = "library kiosks: POST /library/checkout (JSON member patron_barcode), "
                "measure library.checkout",
        .example = "--url http://127.0.0.1:8080 --scheme card --rate 200 --oracle orders.ndjson",
        .scheme = JD_SCHEME_PATRON,
        .n_services = 1,
        .service = { { "/library/checkout", "library.checkout" } },
        .write = write_checkout,
    };

    return ts_terminal_main(&kiosk, argc, argv);
}
