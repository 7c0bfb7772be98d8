/* SPDX-License-Identifier: MIT
 * matmul_internal.h - the products of ops/matmul.h whose operands are rounded to bf16 (matmul_rounded.c).
 */
#ifndef OPS_MATMUL_INTERNAL_H
#define OPS_MATMUL_INTERNAL_H

#include "ops/matmul.h"

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
