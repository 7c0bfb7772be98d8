/* SPDX-License-Identifier: MIT
 * The best evaluation, the ones behind it, and the checkpoint that is the best.
 */
#include "train/fixture.h"

#include "base/memory.h"

#include "train/checkpoint_internal.h"
#include "train/metrics.h"
#include "train/validation.h"

#include <math.h>

START_TEST(the_best_and_those_behind_it)
{
    struct validation v = {.every = 5, .best_loss = NAN};
    ck_assert(!validation_is_over(&v, 1));
    ck_assert(!validation_note(&v, 0, 1)); /* before the first step */
    ck_assert(!validation_note(&v, 5, NAN));
    ck_assert(v.since_best == 1 && v.best_step == 0 && validation_is_over(&v, 1) && !validation_is_over(&v, 2));
    ck_assert(validation_note(&v, 10, 3));
    ck_assert(!validation_note(&v, 10, 2)); /* the same again */
    ck_assert(!validation_note(&v, 12, 2)); /* by hand */
    ck_assert(!validation_note(&v, 15, 3)); /* as good is not better */
    ck_assert(!validation_note(&v, 20, NAN));
    ck_assert(v.best_step == 10 && v.best_loss == 3 && v.since_best == 2);
    ck_assert(validation_is_over(&v, 2) && !validation_is_over(&v, 3) && !validation_is_over(&v, 0));
    ck_assert(validation_note(&v, 25, nextafter(3, 0)));
    ck_assert(v.since_best == 0 && v.best_step == 25);
}
END_TEST

static struct fixture fixture;
static struct train_settings settings;
static struct fixture_run run;

static void setup(void)
{
    fixture_open(&fixture);
    settings = fixture_settings(1, 1, 30, 0);
    run = fixture_start(&fixture, &settings, 1, TEAM_SERIAL);
}

static void teardown(void)
{
    fixture_stop(&run);
    fixture_close(&fixture);
}

START_TEST(it_is_read_from_the_metrics)
{
    struct error err = {0};
    struct validation v;
    const char *path = fixture_path(&fixture, "metrics.jsonl");
    OK_OR_SAY(validation_read(&v, path, 2, &err), err);
    ck_assert(v.best_step == 0 && isnan(v.best_loss) && v.since_best == 0);
    struct metrics *m = metrics_open(path, 0, &err);
    MADE_OR_SAY(m, err);
    static const double losses[] = {5, 4, 1, 4.5, 6, NAN};
    for (uint64_t i = 0; i < 6; i++)
        OK_OR_SAY(metrics_write_val(m, i == 2 ? 5 : 2 * i + 2, losses[i], 0, &err), err);
    metrics_close(m);
    OK_OR_SAY(validation_read(&v, path, 2, &err), err);
    ck_assert(v.best_step == 4 && v.best_loss == 4 && v.since_best == 3);
}
END_TEST

/* Saves the next step; `loss` 0: it was not evaluated. */
static void save(double loss)
{
    struct error err = {0};
    fixture_steps(&run, 1);
    if (loss > 0)
        training_note_validation(run.training, loss);
    OK_OR_SAY(checkpoint_save(run.training, fixture.dir, 1, NULL, 0, NULL, &err), err);
}

/* "step-00000003" of the link, "" without one; what it names is there. */
static const char *best(void)
{
    static char target[64];
    char path[400];
    snprintf(path, sizeof path, "%s/checkpoints/best", fixture.dir);
    const ssize_t n = readlink(path, target, sizeof target - 1);
    target[n > 0 ? n : 0] = 0;
    ck_assert(n <= 0 || file_is_directory(path));
    return target;
}

START_TEST(the_best_stays_and_has_a_name)
{
    save(0);
    ck_assert_str_eq(best(), "");
    save(3);
    ck_assert_str_eq(best(), "step-00000002");
    save(2.5);
    save(2.75);
    save(0);
    save(2.5);
    ck_assert_str_eq(best(), "step-00000003");
    for (int i = 0; i < 3; i++)
        save(0);
    ck_assert_str_eq(best(), "step-00000003"); /* not pruned, and it loads */
    struct error err = {0};
    struct training *loaded = training_create(&settings, &err);
    MADE_OR_SAY(loaded, err);
    OK_OR_SAY(checkpoint__load_up_to(loaded, fixture.dir, 1, 4, NULL, &err), err);
    ck_assert(training_step(loaded) == 3 && loaded->validated && loaded->val_loss == 2.5);
    training_free(loaded);
    uint64_t *steps;
    size_t n;
    char path[400];
    snprintf(path, sizeof path, "%s/checkpoints", fixture.dir);
    OK_OR_SAY(checkpoint__list(path, &steps, &n, &err), err);
    ck_assert(n == 3 && steps[0] == 9 && steps[1] == 8 && steps[2] == 3);
    mem_free(steps);
    save(2); /* 10: now 3 may go */
    ck_assert_str_eq(best(), "step-00000010");
    save(0);
    OK_OR_SAY(checkpoint__list(path, &steps, &n, &err), err);
    ck_assert(n == 2 && steps[1] == 10);
    mem_free(steps);
    /* A rollback past the best one takes the name away. */
    save(0);
    save(0);
    OK_OR_SAY(checkpoint__forget(path, 13, 5, 12, &err), err);
    ck_assert_str_eq(best(), "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("validation");
    TCase *tc = tcase_create("validation");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, the_best_and_those_behind_it);
    tcase_add_test(tc, it_is_read_from_the_metrics);
    tcase_add_test(tc, the_best_stays_and_has_a_name);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
