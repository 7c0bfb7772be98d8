/* SPDX-License-Identifier: MIT */
#include "train/schedule.h"

#include <check.h>
#include <math.h>
#include <string.h>

static struct schedule make(enum schedule_kind kind, uint64_t warmup)
{
    return (struct schedule){.kind = kind, .lr = 1e-3, .min_lr = 1e-4, .warmup_steps = warmup, .decay_fraction = 0.2};
}

static void near(double have, double want)
{
    ck_assert_msg(!(fabs(have - want) > 1e-15) && have == have, "%.17g, not %.17g", have, want);
}

START_TEST(warm_up_rises_evenly_to_lr)
{
    struct schedule s = make((enum schedule_kind)_i, 100);
    for (uint64_t step = 0; step < 100; step++)
        near(schedule_lr(&s, step, 1000), 1e-3 * (double)(step + 1) / 101);
    near(schedule_lr(&s, 100, 1000), 1e-3);
}
END_TEST

START_TEST(cosine_is_the_published_curve)
{
    struct schedule s = make(SCHEDULE_COSINE, 0);
    const double pi = 3.14159265358979323846;
    for (uint64_t step = 0; step <= 1000; step++)
        near(schedule_lr(&s, step, 1001), 1e-4 + 9e-4 * 0.5 * (1 + cos(pi * (double)step / 1000)));
    near(schedule_lr(&s, 500, 1001), 5.5e-4);
}
END_TEST

START_TEST(linear_and_constant)
{
    struct schedule s = make(SCHEDULE_LINEAR, 0);
    for (uint64_t step = 0; step <= 100; step++)
        near(schedule_lr(&s, step, 101), 1e-3 - 9e-4 * (double)step / 100);
    s.kind = SCHEDULE_CONSTANT;
    for (uint64_t step = 0; step < 200; step++)
        near(schedule_lr(&s, step, 101), 1e-3);
}
END_TEST

START_TEST(wsd_is_flat_and_then_falls)
{
    struct schedule s = make(SCHEDULE_WSD, 10);
    for (uint64_t step = 10; step < 80; step++)
        near(schedule_lr(&s, step, 100), 1e-3);
    for (uint64_t step = 80; step < 100; step++)
        near(schedule_lr(&s, step, 100), 1e-3 - 9e-4 * (double)(step - 79) / 20);
}
END_TEST

/* Whatever the lengths: within bounds, and min_lr at the last step (but for a constant). */
START_TEST(bounds_hold_everywhere)
{
    static const uint64_t warmups[] = {0, 1, 5, 100};
    for (int kind = SCHEDULE_COSINE; kind <= SCHEDULE_WSD; kind++)
        for (size_t w = 0; w < 4; w++)
            for (uint64_t steps = 1; steps < 40; steps++) {
                struct schedule s = make((enum schedule_kind)kind, warmups[w]);
                for (uint64_t step = 0; step < steps + 3; step++) {
                    double lr = schedule_lr(&s, step, steps);
                    ck_assert_msg(lr > 0 && !(lr > 1e-3 * (1 + 1e-15)), "%s, step %d of %d: %g", schedule_name(s.kind),
                                  (int)step, (int)steps, lr);
                    ck_assert(step < warmups[w] || !(lr < 1e-4 * (1 - 1e-15)));
                }
                if (kind != SCHEDULE_CONSTANT && kind != SCHEDULE_WSD && steps > warmups[w] + 1)
                    near(schedule_lr(&s, steps - 1, steps), 1e-4);
            }
}
END_TEST

START_TEST(names_read_back)
{
    struct error err;
    for (int kind = SCHEDULE_COSINE; kind <= SCHEDULE_WSD; kind++) {
        enum schedule_kind out;
        ck_assert_int_eq(schedule_parse(schedule_name((enum schedule_kind)kind), &out, &err), STATUS_OK);
        ck_assert_int_eq((int)out, kind);
    }
    enum schedule_kind out;
    ck_assert_int_eq(schedule_parse("cosinus", &out, &err), STATUS_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "cosinus"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("schedule");
    TCase *tc = tcase_create("lr");
    tcase_add_loop_test(tc, warm_up_rises_evenly_to_lr, SCHEDULE_COSINE, SCHEDULE_WSD + 1);
    tcase_add_test(tc, cosine_is_the_published_curve);
    tcase_add_test(tc, linear_and_constant);
    tcase_add_test(tc, wsd_is_flat_and_then_falls);
    tcase_add_test(tc, bounds_hold_everywhere);
    tcase_add_test(tc, names_read_back);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
