/* SPDX-License-Identifier: MIT */
#include "train/spike.h"

#include "train/spike_internal.h"
#include "train/training_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const char *const spike_policy_names[] = {"ignore", "stop", "skip", "rollback", NULL};
_Static_assert(sizeof spike_policy_names / sizeof *spike_policy_names == SPIKE_POLICIES + 1, "a name for each");

enum status spike_policy_parse(const char *name, enum spike_policy *out, struct error *err)
{
    for (int policy = 0; policy < SPIKE_POLICIES; policy++)
        if (strcmp(name, spike_policy_names[policy]) == 0) {
            *out = (enum spike_policy)policy;
            return STATUS_OK;
        }
    return error_set(err, STATUS_CONFIG, "on a spike there is no \"%s\"; there are ignore, stop, skip and rollback",
                     name);
}

struct spike_settings spike_settings_default(void)
{
    return (struct spike_settings){.policy = SPIKE_IGNORE, .factor = 6, .window = 64, .margin = 8, .limit = 10};
}

enum status spike_settings_check(const struct spike_settings *s, struct error *err)
{
    if ((unsigned)s->policy >= SPIKE_POLICIES)
        return error_set(err, STATUS_CONFIG, "on_spike is number %d, which is not one", (int)s->policy);
    if (!(s->factor > 0 && s->factor <= 1e6))
        return error_set(err, STATUS_CONFIG, "spike_factor is %g, it must be above 0 and at most 1e6", s->factor);
    if (s->window < 2 || s->window > SPIKE_WINDOW_MAX)
        return error_set(err, STATUS_CONFIG, "spike_window is %" PRIu64 ", it must be from 2 to %d", s->window,
                         (int)SPIKE_WINDOW_MAX);
    if (s->margin > INT32_MAX)
        return error_set(err, STATUS_CONFIG, "spike_margin is %" PRIu64 ", it must be at most %d", s->margin, INT32_MAX);
    if (s->limit < 1 || s->limit > SPIKE_LIMIT_MAX)
        return error_set(err, STATUS_CONFIG, "spike_limit is %" PRIu64 ", it must be from 1 to %d", s->limit,
                         (int)SPIKE_LIMIT_MAX);
    return STATUS_OK;
}

const char *spike_reason_text(enum spike_reason reason)
{
    static const char *const texts[] = {
        [SPIKE_NONE] = "no spike",
        [SPIKE_LOSS_NOT_FINITE] = "the loss is not finite",
        [SPIKE_NORM_NOT_FINITE] = "the gradient is not finite",
        [SPIKE_LOSS_ABOVE] = "the loss is above its range",
    };
    return (unsigned)reason < sizeof texts / sizeof *texts ? texts[reason] : "?";
}

/* ---- the rule ---- */

static double bound_of(const struct spike_settings *s, const struct spike_state *state)
{
    if (state->num_losses < s->window)
        return NAN;
    const double *losses = state->losses + (state->num_losses - s->window);
    const double n = (double)s->window;
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < s->window; i++)
        sum += losses[i];
    const double mean = sum / n, least = 0.01 * fabs(mean);
    for (uint64_t i = 0; i < s->window; i++)
        squares += (losses[i] - mean) * (losses[i] - mean);
    const double deviation = sqrt(squares / n);
    return mean + s->factor * (deviation > least ? deviation : least);
}

enum spike_reason spike__judge(const struct spike_settings *settings, const struct spike_state *state, double loss,
                               double grad_norm, double *bound)
{
    *bound = settings->policy == SPIKE_IGNORE ? NAN : bound_of(settings, state);
    if (!isfinite(loss))
        return SPIKE_LOSS_NOT_FINITE;
    if (!isfinite(grad_norm))
        return SPIKE_NORM_NOT_FINITE;
    return loss > *bound ? SPIKE_LOSS_ABOVE : SPIKE_NONE; /* nothing is above NaN */
}

void spike__accept(const struct spike_settings *settings, struct spike_state *state, double loss)
{
    state->last = (struct spike){.reason = SPIKE_NONE};
    state->in_a_row = 0;
    if (settings->policy == SPIKE_IGNORE)
        return;
    while (state->num_losses >= settings->window) { /* one, but for a run that goes on with a shorter window */
        memmove(state->losses, state->losses + 1, (state->num_losses - 1) * sizeof *state->losses);
        state->num_losses--;
    }
    state->losses[state->num_losses++] = loss;
}

static enum status stop(const struct spike *spike, const char *why, struct error *err)
{
    char bound[64] = "";
    if (spike->reason == SPIKE_LOSS_ABOVE)
        snprintf(bound, sizeof bound, ", above its range up to %g,", spike->bound);
    return error_set(err, STATUS_NONFINITE,
                     "step %" PRIu64 ": the loss is %g%s and the gradient norm %g, over samples %" PRIu64 " to %" PRIu64
                     "; the weights are those of step %" PRIu64 "%s",
                     spike->step, spike->loss, bound, spike->grad_norm, spike->first_sample, spike->last_sample,
                     spike->step - 1, why);
}

enum status spike__leave_out(const struct spike_settings *settings, struct spike_state *state, const struct spike *spike,
                             struct error *err)
{
    char why[160];
    if (settings->policy == SPIKE_IGNORE || settings->policy == SPIKE_STOP)
        return stop(spike, "", err);
    const bool back = settings->policy == SPIKE_ROLLBACK;
    if ((back ? state->rollbacks : state->in_a_row) >= settings->limit) {
        snprintf(why, sizeof why,
                 back ? "; the run was rolled back %" PRIu64 " times before, the limit of --spike-limit"
                      : "; the updates of the %" PRIu64 " steps before were left out too, the limit of --spike-limit",
                 settings->limit);
        return stop(spike, why, err);
    }
    state->last = *spike;
    state->skipped++;
    state->in_a_row++;
    return STATUS_OK;
}

uint64_t spike__next_sample(const struct spike_state *state, uint64_t step, uint64_t sample)
{
    for (size_t i = 0; i < state->num_left_out; i++)
        if (state->left_out[i].after_step == step && state->left_out[i].last_sample >= sample)
            return state->left_out[i].last_sample + 1;
    return sample;
}

void spike__note_rollback(struct spike_state *state, uint64_t step)
{
    state->has_last_rollback = false;
    for (size_t i = 0; i < state->num_left_out; i++)
        if (state->left_out[i].after_step == step) {
            state->has_last_rollback = true;
            state->last_rollback = state->left_out[i];
        }
}

/* ---- as seen from outside ---- */

const struct spike *training_last_spike(const struct training *t)
{
    return &t->spikes.last;
}

const struct rollback *training_last_rollback(const struct training *t)
{
    return t->spikes.has_last_rollback ? &t->spikes.last_rollback : NULL;
}

uint64_t training_skipped(const struct training *t)
{
    return t->spikes.skipped;
}
