/* SPDX-License-Identifier: MIT
 * ops/matmul.h - the products of a layer: rows through a packed matrix, and the gradient of a matrix.
 *
 * Every output element is one chain of fused multiply-adds in index order (kernels/kernels.h), so no result depends on
 * blocks, tiles or members.  Nothing here allocates or fails; scratch comes from the sphere's arena.
 */
#ifndef OPS_MATMUL_H
#define OPS_MATMUL_H

#include "ops/work.h"
#include "runtime/sphere.h"

#include <stdbool.h>
#include <stddef.h>

/* A matrix B [k,n] in panels as the kernels want it. */
struct packed {
    float *data; /* packed_bytes(k, n) */
    size_t k, n;
};
size_t packed_bytes(size_t k, size_t n);

/* Team function, no barrier: packs element (p,j) of src[p*row + j*col]; members take panels. */
void matmul_pack(struct sphere *me, struct packed *dst, const float *src, size_t row, size_t col);
size_t matmul_pack_units(size_t n);

/* A part of a matrix that is stored in pieces: element (p,j) of its [k,n] at data[p*row + j*col]. */
struct part {
    const float *data;
    size_t row, col, k, n;
};

/* The same of a matrix made of n_parts parts: beside each other (dst->n is the sum of theirs, k the same), or below each other. */
void matmul_pack_beside(struct sphere *me, struct packed *dst, const struct part *parts, size_t n_parts);
void matmul_pack_below(struct sphere *me, struct packed *dst, const struct part *parts, size_t n_parts);

/* y [rows,n] = (add +) x [rows,k] · b + bias, on the caller's rows; strides in floats.  bias [n] and add may be NULL;
 * add may be y.  One member alone. */
void matmul_rows(struct sphere *me, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                 const struct packed *b, const float *bias, const float *add, size_t add_stride);

/* The same for all rows, but only this member's share of the columns (whole panels).  Team function, no barrier. */
void matmul_columns(struct sphere *me, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                    const struct packed *b, const float *bias, const float *add, size_t add_stride);

/* The columns of an [.., n] product that matmul_columns gives this member. */
struct share matmul_column_share(const struct sphere *me, size_t n);

/* dw [in,out] from x [rows,in] and dy [rows,out]: the sum over rows of x^T dy, in row order. */
enum grad_mode {
    GRAD_WRITE,   /* dw = sum */
    GRAD_ADD,     /* dw += the whole sum */
    GRAD_CONTINUE /* the chain of additions goes on from what dw holds: rows come in several calls */
};
struct weight_grad {
    float *dw; /* [in,out], row-major */
    const float *x, *dy;
    size_t x_stride, dy_stride, in, out, rows;
    enum grad_mode mode;
};
struct work weight_grad_work(const struct weight_grad *g); /* g is borrowed until the work is done */
size_t weight_grad_units(size_t in, size_t out);
size_t weight_grad_scratch_bytes(size_t rows);

#endif
