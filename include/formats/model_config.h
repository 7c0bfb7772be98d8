/* SPDX-License-Identifier: MIT
 * formats/model_config.h - what a model is: the content of a Hugging Face config.json.
 *
 * One struct for all families; a family uses the fields it knows.  GPT-2 is the only one so far ("model_type":
 * "gpt2", transformers' configuration_gpt2.py); others are refused by name.
 */
#ifndef FORMATS_MODEL_CONFIG_H
#define FORMATS_MODEL_CONFIG_H

#include "base/buffer.h"
#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

enum model_family { MODEL_GPT2 };

struct model_config {
    enum model_family family;
    size_t vocab_size;  /* V */
    size_t n_positions; /* longest sequence */
    size_t n_embd;      /* C */
    size_t n_layer;     /* L */
    size_t n_head;      /* H; C is a multiple of it */
    size_t n_inner;     /* width of the MLP; 4C */
    float layer_norm_epsilon;
    float initializer_range;
    float embd_pdrop, attn_pdrop, resid_pdrop; /* dropout probabilities */
    int32_t bos_token_id, eos_token_id;        /* -1: none */
};

/* STATUS_CONFIG with one sentence: a size of 0 or absurd (each < 2^31), width not divisible by heads, a probability
 * outside [0,1), an epsilon that is not positive. */
enum status model_config_check(const struct model_config *config, struct error *err);

/* Reads and checks config.json.  Unknown activation, untied head or scaled attention variants we do not do are refused by name. */
enum status model_config_read(const char *path, struct model_config *out, struct error *err);

/* Appends config.json as transformers writes it: sorted keys, indent 2. */
enum status model_config_json(const struct model_config *config, struct buffer *out, struct error *err);
enum status generation_config_json(const struct model_config *config, struct buffer *out, struct error *err);

#endif
