/* SPDX-License-Identifier: MIT
 * formats/model_config_read.c - config.json and generation_config.json.
 *
 * Keys, defaults and their meaning: transformers, configuration_*.py and modeling_rope_utils.py.  Positions come in
 * two forms: "rope_theta" and "rope_scaling" at the top (transformers 4), or both in "rope_parameters" (5), which has
 * precedence.  What would change the numbers and is not done here is refused by name.
 */
#include "base/file.h"
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

/* Appends one token id.  Null and -1 are none, and so is an id beyond the vocabulary, which can never occur:
 * transformers writes 50256 into the configuration of a model with fifty tokens. */
static enum status add_token(const json_t *value, const char *key, size_t vocab_size, int32_t *ids, size_t max,
                             size_t *n, const char *where, struct error *err)
{
    if (json_is_null(value) || (json_is_integer(value) && json_integer_value(value) == -1))
        return STATUS_OK;
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > MAX_SIZE)
        return error_set(err, STATUS_FORMAT, "%s: \"%s\" must be a token's number from 0 to %d, or null", where, key,
                         (int)MAX_SIZE);
    const int32_t id = (int32_t)json_integer_value(value);
    for (size_t i = 0; i < *n; i++)
        if (ids[i] == id)
            return STATUS_OK;
    if ((size_t)id >= vocab_size)
        return STATUS_OK;
    if (*n == max)
        return error_set(err, STATUS_CONFIG, "%s: \"%s\" has more than the %zu tokens that can be kept", where, key,
                         max);
    ids[(*n)++] = id;
    return STATUS_OK;
}

/* One id, or -1; absent is the family's own. */
static enum status get_token(const json_t *object, const char *key, int32_t absent, size_t vocab_size, int32_t *out,
                             const char *where, struct error *err)
{
    const json_t *value = json_object_get(object, key);
    size_t n = 0;
    *out = -1;
    if (value)
        return add_token(value, key, vocab_size, out, 1, &n, where, err);
    if (absent >= 0 && (size_t)absent < vocab_size)
        *out = absent;
    return STATUS_OK;
}

/* The tokens that end a text, a number or a list of them, after those that are there. */
static enum status add_eos(const json_t *value, struct model_config *c, const char *where, struct error *err)
{
    enum status st = STATUS_OK;
    if (!json_is_array(value))
        return add_token(value, "eos_token_id", c->vocab_size, c->eos_token_ids, MODEL_EOS_MAX, &c->num_eos, where,
                         err);
    for (size_t i = 0; i < json_array_size(value) && st == STATUS_OK; i++)
        st = add_token(json_array_get(value, i), "eos_token_id", c->vocab_size, c->eos_token_ids, MODEL_EOS_MAX,
                       &c->num_eos, where, err);
    return st;
}

static enum status get_tokens(const json_t *object, struct model_config *c, const char *where, struct error *err)
{
    const struct family *f = &model_families[c->family];
    const json_t *eos = json_object_get(object, "eos_token_id");
    enum status st = get_token(object, "bos_token_id", f->bos, c->vocab_size, &c->bos_token_id, where, err);
    if (st == STATUS_OK)
        st = get_token(object, "pad_token_id", f->pad, c->vocab_size, &c->pad_token_id, where, err);
    if (st != STATUS_OK)
        return st;
    if (eos)
        return add_eos(eos, c, where, err);
    if (f->eos >= 0 && (size_t)f->eos < c->vocab_size)
        c->eos_token_ids[c->num_eos++] = f->eos;
    return STATUS_OK;
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

/* A text that has to be one of two. */
static enum status expect_text(const json_t *object, const char *key, const char *one, const char *other,
                               const char *where, struct error *err)
{
    const char *text = one;
    const enum status st = json_get_text(object, key, false, &text, where, err);
    if (st == STATUS_OK && strcmp(text, one) != 0 && strcmp(text, other) != 0)
        return error_set(err, STATUS_CONFIG, "%s: \"%s\" is \"%s\"; only \"%s\" (and \"%s\", the same) is done here",
                         where, key, text, one, other);
    return st;
}

static enum status get_family(const json_t *object, enum model_family *out, const char *where, struct error *err)
{
    const char *text = NULL;
    enum status st = json_get_text(object, "model_type", true, &text, where, err);
    if (st != STATUS_OK)
        return st;
    size_t family = 0;
    while (family < MODEL_FAMILIES && strcmp(text, model_families[family].model_type) != 0)
        family++;
    if (family == MODEL_FAMILIES)
        return error_set(err, STATUS_CONFIG,
                         "%s: \"model_type\" is \"%s\"; gpt2, llama, mistral, qwen2, qwen3 and smollm3 are done here",
                         where, text);
    *out = (enum model_family)family;
    const json_t *architectures = json_object_get(object, "architectures");
    if (architectures && !json_is_null(architectures)) {
        const char *name = json_string_value(json_array_get(architectures, 0));
        if (json_array_size(architectures) != 1 || !name || strcmp(name, model_families[family].architecture) != 0)
            return error_set(err, STATUS_CONFIG, "%s: \"architectures\" is [\"%s\"%s]; only %s is done here", where,
                             name ? name : "", json_array_size(architectures) > 1 ? ", …" : "",
                             model_families[family].architecture);
    }
    const json_t *quantized = json_object_get(object, "quantization_config");
    if (quantized && !json_is_null(quantized))
        return error_set(err, STATUS_CONFIG,
                         "%s: \"quantization_config\" is there; quantized models are not read, take the original one",
                         where);
    return STATUS_OK;
}

static enum status read_gpt2(const json_t *object, const char *where, struct model_config *c, struct error *err)
{
    const struct family *f = &model_families[MODEL_GPT2];
    enum status st;
    c->vocab_size = f->vocab_size;
    c->n_positions = f->n_positions;
    c->n_embd = f->n_embd;
    c->n_layer = f->n_layer;
    c->n_head = f->n_head;
    c->embd_pdrop = c->attn_pdrop = c->resid_pdrop = 0.1f;
    if ((st = expect_text(object, "activation_function", "gelu_new", "gelu_pytorch_tanh", where, err)) != STATUS_OK ||
        (st = expect_bool(object, "tie_word_embeddings", true, where, err)) != STATUS_OK ||
        (st = expect_bool(object, "scale_attn_weights", true, where, err)) != STATUS_OK ||
        (st = expect_bool(object, "scale_attn_by_inverse_layer_idx", false, where, err)) != STATUS_OK ||
        (st = expect_bool(object, "reorder_and_upcast_attn", false, where, err)) != STATUS_OK ||
        (st = expect_bool(object, "add_cross_attention", false, where, err)) != STATUS_OK ||
        (st = get_size(object, "vocab_size", &c->vocab_size, where, err)) != STATUS_OK ||
        (st = get_size(object, "n_positions", &c->n_positions, where, err)) != STATUS_OK ||
        (st = get_size(object, "n_embd", &c->n_embd, where, err)) != STATUS_OK ||
        (st = get_size(object, "n_layer", &c->n_layer, where, err)) != STATUS_OK ||
        (st = get_size(object, "n_head", &c->n_head, where, err)) != STATUS_OK)
        return st;
    model_config_complete(c);
    if ((st = get_size(object, "n_inner", &c->n_inner, where, err)) != STATUS_OK ||
        (st = get_float(object, "layer_norm_epsilon", &c->norm_epsilon, where, err)) != STATUS_OK ||
        (st = get_float(object, "embd_pdrop", &c->embd_pdrop, where, err)) != STATUS_OK ||
        (st = get_float(object, "attn_pdrop", &c->attn_pdrop, where, err)) != STATUS_OK ||
        (st = get_float(object, "resid_pdrop", &c->resid_pdrop, where, err)) != STATUS_OK)
        return st;
    return STATUS_OK;
}

/* "rope_scaling" or "rope_parameters": kind and factors. */
static enum status get_scaling(const json_t *object, struct model_config *c, const char *where, struct error *err)
{
    const char *type = "default";
    float partial = 1;
    enum status st;
    if (!json_is_object(object))
        return error_set(err, STATUS_FORMAT, "%s: \"rope_scaling\" and \"rope_parameters\" must be objects, or null",
                         where);
    if ((st = json_get_text(object, "type", false, &type, where, err)) != STATUS_OK || /* as it was called first */
        (st = json_get_text(object, "rope_type", false, &type, where, err)) != STATUS_OK ||
        (st = get_float(object, "rope_theta", &c->rope_theta, where, err)) != STATUS_OK ||
        (st = get_float(object, "partial_rotary_factor", &partial, where, err)) != STATUS_OK)
        return st;
    if (!(partial == 1.0f))
        return error_set(err, STATUS_CONFIG, "%s: \"partial_rotary_factor\" is %g; only whole heads are rotated here",
                         where, (double)partial);
    c->rope = strcmp(type, "default") == 0  ? ROPE_DEFAULT
              : strcmp(type, "linear") == 0 ? ROPE_LINEAR
              : strcmp(type, "llama3") == 0 ? ROPE_LLAMA3
                                            : ROPE_NONE;
    if (c->rope == ROPE_NONE)
        return error_set(err, STATUS_CONFIG,
                         "%s: \"rope_type\" is \"%s\"; \"default\", \"linear\" and \"llama3\" are done here", where,
                         type);
    if (c->rope == ROPE_DEFAULT)
        return STATUS_OK;
    if ((st = get_float(object, "factor", &c->rope_factor, where, err)) != STATUS_OK || c->rope != ROPE_LLAMA3)
        return st;
    c->rope_original_positions = c->n_positions;
    if ((st = get_float(object, "low_freq_factor", &c->rope_low_freq_factor, where, err)) != STATUS_OK ||
        (st = get_float(object, "high_freq_factor", &c->rope_high_freq_factor, where, err)) != STATUS_OK)
        return st;
    return get_size(object, "original_max_position_embeddings", &c->rope_original_positions, where, err);
}

static enum status get_rope(const json_t *object, struct model_config *c, const char *where, struct error *err)
{
    float partial = 1;
    enum status st = get_float(object, "rope_theta", &c->rope_theta, where, err);
    if (st == STATUS_OK)
        st = get_float(object, "partial_rotary_factor", &partial, where, err);
    if (st == STATUS_OK && !(partial == 1.0f))
        return error_set(err, STATUS_CONFIG, "%s: \"partial_rotary_factor\" is %g; only whole heads are rotated here",
                         where, (double)partial);
    const char *const forms[] = {"rope_scaling", "rope_parameters"};
    for (size_t i = 0; i < 2 && st == STATUS_OK; i++) {
        const json_t *scaling = json_object_get(object, forms[i]);
        if (scaling && !json_is_null(scaling))
            st = get_scaling(scaling, c, where, err);
    }
    return st;
}

/* "layer_types" when it is there. */
static enum status get_layer_types(const json_t *object, struct model_config *c, bool *there, const char *where,
                                   struct error *err)
{
    const json_t *types = json_object_get(object, "layer_types");
    *there = types && !json_is_null(types);
    if (!*there)
        return STATUS_OK;
    if (json_array_size(types) < c->n_layer)
        return error_set(err, STATUS_FORMAT, "%s: \"layer_types\" must be a list with an entry for each of %zu layers",
                         where, c->n_layer);
    for (size_t l = 0; l < c->n_layer; l++) {
        const char *type = json_string_value(json_array_get(types, l));
        const bool window = type && strcmp(type, "sliding_attention") == 0;
        if (!window && (!type || strcmp(type, "full_attention") != 0))
            return error_set(err, STATUS_CONFIG,
                             "%s: \"layer_types\" has \"%s\"; full_attention and sliding_attention are done here",
                             where, type ? type : "");
        if (window && c->window)
            c->layer_kind[l] |= LAYER_WINDOW;
    }
    return STATUS_OK;
}

static enum status get_window(const json_t *object, struct model_config *c, const char *where, struct error *err)
{
    const json_t *value = json_object_get(object, "sliding_window");
    bool used = c->family == MODEL_MISTRAL, listed = false;
    enum status st = STATUS_OK;
    c->window = value && json_is_null(value) ? 0 : model_families[c->family].window;
    if (c->family != MODEL_MISTRAL)
        st = json_get_bool(object, "use_sliding_window", false, &used, where, err);
    if (st == STATUS_OK)
        st = get_size(object, "sliding_window", &c->window, where, err);
    if (st == STATUS_OK && used && json_is_integer(value) && c->window == 0)
        return error_set(err, STATUS_CONFIG, "%s: \"sliding_window\" is 0, which shows a token nothing; null is none",
                         where);
    if (!used)
        c->window = 0;
    size_t from = c->family == MODEL_MISTRAL ? 0 : 28; /* transformers' default */
    if (st == STATUS_OK && c->family != MODEL_MISTRAL)
        st = get_layer_types(object, c, &listed, where, err);
    if (st == STATUS_OK && (c->family == MODEL_QWEN2 || c->family == MODEL_QWEN3))
        st = get_size(object, "max_window_layers", &from, where, err);
    for (size_t l = 0; l < c->n_layer && st == STATUS_OK && c->window && !listed; l++)
        if (c->family == MODEL_SMOLLM3 ? c->layer_kind[l] & LAYER_NO_ROPE : l >= from)
            c->layer_kind[l] |= LAYER_WINDOW;
    return st;
}

/* "no_rope_layers" says 1 where a layer does rotate; without it every interval-th layer does not. */
static enum status get_no_rope(const json_t *object, struct model_config *c, const char *where, struct error *err)
{
    const json_t *list = json_object_get(object, "no_rope_layers");
    size_t interval = 4;
    const enum status st = get_size(object, "no_rope_layer_interval", &interval, where, err);
    if (st != STATUS_OK)
        return st;
    const bool given = list && !json_is_null(list);
    if (given && json_array_size(list) < c->n_layer)
        return error_set(err, STATUS_FORMAT,
                         "%s: \"no_rope_layers\" must be a list with an entry for each of %zu layers", where,
                         c->n_layer);
    if (!given && interval < 1)
        return error_set(err, STATUS_CONFIG, "%s: \"no_rope_layer_interval\" is 0, it must be at least 1", where);
    for (size_t l = 0; l < c->n_layer; l++) {
        const json_t *value = json_array_get(list, l);
        if (given && !json_is_integer(value) && !json_is_boolean(value))
            return error_set(err, STATUS_FORMAT, "%s: \"no_rope_layers\" must hold 0 and 1", where);
        const bool rotates = given ? json_is_true(value) || json_integer_value(value) : (l + 1) % interval != 0;
        if (!rotates)
            c->layer_kind[l] |= LAYER_NO_ROPE;
    }
    return STATUS_OK;
}

/* Llama and its kin. */
static enum status read_llama(const json_t *object, const char *where, struct model_config *c, struct error *err)
{
    const struct family *f = &model_families[c->family];
    enum status st;
    c->vocab_size = f->vocab_size;
    c->n_positions = f->n_positions;
    c->n_embd = f->n_embd;
    c->n_inner = f->n_inner;
    c->n_layer = f->n_layer;
    c->n_head = f->n_head;
    if (!json_object_get(object, "num_key_value_heads")) /* where it is null it follows from n_head */
        c->n_kv_head = f->n_kv_head;
    if (!json_object_get(object, "head_dim"))
        c->head_dim = f->head_dim;
    if ((st = expect_text(object, "hidden_act", "silu", "swish", where, err)) != STATUS_OK ||
        (st = get_size(object, "vocab_size", &c->vocab_size, where, err)) != STATUS_OK ||
        (st = get_size(object, "max_position_embeddings", &c->n_positions, where, err)) != STATUS_OK ||
        (st = get_size(object, "hidden_size", &c->n_embd, where, err)) != STATUS_OK ||
        (st = get_size(object, "intermediate_size", &c->n_inner, where, err)) != STATUS_OK ||
        (st = get_size(object, "num_hidden_layers", &c->n_layer, where, err)) != STATUS_OK ||
        (st = get_size(object, "num_attention_heads", &c->n_head, where, err)) != STATUS_OK ||
        (st = get_size(object, "num_key_value_heads", &c->n_kv_head, where, err)) != STATUS_OK ||
        (st = get_size(object, "head_dim", &c->head_dim, where, err)) != STATUS_OK ||
        (st = get_float(object, "rms_norm_eps", &c->norm_epsilon, where, err)) != STATUS_OK ||
        (st = get_float(object, "attention_dropout", &c->attn_pdrop, where, err)) != STATUS_OK ||
        (st = json_get_bool(object, "tie_word_embeddings", false, &c->tied, where, err)) != STATUS_OK)
        return st;
    if (c->n_layer > MODEL_LAYERS_MAX)
        return error_set(err, STATUS_CONFIG, "%s: \"num_hidden_layers\" is %zu, beyond %d", where, c->n_layer,
                         (int)MODEL_LAYERS_MAX);
    if (c->head_dim == 0 && c->n_head && c->n_embd % c->n_head)
        return error_set(
            err, STATUS_CONFIG,
            "%s: hidden_size = %zu is not divisible by num_attention_heads = %zu, and there is no head_dim", where,
            c->n_embd, c->n_head);
    model_config_complete(c);
    if (c->family == MODEL_LLAMA || c->family == MODEL_QWEN3 || c->family == MODEL_SMOLLM3) {
        st = json_get_bool(object, "attention_bias", false, &c->qkv_bias, where, err);
        c->out_bias = c->qkv_bias;
    }
    if (st == STATUS_OK && (c->family == MODEL_LLAMA || c->family == MODEL_SMOLLM3))
        st = json_get_bool(object, "mlp_bias", false, &c->mlp_bias, where, err);
    if (st == STATUS_OK && c->family == MODEL_SMOLLM3)
        st = get_no_rope(object, c, where, err);
    if (st == STATUS_OK && c->family != MODEL_LLAMA)
        st = get_window(object, c, where, err);
    return st == STATUS_OK ? get_rope(object, c, where, err) : st;
}

enum status model_config_from_json(const json_t *object, const char *where, struct model_config *out, struct error *err)
{
    enum model_family family = MODEL_GPT2;
    enum status st = get_family(object, &family, where, err);
    if (st != STATUS_OK)
        return st;
    struct model_config config = model_config_of(family);
    st = family == MODEL_GPT2 ? read_gpt2(object, where, &config, err) : read_llama(object, where, &config, err);
    if (st == STATUS_OK)
        st = get_float(object, "initializer_range", &config.initializer_range, where, err);
    if (st == STATUS_OK)
        st = get_tokens(object, &config, where, err);
    if (st != STATUS_OK)
        return st;
    if ((st = model_config_check(&config, err)) != STATUS_OK)
        return error_prefix(err, "%s", where);
    *out = config;
    return STATUS_OK;
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

enum status generation_config_read(const char *path, struct model_config *config, struct error *err)
{
    struct error mine = {0};
    if (!file_exists(path))
        return STATUS_OK;
    json_t *object = json_read_file(path, MAX_CONFIG_BYTES, &mine);
    struct model_config with = *config;
    const json_t *eos = json_object_get(object, "eos_token_id");
    if (object && (!eos || add_eos(eos, &with, path, &mine) == STATUS_OK))
        *config = with;
    json_decref(object);
    if (mine.status != STATUS_OK && err)
        *err = mine;
    return mine.status;
}
