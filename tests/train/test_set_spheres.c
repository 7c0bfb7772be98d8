/* SPDX-License-Identifier: MIT
 * The number of spheres changes while a training goes on: not a bit of it changes, with each back end, and what is
 * refused leaves all as it was.
 */
#include "base/memory.h"
#include "model/decoder.h"
#include "runtime/pool.h"
#include "runtime/thread.h"
#include "train/fixture.h"
#include "train/run_events.h"

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

static uint64_t constant(const struct train_settings *s)
{
    struct fixture_run r = fixture_start(&fixture, s, 3, TEAM_PTHREAD);
    fixture_steps(&r, s->steps);
    const uint64_t hash = training_state_hash(r.training);
    fixture_stop(&r);
    return hash;
}

static void set(struct fixture_run *r, int spheres)
{
    struct error err = {0};
    const int before = threaded_training_get_num_workers(r->system);
    OK_OR_SAY(threaded_training_set_spheres(r->system, spheres, &err), err);
    ck_assert_int_eq(threaded_training_get_num_workers(r->system), spheres);
    struct sphere_stats stats;
    ck_assert_int_eq(threaded_training_get_sphere_stats(r->system, spheres, &stats), STATUS_MISUSE);
    ck_assert_int_eq(threaded_training_get_sphere_stats(r->system, 0, &stats), STATUS_OK);
    ck_assert((stats.barriers == 0) == (spheres != before)); /* they count anew */
}

static const int changes[] = {5, 2, 64, 64, 1, 13};
enum { CHANGES = sizeof changes / sizeof *changes };

/* What the spheres could do is measured anew with another number, and changes no bit; not asked for, no share is known. */
START_TEST(the_peak_is_that_of_the_spheres)
{
    const struct train_settings s = fixture_settings(3, 2, 4, 0.1f);
    const uint64_t want = constant(&s);
    struct fixture_run r = fixture_start(&fixture, &s, 1, TEAM_PTHREAD);
    struct error err = {0};
    struct stats_report report;
    double before = 0;
    ck_assert(threaded_training_peak_share(r.system, 1e6) == 0);
    fixture_steps(&r, 1);
    OK_OR_SAY(threaded_training_measure_peak(r.system, &err), err);
    for (int spheres = 1; spheres <= 64; spheres += 63) {
        if (spheres > 1)
            set(&r, spheres);
        OK_OR_SAY(threaded_training_report(r.system, &report, &err), err);
        const double share = threaded_training_peak_share(r.system, 1e6),
                     flops = decoder_train_flops_per_token(&s.model, s.seq_len);
        ck_assert(report.peak_gflops > 0 && report.peak_gflops != before);
        ck_assert_msg(fabs(share * report.peak_gflops * 1e9 / (1e6 * flops) - 1) < 1e-12, "%g", share);
        before = report.peak_gflops;
        stats_report_release(&report);
        fixture_steps(&r, 1);
    }
    fixture_steps(&r, 1);
    ck_assert_uint_eq(training_state_hash(r.training), want);
    fixture_stop(&r);
}
END_TEST

/* From 1, before each second step, with a pool that others work on too or none. */
static void change_on(enum team_backend backend, bool own_pool)
{
    if (!fixture_has_backend(backend))
        return;
    const struct train_settings s = fixture_settings(3, 2, 2 * CHANGES + 1, 0.1f);
    const uint64_t want = constant(&s);
    struct error err = {0};
    struct pool *pool = NULL;
    struct pool_options options = pool_options_default();
    options.num_threads = 2;
    if (own_pool && backend == TEAM_PTHREAD) {
        pool = pool_init(&options, &err);
        MADE_OR_SAY(pool, err);
        OK_OR_SAY(pool_start(pool, &err), err);
    }
    struct fixture_run r = {.training = training_create(&s, &err)};
    MADE_OR_SAY(r.training, err);
    fixture_iterate(&fixture, &r);
    r.system = threaded_training_create_with(
        r.training, r.iterator, &(struct threaded_training_options){.num_threads = 1, .backend = backend, .pool = pool}, &err);
    MADE_OR_SAY(r.system, err);
    fixture_steps(&r, 1);
    for (int i = 0; i < CHANGES; i++) {
        set(&r, changes[i]);
        fixture_steps(&r, 2);
        if (pool)
            ck_assert_int_eq(pool_gang_size(pool), changes[i] > 2 ? changes[i] : 2);
    }
    struct stats_report report;
    OK_OR_SAY(threaded_training_report(r.system, &report, &err), err);
    ck_assert_int_eq(report.num_spheres, 13);
    stats_report_release(&report);
    ck_assert_msg(training_state_hash(r.training) == want, "%s", team_backend_name(backend));
    fixture_stop(&r);
    pool_free(pool);
}

START_TEST(the_bits_stay_on_a_pool_of_ours)
{
    change_on(TEAM_PTHREAD, true);
}
END_TEST

START_TEST(the_bits_stay_on_threads_of_its_own)
{
    change_on(TEAM_PTHREAD, false);
}
END_TEST

START_TEST(the_bits_stay_on_openmp)
{
    change_on(TEAM_OPENMP, false);
}
END_TEST

START_TEST(what_cannot_be_is_refused_and_all_is_as_it_was)
{
    const struct train_settings s = fixture_settings(2, 2, 6, 0);
    const uint64_t want = constant(&s);
    static const enum team_backend backends[] = {TEAM_PTHREAD, TEAM_SERIAL};
    for (int b = 0; b < 2; b++) {
        if (!fixture_has_backend(backends[b]))
            continue;
        struct fixture_run r = fixture_start(&fixture, &s, 1, backends[b]);
        struct error err = {0};
        fixture_steps(&r, 2);
        ck_assert_int_eq(threaded_training_set_spheres(r.system, -1, &err), STATUS_CONFIG);
        ck_assert_int_eq(threaded_training_set_spheres(r.system, SPHERES_MAX + 1, &err), STATUS_CONFIG);
        ck_assert_msg(strstr(err.text, "1 to 1885, not 1886") != NULL, "%s", err.text);
        if (backends[b] == TEAM_SERIAL) {
            ck_assert_int_eq(threaded_training_set_spheres(r.system, 2, &err), STATUS_CONFIG);
            ck_assert_msg(strstr(err.text, "serial back end") != NULL, "%s", err.text);
            OK_OR_SAY(threaded_training_set_spheres(r.system, 0, &err), err);
        }
        ck_assert_int_eq(threaded_training_get_num_workers(r.system), 1);
        fixture_steps(&r, 4);
        ck_assert(training_state_hash(r.training) == want);
        fixture_stop(&r);
    }
}
END_TEST

START_TEST(without_memory_it_goes_on_as_it_was)
{
    const struct train_settings s = fixture_settings(2, 2, 6, 0);
    const uint64_t want = constant(&s);
    struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    struct error err = {0};
    fixture_steps(&r, 2);
    int refused = 0; /* of the requests, the failures that were told */
    for (int64_t n = 0; n < 40; n++) {
        mem_fail_at(n);
        const enum status st = threaded_training_set_spheres(r.system, 5, &err);
        mem_fail_at(-1);
        if (st == STATUS_OK) { /* reading the machine can do without, or there were not so many requests */
            set(&r, 2);
            continue;
        }
        ck_assert(st == STATUS_NOMEM || st == STATUS_SYSTEM);
        ck_assert(err.text[0] != 0);
        ck_assert_int_eq(threaded_training_get_num_workers(r.system), 2);
        refused++;
    }
    ck_assert_int_gt(refused, 3);
    fixture_steps(&r, 4);
    ck_assert(training_state_hash(r.training) == want);
    fixture_stop(&r);
}
END_TEST

START_TEST(a_profiled_training_keeps_its_spheres)
{
    const struct train_settings s = fixture_settings(2, 2, 3, 0);
    struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    struct error err = {0};
    OK_OR_SAY(threaded_training_profile(r.system, 0, 1, &err), err);
    ck_assert_int_eq(threaded_training_set_spheres(r.system, 3, &err), STATUS_MISUSE);
    ck_assert_msg(strstr(err.text, "profiled") != NULL, "%s", err.text);
    fixture_steps(&r, 3);
    fixture_stop(&r);
}
END_TEST

/* ---- while others ask, and during a pause ---- */

struct meddling {
    struct threaded_training *system;
    atomic_bool over;
    atomic_int calls; /* of on_control */
    int next;
};

static void read_stats(void *arg)
{
    struct meddling *m = arg;
    while (!atomic_load(&m->over)) {
        struct sphere_stats stats;
        for (int i = 0, n = threaded_training_get_num_workers(m->system); i < n && i < 20; i++)
            threaded_training_get_sphere_stats(m->system, i, &stats);
        threaded_training_wake(m->system);
    }
}

static enum status control(void *ctx, struct threaded_training *system, struct error *err)
{
    struct meddling *m = ctx;
    atomic_fetch_add(&m->calls, 1);
    return threaded_training_set_spheres(system, changes[m->next++ % CHANGES], err);
}

START_TEST(statistics_are_read_by_others_meanwhile)
{
    const struct train_settings s = fixture_settings(3, 2, 14, 0.1f);
    const uint64_t want = constant(&s);
    struct fixture_run r = fixture_start(&fixture, &s, 1, TEAM_PTHREAD);
    struct meddling m = {.system = r.system};
    struct error err = {0};
    threaded_training_on_control(r.system, control, &m);
    struct thread *reader = thread_start("reader", read_stats, &m, &err);
    MADE_OR_SAY(reader, err);
    while (training_step(r.training) < s.steps)
        ck_assert_msg(threaded_train_epoch(r.system) == STATUS_OK, "%s", threaded_training_error(r.system));
    atomic_store(&m.over, true);
    thread_join(reader);
    ck_assert_int_ge(atomic_load(&m.calls), 14);
    ck_assert(training_state_hash(r.training) == want);
    fixture_stop(&r);
}
END_TEST

static enum status pause_and_look(void *ctx, struct threaded_training *system, struct error *err)
{
    struct meddling *m = ctx;
    const int call = atomic_fetch_add(&m->calls, 1);
    (void)err;
    if (call == 0) {
        threaded_training_command(system, TRAINING_PAUSE);
        ck_assert(threaded_training_pause_wished(system));
    } else if (call == 1) {
        ck_assert(threaded_training_paused(system)); /* control looks again, now in the pause */
    } else if (call == 2) {
        threaded_training_command(system, TRAINING_RESUME);
    } else if (call == 4) {
        return error_set(err, STATUS_IO, "enough");
    }
    return STATUS_OK;
}

START_TEST(control_is_asked_during_a_pause_and_may_end_the_epoch)
{
    const struct train_settings s = fixture_settings(2, 2, 9, 0);
    struct fixture_run r = fixture_start(&fixture, &s, 2, TEAM_PTHREAD);
    struct meddling m = {.system = r.system};
    threaded_training_on_control(r.system, pause_and_look, &m);
    ck_assert_int_eq(threaded_train_epoch(r.system), STATUS_IO);
    ck_assert_str_eq(threaded_training_error(r.system), "enough");
    ck_assert_uint_eq(training_step(r.training), 2);
    ck_assert(!threaded_training_paused(r.system));
    fixture_stop(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("set_spheres");
    TCase *tc = tcase_create("set_spheres");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, the_peak_is_that_of_the_spheres);
    tcase_add_test(tc, the_bits_stay_on_a_pool_of_ours);
    tcase_add_test(tc, the_bits_stay_on_threads_of_its_own);
    tcase_add_test(tc, the_bits_stay_on_openmp);
    tcase_add_test(tc, what_cannot_be_is_refused_and_all_is_as_it_was);
    tcase_add_test(tc, without_memory_it_goes_on_as_it_was);
    tcase_add_test(tc, a_profiled_training_keeps_its_spheres);
    tcase_add_test(tc, statistics_are_read_by_others_meanwhile);
    tcase_add_test(tc, control_is_asked_during_a_pause_and_may_end_the_epoch);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
