/* SPDX-License-Identifier: MIT
 * norm.c - layer normalisation (Ba, Kiros, Hinton 2016) and root-mean-square normalisation (Zhang, Sennrich 2019),
 * forward and backward, and sums over columns.  Memory-bound.
 *
 *     xhat = (x - mean) * rstd,  y = xhat * weight + bias
 *     dxhat = dy * weight,  dx = rstd * (dxhat - mean(dxhat) - xhat * mean(dxhat * xhat))
 *
 * and without mean, mean(dxhat) and bias for the latter.
 */
#include "kernels_internal.h"

void K(layernorm_f32)(float *y, const float *x, const float *weight, const float *bias, size_t n, float eps,
                      float *mean_out, float *rstd_out)
{
    vf sum = vf_set1(0), square = vf_set1(0);
    for (size_t i = 0; i < n; i += 16)
        sum = vf_add(sum, vf_load_n(x + i, n - i));
    const float mean = vf_sum(sum) / (float)n;
    const vf m = vf_set1(mean);
    for (size_t i = 0; i < n; i += 16) {
        vf d = vf_first_n(vf_sub(vf_load_n(x + i, n - i), m), n - i);
        square = vf_fma(d, d, square);
    }
    const float rstd = 1.0f / sqrtf(vf_sum(square) / (float)n + eps);
    const vf r = vf_set1(rstd);
    for (size_t i = 0; i < n; i += 16) {
        vf xhat = vf_mul(vf_sub(vf_load_n(x + i, n - i), m), r);
        vf_store_n(y + i, vf_fma(xhat, vf_load_n(weight + i, n - i), vf_load_n(bias + i, n - i)), n - i);
    }
    *mean_out = mean;
    *rstd_out = rstd;
}

void K(layernorm_backward_f32)(float *dx, float *y, const float *dy, const float *x, const float *weight,
                               const float *bias, size_t n, float mean, float rstd)
{
    const vf m = vf_set1(mean), r = vf_set1(rstd);
    vf s1 = vf_set1(0), s2 = vf_set1(0);
    for (size_t i = 0; i < n; i += 16) {
        const size_t k = n - i;
        vf w = vf_load_n(weight + i, k), d = vf_mul(vf_load_n(dy + i, k), w); /* 0 beyond n */
        vf xhat = vf_mul(vf_sub(vf_load_n(x + i, k), m), r);
        s1 = vf_add(s1, d);
        s2 = vf_fma(d, xhat, s2);
        if (y)
            vf_store_n(y + i, vf_fma(xhat, w, vf_load_n(bias + i, k)), k);
    }
    const vf m1 = vf_set1(vf_sum(s1) / (float)n), m2 = vf_set1(vf_sum(s2) / (float)n);
    for (size_t i = 0; i < n; i += 16) {
        const size_t k = n - i;
        vf d = vf_mul(vf_load_n(dy + i, k), vf_load_n(weight + i, k));
        vf xhat = vf_mul(vf_sub(vf_load_n(x + i, k), m), r);
        vf g = vf_mul(r, vf_sub(vf_sub(d, m1), vf_mul(xhat, m2)));
        vf_store_n(dx + i, vf_add(vf_load_n(dx + i, k), g), k);
    }
}

void K(layernorm_columns_f32)(float *dweight, float *dbias, const float *dy, const float *x, const float *mean,
                              const float *rstd, size_t rows, size_t n, size_t stride, bool add)
{
    for (size_t i = 0; i < n; i += 16) {
        const size_t k = n - i;
        vf dw = vf_set1(0), db = vf_set1(0);
        for (size_t t = 0; t < rows; t++) {
            vf d = vf_load_n(dy + t * stride + i, k);
            vf xhat = vf_mul(vf_sub(vf_load_n(x + t * stride + i, k), vf_set1(mean[t])), vf_set1(rstd[t]));
            dw = vf_fma(d, xhat, dw);
            db = vf_add(db, d);
        }
        if (add) {
            dw = vf_add(vf_load_n(dweight + i, k), dw);
            db = vf_add(vf_load_n(dbias + i, k), db);
        }
        vf_store_n(dweight + i, dw, k);
        vf_store_n(dbias + i, db, k);
    }
}

void K(rmsnorm_f32)(float *y, const float *x, const float *weight, size_t n, float eps, float *rstd_out)
{
    vf square = vf_set1(0);
    for (size_t i = 0; i < n; i += 16) {
        vf a = vf_load_n(x + i, n - i); /* 0 beyond n */
        square = vf_fma(a, a, square);
    }
    const float rstd = 1.0f / sqrtf(vf_sum(square) / (float)n + eps);
    const vf r = vf_set1(rstd);
    for (size_t i = 0; i < n; i += 16)
        vf_store_n(y + i, vf_mul(vf_mul(vf_load_n(x + i, n - i), r), vf_load_n(weight + i, n - i)), n - i);
    *rstd_out = rstd;
}

void K(rmsnorm_backward_f32)(float *dx, const float *base, float *y, const float *dy, const float *x,
                             const float *weight, size_t n, float rstd)
{
    const vf r = vf_set1(rstd);
    vf sum = vf_set1(0);
    for (size_t i = 0; i < n; i += 16) {
        const size_t k = n - i;
        vf w = vf_load_n(weight + i, k), xhat = vf_mul(vf_load_n(x + i, k), r);
        sum = vf_fma(vf_mul(vf_load_n(dy + i, k), w), xhat, sum); /* 0 beyond n */
        if (y)
            vf_store_n(y + i, vf_mul(xhat, w), k);
    }
    const vf mean = vf_set1(vf_sum(sum) / (float)n);
    for (size_t i = 0; i < n; i += 16) {
        const size_t k = n - i;
        vf d = vf_mul(vf_load_n(dy + i, k), vf_load_n(weight + i, k)), xhat = vf_mul(vf_load_n(x + i, k), r);
        vf g = vf_mul(r, vf_sub(d, vf_mul(xhat, mean)));
        vf_store_n(dx + i, base ? vf_add(vf_load_n(base + i, k), g) : g, k);
    }
}

void K(rmsnorm_columns_f32)(float *dweight, const float *dy, size_t dy_stride, const float *x, size_t x_stride,
                            const float *rstd, size_t rows, size_t n, bool add)
{
    for (size_t i = 0; i < n; i += 16) {
        const size_t k = n - i;
        vf dw = vf_set1(0);
        for (size_t t = 0; t < rows; t++) {
            vf xhat = vf_mul(vf_load_n(x + t * x_stride + i, k), vf_set1(rstd[t]));
            dw = vf_fma(vf_load_n(dy + t * dy_stride + i, k), xhat, dw);
        }
        vf_store_n(dweight + i, add ? vf_add(vf_load_n(dweight + i, k), dw) : dw, k);
    }
}

void K(colsum_f32)(float *dst, const float *x, size_t rows, size_t n, size_t stride, bool add)
{
    for (size_t i = 0; i < n; i += 16) {
        const size_t k = n - i;
        vf sum = vf_set1(0);
        for (size_t t = 0; t < rows; t++)
            sum = vf_add(sum, vf_load_n(x + t * stride + i, k));
        vf_store_n(dst + i, add ? vf_add(vf_load_n(dst + i, k), sum) : sum, k);
    }
}
