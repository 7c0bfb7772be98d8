/* SPDX-License-Identifier: MIT
 * store.c - a model as a Hugging Face directory, and other runs of the same layout as safetensors.
 */
#include "base/buffer.h"
#include "base/crc32.h"
#include "base/file.h"
#include "base/memory.h"
#include "formats/safetensors.h"
#include "model_files_internal.h"

#include <stdio.h>
#include <string.h>

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

/* Whether file and configuration agree on the shape; else the sentence. */
static enum status check_shape(const struct tensor_view *t, const char *path, const struct param *p, struct error *err)
{
    bool same = t->rank == p->rank;
    for (size_t i = 0; same && i < p->rank; i++)
        same = t->shape[i] == p->shape[i];
    if (same)
        return STATUS_OK;
    return error_set(
        err, STATUS_FORMAT, "%s: tensor '%s' has rank %zu and shape [%llu,%llu]; config.json wants rank %zu, [%zu,%zu]",
        path, t->name, t->rank, (unsigned long long)(t->rank ? t->shape[0] : 1),
        (unsigned long long)(t->rank > 1 ? t->shape[1] : 1), p->rank, p->shape[0], p->rank > 1 ? p->shape[1] : 1);
}

/* Reads a tensor of count elements as f32: f32 goes where it is wanted without a stop, others through a piece. */
static enum status read_values(const struct safetensors *file, const struct tensor_view *t, enum tensor_type type,
                               float *out, size_t count, struct error *err)
{
    enum { PIECE = 1 << 18 };
    if (type == TENSOR_F32)
        return safetensors_read(file, t, 0, out, count * sizeof *out, err);
    uint16_t *piece = mem_alloc(PIECE * sizeof *piece);
    enum status st = piece ? STATUS_OK : error_set(err, STATUS_NOMEM, "no memory to read tensor '%s'", t->name);
    for (size_t at = 0; at < count && st == STATUS_OK; at += PIECE) {
        const size_t n = count - at < PIECE ? count - at : PIECE;
        st = safetensors_read(file, t, at * sizeof *piece, piece, n * sizeof *piece, err);
        if (st == STATUS_OK)
            tensor_decode(out + at, piece, type, n);
    }
    mem_free(piece);
    return st;
}

/* Reads one parameter that was found. */
static enum status read_param(const struct safetensors *file, const struct tensor_view *t, const struct param *p,
                              float *run, struct error *err)
{
    const char *path = safetensors_path(file);
    enum tensor_type type;
    if (!tensor_type_find(t->dtype, &type))
        return error_set(err, STATUS_FORMAT, "%s: tensor '%s' is %s; F32, BF16 and F16 can be read", path, t->name,
                         t->dtype);
    enum status st = check_shape(t, path, p, err);
    if (st == STATUS_OK)
        st = read_values(file, t, type, run + p->offset, p->count, err);
    return st == STATUS_OK ? check_finite(run + p->offset, p->count, path, t->name, err) : st;
}

enum status model_load_runs(const struct model *model, const char *path, struct model_run *runs, size_t n,
                            struct error *err)
{
    struct safetensors *file = safetensors_open(path, err);
    if (!file)
        return err ? err->status : STATUS_FORMAT;
    enum status status = STATUS_OK;
    for (size_t r = 0; r < n && status == STATUS_OK; r++)
        for (size_t i = 0; i < model->num_params && status == STATUS_OK; i++) {
            char name[NAME_BYTES];
            snprintf(name, sizeof name, "%s%s", runs[r].prefix, model->params[i].name);
            const struct tensor_view *t = safetensors_find(file, name);
            if (!t)
                status = error_set(err, STATUS_FORMAT, "%s: tensor '%s' is missing", path, name);
            else if (strcmp(t->dtype, "F32") != 0)
                status =
                    error_set(err, STATUS_FORMAT, "%s: tensor '%s' is %s, where F32 should be", path, name, t->dtype);
            else
                status = read_param(file, t, &model->params[i], runs[r].data, err);
        }
    safetensors_close(file);
    return status;
}

/* A parameter by its name; transformers writes some families with a word before it, others without. */
static const struct tensor_view *find_param(const struct safetensors_set *set, const char *param,
                                            const struct safetensors **file)
{
    char name[NAME_BYTES];
    const struct tensor_view *t = safetensors_set_find(set, param, file);
    if (!t) {
        snprintf(name, sizeof name, "transformer.%s", param);
        t = safetensors_set_find(set, name, file);
    }
    if (!t && strncmp(param, "model.", 6) == 0)
        t = safetensors_set_find(set, param + 6, file);
    return t;
}

/* No type that we read has fewer than two bytes an element. */
static uint64_t most_elements(const struct safetensors_set *set)
{
    uint64_t bytes = 0;
    for (size_t f = 0; f < safetensors_set_files(set); f++)
        for (size_t i = 0; i < safetensors_count(safetensors_set_file(set, f)); i++)
            bytes += safetensors_at(safetensors_set_file(set, f), i)->size_bytes;
    return bytes / 2;
}

static enum status load_weights(struct model *model, const struct safetensors_set *set, const char *directory,
                                enum tensor_type *most, struct error *err)
{
    uint64_t elements[NUM_TENSOR_TYPES] = {0};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < model->num_params && status == STATUS_OK; i++) {
        const struct param *p = &model->params[i];
        const struct safetensors *file;
        const struct tensor_view *t = find_param(set, p->name, &file);
        if (!t) {
            status = error_set(err, STATUS_FORMAT, "%s: tensor '%s' is missing", directory, p->name);
            break;
        }
        enum tensor_type type;
        if (tensor_type_find(t->dtype, &type))
            elements[type] += p->count;
        status = read_param(file, t, p, model->data, err);
    }
    *most = most_of(elements);
    return status;
}

struct model *model_load_typed(const char *directory, enum tensor_type *most, struct error *err)
{
    struct buffer path = {0};
    struct model_config config;
    struct model *model = NULL;
    struct safetensors_set *set = NULL;
    if (model_config_read(path_join(&path, directory, "config.json"), &config, err) == STATUS_OK &&
        generation_config_read(path_join(&path, directory, "generation_config.json"), &config, err) == STATUS_OK)
        set = safetensors_set_open(directory, err);
    if (set)
        model = model_new_within(&config, most_elements(set), directory, err);
    if (model && load_weights(model, set, directory, most, err) != STATUS_OK) {
        model_free(model);
        model = NULL;
    }
    safetensors_set_close(set);
    buffer_release(&path);
    return model;
}

struct model *model_load(const char *directory, struct error *err)
{
    enum tensor_type most;
    return model_load_typed(directory, &most, err);
}

enum status model_load_into(struct model *model, const char *directory, struct error *err)
{
    enum tensor_type most;
    struct safetensors_set *set = safetensors_set_open(directory, err);
    if (!set)
        return err->status;
    const enum status status = load_weights(model, set, directory, &most, err);
    safetensors_set_close(set);
    return status;
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
        wrote(ctx, name, text.len, crc32_ieee(0, text.data, text.len));
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
