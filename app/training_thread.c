/* SPDX-License-Identifier: MIT */
#include "app/training_thread.h"

#include "app/text_source.h"
#include "app/training_control.h"
#include "app/training_thread_internal.h"
#include "base/clock.h"
#include "base/human.h"
#include "base/memory.h"
#include "runtime/thread.h"
#include "train/rollback.h"
#include "train/spike_events.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* `cllm stats` during a run shows figures of at most this age. */
static const uint64_t stats_period_ns = 2000000000u;

struct training_thread {
    const struct training_job *job;
    struct thread *thread;
    struct mutex *mu;
    struct training_snapshot now;     /* guarded by mu */
    struct buffer lines;              /* guarded by mu */
    struct buffer warnings;           /* of them those that are said also where nothing else is; guarded by mu */
    atomic_uint_least64_t resumed_ns; /* end of the last pause; relaxed, a figure for the clock only */
    /* the thread's own */
    struct training_control *control;
    struct training_result result;
    uint64_t start_ns, mark_ns, stats_ns;
    double before_s; /* seconds of training in earlier sessions, of the steps that stayed */
    struct run_saver saver;
    struct validation validation;
    bool is_best, over;           /* the present step's evaluation: the best so far; the last one of this run */
    bool stats_failed;            /* told already */
    uint64_t compute_ns, wait_ns; /* sums over spheres at the last step */
    double seconds_per_step;      /* smoothed, for the ETA */
    double first_steps[3];        /* seconds */
    int measured;                 /* of them */
};

static double seconds_since(uint64_t ns)
{
    return 1e-9 * (double)(clock_now_ns() - ns);
}

/* Of the run, over its sessions. */
static double elapsed_s(const struct training_thread *t)
{
    return t->before_s + seconds_since(t->start_ns);
}

void training_line(const struct training_snapshot *s, struct buffer *out)
{
    struct human speed, eta;
    int digits = snprintf(NULL, 0, "%" PRIu64, s->steps);
    buffer_printf(out, "step %*" PRIu64 "/%" PRIu64 "  loss %.4f", digits, s->step, s->steps, s->loss);
    if (!isnan(s->val_loss))
        buffer_printf(out, "  val %.4f", s->val_loss);
    buffer_printf(out, "  lr %.2e  |g| %.3f  %s tok/s  wait %.0f%%", s->lr, s->grad_norm,
                  human_count(&speed, s->tokens_per_s), 100 * s->wait_share);
    if (!isnan(s->eta_seconds))
        buffer_printf(out, "  ETA %s", human_duration(&eta, s->eta_seconds));
}

static void say(void *ctx, const char *text)
{
    struct training_thread *t = ctx;
    mutex_lock(t->mu);
    buffer_append_text(&t->lines, text);
    buffer_append(&t->lines, "\n", 1);
    mutex_unlock(t->mu);
}

static void warn(void *ctx, const char *text)
{
    struct training_thread *t = ctx;
    say(t, text);
    mutex_lock(t->mu);
    buffer_append_text(&t->warnings, text);
    buffer_append(&t->warnings, "\n", 1);
    mutex_unlock(t->mu);
}

static void set_busy(struct training_thread *t, const char *what)
{
    mutex_lock(t->mu);
    t->now.busy = what;
    mutex_unlock(t->mu);
}

/* Share of waiting in the time of the spheres at work, since the last call. */
static double wait_share(struct training_thread *t)
{
    uint64_t compute = 0, wait = 0;
    int width = threaded_training_width(t->job->system);
    for (int i = 0; i < width; i++) {
        struct sphere_stats stats;
        if (threaded_training_get_sphere_stats(t->job->system, i, &stats) != STATUS_OK)
            continue;
        compute += stats.compute_ns;
        wait += stats.wait_ns;
    }
    uint64_t c = compute - t->compute_ns, w = wait - t->wait_ns;
    t->compute_ns = compute;
    t->wait_ns = wait;
    return c + w ? (double)w / (double)(c + w) : 0;
}

static void record_step(struct training_thread *t, struct metrics_step *line)
{
    const struct training_job *job = t->job;
    const struct train_settings *s = training_settings(job->training);
    uint64_t end = clock_now_ns(), begin = t->mark_ns;
    uint64_t resumed = atomic_load_explicit(&t->resumed_ns, memory_order_relaxed);
    if (resumed > begin && resumed < end)
        begin = resumed;
    double seconds = 1e-9 * (double)(end - begin);
    double tokens = (double)(s->batch_size * s->seq_len);
    t->result.step_seconds += seconds;
    t->result.tokens += s->batch_size * s->seq_len;
    t->seconds_per_step =
        t->seconds_per_step > 0 ? t->seconds_per_step + 0.05 * (seconds - t->seconds_per_step) : seconds;
    if (t->measured < 3)
        t->first_steps[t->measured++] = seconds;

    *line = (struct metrics_step){
        .step = training_step(job->training),
        .tokens = training_tokens(job->training),
        .loss = training_last_loss(job->training),
        .lr = training_last_lr(job->training),
        .grad_norm = training_last_grad_norm(job->training),
        .tokens_per_s = seconds > 0 ? tokens / seconds : 0,
        .wait_share = wait_share(t),
        .elapsed_s = elapsed_s(t),
    };
    line->peak_share = threaded_training_peak_share(job->system, line->tokens_per_s);
    t->result.loss = line->loss;
    mutex_lock(t->mu);
    t->now.step = line->step;
    t->now.tokens = line->tokens;
    t->now.epoch = batch_iterator_position(job->iterator) / batch_iterator_windows(job->iterator);
    t->now.loss = line->loss;
    t->now.lr = line->lr;
    t->now.grad_norm = line->grad_norm;
    t->now.tokens_per_s = t->seconds_per_step > 0 ? tokens / t->seconds_per_step : 0;
    t->now.wait_share = line->wait_share;
    t->now.seconds = line->elapsed_s;
    t->now.eta_seconds = t->seconds_per_step * (double)(s->steps - line->step);
    mutex_unlock(t->mu);
}

static enum status evaluate(struct training_thread *t, struct error *err)
{
    const struct training_job *job = t->job;
    uint64_t step = training_step(job->training), start = clock_now_ns();
    double loss;
    set_busy(t, "evaluating");
    enum status status = threaded_training_evaluate(job->system, training_settings(job->training)->eval_batches, &loss);
    if (status != STATUS_OK)
        return error_set(err, status, "%s", threaded_training_error(job->system));
    status = metrics_write_val(job->metrics, step, loss, elapsed_s(t), err);
    if (status != STATUS_OK)
        return status;
    training_note_validation(job->training, loss);
    t->is_best = validation_note(&t->validation, step, loss);
    t->over = validation_is_over(&t->validation, training_settings(job->training)->early_stop);
    t->result.val_loss = loss;
    t->result.val_step = step;
    mutex_lock(t->mu);
    t->now.val_loss = loss;
    t->now.val_step = step;
    mutex_unlock(t->mu);
    char text[128];
    snprintf(text, sizeof text, "step %" PRIu64 "  validation loss %.4f  (%.1f s)", step, loss, seconds_since(start));
    say(t, text);
    return STATUS_OK;
}

/* What follows the prompt (NULL: the usual one) goes to *out too, which may be NULL. */
static enum status sample(struct training_thread *t, const char *prompt, size_t tokens, struct buffer *out,
                          struct error *err)
{
    const struct training_job *job = t->job;
    uint64_t step = training_step(job->training);
    struct sampling sampling = {.temperature = 0.8, .top_p = 1, .seed = training_settings(job->training)->seed};
    struct buffer text = {0};
    set_busy(t, "sampling");
    buffer_printf(&text, "step %" PRIu64 "  sample:\n", step);
    size_t head = text.len;
    enum status status = sample_of_model(training_model(job->training), job->tokenizer, job->crew, job->system, prompt,
                                         &sampling, tokens, &text, err);
    if (status == STATUS_OK && text.failed)
        status = error_set(err, STATUS_NOMEM, "no memory for a sample");
    if (status == STATUS_OK && out)
        buffer_append(out, text.data + head, text.len - head);
    if (status == STATUS_OK) {
        say(t, text.data);
        /* A byte model may write what is not UTF-8: then the line goes without the text. */
        json_t *more = json_object();
        json_t *value = json_stringn(text.data + head, text.len - head);
        if (more && value)
            json_object_set_new(more, "text", value);
        else
            json_decref(value);
        status = metrics_write_event(job->metrics, step, "sample", more, err);
        json_decref(more);
    }
    buffer_release(&text);
    return status;
}

static enum status write_stats(struct training_thread *t, struct error *err)
{
    struct stats_report report;
    enum status status = threaded_training_report(t->job->system, &report, err);
    if (status == STATUS_OK) {
        report.saving = run_saver_totals(&t->saver);
        status = run_directory_write_stats(t->job->run, &report, err);
        stats_report_release(&report);
    }
    t->stats_ns = clock_now_ns();
    if (status != STATUS_IO)
        return status;
    if (!t->stats_failed) /* a full disk, or an ill one: figures for show are not worth a run */
        say(t, err->text);
    t->stats_failed = true;
    return STATUS_OK;
}

static enum status save(struct training_thread *t, struct error *err)
{
    set_busy(t, "saving");
    const enum status status = run_saver_begin(&t->saver, training_step(t->job->training), err);
    return status == STATUS_OK ? write_stats(t, err) : status;
}

/* The lines of the step just made, and what is to be told of a spike. */
static enum status write_lines(struct training_thread *t, const struct metrics_step *line, struct error *err)
{
    const struct training_job *job = t->job;
    struct buffer text = {0};
    enum status status = metrics_write_rollback(job->metrics, job->training, err);
    if (status == STATUS_OK)
        status = metrics_write_step(job->metrics, line, err);
    if (status == STATUS_OK)
        status = metrics_write_skip(job->metrics, job->training, &text, err);
    if (text.data)
        say(t, text.data);
    buffer_release(&text);
    return status;
}

/* No new best for so long that the run ends here; the checkpoint of its end is made as at any end. */
static enum status stop_early(struct training_thread *t, uint64_t step, struct error *err)
{
    const struct validation *v = &t->validation;
    char text[200] = "";
    snprintf(text, sizeof text, "step %" PRIu64 "  stopping early: no new best in %" PRIu64 " evaluations", step,
             v->since_best);
    if (v->best_step)
        snprintf(text + strlen(text), sizeof text - strlen(text), "; the best was %.4f at step %" PRIu64, v->best_loss,
                 v->best_step);
    say(t, text);
    json_t *more =
        json_pack("{s:I, s:I, s:o}", "evaluations", (json_int_t)v->since_best, "best_step", (json_int_t)v->best_step,
                  "best_val_loss", v->best_step ? json_real(v->best_loss) : json_null());
    enum status status = more ? metrics_write_event(t->job->metrics, step, "early_stop", more, err)
                              : error_set(err, STATUS_NOMEM, "no memory to record the early stop");
    json_decref(more);
    return status;
}

static enum status roll_back(struct training_thread *t, struct error *err)
{
    const struct training_job *job = t->job;
    struct buffer warning = {0}, text = {0};
    uint64_t loaded, after_step;
    set_busy(t, "rolling back");
    enum status status = run_saver_pause(&t->saver, training_step(job->training), err);
    if (status == STATUS_OK)
        status = training_control_before_rollback(t->control, err);
    if (status == STATUS_OK)
        status = training_roll_back(job->training, run_directory_path(job->run), job->settings_hash, job->metrics,
                                    &loaded, &after_step, &warning, err);
    if (status == STATUS_OK)
        status = validation_read(&t->validation, metrics_path(job->metrics), t->validation.every, err);
    if (status == STATUS_OK)
        status = training_control_rolled_back(t->control, after_step, err);
    if (status == STATUS_OK) {
        buffer_printf(&text, "%sback to step %" PRIu64 ", from the checkpoint of step %" PRIu64,
                      warning.data ? warning.data : "", after_step, loaded);
        if (text.data)
            say(t, text.data);
    }
    buffer_release(&warning);
    buffer_release(&text);
    return status;
}

static bool due(uint64_t step, uint64_t every)
{
    return every > 0 && step % every == 0;
}

static bool evaluation_is_due(const struct training_job *job, uint64_t step)
{
    const struct train_settings *s = training_settings(job->training);
    return (step == s->steps || due(step, s->eval_every)) && batch_iterator_val_windows(job->iterator) > 0;
}

bool training_thread_owes_evaluation(const struct training_job *job)
{
    const uint64_t step = training_step(job->training);
    return step > 0 && evaluation_is_due(job, step) && !metrics_has_val(job->metrics);
}

/* Behind the third step: how long the rest will take. */
static void say_time(struct training_thread *t)
{
    const struct training_job *job = t->job;
    const struct train_settings *s = training_settings(job->training);
    struct time_measured measured = job->measured;
    struct time_plan plan;
    struct buffer text = {0};
    measured.step = time_plan_median(t->first_steps);
    time_plan_make(&plan, s, training_step(job->training), batch_iterator_val_windows(job->iterator), &measured);
    buffer_append_text(&text, "to go    ");
    time_plan_text(&plan, &measured, &text);
    if (text.data)
        say(t, text.data);
    buffer_release(&text);
}

bool training_thread_stopped_early(const struct training_job *job)
{
    return validation_is_over(&job->validation, training_settings(job->training)->early_stop);
}

static enum status after_step(void *ctx, struct threaded_training *system, bool save_asked, struct error *err)
{
    struct training_thread *t = ctx;
    const struct training_job *job = t->job;
    const struct train_settings *s = training_settings(job->training);
    struct metrics_step line;
    (void)system;
    const int measured = t->measured;
    record_step(t, &line);
    if (measured == 2 && t->measured == 3 && line.step < s->steps)
        say_time(t);
    bool last = line.step == s->steps;
    enum status status = write_lines(t, &line, err);
    if (status == STATUS_OK && training_wants_rollback(job->training)) {
        status = roll_back(t, err);
        set_busy(t, NULL);
        t->mark_ns = clock_now_ns();
        return status;
    }
    if (status == STATUS_OK && due(line.step, job->log_every)) {
        struct buffer text = {0};
        struct training_snapshot snapshot;
        training_thread_snapshot(t, &snapshot);
        training_line(&snapshot, &text);
        if (text.data)
            say(t, text.data);
        buffer_release(&text);
    }
    t->is_best = false;
    if (status == STATUS_OK && evaluation_is_due(job, line.step))
        status = evaluate(t, err);
    if (status == STATUS_OK && !last && due(line.step, s->sample_every))
        status = sample(t, job->sample_prompt, job->sample_tokens, NULL, err);
    if (status == STATUS_OK)
        status = run_saver_look(&t->saver, line.step, err);
    if (status == STATUS_OK && !last && !t->over &&
        (save_asked || run_saver_due(&t->saver, line.step) || (t->is_best && s->save_best)))
        status = save(t, err);
    if (status == STATUS_OK && clock_now_ns() - t->stats_ns > stats_period_ns)
        status = write_stats(t, err);
    if (status == STATUS_OK && t->over && !last && (status = stop_early(t, line.step, err)) == STATUS_OK)
        status = STATUS_CANCELLED; /* ends the epoch; drive knows why */
    set_busy(t, NULL);
    t->mark_ns = clock_now_ns();
    return status;
}

/* ---- for training_control.c ---- */

void training_thread__say(struct training_thread *t, const char *line)
{
    say(t, line);
}

void training_thread__set_busy(struct training_thread *t, const char *what)
{
    set_busy(t, what);
}

struct run_saver *training_thread__saver(struct training_thread *t)
{
    return &t->saver;
}

enum status training_thread__sample(struct training_thread *t, const char *prompt, struct buffer *text,
                                    struct error *err)
{
    const struct training_job *job = t->job;
    return sample(t, prompt ? prompt : job->sample_prompt, job->sample_tokens ? job->sample_tokens : SAMPLE_TOKENS,
                  text, err);
}

void training_thread__counts_anew(struct training_thread *t)
{
    t->compute_ns = t->wait_ns = 0;
}

void training_thread__mark(struct training_thread *t)
{
    t->mark_ns = clock_now_ns();
}

static void drive(void *arg)
{
    struct training_thread *t = arg;
    const struct training_job *job = t->job;
    uint64_t steps = training_settings(job->training)->steps;
    struct error *err = &t->result.error;
    enum status status = STATUS_OK;
    t->start_ns = t->mark_ns = t->stats_ns = clock_now_ns();
    threaded_training_on_step(job->system, after_step, t);
    t->control = training_control_start(t, job, err);
    if (!t->control)
        status = err->status;
    if (status == STATUS_OK && training_thread_owes_evaluation(job)) {
        status = evaluate(t, err);
        if (status == STATUS_OK && t->over && training_step(job->training) < steps)
            status = stop_early(t, training_step(job->training), err);
    }
    t->mark_ns = clock_now_ns();
    while (status == STATUS_OK && !t->over && training_step(job->training) < steps &&
           !threaded_training_stopping(job->system))
        status = threaded_train_epoch(job->system);
    if (status == STATUS_CANCELLED)
        status = STATUS_OK; /* asked for; the weights are those of the last whole step */
    else if (status != STATUS_OK)
        error_set(err, status, "%s", threaded_training_error(job->system));
    /* Stopped before the end: what was trained since the last checkpoint is kept. */
    uint64_t step = training_step(job->training);
    struct error ignored;
    if (status == STATUS_OK) {
        set_busy(t, "saving");
        status = run_saver_finish(&t->saver, step, step != t->result.first_step, err);
    } else {
        /* A spike left the weights of the last whole step; what ended the run is what is told. */
        run_saver_finish(&t->saver, step, status == STATUS_NONFINITE && step != t->result.first_step, &ignored);
    }
    if (status == STATUS_OK)
        status = metrics_flush(job->metrics, err);
    /* A run that failed leaves its statistics too; what failed first is what is told. */
    if (status == STATUS_OK)
        status = write_stats(t, err);
    else
        write_stats(t, &ignored);
    training_control_finish(t->control, status == STATUS_OK ? NULL : err);
    t->result.status = status;
    t->result.saving = run_saver_totals(&t->saver);
    t->result.checkpoint = t->saver.checkpoint;
    t->result.last_step = step;
    t->result.seconds = seconds_since(t->start_ns);
    mutex_lock(t->mu);
    t->now.busy = NULL;
    t->now.done = true;
    mutex_unlock(t->mu);
    if (job->done)
        job->done();
}

struct training_thread *training_thread_start(const struct training_job *job, struct error *err)
{
    struct training_thread *t = mem_calloc(1, sizeof *t);
    if (!t || !(t->mu = mutex_new())) {
        mem_free(t);
        error_set(err, STATUS_NOMEM, "no memory for the training thread");
        return NULL;
    }
    t->job = job;
    run_saver_init(&t->saver, job->saver, job->training, job->metrics, say, warn, t);
    t->start_ns = clock_now_ns();
    t->before_s = metrics_elapsed_s(job->metrics);
    t->validation = job->validation;
    t->result.val_loss = t->result.loss = NAN;
    t->result.first_step = t->now.step = training_step(job->training);
    t->now.steps = training_settings(job->training)->steps;
    t->now.loss = t->now.lr = t->now.grad_norm = t->now.val_loss = t->now.eta_seconds = NAN;
    t->thread = thread_start("training", drive, t, err);
    if (!t->thread) {
        mutex_free(t->mu);
        mem_free(t);
        return NULL;
    }
    return t;
}

void training_thread_snapshot(struct training_thread *t, struct training_snapshot *out)
{
    mutex_lock(t->mu);
    *out = t->now;
    mutex_unlock(t->mu);
}

static void take(struct training_thread *t, struct buffer *from, struct buffer *out)
{
    mutex_lock(t->mu);
    if (from->len)
        buffer_append(out, from->data, from->len);
    buffer_clear(from);
    mutex_unlock(t->mu);
}

void training_thread_take_lines(struct training_thread *t, struct buffer *out)
{
    take(t, &t->lines, out);
}

void training_thread_take_warnings(struct training_thread *t, struct buffer *out)
{
    take(t, &t->warnings, out);
}

void training_thread_resumed(struct training_thread *t)
{
    atomic_store_explicit(&t->resumed_ns, clock_now_ns(), memory_order_relaxed);
}

void training_thread_join(struct training_thread *t, struct training_result *result)
{
    thread_join(t->thread);
    *result = t->result;
    buffer_release(&t->lines);
    buffer_release(&t->warnings);
    mutex_free(t->mu);
    mem_free(t);
}
