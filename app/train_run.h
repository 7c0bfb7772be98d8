/* SPDX-License-Identifier: MIT
 * app/train_run.h - what `cllm train` makes and what its parts share: set-up, the run itself, what is said of it.
 */
#ifndef APP_TRAIN_RUN_H
#define APP_TRAIN_RUN_H

#include "app/crew.h"
#include "app/interrupt.h"
#include "app/options.h"
#include "app/settings_flags.h"
#include "app/status_line.h"
#include "app/training_thread.h"
#include "base/status.h"
#include "data/batch_iterator.h"
#include "train/checkpoint.h"
#include "train/run_directory.h"
#include "train/time_plan.h"

#include <stdbool.h>
#include <stdint.h>

struct train_flags {
    struct settings_flags s;
    const char *data, *tokenizer, *out, *resume, *replay, *init, *backend, *sample_prompt;
    int threads;
    size_t sample_tokens;
    uint64_t log_every;
    double watchdog_seconds; /* 0: none */
    bool spheres, quiet, profile;
};

/* Everything a run needs, in the order it is made. */
struct train_run {
    struct train_flags *flags;
    struct option_def *options;
    struct run_directory *run;
    bool fresh;
    struct run_info info;
    struct train_settings recorded; /* of a run that goes on or is repeated, as they were read */
    struct interrupt interrupt; /* watches during set-up; its token lives as long as the run */
    struct crew crew;
    struct tokenizer *tokenizer;
    struct tokens *tokens;
    struct documents *documents; /* with packing */
    struct batch_iterator *iterator;
    struct training *training;
    struct threaded_training *system;
    struct metrics *metrics;
    struct validation validation;
    struct saver *saver;
    struct run_events waiting; /* to be applied again when their step comes */
    struct buffer tokenizer_json, tokenizer_config;
    struct checkpoint_extra extras[2];
    size_t num_extras;
    uint32_t settings_hash;
    struct time_measured measured; /* before the first step: an evaluation's leaf, a checkpoint; 0 on resuming */
    struct status_line line;
    uint64_t tick_ns;
    int signal; /* that stopped us, or 0 */
};

/* Makes all of it for a new run, or for one to go on with (r->run open, r->info read).  What is there already when a
 * status other than OK comes back is the caller's to give back; r->interrupt's token cancels. */
enum status train_setup_fresh(struct train_run *r, struct error *err);
enum status train_setup_resume(struct train_run *r, struct error *err);

/* A new run from the settings, the data and the events of the run r->flags->replay, whose run.json is in r->info. */
enum status train_setup_replay(struct train_run *r, struct error *err);

/* The table of spheres and threads, the summary and the header are written through r->line. */
void train_print_header(struct train_run *r);
void train_print_stats(struct train_run *r);
void train_print_summary(struct train_run *r, const struct training_result *result);

/* For --profile: leaves profile.txt and trace.json in the run directory. */
enum status train_profile_write(struct train_run *r, struct error *err);

#endif
