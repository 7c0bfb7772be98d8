/* SPDX-License-Identifier: MIT
 * Loading: from the newest checkpoint on, until one is whole.
 */
#include "base/crc32.h"
#include "base/file.h"
#include "base/memory.h"
#include "train/checkpoint.h"
#include "train/checkpoint_internal.h"

#include <inttypes.h>
#include <stdio.h>

static enum status load(struct training *t, const char *directory, uint32_t settings_hash, struct error *err)
{
    struct trainer_state state;
    enum status st = checkpoint__read_trainer(directory, &state, err);
    if (st != STATUS_OK)
        return st;
    if (state.optimizer != t->settings.optimizer)
        return error_set(err, STATUS_CONFIG, "%s was made with the optimizer %s, and %s cannot go on from its state",
                         directory, optimizer_name(state.optimizer), optimizer_name(t->settings.optimizer));
    if (state.settings_hash != settings_hash)
        return error_set(err, STATUS_CONFIG,
                         "%s was made with other settings, data or tokenizer (settings hash %08" PRIx32
                         ", now %08" PRIx32 ")",
                         directory, state.settings_hash, settings_hash);
    struct model_run weights[] = {{"", model_data(t->model)}};
    struct buffer path = {0};
    st = model_load_runs(t->model, path_join(&path, directory, "model.safetensors"), weights, 1, err);
    if (st == STATUS_OK)
        st = optimizer__load(t, path_join(&path, directory, checkpoint__state_file), err);
    buffer_release(&path);
    if (st != STATUS_OK)
        return st;
    checkpoint__apply_trainer(t, &state);
    return STATUS_OK;
}

/* Walks from the newest to the oldest until one verifies (and, given a training, loads). */
static enum status find(struct training *t, const char *run_directory, uint32_t settings_hash, uint64_t most,
                        struct buffer *path, struct buffer *warning, struct error *err)
{
    struct error mine;
    if (!err)
        err = &mine;
    struct buffer checkpoints = {0}, directory = {0};
    uint64_t *steps;
    size_t n;
    path_join(&checkpoints, run_directory, "checkpoints");
    enum status st = checkpoint__list(checkpoint__text(&checkpoints), &steps, &n, err);
    size_t first = 0;
    while (first < n && steps[first] > most)
        first++;
    if (st == STATUS_OK && n == 0)
        st = error_set(err, STATUS_IO, "there is no checkpoint in %s", checkpoint__text(&checkpoints));
    else if (st == STATUS_OK && first == n)
        st = error_set(err, STATUS_IO, "there is no checkpoint of step %" PRIu64 " or one before it in %s", most,
                       checkpoint__text(&checkpoints));
    for (size_t i = first; i < n; i++) {
        checkpoint__path(&directory, checkpoint__text(&checkpoints), steps[i]);
        st = checkpoint__verify(checkpoint__text(&directory), steps[i], err);
        if (st == STATUS_OK && t)
            st = load(t, checkpoint__text(&directory), settings_hash, err);
        if (st == STATUS_OK && path)
            buffer_append_text(path, checkpoint__text(&directory));
        if (st == STATUS_OK || st == STATUS_CONFIG || st == STATUS_NOMEM)
            break;
        if (warning)
            buffer_printf(warning, "%s is damaged: %s; the one before it is used\n", checkpoint__text(&directory),
                          err->text);
        if (i + 1 == n) {
            char last[512];
            snprintf(last, sizeof last, "%.500s", err->text);
            st = error_set(err, st, "none of the checkpoints in %s is whole; of the oldest, %s",
                           checkpoint__text(&checkpoints), last);
        }
    }
    mem_free(steps);
    buffer_release(&checkpoints);
    buffer_release(&directory);
    return st;
}

enum status checkpoint_load_latest(struct training *t, const char *run_directory, uint32_t settings_hash,
                                   struct buffer *warning, struct error *err)
{
    return find(t, run_directory, settings_hash, UINT64_MAX, NULL, warning, err);
}

enum status checkpoint__load_up_to(struct training *t, const char *run_directory, uint32_t settings_hash, uint64_t most,
                                   struct buffer *warning, struct error *err)
{
    return find(t, run_directory, settings_hash, most, NULL, warning, err);
}

enum status checkpoint_find_latest(const char *run_directory, struct buffer *path, struct buffer *warning,
                                   struct error *err)
{
    return find(NULL, run_directory, 0, UINT64_MAX, path, warning, err);
}

/* ---- the hash ---- */

static uint32_t hash_run(uint32_t crc, const struct model *model, const float *run)
{
    size_t num_params;
    const struct param *params = model_params(model, &num_params);
    for (size_t i = 0; i < num_params; i++)
        crc = crc32_ieee(crc, run + params[i].offset, params[i].count * sizeof(float));
    return crc;
}

uint64_t training_state_hash(const struct training *t)
{
    uint64_t weights = hash_run(0, t->model, model_data_const(t->model));
    return weights << 32 | optimizer__hash(t);
}
