/* SPDX-License-Identifier: MIT */
#include "app/settings_flags.h"

#include <stdio.h>
#include <string.h>

const char *const schedule_choices[] = {"cosine", "linear", "constant", "wsd", NULL};

enum status settings_flags_base(struct settings_flags *flags, struct error *err)
{
    struct train_settings *s = &flags->settings;
    enum status status = train_settings_preset(s, flags->preset ? flags->preset : "demo", err);
    if (status != STATUS_OK)
        return status;
    if (flags->config) {
        status = model_config_read(flags->config, &s->model, err);
        if (status != STATUS_OK)
            return status;
        if (!flags->preset)
            s->preset[0] = '\0';
        if (s->seq_len > s->model.n_positions)
            s->seq_len = s->model.n_positions;
    }
    flags->base = *s;
    return STATUS_OK;
}

static bool has(const struct option_def *options, const char *name)
{
    for (; options->name || options->help; options++)
        if (options->name && strcmp(options->name, name) == 0)
            return options->given;
    return false;
}

/* The largest divisor of n that is not above `most`. */
static size_t largest_divisor(size_t n, size_t most)
{
    size_t d = most < n ? most : n;
    while (n % d != 0)
        d--;
    return d;
}

enum status settings_flags_finish(struct settings_flags *flags, const struct option_def *options, struct error *err)
{
    struct train_settings *s = &flags->settings;
    const struct train_settings *base = &flags->base;
    if (has(options, "vocab-size")) {
        s->model.vocab_size = flags->vocab_size;
        if ((int64_t)s->model.eos_token_id >= (int64_t)flags->vocab_size) /* a preset's, of another vocabulary */
            s->model.bos_token_id = s->model.eos_token_id = -1;
    }
    if (has(options, "n-embd"))
        s->model.n_inner = 4 * s->model.n_embd;
    if (has(options, "dropout"))
        s->model.embd_pdrop = s->model.attn_pdrop = s->model.resid_pdrop = (float)flags->dropout;
    if (has(options, "schedule")) {
        enum status status = schedule_parse(flags->schedule, &s->schedule.kind, err);
        if (status != STATUS_OK)
            return status;
    }
    /* The lowest rate keeps its part of the highest, as in the preset. */
    if (has(options, "lr") && !has(options, "min-lr"))
        s->schedule.min_lr = base->schedule.lr > 0 ? s->schedule.lr * (base->schedule.min_lr / base->schedule.lr) : 0;
    if (has(options, "batch-size") && !has(options, "micro-batch"))
        s->micro_batch = base->micro_batch == base->batch_size ? s->batch_size
                                                               : largest_divisor(s->batch_size, base->micro_batch);
    if (has(options, "micro-batch") && !has(options, "batch-size") && s->micro_batch > 0 &&
        s->batch_size % s->micro_batch != 0)
        return error_set(err, STATUS_CONFIG,
                         "--micro-batch %zu does not divide the batch size, %zu; give --batch-size too", s->micro_batch,
                         s->batch_size);
    if (has(options, "seq-len") && !flags->config && s->seq_len > s->model.n_positions)
        s->model.n_positions = s->seq_len;
    return STATUS_OK;
}
