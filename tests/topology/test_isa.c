/* SPDX-License-Identifier: MIT */
#include "topology/isa.h"

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

START_TEST(names)
{
    ck_assert_str_eq(isa_name(ISA_PORTABLE), "portable");
    ck_assert_str_eq(isa_name(ISA_AVX2), "avx2");
    ck_assert_str_eq(isa_name(ISA_AVX512), "avx512");
    ck_assert_str_eq(isa_name(ISA_AVX512BF16), "avx512bf16");
    ck_assert_str_eq(isa_name(ISA_AMX), "amx");
    ck_assert_str_eq(isa_name(ISA_COUNT), "unknown");
}
END_TEST

static bool cpuinfo_has(const char *flag)
{
    char line[8192];
    bool found = false;
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && !found && fgets(line, sizeof line, f))
        found = strncmp(line, "flags", 5) == 0 && strstr(line, flag);
    if (f)
        fclose(f);
    return found;
}

/* The compiler's own reading of CPUID, as a second opinion. */
START_TEST(the_best_is_what_the_cpu_has)
{
    enum isa best = ISA_PORTABLE;
#ifdef __x86_64__
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
        best = ISA_AVX2;
    if (best == ISA_AVX2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        best = ISA_AVX512;
    if (best == ISA_AVX512 && __builtin_cpu_supports("avx512bf16"))
        best = ISA_AVX512BF16;
#endif
    /* gcc and clang of 2022 cannot be asked about AMX: there the flags of /proc/cpuinfo are the second opinion */
    if (isa_best() == ISA_AMX) {
        ck_assert_int_eq(best, ISA_AVX512BF16);
        ck_assert(cpuinfo_has(" amx_bf16") && cpuinfo_has(" amx_tile"));
    } else {
        ck_assert_int_eq(isa_best(), best);
    }
}
END_TEST

/* Exactly the levels above the best lack something, and the phrase names it. */
START_TEST(what_is_missing_is_said)
{
    for (int i = 0; i < ISA_COUNT; i++) {
        const char *what = isa_missing((enum isa)i);
        ck_assert_msg((what == NULL) == (i <= (int)isa_best()), "%s: %s", isa_name((enum isa)i), what ? what : "-");
        if (what)
            ck_assert(strstr(what, "this CPU") || strstr(what, "the system"));
    }
    ck_assert_ptr_nonnull(isa_missing(ISA_COUNT));
}
END_TEST

START_TEST(the_environment_may_choose_a_lower_one)
{
    struct error err = {0};
    enum isa isa;
    unsetenv("CLLM_ISA");
    ck_assert_int_eq(isa_choose(&isa, &err), STATUS_OK);
    ck_assert_int_eq(isa, isa_best());
    setenv("CLLM_ISA", "", 1);
    ck_assert_int_eq(isa_choose(&isa, &err), STATUS_OK);
    ck_assert_int_eq(isa, isa_best());
    for (int i = 0; i < ISA_COUNT; i++) {
        setenv("CLLM_ISA", isa_name((enum isa)i), 1);
        enum status status = isa_choose(&isa, &err);
        if (i <= (int)isa_best()) {
            ck_assert_int_eq(status, STATUS_OK);
            ck_assert_int_eq((int)isa, i);
        } else {
            ck_assert_int_eq(status, STATUS_CONFIG);
            ck_assert_ptr_nonnull(strstr(err.text, "cannot do"));
            ck_assert_ptr_nonnull(strstr(err.text, isa_missing((enum isa)i)));
        }
    }
}
END_TEST

START_TEST(an_unknown_name_is_refused_with_those_that_work)
{
    static const char *const BAD[] = {"sse", "AVX2", "avx5", "avx2 "};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct error err = {0};
        enum isa isa;
        setenv("CLLM_ISA", BAD[i], 1);
        ck_assert_int_eq(isa_choose(&isa, &err), STATUS_CONFIG);
        ck_assert_ptr_nonnull(strstr(err.text, BAD[i]));
        ck_assert_ptr_nonnull(strstr(err.text, "portable"));
        ck_assert_ptr_nonnull(strstr(err.text, isa_name(isa_best())));
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("isa");
    tcase_add_test(tc, names);
    tcase_add_test(tc, the_best_is_what_the_cpu_has);
    tcase_add_test(tc, what_is_missing_is_said);
    tcase_add_test(tc, the_environment_may_choose_a_lower_one);
    tcase_add_test(tc, an_unknown_name_is_refused_with_those_that_work);
    Suite *suite = suite_create("isa");
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
