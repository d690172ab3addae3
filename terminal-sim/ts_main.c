/*
 * ts_main.c - terminal-sim: chooses the subcommand.
 */
#include <signal.h>
#include <string.h>

#include "ts.h"

#define VERSION "0.1.0"

typedef struct {
    const char *name;
    int       (*main)(int argc, char **argv);
    const char *what;
} subcommand_t;

static const subcommand_t subcommands[] = {
    { "office", ts_office_main,
      "a credit office that speaks feed version 1, with faults on demand" },
    { "bus", ts_bus_main, "bus validators" },
    { "kiosk", ts_kiosk_main, "library kiosks" },
    { "counter", ts_counter_main, "citizen-card counters" },
    { "backends", ts_backends_main, "the backends behind the gate" },
};

#define SUBCOMMANDS  (sizeof subcommands / sizeof subcommands[0])

static void help(FILE *out)
{
    fputs("usage: terminal-sim SUBCOMMAND [OPTION...]\n\n", out);
    for (unsigned i = 0; i < SUBCOMMANDS; i++)
        fprintf(out, "  %-10s%s\n", subcommands[i].name, subcommands[i].what);
    fputs("\n  --version, --help; terminal-sim SUBCOMMAND --help tells the rest.\n", out);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        help(stderr);
        return TS_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        help(stdout);
        return TS_EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("terminal-sim " VERSION);
        return TS_EXIT_OK;
    }
    for (unsigned i = 0; i < SUBCOMMANDS; i++) {
        if (strcmp(argv[1], subcommands[i].name) == 0)
            return subcommands[i].main(argc - 1, argv + 1);
    }
    return ts_complain("%s: no such subcommand; see terminal-sim --help", argv[1]);
}
