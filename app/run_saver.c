/* SPDX-License-Identifier: MIT */
#include "app/run_saver.h"

#include "base/clock.h"

#include <inttypes.h>
#include <math.h>

void run_saver_init(struct run_saver *r, struct saver *saver, const struct training *training, struct metrics *metrics,
                    void (*say)(void *ctx, const char *line), void (*warn)(void *ctx, const char *line), void *ctx)
{
    *r = (struct run_saver){.saver = saver,
                            .settings = training_settings(training),
                            .metrics = metrics,
                            .say = say,
                            .warn = warn,
                            .ctx = ctx,
                            .begun_step = UINT64_MAX,
                            .told_step = UINT64_MAX,
                            .mark_ns = clock_now_ns(),
                            .start_ns = clock_now_ns()};
}

struct stats_saving run_saver_totals(const struct run_saver *r)
{
    struct stats_saving totals = r->totals;
    totals.session_s = 1e-9 * (double)(clock_now_ns() - r->start_ns);
    return totals;
}

bool run_saver_due(const struct run_saver *r, uint64_t step)
{
    const uint64_t seconds = r->settings->save_seconds;
    return step == r->settings->steps || train_settings_save_at(r->settings, step) ||
           (seconds > 0 && clock_now_ns() - r->mark_ns >= seconds * 1000000000u);
}

/* Else another attempt may do better, and training goes on meanwhile: a disk that is full or ill, no memory, no threads. */
static bool ends_the_run(const struct save_outcome *o)
{
    return o->record_failed || (o->status != STATUS_IO && o->status != STATUS_NOMEM && o->status != STATUS_SYSTEM);
}

static void say_outcome(struct run_saver *r, const struct save_outcome *o)
{
    struct buffer line = {0};
    if (o->status != STATUS_OK && (r->last || ends_the_run(o)))
        return; /* the command says it in the end */
    if (o->status != STATUS_OK)
        buffer_printf(&line,
                      "step %" PRIu64
                      "  NOT SAVED: %s; earlier checkpoints are as they were, and the next save that is due "
                      "tries again",
                      o->step, o->error.text);
    else if (o->overlapped)
        buffer_printf(&line, "step %" PRIu64 "  saved %s  (%.2f s of training, %.1f s of writing beside it)", o->step,
                      o->path.data, save_outcome_lost(o), o->write_s);
    else
        buffer_printf(&line, "step %" PRIu64 "  saved %s  (%.1f s)", o->step, o->path.data, save_outcome_lost(o));
    if (line.data)
        (o->status == STATUS_OK ? r->say : r->warn)(r->ctx, line.data);
    buffer_release(&line);
}

/* The event belongs to the step at which it is known, as lines never go back; "saved_step" says which one was saved. */
static enum status record(struct run_saver *r, const struct save_outcome *o, uint64_t step, struct error *err)
{
    json_t *more =
        json_pack("{s:I, s:b, s:f, s:f, s:f}", "saved_step", (json_int_t)o->step, "overlapped", (int)o->overlapped,
                  "snapshot_s", o->snapshot_s, "waited_s", o->waited_s, "write_s", o->write_s);
    bool good = more && (o->status != STATUS_OK ||
                         json_object_set_new(more, "bytes", json_integer((json_int_t)o->size_bytes)) == 0);
    if (good && o->status != STATUS_OK) { /* a path may be in it that is not UTF-8: then the event goes without */
        json_t *text = json_string(o->error.text);
        if (text)
            good = json_object_set_new(more, "text", text) == 0;
    }
    const enum status st =
        good ? metrics_write_event(r->metrics, step, o->status == STATUS_OK ? "checkpoint" : "checkpoint_failed", more,
                                   err)
             : error_set(err, STATUS_NOMEM, "no memory to record a checkpoint");
    json_decref(more);
    return st;
}

/* Tells, records and counts what came of a save; takes its path. */
static enum status report(struct run_saver *r, const struct save_outcome *outcome, uint64_t step, struct error *err)
{
    struct save_outcome o = *outcome;
    r->totals.lost_s += save_outcome_lost(&o);
    r->totals.write_s += o.write_s;
    r->totals.longest_write_s = fmax(r->totals.longest_write_s, o.write_s);
    r->failing = o.status != STATUS_OK;
    r->told_step = o.step;
    say_outcome(r, &o);
    enum status st = record(r, &o, step, err);
    if (o.status == STATUS_OK) {
        r->totals.saved++;
        r->totals.bytes += o.size_bytes;
        r->totals.last_bytes = o.size_bytes;
        r->totals.last_write_s = o.write_s;
        buffer_release(&r->checkpoint);
        r->checkpoint = o.path;
        return st;
    }
    r->totals.failed++;
    r->why = o.error;
    buffer_release(&o.path);
    if (ends_the_run(&o))
        st = error_set(err, o.status, "%s", o.error.text);
    return st;
}

enum status run_saver_look(struct run_saver *r, uint64_t step, struct error *err)
{
    struct save_outcome o;
    return saver_take(r->saver, &o) ? report(r, &o, step, err) : STATUS_OK;
}

static enum status begin(struct run_saver *r, uint64_t step, bool overlap, struct error *err)
{
    saver_wait(r->saver);
    const enum status st = run_saver_look(r, step, err);
    if (st != STATUS_OK)
        return st;
    r->mark_ns = clock_now_ns();
    r->begun_step = step;
    struct error why;
    if (metrics_flush(r->metrics, &why) != STATUS_OK) /* the disk is full: its record first, then the checkpoint */
        return report(r, &(struct save_outcome){.status = STATUS_IO, .error = why, .step = step}, step, err);
    saver_begin(r->saver, overlap);
    return run_saver_look(r, step, err); /* where it did not overlap it is over */
}

enum status run_saver_begin(struct run_saver *r, uint64_t step, struct error *err)
{
    return begin(r, step, true, err);
}

enum status run_saver_pause(struct run_saver *r, uint64_t step, struct error *err)
{
    saver_wait(r->saver);
    r->begun_step = UINT64_MAX;
    return run_saver_look(r, step, err);
}

enum status run_saver_finish(struct run_saver *r, uint64_t step, bool wanted, struct error *err)
{
    saver_wait(r->saver);
    enum status st = run_saver_look(r, step, err);
    if (st != STATUS_OK || !wanted || (r->begun_step == step && !r->failing))
        return st;
    r->last = true;
    st = begin(r, step, false, err);
    if (st == STATUS_OK && r->failing)
        st = error_set(err, r->why.status, "step %" PRIu64 " was not saved: %s; --resume goes on from %s", step,
                       r->why.text, r->checkpoint.len ? r->checkpoint.data : "the checkpoint before");
    return st;
}
