/* SPDX-License-Identifier: MIT
 * test_model.c - the list of parameters of each family, their first values, and a directory there and back.
 */
#include "model/model.h"

#include "formats/safetensors.h"
#include "runtime/pool.h"
#include "scratch.h"

#include <math.h>

static struct error err;

static struct model_config tiny(enum model_family family)
{
    struct model_config c = model_config_of(family);
    c.vocab_size = 31;
    c.n_positions = 16;
    c.n_embd = 12;
    c.n_layer = 2;
    c.n_head = 4;
    c.n_kv_head = family == MODEL_GPT2 ? 4 : 2;
    c.head_dim = family == MODEL_GPT2 ? 3 : 6;
    c.n_inner = family == MODEL_GPT2 ? 48 : 20;
    return c;
}

static struct model *made(const struct model_config *c)
{
    struct model *m = model_new(c, &err);
    ck_assert_msg(m != NULL, "%s", err.text);
    return m;
}

static const struct param *find(const struct model *m, const char *name)
{
    size_t n;
    const struct param *p = model_params(m, &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(p[i].name, name) == 0)
            return &p[i];
    return NULL;
}

static void expect_param(const struct model *m, const char *name, size_t rows, size_t cols, size_t layer)
{
    const struct param *p = find(m, name);
    ck_assert_msg(p != NULL, "there is no %s", name);
    ck_assert_msg(p->shape[0] == rows && p->shape[1] == cols && p->rank == (cols ? 2 : 1), "%s: [%zu,%zu]", name,
                  p->shape[0], p->shape[1]);
    ck_assert(p->layer == layer && p->decay == (cols > 0) && p->offset % 16 == 0);
}

START_TEST(parameters)
{
    struct model_config c = tiny(MODEL_GPT2);
    struct model *m = made(&c);
    size_t n;
    expect_param(m, "h.1.attn.c_attn.weight", 12, 36, 1);
    expect_param(m, "h.0.mlp.c_fc.weight", 12, 48, 0);
    expect_param(m, "wpe.weight", 16, 12, 0);
    expect_param(m, "ln_f.bias", 12, 0, 0);
    ck_assert(model_num_parameters(m) == (31 + 16) * 12 + 2 * (12 * 144 + 13 * 12) + 24);
    model_free(m);

    c = tiny(MODEL_LLAMA);
    m = made(&c);
    expect_param(m, "model.embed_tokens.weight", 31, 12, 0);
    expect_param(m, "model.layers.1.self_attn.q_proj.weight", 24, 12, 1);
    expect_param(m, "model.layers.1.self_attn.k_proj.weight", 12, 12, 1);
    expect_param(m, "model.layers.0.self_attn.o_proj.weight", 12, 24, 0);
    expect_param(m, "model.layers.0.mlp.gate_proj.weight", 20, 12, 0);
    expect_param(m, "model.layers.0.mlp.down_proj.weight", 12, 20, 0);
    expect_param(m, "model.layers.0.post_attention_layernorm.weight", 12, 0, 0);
    expect_param(m, "lm_head.weight", 31, 12, 0);
    ck_assert(!find(m, "model.layers.0.self_attn.q_proj.bias") && !find(m, "model.layers.0.self_attn.q_norm.weight"));
    const uint64_t untied = model_num_parameters(m);
    model_free(m);
    c.tied = c.qkv_bias = c.out_bias = true;
    m = made(&c);
    ck_assert(!find(m, "lm_head.weight") && !find(m, "model.layers.0.mlp.up_proj.bias"));
    expect_param(m, "model.layers.1.self_attn.v_proj.bias", 12, 0, 1);
    ck_assert(model_num_parameters(m) == untied - 31 * 12 + 2 * (24 + 12 + 12 + 12));
    model_free(m);

    c = tiny(MODEL_QWEN3);
    m = made(&c);
    expect_param(m, "model.layers.1.self_attn.k_norm.weight", 6, 0, 1);
    uint64_t elements = 0;
    const struct param *p = model_params(m, &n);
    for (size_t i = 0; i < n; i++) {
        elements += p[i].count;
        ck_assert(i == 0 || p[i].offset >= p[i - 1].offset + p[i - 1].count);
    }
    ck_assert(elements == model_num_parameters(m) && elements == model_config_num_parameters(&c));
    ck_assert(model_size(m) == model_config_size(&c) && model_size(m) >= p[n - 1].offset + p[n - 1].count);
    model_free(m);
}
END_TEST

START_TEST(first_values)
{
    for (enum model_family family = MODEL_GPT2; family <= MODEL_SMOLLM3; family++) {
        struct model_config c = tiny(family);
        c.vocab_size = 500;
        struct model *m = made(&c);
        model_init_weights(m, 3, NULL);
        size_t n;
        const struct param *p = model_params(m, &n);
        for (size_t i = 0; i < n; i++) {
            const float *x = model_data(m) + p[i].offset;
            double sum = 0, square = 0;
            for (size_t j = 0; j < p[i].count; j++) {
                sum += (double)x[j];
                square += (double)x[j] * x[j];
            }
            const double mean = sum / (double)p[i].count, std = sqrt(square / (double)p[i].count);
            const bool norm = strstr(p[i].name, "norm") || strstr(p[i].name, "ln_");
            const bool residual = family == MODEL_GPT2 && strstr(p[i].name, "c_proj.weight");
            const double want = residual ? 0.02 / 2 : 0.02; /* sqrt(2 L) is 2 */
            if (p[i].rank == 2)
                ck_assert_msg(!!(fabs(std / want - 1) <= 0.2), "%s: deviation %.4f", p[i].name, std);
            else
                ck_assert_msg(mean == (norm && strstr(p[i].name, "weight") ? 1 : 0) && (std == 0 || std == 1), "%s",
                              p[i].name);
        }
        model_free(m);
    }
}
END_TEST

START_TEST(a_pool_draws_the_same_values)
{
    struct model_config c = tiny(MODEL_QWEN3);
    c.vocab_size = 20011; /* more than one chunk */
    struct model *alone = made(&c), *together = made(&c);
    struct pool_options options = pool_options_default();
    options.num_threads = 3;
    struct pool *pool = pool_init(&options, &err);
    ck_assert_msg(pool && pool_start(pool, &err) == STATUS_OK, "%s", err.text);
    ck_assert_int_eq(model_init_weights(alone, 9, NULL), STATUS_OK);
    ck_assert_int_eq(model_init_weights(together, 9, pool), STATUS_OK);
    ck_assert_mem_eq(model_data(alone), model_data(together), model_size(alone) * sizeof(float));
    pool_free(pool);
    model_free(alone);
    model_free(together);
}
END_TEST

START_TEST(there_and_back)
{
    for (enum model_family family = MODEL_GPT2; family <= MODEL_SMOLLM3; family++) {
        struct model_config c = tiny(family);
        if (family == MODEL_MISTRAL || family == MODEL_QWEN2) {
            c.window = 5;
            for (size_t l = 0; l < c.n_layer; l++)
                c.layer_kind[l] = LAYER_WINDOW;
        }
        if (family == MODEL_SMOLLM3)
            c.layer_kind[1] = LAYER_NO_ROPE;
        model_config_set_end_of_text(&c, 7);
        struct model *m = made(&c);
        model_init_weights(m, 5, NULL);
        char path[300];
        snprintf(path, sizeof path, "%s", scratch_path("model"));
        file_remove_tree(path, NULL);
        ck_assert_int_eq(file_make_directory(path, &err), STATUS_OK);
        ck_assert_msg(model_save(m, path, NULL, NULL, &err) == STATUS_OK, "%s", err.text);
        struct model *back = model_load(path, &err);
        ck_assert_msg(back != NULL, "%s", err.text);
        const struct model_config *d = model_config(back);
        ck_assert(d->family == family && d->window == c.window && d->head_dim == c.head_dim && d->tied == c.tied);
        ck_assert(memcmp(d->layer_kind, c.layer_kind, sizeof c.layer_kind) == 0 && d->num_eos == 1);
        ck_assert(model_size(back) == model_size(m));
        ck_assert(memcmp(model_data(back), model_data(m), model_size(m) * sizeof(float)) == 0);
        model_free(m);
        model_free(back);
    }
}
END_TEST

/* What transformers writes when it saves a model without its head: names lack "model.". */
START_TEST(names_of_a_base_model)
{
    struct model_config c = tiny(MODEL_LLAMA);
    c.tied = true;
    struct model *m = made(&c);
    model_init_weights(m, 6, NULL);
    size_t n;
    const struct param *p = model_params(m, &n);
    struct tensor_view views[64];
    ck_assert(n <= 64);
    for (size_t i = 0; i < n; i++)
        views[i] = (struct tensor_view){.name = p[i].name + 6, /* without "model." */
                                        .dtype = "F32",
                                        .rank = p[i].rank,
                                        .shape = {p[i].shape[0], p[i].shape[1]},
                                        .data = model_data(m) + p[i].offset,
                                        .size_bytes = p[i].count * sizeof(float)};
    ck_assert_int_eq(model_save(m, scratch, NULL, NULL, &err), STATUS_OK);
    ck_assert_int_eq(safetensors_write(scratch_path("model.safetensors"), views, n, NULL, NULL, &err), STATUS_OK);
    struct model *back = model_load(scratch, &err);
    ck_assert_msg(back != NULL, "%s", err.text);
    ck_assert(memcmp(model_data(back), model_data(m), model_size(m) * sizeof(float)) == 0);
    model_free(m);
    model_free(back);
}
END_TEST

START_TEST(too_large)
{
    struct model_config c = tiny(MODEL_LLAMA);
    c.n_embd = c.n_inner = c.vocab_size = INT32_MAX;
    c.n_layer = MODEL_LAYERS_MAX;
    ck_assert(model_new(&c, &err) == NULL);
    expect_error(&err, STATUS_CONFIG, "beyond what sizes can count");
    c.n_embd = c.n_inner = c.vocab_size = 1 << 24; /* countable, but not to be had */
    c.n_layer = 2;
    ck_assert(model_new(&c, &err) == NULL);
    expect_error(&err, STATUS_NOMEM, "");
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("model");
    tcase_add_test(cases, parameters);
    tcase_add_test(cases, first_values);
    tcase_add_test(cases, a_pool_draws_the_same_values);
    tcase_add_test(cases, there_and_back);
    tcase_add_test(cases, names_of_a_base_model);
    tcase_add_test(cases, too_large);
    return run_suite("model/model", cases);
}
