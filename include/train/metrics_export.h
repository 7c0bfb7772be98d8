/* SPDX-License-Identifier: MIT
 * train/metrics_export.h - a run's metrics for other programs: CSV, and TensorBoard's event files.
 */
#ifndef TRAIN_METRICS_EXPORT_H
#define TRAIN_METRICS_EXPORT_H

#include "base/buffer.h"
#include "train/metrics_log.h"

/* RFC 4180 with a head: step, tokens, loss, lr, grad_norm, val_loss, tokens_per_s, wait_share, elapsed_s.  One row a step, a
 * validation loss in the row of its step (a row of its own where that is missing).  Numbers read back as the same double; what
 * is absent or not finite is empty. */
void metrics_export_csv(const struct metrics_log *log, struct buffer *out);

/* TFRecords of tensorflow's Event: the file's version, then the scalars of each step as floats, under train/loss, train/lr,
 * train/grad_norm, train/tokens_per_s, train/wait_share and validation/loss; what is not finite is NaN.  `start_s` (since
 * 1970) is when the run began; the time of each process of a resumed run follows that of the one before.
 * Source: tensorflow/tensorboard, compat/proto/event.proto and summary.proto; TFRecord's framing. */
void metrics_export_tensorboard(const struct metrics_log *log, double start_s, struct buffer *out);

#endif
