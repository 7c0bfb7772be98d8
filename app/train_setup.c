/* SPDX-License-Identifier: MIT
 * app/train_setup.c - everything `cllm train` needs before the first step, of a new run or of one that goes on.
 */
#include "app/command.h"
#include "app/dataset.h"
#include "app/train_run.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/file_writer.h"
#include "base/human.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TRACED_STEPS = 3 };

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

static enum status set_text(char *to, size_t size, const char *text, const char *what, struct error *err)
{
    if (strlen(text) >= size)
        return error_set(err, STATUS_CONFIG, "the %s is too long: %zu bytes, at most %zu", what, strlen(text),
                         size - 1);
    memcpy(to, text, strlen(text) + 1);
    return STATUS_OK;
}

/* Settings of a new run before the data is known. */
static enum status fresh_settings(struct train_run *r, struct error *err)
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
    return status;
}

static const char *default_tokenizer(const struct train_flags *f)
{
    return f->s.preset && strstr(f->s.preset, "-char") ? "char" : "byte";
}

static enum status load_tokenizer(struct train_run *r, const struct dataset_job *job, bool shards,
                                  struct error *err)
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
            status = error_set(err, STATUS_CONFIG, "--tokenizer %s is not the one the shards of %s were made with", name,
                               f->data);
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

static enum status fresh_data(struct train_run *r, struct error *err)
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
            status = set_text(r->info.tokens_file, sizeof r->info.tokens_file,
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
        status = set_text(r->info.data_path, sizeof r->info.data_path, f->data, "path of the data", err);
    if (status != STATUS_OK)
        return status;
    r->info.data_crc32 = tokens_crc32(r->tokens);
    if (r->tokenizer) {
        r->info.tokenizer_crc32 = tokenizer_crc32(r->tokenizer);
        snprintf(r->info.tokenizer_kind, sizeof r->info.tokenizer_kind, "%s", tokenizer_kind(r->tokenizer));
    }
    return STATUS_OK;
}

/* The texts of the tokenizer, which every checkpoint carries and the run keeps. */
static enum status prepare_extras(struct train_run *r, struct error *err)
{
    if (!r->tokenizer)
        return STATUS_OK;
    enum status status = tokenizer_json(r->tokenizer, &r->tokenizer_json, err);
    if (status == STATUS_OK)
        status = tokenizer_config_json(r->tokenizer, r->info.settings.model.n_positions, &r->tokenizer_config, err);
    if (status != STATUS_OK)
        return status;
    r->extras[0] = (struct checkpoint_extra){"tokenizer.json", r->tokenizer_json.data, r->tokenizer_json.len};
    r->extras[1] =
        (struct checkpoint_extra){"tokenizer_config.json", r->tokenizer_config.data, r->tokenizer_config.len};
    r->num_extras = 2;
    if (!r->fresh)
        return STATUS_OK;
    struct buffer path = {0};
    status = file_replace(path_join(&path, run_directory_path(r->run), "tokenizer.json"), r->tokenizer_json.data,
                          r->tokenizer_json.len, err);
    if (status == STATUS_OK) /* for a resumed run, whose checkpoints carry it too */
        status = file_replace(path_join(&path, run_directory_path(r->run), "tokenizer_config.json"),
                              r->tokenizer_config.data, r->tokenizer_config.len, err);
    buffer_release(&path);
    return status;
}

/* With packing: where the documents begin, which is part of what a run is. */
static enum status find_documents(struct train_run *r, struct error *err)
{
    struct train_settings *s = &r->info.settings;
    if (s->packing == PACKING_NONE)
        return STATUS_OK;
    r->documents = documents_open(r->tokens, dataset_marks(r->tokenizer, &s->model), err);
    if (!r->documents)
        return err->status;
    s->documents_crc32 = documents_crc32(r->documents);
    return STATUS_OK;
}

static enum status make_iterator(struct train_run *r, struct error *err)
{
    struct train_settings *s = &r->info.settings;
    struct batch_options options = {.seq_len = s->seq_len,
                                    .batch_size = s->batch_size,
                                    .val_fraction = s->val_fraction,
                                    .seed = s->seed,
                                    .packing = s->packing,
                                    .documents = r->documents};
    r->iterator = batch_iterator_create(r->tokens, &options, err);
    if (!r->iterator)
        return err->status;
    if (s->epochs > 0 && (r->fresh || option_given(r->options, "epochs"))) {
        double steps = ceil(s->epochs * (double)batch_iterator_windows(r->iterator) / (double)s->batch_size);
        if (!(steps < 0x1p62))
            return error_set(err, STATUS_CONFIG, "--epochs %g makes more steps than can be counted", s->epochs);
        s->steps = steps < 1 ? 1 : (uint64_t)steps;
    }
    return STATUS_OK;
}

/* With packing a part may be there and have nothing to predict. */
static enum status check_targets(const struct train_run *r, struct error *err)
{
    const bool trains = batch_iterator_trains_any(r->iterator);
    if (trains && (batch_iterator_val_windows(r->iterator) == 0 || batch_iterator_validates_any(r->iterator)))
        return STATUS_OK;
    return error_set(err, STATUS_CONFIG,
                     "%s: with --packing documents no token of its %s part can be predicted, since none of the documents there "
                     "has a second one; %s", r->flags->data, trains ? "validation" : "training",
                     trains ? "give more text, a larger --val-fraction, or 0 for none" : "give longer texts, or --packing none");
}

static enum status start_crew(struct train_run *r, struct error *err)
{
    enum team_backend backend;
    const enum status status = team_backend_parse(r->flags->backend, &backend, err);
    return status == STATUS_OK ? crew_start(&r->crew, r->flags->threads, backend, err) : status;
}

static enum status make_system(struct train_run *r, struct error *err)
{
    const struct threaded_training_options options = {.num_threads = r->crew.threads,
                                                      .backend = r->crew.backend,
                                                      .pool = r->crew.pool,
                                                      .stop = r->interrupt.token};
    r->system = threaded_training_create_with(r->training, r->iterator, &options, err);
    if (!r->system)
        return err->status;
    struct error ignored; /* without it nothing is said of shares */
    threaded_training_measure_peak(r->system, &ignored);
    if (!r->flags->profile)
        return STATUS_OK;
    /* The first step touches memory for the first time; it is left out where there are others. */
    const uint64_t skip = r->info.settings.steps > training_step(r->training) + 1;
    return threaded_training_profile(r->system, skip, TRACED_STEPS, err);
}

static enum status open_metrics(struct train_run *r, struct error *err)
{
    struct buffer path = {0};
    r->metrics =
        metrics_open(path_join(&path, run_directory_path(r->run), "metrics.jsonl"), training_step(r->training), err);
    buffer_release(&path);
    return r->metrics ? validation_read(&r->validation, metrics_path(r->metrics), r->info.settings.eval_every, err)
                      : err->status;
}

static enum status sync_metrics(void *ctx, struct error *err)
{
    return metrics_sync_written(ctx, err);
}

static enum status make_saver(struct train_run *r, struct error *err)
{
    r->saver = saver_new(&(struct saver_options){.training = r->training,
                                                 .system = r->system,
                                                 .run_directory = run_directory_path(r->run),
                                                 .settings_hash = r->settings_hash,
                                                 .extras = r->extras,
                                                 .num_extras = r->num_extras,
                                                 .before = sync_metrics,
                                                 .ctx = r->metrics},
                         err);
    return r->saver ? STATUS_OK : err->status;
}

static enum status note_threads(struct train_run *r, struct error *err)
{
    r->info.threads = r->flags->threads;
    if (r->flags->backend == r->info.backend) /* a resumed run's own */
        return STATUS_OK;
    return set_text(r->info.backend, sizeof r->info.backend, r->flags->backend, "back end", err);
}

/* One micro-batch of the evaluation to come, so that what is wrong with model or memory is found now and not at its first
 * turn.  A resumed run has had it. */
static enum status dry_evaluation(struct train_run *r, struct error *err)
{
    const uint64_t windows = batch_iterator_val_windows(r->iterator), start = clock_now_ns();
    const struct train_settings *s = &r->info.settings;
    double loss;
    if (windows == 0)
        return STATUS_OK;
    status_line_draw(&r->line, "before the first step: an evaluation and a checkpoint");
    const enum status status = threaded_training_evaluate(r->system, 1, &loss);
    if (status != STATUS_OK)
        return error_set(err, status, "%s", threaded_training_error(r->system));
    /* windows of nothing but documents too short to predict anything have no loss */
    if (!isfinite(loss) && !(isnan(loss) && s->packing == PACKING_DOCUMENTS))
        return error_set(err, STATUS_NONFINITE,
                         "before the first step the loss of a micro-batch of the validation part is %g: the weights of %s are of no use",
                         loss, *r->info.init_directory ? r->info.init_directory : "this model");
    r->measured.eval_leaf = 1e-9 * (double)(clock_now_ns() - start) / (windows < s->micro_batch ? 2 : 1);
    return STATUS_OK;
}

/* The first checkpoint is that of step 0: saving is seen to work before any work is done, and a run can be resumed from its
 * first moment. */
static enum status first_checkpoint(struct train_run *r, struct error *err)
{
    const uint64_t start = clock_now_ns();
    const enum status status = checkpoint_save(r->training, run_directory_path(r->run), r->settings_hash, r->extras,
                                               r->num_extras, NULL, err);
    r->measured.save = 1e-9 * (double)(clock_now_ns() - start);
    return status;
}

enum status train_setup_fresh(struct train_run *r, struct error *err)
{
    const struct train_flags *f = r->flags;
    enum status status = fresh_settings(r, err);
    if (status != STATUS_OK)
        return status;
    if (!file_exists(f->data))
        return error_set(err, STATUS_IO, "--data %s: no such file or directory", f->data);
    status = start_crew(r, err);
    if (status != STATUS_OK)
        return status;
    r->run = run_directory_create(f->out, err);
    if (!r->run)
        return err->status;
    status = fresh_data(r, err);
    if (status == STATUS_OK)
        status = find_documents(r, err);
    if (status == STATUS_OK)
        status = make_iterator(r, err);
    if (status == STATUS_OK)
        status = check_targets(r, err);
    if (status == STATUS_OK)
        status = train_settings_check(&r->info.settings, err);
    if (status == STATUS_OK)
        status = settings_flags_fit(&f->s, r->options, true, f->threads, &r->info.settings, err);
    if (status != STATUS_OK)
        return status;
    r->settings_hash = train_settings_hash(&r->info.settings, r->info.data_crc32, r->info.tokenizer_crc32);
    r->training = f->init ? training_create_from(&r->info.settings, f->init, err)
                          : training_create_on(&r->info.settings, r->crew.pool, err);
    if (!r->training)
        return err->status;
    status = make_system(r, err);
    if (status == STATUS_OK)
        status = run_directory_check_space(r->run, &r->info.settings, 0,
                                           training_planned(r->training)->checkpoint_bytes, err);
    if (status == STATUS_OK && f->init)
        status = set_text(r->info.init_directory, sizeof r->info.init_directory, f->init, "path of the model", err);
    if (status == STATUS_OK)
        status = note_threads(r, err);
    if (status == STATUS_OK)
        status = prepare_extras(r, err);
    if (status == STATUS_OK)
        status = run_directory_write_info(r->run, &r->info, err);
    if (status == STATUS_OK)
        status = open_metrics(r, err);
    if (status == STATUS_OK)
        status = make_saver(r, err);
    if (status == STATUS_OK)
        status = dry_evaluation(r, err);
    if (status == STATUS_OK)
        status = first_checkpoint(r, err);
    return status;
}

/* On resuming, flags may repeat what the run has and change what does not reach the weights. */
static void resumed_settings(struct train_run *r)
{
    struct train_flags *f = r->flags;
    struct train_settings recorded = r->info.settings, *s = &f->s.settings;
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

/* What metrics.jsonl has of the checkpoint's step is in force again; what will be cut out of it waits. */
static enum status resumed_events(struct train_run *r, struct error *err)
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

/* Threads and back end of the run where the command line does not say; the crew. */
static enum status recorded_crew(struct train_run *r, struct error *err)
{
    if (!option_given(r->options, "threads"))
        r->flags->threads = r->info.threads;
    if (!option_given(r->options, "backend"))
        r->flags->backend = r->info.backend;
    return start_crew(r, err);
}

/* Tokenizer, tokens and iterator of the run whose files are in r->run. */
static enum status recorded_data(struct train_run *r, struct error *err)
{
    enum status status = resumed_tokenizer(r, err);
    if (status == STATUS_OK)
        status = resumed_data(r, err);
    if (status == STATUS_OK)
        status = find_documents(r, err);
    if (status == STATUS_OK)
        status = make_iterator(r, err);
    return status == STATUS_OK ? train_settings_check(&r->info.settings, err) : status;
}

enum status train_setup_resume(struct train_run *r, struct error *err)
{
    const char *directory = r->flags->resume;
    struct train_settings recorded = r->info.settings;
    enum status status = recorded_crew(r, err);
    resumed_settings(r);
    if (status == STATUS_OK)
        status = recorded_data(r, err);
    if (status == STATUS_OK)
        status = settings_flags_fit(&r->flags->s, r->options, false, r->flags->threads, &r->info.settings, err);
    char difference[256];
    if (status == STATUS_OK && train_settings_differ(&recorded, &r->info.settings, difference, sizeof difference))
        status = error_set(err, STATUS_CONFIG,
                           "%s was begun with other settings (%s); a run goes on only with its own, "
                           "--init %s/checkpoints/latest begins a new one from its weights",
                           directory, difference, directory);
    if (status != STATUS_OK)
        return status;
    r->settings_hash = train_settings_hash(&r->info.settings, r->info.data_crc32, r->info.tokenizer_crc32);
    r->training = training_create_on(&r->info.settings, r->crew.pool, err);
    if (!r->training)
        return err->status;
    struct buffer warning = {0};
    status = checkpoint_load_latest(r->training, directory, r->settings_hash, &warning, err);
    if (warning.len)
        command_say("train", "warning: %s", warning.data);
    buffer_release(&warning);
    if (status == STATUS_OK)
        status = checkpoint_tidy(r->training, directory, err);
    if (status == STATUS_OK)
        status = make_system(r, err);
    if (status == STATUS_OK)
        status = run_directory_check_space(r->run, &r->info.settings, training_step(r->training),
                                           training_planned(r->training)->checkpoint_bytes, err);
    if (status == STATUS_OK)
        status = note_threads(r, err);
    if (status == STATUS_OK)
        status = prepare_extras(r, err);
    if (status == STATUS_OK)
        status = run_directory_write_info(r->run, &r->info, err);
    if (status == STATUS_OK)
        status = resumed_events(r, err);
    if (status == STATUS_OK)
        status = open_metrics(r, err);
    if (status == STATUS_OK)
        status = make_saver(r, err);
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

enum status train_setup_replay(struct train_run *r, struct error *err)
{
    static const char *const files[] = {"tokens.bin", "tokens.idx", "tokenizer.json", "tokenizer_config.json"};
    const char *of = r->flags->replay, *init = r->info.init_directory;
    struct train_settings recorded = r->info.settings;
    enum status status = recorded_crew(r, err);
    resumed_settings(r);
    if (status == STATUS_OK && !(r->run = run_directory_create(r->flags->out, err)))
        status = err->status;
    for (size_t i = 0; i < sizeof files / sizeof *files && status == STATUS_OK; i++)
        status = take_file(r, files[i], err);
    if (status == STATUS_OK)
        status = recorded_data(r, err);
    if (status == STATUS_OK)
        status = settings_flags_fit(&r->flags->s, r->options, false, r->flags->threads, &r->info.settings, err);
    char difference[256];
    if (status == STATUS_OK && train_settings_differ(&recorded, &r->info.settings, difference, sizeof difference))
        status = error_set(err, STATUS_CONFIG, "--replay has the settings of %s, and they cannot be others (%s)", of,
                           difference);
    if (status != STATUS_OK)
        return status;
    r->settings_hash = train_settings_hash(&r->info.settings, r->info.data_crc32, r->info.tokenizer_crc32);
    r->training = *init ? training_create_from(&r->info.settings, init, err)
                        : training_create_on(&r->info.settings, r->crew.pool, err);
    if (!r->training)
        return err->status;
    status = make_system(r, err);
    if (status == STATUS_OK)
        status = run_directory_check_space(r->run, &r->info.settings, 0,
                                           training_planned(r->training)->checkpoint_bytes, err);
    if (status == STATUS_OK)
        status = note_threads(r, err);
    if (status == STATUS_OK)
        status = prepare_extras(r, err);
    if (status == STATUS_OK)
        status = run_directory_write_info(r->run, &r->info, err);
    if (status == STATUS_OK)
        status = run_events_replay(of, run_directory_path(r->run), &r->waiting, err);
    if (status == STATUS_OK)
        status = open_metrics(r, err);
    if (status == STATUS_OK)
        status = make_saver(r, err);
    if (status == STATUS_OK)
        status = dry_evaluation(r, err);
    if (status == STATUS_OK)
        status = first_checkpoint(r, err);
    return status;
}
