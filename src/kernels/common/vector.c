/* SPDX-License-Identifier: MIT
 * vector.c - long vectors: sums, scaling, and the AdamW update; and this ISA's table.  All bound by memory.
 */
#include "kernels_internal.h"

float K(dot_f32)(const float *x, const float *y, size_t n)
{
    vf sum = vf_set1(0);
    for (size_t i = 0; i < n; i += 16)
        sum = vf_fma(vf_load_n(x + i, n - i), vf_load_n(y + i, n - i), sum);
    return vf_sum(sum);
}

void K(add_f32)(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 16)
        vf_store_n(y + i, vf_add(vf_load_n(y + i, n - i), vf_load_n(x + i, n - i)), n - i);
}

void K(scale_f32)(float *y, float a, size_t n)
{
    for (size_t i = 0; i < n; i += 16)
        vf_store_n(y + i, vf_mul(vf_load_n(y + i, n - i), vf_set1(a)), n - i);
}

double K(sumsq_f32)(const float *x, size_t n)
{
    vd sum = vd_zero();
    for (size_t i = 0; i < n; i += 16)
        sum = vd_add_square(sum, vf_load_n(x + i, n - i));
    return vd_sum(sum);
}

/* Reads 16 and writes 12 bytes an element. */
void K(adamw_f32)(float *w, float *m, float *v, const float *g, size_t n, const struct adamw_coef *c)
{
    const vf lr = vf_set1(-c->lr), beta1 = vf_set1(c->beta1), beta2 = vf_set1(c->beta2), eps = vf_set1(c->eps);
    const vf decay = vf_set1(c->decay), scale = vf_set1(c->grad_scale);
    const vf bias1 = vf_set1(c->inv_bias1), bias2 = vf_set1(c->inv_bias2);
    for (size_t i = 0; i < n; i += 16) {
        const size_t k = n - i;
        const vf grad = vf_mul(vf_load_n(g + i, k), scale), square = vf_mul(grad, grad);
        const vf m1 = vf_fma(beta1, vf_sub(vf_load_n(m + i, k), grad), grad);
        const vf v1 = vf_fma(beta2, vf_sub(vf_load_n(v + i, k), square), square);
        const vf old = vf_load_n(w + i, k);
        const vf ratio = vf_div(vf_mul(m1, bias1), vf_add(vf_sqrt(vf_mul(v1, bias2)), eps));
        vf_store_n(m + i, m1, k);
        vf_store_n(v + i, v1, k);
        vf_store_n(w + i, vf_fma(lr, vf_fma(decay, old, ratio), old), k);
    }
}

#define ID_portable ISA_PORTABLE
#define ID_avx2     ISA_AVX2
#define ID_avx512   ISA_AVX512

const struct kernels PASTE(kernels, ISA) = {
    .isa = PASTE(ID, ISA),
    .mr = GEMM_MR,
    .nr = 16 * GEMM_NV,
#define KERNEL(name, result, args) .name = K(name),
#include "kernels/kernels.def"
#undef KERNEL
};
