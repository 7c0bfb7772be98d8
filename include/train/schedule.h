/* SPDX-License-Identifier: MIT
 * train/schedule.h - the learning rate of a step.
 *
 * Warm-up rises linearly to lr over warmup_steps.  Then cosine (to min_lr at the last step), linear (likewise),
 * constant, or WSD: constant until the last decay_fraction of the run, then linear to min_lr (Hu et al., "MiniCPM",
 * 2024, with the linear decay).  A pure function, same bits everywhere (base/detmath.h).
 */
#ifndef TRAIN_SCHEDULE_H
#define TRAIN_SCHEDULE_H

#include "base/status.h"

#include <stdint.h>

enum schedule_kind { SCHEDULE_COSINE, SCHEDULE_LINEAR, SCHEDULE_CONSTANT, SCHEDULE_WSD };

struct schedule {
    enum schedule_kind kind;
    double lr, min_lr;
    uint64_t warmup_steps;
    double decay_fraction; /* WSD: 0.2 */
};

const char *schedule_name(enum schedule_kind kind);
enum status schedule_parse(const char *name, enum schedule_kind *out, struct error *err);

/* Learning rate of step `step` (0-based) of `steps`. */
double schedule_lr(const struct schedule *schedule, uint64_t step, uint64_t steps);

#endif
