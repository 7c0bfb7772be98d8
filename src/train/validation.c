/* SPDX-License-Identifier: MIT */
#include "train/validation.h"

#include "train/metrics_log.h"

#include <math.h>

bool validation_note(struct validation *v, uint64_t step, double loss)
{
    if (v->every == 0 || step % v->every != 0 || step <= v->last_step)
        return false;
    v->last_step = step;
    if (isnan(loss) || loss >= v->best_loss) {
        v->since_best++;
        return false;
    }
    v->best_step = step;
    v->best_loss = loss;
    v->since_best = 0;
    return true;
}

enum status validation_read(struct validation *out, const char *path, uint64_t every, struct error *err)
{
    struct metrics_log log;
    *out = (struct validation){.every = every, .best_loss = NAN};
    const enum status st = metrics_log_read(path, &log, err);
    if (st != STATUS_OK)
        return st;
    for (size_t i = 0; i < log.num_vals; i++)
        validation_note(out, log.vals[i].step, log.vals[i].loss);
    metrics_log_release(&log);
    return STATUS_OK;
}

bool validation_is_over(const struct validation *v, uint64_t limit)
{
    return limit > 0 && v->since_best >= limit;
}
