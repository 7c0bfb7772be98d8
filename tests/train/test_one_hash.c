/* SPDX-License-Identifier: MIT
 * One hash: weights, moments, every loss and every gradient norm are the same bits for any number of spheres, any
 * back end and any place where the run was cut and resumed.
 */
#include "train/fixture.h"

enum { MAX_STEPS = 30 };

struct trace {
    uint64_t hash;
    uint64_t steps;
    double loss[MAX_STEPS], grad_norm[MAX_STEPS], val_loss;
    uint32_t model_crc32; /* of model.safetensors */
};

static struct fixture fixture;

static uint64_t num_steps(void)
{
    return fixture_sanitized() ? 6 : MAX_STEPS;
}

static void setup(void)
{
    fixture_open(&fixture);
}

static void teardown(void)
{
    fixture_close(&fixture);
}

static void go_on(struct fixture_run *r, struct trace *trace, uint64_t until)
{
    while (training_step(r->training) < until) {
        uint64_t step = training_step(r->training);
        fixture_steps(r, 1);
        trace->loss[step] = training_last_loss(r->training);
        trace->grad_norm[step] = training_last_grad_norm(r->training);
    }
}

static void finish(struct fixture_run *r, struct trace *trace)
{
    trace->steps = training_settings(r->training)->steps;
    go_on(r, trace, trace->steps);
    trace->hash = training_state_hash(r->training);
    ck_assert_int_eq(threaded_training_evaluate(r->system, 0, &trace->val_loss), STATUS_OK);
    struct error err = {0};
    OK_OR_SAY(model_save(training_model(r->training), fixture.dir, NULL, NULL, &err), err);
    OK_OR_SAY(file_crc32(fixture_path(&fixture, "model.safetensors"), NULL, &trace->model_crc32, &err), err);
    fixture_stop(r);
}

static struct trace train(const struct train_settings *s, int spheres, enum team_backend backend)
{
    struct trace trace = {0};
    struct fixture_run r = fixture_start(&fixture, s, spheres, backend);
    finish(&r, &trace);
    return trace;
}

static void expect_same(const struct trace *a, const struct trace *b, const char *what)
{
    ck_assert_uint_eq(a->steps, b->steps);
    for (uint64_t i = 0; i < a->steps; i++) {
        ck_assert_msg(memcmp(&a->loss[i], &b->loss[i], sizeof(double)) == 0,
                      "%s: the loss of step %d is %.17g, not %.17g", what, (int)i + 1, b->loss[i], a->loss[i]);
        ck_assert_msg(memcmp(&a->grad_norm[i], &b->grad_norm[i], sizeof(double)) == 0,
                      "%s: the gradient norm of step %d is %.17g, not %.17g", what, (int)i + 1, b->grad_norm[i],
                      a->grad_norm[i]);
    }
    ck_assert_msg(a->hash == b->hash, "%s: state %016llx, not %016llx", what, (unsigned long long)b->hash,
                  (unsigned long long)a->hash);
    ck_assert_msg(memcmp(&a->val_loss, &b->val_loss, sizeof(double)) == 0, "%s: validation loss", what);
    ck_assert_msg(a->model_crc32 == b->model_crc32, "%s: model.safetensors", what);
}

static const int spheres[] = {1, 2, 3, 7, 12, 13, 64, 157, 1741};
static const size_t leaves[] = {1, 5, 12, 13, 30};
enum { NUM_SPHERES = sizeof spheres / sizeof *spheres, NUM_LEAVES = sizeof leaves / sizeof *leaves };

/* Test i is configuration i: its serial run, and all the others against it. */
START_TEST(any_number_of_spheres_gives_the_same_bits)
{
    struct train_settings s = fixture_settings(leaves[_i], leaves[_i] == 1 ? 6 : 1, num_steps(), _i % 2 ? 0.1f : 0);
    struct trace serial = train(&s, 1, TEAM_SERIAL);
    ck_assert(serial.loss[serial.steps - 1] < serial.loss[0]);
    for (int i = 0; i < NUM_SPHERES; i++)
        for (enum team_backend backend = TEAM_PTHREAD; backend <= TEAM_OPENMP; backend++) {
            if (!fixture_has_backend(backend) || (fixture_sanitized() && spheres[i] > 64))
                continue;
            char what[64];
            snprintf(what, sizeof what, "%zu leaves, %d spheres, %s", leaves[_i], spheres[i],
                     team_backend_name(backend));
            struct trace trace = train(&s, spheres[i], backend);
            expect_same(&serial, &trace, what);
        }
}
END_TEST

/* Operands in bf16: one leaf or several, rows not a multiple of anything. */
START_TEST(any_number_of_spheres_gives_the_same_bits_in_bf16)
{
    const size_t count[] = {1, 5};
    struct train_settings s = fixture_settings(count[_i], count[_i] == 1 ? 7 : 1, 6, _i ? 0.1f : 0);
    struct trace f32 = train(&s, 1, TEAM_SERIAL);
    s.dtype = DTYPE_BF16;
    struct trace serial = train(&s, 1, TEAM_SERIAL);
    ck_assert_msg(serial.hash != f32.hash, "bf16 gave the bits of f32");
    for (int i = 0; i < NUM_SPHERES; i++) {
        if (fixture_sanitized() && spheres[i] > 13)
            continue;
        char what[64];
        snprintf(what, sizeof what, "bf16, %zu leaves, %d spheres", count[_i], spheres[i]);
        struct trace trace = train(&s, spheres[i], TEAM_PTHREAD);
        expect_same(&serial, &trace, what);
    }
}
END_TEST

/* Shared heads of keys, whose gradients are sums over heads; a window; norms of heads; a head that is not the embedding. */
static struct train_settings llama_kind(enum model_family family, size_t leaf_count)
{
    struct train_settings s = fixture_settings(leaf_count, leaf_count == 1 ? 5 : 1, 6, 0);
    struct model_config m = model_config_of(family);
    m.vocab_size = FIXTURE_VOCAB;
    m.n_positions = s.seq_len;
    m.n_embd = 21;
    m.n_layer = 2;
    m.n_head = 6;
    m.n_kv_head = 2;
    m.head_dim = 10;
    m.n_inner = 37;
    m.tied = leaf_count == 1;
    if (family != MODEL_LLAMA) {
        m.window = 5;
        m.layer_kind[1] = LAYER_WINDOW;
    }
    s.model = m;
    return s;
}

START_TEST(any_number_of_spheres_gives_the_same_bits_in_llamas_kind)
{
    static const enum model_family families[] = {MODEL_LLAMA, MODEL_QWEN2, MODEL_QWEN3};
    static const int few[] = {1, 2, 3, 7, 12, 13};
    for (size_t n = 1; n <= 5; n += 4) {
        struct train_settings s = llama_kind(families[_i], n);
        struct trace serial = train(&s, 1, TEAM_SERIAL);
        ck_assert(serial.loss[serial.steps - 1] < serial.loss[0]);
        for (size_t i = 0; i < sizeof few / sizeof *few; i++)
            for (enum team_backend backend = TEAM_PTHREAD; backend <= TEAM_OPENMP; backend++) {
                if (!fixture_has_backend(backend))
                    continue;
                struct trace trace = train(&s, few[i], backend);
                expect_same(&serial, &trace, model_family_name(families[_i]));
            }
    }
}
END_TEST

/* Layers run again: the bits of none.  Four layers in a GPT-2 with dropout, in the others their heads' norms, windows and
 * shared keys, in f32 and bf16; sets of buffers are shared by two layers up to all. */
START_TEST(layers_run_again_give_the_same_bits)
{
    static const int few[] = {1, 2, 3, 13};
    static const enum model_family families[] = {MODEL_GPT2, MODEL_LLAMA, MODEL_QWEN2, MODEL_QWEN3};
    const enum model_family family = families[_i % 4];
    struct train_settings s = family == MODEL_GPT2 ? fixture_settings(2, 3, 4, 0.1f) : llama_kind(family, 2);
    s.model.n_layer = 4;
    if (family == MODEL_QWEN2 || family == MODEL_QWEN3)
        s.model.layer_kind[3] = LAYER_WINDOW;
    if (family != MODEL_GPT2)
        s.model.attn_pdrop = 0.1f;
    s.dtype = _i < 4 ? DTYPE_F32 : DTYPE_BF16;
    s.steps = 4;
    const struct trace kept = train(&s, 1, TEAM_SERIAL);
    size_t bytes = SIZE_MAX;
    for (size_t recompute = 0; recompute <= 4; recompute++) {
        s.recompute = recompute;
        struct training_memory memory;
        struct error err = {0};
        OK_OR_SAY(training_plan(&s, 1, &memory, &err), err);
        ck_assert_msg(recompute == 4 ? memory.activation_bytes == bytes : memory.activation_bytes < bytes,
                      "%zu layers run again: %zu bytes, %zu with one less", recompute, memory.activation_bytes, bytes);
        bytes = memory.activation_bytes;
        for (size_t i = 0; i < sizeof few / sizeof *few && recompute > 0; i++) {
            if (fixture_sanitized() && recompute % 2 == 0)
                continue;
            char what[96];
            snprintf(what, sizeof what, "%s, %zu layers run again, %d spheres", model_family_name(family), recompute,
                     few[i]);
            const struct trace trace = train(&s, few[i], TEAM_PTHREAD);
            expect_same(&kept, &trace, what);
        }
    }
}
END_TEST

struct cut {
    uint64_t at;
    int before, after;
};

static void expect_same_after_cuts(const struct train_settings *settings, const struct cut *cuts, size_t n)
{
    const struct train_settings s = *settings;
    struct trace whole = train(&s, 2, TEAM_PTHREAD);
    for (size_t i = 0; i < n; i++) {
        char run[64], what[64];
        snprintf(run, sizeof run, "run-%zu", i);
        snprintf(what, sizeof what, "cut after %d steps", (int)cuts[i].at);
        struct error err = {0};
        struct trace trace = {0};
        OK_OR_SAY(file_make_directory(fixture_path(&fixture, run), &err), err);
        struct fixture_run r = fixture_start(&fixture, &s, cuts[i].before, TEAM_PTHREAD);
        go_on(&r, &trace, cuts[i].at);
        OK_OR_SAY(checkpoint_save(r.training, fixture_path(&fixture, run), 1, NULL, 0, NULL, &err), err);
        fixture_steps(&r, 1); /* what came after the checkpoint is lost */
        fixture_stop(&r);

        r.training = training_create(&s, &err);
        MADE_OR_SAY(r.training, err);
        OK_OR_SAY(checkpoint_load_latest(r.training, fixture_path(&fixture, run), 1, NULL, &err), err);
        ck_assert_uint_eq(training_step(r.training), cuts[i].at);
        ck_assert(training_last_loss(r.training) == trace.loss[cuts[i].at - 1]);
        fixture_iterate(&fixture, &r);
        fixture_team(&r, cuts[i].after, TEAM_PTHREAD);
        finish(&r, &trace);
        expect_same(&whole, &trace, what);
    }
}

START_TEST(a_cut_run_resumes_with_any_number_of_spheres)
{
    const uint64_t steps = num_steps();
    const struct cut cuts[] = {{1, 1, 12}, {steps / 4, 13, 2}, {steps / 2, 2, 157}, {steps - 1, 7, 1}};
    struct train_settings s = fixture_settings(13, 1, steps, 0.1f);
    expect_same_after_cuts(&s, cuts, sizeof cuts / sizeof *cuts);
}
END_TEST

/* The other optimizers: odd matrices too, and the three in one of a GPT-2. */
START_TEST(any_optimizer_gives_the_same_bits)
{
    static const int few[] = {1, 2, 3, 7, 13};
    const enum optimizer_kind kind = (enum optimizer_kind)(_i / 2);
    struct train_settings s = _i % 2 ? llama_kind(MODEL_LLAMA, 5) : fixture_settings(2, 3, 6, 0.1f);
    const struct trace adamw = train(&s, 1, TEAM_SERIAL);
    optimizer_adapt(&s, kind);
    const struct trace serial = train(&s, 1, TEAM_SERIAL);
    ck_assert_msg((serial.hash == adamw.hash) == (kind == OPTIMIZER_ADAMW), "%s gave AdamW's bits", optimizer_name(kind));
    ck_assert(serial.loss[serial.steps - 1] < serial.loss[0]);
    for (size_t i = 0; i < sizeof few / sizeof *few; i++)
        for (enum team_backend backend = TEAM_PTHREAD; backend <= TEAM_OPENMP; backend++) {
            if (!fixture_has_backend(backend))
                continue;
            const struct trace trace = train(&s, few[i], backend);
            expect_same(&serial, &trace, optimizer_name(kind));
        }
}
END_TEST

START_TEST(any_optimizer_resumes)
{
    static const struct cut cuts[] = {{1, 1, 3}, {4, 7, 2}};
    struct train_settings s = fixture_settings(2, 2, 6, 0.1f);
    optimizer_adapt(&s, (enum optimizer_kind)_i);
    expect_same_after_cuts(&s, cuts, sizeof cuts / sizeof *cuts);
}
END_TEST

/* All spheres take part, also those that find no work. */
START_TEST(full_width_gives_the_same_bits)
{
    const int many[] = {157, fixture_sanitized() ? 158 : 1741};
    struct train_settings s = fixture_settings(2, 2, 2, 0.1f);
    struct trace serial = train(&s, 1, TEAM_SERIAL);
    setenv("CLLM_FULL_WIDTH", "1", 1);
    for (size_t i = 0; i < sizeof many / sizeof *many; i++) {
        struct trace trace = {0};
        struct fixture_run r = fixture_start(&fixture, &s, many[i], TEAM_PTHREAD);
        ck_assert_int_eq(threaded_training_width(r.system), many[i]);
        finish(&r, &trace);
        expect_same(&serial, &trace, "full width");
    }
    unsetenv("CLLM_FULL_WIDTH");
}
END_TEST

/* The hash is an oracle only if it can differ. */
START_TEST(another_seed_or_cut_of_the_batch_gives_other_bits)
{
    struct train_settings s = fixture_settings(12, 1, num_steps(), 0);
    struct trace a = train(&s, 2, TEAM_PTHREAD), b;
    s.seed++;
    b = train(&s, 2, TEAM_PTHREAD);
    ck_assert(a.hash != b.hash);
    s.seed--;
    s.micro_batch = 3;
    b = train(&s, 2, TEAM_PTHREAD);
    ck_assert(a.hash != b.hash);
    ck_assert(a.hash != 0 && a.hash >> 32 != (a.hash & UINT32_MAX));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("one hash");
    TCase *tc = tcase_create("bits");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, any_number_of_spheres_gives_the_same_bits, 0, NUM_LEAVES);
    tcase_add_loop_test(tc, any_number_of_spheres_gives_the_same_bits_in_llamas_kind, 0, 3);
    tcase_add_loop_test(tc, any_number_of_spheres_gives_the_same_bits_in_bf16, 0, 2);
    tcase_add_test(tc, a_cut_run_resumes_with_any_number_of_spheres);
    tcase_add_loop_test(tc, any_optimizer_gives_the_same_bits, 0, 2 * OPTIMIZERS);
    tcase_add_loop_test(tc, any_optimizer_resumes, 0, OPTIMIZERS);
    tcase_add_test(tc, full_width_gives_the_same_bits);
    tcase_add_test(tc, another_seed_or_cut_of_the_batch_gives_other_bits);
    suite_add_tcase(suite, tc);
    tc = tcase_create("recompute");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, layers_run_again_give_the_same_bits, 0, 8);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
