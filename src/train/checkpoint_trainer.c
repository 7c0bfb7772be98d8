/* SPDX-License-Identifier: MIT
 * trainer_state.json: where a training stands, beside its weights and its optimizer's state.  A new key is written,
 * read and applied here and nowhere else; one that older checkpoints have not is read with what they meant.
 */
#include "base/file.h"
#include "train/checkpoint_internal.h"
#include "train/run_events.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static json_t *number_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

json_t *checkpoint__trainer_json(const struct training *t, uint32_t settings_hash)
{
    char hash[16];
    snprintf(hash, sizeof hash, "%08" PRIx32, settings_hash);
    json_t *object =
        json_pack("{s:i, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:o, s:o, s:o, s:f}", "format", (int)CHECKPOINT_FORMAT,
                     "step", (json_int_t)t->step, "tokens", (json_int_t)t->tokens, "epoch", (json_int_t)t->epoch,
                     "sample", (json_int_t)t->sample, "seed", (json_int_t)t->settings.seed, "optimizer",
                     t->room.optimizer->name, "settings_hash", hash, "loss", number_or_null(t->last_loss), "grad_norm",
                     number_or_null(t->last_grad_norm), "lr", number_or_null(t->last_lr), "lr_factor",
                     t->lr_factor);
    if (object && t->settings.spikes.policy != SPIKE_IGNORE &&
        json_object_set_new(object, "spikes", spike__json(&t->spikes)) != 0) {
        json_decref(object);
        return NULL;
    }
    if (object && t->validated && t->val_step == t->step && isfinite(t->val_loss) &&
        json_object_set_new(object, "val_loss", json_real(t->val_loss)) != 0) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static enum status read_number_or_null(const json_t *object, const char *key, double *out, const char *where,
                                       struct error *err)
{
    *out = NAN;
    if (json_is_null(json_object_get(object, key)))
        return STATUS_OK;
    return json_get_double(object, key, true, out, where, err);
}

enum status checkpoint__read_trainer(const char *directory, struct trainer_state *out, struct error *err)
{
    struct buffer path = {0};
    const char *where = path_join(&path, directory, checkpoint__trainer_file);
    *out = (struct trainer_state){.lr_factor = 1};
    json_t *object = json_read_file(where, CHECKPOINT_JSON_BYTES_MAX, err);
    enum status st = object ? STATUS_OK : err->status;
    if (st == STATUS_OK)
        st = json_get_u64(object, "step", true, INT64_MAX, &out->step, where, err);
    if (st == STATUS_OK)
        st = json_get_u64(object, "tokens", true, INT64_MAX, &out->tokens, where, err);
    if (st == STATUS_OK)
        st = json_get_u64(object, "epoch", true, INT64_MAX, &out->epoch, where, err);
    if (st == STATUS_OK)
        st = json_get_u64(object, "sample", true, INT64_MAX, &out->sample, where, err);
    const char *optimizer = "adamw"; /* where a checkpoint of before does not say */
    if (st == STATUS_OK)
        st = json_get_text(object, "optimizer", false, &optimizer, where, err);
    if (st == STATUS_OK && (st = optimizer_parse(optimizer, &out->optimizer, err)) != STATUS_OK)
        error_prefix(err, "%s", where);
    if (st == STATUS_OK)
        st = checkpoint__read_crc(object, "settings_hash", &out->settings_hash, where, err);
    if (st == STATUS_OK)
        st = read_number_or_null(object, "loss", &out->loss, where, err);
    if (st == STATUS_OK)
        st = read_number_or_null(object, "grad_norm", &out->grad_norm, where, err);
    if (st == STATUS_OK)
        st = read_number_or_null(object, "lr", &out->lr, where, err);
    if (st == STATUS_OK)
        st = json_get_double(object, "lr_factor", false, &out->lr_factor, where, err);
    if (st == STATUS_OK && !(out->lr_factor >= 0 && out->lr_factor <= RUN_EVENT_MAX_FACTOR))
        st = error_set(err, STATUS_FORMAT, "%s: \"lr_factor\" is %g, and must be from 0 to %g", where, out->lr_factor,
                       RUN_EVENT_MAX_FACTOR);
    if (st == STATUS_OK)
        st = spike__from_json(&out->spikes, json_object_get(object, "spikes"), where, err);
    out->val_loss = NAN;
    if (st == STATUS_OK)
        st = json_get_double(object, "val_loss", false, &out->val_loss, where, err);
    if (st == STATUS_OK && out->spikes.skipped > out->step)
        st = error_set(err, STATUS_FORMAT, "%s: more steps are skipped than there were", where);
    json_decref(object);
    buffer_release(&path);
    return st;
}

void checkpoint__apply_trainer(struct training *t, const struct trainer_state *state)
{
    t->step = state->step;
    t->tokens = state->tokens;
    t->epoch = state->epoch;
    t->sample = state->sample;
    t->last_loss = state->loss;
    t->last_grad_norm = state->grad_norm;
    t->last_lr = state->lr;
    t->lr_factor = state->lr_factor;
    t->spikes = state->spikes;
    t->validated = !isnan(state->val_loss);
    t->val_step = state->step;
    t->val_loss = state->val_loss;
}
