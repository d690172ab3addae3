/*
 * probe.c - requests on one keep-alive connection, back to back or paced, and how long each waited.
 *
 *   probe PORT PATH count N             N requests, back to back
 *   probe PORT PATH pace MICROSECONDS   one each so often until SIGTERM
 *
 * Each carries another clean card. A wait counts from the intended start. Prints the number of
 * requests, p50, p99 and maximum in microseconds, and what the last answer's X-Reason said.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WAITS_MAX  2000000

static volatile sig_atomic_t over;
static char                  answer[8192];
static unsigned              wait_us[WAITS_MAX];

static void stop(int signo)
{
    (void) signo;
    over = 1;
}

static void die(const char *what)
{
    fprintf(stderr, "probe: %s\n", what);
    exit(1);
}

static long now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void sleep_until(long us)
{
    struct timespec ts = { us / 1000000, us % 1000000 * 1000 };

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static int connect_to(int port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((unsigned short) port) };
    int                one = 1;
    int                fd = socket(AF_INET, SOCK_STREAM, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    if (fd == -1 || connect(fd, (struct sockaddr *) &addr, sizeof(addr)) == -1) {
        die("cannot connect");
    }

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

    return fd;
}

/* The whole answer, header and body by its Content-Length. */
static void read_answer(int fd)
{
    size_t have = 0, want = 0;

    while (want == 0 || have < want) {
        ssize_t n = read(fd, answer + have, sizeof(answer) - 1 - have);
        char   *end, *length;

        if (n <= 0) {
            die("the connection ended");
        }

        have += (size_t) n;
        answer[have] = '\0';
        end = strstr(answer, "\r\n\r\n");

        if (want == 0 && end != NULL) {
            length = strstr(answer, "Content-Length: ");

            if (length == NULL || length > end) {
                die("an answer without Content-Length");
            }

            want = (size_t) (end + 4 - answer) + strtoul(length + 16, NULL, 10);
        }
    }
}

static void ask(int fd, const char *path, unsigned long n)
{
    char text[512];
    int  len = snprintf(text, sizeof(text),
                        "GET %s HTTP/1.1\r\nHost: gate\r\nX-Card-No: 9%015lu\r\n\r\n", path, n);

    if (write(fd, text, (size_t) len) != len) {
        die("cannot write");
    }

    read_answer(fd);
}

static int by_value(const void *a, const void *b)
{
    unsigned x = *(const unsigned *) a, y = *(const unsigned *) b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    unsigned long n = 0, limit;
    long          pace, due;
    char         *reason;
    int           fd;

    if (argc != 5) {
        die("usage: probe PORT PATH count|pace N");
    }

    signal(SIGTERM, stop);
    fd = connect_to(atoi(argv[1]));
    pace = strcmp(argv[3], "pace") == 0 ? atol(argv[4]) : 0;
    limit = pace ? WAITS_MAX : strtoul(argv[4], NULL, 10);
    limit = limit < WAITS_MAX ? limit : WAITS_MAX;

    for (due = now_us(); n < limit && !over; n++) {
        due = pace ? due + pace : now_us();
        sleep_until(due);

        if (over) {                     /* woken before it was due */
            break;
        }

        ask(fd, argv[2], n);
        wait_us[n] = (unsigned) (now_us() - due);
    }

    close(fd);
    qsort(wait_us, n, sizeof(wait_us[0]), by_value);
    reason = strstr(answer, "X-Reason: ");

    if (n == 0) {
        die("no request");
    }

    printf("%lu %u %u %u %.*s\n", n, wait_us[n / 2], wait_us[n * 99 / 100], wait_us[n - 1],
           reason ? (int) strcspn(reason + 10, "\r") : 1, reason ? reason + 10 : "-");

    return 0;
}
