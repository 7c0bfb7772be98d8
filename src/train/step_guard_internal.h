/* SPDX-License-Identifier: MIT
 * Who may touch the weights: the update of a step, or one who saves them while the team is silent (train/watchdog.h).
 *
 * The root takes the weights for the update before anybody writes one, and the driving thread gives them back when the run
 * is over.  A watchdog that takes them first keeps them: a team that wakes up finds the update refused.
 */
#ifndef TRAIN_STEP_GUARD_INTERNAL_H
#define TRAIN_STEP_GUARD_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct mutex;
struct cond;

enum { WEIGHTS_REST, WEIGHTS_UPDATING, WEIGHTS_SEIZED };

struct step_guard {
    atomic_int weights;
    _Atomic uint64_t step; /* whole ones, for show; relaxed */
    bool held;             /* guarded by the system's mutex: the driving thread stays where a run ends */
};

/* The root, before the update: false where the weights are seized. */
bool step_guard__may_update(struct step_guard *guard);

/* The driving thread, around each run of the team. */
void step_guard__run_begins(struct step_guard *guard, uint64_t step);
void step_guard__run_ended(struct step_guard *guard, struct mutex *mu, struct cond *changed);

/* The watchdog: holds the driving thread and takes the weights.  False: they are being updated. */
bool step_guard__seize(struct step_guard *guard, struct mutex *mu);
void step_guard__release(struct step_guard *guard, struct mutex *mu, struct cond *changed);

#endif
