/* SPDX-License-Identifier: MIT
 * ops/adamw.h - the optimizer step of a range of parameters, and the two sums over gradients it needs.
 *
 * AdamW with decoupled decay (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019), per element, in
 * f32, in this order:
 *
 *     g' = g * grad_scale
 *     m  = fma(beta1, m - g', g')            v  = fma(beta2, v - g'*g', g'*g')
 *     w  = w - lr * (m*inv_bias1 / (sqrt(v*inv_bias2) + eps) + weight_decay * w)
 *
 * Serial functions on distinct data, any thread; the range may be cut anywhere without changing a bit, except in
 * grads_sumsq, whose blocks the caller fixes.  Nothing here allocates or fails.
 */
#ifndef OPS_ADAMW_H
#define OPS_ADAMW_H

#include <stddef.h>
#include <stdint.h>

struct adamw {
    float lr, beta1, beta2, eps, weight_decay;
    float grad_scale;           /* clipping: every gradient is multiplied by it first */
    float inv_bias1, inv_bias2; /* 1 / (1 - beta^t) */
};

/* The coefficients of optimizer step t (the first is 1); same bits everywhere (base/detmath.h). */
struct adamw adamw_at_step(double lr, double beta1, double beta2, double eps, double weight_decay, double grad_scale,
                           uint64_t t);

/* Updates w, m and v [n] from g [n].  Moves 28 bytes an element: bound by memory. */
void adamw_update(float *w, float *m, float *v, const float *g, size_t n, const struct adamw *a);

/* y [n] += x [n]. */
void grads_add(float *y, const float *x, size_t n);

/* Sum of squares of x [n], in double, in the kernel's fixed order. */
double grads_sumsq(const float *x, size_t n);

#endif
