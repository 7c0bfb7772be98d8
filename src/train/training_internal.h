/* SPDX-License-Identifier: MIT
 * What a training is made of, for the files of this module.
 *
 * One arena, reserved when the training is made and touched when it gets its spheres, holds everything that is not the
 * model's or the decoder's: gradients, the optimizer's state, partial sums, the leaf of evaluation.
 */
#ifndef TRAIN_TRAINING_INTERNAL_H
#define TRAIN_TRAINING_INTERNAL_H

#include "base/arena.h"
#include "model/decoder.h"
#include "model/model.h"
#include "train/gradient_fold_internal.h"
#include "train/optimizer_internal.h"
#include "train/spike_internal.h"
#include "train/training.h"

/* Elements of one partial sum of squares, and of one unit of work in the optimizer. */
enum { TRAINING_BLOCK = 4096 };

struct training {
    struct train_settings settings;
    struct training_memory memory;
    struct model *model;
    struct decoder *decoder;
    size_t sphere_scratch_bytes;
    int max_width;

    struct arena arena;
    size_t leaves;
    struct gradient_fold fold;   /* buffers [model_size] */
    float *head_leaf;            /* [V,C]; NULL with one leaf */
    struct optimizer_room room;
    double *block_sumsq;         /* [blocks] */
    size_t blocks;
    double *leaf_loss;                 /* [leaves] */
    struct window val; /* [micro_batch,T]; first and supervised with packing alone */

    uint64_t step, tokens;
    uint64_t sample; /* place in the data: first sample of the next step */
    uint64_t epoch;
    double last_loss, last_grad_norm, last_lr;
    double lr_factor; /* of the schedule's rate */
    bool short_of_snapshot; /* training_short_of_snapshot */
    struct spike_state spikes;
    bool validated;  /* val_loss is that of `val_step` */
    uint64_t val_step;
    double val_loss;
};

/* The plan where the program itself is known, or taken, to need so much. */
enum status training__plan(const struct train_settings *settings, int num_spheres, size_t program_bytes,
                           struct training_memory *out, struct error *err);

/* The training's own plan becomes that of the spheres it has got. */
void training__planned_for(struct training *t, int num_spheres, int width);

/* Has the system give what was reserved now, each run of parameters where its owner runs.  Team function. */
void training__touch(struct sphere *me, struct training *t);

/* Elements of the parameter run in the member's share of blocks. */
struct share training__own_elements(const struct sphere *me, const struct training *t);

#endif
