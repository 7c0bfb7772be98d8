/* SPDX-License-Identifier: MIT
 * train/threaded_training.h - the threaded training system: N spheres train one model, epoch by epoch.
 *
 * Made for an application thread that drives epochs while another thread steers through training_control.  The
 * weights after a step do not depend on the number of spheres, the back end, or when control came.
 */
#ifndef TRAIN_THREADED_TRAINING_H
#define TRAIN_THREADED_TRAINING_H

#include "base/buffer.h"
#include "base/status.h"
#include "data/batch_iterator.h"
#include "runtime/cancel.h"
#include "runtime/sphere.h"
#include "runtime/team.h"
#include "train/stats_report.h"
#include "train/step_profile.h"
#include "train/training.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct threaded_training;

/* num_threads spheres (0 = auto-detect, 1 … 1885) on the pthread back end.  Borrows both arguments, which must
 * outlive the system; the iterator is moved to the training's place in the data.  NULL on failure: the sentence is in
 * threaded_training_create_error (of this thread). */
struct threaded_training *threaded_training_create(struct training *training, struct batch_iterator *batch_iterator,
                                                   int num_threads);
const char *threaded_training_create_error(void);

struct threaded_training_options {
    int num_threads;           /* as above */
    enum team_backend backend;
    struct pool *pool;         /* whose threads the spheres are (runtime/team.h); NULL = threads of their own */
    const struct cancel *stop; /* as TRAINING_STOP from its cancellation on; may be NULL.  Outlives the system */
    const struct cancel *cancel; /* as TRAINING_CANCEL, likewise */
};

/* The same with more to say and the error returned. */
struct threaded_training *threaded_training_create_with(struct training *training,
                                                        struct batch_iterator *batch_iterator,
                                                        const struct threaded_training_options *options,
                                                        struct error *err);
void threaded_training_free(struct threaded_training *system); /* NULL is fine */

/* Trains until the running epoch is over (each window served), settings->steps are done, or control says so.
 * STATUS_OK: the epoch or the steps are done, or a stop was asked; STATUS_CANCELLED: given up inside a step, the
 * weights are those of the last whole step; STATUS_NONFINITE: likewise, naming step and samples. */
enum status threaded_train_epoch(struct threaded_training *system);
const char *threaded_training_error(const struct threaded_training *system); /* sentence of the last failure */

/* One optimizer step, for callers that want their own loop. */
enum status threaded_train_step(struct threaded_training *system);

/* Mean loss over validation: `batches` leaves of micro_batch windows, 0 = all.  NaN when there is no validation part.
 * STATUS_CANCELLED, between two leaves, when a stop or a cancellation came. */
enum status threaded_training_evaluate(struct threaded_training *system, uint64_t batches, double *val_loss);

/* Table of the spheres to stdout: groups, levels and whole; every sphere when there are few. */
void threaded_training_print_stats(struct threaded_training *system);
enum status threaded_training_get_sphere_stats(struct threaded_training *system, int sphere_id,
                                               struct sphere_stats *out);
int threaded_training_get_num_workers(struct threaded_training *system);

/* A snapshot of all of them, for stats.json; release it with stats_report_release.  From the driving thread. */
enum status threaded_training_report(const struct threaded_training *system, struct stats_report *out,
                                     struct error *err);

/* Measures what the spheres could do at the best (ops/peak.h), in some 15 ms, and from then on anew with each other number of
 * them.  From the driving thread, between steps.  STATUS_NOMEM, STATUS_SYSTEM: it is not known then. */
enum status threaded_training_measure_peak(struct threaded_training *system, struct error *err);

/* What share of that a speed is, by the operations that `cllm plan` counts for a token, those run again included; 0: not
 * measured.  From the driving thread. */
double threaded_training_peak_share(const struct threaded_training *system, double tokens_per_s);

/* Profiles the steps behind the next `skip`, and keeps the first `trace` of those for the time line.  At most once, from
 * the driving thread, before it drives.  STATUS_NOMEM. */
enum status threaded_training_profile(struct threaded_training *system, uint64_t skip, uint64_t trace,
                                      struct error *err);
/* Borrowed until the system is freed; all 0 where none was asked for.  From the driving thread. */
const struct step_profile *threaded_training_profiled(const struct threaded_training *system);

int threaded_training_width(struct threaded_training *system); /* spheres that can find work in this model */

/* Trains on with another number of spheres, 1 … 1885 (0 = auto-detect), by the driving thread between two steps; the
 * weights are those of any other number.  A pool that was given gets as many threads for gangs, no fewer than it has
 * workers: nobody else may have a wider team on it then.  The statistics begin anew.  STATUS_CONFIG: a number that cannot be,
 * or more than one with the serial back end; STATUS_NOMEM, STATUS_SYSTEM: no memory for the scratch of so many, or no threads;
 * STATUS_MISUSE: profiled.  Then all is as it was. */
enum status threaded_training_set_spheres(struct threaded_training *system, int num_spheres, struct error *err);

/* Between two steps the driving thread is about to run another team (a sample's), for the watchdog to look at in place of the
 * system's: its runs write nothing of the training's.  NULL: that is over; waits while a watchdog saves. */
void threaded_training_watch_also(struct threaded_training *system, struct team *team);

/* Control, from any thread. */
enum training_command {
    TRAINING_PAUSE,      /* after the present step, until RESUME */
    TRAINING_RESUME,
    TRAINING_SAVE_NOW,   /* after the present step; when paused, after the first one that follows */
    TRAINING_STOP,       /* after the present step, at once in an evaluation; threaded_train_epoch returns STATUS_OK, now
                          * and from then on */
    TRAINING_CANCEL      /* at once, inside the step (between two leaves), a pause or an evaluation */
};
void threaded_training_command(struct threaded_training *system, enum training_command command);
bool threaded_training_paused(const struct threaded_training *system);
bool threaded_training_pause_wished(struct threaded_training *system); /* by the last PAUSE or RESUME */
bool threaded_training_stopping(const struct threaded_training *system); /* STOP or CANCEL was asked */

/* Called by the driving thread after each step, before control is looked at.  A status other than OK ends the
 * epoch with it.  `save_asked` is set when SAVE_NOW came. */
typedef enum status training_step_fn(void *ctx, struct threaded_training *system, bool save_asked, struct error *err);
void threaded_training_on_step(struct threaded_training *system, training_step_fn *fn, void *ctx);

/* Called by the driving thread in threaded_train_epoch before each step; during a pause at once, some times a second, and
 * whenever threaded_training_wake (any thread) was called.  It may do anything that may be done between two steps.  A
 * status other than OK ends the epoch with it. */
typedef enum status training_control_fn(void *ctx, struct threaded_training *system, struct error *err);
void threaded_training_on_control(struct threaded_training *system, training_control_fn *fn, void *ctx);
void threaded_training_wake(struct threaded_training *system);

#endif
