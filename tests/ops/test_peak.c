/* SPDX-License-Identifier: MIT
 * What a machine could do at the best, of kernels whose speed is known, and of the real ones.
 */
#include "ops/peak.h"

#include "base/clock.h"
#include "base/memory.h"
#include "topology/topology.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

static struct team *make_team(int spheres)
{
    struct error err = {0};
    struct team *team = team_new(&(struct team_options){.num_spheres = spheres, .backend = TEAM_PTHREAD}, &err);
    ck_assert_msg(team != NULL, "%s", err.text);
    return team;
}

/* One operation a nanosecond of the thread's own time, whatever else the machine does. */
static double one_a_ns(size_t rounds, float *result)
{
    const uint64_t start_ns = clock_thread_ns();
    uint64_t ns;
    while ((ns = clock_thread_ns() - start_ns) < rounds)
        result[0] += 1;
    return (double)ns;
}

/* The same of the time that passes: who shares a core is no slower. */
static double one_a_passed_ns(size_t rounds, float *result)
{
    const uint64_t start_ns = clock_now_ns();
    uint64_t ns;
    while ((ns = clock_now_ns() - start_ns) < rounds)
        result[0] += 1;
    return (double)ns;
}

START_TEST(members_add_up)
{
    for (int spheres = 1; spheres <= 3; spheres++) {
        struct team *team = make_team(spheres);
        const uint64_t before = mem_request_count();
        for (int width = 1; width <= spheres; width++) {
            const double quick = peak_quick(team, width, one_a_ns), best = peak_best(team, width, one_a_passed_ns);
            ck_assert_msg(quick > 0.5 * width && quick <= width, "%d: %g", width, quick);
            ck_assert_msg(best > 0 && best <= width, "%d: %g", width, best);
        }
        ck_assert_uint_eq(mem_request_count(), before);
        team_free(team);
    }
}
END_TEST

START_TEST(real_units)
{
    struct team *team = make_team(1);
    for (int bf16_units = 0; bf16_units < 2; bf16_units++) {
        const double peak = peak_quick(team, 1, peak_kernel_in_use(bf16_units));
        ck_assert_msg(isfinite(peak) && peak > 0.01 && peak < 1e5, "%g GFLOP/s", peak);
    }
    team_free(team);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("peak");
    TCase *tc = tcase_create("peak");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, members_add_up);
    tcase_add_test(tc, real_units);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
