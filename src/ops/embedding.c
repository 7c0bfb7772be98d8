/* SPDX-License-Identifier: MIT */
#include "ops/embedding.h"

#include "base/arena.h"

#include <stddef.h>
#include <string.h>

enum { COLUMNS = 16 }; /* of a unit: one cache line */

void embedding_rows(float *x, const int32_t *tokens, const float *wte, const float *wpe, size_t rows, size_t cols,
                    size_t first_row, size_t period, const int32_t *first)
{
    for (size_t r = 0; r < rows; r++) {
        const float *token = wte + (size_t)tokens[r] * cols;
        if (!wpe) {
            memcpy(x + r * cols, token, cols * sizeof(float));
            continue;
        }
        const float *position = wpe + ((first_row + r) % period - (first ? (size_t)first[r] : 0)) * cols;
        for (size_t c = 0; c < cols; c++)
            x[r * cols + c] = token[c] + position[c];
    }
}

/* Positions that begin anew anywhere in a sequence: rows are summed where they belong, `width` columns from c0 on. */
static void positions_grad(const struct embedding_grad *g, float *sums /* [T,COLUMNS] */, size_t c0, size_t width)
{
    const size_t C = g->cols, T = g->seq_len;
    memset(sums, 0, T * COLUMNS * sizeof(float));
    for (size_t b = 0; b < g->batch; b++)
        for (size_t t = 0; t < T; t++) {
            const float *dx = g->dx + (b * T + t) * C + c0;
            float *sum = sums + (t - (size_t)g->first[b * T + t]) * COLUMNS;
            for (size_t c = 0; c < width; c++)
                sum[c] += dx[c];
        }
    for (size_t t = 0; t < T; t++)
        for (size_t c = 0; c < width; c++) {
            float *to = g->dwpe + t * C + c0 + c;
            *to = g->add ? *to + sums[t * COLUMNS + c] : sums[t * COLUMNS + c];
        }
}

size_t embedding_grad_scratch_bytes(size_t seq_len)
{
    return arena_piece_bytes(seq_len * COLUMNS * sizeof(float));
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
    if (g->dwpe && g->first) {
        const size_t mark = arena_mark(&me->scratch);
        float *sums = arena_alloc(&me->scratch, T * COLUMNS * sizeof(float));
        for (size_t c = c0; c < c1; c += COLUMNS)
            positions_grad(g, sums, c, c1 - c < COLUMNS ? c1 - c : COLUMNS);
        arena_reset(&me->scratch, mark);
    }
    for (size_t t = 0; t < T && g->dwpe && !g->first; t++)
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
