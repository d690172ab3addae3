/*
 * rcd_growth - the rule of mass change as pure functions.
 */
#include <stdlib.h>
#include <string.h>
#include "rcd_growth.h"

#define PERCENT_MAX  1000
#define ORDERS_MAX   1000000000

static int enforced(const rcd_row_t *row)
{
    return !row->imported && (row->flags & JD_ORDER_OBSERVE) == 0;
}

int rcd_growth_counts(const rcd_row_t *row)
{
    return row->ended == RCD_END_NONE && enforced(row);
}

rcd_adds_t rcd_growth_adds(const rcd_row_t *old, const rcd_row_t *fresh, uint16_t lifted)
{
    if (!enforced(fresh) || (fresh->measures & ~lifted) == 0) {
        return RCD_ADDS_NOTHING;
    }
    if (old == NULL || !rcd_growth_counts(old)) {
        return RCD_ADDS_ORDER;
    }
    if ((fresh->measures & ~old->measures & ~lifted) != 0 || fresh->until > old->until ||
        fresh->start < old->start ||
        ((old->flags & JD_ORDER_OBJECTION) && !(fresh->flags & JD_ORDER_OBJECTION))) {
        return RCD_ADDS_TERMS;
    }
    return RCD_ADDS_NOTHING;
}

rcd_narrow_t rcd_growth_narrow(const rcd_row_t *old, const rcd_row_t *fresh, rcd_row_t *out)
{
    *out = *old;
    out->measures &= fresh->measures;
    out->start = fresh->start > old->start ? fresh->start : old->start;
    out->until = fresh->until < old->until ? fresh->until : old->until;
    out->flags |= fresh->flags & (JD_ORDER_OBJECTION | JD_ORDER_OBSERVE);
    if (out->measures == 0 || out->start >= out->until) {
        return RCD_NARROW_NONE;
    }
    return out->measures == old->measures && out->start == old->start &&
                   out->until == old->until && out->flags == old->flags
               ? RCD_NARROW_SAME : RCD_NARROW_LESS;
}

uint64_t rcd_growth_allowance(const rcd_growth_limit_t *limit, uint64_t baseline)
{
    uint64_t percent = limit->stated ? limit->percent : RCD_GROWTH_PERCENT;
    uint64_t orders = limit->stated ? limit->orders : RCD_GROWTH_ORDERS;
    uint64_t part = baseline / 100 * percent + baseline % 100 * percent / 100;

    return part > orders ? part : orders;
}

int rcd_growth_exceeds(const rcd_growth_limit_t *limit, const rcd_growth_t *g)
{
    uint64_t allowance = rcd_growth_allowance(limit, g->baseline);
    uint64_t adds = g->adds_orders + g->adds_terms;
    uint64_t after = g->size + g->adds_orders;

    after = after > g->drops ? after - g->drops : 0;
    return adds > allowance ||
           (adds > 0 && after + g->widened + g->adds_terms > g->baseline + allowance);
}

int rcd_growth_shrank(const rcd_growth_limit_t *limit, uint64_t before, uint64_t size)
{
    return before > size && before - size > rcd_growth_allowance(limit, before);
}

int rcd_growth_limit_parse(const char *text, rcd_growth_limit_t *out)
{
    static const char digits[] = "0123456789";
    size_t percent = strspn(text, digits), spaces, orders;
    unsigned long a, b;

    if (percent == 0 || percent > 4 || text[percent] != '%') {
        return -1;
    }
    spaces = strspn(text + percent + 1, " \t");
    orders = strspn(text + percent + 1 + spaces, digits);
    if (spaces == 0 || orders == 0 || orders > 10 ||
        text[percent + 1 + spaces + orders] != '\0') {
        return -1;
    }
    a = strtoul(text, NULL, 10);
    b = strtoul(text + percent + 1, NULL, 10);
    if (a > PERCENT_MAX || b > ORDERS_MAX) {
        return -1;
    }
    *out = (rcd_growth_limit_t){.stated = 1, .percent = (unsigned) a, .orders = b};
    return 0;
}
