/* SPDX-License-Identifier: MIT
 * train/settings.h - every setting of a run, the presets people know, and their record in run.json.
 *
 * Settings that reach the weights are part of the settings hash: a checkpoint resumes only under the same ones.
 * What does not (threads, back end, how often to evaluate, save, print) may differ.
 */
#ifndef TRAIN_SETTINGS_H
#define TRAIN_SETTINGS_H

#include "base/buffer.h"
#include "base/status.h"
#include "data/packing.h"
#include "formats/json.h"
#include "formats/model_config.h"
#include "ops/dtype.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/spike.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* When a checkpoint that is due on the way is written: by a thread of its own, from a copy that the spheres take between two
 * steps, while they go on; or by the training itself, which takes no memory for a copy. */
enum save_mode { SAVE_OVERLAPPED, SAVE_BLOCKING };
const char *save_mode_name(enum save_mode mode);                                    /* "overlapped", "blocking" */
enum status save_mode_parse(const char *name, enum save_mode *out, struct error *err);

struct train_settings {
    char preset[32];         /* name, or "" */
    struct model_config model; /* vocab_size 0 until the data is known */
    /* data */
    size_t seq_len;          /* T */
    size_t batch_size;       /* sequences per optimizer step */
    size_t micro_batch;      /* sequences per leaf; divides batch_size */
    double val_fraction;
    enum packing packing;
    uint64_t documents_crc32; /* of documents.h, once the data is known; with PACKING_DOCUMENTS alone */
    uint64_t seed;
    enum dtype dtype;        /* of the products' operands; DTYPE_F32 or DTYPE_BF16 */
    /* optimizer and schedule */
    uint64_t steps;          /* length of the run, and of the schedule */
    double epochs;           /* when > 0, steps is computed from it once the data is known */
    struct schedule schedule;
    double beta1, beta2, eps, weight_decay, grad_clip; /* grad_clip 0 = off */
    enum optimizer_kind optimizer;
    double muon_lr;          /* highest rate of Muon's matrices; 0 = lr.  Muon alone has these two */
    double muon_momentum;
    struct spike_settings spikes; /* they reach the weights where the policy is skip or rollback */
    /* not in the hash */
    size_t recompute; /* layers whose forward is run again in the backward: less memory, more time, the same bits */
    uint64_t eval_every, eval_batches; /* steps (0 = only at the end); batches of micro_batch windows, 0 = the whole validation part */
    uint64_t save_every;     /* steps between checkpoints; 0 = none by steps */
    uint64_t save_seconds;   /* seconds between them; 0 = none by time.  Neither: only at the end */
    uint64_t keep;           /* checkpoints kept, >= 2 */
    uint64_t keep_every;     /* steps; those at multiples are made and stay for good; 0 = none */
    enum save_mode save_mode;
    uint64_t sample_every;   /* steps; 0 = only at the end */
    uint64_t early_stop;     /* evaluations without a new best one, after which the run ends; 0 = never */
    uint64_t save_best;      /* 1: a checkpoint of each evaluation that is the best so far */
};

/* gpt2, gpt2-medium, gpt2-large, shakespeare-char, shakespeare-char-cpu, llama-char-cpu, demo.  STATUS_CONFIG: unknown,
 * with the names. */
enum status train_settings_preset(struct train_settings *out, const char *name, struct error *err);
const char *const *train_preset_names(void); /* NULL-terminated */

/* One sentence for the first thing that is wrong. */
enum status train_settings_check(const struct train_settings *settings, struct error *err);

/* Whether checkpoints are due before the end, and whether there is one behind `step` for the steps' sake alone. */
bool train_settings_save_on_the_way(const struct train_settings *settings);
bool train_settings_save_at(const struct train_settings *settings, uint64_t step);

/* To and from the "settings" object of run.json.  _json gives a new reference. */
json_t *train_settings_json(const struct train_settings *settings);
enum status train_settings_from_json(struct train_settings *out, const json_t *object, const char *where,
                                     struct error *err);

/* crc32 over the hashed settings in canonical form, plus data_crc and tokenizer_crc.  And the first hashed setting in which two differ,
 * as "name: a, b" in `text`; false when none does. */
uint32_t train_settings_hash(const struct train_settings *settings, uint32_t data_crc32, uint32_t tokenizer_crc32);
bool train_settings_differ(const struct train_settings *a, const struct train_settings *b, char *text, size_t size);

#endif
