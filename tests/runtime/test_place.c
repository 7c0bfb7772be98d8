/* SPDX-License-Identifier: MIT */
#include "runtime/place_internal.h"

#include "runtime/sphere.h"
#include "runtime/team.h"
#include "topology/topology.h"

#include <check.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

START_TEST(every_slot_has_its_share_of_every_width)
{
    static const int SLOTS[] = {2, 3, 7, 16, 64};
    for (size_t s = 0; s < sizeof SLOTS / sizeof SLOTS[0]; s++)
        for (int width = 16 * SLOTS[s]; width <= SPHERES_MAX; width += 61) {
            int count[64] = {0};
            for (int id = 0; id < width; id++) {
                int slot = place_slot(id, width, SLOTS[s]);
                ck_assert(slot >= 0 && slot < SLOTS[s]);
                count[slot]++;
            }
            for (int slot = 0; slot < SLOTS[s]; slot++)
                ck_assert(count[slot] == width / SLOTS[s] || count[slot] == width / SLOTS[s] + 1);
        }
}
END_TEST

/* Cutting a depth-first order in `slots` parts cuts at most 3 subtrees a cut: one on each level above the leaves. */
START_TEST(subtrees_stay_together)
{
    for (int width = 200; width <= SPHERES_MAX; width += 123)
        for (int slots = 2; slots <= 8; slots++) {
            int apart = 0;
            for (int id = 1; id < width; id++)
                if (sphere_level(id) == sphere_levels(width) - 1) {
                    int first = sphere_first_child(sphere_parent(id));
                    apart += id == first + 1 && place_slot(first, width, slots) != place_slot(id, width, slots);
                }
            ck_assert_int_lt(apart, slots);
        }
}
END_TEST

START_TEST(few_spheres_go_anywhere)
{
    ck_assert_int_eq(place_slot(0, 1885, 1), PLACE_ANYWHERE);
    ck_assert_int_eq(place_slot(0, 1885, 0), PLACE_ANYWHERE);
    ck_assert_int_eq(place_slot(5, 31, 2), PLACE_ANYWHERE);
    ck_assert_int_ne(place_slot(5, 32, 2), PLACE_ANYWHERE);
}
END_TEST

struct look {
    int cpus; /* those a member may run on */
    atomic_int wrong;
};

static void count_cpus(struct sphere *me, void *arg)
{
    (void)me;
    struct look *look = arg;
    cpu_set_t mask;
    if (sched_getaffinity(0, sizeof mask, &mask) != 0 || CPU_COUNT(&mask) != look->cpus)
        look->wrong++;
}

START_TEST(many_are_placed_and_few_are_let_go_again)
{
    struct topology t;
    topology_read(&t);
    if (t.affinity_threads < 2 || t.affinity_threads > 64 || t.quota_cpus > 0)
        return;
    const int many = 16 * t.affinity_threads;
    struct error err = {0};
    struct team *team = team_new(&(struct team_options){.num_spheres = many}, &err);
    ck_assert_msg(team != NULL, "%s", err.text);
    struct look look = {.cpus = 1};
    team_run(team, many, count_cpus, &look);
    look.cpus = t.affinity_threads;
    team_run(team, many - 1, count_cpus, &look);
    look.cpus = 1;
    team_run(team, many, count_cpus, &look);
    ck_assert_int_eq(look.wrong, 0);
    team_free(team);
    cpu_set_t mask;
    ck_assert_int_eq(sched_getaffinity(0, sizeof mask, &mask), 0);
    ck_assert_int_eq(CPU_COUNT(&mask), t.affinity_threads); /* the caller's own is left alone */
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("place");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, every_slot_has_its_share_of_every_width);
    tcase_add_test(tc, subtrees_stay_together);
    tcase_add_test(tc, few_spheres_go_anywhere);
    tcase_add_test(tc, many_are_placed_and_few_are_let_go_again);
    Suite *suite = suite_create("place");
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
