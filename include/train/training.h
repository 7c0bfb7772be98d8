/* SPDX-License-Identifier: MIT
 * train/training.h - the state of a training: model, gradients, moments, step; and what it does when.
 *
 * A `struct training` is what a checkpoint holds.  It owns no threads: threaded_training.h drives it.  One thread at
 * a time.
 */
#ifndef TRAIN_TRAINING_H
#define TRAIN_TRAINING_H

#include "base/status.h"
#include "data/batch_iterator.h"
#include "model/model.h"
#include "train/settings.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes by part before anything is allocated; `cllm plan` prints it, and training_create reserves it. */
struct training_memory {
    size_t weights_bytes, gradients_bytes, moments_bytes;
    size_t snapshot_bytes; /* SAVE_OVERLAPPED: weights and moments, frozen for a checkpoint */
    size_t packed_bytes, activation_bytes, shared_bytes;
    size_t scratch_bytes;  /* all spheres that can find work */
    size_t sphere_bytes;   /* stacks and contexts of all spheres */
    size_t data_bytes;     /* batch buffers (mapped tokens are not counted: the system may drop them) */
    size_t sampling_bytes; /* while a sample is drawn between steps; 0 without sample_every */
    size_t program_bytes;  /* code and libraries, as the process stands when asked */
    size_t total_bytes;
    uint64_t checkpoint_bytes; /* disk, one checkpoint */
};
/* For num_spheres spheres, 0 = auto-detected.  STATUS_CONFIG: the settings are wrong. */
enum status training_plan(const struct train_settings *settings, int num_spheres, struct training_memory *out,
                          struct error *err);

struct training;

/* A fresh training: settings checked, weights initialised from the seed.  settings->model.vocab_size must be set.
 * STATUS_NOMEM with the figures of the plan and what would fit. */
struct training *training_create(const struct train_settings *settings, struct error *err);

/* The same, the same bits, with a pool to draw the weights on; NULL is the caller alone. */
struct pool;
struct training *training_create_on(const struct train_settings *settings, struct pool *pool, struct error *err);

/* As training_create, but with the weights of a model directory (fine-tuning). */
struct training *training_create_from(const struct train_settings *settings, const char *model_directory,
                                      struct error *err);
void training_free(struct training *training);

const struct train_settings *training_settings(const struct training *training);
struct model *training_model(struct training *training);
uint64_t training_step(const struct training *training);          /* optimizer steps done */
uint64_t training_tokens(const struct training *training);        /* tokens seen */
double training_last_loss(const struct training *training);       /* mean of the last step, nats per token; NaN before */
double training_last_grad_norm(const struct training *training);  /* before clipping */
double training_last_lr(const struct training *training);

/* The validation loss of the present step is `loss`: a checkpoint of it says so, and the one with the least is `best`. */
void training_note_validation(struct training *training, double loss);

/* The schedule's rate is multiplied by this from the next step on (Muon's own rate too): 0 … RUN_EVENT_MAX_FACTOR, 1 at
 * first.  Part of the training's state, so it is in its checkpoints.  By the driving thread, between two steps. */
double training_lr_factor(const struct training *training);
void training_set_lr_factor(struct training *training, double factor);

uint64_t training_rollbacks(const struct training *training); /* so far (train/rollback.h) */

/* Memory was short of the copy that SAVE_OVERLAPPED writes from, so it saves as SAVE_BLOCKING. */
bool training_short_of_snapshot(const struct training *training);

/* What it was planned to take: with one sphere per usable core, and once it has a threaded system with that one's. */
const struct training_memory *training_planned(const struct training *training);

#endif
