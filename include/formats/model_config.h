/* SPDX-License-Identifier: MIT
 * formats/model_config.h - what a model is: the content of a Hugging Face config.json.
 *
 * One struct for all families: a decoder is described by these properties, and by nothing that asks for the family's
 * name.  The family only says which keys config.json has, what the tensors are called and what the defaults are.
 */
#ifndef FORMATS_MODEL_CONFIG_H
#define FORMATS_MODEL_CONFIG_H

#include "base/buffer.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum model_family { MODEL_GPT2, MODEL_LLAMA, MODEL_MISTRAL, MODEL_QWEN2, MODEL_QWEN3, MODEL_SMOLLM3 };
enum model_norm { NORM_LAYER, NORM_RMS };
enum model_mlp { MLP_GELU, MLP_SWIGLU };
enum rope_scaling { ROPE_NONE, ROPE_DEFAULT, ROPE_LINEAR, ROPE_LLAMA3 }; /* NONE: learned positions */

enum { MODEL_LAYERS_MAX = 1024, MODEL_EOS_MAX = 8 };
enum { LAYER_NO_ROPE = 1, LAYER_WINDOW = 2 }; /* bits of layer_kind */

struct model_config {
    enum model_family family;
    size_t vocab_size;  /* V */
    size_t n_positions; /* longest sequence */
    size_t n_embd;      /* C */
    size_t n_layer;     /* L */
    size_t n_head;      /* H */
    size_t n_kv_head;   /* heads of keys and values; H is a multiple of it */
    size_t head_dim;    /* D; H D need not be C */
    size_t n_inner;     /* F, width of the MLP */
    enum model_norm norm;
    enum model_mlp mlp;
    bool qkv_bias, out_bias, mlp_bias; /* biases on q k v, on the projection behind attention, in the MLP */
    bool qk_norm;                      /* RMSNorm over each head of q and k, before RoPE */
    bool tied;                         /* the head is the embedding */
    enum rope_scaling rope;
    float rope_theta, rope_factor, rope_low_freq_factor, rope_high_freq_factor; /* the last two and the next: LLAMA3 */
    size_t rope_original_positions;
    size_t window;                         /* keys a query of a LAYER_WINDOW layer sees, itself included; 0: none */
    uint8_t layer_kind[MODEL_LAYERS_MAX];  /* LAYER_… bits */
    float norm_epsilon;
    float initializer_range;
    float embd_pdrop, attn_pdrop, resid_pdrop; /* dropout probabilities */
    int32_t bos_token_id, pad_token_id;        /* -1: none */
    int32_t eos_token_ids[MODEL_EOS_MAX];      /* num_eos of them */
    size_t num_eos;
};

struct json_t; /* jansson's */

/* What the family always has or has by default: norm, MLP, biases, kind of positions, epsilon; no token ids.  The sizes
 * are 0, to be set by the caller. */
struct model_config model_config_of(enum model_family family);

/* Fills in the sizes that are 0 and follow from others: n_kv_head = n_head, head_dim = n_embd / n_head, GPT-2's n_inner
 * = 4 n_embd. */
void model_config_complete(struct model_config *config);

/* One token begins and ends a text; -1: none does. */
void model_config_set_end_of_text(struct model_config *config, int32_t id);

/* Whether this token ends a text. */
bool model_config_is_eos(const struct model_config *config, int32_t id);

/* "gpt2": config.json's model_type. */
const char *model_family_name(enum model_family family);

/* Appends the shape in words: "llama, 4 layers, 4 heads (2 of keys and values), 128 wide, context 64". */
void model_config_describe(const struct model_config *config, struct buffer *out);

/* STATUS_CONFIG with one sentence: a size of 0 or absurd (each < 2^31), heads that do not go up, a probability outside
 * [0,1), an epsilon that is not positive, something that a model of this family does not have. */
enum status model_config_check(const struct model_config *config, struct error *err);

/* The same from an object that was read already; `where` stands for the file in messages. */
enum status model_config_from_json(const struct json_t *object, const char *where, struct model_config *out,
                                   struct error *err);

/* config.json as an object; a new reference, NULL when memory is out. */
struct json_t *model_config_object(const struct model_config *config);

/* Reads and checks config.json, in the keys of transformers 4 or 5.  What we do not do and what would change the numbers
 * (another activation, scaling of positions or kind of attention, quantization) is refused by name. */
enum status model_config_read(const char *path, struct model_config *out, struct error *err);

/* Adds the tokens that end a text of a generation_config.json; a file that is not there adds none. */
enum status generation_config_read(const char *path, struct model_config *config, struct error *err);

/* Appends config.json as transformers writes it: sorted keys, indent 2; in the keys of both transformers 4 and 5. */
enum status model_config_json(const struct model_config *config, struct buffer *out, struct error *err);
enum status generation_config_json(const struct model_config *config, struct buffer *out, struct error *err);

#endif
