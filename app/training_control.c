/* SPDX-License-Identifier: MIT
 * The server's thread calls `status` and `arrived`; all else is the driving thread's.  What `status` tells besides the
 * snapshot is guarded by mu.
 */
#include "app/training_control.h"

#include "app/training_thread_internal.h"
#include "base/memory.h"
#include "runtime/thread.h"
#include "train/control_server.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_ASKING = 64 };

/* Those who wait for the same thing to come about. */
struct asking {
    struct control_task *tasks[MAX_ASKING];
    int n;
};

struct training_control {
    struct training_thread *thread;
    const struct training_job *job;
    struct control_server *server; /* NULL: no socket */
    const struct run_events *waiting; /* job->waiting, or after a rollback `again` */
    size_t next_waiting;
    bool left;                     /* of those before next_waiting some wait for a rollback */
    struct run_events again;
    uint64_t as_before; /* steps up to this one are made again as they were */
    struct asking pausing, saving, stopping;
    uint64_t save_step; /* that `saving` ask for */
    struct mutex *mu;
    double lr_factor; /* guarded by mu */
};

/* ---- the server's thread ---- */

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *status(void *ctx)
{
    struct training_control *c = ctx;
    struct threaded_training *system = c->job->system;
    struct training_snapshot s;
    training_thread_snapshot(c->thread, &s);
    mutex_lock(c->mu);
    const double factor = c->lr_factor;
    mutex_unlock(c->mu);
    const char *state = threaded_training_stopping(system)         ? "stopping"
                        : s.busy                                   ? s.busy
                        : threaded_training_paused(system)         ? "paused"
                        : threaded_training_pause_wished(system)   ? "pausing"
                                                                   : "training";
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:f, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:i, s:I}", "state", state,
                     "step", (json_int_t)s.step, "steps", (json_int_t)s.steps, "epoch", (json_int_t)s.epoch, "tokens",
                     (json_int_t)s.tokens, "loss", number(s.loss), "lr", number(s.lr), "lr_factor", factor, "grad_norm",
                     number(s.grad_norm), "tokens_per_s", number(s.tokens_per_s), "wait_share", number(s.wait_share),
                     "val_loss", number(s.val_loss), "val_step", (json_int_t)s.val_step, "seconds", number(s.seconds),
                     "eta_s", number(s.eta_seconds), "spheres", threaded_training_get_num_workers(system), "pid",
                     (json_int_t)getpid());
}

static void arrived(void *ctx, enum control_command command)
{
    struct training_control *c = ctx;
    if (command == CONTROL_STOP) { /* an evaluation or a sample under way ends, as with a signal */
        cancel_request(c->job->stop, "stopping");
        threaded_training_command(c->job->system, TRAINING_STOP);
    } else {
        threaded_training_wake(c->job->system);
    }
}

/* ---- events ---- */

static uint64_t step_of(const struct training_control *c)
{
    return training_step(c->job->training);
}

static void say(struct training_control *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(struct training_control *c, const char *format, ...)
{
    char text[1200];
    va_list ap;
    va_start(ap, format);
    const int n = snprintf(text, sizeof text, "step %" PRIu64 "  ", step_of(c));
    vsnprintf(text + n, sizeof text - (size_t)n, format, ap);
    va_end(ap);
    training_thread__say(c->thread, text);
}

static void apply(struct training_control *c, const struct run_event *event)
{
    if (event->kind == RUN_EVENT_LR) {
        training_set_lr_factor(c->job->training, event->factor);
        mutex_lock(c->mu);
        c->lr_factor = event->factor;
        mutex_unlock(c->mu);
    }
}

static enum status set_factor(struct training_control *c, double factor, struct error *err)
{
    const struct run_event event = {.step = step_of(c), .kind = RUN_EVENT_LR, .factor = factor,
                                    .rollbacks = training_rollbacks(c->job->training)};
    if (event.step < c->as_before)
        return error_set(err, STATUS_MISUSE, "after a rollback the steps up to %" PRIu64 " are made again as they were; ask again "
                         "behind that", c->as_before);
    const enum status st = run_event_record(c->job->metrics, &event, err);
    if (st == STATUS_OK)
        apply(c, &event);
    return st;
}

/* Those whose step has come, with their lines. */
static enum status apply_waiting(struct training_control *c, struct error *err)
{
    const struct run_events *waiting = c->waiting;
    const size_t n = waiting ? waiting->n : 0, first = c->next_waiting;
    while (c->next_waiting < n && waiting->items[c->next_waiting].step <= step_of(c)) {
        const struct run_event *event = &waiting->items[c->next_waiting++];
        if (event->rollbacks > training_rollbacks(c->job->training)) {
            c->left = true;
            continue;
        }
        const enum status st = run_event_record(c->job->metrics, event, err);
        if (st != STATUS_OK)
            return st;
        apply(c, event);
        struct buffer text = {0};
        run_event_text(event, &text);
        say(c, "as recorded: %s", text.data ? text.data : "");
        buffer_release(&text);
    }
    return c->next_waiting > first && c->next_waiting == n && !c->left ? run_events_done(run_directory_path(c->job->run), err) : STATUS_OK;
}

static enum status note(struct training_control *c, const char *name, json_t *more, struct error *err)
{
    const enum status st = metrics_write_event(c->job->metrics, step_of(c), name, more, err);
    json_decref(more);
    return st;
}

/* ---- requests ---- */

/* A reply with the step and a sentence, and room for more. */
static json_t *reply_of(const struct training_control *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static json_t *reply_of(const struct training_control *c, const char *format, ...)
{
    char text[1200];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    /* A path may be no UTF-8: then the sentence goes without. */
    json_t *message = json_string(text);
    return json_pack("{s:I, s:o}", "step", (json_int_t)step_of(c), "message", message ? message : json_string("done"));
}

static bool ask_on(struct asking *asking, struct control_task *task)
{
    if (asking->n == MAX_ASKING)
        return false;
    asking->tasks[asking->n++] = task;
    return true;
}

static enum status do_lr(struct training_control *c, const struct control_request *r, json_t **reply, struct error *err)
{
    const enum status st = set_factor(c, r->factor, err);
    if (st != STATUS_OK)
        return st;
    say(c, "the rate is %g of the schedule's from step %" PRIu64 " on", r->factor, step_of(c) + 1);
    *reply = reply_of(c, "the rate is %g of the schedule's from step %" PRIu64 " on", r->factor, step_of(c) + 1);
    return STATUS_OK;
}

static enum status do_spheres(struct training_control *c, const struct control_request *r, json_t **reply,
                              struct error *err)
{
    const int before = threaded_training_get_num_workers(c->job->system);
    enum status st = threaded_training_set_spheres(c->job->system, r->spheres, err);
    if (st != STATUS_OK)
        return st;
    const int n = threaded_training_get_num_workers(c->job->system), width = threaded_training_width(c->job->system);
    c->job->crew->threads = n;
    if (n != before) {
        training_thread__counts_anew(c->thread);
        st = note(c, "spheres", json_pack("{s:i, s:i}", "spheres", n, "width", width), err);
        say(c, "%d sphere%s in place of %d", n, n == 1 ? "" : "s", before);
    }
    if (width < n)
        *reply = reply_of(c, "%d spheres, of which %d can find work in this model", n, width);
    else
        *reply = reply_of(c, "%d sphere%s", n, n == 1 ? "" : "s");
    if (*reply)
        json_object_set_new(*reply, "spheres", json_integer(n));
    return st;
}

/* Begins to save, beside the training where there is room for a copy; answered when it is over. */
static enum status save(struct training_control *c, struct control_task *task, struct error *err)
{
    struct run_saver *saver = training_thread__saver(c->thread);
    enum status st = STATUS_OK;
    if (!ask_on(&c->saving, task)) {
        control_server_refuse(c->server, task, "too many ask for a checkpoint");
        return STATUS_OK;
    }
    c->save_step = step_of(c);
    if (saver->begun_step != c->save_step || saver->failing)
        st = run_saver_begin(saver, c->save_step, err);
    return st;
}

/* The checkpoint is there, or it is known why not. */
static enum status answer_saving(struct training_control *c, struct error *err)
{
    struct run_saver *saver = training_thread__saver(c->thread);
    const enum status st = run_saver_look(saver, step_of(c), err);
    if (st != STATUS_OK || c->saving.n == 0 || saver->told_step == UINT64_MAX || saver->told_step < c->save_step)
        return st;
    for (int i = 0; i < c->saving.n; i++) {
        if (saver->failing) {
            control_server_refuse(c->server, c->saving.tasks[i], saver->why.text);
            continue;
        }
        const char *path = saver->checkpoint.data;
        json_t *reply = reply_of(c, "saved %s", path), *name = json_string(path);
        if (reply && name)
            json_object_set_new(reply, "checkpoint", name);
        control_server_answer(c->server, c->saving.tasks[i], reply);
    }
    c->saving.n = 0;
    return STATUS_OK;
}

static enum status do_eval(struct training_control *c, json_t **reply, struct error *err)
{
    double loss;
    const uint64_t batches = training_settings(c->job->training)->eval_batches;
    if (batch_iterator_val_windows(c->job->iterator) == 0)
        return error_set(err, STATUS_CONFIG, "there is no validation part in this run's data (--val-fraction)");
    training_thread__set_busy(c->thread, "evaluating");
    enum status st = threaded_training_evaluate(c->job->system, batches, &loss);
    if (st != STATUS_OK)
        return error_set(err, st, "%s", threaded_training_error(c->job->system));
    say(c, "validation loss %.4f, asked for", loss);
    st = note(c, "eval", json_pack("{s:o, s:I}", "loss", number(loss), "batches", (json_int_t)batches), err);
    *reply = reply_of(c, "validation loss %.4f", loss);
    if (*reply)
        json_object_set_new(*reply, "loss", number(loss));
    return st;
}

static enum status do_sample(struct training_control *c, const struct control_request *r, json_t **reply, struct error *err)
{
    struct buffer text = {0};
    const enum status st = training_thread__sample(c->thread, r->prompt, &text, err);
    if (st == STATUS_OK) {
        *reply = reply_of(c, "a sample");
        json_t *value = json_stringn(text.data, text.len); /* NULL: a byte model wrote what is no UTF-8 */
        if (*reply && value)
            json_object_set_new(*reply, "text", value);
        else if (*reply)
            json_object_set_new(*reply, "message", json_string("the sample is not UTF-8 and stands on the terminal alone"));
    }
    buffer_release(&text);
    return st;
}

static void begin_pause(struct training_control *c, struct control_task *task)
{
    if (!ask_on(&c->pausing, task)) {
        control_server_refuse(c->server, task, "too many ask for a pause");
        return;
    }
    threaded_training_command(c->job->system, TRAINING_PAUSE); /* and control is asked again when it has come about */
}

/* A pause is in force now, or was taken back. */
static enum status answer_pausing(struct training_control *c, struct error *err)
{
    const bool paused = threaded_training_paused(c->job->system);
    if (c->pausing.n == 0 || (!paused && threaded_training_pause_wished(c->job->system)))
        return STATUS_OK;
    for (int i = 0; i < c->pausing.n; i++) {
        if (paused)
            control_server_answer(c->server, c->pausing.tasks[i],
                                  reply_of(c, "paused after step %" PRIu64, step_of(c)));
        else
            control_server_refuse(c->server, c->pausing.tasks[i], "the pause was ended by another before it began");
    }
    c->pausing.n = 0;
    if (paused)
        say(c, "paused");
    return paused ? note(c, "pause", NULL, err) : STATUS_OK;
}

static enum status go_on(struct training_control *c, struct control_task *task, struct error *err)
{
    const bool wished = threaded_training_pause_wished(c->job->system);
    threaded_training_command(c->job->system, TRAINING_RESUME);
    training_thread__mark(c->thread);
    control_server_answer(c->server, task, reply_of(c, wished ? "going on after step %" PRIu64
                                                               : "it was not paused, and goes on after step %" PRIu64, step_of(c)));
    if (!wished)
        return STATUS_OK;
    say(c, "going on");
    return note(c, "resume", NULL, err);
}

/* What is done at once and answered then.  A refusal is the asker's, and the run goes on; but not where its record may be
 * damaged. */
static enum status obey_now(struct training_control *c, struct control_task *task, struct error *err)
{
    const struct control_request *r = control_task_request(task);
    json_t *reply = NULL;
    struct error why = {0};
    const enum status st = r->command == CONTROL_LR        ? do_lr(c, r, &reply, &why)
                           : r->command == CONTROL_SPHERES ? do_spheres(c, r, &reply, &why)
                           : r->command == CONTROL_EVAL    ? do_eval(c, &reply, &why)
                                                           : do_sample(c, r, &reply, &why);
    training_thread__set_busy(c->thread, NULL);
    training_thread__mark(c->thread);
    if (st == STATUS_OK) {
        control_server_answer(c->server, task, reply);
        return st;
    }
    json_decref(reply);
    const bool fatal = r->command == CONTROL_LR && st == STATUS_SYSTEM;
    if (fatal)
        error_set(err, st, "%s", why.text);
    error_prefix(&why, "%s", control_command_name(r->command));
    control_server_refuse(c->server, task, why.text);
    return fatal ? st : STATUS_OK;
}

static enum status obey(struct training_control *c, struct control_task *task, struct error *err)
{
    switch (control_task_request(task)->command) {
    case CONTROL_PAUSE:
        begin_pause(c, task);
        return STATUS_OK;
    case CONTROL_RESUME:
        return go_on(c, task, err);
    case CONTROL_SAVE:
        return save(c, task, err);
    case CONTROL_STOP:
        if (!ask_on(&c->stopping, task))
            control_server_refuse(c->server, task, "too many ask for the end, which comes");
        return STATUS_OK;
    default:
        return obey_now(c, task, err);
    }
}

static enum status between_steps(void *ctx, struct threaded_training *system, struct error *err)
{
    struct training_control *c = ctx;
    (void)system;
    enum status st = apply_waiting(c, err);
    struct control_task *task;
    while (st == STATUS_OK && c->server) {
        st = answer_pausing(c, err);
        if (st == STATUS_OK)
            st = answer_saving(c, err);
        if (st != STATUS_OK || !(task = control_server_take(c->server)))
            break;
        st = obey(c, task, err);
    }
    return st;
}

/* ---- rollback ---- */

enum status training_control_before_rollback(struct training_control *c, struct error *err)
{
    return run_events_keep(run_directory_path(c->job->run), err);
}

enum status training_control_rolled_back(struct training_control *c, uint64_t after_step, struct error *err)
{
    struct run_events now;
    struct buffer ignored = {0}; /* damage was told when the run was opened */
    run_events_release(&c->again);
    const enum status st = run_events_resume(run_directory_path(c->job->run), step_of(c), training_rollbacks(c->job->training),
                                             &now, &c->again, &ignored, err);
    c->waiting = &c->again;
    c->next_waiting = 0;
    c->left = false;
    c->as_before = after_step;
    mutex_lock(c->mu);
    c->lr_factor = training_lr_factor(c->job->training);
    mutex_unlock(c->mu);
    for (size_t i = 0; i < now.n; i++)
        apply(c, &now.items[i]);
    run_events_release(&now);
    buffer_release(&ignored);
    return st;
}

/* ---- beginning and end ---- */

struct training_control *training_control_start(struct training_thread *thread, const struct training_job *job,
                                                struct error *err)
{
    struct training_control *c = mem_calloc(1, sizeof *c);
    if (!c || !(c->mu = mutex_new())) {
        mem_free(c);
        error_set(err, STATUS_NOMEM, "no memory for the control of the training");
        return NULL;
    }
    c->thread = thread;
    c->job = job;
    c->waiting = job->waiting;
    c->lr_factor = training_lr_factor(job->training);
    threaded_training_on_control(job->system, between_steps, c);
    const struct control_handlers handlers = {status, arrived, c};
    struct error why = {0};
    c->server = control_server_start(run_directory_path(job->run), &handlers, &why);
    if (!c->server) {
        struct buffer line = {0};
        buffer_printf(&line, "the run goes on without `cllm ctl`: %s", why.text);
        if (line.data)
            training_thread__say(thread, line.data);
        buffer_release(&line);
    }
    return c;
}

void training_control_finish(struct training_control *c, const struct error *err)
{
    if (!c)
        return;
    const struct buffer *last = &training_thread__saver(c->thread)->checkpoint;
    struct error ignored;
    answer_saving(c, &ignored);
    const bool well = !err || err->status == STATUS_OK;
    struct control_task *task;
    while (c->server && (task = control_server_take(c->server))) { /* asked for the end in the last step or evaluation */
        if (control_task_request(task)->command != CONTROL_STOP || !ask_on(&c->stopping, task))
            control_server_refuse(c->server, task, "the run has ended");
    }
    for (int i = 0; i < c->saving.n; i++)
        control_server_refuse(c->server, c->saving.tasks[i], well ? "the run has ended" : err->text);
    for (int i = 0; i < c->pausing.n; i++)
        control_server_refuse(c->server, c->pausing.tasks[i], "the run has ended");
    for (int i = 0; i < c->stopping.n; i++) {
        if (well)
            control_server_answer(c->server, c->stopping.tasks[i],
                                  reply_of(c, "stopped after step %" PRIu64 "%s%s", step_of(c),
                                           last->len ? ", saved " : "", last->len ? last->data : ""));
        else
            control_server_refuse(c->server, c->stopping.tasks[i], err->text);
    }
    control_server_stop(c->server, "the run has ended");
    threaded_training_on_control(c->job->system, NULL, NULL);
    run_events_release(&c->again);
    mutex_free(c->mu);
    mem_free(c);
}
