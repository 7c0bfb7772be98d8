/* SPDX-License-Identifier: MIT
 * Muon (ops/muon.h) for the matrices of the layers; embeddings, positions, head, norms and biases are AdamW's.  GPT-2's
 * matrix of queries, keys and values is three matrices here.  One matrix after the other, each by all members.
 */
#include "ops/muon.h"

#include "train/optimizer_internal.h"
#include "train/training_internal.h"

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
        struct muon muon = step->muon;
        if (!p->decay)
            muon.weight_decay = 0;
        const size_t beside = matrices_beside(p), across = p->shape[1] / beside;
        for (size_t i = 0; i < beside; i++) {
            const struct muon_matrix matrix = {.w = model_data(t->model) + p->offset + i * across,
                                               .momentum = (float *)(void *)walk.state[0] + i * across,
                                               .g = grads + p->offset + i * across,
                                               .rows = p->shape[0],
                                               .cols = across,
                                               .stride = p->shape[1]};
            muon_update(me, &t->room.space, &matrix, &muon);
        }
    }
}
