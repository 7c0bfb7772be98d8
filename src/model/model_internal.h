/* SPDX-License-Identifier: MIT */
#ifndef MODEL_MODEL_INTERNAL_H
#define MODEL_MODEL_INTERNAL_H

#include "base/arena.h"
#include "formats/tensor_type.h"
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

/* model_new for a file that holds so many elements: a configuration that wants far more is refused before memory is asked
 * for.  STATUS_FORMAT with `where`. */
struct model *model_new_within(const struct model_config *config, uint64_t elements, const char *where, struct error *err);

/* model_load; *most: the type of most of the weights. */
struct model *model_load_typed(const char *directory, enum tensor_type *most, struct error *err);

#endif
