/*
 * rcctl - the operator's command: subcommands, options, help.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "rcctl.h"
#include "rcd_status.h"

static const struct {
    const char *name;
    const char *arguments;
    const char *what;
    int (*run)(rcctl_t *r, int argc, char **argv);
} commands[] = {
    {"status", "",
     "How daemon, office and Redis stand; what is wrong, and what to do.", rcctl_status},
    {"check", "--measure M [--scheme S] [--file F] [--max-stale SEC]",
     "What the gate would decide now. Reads the identifier from standard input or from the\n"
     "first line of F, never from the command line. S: cnid uscc patron card uid (default\n"
     "card). SEC: the gate's max_stale (default 3600).", rcctl_check},
    {"orders", "[--order N] [--authority A] [--active]",
     "Orders of the journal, ended ones too; no identifier, no digest.", rcctl_orders},
    {"explain", "[ID]",
     "Opens the decision id of a denial, given here or on standard input: order, measure, the\n"
     "list's version and age then, and the order as the journal has it now.", rcctl_explain},
    {"quarantine", "",
     "Records that are not enforced, with the reason and the mend.", rcctl_quarantine},
    {"import", "FILE [--format ndjson|csv]",
     "Hands FILE to the daemon. A signed file (its first line is a signature) is a snapshot;\n"
     "any other is taken as observe-only. CSV: see rcctl.md for its columns.", rcctl_import},
    {"approve", "[HASH [--first] | --reject HASH | --epoch N | --holders HASH]",
     "Alone: shows the snapshot that waits because it adds more than the list may grow by.\n"
     "HASH (8 digits are enough): applies it; --first for the first list of all. --reject:\n"
     "gives it up and fetches a fresh one. --epoch: lets the office begin epoch N, after a\n"
     "restored backup or a fork. --holders: puts the import of holders into force that waits,\n"
     "because it changes many cards.", rcctl_approve},
    {"audit", "verify [--receipts] [--file F] [--keys JWKS] [--office-keys JWKS] [--office F]\n"
     "      audit show --order N | --last N [--file F]\n"
     "      audit keygen FILE",
     "The audit chain: verifies it from its first record, shows an order's whole life or the\n"
     "newest records, makes the key that signs its checkpoints (FILE, 0600) and prints the\n"
     "public half. --office F: receipts and checkpoints as the office holds them, one a line.",
     rcctl_audit},
    {"ledger", "[--month YYYY-MM] [--hours]",
     "Denials by order and month; --hours: by gateway, hour and authority.", rcctl_ledger},
    {"holders", "import --full|--delta FILE | add | remove | show",
     "Which card is whose. import: NDJSON or CSV, FILE - is standard input; in a full file a\n"
     "missing card is a returned card. add [--use own|other] [--from T] [--until T] and remove\n"
     "read a card and its holder from standard input, a line each; show reads a card or a\n"
     "person. Identifiers are scheme:number; without a scheme it is a card.", rcctl_holders},
    {"report", "--month YYYY-MM [--csv] [--lang en|zh]",
     "One month for the public, by authority, basis and measure; small counts are masked.",
     rcctl_report},
    {"holder-report", "[--lang zh|en]",
     "For the person at the counter: every order that affects them, in plain words. Reads\n"
     "scheme:identifier from standard input. It is noted that this was run, not about whom.",
     rcctl_holder_report},
    {"brake", "--release M --reason TEXT",
     "Lets the gates enforce measure M again after jd_brake has stopped it.", rcctl_brake},
    {"stay", "--order N | --subject [--renew ID], --reason TEXT [--until T]",
     "Suspends an order, or all that reaches a person (scheme:identifier on standard input),\n"
     "at once, also with the daemon down. T: a date, an instant or a span (30d, 12h, 90m);\n"
     "default: until unstay. ID: a stay that a new digest key has cut off.", rcctl_stay},
    {"unstay", "--order N | --subject, --reason TEXT", "Ends the stays of an order or a person.",
     rcctl_unstay},
    {"stays", "[--all]", "Stays that stand, or all; no identifier, no digest.", rcctl_stays},
    {"objection", "--order N --reason TEXT [--end]",
     "Records an objection: the order is observed, not enforced, until --end.", rcctl_objection},
    {"watch", "", "One line for each change of state, until interrupted.", rcctl_watch},
};

#define COMMANDS_N  (sizeof(commands) / sizeof(commands[0]))

static const char exit_codes[] =
    "Exit codes: 0 done, all well, would pass; 1 would be denied (check), none found (orders,\n"
    "approve, audit show, explain), broken (audit verify);\n"
    "2 options, configuration, file or id; 3 Redis, daemon or journal cannot be reached;\n"
    "4 refused by the daemon; 5 something needs a hand (status, stays, holders import).\n"
    "stay, objection: 0 by the daemon, in Redis; 6 in Redis directly, the daemon takes it up; 7 kept,\n"
    "Redis cannot be reached yet; 8 in Redis, and nothing could be kept on disk.\n";

static void print_command(size_t i)
{
    const char *p = commands[i].what;

    printf("  %s%s%s\n      ", commands[i].name, commands[i].arguments[0] ? " " : "",
           commands[i].arguments);
    for (; *p != '\0'; p++) {
        putchar(*p);
        if (*p == '\n') {
            fputs("      ", stdout);
        }
    }
    putchar('\n');
}

static int print_help(void)
{
    puts("Usage: rcctl [-c FILE] [--json] COMMAND [options]\n");
    for (size_t i = 0; i < COMMANDS_N; i++) {
        print_command(i);
    }
    printf("\n  -c FILE    configuration of restrict-cached (default %s)\n"
           "  --json     answers for programs\n"
           "  --help     this, or the help of one command\n"
           "  --version\n\n%s",
           RCD_CONFIG_DEFAULT, exit_codes);
    return RCCTL_OK;
}

void rcctl_error(const char *format, ...)
{
    va_list args;

    fputs("rcctl: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

/* The value of option argv[*at]: after '=', or the next argument. */
static const char *option_value(int argc, char **argv, int *at, const char *equals)
{
    if (equals != NULL) {
        return equals + 1;
    }
    if (*at + 1 == argc) {
        rcctl_error("%s needs a value", argv[*at]);
        return NULL;
    }
    return argv[++*at];
}

/* Takes the option argv[*at]. 0, or -1 after saying what is wrong. */
static int take_option(rcctl_t *r, int argc, char **argv, int *at, const rcctl_option_t *options)
{
    const rcctl_option_t common[] = {
        {"-c", &r->conf_file, NULL}, {"json", NULL, &r->json}, {"help", NULL, &r->help}, {0}};
    const char *text = argv[*at], *equals = strchr(text, '=');
    const char *name = strncmp(text, "--", 2) == 0 ? text + 2 : text;
    size_t len = equals ? (size_t) (equals - name) : strlen(name);
    const rcctl_option_t *tables[] = {options, common};

    for (int t = 0; t < 2; t++) {
        for (const rcctl_option_t *o = tables[t]; o != NULL && o->name != NULL; o++) {
            if (strlen(o->name) != len || memcmp(o->name, name, len) != 0) {
                continue;
            }
            if (o->value != NULL) {
                *o->value = option_value(argc, argv, at, equals);
                return *o->value != NULL ? 0 : -1;
            }
            if (equals != NULL) {
                rcctl_error("--%s takes no value", o->name);
                return -1;
            }
            *o->flag = 1;
            return 0;
        }
    }
    rcctl_error("unknown option %s; see rcctl --help", text);
    return -1;
}

int rcctl_options(rcctl_t *r, int argc, char **argv, const rcctl_option_t *options, int max)
{
    int n = 0;

    for (int i = 0; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1] != '\0') {
            if (take_option(r, argc, argv, &i, options) != 0) {
                return -1;
            }
        } else if (n == max) {
            rcctl_error("unexpected argument %s; see rcctl --help", argv[i]);
            return -1;
        } else {
            argv[n++] = argv[i];
        }
    }
    return n;
}

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
    (void) sig;
    interrupted = 1;
}

void rcctl_catch_signals(void)
{
    struct sigaction act = {.sa_handler = on_signal};

    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGHUP, &act, NULL);
}

int rcctl_interrupted(void)
{
    return interrupted;
}

int rcctl_config(rcctl_t *r)
{
    char err[512];

    if (r->config == NULL) {
        r->config = rcd_config_load(r->conf_file, RCD_CONFIG_COMMAND, err, sizeof(err));
    }
    if (r->config == NULL) {
        rcctl_error("%s", err);
        return -1;
    }
    return 0;
}

/* The command's help is asked for before anything else of it is looked at. */
static int asks_help(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            return 1;
        }
    }
    return 0;
}

static int run(rcctl_t *r, int argc, char **argv)
{
    for (size_t i = 0; i < COMMANDS_N; i++) {
        if (strcmp(commands[i].name, argv[0]) != 0) {
            continue;
        }
        if (r->help || asks_help(argc, argv)) {
            print_command(i);
            printf("\n%s", exit_codes);
            return RCCTL_OK;
        }
        return commands[i].run(r, argc - 1, argv + 1);
    }
    rcctl_error("unknown command %s; see rcctl --help", argv[0]);
    return RCCTL_USAGE;
}

int main(int argc, char **argv)
{
    rcctl_t r = {.conf_file = RCD_CONFIG_DEFAULT};
    int version = 0, at = 1, rc;
    const rcctl_option_t options[] = {{"version", NULL, &version}, {0}};

    while (at < argc && argv[at][0] == '-') {
        if (take_option(&r, argc, argv, &at, options) != 0) {
            return RCCTL_USAGE;
        }
        at++;
    }
    if (version) {
        printf("rcctl %s\n", RCD_VERSION);
        return RCCTL_OK;
    }
    if (at == argc) {
        if (r.help) {
            return print_help();
        }
        rcctl_error("no command; see rcctl --help");
        return RCCTL_USAGE;
    }
    rc = run(&r, argc - at, argv + at);
    rcd_config_destroy(r.config);
    if (fflush(stdout) != 0 && rc == RCCTL_OK) {
        rcctl_error("the answer could not be written");
        return RCCTL_USAGE;
    }
    return rc;
}
