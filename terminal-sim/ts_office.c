/*
 * ts_office.c - terminal-sim office: subcommands and their options.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "ts_office.h"

#define IDLE_MS       25000 /* RFC 8936 leaves it to the office; the feed says: within 30 s */
#define LIST          "credit"
#define ISS           "https://office.example"
#define AUD           "jd:gateway:example-city"

typedef enum {
    OPT_PORT,
    OPT_PORT_FILE,
    OPT_IDLE,
    OPT_LIST,
    OPT_ISS,
    OPT_AUD,
    OPT_MEASURES,
    OPT_OBJECTION,
    OPT_OUT,
    OPT_ENDPOINT,
    OPT_TIMES,
    OPT_CLEAR,
    OPT_BASELINE,
    OPT_JSON,
    OPT_HELP,
    OPT_N
} option_t;

#define BIT(o)  (1u << (o))

static const struct option options[] = {
    { "port", required_argument, NULL, OPT_PORT },
    { "port-file", required_argument, NULL, OPT_PORT_FILE },
    { "idle", required_argument, NULL, OPT_IDLE },
    { "list", required_argument, NULL, OPT_LIST },
    { "iss", required_argument, NULL, OPT_ISS },
    { "aud", required_argument, NULL, OPT_AUD },
    { "measures", required_argument, NULL, OPT_MEASURES },
    { "objection", required_argument, NULL, OPT_OBJECTION },
    { "out", required_argument, NULL, OPT_OUT },
    { "endpoint", required_argument, NULL, OPT_ENDPOINT },
    { "times", required_argument, NULL, OPT_TIMES },
    { "clear", no_argument, NULL, OPT_CLEAR },
    { "baseline", no_argument, NULL, OPT_BASELINE },
    { "json", no_argument, NULL, OPT_JSON },
    { "help", no_argument, NULL, OPT_HELP },
    { NULL, 0, NULL, 0 }
};

typedef struct {
    const char *cmd;
    const char *dir;
    const char *arg;                            /* what follows DIR, or NULL */
    const char *text[OPT_N];                    /* of options given; "" for flags */
} args_t;

static void help(void)
{
    printf(
        "terminal-sim office - a simulated credit office that speaks feed version 1\n\n"
        "  init DIR [--list L] [--iss ISS] [--aud AUD]\n"
        "      makes keys, certificates, token; otherwise " LIST ", " ISS ", " AUD "\n"
        "  serve DIR [--port N] [--port-file F] [--idle MS]\n"
        "      serves https://127.0.0.1:N/v1 until SIGTERM; port 0 (default) = any, told in F;\n"
        "      a poll without events is held for --idle (%d)\n"
        "  publish DIR FILE [--baseline]\n"
        "      new orders, one JSON object a line (- = standard input); a line may also be\n"
        "      {\"lift\":ORDER,\"measures\"?} or {\"mark\":ORDER,\"objection\":BOOL}\n"
        "      --baseline: in snapshots only, no tokens (to begin with a large list)\n"
        "  amend DIR FILE                  new versions of orders\n"
        "  lift DIR ORDER [--measures A,B]\n"
        "  mark DIR ORDER --objection true|false\n"
        "  head DIR                        epoch, seqs, what waits\n"
        "  snapshot DIR [--out FILE]       builds one; FILE takes its records\n"
        "  sign DIR FILE                   signed import file on standard output, for rcctl "
        "import\n"
        "  epoch DIR N                     a new epoch\n"
        "  log DIR                         every event, acknowledgement, error and report\n"
        "  ledger DIR                      denials as receivers reported them, summed over runs\n"
        "  backup DIR TO                   copies the office\n"
        "  restore DIR FROM                takes a backup's events; what came after is forgotten\n"
        "  fault DIR [NAME[=ARG] [--endpoint E] [--times N] | --clear]\n"
        "                                  sets a fault, clears all, or lists them\n"
        "  generate N                      test orders; see office generate --help\n\n"
        "All commands work while DIR is served and while it is not. --json prints the answers as\n"
        "JSON, one a line. Exit code: 0 done, 1 the office refused, 2 options, files or directory\n"
        "cannot be used.\n\n"
        "Faults, until cleared or for N answers:\n",
        IDLE_MS);
    ts_faults_help(stdout);
}

static int number(const args_t *a, option_t o, unsigned max, unsigned *out)
{
    char *end;
    unsigned long value;

    if (!a->text[o])
        return 0;
    errno = 0;
    value = strtoul(a->text[o], &end, 10);
    if (a->text[o][0] < '0' || a->text[o][0] > '9' || *end || errno || value > max) {
        ts_complain("--%s %s: give a whole number up to %u", options[o].name, a->text[o], max);
        return -1;
    }
    *out = (unsigned) value;
    return 0;
}

/* ---- subcommands ----------------------------------------------------------------------------- */

static int copy_text(char *out, size_t size, const char *given, const char *otherwise)
{
    return snprintf(out, size, "%s", given ? given : otherwise) < (int) size ? 0 : -1;
}

static int do_init(const args_t *a)
{
    ts_party_t party;

    if (copy_text(party.list, sizeof party.list, a->text[OPT_LIST], LIST) != 0
        || copy_text(party.iss, sizeof party.iss, a->text[OPT_ISS], ISS) != 0
        || copy_text(party.aud, sizeof party.aud, a->text[OPT_AUD], AUD) != 0)
        return ts_complain("--list, --iss or --aud is too long");
    return ts_keys_init(a->dir, &party) == 0 ? TS_EXIT_OK : TS_EXIT_USAGE;
}

static int do_serve(const args_t *a)
{
    ts_feed_options_t feed = { .idle_ms = IDLE_MS };

    if (number(a, OPT_PORT, 65535, &feed.port) != 0
        || number(a, OPT_IDLE, 600000, &feed.idle_ms) != 0)
        return TS_EXIT_USAGE;
    return ts_serve(a->dir, &feed, a->text[OPT_PORT_FILE]);
}

static int ask(const args_t *a, cJSON *request, FILE *in)
{
    int rc = ts_ask(a->dir, request, in, a->text[OPT_JSON] != NULL, NULL, NULL);

    cJSON_Delete(request);
    return rc;
}

static cJSON *request(const args_t *a)
{
    cJSON *r = cJSON_CreateObject();

    cJSON_AddStringToObject(r, "cmd", a->cmd);
    return r;
}

/* Opens a file of lines; standard input is read to its end first, so that the office never waits
 * for it. NULL: told. */
static FILE *open_input(const char *name)
{
    char block[65536];
    FILE *f;
    size_t n;

    if (strcmp(name, "-") != 0) {
        f = fopen(name, "re");
    } else if ((f = tmpfile()) != NULL) {
        while ((n = fread(block, 1, sizeof block, stdin)) > 0)
            fwrite(block, 1, n, f);
        rewind(f);
    }
    if (!f)
        ts_complain("%s: %s", name, strerror(errno));
    return f;
}

static int do_publish(const args_t *a)
{
    cJSON *r;
    FILE *in = open_input(a->arg);
    int rc;

    if (!in)
        return TS_EXIT_USAGE;
    r = request(a);
    cJSON_AddBoolToObject(r, "baseline", a->text[OPT_BASELINE] != NULL);
    rc = ask(a, r, in);
    fclose(in);
    return rc;
}

static int do_lift(const args_t *a)
{
    cJSON *r = request(a), *measures;
    char *names = a->text[OPT_MEASURES] ? strdup(a->text[OPT_MEASURES]) : NULL, *rest = names,
         *name;
    int rc;

    cJSON_AddStringToObject(r, "order", a->arg);
    if (names) {
        measures = cJSON_AddArrayToObject(r, "measures");
        while ((name = strsep(&rest, ",")) != NULL)
            cJSON_AddItemToArray(measures, cJSON_CreateString(name));
    }
    rc = ask(a, r, NULL);
    free(names);
    return rc;
}

static int do_mark(const args_t *a)
{
    const char *objection = a->text[OPT_OBJECTION];
    cJSON *r;

    if (!objection || (strcmp(objection, "true") != 0 && strcmp(objection, "false") != 0))
        return ts_complain("mark: say --objection true or --objection false");
    r = request(a);
    cJSON_AddStringToObject(r, "order", a->arg);
    cJSON_AddBoolToObject(r, "objection", strcmp(objection, "true") == 0);
    return ask(a, r, NULL);
}

static int do_plain(const args_t *a)
{
    return ask(a, request(a), NULL);
}

static int do_epoch(const args_t *a)
{
    char *end;
    unsigned long epoch = strtoul(a->arg, &end, 10);
    cJSON *r;

    if (a->arg[0] < '0' || a->arg[0] > '9' || *end || epoch > TS_EPOCH_MAX)
        return ts_complain("%s: an epoch is 0..%u", a->arg, TS_EPOCH_MAX);
    r = request(a);
    cJSON_AddNumberToObject(r, "epoch", (double) epoch);
    return ask(a, r, NULL);
}

static int do_fault(const args_t *a)
{
    cJSON *r = request(a);
    unsigned times = 0;

    if (number(a, OPT_TIMES, 1000000, &times) != 0) {
        cJSON_Delete(r);
        return TS_EXIT_USAGE;
    }
    if (a->arg)
        cJSON_AddStringToObject(r, "fault", a->arg);
    if (a->text[OPT_ENDPOINT])
        cJSON_AddStringToObject(r, "endpoint", a->text[OPT_ENDPOINT]);
    cJSON_AddNumberToObject(r, "times", times);
    cJSON_AddBoolToObject(r, "clear", a->text[OPT_CLEAR] != NULL);
    return ask(a, r, NULL);
}

static int do_backup(const args_t *a)
{
    return ts_backup(a->dir, a->arg) == 0 ? TS_EXIT_OK : TS_EXIT_USAGE;
}

static int do_restore(const args_t *a)
{
    char *from = realpath(a->arg, NULL); /* the serving process has another working directory */
    cJSON *r;

    if (!from)
        return ts_complain("%s: %s", a->arg, strerror(errno));
    r = request(a);
    cJSON_AddStringToObject(r, "from", from);
    free(from);
    return ask(a, r, NULL);
}

/* Copies a file of the office to `to`. Returns 0 or -1 (told). */
static int copy_out(const char *from, const char *to)
{
    char block[65536];
    FILE *in = fopen(from, "re"), *out = in ? fopen(to, "we") : NULL;
    size_t n;
    int rc = out ? 0 : -1;

    while (rc == 0 && (n = fread(block, 1, sizeof block, in)) > 0)
        rc = fwrite(block, 1, n, out) == n ? 0 : -1;
    if (out && fclose(out) != 0)
        rc = -1;
    if (rc != 0)
        ts_complain("%s: %s", in ? to : from, strerror(errno));
    if (in)
        fclose(in);
    return rc;
}

/* Keeps the last answer line. */
static void keep(void *data, const cJSON *line)
{
    cJSON **kept = data;

    cJSON_Delete(*kept);
    *kept = cJSON_Duplicate(line, 1);
}

static int do_snapshot(const args_t *a)
{
    cJSON *r, *answer = NULL;
    const cJSON *file;
    int rc;

    if (!a->text[OPT_OUT])
        return do_plain(a);
    r = request(a);
    rc = ts_ask(a->dir, r, NULL, 0, keep, &answer);
    file = cJSON_GetObjectItemCaseSensitive(answer, "file");
    if (rc == TS_EXIT_OK
        && (!cJSON_IsString(file)
            || copy_out(ts_path(a->dir, file->valuestring), a->text[OPT_OUT]) != 0))
        rc = TS_EXIT_USAGE;
    cJSON_Delete(r);
    cJSON_Delete(answer);
    return rc;
}

static int do_sign(const args_t *a)
{
    FILE *in = open_input(a->arg);
    cJSON *r, *answer = NULL;
    const cJSON *jws;
    char block[65536];
    size_t n;
    int rc;

    if (!in)
        return TS_EXIT_USAGE;
    r = request(a);
    rc = ts_ask(a->dir, r, in, 0, keep, &answer);
    jws = cJSON_GetObjectItemCaseSensitive(answer, "jws");
    if (rc == TS_EXIT_OK && cJSON_IsString(jws)) {
        puts(jws->valuestring);
        rewind(in);
        while ((n = fread(block, 1, sizeof block, in)) > 0)
            fwrite(block, 1, n, stdout);
        rc = fflush(stdout) == 0 ? rc : TS_EXIT_USAGE;
    }
    cJSON_Delete(r);
    cJSON_Delete(answer);
    fclose(in);
    return rc;
}

/* ---- the table ------------------------------------------------------------------------------- */

typedef enum {
    NO_ARG,
    ARG,
    ARG_OR_NOT
} arg_t;

static const struct {
    const char *name;
    int       (*run)(const args_t *a);
    arg_t       arg;
    unsigned    options;
} subcommands[] = {
    { "init", do_init, NO_ARG, BIT(OPT_LIST) | BIT(OPT_ISS) | BIT(OPT_AUD) },
    { "serve", do_serve, NO_ARG, BIT(OPT_PORT) | BIT(OPT_PORT_FILE) | BIT(OPT_IDLE) },
    { "publish", do_publish, ARG, BIT(OPT_JSON) | BIT(OPT_BASELINE) },
    { "amend", do_publish, ARG, BIT(OPT_JSON) },
    { "lift", do_lift, ARG, BIT(OPT_JSON) | BIT(OPT_MEASURES) },
    { "mark", do_mark, ARG, BIT(OPT_JSON) | BIT(OPT_OBJECTION) },
    { "head", do_plain, NO_ARG, BIT(OPT_JSON) },
    { "snapshot", do_snapshot, NO_ARG, BIT(OPT_JSON) | BIT(OPT_OUT) },
    { "sign", do_sign, ARG, 0 },
    { "epoch", do_epoch, ARG, BIT(OPT_JSON) },
    { "log", do_plain, NO_ARG, BIT(OPT_JSON) },
    { "ledger", do_plain, NO_ARG, BIT(OPT_JSON) },
    { "backup", do_backup, ARG, 0 },
    { "restore", do_restore, ARG, BIT(OPT_JSON) },
    { "fault", do_fault, ARG_OR_NOT,
      BIT(OPT_JSON) | BIT(OPT_ENDPOINT) | BIT(OPT_TIMES) | BIT(OPT_CLEAR) },
};

#define SUBCOMMANDS  (sizeof subcommands / sizeof subcommands[0])

/* Takes options and arguments behind the subcommand's name. Returns 0, 1: helped, -1: told. */
static int take_args(args_t *a, unsigned allowed, arg_t arg, int argc, char **argv)
{
    int option, left;

    optind = 1;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPT_HELP) {
            help();
            return 1;
        }
        if (option == '?')
            return -1;
        if (!(allowed & BIT(option))) {
            ts_complain("office %s takes no --%s; see terminal-sim office --help", a->cmd,
                        options[option].name);
            return -1;
        }
        a->text[option] = optarg ? optarg : "";
    }
    left = argc - optind;
    if (left < 1 + (arg == ARG) || left > 1 + (arg != NO_ARG)) {
        ts_complain("office %s needs DIR%s; see terminal-sim office --help", a->cmd,
                    arg == ARG ? " and one argument" : arg == NO_ARG ? " alone" : "");
        return -1;
    }
    a->dir = argv[optind];
    a->arg = left > 1 ? argv[optind + 1] : NULL;
    return 0;
}

int ts_office_main(int argc, char **argv)
{
    args_t a = { 0 };
    int rc;

    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        help();
        return argc < 2 ? TS_EXIT_USAGE : TS_EXIT_OK;
    }
    if (strcmp(argv[1], "generate") == 0)
        return ts_generate(argc - 1, argv + 1);
    for (unsigned i = 0; i < SUBCOMMANDS; i++) {
        if (strcmp(subcommands[i].name, argv[1]) != 0)
            continue;
        a.cmd = argv[1];
        rc = take_args(&a, subcommands[i].options, subcommands[i].arg, argc - 1, argv + 1);
        if (rc != 0)
            return rc > 0 ? TS_EXIT_OK : TS_EXIT_USAGE;
        return subcommands[i].run(&a);
    }
    return ts_complain("office %s: no such subcommand; see terminal-sim office --help", argv[1]);
}
