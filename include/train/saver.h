/* SPDX-License-Identifier: MIT
 * train/saver.h - checkpoints beside the training: the spheres copy weights, moments and the trainer's state between two
 * steps, a plain thread writes, checksums and syncs the copy while they go on.
 *
 * One save at a time: who begins another waits for the one before.  A save that fails leaves earlier checkpoints as they
 * were; what came of it is told by saver_take, and whether the training goes on is the caller's to decide.
 *
 * One thread calls, the one that drives the training.  Nothing but a save reads or changes RUN/checkpoints while one is
 * under way: saver_wait before loading one.
 */
#ifndef TRAIN_SAVER_H
#define TRAIN_SAVER_H

#include "base/buffer.h"
#include "base/status.h"
#include "train/checkpoint.h"
#include "train/threaded_training.h"
#include "train/training.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct saver_options {
    struct training *training;
    struct threaded_training *system;
    const char *run_directory;
    uint32_t settings_hash;
    const struct checkpoint_extra *extras;
    size_t num_extras;

    /* Called before each checkpoint is written, by the thread that writes it: what must be on the disk by then (the
     * record of its steps).  NULL: nothing. */
    enum status (*before)(void *ctx, struct error *err);
    void *ctx;
};

/* What came of a save. */
struct save_outcome {
    enum status status;
    struct error error;
    bool record_failed; /* it was `before` that failed */
    bool overlapped;
    uint64_t step;
    double snapshot_s;  /* training stood still for the copy … */
    double waited_s;    /* … for the save before (told by the save that was begun thereafter) … */
    double write_s;     /* … and, unless overlapped, for the writing */
    uint64_t size_bytes; /* of all its files */
    struct buffer path; /* of the checkpoint; the taker's to release */
};

/* Seconds of training that it took. */
double save_outcome_lost(const struct save_outcome *outcome);

struct saver;

/* A sign of life of the writing: each MiB, before each sync, and at the beginning.  Any thread. */
struct save_pulse {
    bool writing;
    uint64_t saves; /* begun so far */
    uint64_t step;
    uint64_t beats;
    int tid;
};
void saver_pulse(struct saver *saver, struct save_pulse *out);

/* Borrows all of the options' pointers.  With SAVE_OVERLAPPED and saves due on the way it reserves the copy, which the spheres
 * touch by taking a first one, and starts the thread; otherwise every save is blocking.  STATUS_NOMEM, STATUS_SYSTEM. */
struct saver *saver_new(const struct saver_options *options, struct error *err);
void saver_free(struct saver *saver); /* waits for a save under way; NULL is fine */

/* Begins to save the present step.  `overlap` false, or a saver without a copy: it is over on return, well or not.
 * Waits for the save before; its outcome must be taken by then.  Whatever goes wrong is in the outcome. */
void saver_begin(struct saver *saver, bool overlap);

/* Waits until no save is under way. */
void saver_wait(struct saver *saver);

/* True when a save is over whose outcome was not taken yet; the outcome is then the caller's. */
bool saver_take(struct saver *saver, struct save_outcome *out);

#endif
