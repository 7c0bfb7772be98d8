/* SPDX-License-Identifier: MIT
 * ops/loss.h - cross-entropy of rows of logits, and its gradient in place.
 *
 *     loss[r] = log(sum_v exp(x[r,v])) - x[r,target[r]],   dx[r,v] = scale (softmax(x[r])[v] - [v == target[r]])
 */
#ifndef OPS_LOSS_H
#define OPS_LOSS_H

#include "runtime/sphere.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One member on its own rows.  logits [rows,V] (stride in floats) are overwritten by the gradient when `gradient`,
 * else by something of no use.  loss [rows] in nats.  Where supervised [rows] is given and false, the row has no target:
 * its loss and its gradient are 0. */
void cross_entropy_rows(struct sphere *me, float *logits, size_t stride, size_t vocab_size, const int32_t *targets,
                        const bool *supervised, size_t rows, bool gradient, float scale, double *loss);

/* Sum of x [n], in fixed blocks and index order. */
double sum_in_order(const double *x, size_t n);

#endif
