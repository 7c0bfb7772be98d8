/* SPDX-License-Identifier: MIT
 * train/run_view.h - all that a run directory says, for those who only look: of a run that goes on, has ended, or has not
 * made a step.  Reads and never locks, so it is safe beside a training.  Any thread, on distinct views.
 */
#ifndef TRAIN_RUN_VIEW_H
#define TRAIN_RUN_VIEW_H

#include "base/buffer.h"
#include "formats/json.h"
#include "train/metrics_log.h"
#include "train/stats_report.h"

#include <stdbool.h>
#include <stdint.h>

struct run_checkpoint {
    uint64_t step, size_bytes; /* of all its files, by its manifest; 0 where that cannot be read */
};

struct run_view {
    char *path;
    json_t *info; /* run.json as it stands; NULL where it is damaged */
    struct metrics_log log;
    struct stats_report stats;
    bool has_stats;
    bool running; /* a process holds the lock */
    struct run_checkpoint *checkpoints; /* by step */
    size_t num_checkpoints;
    struct buffer notices; /* a sentence a line: what is missing or damaged */
};

/* STATUS_IO: no directory, or one without run.json.  What else is missing or damaged is a notice. */
enum status run_view_read(const char *path, struct run_view *out, struct error *err);
void run_view_release(struct run_view *view); /* fine on a zeroed one */

/* Whether a training holds RUN/lock, as /proc/locks says; false where that cannot be read. */
bool run_is_training(const char *path);

/* One self-contained HTML page: no network, no files beside it.  STATUS_NOMEM. */
enum status run_report_html(const struct run_view *view, struct buffer *out, struct error *err);

#endif
