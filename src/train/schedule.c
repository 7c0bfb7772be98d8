/* SPDX-License-Identifier: MIT */
#include "train/schedule.h"

#include "base/detmath.h"

#include <string.h>

static const char *const names[] = {
    [SCHEDULE_COSINE] = "cosine",
    [SCHEDULE_LINEAR] = "linear",
    [SCHEDULE_CONSTANT] = "constant",
    [SCHEDULE_WSD] = "wsd",
};

const char *schedule_name(enum schedule_kind kind)
{
    return names[kind];
}

enum status schedule_parse(const char *name, enum schedule_kind *out, struct error *err)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum schedule_kind)i;
            return STATUS_OK;
        }
    return error_set(err, STATUS_CONFIG, "there is no schedule \"%s\"; there are cosine, linear, constant and wsd",
                     name);
}

/* From `from` at progress 0 to `to` at 1. */
static double line(double from, double to, double progress)
{
    return from + (to - from) * progress;
}

double schedule_lr(const struct schedule *s, uint64_t step, uint64_t steps)
{
    if (step < s->warmup_steps)
        return s->lr * ((double)(step + 1) / (double)(s->warmup_steps + 1));
    uint64_t last = steps > 0 ? steps - 1 : 0;
    if (step > last) /* asked for what lies beyond the run: its end, or that of a warm-up that outlasts it */
        step = last > s->warmup_steps ? last : s->warmup_steps;
    /* Position between the first step after warm-up and the last; a run of one such step stays at lr. */
    double progress = 0;
    if (last > s->warmup_steps)
        progress = (double)(step - s->warmup_steps) / (double)(last - s->warmup_steps);
    switch (s->kind) {
    case SCHEDULE_CONSTANT:
        return s->lr;
    case SCHEDULE_LINEAR:
        return line(s->lr, s->min_lr, progress);
    case SCHEDULE_COSINE:
        return s->min_lr + (s->lr - s->min_lr) * (0.5 * (1.0 + det_cospi(progress)));
    case SCHEDULE_WSD: {
        uint64_t decay = (uint64_t)(s->decay_fraction * (double)steps + 0.5);
        uint64_t first = decay < steps ? steps - decay : 0;
        if (step < first || decay == 0)
            return s->lr;
        if (step >= last)
            return s->min_lr;
        return line(s->lr, s->min_lr, (double)(step - first + 1) / (double)(steps - first));
    }
    }
    return s->lr;
}
