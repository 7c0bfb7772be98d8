/* SPDX-License-Identifier: MIT
 * app/train_setup_recorded.c - what goes by a run's record: to go on with it, or to repeat it.
 */
#include "app/command.h"
#include "app/dataset.h"
#include "app/train_setup_internal.h"
#include "base/file.h"
#include "base/file_writer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Flags may repeat what the run has and change what does not reach the weights. */
enum status train_setup__recorded_settings(struct train_run *r, struct error *err)
{
    (void)err;
    struct train_flags *f = r->flags;
    struct train_settings *s = &f->s.settings;
    const struct train_settings recorded = r->recorded = r->info.settings;
    if (!option_given(r->options, "dtype")) /* auto is what it was there and then */
        s->dtype = recorded.dtype;
    if (f->s.preset || f->s.config) {
        /* Built as for a new run, so that it can be compared; the vocabulary came from the data then. */
        s->model.bos_token_id = recorded.model.bos_token_id;
        s->model.num_eos = recorded.model.num_eos;
        memcpy(s->model.eos_token_ids, recorded.model.eos_token_ids, sizeof s->model.eos_token_ids);
        if (!option_given(r->options, "vocab-size"))
            s->model.vocab_size = recorded.model.vocab_size;
        if (recorded.epochs > 0 && !option_given(r->options, "steps"))
            s->steps = recorded.steps;
        memcpy(s->preset, recorded.preset, sizeof s->preset);
    }
    r->info.settings = *s;
    if (!option_given(r->options, "threads"))
        f->threads = r->info.threads;
    if (!option_given(r->options, "backend"))
        f->backend = r->info.backend;
    return STATUS_OK;
}

enum status train_setup__same_settings(struct train_run *r, struct error *err)
{
    char difference[256];
    const char *replay = r->flags->replay, *resume = r->flags->resume;
    if (!train_settings_differ(&r->recorded, &r->info.settings, difference, sizeof difference))
        return STATUS_OK;
    if (replay)
        return error_set(err, STATUS_CONFIG, "--replay has the settings of %s, and they cannot be others (%s)", replay,
                         difference);
    return error_set(err, STATUS_CONFIG,
                     "%s was begun with other settings (%s); a run goes on only with its own, "
                     "--init %s/checkpoints/latest begins a new one from its weights",
                     resume, difference, resume);
}

static enum status resumed_tokenizer(struct train_run *r, struct error *err)
{
    const char *asked = r->flags->tokenizer, *directory = run_directory_path(r->run);
    struct buffer path = {0};
    enum status status = STATUS_OK;
    if (file_exists(path_join(&path, directory, "tokenizer.json")) && !(r->tokenizer = tokenizer_load(path.data, err)))
        status = err->status;
    uint32_t have = r->tokenizer ? tokenizer_crc32(r->tokenizer) : 0;
    if (status == STATUS_OK && have != r->info.tokenizer_crc32)
        status = error_set(err, STATUS_CONFIG, "%s is not the tokenizer this run began with", path.data);
    if (status == STATUS_OK && asked && (strcmp(asked, "byte") == 0 || strcmp(asked, "char") == 0)) {
        if (!r->tokenizer || strcmp(asked, r->info.tokenizer_kind) != 0)
            status =
                error_set(err, STATUS_CONFIG, "--tokenizer %s: %s was begun with the tokenizer %s, and goes on with it",
                          asked, directory, r->tokenizer ? r->info.tokenizer_kind : "of its shards");
    } else if (status == STATUS_OK && asked) {
        struct tokenizer *other = tokenizer_load(asked, err);
        if (!other)
            status = err->status;
        else if (tokenizer_crc32(other) != have)
            status = error_set(err, STATUS_CONFIG, "--tokenizer %s is not the one %s was begun with", asked, directory);
        tokenizer_free(other);
    }
    buffer_release(&path);
    return status;
}

static enum status resumed_data(struct train_run *r, struct error *err)
{
    const char *asked = r->flags->data, *directory = run_directory_path(r->run), *file = r->info.tokens_file;
    bool own = strcmp(file, "tokens.bin") == 0;
    if (asked && strcmp(asked, r->info.data_path) != 0 && (own || !dataset_is_shards(asked)))
        return error_set(err, STATUS_CONFIG, "--data %s: %s was begun with %s, and goes on with it", asked, directory,
                         r->info.data_path);
    if (asked && !own)
        file = asked; /* shards that were moved; their sum tells whether they are the same */
    r->tokens = own ? dataset_open_tokenized(directory, err) : tokens_open(&file, 1, err);
    if (!r->tokens)
        return err->status;
    if (tokens_crc32(r->tokens) != r->info.data_crc32)
        return error_set(err, STATUS_CONFIG, "%s%s%s does not hold the tokens this run began with",
                         own ? directory : "", own ? "/" : "", file);
    return STATUS_OK;
}

enum status train_setup__recorded_data(struct train_run *r, struct error *err)
{
    const enum status status = resumed_tokenizer(r, err);
    return status == STATUS_OK ? resumed_data(r, err) : status;
}

enum status train_setup__checkpoint(struct train_run *r, struct error *err)
{
    const char *directory = r->flags->resume;
    struct buffer warning = {0};
    const enum status status = checkpoint_load_latest(r->training, directory, r->settings_hash, &warning, err);
    if (warning.len)
        command_say("train", "warning: %s", warning.data);
    buffer_release(&warning);
    return status == STATUS_OK ? checkpoint_tidy(r->training, directory, err) : status;
}

/* What metrics.jsonl has of the checkpoint's step is in force again; what will be cut out of it waits. */
enum status train_setup__resumed_events(struct train_run *r, struct error *err)
{
    struct run_events now;
    struct buffer warning = {0};
    enum status status = run_events_resume(run_directory_path(r->run), training_step(r->training),
                                           training_rollbacks(r->training), &now, &r->waiting, &warning, err);
    for (size_t i = 0; i < now.n; i++)
        if (now.items[i].kind == RUN_EVENT_LR)
            training_set_lr_factor(r->training, now.items[i].factor);
    if (warning.len)
        command_say("train", "warning: %.*s", (int)strcspn(warning.data, "\n"), warning.data);
    buffer_release(&warning);
    run_events_release(&now);
    return status;
}

/* A file of the replayed run, under the same name in ours: as the same file, or a copy; absent is fine. */
static enum status take_file(const struct train_run *r, const char *name, struct error *err)
{
    struct buffer from = {0}, to = {0};
    struct file_map map;
    path_join(&from, r->flags->replay, name);
    path_join(&to, run_directory_path(r->run), name);
    enum status status = STATUS_OK;
    if (from.failed || to.failed)
        status = error_set(err, STATUS_NOMEM, "no memory for the path of %s", name);
    else if (file_exists(from.data) && link(from.data, to.data) != 0 &&
             (status = file_map_open(&map, from.data, err)) == STATUS_OK) {
        struct file_writer *writer = file_writer_open(to.data, err);
        if (writer) {
            file_writer_write(writer, map.data, map.size_bytes);
            status = file_writer_close(writer, true, NULL, NULL, err);
        } else {
            status = err->status;
        }
        file_map_close(&map);
    }
    buffer_release(&from);
    buffer_release(&to);
    return status;
}

enum status train_setup__shared_files(struct train_run *r, struct error *err)
{
    static const char *const files[] = {"tokens.bin", "tokens.idx", "tokenizer.json", "tokenizer_config.json"};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < sizeof files / sizeof *files && status == STATUS_OK; i++)
        status = take_file(r, files[i], err);
    return status;
}

enum status train_setup__repeated_events(struct train_run *r, struct error *err)
{
    return run_events_replay(r->flags->replay, run_directory_path(r->run), &r->waiting, err);
}
