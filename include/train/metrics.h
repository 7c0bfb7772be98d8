/* SPDX-License-Identifier: MIT
 * train/metrics.h - RUN/metrics.jsonl: one JSON object per line, only ever appended to.
 *
 *     {"step": 7, "tokens": 5376, "loss": 3.9, "lr": 0.0008, "grad_norm": 1.2, "tokens_per_s": …, "wait_share": …,
 *      "peak_share": …, "elapsed_s": …}
 *     {"step": 500, "val_loss": 2.1, "elapsed_s": …}
 *     {"step": 500, "event": "checkpoint", …}
 *
 * "step" counts the optimizer steps done, so the first line has 1.  step, tokens, loss, lr, grad_norm and val_loss
 * are a function of configuration, data and seed; the other keys are times and places.  Numbers are printed with the
 * fewest digits that read back as the same double; what is not finite is null.  Each line is one write, so a reader
 * sees whole lines, and after a crash at most the last one is torn.  One thread at a time.
 */
#ifndef TRAIN_METRICS_H
#define TRAIN_METRICS_H

#include "base/status.h"
#include "formats/json.h"

#include <stdbool.h>
#include <stdint.h>

struct metrics;

struct metrics_step {
    uint64_t step, tokens;
    double loss, lr, grad_norm;
    double tokens_per_s, wait_share, elapsed_s; /* wait_share in [0,1] */
    double peak_share; /* of what the machine can do; 0: not known, and then it is not in the line */
};

/* Opens for appending and creates when absent.  What follows `step` (lines of later steps, a torn last line) is cut
 * off, so that a resumed run's file is that of one never interrupted; a fresh run gives 0. */
struct metrics *metrics_open(const char *path, uint64_t step, struct error *err);
void metrics_close(struct metrics *metrics); /* NULL is fine */

const char *metrics_path(const struct metrics *metrics); /* as it was opened */

/* Whether the validation loss of `step` was there when the file was opened: a run that was stopped during an evaluation
 * makes up for it. */
bool metrics_has_val(const struct metrics *metrics);

/* Seconds of training of the lines that were there when the file was opened: where the clock of this session begins.  0 for a
 * new run. */
double metrics_elapsed_s(const struct metrics *metrics);

/* Cuts the lines of steps behind `step` off, as metrics_open does.  A rollback's, as is set_aside: a copy of those lines
 * replaces the file `path`.  STATUS_IO, also where lines still wait for room on the disk; STATUS_NOMEM. */
enum status metrics_cut(struct metrics *metrics, uint64_t step, struct error *err);
enum status metrics_set_aside(struct metrics *metrics, uint64_t step, const char *path, struct error *err);

enum status metrics_write_step(struct metrics *metrics, const struct metrics_step *line, struct error *err);
enum status metrics_write_val(struct metrics *metrics, uint64_t step, double val_loss, double elapsed_s,
                              struct error *err);

/* `more` (an object, borrowed, may be NULL) gives further keys. */
enum status metrics_write_event(struct metrics *metrics, uint64_t step, const char *event, const json_t *more,
                                struct error *err);

/* A full disk does not end a run: lines that found no room wait in memory, in order, up to 64 MiB of them, and each write
 * tries again.  metrics_flush tries now; STATUS_IO while they still wait, with the reason.  metrics_waiting is their bytes.
 * What still waits when the file is closed is lost. */
enum status metrics_flush(struct metrics *metrics, struct error *err);
size_t metrics_waiting(const struct metrics *metrics);

/* Everything written so far is on the disk.  Before a checkpoint, so that no line of its past can be missing.  STATUS_IO while
 * lines wait for room.  A failure to sync is final: the system may have lost lines. */
enum status metrics_sync(struct metrics *metrics, struct error *err);

/* The same of what is in the file, for another thread than the one that writes. */
enum status metrics_sync_written(const struct metrics *metrics, struct error *err);

#endif
