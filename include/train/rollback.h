/* SPDX-License-Identifier: MIT
 * train/rollback.h - a run goes back to before a spike (docs/watching.md).
 *
 * A step N spiked, and the settings say rollback.  The run goes back to the state after step K = N - 1 - margin (0 where
 * that is less; and not further than the K of the rollback before), and step K + 1 takes the samples that follow those
 * of step N.  There need be no checkpoint of step K:
 * the newest one up to it that is whole is loaded, and the steps from there to K are made again, to the same bits.  So
 * where a rollback leads is a function of the run's history, however often it was saved, stopped or resumed; and a
 * process that dies in the middle of one meets the same spike and the same rollback when the run is resumed.
 */
#ifndef TRAIN_ROLLBACK_H
#define TRAIN_ROLLBACK_H

#include "base/buffer.h"
#include "base/status.h"
#include "train/metrics.h"
#include "train/training.h"

#include <stdbool.h>
#include <stdint.h>

/* The step just made spiked under SPIKE_ROLLBACK, and the training is to be rolled back before anything else is done. */
bool training_wants_rollback(const struct training *training);

/* Rolls back.  The lines of `metrics` behind step K are copied to RUN/metrics.rolled-back-R.jsonl, R being the number of the
 * rollback, and those behind the loaded step are cut off; checkpoints behind K, which belong to the life that is given
 * up, are removed.  *loaded is the loaded step, *after_step K; *warning (may be NULL) gets a line for each damaged checkpoint passed over.
 *
 * STATUS_IO, STATUS_FORMAT, STATUS_NOMEM: one sentence.  When no checkpoint up to K could be loaded nothing on disk has
 * changed but for the copy of the lines, and `training` is good for nothing but training_free. */
enum status training_roll_back(struct training *training, const char *run_directory, uint32_t settings_hash,
                               struct metrics *metrics, uint64_t *loaded, uint64_t *after_step, struct buffer *warning,
                               struct error *err);

#endif
