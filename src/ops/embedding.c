/* SPDX-License-Identifier: MIT */
#include "ops/embedding.h"

#include <stddef.h>
#include <string.h>

enum { COLUMNS = 16 }; /* of a unit: one cache line */

void embedding_rows(float *x, const int32_t *tokens, const float *wte, const float *wpe, size_t rows, size_t cols,
                    size_t first_row, size_t period)
{
    for (size_t r = 0; r < rows; r++) {
        const float *token = wte + (size_t)tokens[r] * cols;
        if (!wpe) {
            memcpy(x + r * cols, token, cols * sizeof(float));
            continue;
        }
        const float *position = wpe + (first_row + r) % period * cols;
        for (size_t c = 0; c < cols; c++)
            x[r * cols + c] = token[c] + position[c];
    }
}

static void grad_run(struct sphere *me, const void *ctx, size_t begin, size_t end)
{
    const struct embedding_grad *g = ctx;
    const size_t C = g->cols, T = g->seq_len, c0 = begin * COLUMNS, c1 = end * COLUMNS < C ? end * COLUMNS : C;
    for (size_t r = 0; r < g->batch * T; r++) {
        float *row = g->dwte + (size_t)g->tokens[r] * C;
        for (size_t c = c0; c < c1; c++)
            row[c] += g->dx[r * C + c];
    }
    for (size_t t = 0; t < T && g->dwpe; t++)
        for (size_t c = c0; c < c1; c++) {
            float sum = 0;
            for (size_t b = 0; b < g->batch; b++)
                sum += g->dx[(b * T + t) * C + c];
            g->dwpe[t * C + c] = g->add ? g->dwpe[t * C + c] + sum : sum;
        }
    for (size_t t = T; t < g->positions && g->dwpe && !g->add; t++)
        for (size_t c = c0; c < c1; c++)
            g->dwpe[t * C + c] = 0;
    sphere_count_flops(me, 2 * (uint64_t)g->batch * T * (c1 - c0));
}

struct work embedding_grad_work(const struct embedding_grad *g)
{
    return (struct work){(g->cols + COLUMNS - 1) / COLUMNS, 32 * (uint64_t)g->batch * g->seq_len * COLUMNS, grad_run,
                         g};
}
