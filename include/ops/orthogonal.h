/* SPDX-License-Identifier: MIT
 * ops/orthogonal.h - a matrix near the orthogonal one next to it, by Newton-Schulz iterations.
 *
 * For X of full rank with the singular values S, X = U S V^T, this comes near U V^T.  X is divided by its Frobenius
 * norm + 1e-7, and ORTHOGONAL_STEPS times
 *
 *     G = X^T X,     X = X (a I + b G + c G G),     a, b, c = 3.4445, -4.7750, 2.0315
 *
 * which takes singular values from about 1e-3 … 1 to about 0.7 … 1.2: enough for an optimizer, and not more (Jordan,
 * "Muon: an optimizer for hidden layers in neural networks", 2024, kellerjordan.github.io/posts/muon, who has the
 * coefficients; there in bf16, here in f32).
 *
 * Team function; products are those of ops/matmul.h in f32, each element one chain, and the norm is a sum of blocks in
 * order, so the result does not depend on how many members there are.  Nothing here allocates or fails.
 */
#ifndef OPS_ORTHOGONAL_H
#define OPS_ORTHOGONAL_H

#include "base/arena.h"
#include "runtime/sphere.h"

#include <stddef.h>

enum { ORTHOGONAL_STEPS = 5 };

/* Room for one matrix at a time, shared by the members. */
struct orthogonal_space {
    float *x;      /* [rows,cols], for the caller to fill */
    float *other;  /* [rows,cols] */
    float *gram, *square; /* [cols,cols] */
    void *packed;
    double *sums;
};

/* For matrices of at most `elements`, and at most `cols` columns.  _take takes from the arena what _bytes says. */
size_t orthogonal_space_bytes(size_t elements, size_t cols);
void orthogonal_space_take(struct orthogonal_space *space, struct arena *arena, size_t elements, size_t cols);

/* What a member takes from its scratch, for at most `rows` rows. */
size_t orthogonal_scratch_bytes(size_t rows);

/* x [rows,cols], rows >= cols, is overwritten.  Returns the result [rows,cols], in the space, for all members to read
 * until the next call. */
const float *orthogonalise(struct sphere *me, const struct orthogonal_space *space, size_t rows, size_t cols);

#endif
