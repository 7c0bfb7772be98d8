/* SPDX-License-Identifier: MIT
 * train/run_directory.h - RUN: who may use it, what run.json says, where its files are.  docs/run-directory.md.
 *
 * One process at a time holds a run directory (flock on RUN/lock; released when the process ends, however it ends).
 * Readers need no lock: run.json and stats.json are replaced atomically.
 */
#ifndef TRAIN_RUN_DIRECTORY_H
#define TRAIN_RUN_DIRECTORY_H

#include "base/status.h"
#include "train/settings.h"
#include "train/stats_report.h"

#include <stdint.h>

/* What run.json holds.  Plain data. */
struct run_info {
    struct train_settings settings; /* resolved: vocabulary and steps known */
    char version[32];               /* filled by run_directory_write_info, as are isa and dtype */
    char isa[16], dtype[8];
    char backend[16];               /* as asked for */
    int threads;                    /* as asked for, 0 = auto */
    char data_path[4096];           /* as given */
    uint32_t data_crc32;            /* tokens_crc32 */
    char tokenizer_kind[16];
    uint32_t tokenizer_crc32;
    char tokens_file[4096];         /* tokens of the data: a name inside RUN, or a path */
    char init_directory[4096];      /* model the weights came from, or "" */
};

struct run_directory;

/* Makes a new directory and locks it.  STATUS_IO: it exists, its parent is missing or not writable, in one sentence. */
struct run_directory *run_directory_create(const char *path, struct error *err);

/* Opens an existing one to go on with it: locks it and reads run.json into *info.  STATUS_IO: missing, or another
 * process holds it; STATUS_FORMAT: run.json is absent or wrong. */
struct run_directory *run_directory_open(const char *path, struct run_info *info, struct error *err);

void run_directory_close(struct run_directory *run);   /* unlocks; NULL is fine */
void run_directory_discard(struct run_directory *run); /* one just created: removes all of it, and closes; NULL is fine */

const char *run_directory_path(const struct run_directory *run);

/* STATUS_IO with the figures when the disk has no room for what a run that is at `step` will still put there: as many
 * checkpoints of that size as there will be at a time (time_plan_checkpoints), less those there are, and metrics. */
enum status run_directory_check_space(const struct run_directory *run, const struct train_settings *settings, uint64_t step,
                                      uint64_t checkpoint_bytes, struct error *err);

/* Fills version, isa and dtype of *info and writes run.json. */
enum status run_directory_write_info(struct run_directory *run, struct run_info *info, struct error *err);

/* Replaces stats.json. */
enum status run_directory_write_stats(struct run_directory *run, const struct stats_report *report,
                                      struct error *err);

/* run.json of a run directory, without the lock; for commands that only look. */
enum status run_info_read(const char *path, struct run_info *out, struct error *err);

#endif
