/* SPDX-License-Identifier: MIT
 * app/settings_flags.h - the flags that make up a `struct train_settings`, for the commands that want one.
 *
 * Three sources, each over the one before: a preset (or config.json), the flags, and what follows from both, such as
 * the micro-batch of a batch size that was given alone.
 */
#ifndef APP_SETTINGS_FLAGS_H
#define APP_SETTINGS_FLAGS_H

#include "app/options.h"
#include "base/status.h"
#include "train/settings.h"

struct settings_flags {
    struct train_settings settings;
    const char *preset, *config, *schedule, *optimizer, *dtype, *packing, *on_spike; /* dtype NULL: auto; the others: as it was */
    const char *fit;       /* bytes as people type them, or "auto"; NULL: as it comes */
    const char *recompute; /* "none", "all" or a number; NULL: as it was */
    const char *save_every, *save_mode; /* NULL: as it was */
    bool save_best;
    size_t vocab_size;
    double dropout;
    struct train_settings base; /* before the flags */
};

extern const char *const schedule_choices[], *const dtype_choices[], *const save_mode_choices[];

/* --dropout, wherever the model's family has dropout. */
void settings_flags_dropout(struct settings_flags *flags);

/* --recompute, for the model as it is now. */
enum status settings_flags_recompute(struct settings_flags *flags, struct error *err);

#define SETTINGS_MODEL_FLAGS(f)                                                                                        \
    OPT_TEXT("preset", "NAME", &(f)->preset,                                                                           \
             "demo (the default), shakespeare-char-cpu, llama-char-cpu, shakespeare-char, gpt2, gpt2-medium or "        \
             "gpt2-large"),                                                                                           \
        OPT_TEXT("config", "FILE", &(f)->config, "the model of a config.json; training settings stay the preset's"),   \
        OPT_SIZE("n-layer", &(f)->settings.model.n_layer, 1, 10000, "layers, in place of the preset's"),               \
        OPT_SIZE("n-head", &(f)->settings.model.n_head, 1, 10000, "attention heads, in place of the preset's"), \
        OPT_SIZE("n-embd", &(f)->settings.model.n_embd, 1, 1 << 20, "width of the model; its MLP's keeps its proportion"), \
        OPT_SIZE("vocab-size", &(f)->vocab_size, 1, 1 << 30,                                                           \
                 "tokens the model knows; for text at least the tokenizer's, which is the default")

/* --fit: how checkpoints are written, layers run again and, in a new run, the micro-batch, where they were not given, so that `settings` (whole, the
 * vocabulary known) fit.  Nothing without the flag.  STATUS_NOMEM: nothing fits. */
enum status settings_flags_fit(const struct settings_flags *flags, const struct option_def *options, bool new_run,
                               int threads, struct train_settings *settings, struct error *err);

#define SETTINGS_FIT_FLAG(f)                                                                                           \
    OPT_TEXT("fit", "BYTES|auto", &(f)->fit,                                                                           \
             "choose --save-mode, --recompute and, if those are not enough, a smaller --micro-batch, where they are "    \
             "not given, so that all fits into this much memory (3.5G); auto: into what is available now")

#define SETTINGS_RECOMPUTE_FLAG(f)                                                                                     \
    OPT_TEXT("recompute", "none|N|all", &(f)->recompute,                                                               \
             "layers whose activations are made again in the backward instead of kept: less memory, more time, the "    \
             "same bits (none)")

#define SETTINGS_SHAPE_FLAGS(f)                                                                                        \
    OPT_CHOICE("dtype", &(f)->dtype, dtype_choices,                                                                    \
               "operands of the products: f32, or rounded to bf16; auto is bf16 where the CPU has units for it (auto)"), \
        OPT_SIZE("batch-size", &(f)->settings.batch_size, 1, 1 << 30, "sequences per optimizer step"),                     \
        OPT_SIZE("micro-batch", &(f)->settings.micro_batch, 1, 1 << 30,                                                \
                 "sequences computed together; divides the batch size. Less takes less memory"),                       \
        SETTINGS_FIT_FLAG(f),                                                                                          \
        SETTINGS_RECOMPUTE_FLAG(f),                                                                                    \
        OPT_SIZE("seq-len", &(f)->settings.seq_len, 1, 1 << 30,                                                        \
                 "tokens per sequence; a new model's context grows to it where it is shorter"),                           \
        OPT_CHOICE("packing", &(f)->packing, packing_names,                                                            \
                   "documents: in a sequence with several, attention and loss stay inside each (none)")

#define SETTINGS_EVAL_FLAGS(f)                                                                                         \
    OPT_U64("eval-every", &(f)->settings.eval_every, 0, OPTION_WHOLE_MAX,                                              \
            "steps between evaluations; 0 = only at the end"),                                                         \
        OPT_U64("eval-batches", &(f)->settings.eval_batches, 0, OPTION_WHOLE_MAX,                                      \
                "micro-batches in an evaluation; 0 = all of the validation part"),                                    \
        OPT_U64("early-stop", &(f)->settings.early_stop, 0, OPTION_WHOLE_MAX,                                          \
                "ends the run when so many evaluations in a row brought no new best; 0 = never (0)"),                  \
        OPT_FLAG("save-best", &(f)->save_best, "a checkpoint of each evaluation that is the best so far")

#define SETTINGS_SAMPLE_EVERY_FLAG(f)                                                                                  \
    OPT_U64("sample-every", &(f)->settings.sample_every, 0, OPTION_WHOLE_MAX,                                          \
            "steps between samples; 0 = only at the end")

#define SETTINGS_VAL_FRACTION_FLAG(f)                                                                                  \
    OPT_REAL("val-fraction", &(f)->settings.val_fraction, 0, 0.5,                                                      \
             "part of the data kept for validation, from its end")

#define SETTINGS_OPTIMIZER_FLAG(f)                                                                                     \
    OPT_CHOICE("optimizer", &(f)->optimizer, optimizer_names,                                                          \
               "AdamW (the default), Lion, Muon for the layers' matrices, or AdamW with its moments in 8 bits")

#define SETTINGS_SAVE_FLAGS(f)                                                                                         \
    OPT_TEXT("save-every", "N|TIME", &(f)->save_every,                                                                 \
             "steps between checkpoints, or their time, as in 90s, 10m or 2h; 0 = only at the end"),                   \
        OPT_U64("keep", &(f)->settings.keep, 2, OPTION_WHOLE_MAX, "checkpoints to keep, the newest ones"),             \
        OPT_U64("keep-every", &(f)->settings.keep_every, 0, OPTION_WHOLE_MAX,                                          \
                "steps; checkpoints at multiples of this are made and kept for good; 0 = none (0)"),                   \
        OPT_CHOICE("save-mode", &(f)->save_mode, save_mode_choices,                                                    \
                   "checkpoints on the way: written by a thread of its own while training goes on, which takes memory "  \
                   "for a copy of weights and moments, or with training waiting (overlapped)")

#define SETTINGS_SPIKE_FLAGS(f)                                                                                        \
    OPT_CHOICE("on-spike", &(f)->on_spike, spike_policy_names,                                                         \
               "when the loss leaves its range or is not finite: skip the step's update, rollback to before it, stop, or " \
               "ignore, which stops only at what is not finite (ignore)"),                                             \
        OPT_REAL("spike-factor", &(f)->settings.spikes.factor, 1e-9, 1e6,                                              \
                 "deviations above the mean of the last steps' losses from which a loss is a spike (6)"),              \
        OPT_U64("spike-window", &(f)->settings.spikes.window, 2, SPIKE_WINDOW_MAX, "steps in that mean (64)"),         \
        OPT_U64("spike-margin", &(f)->settings.spikes.margin, 0, INT32_MAX,                                            \
                "steps before the spike that a rollback leaves out too (8)"),                                          \
        OPT_U64("spike-limit", &(f)->settings.spikes.limit, 1, SPIKE_LIMIT_MAX,                                        \
                "steps skipped one after the other, or rollbacks in all, until the run stops (10)")

/* settings = the preset's, then config.json's model.  Call between two passes of options_parse. */
enum status settings_flags_base(struct settings_flags *flags, struct error *err);

/* Takes the flags that are not fields, and what follows where only a part was given. */
enum status settings_flags_finish(struct settings_flags *flags, const struct option_def *options, struct error *err);

#endif
