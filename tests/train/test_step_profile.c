/* SPDX-License-Identifier: MIT
 *
 * Where a step's time went adds up to the step, its parts are those of the decoder, and asking changes no weight.
 */
#include "train/step_profile.h"

#include "fixture.h"

#include "base/memory.h"
#include "formats/json.h"
#include "model/decoder.h"

static const char *const PHASES[] = {"start", "pack", "embedding, q k v", "attention", "rows to next", "head", "head gradient",
                                     "R1", "A", "R2", "embedding gradient", "fold", "norm", "optimizer"};
enum { NUM_PHASES = sizeof PHASES / sizeof *PHASES, SPHERES = 2 };

static struct fixture_run profiled(const struct fixture *f, uint64_t skip, uint64_t trace, uint64_t steps)
{
    const struct train_settings s = fixture_settings(2, 2, 10, 0);
    struct fixture_run r = fixture_start(f, &s, SPHERES, TEAM_PTHREAD);
    struct error err = {0};
    OK_OR_SAY(threaded_training_profile(r.system, skip, trace, &err), err);
    fixture_steps(&r, steps);
    return r;
}

START_TEST(phases_add_up_to_the_step)
{
    struct fixture f;
    fixture_open(&f);
    struct fixture_run r = profiled(&f, 1, 0, 4);
    double loss;
    ck_assert_int_eq(threaded_training_evaluate(r.system, 1, &loss), STATUS_OK); /* has marks too, and is no step */
    const struct step_profile *p = threaded_training_profiled(r.system);
    ck_assert_uint_eq(p->first_step, 2);
    ck_assert_uint_eq(p->steps, 3);
    struct phase_total phases[PROFILE_MAX_PHASES];
    const int n = step_profile_phases(p, phases);
    ck_assert_int_eq(n, NUM_PHASES);
    double share = 0;
    uint64_t barriers = 0, flops = 0;
    for (int i = 0; i < n; i++) {
        ck_assert_str_eq(phases[i].name, PHASES[i]);
        share += step_profile_share(p, phases[i].busy_ns + phases[i].wait_ns);
        barriers += phases[i].barriers;
        flops += phases[i].flops;
    }
    ck_assert_msg(share > 0.5 && share <= 1, "%g", share);
    const double expected = decoder_train_flops_per_token(&training_settings(r.training)->model, 16) * 4 * 16 * 3;
    ck_assert_msg(!((double)flops < 0.5 * expected) && !((double)flops > 2 * expected), "%g of %g", (double)flops,
                  expected);
    /* the attention of two leaves: two barriers a layer and one before the next, in three steps of two spheres */
    ck_assert_uint_eq(phases[3].barriers, 2 * 2 * 3 * SPHERES);
    ck_assert(step_profile_gflops(p, &phases[3]) > 0);
    ck_assert(!(step_profile_gflops(p, &phases[0]) > 0));
    ck_assert_uint_gt(barriers, 0);
    fixture_stop(&r);
    fixture_close(&f);
}
END_TEST

START_TEST(table_and_trace)
{
    struct fixture f;
    fixture_open(&f);
    struct fixture_run r = profiled(&f, 1, 2, 5);
    const struct step_profile *p = threaded_training_profiled(r.system);
    struct buffer text = {0};
    step_profile_table(p, 100, true, &text);
    ck_assert_msg(strncmp(text.data, "steps 2 to 5: ", 14) == 0, "%s", text.data);
    for (int i = 0; i < NUM_PHASES; i++)
        ck_assert_ptr_nonnull(strstr(text.data, PHASES[i]));
    ck_assert_ptr_nonnull(strstr(text.data, "\nwaiting "));
    ck_assert_ptr_nonnull(strstr(text.data, "\n     1  optimizer"));
    ck_assert_ptr_nonnull(strstr(text.data, "of peak"));
    buffer_clear(&text);
    step_profile_trace(p, &text);
    json_error_t where;
    json_t *trace = json_loadb(text.data, text.len, 0, &where);
    ck_assert_msg(trace != NULL, "%s", where.text);
    json_t *events = json_object_get(trace, "traceEvents"), *e;
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(trace, "otherData"), "events_left_out")), 0);
    size_t i, starts[SPHERES] = {0}, names = 0;
    json_array_foreach(events, i, e) {
        const char *kind = json_string_value(json_object_get(e, "ph"));
        const json_int_t sphere = json_integer_value(json_object_get(e, "tid"));
        ck_assert(sphere >= 0 && sphere < SPHERES);
        names += kind[0] == 'M';
        if (kind[0] == 'M')
            continue;
        ck_assert(json_real_value(json_object_get(e, "ts")) >= 0);
        ck_assert(json_real_value(json_object_get(e, "dur")) > 0);
        const json_t *phase = json_object_get(json_object_get(e, "args"), "phase");
        starts[sphere] += phase && strcmp(json_string_value(phase), "start") == 0;
    }
    ck_assert_uint_eq(names, SPHERES);
    ck_assert_uint_eq(starts[0], 2); /* as many steps as were asked for */
    ck_assert_uint_eq(starts[1], 2);
    json_decref(trace);
    buffer_release(&text);
    fixture_stop(&r);
    fixture_close(&f);
}
END_TEST

START_TEST(asking_changes_nothing)
{
    struct fixture f;
    fixture_open(&f);
    struct fixture_run r = profiled(&f, 0, 2, 4);
    const struct train_settings s = fixture_settings(2, 2, 10, 0);
    struct fixture_run plain = fixture_start(&f, &s, SPHERES, TEAM_PTHREAD);
    fixture_steps(&plain, 4);
    ck_assert_mem_eq(model_data(training_model(r.training)), model_data(training_model(plain.training)),
                     model_size(training_model(r.training)) * sizeof(float));
    const uint64_t requests = mem_request_count();
    fixture_steps(&r, 2);
    ck_assert_uint_eq(mem_request_count(), requests);
    struct buffer text = {0};
    step_profile_table(&(struct step_profile){.team = NULL}, 0, true, &text);
    ck_assert_str_eq(text.data, "no step was profiled\n");
    buffer_release(&text);
    fixture_stop(&plain);
    fixture_stop(&r);
    fixture_close(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("step_profile");
    TCase *tc = tcase_create("step_profile");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, phases_add_up_to_the_step);
    tcase_add_test(tc, table_and_trace);
    tcase_add_test(tc, asking_changes_nothing);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
