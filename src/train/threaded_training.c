/* SPDX-License-Identifier: MIT
 * The threaded training system: making it, driving it from step to step, control, and what can be seen from outside.
 * What a step is stands in training_step.c, what an evaluation is in evaluation.c.
 *
 * Threads: one drives (create, epoch, step, evaluate, free); any may command.  `mu` guards the wishes and `changed`
 * tells of them; `paused` is read by whoever asks, so it is atomic, and relaxed: nothing else is published with it.
 * `stop` and `cancel` are tokens below those that the caller may have given; the root sphere asks them inside a step.
 */
#include "train/threaded_training.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/human.h"
#include "base/memory.h"
#include "runtime/cancel.h"
#include "runtime/heartbeat.h"
#include "runtime/pool.h"
#include "runtime/profile.h"
#include "runtime/thread.h"
#include "topology/topology.h"
#include "train/threaded_training_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t pause_look_ns = 100000000u;

static _Thread_local struct error create_error;

/* ---- making ---- */

static enum status check_arguments(const struct training *training, const struct batch_iterator *iterator,
                                   struct error *err)
{
    if (!training || !iterator)
        return error_set(err, STATUS_MISUSE, "a threaded training needs a training and a batch iterator");
    const struct batch_options *options = batch_iterator_options(iterator);
    const struct train_settings *s = &training->settings;
    if (options->seq_len != s->seq_len || options->batch_size != s->batch_size)
        return error_set(err, STATUS_CONFIG,
                         "the batch iterator gives %zu sequences of %zu tokens, the training wants %zu of %zu",
                         options->batch_size, options->seq_len, s->batch_size, s->seq_len);
    if (options->packing != s->packing)
        return error_set(err, STATUS_CONFIG, "the batch iterator packs %s, the training wants %s",
                         packing_name(options->packing), packing_name(s->packing));
    return STATUS_OK;
}

/* What is reserved is taken now, by the sphere that will use it: a run that has begun does not run out of memory later, and takes what was
 * planned, however little of it so many spheres would have touched. */
static void take_memory(struct sphere *me, void *arg)
{
    training__touch(me, arg);
    arena_touch(&me->scratch);
}

static void take_scratch(struct sphere *me, void *arg)
{
    (void)arg;
    arena_touch(&me->scratch);
}

/* The training was planned for the usable cores; more spheres than that take more. */
static enum status check_memory(const struct training *t, int num_spheres, const struct topology *topology,
                                struct error *err)
{
    int width = num_spheres < t->max_width ? num_spheres : t->max_width;
    size_t need = (size_t)width * t->sphere_scratch_bytes;
    if (topology->memory_available_bytes && need > topology->memory_available_bytes) {
        struct human wanted, each, have;
        return error_set(err, STATUS_NOMEM, "%d spheres at work need %s of scratch (%s each) and %s are available",
                         width, human_bytes(&wanted, need), human_bytes(&each, t->sphere_scratch_bytes),
                         human_bytes(&have, topology->memory_available_bytes));
    }
    return STATUS_OK;
}

/* Spheres beyond the model's max_width would only cross barriers.  CLLM_FULL_WIDTH=1 takes them in all the same: for
 * tests, which want to see that the bits stay. */
static int choose_width(const struct training *t, int num_spheres)
{
    const char *full = getenv("CLLM_FULL_WIDTH");
    if (full && strcmp(full, "1") == 0)
        return num_spheres;
    return num_spheres < t->max_width ? num_spheres : t->max_width;
}

struct threaded_training *threaded_training_create_with(struct training *training,
                                                        struct batch_iterator *batch_iterator,
                                                        const struct threaded_training_options *wanted,
                                                        struct error *err)
{
    const int num_threads = wanted->num_threads;
    if (check_arguments(training, batch_iterator, err) != STATUS_OK)
        return NULL;
    struct topology topology;
    topology_read(&topology);
    if (num_threads > 0 && num_threads <= SPHERES_MAX &&
        check_memory(training, num_threads, &topology, err) != STATUS_OK)
        return NULL;

    struct threaded_training *s = mem_calloc(1, sizeof *s);
    if (s) {
        s->mu = mutex_new();
        s->changed = cond_new();
        s->stop = cancel_new(NULL, NULL);
        s->cancel = cancel_new(NULL, NULL);
    }
    if (!s || !s->mu || !s->changed || !s->stop || !s->cancel) {
        error_set(err, STATUS_NOMEM, "out of memory for the threaded training");
        threaded_training_free(s);
        return NULL;
    }
    s->pool = wanted->pool;
    s->outer_stop = wanted->stop;
    s->outer_cancel = wanted->cancel;
    struct team_options options = {.num_spheres = num_threads,
                                   .backend = wanted->backend,
                                   .pool = wanted->pool,
                                   .scratch_bytes = training->sphere_scratch_bytes};
    s->team = team_new(&options, err);
    if (!s->team) {
        threaded_training_free(s);
        return NULL;
    }
    s->training = training;
    step_guard__run_begins(&s->guard, training->step);
    s->iterator = batch_iterator;
    s->width = choose_width(training, team_size(s->team));
    training__planned_for(training, team_size(s->team), s->width);
    team_run(s->team, s->width, take_memory, training);
    s->start_ns = clock_now_ns();
    if (batch_iterator_position(batch_iterator) != training->sample)
        batch_iterator_seek(batch_iterator, training->sample);
    return s;
}

struct threaded_training *threaded_training_create(struct training *training, struct batch_iterator *batch_iterator,
                                                   int num_threads)
{
    create_error = (struct error){0};
    const struct threaded_training_options options = {.num_threads = num_threads};
    return threaded_training_create_with(training, batch_iterator, &options, &create_error);
}

const char *threaded_training_create_error(void)
{
    return create_error.text;
}

void threaded_training_free(struct threaded_training *s)
{
    if (!s)
        return;
    team_free(s->team);
    cancel_free(s->stop);
    cancel_free(s->cancel);
    cond_free(s->changed);
    mutex_free(s->mu);
    mem_free(s);
}

/* ---- another number of spheres ---- */

static enum status may_have_spheres(const struct threaded_training *s, int num_spheres, const struct topology *topology,
                                    struct error *err)
{
    if (num_spheres < 1 || num_spheres > SPHERES_MAX)
        return error_set(err, STATUS_CONFIG, "the number of spheres must be 1 to %d, not %d", SPHERES_MAX, num_spheres);
    if (team_backend(s->team) == TEAM_SERIAL && num_spheres > 1)
        return error_set(err, STATUS_CONFIG, "the serial back end has one sphere; %d were asked for", num_spheres);
    if (s->profile.team)
        return error_set(err, STATUS_MISUSE, "the steps are being profiled sphere by sphere, so their number stays %d",
                         team_size(s->team));
    const int more = choose_width(s->training, num_spheres) - s->width;
    return more > 0 ? check_memory(s->training, more, topology, err) : STATUS_OK;
}

enum status threaded_training_set_spheres(struct threaded_training *s, int num_spheres, struct error *err)
{
    struct topology topology;
    topology_read(&topology);
    if (num_spheres == 0)
        num_spheres = team_backend(s->team) == TEAM_SERIAL ? 1 : topology_auto_spheres(&topology);
    enum status st = may_have_spheres(s, num_spheres, &topology, err);
    if (st != STATUS_OK || num_spheres == team_size(s->team))
        return st;
    struct pool *pool = team_backend(s->team) == TEAM_PTHREAD ? s->pool : NULL;
    const int gangs = pool ? pool_gang_size(pool) : 0;
    if (pool && num_spheres > gangs && (st = pool_resize_gangs(pool, num_spheres, err)) != STATUS_OK)
        return st;
    const struct team_options options = {.num_spheres = num_spheres,
                                         .backend = team_backend(s->team),
                                         .pool = s->pool,
                                         .scratch_bytes = s->training->sphere_scratch_bytes};
    struct team *team = team_new(&options, err), *before = s->team;
    if (team) {
        const int width = choose_width(s->training, num_spheres);
        team_run(team, width, take_scratch, NULL);
        mutex_lock(s->mu);
        s->team = team;
        s->width = width;
        training__planned_for(s->training, num_spheres, s->width);
        s->start_ns = clock_now_ns();
        mutex_unlock(s->mu);
        team_free(before);
    } else {
        st = err->status;
    }
    /* Threads that nobody wants: of the team that went, or of the one that could not be made. */
    const int wanted = team ? num_spheres : gangs;
    struct error ignored;
    if (pool && pool_gang_size(pool) > wanted)
        pool_resize_gangs(pool, wanted, &ignored);
    if (team && s->peak_gflops > 0)
        threaded_training_measure_peak(s, &ignored);
    return st;
}

/* ---- runs, steps and pauses ---- */

enum status training__run_team(struct threaded_training *s, void (*fn)(struct sphere *me, void *arg), void *arg)
{
    step_guard__run_begins(&s->guard, s->training->step);
    const enum status st = team_run(s->team, s->width, fn, arg);
    step_guard__run_ended(&s->guard, s->mu, s->changed);
    return st;
}

/* Lets control have its say, and waits while a pause is wished; control goes on having it then. */
static enum status between_steps(struct threaded_training *s)
{
    for (;;) {
        const enum status st = s->on_control ? s->on_control(s->on_control_ctx, s, &s->error) : STATUS_OK;
        if (st != STATUS_OK)
            return st;
        mutex_lock(s->mu);
        const bool pause = s->pause && !threaded_training_stopping(s);
        atomic_store_explicit(&s->paused, pause, memory_order_relaxed);
        if (pause && !s->woken)
            cond_wait_for(s->changed, s->mu, pause_look_ns); /* a token of the caller's does not signal us */
        s->woken = false;
        mutex_unlock(s->mu);
        if (!pause)
            return STATUS_OK;
    }
}

static bool take_save(struct threaded_training *s)
{
    mutex_lock(s->mu);
    bool save = s->save;
    s->save = false;
    mutex_unlock(s->mu);
    return save;
}

enum status threaded_train_epoch(struct threaded_training *s)
{
    struct training *t = s->training;
    const uint64_t windows = batch_iterator_windows(s->iterator);
    const uint64_t epoch = t->sample / windows;
    while (t->step < t->settings.steps && t->sample / windows == epoch) {
        enum status st = between_steps(s);
        if (st != STATUS_OK)
            return st;
        if (training__is_cancelled(s))
            return error_set(&s->error, STATUS_CANCELLED, "cancelled after step %" PRIu64, t->step);
        if (training__is_stopped(s))
            return STATUS_OK;
        st = threaded_train_step(s);
        if (st != STATUS_OK)
            return st;
        bool save = take_save(s);
        if (s->on_step && (st = s->on_step(s->on_step_ctx, s, save, &s->error)) != STATUS_OK)
            return st;
    }
    return STATUS_OK;
}

const char *threaded_training_error(const struct threaded_training *s)
{
    return s->error.text;
}

void threaded_training_on_step(struct threaded_training *s, training_step_fn *fn, void *ctx)
{
    s->on_step = fn;
    s->on_step_ctx = ctx;
}

void threaded_training_on_control(struct threaded_training *s, training_control_fn *fn, void *ctx)
{
    s->on_control = fn;
    s->on_control_ctx = ctx;
}

/* ---- seen by the watchdog ---- */

void threaded_training_watch_also(struct threaded_training *s, struct team *team)
{
    if (team)
        step_guard__run_begins(&s->guard, s->training->step);
    else
        step_guard__run_ended(&s->guard, s->mu, s->changed); /* who saves still looks at the team */
    mutex_lock(s->mu);
    s->guest = team;
    mutex_unlock(s->mu);
}

bool threaded_training__watches_guest(struct threaded_training *s)
{
    mutex_lock(s->mu);
    const bool guest = s->guest != NULL;
    mutex_unlock(s->mu);
    return guest;
}

/* Under the mutex. */
static struct team *watched(const struct threaded_training *s)
{
    return s->guest ? s->guest : s->team;
}

bool threaded_training__look(struct threaded_training *s, struct team_pulse *pulse, uint64_t *step,
                             struct heartbeat *laggard)
{
    mutex_lock(s->mu);
    team_pulse(watched(s), pulse);
    const bool running = pulse->running && team_laggard(watched(s), laggard);
    mutex_unlock(s->mu);
    *step = atomic_load_explicit(&s->guard.step, memory_order_relaxed);
    return running;
}

bool threaded_training__heartbeat(struct threaded_training *s, int id, struct heartbeat *out)
{
    mutex_lock(s->mu);
    const bool there = team_heartbeat(watched(s), id, out);
    mutex_unlock(s->mu);
    return there;
}

bool threaded_training__seize(struct threaded_training *s, uint64_t run, uint64_t beats, bool *whole, uint64_t *step)
{
    struct team_pulse pulse;
    struct heartbeat laggard;
    *whole = step_guard__seize(&s->guard, s->mu);
    const bool running = threaded_training__look(s, &pulse, step, &laggard);
    if (running && pulse.run == run && pulse.beats == beats)
        return true;
    threaded_training__release(s);
    return false;
}

void threaded_training__release(struct threaded_training *s)
{
    step_guard__release(&s->guard, s->mu, s->changed);
}

/* ---- control ---- */

void threaded_training_command(struct threaded_training *s, enum training_command command)
{
    mutex_lock(s->mu);
    switch (command) {
    case TRAINING_PAUSE:
        s->pause = true;
        break;
    case TRAINING_RESUME:
        s->pause = false;
        break;
    case TRAINING_SAVE_NOW:
        s->save = true;
        break;
    case TRAINING_STOP:
        cancel_request(s->stop, "a stop was asked for");
        break;
    case TRAINING_CANCEL:
        cancel_request(s->cancel, "a cancellation was asked for");
        break;
    }
    s->woken = true;
    cond_broadcast(s->changed);
    mutex_unlock(s->mu);
}

void threaded_training_wake(struct threaded_training *s)
{
    mutex_lock(s->mu);
    s->woken = true;
    cond_broadcast(s->changed);
    mutex_unlock(s->mu);
}

bool threaded_training_pause_wished(struct threaded_training *s)
{
    mutex_lock(s->mu);
    const bool pause = s->pause;
    mutex_unlock(s->mu);
    return pause;
}

bool threaded_training_paused(const struct threaded_training *s)
{
    return atomic_load_explicit(&s->paused, memory_order_relaxed);
}

bool threaded_training_stopping(const struct threaded_training *s)
{
    return training__is_stopped(s) || training__is_cancelled(s);
}

/* ---- statistics ---- */

/* The team is another after threaded_training_set_spheres; `mu` keeps it from going while it is read. */

int threaded_training_get_num_workers(struct threaded_training *s)
{
    mutex_lock(s->mu);
    const int n = team_size(s->team);
    mutex_unlock(s->mu);
    return n;
}

enum status threaded_training_profile(struct threaded_training *s, uint64_t skip, uint64_t trace, struct error *err)
{
    return step_profile_init(&s->profile, s->team, s->width, skip, trace, err);
}

const struct step_profile *threaded_training_profiled(const struct threaded_training *s)
{
    return &s->profile;
}

int threaded_training_width(struct threaded_training *s)
{
    mutex_lock(s->mu);
    const int width = s->width;
    mutex_unlock(s->mu);
    return width;
}

enum status threaded_training_get_sphere_stats(struct threaded_training *s, int sphere_id, struct sphere_stats *out)
{
    mutex_lock(s->mu);
    const enum status st = team_stats(s->team, sphere_id, out);
    mutex_unlock(s->mu);
    return st;
}

enum status threaded_training_report(const struct threaded_training *s, struct stats_report *out, struct error *err)
{
    int n = team_size(s->team);
    *out = (struct stats_report){.num_spheres = n,
                                 .width = s->width,
                                 .step = s->training->step,
                                 .tokens = s->training->tokens,
                                 .planned_bytes = s->training->memory.total_bytes,
                                 .peak_bytes = mem_peak_bytes(),
                                 .peak_gflops = s->peak_gflops,
                                 .seconds = (double)(clock_now_ns() - s->start_ns) * 1e-9};
    snprintf(out->backend, sizeof out->backend, "%s", team_backend_name(team_backend(s->team)));
    out->spheres = mem_calloc((size_t)n, sizeof *out->spheres);
    if (!out->spheres)
        return error_set(err, STATUS_NOMEM, "out of memory for the statistics of %d spheres", n);
    for (int i = 0; i < n; i++) {
        team_stats(s->team, i, &out->spheres[i]);
        out->spheres[i].robbed_ns = team_robbed_ns(s->team, i);
    }
    const enum status status = stats_report_add_pool(out, s->pool, err);
    if (status != STATUS_OK)
        stats_report_release(out);
    return status;
}

void threaded_training_print_stats(struct threaded_training *s)
{
    struct stats_report report;
    struct buffer text = {0};
    struct error err;
    if (threaded_training_report(s, &report, &err) != STATUS_OK) {
        fprintf(stderr, "%s\n", err.text);
        return;
    }
    stats_report_table(&report, false, &text);
    if (text.data)
        fwrite(text.data, 1, text.len, stdout);
    fflush(stdout);
    buffer_release(&text);
    stats_report_release(&report);
}
