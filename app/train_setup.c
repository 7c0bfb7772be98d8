/* SPDX-License-Identifier: MIT
 * app/train_setup.c - everything `cllm train` needs before the first step: the order in which a new run, one that goes on and one
 * that repeats another are made, and what all of them do.
 */
#include "app/dataset.h"
#include "app/train_setup_internal.h"
#include "base/clock.h"
#include "base/file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TRACED_STEPS = 3 };

enum status train_setup__text(char *to, size_t size, const char *text, const char *what, struct error *err)
{
    if (strlen(text) >= size)
        return error_set(err, STATUS_CONFIG, "the %s is too long: %zu bytes, at most %zu", what, strlen(text),
                         size - 1);
    memcpy(to, text, strlen(text) + 1);
    return STATUS_OK;
}

static enum status start_crew(struct train_run *r, struct error *err)
{
    enum team_backend backend;
    const enum status status = team_backend_parse(r->flags->backend, &backend, err);
    return status == STATUS_OK ? crew_start(&r->crew, r->flags->threads, backend, err) : status;
}

static enum status new_directory(struct train_run *r, struct error *err)
{
    r->run = run_directory_create(r->flags->out, err);
    return r->run ? STATUS_OK : err->status;
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

/* The settings as they are once the data is known, and what --fit makes of them. */
static enum status settle_settings(struct train_run *r, struct error *err)
{
    const struct train_flags *f = r->flags;
    const bool may_choose = !f->resume && !f->replay;
    const enum status status = train_settings_check(&r->info.settings, err);
    return status == STATUS_OK ? settings_flags_fit(&f->s, r->options, may_choose, f->threads, &r->info.settings, err)
                               : status;
}

static enum status make_training(struct train_run *r, struct error *err)
{
    const char *init = r->flags->resume ? "" : r->info.init_directory; /* a checkpoint takes its place */
    r->settings_hash = train_settings_hash(&r->info.settings, r->info.data_crc32, r->info.tokenizer_crc32);
    r->training = *init ? training_create_from(&r->info.settings, init, err)
                        : training_create_on(&r->info.settings, r->crew.pool, err);
    return r->training ? STATUS_OK : err->status;
}

static enum status make_system(struct train_run *r, struct error *err)
{
    const struct threaded_training_options options = {
        .num_threads = r->crew.threads, .backend = r->crew.backend, .pool = r->crew.pool, .stop = r->interrupt.token};
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

static enum status check_space(struct train_run *r, struct error *err)
{
    return run_directory_check_space(r->run, &r->info.settings, training_step(r->training),
                                     training_planned(r->training)->checkpoint_bytes, err);
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

static enum status write_record(struct train_run *r, struct error *err)
{
    r->info.threads = r->flags->threads;
    if (r->flags->backend != r->info.backend && /* the record's own */
        train_setup__text(r->info.backend, sizeof r->info.backend, r->flags->backend, "back end", err) != STATUS_OK)
        return err->status;
    return run_directory_write_info(r->run, &r->info, err);
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
                         "before the first step the loss of a micro-batch of the validation part is %g: the weights of "
                         "%s are of no use",
                         loss, *r->info.init_directory ? r->info.init_directory : "this model");
    r->measured.eval_leaf = 1e-9 * (double)(clock_now_ns() - start) / (windows < s->micro_batch ? 2 : 1);
    return STATUS_OK;
}

/* The first checkpoint is that of step 0: saving is seen to work before any work is done, and a run can be resumed from its
 * first moment. */
static enum status first_checkpoint(struct train_run *r, struct error *err)
{
    const uint64_t start = clock_now_ns();
    const enum status status =
        checkpoint_save(r->training, run_directory_path(r->run), r->settings_hash, r->extras, r->num_extras, NULL, err);
    r->measured.save = 1e-9 * (double)(clock_now_ns() - start);
    return status;
}

static enum status in_order(struct train_run *r, train_setup_step *const *steps, size_t n, struct error *err)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < n && status == STATUS_OK; i++)
        status = steps[i](r, err);
    return status;
}

enum status train_setup_fresh(struct train_run *r, struct error *err)
{
    static train_setup_step *const steps[] = {
        train_setup__new_settings,
        start_crew,
        new_directory,
        train_setup__new_data,
        find_documents,
        make_iterator,
        train_setup__new_targets,
        settle_settings,
        make_training,
        make_system,
        check_space,
        prepare_extras,
        write_record,
        open_metrics,
        make_saver,
        dry_evaluation,
        first_checkpoint,
    };
    return in_order(r, steps, sizeof steps / sizeof *steps, err);
}

enum status train_setup_resume(struct train_run *r, struct error *err)
{
    static train_setup_step *const steps[] = {
        train_setup__recorded_settings,
        start_crew,
        train_setup__recorded_data,
        find_documents,
        make_iterator,
        settle_settings,
        train_setup__same_settings,
        make_training,
        train_setup__checkpoint,
        make_system,
        check_space,
        prepare_extras,
        write_record,
        train_setup__resumed_events,
        open_metrics,
        make_saver,
    };
    return in_order(r, steps, sizeof steps / sizeof *steps, err);
}

enum status train_setup_replay(struct train_run *r, struct error *err)
{
    static train_setup_step *const steps[] = {
        train_setup__recorded_settings,
        start_crew,
        new_directory,
        train_setup__shared_files,
        train_setup__recorded_data,
        find_documents,
        make_iterator,
        settle_settings,
        train_setup__same_settings,
        make_training,
        make_system,
        check_space,
        prepare_extras,
        write_record,
        train_setup__repeated_events,
        open_metrics,
        make_saver,
        dry_evaluation,
        first_checkpoint,
    };
    return in_order(r, steps, sizeof steps / sizeof *steps, err);
}
