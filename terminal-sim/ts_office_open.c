/*
 * ts_office_open.c - takes an office's directory: lock, party, keys, events, faults, snapshots.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "ts_office.h"

static int read_party(ts_party_t *party, const char *dir)
{
    const struct {
        const char *name;
        char       *out;
        size_t      size;
    } members[] = { { "list", party->list, sizeof party->list },
                    { "iss", party->iss, sizeof party->iss },
                    { "aud", party->aud, sizeof party->aud } };
    size_t len;
    char *text = ts_file_read(ts_path(dir, "party.json"), &len);
    cJSON *json = text ? cJSON_ParseWithLength(text, len) : NULL;
    int rc = 0;

    free(text);
    for (unsigned i = 0; i < 3; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, members[i].name);

        if (cJSON_IsString(item) && strlen(item->valuestring) < members[i].size)
            strcpy(members[i].out, item->valuestring);
        else
            rc = -1;
    }
    cJSON_Delete(json);
    if (rc != 0)
        ts_complain("%s: not an office's directory; make one with: terminal-sim office init %s",
                    dir, dir);
    return rc;
}

int ts_office_open(ts_office_t *o, const char *dir)
{
    memset(o, 0, sizeof *o);
    o->dir = dir;
    o->lock = -1;
    if (read_party(&o->party, dir) != 0)
        return -1;
    o->lock = open(ts_path(dir, "lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (o->lock < 0) {
        ts_complain("%s/lock: %s", dir, strerror(errno));
        return -1;
    }
    if (flock(o->lock, LOCK_EX | LOCK_NB) != 0) {
        close(o->lock);
        return 1;
    }
    if (ts_signer_load(&o->signer, dir) != 0 || (o->store = ts_store_open(dir)) == NULL
        || (o->ledger = ts_ledger_open(dir)) == NULL || (o->faults = ts_faults_open(dir)) == NULL
        || (o->snapshots = ts_snapshots_create(dir)) == NULL) {
        ts_office_close(o);
        return -1;
    }
    return 0;
}

void ts_office_close(ts_office_t *o)
{
    ts_snapshots_destroy(o->snapshots);
    ts_faults_close(o->faults);
    ts_ledger_close(o->ledger);
    ts_store_close(o->store);
    ts_signer_fini(&o->signer);
    if (o->lock >= 0)
        close(o->lock);
}
