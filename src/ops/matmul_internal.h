/* SPDX-License-Identifier: MIT
 * matmul_internal.h - what the sources of ops/matmul.h share: matmul.c, matmul_grad.c, and matmul_rounded.c, where operands
 * are rounded to bf16.
 */
#ifndef OPS_MATMUL_INTERNAL_H
#define OPS_MATMUL_INTERNAL_H

#include "ops/matmul.h"

static inline size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

/* The step that cuts n into as few parts as steps of `most` would, of nearly one size; a multiple of `grain`, as `most` is. */
static inline size_t even_part(size_t n, size_t most, size_t grain)
{
    return ceil_div(ceil_div(n, ceil_div(n, most)), grain) * grain;
}

size_t rounded__panel_width(void);
size_t rounded__packed_bytes(size_t k, size_t n);

/* The panels of dst that `panels` says, from parts below each other or beside each other. */
void rounded__pack(struct packed *dst, const struct part *parts, size_t n_parts, bool below, struct share panels);

/* Columns begin … end-1, begin at a panel's edge. */
void rounded__product(struct sphere *me, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                      const struct packed *b, const float *bias, const float *add, size_t add_stride, size_t begin,
                      size_t end);
size_t rounded__product_scratch_bytes(void);

struct work rounded__grad_work(const struct weight_grad *g);
size_t rounded__grad_units(size_t in, size_t out);
size_t rounded__grad_scratch_bytes(void);

#endif
