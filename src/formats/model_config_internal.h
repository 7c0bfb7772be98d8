/* SPDX-License-Identifier: MIT */
#ifndef FORMATS_MODEL_CONFIG_INTERNAL_H
#define FORMATS_MODEL_CONFIG_INTERNAL_H

#include "formats/model_config.h"

enum { MAX_CONFIG_BYTES = 1 << 20, MAX_SIZE = INT32_MAX, MODEL_FAMILIES = MODEL_SMOLLM3 + 1 };

/* What transformers takes where config.json is silent (its configuration_*.py), and what it calls the model. */
struct family {
    const char *model_type, *architecture;
    size_t vocab_size, n_positions, n_embd, n_inner, n_layer, n_head, n_kv_head, head_dim; /* 0: follows from others */
    size_t window;
    int32_t bos, eos, pad; /* -1: none */
};
extern const struct family model_families[MODEL_FAMILIES];

#endif
