/* SPDX-License-Identifier: MIT
 * store.c - a model as a Hugging Face directory, and other runs of the same layout as safetensors.
 */
#include "base/buffer.h"
#include "base/file.h"
#include "base/memory.h"
#include "formats/safetensors.h"
#include "model_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

/* Of a view's name: a prefix and a parameter's name. */
enum { NAME_BYTES = 96 };
static void view_of(const struct param *p, const char *prefix, const float *run, char *name, struct tensor_view *view)
{
    snprintf(name, NAME_BYTES, "%s%s", prefix, p->name);
    *view = (struct tensor_view){.name = name,
                                 .dtype = "F32",
                                 .rank = p->rank,
                                 .shape = {p->shape[0], p->shape[1]},
                                 .data = run + p->offset,
                                 .size_bytes = p->count * sizeof(float)};
}

enum status model_save_runs(const struct model *model, const char *path, const struct model_run *runs, size_t n,
                            uint64_t *size_bytes, uint32_t *crc32_out, struct error *err)
{
    const size_t total = n * model->num_params;
    struct tensor_view *views = mem_calloc(total, sizeof *views);
    char *names = mem_calloc(total, NAME_BYTES);
    enum status status = STATUS_NOMEM;
    if (!views || !names) {
        error_set(err, STATUS_NOMEM, "%s: out of memory for the list of tensors", path);
    } else {
        for (size_t r = 0; r < n; r++)
            for (size_t i = 0; i < model->num_params; i++) {
                const size_t at = r * model->num_params + i;
                view_of(&model->params[i], runs[r].prefix, runs[r].data, names + NAME_BYTES * at, &views[at]);
            }
        status = safetensors_write(path, views, total, size_bytes, crc32_out, err);
    }
    mem_free(names);
    mem_free(views);
    return status;
}

/* Copies one tensor.  The file may say "transformer." before GPT-2's names, as transformers itself writes them, and may
 * lack "model." before the others', as it writes a model without its head. */
static enum status read_param(const struct safetensors *file, const char *path, const struct param *p,
                              const char *prefix, float *run, struct error *err)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s%s", prefix, p->name);
    const struct tensor_view *t = safetensors_find(file, name);
    if (!t && !*prefix) {
        if (strncmp(p->name, "model.", 6) == 0)
            snprintf(name, sizeof name, "%s", p->name + 6);
        else
            snprintf(name, sizeof name, "transformer.%s", p->name);
        t = safetensors_find(file, name);
    }
    if (!t)
        return error_set(err, STATUS_FORMAT, "%s: tensor '%s%s' is missing", path, prefix, p->name);
    if (strcmp(t->dtype, "F32") != 0)
        return error_set(err, STATUS_FORMAT, "%s: tensor '%s' is %s; only F32 can be read", path, name, t->dtype);
    bool same = t->rank == p->rank;
    for (size_t i = 0; same && i < p->rank; i++)
        same = t->shape[i] == p->shape[i];
    if (!same)
        return error_set(err, STATUS_FORMAT,
                         "%s: tensor '%s' has rank %zu and shape [%llu,%llu]; config.json wants rank %zu, [%zu,%zu]",
                         path, name, t->rank, (unsigned long long)t->shape[0],
                         (unsigned long long)(t->rank > 1 ? t->shape[1] : 1), p->rank, p->shape[0],
                         p->rank > 1 ? p->shape[1] : 1);
    memcpy(run + p->offset, t->data, p->count * sizeof(float));
    for (size_t i = 0; i < p->count; i++)
        if (!isfinite(run[p->offset + i]))
            return error_set(err, STATUS_FORMAT, "%s: tensor '%s' has a value that is not finite (element %zu)", path,
                             name, i);
    return STATUS_OK;
}

enum status model_load_runs(const struct model *model, const char *path, struct model_run *runs, size_t n,
                            struct error *err)
{
    struct safetensors *file = safetensors_open(path, err);
    if (!file)
        return err ? err->status : STATUS_FORMAT;
    enum status status = STATUS_OK;
    for (size_t r = 0; r < n && status == STATUS_OK; r++)
        for (size_t i = 0; i < model->num_params && status == STATUS_OK; i++)
            status = read_param(file, path, &model->params[i], runs[r].prefix, runs[r].data, err);
    safetensors_close(file);
    return status;
}

struct model *model_load(const char *directory, struct error *err)
{
    struct buffer path = {0};
    struct model_config config;
    struct model *model = NULL;
    if (model_config_read(path_join(&path, directory, "config.json"), &config, err) == STATUS_OK &&
        generation_config_read(path_join(&path, directory, "generation_config.json"), &config, err) == STATUS_OK)
        model = model_new(&config, err);
    if (model) {
        struct model_run run = {.prefix = "", .data = model->data};
        if (model_load_runs(model, path_join(&path, directory, "model.safetensors"), &run, 1, err) != STATUS_OK) {
            model_free(model);
            model = NULL;
        }
    }
    buffer_release(&path);
    return model;
}

/* A small JSON file of the directory. */
static enum status save_text(const char *directory, const char *name,
                             enum status (*make)(const struct model_config *, struct buffer *, struct error *),
                             const struct model_config *config, file_written_fn *wrote, void *ctx, struct error *err)
{
    struct buffer path = {0}, text = {0};
    enum status status = make(config, &text, err);
    if (status == STATUS_OK)
        status = file_replace(path_join(&path, directory, name), text.data, text.len, err);
    if (status == STATUS_OK && wrote)
        wrote(ctx, name, text.len, (uint32_t)crc32(0, (const Bytef *)text.data, (uInt)text.len));
    buffer_release(&text);
    buffer_release(&path);
    return status;
}

enum status model_save(const struct model *model, const char *directory, file_written_fn *wrote, void *ctx,
                       struct error *err)
{
    uint64_t size_bytes = 0;
    uint32_t crc = 0;
    enum status status = save_text(directory, "config.json", model_config_json, &model->config, wrote, ctx, err);
    if (status == STATUS_OK)
        status =
            save_text(directory, "generation_config.json", generation_config_json, &model->config, wrote, ctx, err);
    if (status != STATUS_OK)
        return status;
    struct buffer path = {0};
    const struct model_run run = {.prefix = "", .data = model->data};
    status = model_save_runs(model, path_join(&path, directory, "model.safetensors"), &run, 1, &size_bytes, &crc, err);
    if (status == STATUS_OK && wrote)
        wrote(ctx, "model.safetensors", size_bytes, crc);
    buffer_release(&path);
    return status;
}
