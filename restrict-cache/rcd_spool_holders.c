/*
 * rcd_spool_holders - files of holders from the inbox, and the approval of one that waits.
 */
#include <stdio.h>
#include <string.h>
#include "rcd_json.h"
#include "rcd_spool_parts.h"

/* Takes nothing over: members are copied. Refused lines are told with a refusal, too. */
static void on_holders(void *owner, cJSON *told, const char *why)
{
    rcd_spool_t *s = owner;
    cJSON *a = why == NULL ? rcd_spool_answer_new() : cJSON_CreateObject(), *m;

    if (why != NULL) {
        cJSON_AddStringToObject(a, "state", "done");
        cJSON_AddFalseToObject(a, "ok");
        cJSON_AddStringToObject(a, "error", why);
    }
    cJSON_ArrayForEach(m, told) {
        cJSON_AddItemToObject(a, m->string, cJSON_Duplicate(m, 1));
    }
    rcd_spool_answer(s, s->import.answer, a);
    rcd_spool_import_release(&s->import);
}

static int holders_how(const char *name)
{
    for (int i = 0; name != NULL && i < RCD_LINKS_NARROWED; i++) {
        if (strcmp(name, rcd_links_how_names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

void rcd_spool_holders(rcd_spool_t *s, const char *name, const cJSON *command)
{
    const char *file = rcd_json_string(command, "file");
    int how = holders_how(rcd_json_string(command, "how")), fd;
    rcd_import_t *im = &s->import;
    char err[256];

    if (!rcd_box_name_ok(file) || how < 0) {
        rcd_spool_failed(s, name, "holders needs file and how");
        return;
    }
    if (rcd_spool_import_open(s, name, file) != 0) {
        return;
    }
    rcd_log(RCD_LOG_NOTICE, "holders: %s by %s", rcd_links_how_names[how], s->env.user);
    fd = im->fd;
    im->fd = -1;
    im->holders = im->applying = 1;
    if (rcd_holders_begin(s->env.holders, (rcd_links_how_t) how, fd, s->env.user, on_holders, s,
                          err, sizeof(err)) != 0) {
        rcd_spool_import_failed(s, err);
    }
}

void rcd_spool_holders_approve(rcd_spool_t *s, const char *name, const cJSON *command)
{
    const char *hash = rcd_json_string(command, "hash");
    char err[256];

    snprintf(s->import.answer, sizeof(s->import.answer), "%s", name);
    s->import.holders = s->import.applying = 1;
    if (rcd_holders_approve(s->env.holders, hash != NULL ? hash : "", s->env.user, on_holders, s,
                            err, sizeof(err)) != 0) {
        rcd_spool_import_failed(s, err);
    }
}
