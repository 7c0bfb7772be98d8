/* SPDX-License-Identifier: MIT
 * app/plan_measure.h - `cllm plan --measure`: what a step, a micro-batch of evaluation and a checkpoint take.
 */
#ifndef APP_PLAN_MEASURE_H
#define APP_PLAN_MEASURE_H

#include "base/status.h"
#include "runtime/cancel.h"
#include "train/settings.h"
#include "train/time_plan.h"

/* A real training of these settings, on random tokens: an evaluation's micro-batch, three steps (their median), with --sample-every
 * a sample of SAMPLE_TOKENS, a checkpoint written and synced below `directory`, in a directory of its own that is removed again.  Packing is left out.  `stop`
 * cancels.  Errors: as training_create's and checkpoint_save's; STATUS_CANCELLED. */
enum status plan_measure(const struct train_settings *settings, int threads, const char *directory,
                         const struct cancel *stop, struct time_measured *out, struct error *err);

#endif
