/* SPDX-License-Identifier: MIT
 * The optimizers as a training uses them: which state each parameter has, what a step does to the weights, what it costs
 * in memory and on disk, and that no one takes another's checkpoint.
 */
#include "train/fixture.h"

#include "base/memory.h"
#include "formats/safetensors.h"
#include "train/training_internal.h"

#include <math.h>

static struct fixture fixture;

static void setup(void)
{
    fixture_open(&fixture);
}

static void teardown(void)
{
    fixture_close(&fixture);
}

static struct train_settings settings_of(enum optimizer_kind kind)
{
    struct train_settings s = fixture_settings(2, 2, 60, 0);
    optimizer_adapt(&s, kind);
    return s;
}

START_TEST(names_are_found)
{
    struct error err = {0};
    enum optimizer_kind kind;
    for (int i = 0; i < OPTIMIZERS; i++) {
        OK_OR_SAY(optimizer_parse(optimizer_names[i], &kind, &err), err);
        ck_assert_int_eq((int)kind, i);
        ck_assert_str_eq(optimizer_name(kind), optimizer__of(kind)->name);
    }
    ck_assert_int_eq(optimizer_parse("sgd", &kind, &err), STATUS_CONFIG);
    ck_assert_msg(strstr(err.text, "sgd") && strstr(err.text, "adamw8bit"), "%s", err.text);
}
END_TEST

START_TEST(each_learns)
{
    struct train_settings s = settings_of((enum optimizer_kind)_i);
    struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    double before, after;
    ck_assert_int_eq(threaded_training_evaluate(r.system, 0, &before), STATUS_OK);
    fixture_steps(&r, 60);
    ck_assert_int_eq(threaded_training_evaluate(r.system, 0, &after), STATUS_OK);
    ck_assert_msg(after < before - 0.3, "%s: %g, then %g", optimizer_names[_i], before, after);
    fixture_stop(&r);
}
END_TEST

/* What is planned is what is taken, to the byte, for every optimizer; and a step takes nothing more. */
START_TEST(memory_is_planned)
{
    struct train_settings s = settings_of((enum optimizer_kind)_i);
    struct error err = {0};
    struct fixture_run r = fixture_start(&fixture, &s, 3, TEAM_PTHREAD);
    struct training *t = r.training;
    ck_assert_uint_eq(t->arena.used_bytes, t->arena.size_bytes);
    const struct training_memory *m = training_planned(t);
    ck_assert_uint_eq(m->moments_bytes, optimizer__plan(&s).state_bytes);
    fixture_steps(&r, 1);
    const uint64_t before = mem_request_count();
    fixture_steps(&r, 5);
    ck_assert_uint_eq(mem_request_count(), before);

    ck_assert_int_eq(file_make_directory(fixture_path(&fixture, "run"), &err), STATUS_OK);
    struct buffer path = {0}, file = {0};
    OK_OR_SAY(checkpoint_save(t, fixture_path(&fixture, "run"), 1, NULL, 0, &path, &err), err);
    uint64_t state = 0, weights = 0;
    OK_OR_SAY(file_crc32(path_join(&file, path.data, "training_state.safetensors"), &state, NULL, &err), err);
    OK_OR_SAY(file_crc32(path_join(&file, path.data, "model.safetensors"), &weights, NULL, &err), err);
    ck_assert_uint_le(state + weights, m->checkpoint_bytes);
    ck_assert_uint_ge(state, optimizer__plan(&s).file_bytes);
    ck_assert_uint_le(state, optimizer__plan(&s).file_bytes + 64 * 1024); /* the header */
    buffer_release(&path);
    buffer_release(&file);
    fixture_stop(&r);
}
END_TEST

START_TEST(eight_bits_are_a_quarter)
{
    struct train_settings s;
    struct error err = {0};
    struct training_memory full, small, lion, muon;
    OK_OR_SAY(train_settings_preset(&s, "gpt2", &err), err);
    OK_OR_SAY(training_plan(&s, 2, &full, &err), err);
    s.optimizer = OPTIMIZER_ADAMW8BIT;
    OK_OR_SAY(training_plan(&s, 2, &small, &err), err);
    s.optimizer = OPTIMIZER_LION;
    OK_OR_SAY(training_plan(&s, 2, &lion, &err), err);
    s.optimizer = OPTIMIZER_MUON;
    OK_OR_SAY(training_plan(&s, 2, &muon, &err), err);
    const double whole = (double)full.moments_bytes;
    ck_assert((double)small.moments_bytes / whole > 0.25 && (double)small.moments_bytes / whole < 0.255);
    ck_assert((double)lion.moments_bytes / whole > 0.499 && (double)lion.moments_bytes / whole < 0.501);
    ck_assert(muon.moments_bytes < full.moments_bytes && muon.moments_bytes > lion.moments_bytes);
    ck_assert(muon.shared_bytes > full.shared_bytes);
    ck_assert(small.checkpoint_bytes < full.checkpoint_bytes);
}
END_TEST

/* Of a first step the update is known: Muon's is 0.2 sqrt(max(rows, cols)) times a matrix whose singular values are near 1. */
START_TEST(a_step_of_muon_is_orthogonal)
{
    struct train_settings s = settings_of(OPTIMIZER_MUON);
    s.schedule.warmup_steps = 0;
    s.schedule.kind = SCHEDULE_CONSTANT;
    s.weight_decay = 0;
    s.muon_lr = _i ? 0.02 : 0;
    struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    struct training *t = r.training;
    const size_t size = model_size(t->model);
    float *before = mem_alloc(size * sizeof *before);
    memcpy(before, model_data(t->model), size * sizeof *before);
    fixture_steps(&r, 1);
    const float *g = gradient_fold_result(&t->fold);
    const double rate = _i ? 0.02 : s.schedule.lr, norm = training_last_grad_norm(t), clip = norm > 1 ? 1 / norm : 1;
    struct optimizer_walk walk = {0};
    size_t matrices = 0;
    while (optimizer__next(t, &walk)) {
        const struct param *p = walk.param;
        ck_assert((walk.state[0] != NULL) == optimizer__is_muons(p));
        ck_assert((walk.state[1] == NULL) == optimizer__is_muons(p));
        if (!optimizer__is_muons(p)) {
            /* AdamW's first step is the rate in the direction of the gradient. */
            for (size_t i = p->offset; i < p->offset + p->count; i++) {
                const double moved = (double)model_data(t->model)[i] - (double)before[i];
                if (fabs((double)g[i]) > 1e-5)
                    ck_assert_msg(!(fabs(moved + (g[i] < 0 ? -1 : 1) * s.schedule.lr) > 0.01 * s.schedule.lr), "%s: %g",
                                  p->name, moved);
            }
            continue;
        }
        for (size_t i = 0; i < p->count; i++) {
            const double want = (double)g[p->offset + i] * clip, have = (double)((float *)(void *)walk.state[0])[i];
            ck_assert(!(fabs(have - want) > 1e-6 * fabs(want) + 1e-12));
        }
        /* The squared norm of the update: as many ones as the short side is long, each between 0.65^2 and 1.25^2 but
         * for those too small to come up. */
        const size_t beside = p->role == PARAM_QKV_W ? 3 : 1, across = p->shape[1] / beside;
        const size_t longer = p->shape[0] > across ? p->shape[0] : across, ones = p->shape[0] + across - longer;
        for (size_t part = 0; part < beside; part++, matrices++) {
            double sum = 0, along = 0;
            for (size_t i = 0; i < p->shape[0]; i++)
                for (size_t j = 0; j < across; j++) {
                    const size_t at = p->offset + i * p->shape[1] + part * across + j;
                    const double moved = ((double)before[at] - (double)model_data(t->model)[at]) / rate;
                    sum += moved * moved;
                    along += moved * (double)g[at];
                }
            const double values = sum / (0.04 * (double)longer);
            ck_assert_msg(values > 0.5 * (double)ones && values < 1.5 * (double)ones, "%s: %g, not about %zu", p->name, values,
                          ones);
            ck_assert(along > 0);
        }
    }
    ck_assert_uint_eq(matrices, 2 * (3 + 1 + 2));
    mem_free(before);
    fixture_stop(&r);
}
END_TEST

START_TEST(a_step_of_lion_is_signs)
{
    struct train_settings s = settings_of(OPTIMIZER_LION);
    s.schedule.warmup_steps = 0;
    s.schedule.kind = SCHEDULE_CONSTANT;
    struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    struct training *t = r.training;
    const size_t size = model_size(t->model);
    float *before = mem_alloc(size * sizeof *before);
    memcpy(before, model_data(t->model), size * sizeof *before);
    fixture_steps(&r, 1);
    const float *g = gradient_fold_result(&t->fold);
    struct optimizer_walk walk = {0};
    while (optimizer__next(t, &walk)) {
        const struct param *p = walk.param;
        for (size_t i = p->offset; i < p->offset + p->count; i++) {
            const double w = (double)before[i], decay = p->decay ? s.weight_decay : 0;
            const double want = w - s.schedule.lr * ((g[i] > 0) - (g[i] < 0) + decay * w);
            ck_assert_msg(!(fabs((double)model_data(t->model)[i] - want) > 1e-7 * (1 + fabs(w))), "%s", p->name);
        }
    }
    mem_free(before);
    fixture_stop(&r);
}
END_TEST

START_TEST(another_optimizers_checkpoint_is_refused)
{
    struct error err = {0};
    struct train_settings s = settings_of((enum optimizer_kind)_i);
    OK_OR_SAY(file_make_directory(fixture_path(&fixture, "run"), &err), err);
    struct fixture_run r = fixture_start(&fixture, &s, 1, TEAM_SERIAL);
    OK_OR_SAY(checkpoint_save(r.training, fixture_path(&fixture, "run"), 1, NULL, 0, NULL, &err), err);
    fixture_stop(&r);
    for (int other = 0; other < OPTIMIZERS; other++) {
        if (other == _i)
            continue;
        s = settings_of((enum optimizer_kind)other);
        r = fixture_start(&fixture, &s, 1, TEAM_SERIAL);
        const uint64_t hash = training_state_hash(r.training);
        ck_assert_int_eq(checkpoint_load_latest(r.training, fixture_path(&fixture, "run"), 1, NULL, &err), STATUS_CONFIG);
        ck_assert_msg(strstr(err.text, optimizer_names[_i]) && strstr(err.text, optimizer_names[other]), "%s", err.text);
        ck_assert_uint_eq(training_state_hash(r.training), hash);
        fixture_stop(&r);
    }
}
END_TEST

/* A state that no training can have, in a file that is whole. */
START_TEST(a_state_that_cannot_be_is_refused)
{
    struct error err = {0};
    struct train_settings s = settings_of(OPTIMIZER_ADAMW8BIT);
    struct fixture_run r = fixture_start(&fixture, &s, 1, TEAM_SERIAL);
    fixture_steps(&r, 1);
    const char *path = fixture_path(&fixture, "state.safetensors");
    float *scale = (float *)(void *)r.training->room.state[1];
    const float was = scale[0], wrong[] = {-1, NAN, INFINITY};
    for (int i = 0; i < 3; i++) {
        scale[0] = wrong[i];
        OK_OR_SAY(optimizer__save(r.training, path, NULL, NULL, &err), err);
        ck_assert_int_eq(optimizer__load(r.training, path, &err), STATUS_FORMAT);
        ck_assert_msg(strstr(err.text, "exp_avg_scales.wte.weight"), "%s", err.text);
    }
    scale[0] = was;
    struct safetensors *file;
    const uint64_t hash = training_state_hash(r.training);
    OK_OR_SAY(optimizer__save(r.training, path, NULL, NULL, &err), err);
    OK_OR_SAY(optimizer__load(r.training, path, &err), err);
    ck_assert_uint_eq(training_state_hash(r.training), hash);
    file = safetensors_open(path, &err);
    MADE_OR_SAY(file, err);
    const struct tensor_view *codes = safetensors_find(file, "exp_avg_sq_codes.h.1.attn.c_attn.weight");
    const struct tensor_view *scales = safetensors_find(file, "exp_avg_sq_scales.h.1.attn.c_attn.weight");
    ck_assert(codes && strcmp(codes->dtype, "U8") == 0 && codes->rank == 2 && codes->shape[1] == 72);
    ck_assert(scales && strcmp(scales->dtype, "F32") == 0 && scales->rank == 1 && scales->shape[0] == 7);
    safetensors_close(file);
    fixture_stop(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("optimizer");
    TCase *tc = tcase_create("trainings");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, names_are_found);
    tcase_add_loop_test(tc, each_learns, 0, OPTIMIZERS);
    tcase_add_loop_test(tc, memory_is_planned, 0, OPTIMIZERS);
    tcase_add_test(tc, eight_bits_are_a_quarter);
    tcase_add_loop_test(tc, a_step_of_muon_is_orthogonal, 0, 2);
    tcase_add_test(tc, a_step_of_lion_is_signs);
    tcase_add_loop_test(tc, another_optimizers_checkpoint_is_refused, 0, OPTIMIZERS);
    tcase_add_test(tc, a_state_that_cannot_be_is_refused);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
