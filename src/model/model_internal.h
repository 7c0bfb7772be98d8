/* SPDX-License-Identifier: MIT */
#ifndef MODEL_MODEL_INTERNAL_H
#define MODEL_MODEL_INTERNAL_H

#include "base/arena.h"
#include "model/model.h"

struct model {
    struct model_config config;
    struct param *params;
    size_t num_params;
    size_t size; /* floats */
    float *data; /* [size] in memory */
    struct arena memory;
};

size_t gpt2_num_params(const struct model_config *config);

#endif
