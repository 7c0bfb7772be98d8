/* SPDX-License-Identifier: MIT
 * formats/model_config.c - GPT-2's config.json.  Keys, defaults and their meaning: transformers, configuration_gpt2.py.
 */
#include "formats/model_config.h"

#include "formats/json.h"

#include <math.h>
#include <string.h>

enum { MAX_CONFIG_BYTES = 1 << 20, MAX_SIZE = INT32_MAX, GPT2_END_OF_TEXT = 50256 };

static enum status check_size(const char *name, size_t value, struct error *err)
{
    if (value < 1 || value > MAX_SIZE)
        return error_set(err, STATUS_CONFIG, "%s is %zu, outside 1 … %d", name, value, (int)MAX_SIZE);
    return STATUS_OK;
}

static enum status check_probability(const char *name, float value, struct error *err)
{
    if (!(value >= 0 && value < 1))
        return error_set(err, STATUS_CONFIG, "%s is %g, where a probability of at least 0 and below 1 should be", name,
                         (double)value);
    return STATUS_OK;
}

static enum status check_token(const char *name, int32_t id, size_t vocab_size, struct error *err)
{
    if (id < -1 || (id >= 0 && (size_t)id >= vocab_size))
        return error_set(err, STATUS_CONFIG, "%s is %d, outside the vocabulary of %zu (-1 is none)", name, (int)id,
                         vocab_size);
    return STATUS_OK;
}

enum status model_config_check(const struct model_config *config, struct error *err)
{
    enum status st = STATUS_OK;
    if (config->family != MODEL_GPT2)
        return error_set(err, STATUS_CONFIG, "unknown model family %d", (int)config->family);
    const struct {
        const char *name;
        size_t value;
    } sizes[] = {{"vocab_size", config->vocab_size}, {"n_positions", config->n_positions}, {"n_embd", config->n_embd},
                 {"n_layer", config->n_layer},       {"n_head", config->n_head},           {"n_inner", config->n_inner}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && st == STATUS_OK; i++)
        st = check_size(sizes[i].name, sizes[i].value, err);
    if (st != STATUS_OK)
        return st;
    if (config->n_embd % config->n_head)
        return error_set(err, STATUS_CONFIG, "the width n_embd = %zu is not divisible by n_head = %zu", config->n_embd,
                         config->n_head);
    if ((st = check_probability("embd_pdrop", config->embd_pdrop, err)) != STATUS_OK ||
        (st = check_probability("attn_pdrop", config->attn_pdrop, err)) != STATUS_OK ||
        (st = check_probability("resid_pdrop", config->resid_pdrop, err)) != STATUS_OK)
        return st;
    if (!(config->layer_norm_epsilon > 0 && isfinite(config->layer_norm_epsilon)))
        return error_set(err, STATUS_CONFIG, "layer_norm_epsilon is %g, where a positive number should be",
                         (double)config->layer_norm_epsilon);
    if (!(config->initializer_range >= 0 && isfinite(config->initializer_range)))
        return error_set(err, STATUS_CONFIG, "initializer_range is %g, where 0 or a positive number should be",
                         (double)config->initializer_range);
    if ((st = check_token("bos_token_id", config->bos_token_id, config->vocab_size, err)) != STATUS_OK)
        return st;
    return check_token("eos_token_id", config->eos_token_id, config->vocab_size, err);
}

static enum status get_size(const json_t *object, const char *key, size_t *out, const char *where, struct error *err)
{
    uint64_t value = *out;
    const enum status st = json_get_u64(object, key, false, MAX_SIZE, &value, where, err);
    *out = (size_t)value;
    return st;
}

static enum status get_float(const json_t *object, const char *key, float *out, const char *where, struct error *err)
{
    double value = (double)*out;
    const enum status st = json_get_double(object, key, false, &value, where, err);
    *out = (float)value;
    return st;
}

/* Absent is GPT-2's own default; null is none.  An id beyond the vocabulary can never occur, which is none too:
 * transformers writes 50256 into the configuration of a model with fifty tokens. */
static enum status get_token(const json_t *object, const char *key, size_t vocab_size, int32_t *out, const char *where,
                             struct error *err)
{
    uint64_t id = GPT2_END_OF_TEXT;
    *out = -1;
    if (json_is_null(json_object_get(object, key)))
        return STATUS_OK;
    const enum status st = json_get_u64(object, key, false, MAX_SIZE, &id, where, err);
    if (st == STATUS_OK && id < vocab_size)
        *out = (int32_t)id;
    return st;
}

/* A switch that has to stand where we have it. */
static enum status expect_bool(const json_t *object, const char *key, bool wanted, const char *where, struct error *err)
{
    bool value = wanted;
    const enum status st = json_get_bool(object, key, false, &value, where, err);
    if (st == STATUS_OK && value != wanted)
        return error_set(err, STATUS_CONFIG, "%s: \"%s\" is %s; only %s is done here", where, key,
                         value ? "true" : "false", wanted ? "true" : "false");
    return st;
}

static enum status check_kind(const json_t *object, const char *where, struct error *err)
{
    const char *text = NULL;
    enum status st = json_get_text(object, "model_type", true, &text, where, err);
    if (st != STATUS_OK)
        return st;
    if (strcmp(text, "gpt2") != 0)
        return error_set(err, STATUS_CONFIG, "%s: \"model_type\" is \"%s\"; only \"gpt2\" is done here", where, text);
    const json_t *architectures = json_object_get(object, "architectures");
    if (architectures && !json_is_null(architectures)) {
        const char *name = json_string_value(json_array_get(architectures, 0));
        if (json_array_size(architectures) != 1 || !name || strcmp(name, "GPT2LMHeadModel") != 0)
            return error_set(err, STATUS_CONFIG, "%s: \"architectures\" is [\"%s\"%s]; only GPT2LMHeadModel is done here",
                             where, name ? name : "", json_array_size(architectures) > 1 ? ", …" : "");
    }
    text = "gelu_new";
    st = json_get_text(object, "activation_function", false, &text, where, err);
    if (st == STATUS_OK && strcmp(text, "gelu_new") != 0 && strcmp(text, "gelu_pytorch_tanh") != 0)
        return error_set(err, STATUS_CONFIG,
                         "%s: \"activation_function\" is \"%s\"; only \"gelu_new\" (and \"gelu_pytorch_tanh\", the same) "
                         "is done here",
                         where, text);
    if (st != STATUS_OK || (st = expect_bool(object, "tie_word_embeddings", true, where, err)) != STATUS_OK ||
        (st = expect_bool(object, "scale_attn_weights", true, where, err)) != STATUS_OK ||
        (st = expect_bool(object, "scale_attn_by_inverse_layer_idx", false, where, err)) != STATUS_OK ||
        (st = expect_bool(object, "reorder_and_upcast_attn", false, where, err)) != STATUS_OK)
        return st;
    return expect_bool(object, "add_cross_attention", false, where, err);
}

static enum status read_object(const json_t *object, const char *where, struct model_config *config, struct error *err)
{
    enum status st = check_kind(object, where, err);
    if (st != STATUS_OK)
        return st;
    *config = (struct model_config){.family = MODEL_GPT2,
                                    .vocab_size = 50257,
                                    .n_positions = 1024,
                                    .n_embd = 768,
                                    .n_layer = 12,
                                    .n_head = 12,
                                    .layer_norm_epsilon = 1e-5f,
                                    .initializer_range = 0.02f,
                                    .embd_pdrop = 0.1f,
                                    .attn_pdrop = 0.1f,
                                    .resid_pdrop = 0.1f};
    if ((st = get_size(object, "vocab_size", &config->vocab_size, where, err)) != STATUS_OK ||
        (st = get_size(object, "n_positions", &config->n_positions, where, err)) != STATUS_OK ||
        (st = get_size(object, "n_embd", &config->n_embd, where, err)) != STATUS_OK ||
        (st = get_size(object, "n_layer", &config->n_layer, where, err)) != STATUS_OK ||
        (st = get_size(object, "n_head", &config->n_head, where, err)) != STATUS_OK)
        return st;
    config->n_inner = 4 * config->n_embd; /* a size below 2^31; model_config_check has the last word */
    if ((st = get_size(object, "n_inner", &config->n_inner, where, err)) != STATUS_OK ||
        (st = get_float(object, "layer_norm_epsilon", &config->layer_norm_epsilon, where, err)) != STATUS_OK ||
        (st = get_float(object, "initializer_range", &config->initializer_range, where, err)) != STATUS_OK ||
        (st = get_float(object, "embd_pdrop", &config->embd_pdrop, where, err)) != STATUS_OK ||
        (st = get_float(object, "attn_pdrop", &config->attn_pdrop, where, err)) != STATUS_OK ||
        (st = get_float(object, "resid_pdrop", &config->resid_pdrop, where, err)) != STATUS_OK ||
        (st = get_token(object, "bos_token_id", config->vocab_size, &config->bos_token_id, where, err)) != STATUS_OK ||
        (st = get_token(object, "eos_token_id", config->vocab_size, &config->eos_token_id, where, err)) != STATUS_OK)
        return st;
    st = model_config_check(config, err);
    if (st != STATUS_OK)
        error_prefix(err, "%s", where);
    return st;
}

enum status model_config_read(const char *path, struct model_config *out, struct error *err)
{
    struct error mine = {0};
    json_t *object = json_read_file(path, MAX_CONFIG_BYTES, &mine);
    struct model_config config;
    if (object)
        read_object(object, path, &config, &mine);
    json_decref(object);
    if (mine.status == STATUS_OK)
        *out = config;
    else if (err)
        *err = mine;
    return mine.status;
}

static json_t *token_or_null(int32_t id)
{
    return id < 0 ? json_null() : json_integer(id);
}

/* json_write says so when `object` came out NULL. */
static enum status write_and_free(json_t *object, struct buffer *out, struct error *err)
{
    const enum status st = json_write(object, true, out, err);
    json_decref(object);
    return st;
}

enum status model_config_json(const struct model_config *config, struct buffer *out, struct error *err)
{
    json_t *inner = config->n_inner == 4 * config->n_embd ? json_null() : json_integer((json_int_t)config->n_inner);
    /* n_ctx: llama.cpp's converter wants it.  dtype: what transformers 5 calls torch_dtype. */
    return write_and_free(
        json_pack("{s:[s], s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:b, s:b,"
                  " s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                  "architectures", "GPT2LMHeadModel", "model_type", "gpt2", "activation_function", "gelu_new",
                  "torch_dtype", "float32", "dtype", "float32", "tie_word_embeddings", 1, "use_cache", 1,
                  "scale_attn_weights", 1, "scale_attn_by_inverse_layer_idx", 0, "reorder_and_upcast_attn", 0,
                  "add_cross_attention", 0, "vocab_size", (json_int_t)config->vocab_size, "n_positions",
                  (json_int_t)config->n_positions, "n_ctx", (json_int_t)config->n_positions, "n_embd",
                  (json_int_t)config->n_embd, "n_layer", (json_int_t)config->n_layer, "n_head",
                  (json_int_t)config->n_head, "n_inner", inner, "layer_norm_epsilon",
                  json_real_from_float(config->layer_norm_epsilon), "initializer_range",
                  json_real_from_float(config->initializer_range), "embd_pdrop",
                  json_real_from_float(config->embd_pdrop), "attn_pdrop", json_real_from_float(config->attn_pdrop),
                  "resid_pdrop", json_real_from_float(config->resid_pdrop), "bos_token_id",
                  token_or_null(config->bos_token_id), "eos_token_id", token_or_null(config->eos_token_id)),
        out, err);
}

enum status generation_config_json(const struct model_config *config, struct buffer *out, struct error *err)
{
    /* "*": an absent id is left out, for null would override transformers' own. */
    return write_and_free(json_pack("{s:b, s:o*, s:o*}", "_from_model_config", 1, "bos_token_id",
                                    config->bos_token_id < 0 ? NULL : json_integer(config->bos_token_id),
                                    "eos_token_id",
                                    config->eos_token_id < 0 ? NULL : json_integer(config->eos_token_id)),
                          out, err);
}
