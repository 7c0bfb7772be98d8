/* SPDX-License-Identifier: MIT
 * Saving beside the steps: `before`, which the saving thread calls first, holds it back until the test has made its steps,
 * so that every overlap here is certain and none is a matter of time.
 */
#include "train/fixture.h"

#include "base/memory.h"
#include "runtime/thread.h"
#include "train/saver.h"
#include "train/snapshot_internal.h"

enum { HASH = 0x1234abcd };

static struct fixture fixture;
static struct train_settings settings;
static struct fixture_run run;
static char run_path[300];

static struct gate {
    struct mutex *mu;
    struct cond *changed;
    bool held, fails; /* guarded by mu */
    int calls;
} gate;

static enum status pass_gate(void *ctx, struct error *err)
{
    struct gate *g = ctx;
    mutex_lock(g->mu);
    g->calls++;
    while (g->held)
        cond_wait(g->changed, g->mu);
    const bool fails = g->fails;
    mutex_unlock(g->mu);
    return fails ? error_set(err, STATUS_IO, "the record is ill") : STATUS_OK;
}

static void hold_gate(bool held)
{
    mutex_lock(gate.mu);
    gate.held = held;
    cond_broadcast(gate.changed);
    mutex_unlock(gate.mu);
}

static void setup(void)
{
    fixture_open(&fixture);
    settings = fixture_settings(3, 1, 30, 0.1f);
    settings.save_every = 5;
    settings.save_mode = SAVE_OVERLAPPED;
    snprintf(run_path, sizeof run_path, "%s/run", fixture.dir);
    struct error err = {0};
    OK_OR_SAY(file_make_directory(run_path, &err), err);
    gate = (struct gate){.mu = mutex_new(), .changed = cond_new()};
}

static void teardown(void)
{
    fixture_stop(&run);
    fixture_close(&fixture);
    cond_free(gate.changed);
    mutex_free(gate.mu);
}

static struct saver *start(int spheres)
{
    struct error err = {0};
    run = fixture_start(&fixture, &settings, spheres, TEAM_PTHREAD);
    struct saver *saver = saver_new(&(struct saver_options){.training = run.training,
                                                            .system = run.system,
                                                            .run_directory = run_path,
                                                            .settings_hash = HASH,
                                                            .before = pass_gate,
                                                            .ctx = &gate},
                                    &err);
    MADE_OR_SAY(saver, err);
    return saver;
}

static uint64_t hash_on_disk(uint64_t *step)
{
    struct error err = {0};
    struct training *t = training_create(&settings, &err);
    MADE_OR_SAY(t, err);
    OK_OR_SAY(checkpoint_load_latest(t, run_path, HASH, NULL, &err), err);
    const uint64_t hash = training_state_hash(t);
    *step = training_step(t);
    training_free(t);
    return hash;
}

static struct save_outcome take(struct saver *saver)
{
    struct save_outcome outcome;
    saver_wait(saver);
    ck_assert(saver_take(saver, &outcome));
    struct save_outcome none;
    ck_assert(!saver_take(saver, &none));
    return outcome;
}

static void expect_saved(struct saver *saver, uint64_t step, bool overlapped)
{
    struct save_outcome o = take(saver);
    ck_assert_msg(o.status == STATUS_OK, "%s", o.error.text);
    ck_assert_uint_eq(o.step, step);
    ck_assert_int_eq(o.overlapped, overlapped);
    ck_assert_ptr_nonnull(strstr(o.path.data, "step-"));
    buffer_release(&o.path);
}

/* For every optimizer: each has other states. */
START_TEST(what_is_saved_is_the_step_of_the_copy)
{
    settings.optimizer = (enum optimizer_kind)(_i % OPTIMIZERS);
    struct saver *saver = start(_i < OPTIMIZERS ? 3 : 1);
    uint64_t step;
    fixture_steps(&run, 2);
    const uint64_t saved = training_state_hash(run.training);
    hold_gate(true);
    saver_begin(saver, true);
    struct save_outcome early;
    fixture_steps(&run, 3);
    ck_assert(!saver_take(saver, &early));
    ck_assert(training_state_hash(run.training) != saved);
    hold_gate(false);
    expect_saved(saver, 2, true);
    ck_assert_uint_eq(hash_on_disk(&step), saved);
    ck_assert_uint_eq(step, 2);
    /* And the next, which is the training's own state, in the same place. */
    saver_begin(saver, false);
    expect_saved(saver, 5, false);
    ck_assert_uint_eq(hash_on_disk(&step), training_state_hash(run.training));
    ck_assert_uint_eq(step, 5);
    saver_free(saver);
}
END_TEST

START_TEST(the_steps_do_not_know_of_it)
{
    run = fixture_start(&fixture, &settings, 2, TEAM_PTHREAD);
    fixture_steps(&run, 12);
    const uint64_t alone = training_state_hash(run.training);
    fixture_stop(&run);
    struct saver *saver = start(2);
    for (int i = 0; i < 6; i++) {
        fixture_steps(&run, 2);
        saver_begin(saver, true); /* waits for the one before */
        struct save_outcome o;
        if (saver_take(saver, &o)) /* over already: so quick may a disk be */
            buffer_release(&o.path);
    }
    saver_wait(saver);
    ck_assert_uint_eq(training_state_hash(run.training), alone);
    saver_free(saver);
}
END_TEST

START_TEST(a_copy_allocates_nothing)
{
    struct error err = {0};
    struct snapshot snapshot;
    run = fixture_start(&fixture, &settings, 2, TEAM_PTHREAD);
    OK_OR_SAY(snapshot__init(&snapshot, run.training, &err), err);
    const uint64_t before = mem_request_count();
    ck_assert_int_eq(snapshot__take(&snapshot, run.system, run.training), STATUS_OK);
    ck_assert_uint_eq(mem_request_count(), before);
    ck_assert_uint_eq(training_state_hash(&snapshot.frozen), training_state_hash(run.training));
    ck_assert_uint_eq(snapshot__bytes(&settings), model_size(run.training->model) * sizeof(float) + snapshot.arena.size_bytes);
    snapshot__release(&snapshot);
}
END_TEST

START_TEST(without_a_copy_it_blocks)
{
    if (_i)
        settings.save_mode = SAVE_BLOCKING;
    else
        settings.save_every = settings.steps; /* never on the way */
    struct saver *saver = start(2);
    ck_assert_uint_eq(training_planned(run.training)->snapshot_bytes, 0);
    fixture_steps(&run, 1);
    saver_begin(saver, true);
    expect_saved(saver, 1, false);
    saver_free(saver);
}
END_TEST

START_TEST(a_failure_is_told_and_leaves_the_one_before)
{
    struct error err = {0};
    struct saver *saver = start(2);
    uint64_t step;
    fixture_steps(&run, 1);
    const uint64_t saved = training_state_hash(run.training);
    saver_begin(saver, true);
    expect_saved(saver, 1, true);
    fixture_steps(&run, 1);
    gate.fails = _i == 1;
    if (_i == 0) { /* the parent is gone */
        char moved[320], checkpoints[320];
        snprintf(moved, sizeof moved, "%s/moved", run_path);
        snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", run_path);
        ck_assert_int_eq(rename(checkpoints, moved), 0);
        OK_OR_SAY(file_replace(checkpoints, "x", 1, &err), err);
        saver_begin(saver, true);
        struct save_outcome o = take(saver);
        ck_assert_int_eq(o.status, STATUS_IO);
        ck_assert(!o.record_failed);
        ck_assert_msg(strstr(o.error.text, "checkpoints") != NULL, "%s", o.error.text);
        buffer_release(&o.path);
        ck_assert_int_eq(unlink(checkpoints), 0);
        ck_assert_int_eq(rename(moved, checkpoints), 0);
    } else {
        saver_begin(saver, true);
        struct save_outcome o = take(saver);
        ck_assert_int_eq(o.status, STATUS_IO);
        ck_assert(o.record_failed);
        ck_assert_msg(strstr(o.error.text, "the record is ill") != NULL, "%s", o.error.text);
        buffer_release(&o.path);
        gate.fails = false;
    }
    ck_assert_uint_eq(hash_on_disk(&step), saved);
    ck_assert_uint_eq(step, 1);
    saver_begin(saver, true); /* the disk is well again */
    expect_saved(saver, 2, true);
    ck_assert_uint_eq(hash_on_disk(&step), training_state_hash(run.training));
    saver_free(saver);
}
END_TEST

START_TEST(no_memory_for_it_is_an_error_and_nothing_else)
{
    run = fixture_start(&fixture, &settings, 2, TEAM_PTHREAD);
    const struct saver_options options = {
        .training = run.training, .system = run.system, .run_directory = run_path, .settings_hash = HASH};
    struct saver *saver = NULL;
    int64_t refused = 0;
    for (; !saver && refused < 100; refused++) {
        struct error err = {0};
        mem_fail_at(refused);
        saver = saver_new(&options, &err);
        mem_fail_at(-1);
        ck_assert(saver || ((err.status == STATUS_NOMEM || err.status == STATUS_SYSTEM) && err.text[0]));
    }
    ck_assert_int_gt(refused, 5);
    MADE_OR_SAY(saver, (struct error){0});
    fixture_steps(&run, 1);
    /* Each request of a save in turn, by the thread: told, and the next attempt is whole. */
    bool saved = false;
    for (refused = 0; !saved && refused < 2000; refused++) {
        mem_fail_at(refused);
        saver_begin(saver, true);
        struct save_outcome o = take(saver);
        mem_fail_at(-1);
        saved = o.status == STATUS_OK && refused > 20;
        ck_assert_msg(o.status == STATUS_OK || o.error.text[0], "request %d", (int)refused);
        buffer_release(&o.path);
    }
    uint64_t step;
    ck_assert_uint_eq(hash_on_disk(&step), training_state_hash(run.training));
    saver_free(saver);
}
END_TEST

START_TEST(some_generations_stay_for_good)
{
    settings.keep = 2;
    settings.keep_every = 4;
    struct saver *saver = start(1);
    for (uint64_t i = 1; i <= 11; i++) {
        fixture_steps(&run, 1);
        saver_begin(saver, true);
        expect_saved(saver, i, true);
    }
    for (uint64_t i = 1; i <= 11; i++) {
        char path[400];
        snprintf(path, sizeof path, "%s/checkpoints/step-%08d/manifest.json", run_path, (int)i);
        ck_assert_int_eq(file_exists(path), i % 4 == 0 || i >= 10);
    }
    saver_free(saver);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("saver");
    TCase *tc = tcase_create("saver");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, what_is_saved_is_the_step_of_the_copy, 0, 2 * OPTIMIZERS);
    tcase_add_test(tc, the_steps_do_not_know_of_it);
    tcase_add_test(tc, a_copy_allocates_nothing);
    tcase_add_loop_test(tc, without_a_copy_it_blocks, 0, 2);
    tcase_add_loop_test(tc, a_failure_is_told_and_leaves_the_one_before, 0, 2);
    tcase_add_test(tc, no_memory_for_it_is_an_error_and_nothing_else);
    tcase_add_test(tc, some_generations_stay_for_good);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
