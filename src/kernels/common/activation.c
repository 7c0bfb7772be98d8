/* SPDX-License-Identifier: MIT
 * activation.c - GELU in GPT-2's tanh form (Hendrycks and Gimpel 2016), SwiGLU (Shazeer 2020), softmax, exp, dropout.
 *
 * 0.5 x (1 + tanh u) is x * sigmoid(2u), so one exp and one division do, and nothing cancels:
 *     u = sqrt(2/pi) (x + 0.044715 x^3),  s = 1 / (1 + exp(-2u)),  gelu = x s
 *     gelu' = s + x s (1-s) 2u',  u' = sqrt(2/pi) (1 + 3 * 0.044715 x^2)
 *
 * SwiGLU is silu(gate) * up, silu(x) = x s with s = 1 / (1 + exp(-x)), silu' = s + x s (1-s).
 */
#include "kernels_internal.h"
#include "philox_internal.h"

#define SQRT_2_OVER_PI 0x1.988454p-1f
#define CUBIC          0.044715f

SIMD vf gelu_sigmoid(vf x, vf xx)
{
    vf minus_2u = vf_mul(vf_mul(x, vf_set1(-2 * SQRT_2_OVER_PI)), vf_fma(xx, vf_set1(CUBIC), vf_set1(1)));
    return vf_div(vf_set1(1), vf_add(vf_set1(1), vf_exp(minus_2u)));
}

void K(gelu_f32)(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        vf a = vf_load_n(x + i, n - i);
        vf_store_n(y + i, vf_mul(a, gelu_sigmoid(a, vf_mul(a, a))), n - i);
    }
}

void K(gelu_backward_f32)(float *dx, float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const size_t k = n - i;
        vf a = vf_load_n(x + i, k), aa = vf_mul(a, a), s = gelu_sigmoid(a, aa), as = vf_mul(a, s);
        vf du2 = vf_mul(vf_set1(2 * SQRT_2_OVER_PI), vf_fma(aa, vf_set1(3 * CUBIC), vf_set1(1)));
        vf slope = vf_fma(vf_mul(as, vf_sub(vf_set1(1), s)), du2, s);
        vf_store_n(dx + i, vf_mul(vf_load_n(dx + i, k), slope), k);
        if (y)
            vf_store_n(y + i, as, k);
    }
}

SIMD vf sigmoid(vf x)
{
    return vf_div(vf_set1(1), vf_add(vf_set1(1), vf_exp(vf_sub(vf_set1(0), x))));
}

void K(swiglu_f32)(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        vf g = vf_load_n(gate + i, n - i);
        vf_store_n(y + i, vf_mul(vf_mul(g, sigmoid(g)), vf_load_n(up + i, n - i)), n - i);
    }
}

void K(swiglu_backward_f32)(float *dgate, float *dup, float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        const size_t k = n - i;
        vf g = vf_load_n(gate + i, k), u = vf_load_n(up + i, k), dy = vf_load_n(y + i, k);
        vf s = sigmoid(g), gs = vf_mul(g, s);
        vf slope = vf_fma(gs, vf_sub(vf_set1(1), s), s);
        vf_store_n(dgate + i, vf_mul(vf_mul(dy, u), slope), k);
        vf_store_n(dup + i, vf_mul(dy, gs), k);
        vf_store_n(y + i, vf_mul(gs, u), k);
    }
}

/* The last vector of a long row begins early and meets some elements again, which a maximum does not mind. */
SIMD float row_max(const float *x, size_t n, vf scale)
{
    vf max = vf_set1(-INFINITY);
    if (n < 16) { /* lanes beyond the row must not win */
        float lane[16];
        vf_store(lane, max);
        vf_store_n(lane, vf_mul(vf_load_n(x, n), scale), n);
        return vf_greatest(vf_load(lane));
    }
    for (size_t i = 0; i + 16 < n; i += 16)
        max = vf_max(vf_mul(vf_load(x + i), scale), max);
    return vf_greatest(vf_max(vf_mul(vf_load(x + n - 16), scale), max));
}

/* Rows are n elements and zeros up to n_total, where the last vector may reach. */
SIMD void rest_zero(float *p, size_t n, size_t n_total)
{
    for (size_t i = (n + 15) / 16 * 16; i < n_total; i += 16)
        vf_store_n(p + i, vf_set1(0), n_total - i);
}

void K(softmax_f32)(float *p, size_t n, size_t n_total, float scale, float *max_out, float *inverse_sum)
{
    const vf s = vf_set1(scale);
    const float max = row_max(p, n, s);
    const vf m = vf_set1(max);
    vf sum = vf_set1(0);
    for (size_t i = 0; i < n; i += 16) {
        vf e = vf_first_n(vf_exp(vf_sub(vf_mul(vf_load_n(p + i, n_total - i), s), m)), n - i);
        sum = vf_add(sum, e);
        vf_store_n(p + i, e, n_total - i);
    }
    const float inverse = 1.0f / vf_sum(sum);
    for (size_t i = 0; i < n; i += 16)
        vf_store_n(p + i, vf_first_n(vf_mul(vf_load_n(p + i, n_total - i), vf_set1(inverse)), n - i), n_total - i);
    rest_zero(p, n, n_total);
    *max_out = max;
    *inverse_sum = inverse;
}

void K(softmax_again_f32)(float *p, size_t n, size_t n_total, float scale, float max, float inverse_sum)
{
    const vf s = vf_set1(scale), m = vf_set1(max), inverse = vf_set1(inverse_sum);
    for (size_t i = 0; i < n; i += 16) {
        vf e = vf_exp(vf_sub(vf_mul(vf_load_n(p + i, n_total - i), s), m));
        vf_store_n(p + i, vf_first_n(vf_mul(e, inverse), n - i), n_total - i);
    }
    rest_zero(p, n, n_total);
}

void K(softmax_backward_f32)(float *ds, const float *p, const float *dropped, float kept, size_t n, size_t n_total,
                             float dot, float scale)
{
    const vf d = vf_set1(dot), s = vf_set1(scale), by = vf_set1(kept);
    for (size_t i = 0; i < n; i += 16) {
        vf g = vf_load_n(ds + i, n_total - i);
        if (dropped)
            g = vf_keep_nonzero(vf_load_n(dropped + i, n_total - i), vf_mul(g, by));
        vf t = vf_mul(vf_load_n(p + i, n_total - i), vf_sub(g, d));
        vf_store_n(ds + i, vf_first_n(vf_mul(t, s), n - i), n_total - i);
    }
    rest_zero(ds, n, n_total);
}

void K(exp_sum_f32)(float *x, size_t n, float *max_out, float *sum_out)
{
    const float max = row_max(x, n, vf_set1(1));
    const vf m = vf_set1(max);
    vf sum = vf_set1(0);
    for (size_t i = 0; i < n; i += 16) {
        vf e = vf_first_n(vf_exp(vf_sub(vf_load_n(x + i, n - i), m)), n - i);
        sum = vf_add(sum, e);
        vf_store_n(x + i, e, n - i);
    }
    *max_out = max;
    *sum_out = vf_sum(sum);
}

void K(exp_f32)(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += 16)
        vf_store_n(y + i, vf_exp(vf_load_n(x + i, n - i)), n - i);
}

/* Element i of the row takes word (i/16)%4 of block (i/64)*16 + i%16. */
void K(dropout_f32)(float *y, const float *x, size_t first, size_t n, uint64_t key, uint64_t row, uint32_t threshold,
                    float scale)
{
    const vf s = vf_set1(scale);
    uint32_t words[64 + 16];
    for (size_t i = 64; i < 64 + 16; i++)
        words[i] = 0; /* where a vector that begins late ends */
    for (size_t i = 0; i < n;) {
        const size_t at = (first + i) % 64, end = n - i < 64 - at ? n : i + 64 - at;
        philox8(words, key, row, (first + i) / 64 * 16);
        philox8(words + 8, key, row, (first + i) / 64 * 16 + 8);
        for (const uint32_t *w = words + at; i < end; w += 16, i += 16)
            vf_store_n(y + i, vf_keep_ge(w, threshold, vf_mul(vf_load_n(x + i, end - i), s)), end - i);
        i = end;
    }
}
