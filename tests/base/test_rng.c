/* SPDX-License-Identifier: MIT */
#include "base/rng.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Known answers published with Random123 (kat_vectors, philox4x32 10). */
static const struct {
    uint64_t key, hi, lo;
    uint32_t want[4];
} KNOWN[] = {
    {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

START_TEST(philox_gives_the_published_numbers)
{
    struct rng_block block = philox4x32(KNOWN[_i].key, KNOWN[_i].hi, KNOWN[_i].lo);
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(block.word[i], KNOWN[_i].want[i]);
}
END_TEST

START_TEST(every_coordinate_makes_another_key)
{
    uint64_t keys[] = {rng_key(1, RNG_INIT, 0, 0),    rng_key(2, RNG_INIT, 0, 0), rng_key(1, RNG_DROPOUT, 0, 0),
                       rng_key(1, RNG_INIT, 1, 0),    rng_key(1, RNG_INIT, 0, 1), rng_key(1, RNG_INIT, 1, 1),
                       rng_key(1, RNG_INIT, 1ull << 40, 0), rng_key(1, RNG_INIT, 0, 1ull << 40)};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        for (size_t j = 0; j < i; j++)
            ck_assert_uint_ne(keys[i], keys[j]);
    ck_assert_uint_eq(keys[0], rng_key(1, RNG_INIT, 0, 0));
}
END_TEST

START_TEST(uniforms_are_never_0_or_1)
{
    struct rng_block least = {{0, 0, 0, 0}}, most = {{UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX}};
    for (int i = 0; i < 2; i++) {
        ck_assert(rng_uniform(&least, i) > 0 && rng_uniform(&least, i) < 1e-15);
        ck_assert(rng_uniform(&most, i) < 1 && rng_uniform(&most, i) > 1 - 1e-15);
    }
}
END_TEST

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The largest distance of the empirical distribution from `cdf` (Kolmogorov and Smirnov).  Above 1.95 / sqrt(n) by
 * chance once in a thousand keys; these keys are fixed and below. */
static double distance(double *x, size_t n, double (*cdf)(double))
{
    double worst = 0;
    qsort(x, n, sizeof *x, ascending);
    for (size_t i = 0; i < n; i++) {
        double p = cdf(x[i]), below = p - (double)i / (double)n, above = (double)(i + 1) / (double)n - p;
        worst = below > worst ? below : worst;
        worst = above > worst ? above : worst;
    }
    return worst;
}

static double uniform_cdf(double x)
{
    return x;
}

static double normal_cdf(double x)
{
    return 0.5 * erfc(-x / sqrt(2));
}

enum { SAMPLES = 100000 };

START_TEST(numbers_follow_their_distribution)
{
    double *x = malloc(SAMPLES * sizeof *x);
    ck_assert_ptr_nonnull(x);
    uint64_t key = rng_key((uint64_t)_i, RNG_TEST, 0, 0);
    for (uint64_t i = 0; i < SAMPLES; i++) {
        struct rng_block block = philox4x32(key, 1, i);
        x[i] = rng_uniform(&block, (int)(i % 2));
    }
    ck_assert(distance(x, SAMPLES, uniform_cdf) <= 1.95 / sqrt(SAMPLES));
    double sum = 0, squares = 0, products = 0, before = 0;
    for (uint64_t i = 0; i < SAMPLES; i++) {
        x[i] = rng_normal(key, i);
        sum += x[i];
        squares += x[i] * x[i];
        products += x[i] * before;
        before = x[i];
    }
    ck_assert(fabs(sum / SAMPLES) <= 4 / sqrt(SAMPLES));
    ck_assert(fabs(squares / SAMPLES - 1) <= 4 * sqrt(2.0 / SAMPLES));
    ck_assert(fabs(products / SAMPLES) <= 4 / sqrt(SAMPLES));
    ck_assert(distance(x, SAMPLES, normal_cdf) <= 1.95 / sqrt(SAMPLES));
    free(x);
}
END_TEST

static const uint64_t SIZES[] = {1, 2, 3, 4, 5, 15, 16, 17, 100, 255, 256, 257, 1000, 65536, 65537};

START_TEST(a_permutation_meets_each_once)
{
    const uint64_t n = SIZES[_i];
    unsigned char *met = calloc(1, n);
    ck_assert_ptr_nonnull(met);
    uint64_t fixed = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t to = rng_permute(99, n, i);
        ck_assert_uint_lt(to, n);
        ck_assert_uint_eq(met[to]++, 0);
        fixed += to == i;
    }
    if (n >= 100)
        ck_assert_uint_le(fixed, 10); /* one is expected, whatever n */
    free(met);
}
END_TEST

START_TEST(permutations_differ_by_key_and_work_for_large_n)
{
    int same = 0;
    for (uint64_t i = 0; i < 1000; i++)
        same += rng_permute(1, 1000, i) == rng_permute(2, 1000, i);
    ck_assert_int_le(same, 10);
    static const uint64_t LARGE[] = {1ull << 32, (1ull << 40) + 1, 1ull << 63, UINT64_MAX};
    for (size_t k = 0; k < sizeof LARGE / sizeof LARGE[0]; k++)
        for (uint64_t i = 0; i < 100; i++) {
            uint64_t to = rng_permute(5, LARGE[k], LARGE[k] - 1 - i);
            ck_assert_uint_lt(to, LARGE[k]);
        }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("rng");
    tcase_add_loop_test(tc, philox_gives_the_published_numbers, 0, sizeof KNOWN / sizeof KNOWN[0]);
    tcase_add_test(tc, every_coordinate_makes_another_key);
    tcase_add_test(tc, uniforms_are_never_0_or_1);
    tcase_add_loop_test(tc, numbers_follow_their_distribution, 0, 3);
    tcase_add_loop_test(tc, a_permutation_meets_each_once, 0, sizeof SIZES / sizeof SIZES[0]);
    tcase_add_test(tc, permutations_differ_by_key_and_work_for_large_n);
    Suite *suite = suite_create("rng");
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
