/* SPDX-License-Identifier: MIT
 * What a threaded training is made of, for the files that share its work: threaded_training.c (making, driving, control,
 * statistics), training_step.c, evaluation.c, and the watchdog, which looks at it from outside.
 */
#ifndef TRAIN_THREADED_TRAINING_INTERNAL_H
#define TRAIN_THREADED_TRAINING_INTERNAL_H

#include "runtime/cancel.h"
#include "train/step_guard_internal.h"
#include "train/threaded_training.h"
#include "train/training_internal.h"

#include <stdatomic.h>

struct threaded_training {
    struct training *training;
    struct batch_iterator *iterator;
    struct team *team;
    struct pool *pool; /* the caller's, or NULL */
    int width;
    uint64_t start_ns;
    double peak_gflops; /* of the driving thread; 0: not measured */
    struct error error; /* of the last failure */
    struct step_profile profile;
    training_step_fn *on_step;
    void *on_step_ctx;

    training_control_fn *on_control;
    void *on_control_ctx;

    struct step_guard guard;
    struct mutex *mu;
    struct cond *changed;
    bool pause, save; /* guarded by mu */
    bool woken;       /* likewise: on_control is to look */
    struct team *guest; /* likewise; NULL: none */
    atomic_bool paused;
    struct cancel *stop, *cancel; /* ours, set to cancelled by command */
    const struct cancel *outer_stop, *outer_cancel;
};

static inline bool training__is_stopped(const struct threaded_training *s)
{
    return cancel_check(s->stop) != STATUS_OK || cancel_check(s->outer_stop) != STATUS_OK;
}

static inline bool training__is_cancelled(const struct threaded_training *s)
{
    return cancel_check(s->cancel) != STATUS_OK || cancel_check(s->outer_cancel) != STATUS_OK;
}

/* A place where all members agree whether to go on: STATUS_CANCELLED for all when the root saw a cancellation. */
enum status training__verdict(struct sphere *me, struct threaded_training *system);

/* Runs a team function on the spheres at work between two steps; the driving thread. */
enum status training__run_team(struct threaded_training *system, void (*fn)(struct sphere *me, void *arg), void *arg);

/* For the watchdog.  The team's pulse, whole steps done, and while a run is on who is behind (true).  Any thread. */
struct team_pulse;
struct heartbeat;
bool threaded_training__look(struct threaded_training *system, struct team_pulse *pulse, uint64_t *step,
                             struct heartbeat *laggard);

/* Whether that is the team of threaded_training_watch_also. */
bool threaded_training__watches_guest(struct threaded_training *system);

/* Member `id` of the run that is on; false: there is no such member, or no run. */
bool threaded_training__heartbeat(struct threaded_training *system, int id, struct heartbeat *out);

/* The run `run` stands still after `beats`: from now on until _release the driving thread stays in it, and where *whole the
 * weights stay those of step *step.  False, and nothing is held: it moved. */
bool threaded_training__seize(struct threaded_training *system, uint64_t run, uint64_t beats, bool *whole,
                              uint64_t *step);
void threaded_training__release(struct threaded_training *system);

#endif
