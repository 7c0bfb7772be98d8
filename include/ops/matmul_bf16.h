/* SPDX-License-Identifier: MIT
 * ops/matmul_bf16.h - the products of a layer in bf16: rows through a packed matrix, and the gradient of a matrix.
 *
 * As ops/matmul.h, with operands of bf16 and sums in f32 in the order of kernels/kernels_bf16.h, which no block, tile or member
 * reaches.  What a step does with them is told in docs/kernels.md.  Nothing here allocates or fails; scratch comes from the
 * sphere's arena.
 */
#ifndef OPS_MATMUL_BF16_H
#define OPS_MATMUL_BF16_H

#include "base/float16.h"
#include "ops/matmul.h"

/* A matrix B [k,n] in panels as the kernels want it. */
struct packed_bf16 {
    bf16 *data; /* packed_bf16_bytes(k, n) */
    size_t k, n;
};
size_t packed_bf16_bytes(size_t k, size_t n);

/* Team function, no barrier: packs element (p,j) of the f32 master src[p*row + j*col], one of row and col being 1, rounded
 * to nearest even; members take panels. */
void matmul_bf16_pack(struct sphere *me, struct packed_bf16 *dst, const float *src, size_t row, size_t col);

/* y [rows,n] = (add +) x [rows,k] · b + bias, on the caller's rows.  One member alone.  y f32 and y16 bf16 may each be NULL,
 * bias [n] and add [rows,n] too; add may be y.  Strides in elements.  x is read as it lies. */
struct matmul_bf16 {
    float *y;
    size_t y_stride;
    bf16 *y16;
    size_t y16_stride;
    const bf16 *x;
    size_t x_stride, rows;
    const struct packed_bf16 *b;
    const float *bias, *add;
    size_t add_stride;
};
void matmul_bf16_rows(struct sphere *me, const struct matmul_bf16 *p);
size_t matmul_bf16_scratch_bytes(void);

/* dw [in,out] from x [rows,in] and dy [rows,out], both bf16: the sum over rows of x^T dy, in row order.  Rows go in chunks
 * of weight_grad_bf16_chunk: a chunk's rows of both are packed, then its products are made; the chain goes on from
 * chunk to chunk.  GRAD_ADD is for a single chunk (rows <= chunk), for the whole sum is added at its end. */
struct weight_grad_bf16 {
    float *dw; /* [in,out], row-major */
    const bf16 *x, *dy;
    size_t x_stride, dy_stride, in, out, rows, chunk; /* chunk a multiple of 32 */
    enum grad_mode mode;
    bf16 *panels; /* weight_grad_bf16_panel_bytes(in, out, chunk), shared by the members */
};
size_t weight_grad_bf16_panel_bytes(size_t in, size_t out, size_t chunk);

/* Team function, with two barriers a chunk. */
void weight_grad_bf16(struct sphere *me, const struct weight_grad_bf16 *g);

/* Its two halves, for who brings barriers of his own: packing of the chunk that begins at row r0, members taking rows; and its
 * products, as work. */
void weight_grad_bf16_pack(struct sphere *me, const struct weight_grad_bf16 *g, size_t r0);
struct weight_grad_bf16_chunk {
    const struct weight_grad_bf16 *g;
    size_t r0;
};
struct work weight_grad_bf16_work(const struct weight_grad_bf16_chunk *c); /* c is borrowed until the work is done */

#endif
