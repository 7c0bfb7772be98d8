/* SPDX-License-Identifier: MIT
 * Tall matrices only: then both the Gram matrix and its square are sums over rows of x^T x, which is the gradient of a
 * matrix, and the last product is rows through a packed matrix.  A member combines and packs the columns it owns
 * without waiting in between.
 */
#include "ops/orthogonal.h"

#include "base/check.h"
#include "ops/adamw.h"
#include "ops/matmul.h"

#include <math.h>

enum { SUM_BLOCK = 4096 };

/* The result lies in the other half of the space than the input, so the next matrix may be filled in while this one's
 * result is read. */
_Static_assert(ORTHOGONAL_STEPS % 2 == 1, "an odd number of steps");

static const float coef_a = 3.4445f, coef_b = -4.7750f, coef_c = 2.0315f, tiny = 1e-7f;

static size_t sum_blocks(size_t elements)
{
    return (elements + SUM_BLOCK - 1) / SUM_BLOCK;
}

size_t orthogonal_space_bytes(size_t elements, size_t cols)
{
    return 2 * arena_piece_bytes(elements * sizeof(float)) + 2 * arena_piece_bytes(cols * cols * sizeof(float)) +
           arena_piece_bytes(packed_bytes(DTYPE_F32, cols, cols)) +
           arena_piece_bytes(sum_blocks(elements) * sizeof(double));
}

void orthogonal_space_take(struct orthogonal_space *space, struct arena *arena, size_t elements, size_t cols)
{
    space->x = arena_alloc(arena, elements * sizeof(float));
    space->other = arena_alloc(arena, elements * sizeof(float));
    space->gram = arena_alloc(arena, cols * cols * sizeof(float));
    space->square = arena_alloc(arena, cols * cols * sizeof(float));
    space->packed = arena_alloc(arena, packed_bytes(DTYPE_F32, cols, cols));
    space->sums = arena_alloc(arena, sum_blocks(elements) * sizeof(double));
}

size_t orthogonal_scratch_bytes(size_t rows)
{
    const size_t gradient = weight_grad_scratch_bytes(DTYPE_F32, rows), product = matmul_scratch_bytes(DTYPE_F32);
    return gradient > product ? gradient : product;
}

/* x [n] divided by its norm + tiny; every member adds the partial sums up for itself, in the same order. */
static void normalise(struct sphere *me, float *x, size_t n, double *sums)
{
    const size_t blocks = sum_blocks(n);
    const struct share own = sphere_share(me, blocks);
    for (size_t b = own.begin; b < own.end; b++)
        sums[b] = grads_sumsq(x + b * SUM_BLOCK, n - b * SUM_BLOCK < SUM_BLOCK ? n - b * SUM_BLOCK : SUM_BLOCK);
    sphere_barrier(me);
    double sum = 0;
    for (size_t b = 0; b < blocks; b++)
        sum += sums[b];
    const float norm = (float)sqrt(sum) + tiny;
    for (size_t i = own.begin * SUM_BLOCK; i < own.end * SUM_BLOCK && i < n; i++)
        x[i] /= norm;
}

/* y [cols,cols] = x^T x, by the members together. */
static void gram_matrix(struct sphere *me, float *y, const float *x, size_t rows, size_t cols)
{
    const struct weight_grad product = {.dtype = DTYPE_F32,
                                        .dw = y,
                                        .x = x,
                                        .dy = x,
                                        .x_stride = cols,
                                        .dy_stride = cols,
                                        .in = cols,
                                        .out = cols,
                                        .rows = rows,
                                        .mode = GRAD_WRITE};
    const struct work work = weight_grad_work(&product);
    work_run(me, &work, 1);
}

const float *orthogonalise(struct sphere *me, const struct orthogonal_space *space, size_t rows, size_t cols)
{
    CHECK(rows >= cols);
    float *x = space->x, *y = space->other;
    struct packed polynomial = {.dtype = DTYPE_F32, .k = cols, .n = cols, .data = space->packed};
    const struct share own_rows = sphere_share(me, rows), own_cols = matmul_column_share(me, DTYPE_F32, cols);
    sphere_barrier(me);
    normalise(me, x, rows * cols, space->sums);
    sphere_barrier(me);
    for (int step = 0; step < ORTHOGONAL_STEPS; step++) {
        gram_matrix(me, space->gram, x, rows, cols);
        sphere_barrier(me);
        gram_matrix(me, space->square, space->gram, cols, cols); /* the Gram matrix is its own transpose */
        sphere_barrier(me);
        for (size_t i = 0; i < cols; i++)
            for (size_t j = own_cols.begin; j < own_cols.end; j++) {
                float *p = &space->square[i * cols + j];
                *p = coef_b * space->gram[i * cols + j] + coef_c * *p + (i == j ? coef_a : 0);
            }
        matmul_pack(me, &polynomial, space->square, cols, 1);
        sphere_barrier(me);
        matmul_rows(me, y + own_rows.begin * cols, cols, x + own_rows.begin * cols, cols,
                    own_rows.end - own_rows.begin, &polynomial, NULL, NULL, 0);
        sphere_barrier(me);
        float *swap = x;
        x = y;
        y = swap;
    }
    return x;
}
