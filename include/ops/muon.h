/* SPDX-License-Identifier: MIT
 * ops/muon.h - the Muon step of one matrix.
 *
 * Muon (Jordan, 2024, kellerjordan.github.io/posts/muon): for a matrix W with gradient G, in f32, each operation
 * rounded by itself,
 *
 *     G' = G * grad_scale,   M = momentum M + G',   U = G' + momentum M (Nesterov's)
 *     W  = W - lr (0.2 sqrt(max(rows, cols)) O + weight_decay W),   O = U made orthogonal (ops/orthogonal.h)
 *
 * The factor is that of Liu et al., "Muon is scalable for LLM training", arXiv 2502.16982, section 2.2: it gives an
 * update about the root mean square that AdamW's has, so that AdamW's rates and decay fit the matrices as they are.
 */
#ifndef OPS_MUON_H
#define OPS_MUON_H

#include "ops/orthogonal.h"

struct muon {
    float lr, momentum, weight_decay;
    float grad_scale; /* clipping: every gradient is multiplied by it first */
};

/* Where the matrix lies: w, momentum and g [rows,cols], all with rows `stride` floats apart. */
struct muon_matrix {
    float *w, *momentum;
    const float *g;
    size_t rows, cols, stride;
};

/* Updates w and momentum from g.  Team function; the space has room for rows*cols elements and the shorter side.  Matrices may follow each
 * other without a barrier.  Members share rows, tiles and columns, and the result does not depend on how many there are.
 * Nothing here allocates or fails. */
void muon_update(struct sphere *me, const struct orthogonal_space *space, const struct muon_matrix *matrix,
                 const struct muon *step);

#endif
