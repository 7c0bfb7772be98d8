/* SPDX-License-Identifier: MIT
 * train/spike.h - what a training does about a step whose loss leaves its range (docs/watching.md).
 *
 * A step is judged after its gradient is known and before its update.  It spikes when its loss or the norm of its
 * gradient is not finite, or when its loss is above
 *
 *     mean + factor * deviation      of the last `window` steps that were updated with,
 *
 * once there are that many.  Mean and deviation (of the population, at least a hundredth of the mean's absolute value) are summed
 * in double from the oldest loss to the newest, so the verdict is a function of the run's history and of nothing else.
 *
 *     ignore     a finite loss is never a spike; what is not finite stops the run
 *     stop       the run stops; the weights are those of the step before
 *     skip       the step counts, its samples are used up, weights and the optimizer's state stay as they were; the
 *                optimizer's own count of steps (AdamW's bias correction) does not go on, the schedule does
 *     rollback   the run goes back to its state `margin` steps before the spike, or that of the last rollback where it is
 *                later, and the samples from there to the spike are left out (train/rollback.h)
 */
#ifndef TRAIN_SPIKE_H
#define TRAIN_SPIKE_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

enum spike_policy { SPIKE_IGNORE, SPIKE_STOP, SPIKE_SKIP, SPIKE_ROLLBACK, SPIKE_POLICIES };

extern const char *const spike_policy_names[]; /* NULL-terminated */
enum status spike_policy_parse(const char *name, enum spike_policy *out, struct error *err); /* STATUS_CONFIG */

enum { SPIKE_WINDOW_MAX = 1024, SPIKE_LIMIT_MAX = 64 };

struct spike_settings {
    enum spike_policy policy;
    double factor;
    uint64_t window; /* 2 … SPIKE_WINDOW_MAX */
    uint64_t margin; /* steps; rollback alone has it */
    uint64_t limit;  /* steps skipped one after the other, or rollbacks of a run, until it stops; 1 … SPIKE_LIMIT_MAX */
};

/* ignore, 6 deviations of 64 steps, a margin of 8 and a limit of 10. */
struct spike_settings spike_settings_default(void);
enum status spike_settings_check(const struct spike_settings *settings, struct error *err); /* STATUS_CONFIG */

enum spike_reason { SPIKE_NONE, SPIKE_LOSS_NOT_FINITE, SPIKE_NORM_NOT_FINITE, SPIKE_LOSS_ABOVE };
const char *spike_reason_text(enum spike_reason reason); /* "the loss is not finite" */

/* A step that spiked.  Plain data. */
struct spike {
    enum spike_reason reason; /* SPIKE_NONE: it did not, and nothing else is set */
    uint64_t step;
    double loss, grad_norm;
    double bound; /* of the rule; NaN while there are too few losses for one */
    uint64_t first_sample, last_sample;
};

struct training;

/* The step a training made last: whether it spiked and was left out.  One thread at a time, as all of a training. */
const struct spike *training_last_spike(const struct training *training);

/* A rollback that the last step began with: the samples from first_sample to last_sample were left out before it
 * because `spike` came in a life of the run that is no more.  NULL where it did not. */
struct rollback {
    struct spike spike;
    uint64_t number;      /* 1 for the first of the run */
    uint64_t after_step;  /* the step whose state it went back to */
    uint64_t first_sample, last_sample;
};
const struct rollback *training_last_rollback(const struct training *training);

uint64_t training_skipped(const struct training *training); /* steps without an update so far */

#endif
