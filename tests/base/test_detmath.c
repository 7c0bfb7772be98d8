/* SPDX-License-Identifier: MIT
 *
 * Against libm in long double, where that has more than double's 53 bits; the bits themselves against recorded ones.
 */
#include "base/detmath.h"

#include "base/rng.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SAMPLES = 200000 };
static const double MOST_ULP = 4;

/* The error of `got` in units of the last place of the true value. */
static double error_ulp(double got, long double truth)
{
    double rounded = fabs((double)truth);
    double ulp = rounded < DBL_MIN ? DBL_TRUE_MIN : nextafter(rounded, INFINITY) - rounded;
    return (double)(fabsl((long double)got - truth) / ulp);
}

static double uniform(uint64_t i, double low, double high)
{
    struct rng_block block = philox4x32(11, 0, i);
    return low + (high - low) * rng_uniform(&block, 0);
}

static void check_log(double x)
{
    double e = error_ulp(det_log(x), logl((long double)x));
    ck_assert_msg(e <= MOST_ULP, "det_log(%a) is off by %g ulp", x, e);
}

START_TEST(log_is_close)
{
    for (uint64_t i = 0; i < SAMPLES; i++) {
        check_log(ldexp(uniform(i, 1, 2), (int)uniform(i + SAMPLES, -1022, 1023)));
        check_log(uniform(i, 0.5, 2));
        check_log(1 + uniform(i, -1e-8, 1e-8));
    }
    check_log(DBL_TRUE_MIN);
    check_log(DBL_MIN);
    check_log(DBL_MAX);
    ck_assert(det_log(1) == 0);
    ck_assert(det_log(0) == -INFINITY && det_log(INFINITY) == INFINITY);
    ck_assert(isnan(det_log(-1)) && isnan(det_log(NAN)));
}
END_TEST

START_TEST(exp_is_close)
{
    for (uint64_t i = 0; i < SAMPLES; i++) {
        double x = i % 2 ? uniform(i, -745, 709) : uniform(i, -1, 1);
        double e = error_ulp(det_exp(x), expl((long double)x));
        ck_assert_msg(e <= MOST_ULP, "det_exp(%a) is off by %g ulp", x, e);
    }
    ck_assert(det_exp(0) == 1);
    ck_assert(det_exp(710) == INFINITY && det_exp(INFINITY) == INFINITY);
    ck_assert(det_exp(-746) == 0 && det_exp(-INFINITY) == 0);
    ck_assert(isnan(det_exp(NAN)));
}
END_TEST

START_TEST(cospi_is_close)
{
    const long double pi = 3.14159265358979323846264338327950288L;
    for (uint64_t i = 0; i < SAMPLES; i++) {
        double x = i % 2 ? uniform(i, -1e6, 1e6) : uniform(i, 0, 2);
        long double reduced = fmodl(fabsl((long double)x), 2);
        /* sin near the zeros, so that the reference keeps its bits there */
        long double near = reduced < 1 ? 0.5L - reduced : reduced - 1.5L;
        long double truth = fabsl(near) < 0.25L ? sinl(pi * near) : cosl(pi * reduced);
        double e = error_ulp(det_cospi(x), truth);
        ck_assert_msg(e <= MOST_ULP, "det_cospi(%a) is off by %g ulp", x, e);
    }
    ck_assert(det_cospi(0) == 1 && det_cospi(1) == -1 && det_cospi(2) == 1 && det_cospi(-1) == -1);
    ck_assert(fabs(det_cospi(0.5)) < 1e-16 && fabs(det_cospi(1000000.5)) < 1e-16);
}
END_TEST

START_TEST(powi_is_close)
{
    for (uint64_t i = 0; i < 1000; i++) {
        double x = uniform(i, 0.5, 2);
        for (unsigned long long n = 0; n < 20; n++) {
            double e = error_ulp(det_powi(x, n), powl((long double)x, (long double)n));
            ck_assert_msg(e <= (double)n + 1, "det_powi(%a, %llu) is off by %g ulp", x, n, e);
        }
    }
    ck_assert(det_powi(0, 0) == 1 && det_powi(0, 5) == 0 && det_powi(-2, 3) == -8);
    ck_assert(det_powi(0.9, 1000000) == 0 || det_powi(0.9, 1000000) < 1e-300);
}
END_TEST

/* These bits are in the weights of every run: no compiler, flag or machine may change them. */
START_TEST(the_bits_are_the_recorded_ones)
{
    ck_assert(det_log(0x1.8p+1) == 0x1.193ea7aad030bp+0);
    ck_assert(det_log(0x0.0000000006p-1022) == -0x1.6f2a4f5736e06p+9);
    ck_assert(det_log(0x1.7e43c8800759cp+996) == 0x1.5963447f87fb5p+9);
    ck_assert(det_exp(0x1p+0) == 0x1.5bf0a8b14576ap+1);
    ck_assert(det_exp(-0x1.5e2p+9) == 0x1.af5fe9a485c8ep-1011);
    ck_assert(det_exp(-0x1p-30) == 0x1.fffffff8p-1);
    ck_assert(det_cospi(0x1.3333333333333p-2) == 0x1.2cf2304755a5ep-1);
    ck_assert(det_cospi(0x1.81cd6c8b43958p+13) == 0x1.0f9f297584428p-1);
    ck_assert(det_cospi(0x1.fffd60e94ee39p-2) == 0x1.078930424b7efp-15);
    ck_assert(det_powi(0x1.ffbe76c8b4396p-1, 777) == 0x1.5b23c75ca8a01p-1);
    ck_assert(rng_normal(rng_key(1, RNG_INIT, 2, 3), 4) == -0x1.6eddcfdcf3b13p-5);
    ck_assert_uint_eq(rng_permute(rng_key(1, RNG_SHUFFLE, 0, 0), 1000003, 7), 303870);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("detmath");
    if (LDBL_MANT_DIG > DBL_MANT_DIG) {
        tcase_add_test(tc, log_is_close);
        tcase_add_test(tc, exp_is_close);
        tcase_add_test(tc, cospi_is_close);
        tcase_add_test(tc, powi_is_close);
    }
    tcase_add_test(tc, the_bits_are_the_recorded_ones);
    Suite *suite = suite_create("detmath");
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
