/* SPDX-License-Identifier: MIT */
#include "train/time_plan.h"

#include "base/human.h"

#include <inttypes.h>

/* Multiples of `every` in (from, to]; every 0: none. */
static uint64_t multiples(uint64_t every, uint64_t from, uint64_t to)
{
    return every > 0 && from < to ? to / every - from / every : 0;
}

/* The least common multiple; 0 where one is 0, or where it is beyond all steps. */
static uint64_t common(uint64_t a, uint64_t b)
{
    uint64_t x = a, y = b, least;
    while (y) {
        const uint64_t rest = x % y;
        x = y;
        y = rest;
    }
    return a > 0 && b > 0 && !__builtin_mul_overflow(a / x, b, &least) ? least : 0;
}

/* Multiples of a or b in (from, to]. */
static uint64_t multiples_of_either(uint64_t a, uint64_t b, uint64_t from, uint64_t to)
{
    return multiples(a, from, to) + multiples(b, from, to) - multiples(common(a, b), from, to);
}

/* Multiples of c in (from, to] that are none of a or b. */
static uint64_t multiples_beside(uint64_t c, uint64_t a, uint64_t b, uint64_t from, uint64_t to)
{
    return multiples(c, from, to) - multiples_of_either(common(c, a), common(c, b), from, to);
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
    *out = (struct time_plan){.eval_leaves = leaves_of(s, val_windows)};
    if (step >= s->steps)
        return;
    const uint64_t before_last = s->steps - 1;
    out->steps = s->steps - step;
    out->step_s = (double)out->steps * measured->step;
    if (out->eval_leaves > 0)
        out->evaluations = multiples(s->eval_every, step, before_last) + 1;
    out->eval_s = (double)out->evaluations * (double)out->eval_leaves * eval_leaf;
    out->samples = multiples(s->sample_every, step, before_last);
    out->sample_s = (double)out->samples * measured->sample;
    uint64_t on_the_way = multiples_of_either(s->save_every, s->keep_every, step, before_last);
    if (s->save_best && out->evaluations > 0)
        on_the_way += multiples_beside(s->eval_every, s->save_every, s->keep_every, step, before_last);
    if (s->save_seconds > 0)
        on_the_way += (uint64_t)((out->step_s + out->eval_s + out->sample_s) / (double)s->save_seconds);
    out->saves = on_the_way + 1;
    out->save_s = (double)(s->save_mode == SAVE_OVERLAPPED ? 1 : out->saves) * measured->save;
    out->total_s = out->step_s + out->eval_s + out->save_s + out->sample_s;
}

void time_plan_text(const struct time_plan *p, const struct time_measured *measured, struct buffer *out)
{
    struct human a, b, c;
    buffer_printf(out, "a step takes %s: %s for %s steps", human_seconds(&a, measured->step),
                  human_duration(&b, p->step_s), human_whole(&c, p->steps));
    if (p->evaluations)
        buffer_printf(out, ", %s for %" PRIu64 " evaluation%s", human_duration(&a, p->eval_s), p->evaluations,
                      p->evaluations == 1 ? "" : "s");
    if (p->samples && measured->sample > 0)
        buffer_printf(out, ", %s for %" PRIu64 " sample%s", human_duration(&a, p->sample_s), p->samples,
                      p->samples == 1 ? "" : "s");
    if (p->saves && measured->save > 0)
        buffer_printf(out, ", %s for %" PRIu64 " checkpoint%s", human_duration(&a, p->save_s), p->saves,
                      p->saves == 1 ? "" : "s");
    buffer_printf(out, "; %s in all", human_duration(&a, p->total_s));
}

double time_plan_median(const double s[3])
{
    const double low = s[0] < s[1] ? s[0] : s[1], high = s[0] < s[1] ? s[1] : s[0];
    return s[2] < low ? low : s[2] > high ? high : s[2];
}

uint64_t time_plan_checkpoints(const struct train_settings *s)
{
    const uint64_t on_the_way = multiples_of_either(s->save_every, s->keep_every, 0, s->steps - 1);
    const uint64_t of_evaluations = s->save_best ? multiples(s->eval_every, 0, s->steps - 1) : 0;
    /* and those of step 0 and of the end */
    const uint64_t made = s->save_seconds ? UINT64_MAX : on_the_way + of_evaluations + 2;
    /* besides the newest: the best by validation loss, and the one that a rollback would go to */
    const uint64_t besides = (s->val_fraction > 0) + (s->spikes.policy == SPIKE_ROLLBACK);
    const uint64_t kept = s->keep + 1 + multiples(s->keep_every, 0, s->steps) + besides;
    return kept < made ? kept : made;
}
