/* SPDX-License-Identifier: MIT */
#include "train/spike_events.h"

#include "train/rollback.h"
#include "train/spike.h"

#include <inttypes.h>
#include <math.h>

static json_t *number_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

/* Takes `more`. */
static enum status write_event(struct metrics *m, uint64_t step, const char *event, json_t *more, struct error *err)
{
    if (!more)
        return error_set(err, STATUS_NOMEM, "out of memory for the event \"%s\"", event);
    enum status st = metrics_write_event(m, step, event, more, err);
    json_decref(more);
    return st;
}

enum status metrics_write_rollback(struct metrics *m, const struct training *t, struct error *err)
{
    const struct rollback *r = training_last_rollback(t);
    if (!r)
        return STATUS_OK;
    char lines[64];
    snprintf(lines, sizeof lines, "metrics.rolled-back-%" PRIu64 ".jsonl", r->number);
    return write_event(
        m, training_step(t), "rollback",
        json_pack("{s:I, s:I, s:I, s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:s}", "number", (json_int_t)r->number, "from_step",
                  (json_int_t)r->spike.step, "to_step", (json_int_t)r->after_step, "reason",
                  spike_reason_text(r->spike.reason), "loss", number_or_null(r->spike.loss), "grad_norm",
                  number_or_null(r->spike.grad_norm), "first_sample", (json_int_t)r->first_sample, "last_sample",
                  (json_int_t)r->last_sample, "spike_first_sample", (json_int_t)r->spike.first_sample,
                  "spike_last_sample", (json_int_t)r->spike.last_sample, "lines", lines),
        err);
}

enum status metrics_write_skip(struct metrics *m, const struct training *t, struct buffer *say, struct error *err)
{
    const struct spike *s = training_last_spike(t);
    if (s->reason == SPIKE_NONE)
        return STATUS_OK;
    const char *reason = spike_reason_text(s->reason);
    buffer_printf(say, "step %" PRIu64 "  %s: %s (loss %g, gradient norm %g, samples %" PRIu64 " to %" PRIu64 ")",
                  s->step, training_wants_rollback(t) ? "going back" : "left out", reason, s->loss, s->grad_norm, s->first_sample, s->last_sample);
    return write_event(m, s->step, training_wants_rollback(t) ? "spike" : "skip",
                       json_pack("{s:s, s:o, s:o, s:o, s:I, s:I}", "reason", reason, "loss", number_or_null(s->loss),
                                 "grad_norm", number_or_null(s->grad_norm), "bound", number_or_null(s->bound),
                                 "first_sample", (json_int_t)s->first_sample, "last_sample",
                                 (json_int_t)s->last_sample),
                       err);
}
