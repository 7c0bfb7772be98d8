/* SPDX-License-Identifier: MIT
 * app/train_setup_new.c - what a new run is made of: settings, tokenizer, vocabulary, tokens.
 */
#include "app/dataset.h"
#include "app/train_setup_internal.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/human.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Shows how far a pass over the corpus is, ten times a second. */
static void setup_tick(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    struct train_run *r = ctx;
    uint64_t now = clock_now_ns();
    if (now - r->tick_ns < 100000000u)
        return;
    r->tick_ns = now;
    struct human a, b;
    char text[128];
    snprintf(text, sizeof text, "%s: %3.0f%%  %s of %s", what, total ? 100.0 * (double)done / (double)total : 100.0,
             human_bytes(&a, done), human_bytes(&b, total));
    status_line_draw(&r->line, text);
}

enum status train_setup__new_settings(struct train_run *r, struct error *err)
{
    struct train_flags *f = r->flags;
    struct train_settings *s = &f->s.settings;
    if (f->init) {
        struct buffer path = {0};
        enum status status = model_config_read(path_join(&path, f->init, "config.json"), &s->model, err);
        buffer_release(&path);
        if (status != STATUS_OK)
            return status;
        if (!option_given(r->options, "seq-len") && s->seq_len > s->model.n_positions)
            s->seq_len = s->model.n_positions;
        if (!f->s.preset)
            s->preset[0] = '\0';
        if (option_given(r->options, "dropout"))
            settings_flags_dropout(&f->s);
        if (settings_flags_recompute(&f->s, err) != STATUS_OK)
            return STATUS_CONFIG;
    }
    /* What can be known to be wrong without the data is said before any work. */
    struct train_settings probe = *s;
    if (probe.model.vocab_size == 0)
        probe.model.vocab_size = 256;
    enum status status = train_settings_check(&probe, err);
    r->info.settings = *s;
    if (status == STATUS_OK && f->init)
        status =
            train_setup__text(r->info.init_directory, sizeof r->info.init_directory, f->init, "path of the model", err);
    if (status == STATUS_OK && !file_exists(f->data))
        status = error_set(err, STATUS_IO, "--data %s: no such file or directory", f->data);
    return status;
}

static const char *default_tokenizer(const struct train_flags *f)
{
    return f->s.preset && strstr(f->s.preset, "-char") ? "char" : "byte";
}

static enum status load_tokenizer(struct train_run *r, const struct dataset_job *job, bool shards, struct error *err)
{
    const struct train_flags *f = r->flags;
    struct buffer path = {0};
    const char *name = f->tokenizer;
    struct buffer beside = {0}; /* shards may have brought the tokenizer they were made with */
    const bool brought = shards && file_exists(path_join(&beside, f->data, "tokenizer.json"));
    if (!name && brought)
        name = beside.data;
    else if (!name && f->init && file_exists(path_join(&path, f->init, "tokenizer.json")))
        name = path.data;
    else if (!name && f->init && !shards) {
        enum status status =
            error_set(err, STATUS_CONFIG, "%s has no tokenizer.json; say which with --tokenizer", f->init);
        buffer_release(&path);
        buffer_release(&beside);
        return status;
    } else if (!name && !shards)
        name = default_tokenizer(f);
    enum status status = STATUS_OK;
    if (name && shards && strcmp(name, "char") == 0)
        status =
            error_set(err, STATUS_CONFIG, "--tokenizer char is made from text, and %s holds tokens already", f->data);
    else if (name && !(r->tokenizer = dataset_tokenizer(name, f->data, job, err)))
        status = err->status;
    if (status == STATUS_OK && brought && name != beside.data) {
        struct tokenizer *of_shards = tokenizer_load(beside.data, err);
        if (!of_shards)
            status = err->status;
        else if (tokenizer_crc32(of_shards) != tokenizer_crc32(r->tokenizer))
            status = error_set(err, STATUS_CONFIG, "--tokenizer %s is not the one the shards of %s were made with",
                               name, f->data);
        tokenizer_free(of_shards);
    }
    buffer_release(&path);
    buffer_release(&beside);
    return status;
}

/* The vocabulary of a new run, from the flags, the model and the tokenizer; whichever is missing. */
static enum status settle_vocabulary(struct train_run *r, bool shards, struct error *err)
{
    const struct train_flags *f = r->flags;
    struct model_config *model = &r->info.settings.model;
    size_t of_tokenizer = r->tokenizer ? tokenizer_vocab_size(r->tokenizer) : 0;
    bool given = option_given(r->options, "vocab-size");
    if (given && f->init && f->s.vocab_size != model->vocab_size)
        return error_set(err, STATUS_CONFIG, "--vocab-size %zu: the model of %s has %zu", f->s.vocab_size, f->init,
                         model->vocab_size);
    if (!given && of_tokenizer && !f->init && !f->s.config && (!shards || model->vocab_size == 0))
        model->vocab_size = of_tokenizer;
    if (model->vocab_size == 0)
        return error_set(err, STATUS_CONFIG,
                         "%s does not say how many tokens there are; add --vocab-size N or --tokenizer", f->data);
    if (of_tokenizer > model->vocab_size)
        return error_set(err, STATUS_CONFIG, "the tokenizer has %zu tokens, the model only %zu; they must fit",
                         of_tokenizer, model->vocab_size);
    if (!f->init && r->tokenizer) {
        model_config_set_end_of_text(model, tokenizer_end_of_text(r->tokenizer));
        if (tokenizer_begin_of_text(r->tokenizer) >= 0)
            model->bos_token_id = tokenizer_begin_of_text(r->tokenizer);
    } else if (!f->init && model->num_eos && (size_t)model->eos_token_ids[0] >= model->vocab_size) {
        model_config_set_end_of_text(model, -1);
    }
    return STATUS_OK;
}

enum status train_setup__new_data(struct train_run *r, struct error *err)
{
    const struct train_flags *f = r->flags;
    struct dataset_job job = {.crew = &r->crew, .tick = setup_tick, .ctx = r};
    const char *directory = run_directory_path(r->run);
    bool shards = dataset_is_shards(f->data);
    enum status status = load_tokenizer(r, &job, shards, err);
    if (status == STATUS_OK)
        status = settle_vocabulary(r, shards, err);
    if (status != STATUS_OK)
        return status;
    if (shards) {
        r->tokens = tokens_open(&f->data, 1, err);
        char absolute[PATH_MAX];
        if (r->tokens)
            status = train_setup__text(r->info.tokens_file, sizeof r->info.tokens_file,
                                       realpath(f->data, absolute) ? absolute : f->data, "path of the data", err);
    } else {
        status = dataset_tokenize(f->data, r->tokenizer, directory, &job, NULL, err);
        if (status == STATUS_OK)
            r->tokens = dataset_open_tokenized(directory, err);
        snprintf(r->info.tokens_file, sizeof r->info.tokens_file, "tokens.bin");
    }
    status_line_clear(&r->line);
    if (status == STATUS_OK && !r->tokens)
        status = err->status;
    if (status == STATUS_OK && shards)
        status = tokens_check_vocab(r->tokens, (uint32_t)r->info.settings.model.vocab_size, err);
    if (status == STATUS_OK)
        status = train_setup__text(r->info.data_path, sizeof r->info.data_path, f->data, "path of the data", err);
    if (status != STATUS_OK)
        return status;
    r->info.data_crc32 = tokens_crc32(r->tokens);
    if (r->tokenizer) {
        r->info.tokenizer_crc32 = tokenizer_crc32(r->tokenizer);
        snprintf(r->info.tokenizer_kind, sizeof r->info.tokenizer_kind, "%s", tokenizer_kind(r->tokenizer));
    }
    return STATUS_OK;
}

/* With packing a part may be there and have nothing to predict. */
enum status train_setup__new_targets(struct train_run *r, struct error *err)
{
    const bool trains = batch_iterator_trains_any(r->iterator);
    if (trains && (batch_iterator_val_windows(r->iterator) == 0 || batch_iterator_validates_any(r->iterator)))
        return STATUS_OK;
    return error_set(
        err, STATUS_CONFIG,
        "%s: with --packing documents no token of its %s part can be predicted, since none of the documents there "
        "has a second one; %s",
        r->flags->data, trains ? "validation" : "training",
        trains ? "give more text, a larger --val-fraction, or 0 for none" : "give longer texts, or --packing none");
}
