/* SPDX-License-Identifier: MIT */
#include "ops/lion.h"

void lion_update(float *restrict w, float *restrict m, const float *restrict g, size_t n, const struct lion *l)
{
    const float lr = l->lr, beta1 = l->beta1, beta2 = l->beta2, decay = l->weight_decay, scale = l->grad_scale;
    for (size_t i = 0; i < n; i++) {
        const float grad = g[i] * scale, away = m[i] - grad, c = grad + beta1 * away;
        const float sign = (float)((c > 0) - (c < 0));
        m[i] = grad + beta2 * away;
        w[i] -= lr * (sign + decay * w[i]);
    }
}
