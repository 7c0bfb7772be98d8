/* SPDX-License-Identifier: MIT
 * model.c - the list of parameters of a family, and their initial values.
 */
#include "model/model.h"

#include "base/memory.h"
#include "base/rng.h"
#include "model_internal.h"
#include "ops/normals.h"
#include "runtime/parallel.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ALIGN = 16 }; /* floats: a cache line */

/* In the order of the run; NULL: the family does not have it. */
static const struct {
    enum param_role role;
    const char *gpt2, *llama;
} before[] = {{PARAM_EMBEDDING, "wte.weight", "model.embed_tokens.weight"}, {PARAM_POSITIONS, "wpe.weight", NULL}},
  in_layer[] = {{PARAM_NORM1_W, "ln_1.weight", "input_layernorm.weight"},
                {PARAM_NORM1_B, "ln_1.bias", NULL},
                {PARAM_QKV_W, "attn.c_attn.weight", NULL},
                {PARAM_QKV_B, "attn.c_attn.bias", NULL},
                {PARAM_Q_W, NULL, "self_attn.q_proj.weight"},
                {PARAM_Q_B, NULL, "self_attn.q_proj.bias"},
                {PARAM_K_W, NULL, "self_attn.k_proj.weight"},
                {PARAM_K_B, NULL, "self_attn.k_proj.bias"},
                {PARAM_V_W, NULL, "self_attn.v_proj.weight"},
                {PARAM_V_B, NULL, "self_attn.v_proj.bias"},
                {PARAM_Q_NORM, NULL, "self_attn.q_norm.weight"},
                {PARAM_K_NORM, NULL, "self_attn.k_norm.weight"},
                {PARAM_PROJ_W, "attn.c_proj.weight", "self_attn.o_proj.weight"},
                {PARAM_PROJ_B, "attn.c_proj.bias", "self_attn.o_proj.bias"},
                {PARAM_NORM2_W, "ln_2.weight", "post_attention_layernorm.weight"},
                {PARAM_NORM2_B, "ln_2.bias", NULL},
                {PARAM_GATE_W, NULL, "mlp.gate_proj.weight"},
                {PARAM_GATE_B, NULL, "mlp.gate_proj.bias"},
                {PARAM_UP_W, "mlp.c_fc.weight", "mlp.up_proj.weight"},
                {PARAM_UP_B, "mlp.c_fc.bias", "mlp.up_proj.bias"},
                {PARAM_DOWN_W, "mlp.c_proj.weight", "mlp.down_proj.weight"},
                {PARAM_DOWN_B, "mlp.c_proj.bias", "mlp.down_proj.bias"}},
  behind[] = {{PARAM_NORMF_W, "ln_f.weight", "model.norm.weight"},
              {PARAM_NORMF_B, "ln_f.bias", NULL},
              {PARAM_HEAD, NULL, "lm_head.weight"}};
enum { IN_LAYER = sizeof in_layer / sizeof *in_layer };

bool model_matrices_out_in(const struct model_config *c)
{
    return c->family != MODEL_GPT2;
}

static bool has_param(const struct model_config *c, enum param_role role)
{
    switch (role) {
    case PARAM_Q_B:
    case PARAM_K_B:
    case PARAM_V_B:
        return c->qkv_bias;
    case PARAM_Q_NORM:
    case PARAM_K_NORM:
        return c->qk_norm;
    case PARAM_PROJ_B:
        return c->out_bias;
    case PARAM_GATE_B:
    case PARAM_UP_B:
    case PARAM_DOWN_B:
        return c->mlp_bias;
    case PARAM_HEAD:
        return !c->tied;
    default:
        return true;
    }
}

/* in and out of a matrix; out 0 for a vector. */
static void param_size(const struct model_config *c, enum param_role role, size_t *in, size_t *out)
{
    const size_t C = c->n_embd, F = c->n_inner, q = c->n_head * c->head_dim, kv = c->n_kv_head * c->head_dim;
    const size_t sizes[PARAM_ROLES][2] = {
        [PARAM_EMBEDDING] = {c->vocab_size, C},
        [PARAM_POSITIONS] = {c->n_positions, C},
        [PARAM_NORM1_W] = {C, 0},
        [PARAM_NORM1_B] = {C, 0},
        [PARAM_QKV_W] = {C, q + 2 * kv},
        [PARAM_QKV_B] = {q + 2 * kv, 0},
        [PARAM_Q_W] = {C, q},
        [PARAM_Q_B] = {q, 0},
        [PARAM_K_W] = {C, kv},
        [PARAM_K_B] = {kv, 0},
        [PARAM_V_W] = {C, kv},
        [PARAM_V_B] = {kv, 0},
        [PARAM_Q_NORM] = {c->head_dim, 0},
        [PARAM_K_NORM] = {c->head_dim, 0},
        [PARAM_PROJ_W] = {q, C},
        [PARAM_PROJ_B] = {C, 0},
        [PARAM_NORM2_W] = {C, 0},
        [PARAM_NORM2_B] = {C, 0},
        [PARAM_GATE_W] = {C, F},
        [PARAM_GATE_B] = {F, 0},
        [PARAM_UP_W] = {C, F},
        [PARAM_UP_B] = {F, 0},
        [PARAM_DOWN_W] = {F, C},
        [PARAM_DOWN_B] = {C, 0},
        [PARAM_NORMF_W] = {C, 0},
        [PARAM_NORMF_B] = {C, 0},
        [PARAM_HEAD] = {C, c->vocab_size},
    };
    *in = sizes[role][0];
    *out = sizes[role][1];
}

static bool is_norm_weight(enum param_role role)
{
    return role == PARAM_NORM1_W || role == PARAM_NORM2_W || role == PARAM_NORMF_W || role == PARAM_Q_NORM ||
           role == PARAM_K_NORM;
}

/* The list as it grows; params NULL: only counted.  Each is shown to `fn` unless that is NULL. */
struct list {
    const struct model_config *config;
    struct param *params;
    param_fn *fn;
    void *ctx;
    size_t n, offset;
    uint64_t elements;
    bool too_long; /* for a size_t of bytes */
};

static void add_param(struct list *l, enum param_role role, size_t layer, const char *prefix, const char *name)
{
    const struct model_config *c = l->config;
    if (!name || !has_param(c, role))
        return;
    struct param p = {.role = role, .layer = layer, .offset = l->offset};
    size_t in, out, bytes;
    param_size(c, role, &in, &out);
    const bool swap = out && model_matrices_out_in(c) && role != PARAM_EMBEDDING;
    snprintf(p.name, sizeof p.name, "%s%s", prefix, name);
    p.rank = out ? 2 : 1;
    p.shape[0] = swap ? out : in;
    p.shape[1] = swap ? in : out;
    p.count = in * (out ? out : 1); /* each below 2^31 */
    p.decay = p.rank == 2;
    p.init_value = is_norm_weight(role) ? 1 : 0;
    if (p.rank == 2)
        p.init_std = c->initializer_range;
    if (c->family == MODEL_GPT2 && (role == PARAM_PROJ_W || role == PARAM_DOWN_W))
        p.init_std = (float)(c->initializer_range / sqrt(2.0 * (double)c->n_layer));
    if (l->params)
        l->params[l->n] = p;
    if (l->fn)
        l->fn(l->ctx, &p);
    l->n++;
    l->elements += p.count;
    if (!size_add(l->offset, (p.count + ALIGN - 1) / ALIGN * ALIGN, &l->offset) ||
        !size_mul(l->offset, 2 * sizeof(float), &bytes)) /* twice: rounding up to pages has room then */
        l->too_long = true;
}

static struct list list_and_show(const struct model_config *c, struct param *params, param_fn *fn, void *ctx)
{
    struct list l = {.config = c, .params = params, .fn = fn, .ctx = ctx};
    const bool gpt2 = c->family == MODEL_GPT2;
    for (size_t i = 0; i < sizeof before / sizeof *before; i++)
        add_param(&l, before[i].role, 0, "", gpt2 ? before[i].gpt2 : before[i].llama);
    for (size_t layer = 0; layer < c->n_layer; layer++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, gpt2 ? "h.%zu." : "model.layers.%zu.", layer);
        for (size_t i = 0; i < IN_LAYER; i++)
            add_param(&l, in_layer[i].role, layer, prefix, gpt2 ? in_layer[i].gpt2 : in_layer[i].llama);
    }
    for (size_t i = 0; i < sizeof behind / sizeof *behind; i++)
        add_param(&l, behind[i].role, 0, "", gpt2 ? behind[i].gpt2 : behind[i].llama);
    return l;
}

static struct list list_params(const struct model_config *c, struct param *params)
{
    return list_and_show(c, params, NULL, NULL);
}

void model_config_each_param(const struct model_config *config, param_fn *fn, void *ctx)
{
    list_and_show(config, NULL, fn, ctx);
}

size_t model_config_size(const struct model_config *config)
{
    return list_params(config, NULL).offset;
}

uint64_t model_config_num_parameters(const struct model_config *config)
{
    return list_params(config, NULL).elements;
}

struct model *model_new(const struct model_config *config, struct error *err)
{
    if (model_config_check(config, err) != STATUS_OK)
        return NULL;
    const struct list list = list_params(config, NULL);
    if (list.too_long) {
        error_set(err, STATUS_CONFIG, "a model of %zu layers, %zu wide, with %zu tokens is beyond what sizes can count",
                  config->n_layer, config->n_embd, config->vocab_size);
        return NULL;
    }
    struct model *model = mem_calloc(1, sizeof *model);
    if (model)
        model->params = mem_calloc(list.n, sizeof *model->params);
    if (!model || !model->params) {
        model_free(model);
        error_set(err, STATUS_NOMEM, "out of memory for the list of parameters");
        return NULL;
    }
    model->config = *config;
    model->num_params = list.n;
    model->size = list_params(config, model->params).offset;
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

struct init {
    float *x;
    const struct param *param;
    uint64_t key;
};

static enum status init_part(size_t begin, size_t end, void *arg)
{
    const struct init *init = arg;
    const struct param *p = init->param;
    if (p->init_std > 0)
        normals(init->x + begin, init->key, begin, end - begin, p->init_std);
    else
        for (size_t j = begin; j < end; j++)
            init->x[j] = p->init_value;
    return STATUS_OK;
}

enum status model_init_weights(struct model *model, uint64_t seed, struct pool *pool)
{
    const struct parallel_options options = {.min_chunk = 1024, .element_bytes = sizeof(float)};
    enum status status = STATUS_OK;
    for (size_t i = 0; status == STATUS_OK && i < model->num_params; i++) {
        const struct param *p = &model->params[i];
        struct init init = {model->data + p->offset, p, rng_key(seed, RNG_INIT, i, 0)};
        status = parallel_for(pool, p->count, &options, init_part, &init);
    }
    return status;
}
