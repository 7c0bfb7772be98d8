/* SPDX-License-Identifier: MIT
 * model.c - the list of parameters of a family, and their initial values.
 */
#include "model/model.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/rng.h"
#include "model_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ALIGN = 16 }; /* floats: a cache line */

size_t gpt2_num_params(const struct model_config *config)
{
    return 2 + 12 * config->n_layer + 2;
}

static void add_param(struct param *p, size_t *n, size_t *offset, const char *name, size_t rows, size_t cols,
                      float init_std, float init_value)
{
    struct param one = {.rank = cols ? 2 : 1, .shape = {rows, cols}, .offset = *offset, .init_std = init_std};
    snprintf(one.name, sizeof one.name, "%s", name);
    one.count = rows * (cols ? cols : 1);
    one.decay = one.rank == 2;
    one.init_value = init_value;
    if (p)
        p[*n] = one;
    ++*n;
    *offset += (one.count + ALIGN - 1) / ALIGN * ALIGN;
}

/* Fills p (when not NULL) and returns the length of the run in floats. */
static size_t gpt2_params(const struct model_config *c, struct param *p)
{
    const size_t C = c->n_embd, F = c->n_inner;
    const float std = c->initializer_range, residual = (float)(std / sqrt(2.0 * (double)c->n_layer));
    size_t n = 0, offset = 0;
    char name[48];
    add_param(p, &n, &offset, "wte.weight", c->vocab_size, C, std, 0);
    add_param(p, &n, &offset, "wpe.weight", c->n_positions, C, std, 0);
    for (size_t l = 0; l < c->n_layer; l++) {
        const struct {
            const char *name;
            size_t rows, cols;
            float std, value;
        } layer[12] = {
            {"ln_1.weight", C, 0, 0, 1},
            {"ln_1.bias", C, 0, 0, 0},
            {"attn.c_attn.weight", C, 3 * C, std, 0},
            {"attn.c_attn.bias", 3 * C, 0, 0, 0},
            {"attn.c_proj.weight", C, C, residual, 0},
            {"attn.c_proj.bias", C, 0, 0, 0},
            {"ln_2.weight", C, 0, 0, 1},
            {"ln_2.bias", C, 0, 0, 0},
            {"mlp.c_fc.weight", C, F, std, 0},
            {"mlp.c_fc.bias", F, 0, 0, 0},
            {"mlp.c_proj.weight", F, C, residual, 0},
            {"mlp.c_proj.bias", C, 0, 0, 0},
        };
        for (size_t i = 0; i < 12; i++) {
            snprintf(name, sizeof name, "h.%zu.%s", l, layer[i].name);
            add_param(p, &n, &offset, name, layer[i].rows, layer[i].cols, layer[i].std, layer[i].value);
        }
    }
    add_param(p, &n, &offset, "ln_f.weight", C, 0, 0, 1);
    add_param(p, &n, &offset, "ln_f.bias", C, 0, 0, 0);
    CHECK(n == gpt2_num_params(c));
    return offset;
}

size_t model_config_size(const struct model_config *config)
{
    return gpt2_params(config, NULL);
}

uint64_t model_config_num_parameters(const struct model_config *c)
{
    const uint64_t C = c->n_embd, F = c->n_inner;
    return (c->vocab_size + c->n_positions) * C + c->n_layer * (4 * C * C + 2 * C * F + 9 * C + F) + 2 * C;
}

struct model *model_new(const struct model_config *config, struct error *err)
{
    if (model_config_check(config, err) != STATUS_OK)
        return NULL;
    struct model *model = mem_calloc(1, sizeof *model);
    if (model)
        model->params = mem_calloc(gpt2_num_params(config), sizeof *model->params);
    if (!model || !model->params) {
        model_free(model);
        error_set(err, STATUS_NOMEM, "out of memory for the list of parameters");
        return NULL;
    }
    model->config = *config;
    model->num_params = gpt2_num_params(config);
    model->size = gpt2_params(config, model->params);
    if (arena_init(&model->memory, arena_piece_bytes(model->size * sizeof(float)), err) != STATUS_OK) {
        model_free(model);
        return NULL;
    }
    model->data = arena_alloc(&model->memory, model->size * sizeof(float));
    return model;
}

void model_free(struct model *model)
{
    if (!model)
        return;
    arena_release(&model->memory);
    mem_free(model->params);
    mem_free(model);
}

const struct model_config *model_config(const struct model *model)
{
    return &model->config;
}

const struct param *model_params(const struct model *model, size_t *num_params)
{
    *num_params = model->num_params;
    return model->params;
}

float *model_data(struct model *model)
{
    return model->data;
}

const float *model_data_const(const struct model *model)
{
    return model->data;
}

size_t model_size(const struct model *model)
{
    return model->size;
}

uint64_t model_num_parameters(const struct model *model)
{
    return model_config_num_parameters(&model->config);
}

void model_init_weights(struct model *model, uint64_t seed)
{
    memset(model->data, 0, model->size * sizeof(float));
    for (size_t i = 0; i < model->num_params; i++) {
        const struct param *p = &model->params[i];
        const uint64_t key = rng_key(seed, RNG_INIT, i, 0);
        float *x = model->data + p->offset;
        for (size_t j = 0; j < p->count; j++)
            x[j] = p->init_std > 0 ? (float)(rng_normal(key, j) * p->init_std) : p->init_value;
    }
}
