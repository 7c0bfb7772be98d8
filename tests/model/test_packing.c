/* SPDX-License-Identifier: MIT
 * test_packing.c - several documents in one sequence: each has the loss and the gradient that it would have alone, nothing
 * of another reaches it, and the bits do not depend on the number of spheres.
 */
#include "base/memory.h"
#include "base/rng.h"
#include "formats/safetensors.h"
#include "model/decoder.h"
#include "runtime/team.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two sequences, cut into documents that lie inside a block of queries, across two, and at both ends.  All rows fit one
 * block of the sum of losses. */
enum { B = 2, T = 119, ROWS = B * T, DOCUMENTS = 8 };
static const size_t lengths[DOCUMENTS] = {1, 60, 20, 37, 1, 50, 3, 66};

static struct model_config config_of(int which)
{
    static const enum model_family families[] = {MODEL_GPT2, MODEL_LLAMA, MODEL_MISTRAL, MODEL_QWEN3};
    struct model_config c = model_config_of(families[which]);
    c.vocab_size = 61;
    c.n_positions = 128;
    c.n_embd = 24;
    c.n_layer = 2;
    c.n_head = 4;
    if (families[which] == MODEL_GPT2) {
        model_config_complete(&c);
        return c;
    }
    c.n_kv_head = 2;
    c.head_dim = 6;
    c.n_inner = 31;
    c.rope_theta = 100;
    if (families[which] == MODEL_MISTRAL) {
        c.window = 17;
        memset(c.layer_kind, LAYER_WINDOW, c.n_layer);
    }
    return c;
}

struct packed {
    struct model *model;
    int32_t inputs[ROWS], targets[ROWS], first[ROWS];
    bool supervised[ROWS];
    float *grads, *head;
    double loss;
};

static struct packed *packed_new(const struct model_config *config)
{
    struct error err = {0};
    struct packed *p = mem_calloc(1, sizeof *p);
    p->model = model_new(config, &err);
    ck_assert_msg(p->model != NULL, "%s", err.text);
    const size_t size = model_size(p->model);
    p->grads = mem_calloc(size, sizeof *p->grads);
    p->head = mem_calloc(config->vocab_size * config->n_embd, sizeof *p->head);
    size_t n;
    const struct param *params = model_params(p->model, &n);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < params[i].count; j++)
            model_data(p->model)[params[i].offset + j] =
                params[i].init_value + 0.25f * (float)rng_normal(rng_key(3, RNG_TEST, i, 0), j);
    for (size_t i = 0; i < ROWS; i++) {
        const struct rng_block r = philox4x32(rng_key(1, RNG_TEST, 0, 0), 0, i);
        p->inputs[i] = (int32_t)(r.word[0] % config->vocab_size);
        p->targets[i] = (int32_t)(r.word[1] % config->vocab_size);
    }
    for (size_t k = 0, at = 0; k < DOCUMENTS; at += lengths[k++])
        for (size_t i = 0; i < lengths[k]; i++)
            p->first[at + i] = (int32_t)(at % T);
    return p;
}

static void packed_free(struct packed *p)
{
    model_free(p->model);
    mem_free(p->grads);
    mem_free(p->head);
    mem_free(p);
}

/* Only the targets of document `which` count, or all of them. */
static size_t supervise(struct packed *p, size_t which)
{
    size_t at = 0, found = 0;
    for (size_t k = 0; k < DOCUMENTS; at += lengths[k++]) {
        for (size_t i = 0; i < lengths[k]; i++)
            p->supervised[at + i] = which == DOCUMENTS || k == which;
        if (k == which)
            found = at;
    }
    return found;
}

struct call {
    struct decoder *decoder;
    const struct leaf *leaves;
    size_t n;
    double loss;
};

static void run_leaves(struct sphere *me, void *arg)
{
    struct call *c = arg;
    double total = 0, loss = 0;
    decoder_pack(me, c->decoder);
    for (size_t i = 0; i < c->n; i++) {
        if (c->leaves[i].grads)
            decoder_train_leaf(me, c->decoder, &c->leaves[i], &loss);
        else
            decoder_eval_leaf(me, c->decoder, &c->leaves[i], &loss);
        sphere_barrier(me);
        total += loss;
    }
    if (me->id == 0)
        c->loss = total;
}

static double run(const struct model *model, enum dtype dtype, const struct leaf *leaves, size_t n, size_t batch,
                  size_t seq_len, int spheres)
{
    struct error err = {0};
    const enum decoder_use use = leaves->grads ? DECODER_TRAIN : DECODER_EVAL;
    const struct team_options options = {
        .num_spheres = spheres,
        .backend = spheres == 1 ? TEAM_SERIAL : TEAM_PTHREAD,
        .scratch_bytes = decoder_plan(model_config(model), use, dtype, batch, seq_len).sphere_scratch_bytes};
    struct decoder *d = decoder_new((struct model *)model, use, dtype, batch, seq_len, &err);
    struct team *team = team_new(&options, &err);
    ck_assert_msg(d && team, "%s", err.text);
    struct call call = {d, leaves, n, NAN};
    ck_assert_int_eq(team_run(team, spheres, run_leaves, &call), STATUS_OK);
    team_free(team);
    decoder_free(d);
    return call.loss;
}

/* Both sequences as one leaf; with gradients where `train`. */
static double run_packed(struct packed *p, enum dtype dtype, bool train)
{
    const struct leaf leaf = {.inputs = p->inputs,
                              .targets = p->targets,
                              .first = p->first,
                              .supervised = p->supervised,
                              .loss_scale = 0.01f,
                              .grads = train ? p->grads : NULL};
    return run(p->model, dtype, &leaf, 1, B, T, 2);
}

START_TEST(a_document_is_as_if_alone)
{
    const struct model_config config = config_of(_i);
    struct packed *p = packed_new(&config);
    const size_t size = model_size(p->model);
    float *alone = mem_calloc(size, sizeof *alone);
    for (size_t k = 0; k < DOCUMENTS; k++) {
        const size_t at = supervise(p, k);
        const struct leaf leaf = {
            .inputs = p->inputs + at, .targets = p->targets + at, .loss_scale = 0.01f, .grads = alone};
        const double want = run(p->model, DTYPE_F32, &leaf, 1, 1, lengths[k], 1);
        ck_assert(want > 0);
        ck_assert_msg(run_packed(p, DTYPE_F32, true) == want, "document %zu: loss %.17g, alone %.17g", k,
                      run_packed(p, DTYPE_F32, true), want);
        ck_assert(run_packed(p, DTYPE_F32, false) == want);
        for (size_t i = 0; i < size; i++) /* chains over rows, of which the others' add zeros */
            ck_assert_msg(p->grads[i] == alone[i], "document %zu, gradient %zu: %.9g, alone %.9g", k, i,
                          (double)p->grads[i], (double)alone[i]);
    }
    mem_free(alone);
    packed_free(p);
}
END_TEST

/* Other tokens in one document change no bit of what another's loss and gradient are. */
START_TEST(documents_do_not_see_each_other)
{
    const struct model_config config = config_of(_i / 2);
    const enum dtype dtype = _i % 2 ? DTYPE_BF16 : DTYPE_F32;
    struct packed *p = packed_new(&config);
    const size_t size = model_size(p->model) * sizeof(float);
    float *before = mem_alloc(size);
    for (size_t k = 1; k < DOCUMENTS; k += 2) {
        const size_t at = supervise(p, k);
        const double loss = run_packed(p, dtype, true);
        memcpy(before, p->grads, size);
        for (size_t i = 0; i < ROWS; i++)
            if (i < at || i >= at + lengths[k])
                p->inputs[i] = (p->inputs[i] + 7) % (int32_t)config.vocab_size;
        ck_assert(run_packed(p, dtype, true) == loss);
        for (size_t i = 0; i < size / sizeof(float); i++)
            ck_assert_msg(p->grads[i] == before[i], "document %zu, gradient %zu: %.9g, was %.9g", k, i,
                          (double)p->grads[i], (double)before[i]);
        if (lengths[k] > 1) { /* and its own do */
            p->inputs[at] = (p->inputs[at] + 7) % (int32_t)config.vocab_size;
            ck_assert(run_packed(p, dtype, true) != loss);
        }
    }
    mem_free(before);
    packed_free(p);
}
END_TEST

START_TEST(any_number_of_spheres)
{
    struct model_config config = config_of(_i / 2);
    const enum dtype dtype = _i % 2 ? DTYPE_BF16 : DTYPE_F32;
    config.attn_pdrop = 0.2f;
    if (config.family == MODEL_GPT2)
        config.embd_pdrop = config.resid_pdrop = 0.1f;
    struct packed *p = packed_new(&config);
    const size_t size = model_size(p->model) * sizeof(float);
    supervise(p, DOCUMENTS);
    for (size_t i = 0; i < ROWS; i += 5)
        p->supervised[i] = false;
    struct leaf leaves[B];
    for (size_t b = 0; b < B; b++)
        leaves[b] = (struct leaf){.inputs = p->inputs + b * T,
                                  .targets = p->targets + b * T,
                                  .first = p->first + b * T,
                                  .supervised = p->supervised + b * T,
                                  .first_sequence = b,
                                  .dropout_key = rng_key(5, RNG_DROPOUT, 7, 0),
                                  .loss_scale = 0.01f,
                                  .grads = p->grads,
                                  .add = b > 0,
                                  .head_leaf = p->head};
    memset(p->grads, 0x7f, size); /* what is not written shows */
    const double loss = run(p->model, dtype, leaves, B, 1, T, 1);
    float *one = mem_alloc(size);
    memcpy(one, p->grads, size);
    for (size_t i = 0; i < size / sizeof(float); i++)
        ck_assert(isfinite(one[i]));
    static const int counts[] = {2, 3, 7, 13};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        ck_assert(run(p->model, dtype, leaves, B, 1, T, counts[i]) == loss);
        ck_assert_msg(memcmp(p->grads, one, size) == 0, "another gradient at %d spheres", counts[i]);
    }
    mem_free(one);
    packed_free(p);
}
END_TEST

static const void *tensor(const struct safetensors *file, const char *prefix, const char *name)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const struct tensor_view *view = safetensors_find(file, full);
    return view ? view->data : NULL;
}

/* transformers' models, to which each document was shown alone (scripts/make_fixtures.py). */
START_TEST(as_pytorch_has_it)
{
    static const char *const names[] = {"gpt2-tiny", "mistral-tiny", "qwen3-tiny"};
    enum { MAX_ROWS = 64 };
    struct error err = {0};
    char path[96];
    snprintf(path, sizeof path, "tests/fixtures/%s", names[_i]);
    struct model *model = model_load(path, &err);
    snprintf(path, sizeof path, "tests/fixtures/%s/expected.safetensors", names[_i]);
    struct safetensors *given = safetensors_open_whole(path, &err);
    snprintf(path, sizeof path, "tests/fixtures/%s/packed.safetensors", names[_i]);
    struct safetensors *want = safetensors_open_whole(path, &err);
    ck_assert_msg(model && given && want, "%s", err.text);
    const struct tensor_view *inputs = safetensors_find(given, "inputs");
    const size_t batch = inputs->shape[0], seq_len = inputs->shape[1], rows = batch * seq_len;
    const int32_t *counts = tensor(want, "", "supervised");
    bool supervised[MAX_ROWS];
    size_t count = 0, compared = 0, n;
    ck_assert_uint_le(rows, MAX_ROWS);
    for (size_t i = 0; i < rows; i++)
        count += supervised[i] = counts[i] != 0;
    float *grads = mem_calloc(model_size(model), sizeof *grads);
    const struct leaf leaf = {.inputs = inputs->data,
                              .targets = tensor(given, "", "targets"),
                              .first = tensor(want, "", "first"),
                              .supervised = supervised,
                              .loss_scale = 1.0f / (float)count,
                              .grads = grads};
    const double loss = run(model, DTYPE_F32, &leaf, 1, batch, seq_len, 3) / (double)count;
    const double expected = (double)*(const float *)tensor(want, "", "loss");
    ck_assert_msg(!!(fabs(loss - expected) <= 1e-6 * expected), "loss %.9g, PyTorch has %.9g", loss, expected);
    const struct param *params = model_params(model, &n);
    for (size_t i = 0; i < n; i++) {
        const float *g = tensor(want, "grad.", params[i].name);
        double largest = 0;
        for (size_t j = 0; g && j < params[i].count; j++)
            largest = fmax(largest, fabs((double)g[j]));
        for (size_t j = 0; g && j < params[i].count; j++) {
            const double got = (double)grads[params[i].offset + j];
            ck_assert_msg(!!(fabs(got - (double)g[j]) <= 2e-5 * largest), "%s[%zu]: %.9g, PyTorch has %.9g",
                          params[i].name, j, got, (double)g[j]);
        }
        compared += g != NULL;
    }
    ck_assert_uint_ge(compared, 5);
    mem_free(grads);
    safetensors_close(given);
    safetensors_close(want);
    model_free(model);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("packing");
    TCase *t = tcase_create("packing");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_document_is_as_if_alone, 0, 4);
    tcase_add_loop_test(t, documents_do_not_see_each_other, 0, 8);
    tcase_add_loop_test(t, as_pytorch_has_it, 0, 3);
    tcase_add_loop_test(t, any_number_of_spheres, 0, 8);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
