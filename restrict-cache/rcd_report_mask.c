/*
 * rcd_report_mask - what may not be published of a report: small counts, and what gives them away.
 */
#include <stdlib.h>
#include "rcd_report.h"

static int is_small(int64_t n)
{
    return n > 0 && n < RCD_REPORT_MIN;
}

static int is_masked(int64_t n)
{
    return n < 0;
}

static void mask(int64_t *n)
{
    *n = is_small(*n) ? RCD_REPORT_MASKED : *n;
}

/*
 * Objections are bound by "open before + raised = ended + open after", and the month before was
 * published, too: one masked member could be computed from the others. Then the smallest of those
 * is hidden with it.
 */
static void mask_objections(rcd_report_row_t *row)
{
    int64_t *smallest = NULL;
    unsigned masked = 0;

    for (int q = RCD_R_OBJECTIONS; q <= RCD_R_OBJECTIONS_OPEN; q++) {
        masked += (unsigned) is_masked(row->n[q]);
        if (row->n[q] > 0 && (smallest == NULL || row->n[q] < *smallest)) {
            smallest = &row->n[q];
        }
    }
    if (masked == 1 && smallest != NULL) {
        *smallest = RCD_REPORT_HIDDEN;
    }
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

    return x < y ? -1 : x > y;
}

static void mask_row(rcd_report_row_t *row)
{
    row->median_lift_sec = -1;
    if (row->n_lift >= RCD_REPORT_MIN) {
        qsort(row->lift_sec, row->n_lift, sizeof(*row->lift_sec), by_value);
        row->median_lift_sec = row->lift_sec[row->n_lift / 2];
    }
    for (int q = 0; q < RCD_R_N; q++) {
        mask(&row->n[q]);
    }
    mask_objections(row);
}

/* A total minus what is told of its parts is what is not told. */
static void mask_total(int64_t *total, int part_masked)
{
    mask(total);
    if (part_masked) {
        *total = RCD_REPORT_HIDDEN;
    }
}

void rcd_report_mask(rcd_report_t *r)
{
    int part;

    for (size_t i = 0; i < r->rows; i++) {
        mask_row(&r->row[i]);
    }
    for (int q = 0; q < RCD_R_N; q++) {
        part = 0;
        for (size_t i = 0; i < r->rows; i++) {
            part |= is_masked(r->row[i].n[q]);
        }
        mask_total(&r->total[q], part);
    }
    part = 0;
    for (size_t i = 0; i < r->dries; i++) {
        mask(&r->dry[i].dry_run);
        part |= is_masked(r->dry[i].dry_run);
    }
    mask_total(&r->dry_total, part);
    part = 0;
    for (int code = 0; code < RCD_Q_N; code++) {
        mask(&r->quarantined[code]);
        part |= is_masked(r->quarantined[code]);
    }
    mask_total(&r->quarantined_total, part);
    mask(&r->stays_of_persons);
}
