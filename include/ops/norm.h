/* SPDX-License-Identifier: MIT
 * ops/norm.h - normalisation of rows, forward and backward, and sums over rows (gradients of biases).
 *
 *     layer   y[r,c] = (x[r,c] - mean[r]) * rstd[r] * weight[c] + bias[c],   rstd = 1/sqrt(variance + eps)
 *     RMS     y[r,c] = x[r,c] * rstd[r] * weight[c],                         rstd = 1/sqrt(mean of squares + eps)
 *
 * The row functions are for one member on its own rows, densely packed.  The column works give a member columns:
 * one member sums a column over all rows, in order.  Nothing here allocates or fails.  Bound by memory.
 */
#ifndef OPS_NORM_H
#define OPS_NORM_H

#include "ops/work.h"

#include <stdbool.h>
#include <stddef.h>

struct norm {
    const float *weight; /* [C] */
    const float *bias;   /* [C]; NULL: RMS normalisation, which has no mean either */
    float eps;
};

/* Writes y [R,C], mean [R] (layer only), rstd [R]. */
void norm_rows(const struct norm *norm, float *y, const float *x, size_t rows, size_t cols, float *mean, float *rstd);

/* dx [R,C] = base + the gradient; base may be dx.  Writes y [R,C] again unless NULL, the same bits as forward. */
void norm_rows_backward(const struct norm *norm, float *dx, const float *base, float *y, const float *dy,
                        const float *x, size_t rows, size_t cols, const float *mean, const float *rstd);

/* dweight [C] and, unless NULL, dbias [C] (a layer norm's): written, or (add) the whole sum added. */
struct norm_grad {
    float *dweight, *dbias;
    const float *dy, *x, *mean, *rstd; /* [R,C] and [R] */
    size_t rows, cols;
    bool add;
};
struct work norm_grad_work(const struct norm_grad *g);

/* dst [C] = (dst +) sum over rows of x [R,C], rows `stride` floats apart. */
struct bias_grad {
    float *dst;
    const float *x;
    size_t stride, rows, cols;
    bool add;
};
struct work bias_grad_work(const struct bias_grad *g);

#endif
