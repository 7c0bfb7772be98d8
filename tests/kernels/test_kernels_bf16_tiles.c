/* SPDX-License-Identifier: MIT
 * test_kernels_bf16_tiles.c - the amx level's blocking, packing and epilogues on any machine: its sources compiled once more,
 * over the portable vector and over tiles in plain C.  Where the CPU has AMX, its tiles are held to the same by
 * test_kernels_bf16.
 */
#include "kernels/bf16_checks.h"

#define ISA    tiles_in_c
#define ID_tiles_in_c ISA_AMX
#include "src/kernels/portable/simd.h"
#include "src/kernels/portable/bf16.h"
#include "kernels/emulated_tiles.h"
#undef BF16_MR
#undef BF16_NV
#define BF16_TILE_LAYOUT
#include "src/kernels/amx/gemm_bf16.c"
#include "src/kernels/common/pack_bf16.c"
#include "src/kernels/common/limits_bf16.c"

START_TEST(products)
{
    check_products(&kernels_bf16_tiles_in_c, 300);
}
END_TEST

START_TEST(a_chain_goes_on)
{
    check_going_on(&kernels_bf16_tiles_in_c);
}
END_TEST

START_TEST(every_edge_of_the_arithmetic)
{
    check_edges(&kernels_bf16_tiles_in_c, 13, 300);
}
END_TEST

START_TEST(conversions)
{
    check_conversions(&kernels_bf16_tiles_in_c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("kernels_bf16_tiles");
    TCase *t = tcase_create("tiles in plain C");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, products);
    tcase_add_test(t, a_chain_goes_on);
    tcase_add_test(t, every_edge_of_the_arithmetic);
    tcase_add_test(t, conversions);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
