/* SPDX-License-Identifier: MIT */
#include "runtime/place_internal.h"

#include "runtime/sphere.h"
#include "runtime/team.h"
#include "topology/cpu_map.h"
#include "topology/topology.h"

#include <check.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

START_TEST(children_are_placed_beside_their_parents)
{
    int cpus[64];
    struct places p = {.cpus = cpus, .count = 64};
    for (int i = 0; i < 64; i++)
        cpus[i] = 100 + i;
    bool taken[64] = {false};
    for (int id = 0; id < 64; id++) { /* one each, and a first child next to its parent */
        const int cpu = place_of(&p, id, 64) - 100;
        ck_assert(cpu >= 0 && cpu < 64 && !taken[cpu]);
        taken[cpu] = true;
        if (id > 0 && id == sphere_first_child(sphere_parent(id)))
            ck_assert_int_eq(cpu, place_of(&p, sphere_parent(id), 64) - 100 + 1);
    }
    for (int id = 0; id < 13; id++) /* fewer keep together */
        ck_assert_int_eq(place_of(&p, id, 13), 100 + id);
    for (int width = 65; width <= SPHERES_MAX; width += 91) { /* equal parts, none empty; as a team pins them */
        int count[64] = {0}, other = 0;
        for (int id = 0; id < width; id++) {
            const int slot = place_slot(id, width, 64), at = place_of(&p, id, width) - 100;
            other += slot != PLACE_ANYWHERE && slot != at;
            count[at]++;
        }
        ck_assert_int_eq(other, 0);
        for (int i = 0; i < 64; i++)
            ck_assert(count[i] == width / 64 || count[i] == width / 64 + 1);
    }
    ck_assert_int_eq(place_of(&p, -1, 64), -1);
    ck_assert_int_eq(place_of(&p, 64, 64), -1);
    p.count = 0;
    ck_assert_int_eq(place_of(&p, 0, 64), -1);
}
END_TEST

START_TEST(near_cpus_come_first_and_siblings_last)
{
    /* Two packages of two cores of two threads; CPU 6 is not ours, CPU 9 is not on the map. */
    static struct cpu_info near[] = {{.cpu = 0, .core = 0}, {.cpu = 4, .core = 0}, {.cpu = 2, .core = 2},
                                     {.cpu = 6, .core = 2}, {.cpu = 1, .core = 1}, {.cpu = 5, .core = 1},
                                     {.cpu = 3, .core = 3}, {.cpu = 7, .core = 3}};
    const struct cpu_map map = {.cpus = near, .count = 8}, empty = {.count = 0};
    int cpus[] = {0, 1, 2, 3, 4, 5, 7, 9};
    static const int ASCENDING[] = {0, 1, 2, 3, 4, 5, 7, 9}, WANT[] = {0, 2, 1, 3, 4, 5, 7, 9};
    struct places p = {.cpus = cpus, .count = 8};
    places_order(&p, &empty);
    ck_assert_mem_eq(cpus, ASCENDING, sizeof cpus);
    for (int again = 0; again < 2; again++) {
        places_order(&p, &map);
        ck_assert_mem_eq(cpus, WANT, sizeof cpus);
    }
    int second[] = {4, 6}; /* the first thread of a core that is ours counts as its first */
    p = (struct places){.cpus = second, .count = 2};
    places_order(&p, &map);
    ck_assert_int_eq(second[0], 4);
    ck_assert_int_eq(second[1], 6);
    p.count = 0;
    places_order(&p, &map);
}
END_TEST

START_TEST(pinning_to_a_cpu_that_is_not_ours_is_an_error)
{
    struct error err = {0};
    struct places places;
    cpu_set_t before, now;
    ck_assert_int_eq(sched_getaffinity(0, sizeof before, &before), 0);
    ck_assert_int_eq(places_init(&places, &err), STATUS_OK);
    ck_assert_int_eq(places.count, CPU_COUNT(&before));
    static const int ABSURD[] = {-1, INT_MIN, 8191, 8192, INT_MAX};
    for (size_t i = 0; i < sizeof ABSURD / sizeof ABSURD[0]; i++) {
        ck_assert_int_eq(place_pin(&places, ABSURD[i], &err), STATUS_CONFIG);
        ck_assert_ptr_nonnull(strstr(err.text, "is not one that this process may run on; those are "));
    }
    ck_assert_int_eq(sched_getaffinity(0, sizeof now, &now), 0);
    ck_assert(CPU_EQUAL(&before, &now));
    for (int i = 0; i < places.count; i++) { /* also after it was pinned elsewhere */
        ck_assert_int_eq(place_pin(&places, places.cpus[i], &err), STATUS_OK);
        ck_assert_int_eq(sched_getcpu(), places.cpus[i]);
    }
    if (places.count > 1) { /* as under taskset: the machine has the CPU, but we may not use it */
        struct places fewer;
        ck_assert_int_eq(places_init(&fewer, &err), STATUS_OK);
        ck_assert_int_eq(fewer.count, 1);
        ck_assert_int_eq(place_pin(&fewer, places.cpus[0], &err), STATUS_CONFIG);
        char text[128];
        snprintf(text, sizeof text, "CPU %d is not one that this process may run on; those are %d", places.cpus[0],
                 fewer.cpus[0]);
        ck_assert_str_eq(err.text, text);
        places_release(&fewer);
    }
    places_release(&places);
    ck_assert_int_eq(place_pin(&places, 0, &err), STATUS_CONFIG);
    ck_assert_int_eq(sched_setaffinity(0, sizeof before, &before), 0);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("place");
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, every_slot_has_its_share_of_every_width);
    tcase_add_test(tc, subtrees_stay_together);
    tcase_add_test(tc, few_spheres_go_anywhere);
    tcase_add_test(tc, children_are_placed_beside_their_parents);
    tcase_add_test(tc, near_cpus_come_first_and_siblings_last);
    tcase_add_test(tc, pinning_to_a_cpu_that_is_not_ours_is_an_error);
    tcase_add_test(tc, many_are_placed_and_few_are_let_go_again);
    Suite *suite = suite_create("place");
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
