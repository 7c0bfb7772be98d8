/* SPDX-License-Identifier: MIT
 * "spikes" in trainer_state.json: the history of the rule, so that a resumed run decides as one that never stopped.
 */
#include "train/spike_internal.h"

#include <inttypes.h>
#include <math.h>

static json_t *number_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *losses_json(const struct spike_state *state)
{
    json_t *losses = json_array();
    for (size_t i = 0; losses && i < state->num_losses; i++)
        if (json_array_append_new(losses, json_real(state->losses[i])) != 0) {
            json_decref(losses);
            return NULL;
        }
    return losses;
}

static json_t *rollback_json(const struct rollback *r)
{
    const struct spike *s = &r->spike;
    return json_pack("{s:I, s:I, s:I, s:I, s:i, s:I, s:o, s:o, s:o, s:I, s:I}", "number", (json_int_t)r->number,
                     "after_step", (json_int_t)r->after_step, "first_sample", (json_int_t)r->first_sample,
                     "last_sample", (json_int_t)r->last_sample, "reason", (int)s->reason, "step", (json_int_t)s->step,
                     "loss", number_or_null(s->loss), "grad_norm", number_or_null(s->grad_norm), "bound",
                     number_or_null(s->bound), "spike_first_sample", (json_int_t)s->first_sample, "spike_last_sample",
                     (json_int_t)s->last_sample);
}

static json_t *left_out_json(const struct spike_state *state)
{
    json_t *left_out = json_array();
    for (size_t i = 0; left_out && i < state->num_left_out; i++)
        if (json_array_append_new(left_out, rollback_json(&state->left_out[i])) != 0) {
            json_decref(left_out);
            return NULL;
        }
    return left_out;
}

json_t *spike__json(const struct spike_state *state)
{
    return json_pack("{s:I, s:I, s:I, s:o, s:o}", "skipped", (json_int_t)state->skipped, "in_a_row",
                     (json_int_t)state->in_a_row, "rollbacks", (json_int_t)state->rollbacks, "losses",
                     losses_json(state), "left_out", left_out_json(state));
}

static enum status read_number(const json_t *object, const char *key, double *out, const char *where, struct error *err)
{
    *out = NAN;
    return json_get_double(object, key, false, out, where, err); /* null: it was not finite */
}

static enum status read_rollback(struct rollback *out, const json_t *object, const char *where, struct error *err)
{
    uint64_t reason = 0;
    struct spike *s = &out->spike;
    const struct {
        const char *key;
        uint64_t *to, max;
    } counts[] = {
        {"number", &out->number, SPIKE_LIMIT_MAX},
        {"after_step", &out->after_step, INT64_MAX},
        {"first_sample", &out->first_sample, INT64_MAX},
        {"last_sample", &out->last_sample, INT64_MAX - 1},
        {"reason", &reason, SPIKE_LOSS_ABOVE},
        {"step", &s->step, INT64_MAX},
        {"spike_first_sample", &s->first_sample, INT64_MAX},
        {"spike_last_sample", &s->last_sample, INT64_MAX},
    };
    if (!json_is_object(object))
        return error_set(err, STATUS_FORMAT, "%s: a rollback must be an object", where);
    enum status st = STATUS_OK;
    for (size_t i = 0; i < sizeof counts / sizeof *counts && st == STATUS_OK; i++)
        st = json_get_u64(object, counts[i].key, true, counts[i].max, counts[i].to, where, err);
    if (st == STATUS_OK)
        st = read_number(object, "loss", &s->loss, where, err);
    if (st == STATUS_OK)
        st = read_number(object, "grad_norm", &s->grad_norm, where, err);
    if (st == STATUS_OK)
        st = read_number(object, "bound", &s->bound, where, err);
    s->reason = (enum spike_reason)reason;
    return st;
}

static enum status read_losses(struct spike_state *out, const json_t *losses, const char *where, struct error *err)
{
    if (!json_is_array(losses) || json_array_size(losses) > SPIKE_WINDOW_MAX)
        return error_set(err, STATUS_FORMAT, "%s: \"losses\" must be an array of at most %d", where,
                         (int)SPIKE_WINDOW_MAX);
    for (size_t i = 0; i < json_array_size(losses); i++) {
        const json_t *loss = json_array_get(losses, i);
        if (!json_is_number(loss) || !isfinite(json_number_value(loss)))
            return error_set(err, STATUS_FORMAT, "%s: a loss is not a number", where);
        out->losses[out->num_losses++] = json_number_value(loss);
    }
    return STATUS_OK;
}

static enum status read_left_out(struct spike_state *out, const json_t *left_out, const char *where, struct error *err)
{
    if (!json_is_array(left_out) || json_array_size(left_out) > SPIKE_LIMIT_MAX)
        return error_set(err, STATUS_FORMAT, "%s: \"left_out\" must be an array of at most %d", where,
                         (int)SPIKE_LIMIT_MAX);
    for (size_t i = 0; i < json_array_size(left_out); i++) {
        struct rollback *r = &out->left_out[out->num_left_out];
        enum status st = read_rollback(r, json_array_get(left_out, i), where, err);
        if (st != STATUS_OK)
            return st;
        if (i > 0 && r->after_step <= r[-1].after_step)
            return error_set(err, STATUS_FORMAT, "%s: rollbacks must be in the order of their steps", where);
        out->num_left_out++;
    }
    return STATUS_OK;
}

enum status spike__from_json(struct spike_state *out, const json_t *object, const char *where, struct error *err)
{
    *out = (struct spike_state){0};
    if (!object)
        return STATUS_OK; /* a run that ignores spikes, or of before there was the rule */
    if (!json_is_object(object))
        return error_set(err, STATUS_FORMAT, "%s: \"spikes\" must be an object", where);
    enum status st = json_get_u64(object, "skipped", true, INT64_MAX, &out->skipped, where, err);
    if (st == STATUS_OK)
        st = json_get_u64(object, "in_a_row", true, out->skipped, &out->in_a_row, where, err);
    if (st == STATUS_OK)
        st = json_get_u64(object, "rollbacks", true, SPIKE_LIMIT_MAX, &out->rollbacks, where, err);
    if (st == STATUS_OK)
        st = read_losses(out, json_object_get(object, "losses"), where, err);
    if (st == STATUS_OK)
        st = read_left_out(out, json_object_get(object, "left_out"), where, err);
    return st;
}
