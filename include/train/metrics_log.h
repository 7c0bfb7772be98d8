/* SPDX-License-Identifier: MIT
 * train/metrics_log.h - RUN/metrics.jsonl read back, whole, by those who look at a run.
 *
 * The file may be growing, torn or damaged: a last line without its end is left out, a line that is wrong is left out
 * and told, and the rest is there.  Only reads.  Any thread, on distinct logs.
 */
#ifndef TRAIN_METRICS_LOG_H
#define TRAIN_METRICS_LOG_H

#include "base/buffer.h"
#include "train/metrics.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct metrics_val {
    uint64_t step;
    double loss, elapsed_s;
};

struct metrics_event {
    uint64_t step;
    char *name; /* "checkpoint", "sample", … */
    char *text; /* the key "text"; NULL without.  UTF-8, no NUL */
};

/* Numbers that are null in the file, or absent, are NaN.  Steps rise from one entry of `steps` to the next, and do not
 * fall in the other two. */
struct metrics_log {
    struct metrics_step *steps;
    struct metrics_val *vals;
    struct metrics_event *events;
    size_t num_steps, num_vals, num_events;
    bool torn;            /* the last line has no end, and is not here */
    size_t num_damaged;   /* lines left out */
    struct buffer damage; /* a sentence each for the first of them, with a newline */
};

/* An absent file is an empty log: the run has not made a step.  STATUS_IO, STATUS_NOMEM; STATUS_FORMAT for a file of more
 * than 1 GiB. */
enum status metrics_log_read(const char *path, struct metrics_log *out, struct error *err);

/* The same from bytes; `where` stands for the file.  STATUS_NOMEM. */
enum status metrics_log_parse(const char *bytes, size_t n, const char *where, struct metrics_log *out, struct error *err);
void metrics_log_release(struct metrics_log *log); /* fine on a zeroed one */

#endif
