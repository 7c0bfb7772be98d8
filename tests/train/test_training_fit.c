/* SPDX-License-Identifier: MIT
 * Settings chosen to fit a memory, and the time of a run from three steps.
 */
#include "train/time_plan.h"
#include "train/training_fit.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OK_OR_SAY(call, err) ck_assert_msg((call) == STATUS_OK, "%s", (err).text)

static struct train_settings gpt2(size_t batch, size_t micro)
{
    struct train_settings s;
    struct error err = {0};
    OK_OR_SAY(train_settings_preset(&s, "gpt2", &err), err);
    s.batch_size = batch;
    s.micro_batch = micro;
    s.dtype = DTYPE_F32;
    s.save_mode = SAVE_BLOCKING;
    return s;
}

/* As the fit counts, whatever this process has. */
static size_t total_of(const struct train_settings *s, int spheres)
{
    struct training_memory m;
    struct error err = {0};
    OK_OR_SAY(training_plan(s, spheres, &m, &err), err);
    return m.total_bytes - m.program_bytes + TRAINING_FIT_PROGRAM_BYTES;
}

static const struct training_fit all = {true, true, true}, layers_only = {true, false, false},
                                 micro_only = {false, true, false};

/* Every bound between the least and the most: what is chosen fits, and one layer less would not. */
START_TEST(as_few_layers_as_will_do)
{
    struct train_settings s = gpt2(8, 8);
    s.recompute = 12;
    const size_t least = total_of(&s, 2);
    s.recompute = 0;
    const size_t most = total_of(&s, 2);
    size_t last = SIZE_MAX;
    for (int i = 0; i <= 40; i++) {
        const size_t bytes = least + (most - least) / 40 * (size_t)i + (i == 40 ? 40 : 0);
        struct train_settings fit = s;
        struct training_memory planned;
        struct error err = {0};
        OK_OR_SAY(training_fit(&fit, 2, bytes, _i ? &all : &layers_only, &planned, &err), err);
        ck_assert_uint_eq(fit.micro_batch, 8);
        ck_assert_uint_le(planned.total_bytes, bytes);
        ck_assert_uint_eq(planned.total_bytes, total_of(&fit, 2));
        ck_assert_uint_le(fit.recompute, last);
        last = fit.recompute;
        if (fit.recompute > 0) {
            fit.recompute--;
            ck_assert_uint_gt(total_of(&fit, 2), bytes);
        }
    }
    ck_assert_uint_eq(last, 0);
    struct train_settings whole = s;
    struct error err = {0};
    OK_OR_SAY(training_fit(&whole, 2, least, &layers_only, NULL, &err), err);
    ck_assert_uint_eq(whole.recompute, 11);
}
END_TEST

START_TEST(then_a_smaller_micro_batch)
{
    struct train_settings s = gpt2(12, 12), fit = s;
    struct error err = {0};
    s.recompute = 12;
    size_t last = 13;
    for (size_t bytes = total_of(&s, 2); bytes > 0; bytes -= (size_t)32 << 20) {
        fit = s;
        fit.recompute = 0;
        if (training_fit(&fit, 2, bytes, &all, NULL, &err) != STATUS_OK)
            break;
        ck_assert_uint_le(total_of(&fit, 2), bytes);
        ck_assert(fit.batch_size == 12 && 12 % fit.micro_batch == 0 && fit.micro_batch <= last);
        last = fit.micro_batch;
        for (size_t larger = fit.micro_batch + 1; larger <= 12; larger++) { /* none would have done */
            struct train_settings more = s;
            more.micro_batch = larger;
            if (12 % larger == 0)
                ck_assert_uint_gt(total_of(&more, 2), bytes);
        }
        struct train_settings again = s;
        again.recompute = 3; /* what is to be chosen does not matter */
        OK_OR_SAY(training_fit(&again, 2, bytes, &all, NULL, &err), err);
        ck_assert(again.micro_batch == fit.micro_batch && again.recompute == fit.recompute);
    }
    ck_assert_uint_eq(last, 1);
    ck_assert_int_eq(err.status, STATUS_NOMEM);
    ck_assert_msg(strstr(err.text, "the least is") && strstr(err.text, "micro-batch of 1 and 11 of 12 layers"), "%s",
                  err.text);
}
END_TEST

START_TEST(what_was_given_stays)
{
    struct error err = {0};
    struct train_settings s = gpt2(8, 8), fit = s, before = s;
    s.recompute = 2;
    const size_t now = total_of(&s, 2);
    fit.recompute = 2;
    OK_OR_SAY(training_fit(&fit, 2, now, &micro_only, NULL, &err), err);
    ck_assert(fit.recompute == 2 && fit.micro_batch == 8);
    OK_OR_SAY(training_fit(&fit, 2, now - 1, &micro_only, NULL, &err), err);
    ck_assert(fit.recompute == 2 && fit.micro_batch == 4);
    fit = before;
    ck_assert_int_eq(training_fit(&fit, 2, (size_t)1 << 30, &layers_only, NULL, &err), STATUS_NOMEM);
    ck_assert_msg(strstr(err.text, "a micro-batch of 8 as given") && strstr(err.text, "a smaller micro-batch"), "%s",
                  err.text);
    ck_assert(memcmp(&fit, &before, sizeof fit) == 0);
    fit.seq_len = 0;
    ck_assert_int_eq(training_fit(&fit, 2, SIZE_MAX, &all, NULL, &err), STATUS_CONFIG);
    ck_assert_uint_gt(training_fit_available(), 0);
}
END_TEST

/* The copy that checkpoints are written from goes first: training waits at a save, not in every step. */
START_TEST(the_copy_for_checkpoints_goes_first)
{
    struct error err = {0};
    struct train_settings s = gpt2(8, 8), fit;
    s.save_mode = SAVE_OVERLAPPED;
    const size_t most = total_of(&s, 2);
    s.save_mode = SAVE_BLOCKING;
    const size_t without = total_of(&s, 2);
    ck_assert_uint_gt(most, without);
    s.save_mode = SAVE_OVERLAPPED;
    fit = s;
    OK_OR_SAY(training_fit(&fit, 2, most, &all, NULL, &err), err);
    ck_assert(fit.save_mode == SAVE_OVERLAPPED && fit.recompute == 0);
    fit = s;
    OK_OR_SAY(training_fit(&fit, 2, most - 1, &all, NULL, &err), err);
    ck_assert(fit.save_mode == SAVE_BLOCKING && fit.recompute == 0);
    fit = s;
    OK_OR_SAY(training_fit(&fit, 2, without - 1, &all, NULL, &err), err);
    ck_assert(fit.save_mode == SAVE_BLOCKING && fit.recompute == 1);
    fit = s;
    OK_OR_SAY(training_fit(&fit, 2, most - 1, &layers_only, NULL, &err), err);
    ck_assert(fit.save_mode == SAVE_OVERLAPPED && fit.recompute == 1);
}
END_TEST

START_TEST(a_model_of_one_layer)
{
    struct error err = {0};
    struct train_settings s = gpt2(2, 2);
    s.model.n_layer = 1;
    OK_OR_SAY(training_fit(&s, 1, total_of(&s, 1), &all, NULL, &err), err);
    ck_assert(s.recompute == 0 && s.micro_batch == 2);
}
END_TEST

/* ---- time ---- */

START_TEST(time_is_counted)
{
    struct train_settings s = gpt2(8, 4);
    const struct time_measured measured = {.step = 2, .eval_leaf = 0.5, .save = 3};
    struct time_plan p;
    s.steps = 1005;
    s.eval_every = 100;
    s.eval_batches = 0;
    s.save_every = 200;
    time_plan_make(&p, &s, 0, 42, &measured); /* ten leaves, and a rest of two windows for two more */
    ck_assert(p.steps == 1005 && p.evaluations == 11 && p.eval_leaves == 12 && p.saves == 6);
    ck_assert(p.step_s == 2010 && p.eval_s == 66 && p.save_s == 18 && p.total_s == 2094);
    s.eval_batches = 7;
    time_plan_make(&p, &s, 200, 40, &measured);
    ck_assert(p.steps == 805 && p.evaluations == 9 && p.eval_leaves == 7 && p.saves == 5);
    s.eval_batches = 11; /* more than there are */
    time_plan_make(&p, &s, 200, 40, &measured);
    ck_assert_uint_eq(p.eval_leaves, 10);
    s.steps = 1000; /* the last is one of them */
    time_plan_make(&p, &s, 0, 40, &measured);
    ck_assert(p.evaluations == 10 && p.saves == 5);
    s.eval_every = s.save_every = 0; /* only at the end */
    time_plan_make(&p, &s, 10, 40, &measured);
    ck_assert(p.evaluations == 1 && p.saves == 1);
    s.eval_batches = 0;
    time_plan_make(&p, &s, 10, 0, &measured); /* no validation */
    ck_assert(p.evaluations == 0 && p.eval_s == 0);
    time_plan_make(&p, &s, 1000, 40, &measured);
    ck_assert(p.steps == 0 && p.evaluations == 0 && p.saves == 0 && p.total_s == 0);
    time_plan_make(&p, &s, 0, 40, &(struct time_measured){.step = 6}); /* two leaves of 3 s */
    ck_assert(p.eval_s == 10);
    s.steps = 1000;
    s.save_every = 100;
    s.keep_every = 250; /* 250 and 750 are no hundreds */
    time_plan_make(&p, &s, 0, 40, &measured);
    ck_assert(p.saves == 12 && p.save_s == 36);
    s.save_mode = SAVE_OVERLAPPED; /* training waits at the last alone */
    time_plan_make(&p, &s, 0, 40, &measured);
    ck_assert(p.saves == 12 && p.save_s == 3);
    s.save_every = s.keep_every = s.eval_every = 0;
    s.save_seconds = 600;
    s.eval_batches = 1;
    time_plan_make(&p, &s, 0, 40, &measured); /* 2000.5 s */
    ck_assert(p.saves == 4);
    s.save_seconds = 0;
    s.eval_every = 100; /* with --save-best each of the nine on the way may save */
    s.save_best = true;
    time_plan_make(&p, &s, 0, 40, &measured);
    ck_assert(p.evaluations == 10 && p.saves == 10);
    s.save_every = 200; /* four of them are saves anyway */
    time_plan_make(&p, &s, 0, 40, &measured);
    ck_assert(p.saves == 10);
    s.save_every = 150; /* 300, 600 and 900 of the six */
    s.keep_every = 500; /* which is an evaluation */
    s.save_mode = SAVE_BLOCKING;
    time_plan_make(&p, &s, 0, 40, &measured);
    ck_assert(p.saves == 9 + 3 + 1 && p.save_s == 39);
    time_plan_make(&p, &s, 450, 40, &measured); /* 500 to 900, 750 */
    ck_assert(p.saves == 5 + 1 + 1);
    s.val_fraction = 0;
    s.eval_batches = 0;
    time_plan_make(&p, &s, 0, 0, &measured); /* nothing to evaluate */
    ck_assert(p.evaluations == 0 && p.saves == 6 + 1 + 1);
    s = gpt2(8, 4);
    s.steps = 1000;
    s.save_every = s.eval_every = 0;
    s.eval_batches = 1;
    s.save_mode = SAVE_OVERLAPPED;
    s.sample_every = 250; /* that of the last step is the command's, behind the training */
    struct time_measured sampled = measured;
    sampled.sample = 40;
    time_plan_make(&p, &s, 0, 40, &sampled);
    ck_assert(p.samples == 3 && p.sample_s == 120 && p.total_s == 2000 + 0.5 + 3 + 120);
    time_plan_make(&p, &s, 250, 40, &measured);
    ck_assert(p.samples == 2 && p.sample_s == 0);
    struct buffer text = {0};
    time_plan_make(&p, &s, 0, 40, &sampled);
    time_plan_text(&p, &sampled, &text);
    ck_assert_msg(strstr(text.data, ", 2:00 for 3 samples, 0:03 for 1 checkpoint; 35:24 in all") != NULL, "%s", text.data);
    buffer_clear(&text);
    s.sample_every = 0;
    time_plan_make(&p, &s, 0, 40, &measured);
    time_plan_text(&p, &measured, &text);
    ck_assert_str_eq(
        text.data,
        "a step takes 2.0 s: 33:20 for 1,000 steps, 0:01 for 1 evaluation, 0:03 for 1 checkpoint; 33:24 in all");
    buffer_release(&text);
    static const double orders[][3] = {{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2}, {3, 2, 1}, {2, 2, 9}};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        ck_assert(time_plan_median(orders[i]) == 2);
}
END_TEST

START_TEST(checkpoints_at_a_time)
{
    struct train_settings s = gpt2(8, 4);
    s.steps = 1000;
    s.keep = 2;
    s.val_fraction = 0; /* no best one */
    s.keep_every = 0;
    s.save_every = 0;
    ck_assert_uint_eq(time_plan_checkpoints(&s), 2); /* of step 0 and of the end */
    s.save_every = 500;
    ck_assert_uint_eq(time_plan_checkpoints(&s), 3);
    s.save_every = 10;
    ck_assert_uint_eq(time_plan_checkpoints(&s), 3);
    s.keep = 20;
    ck_assert_uint_eq(time_plan_checkpoints(&s), 21);
    s.keep_every = 200; /* 200 … 1000 */
    ck_assert_uint_eq(time_plan_checkpoints(&s), 26);
    s.keep = 1000;
    ck_assert_uint_eq(time_plan_checkpoints(&s), 101);
    s.save_seconds = 60;
    ck_assert_uint_eq(time_plan_checkpoints(&s), 1006);
    s.val_fraction = 0.1;
    ck_assert_uint_eq(time_plan_checkpoints(&s), 1007);
    s.spikes.policy = SPIKE_ROLLBACK;
    ck_assert_uint_eq(time_plan_checkpoints(&s), 1008);
    s.save_seconds = s.keep_every = s.save_every = 0;
    s.eval_every = 250;
    ck_assert_uint_eq(time_plan_checkpoints(&s), 2);
    s.save_best = 1; /* those of 250, 500 and 750 */
    ck_assert_uint_eq(time_plan_checkpoints(&s), 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("training fit");
    TCase *tc = tcase_create("fit");
    tcase_add_loop_test(tc, as_few_layers_as_will_do, 0, 2);
    tcase_add_test(tc, then_a_smaller_micro_batch);
    tcase_add_test(tc, what_was_given_stays);
    tcase_add_test(tc, the_copy_for_checkpoints_goes_first);
    tcase_add_test(tc, a_model_of_one_layer);
    tcase_add_test(tc, time_is_counted);
    tcase_add_test(tc, checkpoints_at_a_time);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
