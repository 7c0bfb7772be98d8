/* SPDX-License-Identifier: MIT
 * train/spike_events.h - what metrics.jsonl says of spikes (docs/run-directory.md).
 *
 * The rule is a function of the run's history, so a resumed or a replayed run decides by itself; the events are for
 * people.
 */
#ifndef TRAIN_SPIKE_EVENTS_H
#define TRAIN_SPIKE_EVENTS_H

#include "base/buffer.h"
#include "base/status.h"
#include "train/metrics.h"
#include "train/training.h"

/* After a step, before its line: {"step": K+1, "event": "rollback", …} where it began with one. */
enum status metrics_write_rollback(struct metrics *metrics, const struct training *training, struct error *err);

/* After a step's line: {"step": N, "event": "skip", …} where its update was left out, "spike" where the run is about to be
 * rolled back, which puts the line aside.  A sentence for people is appended
 * to *say then. */
enum status metrics_write_skip(struct metrics *metrics, const struct training *training, struct buffer *say,
                               struct error *err);

#endif
