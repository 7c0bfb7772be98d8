/* SPDX-License-Identifier: MIT */
#include "ops/adamw.h"

#include "base/detmath.h"
#include "kernels/kernels.h"

struct adamw adamw_at_step(double lr, double beta1, double beta2, double eps, double weight_decay, double grad_scale,
                           uint64_t t)
{
    return (struct adamw){
        .lr = (float)lr,
        .beta1 = (float)beta1,
        .beta2 = (float)beta2,
        .eps = (float)eps,
        .weight_decay = (float)weight_decay,
        .grad_scale = (float)grad_scale,
        .inv_bias1 = (float)(1.0 / (1.0 - det_powi(beta1, t))),
        .inv_bias2 = (float)(1.0 / (1.0 - det_powi(beta2, t))),
    };
}

void adamw_update(float *w, float *m, float *v, const float *g, size_t n, const struct adamw *a)
{
    struct adamw_coef c = {a->lr,           a->beta1,      a->beta2,     a->eps,
                           a->weight_decay, a->grad_scale, a->inv_bias1, a->inv_bias2};
    kernels_get()->adamw_f32(w, m, v, g, n, &c);
}

void grads_add(float *y, const float *x, size_t n)
{
    kernels_get()->add_f32(y, x, n);
}

double grads_sumsq(const float *x, size_t n)
{
    return kernels_get()->sumsq_f32(x, n);
}
