/* SPDX-License-Identifier: MIT
 * formats/model_config_write.c - config.json and generation_config.json as transformers writes them.
 *
 * What changed its key between versions 4 and 5 of transformers stands there under both, for old readers take their
 * defaults where they miss theirs: torch_dtype and dtype, rope_theta with rope_scaling and rope_parameters.
 */
#include "formats/json.h"
#include "model_config_internal.h"

static json_t *token_or_null(int32_t id)
{
    return id < 0 ? json_null() : json_integer(id);
}

/* Null, a number, or a list. */
static json_t *eos_tokens(const struct model_config *c)
{
    if (c->num_eos <= 1)
        return token_or_null(c->num_eos ? c->eos_token_ids[0] : -1);
    json_t *list = json_array();
    int failed = 0;
    for (size_t i = 0; i < c->num_eos; i++)
        failed |= json_array_append_new(list, json_integer(c->eos_token_ids[i]));
    if (!failed)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *size_value(size_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *gpt2_object(const struct model_config *c)
{
    json_t *inner = c->n_inner == 4 * c->n_embd ? json_null() : size_value(c->n_inner);
    /* n_ctx: llama.cpp's converter wants it */
    return json_pack("{s:s, s:b, s:b, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                     "activation_function", "gelu_new", "scale_attn_weights", 1, "scale_attn_by_inverse_layer_idx", 0,
                     "reorder_and_upcast_attn", 0, "add_cross_attention", 0, "vocab_size", size_value(c->vocab_size),
                     "n_positions", size_value(c->n_positions), "n_ctx", size_value(c->n_positions), "n_embd",
                     size_value(c->n_embd), "n_layer", size_value(c->n_layer), "n_head", size_value(c->n_head),
                     "n_inner", inner, "layer_norm_epsilon", json_real_from_float(c->norm_epsilon), "embd_pdrop",
                     json_real_from_float(c->embd_pdrop), "attn_pdrop", json_real_from_float(c->attn_pdrop),
                     "resid_pdrop", json_real_from_float(c->resid_pdrop));
}

/* What both forms say of the positions, theta apart. */
static json_t *rope_object(const struct model_config *c)
{
    if (c->rope == ROPE_DEFAULT)
        return json_pack("{s:s}", "rope_type", "default");
    if (c->rope == ROPE_LINEAR)
        return json_pack("{s:s, s:o}", "rope_type", "linear", "factor", json_real_from_float(c->rope_factor));
    return json_pack("{s:s, s:o, s:o, s:o, s:o}", "rope_type", "llama3", "factor", json_real_from_float(c->rope_factor),
                     "low_freq_factor", json_real_from_float(c->rope_low_freq_factor), "high_freq_factor",
                     json_real_from_float(c->rope_high_freq_factor), "original_max_position_embeddings",
                     size_value(c->rope_original_positions));
}

static int set_rope(json_t *object, const struct model_config *c)
{
    json_t *parameters = rope_object(c);
    int failed = json_object_set_new(object, "rope_theta", json_real_from_float(c->rope_theta));
    failed |= json_object_set_new(object, "rope_scaling", c->rope == ROPE_DEFAULT ? json_null() : rope_object(c));
    failed |= json_object_set_new(parameters, "rope_theta", json_real_from_float(c->rope_theta));
    return failed | json_object_set_new(object, "rope_parameters", parameters);
}

static int set_layers(json_t *object, const struct model_config *c)
{
    json_t *types = json_array(), *rotate = json_array();
    size_t first = c->n_layer; /* of the layers with a window */
    int failed = 0;
    for (size_t l = 0; l < c->n_layer; l++) {
        const bool window = c->layer_kind[l] & LAYER_WINDOW;
        first = window && l < first ? l : first;
        failed |= json_array_append_new(types, json_string(window ? "sliding_attention" : "full_attention"));
        failed |= json_array_append_new(rotate, json_integer(!(c->layer_kind[l] & LAYER_NO_ROPE)));
    }
    failed |= json_object_set_new(object, "sliding_window", c->window ? size_value(c->window) : json_null());
    if (c->family != MODEL_MISTRAL) {
        failed |= json_object_set_new(object, "use_sliding_window", json_boolean(c->window));
        failed |= json_object_set(object, "layer_types", types);
    }
    if (c->family == MODEL_QWEN2 || c->family == MODEL_QWEN3)
        failed |= json_object_set_new(object, "max_window_layers", size_value(first));
    if (c->family == MODEL_SMOLLM3)
        failed |= json_object_set(object, "no_rope_layers", rotate);
    json_decref(types);
    json_decref(rotate);
    return failed;
}

static json_t *llama_object(const struct model_config *c)
{
    json_t *object =
        json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "hidden_act", "silu", "vocab_size",
                  size_value(c->vocab_size), "max_position_embeddings", size_value(c->n_positions), "hidden_size",
                  size_value(c->n_embd), "intermediate_size", size_value(c->n_inner), "num_hidden_layers",
                  size_value(c->n_layer), "num_attention_heads", size_value(c->n_head), "num_key_value_heads",
                  size_value(c->n_kv_head), "head_dim", size_value(c->head_dim), "rms_norm_eps",
                  json_real_from_float(c->norm_epsilon), "attention_dropout", json_real_from_float(c->attn_pdrop));
    int failed = !object || set_rope(object, c);
    if (c->family == MODEL_LLAMA || c->family == MODEL_QWEN3 || c->family == MODEL_SMOLLM3)
        failed |= json_object_set_new(object, "attention_bias", json_boolean(c->qkv_bias));
    if (c->family == MODEL_LLAMA || c->family == MODEL_SMOLLM3)
        failed |= json_object_set_new(object, "mlp_bias", json_boolean(c->mlp_bias));
    if (c->family != MODEL_LLAMA)
        failed |= set_layers(object, c);
    if (!failed)
        return object;
    json_decref(object);
    return NULL;
}

json_t *model_config_object(const struct model_config *c)
{
    json_t *object = c->family == MODEL_GPT2 ? gpt2_object(c) : llama_object(c);
    json_t *common = json_pack(
        "{s:[s], s:s, s:s, s:s, s:b, s:b, s:o, s:o, s:o, s:o}", "architectures", model_families[c->family].architecture,
        "model_type", model_family_name(c->family), "torch_dtype", "float32", "dtype", "float32", "tie_word_embeddings",
        c->tied, "use_cache", 1, "initializer_range", json_real_from_float(c->initializer_range), "bos_token_id",
        token_or_null(c->bos_token_id), "eos_token_id", eos_tokens(c), "pad_token_id", token_or_null(c->pad_token_id));
    if (json_object_update(object, common) != 0) { /* also when one of them is NULL */
        json_decref(object);
        object = NULL;
    }
    json_decref(common);
    return object;
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
    return write_and_free(model_config_object(config), out, err);
}

enum status generation_config_json(const struct model_config *config, struct buffer *out, struct error *err)
{
    /* "*": an absent id is left out, for null would override transformers' own. */
    return write_and_free(json_pack("{s:b, s:o*, s:o*, s:o*}", "_from_model_config", 1, "bos_token_id",
                                    config->bos_token_id < 0 ? NULL : json_integer(config->bos_token_id),
                                    "eos_token_id", config->num_eos == 0 ? NULL : eos_tokens(config), "pad_token_id",
                                    config->pad_token_id < 0 ? NULL : json_integer(config->pad_token_id)),
                          out, err);
}
