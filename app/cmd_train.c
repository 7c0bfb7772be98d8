/* SPDX-License-Identifier: MIT
 * app/cmd_train.c - `cllm train`: set-up, the main thread's watch over terminal and signals, and the summary.
 *
 * Set-up either succeeds as a whole or leaves nothing behind: a run directory it made is removed again when anything
 * fails before step 1.  The signals we answer are blocked in every thread and fetched by the main thread's loop, so no
 * handler runs anywhere; during set-up the passes over the corpus look for them.
 */
#include "app/command.h"
#include "app/dataset.h"
#include "app/options.h"
#include "app/settings_flags.h"
#include "app/status_line.h"
#include "app/text_source.h"
#include "app/training_thread.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/human.h"
#include "formats/json.h"
#include "topology/isa.h"
#include "topology/topology.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct option_usage usage = {
    .command = "train",
    .synopsis = "cllm train --data DATA --out RUN [options]\n"
                "       cllm train --data DATA --init MODEL --out RUN [options]\n"
                "       cllm train --resume RUN [options]",
    .summary =
        "Trains a GPT-2 on text and leaves a run directory: from scratch, on from a model (--init), or on with a run "
        "that was interrupted (--resume), which then gives the bits of a run that never was.",
    .examples = "  cllm train --preset shakespeare-char-cpu --data shakespeare.txt --tokenizer char --out run1\n"
                "  cllm train --preset gpt2 --data shards/ --batch-size 32 --seq-len 512 --steps 2000 --out run2\n"
                "  cllm train --resume run1 --threads 8\n"
                "  cllm train --init gpt2-model --data law/ --lr 3e-5 --steps 500 --out run3\n"
                "  cllm train --data logs.jsonl.gz --epochs 3 --batch-size 48 --micro-batch 12 --out run4\n",
    .notes = "While it runs: Ctrl-C or SIGTERM stops after the present step with a checkpoint (exit code 130 or 143);\n"
             "a second one ends at once. SIGUSR1 saves now, SIGUSR2 pauses and goes on. Keys on a terminal: p pause or\n"
             "go on, s save, q stop, c cancel the present step and stop. `cllm train --resume RUN` goes on with the run.\n",
};

struct train_flags {
    struct settings_flags s;
    const char *data, *tokenizer, *out, *resume, *init, *backend, *dtype, *optimizer, *sample_prompt;
    int threads;
    size_t sample_tokens;
    uint64_t log_every;
    bool spheres, quiet;
};

/* Everything a run needs, in the order it is made. */
struct train_run {
    struct train_flags *flags;
    struct option_def *options;
    struct run_directory *run;
    bool fresh;
    struct run_info info;
    struct tokenizer *tokenizer;
    struct tokens *tokens;
    struct batch_iterator *iterator;
    struct training *training;
    struct threaded_training *system;
    struct metrics *metrics;
    struct buffer tokenizer_json, tokenizer_config;
    struct checkpoint_extra extras[2];
    size_t num_extras;
    uint32_t settings_hash;
    struct status_line line;
    uint64_t tick_ns;
    int signal; /* that stopped us, or 0 */
};

/* ---- signals ---- */

/* The application thread's "I am done", so that the main thread need not wait for its next look. */
#define SIGNAL_DONE SIGRTMIN

static void watched_signals(sigset_t *set)
{
    struct sigaction hangup;
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGUSR1);
    sigaddset(set, SIGUSR2);
    sigaddset(set, SIGCONT);
    sigaddset(set, SIGNAL_DONE);
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) /* nohup's wish */
        sigaddset(set, SIGHUP);
}

/* The next watched signal that is there, or comes within the time; 0 for none. */
static int next_signal(long timeout_ns)
{
    sigset_t set;
    struct timespec timeout = {.tv_nsec = timeout_ns};
    watched_signals(&set);
    int signal = sigtimedwait(&set, NULL, &timeout);
    return signal > 0 ? signal : 0;
}

static bool is_stop_signal(int signal)
{
    return signal == SIGINT || signal == SIGTERM || signal == SIGHUP;
}

static void tell_done(void)
{
    kill(getpid(), SIGNAL_DONE);
}

/* Of set-up: shows how far a pass over the corpus is, ten times a second, and sees whether it is to go on. */
static bool setup_tick(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    struct train_run *r = ctx;
    uint64_t now = clock_now_ns();
    if (now - r->tick_ns < 100000000u)
        return true;
    r->tick_ns = now;
    for (int signal; (signal = next_signal(0));)
        if (is_stop_signal(signal))
            r->signal = signal;
    struct human a, b;
    char text[128];
    snprintf(text, sizeof text, "%s: %3.0f%%  %s of %s", what, total ? 100.0 * (double)done / (double)total : 100.0,
             human_bytes(&a, done), human_bytes(&b, total));
    status_line_draw(&r->line, text);
    return r->signal == 0;
}

/* ---- set-up ---- */

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
            s->model.embd_pdrop = s->model.attn_pdrop = s->model.resid_pdrop = (float)f->s.dropout;
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
    return f->s.preset && strncmp(f->s.preset, "shakespeare-char", 16) == 0 ? "char" : "byte";
}

static enum status load_tokenizer(struct train_run *r, const struct dataset_progress *progress, bool shards,
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
    else if (name && !(r->tokenizer = dataset_tokenizer(name, f->data, progress, err)))
        status = err->status;
    if (status == STATUS_OK && brought && name != beside.data) {
        struct tokenizer *of_shards = tokenizer_load(beside.data, err);
        if (!of_shards)
            status = err->status;
        else if (tokenizer_crc32(of_shards) != tokenizer_crc32(r->tokenizer))
            status = error_set(err, STATUS_CONFIG, "--tokenizer %s is not the one the shards of %s were made with", name, f->data);
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
        int32_t end_of_text = tokenizer_end_of_text(r->tokenizer);
        const int32_t begin_of_text = tokenizer_begin_of_text(r->tokenizer);
        model->eos_token_id = end_of_text;
        model->bos_token_id = begin_of_text >= 0 ? begin_of_text : end_of_text;
    } else if (!f->init && (size_t)model->eos_token_id >= model->vocab_size) {
        model->bos_token_id = model->eos_token_id = -1;
    }
    return STATUS_OK;
}

static enum status fresh_data(struct train_run *r, struct error *err)
{
    const struct train_flags *f = r->flags;
    struct dataset_progress progress = {.tick = setup_tick, .ctx = r};
    const char *directory = run_directory_path(r->run);
    bool shards = dataset_is_shards(f->data);
    enum status status = load_tokenizer(r, &progress, shards, err);
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
        status = dataset_tokenize(f->data, r->tokenizer, directory, f->threads, &progress, NULL, err);
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

static enum status make_iterator(struct train_run *r, struct error *err)
{
    struct train_settings *s = &r->info.settings;
    struct batch_options options = {
        .seq_len = s->seq_len, .batch_size = s->batch_size, .val_fraction = s->val_fraction, .seed = s->seed};
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

static enum status make_system(struct train_run *r, struct error *err)
{
    enum team_backend backend;
    enum status status = team_backend_parse(r->flags->backend, &backend, err);
    if (status != STATUS_OK)
        return status;
    r->system = threaded_training_create_with(r->training, r->iterator, r->flags->threads, backend, err);
    return r->system ? STATUS_OK : err->status;
}

static enum status open_metrics(struct train_run *r, struct error *err)
{
    struct buffer path = {0};
    r->metrics =
        metrics_open(path_join(&path, run_directory_path(r->run), "metrics.jsonl"), training_step(r->training), err);
    buffer_release(&path);
    return r->metrics ? STATUS_OK : err->status;
}

static enum status note_threads(struct train_run *r, struct error *err)
{
    r->info.threads = r->flags->threads;
    if (r->flags->backend == r->info.backend) /* a resumed run's own */
        return STATUS_OK;
    return set_text(r->info.backend, sizeof r->info.backend, r->flags->backend, "back end", err);
}

static enum status setup_fresh(struct train_run *r, struct error *err)
{
    const struct train_flags *f = r->flags;
    enum status status = fresh_settings(r, err);
    if (status != STATUS_OK)
        return status;
    if (!file_exists(f->data))
        return error_set(err, STATUS_IO, "--data %s: no such file or directory", f->data);
    r->run = run_directory_create(f->out, err);
    if (!r->run)
        return err->status;
    status = fresh_data(r, err);
    if (status == STATUS_OK)
        status = make_iterator(r, err);
    if (status == STATUS_OK)
        status = train_settings_check(&r->info.settings, err);
    if (status != STATUS_OK)
        return status;
    r->settings_hash = train_settings_hash(&r->info.settings, r->info.data_crc32, r->info.tokenizer_crc32);
    r->training =
        f->init ? training_create_from(&r->info.settings, f->init, err) : training_create(&r->info.settings, err);
    if (!r->training)
        return err->status;
    status = make_system(r, err);
    if (status == STATUS_OK)
        status = run_directory_check_space(r->run, training_planned(r->training)->checkpoint_bytes,
                                           r->info.settings.steps, err);
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
    /* The first checkpoint is that of step 0: saving is seen to work before any work is done, and a run can be resumed
     * from its first moment. */
    if (status == STATUS_OK)
        status = checkpoint_save(r->training, f->out, r->settings_hash, r->extras, r->num_extras, NULL, err);
    return status;
}

/* On resuming, flags may repeat what the run has and change what does not reach the weights. */
static void resumed_settings(struct train_run *r)
{
    struct train_flags *f = r->flags;
    struct train_settings recorded = r->info.settings, *s = &f->s.settings;
    if (f->s.preset || f->s.config) {
        /* Built as for a new run, so that it can be compared; the vocabulary came from the data then. */
        s->model.bos_token_id = recorded.model.bos_token_id;
        s->model.eos_token_id = recorded.model.eos_token_id;
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

static enum status setup_resume(struct train_run *r, struct error *err)
{
    const char *directory = r->flags->resume;
    struct train_settings recorded = r->info.settings;
    if (!option_given(r->options, "threads"))
        r->flags->threads = r->info.threads;
    if (!option_given(r->options, "backend"))
        r->flags->backend = r->info.backend;
    resumed_settings(r);
    enum status status = resumed_tokenizer(r, err);
    if (status == STATUS_OK)
        status = resumed_data(r, err);
    if (status == STATUS_OK)
        status = make_iterator(r, err);
    if (status == STATUS_OK)
        status = train_settings_check(&r->info.settings, err);
    char difference[256];
    if (status == STATUS_OK && train_settings_differ(&recorded, &r->info.settings, difference, sizeof difference))
        status = error_set(err, STATUS_CONFIG,
                           "%s was begun with other settings (%s); a run goes on only with its own, "
                           "--init %s/checkpoints/latest begins a new one from its weights",
                           directory, difference, directory);
    if (status != STATUS_OK)
        return status;
    r->settings_hash = train_settings_hash(&r->info.settings, r->info.data_crc32, r->info.tokenizer_crc32);
    r->training = training_create(&r->info.settings, err);
    if (!r->training)
        return err->status;
    struct buffer warning = {0};
    status = checkpoint_load_latest(r->training, directory, r->settings_hash, &warning, err);
    if (warning.len)
        command_say("train", "warning: %s", warning.data);
    buffer_release(&warning);
    if (status == STATUS_OK)
        status = make_system(r, err);
    if (status == STATUS_OK)
        status = run_directory_check_space(r->run, training_planned(r->training)->checkpoint_bytes,
                                           r->info.settings.steps - training_step(r->training), err);
    if (status == STATUS_OK)
        status = note_threads(r, err);
    if (status == STATUS_OK)
        status = prepare_extras(r, err);
    if (status == STATUS_OK)
        status = run_directory_write_info(r->run, &r->info, err);
    if (status == STATUS_OK)
        status = open_metrics(r, err);
    return status;
}

/* ---- what is said ---- */

static void print_header(struct train_run *r)
{
    const struct train_settings *s = &r->info.settings;
    const struct model_config *m = &s->model;
    struct topology topology;
    struct human a, b, c;
    struct buffer text = {0};
    topology_read(&topology);
    buffer_printf(&text, "model    %s%s%zu layers, %zu heads, %zu wide, context %zu: %s parameters\n", s->preset,
                  s->preset[0] ? ": " : "", m->n_layer, m->n_head, m->n_embd, m->n_positions,
                  human_whole(&a, model_config_num_parameters(m)));
    buffer_printf(&text, "data     %s: %s tokens, vocabulary %zu (%s); %s windows an epoch, %s for validation\n",
                  r->info.data_path, human_whole(&a, tokens_count(r->tokens)), m->vocab_size,
                  r->tokenizer ? r->info.tokenizer_kind : "as the shards have it",
                  human_whole(&b, batch_iterator_windows(r->iterator)),
                  human_whole(&c, batch_iterator_val_windows(r->iterator)));
    buffer_printf(&text, "steps    %" PRIu64 " of %zu x %zu tokens, micro-batch %zu; AdamW, lr %g to %g, %s, %" PRIu64
                  " steps of warm-up\n", s->steps, s->batch_size, s->seq_len, s->micro_batch, s->schedule.lr,
                  s->schedule.min_lr, schedule_name(s->schedule.kind), s->schedule.warmup_steps);
    buffer_printf(&text, "spheres  %d (%s), %s, %s; this machine: %s\n", threaded_training_get_num_workers(r->system),
                  r->flags->backend, r->info.isa, r->info.dtype, topology.limited_by);
    buffer_printf(&text, "memory   %s planned, %s available\n",
                  human_bytes(&a, training_planned(r->training)->total_bytes),
                  human_bytes(&b, topology.memory_available_bytes));
    buffer_printf(&text, "run      %s", run_directory_path(r->run));
    if (!r->fresh)
        buffer_printf(&text, ", resumed at step %" PRIu64, training_step(r->training));
    buffer_append_text(&text, "\n");
    if (text.data)
        status_line_print(&r->line, text.data);
    buffer_release(&text);
}

static void print_stats(struct train_run *r)
{
    struct stats_report report;
    struct buffer text = {0};
    struct error err;
    if (threaded_training_report(r->system, &report, &err) != STATUS_OK) {
        command_say("train", "%s", err.text);
        return;
    }
    buffer_append_text(&text, "\n");
    stats_report_table(&report, r->flags->spheres, &text);
    if (text.data)
        status_line_print(&r->line, text.data);
    buffer_release(&text);
    stats_report_release(&report);
}

static void print_summary(struct train_run *r, const struct training_result *result)
{
    const struct train_settings *s = &r->info.settings;
    struct human a, b, c;
    struct buffer text = {0};
    bool finished = result->last_step >= s->steps;
    buffer_printf(&text, "\n%s at step %" PRIu64 " of %" PRIu64 "\n",
                  finished ? "done" : result->status != STATUS_OK ? "ended" : "stopped", result->last_step, s->steps);
    buffer_printf(&text, "  trained     %" PRIu64 " steps, %s tokens in %s (%s tokens/s in steps)\n",
                  result->last_step - result->first_step, human_whole(&a, result->tokens),
                  human_duration(&b, result->seconds),
                  human_count(&c, result->step_seconds > 0 ? (double)result->tokens / result->step_seconds : 0));
    if (!isnan(result->loss))
        buffer_printf(&text, "  train loss  %.4f in the last step\n", result->loss);
    if (!isnan(result->val_loss))
        buffer_printf(&text, "  val loss    %.4f at step %" PRIu64 "\n", result->val_loss, result->val_step);
    buffer_printf(&text, "  checkpoint  %s\n",
                  result->checkpoint.len ? result->checkpoint.data : "none from this session");
    if (!finished)
        buffer_printf(&text, "  go on with  cllm train --resume %s\n", run_directory_path(r->run));
    if (text.data)
        status_line_print(&r->line, text.data);
    buffer_release(&text);
}

static void free_training(struct train_run *r)
{
    metrics_close(r->metrics);
    threaded_training_free(r->system);
    batch_iterator_free(r->iterator);
    training_free(r->training);
    tokens_close(r->tokens);
    r->metrics = NULL;
    r->system = NULL;
    r->iterator = NULL;
    r->training = NULL;
    r->tokens = NULL;
}

/* From the checkpoint as it lies on disk, after the training's memory is given back: a run shows with its last word
 * that what it saved can be used. */
static enum status print_sample(struct train_run *r, const char *checkpoint, struct error *err)
{
    struct loaded_model loaded;
    struct buffer text = {0};
    struct sampling sampling = {.temperature = 0.8, .top_p = 1, .seed = r->info.settings.seed};
    enum status status = loaded_model_open(&loaded, checkpoint, err);
    buffer_append_text(&text, "\nsample:\n");
    if (status == STATUS_OK)
        status = sample_of_model(loaded.model, loaded.tokenizer, r->flags->threads, r->flags->sample_prompt, &sampling,
                                 r->flags->sample_tokens, &text, err);
    buffer_append_text(&text, "\n");
    if (status == STATUS_OK && text.data)
        status_line_print(&r->line, text.data);
    buffer_release(&text);
    loaded_model_release(&loaded);
    return status;
}

/* ---- the main thread while the training runs ---- */

struct watch {
    struct train_run *r;
    struct training_thread *thread;
    uint64_t printed_step, printed_ns;
    bool pausing, stopping;
};

static void toggle_pause(struct watch *w)
{
    w->pausing = !w->pausing;
    if (!w->pausing)
        training_thread_resumed(w->thread);
    threaded_training_command(w->r->system, w->pausing ? TRAINING_PAUSE : TRAINING_RESUME);
    status_line_print(&w->r->line, w->pausing ? "pausing after this step (p or SIGUSR2 goes on)\n" : "going on\n");
}

static void ask_stop(struct watch *w, enum training_command command)
{
    w->stopping = true;
    threaded_training_command(w->r->system, command);
}

static void answer_signal(struct watch *w, int signal)
{
    struct train_run *r = w->r;
    if (is_stop_signal(signal)) {
        if (r->signal || w->stopping) {
            status_line_keys_off(&r->line);
            status_line_clear(&r->line);
            _exit(128 + signal);
        }
        r->signal = signal;
        ask_stop(w, TRAINING_STOP);
        status_line_print(&r->line, "stopping after this step; once more ends at once\n");
    } else if (signal == SIGUSR1) {
        threaded_training_command(r->system, TRAINING_SAVE_NOW);
    } else if (signal == SIGUSR2) {
        toggle_pause(w);
    } else if (signal == SIGCONT) {
        status_line_keys_on(&r->line);
    }
}

static void answer_key(struct watch *w, char key)
{
    switch (key) {
    case 'p':
        toggle_pause(w);
        break;
    case 's':
        threaded_training_command(w->r->system, TRAINING_SAVE_NOW);
        break;
    case 'q':
        ask_stop(w, TRAINING_STOP);
        break;
    case 'c':
        ask_stop(w, TRAINING_CANCEL);
        break;
    default:
        break;
    }
}

/* Prints what is new: the thread's lines, the live status, or now and then a plain line. */
static void show(struct watch *w, const struct training_snapshot *now)
{
    struct train_run *r = w->r;
    struct buffer text = {0};
    bool stepped = now->step != w->printed_step && !isnan(now->loss);
    uint64_t time = clock_now_ns();
    if (!r->line.live && r->flags->log_every == 0 && stepped && (now->done || time - w->printed_ns >= 1000000000u)) {
        training_line(now, &text);
        buffer_append_text(&text, "\n");
        w->printed_step = now->step;
        w->printed_ns = time;
    }
    training_thread_take_lines(w->thread, &text);
    if (text.len)
        status_line_print(&r->line, text.data);
    buffer_clear(&text);
    if (r->line.live && !now->done) {
        if (!isnan(now->loss))
            training_line(now, &text);
        const char *state = now->busy                                  ? now->busy
                            : threaded_training_paused(r->system)      ? "paused"
                            : w->stopping                              ? "stopping"
                            : isnan(now->loss)                         ? "first step"
                                                                       : NULL;
        if (state)
            buffer_printf(&text, "  [%s]", state);
        if (text.data)
            status_line_draw(&r->line, text.data);
    }
    buffer_release(&text);
}

static void watch(struct train_run *r, struct training_thread *thread)
{
    struct watch w = {.r = r, .thread = thread, .printed_step = UINT64_MAX};
    struct training_snapshot now;
    status_line_keys_on(&r->line);
    do {
        int signal = next_signal(100000000);
        if (signal)
            answer_signal(&w, signal);
        for (char key; (key = status_line_key(&r->line));)
            answer_key(&w, key);
        training_thread_snapshot(thread, &now);
        show(&w, &now);
    } while (!now.done);
    status_line_keys_off(&r->line);
    status_line_clear(&r->line);
}

static int exit_code(const struct train_run *r)
{
    return r->signal ? 128 + r->signal : EXIT_CODE_OK;
}

/* Trains, and tells how it went. */
static int run(struct train_run *r, const sigset_t *watched)
{
    const struct train_flags *f = r->flags;
    struct error err = {0};
    struct training_job job = {
        .training = r->training, .iterator = r->iterator, .system = r->system, .run = r->run, .metrics = r->metrics,
        .tokenizer = r->tokenizer, .extras = r->extras, .num_extras = r->num_extras, .settings_hash = r->settings_hash,
        .threads = f->threads, .sample_prompt = f->sample_prompt, .sample_tokens = f->sample_tokens,
        .log_every = f->log_every, .done = tell_done,
    };
    struct training_thread *thread = training_thread_start(&job, &err);
    if (!thread)
        return command_failed("train", &err);
    watch(r, thread);
    struct training_result result;
    training_thread_join(thread, &result);
    print_summary(r, &result);
    print_stats(r);
    /* What is left is for show: a signal may end it as it ends any program. */
    sigprocmask(SIG_UNBLOCK, watched, NULL);
    free_training(r);
    int code = exit_code(r);
    if (result.status != STATUS_OK)
        code = command_failed("train", &result.error);
    else if (code == EXIT_CODE_OK && f->sample_tokens > 0 && result.checkpoint.len &&
             print_sample(r, result.checkpoint.data, &err) != STATUS_OK)
        code = command_failed("train", &err);
    buffer_release(&result.checkpoint);
    return code;
}

static int train(struct train_run *r)
{
    struct error err = {0};
    sigset_t watched;
    watched_signals(&watched);
    sigprocmask(SIG_BLOCK, &watched, NULL);
    status_line_init(&r->line, r->flags->quiet);
    enum status status = r->fresh ? setup_fresh(r, &err) : setup_resume(r, &err);
    status_line_clear(&r->line);
    int code;
    if (status != STATUS_OK) {
        if (r->signal)
            command_say("train", "interrupted before the first step; nothing is left behind");
        code = r->signal ? exit_code(r) : command_failed("train", &err);
        free_training(r);
        if (r->fresh) {
            run_directory_discard(r->run);
            r->run = NULL;
        }
    } else if (training_step(r->training) >= r->info.settings.steps) {
        print_header(r);
        status_line_print(&r->line, "the run is finished: all its steps are done\n");
        code = EXIT_CODE_OK;
    } else {
        print_header(r);
        code = run(r, &watched);
    }
    free_training(r);
    tokenizer_free(r->tokenizer);
    buffer_release(&r->tokenizer_json);
    buffer_release(&r->tokenizer_config);
    run_directory_close(r->run);
    return code;
}

/* ---- the command line ---- */

static int check_usage(const struct train_flags *f, const struct option_def *options)
{
    const char *wrong = NULL;
    if (f->resume && (f->out || f->init))
        wrong = "--resume goes on with a run and takes neither --out nor --init";
    else if (!f->resume && !f->out)
        wrong = "where to? Give --out RUN for a new run, or --resume RUN to go on with one";
    else if (!f->resume && !f->data)
        wrong = "on what? Give --data FILE (text, .gz, .jsonl, .bin, or a directory of those)";
    else if (f->init && (f->s.config || option_given(options, "n-layer") || option_given(options, "n-head") ||
                         option_given(options, "n-embd")))
        wrong = "--init takes the model as it is: --config, --n-layer, --n-head and --n-embd do not go with it";
    else if (option_given(options, "steps") && option_given(options, "epochs"))
        wrong = "--steps and --epochs exclude each other";
    else if (strcmp(f->dtype, "bf16") == 0)
        wrong = "--dtype bf16: there is only f32 so far; use --dtype f32 or auto";
    if (!wrong)
        return OPTIONS_GO_ON;
    command_say("train", "%s", wrong);
    return EXIT_CODE_USAGE;
}

int cmd_train(int argc, char **argv)
{
    static const char *const dtypes[] = {"auto", "f32", "bf16", NULL};
    static const char *const backends[] = {"pthread", "openmp", "serial", NULL};
    static const char *const optimizers[] = {"adamw", NULL};
    struct train_flags f = {.backend = "pthread", .dtype = "auto", .optimizer = "adamw", .sample_tokens = 200};
    struct train_settings *s = &f.s.settings;
    const double whole = OPTION_WHOLE_MAX;
    struct option_def options[] = {
        OPT_GROUP("What"),
        OPT_TEXT("data", "DATA", &f.data,
                 "text, .gz, .jsonl ({\"text\": ...}), a directory of those, or .bin token shards"),
        OPT_TEXT("tokenizer", "byte|char|PATH", &f.tokenizer,
                 "bytes (the default), the characters of the data, or a tokenizer.json"),
        OPT_TEXT("out", "RUN", &f.out, "directory to make for the run"),
        OPT_TEXT("resume", "RUN", &f.resume, "go on with a run from its newest sound checkpoint"),
        OPT_TEXT("init", "MODEL", &f.init, "begin with the weights of a model directory"),
        OPT_GROUP("Model"),
        SETTINGS_MODEL_FLAGS(&f.s),
        OPT_REAL("dropout", &f.s.dropout, 0, 0.999, "probability, for all of the model's dropouts"),
        OPT_GROUP("Steps"),
        SETTINGS_SHAPE_FLAGS(&f.s),
        OPT_U64("steps", &s->steps, 1, whole, "optimizer steps; the schedule ends with them"),
        OPT_REAL("epochs", &s->epochs, 1e-9, 1e9, "in place of --steps: passes over the data"),
        OPT_U64("seed", &s->seed, 0, whole, "of initial weights, order of the data, dropout and samples (1337)"),
        OPT_REAL("val-fraction", &s->val_fraction, 0, 0.5, "part of the data kept for validation, from its end"),
        OPT_GROUP("Optimizer"),
        OPT_CHOICE("optimizer", &f.optimizer, optimizers, "decoupled weight decay (Loshchilov and Hutter)"),
        OPT_REAL("lr", &s->schedule.lr, 0, 1000, "highest learning rate"),
        OPT_REAL("min-lr", &s->schedule.min_lr, 0, 1000,
                 "the last step's; without it the same part of --lr as the preset's"),
        OPT_U64("warmup-steps", &s->schedule.warmup_steps, 0, whole, "steps until the highest rate"),
        OPT_CHOICE("schedule", &f.s.schedule, schedule_choices, "after the warm-up"),
        OPT_REAL("weight-decay", &s->weight_decay, 0, 1e6, "on matrices and embeddings, not on biases and norms"),
        OPT_REAL("beta1", &s->beta1, 0, 0.999999999, "decay of the first moment"),
        OPT_REAL("beta2", &s->beta2, 0, 0.999999999, "decay of the second moment"),
        OPT_REAL("grad-clip", &s->grad_clip, 0, 1e30, "largest norm of the gradient; 0 = off"),
        OPT_GROUP("On the way"),
        OPT_U64("eval-every", &s->eval_every, 0, whole, "steps between evaluations; 0 = only at the end"),
        OPT_U64("eval-batches", &s->eval_batches, 0, whole,
                "micro-batches in an evaluation; 0 = all of the validation part"),
        OPT_U64("save-every", &s->save_every, 0, whole, "steps between checkpoints; 0 = only at the end"),
        OPT_U64("keep", &s->keep, 2, whole, "checkpoints to keep, the newest ones"),
        OPT_U64("sample-every", &s->sample_every, 0, whole, "steps between samples; 0 = only at the end"),
        OPT_TEXT("sample-prompt", "TEXT", &f.sample_prompt, "what samples begin with; without it a new line"),
        OPT_SIZE("sample-tokens", &f.sample_tokens, 0, 1 << 20, "length of a sample (200); 0 = none at the end"),
        OPT_U64("log-every", &f.log_every, 0, whole, "steps between lines; 0 = about one a second where piped"),
        OPT_FLAG("spheres", &f.spheres, "the last table shows every sphere, however many there are"),
        OPT_FLAG("quiet", &f.quiet, "print nothing but errors"),
        OPT_GROUP("Machine"),
        OPT_INT("threads", &f.threads, 0, SPHERES_MAX, "spheres; 0 = as many as there are cores to use (0)"),
        OPT_CHOICE("backend", &f.backend, backends, "what the spheres run on (pthread)"),
        OPT_CHOICE("dtype", &f.dtype, dtypes, "numbers to compute with; f32 is what there is so far (auto)"),
        OPT_END,
    };
    struct error err = {0};
    size_t found = 0;
    int code = options_parse(argc, argv, options, &usage, NULL, 0, &found);
    if (code == OPTIONS_GO_ON)
        code = check_usage(&f, options);
    if (code != OPTIONS_GO_ON)
        return code;

    struct train_run r = {.flags = &f, .options = options, .fresh = !f.resume};
    enum status status = STATUS_OK;
    if (f.resume) {
        r.run = run_directory_open(f.resume, &r.info, &err);
        if (!r.run)
            return command_failed("train", &err);
    }
    if (f.resume && !f.s.preset && !f.s.config)
        f.s.base = f.s.settings = r.info.settings;
    else
        status = settings_flags_base(&f.s, &err);
    /* Again, now over the preset's or the run's settings. */
    if (status == STATUS_OK && options_parse(argc, argv, options, &usage, NULL, 0, &found) == OPTIONS_GO_ON)
        status = settings_flags_finish(&f.s, options, &err);
    if (status != STATUS_OK) {
        run_directory_close(r.run);
        return command_failed("train", &err);
    }
    return command_finish_output("train", train(&r));
}
