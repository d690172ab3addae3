
/*
 * ngx_jd_ledger.c - the file of the ledger: its directive, its lock, its
 * mapping; and the count of one denial.
 *
 * The file is locked by flock(), which belongs to the open file, not to a
 * process: master and workers hold it together, from before the first fork to
 * the end of the last of them, over kill -9 of any.  Its descriptor is left
 * open over exec(), and its number stands in the file: the new master of a
 * binary upgrade finds the same open file under this number, and has the lock
 * with it; any other nginx does not, and is refused.
 */


#include "ngx_jd_module.h"

#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>


static ngx_jd_ledger_t *ngx_jd_ledger_of(ngx_cycle_t *cycle,
    ngx_jd_ledger_conf_t *lcf);
static ngx_jd_ledger_t *ngx_jd_ledger_make(ngx_cycle_t *cycle,
    ngx_jd_ledger_conf_t *lcf);
static ngx_int_t ngx_jd_ledger_test(ngx_cycle_t *cycle,
    ngx_jd_ledger_conf_t *lcf);
static ngx_int_t ngx_jd_ledger_file(ngx_cycle_t *cycle, ngx_jd_ledger_t *ledger,
    ngx_jd_ledger_conf_t *lcf);
static ngx_fd_t ngx_jd_ledger_lock(ngx_cycle_t *cycle, ngx_fd_t fd,
    ngx_str_t *name);
static ngx_int_t ngx_jd_ledger_allocate(ngx_cycle_t *cycle, ngx_fd_t fd,
    ngx_jd_ledger_conf_t *lcf);
static ngx_int_t ngx_jd_ledger_check(ngx_cycle_t *cycle, jd_cells_rc_t rc,
    jd_cells_head_t *head, ngx_jd_ledger_conf_t *lcf);
static void ngx_jd_ledger_recover(jd_cells_t *cells);
static void ngx_jd_ledger_cleanup(void *data);


char *
ngx_jd_ledger(ngx_conf_t *cf, ngx_jd_ledger_conf_t *lcf)
{
    ngx_str_t  *value;

    if (lcf->name.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    lcf->name = value[1];

    if (ngx_conf_full_name(cf->cycle, &lcf->name, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    lcf->size = ngx_parse_size(&value[2]);

    if (lcf->size == (ssize_t) NGX_ERROR) {
        return "has an invalid size";
    }

    if (jd_cells_for(lcf->size) == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"ledger\" of size \"%V\" is too small, it must be "
                           "at least 20k", &value[2]);
        return NGX_CONF_ERROR;
    }

    if (value[3].len <= 8 || ngx_strncmp(value[3].data, "gateway=", 8) != 0
        || !jd_gateway_ok((char *) value[3].data + 8, value[3].len - 8))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"ledger\", it is "
                           "gateway=NAME, of A-Z, a-z, 0-9, \".\", \"_\" and "
                           "\"-\", at most %d characters",
                           &value[3], JD_GATEWAY_MAX);
        return NGX_CONF_ERROR;
    }

    lcf->gateway.data = value[3].data + 8;
    lcf->gateway.len = value[3].len - 8;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_jd_ledger_open(ngx_cycle_t *cycle, ngx_jd_ledger_conf_t *lcf)
{
    ngx_pool_cleanup_t  *cln;

    if (lcf->name.data == NULL || ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_OK;
    }

    if (ngx_test_config) {
        return ngx_jd_ledger_test(cycle, lcf);
    }

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    lcf->ledger = ngx_jd_ledger_of(cycle->old_cycle, lcf);

    if (lcf->ledger == NULL) {
        lcf->ledger = ngx_jd_ledger_make(cycle, lcf);
        if (lcf->ledger == NULL) {
            return NGX_ERROR;
        }
    }

    lcf->ledger->refs++;

    cln->handler = ngx_jd_ledger_cleanup;
    cln->data = lcf->ledger;

    return NGX_OK;
}


/* That of the old configuration, when the directive is the same. */

static ngx_jd_ledger_t *
ngx_jd_ledger_of(ngx_cycle_t *cycle, ngx_jd_ledger_conf_t *lcf)
{
    ngx_jd_ledger_conf_t  *old;

    if (cycle == NULL || cycle->conf_ctx == NULL) {
        return NULL;
    }

    old = ngx_jd_ledger_conf(cycle);

    if (old == NULL || old->ledger == NULL
        || old->size != lcf->size
        || old->name.len != lcf->name.len
        || ngx_strncmp(old->name.data, lcf->name.data, lcf->name.len) != 0
        || old->gateway.len != lcf->gateway.len
        || ngx_strncmp(old->gateway.data, lcf->gateway.data, lcf->gateway.len)
           != 0)
    {
        return NULL;
    }

    return old->ledger;
}


static ngx_jd_ledger_t *
ngx_jd_ledger_make(ngx_cycle_t *cycle, ngx_jd_ledger_conf_t *lcf)
{
    ngx_jd_ledger_t  *ledger;

    /* lives as long as one of several cycles */

    ledger = ngx_alloc(sizeof(ngx_jd_ledger_t), cycle->log);
    if (ledger == NULL) {
        return NULL;
    }

    ngx_memzero(ledger, sizeof(ngx_jd_ledger_t));

    ledger->size = lcf->size;
    ledger->fd = ngx_open_file(lcf->name.data, NGX_FILE_RDWR,
                               NGX_FILE_CREATE_OR_OPEN, 0600);

    if (ledger->fd == NGX_INVALID_FILE) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "\"ledger\": " ngx_open_file_n " \"%V\" failed",
                      &lcf->name);
        ngx_free(ledger);
        return NULL;
    }

    if (ngx_jd_ledger_file(cycle, ledger, lcf) == NGX_OK) {
        return ledger;
    }

    if (ledger->addr) {
        (void) munmap(ledger->addr, ledger->size);
    }

    if (ngx_close_file(ledger->fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", &lcf->name);
    }

    ngx_free(ledger);

    return NULL;
}


/* What can be told without touching a ledger that may be in use. */

static ngx_int_t
ngx_jd_ledger_test(ngx_cycle_t *cycle, ngx_jd_ledger_conf_t *lcf)
{
    ssize_t           n;
    ngx_fd_t          fd;
    ngx_str_t         dir;
    jd_cells_t        cells;
    ngx_file_info_t   fi;
    jd_cells_head_t  *head;

    fd = ngx_open_file(lcf->name.data, NGX_FILE_RDWR, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {

        if (ngx_errno == NGX_ENOENT) {

            /* it will be made; the name is absolute */

            dir.len = lcf->name.len;

            while (lcf->name.data[dir.len - 1] != '/') {
                dir.len--;
            }

            dir.data = ngx_pcalloc(cycle->pool, dir.len + 1);
            if (dir.data == NULL) {
                return NGX_ERROR;
            }

            ngx_memcpy(dir.data, lcf->name.data, dir.len);

            if (access((char *) dir.data, W_OK|X_OK) == 0) {
                return NGX_OK;
            }
        }

        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "\"ledger\": " ngx_open_file_n " \"%V\" failed",
                      &lcf->name);
        return NGX_ERROR;
    }

    head = ngx_pcalloc(cycle->pool, JD_CELLS_HEAD);
    if (head == NULL) {
        (void) ngx_close_file(fd);
        return NGX_ERROR;
    }

    n = -1;

    if (ngx_fd_info(fd, &fi) != NGX_FILE_ERROR) {
        n = ngx_read_fd(fd, head, JD_CELLS_HEAD);
    }

    if (n == -1) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "\"ledger\": " ngx_read_fd_n " \"%V\" failed",
                      &lcf->name);
        (void) ngx_close_file(fd);
        return NGX_ERROR;
    }

    (void) ngx_close_file(fd);

    return ngx_jd_ledger_check(cycle,
                               jd_cells_open(&cells, head, lcf->size,
                                             (char *) lcf->gateway.data),
                               head, lcf);
}


/* Locks, allocates, maps and checks; what is left undone the caller undoes. */

static ngx_int_t
ngx_jd_ledger_file(ngx_cycle_t *cycle, ngx_jd_ledger_t *ledger,
    ngx_jd_ledger_conf_t *lcf)
{
    uint8_t        run[JD_PERIOD_CLASSES][JD_RUN_LEN];
    ngx_fd_t       fd;
    ngx_uint_t     inherited;
    jd_cells_rc_t  rc;

    fd = ngx_jd_ledger_lock(cycle, ledger->fd, &lcf->name);
    if (fd == NGX_INVALID_FILE) {
        return NGX_ERROR;
    }

    inherited = (fd != ledger->fd);

    if (inherited) {
        (void) ngx_close_file(ledger->fd);
        ledger->fd = fd;

    } else if (ngx_jd_ledger_allocate(cycle, fd, lcf) != NGX_OK) {
        return NGX_ERROR;
    }

    ledger->addr = mmap(NULL, ledger->size, PROT_READ|PROT_WRITE, MAP_SHARED,
                        fd, 0);

    if (ledger->addr == MAP_FAILED) {
        ledger->addr = NULL;
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "\"ledger\": mmap(\"%V\") failed", &lcf->name);
        return NGX_ERROR;
    }

    rc = jd_cells_open(&ledger->cells, ledger->addr, ledger->size,
                       (char *) lcf->gateway.data);

    if (rc == JD_CELLS_EMPTY) {

        if (getrandom(run, sizeof(run), 0) != sizeof(run)) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                          "\"ledger\": getrandom() for \"%V\" failed",
                          &lcf->name);
            return NGX_ERROR;
        }

        jd_cells_format(ledger->addr, ledger->size, run,
                        (char *) lcf->gateway.data);

        rc = jd_cells_open(&ledger->cells, ledger->addr, ledger->size,
                           (char *) lcf->gateway.data);
    }

    if (ngx_jd_ledger_check(cycle, rc, ledger->cells.head, lcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (!inherited) {
        ngx_jd_ledger_recover(&ledger->cells);
    }

    ledger->cells.head->lock_fd = ledger->fd;

    return NGX_OK;
}


/*
 * Returns the descriptor that holds the lock: `fd`, or the one that the old
 * master of a binary upgrade has handed down.
 */

static ngx_fd_t
ngx_jd_ledger_lock(ngx_cycle_t *cycle, ngx_fd_t fd, ngx_str_t *name)
{
    ngx_fd_t          inherited;
    ngx_err_t         err;
    struct stat       mine, its;
    jd_cells_head_t  *head;

    if (flock(fd, LOCK_EX|LOCK_NB) == 0) {
        return fd;
    }

    err = ngx_errno;

    if (err != NGX_EAGAIN) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, err,
                      "\"ledger\": flock(\"%V\") failed", name);
        return NGX_INVALID_FILE;
    }

    inherited = NGX_INVALID_FILE;

    if (ngx_inherited && fstat(fd, &mine) == 0
        && mine.st_size >= JD_CELLS_HEAD)
    {
        head = mmap(NULL, JD_CELLS_HEAD, PROT_READ, MAP_SHARED, fd, 0);

        if (head != MAP_FAILED) {
            inherited = head->lock_fd;
            (void) munmap(head, JD_CELLS_HEAD);
        }
    }

    if (inherited >= 0 && inherited != fd
        && fstat(inherited, &its) == 0
        && its.st_dev == mine.st_dev && its.st_ino == mine.st_ino
        && flock(inherited, LOCK_EX|LOCK_NB) == 0)
    {
        return inherited;
    }

    ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                  "\"ledger\" \"%V\" is in use: by another nginx, by workers "
                  "whose master was killed, or by this one with another size "
                  "or gateway", name);

    return NGX_INVALID_FILE;
}


/*
 * All of it at once: a hole that the disk has no room for would kill the
 * worker that counts in it.
 */

static ngx_int_t
ngx_jd_ledger_allocate(ngx_cycle_t *cycle, ngx_fd_t fd,
    ngx_jd_ledger_conf_t *lcf)
{
    int              rc;
    uint64_t         magic;
    ngx_file_info_t  fi;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "\"ledger\": " ngx_fd_info_n " \"%V\" failed",
                      &lcf->name);
        return NGX_ERROR;
    }

    if (ngx_file_size(&fi) == lcf->size) {
        return NGX_OK;
    }

    magic = 0;

    if (ngx_file_size(&fi) > 0
        && (pread(fd, &magic, sizeof(magic), 0) == -1 || magic != 0))
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"ledger\" \"%V\" is %O bytes long and not %z, a ledger "
                      "keeps the size it was made with",
                      &lcf->name, ngx_file_size(&fi), lcf->size);
        return NGX_ERROR;
    }

    rc = ftruncate(fd, 0) == -1 ? ngx_errno
                                : posix_fallocate(fd, 0, lcf->size);

    if (rc != 0) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, rc,
                      "\"ledger\": no %z bytes for \"%V\"",
                      lcf->size, &lcf->name);

        if (ftruncate(fd, 0) == -1) {
            ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                          "ftruncate(\"%V\") failed", &lcf->name);
        }

        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_jd_ledger_check(ngx_cycle_t *cycle, jd_cells_rc_t rc,
    jd_cells_head_t *head, ngx_jd_ledger_conf_t *lcf)
{
    switch (rc) {

    case JD_CELLS_OK:
    case JD_CELLS_EMPTY:
        return NGX_OK;

    case JD_CELLS_SIZE:
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"ledger\" \"%V\" was made with a size of %uL bytes and "
                      "keeps it, not %z", &lcf->name, head->size, lcf->size);
        return NGX_ERROR;

    case JD_CELLS_GATEWAY:
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"ledger\" \"%V\" is of gateway \"%s\", not \"%V\": use "
                      "another file for another gateway",
                      &lcf->name, head->gateway, &lcf->gateway);
        return NGX_ERROR;

    case JD_CELLS_VERSION:
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"ledger\" \"%V\" was made by another version of this "
                      "module, use another file", &lcf->name);
        return NGX_ERROR;

    default: /* JD_CELLS_FOREIGN */
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "\"ledger\" \"%V\" is not a ledger", &lcf->name);
        return NGX_ERROR;
    }
}


/* Claims that were cut short: with a fresh lock nobody else is at work. */

static void
ngx_jd_ledger_recover(jd_cells_t *cells)
{
    uint64_t   i;
    jd_cell_t  copy;

    for (i = 0; i < cells->cells; i++) {
        if (jd_cells_look(cells, i, &copy) == JD_CELL_BUSY) {
            jd_cells_recover(cells, i, &copy, ngx_getpid());
        }
    }
}


static void
ngx_jd_ledger_cleanup(void *data)
{
    ngx_jd_ledger_t *ledger = data;

    if (--ledger->refs) {
        return;
    }

    (void) munmap(ledger->addr, ledger->size);
    (void) ngx_close_file(ledger->fd);

    ngx_free(ledger);
}


ngx_int_t
ngx_jd_ledger_count(ngx_jd_list_t *list, ngx_uint_t measure_bit,
    ngx_jd_verdict_t *v, ngx_uint_t outcome)
{
    jd_cell_key_t  order, hour;

    if (list->ledger == NULL) {
        return NGX_DECLINED;
    }

    hour.kind = outcome == NGX_JD_DENIED ? JD_CELL_DENIED : JD_CELL_DRY;
    hour.list = list->ledger_index;
    hour.measure = measure_bit;
    hour.text = (char *) v->authority.data;
    hour.len = v->authority.len;

    if (outcome != NGX_JD_DENIED) {
        return jd_cells_count(&list->ledger->cells, &hour, ngx_time(), ngx_pid)
               == 0 ? NGX_OK : NGX_DECLINED;
    }

    order = hour;
    order.kind = JD_CELL_ORDER;
    order.text = (char *) v->order.data;
    order.len = v->order.len;

    return jd_cells_count_both(&list->ledger->cells, &order, &hour, ngx_time(),
                               ngx_pid)
           == 0 ? NGX_OK : NGX_DECLINED;
}
