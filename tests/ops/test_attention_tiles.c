/* SPDX-License-Identifier: MIT
 * test_attention_tiles.c - the tests of attention once more with products in bf16 as the amx level lays them out, over tiles in
 * plain C (tests/kernels/test_kernels_bf16_tiles.c), so that what its blocks of 32 ask for is held on any machine.
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

#define kernels_bf16_get() (&kernels_bf16_tiles_in_c)
#include "src/ops/attention_rounded.c"

#include "test_attention.c"
