/* SPDX-License-Identifier: MIT
 * Muon (Jordan, 2024, kellerjordan.github.io/posts/muon): for a matrix W with gradient G, in f32, each operation
 * rounded by itself,
 *
 *     M = momentum M + G,     U = G + momentum M (Nesterov's),     O = U made orthogonal (ops/orthogonal.h)
 *     W = W - lr (0.2 sqrt(max(rows, cols)) O + weight_decay W)
 *
 * The factor is that of Liu et al., "Muon is scalable for LLM training", arXiv 2502.16982, section 2.2: it gives an update about
 * the root mean square that AdamW's has, so that AdamW's rates and decay fit the matrices as they are.
 *
 * Matrices of the layers are Muon's; embeddings, positions, head, norms and biases are AdamW's.  GPT-2's matrix of queries, keys and
 * values is three matrices here.  One matrix after the other, each by all members: they share its rows, the tiles of its products, and
 * its columns.
 */
#include "train/optimizer_internal.h"
#include "train/training_internal.h"

#include <math.h>

bool optimizer__is_muons(const struct param *param)
{
    return param->rank == 2 && param->role != PARAM_EMBEDDING && param->role != PARAM_POSITIONS &&
           param->role != PARAM_HEAD;
}

bool optimizer__is_not_muons(const struct param *param)
{
    return !optimizer__is_muons(param);
}

static size_t matrices_beside(const struct param *param)
{
    return param->role == PARAM_QKV_W ? 3 : 1;
}

/* Of one of the parameter's matrices: its size, and how it lies when it is turned to be tall. */
void optimizer__muon_matrix(const struct param *param, size_t *elements, size_t *rows, size_t *cols)
{
    const size_t down = param->shape[0], across = param->shape[1] / matrices_beside(param);
    *elements = down * across;
    *rows = down > across ? down : across;
    *cols = down > across ? across : down;
}

struct matrix {
    float *w, *momentum;
    const float *g;
    size_t down, across, stride;
};

static void update_matrix(struct sphere *me, const struct orthogonal_space *space, const struct matrix *m,
                          const struct optimizer_step *step, float decay)
{
    const struct share own = sphere_share(me, m->down);
    const bool tall = m->down >= m->across;
    const size_t rows = tall ? m->down : m->across, cols = tall ? m->across : m->down;
    const size_t down = tall ? m->across : 1, right = tall ? 1 : m->down; /* strides in the space */
    const float mu = step->muon_momentum, scale = step->adamw.grad_scale;
    for (size_t i = own.begin; i < own.end; i++)
        for (size_t j = 0; j < m->across; j++) {
            float *momentum = &m->momentum[i * m->stride + j];
            const float grad = m->g[i * m->stride + j] * scale;
            *momentum = mu * *momentum + grad;
            space->x[i * down + j * right] = grad + mu * *momentum;
        }
    const float *o = orthogonalise(me, space, rows, cols);
    const float size = 0.2f * sqrtf((float)rows), lr = step->muon_lr;
    for (size_t i = own.begin; i < own.end; i++)
        for (size_t j = 0; j < m->across; j++) {
            float *w = &m->w[i * m->stride + j];
            *w -= lr * (size * o[i * down + j * right] + decay * *w);
        }
}

static void others_part(const struct training *t, const struct optimizer_part *part, const struct optimizer_step *step)
{
    (void)t;
    optimizer__adamw_part(part, &step->adamw, 1);
}

void optimizer__muon_step(struct sphere *me, struct training *t, const float *grads, const struct optimizer_step *step)
{
    optimizer__parts(me, t, grads, step, optimizer__is_not_muons, others_part);
    struct optimizer_walk walk = {0};
    while (optimizer__next(t, &walk)) {
        const struct param *p = walk.param;
        if (!optimizer__is_muons(p))
            continue;
        const size_t beside = matrices_beside(p), across = p->shape[1] / beside;
        for (size_t i = 0; i < beside; i++) {
            const struct matrix matrix = {.w = model_data(t->model) + p->offset + i * across,
                                          .momentum = (float *)(void *)walk.state[0] + i * across,
                                          .g = grads + p->offset + i * across,
                                          .down = p->shape[0],
                                          .across = across,
                                          .stride = p->shape[1]};
            update_matrix(me, &t->room.space, &matrix, step, p->decay ? step->adamw.weight_decay : 0);
        }
    }
}
