/* SPDX-License-Identifier: MIT */
#include "ops/muon.h"

#include <math.h>
#include <stdbool.h>

void muon_update(struct sphere *me, const struct orthogonal_space *space, const struct muon_matrix *m,
                 const struct muon *step)
{
    const struct share own = sphere_share(me, m->rows);
    const bool tall = m->rows >= m->cols;
    const size_t longer = tall ? m->rows : m->cols, shorter = tall ? m->cols : m->rows;
    const size_t down = tall ? m->cols : 1, right = tall ? 1 : m->rows; /* strides in the space */
    const float mu = step->momentum, scale = step->grad_scale;
    for (size_t i = own.begin; i < own.end; i++)
        for (size_t j = 0; j < m->cols; j++) {
            float *momentum = &m->momentum[i * m->stride + j];
            const float grad = m->g[i * m->stride + j] * scale;
            *momentum = mu * *momentum + grad;
            space->x[i * down + j * right] = grad + mu * *momentum;
        }
    const float *o = orthogonalise(me, space, longer, shorter);
    const float size = 0.2f * sqrtf((float)longer), lr = step->lr, decay = step->weight_decay;
    for (size_t i = own.begin; i < own.end; i++)
        for (size_t j = 0; j < m->cols; j++) {
            float *w = &m->w[i * m->stride + j];
            *w -= lr * (size * o[i * down + j * right] + decay * *w);
        }
}
