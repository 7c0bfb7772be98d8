/* SPDX-License-Identifier: MIT
 * store_gguf_keys.c - a configuration as keys of GGUF and back.  Which keys an architecture has and what absence means:
 * llama.cpp, src/llama-arch.cpp and src/llama-model.cpp.  What GGUF has no key for goes under "cllm.": others pass over
 * such keys.
 */
#include "base/memory.h"
#include "store_gguf_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SMOLLM3_NO_ROPE_EVERY = 4 }; /* llama.cpp's n_no_rope_layer_step, which no key can change */

/* general.architecture: llama.cpp has no Mistral, it is a llama there. */
static const char *architecture(enum model_family family)
{
    return model_family_name(family == MODEL_MISTRAL ? MODEL_LLAMA : family);
}

/* "llama.context_length" */
static const char *key_of(char out[96], const char *arch, const char *key)
{
    snprintf(out, 96, "%s.%s", arch, key);
    return out;
}

/* --- what llama.cpp can do -------------------------------------------------------------------------------------- */

static bool no_rope_as_llama_cpp(const struct model_config *c)
{
    for (size_t l = 0; l < c->n_layer; l++) {
        const bool there = c->family != MODEL_SMOLLM3 || (l + 1) % SMOLLM3_NO_ROPE_EVERY != 0;
        if (there == ((c->layer_kind[l] & LAYER_NO_ROPE) != 0))
            return false;
    }
    return true;
}

static bool has_window(const struct model_config *c)
{
    for (size_t l = 0; l < c->n_layer; l++)
        if ((c->layer_kind[l] & LAYER_WINDOW) && c->window && c->window < c->n_positions)
            return true;
    return false;
}

enum status gguf_check_config(const struct model_config *c, struct error *note, struct error *err)
{
    const char *arch = architecture(c->family);
    const bool llama = c->family == MODEL_LLAMA || c->family == MODEL_MISTRAL;
    const struct {
        bool wrong;
        const char *what;
    } cases[] = {
        {!llama && c->family != MODEL_GPT2 && c->family != MODEL_QWEN2 && c->qkv_bias, "biases on queries, keys and values"},
        {!llama && c->family != MODEL_GPT2 && c->out_bias, "a bias behind attention"},
        {!llama && c->family != MODEL_GPT2 && c->mlp_bias, "biases in the MLP"},
        {c->family == MODEL_QWEN2 && c->n_head * c->head_dim != c->n_embd, "heads that do not make up the width"},
        {!llama && c->rope == ROPE_LLAMA3, "positions scaled as in Llama-3"},
        {!no_rope_as_llama_cpp(c), "layers without rotation other than every fourth"},
        {c->family != MODEL_MISTRAL && has_window(c), "a sliding window"},
    };
    if (note)
        *note = (struct error){0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (cases[i].wrong)
            return error_set(err, STATUS_CONFIG, "the model has %s, which llama.cpp's \"%s\" has not", cases[i].what, arch);
    if (c->family == MODEL_MISTRAL && has_window(c))
        error_set(note, STATUS_OK,
                  "llama.cpp does not slide the attention window of a Mistral: beyond %zu tokens it sees more than the "
                  "model was made for",
                  c->window);
    return STATUS_OK;
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

void gguf_rope_factors(const struct model_config *c, float *out)
{
    const double factor = c->rope_factor, low = c->rope_low_freq_factor, high = c->rope_high_freq_factor;
    const double original = (double)c->rope_original_positions, two_pi = 6.28318530717958647692;
    for (size_t i = 0; i < c->head_dim / 2; i++) {
        const double wavelength = two_pi * pow(c->rope_theta, 2.0 * (double)i / (double)c->head_dim);
        const double smooth = (original / wavelength - low) / (high - low);
        out[i] = (float)(smooth > 1 ? 1 : smooth < 0 ? factor : 1 / ((1 - smooth) / factor + smooth));
    }
}

static void set_size(struct gguf_writer *w, const char *arch, const char *key, size_t value)
{
    char name[96];
    gguf_set_u32(w, key_of(name, arch, key), (uint32_t)value);
}

static void set_real(struct gguf_writer *w, const char *arch, const char *key, float value)
{
    char name[96];
    gguf_set_float(w, key_of(name, arch, key), value);
}

static void set_rope(struct gguf_writer *w, const struct model_config *c, const char *arch)
{
    char name[96];
    set_size(w, arch, "rope.dimension_count", c->head_dim);
    set_real(w, arch, "rope.freq_base", c->rope_theta);
    if (c->rope == ROPE_LINEAR) {
        gguf_set_text(w, key_of(name, arch, "rope.scaling.type"), "linear", 6);
        set_real(w, arch, "rope.scaling.factor", c->rope_factor);
    }
    if (c->rope == ROPE_LLAMA3) { /* the factors themselves are in rope_freqs.weight */
        set_real(w, "cllm", "rope_scaling.factor", c->rope_factor);
        set_real(w, "cllm", "rope_scaling.low_freq_factor", c->rope_low_freq_factor);
        set_real(w, "cllm", "rope_scaling.high_freq_factor", c->rope_high_freq_factor);
        set_size(w, "cllm", "rope_scaling.original_max_position_embeddings", c->rope_original_positions);
    }
}

void gguf_set_config(struct gguf_writer *w, const struct model_config *c, enum tensor_type type, const char *name)
{
    static const uint32_t file_types[NUM_TENSOR_TYPES] = {
        [TENSOR_F32] = 0, [TENSOR_F16] = 1, [TENSOR_BF16] = 32, [TENSOR_Q8_0] = 7};
    const char *arch = architecture(c->family), *family = model_family_name(c->family);
    gguf_set_text(w, "general.architecture", arch, strlen(arch));
    gguf_set_text(w, "general.type", "model", 5);
    gguf_set_text(w, "general.name", name, strlen(name));
    gguf_set_u32(w, "general.alignment", GGUF_ALIGNMENT);
    gguf_set_u32(w, "general.file_type", file_types[type]);
    if (type == TENSOR_Q8_0)
        gguf_set_u32(w, "general.quantization_version", 2);
    set_size(w, arch, "vocab_size", c->vocab_size);
    set_size(w, arch, "context_length", c->n_positions);
    set_size(w, arch, "embedding_length", c->n_embd);
    set_size(w, arch, "block_count", c->n_layer);
    set_size(w, arch, "feed_forward_length", c->n_inner);
    set_size(w, arch, "attention.head_count", c->n_head);
    set_size(w, arch, "attention.head_count_kv", c->n_kv_head);
    set_real(w, arch, c->norm == NORM_RMS ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon",
             c->norm_epsilon);
    if (c->n_head * c->head_dim != c->n_embd) {
        set_size(w, arch, "attention.key_length", c->head_dim);
        set_size(w, arch, "attention.value_length", c->head_dim);
    }
    if (c->rope != ROPE_NONE)
        set_rope(w, c, arch);
    if (c->window)
        set_size(w, arch, "attention.sliding_window", c->window);
    gguf_set_text(w, "cllm.family", family, strlen(family));
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

static enum status get_size(const struct gguf *file, const char *arch, const char *key, bool required, size_t *out,
                            struct error *err)
{
    char name[96];
    uint64_t value = *out;
    const enum status st = gguf_get_u64(file, key_of(name, arch, key), required, INT32_MAX, &value, err);
    *out = (size_t)value;
    return st;
}

static enum status get_real(const struct gguf *file, const char *arch, const char *key, bool required, float *out,
                            struct error *err)
{
    char name[96];
    double value = (double)*out;
    const enum status st = gguf_get_float(file, key_of(name, arch, key), required, &value, err);
    *out = (float)value;
    return st;
}

static enum status get_family(const struct gguf *file, enum model_family *out, struct error *err)
{
    struct gguf_text arch, ours = {0};
    enum status st = gguf_get_text(file, "general.architecture", true, &arch, err);
    if (st == STATUS_OK)
        st = gguf_get_text(file, "cllm.family", false, &ours, err);
    if (st != STATUS_OK)
        return st;
    for (enum model_family f = MODEL_GPT2; f <= MODEL_SMOLLM3; f++)
        if (gguf_text_is(arch, architecture(f)) && (!ours.bytes || gguf_text_is(ours, model_family_name(f)))) {
            *out = f;
            return STATUS_OK;
        }
    return error_set(err, STATUS_CONFIG,
                     "%s: the architecture \"%.*s\" is not done here (gpt2, llama, qwen2, qwen3 and smollm3 are)",
                     gguf_path(file), (int)(arch.len < 64 ? arch.len : 64), arch.bytes);
}

static enum status get_sizes(const struct gguf *file, const char *arch, struct model_config *c, struct error *err)
{
    const struct gguf_tensor *embedding = gguf_find(file, "token_embd.weight");
    if (!embedding || embedding->rank != 2)
        return error_set(err, STATUS_FORMAT, "%s: tensor \"token_embd.weight\" is missing, or is no matrix", gguf_path(file));
    c->vocab_size = embedding->shape[1] <= INT32_MAX ? (size_t)embedding->shape[1] : 0;
    size_t named = c->vocab_size, values = 0, experts = 0;
    enum status st;
    if ((st = get_size(file, arch, "vocab_size", false, &named, err)) != STATUS_OK ||
        (st = get_size(file, arch, "context_length", true, &c->n_positions, err)) != STATUS_OK ||
        (st = get_size(file, arch, "embedding_length", true, &c->n_embd, err)) != STATUS_OK ||
        (st = get_size(file, arch, "block_count", true, &c->n_layer, err)) != STATUS_OK ||
        (st = get_size(file, arch, "feed_forward_length", true, &c->n_inner, err)) != STATUS_OK ||
        (st = get_size(file, arch, "attention.head_count", true, &c->n_head, err)) != STATUS_OK ||
        (st = get_size(file, arch, "attention.head_count_kv", false, &c->n_kv_head, err)) != STATUS_OK ||
        (st = get_size(file, arch, "attention.key_length", false, &c->head_dim, err)) != STATUS_OK ||
        (st = get_size(file, arch, "expert_count", false, &experts, err)) != STATUS_OK)
        return st;
    model_config_complete(c);
    values = c->head_dim;
    if ((st = get_size(file, arch, "attention.value_length", false, &values, err)) != STATUS_OK)
        return st;
    if (named != c->vocab_size)
        return error_set(err, STATUS_FORMAT, "%s: the key \"%s.vocab_size\" is %zu, and the embedding has %zu rows",
                         gguf_path(file), arch, named, c->vocab_size);
    if (values != c->head_dim || experts)
        return error_set(err, STATUS_CONFIG, "%s: %s, which is not done here", gguf_path(file),
                         experts ? "a mixture of experts" : "values of another width than keys");
    return STATUS_OK;
}

/* rope_freqs.weight is the result of four numbers; others than we know them for cannot be taken over. */
static enum status get_factors(const struct gguf *file, const struct gguf_tensor *tensor, struct model_config *c,
                               struct error *err)
{
    const size_t n = c->head_dim / 2;
    if (tensor->rank != 1 || tensor->shape[0] != n || !tensor->readable || tensor->type != TENSOR_F32)
        return error_set(err, STATUS_FORMAT, "%s: tensor \"rope_freqs.weight\" should be %zu numbers in F32",
                         gguf_path(file), n);
    float *theirs = mem_calloc(2 * n, sizeof *theirs), *ours = theirs ? theirs + n : NULL;
    enum status st = theirs ? gguf_read(file, tensor, 0, theirs, n * sizeof *theirs, err)
                            : error_set(err, STATUS_NOMEM, "no memory for %zu frequencies", n);
    c->rope = ROPE_LLAMA3;
    c->rope_factor = 1;
    c->rope_low_freq_factor = 1;
    c->rope_high_freq_factor = 4;
    c->rope_original_positions = 8192;
    for (size_t i = 0; i < n && st == STATUS_OK; i++)
        c->rope_factor = theirs[i] > c->rope_factor ? theirs[i] : c->rope_factor;
    if (st == STATUS_OK)
        st = get_real(file, "cllm", "rope_scaling.factor", false, &c->rope_factor, err);
    if (st == STATUS_OK)
        st = get_real(file, "cllm", "rope_scaling.low_freq_factor", false, &c->rope_low_freq_factor, err);
    if (st == STATUS_OK)
        st = get_real(file, "cllm", "rope_scaling.high_freq_factor", false, &c->rope_high_freq_factor, err);
    if (st == STATUS_OK)
        st = get_size(file, "cllm", "rope_scaling.original_max_position_embeddings", false, &c->rope_original_positions, err);
    if (st == STATUS_OK)
        gguf_rope_factors(c, ours);
    for (size_t i = 0; i < n && st == STATUS_OK; i++)
        if (!(fabsf(theirs[i] - ours[i]) <= 1e-4f * fabsf(ours[i])))
            st = error_set(err, STATUS_CONFIG,
                           "%s: \"rope_freqs.weight\" has %g at element %zu, where Llama-3's scaling by %g gives %g; other "
                           "scalings are not done here",
                           gguf_path(file), (double)theirs[i], i, (double)c->rope_factor, (double)ours[i]);
    mem_free(theirs);
    return st;
}

static enum status get_rope(const struct gguf *file, const char *arch, struct model_config *c, struct error *err)
{
    char name[96];
    struct gguf_text scaling = {"none", 4};
    size_t dimensions = c->head_dim;
    enum status st;
    c->rope_theta = 10000;
    c->rope_factor = 1;
    if ((st = get_size(file, arch, "rope.dimension_count", false, &dimensions, err)) != STATUS_OK ||
        (st = get_real(file, arch, "rope.freq_base", false, &c->rope_theta, err)) != STATUS_OK ||
        (st = gguf_get_text(file, key_of(name, arch, "rope.scaling.type"), false, &scaling, err)) != STATUS_OK ||
        (st = get_real(file, arch, "rope.scaling.factor", false, &c->rope_factor, err)) != STATUS_OK)
        return st;
    if (dimensions != c->head_dim)
        return error_set(err, STATUS_CONFIG, "%s: %zu of the %zu channels of a head are rotated; only all is done here",
                         gguf_path(file), dimensions, c->head_dim);
    if (gguf_text_is(scaling, "linear") && !(c->rope_factor == 1))
        c->rope = ROPE_LINEAR;
    else if (!gguf_text_is(scaling, "none") && !gguf_text_is(scaling, "linear"))
        return error_set(err, STATUS_CONFIG, "%s: the scaling of positions \"%.*s\" is not done here (linear is)",
                         gguf_path(file), (int)(scaling.len < 64 ? scaling.len : 64), scaling.bytes);
    const struct gguf_tensor *factors = gguf_find(file, "rope_freqs.weight");
    return factors ? get_factors(file, factors, c, err) : STATUS_OK;
}

/* Whether "output.weight" repeats the embedding, byte for byte. */
static enum status repeats_embedding(const struct gguf *file, const struct gguf_tensor *head, bool *same, struct error *err)
{
    enum { PIECE = 1 << 18 };
    const struct gguf_tensor *embedding = gguf_find(file, "token_embd.weight");
    *same = strcmp(head->type_name, embedding->type_name) == 0 && head->size_bytes == embedding->size_bytes;
    unsigned char *a = mem_alloc(2 * PIECE), *b = a ? a + PIECE : NULL;
    enum status st = a ? STATUS_OK : error_set(err, STATUS_NOMEM, "no memory to compare the head and the embedding");
    for (uint64_t at = 0; *same && st == STATUS_OK && at < head->size_bytes; at += PIECE) {
        const size_t n = head->size_bytes - at < PIECE ? (size_t)(head->size_bytes - at) : PIECE;
        if ((st = gguf_read(file, head, at, a, n, err)) == STATUS_OK &&
            (st = gguf_read(file, embedding, at, b, n, err)) == STATUS_OK)
            *same = memcmp(a, b, n) == 0;
    }
    mem_free(a);
    return st;
}

enum status gguf_get_config(const struct gguf *file, struct model_config *out, struct error *err)
{
    enum model_family family = MODEL_GPT2;
    enum status st = get_family(file, &family, err);
    if (st != STATUS_OK)
        return st;
    struct model_config c = model_config_of(family);
    const char *arch = architecture(family);
    if ((st = get_sizes(file, arch, &c, err)) != STATUS_OK ||
        (st = get_real(file, arch, c.norm == NORM_RMS ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon",
                       true, &c.norm_epsilon, err)) != STATUS_OK ||
        (c.rope != ROPE_NONE && (st = get_rope(file, arch, &c, err)) != STATUS_OK) ||
        (st = get_size(file, arch, "attention.sliding_window", false, &c.window, err)) != STATUS_OK)
        return st;
    if (c.n_layer > MODEL_LAYERS_MAX)
        return error_set(err, STATUS_CONFIG, "%s: %zu layers; at most %d are done", gguf_path(file), c.n_layer,
                         (int)MODEL_LAYERS_MAX);
    if (family == MODEL_LLAMA && c.window) /* a Mistral that another converter wrote */
        c.family = family = MODEL_MISTRAL;
    for (size_t l = 0; l < c.n_layer; l++) {
        if (family == MODEL_SMOLLM3 && (l + 1) % SMOLLM3_NO_ROPE_EVERY == 0)
            c.layer_kind[l] |= LAYER_NO_ROPE;
        if (family == MODEL_MISTRAL && c.window)
            c.layer_kind[l] |= LAYER_WINDOW;
    }
    if (family != MODEL_GPT2) {
        c.qkv_bias = gguf_find(file, "blk.0.attn_q.bias") != NULL;
        c.out_bias = gguf_find(file, "blk.0.attn_output.bias") != NULL;
        c.mlp_bias = gguf_find(file, "blk.0.ffn_down.bias") != NULL;
    }
    const struct gguf_tensor *head = gguf_find(file, "output.weight");
    c.tied = true;
    if (head && (st = repeats_embedding(file, head, &c.tied, err)) != STATUS_OK)
        return st;
    if ((st = model_config_check(&c, err)) != STATUS_OK)
        return error_prefix(err, "%s", gguf_path(file));
    *out = c;
    return STATUS_OK;
}
