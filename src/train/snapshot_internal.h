/* SPDX-License-Identifier: MIT
 * A training frozen between two steps, so that it can be saved while the spheres go on.
 *
 * Everything that a checkpoint holds is either plain data in struct training, which is copied with it, or one of the
 * runs of floats and bytes that the spheres copy here: the weights and the optimizer's states.  So `frozen` can be saved
 * as any training can, by code that does not know of snapshots; it can be used for nothing else.
 */
#ifndef TRAIN_SNAPSHOT_INTERNAL_H
#define TRAIN_SNAPSHOT_INTERNAL_H

#include "train/threaded_training.h"
#include "train/training_internal.h"

struct snapshot {
    struct training frozen;
    struct arena arena; /* the optimizer's states */
    size_t state_bytes[OPTIMIZER_STATES_MAX];
};

/* Of a training with these settings; 0 when it never saves beside its steps. */
size_t snapshot__bytes(const struct train_settings *settings);

/* Reserves the memory; the first copy touches it. */
enum status snapshot__init(struct snapshot *snapshot, const struct training *t, struct error *err);
void snapshot__release(struct snapshot *snapshot); /* fine on a zeroed struct */

/* Copies, by the spheres of the system that drives `t`.  The driving thread, between two steps.  Allocates nothing. */
enum status snapshot__take(struct snapshot *snapshot, struct threaded_training *system, const struct training *t);

#endif
