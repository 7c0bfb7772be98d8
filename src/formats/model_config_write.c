/* SPDX-License-Identifier: MIT
 * formats/model_config_write.c - config.json and generation_config.json as transformers writes them.
 */
#include "formats/json.h"
#include "model_config_internal.h"

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

json_t *model_config_object(const struct model_config *config)
{
    json_t *inner = config->n_inner == 4 * config->n_embd ? json_null() : json_integer((json_int_t)config->n_inner);
    /* n_ctx: llama.cpp's converter wants it.  dtype: what transformers 5 calls torch_dtype. */
    return json_pack(
        "{s:[s], s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:b, s:b,"
        " s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "architectures", "GPT2LMHeadModel", "model_type", "gpt2", "activation_function", "gelu_new", "torch_dtype",
        "float32", "dtype", "float32", "tie_word_embeddings", 1, "use_cache", 1, "scale_attn_weights", 1,
        "scale_attn_by_inverse_layer_idx", 0, "reorder_and_upcast_attn", 0, "add_cross_attention", 0, "vocab_size",
        (json_int_t)config->vocab_size, "n_positions", (json_int_t)config->n_positions, "n_ctx",
        (json_int_t)config->n_positions, "n_embd", (json_int_t)config->n_embd, "n_layer", (json_int_t)config->n_layer,
        "n_head", (json_int_t)config->n_head, "n_inner", inner, "layer_norm_epsilon",
        json_real_from_float(config->norm_epsilon), "initializer_range",
        json_real_from_float(config->initializer_range), "embd_pdrop", json_real_from_float(config->embd_pdrop),
        "attn_pdrop", json_real_from_float(config->attn_pdrop), "resid_pdrop",
        json_real_from_float(config->resid_pdrop), "bos_token_id", token_or_null(config->bos_token_id), "eos_token_id",
        token_or_null(config->num_eos ? config->eos_token_ids[0] : -1));
}

enum status model_config_json(const struct model_config *config, struct buffer *out, struct error *err)
{
    return write_and_free(model_config_object(config), out, err);
}

enum status generation_config_json(const struct model_config *config, struct buffer *out, struct error *err)
{
    /* "*": an absent id is left out, for null would override transformers' own. */
    return write_and_free(json_pack("{s:b, s:o*, s:o*}", "_from_model_config", 1, "bos_token_id",
                                    config->bos_token_id < 0 ? NULL : json_integer(config->bos_token_id),
                                    "eos_token_id",
                                    config->num_eos == 0 ? NULL : json_integer(config->eos_token_ids[0])),
                          out, err);
}
