/* SPDX-License-Identifier: MIT
 * The order in which the gradients of a step's leaves are summed.
 *
 * A 12-ary tree over the leaf index: each node is the left fold of up to twelve children in index order.  Leaves of
 * one lowest node are added where the backward pass makes them, so up to 12 leaves need one buffer, 13 … 144 two,
 * 145 … 1728 three.  Buffer k holds the sum of the present node of height k.  A node's first child is not copied: its
 * buffer and that of the node change places.  The tree depends on the number of leaves alone.
 *
 * Each member of a team keeps its own copy of the struct and asks the same questions, so all agree without talking.
 */
#ifndef TRAIN_GRADIENT_FOLD_INTERNAL_H
#define TRAIN_GRADIENT_FOLD_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

enum { GRADIENT_FOLD_FANOUT = 12, GRADIENT_FOLD_MAX_HEIGHT = 18 }; /* 12^18 > 2^64 */

struct gradient_fold {
    float *buffer[GRADIENT_FOLD_MAX_HEIGHT];
    int height; /* buffers in use */
    size_t leaves;
};

/* to[] += from[], element by element. */
struct gradient_sum {
    float *to;
    const float *from;
};

int gradient_fold_height(size_t leaves); /* buffers needed */

/* Where leaf `leaf` goes; *add false: it writes, true: it adds. */
float *gradient_fold_leaf(const struct gradient_fold *fold, size_t leaf, bool *add);

/* After leaf `leaf` (each in order): the sums that are now due, in order; returns how many. */
int gradient_fold_after(struct gradient_fold *fold, size_t leaf, struct gradient_sum sums[GRADIENT_FOLD_MAX_HEIGHT]);

/* After the last leaf: the whole sum. */
float *gradient_fold_result(const struct gradient_fold *fold);

#endif
