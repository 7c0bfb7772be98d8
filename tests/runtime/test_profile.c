/* SPDX-License-Identifier: MIT
 *
 * A profiled run books every nanosecond of every member, in the phase it was spent in.
 */
#include "runtime/profile.h"

#include "base/clock.h"
#include "base/memory.h"
#include "runtime/team.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { SPHERES = 3, EVENTS = 64 };

static struct team *new_team(void)
{
    struct error err = {0};
    struct team *team = team_new(&(struct team_options){.num_spheres = SPHERES}, &err);
    ck_assert_msg(team != NULL, "%s", err.text);
    return team;
}

static void work_ms(int ms)
{
    const uint64_t end = clock_now_ns() + (uint64_t)ms * 1000000;
    while (clock_now_ns() < end)
        ;
}

/* Sphere 0 works 4 ms in "uneven" where the others work none, and so they wait. */
static void two_phases(struct sphere *me, void *arg)
{
    (void)arg;
    sphere_phase(me, "uneven");
    if (me->id == 0) {
        work_ms(4);
        sphere_count_flops(me, 1000);
    }
    sphere_barrier(me);
    sphere_barrier(me);
    sphere_phase(me, "even");
    sphere_count_flops(me, 7);
    char again[] = "even"; /* the same text is the same phase, which goes on */
    sphere_phase(me, again);
}

static const struct phase_total *find(const struct sphere_profile *p, const char *name)
{
    for (int i = 0; i < p->num_phases; i++)
        if (strcmp(p->phases[i].name, name) == 0)
            return &p->phases[i];
    ck_abort_msg("no phase %s", name);
    return NULL;
}

START_TEST(totals)
{
    struct team *team = new_team();
    struct error err = {0};
    ck_assert_int_eq(team_profile_reserve(team, 0, &err), STATUS_OK);
    team_run(team, SPHERES, two_phases, NULL);
    ck_assert_int_eq(team_profile(team, 0)->num_phases, 0); /* not before it is asked for */

    team_profile_set(team, PROFILE_TOTALS);
    const uint64_t start = clock_now_ns();
    team_run(team, SPHERES, two_phases, NULL);
    const uint64_t lasted = clock_now_ns() - start;
    uint64_t first = 0;
    for (int id = 0; id < SPHERES; id++) {
        const struct sphere_profile *p = team_profile(team, id);
        ck_assert_int_eq(p->num_phases, 3);
        ck_assert_str_eq(p->phases[0].name, "start");
        const struct phase_total *uneven = find(p, "uneven"), *even = find(p, "even");
        ck_assert_uint_eq(uneven->flops, id == 0 ? 1000 : 0);
        ck_assert_uint_eq(even->flops, 7);
        ck_assert_uint_eq(uneven->barriers, 2);
        ck_assert_uint_eq(even->barriers, 0);
        if (id == 0)
            ck_assert_uint_ge(uneven->busy_ns, 4000000);
        uint64_t all = 0;
        for (int i = 0; i < p->num_phases; i++)
            all += p->phases[i].busy_ns + p->phases[i].wait_ns;
        ck_assert_uint_le(all, lasted);
        ck_assert_uint_ge(all, 4000000);
        first = id == 0 ? all : first;
        ck_assert_uint_eq(all, first); /* from the run's start to its end, whoever it is */
        ck_assert_uint_eq(p->num_events, 0);
    }
    team_profile_set(team, PROFILE_OFF);
    const uint64_t before = find(team_profile(team, 1), "uneven")->wait_ns;
    team_run(team, SPHERES, two_phases, NULL);
    ck_assert_uint_eq(find(team_profile(team, 1), "uneven")->wait_ns, before);
    team_profile_clear(team);
    ck_assert_int_eq(team_profile(team, 1)->num_phases, 0);
    team_free(team);
}
END_TEST

START_TEST(events_are_a_line_without_gaps)
{
    struct team *team = new_team();
    struct error err = {0};
    ck_assert_int_eq(team_profile_reserve(team, EVENTS, &err), STATUS_OK);
    team_profile_set(team, PROFILE_EVENTS);
    team_run(team, SPHERES, two_phases, NULL);
    const uint64_t begin = team_profile(team, 0)->events[0].begin_ns;
    for (int id = 0; id < SPHERES; id++) {
        const struct sphere_profile *p = team_profile(team, id);
        uint64_t booked = 0;
        for (int i = 0; i < p->num_phases; i++)
            booked += p->phases[i].busy_ns + p->phases[i].wait_ns;
        ck_assert_uint_ge(p->num_events, 4);
        ck_assert_uint_eq(p->events_left_out, 0);
        ck_assert(p->events[0].waiting);
        ck_assert_uint_eq(p->events[0].begin_ns, begin);
        for (size_t i = 0; i + 1 < p->num_events; i++)
            ck_assert_uint_eq(p->events[i].end_ns, p->events[i + 1].begin_ns);
        ck_assert_uint_eq(p->events[p->num_events - 1].end_ns - begin, booked);
    }
    team_free(team);
}
END_TEST

START_TEST(full_is_counted_and_nothing_is_allocated)
{
    struct team *team = new_team();
    struct error err = {0};
    ck_assert_int_eq(team_profile_reserve(team, 2, &err), STATUS_OK);
    team_profile_set(team, PROFILE_EVENTS);
    const uint64_t requests = mem_request_count();
    for (int i = 0; i < 10; i++)
        team_run(team, SPHERES, two_phases, NULL);
    ck_assert_uint_eq(mem_request_count(), requests);
    for (int id = 0; id < SPHERES; id++) {
        ck_assert_uint_eq(team_profile(team, id)->num_events, 2);
        ck_assert_uint_ge(team_profile(team, id)->events_left_out, 10);
        ck_assert_uint_eq(find(team_profile(team, id), "uneven")->barriers, 20); /* totals go on */
    }
    team_free(team);
}
END_TEST

static void nothing(struct sphere *me, void *arg)
{
    (void)arg;
    sphere_phase(me, "uneven");
}

START_TEST(who_has_no_part_books_nothing)
{
    struct team *team = new_team();
    struct error err = {0};
    ck_assert_int_eq(team_profile_reserve(team, EVENTS, &err), STATUS_OK);
    team_profile_set(team, PROFILE_EVENTS);
    team_run(team, 1, nothing, NULL);
    ck_assert_int_eq(team_profile(team, 0)->num_phases, 2);
    ck_assert_int_eq(team_profile(team, 2)->num_phases, 0);
    team_free(team);
}
END_TEST

START_TEST(refused_memory)
{
    struct team *team = new_team();
    struct error err = {0};
    ck_assert_int_eq(team_profile_reserve(team, SIZE_MAX / 2, &err), STATUS_NOMEM);
    ck_assert_ptr_null(team_profile(team, 0));
    mem_fail_at(0);
    ck_assert_int_eq(team_profile_reserve(team, EVENTS, &err), STATUS_NOMEM);
    mem_fail_at(-1);
    ck_assert_ptr_nonnull(strstr(err.text, "3 spheres"));
    team_profile_clear(team);
    team_run(team, SPHERES, two_phases, NULL);
    team_free(team);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("profile");
    TCase *tc = tcase_create("profile");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, totals);
    tcase_add_test(tc, events_are_a_line_without_gaps);
    tcase_add_test(tc, full_is_counted_and_nothing_is_allocated);
    tcase_add_test(tc, who_has_no_part_books_nothing);
    tcase_add_test(tc, refused_memory);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
