/* SPDX-License-Identifier: MIT */
#include "runtime/sphere.h"

#include <check.h>
#include <stdlib.h>

static const struct {
    int num_spheres, levels, root_children, last_parent;
} TABLE[] = {
    {1, 1, 0, -1},      {2, 2, 1, 0},        {13, 2, 12, 0},      {14, 3, 12, 1},
    {157, 3, 12, 12},   {158, 4, 12, 13},    {1741, 4, 12, 144},  {1885, 4, 12, 156},
};

START_TEST(geometry_is_the_table_of_the_design)
{
    int n = TABLE[_i].num_spheres;
    ck_assert_int_eq(sphere_levels(n), TABLE[_i].levels);
    ck_assert_int_eq(sphere_num_children(0, n), TABLE[_i].root_children);
    ck_assert_int_eq(sphere_parent(n - 1), TABLE[_i].last_parent);
    ck_assert_int_eq(sphere_level(n - 1), TABLE[_i].levels - 1);
}
END_TEST

START_TEST(everyone_but_the_root_is_one_parents_child)
{
    int n = TABLE[_i].num_spheres, children = 0;
    for (int id = 0; id < n; id++) {
        ck_assert_int_eq(sphere_group(id), id % 12);
        int first = sphere_first_child(id), count = sphere_num_children(id, n);
        ck_assert(count >= 0 && count <= 12 && (count == 0 || first + count <= n));
        for (int child = first; child < first + count; child++) {
            ck_assert_int_eq(sphere_parent(child), id);
            ck_assert_int_eq(sphere_level(child), sphere_level(id) + 1);
        }
        children += count;
    }
    ck_assert_int_eq(children, n - 1);
    ck_assert_int_eq(sphere_parent(0), -1);
}
END_TEST

START_TEST(levels_begin_where_they_should)
{
    static const int FIRST[] = {0, 1, 13, 157};
    for (int level = 0; level < 4; level++) {
        ck_assert_int_eq(sphere_level(FIRST[level]), level);
        if (level > 0)
            ck_assert_int_eq(sphere_level(FIRST[level] - 1), level - 1);
    }
    ck_assert_int_eq(sphere_level(SPHERES_MAX - 1), 3);
    ck_assert_int_eq(sphere_level(SPHERES_MAX), 4); /* which is why there are no more */
}
END_TEST

START_TEST(shares_are_all_and_even_and_larger_first)
{
    static const int WIDTHS[] = {1, 2, 3, 7, 12, 13, 157, 1885};
    static const size_t SIZES[] = {0, 1, 2, 11, 12, 13, 1000, 1885, 65537};
    for (size_t w = 0; w < sizeof WIDTHS / sizeof WIDTHS[0]; w++)
        for (size_t s = 0; s < sizeof SIZES / sizeof SIZES[0]; s++) {
            size_t end = 0, least = SIZE_MAX, most = 0, before = SIZE_MAX;
            for (int id = 0; id < WIDTHS[w]; id++) {
                struct sphere me = {.id = id, .width = WIDTHS[w]};
                struct share share = sphere_share(&me, SIZES[s]);
                ck_assert_uint_eq(share.begin, end);
                ck_assert_uint_ge(share.end, share.begin);
                end = share.end;
                size_t size = share.end - share.begin;
                least = size < least ? size : least;
                most = size > most ? size : most;
                ck_assert_uint_le(size, before);
                before = size;
            }
            ck_assert_uint_eq(end, SIZES[s]);
            ck_assert_uint_le(most - least, 1);
        }
}
END_TEST

static uint64_t cost_causal(size_t i, const void *ctx)
{
    (void)ctx;
    return i + 1;
}

static uint64_t cost_huge(size_t i, const void *ctx)
{
    (void)ctx;
    return UINT64_MAX - i;
}

static uint64_t cost_zero(size_t i, const void *ctx)
{
    (void)i;
    (void)ctx;
    return 0;
}

static uint64_t cost_of_list(size_t i, const void *ctx)
{
    return ((const uint64_t *)ctx)[i];
}

START_TEST(weighted_shares_are_all_and_balanced)
{
    uint64_t (*const COSTS[])(size_t, const void *) = {cost_causal, cost_huge, cost_zero};
    static const int WIDTHS[] = {1, 2, 3, 7, 12, 13, 157};
    for (size_t c = 0; c < 3; c++)
        for (size_t w = 0; w < sizeof WIDTHS / sizeof WIDTHS[0]; w++)
            for (size_t n = 0; n < 300; n += 37) {
                double total = 0, largest = 0;
                for (size_t i = 0; i < n; i++) {
                    double cost = (double)COSTS[c](i, NULL);
                    total += cost;
                    largest = cost > largest ? cost : largest;
                }
                size_t end = 0;
                for (int id = 0; id < WIDTHS[w]; id++) {
                    struct sphere me = {.id = id, .width = WIDTHS[w]};
                    struct share share = sphere_share_weighted(&me, n, COSTS[c], NULL);
                    ck_assert_uint_eq(share.begin, end);
                    ck_assert_uint_ge(share.end, share.begin);
                    end = share.end;
                    double mine = 0;
                    for (size_t i = share.begin; i < share.end; i++)
                        mine += (double)COSTS[c](i, NULL);
                    /* A cut is off by half a unit at most, on either side. */
                    ck_assert(mine <= (total / WIDTHS[w] + largest) * (1 + 1e-9));
                }
                ck_assert_uint_eq(end, n);
            }
}
END_TEST

START_TEST(a_heavy_last_unit_stands_alone)
{
    static const uint64_t COSTS[] = {1, 3};
    struct sphere first = {.id = 0, .width = 2}, second = {.id = 1, .width = 2};
    struct share a = sphere_share_weighted(&first, 2, cost_of_list, COSTS);
    struct share b = sphere_share_weighted(&second, 2, cost_of_list, COSTS);
    ck_assert(a.begin == 0 && a.end == 1 && b.begin == 1 && b.end == 2);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("sphere");
    tcase_add_loop_test(tc, geometry_is_the_table_of_the_design, 0, sizeof TABLE / sizeof TABLE[0]);
    tcase_add_loop_test(tc, everyone_but_the_root_is_one_parents_child, 0, sizeof TABLE / sizeof TABLE[0]);
    tcase_add_test(tc, levels_begin_where_they_should);
    tcase_add_test(tc, shares_are_all_and_even_and_larger_first);
    tcase_add_test(tc, weighted_shares_are_all_and_balanced);
    tcase_add_test(tc, a_heavy_last_unit_stands_alone);
    Suite *suite = suite_create("sphere");
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
