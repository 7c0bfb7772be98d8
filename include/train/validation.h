/* SPDX-License-Identifier: MIT
 * train/validation.h - what a run's evaluations say so far: the best one, and how many came after it.
 *
 * It is taken from metrics.jsonl, the truth of the run, which a resume cuts to the lines of its checkpoint; so a resumed run
 * stops where one that never was interrupted stops.  Evaluations count that the settings ask for, at multiples of
 * `every`; others, asked for by hand, do not.  Plain data; one thread at a time.
 */
#ifndef TRAIN_VALIDATION_H
#define TRAIN_VALIDATION_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

struct validation {
    uint64_t every;      /* steps; 0: none counts */
    uint64_t last_step;  /* of those that count; 0: there was none */
    uint64_t best_step;  /* 0: none so far */
    double best_loss;    /* NaN: none */
    uint64_t since_best; /* evaluations behind it, all of them where there is no best */
};

/* The evaluations in the metrics file `path`; an absent one has none.  STATUS_IO, STATUS_NOMEM, STATUS_FORMAT. */
enum status validation_read(struct validation *out, const char *path, uint64_t every, struct error *err);

/* One more; steps rise.  True where it is the best so far: less than all before.  NaN is never. */
bool validation_note(struct validation *v, uint64_t step, double loss);

/* Whether `limit` evaluations (0: no limit) in a row brought no new best. */
bool validation_is_over(const struct validation *v, uint64_t limit);

#endif
