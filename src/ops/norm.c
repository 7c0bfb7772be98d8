/* SPDX-License-Identifier: MIT */
#include "ops/norm.h"

#include "kernels/kernels.h"

enum { COLUMNS = 64 }; /* of a unit: four cache lines */

void layernorm_rows(float *y, const float *x, const float *weight, const float *bias, size_t rows, size_t cols,
                    float eps, float *mean, float *rstd)
{
    const struct kernels *kn = kernels_get();
    for (size_t r = 0; r < rows; r++)
        kn->layernorm_f32(y + r * cols, x + r * cols, weight, bias, cols, eps, &mean[r], &rstd[r]);
}

void layernorm_rows_backward(float *dx, float *y, const float *dy, const float *x, const float *weight,
                             const float *bias, size_t rows, size_t cols, const float *mean, const float *rstd)
{
    const struct kernels *kn = kernels_get();
    for (size_t r = 0; r < rows; r++)
        kn->layernorm_backward_f32(dx + r * cols, y ? y + r * cols : NULL, dy + r * cols, x + r * cols, weight, bias,
                                   cols, mean[r], rstd[r]);
}

static void norm_grad_run(struct sphere *me, const void *ctx, size_t begin, size_t end)
{
    const struct norm_grad *g = ctx;
    const size_t c0 = begin * COLUMNS, c1 = end * COLUMNS < g->cols ? end * COLUMNS : g->cols;
    kernels_get()->layernorm_columns_f32(g->dweight + c0, g->dbias + c0, g->dy + c0, g->x + c0, g->mean, g->rstd,
                                         g->rows, c1 - c0, g->cols, g->add);
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
    kernels_get()->colsum_f32(g->dst + c0, g->x + c0, g->rows, c1 - c0, g->cols, g->add);
    sphere_count_flops(me, (uint64_t)g->rows * (c1 - c0));
}

struct work bias_grad_work(const struct bias_grad *g)
{
    return (struct work){(g->cols + COLUMNS - 1) / COLUMNS, 16 * (uint64_t)g->rows * COLUMNS, bias_grad_run, g};
}
