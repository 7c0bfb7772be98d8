/* SPDX-License-Identifier: MIT
 * The caller owns the saver but for what `mu` guards, and the snapshot while a save is under way: that is the thread's.
 * `busy` is set by the caller and cleared by the thread, which by then has written `outcome`; the lock orders both.
 */
#include "train/saver.h"

#include "base/clock.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "runtime/thread.h"
#include "runtime/thread_state.h"
#include "train/snapshot_internal.h"

#include <stdatomic.h>
#include <string.h>

struct saver {
    struct saver_options options;
    bool overlaps;
    struct snapshot snapshot;
    double waited_s; /* not yet told */
    struct thread *thread;
    struct mutex *mu;
    struct cond *changed;
    bool busy, over, quit;       /* guarded by mu; over: `outcome` waits to be taken */
    struct save_pulse pulse;     /* guarded by mu, but for the beats */
    _Atomic uint64_t beats;      /* relaxed: for show */
    struct save_outcome outcome; /* the thread's while busy, then the caller's */
};

static double seconds_since(uint64_t ns)
{
    return 1e-9 * (double)(clock_now_ns() - ns);
}

double save_outcome_lost(const struct save_outcome *o)
{
    return o->snapshot_s + o->waited_s + (o->overlapped ? 0 : o->write_s);
}

/* Asked by the writer of a file whether it is to stop; it never is. */
static bool beat(const void *ctx)
{
    const struct saver *s = ctx;
    atomic_fetch_add_explicit((_Atomic uint64_t *)(uintptr_t)&s->beats, 1, memory_order_relaxed);
    return false;
}

static void note_writing(struct saver *s, bool writing)
{
    file_writer_stop_when(writing ? beat : NULL, s);
    mutex_lock(s->mu);
    s->pulse.writing = writing;
    s->pulse.saves += writing;
    s->pulse.step = s->outcome.step;
    s->pulse.tid = thread_tid();
    mutex_unlock(s->mu);
}

void saver_pulse(struct saver *s, struct save_pulse *out)
{
    mutex_lock(s->mu);
    *out = s->pulse;
    mutex_unlock(s->mu);
    out->beats = atomic_load_explicit(&s->beats, memory_order_relaxed);
}

static void write_out(struct saver *s, struct training *t)
{
    const struct saver_options *o = &s->options;
    struct save_outcome *out = &s->outcome;
    const uint64_t start = clock_now_ns();
    note_writing(s, true);
    out->status = o->before ? o->before(o->ctx, &out->error) : STATUS_OK;
    out->record_failed = out->status != STATUS_OK;
    if (out->status == STATUS_OK)
        out->status =
            checkpoint_save(t, o->run_directory, o->settings_hash, o->extras, o->num_extras, &out->path, &out->error);
    if (out->status == STATUS_OK && out->path.failed)
        out->status = error_set(&out->error, STATUS_NOMEM, "no memory for the path of a checkpoint");
    out->write_s = seconds_since(start);
    note_writing(s, false);
    if (out->status == STATUS_OK)
        out->size_bytes = checkpoint_size_bytes(out->path.data);
}

static void save_thread(void *arg)
{
    struct saver *s = arg;
    mutex_lock(s->mu);
    for (;;) {
        while (!s->busy && !s->quit)
            cond_wait(s->changed, s->mu);
        if (!s->busy)
            break;
        mutex_unlock(s->mu);
        write_out(s, &s->snapshot.frozen);
        mutex_lock(s->mu);
        s->busy = false;
        s->over = true;
        cond_broadcast(s->changed);
    }
    mutex_unlock(s->mu);
}

struct saver *saver_new(const struct saver_options *options, struct error *err)
{
    struct saver *s = mem_calloc(1, sizeof *s);
    if (s) {
        s->mu = mutex_new();
        s->changed = cond_new();
    }
    if (!s || !s->mu || !s->changed) {
        error_set(err, STATUS_NOMEM, "no memory for saving checkpoints");
        saver_free(s);
        return NULL;
    }
    s->options = *options;
    if (snapshot__bytes(training_settings(options->training)) == 0)
        return s;
    enum status st = snapshot__init(&s->snapshot, options->training, err);
    if (st == STATUS_OK && (st = snapshot__take(&s->snapshot, options->system, options->training)) != STATUS_OK)
        error_set(err, st, "the copy that checkpoints are written from: %s", status_text(st));
    if (st == STATUS_OK)
        s->thread = thread_start("saving", save_thread, s, err);
    if (!s->thread) {
        saver_free(s);
        return NULL;
    }
    s->overlaps = true;
    return s;
}

void saver_free(struct saver *s)
{
    if (!s)
        return;
    if (s->thread) {
        mutex_lock(s->mu);
        s->quit = true;
        cond_broadcast(s->changed);
        mutex_unlock(s->mu);
        thread_join(s->thread);
    }
    snapshot__release(&s->snapshot);
    buffer_release(&s->outcome.path);
    cond_free(s->changed);
    mutex_free(s->mu);
    mem_free(s);
}

void saver_wait(struct saver *s)
{
    if (!s->overlaps)
        return;
    const uint64_t start = clock_now_ns();
    mutex_lock(s->mu);
    const bool waits = s->busy;
    while (s->busy)
        cond_wait(s->changed, s->mu);
    mutex_unlock(s->mu);
    if (waits)
        s->waited_s += seconds_since(start);
}

bool saver_take(struct saver *s, struct save_outcome *out)
{
    mutex_lock(s->mu);
    const bool over = s->over;
    s->over = false;
    mutex_unlock(s->mu);
    if (over) {
        *out = s->outcome;
        s->outcome = (struct save_outcome){0};
    }
    return over;
}

void saver_begin(struct saver *s, bool overlap)
{
    saver_wait(s);
    struct training *t = s->options.training;
    buffer_release(&s->outcome.path);
    s->outcome =
        (struct save_outcome){.step = training_step(t), .overlapped = overlap && s->overlaps, .waited_s = s->waited_s};
    s->waited_s = 0;
    bool busy = false;
    if (!s->outcome.overlapped) {
        write_out(s, t);
    } else {
        const uint64_t start = clock_now_ns();
        s->outcome.status = snapshot__take(&s->snapshot, s->options.system, t);
        s->outcome.snapshot_s = seconds_since(start);
        busy = s->outcome.status == STATUS_OK;
        if (!busy)
            error_set(&s->outcome.error, s->outcome.status, "the copy of step %llu for its checkpoint: %s",
                      (unsigned long long)s->outcome.step, status_text(s->outcome.status));
    }
    mutex_lock(s->mu);
    s->busy = busy;
    s->over = !busy;
    cond_broadcast(s->changed);
    mutex_unlock(s->mu);
}
