/* SPDX-License-Identifier: MIT
 * train/training_fit.h - settings that fit a given memory.
 *
 * Three settings trade memory for time.  Two leave the bits as they are and are chosen first, the cheaper one before:
 * checkpoints written without a copy of the state (SAVE_BLOCKING), for which training waits at each; then layers run again
 * (settings.h: recompute), as few as will do.  Only when all of them are not enough comes a smaller micro-batch, which
 * reaches the bits.  A function of the settings, the number of spheres and the bytes alone: what the
 * program itself takes counts as TRAINING_FIT_PROGRAM_BYTES, whatever it is at the moment.  Any thread.
 */
#ifndef TRAIN_TRAINING_FIT_H
#define TRAIN_TRAINING_FIT_H

#include "train/training.h"

#include <stdbool.h>
#include <stddef.h>

enum { TRAINING_FIT_PROGRAM_BYTES = 32 << 20 };

/* What may be chosen; the rest stays as it is. */
struct training_fit {
    bool recompute;
    bool micro_batch; /* only ever smaller */
    bool save_mode;   /* to SAVE_BLOCKING */
};

/* Sets recompute, micro_batch and save_mode of *settings so that the plan of num_spheres (0 = auto-detected) is at most `bytes`, and
 * *planned (may be NULL) to that plan.  STATUS_NOMEM: nothing fits; the settings are as they were and the sentence says the
 * least that would be needed.  STATUS_CONFIG: the settings are wrong. */
enum status training_fit(struct train_settings *settings, int num_spheres, size_t bytes,
                         const struct training_fit *choose, struct training_memory *planned, struct error *err);

/* What `--fit auto` stands for: of the memory available now fifteen sixteenths, since the rest of the machine moves
 * too; 0: not known. */
size_t training_fit_available(void);

#endif
