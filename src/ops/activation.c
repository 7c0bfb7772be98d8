/* SPDX-License-Identifier: MIT */
#include "ops/activation.h"

#include "kernels/kernels.h"

void gelu_forward(struct sphere *me, float *y, const float *x, size_t n)
{
    kernels_get()->gelu_f32(y, x, n);
    sphere_count_flops(me, 24 * (uint64_t)n);
}

void gelu_backward(struct sphere *me, float *dx, float *y, const float *x, size_t n)
{
    kernels_get()->gelu_backward_f32(dx, y, x, n);
    sphere_count_flops(me, 32 * (uint64_t)n);
}

void swiglu_rows(struct sphere *me, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                 size_t inner, struct share which)
{
    const struct kernels *kn = kernels_get();
    const size_t n = which.end - which.begin;
    for (size_t r = 0; r < rows; r++) {
        const float *gate = x + r * x_stride + which.begin;
        kn->swiglu_f32(y + r * y_stride + which.begin, gate, gate + inner, n);
    }
    sphere_count_flops(me, 20 * (uint64_t)rows * n);
}

void swiglu_rows_backward(struct sphere *me, float *dx, float *y, const float *x, size_t rows, size_t inner)
{
    const struct kernels *kn = kernels_get();
    for (size_t r = 0; r < rows; r++) {
        const float *gate = x + r * 2 * inner;
        float *dgate = dx + r * 2 * inner;
        kn->swiglu_backward_f32(dgate, dgate + inner, y + r * inner, gate, gate + inner, inner);
    }
    sphere_count_flops(me, 28 * (uint64_t)rows * inner);
}

void dropout_rows(const struct dropout *dropout, float *x, size_t rows, size_t cols, uint64_t first_row)
{
    if (!dropout->threshold)
        return;
    const struct kernels *kn = kernels_get();
    for (size_t r = 0; r < rows; r++)
        kn->dropout_f32(x + r * cols, x + r * cols, 0, cols, dropout->key, first_row + r, dropout->threshold,
                        dropout->scale);
}

void add_to(float *y, const float *x, size_t n)
{
    kernels_get()->add_f32(y, x, n);
}
