/* SPDX-License-Identifier: MIT */
#include "ops/heads.h"

#include "base/detmath.h"
#include "kernels/kernels.h"

#include <string.h>

#define PI 3.14159265358979323846

void rope_frequencies(double *frequency, size_t half, double theta)
{
    const double step = det_log(theta) / (double)half;
    for (size_t i = 0; i < half; i++)
        frequency[i] = det_exp(-(double)i * step);
}

void rope_scale_linear(double *frequency, size_t half, double factor)
{
    for (size_t i = 0; i < half; i++)
        frequency[i] /= factor;
}

void rope_scale_llama3(double *frequency, size_t half, double factor, double low_factor, double high_factor,
                       double original_positions)
{
    const double longest = original_positions / low_factor, shortest = original_positions / high_factor;
    for (size_t i = 0; i < half; i++) {
        const double wavelength = 2 * PI / frequency[i];
        const double mix = (original_positions / wavelength - low_factor) / (high_factor - low_factor);
        if (wavelength > longest)
            frequency[i] /= factor;
        else if (wavelength >= shortest)
            frequency[i] = (1 - mix) * frequency[i] / factor + mix * frequency[i];
    }
}

void rope_angles(float *cos, float *sin, const double *frequency, size_t half, size_t first, size_t n)
{
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < half; i++) {
            const double turns = (double)(first + t) * frequency[i] / PI; /* half turns */
            cos[t * half + i] = (float)det_cospi(turns);
            sin[t * half + i] = (float)det_cospi(turns - 0.5);
        }
}

static size_t position_of(const struct heads *h, size_t row)
{
    return row % h->period - (h->first ? (size_t)h->first[row] : 0);
}

void heads_forward(const struct heads *h, float *qkv, size_t first_row, size_t n, struct share which)
{
    const struct kernels *kn = kernels_get();
    const size_t D = h->head_dim, half = D / 2, both = h->heads + h->kv_heads, stride = (both + h->kv_heads) * D;
    if (!h->cos && !h->q_weight)
        return;
    for (size_t r = 0; r < n; r++) {
        const size_t row = first_row + r, angle = position_of(h, row) * half;
        for (size_t i = which.begin; i < which.end; i++) {
            float *x = qkv + r * stride + i * D;
            if (h->q_weight) {
                float unused, *rstd = h->rstd ? &h->rstd[i * h->rows + row] : &unused;
                if (h->raw)
                    memcpy(h->raw + (row * both + i) * D, x, D * sizeof(float));
                kn->rmsnorm_f32(x, x, i < h->heads ? h->q_weight : h->k_weight, D, h->eps, rstd);
            }
            if (h->cos)
                kn->rope_f32(x, h->cos + angle, h->sin + angle, half, 1);
        }
    }
}

void heads_backward(const struct heads *h, float *dqkv, size_t sequence, size_t head)
{
    const struct kernels *kn = kernels_get();
    const size_t D = h->head_dim, half = D / 2, both = h->heads + h->kv_heads, stride = (both + h->kv_heads) * D;
    const size_t T = h->period, row0 = sequence * T;
    float *dx = dqkv + row0 * stride + head * D;
    for (size_t t = 0; t < T && h->cos; t++) {
        const size_t angle = position_of(h, row0 + t) * half;
        kn->rope_f32(dx + t * stride, h->cos + angle, h->sin + angle, half, -1);
    }
    if (!h->q_weight)
        return;
    const bool query = head < h->heads;
    const float *weight = query ? h->q_weight : h->k_weight, *x = h->raw + (row0 * both + head) * D;
    const float *rstd = h->rstd + head * h->rows + row0;
    float *dweight = query ? h->dq_weight + (sequence * h->heads + head) * D
                           : h->dk_weight + (sequence * h->kv_heads + head - h->heads) * D;
    kn->rmsnorm_columns_f32(dweight, dx, stride, x, both * D, rstd, T, D, false);
    for (size_t t = 0; t < T; t++)
        kn->rmsnorm_backward_f32(dx + t * stride, NULL, NULL, dx + t * stride, x + t * both * D, weight, D, rstd[t]);
}
