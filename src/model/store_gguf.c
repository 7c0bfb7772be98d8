/* SPDX-License-Identifier: MIT
 * store_gguf.c - a model's tensors in GGUF: names, orders, types.  The facts are llama.cpp's: src/llama-arch.cpp for the
 * names, its converters for what is transposed or permuted.  Keys: store_gguf_keys.c.
 */
#include "store_gguf_internal.h"

#include "base/check.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

struct renaming {
    const char *ours, *theirs;
    enum foreign_order order;
};

static const struct renaming GPT2_NAMES[] = {
    {"wte.", "token_embd.", ORDER_SAME},
    {"wpe.", "position_embd.", ORDER_SAME},
    {"ln_f.", "output_norm.", ORDER_SAME},
    {"ln_1.", "attn_norm.", ORDER_SAME},
    {"attn.c_attn.", "attn_qkv.", ORDER_TRANSPOSED},
    {"attn.c_proj.", "attn_output.", ORDER_TRANSPOSED},
    {"ln_2.", "ffn_norm.", ORDER_SAME},
    {"mlp.c_fc.", "ffn_up.", ORDER_TRANSPOSED},
    {"mlp.c_proj.", "ffn_down.", ORDER_TRANSPOSED},
};

static const struct renaming LLAMA_NAMES[] = {
    {"model.embed_tokens.", "token_embd.", ORDER_SAME},
    {"model.norm.", "output_norm.", ORDER_SAME},
    {"lm_head.", "output.", ORDER_SAME},
    {"input_layernorm.", "attn_norm.", ORDER_SAME},
    {"self_attn.q_proj.", "attn_q.", ORDER_ROPE_PAIRS},
    {"self_attn.k_proj.", "attn_k.", ORDER_ROPE_PAIRS},
    {"self_attn.v_proj.", "attn_v.", ORDER_SAME},
    {"self_attn.o_proj.", "attn_output.", ORDER_SAME},
    {"self_attn.q_norm.", "attn_q_norm.", ORDER_SAME},
    {"self_attn.k_norm.", "attn_k_norm.", ORDER_SAME},
    {"post_attention_layernorm.", "ffn_norm.", ORDER_SAME},
    {"mlp.gate_proj.", "ffn_gate.", ORDER_SAME},
    {"mlp.up_proj.", "ffn_up.", ORDER_SAME},
    {"mlp.down_proj.", "ffn_down.", ORDER_SAME},
};

/* llama.cpp rotates neighbours in these and halves in the others (llama_model_rope_type). */
static bool rotates_neighbours(enum model_family family)
{
    return family == MODEL_LLAMA || family == MODEL_MISTRAL || family == MODEL_SMOLLM3;
}

/* "h.3." or "model.layers.3.": the layer, and what follows; -1: none. */
static long layer_of(const char *name, const char **rest)
{
    unsigned long layer;
    int end = 0;
    *rest = name;
    if ((sscanf(name, "h.%lu.%n", &layer, &end) == 1 || sscanf(name, "model.layers.%lu.%n", &layer, &end) == 1) &&
        end > 0) {
        *rest = name + end;
        return (long)layer;
    }
    return -1;
}

static void rename_param(const struct model *model, const struct param *p, struct foreign *out)
{
    const bool gpt2 = model->config.family == MODEL_GPT2;
    const struct renaming *names = gpt2 ? GPT2_NAMES : LLAMA_NAMES;
    const size_t n = gpt2 ? sizeof GPT2_NAMES / sizeof *GPT2_NAMES : sizeof LLAMA_NAMES / sizeof *LLAMA_NAMES;
    const char *rest;
    const long layer = layer_of(p->name, &rest);
    for (size_t i = 0; i < n; i++) {
        const size_t len = strlen(names[i].ours);
        if (strncmp(rest, names[i].ours, len) != 0)
            continue;
        if (layer >= 0)
            snprintf(out->name, sizeof out->name, "blk.%ld.%s%s", layer, names[i].theirs, rest + len);
        else
            snprintf(out->name, sizeof out->name, "%s%s", names[i].theirs, rest + len);
        out->order = names[i].order;
        return;
    }
    CHECK(out->name[0]); /* every parameter has a name in GGUF */
}

static struct foreign foreign_param(const struct model *model, const struct param *p, enum tensor_type type)
{
    struct foreign t = {.param = p, .rank = p->rank, .type = TENSOR_F32};
    rename_param(model, p, &t);
    if (p->rank == 1 && t.order == ORDER_TRANSPOSED)
        t.order = ORDER_SAME;
    if (t.order == ORDER_ROPE_PAIRS) {
        t.heads = strstr(t.name, ".attn_q.") ? model->config.n_head : model->config.n_kv_head;
        if (!rotates_neighbours(model->config.family))
            t.order = ORDER_SAME;
    }
    t.rows = p->rank == 1 ? 1 : p->shape[t.order == ORDER_TRANSPOSED];
    t.cols = p->rank == 1 ? p->shape[0] : p->shape[t.order != ORDER_TRANSPOSED];
    if (p->rank == 2 && strcmp(t.name, "position_embd.weight") != 0)
        t.type = type == TENSOR_Q8_0 && t.cols % Q8_0_BLOCK ? TENSOR_F16 : type;
    return t;
}

enum status foreign_list_gguf(const struct model *model, enum tensor_type type, struct foreign **out, size_t *n,
                              struct error *err)
{
    struct foreign *list = mem_calloc(model->num_params, sizeof *list);
    if (!list)
        return error_set(err, STATUS_NOMEM, "no memory for a list of %zu tensors", model->num_params);
    for (size_t i = 0; i < model->num_params; i++)
        list[i] = foreign_param(model, &model->params[i], type);
    *out = list;
    *n = model->num_params;
    return STATUS_OK;
}

/* --- writing --------------------------------------------------------------------------------------------------- */

struct export_rows {
    const struct model *model;
    struct foreign *list; /* [n] */
    size_t n;
    const struct foreign *head; /* tensor number n, when there is one: the embedding once more */
    float *rope_factors;        /* the last tensor, when there is one */
};

static enum status export_rows(void *ctx, size_t i, size_t first, size_t n, float *out, struct error *err)
{
    (void)err;
    const struct export_rows *e = ctx;
    const struct foreign *t = i < e->n ? &e->list[i] : i == e->n ? e->head : NULL;
    if (t)
        foreign_get(t, e->model->data, first, n, out);
    else
        memcpy(out, e->rope_factors, e->model->config.head_dim / 2 * sizeof *out);
    return STATUS_OK;
}

static void export_release(struct export_rows *e)
{
    mem_free(e->list);
    mem_free(e->rope_factors);
}

/* Everything before the data. */
static enum status prepare(const struct model *model, enum tensor_type type, const struct text_files *texts,
                           const char *name, struct export_rows *e, struct gguf_writer **writer, struct error *note,
                           struct error *err)
{
    const struct model_config *c = &model->config;
    const struct gguf_special_tokens ids = {c->bos_token_id, c->num_eos ? c->eos_token_ids[0] : -1, c->pad_token_id};
    *e = (struct export_rows){.model = model};
    *writer = NULL;
    enum status st = gguf_check_config(c, note, err);
    if (st != STATUS_OK || (st = foreign_list_gguf(model, type, &e->list, &e->n, err)) != STATUS_OK)
        return st;
    struct gguf_writer *w = *writer = gguf_writer_new(err);
    if (!w)
        return STATUS_NOMEM;
    gguf_set_config(w, c, type, name);
    struct error about_tokens = {0};
    st = gguf_set_tokenizer(w, texts, c->vocab_size, ids, &about_tokens, err);
    if (note && about_tokens.text[0])
        snprintf(note->text + strlen(note->text), sizeof note->text - strlen(note->text), "%s%s",
                 note->text[0] ? "; " : "", about_tokens.text);
    for (size_t i = 0; i < e->n && st == STATUS_OK; i++) {
        const struct foreign *t = &e->list[i];
        const uint64_t shape[2] = {t->cols, t->rows};
        st = gguf_add_tensor(w, t->name, t->rank, shape, t->type, err);
    }
    if (st == STATUS_OK && c->family == MODEL_GPT2 && c->tied) {
        /* Older editions of llama.cpp want a head of a gpt2, and its converter writes one; the other architectures
         * take the embedding where there is none. */
        for (size_t i = 0; i < e->n && !e->head; i++)
            if (strcmp(e->list[i].name, "token_embd.weight") == 0)
                e->head = &e->list[i];
        const uint64_t shape[2] = {e->head->cols, e->head->rows};
        st = gguf_add_tensor(w, "output.weight", 2, shape, e->head->type, err);
    }
    if (st == STATUS_OK && c->rope == ROPE_LLAMA3) {
        const uint64_t shape[1] = {c->head_dim / 2};
        e->rope_factors = mem_calloc(c->head_dim / 2, sizeof *e->rope_factors);
        if (!e->rope_factors)
            return error_set(err, STATUS_NOMEM, "no memory for %zu frequencies", c->head_dim / 2);
        gguf_rope_factors(c, e->rope_factors);
        st = gguf_add_tensor(w, "rope_freqs.weight", 1, shape, TENSOR_F32, err);
    }
    return st;
}

enum status model_check_gguf(const struct model *model, enum tensor_type type, const struct text_files *texts,
                             struct error *note, struct error *err)
{
    struct export_rows e;
    struct gguf_writer *writer;
    const enum status st = prepare(model, type, texts, "", &e, &writer, note, err);
    gguf_writer_free(writer);
    export_release(&e);
    return st;
}

enum status model_write_gguf(const struct model *model, const char *path, enum tensor_type type,
                             const struct text_files *texts, const char *name, struct error *err)
{
    struct export_rows e;
    struct gguf_writer *writer;
    enum status st = prepare(model, type, texts, name, &e, &writer, NULL, err);
    if (st == STATUS_OK)
        st = gguf_write(writer, path, export_rows, &e, err);
    gguf_writer_free(writer);
    export_release(&e);
    return st;
}

/* --- reading --------------------------------------------------------------------------------------------------- */

static enum status check_tensor(const struct gguf *file, const struct gguf_tensor *found, const struct foreign *t,
                                struct error *err)
{
    const char *path = gguf_path(file);
    if (!found)
        return error_set(err, STATUS_FORMAT, "%s: tensor \"%s\" is missing", path, t->name);
    if (!found->readable)
        return error_set(err, STATUS_CONFIG, "%s: tensor \"%s\" is %s; F32, F16, BF16 and Q8_0 can be read", path,
                         t->name, found->type_name);
    uint64_t rows = 1;
    for (size_t d = 1; d < found->rank; d++)
        rows *= found->shape[d]; /* their product with the first was checked when the file was opened */
    if (found->rank == 0 || found->shape[0] != t->cols || rows != t->rows)
        return error_set(err, STATUS_FORMAT,
                         "%s: tensor \"%s\" has %llu rows of %llu; the keys of the file want %zu rows of %zu", path,
                         t->name, (unsigned long long)rows, (unsigned long long)(found->rank ? found->shape[0] : 1),
                         t->rows, t->cols);
    return STATUS_OK;
}

/* By rows through a piece, or straight where nothing is to be changed. */
static enum status read_tensor(const struct gguf *file, const struct gguf_tensor *found, const struct foreign *t,
                               float *run, struct error *err)
{
    if (found->type == TENSOR_F32 && t->order == ORDER_SAME)
        return gguf_read(file, found, 0, run + t->param->offset, t->param->count * sizeof *run, err);
    size_t row_bytes = 0;
    const size_t step = foreign_step(t) < t->rows ? foreign_step(t) : t->rows;
    float *values = mem_calloc(step * t->cols, sizeof *values);
    unsigned char *bytes = tensor_type_bytes(found->type, t->cols, &row_bytes) ? mem_calloc(step, row_bytes) : NULL;
    enum status st =
        values && bytes ? STATUS_OK : error_set(err, STATUS_NOMEM, "no memory to read tensor \"%s\"", t->name);
    for (size_t row = 0; row < t->rows && st == STATUS_OK; row += step) {
        const size_t n = t->rows - row < step ? t->rows - row : step;
        st = gguf_read(file, found, (uint64_t)row * row_bytes, bytes, n * row_bytes, err);
        if (st != STATUS_OK)
            break;
        tensor_decode(values, bytes, found->type, n * t->cols);
        foreign_put(t, run, row, n, values);
    }
    mem_free(values);
    mem_free(bytes);
    return st;
}

/* Every tensor of the file is one of ours, but the frequencies and a head that repeats the embedding. */
static enum status check_nothing_else(const struct gguf *file, const struct foreign *list, size_t n, bool tied,
                                      struct error *err)
{
    size_t extra = (gguf_find(file, "rope_freqs.weight") != NULL) + (tied && gguf_find(file, "output.weight"));
    if (gguf_count(file) == n + extra) /* names are unique and all of ours were found */
        return STATUS_OK;
    for (size_t i = 0; i < gguf_count(file); i++) {
        const char *name = gguf_at(file, i)->name;
        bool known = strcmp(name, "rope_freqs.weight") == 0 || (tied && strcmp(name, "output.weight") == 0);
        for (size_t j = 0; j < n && !known; j++)
            known = strcmp(list[j].name, name) == 0;
        if (!known)
            return error_set(err, STATUS_CONFIG, "%s: tensor \"%s\" is no part of such a model here", gguf_path(file),
                             name);
    }
    return STATUS_OK;
}

static enum status read_weights(struct model *model, const struct gguf *file, enum tensor_type *most, struct error *err)
{
    struct foreign *list = NULL;
    size_t n = 0;
    uint64_t elements[NUM_TENSOR_TYPES] = {0};
    enum status st = foreign_list_gguf(model, TENSOR_F32, &list, &n, err);
    for (size_t i = 0; i < n && st == STATUS_OK; i++) {
        const struct gguf_tensor *found = gguf_find(file, list[i].name);
        st = check_tensor(file, found, &list[i], err);
        if (st == STATUS_OK)
            st = read_tensor(file, found, &list[i], model->data, err);
        if (st == STATUS_OK)
            st = check_finite(model->data + list[i].param->offset, list[i].param->count, gguf_path(file), list[i].name,
                              err);
        if (st == STATUS_OK)
            elements[found->type] += list[i].param->count;
    }
    if (st == STATUS_OK)
        st = check_nothing_else(file, list, n, model->config.tied, err);
    *most = most_of(elements);
    mem_free(list);
    return st;
}

static uint64_t elements_of(const struct gguf *file)
{
    uint64_t all = 0;
    for (size_t i = 0; i < gguf_count(file); i++) {
        const struct gguf_tensor *t = gguf_at(file, i);
        uint64_t n = 1;
        for (size_t d = 0; d < t->rank; d++)
            n *= t->shape[d]; /* no more than fit into the file */
        all += n;
    }
    return all;
}

struct model *model_read_gguf(const char *path, struct model_source *source, struct error *err)
{
    struct gguf *file = gguf_open(path, err);
    struct model *model = NULL;
    struct model_config config;
    struct gguf_special_tokens ids;
    if (file && gguf_get_config(file, &config, err) == STATUS_OK &&
        gguf_get_tokenizer(file, config.vocab_size, &source->texts, &ids, err) == STATUS_OK) {
        config.bos_token_id = ids.bos;
        config.pad_token_id = ids.pad;
        config.eos_token_ids[0] = ids.eos;
        config.num_eos = ids.eos >= 0;
        model = model_new_within(&config, elements_of(file), path, err);
        if (model && read_weights(model, file, &source->type, err) != STATUS_OK) {
            model_free(model);
            model = NULL;
        }
    }
    gguf_close(file);
    return model;
}
