/* SPDX-License-Identifier: MIT
 * train/step_profile.h - where the time of training steps went, by phase and sphere: a table, and a time line.
 *
 * Phases are those that the decoder and threaded_train_step mark (docs/architecture.md has their order).  Time of the
 * spheres is work in a phase or waiting at a barrier in it; what a step takes outside the team, which is reading the
 * batch, is a line of its own; all together is the step.  By the thread that drives the steps.
 */
#ifndef TRAIN_STEP_PROFILE_H
#define TRAIN_STEP_PROFILE_H

#include "base/buffer.h"
#include "base/status.h"
#include "runtime/profile.h"

#include <stdbool.h>
#include <stdint.h>

struct team;

/* Of the steps profiled so far.  Open for reading. */
struct step_profile {
    struct team *team; /* borrowed; NULL: not asked for */
    int width;
    uint64_t skip, trace; /* steps still to come that are not booked; after those, that go on the time line */
    uint64_t first_step, steps;
    uint64_t step_ns;  /* all of them, batches included */
    uint64_t start_ns; /* of the present one */
};

/* Makes room for a profile of the steps behind the next `skip`, of which the first `trace` go on the time line too, as
 * far as a fixed number of events has room for them.  Once per team.  STATUS_NOMEM with *err filled. */
enum status step_profile_init(struct step_profile *profile, struct team *team, int width, uint64_t skip,
                              uint64_t trace, struct error *err);

/* Around a step; nothing on a zeroed profile.  `step` counts from 1. */
void step_profile_begin(struct step_profile *profile);
void step_profile_end(struct step_profile *profile, uint64_t step);

/* The sum of a phase over the spheres, in the order in which phases are first met; their number is returned. */
int step_profile_phases(const struct step_profile *profile, struct phase_total out[PROFILE_MAX_PHASES]);

/* Of all spheres together while they work in the phase and do not wait; 0 for a phase without counted operations. */
double step_profile_gflops(const struct step_profile *profile, const struct phase_total *phase);

/* Shares of the profiled steps' time, 0 … 1, of the spheres' total. */
double step_profile_share(const struct step_profile *profile, uint64_t spheres_ns);

/* Appends the table, with shares of `peak_gflops` where that is not 0; then, if asked, a line for each phase of each
 * sphere. */
void step_profile_table(const struct step_profile *profile, double peak_gflops, bool spheres, struct buffer *out);

/* Appends the time line in the trace event format of Chrome's and Perfetto's viewers (complete events, microseconds from
 * the first): a track for each sphere, an event for each stretch of a phase or of waiting. */
void step_profile_trace(const struct step_profile *profile, struct buffer *out);

#endif
