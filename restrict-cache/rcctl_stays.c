/*
 * rcctl_stays - the stays of the journal, and those on their way into it.
 */
#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "core/jd_time.h"
#include "rcctl.h"
#include "rcd_box.h"
#include "rcd_file.h"
#include "rcd_json.h"
#include "rcd_stay.h"

#define COMMAND_MAX   16384
#define FOREVER_FROM  (JD_STAY_FOREVER - (1 << 21))      /* ends that rcctl stay chose above it are none */

typedef struct {
    const rcctl_t *r;
    cJSON         *list;               /* for --json */
    unsigned       n, lost;
} listing_t;

static void add_time(cJSON *o, const char *name, int64_t at)
{
    char text[26];

    if (at < FOREVER_FROM) {
        jd_time_print(at, text);
        cJSON_AddStringToObject(o, name, text);
    } else {
        cJSON_AddNullToObject(o, name);
    }
}

static void print_time(const char *label, int64_t at, const char *by)
{
    char text[26];

    jd_time_print(at, text);
    printf("  %-10s %s%s", label, at < FOREVER_FROM ? text : "it is ended", by[0] ? ", by " : "");
    rcctl_text(stdout, by);
    putchar('\n');
}

static void add_json(listing_t *l, const rcd_stay_t *st)
{
    cJSON *o = cJSON_CreateObject();

    cJSON_AddNumberToObject(o, "stay", (double) st->id);
    if (st->number[0] != '\0') {
        cJSON_AddStringToObject(o, "order", st->number);
    } else {
        cJSON_AddTrueToObject(o, "person");
    }
    add_time(o, "since", st->since);
    add_time(o, "until", st->until);
    cJSON_AddStringToObject(o, "user", st->user);
    cJSON_AddStringToObject(o, "reason", st->reason);
    cJSON_AddBoolToObject(o, "found", st->found);
    cJSON_AddBoolToObject(o, "lost", st->lost);
    cJSON_AddStringToObject(o, "state", rcd_stay_end_names[st->ended]);
    if (st->ended != RCD_STAY_STANDS) {
        add_time(o, "ended_at", st->ended_at);
        cJSON_AddStringToObject(o, "ended_by", st->ended_by);
        cJSON_AddStringToObject(o, "ended_reason", st->ended_reason);
    }
    cJSON_AddItemToArray(l->list, o);
}

static void print_stay(const rcd_stay_t *st)
{
    printf("stay %" PRId64 ": %s", st->id, st->number[0] ? "order " : "a person");
    rcctl_text(stdout, st->number);
    putchar('\n');
    print_time("since", st->since, st->user);
    print_time("until", st->until, "");
    rcctl_line("reason", st->reason);
    if (st->ended != RCD_STAY_STANDS) {
        print_time(rcd_stay_end_names[st->ended], st->ended_at, st->ended_by);
        rcctl_line("why", st->ended_reason);
    }
    if (st->lost) {
        printf("  WRONG: made under a digest key that is over: it reaches nobody\n"
               "     DO: rcctl stay --subject --renew %" PRId64 " --reason TEXT, identifier on "
               "standard input\n", st->id);
    }
}

static int each_stay(void *arg, const rcd_stay_t *stay)
{
    listing_t *l = arg;

    l->n++;
    l->lost += (unsigned) stay->lost;
    if (l->r->json) {
        add_json(l, stay);
    } else {
        print_stay(stay);
    }
    return 0;
}

/* 1 when the file is a note of a stay or an objection that the daemon has not taken yet. */
static int is_note(const char *path)
{
    char err[PATH_MAX + 128];
    const char *why, *cmd;
    size_t len = 0;
    char *text = rcd_file_read(path, COMMAND_MAX, 0, &len, err, sizeof(err));
    cJSON *command = text != NULL ? rcd_json_parse(text, len, &why) : NULL;
    int is;

    cmd = rcd_json_string(command, "cmd");
    is = cmd != NULL && (strcmp(cmd, "stay") == 0 || strcmp(cmd, "objection") == 0);
    cJSON_Delete(command);
    free(text);
    return is;
}

static unsigned count_notes(const rcctl_t *r)
{
    char box[PATH_MAX], path[2 * PATH_MAX];
    struct dirent *e;
    unsigned n = 0;
    DIR *dir;

    snprintf(box, sizeof(box), "%s/inbox", r->config->state_dir);
    dir = opendir(box);
    while (dir != NULL && (e = readdir(dir)) != NULL) {
        if (rcd_box_is_command(e->d_name)) {
            snprintf(path, sizeof(path), "%s/%s", box, e->d_name);
            n += (unsigned) is_note(path);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return n;
}

static void finish(listing_t *l, unsigned notes)
{
    cJSON *j;

    if (l->r->json) {
        j = cJSON_CreateObject();
        cJSON_AddItemToObject(j, "stays", l->list);
        cJSON_AddNumberToObject(j, "waiting", notes);
        rcctl_json(j);
        return;
    }
    if (l->n == 0) {
        puts("no stay");
    }
    if (notes > 0) {
        printf("%u stay%s or objection%s wait%s for the daemon to take up; what they free is in Redis, "
               "if it could be reached\n", notes, notes == 1 ? "" : "s", notes == 1 ? "" : "s",
               notes == 1 ? "s" : "");
    }
}

int rcctl_stays(rcctl_t *r, int argc, char **argv)
{
    listing_t l = {.r = r};
    int all = 0, rc;
    const rcctl_option_t options[] = {{"all", NULL, &all}, {0}};
    char err[512];
    rcd_state_t *s;

    if (rcctl_options(r, argc, argv, options, 0) < 0 || rcctl_config(r) != 0) {
        return RCCTL_USAGE;
    }
    s = rcd_state_open_readonly(r->config->state_dir, err, sizeof(err));
    if (s == NULL) {
        rcctl_error("%s", err);
        return RCCTL_UNREACHABLE;
    }
    l.list = r->json ? cJSON_CreateArray() : NULL;
    rc = rcd_stay_each(s, all, each_stay, &l);
    if (rc < 0) {
        rcctl_error("%s", s->fault);
        cJSON_Delete(l.list);
    } else {
        finish(&l, count_notes(r));
    }
    rcd_state_close(s);
    return rc < 0 ? RCCTL_UNREACHABLE : l.lost > 0 ? RCCTL_FAULT : RCCTL_OK;
}
