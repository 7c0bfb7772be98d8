/* SPDX-License-Identifier: MIT
 * formats/model_config_read.c - config.json.  Keys, defaults and their meaning: transformers, configuration_gpt2.py.
 */
#include "formats/json.h"
#include "model_config_internal.h"

#include <string.h>

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

/* Absent is GPT-2's own default; null and -1 are none.  An id beyond the vocabulary can never occur, which is none too:
 * transformers writes 50256 into the configuration of a model with fifty tokens. */
static enum status get_token(const json_t *object, const char *key, size_t vocab_size, int32_t *out, const char *where,
                             struct error *err)
{
    uint64_t id = GPT2_END_OF_TEXT;
    const json_t *value = json_object_get(object, key);
    *out = -1;
    if (json_is_null(value) || (json_is_integer(value) && json_integer_value(value) == -1))
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
            return error_set(err, STATUS_CONFIG,
                             "%s: \"architectures\" is [\"%s\"%s]; only GPT2LMHeadModel is done here", where,
                             name ? name : "", json_array_size(architectures) > 1 ? ", …" : "");
    }
    text = "gelu_new";
    st = json_get_text(object, "activation_function", false, &text, where, err);
    if (st == STATUS_OK && strcmp(text, "gelu_new") != 0 && strcmp(text, "gelu_pytorch_tanh") != 0)
        return error_set(
            err, STATUS_CONFIG,
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

static enum status read_gpt2(const json_t *object, const char *where, struct model_config *config, struct error *err)
{
    enum status st = check_kind(object, where, err);
    if (st != STATUS_OK)
        return st;
    config->vocab_size = 50257;
    config->n_positions = 1024;
    config->n_embd = 768;
    config->n_layer = config->n_head = 12;
    config->embd_pdrop = config->attn_pdrop = config->resid_pdrop = 0.1f;
    if ((st = get_size(object, "vocab_size", &config->vocab_size, where, err)) != STATUS_OK ||
        (st = get_size(object, "n_positions", &config->n_positions, where, err)) != STATUS_OK ||
        (st = get_size(object, "n_embd", &config->n_embd, where, err)) != STATUS_OK ||
        (st = get_size(object, "n_layer", &config->n_layer, where, err)) != STATUS_OK ||
        (st = get_size(object, "n_head", &config->n_head, where, err)) != STATUS_OK)
        return st;
    model_config_complete(config);
    if ((st = get_size(object, "n_inner", &config->n_inner, where, err)) != STATUS_OK ||
        (st = get_float(object, "layer_norm_epsilon", &config->norm_epsilon, where, err)) != STATUS_OK ||
        (st = get_float(object, "initializer_range", &config->initializer_range, where, err)) != STATUS_OK ||
        (st = get_float(object, "embd_pdrop", &config->embd_pdrop, where, err)) != STATUS_OK ||
        (st = get_float(object, "attn_pdrop", &config->attn_pdrop, where, err)) != STATUS_OK ||
        (st = get_float(object, "resid_pdrop", &config->resid_pdrop, where, err)) != STATUS_OK ||
        (st = get_token(object, "bos_token_id", config->vocab_size, &config->bos_token_id, where, err)) != STATUS_OK ||
        (st = get_token(object, "eos_token_id", config->vocab_size, &config->eos_token_ids[0], where, err)) !=
            STATUS_OK)
        return st;
    config->num_eos = config->eos_token_ids[0] >= 0;
    return STATUS_OK;
}

enum status model_config_from_json(const json_t *object, const char *where, struct model_config *out, struct error *err)
{
    struct model_config config = model_config_of(MODEL_GPT2);
    enum status st = read_gpt2(object, where, &config, err);
    if (st == STATUS_OK && (st = model_config_check(&config, err)) != STATUS_OK)
        error_prefix(err, "%s", where);
    if (st == STATUS_OK)
        *out = config;
    return st;
}

enum status model_config_read(const char *path, struct model_config *out, struct error *err)
{
    struct error mine = {0};
    json_t *object = json_read_file(path, MAX_CONFIG_BYTES, &mine);
    if (object)
        model_config_from_json(object, path, out, &mine);
    json_decref(object);
    if (mine.status != STATUS_OK && err)
        *err = mine;
    return mine.status;
}
