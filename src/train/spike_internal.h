/* SPDX-License-Identifier: MIT
 * The history that the rule of train/spike.h looks at, as a training and its checkpoints keep it.
 */
#ifndef TRAIN_SPIKE_INTERNAL_H
#define TRAIN_SPIKE_INTERNAL_H

#include "formats/json.h"
#include "train/spike.h"

#include <stddef.h>

struct spike_state {
    double losses[SPIKE_WINDOW_MAX]; /* of the last steps that were updated with, the oldest first */
    size_t num_losses;
    uint64_t skipped;   /* steps without an update */
    uint64_t in_a_row;  /* of them, those since the last one with an update */
    uint64_t rollbacks; /* so far */
    struct rollback left_out[SPIKE_LIMIT_MAX]; /* those that hold, by rising after_step */
    size_t num_left_out;
    struct spike last;
    bool has_last_rollback;
    struct rollback last_rollback;
};

/* The rule: what this step is, and in *bound what its loss was held against.  Reads only. */
enum spike_reason spike__judge(const struct spike_settings *settings, const struct spike_state *state, double loss,
                               double grad_norm, double *bound);

/* The step was updated with: its loss is history.  Under SPIKE_IGNORE none is kept. */
void spike__accept(const struct spike_settings *settings, struct spike_state *state, double loss);

/* The step spiked and is left out; or, in one sentence that is put into *err, why the run must stop: the policy, or the
 * limit.  STATUS_NONFINITE then, and nothing is changed. */
enum status spike__leave_out(const struct spike_settings *settings, struct spike_state *state, const struct spike *spike,
                             struct error *err);

/* The first sample of the step after `step`, where samples are left out before it; `sample` where none are. */
uint64_t spike__next_sample(const struct spike_state *state, uint64_t step, uint64_t sample);

/* The step after `step` was made: it began with a rollback's samples left out, or it did not. */
void spike__note_rollback(struct spike_state *state, uint64_t step);

/* The object "spikes" of trainer_state.json; NULL for no memory. */
json_t *spike__json(const struct spike_state *state);
enum status spike__from_json(struct spike_state *out, const json_t *object, const char *where, struct error *err);

#endif
