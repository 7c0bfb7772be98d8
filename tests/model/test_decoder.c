/* SPDX-License-Identifier: MIT
 * test_decoder.c - the decoder against PyTorch (a fixture for each family, made by scripts/make_fixtures.py), against
 * finite differences, and against itself: any number of spheres, leaves, cache or no cache.
 */
#include "base/memory.h"
#include "base/rng.h"
#include "formats/safetensors.h"
#include "kernels/kernels.h"
#include "model/decoder.h"
#include "runtime/team.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Loop tests take the _i-th. */
static const char *const fixtures[] = {"gpt2-tiny",  "llama-tiny", "llama-bias-tiny", "mistral-tiny",
                                       "qwen2-tiny", "qwen3-tiny", "smollm3-tiny"};
enum { FIXTURES = sizeof fixtures / sizeof *fixtures };

struct call {
    struct decoder *decoder;
    struct leaf *leaves;
    size_t n;
    double loss;
    const int32_t *tokens;
    float *logits;
};

static void run_train(struct sphere *me, void *arg)
{
    struct call *c = arg;
    double total = 0, loss = 0;
    decoder_pack(me, c->decoder);
    for (size_t i = 0; i < c->n; i++) {
        decoder_train_leaf(me, c->decoder, &c->leaves[i], &loss);
        sphere_barrier(me);
        total += loss;
    }
    if (me->id == 0)
        c->loss = total;
}

static void run_eval(struct sphere *me, void *arg)
{
    struct call *c = arg;
    decoder_pack(me, c->decoder);
    decoder_eval_leaf(me, c->decoder, c->leaves, &c->loss);
}

static void run_extend(struct sphere *me, void *arg)
{
    struct call *c = arg;
    if (decoder_cached(c->decoder) == 0)
        decoder_pack(me, c->decoder);
    decoder_extend(me, c->decoder, c->tokens, c->n, c->logits);
}

static struct team *team_of(int n, enum team_backend backend, size_t scratch_bytes)
{
    struct error err = {0};
    struct team *team =
        team_new(&(struct team_options){.num_spheres = n, .backend = backend, .scratch_bytes = scratch_bytes}, &err);
    ck_assert_msg(team != NULL, "%s", err.text);
    return team;
}

/* One team for one decoder's plan. */
static struct team *team_for_dtype(const struct model *m, enum decoder_use use, enum dtype dtype, size_t B, size_t T,
                                   int n)
{
    return team_of(n, n == 1 ? TEAM_SERIAL : TEAM_PTHREAD,
                   decoder_plan(model_config(m), use, dtype, B, T).sphere_scratch_bytes);
}

static struct team *team_for(const struct model *m, enum decoder_use use, size_t B, size_t T, int n)
{
    return team_for_dtype(m, use, DTYPE_F32, B, T, n);
}

struct fixture {
    struct model *model;
    struct safetensors *expected;
    const int32_t *inputs, *targets;
    size_t B, T;
};

static struct fixture fixture_open(int which)
{
    struct error err = {0};
    char path[96];
    snprintf(path, sizeof path, "tests/fixtures/%s", fixtures[which]);
    struct fixture f = {.model = model_load(path, &err)};
    ck_assert_msg(f.model != NULL, "%s", err.text);
    snprintf(path, sizeof path, "tests/fixtures/%s/expected.safetensors", fixtures[which]);
    f.expected = safetensors_open_whole(path, &err);
    ck_assert_msg(f.expected != NULL, "%s", err.text);
    const struct tensor_view *in = safetensors_find(f.expected, "inputs");
    f.B = in->shape[0];
    f.T = in->shape[1];
    f.inputs = in->data;
    f.targets = safetensors_find(f.expected, "targets")->data;
    return f;
}

static void fixture_close(struct fixture *f)
{
    model_free(f->model);
    safetensors_close(f->expected);
}

static const float *expected(const struct fixture *f, const char *prefix, const char *name)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const struct tensor_view *t = safetensors_find(f->expected, full);
    ck_assert_msg(t != NULL, "the fixture has no %s", full);
    return t->data;
}

/* Every element within `relative` of the tensor's largest. */
static void assert_close(const char *what, const float *a, const float *b, size_t n, double relative)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)b[i]));
    for (size_t i = 0; i < n; i++) {
        const double diff = fabs((double)a[i] - b[i]);
        ck_assert_msg(!!(diff <= relative * largest + 1e-9), "%s[%zu]: %.9g, PyTorch has %.9g", what, i, (double)a[i],
                      (double)b[i]);
    }
}

/* Gradient of the whole fixture batch as `leaves` leaves on n spheres; returns the mean loss. */
static double gradient(const struct fixture *f, enum dtype dtype, float *grads, size_t leaves, int n)
{
    struct error err = {0};
    const size_t per = f->B / leaves, V = model_config(f->model)->vocab_size, C = model_config(f->model)->n_embd;
    struct decoder *d = decoder_new(f->model, DECODER_TRAIN, dtype, per, f->T, &err);
    ck_assert_msg(d != NULL, "%s", err.text);
    struct team *team = team_for_dtype(f->model, DECODER_TRAIN, dtype, per, f->T, n);
    float *head = mem_calloc(V * C, sizeof *head);
    struct leaf leaf[4];
    for (size_t i = 0; i < leaves; i++)
        leaf[i] = (struct leaf){.inputs = f->inputs + i * per * f->T,
                                .targets = f->targets + i * per * f->T,
                                .first_sequence = i * per,
                                .loss_scale = 1.0f / (float)(f->B * f->T),
                                .grads = grads,
                                .add = i > 0,
                                .head_leaf = head};
    struct call call = {.decoder = d, .leaves = leaf, .n = leaves};
    ck_assert_int_eq(team_run(team, n, run_train, &call), STATUS_OK);
    team_free(team);
    decoder_free(d);
    mem_free(head);
    return call.loss / (double)(f->B * f->T);
}

START_TEST(test_logits)
{
    struct fixture f = fixture_open(_i);
    struct error err = {0};
    const size_t V = model_config(f.model)->vocab_size;
    struct decoder *d = decoder_new(f.model, DECODER_GENERATE, DTYPE_F32, 1, 0, &err);
    struct team *team = team_for(f.model, DECODER_GENERATE, 1, 0, 3);
    float *logits = mem_calloc(V, sizeof *logits);
    const float *want = expected(&f, "logits", "");
    for (size_t b = 0; b < f.B; b++) {
        decoder_forget(d);
        for (size_t t = 0; t < f.T; t++) {
            struct call call = {.decoder = d, .tokens = f.inputs + b * f.T + t, .n = 1, .logits = logits};
            team_run(team, 3, run_extend, &call);
            assert_close("logits", logits, want + (b * f.T + t) * V, V, 1e-5);
        }
    }
    team_free(team);
    decoder_free(d);
    mem_free(logits);
    fixture_close(&f);
}
END_TEST

/* Feeding one token at a time, several at once, or all: the same bits after the last. */
START_TEST(test_cache_is_exact)
{
    struct fixture f = fixture_open(_i);
    struct error err = {0};
    const size_t V = model_config(f.model)->vocab_size;
    float *a = mem_calloc(V, sizeof *a), *b = mem_calloc(V, sizeof *b);
    const size_t cuts[] = {1, 2, 5, 13};
    for (size_t c = 0; c < 4; c++) {
        struct decoder *d = decoder_new(f.model, DECODER_GENERATE, DTYPE_F32, 1, 0, &err);
        struct team *team = team_for(f.model, DECODER_GENERATE, 1, 0, (int)c + 1);
        for (size_t t = 0; t < f.T; t += cuts[c]) {
            struct call call = {
                .decoder = d, .tokens = f.inputs + t, .n = f.T - t < cuts[c] ? f.T - t : cuts[c], .logits = c ? b : a};
            team_run(team, (int)c + 1, run_extend, &call);
        }
        if (c)
            for (size_t v = 0; v < V; v++)
                ck_assert_msg(a[v] == b[v], "logit %zu by pieces of %zu: %.9g, by ones: %.9g", v, cuts[c], (double)b[v],
                              (double)a[v]);
        team_free(team);
        decoder_free(d);
    }
    mem_free(a);
    mem_free(b);
    fixture_close(&f);
}
END_TEST

START_TEST(test_gradients)
{
    struct fixture f = fixture_open(_i);
    size_t n;
    const struct param *p = model_params(f.model, &n);
    float *grads = mem_calloc(model_size(f.model), sizeof *grads);
    for (size_t leaves = 1; leaves <= 2; leaves++) {
        memset(grads, 0x7f, model_size(f.model) * sizeof *grads); /* what is not written shows */
        const double loss = gradient(&f, DTYPE_F32, grads, leaves, leaves == 1 ? 1 : 5),
                     want = (double)expected(&f, "loss", "")[0];
        ck_assert_msg(!!(fabs(loss - want) <= 1e-6 * want), "loss %.9g, PyTorch has %.9g", loss, want);
        for (size_t i = 0; i < n; i++)
            assert_close(p[i].name, grads + p[i].offset, expected(&f, "grad.", p[i].name), p[i].count, 2e-5);
    }
    mem_free(grads);
    fixture_close(&f);
}
END_TEST

/* |a - b| / |b| */
static double distance(const float *a, const float *b, size_t n)
{
    double off = 0, length = 0;
    for (size_t i = 0; i < n; i++) {
        off += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        length += (double)b[i] * (double)b[i];
    }
    return sqrt(off / length);
}

/* The loss that PyTorch has in float64 when the operands of the same products are rounded to bf16. */
static double rounded_loss(int which)
{
    struct error err = {0};
    char path[96];
    snprintf(path, sizeof path, "tests/fixtures/%s/rounded.safetensors", fixtures[which]);
    struct safetensors *file = safetensors_open_whole(path, &err);
    ck_assert_msg(file != NULL, "%s", err.text);
    const struct tensor_view *loss = safetensors_find(file, "loss");
    ck_assert(loss != NULL && loss->size_bytes == sizeof(float));
    float value;
    memcpy(&value, loss->data, sizeof value);
    safetensors_close(file);
    return (double)value;
}

/* With operands of 8 bits of mantissa: the loss of the same roundings in PyTorch, which are not none; gradients near
 * PyTorch's in f32.  The products themselves are held to rounded operands in tests/ops; this is that all of them are where
 * they belong. */
START_TEST(test_gradients_in_bf16)
{
    struct fixture f = fixture_open(_i);
    const double want = rounded_loss(_i), unrounded = (double)expected(&f, "loss", "")[0];
    size_t n;
    const struct param *p = model_params(f.model, &n);
    float *grads = mem_calloc(model_size(f.model), sizeof *grads);
    for (size_t leaves = 1; leaves <= 2; leaves++) {
        memset(grads, 0x7f, model_size(f.model) * sizeof *grads);
        const double loss = gradient(&f, DTYPE_BF16, grads, leaves, leaves == 1 ? 1 : 5);
        ck_assert_msg(!!(fabs(loss - want) <= 2e-5 * want), "loss %.9g, PyTorch has %.9g", loss, want);
        ck_assert_msg(!!(fabs(loss - unrounded) > 4e-5 * want), "loss %.9g is that of f32", loss);
        for (size_t i = 0; i < n; i++) {
            const double off = distance(grads + p[i].offset, expected(&f, "grad.", p[i].name), p[i].count);
            ck_assert_msg(!!(off <= 0.25), "%s is %.3g of its length off PyTorch's", p[i].name, off);
        }
    }
    mem_free(grads);
    fixture_close(&f);
}
END_TEST

/* One hash of loss and gradient at any number of spheres. */
START_TEST(test_any_number_of_spheres)
{
    struct fixture f = fixture_open(_i / 2);
    const enum dtype dtype = _i % 2 ? DTYPE_BF16 : DTYPE_F32;
    const size_t size = model_size(f.model);
    float *one = mem_calloc(size, sizeof *one), *many = mem_calloc(size, sizeof *many);
    const double loss = gradient(&f, dtype, one, 2, 1);
    const int counts[] = {2, 3, 7, 12, 13, 40};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        memset(many, 0, size * sizeof *many);
        ck_assert(gradient(&f, dtype, many, 2, counts[i]) == loss);
        ck_assert_msg(memcmp(one, many, size * sizeof *one) == 0, "another gradient at %d spheres", counts[i]);
    }
    mem_free(one);
    mem_free(many);
    fixture_close(&f);
}
END_TEST

/* Ten AdamW steps, as torch.optim.AdamW makes them, without and with clipping. */
START_TEST(test_adamw_steps)
{
    struct fixture f = fixture_open(_i);
    size_t n;
    const struct param *p = model_params(f.model, &n);
    const size_t size = model_size(f.model);
    float *g = mem_calloc(size, sizeof *g), *m = mem_calloc(size, sizeof *m), *v = mem_calloc(size, sizeof *v);
    float *w = model_data(f.model), *start = mem_calloc(size, sizeof *start);
    memcpy(start, w, size * sizeof *w);
    for (int clipped = 0; clipped < 2; clipped++) {
        const float *losses = expected(&f, clipped ? "step_losses_clipped" : "step_losses", "");
        memcpy(w, start, size * sizeof *w);
        memset(m, 0, size * sizeof *m);
        memset(v, 0, size * sizeof *v);
        for (int step = 0; step < 10; step++) {
            const double loss = gradient(&f, DTYPE_F32, g, 1, 2);
            ck_assert_msg(!!(fabs(loss - (double)losses[step]) <= 1e-5 * loss), "step %d: loss %.9g, PyTorch has %.9g",
                          step, loss, (double)losses[step]);
            double square = 0;
            for (size_t i = 0; i < n; i++)
                square += kernels_get()->sumsq_f32(g + p[i].offset, p[i].count);
            const double norm = sqrt(square);
            struct adamw_coef c = {.lr = 1e-3f,
                                   .beta1 = 0.9f,
                                   .beta2 = 0.95f,
                                   .eps = 1e-8f,
                                   .grad_scale = (float)(clipped && norm > 1 ? 1 / norm : 1),
                                   .inv_bias1 = (float)(1 / (1 - pow(0.9, step + 1))),
                                   .inv_bias2 = (float)(1 / (1 - pow(0.95, step + 1)))};
            for (size_t i = 0; i < n; i++) {
                c.decay = p[i].decay ? 0.1f : 0;
                kernels_get()->adamw_f32(w + p[i].offset, m + p[i].offset, v + p[i].offset, g + p[i].offset, p[i].count,
                                         &c);
            }
        }
        const size_t C = model_config(f.model)->n_embd;
        for (size_t i = 0; i < n && !clipped; i++) {
            const float *want = expected(&f, "final.", p[i].name);
            if (p[i].role == PARAM_QKV_B) {
                /* A bias on all keys shifts every score of a query alike: its gradient is zero but for rounding, and
                 * Adam divides rounding by its own size.  So queries and values are held to PyTorch, keys are not. */
                assert_close(p[i].name, w + p[i].offset, want, C, 1e-3);
                assert_close(p[i].name, w + p[i].offset + 2 * C, want + 2 * C, C, 1e-3);
            } else {
                assert_close(p[i].name, w + p[i].offset, want, p[i].count, 1e-3);
            }
        }
    }
    mem_free(g);
    mem_free(m);
    mem_free(v);
    mem_free(start);
    fixture_close(&f);
}
END_TEST

/* Odd sizes, dropout on, several leaves, chunked head: the gradient is the slope of the loss. */
struct odd {
    struct model *model;
    size_t B, T, leaves;
    int32_t *inputs, *targets, *first; /* first, supervised: NULL without documents */
    bool *supervised;
    size_t count; /* of targets that count */
};

static double odd_loss(const struct odd *o, struct team *team, struct decoder *d, float *grads, float *head)
{
    struct leaf leaf[8];
    const size_t per = o->B / o->leaves;
    for (size_t i = 0; i < o->leaves; i++)
        leaf[i] = (struct leaf){.inputs = o->inputs + i * per * o->T,
                                .targets = o->targets + i * per * o->T,
                                .first = o->first ? o->first + i * per * o->T : NULL,
                                .supervised = o->supervised ? o->supervised + i * per * o->T : NULL,
                                .first_sequence = i * per,
                                .dropout_key = rng_key(5, RNG_DROPOUT, 7, 0),
                                .loss_scale = 1.0f / (float)o->count,
                                .grads = grads,
                                .add = i > 0,
                                .head_leaf = head};
    struct call call = {.decoder = d, .leaves = leaf, .n = o->leaves};
    ck_assert_int_eq(team_run(team, team_size(team), run_train, &call), STATUS_OK);
    return call.loss / (double)o->count;
}

/* Documents of a dozen tokens or so, and targets that do not count: at their ends, and some more. */
static void cut_documents(struct odd *o)
{
    o->first = mem_calloc(o->B * o->T, sizeof *o->first);
    o->supervised = mem_calloc(o->B * o->T, sizeof *o->supervised);
    o->count = 0;
    for (size_t i = 0; i < o->B * o->T; i++) {
        const struct rng_block r = philox4x32(rng_key(2, RNG_TEST, 0, 0), 0, i);
        const size_t t = i % o->T;
        o->first[i] = t == 0 || r.word[0] % 12 == 0 ? (int32_t)t : o->first[i - 1];
        if (t && o->first[i] == (int32_t)t && o->supervised[i - 1]) {
            o->supervised[i - 1] = false;
            o->count--;
        }
        o->supervised[i] = r.word[1] % 5 != 0;
        o->count += o->supervised[i];
    }
}

static void check_slopes_of(const struct model_config *config, size_t B, size_t T, size_t leaves, bool documents)
{
    struct error err = {0};
    struct odd o = {.model = model_new(config, &err), .B = B, .T = T, .leaves = leaves, .count = B * T};
    if (documents)
        cut_documents(&o);
    ck_assert_msg(o.model != NULL, "%s", err.text);
    const size_t size = model_size(o.model), V = config->vocab_size, C = config->n_embd;
    float *w = model_data(o.model), *g = mem_calloc(size, sizeof *g), *waste = mem_calloc(size, sizeof *g);
    float *old = mem_calloc(size, sizeof *old), *head = mem_calloc(V * C, sizeof *head);
    o.inputs = mem_calloc(B * T, sizeof *o.inputs);
    o.targets = mem_calloc(B * T, sizeof *o.targets);
    for (size_t i = 0; i < B * T; i++) {
        struct rng_block r = philox4x32(rng_key(1, RNG_TEST, 0, 0), 0, i);
        o.inputs[i] = (int32_t)(r.word[0] % V);
        o.targets[i] = (int32_t)(r.word[1] % V);
    }
    size_t n;
    const struct param *p = model_params(o.model, &n);
    for (size_t i = 0; i < n; i++) /* larger than GPT-2's start, so that everything matters */
        for (size_t j = 0; j < p[i].count; j++)
            w[p[i].offset + j] = p[i].init_value + 0.25f * (float)rng_normal(rng_key(3, RNG_TEST, i, 0), j);
    struct decoder *d = decoder_new(o.model, DECODER_TRAIN, DTYPE_F32, B / leaves, T, &err);
    struct team *team = team_for(o.model, DECODER_TRAIN, B / leaves, T, 2);
    odd_loss(&o, team, d, g, head);
    memcpy(old, w, size * sizeof *w);
    for (size_t i = 0; i < n; i++) {
        double norm = 0;
        for (size_t j = 0; j < p[i].count; j++)
            norm += (double)g[p[i].offset + j] * g[p[i].offset + j];
        norm = sqrt(norm);
        ck_assert_msg(!!(norm > 0), "%s has no gradient", p[i].name);
        double loss[2];
        const double step = 2e-3 / (norm > 0.05 ? norm : 0.05); /* moves the loss by about 2e-3 each way */
        for (int side = 0; side < 2; side++) {
            for (size_t j = 0; j < p[i].count; j++)
                w[p[i].offset + j] =
                    (float)(old[p[i].offset + j] + (side ? -step : step) * (double)g[p[i].offset + j] / norm);
            loss[side] = odd_loss(&o, team, d, waste, head);
        }
        memcpy(w + p[i].offset, old + p[i].offset, p[i].count * sizeof *w);
        const double slope = (loss[0] - loss[1]) / (2 * step);
        ck_assert_msg(!!(fabs(slope - norm) <= 0.01 * norm + 2e-4), "%s: slope of the loss %.6g, gradient says %.6g",
                      p[i].name, slope, norm);
    }
    team_free(team);
    decoder_free(d);
    model_free(o.model);
    void *owned[] = {g, waste, old, head, o.inputs, o.targets, o.first, o.supervised};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        mem_free(owned[i]);
}

static void check_slopes(const struct model_config *config, size_t B, size_t T, size_t leaves)
{
    check_slopes_of(config, B, T, leaves, false);
}

static struct model_config tiny(size_t C, size_t H, size_t L, size_t V, size_t positions)
{
    struct model_config c = model_config_of(MODEL_GPT2);
    c.vocab_size = V;
    c.n_positions = positions;
    c.n_embd = C;
    c.n_layer = L;
    c.n_head = H;
    model_config_complete(&c);
    return c;
}

START_TEST(test_slopes_odd_sizes)
{
    struct model_config c = tiny(21, 3, 2, 37, 19);
    check_slopes(&c, 3, 17, 1);
    check_slopes(&c, 4, 1, 2);
    c = tiny(36, 2, 3, 300, 70);
    check_slopes(&c, 2, 67, 2); /* two blocks of queries */
}
END_TEST

/* A tiny model of any family; layers alternate between what the family knows. */
static struct model_config tiny_of(enum model_family family, size_t heads, size_t kv_heads, size_t head_dim)
{
    struct model_config c = model_config_of(family);
    c.vocab_size = 41;
    c.n_positions = 80;
    c.n_embd = 19;
    c.n_layer = 3;
    c.n_head = heads;
    c.n_kv_head = kv_heads;
    c.head_dim = head_dim;
    c.n_inner = 27;
    c.rope_theta = 100;
    return c;
}

/* Grouped heads, windows narrower and wider than a block of queries, biases, norms of heads, heads of their own. */
START_TEST(test_slopes_of_families)
{
    struct model_config c = tiny_of(MODEL_LLAMA, 3, 1, 6);
    check_slopes(&c, 2, 53, 2);
    c.qkv_bias = c.out_bias = c.mlp_bias = c.tied = true;
    c.rope = ROPE_LLAMA3;
    c.rope_factor = 4;
    c.rope_low_freq_factor = 1;
    c.rope_high_freq_factor = 4;
    c.rope_original_positions = 64;
    check_slopes(&c, 3, 17, 3);
    c = tiny_of(MODEL_MISTRAL, 4, 2, 4);
    c.window = 5;
    memset(c.layer_kind, LAYER_WINDOW, c.n_layer);
    check_slopes(&c, 2, 70, 1);
    c.window = 51;
    c.attn_pdrop = 0.2f;
    check_slopes(&c, 2, 70, 2);
    c = tiny_of(MODEL_QWEN2, 6, 2, 8);
    c.window = 7;
    c.layer_kind[1] = LAYER_WINDOW;
    c.tied = true;
    check_slopes(&c, 2, 21, 1);
    c = tiny_of(MODEL_QWEN3, 4, 2, 10);
    check_slopes(&c, 4, 21, 2);
    c = tiny_of(MODEL_SMOLLM3, 4, 4, 6);
    c.window = 9;
    c.layer_kind[2] = LAYER_NO_ROPE | LAYER_WINDOW;
    check_slopes(&c, 2, 33, 2);
}
END_TEST

START_TEST(test_slopes_with_dropout)
{
    struct model_config c = tiny(32, 2, 2, 50, 60);
    c.embd_pdrop = 0.1f;
    c.attn_pdrop = 0.2f;
    c.resid_pdrop = 0.3f;
    check_slopes(&c, 4, 55, 2);
}
END_TEST

/* Several documents in a sequence: learned positions and rotations begin anew, windows, heads with norms. */
START_TEST(test_slopes_of_documents)
{
    struct model_config c = tiny(21, 3, 2, 37, 90);
    check_slopes_of(&c, 4, 83, 2, true);
    c.attn_pdrop = c.resid_pdrop = 0.2f;
    check_slopes_of(&c, 2, 60, 1, true);
    c = tiny_of(MODEL_MISTRAL, 4, 2, 4);
    c.window = 7;
    memset(c.layer_kind, LAYER_WINDOW, c.n_layer);
    check_slopes_of(&c, 2, 70, 1, true);
    c = tiny_of(MODEL_QWEN3, 4, 2, 10);
    check_slopes_of(&c, 4, 61, 2, true);
}
END_TEST

/* Evaluation is training's forward without dropout, to the last bit. */
START_TEST(test_eval_is_forward)
{
    struct fixture f = fixture_open(_i);
    struct error err = {0};
    float *grads = mem_calloc(model_size(f.model), sizeof *grads);
    const double train = gradient(&f, DTYPE_F32, grads, 1, 3);
    struct decoder *d = decoder_new(f.model, DECODER_EVAL, DTYPE_F32, f.B, f.T, &err);
    struct team *team = team_for(f.model, DECODER_EVAL, f.B, f.T, 2);
    struct leaf leaf = {.inputs = f.inputs, .targets = f.targets};
    struct call call = {.decoder = d, .leaves = &leaf};
    team_run(team, 2, run_eval, &call);
    ck_assert(call.loss / (double)(f.B * f.T) == train);
    team_free(team);
    decoder_free(d);
    mem_free(grads);
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("decoder");
    TCase *t = tcase_create("decoder");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_logits, 0, FIXTURES);
    tcase_add_loop_test(t, test_cache_is_exact, 0, FIXTURES);
    tcase_add_loop_test(t, test_gradients, 0, FIXTURES);
    tcase_add_loop_test(t, test_gradients_in_bf16, 0, FIXTURES);
    tcase_add_loop_test(t, test_any_number_of_spheres, 0, 2 * FIXTURES);
    tcase_add_loop_test(t, test_adamw_steps, 0, FIXTURES);
    tcase_add_test(t, test_slopes_odd_sizes);
    tcase_add_test(t, test_slopes_of_families);
    tcase_add_test(t, test_slopes_with_dropout);
    tcase_add_test(t, test_slopes_of_documents);
    tcase_add_loop_test(t, test_eval_is_forward, 0, FIXTURES);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
