/*
 * rcctl_holders - which card is whose: files and single links for the daemon, and the approval of an
 * import that waits.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "rcctl_holders.h"
#include "rcctl_spool.h"
#include "rcd_json.h"

/* ---- answers --------------------------------------------------------------------------------- */

static uint64_t count(const cJSON *answer, const char *name)
{
    uint64_t n = 0;

    (void) rcd_json_uint(answer, name, RCD_JSON_INT_MAX, &n);
    return n;
}

static void print_lines(const cJSON *answer, FILE *to)
{
    const cJSON *pair;

    cJSON_ArrayForEach(pair, cJSON_GetObjectItemCaseSensitive(answer, "lines")) {
        const cJSON *n = cJSON_GetArrayItem(pair, 0), *why = cJSON_GetArrayItem(pair, 1);

        if (cJSON_IsNumber(n) && cJSON_IsString(why)) {
            fprintf(to, "line %.0f: ", n->valuedouble);
            rcctl_text(to, why->valuestring);
            fputc('\n', to);
        }
    }
}

static void print_waiting(const cJSON *answer)
{
    printf("WAITS: of %" PRIu64 " cards of people and bodies under an order it changes %" PRIu64
           ", more than [holders] max_change\nwhat it takes from somebody is taken already (cards: "
           "%" PRIu64 "); what it gives waits for\n    rcctl approve --holders %s\n",
           count(answer, "listed"), count(answer, "listed_changed"), count(answer, "freed"),
           rcd_json_string(answer, "file"));
}

static void print_counts(const cJSON *answer)
{
    printf("%" PRIu64 " links of %" PRIu64 " cards: %" PRIu64 " cards added, %" PRIu64
           " changed, %" PRIu64 " returned\n",
           count(answer, "links"), count(answer, "cards"), count(answer, "added"),
           count(answer, "changed"), count(answer, "returned"));
    print_lines(answer, stdout);
    if (count(answer, "refused") > 0) {
        printf("refused lines: %" PRIu64 "; no card is taken for returned because of them\n",
               count(answer, "refused"));
    }
    if (count(answer, "doubt") > 0) {
        printf("cards in doubt: %" PRIu64 "; whose they are now cannot be read, so they match "
               "nobody\n",
               count(answer, "doubt"));
    }
    if (count(answer, "two") > 0) {
        printf("cards with two holders at once: %" PRIu64 "; they match neither (jd_two_holders)\n",
               count(answer, "two"));
    }
}

/* Runs the command, prints its answer, frees both. */
static int run(const rcctl_t *r, cJSON *command)
{
    cJSON *answer;
    int rc = rcctl_spool_run(r, command, &answer), waiting;

    if (answer == NULL) {
        return rc;
    }
    waiting = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(answer, "waiting"));
    if (rc == RCCTL_OK && (waiting || count(answer, "refused") > 0)) {
        rc = RCCTL_FAULT;
    }
    if (r->json) {
        rcctl_json(answer);
        return rc;
    }
    if (rc == RCCTL_OK || rc == RCCTL_FAULT) {
        print_counts(answer);
        if (waiting) {
            print_waiting(answer);
        }
    } else {
        print_lines(answer, stderr);
    }
    cJSON_Delete(answer);
    return rc;
}

/* The file is published in inbox as `name`: the daemon takes it. */
static int hand_over(const rcctl_t *r, const char *how, const char *name)
{
    cJSON *command = cJSON_CreateObject();
    int rc;

    cJSON_AddStringToObject(command, "cmd", "holders");
    cJSON_AddStringToObject(command, "how", how);
    cJSON_AddStringToObject(command, "file", name);
    rc = run(r, command);
    rcctl_spool_withdraw(r, name);
    return rc;
}

/* Configuration and a running daemon. RCCTL_OK, or an exit code. */
static int ready(rcctl_t *r)
{
    rcctl_catch_signals();
    if (rcctl_config(r) != 0) {
        return RCCTL_USAGE;
    }
    return rcctl_spool_alive(r) != 0 ? RCCTL_UNREACHABLE : RCCTL_OK;
}

/* ---- import ---------------------------------------------------------------------------------- */

static int import_file(const rcctl_t *r, FILE *in, const char *path, const char *how)
{
    char name[RCCTL_NAME_MAX], err[256] = "";
    FILE *out = rcctl_spool_create(r, ".holders", name);
    int rc;

    if (out == NULL) {
        return RCCTL_USAGE;
    }
    rc = rcctl_spool_copy(in, out, err, sizeof(err));
    if (fclose(out) != 0 && rc == 0) {
        snprintf(err, sizeof(err), "%s", strerror(errno));
        rc = -1;
    }
    if (rc != 0) {
        rcctl_error("%s: %s", path, err);
        rcctl_spool_withdraw(r, name);
        return RCCTL_USAGE;
    }
    return rcctl_spool_publish(r, name) != 0 ? RCCTL_USAGE : hand_over(r, how, name);
}

static int import(rcctl_t *r, int argc, char **argv)
{
    int full = 0, delta = 0, rc;
    const rcctl_option_t options[] = {{"full", NULL, &full}, {"delta", NULL, &delta}, {0}};
    FILE *f;

    rc = rcctl_options(r, argc, argv, options, 1);
    if (rc < 0) {
        return RCCTL_USAGE;
    }
    if (rc == 0 || full == delta) {
        rcctl_error("holders import needs --full or --delta, and a FILE (- for standard input)");
        return RCCTL_USAGE;
    }
    f = strcmp(argv[0], "-") == 0 ? stdin : fopen(argv[0], "re");
    if (f == NULL) {
        rcctl_error("%s: %s", argv[0], strerror(errno));
        return RCCTL_USAGE;
    }
    rc = ready(r);
    rc = rc != RCCTL_OK ? rc : import_file(r, f, argv[0], full ? "full" : "delta");
    if (f != stdin) {
        fclose(f);
    }
    return rc;
}

/* ---- one link -------------------------------------------------------------------------------- */

int rcctl_holders_line(const char *prompt, char line[RCCTL_HOLDERS_LINE])
{
    size_t n = 0;
    int c;

    if (isatty(STDIN_FILENO)) {
        fputs(prompt, stderr);
    }
    while ((c = getc(stdin)) != EOF && c != '\n') {
        if (n + 1 == RCCTL_HOLDERS_LINE || c == '\0') {
            rcctl_error("standard input: not an identifier");
            return -1;
        }
        line[n++] = (char) c;
    }
    if (n > 0 && line[n - 1] == '\r') {
        n--;
    }
    line[n] = '\0';
    return (int) n;
}

/* A card and its holder from standard input, as a line of a delta. NULL after saying why. */
static cJSON *read_link(const char *op)
{
    char card[RCCTL_HOLDERS_LINE], holder[RCCTL_HOLDERS_LINE];
    int remove = strcmp(op, "remove") == 0;
    cJSON *link = NULL;

    if (rcctl_holders_line("card: ", card) > 0 &&
        rcctl_holders_line(remove ? "holder (empty: whoever it is): " : "holder: ", holder) >= 0) {
        link = cJSON_CreateObject();
        cJSON_AddStringToObject(link, "op", op);
        cJSON_AddStringToObject(link, "card", card);
        if (holder[0] != '\0') {
            cJSON_AddStringToObject(link, "holder", holder);
        }
    } else {
        rcctl_error("standard input must hold a card and its holder, a line each");
    }
    explicit_bzero(card, sizeof(card));
    explicit_bzero(holder, sizeof(holder));
    return link;
}

static int put_link(const rcctl_t *r, const cJSON *link, const char *how)
{
    char name[RCCTL_NAME_MAX];
    FILE *out = rcctl_spool_create(r, ".holders", name);
    char *text = cJSON_PrintUnformatted(link);
    int failed = out == NULL || text == NULL || fputs(text, out) < 0 || fputc('\n', out) == EOF;

    if (text != NULL) {
        explicit_bzero(text, strlen(text));
    }
    free(text);
    if (out == NULL) {
        return RCCTL_USAGE;
    }
    failed |= fclose(out) != 0;
    if (failed) {
        rcctl_error("the link cannot be written: %s", strerror(errno));
        rcctl_spool_withdraw(r, name);
        return RCCTL_USAGE;
    }
    return rcctl_spool_publish(r, name) != 0 ? RCCTL_USAGE : hand_over(r, how, name);
}

static int one_link(rcctl_t *r, int argc, char **argv, const char *how)
{
    const char *use = NULL, *from = NULL, *until = NULL;
    const rcctl_option_t options[] = {
        {"use", &use, NULL}, {"from", &from, NULL}, {"until", &until, NULL}, {0}};
    int add = strcmp(how, "add") == 0, rc;
    cJSON *link;

    if (rcctl_options(r, argc, argv, add ? options : NULL, 0) < 0) {
        return RCCTL_USAGE;
    }
    rc = ready(r);
    if (rc != RCCTL_OK) {
        return rc;
    }
    link = read_link(add ? "set" : "remove");
    if (link == NULL) {
        return RCCTL_USAGE;
    }
    if (add) {
        cJSON_AddStringToObject(link, "use", use != NULL ? use : "own");
    }
    if (from != NULL) {
        cJSON_AddStringToObject(link, "from", from);
    }
    if (until != NULL) {
        cJSON_AddStringToObject(link, "until", until);
    }
    rc = put_link(r, link, how);
    cJSON_Delete(link);
    return rc;
}

/* ---- subcommands ----------------------------------------------------------------------------- */

int rcctl_holders_approve(rcctl_t *r, const char *hash)
{
    cJSON *command;
    int rc = ready(r);

    if (rc != RCCTL_OK) {
        return rc;
    }
    command = cJSON_CreateObject();
    cJSON_AddStringToObject(command, "cmd", "approve-holders");
    cJSON_AddStringToObject(command, "hash", hash);
    return run(r, command);
}

int rcctl_holders(rcctl_t *r, int argc, char **argv)
{
    const char *what = argc > 0 ? argv[0] : "";

    if (strcmp(what, "import") == 0) {
        return import(r, argc - 1, argv + 1);
    }
    if (strcmp(what, "add") == 0 || strcmp(what, "remove") == 0) {
        return one_link(r, argc - 1, argv + 1, what);
    }
    if (strcmp(what, "show") == 0) {
        return rcctl_holders_show(r, argc - 1, argv + 1);
    }
    rcctl_error("holders needs import, add, remove or show; see rcctl holders --help");
    return RCCTL_USAGE;
}
