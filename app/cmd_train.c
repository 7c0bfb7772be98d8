/* SPDX-License-Identifier: MIT
 * app/cmd_train.c - `cllm train`: its command line, and the main thread's watch over terminal and signals.
 *
 * Set-up either succeeds as a whole or leaves nothing behind: a run directory it made is removed again when anything
 * fails before step 1.  The signals we answer are blocked in every thread and fetched, so no handler runs anywhere: by
 * interrupt.h's thread during set-up, then by the main thread's loop.  Both cancel the token of the run, which set-up,
 * evaluations and samples look at; a step or a checkpoint that was begun is finished.
 */
#include "app/command.h"
#include "app/text_source.h"
#include "app/train_run.h"
#include "app/train_watch.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/file_writer.h"

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
                "       cllm train --resume RUN [options]\n"
                "       cllm train --replay RUN --out RUN2 [options]",
    .summary = "Trains a language model on text and leaves a run directory: from scratch, on from a model (--init), or "
               "on with a run "
               "that was interrupted (--resume), which then gives the bits of a run that never was. --replay makes a "
               "run again from "
               "its first step, with what was changed on the way, and gives its bits.",
    .examples = "  cllm train --preset shakespeare-char-cpu --data shakespeare.txt --tokenizer char --out run1\n"
                "  cllm train --preset gpt2 --data shards/ --batch-size 32 --seq-len 512 --steps 2000 --out run2\n"
                "  cllm train --resume run1 --threads 8\n"
                "  cllm train --init gpt2-model --data law/ --lr 3e-5 --steps 500 --out run3\n"
                "  cllm train --data logs.jsonl.gz --epochs 3 --batch-size 48 --micro-batch 12 --out run4\n",
    .notes =
        "`cllm ctl RUN` steers a run from elsewhere: it asks how it stands, pauses, saves, samples, changes the rate "
        "or\n"
        "the number of spheres. Here, while it runs: Ctrl-C or SIGTERM stops after the present step with a checkpoint\n"
        "(exit code 130 or 143); a second one ends at once. SIGUSR1 saves now, SIGUSR2 pauses and goes on. Keys on a "
        "terminal: p pause or\n"
        "go on, s save, q stop, c cancel the present step and stop. `cllm train --resume RUN` goes on with the run.\n",
};

/* ---- signals ---- */

/* The application thread's "I am done", so that the main thread need not wait for its next look. */
#define SIGNAL_DONE SIGRTMIN

static void watched_signals(sigset_t *set)
{
    sigemptyset(set);
    interrupt_signals(set);
    sigaddset(set, SIGUSR1);
    sigaddset(set, SIGUSR2);
    sigaddset(set, SIGCONT);
    sigaddset(set, SIGNAL_DONE);
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

static void free_training(struct train_run *r)
{
    saver_free(r->saver);
    metrics_close(r->metrics);
    threaded_training_free(r->system);
    batch_iterator_free(r->iterator);
    training_free(r->training);
    documents_close(r->documents);
    tokens_close(r->tokens);
    r->saver = NULL;
    r->metrics = NULL;
    r->system = NULL;
    r->iterator = NULL;
    r->training = NULL;
    r->documents = NULL;
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
        status = sample_of_model(loaded.model, loaded.tokenizer, &r->crew, NULL, r->flags->sample_prompt, &sampling,
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
    bool stopping; /* asked for here */
};

static void toggle_pause(struct watch *w)
{
    const bool pausing = !threaded_training_pause_wished(w->r->system); /* `cllm ctl` may have had its say, too */
    if (!pausing)
        training_thread_resumed(w->thread);
    threaded_training_command(w->r->system, pausing ? TRAINING_PAUSE : TRAINING_RESUME);
    status_line_print(&w->r->line, pausing ? "pausing after this step (p or SIGUSR2 goes on)\n" : "going on\n");
}

static void ask_stop(struct watch *w, enum training_command command)
{
    w->stopping = true;
    cancel_request(w->r->interrupt.token, "stopping");
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
    training_thread_take_warnings(w->thread, &text);
    for (char *line = text.data, *end; r->line.quiet && line && (end = strchr(line, '\n')); line = end + 1)
        command_say("train", "%.*s", (int)(end - line), line);
    buffer_clear(&text);
    if (r->line.live && !now->done) {
        if (!isnan(now->loss))
            training_line(now, &text);
        const char *state = now->busy                               ? now->busy
                            : threaded_training_paused(r->system)   ? "paused"
                            : threaded_training_stopping(r->system) ? "stopping"
                            : isnan(now->loss)                      ? "first step"
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
        .training = r->training,
        .iterator = r->iterator,
        .system = r->system,
        .run = r->run,
        .metrics = r->metrics,
        .tokenizer = r->tokenizer,
        .validation = r->validation,
        .settings_hash = r->settings_hash,
        .saver = r->saver,
        .measured = r->measured,
        .crew = &r->crew,
        .stop = r->interrupt.token,
        .waiting = &r->waiting,
        .sample_prompt = f->sample_prompt,
        .sample_tokens = f->sample_tokens,
        .log_every = f->log_every,
        .done = tell_done,
    };
    struct watchdog *watchdog;
    if (train_watch_start(r, &watchdog, &err) != STATUS_OK)
        return command_failed("train", &err);
    struct training_thread *thread = training_thread_start(&job, &err);
    if (!thread) {
        watchdog_stop(watchdog);
        return command_failed("train", &err);
    }
    watch(r, thread);
    struct training_result result;
    training_thread_join(thread, &result);
    watchdog_stop(watchdog);
    train_print_summary(r, &result);
    train_print_stats(r);
    struct error profile_err = {0};
    const bool unwritten = f->profile && train_profile_write(r, &profile_err) != STATUS_OK;
    /* What is left is for show: a signal may end it as it ends any program. */
    sigprocmask(SIG_UNBLOCK, watched, NULL);
    free_training(r);
    r->crew.cancel = NULL;
    int code = exit_code(r);
    if (result.status != STATUS_OK)
        code = command_failed("train", &result.error);
    else if (unwritten)
        code = command_failed("train", &profile_err);
    else if (code == EXIT_CODE_OK && f->sample_tokens > 0 && result.checkpoint.len &&
             print_sample(r, result.checkpoint.data, &err) != STATUS_OK)
        code = command_failed("train", &err);
    buffer_release(&result.checkpoint);
    return code;
}

static bool owes_evaluation(const struct train_run *r)
{
    return training_thread_owes_evaluation(
        &(struct training_job){.training = r->training, .iterator = r->iterator, .metrics = r->metrics});
}

static bool stopped_early(const struct train_run *r)
{
    return training_thread_stopped_early(&(struct training_job){.training = r->training, .validation = r->validation});
}

static int train(struct train_run *r)
{
    struct error err = {0};
    sigset_t watched;
    watched_signals(&watched);
    sigprocmask(SIG_BLOCK, &watched, NULL);
    status_line_init(&r->line, r->flags->quiet);
    enum status status = interrupt_begin(&r->interrupt, false, &err);
    r->crew.cancel = r->interrupt.token;
    file_writer_stop_when(cancel_wanted, r->interrupt.token);
    if (status == STATUS_OK)
        status = r->flags->replay ? train_setup_replay(r, &err)
                 : r->fresh       ? train_setup_fresh(r, &err)
                                  : train_setup_resume(r, &err);
    file_writer_stop_when(NULL, NULL);
    interrupt_end(&r->interrupt);
    r->signal = atomic_load(&r->interrupt.signal);
    status_line_clear(&r->line);
    int code;
    if (status != STATUS_OK || r->signal) {
        if (r->signal)
            command_say("train", "interrupted before the first step; nothing is left behind");
        code = r->signal ? exit_code(r) : command_failed("train", &err);
        free_training(r);
        if (r->fresh) {
            run_directory_discard(r->run);
            r->run = NULL;
        }
    } else if (stopped_early(r)) {
        train_print_header(r);
        status_line_print(&r->line, "the run is finished: it stopped early; --early-stop 0 goes on with it\n");
        code = EXIT_CODE_OK;
    } else if (training_step(r->training) >= r->info.settings.steps && !owes_evaluation(r)) {
        train_print_header(r);
        status_line_print(&r->line, "the run is finished: all its steps are done\n");
        code = EXIT_CODE_OK;
    } else {
        train_print_header(r);
        code = run(r, &watched);
    }
    free_training(r);
    crew_release(&r->crew);
    interrupt_release(&r->interrupt);
    tokenizer_free(r->tokenizer);
    buffer_release(&r->tokenizer_json);
    buffer_release(&r->tokenizer_config);
    run_events_release(&r->waiting);
    run_directory_close(r->run);
    return code;
}

/* ---- the command line ---- */

static int check_usage(const struct train_flags *f, const struct option_def *options)
{
    const char *wrong = NULL;
    if (f->replay && (f->resume || f->init || f->data || f->tokenizer || f->s.preset || f->s.config))
        wrong = "--replay takes settings, data, tokenizer and first weights from the run; give --out RUN2 with it";
    else if (f->resume && (f->out || f->init))
        wrong = "--resume goes on with a run and takes neither --out nor --init";
    else if (!f->resume && !f->out)
        wrong = "where to? Give --out RUN for a new run, or --resume RUN to go on with one";
    else if (!f->resume && !f->replay && !f->data)
        wrong = "on what? Give --data FILE (text, .gz, .jsonl, .bin, or a directory of those)";
    else if (f->init && (f->s.config || option_given(options, "n-layer") || option_given(options, "n-head") ||
                         option_given(options, "n-embd")))
        wrong = "--init takes the model as it is: --config, --n-layer, --n-head and --n-embd do not go with it";
    else if (option_given(options, "steps") && option_given(options, "epochs"))
        wrong = "--steps and --epochs exclude each other";
    if (!wrong)
        return OPTIONS_GO_ON;
    command_say("train", "%s", wrong);
    return EXIT_CODE_USAGE;
}

int cmd_train(int argc, char **argv)
{
    static const char *const backends[] = {"pthread", "openmp", "serial", NULL};
    struct train_flags f = {.backend = "pthread", .sample_tokens = SAMPLE_TOKENS, .watchdog_seconds = 20};
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
        OPT_TEXT("replay", "RUN", &f.replay,
                 "make this run again, from its settings, data and recorded events, in --out"),
        OPT_TEXT("init", "MODEL", &f.init, "begin with the weights of a model directory"),
        OPT_GROUP("Model"),
        SETTINGS_MODEL_FLAGS(&f.s),
        OPT_REAL("dropout", &f.s.dropout, 0, 0.999, "probability, for all of the model's dropouts"),
        OPT_GROUP("Steps"),
        SETTINGS_SHAPE_FLAGS(&f.s),
        OPT_U64("steps", &s->steps, 1, whole, "optimizer steps; the schedule ends with them"),
        OPT_REAL("epochs", &s->epochs, 1e-9, 1e9, "in place of --steps: passes over the data"),
        OPT_U64("seed", &s->seed, 0, whole, "of initial weights, order of the data, dropout and samples (1337)"),
        SETTINGS_VAL_FRACTION_FLAG(&f.s),
        OPT_GROUP("Optimizer"),
        SETTINGS_OPTIMIZER_FLAG(&f.s),
        OPT_REAL("lr", &s->schedule.lr, 0, 1000, "highest learning rate"),
        OPT_REAL("min-lr", &s->schedule.min_lr, 0, 1000,
                 "the last step's; without it the same part of --lr as the preset's"),
        OPT_U64("warmup-steps", &s->schedule.warmup_steps, 0, whole, "steps until the highest rate"),
        OPT_CHOICE("schedule", &f.s.schedule, schedule_choices, "after the warm-up"),
        OPT_REAL("weight-decay", &s->weight_decay, 0, 1e6, "on matrices and embeddings, not on biases and norms"),
        OPT_REAL("beta1", &s->beta1, 0, 0.999999999, "decay of the first moment"),
        OPT_REAL("beta2", &s->beta2, 0, 0.999999999,
                 "decay of the second moment; of Lion's only one, beta1 being its part in the step"),
        OPT_REAL("muon-lr", &s->muon_lr, 0, 1000, "highest rate of Muon's matrices; 0 = that of --lr (0)"),
        OPT_REAL("muon-momentum", &s->muon_momentum, 0, 0.999999999, "of Muon's matrices (0.95)"),
        OPT_REAL("grad-clip", &s->grad_clip, 0, 1e30, "largest norm of the gradient; 0 = off"),
        OPT_GROUP("When it goes wrong"),
        SETTINGS_SPIKE_FLAGS(&f.s),
        OPT_REAL("watchdog", &f.watchdog_seconds, 0, 86400,
                 "seconds without a sign of life after which a sphere that hangs is named and the run ends with a "
                 "checkpoint, or ten times the longest silence so far; 0 = never (20)"),
        OPT_GROUP("On the way"),
        SETTINGS_EVAL_FLAGS(&f.s),
        SETTINGS_SAVE_FLAGS(&f.s),
        SETTINGS_SAMPLE_EVERY_FLAG(&f.s),
        OPT_TEXT("sample-prompt", "TEXT", &f.sample_prompt, "what samples begin with; without it a new line"),
        OPT_SIZE("sample-tokens", &f.sample_tokens, 0, 1 << 20, "length of a sample (200); 0 = none at the end"),
        OPT_U64("log-every", &f.log_every, 0, whole, "steps between lines; 0 = about one a second where piped"),
        OPT_FLAG("spheres", &f.spheres, "the last table shows every sphere, however many there are"),
        OPT_FLAG("profile", &f.profile,
                 "leave where the steps' time went in RUN: profile.txt, and of three steps trace.json for a viewer of "
                 "Chrome's traces"),
        OPT_FLAG("quiet", &f.quiet, "print nothing but errors"),
        OPT_GROUP("Machine"),
        OPT_INT("threads", &f.threads, 0, SPHERES_MAX, "spheres; 0 = as many as there are cores to use (0)"),
        OPT_CHOICE("backend", &f.backend, backends, "what the spheres run on (pthread)"),
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
    if (f.replay && run_info_read(f.replay, &r.info, &err) != STATUS_OK)
        return command_failed("train", &err);
    if (f.replay || (f.resume && !f.s.preset && !f.s.config))
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
