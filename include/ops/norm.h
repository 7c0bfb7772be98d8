/* SPDX-License-Identifier: MIT
 * ops/norm.h - layer normalisation of rows, forward and backward, and sums over rows (gradients of biases).
 *
 *     y[r,c] = (x[r,c] - mean[r]) * rstd[r] * weight[c] + bias[c],   rstd = 1/sqrt(variance + eps)
 *
 * The row functions are for one member on its own rows, densely packed.  The column works give a member columns:
 * one member sums a column over all rows, in order.  Nothing here allocates or fails.  Bound by memory.
 */
#ifndef OPS_NORM_H
#define OPS_NORM_H

#include "ops/work.h"

#include <stdbool.h>
#include <stddef.h>

/* Writes y [R,C], mean [R], rstd [R]. */
void layernorm_rows(float *y, const float *x, const float *weight, const float *bias, size_t rows, size_t cols,
                    float eps, float *mean, float *rstd);

/* ADDS to dx [R,C]; writes y [R,C] again unless NULL, the same bits as forward. */
void layernorm_rows_backward(float *dx, float *y, const float *dy, const float *x, const float *weight,
                             const float *bias, size_t rows, size_t cols, const float *mean, const float *rstd);

/* dweight [C] and dbias [C]: written, or (add) the whole sum added. */
struct norm_grad {
    float *dweight, *dbias;
    const float *dy, *x, *mean, *rstd; /* [R,C] and [R] */
    size_t rows, cols;
    bool add;
};
struct work norm_grad_work(const struct norm_grad *g);

/* dst [C] = (dst +) sum over rows of x [R,C]. */
struct bias_grad {
    float *dst;
    const float *x;
    size_t rows, cols;
    bool add;
};
struct work bias_grad_work(const struct bias_grad *g);

#endif
