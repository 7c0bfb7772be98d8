/* SPDX-License-Identifier: MIT
 * app/run_saver.h - a run's checkpoints: when they are due, and what is said and recorded of them.
 *
 * A save that fails does not end the run: what was trained since the last checkpoint could not be saved by ending either.
 * It is told at once, by a line and an event, and the next one due tries again.  The last save of a session is waited for, and
 * its failure is the run's.  So is a failure to sync the metrics, which are the record of the run.
 *
 * The application thread's, all of it.
 */
#ifndef APP_RUN_SAVER_H
#define APP_RUN_SAVER_H

#include "base/buffer.h"
#include "base/status.h"
#include "train/metrics.h"
#include "train/saver.h"
#include "train/stats_report.h"

#include <stdbool.h>
#include <stdint.h>

struct run_saver {
    struct saver *saver;
    const struct train_settings *settings;
    struct metrics *metrics;
    void (*say)(void *ctx, const char *line), (*warn)(void *ctx, const char *line);
    void *ctx;
    uint64_t begun_step; /* of the newest save begun in this session, or UINT64_MAX */
    uint64_t mark_ns;    /* when the last one began */
    uint64_t told_step;  /* of the newest one whose outcome is known, or UINT64_MAX */
    bool failing;        /* the newest one failed … */
    struct error why;    /* … so */
    bool last;           /* nothing comes after it: its failure is told as the run's */
    struct stats_saving totals;
    uint64_t start_ns; /* of the session */
    struct buffer checkpoint; /* path of the newest one that was saved; empty: none */
};

/* Borrows all.  `say` takes a line without a newline, `warn` one that no quiet may keep back. */
void run_saver_init(struct run_saver *r, struct saver *saver, const struct training *training, struct metrics *metrics,
                    void (*say)(void *ctx, const char *line), void (*warn)(void *ctx, const char *line), void *ctx);

/* Whether a checkpoint is due behind `step`. */
bool run_saver_due(const struct run_saver *r, uint64_t step);

/* Begins one of the present step; `step` is where the training stands.  Reports the one before first. */
enum status run_saver_begin(struct run_saver *r, uint64_t step, struct error *err);

/* Reports a save that is over meanwhile.  Not OK: the run must end. */
enum status run_saver_look(struct run_saver *r, uint64_t step, struct error *err);

/* A rollback: waits for the one under way and reports it; from now on no step of this session is saved. */
enum status run_saver_pause(struct run_saver *r, uint64_t step, struct error *err);

/* What saving took up to now. */
struct stats_saving run_saver_totals(const struct run_saver *r);

/* Waits for the one under way; then, where `wanted`, saves `step` unless that is saved.  Not OK: that failed. */
enum status run_saver_finish(struct run_saver *r, uint64_t step, bool wanted, struct error *err);

#endif
