/* SPDX-License-Identifier: MIT
 * The configurations people know by name.  nanoGPT's two are those of its README and config/train_shakespeare_char.py;
 * GPT-2's sizes are OpenAI's, their training that of nanoGPT's config/train_gpt2.py with GPT-3's learning rates
 * (Brown et al., "Language models are few-shot learners", 2020, table 2.1).  `demo` and
 * `llama-char-cpu`, the size of nanoGPT's smaller one in a Llama's shape, are ours.
 */
#include "train/settings.h"

#include <stdio.h>
#include <string.h>

static struct train_settings small(size_t layers, size_t heads, size_t width, size_t seq_len, size_t batch,
                                   uint64_t steps, float dropout)
{
    struct model_config model = model_config_of(MODEL_GPT2);
    model.n_positions = seq_len;
    model.n_embd = width;
    model.n_layer = layers;
    model.n_head = heads;
    model.embd_pdrop = model.attn_pdrop = model.resid_pdrop = dropout;
    model_config_complete(&model);
    return (struct train_settings){
        .model = model,
        .seq_len = seq_len,
        .batch_size = batch,
        .micro_batch = batch,
        .val_fraction = 0.1,
        .seed = 1337,
        .steps = steps,
        .schedule = {SCHEDULE_COSINE, .lr = 1e-3, .min_lr = 1e-4, .warmup_steps = 100, .decay_fraction = 0.2},
        .beta1 = 0.9,
        .beta2 = 0.99,
        .eps = 1e-8,
        .weight_decay = 0.1,
        .grad_clip = 1.0,
        .optimizer = OPTIMIZER_ADAMW,
        .muon_momentum = OPTIMIZER_MUON_MOMENTUM,
        .spikes = spike_settings_default(),
        .eval_every = 1000,
        .eval_batches = 0,
        .save_every = 1000,
        .keep = 2,
        .sample_every = 0,
    };
}

static struct train_settings gpt2(size_t layers, size_t heads, size_t width, double lr)
{
    struct train_settings s = small(layers, heads, width, 1024, 480, 600000, 0);
    s.model.vocab_size = 50257;
    model_config_set_end_of_text(&s.model, 50256);
    s.micro_batch = 4;
    s.val_fraction = 0.05;
    s.schedule =
        (struct schedule){SCHEDULE_COSINE, .lr = lr, .min_lr = lr / 10, .warmup_steps = 2000, .decay_fraction = 0.2};
    s.beta2 = 0.95;
    s.eval_every = 1000;
    s.eval_batches = 200;
    s.save_every = 100;
    return s;
}

/* Small batches, short windows, a high rate: what brings the loss down fastest in the first minute. */
static struct train_settings demo(void)
{
    struct train_settings s = small(4, 4, 128, 64, 8, 3000, 0);
    s.val_fraction = 0.05;
    s.schedule =
        (struct schedule){SCHEDULE_COSINE, .lr = 3e-3, .min_lr = 3e-4, .warmup_steps = 100, .decay_fraction = 0.2};
    s.eval_every = 1000;
    s.eval_batches = 80;
    s.save_every = 1000;
    return s;
}

/* Two heads of keys for four of queries, an MLP of 8/3 the width in eights, one matrix for embedding and head. */
static struct train_settings llama_small(void)
{
    struct train_settings s = small(4, 4, 128, 64, 12, 2000, 0);
    struct model_config model = model_config_of(MODEL_LLAMA);
    model.n_positions = s.model.n_positions;
    model.n_embd = s.model.n_embd;
    model.n_layer = s.model.n_layer;
    model.n_head = s.model.n_head;
    model.n_kv_head = 2;
    model.n_inner = 344;
    model.tied = true;
    model.norm_epsilon = 1e-5f;
    model_config_complete(&model);
    s.model = model;
    return s;
}

static const char *const names[] = {
    "demo", "shakespeare-char-cpu", "llama-char-cpu", "shakespeare-char", "gpt2", "gpt2-medium", "gpt2-large", NULL,
};

const char *const *train_preset_names(void)
{
    return names;
}

enum status train_settings_preset(struct train_settings *out, const char *name, struct error *err)
{
    if (strcmp(name, "demo") == 0)
        *out = demo();
    else if (strcmp(name, "shakespeare-char-cpu") == 0)
        *out = small(4, 4, 128, 64, 12, 2000, 0);
    else if (strcmp(name, "llama-char-cpu") == 0)
        *out = llama_small();
    else if (strcmp(name, "shakespeare-char") == 0)
        *out = small(6, 6, 384, 256, 64, 5000, 0.2f);
    else if (strcmp(name, "gpt2") == 0)
        *out = gpt2(12, 12, 768, 6e-4);
    else if (strcmp(name, "gpt2-medium") == 0)
        *out = gpt2(24, 16, 1024, 3e-4);
    else if (strcmp(name, "gpt2-large") == 0)
        *out = gpt2(36, 20, 1280, 2.5e-4);
    else {
        struct buffer list = {0};
        for (size_t i = 0; names[i]; i++)
            buffer_printf(&list, "%s%s", i ? ", " : "", names[i]);
        enum status st = error_set(err, STATUS_CONFIG, "there is no preset \"%s\"; there are %s", name,
                                   list.data ? list.data : "others");
        buffer_release(&list);
        return st;
    }
    snprintf(out->preset, sizeof out->preset, "%s", name);
    return STATUS_OK;
}
