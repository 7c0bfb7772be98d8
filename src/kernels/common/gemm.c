/* SPDX-License-Identifier: MIT
 * gemm.c - C = (add +) (init + A·B) on packed panels of B.
 *
 * The register tile is GEMM_MR rows by GEMM_NV vectors of 16; rows that are left over go in tiles of 8, 4, 2, 1.
 * Every element is one chain of fused multiply-adds over p = 0 … k-1, whichever tile it falls in, so tile shapes do
 * not reach the result.  Bound by the FMA units: per p a tile loads GEMM_NV vectors and GEMM_MR scalars for
 * GEMM_MR * GEMM_NV FMAs; the panel of B (k * nr floats) stays in L1 or L2 while the row tiles pass over it.
 */
#include "kernels_internal.h"

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum { NR = 16 * GEMM_NV };

/* One tile of `mr` rows and n <= NR columns; mr and full (n == NR) are constants at every call, so the accumulators are
 * registers and a whole panel is read without masks. */
SIMD void tile(const size_t mr, const bool full, const struct gemm *g, size_t i0, size_t j0, size_t n)
{
    const float *a = g->a + (ptrdiff_t)i0 * g->a_row;
    const float *b = g->b + j0 / NR * g->b_panel;
    const ptrdiff_t a_row = g->a_row, a_col = g->a_col;
    const size_t b_row = g->b_row;
    vf acc[GEMM_MR][GEMM_NV];

    UNROLL
    for (size_t i = 0; i < mr; i++) {
        const float *init = g->init ? g->init + (ptrdiff_t)(i0 + i) * g->init_row + j0 : NULL;
        UNROLL
        for (size_t v = 0; v < GEMM_NV; v++)
            acc[i][v] = !init ? vf_set1(0) : full ? vf_load(init + 16 * v) : vf_load_n(init + 16 * v, left(n, 16 * v));
    }
    UNROLL
    for (size_t i = 0; i < mr; i++) { /* the output's lines arrive while the products are made */
        UNROLL
        for (size_t v = 0; v < GEMM_NV; v++)
            __builtin_prefetch(g->c + (ptrdiff_t)(i0 + i) * g->c_row + j0 + 16 * v, 1);
    }
    for (size_t p = 0; p < g->k; p++) {
        vf bv[GEMM_NV];
        UNROLL
        for (size_t v = 0; v < GEMM_NV; v++)
            bv[v] = full ? vf_load(b + 16 * v) : vf_load_n(b + 16 * v, left(n, 16 * v));
        UNROLL
        for (size_t i = 0; i < mr; i++) {
            const vf av = vf_set1(a[(ptrdiff_t)i * a_row]);
            UNROLL
            for (size_t v = 0; v < GEMM_NV; v++)
                acc[i][v] = vf_fma(av, bv[v], acc[i][v]);
        }
        a += a_col;
        b += b_row;
    }
    UNROLL
    for (size_t i = 0; i < mr; i++) {
        const float *add = g->add ? g->add + (ptrdiff_t)(i0 + i) * g->add_row + j0 : NULL;
        float *c = g->c + (ptrdiff_t)(i0 + i) * g->c_row + j0;
        UNROLL
        for (size_t v = 0; v < GEMM_NV; v++) {
            vf r = acc[i][v];
            if (add)
                r = vf_add(full ? vf_load(add + 16 * v) : vf_load_n(add + 16 * v, left(n, 16 * v)), r);
            if (full)
                vf_store(c + 16 * v, r);
            else
                vf_store_n(c + 16 * v, r, left(n, 16 * v));
        }
    }
}

#define TILE_FUNCTION(mr)                                                                                              \
    static __attribute__((noinline)) void tile_##mr(const struct gemm *g, size_t i0, size_t j0, size_t n)              \
    {                                                                                                                  \
        if (n == NR)                                                                                                   \
            tile(mr, true, g, i0, j0, NR);                                                                             \
        else                                                                                                           \
            tile(mr, false, g, i0, j0, n);                                                                             \
    }
TILE_FUNCTION(1)
TILE_FUNCTION(2)
TILE_FUNCTION(4)
#if GEMM_MR > 4
TILE_FUNCTION(6)
#endif
#if GEMM_MR > 8
TILE_FUNCTION(8)
TILE_FUNCTION(12)
#endif

void K(gemm_f32)(const struct gemm *g)
{
    for (size_t j = 0; j < g->n; j += NR) {
        const size_t n = g->n - j < NR ? g->n - j : NR;
        size_t i = 0;
#if GEMM_MR > 8
        for (; i + 12 <= g->m; i += 12)
            tile_12(g, i, j, n);
        if (i + 8 <= g->m)
            tile_8(g, i, j, n), i += 8;
#endif
#if GEMM_MR > 4
        for (; i + 6 <= g->m; i += 6)
            tile_6(g, i, j, n);
#endif
        for (; i + 4 <= g->m; i += 4)
            tile_4(g, i, j, n);
        if (i + 2 <= g->m)
            tile_2(g, i, j, n), i += 2;
        if (i < g->m)
            tile_1(g, i, j, n);
    }
}

void K(pack_f32)(float *dst, const float *src, ptrdiff_t row, ptrdiff_t col, size_t k, size_t n)
{
    for (size_t j = 0; j < n; j += NR) {
        const size_t w = n - j < NR ? n - j : NR;
        const float *s = src + (ptrdiff_t)j * col;
        if (col == 1) {
            for (size_t p = 0; p < k; p++)
                for (size_t v = 0; v < NR; v += 16)
                    vf_store(dst + p * NR + v, vf_load_n(s + (ptrdiff_t)p * row + v, left(w, v)));
        } else {
            /* 16 x 16 at a time, so that both sides are touched by whole lines; row is 1 in every use we have */
            for (size_t p0 = 0; p0 < k; p0 += 16)
                for (size_t c0 = 0; c0 < NR; c0 += 16) {
                    const float *from = s + (ptrdiff_t)p0 * row + (ptrdiff_t)c0 * col;
                    float *to = dst + p0 * NR + c0;
                    if (row == 1 && p0 + 16 <= k && c0 + 16 <= w) {
                        transpose16(to, NR, from, col);
                        continue;
                    }
                    for (size_t p = 0; p < 16 && p0 + p < k; p++)
                        for (size_t c = 0; c < 16; c++)
                            to[p * NR + c] = c0 + c < w ? from[(ptrdiff_t)p * row + (ptrdiff_t)c * col] : 0;
                }
        }
        dst += k * NR;
    }
}
