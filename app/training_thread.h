/* SPDX-License-Identifier: MIT
 * app/training_thread.h - the application thread: drives a training while the main thread keeps the terminal.
 *
 * The thread runs epochs and does what is due after each step, in this order: metrics, evaluation, sample,
 * checkpoint, statistics.  What it has to say it leaves as lines for the main thread, which alone writes to the
 * terminal.  Control goes past it, through threaded_training_command.
 */
#ifndef APP_TRAINING_THREAD_H
#define APP_TRAINING_THREAD_H

#include "app/crew.h"
#include "app/run_saver.h"
#include "base/buffer.h"
#include "base/status.h"
#include "infer/generator.h"
#include "tokenizer/tokenizer.h"
#include "train/metrics.h"
#include "train/run_directory.h"
#include "train/run_events.h"
#include "train/threaded_training.h"
#include "train/validation.h"
#include "train/time_plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The evaluations so far say that the run is over (--early-stop). */
struct training_job;
bool training_thread_stopped_early(const struct training_job *job);

/* What the thread works with.  All borrowed; nobody else touches any of it while the thread runs, but for commands to
 * `system`. */
struct training_job {
    struct training *training;
    struct batch_iterator *iterator;
    struct threaded_training *system;
    struct run_directory *run;
    struct metrics *metrics;
    const struct tokenizer *tokenizer; /* may be NULL */
    struct validation validation; /* of the lines that the metrics have */
    uint32_t settings_hash;
    struct saver *saver;
    struct crew *crew;         /* for samples, which its token gives up; has as many spheres as `system` */
    struct cancel *stop;       /* the token that `system` has as its stop */
    const struct run_events *waiting; /* to be applied again when their step comes; may be NULL */
    const char *sample_prompt; /* NULL: the usual one */
    size_t sample_tokens;
    struct time_measured measured; /* but for the step, which the thread measures */
    uint64_t log_every;        /* steps between lines; 0: the main thread prints what it likes from snapshots */
    void (*done)(void);        /* called last in the thread */
};

/* Where the training is.  Plain data. */
struct training_snapshot {
    uint64_t step, steps, tokens, epoch;
    double loss, lr, grad_norm, tokens_per_s, wait_share;
    double val_loss;       /* NaN before the first evaluation */
    uint64_t val_step;
    double seconds;        /* of training, those of earlier sessions included */
    double eta_seconds;    /* NaN before it can be told */
    const char *busy;      /* "evaluating", "sampling", "saving", or NULL while stepping */
    bool done;
};

/* What came of it; valid after training_thread_join. */
struct training_result {
    enum status status;
    struct error error;
    uint64_t first_step, last_step, tokens; /* tokens of this process */
    double step_seconds;                    /* time in steps */
    double seconds;
    double loss, val_loss;
    uint64_t val_step;
    struct stats_saving saving;
    struct buffer checkpoint;               /* path of the last one, or empty */
};

/* The training was stopped during the evaluation of the step it stands at; the thread begins with that, then. */
bool training_thread_owes_evaluation(const struct training_job *job);

struct training_thread;

/* Borrows `job`.  NULL with *err: no memory or no thread. */
struct training_thread *training_thread_start(const struct training_job *job, struct error *err);

/* Any thread. */
void training_thread_snapshot(struct training_thread *thread, struct training_snapshot *out);

/* Moves the lines written so far to `out` (appends). */
void training_thread_take_lines(struct training_thread *thread, struct buffer *out);

/* Of these lines the ones to be said even where nothing else is, such as that a save failed. */
void training_thread_take_warnings(struct training_thread *thread, struct buffer *out);

/* A pause is over: the time up to now is nobody's step. */
void training_thread_resumed(struct training_thread *thread);

/* Waits for the end, frees the thread. */
void training_thread_join(struct training_thread *thread, struct training_result *result);

/* "step 120/2000  loss 1.93 …" of a snapshot, without a newline. */
void training_line(const struct training_snapshot *s, struct buffer *out);

#endif
