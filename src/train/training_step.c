/* SPDX-License-Identifier: MIT
 * One optimizer step is one run of the team:
 *
 *     pack the weights
 *     for each leaf:   verdict barrier (cancel?), forward and backward, fold its gradient     -- all owners of outputs
 *     norm of the sum: blocks of 4096 in double, their partial sums in index order by the root, verdict barrier
 *     update:          clip and the optimizer's step (optimizer_internal.h)
 *
 * Nothing but the update writes weights, and all members have agreed before it that the step is good; so a step that
 * is cancelled or not finite leaves the training as it was.  A step allocates nothing: all it needs lies in the
 * training or on the driving thread's stack.
 */
#include "train/threaded_training.h"

#include "base/rng.h"
#include "ops/adamw.h"
#include "train/threaded_training_internal.h"

#include <inttypes.h>
#include <math.h>

struct step {
    struct threaded_training *system;
    struct batch batch;
    uint64_t dropout_key;
    double lr;
    /* written by the root between two barriers */
    double loss, grad_norm, loss_bound;
    enum spike_reason spike; /* not SPIKE_NONE: no update */
    struct optimizer_step optimizer;
};

enum status training__verdict(struct sphere *me, struct threaded_training *s)
{
    if (me->id == 0 && training__is_cancelled(s))
        sphere_fail(me, STATUS_CANCELLED);
    return sphere_barrier(me);
}

struct share training__own_elements(const struct sphere *me, const struct training *t)
{
    struct share blocks = sphere_share(me, t->blocks);
    size_t size = model_size(t->model), end = blocks.end * TRAINING_BLOCK;
    struct share elements = {blocks.begin * TRAINING_BLOCK, end < size ? end : size};
    if (elements.begin > elements.end)
        elements.begin = elements.end;
    return elements;
}

/* Leaf `leaf` is done by all its owners' parts: adds up the nodes of the tree that are complete with it. */
static enum status accumulate_gradients(struct sphere *me, struct training *t, struct gradient_fold *fold, size_t leaf)
{
    struct gradient_sum sums[GRADIENT_FOLD_MAX_HEIGHT];
    int due = gradient_fold_after(fold, leaf, sums);
    if (due == 0)
        return STATUS_OK;
    enum status st = sphere_barrier(me); /* a leaf's gradient has other owners than our elements */
    struct share own = training__own_elements(me, t);
    for (int i = 0; i < due; i++)
        grads_add(sums[i].to + own.begin, sums[i].from + own.begin, own.end - own.begin);
    return st;
}

static void measure_norm(struct sphere *me, struct training *t, const float *grads)
{
    struct share blocks = sphere_share(me, t->blocks);
    size_t size = model_size(t->model);
    for (size_t b = blocks.begin; b < blocks.end; b++) {
        size_t begin = b * TRAINING_BLOCK;
        size_t n = size - begin < TRAINING_BLOCK ? size - begin : TRAINING_BLOCK;
        t->block_sumsq[b] = grads_sumsq(grads + begin, n);
    }
}

/* The root alone: loss, norm, clipping; whether the step is good. */
static void judge(struct sphere *me, struct step *step)
{
    struct training *t = step->system->training;
    const struct train_settings *s = &t->settings;
    double loss = 0, sumsq = 0;
    for (size_t i = 0; i < t->leaves; i++)
        loss += t->leaf_loss[i];
    for (size_t b = 0; b < t->blocks; b++)
        sumsq += t->block_sumsq[b];
    const size_t supervised = step->batch.num_supervised; /* none at all: a loss of 0 and no gradient */
    step->loss = supervised ? loss / (double)supervised : 0;
    step->grad_norm = sqrt(sumsq);
    step->spike = spike__judge(&s->spikes, &t->spikes, step->loss, step->grad_norm, &step->loss_bound);
    if (step->spike != SPIKE_NONE)
        return;
    if (!step_guard__may_update(&step->system->guard))
        sphere_fail(me, STATUS_CANCELLED);
    /* PyTorch's clip_grad_norm_. */
    double scale = 1;
    if (s->grad_clip > 0 && step->grad_norm > s->grad_clip)
        scale = s->grad_clip / (step->grad_norm + 1e-6);
    step->optimizer = optimizer__at_step(s, t->step, t->step - t->spikes.skipped, t->lr_factor, scale);
}

static void step_team(struct sphere *me, void *arg)
{
    struct step *step = arg;
    struct threaded_training *system = step->system;
    struct training *t = system->training;
    const struct train_settings *s = &t->settings;
    struct gradient_fold fold = t->fold; /* each member's own, all the same */
    const struct batch *batch = &step->batch;
    const size_t leaf_tokens = s->micro_batch * s->seq_len;

    sphere_phase(me, "pack");
    decoder_pack(me, t->decoder);
    for (size_t i = 0; i < t->leaves; i++) {
        if (training__verdict(me, system) != STATUS_OK)
            return;
        struct leaf leaf = {
            .inputs = batch->inputs + i * leaf_tokens,
            .targets = batch->targets + i * leaf_tokens,
            .first = batch->first ? batch->first + i * leaf_tokens : NULL,
            .supervised = batch->supervised ? batch->supervised + i * leaf_tokens : NULL,
            .first_sequence = i * s->micro_batch,
            .dropout_key = step->dropout_key,
            .loss_scale = batch->num_supervised ? 1.0f / (float)batch->num_supervised : 0,
            .head_leaf = t->head_leaf,
        };
        leaf.grads = gradient_fold_leaf(&fold, i, &leaf.add);
        decoder_train_leaf(me, t->decoder, &leaf, &t->leaf_loss[i]);
        sphere_phase(me, "fold");
        if (accumulate_gradients(me, t, &fold, i) != STATUS_OK)
            return;
    }
    if (training__verdict(me, system) != STATUS_OK)
        return;
    sphere_phase(me, "norm");
    const float *grads = gradient_fold_result(&fold);
    measure_norm(me, t, grads);
    if (sphere_barrier(me) != STATUS_OK)
        return;
    if (me->id == 0)
        judge(me, step);
    if (sphere_barrier(me) != STATUS_OK || step->spike != SPIKE_NONE)
        return;
    sphere_phase(me, "optimizer");
    t->room.optimizer->step(me, t, grads, &step->optimizer);
}

/* ---- a step, seen by the driving thread ---- */

/* The team is through a step that nobody gave up: it was updated with, or left out, or the run must stop here. */
static enum status settle_spike(const struct step *step, struct error *err)
{
    struct training *t = step->system->training;
    const struct spike_settings *settings = &t->settings.spikes;
    const struct spike spike = {.reason = step->spike,
                                .step = t->step + 1,
                                .loss = step->loss,
                                .grad_norm = step->grad_norm,
                                .bound = step->loss_bound,
                                .first_sample = step->batch.first_sample,
                                .last_sample = step->batch.first_sample + t->settings.batch_size - 1};
    enum status st = STATUS_OK;
    if (step->spike == SPIKE_NONE)
        spike__accept(settings, &t->spikes, step->loss);
    else
        st = spike__leave_out(settings, &t->spikes, &spike, err);
    if (st == STATUS_OK)
        spike__note_rollback(&t->spikes, t->step);
    return st;
}

enum status threaded_train_step(struct threaded_training *s)
{
    struct training *t = s->training;
    const struct train_settings *settings = &t->settings;
    struct step step = {.system = s};
    step_profile_begin(&s->profile);
    t->sample = spike__next_sample(&t->spikes, t->step, t->sample);
    if (batch_iterator_position(s->iterator) != t->sample) /* a checkpoint was loaded, or a step given up */
        batch_iterator_seek(s->iterator, t->sample);
    enum status st = batch_iterator_next(s->iterator, &step.batch, &s->error);
    if (st != STATUS_OK)
        return st;
    step.dropout_key = rng_key(settings->seed, RNG_DROPOUT, t->step, 0);
    step.lr = schedule_lr(&settings->schedule, t->step, settings->steps) * t->lr_factor;
    st = training__run_team(s, step_team, &step);
    step_profile_end(&s->profile, t->step + 1);
    switch (st) {
    case STATUS_OK:
        break;
    case STATUS_CANCELLED:
        return error_set(&s->error, st, "cancelled in step %" PRIu64 "; the weights are those of step %" PRIu64,
                         t->step + 1, t->step);
    default:
        return error_set(&s->error, st, "step %" PRIu64 ": %s", t->step + 1, status_text(st));
    }
    if ((st = settle_spike(&step, &s->error)) != STATUS_OK)
        return st;
    t->step++;
    t->sample += settings->batch_size;
    t->epoch = t->sample / batch_iterator_windows(s->iterator);
    t->tokens += settings->batch_size * settings->seq_len;
    t->last_loss = step.loss;
    t->last_grad_norm = step.grad_norm;
    t->last_lr = step.lr;
    return STATUS_OK;
}
