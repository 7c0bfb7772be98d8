/* SPDX-License-Identifier: MIT */
#include "base/human.h"
#include "base/memory.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(bytes_as_people_type_them)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"512", 512},
                {"512B", 512},
                {"1K", 1024},
                {"1k", 1024},
                {"2KiB", 2048},
                {"2kB", 2000},
                {"3.5G", UINT64_C(3584) << 20},
                {"3.5GiB", UINT64_C(3584) << 20},
                {"3.5GB", UINT64_C(3500000000)},
                {"3.5g", UINT64_C(3584) << 20},
                {"0.25M", 1 << 18},
                {"1.T", UINT64_C(1) << 40},
                {"4096T", UINT64_C(1) << 52}};
    static const char *const bad[] = {"",
                                      "G",
                                      ".5G",
                                      "-1",
                                      "+1",
                                      "1 G",
                                      "1X",
                                      "1GX",
                                      "1GiBs",
                                      "1Gib",
                                      "auto",
                                      "1e9",
                                      "0x10",
                                      "1,5",
                                      "1.2.",
                                      "99999999T",
                                      "9223372036854775808"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t bytes = 1;
        ck_assert_msg(human_bytes_parse(good[i].text, &bytes), "%s", good[i].text);
        ck_assert_msg(bytes == good[i].bytes, "%s: %llu", good[i].text, (unsigned long long)bytes);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t bytes = 77;
        ck_assert_msg(!human_bytes_parse(bad[i], &bytes) && bytes == 77, "%s", bad[i]);
    }
}
END_TEST

/* The peak knows memory that came and went. */
START_TEST(the_peak_is_kept)
{
    const size_t size = (size_t)96 << 20, before = mem_peak_bytes();
    char *p = mem_map(size);
    ck_assert_ptr_nonnull(p);
    memset(p, 1, size);
    mem_unmap(p, size);
    ck_assert_uint_gt(before, 0);
    ck_assert_uint_gt(mem_peak_bytes(), before + size - (16 << 20));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("human");
    TCase *tc = tcase_create("human");
    tcase_add_test(tc, bytes_as_people_type_them);
    tcase_add_test(tc, the_peak_is_kept);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
