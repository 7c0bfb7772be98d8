/* SPDX-License-Identifier: MIT */
#include "train/time_plan.h"

/* Steps in (from, to] that are a multiple of `every`, and the last one. */
static uint64_t times_due(uint64_t every, uint64_t from, uint64_t to)
{
    if (from >= to)
        return 0;
    return every == 0 ? 1 : to / every - from / every + (to % every != 0);
}

/* As threaded_training_evaluate cuts it: a rest costs two leaves. */
static uint64_t leaves_of(const struct train_settings *s, uint64_t windows)
{
    const uint64_t whole = windows / s->micro_batch;
    if (windows == 0 || (s->eval_batches > 0 && s->eval_batches <= whole))
        return s->eval_batches;
    return whole + (windows % s->micro_batch ? 2 : 0);
}

void time_plan_make(struct time_plan *out, const struct train_settings *s, uint64_t step, uint64_t val_windows,
                    const struct time_measured *measured)
{
    const double leaves = (double)(s->batch_size / s->micro_batch);
    const double eval_leaf = measured->eval_leaf > 0 ? measured->eval_leaf : measured->step / leaves / 3;
    *out = (struct time_plan){.steps = step < s->steps ? s->steps - step : 0,
                              .eval_leaves = leaves_of(s, val_windows),
                              .saves = times_due(s->save_every, step, s->steps)};
    if (out->eval_leaves > 0)
        out->evaluations = times_due(s->eval_every, step, s->steps);
    out->step_s = (double)out->steps * measured->step;
    out->eval_s = (double)out->evaluations * (double)out->eval_leaves * eval_leaf;
    out->save_s = (double)out->saves * measured->save;
    out->total_s = out->step_s + out->eval_s + out->save_s;
}

double time_plan_median(const double s[3])
{
    const double low = s[0] < s[1] ? s[0] : s[1], high = s[0] < s[1] ? s[1] : s[0];
    return s[2] < low ? low : s[2] > high ? high : s[2];
}
