/* SPDX-License-Identifier: MIT
 * ops/embedding.h - token and learned position embeddings of rows, and their gradients.
 */
#ifndef OPS_EMBEDDING_H
#define OPS_EMBEDDING_H

#include "ops/work.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* x [rows,C] = wte[token] + wpe[position], position = (first_row + r) mod period - first[r]; wpe NULL: none, first NULL:
 * zeros.  One member. */
void embedding_rows(float *x, const int32_t *tokens, const float *wte, const float *wpe, size_t rows, size_t cols,
                    size_t first_row, size_t period, const int32_t *first);

/* Gradients from dx [B*T,C].  dwte [V,C]: ADDS row after row in order.  dwpe [T,C], unless NULL: the sum over the rows at
 * a position, in order, is written, or (add) added whole; rows of dwpe from T to `positions` get 0 when written.  Members
 * own columns, so that no token is anybody's in particular. */
struct embedding_grad {
    float *dwte, *dwpe;
    const float *dx;
    const int32_t *tokens; /* [B*T] */
    const int32_t *first;  /* [B*T]: row (b,t) is at position t - first; NULL: at t */
    size_t batch, seq_len, cols, positions;
    bool add;
};
struct work embedding_grad_work(const struct embedding_grad *g);
size_t embedding_grad_scratch_bytes(size_t seq_len); /* each member's, where `first` is given */

#endif
