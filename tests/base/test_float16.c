/* SPDX-License-Identifier: MIT
 * The 16-bit formats: every pattern goes to f32 and back, and rounding is to the nearest, ties to even.
 */
#include "base/float16.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

static float reference_of_f16(f16 x)
{
    const int exponent = x >> 10 & 0x1f, mantissa = x & 0x3ff;
    const float magnitude = exponent == 0x1f ? mantissa ? NAN : INFINITY
                            : exponent       ? ldexpf((float)(1024 + mantissa), exponent - 25)
                                             : ldexpf((float)mantissa, -24);
    return x & 0x8000 ? -magnitude : magnitude;
}

START_TEST(every_pattern_comes_back)
{
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        const f16 h = (f16)bits;
        const float x = f32_of_f16(h), wanted = reference_of_f16(h), y = f32_of_bf16((bf16)bits);
        if (isnan(wanted)) {
            ck_assert(isnan(x) && isnan(f32_of_f16(f16_of_f32(x))));
        } else {
            ck_assert(x == wanted && signbit(x) == signbit(wanted));
            ck_assert_uint_eq(f16_of_f32(x), h);
        }
        if (isnan(y))
            ck_assert(isnan(f32_of_bf16(bf16_of_f32(y))));
        else
            ck_assert_uint_eq(bf16_of_f32(y), bits);
    }
}
END_TEST

/* Between two neighbours: below the middle goes down, above goes up, the middle to the even one. */
START_TEST(rounding_is_to_nearest_even)
{
    for (uint32_t bits = 0; bits < 0x7c00; bits++) {
        const float low = f32_of_f16((f16)bits);
        const float high = bits + 1 == 0x7c00 ? 65536.0f : f32_of_f16((f16)(bits + 1)), middle = (low + high) / 2;
        ck_assert_uint_eq(f16_of_f32(nextafterf(middle, 0)), bits);
        ck_assert_uint_eq(f16_of_f32(nextafterf(middle, INFINITY)), bits + 1);
        ck_assert_uint_eq(f16_of_f32(middle), bits + (bits & 1));
        ck_assert_uint_eq(f16_of_f32(-middle), (bits + (bits & 1)) | 0x8000);
    }
    for (uint32_t bits = 0; bits < 0x7f80; bits++) {
        const uint32_t middle = bits << 16 | 0x8000;
        ck_assert_uint_eq(bf16_of_f32(f32_of_bits(middle - 1)), bits);
        ck_assert_uint_eq(bf16_of_f32(f32_of_bits(middle + 1)), bits + 1);
        ck_assert_uint_eq(bf16_of_f32(f32_of_bits(middle)), bits + (bits & 1));
    }
}
END_TEST

START_TEST(ends_of_the_range)
{
    ck_assert_uint_eq(f16_of_f32(INFINITY), 0x7c00);
    ck_assert_uint_eq(f16_of_f32(-1e30f), 0xfc00);
    ck_assert_uint_eq(f16_of_f32(1e-30f), 0);
    ck_assert_uint_eq(bf16_of_f32(f32_of_bits(0x7f7fffff)), 0x7f80);
    ck_assert_uint_eq(bf16_of_f32(-0.0f), 0x8000);
    ck_assert(isnan(f32_of_bf16(bf16_of_f32(f32_of_bits(0x7f800001)))));
    ck_assert(isnan(f32_of_f16(f16_of_f32(f32_of_bits(0xff800001)))));
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("float16");
    tcase_add_test(tc, every_pattern_comes_back);
    tcase_add_test(tc, rounding_is_to_nearest_even);
    tcase_add_test(tc, ends_of_the_range);
    Suite *s = suite_create("base/float16");
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
