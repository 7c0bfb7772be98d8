/* SPDX-License-Identifier: MIT
 * model_files.c - which format it is, the directory among the formats, and the proof that what was written is the model.
 */
#include "model/model_files.h"

#include "base/check.h"
#include "base/file.h"
#include "base/memory.h"
#include "formats/json.h"
#include "formats/llmc.h"
#include "formats/safetensors.h"
#include "model_files_internal.h"

#include <stdio.h>
#include <string.h>

const char *model_format_name(enum model_format format)
{
    static const char *const names[] = {"safetensors", "gguf", "llmc"};
    return names[format];
}

enum status model_format_detect(const char *path, enum model_format *out, struct error *err)
{
    unsigned char begin[4];
    size_t got = 0;
    int32_t word = 0;
    if (file_is_directory(path)) {
        *out = MODEL_FORMAT_DIRECTORY;
        return STATUS_OK;
    }
    const int fd = file_open_read(path, NULL, err);
    if (fd < 0)
        return STATUS_IO;
    const enum status st = file_read_some(fd, path, begin, sizeof begin, &got, err);
    file_close(fd);
    if (st != STATUS_OK)
        return st;
    memcpy(&word, begin, sizeof word);
    if (got == sizeof begin && memcmp(begin, "GGUF", 4) == 0)
        *out = MODEL_FORMAT_GGUF;
    else if (got == sizeof begin && word == LLMC_MAGIC)
        *out = MODEL_FORMAT_LLMC;
    else
        return error_set(err, STATUS_FORMAT,
                         "%s is no model: neither a directory with a config.json, nor a GGUF file, nor a model of llm.c", path);
    return STATUS_OK;
}

void model_source_release(struct model_source *source)
{
    text_files_release(&source->texts);
    *source = (struct model_source){0};
}

enum tensor_type most_of(const uint64_t elements[NUM_TENSOR_TYPES])
{
    enum tensor_type most = TENSOR_F32;
    for (int type = 0; type < NUM_TENSOR_TYPES; type++)
        if (elements[type] > elements[most])
            most = (enum tensor_type)type;
    return most;
}

struct model *model_new_within(const struct model_config *config, uint64_t elements, const char *where, struct error *err)
{
    if (model_config_check(config, err) != STATUS_OK) {
        error_prefix(err, "%s", where);
        return NULL;
    }
    const uint64_t wanted = model_config_num_parameters(config);
    if (wanted / 2 > elements) { /* what lacks less than half gets to hear which tensor it lacks */
        error_set(err, STATUS_FORMAT, "%s: its configuration wants %llu parameters, and its tensors have %llu", where,
                  (unsigned long long)wanted, (unsigned long long)elements);
        return NULL;
    }
    return model_new(config, err);
}

static struct model *read_directory(const char *path, struct model_source *source, struct error *err)
{
    struct model *model = model_load_typed(path, &source->type, err);
    if (model && text_files_read(&source->texts, path, err) != STATUS_OK) {
        model_free(model);
        model = NULL;
    }
    return model;
}

struct model *model_read(const char *path, struct model_source *source, struct error *err)
{
    *source = (struct model_source){0};
    if (model_format_detect(path, &source->format, err) != STATUS_OK)
        return NULL;
    switch (source->format) {
    case MODEL_FORMAT_DIRECTORY:
        return read_directory(path, source, err);
    case MODEL_FORMAT_GGUF:
        return model_read_gguf(path, source, err);
    case MODEL_FORMAT_LLMC:
        return model_read_llmc(path, source, err);
    }
    return NULL;
}

enum status foreign_list_directory(const struct model *model, enum tensor_type type, struct foreign **out, size_t *n,
                                   struct error *err)
{
    struct foreign *list = mem_calloc(model->num_params, sizeof *list);
    if (!list)
        return error_set(err, STATUS_NOMEM, "no memory for a list of %zu tensors", model->num_params);
    for (size_t i = 0; i < model->num_params; i++) {
        const struct param *p = &model->params[i];
        list[i] = (struct foreign){.param = p, .rank = p->rank, .type = type, .rows = p->rank == 2 ? p->shape[0] : 1,
                                   .cols = p->shape[p->rank == 2]};
        snprintf(list[i].name, sizeof list[i].name, "%s", p->name);
    }
    *out = list;
    *n = model->num_params;
    return STATUS_OK;
}

enum status model_can_write(const struct model *model, enum model_format format, enum tensor_type type,
                            const struct text_files *texts, struct error *note, struct error *err)
{
    if (note)
        *note = (struct error){0};
    if (format == MODEL_FORMAT_GGUF)
        return model_check_gguf(model, type, texts, note, err);
    if (format == MODEL_FORMAT_LLMC)
        return model_check_llmc(model, type, err);
    if (type == TENSOR_Q8_0)
        return error_set(err, STATUS_CONFIG, "safetensors has f32, f16 and bf16, not q8_0");
    return STATUS_OK;
}

/* --- a directory ------------------------------------------------------------------------------------------------ */

struct fill {
    const struct model *model;
    enum tensor_type type; /* two bytes an element: F32 is written from where it lies */
};

static enum status fill_tensor(void *ctx, size_t i, uint64_t from, void *out, size_t n, struct error *err)
{
    const struct fill *f = ctx;
    const struct param *p = &f->model->params[i];
    const size_t count = n / 2;
    const float *values = f->model->data + p->offset + from / 2;
    const size_t unfit = tensor_unfit(values, f->type, count);
    if (unfit < count)
        return error_set(err, STATUS_CONFIG, "tensor '%s' has the value %g, which %s cannot hold; bf16 and f32 can", p->name,
                         (double)values[unfit], tensor_type_name(f->type));
    tensor_encode(out, values, f->type, count);
    return STATUS_OK;
}

static enum status write_weights(const struct model *model, const char *path, enum tensor_type type, struct error *err)
{
    struct fill fill = {.model = model, .type = type};
    struct tensor_view *views = mem_calloc(model->num_params, sizeof *views);
    if (!views)
        return error_set(err, STATUS_NOMEM, "%s: no memory for the list of tensors", path);
    for (size_t i = 0; i < model->num_params; i++) {
        const struct param *p = &model->params[i];
        size_t bytes = 0;
        tensor_type_bytes(type, p->count, &bytes);
        views[i] = (struct tensor_view){.name = p->name, .dtype = tensor_type_name(type), .rank = p->rank,
                                        .shape = {p->shape[0], p->shape[1]}, .size_bytes = bytes,
                                        .data = type == TENSOR_F32 ? model->data + p->offset : NULL};
    }
    const enum status st =
        safetensors_write_filled(path, views, model->num_params, fill_tensor, &fill, NULL, NULL, err);
    mem_free(views);
    return st;
}

/* config.json: the one that came along when there is one, for it may say more than we know of, with our type. */
static enum status make_config(const struct model *model, enum tensor_type type, const struct text_files *texts,
                               struct buffer *out, struct error *err)
{
    static const char *const names[NUM_TENSOR_TYPES] = {
        [TENSOR_F32] = "float32", [TENSOR_F16] = "float16", [TENSOR_BF16] = "bfloat16", [TENSOR_Q8_0] = "float32"};
    const struct buffer *original = text_files_find(texts, "config.json");
    struct buffer ours = {0};
    enum status st = original ? STATUS_OK : model_config_json(&model->config, &ours, err);
    const struct buffer *text = original ? original : &ours;
    json_t *config = st == STATUS_OK ? json_read_text(text->len ? text->data : "", text->len, "config.json", err) : NULL;
    if (st == STATUS_OK && !config)
        st = STATUS_FORMAT;
    buffer_release(&ours);
    if (st != STATUS_OK)
        return st;
    json_object_set_new(config, "torch_dtype", json_string(names[type]));
    json_object_set_new(config, "dtype", json_string(names[type]));
    st = json_write(config, true, out, err);
    json_decref(config);
    return st;
}

static enum status put(const char *directory, const char *name, const struct buffer *text, struct error *err)
{
    struct buffer path = {0};
    const enum status st = file_replace(path_join(&path, directory, name), text->data, text->len, err);
    buffer_release(&path);
    return st;
}

static enum status write_directory(const struct model *model, const char *directory, enum tensor_type type,
                                   const struct text_files *texts, struct error *err)
{
    static const char *const skip[] = {"config.json", NULL};
    struct buffer text = {0}, path = {0};
    enum status st = make_config(model, type, texts, &text, err);
    if (st == STATUS_OK)
        st = put(directory, "config.json", &text, err);
    buffer_clear(&text);
    if (st == STATUS_OK && !text_files_find(texts, "generation_config.json") &&
        (st = generation_config_json(&model->config, &text, err)) == STATUS_OK)
        st = put(directory, "generation_config.json", &text, err);
    if (st == STATUS_OK)
        st = text_files_write(texts, directory, skip, err);
    if (st == STATUS_OK)
        st = write_weights(model, path_join(&path, directory, "model.safetensors"), type, err);
    buffer_release(&text);
    buffer_release(&path);
    return st;
}

enum status model_write(const struct model *model, const char *path, enum model_format format, enum tensor_type type,
                        const struct text_files *texts, const char *name, struct error *err)
{
    const enum status st = model_can_write(model, format, type, texts, NULL, err);
    if (st != STATUS_OK)
        return st;
    switch (format) {
    case MODEL_FORMAT_DIRECTORY:
        return write_directory(model, path, type, texts, err);
    case MODEL_FORMAT_GGUF:
        return model_write_gguf(model, path, type, texts, name, err);
    case MODEL_FORMAT_LLMC:
        return model_write_llmc(model, path, type, err);
    }
    return STATUS_MISUSE;
}

/* GGUF keeps the tokenizer, a directory all but config.json, which gets our type. */
static enum status compare_texts(const struct text_files *written, const struct text_files *read, enum model_format format,
                                 const char *path, struct error *err)
{
    for (size_t i = 0; i < written->count; i++) {
        const char *name = written->files[i].name;
        const bool kept = format == MODEL_FORMAT_DIRECTORY ? strcmp(name, "config.json") != 0
                                                           : format == MODEL_FORMAT_GGUF && strcmp(name, "tokenizer.json") == 0;
        const struct buffer *a = &written->files[i].content, *b = text_files_find(read, name);
        if (kept && (!b || a->len != b->len || (a->len && memcmp(a->data, b->data, a->len) != 0)))
            return error_set(err, STATUS_FORMAT, "%s: its %s reads back as another", path, name);
    }
    return STATUS_OK;
}

enum status model_verify(const struct model *model, const char *path, enum model_format format, enum tensor_type type,
                         const struct text_files *texts, struct model **back, struct error *err)
{
    static foreign_list_fn *const lists[] = {foreign_list_directory, foreign_list_gguf, foreign_list_llmc};
    struct model_source source;
    struct foreign *list = NULL;
    size_t n = 0;
    struct model *read = model_read(path, &source, err);
    if (!read)
        return err && err->status != STATUS_OK ? err->status : STATUS_FORMAT;
    enum status st = STATUS_OK;
    if (source.format != format || read->size != model->size || read->num_params != model->num_params)
        st = error_set(err, STATUS_FORMAT, "%s reads back as a model of %zu tensors, where %zu were written", path,
                       read->num_params, model->num_params);
    else
        st = lists[format](model, type, &list, &n, err);
    for (size_t i = 0; i < n && st == STATUS_OK; i++)
        st = foreign_compare(&list[i], model->data, read->data, path, err);
    if (st == STATUS_OK)
        st = compare_texts(texts, &source.texts, format, path, err);
    mem_free(list);
    model_source_release(&source);
    if (st == STATUS_OK && back)
        *back = read;
    else
        model_free(read);
    return st;
}
