/* SPDX-License-Identifier: MIT */
#include "ops/work.h"

/* First unit of a bag starting at cost `start` whose middle is at or beyond `cut` (both in units of 1/2). */
static size_t first_unit(const struct work *bag, unsigned __int128 start, unsigned __int128 cut)
{
    if (cut <= start + bag->cost)
        return 0;
    unsigned __int128 i = (cut - start - bag->cost + 2 * (unsigned __int128)bag->cost - 1) / (2 * bag->cost);
    return i < bag->units ? (size_t)i : bag->units;
}

void work_run(struct sphere *me, const struct work *bags, size_t n)
{
    unsigned __int128 total = 0, start = 0;
    for (size_t i = 0; i < n; i++)
        total += 2 * (unsigned __int128)bags[i].units * bags[i].cost;
    const unsigned __int128 low = total * (unsigned)me->id / (unsigned)me->width;
    const unsigned __int128 high = total * (unsigned)(me->id + 1) / (unsigned)me->width;
    for (size_t i = 0; i < n; i++) {
        const struct work *bag = &bags[i];
        if (bag->units && bag->cost) {
            size_t begin = first_unit(bag, start, low);
            size_t end = me->id + 1 == me->width ? bag->units : first_unit(bag, start, high);
            if (begin < end)
                bag->run(me, bag->ctx, begin, end);
        }
        start += 2 * (unsigned __int128)bag->units * bag->cost;
    }
}
