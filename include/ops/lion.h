/* SPDX-License-Identifier: MIT
 * ops/lion.h - the Lion step of a range of parameters.
 *
 * Lion (Chen et al., "Symbolic discovery of optimization algorithms", arXiv 2302.06675, algorithm 2), per element, in f32, every
 * operation rounded by itself, in this order:
 *
 *     g' = g * grad_scale
 *     c  = g' + beta1 * (m - g')             m  = g' + beta2 * (m - g')
 *     w  = w - lr * (sign(c) + weight_decay * w),     sign(0) = 0
 *
 * Serial function on distinct data, any thread; the range may be cut anywhere without changing a bit.  Nothing here
 * allocates or fails.
 */
#ifndef OPS_LION_H
#define OPS_LION_H

#include <stddef.h>

struct lion {
    float lr, beta1, beta2, weight_decay;
    float grad_scale; /* clipping: every gradient is multiplied by it first */
};

/* Updates w and m [n] from g [n].  Moves 20 bytes an element: bound by memory. */
void lion_update(float *w, float *m, const float *g, size_t n, const struct lion *l);

#endif
