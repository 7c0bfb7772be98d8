/* SPDX-License-Identifier: MIT
 * model/model.h - a model's parameters: what there is, where it lies, how it starts, how it is stored.
 *
 * All parameters are one run of floats in canonical layout (Hugging Face's shapes, row-major), each tensor on a
 * cache line; gradients and moments are runs of the same layout.  Sums and hashes go in the order of this list.
 * GPT-2's matrices are [in,out] and its names lack "transformer."; all others' are [out,in].
 */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "base/status.h"
#include "formats/model_config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a parameter is to the decoder, whatever its family calls it. */
enum param_role {
    PARAM_EMBEDDING, PARAM_POSITIONS,
    PARAM_NORM1_W, PARAM_NORM1_B,                    /* before attention */
    PARAM_QKV_W, PARAM_QKV_B,                        /* q, k and v in one matrix (GPT-2) … */
    PARAM_Q_W, PARAM_Q_B, PARAM_K_W, PARAM_K_B, PARAM_V_W, PARAM_V_B, /* … or in three */
    PARAM_Q_NORM, PARAM_K_NORM,                      /* of each head */
    PARAM_PROJ_W, PARAM_PROJ_B,                      /* behind attention */
    PARAM_NORM2_W, PARAM_NORM2_B,                    /* before the MLP */
    PARAM_GATE_W, PARAM_GATE_B, PARAM_UP_W, PARAM_UP_B, PARAM_DOWN_W, PARAM_DOWN_B,
    PARAM_NORMF_W, PARAM_NORMF_B,                    /* the last norm */
    PARAM_HEAD,                                      /* where it is not the embedding */
    PARAM_ROLES
};

struct param {
    char name[64];   /* "h.3.attn.c_attn.weight", "model.layers.3.mlp.up_proj.weight": transformers' names */
    enum param_role role;
    size_t layer;    /* 0 where the parameter is not a layer's */
    size_t rank, shape[2];
    size_t offset;   /* first element, in floats; a multiple of 16 */
    size_t count;    /* elements */
    bool decay;      /* weight decay applies (matrices and embeddings; not biases and norms) */
    float init_std;  /* 0: constant init_value */
    float init_value;
};

struct model;
struct pool;

/* Parameters zero.  STATUS_NOMEM with the size. */
struct model *model_new(const struct model_config *config, struct error *err);
void model_free(struct model *model);

const struct model_config *model_config(const struct model *model);
const struct param *model_params(const struct model *model, size_t *num_params);
float *model_data(struct model *model);             /* [model_size] */
const float *model_data_const(const struct model *model);

/* Floats in the run, padding included, and parameters without it. */
size_t model_size(const struct model *model);
uint64_t model_num_parameters(const struct model *model);
size_t model_config_size(const struct model_config *config);              /* the same before there is a model */
uint64_t model_config_num_parameters(const struct model_config *config);

/* Calls fn with each parameter such a model would have, in order; the parameter is borrowed for the call. */
typedef void param_fn(void *ctx, const struct param *param);
void model_config_each_param(const struct model_config *config, param_fn *fn, void *ctx);

/* As transformers begins: normal(0, initializer_range), biases 0, norms 1; in GPT-2 the residual projections divided by
 * sqrt(2 L).  The values are a function of the seed alone; `pool` does the work, NULL is the caller alone.  STATUS_OK, or
 * what parallel_for says of a pool that was stopped. */
enum status model_init_weights(struct model *model, uint64_t seed, struct pool *pool);

/* Reads config.json and model.safetensors of a directory; every parameter must be there in its shape, F32. */
struct model *model_load(const char *directory, struct error *err);

/* The weights alone, into a model that is there: those of a directory whose config.json has its shapes.  What was read before a
 * failure is in the model. */
enum status model_load_into(struct model *model, const char *directory, struct error *err);

/* Writes config.json, generation_config.json and model.safetensors into an existing directory.  For each file
 * written `wrote` is called (may be NULL) with its name, size and crc32. */
typedef void file_written_fn(void *ctx, const char *name, uint64_t size_bytes, uint32_t crc32);
enum status model_save(const struct model *model, const char *directory, file_written_fn *wrote, void *ctx,
                       struct error *err);

/* A safetensors file of other runs in this model's layout (moments): names are prefix + parameter name. */
struct model_run {
    const char *prefix;
    float *data; /* [model_size] */
};
enum status model_save_runs(const struct model *model, const char *path, const struct model_run *runs, size_t n,
                            uint64_t *size_bytes, uint32_t *crc32, struct error *err);
enum status model_load_runs(const struct model *model, const char *path, struct model_run *runs, size_t n,
                            struct error *err);

#endif
