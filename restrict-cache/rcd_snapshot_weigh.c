/*
 * rcd_snapshot_weigh - what a staged snapshot would add to the list, and what would go; whether it
 * must wait for the operator.
 */
#include <string.h>
#include "rcd_hold.h"
#include "rcd_size.h"
#include "rcd_slice.h"
#include "rcd_snapshot_parts.h"

int rcd_snapshot_objection_over(rcd_snapshot_t *sn, const rcd_order_t *o, rcd_relief_row_t *r)
{
    int rc = rcd_store_relief(sn->s, o->number, r);

    if (rc <= 0 || !r->r.objection || o->objection || sn->st.epoch != r->mark_epoch ||
        sn->st.relief_seq <= r->mark_seq) {
        return rc < 0 ? -1 : 0;
    }
    r->r.objection = 0;
    r->mark_seq = sn->st.relief_seq;
    return 1;
}

int rcd_snapshot_next(rcd_snapshot_t *sn, uint8_t *digest)
{
    const uint8_t *after = sn->any ? sn->digest : NULL;
    uint8_t live[JD_DIGEST_LEN];
    int a = rcd_stage_next(sn->stage, after, digest);
    int b = sn->from.imported ? 0 : rcd_store_next_live(sn->s, after, live);

    if (a < 0 || b < 0) {
        return -1;
    }
    if (b > 0 && (a == 0 || memcmp(live, digest, JD_DIGEST_LEN) < 0)) {
        memcpy(digest, live, JD_DIGEST_LEN);
    }
    return a > 0 || b > 0;
}

static int weigh_order(rcd_snapshot_t *sn, const rcd_order_t *o)
{
    rcd_relief_row_t relief;
    rcd_adds_t adds;
    int over = rcd_snapshot_objection_over(sn, o, &relief);

    if (over < 0 || rcd_apply_weigh(sn->s, &sn->from, o, &adds) < 0) {
        return -1;
    }
    if (over && adds == RCD_ADDS_NOTHING && !o->observe) {
        adds = RCD_ADDS_TERMS;
    }
    if (adds == RCD_ADDS_NOTHING) {
        return 0;
    }
    sn->counts.adds_orders += adds == RCD_ADDS_ORDER;
    sn->counts.adds_terms += adds == RCD_ADDS_TERMS;
    return rcd_stage_adds(sn->stage, o, adds);
}

static int weigh_digest(rcd_snapshot_t *sn, const uint8_t *digest)
{
    rcd_row_t rows[JD_ORDERS_MAX];
    rcd_order_t o = {.number = ""};
    int n = rcd_store_live(sn->s, digest, rows, JD_ORDERS_MAX), rc;

    for (int i = 0; i < n; i++) {
        int has = rcd_growth_counts(&rows[i]) ? rcd_stage_has(sn->stage, rows[i].number) : 1;

        if (has < 0) {
            return -1;
        }
        sn->drops += has == 0;
    }
    while ((rc = rcd_stage_order(sn->stage, digest, o.number, &o)) > 0) {
        if (weigh_order(sn, &o) < 0) {
            return -1;
        }
    }
    return n < 0 ? -1 : rc;
}

int rcd_snapshot_weigh(rcd_snapshot_t *sn, int64_t end)
{
    uint8_t digest[JD_DIGEST_LEN];
    int rc;

    for (unsigned n = 1; (rc = rcd_snapshot_next(sn, digest)) > 0; n++) {
        if (weigh_digest(sn, digest) < 0) {
            return -1;
        }
        memcpy(sn->digest, digest, JD_DIGEST_LEN);
        sn->any = 1;
        if (n % RCD_SNAPSHOT_CHECK == 0 && rcd_slice_over(end)) {
            return 1;
        }
    }
    sn->any = 0;
    return rc;
}

int rcd_snapshot_hold(rcd_snapshot_t *sn, char *err, size_t err_size)
{
    char path[RCD_HELD_PATH_MAX];

    if (!rcd_size_exceeds(sn->s, sn->counts.adds_orders, sn->counts.adds_terms, sn->drops)) {
        return 0;
    }
    rcd_hold_path(sn->s, sn->st.sha256, path);
    sn->counts.held = 1;
    sn->from.adding = RCD_ADDING_WITHHELD;
    return rcd_stage_keep(sn->stage, path, err, err_size);
}
