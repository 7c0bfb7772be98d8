/* SPDX-License-Identifier: MIT
 * train/checkpoint.h - a training on disk, whole or not at all.  docs/run-directory.md has the format.
 *
 * RUN/checkpoints/step-00000100/ is written under a temporary name; every file is checksummed and synced, the
 * manifest written last, the directory renamed, the parent synced, `latest` moved.  Loading verifies every file; a
 * damaged checkpoint is named and the one before it used.
 */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include "base/buffer.h"
#include "base/status.h"
#include "train/training.h"

#include <stddef.h>
#include <stdint.h>

/* Files that go into the model directory beside ours (tokenizer.json …): name and content. */
struct checkpoint_extra {
    const char *name;
    const void *data;
    size_t size_bytes;
};

/* Saves under run_directory/checkpoints and removes the oldest beyond `keep`.  The path is appended to *path (may
 * be NULL).  STATUS_IO: what failed and where; earlier checkpoints are untouched and no temporary is left. */
enum status checkpoint_save(struct training *training, const char *run_directory, uint32_t settings_hash,
                            const struct checkpoint_extra *extras, size_t num_extras, struct buffer *path,
                            struct error *err);

/* Finds the newest checkpoint that verifies and loads it into `training` (made with the same settings).  *warning
 * (may be NULL) gets one line per damaged one passed over.  STATUS_CONFIG: another settings hash.  After a failure
 * `training` is good for nothing but training_free. */
enum status checkpoint_load_latest(struct training *training, const char *run_directory, uint32_t settings_hash,
                                   struct buffer *warning, struct error *err);

/* After loading, before the first save: what a process that died in the middle of a save left to do.  `latest` names the checkpoint
 * of the training's step, those beyond `keep` go, and so does what lies under temporary names.
 * The caller holds the lock of the run, so no other process saves there. */
enum status checkpoint_tidy(const struct training *training, const char *run_directory, struct error *err);

/* The newest complete checkpoint's model directory, verified; for generate and eval on a run. */
enum status checkpoint_find_latest(const char *run_directory, struct buffer *path, struct buffer *warning,
                                   struct error *err);

/* Bytes of all files of a checkpoint's directory, by its manifest; 0 where that cannot be read. */
uint64_t checkpoint_size_bytes(const char *checkpoint);

/* crc32 of the weights (upper half) and of the moments (lower half), in the order of the parameters: the oracle of
 * determinism.  Any time the team is at rest. */
uint64_t training_state_hash(const struct training *training);

#endif
