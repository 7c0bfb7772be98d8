/* SPDX-License-Identifier: MIT
 * store_llmc.c - a GPT-2 as llm.c keeps it: no names, only an order.  Each kind of tensor stands for all layers together,
 * Conv1D's matrices as [out,in], the embedding with rows of zeros up to a multiple of 128.
 */
#include "base/file.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "formats/llmc.h"
#include "model_files_internal.h"

#include <stdio.h>
#include <string.h>

static const char *const LAYER_ORDER[] = {
    "ln_1.weight",        "ln_1.bias",        "attn.c_attn.weight", "attn.c_attn.bias",
    "attn.c_proj.weight", "attn.c_proj.bias", "ln_2.weight",        "ln_2.bias",
    "mlp.c_fc.weight",    "mlp.c_fc.bias",    "mlp.c_proj.weight",  "mlp.c_proj.bias",
};
enum { LAYER_TENSORS = sizeof LAYER_ORDER / sizeof *LAYER_ORDER };

static const struct param *find_param(const struct model *model, const char *name)
{
    for (size_t i = 0; i < model->num_params; i++)
        if (strcmp(model->params[i].name, name) == 0)
            return &model->params[i];
    return NULL;
}

static size_t padded_vocab(const struct model_config *c)
{
    return (c->vocab_size + LLMC_VOCAB_MULTIPLE - 1) / LLMC_VOCAB_MULTIPLE * LLMC_VOCAB_MULTIPLE;
}

/* padding: rows of zeros behind the embedding. */
static enum status list_tensors(const struct model *model, enum tensor_type type, size_t padding, struct foreign **out,
                                size_t *n, struct error *err)
{
    const size_t layers = model->config.n_layer;
    struct foreign *list = mem_calloc(model->num_params, sizeof *list);
    if (!list)
        return error_set(err, STATUS_NOMEM, "no memory for a list of %zu tensors", model->num_params);
    for (size_t i = 0; i < model->num_params; i++) {
        const size_t in_layers = i - 2;
        struct foreign *t = &list[i];
        if (i < 2)
            snprintf(t->name, sizeof t->name, "%s", i == 0 ? "wte.weight" : "wpe.weight");
        else if (in_layers < layers * LAYER_TENSORS)
            snprintf(t->name, sizeof t->name, "h.%zu.%s", in_layers % layers, LAYER_ORDER[in_layers / layers]);
        else
            snprintf(t->name, sizeof t->name, "ln_f.%s", in_layers == layers * LAYER_TENSORS ? "weight" : "bias");
        const struct param *p = t->param = find_param(model, t->name);
        const bool conv = p->rank == 2 && i >= 2;
        t->type = type;
        t->order = conv ? ORDER_TRANSPOSED : ORDER_SAME;
        t->rank = p->rank;
        t->rows = p->rank == 1 ? 1 : p->shape[conv];
        t->cols = p->rank == 1 ? p->shape[0] : p->shape[!conv];
        t->padding_rows = i == 0 ? padding : 0;
    }
    *out = list;
    *n = model->num_params;
    return STATUS_OK;
}

enum status foreign_list_llmc(const struct model *model, enum tensor_type type, struct foreign **out, size_t *n,
                              struct error *err)
{
    return list_tensors(model, type, padded_vocab(&model->config) - model->config.vocab_size, out, n, err);
}

enum status model_check_llmc(const struct model *model, enum tensor_type type, struct error *err)
{
    const struct model_config *c = &model->config;
    if (c->family != MODEL_GPT2)
        return error_set(err, STATUS_CONFIG, "llm.c's files hold a gpt2; this is a %s", model_family_name(c->family));
    if (c->n_inner != 4 * c->n_embd || !(c->norm_epsilon == 1e-5f))
        return error_set(err, STATUS_CONFIG, "llm.c's gpt2 has an MLP of 4 times the width and an epsilon of 1e-5; this has %zu "
                         "of %zu and %g", c->n_inner, c->n_embd, (double)c->norm_epsilon);
    if (type != TENSOR_F32 && type != TENSOR_BF16)
        return error_set(err, STATUS_CONFIG, "llm.c's files are f32 or bf16, not %s", tensor_type_name(type));
    return STATUS_OK;
}

enum status model_write_llmc(const struct model *model, const char *path, enum tensor_type type, struct error *err)
{
    const struct model_config *c = &model->config;
    const struct llmc_head head = {type, c->n_positions, c->vocab_size, c->n_layer, c->n_head, c->n_embd, padded_vocab(c)};
    unsigned char bytes[LLMC_HEAD_BYTES];
    struct foreign *list = NULL;
    size_t n = 0;
    enum status st = foreign_list_llmc(model, type, &list, &n, err);
    struct file_writer *out = st == STATUS_OK ? file_writer_open(path, err) : NULL;
    if (st == STATUS_OK && !out)
        st = STATUS_IO;
    llmc_write_head(&head, bytes);
    if (out)
        file_writer_write(out, bytes, sizeof bytes);
    for (size_t i = 0; i < n && st == STATUS_OK; i++) {
        const struct foreign *t = &list[i];
        const size_t rows = t->rows + t->padding_rows, step = foreign_step(t) < rows ? foreign_step(t) : rows;
        size_t row_bytes = 0;
        tensor_type_bytes(type, t->cols, &row_bytes);
        float *values = mem_calloc(step * t->cols, sizeof *values);
        unsigned char *encoded = mem_calloc(step, row_bytes);
        if (!values || !encoded)
            st = error_set(err, STATUS_NOMEM, "no memory for rows of tensor \"%s\"", t->name);
        for (size_t row = 0; row < rows && st == STATUS_OK; row += step) {
            const size_t some = rows - row < step ? rows - row : step;
            foreign_get(t, model->data, row, some, values);
            tensor_encode(encoded, values, type, some * t->cols);
            file_writer_write(out, encoded, some * row_bytes);
        }
        mem_free(values);
        mem_free(encoded);
    }
    if (out) {
        const enum status closed = file_writer_close(out, st == STATUS_OK, NULL, NULL, st == STATUS_OK ? err : NULL);
        st = st == STATUS_OK ? closed : st;
    }
    mem_free(list);
    if (st != STATUS_OK)
        file_discard(path);
    return st;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

static enum status read_tensors(struct model *model, int fd, const char *path, const struct llmc_head *head,
                                uint64_t size_bytes, struct error *err)
{
    struct foreign *list = NULL;
    size_t n = 0;
    enum status st = list_tensors(model, head->type, head->padded_vocab - head->vocab_size, &list, &n, err);
    uint64_t at = LLMC_HEAD_BYTES, wanted = LLMC_HEAD_BYTES;
    for (size_t i = 0; i < n; i++) {
        size_t bytes = 0;
        tensor_type_bytes(head->type, (list[i].rows + list[i].padding_rows) * list[i].cols, &bytes);
        wanted += bytes;
    }
    if (st == STATUS_OK && wanted != size_bytes)
        st = error_set(err, STATUS_FORMAT, "%s: %llu bytes, where a model of these sizes has %llu", path,
                       (unsigned long long)size_bytes, (unsigned long long)wanted);
    for (size_t i = 0; i < n && st == STATUS_OK; i++) {
        const struct foreign *t = &list[i];
        const size_t rows = t->rows + t->padding_rows, step = foreign_step(t) < rows ? foreign_step(t) : rows;
        size_t row_bytes = 0;
        tensor_type_bytes(head->type, t->cols, &row_bytes);
        float *values = mem_calloc(step * t->cols, sizeof *values);
        unsigned char *bytes = mem_calloc(step, row_bytes);
        if (!values || !bytes)
            st = error_set(err, STATUS_NOMEM, "no memory to read tensor \"%s\"", t->name);
        for (size_t row = 0; row < rows && st == STATUS_OK; row += step) {
            const size_t some = rows - row < step ? rows - row : step;
            st = file_read_at(fd, path, at, bytes, some * row_bytes, err);
            if (st != STATUS_OK)
                break;
            at += some * row_bytes;
            tensor_decode(values, bytes, head->type, some * t->cols);
            foreign_put(t, model->data, row, some, values);
        }
        mem_free(values);
        mem_free(bytes);
        if (st == STATUS_OK)
            st = check_finite(model->data + t->param->offset, t->param->count, path, t->name, err);
    }
    mem_free(list);
    return st;
}

/* Rejects what cannot be before memory is asked for. */
static enum status plausible(const struct model_config *c, const char *path, uint64_t size_bytes, struct error *err)
{
    const uint64_t elements = size_bytes / 2; /* at most */
    if (c->n_embd > elements / (c->vocab_size + c->n_positions) || c->n_embd > elements / c->n_embd / 12 ||
        c->n_layer > elements / (12 * c->n_embd * c->n_embd))
        return error_set(err, STATUS_FORMAT, "%s: %llu bytes are too few for a model of the sizes it says", path,
                         (unsigned long long)size_bytes);
    return STATUS_OK;
}

struct model *model_read_llmc(const char *path, struct model_source *source, struct error *err)
{
    enum { GPT2_VOCABULARY = 50257, GPT2_END_OF_TEXT = 50256 };
    unsigned char bytes[LLMC_HEAD_BYTES];
    struct llmc_head head;
    struct model *model = NULL;
    uint64_t size_bytes;
    const int fd = file_open_read(path, &size_bytes, err);
    if (fd < 0)
        return NULL;
    struct model_config c = model_config_of(MODEL_GPT2);
    enum status st = size_bytes < sizeof bytes ? error_set(err, STATUS_FORMAT, "%s: %llu bytes are too few for a model of llm.c",
                                                           path, (unsigned long long)size_bytes)
                                               : file_read_at(fd, path, 0, bytes, sizeof bytes, err);
    if (st == STATUS_OK && (st = llmc_read_head(bytes, path, &head, err)) == STATUS_OK) {
        c.vocab_size = head.vocab_size;
        c.n_positions = head.n_positions;
        c.n_embd = head.n_embd;
        c.n_layer = head.n_layer;
        c.n_head = head.n_head;
        model_config_complete(&c);
        if (c.vocab_size == GPT2_VOCABULARY)
            model_config_set_end_of_text(&c, GPT2_END_OF_TEXT);
        st = plausible(&c, path, size_bytes, err);
        if (st == STATUS_OK && (st = model_config_check(&c, err)) != STATUS_OK)
            error_prefix(err, "%s", path);
    }
    if (st == STATUS_OK)
        model = model_new(&c, err);
    if (model && read_tensors(model, fd, path, &head, size_bytes, err) != STATUS_OK) {
        model_free(model);
        model = NULL;
    }
    if (model)
        source->type = head.type;
    file_close(fd);
    return model;
}
