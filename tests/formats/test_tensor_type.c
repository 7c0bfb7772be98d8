/* SPDX-License-Identifier: MIT */
#include "formats/tensor_type.h"

#include "base/rng.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 4096 };
static float x[N], y[N];
static unsigned char bytes[4 * N + 1];

static void numbers(double scale)
{
    for (size_t i = 0; i < N; i++)
        x[i] = (float)(rng_normal(rng_key(1, RNG_TEST, 0, 0), i) * scale);
}

START_TEST(names_and_sizes)
{
    enum tensor_type type;
    size_t n;
    ck_assert(tensor_type_find("bf16", &type) && type == TENSOR_BF16);
    ck_assert(tensor_type_find("Q8_0", &type) && type == TENSOR_Q8_0);
    ck_assert(!tensor_type_find("Q4_0", &type));
    ck_assert_str_eq(tensor_type_name(TENSOR_F16), "F16");
    ck_assert(tensor_type_bytes(TENSOR_Q8_0, 64, &n) && n == 68);
    ck_assert(!tensor_type_bytes(TENSOR_Q8_0, 48, &n));
    ck_assert(!tensor_type_bytes(TENSOR_F32, SIZE_MAX / 2, &n));
}
END_TEST

/* Each type's values come back as they are, from any address. */
START_TEST(values_of_the_type_are_kept)
{
    for (enum tensor_type type = TENSOR_F32; type <= TENSOR_Q8_0; type++) {
        numbers(3);
        tensor_encode(bytes + 1, x, type, N);
        tensor_decode(x, bytes + 1, type, N);
        memset(bytes, 0, sizeof bytes);
        tensor_encode(bytes, x, type, N);
        tensor_decode(y, bytes, type, N);
        ck_assert_msg(memcmp(x, y, sizeof x) == 0, "%s", tensor_type_name(type));
    }
}
END_TEST

START_TEST(q8_0_is_within_half_a_step)
{
    numbers(0.02);
    tensor_encode(bytes, x, TENSOR_Q8_0, N);
    tensor_decode(y, bytes, TENSOR_Q8_0, N);
    for (size_t b = 0; b < N; b += Q8_0_BLOCK) {
        float largest = 0;
        for (size_t i = b; i < b + Q8_0_BLOCK; i++)
            largest = fmaxf(largest, fabsf(x[i]));
        const float step = largest / 127;
        for (size_t i = b; i < b + Q8_0_BLOCK; i++) /* the scale itself is rounded to 11 bits */
            ck_assert_msg(fabsf(x[i] - y[i]) <= step * 0.5f + largest * 0x1p-11f, "%g became %g", (double)x[i], (double)y[i]);
    }
}
END_TEST

/* A block as ggml makes it: scale 4/127 in f16, 127 for the largest, ties away from zero. */
START_TEST(q8_0_block)
{
    float block[Q8_0_BLOCK] = {-4, 2, 1, 0.0001f};
    tensor_encode(bytes, block, TENSOR_Q8_0, Q8_0_BLOCK);
    static const unsigned char expected[6] = {0x08, 0x28, (unsigned char)-127, 64, 32, 0};
    ck_assert_mem_eq(bytes, expected, sizeof expected);
    const float extremes[3][2] = {{0, 0}, {FLT_TRUE_MIN, -FLT_TRUE_MIN}, {127 * 65504.0f, -1}};
    for (int i = 0; i < 3; i++) {
        memset(block, 0, sizeof block);
        memcpy(block, extremes[i], sizeof extremes[i]);
        tensor_encode(bytes, block, TENSOR_Q8_0, Q8_0_BLOCK);
        tensor_decode(y, bytes, TENSOR_Q8_0, Q8_0_BLOCK);
        for (int j = 0; j < Q8_0_BLOCK; j++)
            ck_assert_msg(isfinite(y[j]), "%g became %g", (double)block[j], (double)y[j]);
    }
}
END_TEST

START_TEST(what_does_not_fit)
{
    numbers(1);
    for (enum tensor_type type = TENSOR_F32; type <= TENSOR_Q8_0; type++) {
        ck_assert_uint_eq(tensor_unfit(x, type, N), N);
        x[N - 2] = NAN;
        ck_assert_uint_eq(tensor_unfit(x, type, N), N - 2);
        x[N - 2] = -INFINITY;
        ck_assert_uint_eq(tensor_unfit(x, type, N), N - 2);
        x[N - 2] = 0;
    }
    x[7] = 65536;
    ck_assert_uint_eq(tensor_unfit(x, TENSOR_F16, N), 7);
    ck_assert_uint_eq(tensor_unfit(x, TENSOR_Q8_0, N), N);
    x[7] = FLT_MAX;
    ck_assert_uint_eq(tensor_unfit(x, TENSOR_BF16, N), 7); /* it would round to infinity */
    ck_assert_uint_eq(tensor_unfit(x, TENSOR_F32, N), N);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("formats/tensor_type");
    TCase *cases = tcase_create("tensor_type");
    suite_add_tcase(suite, cases);
    tcase_add_test(cases, names_and_sizes);
    tcase_add_test(cases, values_of_the_type_are_kept);
    tcase_add_test(cases, q8_0_is_within_half_a_step);
    tcase_add_test(cases, q8_0_block);
    tcase_add_test(cases, what_does_not_fit);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
