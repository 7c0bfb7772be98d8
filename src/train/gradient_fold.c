/* SPDX-License-Identifier: MIT */
#include "train/gradient_fold_internal.h"

int gradient_fold_height(size_t leaves)
{
    int height = 1;
    for (size_t nodes = leaves; nodes > GRADIENT_FOLD_FANOUT; height++)
        nodes = (nodes - 1) / GRADIENT_FOLD_FANOUT + 1;
    return height;
}

float *gradient_fold_leaf(const struct gradient_fold *fold, size_t leaf, bool *add)
{
    *add = leaf % GRADIENT_FOLD_FANOUT != 0;
    return fold->buffer[0];
}

int gradient_fold_after(struct gradient_fold *fold, size_t leaf, struct gradient_sum sums[GRADIENT_FOLD_MAX_HEIGHT])
{
    int due = 0;
    size_t child = leaf; /* index, among all of its height, of what was just finished */
    for (int k = 0; k + 1 < fold->height; k++) {
        bool node_done = (child + 1) % GRADIENT_FOLD_FANOUT == 0 || leaf + 1 == fold->leaves;
        if (!node_done)
            break;
        child /= GRADIENT_FOLD_FANOUT;
        if (child % GRADIENT_FOLD_FANOUT == 0) {
            float *first = fold->buffer[k];
            fold->buffer[k] = fold->buffer[k + 1];
            fold->buffer[k + 1] = first;
        } else {
            sums[due++] = (struct gradient_sum){fold->buffer[k + 1], fold->buffer[k]};
        }
    }
    return due;
}

float *gradient_fold_result(const struct gradient_fold *fold)
{
    return fold->buffer[fold->height - 1];
}
