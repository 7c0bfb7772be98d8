/* SPDX-License-Identifier: MIT
 * ops/work.h - several bags of independent units, cut among the members by cost.
 *
 * A phase between two barriers often holds work of several kinds (attention of one layer, weight gradients of
 * another).  Laid end to end they form one line of cost; member i of W takes the units whose middle lies in the
 * i-th W-th of it.  Which member runs a unit never reaches a result.
 */
#ifndef OPS_WORK_H
#define OPS_WORK_H

#include "runtime/sphere.h"

struct work {
    size_t units;
    uint64_t cost; /* of one unit, in any common measure; FLOPs will do */
    void (*run)(struct sphere *me, const void *ctx, size_t begin, size_t end);
    const void *ctx;
};

/* Team function, no barrier inside: runs this member's units of all bags, in order. */
void work_run(struct sphere *me, const struct work *bags, size_t n);

#endif
