/* SPDX-License-Identifier: MIT
 * The order: lines aside, load, remove what belongs to the life given up, cut the lines.  Whoever dies in between leaves
 * a run that resumes from a checkpoint of before the spike, makes the same steps and comes back here.
 */
#include "train/rollback.h"

#include "base/file.h"
#include "base/memory.h"
#include "train/checkpoint_internal.h"
#include "train/training_internal.h"

#include <inttypes.h>

bool training_wants_rollback(const struct training *t)
{
    return t->settings.spikes.policy == SPIKE_ROLLBACK && t->spikes.last.reason != SPIKE_NONE;
}

/* The step to go back to: `margin` before the spike, but not further than the last time.  What that one went back to was
 * good, so a spike soon after it is no reason to doubt it; and a checkpoint of then is all that need be kept. */
static uint64_t target_of(const struct training *t)
{
    const struct spike_state *state = &t->spikes;
    const uint64_t margin = t->settings.spikes.margin, before = state->last.step - 1;
    const uint64_t target = before > margin ? before - margin : 0;
    const uint64_t last = state->num_left_out ? state->left_out[state->num_left_out - 1].after_step : 0;
    return target > last ? target : last;
}

/* Adds a rollback to those that hold; one to the same step is a part of it now. */
static void add(struct spike_state *state, const struct rollback *rollback)
{
    size_t n = 0;
    while (n < state->num_left_out && state->left_out[n].after_step < rollback->after_step)
        n++;
    state->left_out[n] = *rollback;
    state->num_left_out = n + 1;
    state->rollbacks = rollback->number;
}

static enum status set_aside(struct metrics *metrics, const char *run_directory, const struct rollback *rollback,
                             struct error *err)
{
    struct buffer path = {0};
    buffer_printf(&path, "%s/metrics.rolled-back-%" PRIu64 ".jsonl", run_directory, rollback->number);
    enum status st = metrics_set_aside(metrics, rollback->after_step, checkpoint__text(&path), err);
    buffer_release(&path);
    return st;
}

enum status training_roll_back(struct training *t, const char *run_directory, uint32_t settings_hash,
                               struct metrics *metrics, uint64_t *loaded, uint64_t *after_step, struct buffer *warning,
                               struct error *err)
{
    const struct spike spike = t->spikes.last;
    const uint64_t target = target_of(t);
    struct rollback rollback = {
        .spike = spike, .number = t->spikes.rollbacks + 1, .after_step = target, .last_sample = spike.last_sample};
    struct spike_state *kept = mem_alloc(sizeof *kept);
    if (!kept)
        return error_set(err, STATUS_NOMEM, "out of memory for going back to step %" PRIu64, target);
    *kept = t->spikes;
    struct buffer checkpoints = {0};
    path_join(&checkpoints, run_directory, "checkpoints");
    enum status st = set_aside(metrics, run_directory, &rollback, err);
    if (st == STATUS_OK)
        st = checkpoint__load_up_to(t, run_directory, settings_hash, target, warning, err);
    if (st == STATUS_OK) {
        /* What is left out is told from where it begins.  Every step takes a batch, and more where an earlier rollback to
         * a step between left some out. */
        uint64_t sample = t->sample;
        for (uint64_t step = t->step; step < target; step++)
            sample = spike__next_sample(kept, step, sample) + t->settings.batch_size;
        rollback.first_sample = sample;
        for (size_t i = 0; i < kept->num_left_out; i++)
            t->spikes.left_out[i] = kept->left_out[i];
        t->spikes.num_left_out = kept->num_left_out;
        add(&t->spikes, &rollback);
        *loaded = t->step;
        *after_step = target;
        st = checkpoint__forget(checkpoint__text(&checkpoints), t->step, target, spike.step, err);
    }
    if (st == STATUS_OK)
        st = metrics_cut(metrics, t->step, err);
    buffer_release(&checkpoints);
    mem_free(kept);
    return st;
}
