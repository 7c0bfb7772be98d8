/* SPDX-License-Identifier: MIT */
#include "ops/norm.h"

#include "kernels/kernels.h"

#include <string.h>

enum { COLUMNS = 64 }; /* of a unit: four cache lines */

void norm_rows(const struct norm *norm, float *y, const float *x, size_t rows, size_t cols, float *mean, float *rstd)
{
    const struct kernels *kn = kernels_get();
    for (size_t r = 0; r < rows; r++)
        if (norm->bias)
            kn->layernorm_f32(y + r * cols, x + r * cols, norm->weight, norm->bias, cols, norm->eps, &mean[r],
                              &rstd[r]);
        else
            kn->rmsnorm_f32(y + r * cols, x + r * cols, norm->weight, cols, norm->eps, &rstd[r]);
}

void norm_rows_backward(const struct norm *norm, float *dx, const float *base, float *y, const float *dy,
                        const float *x, size_t rows, size_t cols, const float *mean, const float *rstd)
{
    const struct kernels *kn = kernels_get();
    if (norm->bias && dx != base)
        memcpy(dx, base, rows * cols * sizeof(float));
    for (size_t r = 0; r < rows; r++) {
        const size_t at = r * cols;
        float *y_row = y ? y + at : NULL;
        if (norm->bias)
            kn->layernorm_backward_f32(dx + at, y_row, dy + at, x + at, norm->weight, norm->bias, cols, mean[r],
                                       rstd[r]);
        else
            kn->rmsnorm_backward_f32(dx + at, base + at, y_row, dy + at, x + at, norm->weight, cols, rstd[r]);
    }
}

static void norm_grad_run(struct sphere *me, const void *ctx, size_t begin, size_t end)
{
    const struct norm_grad *g = ctx;
    const struct kernels *kn = kernels_get();
    const size_t c0 = begin * COLUMNS, c1 = end * COLUMNS < g->cols ? end * COLUMNS : g->cols;
    if (g->dbias)
        kn->layernorm_columns_f32(g->dweight + c0, g->dbias + c0, g->dy + c0, g->x + c0, g->mean, g->rstd, g->rows,
                                  c1 - c0, g->cols, g->add);
    else
        kn->rmsnorm_columns_f32(g->dweight + c0, g->dy + c0, g->cols, g->x + c0, g->cols, g->rstd, g->rows, c1 - c0,
                                g->add);
    sphere_count_flops(me, 5 * (uint64_t)g->rows * (c1 - c0));
}

struct work norm_grad_work(const struct norm_grad *g)
{
    /* a row element costs about a line's read: as much as some tens of FLOPs in a product */
    return (struct work){(g->cols + COLUMNS - 1) / COLUMNS, 32 * (uint64_t)g->rows * COLUMNS, norm_grad_run, g};
}

static void bias_grad_run(struct sphere *me, const void *ctx, size_t begin, size_t end)
{
    const struct bias_grad *g = ctx;
    const size_t c0 = begin * COLUMNS, c1 = end * COLUMNS < g->cols ? end * COLUMNS : g->cols;
    kernels_get()->colsum_f32(g->dst + c0, g->x + c0, g->rows, c1 - c0, g->stride, g->add);
    sphere_count_flops(me, (uint64_t)g->rows * (c1 - c0));
}

struct work bias_grad_work(const struct bias_grad *g)
{
    return (struct work){(g->cols + COLUMNS - 1) / COLUMNS, 16 * (uint64_t)g->rows * COLUMNS, bias_grad_run, g};
}
