/* SPDX-License-Identifier: MIT
 * A training as its caller sees it: steps, epochs, control, what goes wrong and what it costs.
 */
#include "train/fixture.h"

#include "base/clock.h"
#include "base/detmath.h"
#include "base/memory.h"
#include "runtime/thread.h"
#include "train/training_internal.h"

#include <math.h>
#include <stdatomic.h>

static struct fixture fixture;

static void setup(void)
{
    fixture_open(&fixture);
}

static void teardown(void)
{
    fixture_close(&fixture);
}

/* ---- learning ---- */

START_TEST(it_learns)
{
    struct train_settings s = fixture_settings(2, 6, 200, 0);
    struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    double before, after;
    ck_assert(isnan(training_last_loss(r.training)));
    ck_assert_int_eq(threaded_training_evaluate(r.system, 0, &before), STATUS_OK);
    ck_assert_msg(fabs(before - log(FIXTURE_VOCAB)) < 0.1, "%g", before);
    fixture_steps(&r, 200);
    ck_assert_int_eq(threaded_training_evaluate(r.system, 0, &after), STATUS_OK);
    ck_assert_msg(after < 2.6, "validation loss %g after 200 steps", after);
    fixture_stop(&r);
}
END_TEST

/* One step against AdamW written out, in double, from the gradient the training itself computed. */
START_TEST(a_step_is_adamw)
{
    struct train_settings s = fixture_settings(1, 4, 10, 0);
    s.grad_clip = (double)_i; /* off, or on: the first norm is above 1 */
    struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    struct training *t = r.training;
    size_t size = model_size(t->model), num_params;
    const struct param *params = model_params(t->model, &num_params);
    float *before = mem_alloc(size * sizeof *before);
    for (int step = 1; step <= 3; step++) {
        double *m0 = mem_calloc(size, sizeof *m0), *v0 = mem_calloc(size, sizeof *v0);
        for (size_t i = 0; i < size; i++) {
            before[i] = model_data(t->model)[i];
            m0[i] = (double)((const float *)(void *)t->room.state[0])[i]; /* AdamW's lie as the parameters do */
            v0[i] = (double)((const float *)(void *)t->room.state[1])[i];
        }
        fixture_steps(&r, 1);
        const float *g = gradient_fold_result(&t->fold);
        double sumsq = 0, lr = schedule_lr(&s.schedule, (uint64_t)step - 1, s.steps);
        for (size_t i = 0; i < size; i++)
            sumsq += (double)g[i] * (double)g[i];
        double norm = sqrt(sumsq), scale = _i && norm > 1 ? 1 / norm : 1;
        ck_assert_msg(!(fabs(norm - training_last_grad_norm(t)) > 1e-9 * norm), "norm %g", norm);
        ck_assert(training_last_lr(t) == lr);
        ck_assert_msg(norm > 1 || step > 1 || !_i, "the norm is %g: nothing was clipped", norm);
        for (size_t p = 0; p < num_params; p++)
            for (size_t i = params[p].offset; i < params[p].offset + params[p].count; i++) {
                double gi = (double)g[i] * scale, w = (double)before[i];
                double m = 0.9 * m0[i] + 0.1 * gi, v = 0.99 * v0[i] + 0.01 * gi * gi;
                double mhat = m / (1 - pow(0.9, step)), vhat = v / (1 - pow(0.99, step));
                double want = w - lr * (mhat / (sqrt(vhat) + 1e-8) + (params[p].decay ? 0.1 : 0) * w);
                double have = (double)model_data(t->model)[i], tol = 1e-6 * fabs(w) + 3e-5 * lr;
                ck_assert_msg(!(fabs(have - want) > tol), "%s, step %d: %.9g, not %.9g", params[p].name, step, have,
                              want);
            }
        mem_free(m0);
        mem_free(v0);
    }
    mem_free(before);
    fixture_stop(&r);
}
END_TEST

/* The mean over a batch does not depend on how it is cut, but for rounding. */
START_TEST(micro_batches_make_the_gradient_of_the_whole)
{
    static const size_t micros[] = {12, 6, 4, 3, 2, 1};
    double loss = 0, norm = 0;
    for (size_t i = 0; i < sizeof micros / sizeof *micros; i++) {
        struct train_settings s = fixture_settings(12 / micros[i], micros[i], 10, 0);
        struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
        fixture_steps(&r, 1);
        if (i == 0) {
            loss = training_last_loss(r.training);
            norm = training_last_grad_norm(r.training);
        }
        ck_assert_msg(!(fabs(training_last_loss(r.training) - loss) > 1e-6), "%g",
                      training_last_loss(r.training) - loss);
        ck_assert_msg(!(fabs(training_last_grad_norm(r.training) - norm) > 1e-5 * norm), "%g",
                      training_last_grad_norm(r.training) - norm);
        fixture_stop(&r);
    }
}
END_TEST

/* Validation by leaves of any size is the mean over the same windows. */
START_TEST(evaluation_counts_each_window_once)
{
    static const size_t micros[] = {1, 2, 5, 7, 64};
    double want = 0;
    for (size_t i = 0; i < sizeof micros / sizeof *micros; i++) {
        struct train_settings s = fixture_settings(1, micros[i], 10, 0.1f);
        struct fixture_run r = fixture_start(&fixture, &s, 3, TEAM_PTHREAD);
        double have;
        ck_assert_int_eq(threaded_training_evaluate(r.system, 0, &have), STATUS_OK);
        if (i == 0)
            want = have;
        ck_assert_msg(!(fabs(have - want) > 1e-12), "%zu at a time: %.17g, not %.17g", micros[i], have, want);
        ck_assert_uint_gt(batch_iterator_val_windows(r.iterator), 7);
        ck_assert_uint_lt(batch_iterator_val_windows(r.iterator), 64);
        fixture_stop(&r);
    }
    struct train_settings s = fixture_settings(1, 2, 10, 0);
    s.val_fraction = 0;
    struct fixture_run r = fixture_start(&fixture, &s, 1, TEAM_SERIAL);
    double none = 0;
    ck_assert_int_eq(threaded_training_evaluate(r.system, 0, &none), STATUS_OK);
    ck_assert(isnan(none));
    fixture_stop(&r);
}
END_TEST

/* ---- epochs ---- */

START_TEST(an_epoch_serves_each_window)
{
    struct train_settings s = fixture_settings(1, 64, 100, 0);
    struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    uint64_t windows = batch_iterator_windows(r.iterator), steps = 0;
    for (uint64_t epoch = 1; epoch <= 3; epoch++) {
        ck_assert_int_eq(threaded_train_epoch(r.system), STATUS_OK);
        steps = (epoch * windows + 63) / 64;
        ck_assert_uint_eq(training_step(r.training), steps);
    }
    ck_assert_uint_eq(training_tokens(r.training), steps * 64 * 16);
    while (training_step(r.training) < s.steps)
        ck_assert_int_eq(threaded_train_epoch(r.system), STATUS_OK);
    ck_assert_uint_eq(training_step(r.training), 100);
    ck_assert_int_eq(threaded_train_epoch(r.system), STATUS_OK); /* nothing left to do */
    ck_assert_uint_eq(training_step(r.training), 100);
    fixture_stop(&r);
}
END_TEST

/* ---- cost ---- */

START_TEST(a_step_allocates_nothing)
{
    static const size_t leaves[] = {1, 13, 150};
    struct train_settings s = fixture_settings(leaves[_i], 1, 30, 0.1f);
    s.recompute = (size_t)_i;
    struct fixture_run r = fixture_start(&fixture, &s, 5, TEAM_PTHREAD);
    double val;
    fixture_steps(&r, 1);
    uint64_t before = mem_request_count();
    fixture_steps(&r, 10);
    ck_assert_int_eq(threaded_training_evaluate(r.system, 0, &val), STATUS_OK);
    ck_assert_uint_eq(mem_request_count(), before);
    fixture_stop(&r);
}
END_TEST

START_TEST(what_does_not_fit_is_refused_with_what_would)
{
    struct train_settings s;
    struct error err = {0};
    OK_OR_SAY(train_settings_preset(&s, "gpt2", &err), err);
    s.batch_size = s.micro_batch = 1 << 16;
    ck_assert_ptr_null(training_create(&s, &err));
    ck_assert_int_eq(err.status, STATUS_NOMEM);
    ck_assert_msg(strstr(err.text, "GiB") || strstr(err.text, "TiB"), "%s", err.text);
    ck_assert_msg(strstr(err.text, "micro-batch of") && strstr(err.text, "available"), "%s", err.text);
    struct training_memory plan;
    OK_OR_SAY(training_plan(&s, 12, &plan, &err), err);
    ck_assert(plan.total_bytes > (size_t)1 << 40);
    ck_assert_int_eq(training_plan(&s, 1886, &plan, &err), STATUS_CONFIG);
    ck_assert_int_eq(training_plan(&s, -1, &plan, &err), STATUS_CONFIG);
}
END_TEST

/* The n-th request for memory fails, for every n until none does. */
START_TEST(no_memory_anywhere_is_an_error_and_nothing_else)
{
    struct train_settings s = fixture_settings(13, 1, 30, 0);
    struct fixture_run r = {0};
    struct error err = {0};
    for (int n = 0; !r.training; n++) {
        ck_assert_int_lt(n, 1000);
        mem_fail_at(n);
        r.training = training_create(&s, &err);
        mem_fail_at(-1);
        ck_assert(r.training || (err.status == STATUS_NOMEM && *err.text));
    }
    fixture_iterate(&fixture, &r);
    for (int n = 0; !r.system; n++) {
        ck_assert_int_lt(n, 1000);
        mem_fail_at(n);
        r.system = threaded_training_create(r.training, r.iterator, 3);
        mem_fail_at(-1);
        ck_assert(r.system || *threaded_training_create_error());
    }
    fixture_steps(&r, 1);
    fixture_stop(&r);
}
END_TEST

/* ---- what goes wrong ---- */

START_TEST(a_loss_that_is_not_finite_stops_before_the_weights)
{
    static const float poison[] = {NAN, INFINITY, 1e38f};
    struct train_settings s = fixture_settings(3, 2, 30, 0);
    struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    fixture_steps(&r, 2);
    float *w = model_data(training_model(r.training)), good = w[5];
    w[5] = poison[_i];
    uint64_t hash = training_state_hash(r.training);
    ck_assert_int_eq(threaded_train_step(r.system), STATUS_NONFINITE);
    const char *text = threaded_training_error(r.system);
    ck_assert_msg(strstr(text, "step 3") && strstr(text, "samples 12 to 17"), "%s", text);
    ck_assert(training_state_hash(r.training) == hash);
    ck_assert_uint_eq(training_step(r.training), 2);
    w[5] = good; /* and once repaired it goes on where it was */
    fixture_steps(&r, 1);
    uint64_t after = training_state_hash(r.training);
    fixture_stop(&r);
    r = fixture_start(&fixture, &s, 1, TEAM_SERIAL);
    fixture_steps(&r, 3);
    ck_assert(training_state_hash(r.training) == after);
    fixture_stop(&r);
}
END_TEST

START_TEST(wrong_arguments_are_told)
{
    struct train_settings s = fixture_settings(3, 2, 30, 0);
    struct fixture_run r = fixture_start(&fixture, &s, 1, TEAM_SERIAL);
    static const int wrong[] = {-1, 1886};
    for (size_t i = 0; i < 2; i++) {
        ck_assert_ptr_null(threaded_training_create(r.training, r.iterator, wrong[i]));
        ck_assert_ptr_nonnull(strstr(threaded_training_create_error(), "1885"));
    }
    ck_assert_ptr_null(threaded_training_create(NULL, r.iterator, 1));
    ck_assert_ptr_nonnull(strstr(threaded_training_create_error(), "training"));
    struct error err;
    struct batch_options options = {.seq_len = 8, .batch_size = 6, .val_fraction = 0, .seed = 1};
    const struct threaded_training_options one = {.num_threads = 1, .backend = TEAM_SERIAL},
                                           two = {.num_threads = 2, .backend = TEAM_SERIAL};
    struct batch_iterator *other = batch_iterator_create(fixture.tokens, &options, &err);
    ck_assert_ptr_null(threaded_training_create_with(r.training, other, &one, &err));
    ck_assert_msg(strstr(err.text, "8 tokens") != NULL, "%s", err.text);
    batch_iterator_free(other);
    ck_assert_ptr_null(threaded_training_create_with(r.training, r.iterator, &two, &err));
    struct sphere_stats stats;
    ck_assert_int_eq(threaded_training_get_sphere_stats(r.system, 1, &stats), STATUS_MISUSE);
    ck_assert_int_eq(threaded_training_get_sphere_stats(r.system, 0, &stats), STATUS_OK);
    threaded_training_free(NULL);
    fixture_stop(&r);
}
END_TEST

START_TEST(a_training_goes_on_from_a_model)
{
    struct train_settings s = fixture_settings(3, 2, 30, 0);
    struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    struct error err = {0};
    fixture_steps(&r, 2);
    OK_OR_SAY(model_save(training_model(r.training), fixture.dir, NULL, NULL, &err), err);
    s.model.resid_pdrop = 0.1f; /* dropout is the training's own affair */
    struct training *t = training_create_from(&s, fixture.dir, &err);
    MADE_OR_SAY(t, err);
    ck_assert(training_state_hash(t) >> 32 == training_state_hash(r.training) >> 32);
    ck_assert_uint_eq(training_step(t), 0);
    training_free(t);
    s.model.n_layer = 3;
    ck_assert_ptr_null(training_create_from(&s, fixture.dir, &err));
    ck_assert_msg(strstr(err.text, "n_layer 2") && strstr(err.text, "3"), "%s", err.text);
    fixture_stop(&r);
}
END_TEST

/* ---- control ---- */

struct watch {
    _Atomic int steps, saves;
    int fail_at;
};

static enum status on_step(void *ctx, struct threaded_training *system, bool save_asked, struct error *err)
{
    struct watch *w = ctx;
    (void)system;
    atomic_fetch_add(&w->saves, save_asked);
    if (atomic_fetch_add(&w->steps, 1) + 1 == w->fail_at)
        return error_set(err, STATUS_IO, "the caller had enough");
    return STATUS_OK;
}

struct driver {
    struct threaded_training *system;
    const struct training *training;
    _Atomic int status; /* -1 while it runs */
};

static void drive(void *arg)
{
    struct driver *d = arg;
    enum status st = STATUS_OK;
    while (st == STATUS_OK && !threaded_training_stopping(d->system) &&
           training_step(d->training) < training_settings(d->training)->steps)
        st = threaded_train_epoch(d->system);
    atomic_store(&d->status, (int)st);
}

static void wait_until(bool (*so)(void *), void *ctx)
{
    uint64_t start = clock_now_ns();
    while (!so(ctx)) {
        ck_assert_msg(clock_now_ns() - start < 30000000000u, "waited too long");
        usleep(500);
    }
}

static bool is_paused(void *ctx)
{
    return threaded_training_paused(ctx);
}

static bool has_saved(void *ctx)
{
    return atomic_load(&((struct watch *)ctx)->saves) > 0;
}

static bool has_stepped(void *ctx)
{
    return atomic_load(&((struct watch *)ctx)->steps) > 2;
}

/* Test i ends it in way i: stop, cancel, stop in a pause, cancel in a pause. */
START_TEST(another_thread_steers)
{
    const enum training_command end = _i % 2 ? TRAINING_CANCEL : TRAINING_STOP;
    struct train_settings s = fixture_settings(5, 1, 1000000, 0);
    struct fixture_run r = fixture_start(&fixture, &s, 3, TEAM_PTHREAD);
    struct watch watch = {0};
    threaded_training_on_step(r.system, on_step, &watch);
    struct driver driver = {r.system, r.training, -1};
    struct error err = {0};
    struct thread *thread = thread_start("driver", drive, &driver, &err);
    MADE_OR_SAY(thread, err);
    wait_until(has_stepped, &watch);
    threaded_training_command(r.system, TRAINING_PAUSE);
    wait_until(is_paused, r.system);
    int steps = atomic_load(&watch.steps);
    usleep(20000);
    ck_assert_int_eq(atomic_load(&watch.steps), steps);
    ck_assert_int_eq(atomic_load(&watch.saves), 0);
    threaded_training_command(r.system, TRAINING_SAVE_NOW);
    threaded_training_command(r.system, TRAINING_RESUME);
    wait_until(has_saved, &watch);
    ck_assert(!threaded_training_stopping(r.system));
    if (_i / 2) {
        threaded_training_command(r.system, TRAINING_PAUSE);
        wait_until(is_paused, r.system);
    }
    threaded_training_command(r.system, end);
    ck_assert(threaded_training_stopping(r.system));
    thread_join(thread);
    ck_assert(!threaded_training_paused(r.system));
    ck_assert_int_eq(atomic_load(&driver.status), (int)(end == TRAINING_STOP ? STATUS_OK : STATUS_CANCELLED));
    ck_assert_int_eq(atomic_load(&watch.saves), 1);
    /* Whatever was cut short: the state is that of a whole number of steps. */
    uint64_t done = training_step(r.training), hash = training_state_hash(r.training);
    ck_assert_uint_eq(done, (uint64_t)atomic_load(&watch.steps));
    fixture_stop(&r);
    r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    fixture_steps(&r, done);
    ck_assert(training_state_hash(r.training) == hash);
    fixture_stop(&r);
}
END_TEST

START_TEST(cancel_gives_up_inside_a_step)
{
    struct train_settings s = fixture_settings(5, 1, 100, 0);
    struct fixture_run r = fixture_start(&fixture, &s, 3, TEAM_PTHREAD);
    fixture_steps(&r, 2);
    uint64_t hash = training_state_hash(r.training);
    double val;
    threaded_training_command(r.system, TRAINING_CANCEL);
    ck_assert_int_eq(threaded_train_step(r.system), STATUS_CANCELLED);
    ck_assert_ptr_nonnull(strstr(threaded_training_error(r.system), "step 3"));
    ck_assert_int_eq(threaded_train_epoch(r.system), STATUS_CANCELLED);
    ck_assert_int_eq(threaded_training_evaluate(r.system, 0, &val), STATUS_CANCELLED);
    ck_assert(training_state_hash(r.training) == hash);
    ck_assert_uint_eq(training_step(r.training), 2);
    fixture_stop(&r);
}
END_TEST

START_TEST(the_callback_may_end_the_epoch)
{
    struct train_settings s = fixture_settings(1, 1, 100, 0);
    struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    struct watch watch = {.fail_at = 4};
    threaded_training_on_step(r.system, on_step, &watch);
    ck_assert_int_eq(threaded_train_epoch(r.system), STATUS_IO);
    ck_assert_str_eq(threaded_training_error(r.system), "the caller had enough");
    ck_assert_uint_eq(training_step(r.training), 4);
    fixture_stop(&r);
}
END_TEST

/* Sequences and tokens are each counted once, whoever took them.  FLOPs of all spheres. */
static uint64_t statistics_of(size_t recompute)
{
    struct train_settings s = fixture_settings(3, 4, 100, 0);
    s.recompute = recompute;
    struct fixture_run r = fixture_start(&fixture, &s, 14, TEAM_PTHREAD);
    fixture_steps(&r, 5);
    struct stats_report report;
    struct error err = {0};
    OK_OR_SAY(threaded_training_report(r.system, &report, &err), err);
    ck_assert_int_eq(report.num_spheres, 14);
    ck_assert_int_eq(threaded_training_get_num_workers(r.system), 14);
    ck_assert_int_eq(report.width, threaded_training_width(r.system));
    ck_assert_uint_eq(report.step, 5);
    uint64_t sequences = 0, tokens = 0, flops = 0, compute_ns = 0;
    for (int i = 0; i < 14; i++) {
        sequences += report.spheres[i].sequences;
        tokens += report.spheres[i].tokens;
        flops += report.spheres[i].flops;
        compute_ns += report.spheres[i].compute_ns;
    }
    ck_assert_uint_eq(sequences, 5 * 12);
    ck_assert_uint_eq(tokens, 5 * 12 * 16);
    ck_assert(compute_ns > 0);
    double planned = decoder_train_flops_per_token(&s.model, s.seq_len) * 5 * 12 * 16;
    ck_assert_msg(!(fabs((double)flops / planned - 1) > 0.5), "%g counted, %g planned", (double)flops, planned);
    stats_report_release(&report);
    fixture_stop(&r);
    return flops;
}

START_TEST(statistics_add_up)
{
    uint64_t flops[2];
    for (size_t recompute = 0; recompute < 2; recompute++)
        flops[recompute] = statistics_of(recompute);
    /* a layer run again: its products but the last, exactly; attention's count as computed, to whole blocks */
    const struct train_settings s = fixture_settings(3, 4, 100, 0);
    const double again = decoder_recompute_flops_per_token(&s.model, s.seq_len, 1) * 5 * 12 * 16;
    const double more = (double)(flops[1] - flops[0]);
    ck_assert_msg(flops[1] > flops[0] && !(fabs(more / again - 1) > 0.2), "%g counted, %g planned", more, again);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("training");
    TCase *tc = tcase_create("training");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, it_learns);
    tcase_add_loop_test(tc, a_step_is_adamw, 0, 2);
    tcase_add_test(tc, micro_batches_make_the_gradient_of_the_whole);
    tcase_add_test(tc, evaluation_counts_each_window_once);
    tcase_add_test(tc, an_epoch_serves_each_window);
    tcase_add_loop_test(tc, a_step_allocates_nothing, 0, 3);
    tcase_add_test(tc, what_does_not_fit_is_refused_with_what_would);
    tcase_add_test(tc, no_memory_anywhere_is_an_error_and_nothing_else);
    tcase_add_loop_test(tc, a_loss_that_is_not_finite_stops_before_the_weights, 0, 3);
    tcase_add_test(tc, wrong_arguments_are_told);
    tcase_add_test(tc, a_training_goes_on_from_a_model);
    tcase_add_loop_test(tc, another_thread_steers, 0, 4);
    tcase_add_test(tc, cancel_gives_up_inside_a_step);
    tcase_add_test(tc, the_callback_may_end_the_epoch);
    tcase_add_test(tc, statistics_add_up);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
