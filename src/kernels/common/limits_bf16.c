/* SPDX-License-Identifier: MIT
 * limits_bf16.c - what the units can do when nothing else holds them up: products on registers alone, and reading.
 * As many independent chains as a product's register tile has, which is enough to hide any unit's latency; each begins with
 * numbers that the compiler cannot know, or it would make two halves of a vector by one instruction.
 */
#include "kernels_internal_bf16.h"

enum { CHAINS = GEMM_MR * GEMM_NV };

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

double K(peak_f32)(size_t rounds, float *result)
{
    vf acc[CHAINS];
    const vf a = vf_set1(0.5f), b = vf_load(result);
    UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = vf_mul(vf_load(result), vf_set1((float)i));
    for (size_t r = 0; r < rounds; r++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++)
            acc[i] = vf_fma(acc[i], a, b);
    }
    vf sum = vf_set1(0);
    for (int i = 0; i < CHAINS; i++)
        sum = vf_add(sum, acc[i]);
    vf_store(result, sum);
    return 2.0 * 16 * CHAINS * (double)rounds;
}

#ifdef BF16_TILE_LAYOUT
double K(peak_bf16)(size_t rounds, float *result)
{
    float tile[16 * 16] = {0};
    tiles_begin();
    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    TILE_LOAD(4, tile, 64);
    TILE_LOAD(5, tile, 64);
    TILE_LOAD(6, tile, 64);
    TILE_LOAD(7, tile, 64);
    for (size_t r = 0; r < rounds; r++) {
        TILE_DOT(0, 6, 4);
        TILE_DOT(1, 6, 5);
        TILE_DOT(2, 7, 4);
        TILE_DOT(3, 7, 5);
    }
    TILE_STORE(0, tile, 64);
    tiles_end();
    memcpy(result, tile, 16 * sizeof *result);
    return 2.0 * 16 * 16 * 32 * 4 * (double)rounds;
}
#else
double K(peak_bf16)(size_t rounds, float *result)
{
    const bf16_environment old = bf16_environment_enter();
    const bf16 half[2] = {0x3f00, 0x3f00};
    bf16 pairs[32];
    vf acc[CHAINS];
    for (int i = 0; i < 32; i++)
        pairs[i] = bf16_of_f32(result[i % 16]);
    const vp a = vp_set1(half), b = vp_load(pairs);
    UNROLL
    for (int i = 0; i < CHAINS; i++)
        acc[i] = vf_mul(vf_load(result), vf_set1((float)i));
    for (size_t r = 0; r < rounds; r++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++)
            acc[i] = vp_dot(acc[i], a, b);
    }
    vf sum = vf_set1(0);
    for (int i = 0; i < CHAINS; i++)
        sum = vf_add(sum, acc[i]);
    vf_store(result, sum);
    bf16_environment_leave(old);
    return 4.0 * 16 * CHAINS * (double)rounds;
}
#endif

void K(read_f32)(const float *x, size_t n, float *result)
{
    vf m[8];
    for (int i = 0; i < 8; i++)
        m[i] = vf_load(result);
    for (size_t i = 0; i + 128 <= n; i += 128) {
        UNROLL
        for (int v = 0; v < 8; v++)
            m[v] = vf_max(m[v], vf_load(x + i + 16 * v));
    }
    for (int i = 1; i < 8; i++)
        m[0] = vf_max(m[0], m[i]);
    vf_store(result, m[0]);
}
