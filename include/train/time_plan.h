/* SPDX-License-Identifier: MIT
 * train/time_plan.h - how long a run will take, from a few steps that were measured.  Plain arithmetic; any thread.
 */
#ifndef TRAIN_TIME_PLAN_H
#define TRAIN_TIME_PLAN_H

#include "base/buffer.h"
#include "train/settings.h"

#include <stddef.h>
#include <stdint.h>

/* Seconds; 0: was not measured. */
struct time_measured {
    double step;
    double eval_leaf; /* a micro-batch of an evaluation; where it was not measured, a third of a step's leaf */
    double save;      /* a checkpoint for which training waits */
    double sample;    /* one of --sample-every */
};

struct time_plan {
    uint64_t steps, evaluations, saves, samples; /* still to come; the last checkpoint is at the end, a sample only before it */
    uint64_t eval_leaves;                        /* micro-batches in one evaluation */
    double step_s, eval_s, save_s, sample_s, total_s; /* of all of them */
};

/* From `step` steps done to settings->steps.  val_windows: of the validation part; 0: none, or not known, and then an
 * evaluation has eval_batches leaves.  Of checkpoints written beside the training only the last one counts; with
 * --save-best each evaluation may be followed by one.  Samples that were not measured, that behind the last step, and pauses are
 * not in it. */
void time_plan_make(struct time_plan *out, const struct train_settings *settings, uint64_t step, uint64_t val_windows,
                    const struct time_measured *measured);

/* Appends "a step takes 0.5 s: 41:40 for 5000 steps, 0:30 for 5 evaluations, …". */
void time_plan_text(const struct time_plan *plan, const struct time_measured *measured, struct buffer *out);

/* The middle one of three. */
double time_plan_median(const double seconds[3]);

/* Checkpoints on the disk at a time, at the most: those kept, those kept for good, the best, a rollback's, one in the making; never more than there
 * will be. */
uint64_t time_plan_checkpoints(const struct train_settings *settings);

#endif
