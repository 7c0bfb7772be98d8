/* SPDX-License-Identifier: MIT
 * test_kernels_bf16.c - every table of bf16 kernels that this CPU can run, and one step of the instructions themselves.
 */
#include "kernels/bf16_checks.h"

#define EACH_ISA(k)                                                                                                    \
    for (enum isa isa_ = 0; isa_ < ISA_COUNT; isa_++)                                                                  \
        for (const struct kernels_bf16 *k = kernels_bf16_of(isa_); k; k = NULL)

START_TEST(products)
{
    EACH_ISA(kn) check_products(kn, kn->isa == ISA_PORTABLE ? 150 : 400);
}
END_TEST

START_TEST(a_chain_goes_on)
{
    EACH_ISA(kn) check_going_on(kn);
}
END_TEST

START_TEST(every_edge_of_the_arithmetic)
{
    EACH_ISA(kn) check_edges(kn, 11, 1400);
}
END_TEST

START_TEST(conversions)
{
    EACH_ISA(kn) check_conversions(kn);
}
END_TEST

/* Rounding, flushing and exception masks are the caller's business outside and none of it inside. */
START_TEST(the_environment_stays_the_callers)
{
#ifdef __x86_64__
    enum { M = 14, N = 40, K_LONG = 50 };
    bf16 *a = numbers16(M * K_LONG, 21), *b = numbers16(N * K_LONG, 22);
    float *add = numbers32(M * N, 23), here[M * N], there[M * N];
    EACH_ISA(kn)
    {
        struct layout p = layout_new(kn, kn->nr, N, K_LONG);
        kn->pack_b_bf16(p.data, p.panel, b, 1, K_LONG, K_LONG, N);
        struct gemm_bf16 g = {.m = M, .n = N, .k = K_LONG, .a = a, .a_row = K_LONG, .b = p.data, .b_panel = p.panel};
        g.add = add;
        g.add_row = g.c_row = N;
        g.sum = sum_scratch();
        g.c = here;
        kn->gemm_bf16(&g);
        g.c = there;
        const unsigned before = __builtin_ia32_stmxcsr();
        __builtin_ia32_ldmxcsr(0x7f80); /* towards zero */
        kn->gemm_bf16(&g);
        const unsigned after = __builtin_ia32_stmxcsr();
        __builtin_ia32_ldmxcsr(before);
        ck_assert_uint_eq(after & ~0x3fu, 0x7f80);
        if (kn->isa != ISA_PORTABLE) /* plain C rounds as the thread does: each sphere sets that to nearest */
            ck_assert_mem_eq(here, there, sizeof here);
        layout_free(&p, "pack_b_bf16");
    }
    free16(a), free16(b), free(add);
#endif
}
END_TEST

int main(void)
{
    for (enum isa i = 0; i < ISA_COUNT; i++)
        if (!kernels_bf16_of(i))
            printf("skipped: bf16 on %s (%s)\n", isa_name(i), isa_missing(i) ? isa_missing(i) : "not in this build");
    Suite *s = suite_create("kernels_bf16");
    TCase *t = tcase_create("every ISA");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, products);
    tcase_add_test(t, a_chain_goes_on);
    tcase_add_test(t, every_edge_of_the_arithmetic);
    tcase_add_test(t, conversions);
    tcase_add_test(t, the_environment_stays_the_callers);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
