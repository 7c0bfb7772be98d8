/* SPDX-License-Identifier: MIT */
#include "app/settings_flags.h"

#include "base/human.h"
#include "train/training_fit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const schedule_choices[] = {"cosine", "linear", "constant", "wsd", NULL};
const char *const save_mode_choices[] = {"overlapped", "blocking", NULL};
const char *const dtype_choices[] = {"auto", "f32", "bf16", NULL};

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

/* Another width or number of heads: what followed from the old one follows from the new one, in the old proportion. */
static void finish_sizes(struct train_settings *s, const struct model_config *base, bool width, bool heads)
{
    struct model_config *m = &s->model;
    if (width)
        m->n_inner = m->mlp == MLP_GELU ? 4 * m->n_embd : m->n_embd * base->n_inner / base->n_embd;
    if (heads) {
        const size_t shared_by = base->n_head / base->n_kv_head;
        m->n_kv_head = m->n_head % shared_by == 0 ? m->n_head / shared_by : m->n_head;
    }
    if (width || heads)
        m->head_dim = m->n_embd / m->n_head;
}

/* Another optimizer than the preset's: its rates and decay, but for what was given. */
static void adapt(struct train_settings *s, const struct train_settings *base, enum optimizer_kind kind,
                  const struct option_def *options)
{
    struct train_settings fit = *base;
    optimizer_adapt(&fit, kind);
    s->optimizer = kind;
    if (!has(options, "lr")) {
        s->schedule.lr = fit.schedule.lr;
        if (!has(options, "min-lr"))
            s->schedule.min_lr = fit.schedule.min_lr;
    }
    if (!has(options, "weight-decay"))
        s->weight_decay = fit.weight_decay;
}

void settings_flags_dropout(struct settings_flags *flags)
{
    struct model_config *m = &flags->settings.model;
    m->attn_pdrop = (float)flags->dropout;
    if (m->family == MODEL_GPT2) /* the others have it in attention only */
        m->embd_pdrop = m->resid_pdrop = m->attn_pdrop;
}

enum status settings_flags_recompute(struct settings_flags *flags, struct error *err)
{
    struct train_settings *s = &flags->settings;
    const char *text = flags->recompute;
    if (!text)
        return STATUS_OK;
    const size_t digits = strspn(text, "0123456789");
    if (strcmp(text, "none") == 0)
        s->recompute = 0;
    else if (strcmp(text, "all") == 0)
        s->recompute = s->model.n_layer;
    else if (digits == 0 || text[digits] || digits > 9 || strtoul(text, NULL, 10) > s->model.n_layer)
        return error_set(err, STATUS_CONFIG, "--recompute takes none, all or a number of the model's %zu layers, not \"%s\"",
                         s->model.n_layer, text);
    else
        s->recompute = strtoul(text, NULL, 10);
    return STATUS_OK;
}

/* "500" is steps; "90s", "10m" and "2h" are times. */
static enum status take_save_every(struct train_settings *s, const char *text, struct error *err)
{
    static const struct {
        const char *unit;
        uint64_t seconds;
    } units[] = {{"", 0}, {"s", 1}, {"m", 60}, {"h", 3600}};
    const size_t digits = strspn(text, "0123456789");
    errno = 0;
    const uint64_t n = strtoull(text, NULL, 10);
    for (size_t i = 0; digits > 0 && errno == 0 && n <= (uint64_t)OPTION_WHOLE_MAX && i < sizeof units / sizeof *units; i++) {
        if (strcmp(text + digits, units[i].unit) != 0 || (units[i].seconds && n == 0))
            continue;
        s->save_every = units[i].seconds ? 0 : n;
        s->save_seconds = n * units[i].seconds;
        return STATUS_OK;
    }
    return error_set(err, STATUS_CONFIG, "--save-every wants a number of steps (500) or a time (90s, 10m, 2h), not '%s'", text);
}

static enum status take_save_flags(struct settings_flags *flags, const struct option_def *options, struct error *err)
{
    enum status status = STATUS_OK;
    if (has(options, "save-every"))
        status = take_save_every(&flags->settings, flags->save_every, err);
    if (status == STATUS_OK && has(options, "save-mode"))
        status = save_mode_parse(flags->save_mode, &flags->settings.save_mode, err);
    return status;
}

static enum status fit_bytes(const char *text, size_t *bytes, struct error *err)
{
    uint64_t given = 0;
    if (strcmp(text, "auto") == 0) {
        *bytes = training_fit_available();
        return *bytes ? STATUS_OK : error_set(err, STATUS_SYSTEM, "--fit auto: this system does not say what is available");
    }
    if (!human_bytes_parse(text, &given) || given == 0)
        return error_set(err, STATUS_CONFIG, "--fit takes bytes, such as 3.5G or 800M, or auto, not \"%s\"", text);
    *bytes = (size_t)given;
    return STATUS_OK;
}

enum status settings_flags_fit(const struct settings_flags *flags, const struct option_def *options, bool new_run,
                               int threads, struct train_settings *settings, struct error *err)
{
    size_t bytes = 0;
    if (!flags->fit)
        return STATUS_OK;
    const struct training_fit choose = {.recompute = !flags->recompute,
                                        .micro_batch = new_run && !has(options, "micro-batch"),
                                        .save_mode = !has(options, "save-mode")};
    const enum status status = fit_bytes(flags->fit, &bytes, err);
    return status == STATUS_OK ? training_fit(settings, threads, bytes, &choose, NULL, err) : status;
}

enum status settings_flags_finish(struct settings_flags *flags, const struct option_def *options, struct error *err)
{
    struct train_settings *s = &flags->settings;
    const struct train_settings *base = &flags->base;
    if (has(options, "vocab-size")) {
        s->model.vocab_size = flags->vocab_size;
        if (s->model.num_eos && (size_t)s->model.eos_token_ids[0] >= flags->vocab_size)
            model_config_set_end_of_text(&s->model, -1); /* a preset's, of another vocabulary */
    }
    finish_sizes(s, &base->model, has(options, "n-embd"), has(options, "n-head"));
    if ((has(options, "n-embd") || has(options, "n-head")) && s->model.n_embd % s->model.n_head)
        return error_set(err, STATUS_CONFIG, "the width n_embd = %zu is not divisible by n_head = %zu", s->model.n_embd,
                         s->model.n_head);
    if (take_save_flags(flags, options, err) != STATUS_OK)
        return STATUS_CONFIG;
    if (has(options, "dropout"))
        settings_flags_dropout(flags);
    if (dtype_parse(flags->dtype ? flags->dtype : "auto", &s->dtype, err) != STATUS_OK)
        return STATUS_CONFIG;
    s->dtype = dtype_resolve(s->dtype);
    if (has(options, "schedule")) {
        enum status status = schedule_parse(flags->schedule, &s->schedule.kind, err);
        if (status != STATUS_OK)
            return status;
    }
    if (flags->packing && packing_parse(flags->packing, &s->packing, err) != STATUS_OK)
        return STATUS_CONFIG;
    if (flags->optimizer) {
        enum optimizer_kind kind;
        enum status status = optimizer_parse(flags->optimizer, &kind, err);
        if (status != STATUS_OK)
            return status;
        if (kind != base->optimizer)
            adapt(s, base, kind, options);
    }
    if (flags->save_best)
        s->save_best = 1;
    if (flags->on_spike) {
        enum status status = spike_policy_parse(flags->on_spike, &s->spikes.policy, err);
        if (status != STATUS_OK)
            return status;
    }
    if (s->spikes.policy == SPIKE_IGNORE && (has(options, "spike-factor") || has(options, "spike-window") ||
                                             has(options, "spike-margin") || has(options, "spike-limit")))
        return error_set(err, STATUS_CONFIG, "--spike-factor, --spike-window, --spike-margin and --spike-limit go with "
                                             "--on-spike stop, skip or rollback");
    if (s->optimizer != OPTIMIZER_MUON && (has(options, "muon-lr") || has(options, "muon-momentum")))
        return error_set(err, STATUS_CONFIG, "--muon-lr and --muon-momentum go with --optimizer muon, not with %s",
                         optimizer_name(s->optimizer));
    /* The lowest rate keeps its part of the highest, as in the preset. */
    if (has(options, "lr") && !has(options, "min-lr"))
        s->schedule.min_lr = base->schedule.lr > 0 ? s->schedule.lr * (base->schedule.min_lr / base->schedule.lr) : 0;
    if (has(options, "batch-size") && !has(options, "micro-batch"))
        s->micro_batch =
            base->micro_batch == base->batch_size ? s->batch_size : largest_divisor(s->batch_size, base->micro_batch);
    if (has(options, "micro-batch") && !has(options, "batch-size") && s->micro_batch > 0 &&
        s->batch_size % s->micro_batch != 0)
        return error_set(err, STATUS_CONFIG,
                         "--micro-batch %zu does not divide the batch size, %zu; give --batch-size too", s->micro_batch,
                         s->batch_size);
    if (has(options, "seq-len") && !flags->config && s->seq_len > s->model.n_positions)
        s->model.n_positions = s->seq_len;
    size_t bytes;
    if (flags->fit && fit_bytes(flags->fit, &bytes, err) != STATUS_OK)
        return err->status;
    return settings_flags_recompute(flags, err);
}
