
/*
 * ngx_jd_clock.c - the office clock over a restart: the ledger's file keeps it
 * while daemon and office are silent.
 *
 * A new zone would take it from the daemon's last beat, however old that is;
 * with a wall clock that was set back as well, an order that is over would be
 * in force again.  The clock is CLOCK_BOOTTIME and an offset, so what is kept
 * holds for one boot.
 */


#include "ngx_jd_zone.h"


static uint64_t ngx_jd_clock_boot(ngx_log_t *log);


void
ngx_jd_clock_attach(ngx_jd_list_t *list)
{
    int64_t           none, kept;
    jd_cells_list_t  *file;

    if (list->ledger == NULL) {
        return;
    }

    list->boot = ngx_jd_clock_boot(list->log);

    file = &list->ledger->cells.head->list[list->ledger_index];

    if (list->boot == 0 || ngx_jd_get(&file->boot) != list->boot) {
        return;
    }

    none = 0;
    kept = ngx_jd_get(&file->office_offset);

    (void) atomic_compare_exchange_strong(&list->zone->office_offset, &none,
                                          kept);
}


void
ngx_jd_clock_keep(ngx_jd_list_t *list, int64_t offset)
{
    jd_cells_list_t  *file;

    if (list->ledger == NULL || list->boot == 0) {
        return;
    }

    file = &list->ledger->cells.head->list[list->ledger_index];

    if (ngx_jd_get(&file->boot) != list->boot) {
        ngx_jd_set(&file->office_offset, 0);
        ngx_jd_set(&file->boot, list->boot);
    }

    if (ngx_jd_get(&file->office_offset) != offset) {
        ngx_jd_set(&file->office_offset, offset);
    }
}


/* This boot of the machine, by the first 64 bits of its random id; 0: unknown. */

static uint64_t
ngx_jd_clock_boot(ngx_log_t *log)
{
    u_char       id[36];
    ssize_t      n;
    uint64_t     boot;
    ngx_fd_t     fd;
    ngx_int_t    digit;
    ngx_uint_t   i;

    fd = ngx_open_file("/proc/sys/kernel/random/boot_id", NGX_FILE_RDONLY,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        return 0;
    }

    n = ngx_read_fd(fd, id, sizeof(id));

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      ngx_close_file_n " boot_id failed");
    }

    if (n != sizeof(id)) {
        return 0;
    }

    boot = 0;

    for (i = 0; i < 18; i++) {

        if (id[i] != '-') {
            digit = ngx_hextoi(&id[i], 1);
            boot = boot << 4 | (uint64_t) (digit & 15);
        }
    }

    return boot;
}
