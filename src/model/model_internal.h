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

/* Whether matrices are stored [out,in]; else [in,out]. */
bool model_matrices_out_in(const struct model_config *config);

#endif
